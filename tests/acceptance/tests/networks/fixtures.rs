//! Where machines are made, and what is asked about them.

use std::collections::BTreeSet;

use acceptance::virtual_lab::VirtualLab;
use btcloud_host::machine::Error;
use btcloud_host::sandbox::Change;
use cloudstack_simulator::{Behaviour, CloudConfig, Inventory, Simulator};

pub(crate) const LONDON: [(&str, &str); 3] = [
    ("zone", "uk-london-1"),
    ("template", "Debian 12"),
    ("service-offering", "Small"),
];
pub(crate) const BASIC: [(&str, &str); 3] = [
    ("zone", "uk-basic-1"),
    ("template", "Debian 12"),
    ("service-offering", "Small"),
];

pub(crate) fn lab_with(change: impl FnOnce(&mut CloudConfig)) -> VirtualLab {
    let mut cloud = CloudConfig::default();
    change(&mut cloud);
    let mut behaviour = Behaviour::default();
    behaviour.allow_user_expunge = true;
    VirtualLab::of(Simulator::builder().cloud(cloud).behaviour(behaviour))
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

pub(crate) fn remove(lab: &VirtualLab, name: &str) {
    lab.change(name, Change::Remove).unwrap();
}

pub(crate) fn address(lab: &VirtualLab, name: &str) -> String {
    lab.stored(name).ip().unwrap().to_string()
}

pub(crate) fn rules(inventory: &Inventory) -> BTreeSet<String> {
    let rules = inventory.firewall_rules.iter();
    rules.map(|rule| rule.rule.clone()).collect()
}
