//! Guest networks.

use std::net::Ipv4Addr;

use serde_json::{Value, json};
use uuid::Uuid;

use super::Call;
use crate::config::{Cidr, NetworkKind, ZoneKind};
use crate::error::ApiError;
use crate::jobs::{Instance, Work};
use crate::world::{Network, NetworkState};

pub(super) fn list(call: &mut Call<'_>) -> Result<Value, ApiError> {
    let world = &*call.world;
    let wanted = call.wants(&world.networks, "id")?;
    let zone = call.wants(&world.zones, "zoneid")?;
    let vpc = call.known(&world.vpcs, "vpcid")?;
    let for_vpc = call.params.flag("forvpc");
    // Nothing that a user is shown is of these.
    let none = call.params.flag("issystem") == Some(true)
        || call.params.flag("restartrequired") == Some(true)
        || call
            .params
            .filled("traffictype")
            .is_some_and(|kind| !kind.eq_ignore_ascii_case("Guest"));
    let filter = call
        .params
        .filled("networkfilter")
        .unwrap_or("all")
        .to_lowercase();
    let mut items = Vec::new();
    for network in world.networks.iter() {
        let filtered = match filter.as_str() {
            "all" => true,
            "account" => network.owner.is_some(),
            "shared" | "domain" | "accountdomain" => {
                network.owner.is_none() || filter == "accountdomain"
            }
            _ => {
                return Err(ApiError::invalid(format!(
                    "Invalid value for networkfilter: {filter}"
                )));
            }
        };
        let meant = wanted(network.id)
            && zone(network.zone)
            && vpc.is_none_or(|vpc| network.vpc == Some(vpc))
            && for_vpc.is_none_or(|wanted| wanted == network.vpc.is_some())
            && call.is("type", network.kind.name())
            && call.has_keyword(&network.name)
            && call.is_tagged(network.id)?;
        if network.usable_by(call.owner) && filtered && meant && !none {
            items.push(world.network_json(network));
        }
    }
    call.list("network", items)
}

pub(super) fn list_offerings(call: &mut Call<'_>) -> Result<Value, ApiError> {
    let world = &*call.world;
    let wanted = call.wants(&world.network_offerings, "id")?;
    call.known(&world.zones, "zoneid")?;
    let none = call.params.flag("isdefault") == Some(false);
    let for_vpc = call.params.flag("forvpc");
    let offerings = world.network_offerings.iter().filter(|offering| {
        !none
            && wanted(offering.id)
            && for_vpc.is_none_or(|wanted| wanted == offering.for_vpc)
            && call.is("guestiptype", offering.kind.name())
            && call.is_named(&offering.name)
            && call.is("displaytext", &offering.name)
            && call.is("state", "Enabled")
            && call.is("traffictype", "Guest")
            && call.is("availability", "Optional")
            && call.has_keyword(&offering.name)
    });
    call.list(
        "networkoffering",
        offerings
            .map(|offering| world.network_offering_json(offering))
            .collect(),
    )
}

pub(super) fn create(call: &mut Call<'_>) -> Result<Value, ApiError> {
    let offering = call.present(&call.world.network_offerings, "networkofferingid")?;
    let zone = call.present(&call.world.zones, "zoneid")?;
    if call
        .world
        .zones
        .get(zone)
        .is_none_or(|zone| zone.kind == ZoneKind::Basic)
    {
        return Err(ApiError::invalid(
            "Can't create guest network in a zone with network type Basic",
        ));
    }
    match call.world.network_offerings.get(offering) {
        Some(offering) if offering.for_vpc => {
            return Err(ApiError::invalid(
                "Network offering can be used for VPC networks only",
            ));
        }
        Some(offering) if offering.kind == NetworkKind::Isolated => {}
        _ => {
            return Err(ApiError::invalid(
                "Regular user can create a network only from the network offering having \
                traffic type Guest and network type Isolated with a Source Nat service enabled",
            ));
        }
    }
    let cidr = match (
        call.params.address("gateway")?,
        call.params.address("netmask")?,
    ) {
        (Some(gateway), Some(netmask)) => cidr_of(gateway, netmask)?,
        (None, None) => free_range(call)?,
        _ => {
            return Err(ApiError::invalid(
                "gateway and netmask have to be given together",
            ));
        }
    };
    let name = call.params.required("name")?.to_owned();
    let serial = call.world.next_serial();
    let network = Network {
        id: Uuid::new_v4(),
        serial,
        display_text: call
            .params
            .filled("displaytext")
            .unwrap_or(&name)
            .to_owned(),
        domain_name: match call.params.filled("networkdomain") {
            Some(domain) => domain.to_owned(),
            None => format!("cs{serial}cloud.internal"),
        },
        name,
        zone,
        kind: NetworkKind::Isolated,
        owner: Some(call.owner),
        vpc: None,
        offering,
        cidr,
        state: NetworkState::Allocated,
        created: call.now,
        by_account: true,
    };
    let answer = call.world.network_json(&network);
    call.world.networks.insert(network);
    Ok(json!({ "network": answer }))
}

/// The range of a network whose gateway is given, which has to be its first address here.
fn cidr_of(gateway: Ipv4Addr, netmask: Ipv4Addr) -> Result<Cidr, ApiError> {
    let mask = u32::from(netmask);
    if mask.leading_ones() + mask.trailing_zeros() != 32 {
        return Err(ApiError::invalid(format!("Invalid netmask {netmask}")));
    }
    let prefix = u8::try_from(mask.leading_ones()).unwrap_or(32);
    match Cidr::new(gateway, prefix) {
        Ok(cidr) if cidr.host(1) == Some(gateway) => Ok(cidr),
        _ => Err(ApiError::invalid(format!(
            "The simulator takes only the first address of a network as gateway, not \
            {gateway}"
        ))),
    }
}

/// A range that no other network of its owner has.
fn free_range(call: &Call<'_>) -> Result<Cidr, ApiError> {
    let candidates =
        (1..=254).filter_map(|third| Cidr::new(Ipv4Addr::new(10, 1, third, 0), 24).ok());
    candidates
        .into_iter()
        .find(|cidr| {
            !call
                .mine(&call.world.networks)
                .any(|network| network.cidr == *cidr)
        })
        .ok_or_else(|| {
            ApiError::insufficient_capacity("No range of addresses is left for a network")
        })
}

pub(super) fn delete(call: &mut Call<'_>) -> Result<Value, ApiError> {
    let network = call.own(&call.world.networks, "id", "network")?;
    Ok(call.start_job(
        Work::DeleteNetwork { network },
        Some(Instance {
            kind: "Network",
            id: network,
        }),
    ))
}
