//! Errors as the contract wants them.

use crate::contract::types::{Error, ErrorKind};
use crate::text;

/// An error without a hint.
pub(crate) fn error(kind: ErrorKind, message: impl Into<String>) -> Error {
    Error {
        kind,
        message: text::without_controls(&message.into()),
        hint: None,
    }
}

/// An error with a hint.
pub(crate) fn hinted(
    kind: ErrorKind,
    message: impl Into<String>,
    hint: impl Into<String>,
) -> Error {
    Error {
        hint: Some(hint.into()),
        ..error(kind, message)
    }
}
