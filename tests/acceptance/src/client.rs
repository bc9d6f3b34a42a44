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

/// Tests that run once with each genuine client: functions of the calling file that take a [`Client`].
#[macro_export]
macro_rules! tests_with_clients {
    ($client:ident, $variable:literal, [$($test:ident),* $(,)?]) => {
        mod $client {
            $(
                #[test]
                fn $test() {
                    super::$test(&$crate::client::Client::named_by($variable));
                }
            )*
        }
    };
    ($tests:tt) => {
        $crate::tests_with_clients!(docker_machine_client, "TEST_DOCKER_MACHINE", $tests);
        $crate::tests_with_clients!(rancher_machine_client, "TEST_RANCHER_MACHINE", $tests);
        // Whatever client a person wants to try.
        $crate::tests_with_clients!(chosen_client, "DOCKER_MACHINE_BIN", $tests);
    };
}
