//! Machines: their life, their names, and how many there may be.

use std::time::Duration;

use cloudstack_simulator::Fault;
use serde_json::json;

use crate::client::{Client, RSA_KEY, borrowed, simulator, text, with};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_machine_is_made_stopped_started_and_removed_without_trace() {
    let (simulator, clock) = simulator();
    let client = Client::new(&simulator);
    client.ok(
        "registerSSHKeyPair",
        &[("name", "k"), ("publickey", RSA_KEY)],
    );
    let machine = client.deploy(&clock, "web-1", &[("keypair", "k"), ("displayname", "Web")]);
    let id = text(&machine["id"]);
    for (field, value) in [
        ("state", "Running"),
        ("name", "web-1"),
        ("displayname", "Web"),
        ("keypairs", "k"),
        ("zonename", "uk-london-1"),
        ("templatename", "Ubuntu 24.04 LTS"),
        ("serviceofferingname", "Small"),
        ("account", "demo"),
    ] {
        assert_eq!(machine[field], value, "{field}");
    }
    let nic = &machine["nic"][0];
    assert_eq!(
        (
            &nic["ipaddress"],
            &nic["networkname"],
            &nic["isdefault"],
            &nic["type"]
        ),
        (
            &json!("10.1.1.10"),
            &json!("default"),
            &json!(true),
            &json!("Isolated")
        )
    );
    assert!(machine.get("hostname").is_none());

    assert_eq!(
        client.run(&clock, "stopVirtualMachine", &[("id", id)])["virtualmachine"]["state"],
        "Stopped"
    );
    assert_eq!(
        client.run(&clock, "startVirtualMachine", &[("id", id)])["virtualmachine"]["state"],
        "Running"
    );
    assert_eq!(
        client.run(&clock, "rebootVirtualMachine", &[("id", id)])["virtualmachine"]["state"],
        "Running"
    );
    client.run(&clock, "destroyVirtualMachine", &[("id", id)]);
    assert_eq!(
        simulator.inventory().key_pairs,
        ["k"],
        "a key pair does not go with its machine"
    );
    client.ok("deleteSSHKeyPair", &[("name", "k")]);
    assert!(
        simulator.inventory().is_empty(),
        "{}",
        simulator.inventory()
    );
}

#[test]
fn a_failed_deployment_leaves_a_machine_in_error() {
    let (simulator, clock) = simulator();
    let client = Client::new(&simulator);
    simulator.fault(
        "deployVirtualMachine",
        1,
        Fault::JobFails {
            code: 533,
            text: "no capacity".to_owned(),
        },
    );
    let parameters = client.machine_parameters("uk-london-1");
    let mut all = borrowed(&parameters);
    all.push(("name", "a"));
    let job = client.finish(&clock, "deployVirtualMachine", &all);
    assert_eq!(
        job["jobresult"],
        json!({ "errorcode": 533, "errortext": "no capacity" })
    );
    assert_eq!(simulator.inventory().machines[0].state, "Error");
    let id = job["jobinstanceid"].as_str().unwrap();
    client.run(&clock, "destroyVirtualMachine", &[("id", id)]);
    assert!(simulator.inventory().is_empty());
}

#[test]
fn users_may_not_expunge_by_default() {
    let (simulator, clock) = with(|behaviour| behaviour.expunge_delay = 60 * SECOND);
    let client = Client::new(&simulator);
    let machine = client.deploy(&clock, "a", &[]);
    let id = text(&machine["id"]);
    let job = client.finish(
        &clock,
        "destroyVirtualMachine",
        &[("id", id), ("expunge", "true")],
    );
    assert_eq!(
        job["jobresult"]["errortext"],
        "Parameter expunge can be passed by Admin only. Or when the allow.user.expunge.recover.vm key is set."
    );
    assert_eq!(simulator.inventory().machines[0].state, "Running");
    assert_eq!(
        client.ok("listCapabilities", &[])["capability"]["allowuserexpungerecovervm"],
        false
    );

    client.run(&clock, "destroyVirtualMachine", &[("id", id)]);
    assert_eq!(
        client.ok("listVirtualMachines", &[("id", id)]),
        json!({}),
        "users are not shown destroyed machines"
    );
    assert_eq!(simulator.inventory().machines[0].state, "Destroyed");
    assert_eq!(client.err("recoverVirtualMachine", &[("id", id)]).0, 531);
    let parameters = client.machine_parameters("uk-london-1");
    let mut all = borrowed(&parameters);
    all.push(("name", "a"));
    assert!(
        client
            .err("deployVirtualMachine", &all)
            .1
            .starts_with("The vm with hostName a already exists")
    );
    clock.advance(60 * SECOND);
    assert!(simulator.inventory().is_empty());
    client.ok("deployVirtualMachine", &all);
}

#[test]
fn users_who_may_expunge_see_and_recover_destroyed_machines() {
    let (simulator, clock) = with(|behaviour| {
        behaviour.allow_user_expunge = true;
        behaviour.expunge_delay = 60 * SECOND;
    });
    let client = Client::new(&simulator);
    let machine = client.deploy(&clock, "a", &[]);
    let id = text(&machine["id"]);
    client.run(&clock, "destroyVirtualMachine", &[("id", id)]);
    assert_eq!(
        client.ok("listVirtualMachines", &[("id", id)])["virtualmachine"][0]["state"],
        "Destroyed"
    );
    assert_eq!(
        client.ok("recoverVirtualMachine", &[("id", id)])["virtualmachine"]["state"],
        "Stopped"
    );
    clock.advance(61 * SECOND);
    client.run(&clock, "destroyVirtualMachine", &[("id", id)]);
    client.run(&clock, "expungeVirtualMachine", &[("id", id)]);
    assert!(simulator.inventory().is_empty());
    let machine = client.deploy(&clock, "b", &[]);
    client.run(
        &clock,
        "destroyVirtualMachine",
        &[("id", text(&machine["id"])), ("expunge", "true")],
    );
    assert!(simulator.inventory().is_empty());
}

#[test]
fn names_of_machines_are_checked() {
    let (simulator, clock) = simulator();
    let client = Client::new(&simulator);
    client.deploy(&clock, "web", &[]);
    let parameters = client.machine_parameters("uk-london-1");
    let deploy = |name| {
        let mut all = borrowed(&parameters);
        all.push(("name", name));
        client.err("deployVirtualMachine", &all)
    };
    assert!(
        deploy("1web")
            .1
            .starts_with("Invalid name. Vm name can contain ASCII letters")
    );
    let (code, text) = deploy("web");
    assert_eq!(code, 431);
    assert!(
        text.starts_with("The vm with hostName web already exists in the network domain: cs"),
        "{text}"
    );
    client.deploy(&clock, "web-2", &[]);
    let list = client.ok("listVirtualMachines", &[("name", "WEB")]);
    assert_eq!(list["count"], 2, "a part of the name is enough");
}

#[test]
fn a_list_of_machines_has_the_details_that_are_asked_for() {
    let (simulator, clock) = simulator();
    let client = Client::new(&simulator);
    client.deploy(&clock, "web", &[]);
    let members = |details: &[(&str, &str)]| {
        let list = client.ok("listVirtualMachines", details);
        let machine = list["virtualmachine"][0].clone();
        ["id", "state", "nic", "templateid", "memory", "rootdeviceid"]
            .into_iter()
            .filter(|member| machine.get(*member).is_some())
            .collect::<Vec<_>>()
    };
    let all = ["id", "state", "nic", "templateid", "memory", "rootdeviceid"];
    assert_eq!(members(&[]), all);
    assert_eq!(members(&[("details", "nics,all")]), all);
    assert_eq!(members(&[("details", "min")]), ["id", "state"]);
    assert_eq!(members(&[("details", "nics")]), ["id", "state", "nic"]);
    let offering = ["id", "state", "nic", "memory"];
    assert_eq!(members(&[("details", "nics,servoff")]), offering);
    assert_eq!(
        client.err("listVirtualMachines", &[("details", "nic")]),
        (
            431,
            "The details parameter contains a non permitted value: nic".to_owned()
        )
    );
}

#[test]
fn an_account_may_have_only_so_many_machines() {
    let (simulator, clock) = with(|behaviour| behaviour.machine_limit = Some(1));
    let client = Client::new(&simulator);
    client.deploy(&clock, "a", &[]);
    let parameters = client.machine_parameters("uk-london-1");
    let all = borrowed(&parameters);
    let (code, error) = client.err("deployVirtualMachine", &all);
    assert_eq!(code, 535);
    assert!(error.starts_with(
        "Maximum number of resources of type 'user_vm' for account name=demo in domain id="
    ));
}
