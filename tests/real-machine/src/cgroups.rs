//! Control groups: where guests are put, and how nothing of them stays.
//!
//! All of a laboratory is below one directory in each hierarchy, which is named after its keeper: the process's number and
//! its start time, so that a later keeper knows whether that one is still there.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::wait_until;

/// What the names of our directories begin with.
const PREFIX: &str = "real-machine.";

/// A hierarchy of control groups, and where in it this process is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hierarchy {
    /// The name of its mount point; none for the only one of version 2.
    pub(crate) name: Option<String>,
    /// How it is mounted, by its controllers or its name.
    pub(crate) options: String,
    /// The directory of this process.
    pub(crate) directory: PathBuf,
}

/// The hierarchies that guests are to see: all of version 1, or else the one of version 2.
pub(crate) fn hierarchies() -> Result<Vec<Hierarchy>, String> {
    let read = |path| fs::read_to_string(path).map_err(|error| format!("{path}: {error}"));
    parse(&read("/proc/self/cgroup")?, &read("/proc/self/mountinfo")?)
}

fn parse(cgroup: &str, mounts: &str) -> Result<Vec<Hierarchy>, String> {
    let mut first = Vec::new();
    let mut second = None;
    for line in cgroup.lines() {
        let mut fields = line.splitn(3, ':');
        let (Some(number), Some(controllers), Some(path)) =
            (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        if number == "0" {
            second = mount_point(mounts, "cgroup2", "").map(|mount| Hierarchy {
                name: None,
                options: String::new(),
                directory: mount.directory(path),
            });
            continue;
        }
        let Some(mount) = mount_point(mounts, "cgroup", controllers) else {
            continue;
        };
        let (name, options) = match controllers.strip_prefix("name=") {
            Some(name) => (name, format!("none,{controllers}")),
            None => (controllers, controllers.to_owned()),
        };
        first.push(Hierarchy {
            name: Some(name.to_owned()),
            options,
            directory: mount.directory(path),
        });
    }
    let has_systemd = first
        .iter()
        .any(|row| row.name.as_deref() == Some("systemd"));
    match (first.is_empty(), second) {
        (false, _) if has_systemd => Ok(first),
        (true, Some(second)) => Ok(vec![second]),
        (false, _) => Err("its control groups have no hierarchy for systemd".to_owned()),
        (true, None) => Err("no control groups are mounted".to_owned()),
    }
}

struct MountPoint<'a> {
    root: &'a str,
    point: &'a str,
}

impl MountPoint<'_> {
    /// Where in the file system a path of the hierarchy is.
    fn directory(&self, path: &str) -> PathBuf {
        let below = path.strip_prefix(self.root).unwrap_or(path);
        Path::new(self.point).join(below.trim_start_matches('/'))
    }
}

/// Where a hierarchy with these controllers is mounted.
fn mount_point<'a>(mounts: &'a str, kind: &str, controllers: &str) -> Option<MountPoint<'a>> {
    mounts.lines().find_map(|line| {
        let (front, back) = line.split_once(" - ")?;
        let mut back = back.split(' ');
        let options = (back.next() == Some(kind)).then(|| back.nth(1))??;
        let has = |controller: &str| options.split(',').any(|option| option == controller);
        let fits = controllers.is_empty() || controllers.split(',').all(has);
        let mut front = front.split(' ').skip(3);
        let (root, point) = (front.next()?, front.next()?);
        fits.then_some(MountPoint { root, point })
    })
}

/// The name of the directories of a keeper that is this process.
pub(crate) fn own_name() -> io::Result<String> {
    let id = std::process::id();
    let time = start_time(id).ok_or_else(|| io::Error::other("/proc is not mounted"))?;
    Ok(format!("{PREFIX}{id}.{time}"))
}

/// When a process started, in the kernel's ticks since the boot; none if there is no such process any more, or it has ended
/// and only waits for its parent to look.
fn start_time(id: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name, in brackets, may hold anything.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    match fields.next() {
        Some("Z" | "X") | None => None,
        Some(_) => fields.nth(18)?.parse().ok(),
    }
}

/// Directories of control groups, which are removed when this is dropped.
#[derive(Debug, Default)]
pub(crate) struct ControlGroups(Vec<PathBuf>);

impl ControlGroups {
    /// Makes a directory of that name below each of the parents; or none, if one of them cannot be made.
    pub(crate) fn below<'p>(
        parents: impl IntoIterator<Item = &'p Path>,
        name: &str,
    ) -> io::Result<Self> {
        let mut groups = Self::default();
        for parent in parents {
            let directory = parent.join(name);
            fs::create_dir(&directory)?;
            groups.0.push(directory.clone());
            prepare(parent, &directory)?;
        }
        Ok(groups)
    }

    /// The directories, in the order of their parents.
    pub(crate) fn directories(&self) -> &[PathBuf] {
        &self.0
    }
}

impl Drop for ControlGroups {
    fn drop(&mut self) {
        for group in &self.0 {
            if !remove(group) {
                eprintln!("real-machine: {} is still in use", group.display());
            }
        }
    }
}

/// Has a new directory of control groups offer what the one above it has.
fn prepare(parent: &Path, directory: &Path) -> io::Result<()> {
    // In version 1 a new group has no processors and no memory to run on, and takes in nobody.
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let (from, to) = (parent.join(file), directory.join(file));
        if from.is_file() && to.is_file() {
            fs::write(to, fs::read(from)?)?;
        }
    }
    // In version 2 a group's children have only the controllers that it passes on, which those that it has itself may be.
    if let Ok(controllers) = fs::read_to_string(directory.join("cgroup.controllers")) {
        for controller in controllers.split_whitespace() {
            // Where the kernel does not let it, guests do without.
            let _ = fs::write(
                directory.join("cgroup.subtree_control"),
                format!("+{controller}"),
            );
        }
    }
    Ok(())
}

/// Removes a directory of control groups with those below it, once the processes in it are gone. Tells whether it is gone.
fn remove(directory: &Path) -> bool {
    wait_until(Duration::from_secs(5), || remove_now(directory))
}

fn remove_now(directory: &Path) -> bool {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_now(&entry.path());
        }
    }
    match fs::remove_dir(directory) {
        Ok(()) => true,
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

/// Removes what keepers left that are there no more, having been killed.
pub(crate) fn sweep(hierarchies: &[Hierarchy]) {
    for hierarchy in hierarchies {
        for entry in fs::read_dir(&hierarchy.directory)
            .into_iter()
            .flatten()
            .flatten()
        {
            let name = entry.file_name();
            if is_abandoned(&name.to_string_lossy()) {
                remove_now(&entry.path());
            }
        }
    }
}

/// Whether a name is that of a keeper's directory, and the keeper is gone.
fn is_abandoned(name: &str) -> bool {
    let parts = name
        .strip_prefix(PREFIX)
        .and_then(|rest| rest.split_once('.'));
    let parts = parts.and_then(|(id, time)| Some((id.parse().ok()?, time.parse().ok()?)));
    parts.is_some_and(|(id, time): (u32, u64)| start_time(id) != Some(time))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
24 1 0:21 / /proc rw - proc proc rw
35 28 0:30 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
36 28 0:31 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
37 28 0:32 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
38 28 0:33 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
";

    #[test]
    fn guests_see_the_hierarchies_of_version_1_where_there_are_any() {
        let cgroup = "3:cpu,cpuacct:/\n2:memory:/a/b\n1:name=systemd:/\n0::/\n";
        let found = parse(cgroup, MOUNTS).unwrap();
        let options: Vec<_> = found.iter().map(|row| row.options.as_str()).collect();
        assert_eq!(options, ["cpu,cpuacct", "memory", "none,name=systemd"]);
        assert_eq!(found[1].directory, Path::new("/sys/fs/cgroup/memory/a/b"));
    }

    #[test]
    fn guests_see_the_hierarchy_of_version_2_where_there_is_no_other() {
        let mounts = "30 24 0:26 /inner /sys/fs/cgroup rw - cgroup2 cgroup rw,nsdelegate\n";
        let found = parse("0::/inner/session\n", mounts).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].name, None);
        assert_eq!(found[0].directory, Path::new("/sys/fs/cgroup/session"));
    }

    #[test]
    fn control_groups_without_a_place_for_systemd_are_said_to_be_so() {
        assert!(
            parse("2:memory:/\n", MOUNTS)
                .unwrap_err()
                .contains("systemd")
        );
        assert!(parse("0::/\n", "").unwrap_err().contains("mounted"));
    }

    #[test]
    fn where_one_group_cannot_be_made_none_is_left() {
        let place = tempfile::tempdir().unwrap();
        let (first, second) = (place.path().join("first"), place.path().join("second"));
        fs::create_dir(&first).unwrap();
        let parents = || [first.as_path(), second.as_path()];
        ControlGroups::below(parents(), "guest.1").unwrap_err();
        assert!(!first.join("guest.1").exists());

        // One that was there before is not this one's.
        fs::create_dir_all(second.join("guest.1")).unwrap();
        ControlGroups::below(parents(), "guest.1").unwrap_err();
        assert!(second.join("guest.1").exists() && !first.join("guest.1").exists());
        let groups = ControlGroups::below(parents(), "guest.2").unwrap();
        assert_eq!(
            groups.directories(),
            parents().map(|parent| parent.join("guest.2"))
        );
        drop(groups);
        assert!(
            parents()
                .iter()
                .all(|parent| !parent.join("guest.2").exists())
        );
    }

    #[test]
    fn only_what_a_dead_keeper_left_is_swept() {
        assert!(!is_abandoned(&own_name().unwrap()));
        let id = std::process::id();
        assert!(is_abandoned(&format!("{PREFIX}{id}.1")));
        assert!(!is_abandoned("user.slice"));
        assert!(!is_abandoned("real-machine.service"));
    }
}
