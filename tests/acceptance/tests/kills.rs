//! The kill matrix: the plugin dies before and after each call of a creation, and the machine is removed later by the
//! client. Nothing may be left.

use std::collections::BTreeMap;
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
use std::time::Duration;

use acceptance::client::{Client, plugins_of};
use acceptance::parallel::{case, play_all, tell};
use acceptance::{Lab, OPTIONS, wait_until};
use cloudstack_simulator::{Behaviour, CloudConfig, Fault, RequestRecord, Simulator};
use rustix::process::{Pid, Signal, kill_process};

/// A kind of machine in a kind of cloud.
struct Scene {
    name: &'static str,
    /// Commands that only this kind of machine takes, and the last one of a creation.
    commands: &'static [&'static str],
    options: &'static [&'static str],
    change: fn(&mut CloudConfig),
}

const SCENES: [Scene; 4] = [
    Scene {
        name: "isolated network",
        commands: &["createPortForwardingRule"],
        options: &[],
        change: |_| (),
    },
    Scene {
        name: "basic zone",
        commands: &["createSecurityGroup", "authorizeSecurityGroupIngress"],
        options: &["--btcloud-zone", "uk-basic-1"],
        change: |_| (),
    },
    Scene {
        name: "address of its own",
        commands: &[
            "associateIpAddress",
            "enableStaticNat",
            "createFirewallRule",
        ],
        options: &["--btcloud-address", "static-nat"],
        change: |_| (),
    },
    Scene {
        name: "no network, data disk, some let in",
        commands: &["createNetwork", "createPortForwardingRule"],
        options: &[
            "--btcloud-disk-offering",
            "Data 20 GB",
            "--btcloud-cidr",
            "192.0.2.0/24",
        ],
        change: |cloud| {
            cloud
                .networks
                .retain(|network| network.owner.is_none() && network.zone != "uk-london-1");
        },
    },
];

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

impl Death {
    /// The one window that CloudStack gives no means to close: an address has neither name nor tag when it is acquired, so
    /// that one whose acquisition was not answered cannot be told from somebody else's. The user is told of it.
    fn opens_window(&self) -> bool {
        self.is_after && self.command == "associateIpAddress"
    }
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

fn lab(scene: &Scene, reaper: &Arc<Reaper>, certificates: Option<&Path>) -> Lab {
    let mut behaviour = Behaviour::default();
    behaviour.job_time = Duration::from_millis(20);
    let mut cloud = CloudConfig::default();
    cloud.public_addresses[0].first = Ipv4Addr::new(127, 0, 113, 10);
    (scene.change)(&mut cloud);
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
fn create(client: &Client, scene: &Scene, lab: &Lab, reaper: &Reaper) {
    use std::os::unix::process::CommandExt as _;
    let arguments = [
        &["create", "--driver", "btcloud"],
        OPTIONS.as_slice(),
        scene.options,
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
        // The client tells so when the plugin has made the machine, and the cloud has said that it runs.
        wait_until("the client's waiting for SSH", || {
            let shown = fs::read_to_string(lab.home().join("output")).unwrap();
            shown.contains("Waiting for SSH to be available")
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
fn deaths(client: &Client, scene: &Scene, certificates: &Path) -> Vec<Death> {
    let reaper = Arc::new(Reaper::default());
    let lab = lab(scene, &reaper, None);
    create(client, scene, &lab, &reaper);
    for entry in fs::read_dir(lab.store().join("certs")).unwrap() {
        let file = entry.unwrap();
        fs::copy(file.path(), certificates.join(file.file_name())).unwrap();
    }
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
    let usual = ["registerSSHKeyPair", "deployVirtualMachine", "createTags"];
    for command in usual.iter().chain(scene.commands) {
        let is_met = deaths.iter().any(|death| death.command == *command);
        assert!(is_met, "{}: nothing dies at {command}", scene.name);
    }
    deaths
}

fn die(client: &Client, scene: &Scene, death: &Death, certificates: &Path) -> Result<(), String> {
    let reaper = Arc::new(Reaper {
        death: Some(death.clone()),
        ..Reaper::default()
    });
    let lab = lab(scene, &reaper, Some(certificates));
    let before = lab.cloud.inventory();
    if !death.is_after {
        let skip = u32::try_from(death.skip).unwrap();
        lab.cloud
            .fault_after(&death.command, skip, 1, Fault::CloseBeforeAnswer);
    }
    create(client, scene, &lab, &reaper);
    // Before the client has stored the machine, nothing is made.
    if lab.machine_directory("m1").exists() {
        let mut removed = client.run(&lab, &["rm", "-y", "m1"]);
        if death.opens_window() {
            let is_told = removed
                .stderr
                .contains("which may have been acquired for the machine");
            if removed.code == 0 || !is_told {
                return Err(format!("the user is not told of the address: {removed:?}"));
            }
            removed = client.run(&lab, &["rm", "-y", "m1"]);
        }
        if removed.code != 0 {
            return Err(format!("rm: {removed:?}"));
        }
    }
    let mut after = lab.cloud.inventory();
    if death.opens_window() && after.addresses.len() == 1 {
        after.addresses.clear();
    }
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
        let certificates = tempfile::tempdir().unwrap();
        let mut deaths_in_scenes = Vec::new();
        for scene in &SCENES {
            let deaths = deaths(&client, scene, certificates.path());
            deaths_in_scenes.extend(deaths.into_iter().map(|death| (scene, death)));
        }
        let failures = play_all(deaths_in_scenes.iter(), |(scene, death)| {
            case(format!("{}: {death:?}", scene.name), || {
                die(&client, scene, death, certificates.path())
            })
        });
        tell(&format!(
            "kill matrix: {} deaths, {} passed",
            deaths_in_scenes.len(),
            deaths_in_scenes.len() - failures.len()
        ));
        assert!(failures.is_empty(), "{}", failures.join("\n\n"));
    }
}
