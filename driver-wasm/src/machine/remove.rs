//! `remove`: removes a machine and all that was made for it, wherever its making was interrupted.

use super::saved::Saved;
use super::{SETTLE_LIMIT, cloud_of, find, find_lost, main_nic, settle};
use crate::cloudstack::{
    Cloud, Command, Error, Item, PortForwardingRule, PublicIpAddress, Refusal, VirtualMachine,
};
use crate::contract::log::Level;
use crate::contract::types::{self, ErrorKind, Machine};
use crate::failure;
use crate::flavour;
use crate::host::Host;
use crate::options::{self, API_KEY, EXPUNGE, Expunge, Ports, SECRET_KEY};
use crate::text;

/// How often a virtual machine is tried to be destroyed.
const TRIES: u32 = 3;

/// The wait between two tries, in milliseconds.
const RETRY_PAUSE: u64 = 2_000;

/// The most bytes of reasons, unless the first one alone is longer, and of what is left in the cloud: the host cuts long
/// errors, and what is left comes last.
const MAX_REASONS: usize = 1_500;
const MAX_LEFT: usize = 1_500;

/// The most characters of one thing that is left.
const MAX_ITEM: usize = 300;

/// Removes a machine and all that was made for it. What is gone already is done.
///
/// # Errors
///
/// If something could not be removed. The rest is tried all the same.
pub fn remove(host: &dyn Host, machine: &Machine) -> Result<(), types::Error> {
    let saved = Saved::of(machine)?;
    if saved.vm_id().is_none() && saved.key_pair().is_none() {
        // Nothing is made before one of them is saved.
        return Ok(());
    }
    let mut removal = Removal {
        cloud: cloud_of(host, &machine.options, saved.project_id()),
        machine,
        saved,
        expunge: flavour::expunge(machine).unwrap_or(Expunge::Auto),
        is_expunged: true,
        is_hopeless: false,
        errors: Vec::new(),
        left: Vec::new(),
    };
    removal.run();
    removal.outcome()
}

struct Removal<'r> {
    cloud: Cloud<'r>,
    machine: &'r Machine,
    saved: Saved,
    expunge: Expunge,
    /// Whether nothing of the virtual machine is left. Until CloudStack has expunged it, it holds what it used.
    is_expunged: bool,
    /// Whether everything else would fail in the same way.
    is_hopeless: bool,
    errors: Vec<types::Error>,
    left: Vec<String>,
}

/// What is known of the machine's virtual machine.
enum Vm {
    /// It is there, or may be.
    There(String),
    /// It is gone. Its id, if it is known.
    Gone(Option<String>),
    /// It may be there and cannot be looked for.
    Unknown,
}

impl Removal<'_> {
    fn run(&mut self) {
        let vm = self.find();
        if self.is_hopeless {
            let id = match &vm {
                Vm::There(id) => format!("the virtual machine {id}"),
                _ => "the virtual machine, if there is one".to_owned(),
            };
            self.left.push(id);
            self.left.extend(self.key_pair_text());
            return;
        }
        self.give_up_address(&vm);
        match &vm {
            Vm::There(id) => {
                let Some(volumes) = self.detach_volumes(id) else {
                    // Only the machine leads to its data disks, and the mark to the machine.
                    self.left
                        .push(format!("the virtual machine {id} with its data disks"));
                    self.left.extend(self.key_pair_text());
                    return;
                };
                self.destroy(id);
                self.delete_volumes(volumes);
            }
            Vm::Gone(_) => {
                let volumes = self.detached_volumes();
                self.delete_volumes(volumes);
            }
            Vm::Unknown => {
                self.left
                    .push("the virtual machine, if there is one".to_owned());
                // CloudStack tells a machine's key pair only as long as that is registered, and the machine whose id is
                // not known can be found by nothing else.
                self.left.extend(self.key_pair_text());
                return;
            }
        }
        self.delete_security_group();
        self.delete_network();
        self.delete_key_pair();
    }

    /// Notes what went wrong.
    fn note(&mut self, error: Error) {
        self.is_hopeless |= matches!(
            error.kind(),
            ErrorKind::Authentication | ErrorKind::Cancelled | ErrorKind::Unreachable
        );
        self.errors.push(error.into());
    }

    /// Notes that something could not be removed, unless it is gone.
    fn check(&mut self, outcome: Result<(), Error>, what: impl FnOnce() -> String) {
        match outcome {
            Err(error) if !error.is_gone() => {
                self.note(error);
                self.left.push(what());
            }
            _ => {}
        }
    }

    /// Releases the machine's public address if it was acquired for it, and else undoes what was done to it.
    fn give_up_address(&mut self, vm: &Vm) {
        if let Some(known) = self.saved.address_requested() {
            let known: Vec<_> = known.into_iter().map(str::to_owned).collect();
            self.report_unclaimed_addresses(vm, &known);
        }
        let address_id = self.saved.address_id().map(str::to_owned);
        if let Some(id) = address_id
            .as_deref()
            .filter(|id| self.saved.is_address_acquired() && !self.is_shared(id, vm))
        {
            let released = self.release_address(id);
            return self.check(released, || format!("the public address {id}"));
        }
        let vm_id = match vm {
            Vm::There(id) => Some(id),
            Vm::Gone(id) => id.as_ref(),
            Vm::Unknown => return,
        };
        if let Some(vm_id) = vm_id {
            self.delete_rules(vm_id);
        }
        if let Some(id) = &address_id {
            self.delete_firewall_rules(id);
        }
        if let (Some(id), Some(vm_id)) = (&address_id, vm_id) {
            self.disconnect(id, vm_id);
        }
    }

    fn release_address(&self, id: &str) -> Result<(), Error> {
        let mut tries = TRIES;
        loop {
            let Err(error) = self.cloud.disassociate_ip_address(id) else {
                return Ok(());
            };
            tries -= 1;
            match self.cloud.public_ip_address(id) {
                // There are several texts for one that is released already.
                Ok(None) => {
                    let line = format!("{error}; the address is released already");
                    self.cloud.host().log(Level::Debug, &line);
                    return Ok(());
                }
                // A creation that could not follow the acquisition to its end may be undone before that.
                Ok(Some(address)) if address.is_being_acquired() && tries > 0 => {}
                _ => return Err(error),
            }
            self.cloud.client().pause(RETRY_PAUSE)?;
        }
    }

    /// Whether an address that was acquired for the machine is used by another one by now, which the user has told to.
    fn is_shared(&self, address_id: &str, vm: &Vm) -> bool {
        let own = match vm {
            Vm::There(id) => Some(id),
            Vm::Gone(id) => id.as_ref(),
            Vm::Unknown => None,
        };
        if self.saved.is_static_nat() {
            return false;
        }
        let rules = self.cloud.port_forwarding_rules(Some(address_id));
        // What cannot be listed is left to the release to fail at.
        let is_shared = rules.is_ok_and(|rules| {
            let mut machines = rules.iter().map(|rule| &rule.virtualmachineid);
            machines.any(|id| !id.is_empty() && Some(id) != own)
        });
        if is_shared {
            let line = format!(
                "The public address {address_id} stays, since it leads to other machines too; release it with the last \
                 one"
            );
            self.cloud.host().log(Level::Warning, &line);
        }
        is_shared
    }

    /// An address whose acquisition was not answered may be the machine's, or one that somebody else acquired at the
    /// same time: CloudStack gives no means to tell. So the user has to decide, and is told once.
    fn report_unclaimed_addresses(&mut self, vm: &Vm, known: &[String]) {
        let (Vm::There(vm_id) | Vm::Gone(Some(vm_id))) = vm else {
            return;
        };
        let addresses = match self.new_addresses(vm_id, known) {
            Ok(addresses) => addresses,
            Err(error) => {
                self.note(error);
                self.left.push(ACQUIRED_PERHAPS.to_owned());
                return;
            }
        };
        self.saved.forget_request();
        if let Err(error) = self.saved.store(self.cloud.host()) {
            self.cloud.host().log(Level::Warning, &error.message);
        }
        let Some(addresses) = addresses else {
            self.errors.push(acquisition_unknown());
            self.left.push(ACQUIRED_PERHAPS.to_owned());
            return;
        };
        for address in &addresses {
            self.left.push(format!(
                "the public address {} ({}), which may have been acquired for the machine: release it if nothing else \
                 needs it",
                address.ipaddress, address.id
            ));
        }
        if !addresses.is_empty() {
            self.errors.push(acquisition_unknown());
        }
    }

    /// The addresses of the machine's network, or of its VPC, that are not used and not known; nothing if the network is not
    /// known any more.
    fn new_addresses(
        &self,
        vm_id: &str,
        known: &[String],
    ) -> Result<Option<Vec<PublicIpAddress>>, Error> {
        let Some(vm) = self.cloud.virtual_machine(vm_id)? else {
            return Ok(None);
        };
        let Some(nic) = main_nic(&vm, &self.saved) else {
            return Ok(None);
        };
        let Some(network) = self.cloud.network(&nic.networkid)? else {
            return Ok(None);
        };
        let is_used = |address: &PublicIpAddress| {
            let in_tier = network.is_vpc_tier() && !address.associatednetworkid.is_empty();
            address.isstaticnat || address.issourcenat || in_tier
        };
        let mut addresses = self.cloud.public_ip_addresses(&network)?;
        addresses.retain(|address| !known.contains(&address.id) && !is_used(address));
        Ok(Some(addresses))
    }

    /// Deletes the firewall rules that were made for the machine.
    fn delete_firewall_rules(&mut self, address_id: &str) {
        let (ports, ids) = (self.saved.firewall_ports(), self.saved.firewall_rule_ids());
        if ports.is_empty() && ids.is_empty() {
            return;
        }
        let rules = match self.cloud.firewall_rules(Some(address_id)) {
            Ok(rules) => rules,
            Err(error) => {
                self.note(error);
                self.left.push("its firewall rules".to_owned());
                return;
            }
        };
        let mut jobs = Vec::new();
        for rule in rules {
            let is_for = |ports: &Ports| {
                rule.protocol.eq_ignore_ascii_case(ports.protocol())
                    && rule.startport == Some(ports.first)
                    && rule.endport == Some(ports.last)
            };
            if ids.contains(&rule.id.as_str()) || ports.iter().any(is_for) {
                let submitted = self.cloud.delete_firewall_rule(&rule.id);
                jobs.push((rule.id, submitted));
            }
        }
        for (id, submitted) in jobs {
            let deleted = submitted.and_then(|submitted| {
                self.cloud
                    .wait(Command::DeleteFirewallRule, &submitted.jobid)
            });
            self.check(deleted, || format!("the firewall rule {id}"));
        }
    }

    /// Has an address that was not acquired for the machine lead to it no longer.
    fn disconnect(&mut self, address_id: &str, vm_id: &str) {
        if !self.saved.is_static_nat() {
            return;
        }
        let leads_here = match self.cloud.public_ip_address(address_id) {
            Ok(address) => address.is_some_and(|a| a.isstaticnat && a.virtualmachineid == vm_id),
            // Then it is tried.
            Err(_) => true,
        };
        if leads_here {
            let disabled = self.cloud.disable_static_nat(address_id);
            self.check(disabled, || {
                format!("the static NAT of the address {address_id}")
            });
        }
    }

    /// Takes the data disks from the machine, which would survive it, unless the user wants to keep them. Tells
    /// which; nothing if they could not be noted down, since then the machine has to stay.
    fn detach_volumes(&mut self, vm_id: &str) -> Option<Vec<String>> {
        let mut doomed = self.saved.doomed_volumes();
        // The data disk of a machine that was never finished holds nothing that anybody could want to keep.
        let is_useless = self.saved.is_unfinished() && options::has_data_disk(self.machine);
        let are_deleted = is_useless || flavour::deletes_volumes(self.machine);
        if !are_deleted && doomed.is_empty() {
            return Some(doomed);
        }
        let mut attached = match self.cloud.data_volumes(Some(vm_id)) {
            Ok(volumes) => volumes,
            Err(error) => {
                self.note(error);
                return None;
            }
        };
        // Those that the user has attached since are not the driver's, unless the user says so. If the creation was
        // interrupted before its own were noted, nobody has attached any.
        let own = self.saved.data_volumes();
        let is_own = |id: &str| match &own {
            Some(own) => own.contains(&id),
            None => self.saved.is_unfinished(),
        };
        let are_unknown = own.is_none() && !self.saved.is_unfinished();
        if are_unknown && !flavour::DELETES_ATTACHED_VOLUMES && !attached.is_empty() {
            let ids = attached.iter().map(|volume| volume.id.clone());
            let line = format!(
                "Which data disks were made with the machine is not known, so that all stay: {}",
                text::enumerate(&text::within(ids, MAX_LEFT))
            );
            self.cloud.host().log(Level::Warning, &line);
        }
        attached.retain(|volume| {
            doomed.contains(&volume.id)
                || are_deleted && (flavour::DELETES_ATTACHED_VOLUMES || is_own(&volume.id))
        });
        if attached.is_empty() {
            return Some(doomed);
        }
        for volume in &attached {
            if !doomed.contains(&volume.id) {
                doomed.push(volume.id.clone());
            }
        }
        self.saved.set_doomed_volumes(&doomed);
        if let Err(error) = self.saved.store(self.cloud.host()) {
            self.errors.push(error);
            return None;
        }
        // A disk is not taken from a running system.
        let stopped = self.cloud.stop_by_force(vm_id);
        if let Err(error) = stopped {
            let line = format!("The virtual machine could not be stopped: {error}");
            self.cloud.host().log(Level::Debug, &line);
        }
        for volume in attached {
            let detached = self.cloud.detach_volume(&volume.id);
            self.check(detached, || format!("the data disk {}", volume.id));
        }
        Some(doomed)
    }

    /// The data disks to delete where the virtual machine is gone. Those of a machine that was finished may be wanted: the user
    /// may have taken them from it. So the user has to decide about them, and is told.
    fn detached_volumes(&mut self) -> Vec<String> {
        let mut doomed = self.saved.doomed_volumes();
        let is_unfinished = self.saved.is_unfinished();
        let own: Vec<_> = self.saved.data_volumes().unwrap_or_default();
        let own: Vec<_> = own.into_iter().map(str::to_owned).collect();
        if own.is_empty() || !(is_unfinished || flavour::deletes_volumes(self.machine)) {
            return doomed;
        }
        let volumes = match self.cloud.data_volumes(None) {
            Ok(volumes) => volumes,
            Err(error) => {
                self.note(error);
                self.left.push("the data disk, if it is there".to_owned());
                return doomed;
            }
        };
        for volume in volumes {
            let id = volume.id;
            if !own.contains(&id) || doomed.contains(&id) || !volume.virtualmachineid.is_empty() {
                continue;
            }
            if is_unfinished {
                doomed.push(id);
                continue;
            }
            let line = format!(
                "The data disk {id} was made with the machine and stays; delete it if nothing needs it"
            );
            self.cloud.host().log(Level::Warning, &line);
        }
        doomed
    }

    fn delete_volumes(&mut self, ids: Vec<String>) {
        for id in ids {
            let deleted = self.cloud.delete_volume(&id);
            self.check(deleted, || format!("the data disk {id}"));
        }
    }

    /// Deletes the machine's own security group.
    fn delete_security_group(&mut self) {
        let Some(name) = self.saved.security_group().map(str::to_owned) else {
            return;
        };
        let what = || format!("the security group {name}");
        let deleted = match self.cloud.security_group(&name) {
            Ok(None) => return,
            Ok(Some(group)) => self.cloud.delete_security_group(&group.id),
            Err(error) => Err(error),
        };
        if !self.is_held_by_destroyed_vm(&deleted, &what()) {
            self.check(deleted, what);
        }
    }

    /// Deletes the machine's network if a driver has made it, unless other machines are in it.
    fn delete_network(&mut self) {
        let Some(name) = self.saved.new_network().map(str::to_owned) else {
            return;
        };
        let what = || format!("the network {name}");
        let network = match self.cloud.network_named(&name) {
            Ok(None) => return,
            Ok(Some(network)) => network,
            Err(error) => return self.check(Err(error), what),
        };
        let is_other =
            |vm: &VirtualMachine| !vm.state.is_gone() && self.saved.vm_id() != Some(vm.id.as_str());
        match self.cloud.virtual_machines_in(&network.id) {
            Ok(vms) if vms.iter().any(is_other) => {
                let line = format!("The network {name} stays, since other machines are in it");
                return self.cloud.host().log(Level::Info, &line);
            }
            Ok(_) => {}
            Err(error) => return self.check(Err(error), what),
        }
        let deleted = self.cloud.delete_network(&network.id);
        if !self.is_held_by_destroyed_vm(&deleted, &what()) {
            self.check(deleted, what);
        }
    }

    /// Whether something cannot be deleted for no other reason than that CloudStack has yet to expunge the machine.
    fn is_held_by_destroyed_vm<T>(&self, deleted: &Result<T, Error>, what: &str) -> bool {
        if self.is_expunged || !matches!(deleted, Err(Error::Refused(_))) {
            return false;
        }
        let line = format!(
            "{what} stays until CloudStack has expunged the virtual machine; delete it then"
        );
        self.cloud.host().log(Level::Warning, &line);
        true
    }

    fn find(&mut self) -> Vm {
        let found = if self.saved.is_deploy_requested() && self.saved.vm_id().is_none() {
            find_lost(&self.cloud, self.machine, &self.saved)
        } else {
            find(&self.cloud, self.machine, &self.saved)
        };
        let known = self.saved.vm_id().map(str::to_owned);
        match (found, known) {
            (Ok(Some(vm)), _) if vm.state.is_gone() => {
                self.is_expunged = false;
                Vm::Gone(Some(vm.id))
            }
            (Ok(Some(vm)), Some(_)) => Vm::There(vm.id),
            (Ok(Some(vm)), None) => {
                // Should the removal fail half-way, the next one finds it without its mark.
                self.saved.set_vm_id(&vm.id);
                if let Err(error) = self.saved.store(self.cloud.host()) {
                    self.cloud.host().log(Level::Warning, &error.message);
                }
                Vm::There(vm.id)
            }
            (Ok(None), known) => match self.other_account() {
                Ok(None) => Vm::Gone(known),
                Ok(Some(owner)) => {
                    self.is_hopeless = true;
                    self.errors.push(other_account(&owner));
                    Vm::Unknown
                }
                Err(error) => {
                    self.note(error);
                    Vm::Unknown
                }
            },
            (Err(error), known) => {
                self.note(error);
                known.map_or(Vm::Unknown, Vm::There)
            }
        }
    }

    /// The account or project that the machine belongs to, if these keys are another one's: then a virtual machine that is
    /// not found may be only out of sight.
    fn other_account(&self) -> Result<Option<String>, Error> {
        let (seen, is_owner, owner): (_, fn(&Item, &str) -> bool, _) =
            match (self.saved.project_id(), self.saved.account()) {
                (Some(id), _) => (
                    self.cloud.projects(),
                    |project, id| project.id == id,
                    format!("the project {id}"),
                ),
                (None, Some(name)) => (
                    self.cloud.accounts(),
                    |account, name| account.name == name,
                    format!("the account \"{name}\""),
                ),
                (None, None) => return Ok(None),
            };
        let wanted = self.saved.project_id().or(self.saved.account());
        let is_seen = |items: Vec<Item>| {
            items
                .iter()
                .any(|item| wanted.is_some_and(|wanted| is_owner(item, wanted)))
        };
        match seen.map(is_seen) {
            Ok(true) => Ok(None),
            Ok(false) => Ok(Some(owner)),
            // An account that may not list accounts cannot be checked; the cloud is believed.
            Err(Error::Refused(refusal)) if refusal.is_denied() => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn key_pair_text(&self) -> Option<String> {
        let name = self.saved.key_pair()?;
        Some(format!("the SSH key pair {name}"))
    }

    /// Deletes the machine's port-forwarding rules. CloudStack does that itself only when it expunges the machine, a
    /// day later mostly; until then the ports would be taken.
    fn delete_rules(&mut self, vm_id: &str) {
        let is_by_this_driver = !self.machine.id.is_empty();
        if is_by_this_driver && self.saved.address_id().is_none() {
            // The address is saved before the first rule is made.
            return;
        }
        let rules = match self.cloud.port_forwarding_rules(self.saved.address_id()) {
            Ok(rules) => rules,
            Err(error) => {
                self.note(error);
                self.left.push("its port-forwarding rules".to_owned());
                return;
            }
        };
        let mut jobs = Vec::new();
        for rule in rules {
            if rule.virtualmachineid != vm_id {
                continue;
            }
            match self.cloud.delete_port_forwarding_rule(&rule.id) {
                Ok(submitted) => jobs.push((rule, submitted.jobid)),
                Err(error) => self.rule_is_left(&rule, error),
            }
        }
        for (rule, job_id) in jobs {
            let outcome = self.cloud.wait(Command::DeletePortForwardingRule, &job_id);
            if let Err(error) = outcome {
                self.rule_is_left(&rule, error);
            }
        }
    }

    fn rule_is_left(&mut self, rule: &PortForwardingRule, error: Error) {
        if error.is_gone() {
            return;
        }
        self.note(error);
        let port = rule
            .publicport
            .map_or(String::new(), |port| format!(" of port {port}"));
        self.left
            .push(format!("the port-forwarding rule {}{port}", rule.id));
    }

    fn destroy(&mut self, vm_id: &str) {
        let destroyed = self.try_to_destroy(vm_id);
        self.check(destroyed, || format!("the virtual machine {vm_id}"));
    }

    fn try_to_destroy(&mut self, vm_id: &str) -> Result<(), Error> {
        // Who may not ask for it is refused, and a destroyed machine is expunged by CloudStack sooner or later.
        let mut expunge = match self.expunge {
            Expunge::Auto => self
                .cloud
                .capabilities()
                .is_ok_and(|capabilities| capabilities.allowuserexpungerecovervm),
            Expunge::Yes => true,
            Expunge::No => false,
        };
        let mut tries = TRIES;
        loop {
            self.is_expunged = expunge;
            let error = match self.cloud.destroy(vm_id, expunge) {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            if expunge && error.refusal().is_some_and(Refusal::is_about_expunge) {
                if self.expunge == Expunge::Yes {
                    let line = format!("--{EXPUNGE}: {error}; it is destroyed without that");
                    self.cloud.host().log(Level::Warning, &line);
                }
                expunge = false;
                continue;
            }
            // A machine that starts or stops just now may refuse to be destroyed. An answer that was lost, and a job
            // that took too long, may yet have done it.
            let vm = match self.cloud.virtual_machine(vm_id) {
                Ok(Some(vm)) => settle(&self.cloud, vm, SETTLE_LIMIT)?,
                Ok(None) => None,
                Err(_) => return Err(error),
            };
            if vm.is_none_or(|vm| vm.state.is_gone()) {
                return Ok(());
            }
            tries -= 1;
            if tries == 0 || !may_pass(&error) {
                return Err(error);
            }
            self.cloud.client().pause(RETRY_PAUSE)?;
        }
    }

    fn delete_key_pair(&mut self) {
        let Some(name) = self.saved.key_pair() else {
            return;
        };
        let deleted = self.cloud.delete_ssh_key_pair(name);
        let text = self.key_pair_text().unwrap_or_default();
        self.check(deleted, || text);
    }

    /// The first error, with the other reasons, each once, and what is left as further lines.
    fn outcome(self) -> Result<(), types::Error> {
        let mut reasons: Vec<(String, u32)> = Vec::new();
        for error in &self.errors {
            let reason = error.message.replace('\n', " ");
            match reasons.iter_mut().find(|(known, _)| *known == reason) {
                Some((_, times)) => *times += 1,
                None => reasons.push((reason, 1)),
            }
        }
        let Some(mut first) = self.errors.into_iter().next() else {
            return Ok(());
        };
        let reasons = reasons.into_iter().map(|(reason, times)| match times {
            1 => reason,
            times => format!("{reason}, {times} times"),
        });
        first.message = text::within(reasons, MAX_REASONS).join("\n  ");
        if !self.left.is_empty() {
            let left = self.left.iter().map(|item| text::line(item, MAX_ITEM));
            let left = text::enumerate(&text::within(left, MAX_LEFT));
            first
                .message
                .push_str(&format!("\nLeft in the cloud: {left}"));
        }
        first
            .hint
            .get_or_insert_with(|| "Remove the machine once more".to_owned());
        Err(first)
    }
}

/// What may be left where the answer to an acquisition was lost.
const ACQUIRED_PERHAPS: &str = "a public address, if one was acquired";

/// What the acquisition of an address has made cannot be recognised.
fn acquisition_unknown() -> types::Error {
    let command = Command::AssociateIpAddress;
    failure::error(
        ErrorKind::Internal,
        format!("An earlier {command} was not answered"),
    )
}

fn other_account(owner: &str) -> types::Error {
    failure::hinted(
        ErrorKind::Permission,
        format!("The machine belongs to {owner}, and these keys are of another account"),
        format!(
            "Give the keys of that account with --{API_KEY} and --{SECRET_KEY} or their variables; those in the environment \
             go before the stored ones"
        ),
    )
}

/// Whether destroying a machine again may do, now that it has left the state that it was in.
fn may_pass(error: &Error) -> bool {
    let is_final = matches!(
        error.kind(),
        ErrorKind::Authentication | ErrorKind::Permission | ErrorKind::Unsupported
    );
    !is_final && !matches!(error, Error::Deadline { .. })
}
