//! The file of a machine's secrets, which lies beside its `config.json`: the values by the options' names, readable by the user
//! alone.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use serde_json::Value as Json;

use super::Error;
use crate::capability::secret::{Secret, Secrets};
use crate::files;

/// The file's name.
pub(super) const FILE: &str = "secrets.json";

/// The most bytes of it.
const MAX_SIZE: u64 = 256 * 1024;

/// The secrets that a machine's directory has; none if the file is not there.
///
/// # Errors
///
/// If the file cannot be read, or is not a JSON object of texts.
pub(super) fn read(directory: &Path) -> Result<Secrets, Error> {
    let path = directory.join(FILE);
    let json = match files::read_bounded(&path, MAX_SIZE) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Secrets::default()),
        json => json.map_err(|e| Error::store(&path, e))?,
    };
    // The parser's reason may quote the file.
    let members: BTreeMap<String, String> =
        serde_json::from_slice(&json).map_err(|_| Error::Secrets(path))?;
    let secrets = members.into_iter();
    Ok(secrets
        .map(|(name, value)| (name, Secret::from(value)))
        .collect())
}

/// Writes them, and makes the directory if it is not there.
///
/// # Errors
///
/// If they cannot be written.
pub(super) fn write(directory: &Path, secrets: &Secrets) -> Result<(), Error> {
    let members: serde_json::Map<_, _> = secrets
        .iter()
        .map(|(name, secret)| (name.to_owned(), Json::from(secret.expose())))
        .collect();
    let json = format!("{:#}\n", Json::Object(members));
    let path = directory.join(FILE);
    files::create_private_dir(directory).map_err(|e| Error::store(directory, e))?;
    files::write_private(&path, json.as_bytes()).map_err(|e| Error::store(&path, e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_kept_for_the_user_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let machine = dir.path().join("m1");
        assert_eq!(read(&machine).unwrap(), Secrets::default());
        let secrets = Secrets::from_iter([("x-key".to_owned(), "hunter2\n\"".into())]);
        write(&machine, &secrets).unwrap();
        assert_eq!(read(&machine).unwrap(), secrets);
        let metadata = std::fs::metadata(machine.join(FILE)).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_file_that_cannot_be_understood_is_named_with_a_remedy_and_not_quoted() {
        let dir = tempfile::tempdir().unwrap();
        for contents in ["{", "[\"hunter2\"]", r#"{"x-key": ["hunter2"]}"#] {
            std::fs::write(dir.path().join(FILE), contents).unwrap();
            let error = read(dir.path()).unwrap_err();
            let hint = error.hint().unwrap();
            assert!(hint.contains("by the environment"), "{hint}");
            let error = error.to_string();
            assert!(
                error.contains(FILE) && !error.contains("hunter2"),
                "{error}"
            );
        }
    }
}
