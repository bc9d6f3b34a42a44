//! `btcloud-host run OPERATION NAME`: one operation of a machine.

use clap::{ArgMatches, Command};

use super::arguments::{common, has_flag, json, machine_name, machine_names, store};
use super::create;
use super::driver::Choice;
use super::exit::Exit;
use super::failure::Failure;
use super::report::Report;
use super::task::Task;
use super::terminal::cancel_on_signals;
use crate::machine::Change;

/// The operations, what each does, and whether it has an answer that can be had as JSON.
const OPERATIONS: [(&str, &str, bool); 10] = [
    ("create", "Create a machine", true),
    ("start", "Start a machine, and wait until it runs", false),
    (
        "stop",
        "Shut a machine down, and wait until it has stopped",
        false,
    ),
    (
        "kill",
        "Stop a machine at once, as by pulling the plug",
        false,
    ),
    ("restart", "Restart a machine", false),
    (
        "remove",
        "Remove a machine and all that was made for it, in the cloud and here",
        false,
    ),
    (
        "status",
        "Print the state of a machine, from the cloud",
        true,
    ),
    ("ip", "Print the address of a machine", true),
    ("url", "Print the URL of a machine's Docker engine", true),
    (
        "inspect",
        "Print a machine's configuration as JSON, without secrets",
        false,
    ),
];

/// Whether this names an operation.
pub(super) fn is_operation(name: &str) -> bool {
    OPERATIONS.iter().any(|(operation, ..)| *operation == name)
}

/// The command `run`.
pub(super) fn command(driver: &Choice) -> Command {
    let mut run = Command::new("run")
        .about("Run one operation of a machine")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .args(common());
    for (name, ..) in OPERATIONS {
        let command = operation(name);
        run = run.subcommand(match name {
            "create" => create::complete(command, driver),
            _ => command,
        });
    }
    run
}

/// The command of an operation, without its driver's options.
pub(super) fn operation(name: &'static str) -> Command {
    let found = OPERATIONS.iter().find(|(operation, ..)| *operation == name);
    let (_, about, has_answer) = found.copied().unwrap_or((name, "", false));
    let command = Command::new(name).about(about).arg(machine_name("name"));
    match has_answer {
        true => command.arg(json()),
        false => command,
    }
}

/// Runs `btcloud-host run`.
pub(super) fn execute(driver: &Choice, matches: &ArgMatches) -> Result<(), Failure> {
    match matches.subcommand() {
        Some((operation, matches)) => perform(driver, operation, matches),
        None => Err(Failure::silent(Exit::Usage)),
    }
}

/// Runs an operation.
///
/// # Errors
///
/// Why it could not be done.
pub(super) fn perform(
    choice: &Choice,
    operation: &str,
    matches: &ArgMatches,
) -> Result<(), Failure> {
    if operation == "create" {
        return create::execute(choice, matches);
    }
    let names = machine_names(matches, "name")?;
    let Some(name) = names.first() else {
        return Err(Failure::silent(Exit::Usage));
    };
    let is_json = has_flag(matches, "json");
    let report = Report::new(has_flag(matches, "verbose"));
    let store = store(matches)?;
    let cancel = cancel_on_signals(|| ());
    let task = Task::new(choice, &store, &cancel, report, name);
    let result = match operation {
        "start" => task.change(Change::Start),
        "stop" => task.change(Change::Stop),
        "kill" => task.change(Change::Kill),
        "restart" => task.change(Change::Restart),
        "remove" => task.remove(),
        "status" => task.status(is_json),
        "ip" => task.ip(is_json),
        "url" => task.url(is_json),
        "inspect" => task.inspect(),
        _ => Err(Failure::silent(Exit::Usage)),
    };
    task.report.finish();
    result
}
