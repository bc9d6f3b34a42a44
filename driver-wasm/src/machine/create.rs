//! `create`: makes a machine.
//!
//! Before each call that makes something, what is needed to find that again is saved. So nothing has to be undone here:
//! `remove`, which the host calls when this fails, is cancelled or is killed, finds it all.

use super::network::{self, Exposure};
use super::resolve::{self, Choice, Networks};
use super::saved::Saved;
use super::status::Access;
use super::{find_lost, name, optional, security_group, settle};
use crate::cloudstack::{
    Cloud, Command, Created, Deployment, Error, Item, Network, NetworkOffering, VirtualMachine,
};
use crate::contract::keys::KeyType;
use crate::contract::log::Level;
use crate::contract::types::{self, ErrorKind, Machine, MachineStatus, State};
use crate::host::Host;
use crate::options::{self, KEY_PAIR, MARKS, SSH_KEY, Settings};
use crate::{failure, flavour};

/// Makes a machine.
///
/// # Errors
///
/// If the machine cannot be made. What was made until then is left for [`remove`](super::remove()).
pub fn create(host: &dyn Host, machine: &Machine) -> Result<MachineStatus, types::Error> {
    let settings = Settings::parse(machine)?;
    name::check(&machine.name)?;
    let mut saved = Saved::of(machine)?;
    if let Some(id) = saved.vm_id() {
        return Err(failure::error(
            ErrorKind::Conflict,
            format!(
                "The machine \"{}\" has been made already: it is the virtual machine {id}",
                machine.name
            ),
        ));
    }
    let mark = name::mark(machine)?;

    // How many steps there are is only known after the first.
    host.progress(LOOKING_UP, 1, STEPS);
    let (cloud, choice) = resolve::choice(host, machine, &settings)?;
    let mut steps = Steps {
        host,
        number: 1,
        of: STEPS,
    };
    let mut creation = Creation {
        cloud,
        machine,
        settings: &settings,
        marks: [
            (MARKS[0], machine.id.as_str()),
            (MARKS[1], machine.name.as_str()),
        ],
        ssh_port: options::ssh_port(machine)?,
        has_given_key: options::has_ssh_key(machine),
        mark,
        choice,
    };

    saved.begin(&creation.mark, creation.choice.project_id.as_deref());
    saved.set_unfinished(true);
    if let Networks::These(networks, number @ 1..) = &creation.choice.networks
        && let Some(main) = networks.get(*number)
    {
        saved.set_main_network(&main.id);
    }
    if let Networks::New(offering) = &creation.choice.networks {
        let offering = offering.clone();
        steps.of += 1;
        steps.begin("Making a network");
        let network = creation.make_network(&offering, &mut saved)?;
        creation.choice.networks = Networks::These(vec![network], 0);
    } else if let Some(network) = creation.choice.networks.main()
        && network.tags.get(MARKS[0]).is_some()
    {
        // It was made for another machine, which may be removed before this one.
        saved.set_new_network(&network.name);
    }
    let mut security_groups: Vec<_> = creation.choice.security_groups.iter().collect();
    let own_group;
    if creation.choice.zone.securitygroupsenabled {
        steps.of += 1;
        steps.begin("Making a security group");
        own_group = creation.make_security_group(&mut saved)?;
        security_groups.insert(0, &own_group);
    }

    steps.begin("Registering the SSH key");
    creation.register_key(&mut saved)?;

    steps.begin("Deploying the virtual machine");
    let group_ids = security_groups
        .iter()
        .map(|group| group.id.as_str())
        .collect();
    let vm = creation.deploy(group_ids, &mut saved, &mut steps)?;

    let tagging = creation.begin_tagging(&vm, &mut saved)?;
    let exposure = Exposure {
        cloud: &creation.cloud,
        settings: &settings,
        marks: &creation.marks,
        machine_id: &machine.id,
        is_swarm_master: machine.swarm_master,
        ssh_port: creation.ssh_port,
    };
    let address = exposure.open(
        &vm,
        creation.choice.networks.main(),
        creation.choice.public_address.as_ref(),
        &mut saved,
        |text| steps.begin(text),
    )?;
    creation.finish_tagging(tagging)?;
    saved.set_unfinished(false);
    saved.store(host)?;
    Ok(Access::of(machine, &saved)?.at(State::Running, Some(address)))
}

/// What the first step is.
const LOOKING_UP: &str = "Looking up what the options name";

/// How many steps there are, if neither a network nor a security group is made.
const STEPS: u32 = 5;

/// The steps that the user sees.
struct Steps<'h> {
    host: &'h dyn Host,
    number: u32,
    of: u32,
}

impl Steps<'_> {
    fn begin(&mut self, text: &str) {
        self.number += 1;
        self.host.progress(text, self.number, self.of);
    }
}

struct Creation<'c> {
    cloud: Cloud<'c>,
    machine: &'c Machine,
    settings: &'c Settings,
    /// The tags of all that is made.
    marks: [(&'c str, &'c str); 2],
    /// The port on which the machine's SSH server listens.
    ssh_port: u16,
    /// Whether the user gave the machine's SSH key.
    has_given_key: bool,
    /// The name of all that is made under a name of its own.
    mark: String,
    choice: Choice,
}

impl Creation<'_> {
    fn make_network(
        &self,
        offering: &NetworkOffering,
        saved: &mut Saved,
    ) -> Result<Network, types::Error> {
        saved.set_new_network(&self.mark);
        saved.store(self.cloud.host())?;
        let zone_id = &self.choice.zone.id;
        let network = self
            .cloud
            .create_network(&self.mark, &offering.id, zone_id)?;
        let tagged = self
            .cloud
            .create_tags("Network", &[&network.id], &self.marks);
        optional(&self.cloud, "The network could not be tagged", tagged)?;
        Ok(network)
    }

    fn make_security_group(&self, saved: &mut Saved) -> Result<Item, types::Error> {
        saved.set_security_group(&self.mark);
        saved.store(self.cloud.host())?;
        let ports = network::ports(self.settings, self.ssh_port, self.machine.swarm_master);
        let cidrs = network::cidrs(self.settings);
        Ok(security_group::make(
            &self.cloud,
            &self.mark,
            &self.marks,
            &ports,
            &cidrs,
        )?)
    }

    fn register_key(&self, saved: &mut Saved) -> Result<(), types::Error> {
        let host = self.cloud.host();
        saved.store(host)?;
        let public_key = host.ssh_public_key(KeyType::Ed25519)?;
        let registered = self.cloud.register_ssh_key_pair(&self.mark, &public_key);
        let registered = match registered {
            Err(Error::Refused(refusal)) if refusal.is_invalid_key() => {
                host.log(
                    Level::Debug,
                    &format!("{refusal}; this cloud takes no Ed25519 key, so it gets an RSA key"),
                );
                let public_key = host.ssh_public_key(KeyType::Rsa)?;
                self.cloud.register_ssh_key_pair(&self.mark, &public_key)
            }
            registered => registered,
        };
        let key_pair = match registered {
            Err(Error::Refused(refusal)) if self.has_given_key && refusal.is_known_key() => {
                return Err(failure::hinted(
                    ErrorKind::Conflict,
                    format!(
                        "This SSH key is registered already, and CloudStack takes a key only once\n  {refusal}"
                    ),
                    format!(
                        "Leave --{SSH_KEY} out, so that the machine gets a key of its own, and have yours let in too with \
                         --{KEY_PAIR} and the name under which it is registered"
                    ),
                ));
            }
            registered => registered?,
        };
        if !key_pair.account.is_empty() {
            // Saved with the deployment: whoever removes the machine must have the keys of this account.
            saved.set_account(&key_pair.account);
        }
        Ok(())
    }

    /// Deploys the virtual machine and waits until it runs.
    fn deploy(
        &self,
        security_group_ids: Vec<&str>,
        saved: &mut Saved,
        steps: &mut Steps<'_>,
    ) -> Result<VirtualMachine, types::Error> {
        let host = self.cloud.host();
        saved.set_deploy_requested(true);
        saved.store(host)?;
        let (choice, settings) = (&self.choice, self.settings);
        let further = settings.key_pairs.iter().map(String::as_str);
        let ids = |items: &'_ [Item]| items.iter().map(|item| item.id.clone()).collect::<Vec<_>>();
        let affinity_group_ids = ids(&choice.affinity_groups);
        let deployed = self.cloud.deploy(&Deployment {
            name: &self.machine.name,
            display_name: settings
                .display_name
                .as_deref()
                .unwrap_or(&self.machine.name),
            group: settings.group.as_deref(),
            zone_id: &choice.zone.id,
            template_id: &choice.template.id,
            service_offering_id: &choice.service_offering.id,
            key_pairs: std::iter::once(self.mark.as_str()).chain(further).collect(),
            network_ids: choice.networks.ids(),
            security_group_ids,
            affinity_group_ids: affinity_group_ids.iter().map(String::as_str).collect(),
            disk_offering_id: choice
                .disk_offering
                .as_ref()
                .map(|offering| offering.id.as_str()),
            disk_size: settings.disk_size,
            root_disk_size: settings.root_disk_size,
            cpu: settings.cpu,
            cpu_speed: settings.cpu_speed,
            memory: settings.memory,
            user_data: settings.user_data.as_deref(),
        });
        let waiting = match choice.networks.main() {
            Some(network) if network.state == "Allocated" => {
                "Waiting for the network's virtual router and the virtual machine to start"
            }
            _ => "Waiting for the virtual machine to start",
        };
        let vm = match deployed {
            Ok(Created { id, jobid }) => {
                saved.set_vm_id(&id);
                saved.store(host)?;
                steps.begin(waiting);
                self.cloud
                    .wait_for(Command::DeployVirtualMachine, &jobid, settings.timeout)?;
                self.cloud.virtual_machine(&id)?
            }
            Err(error) if error.is_outcome_unknown() => {
                let vm = self.adopt(error, saved)?;
                steps.begin(waiting);
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
            Some(vm) => settle(&self.cloud, vm, settings.timeout)?,
            None => None,
        };
        let Some(vm) = vm else {
            return Err(failure::error(
                ErrorKind::Internal,
                "The virtual machine has disappeared while it started",
            ));
        };
        if !vm.account.is_empty() && saved.account().is_none() {
            saved.set_account(&vm.account);
            saved.store(host)?;
        }
        match vm.state.state() {
            State::Running => Ok(vm),
            _ => Err(failure::error(
                ErrorKind::Internal,
                format!(
                    "The virtual machine has not started: its state is {}",
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

    /// Has the virtual machine tagged, so that the account's owner can tell where it comes from. The machine works without tags.
    fn begin_tagging(
        &self,
        vm: &VirtualMachine,
        saved: &mut Saved,
    ) -> Result<Option<String>, types::Error> {
        let given = self.settings.tags.iter();
        let given = given.map(|(key, value)| (key.as_str(), value.as_str()));
        let tags: Vec<_> = self.marks.into_iter().chain(given).collect();
        let submitted = self.cloud.create_tags("UserVm", &[&vm.id], &tags);
        let submitted = optional(&self.cloud, UNTAGGED, submitted)?;
        if self.choice.disk_offering.is_some() && flavour::deletes_volumes(self.machine) {
            let ids = self.note_volumes(vm, saved)?;
            let ids: Vec<_> = ids.iter().map(String::as_str).collect();
            if !ids.is_empty() {
                let tagged = self.cloud.create_tags("Volume", &ids, &self.marks);
                optional(&self.cloud, "The data disk could not be tagged", tagged)?;
            }
        }
        Ok(submitted.map(|submitted| submitted.jobid))
    }

    /// Notes the data disks that were made with the virtual machine, which are removed with it. Disks that the user
    /// attaches later are not the driver's.
    fn note_volumes(
        &self,
        vm: &VirtualMachine,
        saved: &mut Saved,
    ) -> Result<Vec<String>, types::Error> {
        // Without them a removal could not tell them from the user's, so that the creation fails where they are not known.
        let volumes = self.cloud.data_volumes(Some(&vm.id))?;
        let ids: Vec<_> = volumes.into_iter().map(|volume| volume.id).collect();
        saved.set_data_volumes(&ids);
        saved.store(self.cloud.host())?;
        Ok(ids)
    }

    fn finish_tagging(&self, job_id: Option<String>) -> Result<(), Error> {
        let Some(job_id) = job_id else { return Ok(()) };
        let outcome = self.cloud.wait(Command::CreateTags, &job_id);
        optional(&self.cloud, UNTAGGED, outcome).map(drop)
    }
}

/// What the user reads before the reason.
const UNTAGGED: &str = "The virtual machine could not be tagged";
