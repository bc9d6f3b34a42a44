//! Jobs.

use serde_json::Value;

use super::Call;
use crate::error::ApiError;

pub(super) fn query(call: &mut Call<'_>) -> Result<Value, ApiError> {
    let id = call.present(&call.world.jobs, "jobid")?;
    match call.world.jobs.get(id) {
        Some(job) if job.account == call.caller => Ok(job.to_json()),
        Some(job) => Err(call.denied(Some(job.account))),
        None => Err(call.no_entity("jobid")),
    }
}

pub(super) fn list(call: &mut Call<'_>) -> Result<Value, ApiError> {
    let jobs = call
        .world
        .jobs
        .iter()
        .filter(|job| job.account == call.caller && call.has_keyword(job.class()));
    call.list("asyncjobs", jobs.map(|job| job.to_json()).collect())
}
