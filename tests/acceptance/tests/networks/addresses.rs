//! What the driver makes of each kind of network.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::thread;
use std::time::Duration;

use acceptance::virtual_lab::LONDON;
use cloudstack_simulator::{Cidr, NetworkConfig};

use crate::fixtures::{BASIC, create, lab, lab_with, rules};

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
    let ip = lab.address("m2");
    assert_ne!(ip, lab.address("m1"));
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
    lab.remove("m2");
    assert_eq!(lab.cloud.inventory(), first);
    lab.remove("m1");
    assert_eq!(lab.cloud.inventory(), before);
}

#[test]
fn only_the_given_ranges_are_let_in() {
    let lab = lab();
    let before = lab.cloud.inventory();
    let options = [
        ("cidr", "192.0.2.0/24,198.51.100.7/32"),
        ("open-port", "8000-8010"),
    ];
    create(&lab, "m1", &LONDON, &options).unwrap();
    let ip = lab.address("m1");
    let expected = ["2376/tcp", "22/tcp", "8000-8010/tcp"]
        .map(|ports| format!("192.0.2.0/24,198.51.100.7/32 → {ip}:{ports}"));
    assert_eq!(rules(&lab.cloud.inventory()), BTreeSet::from(expected));
    lab.remove("m1");
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
    lab.remove("m2");
    assert_eq!(lab.cloud.inventory(), before);
}

#[test]
fn a_shared_network_gives_the_machine_its_own_address() {
    let lab = lab();
    create(&lab, "m1", &LONDON, &[("network", "shared-lan")]).unwrap();
    assert!(lab.address("m1").starts_with("127.0.210."));
    assert!(lab.cloud.inventory().port_forwards.is_empty());
    // So does any network when asked to.
    create(&lab, "m2", &LONDON, &[("address", "private")]).unwrap();
    assert!(lab.address("m2").starts_with("10.1.1."));
    assert!(lab.cloud.inventory().port_forwards.is_empty());
    // The first of several networks is the one by which it is reached.
    create(&lab, "m3", &LONDON, &[("network", "default,shared-lan")]).unwrap();
    assert!(lab.address("m3").starts_with("127.0.100."));
}

#[test]
fn ranges_that_nothing_would_keep_to_are_refused() {
    let lab = lab();
    let cidr = ("cidr", "192.0.2.0/24");
    for options in [
        [("network", "shared-lan"), cidr],
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
    lab.remove("m1");
    assert_eq!(lab.cloud.inventory().networks.len(), 1, "m2 is in it");
    lab.stored("m2").url().unwrap();
    lab.remove("m2");
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
    lab.remove("m1");
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
    let error = create(&lab, "m1", &LONDON, &[("network", "frontend")]).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("No network is called \"frontend\""),
        "{error}"
    );
    assert_eq!(lab.cloud.inventory(), before);
    assert!(!lab.has_stored("m1"));
    create(&lab, "m1", &LONDON, &[("network", "backend")]).unwrap();
}

#[test]
fn a_chosen_address_is_used_and_stays() {
    let lab = lab();
    create(&lab, "m0", &LONDON, &[("address", "static-nat")]).unwrap();
    // m0's address serves as one that the user has.
    let taken = lab.address("m0");
    let error = create(&lab, "m1", &LONDON, &[("public-ip", &taken)]).unwrap_err();
    assert!(
        error.to_string().contains("leads to a machine already"),
        "{error}"
    );
    create(&lab, "m1", &LONDON, &[]).unwrap();
    let source_nat = lab.address("m1");
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
    assert_eq!(lab.address("m2"), source_nat);
    lab.remove("m2");
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
        lab.remove(name);
    }
    assert_eq!(lab.cloud.inventory(), before);
}
