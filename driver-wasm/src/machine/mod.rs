//! The operations on a machine.

mod check;
mod create;
mod describe;
mod inventory;
mod name;
mod network;
mod power;
mod remove;
mod resolve;
mod saved;
mod security_group;
mod status;
mod survey;
#[cfg(test)]
mod tests;

pub use check::check;
pub use create::create;
pub use describe::describe;
pub use inventory::{candidates, limits, listable};
pub use power::{kill, restart, start, stop};
pub use remove::remove;
pub use status::status;
pub use survey::survey;

use crate::cloudstack::{Backoff, Cloud, Error, Nic, VirtualMachine};
use crate::contract::log::Level;
use crate::contract::types::Machine;
use crate::flavour;
use crate::host::Host;
use crate::options::Values;

pub(crate) use saved::Saved;

/// The port of SSH.
const SSH_PORT: u16 = 22;
/// The port of the Docker engine.
const ENGINE_PORT: u16 = 2376;
/// The port of the master of a Docker Swarm.
const SWARM_PORT: u16 = 3376;

/// How long a virtual machine may take to leave a state that it leaves by itself, in milliseconds.
const SETTLE_LIMIT: u64 = 10 * 60_000;

/// The cloud as a project sees it, called as the options say.
fn cloud_of<'h>(host: &'h dyn Host, options: &Values, project_id: Option<&str>) -> Cloud<'h> {
    Cloud::new(host)
        .by_get(flavour::uses_get_only(options))
        .of_project(project_id.map(str::to_owned))
}

/// Turns an error into a warning, except that the user asked to stop.
fn optional<T>(
    cloud: &Cloud<'_>,
    what: &str,
    outcome: Result<T, Error>,
) -> Result<Option<T>, Error> {
    match outcome {
        Ok(value) => Ok(Some(value)),
        Err(Error::Cancelled) => Err(Error::Cancelled),
        Err(error) => {
            let line = format!("{what}: {error}");
            cloud.host().log(Level::Warning, &line);
            Ok(None)
        }
    }
}

/// The machine's virtual machine: the one whose id is saved, or else the one that bears the machine's mark.
fn find(
    cloud: &Cloud<'_>,
    machine: &Machine,
    saved: &Saved,
) -> Result<Option<VirtualMachine>, Error> {
    if let Some(id) = saved.vm_id() {
        return cloud.virtual_machine(id);
    }
    match saved.key_pair() {
        Some(key_pair) => cloud.virtual_machine_with_key_pair(&machine.name, key_pair),
        None => Ok(None),
    }
}

/// Looks for the virtual machine of a deployment whose answer was lost. CloudStack may still be at it, so this looks
/// more than once.
fn find_lost(
    cloud: &Cloud<'_>,
    machine: &Machine,
    saved: &Saved,
) -> Result<Option<VirtualMachine>, Error> {
    /// CloudStack records a machine before it answers, within moments.
    const PATIENCE: u64 = 15_000;
    let mut backoff = Backoff::new(cloud.client(), PATIENCE);
    loop {
        let found = find(cloud, machine, saved);
        // What lost the answer may not be over yet.
        let is_final = match &found {
            Ok(vm) => vm.is_some(),
            Err(error) => !error.is_outage(),
        };
        if is_final || !backoff.pause(cloud.client())? {
            return found;
        }
    }
}

/// The interface by which a virtual machine is reached.
fn main_nic<'v>(vm: &'v VirtualMachine, saved: &Saved) -> Option<&'v Nic> {
    let main = saved.main_network().and_then(|id| vm.nic_in(id));
    main.or_else(|| vm.default_nic())
}

/// Waits until a virtual machine is in a state that it does not leave by itself, and reads it anew; nothing if it is
/// gone. After `limit` milliseconds it is returned in the state that it is still in.
fn settle(
    cloud: &Cloud<'_>,
    mut vm: VirtualMachine,
    limit: u64,
) -> Result<Option<VirtualMachine>, Error> {
    let mut backoff = Backoff::new(cloud.client(), limit);
    while vm.state.is_transitional() && backoff.pause(cloud.client())? {
        match cloud.virtual_machine(&vm.id)? {
            Some(now) => vm = now,
            None => return Ok(None),
        }
    }
    Ok(Some(vm))
}
