//! The simulator judged by a client that shares nothing with it.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use cloudstack_simulator::Simulator;

/// Runs an independent client: `CLOUDSTACK_TEST_PYTHON` names a Python that has the package `cs`.
#[test]
fn the_independent_cs_client_finds_nothing_amiss() {
    let python = std::env::var_os("CLOUDSTACK_TEST_PYTHON").expect(
        "CLOUDSTACK_TEST_PYTHON names no Python with the package cs; \
         `cargo xtask test` makes one, or skips this test",
    );
    let simulator = Simulator::builder()
        .job_time(Duration::from_millis(20))
        .start()
        .unwrap();
    let script: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests", "cs_client.py"]
        .iter()
        .collect();
    for method in ["get", "post"] {
        let output = Command::new(&python)
            .arg(&script)
            .env("CLOUDSTACK_ENDPOINT", simulator.url())
            .env("CLOUDSTACK_KEY", simulator.api_key())
            .env("CLOUDSTACK_SECRET", simulator.secret_key())
            .env("CLOUDSTACK_METHOD", method)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    assert!(
        simulator.inventory().is_empty(),
        "{}",
        simulator.inventory()
    );
}
