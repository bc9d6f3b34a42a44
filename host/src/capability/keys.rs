//! The machine's SSH key pair. The private half is written to the machine's directory and goes nowhere else.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ssh_key::private::{KeypairData, RsaKeypair};
use ssh_key::rand_core::OsRng;
use ssh_key::{Algorithm, LineEnding, PrivateKey, PublicKey};
use zeroize::Zeroizing;

use super::budget::Budget;
use crate::contract::keys::KeyType;
use crate::contract::types::ErrorKind;
use crate::{contract, files};

/// Accepted by every server, and as strong as Ed25519's 128 bits (NIST SP 800-57).
const RSA_BITS: usize = 3072;

/// The most bytes of a private key: one of RSA with 16,384 bits has 13 KB.
const MAX_KEY: u64 = 64 * 1024;

/// The capability `keys`.
pub struct SshKeys {
    keys: Keys,
    budget: Arc<Budget>,
}

impl SshKeys {
    /// Gives the key of `keys`. What that takes is not the driver's computing.
    pub fn new(keys: Keys, budget: Arc<Budget>) -> Self {
        Self { keys, budget }
    }
}

/// What one operation has to do with keys.
#[derive(Debug)]
pub enum Keys {
    /// The operation has no business with keys.
    Denied,
    /// The machine has a key of its own.
    At {
        /// The private key's path; the public half lies beside it as `.pub`.
        path: PathBuf,
        /// The key to put there, if it is not to be made.
        given: Option<Arc<GivenKey>>,
    },
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// A file cannot be read or written.
    #[error("cannot use the SSH key {path}: {source}", path = .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The key that the machine has cannot be understood.
    #[error("cannot read the SSH key {path}: {source}", path = .path.display())]
    Existing {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: ssh_key::Error,
    },
    /// A key cannot be made.
    #[error("cannot make an SSH key: {0}")]
    Make(#[from] ssh_key::Error),
    /// The file that the user named is no private key.
    #[error("{path} is not a private key that SSH can use", path = .0.display())]
    NotAKey(PathBuf),
    /// The key has a passphrase, which nobody could be asked for later.
    #[error("the key {path} has a passphrase, and docker-machine has no way to ask for it", path = .0.display())]
    Encrypted(PathBuf),
}

/// A private key that the user has already.
#[derive(PartialEq, Eq)]
pub struct GivenKey {
    private: Zeroizing<String>,
    /// In OpenSSH's one-line form, without a comment.
    public: String,
}

impl GivenKey {
    /// Reads a private key in OpenSSH's form, or in another one that SSH can use if its public half lies beside it.
    ///
    /// # Errors
    ///
    /// If it cannot be read, is no key, or has a passphrase.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let file_error = |source| KeyError::File {
            path: path.to_owned(),
            source,
        };
        let bytes = files::read_bounded(path, MAX_KEY).map_err(file_error)?;
        let not_a_key = || KeyError::NotAKey(path.to_owned());
        let private = String::from_utf8(bytes).map_err(|_| not_a_key())?;
        let private = Zeroizing::new(private);
        if !private.contains("PRIVATE KEY-----") {
            return Err(not_a_key());
        }
        let public = match PrivateKey::from_openssh(private.as_bytes()) {
            Ok(key) if key.is_encrypted() => return Err(KeyError::Encrypted(path.to_owned())),
            Ok(key) => key.public_key().clone(),
            // PEM as older versions of ssh-keygen wrote it.
            Err(_) if private.contains("ENCRYPTED") => {
                return Err(KeyError::Encrypted(path.to_owned()));
            }
            Err(_) => {
                let text = files::read_bounded(&public_path(path), MAX_KEY);
                let text = text.ok().and_then(|bytes| String::from_utf8(bytes).ok());
                text.and_then(|text| PublicKey::from_openssh(text.trim()).ok())
                    .ok_or_else(not_a_key)?
            }
        };
        let public = PublicKey::new(public.key_data().clone(), "").to_openssh()?;
        Ok(Self { private, public })
    }
}

impl fmt::Debug for GivenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("GivenKey").field(&self.public).finish()
    }
}

impl contract::keys::Host for SshKeys {
    fn ssh_public_key(&mut self, key_type: KeyType) -> Result<String, contract::Error> {
        self.budget.waiting(|| self.keys.public_key(key_type))
    }
}

impl Keys {
    fn public_key(&self, key_type: KeyType) -> Result<String, contract::Error> {
        match self {
            Self::Denied => Err(contract::Error::new(
                ErrorKind::Unsupported,
                "the driver asked for the SSH key outside of create",
            )),
            Self::At { path, given } => match given {
                Some(given) => keep(path, &given.private, &given.public),
                None => public_key(path, key_type),
            }
            .map_err(|e| contract::Error::new(ErrorKind::Internal, e.to_string())),
        }
    }
}

fn public_key(path: &Path, key_type: KeyType) -> Result<String, KeyError> {
    let existing = match files::read_bounded(path, MAX_KEY).map(Zeroizing::new) {
        Ok(text) => {
            let key = PrivateKey::from_openssh(text.as_slice());
            Some(key.map_err(|source| KeyError::Existing {
                path: path.to_owned(),
                source,
            })?)
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => None,
        Err(source) => {
            let path = path.to_owned();
            return Err(KeyError::File { path, source });
        }
    };
    let key = match existing {
        Some(key) if is_of_type(&key, key_type) => key,
        _ => generate(key_type)?,
    };
    keep(
        path,
        &key.to_openssh(LineEnding::LF)?,
        &key.public_key().to_openssh()?,
    )
}

/// Writes both halves of a key, and tells the public one.
fn keep(path: &Path, private: &str, public: &str) -> Result<String, KeyError> {
    let write = |path: &Path, contents: &str| {
        files::write_private(path, contents.as_bytes()).map_err(|source| KeyError::File {
            path: path.to_owned(),
            source,
        })
    };
    write(path, private)?;
    write(&public_path(path), &format!("{public}\n"))?;
    Ok(public.to_owned())
}

/// Where the public half of a key lies.
fn public_path(private: &Path) -> PathBuf {
    let mut path = private.to_owned().into_os_string();
    path.push(".pub");
    path.into()
}

fn is_of_type(key: &PrivateKey, key_type: KeyType) -> bool {
    match key_type {
        KeyType::Ed25519 => key.algorithm() == Algorithm::Ed25519,
        KeyType::Rsa => key.algorithm().is_rsa(),
    }
}

fn generate(key_type: KeyType) -> Result<PrivateKey, ssh_key::Error> {
    match key_type {
        KeyType::Ed25519 => PrivateKey::random(&mut OsRng, Algorithm::Ed25519),
        KeyType::Rsa => {
            let pair = RsaKeypair::random(&mut OsRng, RSA_BITS)?;
            PrivateKey::new(KeypairData::from(pair), "")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capability::clock::{Cancel, SystemTimeSource};
    use crate::capability::limits::Limits;
    use crate::contract::keys::Host as _;
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    use std::time::Duration;

    #[test]
    fn a_pair_is_made_once_and_replaced_by_one_of_another_type() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("id_rsa");
        let keys = Keys::At {
            path: path.clone(),
            given: None,
        };
        let first = keys.public_key(KeyType::Ed25519).unwrap();
        assert!(first.starts_with("ssh-ed25519 "));
        assert_eq!(first.split(' ').count(), 2, "no comment: {first}");
        assert_eq!(keys.public_key(KeyType::Ed25519).unwrap(), first);
        let rsa = keys.public_key(KeyType::Rsa).unwrap();
        assert!(rsa.starts_with("ssh-rsa "));
        assert_eq!(
            fs::read_to_string(dir.path().join("id_rsa.pub"))
                .unwrap()
                .trim(),
            rsa
        );
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let private = PrivateKey::from_openssh(fs::read(&path).unwrap()).unwrap();
        assert_eq!(private.public_key().to_openssh().unwrap(), rsa);
    }

    #[test]
    fn making_a_key_is_not_the_drivers_computing() {
        let dir = tempfile::tempdir().unwrap();
        let keys = Keys::At {
            path: dir.path().join("id_rsa"),
            given: None,
        };
        let limits = Limits {
            computation: Duration::from_millis(200),
            ..Limits::default()
        };
        let time = Arc::new(SystemTimeSource::default());
        let budget = Arc::new(Budget::new(limits, time, Cancel::default()));
        let mut keys = SshKeys::new(keys, Arc::clone(&budget));
        keys.ssh_public_key(KeyType::Rsa).unwrap();
        assert_eq!(budget.check(), Ok(()));
    }

    #[test]
    fn a_key_that_cannot_be_read_is_named_and_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("id_rsa");
        fs::write(&path, "garbled").unwrap();
        let keys = Keys::At {
            path: path.clone(),
            given: None,
        };
        let error = keys.public_key(KeyType::Ed25519).unwrap_err();
        assert!(
            error.message.contains("cannot read the SSH key"),
            "{error:?}"
        );
        assert!(error.message.contains("id_rsa"), "{error:?}");
        assert_eq!(fs::read(&path).unwrap(), b"garbled");
    }

    #[test]
    fn only_create_gets_a_key() {
        assert_eq!(
            Keys::Denied.public_key(KeyType::Ed25519).unwrap_err().kind,
            ErrorKind::Unsupported
        );
    }

    #[test]
    fn a_key_that_the_user_has_is_copied() {
        let dir = tempfile::tempdir().unwrap();
        let own = dir.path().join("mine");
        let mut key = generate(KeyType::Ed25519).unwrap();
        key.set_comment("me@home");
        fs::write(&own, key.to_openssh(LineEnding::LF).unwrap()).unwrap();
        let given = Arc::new(GivenKey::read(&own).unwrap());
        let path = dir.path().join("id_rsa");
        let keys = Keys::At {
            path: path.clone(),
            given: Some(given),
        };
        // Whatever type is asked for.
        let public = keys.public_key(KeyType::Rsa).unwrap();
        key.set_comment("");
        assert_eq!(public, key.public_key().to_openssh().unwrap());
        assert_eq!(fs::read(&path).unwrap(), fs::read(&own).unwrap());
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_key_of_another_form_needs_its_public_half_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("old");
        let pem = "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\n";
        fs::write(&path, pem).unwrap();
        assert!(matches!(GivenKey::read(&path), Err(KeyError::NotAKey(_))));
        let public = generate(KeyType::Ed25519).unwrap().public_key().clone();
        let public = public.to_openssh().unwrap();
        fs::write(dir.path().join("old.pub"), format!("{public} me@home\n")).unwrap();
        assert_eq!(GivenKey::read(&path).unwrap().public, public);
    }

    #[test]
    fn what_is_no_usable_key_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        assert!(matches!(GivenKey::read(&path), Err(KeyError::File { .. })));
        fs::write(&path, "ssh-ed25519 AAAA me@home").unwrap();
        assert!(matches!(GivenKey::read(&path), Err(KeyError::NotAKey(_))));
        let pem = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n";
        fs::write(&path, pem).unwrap();
        assert!(matches!(GivenKey::read(&path), Err(KeyError::Encrypted(_))));
    }
}
