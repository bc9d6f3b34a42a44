//! `btcloud-host provision NAME`, and what `run create` does after the creation: a machine becomes a Docker host.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use clap::builder::FalseyValueParser;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use super::arguments::{common, machine_name, machine_names, store};
use super::driver::Choice;
use super::each::each;
use super::exit::Exit;
use super::failure::Failure;
use super::report::Report;
use super::task::Task;
use super::terminal::{cancel_on_signals, print};
use crate::capability::clock::Cancel;
use crate::machine::{Engine, EngineOptions, INSTALL_URL, Machine, Store};
use crate::provision::{self, Provisioned, SSH_PATIENCE, Wishes};

/// What `run create` is to do about the engine.
pub(super) struct Wanted {
    pub(super) engine: Engine,
    pub(super) provision: bool,
    pub(super) ssh_patience: Duration,
}

/// How long a machine may take until it lets somebody in.
fn ssh_timeout() -> Arg {
    Arg::new("ssh-timeout")
        .long("ssh-timeout")
        .value_name("SECONDS")
        .value_parser(value_parser!(u32).range(1..=86_400))
        .help(format!(
            "How long the machine may take until SSH lets its key in [default: {}]",
            SSH_PATIENCE.as_secs()
        ))
}

fn ssh_patience(matches: &ArgMatches) -> Duration {
    let seconds = matches.get_one::<u32>("ssh-timeout");
    seconds.map_or(SSH_PATIENCE, |seconds| {
        Duration::from_secs((*seconds).into())
    })
}

/// docker-machine's flags for the engine.
pub(super) fn arguments() -> Vec<Arg> {
    let text = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(value).help(help)
    };
    let list = |name, value, help| text(name, value, help).action(ArgAction::Append);
    vec![
        Arg::new("no-provision")
            .long("no-provision")
            .env("BTCLOUD_NO_PROVISION")
            .hide_env_values(true)
            .action(ArgAction::SetTrue)
            .value_parser(FalseyValueParser::new())
            .help("Leave the machine as it is, without setting up Docker"),
        ssh_timeout(),
        text(
            "engine-install-url",
            "URL",
            "The script that installs Docker, or none",
        )
        .env("MACHINE_DOCKER_INSTALL_URL")
        .hide_env_values(true)
        .default_value(INSTALL_URL),
        text(
            "engine-storage-driver",
            "NAME",
            "The storage driver, if not the engine's own choice",
        ),
        list(
            "engine-opt",
            "FLAG=VALUE",
            "A flag of dockerd, without its dashes; can be given more than once",
        ),
        list(
            "engine-env",
            "NAME=VALUE",
            "A variable of the engine's environment; can be given more than once",
        ),
        list(
            "engine-label",
            "KEY=VALUE",
            "A label of the engine; can be given more than once",
        ),
        list(
            "engine-registry-mirror",
            "URL",
            "A mirror of registries; can be given more than once",
        )
        .env("ENGINE_REGISTRY_MIRROR")
        .hide_env_values(true),
        list(
            "engine-insecure-registry",
            "HOST",
            "A registry without TLS; can be given more than once",
        ),
        list(
            "tls-san",
            "NAME",
            "A further name or address in the engine's certificate; can be given more than once",
        )
        .value_parser(certificate_name),
    ]
}

/// A name or address as it stands in a certificate. It is checked here, since it is stored with the machine: it would stand in
/// the way of each later attempt.
fn certificate_name(text: &str) -> Result<String, &'static str> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(address.to_string());
    }
    if !text.is_ascii() {
        return Err("a name in a certificate is ASCII; write it in Punycode");
    }
    match !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => Ok(text.to_owned()),
        false => Err("a name in a certificate has no spaces"),
    }
}

/// What the flags say.
pub(super) fn wanted(matches: &ArgMatches) -> Wanted {
    let text = |name| matches.get_one::<String>(name).cloned().unwrap_or_default();
    let list = |name| -> Vec<String> {
        let given = matches.get_many::<String>(name).into_iter().flatten();
        given.cloned().collect()
    };
    let options = EngineOptions {
        arbitrary_flags: list("engine-opt"),
        env: list("engine-env"),
        insecure_registry: list("engine-insecure-registry"),
        labels: list("engine-label"),
        registry_mirror: list("engine-registry-mirror"),
        storage_driver: text("engine-storage-driver"),
        install_url: text("engine-install-url"),
    };
    Wanted {
        engine: Engine {
            options,
            names: list("tls-san"),
        },
        provision: !matches.get_flag("no-provision"),
        ssh_patience: ssh_patience(matches),
    }
}

/// The command `provision`.
pub(super) fn command() -> Command {
    Command::new("provision")
        .about("Set up Docker on a machine, or resume an interrupted set-up")
        .args(common())
        .arg(name())
        .arg(ssh_timeout())
}

/// The command `regenerate-certs`.
pub(super) fn regenerate_command() -> Command {
    Command::new("regenerate-certs")
        .about(
            "Make a new certificate for a machine's Docker engine, and restart the engine with it",
        )
        .args(common())
        .arg(name())
        .arg(ssh_timeout())
}

fn name() -> Arg {
    machine_name("name")
        .num_args(1..)
        .help("The machine's name; several are done one after the other")
}

/// What provisioning is for, which decides what is told if it fails.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// That the machine becomes a Docker host.
    Engine,
    /// That a Docker host has a new certificate.
    NewCertificates,
}

/// Runs `btcloud-host provision` or `btcloud-host regenerate-certs`.
pub(super) fn execute(
    choice: &Choice,
    matches: &ArgMatches,
    purpose: Purpose,
) -> Result<(), Failure> {
    let names = machine_names(matches, "name")?;
    let store = store(matches)?;
    let report = Report::new(matches.get_flag("verbose"));
    let cancel = cancel_on_signals(|| ());
    let work = |name: &str| {
        let report = report.of_machine(name, names.len());
        let task = Task::new(choice, &store, &cancel, report, name);
        provision(&task, ssh_patience(matches), purpose)
    };
    let tell = |_: &str, line: String| print(&line);
    each(&names, 1, &cancel, &report, &work, &tell)
}

/// Provisions one machine of the store, and tells what it is now.
fn provision(task: &Task<'_>, ssh_patience: Duration, purpose: Purpose) -> Result<String, Failure> {
    let name = &task.name;
    let _lock = task.lock()?;
    let (_, made_by) = task.store.load(name)?;
    let machine = task.stored()?;
    let wishes = Wishes {
        engine: task.store.engine(name)?,
        driver_name: made_by,
        new_certificates: purpose == Purpose::NewCertificates,
        ssh_patience,
    };
    let provisioned = run(&machine, &wishes, &task.report, task.cancel)?;
    Ok(format!(
        "{name} runs Docker {} at {} on {}",
        provisioned.version,
        machine.engine_url()?,
        provisioned.system
    ))
}

/// Notes that a machine is to become a Docker host.
pub(super) fn mark(store: &Store, name: &str) -> Result<(), Failure> {
    let marked = provision::mark(&store.directory(name));
    marked.map_err(Failure::failed)
}

/// Makes a machine a Docker host, and tells what to do if that fails.
pub(super) fn run(
    machine: &Machine,
    wishes: &Wishes,
    report: &Arc<Report>,
    cancel: &Cancel,
) -> Result<Provisioned, Failure> {
    let provisioned = provision::provision(machine, wishes, report.as_ref(), cancel);
    report.finish();
    provisioned.map_err(|error| {
        let name = machine.name();
        let is_set_up = || {
            let directory = machine.directory();
            directory.is_some_and(|directory| !provision::is_pending(&directory))
        };
        let (text, next) = match wishes.new_certificates {
            true => (
                format!("the certificate of \"{name}\" was not renewed: {error}"),
                format!("`btcloud-host regenerate-certs {name}` tries again"),
            ),
            false if is_set_up() => (
                format!("\"{name}\" was not set up anew: {error}"),
                format!("`btcloud-host provision {name}` tries again"),
            ),
            false => (
                format!("the machine \"{name}\" is there, but not set up: {error}"),
                format!(
                    "`btcloud-host provision {name}` goes on, `btcloud-host run remove {name}` removes it"
                ),
            ),
        };
        let hint = match error.hint() {
            Some(hint) => format!("{hint}; then {next}"),
            None => next,
        };
        let exit = match error.is_cancelled() {
            true => Exit::Interrupted,
            false => Exit::Failed,
        };
        Failure::new(exit, text).with_hint(hint)
    })
}
