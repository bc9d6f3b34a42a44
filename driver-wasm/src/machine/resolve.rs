//! From names or ids, as the user gives them, to ids.

use super::{cloud_of, network};
use crate::cloudstack::{
    Cloud, DiskOffering, Item, Network, NetworkOffering, PublicIpAddress, ServiceOffering,
    SshKeyPair, Template, Zone,
};
use crate::contract::types::{Error, ErrorKind, Machine};
use crate::failure;
use crate::host::Host;
use crate::options::{
    self, ADDRESS, AFFINITY_GROUP, AddressMode, CIDR, CPU, CPU_SPEED, DISK_OFFERING, DISK_SIZE,
    KEY_PAIR, MEMORY, NETWORK, NETWORK_OFFERING, NetworkIndex, PROJECT, PUBLIC_IP, SECURITY_GROUP,
    SERVICE_OFFERING, Settings, TEMPLATE, Values, ZONE,
};
use crate::text;

/// The most items that an error lists.
const MAX_LISTED: usize = 20;

/// The network offering that CloudStack itself takes for an account's first network.
const DEFAULT_NETWORK_OFFERING: &str = "DefaultIsolatedNetworkOfferingWithSourceNatService";

/// What a machine is made from.
#[derive(Debug)]
pub(super) struct Choice {
    pub(super) project_id: Option<String>,
    pub(super) zone: Zone,
    pub(super) template: Template,
    pub(super) service_offering: ServiceOffering,
    pub(super) disk_offering: Option<DiskOffering>,
    pub(super) networks: Networks,
    pub(super) public_address: Option<PublicIpAddress>,
    pub(super) affinity_groups: Vec<Item>,
    pub(super) security_groups: Vec<Item>,
}

/// The networks of a machine.
#[derive(Debug)]
pub(super) enum Networks {
    /// The zone's own: it is of the type `Basic`.
    OfZone,
    /// These, and the number of the one by which the machine is reached.
    These(Vec<Network>, usize),
    /// One that has to be made.
    New(NetworkOffering),
}

impl Networks {
    /// The one by which the machine is reached.
    pub(super) fn main(&self) -> Option<&Network> {
        match self {
            Self::These(networks, main) => networks.get(*main),
            Self::OfZone | Self::New(_) => None,
        }
    }

    /// Their ids.
    pub(super) fn ids(&self) -> Vec<&str> {
        match self {
            Self::These(networks, _) => {
                networks.iter().map(|network| network.id.as_str()).collect()
            }
            Self::OfZone | Self::New(_) => Vec::new(),
        }
    }
}

/// Looks up what the options name, in the cloud as the machine's project sees it.
pub(super) fn choice<'h>(
    host: &'h dyn Host,
    machine: &Machine,
    settings: &Settings,
) -> Result<(Cloud<'h>, Choice), Error> {
    let project_id = project(host, &machine.options)?;
    let cloud = cloud_of(host, &machine.options, project_id.as_deref());

    let zone = select(&ZONES, &settings.zone, cloud.zones()?)?;
    let templates = cloud.templates(&zone.id)?;
    let template = select(&TEMPLATES, &settings.template, templates)?;
    let offerings = cloud.service_offerings(&zone.id)?;
    let service_offering = select(&SERVICE_OFFERINGS, &settings.service_offering, offerings)?;
    check_size(&service_offering, settings)?;
    let disk_offering = match &settings.disk_offering {
        None => None,
        Some(wanted) => {
            let offering = select(&DISK_OFFERINGS, wanted, cloud.disk_offerings(&zone.id)?)?;
            check_disk_size(&offering, settings)?;
            Some(offering)
        }
    };
    let networks = networks(&cloud, &zone, settings)?;
    check_ranges(&zone, &networks, settings)?;
    let public_address = public_address(&cloud, &zone, &networks, settings)?;
    let affinity_groups = several(&AFFINITY_GROUPS, &settings.affinity_groups, || {
        cloud.affinity_groups()
    })?;
    if !zone.securitygroupsenabled && !settings.security_groups.is_empty() {
        return Err(failure::error(
            ErrorKind::InvalidOption,
            format!(
                "--{SECURITY_GROUP}: the zone \"{}\" has no security groups",
                text::name(&zone.name)
            ),
        ));
    }
    let security_groups = several(&SECURITY_GROUPS, &settings.security_groups, || {
        cloud.security_groups()
    })?;
    check_key_pairs(&cloud, settings)?;
    let choice = Choice {
        project_id,
        zone,
        template,
        service_offering,
        disk_offering,
        networks,
        public_address,
        affinity_groups,
        security_groups,
    };
    Ok((cloud, choice))
}

/// The id of the project that the options name.
pub(super) fn project(host: &dyn Host, options: &Values) -> Result<Option<String>, Error> {
    let Some(project) = options::project(options) else {
        return Ok(None);
    };
    let projects = cloud_of(host, options, None).projects()?;
    Ok(Some(select(&PROJECTS, &project, projects)?.id))
}

/// The zone that the options name, or else the only one that there is.
pub(super) fn zone(cloud: &Cloud<'_>, options: &Values) -> Result<Zone, Error> {
    let mut zones = cloud.zones()?;
    match (options::zone(options), zones.len()) {
        (Some(wanted), _) => select(&ZONES, &wanted, zones),
        (None, 1) => Ok(zones.swap_remove(0)),
        (None, _) => Err(failure::hinted(
            ErrorKind::InvalidOption,
            format!(
                "What there is depends on the zone, and none is named{}",
                listed(&named(&zones))
            ),
            format!("Name one with --{ZONE}"),
        )),
    }
}

fn check_size(offering: &ServiceOffering, settings: &Settings) -> Result<(), Error> {
    let name = text::name(&offering.name);
    let given = [
        (CPU, settings.cpu),
        (MEMORY, settings.memory),
        (CPU_SPEED, settings.cpu_speed),
    ];
    if !offering.iscustomized {
        return match given.iter().find(|(_, value)| value.is_some()) {
            Some((option, _)) => Err(failure::error(
                ErrorKind::InvalidOption,
                format!("--{option}: the service offering \"{name}\" has a fixed size"),
            )),
            None => Ok(()),
        };
    }
    // Offerings may leave the speed open too.
    let is_missing = |(option, value): &&(&str, Option<i64>)| {
        value.is_none() && (*option != CPU_SPEED || offering.cpuspeed.is_none())
    };
    let missing: Vec<_> = given
        .iter()
        .filter(is_missing)
        .map(|(option, _)| format!("--{option}"))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(failure::hinted(
        ErrorKind::InvalidOption,
        format!(
            "The service offering \"{name}\" leaves its size open: it needs {}",
            text::enumerate(&missing)
        ),
        format!("Or take a service offering of a fixed size with --{SERVICE_OFFERING}"),
    ))
}

fn check_disk_size(offering: &DiskOffering, settings: &Settings) -> Result<(), Error> {
    let name = text::name(&offering.name);
    let message = match (offering.iscustomized, settings.disk_size) {
        (true, None) => {
            format!("The disk offering \"{name}\" leaves its size open: it needs --{DISK_SIZE}")
        }
        (false, Some(_)) => {
            format!("--{DISK_SIZE}: the disk offering \"{name}\" has a fixed size")
        }
        _ => return Ok(()),
    };
    Err(failure::error(ErrorKind::InvalidOption, message))
}

/// Older versions ignore the list of key pairs, and would make a machine that lets nobody in.
fn check_key_pairs(cloud: &Cloud<'_>, settings: &Settings) -> Result<(), Error> {
    if settings.key_pairs.is_empty() {
        return Ok(());
    }
    let capabilities = cloud.capabilities()?;
    if capabilities.is_at_least(4, 17) {
        let found = several(&KEY_PAIRS, &settings.key_pairs, || cloud.ssh_key_pairs())?;
        // Unlike other things, a key pair is known by its very name only.
        let wrong = settings.key_pairs.iter().zip(&found);
        return match wrong
            .into_iter()
            .find(|(wanted, found)| **wanted != found.name)
        {
            Some((wanted, found)) => Err(unknown(&KEY_PAIRS, wanted, &[found])),
            None => Ok(()),
        };
    }
    Err(failure::error(
        ErrorKind::Unsupported,
        format!(
            "--{KEY_PAIR}: several key pairs need CloudStack 4.17, and this is {}",
            text::name(&capabilities.cloudstackversion)
        ),
    ))
}

fn networks(cloud: &Cloud<'_>, zone: &Zone, settings: &Settings) -> Result<Networks, Error> {
    if zone.is_basic() {
        let forced = match settings.address {
            AddressMode::PortForward | AddressMode::StaticNat => Some(ADDRESS),
            _ if !settings.networks.is_empty() => Some(NETWORK),
            _ if settings.public_ip.is_some() => Some(PUBLIC_IP),
            _ => None,
        };
        return match forced {
            None => Ok(Networks::OfZone),
            Some(option) => Err(failure::error(
                ErrorKind::InvalidOption,
                format!(
                    "--{option}: in the zone \"{}\", of the type Basic, machines are reached at their own addresses in \
                     the zone's network",
                    text::name(&zone.name)
                ),
            )),
        };
    }
    let networks = cloud.networks(&zone.id)?;
    if !settings.networks.is_empty() {
        let mut chosen = Vec::new();
        for wanted in &settings.networks {
            chosen.push(select(&NETWORKS, wanted, networks.clone())?);
        }
        return reachable(chosen, settings);
    }
    if networks.is_empty() {
        return Ok(Networks::New(network_offering(cloud, zone, settings)?));
    }
    // As CloudStack does: the account's isolated network comes before those that it shares.
    let is_own =
        |network: &Network| !network.is_shared() && !network.is_l2() && !network.is_vpc_tier();
    let (mut own, mut others): (Vec<_>, Vec<_>) = networks.into_iter().partition(is_own);
    match (own.len(), others.len()) {
        (1, _) => reachable(own, settings),
        (0, 1) => reachable(others, settings),
        _ => {
            own.append(&mut others);
            Err(failure::hinted(
                ErrorKind::InvalidOption,
                format!(
                    "The zone \"{}\" has {} networks, and none is named{}",
                    text::name(&zone.name),
                    own.len(),
                    listed(&named(&own))
                ),
                format!("Name one with --{NETWORK}"),
            ))
        }
    }
}

/// The networks, if a machine can be reached by the first one, or by the one that is named for that.
fn reachable(networks: Vec<Network>, settings: &Settings) -> Result<Networks, Error> {
    let main = settings.network_index.map_or(0, |index| index.index);
    match (networks.get(main), settings.network_index) {
        (None, Some(NetworkIndex { option, index })) => Err(failure::error(
            ErrorKind::InvalidOption,
            format!(
                "--{option}: there is no network of the number {index}; the machine's are numbered from 0 to {}",
                networks.len().saturating_sub(1)
            ),
        )),
        (Some(network), _) if network.is_l2() => Err(failure::hinted(
            ErrorKind::Unsupported,
            format!(
                "The network \"{}\" gives its machines no address",
                text::name(&network.name)
            ),
            format!("Name an isolated or a shared network first with --{NETWORK}"),
        )),
        _ => Ok(Networks::These(networks, main)),
    }
}

/// CloudStack guards a machine at its own address by security groups alone: without them everybody would be let in.
fn check_ranges(zone: &Zone, networks: &Networks, settings: &Settings) -> Result<(), Error> {
    let is_direct = match networks {
        Networks::New(_) => settings.address == AddressMode::Private,
        _ => network::is_direct(settings, networks.main()),
    };
    if settings.cidrs.is_empty() || !is_direct || zone.securitygroupsenabled {
        return Ok(());
    }
    Err(failure::hinted(
        ErrorKind::Unsupported,
        format!(
            "--{CIDR}: the machine is reached at its own address, where the zone \"{}\" has nothing that keeps others out",
            text::name(&zone.name)
        ),
        format!(
            "Leave --{CIDR} out and guard the machine itself, or reach it in another way with --{ADDRESS}"
        ),
    ))
}

/// Whether a network for machines can be made from an offering.
pub(super) fn is_usable(offering: &NetworkOffering) -> bool {
    !offering.forvpc && offering.has_source_nat()
}

fn network_offering(
    cloud: &Cloud<'_>,
    zone: &Zone,
    settings: &Settings,
) -> Result<NetworkOffering, Error> {
    let mut offerings = cloud.network_offerings(&zone.id)?;
    offerings.retain(is_usable);
    if let Some(wanted) = &settings.network_offering {
        return select(&NETWORK_OFFERINGS, wanted, offerings);
    }
    // The one that CloudStack would take by itself, or else its own, or else the only one.
    let rules: [&dyn Fn(&NetworkOffering) -> bool; 3] = [
        &|offering| offering.availability.eq_ignore_ascii_case("Required"),
        &|offering| offering.name == DEFAULT_NETWORK_OFFERING,
        &|_| offerings.len() == 1,
    ];
    let found = rules
        .into_iter()
        .find_map(|rule| offerings.iter().find(|offering| rule(offering)));
    found.cloned().ok_or_else(|| {
        failure::hinted(
            ErrorKind::InvalidOption,
            format!(
                "The zone \"{}\" has no network, and it is not clear from which offering to make one{}",
                text::name(&zone.name),
                listed(&named(&offerings))
            ),
            format!("Name one with --{NETWORK_OFFERING}, or make a network and name it with --{NETWORK}"),
        )
    })
}

fn public_address(
    cloud: &Cloud<'_>,
    zone: &Zone,
    networks: &Networks,
    settings: &Settings,
) -> Result<Option<PublicIpAddress>, Error> {
    let Some(wanted) = &settings.public_ip else {
        return Ok(None);
    };
    let addresses = cloud.public_ip_addresses_in_zone(&zone.id)?;
    let address = select(&PUBLIC_ADDRESSES, wanted, addresses)?;
    let is_elsewhere = !address.associatednetworkid.is_empty()
        && networks
            .main()
            .is_none_or(|network| network.id != address.associatednetworkid);
    let reason = if is_elsewhere {
        "belongs to another network"
    } else if address.isstaticnat {
        "leads to a machine already"
    } else if address.issourcenat && settings.address.behind_nat() == AddressMode::StaticNat {
        "is the one by which its network reaches the outside, and cannot be a machine's own"
    } else if address.issourcenat && networks.main().is_some_and(Network::is_vpc_tier) {
        "is the one by which its VPC reaches the outside, and cannot be used in a tier"
    } else {
        return Ok(Some(address));
    };
    Err(failure::error(
        ErrorKind::InvalidOption,
        format!("--{PUBLIC_IP}: {} {reason}", text::name(&address.ipaddress)),
    ))
}

/// The items of those names or ids; nothing is looked up for none.
fn several<T: Named + Clone>(
    kind: &Kind,
    wanted: &[String],
    items: impl FnOnce() -> Result<Vec<T>, crate::cloudstack::Error>,
) -> Result<Vec<T>, Error> {
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let items = items()?;
    wanted
        .iter()
        .map(|wanted| select(kind, wanted, items.clone()))
        .collect()
}

/// The words for a kind of things.
struct Kind {
    one: &'static str,
    many: &'static str,
    option: &'static str,
}

const ZONES: Kind = Kind {
    one: "zone",
    many: "zones",
    option: ZONE,
};
const TEMPLATES: Kind = Kind {
    one: "template",
    many: "templates",
    option: TEMPLATE,
};
const SERVICE_OFFERINGS: Kind = Kind {
    one: "service offering",
    many: "service offerings",
    option: SERVICE_OFFERING,
};
const PROJECTS: Kind = Kind {
    one: "project",
    many: "projects",
    option: PROJECT,
};
const DISK_OFFERINGS: Kind = Kind {
    one: "disk offering",
    many: "disk offerings",
    option: DISK_OFFERING,
};
const NETWORKS: Kind = Kind {
    one: "network",
    many: "networks",
    option: NETWORK,
};
const NETWORK_OFFERINGS: Kind = Kind {
    one: "network offering",
    many: "network offerings",
    option: NETWORK_OFFERING,
};
const PUBLIC_ADDRESSES: Kind = Kind {
    one: "public address",
    many: "public addresses",
    option: PUBLIC_IP,
};
const KEY_PAIRS: Kind = Kind {
    one: "SSH key pair",
    many: "SSH key pairs",
    option: KEY_PAIR,
};
const AFFINITY_GROUPS: Kind = Kind {
    one: "affinity group",
    many: "affinity groups",
    option: AFFINITY_GROUP,
};
const SECURITY_GROUPS: Kind = Kind {
    one: "security group",
    many: "security groups",
    option: SECURITY_GROUP,
};

/// A thing with an id and a name.
trait Named {
    fn id(&self) -> &str;
    fn name(&self) -> &str;
}

macro_rules! impl_named {
    ($($type:ty),*) => {
        $(impl Named for $type {
            fn id(&self) -> &str {
                &self.id
            }
            fn name(&self) -> &str {
                &self.name
            }
        })*
    };
}
impl_named!(
    Zone,
    Template,
    ServiceOffering,
    DiskOffering,
    Network,
    NetworkOffering,
    Item
);

impl Named for SshKeyPair {
    fn id(&self) -> &str {
        &self.name
    }
    fn name(&self) -> &str {
        &self.name
    }
}

impl Named for PublicIpAddress {
    fn id(&self) -> &str {
        &self.id
    }
    fn name(&self) -> &str {
        &self.ipaddress
    }
}

/// The item with that id; or else the only one with that name, or else with that name whatever its case.
fn select<T: Named>(kind: &Kind, wanted: &str, mut items: Vec<T>) -> Result<T, Error> {
    let index = position(kind, wanted, &named(&items))?;
    Ok(items.swap_remove(index))
}

/// Items of any type.
fn named<T: Named>(items: &[T]) -> Vec<&dyn Named> {
    items.iter().map(|item| item as &dyn Named).collect()
}

/// Whether an item is meant.
type Rule<'r> = &'r dyn Fn(&dyn Named) -> bool;

/// Where [`select`]'s item is.
fn position(kind: &Kind, wanted: &str, items: &[&dyn Named]) -> Result<usize, Error> {
    let lower = lower_case(wanted);
    let rules: [Rule<'_>; 3] = [
        &|item| item.id() == wanted,
        &|item| item.name() == wanted,
        &|item| lower_case(item.name()) == lower,
    ];
    for is_match in rules {
        let Some(index) = items.iter().position(|item| is_match(*item)) else {
            continue;
        };
        let found: Vec<_> = items
            .iter()
            .copied()
            .filter(|item| is_match(*item))
            .collect();
        // A template that is in several zones may be listed for each.
        return match distinct(&found).len() {
            1 => Ok(index),
            _ => Err(ambiguous(kind, wanted, &found)),
        };
    }
    Err(unknown(kind, wanted, items))
}

fn ambiguous(kind: &Kind, wanted: &str, items: &[&dyn Named]) -> Error {
    failure::hinted(
        ErrorKind::InvalidOption,
        format!(
            "There are {} {} called \"{}\"{}",
            distinct(items).len(),
            kind.many,
            text::name(wanted),
            listed(items)
        ),
        format!("Give the id of one of them with --{}", kind.option),
    )
}

fn unknown(kind: &Kind, wanted: &str, items: &[&dyn Named]) -> Error {
    let hint = if items.is_empty() {
        format!("This account sees no {}", kind.one)
    } else {
        format!("Give the name or id of one of these with --{}", kind.option)
    };
    failure::hinted(
        ErrorKind::InvalidOption,
        format!(
            "No {} is called \"{}\"{}",
            kind.one,
            text::name(wanted),
            listed(items)
        ),
        hint,
    )
}

/// What the items are called, in small letters and as they are, and their ids: sorted, and each only once.
fn distinct<'i>(items: &[&'i dyn Named]) -> Vec<(String, &'i str, &'i str)> {
    let mut names: Vec<_> = items
        .iter()
        .map(|item| (lower_case(item.name()), item.name(), item.id()))
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// The items as further lines, sorted by name.
fn listed(items: &[&dyn Named]) -> String {
    let names = distinct(items);
    let mut lines = String::new();
    for (_, name, id) in names.iter().take(MAX_LISTED) {
        lines.push_str(&format!("\n  {}", text::name(name)));
        if id != name {
            lines.push_str(&format!(" ({})", text::name(id)));
        }
    }
    if let Some(more) = names.len().checked_sub(MAX_LISTED).filter(|more| *more > 0) {
        lines.push_str(&format!("\n  … and {more} more"));
    }
    lines
}

/// Letter by letter: `str::to_lowercase` writes a sigma in two ways, and adds 6 KB to the component.
fn lower_case(name: &str) -> String {
    name.chars().flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn templates(rows: &[(&str, &str)]) -> Vec<Template> {
        rows.iter()
            .map(|(id, name)| Template {
                id: (*id).to_owned(),
                name: (*name).to_owned(),
            })
            .collect()
    }

    fn select_id(wanted: &str, rows: &[(&str, &str)]) -> Result<String, Error> {
        select(&TEMPLATES, wanted, templates(rows)).map(|template| template.id)
    }

    #[test]
    fn id_then_name_then_name_in_any_case() {
        let rows = [
            ("1", "Ubuntu"),
            ("2", "ubuntu"),
            ("3", "Debian"),
            ("Ubuntu", "x"),
            ("3", "Debian"),
        ];
        assert_eq!(select_id("1", &rows).unwrap(), "1");
        assert_eq!(select_id("Ubuntu", &rows).unwrap(), "Ubuntu");
        assert_eq!(select_id("ubuntu", &rows).unwrap(), "2");
        assert_eq!(select_id("DEBIAN", &rows).unwrap(), "3");
        assert_eq!(select_id("Ubuntu", &rows[..3]).unwrap(), "1");
    }

    #[test]
    fn equal_names_are_listed_with_their_ids() {
        for wanted in ["Ubuntu", "UBUNTU"] {
            let error =
                select_id(wanted, &[("b", "Ubuntu"), ("a", "Ubuntu"), ("c", "x")]).unwrap_err();
            assert_eq!(
                error.message,
                format!("There are 2 templates called \"{wanted}\"\n  Ubuntu (a)\n  Ubuntu (b)")
            );
            assert_eq!(error.kind, ErrorKind::InvalidOption);
            assert!(error.hint.unwrap().contains(&format!("--{TEMPLATE}")));
        }
    }

    #[test]
    fn an_unknown_name_is_answered_with_what_there_is() {
        let error = select_id(
            "x\u{7}",
            &[("2", "debian"), ("1", "Ubuntu\n14"), ("3", "CentOS")],
        )
        .unwrap_err();
        assert_eq!(
            error.message,
            "No template is called \"x\"\n  CentOS (3)\n  debian (2)\n  Ubuntu 14 (1)"
        );
        assert!(error.hint.unwrap().contains("name or id"));

        let many: Vec<_> = (0..25).map(|i| i.to_string()).collect();
        let rows: Vec<_> = many.iter().map(|i| (i.as_str(), i.as_str())).collect();
        let error = select_id("x", &rows).unwrap_err();
        assert_eq!(error.message.lines().count(), 22);
        assert!(error.message.ends_with("\n  … and 5 more"));

        let error = select_id("x", &[]).unwrap_err();
        assert_eq!(error.message, "No template is called \"x\"");
        assert_eq!(error.hint.unwrap(), "This account sees no template");
    }
}
