//! The life of machines and of what belongs to them.

mod common;

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use cloudstack_simulator::{
    AffinityGroupConfig, Behaviour, CloudConfig, Fault, ManualClock, NetworkConfig, Simulator,
};
use common::{Client, ED25519_KEY, RSA_KEY, builder, simulator, text, with};
use serde_json::json;

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
fn jobs_take_their_time_and_show_what_is_between() {
    let (simulator, clock) = with(|behaviour| {
        behaviour
            .job_times
            .insert("stopVirtualMachine".to_owned(), 10 * SECOND);
    });
    let client = Client::new(&simulator);
    let parameters = client.machine_parameters("uk-london-1");
    let mut all: Vec<_> = parameters
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
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
    let mut all: Vec<_> = parameters
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
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
    let mut all: Vec<_> = parameters
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
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
        let mut all: Vec<_> = parameters
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
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
fn an_advanced_zone_takes_the_only_isolated_network_or_wants_to_be_told() {
    let (simulator, clock) = simulator();
    let client = Client::new(&simulator);
    let zone = client.zone("uk-london-1");
    let networks = client.ok("listNetworks", &[("type", "Isolated")]);
    assert_eq!(
        (&networks["count"], &networks["network"][0]["state"]),
        (&json!(1), &json!("Allocated"))
    );
    assert_eq!(
        client.ok("listPublicIpAddresses", &[]),
        json!({}),
        "no address before the first machine"
    );
    client.deploy(&clock, "a", &[]);
    let address = client.ok("listPublicIpAddresses", &[]);
    assert_eq!(address["publicipaddress"][0]["ipaddress"], "127.0.100.10");
    assert_eq!(
        client.ok("listNetworks", &[("type", "Isolated")])["network"][0]["state"],
        "Implemented"
    );
    assert!(
        simulator.inventory().addresses.is_empty(),
        "a source-NAT address is the network's"
    );

    let offering = client.id(
        "listNetworkOfferings",
        "networkoffering",
        "DefaultIsolatedNetworkOfferingWithSourceNatService",
        &[("guestiptype", "Isolated")],
    );
    let made = client.ok(
        "createNetwork",
        &[
            ("name", "second"),
            ("networkofferingid", &offering),
            ("zoneid", &zone),
        ],
    );
    let second = text(&made["network"]["id"]);
    assert_eq!(
        simulator.inventory().networks,
        ["second 10.1.2.0/24 (isolated)"]
    );
    let parameters = client.machine_parameters("uk-london-1");
    let mut all: Vec<_> = parameters
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let (code, error) = client.err("deployVirtualMachine", &all);
    assert_eq!(code, 431);
    assert!(
        error.starts_with("More than 1 default Isolated networks are found for account Acct["),
        "{error}"
    );
    assert!(error.ends_with("; please specify networkIds"), "{error}");

    all.push(("networkids", second));
    let machine = client.run(&clock, "deployVirtualMachine", &all)["virtualmachine"].clone();
    assert!(
        text(&machine["name"]).starts_with("VM-"),
        "a machine without a name gets one"
    );
    let busy = client.finish(&clock, "deleteNetwork", &[("id", second)]);
    assert_eq!(busy["jobresult"]["errortext"], "Failed to delete network");
    client.run(
        &clock,
        "destroyVirtualMachine",
        &[("id", text(&machine["id"]))],
    );
    client.run(&clock, "deleteNetwork", &[("id", second)]);
    assert!(simulator.inventory().networks.is_empty());
}

#[test]
fn machines_can_be_in_several_networks_at_chosen_addresses() {
    let (simulator, clock) = simulator();
    let client = Client::new(&simulator);
    let home = client.id("listNetworks", "network", "default", &[]);
    let lan = client.id("listNetworks", "network", "shared-lan", &[]);
    let both = format!("{lan},{home}");
    let machine = client.deploy(
        &clock,
        "a",
        &[("networkids", &both), ("ipaddress", "127.0.210.77")],
    );
    assert_eq!(machine["nic"][0]["ipaddress"], "127.0.210.77");
    assert_eq!(
        (
            &machine["nic"][0]["isdefault"],
            &machine["nic"][1]["isdefault"]
        ),
        (&json!(true), &json!(false))
    );
    let list = [
        ("IpToNetworkList[0].networkid", home.as_str()),
        ("iptonetworklist[0].ip", "10.1.1.99"),
    ];
    assert_eq!(
        client.deploy(&clock, "b", &list)["nic"][0]["ipaddress"],
        "10.1.1.99"
    );
    let parameters = client.machine_parameters("uk-london-1");
    let mut all: Vec<_> = parameters
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    all.extend(list);
    assert_eq!(
        client.err("deployVirtualMachine", &all).0,
        533,
        "the address is taken"
    );
}

#[test]
fn a_basic_zone_has_one_network_and_security_groups() {
    let (simulator, clock) = simulator();
    let client = Client::new(&simulator);
    let group = client.ok(
        "createSecurityGroup",
        &[("name", "web"), ("description", "for web")],
    )["securitygroup"]
        .clone();
    let group_id = text(&group["id"]);
    assert_eq!(
        client.err("createSecurityGroup", &[("name", "web")]).1,
        "Unable to create security group, a group with name web already exists."
    );
    let rule = [
        ("securitygroupname", "web"),
        ("protocol", "TCP"),
        ("startport", "22"),
        ("endport", "22"),
        ("cidrlist", "192.0.2.0/24"),
    ];
    let authorized =
        client.run(&clock, "authorizeSecurityGroupIngress", &rule)["securitygroup"].clone();
    assert_eq!(authorized["ingressrule"][0]["cidr"], "192.0.2.0/24");
    assert_eq!(
        simulator.inventory().security_groups,
        ["web [192.0.2.0/24 → 22/tcp]"]
    );

    let parameters = client.machine_parameters("uk-basic-1");
    let mut all: Vec<_> = parameters
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let network = client.id("listNetworks", "network", "guestNetworkForBasicZone", &[]);
    all.push(("networkids", &network));
    assert_eq!(
        client.err("deployVirtualMachine", &all),
        (431, "Can't specify network Ids in Basic zone".to_owned())
    );
    all.pop();
    all.push(("securitygroupnames", "web"));
    let machine = client.run(&clock, "deployVirtualMachine", &all)["virtualmachine"].clone();
    assert_eq!(machine["nic"][0]["ipaddress"], "127.0.200.10");
    assert_eq!(machine["securitygroup"][0]["name"], "web");
    let in_use = client.err("deleteSecurityGroup", &[("id", group_id)]);
    assert_eq!(
        in_use,
        (
            536,
            "Cannot delete group when it's in use by virtual machines".to_owned()
        )
    );

    let rule_id = text(&authorized["ingressrule"][0]["ruleid"]);
    client.run(&clock, "revokeSecurityGroupIngress", &[("id", rule_id)]);
    client.run(
        &clock,
        "destroyVirtualMachine",
        &[("id", text(&machine["id"]))],
    );
    assert_eq!(
        client.ok("deleteSecurityGroup", &[("name", "web")])["success"],
        "true"
    );
    assert!(simulator.inventory().is_empty());
}

#[test]
fn templates_are_of_zones_and_of_filters() {
    let (simulator, _) = simulator();
    let client = Client::new(&simulator);
    let zone = client.zone("uk-london-1");
    let count =
        |parameters: &[(&str, &str)]| client.ok("listTemplates", parameters)["count"].clone();
    assert_eq!(
        count(&[("templatefilter", "executable")]),
        7,
        "one for each zone"
    );
    assert_eq!(
        count(&[("templatefilter", "executable"), ("zoneid", &zone)]),
        3
    );
    assert_eq!(
        count(&[("templatefilter", "featured"), ("zoneid", &zone)]),
        2
    );
    assert_eq!(
        client.ok("listTemplates", &[("templatefilter", "self")]),
        json!({})
    );
    assert_eq!(
        client.err("listTemplates", &[("templatefilter", "all")]).1,
        "Filter all can be specified by admin only"
    );
    assert_eq!(
        client.err("listTemplates", &[]).1,
        "Unable to execute API command listtemplates due to missing parameter templatefilter"
    );
    let elsewhere = client.id(
        "listTemplates",
        "template",
        "Rocky Linux 9",
        &[("templatefilter", "executable")],
    );
    let offering = client.id("listServiceOfferings", "serviceoffering", "Small", &[]);
    let all = [
        ("zoneid", zone.as_str()),
        ("templateid", &elsewhere),
        ("serviceofferingid", &offering),
    ];
    assert!(
        client
            .err("deployVirtualMachine", &all)
            .1
            .contains("is not available for use in zone")
    );
}

#[test]
fn custom_offerings_want_details_and_disks_their_size() {
    let (simulator, clock) = simulator();
    let client = Client::new(&simulator);
    let custom = client.id("listServiceOfferings", "serviceoffering", "Custom", &[]);
    let disk = client.id("listDiskOfferings", "diskoffering", "Data custom", &[]);
    let parameters = client.machine_parameters("uk-london-1");
    let mut all: Vec<_> = parameters[..2]
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    all.push(("serviceofferingid", &custom));
    assert!(
        client
            .err("deployVirtualMachine", &all)
            .1
            .starts_with("Need to specify custom parameter values")
    );
    all.extend([
        ("details[0].cpuNumber", "2"),
        ("details[0].cpuSpeed", "1500"),
        ("details[0].memory", "2048"),
    ]);
    all.push(("diskofferingid", &disk));
    assert_eq!(
        client.err("deployVirtualMachine", &all).1,
        "This disk offering requires a custom size specified"
    );
    all.extend([("size", "7"), ("rootdisksize", "20"), ("name", "a")]);
    let machine = client.run(&clock, "deployVirtualMachine", &all)["virtualmachine"].clone();
    assert_eq!(
        (&machine["cpunumber"], &machine["memory"]),
        (&json!(2), &json!(2048))
    );
    let id = text(&machine["id"]);
    let volumes = client.ok(
        "listVolumes",
        &[("virtualmachineid", id), ("type", "DATADISK")],
    );
    let volume = text(&volumes["volume"][0]["id"]);
    assert_eq!(volumes["volume"][0]["size"], 7_u64 << 30);
    assert_eq!(client.err("deleteVolume", &[("id", volume)]).0, 431);
    client.run(&clock, "destroyVirtualMachine", &[("id", id)]);
    assert_eq!(
        simulator.inventory().volumes.len(),
        1,
        "a data disk outlives its machine"
    );
    assert_eq!(
        client.ok("deleteVolume", &[("id", volume)])["success"],
        "true"
    );
    assert!(simulator.inventory().is_empty());

    all.retain(|(name, _)| *name != "name");
    all.push(("name", "b"));
    let machine = client.run(&clock, "deployVirtualMachine", &all)["virtualmachine"].clone();
    let id = text(&machine["id"]);
    let volumes = client.ok(
        "listVolumes",
        &[("virtualmachineid", id), ("type", "DATADISK")],
    );
    let volume = text(&volumes["volume"][0]["id"]);
    client.run(
        &clock,
        "destroyVirtualMachine",
        &[("id", id), ("volumeids", volume)],
    );
    assert!(
        simulator.inventory().is_empty(),
        "volumes that are named go with the machine"
    );
}

#[test]
fn user_data_is_checked() {
    let (simulator, clock) = simulator();
    let client = Client::new(&simulator);
    let parameters = client.machine_parameters("uk-london-1");
    let deploy = |data: &str| {
        let mut all: Vec<_> = parameters
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        all.push(("userdata", data));
        client.err("deployVirtualMachine", &all).1
    };
    assert_eq!(deploy(""), "User data is too short");
    assert_eq!(deploy("#!"), "User data is not base64 encoded");
    assert_eq!(
        deploy(&"AAAA".repeat(8_193)),
        "User data is too long for an http POST request"
    );
    let machine = client.deploy(&clock, "a", &[("userdata", "I2Nsb3VkLWNvbmZpZwo=")]);
    let list = client.ok(
        "listVirtualMachines",
        &[("id", text(&machine["id"])), ("userdata", "true")],
    );
    assert_eq!(
        list["virtualmachine"][0]["userdata"],
        "I2Nsb3VkLWNvbmZpZwo="
    );
}

#[test]
fn key_pairs_are_checked() {
    let (simulator, _) = simulator();
    let client = Client::new(&simulator);
    let register = |name: &str, key: &str| {
        client.err("registerSSHKeyPair", &[("name", name), ("publickey", key)])
    };
    let pair = client.ok(
        "registerSSHKeyPair",
        &[("name", "a"), ("publickey", RSA_KEY)],
    )["keypair"]
        .clone();
    assert_eq!(
        (text(&pair["fingerprint"]).len(), &pair["account"]),
        (47, &json!("demo"))
    );
    assert_eq!(
        register("a", ED25519_KEY),
        (431, "A key pair with name 'a' already exists.".to_owned())
    );
    assert!(
        register("b", RSA_KEY)
            .1
            .ends_with("already exists for this account.")
    );
    assert_eq!(
        register("b", "ssh-rsa"),
        (431, "Public key is invalid".to_owned())
    );
    assert!(
        register("b", &"x".repeat(5121))
            .1
            .contains("Value greater than max allowed length 5120")
    );
    simulator.set_behaviour(|behaviour| behaviour.rsa_keys_only = true);
    assert_eq!(
        register("b", ED25519_KEY),
        (431, "Public key is invalid".to_owned())
    );
    simulator.set_behaviour(|behaviour| behaviour.rsa_keys_only = false);
    client.ok(
        "registerSSHKeyPair",
        &[("name", "b"), ("publickey", ED25519_KEY)],
    );
    let made = client.ok("createSSHKeyPair", &[("name", "c")])["keypair"].clone();
    assert!(text(&made["privatekey"]).starts_with("-----BEGIN RSA PRIVATE KEY-----\n"));
    assert_eq!(simulator.inventory().key_pairs, ["a", "b", "c"]);
    assert_eq!(
        client.err("deleteSSHKeyPair", &[("name", "x")]).1,
        "A key pair with name 'x' does not exist for account demo in specified domain id"
    );
    assert_eq!(
        client.ok("deleteSSHKeyPair", &[("name", "a")]),
        json!({ "success": "true" })
    );
}

#[test]
fn a_machine_has_one_key_pair_and_since_4_17_several() {
    let (simulator, clock) = simulator();
    let client = Client::new(&simulator);
    for name in ["a", "b"] {
        client.ok("createSSHKeyPair", &[("name", name)]);
    }
    let machine = client.deploy(&clock, "new", &[("keypairs", "a,b")]);
    assert_eq!(
        (&machine["keypairs"], machine.get("keypair")),
        (&json!("a,b"), None)
    );
    assert_eq!(simulator.inventory().machines[0].key_pairs, ["a", "b"]);
    assert_eq!(
        client.ok("listVirtualMachines", &[("keypair", "b")])["count"],
        1
    );
    let deploy = |key_pairs| client.deploy_refused("c", &[("keypairs", key_pairs)]);
    assert_eq!(
        deploy("a,x"),
        (431, "A key pair with name 'x' was not found.".to_owned())
    );

    simulator.set_behaviour(|behaviour| behaviour.version = "4.16.1.0".to_owned());
    let (code, error) = deploy("a,b");
    assert_eq!(code, 431);
    assert!(error.contains("has no parameter keypairs"), "{error}");
    let machine = client.deploy(&clock, "old", &[("keypair", "b")]);
    assert_eq!(
        (&machine["keypair"], machine.get("keypairs")),
        (&json!("b"), None)
    );
}

#[test]
fn machines_are_put_in_affinity_groups_of_their_owner() {
    let mut cloud = CloudConfig::default();
    let owned = [
        ("apart", "demo"),
        ("far-apart", "demo"),
        ("theirs", "other"),
    ];
    cloud.affinity_groups = owned
        .map(|(name, owner)| AffinityGroupConfig {
            name: name.to_owned(),
            owner: owner.to_owned(),
        })
        .to_vec();
    let clock = ManualClock::new();
    let simulator = builder(&clock).cloud(cloud).start().unwrap();
    let (client, other) = (Client::new(&simulator), Client::of(&simulator, "other"));
    let list = client.ok("listAffinityGroups", &[]);
    assert_eq!(
        (&list["count"], &list["affinitygroup"][0]["type"]),
        (&json!(2), &json!("host anti-affinity"))
    );
    let id =
        |client: &Client<'_>, name| client.id("listAffinityGroups", "affinitygroup", name, &[]);
    let (apart, theirs) = (id(&client, "apart"), id(&other, "theirs"));

    let machine = client.deploy(&clock, "a", &[("affinitygroupids", &apart)]);
    assert_eq!(machine["affinitygroup"][0]["name"], "apart");
    let both = ("affinitygroupnames", "apart,far-apart");
    assert_eq!(
        client.deploy(&clock, "b", &[both])["affinitygroup"][1]["name"],
        "far-apart"
    );
    assert_eq!(
        simulator.inventory().machines[1].affinity_groups,
        ["apart", "far-apart"]
    );
    let machine = text(&machine["id"]);
    let of_machine = client.ok("listAffinityGroups", &[("virtualmachineid", machine)]);
    assert_eq!(of_machine["count"], 1);
    assert_eq!(
        of_machine["affinitygroup"][0]["virtualmachineIds"]
            .as_array()
            .map(Vec::len),
        Some(2)
    );

    let never = "00000000-0000-4000-8000-000000000000";
    for (parameters, code, error) in [
        (
            vec![("affinitygroupids", never)],
            431,
            "Invalid parameter affinitygroupids value=",
        ),
        (
            vec![("affinitygroupids", theirs.as_str())],
            531,
            "does not have permission",
        ),
        (
            vec![("affinitygroupnames", "theirs")],
            431,
            "Unable to find affinity group by name theirs",
        ),
        (
            vec![("affinitygroupids", apart.as_str()), both],
            431,
            "mutually exclusive",
        ),
    ] {
        let refused = client.deploy_refused("c", &parameters);
        assert!(
            refused.0 == code && refused.1.contains(error),
            "{refused:?}"
        );
    }
    assert_eq!(simulator.inventory().machines.len(), 2);
}

#[test]
fn forwarding_rules_clash_and_open_the_firewall() {
    let (simulator, clock) = simulator();
    let client = Client::new(&simulator);
    let machine = client.deploy(&clock, "a", &[]);
    let id = text(&machine["id"]);
    let public = client.source_nat();
    let rule = |port, protocol| {
        [
            ("ipaddressid", public.as_str()),
            ("publicport", port),
            ("privateport", port),
            ("protocol", protocol),
            ("virtualmachineid", id),
        ]
    };
    let made =
        client.run(&clock, "createPortForwardingRule", &rule("22", "TCP"))["portforwardingrule"]
            .clone();
    assert_eq!(
        (&made["state"], &made["protocol"], &made["publicport"]),
        (&json!("Active"), &json!("tcp"), &json!("22"))
    );
    let opened = client.ok("listFirewallRules", &[("ipaddressid", &public)]);
    assert_eq!(
        (&opened["count"], &opened["firewallrule"][0]["cidrlist"]),
        (&json!(1), &json!("0.0.0.0/0"))
    );

    let (code, text_of) = client.err("createPortForwardingRule", &rule("22", "tcp"));
    assert_eq!(code, 537);
    assert!(
        text_of.starts_with("The range specified, 22-22, conflicts with rule "),
        "{text_of}"
    );
    assert!(text_of.ends_with(" which has 22-22"), "{text_of}");
    client.run(&clock, "createPortForwardingRule", &rule("22", "udp"));

    let mut closed = rule("2376", "tcp").to_vec();
    closed.push(("openfirewall", "false"));
    client.run(&clock, "createPortForwardingRule", &closed);
    assert_eq!(client.ok("listFirewallRules", &[])["count"], 2);
    let mut with_cidrs = rule("80", "tcp").to_vec();
    with_cidrs.push(("cidrlist", "192.0.2.0/24"));
    assert!(
        client
            .err("createPortForwardingRule", &with_cidrs)
            .1
            .starts_with("Parameter cidrList is deprecated")
    );

    client.run(
        &clock,
        "deletePortForwardingRule",
        &[("id", text(&made["id"]))],
    );
    assert_eq!(
        client.ok("listFirewallRules", &[])["count"],
        1,
        "the firewall's rule goes with the forwarding one"
    );
    client.run(&clock, "destroyVirtualMachine", &[("id", id)]);
    assert!(
        simulator.inventory().is_empty(),
        "rules go with the machine: {}",
        simulator.inventory()
    );
}

#[test]
fn a_rule_is_there_from_the_call_on_and_active_when_its_job_is_done() {
    let (simulator, clock) = simulator();
    let client = Client::new(&simulator);
    let machine = client.deploy(&clock, "a", &[]);
    let public = client.source_nat();
    let rule = [
        ("ipaddressid", public.as_str()),
        ("publicport", "2222"),
        ("privateport", "22"),
        ("protocol", "tcp"),
        ("virtualmachineid", text(&machine["id"])),
    ];
    let answer = client.ok("createPortForwardingRule", &rule);
    let state = || {
        client.ok("listPortForwardingRules", &[("id", text(&answer["id"]))])["portforwardingrule"]
            [0]["state"]
            .clone()
    };
    assert_eq!(state(), "Add");
    clock.advance(2 * SECOND);
    assert_eq!(state(), "Active");
    assert_eq!(
        simulator.inventory().port_forwards[0].rule,
        "127.0.100.10:2222 → a 10.1.1.10:22/tcp"
    );
}

#[test]
fn firewall_rules_clash_where_ports_and_sources_meet() {
    let (simulator, clock) = simulator();
    let client = Client::new(&simulator);
    client.deploy(&clock, "a", &[]);
    let public = client.source_nat();
    let rule = |start, end, cidrs| {
        [
            ("ipaddressid", public.as_str()),
            ("protocol", "tcp"),
            ("startport", start),
            ("endport", end),
            ("cidrlist", cidrs),
        ]
    };
    let made = client.run(
        &clock,
        "createFirewallRule",
        &rule("20", "30", "192.0.2.0/24"),
    )["firewallrule"]
        .clone();
    assert_eq!(made["startport"], 20);
    let (code, error) = client.err("createFirewallRule", &rule("22", "22", "192.0.2.0/24"));
    assert_eq!(code, 537);
    assert!(
        error.starts_with("The range specified, 22-22, conflicts with rule "),
        "{error}"
    );
    assert!(error.ends_with(" which has 20-30"), "{error}");
    client.run(
        &clock,
        "createFirewallRule",
        &rule("22", "22", "198.51.100.0/24"),
    );
    assert_eq!(
        client
            .err("createFirewallRule", &rule("2", "1", "192.0.2.0/24"))
            .0,
        431
    );
    assert_eq!(
        client.err("createFirewallRule", &rule("1", "1", "all")).0,
        431
    );
    client.run(&clock, "deleteFirewallRule", &[("id", text(&made["id"]))]);
    assert_eq!(simulator.inventory().firewall_rules.len(), 1);
}

#[test]
fn public_addresses_are_taken_and_given_back() {
    let (simulator, clock) = simulator();
    let client = Client::new(&simulator);
    let machine = client.deploy(&clock, "a", &[]);
    let id = text(&machine["id"]);
    let zone = client.zone("uk-london-1");
    let source_nat = client.source_nat();
    let refused = client.finish(&clock, "disassociateIpAddress", &[("id", &source_nat)]);
    assert_eq!(
        refused["jobresult"]["errortext"],
        "ip address is used for source nat purposes and can not be disassociated."
    );
    let taken = client.run(&clock, "associateIpAddress", &[("zoneid", &zone)])["ipaddress"].clone();
    let address = text(&taken["id"]);
    assert_eq!(
        (&taken["state"], &taken["ipaddress"]),
        (&json!("Allocated"), &json!("127.0.100.11"))
    );
    let nat = [("ipaddressid", address), ("virtualmachineid", id)];
    assert_eq!(
        client.ok("enableStaticNat", &nat),
        json!({ "success": "true" })
    );
    assert_eq!(simulator.inventory().static_nats, ["127.0.100.11 → a"]);
    assert_eq!(
        client
            .err(
                "enableStaticNat",
                &[("ipaddressid", &source_nat), ("virtualmachineid", id)]
            )
            .1,
        "Can't enable static, ip address 127.0.100.10 is a sourceNat ip address"
    );
    let rule = [
        ("publicport", "22"),
        ("privateport", "22"),
        ("protocol", "tcp"),
        nat[0],
        nat[1],
    ];
    assert!(
        client
            .err("createPortForwardingRule", &rule)
            .1
            .ends_with("has static nat enabled")
    );
    client.run(&clock, "disableStaticNat", &[("ipaddressid", address)]);
    client.run(&clock, "disassociateIpAddress", &[("id", address)]);
    assert!(simulator.inventory().addresses.is_empty());
    assert_eq!(
        client.err("disassociateIpAddress", &[("id", address)]).0,
        431,
        "it is not the account's any more"
    );
}

#[test]
fn tags_are_put_on_found_by_and_taken_off() {
    let (simulator, clock) = simulator();
    let client = Client::new(&simulator);
    let machine = client.deploy(&clock, "a", &[]);
    client.deploy(&clock, "b", &[]);
    let id = text(&machine["id"]);
    let tags = [
        ("resourceids", id),
        ("resourcetype", "uservm"),
        ("tags[0].key", "Role"),
        ("tags[0].value", "web"),
        ("tags[1].key", "owner"),
        ("tags[1].value", "me"),
    ];
    client.run(&clock, "createTags", &tags);
    assert_eq!(client.err("createTags", &tags).0, 431);
    let found = client.ok(
        "listVirtualMachines",
        &[("tags[0].key", "Role"), ("tags[0].value", "web")],
    );
    assert_eq!(
        (&found["count"], &found["virtualmachine"][0]["name"]),
        (&json!(1), &json!("a"))
    );
    assert_eq!(
        client.ok("listTags", &[("resourceid", id), ("key", "owner")])["tag"][0]["value"],
        "me"
    );
    client.run(
        &clock,
        "deleteTags",
        &[
            ("resourceids", id),
            ("resourcetype", "UserVm"),
            ("tags[0].key", "owner"),
        ],
    );
    assert_eq!(
        simulator.inventory().tags,
        [format!("UserVm {id} Role=web")]
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

#[test]
fn an_account_may_have_only_so_many_machines() {
    let (simulator, clock) = with(|behaviour| behaviour.machine_limit = Some(1));
    let client = Client::new(&simulator);
    client.deploy(&clock, "a", &[]);
    let parameters = client.machine_parameters("uk-london-1");
    let all: Vec<_> = parameters
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let (code, error) = client.err("deployVirtualMachine", &all);
    assert_eq!(code, 535);
    assert!(error.starts_with(
        "Maximum number of resources of type 'user_vm' for account name=demo in domain id="
    ));
}

#[test]
fn a_network_can_be_up_from_the_start() {
    let (simulator, _) = with(|behaviour| behaviour.networks_implemented = true);
    let list = Client::new(&simulator).ok("listPublicIpAddresses", &[]);
    assert_eq!(
        (&list["count"], &list["publicipaddress"][0]["issourcenat"]),
        (&json!(1), &json!(true))
    );
}

#[test]
fn the_cloud_can_be_made_to_measure_and_has_to_fit_together() {
    let mut cloud = CloudConfig::default();
    cloud.public_addresses[0].count = 0;
    let clock = ManualClock::new();
    let simulator = builder(&clock).cloud(cloud.clone()).start().unwrap();
    let client = Client::new(&simulator);
    let parameters = client.machine_parameters("uk-london-1");
    let all: Vec<_> = parameters
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let job = client.finish(&clock, "deployVirtualMachine", &all);
    assert_eq!(
        job["jobresult"]["errorcode"], 533,
        "no address for the network's router"
    );
    assert_eq!(simulator.inventory().machines[0].state, "Error");

    cloud.networks.push(NetworkConfig {
        name: "lost".to_owned(),
        zone: "nowhere".to_owned(),
        owner: None,
        cidr: "10.0.0.0/24".parse().unwrap(),
    });
    let error = Simulator::builder().cloud(cloud).start().unwrap_err();
    assert_eq!(
        error.to_string(),
        "lost names the zone nowhere, which there is not"
    );
}

#[test]
fn inventories_compare_and_print() {
    let (simulator, clock) = simulator();
    let client = Client::new(&simulator);
    assert_eq!(simulator.inventory().to_string(), "nothing\n");
    client.ok(
        "registerSSHKeyPair",
        &[("name", "k"), ("publickey", RSA_KEY)],
    );
    client.deploy(&clock, "a", &[("keypair", "k")]);
    let inventory = simulator.inventory();
    assert_eq!(inventory, simulator.inventory());
    let text = inventory.to_string();
    assert!(
        text.starts_with("machine        a Running 10.1.1.10 (key pair k)\nkey pair       k\n"),
        "{text}"
    );
    assert_eq!(
        serde_json::to_value(&inventory).unwrap()["machines"][0]["state"],
        "Running"
    );
}

/// Runs an independent client: `CLOUDSTACK_TEST_PYTHON` names a Python that has the package `cs`.
#[test]
fn the_independent_cs_client_finds_nothing_amiss() {
    let python = std::env::var_os("CLOUDSTACK_TEST_PYTHON").expect(
        "CLOUDSTACK_TEST_PYTHON names no Python with the package cs; \
         `cargo xtask test` makes one, or skips this test",
    );
    let simulator = Simulator::builder()
        .job_time(Duration::from_millis(20))
        .start()
        .unwrap();
    let script: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests", "cs_client.py"]
        .iter()
        .collect();
    for method in ["get", "post"] {
        let output = Command::new(&python)
            .arg(&script)
            .env("CLOUDSTACK_ENDPOINT", simulator.url())
            .env("CLOUDSTACK_KEY", simulator.api_key())
            .env("CLOUDSTACK_SECRET", simulator.secret_key())
            .env("CLOUDSTACK_METHOD", method)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    assert!(
        simulator.inventory().is_empty(),
        "{}",
        simulator.inventory()
    );
}

/// What a test orders and never comes would let it pass for nothing.
#[test]
fn what_would_never_come_is_a_mistake() {
    let panics = |order: fn(&Simulator)| {
        let (simulator, _) = simulator();
        let order = std::panic::AssertUnwindSafe(|| order(&simulator));
        let panic = std::panic::catch_unwind(order).unwrap_err();
        panic.downcast_ref::<String>().unwrap().clone()
    };
    let text = panics(|cloud| cloud.fault("deployVirtualMachin", 1, Fault::LoseAnswer));
    assert_eq!(text, "there is no command deployVirtualMachin");
    let text = panics(|cloud| {
        let text = String::new();
        cloud.fault("listZones", 1, Fault::JobFails { code: 530, text });
    });
    assert!(text.contains("listZones is answered at once"), "{text}");
    let text = panics(|cloud| {
        cloud.set_behaviour(|behaviour| {
            let time = Duration::from_secs(1);
            behaviour.job_times.insert("stopVm".to_owned(), time);
        });
    });
    assert_eq!(text, "there is no command stopVm that has jobs");
    let text = panics(|cloud| drop(cloud.inventory_of("typo")));
    assert_eq!(text, "there is no account or project typo");

    let mut behaviour = Behaviour::default();
    let time = Duration::from_secs(1);
    behaviour.job_times.insert("listZones".to_owned(), time);
    let error = Simulator::builder()
        .behaviour(behaviour)
        .start()
        .unwrap_err();
    assert!(error.to_string().contains("listZones"), "{error}");
}
