//! `cargo xtask audit`: licences, advisories, versions and sources of what is built into the programs.

use std::process::Command;

use crate::{Result, output, root, run, tools};

/// What goes to users: the programs with all that is built into them, and the driver's component.
const PACKAGES: [&str; 2] = ["host", "driver-wasm"];

/// Looks at all, by `deny.toml`. Advisories are left out, and that is said, where their database cannot be had.
pub(crate) fn run_all() -> Result<()> {
    let program = tools::DENY.provide()?;
    let deny = || {
        let mut deny = Command::new(&program);
        deny.current_dir(root());
        deny
    };
    let mut checks = vec!["bans", "licenses", "sources"];
    match output(deny().args(["fetch", "db"])) {
        Ok(_) => checks.push("advisories"),
        Err(reason) => {
            println!("Not looked at: advisories, whose database cannot be had.\n{reason}");
        }
    }
    for package in PACKAGES {
        println!("{package}:");
        run(deny()
            .arg("--manifest-path")
            .arg(root().join(package).join("Cargo.toml"))
            .args(["--locked", "--exclude-dev", "--config"])
            .arg(root().join("deny.toml"))
            .arg("check")
            // The list of licences is for both.
            .args(["--allow", "license-not-encountered"])
            .args(["--allow", "unmatched-skip", "--allow", "unnecessary-skip"])
            .args(&checks))?;
    }
    Ok(())
}
