//! Asynchronous jobs: what a command sets off, and what it has done when its time is over.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::clock::{later, print};
use crate::error::Failure;
use crate::hypervisor::Task;
use crate::world::{
    AddressState, Entity, IngressRule, MachineState, RuleState, Tag, VolumeKind, World,
};

/// An exception that a command does not expect is an internal error to CloudStack's job runner, whatever its kind.
fn unexpected(text: impl Into<String>) -> Failure {
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

#[derive(Debug)]
enum Phase {
    /// Waits for an earlier job on the same thing.
    Queued,
    Running,
    Done {
        at: Timestamp,
        result: Result<Value, Failure>,
    },
}

/// What a job is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Instance {
    pub(crate) kind: &'static str,
    pub(crate) id: Uuid,
}

/// A job.
#[derive(Debug)]
pub(crate) struct Job {
    id: Uuid,
    pub(crate) account: Uuid,
    user: Uuid,
    class: &'static str,
    instance: Option<Instance>,
    created: Timestamp,
    begins: Timestamp,
    due: Timestamp,
    work: Work,
    /// A failure that was ordered for it.
    planned: Option<Failure>,
    /// What the hypervisor does for it, until that is done.
    task: Option<Task>,
    phase: Phase,
}

impl Entity for Job {
    fn id(&self) -> Uuid {
        self.id
    }
}

/// What is needed to set a job off.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) account: Uuid,
    pub(crate) command: &'static str,
    pub(crate) class: &'static str,
    pub(crate) instance: Option<Instance>,
    pub(crate) work: Work,
    pub(crate) planned: Option<Failure>,
}

impl Job {
    /// The class of the command.
    pub(crate) fn class(&self) -> &'static str {
        self.class
    }

    pub(crate) fn to_json(&self) -> Value {
        let mut value = json!({
            "jobid": self.id, "accountid": self.account, "userid": self.user, "jobprocstatus": 0,
            "cmd": format!("org.apache.cloudstack.api.command.user.{}", self.class),
            "created": print(self.created),
        });
        let fields = match &self.phase {
            Phase::Queued | Phase::Running => json!({ "jobstatus": 0, "jobresultcode": 0 }),
            Phase::Done {
                at,
                result: Ok(result),
            } => json!({
                "jobstatus": 1, "jobresultcode": 0, "jobresulttype": "object", "jobresult": result,
                "completed": print(*at),
            }),
            // The result's code is that of an internal error for every failure; the real one is inside.
            Phase::Done {
                at,
                result: Err(failure),
            } => json!({
                "jobstatus": 2, "jobresultcode": 530, "jobresulttype": "object", "completed": print(*at),
                "jobresult": { "errorcode": failure.code, "errortext": failure.text },
            }),
        };
        if let (Some(value), Value::Object(fields)) = (value.as_object_mut(), fields) {
            value.extend(fields);
            if let Some(instance) = self.instance {
                value.insert("jobinstancetype".to_owned(), json!(instance.kind));
                value.insert("jobinstanceid".to_owned(), json!(instance.id));
            }
        }
        value
    }
}

impl World {
    /// Sets a job off. Jobs on one machine run one after the other.
    pub(crate) fn submit(&mut self, order: Order, now: Timestamp) -> Uuid {
        let others = self
            .jobs
            .iter()
            .filter(|job| !matches!(job.phase, Phase::Done { .. }));
        let same = others.filter(|job| order.instance.is_some() && job.instance == order.instance);
        let begins = same.map(|job| job.due).max().unwrap_or(now).max(now);
        let user = self
            .accounts
            .get(order.account)
            .map_or(Uuid::nil(), |account| account.user);
        let id = self.jobs.insert(Job {
            id: Uuid::new_v4(),
            account: order.account,
            user,
            class: order.class,
            instance: order.instance,
            created: now,
            begins,
            due: later(begins, self.behaviour.job_time(order.command)),
            work: order.work,
            planned: order.planned,
            task: None,
            phase: Phase::Queued,
        });
        self.advance(now);
        id
    }

    /// Lets happen what is due by `now`, in its order.
    pub(crate) fn advance(&mut self, now: Timestamp) {
        loop {
            let waiting = self.look_at_tasks();
            let jobs = self.jobs.iter();
            let jobs = jobs.filter(|job| {
                job.task.is_none() && !job.instance.is_some_and(|it| waiting.contains(&it))
            });
            let jobs = jobs.filter_map(|job| match job.phase {
                // What ends comes before what begins at the same time.
                Phase::Running => Some((job.due, 0, job.id)),
                Phase::Queued => Some((job.begins, 2, job.id)),
                Phase::Done { .. } => None,
            });
            let expunge = self
                .next_expunge()
                .map(|(time, machine)| (time, 1, machine));
            // Of jobs that are due together, the one made first comes first.
            let next = jobs
                .chain(expunge)
                .min_by_key(|(time, rank, _)| (*time, *rank));
            match next {
                Some((time, _, _)) if time > now => return,
                Some((_, 1, machine)) => self.expunge_machine(machine),
                Some((time, _, job)) => self.step(job, time),
                None => return,
            }
        }
    }

    /// Sees which of the hypervisor's tasks are done. Tells what is held up by those that are not.
    fn look_at_tasks(&mut self) -> Vec<Instance> {
        let mut waiting = Vec::new();
        for job in self.jobs.iter_mut() {
            match job.task.as_ref().map(Task::outcome) {
                None => {}
                Some(None) => waiting.extend(job.instance),
                Some(Some(outcome)) => {
                    job.task = None;
                    job.planned = outcome.err().map(unexpected);
                }
            }
        }
        waiting
    }

    /// Begins a job that waits, or ends one that runs.
    fn step(&mut self, id: Uuid, at: Timestamp) {
        let Some(job) = self.jobs.get_mut(id) else {
            return;
        };
        let mut work = job.work.clone();
        let mut task = None;
        let next = match (&job.phase, job.planned.take()) {
            (Phase::Queued, planned) => {
                // A job that is going to fail does nothing to the machine itself.
                let is_real = planned.is_none();
                job.planned = planned;
                match work.begin(self, at) {
                    Ok(()) => {
                        task = is_real.then(|| work.set_off(self)).flatten();
                        Phase::Running
                    }
                    Err(failure) => Phase::Done {
                        at,
                        result: Err(failure),
                    },
                }
            }
            (Phase::Running, None) => Phase::Done {
                at,
                result: work.finish(self, at),
            },
            (Phase::Running, Some(failure)) => {
                work.abort(self, at);
                Phase::Done {
                    at,
                    result: Err(failure),
                }
            }
            (Phase::Done { .. }, _) => return,
        };
        if let Some(job) = self.jobs.get_mut(id) {
            job.phase = next;
            job.work = work;
            job.task = task;
        }
    }
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
    fn begin(&mut self, world: &mut World, now: Timestamp) -> Result<(), Failure> {
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
    fn set_off(&self, world: &World) -> Option<Task> {
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
    fn finish(&mut self, world: &mut World, now: Timestamp) -> Result<Value, Failure> {
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
    fn abort(&mut self, world: &mut World, now: Timestamp) {
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
