//! What a machine is made of, and where.

use serde_json::json;

use crate::client::{Client, borrowed, simulator, text};

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
    let mut all = borrowed(&parameters);
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
    let mut all = borrowed(&parameters);
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
    let mut all = borrowed(&parameters);
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
    let mut all = borrowed(&parameters[..2]);
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
        let mut all = borrowed(&parameters);
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
