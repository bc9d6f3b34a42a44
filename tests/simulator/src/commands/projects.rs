//! Accounts and projects.

use serde_json::Value;

use super::Call;
use crate::error::ApiError;

/// Those that the caller is in.
pub(super) fn list(call: &mut Call<'_>) -> Result<Value, ApiError> {
    let world = &*call.world;
    let wanted = call.wants(&world.projects, "id")?;
    let projects = world.projects.iter().filter(|project| {
        world.may_use(call.caller, project.id)
            && wanted(project.id)
            && call.is_named(&project.name)
            && call.has_keyword(&project.name)
            && call.is("displaytext", &project.name)
            && call.is("state", "Active")
    });
    call.list(
        "project",
        projects
            .map(|project| world.project_json(project))
            .collect(),
    )
}

/// The caller's own account, which is all that a user sees.
pub(super) fn list_accounts(call: &mut Call<'_>) -> Result<Value, ApiError> {
    let world = &*call.world;
    let wanted = call.wants(&world.accounts, "id")?;
    let accounts = world.accounts.iter().filter(|account| {
        account.id == call.caller && wanted(account.id) && call.is_named(&account.name)
    });
    call.list(
        "account",
        accounts
            .map(|account| world.account_json(account))
            .collect(),
    )
}
