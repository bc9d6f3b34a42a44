//! A driver for tests that attacks the host. Its option `hostile-mode` tells how, and `hostile-request` with what; where
//! there are no options yet, in `describe`, the value `MARK` does.
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
        world: "driver-with-inventory",
        path: "../../../wit",
        export_macro_name: "export",
        pub_export_macro: true,
    });
}

use std::hint::black_box;
use std::io::{Read as _, Write as _};
use std::net::ToSocketAddrs as _;
use std::time::Duration;
use std::{env, fs, net, process, thread};

use contract::exports::machine::driver::inventory::{self, Candidate, Limit, ListableOption};
use contract::exports::machine::driver::lifecycle::Guest;
use contract::machine::driver::http::{
    self, Auth, BasicCredentials, Body, CloudstackCredentials, Method, Request,
};
use contract::machine::driver::keys::{self, KeyType};
use contract::machine::driver::types::{
    Description, Error, ErrorKind, FoundMachine, Machine, MachineStatus, OptionKind, OptionScope,
    OptionSpec, State, Value,
};
use contract::machine::driver::{clock, log, state};

/// Overwritten in the component's file by the tests: the mode of what comes before there are options.
#[used]
static MARK: [u8; 48] = *b"HOSTILE-MARK:                                   ";

/// More than the host takes at once.
const HUGE: usize = 100_000_000;

/// What a terminal would obey, and what would make a line read as another one.
const ESCAPES: &str =
    "\u{1b}]0;owned\u{7}\u{1b}[2J\u{1b}[31m\u{9b}1;1H\r\u{8}\u{202e}\u{2066}\u{e0041}evil";

struct Hostile;

contract::export!(Hostile with_types_in contract);

impl Guest for Hostile {
    fn describe() -> Description {
        let option = |name: &str, kind| OptionSpec {
            name: format!("hostile-{name}"),
            env: String::new(),
            help: format!("The {name}"),
            kind,
            scope: match kind {
                OptionKind::Endpoint | OptionKind::Secret => OptionScope::Account,
                _ => OptionScope::Machine,
            },
            required: None,
            default: None,
            config_key: Some(name.to_owned()),
        };
        let mut description = Description {
            name: "hostile".to_owned(),
            version: "0.1.0".to_owned(),
            options: vec![
                option("mode", OptionKind::Text),
                option("endpoint", OptionKind::Endpoint),
                option("text", OptionKind::Text),
                option("request", OptionKind::TextList),
                option("key", OptionKind::Secret),
            ],
            commands: ["listZones", "GET /servers/{id}", "POST /servers"]
                .map(str::to_owned)
                .into(),
        };
        match mark().as_str() {
            "describe loop" => endless(),
            "describe panic" => panic!("{ESCAPES}"),
            "describe sleep" => sleep(),
            "describe wasi-sleep" => thread::sleep(Duration::MAX),
            "describe request" => {
                let answer = http::send(&request(&["endpoint=hostile-endpoint".to_owned()]));
                description.version = format!("{answer:?}");
            }
            "describe save" => description.version = format!("{:?}", state::save("{}")),
            "describe key" => {
                description.version = format!("{:?}", keys::ssh_public_key(KeyType::Ed25519));
            }
            "describe huge" => description.name = "x".repeat(HUGE),
            "describe long" => description.options[0].help = "x".repeat(1_000_000),
            "describe many" => {
                description.options = vec![option("x", OptionKind::Text); 1_000];
            }
            "describe crowd" => description.commands = vec![String::new(); 5_000_000],
            "describe escapes" => description.options[0].help = ESCAPES.to_owned(),
            "describe name" => description.name = "../hostile".to_owned(),
            "describe variable" => description.options[0].env = "AWS_SECRET_ACCESS_KEY".to_owned(),
            "describe member" => {
                description.options[0].config_key = Some("SSHKeyPath".to_owned());
            }
            "describe default" => {
                description.options[1].default = Some("http://127.0.0.1:2375/".to_owned());
            }
            "describe metadata" => {
                description.options[1].default = Some("https://169.254.169.254/".to_owned());
            }
            "describe commands" => description.commands = vec!["listZones&command=x".to_owned()],
            _ => {}
        }
        description
    }

    fn check(machine: Machine) -> Result<(), Error> {
        attack(&machine)
    }

    fn create(machine: Machine) -> Result<MachineStatus, Error> {
        if mode(&machine) != "greedy" {
            state::save("{\"Made\": true}")?;
        }
        attack(&machine)?;
        Ok(match mode(&machine).as_str() {
            "status argument" => MachineStatus {
                ssh_host: "-oProxyCommand=true".to_owned(),
                ..running()
            },
            _ => running(),
        })
    }

    fn start(machine: Machine) -> Result<(), Error> {
        attack(&machine)
    }

    fn stop(machine: Machine) -> Result<(), Error> {
        attack(&machine)
    }

    fn kill(machine: Machine) -> Result<(), Error> {
        attack(&machine)
    }

    fn restart(machine: Machine) -> Result<(), Error> {
        attack(&machine)
    }

    /// Attacks if it is told to in so many words, so that others can see that a creation is undone.
    fn remove(machine: Machine) -> Result<(), Error> {
        match mode(&machine).strip_prefix("remove ") {
            Some(mode) => attack_by(mode, &machine),
            None => {
                clock::sleep(1).ok();
                log::log(log::Level::Info, "removed");
                state::save("{}")
            }
        }
    }

    fn status(machines: Vec<Machine>) -> Vec<Result<MachineStatus, Error>> {
        let mode = machines.first().map(mode).unwrap_or_default();
        let with = |status: MachineStatus| vec![Ok(status)];
        match mode.as_str() {
            "status crowd" => (0..500_000).map(|_| Ok(running())).collect(),
            "status none" => Vec::new(),
            "status argument" => with(MachineStatus {
                ssh_host: "-oProxyCommand=true".to_owned(),
                ..running()
            }),
            "status user" => with(MachineStatus {
                ssh_user: "root -oProxyCommand=true".to_owned(),
                ..running()
            }),
            "status address" => with(MachineStatus {
                ip: Some(format!("192.0.2.1{ESCAPES}")),
                ..running()
            }),
            "status port" => with(MachineStatus {
                ssh_port: 0,
                ..running()
            }),
            "status huge" => with(MachineStatus {
                ssh_user: "x".repeat(HUGE),
                ..running()
            }),
            _ => {
                let attacks = machines.iter().map(|machine| attack(machine));
                attacks.map(|result| result.map(|()| running())).collect()
            }
        }
    }

    fn survey(options: Vec<(String, Value)>) -> Result<Vec<FoundMachine>, Error> {
        let found = || FoundMachine {
            name: "m1".to_owned(),
            id: "0123456789abcdef0123".to_owned(),
            parts: vec!["part".to_owned()],
            saved: "{}".to_owned(),
        };
        let with = |change: &dyn Fn(&mut FoundMachine)| {
            let mut machine = found();
            change(&mut machine);
            Ok(vec![machine])
        };
        match mode_of_account(&options).as_str() {
            "loop" => endless(),
            "panic" => panic!("{ESCAPES}"),
            "crowd" => Ok(vec![found(); 500_000]),
            "many" => Ok((0..20_000)
                .map(|i| FoundMachine {
                    id: format!("{i:020x}"),
                    ..found()
                })
                .collect()),
            "parts" => with(&|m| m.parts = vec![String::new(); 20_000]),
            "huge" => with(&|m| m.parts = vec!["x".repeat(HUGE)]),
            "escapes" => with(&|m| m.parts = vec![ESCAPES.to_owned()]),
            "name" => with(&|m| m.name = "../../m1".to_owned()),
            "id" => with(&|m| m.id = "*".to_owned()),
            "saved" => with(&|m| m.saved = "{\"StorePath\": \"/\"}".to_owned()),
            "large" => with(&|m| m.saved = format!("{{\"a\": \"{}\"}}", "x".repeat(1_000_000))),
            _ => Ok(vec![found()]),
        }
    }
}

impl inventory::Guest for Hostile {
    fn listable() -> Vec<ListableOption> {
        let listable = |option: &str, heading: &str| ListableOption {
            option_name: format!("hostile-{option}"),
            heading: heading.to_owned(),
            columns: vec!["DETAIL".to_owned()],
        };
        let texts = || listable("text", "texts");
        match mark().as_str() {
            "listable loop" => endless(),
            "listable panic" => panic!("{ESCAPES}"),
            "listable request" => {
                let parts = ["endpoint=hostile-endpoint".to_owned()];
                vec![listable(
                    "text",
                    &format!("{:?}", http::send(&request(&parts))),
                )]
            }
            "listable huge" => vec![listable("text", &"x".repeat(HUGE))],
            "listable crowd" => vec![texts(); 500_000],
            "listable many" => vec![texts(); 1_000],
            "listable escapes" => vec![listable("text", ESCAPES)],
            "listable secret" => vec![listable("key", "keys")],
            "listable other" => vec![listable("../../other", "others")],
            _ => vec![texts()],
        }
    }

    fn candidates(
        options: Vec<(String, Value)>,
        option_name: String,
    ) -> Result<Vec<Candidate>, Error> {
        let candidate = || Candidate {
            name: option_name.clone(),
            id: "1".to_owned(),
            details: vec!["detail".to_owned()],
        };
        let with = |change: &dyn Fn(&mut Candidate)| {
            let mut candidate = candidate();
            change(&mut candidate);
            Ok(vec![candidate])
        };
        match mode_of_account(&options).as_str() {
            "loop" => endless(),
            "sleep" => {
                sleep();
                Ok(Vec::new())
            }
            "panic" => panic!("{ESCAPES}"),
            "crowd" => Ok(vec![candidate(); 500_000]),
            "many" => Ok(vec![candidate(); 30_000]),
            "huge" => with(&|c| c.name = "x".repeat(HUGE)),
            "long" => with(&|c| c.name = "x".repeat(1_000_000)),
            "details" => with(&|c| c.details = vec![ESCAPES.to_owned(); 10_000]),
            "escapes" => with(&|c| {
                c.name = ESCAPES.to_owned();
                c.id = ESCAPES.to_owned();
            }),
            "error" => Err(Error {
                kind: ErrorKind::Internal,
                message: ESCAPES.to_owned(),
                hint: Some(ESCAPES.to_owned()),
            }),
            "key" => keys::ssh_public_key(KeyType::Ed25519).map(|_| Vec::new()),
            "save" => state::save("{}").map(|()| Vec::new()),
            _ => Ok(vec![candidate()]),
        }
    }

    fn limits(options: Vec<(String, Value)>) -> Result<Vec<Limit>, Error> {
        let limit = |name: &str| Limit {
            name: name.to_owned(),
            used: u64::MAX,
            max: Some(0),
            each_machine: true,
        };
        match mode_of_account(&options).as_str() {
            "loop" => endless(),
            "crowd" => Ok(vec![limit(""); 500_000]),
            "many" => Ok(vec![limit("things"); 1_000]),
            "huge" => Ok(vec![limit(&"x".repeat(HUGE))]),
            "escapes" => Ok(vec![limit(ESCAPES)]),
            _ => Ok(vec![limit("things")]),
        }
    }
}

/// The mode where there is no machine: the end of the endpoint, which is all that a driver sees there.
fn mode_of_account(options: &[(String, Value)]) -> String {
    let endpoint = options.iter().find_map(|(_, value)| match value {
        Value::Text(url) => Some(url.as_str()),
        _ => None,
    });
    let mode = endpoint.unwrap_or_default().rsplit('/').next();
    mode.unwrap_or_default().to_owned()
}

fn mark() -> String {
    // SAFETY: it is a static; the compiler must not take its value for known.
    let bytes = unsafe { std::ptr::read_volatile(&raw const MARK) };
    let text = String::from_utf8_lossy(&bytes).into_owned();
    text.trim_start_matches("HOSTILE-MARK:").trim().to_owned()
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

fn text(machine: &Machine, option: &str) -> String {
    let text = |(name, value): &(String, Value)| match value {
        Value::Text(text) if name == option => Some(text.clone()),
        _ => None,
    };
    machine.options.iter().find_map(text).unwrap_or_default()
}

fn mode(machine: &Machine) -> String {
    text(machine, "hostile-mode")
}

/// The parts of the request that the option tells.
fn parts(machine: &Machine) -> Vec<String> {
    let list = |(name, value): &(String, Value)| match value {
        Value::TextList(parts) if name == "hostile-request" => Some(parts.clone()),
        _ => None,
    };
    machine.options.iter().find_map(list).unwrap_or_default()
}

fn fail<T>(message: impl Into<String>) -> Result<T, Error> {
    Err(Error {
        kind: ErrorKind::Internal,
        message: message.into(),
        hint: None,
    })
}

fn attack(machine: &Machine) -> Result<(), Error> {
    attack_by(&mode(machine), machine)
}

/// Attacks in the way of the mode. An error tells what came of it.
fn attack_by(mode: &str, machine: &Machine) -> Result<(), Error> {
    let send = |request: &Request| match http::send(request) {
        Ok(answer) => fail(format!(
            "{} {}",
            answer.status,
            String::from_utf8_lossy(&answer.body)
        )),
        Err(failure) => fail(failure.message),
    };
    let call = || request(&parts(machine));
    let huge = || "x".repeat(HUGE);
    match mode {
        "loop" => endless(),
        "loop host" => loop {
            black_box(clock::now());
        },
        "loop log" => {
            let line = "x".repeat(1_000_000);
            loop {
                log::log(log::Level::Info, &line);
            }
        }
        "loop progress" => loop {
            log::progress("step", 1, 1);
        },
        "loop requests" => loop {
            black_box(http::send(&call()).is_ok());
        },
        "loop save" => {
            let mut saves = 0;
            while state::save("{}").is_ok() {
                saves += 1;
            }
            fail(format!(
                "{saves} saves, then: {}",
                state::save("{}").unwrap_err().message
            ))
        }
        "loop keys" => loop {
            keys::ssh_public_key(KeyType::Ed25519)?;
        },
        "sleep" => {
            sleep();
            Ok(())
        }
        "naps" => loop {
            clock::sleep(1).ok();
        },
        "wasi-sleep" => {
            thread::sleep(Duration::MAX);
            Ok(())
        }
        "wasi-naps" => loop {
            thread::sleep(Duration::from_millis(1));
        },
        "allocate" => {
            let mut all = Vec::new();
            loop {
                all.push(vec![1_u8; 1 << 20]);
                black_box(&all);
            }
        }
        "recurse" => {
            fn deeper(depth: u64) -> u64 {
                let frame = black_box([depth; 64]);
                deeper(frame[0] + 1) + frame[1]
            }
            fail(deeper(0).to_string())
        }
        "panic" => panic!("{ESCAPES}"),
        "trap" => process::abort(),
        "exit" => process::exit(0),
        "stderr" => {
            for _ in 0..1_000 {
                eprintln!("{ESCAPES}{}", "x".repeat(1_000));
            }
            Ok(())
        }
        "stdout" => {
            for _ in 0..1_000 {
                println!("{ESCAPES}{}", "x".repeat(1_000));
            }
            Ok(())
        }
        "stdin" => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).ok();
            std::io::stdout().flush().ok();
            fail(format!("read {text:?}"))
        }
        "look" => fail(format!("saw {:?}", look())),
        "key" => keys::ssh_public_key(KeyType::Ed25519).map(drop),
        "lines" => {
            for i in 0..1_000_000 {
                log::log(log::Level::Info, &i.to_string());
            }
            Ok(())
        }
        "long line" => {
            log::log(log::Level::Info, &"x".repeat(1_000_000));
            Ok(())
        }
        "escapes log" => {
            log::log(log::Level::Warning, ESCAPES);
            log::progress(ESCAPES, 1, 1);
            Ok(())
        }
        "escapes error" => Err(Error {
            kind: ErrorKind::Internal,
            message: ESCAPES.to_owned(),
            hint: Some(ESCAPES.to_owned()),
        }),
        "escapes saved" => state::save("{\"a\": \"\u{9b}2J\"}"),
        "long error" => fail("x".repeat(1_000_000)),
        "huge log" => {
            log::log(log::Level::Info, &huge());
            Ok(())
        }
        "huge progress" => {
            log::progress(&huge(), 1, 1);
            Ok(())
        }
        "huge save" => {
            let mut json = huge();
            json.replace_range(..6, "{\"a\":\"");
            json.replace_range(HUGE - 2.., "\"}");
            state::save(&json)
        }
        "huge error" => fail(huge()),
        "huge hint" => Err(Error {
            kind: ErrorKind::Internal,
            message: String::new(),
            hint: Some(huge()),
        }),
        "huge endpoint" => send(&Request {
            endpoint: huge(),
            ..call()
        }),
        "huge path" => send(&Request {
            path: huge(),
            ..call()
        }),
        "huge value" => send(&Request {
            query: vec![("a".to_owned(), huge())],
            ..call()
        }),
        "huge name" => send(&Request {
            query: vec![(huge(), String::new())],
            ..call()
        }),
        "huge json" => send(&Request {
            body: Some(Body::Json(huge())),
            ..call()
        }),
        "huge form" => send(&Request {
            body: Some(Body::Form(vec![("a".to_owned(), huge())])),
            ..call()
        }),
        "huge credentials" => send(&Request {
            auth: Auth::Basic(BasicCredentials {
                user: huge(),
                password: huge(),
            }),
            ..call()
        }),
        "crowd of parameters" => send(&Request {
            query: vec![(String::new(), String::new()); 2_000_000],
            ..call()
        }),
        "large request" => send(&Request {
            query: vec![("a".to_owned(), "x".repeat(100_000))],
            ..call()
        }),
        "many parameters" => send(&Request {
            query: (0..100_000)
                .map(|i| (i.to_string(), String::new()))
                .collect(),
            ..call()
        }),
        "request" => send(&call()),
        "requests" => {
            let mut answered = 0;
            let last = loop {
                match http::send(&call()) {
                    Ok(_) => answered += 1,
                    Err(failure) => break failure.message,
                }
            };
            fail(format!("{answered} answers, then: {last}"))
        }
        "deep save" => state::save(&format!(
            "{{\"a\": {}1{}}}",
            "[".repeat(100_000),
            "]".repeat(100_000)
        )),
        "large save" => state::save(&format!("{{\"a\": \"{}\"}}", "x".repeat(1_000_000))),
        // Uses up all that there is, then fails: what is left over for the removal?
        "greedy" => {
            while state::save("{}").is_ok() {}
            for i in 0..10_000 {
                log::log(log::Level::Info, &i.to_string());
                black_box(http::send(&call()).is_ok());
            }
            endless()
        }
        _ => match mode.strip_prefix("save ") {
            Some(json) => state::save(json),
            None => Ok(()),
        },
    }
}

fn endless() -> ! {
    loop {
        black_box(());
    }
}

fn sleep() {
    clock::sleep(u64::MAX).ok();
}

/// A request from parts such as `path=/servers/1` and `query=command=listZones`.
fn request(parts: &[String]) -> Request {
    let mut request = Request {
        endpoint: "hostile-endpoint".to_owned(),
        method: Method::Get,
        path: String::new(),
        query: Vec::new(),
        body: None,
        auth: Auth::None,
        timeout_ms: u32::MAX,
    };
    let mut form = Vec::new();
    for part in parts {
        let (kind, value) = part.split_once('=').unwrap_or((part, ""));
        let pair = || {
            let (name, value) = value.split_once('=').unwrap_or((value, ""));
            (name.to_owned(), value.to_owned())
        };
        match kind {
            "endpoint" => request.endpoint = value.to_owned(),
            "method" => {
                request.method = match value {
                    "POST" => Method::Post,
                    "PUT" => Method::Put,
                    "PATCH" => Method::Patch,
                    "DELETE" => Method::Delete,
                    _ => Method::Get,
                }
            }
            "path" => request.path = value.to_owned(),
            "query" => request.query.push(pair()),
            "form" => form.push(pair()),
            "json" => request.body = Some(Body::Json(value.to_owned())),
            "cloudstack" => {
                request.auth = Auth::Cloudstack(CloudstackCredentials {
                    api_key: value.to_owned(),
                    secret_key: value.to_owned(),
                });
            }
            "bearer" => request.auth = Auth::Bearer(value.to_owned()),
            "basic" => {
                let (user, password) = pair();
                request.auth = Auth::Basic(BasicCredentials { user, password });
            }
            _ => {}
        }
    }
    if !form.is_empty() {
        request.body = Some(Body::Form(form));
    }
    request
}

/// What of the outside can be seen or reached; nothing, if all is well.
fn look() -> Vec<String> {
    let mut seen = Vec::new();
    seen.extend(env::vars().map(|(name, _)| format!("variable {name}")));
    seen.extend(env::args().map(|arg| format!("argument {arg}")));
    for path in [
        "/",
        ".",
        "..",
        "/etc/passwd",
        "/proc/self/environ",
        "/dev/null",
    ] {
        if fs::metadata(path).is_ok() || fs::read(path).is_ok() || fs::read_dir(path).is_ok() {
            seen.push(format!("path {path}"));
        }
    }
    if fs::write("hostile", "x").is_ok() || fs::create_dir("hostile").is_ok() {
        seen.push("written file".to_owned());
    }
    for address in ["127.0.0.1:22", "[::1]:22", "169.254.169.254:80"] {
        let refused =
            |error: &std::io::Error| error.kind() != std::io::ErrorKind::ConnectionRefused;
        // A refusal by the other side would mean that it was reached.
        if !net::TcpStream::connect(address).is_err_and(|error| refused(&error)) {
            seen.push(format!("network {address}"));
        }
    }
    if net::TcpListener::bind("127.0.0.1:0").is_ok() {
        seen.push("TCP listener".to_owned());
    }
    if net::UdpSocket::bind("127.0.0.1:0").is_ok() {
        seen.push("UDP socket".to_owned());
    }
    if ("localhost", 80).to_socket_addrs().is_ok() {
        seen.push("name service".to_owned());
    }
    if thread::Builder::new().spawn(|| ()).is_ok() {
        seen.push("thread".to_owned());
    }
    seen
}
