//! Many machines at once, several commands at the same store, and stores that are in a bad way.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Duration;

use acceptance::parallel::tell;
use acceptance::{Lab, OPTIONS, Outcome, program, signal, wait_until};
use cloudstack_simulator::Fault;

/// The names of the machines that the cloud has.
fn in_cloud(lab: &Lab) -> BTreeSet<String> {
    let machines = lab.cloud.inventory().machines;
    machines.into_iter().map(|machine| machine.name).collect()
}

/// The names of the machines that the store has.
fn in_store(lab: &Lab) -> BTreeSet<String> {
    let names = lab.cli(&["ls", "-q"]);
    names.ok().lines().map(str::to_owned).collect()
}

/// `run create` of several, in a zone where each has an address of its own.
fn create(lab: &Lab, arguments: &[&str]) -> Command {
    let mut host = lab.host();
    host.arg("create")
        .args(arguments)
        .args(OPTIONS)
        .args(["--btcloud-zone", "uk-basic-1"]);
    host
}

#[test]
fn a_hundred_machines_are_made_at_once_and_those_that_fail_leave_nothing() {
    let lab = Lab::with(
        |behaviour| behaviour.job_time = Duration::from_millis(5),
        |_| (),
    );
    let before = lab.cloud.inventory();
    for skipped in [10, 40, 70] {
        let fault = Fault::JobFails {
            code: 533,
            text: "No room".to_owned(),
        };
        lab.cloud
            .fault_after("deployVirtualMachine", skipped, 1, fault);
    }
    let mut host = create(&lab, &["web", "--count", "100", "--parallel", "32"]);
    let made = lab.finish(&mut host);
    let errors = made.fails(1);
    assert!(errors.ends_with("97 of 100 machines were made"), "{errors}");
    let failed: BTreeSet<_> = errors
        .lines()
        .filter_map(|line| line.strip_prefix("btcloud-host: ")?.split(": ").next())
        .map(str::to_owned)
        .collect();
    assert_eq!(failed.len(), 3, "{errors}");
    let expected: BTreeSet<_> = (1..=100)
        .map(|number| format!("web-{number}"))
        .filter(|name| !failed.contains(name))
        .collect();
    assert_eq!(in_cloud(&lab), expected);
    assert_eq!(in_store(&lab), expected);
    assert_eq!(lab.cloud.inventory().key_pairs.len(), 97);
    let told: BTreeSet<_> = made
        .stdout
        .lines()
        .map(|line| line.split(" runs at ").next().unwrap().to_owned())
        .collect();
    assert_eq!(told, expected);

    let names: Vec<_> = expected.iter().map(String::as_str).collect();
    let rm = [&["rm", "-y", "-q", "--parallel", "32"], names.as_slice()].concat();
    assert_eq!(lab.cli(&rm).ok(), "");
    assert_eq!(lab.cloud.inventory(), before);
}

/// CloudStack counts an account's calls within a time, and refuses all that come after. Those operations that were not refused
/// wait too, so that few calls are refused at all.
#[test]
fn a_hundred_machines_keep_together_to_the_pace_that_the_cloud_wants() {
    let lab = Lab::with(
        |behaviour| {
            behaviour.job_time = Duration::from_millis(5);
            // Less than a computer makes, however busy it is: the first calls of all operations come at once.
            behaviour.throttling = Some((20, Duration::from_millis(200)));
        },
        |_| (),
    );
    let mut host = create(&lab, &["web", "--count", "100", "--parallel", "32", "-q"]);
    lab.finish(&mut host).ok();
    assert_eq!(in_cloud(&lab).len(), 100);
    let requests = lab.cloud.requests();
    let refused = requests.iter().filter(|r| r.status == Some(429)).count();
    tell(&format!(
        "{refused} of {} calls were refused for their rate",
        requests.len()
    ));
    assert!(refused > 0, "the cloud was never called too often");
}

#[test]
fn several_are_named_or_counted_and_told_as_json() {
    let lab = Lab::new();
    let made = lab.finish(&mut create(&lab, &["a", "b", "--json"]));
    let machines: Vec<serde_json::Value> = serde_json::from_str(made.ok()).unwrap();
    let names: BTreeSet<_> = machines
        .iter()
        .map(|m| m["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["a", "b"].into());
    assert!(machines.iter().all(|machine| machine["ip"].is_string()));
    // One that is there already keeps all from being begun.
    let again = lab.finish(&mut create(&lab, &["b", "c"]));
    assert!(again.fails(1).contains("\"b\" exists already"), "{again:?}");
    let both = lab.finish(&mut create(&lab, &["d", "e", "--count", "2"]));
    assert!(both.fails(2).contains("--count takes one name"), "{both:?}");
    assert_eq!(in_cloud(&lab), ["a", "b"].map(str::to_owned).into());
    // What is wrong with the options is wrong for all.
    let mut wrong = create(&lab, &["f", "--count", "3"]);
    let wrong = lab.finish(wrong.args(["--btcloud-template", "Windows"]));
    assert!(
        wrong.fails(3).contains("0 of 3 machines were made"),
        "{wrong:?}"
    );
    let quiet = lab.finish(&mut create(&lab, &["g", "--count", "2", "-q"]));
    assert_eq!((quiet.ok(), quiet.stderr.as_str()), ("", ""));
    // Names may stand on both sides of flags, and twice.
    let apart = lab.finish(create(&lab, &["h", "--json"]).args(["i", "h"]));
    let machines: Vec<serde_json::Value> = serde_json::from_str(apart.ok()).unwrap();
    assert_eq!(machines.len(), 2, "{apart:?}");
    let stopped = lab.cli(&["stop", "h", "--parallel", "1", "i"]);
    assert_eq!(stopped.ok(), "h: stopped\ni: stopped");
}

#[test]
fn an_interruption_leaves_only_machines_that_are_complete() {
    let lab = Lab::new();
    lab.slow_down("deployVirtualMachine", Duration::from_millis(700));
    let mut host = create(&lab, &["web", "--count", "20", "--parallel", "4"]);
    let host = host
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_until("a few machines", || in_cloud(&lab).len() > 5);
    signal(&host, rustix::process::Signal::INT);
    let outcome = lab.outcome(host.wait_with_output().unwrap());
    outcome.fails(130);
    let made = in_cloud(&lab);
    assert!(!made.is_empty() && made.len() < 20, "{made:?}");
    assert_eq!(in_store(&lab), made);
    assert_eq!(lab.cloud.inventory().key_pairs.len(), made.len());
}

/// A command that waits for another one to be done with a machine.
struct Waiting {
    process: Child,
    /// What it says about that.
    line: String,
    /// What comes after the line.
    rest: BufReader<ChildStderr>,
}

impl Waiting {
    /// Starts `btcloud-host` with these arguments; it has to say that it waits.
    fn for_lock(lab: &Lab, arguments: &[&str]) -> Self {
        let mut command = lab.command(program("btcloud-host"));
        command
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let mut rest = BufReader::new(process.stderr.take().unwrap());
        let mut line = String::new();
        rest.read_line(&mut line).unwrap();
        let expected = "m1 is being changed by another command";
        assert!(
            line.contains(expected) && line.contains("waiting for that"),
            "{line}"
        );
        Self {
            process,
            line,
            rest,
        }
    }

    /// How it ends.
    fn ended(mut self, lab: &Lab) -> Outcome {
        let mut output = self.process.wait_with_output().unwrap();
        self.rest.read_to_end(&mut output.stderr).unwrap();
        lab.outcome(output)
    }
}

#[test]
fn a_machine_is_changed_by_one_command_at_a_time() {
    let lab = Lab::new();
    lab.create("m1", &[]);
    let held = lab.cloud.hold("stopVirtualMachine");
    let mut stop = lab.command(program("btcloud-host"));
    let stop = stop
        .args(["stop", "m1"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_until("the call", || lab.has_called("stopVirtualMachine"));
    let start = Waiting::for_lock(&lab, &["start", "m1"]);
    let process = format!("(process {})", stop.id());
    assert!(start.line.contains(&process), "{}", start.line);
    drop(held);
    start.ended(&lab).ok();
    assert_eq!(
        lab.outcome(stop.wait_with_output().unwrap()).ok(),
        "m1: stopped"
    );
    assert_eq!(lab.cli(&["status", "m1"]).ok(), "Running");
    // Whoever waits for a machine that is removed meanwhile is told.
    let held = lab.cloud.hold("destroyVirtualMachine");
    let mut rm = lab.command(program("btcloud-host"));
    let rm = rm
        .args(["rm", "-y", "-q", "m1"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_until("the call", || lab.has_called("destroyVirtualMachine"));
    let start = Waiting::for_lock(&lab, &["start", "m1"]);
    drop(held);
    assert!(start.ended(&lab).fails(4).contains("not found"));
    lab.outcome(rm.wait_with_output().unwrap()).ok();
}

#[test]
fn the_docker_machine_client_and_this_one_change_a_machine_one_after_the_other() {
    let client = std::env::var("TEST_DOCKER_MACHINE").expect("TEST_DOCKER_MACHINE");
    let lab = Lab::new();
    lab.create("m1", &[]);
    let held = lab.cloud.hold("stopVirtualMachine");
    let mut stop = lab.command(&client);
    let stop = stop
        .args(["stop", "m1"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_until("the call", || lab.has_called("stopVirtualMachine"));
    let start = Waiting::for_lock(&lab, &["start", "m1"]);
    drop(held);
    start.ended(&lab).ok();
    assert_eq!(lab.cli(&["status", "m1"]).ok(), "Running");
    // The client looks at the state until it has seen the machine stopped, which it is no more.
    let mut stop = stop;
    stop.kill().unwrap();
    stop.wait().unwrap();
}

#[test]
fn a_store_of_another_version_or_with_links_is_told_of_with_a_remedy() {
    let lab = Lab::new();
    lab.create("m1", &[]);
    let mut config = lab.config("m1");
    config["ConfigVersion"] = 4.into();
    lab.put_config("m1", &config);
    let newer = lab.cli(&["stop", "m1"]);
    assert!(
        newer.fails(1).contains("version 4 of the format")
            && newer.stderr.contains("hint: a newer docker-machine"),
        "{newer:?}"
    );
    assert_eq!(lab.config("m1"), config);
    config["ConfigVersion"] = 3.into();
    lab.put_config("m1", &config);
    let elsewhere = lab.home().join("elsewhere");
    fs::rename(lab.machine_directory("m1"), &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, lab.machine_directory("m1")).unwrap();
    for command in [["stop", "m1"].as_slice(), &["rm", "-y", "m1"]] {
        let refused = lab.cli(command);
        let error = refused.fails(1);
        assert!(
            error.contains("m1 is a symbolic link") && error.contains("hint: put"),
            "{error}"
        );
    }
    assert!(lab.cli(&["ls"]).ok().contains("is a symbolic link"));
    assert!(lab.has_machine("m1"));
}

/// Runs a script as the root of a mount namespace of its own. `cargo xtask test` skips the tests with one where none can be had.
fn in_namespace(lab: &Lab, script: &str) -> Outcome {
    let mut command = lab.command("unshare");
    command.args(["--map-root-user", "--mount", "sh", "-ec", script]);
    lab.finish(&mut command)
}

#[test]
fn a_full_disk_in_a_mount_namespace_is_told_of_before_anything_is_made() {
    let lab = Lab::new();
    let before = lab.cloud.inventory();
    fs::create_dir_all(lab.store()).unwrap();
    let script = format!(
        "mount -t tmpfs -o size=16k none {store}
         head -c 16384 /dev/zero > {store}/zero || true
         btcloud-host run create m1 --btcloud-zone uk-london-1 --btcloud-template 'Ubuntu 24.04 LTS' \
             --btcloud-service-offering Small",
        store = lab.store().display()
    );
    let outcome = in_namespace(&lab, &script);
    let error = outcome.fails(1);
    assert!(
        error.contains("No space left") && error.contains("hint: free some room"),
        "{error}"
    );
    assert_eq!(lab.cloud.inventory(), before);
}

#[test]
fn a_read_only_disk_in_a_mount_namespace_is_told_of_before_anything_is_changed() {
    let lab = Lab::new();
    lab.create("m1", &[]);
    let inventory = lab.cloud.inventory();
    let script = |command: &str| {
        format!(
            "mount --bind {store} {store}
             mount -o remount,ro,bind {store}
             {command}",
            store = lab.store().display()
        )
    };
    for command in [
        "btcloud-host stop m1",
        "btcloud-host rm -y m1",
        "btcloud-host run create m2 --btcloud-zone uk-london-1 --btcloud-template 'Ubuntu 24.04 LTS' \
             --btcloud-service-offering Small",
        "btcloud-host doctor",
    ] {
        let outcome = in_namespace(&lab, &script(command));
        assert_eq!(outcome.code, 1, "{outcome:?}");
        let told = format!("{}{}", outcome.stdout, outcome.stderr);
        assert!(
            told.contains("Read-only file system")
                && told.contains("hint: its file system is mounted read-only"),
            "{command}: {told}"
        );
        assert_eq!(lab.cloud.inventory(), inventory, "{command}");
    }
    // What changes nothing works.
    let listed = in_namespace(&lab, &script("btcloud-host ls"));
    assert!(listed.ok().contains("Running"), "{listed:?}");
}
