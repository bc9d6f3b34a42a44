//! `--driver`: another driver than the built-in one.

use std::fs;

use acceptance::{Lab, PROBE};

#[test]
fn another_driver_can_be_named() {
    let lab = Lab::new();
    let probe = |arguments: &[&str]| lab.run(&[arguments, &["--driver", PROBE]].concat());
    probe(&["create", "p1"]).ok();
    assert_eq!(lab.config("p1")["DriverName"], "probe");
    assert_eq!(probe(&["ip", "p1"]).ok(), "192.0.2.1");
    let outcome = lab.run(&["remove", "p1"]);
    assert!(
        outcome
            .fails(1)
            .contains("was made by the driver \"probe\""),
        "{outcome:?}"
    );
    probe(&["remove", "p1"]).ok();
    assert!(!lab.machine_directory("p1").exists());

    let not_a_driver = lab.home().join("driver.wasm");
    for (contents, expected) in [
        (b"#!/bin/sh".as_slice(), "not a WebAssembly component"),
        (
            b"#!/bin/sh",
            "it does not begin with WebAssembly's magic number",
        ),
        (b"\0asm\x01\0\0\0", "not a WebAssembly component"),
        (b"\0asm\x0d\0\x01\0", "not a machine driver"),
    ] {
        fs::write(&not_a_driver, contents).unwrap();
        let driver = not_a_driver.to_str().unwrap();
        let outcome = lab.run(&["create", "p1", "--driver", driver]);
        assert!(outcome.fails(1).contains(expected), "{outcome:?}");
    }
    lab.run(&["create", "p1", "--driver", "/does/not/exist"])
        .fails(2);
}
