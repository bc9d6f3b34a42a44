//! What a hypervisor is told of the world.

use std::net::Ipv4Addr;

use uuid::Uuid;

use super::{FirewallRule, IngressSource, Machine, Nic, Ports, PublicAddress, RuleState, World};
use crate::config::{NetworkKind, ZoneKind};
use crate::hypervisor::{Guest, GuestNic, Protocol, Route, Task};

/// All the ports that there are.
const ALL_PORTS: Ports = Ports {
    start: 1,
    end: u16::MAX,
};

/// From everywhere.
const ANYWHERE: &str = "0.0.0.0/0";

impl World {
    /// Has a machine started, if there is a hypervisor.
    pub(crate) fn power_on(&self, machine: Uuid) -> Option<Task> {
        let hypervisor = self.backend.hypervisor.as_ref()?;
        let guest = self.machines.get(machine).map(|row| self.guest(row))?;
        Some(hypervisor.start(guest))
    }

    /// Has a machine stopped, if there is a hypervisor.
    pub(crate) fn power_off(&self, machine: Uuid, forced: bool) -> Option<Task> {
        let hypervisor = self.backend.hypervisor.as_ref()?;
        Some(hypervisor.stop(&machine.to_string(), forced))
    }

    /// Has a machine start anew, if there is a hypervisor.
    pub(crate) fn power_cycle(&self, machine: Uuid) -> Option<Task> {
        let hypervisor = self.backend.hypervisor.as_ref()?;
        Some(hypervisor.reboot(&machine.to_string()))
    }

    /// Has the machine itself removed, if there is a hypervisor.
    pub(crate) fn discard(&self, machine: Uuid) {
        if let Some(hypervisor) = &self.backend.hypervisor {
            hypervisor.remove(&machine.to_string());
        }
    }

    /// Tells the hypervisor where public addresses lead, if that has changed.
    pub(crate) fn tell_routes(&mut self) {
        let Some(hypervisor) = &self.backend.hypervisor else {
            return;
        };
        let routes = self.routes();
        if routes != self.backend.routes {
            hypervisor.route(&routes);
            self.backend.routes = routes;
        }
    }

    fn guest(&self, machine: &Machine) -> Guest {
        let nics = machine.nics.iter().filter_map(|nic| {
            let network = self.networks.get(nic.network)?;
            let public = match network.kind {
                NetworkKind::Shared => Some(nic.address),
                NetworkKind::Isolated => self.address_seen(machine.id, network.id),
            };
            Some(GuestNic {
                network: network.id.to_string(),
                gateway: network.gateway(),
                prefix: network.cidr.prefix(),
                address: nic.address,
                mac: nic.mac.clone(),
                public_address: public,
            })
        });
        let keys = machine.key_pairs.iter().filter_map(|name| {
            let mut pairs = self.key_pairs.iter();
            pairs.find(|pair| pair.owner == machine.owner && pair.name == *name)
        });
        let offering = self.service_offerings.get(machine.offering);
        let zone = self.zones.get(machine.zone);
        Guest {
            id: machine.id.to_string(),
            name: machine.name.clone(),
            cpus: machine.size.cpus,
            memory_mib: machine.size.memory_mib,
            nics: nics.collect(),
            public_keys: keys.map(|pair| pair.public_key.clone()).collect(),
            user_data: machine.user_data.clone(),
            service_offering: offering.map_or_else(String::new, |row| row.name.clone()),
            zone: zone.map_or_else(String::new, |row| row.name.clone()),
        }
    }

    /// The address that the outside sees of a machine in an isolated network: its own, or that of the network.
    fn address_seen(&self, machine: Uuid, network: Uuid) -> Option<Ipv4Addr> {
        let own = |row: &&PublicAddress| row.static_nat == Some(machine);
        let shared = |row: &&PublicAddress| row.network == Some(network) && row.source_nat;
        let mut rows = self.addresses.iter();
        let found = rows
            .find(own)
            .or_else(|| self.addresses.iter().find(shared));
        found.map(|row| row.address)
    }

    /// Where public addresses lead.
    fn routes(&self) -> Vec<Route> {
        let mut routes = Vec::new();
        for rule in self.forwards.iter() {
            let Some(address) = self.addresses.get(rule.public) else {
                continue;
            };
            if rule.state == RuleState::Active {
                let way = Way {
                    public: address.address,
                    network: rule.network,
                    guest: rule.guest_address,
                    shift: (rule.public_ports.start, rule.private_ports.start),
                };
                for (ports, sources) in self.open_ports(address, &rule.protocol) {
                    if let Some(ports) = ports.common(rule.public_ports) {
                        routes.extend(way.route(&rule.protocol, ports, &sources));
                    }
                }
            }
        }
        for address in self.addresses.iter() {
            let machine = address.static_nat.and_then(|id| self.machines.get(id));
            let nic = machine.and_then(|machine| {
                let mut nics = machine.nics.iter();
                nics.find(|nic| Some(nic.network) == address.network)
            });
            if let Some(nic) = nic {
                let way = Way::to_nic(address.address, nic);
                for protocol in ["tcp", "udp"] {
                    for (ports, sources) in self.open_ports(address, protocol) {
                        routes.extend(way.route(protocol, ports, &sources));
                    }
                }
            }
        }
        for machine in self.machines.iter() {
            for nic in &machine.nics {
                if self
                    .networks
                    .get(nic.network)
                    .is_some_and(|network| network.kind == NetworkKind::Shared)
                {
                    let way = Way::to_nic(nic.address, nic);
                    for (protocol, ports, sources) in self.ports_of_groups(machine) {
                        routes.extend(way.route(protocol, ports, &sources));
                    }
                }
            }
        }
        routes
    }

    /// The ports of a public address that its firewall lets through, and from where. What belongs to a VPC has an access
    /// list instead, which counts as open.
    fn open_ports(&self, address: &PublicAddress, protocol: &str) -> Vec<(Ports, Vec<String>)> {
        if address.vpc.is_some() {
            return vec![(ALL_PORTS, vec![ANYWHERE.to_owned()])];
        }
        let is_open = |rule: &&FirewallRule| {
            rule.public == address.id
                && rule.state == RuleState::Active
                && (rule.protocol == protocol || rule.protocol == "all")
        };
        let rules = self.firewall.iter().filter(is_open);
        rules
            .map(|rule| (rule.ports.unwrap_or(ALL_PORTS), rule.cidrs.clone()))
            .collect()
    }

    /// The ports at which a machine of a shared network can be reached: those that its security groups open, or all if
    /// the zone has none. Rules that let other groups in are left out, since those are inside.
    fn ports_of_groups(&self, machine: &Machine) -> Vec<(&'static str, Ports, Vec<String>)> {
        let protocols = ["tcp", "udp"];
        let is_guarded = self
            .zones
            .get(machine.zone)
            .is_some_and(|zone| zone.kind == ZoneKind::Basic);
        if !is_guarded {
            return protocols
                .map(|protocol| (protocol, ALL_PORTS, vec![ANYWHERE.to_owned()]))
                .to_vec();
        }
        let groups = machine.security_groups.iter();
        let rules = groups
            .filter_map(|id| self.security_groups.get(*id))
            .flat_map(|group| &group.rules);
        let mut open = Vec::new();
        for rule in rules {
            if let IngressSource::Cidr(cidr) = &rule.source {
                let meant = protocols.into_iter().filter(|protocol| {
                    matches!(&*rule.protocol, "all") || rule.protocol == **protocol
                });
                open.extend(meant.map(|protocol| {
                    (
                        protocol,
                        rule.ports.unwrap_or(ALL_PORTS),
                        vec![cidr.clone()],
                    )
                }));
            }
        }
        open
    }
}

/// The way from a public address to a machine.
struct Way {
    public: Ipv4Addr,
    network: Uuid,
    guest: Ipv4Addr,
    /// A public port, and the machine's port that it is.
    shift: (u16, u16),
}

impl Way {
    fn to_nic(public: Ipv4Addr, nic: &Nic) -> Self {
        Self {
            public,
            network: nic.network,
            guest: nic.address,
            shift: (0, 0),
        }
    }

    fn route(&self, protocol: &str, ports: Ports, sources: &[String]) -> Option<Route> {
        let (public, private) = self.shift;
        Some(Route {
            public: self.public,
            protocol: match protocol {
                "tcp" => Protocol::Tcp,
                "udp" => Protocol::Udp,
                _ => return None,
            },
            first: ports.start,
            last: ports.end,
            network: self.network.to_string(),
            guest: self.guest,
            guest_first: ports.start.checked_sub(public)?.checked_add(private)?,
            sources: sources.to_vec(),
        })
    }
}
