//! What goes to the user and what comes from there: the standard streams and signals.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::process;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;

use super::exit::Exit;
use super::failure::Failure;
use crate::capability::clock::Cancel;

/// Prints a line of data. A reader that has gone is no failure, as for other tools in a pipeline.
///
/// # Errors
///
/// If it cannot be written otherwise.
pub(super) fn print(line: &str) -> Result<(), Failure> {
    print_bytes(format!("{line}\n").as_bytes())
}

/// Prints data that may be no text, as [`print`] does a line.
///
/// # Errors
///
/// As [`print`].
pub(super) fn print_bytes(data: &[u8]) -> Result<(), Failure> {
    match io::stdout().write_all(data) {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => Err(Failure::failed(format!(
            "cannot write to the standard output: {e}"
        ))),
        _ => Ok(()),
    }
}

/// Prints JSON for a program, and so that a person can read it.
///
/// # Errors
///
/// As [`print`].
pub(super) fn print_json(json: &serde_json::Value) -> Result<(), Failure> {
    print(&format!("{json:#}"))
}

/// Warns the user.
pub(super) fn warn(text: &str) {
    tell(&format!("btcloud-host: warning: {text}"));
}

/// Writes a line for the user. If nobody can read it, nobody can be told of that.
pub(super) fn tell(line: &str) {
    drop(writeln!(io::stderr(), "{line}"));
}

/// Asks the user, who agrees by yes. `otherwise` tells how to do it where there is no terminal.
///
/// # Errors
///
/// If there is no terminal, or the answer cannot be read.
pub(super) fn consents(question: &str, otherwise: &str) -> Result<bool, Failure> {
    if !io::stdin().is_terminal() {
        let error = "there is no terminal to ask for your consent at";
        return Err(Failure::usage(error).with_hint(otherwise));
    }
    drop(write!(io::stderr(), "{question} [y/N] "));
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer);
    read.context("cannot read your answer")
        .map_err(Failure::failed)?;
    Ok(["y", "yes"].contains(&answer.trim().to_ascii_lowercase().as_str()))
}

/// The first SIGINT, SIGTERM or SIGHUP asks to stop and to undo; the second one ends the process, after `last_words`.
pub(super) fn cancel_on_signals(last_words: impl Fn() + Send + 'static) -> Cancel {
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
