//! What is done every day with machines that are there: one that runs, one that is stopped, one that somebody has removed
//! elsewhere, and one that no store knows.

use std::fs;

use acceptance::client::Client;
use acceptance::{Lab, tests_with_clients};
use cloudstack_simulator::Fault;

use super::{lab, lines, made};

tests_with_clients!([
    ls_tells_the_true_state,
    ls_waits_for_no_dead_endpoint,
    status_tells_the_state,
    url_is_told_of_a_machine_that_runs,
    ip_is_told_without_a_call,
    env_is_refused_for_a_machine_that_does_not_run,
    inspect_shows_what_is_stored_but_no_secret,
    stop_ends_in_a_stopped_machine,
    kill_ends_in_a_stopped_machine,
    start_ends_in_a_running_machine,
    restart_ends_in_a_running_machine,
    ssh_gets_in,
]);

/// The machines `runs`, `stopped` and `gone`.
fn machines(client: &Client, number: u8) -> Lab {
    let (lab, _) = lab(client, number);
    for name in ["runs", "stopped", "gone"] {
        made(&lab, name);
    }
    lab.run(&["stop", "stopped"]).ok();
    lab.destroy_behind_our_back("gone");
    lab
}

/// A command that fails with this text, whatever the client puts before it.
#[track_caller]
fn fails(client: &Client, lab: &Lab, command: &[&str], text: &str) {
    let outcome = client.run(lab, command);
    let error = outcome.fails(1);
    assert!(error.ends_with(text), "{command:?}: {error}");
}

const GONE: &str =
    "machine \"gone\" not found in the cloud (remove the machine to have it forgotten here too)";
const UNKNOWN: &str = "ocker machine \"unknown\" does not exist. Use \"docker-machine ls\" to list machines. \
                       Use \"docker-machine create\" to add a new one.";

fn ls_tells_the_true_state(client: &Client) {
    let lab = machines(client, 31);
    let calls = lab.cloud.requests().len();
    let format = "{{.Name}}|{{.DriverName}}|{{.State}}|{{.URL}}|{{.Error}}";
    let ls = client.run(&lab, &["ls", "--format", format]);
    let ip = lab.run(&["ip", "runs"]).ok().to_owned();
    let lines = lines(&ls);
    assert_eq!(lines[0], format!("gone|btcloud|Error||{GONE}"));
    // Nobody has set it up yet, which is the client's to tell.
    let running = format!("runs|btcloud|Running|tcp://{ip}:2376|Unable to query docker version: ");
    assert!(lines[1].starts_with(&running), "{ls:?}");
    assert_eq!(lines[2], "stopped|btcloud|Stopped||");
    assert_eq!(lines.len(), 3);
    // One call for each.
    assert_eq!(lab.cloud.requests().len() - calls, 3);
    let quiet = client.run(&lab, &["ls", "--quiet", "--filter", "state=Stopped"]);
    assert_eq!(
        quiet.ok().lines().collect::<Vec<_>>().last(),
        Some(&"stopped")
    );
}

fn ls_waits_for_no_dead_endpoint(client: &Client) {
    let (lab, _) = lab(client, 32);
    for name in ["m1", "m2"] {
        made(&lab, name);
    }
    // A port at which nobody answers.
    let mut config = lab.config("m2");
    config["Driver"]["Endpoint"] = "http://127.0.0.1:9/client/api".into();
    lab.put_config("m2", &config);
    let mut ls = client.command(&lab, &["ls", "--format", "{{.Name}} {{.State}} {{.Error}}"]);
    let ls = lab.finish(ls.env_remove("BTCLOUD_ENDPOINT"));
    let lines = lines(&ls);
    assert!(lines[0].starts_with("m1 Running"), "{ls:?}");
    assert!(
        lines[1].starts_with("m2 Error ") && lines[1].contains("127.0.0.1 refuses connections"),
        "{ls:?}"
    );
}

fn status_tells_the_state(client: &Client) {
    let lab = machines(client, 33);
    assert_eq!(client.run(&lab, &["status", "runs"]).ok(), "Running");
    assert_eq!(client.run(&lab, &["status", "stopped"]).ok(), "Stopped");
    if client.is_rancher {
        let gone = client.run(&lab, &["status", "gone"]);
        assert_eq!(gone.fails(4), "gone not found");
        assert_eq!(gone.stdout, "Not Found\n");
    } else {
        fails(client, &lab, &["status", "gone"], GONE);
    }
    fails(client, &lab, &["status", "unknown"], UNKNOWN);
    // Trouble with the cloud is not taken for a machine that is gone.
    let not_found = Fault::Respond {
        status: 404,
        content_type: "text/html".to_owned(),
        body: "<h1>404 Not Found</h1>".to_owned(),
    };
    lab.cloud.fault("*", 100, not_found);
    let outcome = client.run(&lab, &["status", "runs"]);
    assert!(outcome.fails(1).contains("404"), "{outcome:?}");
}

fn url_is_told_of_a_machine_that_runs(client: &Client) {
    let lab = machines(client, 34);
    let ip = lab.run(&["ip", "runs"]).ok().to_owned();
    assert_eq!(
        client.run(&lab, &["url", "runs"]).ok(),
        format!("tcp://{ip}:2376")
    );
    fails(client, &lab, &["url", "stopped"], "Host is not running");
    fails(client, &lab, &["url", "gone"], GONE);
    fails(client, &lab, &["url", "unknown"], UNKNOWN);
}

fn ip_is_told_without_a_call(client: &Client) {
    let lab = machines(client, 35);
    let ip = lab.run(&["ip", "runs"]).ok().to_owned();
    let calls = lab.cloud.requests().len();
    for name in ["runs", "stopped", "gone"] {
        assert_eq!(client.run(&lab, &["ip", name]).ok(), ip);
    }
    assert_eq!(lab.cloud.requests().len(), calls);
    fails(client, &lab, &["ip", "unknown"], UNKNOWN);
}

fn env_is_refused_for_a_machine_that_does_not_run(client: &Client) {
    let lab = machines(client, 36);
    let refused = |text| format!("rror checking TLS connection: {text}");
    let bash = |name| ["env", "--shell", "bash", name];
    fails(
        client,
        &lab,
        &bash("stopped"),
        &refused("Host is not running"),
    );
    fails(client, &lab, &bash("gone"), &refused(GONE));
    fails(client, &lab, &bash("unknown"), UNKNOWN);
    let unset = client.run(&lab, &["env", "--shell", "bash", "--unset"]);
    assert!(unset.ok().contains("unset DOCKER_HOST"), "{unset:?}");
}

fn inspect_shows_what_is_stored_but_no_secret(client: &Client) {
    let lab = machines(client, 37);
    let format = "{{.Driver.MachineName}} {{.Driver.Zone}} {{.DriverName}} {{.Driver.SSHPort}}";
    let inspect = client.run(&lab, &["inspect", "-f", format, "runs"]);
    assert_eq!(inspect.ok(), "runs uk-london-1 btcloud 22");
    // That no key is in it is seen to by the laboratory.
    let all = client.run(&lab, &["inspect", "gone"]);
    let json: serde_json::Value = serde_json::from_str(all.ok()).unwrap();
    assert_eq!(json["Driver"]["VmId"], lab.config("gone")["Driver"]["VmId"]);
    fails(client, &lab, &["inspect", "unknown"], UNKNOWN);
}

fn stop_ends_in_a_stopped_machine(client: &Client) {
    let lab = machines(client, 38);
    let stop = client.run(&lab, &["stop", "runs"]);
    assert_eq!(
        lines(&stop),
        ["Stopping \"runs\"...", "Machine \"runs\" was stopped."]
    );
    assert_eq!(lab.run(&["status", "runs"]).ok(), "Stopped");
    already_stopped(client, &lab, "stop");
}

fn kill_ends_in_a_stopped_machine(client: &Client) {
    let lab = machines(client, 39);
    let kill = client.run(&lab, &["kill", "runs"]);
    assert_eq!(
        lines(&kill),
        ["Killing \"runs\"...", "Machine \"runs\" was killed."]
    );
    assert_eq!(lab.run(&["status", "runs"]).ok(), "Stopped");
    already_stopped(client, &lab, "kill");
}

fn already_stopped(client: &Client, lab: &Lab, command: &str) {
    let again = client.run(lab, &[command, "stopped"]);
    assert_eq!(again.fails(1), "Machine \"stopped\" is already stopped.");
    let gone = client.run(lab, &[command, "gone"]);
    let error = gone.fails(1);
    assert!(error.contains("machine \"gone\" not found"), "{error}");
}

fn start_ends_in_a_running_machine(client: &Client) {
    let lab = machines(client, 40);
    let start = client.run(&lab, &["start", "stopped"]);
    assert_eq!(
        lines(&start)[..4],
        [
            "Starting \"stopped\"...",
            "Machine \"stopped\" was started.",
            "Waiting for SSH to be available...",
            "Detecting the provisioner...",
        ]
    );
    assert_eq!(lab.run(&["status", "stopped"]).ok(), "Running");
    let again = client.run(&lab, &["start", "runs"]);
    assert_eq!(again.fails(1), "Machine \"runs\" is already running.");
    let gone = client.run(&lab, &["start", "gone"]);
    let error = gone.fails(1);
    assert!(error.contains("machine \"gone\" not found"), "{error}");
}

fn restart_ends_in_a_running_machine(client: &Client) {
    let lab = machines(client, 41);
    for name in ["runs", "stopped"] {
        let restart = client.run(&lab, &["restart", name]);
        assert_eq!(lines(&restart)[0], format!("Restarting \"{name}\"..."));
        assert_eq!(lab.run(&["status", name]).ok(), "Running");
    }
    let count = |command: &str| {
        let requests = lab.cloud.requests();
        requests.iter().filter(|r| r.command == command).count()
    };
    // The client starts one that is stopped.
    assert_eq!(
        (count("rebootVirtualMachine"), count("startVirtualMachine")),
        (1, 1)
    );
}

fn ssh_gets_in(client: &Client) {
    let lab = machines(client, 42);
    let log = lab.home().join("commands");
    let mut ssh = client.command(&lab, &["ssh", "runs", "uptime"]);
    lab.finish(ssh.env("FAKE_GUEST_LOG", &log)).ok();
    assert_eq!(fs::read_to_string(log).unwrap(), "uptime\n");
    fails(
        client,
        &lab,
        &["ssh", "stopped", "uptime"],
        "annot run SSH command: Host \"stopped\" is not running",
    );
}
