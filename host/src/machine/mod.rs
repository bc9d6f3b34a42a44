//! The machine service: what both doors do with a machine.

mod account;
pub(crate) mod answer;
pub mod checkup;
mod driver;
mod engine;
mod error;
mod flag;
mod fleet;
mod inventory;
mod lock;
mod memory;
pub(crate) mod options;
pub mod profile;
mod record;
mod secrets;
mod store;
mod surroundings;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, TryLockError};

use serde_json::Value as Json;

use crate::capability::Capabilities;
use crate::capability::clock::Cancel;
use crate::capability::keys::Keys;
use crate::capability::log::Level;
use crate::capability::secret::Secrets;
use crate::contract::{self, State, Status};
use crate::files;
use answer::{is_ssh_user, sane_status};
use memory::{RecordSink, Remembered};
use options::{Options, config_keys};

pub use crate::sandbox::Change;
pub use account::{Account, Found};
pub use driver::{LazyDriver, Loaded};
pub use engine::{Engine, EngineOptions, INSTALL_URL};
pub use error::Error;
pub use flag::{Flag, Flags, Origin, Variables};
pub use fleet::{Entry, Fleet, Sighting, Trouble};
pub use inventory::Inventory;
pub use lock::Lock;
pub use options::Configured;
pub use record::Record;
pub use store::{Store, Stored, is_machine_name};
pub use surroundings::{ProfileChoice, Surroundings};

/// The port of the Docker engine where the driver has told none.
const DEFAULT_ENGINE_PORT: u16 = 2376;

/// The port of SSH where the driver has told none.
const DEFAULT_SSH_PORT: u16 = 22;

/// The user of SSH where the driver has told none; docker-machine's default.
const DEFAULT_SSH_USER: &str = "root";

/// One machine. Operations run one at a time; what is remembered can be asked for meanwhile.
pub struct Machine {
    driver: Arc<LazyDriver>,
    surroundings: Surroundings,
    /// Held while an operation runs.
    operation: Mutex<()>,
    /// Shared by those who change the machine [exclusively](Machine::exclusively), from when they wait for it until they are
    /// done.
    changes: RwLock<()>,
    remembered: Arc<Mutex<Remembered>>,
}

impl Machine {
    /// The machine that `record` tells of.
    pub fn new(driver: Arc<LazyDriver>, surroundings: Surroundings, record: Record) -> Self {
        Self {
            driver,
            surroundings,
            operation: Mutex::default(),
            changes: RwLock::default(),
            remembered: Arc::new(Mutex::new(Remembered::new(record))),
        }
    }

    /// The machine that `record` tells of, with options that are not in it.
    fn with_options(
        driver: Arc<LazyDriver>,
        surroundings: Surroundings,
        record: Record,
        options: Arc<Options>,
    ) -> Self {
        let machine = Self::new(driver, surroundings, record);
        machine.remembered().options = Some(options);
        machine
    }

    /// The driver that runs its operations.
    pub fn driver(&self) -> &LazyDriver {
        &self.driver
    }

    /// Takes over a record that somebody else kept.
    ///
    /// # Errors
    ///
    /// If `json` is no JSON object.
    pub fn load(&self, json: &[u8]) -> Result<(), Error> {
        let mut remembered = self.remembered();
        remembered.record.merge(json)?;
        remembered.options = None;
        remembered.is_new = false;
        Ok(())
    }

    /// The record as it is to be kept. It is without secrets: those are in a file of their own when this returns.
    ///
    /// # Errors
    ///
    /// If the secrets cannot be written: then they must not be lost from where they were.
    pub fn record(&self) -> Result<Record, Error> {
        let loaded = self.driver.loaded()?;
        let mut remembered = self.remembered();
        remembered.move_secrets(&loaded.description.options)?;
        Ok(remembered.record.clone())
    }

    /// The record of a machine that has been configured, to be put into a store that does not have it yet. Nothing is
    /// written before somebody has made sure of that.
    pub fn new_record(&self) -> Record {
        self.remembered().record.clone()
    }

    /// Gives a new machine its options and its id.
    ///
    /// # Errors
    ///
    /// If an option is missing or malformed.
    pub fn configure(&self, flags: &Flags) -> Result<(), Error> {
        let loaded = self.driver.loaded()?;
        let specs = &loaded.description.options;
        let profile = self.surroundings.profile(&loaded)?;
        let given = loaded.given(&self.surroundings, flags, profile.as_deref());
        let options = Options::from_flags(specs, &given)?;
        loaded.check_hosts(&options.endpoints)?;
        let mut remembered = self.remembered();
        options.store(specs, &mut remembered.record);
        remembered.unkept = options.secrets.clone();
        remembered.options = Some(Arc::new(options));
        remembered.is_new = true;
        if remembered.record.text("MachineID").is_empty() {
            remembered.record.set("MachineID", mint_id()?);
        }
        Ok(())
    }

    /// Sets the members that tell of a Docker Swarm, as docker-machine's `SetSwarmConfigFromFlags` does.
    pub fn configure_swarm(&self, master: bool, host: &str, discovery: &str) {
        let record = &mut self.remembered().record;
        record.set("SwarmMaster", master);
        record.set("SwarmHost", host);
        record.set("SwarmDiscovery", discovery);
    }

    /// Checks the options against the cloud; changes nothing.
    ///
    /// # Errors
    ///
    /// What the driver found wrong.
    pub fn check(&self) -> Result<(), Error> {
        let _operation = lock(&self.operation);
        let prepared = self.prepare()?;
        self.surroundings
            .warn_of_risks(&prepared.loaded, &prepared.options);
        let capabilities =
            self.capabilities(&prepared, self.surroundings.cancel.clone(), Keys::Denied);
        let answer = prepared
            .loaded
            .driver
            .check(capabilities, &prepared.machine)?;
        answer.map_err(|e| prepared.driver_error(e))
    }

    /// Makes the machine. If that fails, what had been made is removed again.
    ///
    /// # Errors
    ///
    /// [`Error::Create`] with the first failure, and with what could not be removed.
    pub fn create(&self) -> Result<Status, Error> {
        let _operation = lock(&self.operation);
        let prepared = self.prepare()?;
        let key_path = {
            let mut remembered = self.remembered();
            let Some(directory) = remembered.record.directory() else {
                return Err(Error::NoPlace(remembered.record.name().to_owned()));
            };
            files::create_private_dir(&directory).map_err(|e| Error::store(&directory, e))?;
            remembered.check_place(&directory)?;
            remembered.keep_secrets()?;
            remembered.persist()?;
            remembered.record.ssh_key_path()
        };
        let given = prepared.options.ssh_key.clone();
        let keys = key_path.map_or(Keys::Denied, |path| Keys::At { path, given });
        let capabilities = self.capabilities(&prepared, self.surroundings.cancel.clone(), keys);
        self.remembered().has_saved = false;
        let made = prepared
            .loaded
            .driver
            .create(capabilities, &prepared.machine);
        let result = match made {
            Ok(Ok(status)) => self.arrived(&status).map(|()| status),
            Ok(Err(error)) => Err(prepared.driver_error(error)),
            Err(error) => Err(error.into()),
        };
        result.map_err(|cause| {
            // A driver saves before it makes anything. What is there without that is another creation's.
            if !self.remembered().has_saved {
                return Error::Create {
                    cause: Box::new(cause),
                    leftovers: None,
                };
            }
            let line =
                "the machine could not be created; what had been made of it is removed again";
            self.surroundings.reporter.log(Level::Warning, line);
            let undone = self
                .prepare()
                .and_then(|prepared| self.run(Change::Remove, &prepared));
            let leftovers = undone.err().map(Box::new);
            Error::Create {
                cause: Box::new(cause),
                leftovers,
            }
        })
    }

    /// Starts, stops, kills, restarts or removes the machine.
    ///
    /// # Errors
    ///
    /// Why it could not be done. A removal has done what it could.
    pub fn change(&self, change: Change) -> Result<(), Error> {
        let _operation = lock(&self.operation);
        let prepared = self.prepare()?;
        self.surroundings
            .warn_of_risks(&prepared.loaded, &prepared.options);
        self.run(change, &prepared)?;
        match change {
            Change::Remove => Ok(()),
            // An older driver may have left secrets in the record.
            _ => self
                .remembered()
                .move_secrets(&prepared.loaded.description.options),
        }
    }

    /// Runs `work`, which changes the machine, while no other process does, as [`Lock`] tells; says so if that has to be waited
    /// for. What others have saved of the machine meanwhile counts. Where there is no store, or no lock can be had in it, `work`
    /// just runs: docker-machine's clients know of no lock.
    ///
    /// # Errors
    ///
    /// [`Error::Cancelled`] if the process is asked to stop before `work` has begun; [`Error::Vanished`] if there is another
    /// machine of this name by now; if the store's record cannot be read; and what `work` fails with.
    pub fn exclusively<T>(&self, work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
        let _change = self.changes.read().unwrap_or_else(PoisonError::into_inner);
        let directory = self.directory();
        let cancel = &self.surroundings.cancel;
        let waiting = |line: &str| self.surroundings.reporter.log(Level::Info, line);
        let lock = directory.and_then(|directory| {
            let lock = Lock::of(&directory, cancel, &waiting).ok()?;
            Some((directory, lock))
        });
        // Who is asked to stop waits for nobody, and begins nothing.
        if cancel.is_set() {
            return Err(Error::Cancelled);
        }
        if let Some((directory, _)) = &lock {
            self.remembered().refresh(directory)?;
        }
        work()
    }

    /// How the machine does, from the cloud.
    ///
    /// # Errors
    ///
    /// If the cloud does not tell. A machine that is gone is a status.
    pub fn status(&self) -> Result<Status, Error> {
        let _operation = lock(&self.operation);
        let prepared = self.prepare()?;
        let capabilities =
            self.capabilities(&prepared, self.surroundings.cancel.clone(), Keys::Denied);
        let machines = std::slice::from_ref(&prepared.machine);
        let answers = prepared.loaded.driver.status(capabilities, machines)?;
        // The sandbox sees to it that there is one answer for each machine.
        let status = match answers.into_iter().next() {
            Some(answer) => answer.map_err(|e| prepared.driver_error(e))?,
            None => return Err(Error::Gone(prepared.machine.name.clone())),
        };
        let status = sane_status(status).map_err(|e| prepared.driver_error(e))?;
        self.remembered().take_addresses(&status);
        Ok(status)
    }

    /// The machine's state, from the cloud.
    ///
    /// # Errors
    ///
    /// If the cloud does not tell, or does not have the machine.
    pub fn state(&self) -> Result<State, Error> {
        match self.status()?.state {
            State::NotFound => Err(Error::Gone(self.name())),
            state => Ok(state),
        }
    }

    /// Where the Docker engine is reached, `tcp://ADDRESS:PORT`.
    ///
    /// # Errors
    ///
    /// [`Error::NotRunning`] if the machine does not run, and as [`Machine::state`].
    pub fn url(&self) -> Result<String, Error> {
        self.url_in(self.state()?)
    }

    /// Where the Docker engine is reached if the machine is in this state, as [`Machine::state`] has just told.
    ///
    /// # Errors
    ///
    /// [`Error::NotRunning`] if it does not run, and as [`Machine::engine_url`].
    pub fn url_in(&self, state: State) -> Result<String, Error> {
        match state {
            State::Running => self.engine_url(),
            _ => Err(Error::NotRunning),
        }
    }

    /// Where the Docker engine is reached while the machine runs, as it was told last.
    ///
    /// # Errors
    ///
    /// [`Error::NoAddress`] if no address was told.
    pub fn engine_url(&self) -> Result<String, Error> {
        let ip = self.ip()?;
        Ok(engine_url(ip, self.engine_port()))
    }

    /// The port of the Docker engine, on the machine as well as to reach it.
    pub fn engine_port(&self) -> u16 {
        let port = self.remembered().record.port("EnginePort");
        port.unwrap_or(DEFAULT_ENGINE_PORT)
    }

    /// The machine's directory in the store; nothing where there is no store.
    pub fn directory(&self) -> Option<PathBuf> {
        self.remembered().record.directory()
    }

    /// The store's directory; empty where there is no store.
    pub fn store_path(&self) -> PathBuf {
        PathBuf::from(self.remembered().record.text("StorePath"))
    }

    /// The machine's name.
    pub fn name(&self) -> String {
        self.remembered().record.name().to_owned()
    }

    /// The machine's address as it was told last.
    ///
    /// # Errors
    ///
    /// [`Error::NoAddress`] if none was.
    pub fn ip(&self) -> Result<IpAddr, Error> {
        let remembered = self.remembered();
        remembered
            .record
            .text("IPAddress")
            .parse()
            .map_err(|_| Error::NoAddress)
    }

    /// The machine's address as it was told last, if that is one of IPv6; else empty.
    pub fn ipv6(&self) -> String {
        match self.ip() {
            Ok(IpAddr::V6(ip)) => ip.to_string(),
            _ => String::new(),
        }
    }

    /// The host name or address for SSH.
    ///
    /// # Errors
    ///
    /// [`Error::NoAddress`] if there is none.
    pub fn ssh_hostname(&self) -> Result<String, Error> {
        match self.remembered().record.text("SSHHostname") {
            "" => {}
            host => return Ok(host.to_owned()),
        }
        Ok(self.ip()?.to_string())
    }

    /// The port for SSH.
    pub fn ssh_port(&self) -> u16 {
        self.remembered()
            .record
            .port("SSHPort")
            .unwrap_or(DEFAULT_SSH_PORT)
    }

    /// The user for SSH.
    pub fn ssh_username(&self) -> String {
        match self.remembered().record.text("SSHUser") {
            user if is_ssh_user(user) => user.to_owned(),
            _ => DEFAULT_SSH_USER.to_owned(),
        }
    }

    /// Where the private SSH key lies; empty where there is no store.
    pub fn ssh_key_path(&self) -> PathBuf {
        self.remembered().record.ssh_key_path().unwrap_or_default()
    }

    /// Whether an operation is under way, or waits until another process is done with the machine.
    pub fn is_busy(&self) -> bool {
        matches!(self.changes.try_write(), Err(TryLockError::WouldBlock))
            || matches!(self.operation.try_lock(), Err(TryLockError::WouldBlock))
    }

    /// Waits until the machine is not [busy](Machine::is_busy).
    pub fn wait_until_idle(&self) {
        drop(self.changes.write());
        drop(lock(&self.operation));
    }

    fn remembered(&self) -> MutexGuard<'_, Remembered> {
        lock(&self.remembered)
    }

    /// What an operation needs.
    fn prepare(&self) -> Result<Prepared, Error> {
        let loaded = self.driver.loaded()?;
        let mut remembered = self.remembered();
        let specs = &loaded.description.options;
        let options = remembered.options(specs, &*self.surroundings.variables)?;
        loaded.check_hosts(&options.endpoints)?;
        let record = &remembered.record;
        let machine = contract::Machine {
            name: record.name().to_owned(),
            id: record.text("MachineID").to_owned(),
            swarm_master: record.flag("SwarmMaster"),
            options: options.values.clone().into_iter().collect(),
            saved: Json::Object(record.saved(&config_keys(specs))).to_string(),
        };
        Ok(Prepared {
            loaded,
            options,
            machine,
        })
    }

    fn capabilities(&self, prepared: &Prepared, cancel: Cancel, keys: Keys) -> Capabilities {
        let sink = RecordSink {
            remembered: Arc::clone(&self.remembered),
            loaded: Arc::clone(&prepared.loaded),
        };
        self.surroundings.capabilities(
            &prepared.loaded,
            &prepared.options,
            cancel,
            keys,
            Box::new(sink),
        )
    }

    fn run(&self, change: Change, prepared: &Prepared) -> Result<(), Error> {
        let cancel = match change {
            // Half a removal helps nobody.
            Change::Remove => Cancel::default(),
            _ => self.surroundings.cancel.clone(),
        };
        let capabilities = self.capabilities(prepared, cancel, Keys::Denied);
        let answer = prepared
            .loaded
            .driver
            .change(change, capabilities, &prepared.machine)?;
        answer.map_err(|e| prepared.driver_error(e))
    }

    /// Remembers where a new machine is.
    fn arrived(&self, status: &Status) -> Result<(), Error> {
        let status =
            sane_status(status.clone()).map_err(|e| Error::driver(e, &Secrets::default()))?;
        let mut remembered = self.remembered();
        remembered.is_new = false;
        remembered.take_addresses(&status);
        remembered.persist()
    }
}

/// What an operation runs with.
struct Prepared {
    loaded: Arc<Loaded>,
    options: Arc<Options>,
    machine: contract::Machine,
}

impl Prepared {
    fn driver_error(&self, error: contract::Error) -> Error {
        Error::driver(error, &self.options.secrets)
    }
}

/// The URL of a Docker engine.
fn engine_url(ip: IpAddr, port: u16) -> String {
    match ip {
        IpAddr::V4(ip) => format!("tcp://{ip}:{port}"),
        IpAddr::V6(ip) => format!("tcp://[{ip}]:{port}"),
    }
}

/// The random bytes of a machine's id.
const ID_BYTES: usize = 10;

/// Whether this can be a machine's id.
fn is_id(text: &str) -> bool {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    text.len() == 2 * ID_BYTES && text.bytes().all(is_digit)
}

/// An id for a new machine.
pub(crate) fn mint_id() -> Result<String, Error> {
    let mut bytes = [0; ID_BYTES];
    getrandom::fill(&mut bytes).map_err(|e| Error::Random(e.to_string()))?;
    Ok(bytes.iter().map(|b| format!("{b:02x}")).collect())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
