//! `cargo xtask upgrade-set`: has this version write what later ones have to read.

use std::process::Command;

use crate::{Result, clients, is_installed, program, root, run, setup};

/// Writes the set of the workspace's version, which must not be there yet.
pub(crate) fn write() -> Result<()> {
    if !is_installed("minisign") {
        return Err("minisign, which signs a driver, is not installed".to_owned());
    }
    setup::build()?;
    let client = clients::build_go("docker-machine", ".")?;
    let set = root().join("tests/upgrade").join(env!("CARGO_PKG_VERSION"));
    run(Command::new(program("upgrade-set")).args([client, set]))
}
