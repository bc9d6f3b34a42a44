//! Plugins as processes, as a client starts them, and the genuine client.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Stdio};
use std::time::{Duration, Instant};

use acceptance::{Lab, OPTIONS, peak_memory};
use cloudstack_simulator::RequestRecord;
use netrpc::gob::{Type, Value};
use netrpc::rpc::{Client, EMPTY, Settings};
use serde_json::{Value as Json, json};

use crate::sample::time;

/// The name of the machine that questions are about.
const MACHINE: &str = "m1";

/// A plugin, and what a store has of a machine of its.
pub(crate) struct Plugin {
    pub(crate) program: PathBuf,
    name: &'static str,
    /// The member `Driver` of `config.json`.
    record: Json,
}

/// A user of a simulated cloud who has a machine there.
pub(crate) struct Bench {
    pub(crate) lab: Lab,
    pub(crate) ours: Plugin,
}

/// A user of a simulated cloud whose jobs take no time.
pub(crate) fn lab() -> Lab {
    Lab::with(|behaviour| behaviour.job_time = Duration::ZERO, |_| ())
}

impl Bench {
    /// Makes the machine.
    pub(crate) fn new() -> Self {
        let lab = lab();
        let create = [["create", MACHINE].as_slice(), &OPTIONS].concat();
        lab.run(&create).ok();
        let ours = Plugin {
            program: acceptance::program("docker-machine-driver-btcloud"),
            name: "btcloud",
            record: lab.config(MACHINE)["Driver"].clone(),
        };
        Self { lab, ours }
    }

    /// The plugin in Go, for the same machine.
    pub(crate) fn go(&self, program: PathBuf) -> Plugin {
        let ours = &self.ours.record;
        let members = ["IPAddress", "MachineName", "SSHUser", "SSHPort", "VmId"];
        let record = members.map(|name| (name.to_owned(), ours[name].clone()));
        Plugin {
            program,
            name: "gobench",
            record: Json::Object(record.into_iter().collect()),
        }
    }

    /// From the start of the process to its address.
    pub(crate) fn start(&self, plugin: &Plugin) -> Duration {
        let begin = Instant::now();
        let running = Running::start(&self.lab, plugin);
        let taken = begin.elapsed();
        drop(running);
        taken
    }

    /// From the start of the process to its end, with one question about the machine in between.
    pub(crate) fn session(&self, plugin: &Plugin, question: &str) -> Duration {
        time(|| self.ask(plugin, question).end())
    }

    /// The most memory that a process holds until it has answered a question, in bytes.
    pub(crate) fn memory(&self, plugin: &Plugin, question: &str) -> u64 {
        let running = self.ask(plugin, question);
        let memory = peak_memory(running.process.id()).expect("a process");
        running.end();
        memory
    }

    fn ask(&self, plugin: &Plugin, question: &str) -> Running {
        let mut running = Running::start(&self.lab, plugin);
        let version = running.call("GetVersion");
        assert_eq!(version, Value::Int(1));
        running.configure(&plugin.record);
        running.call(question);
        running
    }

    /// A store with so many machines of a plugin. In the cloud they are all the same one.
    pub(crate) fn store(&self, plugin: &Plugin, machines: usize) -> PathBuf {
        let store = self.lab.home().join(format!("{}-{machines}", plugin.name));
        let original = self.lab.machine_directory(MACHINE);
        for number in 0..machines {
            let name = format!("m{number}");
            let directory = store.join("machines").join(&name);
            fs::create_dir_all(&directory).expect("a directory");
            for file in ["id_rsa", "id_rsa.pub", "secrets.json"] {
                if original.join(file).exists() {
                    fs::copy(original.join(file), directory.join(file)).expect("a copy");
                }
            }
            let mut config = self.lab.config(MACHINE);
            config["Name"] = json!(name);
            config["DriverName"] = json!(plugin.name);
            config["Driver"] = plugin.record.clone();
            config["Driver"]["MachineName"] = json!(name);
            config["Driver"]["StorePath"] = json!(store);
            fs::write(directory.join("config.json"), config.to_string()).expect("a file");
        }
        store
    }

    /// `ls` of a store by the genuine client. Every machine has to be running.
    pub(crate) fn ls(&self, client: &Path, plugin: &Plugin, store: &Path) -> Duration {
        let mut command = self.lab.command(client);
        let path = std::env::var_os("PATH").unwrap_or_default();
        let plugins = plugin.program.parent().map(Path::to_owned);
        let path = std::env::join_paths(plugins.into_iter().chain(std::env::split_paths(&path)));
        command
            .env("PATH", path.expect("a search path"))
            .arg("--storage-path")
            .arg(store)
            .args(["ls", "--format", "{{.Name}} {{.State}}"]);
        let begin = Instant::now();
        let output = command.output().expect("the client");
        let taken = begin.elapsed();
        let shown = String::from_utf8_lossy(&output.stdout);
        let machines = fs::read_dir(store.join("machines"))
            .expect("the store")
            .count();
        let running = shown.lines().filter(|line| line.ends_with(" Running"));
        assert_eq!(running.count(), machines, "{output:?}");
        taken
    }
}

/// `btcloud-host ls`, which has to show that many machines as running.
pub(crate) fn ls_by_ourselves(lab: &Lab, machines: usize) -> Duration {
    let mut command = lab.command(acceptance::program("btcloud-host"));
    command.arg("ls");
    let begin = Instant::now();
    let output = command.output().expect("the command line");
    let taken = begin.elapsed();
    let shown = String::from_utf8_lossy(&output.stdout);
    let running = shown.lines().filter(|line| line.contains(" Running "));
    assert_eq!(running.count(), machines, "{output:?}");
    taken
}

/// The calls of the API that an action makes.
pub(crate) fn calls_of<T>(lab: &Lab, action: impl FnOnce() -> T) -> Vec<RequestRecord> {
    lab.cloud.clear_requests();
    action();
    lab.cloud.requests()
}

/// Makes these calls again, one after the other, and does nothing with the answers.
pub(crate) fn call_all(lab: &Lab, calls: &[RequestRecord]) -> Duration {
    time(|| {
        for call in calls {
            // What belongs to the signature is made anew.
            let old = ["apikey", "signature", "signatureversion", "expires"];
            let parameters: Vec<_> = call
                .parameters
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str()))
                .filter(|(name, _)| !old.contains(&name.to_lowercase().as_str()))
                .collect();
            acceptance::api::exchange(&lab.cloud, &call.command, &parameters);
        }
    })
}

/// How large a program is, in bytes.
pub(crate) fn size(program: &Path) -> u64 {
    fs::metadata(program).expect("the program").len()
}

/// A plugin that runs.
struct Running {
    process: Child,
    client: Option<Client>,
    /// Held open: a plugin that cannot write ends.
    _output: BufReader<ChildStdout>,
    address: String,
}

impl Running {
    fn start(lab: &Lab, plugin: &Plugin) -> Self {
        let mut process = lab
            .command(&plugin.program)
            .env("MACHINE_PLUGIN_TOKEN", "42")
            .env("MACHINE_PLUGIN_DRIVER_NAME", plugin.name)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the plugin");
        let mut output = BufReader::new(process.stdout.take().expect("its output"));
        let mut address = String::new();
        output.read_line(&mut address).expect("an address");
        Self {
            process,
            client: None,
            _output: output,
            address: address.trim_end().to_owned(),
        }
    }

    fn client(&mut self) -> &mut Client {
        let address = &self.address;
        self.client.get_or_insert_with(|| {
            Client::connect(address.as_str(), &[], Settings::default()).expect("a connection")
        })
    }

    fn call(&mut self, method: &str) -> Value {
        let method = format!("RPCServerDriver.{method}");
        let reply = self
            .client()
            .call(&method, &EMPTY, &Value::Struct(Vec::new()));
        reply.unwrap_or_else(|e| panic!("{method}: {e}"))
    }

    fn configure(&mut self, record: &Json) {
        let json = Value::Bytes(record.to_string().into_bytes());
        let reply = self
            .client()
            .call("RPCServerDriver.SetConfigRaw", &Type::Bytes, &json);
        reply.expect("a record");
    }

    fn end(mut self) {
        // A plugin in Go may end before it has answered; the client does not mind.
        let close = "RPCServerDriver.Close";
        drop(
            self.client()
                .call(close, &EMPTY, &Value::Struct(Vec::new())),
        );
        self.client = None;
        self.process.wait().expect("its end");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // One that has ended cannot be ended.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
