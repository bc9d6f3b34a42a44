//! The command line, `btcloud-host`.

mod arguments;
mod completion;
mod completions;
mod config;
mod context;
mod create;
mod doctor;
mod driver;
mod driver_test;
mod drivers;
mod each;
mod early;
mod env;
pub mod examples;
mod exit;
mod failure;
mod gc;
mod inventory;
mod listing;
mod ls;
mod man;
mod provision;
mod report;
mod run;
mod shell;
mod short;
mod ssh;
mod table;
mod task;
mod terminal;

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Command;
use clap::error::{ContextKind, ContextValue};

use driver::{Choice, Needs};
use early::Early;
use exit::Exit;
use failure::Failure;
use provision::Purpose;

const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    failed (a failed creation was undone, or the error lists what is left;
       if only setting up Docker failed, the machine stays)
  2    wrong command line or option; nothing was changed
  3    the check before a creation failed; nothing was changed
  4    no such machine, in the store or in the cloud
  130  interrupted (a creation was undone as for 1)";

/// Runs the command line and tells how the process shall end.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<_> = args.into_iter().collect();
    match dispatch(&args) {
        Ok(()) => Exit::Done.into(),
        Err(failure) => {
            failure.show();
            failure.exit.into()
        }
    }
}

fn dispatch(args: &[OsString]) -> Result<(), Failure> {
    let driver = match choice(args) {
        // A shell shows no error while somebody types.
        Err(_) if completion::words(args).is_some() => return Ok(()),
        driver => driver?,
    };
    if completion::answer(args, || command(&driver))? {
        return Ok(());
    }
    let matches = match command(&driver).try_get_matches_from(args) {
        Ok(matches) => matches,
        // Help and version are asked for and go to the standard output; nobody can be told if that is closed.
        Err(error) if !error.use_stderr() => {
            drop(error.print());
            return Ok(());
        }
        Err(mut error) => {
            let hint = operation_alone(&error);
            if hint.is_some() {
                // What only looks like it is not what is meant.
                error.remove(ContextKind::SuggestedSubcommand);
            }
            // The place of the suggestion is left empty.
            let text = error.render().to_string().replace("\n\n\n", "\n\n");
            let text = match text.strip_prefix("error: ") {
                Some(error) => format!("btcloud-host: {error}"),
                None => text,
            };
            drop(io::stderr().write_all(text.as_bytes()));
            return Err(Failure {
                hint,
                ..Failure::silent(Exit::Usage)
            });
        }
    };
    match matches.subcommand() {
        Some(("run", matches)) => run::execute(&driver, matches),
        Some(("provision", matches)) => provision::execute(&driver, matches, Purpose::Engine),
        Some(("regenerate-certs", matches)) => {
            provision::execute(&driver, matches, Purpose::NewCertificates)
        }
        Some(("ssh", matches)) => ssh::execute(&driver, matches),
        Some(("scp", matches)) => ssh::copy(&driver, matches),
        Some(("ls", matches)) => ls::execute(&driver, matches),
        Some(("env", matches)) => env::execute(&driver, matches),
        Some(("context", matches)) => context::execute(&driver, matches),
        Some(("config", matches)) => config::execute(&driver, matches),
        Some(("doctor", matches)) => doctor::execute(&driver, matches),
        Some(("completions", matches)) => completions::execute(matches),
        Some(("man", matches)) => man::execute(command(&driver), matches),
        Some(("gc", matches)) => gc::execute(&driver, matches),
        Some(("driver", matches)) => drivers::execute(matches),
        Some((command, matches)) if inventory::is_command(command) => {
            inventory::execute(&driver, command, matches)
        }
        Some((short, matches)) => short::execute(&driver, short, matches),
        None => Err(Failure::silent(Exit::Usage)),
    }
}

/// The driver of a command line, or of one that a shell wants completed.
fn choice(args: &[OsString]) -> Result<Choice, Failure> {
    let words = completion::words(args).map(Arc::new);
    let typed = words.as_ref().map(|words| words.arguments());
    let early = Early::of(typed.as_deref().unwrap_or(args));
    Choice::of(&early, needs(&early.path), words.clone())
}

/// What of the driver must be known for the arguments of a command, which may be in the words for its help.
fn needs(path: &[&str]) -> Needs {
    match path {
        ["run", "create"] | ["gc" | "doctor"] | ["config", ..] => Needs::Options,
        ["man"] => Needs::Listable,
        [command] if inventory::is_command(command) => Needs::Listable,
        _ => Needs::Nothing,
    }
}

/// The whole command line.
fn command(driver: &Choice) -> Command {
    let command = Command::new("btcloud-host")
        .about("Creates and controls Docker hosts with sandboxed machine drivers")
        .version(env!("CARGO_PKG_VERSION"))
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(run::command(driver))
        .subcommand(ls::command())
        .subcommands(short::commands())
        .subcommand(env::command())
        .subcommand(context::command())
        .subcommand(ssh::command())
        .subcommand(ssh::copy_command())
        .subcommand(provision::command())
        .subcommand(provision::regenerate_command())
        .subcommands(inventory::commands(driver))
        .subcommand(gc::command(driver))
        .subcommand(config::command(driver))
        .subcommand(doctor::command(driver))
        .subcommand(drivers::command())
        .subcommand(completions::command())
        .subcommand(man::command())
        .after_help(EXIT_CODES);
    examples::add(command, "")
}

/// What to do about an operation that does not come after `run`.
fn operation_alone(error: &clap::Error) -> Option<String> {
    match error.get(ContextKind::InvalidSubcommand)? {
        ContextValue::String(operation) if run::is_operation(operation) => Some(format!(
            "an operation comes after `run`: btcloud-host run {operation} NAME"
        )),
        _ => None,
    }
}
