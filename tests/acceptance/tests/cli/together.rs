//! Many machines at once, and several commands at the same machine.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, ChildStderr, Stdio};
use std::time::Duration;

use acceptance::parallel::tell;
use acceptance::{Lab, Outcome, program, wait_until};
use cloudstack_simulator::Fault;

use crate::{create, create_several, in_cloud, in_store};

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
    let mut host = create_several(&lab, &["web", "--count", "100", "--parallel", "32"]);
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
    let mut host = create_several(&lab, &["web", "--count", "100", "--parallel", "32", "-q"]);
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
fn of_two_that_make_a_machine_of_one_name_at_once_one_gives_way() {
    let lab = Lab::new();
    let before = lab.cloud.inventory();
    let outcomes = std::thread::scope(|scope| {
        let both = [(); 2].map(|()| scope.spawn(|| create(&lab, "m1", &[])));
        both.map(|thread| thread.join().unwrap())
    });
    let mut codes = outcomes.each_ref().map(|outcome| outcome.code);
    codes.sort_unstable();
    assert_eq!(codes, [0, 1], "{outcomes:?}");
    assert!(
        outcomes.iter().any(|o| o.stderr.contains("exists already")),
        "{outcomes:?}"
    );
    assert_eq!(lab.cloud.inventory().machines.len(), 1);
    assert_eq!(lab.run(&["status", "m1"]).ok(), "Running");
    lab.run(&["remove", "m1"]).ok();
    assert_eq!(lab.cloud.inventory(), before);
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

/// A program that has come so far that the cloud has got a call of it.
fn until_called(lab: &Lab, program: impl AsRef<OsStr>, arguments: &[&str], call: &str) -> Child {
    let mut command = lab.command(program);
    command
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let process = command.spawn().unwrap();
    wait_until("the call", || lab.has_called(call));
    process
}

#[test]
fn a_machine_is_changed_by_one_command_at_a_time() {
    let lab = Lab::new();
    lab.create("m1", &[]);
    let held = lab.cloud.hold("stopVirtualMachine");
    let stop = until_called(
        &lab,
        program("btcloud-host"),
        &["stop", "m1"],
        "stopVirtualMachine",
    );
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
    let rm = until_called(
        &lab,
        program("btcloud-host"),
        &["rm", "-y", "-q", "m1"],
        "destroyVirtualMachine",
    );
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
    let stop = until_called(&lab, &client, &["stop", "m1"], "stopVirtualMachine");
    let start = Waiting::for_lock(&lab, &["start", "m1"]);
    drop(held);
    start.ended(&lab).ok();
    assert_eq!(lab.cli(&["status", "m1"]).ok(), "Running");
    // The client looks at the state until it has seen the machine stopped, which it is no more.
    let mut stop = stop;
    stop.kill().unwrap();
    stop.wait().unwrap();
}
