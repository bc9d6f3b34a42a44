//! `create`: makes a machine.
//!
//! Before each call that makes something, what is needed to find that again is saved. So nothing has to be undone here:
//! `remove`, which the host calls when this fails, is cancelled or is killed, finds it all.

use super::network::{self, Route};
use super::resolve::{self, Choice};
use super::saved::Saved;
use super::{ENGINE_PORT, SSH_PORT, SWARM_PORT, find_lost, name, settle, status};
use crate::cloudstack::{Cloud, Command, Deployed, Deployment, Error, VirtualMachine};
use crate::contract::keys::KeyType;
use crate::contract::log::Level;
use crate::contract::types::{self, ErrorKind, Machine, MachineStatus, State};
use crate::failure;
use crate::host::Host;
use crate::options::Settings;

/// How many steps the user sees.
const STEPS: u32 = 5;

/// Makes a machine.
///
/// # Errors
///
/// If the machine cannot be made. What was made until then is left for [`remove`](super::remove()).
pub fn create(host: &dyn Host, machine: &Machine) -> Result<MachineStatus, types::Error> {
    let settings = Settings::parse(machine)?;
    name::check(&machine.name)?;
    let creation = Creation {
        cloud: Cloud::new(host),
        machine,
        key_pair: name::key_pair(machine)?,
    };
    let mut saved = Saved::parse(&machine.saved)?;
    if let Some(id) = saved.vm_id() {
        return Err(failure::error(
            ErrorKind::Conflict,
            format!(
                "The machine \"{}\" has been made already: it is the virtual machine {id}",
                machine.name
            ),
        ));
    }

    creation.step(
        1,
        "Looking up the zone, the template and the service offering",
    );
    let choice = resolve::choice(&creation.cloud, &settings)?;

    creation.step(2, "Registering the SSH key");
    creation.register_key(&mut saved)?;

    creation.step(3, "Deploying the virtual machine");
    let vm = creation.deploy(&choice, &mut saved)?;

    let tagging = creation.begin_tagging(&vm)?;
    let address = match network::route(&creation.cloud, choice.zone.is_basic(), &vm)? {
        Route::Direct(address) => {
            creation.step(5, &format!("Using the address {address}"));
            address
        }
        Route::Forwarded(address) => {
            creation.step(5, &format!("Forwarding ports on {}", address.ipaddress));
            saved.set_address(&address.id, &address.ipaddress);
            saved.store(host)?;
            let mut ports = vec![SSH_PORT, ENGINE_PORT];
            if machine.swarm_master {
                ports.push(SWARM_PORT);
            }
            network::forward(&creation.cloud, &address, &vm.id, &ports)?;
            address.ipaddress
        }
    };
    creation.finish_tagging(tagging)?;
    Ok(status::at(State::Running, Some(address)))
}

struct Creation<'c> {
    cloud: Cloud<'c>,
    machine: &'c Machine,
    key_pair: String,
}

impl Creation<'_> {
    fn step(&self, number: u32, text: &str) {
        self.cloud.host().progress(text, number, STEPS);
    }

    fn register_key(&self, saved: &mut Saved) -> Result<(), types::Error> {
        let host = self.cloud.host();
        saved.set_key_pair(&self.key_pair);
        saved.store(host)?;
        let public_key = host.ssh_public_key(KeyType::Ed25519)?;
        let registered = self
            .cloud
            .register_ssh_key_pair(&self.key_pair, &public_key);
        match registered {
            Err(Error::Refused(refusal)) if refusal.is_invalid_key() => {
                host.log(
                    Level::Debug,
                    &format!("{refusal}; this cloud takes no Ed25519 key, so it gets an RSA key"),
                );
                let public_key = host.ssh_public_key(KeyType::Rsa)?;
                Ok(self
                    .cloud
                    .register_ssh_key_pair(&self.key_pair, &public_key)?)
            }
            registered => Ok(registered?),
        }
    }

    /// Deploys the virtual machine and waits until it runs.
    fn deploy(&self, choice: &Choice, saved: &mut Saved) -> Result<VirtualMachine, types::Error> {
        let host = self.cloud.host();
        saved.set_deploy_requested(true);
        saved.store(host)?;
        let deployed = self.cloud.deploy(&Deployment {
            name: &self.machine.name,
            zone_id: &choice.zone.id,
            template_id: &choice.template.id,
            service_offering_id: &choice.service_offering.id,
            key_pair: &self.key_pair,
        });
        let vm = match deployed {
            Ok(Deployed { id, jobid }) => {
                saved.set_vm_id(&id);
                saved.store(host)?;
                self.step(4, "Waiting for the virtual machine to start");
                self.cloud.wait(Command::DeployVirtualMachine, &jobid)?;
                self.cloud.virtual_machine(&id)?
            }
            Err(error) if error.is_outcome_unknown() => {
                let vm = self.adopt(error, saved)?;
                self.step(4, "Waiting for the virtual machine to start");
                Some(vm)
            }
            Err(error) => {
                // Nothing was made, so that `remove` need not wait for it to appear. Should this not be written, it
                // does.
                saved.set_deploy_requested(false);
                drop(saved.store(host));
                return Err(error.into());
            }
        };
        let vm = match vm {
            Some(vm) => settle(&self.cloud, vm)?,
            None => None,
        };
        let Some(vm) = vm else {
            return Err(failure::error(
                ErrorKind::Internal,
                "The virtual machine has disappeared while it started",
            ));
        };
        match vm.state.state() {
            State::Running => Ok(vm),
            _ => Err(failure::error(
                ErrorKind::Internal,
                format!(
                    "The virtual machine has not started, its state is {}",
                    vm.state.0
                ),
            )),
        }
    }

    /// Takes on the virtual machine of a deployment whose answer was lost. Deploying again could make a second one.
    fn adopt(&self, error: Error, saved: &mut Saved) -> Result<VirtualMachine, types::Error> {
        let host = self.cloud.host();
        host.log(
            Level::Warning,
            &format!("{error}; looking whether the virtual machine is being made"),
        );
        let vm = match find_lost(&self.cloud, self.machine, saved) {
            Ok(Some(vm)) => vm,
            Err(Error::Cancelled) => return Err(Error::Cancelled.into()),
            Ok(None) | Err(_) => return Err(error.into()),
        };
        saved.set_vm_id(&vm.id);
        saved.store(host)?;
        Ok(vm)
    }

    /// Has the virtual machine tagged, so that the account's owner can tell where it comes from. It works without too.
    fn begin_tagging(&self, vm: &VirtualMachine) -> Result<Option<String>, Error> {
        let tags = [
            ("docker-machine-id", self.machine.id.as_str()),
            ("docker-machine-name", self.machine.name.as_str()),
        ];
        let submitted = self.cloud.create_tags(&vm.id, &tags);
        self.optional(submitted.map(|submitted| submitted.jobid))
    }

    fn finish_tagging(&self, job_id: Option<String>) -> Result<(), Error> {
        let Some(job_id) = job_id else { return Ok(()) };
        let outcome = self.cloud.wait(Command::CreateTags, &job_id);
        self.optional(outcome).map(drop)
    }

    /// Turns an error into a warning, except that the user asked to stop.
    fn optional<T>(&self, outcome: Result<T, Error>) -> Result<Option<T>, Error> {
        match outcome {
            Ok(value) => Ok(Some(value)),
            Err(Error::Cancelled) => Err(Error::Cancelled),
            Err(error) => {
                let line = format!("The virtual machine could not be tagged: {error}");
                self.cloud.host().log(Level::Warning, &line);
                Ok(None)
            }
        }
    }
}
