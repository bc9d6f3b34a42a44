//! `listVirtualMachines`.

use serde_json::{Value, json};

use crate::api::Params;
use crate::commands::{Call, contains};
use crate::error::ApiError;

pub(crate) fn list(call: &mut Call<'_>) -> Result<Value, ApiError> {
    let world = &*call.world;
    let params = call.params;
    let wanted = call.wants(&world.machines, "id")?;
    let ids = params.ids("ids")?;
    let zone = call.wants(&world.zones, "zoneid")?;
    let template = call.wants(&world.templates, "templateid")?;
    let offering = call.wants(&world.service_offerings, "serviceofferingid")?;
    let network = call.known(&world.networks, "networkid")?;
    let group = call.known(&world.security_groups, "securitygroupid")?;
    let user = params.id("userid");
    let hidden = hidden_members(params)?;
    let mut items = Vec::new();
    for machine in call.mine(&world.machines) {
        let state = machine.state.name();
        let shown = !machine.state.is_gone() || world.behaviour.allow_user_expunge;
        let meant = wanted(machine.id)
            && ids.as_ref().is_none_or(|ids| ids.contains(&machine.id))
            // A part of the name is enough.
            && params.filled("name").is_none_or(|name| contains(&machine.name, name))
            && params.filled("keyword").is_none_or(|keyword| {
                contains(&machine.name, keyword) || contains(&machine.display_name, keyword) || contains(state, keyword)
            })
            && zone(machine.zone)
            && template(machine.template)
            && offering(machine.offering)
            && network.is_none_or(|network| machine.nics.iter().any(|nic| nic.network == network))
            && group.is_none_or(|group| machine.security_groups.contains(&group))
            && params.filled("keypair").is_none_or(|name| machine.key_pairs.iter().any(|pair| pair == name))
            && params.filled("state").is_none_or(|wanted| match wanted.to_lowercase().as_str() {
                // What a user takes for there.
                "present" => !machine.state.is_gone(),
                other => state.eq_ignore_ascii_case(other),
            })
            && params.filled("hypervisor").is_none_or(|hypervisor| hypervisor.eq_ignore_ascii_case("KVM"))
            && params.flag("displayvm") != Some(false)
            && user.is_none_or(|user| world.accounts.get(machine.owner).is_some_and(|row| row.user == user))
            && call.is_tagged(machine.id)?;
        if shown && meant {
            let mut item = world.machine_json(machine);
            if let (Some(item), Some(data), Some(true)) = (
                item.as_object_mut(),
                &machine.user_data,
                params.flag("userdata"),
            ) {
                item.insert("userdata".to_owned(), json!(data));
            }
            if let Some(item) = item.as_object_mut() {
                item.retain(|member, _| !hidden.contains(&member.as_str()));
            }
            items.push(item);
        }
    }
    call.list("virtualmachine", items)
}

/// The members of a machine that are there only if its `details` are asked for, as `ListVMsCmd` and `UserVmJoinDaoImpl` of
/// CloudStack have it. Without the parameter all of them are.
fn hidden_members(params: &Params) -> Result<Vec<&'static str>, ApiError> {
    const DETAILS: [(&str, &[&str]); 10] = [
        ("group", &["group", "groupid"]),
        ("nics", &["nic"]),
        ("stats", &["cpunumber", "cpuspeed", "memory"]),
        ("secgrp", &["securitygroup"]),
        (
            "tmpl",
            &[
                "templateid",
                "templatename",
                "templatedisplaytext",
                "passwordenabled",
            ],
        ),
        (
            "servoff",
            &[
                "serviceofferingid",
                "serviceofferingname",
                "cpunumber",
                "cpuspeed",
                "memory",
            ],
        ),
        ("diskoff", &["diskofferingid", "diskofferingname"]),
        ("iso", &["isoid", "isoname", "isodisplaytext"]),
        ("volume", &["rootdeviceid", "rootdevicetype"]),
        ("affgrp", &["affinitygroup"]),
    ];
    let Some(asked) = params.list("details").filter(|asked| !asked.is_empty()) else {
        return Ok(Vec::new());
    };
    let is_known = |detail: &str| {
        let mut known = DETAILS.iter().map(|(name, _)| *name);
        known.any(|name| name == detail) || ["all", "min"].contains(&detail)
    };
    if let Some(unknown) = asked.iter().find(|detail| !is_known(detail)) {
        return Err(ApiError::invalid(format!(
            "The details parameter contains a non permitted value: {unknown}"
        )));
    }
    if asked.contains(&"all") {
        return Ok(Vec::new());
    }
    let (shown, hidden): (Vec<_>, Vec<_>) = DETAILS
        .iter()
        .flat_map(|(name, members)| members.iter().map(move |member| (name, *member)))
        .partition(|(name, _)| asked.contains(name));
    let is_shown = |member: &str| shown.iter().any(|(_, shown)| *shown == member);
    Ok(hidden
        .into_iter()
        .map(|(_, member)| member)
        .filter(|member| !is_shown(member))
        .collect())
}
