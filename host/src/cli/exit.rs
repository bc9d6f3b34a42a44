//! The exit codes; `--help` lists them.

use std::process::ExitCode;

use crate::contract::types::ErrorKind;
use crate::machine::Error;

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    Done = 0,
    Failed = 1,
    Usage = 2,
    /// As docker-machine's when the check before the creation fails.
    Check = 3,
    /// As rancher-machine's `status` of a machine that is gone.
    NotFound = 4,
    /// As a shell tells it of a process that SIGINT ended.
    Interrupted = 130,
}

impl Exit {
    pub(super) fn of(error: &Error) -> Self {
        match error.kind() {
            ErrorKind::Cancelled => Self::Interrupted,
            // Something had been made by then, even if it has been undone.
            _ if matches!(error, Error::Create { .. }) => Self::Failed,
            ErrorKind::InvalidOption => Self::Usage,
            ErrorKind::NotFound => Self::NotFound,
            _ => Self::Failed,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
