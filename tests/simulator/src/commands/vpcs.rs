//! Virtual private clouds.

use serde_json::Value;

use super::Call;
use crate::error::ApiError;

pub(super) fn list(call: &mut Call<'_>) -> Result<Value, ApiError> {
    let world = &*call.world;
    let wanted = call.wants(&world.vpcs, "id")?;
    let zone = call.wants(&world.zones, "zoneid")?;
    let none = call.params.flag("restartrequired") == Some(true);
    let vpcs = call.mine(&world.vpcs).filter(|vpc| {
        !none
            && wanted(vpc.id)
            && zone(vpc.zone)
            && call.is_named(&vpc.name)
            && call.has_keyword(&vpc.name)
            && call.is("displaytext", &vpc.name)
            && call.is("cidr", &vpc.cidr.to_string())
            && call.is("state", "Enabled")
    });
    call.list("vpc", vpcs.map(|vpc| world.vpc_json(vpc)).collect())
}
