//! What the cloud offers: zones, templates and offerings.

use serde_json::{Value, json};

use super::Call;
use crate::config::ZoneKind;
use crate::error::ApiError;

pub(super) fn list_zones(call: &mut Call<'_>) -> Result<Value, ApiError> {
    let wanted = call.wants(&call.world.zones, "id")?;
    let zones = call.world.zones.iter().filter(|zone| {
        wanted(zone.id)
            && call.is_named(&zone.name)
            && call.has_keyword(&zone.name)
            && call.is("networktype", zone.kind.name())
    });
    call.list(
        "zone",
        zones.map(|zone| call.world.zone_json(zone)).collect(),
    )
}

pub(super) fn list_templates(call: &mut Call<'_>) -> Result<Value, ApiError> {
    let filter = call.params.required("templatefilter")?.to_lowercase();
    match filter.as_str() {
        "featured" | "self" | "selfexecutable" | "sharedexecutable" | "executable"
        | "community" => {}
        "all" => {
            return Err(ApiError::invalid(
                "Filter all can be specified by admin only",
            ));
        }
        _ => {
            return Err(ApiError::parameter(format!(
                "Invalid value for templatefilter: {filter}"
            )));
        }
    }
    let wanted = call.wants(&call.world.templates, "id")?;
    let ids = call.params.ids("ids")?;
    let zone = call.known(&call.world.zones, "zoneid")?;
    let hypervisor = call.params.filled("hypervisor");
    let mut items = Vec::new();
    for template in call.world.templates.iter() {
        let own = template.owner == Some(call.owner);
        let shown = match filter.as_str() {
            "featured" => template.public && template.featured,
            "self" | "selfexecutable" => own,
            "sharedexecutable" => false,
            "community" => template.public && !template.featured,
            _ => template.usable_by(call.owner),
        };
        let meant = wanted(template.id)
            && ids.as_ref().is_none_or(|ids| ids.contains(&template.id))
            && call.is_named(&template.name)
            && call.has_keyword(&template.name)
            && hypervisor.is_none_or(|hypervisor| hypervisor.eq_ignore_ascii_case("KVM"))
            && call.is_tagged(template.id)?;
        if shown && meant {
            let zones = template
                .zones
                .iter()
                .filter(|id| zone.is_none_or(|zone| zone == **id));
            items.extend(zones.map(|zone| call.world.template_json(template, *zone)));
        }
    }
    call.list("template", items)
}

pub(super) fn list_service_offerings(call: &mut Call<'_>) -> Result<Value, ApiError> {
    let wanted = call.wants(&call.world.service_offerings, "id")?;
    // Offerings are of every zone.
    call.known(&call.world.zones, "zoneid")?;
    if call.params.flag("issystem") == Some(true) {
        return Err(ApiError::invalid(
            "Only ROOT admins can access system's offering",
        ));
    }
    let (cpus, memory) = (
        call.params.number("cpunumber"),
        call.params.number("memory"),
    );
    let offerings = call.world.service_offerings.iter().filter(|offering| {
        let fits = |wanted: Option<i64>, has: Option<u32>| {
            wanted.is_none_or(|wanted| has.map(i64::from) == Some(wanted))
        };
        wanted(offering.id)
            && call.is_named(&offering.name)
            && call.has_keyword(&offering.name)
            && fits(cpus, offering.size.map(|size| size.cpus))
            && fits(memory, offering.size.map(|size| size.memory_mib))
    });
    call.list(
        "serviceoffering",
        offerings
            .map(|offering| call.world.service_offering_json(offering))
            .collect(),
    )
}

pub(super) fn list_disk_offerings(call: &mut Call<'_>) -> Result<Value, ApiError> {
    let wanted = call.wants(&call.world.disk_offerings, "id")?;
    call.known(&call.world.zones, "zoneid")?;
    let offerings = call.world.disk_offerings.iter();
    let offerings = offerings.filter(|offering| {
        wanted(offering.id) && call.is_named(&offering.name) && call.has_keyword(&offering.name)
    });
    call.list(
        "diskoffering",
        offerings
            .map(|offering| call.world.disk_offering_json(offering))
            .collect(),
    )
}

pub(super) fn list_capabilities(call: &mut Call<'_>) -> Result<Value, ApiError> {
    let behaviour = &call.world.behaviour;
    let secured = call
        .world
        .zones
        .iter()
        .any(|zone| zone.kind == ZoneKind::Basic);
    Ok(json!({ "capability": {
        "cloudstackversion": behaviour.version,
        "allowuserexpungerecovervm": behaviour.allow_user_expunge,
        "allowuserviewdestroyedvm": behaviour.allow_user_expunge,
        "securitygroupsenabled": secured,
        "allowusercreateprojects": false,
        "projectinviterequired": false,
        "userpublictemplateenabled": false,
        "kvmsnapshotenabled": false,
        "customdiskofferingminsize": 1,
        "customdiskofferingmaxsize": 1024,
        "regionsecondaryenabled": false,
        "supportELB": "false",
    } }))
}
