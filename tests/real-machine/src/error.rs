//! What can go wrong.

use std::io;
use std::path::PathBuf;

/// Why there is no real machine, in one sentence.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// This machine cannot run guests, or is not allowed to.
    #[error("this machine cannot run real guests: {0}")]
    CannotRun(String),
    /// The image could not be built.
    #[error("the image of the real machine could not be built: {0}")]
    Image(String),
    /// The laboratory did not start, or has ended.
    #[error("the laboratory of real machines does not run: {0}")]
    Laboratory(String),
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A program could not be run.
    #[error("cannot run {program}: {source}")]
    Program {
        /// The program.
        program: String,
        /// Why.
        source: io::Error,
    },
}

impl Error {
    pub(crate) fn file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        |source| Self::File { path, source }
    }

    pub(crate) fn program(program: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let program = program.into();
        |source| Self::Program { program, source }
    }
}
