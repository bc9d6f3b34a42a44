//! Genuine docker-machine clients.

use std::path::PathBuf;
use std::process::Command;

use crate::{Lab, Outcome};

/// A genuine client.
#[derive(Clone, Debug)]
pub struct Client {
    program: PathBuf,
}

impl Client {
    /// The client that a variable names.
    ///
    /// # Panics
    ///
    /// If it names none. A test that needs a client must not pass without.
    pub fn named_by(variable: &str) -> Self {
        let program = std::env::var_os(variable).map(PathBuf::from);
        let program = program.unwrap_or_else(|| {
            panic!("{variable} names no client; `cargo xtask test` builds one, or skips this test")
        });
        Self { program }
    }

    /// The client with arguments, in a user's environment.
    pub fn command(&self, lab: &Lab, arguments: &[&str]) -> Command {
        let mut command = lab.command(&self.program);
        // rancher-machine keeps its machines elsewhere by default.
        command
            .arg("--storage-path")
            .arg(lab.store())
            .args(arguments);
        command
    }

    /// Runs the client.
    pub fn run(&self, lab: &Lab, arguments: &[&str]) -> Outcome {
        lab.finish(&mut self.command(lab, arguments))
    }
}
