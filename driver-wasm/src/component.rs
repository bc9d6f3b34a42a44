//! The component: the contract's exports, which call the driver's logic with the contract's imports.

use crate::contract::clock::{self, Interruption};
use crate::contract::http::{self, Failure, Request, Response};
use crate::contract::inventory::{self, Candidate, Limit, ListableOption};
use crate::contract::keys::{self, KeyType};
use crate::contract::lifecycle::Guest;
use crate::contract::log::{self, Level};
use crate::contract::state;
use crate::contract::types::{Description, Error, FoundMachine, Machine, MachineStatus, Value};
use crate::host::Host;
use crate::machine;

/// The host on the other side of the contract.
struct Imports;

impl Host for Imports {
    fn send(&self, request: &Request) -> Result<Response, Failure> {
        http::send(request)
    }

    fn ssh_public_key(&self, key_type: KeyType) -> Result<String, Error> {
        keys::ssh_public_key(key_type)
    }

    fn save(&self, json: &str) -> Result<(), Error> {
        state::save(json)
    }

    fn now(&self) -> u64 {
        clock::now()
    }

    fn sleep(&self, ms: u64) -> Result<(), Interruption> {
        clock::sleep(ms)
    }

    fn log(&self, level: Level, line: &str) {
        log::log(level, line);
    }

    fn progress(&self, step: &str, number: u32, of: u32) {
        log::progress(step, number, of);
    }
}

/// What the host instantiates.
pub(crate) struct Component;

impl Guest for Component {
    fn describe() -> Description {
        machine::describe()
    }

    fn check(machine: Machine) -> Result<(), Error> {
        machine::check(&Imports, &machine)
    }

    fn create(machine: Machine) -> Result<MachineStatus, Error> {
        machine::create(&Imports, &machine)
    }

    fn start(machine: Machine) -> Result<(), Error> {
        machine::start(&Imports, &machine)
    }

    fn stop(machine: Machine) -> Result<(), Error> {
        machine::stop(&Imports, &machine)
    }

    fn kill(machine: Machine) -> Result<(), Error> {
        machine::kill(&Imports, &machine)
    }

    fn restart(machine: Machine) -> Result<(), Error> {
        machine::restart(&Imports, &machine)
    }

    fn remove(machine: Machine) -> Result<(), Error> {
        machine::remove(&Imports, &machine)
    }

    fn status(machines: Vec<Machine>) -> Vec<Result<MachineStatus, Error>> {
        machine::status(&Imports, &machines)
    }

    fn survey(options: Vec<(String, Value)>) -> Result<Vec<FoundMachine>, Error> {
        machine::survey(&Imports, &options)
    }
}

impl inventory::Guest for Component {
    fn listable() -> Vec<ListableOption> {
        machine::listable()
    }

    fn candidates(options: Vec<(String, Value)>, option: String) -> Result<Vec<Candidate>, Error> {
        machine::candidates(&Imports, &options, &option)
    }

    fn limits(options: Vec<(String, Value)>) -> Result<Vec<Limit>, Error> {
        machine::limits(&Imports, &options)
    }
}
