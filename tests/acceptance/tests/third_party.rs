//! Drivers of strangers: looked at, granted, installed, used through both doors, and refused when they change.

use std::fs;
use std::path::PathBuf;

use acceptance::client::Client;
use acceptance::{Lab, Outcome, PROBE, prepend_path, program, project_root};

/// `btcloud-host driver` with arguments.
fn driver(lab: &Lab, arguments: &[&str]) -> Outcome {
    let mut host = lab.command(program("btcloud-host"));
    lab.finish(host.arg("driver").args(arguments))
}

fn bin_directory(lab: &Lab) -> PathBuf {
    lab.home().join(".local/bin")
}

fn installed_component(lab: &Lab, name: &str) -> PathBuf {
    let drivers = lab.home().join(".local/share/btcloud-host/drivers");
    drivers.join(name).join("driver.wasm")
}

/// A copy of the probe with another digest: a custom section is appended.
fn changed_probe(lab: &Lab) -> PathBuf {
    let mut component = fs::read(PROBE).unwrap();
    component.extend([0, 5, 4]);
    component.extend(b"mark");
    let path = lab.home().join("changed.wasm");
    fs::write(&path, component).unwrap();
    path
}

#[test]
fn a_driver_is_seen_granted_used_and_removed() {
    let lab = Lab::new();
    assert_eq!(driver(&lab, &["list"]).ok(), "No driver is installed");
    // Nobody can be asked here.
    let outcome = driver(&lab, &["install", PROBE]);
    assert!(
        outcome.fails(2).contains("--yes grants it without asking"),
        "{outcome:?}"
    );
    for line in [
        "Driver       probe 0.1.0",
        "Signature    none",
        "Endpoint     --probe-endpoint (no default)",
        "Hosts        wherever the endpoints are",
        "Secret       --probe-key, kept by the host and used in its requests",
        "Calls        listZones",
    ] {
        assert!(outcome.stdout.contains(line), "{line}: {outcome:?}");
    }
    assert_eq!(driver(&lab, &["list"]).ok(), "No driver is installed");

    let outcome = driver(&lab, &["install", PROBE, "--yes"]);
    assert!(outcome.ok().contains("Installed as probe"), "{outcome:?}");
    assert!(outcome.stderr.contains("is not in PATH"), "{outcome:?}");
    let link = bin_directory(&lab).join("docker-machine-driver-probe");
    assert_eq!(
        fs::read_link(&link).unwrap(),
        program("docker-machine-driver-btcloud")
    );
    assert!(
        driver(&lab, &["list"])
            .ok()
            .starts_with("probe  probe 0.1.0  sha256 ")
    );
    assert!(
        driver(&lab, &["show", "probe"])
            .ok()
            .contains("Calls        listZones")
    );
    let shown = driver(&lab, &["show", "probe", "--json"]);
    let shown: serde_json::Value = serde_json::from_str(shown.ok()).unwrap();
    assert_eq!(shown["grant"]["commands"][0], "listZones");
    assert_eq!(
        driver(&lab, &["verify"]).ok(),
        "probe: probe 0.1.0 as it was installed"
    );

    // A machine is then managed by the driver that made it, named or not.
    lab.run(&["create", "p1", "--driver", "probe"]).ok();
    assert_eq!(lab.config("p1")["DriverName"], "probe");
    assert_eq!(lab.run(&["status", "p1"]).ok(), "Running");
    let outcome = lab.run(&["status", "p1", "--driver", "btcloud"]);
    assert!(
        outcome
            .fails(1)
            .contains("was made by the driver \"probe\", not \"btcloud\"")
    );

    let outcome = driver(&lab, &["remove", "probe"]);
    assert!(
        outcome.fails(1).contains("has made the machine p1"),
        "{outcome:?}"
    );
    lab.run(&["remove", "p1"]).ok();
    driver(&lab, &["remove", "probe"]).ok();
    assert!(!link.exists());
    assert!(
        driver(&lab, &["remove", "probe"])
            .fails(1)
            .contains("no driver is installed")
    );
    assert!(
        driver(&lab, &["show", "probe"])
            .fails(1)
            .contains("no driver is installed")
    );
}

#[test]
fn a_driver_that_is_not_installed_any_more_is_named() {
    let lab = Lab::new();
    driver(&lab, &["install", PROBE, "--yes"]).ok();
    lab.run(&["create", "p1", "--driver", "probe"]).ok();
    driver(&lab, &["remove", "probe", "--force"]).ok();
    let outcome = lab.run(&["status", "p1"]);
    let error = outcome.fails(1);
    assert!(
        error.contains("was made by the driver \"probe\", which is not installed"),
        "{error}"
    );
    assert!(error.contains("driver install FILE --as probe"), "{error}");
    // Its component can be named instead.
    assert_eq!(
        lab.run(&["status", "p1", "--driver", PROBE]).ok(),
        "Running"
    );
    let outcome = lab.run(&["create", "p2", "--driver", "nobody"]);
    assert!(
        outcome
            .fails(1)
            .contains("no driver is installed as \"nobody\""),
        "{outcome:?}"
    );
}

#[test]
fn a_changed_component_is_refused_until_it_is_granted_again() {
    let lab = Lab::new();
    driver(&lab, &["install", PROBE, "--yes"]).ok();
    lab.run(&["create", "p1", "--driver", "probe"]).ok();
    let changed = changed_probe(&lab);
    fs::copy(&changed, installed_component(&lab, "probe")).unwrap();
    for outcome in [
        lab.run(&["status", "p1"]),
        lab.run(&["create", "p2", "--driver", "probe"]),
        driver(&lab, &["verify", "probe"]),
        driver(&lab, &["show", "probe"]),
    ] {
        let error = outcome.fails(1);
        assert!(
            error.contains("has changed since it was installed"),
            "{error}"
        );
        assert!(
            error.contains("hint: `btcloud-host driver install"),
            "{error}"
        );
    }
    driver(&lab, &["install", changed.to_str().unwrap(), "--yes"]).ok();
    assert_eq!(lab.run(&["status", "p1"]).ok(), "Running");
    driver(&lab, &["verify", "probe"]).ok();
}

#[test]
fn a_grant_can_be_narrower_than_the_request() {
    let lab = Lab::new();
    let install =
        |arguments: &[&str]| driver(&lab, &[&["install", PROBE, "--yes"], arguments].concat());
    let unknown = install(&["--allow", "destroyVirtualMachine"]);
    assert!(
        unknown.fails(2).contains("does not ask for the command"),
        "{unknown:?}"
    );
    install(&["--deny", "listZones"]).ok();
    let create = |endpoint: &str| {
        let options = [
            "--probe-mode",
            "call",
            "--probe-key",
            "k",
            "--probe-endpoint",
            endpoint,
        ];
        lab.run(&[&["create", "p1", "--driver", "probe"], options.as_slice()].concat())
    };
    let outcome = create(lab.cloud.url());
    assert!(
        outcome
            .fails(3)
            .contains("the driver may not call listZones"),
        "{outcome:?}"
    );
    assert!(lab.cloud.requests().is_empty());

    install(&["--host", "api.example.com"]).ok();
    let outcome = create(lab.cloud.url());
    assert!(
        outcome
            .fails(2)
            .contains("was not granted the host 127.0.0.1"),
        "{outcome:?}"
    );
    install(&["--host", "127.0.0.1"]).ok();
    let outcome = create(lab.cloud.url());
    assert!(outcome.fails(3).contains("401 "), "{outcome:?}");
}

#[test]
fn a_driver_has_the_limits_that_it_was_granted() {
    let lab = Lab::new();
    let install =
        |arguments: &[&str]| driver(&lab, &[&["install", PROBE, "--yes"], arguments].concat());
    for bad in ["memory-bytes", "memory-bytes=many", "memory=1"] {
        assert!(
            install(&["--limit", bad]).fails(2).contains("limit"),
            "{bad}"
        );
    }
    let limits = [
        "--limit",
        "memory-bytes=33554432",
        "--limit",
        "computation-ms=100",
    ];
    let outcome = install(&limits);
    assert!(
        outcome.ok().contains("Limit        memory-bytes 33554432"),
        "{outcome:?}"
    );
    for (mode, error) in [
        ("allocate", "it wants more than 33554432 bytes of memory"),
        ("loop", "it computed for more than 0.1 seconds"),
    ] {
        let outcome = lab.run(&["create", "p1", "--driver", "probe", "--probe-mode", mode]);
        assert!(outcome.fails(3).contains(error), "{outcome:?}");
    }
}

#[test]
fn a_signature_counts_by_a_trusted_key_alone() {
    let lab = Lab::new();
    let data = project_root().join("host/tests/minisign");
    let key = data.join("key.pub");
    let key = key.to_str().unwrap();
    // Of something else.
    let component = lab.home().join("probe.wasm");
    fs::copy(PROBE, &component).unwrap();
    let component = component.to_str().unwrap();
    let outcome = driver(&lab, &["install", component, "--yes", "--key", key]);
    assert!(
        outcome.fails(1).contains("probe.wasm.minisig"),
        "{outcome:?}"
    );
    fs::copy(data.join("driver.minisig"), format!("{component}.minisig")).unwrap();
    for arguments in [
        ["install", component, "--yes"].as_slice(),
        &["install", component, "--yes", "--key", key],
    ] {
        let outcome = driver(&lab, arguments);
        assert!(
            outcome.fails(1).contains("by a key that is trusted"),
            "{outcome:?}"
        );
    }
    assert_eq!(driver(&lab, &["list"]).ok(), "No driver is installed");
}

#[test]
fn names_that_would_mislead_are_refused() {
    let lab = Lab::new();
    for name in ["btcloud", "google", "../x", "A"] {
        let outcome = driver(&lab, &["install", PROBE, "--yes", "--as", name]);
        assert!(
            outcome.fails(1).contains("cannot be installed as"),
            "{outcome:?}"
        );
    }
    let link = bin_directory(&lab).join("docker-machine-driver-probe");
    fs::create_dir_all(bin_directory(&lab)).unwrap();
    fs::write(&link, "#!/bin/sh\n").unwrap();
    let outcome = driver(&lab, &["install", PROBE, "--yes"]);
    assert!(
        outcome.fails(1).contains("is something else"),
        "{outcome:?}"
    );
    assert_eq!(fs::read_to_string(&link).unwrap(), "#!/bin/sh\n");
    let elsewhere = lab.home().join("bin");
    let elsewhere = ["--bin-dir", elsewhere.to_str().unwrap()];
    driver(
        &lab,
        &[
            &["install", PROBE, "--yes", "--as", "other"],
            elsewhere.as_slice(),
        ]
        .concat(),
    )
    .ok();
    assert!(lab.home().join("bin/docker-machine-driver-other").exists());
}

mod docker_machine_client {
    use super::*;

    #[test]
    fn finds_an_installed_driver_by_its_link() {
        let client = Client::named_by("TEST_DOCKER_MACHINE");
        let lab = Lab::new();
        driver(&lab, &["install", PROBE, "--yes", "--as", "mine"]).ok();
        let run = |arguments: &[&str]| {
            let mut command = client.command(&lab, arguments);
            prepend_path(&mut command, &bin_directory(&lab));
            lab.finish(&mut command)
        };
        // The flags are the component's, the name is that of the link.
        let help = run(&["create", "--driver", "mine", "--help"]);
        assert!(help.ok().contains("--probe-mode"), "{help:?}");
        let outcome = run(&["create", "--driver", "mine", "--probe-mode", "fail", "m1"]);
        assert!(outcome.fails(3).contains("no good"), "{outcome:?}");
        lab.run(&["create", "m1", "--driver", "mine"]).ok();
        assert_eq!(run(&["status", "m1"]).ok(), "Running");
        assert_eq!(run(&["ip", "m1"]).ok(), "192.0.2.1");
        assert_eq!(
            run(&[
                "ls",
                "--format",
                "{{.Name}} {{.DriverName}}",
                "--timeout",
                "1"
            ])
            .ok(),
            "m1 mine"
        );

        // What has changed is told by every command, and nothing of it runs.
        fs::copy(changed_probe(&lab), installed_component(&lab, "mine")).unwrap();
        let outcome = run(&["status", "m1"]);
        assert!(
            outcome
                .fails(1)
                .contains("has changed since it was installed"),
            "{outcome:?}"
        );
        driver(&lab, &["install", PROBE, "--yes", "--as", "mine"]).ok();
        run(&["rm", "-y", "m1"]).ok();
        assert!(!lab.machine_directory("m1").exists());
    }
}
