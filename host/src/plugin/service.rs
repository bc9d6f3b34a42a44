//! The methods of a driver, `RPCServerDriver` in `libmachine/drivers/rpc/server_driver.go`.

use std::io;
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use netrpc::gob::{Type, Value};
use netrpc::rpc::{Ended, Refusal, Reply, Service};

use super::peer::{self, Refused};
use super::wire::{self, CreateFlag};
use super::{Event, say};
use crate::contract::{OptionKind, OptionSpec, State};
use crate::machine::{Change, Error, Flag, Flags, Machine};

/// The name of the service, and the one that clients of the oldest version fall back to.
const SERVICES: [&str; 2] = ["RPCServerDriver", "RpcServerDriver"];

/// What a method does to the machine, if that is all it is.
fn change_of(method: &str) -> Option<Change> {
    Some(match method {
        "Kill" => Change::Kill,
        "Remove" => Change::Remove,
        "Restart" => Change::Restart,
        "Start" => Change::Start,
        "Stop" => Change::Stop,
        _ => return None,
    })
}

/// Whether a client that breaks off has this undone or left alone, since nobody waits for it any more: what needs the driver.
fn is_operation(method: &str) -> bool {
    const ASK: [&str; 5] = [
        "Create",
        "GetCreateFlags",
        "GetState",
        "GetURL",
        "PreCreateCheck",
    ];
    change_of(method).is_some() || ASK.contains(&method)
}

/// How many troubles with connections are told of: what strangers do must not fill the client's log.
const MOST_TROUBLES: usize = 50;

/// How long the state that `GetURL` has found is good for a `GetState` right after it.
const FRESH: Duration = Duration::from_secs(2);

/// docker-machine's `version.APIVersion`.
const API_VERSION: i64 = 1;

/// A driver as the client sees it.
pub(super) struct DriverService {
    driver_name: String,
    machine: Arc<Machine>,
    events: Sender<Event>,
    troubles: AtomicUsize,
    /// What the last `GetURL` found, until something else is asked.
    just_found: Mutex<Option<Found>>,
}

/// The answer to `GetState` that goes with one to `GetURL`.
struct Found {
    at: Instant,
    state: Result<i64, String>,
}

impl DriverService {
    pub(super) fn new(driver_name: &str, machine: Arc<Machine>, events: Sender<Event>) -> Self {
        Self {
            driver_name: driver_name.to_owned(),
            machine,
            events,
            troubles: AtomicUsize::new(0),
            just_found: Mutex::default(),
        }
    }

    /// The URL, for `ls` above all: if there is none it asks for the state next, which costs another call of the API, or
    /// the wait for an endpoint that does not answer, after which the client shows no reason any more.
    fn url(&self) -> Result<String, String> {
        let state = self.machine.state();
        let told = match &state {
            Ok(state) => Ok(state_number(*state)),
            Err(error) => Err(state_sentence(error)),
        };
        *lock(&self.just_found) = Some(Found {
            at: Instant::now(),
            state: told,
        });
        let url = state.and_then(|state| self.machine.url_in(state));
        url.map_err(|error| sentence(&error))
    }

    /// The state, from the call of `GetURL` that came right before, or from the cloud.
    fn state(&self) -> Result<i64, String> {
        let just_found = lock(&self.just_found).take();
        match just_found.filter(|found| found.at.elapsed() < FRESH) {
            Some(found) => found.state,
            None => match self.machine.state() {
                Ok(state) => Ok(state_number(state)),
                Err(error) => Err(state_sentence(&error)),
            },
        }
    }

    fn create_flags(&self) -> Result<Reply, Error> {
        let loaded = self.machine.driver().loaded()?;
        let flags: Vec<_> = loaded.description.options.iter().map(create_flag).collect();
        Ok(Reply::new(
            &wire::CREATE_FLAGS,
            wire::create_flags_to_gob(&flags),
        ))
    }

    fn configure(&self, given: &Flags) -> Result<(), Error> {
        let loaded = self.machine.driver().loaded()?;
        let mut flags = Flags::new();
        for spec in &loaded.description.options {
            match given.get(&spec.name) {
                // Clients send every number; a zero that is no default means that there is none.
                Some(Flag::Integer(0)) if spec.default.is_none() => {}
                Some(value) => drop(flags.insert(spec.name.clone(), value.clone())),
                None => {}
            }
        }
        self.machine.configure(&flags)?;
        let text = |name| match given.get(name) {
            Some(Flag::Text(text)) => text.as_str(),
            _ => "",
        };
        let master = given.get("swarm-master") == Some(&Flag::Boolean(true));
        self.machine
            .configure_swarm(master, text("swarm-host"), text("swarm-discovery"));
        Ok(())
    }

    fn answer(&self, method: &str, argument: Value) -> Option<Result<Reply, String>> {
        Some(match method {
            "GetURL" => self.url().map(|url| text(&url)),
            "GetState" => self.state().map(int),
            "SetConfigRaw" => match argument {
                Value::Bytes(json) => empty(self.machine.load(&json)),
                _ => Err("SetConfigRaw wants []byte".to_owned()),
            },
            "SetConfigFromFlags" => match wire::flags_from_gob(argument) {
                Some(flags) => empty(self.configure(&flags)),
                None => Err("SetConfigFromFlags wants *rpcdriver.RPCFlags".to_owned()),
            },
            "Remove" => {
                let machine = &self.machine;
                let removed = machine.exclusively(|| machine.change(Change::Remove));
                // A machine that is gone is removed without an error.
                let told = removed.map_err(|error| without_not_found(&sentence(&error)));
                told.map(|()| Reply::empty())
            }
            _ => {
                let answer = self.reply(method)?;
                answer.map_err(|error| sentence(&error))
            }
        })
    }

    fn reply(&self, method: &str) -> Option<Result<Reply, Error>> {
        let machine = &self.machine;
        let done = |()| Reply::empty();
        Some(match method {
            "Heartbeat" => {
                self.tell(Event::Heartbeat);
                Ok(Reply::empty())
            }
            "Close" => {
                self.tell(Event::Close);
                Ok(Reply::empty())
            }
            "GetVersion" => Ok(int(API_VERSION)),
            "DriverName" => Ok(text(&self.driver_name)),
            "GetCreateFlags" => self.create_flags(),
            "GetConfigRaw" => machine.record().map(|record| {
                let json = record.to_value().to_string();
                Reply::new(&Type::Bytes, Value::Bytes(json.into_bytes()))
            }),
            "GetMachineName" => Ok(text(&machine.name())),
            "GetIP" => machine.ip().map(|ip| text(&ip.to_string())),
            // rancher-machine's: the address of a machine that has IPv6 only.
            "GetIPv6" => Ok(text(&machine.ipv6())),
            "GetSSHHostname" => machine.ssh_hostname().map(|host| text(&host)),
            "GetSSHKeyPath" => Ok(text(&machine.ssh_key_path().to_string_lossy())),
            "GetSSHPort" => Ok(int(machine.ssh_port().into())),
            "GetSSHUsername" => Ok(text(&machine.ssh_username())),
            "PreCreateCheck" => machine.check().map(done),
            "Create" => {
                let created = machine.exclusively(|| machine.create());
                created.map(|_| Reply::empty())
            }
            _ => {
                let change = change_of(method)?;
                machine.exclusively(|| machine.change(change)).map(done)
            }
        })
    }

    fn tell(&self, event: Event) {
        // Nobody listens only when the process is about to end.
        drop(self.events.send(event));
    }

    /// Shows a trouble with a connection.
    fn trouble(&self, to: &mut impl io::Write, text: &str) {
        let before = self.troubles.fetch_add(1, Ordering::SeqCst);
        match before.cmp(&MOST_TROUBLES) {
            std::cmp::Ordering::Less => say(to, text),
            std::cmp::Ordering::Equal => say(to, "further failed connections are not reported"),
            std::cmp::Ordering::Greater => {}
        }
    }
}

impl Service for DriverService {
    fn is_called(&self, service: &str) -> bool {
        SERVICES.contains(&service)
    }

    fn call(&self, method: &str, argument: Value) -> Option<Result<Reply, String>> {
        // It is only for the state that is asked for next, not counting what keeps the connection alive.
        if !matches!(method, "GetState" | "Heartbeat") {
            *lock(&self.just_found) = None;
        }
        self.answer(method, argument)
    }

    fn admit(&self, peer: &TcpStream) -> Result<(), String> {
        peer::admit(peer).map_err(|refused| {
            // Without the kernel's word nobody can be served, which users see otherwise as a plugin that hangs up.
            if matches!(refused, Refused::Unknown(_)) {
                self.trouble(&mut io::stdout(), &format!("Warning: {refused}"));
            }
            refused.to_string()
        })
    }

    fn refused(&self, refusal: &Refusal) {
        self.trouble(&mut io::stderr(), &refusal.to_string());
    }

    fn ended(&self, ended: Ended) {
        if let Some(error) = ended.error {
            self.trouble(&mut io::stderr(), &format!("a connection ended: {error}"));
        }
        // One that never called was no client.
        if ended.calls > 0 {
            let mut methods = ended
                .unanswered
                .iter()
                .filter_map(|call| call.rsplit('.').next());
            let abandoned = methods.any(is_operation);
            self.tell(Event::HungUp { abandoned });
        }
    }
}

fn empty(result: Result<(), Error>) -> Result<Reply, String> {
    match result {
        Ok(()) => Ok(Reply::empty()),
        Err(error) => Err(sentence(&error)),
    }
}

/// An error in one line, as clients quote it, with the hint. The sentences about missing options stay as they are: scripts
/// know them from the driver of 2016.
fn sentence(error: &Error) -> String {
    let text = error.to_string();
    let lines: Vec<_> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    match error.hint() {
        Some(hint) if !matches!(error, Error::Option { .. }) => {
            format!("{} ({hint})", lines.join("; "))
        }
        _ => lines.join("; "),
    }
}

/// What is told instead of a state.
fn state_sentence(error: &Error) -> String {
    match error {
        Error::Gone(_) => sentence(error),
        _ => without_not_found(&sentence(error)),
    }
}

/// A text in which rancher-machine does not find "not found": in an answer to `GetState` or `Remove` it takes these words, in
/// any case of letters, for the news that the machine is gone, and forgets it.
fn without_not_found(text: &str) -> String {
    const WORDS: &str = "not found";
    let mut rest = text;
    let mut safe = String::new();
    while let Some(at) = rest.to_ascii_lowercase().find(WORDS) {
        let (before, found) = rest.split_at(at);
        let (not, after) = found.split_at("not".len());
        safe.push_str(&format!("{before}{not}-"));
        rest = after.get(1..).unwrap_or_default();
    }
    safe + rest
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn int(number: i64) -> Reply {
    Reply::new(&Type::Int, Value::Int(number))
}

fn text(text: &str) -> Reply {
    Reply::new(&Type::String, text.into())
}

/// `state.State` in `libmachine/state/state.go`. A machine that is not found is an error instead.
fn state_number(state: State) -> i64 {
    match state {
        State::None | State::NotFound => 0,
        State::Running => 1,
        State::Paused => 2,
        State::Saved => 3,
        State::Stopped => 4,
        State::Stopping => 5,
        State::Starting => 6,
        State::Error => 7,
        State::Timeout => 8,
    }
}

fn create_flag(spec: &OptionSpec) -> CreateFlag {
    let default = spec.default.clone().unwrap_or_default();
    CreateFlag {
        name: spec.name.clone(),
        usage: spec.help.clone(),
        env_var: spec.env.clone(),
        value: match spec.kind {
            OptionKind::Boolean | OptionKind::Insecure => Flag::Boolean(false),
            // The description was checked: a default of a number is one.
            OptionKind::Integer => Flag::Integer(default.parse().unwrap_or_default()),
            OptionKind::TextList => Flag::TextList(Vec::new()),
            OptionKind::Text
            | OptionKind::Endpoint
            | OptionKind::Secret
            | OptionKind::File
            | OptionKind::SshKey
            | OptionKind::Certificates => Flag::Text(default),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_words_are_left_that_rancher_machine_takes_for_a_machine_that_is_gone() {
        for (text, safe) in [
            ("", ""),
            ("404 Not Found", "404 Not-Found"),
            ("zone NOT FOUND; not found", "zone NOT-FOUND; not-found"),
            ("not not found found", "not not-found found"),
            ("İ not found ü", "İ not-found ü"),
            ("nothing was found", "nothing was found"),
        ] {
            assert_eq!(without_not_found(text), safe);
        }
    }
}
