//! What an account has made, to compare before and after.

use std::fmt;

use serde::Serialize;

use crate::config::NetworkKind;
use crate::world::{AddressState, IngressSource, Ports, World};

/// What an account has made in the cloud and not removed again, on its own and in projects that it is in; or what was made
/// in a project.
///
/// What there was from the start is not in it, and neither is a network's source-NAT address, which CloudStack takes
/// and keeps by itself. Two inventories are equal if the account has the same things in the same state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Inventory {
    /// Machines that are not expunged, destroyed ones among them.
    pub machines: Vec<MachineItem>,
    /// The names of key pairs.
    pub key_pairs: Vec<String>,
    /// Port forwarding rules.
    pub port_forwards: Vec<RuleItem>,
    /// Firewall rules, those that came with a forwarding rule among them.
    pub firewall_rules: Vec<RuleItem>,
    /// Public addresses that were taken, for networks or VPCs.
    pub addresses: Vec<String>,
    /// Static NATs.
    pub static_nats: Vec<String>,
    /// Security groups, with their rules; `default` only if it has some.
    pub security_groups: Vec<String>,
    /// Tags.
    pub tags: Vec<String>,
    /// Volumes.
    pub volumes: Vec<String>,
    /// Networks that were made.
    pub networks: Vec<String>,
}

/// A machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct MachineItem {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its state, such as `Running`.
    pub state: String,
    /// Its addresses.
    pub addresses: Vec<String>,
    /// The names of its key pairs.
    pub key_pairs: Vec<String>,
    /// The names of its affinity groups.
    pub affinity_groups: Vec<String>,
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RuleItem {
    /// Its id.
    pub id: String,
    /// What it does, such as `192.0.2.1:22 → web-1 10.1.1.10:22/tcp`.
    pub rule: String,
    /// Its state, such as `Active`.
    pub state: String,
}

impl Inventory {
    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// That of the account or the project of that name, if there is one.
    pub(crate) fn of(world: &World, name: &str) -> Option<Self> {
        let account = world.accounts.iter().find(|row| row.name == name);
        let project = world.projects.iter().find(|row| row.name == name);
        if account.is_none() && project.is_none() {
            return None;
        }
        let belongs = |owner| match (account, project) {
            (Some(account), _) => world.may_use(account.id, owner),
            (None, project) => project.is_some_and(|project| project.id == owner),
        };
        let machine_name = |id| world.machines.get(id).map_or("?", |machine| &machine.name);
        let address = |id| {
            world
                .addresses
                .get(id)
                .map_or_else(String::new, |address| address.address.to_string())
        };

        let machines = world
            .machines
            .iter()
            .filter(|row| belongs(row.owner))
            .map(|machine| MachineItem {
                id: machine.id.to_string(),
                name: machine.name.clone(),
                state: machine.state.name().to_owned(),
                addresses: machine
                    .nics
                    .iter()
                    .map(|nic| nic.address.to_string())
                    .collect(),
                key_pairs: machine.key_pairs.clone(),
                affinity_groups: machine
                    .affinity_groups
                    .iter()
                    .filter_map(|id| world.affinity_groups.get(*id))
                    .map(|group| group.name.clone())
                    .collect(),
            });
        let port_forwards = world
            .forwards
            .iter()
            .filter(|row| belongs(row.owner))
            .map(|rule| RuleItem {
                id: rule.id.to_string(),
                rule: format!(
                    "{}:{} → {} {}:{}/{}",
                    address(rule.public),
                    ports(rule.public_ports),
                    machine_name(rule.machine),
                    rule.guest_address,
                    ports(rule.private_ports),
                    rule.protocol
                ),
                state: rule.state.name().to_owned(),
            });
        let firewall_rules = world
            .firewall
            .iter()
            .filter(|row| belongs(row.owner))
            .map(|rule| RuleItem {
                id: rule.id.to_string(),
                rule: format!(
                    "{} → {}:{}/{}",
                    rule.cidrs.join(","),
                    address(rule.public),
                    rule.ports.map_or_else(|| "*".to_owned(), ports),
                    rule.protocol
                ),
                state: rule.state.name().to_owned(),
            });
        let taken = world
            .addresses
            .iter()
            .filter(|row| row.owner.is_some_and(belongs) && row.state != AddressState::Free);
        let static_nats = taken.clone().filter_map(|row| {
            row.static_nat
                .map(|machine| format!("{} → {}", row.address, machine_name(machine)))
        });
        let groups = world
            .security_groups
            .iter()
            .filter(|row| belongs(row.owner));
        let groups = groups.filter(|row| !row.default || !row.rules.is_empty());
        let security_groups = groups.map(|group| {
            let rules = group.rules.iter().map(|rule| {
                let source = match &rule.source {
                    IngressSource::Cidr(cidr) => cidr.clone(),
                    IngressSource::Group { account, group } => format!("{account}/{group}"),
                };
                format!(
                    "{source} → {}/{}",
                    rule.ports.map_or_else(|| "*".to_owned(), ports),
                    rule.protocol
                )
            });
            format!("{} [{}]", group.name, rules.collect::<Vec<_>>().join(", "))
        });
        let tags = world.tags.iter().filter(|row| belongs(row.owner));
        let volumes = world
            .volumes
            .iter()
            .filter(|row| belongs(row.owner))
            .map(|volume| {
                let place = volume.machine.map_or("detached", machine_name);
                format!(
                    "{} {} {} GiB ({place})",
                    volume.name,
                    volume.kind.name(),
                    volume.size_gib
                )
            });
        let networks = world
            .networks
            .iter()
            .filter(|row| row.by_account && row.owner.is_some_and(belongs));
        Some(Self {
            machines: machines.collect(),
            key_pairs: world
                .key_pairs
                .iter()
                .filter(|row| belongs(row.owner))
                .map(|row| row.name.clone())
                .collect(),
            port_forwards: port_forwards.collect(),
            firewall_rules: firewall_rules.collect(),
            addresses: taken
                .clone()
                .filter(|row| !row.source_nat)
                .map(|row| row.address.to_string())
                .collect(),
            static_nats: static_nats.collect(),
            security_groups: security_groups.collect(),
            tags: tags
                .map(|tag| format!("{} {} {}={}", tag.kind, tag.resource, tag.key, tag.value))
                .collect(),
            volumes: volumes.collect(),
            networks: networks
                .map(|network| match network.kind {
                    NetworkKind::Isolated => {
                        format!("{} {} (isolated)", network.name, network.cidr)
                    }
                    NetworkKind::Shared => format!("{} {} (shared)", network.name, network.cidr),
                })
                .collect(),
        })
    }
}

fn ports(ports: Ports) -> String {
    if ports.start == ports.end {
        ports.start.to_string()
    } else {
        format!("{}-{}", ports.start, ports.end)
    }
}

impl fmt::Display for MachineItem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} {} {}",
            self.name,
            self.state,
            self.addresses.join(",")
        )?;
        let of = [
            ("key pair", &self.key_pairs),
            ("affinity group", &self.affinity_groups),
        ];
        let mut of = of.into_iter().filter(|(_, names)| !names.is_empty());
        of.try_for_each(|(kind, names)| write!(formatter, " ({kind} {})", names.join(",")))
    }
}

impl fmt::Display for RuleItem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.rule, self.state)
    }
}

/// One line for each thing.
impl fmt::Display for Inventory {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn lines<T: fmt::Display>(
            formatter: &mut fmt::Formatter<'_>,
            kind: &str,
            items: &[T],
        ) -> fmt::Result {
            items
                .iter()
                .try_for_each(|item| writeln!(formatter, "{kind:<14} {item}"))
        }
        if self.is_empty() {
            return writeln!(formatter, "nothing");
        }
        lines(formatter, "machine", &self.machines)?;
        lines(formatter, "key pair", &self.key_pairs)?;
        lines(formatter, "port forward", &self.port_forwards)?;
        lines(formatter, "firewall rule", &self.firewall_rules)?;
        lines(formatter, "address", &self.addresses)?;
        lines(formatter, "static NAT", &self.static_nats)?;
        lines(formatter, "security group", &self.security_groups)?;
        lines(formatter, "tag", &self.tags)?;
        lines(formatter, "volume", &self.volumes)?;
        lines(formatter, "network", &self.networks)
    }
}
