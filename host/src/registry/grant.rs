//! What a user has granted to a driver, and whether the driver is still the one that it was granted to.

use std::collections::BTreeSet;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::Error;
use crate::contract::Description;
use crate::files;
use crate::sandbox::Limits;

/// The version of the file's format.
const VERSION: u32 = 1;

/// A grant is a few kilobytes.
const MAX_GRANT: u64 = 256 * 1024;

/// What a driver may do, and which driver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// The version of this format.
    version: u32,
    /// The digest of the component, in hexadecimal.
    pub sha256: String,
    /// The driver's own name, with which its options begin.
    pub driver: String,
    /// The driver's version.
    pub driver_version: String,
    /// What it may call, of what its description lists.
    pub commands: BTreeSet<String>,
    /// The hosts that its endpoints may be at; nothing if that is left to the options.
    pub hosts: Option<BTreeSet<String>>,
    /// The key by which it was signed; nothing if it was not.
    pub signed_by: Option<String>,
    /// What each of its operations may use.
    #[serde(default)]
    pub limits: Limits,
}

impl Grant {
    /// All that a component asks for.
    pub fn of(component: &[u8], description: &Description) -> Self {
        Self {
            version: VERSION,
            sha256: digest(component),
            driver: description.name.clone(),
            driver_version: description.version.clone(),
            commands: description.commands.iter().cloned().collect(),
            hosts: None,
            signed_by: None,
            limits: Limits::default(),
        }
    }

    /// Whether an endpoint may be at a host.
    pub fn permits_host(&self, host: &str) -> bool {
        let hosts = self.hosts.as_ref();
        hosts.is_none_or(|hosts| {
            hosts
                .iter()
                .any(|granted| granted.eq_ignore_ascii_case(host))
        })
    }

    /// Reads a grant.
    pub(super) fn read(path: &Path) -> Result<Self, Error> {
        let json = files::read_bounded(path, MAX_GRANT).map_err(|e| Error::file(path, e))?;
        let corrupt = |reason: String| Error::Corrupt {
            path: path.to_owned(),
            reason,
        };
        let grant: Self = serde_json::from_slice(&json).map_err(|e| corrupt(e.to_string()))?;
        match grant.version {
            VERSION => Ok(grant),
            other => Err(corrupt(format!(
                "it has version {other} of the format, not {VERSION}"
            ))),
        }
    }

    /// Writes a grant.
    pub(super) fn write(&self, path: &Path) -> Result<(), Error> {
        let json = serde_json::to_vec_pretty(self).map_err(|e| Error::file(path, e.into()))?;
        files::write_private(path, &json).map_err(|e| Error::file(path, e))
    }
}

/// The SHA-256 of a component, in hexadecimal.
pub fn digest(component: &[u8]) -> String {
    format!("{:x}", Sha256::digest(component))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant() -> Grant {
        let description = Description {
            name: "cloud".to_owned(),
            version: "1.2.3".to_owned(),
            options: Vec::new(),
            commands: vec!["GET /servers".to_owned()],
        };
        Grant::of(b"component", &description)
    }

    #[test]
    fn a_grant_survives_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("grant.json");
        grant().write(&path).unwrap();
        assert_eq!(Grant::read(&path).unwrap(), grant());
        for (spoilt, expected) in [
            ("{".to_owned(), "EOF"),
            ("{\"version\": 1}".to_owned(), "missing field"),
            (
                serde_json::to_string(&Grant {
                    version: 2,
                    ..grant()
                })
                .unwrap(),
                "version 2",
            ),
        ] {
            std::fs::write(&path, spoilt).unwrap();
            let error = Grant::read(&path).unwrap_err().to_string();
            assert!(
                error.contains(expected) && error.contains("grant.json"),
                "{error}"
            );
        }
    }

    #[test]
    fn hosts_are_granted_by_their_names_whatever_the_case() {
        let mut grant = grant();
        assert!(grant.permits_host("anywhere.example"));
        grant.hosts = Some(["api.example".to_owned()].into());
        assert!(grant.permits_host("API.example") && !grant.permits_host("api.example.org"));
        grant.hosts = Some(BTreeSet::new());
        assert!(!grant.permits_host("api.example"));
    }
}
