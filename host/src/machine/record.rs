//! The driver's part of docker-machine's `config.json`: what host and driver remember of a machine.

// What is read here comes from outside, and must not end the process.
#![cfg_attr(
    not(test),
    warn(
        clippy::arithmetic_side_effects,
        clippy::as_conversions,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::string_slice,
        clippy::unreachable,
        clippy::unwrap_used
    )
)]

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::{Error, Store};
use crate::contract::{HOST_MEMBERS, is_same_member};

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

    /// Takes over the members of a JSON object, as Go's `json.Unmarshal` does: those that it does not have stay, and so do
    /// the host's where it has `null`. Case does not count in the names of the host's, of which the last one counts.
    ///
    /// # Errors
    ///
    /// If `json` is no JSON object.
    pub fn merge(&mut self, json: &[u8]) -> Result<(), Error> {
        let members = serde_json::from_slice(json).map_err(|e| Error::Record(e.to_string()))?;
        self.take_over(members);
        Ok(())
    }

    /// As [`Record::merge`], of an object that has been read already.
    pub(super) fn take_over(&mut self, members: Map<String, Value>) {
        let mut given = Map::new();
        for (name, value) in members {
            match HOST_MEMBERS.iter().find(|own| is_same_member(own, &name)) {
                Some(_) if value.is_null() => {}
                Some(own) => drop(given.insert((*own).to_owned(), value)),
                None => drop(given.insert(name, value)),
            }
        }
        self.0.retain(|name, _| !given.contains_key(name));
        self.0.extend(given);
    }

    /// The record as JSON.
    pub fn to_value(&self) -> Value {
        Value::Object(self.0.clone())
    }

    /// A member; nothing if it is missing, `null` or an empty string. Case does not count in its name; of several the last one
    /// does, as for Go.
    pub fn get(&self, member: &str) -> Option<&Value> {
        let mut members = self.0.iter().rev();
        let (_, value) = members.find(|(name, _)| is_same_member(name, member))?;
        Some(value).filter(|v| !v.is_null() && v.as_str() != Some(""))
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

    /// Sets a member, however its name is written.
    pub fn set(&mut self, member: &str, value: impl Into<Value>) {
        self.0
            .retain(|name, _| name == member || !is_same_member(name, member));
        self.0.insert(member.to_owned(), value.into());
    }

    /// Takes a member out, however its name is written and as often as it is there; tells the last value.
    pub fn take(&mut self, member: &str) -> Option<Value> {
        let mut taken = None;
        self.0.retain(|name, value| {
            let is_kept = !is_same_member(name, member);
            if !is_kept {
                taken = Some(value.take());
            }
            is_kept
        });
        taken
    }

    /// The machine's name.
    pub fn name(&self) -> &str {
        self.text("MachineName")
    }

    /// The machine's directory in the store; nothing where there is no store, as in the client's look-up of the flags.
    pub fn directory(&self) -> Option<PathBuf> {
        let (store, name) = (self.text("StorePath"), self.name());
        let is_usable = !store.is_empty() && super::store::is_machine_name(name);
        is_usable.then(|| Store::at(PathBuf::from(store)).directory(name))
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

/// Whether a member is the host's or an option's.
fn is_reserved(member: &str, option_keys: &[&str]) -> bool {
    let mut reserved = HOST_MEMBERS.iter().chain(option_keys);
    reserved.any(|r| is_same_member(r, member))
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
    fn numbers_stay_what_they_are_however_often_they_are_read_and_written() {
        let json =
            r#"{"Later":[-1.4992542408573411e-152,6.954987222455736e+250,18446744073709551615]}"#;
        let mut record = Record::default();
        record.merge(json.as_bytes()).unwrap();
        assert_eq!(record.to_value().to_string(), json);
    }

    #[test]
    fn case_counts_in_the_names_of_members_as_little_as_for_go() {
        let mut record = Record::new("m1", Path::new("/store"));
        record
            .merge(
                r#"{"machinename": "x", "MACHINENAME": "m2", "\u017ftorePath": "/other", "SSHUser": null, "Zone": "a",
                    "zone": "b", "Own": 1, "own": 2}"#
                    .as_bytes(),
            )
            .unwrap();
        assert_eq!(record.name(), "m2");
        assert_eq!(record.text("StorePath"), "/other");
        assert_eq!(record.text("Zone"), "b");
        // The other way round it is the last one again.
        record.merge(br#"{"Zone": "c"}"#).unwrap();
        assert_eq!(record.text("ZONE"), "c");
        // What only a driver knows is not the host's to put together.
        let saved = object(json!({"Own": 1, "own": 2}));
        assert_eq!(record.saved(&["Zone"]), saved);
        record.set("Zone", "d");
        assert_eq!(record.take("zone"), Some(json!("d")));
        assert_eq!(record.get("Zone"), None);
        for name in [
            "STOREPATH",
            "\u{17f}torePath",
            "SS\u{212a}eyPath",
            "SSH\u{212a}eyPath",
        ] {
            let is_host_member = name != "SS\u{212a}eyPath";
            assert_eq!(is_reserved(name, &[]), is_host_member, "{name}");
        }
        assert_eq!(record.text("SSHUser"), "");
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
