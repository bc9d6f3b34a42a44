//! The operations against a small cloud.

mod check;
mod create;
mod power;
mod remove;
mod status;

use super::*;
use crate::contract::http::Method;
use crate::contract::keys::KeyType;
use crate::contract::types::{self, ErrorKind, MachineStatus, State, Value};
use crate::flavour::members::{ADDRESS as ADDRESS_MEMBER, ADDRESS_ID, KEY_PAIR, VM_ID};
use crate::flavour::{self, CLOUD};
use crate::options::{
    ADDRESS, API_KEY, CPU, CPU_SPEED, Expunge, MEMORY, PUBLIC_IP, SERVICE_OFFERING, TEMPLATE, ZONE,
};
use crate::testing::{
    Answer, FakeCloud, Fault, GONE, NetworkKind, Server, TestHost, machine, param, params,
};
use NetworkKind::{Basic, Isolated, L2, Shared, Vpc};
use serde_json::{Value as Json, json};

const LOOKUPS: [&str; 4] = [
    "listZones",
    "listTemplates",
    "listServiceOfferings",
    "listNetworks",
];
const MARK: &str = "m1-0123456789abcdef0123";

fn with(saved: &str) -> Machine {
    Machine {
        saved: saved.to_owned(),
        ..machine()
    }
}

/// A machine that an older driver made.
fn old() -> Machine {
    let saved = json!({VM_ID: "vm-old", KEY_PAIR: "m1-key", "MachineName": "m1"});
    Machine {
        id: String::new(),
        ..with(&saved.to_string())
    }
}

/// Creates a machine which, in a network where its own address is not reached, is reached by forwarded ports. That is not
/// every flavour's default.
fn create<S: Server>(host: &TestHost<S>, machine: &Machine) -> Result<MachineStatus, types::Error> {
    let mut machine = machine.clone();
    if matches!(host.server.borrow().network(), Isolated | Vpc) {
        let mode = Value::Text("port-forward".to_owned());
        machine.options.push((ADDRESS.to_owned(), mode));
    }
    super::create(host, &machine)
}

fn saved_json(host: &TestHost<FakeCloud>) -> Json {
    serde_json::from_str(&host.saved.borrow()).unwrap()
}

fn at_address(state: State, ip: Option<&str>) -> MachineStatus {
    let access = crate::machine::status::Access::of(&machine(), &Saved::default()).unwrap();
    access.at(state, ip.map(str::to_owned))
}

/// The same machine, made with a data disk.
fn with_data_disk(mut machine: Machine) -> Machine {
    let offering = Value::Text("d".to_owned());
    let name = crate::options::DISK_OFFERING.to_owned();
    machine.options.push((name, offering));
    machine
}

/// Removes what a create has left, as the host does: with what was saved, and without regard for the user's wish to
/// stop.
fn remove_what_is_left(host: &TestHost<FakeCloud>) -> Result<(), types::Error> {
    host.sleeps_left.set(None);
    host.server.borrow_mut().heal();
    let machine = with(&host.saved.borrow());
    remove(host, &machine)
}

fn contents(host: &TestHost<FakeCloud>) -> Vec<String> {
    host.server.borrow_mut().contents(host.now.get())
}

fn expect_calls(host: &TestHost<FakeCloud>, parts: &[&[&str]]) {
    assert_eq!(host.commands(), parts.concat());
}
