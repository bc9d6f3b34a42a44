//! `cargo xtask test`: every test of the workspace, with the programs that the tests use.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Result, cargo, is_installed, output, package, real_machine, root, setup, target_dir};

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
        provide: || build_go_client("docker-machine", "."),
        check: || Ok(()),
    },
    Foreign {
        name: "rancher-machine, built from its Go module",
        tests: "rancher_machine_client",
        variable: "TEST_RANCHER_MACHINE",
        provide: || {
            build_go_client(
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
        provide: || build_go_client("gob-peer", "."),
        check: || Ok(()),
    },
    Foreign {
        name: "the CloudStack client cs, from PyPI",
        tests: "cs_client",
        variable: "CLOUDSTACK_TEST_PYTHON",
        provide: install_cs,
        check: || Ok(()),
    },
    Foreign {
        name: "Docker's client",
        tests: "docker_client",
        variable: "TEST_DOCKER",
        provide: || find_program("docker"),
        check: || Ok(()),
    },
    Foreign {
        name: "zsh",
        tests: "zsh",
        variable: "TEST_ZSH",
        provide: || find_program("zsh"),
        check: || Ok(()),
    },
    Foreign {
        name: "the driver in Python, built by componentize-py from PyPI",
        tests: "python_driver",
        variable: "TEST_PYTHON_DRIVER",
        provide: build_python_driver,
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
        check: package::check_root,
    },
    Foreign {
        name: "a clean Debian, made of its packages",
        tests: "installed_package",
        variable: "TEST_CLEAN_ROOT",
        provide: package::clean_root,
        check: package::check_root,
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

/// Whether a program can become another user.
fn check_root() -> Result<()> {
    match output(Command::new("id").arg("-u"))?.trim() {
        "0" => Ok(()),
        _ => Err("that takes root".to_owned()),
    }
}

/// Whether a program can be the root of a mount namespace of its own, in which it mounts something.
fn check_mount_namespace() -> Result<()> {
    let script = "mount -t tmpfs none /mnt";
    let arguments = ["--map-root-user", "--mount", "sh", "-ec", script];
    output(Command::new("unshare").args(arguments)).map(drop)
}

/// The version of componentize-py that builds the driver in Python; the guide names it too.
const COMPONENTIZE_PY: &str = "componentize-py==0.25.1";

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

/// Builds a program in Go, a package in a module of `tests/clients`, with Go's ordinary tools.
pub(crate) fn build_go_client(name: &str, package: &str) -> Result<PathBuf> {
    build_go(name, package, name)
}

/// The same, as a program of another name.
pub(crate) fn build_go(name: &str, package: &str, program: &str) -> Result<PathBuf> {
    if !is_installed("go") {
        return Err("Go is not installed".to_owned());
    }
    let module = root().join("tests/clients").join(name);
    let program = target_dir().join("clients").join(program);
    println!("Building {name} with Go");
    let mut go = Command::new("go");
    go.arg("build")
        .arg("-C")
        .arg(&module)
        .args(["-mod=readonly", "-buildvcs=false", "-o"])
        .arg(&program)
        .arg(package);
    output(&mut go)?;
    Ok(program)
}

/// Finds a program in the search path. Docker's client needs no engine for what the tests do.
fn find_program(name: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|directory| directory.join(name))
        .find(|program| program.is_file())
        .ok_or_else(|| format!("{name} is not installed"))
}

/// Installs the client `cs`, and tells its Python.
fn install_cs() -> Result<PathBuf> {
    install_python("cs", "cs==5.2.0")
}

/// Installs a package from PyPI, by which a module comes, into an environment of its own, and tells its Python.
fn install_python(module: &str, package: &str) -> Result<PathBuf> {
    if !is_installed("python3") {
        return Err("Python 3 is not installed".to_owned());
    }
    let environment = target_dir().join("clients").join(package);
    let python = environment.join("bin").join("python");
    let import = format!("import {module}");
    if output(Command::new(&python).args(["-c", &import])).is_err() {
        println!("Installing {package} with pip");
        output(
            Command::new("python3")
                .args(["-m", "venv", "--clear"])
                .arg(&environment),
        )?;
        output(Command::new(&python).args(["-m", "pip", "install", "--quiet", package]))?;
    }
    Ok(python)
}

/// Builds the component of the driver in Python, unless that has been done since its sources changed.
fn build_python_driver() -> Result<PathBuf> {
    let source = root().join("tests/drivers/python");
    let component = target_dir().join("clients").join("hetzner_py.wasm");
    let python = install_python("componentize_py", COMPONENTIZE_PY)?;
    let changed = |path: &Path| {
        path.metadata()
            .and_then(|metadata| metadata.modified())
            .ok()
    };
    let wit = fs::read_dir(root().join("wit")).map_err(|e| e.to_string())?;
    let wit = wit.flatten().map(|entry| entry.path());
    let sources = wit.chain([source.join("hetzner_py.py"), python.clone()]);
    if changed(&component) < sources.filter_map(|path| changed(&path)).max() {
        println!("Building the driver in Python");
        output(
            Command::new(python.with_file_name("componentize-py"))
                .arg("--wit-path")
                .arg(root().join("wit"))
                .args(["--world", "driver", "componentize", "hetzner_py"])
                .arg("--python-path")
                .arg(&source)
                .arg("--output")
                .arg(&component)
                .env("PYTHONDONTWRITEBYTECODE", "1"),
        )?;
    }
    Ok(component)
}
