//! `cargo xtask test`: every test of the workspace, with the programs that the tests use.

use std::path::PathBuf;
use std::process::Command;

use crate::{Result, cargo, check_root, clean_root, clients, output, package, real_machine, setup};

/// What is made with programs from elsewhere, and tests need.
struct Foreign {
    /// What it is.
    name: &'static str,
    /// The tests that need it have this in their names.
    tests: &'static str,
    /// The variable that tells the tests where it is.
    variable: &'static str,
    /// Provides it.
    provide: fn() -> Result<PathBuf>,
    /// Looks whether it can be had on this machine at all; where it cannot, not even CI misses it.
    check: fn() -> Result<()>,
}

const FOREIGN: [Foreign; 10] = [
    Foreign {
        name: "docker-machine 0.16.2, built from its Go module",
        tests: "docker_machine_client",
        variable: "TEST_DOCKER_MACHINE",
        provide: || clients::build_go("docker-machine", "."),
        check: || Ok(()),
    },
    Foreign {
        name: "rancher-machine, built from its Go module",
        tests: "rancher_machine_client",
        variable: "TEST_RANCHER_MACHINE",
        provide: || {
            clients::build_go(
                "rancher-machine",
                "github.com/rancher/machine/cmd/rancher-machine",
            )
        },
        check: || Ok(()),
    },
    Foreign {
        name: "Go's own gob and net/rpc",
        tests: "gob_peer",
        variable: "TEST_GOB_PEER",
        provide: || clients::build_go("gob-peer", "."),
        check: || Ok(()),
    },
    Foreign {
        name: "the CloudStack client cs, from PyPI",
        tests: "cs_client",
        variable: "CLOUDSTACK_TEST_PYTHON",
        provide: clients::install_cs,
        check: || Ok(()),
    },
    Foreign {
        name: "Docker's client",
        tests: "docker_client",
        variable: "TEST_DOCKER",
        // It needs no engine for what the tests do.
        provide: || clients::find("docker"),
        check: || Ok(()),
    },
    Foreign {
        name: "zsh",
        tests: "zsh",
        variable: "TEST_ZSH",
        provide: || clients::find("zsh"),
        check: || Ok(()),
    },
    Foreign {
        name: "the driver in Python, built by componentize-py from PyPI",
        tests: "python_driver",
        variable: "TEST_PYTHON_DRIVER",
        provide: clients::build_python_driver,
        check: || Ok(()),
    },
    Foreign {
        name: "real machines, of an image built from Debian's packages",
        tests: "real_machine",
        variable: "TEST_REAL_MACHINE",
        provide: real_machine::image,
        check: real_machine::check,
    },
    Foreign {
        name: "the Debian package",
        tests: "installed_package",
        variable: "TEST_PACKAGE",
        provide: || package::build(package::Profile::Dev),
        check: clean_root::check,
    },
    Foreign {
        name: "a clean Debian, made of its packages",
        tests: "installed_package",
        variable: "TEST_CLEAN_ROOT",
        provide: clean_root::provide,
        check: clean_root::check,
    },
];

/// What only some machines let a test do.
struct Right {
    /// What it is.
    name: &'static str,
    /// The tests that need it have this in their names.
    tests: &'static str,
    /// Looks whether this machine lets it; where it does not, not even CI misses it.
    check: fn() -> Result<()>,
}

const RIGHTS: [Right; 2] = [
    Right {
        name: "another user",
        tests: "only_root",
        check: check_root,
    },
    Right {
        name: "a mount namespace of their own",
        tests: "mount_namespace",
        check: check_mount_namespace,
    },
];

/// Whether a program can be the root of a mount namespace of its own, in which it mounts something.
fn check_mount_namespace() -> Result<()> {
    let script = "mount -t tmpfs none /mnt";
    let arguments = ["--map-root-user", "--mount", "sh", "-ec", script];
    output(Command::new("unshare").args(arguments)).map(drop)
}

/// Runs the tests; `arguments` go to the test programs, such as a part of a test's name.
pub(crate) fn run(arguments: &[&str]) -> Result<()> {
    setup::build()?;
    let mut tests = cargo();
    tests
        .args(["test", "--workspace", "--no-fail-fast", "--"])
        .args(arguments);
    let mut skipped = Vec::new();
    let mut is_incomplete = false;
    for foreign in FOREIGN {
        if let Err(reason) = (foreign.check)() {
            tests.args(["--skip", foreign.tests]);
            skipped.push(format!("tests with {}: {reason}", foreign.name));
            continue;
        }
        match (foreign.provide)() {
            Ok(path) => drop(tests.env(foreign.variable, path)),
            Err(reason) => {
                is_incomplete = true;
                tests.args(["--skip", foreign.tests]);
                skipped.push(format!("tests with {}: {reason}", foreign.name));
            }
        }
    }
    for right in RIGHTS {
        if let Err(reason) = (right.check)() {
            tests.args(["--skip", right.tests]);
            skipped.push(format!("tests with {}: {reason}", right.name));
        }
    }
    if std::env::var_os("DOCKER_MACHINE_BIN").is_none() {
        tests.args(["--skip", "chosen_client"]);
        skipped
            .push("tests with a client of your choice: DOCKER_MACHINE_BIN names none".to_owned());
    }
    let result = crate::run(&mut tests);
    println!(
        "\nSkipped: {}",
        if skipped.is_empty() { "nothing" } else { "" }
    );
    for skipped in &skipped {
        println!("  {skipped}");
    }
    // On a build server everything has to be there, but for the client that only a person can choose.
    if std::env::var_os("CI").is_some() && is_incomplete {
        return result.and(Err(
            "some tests were skipped, which CI does not allow".to_owned()
        ));
    }
    result
}
