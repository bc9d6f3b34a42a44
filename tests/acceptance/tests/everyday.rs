//! The commands that are typed all day, on one machine and on several.

use std::fs;
use std::process::Stdio;
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use acceptance::{Lab, program, signal, wait_until};
use cloudstack_simulator::Simulator;

/// Puts the certificates there that Docker's set-up leaves.
fn provision(lab: &Lab, machine: &str) {
    for file in ["ca.pem", "cert.pem", "key.pem"] {
        fs::write(lab.machine_directory(machine).join(file), "").unwrap();
    }
}

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
fn a_shell_that_reads_env_finds_the_engine() {
    let lab = Lab::new();
    lab.create("web-1", &[]);
    let unprovisioned = lab.cli(&["env", "web-1"]);
    assert!(
        unprovisioned.fails(1).contains("provision web-1"),
        "{unprovisioned:?}"
    );
    provision(&lab, "web-1");
    let url = lab.cli(&["url", "web-1"]).ok().to_owned();
    let directory = lab.machine_directory("web-1").display().to_string();
    let expected = format!("1 {url} {directory} web-1");
    for (shell, read) in [
        ("sh", "eval \"$(btcloud-host env web-1)\""),
        ("bash", "eval \"$(btcloud-host env --shell bash web-1)\""),
        // As the users of docker-machine write it.
        ("bash", "eval $(btcloud-host env web-1)"),
    ] {
        let print = "echo $DOCKER_TLS_VERIFY $DOCKER_HOST $DOCKER_CERT_PATH $DOCKER_MACHINE_NAME";
        let mut command = lab.command(shell);
        command.args(["-c", &format!("{read}; {print}")]);
        assert_eq!(lab.finish(&mut command).ok(), expected, "{shell}");
        let unset = "eval \"$(btcloud-host env --unset)\"; echo ${DOCKER_HOST-none}";
        let mut command = lab.command(shell);
        command.args(["-c", &format!("{read}; {unset}")]);
        assert_eq!(lab.finish(&mut command).ok(), "none", "{shell}");
    }
    // The shell that the user has decides the words.
    for (shell, begins) in [
        ("/usr/bin/fish", "set -gx DOCKER_TLS_VERIFY \"1\";"),
        ("/bin/zsh", "export DOCKER_TLS_VERIFY=\"1\""),
        ("", "export DOCKER_TLS_VERIFY=\"1\""),
    ] {
        let mut host = lab.command(program("btcloud-host"));
        let outcome = lab.finish(host.args(["env", "web-1"]).env("SHELL", shell));
        assert!(outcome.ok().starts_with(begins), "{outcome:?}");
    }
    let ip = lab.cli(&["ip", "web-1"]).ok().to_owned();
    let mut host = lab.command(program("btcloud-host"));
    host.args(["env", "web-1", "--no-proxy"])
        .env("no_proxy", "localhost");
    let outcome = lab.finish(&mut host);
    assert!(
        outcome
            .ok()
            .contains(&format!("export no_proxy=\"localhost,{ip}\"")),
        "{outcome:?}"
    );
    // The comment is the command that was given.
    let store = lab.home().join("a store");
    std::os::unix::fs::symlink(lab.store(), &store).unwrap();
    let store = store.to_str().unwrap();
    let outcome = lab.cli(&["env", "--shell", "sh", "--no-proxy", "-s", store, "web-1"]);
    let comment = format!(
        "# eval \"$(btcloud-host env --shell sh --no-proxy --storage-path '{store}' web-1)\""
    );
    assert!(outcome.ok().ends_with(&comment), "{outcome:?}");
    lab.run(&["stop", "web-1"]).ok();
    assert!(
        lab.cli(&["env", "web-1"])
            .fails(1)
            .contains("Host is not running")
    );
}

#[test]
fn the_docker_client_has_a_context_for_a_machine() {
    let docker = std::env::var("TEST_DOCKER").expect("TEST_DOCKER names Docker's client");
    let lab = Lab::new();
    lab.create("web-1", &[]);
    // A certificate and its key, as Docker's client reads them.
    let certified = rcgen::generate_simple_self_signed(["x".to_owned()]).unwrap();
    let certificate = certified.cert.pem();
    let key = certified.signing_key.serialize_pem();
    for (file, pem) in [
        ("ca.pem", &certificate),
        ("cert.pem", &certificate),
        ("key.pem", &key),
    ] {
        fs::write(lab.machine_directory("web-1").join(file), pem).unwrap();
    }
    let path = |command: &mut std::process::Command| {
        let first = std::path::Path::new(&docker).parent().unwrap().to_owned();
        let all = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths([first].into_iter().chain(std::env::split_paths(&all)));
        command.env("PATH", path.unwrap());
    };
    let context = |arguments: &[&str]| {
        let mut host = lab.command(program("btcloud-host"));
        host.arg("context").args(arguments);
        path(&mut host);
        lab.finish(&mut host)
    };
    let inspect = |name: &str| {
        let mut command = lab.command(&docker);
        let outcome = lab.finish(command.args(["context", "inspect", name]));
        serde_json::from_str::<serde_json::Value>(outcome.ok()).unwrap()[0].clone()
    };
    let url = lab.cli(&["url", "web-1"]).ok().to_owned();
    let made = context(&["web-1"]);
    assert_eq!(
        made.ok(),
        format!("Made the docker context web-1, for {url}")
    );
    let inspected = inspect("web-1");
    assert_eq!(inspected["Endpoints"]["docker"]["Host"], url);
    assert_eq!(inspected["Endpoints"]["docker"]["SkipTLSVerify"], false);
    let files = inspected["TLSMaterial"]["docker"].as_array().unwrap();
    assert_eq!(files.len(), 3, "{inspected}");

    // Made again it follows the machine, and can be the current one.
    assert!(
        context(&["web-1", "--use"])
            .ok()
            .starts_with("Updated the docker context web-1")
    );
    let mut show = lab.command(&docker);
    assert_eq!(lab.finish(show.args(["context", "show"])).ok(), "web-1");
    let mut back = lab.command(&docker);
    lab.finish(back.args(["context", "use", "default"])).ok();
    assert_eq!(
        context(&["web-1", "--rm"]).ok(),
        "Removed the docker context web-1"
    );
    assert!(
        context(&["web-1", "--rm"])
            .fails(4)
            .contains("no docker context")
    );

    // One that somebody else made is nobody's business.
    let mut other = lab.command(&docker);
    other.args([
        "context",
        "create",
        "web-1",
        "--docker",
        "host=tcp://192.0.2.9:2376",
    ]);
    lab.finish(&mut other).ok();
    for arguments in [["web-1"].as_slice(), &["web-1", "--rm"]] {
        assert!(
            context(arguments)
                .fails(1)
                .contains("made by somebody else")
        );
    }
    assert_eq!(
        inspect("web-1")["Endpoints"]["docker"]["Host"],
        "tcp://192.0.2.9:2376"
    );

    let mut without = lab.command(program("btcloud-host"));
    without.args(["context", "web-1"]).env("PATH", "/nowhere");
    let outcome = lab.finish(&mut without);
    assert!(
        outcome.fails(1).contains("hint: install Docker's client"),
        "{outcome:?}"
    );
}
