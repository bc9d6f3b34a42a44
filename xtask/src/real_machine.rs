//! The image of the real machines behind the simulated cloud.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::{Result, program, target_dir};

/// Looks whether this machine can run them, and says in a sentence why not.
pub(crate) fn check() -> Result<()> {
    tell("check").map(drop)
}

/// Builds the image, unless it is there, and tells its directory.
pub(crate) fn image() -> Result<PathBuf> {
    println!("Looking for the image of the real machines, or building it");
    tell("image").map(PathBuf::from)
}

/// Runs the program of them, and tells its answer, or what it complains of.
fn tell(command: &str) -> Result<String> {
    let output = Command::new(program("real-machine"))
        .arg(command)
        .arg("--cache")
        .arg(target_dir().join("real-machine"))
        .stdin(Stdio::null())
        .output()
        .map_err(|e| format!("cannot run real-machine: {e}"))?;
    let text = |bytes| String::from_utf8_lossy(bytes).trim().to_owned();
    match output.status.success() {
        true => Ok(text(&output.stdout)),
        false => Err(text(&output.stderr)),
    }
}
