//! The machine's SSH key pair. The private half is written to the machine's directory and goes nowhere else.

use std::fs;
use std::io;
use std::path::PathBuf;

use ssh_key::private::{KeypairData, RsaKeypair};
use ssh_key::rand_core::OsRng;
use ssh_key::{Algorithm, LineEnding, PrivateKey};

use crate::contract::keys::KeyType;
use crate::contract::types::ErrorKind;
use crate::{contract, files};

/// Accepted by every server, and as strong as Ed25519's 128 bits (NIST SP 800-57).
const RSA_BITS: usize = 3072;

/// The capability `keys`.
#[derive(Debug)]
pub enum Keys {
    /// The operation has no business with keys.
    Denied,
    /// The private key's path; the public half lies beside it as `.pub`.
    At(PathBuf),
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
enum KeyError {
    #[error("cannot use the SSH key {path}: {source}", path = .path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("cannot make an SSH key: {0}")]
    Key(#[from] ssh_key::Error),
}

impl contract::keys::Host for Keys {
    fn ssh_public_key(&mut self, key_type: KeyType) -> Result<String, contract::Error> {
        match self {
            Self::Denied => Err(contract::Error::new(
                ErrorKind::Unsupported,
                "the driver asked for the SSH key outside of create",
            )),
            Self::At(path) => public_key(path, key_type)
                .map_err(|e| contract::Error::new(ErrorKind::Internal, e.to_string())),
        }
    }
}

fn public_key(path: &PathBuf, key_type: KeyType) -> Result<String, KeyError> {
    let file_error = |source| KeyError::File {
        path: path.clone(),
        source,
    };
    let existing = match fs::read_to_string(path) {
        Ok(text) => Some(PrivateKey::from_openssh(&text)?),
        Err(e) if e.kind() == io::ErrorKind::NotFound => None,
        Err(e) => return Err(file_error(e)),
    };
    let key = match existing {
        Some(key) if is_of_type(&key, key_type) => key,
        _ => {
            let key = generate(key_type)?;
            files::write_private(path, key.to_openssh(LineEnding::LF)?.as_bytes())
                .map_err(file_error)?;
            key
        }
    };
    let public = key.public_key().to_openssh()?;
    let mut public_path = path.clone().into_os_string();
    public_path.push(".pub");
    files::write_private(public_path.as_ref(), format!("{public}\n").as_bytes())
        .map_err(file_error)?;
    Ok(public)
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
    use crate::contract::keys::Host as _;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_pair_is_made_once_and_replaced_by_one_of_another_type() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("id_rsa");
        let mut keys = Keys::At(path.clone());
        let first = keys.ssh_public_key(KeyType::Ed25519).unwrap();
        assert!(first.starts_with("ssh-ed25519 "));
        assert_eq!(first.split(' ').count(), 2, "no comment: {first}");
        assert_eq!(keys.ssh_public_key(KeyType::Ed25519).unwrap(), first);
        let rsa = keys.ssh_public_key(KeyType::Rsa).unwrap();
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
    fn only_create_gets_a_key() {
        assert_eq!(
            Keys::Denied
                .ssh_public_key(KeyType::Ed25519)
                .unwrap_err()
                .kind,
            ErrorKind::Unsupported
        );
    }
}
