//! What is whose, and what is nobody's.

use serde_json::json;

use crate::client::{Client, simulator, text};

#[test]
fn ids_that_never_were_and_ids_that_are_gone_differ() {
    let (simulator, clock) = simulator();
    let client = Client::new(&simulator);
    let never = "00000000-0000-4000-8000-000000000000";
    let text_of = |name, command| {
        format!(
            "Unable to execute API command {command} due to invalid value. Invalid parameter {name} value={never} due to \
             incorrect long value format, or entity does not exist or due to incorrect parameter annotation for the field \
             in api cmd class."
        )
    };
    assert_eq!(
        client.err("stopVirtualMachine", &[("id", never)]),
        (431, text_of("id", "stopvirtualmachine"))
    );
    assert_eq!(
        client.err("listVirtualMachines", &[("id", never)]),
        (431, text_of("id", "listvirtualmachines"))
    );
    assert_eq!(
        client.err("queryAsyncJobResult", &[("jobid", never)]),
        (431, text_of("jobid", "queryasyncjobresult"))
    );
    let machine = client.deploy(&clock, "a", &[]);
    let id = text(&machine["id"]);
    client.run(&clock, "destroyVirtualMachine", &[("id", id)]);
    assert_eq!(client.ok("listVirtualMachines", &[("id", id)]), json!({}));
    assert_eq!(
        client.err("stopVirtualMachine", &[("id", id)]),
        (
            431,
            format!("unable to find a virtual machine with id {id}")
        )
    );
}

#[test]
fn accounts_do_not_see_each_others_things() {
    let (simulator, clock) = simulator();
    let (demo, other) = (Client::new(&simulator), Client::of(&simulator, "other"));
    demo.ok("createSSHKeyPair", &[("name", "k")]);
    let machine = demo.deploy(&clock, "a", &[]);
    let id = text(&machine["id"]);
    for (command, parameters) in [
        ("listVirtualMachines", &[("id", id)][..]),
        ("listSSHKeyPairs", &[("listall", "true")]),
    ] {
        assert_eq!(other.ok(command, parameters), json!({}), "{command}");
    }
    let (code, error) = other.err("stopVirtualMachine", &[("id", id)]);
    assert_eq!(code, 531);
    assert!(
        error.contains("does not have permission to operate with resource Acct["),
        "{error}"
    );
    assert_eq!(
        other.err("listVirtualMachines", &[("account", "demo")]).0,
        531
    );
    other.ok("createSSHKeyPair", &[("name", "k")]);
    assert_eq!(
        other.deploy(&clock, "a", &[])["nic"][0]["ipaddress"],
        "10.1.1.10",
        "networks are apart"
    );
    let job = demo.start("rebootVirtualMachine", &[("id", id)]);
    assert_eq!(other.err("queryAsyncJobResult", &[("jobid", &job)]).0, 531);
    assert_eq!(simulator.inventory_of("other").machines.len(), 1);
}
