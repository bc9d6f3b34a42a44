//! `remove`: removes a machine and all that was made for it, wherever its making was interrupted.

use super::saved::Saved;
use super::{find, find_lost, settle};
use crate::cloudstack::{Cloud, Command, Error, PortForwardingRule, Refusal};
use crate::contract::log::Level;
use crate::contract::types::{self, ErrorKind, Machine};
use crate::host::Host;
use crate::text;

/// How often a virtual machine is tried to be destroyed.
const TRIES: u32 = 3;

/// The wait between two tries, in milliseconds.
const RETRY_PAUSE: u64 = 2_000;

/// Removes a machine and all that was made for it. What is gone already is done.
///
/// # Errors
///
/// If something could not be removed. The rest is tried all the same.
pub fn remove(host: &dyn Host, machine: &Machine) -> Result<(), types::Error> {
    let saved = Saved::parse(&machine.saved)?;
    if saved.vm_id().is_none() && saved.key_pair().is_none() {
        // Nothing is made before one of them is saved.
        return Ok(());
    }
    let mut removal = Removal {
        cloud: Cloud::new(host),
        machine,
        saved,
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
    errors: Vec<Error>,
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
        if self.is_hopeless() {
            let id = match &vm {
                Vm::There(id) => format!("the virtual machine {id}"),
                _ => "the virtual machine, if there is one".to_owned(),
            };
            self.left.push(id);
            self.left.extend(self.key_pair_text());
            return;
        }
        if let Vm::There(id) | Vm::Gone(Some(id)) = &vm {
            self.delete_rules(id);
        }
        match &vm {
            Vm::There(id) => self.destroy(id),
            Vm::Gone(_) => {}
            Vm::Unknown => {
                self.left
                    .push("the virtual machine, if there is one".to_owned());
                // CloudStack tells a machine's key pair only as long as that is registered, and the machine whose id is
                // not known can be found by nothing else.
                self.left.extend(self.key_pair_text());
                return;
            }
        }
        self.delete_key_pair();
    }

    fn find(&mut self) -> Vm {
        let found = if self.saved.is_deploy_requested() && self.saved.vm_id().is_none() {
            find_lost(&self.cloud, self.machine, &self.saved)
        } else {
            find(&self.cloud, self.machine, &self.saved)
        };
        let known = self.saved.vm_id().map(str::to_owned);
        match (found, known) {
            (Ok(Some(vm)), _) if vm.state.is_gone() => Vm::Gone(Some(vm.id)),
            (Ok(Some(vm)), Some(_)) => Vm::There(vm.id),
            (Ok(Some(vm)), None) => {
                // Should the removal fail half-way, the next one finds it without its mark.
                self.saved.set_vm_id(&vm.id);
                if let Err(error) = self.saved.store(self.cloud.host()) {
                    self.cloud.host().log(Level::Warning, &error.message);
                }
                Vm::There(vm.id)
            }
            (Ok(None), known) => Vm::Gone(known),
            (Err(error), known) => {
                self.errors.push(error);
                known.map_or(Vm::Unknown, Vm::There)
            }
        }
    }

    /// Whether everything else would fail in the same way.
    fn is_hopeless(&self) -> bool {
        let hopeless = [
            ErrorKind::Authentication,
            ErrorKind::Cancelled,
            ErrorKind::Unreachable,
        ];
        self.errors
            .iter()
            .any(|error| hopeless.contains(&error.kind()))
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
                self.errors.push(error);
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
        self.errors.push(error);
        let port = rule
            .publicport
            .map_or(String::new(), |port| format!(" of port {port}"));
        self.left
            .push(format!("the port-forwarding rule {}{port}", rule.id));
    }

    fn destroy(&mut self, vm_id: &str) {
        if let Err(error) = self.try_to_destroy(vm_id) {
            self.errors.push(error);
            self.left.push(format!("the virtual machine {vm_id}"));
        }
    }

    fn try_to_destroy(&self, vm_id: &str) -> Result<(), Error> {
        // Who may not ask for it is refused, and a destroyed machine is expunged by CloudStack sooner or later.
        let mut expunge = self.cloud.may_expunge().unwrap_or(false);
        let mut tries = TRIES;
        loop {
            let error = match self.cloud.destroy(vm_id, expunge) {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            if expunge && error.refusal().is_some_and(Refusal::is_about_expunge) {
                expunge = false;
                continue;
            }
            // A machine that starts or stops just now may refuse to be destroyed. An answer that was lost, and a job
            // that took too long, may yet have done it.
            let vm = match self.cloud.virtual_machine(vm_id) {
                Ok(Some(vm)) => settle(&self.cloud, vm)?,
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
        match self.cloud.delete_ssh_key_pair(name) {
            Ok(()) => {}
            Err(error) if error.is_gone() => {}
            Err(error) => {
                self.errors.push(error);
                self.left.extend(self.key_pair_text());
            }
        }
    }

    /// The first error, with the others and what is left as further lines.
    fn outcome(self) -> Result<(), types::Error> {
        let mut errors = self.errors.into_iter().map(types::Error::from);
        let Some(mut first) = errors.next() else {
            return Ok(());
        };
        for error in errors {
            first.message.push_str("\n  ");
            first.message.push_str(&error.message.replace('\n', " "));
        }
        if !self.left.is_empty() {
            let left = text::enumerate(&self.left);
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

/// Whether destroying a machine again may do, now that it has left the state that it was in.
fn may_pass(error: &Error) -> bool {
    let is_final = matches!(
        error.kind(),
        ErrorKind::Authentication | ErrorKind::Permission | ErrorKind::Unsupported
    );
    !is_final && !matches!(error, Error::Deadline { .. })
}
