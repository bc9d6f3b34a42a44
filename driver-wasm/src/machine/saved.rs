//! What the driver remembers of a machine.
//!
//! The members that the driver of 2016 kept have its names, so that its machines are taken over as they are.

use serde_json::{Map, Value};

use crate::contract::types::{Error, ErrorKind};
use crate::failure;
use crate::host::Host;
use crate::options::Ports;

/// The virtual machine's id; by the driver of 2016.
const VM_ID: &str = "VmId";
/// The name of the key pair in CloudStack; by the driver of 2016. Saved before anything is made.
const KEY_PAIR: &str = "SSHKeypair";
/// Set while a deployment has been asked for and its virtual machine's id is not known.
const DEPLOY_REQUESTED: &str = "DeployRequested";
/// The id of the public address whose ports are forwarded. Saved before the first rule is made.
const ADDRESS_ID: &str = "PublicIpAddressId";
/// That address.
const ADDRESS: &str = "PublicIpAddress";

/// Whether that address was acquired for the machine, and is released with it.
const ADDRESS_ACQUIRED: &str = "PublicIpAcquired";
/// Set while an address has been asked for and its id is not known: those of the network that were there before.
const ADDRESS_REQUESTED: &str = "PublicIpRequested";
/// Whether that address leads to the machine alone.
const STATIC_NAT: &str = "StaticNat";
/// The ports of that address for which firewall rules are made. Saved before the first one is.
const FIREWALL_PORTS: &str = "FirewallPorts";
/// The public ports that lead to the machine's SSH server and Docker engine, where they are not the usual ones.
const PUBLIC_SSH_PORT: &str = "PublicSSHPort";
const PUBLIC_ENGINE_PORT: &str = "PublicEnginePort";
/// The name of the account that the virtual machine belongs to, if it is in no project.
const ACCOUNT: &str = "Account";
/// The project's id.
const PROJECT_ID: &str = "ProjectId";
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
pub(super) struct Saved(Map<String, Value>);

impl Saved {
    /// Reads what the host kept.
    pub(super) fn parse(json: &str) -> Result<Self, Error> {
        serde_json::from_str(json).map(Self).map_err(|e| {
            let message = format!("What was saved of the machine is not a JSON object: {e}");
            failure::error(ErrorKind::Internal, message)
        })
    }

    /// Has the host keep it.
    pub(super) fn store(&self, host: &dyn Host) -> Result<(), Error> {
        host.save(&self.to_json())
    }

    /// It as JSON.
    pub(super) fn to_json(&self) -> String {
        Value::Object(self.0.clone()).to_string()
    }

    fn text(&self, member: &str) -> Option<&str> {
        // The driver of 2016 saved empty strings before it had made something.
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
        self.0.get(member) == Some(&Value::Bool(true))
    }

    fn set(&mut self, member: &str, value: impl Into<Value>) {
        self.0.insert(member.to_owned(), value.into());
    }

    /// The virtual machine's id.
    pub(super) fn vm_id(&self) -> Option<&str> {
        self.text(VM_ID)
    }

    /// The name of the key pair in CloudStack.
    pub(super) fn key_pair(&self) -> Option<&str> {
        self.text(KEY_PAIR)
    }

    /// Whether there may be a virtual machine whose id is not known, and that CloudStack may be about to make just now.
    pub(super) fn is_deploy_requested(&self) -> bool {
        self.flag(DEPLOY_REQUESTED)
    }

    /// The id of the public address whose ports are forwarded.
    pub(super) fn address_id(&self) -> Option<&str> {
        self.text(ADDRESS_ID)
    }

    /// The public address whose ports are forwarded.
    pub(super) fn address(&self) -> Option<&str> {
        self.text(ADDRESS)
    }

    /// Whether that address is released with the machine.
    pub(super) fn is_address_acquired(&self) -> bool {
        self.flag(ADDRESS_ACQUIRED)
    }

    /// If an address has been asked for whose id is not known: the ids of those that were there before.
    pub(super) fn address_requested(&self) -> Option<Vec<&str>> {
        self.0
            .contains_key(ADDRESS_REQUESTED)
            .then(|| self.texts(ADDRESS_REQUESTED))
    }

    /// Whether that address leads to the machine alone.
    pub(super) fn is_static_nat(&self) -> bool {
        self.flag(STATIC_NAT)
    }

    /// The ports of that address for which firewall rules were made.
    pub(super) fn firewall_ports(&self) -> Vec<Ports> {
        let texts = self.texts(FIREWALL_PORTS);
        texts.iter().filter_map(|text| text.parse().ok()).collect()
    }

    /// The public port that leads to the SSH server.
    pub(super) fn public_ssh_port(&self) -> Option<u16> {
        self.port(PUBLIC_SSH_PORT)
    }

    /// The public port that leads to the Docker engine.
    pub(super) fn public_engine_port(&self) -> Option<u16> {
        self.port(PUBLIC_ENGINE_PORT)
    }

    /// The name of the account that the virtual machine belongs to.
    pub(super) fn account(&self) -> Option<&str> {
        self.text(ACCOUNT)
    }

    /// The project's id.
    pub(super) fn project_id(&self) -> Option<&str> {
        self.text(PROJECT_ID)
    }

    /// The name of the machine's network if a driver has made it.
    pub(super) fn new_network(&self) -> Option<&str> {
        self.text(NEW_NETWORK)
    }

    /// The name of the machine's own security group.
    pub(super) fn security_group(&self) -> Option<&str> {
        self.text(OWN_SECURITY_GROUP)
    }

    /// The data disks that were made with the virtual machine, if that is known.
    pub(super) fn data_volumes(&self) -> Option<Vec<&str>> {
        self.0
            .contains_key(DATA_VOLUMES)
            .then(|| self.texts(DATA_VOLUMES))
    }

    /// The data disks that were about to be deleted.
    pub(super) fn doomed_volumes(&self) -> Vec<String> {
        self.texts(DOOMED_VOLUMES)
            .into_iter()
            .map(str::to_owned)
            .collect()
    }

    /// The making of a machine begins, with a key pair of that name.
    pub(super) fn begin(&mut self, key_pair: &str, project_id: Option<&str>) {
        self.set(KEY_PAIR, key_pair);
        if let Some(id) = project_id {
            self.set(PROJECT_ID, id);
        }
    }

    /// A network of that name is about to be made, or was for another machine.
    pub(super) fn set_new_network(&mut self, name: &str) {
        self.set(NEW_NETWORK, name);
    }

    /// A security group of that name is about to be made.
    pub(super) fn set_security_group(&mut self, name: &str) {
        self.set(OWN_SECURITY_GROUP, name);
    }

    /// These data disks were made with the virtual machine.
    pub(super) fn set_data_volumes(&mut self, ids: &[&str]) {
        self.set(DATA_VOLUMES, ids);
    }

    /// Data disks are about to be taken from the machine and deleted.
    pub(super) fn set_doomed_volumes(&mut self, ids: &[String]) {
        self.set(DOOMED_VOLUMES, ids);
    }

    /// An address is about to be acquired, while these are there.
    pub(super) fn request_address(&mut self, ids: Vec<String>) {
        self.set(ADDRESS_REQUESTED, ids);
    }

    /// It is known what has become of the address that was asked for.
    pub(super) fn forget_request(&mut self) {
        self.0.remove(ADDRESS_REQUESTED);
    }

    /// An address has been acquired, and is released with the machine.
    pub(super) fn set_acquired_address(&mut self, id: &str, address: &str) {
        self.0.remove(ADDRESS_REQUESTED);
        self.set(ADDRESS_ACQUIRED, true);
        self.set_address(id, address);
    }

    /// The address is about to lead to the machine alone.
    pub(super) fn set_static_nat(&mut self) {
        self.set(STATIC_NAT, true);
    }

    /// Firewall rules for ports of the address are about to be made.
    pub(super) fn set_firewall_ports(&mut self, ports: &[Ports]) {
        let texts: Vec<_> = ports.iter().map(Ports::to_string).collect();
        self.set(FIREWALL_PORTS, texts);
    }

    /// The machine is reached by these public ports.
    pub(super) fn set_public_ports(&mut self, ssh: u16, engine: u16) {
        self.set(PUBLIC_SSH_PORT, ssh);
        self.set(PUBLIC_ENGINE_PORT, engine);
    }

    /// A virtual machine is about to be deployed, or after all it is not.
    pub(super) fn set_deploy_requested(&mut self, requested: bool) {
        if requested {
            self.set(DEPLOY_REQUESTED, true);
        } else {
            self.0.remove(DEPLOY_REQUESTED);
        }
    }

    /// The virtual machine is known.
    pub(super) fn set_vm_id(&mut self, id: &str) {
        self.set(VM_ID, id);
        self.set_deploy_requested(false);
    }

    /// The virtual machine belongs to that account.
    pub(super) fn set_account(&mut self, name: &str) {
        self.set(ACCOUNT, name);
    }

    /// Ports of that public address are about to be forwarded.
    pub(super) fn set_address(&mut self, id: &str, address: &str) {
        self.set(ADDRESS_ID, id);
        self.set(ADDRESS, address);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_members_survive() {
        let mut saved =
            Saved::parse(r#"{"VmId": "", "CIDRList": ["a"], "SSHKeypair": "k"}"#).unwrap();
        assert_eq!(saved.vm_id(), None);
        assert_eq!(saved.key_pair(), Some("k"));
        saved.set_deploy_requested(true);
        assert!(saved.is_deploy_requested());
        saved.set_vm_id("v");
        assert!(!saved.is_deploy_requested());
        saved.set_address("a", "192.0.2.1");
        let expected = serde_json::json!({
            "VmId": "v", "CIDRList": ["a"], "SSHKeypair": "k",
            "PublicIpAddressId": "a", "PublicIpAddress": "192.0.2.1",
        });
        assert_eq!(Value::Object(saved.0), expected);
    }

    #[test]
    fn only_an_object_is_taken() {
        for json in ["", "[]", "1", "{"] {
            assert_eq!(Saved::parse(json).unwrap_err().kind, ErrorKind::Internal);
        }
    }
}
