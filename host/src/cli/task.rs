//! One operation of one machine, for each command that has it.

use std::sync::Arc;

use clap::ArgMatches;
use serde_json::json;

use super::driver::Choice;
use super::failure::Failure;
use super::report::Report;
use super::terminal::{print, print_json};
use crate::capability::clock::Cancel;
use crate::capability::log::{Level, Reporter as _};
use crate::contract::State;
use crate::machine::{Change, Error, LazyDriver, Lock, Machine, Record, Store, is_machine_name};

/// A machine, and what an operation of it takes.
pub(super) struct Task<'t> {
    pub(super) choice: &'t Choice,
    pub(super) store: &'t Store,
    pub(super) cancel: &'t Cancel,
    pub(super) report: Arc<Report>,
    pub(super) name: String,
}

impl<'t> Task<'t> {
    /// One for a machine whose name has been checked.
    pub(super) fn new(
        choice: &'t Choice,
        store: &'t Store,
        cancel: &'t Cancel,
        report: Report,
        name: &str,
    ) -> Self {
        Self {
            choice,
            store,
            cancel,
            report: Arc::new(report),
            name: name.to_owned(),
        }
    }

    /// Has the machine for this process, and says so if that has to be waited for.
    ///
    /// # Errors
    ///
    /// If there is no such machine, or the user has asked to stop meanwhile.
    pub(super) fn lock(&self) -> Result<Lock, Failure> {
        let waiting = |line: &str| self.report.log(Level::Info, line);
        Ok(self.store.lock(&self.name, self.cancel, &waiting)?)
    }

    /// The machine that a record tells of.
    pub(super) fn machine(&self, driver: Arc<LazyDriver>, record: Record) -> Machine {
        let report: Arc<Report> = Arc::clone(&self.report);
        let surroundings = self.choice.surroundings(report, self.cancel.clone());
        Machine::new(driver, surroundings, record)
    }

    /// The machine as the store has it.
    ///
    /// # Errors
    ///
    /// If the store does not have it, or there is no driver for it.
    pub(super) fn stored(&self) -> Result<Machine, Failure> {
        let (record, made_by) = self.store.load(&self.name)?;
        let driver = self.choice.for_machine(&self.name, &made_by)?;
        Ok(self.machine(driver, record))
    }

    /// Starts, stops, kills or restarts the machine.
    ///
    /// # Errors
    ///
    /// As [`Machine::change`].
    pub(super) fn change(&self, change: Change) -> Result<(), Failure> {
        // Before it is read: whoever has it may save something.
        let _lock = self.lock()?;
        Ok(self.stored()?.change(change)?)
    }

    /// Removes the machine, from the cloud and from the store.
    ///
    /// # Errors
    ///
    /// What is left of it in the cloud; the store then has it still.
    pub(super) fn remove(&self) -> Result<(), Failure> {
        let _lock = self.lock()?;
        self.stored()?.change(Change::Remove)?;
        Ok(self.store.remove(&self.name)?)
    }

    /// Prints the machine's state.
    ///
    /// # Errors
    ///
    /// As [`Machine::state`].
    pub(super) fn status(&self, is_json: bool) -> Result<(), Failure> {
        let state = self.stored()?.state()?;
        self.answer("state", state_name(state), is_json)
    }

    /// Prints the machine's address.
    ///
    /// # Errors
    ///
    /// As [`Machine::ip`].
    pub(super) fn ip(&self, is_json: bool) -> Result<(), Failure> {
        let ip = self.stored()?.ip()?;
        self.answer("ip", &ip.to_string(), is_json)
    }

    /// Prints the URL of the machine's engine.
    ///
    /// # Errors
    ///
    /// As [`Machine::url`].
    pub(super) fn url(&self, is_json: bool) -> Result<(), Failure> {
        let url = self.stored()?.url()?;
        self.answer("url", &url, is_json)
    }

    /// Prints what the store has of the machine, without its secrets.
    ///
    /// # Errors
    ///
    /// As [`Machine::record`].
    pub(super) fn inspect(&self) -> Result<(), Failure> {
        let record = self.stored()?.record()?;
        print_json(&self.store.config(&self.name, &record)?)
    }

    fn answer(&self, what: &str, value: &str, is_json: bool) -> Result<(), Failure> {
        match is_json {
            true => print_json(&json!({ "name": self.name, what: value })),
            false => print(value),
        }
    }
}

/// The machine of that name as the store has it, for a command that only asks: of what happens it shows warnings alone.
///
/// # Errors
///
/// As [`Task::stored`].
pub(super) fn stored(
    choice: &Choice,
    store: &Store,
    name: &str,
    matches: &ArgMatches,
) -> Result<Machine, Failure> {
    if !is_machine_name(name) {
        return Err(Error::Name(name.to_owned()).into());
    }
    let report = Report::quiet(matches.get_flag("verbose"));
    Task::new(choice, store, &Cancel::default(), report, name).stored()
}

/// A state as docker-machine writes it.
pub(super) fn state_name(state: State) -> &'static str {
    match state {
        State::None => "",
        State::Running => "Running",
        State::Paused => "Paused",
        State::Saved => "Saved",
        State::Stopped => "Stopped",
        State::Stopping => "Stopping",
        State::Starting => "Starting",
        State::Error => "Error",
        State::Timeout => "Timeout",
        State::NotFound => "Not Found",
    }
}
