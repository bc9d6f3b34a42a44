//! Security groups.

use serde_json::{Value, json};
use uuid::Uuid;

use super::ports::{cidrs, ports_or_icmp, protocol};
use super::{Call, success};
use crate::error::ApiError;
use crate::jobs::Work;
use crate::world::{IngressRule, IngressSource, SecurityGroup};

pub(super) fn create(call: &mut Call<'_>) -> Result<Value, ApiError> {
    let name = call.params.required("name")?.to_owned();
    if call
        .mine(&call.world.security_groups)
        .any(|group| group.name == name)
    {
        return Err(ApiError::invalid(format!(
            "Unable to create security group, a group with name {name} already exists."
        )));
    }
    let group = SecurityGroup {
        id: Uuid::new_v4(),
        owner: call.owner,
        name,
        description: call
            .params
            .text("description")
            .unwrap_or_default()
            .to_owned(),
        rules: Vec::new(),
        default: false,
    };
    let answer = call.world.security_group_json(&group);
    call.world.security_groups.insert(group);
    Ok(json!({ "securitygroup": answer }))
}

pub(super) fn list(call: &mut Call<'_>) -> Result<Value, ApiError> {
    let world = &*call.world;
    let wanted = call.wants(&world.security_groups, "id")?;
    let name = call.params.filled("securitygroupname");
    let machine = call.known(&world.machines, "virtualmachineid")?;
    let machine = machine.map(|id| world.machines.get(id));
    let mut items = Vec::new();
    for group in call.mine(&world.security_groups) {
        let of_machine = machine.is_none_or(|machine| {
            machine.is_some_and(|machine| machine.security_groups.contains(&group.id))
        });
        let meant = wanted(group.id)
            && name.is_none_or(|name| name == group.name)
            && call.has_keyword(&group.name)
            && of_machine
            && call.is_tagged(group.id)?;
        if meant {
            items.push(world.security_group_json(group));
        }
    }
    call.list("securitygroup", items)
}

/// The group that a call means, by id or by name.
fn meant(call: &Call<'_>, id: &str, name: &str) -> Result<Uuid, ApiError> {
    match (call.params.text(id), call.params.filled(name)) {
        (Some(_), None) => call.own(&call.world.security_groups, id, "security group"),
        (None, Some(wanted)) => {
            let group = call
                .mine(&call.world.security_groups)
                .find(|group| group.name == wanted);
            group.map(|group| group.id).ok_or_else(|| {
                ApiError::invalid(format!(
                    "Unable to find security group {wanted} for account {}",
                    call.world.account_name(call.owner)
                ))
            })
        }
        _ => Err(ApiError::invalid(format!(
            "Either {id} or {name} has to be given, and not both"
        ))),
    }
}

pub(super) fn delete(call: &mut Call<'_>) -> Result<Value, ApiError> {
    let id = meant(call, "id", "name")?;
    if call
        .world
        .security_groups
        .get(id)
        .is_some_and(|group| group.default)
    {
        return Err(ApiError::invalid(
            "The default security group is never deleted",
        ));
    }
    if call
        .world
        .machines
        .iter()
        .any(|machine| machine.security_groups.contains(&id))
    {
        return Err(ApiError::in_use(
            "Cannot delete group when it's in use by virtual machines",
        ));
    }
    let group = call.world.security_groups.get(id);
    let source = group.map(|group| IngressSource::Group {
        account: call.world.account_name(group.owner).to_owned(),
        group: group.name.clone(),
    });
    let mut groups = call.world.security_groups.iter();
    if groups.any(|row| {
        row.id != id
            && row
                .rules
                .iter()
                .any(|rule| Some(&rule.source) == source.as_ref())
    }) {
        return Err(ApiError::in_use(
            "Cannot delete group when there are security rules in the group",
        ));
    }
    call.world.security_groups.remove(id);
    call.world.remove_tags(id);
    Ok(success())
}

pub(super) fn authorize(call: &mut Call<'_>) -> Result<Value, ApiError> {
    let id = meant(call, "securitygroupid", "securitygroupname")?;
    let protocol = match call.params.filled("protocol") {
        Some(_) => protocol(call.params, &["tcp", "udp", "icmp", "all"])?,
        None => "all".to_owned(),
    };
    let (ports, icmp) = ports_or_icmp(call.params, &protocol)?;
    if ports.is_none() && matches!(protocol.as_str(), "tcp" | "udp") {
        return Err(ApiError::invalid(
            "Invalid port range, both start and end ports have to be given",
        ));
    }
    let mut sources: Vec<_> = cidrs(call.params)?
        .into_iter()
        .map(IngressSource::Cidr)
        .collect();
    for entry in call.params.entries("usersecuritygrouplist") {
        let (Some(account), Some(group)) = (entry.get("account"), entry.get("group")) else {
            return Err(ApiError::invalid(
                "Invalid user group specified, fields 'group' and 'account' cannot be null",
            ));
        };
        let owner = call
            .world
            .accounts
            .iter()
            .find(|row| row.name == *account)
            .map(|row| row.id);
        if !call
            .world
            .security_groups
            .iter()
            .any(|row| Some(row.owner) == owner && row.name == *group)
        {
            return Err(ApiError::invalid(format!(
                "Nonexistent security group {group} of account {account}"
            )));
        }
        sources.push(IngressSource::Group {
            account: account.clone(),
            group: group.clone(),
        });
    }
    if sources.is_empty() {
        return Err(ApiError::invalid(
            "At least one cidr or at least one security group needs to be specified",
        ));
    }
    // A rule that there is already is passed over.
    let existing = call
        .world
        .security_groups
        .get(id)
        .map(|group| group.rules.clone())
        .unwrap_or_default();
    let same = |source: &IngressSource| {
        let like = |rule: &IngressRule| {
            rule.protocol == protocol
                && rule.ports == ports
                && rule.icmp == icmp
                && rule.source == *source
        };
        existing.iter().any(like)
    };
    let sources = sources.into_iter().filter(|source| !same(source));
    let rules = sources
        .map(|source| IngressRule {
            id: Uuid::new_v4(),
            protocol: protocol.clone(),
            ports,
            icmp,
            source,
        })
        .collect();
    Ok(call.start_job(Work::AuthorizeIngress { group: id, rules }, None))
}

pub(super) fn revoke(call: &mut Call<'_>) -> Result<Value, ApiError> {
    let rule = call.params.id("id").ok_or_else(|| call.no_entity("id"))?;
    let group = call
        .world
        .security_groups
        .iter()
        .find(|group| group.rules.iter().any(|row| row.id == rule));
    match group {
        Some(group) if call.may_use(Some(group.owner)) => {
            Ok(call.start_job(Work::RevokeIngress { rule }, None))
        }
        Some(group) => Err(call.denied(Some(group.owner))),
        None => Err(call.no_entity("id")),
    }
}
