//! What the driver remembers of a machine.
//!
//! The members that the driver of 2016 kept have its names, so that its machines are taken over as they are.

use serde_json::{Map, Value};

use crate::contract::types::{Error, ErrorKind};
use crate::failure;
use crate::host::Host;

/// The virtual machine's id; by the driver of 2016.
const VM_ID: &str = "VmId";
/// The name of the key pair in CloudStack; by the driver of 2016. Saved before anything is made.
const KEY_PAIR: &str = "SSHKeypair";
/// Whether certificates are verified, which they always are now; by the driver of 2016, which would not verify them
/// if it took over a machine without this.
const VERIFY_SSL: &str = "VerifySSL";
/// Set while a deployment has been asked for and its virtual machine's id is not known.
const DEPLOY_REQUESTED: &str = "DeployRequested";
/// The id of the public address whose ports are forwarded. Saved before the first rule is made.
const ADDRESS_ID: &str = "PublicIpAddressId";
/// That address.
const ADDRESS: &str = "PublicIpAddress";

/// The JSON object that the host keeps. Members that are not the driver's stay in it.
#[derive(Clone, Debug, PartialEq)]
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
        host.save(&Value::Object(self.0.clone()).to_string())
    }

    fn text(&self, member: &str) -> Option<&str> {
        // The driver of 2016 saved empty strings before it had made something.
        self.0.get(member)?.as_str().filter(|text| !text.is_empty())
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
        self.0.get(DEPLOY_REQUESTED) == Some(&Value::Bool(true))
    }

    /// The id of the public address whose ports are forwarded.
    pub(super) fn address_id(&self) -> Option<&str> {
        self.text(ADDRESS_ID)
    }

    /// The public address whose ports are forwarded.
    pub(super) fn address(&self) -> Option<&str> {
        self.text(ADDRESS)
    }

    /// A key pair of that name is about to be registered.
    pub(super) fn set_key_pair(&mut self, name: &str) {
        self.set(KEY_PAIR, name);
        self.set(VERIFY_SSL, true);
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
