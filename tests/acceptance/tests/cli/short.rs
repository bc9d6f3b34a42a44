//! The short forms that are typed all day, `btcloud-host start`, `stop`, `rm` and so on, on one machine and on several.

use std::fs;
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use acceptance::{Lab, program};
use cloudstack_simulator::Simulator;

#[test]
fn the_short_forms_are_the_operations() {
    let lab = Lab::new();
    lab.create("web-1", &[]);
    for question in ["ip", "url", "status", "inspect"] {
        assert_eq!(
            lab.cli(&[question, "web-1"]),
            lab.run(&[question, "web-1"]),
            "{question}"
        );
    }
    assert_eq!(
        lab.cli(&["status", "web-1", "--json"]),
        lab.run(&["status", "web-1", "--json"])
    );
    for (change, done, state) in [
        ("stop", "stopped", "Stopped"),
        ("start", "started", "Running"),
        ("restart", "restarted", "Running"),
        ("kill", "killed", "Stopped"),
    ] {
        let outcome = lab.cli(&[change, "web-1"]);
        assert_eq!(outcome.ok(), format!("web-1: {done}"));
        assert_eq!(lab.cli(&["status", "web-1"]).ok(), state);
    }
    lab.cli(&["start", "../web-1"]).fails(2);
    lab.cli(&["start"]).fails(2);
    lab.cli(&["start", "nobody"]).fails(4);
}

#[test]
fn several_machines_are_changed_at_the_same_time_and_each_says_how_it_went() {
    // None of the calls is answered before there have been four.
    let (calls, more) = (Mutex::new(0), Condvar::new());
    let cloud = Simulator::builder()
        .job_time(Duration::from_millis(20))
        .on_request(move |request| {
            if request.command != "stopVirtualMachine" {
                return;
            }
            let mut calls = calls.lock().unwrap();
            *calls += 1;
            more.notify_all();
            let patience = Duration::from_secs(20);
            let (calls, waited) = more
                .wait_timeout_while(calls, patience, |calls| *calls < 4)
                .unwrap();
            assert!(
                !waited.timed_out(),
                "only {calls} are stopped at the same time"
            );
        });
    let lab = Lab::of(cloud);
    let before = lab.cloud.inventory();
    let names = ["web-1", "web-2", "web-3", "web-4"];
    for name in names {
        lab.create(name, &[]);
    }
    let stopped = lab.cli(&["stop", "web-1", "web-2", "web-3", "web-4", "web-1"]);
    let mut lines: Vec<_> = stopped.ok().lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, names.map(|name| format!("{name}: stopped")));

    lab.fail_job("startVirtualMachine", 530, "The hypervisor is on fire");
    let started = lab.cli(&["start", "web-1", "nobody", "web-2", "--parallel", "1"]);
    let error = started.fails(1);
    assert!(
        error.contains("btcloud-host: web-1: ") && error.contains("on fire"),
        "{error}"
    );
    assert!(error.contains("btcloud-host: nobody: "), "{error}");
    assert_eq!(started.stdout, "web-2: started\n");
    assert_eq!(lab.cli(&["start", "-q", "web-1"]).ok(), "");
    // Where all fail alike, the code tells how.
    lab.cli(&["stop", "nobody", "nowhere", "web-1"]).fails(4);

    let removed = lab.cli(&["rm", "-y", "web-1", "web-2", "web-3", "web-4"]);
    assert_eq!(removed.ok().lines().count(), 4);
    assert_eq!(lab.cloud.inventory(), before);
    assert_eq!(lab.cli(&["ls", "-q"]).ok(), "");
}

#[test]
fn nothing_is_removed_without_a_word() {
    let lab = Lab::new();
    lab.create("web-1", &[]);
    let refused = lab.cli(&["rm", "web-1"]);
    assert!(
        refused.fails(2).contains("hint: -y removes without asking"),
        "{refused:?}"
    );
    let asked = |answer: &str| {
        let program = program("btcloud-host");
        let line = format!("{} rm web-1", program.display());
        let mut shell = lab.command("sh");
        shell.args([
            "-c",
            &format!("echo {answer} | script -qec '{line}' /dev/null"),
        ]);
        lab.finish(&mut shell)
    };
    let asked_no = asked("n");
    assert!(
        asked_no.fails(1).is_empty()
            && asked_no
                .stdout
                .contains("Remove web-1, and all that was made for it? [y/N]"),
        "{asked_no:?}"
    );
    assert!(lab.has_machine("web-1"));
    let asked_yes = asked("y");
    assert!(asked_yes.ok().contains("web-1: removed"), "{asked_yes:?}");
    assert!(!lab.has_machine("web-1") && !lab.machine_directory("web-1").exists());
}

#[test]
fn a_machine_that_the_cloud_does_not_remove_is_forgotten_by_force_alone() {
    let lab = Lab::new();
    lab.create("web-1", &[]);
    lab.create("web-2", &[]);
    fs::write(lab.machine_directory("web-2").join("config.json"), "{").unwrap();
    let with_wrong_keys = |arguments: &[&str]| {
        let mut host = lab.command(program("btcloud-host"));
        host.args(arguments)
            .env("BTCLOUD_SECRET_KEY", "wrong-wrong-wrong");
        lab.finish(&mut host)
    };
    with_wrong_keys(&["rm", "-y", "web-1"]).fails(1);
    assert!(lab.machine_directory("web-1").exists());
    let forced = with_wrong_keys(&["rm", "-f", "web-1", "web-2"]);
    forced.ok();
    for name in ["web-1", "web-2"] {
        assert!(
            forced.stderr.contains(&format!("{name} is forgotten here")),
            "{forced:?}"
        );
        assert!(!lab.machine_directory(name).exists());
    }
    lab.cli(&["rm", "-f", "web-1"]).fails(4);
}
