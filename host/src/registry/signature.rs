//! Signatures of components, as `minisign` makes them, by keys that the user trusts.

use std::path::{Path, PathBuf};

use minisign_verify::{PublicKey, Signature};

use super::Error;
use crate::{directories, files};

/// A key or a signature is a few hundred bytes; a file of keys has some of them.
const MAX_FILE: u64 = 64 * 1024;

/// Where a component's signature lies if nobody says otherwise: beside it, as `minisign -S` writes it.
pub fn beside(component: &Path) -> PathBuf {
    let mut path = component.to_owned().into_os_string();
    path.push(".minisig");
    path.into()
}

/// Keys that the user trusts.
#[derive(Clone, Debug, Default)]
pub struct TrustedKeys(Vec<(String, PublicKey)>);

impl TrustedKeys {
    /// Those in the user's file, `$XDG_CONFIG_HOME/btcloud-host/trusted-keys` or in `~/.config`.
    ///
    /// # Errors
    ///
    /// As [`TrustedKeys::read`].
    pub fn of_user() -> Result<Self, Error> {
        match directories::configuration() {
            Some(directory) => Self::read(&directory.join("trusted-keys")),
            None => Ok(Self::default()),
        }
    }

    /// The user's file of keys, one in each line, as `minisign -G` prints them; empty if there is no such file. Lines that
    /// begin with `untrusted comment:` or `#` are left out.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, or a line is no key. The name of another file is none: whoever can write that would be
    /// trusted.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let bytes = match files::read_bounded(path, MAX_FILE) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            bytes => bytes.map_err(|e| Error::file(path, e))?,
        };
        let text = String::from_utf8_lossy(&bytes);
        let mut keys = Self::default();
        for (index, line) in text.lines().map(str::trim).enumerate() {
            if !(line.is_empty() || line.starts_with('#') || line.starts_with("untrusted comment:"))
            {
                let key = parse(line).ok_or_else(|| Error::KeyLine {
                    path: path.to_owned(),
                    line: index.saturating_add(1),
                })?;
                keys.0.push(key);
            }
        }
        Ok(keys)
    }

    /// Trusts a key: its text in base64, or the file that has it.
    ///
    /// # Errors
    ///
    /// If it is no key.
    pub fn add(&mut self, key: &str) -> Result<(), Error> {
        if let Some(key) = parse(key) {
            self.0.push(key);
            return Ok(());
        }
        let path = Path::new(key);
        if !path.is_file() {
            return Err(Error::Key(key.to_owned()));
        }
        let more = Self::read(path)?;
        if more.0.is_empty() {
            return Err(Error::Key(key.to_owned()));
        }
        self.0.extend(more.0);
        Ok(())
    }

    /// Tells the key by which a component is signed.
    ///
    /// # Errors
    ///
    /// If the signature cannot be read, or is by none of the keys.
    pub fn verify(&self, component: &[u8], signature: &Path) -> Result<String, Error> {
        let bytes =
            files::read_bounded(signature, MAX_FILE).map_err(|e| Error::file(signature, e))?;
        let unsigned = |reason: &str| Error::Signature {
            path: signature.to_owned(),
            reason: reason.to_owned(),
        };
        let parsed = Signature::decode(&String::from_utf8_lossy(&bytes))
            .map_err(|_| unsigned("it is not a signature of minisign's"))?;
        let mut by = self.0.iter();
        // The old form signs the component itself, which takes as much memory as that.
        let key = by.find(|(_, key)| key.verify(component, &parsed, true).is_ok());
        key.map(|(text, _)| text.clone())
            .ok_or_else(|| unsigned("it is not one of this component by a key that is trusted"))
    }
}

/// A key with its text.
fn parse(text: &str) -> Option<(String, PublicKey)> {
    let key = PublicKey::from_base64(text).ok()?;
    Some((text.to_owned(), key))
}

#[cfg(test)]
mod tests {
    use super::*;

    // Made with minisign 0.11 for the text "driver".
    const KEY: &str = include_str!("../../tests/minisign/key.pub");
    const SIGNATURE: &str = include_str!("../../tests/minisign/driver.minisig");

    fn key_text() -> &'static str {
        KEY.lines().nth(1).unwrap()
    }

    #[test]
    fn a_signature_counts_by_a_trusted_key_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = beside(&dir.path().join("driver"));
        std::fs::write(&path, SIGNATURE).unwrap();
        let mut keys = TrustedKeys::default();
        assert!(matches!(
            keys.verify(b"driver", &path),
            Err(Error::Signature { .. })
        ));
        keys.add(key_text()).unwrap();
        assert_eq!(keys.verify(b"driver", &path).unwrap(), key_text());
        assert!(matches!(
            keys.verify(b"drivel", &path),
            Err(Error::Signature { .. })
        ));
        std::fs::write(&path, "nonsense").unwrap();
        assert!(matches!(
            keys.verify(b"driver", &path),
            Err(Error::Signature { .. })
        ));
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(
            keys.verify(b"driver", &path),
            Err(Error::File { .. })
        ));
    }

    #[test]
    fn keys_are_read_from_files() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("trusted-keys");
        assert!(TrustedKeys::read(&path).unwrap().0.is_empty());
        std::fs::write(&path, format!("# mine\n\n{KEY}")).unwrap();
        let mut keys = TrustedKeys::read(&path).unwrap();
        assert_eq!(keys.0.len(), 1);
        keys.add(path.to_str().unwrap()).unwrap();
        assert_eq!(keys.0.len(), 2);
        assert!(matches!(keys.add("no key"), Err(Error::Key(_))));
    }

    #[test]
    fn a_line_of_a_file_of_keys_is_a_key_and_no_other_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("trusted-keys");
        let other = dir.path().join("key.pub");
        std::fs::write(&other, KEY).unwrap();
        for line in ["no key", path.to_str().unwrap(), other.to_str().unwrap()] {
            std::fs::write(&path, format!("# mine\n{line}\n")).unwrap();
            let error = TrustedKeys::read(&path).unwrap_err();
            assert!(matches!(error, Error::KeyLine { line: 2, .. }), "{error}");
        }
    }
}
