//! The contract between host and driver, `machine:driver` in `wit/`, as Rust types and traits.

/// The contract's package, as it is named in a component.
pub const PACKAGE: &str = "machine:driver";

/// The version of the contract that this host speaks. A test holds it equal to the package's version in `wit/`.
pub const VERSION: &str = "0.1.1";

#[allow(missing_docs, reason = "the documentation is in the WIT files")]
mod generated {
    wasmtime::component::bindgen!({
        world: "driver-with-inventory",
        path: "../wit",
        additional_derives: [PartialEq],
    });
}

/// What drivers export. Each interface is looked for by itself, since not every driver has all of them.
pub use generated::exports::machine::driver::{inventory, lifecycle};
pub use generated::machine::driver::{clock, http, keys, log, state, types};

pub use inventory::{Candidate, Limit, ListableOption};
use types::ErrorKind;
pub use types::{
    Description, Error, FoundMachine, Machine, MachineStatus as Status, OptionKind, OptionScope,
    OptionSpec, State, Value,
};

/// Whether this can be a driver's name, as it is part of a flag and of a program's name: at most 64 lower-case letters, digits and
/// dashes, of which the first is a letter and the last no dash.
pub(crate) fn is_driver_name(name: &str) -> bool {
    let is_allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    name.len() <= 64
        && name.bytes().all(is_allowed)
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && !name.ends_with('-')
}

/// The members of a machine's configuration that the host keeps itself: those of docker-machine's `BaseDriver` (with rancher-machine's `IPv6Address`)
/// and its own, which are the last three. Their names are docker-machine's.
pub(crate) const HOST_MEMBERS: [&str; 13] = [
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

/// Whether two names are those of one member for Go's JSON: case does not count, nor do the two letters beyond ASCII that
/// are another case of one of ASCII's (`foldName` in `encoding/json`).
pub(crate) fn is_same_member(name: &str, other: &str) -> bool {
    // A record is searched for dozens of names, and nearly all are settled here.
    if let (Some(first), Some(others)) = (name.as_bytes().first(), other.as_bytes().first())
        && first.is_ascii()
        && others.is_ascii()
        && !first.eq_ignore_ascii_case(others)
    {
        return false;
    }
    let fold = |c: char| match c {
        // LATIN SMALL LETTER LONG S
        '\u{17f}' => 's',
        // KELVIN SIGN
        '\u{212a}' => 'k',
        c => c.to_ascii_lowercase(),
    };
    name.chars().map(fold).eq(other.chars().map(fold))
}

impl Error {
    /// An error with a message and no hint.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            hint: None,
        }
    }
}

#[cfg(test)]
impl OptionSpec {
    /// An option of a machine that is no more than its name and its kind.
    pub(crate) fn of_kind(name: &str, kind: OptionKind) -> Self {
        Self {
            name: name.to_owned(),
            env: String::new(),
            help: String::new(),
            kind,
            scope: OptionScope::Machine,
            required: None,
            default: None,
            config_key: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest as _, Sha256};
    use std::collections::BTreeMap;
    use std::fs;
    use std::path::Path;

    /// The versions that were given to authors of drivers, with the digests of their files.
    const FROZEN: [(&str, &str); 1] = [(
        "0.1.0",
        "3d44f3d34baf9b47568e20210beb52361296da9b29d6d6ac4823be4f32800bcf",
    )];

    fn wit() -> &'static Path {
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../wit"))
    }

    /// The WIT files of a directory, by name.
    fn files(directory: &Path) -> BTreeMap<String, String> {
        let entries = fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().path());
        let files = entries.filter(|path| path.extension().is_some_and(|e| e == "wit"));
        files
            .map(|path| {
                let name = path.file_name().unwrap().to_str().unwrap().to_owned();
                (name, fs::read_to_string(path).unwrap())
            })
            .collect()
    }

    #[test]
    fn the_version_is_the_packages() {
        let files = files(wit());
        assert!(!files.is_empty());
        for text in files.values() {
            let package = text.lines().next().unwrap();
            assert_eq!(package, format!("package {PACKAGE}@{VERSION};"));
        }
    }

    #[test]
    fn what_drivers_have_been_built_for_never_changes() {
        let directories = fs::read_dir(wit().join("frozen")).unwrap();
        let frozen = directories.filter(|entry| entry.as_ref().unwrap().path().is_dir());
        assert_eq!(frozen.count(), FROZEN.len());
        for (version, digest) in FROZEN {
            let files = files(&wit().join("frozen").join(version));
            let mut hasher = Sha256::new();
            for (name, text) in &files {
                hasher.update(name);
                hasher.update([0]);
                hasher.update(text);
            }
            assert_eq!(format!("{:x}", hasher.finalize()), digest, "{version}");
        }
    }

    #[test]
    fn a_contract_that_differs_from_a_frozen_one_has_another_version() {
        if FROZEN.iter().any(|(version, _)| *version == VERSION) {
            assert_eq!(files(wit()), files(&wit().join("frozen").join(VERSION)));
        }
    }
}
