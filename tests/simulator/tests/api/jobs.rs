//! Jobs: what takes its time, and what is seen of it meanwhile.

use std::time::Duration;

use cloudstack_simulator::Fault;
use serde_json::json;

use crate::client::{Client, borrowed, simulator, text, with};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn jobs_take_their_time_and_show_what_is_between() {
    let (simulator, clock) = with(|behaviour| {
        behaviour
            .job_times
            .insert("stopVirtualMachine".to_owned(), 10 * SECOND);
    });
    let client = Client::new(&simulator);
    let parameters = client.machine_parameters("uk-london-1");
    let mut all = borrowed(&parameters);
    all.push(("name", "a"));
    let answer = client.ok("deployVirtualMachine", &all);
    let (id, job) = (text(&answer["id"]), text(&answer["jobid"]));
    let state =
        || client.ok("listVirtualMachines", &[("id", id)])["virtualmachine"][0]["state"].clone();
    clock.advance(Duration::from_millis(1999));
    let pending = client.job(job);
    assert_eq!(
        (&pending["jobstatus"], pending.get("jobresult")),
        (&json!(0), None)
    );
    assert_eq!(pending["jobinstanceid"], id);
    assert_eq!(state(), "Starting");
    clock.advance(Duration::from_millis(1));
    let done = client.job(job);
    assert_eq!(
        (&done["jobstatus"], &done["jobresulttype"]),
        (&json!(1), &json!("object"))
    );
    assert_eq!(done["jobresult"]["virtualmachine"]["state"], "Running");
    assert!(
        done["cmd"].as_str().unwrap().ends_with(".vm.DeployVMCmd")
            && done.get("completed").is_some()
    );

    client.start("stopVirtualMachine", &[("id", id)]);
    clock.advance(9 * SECOND);
    assert_eq!(state(), "Stopping");
    clock.advance(SECOND);
    assert_eq!(state(), "Stopped");
}

#[test]
fn jobs_on_one_machine_wait_for_each_other() {
    let (simulator, clock) = simulator();
    let client = Client::new(&simulator);
    let machine = client.deploy(&clock, "a", &[]);
    let id = text(&machine["id"]);
    let stop = client.start("stopVirtualMachine", &[("id", id)]);
    let start = client.start("startVirtualMachine", &[("id", id)]);
    clock.advance(2 * SECOND);
    assert_eq!(
        (
            &client.job(&stop)["jobstatus"],
            &client.job(&start)["jobstatus"]
        ),
        (&json!(1), &json!(0))
    );
    clock.advance(2 * SECOND);
    assert_eq!(
        client.job(&start)["jobresult"]["virtualmachine"]["state"],
        "Running"
    );
}

#[test]
fn what_a_state_does_not_allow_fails_in_the_job() {
    let (simulator, clock) = simulator();
    let client = Client::new(&simulator);
    let machine = client.deploy(&clock, "a", &[]);
    let id = text(&machine["id"]);
    let running = client.finish(&clock, "startVirtualMachine", &[("id", id)]);
    assert_eq!(
        (&running["jobstatus"], &running["jobresultcode"]),
        (&json!(2), &json!(530))
    );
    assert!(text(&running["jobresult"]["errortext"]).ends_with("is already running"));
    client.run(&clock, "stopVirtualMachine", &[("id", id)]);
    client.run(&clock, "stopVirtualMachine", &[("id", id)]);
    let reboot = client.finish(&clock, "rebootVirtualMachine", &[("id", id)]);
    assert_eq!(
        reboot["jobresult"],
        json!({ "errorcode": 530, "errortext": "Failed to reboot vm instance" })
    );
}

#[test]
fn failed_jobs_leave_things_as_they_were() {
    let (simulator, clock) = simulator();
    let client = Client::new(&simulator);
    let machine = client.deploy(&clock, "a", &[]);
    let id = text(&machine["id"]);
    let public = client.source_nat();
    let before = simulator.inventory();
    let fail = |command: &str, parameters: &[(&str, &str)]| {
        simulator.fault(
            command,
            1,
            Fault::JobFails {
                code: 530,
                text: "failed".to_owned(),
            },
        );
        assert_eq!(client.finish(&clock, command, parameters)["jobstatus"], 2);
        assert_eq!(simulator.inventory(), before, "{command}");
    };
    fail("stopVirtualMachine", &[("id", id)]);
    fail("destroyVirtualMachine", &[("id", id)]);
    fail(
        "createPortForwardingRule",
        &[
            ("ipaddressid", &public),
            ("publicport", "1"),
            ("privateport", "1"),
            ("protocol", "tcp"),
            ("virtualmachineid", id),
        ],
    );
    fail(
        "createFirewallRule",
        &[
            ("ipaddressid", &public),
            ("startport", "1"),
            ("protocol", "tcp"),
        ],
    );
    fail(
        "associateIpAddress",
        &[("zoneid", &client.zone("uk-london-1"))],
    );
}

#[test]
fn jobs_that_are_held_end_when_they_are_let_go() {
    let (simulator, clock) = simulator();
    let client = Client::new(&simulator);
    let machine = client.deploy(&clock, "a", &[]);
    let id = text(&machine["id"]);
    let held = simulator.hold("stopVirtualMachine");
    let stop = client.start("stopVirtualMachine", &[("id", id)]);
    let start = client.start("startVirtualMachine", &[("id", id)]);
    clock.advance(Duration::from_secs(3_600));
    assert_eq!(client.job(&stop)["jobstatus"], 0);
    // What comes after it on the same machine waits with it.
    assert_eq!(client.job(&start)["jobstatus"], 0);
    let other = client.deploy(&clock, "b", &[]);
    assert_eq!(other["state"], "Running");
    drop(held);
    assert_eq!(client.job(&stop)["jobstatus"], 1);
    clock.advance(Duration::from_secs(3_600));
    assert_eq!(client.job(&start)["jobstatus"], 1);
}
