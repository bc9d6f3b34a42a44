//! A laboratory in virtual time: the machine service with a component of the driver, real HTTP and signatures, and the
//! simulated cloud. Nothing sleeps: what waits moves the clock that host and cloud share.

use std::borrow::Cow;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{fmt, fs};

use btcloud_host::builtin;
use btcloud_host::capability::clock::{Cancel, TimeSource};
use btcloud_host::capability::http;
use btcloud_host::capability::log::{Level, Reporter};
use btcloud_host::contract::{Description, OptionKind};
use btcloud_host::machine::{
    Engine, Error, Flag, Flags, LazyDriver, Machine, ProfileChoice, Record, Store, Surroundings,
};
use btcloud_host::plugin;
use btcloud_host::plugin::wire;
use btcloud_host::sandbox::{Change, Limits};
use cloudstack_simulator::{
    Behaviour, Builder, Cidr, CloudConfig, ManualClock, NetworkConfig, ProjectConfig, Simulator,
};
use netrpc::gob::{Type, Value};
use netrpc::rpc::{Client, EMPTY, Settings};
use tempfile::TempDir;

use crate::{Keys, cache};

/// A flavour of the driver.
#[derive(Debug)]
pub struct Flavour {
    /// The driver's name.
    name: &'static str,
    /// The variables of the endpoint, the API key and the secret key.
    variables: [&'static str; 3],
    driver: Arc<LazyDriver>,
}

impl Flavour {
    fn new(
        name: &'static str,
        variables: [&'static str; 3],
        component: impl Into<Cow<'static, [u8]>>,
    ) -> Self {
        let driver = Arc::new(LazyDriver::new(component, Limits::default(), Some(cache())));
        Self {
            name,
            variables,
            driver,
        }
    }

    /// What the driver is.
    pub fn description(&self) -> Description {
        self.driver.loaded().expect("a driver").description.clone()
    }
}

/// The built-in driver. Like the other one it is compiled once for all tests of a program.
pub static BTCLOUD: LazyLock<Flavour> = LazyLock::new(|| {
    let variables = ["BTCLOUD_ENDPOINT", "BTCLOUD_API_KEY", "BTCLOUD_SECRET_KEY"];
    Flavour::new(builtin::NAME, variables, builtin::COMPONENT)
});

/// The driver for any CloudStack cloud.
pub static CLOUDSTACK: LazyLock<Flavour> = LazyLock::new(|| {
    let variables = [
        "CLOUDSTACK_API_URL",
        "CLOUDSTACK_API_KEY",
        "CLOUDSTACK_SECRET_KEY",
    ];
    let component = fs::read(crate::CLOUDSTACK).expect("the component");
    Flavour::new("cloudstack", variables, component)
});

/// What is done while somebody sleeps.
type OnSleep = Box<dyn FnMut() + Send>;

/// Time that passes only when somebody sleeps.
struct SharedTime(ManualClock, Arc<Mutex<Option<OnSleep>>>);

impl fmt::Debug for SharedTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SharedTime").field(&self.0).finish()
    }
}

impl SharedTime {
    fn since_1970(&self) -> Duration {
        let millis = self.0.now().as_millisecond();
        Duration::from_millis(u64::try_from(millis).expect("a time after 1970"))
    }
}

impl TimeSource for SharedTime {
    fn now(&self) -> Duration {
        self.since_1970()
    }

    fn wall(&self) -> SystemTime {
        UNIX_EPOCH + self.since_1970()
    }

    fn sleep(&self, duration: Duration, cancel: &Cancel) {
        if !cancel.is_set() {
            self.0.advance(duration);
            if let Some(on_sleep) = &mut *self.1.lock().expect("no panic") {
                on_sleep();
            }
        }
    }
}

/// Sees to it that what the user would read has no key in it.
struct Watch(Keys);

impl Reporter for Watch {
    fn log(&self, _: Level, line: &str) {
        self.0.are_not_in("a line", line.as_bytes());
    }
    fn progress(&self, step: &str, _: u32, _: u32) {
        self.0.are_not_in("a step", step.as_bytes());
    }
}

/// A user with a store, an account in a simulated cloud, and all the time in the world.
pub struct VirtualLab {
    /// The cloud.
    pub cloud: Simulator,
    /// The time of host and cloud.
    pub clock: ManualClock,
    /// What stops operations.
    pub cancel: Cancel,
    client: http::Client,
    on_sleep: Arc<Mutex<Option<OnSleep>>>,
    flavour: &'static Flavour,
    store: Store,
    _directory: TempDir,
}

impl VirtualLab {
    /// A user of a flavour of the driver, of a cloud that is as usual but for `change`, and lets accounts expunge.
    pub fn in_cloud(flavour: &'static Flavour, change: impl FnOnce(&mut CloudConfig)) -> Self {
        let mut cloud = CloudConfig::default();
        change(&mut cloud);
        let mut behaviour = Behaviour::default();
        behaviour.allow_user_expunge = true;
        Self::with_driver(
            flavour,
            Simulator::builder().cloud(cloud).behaviour(behaviour),
        )
    }

    /// A user of that cloud, with the built-in driver.
    pub fn of(cloud: Builder) -> Self {
        Self::with_driver(&BTCLOUD, cloud)
    }

    /// A user of that cloud.
    pub fn with_driver(flavour: &'static Flavour, cloud: Builder) -> Self {
        let clock = ManualClock::new();
        let cloud = cloud.clock(clock.clone()).signature_clock(clock.clone());
        // In memory where that is possible, since what is saved is forced to the disk each time.
        let memory = Path::new("/dev/shm");
        let directory = match memory.is_dir() {
            true => tempfile::tempdir_in(memory),
            false => tempfile::tempdir(),
        };
        let directory = directory.expect("a directory");
        Self {
            cloud: cloud.start().expect("a cloud"),
            clock,
            cancel: Cancel::default(),
            client: http::Client::default(),
            on_sleep: Arc::default(),
            flavour,
            store: Store::at(directory.path().to_owned()),
            _directory: directory,
        }
    }

    /// The same with an exchange taking at most this long in real time, for answers that come too late.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.client = self.client.clone().with_limit(patience);
        self
    }

    /// Has this done whenever somebody has slept.
    pub fn on_sleep(&self, action: impl FnMut() + Send + 'static) {
        *self.on_sleep.lock().expect("no panic") = Some(Box::new(action));
    }

    fn machine(&self, record: Record) -> Machine {
        let values = [
            self.cloud.url().to_owned(),
            self.cloud.api_key().to_owned(),
            self.cloud.secret_key().to_owned(),
        ];
        let names = self.flavour.variables;
        let variables = move |name: &str| {
            let mut account = names.iter().zip(&values);
            let found = account.find(|(variable, _)| **variable == name);
            found.map(|(_, value)| value.clone())
        };
        let surroundings = Surroundings {
            reporter: Arc::new(Watch(Keys::of(&self.cloud))),
            cancel: self.cancel.clone(),
            variables: Arc::new(variables),
            time: Arc::new(SharedTime(self.clock.clone(), Arc::clone(&self.on_sleep))),
            client: self.client.clone(),
            profile: ProfileChoice::Nothing,
        };
        Machine::new(Arc::clone(&self.flavour.driver), surroundings, record)
    }

    /// Flags of the driver from texts: of an option that is a list, its items with commas between.
    pub fn flags(&self, options: &[(&str, &str)]) -> Flags {
        let known = self.flavour.description().options;
        let flag = |(name, value): &(&str, &str)| {
            let name = format!("{}-{name}", self.flavour.name);
            let is_list = known
                .iter()
                .any(|option| option.name == name && option.kind == OptionKind::TextList);
            let flag = match is_list {
                true => Flag::TextList(value.split(',').map(str::to_owned).collect()),
                false => Flag::Text((*value).to_owned()),
            };
            (name, flag)
        };
        options.iter().map(flag).collect()
    }

    /// Creates a machine as docker-machine does: checks, stores, makes; and keeps it in the store if that fails.
    ///
    /// # Errors
    ///
    /// What the machine service tells.
    pub fn create(&self, name: &str, flags: &Flags) -> Result<(), Error> {
        let machine = self.machine(Record::new(name, self.store.path()));
        machine.configure(flags)?;
        self.watched(machine.check())?;
        let record = machine.record()?;
        self.store
            .create(name, &record, self.flavour.name, &Engine::default())?;
        self.watched(machine.create().map(drop))
    }

    /// Fails if an error has a key in it.
    fn watched<T>(&self, result: Result<T, Error>) -> Result<T, Error> {
        result.inspect_err(|error| {
            let text = format!("{error} {:?}", error.hint());
            Keys::of(&self.cloud).are_not_in("an error", text.as_bytes());
        })
    }

    /// Creates a machine as a docker-machine client does, through the plugin's door.
    ///
    /// # Errors
    ///
    /// What the plugin answers.
    pub fn create_by_plugin(&self, name: &str, flags: &Flags) -> Result<(), String> {
        let record = Record::new(name, self.store.path());
        let mut door = Door::to(self.machine(Record::default()), &record);
        let flags = wire::flags_to_gob(flags);
        door.call_with("SetConfigFromFlags", &Type::Interface, &flags)?;
        door.call("PreCreateCheck")?;
        let Value::Bytes(json) = door.call("GetConfigRaw")? else {
            return Err("no bytes".to_owned());
        };
        let mut record = Record::default();
        record.merge(&json).map_err(|e| e.to_string())?;
        self.store
            .create(name, &record, self.flavour.name, &Engine::default())
            .map_err(|e| e.to_string())?;
        door.call("Create").map(drop)
    }

    /// As [`Self::change`], through the plugin's door.
    ///
    /// # Errors
    ///
    /// What the plugin answers.
    pub fn change_by_plugin(&self, name: &str, change: Change) -> Result<(), String> {
        let (record, _) = self.store.load(name).expect("a stored machine");
        let mut door = Door::to(self.machine(Record::default()), &record);
        let method = match change {
            Change::Start => "Start",
            Change::Stop => "Stop",
            Change::Kill => "Kill",
            Change::Restart => "Restart",
            Change::Remove => "Remove",
        };
        door.call(method)?;
        if change == Change::Remove {
            self.store.remove(name).map_err(|e| e.to_string())?;
        }
        Ok(())
    }

    /// Puts the `config.json` of a machine into the store, as if another driver had made that.
    pub fn store_config(&self, name: &str, config: &serde_json::Value) {
        let directory = self.store.directory(name);
        fs::create_dir_all(&directory).expect("a directory");
        fs::write(directory.join("config.json"), config.to_string()).expect("a file");
    }

    /// A machine's `config.json`.
    pub fn config(&self, name: &str) -> serde_json::Value {
        let text = fs::read(self.store.directory(name).join("config.json"));
        serde_json::from_slice(&text.expect("config.json")).expect("JSON")
    }

    /// A machine as another process finds it in the store.
    pub fn stored(&self, name: &str) -> Machine {
        let (record, _) = self.store.load(name).expect("a stored machine");
        self.machine(record)
    }

    /// Whether the store has a machine.
    pub fn has_stored(&self, name: &str) -> bool {
        self.store.contains(name)
    }

    /// Starts, stops, kills, restarts or removes a machine; one that is removed is forgotten.
    ///
    /// # Errors
    ///
    /// What the machine service tells.
    pub fn change(&self, name: &str, change: Change) -> Result<(), Error> {
        self.watched(self.stored(name).change(change))?;
        if change == Change::Remove {
            self.store.remove(name)?;
        }
        Ok(())
    }
}

impl VirtualLab {
    /// Removes a machine.
    ///
    /// # Panics
    ///
    /// If that fails.
    pub fn remove(&self, name: &str) {
        self.change(name, Change::Remove).expect("a removal");
    }

    /// The address at which a machine is reached.
    ///
    /// # Panics
    ///
    /// If there is none.
    pub fn address(&self, name: &str) -> String {
        self.stored(name).ip().expect("an address").to_string()
    }
}

/// What a machine is made from in the first zone of the simulated cloud.
pub const LONDON: [(&str, &str); 3] = [
    ("zone", "uk-london-1"),
    ("template", "Debian 12"),
    ("service-offering", "Small"),
];

/// Gives the account the project `ci`, with a network.
pub fn with_project(cloud: &mut CloudConfig) {
    cloud.projects.push(ProjectConfig {
        name: "ci".to_owned(),
        members: vec!["demo".to_owned()],
    });
    cloud.networks.push(NetworkConfig {
        name: "ci-net".to_owned(),
        zone: "uk-london-1".to_owned(),
        owner: Some("ci".to_owned()),
        cidr: Cidr::new(Ipv4Addr::new(10, 1, 9, 0), 24).expect("a range of addresses"),
    });
}

impl Drop for VirtualLab {
    fn drop(&mut self) {
        if !thread::panicking() {
            Keys::of(&self.cloud).are_not_below(self.store.path(), &[]);
        }
    }
}

/// A plugin's connection, in this process.
struct Door(Client);

impl Door {
    /// To a machine that the client has kept `record` of.
    fn to(machine: Machine, record: &Record) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        // Ends when the client hangs up.
        thread::spawn(move || {
            let (stream, _) = listener.accept().expect("the client");
            plugin::serve_connection(builtin::NAME, Arc::new(machine), stream);
        });
        let client = Client::connect(address, wire::REGISTRY, Settings::default());
        let mut door = Self(client.expect("a connection"));
        let json = Value::Bytes(record.to_value().to_string().into_bytes());
        door.call_with("SetConfigRaw", &Type::Bytes, &json)
            .expect("a configuration");
        door
    }

    fn call(&mut self, method: &str) -> Result<Value, String> {
        self.call_with(method, &EMPTY, &Value::Struct(Vec::new()))
    }

    fn call_with(
        &mut self,
        method: &str,
        argument_type: &'static Type,
        argument: &Value,
    ) -> Result<Value, String> {
        let method = format!("RPCServerDriver.{method}");
        let reply = self.0.call(&method, argument_type, argument);
        reply.map_err(|error| error.to_string())
    }
}
