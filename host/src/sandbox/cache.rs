//! Keeps compiled components, so that each is compiled once on a machine.
//!
//! Loading compiled code is running it. So it is only ever loaded from a directory that belongs to this user and that
//! nobody else can write, and never from a file that somebody names.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use sha2::{Digest as _, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

use super::Error;
use crate::{directories, files};

/// The most components that are kept; the ones that were made longest ago give way.
const MAX_ENTRIES: usize = 32;

/// A directory of compiled components.
#[derive(Clone, Debug)]
pub struct Cache(PathBuf);

impl Cache {
    /// The user's cache, `$XDG_CACHE_HOME/btcloud-host` or `~/.cache/btcloud-host`; nothing where there is no home.
    pub fn of_user() -> Option<Self> {
        Self::directory_of_user().map(Self::at)
    }

    /// The directory of the user's cache.
    pub fn directory_of_user() -> Option<PathBuf> {
        directories::cache()
    }

    /// A cache in that directory, which is made when it is needed.
    pub fn at(directory: PathBuf) -> Self {
        Self(directory)
    }

    /// The component, from the cache or by `compile`. A cache that cannot be used costs time, nothing else.
    pub(super) fn component(
        &self,
        engine: &Engine,
        bytes: &[u8],
        compile: impl FnOnce() -> Result<Component, Error>,
    ) -> Result<Component, Error> {
        if !self.prepare().is_ok_and(|usable| usable) {
            return compile();
        }
        let path = self.0.join(entry_name(engine, bytes));
        if let Some(component) = load(engine, &path) {
            return Ok(component);
        }
        let component = compile()?;
        if let Ok(compiled) = component.serialize()
            && files::write_private(&path, &compiled).is_ok()
        {
            // What cannot be removed is left for the next time.
            drop(self.evict());
        }
        Ok(component)
    }

    /// Makes the directory if it is missing. Whether it is a directory of this user's that nobody else may write.
    fn prepare(&self) -> io::Result<bool> {
        files::create_private_dir(&self.0)?;
        let metadata = fs::symlink_metadata(&self.0)?;
        Ok(metadata.is_dir() && files::is_private(&metadata))
    }

    fn evict(&self) -> io::Result<()> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(&self.0)? {
            let entry = entry?;
            entries.push((entry.metadata()?.modified()?, entry.path()));
        }
        entries.sort();
        let surplus = entries.len().saturating_sub(MAX_ENTRIES);
        entries
            .iter()
            .take(surplus)
            .try_for_each(|(_, path)| fs::remove_file(path))
    }
}

/// Named by the component and by all that the engine compiles by.
fn entry_name(engine: &Engine, bytes: &[u8]) -> String {
    let mut compatibility = DefaultHasher::new();
    engine
        .precompile_compatibility_hash()
        .hash(&mut compatibility);
    format!(
        "{:x}-{:016x}.cwasm",
        Sha256::digest(bytes),
        compatibility.finish()
    )
}

/// Loads an entry if it is this user's own. What is looked at is the open file, which nobody can exchange any more.
fn load(engine: &Engine, path: &Path) -> Option<Component> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty()).ok()?);
    let metadata = file.metadata().ok()?;
    // A second name for it may be somebody else's doing, who has linked another file of this user's into the directory.
    if !metadata.is_file() || !files::is_private(&metadata) || metadata.nlink() != 1 {
        return None;
    }
    let open = format!("/dev/fd/{}", file.as_raw_fd());
    #[expect(unsafe_code, reason = "the only way to load compiled code")]
    // SAFETY: the file was written by this user's host (nobody else can write the directory or the file), from
    // `Component::serialize`, under a name that tells component and engine, and it is replaced, never modified.
    unsafe {
        Component::deserialize_file(engine, open).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::os::unix::fs::PermissionsExt as _;

    const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";

    fn compilations(cache: &Cache, engine: &Engine) -> usize {
        let count = Cell::new(0);
        for _ in 0..2 {
            let compile = || {
                count.set(count.get() + 1);
                Ok(Component::new(engine, EMPTY).unwrap())
            };
            cache.component(engine, EMPTY, compile).unwrap();
        }
        count.get()
    }

    #[test]
    fn a_component_is_compiled_once() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(dir.path().join("a/b"));
        let engine = Engine::default();
        assert_eq!(compilations(&cache, &engine), 1);
        assert_eq!(compilations(&cache, &engine), 0);
        let mode = fs::metadata(&cache.0).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }

    #[test]
    fn a_cache_that_others_can_write_is_not_used() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(dir.path().join("open"));
        fs::create_dir(&cache.0).unwrap();
        fs::set_permissions(&cache.0, fs::Permissions::from_mode(0o777)).unwrap();
        assert_eq!(compilations(&cache, &Engine::default()), 2);
        assert_eq!(fs::read_dir(&cache.0).unwrap().count(), 0);

        let linked = Cache::at(dir.path().join("link"));
        std::os::unix::fs::symlink(dir.path(), &linked.0).unwrap();
        assert_eq!(compilations(&linked, &Engine::default()), 2);
    }

    /// A cache with one entry.
    fn filled(dir: &Path) -> (Cache, Engine, PathBuf) {
        let cache = Cache::at(dir.join("cache"));
        let engine = Engine::default();
        compilations(&cache, &engine);
        let entry = cache.0.join(entry_name(&engine, EMPTY));
        (cache, engine, entry)
    }

    #[test]
    fn a_spoilt_or_foreign_entry_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let (cache, engine, entry) = filled(dir.path());
        fs::write(&entry, "spoilt").unwrap();
        assert_eq!(compilations(&cache, &engine), 1);
        fs::set_permissions(&entry, fs::Permissions::from_mode(0o666)).unwrap();
        assert_eq!(compilations(&cache, &engine), 1);
    }

    #[test]
    fn compiled_code_under_a_wrong_name_or_for_another_engine_is_not_run() {
        let dir = tempfile::tempdir().unwrap();
        let (cache, engine, entry) = filled(dir.path());
        let planted = cache.0.join("evil.cwasm");
        fs::copy(&entry, &planted).unwrap();
        fs::remove_file(&entry).unwrap();
        assert_eq!(compilations(&cache, &engine), 1);
        // Code that was compiled without the checks that interrupt it.
        let mut config = wasmtime::Config::new();
        config.epoch_interruption(true);
        let strict = Engine::new(&config).unwrap();
        let name = entry_name(&strict, EMPTY);
        assert_ne!(cache.0.join(&name), entry);
        fs::copy(&entry, cache.0.join(name)).unwrap();
        assert_eq!(compilations(&cache, &strict), 1);
    }

    #[test]
    fn links_in_the_place_of_an_entry_are_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (cache, engine, entry) = filled(dir.path());
        let elsewhere = dir.path().join("elsewhere");
        fs::rename(&entry, &elsewhere).unwrap();
        std::os::unix::fs::symlink(&elsewhere, &entry).unwrap();
        assert_eq!(compilations(&cache, &engine), 1);
        // It was replaced, and what it pointed to is as it was.
        assert!(fs::symlink_metadata(&entry).unwrap().is_file());
        fs::remove_file(&entry).unwrap();
        fs::hard_link(&elsewhere, &entry).unwrap();
        assert_eq!(compilations(&cache, &engine), 1);
        assert_eq!(fs::metadata(&elsewhere).unwrap().nlink(), 1);
    }

    #[test]
    fn a_pipe_in_the_place_of_an_entry_stops_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let (cache, engine, entry) = filled(dir.path());
        fs::remove_file(&entry).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &entry,
            rustix::fs::FileType::Fifo,
            Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
        assert_eq!(compilations(&cache, &engine), 1);
    }

    #[test]
    fn what_belongs_to_another_user_is_not_used() {
        /// Nobody's, on most systems.
        const OTHER: u32 = 65_534;
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: only root can give files away");
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let (cache, engine, entry) = filled(dir.path());
        std::os::unix::fs::chown(&entry, Some(OTHER), None).unwrap();
        assert_eq!(compilations(&cache, &engine), 1);
        let owner = fs::metadata(&entry).unwrap().uid();
        assert_eq!(owner, 0, "it was replaced");
        std::os::unix::fs::chown(&cache.0, Some(OTHER), None).unwrap();
        assert_eq!(compilations(&cache, &engine), 2);
    }

    #[test]
    fn old_entries_give_way() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(dir.path().join("cache"));
        files::create_private_dir(&cache.0).unwrap();
        for i in 0..MAX_ENTRIES + 5 {
            fs::write(cache.0.join(i.to_string()), "").unwrap();
        }
        compilations(&cache, &Engine::default());
        assert_eq!(fs::read_dir(&cache.0).unwrap().count(), MAX_ENTRIES);
        assert_eq!(compilations(&cache, &Engine::default()), 0);
    }
}
