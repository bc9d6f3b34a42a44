//! Virtual machines.

mod deploy;
mod list;

pub(super) use deploy::deploy;
pub(super) use list::list;

use serde_json::{Value, json};
use uuid::Uuid;

use super::Call;
use crate::error::ApiError;
use crate::jobs::{Instance, Work};
use crate::world::{MachineState, VolumeKind};

fn instance(id: Uuid) -> Instance {
    Instance {
        kind: "VirtualMachine",
        id,
    }
}

/// Refuses a machine more than the account or project may have. Destroyed ones do not count.
fn check_limit(call: &Call<'_>, owner: Uuid) -> Result<(), ApiError> {
    let machines = call.world.machines.iter();
    let count = machines
        .filter(|machine| machine.owner == owner && !machine.state.is_gone())
        .count();
    match call.world.behaviour.machine_limit {
        Some(limit) if count >= limit => Err(ApiError::limit(format!(
            "Maximum number of resources of type 'user_vm' for account name={} in domain id={} has been exceeded.",
            call.world.account_name(owner),
            call.world.domain.id
        ))),
        _ => Ok(()),
    }
}

pub(super) fn start(call: &mut Call<'_>) -> Result<Value, ApiError> {
    let id = call.own_machine("id")?.id;
    Ok(call.start_job(Work::Start { machine: id }, Some(instance(id))))
}

pub(super) fn stop(call: &mut Call<'_>) -> Result<Value, ApiError> {
    let id = call.own_machine("id")?.id;
    let forced = call.params.flag("forced").unwrap_or(false);
    let work = Work::Stop {
        machine: id,
        forced,
    };
    Ok(call.start_job(work, Some(instance(id))))
}

pub(super) fn reboot(call: &mut Call<'_>) -> Result<Value, ApiError> {
    let id = call.own_machine("id")?.id;
    Ok(call.start_job(Work::Reboot { machine: id }, Some(instance(id))))
}

pub(super) fn destroy(call: &mut Call<'_>) -> Result<Value, ApiError> {
    let machine = call.own_machine("id")?;
    let (id, before) = (machine.id, machine.state);
    let expunge = call.params.flag("expunge").unwrap_or(false);
    let volumes = call.params.ids("volumeids")?.unwrap_or_default();
    for volume in &volumes {
        let attached = call.world.volumes.get(*volume);
        if attached.is_none_or(|row| row.machine != Some(id) || row.kind != VolumeKind::Data) {
            return Err(ApiError::invalid(format!(
                "Volume {volume} is no data volume attached to VM {id}"
            )));
        }
    }
    Ok(call.start_job(
        Work::Destroy {
            machine: id,
            expunge,
            volumes,
            before,
        },
        Some(instance(id)),
    ))
}

pub(super) fn expunge(call: &mut Call<'_>) -> Result<Value, ApiError> {
    let id = call.own_machine("id")?.id;
    Ok(call.start_job(Work::Expunge { machine: id }, Some(instance(id))))
}

pub(super) fn recover(call: &mut Call<'_>) -> Result<Value, ApiError> {
    let machine = call.own_machine("id")?;
    let (id, owner) = (machine.id, machine.owner);
    if !call.world.behaviour.allow_user_expunge {
        return Err(ApiError::denied(
            "Recovering a vm can only be done by an Admin. Or when the allow.user.expunge.recover.vm key is set.",
        ));
    }
    if machine.state != MachineState::Destroyed {
        return Err(ApiError::invalid(format!(
            "vm {id} is not in the Destroyed state, so it can't be recovered"
        )));
    }
    check_limit(call, owner)?;
    if let Some(machine) = call.world.machines.get_mut(id) {
        machine.state = MachineState::Stopped;
        machine.expunge_at = None;
    }
    let machine = call.world.machines.get(id);
    Ok(json!({ "virtualmachine": machine.map(|machine| call.world.machine_json(machine)) }))
}
