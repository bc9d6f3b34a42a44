//! Public addresses and static NAT.

use serde_json::Value;
use uuid::Uuid;

use super::{Call, success};
use crate::api::ApiError;
use crate::jobs::{Instance, Work};
use crate::world::{AddressState, PublicAddress};

pub(super) fn list(call: &mut Call<'_>) -> Result<Value, ApiError> {
    let world = &*call.world;
    let wanted = call.wants(&world.addresses, "id")?;
    let zone = call.wants(&world.zones, "zoneid")?;
    let network = call.known(&world.networks, "associatednetworkid")?;
    let text = call.params.filled("ipaddress");
    let (source_nat, static_nat) = (
        call.params.flag("issourcenat"),
        call.params.flag("isstaticnat"),
    );
    let state = call.params.filled("state");
    let free_too = call.params.flag("allocatedonly") == Some(false);
    let none = call.params.flag("forvirtualnetwork") == Some(false);
    let mut items = Vec::new();
    for address in world.addresses.iter() {
        let shown = match address.owner {
            Some(owner) => owner == call.caller,
            None => free_too,
        };
        let meant = wanted(address.id)
            && zone(address.zone)
            && network.is_none_or(|network| address.network == Some(network))
            && text.is_none_or(|text| text == address.address.to_string())
            && call.has_keyword(&address.address.to_string())
            && source_nat.is_none_or(|wanted| wanted == address.source_nat)
            && static_nat.is_none_or(|wanted| wanted == address.static_nat.is_some())
            && state.is_none_or(|state| state.eq_ignore_ascii_case(address.state.name()))
            && call.is_tagged(address.id)?;
        if shown && meant && !none {
            items.push(world.address_json(address));
        }
    }
    call.list("publicipaddress", items)
}

pub(super) fn associate(call: &mut Call<'_>) -> Result<Value, ApiError> {
    let network = match call.params.text("networkid") {
        Some(_) => Some(call.own(&call.world.networks, "networkid", "network")?),
        None => None,
    };
    let zone = match (
        network.and_then(|id| call.world.networks.get(id)),
        call.params.text("zoneid"),
    ) {
        (Some(network), _) => network.zone,
        (None, Some(_)) => call.present(&call.world.zones, "zoneid")?,
        (None, None) => {
            return Err(ApiError::invalid(
                "Unable to figure out zone to assign ip to. Please specify either zoneId, or \
                networkId, or vpcId in the call",
            ));
        }
    };
    // Without a network CloudStack takes the account's, if it has just one.
    let network = match network {
        Some(network) => network,
        None => {
            let mut own = call
                .mine(&call.world.networks)
                .filter(|network| network.zone == zone);
            match (own.next(), own.next()) {
                (Some(only), None) => only.id,
                _ => {
                    return Err(ApiError::invalid(
                        "More than one Guest network of type Isolated, or none, is found: please specify networkId",
                    ));
                }
            }
        }
    };
    let wanted = call.params.address("ipaddress")?;
    let address = call
        .world
        .acquire_address(wanted, zone, call.caller, Some(network), call.now)?;
    Ok(call.start_creation(
        Work::Associate { address },
        Instance {
            kind: "IpAddress",
            id: address,
        },
    ))
}

pub(super) fn disassociate(call: &mut Call<'_>) -> Result<Value, ApiError> {
    let address = ready(call, "id")?.id;
    Ok(call.start_job(
        Work::Disassociate { address },
        Some(Instance {
            kind: "IpAddress",
            id: address,
        }),
    ))
}

/// The address that a parameter gives, which the caller has to have, ready for rules.
pub(super) fn ready<'w>(call: &'w Call<'_>, name: &str) -> Result<&'w PublicAddress, ApiError> {
    call.params.required(name)?;
    let id = call
        .known(&call.world.addresses, name)?
        .ok_or_else(|| call.no_entity(name))?;
    match call.world.addresses.get(id) {
        Some(address) if address.owner.is_some_and(|owner| owner != call.caller) => {
            Err(call.denied(address.owner))
        }
        Some(address) if address.state == AddressState::Allocated => Ok(address),
        _ => Err(ApiError::invalid(format!(
            "Unable to create a rule or to act on it, invalid IP address id {id}"
        ))),
    }
}

pub(super) fn enable_static_nat(call: &mut Call<'_>) -> Result<Value, ApiError> {
    let machine = call.own_machine("virtualmachineid")?;
    let machine_id = machine.id;
    let address = ready(call, "ipaddressid")?;
    let id = address.id;
    let Some(network) = address.network else {
        return Err(ApiError::invalid(format!(
            "Ip address {} is not assigned to the network",
            address.address
        )));
    };
    if call
        .known(&call.world.networks, "networkid")?
        .is_some_and(|wanted| wanted != network)
    {
        return Err(ApiError::invalid(format!(
            "Invalid network Id={network}. IP is associated with a different network than passed network id"
        )));
    }
    let Some(nic) = machine.nics.iter().find(|nic| nic.network == network) else {
        return Err(ApiError::invalid(
            "Vm doesn't belong to the network with specified id",
        ));
    };
    if let Some(guest) = call
        .params
        .address("vmguestip")?
        .filter(|guest| *guest != nic.address)
    {
        return Err(ApiError::invalid(format!(
            "VM ip {guest} address not belongs to the vm"
        )));
    }
    if address.source_nat {
        return Err(ApiError::invalid(format!(
            "Can't enable static, ip address {} is a sourceNat ip address",
            address.address
        )));
    }
    match address.static_nat {
        None if call.world.forwards.iter().any(|rule| rule.public == id) => {
            return Err(ApiError::conflict(format!(
                "Failed to enable static nat for the ip address {} as it already has PortForwarding rules assigned",
                address.address
            )));
        }
        Some(other) if other != machine_id => {
            return Err(ApiError::conflict(format!(
                "Failed to enable static nat for the ip address {} and vm id={machine_id} as it's already assigned to \
                 another vm",
                address.address
            )));
        }
        _ => {}
    }
    if let Some(old) = other_static_nat(call, id, machine_id) {
        return Err(ApiError::invalid(format!(
            "Failed to enable static nat for the ip address id={id} as vm id={machine_id} is already associated with \
             ip id={old}"
        )));
    }
    if let Some(address) = call.world.addresses.get_mut(id) {
        address.static_nat = Some(machine_id);
    }
    Ok(success())
}

/// Another address that the machine has.
fn other_static_nat(call: &Call<'_>, address: Uuid, machine: Uuid) -> Option<Uuid> {
    let mut addresses = call.world.addresses.iter();
    addresses
        .find(|row| row.static_nat == Some(machine) && row.id != address)
        .map(|row| row.id)
}

pub(super) fn disable_static_nat(call: &mut Call<'_>) -> Result<Value, ApiError> {
    let address = ready(call, "ipaddressid")?;
    if address.static_nat.is_none() {
        return Err(ApiError::invalid(format!(
            "Specified IP address id is not associated with any vm Id: {}",
            address.id
        )));
    }
    let address = address.id;
    Ok(call.start_job(
        Work::DisableStaticNat { address },
        Some(Instance {
            kind: "IpAddress",
            id: address,
        }),
    ))
}
