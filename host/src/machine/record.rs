//! The driver's part of docker-machine's `config.json`: what host and driver remember of a machine.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::Error;

/// The members that the host keeps itself: those of docker-machine's `BaseDriver` (with rancher-machine's `IPv6Address`)
/// and its own, which are the last three. Their names are docker-machine's.
const HOST_MEMBERS: [&str; 13] = [
    "IPAddress",
    "MachineName",
    "SSHUser",
    "SSHPort",
    "SSHKeyPath",
    "StorePath",
    "SwarmMaster",
    "SwarmHost",
    "SwarmDiscovery",
    "IPv6Address",
    "MachineID",
    "SSHHostname",
    "EnginePort",
];

/// The JSON object in which a machine is remembered. Members that nobody here knows survive.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Record(Map<String, Value>);

impl Record {
    /// The record of a machine that has no more than a name and a place in the store.
    pub fn new(name: &str, store: &Path) -> Self {
        let members = json!({
            "IPAddress": "", "MachineName": name, "SSHUser": "", "SSHPort": 0, "SSHKeyPath": "",
            "StorePath": store.to_string_lossy(),
            "SwarmMaster": false, "SwarmHost": "", "SwarmDiscovery": "",
        });
        match members {
            Value::Object(members) => Self(members),
            _ => Self::default(),
        }
    }

    /// Takes over the members of a JSON object, as Go's `json.Unmarshal` does: those that it does not have stay.
    ///
    /// # Errors
    ///
    /// If `json` is no JSON object.
    pub fn merge(&mut self, json: &[u8]) -> Result<(), Error> {
        let members: Map<String, Value> =
            serde_json::from_slice(json).map_err(|e| Error::Record(e.to_string()))?;
        self.0.extend(members);
        Ok(())
    }

    /// The record as JSON.
    pub fn to_value(&self) -> Value {
        Value::Object(self.0.clone())
    }

    /// A member; nothing if it is missing, `null` or an empty string.
    pub fn get(&self, member: &str) -> Option<&Value> {
        self.0
            .get(member)
            .filter(|v| !v.is_null() && v.as_str() != Some(""))
    }

    /// A member that is a text; empty if it is not there or something else.
    pub fn text(&self, member: &str) -> &str {
        self.get(member).and_then(Value::as_str).unwrap_or_default()
    }

    /// A member that is a port; nothing if it is not there or something else.
    pub fn port(&self, member: &str) -> Option<u16> {
        let port = self.get(member)?.as_u64()?;
        u16::try_from(port).ok().filter(|port| *port > 0)
    }

    /// Whether a member is `true`.
    pub fn flag(&self, member: &str) -> bool {
        self.get(member)
            .and_then(Value::as_bool)
            .unwrap_or_default()
    }

    /// Sets a member.
    pub fn set(&mut self, member: &str, value: impl Into<Value>) {
        self.0.insert(member.to_owned(), value.into());
    }

    /// Takes a member out.
    pub fn take(&mut self, member: &str) -> Option<Value> {
        self.0.shift_remove(member)
    }

    /// The machine's name.
    pub fn name(&self) -> &str {
        self.text("MachineName")
    }

    /// The machine's directory in the store; nothing where there is no store, as in the client's look-up of the flags.
    pub fn directory(&self) -> Option<PathBuf> {
        let (store, name) = (self.text("StorePath"), self.name());
        let is_usable = !store.is_empty() && super::store::is_machine_name(name);
        is_usable.then(|| Path::new(store).join("machines").join(name))
    }

    /// Where the private SSH key lies.
    pub fn ssh_key_path(&self) -> Option<PathBuf> {
        match self.text("SSHKeyPath") {
            "" => Some(self.directory()?.join("id_rsa")),
            path => Some(PathBuf::from(path)),
        }
    }

    /// What the driver remembers: all that is neither the host's nor an option's.
    pub fn saved(&self, option_keys: &[&str]) -> Map<String, Value> {
        let mut saved = self.0.clone();
        saved.retain(|member, _| !is_reserved(member, option_keys));
        saved
    }

    /// Replaces what the driver remembers.
    ///
    /// # Errors
    ///
    /// The name of a member that the driver must not set.
    pub fn replace_saved(
        &mut self,
        saved: Map<String, Value>,
        option_keys: &[&str],
    ) -> Result<(), String> {
        if let Some(member) = saved.keys().find(|m| is_reserved(m, option_keys)) {
            return Err(member.clone());
        }
        self.0.retain(|member, _| is_reserved(member, option_keys));
        self.0.extend(saved);
        Ok(())
    }
}

/// Whether a member is the host's or an option's. Case does not count, since it does not for Go's JSON.
pub(super) fn is_reserved(member: &str, option_keys: &[&str]) -> bool {
    let mut reserved = HOST_MEMBERS.iter().chain(option_keys);
    reserved.any(|r| r.eq_ignore_ascii_case(member))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn members_that_nobody_knows_survive() {
        let mut record = Record::new("m1", Path::new("/store"));
        record
            .merge(br#"{"VmId": "1", "Zone": "z", "Later": [1]}"#)
            .unwrap();
        assert_eq!(record.name(), "m1");
        assert_eq!(
            record.saved(&["Zone"]),
            object(json!({"VmId": "1", "Later": [1]}))
        );
        record.merge(b"[]").unwrap_err();
    }

    #[test]
    fn a_driver_changes_only_what_is_its_own() {
        let mut record = Record::new("m1", Path::new("/store"));
        record
            .merge(br#"{"VmId": "1", "Old": "x", "Zone": "z"}"#)
            .unwrap();
        record
            .replace_saved(object(json!({"VmId": "2"})), &["Zone"])
            .unwrap();
        assert_eq!(record.saved(&["Zone"]), object(json!({"VmId": "2"})));
        assert_eq!(record.text("Zone"), "z");
        for member in ["SSHKeyPath", "storepath", "zone"] {
            let mut saved = Map::new();
            saved.insert(member.to_owned(), json!("/etc"));
            assert_eq!(record.replace_saved(saved, &["Zone"]).unwrap_err(), member);
        }
    }

    #[test]
    fn a_name_that_leaves_the_store_has_no_directory() {
        let directory = |name: &str| Record::new(name, Path::new("/store")).directory();
        assert_eq!(directory("m1"), Some(PathBuf::from("/store/machines/m1")));
        for name in ["", ".", "..", "../x", "a/b", "-x"] {
            assert_eq!(directory(name), None, "{name}");
        }
        assert_eq!(Record::new("m1", Path::new("")).directory(), None);
    }
}
