//! What can be named in a driver's options, and how much of the account's limits is used: what a driver with an inventory
//! tells.

use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use super::answer::{check_listable, sane_candidates, sane_limits};
use super::options::Options;
use super::{Error, Flags, LazyDriver, Loaded, Surroundings};
use crate::capability::Capabilities;
use crate::capability::clock::Cancel;
use crate::capability::keys::Keys;
use crate::capability::state::Nowhere;
use crate::contract::types::ErrorKind;
use crate::contract::{self, Candidate, Limit, ListableOption, OptionSpec, Value};
use crate::sandbox;

impl Loaded {
    /// The options whose names the driver can list; nothing where it has no inventory.
    ///
    /// # Errors
    ///
    /// If the driver does not run to its end, or tells what is against the contract.
    pub fn listable(&self) -> Result<&[ListableOption], Error> {
        if let Some(listable) = self.listable.get() {
            return Ok(listable);
        }
        let listable = match self.driver.has_inventory() {
            true => self.driver.listable()?,
            false => Vec::new(),
        };
        check_listable(&listable, &self.description.options)
            .map_err(sandbox::Error::Description)?;
        Ok(self.listable.get_or_init(|| listable))
    }
}

/// What a driver can list for an account.
pub struct Inventory {
    loaded: Arc<Loaded>,
    surroundings: Surroundings,
    options: Arc<Options>,
}

impl Inventory {
    /// That of the account, and of what else flags, the environment or a profile tell of a new machine.
    ///
    /// # Errors
    ///
    /// If the driver has no inventory, or an option is malformed or, if it is about the account, missing.
    pub fn new(
        driver: &LazyDriver,
        surroundings: Surroundings,
        flags: &Flags,
    ) -> Result<Self, Error> {
        let loaded = driver.loaded()?;
        if !loaded.driver.has_inventory() {
            return Err(sandbox::Error::NoInventory.into());
        }
        let listable = loaded.listable()?;
        let can_be_listed = |spec: &OptionSpec| listable.iter().any(|l| l.option_name == spec.name);
        let specs = &loaded.description.options;
        let profile = surroundings.profile(&loaded)?;
        let given = loaded.given(&surroundings, flags, profile.as_deref());
        let options = Options::for_inventory(specs, &given, &can_be_listed)?;
        loaded.check_hosts(&options.endpoints)?;
        Ok(Self {
            loaded,
            surroundings,
            options: Arc::new(options),
        })
    }

    /// What an option can name, by name. What is not told within `patience` is given up.
    ///
    /// # Errors
    ///
    /// If the cloud does not tell.
    pub fn candidates(&self, option: &str, patience: Duration) -> Result<Vec<Candidate>, Error> {
        let asked = option.to_owned();
        let told = self.ask(patience, move |loaded, capabilities, values| {
            loaded.driver.candidates(capabilities, values, &asked)
        })?;
        Ok(sane_candidates(told, &self.options.secrets)?)
    }

    /// How much of the account's limits is used. What is not told within `patience` is given up.
    ///
    /// # Errors
    ///
    /// If the cloud does not tell.
    pub fn limits(&self, patience: Duration) -> Result<Vec<Limit>, Error> {
        let told = self.ask(patience, |loaded, capabilities, values| {
            loaded.driver.account_limits(capabilities, values)
        })?;
        Ok(sane_limits(told, &self.options.secrets)?)
    }

    /// Asks the driver on a thread of its own: it can hang in a request, and is then told to stop and not waited for.
    fn ask<R: Send + 'static>(
        &self,
        patience: Duration,
        question: impl FnOnce(
            &Loaded,
            Capabilities,
            &[(String, Value)],
        ) -> Result<Result<R, contract::Error>, sandbox::Error>
        + Send
        + 'static,
    ) -> Result<R, Error> {
        let cancel = Cancel::default();
        let mut surroundings = self.surroundings.clone();
        surroundings.client = surroundings.client.with_limit(patience);
        let capabilities = surroundings.capabilities(
            &self.loaded,
            &self.options,
            cancel.clone(),
            Keys::Denied,
            Box::new(Nowhere),
        );
        let values: Vec<_> = self.options.values.clone().into_iter().collect();
        let loaded = Arc::clone(&self.loaded);
        let (sender, receiver) = mpsc::sync_channel(1);
        thread::spawn(move || drop(sender.send(question(&loaded, capabilities, &values))));
        match receiver.recv_timeout(patience) {
            Ok(answer) => answer?.map_err(|e| Error::driver(e, &self.options.secrets)),
            Err(RecvTimeoutError::Timeout) => {
                cancel.set();
                Err(Error::Driver {
                    kind: ErrorKind::TimedOut,
                    message: format!("no answer within {} s", patience.as_secs()),
                    hint: None,
                })
            }
            Err(RecvTimeoutError::Disconnected) => {
                let reason = "its thread has ended".to_owned();
                Err(sandbox::Error::Engine(reason).into())
            }
        }
    }
}
