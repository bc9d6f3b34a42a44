//! What can go wrong with a machine, in the user's words.

use std::io;
use std::path::{Path, PathBuf};

use super::profile;
use crate::capability::secret::Secrets;
use crate::capability::text::{clean, shown};
use crate::contract;
use crate::contract::types::ErrorKind;
use crate::registry;
use crate::sandbox;

/// The most bytes of a driver's message, and of its hint.
const MAX_MESSAGE: usize = 8 * 1024;

/// Why an operation failed. The text is for the user: one sentence, further lines where there is a list, no secret.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The driver's own answer.
    #[error("{message}")]
    Driver {
        /// What kind of failure it is.
        kind: ErrorKind,
        /// What went wrong.
        message: String,
        /// What can be done about it.
        hint: Option<String>,
    },
    /// The driver did not run to its end.
    #[error(transparent)]
    Sandbox(#[from] sandbox::Error),
    /// The driver cannot be had from where it is installed.
    #[error(transparent)]
    Registry(#[from] registry::Error),
    /// There is no such profile, or it is malformed.
    #[error(transparent)]
    Profile(#[from] profile::Error),
    /// An option is missing or malformed.
    #[error("{message}")]
    Option {
        /// What is wrong with it.
        message: String,
        /// What can be done about it.
        hint: Option<String>,
    },
    /// The machine could not be created.
    #[error("{cause}{}", leftovers_text(.leftovers.as_deref()))]
    Create {
        /// What went wrong first.
        cause: Box<Error>,
        /// Why some of what had been made could not be removed again; nothing if all of it was.
        leftovers: Option<Box<Error>>,
    },
    /// docker-machine knows a machine that is not running by exactly this text (`drivers.ErrHostIsNotRunning`).
    #[error("Host is not running")]
    NotRunning,
    /// The cloud does not have the machine any more. rancher-machine looks for "not found".
    #[error("machine \"{0}\" not found in the cloud")]
    Gone(String),
    /// The machine has no address yet.
    #[error("IP address is not set")]
    NoAddress,
    /// Nobody has set up Docker on the machine yet.
    #[error("Docker has not been set up on \"{0}\": its certificates are not in the store")]
    NotProvisioned(String),
    /// No such machine in the store.
    #[error("machine \"{name}\" not found in {store}", store = .store.display())]
    NoSuchMachine {
        /// Its name.
        name: String,
        /// The store that was looked in.
        store: PathBuf,
    },
    /// There is a machine of that name already.
    #[error("machine \"{0}\" exists already")]
    MachineExists(String),
    /// docker-machine would not take the name.
    #[error("\"{0}\" is no name for a machine")]
    Name(String),
    /// The machine is one that no store has, and the operation needs its directory.
    #[error("the machine \"{0}\" has no place in a store")]
    NoPlace(String),
    /// The machine is one of a driver that is not here.
    #[error("machine \"{name}\" was made by the driver \"{made_by}\", which is not installed")]
    ForeignMachine {
        /// The machine's name.
        name: String,
        /// Its driver.
        made_by: String,
    },
    /// The machine is another driver's.
    #[error("machine \"{name}\" was made by the driver \"{made_by}\", not \"{driver}\"")]
    OtherDriver {
        /// The machine's name.
        name: String,
        /// Its driver.
        made_by: String,
        /// The driver that was asked.
        driver: String,
    },
    /// A file of the store cannot be read or written.
    #[error("cannot use {path}: {source}", path = .path.display())]
    Store {
        /// The file or directory.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file of the store cannot be understood.
    #[error("{path} is not a machine's configuration: {reason}", path = .path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// The file of a machine's secrets cannot be understood. What is in it is not told.
    #[error("{path} cannot be understood: it is not a JSON object of texts", path = .0.display())]
    Secrets(PathBuf),
    /// A link is in the place of a machine's directory or file: what is written or removed would be elsewhere.
    #[error("{path} is a symbolic link, and machines are not used through links", path = .0.display())]
    Link(PathBuf),
    /// A file of the store is in another version of the format.
    #[error("{path} has version {version} of the format, not {known}", path = .path.display())]
    StoreVersion {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: u64,
        /// The version that is understood.
        known: u64,
    },
    /// Somebody has removed the machine from the store meanwhile.
    #[error("the machine has vanished from {path}", path = .0.display())]
    Vanished(PathBuf),
    /// The user asked to stop before anything was begun.
    #[error("stopped before anything was done")]
    Cancelled,
    /// The machine's configuration, as a client or the store has it, cannot be understood.
    #[error("the machine's configuration cannot be understood: {0}")]
    Record(String),
    /// The system has no randomness.
    #[error("the system gives no random numbers: {0}")]
    Random(String),
}

impl Error {
    /// The answer of a driver, bounded, cleaned and without secrets.
    pub(super) fn driver(error: contract::Error, secrets: &Secrets) -> Self {
        let shown = |text: &str| shown(text, secrets, MAX_MESSAGE);
        Self::Driver {
            kind: error.kind,
            message: shown(&error.message),
            hint: error.hint.as_deref().map(shown),
        }
    }

    pub(super) fn store(path: &Path, source: io::Error) -> Self {
        Self::Store {
            path: path.to_owned(),
            source,
        }
    }

    pub(super) fn corrupt(path: &Path, reason: &str) -> Self {
        Self::Corrupt {
            path: path.to_owned(),
            reason: clean(reason, 200),
        }
    }

    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Driver { kind, .. } => *kind,
            Self::Option { .. } | Self::Name(_) | Self::Profile(_) => ErrorKind::InvalidOption,
            Self::Create { cause, .. } => cause.kind(),
            Self::Gone(_) | Self::NoSuchMachine { .. } => ErrorKind::NotFound,
            Self::MachineExists(_)
            | Self::NotRunning
            | Self::NoAddress
            | Self::NotProvisioned(_)
            | Self::ForeignMachine { .. }
            | Self::OtherDriver { .. } => ErrorKind::Conflict,
            Self::Cancelled | Self::Sandbox(sandbox::Error::Cancelled) => ErrorKind::Cancelled,
            Self::Sandbox(sandbox::Error::NoInventory) => ErrorKind::Unsupported,
            Self::Sandbox(_)
            | Self::Registry(_)
            | Self::Store { .. }
            | Self::Corrupt { .. }
            | Self::Secrets(_)
            | Self::Link(_)
            | Self::StoreVersion { .. }
            | Self::Vanished(_)
            | Self::Record(_)
            | Self::NoPlace(_)
            | Self::Random(_) => ErrorKind::Internal,
        }
    }

    /// What the user can do about it, if there is something.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Driver { hint, .. } | Self::Option { hint, .. } => hint.clone(),
            Self::Create {
                leftovers: Some(_), ..
            } => Some("remove the machine to try again to remove what is left of it".to_owned()),
            Self::Create {
                cause,
                leftovers: None,
            } => cause.hint(),
            Self::Registry(error) => error.hint(),
            Self::Profile(error) => error.hint(),
            Self::NoSuchMachine { .. } => Some(
                "--storage-path or MACHINE_STORAGE_PATH names another store of machines".to_owned(),
            ),
            Self::Name(_) => Some(
                "use letters, digits, dashes and dots, and start with a letter or digit".to_owned(),
            ),
            Self::NotProvisioned(name) => Some(format!("`btcloud-host provision {name}` sets Docker up")),
            Self::Gone(_) => Some("remove the machine to have it forgotten here too".to_owned()),
            Self::ForeignMachine { made_by, .. } => Some(format!(
                "a docker-machine that has it manages the machine; a component is installed by `btcloud-host driver install FILE \
                 --as {made_by}`, or named with --driver"
            )),
            Self::OtherDriver { .. } => {
                Some("leave --driver out to have it run by the driver that made it".to_owned())
            }
            Self::Store { path, source } => store_hint(path, source),
            Self::Link(path) => Some(format!(
                "put the directory or file itself in the place of {}, or name the store that it leads to with --storage-path",
                path.display()
            )),
            Self::StoreVersion { version, known, .. } if version > known => Some(
                "a newer docker-machine or btcloud-host has written it: use that, or a newer one of this".to_owned(),
            ),
            Self::StoreVersion { .. } => Some(
                "docker-machine brings it to the newer version when it reads it: `docker-machine ls`".to_owned(),
            ),
            Self::Corrupt { .. } => Some(
                "restore the file from a backup; until then the machine has to be managed at the \
                 cloud's own console"
                    .to_owned(),
            ),
            Self::Secrets(path) => Some(format!(
                "remove {} and give the keys by the environment, or restore it from a backup",
                path.display()
            )),
            Self::Sandbox(sandbox::Error::NoInventory) => Some(
                "look at the cloud's own console; a newer version of the driver may list it".to_owned(),
            ),
            Self::Sandbox(sandbox::Error::ContractVersion { .. }) => {
                Some("install versions of driver and host that match".to_owned())
            }
            _ => None,
        }
    }
}

/// What can be done about a file system that does not do what is asked of it.
fn store_hint(path: &Path, error: &io::Error) -> Option<String> {
    let path = path.display();
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            Some("free some room, or name another store with --storage-path".to_owned())
        }
        io::ErrorKind::ReadOnlyFilesystem => Some(
            "its file system is mounted read-only: mount it anew, or name another store with --storage-path".to_owned(),
        ),
        io::ErrorKind::PermissionDenied => Some(format!(
            "`ls -ld {path}` shows whose it is: have it given to you, or name another store with --storage-path"
        )),
        io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory => {
            Some(format!("something else is in the place of {path}: move it away"))
        }
        _ => None,
    }
}

fn leftovers_text(leftovers: Option<&Error>) -> String {
    match leftovers {
        None => String::new(),
        Some(error) => {
            format!("\nnot everything that had been made could be removed again: {error}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_disk_refuses_has_a_remedy() {
        // The numbers of Linux: EACCES, ENOTDIR, EISDIR, ENOSPC, EROFS, EDQUOT.
        for (number, expected) in [
            (13, "whose it is"),
            (20, "move it away"),
            (21, "move it away"),
            (28, "free some room"),
            (30, "read-only"),
            (122, "free some room"),
        ] {
            let error = Error::store(Path::new("/store"), io::Error::from_raw_os_error(number));
            assert!(error.hint().unwrap().contains(expected), "{number}");
            assert!(
                error.to_string().starts_with("cannot use /store: "),
                "{error}"
            );
        }
    }
}
