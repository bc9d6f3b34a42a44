//! `deployVirtualMachine`.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use uuid::Uuid;

use super::{check_limit, instance};
use crate::commands::{Call, affinity_groups};
use crate::config::{NetworkKind, ZoneKind};
use crate::error::ApiError;
use crate::jobs::Work;
use crate::world::{Machine, MachineState, Nic, Size, Volume, VolumeKind};

/// The most user data that comes by GET and by POST, before it is encoded.
const USER_DATA_GET: usize = 2 << 10;
const USER_DATA_POST: usize = 32 << 10;

/// The largest disk, in GiB (`custom.diskoffering.size.max`).
const MAX_DISK: u64 = 1024;

pub(crate) fn deploy(call: &mut Call<'_>) -> Result<Value, ApiError> {
    let zone = call.present(&call.world.zones, "zoneid")?;
    let offering = call.present(&call.world.service_offerings, "serviceofferingid")?;
    let template = usable_template(call, zone)?;
    let details = call.params.fields("details");
    let size = size_of(call, offering, &details)?;
    let disk = data_disk(call)?;
    let user_data = user_data(call)?;
    let key_pairs = key_pairs(call)?;
    let basic = call
        .world
        .zones
        .get(zone)
        .is_some_and(|zone| zone.kind == ZoneKind::Basic);
    let networks = networks(call, zone, basic)?;
    let security_groups = security_groups(call, basic)?;
    let affinity_groups = affinity_groups::of_new_machine(call)?;
    let id = Uuid::new_v4();
    let name = match call.params.filled("name") {
        Some(name) => {
            check_name(name)?;
            name.to_owned()
        }
        None => format!("VM-{id}"),
    };
    for (network, _) in &networks {
        refuse_taken_name(call, &name, *network)?;
    }
    check_limit(call, call.owner)?;
    let hypervisor = call.params.filled("hypervisor");
    if hypervisor.is_some_and(|hypervisor| !hypervisor.eq_ignore_ascii_case("KVM")) {
        return Err(ApiError::invalid(
            "Hypervisor passed to the deployVm call, is different from the hypervisor type of \
            the template",
        ));
    }

    let mut nics: Vec<Nic> = Vec::new();
    for (network, address) in networks {
        if nics.iter().any(|nic| nic.network == network) {
            return Err(ApiError::invalid(format!(
                "The network {network} is given more than once"
            )));
        }
        let nic = call.world.make_nic(network, address, nics.is_empty())?;
        nics.push(nic);
    }
    let root_gib = root_size(call, template)?;
    call.world.machines.insert(Machine {
        id,
        owner: call.owner,
        display_name: call
            .params
            .filled("displayname")
            .unwrap_or(&name)
            .to_owned(),
        name,
        group: call.params.filled("group").map(str::to_owned),
        zone,
        template,
        offering,
        size,
        state: MachineState::Stopped,
        nics,
        key_pairs,
        security_groups,
        affinity_groups,
        details,
        user_data,
        created: call.now,
        expunge_at: None,
    });
    let serial = call.world.next_serial();
    let mut add_volume = |kind, offering, size_gib| {
        call.world.volumes.insert(Volume {
            id: Uuid::new_v4(),
            owner: call.owner,
            name: match kind {
                VolumeKind::Root => format!("ROOT-{serial}"),
                VolumeKind::Data => format!("DATA-{serial}"),
            },
            zone,
            kind,
            machine: Some(id),
            offering,
            size_gib,
            created: call.now,
        })
    };
    add_volume(VolumeKind::Root, None, root_gib);
    if let Some((offering, size_gib)) = disk {
        add_volume(VolumeKind::Data, Some(offering), size_gib);
    }
    let start = call.params.flag("startvm").unwrap_or(true);
    Ok(call.start_creation(Work::Deploy { machine: id, start }, instance(id)))
}

fn usable_template(call: &Call<'_>, zone: Uuid) -> Result<Uuid, ApiError> {
    let id = call.present(&call.world.templates, "templateid")?;
    match call.world.templates.get(id) {
        Some(template) if !template.usable_by(call.owner) => Err(call.denied(template.owner)),
        Some(template) if template.zones.contains(&zone) => Ok(id),
        _ => Err(ApiError::invalid(format!(
            "The template {id} is not available for use in zone {zone}"
        ))),
    }
}

fn size_of(
    call: &Call<'_>,
    offering: Uuid,
    details: &BTreeMap<String, String>,
) -> Result<Size, ApiError> {
    let fixed = call
        .world
        .service_offerings
        .get(offering)
        .and_then(|offering| offering.size);
    let detail = |name: &str| {
        let value = details.get(name).ok_or_else(|| {
            ApiError::invalid(format!(
                "Need to specify custom parameter values cpu, cpu speed and memory: {name} is \
                missing"
            ))
        })?;
        let number = value.parse().ok().filter(|number| *number > 0);
        number.ok_or_else(|| ApiError::invalid(format!("Invalid value {value} of {name}")))
    };
    match fixed {
        Some(size) => Ok(size),
        None => Ok(Size {
            cpus: detail("cpunumber")?,
            mhz: detail("cpuspeed")?,
            memory_mib: detail("memory")?,
        }),
    }
}

/// The offering and the size of the data disk that is asked for.
fn data_disk(call: &Call<'_>) -> Result<Option<(Uuid, u64)>, ApiError> {
    let size = match call.params.number("size") {
        None => None,
        Some(size) => match u64::try_from(size) {
            Ok(size) if (1..=MAX_DISK).contains(&size) => Some(size),
            _ => {
                return Err(ApiError::invalid(
                    "VM Creation failed. Volume size: has to be between 1 and 1024 GB",
                ));
            }
        },
    };
    if call.params.text("diskofferingid").is_none() {
        return match size {
            None => Ok(None),
            Some(_) => Err(ApiError::invalid(
                "size is for a disk offering of custom size, and none is given",
            )),
        };
    }
    let offering = call.present(&call.world.disk_offerings, "diskofferingid")?;
    let fixed = call
        .world
        .disk_offerings
        .get(offering)
        .and_then(|offering| offering.size_gib);
    match (fixed, size) {
        (Some(fixed), None) => Ok(Some((offering, fixed))),
        (None, Some(size)) => Ok(Some((offering, size))),
        (Some(_), Some(_)) => Err(ApiError::invalid(
            "This disk offering does not allow custom size",
        )),
        (None, None) => Err(ApiError::invalid(
            "This disk offering requires a custom size specified",
        )),
    }
}

fn root_size(call: &Call<'_>, template: Uuid) -> Result<u64, ApiError> {
    let smallest = call
        .world
        .templates
        .get(template)
        .map_or(0, |template| template.size_gib);
    match call.params.number("rootdisksize") {
        None => Ok(smallest),
        Some(wanted) => match u64::try_from(wanted) {
            Ok(wanted) if (smallest..=MAX_DISK.max(smallest)).contains(&wanted) => Ok(wanted),
            _ => Err(ApiError::invalid(format!(
                "Unsupported: rootdisksize override ({wanted} GB) has to be from the template size of {smallest} GB to {MAX_DISK} GB"
            ))),
        },
    }
}

fn user_data(call: &Call<'_>) -> Result<Option<String>, ApiError> {
    let Some(text) = call.params.text("userdata") else {
        return Ok(None);
    };
    let (limit, method) = if call.get {
        (USER_DATA_GET, "GET")
    } else {
        (USER_DATA_POST, "POST")
    };
    // The length in base64 counts, whatever the documentation of `vm.userdata.max.length` says.
    if text.len() > limit {
        return Err(ApiError::invalid(format!(
            "User data is too long for an http {method} request"
        )));
    }
    let decoded = STANDARD
        .decode(text)
        .map_err(|_| ApiError::invalid("User data is not base64 encoded"))?;
    if decoded.is_empty() {
        return Err(ApiError::invalid("User data is too short"));
    }
    Ok(Some(text.to_owned()))
}

fn key_pairs(call: &Call<'_>) -> Result<Vec<String>, ApiError> {
    // Older servers ignore the list, as any parameter that they do not know: the machine would let nobody in.
    if call.params.text("keypairs").is_some() && !call.world.behaviour.is_at_least(4, 17) {
        return Err(ApiError::parameter(format!(
            "{} has no parameter keypairs before 4.17 (the simulator is strict)",
            call.params.command()
        )));
    }
    let single = call.params.filled("keypair").into_iter();
    let names = single.chain(call.params.list("keypairs").unwrap_or_default());
    let check = |name: &str| {
        if call
            .mine(&call.world.key_pairs)
            .any(|pair| pair.name == name)
        {
            Ok(name.to_owned())
        } else {
            Err(ApiError::invalid(format!(
                "A key pair with name '{name}' was not found."
            )))
        }
    };
    names.map(check).collect()
}

/// The networks of a new machine, and the addresses that are asked for in them. The first is the default one.
fn networks(
    call: &Call<'_>,
    zone: Uuid,
    basic: bool,
) -> Result<Vec<(Uuid, Option<Ipv4Addr>)>, ApiError> {
    let address = call.params.address("ipaddress")?;
    let ids = call.params.ids("networkids")?.filter(|ids| !ids.is_empty());
    let listed: Vec<_> = call.params.entries("iptonetworklist").collect();
    if !listed.is_empty() && (ids.is_some() || address.is_some()) {
        return Err(ApiError::invalid(
            "ipToNetworkMap can't be specified along with networkIds or ipAddress",
        ));
    }
    if basic && (ids.is_some() || !listed.is_empty()) {
        return Err(ApiError::invalid("Can't specify network Ids in Basic zone"));
    }
    let mut wanted = Vec::new();
    for entry in listed {
        let id = entry
            .get("networkid")
            .and_then(|id| Uuid::try_parse(id).ok());
        let id = id.ok_or_else(|| {
            ApiError::invalid("Unable to translate and find entity with networkId")
        })?;
        let address = match entry.get("ip") {
            Some(text) => Some(
                text.parse()
                    .map_err(|_| ApiError::invalid(format!("Invalid ip address {text}")))?,
            ),
            None => None,
        };
        wanted.push((id, address));
    }
    if let Some(ids) = ids {
        wanted = ids.into_iter().map(|id| (id, None)).collect();
        if let Some(first) = wanted.first_mut() {
            first.1 = address;
        }
    }
    if wanted.is_empty() {
        wanted.push((default_network(call, zone, basic)?, address));
    }
    for (id, _) in &wanted {
        match call.world.networks.get(*id) {
            None => {
                let id = id.to_string();
                return Err(ApiError::no_entity(
                    call.params.command(),
                    "networkids",
                    &id,
                ));
            }
            Some(network) if !network.usable_by(call.owner) => {
                return Err(call.denied(network.owner));
            }
            Some(network) if network.zone != zone => {
                return Err(ApiError::invalid(format!(
                    "Network id={id} doesn't belong to zone {zone}"
                )));
            }
            Some(_) => {}
        }
    }
    Ok(wanted)
}

/// The network of a machine for which none is given: a basic zone's own, or the account's only isolated one.
fn default_network(call: &Call<'_>, zone: Uuid, basic: bool) -> Result<Uuid, ApiError> {
    let kind = if basic {
        NetworkKind::Shared
    } else {
        NetworkKind::Isolated
    };
    let networks = call.world.networks.iter();
    let mut networks = networks.filter(|network| {
        network.zone == zone
            && network.kind == kind
            && network.vpc.is_none()
            && network.usable_by(call.owner)
    });
    match (networks.next(), networks.next()) {
        (Some(network), None) => Ok(network.id),
        (Some(network), Some(_)) if basic => Ok(network.id),
        (Some(_), Some(_)) => {
            let account = call.world.describe(call.owner);
            Err(ApiError::invalid(format!(
                "More than 1 default Isolated networks are found for account {account}; please specify networkIds"
            )))
        }
        (None, _) => Err(ApiError::invalid(
            "Unable to find a network for the machine: the account has no isolated network in the zone; please specify \
             networkIds",
        )),
    }
}

fn security_groups(call: &Call<'_>, basic: bool) -> Result<Vec<Uuid>, ApiError> {
    let ids = call.params.ids("securitygroupids")?;
    let names = call.params.list("securitygroupnames");
    if !basic {
        return match (ids, names) {
            (None, None) => Ok(Vec::new()),
            _ => Err(ApiError::invalid(
                "Can't create vm with security groups as the zone is not security group enabled",
            )),
        };
    }
    let own = |wanted: &dyn Fn(Uuid, &str) -> bool| {
        call.mine(&call.world.security_groups)
            .find(|group| wanted(group.id, &group.name))
            .map(|group| group.id)
    };
    match (ids, names) {
        (Some(_), Some(_)) => Err(ApiError::invalid(
            "securitygroupids parameter is mutually exclusive with securitygroupnames parameter",
        )),
        (Some(ids), None) => {
            let find = |id: Uuid| {
                own(&|other, _| other == id).ok_or_else(|| {
                    ApiError::invalid(format!("Unable to find security group by id {id}"))
                })
            };
            ids.into_iter().map(find).collect()
        }
        (None, Some(names)) => {
            let find = |name: &str| {
                own(&|_, other| other == name).ok_or_else(|| {
                    ApiError::invalid(format!("Unable to find group by name {name}"))
                })
            };
            names.into_iter().map(find).collect()
        }
        (None, None) => Ok(own(&|_, name| name == "default").into_iter().collect()),
    }
}

fn check_name(name: &str) -> Result<(), ApiError> {
    let characters = name
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let start = name
        .bytes()
        .next()
        .is_some_and(|byte| byte.is_ascii_alphabetic());
    if characters && start && !name.ends_with('-') && name.len() <= 63 {
        return Ok(());
    }
    Err(ApiError::invalid(
        "Invalid name. Vm name can contain ASCII letters 'a' through 'z', the digits '0' through '9', and the hyphen \
         ('-'), must be between 1 and 63 characters long, and can't start or end with \"-\" and can't start with digit",
    ))
}

/// Refuses a name that a machine in the network has. That of a destroyed machine is taken until it is expunged.
fn refuse_taken_name(call: &Call<'_>, name: &str, network: Uuid) -> Result<(), ApiError> {
    let Some(network) = call.world.networks.get(network) else {
        return Ok(());
    };
    let taken = call.world.machines.iter().any(|machine| {
        machine.name.eq_ignore_ascii_case(name)
            && machine.nics.iter().any(|nic| {
                let other = call.world.networks.get(nic.network);
                other.is_some_and(|other| other.shares_names_with(network))
            })
    });
    if taken {
        return Err(ApiError::invalid(format!(
            "The vm with hostName {name} already exists in the network domain: {}; network={}",
            network.domain_name,
            network.describe()
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_host_names_that_begin_with_a_letter() {
        let longest = "a".repeat(63);
        for good in ["a", "web-1", "WEB", longest.as_str()] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        let longer = "a".repeat(64);
        for bad in [
            "",
            "1a",
            "-a",
            "a-",
            "a.b",
            "a_b",
            "a b",
            "ä",
            longer.as_str(),
        ] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }
}
