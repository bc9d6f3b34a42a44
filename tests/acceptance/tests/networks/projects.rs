//! Machines in projects.

use acceptance::virtual_lab::{LONDON, with_project};
use btcloud_host::contract::types::State;
use btcloud_host::sandbox::Change;

use crate::fixtures::{BASIC, create, lab_with};
use crate::vpcs::vpc;

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
    assert_ne!(lab.address("m1"), lab.address("m2"));
    lab.remove("m2");
    assert_eq!(lab.cloud.inventory(), inventory);
    lab.remove("m1");
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
        lab.remove(name);
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
    lab.remove("m4");
    assert_eq!(lab.cloud.inventory(), before);
}
