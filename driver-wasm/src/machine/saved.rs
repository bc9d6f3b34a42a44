//! What the driver remembers of a machine.
//!
//! The members that an older driver kept have its names, so that its machines are taken over as they are.

use serde_json::{Map, Value};

use crate::contract::types::{Error, ErrorKind, Machine};
use crate::flavour::members::{ADDRESS, ADDRESS_ACQUIRED, ADDRESS_ID, KEY_PAIR, PROJECT_ID, VM_ID};
use crate::host::Host;
use crate::options::Ports;
use crate::{failure, flavour};

/// Set from before anything is made until the machine is complete.
const UNFINISHED: &str = "Unfinished";
/// Set while a deployment has been asked for and its virtual machine's id is not known.
const DEPLOY_REQUESTED: &str = "DeployRequested";
/// Set while an address has been asked for and its id is not known: those of the network that were there before.
const ADDRESS_REQUESTED: &str = "PublicIpRequested";
/// The id of the network by which the machine is reached, if that is not its default one.
const MAIN_NETWORK: &str = "MainNetworkId";
/// Whether the machine's public address leads to it alone.
const STATIC_NAT: &str = "StaticNat";
/// The ports of that address for which firewall rules are made. Saved before the first one is.
const FIREWALL_PORTS: &str = "FirewallPorts";
/// The ids of the firewall rules that an older driver made.
const FIREWALL_RULE_IDS: &str = "FirewallRuleIds";
/// The public ports that lead to the machine's SSH server and Docker engine, where they are not the usual ones.
const PUBLIC_SSH_PORT: &str = "PublicSSHPort";
const PUBLIC_ENGINE_PORT: &str = "PublicEnginePort";
/// The name of the account that the virtual machine belongs to, if it is in no project.
const ACCOUNT: &str = "Account";
/// The name of the machine's network if a driver has made it, for this machine or another. Saved before it is made.
const NEW_NETWORK: &str = "NewNetwork";
/// The name of the machine's security group. Saved before it is made.
const OWN_SECURITY_GROUP: &str = "OwnSecurityGroup";
/// The data disks that were made with the virtual machine.
const DATA_VOLUMES: &str = "DataVolumes";
/// The data disks that are about to be taken from the machine and deleted.
const DOOMED_VOLUMES: &str = "DoomedVolumes";

/// The JSON object that the host keeps. Members that are not the driver's stay in it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Saved(Map<String, Value>);

impl Saved {
    /// What is remembered of a machine, by this driver or an older one.
    pub(crate) fn of(machine: &Machine) -> Result<Self, Error> {
        let mut saved = Self::parse(&machine.saved)?;
        // Older drivers knew no ids of machines.
        if machine.id.is_empty() {
            flavour::take_over(&mut saved, machine);
        }
        Ok(saved)
    }

    /// Reads what the host kept.
    fn parse(json: &str) -> Result<Self, Error> {
        // As answers are read: a parser of texts would be one more.
        let reason = match serde_json::from_slice(json.as_bytes()) {
            Ok(Value::Object(members)) => return Ok(Self(members)),
            Ok(_) => String::new(),
            Err(e) => format!(": {e}"),
        };
        let message = format!("What was saved of the machine is not a JSON object{reason}");
        Err(failure::error(ErrorKind::Internal, message))
    }

    /// Has the host keep it.
    pub(crate) fn store(&self, host: &dyn Host) -> Result<(), Error> {
        host.save(&self.to_json()?)
    }

    /// It as JSON.
    pub(crate) fn to_json(&self) -> Result<String, Error> {
        serde_json::to_string(&self.0).map_err(|e| {
            let message = format!("What is known of the machine cannot be saved: {e}");
            failure::error(ErrorKind::Internal, message)
        })
    }

    /// A member that is a text; nothing if it is not there or empty.
    pub(crate) fn text(&self, member: &str) -> Option<&str> {
        // Older drivers saved empty texts before they had made something.
        self.0.get(member)?.as_str().filter(|text| !text.is_empty())
    }

    fn texts(&self, member: &str) -> Vec<&str> {
        let items = self.0.get(member).and_then(Value::as_array);
        items
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect()
    }

    fn port(&self, member: &str) -> Option<u16> {
        let port = self.0.get(member)?.as_u64()?;
        u16::try_from(port).ok().filter(|port| *port > 0)
    }

    fn flag(&self, member: &str) -> bool {
        self.0.get(member).and_then(Value::as_bool) == Some(true)
    }

    fn set_flag(&mut self, member: &str, on: bool) {
        if on {
            self.set(member, true);
        } else {
            self.0.remove(member);
        }
    }

    fn set(&mut self, member: &str, value: impl Into<Value>) {
        self.0.insert(member.to_owned(), value.into());
    }

    /// The virtual machine's id.
    pub(crate) fn vm_id(&self) -> Option<&str> {
        self.text(VM_ID)
    }

    /// The name of the key pair in CloudStack.
    pub(crate) fn key_pair(&self) -> Option<&str> {
        self.text(KEY_PAIR)
    }

    /// Whether there may be a virtual machine whose id is not known, and that CloudStack may be about to make just now.
    pub(crate) fn is_deploy_requested(&self) -> bool {
        self.flag(DEPLOY_REQUESTED)
    }

    /// The id of the public address by which the machine is reached.
    pub(crate) fn address_id(&self) -> Option<&str> {
        self.text(ADDRESS_ID)
    }

    /// The public address by which the machine is reached.
    pub(crate) fn address(&self) -> Option<&str> {
        self.text(ADDRESS)
    }

    /// Whether that address is released with the machine.
    pub(crate) fn is_address_acquired(&self) -> bool {
        self.flag(ADDRESS_ACQUIRED)
    }

    /// If an address has been asked for whose id is not known: the ids of those that were there before.
    pub(crate) fn address_requested(&self) -> Option<Vec<&str>> {
        self.0
            .contains_key(ADDRESS_REQUESTED)
            .then(|| self.texts(ADDRESS_REQUESTED))
    }

    /// Whether that address leads to the machine alone.
    pub(crate) fn is_static_nat(&self) -> bool {
        self.flag(STATIC_NAT)
    }

    /// The ports of that address for which firewall rules were made.
    pub(crate) fn firewall_ports(&self) -> Vec<Ports> {
        let texts = self.texts(FIREWALL_PORTS);
        texts.iter().filter_map(|text| text.parse().ok()).collect()
    }

    /// The ids of the firewall rules that an older driver made for the machine.
    pub(crate) fn firewall_rule_ids(&self) -> Vec<&str> {
        self.texts(FIREWALL_RULE_IDS)
    }

    /// The public port that leads to the SSH server.
    pub(crate) fn public_ssh_port(&self) -> Option<u16> {
        self.port(PUBLIC_SSH_PORT)
    }

    /// The public port that leads to the Docker engine.
    pub(crate) fn public_engine_port(&self) -> Option<u16> {
        self.port(PUBLIC_ENGINE_PORT)
    }

    /// The name of the account that the virtual machine belongs to.
    pub(crate) fn account(&self) -> Option<&str> {
        self.text(ACCOUNT)
    }

    /// The project's id.
    pub(crate) fn project_id(&self) -> Option<&str> {
        self.text(PROJECT_ID)
    }

    /// The name of the machine's network if a driver has made it.
    pub(crate) fn new_network(&self) -> Option<&str> {
        self.text(NEW_NETWORK)
    }

    /// The name of the machine's own security group.
    pub(crate) fn security_group(&self) -> Option<&str> {
        self.text(OWN_SECURITY_GROUP)
    }

    /// The data disks that were made with the virtual machine, if that is known.
    pub(super) fn data_volumes(&self) -> Option<Vec<&str>> {
        self.0
            .contains_key(DATA_VOLUMES)
            .then(|| self.texts(DATA_VOLUMES))
    }

    /// The data disks that were about to be deleted.
    pub(crate) fn doomed_volumes(&self) -> Vec<String> {
        self.texts(DOOMED_VOLUMES)
            .into_iter()
            .map(str::to_owned)
            .collect()
    }

    /// The making of a machine begins, with a key pair of that name.
    pub(crate) fn begin(&mut self, key_pair: &str, project_id: Option<&str>) {
        self.set(KEY_PAIR, key_pair);
        if let Some(id) = project_id {
            self.set(PROJECT_ID, id);
        }
    }

    /// The id of the network by which the machine is reached, if that is not its default one.
    pub(crate) fn main_network(&self) -> Option<&str> {
        self.text(MAIN_NETWORK)
    }

    /// The machine is reached by that network, which is not its default one.
    pub(crate) fn set_main_network(&mut self, id: &str) {
        self.set(MAIN_NETWORK, id);
    }

    /// Whether the machine was never complete.
    pub(crate) fn is_unfinished(&self) -> bool {
        self.flag(UNFINISHED)
    }

    /// The making of a machine begins, or has come to its end.
    pub(crate) fn set_unfinished(&mut self, unfinished: bool) {
        self.set_flag(UNFINISHED, unfinished);
    }

    /// A network of that name is about to be made, or was for another machine.
    pub(crate) fn set_new_network(&mut self, name: &str) {
        self.set(NEW_NETWORK, name);
    }

    /// A security group of that name is about to be made.
    pub(crate) fn set_security_group(&mut self, name: &str) {
        self.set(OWN_SECURITY_GROUP, name);
    }

    /// These data disks were made with the virtual machine.
    pub(super) fn set_data_volumes(&mut self, ids: &[String]) {
        self.set(DATA_VOLUMES, ids);
    }

    /// Data disks are about to be taken from the machine and deleted.
    pub(crate) fn set_doomed_volumes(&mut self, ids: &[String]) {
        self.set(DOOMED_VOLUMES, ids);
    }

    /// An address is about to be acquired, while these are there.
    pub(crate) fn request_address(&mut self, ids: Vec<String>) {
        self.set(ADDRESS_REQUESTED, ids);
    }

    /// It is known what has become of the address that was asked for.
    pub(crate) fn forget_request(&mut self) {
        self.0.remove(ADDRESS_REQUESTED);
    }

    /// An address has been acquired, and is released with the machine.
    pub(crate) fn set_acquired_address(&mut self, id: &str, address: &str) {
        self.0.remove(ADDRESS_REQUESTED);
        self.set(ADDRESS_ACQUIRED, true);
        self.set_address(id, address);
    }

    /// The address is about to lead to the machine alone.
    pub(crate) fn set_static_nat(&mut self) {
        self.set(STATIC_NAT, true);
    }

    /// Firewall rules for ports of the address are about to be made.
    pub(crate) fn set_firewall_ports(&mut self, ports: &[Ports]) {
        let texts: Vec<_> = ports.iter().map(Ports::to_string).collect();
        self.set(FIREWALL_PORTS, texts);
    }

    /// The machine is reached by these public ports.
    pub(crate) fn set_public_ports(&mut self, ssh: u16, engine: u16) {
        self.set(PUBLIC_SSH_PORT, ssh);
        self.set(PUBLIC_ENGINE_PORT, engine);
    }

    /// A virtual machine is about to be deployed, or after all it is not.
    pub(crate) fn set_deploy_requested(&mut self, requested: bool) {
        self.set_flag(DEPLOY_REQUESTED, requested);
    }

    /// The virtual machine is known.
    pub(crate) fn set_vm_id(&mut self, id: &str) {
        self.set(VM_ID, id);
        self.set_deploy_requested(false);
    }

    /// The virtual machine belongs to that account.
    pub(crate) fn set_account(&mut self, name: &str) {
        self.set(ACCOUNT, name);
    }

    /// Ports of that public address are about to be forwarded.
    pub(crate) fn set_address(&mut self, id: &str, address: &str) {
        self.set(ADDRESS_ID, id);
        self.set(ADDRESS, address);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn unknown_members_survive() {
        let json = json!({VM_ID: "", "CIDRList": ["a"], KEY_PAIR: "k"}).to_string();
        let mut saved = Saved::parse(&json).unwrap();
        assert_eq!(saved.vm_id(), None);
        assert_eq!(saved.key_pair(), Some("k"));
        saved.set_deploy_requested(true);
        assert!(saved.is_deploy_requested());
        saved.set_vm_id("v");
        assert!(!saved.is_deploy_requested());
        saved.set_address("a", "192.0.2.1");
        let expected = json!({
            VM_ID: "v", "CIDRList": ["a"], KEY_PAIR: "k", ADDRESS_ID: "a", ADDRESS: "192.0.2.1",
        });
        assert_eq!(Value::Object(saved.0), expected);
    }

    #[test]
    fn only_an_object_is_taken() {
        for json in ["", "[]", "1", "{"] {
            assert_eq!(Saved::parse(json).unwrap_err().kind, ErrorKind::Internal);
        }
    }

    #[test]
    fn no_option_is_kept_in_a_member_that_the_driver_saves() {
        let saved = [
            UNFINISHED,
            DEPLOY_REQUESTED,
            MAIN_NETWORK,
            ADDRESS_REQUESTED,
            STATIC_NAT,
            FIREWALL_PORTS,
            FIREWALL_RULE_IDS,
            PUBLIC_SSH_PORT,
            PUBLIC_ENGINE_PORT,
            ACCOUNT,
            NEW_NETWORK,
            OWN_SECURITY_GROUP,
            DOOMED_VOLUMES,
            VM_ID,
            KEY_PAIR,
            PROJECT_ID,
            ADDRESS_ID,
            ADDRESS,
            ADDRESS_ACQUIRED,
        ];
        // Case does not count, neither for the host nor for Go.
        let mut members: Vec<_> = saved.map(str::to_ascii_lowercase).to_vec();
        let options = crate::machine::describe().options;
        let kept = options
            .iter()
            .filter_map(|option| option.config_key.as_ref());
        members.extend(kept.map(|key| key.to_ascii_lowercase()));
        let distinct: std::collections::BTreeSet<_> = members.iter().collect();
        assert_eq!(distinct.len(), members.len(), "{members:?}");
    }
}
