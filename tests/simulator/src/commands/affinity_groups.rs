//! Affinity groups.

use serde_json::Value;
use uuid::Uuid;

use super::Call;
use crate::error::ApiError;
use crate::world::AFFINITY_TYPE;

pub(super) fn list(call: &mut Call<'_>) -> Result<Value, ApiError> {
    let world = &*call.world;
    let wanted = call.wants(&world.affinity_groups, "id")?;
    let kind = call.params.filled("type");
    let machine = call.known(&world.machines, "virtualmachineid")?;
    let machine = machine.map(|id| world.machines.get(id));
    let groups = call.mine(&world.affinity_groups).filter(|group| {
        wanted(group.id)
            && call.is_named(&group.name)
            && call.has_keyword(&group.name)
            && kind.is_none_or(|kind| kind.eq_ignore_ascii_case(AFFINITY_TYPE))
            && machine.is_none_or(|machine| {
                machine.is_some_and(|machine| machine.affinity_groups.contains(&group.id))
            })
    });
    call.list(
        "affinitygroup",
        groups
            .map(|group| world.affinity_group_json(group))
            .collect(),
    )
}

/// The groups that a new machine is to be in, by id or by name, which have to belong to whom it belongs to.
pub(super) fn of_new_machine(call: &Call<'_>) -> Result<Vec<Uuid>, ApiError> {
    let groups = &call.world.affinity_groups;
    let names = call.params.list("affinitygroupnames");
    let Some(ids) = call.params.ids("affinitygroupids")? else {
        let find = |name: &str| {
            let group = call.mine(groups).find(|group| group.name == name);
            group.map(|group| group.id).ok_or_else(|| {
                ApiError::invalid(format!("Unable to find affinity group by name {name}"))
            })
        };
        return names.unwrap_or_default().into_iter().map(find).collect();
    };
    if names.is_some() {
        return Err(ApiError::invalid(
            "affinitygroupids parameter is mutually exclusive with affinitygroupnames parameter",
        ));
    }
    let check = |id: Uuid| match groups.get(id) {
        None => Err(ApiError::no_entity(
            call.params.command(),
            "affinitygroupids",
            &id.to_string(),
        )),
        Some(group) if !call.may_use(Some(group.owner)) => Err(call.denied(Some(group.owner))),
        Some(group) if group.owner != call.owner => Err(ApiError::denied(format!(
            "The affinity group {id} and the machine belong to different accounts"
        ))),
        Some(_) => Ok(id),
    };
    ids.into_iter().map(check).collect()
}
