//! Where machines are made, and what is asked about them.

use std::collections::BTreeSet;

use acceptance::virtual_lab::{BTCLOUD, VirtualLab};
use btcloud_host::machine::Error;
use cloudstack_simulator::{CloudConfig, Inventory};

pub(crate) const BASIC: [(&str, &str); 3] = [
    ("zone", "uk-basic-1"),
    ("template", "Debian 12"),
    ("service-offering", "Small"),
];

pub(crate) fn lab_with(change: impl FnOnce(&mut CloudConfig)) -> VirtualLab {
    VirtualLab::in_cloud(&BTCLOUD, change)
}

pub(crate) fn lab() -> VirtualLab {
    lab_with(|_| ())
}

pub(crate) fn create(
    lab: &VirtualLab,
    name: &str,
    place: &[(&str, &str)],
    options: &[(&str, &str)],
) -> Result<(), Error> {
    lab.create(name, &lab.flags(&[place, options].concat()))
}

pub(crate) fn rules(inventory: &Inventory) -> BTreeSet<String> {
    let rules = inventory.firewall_rules.iter();
    rules.map(|rule| rule.rule.clone()).collect()
}
