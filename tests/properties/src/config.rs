//! Whatever a client or a store hands over as a machine's configuration, what is kept of it is the same but for the
//! secrets, which are in a file of their own.
//!
//! An input is taken for what a client hands to a plugin (`SetConfigRaw`), for a whole `config.json`, and for a
//! `secrets.json`.

use std::fs;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use btcloud_host::capability::clock::Cancel;
use btcloud_host::capability::log::Silent;
use btcloud_host::contract::OptionKind;
use btcloud_host::machine::{Error, LazyDriver, Machine, Record, Store, Surroundings};
use serde_json::{Map, Value, json};
use tempfile::TempDir;

/// The members that Go's `BaseDriver` and the host have, which are read as Go reads them.
const HOST_MEMBERS: [&str; 13] = [
    "EnginePort",
    "IPAddress",
    "IPv6Address",
    "MachineID",
    "MachineName",
    "SSHHostname",
    "SSHKeyPath",
    "SSHPort",
    "SSHUser",
    "StorePath",
    "SwarmDiscovery",
    "SwarmHost",
    "SwarmMaster",
];

const SECRET: &str = "CANARY-SECRET-0001";

/// The driver, whose options tell what is secret. Its operations are not run.
fn driver() -> Arc<LazyDriver> {
    static DRIVER: OnceLock<Arc<LazyDriver>> = OnceLock::new();
    Arc::clone(DRIVER.get_or_init(|| Arc::new(btcloud_host::builtin::driver())))
}

/// The members that hold secrets.
fn secret_members() -> &'static [String] {
    static MEMBERS: OnceLock<Vec<String>> = OnceLock::new();
    MEMBERS.get_or_init(|| {
        let loaded = driver().loaded().expect("the driver");
        let secrets = loaded.description.options.iter();
        let secrets = secrets.filter(|option| option.kind == OptionKind::Secret);
        let members: Vec<_> = secrets
            .filter_map(|option| option.config_key.clone())
            .collect();
        assert!(!members.is_empty());
        members
    })
}

fn machine(record: Record) -> Machine {
    static SURROUNDINGS: OnceLock<Surroundings> = OnceLock::new();
    let surroundings = SURROUNDINGS.get_or_init(|| Surroundings {
        variables: Arc::new(|_| None),
        ..Surroundings::of_process(Arc::new(Silent), Cancel::default())
    });
    Machine::new(driver(), surroundings.clone(), record)
}

/// A store in memory, where there is such a place: what is written is forced to the disk.
fn store() -> (TempDir, Store) {
    let memory = Path::new("/dev/shm");
    let place = match memory.is_dir() {
        true => memory.to_owned(),
        false => std::env::temp_dir(),
    };
    let directory = TempDir::with_prefix_in("properties-", place).expect("a directory");
    let store = Store::at(directory.path().to_owned());
    (directory, store)
}

/// Whether Go takes two names for that of one member: every letter beyond ASCII that is another case of one in it.
fn is_same(name: &str, other: &str) -> bool {
    let fold = |text: &str| {
        text.replace('\u{17f}', "s")
            .replace('\u{212a}', "k")
            .to_ascii_uppercase()
    };
    fold(name) == fold(other)
}

fn is_secret(member: &str) -> bool {
    let mut secrets = secret_members().iter();
    secrets.any(|secret| is_same(secret, member))
}

fn is_host_member(member: &str) -> bool {
    HOST_MEMBERS.iter().any(|own| is_same(own, member))
}

fn object(value: &Value) -> &Map<String, Value> {
    value.as_object().expect("an object")
}

/// All that is asked of a machine without its cloud.
fn ask(machine: &Machine) {
    drop((machine.ip(), machine.ipv6(), machine.engine_url()));
    drop((machine.ssh_hostname(), machine.ssh_key_path()));
    assert_ne!(machine.ssh_port(), 0);
    let user = machine.ssh_username();
    assert!(!user.starts_with('-') && !user.contains(char::is_whitespace));
}

/// What holds of a record that is to be kept, which was made from `given`.
fn is_kept(kept: &Map<String, Value>, given: &Map<String, Value>) {
    assert!(!kept.keys().any(|member| is_secret(member)), "{kept:?}");
    for (member, value) in given {
        if !is_secret(member) && !is_host_member(member) {
            assert_eq!(kept.get(member), Some(value), "{member}");
        }
    }
    for member in kept.keys() {
        let is_known = HOST_MEMBERS.contains(&member.as_str()) || given.contains_key(member);
        assert!(is_known, "{member}");
    }
}

/// The secrets of a machine's file.
fn secrets(directory: &Path) -> Option<Map<String, Value>> {
    let file = fs::read(directory.join("secrets.json")).ok()?;
    Some(serde_json::from_slice(&file).expect("an object"))
}

/// Takes an input for what a client hands over. Whether it can be that.
fn of_client(data: &[u8]) -> bool {
    let (_directory, store) = store();
    let machine = machine(Record::new("m0", store.path()));
    let loaded = machine.load(data);
    let Ok(given) = serde_json::from_slice::<Map<String, Value>>(data) else {
        assert!(matches!(loaded, Err(Error::Record(_))));
        return false;
    };
    loaded.expect("an object");
    // It must not be somebody's.
    let place = json!({"STOREPATH": store.path()}).to_string();
    machine.load(place.as_bytes()).expect("an object");
    ask(&machine);

    let record = machine.record().expect("a record");
    let value = record.to_value();
    let kept = object(&value);
    is_kept(kept, &given);
    assert_eq!(kept["StorePath"], store.path().to_string_lossy().as_ref());
    for own in HOST_MEMBERS.into_iter().filter(|own| *own != "StorePath") {
        // The last one counts, and null is none.
        let mut members = given.iter().rev();
        let last = members.find(|(name, value)| is_same(own, name) && !value.is_null());
        match last {
            Some((_, value)) => assert_eq!(kept.get(own), Some(value), "{own}"),
            None => assert_eq!(
                kept.get(own),
                Record::new("m0", store.path()).to_value().get(own),
                "{own}"
            ),
        }
    }
    // Whoever reads it again has the same.
    let again = self::machine(Record::default());
    again.load(value.to_string().as_bytes()).expect("an object");
    assert_eq!(again.record().expect("a record").to_value(), value);
    ask(&again);

    // Nothing is lost, where the machine has a place.
    let secrets = record.directory().and_then(|place| secrets(&place));
    let secrets = secrets.unwrap_or_default();
    let is_in_file = |text: &str| secrets.values().any(|secret| secret == text);
    if record.directory().is_some() {
        for secret in secret_members() {
            let mut members = given.iter().rev();
            let last = members.find(|(name, _)| is_same(secret, name));
            match last.and_then(|(_, value)| value.as_str()) {
                None | Some("") => {}
                Some(text) => assert!(is_in_file(text), "{secret}"),
            }
        }
    }
    true
}

/// Takes an input for a `config.json`. Whether it can be that.
fn of_store(data: &[u8]) -> bool {
    let (_directory, store) = store();
    let directory = store.directory("m1");
    let path = directory.join("config.json");
    fs::create_dir_all(&directory).expect("a directory");
    fs::write(&path, data).expect("a file");
    let (record, driver_name) = match store.load("m1") {
        Ok(loaded) => loaded,
        Err(error) => {
            assert!(
                matches!(
                    error,
                    Error::Corrupt { .. } | Error::StoreVersion { .. } | Error::Record(_)
                ),
                "{error:?}"
            );
            assert_eq!(fs::read(&path).expect("a file"), data);
            return false;
        }
    };
    let before: Value = serde_json::from_slice(data).expect("JSON");
    assert_eq!(record.name(), "m1");
    assert_eq!(
        before["DriverName"].as_str().unwrap_or_default(),
        driver_name
    );

    let had_secrets = object(&record.to_value())
        .keys()
        .any(|name| is_secret(name));
    let machine = machine(record);
    ask(&machine);
    let kept = machine.record().expect("a record");
    is_kept(object(&kept.to_value()), object(&before["Driver"]));

    // The file is written only if something of it has to go, and then the client's part of it stays.
    let contents = fs::read(&path).expect("a file");
    assert_eq!(contents != data, had_secrets);
    let mut after: Value = serde_json::from_slice(&contents).expect("JSON");
    if had_secrets {
        assert_eq!(after["Driver"], kept.to_value());
        after["Driver"] = before["Driver"].clone();
        assert_eq!(after, before);
        assert_eq!(store.load("m1").expect("a machine"), (kept, driver_name));
    }
    true
}

/// Takes an input for a `secrets.json`, to which a secret is added. Whether it can be that.
fn of_secrets(data: &[u8]) -> bool {
    let (_directory, store) = store();
    let directory = store.directory("m1");
    let path = directory.join("secrets.json");
    fs::create_dir_all(&directory).expect("a directory");
    fs::write(&path, data).expect("a file");
    let mut record = Record::new("m1", store.path());
    record.set(&secret_members()[0], SECRET);
    let machine = machine(record);
    match machine.record() {
        Ok(_) => {}
        Err(error) => {
            assert!(matches!(error, Error::Secrets(_)), "{error:?}");
            // It says where, and nothing of what is there.
            let reason = error.to_string().replace(&path.display().to_string(), "");
            assert!(reason.contains("not a JSON object of texts"), "{reason}");
            assert_eq!(fs::read(&path).expect("a file"), data);
            return false;
        }
    }
    let before: Map<String, Value> = serde_json::from_slice(data).expect("an object");
    let after = secrets(&directory).expect("a file");
    let is_new = |name: &String| after[name] == SECRET;
    assert!(after.keys().any(is_new));
    for (name, value) in &before {
        assert!(&after[name] == value || is_new(name), "{name}");
    }
    assert!(
        after
            .keys()
            .all(|name| is_new(name) || before.contains_key(name))
    );
    true
}

/// Reads and keeps what a client or a store hands over. As how many of the three it can be read.
pub fn is_kept_apart(data: &[u8]) -> usize {
    [of_client(data), of_store(data), of_secrets(data)]
        .into_iter()
        .filter(|is_valid| *is_valid)
        .count()
}

/// Loads the driver, which takes a while and is no part of an input's time.
pub fn prepare() {
    secret_members();
}
