//! `status`: how machines do.

use super::saved::Saved;
use super::{ENGINE_PORT, SSH_PORT, SSH_USER, find};
use crate::cloudstack::{Cloud, Error, PortForwardingRule, VirtualMachine};
use crate::contract::types::{self, Machine, MachineStatus, State};
use crate::host::Host;

/// How machines do, in their order: with one call for a single machine, and with one for each page of the account's
/// machines for several.
pub fn status(host: &dyn Host, machines: &[Machine]) -> Vec<Result<MachineStatus, types::Error>> {
    let mut survey = Survey {
        cloud: Cloud::new(host),
        vms: Vec::new(),
        rules: None,
    };
    if machines.len() > 1 {
        match survey.cloud.all_virtual_machines() {
            Ok(vms) => survey.vms = vms,
            Err(error) => return machines.iter().map(|_| Err(error.clone().into())).collect(),
        }
    }
    let is_single = machines.len() == 1;
    machines
        .iter()
        .map(|machine| survey.status(machine, is_single))
        .collect()
}

/// The status of a machine in a state, at an address.
pub(super) fn at(state: State, ip: Option<String>) -> MachineStatus {
    MachineStatus {
        state,
        ssh_user: SSH_USER.to_owned(),
        ssh_host: ip.clone().unwrap_or_default(),
        ip,
        ssh_port: SSH_PORT,
        engine_port: ENGINE_PORT,
    }
}

struct Survey<'h> {
    cloud: Cloud<'h>,
    vms: Vec<VirtualMachine>,
    /// All rules of the account, once they were needed.
    rules: Option<Vec<PortForwardingRule>>,
}

impl Survey<'_> {
    fn status(
        &mut self,
        machine: &Machine,
        is_single: bool,
    ) -> Result<MachineStatus, types::Error> {
        let saved = Saved::parse(&machine.saved)?;
        let vm = if is_single {
            find(&self.cloud, machine, &saved)?
        } else {
            self.listed(machine, &saved)
        };
        let Some(vm) = vm.filter(|vm| !vm.state.is_gone()) else {
            return Ok(at(State::NotFound, None));
        };
        let address = self.address(&vm, &saved)?;
        Ok(at(vm.state.state(), address))
    }

    fn listed(&self, machine: &Machine, saved: &Saved) -> Option<VirtualMachine> {
        let is_it = |vm: &&VirtualMachine| match (saved.vm_id(), saved.key_pair()) {
            (Some(id), _) => vm.id == id,
            (None, Some(key_pair)) => vm.name == machine.name && vm.has_key_pair(key_pair),
            (None, None) => false,
        };
        self.vms.iter().find(is_it).cloned()
    }

    /// The address under which a virtual machine is reached. For one that the driver of 2016 made in an isolated
    /// network it is not saved: there it is the one of its forwarded ports.
    fn address(&mut self, vm: &VirtualMachine, saved: &Saved) -> Result<Option<String>, Error> {
        if let Some(address) = saved.address() {
            return Ok(Some(address.to_owned()));
        }
        let Some(nic) = vm.default_nic() else {
            return Ok(None);
        };
        let own = || nic.address().map(str::to_owned);
        if nic.is_shared() {
            return Ok(own());
        }
        if vm.state.state() != State::Running {
            return Ok(None);
        }
        let rules = match self.rules.take() {
            Some(rules) => rules,
            None => self.cloud.port_forwarding_rules(None)?,
        };
        let leads_here = |rule: &&PortForwardingRule| {
            rule.virtualmachineid == vm.id && rule.publicport == Some(SSH_PORT)
        };
        let forwarded = rules.iter().find(leads_here).map(|r| r.ipaddress.clone());
        self.rules = Some(rules);
        // Without a rule, and where old versions do not tell the network's type, it is a shared network.
        Ok(forwarded.or_else(|| nic.network_type.is_empty().then(own).flatten()))
    }
}
