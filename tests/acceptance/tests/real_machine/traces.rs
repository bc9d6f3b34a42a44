//! What there is of a laboratory on the machine that it runs on: processes, namespaces, mounts and control groups.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use acceptance::real::patience;
use real_machine::Kind;

/// Waits until something is so that a machine does by itself.
#[track_caller]
pub(crate) fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + patience();
    while !condition() {
        assert!(Instant::now() < end, "{what} has not come about");
        std::thread::sleep(Duration::from_millis(100));
    }
}

pub(crate) struct Process {
    pub(crate) id: u32,
    pub(crate) parent: u32,
    is_dead: bool,
    namespaces: BTreeSet<String>,
}

impl Process {
    pub(crate) fn all() -> Vec<Self> {
        let entries = fs::read_dir("/proc").unwrap().flatten();
        entries
            .filter_map(|entry| Self::at(&entry.path()))
            .collect()
    }

    fn at(directory: &Path) -> Option<Self> {
        let id = directory.file_name()?.to_str()?.parse().ok()?;
        let stat = fs::read_to_string(directory.join("stat")).ok()?;
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
        let is_dead = fields.next() == Some("Z");
        let parent = fields.next()?.parse().ok()?;
        let links = |below: &str| {
            let entries = fs::read_dir(directory.join(below)).into_iter().flatten();
            let targets = entries
                .flatten()
                .filter_map(|entry| fs::read_link(entry.path()).ok());
            let names = targets.map(|target| target.to_string_lossy().into_owned());
            // Those that descriptors keep count too.
            names
                .filter(|name| name.ends_with(']') && !name.starts_with('/'))
                .filter(|name| {
                    ["mnt:", "net:", "pid:", "cgroup:", "uts:", "ipc:"]
                        .iter()
                        .any(|kind| name.starts_with(kind))
                })
                .collect::<Vec<_>>()
        };
        let namespaces = ["ns", "fd"].iter().flat_map(|below| links(below)).collect();
        Some(Self {
            id,
            parent,
            is_dead,
            namespaces,
        })
    }
}

/// What there is of a laboratory as long as it runs.
pub(crate) struct Traces {
    keeper: u32,
    processes: BTreeSet<(u32, String)>,
    namespaces: BTreeSet<String>,
    groups: Vec<PathBuf>,
}

impl Traces {
    /// What there is, once that is all that a guest has: only so does a look for what is left find it.
    pub(crate) fn of(keeper: u32) -> Self {
        let mut traces = Self::now(keeper);
        wait_for("a whole guest", || {
            traces = Self::now(keeper);
            traces.lacks().is_empty()
        });
        traces
    }

    fn now(keeper: u32) -> Self {
        let all = Process::all();
        let mut ids = BTreeSet::from([keeper]);
        loop {
            let children = all.iter().filter(|process| ids.contains(&process.parent));
            let more: BTreeSet<_> = children.map(|process| process.id).collect();
            if more.is_subset(&ids) {
                break;
            }
            ids.extend(more);
        }
        let here = Process::at(&PathBuf::from(format!("/proc/{}", std::process::id())));
        let ours = here.map(|own| own.namespaces).unwrap_or_default();
        let inside = all.iter().filter(|process| ids.contains(&process.id));
        let namespaces = inside.flat_map(|process| process.namespaces.clone());
        Self {
            keeper,
            namespaces: namespaces.filter(|name| !ours.contains(name)).collect(),
            processes: ids
                .iter()
                .filter_map(|id| Some((*id, start_time(*id)?)))
                .collect(),
            groups: groups(keeper),
        }
    }

    /// Of what there are fewer than a guest has.
    fn lacks(&self) -> Vec<&'static str> {
        // Those of the laboratory, the router and the guest; a guest of QEMU is one process in them.
        let (processes, namespaces): (usize, &[(&'static str, usize)]) = match Kind::asked_for() {
            Kind::Namespaces => (10, &[("mnt:", 3), ("net:", 2), ("pid:", 2), ("cgroup:", 1)]),
            Kind::Qemu => (5, &[("mnt:", 2), ("net:", 1), ("pid:", 1)]),
        };
        let count = |kind| {
            let names = self.namespaces.iter();
            names.filter(|name| name.starts_with(kind)).count()
        };
        let few = namespaces
            .iter()
            .filter(|(kind, least)| count(*kind) < *least);
        let mut lacks: Vec<_> = few.map(|(kind, _)| *kind).collect();
        if self.processes.len() < processes {
            lacks.push("processes");
        }
        if self.groups.is_empty() {
            lacks.push("control groups");
        }
        lacks
    }

    /// What is left of it.
    pub(crate) fn left(&self) -> Vec<String> {
        let mut left = Vec::new();
        for process in Process::all() {
            // What is dead but not waited for by its parent, which is init's task here, holds nothing any more.
            if process.is_dead {
                continue;
            }
            let time = start_time(process.id).unwrap_or_default();
            if self.processes.contains(&(process.id, time)) {
                left.push(format!("process {}", process.id));
            }
            for namespace in process.namespaces.intersection(&self.namespaces) {
                left.push(format!("namespace {namespace} of process {}", process.id));
            }
        }
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        for mount in mounts.lines() {
            let is_pinned = self
                .namespaces
                .iter()
                .any(|name| mount.contains(name.as_str()));
            if is_pinned || mount.contains("/real-machine/") {
                left.push(format!("mount {mount}"));
            }
        }
        let groups = groups(self.keeper);
        left.extend(
            groups
                .iter()
                .map(|group| format!("control group {}", group.display())),
        );
        left
    }

    /// Waits until nothing is left but what may be.
    #[track_caller]
    pub(crate) fn vanish(&self, may_stay: impl Fn(&str) -> bool) {
        let end = Instant::now() + Duration::from_secs(15);
        loop {
            let mut left = self.left();
            left.retain(|trace| !may_stay(trace));
            if left.is_empty() {
                return;
            }
            assert!(Instant::now() < end, "{left:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn start_time(process: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    stat.rsplit_once(')')?
        .1
        .split_whitespace()
        .nth(19)
        .map(str::to_owned)
}

/// The control groups of a keeper, wherever they are.
fn groups(keeper: u32) -> Vec<PathBuf> {
    let prefix = format!("real-machine.{keeper}.");
    let mut found = Vec::new();
    let mut directories = vec![PathBuf::from("/sys/fs/cgroup")];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            if entry.file_name().to_string_lossy().starts_with(&prefix) {
                found.push(entry.path());
            }
            directories.push(entry.path());
        }
    }
    found
}
