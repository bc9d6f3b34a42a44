//! Projects, and what belongs to them.

use cloudstack_simulator::{
    AccountConfig, AffinityGroupConfig, Cidr, CloudConfig, ManualClock, NetworkConfig,
    ProjectConfig, Simulator,
};
use serde_json::json;

use crate::client::{Client, RSA_KEY, builder, text};

/// The accounts `demo` and `third` are in the project `ci`, `other` is in `theirs`.
fn cloud() -> CloudConfig {
    let mut cloud = CloudConfig::default();
    let project = |name: &str, members: &[&str]| ProjectConfig {
        name: name.to_owned(),
        members: members.iter().map(|member| (*member).to_owned()).collect(),
    };
    cloud.accounts.push(AccountConfig::new("third"));
    cloud.projects = vec![
        project("ci", &["demo", "third"]),
        project("theirs", &["other"]),
    ];
    cloud.networks.push(NetworkConfig {
        name: "ci-net".to_owned(),
        zone: "uk-london-1".to_owned(),
        owner: Some("ci".to_owned()),
        cidr: "10.1.9.0/24".parse::<Cidr>().unwrap(),
    });
    cloud.affinity_groups = vec![AffinityGroupConfig {
        name: "apart".to_owned(),
        owner: "demo".to_owned(),
    }];
    cloud
}

fn simulator() -> (Simulator, ManualClock) {
    let clock = ManualClock::new();
    (builder(&clock).cloud(cloud()).start().unwrap(), clock)
}

fn project(client: &Client<'_>, name: &str) -> String {
    client.id("listProjects", "project", name, &[])
}

#[test]
fn an_account_sees_the_projects_that_it_is_in() {
    let (simulator, _) = simulator();
    let client = Client::new(&simulator);
    let list = client.ok("listProjects", &[]);
    assert_eq!(
        (&list["count"], &list["project"][0]["name"]),
        (&json!(1), &json!("ci"))
    );
    assert_eq!(list["project"][0]["owner"][1]["account"], "third");
    assert_eq!(client.ok("listProjects", &[("name", "theirs")]), json!({}));
}

#[test]
fn a_project_has_to_be_there_and_the_callers() {
    let (simulator, _) = simulator();
    let (client, other) = (Client::new(&simulator), Client::of(&simulator, "other"));
    let theirs = project(&other, "theirs");
    for command in ["listVirtualMachines", "listNetworks", "createSSHKeyPair"] {
        let parameters = |id| match command {
            "createSSHKeyPair" => vec![("name", "k"), ("projectid", id)],
            _ => vec![("projectid", id)],
        };
        let never = "00000000-0000-4000-8000-000000000000";
        let (code, error) = client.err(command, &parameters(never));
        assert_eq!(code, 431);
        assert!(
            error.contains(&format!("Invalid parameter projectid value={never} due to"))
                && error.contains("entity does not exist"),
            "{error}"
        );
        let (code, error) = client.err(command, &parameters(&theirs));
        assert_eq!(code, 531, "{command}");
        assert!(
            error.contains("is unauthorised to use project id="),
            "{error}"
        );
    }
    let both = [("projectid", theirs.as_str()), ("account", "other")];
    assert_eq!(
        other.err("listVirtualMachines", &both).1,
        "Account and projectId can't be specified together"
    );
}

#[test]
fn what_is_made_in_a_project_is_the_projects() {
    let (simulator, clock) = simulator();
    let (client, third) = (Client::new(&simulator), Client::of(&simulator, "third"));
    let id = project(&client, "ci");
    let ci = ("projectid", id.as_str());
    client.ok(
        "registerSSHKeyPair",
        &[("name", "k"), ("publickey", RSA_KEY), ci],
    );
    assert_eq!(
        client.deploy_refused("a", &[("keypair", "k")]).1,
        "A key pair with name 'k' was not found.",
        "it is the project's alone"
    );
    let disk = client.id("listDiskOfferings", "diskoffering", "Data 20 GB", &[]);
    let machine = client.deploy(
        &clock,
        "a",
        &[("keypair", "k"), ("diskofferingid", &disk), ci],
    );
    let vm = text(&machine["id"]);
    assert_eq!(
        (&machine["project"], machine.get("account")),
        (&json!("ci"), None)
    );
    assert_eq!(
        machine["nic"][0]["networkname"], "ci-net",
        "the project's only network"
    );

    // Whose the machine and its address are is known by their ids, so that these take no project.
    let nat = client.ok("listPublicIpAddresses", &[("issourcenat", "true"), ci]);
    let address = text(&nat["publicipaddress"][0]["id"]);
    client.run(
        &clock,
        "createPortForwardingRule",
        &[
            ("ipaddressid", address),
            ("virtualmachineid", vm),
            ("protocol", "tcp"),
            ("publicport", "22"),
            ("privateport", "22"),
        ],
    );
    client.run(
        &clock,
        "createTags",
        &[
            ("resourceids", vm),
            ("resourcetype", "UserVm"),
            ("tags[0].key", "role"),
            ("tags[0].value", "web"),
        ],
    );
    let network = text(&machine["nic"][0]["networkid"]);
    let taken = client.run(&clock, "associateIpAddress", &[("networkid", network)]);
    assert_eq!(taken["ipaddress"]["project"], "ci", "its network's");
    client.ok("createSecurityGroup", &[("name", "g"), ci]);

    // Each list, its member, and how many there are in the project.
    let by_address = [("ipaddressid", address)];
    for (command, member, count, more) in [
        ("listVirtualMachines", "virtualmachine", 1, &[][..]),
        ("listSSHKeyPairs", "sshkeypair", 1, &[]),
        ("listVolumes", "volume", 2, &[]),
        ("listTags", "tag", 1, &[]),
        ("listPublicIpAddresses", "publicipaddress", 2, &[]),
        (
            "listPortForwardingRules",
            "portforwardingrule",
            1,
            &by_address,
        ),
        ("listFirewallRules", "firewallrule", 1, &by_address),
    ] {
        let mut with = more.to_vec();
        assert_eq!(
            client.ok(command, more),
            json!({}),
            "{command} without project"
        );
        with.push(ci);
        for member_of_project in [&client, &third] {
            let list = member_of_project.ok(command, &with);
            assert_eq!(
                list[member].as_array().map(Vec::len),
                Some(count),
                "{command}: {list}"
            );
        }
    }
    assert_eq!(client.ok("listVirtualMachines", &[("id", vm)]), json!({}));
    let groups = client.ok("listSecurityGroups", &[ci]);
    assert_eq!(groups["count"], 2, "the default one, and the one made");
    let names = |list: &serde_json::Value| {
        let networks = list["network"].as_array().unwrap().iter();
        networks
            .map(|network| text(&network["name"]).to_owned())
            .collect::<Vec<_>>()
    };
    let zone = client.zone("uk-london-1");
    let zone = ("zoneid", zone.as_str());
    assert_eq!(
        names(&client.ok("listNetworks", &[zone])),
        ["default", "shared-lan"]
    );
    assert_eq!(
        names(&client.ok("listNetworks", &[zone, ci])),
        ["shared-lan", "ci-net"]
    );

    // The members' inventories show it, and others' do not.
    let inventory = simulator.inventory_of("ci");
    assert_eq!(
        (inventory.machines.len(), inventory.port_forwards.len()),
        (1, 1)
    );
    assert_eq!(
        (inventory.addresses.len(), inventory.key_pairs.len()),
        (1, 1)
    );
    assert_eq!(simulator.inventory(), inventory);
    assert_eq!(simulator.inventory_of("third"), inventory);
    assert!(simulator.inventory_of("other").is_empty());
}

#[test]
fn members_act_on_what_is_the_projects_and_others_do_not() {
    let (simulator, clock) = simulator();
    let (client, third) = (Client::new(&simulator), Client::of(&simulator, "third"));
    let other = Client::of(&simulator, "other");
    let id = project(&client, "ci");
    let machine = client.deploy(&clock, "a", &[("projectid", &id)]);
    let vm = [("id", text(&machine["id"]))];
    let (code, error) = other.err("stopVirtualMachine", &vm);
    assert_eq!(code, 531);
    assert!(error.contains("resource Acct["), "{error}");
    assert!(error.contains("PrjAcct-ci-"), "{error}");
    assert_eq!(
        third.run(&clock, "stopVirtualMachine", &vm)["virtualmachine"]["state"],
        "Stopped"
    );
    third.run(&clock, "destroyVirtualMachine", &vm);
    assert!(simulator.inventory().is_empty());
}

#[test]
fn a_projects_things_and_an_accounts_do_not_mix() {
    let (simulator, clock) = simulator();
    let client = Client::new(&simulator);
    let id = project(&client, "ci");
    let ci = ("projectid", id.as_str());
    let home = client.id("listNetworks", "network", "default", &[]);
    let net = client.id("listNetworks", "network", "ci-net", &[ci]);
    let apart = client.id("listAffinityGroups", "affinitygroup", "apart", &[]);
    for more in [
        vec![("networkids", home.as_str()), ci],
        vec![("networkids", net.as_str())],
        vec![("affinitygroupids", apart.as_str()), ci],
    ] {
        assert_eq!(client.deploy_refused("a", &more).0, 531, "{more:?}");
    }
    let mixed = [("networkid", home.as_str()), ci];
    assert_eq!(client.err("associateIpAddress", &mixed).0, 531);

    // Without a project everything is as if there were none.
    let machine = client.deploy(&clock, "a", &[]);
    assert_eq!(
        (&machine["account"], &machine["nic"][0]["networkname"]),
        (&json!("demo"), &json!("default"))
    );
    let address = client.source_nat();
    let of_project = client.deploy(&clock, "b", &[ci]);
    let rule = [
        ("ipaddressid", address.as_str()),
        ("virtualmachineid", text(&of_project["id"])),
        ("protocol", "tcp"),
        ("publicport", "22"),
        ("privateport", "22"),
    ];
    assert_eq!(
        client.err("createPortForwardingRule", &rule).1,
        "Vm doesn't belong to network associated with ipAddress"
    );
}

#[test]
fn projects_have_to_fit_together() {
    let error = |change: fn(&mut CloudConfig)| {
        let mut cloud = cloud();
        change(&mut cloud);
        let error = Simulator::builder().cloud(cloud).start().unwrap_err();
        error.to_string()
    };
    assert_eq!(
        error(|cloud| cloud.projects[0].name = "demo".to_owned()),
        "an account and a project have the name demo"
    );
    assert_eq!(
        error(|cloud| cloud.projects[0].members[0] = "nobody".to_owned()),
        "ci names the account nobody, which there is not"
    );
}
