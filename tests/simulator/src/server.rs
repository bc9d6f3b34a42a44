//! The simulator as a server.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::api::{self, Times};
use crate::clock::Clock;
use crate::commands::{Command, find_ignoring_case};
use crate::config::{Behaviour, CloudConfig};
use crate::faults::{Fault, Faults};
use crate::http::{self, Delivery, Reply, Request, Response, Timeouts};
use crate::hypervisor::Hypervisor;
use crate::inventory::Inventory;
use crate::record::RequestRecord;
use crate::world::World;

/// The path of the API.
const PATH: &str = "/client/api";

/// How long to wait for the acceptor to be woken when the simulator is shut down.
const WAKE: Duration = Duration::from_secs(1);

type Watcher = Box<dyn Fn(&RequestRecord) + Send + Sync>;

/// The keys of an account's user.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The API key.
    pub api_key: String,
    /// The secret key.
    pub secret_key: String,
}

/// The secret key is left out.
impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Credentials")
            .field("api_key", &self.api_key)
            .finish_non_exhaustive()
    }
}

/// Puts a simulator together.
pub struct Builder {
    listen: SocketAddr,
    clock: Clock,
    signature_clock: Clock,
    behaviour: Behaviour,
    cloud: CloudConfig,
    timeouts: Timeouts,
    watcher: Option<Watcher>,
    hypervisor: Option<Arc<dyn Hypervisor>>,
}

impl fmt::Debug for Builder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Builder")
            .field("listen", &self.listen)
            .finish_non_exhaustive()
    }
}

impl Builder {
    fn new() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            clock: Clock::Real,
            signature_clock: Clock::Real,
            behaviour: Behaviour::default(),
            cloud: CloudConfig::default(),
            timeouts: Timeouts {
                idle: Duration::from_secs(60),
                request: Duration::from_secs(10),
                write: Duration::from_secs(10),
            },
            watcher: None,
            hypervisor: None,
        }
    }

    /// Where to listen. Only loopback addresses are taken. Default: `127.0.0.1:0`, a free port.
    #[must_use]
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = address;
        self
    }

    /// The time of the world, by which jobs finish. Default: the real clock.
    #[must_use]
    pub fn clock(mut self, clock: impl Into<Clock>) -> Self {
        self.clock = clock.into();
        self
    }

    /// The time that the `expires` of a request is compared with. It is the real clock by default even if the world's
    /// is a manual one, since a client takes the real time.
    #[must_use]
    pub fn signature_clock(mut self, clock: impl Into<Clock>) -> Self {
        self.signature_clock = clock.into();
        self
    }

    /// How the server behaves where versions and settings differ.
    #[must_use]
    pub fn behaviour(mut self, behaviour: Behaviour) -> Self {
        self.behaviour = behaviour;
        self
    }

    /// How long jobs take.
    #[must_use]
    pub fn job_time(mut self, time: Duration) -> Self {
        self.behaviour.job_time = time;
        self
    }

    /// What is in the cloud at the start.
    #[must_use]
    pub fn cloud(mut self, cloud: CloudConfig) -> Self {
        self.cloud = cloud;
        self
    }

    /// How long a connection may be idle between requests, and how long a request may take to arrive.
    /// Default: 60 s and 10 s.
    #[must_use]
    pub fn timeouts(mut self, idle: Duration, request: Duration) -> Self {
        self.timeouts.idle = idle;
        self.timeouts.request = request;
        self
    }

    /// Calls this for each request to the API, once it is handled and before it is answered.
    #[must_use]
    pub fn on_request(mut self, watcher: impl Fn(&RequestRecord) + Send + Sync + 'static) -> Self {
        self.watcher = Some(Box::new(watcher));
        self
    }

    /// Has the machines run by something, rather than be records only. Give the world the real clock then.
    #[must_use]
    pub fn hypervisor(mut self, hypervisor: Arc<dyn Hypervisor>) -> Self {
        self.hypervisor = Some(hypervisor);
        self
    }

    /// Starts the simulator.
    ///
    /// # Errors
    ///
    /// If the address is not a loopback one or is taken, or if the configuration does not fit together.
    pub fn start(self) -> io::Result<Simulator> {
        let invalid = |text: String| io::Error::new(io::ErrorKind::InvalidInput, text);
        if !self.listen.ip().is_loopback() {
            return Err(invalid(format!(
                "{} is not a loopback address: the simulator guards nothing",
                self.listen.ip()
            )));
        }
        if let Some(mistake) = mistake_in(&self.behaviour) {
            return Err(invalid(mistake));
        }
        let mut world = World::new(&self.cloud, self.behaviour, self.clock.now())
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        world.backend.hypervisor = self.hypervisor;
        let listener = Arc::new(bind(self.listen)?);
        let address = listener.local_addr()?;
        let url = format!("http://{address}{PATH}");
        let credentials: Vec<_> = world
            .accounts
            .iter()
            .map(|account| {
                let (api_key, secret_key) = (account.api_key.clone(), account.secret_key.0.clone());
                (
                    account.name.clone(),
                    Credentials {
                        api_key,
                        secret_key,
                    },
                )
            })
            .collect();
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                world,
                faults: Faults::default(),
                records: Vec::new(),
            }),
            clock: self.clock,
            signature_clock: self.signature_clock,
            timeouts: self.timeouts,
            watcher: self.watcher,
            connections: Mutex::default(),
            stopped: Condvar::new(),
            listener: Arc::clone(&listener),
        });
        let acceptor = {
            let shared = Arc::clone(&shared);
            thread::Builder::new()
                .name("simulator".to_owned())
                .spawn(move || shared.accept(&listener))?
        };
        Ok(Simulator {
            shared,
            address,
            url,
            credentials,
            acceptor: Some(acceptor),
        })
    }
}

/// A running simulator. It is shut down when it is dropped.
pub struct Simulator {
    shared: Arc<Shared>,
    address: SocketAddr,
    url: String,
    credentials: Vec<(String, Credentials)>,
    acceptor: Option<JoinHandle<()>>,
}

impl fmt::Debug for Simulator {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Simulator")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

impl Simulator {
    /// A simulator to be configured.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// The address of the API: `http://127.0.0.1:PORT/client/api`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A line of shell for each variable that leads the programs to the first account.
    pub fn exports(&self) -> String {
        let variables = [
            ("BTCLOUD_ENDPOINT", self.url()),
            ("BTCLOUD_API_KEY", self.api_key()),
            ("BTCLOUD_SECRET_KEY", self.secret_key()),
        ];
        let lines = variables.map(|(name, value)| format!("export {name}={};\n", quoted(value)));
        lines.concat()
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The first account's API key.
    pub fn api_key(&self) -> &str {
        self.credentials
            .first()
            .map_or("", |(_, credentials)| &credentials.api_key)
    }

    /// The first account's secret key.
    pub fn secret_key(&self) -> &str {
        self.credentials
            .first()
            .map_or("", |(_, credentials)| &credentials.secret_key)
    }

    /// The keys of an account.
    pub fn credentials(&self, account: &str) -> Option<&Credentials> {
        self.credentials
            .iter()
            .find(|(name, _)| name == account)
            .map(|(_, credentials)| credentials)
    }

    /// What the first account has made.
    pub fn inventory(&self) -> Inventory {
        self.credentials
            .first()
            .map(|(name, _)| self.inventory_of(name))
            .unwrap_or_default()
    }

    /// What an account, or a project, has made.
    ///
    /// # Panics
    ///
    /// If there is neither of that name.
    pub fn inventory_of(&self, name: &str) -> Inventory {
        let mut state = self.shared.state();
        state.world.advance(self.shared.clock.now());
        state.world.tell_routes();
        let inventory = Inventory::of(&state.world, name);
        inventory.unwrap_or_else(|| panic!("there is no account or project {name}"))
    }

    /// The requests to the API so far, in the order in which they were handled.
    pub fn requests(&self) -> Vec<RequestRecord> {
        self.shared.state().records.clone()
    }

    /// Forgets the requests so far.
    pub fn clear_requests(&self) {
        self.shared.state().records.clear();
    }

    /// Orders a fault for the next calls of a command, or of any command for `*`. Faults come in the order in which
    /// they were ordered.
    ///
    /// # Panics
    ///
    /// If there is no such command, or a job is to fail and the command has none.
    pub fn fault(&self, command: &str, calls: u32, fault: Fault) {
        self.fault_after(command, 0, calls, fault);
    }

    /// As [`Self::fault`], but lets the first `skip` calls pass.
    ///
    /// # Panics
    ///
    /// As [`Self::fault`].
    pub fn fault_after(&self, command: &str, skip: u32, calls: u32, fault: Fault) {
        if command != "*" {
            let known = find_ignoring_case(command);
            let known = known.unwrap_or_else(|| panic!("there is no command {command}"));
            let fails_job = matches!(fault, Fault::JobFails { .. });
            assert!(
                !fails_job || known.is_asynchronous(),
                "{command} is answered at once: it has no job that could fail"
            );
        }
        self.shared.state().faults.arm(command, skip, calls, fault);
    }

    /// Has no job of a command end until what this returns is dropped: whatever is to be seen meanwhile takes as long as it does.
    ///
    /// # Panics
    ///
    /// If there is no such command, or it has no jobs.
    #[must_use]
    pub fn hold(&self, command: &str) -> Held {
        let known = find_ignoring_case(command).filter(|command| command.is_asynchronous());
        let known = known.unwrap_or_else(|| panic!("there is no command {command} that has jobs"));
        self.shared.state().world.held.push(known.name);
        Held {
            shared: Arc::clone(&self.shared),
            command: known.name,
        }
    }

    /// Takes back the faults that have not come yet.
    pub fn clear_faults(&self) {
        self.shared.state().faults.clear();
    }

    /// What makes the server unreachable, and reachable again.
    pub fn gate(&self) -> Gate {
        Gate(Arc::clone(&self.shared))
    }

    /// Changes how the server behaves from now on. Jobs that run keep their time, and networks that are up stay up.
    ///
    /// # Panics
    ///
    /// If a time is given for jobs of a command that has none.
    pub fn set_behaviour(&self, change: impl FnOnce(&mut Behaviour)) {
        let mut state = self.shared.state();
        change(&mut state.world.behaviour);
        if let Some(mistake) = mistake_in(&state.world.behaviour) {
            panic!("{mistake}");
        }
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.shared.stop();
        // The acceptor waits for a connection. If it cannot be woken it is left behind rather than waited for.
        let woken = TcpStream::connect_timeout(&self.address, WAKE).is_ok();
        if let Some(acceptor) = self.acceptor.take()
            && woken
        {
            // A panic of a connection was told on standard error already.
            let _ = acceptor.join();
        }
    }
}

struct State {
    world: World,
    faults: Faults,
    records: Vec<RequestRecord>,
}

/// Keeps the jobs of a command from ending.
pub struct Held {
    shared: Arc<Shared>,
    command: &'static str,
}

impl fmt::Debug for Held {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut held = formatter.debug_tuple("Held");
        held.field(&self.command).finish()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        let held = &mut state.world.held;
        if let Some(index) = held.iter().position(|command| *command == self.command) {
            held.remove(index);
        }
    }
}

/// Whether the server can be reached.
#[derive(Clone)]
pub struct Gate(Arc<Shared>);

impl fmt::Debug for Gate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Gate").finish_non_exhaustive()
    }
}

impl Gate {
    /// From now on connections are refused. Those that are open are closed, a request that is being handled is answered
    /// before. The port stays the server's.
    ///
    /// # Errors
    ///
    /// If the system does not let it.
    pub fn close(&self) -> io::Result<()> {
        let mut connections = lock(&self.0.connections);
        connections.is_gate_closed = true;
        rustix::net::shutdown(&*self.0.listener, rustix::net::Shutdown::Both)?;
        for connection in connections.open.values().filter(|c| !c.is_busy) {
            let _ = connection.stream.shutdown(Shutdown::Both);
        }
        Ok(())
    }

    /// Takes connections again.
    ///
    /// # Errors
    ///
    /// If the system does not let it.
    pub fn open(&self) -> io::Result<()> {
        rustix::net::listen(&*self.0.listener, BACKLOG)?;
        lock(&self.0.connections).is_gate_closed = false;
        self.0.stopped.notify_all();
        Ok(())
    }
}

/// What is wrong with a behaviour, if something is: a time of jobs that there will never be.
fn mistake_in(behaviour: &Behaviour) -> Option<String> {
    let has_jobs = |name: &str| find_ignoring_case(name).is_some_and(Command::is_asynchronous);
    let mut names = behaviour.job_times.keys();
    let name = names.find(|name| !has_jobs(name))?;
    Some(format!("there is no command {name} that has jobs"))
}

/// A word as a shell takes it.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// How many connections wait to be taken.
const BACKLOG: i32 = 128;

/// Listens at an address. A port that the system chose is then asked for by its number: only so does it stay the socket's
/// when the socket stops listening.
fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    /// Somebody else may take the port in between.
    const TRIES: u32 = 10;
    let mut tries = 0;
    loop {
        let listener = TcpListener::bind(address)?;
        if address.port() != 0 {
            return Ok(listener);
        }
        let chosen = listener.local_addr()?;
        drop(listener);
        match TcpListener::bind(chosen) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && tries < TRIES => tries += 1,
            bound => return bound,
        }
    }
}

struct Connection {
    stream: TcpStream,
    /// Whether a request is being handled.
    is_busy: bool,
}

/// The open connections; none any more once the simulator is being shut down.
#[derive(Default)]
struct Connections {
    open: HashMap<u64, Connection>,
    next: u64,
    stopping: bool,
    is_gate_closed: bool,
}

struct Shared {
    state: Mutex<State>,
    clock: Clock,
    signature_clock: Clock,
    timeouts: Timeouts,
    watcher: Option<Watcher>,
    connections: Mutex<Connections>,
    /// Notified when it is being shut down, and when the gate opens.
    stopped: Condvar,
    listener: Arc<TcpListener>,
}

/// The guarded data hold together after every statement, so a panic elsewhere is no reason to stop.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn accept(&self, listener: &TcpListener) {
        thread::scope(|scope| {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else {
                    // The gate is closed; or there are too many descriptors, and others have to end first.
                    self.wait_for_gate();
                    if self.wait(Duration::from_millis(10)) {
                        return;
                    }
                    continue;
                };
                let Some(id) = self.enter(&stream) else {
                    if self.wait(Duration::ZERO) {
                        return;
                    }
                    continue;
                };
                scope.spawn(move || {
                    // A connection that breaks is the client's affair.
                    let _ = http::serve(&mut stream, self.timeouts, |request| {
                        self.handle(id, &request)
                    });
                    let _ = stream.shutdown(Shutdown::Both);
                    lock(&self.connections).open.remove(&id);
                });
            }
        });
    }

    /// Notes an open connection; none if it cannot be noted or the simulator is being shut down.
    fn enter(&self, stream: &TcpStream) -> Option<u64> {
        let other = stream.try_clone().ok()?;
        let mut connections = lock(&self.connections);
        if connections.stopping {
            return None;
        }
        let id = connections.next;
        connections.next += 1;
        let connection = Connection {
            stream: other,
            is_busy: false,
        };
        connections.open.insert(id, connection);
        Some(id)
    }

    fn stop(&self) {
        let mut connections = lock(&self.connections);
        connections.stopping = true;
        for connection in connections.open.values() {
            let _ = connection.stream.shutdown(Shutdown::Both);
        }
        self.stopped.notify_all();
    }

    /// Waits, and tells whether the simulator is being shut down.
    fn wait(&self, duration: Duration) -> bool {
        let connections = lock(&self.connections);
        let waited = self
            .stopped
            .wait_timeout_while(connections, duration, |connections| !connections.stopping);
        waited.map_or_else(
            |poisoned| poisoned.into_inner().0.stopping,
            |(connections, _)| connections.stopping,
        )
    }

    /// Waits while the gate is closed, unless the simulator is being shut down.
    fn wait_for_gate(&self) {
        let connections = lock(&self.connections);
        let is_waiting =
            |connections: &mut Connections| connections.is_gate_closed && !connections.stopping;
        drop(self.stopped.wait_while(connections, is_waiting));
    }

    fn handle(&self, connection: u64, request: &Request) -> Reply {
        let set_busy = |is_busy| {
            let mut connections = lock(&self.connections);
            if let Some(connection) = connections.open.get_mut(&connection) {
                connection.is_busy = is_busy;
            }
            connections.is_gate_closed
        };
        set_busy(true);
        let reply = self.reply(request);
        Reply {
            is_last: set_busy(false),
            ..reply
        }
    }

    fn reply(&self, request: &Request) -> Reply {
        let whole = |response| Reply {
            response,
            delivery: Delivery::Whole,
            is_last: false,
        };
        if request.path != PATH {
            return whole(Response::html(404, "Not Found"));
        }
        if !matches!(request.method.as_str(), "GET" | "POST") {
            return whole(Response::html(405, "Method Not Allowed"));
        }
        let handled = {
            let mut state = self.state();
            let State {
                world,
                faults,
                records,
            } = &mut *state;
            let times = Times {
                now: self.clock.now(),
                signature: self.signature_clock.now(),
            };
            let handled = api::handle(world, faults, request, times);
            world.tell_routes();
            records.push(handled.record.clone());
            handled
        };
        if let Some(watcher) = &self.watcher {
            watcher(&handled.record);
        }
        if let Some(delay) = handled.delay {
            self.wait(delay);
        }
        Reply {
            response: handled.response,
            delivery: handled.delivery,
            is_last: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_for_a_shell() {
        assert_eq!(quoted("a'b"), r"'a'\''b'");
    }
}
