//! What is known of a machine while the process runs, and how it gets into the store: the record, the options and the secrets.

use std::path::Path;
use std::sync::{Arc, Mutex};

use serde_json::{Map, Value as Json};

use super::options::{self, Options, config_keys};
use super::{Error, Loaded, Record, Variables, lock, secrets, store};
use crate::capability::secret::Secrets;
use crate::capability::state::SaveState;
use crate::capability::text::clean;
use crate::contract::types::ErrorKind;
use crate::contract::{self, OptionSpec, Status};

/// What is known of a machine.
#[derive(Default)]
pub(super) struct Remembered {
    pub(super) record: Record,
    /// The options, once somebody has asked for them.
    pub(super) options: Option<Arc<Options>>,
    /// The secrets that are not in the machine's file of secrets yet.
    pub(super) unkept: Secrets,
    /// Whether this is to become a machine: its options are those that it was given here, not what is stored.
    pub(super) is_new: bool,
    /// Whether the driver has saved something since a creation began.
    pub(super) has_saved: bool,
    /// Whether the store had the machine when the record was written last.
    is_stored: bool,
}

impl Remembered {
    /// A machine of which no more than the record is known.
    pub(super) fn new(record: Record) -> Self {
        Self {
            record,
            ..Self::default()
        }
    }

    /// Takes over what the store has of the machine by now, if it has it. What is to become a machine is only here.
    pub(super) fn refresh(&mut self, directory: &Path) -> Result<(), Error> {
        if self.is_new {
            return Ok(());
        }
        let Some(stored) = store::current(directory, &self.record)? else {
            return Ok(());
        };
        if stored.text("MachineID") != self.record.text("MachineID") {
            return Err(Error::Vanished(directory.to_owned()));
        }
        if stored != self.record {
            self.record = stored;
            self.options = None;
        }
        Ok(())
    }

    /// Checks that the place in the store is this machine's own. docker-machine looks for one of the name before it waits for its
    /// turn, so that another one may have been created there meanwhile.
    pub(super) fn check_place(&self, directory: &Path) -> Result<(), Error> {
        let stored = store::current(directory, &self.record)?;
        let id = stored
            .as_ref()
            .map_or("", |stored| stored.text("MachineID"));
        if id.is_empty() || id == self.record.text("MachineID") {
            return Ok(());
        }
        Err(Error::MachineExists(self.record.name().to_owned()))
    }

    pub(super) fn options(
        &mut self,
        specs: &[OptionSpec],
        variables: &Variables,
    ) -> Result<Arc<Options>, Error> {
        if let Some(options) = &self.options {
            return Ok(Arc::clone(options));
        }
        self.take_secrets(specs);
        let mut secrets = match self.record.directory() {
            Some(directory) => secrets::read(&directory)?,
            None => Secrets::default(),
        };
        secrets.extend(self.unkept.clone());
        let options = Arc::new(Options::from_stored(
            specs,
            &self.record,
            &secrets,
            variables,
        )?);
        self.options = Some(Arc::clone(&options));
        Ok(options)
    }

    /// Takes the secrets that an older driver kept in the record out of it.
    fn take_secrets(&mut self, specs: &[OptionSpec]) {
        self.unkept
            .extend(options::take_secrets(specs, &mut self.record));
    }

    /// Moves secrets from the record, where an older driver kept them, to their file.
    pub(super) fn move_secrets(&mut self, specs: &[OptionSpec]) -> Result<(), Error> {
        let before = self.record.clone();
        self.take_secrets(specs);
        self.keep_secrets()?;
        match self.record == before {
            true => Ok(()),
            false => self.persist(),
        }
    }

    /// Writes the secrets that are not there yet into the machine's file.
    pub(super) fn keep_secrets(&mut self) -> Result<(), Error> {
        let directory = self.record.directory();
        let Some(directory) = directory.filter(|_| !self.unkept.is_empty()) else {
            return Ok(());
        };
        let mut secrets = secrets::read(&directory)?;
        secrets.extend(self.unkept.clone());
        secrets::write(&directory, &secrets)?;
        self.unkept = Secrets::default();
        Ok(())
    }

    /// Writes the record into the store, if the store has this machine.
    pub(super) fn persist(&mut self) -> Result<(), Error> {
        let Some(directory) = self.record.directory() else {
            return Ok(());
        };
        let was_stored = std::mem::replace(
            &mut self.is_stored,
            store::update(&directory, &self.record)?,
        );
        match was_stored && !self.is_stored {
            // Whatever is made now would be known to nobody.
            true => Err(Error::Vanished(directory)),
            false => Ok(()),
        }
    }

    pub(super) fn take_addresses(&mut self, status: &Status) {
        // A machine that is not running may have none just now; the last one is still worth knowing.
        let Some(ip) = &status.ip else { return };
        self.record.set("IPAddress", ip.as_str());
        self.record.set("SSHUser", status.ssh_user.as_str());
        self.record.set("SSHHostname", status.ssh_host.as_str());
        self.record.set("SSHPort", status.ssh_port);
        self.record.set("EnginePort", status.engine_port);
    }
}

/// Puts what the driver saves into the record, and that into the store.
pub(super) struct RecordSink {
    pub(super) remembered: Arc<Mutex<Remembered>>,
    pub(super) loaded: Arc<Loaded>,
}

impl SaveState for RecordSink {
    fn save(&mut self, saved: Map<String, Json>) -> Result<(), contract::Error> {
        let internal = |message| contract::Error::new(ErrorKind::Internal, message);
        let mut remembered = lock(&self.remembered);
        remembered.has_saved = true;
        remembered
            .record
            .replace_saved(saved, &config_keys(&self.loaded.description.options))
            .map_err(|member| {
                internal(format!("the driver must not save {}", clean(&member, 100)))
            })?;
        remembered.persist().map_err(|e| internal(e.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::{Engine, Store};

    #[test]
    fn a_machine_is_not_made_in_the_place_of_another() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::at(dir.path().join("store"));
        let of = |id: &str| {
            let mut record = Record::new("m1", store.path());
            record.set("MachineID", id);
            record
        };
        let directory = store.directory("m1");
        let check = |id| Remembered::new(of(id)).check_place(&directory);
        check("a").unwrap();
        store
            .create("m1", &of("a"), "btcloud", &Engine::default())
            .unwrap();
        check("a").unwrap();
        assert!(matches!(check("b"), Err(Error::MachineExists(_))));
    }
}
