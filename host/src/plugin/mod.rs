//! The Docker Machine plugin, `docker-machine-driver-btcloud`.
//!
//! A client starts the plugin, reads an address from its standard output and speaks Go's `net/rpc` with it; see
//! `libmachine/drivers/plugin` and `libmachine/drivers/rpc` of docker/machine v0.16.2.

// What is read here comes from outside, and must not end the process.
#![cfg_attr(
    not(test),
    warn(
        clippy::arithmetic_side_effects,
        clippy::as_conversions,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::string_slice,
        clippy::unreachable,
        clippy::unwrap_used
    )
)]

mod peer;
mod service;
pub mod wire;

use std::ffi::OsStr;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use netrpc::rpc::{Server, Settings};

use crate::capability::clock::Cancel;
use crate::capability::log::{Level, Reporter};
use crate::machine::{LazyDriver, Machine, ProfileChoice, Record, Surroundings};
use service::DriverService;

/// What the client puts into `MACHINE_PLUGIN_TOKEN` (`localbinary.PluginEnvKey`).
const TOKEN: &str = "42";

/// What the name of every plugin begins with, before that of its driver.
const PREFIX: &str = "docker-machine-driver-";

/// What Go's plugins print when somebody starts them by hand.
const NOT_A_CLIENT: &str = "\
This is a Docker Machine plugin binary.
Plugin binaries are not intended to be invoked directly.
Please use this plugin through the main 'docker-machine' binary.
(API version: 1)
";

/// The client sends a heartbeat every 5 seconds; a Go plugin ends after 10 seconds without one.
const HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the client may take to hang up after it asked to close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Runs the plugin for a driver and tells how the process shall end. The arguments do not count: rancher-machine hands
/// over its own.
pub fn main(driver_name: &str, driver: LazyDriver) -> ExitCode {
    if std::env::var_os("MACHINE_PLUGIN_TOKEN").is_none_or(|token| token != TOKEN) {
        say(&mut io::stderr(), NOT_A_CLIENT.trim_end());
        return ExitCode::FAILURE;
    }
    match serve(driver_name, driver) {
        Ok(exit) => exit,
        Err(error) => {
            say(
                &mut io::stderr(),
                &format!("the plugin cannot serve on 127.0.0.1: {error}"),
            );
            ExitCode::FAILURE
        }
    }
}

/// The name of the driver that a program serves, by the name under which it was started, as [`program_name`] has it.
pub fn driver_name(program: Option<&OsStr>) -> Option<String> {
    let name = Path::new(program?).file_name()?.to_str()?;
    name.strip_prefix(PREFIX).map(str::to_owned)
}

/// The name under which clients look for the plugin of a driver.
pub fn program_name(driver: &str) -> String {
    format!("{PREFIX}{driver}")
}

/// Serves one connection for a machine until the client hangs up. The plugin's own life does not depend on it.
pub fn serve_connection(driver_name: &str, machine: Arc<Machine>, stream: TcpStream) {
    let (events, _) = mpsc::channel();
    let service = Arc::new(DriverService::new(driver_name, machine, events));
    drop(Server::new(service, wire::REGISTRY, Settings::default()).serve(stream));
}

/// What the plugin's life depends on.
#[derive(Debug)]
enum Event {
    Heartbeat,
    /// The client asked to close.
    Close,
    /// A connection that had made calls has ended.
    HungUp {
        /// Whether it waited for an operation that was under way.
        abandoned: bool,
    },
    /// The user or the system asked the process to end.
    Signal,
}

fn serve(driver_name: &str, driver: LazyDriver) -> io::Result<ExitCode> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    // The client waits for nothing but this line; everything else comes later.
    say(&mut io::stdout(), &listener.local_addr()?.to_string());

    let cancel = Cancel::default();
    let surroundings = Surroundings::of_process(Arc::new(ToClient), cancel.clone())
        .with_profile(ProfileChoice::OfVariable);
    let machine = Arc::new(Machine::new(
        Arc::new(driver),
        surroundings,
        Record::default(),
    ));
    let (events, inbox) = mpsc::channel();
    let signals = events.clone();
    // Without a handler the process just ends, and the client sees that.
    let handled = ctrlc::set_handler(move || drop(signals.send(Event::Signal)));
    if let Err(error) = handled {
        say(
            &mut io::stderr(),
            &format!("signals cannot be handled: {error}"),
        );
    }
    let service = Arc::new(DriverService::new(
        driver_name,
        Arc::clone(&machine),
        events,
    ));
    let server = Server::new(service, wire::REGISTRY, Settings::default());
    thread::spawn(move || -> () { server.run(&listener) });

    let mut heard = Instant::now();
    let exit = loop {
        match inbox.recv_timeout(HEARTBEAT_TIMEOUT.saturating_sub(heard.elapsed())) {
            Ok(Event::Heartbeat) => heard = Instant::now(),
            Ok(Event::Close) => {
                say(&mut io::stderr(), "Closing plugin on server side");
                // The answer to the client is on its way; it hangs up when it has it.
                let asked = Instant::now();
                while let Ok(event) =
                    inbox.recv_timeout(CLOSE_TIMEOUT.saturating_sub(asked.elapsed()))
                {
                    if matches!(event, Event::HungUp { .. }) {
                        break;
                    }
                }
                break ExitCode::SUCCESS;
            }
            // Nobody is left who would want what is under way. Otherwise the client may come back, or it is another one.
            Ok(Event::HungUp { abandoned }) if abandoned && machine.is_busy() => {
                break ExitCode::FAILURE;
            }
            Ok(Event::HungUp { .. }) => {}
            Ok(Event::Signal) | Err(RecvTimeoutError::Disconnected) => break ExitCode::FAILURE,
            Err(RecvTimeoutError::Timeout) => {
                say(
                    &mut io::stderr(),
                    "no heartbeat from the client for 10 seconds; closing",
                );
                break ExitCode::FAILURE;
            }
        }
    };
    cancel.set();
    // A create that is under way undoes what it has made.
    machine.wait_until_idle();
    Ok(exit)
}

/// Shows lines through the client: what goes to the standard output it shows as information, what goes to the standard
/// error only with `--debug`.
struct ToClient;

impl Reporter for ToClient {
    fn log(&self, level: Level, line: &str) {
        match level {
            Level::Debug => say(&mut io::stderr(), line),
            Level::Info => say(&mut io::stdout(), line),
            Level::Warning => say(&mut io::stdout(), &format!("Warning: {line}")),
        }
    }

    fn progress(&self, step: &str, number: u32, of: u32) {
        say(&mut io::stdout(), &format!("[{number}/{of}] {step}"));
    }
}

/// Writes a line. When the client is gone nobody reads it, which is no reason to stop undoing what it had begun.
fn say(to: &mut impl io::Write, line: &str) {
    drop(writeln!(to, "{line}").and_then(|()| to.flush()));
}
