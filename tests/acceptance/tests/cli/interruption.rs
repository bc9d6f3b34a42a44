//! A command that is interrupted or killed, and what it leaves.

use std::process::Stdio;
use std::time::Duration;

use acceptance::{Lab, OPTIONS, program, signal, wait_until};

use crate::{create_several, in_cloud, in_store};

#[test]
fn an_interrupted_creation_leaves_nothing() {
    let lab = Lab::new();
    let before = lab.cloud.inventory();
    lab.slow_down("deployVirtualMachine", Duration::from_secs(2));
    for terminating in [rustix::process::Signal::INT, rustix::process::Signal::TERM] {
        let mut host = lab.host();
        host.args(["create", "m1"])
            .args(OPTIONS)
            .stderr(Stdio::piped())
            .stdout(Stdio::null());
        let host = host.spawn().unwrap();
        wait_until("the virtual machine", || {
            lab.cloud.inventory() != before && lab.has_machine("m1")
        });
        signal(&host, terminating);
        let outcome = lab.outcome(host.wait_with_output().unwrap());
        assert!(outcome.fails(130).contains("interrupted"), "{outcome:?}");
        assert_eq!(lab.cloud.inventory(), before);
        assert!(!lab.machine_directory("m1").exists());
    }
}

#[test]
fn a_creation_that_was_killed_is_removed_later() {
    let lab = Lab::new();
    let before = lab.cloud.inventory();
    lab.slow_down("deployVirtualMachine", Duration::from_millis(500));
    let mut host = lab.host();
    host.args(["create", "m1"])
        .args(OPTIONS)
        .stderr(Stdio::null())
        .stdout(Stdio::null());
    let mut host = host.spawn().unwrap();
    wait_until("the virtual machine", || lab.has_machine("m1"));
    signal(&host, rustix::process::Signal::KILL);
    host.wait().unwrap();
    assert_ne!(lab.cloud.inventory(), before);
    lab.run(&["remove", "m1"]).ok();
    assert_eq!(lab.cloud.inventory(), before);
}

#[test]
fn an_interruption_stops_what_is_under_way_and_begins_nothing_more() {
    let lab = Lab::new();
    for name in ["web-1", "web-2", "web-3"] {
        lab.create(name, &[]);
    }
    lab.slow_down("stopVirtualMachine", Duration::from_secs(60));
    let mut host = lab.command(program("btcloud-host"));
    host.args(["stop", "--parallel", "1", "web-1", "web-2", "web-3"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let host = host.spawn().unwrap();
    wait_until("the call", || lab.has_called("stopVirtualMachine"));
    signal(&host, rustix::process::Signal::INT);
    let outcome = lab.outcome(host.wait_with_output().unwrap());
    let error = outcome.fails(130);
    for name in ["web-2", "web-3"] {
        assert!(
            error.contains(&format!("{name}: stopped before anything was done")),
            "{error}"
        );
    }
    let requests = lab.cloud.requests();
    let stops = requests
        .iter()
        .filter(|r| r.command == "stopVirtualMachine");
    assert_eq!(stops.count(), 1);
}

#[test]
fn an_interruption_leaves_only_machines_that_are_complete() {
    let lab = Lab::new();
    lab.slow_down("deployVirtualMachine", Duration::from_millis(700));
    let mut host = create_several(&lab, &["web", "--count", "20", "--parallel", "4"]);
    let host = host
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_until("a few machines", || in_cloud(&lab).len() > 5);
    signal(&host, rustix::process::Signal::INT);
    let outcome = lab.outcome(host.wait_with_output().unwrap());
    outcome.fails(130);
    let made = in_cloud(&lab);
    assert!(!made.is_empty() && made.len() < 20, "{made:?}");
    assert_eq!(in_store(&lab), made);
    assert_eq!(lab.cloud.inventory().key_pairs.len(), made.len());
}
