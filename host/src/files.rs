//! Files that hold what must neither be half written nor read by others.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::Path;

/// Writes a file that only its owner may read (mode 0600), so that after a crash at any moment there is either the old
/// contents or the new one. The contents are on disk when this returns.
///
/// # Errors
///
/// If the file's directory cannot be written.
pub(crate) fn write_private(path: &Path, contents: &[u8]) -> io::Result<()> {
    let directory = directory_of(path);
    temporary(directory, contents)?.persist(path)?;
    File::open(directory)?.sync_all()
}

/// As [`write_private`], but only if there is no such file; of several that try at once, one succeeds.
///
/// # Errors
///
/// Of the kind [`io::ErrorKind::AlreadyExists`] if there is such a file already.
pub(crate) fn create_private(path: &Path, contents: &[u8]) -> io::Result<()> {
    let directory = directory_of(path);
    temporary(directory, contents)?.persist_noclobber(path)?;
    File::open(directory)?.sync_all()
}

fn directory_of(path: &Path) -> &Path {
    path.parent()
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

fn temporary(directory: &Path, contents: &[u8]) -> io::Result<tempfile::NamedTempFile> {
    // A temporary file is made with mode 0600.
    let mut file = tempfile::Builder::new()
        .prefix(".tmp-")
        .tempfile_in(directory)?;
    file.write_all(contents)?;
    file.as_file().sync_all()?;
    Ok(file)
}

/// Makes a directory that only its owner may enter (mode 0700), and those above it. One that is there stays as it is.
///
/// # Errors
///
/// If it cannot be made.
pub(crate) fn create_private_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Reads a file of at most `limit` bytes.
///
/// # Errors
///
/// If the file cannot be read; of the kind [`io::ErrorKind::FileTooLarge`] if it is larger.
pub(crate) fn read_bounded(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut contents = Vec::new();
    File::open(path)?
        .take(limit.saturating_add(1))
        .read_to_end(&mut contents)?;
    if contents.len() as u64 > limit {
        let message = format!("larger than {limit} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(contents)
}

/// Whether what has this metadata belongs to this user, and nobody else may write it.
pub(crate) fn is_private(metadata: &fs::Metadata) -> bool {
    metadata.uid() == rustix::process::geteuid().as_raw()
        && metadata.permissions().mode() & 0o022 == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_files_replace_and_stay_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        write_private(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(
            create_private(&path, b"newer").unwrap_err().kind(),
            io::ErrorKind::AlreadyExists
        );
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_over_the_limit_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        fs::write(&path, "12345").unwrap();
        assert_eq!(read_bounded(&path, 5).unwrap(), b"12345");
        assert_eq!(read_bounded(&path, u64::MAX).unwrap(), b"12345");
        assert_eq!(
            read_bounded(&path, 4).unwrap_err().kind(),
            io::ErrorKind::FileTooLarge
        );
    }
}
