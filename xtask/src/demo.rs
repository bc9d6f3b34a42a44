//! `cargo xtask demo`: the life of a machine against a simulated cloud.

use std::path::PathBuf;
use std::process::Command;

use crate::{Result, find_program, program, real_machine, run, setup, target_dir};

/// Plays it, with a genuine client too if one is at hand.
pub(crate) fn play() -> Result<()> {
    setup::build()?;
    run(Command::new(program("demo")).args(client()))
}

/// Plays it with a real machine.
pub(crate) fn play_real() -> Result<()> {
    setup::build()?;
    real_machine::check()?;
    let client = client().ok_or(
        "There is no docker-machine client: DOCKER_MACHINE_BIN may name one, and `cargo xtask test` builds one.",
    )?;
    run(Command::new(program("demo"))
        .arg(client)
        .arg(real_machine::image()?))
}

/// A docker-machine client: the one that is asked for, the one that the tests have built, or one in the search path.
fn client() -> Option<PathBuf> {
    let built = target_dir().join("clients").join("docker-machine");
    let chosen = std::env::var_os("DOCKER_MACHINE_BIN").map(PathBuf::from);
    let installed = find_program("docker-machine");
    // The addresses that the simulated machines have are there on Linux only.
    let mut candidates = chosen.into_iter().chain([built]).chain(installed);
    candidates.find(|client| cfg!(target_os = "linux") && client.is_file())
}
