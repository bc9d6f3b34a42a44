//! A guest: a machine of the cloud that really runs.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::cgroups::ControlGroups;
use crate::router::command_at;
use crate::{Image, Kind, lock, run, wait_until};

const BOOT: &str = include_str!("../guest/boot.sh");
const ROOT: &str = include_str!("../guest/root.sh");
const QEMU: &str = include_str!("../guest/qemu.sh");

/// How long a guest may take to be process 1, to shut down, and to be gone once it is killed.
const BOOT_LIMIT: Duration = Duration::from_secs(20);
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(30);
const KILL_LIMIT: Duration = Duration::from_secs(10);

/// The signals by which systemd shuts down and reboots, SIGRTMIN+4 and SIGRTMIN+5.
const POWER_OFF: &str = "38";
const REBOOT: &str = "39";

/// A cable to a network.
#[derive(Clone, Debug)]
pub(crate) struct Cable {
    /// The process whose network namespace is the router's.
    pub(crate) router: u32,
    /// The name of the router's end.
    pub(crate) link: String,
    /// The MAC address of the guest's end.
    pub(crate) mac: String,
}

/// What a guest is started with.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) image: Image,
    /// Processors, which only QEMU can limit.
    pub(crate) cpus: u32,
    /// Memory in MiB, likewise.
    pub(crate) memory_mib: u32,
    /// The guest's own directory.
    pub(crate) directory: PathBuf,
    /// The control groups in which it gets one of its own.
    pub(crate) groups: Vec<PathBuf>,
    /// What it mounts of control groups, a line for each: the name and the options.
    pub(crate) hierarchies: String,
    pub(crate) cables: Vec<Cable>,
}

#[derive(Debug, Default)]
struct State {
    /// The guest's process 1, or QEMU, if it runs.
    init: Option<u32>,
    /// Where QEMU takes orders.
    monitor: Option<ChildStdin>,
    /// How often it has been tried to start it.
    boots: u32,
    /// How often it has been started.
    starts: u32,
    /// Whether it is to start anew when it ends with a reboot.
    is_wanted: bool,
    /// Why it could not be started the last time.
    error: Option<String>,
    /// Whether somebody waits for the end of it and starts it anew.
    is_watched: bool,
}

/// A guest, running or not.
pub(crate) struct Machine {
    plan: Plan,
    state: Mutex<State>,
    changed: Condvar,
    /// Called when it has ended.
    on_end: Box<dyn Fn() + Send + Sync>,
}

impl Machine {
    /// A guest with an empty disk of its own.
    pub(crate) fn new(plan: Plan, on_end: Box<dyn Fn() + Send + Sync>) -> Result<Self, String> {
        for part in ["upper", "work", "root", "docker"] {
            let path = plan.directory.join(part);
            fs::create_dir_all(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        }
        if plan.image.kind() == Kind::Qemu {
            if plan.cables.len() != 1 {
                return Err("a guest of QEMU is in one network".to_owned());
            }
            run(Command::new("cp")
                .arg("--sparse=always")
                .args([plan.image.disk(), plan.directory.join("disk")]))?;
        }
        Ok(Self {
            plan,
            state: Mutex::default(),
            changed: Condvar::new(),
            on_end,
        })
    }

    /// Starts it, and returns when systemd is about to run in it.
    pub(crate) fn start(self: &Arc<Self>) -> Result<(), String> {
        let mut state = lock(&self.state);
        if state.is_watched {
            return Err("it is running".to_owned());
        }
        let before = state.starts;
        state.is_wanted = true;
        state.is_watched = true;
        state.error = None;
        drop(state);
        let this = Arc::clone(self);
        thread::spawn(move || this.watch());
        let state = self.wait(BOOT_LIMIT * 2, |state| {
            state.starts > before || !state.is_watched
        });
        match &state.error {
            None if state.starts > before => Ok(()),
            None => Err("it has not started in time".to_owned()),
            Some(error) => Err(error.clone()),
        }
    }

    /// Stops it.
    pub(crate) fn stop(&self, forced: bool) -> Result<(), String> {
        lock(&self.state).is_wanted = false;
        let has_ended = |state: &State| !state.is_watched;
        let end = Instant::now() + SHUTDOWN_LIMIT;
        while !forced && Instant::now() < end {
            // The first may come before systemd takes signals.
            self.power_off();
            if has_ended(&self.wait(Duration::from_secs(3), has_ended)) {
                return Ok(());
            }
        }
        self.signal("KILL");
        match has_ended(&self.wait(KILL_LIMIT, has_ended)) {
            true => Ok(()),
            false => Err("it cannot be stopped".to_owned()),
        }
    }

    /// Has it start anew, and returns when systemd is about to run in it.
    pub(crate) fn reboot(self: &Arc<Self>) -> Result<(), String> {
        if self.plan.image.kind() == Kind::Qemu {
            // It has no key for that, and a reset would lose what is not on the disk yet.
            self.stop(false)?;
            return self.start();
        }
        let before = lock(&self.state).starts;
        let is_new = |state: &State| state.starts > before || !state.is_watched;
        let end = Instant::now() + SHUTDOWN_LIMIT;
        while Instant::now() < end {
            self.signal(REBOOT);
            let state = self.wait(Duration::from_secs(3), is_new);
            if state.starts > before {
                return Ok(());
            }
            if !state.is_watched {
                let error = state.error.clone();
                return Err(error.unwrap_or_else(|| "it has ended instead".to_owned()));
            }
        }
        self.stop(true)?;
        self.start()
    }

    /// Removes its disk.
    pub(crate) fn remove(&self) -> Result<(), String> {
        self.stop(true)?;
        let directory = &self.plan.directory;
        fs::remove_dir_all(directory).map_err(|error| format!("{}: {error}", directory.display()))
    }

    fn wait(&self, limit: Duration, condition: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        let state = lock(&self.state);
        let waited = self
            .changed
            .wait_timeout_while(state, limit, |state| !condition(state));
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Asks it to shut down, if it runs.
    fn power_off(&self) {
        if self.plan.image.kind() == Kind::Namespaces {
            return self.signal(POWER_OFF);
        }
        if let Some(monitor) = &mut lock(&self.state).monitor {
            // If it is about to end there is nothing to ask.
            let _ = monitor.write_all(b"system_powerdown\n");
        }
    }

    /// Sends a signal to its process 1, if it runs.
    fn signal(&self, signal: &str) {
        // The lock is held, so that the process is still the guest's.
        let state = lock(&self.state);
        if let Some(init) = state.init {
            // The shell's own, since signals have names that differ and not every system has the program.
            let _ = run(Command::new("sh")
                .args(["-c", "kill -\"$1\" \"$2\"", "sh", signal])
                .arg(init.to_string()));
        }
    }

    /// Runs it, and runs it anew as long as it ends with a reboot and is wanted.
    fn watch(&self) {
        loop {
            let ended = self.boot();
            (self.on_end)();
            let mut state = lock(&self.state);
            state.init = None;
            state.monitor = None;
            let again = ended.as_ref().is_ok_and(is_reboot) && state.is_wanted;
            if !again {
                if let (Ok(status), true) = (&ended, state.is_wanted) {
                    eprintln!("real-machine: a guest has ended by itself ({status})");
                }
                state.error = ended.err();
                state.is_watched = false;
            }
            drop(state);
            self.changed.notify_all();
            if !again {
                return;
            }
        }
    }

    /// Runs it once. It is process 1 of its own, so that all of it is gone when that has ended.
    fn boot(&self) -> Result<ExitStatus, String> {
        let plan = &self.plan;
        // No two boots share their control groups: those of the last one may still be in use.
        let number = {
            let mut state = lock(&self.state);
            state.boots += 1;
            state.boots
        };
        let console_path = plan.directory.join("console");
        let console = File::create(&console_path).map_err(|error| error.to_string())?;
        let name = plan.directory.file_name().unwrap_or_default();
        let name = format!("{}.{number}", name.to_string_lossy());
        let parents = plan.groups.iter().map(PathBuf::as_path);
        let groups = ControlGroups::below(parents, &name)
            .map_err(|error| format!("no control group: {error}"))?;
        let lines: Vec<_> = groups
            .directories()
            .iter()
            .map(|group| group.display().to_string())
            .collect();
        let mut command = match plan.image.kind() {
            Kind::Namespaces => self.namespaces(),
            Kind::Qemu => self.qemu()?,
        };
        command
            .env("CGROUPS", lines.join("\n"))
            .stdout(console.try_clone().map_err(|error| error.to_string())?)
            .stderr(console)
            .spawn()
            .map_err(|error| format!("cannot run a guest: {error}"))
            .and_then(|child| self.follow(child, &console_path))
    }

    /// What starts it in namespaces.
    fn namespaces(&self) -> Command {
        let plan = &self.plan;
        let nics = plan.cables.iter().map(|cable| {
            let Cable { router, link, mac } = cable;
            format!("{router} {link} {mac}")
        });
        let mut command = Command::new("unshare");
        command
            .args(["--net", "sh", "-c", BOOT, "boot"])
            .args(["-c", ROOT, "root"])
            .args([&plan.image.root(), &plan.directory])
            .env("NICS", nics.collect::<Vec<_>>().join("\n"))
            .env("HIERARCHIES", &plan.hierarchies)
            .stdin(Stdio::null());
        command
    }

    /// What starts it in QEMU.
    fn qemu(&self) -> Result<Command, String> {
        let plan = &self.plan;
        let cable = plan.cables.first().ok_or("a guest without a network")?;
        let mut command = command_at(cable.router);
        command
            .args(["sh", "-c", QEMU, "qemu"])
            .args([plan.image.directory(), &plan.directory])
            .args([plan.cpus.to_string(), plan.memory_mib.to_string()])
            .args([&cable.link, &cable.mac])
            .stdin(Stdio::piped());
        Ok(command)
    }

    /// Waits for the end of a guest that has been started.
    fn follow(&self, mut child: Child, console: &Path) -> Result<ExitStatus, String> {
        let mut init = None;
        wait_until(BOOT_LIMIT, || {
            init = match self.plan.image.kind() {
                Kind::Namespaces => {
                    process_1_of(child.id()).filter(|init| is_named(*init, "systemd"))
                }
                Kind::Qemu => Some(child.id()).filter(|id| is_named(*id, "qemu-system-x86")),
            };
            init.is_some() || !matches!(child.try_wait(), Ok(None))
        });
        let Some(init) = init else {
            // Its child ends with it.
            let _ = child.kill();
            let _ = child.wait();
            let text = fs::read_to_string(console).unwrap_or_default();
            let line = text.lines().rfind(|line| !line.trim().is_empty());
            return Err(format!(
                "the guest did not start: {}",
                line.unwrap_or("it said nothing")
            ));
        };
        {
            let mut state = lock(&self.state);
            state.init = Some(init);
            state.monitor = child.stdin.take();
            state.starts += 1;
        }
        self.changed.notify_all();
        child.wait().map_err(|error| error.to_string())
    }
}

/// Whether a process has become that program, having been the script that prepares it.
fn is_named(process: u32, program: &str) -> bool {
    let name = fs::read_to_string(format!("/proc/{process}/comm"));
    // The kernel keeps the first fifteen characters.
    name.is_ok_and(|name| name.trim_end() == program)
}

/// Whether a guest has ended to be started anew: the kernel ends process 1 with SIGHUP then.
fn is_reboot(status: &ExitStatus) -> bool {
    status.signal() == Some(1) || status.code() == Some(129)
}

/// The child of a process that is process 1 of a namespace of its own.
fn process_1_of(parent: u32) -> Option<u32> {
    let own = fs::read_link("/proc/self/ns/pid").ok()?;
    fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
        let id: u32 = entry.file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        let is_child = stat.rsplit_once(')')?.1.split_whitespace().nth(1)? == parent.to_string();
        let namespace = is_child.then(|| fs::read_link(entry.path().join("ns/pid")).ok())??;
        (namespace != own).then_some(id)
    })
}
