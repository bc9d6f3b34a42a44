//! A lock for each machine: one process at a time changes it. docker-machine itself knows nothing of this; its plugin does.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::Duration;

use super::Error;
use crate::capability::clock::Cancel;

/// The file, beside a machine's `config.json`. It stays when it is not locked: were it removed, two could hold it.
const FILE: &str = ".lock";

/// How often somebody who waits looks again.
const INTERVAL: Duration = Duration::from_millis(100);

/// The right to change a machine, until it is dropped or the process ends, however it does.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "it is held, not used")] File);

impl Lock {
    /// Locks the machine in a directory of a store. If somebody else has it, `waiting` is given the line that says so, and this
    /// waits.
    ///
    /// # Errors
    ///
    /// If there is no such directory, or no file can be made in it; [`Error::Cancelled`] if `cancel` is set meanwhile.
    pub(super) fn of(
        directory: &Path,
        cancel: &Cancel,
        waiting: &dyn Fn(&str),
    ) -> Result<Self, Error> {
        let path = directory.join(FILE);
        let failed = |e| Error::store(&path, e);
        let open = || {
            OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed())
                .open(&path)
                .map_err(failed)
        };
        let mut has_told = false;
        let mut file = open()?;
        loop {
            match file.try_lock() {
                Ok(()) => {
                    // Whoever had it may have removed the machine, and somebody made another one of that name.
                    if !is_at(&file, &path) {
                        file = open()?;
                        continue;
                    }
                    // If the id cannot be written the disk is full or read-only; what comes next reports that.
                    drop(sign(&mut file));
                    return Ok(Self(file));
                }
                Err(TryLockError::WouldBlock) => {}
                // A file system without locks, as some that are shared by a network.
                Err(TryLockError::Error(e)) if e.kind() == io::ErrorKind::Unsupported => {
                    return Ok(Self(file));
                }
                Err(TryLockError::Error(e)) => return Err(failed(e)),
            }
            if !has_told {
                has_told = true;
                let mut holder = String::new();
                let read = Read::by_ref(&mut file).take(20).read_to_string(&mut holder);
                let holder = read.ok().and_then(|_| holder.trim().parse().ok());
                waiting(&waiting_line(directory, holder));
            }
            if cancel.wait(INTERVAL) {
                return Err(Error::Cancelled);
            }
        }
    }
}

/// What is told while a machine's lock is waited for; `holder` is the id of the process that has it, if known.
fn waiting_line(directory: &Path, holder: Option<u32>) -> String {
    let name = directory.file_name().unwrap_or_default().display();
    let holder = holder.map_or_else(String::new, |id| format!(" (process {id})"));
    format!("{name} is being changed by another command{holder}; waiting for that")
}

fn sign(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::symlink_metadata(path)) {
        (Ok(ours), Ok(there)) => ours.ino() == there.ino() && ours.dev() == there.dev(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    #[test]
    fn one_waits_for_the_other_and_learns_who_that_is() {
        let dir = tempfile::tempdir().unwrap();
        let cancel = Cancel::default();
        let first = Lock::of(dir.path(), &cancel, &|_| panic!("nobody has it")).unwrap();
        let told = Mutex::new(Vec::new());
        thread::scope(|scope| {
            let second = scope.spawn(|| {
                let waiting = |line: &str| told.lock().unwrap().push(line.to_owned());
                Lock::of(dir.path(), &cancel, &waiting).unwrap()
            });
            while told.lock().unwrap().is_empty() {
                thread::yield_now();
            }
            assert!(!second.is_finished());
            drop(first);
            second.join().unwrap();
        });
        let told = told.into_inner().unwrap();
        let expected = format!(
            " is being changed by another command (process {}); waiting for that",
            std::process::id()
        );
        assert!(told.len() == 1 && told[0].ends_with(&expected), "{told:?}");
    }

    #[test]
    fn who_waits_can_be_stopped() {
        let dir = tempfile::tempdir().unwrap();
        let cancel = Cancel::default();
        let _first = Lock::of(dir.path(), &cancel, &|_| ()).unwrap();
        let second = Lock::of(dir.path(), &cancel, &|_| cancel.set());
        assert!(matches!(second, Err(Error::Cancelled)));
    }

    #[test]
    fn the_lock_of_a_machine_that_was_removed_meanwhile_is_none_of_its_successors() {
        let dir = tempfile::tempdir().unwrap();
        let machine = dir.path().join("m1");
        fs::create_dir(&machine).unwrap();
        let cancel = Cancel::default();
        let first = Lock::of(&machine, &cancel, &|_| ()).unwrap();
        let replaced = AtomicUsize::new(0);
        let waiting = |_: &str| {
            // It has the file open by now.
            fs::remove_dir_all(&machine).unwrap();
            fs::create_dir(&machine).unwrap();
            replaced.fetch_add(1, Ordering::SeqCst);
        };
        thread::scope(|scope| {
            let second = scope.spawn(|| Lock::of(&machine, &cancel, &waiting).unwrap());
            while replaced.load(Ordering::SeqCst) == 0 {
                thread::yield_now();
            }
            // Its second look finds the new directory.
            drop(first);
            second.join().unwrap();
        });
        assert_eq!(replaced.into_inner(), 1);
        assert!(machine.join(FILE).exists());
        fs::remove_dir_all(&machine).unwrap();
        let vanished = Lock::of(&machine, &cancel, &|_| ());
        assert!(matches!(vanished, Err(Error::Store { .. })));
    }
}
