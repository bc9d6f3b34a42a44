//! Operations of the driver in this process, in the sandbox and as native code.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use btcloud_host::builtin;
use btcloud_host::capability::budget::Budget;
use btcloud_host::capability::clock::{
    Cancel, Clock, SystemTimeSource, TimeSource, VirtualTimeSource,
};
use btcloud_host::capability::http::{Client, Http, Reach};
use btcloud_host::capability::keys::{Keys, SshKeys};
use btcloud_host::capability::log::{Log, Silent};
use btcloud_host::capability::secret::{Secret, Secrets};
use btcloud_host::capability::state::{SaveState, State};
use btcloud_host::capability::{Capabilities, signature};
use btcloud_host::contract::{self, Machine, Value};
use btcloud_host::machine::Flag;
use btcloud_host::plugin::wire;
use btcloud_host::sandbox::{Cache, Driver, Limits};
use cloudstack_simulator::Simulator;
use netrpc::gob::{self, Decoder, Encoder, Type};
use serde_json::{Map, Value as Json};

use crate::native;
use crate::sample::{Sample, processor_time, time, time_each};

/// Whether the driver is in the sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Sandboxed,
    Native,
}

/// Whether pauses between polls take their time, or none.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pauses {
    Real,
    Skipped,
}

/// An account in a cloud, and what runs the driver for it.
pub(crate) struct Operations {
    driver: Driver,
    client: Client,
    reach: Arc<Reach>,
    secrets: Arc<Secrets>,
    directory: PathBuf,
    made: AtomicUsize,
}

/// Remembers nothing: there is no store to measure.
struct Forget;

impl SaveState for Forget {
    fn save(&mut self, _: Map<String, Json>) -> Result<(), contract::Error> {
        Ok(())
    }
}

impl Operations {
    /// Those for an account. Keys of machines are put into `directory`.
    pub(crate) fn new(url: &str, api_key: &str, secret_key: &str, directory: &Path) -> Self {
        let driver = load(Some(&cache()));
        let commands = driver.describe().expect("a description").commands;
        let endpoint = url.parse().expect("an endpoint");
        let secrets = [("api-key", api_key), ("secret-key", secret_key)];
        let secrets = secrets.map(|(name, key)| (format!("btcloud-{name}"), Secret::from(key)));
        Self {
            driver,
            client: Client::default(),
            reach: Arc::new(Reach {
                endpoints: [("btcloud-endpoint".to_owned(), endpoint)].into(),
                commands: commands.into_iter().collect(),
            }),
            secrets: Arc::new(secrets.into_iter().collect()),
            directory: directory.to_owned(),
            made: AtomicUsize::new(0),
        }
    }

    /// Those for the first account of a simulated cloud.
    pub(crate) fn of(cloud: &Simulator, directory: &Path) -> Self {
        Self::new(cloud.url(), cloud.api_key(), cloud.secret_key(), directory)
    }

    /// Makes a machine of a name of its own. Without pauses, the time is the processor's, with the cloud's.
    pub(crate) fn create(&self, form: Form, pauses: Pauses) -> Duration {
        let number = self.made.fetch_add(1, Ordering::SeqCst);
        let name = format!("bench-{}-{number}", std::process::id());
        let capabilities = self.capabilities(&name, pauses);
        let machine = machine(&name, number);
        let measure = match pauses {
            Pauses::Real => time,
            Pauses::Skipped => processor_time,
        };
        measure(Box::new(|| match form {
            Form::Sandboxed => {
                let made = self.driver.create(capabilities, &machine);
                drop(made.expect("a driver that runs").expect("a machine"));
            }
            Form::Native => drop(native::create(capabilities, &machine).expect("a machine")),
        }) as Box<dyn FnOnce()>)
    }

    /// Makes that many machines at once.
    pub(crate) fn create_at_once(&self, machines: usize, form: Form) -> Duration {
        time(|| {
            thread::scope(|scope| {
                for _ in 0..machines {
                    scope.spawn(|| self.create(form, Pauses::Real));
                }
            });
        })
    }

    fn capabilities(&self, name: &str, pauses: Pauses) -> Capabilities {
        let time: Arc<dyn TimeSource> = match pauses {
            Pauses::Real => Arc::new(SystemTimeSource::default()),
            Pauses::Skipped => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH);
                let now = now.map_or(0, |now| u64::try_from(now.as_millis()).unwrap_or(0));
                Arc::new(VirtualTimeSource(Arc::new(AtomicU64::new(now))))
            }
        };
        let budget = Arc::new(Budget::new(Limits::default(), time, Cancel::default()));
        let secrets = &self.secrets;
        let keys = Keys::At {
            path: self.directory.join(name),
            given: None,
        };
        Capabilities {
            http: Http::new(
                self.client.clone(),
                Arc::clone(&self.reach),
                Arc::clone(secrets),
                Arc::clone(&budget),
                Arc::new(Silent),
            ),
            keys: SshKeys::new(keys, Arc::clone(&budget)),
            state: State::new(Box::new(Forget), Arc::clone(&budget)),
            clock: Clock(Arc::clone(&budget)),
            log: Log::new(Arc::new(Silent), Arc::clone(secrets), Arc::clone(&budget)),
            budget,
        }
    }
}

fn machine(name: &str, number: usize) -> Machine {
    let options = acceptance::OPTIONS.chunks_exact(2).map(|option| {
        let name = option[0].trim_start_matches("--").to_owned();
        (name, Value::Text(option[1].to_owned()))
    });
    let withheld = ["btcloud-api-key", "btcloud-secret-key"];
    let withheld = withheld.map(|name| (name.to_owned(), Value::Withheld(true)));
    Machine {
        name: name.to_owned(),
        id: format!("{:010x}{number:010x}", std::process::id()),
        swarm_master: false,
        options: options.chain(withheld).collect(),
        saved: "{}".to_owned(),
    }
}

/// Where compiled code is kept for the benchmarks.
fn cache() -> Cache {
    Cache::at(acceptance::cache_directory())
}

fn load(cache: Option<&Cache>) -> Driver {
    Driver::load(builtin::COMPONENT, Limits::default(), cache).expect("the driver")
}

/// The first use of a component: it is compiled, by all processors. Their time in all, and what a user waits, which is less.
pub(crate) fn first_use() -> (Sample, Sample) {
    (
        Sample::of(5, || processor_time(|| load(None))),
        Sample::of(5, || time(|| load(None))),
    )
}

/// Later uses: the compiled code is loaded and linked.
pub(crate) fn later_use() -> Sample {
    load(Some(&cache()));
    Sample::of(100, || processor_time(|| load(Some(&cache()))))
}

/// An instance is made and answers what the driver is.
pub(crate) fn describe() -> Sample {
    let driver = load(Some(&cache()));
    Sample::of(200, || {
        processor_time(|| driver.describe().expect("a description"))
    })
}

/// One call of the host by a driver: of the clock, by which the cost of the call itself is seen.
pub(crate) fn host_call() -> Sample {
    /// As many as the driver makes in this mode.
    const CALLS: u32 = 10_000;
    let component = std::fs::read(acceptance::PROBE).expect("the component");
    let probe = Driver::load(&component, Limits::default(), None).expect("the driver");
    let check = |mode: &str| {
        let capabilities = Capabilities::none(Limits::default());
        let mut machine = machine("m", 0);
        machine.options = vec![("probe-mode".to_owned(), Value::Text(mode.to_owned()))];
        processor_time(|| {
            let checked = probe.check(capabilities, &machine);
            checked.expect("a driver that runs").expect("no error");
        })
    };
    Sample::of(30, || check("calls").saturating_sub(check("")) / CALLS)
}

/// A request's signature.
pub(crate) fn signing() -> Sample {
    let parameters = [
        ("command", "listVirtualMachines"),
        ("id", "5a1b2c3d-0000-4000-8000-0123456789ab"),
        ("response", "json"),
        ("apikey", &"k".repeat(86)),
        ("signatureversion", "3"),
        ("expires", "2026-11-24T04:05:06+0000"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let secret = "s".repeat(86);
    Sample::of(50, || {
        time_each(1_000, || signature::signature(&parameters, &secret))
    })
}

/// The driver's flags in gob, the largest answer of a plugin: written, and read.
pub(crate) fn gob() -> (Sample, Sample) {
    let mut flags: Vec<wire::CreateFlag> = Vec::new();
    for number in 0..40 {
        flags.push(wire::CreateFlag {
            name: format!("btcloud-option-{number}"),
            usage: "Name or id of the service offering, which sets the machine's size".to_owned(),
            env_var: format!("BTCLOUD_OPTION_{number}"),
            value: Flag::Text(String::new()),
        });
    }
    let list = wire::create_flags_to_gob(&flags);
    static FLAGS: &Type = &wire::CREATE_FLAGS;
    let encode = || {
        Encoder::new(wire::REGISTRY)
            .encode(FLAGS, &list)
            .expect("gob")
    };
    let stream = encode();
    let decode = || {
        Decoder::new(stream.as_slice(), gob::Limits::default())
            .next_value()
            .expect("a value")
    };
    (
        Sample::of(50, || time_each(200, encode)),
        Sample::of(50, || time_each(200, decode)),
    )
}
