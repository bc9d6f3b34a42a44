//! `survey`: what the account has of machines, by the marks that `create` leaves on all that it makes.

use super::name::{self, Mark};
use super::saved::Saved;
use super::{cloud_of, optional};
use crate::cloudstack::{Cloud, Error, Network, Tags, VirtualMachine};
use crate::contract::types::{self, FoundMachine};
use crate::host::Host;
use crate::options::{self, MARKS, Ports, Values};
use crate::text;

/// What the account has, machine by machine.
///
/// # Errors
///
/// If there are no keys, or the virtual machines or the key pairs cannot be listed. What else cannot be listed is warned
/// of.
pub fn survey(host: &dyn Host, options: &Values) -> Result<Vec<FoundMachine>, types::Error> {
    options::check_keys(options)?;
    let project_id = super::resolve::project(host, options)?;
    let mut survey = Survey {
        cloud: cloud_of(host, options, project_id.as_deref()),
        project_id,
        found: Vec::new(),
    };
    survey.virtual_machines()?;
    survey.key_pairs()?;
    survey.addresses()?;
    survey.volumes()?;
    survey.security_groups()?;
    survey.found.into_iter().map(Found::finish).collect()
}

struct Survey<'h> {
    cloud: Cloud<'h>,
    project_id: Option<String>,
    /// In the order of the machines' ids.
    found: Vec<Found>,
}

/// What was found of a machine.
struct Found {
    mark: Mark,
    parts: Vec<String>,
    saved: Saved,
    firewall_ports: Vec<Ports>,
    volumes: Vec<String>,
}

impl Found {
    fn add(&mut self, part: &str, name: &str, id: &str) {
        let part = format!("{part} {} ({})", text::name(name), text::name(id));
        self.parts.push(part);
    }

    fn finish(mut self) -> Result<FoundMachine, types::Error> {
        if !self.firewall_ports.is_empty() {
            self.saved.set_firewall_ports(&self.firewall_ports);
        }
        if !self.volumes.is_empty() {
            self.saved.set_doomed_volumes(&self.volumes);
        }
        Ok(FoundMachine {
            saved: self.saved.to_json()?,
            name: self.mark.name,
            id: self.mark.id,
            parts: self.parts,
        })
    }
}

impl Survey<'_> {
    /// The entry of the machine that a mark tells of.
    #[expect(clippy::indexing_slicing, reason = "it was found or put there")]
    fn of(&mut self, mark: Mark) -> &mut Found {
        let at = self.found.binary_search_by(|f| f.mark.id.cmp(&mark.id));
        let at = at.unwrap_or_else(|at| {
            let mut saved = Saved::default();
            saved.begin(&mark.to_string(), self.project_id.as_deref());
            let found = Found {
                mark,
                parts: Vec::new(),
                saved,
                firewall_ports: Vec::new(),
                volumes: Vec::new(),
            };
            self.found.insert(at, found);
            at
        });
        &mut self.found[at]
    }

    /// The virtual machines, the ports that lead to them, and the networks that were made for them.
    fn virtual_machines(&mut self) -> Result<(), Error> {
        let vms = self.cloud.all_virtual_machines()?;
        let mut has_forwarded_ports = false;
        for vm in vms.iter().filter(|vm| !vm.state.is_gone()) {
            let Some(mark) = mark_of_vm(vm) else { continue };
            let found = self.of(mark);
            let [name, id, state] = [&vm.name, &vm.id, &vm.state.0].map(|text| text::name(text));
            let part = format!("virtual machine {name} ({id}), {state}");
            found.parts.push(part);
            found.saved.set_vm_id(&vm.id);
            has_forwarded_ports = true;
        }
        if has_forwarded_ports {
            self.forwarded_ports()?;
        }
        let networks = self.cloud.all_networks();
        let networks = optional(&self.cloud, "The networks are left out", networks)?;
        for network in networks.unwrap_or_default() {
            if let Some(mark) = Mark::parse(&network.name)
                && !is_used_by_others(&network, &vms, &mark)
            {
                let found = self.of(mark);
                found.add("network", &network.name, &network.id);
                found.saved.set_new_network(&network.name);
            }
        }
        Ok(())
    }

    /// The addresses whose ports are forwarded to machines that were found.
    fn forwarded_ports(&mut self) -> Result<(), Error> {
        let rules = self.cloud.port_forwarding_rules(None);
        let rules = optional(&self.cloud, "The port-forwarding rules are left out", rules)?;
        for rule in rules.unwrap_or_default() {
            let mut found = self.found.iter_mut();
            let of_vm = found.find(|f| f.saved.vm_id() == Some(rule.virtualmachineid.as_str()));
            if let Some(found) = of_vm {
                found.saved.set_address(&rule.ipaddressid, &rule.ipaddress);
            }
        }
        Ok(())
    }

    fn key_pairs(&mut self) -> Result<(), Error> {
        for key_pair in self.cloud.ssh_key_pairs()? {
            if let Some(mark) = Mark::parse(&key_pair.name) {
                let part = format!("SSH key pair {}", key_pair.name);
                self.of(mark).parts.push(part);
            }
        }
        Ok(())
    }

    /// The public addresses that were acquired, and the firewall rules that were made at any.
    fn addresses(&mut self) -> Result<(), Error> {
        let rules = self.cloud.firewall_rules(None);
        let rules = optional(&self.cloud, "The firewall rules are left out", rules)?;
        for rule in rules.unwrap_or_default() {
            let (Some(mark), Some(first)) = (mark_of_tags(&rule.tags), rule.startport) else {
                continue;
            };
            let ports = Ports {
                is_udp: rule.protocol.eq_ignore_ascii_case("udp"),
                first,
                last: rule.endport.unwrap_or(first),
            };
            let found = self.of(mark);
            found.saved.set_address(&rule.ipaddressid, &rule.ipaddress);
            found.firewall_ports.push(ports);
            let what = format!("firewall rule for {ports} of");
            found.add(&what, &rule.ipaddress, &rule.id);
        }
        let addresses = self.cloud.all_public_ip_addresses();
        let addresses = optional(&self.cloud, "The public addresses are left out", addresses)?;
        for address in addresses.unwrap_or_default() {
            if let Some(mark) = mark_of_tags(&address.tags) {
                let found = self.of(mark);
                found.add("public address", &address.ipaddress, &address.id);
                // Its rules go with it.
                found
                    .saved
                    .set_acquired_address(&address.id, &address.ipaddress);
                continue;
            }
            let mut found = self.found.iter_mut();
            let of_vm = found.find(|f| f.saved.vm_id() == Some(address.virtualmachineid.as_str()));
            if let Some(found) = of_vm.filter(|_| address.isstaticnat) {
                found.saved.set_address(&address.id, &address.ipaddress);
                found.saved.set_static_nat();
            }
        }
        Ok(())
    }

    fn volumes(&mut self) -> Result<(), Error> {
        let volumes = self.cloud.data_volumes(None);
        let volumes = optional(&self.cloud, "The data disks are left out", volumes)?;
        for volume in volumes.unwrap_or_default() {
            if let Some(mark) = mark_of_tags(&volume.tags) {
                let found = self.of(mark);
                found.add("data disk", &volume.name, &volume.id);
                found.volumes.push(volume.id);
            }
        }
        Ok(())
    }

    fn security_groups(&mut self) -> Result<(), Error> {
        let groups = self.cloud.security_groups();
        let groups = optional(&self.cloud, "The security groups are left out", groups)?;
        for group in groups.unwrap_or_default() {
            if let Some(mark) = Mark::parse(&group.name) {
                let found = self.of(mark);
                found.add("security group", &group.name, &group.id);
                found.saved.set_security_group(&group.name);
            }
        }
        Ok(())
    }
}

/// The key pair comes first: it is given with the deployment, the tags come later.
fn mark_of_vm(vm: &VirtualMachine) -> Option<Mark> {
    let by_key_pair = vm.key_pairs().find_map(Mark::parse);
    by_key_pair.or_else(|| mark_of_tags(&vm.tags))
}

fn mark_of_tags(tags: &Tags) -> Option<Mark> {
    let (id, name) = (tags.get(MARKS[0])?, tags.get(MARKS[1])?);
    Mark::parse(&name::mark_of(name, id))
}

/// Whether a network, which was made for one machine, is used by another by now.
fn is_used_by_others(network: &Network, vms: &[VirtualMachine], mark: &Mark) -> bool {
    let is_in = |vm: &&VirtualMachine| vm.nic_in(&network.id).is_some() && !vm.state.is_gone();
    vms.iter()
        .filter(is_in)
        .any(|vm| mark_of_vm(vm).as_ref() != Some(mark))
}
