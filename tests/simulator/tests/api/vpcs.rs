//! VPCs and their tiers.

use cloudstack_simulator::{CloudConfig, ManualClock, Simulator, VpcConfig};
use serde_json::{Value, json};

use crate::client::{Client, builder, text};

/// The account `demo` has the VPC `cloud` with the tiers `web` and `db`.
fn cloud() -> CloudConfig {
    let vpc = VpcConfig {
        name: "cloud".to_owned(),
        zone: "uk-london-1".to_owned(),
        owner: "demo".to_owned(),
        cidr: "10.9.0.0/16".parse().unwrap(),
        tiers: [("web", "10.9.1.0/24"), ("db", "10.9.2.0/24")]
            .map(|(name, cidr)| (name.to_owned(), cidr.parse().unwrap()))
            .to_vec(),
    };
    CloudConfig {
        vpcs: vec![vpc],
        ..CloudConfig::default()
    }
}

fn simulator() -> (Simulator, ManualClock) {
    let clock = ManualClock::new();
    (builder(&clock).cloud(cloud()).start().unwrap(), clock)
}

fn tier(client: &Client<'_>, name: &str) -> String {
    client.id("listNetworks", "network", name, &[])
}

fn vpc(client: &Client<'_>) -> String {
    client.id("listVPCs", "vpc", "cloud", &[])
}

/// An address that is taken for the VPC.
fn address(client: &Client<'_>, clock: &ManualClock) -> Value {
    client.run(clock, "associateIpAddress", &[("vpcid", &vpc(client))])["ipaddress"].clone()
}

fn rule<'p>(
    address: &'p str,
    machine: &'p str,
    port: &'p str,
    more: &[(&'p str, &'p str)],
) -> Vec<(&'p str, &'p str)> {
    let rule = [
        ("ipaddressid", address),
        ("virtualmachineid", machine),
        ("protocol", "tcp"),
        ("publicport", port),
        ("privateport", "22"),
    ];
    [&rule, more].concat()
}

#[test]
fn a_vpc_has_tiers_and_an_address_for_its_own_traffic() {
    let (simulator, clock) = simulator();
    let client = Client::new(&simulator);
    let list = client.ok("listVPCs", &[]);
    assert_eq!(list["count"], 1);
    assert_eq!(list["vpc"][0]["network"].as_array().unwrap().len(), 2);
    let id = vpc(&client);
    let tiers = client.ok("listNetworks", &[("forvpc", "true")]);
    assert_eq!(tiers, client.ok("listNetworks", &[("vpcid", &id)]));
    assert_eq!(tiers["count"], 2);
    let web = &tiers["network"][0];
    assert_eq!(
        (&web["name"], &web["type"], &web["vpcname"], &web["state"]),
        (
            &json!("web"),
            &json!("Isolated"),
            &json!("cloud"),
            &json!("Allocated")
        )
    );
    let services: Vec<_> = web["service"].as_array().unwrap().iter().collect();
    let has = |name: &str| services.iter().any(|service| service["name"] == name);
    assert!(has("NetworkACL") && !has("Firewall"));

    client.deploy(&clock, "a", &[("networkids", text(&web["id"]))]);
    let addresses = client.ok("listPublicIpAddresses", &[("vpcid", &id)]);
    let own = &addresses["publicipaddress"][0];
    assert_eq!(
        (
            &addresses["count"],
            &own["issourcenat"],
            own.get("associatednetworkid")
        ),
        (&json!(1), &json!(true), None),
        "a tier takes none of its own"
    );
    assert!(simulator.inventory().addresses.is_empty());
    let other = Client::of(&simulator, "other");
    assert_eq!(other.ok("listVPCs", &[]), json!({}));
    assert_eq!(other.err("associateIpAddress", &[("vpcid", &id)]).0, 531);
}

#[test]
fn nothing_is_put_in_a_tier_unless_it_is_named() {
    let (simulator, clock) = simulator();
    let client = Client::new(&simulator);
    let machine = client.deploy(&clock, "a", &[]);
    assert_eq!(machine["nic"][0]["networkname"], "default");
    let zone = client.zone("uk-london-1");
    let taken = client.run(&clock, "associateIpAddress", &[("zoneid", &zone)]);
    assert_eq!(taken["ipaddress"]["associatednetworkname"], "default");
    let offering = client.id(
        "listNetworkOfferings",
        "networkoffering",
        "DefaultIsolatedNetworkOfferingForVpcNetworks",
        &[("forvpc", "true")],
    );
    let network = [
        ("name", "n"),
        ("networkofferingid", offering.as_str()),
        ("zoneid", &zone),
    ];
    assert_eq!(
        client.err("createNetwork", &network).1,
        "Network offering can be used for VPC networks only"
    );
}

#[test]
fn names_are_unique_in_a_vpc() {
    let (simulator, clock) = simulator();
    let client = Client::new(&simulator);
    client.deploy(&clock, "a", &[("networkids", &tier(&client, "web"))]);
    client.deploy(&clock, "a", &[]);
    let refused = client.deploy_refused("a", &[("networkids", &tier(&client, "db"))]);
    assert!(
        refused
            .1
            .starts_with("The vm with hostName a already exists"),
        "{refused:?}"
    );
}

#[test]
fn an_address_of_a_vpc_leads_to_a_tier_while_it_is_used_there() {
    let (simulator, clock) = simulator();
    let client = Client::new(&simulator);
    let (web, db) = (tier(&client, "web"), tier(&client, "db"));
    let machine = client.deploy(&clock, "a", &[("networkids", &web)]);
    let vm = text(&machine["id"]);
    let taken = address(&client, &clock);
    let id = text(&taken["id"]);
    assert_eq!(
        (&taken["vpcname"], taken.get("associatednetworkid")),
        (&json!("cloud"), None)
    );
    let leads_to = || {
        let list = client.ok("listPublicIpAddresses", &[("id", id)]);
        list["publicipaddress"][0]["associatednetworkname"].clone()
    };
    let create = "createPortForwardingRule";
    let (code, error) = client.err(create, &rule(id, vm, "22", &[]));
    assert_eq!(code, 431);
    assert!(error.ends_with("no networkId is passed in"), "{error}");
    assert_eq!(
        client
            .err(create, &rule(id, vm, "22", &[("networkid", &db)]))
            .1,
        "Vm doesn't belong to network associated with ipAddress"
    );
    let home = tier(&client, "default");
    let elsewhere = client.err(create, &rule(id, vm, "22", &[("networkid", &home)]));
    assert!(
        elsewhere.1.contains("is not assigned to the network"),
        "{elsewhere:?}"
    );
    assert_eq!(leads_to(), Value::Null);

    let made = client.run(&clock, create, &rule(id, vm, "22", &[("networkid", &web)]));
    assert_eq!(leads_to(), "web");
    let in_web = [("associatednetworkid", web.as_str())];
    assert_eq!(client.ok("listPublicIpAddresses", &in_web)["count"], 1);
    // From now on the network is known.
    let second = client.run(&clock, create, &rule(id, vm, "2222", &[]));
    assert_eq!(client.err(create, &rule(id, vm, "22", &[])).0, 537);
    assert_eq!(
        client
            .err(create, &rule(id, vm, "23", &[("networkid", &db)]))
            .0,
        431
    );
    let inventory = simulator.inventory();
    assert_eq!(inventory.port_forwards.len(), 2, "{inventory}");
    assert_eq!(inventory.addresses, [text(&taken["ipaddress"])]);
    assert!(inventory.firewall_rules.is_empty(), "{inventory}");

    for rule in [made, second] {
        assert_eq!(leads_to(), "web");
        let rule = [("id", text(&rule["portforwardingrule"]["id"]))];
        client.run(&clock, "deletePortForwardingRule", &rule);
    }
    assert_eq!(leads_to(), Value::Null);
    client.run(&clock, "disassociateIpAddress", &[("id", id)]);
    assert!(simulator.inventory().addresses.is_empty());
    assert_eq!(
        client.ok("listPublicIpAddresses", &[("vpcid", &vpc(&client))])["count"],
        1
    );
}

#[test]
fn there_is_no_firewall_in_a_vpc() {
    let (simulator, clock) = simulator();
    let client = Client::new(&simulator);
    let web = tier(&client, "web");
    let machine = client.deploy(&clock, "a", &[("networkids", &web)]);
    let vm = text(&machine["id"]);
    let taken = address(&client, &clock);
    let id = text(&taken["id"]);
    let in_web = ("networkid", web.as_str());
    let open = [in_web, ("openfirewall", "true")];
    assert_eq!(
        client.err("createPortForwardingRule", &rule(id, vm, "22", &open)),
        (
            431,
            "Can't have openFirewall=true when IP address belongs to VPC".to_owned()
        )
    );
    let firewall = [
        ("ipaddressid", id),
        ("protocol", "tcp"),
        ("startport", "22"),
    ];
    let (code, error) = client.err("createFirewallRule", &firewall);
    assert_eq!(code, 431);
    assert!(
        error.contains("IP is not associated with any network"),
        "{error}"
    );
    client.run(
        &clock,
        "createPortForwardingRule",
        &rule(id, vm, "22", &[in_web]),
    );
    let (code, error) = client.err("createFirewallRule", &firewall);
    assert_eq!(code, 530);
    assert!(
        error.starts_with("Service Firewall is not supported in the network id="),
        "{error}"
    );
    assert!(simulator.inventory().firewall_rules.is_empty());
}

#[test]
fn the_vpcs_own_address_serves_nothing_else() {
    let (simulator, clock) = simulator();
    let client = Client::new(&simulator);
    let web = tier(&client, "web");
    let machine = client.deploy(&clock, "a", &[("networkids", &web)]);
    let vm = text(&machine["id"]);
    let own = client.source_nat();
    let in_web = ("networkid", web.as_str());
    assert!(
        client
            .err("createPortForwardingRule", &rule(&own, vm, "22", &[in_web]))
            .1
            .ends_with("is already used as SourceNat rather than PortForwarding")
    );
    let nat = [
        ("ipaddressid", own.as_str()),
        ("virtualmachineid", vm),
        in_web,
    ];
    assert!(
        client
            .err("enableStaticNat", &nat)
            .1
            .ends_with("is already used as SourceNat rather than StaticNat")
    );
    assert_eq!(
        client.finish(&clock, "disassociateIpAddress", &[("id", &own)])["jobresult"]["errortext"],
        "ip address is used for source nat purposes and can not be disassociated."
    );
    // An address is taken for the VPC, not for a tier.
    let direct = client.finish(&clock, "associateIpAddress", &[in_web]);
    assert!(
        text(&direct["jobresult"]["errortext"])
            .starts_with("Can't assign ip to the network directly when network belongs to VPC."),
        "{direct}"
    );
    assert!(simulator.inventory().addresses.is_empty());
}

#[test]
fn an_address_of_a_vpc_can_lead_to_one_machine() {
    let (simulator, clock) = simulator();
    let client = Client::new(&simulator);
    let web = tier(&client, "web");
    let machine = client.deploy(&clock, "a", &[("networkids", &web)]);
    let vm = text(&machine["id"]);
    let taken = address(&client, &clock);
    let id = text(&taken["id"]);
    let nat = [
        ("ipaddressid", id),
        ("virtualmachineid", vm),
        ("networkid", web.as_str()),
    ];
    let (code, error) = client.err("enableStaticNat", &nat[..2]);
    assert_eq!(code, 431);
    assert!(error.ends_with("no networkId is passed in"), "{error}");
    let shown = || client.ok("listPublicIpAddresses", &[("id", id)])["publicipaddress"][0].clone();
    let enable = || {
        client.ok("enableStaticNat", &nat);
        let on = shown();
        assert_eq!(
            (
                &on["isstaticnat"],
                &on["associatednetworkname"],
                &on["vmipaddress"]
            ),
            (&json!(true), &json!("web"), &json!("10.9.1.10"))
        );
    };
    enable();
    assert_eq!(
        simulator.inventory().static_nats,
        [format!("{} → a", text(&taken["ipaddress"]))]
    );
    client.run(&clock, "disableStaticNat", &[("ipaddressid", id)]);
    assert_eq!(shown().get("associatednetworkid"), None);
    enable();
    client.run(&clock, "destroyVirtualMachine", &[("id", vm)]);
    let off = shown();
    assert_eq!(
        (&off["isstaticnat"], off.get("associatednetworkid")),
        (&json!(false), None),
        "it goes with the machine"
    );
}

#[test]
fn a_tier_that_is_deleted_leaves_the_vpcs_addresses() {
    let (simulator, clock) = simulator();
    let client = Client::new(&simulator);
    let web = tier(&client, "web");
    let machine = client.deploy(&clock, "a", &[("networkids", &web)]);
    let taken = address(&client, &clock);
    let id = text(&taken["id"]);
    client.run(
        &clock,
        "createPortForwardingRule",
        &rule(id, text(&machine["id"]), "22", &[("networkid", &web)]),
    );
    let vm = [("id", text(&machine["id"]))];
    client.run(&clock, "destroyVirtualMachine", &vm);
    client.run(&clock, "deleteNetwork", &[("id", &web)]);
    assert_eq!(simulator.inventory().addresses, [text(&taken["ipaddress"])]);
    assert_eq!(client.ok("listNetworks", &[("forvpc", "true")])["count"], 1);
}

#[test]
fn vpcs_have_to_fit_together() {
    let error = |change: fn(&mut CloudConfig)| {
        let mut cloud = cloud();
        change(&mut cloud);
        let error = Simulator::builder().cloud(cloud).start().unwrap_err();
        error.to_string()
    };
    assert_eq!(
        error(|cloud| cloud.vpcs[0].cidr = "10.9.0.0/23".parse().unwrap()),
        "db: a tier has to have addresses of its VPC"
    );
    assert_eq!(
        error(|cloud| cloud.public_addresses[0].count = 0),
        "no public address is left for the VPC cloud"
    );
    assert_eq!(
        error(|cloud| cloud.vpcs[0].zone = "uk-basic-1".to_owned()),
        "cloud: an isolated network has to have an owner and to be in an advanced zone"
    );
}
