//! What the driver makes of each kind of network and of its options, in virtual time.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::thread;
use std::time::Duration;

use acceptance::virtual_lab::{VirtualLab, flags};
use btcloud_host::contract::types::State;
use btcloud_host::machine::Error;
use btcloud_host::sandbox::Change;
use cloudstack_simulator::{
    AffinityGroupConfig, Behaviour, Cidr, CloudConfig, Fault, Inventory, NetworkConfig,
    ProjectConfig, Simulator, VpcConfig,
};

const LONDON: [(&str, &str); 3] = [
    ("zone", "uk-london-1"),
    ("template", "Debian 12"),
    ("service-offering", "Small"),
];
const BASIC: [(&str, &str); 3] = [
    ("zone", "uk-basic-1"),
    ("template", "Debian 12"),
    ("service-offering", "Small"),
];

fn lab_with(change: impl FnOnce(&mut CloudConfig)) -> VirtualLab {
    let mut cloud = CloudConfig::default();
    change(&mut cloud);
    let mut behaviour = Behaviour::default();
    behaviour.allow_user_expunge = true;
    VirtualLab::of(Simulator::builder().cloud(cloud).behaviour(behaviour))
}

fn lab() -> VirtualLab {
    lab_with(|_| ())
}

fn create(
    lab: &VirtualLab,
    name: &str,
    place: &[(&str, &str)],
    options: &[(&str, &str)],
) -> Result<(), Error> {
    lab.create(name, &flags(&[place, options].concat()))
}

fn remove(lab: &VirtualLab, name: &str) {
    lab.change(name, Change::Remove).unwrap();
}

fn address(lab: &VirtualLab, name: &str) -> String {
    lab.stored(name).ip().unwrap().to_string()
}

fn rules(inventory: &Inventory) -> BTreeSet<String> {
    let rules = inventory.firewall_rules.iter();
    rules.map(|rule| rule.rule.clone()).collect()
}

#[test]
fn an_address_of_its_own_is_acquired_and_released() {
    let lab = lab();
    let before = lab.cloud.inventory();
    create(&lab, "m1", &LONDON, &[]).unwrap();
    let first = lab.cloud.inventory();
    create(
        &lab,
        "m2",
        &LONDON,
        &[("address", "static-nat"), ("open-port", "80,53/udp")],
    )
    .unwrap();
    let ip = address(&lab, "m2");
    assert_ne!(ip, address(&lab, "m1"));
    assert_eq!(lab.stored("m2").url().unwrap(), format!("tcp://{ip}:2376"));
    let inventory = lab.cloud.inventory();
    assert_eq!(inventory.addresses.len(), 1, "{inventory}");
    assert_eq!(inventory.static_nats.len(), 1, "{inventory}");
    let made: Vec<_> = rules(&inventory)
        .difference(&rules(&first))
        .cloned()
        .collect();
    let expected = [
        format!("0.0.0.0/0 → {ip}:22/tcp"),
        format!("0.0.0.0/0 → {ip}:2376/tcp"),
        format!("0.0.0.0/0 → {ip}:53/udp"),
        format!("0.0.0.0/0 → {ip}:80/tcp"),
    ];
    assert_eq!(made, expected);
    remove(&lab, "m2");
    assert_eq!(lab.cloud.inventory(), first);
    remove(&lab, "m1");
    assert_eq!(lab.cloud.inventory(), before);
}

#[test]
fn only_the_given_ranges_are_let_in() {
    let lab = lab();
    let before = lab.cloud.inventory();
    let options = [
        ("cidr", "192.0.2.0/24,198.51.100.7/32"),
        ("open-port", "8000-8010,"),
    ];
    create(&lab, "m1", &LONDON, &options).unwrap();
    let ip = address(&lab, "m1");
    let expected = ["2376/tcp", "22/tcp", "8000-8010/tcp"]
        .map(|ports| format!("192.0.2.0/24,198.51.100.7/32 → {ip}:{ports}"));
    assert_eq!(rules(&lab.cloud.inventory()), BTreeSet::from(expected));
    remove(&lab, "m1");
    assert_eq!(lab.cloud.inventory(), before);

    create(&lab, "m2", &BASIC, &options).unwrap();
    let inventory = lab.cloud.inventory();
    let [group] = inventory.security_groups.as_slice() else {
        panic!("not one security group:\n{inventory}");
    };
    for range in ["192.0.2.0/24", "198.51.100.7/32"] {
        for ports in ["2376/tcp", "22/tcp", "8000-8010/tcp"] {
            assert!(group.contains(&format!("{range} → {ports}")), "{group}");
        }
    }
    assert!(!group.contains("0.0.0.0/0"), "{group}");
    remove(&lab, "m2");
    assert_eq!(lab.cloud.inventory(), before);
}

#[test]
fn a_shared_network_gives_the_machine_its_own_address() {
    let lab = lab();
    create(&lab, "m1", &LONDON, &[("network", "shared-lan,")]).unwrap();
    assert!(address(&lab, "m1").starts_with("127.0.210."));
    assert!(lab.cloud.inventory().port_forwards.is_empty());
    // So does any network when asked to.
    create(&lab, "m2", &LONDON, &[("address", "private")]).unwrap();
    assert!(address(&lab, "m2").starts_with("10.1.1."));
    assert!(lab.cloud.inventory().port_forwards.is_empty());
    // The first of several networks is the one by which it is reached.
    create(&lab, "m3", &LONDON, &[("network", "default,shared-lan")]).unwrap();
    assert!(address(&lab, "m3").starts_with("127.0.100."));
}

#[test]
fn ranges_that_nothing_would_keep_to_are_refused() {
    let lab = lab();
    let cidr = ("cidr", "192.0.2.0/24,");
    for options in [
        [("network", "shared-lan,"), cidr],
        [("address", "private"), cidr],
    ] {
        let error = create(&lab, "m1", &LONDON, &options).unwrap_err();
        assert!(error.to_string().starts_with("--btcloud-cidr: "), "{error}");
        assert!(!lab.has_stored("m1"));
    }
    assert!(lab.cloud.inventory().is_empty());
}

#[test]
fn a_network_is_made_where_there_is_none_and_goes_with_its_last_machine() {
    let lab = lab_with(|cloud| {
        cloud
            .networks
            .retain(|network| network.owner.is_none() && network.zone != "uk-london-1")
    });
    let before = lab.cloud.inventory();
    create(&lab, "m1", &LONDON, &[]).unwrap();
    assert_eq!(lab.cloud.inventory().networks.len(), 1);
    create(&lab, "m2", &LONDON, &[]).unwrap();
    assert_eq!(lab.cloud.inventory().networks.len(), 1);
    remove(&lab, "m1");
    assert_eq!(lab.cloud.inventory().networks.len(), 1, "m2 is in it");
    lab.stored("m2").url().unwrap();
    remove(&lab, "m2");
    assert_eq!(lab.cloud.inventory(), before);
}

#[test]
fn a_virtual_router_may_take_its_time_but_not_for_ever() {
    let lab = lab();
    let before = lab.cloud.inventory();
    lab.cloud.set_behaviour(|behaviour| {
        let minutes = Duration::from_secs(12 * 60);
        behaviour
            .job_times
            .insert("deployVirtualMachine".to_owned(), minutes);
    });
    create(&lab, "m1", &LONDON, &[]).unwrap();
    remove(&lab, "m1");
    let error = create(&lab, "m2", &LONDON, &[("timeout", "300")]).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("deployVirtualMachine has not finished within 300 s"),
        "{error}"
    );
    assert_eq!(lab.cloud.inventory(), before);
}

#[test]
fn several_networks_of_which_none_is_named_are_listed() {
    let lab = lab_with(|cloud| {
        cloud.networks.push(NetworkConfig {
            name: "backend".to_owned(),
            zone: "uk-london-1".to_owned(),
            owner: Some("demo".to_owned()),
            cidr: Cidr::new(Ipv4Addr::new(10, 1, 2, 0), 24).unwrap(),
        });
    });
    let before = lab.cloud.inventory();
    let error = create(&lab, "m1", &LONDON, &[]).unwrap_err();
    let text = error.to_string();
    assert!(
        text.starts_with("The zone \"uk-london-1\" has 3 networks, and none is named"),
        "{text}"
    );
    for name in ["backend (", "default (", "shared-lan ("] {
        assert!(text.contains(name), "{text}");
    }
    assert_eq!(
        error.hint().as_deref(),
        Some("Name one with --btcloud-network")
    );
    let error = create(&lab, "m1", &LONDON, &[("network", "frontend,")]).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("No network is called \"frontend\""),
        "{error}"
    );
    assert_eq!(lab.cloud.inventory(), before);
    assert!(!lab.has_stored("m1"));
    create(&lab, "m1", &LONDON, &[("network", "backend,")]).unwrap();
}

#[test]
fn a_chosen_address_is_used_and_stays() {
    let lab = lab();
    create(&lab, "m0", &LONDON, &[("address", "static-nat")]).unwrap();
    // m0's address serves as one that the user has.
    let taken = address(&lab, "m0");
    let error = create(&lab, "m1", &LONDON, &[("public-ip", &taken)]).unwrap_err();
    assert!(
        error.to_string().contains("leads to a machine already"),
        "{error}"
    );
    create(&lab, "m1", &LONDON, &[]).unwrap();
    let source_nat = address(&lab, "m1");
    let error = create(
        &lab,
        "m2",
        &LONDON,
        &[("public-ip", &source_nat), ("address", "static-nat")],
    );
    let error = error.unwrap_err().to_string();
    assert!(error.contains("cannot be a machine's own"), "{error}");
    let before = lab.cloud.inventory();
    create(&lab, "m2", &LONDON, &[("public-ip", &source_nat)]).unwrap();
    assert_eq!(address(&lab, "m2"), source_nat);
    remove(&lab, "m2");
    assert_eq!(lab.cloud.inventory(), before);
    let error = create(&lab, "m2", &BASIC, &[("address", "static-nat")]).unwrap_err();
    assert!(error.to_string().contains("of the type Basic"), "{error}");
}

#[test]
fn machines_that_are_made_at_once_share_an_address() {
    let lab = lab();
    let before = lab.cloud.inventory();
    let names: Vec<_> = (0..6).map(|i| format!("m{i}")).collect();
    thread::scope(|scope| {
        for name in &names {
            scope.spawn(|| create(&lab, name, &LONDON, &[]).unwrap());
        }
    });
    let urls: BTreeSet<_> = names
        .iter()
        .map(|name| lab.stored(name).url().unwrap())
        .collect();
    assert_eq!(urls.len(), names.len(), "{urls:?}");
    let ports: BTreeSet<_> = names
        .iter()
        .map(|name| {
            lab.stored(name).status().unwrap();
            lab.stored(name).ssh_port()
        })
        .collect();
    assert_eq!(ports.len(), names.len(), "{ports:?}");
    for name in &names {
        remove(&lab, name);
    }
    assert_eq!(lab.cloud.inventory(), before);
}

#[test]
fn the_other_options_reach_the_cloud() {
    let lab = lab();
    let before = lab.cloud.inventory();
    let options = [
        ("display-name", "Build server"),
        ("group", "ci"),
        ("tag", "team=ci,cost=42"),
        ("userdata", "#cloud-config\n"),
        ("root-disk-size", "20"),
        ("disk-offering", "Data custom"),
        ("disk-size", "5"),
    ];
    create(&lab, "m1", &LONDON, &options).unwrap();
    let requests = lab.cloud.requests();
    let deploy = requests
        .iter()
        .find(|request| request.command == "deployVirtualMachine")
        .unwrap();
    for (parameter, value) in [
        ("displayname", "Build server"),
        ("group", "ci"),
        ("userdata", "I2Nsb3VkLWNvbmZpZwo="),
        ("rootdisksize", "20"),
        ("size", "5"),
    ] {
        assert_eq!(deploy.parameter(parameter), Some(value));
    }
    let inventory = lab.cloud.inventory();
    for tag in [
        "team=ci",
        "cost=42",
        "docker-machine-name=m1",
        "docker-machine-id=",
    ] {
        assert!(
            inventory.tags.iter().any(|row| row.contains(tag)),
            "{inventory}"
        );
    }
    assert_eq!(inventory.volumes.len(), 2, "{inventory}");
    remove(&lab, "m1");
    assert_eq!(lab.cloud.inventory(), before);

    let size = [
        ("service-offering", "Custom"),
        ("cpu", "2"),
        ("cpu-speed", "2000"),
        ("memory", "2048"),
    ];
    create(&lab, "m2", &LONDON[..2], &size).unwrap();
    remove(&lab, "m2");
    let disk = [("disk-offering", "Data 20 GB"), ("keep-volumes", "true")];
    create(&lab, "m3", &LONDON, &disk).unwrap();
    remove(&lab, "m3");
    assert_eq!(
        lab.cloud.inventory().volumes.len(),
        1,
        "the data disk is kept"
    );
}

#[test]
fn user_data_up_to_the_clouds_limit_is_taken() {
    let lab = lab();
    let most = "x".repeat(24_576);
    create(&lab, "m1", &LONDON, &[("userdata", &most)]).unwrap();
    let more = format!("{most}x");
    let error = create(&lab, "m2", &LONDON, &[("userdata", &more)]).unwrap_err();
    assert!(
        error.to_string().starts_with("--btcloud-userdata: "),
        "{error}"
    );
    assert!(!lab.has_stored("m2"));
}

#[test]
fn expunge_is_asked_for_only_where_it_is_allowed_unless_the_user_says() {
    let lab = lab();
    lab.cloud.set_behaviour(|behaviour| {
        behaviour.allow_user_expunge = false;
        behaviour.expunge_delay = Duration::from_secs(24 * 3_600);
    });
    let destroyed = |expunge: &str, name: &str| {
        create(&lab, name, &LONDON, &[("expunge", expunge)]).unwrap();
        lab.cloud.clear_requests();
        remove(&lab, name);
        let requests = lab.cloud.requests();
        let destroys = requests
            .iter()
            .filter(|request| request.command == "destroyVirtualMachine");
        destroys
            .map(|request| request.parameter("expunge").map(str::to_owned))
            .collect::<Vec<_>>()
    };
    assert_eq!(destroyed("auto", "m1"), [None]);
    // Refused, and so destroyed without it.
    assert_eq!(destroyed("yes", "m2"), [Some("true".to_owned()), None]);
    lab.cloud
        .set_behaviour(|behaviour| behaviour.allow_user_expunge = true);
    assert_eq!(destroyed("no", "m3"), [None]);
    assert_eq!(destroyed("auto", "m4"), [Some("true".to_owned())]);
}

/// A VPC with the tier `web`.
fn vpc(owner: &str) -> VpcConfig {
    VpcConfig {
        name: "cloud".to_owned(),
        zone: "uk-london-1".to_owned(),
        owner: owner.to_owned(),
        cidr: Cidr::new(Ipv4Addr::new(10, 9, 0, 0), 16).unwrap(),
        tiers: vec![(
            "web".to_owned(),
            Cidr::new(Ipv4Addr::new(10, 9, 1, 0), 24).unwrap(),
        )],
    }
}

/// The project `ci` of the account, with a network.
fn with_project(cloud: &mut CloudConfig) {
    cloud.projects.push(ProjectConfig {
        name: "ci".to_owned(),
        members: vec!["demo".to_owned()],
    });
    cloud.networks.push(NetworkConfig {
        name: "ci-net".to_owned(),
        zone: "uk-london-1".to_owned(),
        owner: Some("ci".to_owned()),
        cidr: Cidr::new(Ipv4Addr::new(10, 1, 9, 0), 24).unwrap(),
    });
}

/// Whether a public port of a machine's address leads to it.
fn is_forwarded(lab: &VirtualLab, name: &str) -> bool {
    let public = format!(
        "{}:{} → {name} ",
        address(lab, name),
        lab.stored(name).ssh_port()
    );
    let rules = lab.cloud.inventory().port_forwards;
    rules.iter().any(|rule| rule.rule.starts_with(&public))
}

#[test]
fn machines_in_a_tier_of_a_vpc_are_reached_by_forwarded_ports() {
    let lab = lab_with(|cloud| cloud.vpcs.push(vpc("demo")));
    let before = lab.cloud.inventory();
    let web = [("network", "web"), ("cidr", "192.0.2.0/24,")];
    create(&lab, "m1", &LONDON, &web).unwrap();
    let first = lab.cloud.inventory();
    assert_eq!(first.addresses, [address(&lab, "m1")]);
    assert!(first.firewall_rules.is_empty(), "{first}");
    assert!(is_forwarded(&lab, "m1"));
    create(&lab, "m2", &LONDON, &web).unwrap();
    assert!(is_forwarded(&lab, "m2"));
    assert_ne!(
        lab.stored("m1").url().unwrap(),
        lab.stored("m2").url().unwrap()
    );
    // The machine that came first goes first, and the other is reached as before.
    remove(&lab, "m1");
    assert!(is_forwarded(&lab, "m2"), "{}", lab.cloud.inventory());
    create(&lab, "m3", &LONDON, &web).unwrap();
    remove(&lab, "m2");
    assert!(is_forwarded(&lab, "m3"), "{}", lab.cloud.inventory());
    remove(&lab, "m3");
    assert_eq!(lab.cloud.inventory(), before);
}

#[test]
fn machines_in_a_tier_that_are_made_at_once_are_all_reached() {
    let lab = lab_with(|cloud| cloud.vpcs.push(vpc("demo")));
    let before = lab.cloud.inventory();
    let names: Vec<_> = (0..4).map(|i| format!("m{i}")).collect();
    thread::scope(|scope| {
        for name in &names {
            scope.spawn(|| create(&lab, name, &LONDON, &[("network", "web")]).unwrap());
        }
    });
    for (gone, name) in names.iter().enumerate() {
        for other in &names[gone..] {
            assert!(is_forwarded(&lab, other), "{}", lab.cloud.inventory());
        }
        remove(&lab, name);
    }
    assert_eq!(lab.cloud.inventory(), before);
}

#[test]
fn a_machine_in_a_tier_of_a_vpc_can_have_an_address_of_its_own() {
    let lab = lab_with(|cloud| cloud.vpcs.push(vpc("demo")));
    let before = lab.cloud.inventory();
    let own = [("network", "web"), ("address", "static-nat")];
    create(&lab, "m1", &LONDON, &own).unwrap();
    let ip = address(&lab, "m1");
    let inventory = lab.cloud.inventory();
    assert_eq!(inventory.static_nats, [format!("{ip} → m1")]);
    assert!(inventory.firewall_rules.is_empty(), "{inventory}");
    assert_eq!(lab.stored("m1").url().unwrap(), format!("tcp://{ip}:2376"));
    // It cannot serve others.
    create(&lab, "m2", &LONDON, &[("network", "web")]).unwrap();
    assert_ne!(address(&lab, "m2"), ip);
    remove(&lab, "m1");
    assert!(is_forwarded(&lab, "m2"));
    remove(&lab, "m2");
    assert_eq!(lab.cloud.inventory(), before);
}

#[test]
fn an_address_that_may_have_been_acquired_for_a_vpc_is_named() {
    let lab = lab_with(|cloud| cloud.vpcs.push(vpc("demo")));
    create(&lab, "m1", &LONDON, &[("network", "web")]).unwrap();
    let in_use = address(&lab, "m1");
    let before = lab.cloud.inventory();
    lab.cloud.fault("associateIpAddress", 1, Fault::LoseAnswer);
    let error = create(&lab, "m2", &LONDON, &[("network", "web")]).unwrap_err();
    let mut after = lab.cloud.inventory();
    let lost = after.addresses.pop().unwrap();
    assert_eq!(after, before, "an address too many, and nothing else");
    let error = error.to_string();
    assert!(
        error.contains(&format!("the public address {lost} (")) && !error.contains(&in_use),
        "{error}"
    );
}

#[test]
fn an_acquired_address_stays_as_long_as_another_machine_is_behind_it() {
    let lab = lab_with(|cloud| cloud.vpcs.push(vpc("demo")));
    create(&lab, "m1", &LONDON, &[("network", "web")]).unwrap();
    let ip = address(&lab, "m1");
    let shared = [("network", "web"), ("public-ip", ip.as_str())];
    create(&lab, "m2", &LONDON, &shared).unwrap();
    remove(&lab, "m1");
    let inventory = lab.cloud.inventory();
    assert!(is_forwarded(&lab, "m2"), "{inventory}");
    assert_eq!(
        inventory.port_forwards.len(),
        2,
        "only those of m2: {inventory}"
    );
}

#[test]
fn an_address_that_the_user_has_in_a_tier_stays() {
    let lab = lab_with(|cloud| cloud.vpcs.push(vpc("demo")));
    create(&lab, "m1", &LONDON, &[("network", "web")]).unwrap();
    // m1's address serves as one that the user has.
    let with_m1 = lab.cloud.inventory();
    let chosen = address(&lab, "m1");
    let options = [("network", "web"), ("public-ip", chosen.as_str())];
    create(&lab, "m2", &LONDON, &options).unwrap();
    assert!(is_forwarded(&lab, "m2"));
    remove(&lab, "m2");
    assert_eq!(lab.cloud.inventory(), with_m1);
    // The VPC's own is the first of all.
    let options = [("network", "web"), ("public-ip", "127.0.100.10")];
    let error = create(&lab, "m2", &LONDON, &options).unwrap_err();
    assert!(
        error.to_string().ends_with("cannot be used in a tier"),
        "{error}"
    );
    assert!(!lab.has_stored("m2"));
}

#[test]
fn a_machine_in_a_project_is_the_projects() {
    let lab = lab_with(with_project);
    let before = lab.cloud.inventory();
    let options = [
        ("project", "CI"),
        ("disk-offering", "Data 20 GB"),
        ("cidr", "192.0.2.0/24,"),
        ("open-port", "80,"),
    ];
    create(&lab, "m1", &LONDON, &options).unwrap();
    let inventory = lab.cloud.inventory();
    assert_eq!(inventory.machines[0].addresses, ["10.1.9.10"]);
    assert_eq!(inventory.firewall_rules.len(), 3, "{inventory}");
    assert_eq!(inventory.volumes.len(), 2, "{inventory}");
    // Nothing is the account's own, and so nothing is seen outside of the project.
    assert_eq!(lab.cloud.inventory_of("ci"), inventory);
    assert!(lab.cloud.inventory_of("other").is_empty());
    for (change, state) in [
        (Change::Stop, State::Stopped),
        (Change::Start, State::Running),
        (Change::Restart, State::Running),
        (Change::Kill, State::Stopped),
        (Change::Start, State::Running),
    ] {
        lab.change("m1", change).unwrap();
        assert_eq!(lab.stored("m1").state().unwrap(), state, "{change:?}");
    }
    // One outside does not meet it.
    create(&lab, "m2", &LONDON, &[]).unwrap();
    assert_ne!(address(&lab, "m1"), address(&lab, "m2"));
    remove(&lab, "m2");
    assert_eq!(lab.cloud.inventory(), inventory);
    remove(&lab, "m1");
    assert_eq!(lab.cloud.inventory(), before);
}

#[test]
fn what_is_made_for_a_machine_in_a_project_goes_with_it() {
    let lab = lab_with(|cloud| {
        with_project(cloud);
        cloud
            .networks
            .retain(|network| network.zone == "uk-basic-1");
        cloud.vpcs.push(vpc("ci"));
    });
    let before = lab.cloud.inventory();
    let in_ci = |options: &[(&'static str, &'static str)]| [&[("project", "ci")], options].concat();
    let in_tier = in_ci(&[("network", "web"), ("address", "static-nat")]);
    create(&lab, "m1", &LONDON, &in_tier).unwrap();
    create(&lab, "m2", &LONDON, &in_ci(&[("network", "web")])).unwrap();
    create(&lab, "m3", &BASIC, &in_ci(&[])).unwrap();
    let inventory = lab.cloud.inventory_of("ci");
    assert_eq!(inventory, lab.cloud.inventory());
    assert_eq!(inventory.security_groups.len(), 1, "{inventory}");
    assert_eq!(inventory.addresses.len(), 2, "{inventory}");
    for name in ["m1", "m2", "m3"] {
        remove(&lab, name);
    }
    assert_eq!(lab.cloud.inventory(), before);

    let lab = lab_with(|cloud| {
        with_project(cloud);
        cloud
            .networks
            .retain(|network| network.zone == "uk-basic-1");
    });
    create(&lab, "m4", &LONDON, &in_ci(&[])).unwrap();
    assert_eq!(lab.cloud.inventory_of("ci").networks.len(), 1);
    remove(&lab, "m4");
    assert_eq!(lab.cloud.inventory(), before);
}

#[test]
fn affinity_groups_and_further_key_pairs_reach_the_cloud() {
    let lab = lab_with(|cloud| {
        let group = |name: &str| AffinityGroupConfig {
            name: name.to_owned(),
            owner: "demo".to_owned(),
        };
        cloud.affinity_groups = vec![group("apart"), group("far-apart")];
    });
    create(&lab, "m1", &LONDON, &[("affinity-group", "Far-Apart,")]).unwrap();
    let inventory = lab.cloud.inventory();
    assert_eq!(inventory.machines[0].affinity_groups, ["far-apart"]);
    // m1's key pair serves as one that the user has.
    let further = inventory.key_pairs[0].clone();
    let options = [
        ("affinity-group", "apart,far-apart"),
        ("keypair", &format!("{further},")),
    ];
    create(&lab, "m2", &LONDON, &options).unwrap();
    let inventory = lab.cloud.inventory();
    let machine = &inventory.machines[1];
    assert_eq!(machine.affinity_groups, ["apart", "far-apart"]);
    assert_eq!(
        machine.key_pairs,
        [inventory.key_pairs[1].as_str(), &further]
    );
    remove(&lab, "m2");
    assert_eq!(lab.cloud.inventory().key_pairs, [further.as_str()]);

    // Older versions would make a machine that lets nobody in.
    let before = lab.cloud.inventory();
    lab.cloud
        .set_behaviour(|behaviour| behaviour.version = "4.16.1.0".to_owned());
    let error = create(&lab, "m3", &LONDON, &options).unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("several key pairs need CloudStack 4.17, and this is 4.16.1.0"),
        "{error}"
    );
    assert!(!lab.has_stored("m3"));
    create(&lab, "m3", &LONDON, &[]).unwrap();
    remove(&lab, "m3");
    assert_eq!(lab.cloud.inventory(), before);
}

#[test]
fn unknown_names_are_answered_with_what_there_is() {
    let lab = lab_with(|cloud| {
        with_project(cloud);
        cloud.vpcs.push(vpc("demo"));
        cloud.affinity_groups.push(AffinityGroupConfig {
            name: "apart".to_owned(),
            owner: "demo".to_owned(),
        });
    });
    for (option, value, text, candidate) in [
        (
            "project",
            "prod",
            "No project is called \"prod\"",
            "\n  ci (",
        ),
        (
            "affinity-group",
            "near,",
            "No affinity group is called \"near\"",
            "\n  apart (",
        ),
        (
            "network",
            "ci-net,",
            "No network is called \"ci-net\"",
            "\n  web (",
        ),
    ] {
        let error = create(&lab, "m1", &LONDON, &[(option, value)]).unwrap_err();
        let error = error.to_string();
        assert!(
            error.starts_with(text) && error.contains(candidate),
            "{error}"
        );
        assert!(!lab.has_stored("m1"));
    }
    let error = create(&lab, "m1", &LONDON, &[("keypair", "mine,")]).unwrap_err();
    assert_eq!(error.to_string(), "No SSH key pair is called \"mine\"");
    assert!(
        lab.cloud.inventory().is_empty(),
        "{}",
        lab.cloud.inventory()
    );
}
