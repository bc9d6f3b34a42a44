//! A call of a command, and what commands ask about it.

use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Command, contains};
use crate::api::{self, Params};
use crate::error::ApiError;
use crate::faults::Faults;
use crate::jobs::{Instance, Order, Work};
use crate::world::{Entity, Machine, Owned, Table, World};

/// A call of a command by a user.
pub(crate) struct Call<'a> {
    pub(crate) world: &'a mut World,
    pub(crate) faults: &'a mut Faults,
    pub(crate) params: &'a Params,
    /// The account that calls.
    pub(crate) caller: Uuid,
    /// Whose things are meant, and who owns what is made: the project of `projectid`, or else the caller.
    pub(crate) owner: Uuid,
    pub(crate) now: Timestamp,
    /// Whether it came by GET.
    pub(crate) get: bool,
    pub(crate) command: &'static Command,
}

impl Call<'_> {
    /// The account or project that the parameters say to act for.
    pub(crate) fn scope(&self) -> Result<Uuid, ApiError> {
        if self
            .params
            .id("domainid")
            .is_some_and(|domain| domain != self.world.domain.id)
        {
            return Err(self.no_entity("domainid"));
        }
        let account = self.params.text("account");
        if self.params.text("projectid").is_some() {
            if account.is_some() {
                return Err(ApiError::invalid(
                    "Account and projectId can't be specified together",
                ));
            }
            let project = self.present(&self.world.projects, "projectid")?;
            if !self.world.may_use(self.caller, project) {
                return Err(ApiError::denied(format!(
                    "Account {} is unauthorised to use project id={project}",
                    self.world.describe(self.caller)
                )));
            }
            return Ok(project);
        }
        match account {
            Some(account) if account != self.world.account_name(self.caller) => {
                let other = self.world.accounts.iter().find(|row| row.name == account);
                Err(match other {
                    Some(other) => self.denied(Some(other.id)),
                    None => ApiError::invalid(format!(
                        "Unable to find account {account} in domain {}",
                        self.world.domain.id
                    )),
                })
            }
            _ => Ok(self.caller),
        }
    }

    pub(super) fn no_entity(&self, name: &str) -> ApiError {
        ApiError::no_entity(
            self.params.command(),
            name,
            self.params.text(name).unwrap_or_default(),
        )
    }

    pub(super) fn denied(&self, owner: Option<Uuid>) -> ApiError {
        ApiError::denied(format!(
            "{} does not have permission to operate with resource {}",
            self.world.describe(self.caller),
            owner.map_or_else(
                || "of the system".to_owned(),
                |owner| self.world.describe(owner)
            )
        ))
    }

    /// The id that a parameter gives, which has to be of something that there is or was; none if it was not sent.
    pub(super) fn known<T: Entity>(
        &self,
        table: &Table<T>,
        name: &str,
    ) -> Result<Option<Uuid>, ApiError> {
        match self.params.id(name) {
            Some(id) if !table.knows(id) => Err(self.no_entity(name)),
            found => Ok(found),
        }
    }

    /// The id that a required parameter gives, of something that there is.
    pub(super) fn present<T: Entity>(
        &self,
        table: &Table<T>,
        name: &str,
    ) -> Result<Uuid, ApiError> {
        self.params.required(name)?;
        let id = self
            .known(table, name)?
            .filter(|id| table.get(*id).is_some());
        id.ok_or_else(|| self.no_entity(name))
    }

    /// Whether the caller may act on what belongs to an owner.
    pub(super) fn may_use(&self, owner: Option<Uuid>) -> bool {
        owner.is_some_and(|owner| self.world.may_use(self.caller, owner))
    }

    /// The id that a required parameter gives, of something that there is and that the caller or a project of theirs
    /// owns. `what` names it in the error for something that is gone.
    pub(super) fn own<T: Owned>(
        &self,
        table: &Table<T>,
        name: &str,
        what: &str,
    ) -> Result<Uuid, ApiError> {
        self.params.required(name)?;
        let id = self
            .known(table, name)?
            .ok_or_else(|| self.no_entity(name))?;
        match table.get(id) {
            None => Err(ApiError::invalid(format!(
                "unable to find {what} with id {id}"
            ))),
            Some(row) if self.may_use(row.owner()) => Ok(id),
            Some(row) => Err(self.denied(row.owner())),
        }
    }

    /// The machine that a required parameter gives.
    pub(super) fn own_machine(&self, name: &str) -> Result<&Machine, ApiError> {
        let id = self.own(&self.world.machines, name, "a virtual machine")?;
        self.world
            .machines
            .get(id)
            .ok_or_else(|| self.no_entity(name))
    }

    /// What of a table belongs to whom the call is for.
    pub(super) fn mine<'w, T: Owned>(
        &self,
        table: &'w Table<T>,
    ) -> impl Iterator<Item = &'w T> + use<'w, T> {
        let owner = self.owner;
        table.iter().filter(move |row| row.owner() == Some(owner))
    }

    /// Whether something has the id that `id` asks for, if it asks for one.
    pub(super) fn wants<T: Entity>(
        &self,
        table: &Table<T>,
        name: &str,
    ) -> Result<impl Fn(Uuid) -> bool + use<T>, ApiError> {
        let wanted = self.known(table, name)?;
        Ok(move |id| wanted.is_none_or(|wanted| wanted == id))
    }

    /// Whether a name has the part that `keyword` asks for, if it asks for one.
    pub(super) fn has_keyword(&self, name: &str) -> bool {
        self.params
            .filled("keyword")
            .is_none_or(|keyword| contains(name, keyword))
    }

    /// Whether something has the value that a parameter asks for, ignoring case, if it asks for one.
    pub(super) fn is(&self, name: &str, has: &str) -> bool {
        self.params
            .filled(name)
            .is_none_or(|wanted| wanted.eq_ignore_ascii_case(has))
    }

    /// Whether a name is the one that `name` asks for, if it asks for one.
    pub(super) fn is_named(&self, name: &str) -> bool {
        self.is("name", name)
    }

    /// Whether a resource bears the tags that `tags` asks for.
    pub(super) fn is_tagged(&self, resource: Uuid) -> Result<bool, ApiError> {
        Ok(self
            .world
            .has_tags(resource, &self.params.key_values("tags")?))
    }

    /// Sets a job off and answers with it.
    pub(super) fn start_job(&mut self, work: Work, instance: Option<Instance>) -> Value {
        let class = self.command.class.unwrap_or_default();
        let planned = self.faults.of_job(self.command.name);
        let order = Order {
            account: self.caller,
            command: self.command.name,
            class,
            instance,
            work,
            planned,
        };
        json!({ "jobid": self.world.submit(order, self.now) })
    }

    /// Sets a job off that makes something, and answers with both.
    pub(super) fn start_creation(&mut self, work: Work, instance: Instance) -> Value {
        let mut answer = self.start_job(work, Some(instance));
        if let Some(answer) = answer.as_object_mut() {
            answer.insert("id".to_owned(), json!(instance.id));
        }
        answer
    }

    pub(super) fn list(&self, key: &str, items: Vec<Value>) -> Result<Value, ApiError> {
        api::list(self.params, key, items)
    }
}
