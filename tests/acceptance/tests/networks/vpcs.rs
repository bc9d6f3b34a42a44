//! Machines in tiers of VPCs.

use std::net::Ipv4Addr;
use std::thread;

use acceptance::virtual_lab::{LONDON, VirtualLab};
use cloudstack_simulator::{Cidr, Fault, VpcConfig};

use crate::fixtures::{create, lab_with};

/// A VPC with the tier `web`.
pub(crate) fn vpc(owner: &str) -> VpcConfig {
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

/// Whether a public port of a machine's address leads to it.
pub(crate) fn is_forwarded(lab: &VirtualLab, name: &str) -> bool {
    let public = format!(
        "{}:{} → {name} ",
        lab.address(name),
        lab.stored(name).ssh_port()
    );
    let rules = lab.cloud.inventory().port_forwards;
    rules.iter().any(|rule| rule.rule.starts_with(&public))
}

#[test]
fn machines_in_a_tier_of_a_vpc_are_reached_by_forwarded_ports() {
    let lab = lab_with(|cloud| cloud.vpcs.push(vpc("demo")));
    let before = lab.cloud.inventory();
    let web = [("network", "web"), ("cidr", "192.0.2.0/24")];
    create(&lab, "m1", &LONDON, &web).unwrap();
    let first = lab.cloud.inventory();
    assert_eq!(first.addresses, [lab.address("m1")]);
    assert!(first.firewall_rules.is_empty(), "{first}");
    assert!(is_forwarded(&lab, "m1"));
    create(&lab, "m2", &LONDON, &web).unwrap();
    assert!(is_forwarded(&lab, "m2"));
    assert_ne!(
        lab.stored("m1").url().unwrap(),
        lab.stored("m2").url().unwrap()
    );
    // The machine that came first goes first, and the other is reached as before.
    lab.remove("m1");
    assert!(is_forwarded(&lab, "m2"), "{}", lab.cloud.inventory());
    create(&lab, "m3", &LONDON, &web).unwrap();
    lab.remove("m2");
    assert!(is_forwarded(&lab, "m3"), "{}", lab.cloud.inventory());
    lab.remove("m3");
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
        lab.remove(name);
    }
    assert_eq!(lab.cloud.inventory(), before);
}

#[test]
fn a_machine_in_a_tier_of_a_vpc_can_have_an_address_of_its_own() {
    let lab = lab_with(|cloud| cloud.vpcs.push(vpc("demo")));
    let before = lab.cloud.inventory();
    let own = [("network", "web"), ("address", "static-nat")];
    create(&lab, "m1", &LONDON, &own).unwrap();
    let ip = lab.address("m1");
    let inventory = lab.cloud.inventory();
    assert_eq!(inventory.static_nats, [format!("{ip} → m1")]);
    assert!(inventory.firewall_rules.is_empty(), "{inventory}");
    assert_eq!(lab.stored("m1").url().unwrap(), format!("tcp://{ip}:2376"));
    // It cannot serve others.
    create(&lab, "m2", &LONDON, &[("network", "web")]).unwrap();
    assert_ne!(lab.address("m2"), ip);
    lab.remove("m1");
    assert!(is_forwarded(&lab, "m2"));
    lab.remove("m2");
    assert_eq!(lab.cloud.inventory(), before);
}

#[test]
fn an_address_that_may_have_been_acquired_for_a_vpc_is_named() {
    let lab = lab_with(|cloud| cloud.vpcs.push(vpc("demo")));
    create(&lab, "m1", &LONDON, &[("network", "web")]).unwrap();
    let in_use = lab.address("m1");
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
    let ip = lab.address("m1");
    let shared = [("network", "web"), ("public-ip", ip.as_str())];
    create(&lab, "m2", &LONDON, &shared).unwrap();
    lab.remove("m1");
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
    let chosen = lab.address("m1");
    let options = [("network", "web"), ("public-ip", chosen.as_str())];
    create(&lab, "m2", &LONDON, &options).unwrap();
    assert!(is_forwarded(&lab, "m2"));
    lab.remove("m2");
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
