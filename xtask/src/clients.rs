//! Programs from elsewhere that tests and benches need: clients in Go and Python, and the driver in Python.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Result, find_program, is_installed, output, root, target_dir};

/// The version of componentize-py that builds the driver in Python; the guide names it too.
const COMPONENTIZE_PY: &str = "componentize-py==0.25.1";

/// Builds a program in Go, a package in a module of `tests/clients`, with Go's ordinary tools.
pub(crate) fn build_go(name: &str, package: &str) -> Result<PathBuf> {
    build_go_as(name, package, name)
}

/// The same, as a program of another name.
pub(crate) fn build_go_as(name: &str, package: &str, program: &str) -> Result<PathBuf> {
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

/// Finds a program that only its users install.
pub(crate) fn find(name: &str) -> Result<PathBuf> {
    find_program(name).ok_or_else(|| format!("{name} is not installed"))
}

/// Installs the client `cs`, and tells its Python.
pub(crate) fn install_cs() -> Result<PathBuf> {
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
pub(crate) fn build_python_driver() -> Result<PathBuf> {
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
