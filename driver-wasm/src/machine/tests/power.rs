//! `start`, `stop`, `kill` and `restart`.

use super::*;

type Operation = fn(&dyn Host, &Machine) -> Result<(), types::Error>;

#[test]
fn each_arrives_in_its_state_with_the_fewest_calls() {
    let look = "listVirtualMachines";
    let poll = "queryAsyncJobResult";
    let cases: [(Operation, &str, &[&str], &str); 13] = [
        (
            start,
            "Stopped",
            &[look, "startVirtualMachine", poll],
            "Running",
        ),
        (start, "Running", &[look], "Running"),
        (start, "Migrating", &[look], "Migrating"),
        (
            stop,
            "Running",
            &[look, "stopVirtualMachine", poll],
            "Stopped",
        ),
        (stop, "Stopped", &[look], "Stopped"),
        (stop, "Shutdowned", &[look], "Shutdowned"),
        (
            kill,
            "Running",
            &[look, "stopVirtualMachine", poll],
            "Stopped",
        ),
        (
            kill,
            "Stopping",
            &[look, "stopVirtualMachine", poll],
            "Stopped",
        ),
        (kill, "Stopped", &[look], "Stopped"),
        (
            restart,
            "Running",
            &[look, "rebootVirtualMachine", poll],
            "Running",
        ),
        (
            restart,
            "Stopped",
            &[look, "startVirtualMachine", poll],
            "Running",
        ),
        (
            start,
            "Error",
            &[look, "startVirtualMachine", poll],
            "Running",
        ),
        (
            stop,
            "Unknown",
            &[look, "stopVirtualMachine", poll],
            "Stopped",
        ),
    ];
    for (operation, from, calls, to) in cases {
        let host = TestHost::new(FakeCloud::with_vm(Isolated, from));
        operation(&host, &old()).unwrap();
        assert_eq!(host.server.borrow().vms["vm-old"].state, to, "{from} {to}");
        let forced = host
            .requests
            .borrow()
            .iter()
            .any(|request| param(request, "forced") == Some("true"));
        assert_eq!(
            forced,
            std::ptr::fn_addr_eq(operation, kill as Operation) && calls.len() > 1
        );
        expect_calls(&host, &[calls]);
    }
}

#[test]
fn a_change_that_is_going_on_is_waited_for() {
    for (operation, wanted) in [
        (start as Operation, "Running"),
        (stop, "Stopped"),
        (restart, "Running"),
    ] {
        for (other, state) in [(start as Operation, "Stopped"), (stop, "Running")] {
            let host = TestHost::new(FakeCloud::with_vm(Isolated, state));
            // Cancelled while it waits for the job, which goes on.
            host.sleeps_left.set(Some(3));
            assert_eq!(other(&host, &old()).unwrap_err().kind, ErrorKind::Cancelled);
            host.sleeps_left.set(None);
            operation(&host, &old()).unwrap();
            assert_eq!(host.server.borrow().vms["vm-old"].state, wanted);
        }
    }
}

#[test]
fn a_lost_answer_is_made_good_by_looking() {
    for (operation, from, command) in [
        (start as Operation, "Stopped", "startVirtualMachine"),
        (stop, "Running", "stopVirtualMachine"),
    ] {
        let mut cloud = FakeCloud::with_vm(Isolated, from);
        cloud.faults.insert(command, Fault::AnswerLost);
        let host = TestHost::new(cloud);
        operation(&host, &old()).unwrap();
        assert_eq!(host.commands().iter().filter(|c| *c == command).count(), 1);
    }
    let mut cloud = FakeCloud::with_vm(Isolated, "Running");
    cloud
        .faults
        .insert("rebootVirtualMachine", Fault::AnswerLost);
    let error = restart(&TestHost::new(cloud), &old()).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unreachable);
}

#[test]
fn a_machine_that_is_gone_is_not_found() {
    let gone = |state| TestHost::new(FakeCloud::with_vm(Isolated, state));
    let none = TestHost::new(FakeCloud::new(Isolated));
    for host in [gone("Destroyed"), gone("Expunging"), none] {
        for operation in [start as Operation, stop, kill, restart] {
            let error = operation(&host, &old()).unwrap_err();
            assert_eq!(error.kind, ErrorKind::NotFound);
            assert_eq!(
                error.message,
                format!("machine \"m1\" not found: {CLOUD} has no virtual machine with id vm-old")
            );
        }
    }
    let host = TestHost::new(FakeCloud::new(Isolated));
    let error = start(&host, &machine()).unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound);
    assert!(host.requests.borrow().is_empty());
    // It goes between the look and the call.
    let mut cloud = FakeCloud::with_vm(Isolated, "Running");
    cloud
        .faults
        .insert("stopVirtualMachine", Fault::Refuse(431, GONE));
    assert_eq!(
        stop(&TestHost::new(cloud), &old()).unwrap_err().kind,
        ErrorKind::NotFound
    );
}

#[test]
fn a_failed_job_fails_the_operation() {
    let mut cloud = FakeCloud::with_vm(Isolated, "Stopped");
    cloud.faults.insert("startVirtualMachine", Fault::JobFails);
    let error = start(&TestHost::new(cloud), &old()).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Capacity);
}
