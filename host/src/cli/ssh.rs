//! `btcloud-host ssh NAME` and `btcloud-host scp`: the user's OpenSSH, with a machine's key and its host key.

use std::ffi::OsString;
use std::process;

use anyhow::Context as _;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use super::Failure;
use super::driver::{Choice, common, store};
use super::exit::Exit;
use super::report::Report;
use super::run::machine_name;
use crate::capability::clock::Cancel;
use crate::machine::{Error, Machine, Surroundings, is_machine_name};
use crate::ssh::Ssh;

/// The command `ssh`.
pub(super) fn command() -> Command {
    Command::new("ssh")
        .about("Log in to a machine, or run a command on it")
        .args(common())
        .arg(machine_name("name"))
        .arg(
            Arg::new("command")
                .value_name("COMMAND")
                .num_args(0..)
                .trailing_var_arg(true)
                .allow_hyphen_values(true)
                .value_parser(value_parser!(OsString))
                .help("What to run, with its arguments; options of ssh itself may come before it"),
        )
}

/// The command `scp`.
pub(super) fn copy_command() -> Command {
    let file = |name: &'static str, help: &'static str| {
        Arg::new(name)
            .value_name("[NAME:]PATH")
            .required(true)
            .help(help)
    };
    Command::new("scp")
        .about("Copy files to or from a machine")
        .args(common())
        .arg(
            Arg::new("recursive")
                .short('r')
                .long("recursive")
                .action(ArgAction::SetTrue)
                .help("Copy directories with what is in them"),
        )
        .arg(file("from", "What to copy"))
        .arg(file("to", "Where to"))
}

fn machine(driver: &Choice, matches: &ArgMatches, name: &str) -> Result<Ssh, Failure> {
    if !is_machine_name(name) {
        return Err(Error::Name(name.to_owned()).into());
    }
    let (record, made_by) = store(matches)?.load(name)?;
    let report = std::sync::Arc::new(Report::new(matches.get_flag("verbose")));
    let surroundings = Surroundings::of_process(report, Cancel::default());
    let machine = Machine::new(driver.for_machine(name, &made_by)?, surroundings, record);
    Ok(Ssh::to(&machine)?)
}

/// Logs in.
pub(super) fn execute(driver: &Choice, matches: &ArgMatches) -> Result<(), Failure> {
    let name = matches.get_one::<String>("name").map_or("", String::as_str);
    let ssh = machine(driver, matches, name)?;
    let command = matches
        .get_many::<OsString>("command")
        .into_iter()
        .flatten();
    let mut client = process::Command::new("ssh");
    client
        .args(ssh.options())
        .arg("-p")
        .arg(ssh.port().to_string())
        .arg(ssh.destination())
        .args(command);
    become_client(client)
}

/// Copies.
pub(super) fn copy(driver: &Choice, matches: &ArgMatches) -> Result<(), Failure> {
    let text = |name| matches.get_one::<String>(name).cloned().unwrap_or_default();
    let mut client = process::Command::new("scp");
    let mut files = Vec::new();
    let mut known: Option<(String, Ssh)> = None;
    for file in [text("from"), text("to")] {
        let Some((name, path)) = remote(&file) else {
            // scp would take a colon in a name of here for a machine's.
            files.push(match file.contains(':') && !file.contains('/') {
                true => format!("./{file}"),
                false => file,
            });
            continue;
        };
        let ssh = match known.take() {
            Some((before, ssh)) if before == name => ssh,
            Some(_) => {
                let text =
                    "scp cannot copy from one machine to another; copy to this computer first";
                return Err(Failure::new(Exit::Usage, anyhow::Error::msg(text)));
            }
            None => machine(driver, matches, name)?,
        };
        let host = match ssh.host().contains(':') {
            true => format!("[{}]", ssh.host()),
            false => ssh.host().to_owned(),
        };
        files.push(format!("{}@{host}:{path}", ssh.user()));
        known = Some((name.to_owned(), ssh));
    }
    let Some((_, ssh)) = known else {
        let error = anyhow::Error::msg("neither path is on a machine; write that one as NAME:PATH");
        return Err(Failure::new(Exit::Usage, error));
    };
    client
        .args(ssh.options())
        .arg("-P")
        .arg(ssh.port().to_string());
    if matches.get_flag("recursive") {
        client.arg("-r");
    }
    client.arg("--").args(files);
    become_client(client)
}

/// `NAME:PATH`, unless it is the path of a file of here.
fn remote(file: &str) -> Option<(&str, &str)> {
    let (name, path) = file.split_once(':')?;
    is_machine_name(name).then_some((name, path))
}

/// Runs the client in the place of this process, so that the terminal, signals and the exit code are its own.
fn become_client(mut client: process::Command) -> Result<(), Failure> {
    use std::os::unix::process::CommandExt as _;
    let name = client.get_program().display().to_string();
    let error = client.exec();
    let error = Err::<(), _>(error).with_context(|| format!("cannot start {name}"));
    error.map_err(|error| Failure {
        hint: Some("install the OpenSSH client".to_owned()),
        ..Failure::new(Exit::Failed, error)
    })
}
