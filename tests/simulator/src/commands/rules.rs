//! Port forwarding and firewall rules.

use serde_json::Value;
use uuid::Uuid;

use super::Call;
use super::addresses::{network_for, ready};
use super::ports::{cidrs, port_range, ports_or_icmp, protocol};
use crate::error::ApiError;
use crate::jobs::{Instance, Work};
use crate::world::{FirewallRule, PortForward, Ports, RuleState};

fn clash(new: Ports, serial: u64, old: Ports) -> ApiError {
    ApiError::conflict(format!(
        "The range specified, {}-{}, conflicts with rule {serial} which has {}-{}",
        new.start, new.end, old.start, old.end
    ))
}

fn required_port(call: &Call<'_>, name: &str) -> Result<u16, ApiError> {
    call.params
        .port(name)?
        .ok_or_else(|| ApiError::invalid(format!("{name} is an invalid value: none")))
}

pub(super) fn create_forward(call: &mut Call<'_>) -> Result<Value, ApiError> {
    if call.params.text("cidrlist").is_some() {
        return Err(ApiError::invalid(
            "Parameter cidrList is deprecated; if you need to open firewall rule for the specific cidr, please refer to \
             createFirewallRule command",
        ));
    }
    let address = ready(call, "ipaddressid")?;
    let public = address.id;
    if address.static_nat.is_some() {
        return Err(ApiError::invalid(format!(
            "Unable to create port forwarding rule; ip id={public} has static nat enabled"
        )));
    }
    let in_vpc = address.vpc.is_some();
    let opens_firewall = call.params.flag("openfirewall").unwrap_or(!in_vpc);
    if in_vpc && opens_firewall {
        return Err(ApiError::invalid(
            "Can't have openFirewall=true when IP address belongs to VPC",
        ));
    }
    let owner = address.owner.unwrap_or(call.caller);
    let network = network_for(
        call,
        address,
        "create port forwarding rule",
        "PortForwarding",
    )?;
    let protocol = protocol(call.params, &["tcp", "udp"])?;
    let public_ports = port_range(
        required_port(call, "publicport")?,
        call.params.port("publicendport")?,
    )?;
    let private_ports = port_range(
        required_port(call, "privateport")?,
        call.params.port("privateendport")?,
    )?;
    check_ranges(public_ports, private_ports)?;

    let machine = call.own_machine("virtualmachineid")?;
    let machine_id = machine.id;
    let nic = machine.nics.iter().find(|nic| nic.network == network);
    let nic = nic.filter(|_| !machine.state.is_gone());
    let nic = nic.ok_or_else(|| {
        ApiError::invalid("Vm doesn't belong to network associated with ipAddress")
    })?;
    let guest_address = nic.address;
    if call
        .params
        .address("vmguestip")?
        .is_some_and(|wanted| wanted != guest_address)
    {
        return Err(ApiError::invalid(
            "IP Address is not in the VM nic's network ",
        ));
    }
    let rules = call
        .world
        .forwards
        .iter()
        .filter(|rule| rule.public == public && rule.protocol == protocol);
    let mut rules = rules.filter(|rule| rule.state != RuleState::Revoke);
    if let Some(rule) = rules.find(|rule| rule.public_ports.overlap(public_ports)) {
        return Err(clash(public_ports, rule.serial, rule.public_ports));
    }

    let id = Uuid::new_v4();
    let serial = call.world.next_serial();
    if opens_firewall {
        open_firewall(call, public, network, &protocol, public_ports, id);
    }
    if let Some(address) = call.world.addresses.get_mut(public) {
        address.network = Some(network);
    }
    call.world.forwards.insert(PortForward {
        id,
        serial,
        owner,
        public,
        network,
        machine: machine_id,
        guest_address,
        protocol,
        public_ports,
        private_ports,
        state: RuleState::Add,
    });
    Ok(call.start_creation(
        Work::CreateForward { rule: id },
        Instance {
            kind: "FirewallRule",
            id,
        },
    ))
}

/// CloudStack maps a range of ports only to the same range.
fn check_ranges(public: Ports, private: Ports) -> Result<(), ApiError> {
    if public.end - public.start != private.end - private.start {
        return Err(ApiError::invalid(
            "Source port and destination port ranges should be of equal sizes.",
        ));
    }
    if public.start != public.end && public.start != private.start {
        return Err(ApiError::invalid(
            "Private port start should be equal to public port start",
        ));
    }
    Ok(())
}

/// Opens the firewall to everybody for a forwarding rule. A rule for just these ports that there is already is left
/// alone and does.
fn open_firewall(
    call: &mut Call<'_>,
    public: Uuid,
    network: Uuid,
    protocol: &str,
    ports: Ports,
    related: Uuid,
) {
    let mut rules = call
        .world
        .firewall
        .iter()
        .filter(|rule| rule.state != RuleState::Revoke);
    if rules
        .any(|rule| rule.public == public && rule.protocol == protocol && rule.ports == Some(ports))
    {
        return;
    }
    let address = call.world.addresses.get(public);
    let owner = address.and_then(|address| address.owner);
    let serial = call.world.next_serial();
    call.world.firewall.insert(FirewallRule {
        id: Uuid::new_v4(),
        serial,
        owner: owner.unwrap_or(call.caller),
        public,
        network,
        protocol: protocol.to_owned(),
        ports: Some(ports),
        icmp: None,
        cidrs: vec!["0.0.0.0/0".to_owned()],
        state: RuleState::Add,
        related: Some(related),
    });
}

pub(super) fn delete_forward(call: &mut Call<'_>) -> Result<Value, ApiError> {
    let rule = call.own(&call.world.forwards, "id", "a port forwarding rule")?;
    Ok(call.start_job(
        Work::DeleteForward { rule },
        Some(Instance {
            kind: "FirewallRule",
            id: rule,
        }),
    ))
}

/// What the lists of rules filter by: the address, which the caller may act on, and the network.
fn places(call: &Call<'_>) -> Result<impl Fn(Uuid, Uuid) -> bool + use<>, ApiError> {
    let address = match call.params.text("ipaddressid") {
        Some(_) => Some(ready(call, "ipaddressid")?.id),
        None => None,
    };
    let network = call.known(&call.world.networks, "networkid")?;
    Ok(move |in_address, in_network| {
        address.is_none_or(|wanted| wanted == in_address)
            && network.is_none_or(|wanted| wanted == in_network)
    })
}

pub(super) fn list_forwards(call: &mut Call<'_>) -> Result<Value, ApiError> {
    let world = &*call.world;
    let wanted = call.wants(&world.forwards, "id")?;
    let placed = places(call)?;
    let mut items = Vec::new();
    for rule in call.mine(&world.forwards) {
        if wanted(rule.id) && placed(rule.public, rule.network) && call.is_tagged(rule.id)? {
            items.push(world.forward_json(rule));
        }
    }
    call.list("portforwardingrule", items)
}

pub(super) fn create_firewall(call: &mut Call<'_>) -> Result<Value, ApiError> {
    let address = ready(call, "ipaddressid")?;
    let public = address.id;
    let owner = address.owner.unwrap_or(call.caller);
    let Some(network) = address.network else {
        return Err(ApiError::invalid(format!(
            "Unable to create firewall rule for the IP address ID={public} as IP is not associated with any network \
             and no networkId is passed in"
        )));
    };
    if address.vpc.is_some() {
        let serial = call
            .world
            .networks
            .get(network)
            .map(|network| network.serial);
        return Err(ApiError::internal(format!(
            "Service Firewall is not supported in the network id={}",
            serial.unwrap_or_default()
        )));
    }
    let protocol = protocol(call.params, &["tcp", "udp", "icmp", "all"])?;
    let (ports, icmp) = ports_or_icmp(call.params, &protocol)?;
    let mut cidrs = cidrs(call.params)?;
    if cidrs.is_empty() {
        cidrs.push("0.0.0.0/0".to_owned());
    }
    let others = call.world.firewall.iter().filter(|rule| {
        rule.public == public
            && rule.state != RuleState::Revoke
            && rule.protocol == protocol
            && rule.cidrs.iter().any(|cidr| cidrs.contains(cidr))
    });
    for rule in others {
        match (ports, rule.ports) {
            (Some(new), Some(old)) if new.overlap(old) => return Err(clash(new, rule.serial, old)),
            (None, None) if protocol == "icmp" && icmp == rule.icmp => {
                return Err(ApiError::invalid(format!(
                    "New rule conflicts with existing rule id={}",
                    rule.serial
                )));
            }
            (None, None) if protocol != "icmp" => {
                return Err(ApiError::conflict(format!(
                    "There is already a firewall rule specified with protocol = {protocol} and no ports"
                )));
            }
            _ => {}
        }
    }
    let id = Uuid::new_v4();
    let serial = call.world.next_serial();
    call.world.firewall.insert(FirewallRule {
        id,
        serial,
        owner,
        public,
        network,
        protocol,
        ports,
        icmp,
        cidrs,
        state: RuleState::Add,
        related: None,
    });
    Ok(call.start_creation(
        Work::CreateFirewall { rule: id },
        Instance {
            kind: "FirewallRule",
            id,
        },
    ))
}

pub(super) fn delete_firewall(call: &mut Call<'_>) -> Result<Value, ApiError> {
    let rule = call.own(&call.world.firewall, "id", "a firewall rule")?;
    Ok(call.start_job(
        Work::DeleteFirewall { rule },
        Some(Instance {
            kind: "FirewallRule",
            id: rule,
        }),
    ))
}

pub(super) fn list_firewall(call: &mut Call<'_>) -> Result<Value, ApiError> {
    let world = &*call.world;
    let wanted = call.wants(&world.firewall, "id")?;
    let placed = places(call)?;
    let mut items = Vec::new();
    for rule in call.mine(&world.firewall) {
        if wanted(rule.id) && placed(rule.public, rule.network) && call.is_tagged(rule.id)? {
            items.push(world.firewall_json(rule));
        }
    }
    call.list("firewallrule", items)
}
