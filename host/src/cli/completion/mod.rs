//! What a shell is told that completes a command line.

mod names;
mod words;

use std::env;
use std::ffi::{OsStr, OsString};

use clap::Command;
use clap_complete::CompletionCandidate;
use clap_complete::env::CompleteEnv;

use super::failure::Failure;
use crate::machine::Store;
pub(super) use names::Completer;
pub(super) use words::Words;

/// The variable by which a shell asks for completions.
pub(super) const VARIABLE: &str = "BTCLOUD_COMPLETE";

/// The variable in which bash tells the word that is being typed with the quote that it begins with, if it does.
pub(super) const WORD: &str = "BTCLOUD_COMPLETE_WORD";

/// The words of the command line that a shell wants completed, if it does: they come after `--`.
pub(super) fn words(args: &[OsString]) -> Option<Words> {
    env::var_os(VARIABLE)?;
    let at = args.iter().position(|arg| arg == "--")?;
    args.get(at.checked_add(1)?..).map(Words::new)
}

/// Answers a shell that asks for completions; tells whether one has.
pub(super) fn answer(args: &[OsString], command: impl Fn() -> Command) -> Result<bool, Failure> {
    if env::var_os(VARIABLE).is_none() {
        return Ok(false);
    }
    let directory = env::current_dir().ok();
    CompleteEnv::with_factory(command)
        .var(VARIABLE)
        .try_complete(args.iter(), directory.as_deref())
        .map_err(|e| Failure::usage(e.render()))
}

/// The machines of the user's store whose names begin like that. Which store another flag names is not known here.
pub(super) fn machines(begin: &OsStr) -> Vec<CompletionCandidate> {
    let store = match env::var_os("MACHINE_STORAGE_PATH").filter(|path| !path.is_empty()) {
        Some(path) => Some(Store::at(path.into())),
        None => Store::of_user(),
    };
    let names = store.and_then(|store| store.names().ok());
    let begin = begin.to_string_lossy();
    let names = names.into_iter().flatten();
    names
        .filter(|name| name.starts_with(&*begin))
        .map(CompletionCandidate::new)
        .collect()
}
