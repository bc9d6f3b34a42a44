//! `btcloud-host ssh NAME` and `btcloud-host scp`: the user's OpenSSH, with a machine's key and its host key.

use std::ffi::OsString;
use std::process;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use super::arguments::{common, machine_name, store};
use super::driver::Choice;
use super::failure::Failure;
use super::task::stored;
use crate::machine::is_machine_name;
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

fn ssh_to(choice: &Choice, matches: &ArgMatches, name: &str) -> Result<Ssh, Failure> {
    let machine = stored(choice, &store(matches)?, name, matches)?;
    Ok(Ssh::to(&machine)?)
}

/// Runs `btcloud-host ssh`.
pub(super) fn execute(driver: &Choice, matches: &ArgMatches) -> Result<(), Failure> {
    let name = matches.get_one::<String>("name").map_or("", String::as_str);
    let ssh = ssh_to(driver, matches, name)?;
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

/// Runs `btcloud-host scp`.
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
                return Err(Failure::usage(text));
            }
            None => ssh_to(driver, matches, name)?,
        };
        let host = match ssh.host().contains(':') {
            true => format!("[{}]", ssh.host()),
            false => ssh.host().to_owned(),
        };
        files.push(format!("{}@{host}:{path}", ssh.user()));
        known = Some((name.to_owned(), ssh));
    }
    let Some((_, ssh)) = known else {
        return Err(Failure::usage(
            "neither path is on a machine; write that one as NAME:PATH",
        ));
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
    let error = format!("cannot start {name}: {error}");
    Err(Failure::failed(error).with_hint("install the OpenSSH client"))
}
