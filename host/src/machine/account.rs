//! What the service does with an account in the cloud, and with no machine that it knows.

use std::sync::Arc;

use serde_json::{Map, Value as Json};

use super::answer::sane_found;
use super::options::{Options, config_keys};
use super::{Error, Flags, LazyDriver, Loaded, Machine, Record, Surroundings};
use crate::capability::http::{Client, Endpoint};
use crate::capability::keys::Keys;
use crate::capability::state::Nowhere;

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
    pub(super) saved: Map<String, Json>,
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
        let keys = config_keys(&self.loaded.description.options);
        let max_saved = self.loaded.driver.limits().saved_size;
        Ok(sane_found(found, &self.options.secrets, &keys, max_saved)?)
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
}
