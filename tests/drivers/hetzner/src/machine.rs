//! The operations on a machine.
//!
//! Whatever is made bears the machine's id in a label, by which it is found again. So all that has to be saved is that
//! something may have been made.

use serde::Deserialize;
use serde_json::{Value as Json, json};

use crate::api::{self, Acting, Action, Failure, Patience, error};
use crate::contract::machine::driver::http::Method;
use crate::contract::machine::driver::keys::{self, KeyType};
use crate::contract::machine::driver::log::{self, Level};
use crate::contract::machine::driver::state;
use crate::contract::machine::driver::types::{
    Error, ErrorKind, FoundMachine, Machine, MachineStatus, State, Value,
};
use crate::{IMAGE, LOCATION, NO_TOKEN, SERVER_TYPE, TOKEN, get};

/// The labels of all that is made for a machine: its id and its name.
const ID_LABEL: &str = "docker-machine-id";
const NAME_LABEL: &str = "docker-machine-name";

/// What is saved before anything is made.
const BEGUN: &str = r#"{"Begun":true}"#;

/// How long a server may take to get into a state by itself, in milliseconds.
const SETTLING: u64 = 5 * 60_000;

/// How long a guest may take to shut down, in milliseconds.
const SHUTDOWN: u64 = 90_000;

/// How long a server whose making was not answered is looked for, in milliseconds.
const LOST: u64 = 15_000;

/// A server.
#[derive(Debug, Deserialize)]
pub(crate) struct Server {
    id: u64,
    name: String,
    status: String,
    public_net: PublicNet,
    #[serde(default)]
    labels: Labels,
}

#[derive(Debug, Deserialize)]
struct PublicNet {
    ipv4: Option<Address>,
}

#[derive(Debug, Deserialize)]
struct Address {
    ip: String,
}

#[derive(Debug, Default, Deserialize)]
struct Labels {
    #[serde(rename = "docker-machine-id", default)]
    id: String,
    #[serde(rename = "docker-machine-name", default)]
    name: String,
}

#[derive(Debug, Deserialize)]
struct SshKey {
    id: u64,
    name: String,
    #[serde(default)]
    labels: Labels,
}

/// A page of a list.
#[derive(Debug, Deserialize)]
struct Page<T> {
    #[serde(alias = "servers", alias = "ssh_keys")]
    items: Vec<T>,
    meta: Meta,
}

#[derive(Debug, Deserialize)]
struct Meta {
    pagination: Pagination,
}

#[derive(Debug, Deserialize)]
struct Pagination {
    next_page: Option<u32>,
}

impl Server {
    pub(crate) fn is_running(&self) -> bool {
        self.status == "running"
    }

    /// How it does.
    pub(crate) fn status(&self) -> MachineStatus {
        let state = match self.status.as_str() {
            "running" => State::Running,
            "initializing" | "starting" | "rebuilding" | "migrating" => State::Starting,
            "stopping" | "deleting" => State::Stopping,
            "off" => State::Stopped,
            _ => State::Error,
        };
        let ip = self.public_net.ipv4.as_ref().map(|address| &address.ip);
        MachineStatus {
            state,
            ssh_host: ip.cloned().unwrap_or_default(),
            ip: ip.cloned(),
            ..gone()
        }
    }

    /// Has something done to it, and waits until that is done.
    pub(crate) fn act(&self, action: &str) -> Result<(), Error> {
        let path = format!("/servers/{}/actions/{action}", self.id);
        let acting: Acting = api::call(Method::Post, &path, &[], None)?;
        acting.action.finish()
    }

    /// Waits until it is in that state, if it gets there in time; tells how it is then, if it is still there.
    fn settle(&self, status: &str, limit: u64) -> Result<Option<Self>, Error> {
        let mut patience = Patience::new(limit);
        loop {
            let server = marked_servers(&self.labels.id)?.into_iter().next();
            if server.as_ref().is_none_or(|now| now.status == status) || !patience.wait(0)? {
                return Ok(server);
            }
        }
    }

    fn arrive(&self, status: &str) -> Result<Self, Error> {
        match self.settle(status, SETTLING)? {
            Some(server) if server.status == status => Ok(server),
            Some(server) => Err(error(
                ErrorKind::TimedOut,
                format!("The server {} is still {}", self.name, server.status),
            )),
            None => Err(vanished(&self.name)),
        }
    }
}

/// The status of a machine that the cloud does not have.
pub(crate) fn gone() -> MachineStatus {
    MachineStatus {
        state: State::NotFound,
        ip: None,
        ssh_user: "root".to_owned(),
        ssh_host: String::new(),
        ssh_port: 22,
        engine_port: 2376,
    }
}

fn vanished(name: &str) -> Error {
    error(
        ErrorKind::NotFound,
        format!("The cloud has no server of the machine {name}"),
    )
}

/// Checks the options against the cloud.
pub(crate) fn check(machine: &Machine) -> Result<(), Error> {
    let is_set = |(name, value): &(String, Value)| name == TOKEN && *value == Value::Withheld(true);
    if !machine.options.iter().any(is_set) {
        return Err(error(ErrorKind::InvalidOption, NO_TOKEN));
    }
    let name = &machine.name;
    if name.len() > 63 || !name.ends_with(|c: char| c.is_ascii_alphanumeric()) {
        return Err(error(
            ErrorKind::InvalidOption,
            format!(
                "The name {name} is longer than 63 characters, or ends with neither letter nor digit"
            ),
        ));
    }
    for (option, list) in [
        (SERVER_TYPE, "server_types"),
        (IMAGE, "images"),
        (LOCATION, "locations"),
    ] {
        let Some(wanted) = text(machine, option) else {
            continue;
        };
        let known: Json = get(&format!("/{list}"), &[("name", wanted)])?;
        match known.get(list).and_then(Json::as_array) {
            Some(known) if !known.is_empty() => {}
            Some(_) => {
                let message = format!("--{option}: the cloud has no {wanted}");
                return Err(error(ErrorKind::InvalidOption, message));
            }
            None => {
                let message = format!("The endpoint does not list its {list}");
                return Err(error(ErrorKind::Protocol, message));
            }
        }
    }
    Ok(())
}

/// Makes a machine.
pub(crate) fn create(machine: &Machine) -> Result<MachineStatus, Error> {
    if has_begun(machine) {
        return Err(error(
            ErrorKind::Conflict,
            "The machine has been made already",
        ));
    }
    log::progress("Looking up what the options name", 1, 3);
    check(machine)?;
    let public_key = keys::ssh_public_key(KeyType::Ed25519)?;

    log::progress("Registering the SSH key", 2, 3);
    state::save(BEGUN)?;
    let labels = json!({ ID_LABEL: machine.id, NAME_LABEL: machine.name });
    let key = register(machine, &public_key, &labels)?;

    log::progress("Making the server", 3, 3);
    let mut order = json!({
        "name": machine.name,
        "server_type": text(machine, SERVER_TYPE),
        "image": text(machine, IMAGE),
        "ssh_keys": [key.id],
        "labels": labels,
    });
    if let Some(location) = text(machine, LOCATION) {
        order["location"] = location.into();
    }
    let server = make(machine, &order)?.arrive("running")?;
    Ok(server.status())
}

fn register(machine: &Machine, public_key: &str, labels: &Json) -> Result<SshKey, Error> {
    #[derive(Deserialize)]
    struct Registered {
        ssh_key: SshKey,
    }
    let order = json!({
        "name": format!("docker-machine-{}", machine.id),
        "public_key": public_key,
        "labels": labels,
    });
    match api::call::<Registered>(Method::Post, "/ssh_keys", &[], Some(&order)) {
        Ok(registered) => Ok(registered.ssh_key),
        Err(Failure::Lost(lost)) => lost_one(lost, || marked("ssh_keys", &machine.id)),
        Err(failure) => Err(failure.into()),
    }
}

fn make(machine: &Machine, order: &Json) -> Result<Server, Error> {
    #[derive(Deserialize)]
    struct Made {
        server: Server,
        action: Action,
    }
    match api::call::<Made>(Method::Post, "/servers", &[], Some(order)) {
        Ok(made) => made.action.finish().map(|()| made.server),
        Err(Failure::Lost(lost)) => lost_one(lost, || marked_servers(&machine.id)),
        Err(failure) => Err(failure.into()),
    }
}

/// Looks for what may have been made though the answer was lost, so that it is not made twice.
fn lost_one<T>(lost: Error, find: impl Fn() -> Result<Vec<T>, Error>) -> Result<T, Error> {
    let mut patience = Patience::new(LOST);
    loop {
        if let Some(found) = find()?.into_iter().next() {
            return Ok(found);
        }
        if !patience.wait(0)? {
            return Err(lost);
        }
    }
}

/// The machine's server; nothing if the cloud has none.
pub(crate) fn find(machine: &Machine) -> Result<Option<Server>, Error> {
    match has_begun(machine) {
        true => Ok(marked_servers(&machine.id)?.into_iter().next()),
        false => Ok(None),
    }
}

/// The machine's server.
pub(crate) fn existing(machine: &Machine) -> Result<Server, Error> {
    find(machine)?.ok_or_else(|| vanished(&machine.name))
}

pub(crate) fn start(server: &Server) -> Result<(), Error> {
    if matches!(server.status().state, State::Stopped | State::Stopping) {
        server.settle("off", SETTLING)?;
        server.act("poweron")?;
    }
    server.arrive("running").map(drop)
}

pub(crate) fn stop(server: &Server) -> Result<(), Error> {
    if server.status().state == State::Stopped {
        return Ok(());
    }
    server.act("shutdown")?;
    match server.settle("off", SHUTDOWN)? {
        Some(now) if now.status != "off" => {
            log::log(
                Level::Warning,
                "The server does not shut down; its plug is pulled",
            );
            kill(&now)
        }
        _ => Ok(()),
    }
}

pub(crate) fn kill(server: &Server) -> Result<(), Error> {
    if server.status().state == State::Stopped {
        return Ok(());
    }
    server.act("poweroff")?;
    server.arrive("off").map(drop)
}

/// Removes all that bears the machine's mark.
pub(crate) fn remove(machine: &Machine) -> Result<(), Error> {
    if !has_begun(machine) {
        return Ok(());
    }
    let mut errors = Vec::new();
    let mut note = |outcome: Result<(), Error>| errors.extend(outcome.err());
    match marked_servers(&machine.id) {
        Ok(servers) => servers
            .iter()
            .for_each(|server| note(delete_server(server))),
        Err(error) => note(Err(error)),
    }
    match marked::<SshKey>("ssh_keys", &machine.id) {
        Ok(keys) => keys.iter().for_each(|key| note(delete_key(key))),
        Err(error) => note(Err(error)),
    }
    let mut errors = errors.into_iter();
    let Some(mut first) = errors.next() else {
        return state::save("{}");
    };
    for error in errors.filter(|error| error.kind != first.kind) {
        first.message.push('\n');
        first.message.push_str(&error.message);
    }
    Err(first)
}

fn delete_server(server: &Server) -> Result<(), Error> {
    match delete::<Acting>(&format!("/servers/{}", server.id))? {
        Some(acting) => match acting.action.finish() {
            // Actions go with what they are about.
            Err(error) if error.kind == ErrorKind::NotFound => Ok(()),
            outcome => outcome,
        },
        None => Ok(()),
    }
}

fn delete_key(key: &SshKey) -> Result<(), Error> {
    delete::<Json>(&format!("/ssh_keys/{}", key.id)).map(drop)
}

/// Deletes something; nothing if it is gone already. Doing that twice does no harm.
fn delete<T: serde::de::DeserializeOwned>(path: &str) -> Result<Option<T>, Error> {
    let once = || api::call(Method::Delete, path, &[], None);
    let outcome = match once() {
        Err(Failure::Lost(_)) => once(),
        outcome => outcome,
    };
    match outcome {
        Ok(answer) => Ok(Some(answer)),
        Err(failure) if failure.is_not_found() => Ok(None),
        Err(failure) => Err(failure.into()),
    }
}

/// What bears the marks of any machine.
pub(crate) fn survey() -> Result<Vec<FoundMachine>, Error> {
    let mut found: Vec<FoundMachine> = Vec::new();
    let mut add = |labels: Labels, part: String| {
        if let Some(machine) = found.iter_mut().find(|machine| machine.id == labels.id) {
            machine.parts.push(part);
            return;
        }
        found.push(FoundMachine {
            name: labels.name,
            id: labels.id,
            parts: vec![part],
            saved: BEGUN.to_owned(),
        });
    };
    for server in list::<Server>("servers", ID_LABEL)? {
        let part = format!("server {} ({}), {}", server.name, server.id, server.status);
        add(server.labels, part);
    }
    for key in list::<SshKey>("ssh_keys", ID_LABEL)? {
        add(key.labels, format!("SSH key {} ({})", key.name, key.id));
    }
    Ok(found)
}

fn marked_servers(id: &str) -> Result<Vec<Server>, Error> {
    marked("servers", id)
}

fn marked<T: serde::de::DeserializeOwned>(list_name: &str, id: &str) -> Result<Vec<T>, Error> {
    list(list_name, &format!("{ID_LABEL}=={id}"))
}

/// All pages of a list.
fn list<T: serde::de::DeserializeOwned>(name: &str, selector: &str) -> Result<Vec<T>, Error> {
    let mut all = Vec::new();
    let mut next = Some(1);
    while let Some(page) = next {
        let page = page.to_string();
        let query = [
            ("label_selector", selector),
            ("per_page", "50"),
            ("page", &page),
        ];
        let page: Page<T> = get(&format!("/{name}"), &query)?;
        all.extend(page.items);
        next = page.meta.pagination.next_page;
    }
    Ok(all)
}

/// Whether something may have been made for the machine.
fn has_begun(machine: &Machine) -> bool {
    let saved: Json = serde_json::from_str(&machine.saved).unwrap_or_default();
    saved["Begun"] == true
}

/// The value of an option that is a text; nothing if it is empty.
fn text<'m>(machine: &'m Machine, option: &str) -> Option<&'m str> {
    let mut options = machine.options.iter();
    options.find_map(|(name, value)| match value {
        Value::Text(text) if name == option && !text.is_empty() => Some(text.as_str()),
        _ => None,
    })
}
