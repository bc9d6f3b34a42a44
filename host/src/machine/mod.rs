//! The machine service: what both doors do with a machine.

mod account;
pub mod checkup;
mod driver;
mod engine;
mod error;
mod flag;
mod fleet;
pub(crate) mod inventory;
mod lock;
pub(crate) mod options;
pub mod profile;
mod record;
mod store;

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, RwLock, TryLockError};

use serde_json::{Map, Value as Json};

use crate::capability::Capabilities;
use crate::capability::budget::Budget;
use crate::capability::clock::{Cancel, Clock, SystemTimeSource, TimeSource};
use crate::capability::http::{Client, Grant, Http};
use crate::capability::keys::{Keys, SshKeys};
use crate::capability::log::{Level, Log, Reporter, clean};
use crate::capability::secret::Secrets;
use crate::capability::state::{SaveState, State as StateCapability};
use crate::contract::types::ErrorKind;
use crate::contract::{self, OptionKind, OptionSpec, State, Status};
use crate::files;
use options::Options;
use profile::{Places, Profile};

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

/// The port of the Docker engine where the driver has told none.
const DEFAULT_ENGINE_PORT: u16 = 2376;

/// The port of SSH where the driver has told none.
const DEFAULT_SSH_PORT: u16 = 22;

/// The user of SSH where the driver has told none; docker-machine's default.
const DEFAULT_SSH_USER: &str = "root";

/// The most bytes of a machine's file of secrets.
const MAX_SECRETS: u64 = 256 * 1024;

/// What a machine's operations take from the process that they run in.
#[derive(Clone)]
pub struct Surroundings {
    /// Shows lines and steps.
    pub reporter: Arc<dyn Reporter>,
    /// Stops what is under way, apart from a removal.
    pub cancel: Cancel,
    /// Looks up environment variables.
    pub variables: Arc<Variables>,
    /// Where time comes from.
    pub time: Arc<dyn TimeSource>,
    /// The connections.
    pub client: Client,
    /// What the user has written down for new machines and for accounts.
    pub profile: ProfileChoice,
}

/// The profile that counts for what is not stored yet.
#[derive(Clone, Debug, Default)]
pub enum ProfileChoice {
    /// None.
    #[default]
    Nothing,
    /// One that was found already.
    Found(Arc<Profile>),
    /// The one that the environment variable [`profile::VARIABLE`] names, if it does: for the plugin, whose clients send a
    /// flag for each option, be it only the default.
    OfVariable,
}

impl Surroundings {
    /// Those of an ordinary process: its environment, the system's time, its connections. All of a process share these, so
    /// that operations at the same time use the same connections, and keep together to the pace that a server wants.
    pub fn of_process(reporter: Arc<dyn Reporter>, cancel: Cancel) -> Self {
        static SHARED: LazyLock<(Client, Arc<SystemTimeSource>)> = LazyLock::new(Default::default);
        let (client, time) = &*SHARED;
        Self {
            reporter,
            cancel,
            variables: Arc::new(|name| std::env::var(name).ok()),
            time: Arc::clone(time) as Arc<dyn TimeSource>,
            client: client.clone(),
            profile: ProfileChoice::Nothing,
        }
    }

    /// The same with a profile.
    pub fn with_profile(self, profile: ProfileChoice) -> Self {
        Self { profile, ..self }
    }

    /// The profile, looked for if need be. One that others can read is warned of.
    fn profile(&self, loaded: &Loaded) -> Result<Option<Arc<Profile>>, Error> {
        let profile = match &self.profile {
            ProfileChoice::Nothing => None,
            ProfileChoice::Found(profile) => Some(Arc::clone(profile)),
            ProfileChoice::OfVariable => {
                let name = (self.variables)(profile::VARIABLE).filter(|name| !name.is_empty());
                let profile = name.map(|name| Places::of_user().profile(&name));
                profile.transpose()?.map(Arc::new)
            }
        };
        if let Some(profile) = &profile {
            let specs = &loaded.description.options;
            let driver = &loaded.description.name;
            profile.check(driver, specs)?;
            let has_secrets = profile.has_secrets(driver, specs);
            for path in profile.exposed.iter().filter(|_| has_secrets) {
                let path = path.display();
                let line = format!(
                    "{path} has keys in it and others can read it; `chmod 600 {path}` keeps it to you"
                );
                self.reporter.log(Level::Warning, &line);
            }
        }
        Ok(profile)
    }

    /// What a driver may use in one operation.
    pub(crate) fn capabilities(
        &self,
        loaded: &Loaded,
        options: &Options,
        cancel: Cancel,
        keys: Keys,
        sink: Box<dyn SaveState>,
    ) -> Capabilities {
        let secrets = Arc::new(options.secrets.clone());
        let grant = Grant {
            endpoints: options.endpoints.clone(),
            commands: loaded.commands.clone(),
        };
        let budget = Budget::new(*loaded.driver.limits(), Arc::clone(&self.time), cancel);
        let budget = Arc::new(budget);
        Capabilities {
            http: Http::new(
                self.client.trusting(&options.trust),
                Arc::new(grant),
                Arc::clone(&secrets),
                Arc::clone(&budget),
                Arc::clone(&self.reporter),
            ),
            keys: SshKeys::new(keys, Arc::clone(&budget)),
            state: StateCapability::new(sink, Arc::clone(&budget)),
            clock: Clock(Arc::clone(&budget)),
            log: Log::new(Arc::clone(&self.reporter), secrets, Arc::clone(&budget)),
            budget,
        }
    }

    /// Tells the user what others could read on the way. Not with every question for a status: what the plugin tells then
    /// would stand in the output of commands that scripts read.
    fn warn_of_risks(&self, prepared: &Prepared) {
        let is_insecure = prepared.options.is_insecure;
        let of_kind = |option: &&OptionSpec| option.kind == OptionKind::Insecure;
        let insecure = prepared.loaded.description.options.iter().find(of_kind);
        for endpoint in prepared.options.endpoints.values() {
            let line = if endpoint.is_unprotected() {
                format!("requests to {endpoint} are not encrypted; others can read them")
            } else if let Some(option) = insecure.filter(|_| is_insecure && endpoint.is_encrypted())
            {
                let member = option.config_key.as_ref();
                let stored = member.map_or_else(String::new, |member| {
                    format!(" or \"{member}\": false in config.json")
                });
                format!(
                    "the TLS certificate of {endpoint} is not verified, as --{}{stored} says; others may read and change \
                     what is sent",
                    option.name
                )
            } else {
                continue;
            };
            self.reporter.log(Level::Warning, &line);
        }
    }
}

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
        let remembered = Remembered {
            record,
            ..Remembered::default()
        };
        Self {
            driver,
            surroundings,
            operation: Mutex::default(),
            changes: RwLock::default(),
            remembered: Arc::new(Mutex::new(remembered)),
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
        self.surroundings.warn_of_risks(&prepared);
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
                return Err(Error::Name(remembered.record.name().to_owned()));
            };
            files::create_private_dir(&directory).map_err(|e| Error::store(&directory, e))?;
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
            let leftovers = self.run(Change::Remove).err().map(Box::new);
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
        self.surroundings.warn_of_risks(&prepared);
        self.run(change)?;
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
        let status = sane(status).map_err(|e| prepared.driver_error(e))?;
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

    fn run(&self, change: Change) -> Result<(), Error> {
        let prepared = self.prepare()?;
        let cancel = match change {
            // Half a removal helps nobody.
            Change::Remove => Cancel::default(),
            _ => self.surroundings.cancel.clone(),
        };
        let capabilities = self.capabilities(&prepared, cancel, Keys::Denied);
        let answer = prepared
            .loaded
            .driver
            .change(change, capabilities, &prepared.machine)?;
        answer.map_err(|e| prepared.driver_error(e))
    }

    /// Remembers where a new machine is.
    fn arrived(&self, status: &Status) -> Result<(), Error> {
        let status = sane(status.clone()).map_err(|e| Error::driver(e, &Secrets::default()))?;
        let mut remembered = self.remembered();
        remembered.is_new = false;
        remembered.take_addresses(&status);
        remembered.persist()
    }
}

/// What is known of a machine.
#[derive(Default)]
struct Remembered {
    record: Record,
    /// The options, once somebody has asked for them.
    options: Option<Arc<Options>>,
    /// The secrets that are not in the machine's file of secrets yet.
    unkept: Secrets,
    /// Whether this is to become a machine: its options are those that it was given here, not what is stored.
    is_new: bool,
    /// Whether the driver has saved something since a creation began.
    has_saved: bool,
    /// Whether the store had the machine when the record was written last.
    is_stored: bool,
}

impl Remembered {
    /// Takes over what the store has of the machine by now, if it has it. What is to become a machine is only here.
    fn refresh(&mut self, directory: &Path) -> Result<(), Error> {
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

    fn options(
        &mut self,
        specs: &[OptionSpec],
        variables: &Variables,
    ) -> Result<Arc<Options>, Error> {
        if let Some(options) = &self.options {
            return Ok(Arc::clone(options));
        }
        self.take_secrets(specs);
        let mut secrets = self.kept_secrets()?;
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
    fn move_secrets(&mut self, specs: &[OptionSpec]) -> Result<(), Error> {
        let before = self.record.clone();
        self.take_secrets(specs);
        self.keep_secrets()?;
        match self.record == before {
            true => Ok(()),
            false => self.persist(),
        }
    }

    /// The secrets in the machine's file.
    fn kept_secrets(&self) -> Result<Secrets, Error> {
        let Some(path) = self.secrets_path() else {
            return Ok(Secrets::default());
        };
        match files::read_bounded(&path, MAX_SECRETS) {
            Ok(json) => options::secrets_from_json(&json)
                // The reason may quote the file.
                .map_err(|_| Error::Secrets(path)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Secrets::default()),
            Err(e) => Err(Error::store(&path, e)),
        }
    }

    /// Writes the secrets that are not there yet into the machine's file.
    fn keep_secrets(&mut self) -> Result<(), Error> {
        let Some(path) = self.secrets_path().filter(|_| !self.unkept.is_empty()) else {
            return Ok(());
        };
        let mut secrets = self.kept_secrets()?;
        secrets.extend(self.unkept.clone());
        let directory = path.parent().unwrap_or(&path);
        files::create_private_dir(directory).map_err(|e| Error::store(directory, e))?;
        files::write_private(&path, &options::secrets_to_json(&secrets))
            .map_err(|e| Error::store(&path, e))?;
        self.unkept = Secrets::default();
        Ok(())
    }

    fn secrets_path(&self) -> Option<PathBuf> {
        Some(self.record.directory()?.join("secrets.json"))
    }

    /// Writes the record into the store, if the store has this machine.
    fn persist(&mut self) -> Result<(), Error> {
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

    fn take_addresses(&mut self, status: &Status) {
        // A machine that is not running may have none just now; the last one is still worth knowing.
        let Some(ip) = &status.ip else { return };
        self.record.set("IPAddress", ip.as_str());
        self.record.set("SSHUser", status.ssh_user.as_str());
        self.record.set("SSHHostname", status.ssh_host.as_str());
        self.record.set("SSHPort", status.ssh_port);
        self.record.set("EnginePort", status.engine_port);
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

/// Puts what the driver saves into the record, and that into the store.
struct RecordSink {
    remembered: Arc<Mutex<Remembered>>,
    loaded: Arc<Loaded>,
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

/// The members of the record that are options.
pub(crate) fn config_keys(specs: &[OptionSpec]) -> Vec<&str> {
    specs
        .iter()
        .filter_map(|spec| spec.config_key.as_deref())
        .collect()
}

/// The URL of a Docker engine.
fn engine_url(ip: IpAddr, port: u16) -> String {
    match ip {
        IpAddr::V4(ip) => format!("tcp://{ip}:{port}"),
        IpAddr::V6(ip) => format!("tcp://[{ip}]:{port}"),
    }
}

/// Holds a status to the contract: it goes into command lines and URLs of others.
pub(crate) fn sane(status: Status) -> Result<Status, contract::Error> {
    let is_host = |host: &str| {
        host.len() <= 255
            && !host.starts_with('-')
            && host
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b".-:".contains(&b))
    };
    let has_address = status
        .ip
        .as_ref()
        .is_none_or(|ip| ip.parse::<IpAddr>().is_ok());
    let reason = match () {
        () if !has_address => "address",
        () if !is_host(&status.ssh_host) => "SSH host",
        () if status.ip.is_some() && !is_ssh_user(&status.ssh_user) => "SSH user",
        () if status.ip.is_some() && (status.ssh_port == 0 || status.engine_port == 0) => "port",
        () => return Ok(status),
    };
    Err(contract::Error::new(
        ErrorKind::Internal,
        format!("the driver told an invalid {reason} of the machine"),
    ))
}

/// Whether this can be a user in the command lines of SSH clients, and no option of theirs.
fn is_ssh_user(user: &str) -> bool {
    user.len() <= 64
        && user.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && user
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
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
