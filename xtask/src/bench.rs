//! `cargo xtask bench`: what the sandbox and the plugin cost, against native ones.

use std::process::Command;

use crate::{Result, cargo, clients, run, setup, target_dir};

/// Builds everything in release and measures it.
pub(crate) fn run_all() -> Result<()> {
    setup::prepare()?;
    run(cargo().args([
        "build",
        "--release",
        "--bins",
        "--package=bench",
        "--package=btcloud-host",
    ]))?;
    let mut bench = Command::new(target_dir().join("release/bench"));
    let go = [
        (
            "TEST_DOCKER_MACHINE",
            clients::build_go("docker-machine", "."),
        ),
        (
            "BENCH_GO_PLUGIN",
            clients::build_go_as("go-plugin", ".", "docker-machine-driver-gobench"),
        ),
    ];
    for (variable, built) in go {
        match built {
            Ok(program) => drop(bench.env(variable, program)),
            Err(reason) => println!("Left out what {variable} is for: {reason}"),
        }
    }
    run(&mut bench)
}
