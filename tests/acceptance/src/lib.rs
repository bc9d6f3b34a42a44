//! What the end-to-end tests share: a simulated cloud, a store of its own, and the programs as a user runs them.
//!
//! `cargo xtask test` builds the programs first; so does `cargo build --workspace`.

pub mod api;
pub mod client;
pub mod documentation;
pub mod engine;
pub mod hurry;
mod listener;
pub mod parallel;
pub mod real;
pub mod recorder;
pub mod tls;
pub mod upgrade;
pub mod virtual_lab;

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use btcloud_host::sandbox::Cache;
use cloudstack_simulator::{Behaviour, Builder, Cidr, CloudConfig, Fault, Simulator};
use tempfile::TempDir;
use wasmtime::Engine;
use wasmtime::component::Component;

/// The component of the third-party driver `probe`.
pub const PROBE: &str = env!("PROBE_DRIVER");

/// The component of the third-party driver `hostile`.
pub const HOSTILE: &str = env!("HOSTILE_DRIVER");

/// The component of the third-party driver `hetzner`.
pub const HETZNER: &str = env!("HETZNER_DRIVER");

/// The component of the driver for any CloudStack cloud.
pub const CLOUDSTACK: &str = env!("CLOUDSTACK_DRIVER");

/// The options of a machine in the simulated cloud's advanced zone.
pub const OPTIONS: [&str; 6] = [
    "--btcloud-zone",
    "uk-london-1",
    "--btcloud-template",
    "Ubuntu 24.04 LTS",
    "--btcloud-service-offering",
    "Small",
];

/// The interfaces that a component imports, without their versions.
pub fn imports(component: &[u8]) -> Vec<String> {
    let engine = Engine::default();
    let component = Component::new(&engine, component).expect("a component");
    let component_type = component.component_type();
    let names = component_type
        .imports(&engine)
        .map(|(name, _)| name.to_owned());
    names
        .map(|name| name.split('@').next().unwrap_or_default().to_owned())
        .collect()
}

/// The component of the driver `hostile`, which is told by that mark what to do.
///
/// # Panics
///
/// If the mark is longer than the driver's room for it.
pub fn hostile(mark: &str) -> Vec<u8> {
    /// The room for a mark, as the driver has it.
    const ROOM: usize = 35;
    let mut bytes = fs::read(HOSTILE).expect("the component");
    let label = b"HOSTILE-MARK:";
    let found = bytes.windows(label.len()).position(|w| w == label);
    let begin = found.expect("the label") + label.len();
    let room = &mut bytes[begin..begin + ROOM];
    assert!(room.iter().all(|byte| *byte == b' '));
    room[..mark.len()].copy_from_slice(mark.as_bytes());
    bytes
}

/// The root of the project's sources.
pub fn project_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The variables that give the account in the simulated cloud.
pub const ACCOUNT_VARIABLES: [&str; 3] =
    ["BTCLOUD_ENDPOINT", "BTCLOUD_API_KEY", "BTCLOUD_SECRET_KEY"];

/// Takes the account from a command's environment.
pub fn without_account(command: &mut Command) -> &mut Command {
    for variable in ACCOUNT_VARIABLES {
        command.env_remove(variable);
    }
    command
}

/// Has a command, which was given a search path, look for programs in that directory first.
///
/// # Panics
///
/// If it was given none.
pub fn prepend_path(command: &mut Command, directory: &Path) {
    let path = command
        .get_envs()
        .find_map(|(name, value)| value.filter(|_| name == "PATH"));
    let path = path.expect("a search path").to_owned();
    let first = [directory.to_owned()].into_iter();
    let path = std::env::join_paths(first.chain(std::env::split_paths(&path)));
    command.env("PATH", path.expect("a search path"));
}

/// Where the workspace's programs are, `target/debug`; tests are in `deps` within.
fn program_directory() -> PathBuf {
    let this = std::env::current_exe().expect("this program");
    let directory = this.parent().expect("a directory");
    match directory.parent() {
        Some(parent) if directory.ends_with("deps") => parent.to_owned(),
        _ => directory.to_owned(),
    }
}

/// Where the tests keep compiled components, so that each is compiled once for all of them.
pub fn cache_directory() -> PathBuf {
    program_directory().join("cache-of-tests")
}

/// The cache that [`cache_directory`] is for the programs.
pub fn cache() -> Cache {
    Cache::at(cache_directory().join("btcloud-host"))
}

/// The most memory in bytes that a process has had so far, where the system tells.
pub fn peak_memory(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kibibytes * 1024)
}

/// A program of the workspace.
pub fn program(name: &str) -> PathBuf {
    let program = program_directory().join(name);
    assert!(
        program.is_file(),
        "{} is not built: cargo build --workspace",
        program.display()
    );
    program
}

/// A user with an empty home and an account in a simulated cloud.
pub struct Lab {
    /// The cloud.
    pub cloud: Simulator,
    home: TempDir,
    /// Secrets besides the account's keys, such as another cloud's token.
    guarded: Mutex<Vec<String>>,
    /// Files with keys that the test itself has put there, as long as they are as they were.
    planted: Mutex<Vec<(PathBuf, Vec<u8>)>>,
    /// What each program is run by, with its arguments; nothing by default.
    wrapper: Vec<OsString>,
    /// Where programs are looked for first: the stand-in for ssh, by default, and the workspace's.
    first_in_path: Vec<PathBuf>,
}

impl Default for Lab {
    fn default() -> Self {
        Self::new()
    }
}

impl Lab {
    /// A user of the default cloud, whose jobs are quick.
    pub fn new() -> Self {
        Self::with(|_| (), |_| ())
    }

    /// A user of a cloud that is changed before it starts.
    pub fn with(behave: impl FnOnce(&mut Behaviour), have: impl FnOnce(&mut CloudConfig)) -> Self {
        let mut behaviour = Behaviour::default();
        behaviour.job_time = Duration::from_millis(20);
        behave(&mut behaviour);
        let mut cloud = CloudConfig::default();
        have(&mut cloud);
        Self::of(Simulator::builder().behaviour(behaviour).cloud(cloud))
    }

    /// A user of the default cloud whose public addresses begin at that one. Tests in which something answers at the usual
    /// ports of a machine have addresses of their own.
    pub fn at(first: Ipv4Addr) -> Self {
        Self::with(
            |_| (),
            |cloud| {
                for addresses in &mut cloud.public_addresses {
                    addresses.first = first;
                }
            },
        )
    }

    /// A user of that cloud.
    pub fn of(cloud: Builder) -> Self {
        Self {
            cloud: cloud.start().expect("a cloud"),
            home: tempfile::tempdir().expect("a directory"),
            guarded: Mutex::default(),
            planted: Mutex::default(),
            wrapper: Vec::new(),
            first_in_path: vec![
                project_root().join("tests/clients/fake-guest"),
                program_directory(),
            ],
        }
    }

    /// Has another secret of the user looked for wherever the account's keys are.
    pub fn guard(&self, secret: &str) {
        let mut guarded = self.guarded.lock().expect("no panic");
        guarded.push(secret.to_owned());
    }

    /// What must be found nowhere but in its file.
    fn keys(&self) -> Keys {
        let mut keys = Keys::of(&self.cloud);
        let guarded = self.guarded.lock().expect("no panic");
        keys.0.extend_from_slice(&guarded);
        keys
    }

    /// Has the next job of a command fail.
    pub fn fail_job(&self, command: &str, code: u16, text: &str) {
        let text = text.to_owned();
        self.cloud.fault(command, 1, Fault::JobFails { code, text });
    }

    /// Has the jobs of a command take this long.
    pub fn slow_down(&self, command: &str, time: Duration) {
        self.cloud.set_behaviour(|behaviour| {
            behaviour.job_times.insert(command.to_owned(), time);
        });
    }

    /// Whether a command has been called.
    pub fn has_called(&self, command: &str) -> bool {
        let requests = self.cloud.requests();
        requests.iter().any(|request| request.command == command)
    }

    /// Whether the cloud has a machine of that name.
    pub fn has_machine(&self, name: &str) -> bool {
        let machines = self.cloud.inventory().machines;
        machines.iter().any(|machine| machine.name == name)
    }

    /// Has a machine removed that the user's store still knows, as if from another computer.
    pub fn destroy_behind_our_back(&self, machine: &str) {
        let elsewhere = tempfile::tempdir().expect("a directory");
        let copy = elsewhere.path().join("machines").join(machine);
        fs::create_dir_all(&copy).expect("a directory");
        for entry in fs::read_dir(self.machine_directory(machine)).expect("the machine") {
            let file = entry.expect("a file");
            fs::copy(file.path(), copy.join(file.file_name())).expect("a copy");
        }
        let mut host = self.host();
        host.args(["remove", machine])
            .env("MACHINE_STORAGE_PATH", elsewhere.path());
        self.finish(&mut host).ok();
        assert!(!self.has_machine(machine));
    }

    /// The user's home.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// The user's store of machines.
    pub fn store(&self) -> PathBuf {
        self.home().join(".docker").join("machine")
    }

    /// What the store has of a machine.
    pub fn machine_directory(&self, machine: &str) -> PathBuf {
        self.store().join("machines").join(machine)
    }

    /// A machine's `config.json`.
    pub fn config(&self, machine: &str) -> serde_json::Value {
        let text = fs::read(self.machine_directory(machine).join("config.json"));
        serde_json::from_slice(&text.expect("config.json")).expect("JSON")
    }

    /// Puts a `config.json` there, which may have keys in it, as older drivers kept them.
    pub fn put_config(&self, machine: &str, config: &serde_json::Value) {
        let path = self.machine_directory(machine).join("config.json");
        self.plant(&path, &config.to_string());
    }

    /// Writes a file that may have keys in it, as long as nobody changes it.
    pub fn plant(&self, path: &Path, contents: &str) {
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory).expect("a directory");
        }
        fs::write(path, contents).expect("a file");
        let file = (path.to_owned(), contents.as_bytes().to_vec());
        self.planted.lock().expect("no panic").push(file);
    }

    /// A command in the user's environment: with the account's keys, and the plugin in the search path.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = match self.wrapper.split_first() {
            None => Command::new(program),
            Some((wrapper, arguments)) => {
                let mut command = Command::new(wrapper);
                command.args(arguments).arg(program);
                command
            }
        };
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.home())
            .env("BTCLOUD_ENDPOINT", self.cloud.url())
            .env("BTCLOUD_API_KEY", self.cloud.api_key())
            .env("BTCLOUD_SECRET_KEY", self.cloud.secret_key())
            .env("MACHINE_BUGSNAG_API_TOKEN", "no-report")
            // Most machines of the simulated cloud are records; the tests of provisioning have one that lets somebody in.
            .env("BTCLOUD_NO_PROVISION", "1")
            .env("XDG_CACHE_HOME", cache_directory())
            .stdin(Stdio::null());
        for directory in self.first_in_path.iter().rev() {
            prepend_path(&mut command, directory);
        }
        command
    }

    /// Runs `btcloud-host run` with these arguments.
    pub fn run(&self, arguments: &[&str]) -> Outcome {
        let mut command = self.host();
        self.finish(command.args(arguments))
    }

    /// Runs `btcloud-host` with these arguments.
    pub fn cli(&self, arguments: &[&str]) -> Outcome {
        let mut command = self.command(program("btcloud-host"));
        self.finish(command.args(arguments))
    }

    /// What `btcloud-host` tells a shell for the last of these words.
    pub fn complete(&self, shell: &str, words: &[&str]) -> Outcome {
        let mut words = words.to_vec();
        let typed = words.pop().unwrap_or_default();
        // bash tells the quote apart.
        words.push(typed.trim_start_matches(['"', '\'']));
        let mut host = self.command(program("btcloud-host"));
        host.env("BTCLOUD_COMPLETE", shell)
            .env("BTCLOUD_COMPLETE_WORD", typed)
            .env("_CLAP_COMPLETE_INDEX", (words.len() - 1).to_string())
            .env("_CLAP_COMPLETE_COMP_TYPE", "9")
            .env("_CLAP_COMPLETE_SPACE", "true")
            .env("_CLAP_IFS", "\n")
            .arg("--")
            .args(words);
        self.finish(&mut host)
    }

    /// Creates a machine with the usual options, and these.
    #[track_caller]
    pub fn create(&self, name: &str, options: &[&str]) {
        self.run(&[&["create", name], OPTIONS.as_slice(), options].concat())
            .ok();
    }

    /// A user of a cloud whose jobs take no time and whose network `shared-lan` has room for thousands of machines.
    pub fn spacious() -> Self {
        Self::with(
            |behaviour| behaviour.job_time = Duration::ZERO,
            |cloud| {
                let mut networks = cloud.networks.iter_mut();
                let shared = networks.find(|network| network.name == "shared-lan");
                let base = Ipv4Addr::new(127, 16, 0, 0);
                shared.expect("the network").cidr = Cidr::new(base, 16).expect("a range");
            },
        )
    }

    /// Makes that many machines, `web-1` and so on, as they are after as many creations.
    pub fn create_many(&self, machines: usize) {
        self.create("web-1", &["--btcloud-network", "shared-lan"]);
        let list = api::request(&self.cloud, "listVirtualMachines", &[]);
        let vm = &list["virtualmachine"][0];
        assert_eq!(vm["id"], self.config("web-1")["Driver"]["VmId"]);
        let id = |member: &str| vm[member].as_str().expect("an id");
        let network = vm["nic"][0]["networkid"].as_str().expect("a network");
        for number in 2..=machines {
            let name = format!("web-{number}");
            let parameters = [
                ("zoneid", id("zoneid")),
                ("templateid", id("templateid")),
                ("serviceofferingid", id("serviceofferingid")),
                ("networkids", network),
                ("name", name.as_str()),
            ];
            let made = api::request(&self.cloud, "deployVirtualMachine", &parameters);
            self.copy("web-1", &name, |config| {
                config["Driver"]["VmId"] = made["id"].clone();
            });
        }
    }

    /// Has the store know a machine under another name too, with changes to what is stored.
    pub fn copy(&self, from: &str, to: &str, change: impl FnOnce(&mut serde_json::Value)) {
        let (source, target) = (self.machine_directory(from), self.machine_directory(to));
        fs::create_dir_all(&target).expect("a directory");
        let secrets = "secrets.json";
        fs::copy(source.join(secrets), target.join(secrets)).expect("a file");
        let mut config = self.config(from);
        config["Name"] = to.into();
        config["Driver"]["MachineName"] = to.into();
        change(&mut config);
        fs::write(target.join("config.json"), config.to_string()).expect("a file");
    }

    /// `btcloud-host run`, to be given arguments.
    pub fn host(&self) -> Command {
        let mut command = self.command(program("btcloud-host"));
        command.arg("run");
        command
    }

    /// Runs a command to its end. Whatever it is, it must neither show nor leave a key.
    pub fn finish(&self, command: &mut Command) -> Outcome {
        let program = command.get_program().to_owned();
        let output = command
            .output()
            .unwrap_or_else(|e| panic!("{}: {e}", program.display()));
        self.outcome(output)
    }

    /// How a command ended, which must neither have shown nor left a key.
    pub fn outcome(&self, output: Output) -> Outcome {
        let outcome = Outcome::from(output);
        let keys = self.keys();
        keys.are_not_in("the standard output", outcome.stdout.as_bytes());
        keys.are_not_in("the standard error", outcome.stderr.as_bytes());
        self.search();
        outcome
    }

    /// Fails if a key is in another file than that of a machine's secrets.
    fn search(&self) {
        let planted = self.planted.lock().expect("no panic");
        self.keys().are_not_below(self.home(), &planted);
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.search();
        }
    }
}

/// The keys of an account and other secrets, which must be found nowhere but in their file.
#[derive(Clone)]
pub struct Keys(Vec<String>);

impl Keys {
    /// Those of the cloud's first account.
    pub fn of(cloud: &Simulator) -> Self {
        Self(vec![
            cloud.api_key().to_owned(),
            cloud.secret_key().to_owned(),
        ])
    }

    /// Fails if a key is in what a program has written.
    ///
    /// # Panics
    ///
    /// If one is.
    pub fn are_not_in(&self, place: &str, contents: &[u8]) {
        let text = String::from_utf8_lossy(contents);
        let has_key = self.0.iter().any(|key| text.contains(key));
        assert!(!has_key, "a key is in {place}");
    }

    /// Fails if a key is in a file, apart from `planted` ones and those of machines' secrets.
    ///
    /// # Panics
    ///
    /// If one is.
    pub fn are_not_below(&self, directory: &Path, planted: &[(PathBuf, Vec<u8>)]) {
        // What is gone while it is looked at needs no search.
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            let path = entry.path();
            let Ok(file_type) = entry.file_type() else {
                continue;
            };
            if file_type.is_dir() {
                self.are_not_below(&path, planted);
            }
            if !file_type.is_file() || path.ends_with("secrets.json") {
                continue;
            }
            let contents = fs::read(&path).unwrap_or_default();
            // Another process may be writing the file of secrets just now, under the name that it has until then.
            let is_temporary = entry.file_name().to_string_lossy().starts_with(".tmp-");
            if is_temporary && !contents.is_empty() {
                std::thread::sleep(Duration::from_millis(200));
                if !path.exists() {
                    continue;
                }
            }
            if !planted.contains(&(path.clone(), contents.clone())) {
                self.are_not_in(&path.display().to_string(), &contents);
            }
        }
    }
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Its exit code; -1 if a signal ended it.
    pub code: i32,
    /// What it wrote to its standard output.
    pub stdout: String,
    /// What it wrote to its standard error.
    pub stderr: String,
}

impl From<Output> for Outcome {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).expect("UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("UTF-8"),
        }
    }
}

impl Outcome {
    /// The standard output of a command that must succeed, without the last line break.
    #[track_caller]
    pub fn ok(&self) -> &str {
        assert_eq!(self.code, 0, "{self:?}");
        self.stdout.trim_end()
    }

    /// The standard error of a command that must end with that code.
    #[track_caller]
    pub fn fails(&self, code: i32) -> &str {
        assert_eq!(self.code, code, "{self:?}");
        self.stderr.trim_end()
    }
}

/// A running plugin that a test speaks with itself.
pub struct Plugin {
    /// The process.
    pub process: Child,
    /// Where it listens.
    pub address: String,
    lines: BufReader<std::process::ChildStdout>,
    keys: Keys,
}

impl Plugin {
    /// Starts the plugin as a client does.
    pub fn start(lab: &Lab) -> Self {
        let mut process = lab
            .command(program("docker-machine-driver-btcloud"))
            .env("MACHINE_PLUGIN_TOKEN", "42")
            .env("MACHINE_PLUGIN_DRIVER_NAME", "btcloud")
            // As rancher-machine does.
            .args(["rancher-machine", "create", "--help"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the plugin");
        let mut lines = BufReader::new(process.stdout.take().expect("its output"));
        let mut address = String::new();
        lines.read_line(&mut address).expect("the address");
        Self {
            process,
            address: address.trim_end().to_owned(),
            lines,
            keys: lab.keys(),
        }
    }

    /// The next line that it shows.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).expect("a line");
        self.keys
            .are_not_in("the plugin's standard output", line.as_bytes());
        line.trim_end().to_owned()
    }

    /// Waits for its end; tells the exit code, and what it wrote to its standard error.
    pub fn wait(mut self) -> (i32, String) {
        let status = self.process.wait().expect("its end");
        let mut stderr = String::new();
        if let Some(mut pipe) = self.process.stderr.take() {
            pipe.read_to_string(&mut stderr).expect("UTF-8");
        }
        let mut rest = String::new();
        self.lines.read_to_string(&mut rest).expect("UTF-8");
        for text in [&stderr, &rest] {
            self.keys.are_not_in("the plugin's output", text.as_bytes());
        }
        (status.code().unwrap_or(-1), stderr)
    }
}

/// Waits until `condition` holds, for at most ten seconds.
#[track_caller]
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..1_000 {
        if condition() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("{what} has not come about");
}

/// Sends a signal to a process.
pub fn signal(process: &Child, signal: rustix::process::Signal) {
    let id = i32::try_from(process.id())
        .ok()
        .and_then(rustix::process::Pid::from_raw);
    rustix::process::kill_process(id.expect("a process"), signal).expect("a signal");
}
