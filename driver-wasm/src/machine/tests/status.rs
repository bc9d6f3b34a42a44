//! `status` of one machine and of many.

use super::*;

fn states(results: Vec<Result<MachineStatus, types::Error>>) -> Vec<(State, Option<String>)> {
    results
        .into_iter()
        .map(|result| result.map(|status| (status.state, status.ip)).unwrap())
        .collect()
}

#[test]
fn one_machine_takes_one_call() {
    let host = TestHost::new(FakeCloud::with_vm(Isolated, "Stopping"));
    let saved = json!({VM_ID: "vm-old", ADDRESS_MEMBER: "192.0.2.12"});
    let statuses = status(&host, &[with(&saved.to_string())]);
    assert_eq!(
        statuses,
        [Ok(at_address(State::Stopping, Some("192.0.2.12")))]
    );
    expect_calls(&host, &[&["listVirtualMachines"]]);

    let host = TestHost::new(FakeCloud::with_vm(Shared, "Stopped"));
    let statuses = status(&host, &[old()]);
    assert_eq!(statuses, [Ok(at_address(State::Stopped, Some("10.1.1.5")))]);
    expect_calls(&host, &[&["listVirtualMachines"]]);
}

#[test]
fn an_old_machine_is_at_its_forwarded_port() {
    for state in ["Running", "Stopped"] {
        let mut cloud = FakeCloud::with_vm(Isolated, state);
        cloud.rules.insert("r1".to_owned(), ("vm-x".to_owned(), 22));
        let host = TestHost::new(cloud);
        assert_eq!(status(&host, &[old()])[0].as_ref().unwrap().ip, None);
        host.server
            .borrow_mut()
            .rules
            .insert("r2".to_owned(), ("vm-old".to_owned(), 22));
        let expected = (state == "Running").then_some("192.0.2.12".to_owned());
        assert_eq!(status(&host, &[old()])[0].as_ref().unwrap().ip, expected);
    }
}

#[test]
fn many_machines_take_one_call() {
    let mut cloud = FakeCloud::with_vm(Shared, "Running");
    cloud.add_vm("vm-2", "m2", "m2-key", "Error");
    cloud.add_vm("vm-3", "m3", "m3-key", "Expunging");
    cloud.add_vm("vm-4", "m1", MARK, "Starting");
    cloud.keys.insert(MARK.to_owned(), String::new());
    let host = TestHost::new(cloud);
    let of_vm = |id: &str| with(&json!({VM_ID: id}).to_string());
    let machines = [
        of_vm("vm-2"),
        of_vm("vm-9"),
        old(),
        of_vm("vm-3"),
        with(&json!({KEY_PAIR: MARK}).to_string()),
        with("{}"),
    ];
    let own = Some("10.1.1.5".to_owned());
    assert_eq!(
        states(status(&host, &machines)),
        [
            (State::Error, own.clone()),
            (State::NotFound, None),
            (State::Running, own.clone()),
            (State::NotFound, None),
            (State::Starting, own),
            (State::NotFound, None),
        ]
    );
    expect_calls(&host, &[&["listVirtualMachines"]]);
    assert!(status(&host, &[]).is_empty());
    let broken = status(&host, &[with("x"), old()]);
    assert!(broken[0].is_err() && broken[1].is_ok());
}

#[test]
fn what_is_not_there_is_not_found_and_what_cannot_be_asked_is_an_error() {
    let host = TestHost::new(FakeCloud::new(Isolated));
    assert_eq!(states(status(&host, &[old()])), [(State::NotFound, None)]);
    host.server
        .borrow_mut()
        .faults
        .insert("listVirtualMachines", Fault::Refuse(401, "no"));
    for machines in [vec![old()], vec![old(), old()]] {
        let results = status(&host, &machines);
        assert_eq!(results.len(), machines.len());
        for result in results {
            assert_eq!(result.unwrap_err().kind, ErrorKind::Authentication);
        }
    }
}
