//! A third-party driver for tests. Its option `probe-mode` tells what it shall try.
//!
//! The crate is empty on any other target than WebAssembly: a component's exports have names that no native linker takes.

#![cfg(target_arch = "wasm32")]
#![allow(
    missing_docs,
    unreachable_pub,
    unsafe_code,
    unused_qualifications,
    reason = "generated code"
)]

mod contract {
    wit_bindgen::generate!({
        world: "driver",
        // It stays one of the first version of the contract, which this host has to go on running.
        path: "../../../wit/frozen/0.1.0",
        export_macro_name: "export",
        pub_export_macro: true,
    });
}

use std::{env, fs, net};

use contract::exports::machine::driver::lifecycle::Guest;
use contract::machine::driver::http::{self, Auth, Body, CloudstackCredentials, Method, Request};
use contract::machine::driver::keys::{self, KeyType};
use contract::machine::driver::types::{
    Description, Error, ErrorKind, FoundMachine, Machine, MachineStatus, OptionKind, OptionScope,
    OptionSpec, State, Value,
};
use contract::machine::driver::{clock, log, state};

struct Probe;

contract::export!(Probe with_types_in contract);

impl Guest for Probe {
    fn describe() -> Description {
        let option = |name: &str, kind, config_key: &str| OptionSpec {
            name: format!("probe-{name}"),
            env: format!("PROBE_{}", name.to_uppercase()),
            help: format!("The {name}"),
            kind,
            scope: match kind {
                OptionKind::Endpoint | OptionKind::Secret => OptionScope::Account,
                _ => OptionScope::Machine,
            },
            required: None,
            default: None,
            config_key: Some(config_key.to_owned()),
        };
        Description {
            name: "probe".to_owned(),
            version: "0.1.0".to_owned(),
            options: vec![
                option("mode", OptionKind::Text, "Mode"),
                option("endpoint", OptionKind::Endpoint, "Endpoint"),
                option("key", OptionKind::Secret, "Key"),
                option("number", OptionKind::Integer, "Number"),
                option("switch", OptionKind::Boolean, "Switch"),
                option("list", OptionKind::TextList, "List"),
                option("data", OptionKind::File, "Data"),
            ],
            commands: vec!["listZones".to_owned()],
        }
    }

    fn check(machine: Machine) -> Result<(), Error> {
        attempt(&machine)
    }

    fn create(machine: Machine) -> Result<MachineStatus, Error> {
        state::save(&format!("{{\"Made\": \"{}\"}}", machine.id))?;
        log::progress("Making", 1, 1);
        keys::ssh_public_key(KeyType::Ed25519)?;
        attempt(&machine)?;
        Ok(running())
    }

    fn start(machine: Machine) -> Result<(), Error> {
        attempt(&machine)
    }

    fn stop(machine: Machine) -> Result<(), Error> {
        attempt(&machine)
    }

    fn kill(machine: Machine) -> Result<(), Error> {
        attempt(&machine)
    }

    fn restart(machine: Machine) -> Result<(), Error> {
        attempt(&machine)
    }

    fn remove(machine: Machine) -> Result<(), Error> {
        log::log(
            log::Level::Info,
            &format!("removed what was saved: {}", machine.saved),
        );
        if mode(&machine).ends_with("leave") {
            return fail("thing 1 cannot be removed");
        }
        state::save("{}")
    }

    fn status(machines: Vec<Machine>) -> Vec<Result<MachineStatus, Error>> {
        if machines.iter().any(|machine| mode(machine) == "miscount") {
            return Vec::new();
        }
        let status = |machine: &Machine| match mode(machine).as_str() {
            "bad-host" => MachineStatus {
                ssh_host: "-oProxyCommand=true".to_owned(),
                ..running()
            },
            _ => running(),
        };
        machines.iter().map(|machine| Ok(status(machine))).collect()
    }

    fn survey(options: Vec<(String, Value)>) -> Result<Vec<FoundMachine>, Error> {
        let found = |name: &str, id: &str| FoundMachine {
            name: name.to_owned(),
            id: id.to_owned(),
            parts: vec![format!("{options:?}\u{1b}[2J\n")],
            saved: "{\"Made\": \"before\"}".to_owned(),
        };
        // What is found depends on the endpoint, so that tests can choose.
        let is = |ending: &str| {
            let mut options = options.iter();
            options.any(|(_, value)| matches!(value, Value::Text(url) if url.ends_with(ending)))
        };
        Ok(match () {
            () if is("/bad-name") => vec![found("../m1", "0123456789abcdef0123")],
            () if is("/bad-id") => vec![found("m1", "1")],
            () if is("/twice") => vec![found("m1", "0123456789abcdef0123"); 2],
            () => vec![found("m1", "0123456789abcdef0123")],
        })
    }
}

fn running() -> MachineStatus {
    MachineStatus {
        state: State::Running,
        ip: Some("192.0.2.1".to_owned()),
        ssh_user: "root".to_owned(),
        ssh_host: "192.0.2.1".to_owned(),
        ssh_port: 22,
        engine_port: 2376,
    }
}

fn mode(machine: &Machine) -> String {
    machine
        .options
        .iter()
        .find_map(|(name, value)| match value {
            Value::Text(text) if name == "probe-mode" => Some(text.clone()),
            _ => None,
        })
        .unwrap_or_default()
}

fn fail<T>(message: impl Into<String>) -> Result<T, Error> {
    Err(Error {
        kind: ErrorKind::Internal,
        message: message.into(),
        hint: None,
    })
}

/// Tries what the mode says. An error tells what came of it.
fn attempt(machine: &Machine) -> Result<(), Error> {
    match mode(machine).as_str() {
        "" | "leave" | "bad-host" | "miscount" => Ok(()),
        "look" => fail(look().join("\n")),
        "options" => fail(format!("{:?}", machine.options)),
        "fail" | "fail-and-leave" => fail("no\u{1b}[2J good"),
        "panic" => panic!("out of cheese"),
        "calls" => {
            for _ in 0..10_000 {
                std::hint::black_box(clock::now());
            }
            Ok(())
        }
        "loop" => loop {
            std::hint::black_box(());
        },
        "allocate" => {
            let mut all = Vec::new();
            loop {
                all.push(vec![1_u8; 1 << 20]);
                std::hint::black_box(&all);
            }
        }
        "wait" => match clock::sleep(600_000) {
            Ok(()) => fail("slept"),
            Err(clock::Interruption::Cancelled) => Err(Error {
                kind: ErrorKind::Cancelled,
                message: "interrupted".to_owned(),
                hint: None,
            }),
        },
        "save-path" => state::save("{\"SSHKeyPath\": \"/etc/shadow\"}"),
        "key" => keys::ssh_public_key(KeyType::Ed25519).map(drop),
        "call" => call(machine, Method::Get),
        "post" => call(machine, Method::Post),
        other => fail(format!("unknown mode {other}")),
    }
}

/// What of the outside can be seen or reached; nothing, if all is well.
fn look() -> Vec<String> {
    let mut seen = Vec::new();
    seen.extend(env::vars().map(|(name, _)| format!("variable {name}")));
    seen.extend(env::args().map(|arg| format!("argument {arg}")));
    for path in ["/", ".", "/etc/passwd", "/proc/self/environ"] {
        if fs::metadata(path).is_ok() || fs::read(path).is_ok() || fs::read_dir(path).is_ok() {
            seen.push(format!("path {path}"));
        }
    }
    if fs::write("probe", "x").is_ok() {
        seen.push("written file".to_owned());
    }
    for address in ["127.0.0.1:22", "localhost:80"] {
        if let Err(error) = net::TcpStream::connect(address) {
            // A refusal by the other side would mean that it was reached.
            if error.kind() == std::io::ErrorKind::ConnectionRefused {
                seen.push(format!("network {address}"));
            }
        } else {
            seen.push(format!("network {address}"));
        }
    }
    if net::UdpSocket::bind("127.0.0.1:0").is_ok() {
        seen.push("UDP socket".to_owned());
    }
    seen
}

/// Makes an API call that was granted, with the option's value as a parameter, and tells the answer.
fn call(machine: &Machine, method: Method) -> Result<(), Error> {
    let words = machine
        .options
        .iter()
        .find_map(|(name, value)| match value {
            Value::TextList(words) if name == "probe-list" => Some(words.concat()),
            _ => None,
        });
    let params = vec![
        ("command".to_owned(), "listZones".to_owned()),
        ("response".to_owned(), "json".to_owned()),
        ("keyword".to_owned(), words.unwrap_or_default()),
    ];
    let (query, body) = match method {
        Method::Get => (params, None),
        _ => (Vec::new(), Some(Body::Form(params))),
    };
    let request = Request {
        endpoint: "probe-endpoint".to_owned(),
        method,
        path: String::new(),
        query,
        body,
        auth: Auth::Cloudstack(CloudstackCredentials {
            api_key: "probe-key".to_owned(),
            secret_key: "probe-key".to_owned(),
        }),
        timeout_ms: 5_000,
    };
    match http::send(&request) {
        Ok(response) => fail(format!(
            "{} {}",
            response.status,
            String::from_utf8_lossy(&response.body)
        )),
        Err(failure) => fail(failure.message),
    }
}
