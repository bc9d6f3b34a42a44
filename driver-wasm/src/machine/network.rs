//! How a machine is reached.
//!
//! In a shared network, and so in a zone of the type `Basic`, a machine's own address is reached as it is. In an
//! isolated network or a tier of a VPC, ports of a public address are forwarded to it, or a public address of its own
//! leads to it.

use super::saved::Saved;
use super::{ENGINE_PORT, SWARM_PORT, optional};
use crate::cloudstack::{
    Cloud, Command, Created, Error, Forwarding, Network, Nic, PortForwardingRule, PublicIpAddress,
    VirtualMachine,
};
use crate::contract::log::Level;
use crate::contract::types::{self, ErrorKind};
use crate::failure;
use crate::options::{ADDRESS, AddressMode, CIDR, OPEN_PORT, Ports, Settings};
use crate::text;

/// The ranges of addresses of everybody.
pub(super) const EVERYBODY: &str = "0.0.0.0/0";

/// How often a port is tried that another machine was quicker to take.
const PORT_TRIES: u32 = 30;

/// Where public ports are looked for when the usual ones are taken. Machines begin at different ones, so that those that
/// are made at the same time seldom want the same.
const SSH_PORTS: u16 = 20_022;
const ENGINE_PORTS: u16 = 30_376;
const PORTS_SPREAD: u16 = 8_000;

/// A port of the machine that has to be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Ssh,
    Engine,
    /// A port that has to be the same outside.
    Fixed(Ports),
}

/// What leads to a machine.
pub(super) struct Exposure<'w> {
    pub(super) cloud: &'w Cloud<'w>,
    pub(super) settings: &'w Settings,
    pub(super) marks: &'w [(&'w str, &'w str)],
    /// The machine's id, by which ports are spread.
    pub(super) machine_id: &'w str,
    pub(super) is_swarm_master: bool,
    /// The port on which the machine's SSH server listens.
    pub(super) ssh_port: u16,
}

/// The ports of a machine that are opened.
pub(super) fn ports(settings: &Settings, ssh_port: u16, is_swarm_master: bool) -> Vec<Ports> {
    let mut ports = vec![Ports::tcp(ssh_port), Ports::tcp(ENGINE_PORT)];
    for further in further_ports(settings, is_swarm_master) {
        unite(&mut ports, further);
    }
    ports
}

/// Those that are neither SSH's nor the engine's.
fn further_ports(settings: &Settings, is_swarm_master: bool) -> Vec<Ports> {
    let mut ports = Vec::new();
    if is_swarm_master {
        ports.push(Ports::tcp(SWARM_PORT));
    }
    for &further in &settings.open_ports {
        unite(&mut ports, further);
    }
    ports
}

/// Adds ports to a list in which none overlap: CloudStack refuses two rules that do.
fn unite(list: &mut Vec<Ports>, mut ports: Ports) {
    if list.iter().any(|other| other.contains(ports)) {
        return;
    }
    list.retain(|other| {
        let overlaps = other.overlaps(ports);
        if overlaps {
            ports.first = ports.first.min(other.first);
            ports.last = ports.last.max(other.last);
        }
        !overlaps
    });
    list.push(ports);
}

/// The ranges of addresses that are let in.
pub(super) fn cidrs(settings: &Settings) -> String {
    if settings.cidrs.is_empty() {
        return EVERYBODY.to_owned();
    }
    settings.cidrs.join(",")
}

/// Whether a machine is reached at its own address, in that network or in none, as in a zone of the type `Basic`.
pub(super) fn is_direct(settings: &Settings, network: Option<&Network>) -> bool {
    match (settings.address, network) {
        (AddressMode::Private, _) | (_, None) => true,
        (AddressMode::Auto, Some(network)) => network.is_shared() && settings.public_ip.is_none(),
        _ => false,
    }
}

impl Exposure<'_> {
    /// Has the machine reached, as its options and its network say, and tells at which address. What is made for that is
    /// saved before.
    pub(super) fn open(
        &self,
        vm: &VirtualMachine,
        network: Option<&Network>,
        public_address: Option<&PublicIpAddress>,
        saved: &mut Saved,
        step: impl FnOnce(&str),
    ) -> Result<String, types::Error> {
        let Some(nic) = nic_in(vm, network) else {
            return Err(failure::error(
                ErrorKind::Unsupported,
                "The virtual machine has no network interface",
            ));
        };
        let is_direct = is_direct(self.settings, network);
        let Some(network) = network.filter(|_| !is_direct) else {
            let address = own_address(nic)?;
            step(&format!("Using the address {address}"));
            return Ok(address);
        };
        if network.is_vpc_tier() && !self.settings.cidrs.is_empty() {
            let line = format!(
                "--{CIDR} has no effect in a VPC, where the access list of the network \"{}\" decides",
                text::name(&network.name)
            );
            self.cloud.host().log(Level::Warning, &line);
        }
        let address = self.address(network, public_address, saved)?;
        if self.settings.address.behind_nat() == AddressMode::StaticNat {
            step(&format!("Connecting the address {}", address.ipaddress));
            self.enable_static_nat(&address, vm, network, saved)?;
        } else {
            step(&format!("Forwarding ports on {}", address.ipaddress));
            self.forward(&address, vm, network, saved)?;
        }
        Ok(address.ipaddress)
    }

    /// The public address to use, which is acquired if there is none.
    fn address(
        &self,
        network: &Network,
        given: Option<&PublicIpAddress>,
        saved: &mut Saved,
    ) -> Result<PublicIpAddress, types::Error> {
        let host = self.cloud.host();
        if let Some(address) = given {
            saved.set_address(&address.id, &address.ipaddress);
            saved.store(host)?;
            return Ok(address.clone());
        }
        let addresses = self.cloud.public_ip_addresses(network)?;
        let is_shared = self.settings.address.behind_nat() != AddressMode::StaticNat;
        if is_shared && !network.is_vpc_tier() {
            // The one by which the network reaches the outside lasts as long as the network. Any other may be that of
            // another machine, and be released with it. A VPC's own cannot be used in its tiers.
            if let Some(address) = addresses.iter().find(|address| address.issourcenat) {
                saved.set_address(&address.id, &address.ipaddress);
                saved.store(host)?;
                return Ok(address.clone());
            }
        }
        let known = addresses.into_iter().map(|address| address.id).collect();
        saved.request_address(known);
        saved.store(host)?;
        let Created { id, jobid } = self.cloud.associate_ip_address(network)?;
        // The address itself is told later, but from now on it is known what to release.
        saved.set_acquired_address(&id, "");
        saved.store(host)?;
        self.cloud.wait(Command::AssociateIpAddress, &jobid)?;
        let address = self.cloud.public_ip_address(&id)?.ok_or_else(|| {
            failure::error(
                ErrorKind::Internal,
                "The public address has disappeared while it was acquired",
            )
        })?;
        saved.set_acquired_address(&id, &address.ipaddress);
        saved.store(host)?;
        let tagged = self
            .cloud
            .create_tags("PublicIpAddress", &[&id], self.marks);
        optional(self.cloud, "The public address could not be tagged", tagged)?;
        Ok(address)
    }

    /// Has the address lead to the machine alone.
    fn enable_static_nat(
        &self,
        address: &PublicIpAddress,
        vm: &VirtualMachine,
        network: &Network,
        saved: &mut Saved,
    ) -> Result<(), types::Error> {
        saved.set_static_nat();
        saved.store(self.cloud.host())?;
        self.cloud
            .enable_static_nat(&address.id, &vm.id, &network.id)?;
        if network.is_vpc_tier() {
            return Ok(());
        }
        let ports = ports(self.settings, self.ssh_port, self.is_swarm_master);
        self.open_firewall(address, &ports, saved)
    }

    /// Makes firewall rules for ports of an address, apart from those that are open already.
    fn open_firewall(
        &self,
        address: &PublicIpAddress,
        ports: &[Ports],
        saved: &mut Saved,
    ) -> Result<(), types::Error> {
        let there = self.cloud.firewall_rules(Some(&address.id))?;
        let is_open = |ports: &&Ports| {
            there.iter().any(|rule| {
                rule.protocol.eq_ignore_ascii_case(ports.protocol())
                    && rule.startport.is_some_and(|first| first <= ports.first)
                    && rule
                        .endport
                        .or(rule.startport)
                        .is_some_and(|last| last >= ports.last)
            })
        };
        for open in ports.iter().filter(is_open) {
            let line = format!(
                "The firewall of {} has a rule for {open} already, which is left as it is",
                address.ipaddress
            );
            self.cloud.host().log(Level::Warning, &line);
        }
        let ports: Vec<_> = ports
            .iter()
            .copied()
            .filter(|ports| !is_open(&ports))
            .collect();
        saved.set_firewall_ports(&ports);
        saved.store(self.cloud.host())?;
        let cidrs = cidrs(self.settings);
        let mut rules = Vec::new();
        for ports in ports {
            rules.push(
                self.cloud
                    .create_firewall_rule(&address.id, ports, &cidrs)?,
            );
        }
        let ids: Vec<_> = rules.iter().map(|rule| rule.id.as_str()).collect();
        if !ids.is_empty() {
            let tagged = self.cloud.create_tags("FirewallRule", &ids, self.marks);
            optional(self.cloud, "The firewall rules could not be tagged", tagged)?;
        }
        for rule in &rules {
            self.cloud.wait(Command::CreateFirewallRule, &rule.jobid)?;
        }
        Ok(())
    }

    /// Forwards ports of the address to the machine: the usual ones, or free ones if another machine has those.
    fn forward(
        &self,
        address: &PublicIpAddress,
        vm: &VirtualMachine,
        network: &Network,
        saved: &mut Saved,
    ) -> Result<(), types::Error> {
        let mut open: Vec<Role> = vec![Role::Ssh, Role::Engine];
        let mut further = further_ports(self.settings, self.is_swarm_master);
        further.retain(|ports| ![self.ssh_port, ENGINE_PORT].map(Ports::tcp).contains(ports));
        open.extend(further.into_iter().map(Role::Fixed));

        let rules = self.cloud.port_forwarding_rules(Some(&address.id))?;
        // What the user wants open is not for SSH or the engine.
        let fixed = open.iter().filter_map(|role| match role {
            Role::Fixed(ports) if !ports.is_udp => Some(ports.first..=ports.last),
            _ => None,
        });
        let mut search = Search {
            refused: fixed.flatten().collect(),
            is_taken: Box::new(move |port| rules.iter().any(|rule| rule.takes(false, port))),
            offset: spread(self.machine_id),
        };
        let mut made: Vec<(Role, Ports)> = Vec::new();
        for _ in 0..PORT_TRIES {
            let lost = self.try_to_forward(address, vm, network, &open, &mut search, &mut made)?;
            // Two calls at the same time may both be given a port: apache/cloudstack#8386.
            open = match lost.is_empty() {
                true => self.take_back_shared(address, vm, &mut search, &mut made)?,
                false => lost,
            };
            if open.is_empty() {
                break;
            }
        }
        let public = |wanted: Role| {
            let found = made.iter().find(|(role, _)| *role == wanted);
            found.map(|(_, ports)| ports.first)
        };
        let (Some(ssh), Some(engine), true) =
            (public(Role::Ssh), public(Role::Engine), open.is_empty())
        else {
            return Err(failure::error(
                ErrorKind::Conflict,
                format!("No free ports were found on {}", address.ipaddress),
            ));
        };
        saved.set_public_ports(ssh, engine);
        saved.store(self.cloud.host())?;
        if !self.opens_firewall(network) && !network.is_vpc_tier() {
            let ports: Vec<_> = made.iter().map(|(_, ports)| *ports).collect();
            self.open_firewall(address, &ports, saved)?;
        }
        Ok(())
    }

    /// Whether a port-forwarding rule opens the firewall for everybody at once.
    fn opens_firewall(&self, network: &Network) -> bool {
        self.settings.cidrs.is_empty() && !network.is_vpc_tier()
    }

    /// Forwards a port for each role, all at the same time. Tells the roles whose port another rule has.
    fn try_to_forward(
        &self,
        address: &PublicIpAddress,
        vm: &VirtualMachine,
        network: &Network,
        open: &[Role],
        search: &mut Search,
        made: &mut Vec<(Role, Ports)>,
    ) -> Result<Vec<Role>, types::Error> {
        let mut jobs = Vec::new();
        let mut lost = Vec::new();
        for &role in open {
            let public = search.port(role, address, self.ssh_port)?;
            let created = self.cloud.create_port_forwarding_rule(&Forwarding {
                address_id: &address.id,
                vm_id: &vm.id,
                network_id: network.is_vpc_tier().then_some(network.id.as_str()),
                public,
                private: match role {
                    Role::Ssh => self.ssh_port,
                    _ => public.first,
                },
                opens_firewall: self.opens_firewall(network),
            });
            match created {
                Ok(created) => jobs.push((role, public, created.jobid)),
                Err(error) => {
                    search.refuse(role, public, address, error)?;
                    lost.push(role);
                }
            }
        }
        for (role, public, job) in jobs {
            match self.cloud.wait(Command::CreatePortForwardingRule, &job) {
                Ok(()) => made.push((role, public)),
                Err(error) => {
                    search.refuse(role, public, address, error)?;
                    lost.push(role);
                }
            }
        }
        Ok(lost)
    }

    /// Deletes the rules whose public ports another machine has too, and tells their roles.
    fn take_back_shared(
        &self,
        address: &PublicIpAddress,
        vm: &VirtualMachine,
        search: &mut Search,
        made: &mut Vec<(Role, Ports)>,
    ) -> Result<Vec<Role>, types::Error> {
        let rules = self.cloud.port_forwarding_rules(Some(&address.id))?;
        let is_shared = |ports: Ports| {
            let takes = |rule: &&PortForwardingRule| rule.takes(ports.is_udp, ports.first);
            rules
                .iter()
                .filter(takes)
                .any(|rule| rule.virtualmachineid != vm.id)
        };
        let mut lost = Vec::new();
        let mut kept = Vec::new();
        for (role, ports) in made.drain(..) {
            if !is_shared(ports) {
                kept.push((role, ports));
                continue;
            }
            let own = rules.iter().find(|rule| {
                rule.virtualmachineid == vm.id && rule.takes(ports.is_udp, ports.first)
            });
            if let Some(rule) = own {
                let submitted = self.cloud.delete_port_forwarding_rule(&rule.id)?;
                self.cloud
                    .wait(Command::DeletePortForwardingRule, &submitted.jobid)?;
            }
            search.refused.push(ports.first);
            lost.push(role);
        }
        *made = kept;
        Ok(lost)
    }
}

/// The search for free ports of an address.
struct Search {
    is_taken: Box<dyn Fn(u16) -> bool>,
    /// Those that turned out to be taken.
    refused: Vec<u16>,
    offset: u16,
}

impl Search {
    /// The public port to try for a role.
    fn port(
        &self,
        role: Role,
        address: &PublicIpAddress,
        ssh_port: u16,
    ) -> Result<Ports, types::Error> {
        let (usual, others) = match role {
            Role::Ssh => (ssh_port, SSH_PORTS),
            Role::Engine => (ENGINE_PORT, ENGINE_PORTS),
            Role::Fixed(ports) => return Ok(ports),
        };
        let is_free = |port: &u16| !(self.is_taken)(*port) && !self.refused.contains(port);
        let further = (0..PORTS_SPREAD).map(|i| others + (self.offset + i) % PORTS_SPREAD);
        let mut candidates = std::iter::once(usual).chain(further);
        candidates.find(is_free).map(Ports::tcp).ok_or_else(|| {
            failure::error(
                ErrorKind::Conflict,
                format!("{} has no free port", address.ipaddress),
            )
        })
    }

    /// Notes that a port is taken, if that is the error.
    fn refuse(
        &mut self,
        role: Role,
        ports: Ports,
        address: &PublicIpAddress,
        error: Error,
    ) -> Result<(), types::Error> {
        let Some(refusal) = error.refusal().filter(|refusal| refusal.is_rule_conflict()) else {
            return Err(error.into());
        };
        if let Role::Fixed(_) = role {
            return Err(failure::hinted(
                ErrorKind::Conflict,
                format!(
                    "Port {ports} of {} is taken by another machine\n  {refusal}",
                    address.ipaddress
                ),
                format!(
                    "Give the machine a public address of its own with --{ADDRESS} static-nat, or another port with \
                     --{OPEN_PORT}"
                ),
            ));
        }
        self.refused.push(ports.first);
        Ok(())
    }
}

/// Where a machine begins to look for ports.
fn spread(machine_id: &str) -> u16 {
    let mixed = machine_id.bytes().fold(0_u16, |mixed, byte| {
        mixed.wrapping_mul(31).wrapping_add(u16::from(byte))
    });
    mixed % PORTS_SPREAD
}

/// The interface in a network; the default one if that is not told.
fn nic_in<'v>(vm: &'v VirtualMachine, network: Option<&Network>) -> Option<&'v Nic> {
    let in_network = network.and_then(|network| vm.nic_in(&network.id));
    in_network.or_else(|| vm.default_nic())
}

fn own_address(nic: &Nic) -> Result<String, types::Error> {
    match nic.address() {
        Some(address) => Ok(address.to_owned()),
        None => Err(failure::error(
            ErrorKind::Internal,
            "CloudStack has given the virtual machine no address",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cloudstack::model;

    fn search(taken: &'static [u16], refused: &[u16]) -> Search {
        Search {
            is_taken: Box::new(move |port| taken.contains(&port)),
            refused: refused.to_vec(),
            offset: PORTS_SPREAD - 1,
        }
    }

    #[test]
    fn the_usual_ports_come_first_then_free_ones() {
        let address: PublicIpAddress =
            model(&serde_json::json!({"id": "a", "ipaddress": "192.0.2.1"}));
        let port = |search: &Search, role| search.port(role, &address, 22).unwrap().first;
        let free = search(&[], &[]);
        assert_eq!(
            (port(&free, Role::Ssh), port(&free, Role::Engine)),
            (22, 2376)
        );
        let busy = search(&[22, 2376, 38_375], &[30_376]);
        assert_eq!(port(&busy, Role::Ssh), 28_021);
        assert_eq!(port(&busy, Role::Engine), 30_377);
        assert_eq!(free.port(Role::Ssh, &address, 2022).unwrap().first, 2022);
        let fixed = Ports::tcp(80);
        assert_eq!(busy.port(Role::Fixed(fixed), &address, 22).unwrap(), fixed);
    }

    #[test]
    fn ports_that_overlap_are_opened_by_one_rule() {
        let united = |ports: &[&str]| {
            let mut list = Vec::new();
            for ports in ports {
                unite(&mut list, ports.parse().unwrap());
            }
            list.iter().map(Ports::to_string).collect::<Vec<_>>()
        };
        assert_eq!(
            united(&["22", "2376", "2000-3000"]),
            ["22/tcp", "2000-3000/tcp"]
        );
        assert_eq!(united(&["80-90", "80", "85-86"]), ["80-90/tcp"]);
        assert_eq!(united(&["1-5", "7-9", "5-7"]), ["1-9/tcp"]);
        assert_eq!(
            united(&["53", "53/udp", "54"]),
            ["53/tcp", "53/udp", "54/tcp"]
        );
    }

    #[test]
    fn machines_begin_at_different_ports() {
        let spreads: std::collections::BTreeSet<_> =
            (0..100).map(|i| spread(&format!("{i:020x}"))).collect();
        assert!(spreads.len() > 90 && spreads.iter().all(|spread| *spread < PORTS_SPREAD));
    }
}
