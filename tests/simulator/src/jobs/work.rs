//! What a job does: what is seen of it at once, and what it has done when its time is over.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::error::Failure;
use crate::hypervisor::Task;
use crate::world::{AddressState, IngressRule, MachineState, RuleState, Tag, VolumeKind, World};

/// An exception that a command does not expect is an internal error to CloudStack's job runner, whatever its kind.
pub(super) fn unexpected(text: impl Into<String>) -> Failure {
    Failure {
        code: 530,
        text: text.into(),
    }
}

/// What a job does.
#[derive(Clone, Debug)]
pub(crate) enum Work {
    Deploy {
        machine: Uuid,
        start: bool,
    },
    Start {
        machine: Uuid,
    },
    Stop {
        machine: Uuid,
        forced: bool,
    },
    Reboot {
        machine: Uuid,
    },
    Destroy {
        machine: Uuid,
        expunge: bool,
        volumes: Vec<Uuid>,
        before: MachineState,
    },
    Expunge {
        machine: Uuid,
    },
    CreateForward {
        rule: Uuid,
    },
    DeleteForward {
        rule: Uuid,
    },
    CreateFirewall {
        rule: Uuid,
    },
    DeleteFirewall {
        rule: Uuid,
    },
    Associate {
        address: Uuid,
    },
    Disassociate {
        address: Uuid,
    },
    DisableStaticNat {
        address: Uuid,
    },
    DeleteNetwork {
        network: Uuid,
    },
    AuthorizeIngress {
        group: Uuid,
        rules: Vec<IngressRule>,
    },
    RevokeIngress {
        rule: Uuid,
    },
    CreateTags {
        tags: Vec<Tag>,
    },
    DeleteTags {
        resources: Vec<Uuid>,
        kind: String,
        tags: BTreeMap<String, String>,
    },
    DetachVolume {
        volume: Uuid,
    },
}

fn success() -> Value {
    json!({ "success": true })
}

fn set_state(world: &mut World, machine: Uuid, state: MachineState) {
    if let Some(machine) = world.machines.get_mut(machine) {
        machine.state = state;
    }
}

fn no_machine(machine: Uuid) -> Failure {
    unexpected(format!(
        "unable to find a virtual machine with id {machine}"
    ))
}

fn machine_result(world: &World, machine: Uuid) -> Result<Value, Failure> {
    let machine = world
        .machines
        .get(machine)
        .ok_or_else(|| no_machine(machine))?;
    Ok(json!({ "virtualmachine": world.machine_json(machine) }))
}

impl Work {
    /// What is seen of it at once. What cannot be done fails here.
    pub(super) fn begin(&mut self, world: &mut World, now: Timestamp) -> Result<(), Failure> {
        match self {
            Self::Deploy {
                machine,
                start: true,
            } => {
                let networks: Vec<_> = match world.machines.get(*machine) {
                    Some(machine) => machine.nics.iter().map(|nic| nic.network).collect(),
                    None => return Err(no_machine(*machine)),
                };
                for network in networks {
                    if let Err(error) = world.implement_network(network, now) {
                        self.abort(world, now);
                        return Err(error.into());
                    }
                }
                set_state(world, *machine, MachineState::Starting);
            }
            Self::Start { machine } => {
                let found = world
                    .machines
                    .get_mut(*machine)
                    .ok_or_else(|| no_machine(*machine))?;
                match found.state {
                    MachineState::Stopped => found.state = MachineState::Starting,
                    MachineState::Running => {
                        return Err(unexpected(format!(
                            "The virtual machine {} ({}) is already running",
                            found.id, found.display_name
                        )));
                    }
                    state => {
                        return Err(unexpected(format!(
                            "Unable to start virtual machine {} in state {}",
                            found.id,
                            state.name()
                        )));
                    }
                }
            }
            Self::Stop { machine, .. } => {
                let found = world
                    .machines
                    .get_mut(*machine)
                    .ok_or_else(|| no_machine(*machine))?;
                // Stopping what does not run is no error.
                if matches!(found.state, MachineState::Running | MachineState::Starting) {
                    found.state = MachineState::Stopping;
                }
            }
            Self::Reboot { machine } => {
                let found = world
                    .machines
                    .get(*machine)
                    .ok_or_else(|| no_machine(*machine))?;
                if found.state != MachineState::Running {
                    return Err(unexpected("Failed to reboot vm instance"));
                }
            }
            Self::Destroy {
                machine,
                expunge,
                before,
                ..
            } => {
                if *expunge && !world.behaviour.allow_user_expunge {
                    return Err(unexpected(
                        "Parameter expunge can be passed by Admin only. Or when the allow.user.expunge.recover.vm key \
                         is set.",
                    ));
                }
                let found = world
                    .machines
                    .get_mut(*machine)
                    .ok_or_else(|| no_machine(*machine))?;
                *before = found.state;
                if found.state == MachineState::Running {
                    found.state = MachineState::Stopping;
                }
            }
            Self::Expunge { machine } => {
                if !world.behaviour.allow_user_expunge {
                    return Err(unexpected(
                        "Expunging a vm can only be done by an Admin. Or when the allow.user.expunge.recover.vm key is \
                         set.",
                    ));
                }
                let found = world
                    .machines
                    .get_mut(*machine)
                    .ok_or_else(|| no_machine(*machine))?;
                if !matches!(found.state, MachineState::Destroyed | MachineState::Error) {
                    return Err(unexpected(format!(
                        "Please destroy vm with specified id {} before trying to expunge",
                        found.id
                    )));
                }
                found.state = MachineState::Expunging;
                found.expunge_at = None;
            }
            Self::DeleteForward { rule } => {
                let found = world
                    .forwards
                    .get_mut(*rule)
                    .ok_or_else(|| unexpected(format!("Unable to find {rule}")))?;
                found.state = RuleState::Revoke;
            }
            Self::DeleteFirewall { rule } => {
                let found = world
                    .firewall
                    .get_mut(*rule)
                    .ok_or_else(|| unexpected(format!("Unable to find {rule}")))?;
                found.state = RuleState::Revoke;
            }
            Self::Disassociate { address } => {
                let found = world.addresses.get_mut(*address);
                let found = found.ok_or_else(|| {
                    unexpected(format!("Unable to find ip address by id {address}"))
                })?;
                if found.source_nat {
                    return Err(unexpected(
                        "ip address is used for source nat purposes and can not be disassociated.",
                    ));
                }
                found.state = AddressState::Releasing;
            }
            Self::DeleteNetwork { network } => {
                if world
                    .machines
                    .iter()
                    .any(|machine| machine.nics.iter().any(|nic| nic.network == *network))
                {
                    return Err(unexpected("Failed to delete network"));
                }
            }
            Self::Associate { address } => {
                let network = world.addresses.get(*address).and_then(|row| row.network);
                let network = network.and_then(|id| world.networks.get(id));
                if network.is_some_and(|network| network.vpc.is_some()) {
                    world.release_address(*address);
                    return Err(unexpected(
                        "Can't assign ip to the network directly when network belongs to VPC.Specify vpcId to \
                         associate ip address to VPC",
                    ));
                }
            }
            Self::Deploy { start: false, .. }
            | Self::CreateForward { .. }
            | Self::CreateFirewall { .. }
            | Self::DisableStaticNat { .. }
            | Self::AuthorizeIngress { .. }
            | Self::RevokeIngress { .. }
            | Self::CreateTags { .. }
            | Self::DeleteTags { .. }
            | Self::DetachVolume { .. } => {}
        }
        Ok(())
    }

    /// Has the hypervisor do its part, if it has one.
    pub(super) fn set_off(&self, world: &World) -> Option<Task> {
        match self {
            Self::Deploy {
                machine,
                start: true,
            }
            | Self::Start { machine } => world.power_on(*machine),
            Self::Stop { machine, forced } => world.power_off(*machine, *forced),
            Self::Reboot { machine } => world.power_cycle(*machine),
            // Whoever has a machine destroyed waits for no programs in it.
            Self::Destroy { machine, .. } => world.power_off(*machine, true),
            _ => None,
        }
    }

    /// What it has done when its time is over, and its result.
    pub(super) fn finish(&mut self, world: &mut World, now: Timestamp) -> Result<Value, Failure> {
        match self {
            Self::Deploy { machine, start } => {
                set_state(
                    world,
                    *machine,
                    if *start {
                        MachineState::Running
                    } else {
                        MachineState::Stopped
                    },
                );
                machine_result(world, *machine)
            }
            Self::Start { machine } | Self::Reboot { machine } => {
                set_state(world, *machine, MachineState::Running);
                machine_result(world, *machine)
            }
            Self::Stop { machine, .. } => {
                if world
                    .machines
                    .get(*machine)
                    .is_some_and(|machine| machine.state == MachineState::Stopping)
                {
                    set_state(world, *machine, MachineState::Stopped);
                }
                machine_result(world, *machine)
            }
            Self::Destroy {
                machine,
                expunge,
                volumes,
                ..
            } => {
                world.destroy_machine(*machine, now);
                let id = *machine;
                for volume in volumes.iter() {
                    world.volumes.remove_where(|row| {
                        row.id == *volume && row.machine == Some(id) && row.kind == VolumeKind::Data
                    });
                }
                let result = machine_result(world, *machine);
                if *expunge {
                    world.expunge_machine(*machine);
                }
                result
            }
            Self::Expunge { machine } => {
                world.expunge_machine(*machine);
                Ok(success())
            }
            Self::CreateForward { rule } => {
                let found = world.forwards.get_mut(*rule);
                found
                    .ok_or_else(|| unexpected("Failed to apply port forwarding rule"))?
                    .state = RuleState::Active;
                for firewall in world
                    .firewall
                    .iter_mut()
                    .filter(|firewall| firewall.related == Some(*rule))
                {
                    firewall.state = RuleState::Active;
                }
                let found = world.forwards.get(*rule);
                Ok(json!({ "portforwardingrule": found.map(|rule| world.forward_json(rule)) }))
            }
            Self::DeleteForward { rule } => {
                world.remove_forward(*rule);
                Ok(success())
            }
            Self::CreateFirewall { rule } => {
                let found = world.firewall.get_mut(*rule);
                found
                    .ok_or_else(|| unexpected("Failed to create firewall rule"))?
                    .state = RuleState::Active;
                let found = world.firewall.get(*rule);
                Ok(json!({ "firewallrule": found.map(|rule| world.firewall_json(rule)) }))
            }
            Self::DeleteFirewall { rule } => {
                world.firewall.remove(*rule);
                world.remove_tags(*rule);
                Ok(success())
            }
            Self::Associate { address } => {
                if let Some(address) = world.addresses.get_mut(*address) {
                    address.state = AddressState::Allocated;
                }
                let found = world.addresses.get(*address);
                Ok(json!({ "ipaddress": found.map(|address| world.address_json(address)) }))
            }
            Self::Disassociate { address } => {
                world.release_address(*address);
                Ok(success())
            }
            Self::DisableStaticNat { address } => {
                world.remove_static_nat(*address);
                Ok(success())
            }
            Self::DeleteNetwork { network } => {
                let addresses = world
                    .addresses
                    .iter()
                    .filter(|address| address.network == Some(*network));
                let addresses: Vec<_> = addresses.map(|address| address.id).collect();
                for address in addresses {
                    world.leave_network(address);
                }
                world.networks.remove(*network);
                world.remove_tags(*network);
                Ok(success())
            }
            Self::AuthorizeIngress { group, rules } => {
                let found = world.security_groups.get_mut(*group);
                found
                    .ok_or_else(|| {
                        unexpected("Failed to authorize security group ingress rule(s)")
                    })?
                    .rules
                    .append(rules);
                let found = world.security_groups.get(*group);
                Ok(json!({ "securitygroup": found.map(|group| world.security_group_json(group)) }))
            }
            Self::RevokeIngress { rule } => {
                for group in world.security_groups.iter_mut() {
                    group.rules.retain(|row| row.id != *rule);
                }
                Ok(success())
            }
            Self::CreateTags { tags } => {
                // What has been deleted meanwhile is not tagged any more.
                tags.retain(|tag| world.owner_of(&tag.kind, tag.resource) == Some(Some(tag.owner)));
                world.tags.append(tags);
                Ok(success())
            }
            Self::DeleteTags {
                resources,
                kind,
                tags,
            } => {
                world.tags.retain(|tag| {
                    let named = tags
                        .get(&tag.key)
                        .is_some_and(|value| value.is_empty() || *value == tag.value);
                    let meant = resources.contains(&tag.resource)
                        && tag.kind == *kind
                        && (tags.is_empty() || named);
                    !meant
                });
                Ok(success())
            }
            Self::DetachVolume { volume } => {
                if let Some(volume) = world.volumes.get_mut(*volume) {
                    volume.machine = None;
                }
                let found = world.volumes.get(*volume);
                Ok(json!({ "volume": found.map(|volume| world.volume_json(volume)) }))
            }
        }
    }

    /// What is left when it fails after it began.
    pub(super) fn abort(&mut self, world: &mut World, now: Timestamp) {
        match self {
            // A machine that never ran stays behind in error, and its owner has to remove it.
            Self::Deploy { machine, .. } => {
                if let Some(machine) = world.machines.get_mut(*machine) {
                    machine.state = MachineState::Error;
                    machine.nics.clear();
                }
            }
            Self::Start { machine } => set_state(world, *machine, MachineState::Stopped),
            Self::Stop { machine, .. } => {
                if world
                    .machines
                    .get(*machine)
                    .is_some_and(|machine| machine.state == MachineState::Stopping)
                {
                    set_state(world, *machine, MachineState::Running);
                }
            }
            Self::Destroy {
                machine, before, ..
            } => set_state(world, *machine, *before),
            Self::Expunge { machine } => world.destroy_machine(*machine, now),
            Self::CreateForward { rule } => world.remove_forward(*rule),
            Self::CreateFirewall { rule } => world.firewall.remove(*rule),
            Self::Associate { address } => world.release_address(*address),
            Self::Disassociate { address } => {
                if let Some(address) = world.addresses.get_mut(*address) {
                    address.state = AddressState::Allocated;
                }
            }
            Self::DeleteForward { rule } => {
                if let Some(rule) = world.forwards.get_mut(*rule) {
                    rule.state = RuleState::Active;
                }
            }
            Self::DeleteFirewall { rule } => {
                if let Some(rule) = world.firewall.get_mut(*rule) {
                    rule.state = RuleState::Active;
                }
            }
            Self::Reboot { .. }
            | Self::DisableStaticNat { .. }
            | Self::DeleteNetwork { .. }
            | Self::AuthorizeIngress { .. }
            | Self::RevokeIngress { .. }
            | Self::CreateTags { .. }
            | Self::DeleteTags { .. }
            | Self::DetachVolume { .. } => {}
        }
    }
}
