//! The project's chores; `cargo xtask` lists them.
//!
//! Each does all its set-up itself. It uses nothing but the standard library, so that it is built in a second.

mod audit;
mod bench;
mod clean_root;
mod clients;
mod demo;
mod fuzz;
mod package;
mod real_machine;
#[path = "../../host/build/remap.rs"]
mod remap;
mod setup;
mod test;
mod tools;
mod upgrade_set;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

const USAGE: &str = "\
Usage: cargo xtask CHORE

  demo   play the life of a machine against a simulated cloud; needs no account. With --real the machine is a Linux
         of its own, with Docker in it; it needs root on a Debian
  test   run every test of the workspace; says what it skips and why
  lint   check formatting and lints
  fuzz   fuzz what is read from outside, each target for 60 s or the seconds given, or one target
         that is named after them; installs cargo-fuzz if it is missing
  bench  measure what the sandbox and the plugin cost, in a release build
  build  build the programs, and the driver components into target/components
  package
         build a Debian package of the programs, and print the digests of all that is released. With --dev it is made of
         the programs as they are for tests, which is quicker; nobody should be given that
  audit  look at the licences, advisories, versions and sources of what is built into the programs
  upgrade-set
         have this version write what later ones have to read, into tests/upgrade; once, when it is released";

/// Why a chore failed, for the one who started it.
type Result<T> = std::result::Result<T, String>;

fn main() -> ExitCode {
    if fuzz::is_compiler() {
        return fuzz::compile();
    }
    let args: Vec<_> = std::env::args().skip(1).collect();
    let words: Vec<_> = args.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        ["demo"] => demo::play(),
        ["demo", "--real"] => demo::play_real(),
        ["test", rest @ ..] => test::run(rest),
        ["lint"] => lint(),
        ["fuzz"] => fuzz::run_all(None, None),
        ["fuzz", seconds] => fuzz::run_all(Some(seconds), None),
        ["fuzz", seconds, target] => fuzz::run_all(Some(seconds), Some(target)),
        ["bench"] => bench::run_all(),
        ["upgrade-set"] => upgrade_set::write(),
        ["build"] => setup::build().and_then(|()| setup::components().map(drop)),
        ["audit"] => audit::run_all(),
        ["package"] => package::release(),
        ["package", "--dev"] => package::build(package::Profile::Dev).map(drop),
        _ => Err(USAGE.to_owned()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn lint() -> Result<()> {
    setup::prepare()?;
    run(cargo().args(["fmt", "--all", "--check"]))?;
    run(cargo().args(["fmt", "--manifest-path", "fuzz/Cargo.toml", "--check"]))?;
    let clippy = [
        "clippy",
        "--workspace",
        "--all-targets",
        "--quiet",
        "--",
        "-D",
        "warnings",
    ];
    run(cargo().args(clippy))?;
    // What of drivers is only there for their own target.
    let components = [
        "--package=btcloud-driver",
        "--package=cloudstack-driver",
        "--package=hetzner-driver",
        "--lib",
        "--target=wasm32-wasip2",
    ];
    run(cargo()
        .arg("clippy")
        .args(components)
        .args(["--quiet", "--", "-D", "warnings"]))?;
    // The template is a workspace of its own.
    let template = root().join("templates/driver");
    run(cargo().args(["fmt", "--check"]).current_dir(&template))?;
    run(cargo()
        .args([
            "clippy",
            "--locked",
            "--quiet",
            "--release",
            "--target=wasm32-wasip2",
        ])
        .arg("--target-dir")
        .arg(target_dir().join("template"))
        .args(["--", "-D", "warnings"])
        .current_dir(&template))?;
    run(cargo()
        .args(["doc", "--workspace", "--no-deps", "--quiet"])
        .env("RUSTDOCFLAGS", "-D warnings"))
}

/// The workspace's directory.
fn root() -> PathBuf {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask).to_owned()
}

/// Where cargo puts what it builds.
fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// A program of the workspace, as `cargo build` makes it.
fn program(name: &str) -> PathBuf {
    target_dir().join("debug").join(name)
}

/// cargo, in the workspace.
fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root());
    cargo
}

/// Runs a command that shows its output itself.
fn run(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .map_err(|e| format!("cannot run {command:?}: {e}"))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("failed ({status}): {command:?}"))
    }
}

/// Runs a command quietly and tells its output.
fn output(command: &mut Command) -> Result<String> {
    let output = command
        .output()
        .map_err(|e| format!("cannot run {command:?}: {e}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(format!("failed ({}): {command:?}\n{errors}", output.status))
}

/// Whether this runs as root, which may become any other user.
fn check_root() -> Result<()> {
    match output(Command::new("id").arg("-u"))?.trim() {
        "0" => Ok(()),
        _ => Err("it needs root".to_owned()),
    }
}

/// Where a program is in the search path, if it is.
fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut programs = std::env::split_paths(&path).map(|directory| directory.join(name));
    programs.find(|program| program.is_file())
}

/// Whether a program is in the search path.
fn is_installed(program: &str) -> bool {
    find_program(program).is_some()
}
