//! Volumes.

use serde_json::Value;

use super::{Call, success};
use crate::error::ApiError;
use crate::jobs::Work;
use crate::world::VolumeKind;

pub(super) fn list(call: &mut Call<'_>) -> Result<Value, ApiError> {
    let world = &*call.world;
    let wanted = call.wants(&world.volumes, "id")?;
    let ids = call.params.ids("ids")?;
    let machine = call.known(&world.machines, "virtualmachineid")?;
    let zone = call.wants(&world.zones, "zoneid")?;
    let offering = call.known(&world.disk_offerings, "diskofferingid")?;
    let (kind, state) = (call.params.filled("type"), call.params.filled("state"));
    let mut items = Vec::new();
    for volume in call.mine(&world.volumes) {
        let meant = wanted(volume.id)
            && ids.as_ref().is_none_or(|ids| ids.contains(&volume.id))
            && call.is_named(&volume.name)
            && call.has_keyword(&volume.name)
            && machine.is_none_or(|machine| volume.machine == Some(machine))
            && zone(volume.zone)
            && offering.is_none_or(|offering| volume.offering == Some(offering))
            && kind.is_none_or(|kind| kind.eq_ignore_ascii_case(volume.kind.name()))
            && state.is_none_or(|state| state.eq_ignore_ascii_case("Ready"))
            && call.is_tagged(volume.id)?;
        if meant {
            items.push(world.volume_json(volume));
        }
    }
    call.list("volume", items)
}

pub(super) fn detach(call: &mut Call<'_>) -> Result<Value, ApiError> {
    let id = call.own(&call.world.volumes, "id", "a volume")?;
    match call.world.volumes.get(id) {
        Some(volume) if volume.kind == VolumeKind::Root => {
            return Err(ApiError::invalid(
                "Please specify a data volume or a ROOT volume of a stopped machine",
            ));
        }
        Some(volume) if volume.machine.is_none() => {
            return Err(ApiError::invalid(
                "The specified volume is not attached to a VM.",
            ));
        }
        _ => {}
    }
    Ok(call.start_job(Work::DetachVolume { volume: id }, None))
}

pub(super) fn delete(call: &mut Call<'_>) -> Result<Value, ApiError> {
    let id = call.own(&call.world.volumes, "id", "a volume")?;
    if call
        .world
        .volumes
        .get(id)
        .is_some_and(|volume| volume.machine.is_some())
    {
        return Err(ApiError::invalid(
            "Please specify a volume that is not attached to any VM.",
        ));
    }
    call.world.volumes.remove(id);
    call.world.remove_tags(id);
    Ok(success())
}
