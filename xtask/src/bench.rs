//! `cargo xtask bench`: what the sandbox and the plugin cost, against native ones.

use std::process::Command;

use crate::{Result, cargo, run, setup, target_dir, test};

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
            test::build_go_client("docker-machine", "."),
        ),
        (
            "BENCH_GO_PLUGIN",
            test::build_go("go-plugin", ".", "docker-machine-driver-gobench"),
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
