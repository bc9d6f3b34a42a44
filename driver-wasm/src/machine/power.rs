//! `start`, `stop`, `kill` and `restart`.

use super::saved::Saved;
use super::{SETTLE_LIMIT, cloud_of, find, settle};
use crate::cloudstack::{Cloud, Error, VirtualMachine};
use crate::contract::types::{self, ErrorKind, Machine, State};
use crate::failure;
use crate::flavour::CLOUD;
use crate::host::Host;

/// Starts a machine and waits until it runs.
///
/// # Errors
///
/// If it does not start.
pub fn start(host: &dyn Host, machine: &Machine) -> Result<(), types::Error> {
    change(host, machine, Change::Start)
}

/// Has a machine's operating system shut it down, and waits for that.
///
/// # Errors
///
/// If it does not stop.
pub fn stop(host: &dyn Host, machine: &Machine) -> Result<(), types::Error> {
    change(host, machine, Change::Stop)
}

/// Stops a machine at once.
///
/// # Errors
///
/// If it does not stop.
pub fn kill(host: &dyn Host, machine: &Machine) -> Result<(), types::Error> {
    change(host, machine, Change::Kill)
}

/// Restarts a machine, or starts it if it is stopped.
///
/// # Errors
///
/// If it does not restart.
pub fn restart(host: &dyn Host, machine: &Machine) -> Result<(), types::Error> {
    change(host, machine, Change::Restart)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Start,
    Stop,
    Kill,
    Restart,
}

impl Change {
    /// Whether a machine in that state needs nothing done.
    fn is_done(self, vm: &VirtualMachine) -> bool {
        match self {
            Self::Start => vm.state.state() == State::Running,
            Self::Stop | Self::Kill => vm.state.state() == State::Stopped,
            Self::Restart => false,
        }
    }

    /// Whether it has to wait until a machine is in a state that it does not leave by itself.
    fn has_to_wait(self, vm: &VirtualMachine) -> bool {
        // Who kills a machine may do so because it does not stop.
        let is_hanging = self == Self::Kill && vm.state.state() == State::Stopping;
        vm.state.is_transitional() && !is_hanging
    }

    fn carry_out(self, cloud: &Cloud<'_>, vm: &VirtualMachine) -> Result<(), Error> {
        match self {
            Self::Stop => cloud.stop(&vm.id),
            Self::Kill => cloud.stop_by_force(&vm.id),
            Self::Restart if vm.state.state() != State::Stopped => cloud.reboot(&vm.id),
            Self::Start | Self::Restart => cloud.start(&vm.id),
        }
    }
}

fn change(host: &dyn Host, machine: &Machine, change: Change) -> Result<(), types::Error> {
    let saved = Saved::of(machine)?;
    let cloud = cloud_of(host, &machine.options, saved.project_id());
    let not_found = || not_found(machine, &saved);

    let mut vm = existing(find(&cloud, machine, &saved)?).ok_or_else(not_found)?;
    if !change.is_done(&vm) && change.has_to_wait(&vm) {
        vm = existing(settle(&cloud, vm, SETTLE_LIMIT)?).ok_or_else(not_found)?;
    }
    if change.is_done(&vm) {
        return Ok(());
    }
    match change.carry_out(&cloud, &vm) {
        Err(error) if error.is_gone() => Err(not_found()),
        Err(error) if error.is_outcome_unknown() => match was_made(&cloud, change, &vm.id) {
            Ok(true) => Ok(()),
            Err(Error::Cancelled) => Err(Error::Cancelled.into()),
            Ok(false) | Err(_) => Err(error.into()),
        },
        outcome => Ok(outcome?),
    }
}

/// Whether a change whose answer was lost has been made all the same.
fn was_made(cloud: &Cloud<'_>, change: Change, vm_id: &str) -> Result<bool, Error> {
    let vm = match cloud.virtual_machine(vm_id)? {
        Some(vm) => settle(cloud, vm, SETTLE_LIMIT)?,
        None => None,
    };
    Ok(vm.is_some_and(|vm| change.is_done(&vm)))
}

/// The virtual machine if there is one that is not destroyed.
fn existing(vm: Option<VirtualMachine>) -> Option<VirtualMachine> {
    vm.filter(|vm| !vm.state.is_gone())
}

/// rancher-machine looks for the words "not found".
fn not_found(machine: &Machine, saved: &Saved) -> types::Error {
    let name = &machine.name;
    let detail = match (saved.vm_id(), saved.key_pair()) {
        (Some(id), _) => format!("has no virtual machine with id {id}"),
        (None, Some(key_pair)) => {
            format!("has no virtual machine with the SSH key pair {key_pair}")
        }
        (None, None) => "was never asked to make it".to_owned(),
    };
    failure::error(
        ErrorKind::NotFound,
        format!("machine \"{name}\" not found: {CLOUD} {detail}"),
    )
}
