//! `remove`: all that was made, nothing else, and what is left is told.

use super::*;
#[cfg(not(flavour = "cloudstack"))]
use crate::testing::ok;

fn created(network: NetworkKind) -> TestHost<FakeCloud> {
    let host = TestHost::new(FakeCloud::new(network));
    create(&host, &machine()).unwrap();
    host.commands();
    host
}

fn saved(host: &TestHost<FakeCloud>) -> Machine {
    with(&host.saved.borrow())
}

/// The calls that destroy a machine, by default.
fn destroy() -> &'static [&'static str] {
    const CALLS: [&str; 4] = [
        "listCapabilities",
        "destroyVirtualMachine",
        "queryAsyncJobResult",
        "deleteSSHKeyPair",
    ];
    match flavour::expunge(&machine()).unwrap() {
        Expunge::Auto => &CALLS,
        Expunge::Yes | Expunge::No => &CALLS[1..],
    }
}

#[test]
fn removes_all_and_can_be_repeated() {
    let host = created(Isolated);
    remove(&host, &saved(&host)).unwrap();
    assert!(contents(&host).is_empty());
    let rules = [
        "listVirtualMachines",
        "listPortForwardingRules",
        "deletePortForwardingRule",
        "deletePortForwardingRule",
        "queryAsyncJobResult",
    ];
    expect_calls(&host, &[&rules, destroy()]);
    remove(&host, &saved(&host)).unwrap();
    let repeated = [
        "listVirtualMachines",
        "listPortForwardingRules",
        "deleteSSHKeyPair",
    ];
    expect_calls(&host, &[&repeated]);
    host.server.borrow_mut().vms.clear();
    remove(&host, &saved(&host)).unwrap();
    assert!(host.commands().contains(&"listAccounts".to_owned()));

    let host = created(Shared);
    remove(&host, &saved(&host)).unwrap();
    assert!(contents(&host).is_empty());
    expect_calls(&host, &[&["listVirtualMachines"], destroy()]);
}

#[test]
fn a_machine_that_other_keys_do_not_see_is_not_taken_for_gone() {
    let host = created(Isolated);
    let before = contents(&host);
    host.server.borrow_mut().caller = "somebody else";
    let error = remove(&host, &saved(&host)).unwrap_err();
    assert!(
        error
            .message
            .starts_with("The machine belongs to the account \"me\""),
        "{error:?}"
    );
    assert!(
        error
            .message
            .contains("Left in the cloud: the virtual machine"),
        "{error:?}"
    );
    assert_eq!(error.kind, ErrorKind::Permission);
    assert_eq!(contents(&host), before);
    // Where that cannot be asked, the cloud is believed.
    let denied = Fault::Refuse(432, "it does not exist or it is not available for user");
    host.server
        .borrow_mut()
        .faults
        .insert("listAccounts", denied);
    remove(&host, &saved(&host)).unwrap();
}

#[test]
fn only_the_data_disks_that_were_made_with_a_machine_go_with_it() {
    for (data_volumes, is_unfinished, left) in [
        (json!(["vol-1"]), false, vec!["vol-2"]),
        // Its own are not known, but it was interrupted before anybody could attach one.
        (Json::Null, true, vec![]),
        (Json::Null, false, vec!["vol-1", "vol-2"]),
    ] {
        let host = created(Isolated);
        host.server.borrow_mut().volumes = vec!["vol-1", "vol-2"];
        let mut saved_members = saved_json(&host);
        if !data_volumes.is_null() {
            saved_members["DataVolumes"] = data_volumes;
        }
        saved_members["Unfinished"] = json!(is_unfinished);
        let machine = with_data_disk(with(&saved_members.to_string()));
        remove(&host, &machine).unwrap();
        let left = match flavour::deletes_volumes(&machine) {
            false if !is_unfinished => vec!["vol-1", "vol-2"],
            _ => left,
        };
        assert_eq!(host.server.borrow().volumes, left);
    }
}

#[test]
fn the_data_disk_of_an_unfinished_machine_goes_even_if_that_is_gone() {
    let host = created(Isolated);
    let mut saved_members = saved_json(&host);
    saved_members["DataVolumes"] = json!(["vol-1"]);
    saved_members["Unfinished"] = json!(true);
    host.server.borrow_mut().volumes = vec!["vol-1", "vol-2"];
    host.server.borrow_mut().vms.clear();
    let machine = with_data_disk(with(&saved_members.to_string()));
    remove(&host, &machine).unwrap();
    assert_eq!(host.server.borrow().volumes, ["vol-2"]);
}

#[test]
fn a_data_disk_whose_machine_is_gone_stays_and_is_told_of() {
    let host = created(Isolated);
    let mut saved_members = saved_json(&host);
    saved_members["DataVolumes"] = json!(["vol-1"]);
    host.server.borrow_mut().volumes = vec!["vol-1", "vol-2"];
    host.server.borrow_mut().vms.clear();
    let machine = with_data_disk(with(&saved_members.to_string()));
    remove(&host, &machine).unwrap();
    assert_eq!(host.server.borrow().volumes.len(), 2);
    let lines = host.lines.borrow();
    let told = lines.iter().filter(|line| line.contains("vol-1"));
    let expected = usize::from(flavour::deletes_volumes(&machine));
    assert_eq!(told.count(), expected, "{lines:?}");
    assert!(!lines.iter().any(|line| line.contains("vol-2")));
}

#[test]
fn what_was_never_made_takes_no_call() {
    let host = TestHost::new(FakeCloud::new(Isolated));
    for saved in [json!({}), json!({VM_ID: "", KEY_PAIR: "", "Other": 1})] {
        remove(&host, &with(&saved.to_string())).unwrap();
    }
    assert!(host.requests.borrow().is_empty());
    remove(&host, &with("x")).unwrap_err();
}

#[test]
fn a_machine_of_the_old_driver_goes_with_its_rules() {
    let mut cloud = FakeCloud::with_vm(Isolated, "Running");
    for (id, vm, port) in [
        ("rule-a", "vm-old", 22),
        ("rule-b", "vm-old", 3376),
        ("rule-c", "vm-x", 80),
    ] {
        cloud.rules.insert(id.to_owned(), (vm.to_owned(), port));
    }
    let host = TestHost::new(cloud);
    remove(&host, &old()).unwrap();
    assert_eq!(contents(&host), ["rule-c 80"]);
}

#[cfg(not(flavour = "cloudstack"))]
#[test]
fn expunges_only_where_that_is_allowed() {
    let expunge = |host: &TestHost<FakeCloud>| -> Vec<_> {
        let requests = host.requests.take();
        let destroy = requests
            .iter()
            .filter(|r| param(r, "command") == Some("destroyVirtualMachine"));
        destroy.map(|r| param(r, "expunge").is_some()).collect()
    };
    let host = created(Shared);
    remove(&host, &saved(&host)).unwrap();
    assert_eq!(expunge(&host), [true]);

    let host = created(Shared);
    host.server.borrow_mut().may_expunge = false;
    remove(&host, &saved(&host)).unwrap();
    assert_eq!(expunge(&host), [false]);
    assert_eq!(host.server.borrow().vms["vm-1"].state, "Destroyed");

    let host = created(Shared);
    host.server
        .borrow_mut()
        .faults
        .insert("listCapabilities", Fault::Refuse(432, "no"));
    remove(&host, &saved(&host)).unwrap();
    assert_eq!(expunge(&host), [false]);
}

#[cfg(not(flavour = "cloudstack"))]
#[test]
fn a_refused_expunge_is_asked_again_without() {
    let text = "Parameter expunge can be passed by Admin only. Or when the allow.user.expunge.recover.vm key is set.";
    let host = created(Shared);
    let script = [
        ok(
            "listVirtualMachines",
            json!({"count": 1, "virtualmachine": [{"id": "vm-1", "name": "m1", "state": "Running"}]}),
        ),
        ok(
            "listCapabilities",
            json!({"capability": {"allowuserexpungerecovervm": "true"}}),
        ),
        ok("destroyVirtualMachine", json!({"jobid": "1"})),
        ok(
            "queryAsyncJobResult",
            json!({"jobstatus": 2, "jobresultcode": 530, "jobresult": {"errorcode": 531, "errortext": text}}),
        ),
        ok("destroyVirtualMachine", json!({"jobid": "2"})),
        ok("queryAsyncJobResult", json!({"jobstatus": 1})),
        ok("deleteSSHKeyPair", json!({"success": "true"})),
    ];
    let script = TestHost::script(script);
    remove(&script, &saved(&host)).unwrap();
    assert!(script.server.borrow().is_empty());
}

#[test]
fn goes_on_past_errors_and_tells_what_is_left() {
    let host = created(Isolated);
    let faults = [
        (
            "deletePortForwardingRule",
            Fault::Refuse(530, "rule trouble"),
        ),
        (
            "destroyVirtualMachine",
            Fault::Refuse(530, "machine trouble"),
        ),
        ("deleteSSHKeyPair", Fault::Refuse(530, "key trouble")),
    ];
    host.server.borrow_mut().faults.extend(faults);
    let error = remove(&host, &saved(&host)).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Internal);
    assert_eq!(
        error.message,
        format!(
            "CloudStack refused deletePortForwardingRule: rule trouble (error 530/4350), 2 times\n  \
             CloudStack refused destroyVirtualMachine: machine trouble (error 530/4350)\n  \
             CloudStack refused deleteSSHKeyPair: key trouble (error 530/4350)\n\
             Left in the cloud: the port-forwarding rule rule-4 of port 22, the port-forwarding rule rule-6 of port 2376, \
             the virtual machine vm-1 and the SSH key pair {MARK}"
        )
    );
    assert_eq!(error.hint.unwrap(), "Remove the machine once more");
    host.server.borrow_mut().heal();
    remove(&host, &saved(&host)).unwrap();
    assert!(contents(&host).is_empty());
}

#[test]
fn an_error_about_very_much_is_short() {
    let host = created(Isolated);
    {
        let mut cloud = host.server.borrow_mut();
        let rules = (0..100).map(|n| (format!("rule-of-hand-{n}"), ("vm-1".to_owned(), n)));
        cloud.rules.extend(rules);
        let fault = Fault::Refuse(530, "rule trouble");
        cloud.faults.insert("deletePortForwardingRule", fault);
    }
    let error = remove(&host, &saved(&host)).unwrap_err();
    let reason =
        "CloudStack refused deletePortForwardingRule: rule trouble (error 530/4350), 102 times\n";
    assert!(error.message.starts_with(reason), "{}", error.message);
    assert!(error.message.ends_with(" more"), "{}", error.message);
    assert!(error.message.len() < 2_000, "{}", error.message);
}

#[test]
fn bad_keys_are_told_once() {
    let host = created(Isolated);
    host.server.borrow_mut().faults.insert(
        "listVirtualMachines",
        Fault::Refuse(401, "unable to verify"),
    );
    let error = remove(&host, &saved(&host)).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Authentication);
    assert_eq!(
        error.message,
        format!(
            "CloudStack refused listVirtualMachines: unable to verify (error 401/4350)\n\
             Left in the cloud: the virtual machine vm-1 and the SSH key pair {MARK}"
        )
    );
    assert!(error.hint.unwrap().contains(API_KEY));
    expect_calls(&host, &[&["listVirtualMachines"]]);
}

#[test]
fn the_key_pair_stays_as_long_as_only_it_leads_to_the_machine() {
    let host = TestHost::new(FakeCloud::new(Isolated));
    host.server
        .borrow_mut()
        .add_vm("vm-1", "m1", MARK, "Running");
    host.server
        .borrow_mut()
        .keys
        .insert(MARK.to_owned(), String::new());
    let machine = with(&json!({KEY_PAIR: MARK, "DeployRequested": true}).to_string());
    host.server
        .borrow_mut()
        .faults
        .insert("listVirtualMachines", Fault::Refuse(530, "trouble"));
    let error = remove(&host, &machine).unwrap_err();
    assert!(error.message.ends_with(&format!(
        "Left in the cloud: the virtual machine, if there is one and the SSH key pair {MARK}"
    )));
    assert_eq!(contents(&host).len(), 2);

    // Once it is found, its id is saved.
    host.server.borrow_mut().heal();
    host.server
        .borrow_mut()
        .faults
        .insert("destroyVirtualMachine", Fault::Refuse(530, "trouble"));
    remove(&host, &machine).unwrap_err();
    assert_eq!(saved_json(&host), json!({KEY_PAIR: MARK, VM_ID: "vm-1"}));
    remove_what_is_left(&host).unwrap();
    assert!(contents(&host).is_empty());
}

#[test]
fn a_machine_that_is_busy_is_waited_for() {
    let host = created(Shared);
    host.sleeps_left.set(Some(3));
    stop(&host, &saved(&host)).unwrap_err();
    assert_eq!(host.server.borrow().vms["vm-1"].state, "Stopping");
    host.sleeps_left.set(None);
    remove(&host, &saved(&host)).unwrap();
    assert!(contents(&host).is_empty());
}
