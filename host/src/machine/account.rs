//! What the service does with an account in the cloud, and with no machine that it knows.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Map, Value as Json};

use super::options::Options;
use super::{Error, Flags, LazyDriver, Loaded, Machine, Record, Surroundings, is_machine_name};
use crate::capability::http::{Client, Endpoint};
use crate::capability::keys::Keys;
use crate::capability::log::shown;
use crate::capability::state::{Nowhere, members};
use crate::contract::FoundMachine;
use crate::sandbox;

/// The most bytes of what a driver tells of one thing that it found.
const MAX_PART: usize = 500;

/// The most machines that a driver may find, and the most things of each.
const MAX_FOUND: usize = 10_000;

/// An account in a cloud.
pub struct Account {
    driver: Arc<LazyDriver>,
    loaded: Arc<Loaded>,
    surroundings: Surroundings,
    options: Arc<Options>,
}

/// What the cloud has of a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The machine's name.
    pub name: String,
    /// The machine's id.
    pub id: String,
    /// What there is, one line each.
    pub parts: Vec<String>,
    /// What the driver needs to remove it.
    saved: Map<String, Json>,
}

impl Account {
    /// The account that the flags or the environment tell.
    ///
    /// # Errors
    ///
    /// If an option is missing or malformed.
    pub fn new(
        driver: Arc<LazyDriver>,
        surroundings: Surroundings,
        flags: &Flags,
    ) -> Result<Self, Error> {
        let loaded = driver.loaded()?;
        let specs = &loaded.description.options;
        let profile = surroundings.profile(&loaded)?;
        let given = loaded.given(&surroundings, flags, profile.as_deref());
        let options = Options::of_account(specs, &given)?;
        loaded.check_hosts(&options.endpoints)?;
        Ok(Self {
            driver,
            loaded,
            surroundings,
            options: Arc::new(options),
        })
    }

    /// Where its cloud is called.
    pub fn endpoints(&self) -> Vec<Endpoint> {
        self.options.endpoints.values().cloned().collect()
    }

    /// The connections to its cloud.
    pub fn client(&self) -> Client {
        self.surroundings.client.trusting(&self.options.trust)
    }

    /// Whether its cloud's certificates are not verified.
    pub fn is_insecure(&self) -> bool {
        self.options.is_insecure
    }

    /// What the account has that bears the driver's marks, machine by machine.
    ///
    /// # Errors
    ///
    /// If the cloud does not tell, or the driver tells what is against the contract.
    pub fn survey(&self) -> Result<Vec<Found>, Error> {
        let capabilities = self.surroundings.capabilities(
            &self.loaded,
            &self.options,
            self.surroundings.cancel.clone(),
            Keys::Denied,
            Box::new(Nowhere),
        );
        let values: Vec<_> = self.options.values.clone().into_iter().collect();
        let found = self.loaded.driver.survey(capabilities, &values)?;
        let found = found.map_err(|e| Error::driver(e, &self.options.secrets))?;
        if found.len() > MAX_FOUND {
            return Err(against_contract(format!(
                "it found more than {MAX_FOUND} machines"
            )));
        }
        let mut ids = BTreeSet::new();
        let sane = found.into_iter().map(|machine| {
            if !ids.insert(machine.id.clone()) {
                return Err(against_contract("it found a machine twice"));
            }
            self.sane(machine).map_err(against_contract)
        });
        sane.collect()
    }

    /// A machine that was found, to be removed. No store has it.
    pub fn machine(&self, found: &Found) -> Machine {
        let mut record = Record::default();
        record.set("MachineName", found.name.as_str());
        record.set("MachineID", found.id.as_str());
        for (member, value) in &found.saved {
            record.set(member, value.clone());
        }
        Machine::with_options(
            Arc::clone(&self.driver),
            self.surroundings.clone(),
            record,
            Arc::clone(&self.options),
        )
    }

    /// Holds what a driver tells of a machine that it found to the contract.
    ///
    /// # Errors
    ///
    /// What is wrong, as a clause for the user.
    fn sane(&self, machine: FoundMachine) -> Result<Found, &'static str> {
        let FoundMachine {
            name,
            id,
            parts,
            saved,
        } = machine;
        let shown = |part: String| shown(&part, &self.options.secrets, MAX_PART).replace('\n', " ");
        match () {
            () if !is_machine_name(&name) => {
                return Err("it found a machine whose name is invalid");
            }
            () if !super::is_id(&id) => return Err("it found a machine whose id is invalid"),
            () if parts.len() > MAX_FOUND => return Err("it found a machine of too many parts"),
            () => {}
        }
        let invalid = "it found a machine for which it remembers what is invalid";
        let saved = members(&saved, self.loaded.driver.limits().saved_size).map_err(|_| invalid)?;
        let keys = super::config_keys(&self.loaded.description.options);
        let kept = Record::default().replace_saved(saved.clone(), &keys);
        kept.map_err(|_| invalid)?;
        Ok(Found {
            name,
            id,
            parts: parts.into_iter().map(shown).collect(),
            saved,
        })
    }
}

fn against_contract(reason: impl Into<String>) -> Error {
    sandbox::Error::Answer(reason.into()).into()
}
