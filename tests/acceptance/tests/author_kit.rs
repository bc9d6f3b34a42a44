//! What authors of drivers get: `btcloud-host driver test`, the template, and drivers that show how.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use acceptance::hurry::HurriedTime;
use acceptance::{HETZNER, Outcome, PROBE, cache, cache_directory, hostile, program, project_root};
use btcloud_host::builtin;
use btcloud_host::conformance::{self, Report, Settings};
use btcloud_host::sandbox::Limits;
use cloudstack_simulator::{Behaviour, Simulator};
use hetzner_simulator::{Fault, Hetzner, Inventory};

/// Runs the test with these options, and with a cloud if there is one.
fn test(component: &[u8], options: &[(&str, &str)], endpoint: Option<&str>) -> Report {
    let options = options.iter();
    let settings = Settings {
        options: options
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        endpoint: endpoint.map(str::to_owned),
        time: Arc::new(HurriedTime::default()),
        limits: Limits {
            // What waits for nothing of the sort need not compute long.
            computation: Duration::from_secs(2),
            ..Limits::default()
        },
        cache: Some(cache()),
        ..Settings::default()
    };
    conformance::run(component, &settings).unwrap()
}

/// The names of the checks that were not passed.
fn failed(report: &Report) -> Vec<&str> {
    report.failed().map(|check| check.name).collect()
}

/// A driver for the simulated Hetzner Cloud passes, with its whole life, and leaves nothing.
fn passes_with_hetzner(component: &[u8]) {
    let cloud = Hetzner::start().unwrap();
    let options = [("token", cloud.token())];
    let report = test(component, &options, Some(&cloud.url()));
    assert_eq!(failed(&report), [""; 0], "{report:#?}");
    assert_eq!(report.checks.len(), 24, "{report:#?}");
    assert_eq!(cloud.inventory(), Inventory::default());
    assert!(cloud.requests().contains(&"POST /servers".to_owned()));
}

#[test]
fn the_builtin_driver_passes() {
    let mut behaviour = Behaviour::default();
    behaviour.job_time = Duration::from_millis(5);
    let cloud = Simulator::builder().behaviour(behaviour).start().unwrap();
    let before = cloud.inventory();
    let options = [
        ("api-key", cloud.api_key()),
        ("btcloud-secret-key", cloud.secret_key()),
        ("zone", "uk-london-1"),
        ("template", "Ubuntu 24.04 LTS"),
        ("service-offering", "Small"),
    ];
    let report = test(builtin::COMPONENT, &options, Some(cloud.url()));
    assert_eq!(failed(&report), [""; 0], "{report:#?}");
    assert_eq!(cloud.inventory(), before);
}

#[test]
fn a_driver_for_another_kind_of_cloud_passes() {
    passes_with_hetzner(&fs::read(HETZNER).unwrap());
}

#[test]
fn python_driver_passes() {
    let component = std::env::var_os("TEST_PYTHON_DRIVER").expect(
        "TEST_PYTHON_DRIVER names no component; `cargo xtask test` builds it, or skips this test",
    );
    passes_with_hetzner(&fs::read(component).unwrap());
}

/// Builds the template as the guide tells to: copied out of the repository, and by one command. Its source can be changed
/// before.
fn build_template(change: impl FnOnce(String) -> String) -> Vec<u8> {
    /// They are all built into the same file.
    static ONE_BY_ONE: Mutex<()> = Mutex::new(());
    let _alone = ONE_BY_ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let directory = tempfile::tempdir().unwrap();
    let copy = directory.path().join("my-driver");
    let root = project_root();
    let mut copying = Command::new("cp");
    copying.arg("-RL").arg(root.join("templates/driver"));
    assert!(copying.arg(&copy).status().unwrap().success());
    let source = copy.join("src/lib.rs");
    let changed = change(fs::read_to_string(&source).unwrap());
    fs::write(&source, changed).unwrap();
    // Where `cargo xtask lint` has its dependencies built.
    let target = cache_directory()
        .ancestors()
        .nth(2)
        .unwrap()
        .join("template");
    let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    build
        .args(["build", "--locked", "--quiet"])
        .args(["--target", "wasm32-wasip2", "--release"])
        .current_dir(&copy)
        .env("CARGO_TARGET_DIR", &target);
    assert!(build.status().unwrap().success());
    fs::read(target.join("wasm32-wasip2/release/example_driver.wasm")).unwrap()
}

#[test]
fn the_template_builds_anywhere_and_passes() {
    passes_with_hetzner(&build_template(|source| source));
}

#[test]
fn the_template_with_mistakes_in_it_fails() {
    let mistakes = [
        // `describe` does more than it may.
        (
            "let url = \"https://api.hetzner.cloud/v1\";",
            "let url = \"https://api.hetzner.cloud/v1\"; let _ = clock::sleep(1);",
        ),
        ("\"Image of the server\"", "\"\""),
        (
            "if !machine.options.iter().any(has_token)",
            "if false && !machine.options.iter().any(has_token)",
        ),
        // `create` saves when all is over.
        ("state::save(BEGUN)?;\n", "\n"),
        (
            "Ok(status_of(&wait_for(&machine.id, \"running\")?))",
            "let server = wait_for(&machine.id, \"running\")?; state::save(BEGUN)?; Ok(status_of(&server))",
        ),
        // `remove` takes an error for a machine that is gone.
        (
            "let Some(server) = find(&machine.id)? else",
            "let Some(server) = find(&machine.id).ok().flatten() else",
        ),
    ];
    let component = build_template(|mut source| {
        for (right, wrong) in mistakes {
            assert_eq!(source.matches(right).count(), 1, "{right}");
            source = source.replace(right, wrong);
        }
        source
    });
    let cloud = Hetzner::start().unwrap();
    let report = test(&component, &[("token", cloud.token())], Some(&cloud.url()));
    let expected = [
        "Describing itself is all that describe does",
        "Every option has a help that fits the others",
        "A required option that is missing is told as an invalid option",
        "No operation takes a cloud that fails for one that has done what it shall",
        // What it then has forgotten.
        "A machine goes from state to state, and stays where it is already",
        REMOVES,
        "create saves before it first changes something",
    ];
    assert_eq!(failed(&report), expected, "{report:#?}");
}

const ASKS: &str = "check and create ask the cloud, and tell what is wrong with it";
const KINDS: &str = "They tell the kind of what is wrong";
const STOPS: &str = "Operations stop soon when the user asks for it";
const NEVER_MADE: &str = "A machine that was never made cannot be started or stopped";
const STATUS: &str = "status answers for each machine, and makes none up";
const SURVEY: &str = "survey tells what is wrong with the cloud";
const ANSWERS: &str = "Every call comes to an answer, within the limits";
const FIT: &str = "What the driver tells is fit for users, and has no secret in it";
const READS: &str = "Operations that only ask change nothing";
const REMOVES: &str = "remove removes it all, and can be repeated";
const MAKES: &str = "create makes a machine that runs, if check is content";
const LOSES: &str = "A creation that does not get one of its answers can be removed";

#[test]
fn a_driver_that_misbehaves_fails_where_it_does() {
    let component = fs::read(PROBE).unwrap();
    for (mode, expected) in [
        ("", [ASKS, NEVER_MADE, STATUS, SURVEY, STOPS].as_slice()),
        ("panic", &[ASKS, NEVER_MADE, STATUS, SURVEY, STOPS, ANSWERS]),
        (
            "miscount",
            &[ASKS, NEVER_MADE, STATUS, SURVEY, STOPS, ANSWERS],
        ),
        // It asks nobody; its messages have terminal escapes.
        ("fail", &[ASKS, KINDS, STATUS, SURVEY, FIT]),
        ("bad-host", &[ASKS, NEVER_MADE, STATUS, SURVEY, STOPS, FIT]),
        // Its messages are what the cloud answered.
        ("post", &[KINDS, STATUS, SURVEY, FIT, READS]),
    ] {
        let report = test(&component, &[("mode", mode)], None);
        assert_eq!(failed(&report), expected, "{mode}: {report:#?}");
    }
}

#[test]
fn an_inventory_that_misbehaves_fails_where_it_does() {
    const LISTS: &str = "What the inventory lists are options of the driver, always the same, and telling so is all that it does";
    const MAKES_UP: &str = "The inventory tells what is wrong with the cloud, and makes nothing up";
    let failing = |mark: &str| {
        let report = test(&hostile(mark), &[], None);
        let failed = |name: &str| report.failed().any(|check| check.name == name);
        (failed(LISTS), failed(MAKES_UP))
    };
    // Its names and limits are the same whatever the cloud does.
    assert_eq!(failing(""), (false, true));
    for mark in [
        "listable loop",
        "listable many",
        "listable escapes",
        "listable other",
        "listable request",
        "listable huge",
    ] {
        assert_eq!(failing(mark), (true, true), "{mark}");
    }
}

#[test]
fn what_goes_wrong_in_a_cloud_is_found() {
    let component = fs::read(HETZNER).unwrap();
    let life = |cloud: &Hetzner, token: &str| {
        let report = test(&component, &[("token", token)], Some(&cloud.url()));
        // Shown where an assertion fails.
        println!("{report:#?}");
        failed(&report).join("; ")
    };
    let cloud = Hetzner::start().unwrap();
    assert_eq!(life(&cloud, "another one"), MAKES);
    assert_eq!(cloud.inventory(), Inventory::default());

    cloud.fault("POST /servers", Fault::FailAction("no_room"));
    assert_eq!(life(&cloud, cloud.token()), MAKES);
    assert_eq!(cloud.inventory(), Inventory::default());

    cloud.fault("DELETE /ssh_keys/{id}", Fault::Refuse(403, "forbidden"));
    assert_eq!(life(&cloud, cloud.token()), REMOVES);
    // The three removals of the life, and the first one after an answer was lost.
    for _ in 0..4 {
        cloud.fault("DELETE /servers/{id}", Fault::Refuse(403, "forbidden"));
    }
    assert_eq!(life(&cloud, cloud.token()), format!("{REMOVES}; {LOSES}"));
}

/// `btcloud-host driver test`, as an author types it.
fn driver_test(arguments: &[&str], token: &str) -> Outcome {
    let mut command = Command::new(program("btcloud-host"));
    command
        .env_clear()
        .env("XDG_CACHE_HOME", cache_directory())
        .env("HETZNER_TOKEN", token)
        .args(["driver", "test"])
        .args(arguments);
    Outcome::from(command.output().unwrap())
}

#[test]
fn the_command_tells_what_came_of_it() {
    let cloud = Hetzner::start().unwrap();
    let url = cloud.url();
    let outcome = driver_test(&[HETZNER, "--endpoint", &url], cloud.token());
    let report = outcome.ok();
    assert!(report.starts_with("hetzner 0.1.0\nok    "), "{report}");
    assert!(
        report.ends_with("The driver passes all 24 checks"),
        "{report}"
    );
    assert!(!report.contains(cloud.token()), "{report}");

    let outcome = driver_test(&[PROBE], "");
    let error = outcome.fails(1);
    assert!(error.contains("the driver fails 5 of 17 checks"), "{error}");
    assert!(outcome.stdout.contains(&format!("FAIL  {STATUS}\n")));
    assert!(outcome.stdout.contains("        and 10 more\n"));

    let outcome = driver_test(&[HETZNER, "--option", "zone=1"], "");
    assert!(outcome.fails(2).contains("no option zone"), "{outcome:?}");
    let outcome = driver_test(&[HETZNER, "--endpoint", &url], "");
    assert!(outcome.fails(2).contains("--hetzner-token"), "{outcome:?}");
    assert!(outcome.stderr.contains("hint: "), "{outcome:?}");
    let outcome = driver_test(&[HETZNER, "--endpoint", "ftp://x/"], "x");
    assert!(
        outcome.fails(2).contains("neither https nor http"),
        "{outcome:?}"
    );

    let directory = tempfile::tempdir().unwrap();
    let nothing: PathBuf = directory.path().join("nothing.wasm");
    fs::write(&nothing, "nothing").unwrap();
    let outcome = driver_test(&[nothing.to_str().unwrap()], "");
    outcome.fails(1);
    assert!(outcome.stdout.contains("not a WebAssembly component"));
}
