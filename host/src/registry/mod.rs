//! The third-party drivers that a user has installed: the component of each, pinned by its digest, and what it was granted.
//!
//! They lie in a directory of the user's that nobody else may write, `NAME/driver.wasm` and `NAME/grant.json` each.

mod grant;
mod signature;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::contract::is_driver_name;
use crate::{directories, files};
pub use grant::{Grant, digest};
pub use signature::{TrustedKeys, beside};

/// The file of a driver's component.
const COMPONENT: &str = "driver.wasm";

/// The file of a driver's grant.
const GRANT: &str = "grant.json";

/// The name of the driver that this host carries in itself, and under which none can be installed.
pub const BUILT_IN: &str = "btcloud";

/// The drivers that docker-machine and rancher-machine carry in themselves (`localbinary.CoreDrivers`), and for which they
/// never look for a plugin.
const CORE_DRIVERS: [&str; 16] = [
    "amazonec2",
    "azure",
    "digitalocean",
    "exoscale",
    "generic",
    "google",
    "hyperv",
    "none",
    "noop",
    "openstack",
    "pod",
    "rackspace",
    "softlayer",
    "virtualbox",
    "vmwarefusion",
    "vmwarevsphere",
];

/// What can go wrong with an installed driver.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no driver of that name.
    #[error("no driver is installed as \"{0}\"")]
    NotInstalled(String),
    /// The name cannot be a driver's.
    #[error("a driver cannot be installed as \"{name}\": {reason}")]
    Name {
        /// The name.
        name: String,
        /// Why not.
        reason: &'static str,
    },
    /// The component is not the one that was granted something.
    #[error(
        "the component of the driver \"{name}\" has changed since it was installed: its sha256 is {found}, not {granted}"
    )]
    Changed {
        /// The driver's name.
        name: String,
        /// The digest that was granted.
        granted: String,
        /// The digest that it has.
        found: String,
    },
    /// Somebody else could have changed it.
    #[error("{path} belongs to another user, or others can write it", path = .0.display())]
    Unsafe(PathBuf),
    /// A file cannot be read or written.
    #[error("cannot use {path}: {source}", path = .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file cannot be understood.
    #[error("{path} is not a grant: {reason}", path = .path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// A text is no key of minisign's.
    #[error("\"{0}\" is neither a public key of minisign's nor a file with one")]
    Key(String),
    /// A line of a file of keys is no key of minisign's.
    #[error("line {line} of {path} is not a public key of minisign's", path = .path.display())]
    KeyLine {
        /// The file.
        path: PathBuf,
        /// The line's number, from 1.
        line: usize,
    },
    /// A signature does not count.
    #[error("the signature {path} does not count: {reason}", path = .path.display())]
    Signature {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
}

impl Error {
    fn file(path: &Path, source: io::Error) -> Self {
        Self::File {
            path: path.to_owned(),
            source,
        }
    }

    /// What the user can do about it, if there is something.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NotInstalled(_) => {
                "`btcloud-host driver list` lists those that are; `btcloud-host driver install FILE` installs one"
            }
            Self::Name { .. } => "choose another name with --as",
            Self::Changed { .. } | Self::Corrupt { .. } => {
                "`btcloud-host driver install FILE` installs and grants it anew"
            }
            Self::Unsafe(_) => {
                "make it yours, and writable for you alone; then look at what is in it, or install the driver anew"
            }
            Self::Signature { .. } => "--key names a key that is trusted",
            Self::KeyLine { .. } => "a line has one key in base64, as `minisign -G` prints it",
            Self::File { .. } | Self::Key(_) => return None,
        };
        Some(hint.to_owned())
    }
}

/// The installed drivers of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registry(PathBuf);

/// A driver that is installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// The name by which it goes here.
    pub name: String,
    /// What it was granted.
    pub grant: Grant,
    /// Its component.
    pub component: Vec<u8>,
}

impl Registry {
    /// The user's, `$XDG_DATA_HOME/btcloud-host/drivers` or `~/.local/share/btcloud-host/drivers`; nothing where there is
    /// no home.
    pub fn of_user() -> Option<Self> {
        Some(Self::at(directories::data()?.join("drivers")))
    }

    /// The drivers in that directory, which need not exist yet.
    pub fn at(directory: PathBuf) -> Self {
        Self(directory)
    }

    /// Whether a driver may be installed under a name.
    ///
    /// # Errors
    ///
    /// If it may not.
    pub fn check_name(name: &str) -> Result<(), Error> {
        let reason = if !is_driver_name(name) {
            "it is not of lower-case letters, digits and dashes"
        } else if name == BUILT_IN {
            "that is the built-in driver's name"
        } else if CORE_DRIVERS.contains(&name) {
            "docker-machine carries a driver of that name in itself, and looks for no other"
        } else {
            return Ok(());
        };
        Err(Error::Name {
            name: name.to_owned(),
            reason,
        })
    }

    /// The names of the installed drivers, in their order.
    ///
    /// # Errors
    ///
    /// If the directory cannot be read.
    pub fn names(&self) -> Result<Vec<String>, Error> {
        let entries = match fs::read_dir(&self.0) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(|e| Error::file(&self.0, e))?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|e| Error::file(&self.0, e))?;
            if let Ok(name) = entry.file_name().into_string()
                && Self::check_name(&name).is_ok()
                && entry.path().join(GRANT).exists()
            {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    /// The grant of a driver.
    ///
    /// # Errors
    ///
    /// If there is no such driver, or somebody else could have changed its grant.
    pub fn grant(&self, name: &str) -> Result<Grant, Error> {
        let not_installed = || Error::NotInstalled(name.to_owned());
        Self::check_name(name).map_err(|_| not_installed())?;
        let directory = self.0.join(name);
        let path = directory.join(GRANT);
        if !path.exists() {
            return Err(not_installed());
        }
        for path in [&self.0, &directory, &path] {
            let metadata = fs::symlink_metadata(path).map_err(|e| Error::file(path, e))?;
            if metadata.is_symlink() || !files::is_private(&metadata) {
                return Err(Error::Unsafe(path.clone()));
            }
        }
        Grant::read(&path)
    }

    /// A driver, with a component of at most the granted size.
    ///
    /// # Errors
    ///
    /// As [`Registry::grant`], or if the component is not the one that was granted something.
    pub fn load(&self, name: &str) -> Result<Installed, Error> {
        let grant = self.grant(name)?;
        let path = self.0.join(name).join(COMPONENT);
        let component = files::read_bounded(&path, grant.limits.component_size as u64)
            .map_err(|e| Error::file(&path, e))?;
        let found = digest(&component);
        if found != grant.sha256 {
            return Err(Error::Changed {
                name: name.to_owned(),
                granted: grant.sha256,
                found,
            });
        }
        Ok(Installed {
            name: name.to_owned(),
            grant,
            component,
        })
    }

    /// Installs a component with its grant, in the place of one of that name.
    ///
    /// # Errors
    ///
    /// If the name is none for a driver, or the files cannot be written.
    pub fn install(&self, name: &str, component: &[u8], grant: &Grant) -> Result<(), Error> {
        Self::check_name(name)?;
        let directory = self.0.join(name);
        files::create_private_dir(&directory).map_err(|e| Error::file(&directory, e))?;
        let path = directory.join(COMPONENT);
        // In between the two the component is not the granted one, and would be refused.
        files::write_private(&path, component).map_err(|e| Error::file(&path, e))?;
        grant.write(&directory.join(GRANT))
    }

    /// Removes a driver.
    ///
    /// # Errors
    ///
    /// If there is no such driver, or its files cannot be removed.
    pub fn remove(&self, name: &str) -> Result<(), Error> {
        let directory = self.0.join(name);
        if Self::check_name(name).is_err() || !directory.join(GRANT).exists() {
            return Err(Error::NotInstalled(name.to_owned()));
        }
        fs::remove_dir_all(&directory).map_err(|e| Error::file(&directory, e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Description;
    use std::os::unix::fs::PermissionsExt as _;

    fn grant(component: &[u8]) -> Grant {
        let description = Description {
            name: "cloud".to_owned(),
            version: "1.0.0".to_owned(),
            options: Vec::new(),
            commands: Vec::new(),
        };
        Grant::of(component, &description)
    }

    fn registry() -> (tempfile::TempDir, Registry) {
        let dir = tempfile::tempdir().unwrap();
        let registry = Registry::at(dir.path().join("data/drivers"));
        registry
            .install("cloud", b"component", &grant(b"component"))
            .unwrap();
        (dir, registry)
    }

    #[test]
    fn a_driver_is_kept_and_removed() {
        let (_dir, registry) = registry();
        assert_eq!(registry.names().unwrap(), ["cloud"]);
        let installed = registry.load("cloud").unwrap();
        assert_eq!(installed.component, b"component");
        assert_eq!(installed.grant, grant(b"component"));
        let mut tight = grant(b"component");
        tight.limits.component_size = 5;
        registry.install("tight", b"component", &tight).unwrap();
        assert!(matches!(registry.load("tight"), Err(Error::File { .. })));
        registry.remove("tight").unwrap();
        registry.remove("cloud").unwrap();
        assert!(registry.names().unwrap().is_empty());
        for gone in ["cloud", "../cloud", ""] {
            assert!(matches!(registry.load(gone), Err(Error::NotInstalled(_))));
            assert!(matches!(registry.remove(gone), Err(Error::NotInstalled(_))));
        }
    }

    #[test]
    fn a_changed_component_is_refused_until_it_is_granted_again() {
        let (_dir, registry) = registry();
        let path = registry.0.join("cloud").join(COMPONENT);
        fs::write(&path, "another one").unwrap();
        let error = registry.load("cloud").unwrap_err();
        assert!(matches!(error, Error::Changed { .. }), "{error}");
        registry
            .install("cloud", b"another one", &grant(b"another one"))
            .unwrap();
        registry.load("cloud").unwrap();
    }

    #[test]
    fn what_others_can_write_is_not_trusted() {
        let (_dir, registry) = registry();
        let directory = registry.0.join("cloud");
        for path in [registry.0.clone(), directory.clone(), directory.join(GRANT)] {
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
            assert!(
                matches!(registry.load("cloud"), Err(Error::Unsafe(_))),
                "{path:?}"
            );
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        }
        let elsewhere = registry.0.join("elsewhere");
        fs::rename(&directory, &elsewhere).unwrap();
        std::os::unix::fs::symlink(&elsewhere, &directory).unwrap();
        assert!(matches!(registry.load("cloud"), Err(Error::Unsafe(_))));
    }

    #[test]
    fn names_that_nobody_would_find_are_refused() {
        for bad in [
            "",
            "A",
            "-a",
            "a-",
            "a/b",
            "..",
            "btcloud",
            "google",
            &"a".repeat(65),
        ] {
            assert!(
                matches!(Registry::check_name(bad), Err(Error::Name { .. })),
                "{bad}"
            );
        }
        Registry::check_name("my-cloud2").unwrap();
    }
}
