//! Genuine docker-machine clients.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::{Lab, Outcome};

/// The variables that name clients: docker-machine, rancher-machine, and whatever a person wants to try.
const VARIABLES: [&str; 3] = [
    "TEST_DOCKER_MACHINE",
    "TEST_RANCHER_MACHINE",
    "DOCKER_MACHINE_BIN",
];

/// A genuine client.
#[derive(Clone, Debug)]
pub struct Client {
    program: PathBuf,
    number: u8,
    /// Whether it is rancher-machine, which takes some answers in another way than docker-machine and GitLab's fork.
    pub is_rancher: bool,
}

impl Client {
    /// The client that a variable names.
    ///
    /// # Panics
    ///
    /// If it is none that names clients, or names none. A test that needs a client must not pass without.
    pub fn named_by(variable: &str) -> Self {
        let number = VARIABLES.iter().position(|known| *known == variable);
        let number = number.and_then(|number| u8::try_from(number).ok());
        let program = std::env::var_os(variable).map(PathBuf::from);
        let program = program.unwrap_or_else(|| {
            panic!("{variable} names no client; `cargo xtask test` builds one, or skips this test")
        });
        let version = Command::new(&program).arg("--version").output();
        let version = version.unwrap_or_else(|e| panic!("{}: {e}", program.display()));
        Self {
            is_rancher: String::from_utf8_lossy(&version.stdout).contains("rancher"),
            program,
            number: number.expect("a variable that names clients"),
        }
    }

    /// A small number that no other client has, for addresses that the same test uses with each of them at the same time.
    pub fn number(&self) -> u8 {
        self.number
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

/// The plugins that a client has started, by their process ids; its orphans too if it is dead and led a process group.
///
/// # Panics
///
/// Where there is no `/proc`.
pub fn plugins_of(client: i32, is_dead: bool) -> Vec<i32> {
    let mut plugins = Vec::new();
    for entry in fs::read_dir("/proc").expect("the processes").flatten() {
        let name = entry.file_name();
        let Some(id) = name.to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        let Ok(exe) = fs::read_link(entry.path().join("exe")) else {
            continue;
        };
        if !exe.ends_with("docker-machine-driver-btcloud") {
            continue;
        }
        // The group outlives the parent.
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let fields: Vec<_> = match stat.rsplit_once(')') {
            Some((_, rest)) => rest.split_whitespace().collect(),
            None => continue,
        };
        let field = |i: usize| fields.get(i).and_then(|field| field.parse::<i32>().ok());
        let (parent, group) = (field(1), field(2));
        if parent == Some(client) || is_dead && group == Some(client) {
            plugins.push(id);
        }
    }
    plugins
}

/// Tests that run once with each genuine client: functions of the calling module that take a [`Client`]. Their names are in
/// its `TESTS`.
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
    ([$($test:ident),* $(,)?]) => {
        #[allow(dead_code, reason = "not every module with such tests is listed somewhere")]
        pub(crate) const TESTS: &[&str] = &[$(stringify!($test)),*];

        $crate::tests_with_clients!(docker_machine_client, "TEST_DOCKER_MACHINE", [$($test),*]);
        $crate::tests_with_clients!(rancher_machine_client, "TEST_RANCHER_MACHINE", [$($test),*]);
        // Whatever client a person wants to try.
        $crate::tests_with_clients!(chosen_client, "DOCKER_MACHINE_BIN", [$($test),*]);
    };
}
