//! docker-machine's store: `machines/NAME/config.json` and what lies beside it.

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

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::engine::null_is_none;
use super::{Engine, EngineOptions, Error, Lock, Record};
use crate::capability::clock::Cancel;
use crate::{directories, files};

/// The version of `config.json` that docker-machine 0.16 writes.
const CONFIG_VERSION: u64 = 3;

/// A `config.json` is a few kilobytes.
const MAX_CONFIG: u64 = 4 * 1024 * 1024;

/// A store of machines, shared with docker-machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store(PathBuf);

/// What a store has of a machine.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    /// The record.
    pub record: Record,
    /// The name of its driver.
    pub driver: String,
    /// The labels of its Docker engine, `key=value`.
    pub labels: Vec<String>,
}

impl Store {
    /// The store in that directory, which need not exist yet.
    pub fn at(directory: PathBuf) -> Self {
        Self(directory)
    }

    /// docker-machine's default place, `~/.docker/machine`; nothing where there is no home.
    pub fn of_user() -> Option<Self> {
        Some(Self(directories::home()?.join(".docker").join("machine")))
    }

    /// The store's directory.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The directory of a machine.
    pub fn directory(&self, name: &str) -> PathBuf {
        self.0.join("machines").join(name)
    }

    /// Whether there is a machine of that name.
    pub fn contains(&self, name: &str) -> bool {
        config_path(&self.directory(name)).exists()
    }

    /// Reads the record of a machine, and the name of its driver.
    ///
    /// # Errors
    ///
    /// As [`Store::entry`].
    pub fn load(&self, name: &str) -> Result<(Record, String), Error> {
        let stored = self.entry(name)?;
        Ok((stored.record, stored.driver))
    }

    /// Reads what there is of a machine.
    ///
    /// # Errors
    ///
    /// If there is no such machine, or its file cannot be read or understood.
    pub fn entry(&self, name: &str) -> Result<Stored, Error> {
        self.refuse_links(name)?;
        let path = config_path(&self.directory(name));
        let mut config = match read(&path) {
            Err(Error::Store { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                let store = self.0.clone();
                return Err(Error::NoSuchMachine {
                    name: name.to_owned(),
                    store,
                });
            }
            config => config?,
        };
        let record = take_record(&mut config, &path, name, &self.0)?;
        let driver_name = config.get("DriverName").and_then(Value::as_str);
        let labels = config
            .get("HostOptions")
            .and_then(|options| options.get("EngineOptions")?.get("Labels")?.as_array())
            .map(|labels| labels.iter().filter_map(Value::as_str).map(str::to_owned));
        Ok(Stored {
            record,
            driver: driver_name.unwrap_or_default().to_owned(),
            labels: labels.into_iter().flatten().collect(),
        })
    }

    /// The names of the machines, in their order. What is no machine's directory is left out.
    ///
    /// # Errors
    ///
    /// If the store cannot be read. One that is not there yet is empty.
    pub fn names(&self) -> Result<Vec<String>, Error> {
        let directory = self.0.join("machines");
        let entries = match fs::read_dir(&directory) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(|e| Error::store(&directory, e))?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|e| Error::store(&directory, e))?;
            if let Ok(name) = entry.file_name().into_string()
                && is_machine_name(&name)
                && self.contains(&name)
            {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    /// The whole configuration of a machine, with `record` in the place of its own.
    ///
    /// # Errors
    ///
    /// If it cannot be read or understood.
    pub fn config(&self, name: &str, record: &Record) -> Result<Value, Error> {
        let mut config = read(&config_path(&self.directory(name)))?;
        config.insert("Driver".to_owned(), record.to_value());
        Ok(Value::Object(config))
    }

    /// Makes the directory and the `config.json` of a new machine, as docker-machine's `create` would with its defaults. Of
    /// several that try at once, one succeeds.
    ///
    /// # Errors
    ///
    /// If there is such a machine already, or it cannot be written.
    pub fn create(
        &self,
        name: &str,
        record: &Record,
        driver_name: &str,
        engine: &Engine,
    ) -> Result<(), Error> {
        let directory = self.directory(name);
        self.refuse_links(name)?;
        files::create_private_dir(&directory).map_err(|e| Error::store(&directory, e))?;
        let path = config_path(&directory);
        let config = json!({
            "ConfigVersion": CONFIG_VERSION,
            "Driver": record.to_value(),
            "DriverName": driver_name,
            "HostOptions": self.host_options(&directory, engine),
            "Name": name,
        });
        match files::create_private(&path, &to_json(&path, &config)?) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                Err(Error::MachineExists(name.to_owned()))
            }
            created => created.map_err(|e| Error::store(&path, e)),
        }
    }

    /// The directory with the certificates by which Docker's client and a machine's engine know each other: `ca.pem`,
    /// `cert.pem` and `key.pem`.
    ///
    /// # Errors
    ///
    /// [`Error::NotProvisioned`] if they are not there.
    pub fn certificates(&self, name: &str) -> Result<PathBuf, Error> {
        let directory = self.directory(name);
        let is_there = |file: &&str| directory.join(file).is_file();
        match ["ca.pem", "cert.pem", "key.pem"].iter().all(is_there) {
            true => Ok(directory),
            false => Err(Error::NotProvisioned(name.to_owned())),
        }
    }

    /// Has a machine for oneself, as [`Lock`] tells; `waiting` is given the line that says so if somebody else has it.
    ///
    /// # Errors
    ///
    /// If there is no such machine, its directory cannot be written, or `cancel` is set while somebody else has it.
    pub fn lock(&self, name: &str, cancel: &Cancel, waiting: &dyn Fn(&str)) -> Result<Lock, Error> {
        let gone = || Error::NoSuchMachine {
            name: name.to_owned(),
            store: self.0.clone(),
        };
        let is_there = |()| self.contains(name).then_some(()).ok_or_else(gone);
        is_there(())?;
        match Lock::of(&self.directory(name), cancel, waiting) {
            // Who had it has removed it.
            Err(Error::Store { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                Err(gone())
            }
            locked => locked.and_then(|lock| is_there(()).map(|()| lock)),
        }
    }

    /// Removes all that the store has of a machine.
    ///
    /// # Errors
    ///
    /// If something cannot be removed.
    pub fn remove(&self, name: &str) -> Result<(), Error> {
        let directory = self.directory(name);
        self.refuse_links(name)?;
        // Under a name that nobody looks at, docker-machine neither: who comes or waits meanwhile finds nothing, rather than a
        // part, and puts nothing into it.
        let doomed = self.0.join("machines").join(format!(".removed-{name}"));
        drop(fs::remove_dir_all(&doomed));
        let removed = match fs::rename(&directory, &doomed) {
            Ok(()) => fs::remove_dir_all(&doomed),
            // It is a file system of its own, say.
            Err(_) => fs::remove_dir_all(&directory),
        };
        removed.map_err(|e| Error::store(&directory, e))
    }

    /// How a machine's engine is set up, as whoever made it wanted.
    ///
    /// # Errors
    ///
    /// If the file cannot be read or understood.
    pub fn engine(&self, name: &str) -> Result<Engine, Error> {
        #[derive(Default, Deserialize)]
        #[serde(default, rename_all = "PascalCase")]
        struct AuthOptions {
            #[serde(rename = "ServerCertSANs", deserialize_with = "null_is_none")]
            names: Vec<String>,
        }
        #[derive(Default, Deserialize)]
        #[serde(default, rename_all = "PascalCase")]
        struct HostOptions {
            // rancher-machine leaves both out where it does not provision.
            engine_options: Option<EngineOptions>,
            auth_options: Option<AuthOptions>,
        }
        let path = config_path(&self.directory(name));
        let Some(options) = read(&path)?.remove("HostOptions") else {
            return Ok(Engine::default());
        };
        let options: HostOptions =
            serde_json::from_value(options).map_err(|e| Error::corrupt(&path, &e.to_string()))?;
        Ok(Engine {
            options: options.engine_options.unwrap_or_default(),
            names: options.auth_options.unwrap_or_default().names,
        })
    }

    /// The store itself may be a link; a machine in it may not, since it is written and removed as a whole.
    fn refuse_links(&self, name: &str) -> Result<(), Error> {
        let directory = self.directory(name);
        let config = config_path(&directory);
        let is_link = |path: &PathBuf| {
            fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_symlink())
        };
        match [directory, config].into_iter().find(is_link) {
            Some(path) => Err(Error::Link(path)),
            None => Ok(()),
        }
    }

    fn host_options(&self, directory: &Path, engine: &Engine) -> Value {
        let options = &engine.options;
        let certs = self.0.join("certs");
        json!({
            "Driver": "",
            "Memory": 0,
            "Disk": 0,
            "EngineOptions": {
                "ArbitraryFlags": options.arbitrary_flags, "Dns": null, "GraphDir": "", "Env": options.env,
                "Ipv6": false, "InsecureRegistry": options.insecure_registry, "Labels": options.labels,
                "LogLevel": "", "StorageDriver": options.storage_driver, "SelinuxEnabled": false,
                "TlsVerify": true, "RegistryMirror": options.registry_mirror,
                "InstallURL": options.install_url,
            },
            "SwarmOptions": {
                "IsSwarm": false, "Address": "", "Discovery": "", "Agent": false, "Master": false,
                "Host": "tcp://0.0.0.0:3376", "Image": "swarm:latest", "Strategy": "spread",
                "Heartbeat": 0, "Overcommit": 0, "ArbitraryFlags": [], "ArbitraryJoinFlags": [],
                "Env": null, "IsExperimental": false,
            },
            "AuthOptions": {
                "CertDir": certs,
                "CaCertPath": certs.join("ca.pem"),
                "CaPrivateKeyPath": certs.join("ca-key.pem"),
                "CaCertRemotePath": "",
                "ServerCertPath": directory.join("server.pem"),
                "ServerKeyPath": directory.join("server-key.pem"),
                "ClientKeyPath": certs.join("key.pem"),
                "ServerCertRemotePath": "",
                "ServerKeyRemotePath": "",
                "ClientCertPath": certs.join("cert.pem"),
                "ServerCertSANs": engine.names,
                "StorePath": directory,
            },
        })
    }
}

/// The record that the `config.json` of `record`'s machine has by now; nothing if there is no such file: the client may keep
/// it elsewhere.
///
/// # Errors
///
/// If the file cannot be read or understood.
pub(super) fn current(directory: &Path, record: &Record) -> Result<Option<Record>, Error> {
    let path = config_path(directory);
    let mut config = match read(&path) {
        Err(Error::Store { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            return Ok(None);
        }
        config => config?,
    };
    let store = Path::new(record.text("StorePath"));
    take_record(&mut config, &path, record.name(), store).map(Some)
}

/// Writes a record into the `config.json` of its machine, the rest of which stays. Does nothing and tells `false` if there
/// is none: the client may keep it elsewhere, and its own copy counts.
///
/// # Errors
///
/// If the file cannot be read, understood or written.
pub(super) fn update(directory: &Path, record: &Record) -> Result<bool, Error> {
    let path = config_path(directory);
    if !path.exists() {
        return Ok(false);
    }
    let mut config = read(&path)?;
    config.insert("Driver".to_owned(), record.to_value());
    write(&path, &Value::Object(config))?;
    Ok(true)
}

/// Whether docker-machine takes this for the name of a machine (`libmachine/host/host.go`), and a file system for that
/// of a directory.
pub fn is_machine_name(name: &str) -> bool {
    name.len() <= 255
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.')
}

fn config_path(directory: &Path) -> PathBuf {
    directory.join("config.json")
}

/// Takes the record of a machine out of the contents of its `config.json`.
fn take_record(
    config: &mut Map<String, Value>,
    path: &Path,
    name: &str,
    store: &Path,
) -> Result<Record, Error> {
    let mut record = Record::new(name, store);
    match config.remove("Driver") {
        Some(Value::Object(driver)) => record.take_over(driver),
        _ => return Err(Error::corrupt(path, "it has no driver")),
    }
    if record.name() != name {
        return Err(Error::corrupt(path, "it is another machine's"));
    }
    // The store may have been moved; docker-machine keeps absolute paths.
    record.set("StorePath", store.to_string_lossy());
    Ok(record)
}

fn read(path: &Path) -> Result<Map<String, Value>, Error> {
    let contents = files::read_bounded(path, MAX_CONFIG).map_err(|e| Error::store(path, e))?;
    let config: Map<String, Value> =
        serde_json::from_slice(&contents).map_err(|e| Error::corrupt(path, &e.to_string()))?;
    match config.get("ConfigVersion").and_then(Value::as_u64) {
        Some(CONFIG_VERSION) => Ok(config),
        Some(version) => Err(Error::StoreVersion {
            path: path.to_owned(),
            version,
            known: CONFIG_VERSION,
        }),
        None => Err(Error::corrupt(path, "it has no version")),
    }
}

fn write(path: &Path, config: &Value) -> Result<(), Error> {
    files::write_private(path, &to_json(path, config)?).map_err(|e| Error::store(path, e))
}

fn to_json(path: &Path, config: &Value) -> Result<Vec<u8>, Error> {
    // Four spaces, as docker-machine writes it.
    let mut contents = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut contents, formatter);
    serde::Serialize::serialize(config, &mut serializer)
        .map_err(|e| Error::store(path, e.into()))?;
    Ok(contents)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::at(dir.path().join("store"));
        (dir, store)
    }

    #[test]
    fn a_machine_is_kept_updated_and_removed() {
        let (_dir, store) = store();
        let mut record = Record::new("m1", store.path());
        record.set("VmId", "1");
        store
            .create("m1", &record, "btcloud", &Engine::default())
            .unwrap();
        assert!(matches!(
            store.create("m1", &record, "btcloud", &Engine::default()),
            Err(Error::MachineExists(_))
        ));
        record.set("VmId", "2");
        assert!(update(&store.directory("m1"), &record).unwrap());
        assert!(!update(&store.directory("m2"), &record).unwrap());
        assert_eq!(store.load("m1").unwrap(), (record, "btcloud".to_owned()));
        fs::create_dir(store.directory("empty")).unwrap();
        assert_eq!(store.names().unwrap(), ["m1"]);
        store.remove("m1").unwrap();
        assert!(!store.contains("m1") && store.names().unwrap().is_empty());
        assert!(matches!(store.load("m1"), Err(Error::NoSuchMachine { .. })));
    }

    #[test]
    fn an_update_keeps_what_the_client_wrote() {
        let (_dir, store) = store();
        let record = Record::new("m1", store.path());
        store
            .create("m1", &record, "btcloud", &Engine::default())
            .unwrap();
        let path = config_path(&store.directory("m1"));
        let text = fs::read_to_string(&path)
            .unwrap()
            .replace("spread", "binpack");
        fs::write(&path, text).unwrap();
        update(&store.directory("m1"), &record).unwrap();
        assert!(fs::read_to_string(&path).unwrap().contains("\"binpack\""));
    }

    #[test]
    fn a_corrupt_file_is_named_and_left_alone() {
        let (_dir, store) = store();
        let record = Record::new("m1", store.path());
        store
            .create("m1", &record, "btcloud", &Engine::default())
            .unwrap();
        let path = config_path(&store.directory("m1"));
        for (contents, expected) in [
            ("{", "EOF"),
            ("[]", "invalid type"),
            ("{}", "no version"),
            (r#"{"ConfigVersion": 9}"#, "version 9 of the format, not 3"),
            (r#"{"ConfigVersion": 1}"#, "version 1 of the format, not 3"),
            (r#"{"ConfigVersion": 3}"#, "no driver"),
            (
                r#"{"ConfigVersion": 3, "Driver": {"MachineName": "m2"}}"#,
                "another machine's",
            ),
        ] {
            fs::write(&path, contents).unwrap();
            let error = store.load("m1").unwrap_err().to_string();
            assert!(
                error.contains(expected) && error.contains("config.json"),
                "{error}"
            );
            assert_eq!(fs::read_to_string(&path).unwrap(), contents);
        }
    }

    #[test]
    fn who_looks_at_a_machine_while_it_is_removed_keeps_nothing_of_it() {
        let (_dir, store) = store();
        let record = Record::new("m1", store.path());
        for _ in 0..100 {
            store
                .create("m1", &record, "btcloud", &Engine::default())
                .unwrap();
            let cancel = Cancel::default();
            let looks = || while store.lock("m1", &cancel, &|_| ()).is_ok() {};
            std::thread::scope(|scope| {
                let others = [scope.spawn(looks), scope.spawn(looks)];
                store.remove("m1").unwrap();
                for other in others {
                    other.join().unwrap();
                }
            });
            let left = fs::read_dir(store.path().join("machines")).unwrap();
            assert_eq!(left.count(), 0);
        }
    }

    #[test]
    fn a_machine_behind_a_link_is_not_touched() {
        let (dir, store) = store();
        let record = Record::new("m1", store.path());
        store
            .create("m1", &record, "btcloud", &Engine::default())
            .unwrap();
        let elsewhere = dir.path().join("elsewhere");
        fs::rename(store.directory("m1"), &elsewhere).unwrap();
        std::os::unix::fs::symlink(&elsewhere, store.directory("m1")).unwrap();
        assert_eq!(store.names().unwrap(), ["m1"]);
        for result in [
            store.load("m1").map(drop),
            store.remove("m1"),
            store.create("m1", &record, "btcloud", &Engine::default()),
        ] {
            let error = result.unwrap_err();
            assert!(
                matches!(error, Error::Link(_)) && error.hint().is_some(),
                "{error}"
            );
        }
        assert!(config_path(&elsewhere).exists());
        // The store as a whole may be one.
        let link = dir.path().join("link");
        fs::remove_file(store.directory("m1")).unwrap();
        fs::rename(&elsewhere, store.directory("m1")).unwrap();
        std::os::unix::fs::symlink(store.path(), &link).unwrap();
        Store::at(link).load("m1").unwrap();
    }

    #[test]
    fn names_are_docker_machines() {
        for good in ["m1", "a.b-c", "9"] {
            assert!(is_machine_name(good), "{good}");
        }
        for bad in ["", "-a", ".a", "a_b", "a/b", "ä", &"a".repeat(256)] {
            assert!(!is_machine_name(bad), "{bad}");
        }
    }
}
