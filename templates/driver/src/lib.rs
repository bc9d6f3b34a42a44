//! A machine driver to begin with: servers of a cloud with a JSON API and a bearer token, each found by a label that bears
//! the machine's id. The API's shapes are those of the Hetzner Cloud, as far as they are used; put your cloud's there.
//!
//! The contract is in `wit/`. The crate is empty on any other target than WebAssembly.

#![cfg(target_arch = "wasm32")]

mod contract {
    wit_bindgen::generate!({ world: "driver", path: "wit" });
    export!(Driver);
    use super::Driver;
}

use contract::exports::machine::driver::lifecycle::Guest;
use contract::machine::driver::http::{self, Auth, Body, FailureKind, Method, Request};
use contract::machine::driver::keys::{self, KeyType};
use contract::machine::driver::types::{
    Description, Error, ErrorKind, FoundMachine, Machine, MachineStatus, OptionKind, OptionScope,
    OptionSpec, State, Value,
};
use contract::machine::driver::{clock, log, state};
use serde_json::{Value as Json, json};

const TOKEN: &str = "example-token";
const ENDPOINT: &str = "example-endpoint";
const SIZE: &str = "example-size";
const IMAGE: &str = "example-image";

/// What the user reads without a token.
const NO_TOKEN: &str = "Please specify an API token (--example-token)";

/// The labels of what is made for a machine: its id and its name.
const ID_LABEL: &str = "docker-machine-id";
const NAME_LABEL: &str = "docker-machine-name";

/// What is saved before a server is made. By the machine's id it is found again, so this is all.
const BEGUN: &str = r#"{"Begun":true}"#;

/// How long a request is repeated while the cloud cannot be reached, in milliseconds.
const OUTAGE: u64 = 30_000;

/// How long a server may take to get into another state, in milliseconds.
const SETTLING: u64 = 10 * 60_000;

struct Driver;

impl Guest for Driver {
    fn describe() -> Description {
        let option = |name: &str, help: &str, config_key: &str, default: Option<&str>| OptionSpec {
            name: name.to_owned(),
            env: name.to_uppercase().replace('-', "_"),
            help: help.to_owned(),
            kind: OptionKind::Text,
            scope: OptionScope::Machine,
            required: None,
            default: default.map(str::to_owned),
            config_key: Some(config_key.to_owned()),
        };
        let url = "https://api.hetzner.cloud/v1";
        Description {
            name: "example".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            options: vec![
                OptionSpec {
                    kind: OptionKind::Secret,
                    scope: OptionScope::Account,
                    required: Some(NO_TOKEN.to_owned()),
                    ..option(TOKEN, "Token of the API", "Token", None)
                },
                OptionSpec {
                    kind: OptionKind::Endpoint,
                    scope: OptionScope::Account,
                    ..option(ENDPOINT, "URL of the API", "Endpoint", Some(url))
                },
                option(SIZE, "Type of the server", "Size", Some("cx22")),
                option(IMAGE, "Image of the server", "Image", Some("ubuntu-24.04")),
            ],
            // The host refuses everything else.
            commands: [
                "GET /server_types",
                "GET /servers",
                "POST /servers",
                "DELETE /servers/{id}",
                "POST /servers/{id}/actions/{action}",
            ]
            .map(str::to_owned)
            .to_vec(),
        }
    }

    fn check(machine: Machine) -> Result<(), Error> {
        let has_token = |(name, value): &(String, Value)| {
            name == TOKEN && matches!(value, Value::Withheld(true))
        };
        if !machine.options.iter().any(has_token) {
            return Err(error(ErrorKind::InvalidOption, NO_TOKEN));
        }
        let size = text(&machine, SIZE);
        let found = get("/server_types", &[("name", &size)])?;
        match found["server_types"].as_array() {
            Some(types) if !types.is_empty() => Ok(()),
            Some(_) => Err(error(
                ErrorKind::InvalidOption,
                format!("--{SIZE}: the cloud has no {size}"),
            )),
            None => Err(unlike_the_api(200)),
        }
    }

    fn create(machine: Machine) -> Result<MachineStatus, Error> {
        if has_begun(&machine) {
            let message = "The machine has been made already";
            return Err(error(ErrorKind::Conflict, message));
        }
        log::progress("Looking up the size", 1, 2);
        Self::check(machine.clone())?;
        log::progress("Making the server", 2, 2);
        let key = keys::ssh_public_key(KeyType::Ed25519)?;
        let server = json!({
            "name": machine.name,
            "server_type": text(&machine, SIZE),
            "image": text(&machine, IMAGE),
            "labels": { ID_LABEL: machine.id, NAME_LABEL: machine.name },
            "user_data": format!("#cloud-config\nusers: [{{name: root, ssh_authorized_keys: [\"{key}\"]}}]\n"),
        });
        // Before anything is made, so that `remove` knows that there may be something.
        state::save(BEGUN)?;
        match call(Method::Post, "/servers", &[], Some(server)) {
            // If the answer is lost, the server may be there all the same.
            Err(Failure::Lost(error)) => {
                lost_server(&machine.id)?.ok_or(error)?;
            }
            answer => drop(answer?),
        }
        Ok(status_of(&wait_for(&machine.id, "running")?))
    }

    fn start(machine: Machine) -> Result<(), Error> {
        power(&machine, "poweron", "running")
    }

    fn stop(machine: Machine) -> Result<(), Error> {
        power(&machine, "shutdown", "off")
    }

    fn kill(machine: Machine) -> Result<(), Error> {
        power(&machine, "poweroff", "off")
    }

    fn restart(machine: Machine) -> Result<(), Error> {
        power(&machine, "shutdown", "off")?;
        power(&machine, "poweron", "running")
    }

    fn remove(machine: Machine) -> Result<(), Error> {
        if !has_begun(&machine) {
            return Ok(());
        }
        let end = clock::now() + SETTLING;
        loop {
            let Some(server) = find(&machine.id)? else {
                return state::save("{}");
            };
            if server["status"] != "deleting" {
                let path = format!("/servers/{}", server["id"]);
                match call(Method::Delete, &path, &[], None) {
                    Ok(_) | Err(Failure::Lost(_)) => {}
                    // It is gone already.
                    Err(Failure::Told(error)) if error.kind == ErrorKind::NotFound => {}
                    Err(failure) => return Err(failure.into()),
                }
            }
            pause(500)?;
            if clock::now() > end {
                return Err(error(ErrorKind::TimedOut, "The server is still there"));
            }
        }
    }

    fn status(machines: Vec<Machine>) -> Vec<Result<MachineStatus, Error>> {
        let status = |machine: &Machine| match has_begun(machine) {
            true => Ok(find(&machine.id)?.as_ref().map_or_else(gone, status_of)),
            false => Ok(gone()),
        };
        machines.iter().map(status).collect()
    }

    fn survey(_: Vec<(String, Value)>) -> Result<Vec<FoundMachine>, Error> {
        let found = |server: &Json| FoundMachine {
            name: string(&server["labels"][NAME_LABEL]),
            id: string(&server["labels"][ID_LABEL]),
            parts: vec![format!("server {}", server["id"])],
            saved: BEGUN.to_owned(),
        };
        Ok(servers(ID_LABEL)?.iter().map(found).collect())
    }
}

/// Has something done to a machine's server, unless it is in that state already, and waits until it is.
fn power(machine: &Machine, action: &str, status: &str) -> Result<(), Error> {
    let server = match has_begun(machine) {
        true => find(&machine.id)?.ok_or_else(vanished)?,
        false => return Err(vanished()),
    };
    if server["status"] != status {
        let path = format!("/servers/{}/actions/{action}", server["id"]);
        call(Method::Post, &path, &[], None)?;
        wait_for(&machine.id, status)?;
    }
    Ok(())
}

/// Waits until a machine's server is in that state.
fn wait_for(id: &str, status: &str) -> Result<Json, Error> {
    let end = clock::now() + SETTLING;
    loop {
        let server = find(id)?.ok_or_else(vanished)?;
        if server["status"] == status {
            return Ok(server);
        }
        if clock::now() > end {
            return Err(error(
                ErrorKind::TimedOut,
                format!("The server is not {status} yet"),
            ));
        }
        pause(500)?;
    }
}

/// Looks for a server that may have been made; for a while, since the cloud may still be at it.
fn lost_server(id: &str) -> Result<Option<Json>, Error> {
    for _ in 0..10 {
        if let Some(server) = find(id)? {
            return Ok(Some(server));
        }
        pause(1_000)?;
    }
    Ok(None)
}

fn find(id: &str) -> Result<Option<Json>, Error> {
    Ok(servers(&format!("{ID_LABEL}=={id}"))?.into_iter().next())
}

/// All servers with that label.
fn servers(label_selector: &str) -> Result<Vec<Json>, Error> {
    let (mut all, mut page) = (Vec::new(), 1);
    loop {
        let number = page.to_string();
        let query = [("label_selector", label_selector), ("page", &number)];
        let mut answer = get("/servers", &query)?;
        match answer["servers"].take() {
            Json::Array(servers) => all.extend(servers),
            _ => return Err(unlike_the_api(200)),
        }
        match answer["meta"]["pagination"]["next_page"].as_u64() {
            Some(next) if next > page => page = next,
            _ => return Ok(all),
        }
    }
}

fn status_of(server: &Json) -> MachineStatus {
    let address = string(&server["public_net"]["ipv4"]["ip"]);
    MachineStatus {
        state: match server["status"].as_str() {
            Some("running") => State::Running,
            Some("initializing" | "starting") => State::Starting,
            Some("stopping" | "deleting") => State::Stopping,
            Some("off") => State::Stopped,
            _ => State::Error,
        },
        ip: (!address.is_empty()).then(|| address.clone()),
        ssh_host: address,
        ..gone()
    }
}

/// The status of a machine that the cloud does not have.
fn gone() -> MachineStatus {
    MachineStatus {
        state: State::NotFound,
        ip: None,
        ssh_user: "root".to_owned(),
        ssh_host: String::new(),
        ssh_port: 22,
        engine_port: 2376,
    }
}

/// Why a request was not answered as it should.
enum Failure {
    /// It was not carried out.
    Told(Error),
    /// It may have been.
    Lost(Error),
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Told(error) | Failure::Lost(error) => error,
        }
    }
}

fn get(path: &str, query: &[(&str, &str)]) -> Result<Json, Error> {
    Ok(call(Method::Get, path, query, None)?)
}

/// Sends a request. While the cloud cannot be reached it is repeated, if it changes nothing or was never sent.
fn call(
    method: Method,
    path: &str,
    query: &[(&str, &str)],
    body: Option<Json>,
) -> Result<Json, Failure> {
    let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let request = Request {
        endpoint: ENDPOINT.to_owned(),
        method,
        path: path.to_owned(),
        query: query.iter().map(pair).collect(),
        body: body.map(|json| Body::Json(json.to_string())),
        auth: Auth::Bearer(TOKEN.to_owned()),
        timeout_ms: 30_000,
    };
    let end = clock::now() + OUTAGE;
    loop {
        let failure = match http::send(&request) {
            // The host holds the next call back for as long as the server wants that.
            Ok(response) if response.status == 429 && clock::now() < end => {
                pause(100).map_err(Failure::Told)?;
                continue;
            }
            Ok(response) => return read(response.status, &response.body),
            Err(failure) => failure,
        };
        let is_passing = matches!(
            failure.kind,
            FailureKind::Unreachable | FailureKind::TimedOut
        );
        let kind = match failure.kind {
            FailureKind::Refused => ErrorKind::Internal,
            FailureKind::Unreachable | FailureKind::Tls => ErrorKind::Unreachable,
            FailureKind::TimedOut => ErrorKind::TimedOut,
            FailureKind::BadResponse => ErrorKind::Protocol,
        };
        let error = error(kind, failure.message);
        let is_safe = method == Method::Get || !failure.request_sent;
        if is_safe && is_passing && clock::now() < end {
            pause(1_000).map_err(Failure::Told)?;
        } else if failure.request_sent {
            return Err(Failure::Lost(error));
        } else {
            return Err(Failure::Told(error));
        }
    }
}

fn read(status: u16, body: &[u8]) -> Result<Json, Failure> {
    if status == 204 {
        return Ok(Json::Null);
    }
    let Ok(json) = serde_json::from_slice::<Json>(body) else {
        return Err(Failure::Lost(unlike_the_api(status)));
    };
    let kind = match status {
        200..300 => return Ok(json),
        401 => ErrorKind::Authentication,
        403 => ErrorKind::Permission,
        404 => ErrorKind::NotFound,
        409 | 423 => ErrorKind::Conflict,
        422 => ErrorKind::InvalidOption,
        429 => ErrorKind::RateLimited,
        _ => ErrorKind::Internal,
    };
    let message = string(&json["error"]["message"]);
    let message = message.trim_end_matches('.');
    let error = error(kind, format!("The cloud answers {status}: {message}"));
    match status {
        500.. => Err(Failure::Lost(error)),
        _ => Err(Failure::Told(error)),
    }
}

fn unlike_the_api(status: u16) -> Error {
    let message = format!("The endpoint does not answer like the API (HTTP status {status})");
    error(ErrorKind::Protocol, message)
}

fn vanished() -> Error {
    error(ErrorKind::NotFound, "The cloud has no such server")
}

/// Waits, unless the user has asked to stop.
fn pause(ms: u64) -> Result<(), Error> {
    clock::sleep(ms).map_err(|_| error(ErrorKind::Cancelled, "Interrupted"))
}

fn error(kind: ErrorKind, message: impl Into<String>) -> Error {
    Error {
        kind,
        message: message.into(),
        hint: None,
    }
}

/// Whether a server may have been made for the machine.
fn has_begun(machine: &Machine) -> bool {
    let saved: Json = serde_json::from_str(&machine.saved).unwrap_or_default();
    saved["Begun"] == true
}

/// The value of an option that is a text.
fn text(machine: &Machine, option: &str) -> String {
    let mut options = machine.options.iter();
    let found = options.find_map(|(name, value)| match value {
        Value::Text(text) if name == option => Some(text.clone()),
        _ => None,
    });
    found.unwrap_or_default()
}

fn string(json: &Json) -> String {
    json.as_str().unwrap_or_default().to_owned()
}
