//! `status`: how machines do.

use super::saved::Saved;
use super::{ENGINE_PORT, SSH_PORT, cloud_of, find, main_nic};
use crate::cloudstack::{Cloud, Error, PortForwardingRule, VirtualMachine};
use crate::contract::types::{self, Machine, MachineStatus, State};
use crate::host::Host;
use crate::options;

/// How machines do, in their order: with one call for a single machine, and for several with one for each page of the
/// machines of the account, and of each of their projects.
pub fn status(host: &dyn Host, machines: &[Machine]) -> Vec<Result<MachineStatus, types::Error>> {
    let is_single = machines.len() == 1;
    let mut surveys: Vec<Snapshot<'_>> = Vec::new();
    let mut one = |machine: &Machine| {
        let saved = Saved::of(machine)?;
        let project = saved.project_id();
        let known = surveys
            .iter()
            .position(|survey| survey.project.as_deref() == project);
        let mut survey = match known {
            Some(index) => surveys.swap_remove(index),
            None => {
                let cloud = cloud_of(host, &machine.options, project);
                Snapshot::begin(cloud, project, is_single)
            }
        };
        let status = survey.status(machine, &saved, is_single);
        surveys.push(survey);
        status
    };
    machines.iter().map(&mut one).collect()
}

/// How a machine is logged in to, and where its engine is.
pub(super) struct Access {
    user: String,
    ssh_port: u16,
    engine_port: u16,
}

impl Access {
    /// As the machine's options say, unless other public ports lead there.
    pub(super) fn of(machine: &Machine, saved: &Saved) -> Result<Self, types::Error> {
        let ssh_port = match saved.public_ssh_port() {
            Some(port) => port,
            None => options::ssh_port(machine)?,
        };
        Ok(Self {
            user: options::ssh_user(machine),
            ssh_port,
            engine_port: saved.public_engine_port().unwrap_or(ENGINE_PORT),
        })
    }

    /// The status of the machine in a state, at an address.
    pub(super) fn at(self, state: State, ip: Option<String>) -> MachineStatus {
        MachineStatus {
            state,
            ssh_user: self.user,
            ssh_host: ip.clone().unwrap_or_default(),
            ip,
            ssh_port: self.ssh_port,
            engine_port: self.engine_port,
        }
    }
}

/// The machines of a project, or of the account.
struct Snapshot<'h> {
    cloud: Cloud<'h>,
    project: Option<String>,
    /// In the order of their ids.
    vms: Result<Vec<VirtualMachine>, Error>,
    rules: Rules,
}

/// All port forwarding rules of the account, once they were needed.
#[derive(Default)]
struct Rules(Option<Vec<PortForwardingRule>>);

impl<'h> Snapshot<'h> {
    fn begin(cloud: Cloud<'h>, project: Option<&str>, is_single: bool) -> Self {
        let mut vms = match is_single {
            true => Ok(Vec::new()),
            false => cloud.all_virtual_machines(),
        };
        if let Ok(vms) = &mut vms {
            vms.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        }
        Self {
            cloud,
            project: project.map(str::to_owned),
            vms,
            rules: Rules::default(),
        }
    }

    fn status(
        &mut self,
        machine: &Machine,
        saved: &Saved,
        is_single: bool,
    ) -> Result<MachineStatus, types::Error> {
        let access = Access::of(machine, saved)?;
        let found;
        let vm = if is_single {
            found = find(&self.cloud, machine, saved)?;
            found.as_ref()
        } else {
            let vms = self.vms.as_deref().map_err(Error::clone)?;
            listed(vms, machine, saved)
        };
        let Some(vm) = vm.filter(|vm| !vm.state.is_gone()) else {
            return Ok(access.at(State::NotFound, None));
        };
        let address = self.rules.address(&self.cloud, vm, saved)?;
        Ok(access.at(vm.state.state(), address))
    }
}

/// The virtual machine of a machine, among those of the account in the order of their ids.
fn listed<'v>(
    vms: &'v [VirtualMachine],
    machine: &Machine,
    saved: &Saved,
) -> Option<&'v VirtualMachine> {
    if let Some(id) = saved.vm_id() {
        let index = vms.binary_search_by(|vm| vm.id.as_str().cmp(id)).ok()?;
        return vms.get(index);
    }
    let key_pair = saved.key_pair()?;
    vms.iter()
        .find(|vm| vm.name == machine.name && vm.has_key_pair(key_pair))
}

impl Rules {
    /// The address under which a virtual machine is reached. For one that the driver of 2016 made in an isolated
    /// network it is not saved: there it is the one of its forwarded ports.
    fn address(
        &mut self,
        cloud: &Cloud<'_>,
        vm: &VirtualMachine,
        saved: &Saved,
    ) -> Result<Option<String>, Error> {
        if let Some(address) = saved.address() {
            return Ok(Some(address.to_owned()));
        }
        let Some(nic) = main_nic(vm, saved) else {
            return Ok(None);
        };
        let own = || nic.address().map(str::to_owned);
        if nic.is_shared() {
            return Ok(own());
        }
        if vm.state.state() != State::Running {
            return Ok(None);
        }
        let rules = match self.0.take() {
            Some(rules) => rules,
            None => cloud.port_forwarding_rules(None)?,
        };
        let leads_here = |rule: &&PortForwardingRule| {
            rule.virtualmachineid == vm.id && rule.publicport == Some(SSH_PORT)
        };
        let forwarded = rules.iter().find(leads_here).map(|r| r.ipaddress.clone());
        self.0 = Some(rules);
        // Without a rule, and where old versions do not tell the network's type, it is a shared network.
        Ok(forwarded.or_else(|| nic.network_type.is_empty().then(own).flatten()))
    }
}
