//! The kill matrix: the plugin dies before and after each call of a creation, and the machine is removed later by the
//! client. Nothing may be left.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use acceptance::client::Client;
use acceptance::{Lab, OPTIONS, wait_until};
use cloudstack_simulator::{Behaviour, CloudConfig, Fault, RequestRecord, Simulator};
use rustix::process::{Pid, Signal, kill_process};

/// When the plugin dies.
#[derive(Clone, Debug)]
struct Death {
    /// The call, and how many of that command come before it.
    command: String,
    skip: usize,
    /// Whether the call is carried out before.
    is_after: bool,
    /// Whether the client dies too.
    takes_client: bool,
}

/// What the simulator's watcher needs to bring it about.
#[derive(Default)]
struct Reaper {
    death: Option<Death>,
    /// The client's process, once it runs.
    client: AtomicI32,
    seen: AtomicUsize,
    has_come: AtomicUsize,
}

impl Reaper {
    /// Called for each request, after it was carried out, or not, and before it is answered.
    fn see(&self, request: &RequestRecord) {
        let Some(death) = &self.death else { return };
        if request.command != death.command
            || self.seen.fetch_add(1, Ordering::SeqCst) != death.skip
        {
            return;
        }
        wait_until("the client's start", || {
            self.client.load(Ordering::SeqCst) != 0
        });
        let client = self.client.load(Ordering::SeqCst);
        if death.takes_client {
            kill(client);
        }
        for plugin in plugins_of(client, death.takes_client) {
            kill(plugin);
        }
        self.has_come.store(1, Ordering::SeqCst);
    }
}

fn kill(process: i32) {
    if let Some(process) = Pid::from_raw(process) {
        // It may have ended by itself.
        let _ = kill_process(process, Signal::KILL);
    }
}

/// The plugins that a client has started; its orphans too if it is dead.
fn plugins_of(client: i32, is_dead: bool) -> Vec<i32> {
    let mut plugins = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let name = entry.file_name();
        let Some(id) = name.to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        let Ok(exe) = fs::read_link(entry.path().join("exe")) else {
            continue;
        };
        if !exe.ends_with("docker-machine-driver-btcloud") {
            continue;
        }
        // The group outlives the parent.
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let fields: Vec<_> = match stat.rsplit_once(')') {
            Some((_, rest)) => rest.split_whitespace().collect(),
            None => continue,
        };
        let field = |i: usize| fields.get(i).and_then(|field| field.parse::<i32>().ok());
        let (parent, group) = (field(1), field(2));
        if parent == Some(client) || is_dead && group == Some(client) {
            plugins.push(id);
        }
    }
    plugins
}

fn lab(reaper: &Arc<Reaper>, certificates: Option<&Path>) -> Lab {
    let mut behaviour = Behaviour::default();
    behaviour.job_time = Duration::from_millis(20);
    let mut cloud = CloudConfig::default();
    cloud.public_addresses[0].first = Ipv4Addr::new(127, 0, 112, 10);
    let watcher = Arc::clone(reaper);
    let lab = Lab::of(
        Simulator::builder()
            .behaviour(behaviour)
            .cloud(cloud)
            .on_request(move |request| watcher.see(request)),
    );
    // Making them anew takes the client longer than all the rest.
    if let Some(certificates) = certificates {
        let directory = lab.store().join("certs");
        fs::create_dir_all(&directory).unwrap();
        for entry in fs::read_dir(certificates).unwrap() {
            let file = entry.unwrap();
            fs::copy(file.path(), directory.join(file.file_name())).unwrap();
        }
    }
    lab
}

/// `create`, up to the point where the machine would be provisioned: nobody answers at its address.
fn create(client: &Client, lab: &Lab, reaper: &Reaper) {
    use std::os::unix::process::CommandExt as _;
    let arguments = [
        &["create", "--driver", "btcloud"],
        OPTIONS.as_slice(),
        &["m1"],
    ]
    .concat();
    let mut command = client.command(lab, &arguments);
    let output = fs::File::create(lab.home().join("output")).unwrap();
    let mut process = command
        .process_group(0)
        // Nobody lets the client in: it would go on with setting the machine up.
        .env("FAKE_GUEST", "nobody@192.0.2.1:22")
        .stderr(output.try_clone().unwrap())
        .stdout(output)
        .spawn()
        .unwrap();
    let id = i32::try_from(process.id()).unwrap();
    reaper.client.store(id, Ordering::SeqCst);
    if reaper.death.is_none() {
        wait_until("the machine", || lab.has_called("createPortForwardingRule"));
        // What comes now is the client's waiting for SSH.
        let quiet = || lab.cloud.requests().len();
        let mut last = 0;
        wait_until("silence", || {
            thread::sleep(Duration::from_millis(300));
            std::mem::replace(&mut last, quiet()) == quiet()
        });
        kill(id);
        for plugin in plugins_of(id, true) {
            kill(plugin);
        }
    } else {
        wait_until("the death", || reaper.has_come.load(Ordering::SeqCst) == 1);
        // Without its plugin the client has nothing to wait for, but may try for long.
        kill(id);
    }
    process.wait().unwrap();
}

/// The calls of a creation: the polls of a job are one.
fn deaths(client: &Client, certificates: &mut PathBuf) -> Vec<Death> {
    let reaper = Arc::new(Reaper::default());
    let lab = lab(&reaper, None);
    create(client, &lab, &reaper);
    let kept = std::env::temp_dir().join(format!("certificates-{}", std::process::id()));
    fs::create_dir_all(&kept).unwrap();
    for entry in fs::read_dir(lab.store().join("certs")).unwrap() {
        let file = entry.unwrap();
        fs::copy(file.path(), kept.join(file.file_name())).unwrap();
    }
    *certificates = kept;
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut deaths = Vec::new();
    for request in lab.cloud.requests() {
        let count = seen.entry(request.command.clone()).or_default();
        let skip = *count;
        *count += 1;
        // How many polls there are depends on the time; the first is always there. What comes at the end is a state.
        if request.command == "queryAsyncJobResult" && skip > 0 {
            continue;
        }
        for (is_after, takes_client) in [(false, false), (true, false), (true, true)] {
            deaths.push(Death {
                command: request.command.clone(),
                skip,
                is_after,
                takes_client,
            });
        }
    }
    deaths
}

fn die(client: &Client, death: &Death, certificates: &Path) -> Result<(), String> {
    let reaper = Arc::new(Reaper {
        death: Some(death.clone()),
        ..Reaper::default()
    });
    let lab = lab(&reaper, Some(certificates));
    let before = lab.cloud.inventory();
    if !death.is_after {
        let skip = u32::try_from(death.skip).unwrap();
        lab.cloud
            .fault_after(&death.command, skip, 1, Fault::CloseBeforeAnswer);
    }
    create(client, &lab, &reaper);
    // Before the client has stored the machine, nothing is made.
    if lab.machine_directory("m1").exists() {
        let removed = client.run(&lab, &["rm", "-y", "m1"]);
        if removed.code != 0 {
            return Err(format!("rm: {removed:?}"));
        }
    }
    let after = lab.cloud.inventory();
    match after == before {
        true => Ok(()),
        false => Err(format!("there is:\n{after}")),
    }
}

mod docker_machine_client {
    use super::*;

    #[test]
    fn whenever_the_plugin_is_killed_the_machine_is_removed_later() {
        let client = Client::named_by("TEST_DOCKER_MACHINE");
        let mut certificates = PathBuf::new();
        let deaths = deaths(&client, &mut certificates);
        let (next, failures) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while let Some(death) = deaths.get(next.fetch_add(1, Ordering::SeqCst)) {
                        if let Err(reason) = die(&client, death, &certificates) {
                            failures
                                .lock()
                                .unwrap()
                                .push(format!("{death:?}: {reason}"));
                        }
                    }
                });
            }
        });
        drop(fs::remove_dir_all(&certificates));
        let failures = failures.into_inner().unwrap();
        let passed = deaths.len() - failures.len();
        // Not by a macro, whose output only shows when a test fails.
        let line = format!("kill matrix: {} deaths, {passed} passed\n", deaths.len());
        std::io::stderr().write_all(line.as_bytes()).unwrap();
        assert!(failures.is_empty(), "{}", failures.join("\n\n"));
    }
}
