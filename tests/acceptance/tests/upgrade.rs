//! What older versions wrote for a user, `tests/upgrade`, is read and used by the programs of today: machines of either door and
//! of a third-party driver, the driver that is installed with its grant and its signature, and the profile.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::symlink;
use std::process::Command;

use acceptance::client::Client;
use acceptance::engine::DockerEngine;
use acceptance::upgrade::{Set, User};
use acceptance::{Outcome, prepend_path, program, tests_with_clients};
use btcloud_host::registry::digest;
use hetzner_simulator::Inventory;

tests_with_clients!([machines_of_an_older_version_are_used_by_a_client]);

/// The digests of the sets: the last one of each line of `sha256`, path and contents of all files.
const SETS: [(&str, &str); 1] = [(
    "0.1.0",
    "7d5ed64b1ecc891035c0af49257c6e16be2fd3a7446221f2b01162e837f7a501",
)];

/// The machines of a set, in the order of `ls`.
const MACHINES: [&str; 4] = ["db-1", "other-1", "web-1", "web-2"];

/// The keys are the machines' own: nothing in the environment may stand in for them.
fn command(user: &User, program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = user.lab.command(program);
    acceptance::without_account(&mut command);
    command.current_dir(user.lab.home());
    command
}

fn host(user: &User, arguments: &[&str]) -> Outcome {
    let mut host = command(user, program("btcloud-host"));
    user.lab.finish(host.args(arguments))
}

/// A user of each version. The addresses are the test's own, since the engine's port is the same for all.
fn users(first: Ipv4Addr) -> impl Iterator<Item = User> {
    Set::all().into_iter().map(move |set| set.user(first))
}

/// The addresses in the sets, for which their certificates are good.
const RECORDED: Ipv4Addr = Ipv4Addr::new(127, 0, 118, 1);

#[test]
fn sets_are_as_they_were_written() {
    let sets: Vec<_> = Set::all()
        .iter()
        .map(|set| {
            let mut all = Vec::new();
            for (path, contents) in set.files() {
                let line = format!("{} {}\n", digest(&contents), path.display());
                all.extend(line.into_bytes());
            }
            (set.version().to_owned(), digest(&all))
        })
        .collect();
    let known = SETS.map(|(version, digest)| (version.to_owned(), digest.to_owned()));
    assert_eq!(
        sets, known,
        "a set is written once; that of a new version is added to SETS"
    );
}

/// What `ls` tells of the machines.
fn states(user: &User) -> Vec<(String, String)> {
    let listed = host(user, &["ls", "--format", "json"]);
    let listed: Vec<serde_json::Value> = serde_json::from_str(listed.ok()).unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let states = listed.iter().map(|row| {
        assert!(row["error"].is_null() || row["error"] == "", "{row}");
        (text(&row["name"]), text(&row["state"]))
    });
    states.collect()
}

#[test]
fn machines_of_an_older_version_are_read() {
    for user in users(Ipv4Addr::new(127, 0, 118, 11)) {
        let expected = [
            ("db-1", "Stopped"),
            ("other-1", "Running"),
            ("web-1", "Running"),
            ("web-2", "Running"),
        ];
        let expected = expected.map(|(name, state)| (name.to_owned(), state.to_owned()));
        assert_eq!(states(&user), expected);
        for machine in MACHINES {
            let stored = user.lab.config(machine);
            let inspected = host(&user, &["inspect", machine]);
            let inspected: serde_json::Value = serde_json::from_str(inspected.ok()).unwrap();
            for member in ["MachineID", "IPAddress", "VmId", "Endpoint", "Begun"] {
                assert_eq!(
                    inspected["Driver"][member], stored["Driver"][member],
                    "{machine}: {member}"
                );
            }
            let ip = host(&user, &["ip", machine]);
            assert_eq!(Some(ip.ok()), stored["Driver"]["IPAddress"].as_str());
        }
        for machine in ["web-1", "web-2"] {
            let ip = host(&user, &["ip", machine]);
            let url = host(&user, &["url", machine]);
            assert_eq!(url.ok(), format!("tcp://{}:2376", ip.ok()));
            let env = host(&user, &["env", machine]);
            assert!(env.ok().contains(url.ok()), "{env:?}");
        }
    }
}

#[test]
fn machines_of_an_older_version_are_controlled_and_removed() {
    for user in users(RECORDED) {
        host(&user, &["start", "db-1"]).ok();
        for machine in MACHINES {
            for (operation, state) in [("stop", "Stopped"), ("start", "Running")] {
                host(&user, &[operation, machine]).ok();
                assert_eq!(host(&user, &["status", machine]).ok(), state, "{machine}");
            }
        }
        host(&user, &["rm", "-y", "db-1", "other-1", "web-1", "web-2"]).ok();
        nothing_is_left(&user);
    }
}

#[track_caller]
fn nothing_is_left(user: &User) {
    let inventory = user.lab.cloud.inventory();
    assert!(inventory.is_empty(), "{inventory}");
    assert_eq!(user.other.inventory(), Inventory::default());
    for machine in MACHINES {
        assert!(!user.lab.machine_directory(machine).exists(), "{machine}");
    }
}

#[test]
fn a_machine_that_an_older_version_has_provisioned_stays_so() {
    for user in users(RECORDED) {
        let engine = DockerEngine::start(IpAddr::V4(RECORDED), &user.lab.store(), "web-1");
        host(&user, &["ssh", "web-1", "uptime"]).ok();
        let certificates = || {
            let files = ["ca.pem", "cert.pem", "server.pem", "server-key.pem"];
            files.map(|file| fs::read(user.lab.machine_directory("web-1").join(file)).unwrap())
        };
        let before = certificates();
        let provisioned = host(&user, &["provision", "web-1"]);
        assert!(
            provisioned.ok().starts_with("web-1 runs Docker"),
            "{provisioned:?}"
        );
        assert_eq!(certificates(), before);
        drop(engine);
    }
}

#[test]
fn a_driver_and_its_grant_of_an_older_version_are_as_they_were_installed() {
    for user in users(RECORDED) {
        let verified = host(&user, &["driver", "verify"]);
        assert_eq!(verified.ok(), "hetzner: hetzner 0.1.0 as it was installed");
        let drivers = user.lab.home().join(".local/share/btcloud-host/drivers");
        let grant = fs::read(drivers.join("hetzner/grant.json")).unwrap();
        let grant: serde_json::Value = serde_json::from_slice(&grant).unwrap();
        let shown = host(&user, &["driver", "show", "hetzner", "--json"]);
        let shown: serde_json::Value = serde_json::from_str(shown.ok()).unwrap();
        for member in ["sha256", "commands", "hosts", "signed_by"] {
            assert_eq!(shown["grant"][member], grant[member], "{member}");
        }
        // The signature, by a key that was trusted then, counts for a further installation.
        let again = [
            "driver",
            "install",
            "hetzner.wasm",
            "--as",
            "again",
            "--yes",
        ];
        let installed = host(&user, &again);
        let key = grant["signed_by"].as_str().unwrap();
        assert!(installed.ok().contains(key), "{installed:?}");
    }
}

#[test]
fn a_profile_of_an_older_version_makes_machines() {
    for user in users(RECORDED) {
        // It has no keys: they are the environment's.
        let address = ["--btcloud-address", "static-nat"];
        user.lab
            .run(&[&["create", "new-1"], &address[..]].concat())
            .ok();
        let driver = &user.lab.config("new-1")["Driver"];
        assert_eq!(driver["Zone"], "uk-london-1");
        assert_eq!(driver["OpenPorts"], serde_json::json!(["80", "443"]));
    }
}

fn machines_of_an_older_version_are_used_by_a_client(client: &Client) {
    let ip = Ipv4Addr::new(127, 0, 118, 21 + 10 * client.number());
    for user in users(ip) {
        // What installing a driver makes besides.
        let links = user.lab.home().join(".local/bin");
        fs::create_dir_all(&links).unwrap();
        let plugin = program("docker-machine-driver-btcloud");
        symlink(plugin, links.join("docker-machine-driver-hetzner")).unwrap();
        let run = |arguments: &[&str]| {
            let mut command = client.command(&user.lab, arguments);
            acceptance::without_account(&mut command);
            prepend_path(&mut command, &links);
            user.lab.finish(&mut command)
        };
        let listed = run(&["ls", "--format", "{{.Name}} {{.DriverName}} {{.State}}"]);
        let expected = [
            "db-1 btcloud Stopped",
            "other-1 hetzner Running",
            "web-1 btcloud Running",
            "web-2 btcloud Running",
        ];
        assert_eq!(listed.ok().lines().collect::<Vec<_>>(), expected);
        assert_eq!(run(&["ip", "web-1"]).ok(), ip.to_string());
        run(&["start", "db-1"]).ok();
        for machine in MACHINES {
            let inspected = run(&["inspect", machine]);
            let inspected: serde_json::Value = serde_json::from_str(inspected.ok()).unwrap();
            let stored = user.lab.config(machine);
            assert_eq!(
                inspected["Driver"]["MachineID"],
                stored["Driver"]["MachineID"]
            );
            run(&["stop", machine]).ok();
            assert_eq!(run(&["status", machine]).ok(), "Stopped");
            run(&["start", machine]).ok();
            assert_eq!(run(&["status", machine]).ok(), "Running");
            run(&["rm", "-y", machine]).ok();
        }
        nothing_is_left(&user);
    }
}
