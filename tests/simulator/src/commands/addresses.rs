//! Public addresses and static NAT.

use serde_json::Value;
use uuid::Uuid;

use super::{Call, success};
use crate::error::ApiError;
use crate::jobs::{Instance, Work};
use crate::world::{AddressState, Place, PublicAddress};

pub(super) fn list(call: &mut Call<'_>) -> Result<Value, ApiError> {
    let world = &*call.world;
    let wanted = call.wants(&world.addresses, "id")?;
    let zone = call.wants(&world.zones, "zoneid")?;
    let network = call.known(&world.networks, "associatednetworkid")?;
    let vpc = call.known(&world.vpcs, "vpcid")?;
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
            Some(owner) => owner == call.owner,
            None => free_too,
        };
        let meant = wanted(address.id)
            && zone(address.zone)
            && network.is_none_or(|network| address.network == Some(network))
            && vpc.is_none_or(|vpc| address.vpc == Some(vpc))
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
    let (place, zone, owner) = place(call)?;
    if call.params.text("projectid").is_some() && owner != call.owner {
        return Err(ApiError::denied(format!(
            "The address for {} cannot be for what belongs to {}",
            call.world.describe(call.owner),
            call.world.describe(owner)
        )));
    }
    let wanted = call.params.address("ipaddress")?;
    let address = call
        .world
        .acquire_address(wanted, zone, owner, place, call.now)?;
    Ok(call.start_creation(
        Work::Associate { address },
        Instance {
            kind: "IpAddress",
            id: address,
        },
    ))
}

/// What an address is wanted for, in which zone that is, and whose.
fn place(call: &Call<'_>) -> Result<(Place, Uuid, Uuid), ApiError> {
    if call.params.text("vpcid").is_some() {
        let id = call.own(&call.world.vpcs, "vpcid", "VPC")?;
        let vpc = call.world.vpcs.get(id);
        let vpc = vpc.ok_or_else(|| call.no_entity("vpcid"))?;
        return Ok((Place::Vpc(id), vpc.zone, vpc.owner));
    }
    if call.params.text("networkid").is_some() {
        let id = call.own(&call.world.networks, "networkid", "network")?;
        let network = call.world.networks.get(id);
        let network = network.ok_or_else(|| call.no_entity("networkid"))?;
        let owner = network.owner.unwrap_or(call.owner);
        return Ok((Place::Network(id), network.zone, owner));
    }
    if call.params.text("zoneid").is_none() {
        return Err(ApiError::invalid(
            "Unable to figure out zone to assign ip to. Please specify either zoneId, or networkId, or vpcId in the \
             call",
        ));
    }
    let zone = call.present(&call.world.zones, "zoneid")?;
    // CloudStack takes the account's network, if it has just one.
    let own = call.mine(&call.world.networks);
    let mut own = own.filter(|network| network.zone == zone && network.vpc.is_none());
    match (own.next(), own.next()) {
        (Some(only), None) => Ok((Place::Network(only.id), zone, call.owner)),
        _ => Err(ApiError::invalid(
            "More than one Guest network of type Isolated, or none, is found: please specify networkId",
        )),
    }
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

/// The address that a parameter gives, which the caller may act on, ready for rules.
pub(super) fn ready<'w>(call: &'w Call<'_>, name: &str) -> Result<&'w PublicAddress, ApiError> {
    call.params.required(name)?;
    let id = call
        .known(&call.world.addresses, name)?
        .ok_or_else(|| call.no_entity(name))?;
    match call.world.addresses.get(id) {
        Some(address) if address.owner.is_some() && !call.may_use(address.owner) => {
            Err(call.denied(address.owner))
        }
        Some(address) if address.state == AddressState::Allocated => Ok(address),
        _ => Err(ApiError::invalid(format!(
            "Unable to create a rule or to act on it, invalid IP address id {id}"
        ))),
    }
}

/// The network in which an address is to lead to a machine: the one that it leads to already, or else, if it is one of a
/// VPC, the tier that the call names. `action` and `service` say in errors what is to be done.
pub(super) fn network_for(
    call: &Call<'_>,
    address: &PublicAddress,
    action: &str,
    service: &str,
) -> Result<Uuid, ApiError> {
    let named = call.known(&call.world.networks, "networkid")?;
    let named = match (address.network, named) {
        (Some(network), Some(named)) if named != network => {
            return Err(ApiError::invalid(format!(
                "Invalid network Id={named}. IP is associated with a different network than passed network id"
            )));
        }
        (Some(network), _) => return Ok(network),
        (None, None) => {
            return Err(ApiError::invalid(format!(
                "Unable to {action} for the ipAddress id={} as ip is not associated with any network and no networkId \
                 is passed in",
                address.id
            )));
        }
        (None, Some(named)) => named,
    };
    let network = call.world.networks.get(named);
    if network.is_none_or(|network| network.vpc.is_none() || network.vpc != address.vpc) {
        return Err(ApiError::invalid(format!(
            "Ip address {} is not assigned to the network {named}",
            address.address
        )));
    }
    // Networks of VPCs are not in the conserve mode, where an address can serve for several things.
    if address.source_nat {
        return Err(ApiError::invalid(format!(
            "The IP {} is already used as SourceNat rather than {service}",
            address.address
        )));
    }
    Ok(named)
}

pub(super) fn enable_static_nat(call: &mut Call<'_>) -> Result<Value, ApiError> {
    let machine = call.own_machine("virtualmachineid")?;
    let machine_id = machine.id;
    let address = ready(call, "ipaddressid")?;
    let id = address.id;
    let network = network_for(call, address, "enable static NAT", "StaticNat")?;
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
        address.network = Some(network);
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
