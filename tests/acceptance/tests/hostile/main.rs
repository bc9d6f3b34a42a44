//! Drivers that attack the host. Each attack tries one thing; it has to fail with the right error, within its time, to leak
//! nothing, and to leave a host that goes on.

mod core_module;
mod server;

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use acceptance::HOSTILE;
use acceptance::parallel::play_all;
use btcloud_host::capability::clock::{Cancel, SystemTimeSource, TimeSource, VirtualTimeSource};
use btcloud_host::capability::log::{Level, Reporter};
use btcloud_host::machine::{
    Account, Change, Engine, Error, Flag, Flags, Inventory, LazyDriver, Machine, Record, Store,
    Surroundings,
};
use btcloud_host::sandbox::{Cache, Limits};
use core_module::CoreModule;
use server::Server;
use tempfile::TempDir;

/// The secret that must be found nowhere. It has what is encoded in queries and in JSON.
const CANARY: &str = "canary+0123456789/abcdef==";

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

static COMPONENT: LazyLock<Vec<u8>> = LazyLock::new(|| fs::read(HOSTILE).unwrap());

/// Where what is compiled is kept for the time of the test.
static CACHE: LazyLock<TempDir> = LazyLock::new(|| tempfile::tempdir().unwrap());

/// What the host is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
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

const OPERATIONS: [Operation; 8] = [
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
enum Component {
    /// The driver `hostile`, with that mark.
    Hostile(&'static str),
    Bytes(Vec<u8>),
}

/// An attack, and what must come of it.
struct Attack {
    name: String,
    component: Component,
    flags: Vec<(&'static str, Flag)>,
    limits: Limits,
    operation: Operation,
    time: Arc<dyn TimeSource>,
    cancel_after: Option<Duration>,
    /// What the error must have in it; nothing if the attack comes to nothing without one.
    expected: Option<String>,
    /// What must hold afterwards.
    after: Option<After>,
}

type After = Box<dyn Fn(&Outcome) -> Result<(), String> + Send + Sync>;

/// What came of an attack.
struct Outcome {
    result: Result<(), Error>,
    /// What the user was shown.
    lines: Vec<String>,
}

fn text(text: &str) -> Flag {
    Flag::Text(text.to_owned())
}

fn milliseconds(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

impl Attack {
    fn of(name: &str, component: Component) -> Self {
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
    fn mode(mode: &str) -> Self {
        Self::of(mode, Component::Hostile("")).with("mode", text(mode))
    }

    /// By the driver `hostile` in that mode of `survey`.
    fn survey(mode: &str) -> Self {
        Self::account(mode, Operation::Survey)
    }

    /// By the driver `hostile` in that mode of what is asked for an account.
    fn account(mode: &str, operation: Operation) -> Self {
        let mut attack = Self::of(mode, Component::Hostile("")).on(operation);
        let endpoint = format!("http://127.0.0.1:9/{mode}");
        attack.flags.push(("endpoint", Flag::Text(endpoint)));
        attack
    }

    /// By the driver `hostile` with that mark in `describe`.
    fn mark(mark: &'static str) -> Self {
        let mut attack = Self::of(mark, Component::Hostile(mark));
        attack.operation = Operation::Load;
        attack
    }

    /// By a component made of a core module.
    fn core(name: &str, module: &CoreModule) -> Self {
        Self::of(name, Component::Bytes(module.component()))
    }

    /// By a request of those parts to that endpoint.
    fn request(endpoint: &str, parts: &[&str]) -> Self {
        let parts: Vec<_> = parts.iter().map(|part| (*part).to_owned()).collect();
        let mut attack = Self::mode("request").with("endpoint", text(endpoint));
        attack.name = format!("request {}", parts.join(" ").escape_debug());
        attack.with("request", Flag::TextList(parts))
    }

    fn with(mut self, option: &'static str, flag: Flag) -> Self {
        self.flags.push((option, flag));
        self
    }

    fn on(mut self, operation: Operation) -> Self {
        self.operation = operation;
        self.name = format!("{} in {operation:?}", self.name);
        self
    }

    fn limited(mut self, limit: impl FnOnce(&mut Limits)) -> Self {
        limit(&mut self.limits);
        self
    }

    fn in_virtual_time(mut self) -> Self {
        self.time = Arc::new(VirtualTimeSource::default());
        self
    }

    fn cancelled(mut self) -> Self {
        self.cancel_after = Some(milliseconds(50));
        self
    }

    fn fails(mut self, expected: &str) -> Self {
        self.expected = Some(expected.to_owned());
        self
    }

    fn and(
        mut self,
        after: impl Fn(&Outcome) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        self.after = Some(Box::new(after));
        self
    }

    fn driver(&self) -> LazyDriver {
        let bytes = match &self.component {
            Component::Hostile(mark) => marked(mark),
            Component::Bytes(bytes) => bytes.clone(),
        };
        LazyDriver::new(bytes, self.limits, Some(Cache::at(CACHE.path().to_owned())))
    }

    /// Lets it happen.
    fn play(&self) -> Result<(), String> {
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

/// The component of the driver `hostile`, with a mark.
fn marked(mark: &str) -> Vec<u8> {
    let mut bytes = COMPONENT.clone();
    let label = b"HOSTILE-MARK:";
    let at = bytes.windows(label.len()).position(|w| w == label).unwrap() + label.len();
    let place = &mut bytes[at..at + 35];
    assert!(place.iter().all(|byte| *byte == b' '));
    place[..mark.len()].copy_from_slice(mark.as_bytes());
    bytes
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
fn honest_operation() -> Result<(), String> {
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

/// Loops, and waits that end only with the limit.
fn time() -> Vec<Attack> {
    let short = |limits: &mut Limits| limits.computation = milliseconds(100);
    let brief = |limits: &mut Limits| limits.wall = milliseconds(150);
    const COMPUTED: &str = "it computed for more than 0.1 seconds";
    const TOOK: &str = "the operation took more than 0.15 seconds";
    let mut attacks = Vec::new();
    for operation in OPERATIONS {
        let mode = match operation {
            Operation::Change(Change::Remove) => "remove loop",
            _ => "loop",
        };
        attacks.push(
            Attack::mode(mode)
                .on(operation)
                .limited(short)
                .fails(COMPUTED),
        );
    }
    for attack in [
        Attack::mark("describe loop"),
        Attack::mark("listable loop"),
        Attack::survey("loop"),
        Attack::account("loop", Operation::Candidates),
        Attack::account("loop", Operation::Limits),
    ] {
        attacks.push(attack.limited(short).fails(COMPUTED));
    }
    attacks.push(
        Attack::account("sleep", Operation::Candidates)
            .limited(brief)
            .fails(TOOK),
    );
    // Time in the host's functions counts too.
    for mode in ["loop host", "loop log", "loop progress", "loop requests"] {
        attacks.push(Attack::mode(mode).limited(short).fails(COMPUTED));
    }
    let keys = Attack::mode("loop keys").on(Operation::Create);
    attacks.push(keys.limited(short).fails(COMPUTED));

    for mode in ["sleep", "naps", "wasi-sleep", "wasi-naps"] {
        attacks.push(Attack::mode(mode).limited(brief).fails(TOOK));
        let hour = Attack::mode(mode).limited(|limits| {
            // A step of virtual time costs real time.
            if mode.ends_with("naps") {
                limits.wall = Duration::from_secs(1);
            }
        });
        let after = Arc::new(VirtualTimeSource::default());
        let (time, wall) = (Arc::clone(&after), hour.limits.wall);
        let mut hour = hour
            .fails(&format!("took more than {} seconds", wall.as_secs()))
            .and(move |_| match after.now().checked_sub(wall) {
                Some(over) if over < Duration::from_secs(1) => Ok(()),
                _ => Err(format!("{:?} have passed", after.now())),
            });
        hour.name.push_str(" in virtual time");
        hour.time = time;
        attacks.push(hour);
    }
    for mark in ["describe sleep", "describe wasi-sleep"] {
        attacks.push(Attack::mark(mark).limited(brief).fails(TOOK));
    }
    // A user who asks to stop.
    let patient = |limits: &mut Limits| limits.grace = milliseconds(100);
    attacks.push(
        Attack::mode("wasi-sleep")
            .cancelled()
            .fails("the user asked to stop"),
    );
    for mode in ["naps", "loop"] {
        let attack = Attack::mode(mode).cancelled().limited(patient);
        attacks.push(attack.fails("0.1 seconds after it had been asked to stop"));
    }

    // Servers that never come to an end.
    let mute = Server::start(|_, _| thread::sleep(Duration::from_secs(2)));
    attacks.push(
        Attack::request(
            &mute.url,
            &["query=command=listZones", "cloudstack=hostile-key"],
        )
        .limited(brief)
        .fails(TOOK),
    );
    let dripping = Server::start(|_, stream| {
        let head = b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n";
        let mut is_open = stream.write_all(head).is_ok();
        while is_open {
            thread::sleep(milliseconds(20));
            is_open = stream.write_all(b"x").is_ok();
        }
    });
    attacks.push(
        Attack::request(
            &dripping.url,
            &["query=command=listZones", "cloudstack=hostile-key"],
        )
        .limited(brief)
        .fails(TOOK),
    );
    attacks
}

/// What is more than the host wants to hold.
fn size() -> Vec<Attack> {
    const HANDS: &str = "it hands more than 8388608 bytes to the host at once";
    let small = |limits: &mut Limits| limits.memory = 64 << 20;
    let mut attacks = vec![
        Attack::mode("allocate")
            .limited(small)
            .fails("it wants more than 67108864 bytes of memory"),
        Attack::mode("recurse").fails("the driver crashed"),
        Attack::mode("")
            .limited(|limits| limits.instances = 1)
            .fails("it has more than 1 instances"),
        Attack::mode("")
            .limited(|limits| limits.component_size = 1_000)
            .fails("its file is larger than 1000 bytes"),
        Attack::mode("")
            .limited(|limits| limits.memory = 65_536)
            .fails("65536 bytes of memory"),
        Attack::mode("")
            .limited(|limits| limits.table_elements = 1)
            .fails("tables of more than 1 elements"),
    ];
    let huge = [
        "huge log",
        "huge progress",
        "huge save",
        "huge error",
        "huge hint",
        "huge endpoint",
        "huge path",
        "huge value",
        "huge name",
        "huge json",
        "huge form",
        "huge credentials",
        "crowd of parameters",
    ];
    for mode in huge {
        attacks.push(Attack::mode(mode).fails(HANDS));
    }
    for mode in ["status crowd", "status huge"] {
        attacks.push(Attack::mode(mode).on(Operation::Status).fails(HANDS));
    }
    for attack in [
        Attack::mark("describe huge"),
        Attack::mark("describe crowd"),
        Attack::mark("listable huge"),
        Attack::mark("listable crowd"),
        Attack::account("crowd", Operation::Candidates),
        Attack::account("huge", Operation::Candidates),
        Attack::account("crowd", Operation::Limits),
        Attack::account("huge", Operation::Limits),
        Attack::survey("crowd"),
        Attack::survey("huge"),
    ] {
        attacks.push(attack.fails(HANDS));
    }
    let server = Server::start(server::answering(""));
    let requests = server.requests();
    for mode in ["large request", "many parameters"] {
        let requests = Arc::clone(&requests);
        attacks.push(
            Attack::mode(mode)
                .with("endpoint", text(&server.url))
                .fails("larger than 65536 bytes")
                .and(move |_| server::are(&requests, 0)),
        );
    }
    attacks.extend([
        Attack::mode("large save").fails("save more than 262144 bytes"),
        Attack::mode("deep save").fails("not a JSON object"),
        Attack::mode("long error").fails("xxx"),
        Attack::mark("describe long").fails("too long"),
        Attack::mark("describe many").fails("more than 200 options"),
        Attack::mark("listable many").fails("it lists hostile-text or texts twice"),
        Attack::account("many", Operation::Candidates).fails("more than 20000 names"),
        Attack::account("long", Operation::Candidates),
        Attack::account("many", Operation::Limits).fails("more than 100 limits"),
        Attack::survey("many").fails("it found more than 10000 machines"),
        Attack::survey("parts").fails("of too many parts"),
        Attack::survey("large").fails("for which it remembers what is invalid"),
        Attack::mode("lines").and(|outcome| match outcome.lines.as_slice() {
            [.., last] if last.contains("more than 1000 lines") => Ok(()),
            lines => Err(format!("{} lines", lines.len())),
        }),
        Attack::mode("long line").and(|outcome| match outcome.lines.as_slice() {
            [line] if line.len() < 4_100 => Ok(()),
            lines => Err(format!("{} lines", lines.len())),
        }),
        Attack::mode("loop save")
            .limited(|limits| limits.saves = 20)
            .fails("20 saves, then: the driver saved its state more than 20 times"),
        Attack::mode("stderr"),
        Attack::mode("stdout"),
    ]);
    let big = Server::start(|_, stream| {
        let head = b"HTTP/1.1 200 OK\r\ncontent-length: 9000000\r\n\r\n";
        let mut is_open = stream.write_all(head).is_ok();
        while is_open {
            is_open = stream.write_all(&[b'x'; 65_536]).is_ok();
        }
    });
    attacks.push(
        Attack::request(
            &big.url,
            &["query=command=listZones", "cloudstack=hostile-key"],
        )
        .fails("larger than 8388608 bytes"),
    );
    let flood = Server::start(server::answering("{}"));
    let requests = flood.requests();
    attacks.push(
        Attack::mode("requests")
            .with("endpoint", text(&flood.url))
            .with("request", Flag::TextList(granted()))
            .limited(|limits| limits.requests = 50)
            .fails("50 answers, then: the driver made more than 50 requests")
            .and(move |_| server::are(&requests, 50)),
    );
    attacks
}

fn granted() -> Vec<String> {
    ["query=command=listZones", "cloudstack=hostile-key"]
        .map(str::to_owned)
        .into()
}

/// What would fool the user, the host's parsers or other programs.
fn deceit() -> Vec<Attack> {
    let mut attacks = vec![
        Attack::mode("escapes log").and(|outcome| {
            let expected = ["evil"; 2];
            match outcome.lines == expected {
                true => Ok(()),
                false => Err(format!("{:?}", outcome.lines)),
            }
        }),
        Attack::mode("escapes error").fails("evil"),
        Attack::mode("escapes saved").fails("wants to save control characters"),
        Attack::mark("describe escapes").fails("control characters"),
        Attack::mark("describe panic").fails("evil"),
        Attack::mark("listable panic").fails("evil"),
        Attack::mark("listable request").fails("the heading or the columns of hostile-text"),
        Attack::mark("listable escapes").fails("the heading or the columns of hostile-text"),
        Attack::mark("listable secret").fails("does not have, or that is no text"),
        Attack::mark("listable other").fails("does not have, or that is no text"),
        Attack::account("panic", Operation::Candidates).fails("evil"),
        Attack::account("escapes", Operation::Candidates),
        Attack::account("details", Operation::Candidates),
        Attack::account("error", Operation::Candidates).fails("evil"),
        Attack::account("key", Operation::Candidates).fails("outside of create"),
        Attack::account("save", Operation::Candidates).fails("outside of an operation"),
        Attack::account("escapes", Operation::Limits),
        Attack::survey("panic").fails("evil"),
        Attack::survey("escapes"),
        Attack::survey("name").fails("whose name is invalid"),
        Attack::survey("id").fails("whose id is invalid"),
        Attack::survey("saved").fails("for which it remembers what is invalid"),
        Attack::mark("describe name").fails("its name is not"),
        Attack::mark("describe variable").fails("the variable of hostile-mode"),
        Attack::mark("describe member").fails("the host's own"),
        Attack::mark("describe default").fails("does not begin with https"),
        Attack::mark("describe metadata").fails("which no driver may call"),
        Attack::mark("describe commands").fails("neither a name nor a method"),
        Attack::mark("describe request").fails("version is not"),
        Attack::mark("describe save").fails("version is not"),
        Attack::mark("describe key").fails("version is not"),
        Attack::mode("save [1]").fails("not a JSON object"),
        Attack::mode("save {").fails("not a JSON object"),
        Attack::mode("save {\"a\": 1}}").fails("not a JSON object"),
        Attack::mode("save {\"SSHKeyPath\": \"/etc/shadow\"}").fails("must not save SSHKeyPath"),
        Attack::mode("save {\"storepath\": \"/\"}").fails("must not save storepath"),
        Attack::mode("save {\"MachineID\": \"\"}").fails("must not save MachineID"),
        Attack::mode("save {\"mode\": \"\"}").fails("must not save mode"),
        Attack::mode("status none")
            .on(Operation::Status)
            .fails("the status of 0 machines"),
        Attack::mode("status argument")
            .on(Operation::Status)
            .fails("invalid SSH host"),
        Attack::mode("status argument")
            .on(Operation::Create)
            .fails("invalid SSH host"),
        Attack::mode("status user")
            .on(Operation::Status)
            .fails("invalid SSH user"),
        Attack::mode("status address")
            .on(Operation::Status)
            .fails("invalid address"),
        Attack::mode("status port")
            .on(Operation::Status)
            .fails("invalid port"),
        Attack::mode("key").fails("outside of create"),
        Attack::mode("look").fails("saw []"),
        Attack::mode("stdin").fails("read \"\""),
    ];
    for operation in OPERATIONS {
        for (mode, expected) in [
            ("panic", "evil"),
            ("trap", "unreachable"),
            ("exit", "the driver crashed"),
        ] {
            let mode = match operation {
                Operation::Change(Change::Remove) => format!("remove {mode}"),
                _ => mode.to_owned(),
            };
            let attack = Attack::mode(&mode).on(operation).fails(expected);
            attacks.push(match operation {
                Operation::Create => attack.and(is_undone),
                _ => attack,
            });
        }
    }
    attacks
}

/// A creation that failed was undone.
fn is_undone(outcome: &Outcome) -> Result<(), String> {
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

/// What would reach other places than the endpoint, or do other things there.
fn network() -> Vec<Attack> {
    let elsewhere = Server::start(server::answering("you should not be here"));
    let server = Server::start(server::answering("{}"));
    let (away, here) = (elsewhere.requests(), server.requests());
    let other = elsewhere.url.clone();
    let signed = ["query=command=listZones", "cloudstack=hostile-key"];
    let refused = |parts: &[&str], expected: &str| {
        let (away, here) = (Arc::clone(&away), Arc::clone(&here));
        Attack::request(&server.url, parts)
            .with("text", text(&other))
            .fails(expected)
            .and(move |_| server::are(&away, 0).and(server::are(&here, 0)))
    };
    let mut attacks = Vec::new();

    // Other hosts, ports and schemes: an endpoint is named by its option, whatever the name says.
    let hosts = [
        other.as_str(),
        "http://127.0.0.1:22/",
        "http://localhost/",
        "http://169.254.169.254/latest/meta-data/",
        "http://[fd00:ec2::254]/",
        "file:///etc/passwd",
        "gopher://127.0.0.1:25/",
        "hostile-text",
        "hostile-key",
        "hostile-endpoint@127.0.0.1",
        "HOSTILE-ENDPOINT",
        "",
    ];
    for host in hosts {
        attacks.push(refused(
            &[&format!("endpoint={host}"), signed[0], signed[1]],
            "is no endpoint that is set",
        ));
    }
    // Paths that would lead out of the endpoint's.
    let paths = [
        "//evil.example/",
        "/servers/../../admin",
        "/servers/..",
        "/./servers",
        "/servers//1",
        "/servers/1/",
        "servers/1",
        "@evil.example/",
        ":80/",
        "/servers/\\..\\admin",
        "/servers/1\r\nHost: evil.example",
        "/servers/1\u{0}",
    ];
    for path in paths {
        attacks.push(refused(
            &[&format!("path={path}"), "bearer=hostile-key"],
            "has an invalid path",
        ));
    }
    // Paths and methods that were not granted.
    let calls = [
        (
            ["path=/servers", "bearer=hostile-key"],
            "may not call GET /servers",
        ),
        (["path=", "bearer=hostile-key"], "may not call GET"),
        (
            ["path=/Servers/1", "bearer=hostile-key"],
            "may not call GET /Servers/1",
        ),
        (
            ["path=/servers/1/2", "bearer=hostile-key"],
            "may not call GET /servers/1/2",
        ),
        (
            ["path=/servers/1", "method=DELETE"],
            "may not call DELETE /servers/1",
        ),
        (
            ["path=/servers/1", "method=PATCH"],
            "may not call PATCH /servers/1",
        ),
        (["path=/servers/1", "json={}"], "a GET has no body"),
    ];
    for (parts, expected) in calls {
        attacks.push(refused(&parts, expected));
    }
    // Encoded tricks arrive as one harmless segment.
    let encoded = [
        ("%2e%2e", "/client/api/servers/%252e%252e"),
        ("..%2f..%2fadmin", "/client/api/servers/..%252f..%252fadmin"),
        ("a?command=x#y", "/client/api/servers/a%3Fcommand=x%23y"),
        ("a;b@c:d", "/client/api/servers/a;b@c:d"),
    ];
    for (segment, expected) in encoded {
        let server = Server::start(server::answering("{}"));
        let requests = server.requests();
        let head = format!("GET {expected} HTTP/1.1\r\n");
        attacks.push(
            Attack::request(
                &server.url,
                &[&format!("path=/servers/{segment}"), "bearer=hostile-key"],
            )
            .fails("200 {}")
            .and(move |_| match &requests.lock().unwrap()[..] {
                [request] if request.starts_with(&head) => Ok(()),
                requests => Err(format!("{requests:?}")),
            }),
        );
    }
    // Commands that were not granted, and parameters that would change what is signed.
    let smuggled: [(&[&str], &str); 18] = [
        (
            &["query=command=destroyVirtualMachine"],
            "may not call destroyVirtualMachine",
        ),
        (&["query=command=listzones"], "may not call listzones"),
        (&["query=command=listZones "], "may not call listZones"),
        (&["query=command=listZones\u{0}"], "may not call listZones"),
        (&["query=command="], "may not call"),
        (&["query=Command=listZones"], "has no command"),
        (&["query=response=json"], "has no command"),
        (
            &[
                "query=command=listZones",
                "query=command=destroyVirtualMachine",
            ],
            "has command twice",
        ),
        (
            &[
                "query=command=listZones",
                "query=COMMAND=destroyVirtualMachine",
            ],
            "has COMMAND twice",
        ),
        (
            &["query=command=listZones", "query=signature=x"],
            "which is the host's",
        ),
        (
            &["query=command=listZones", "query=SIGNATURE=x"],
            "which is the host's",
        ),
        (
            &["query=command=listZones", "query=ApiKey=x"],
            "which is the host's",
        ),
        (
            &[
                "query=command=listZones",
                "query=expires=2099-01-01T00:00:00+0000",
            ],
            "which is the host's",
        ),
        (
            &["query=command=listZones", "query=signatureVersion=2"],
            "which is the host's",
        ),
        (
            &["query=command=listZones", "query=a&command=x"],
            "invalid name",
        ),
        (
            &["query=command=listZones", "query=a\r\n=x"],
            "invalid name",
        ),
        (
            &[
                "query=command=listZones",
                "form=command=destroyVirtualMachine",
                "method=POST",
            ],
            "a GET with a query or a POST with a form",
        ),
        (
            &["query=command=listZones", "path=/servers/1"],
            "has no path",
        ),
    ];
    for (parts, expected) in smuggled {
        let parts: Vec<_> = parts
            .iter()
            .copied()
            .chain(["cloudstack=hostile-key"])
            .collect();
        attacks.push(match parts.iter().any(|part| part.contains("a&command")) {
            // A name with an ampersand is one name; it is encoded.
            true => {
                Attack::request(&Server::start(server::answering("{}")).url, &parts).fails("200")
            }
            false => refused(&parts, expected),
        });
    }
    // A command in a value stays a value.
    let value = Server::start(server::answering("{}"));
    let requests = value.requests();
    let parts = [
        "query=command=listZones",
        "query=name=x&command=destroyVirtualMachine\r\nX: y",
        "cloudstack=hostile-key",
    ];
    attacks.push(
        Attack::request(&value.url, &parts)
            .fails("200 {}")
            .and(move |_| {
                let requests = requests.lock().unwrap();
                let first = requests[0].lines().next().unwrap_or_default();
                let is_one = first.matches("&command=").count() == 0
                    && first.contains("%26command%3D")
                    && first.contains("%0D%0A");
                is_one.then_some(()).ok_or_else(|| first.to_owned())
            }),
    );
    // Credentials that are none, or that would end a header.
    for (part, expected) in [
        (
            "cloudstack=hostile-text",
            "the option --hostile-text is not set",
        ),
        ("cloudstack=HOSTILE_KEY", "is not set"),
        (
            "bearer=hostile-mode",
            "the option --hostile-mode is not set",
        ),
        ("basic=a:b=hostile-key", "must have no colon"),
    ] {
        let first = match part.starts_with("cloudstack") {
            true => "query=command=listZones",
            false => "path=/servers/1",
        };
        attacks.push(refused(&[first, part], expected));
    }
    // A redirect is an answer; nobody goes there.
    for status in [301, 302, 303, 307, 308] {
        let answer =
            format!("HTTP/1.1 {status} Go\r\nlocation: {other}\r\ncontent-length: 0\r\n\r\n");
        let server = Server::start(move |_, stream| drop(stream.write_all(answer.as_bytes())));
        let away = Arc::clone(&away);
        attacks.push(
            Attack::request(&server.url, &signed)
                .fails(&format!("{status} "))
                .and(move |_| server::are(&away, 0)),
        );
    }
    // Endpoints that a user was talked into.
    let endpoints = [
        ("http://169.254.169.254/", "which no driver may call"),
        ("http://2852039166/", "which no driver may call"),
        ("http://0xa9fea9fe/", "which no driver may call"),
        ("http://[::ffff:a9fe:a9fe]/", "which no driver may call"),
        ("http://[64:ff9b::a9fe:a9fe]/", "which no driver may call"),
        ("http://0.0.0.0:22/", "which no driver may call"),
        ("http://224.0.0.1/", "which no driver may call"),
        (
            "http://cloud.example.com@169.254.169.254/",
            "has more than a scheme",
        ),
        (
            "http://user:pass@cloud.example.com/",
            "has more than a scheme",
        ),
        ("file:///etc/passwd", "is neither https nor http"),
        (
            "https://cloud.example.com/?command=x",
            "has more than a scheme",
        ),
    ];
    for (endpoint, expected) in endpoints {
        let mut attack = Attack::request(endpoint, &signed).fails(expected);
        attack.name = format!("endpoint {endpoint}");
        attacks.push(attack);
    }
    attacks
}

/// Servers that tell the driver what the host sent them.
fn echoes() -> Vec<Attack> {
    let plain = |head: &str| head.to_owned();
    let decoded = |head: &str| {
        head.replace("%2B", "+")
            .replace("%2F", "/")
            .replace("%3D", "=")
    };
    let lower = |head: &str| {
        head.replace("%2B", "%2b")
            .replace("%2F", "%2f")
            .replace("%3D", "%3d")
    };
    // As Gson and PHP write JSON.
    let gson = move |head: &str| decoded(head).replace('=', "\\u003d");
    let php = move |head: &str| decoded(head).replace('/', "\\/");
    type Form = Box<dyn Fn(&str) -> String + Send + Sync>;
    let forms: [(&str, Form); 5] = [
        ("as it is", Box::new(plain)),
        ("decoded", Box::new(decoded)),
        ("in lower case", Box::new(lower)),
        ("as Gson does", Box::new(gson)),
        ("as PHP does", Box::new(php)),
    ];
    let mut attacks = Vec::new();
    for (name, form) in forms {
        let form: Arc<Form> = Arc::new(form);
        let requests: [&[&str]; 4] = [
            &["query=command=listZones", "cloudstack=hostile-key"],
            &[
                "form=command=listZones",
                "method=POST",
                "cloudstack=hostile-key",
            ],
            &["path=/servers/1", "bearer=hostile-key"],
            &["path=/servers/1", "basic=me=hostile-key"],
        ];
        for parts in requests {
            let form = Arc::clone(&form);
            let server = Server::start(move |request, stream| {
                let echo = form(request);
                let head = format!("HTTP/1.1 401 No\r\ncontent-length: {}\r\n\r\n", echo.len());
                drop(stream.write_all((head + &echo).as_bytes()));
            });
            let mut attack = Attack::request(&server.url, parts).fails("401 ");
            attack.name = format!("echo {name} of {}", parts.join(" "));
            let sent = server.requests();
            attacks.push(attack.and(move |outcome| {
                let sent = sent.lock().unwrap().join("");
                let Err(error) = &outcome.result else {
                    return Err("no error".to_owned());
                };
                let shown = error.to_string();
                // The signature's letters, or the password's as Basic has it.
                for label in ["signature=", "authorization: "] {
                    let Some((_, rest)) = sent.split_once(label) else {
                        continue;
                    };
                    let secret = rest
                        .trim_start_matches("Basic ")
                        .trim_start_matches("Bearer ");
                    let end = secret.find(['&', '\r', ' ', '%']).unwrap_or(secret.len());
                    let secret = &secret[..end.min(12)];
                    if secret.len() >= 8 && shown.contains(secret) {
                        return Err(format!("{secret} is seen in {shown}"));
                    }
                }
                Ok(())
            }));
        }
    }
    attacks
}

/// What a removal has left when the creation has used up everything.
fn starvation() -> Vec<Attack> {
    let server = Server::start(server::answering("{}"));
    vec![
        Attack::mode("greedy")
            .on(Operation::Create)
            .with("endpoint", text(&server.url))
            .with("request", Flag::TextList(granted()))
            .limited(|limits| {
                limits.requests = 20;
                limits.log_lines = 20;
                limits.saves = 5;
                limits.computation = milliseconds(500);
            })
            .fails("it computed for more than 0.5 seconds")
            .and(is_undone),
        Attack::mode("naps")
            .on(Operation::Create)
            .in_virtual_time()
            .limited(|limits| limits.wall = Duration::from_secs(1))
            .fails("the operation took more than 1 seconds")
            .and(is_undone),
    ]
}

/// What only who writes WebAssembly by hand can try.
fn by_hand() -> Vec<Attack> {
    let short = |limits: &mut Limits| limits.computation = milliseconds(100);
    const COMPUTED: &str = "it computed for more than 0.1 seconds";
    const LOOP: &str = "(loop $l (br $l))";
    let base = CoreModule::default;
    let mut attacks = vec![
        Attack::core("nothing", &base()),
        Attack::core("loop in a start function", &base().start(LOOP)).limited(short).fails(COMPUTED),
        Attack::core("trap in a start function", &base().start("unreachable")).fails("unreachable"),
        Attack::core("recursion in a start function", &base().item("(func $deeper (call $deeper))").start("(call $deeper)"))
            .fails("it needs more than 1048576 bytes for its stack"),
        Attack::core("recursion", &base().item("(func $deeper (call $deeper))").check("(call $deeper)"))
            .fails("it needs more than 1048576 bytes for its stack"),
        Attack::core("recursion with a large stack", &base().item("(func $deeper (call $deeper))").check("(call $deeper)"))
            .limited(|limits| limits.stack = 32 << 20)
            .fails("it needs more than 33554432 bytes for its stack"),
        Attack::core("loop while it is given memory", &base().realloc(LOOP)).limited(short).fails(COMPUTED),
        Attack::core("trap while it is given memory", &base().realloc("unreachable")).fails("unreachable"),
        Attack::core("memory that it does not have", &base().realloc("(return (i32.const -8))")).fails("the driver crashed"),
        Attack::core("memory that is not aligned", &base().realloc("(return (i32.const 70001))").check("")).fails("the driver crashed"),
        Attack::core("a call of the host while it is given memory", &base().import_log().realloc("(call $log (i32.const 1) (i32.const 1024) (i32.const 3))")).fails("the driver crashed"),
        Attack::core("loop after its answer", &base().post_check(LOOP)).limited(short).fails(COMPUTED),
        Attack::core("trap after its answer", &base().post_check("unreachable")).fails("unreachable"),
        Attack::core("memory in a start function", &base().start("(loop $l (drop (memory.grow (i32.const 16))) (br $l))"))
            .fails("it wants more than 268435456 bytes of memory"),
        Attack::core("memory from the start", &base().item("(memory $big 10000)")).fails("it wants more than 268435456 bytes of memory"),
        Attack::core("many memories", &base().item("(memory 1000)").item("(memory 1000)").item("(memory 1000)").item("(memory 1000)").item("(memory 1000)"))
            .fails("it wants more than 268435456 bytes of memory"),
        Attack::core("memories in turn", &base().item("(memory $b 1)").check("(loop $l (drop (memory.grow (i32.const 16))) (drop (memory.grow $b (i32.const 16))) (br $l))"))
            .fails("it wants more than 268435456 bytes of memory"),
        Attack::core("a table that grows", &base().item("(table $t 1 funcref)").check("(loop $l (drop (table.grow $t (ref.null func) (i32.const 1000))) (br $l))"))
            .fails("it wants tables of more than 100000 elements"),
        Attack::core("a table from the start", &base().item("(table 1000000 funcref)")).fails("it wants tables of more than 100000 elements"),
        Attack::core("many tables", &base().items("(table 30000 funcref)", 4)).fails("it wants tables of more than 100000 elements"),
        Attack::core("too many tables", &base().items("(table 1 funcref)", 65)).fails("it has more than 64 instances, memories or tables"),
        Attack::core("too many memories", &base().items("(memory 1)", 64)).fails("it has more than 64 instances, memories or tables"),
        Attack::core("an answer out of bounds", &base().check("(return (i32.const -4))")).fails("the driver crashed"),
        Attack::core("an answer that is not aligned", &base().check("(return (i32.const 513))")).fails("the driver crashed"),
        Attack::core("an answer of an unknown kind", &base().check("(i32.store8 (i32.const 512) (i32.const 7))")).fails("the driver crashed"),
        Attack::core("an error of an unknown kind", &base().error(200, 1024, 3, 0)).fails("the driver crashed"),
        Attack::core("an error out of bounds", &base().error(0, 1024, -1, 0)).fails("the driver crashed"),
        Attack::core("an error that wraps around", &base().error(0, -8, 16, 0)).fails("the driver crashed"),
        Attack::core("an error that is not UTF-8", &base().error(0, 1040, 4, 0)).fails("the driver crashed"),
        Attack::core("an error with an odd hint", &base().error(0, 1024, 3, 2)).fails("the driver crashed"),
        Attack::core("an error", &base().error(0, 1024, 3, 0)).fails("wat"),
        Attack::core("a line that is not UTF-8", &base().import_log().check("(call $log (i32.const 1) (i32.const 1040) (i32.const 4))")).fails("the driver crashed"),
        Attack::core("a line of no level", &base().import_log().check("(call $log (i32.const 9) (i32.const 1024) (i32.const 3))")).fails("the driver crashed"),
        Attack::core("a line out of bounds", &base().import_log().check("(call $log (i32.const 1) (i32.const 1024) (i32.const -1))")).fails("the driver crashed"),
        Attack::core("a state that is not UTF-8", &base().import_save().check("(call $save (i32.const 1040) (i32.const 4) (i32.const 600))")).fails("the driver crashed"),
        Attack::core("an answer of the host's out of bounds", &base().import_save().check("(call $save (i32.const 1024) (i32.const 3) (i32.const -8))")).fails("the driver crashed"),
        Attack::core("a status of no state", &base().item("").check("")).on(Operation::Status).fails("the status of 0 machines"),
    ];
    // Whatever is in the place of a component.
    let bytes = base().component();
    let mut spoilt = bytes.clone();
    for byte in &mut spoilt[bytes.len() / 2..] {
        *byte = byte.wrapping_mul(31).wrapping_add(7);
    }
    let compiled = {
        let engine = wasmtime::Engine::default();
        engine.precompile_component(&bytes).unwrap()
    };
    let nothings: [(&str, Vec<u8>); 6] = [
        ("nothing at all", Vec::new()),
        ("half a component", bytes[..bytes.len() / 2].to_vec()),
        ("a spoilt component", spoilt),
        ("compiled code", compiled),
        ("text", b"(component)".to_vec()),
        ("a core module", wat::parse_str("(module)").unwrap()),
    ];
    for (name, bytes) in nothings {
        attacks.push(
            Attack::of(name, Component::Bytes(bytes))
                .on(Operation::Load)
                .fails("this is not a WebAssembly component"),
        );
    }
    // A function that takes the compiler seconds.
    let bomb = "(drop (i32.mul (memory.size) (i32.add (memory.size) (memory.grow (i32.const 0)))))"
        .repeat(60_000);
    attacks.push(
        Attack::core("a function that is hard to compile", &base().check(&bomb))
            .on(Operation::Load)
            .limited(|limits| limits.compilation = milliseconds(100))
            .fails("it takes more than 0.1 seconds to compile"),
    );
    attacks
}

#[test]
fn every_attack_fails_as_it_should() {
    honest_operation().unwrap();
    let mut attacks = Vec::new();
    for group in [time, size, deceit, network, echoes, starvation, by_hand] {
        attacks.extend(group());
    }
    let open = open_files();
    let failures = play_all(attacks.iter(), |attack| {
        attack
            .play()
            .map_err(|reason| format!("{}: {reason}", attack.name))
    });
    // Not by a macro, whose output only shows when a test fails.
    let line = format!(
        "hostile drivers: {} attacks, {} failed as they should\n",
        attacks.len(),
        attacks.len() - failures.len()
    );
    std::io::stderr().write_all(line.as_bytes()).unwrap();
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
    assert!(open_files() <= open + 20, "files are left open");
    let peak = acceptance::peak_memory(std::process::id()).unwrap_or_default();
    assert!(peak < 1 << 30, "the host used {peak} bytes of memory");
}

/// The files that this process has open.
fn open_files() -> usize {
    fs::read_dir("/dev/fd").map_or(0, Iterator::count)
}
