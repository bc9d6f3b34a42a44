//! An attack: what attacks, what the host is asked to do meanwhile, and what must come of it.

use std::fs;
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use acceptance::hostile;
use btcloud_host::capability::clock::{Cancel, SystemTimeSource, TimeSource, VirtualTimeSource};
use btcloud_host::capability::log::{Level, Reporter};
use btcloud_host::machine::{
    Account, Change, Engine, Error, Flag, Flags, Inventory, LazyDriver, Machine, Record, Store,
    Surroundings,
};
use btcloud_host::sandbox::{Cache, Limits};
use tempfile::TempDir;

use crate::core_module::CoreModule;

/// The secret that must be found nowhere. It has what is encoded in queries and in JSON.
pub(crate) const CANARY: &str = "canary+0123456789/abcdef==";

/// Its forms that must be found nowhere either; the last ones are without what is encoded.
const CANARIES: [&str; 4] = [
    CANARY,
    "canary%2B0123456789%2Fabcdef%3D%3D",
    "canary%2b0123456789%2fabcdef",
    "0123456789",
];

/// No attack may take longer, on the slowest computer.
const PATIENCE: Duration = Duration::from_secs(60);

/// The most bytes that a text of a driver's may have when it reaches the user.
const MAX_SHOWN: usize = 10_000;
/// Where what is compiled is kept for the time of the test.
static CACHE: LazyLock<TempDir> = LazyLock::new(|| tempfile::tempdir().unwrap());

/// What the host is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// Load the driver and ask it what it is and can list.
    Load,
    Check,
    Create,
    Change(Change),
    Status,
    Survey,
    Candidates,
    Limits,
}

pub(crate) const OPERATIONS: [Operation; 8] = [
    Operation::Check,
    Operation::Create,
    Operation::Change(Change::Start),
    Operation::Change(Change::Stop),
    Operation::Change(Change::Kill),
    Operation::Change(Change::Restart),
    Operation::Change(Change::Remove),
    Operation::Status,
];

/// What attacks.
#[derive(Clone)]
pub(crate) enum Component {
    /// The driver `hostile`, with that mark.
    Hostile(&'static str),
    Bytes(Vec<u8>),
}

/// An attack, and what must come of it.
pub(crate) struct Attack {
    pub(crate) name: String,
    component: Component,
    flags: Vec<(&'static str, Flag)>,
    pub(crate) limits: Limits,
    operation: Operation,
    pub(crate) time: Arc<dyn TimeSource>,
    cancel_after: Option<Duration>,
    /// What the error must have in it; nothing if the attack comes to nothing without one.
    expected: Option<String>,
    /// What must hold afterwards.
    after: Option<After>,
}

pub(crate) type After = Box<dyn Fn(&Outcome) -> Result<(), String> + Send + Sync>;

/// What came of an attack.
pub(crate) struct Outcome {
    pub(crate) result: Result<(), Error>,
    /// What the user was shown.
    pub(crate) lines: Vec<String>,
}

pub(crate) fn text(text: &str) -> Flag {
    Flag::Text(text.to_owned())
}

pub(crate) fn milliseconds(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

impl Attack {
    pub(crate) fn of(name: &str, component: Component) -> Self {
        Self {
            name: name.to_owned(),
            component,
            flags: Vec::new(),
            limits: Limits::default(),
            operation: Operation::Check,
            time: Arc::new(SystemTimeSource::default()),
            cancel_after: None,
            expected: None,
            after: None,
        }
    }

    /// By the driver `hostile` in that mode.
    pub(crate) fn mode(mode: &str) -> Self {
        Self::of(mode, Component::Hostile("")).with("mode", text(mode))
    }

    /// By the driver `hostile` in that mode of `survey`.
    pub(crate) fn survey(mode: &str) -> Self {
        Self::account(mode, Operation::Survey)
    }

    /// By the driver `hostile` in that mode of what is asked for an account.
    pub(crate) fn account(mode: &str, operation: Operation) -> Self {
        let mut attack = Self::of(mode, Component::Hostile("")).on(operation);
        let endpoint = format!("http://127.0.0.1:9/{mode}");
        attack.flags.push(("endpoint", Flag::Text(endpoint)));
        attack
    }

    /// By the driver `hostile` with that mark in `describe`.
    pub(crate) fn mark(mark: &'static str) -> Self {
        let mut attack = Self::of(mark, Component::Hostile(mark));
        attack.operation = Operation::Load;
        attack
    }

    /// By a component made of a core module.
    pub(crate) fn core(name: &str, module: &CoreModule) -> Self {
        Self::of(name, Component::Bytes(module.component()))
    }

    /// By a request of those parts to that endpoint.
    pub(crate) fn request(endpoint: &str, parts: &[&str]) -> Self {
        let parts: Vec<_> = parts.iter().map(|part| (*part).to_owned()).collect();
        let mut attack = Self::mode("request").with("endpoint", text(endpoint));
        attack.name = format!("request {}", parts.join(" ").escape_debug());
        attack.with("request", Flag::TextList(parts))
    }

    pub(crate) fn with(mut self, option: &'static str, flag: Flag) -> Self {
        self.flags.push((option, flag));
        self
    }

    pub(crate) fn on(mut self, operation: Operation) -> Self {
        self.operation = operation;
        self.name = format!("{} in {operation:?}", self.name);
        self
    }

    pub(crate) fn limited(mut self, limit: impl FnOnce(&mut Limits)) -> Self {
        limit(&mut self.limits);
        self
    }

    pub(crate) fn in_virtual_time(mut self) -> Self {
        self.time = Arc::new(VirtualTimeSource::default());
        self
    }

    pub(crate) fn cancelled(mut self) -> Self {
        self.cancel_after = Some(milliseconds(50));
        self
    }

    pub(crate) fn fails(mut self, expected: &str) -> Self {
        self.expected = Some(expected.to_owned());
        self
    }

    pub(crate) fn and(
        mut self,
        after: impl Fn(&Outcome) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        self.after = Some(Box::new(after));
        self
    }

    fn driver(&self) -> LazyDriver {
        let bytes = match &self.component {
            Component::Hostile(mark) => hostile(mark),
            Component::Bytes(bytes) => bytes.clone(),
        };
        LazyDriver::new(bytes, self.limits, Some(Cache::at(CACHE.path().to_owned())))
    }

    /// Lets it happen.
    pub(crate) fn play(&self) -> Result<(), String> {
        let store = tempfile::tempdir().unwrap();
        let (recorder, cancel) = (Arc::new(Recorder::default()), Cancel::default());
        let surroundings = Surroundings {
            time: Arc::clone(&self.time),
            variables: Arc::new(|_| None),
            ..Surroundings::of_process(Arc::clone(&recorder) as Arc<dyn Reporter>, cancel.clone())
        };
        let driver = Arc::new(self.driver());
        let canceller = self.cancel_after.map(|after| {
            thread::spawn(move || {
                thread::sleep(after);
                cancel.set();
            })
        });
        let began = Instant::now();
        let result = self.operate(&driver, &surroundings, store.path());
        let took = began.elapsed();
        if let Some(canceller) = canceller {
            canceller.join().unwrap();
        }
        let lines = recorder.0.lock().unwrap().clone();
        let outcome = Outcome { result, lines };
        self.judge(&outcome)?;
        if took > PATIENCE {
            return Err(format!("it took {took:?}"));
        }
        search(store.path(), store.path())?;
        if let Some(after) = &self.after {
            after(&outcome)?;
        }
        honest_operation().map_err(|e| format!("the host does not go on: {e}"))
    }

    fn operate(
        &self,
        driver: &Arc<LazyDriver>,
        surroundings: &Surroundings,
        store: &Path,
    ) -> Result<(), Error> {
        let loaded = driver.loaded()?;
        if self.operation == Operation::Load {
            return loaded.listable().map(drop);
        }
        let name = &loaded.description.name;
        let mut flags: Flags = self
            .flags
            .iter()
            .map(|(option, flag)| (format!("{name}-{option}"), flag.clone()))
            .collect();
        flags.insert(format!("{name}-key"), text(CANARY));
        let surroundings = surroundings.clone();
        if self.operation == Operation::Survey {
            let account = Account::new(Arc::clone(driver), surroundings.clone(), &flags)?;
            let found = account.survey()?;
            // As the command line shows it.
            for part in found.iter().flat_map(|found| &found.parts) {
                surroundings.reporter.log(Level::Info, part);
            }
            return Ok(());
        }
        if matches!(self.operation, Operation::Candidates | Operation::Limits) {
            let inventory = Inventory::new(driver, surroundings.clone(), &flags)?;
            let told: Vec<String> = match self.operation {
                Operation::Limits => {
                    let limits = inventory.limits(PATIENCE)?;
                    limits.into_iter().map(|limit| limit.name).collect()
                }
                _ => {
                    let candidates = inventory.candidates("hostile-text", PATIENCE)?;
                    let texts = candidates.into_iter().map(|c| (c.name, c.id, c.details));
                    texts
                        .flat_map(|(name, id, details)| [name, id].into_iter().chain(details))
                        .collect()
                }
            };
            for text in told {
                surroundings.reporter.log(Level::Info, &text);
            }
            return Ok(());
        }
        let store = Store::at(store.to_owned());
        let machine = Machine::new(
            Arc::clone(driver),
            surroundings,
            Record::new("m1", store.path()),
        );
        machine.configure(&flags)?;
        store.create("m1", &machine.record()?, name, &Engine::default())?;
        match self.operation {
            Operation::Create => machine.create().map(drop),
            Operation::Change(change) => machine.change(change),
            Operation::Status => machine.status().map(drop),
            _ => machine.check(),
        }
    }

    /// Whether the outcome is what it must be, and all that the user is shown fit to be shown.
    fn judge(&self, outcome: &Outcome) -> Result<(), String> {
        let mut shown = outcome.lines.clone();
        match (&outcome.result, &self.expected) {
            (Ok(()), None) => {}
            (Err(error), Some(expected)) if error.to_string().contains(expected) => {
                shown.push(error.to_string());
                shown.extend(error.hint());
            }
            (Ok(()), Some(expected)) => {
                return Err(format!("it succeeded, without \"{expected}\""));
            }
            (Err(error), expected) => return Err(format!("{error:.500}\n  but not {expected:?}")),
        }
        // What the driver says, and what the host tells of its requests.
        if shown.len() > 2 * self.limits.log_lines as usize + 5 {
            return Err(format!("{} lines were shown", shown.len()));
        }
        shown.iter().try_for_each(|text| is_fit(text))
    }
}
/// Whether a text that came from a driver can be shown to the user.
fn is_fit(text: &str) -> Result<(), String> {
    let is_odd = |c: char| {
        c.is_control() && c != '\n'
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
            || matches!(c, '\u{e0000}'..='\u{e007f}')
    };
    let has_secret = CANARIES.iter().any(|canary| text.contains(canary));
    if text.len() > MAX_SHOWN || text.contains(is_odd) || has_secret {
        return Err(format!("not fit to be shown: {:.500}", text.escape_debug()));
    }
    Ok(())
}

/// Whether the store has the secret where it belongs and nowhere else, and no more than a machine needs.
fn search(directory: &Path, store: &Path) -> Result<(), String> {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            search(&path, store)?;
            continue;
        }
        let contents = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
        let is_home = path.ends_with("machines/m1/secrets.json");
        if !is_home && CANARIES.iter().any(|canary| contents.contains(canary)) {
            return Err(format!("a secret is in {}", path.display()));
        }
        if contents.len() > 1 << 20 {
            let size = contents.len();
            return Err(format!("{} has {size} bytes", path.display()));
        }
        let inside = path.strip_prefix(store).unwrap();
        if !inside.starts_with("machines/m1") {
            return Err(format!("there is a file {}", inside.display()));
        }
    }
    Ok(())
}

/// The host does what an honest driver asks.
pub(crate) fn honest_operation() -> Result<(), String> {
    static HONEST: LazyLock<Arc<LazyDriver>> =
        LazyLock::new(|| Arc::new(Attack::mode("").driver()));
    let store = tempfile::tempdir().unwrap();
    let recorder = Arc::new(Recorder::default());
    let surroundings = Surroundings::of_process(recorder, Cancel::default());
    let attack = Attack::mode("").on(Operation::Create);
    let result = attack.operate(&HONEST, &surroundings, store.path());
    result.map_err(|e| e.to_string())
}

#[derive(Default)]
struct Recorder(Mutex<Vec<String>>);

impl Reporter for Recorder {
    fn log(&self, _: Level, line: &str) {
        self.0.lock().unwrap().push(line.to_owned());
    }
    fn progress(&self, step: &str, _: u32, _: u32) {
        self.0.lock().unwrap().push(step.to_owned());
    }
}

/// A creation that failed was undone.
pub(crate) fn is_undone(outcome: &Outcome) -> Result<(), String> {
    let is_undone = matches!(
        &outcome.result,
        Err(Error::Create {
            leftovers: None,
            ..
        })
    ) && outcome.lines.last().is_some_and(|line| line == "removed");
    match is_undone {
        true => Ok(()),
        false => Err(format!("not undone: {:?}", outcome.lines)),
    }
}
