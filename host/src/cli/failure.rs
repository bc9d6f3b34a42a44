//! How a command ends if not well, and how that is told.

use std::fmt::Display;
use std::io::{self, Write as _};

use super::exit::Exit;
use crate::capability::text::clean;
use crate::{machine, registry};

/// The most bytes of an error or a hint.
const MAX_TEXT: usize = 16 * 1024;

/// How a command ended if not well.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) exit: Exit,
    /// What to tell the user; nothing if that has been done.
    pub(super) error: Option<String>,
    /// What the user can do about it.
    pub(super) hint: Option<String>,
}

impl Failure {
    /// A failure with what is told of it: of an `anyhow::Error` its causes too.
    pub(super) fn new(exit: Exit, error: impl Display) -> Self {
        Self {
            error: Some(format!("{error:#}")),
            ..Self::silent(exit)
        }
    }

    /// The command line is wrong.
    pub(super) fn usage(error: impl Display) -> Self {
        Self::new(Exit::Usage, error)
    }

    /// What was asked for failed.
    pub(super) fn failed(error: impl Display) -> Self {
        Self::new(Exit::Failed, error)
    }

    /// One of which nothing more is said.
    pub(super) fn silent(exit: Exit) -> Self {
        Self {
            exit,
            error: None,
            hint: None,
        }
    }

    /// The same with what the user can do about it.
    pub(super) fn with_hint(self, hint: impl Into<String>) -> Self {
        Self {
            hint: Some(hint.into()),
            ..self
        }
    }

    /// Tells the user.
    pub(super) fn show(&self) {
        self.show_for("");
    }

    /// Tells the user, where there are several machines: with the name of the one before it.
    pub(super) fn show_for(&self, name: &str) {
        let mut text = String::new();
        if let Some(error) = &self.error {
            let label = match name {
                "" => String::new(),
                name => format!("{name}: "),
            };
            text = format!("btcloud-host: {label}{}\n", clean(error, MAX_TEXT));
        }
        if let Some(hint) = &self.hint {
            text.push_str(&format!("  hint: {}\n", clean(hint, MAX_TEXT)));
        }
        drop(io::stderr().write_all(text.as_bytes()));
    }
}

impl From<machine::Error> for Failure {
    fn from(error: machine::Error) -> Self {
        Self {
            hint: error.hint(),
            ..Self::new(Exit::of(&error), error)
        }
    }
}

impl From<registry::Error> for Failure {
    fn from(error: registry::Error) -> Self {
        machine::Error::from(error).into()
    }
}
