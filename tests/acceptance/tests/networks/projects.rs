//! Machines in projects.

use std::net::Ipv4Addr;

use btcloud_host::contract::types::State;
use btcloud_host::sandbox::Change;
use cloudstack_simulator::{Cidr, CloudConfig, NetworkConfig, ProjectConfig};

use crate::fixtures::{BASIC, LONDON, address, create, lab_with, remove};
use crate::vpcs::vpc;

/// The project `ci` of the account, with a network.
pub(crate) fn with_project(cloud: &mut CloudConfig) {
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

#[test]
fn a_machine_in_a_project_is_the_projects() {
    let lab = lab_with(with_project);
    let before = lab.cloud.inventory();
    let options = [
        ("project", "CI"),
        ("disk-offering", "Data 20 GB"),
        ("cidr", "192.0.2.0/24"),
        ("open-port", "80"),
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
