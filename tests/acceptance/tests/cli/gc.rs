//! `btcloud-host gc`: what no store knows is found, and removed on request.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use acceptance::{Lab, program, signal, wait_until};

use crate::create;

#[test]
fn what_no_store_knows_is_found_and_removed_on_request() {
    let lab = Lab::new();
    let gc = |arguments: &[&str]| {
        let mut host = lab.command(program("btcloud-host"));
        lab.finish(host.arg("gc").args(arguments))
    };
    let nothing = "Nothing was found that does not belong to a machine of this store";
    assert_eq!(gc(&[]).ok(), nothing);
    let before = lab.cloud.inventory();
    let with_all = [
        "--btcloud-cidr",
        "192.0.2.0/24",
        "--btcloud-disk-offering",
        "Data 20 GB",
    ];
    create(&lab, "kept", &[]).ok();
    let kept = lab.cloud.inventory();
    create(&lab, "lost", &with_all).ok();
    create(&lab, "nat", &["--btcloud-address", "static-nat"]).ok();
    create(&lab, "basic", &["--btcloud-zone", "uk-basic-1"]).ok();
    assert_eq!(gc(&[]).ok(), nothing);

    let id = |name: &str| {
        lab.config(name)["Driver"]["MachineID"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let (lost, nat, basic, kept_id) = (id("lost"), id("nat"), id("basic"), id("kept"));
    for name in ["lost", "nat", "basic"] {
        fs::remove_dir_all(lab.machine_directory(name)).unwrap();
    }
    let listed = gc(&[]);
    for (name, id, parts) in [
        (
            "lost",
            &lost,
            [
                "virtual machine lost (",
                "firewall rule for 22/tcp of ",
                "data disk ",
            ]
            .as_slice(),
        ),
        (
            "nat",
            &nat,
            &[
                "virtual machine nat (",
                "public address ",
                "SSH key pair nat-",
            ],
        ),
        (
            "basic",
            &basic,
            &["virtual machine basic (", "security group basic-"],
        ),
    ] {
        assert!(
            listed.ok().contains(&format!("{name} ({id})")),
            "{listed:?}"
        );
        for part in parts {
            assert!(listed.stdout.contains(part), "{part}: {listed:?}");
        }
    }
    assert!(!listed.stdout.contains(&kept_id), "{listed:?}");
    let json: serde_json::Value = serde_json::from_str(gc(&["--json"]).ok()).unwrap();
    assert_eq!(json.as_array().unwrap().len(), 3);

    // Only what was listed can be removed, and a store that cannot be read keeps anything from being removed.
    for id in [kept_id.as_str(), "x"] {
        assert!(gc(&["--remove", id]).fails(2).contains(id));
    }
    let config = lab.machine_directory("kept").join("config.json");
    let contents = fs::read(&config).unwrap();
    fs::write(&config, "{").unwrap();
    assert!(gc(&["--remove", &lost]).fails(1).contains("config.json"));
    assert!(gc(&[]).stderr.contains("config.json"));
    fs::write(&config, contents).unwrap();

    let removed = gc(&["--remove", &lost, "--remove", &nat, "--remove", &basic]);
    assert!(
        removed.ok().contains(&format!("Removed lost ({lost})")),
        "{removed:?}"
    );
    assert_eq!(lab.cloud.inventory(), kept);
    assert_eq!(gc(&[]).ok(), nothing);
    lab.run(&["remove", "kept"]).ok();
    assert_eq!(lab.cloud.inventory(), before);
}

#[test]
fn what_no_store_knows_stays_if_the_user_stops_before_its_turn() {
    let lab = Lab::new();
    let ids = ["m1", "m2"].map(|name| {
        create(&lab, name, &[]).ok();
        let id = lab.config(name)["Driver"]["MachineID"].clone();
        fs::remove_dir_all(lab.machine_directory(name)).unwrap();
        id.as_str().unwrap().to_owned()
    });
    lab.slow_down("destroyVirtualMachine", Duration::from_secs(2));
    let mut host = lab.command(program("btcloud-host"));
    host.args(["gc", "--remove", &ids[0], "--remove", &ids[1]])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let host = host.spawn().unwrap();
    wait_until("the call", || lab.has_called("destroyVirtualMachine"));
    signal(&host, rustix::process::Signal::INT);
    let outcome = lab.outcome(host.wait_with_output().unwrap());
    let told = format!("{}: stopped before anything was done", ids[1]);
    assert!(outcome.fails(130).contains(&told), "{outcome:?}");
    // Half a removal helps nobody.
    assert_eq!(outcome.stdout, format!("Removed m1 ({})\n", ids[0]));
    assert!(!lab.has_machine("m1") && lab.has_machine("m2"));
}
