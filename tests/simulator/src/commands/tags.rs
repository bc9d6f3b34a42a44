//! Tags.

use serde_json::Value;
use uuid::Uuid;

use super::Call;
use crate::error::ApiError;
use crate::jobs::Work;
use crate::world::Tag;

pub(super) fn create(call: &mut Call<'_>) -> Result<Value, ApiError> {
    let (resources, kind) = resources(call)?;
    let wanted = call.params.key_values("tags")?;
    if wanted.is_empty() {
        return Err(ApiError::invalid("At least one tag has to be given"));
    }
    let customer = call.params.filled("customer");
    let mut tags = Vec::new();
    for resource in resources {
        // A tag belongs to whom its resource belongs to, whoever puts it on.
        let owner = call.world.owner_of(&kind, resource).flatten();
        for (key, value) in &wanted {
            if call.world.tags_of(resource).any(|tag| tag.key == *key) {
                return Err(ApiError::invalid(format!(
                    "tag {key} already on {kind} with id {resource}"
                )));
            }
            tags.push(Tag {
                owner: owner.unwrap_or(call.caller),
                kind: kind.clone(),
                resource,
                key: key.clone(),
                value: value.clone(),
                customer: customer.map(str::to_owned),
            });
        }
    }
    Ok(call.start_job(Work::CreateTags { tags }, None))
}

pub(super) fn delete(call: &mut Call<'_>) -> Result<Value, ApiError> {
    let (resources, kind) = resources(call)?;
    let tags = call.params.key_values("tags")?;
    Ok(call.start_job(
        Work::DeleteTags {
            resources,
            kind,
            tags,
        },
        None,
    ))
}

pub(super) fn list(call: &mut Call<'_>) -> Result<Value, ApiError> {
    let tags = call.world.tags.iter().filter(|tag| {
        tag.owner == call.owner
            && call.is("key", &tag.key)
            && call.is("value", &tag.value)
            && call.is("resourceid", &tag.resource.to_string())
            && call.is("resourcetype", &tag.kind)
            && call.is("customer", tag.customer.as_deref().unwrap_or_default())
            && call.has_keyword(&tag.key)
    });
    call.list("tag", tags.map(|tag| call.world.tag_json(tag)).collect())
}

/// The resources that a call is about, which the caller may act on, and their kind as CloudStack writes it.
fn resources(call: &Call<'_>) -> Result<(Vec<Uuid>, String), ApiError> {
    let world = &*call.world;
    let wanted = call.params.required("resourcetype")?;
    let kinds = [
        "UserVm",
        "Volume",
        "Network",
        "PublicIpAddress",
        "PortForwardingRule",
        "FirewallRule",
        "SecurityGroup",
    ];
    let kind = kinds
        .into_iter()
        .find(|kind| kind.eq_ignore_ascii_case(wanted));
    let kind = kind.ok_or_else(|| ApiError::invalid(format!("Invalid resource type: {wanted}")))?;
    let ids = call.params.ids("resourceids")?.unwrap_or_default();
    for id in &ids {
        let owner = world.owner_of(kind, *id);
        match owner {
            None => {
                return Err(ApiError::invalid(format!(
                    "Unable to find resource by uuid {id} and type {kind}"
                )));
            }
            Some(owner) if !call.may_use(owner) => return Err(call.denied(owner)),
            Some(_) => {}
        }
    }
    Ok((ids, kind.to_owned()))
}
