//! The command line, `btcloud-host`.

mod completions;
mod config;
mod context;
mod doctor;
mod driver;
mod driver_test;
mod drivers;
mod each;
mod early;
mod env;
pub mod examples;
mod exit;
mod gc;
mod inventory;
mod listing;
mod ls;
mod provision;
mod report;
mod run;
mod short;
mod ssh;
mod table;

use std::ffi::OsString;
use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::process::{self, ExitCode};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;
use clap::Command;
use clap::error::{ContextKind, ContextValue};

use crate::capability::clock::Cancel;
use crate::capability::text::clean;
use crate::contract::State;
use exit::Exit;
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
    let driver = match driver::Choice::of(args) {
        // A shell shows no error while somebody types.
        Err(_) if completions::words(args).is_some() => return Ok(()),
        driver => driver?,
    };
    if completions::answer(args, || command(&driver))? {
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
                ..Failure::shown(Exit::Usage)
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
        Some(("completions", matches)) => completions::completions(matches),
        Some(("man", matches)) => completions::man(command(&driver), matches),
        Some(("gc", matches)) => gc::execute(&driver, matches),
        Some(("driver", matches)) => drivers::execute(matches),
        Some((command, matches)) if inventory::is_command(command) => {
            inventory::execute(&driver, command, matches)
        }
        Some((short, matches)) => short::execute(&driver, short, matches),
        None => Err(Failure::shown(Exit::Usage)),
    }
}

/// The whole command line.
fn command(driver: &driver::Choice) -> Command {
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
        .subcommands(completions::commands())
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

/// How a command ended if not well.
#[derive(Debug)]
struct Failure {
    exit: Exit,
    /// What to tell the user; nothing if that has been done.
    error: Option<anyhow::Error>,
    hint: Option<String>,
}

impl Failure {
    fn new(exit: Exit, error: impl Into<anyhow::Error>) -> Self {
        Self {
            exit,
            error: Some(error.into()),
            hint: None,
        }
    }

    fn shown(exit: Exit) -> Self {
        Self {
            exit,
            error: None,
            hint: None,
        }
    }

    fn show(&self) {
        self.show_for("");
    }

    /// As it is shown where there are several machines: with the name of the one before it.
    fn show_for(&self, name: &str) {
        let mut text = String::new();
        if let Some(error) = &self.error {
            let label = match name {
                "" => String::new(),
                name => format!("{name}: "),
            };
            text = format!(
                "btcloud-host: {label}{}\n",
                clean(&format!("{error:#}"), 16 * 1024)
            );
        }
        if let Some(hint) = &self.hint {
            text.push_str(&format!("  hint: {}\n", clean(hint, 16 * 1024)));
        }
        drop(io::stderr().write_all(text.as_bytes()));
    }
}

impl From<crate::machine::Error> for Failure {
    fn from(error: crate::machine::Error) -> Self {
        Self {
            exit: Exit::of(&error),
            hint: error.hint(),
            // Its text tells the causes too.
            error: Some(anyhow::Error::msg(error.to_string())),
        }
    }
}

/// Prints a line of data. A reader that has gone is no failure, as for other tools in a pipeline.
fn print(line: &str) -> Result<(), Failure> {
    match writeln!(io::stdout(), "{line}") {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => {
            let error = anyhow::Error::new(e).context("cannot write to the standard output");
            Err(Failure::new(Exit::Failed, error))
        }
        _ => Ok(()),
    }
}

fn print_json(json: &serde_json::Value) -> Result<(), Failure> {
    print(&format!("{json:#}"))
}

fn warn(text: &str) {
    tell(&format!("btcloud-host: warning: {text}"));
}

/// Writes a line for the user. If nobody can read it, nobody can be told of that.
fn tell(line: &str) {
    drop(writeln!(io::stderr(), "{line}"));
}

/// A state as docker-machine writes it.
fn state_name(state: State) -> &'static str {
    match state {
        State::None => "",
        State::Running => "Running",
        State::Paused => "Paused",
        State::Saved => "Saved",
        State::Stopped => "Stopped",
        State::Stopping => "Stopping",
        State::Starting => "Starting",
        State::Error => "Error",
        State::Timeout => "Timeout",
        State::NotFound => "Not Found",
    }
}

/// Asks the user, who agrees by yes. `otherwise` tells how to do it where there is no terminal.
fn consents(question: &str, otherwise: &str) -> Result<bool, Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure {
            hint: Some(otherwise.to_owned()),
            ..Failure::new(
                Exit::Usage,
                anyhow::anyhow!("there is no terminal to ask for your consent at"),
            )
        });
    }
    drop(write!(io::stderr(), "{question} [y/N] "));
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer);
    read.context("cannot read your answer")
        .map_err(|e| Failure::new(Exit::Failed, e))?;
    Ok(["y", "yes"].contains(&answer.trim().to_ascii_lowercase().as_str()))
}

/// The first SIGINT, SIGTERM or SIGHUP asks to stop and to undo; the second one ends the process, after `last_words`.
fn cancel_on_signals(last_words: impl Fn() + Send + 'static) -> Cancel {
    let cancel = Cancel::default();
    let asked = AtomicBool::new(false);
    let handler_cancel = cancel.clone();
    let handler = move || {
        if asked.swap(true, Ordering::SeqCst) {
            last_words();
            process::exit(Exit::Interrupted as i32);
        }
        warn("interrupted; a second signal stops at once");
        handler_cancel.set();
    };
    if let Err(error) = ctrlc::set_handler(handler) {
        warn(&format!("signals cannot be handled: {error}"));
    }
    cancel
}
