//! What a third-party driver can see and do, by a driver that tries.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use acceptance::recorder::Recorder;
use acceptance::{PROBE, cache};
use btcloud_host::builtin;
use btcloud_host::capability::clock::Cancel;
use btcloud_host::contract::types::ErrorKind;
use btcloud_host::machine::{
    Account, Change, Engine, Error, Flag, LazyDriver, Machine, Record, Store, Surroundings,
};
use btcloud_host::sandbox::{self, Driver, Limit, Limits};
use cloudstack_simulator::{CloudConfig, Simulator};

/// A machine of the probe in a store of its own.
struct Lab {
    machine: Machine,
    recorder: Arc<Recorder>,
    cancel: Cancel,
    store: Store,
    _directory: tempfile::TempDir,
}

const KEY: &str = "canary-0123456789";

fn lab(flags: &[(&str, Flag)]) -> Lab {
    lab_with(flags, Limits::default())
}

fn lab_with(flags: &[(&str, Flag)], limits: Limits) -> Lab {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::at(directory.path().to_owned());
    let (recorder, cancel) = (Arc::new(Recorder::default()), Cancel::default());
    let reporter: Arc<Recorder> = Arc::clone(&recorder);
    let surroundings = Surroundings::of_process(reporter, cancel.clone());
    let driver = LazyDriver::new(fs::read(PROBE).unwrap(), limits, Some(cache()));
    let machine = Machine::new(
        Arc::new(driver),
        surroundings,
        Record::new("m1", store.path()),
    );
    let key = ("key", Flag::Text(KEY.to_owned()));
    let flags = flags.iter().chain([&key]);
    let flags = flags
        .map(|(name, flag)| (format!("probe-{name}"), flag.clone()))
        .collect();
    machine.configure(&flags).unwrap();
    store
        .create(
            "m1",
            &machine.record().unwrap(),
            "probe",
            &Engine::default(),
        )
        .unwrap();
    Lab {
        machine,
        recorder,
        cancel,
        store,
        _directory: directory,
    }
}

fn mode(mode: &str) -> [(&'static str, Flag); 1] {
    [("mode", Flag::Text(mode.to_owned()))]
}

/// What the driver answered to the mode.
fn answer(mode_name: &str) -> String {
    lab(&mode(mode_name))
        .machine
        .check()
        .unwrap_err()
        .to_string()
}

#[test]
fn a_driver_sees_no_environment_file_or_network() {
    // Outside there are variables and a root directory; the probe would tell of them.
    assert!(std::env::var_os("PATH").is_some() && Path::new("/").exists());
    assert_eq!(answer("look"), "");
}

#[test]
fn a_driver_sees_its_options_but_not_its_secrets() {
    let options = [
        ("mode", Flag::Text("options".to_owned())),
        ("endpoint", Flag::Text("http://127.0.0.1:9/api".to_owned())),
        ("number", Flag::Integer(-7)),
        ("switch", Flag::Boolean(true)),
        ("list", Flag::TextList(vec!["a".to_owned(), "b".to_owned()])),
        ("data", Flag::Text("#!/bin/sh".to_owned())),
    ];
    let seen = lab(&options).machine.check().unwrap_err().to_string();
    for part in [
        "Withheld(true)",
        "-7",
        "true",
        r#"["a", "b"]"#,
        "#!/bin/sh",
        "http://127.0.0.1:9/api",
    ] {
        assert!(seen.contains(part), "{part} in {seen}");
    }
    assert!(!seen.contains(KEY));
}

#[test]
fn a_driver_calls_what_its_description_lists_with_the_hosts_signature() {
    let simulator = Simulator::builder().start().unwrap();
    let lab = lab(&[
        ("mode", Flag::Text("call".to_owned())),
        ("endpoint", Flag::Text(simulator.url().to_owned())),
    ]);
    let answer = lab.machine.check().unwrap_err().to_string();
    // The probe's key is not one of the cloud's: the signature was made and sent, and found wrong.
    assert!(answer.starts_with("401 "), "{answer}");
    assert!(!answer.contains(KEY));
}

/// The simulator's encoder is written from the server's rule, and shares nothing with the host's.
#[test]
fn the_cloud_accepts_the_signature_of_any_text() {
    let mut cloud = CloudConfig::default();
    cloud.accounts[0].api_key = Some(KEY.to_owned());
    cloud.accounts[0].secret_key = Some(KEY.to_owned());
    let simulator = Simulator::builder().cloud(cloud).start().unwrap();
    let texts = [
        "~",
        "*",
        "a b",
        "+",
        "/",
        "[0].key",
        "%2B",
        "&a=b;c#d?e",
        "naïve ☃ 𝄞",
        "\u{7f}\"'<>\\^`{|}()!,:@$-_.",
        "ÄÖÜ İ ſ K",
    ];
    for mode in ["call", "post"] {
        for text in texts {
            let lab = lab(&[
                ("mode", Flag::Text(mode.to_owned())),
                ("endpoint", Flag::Text(simulator.url().to_owned())),
                ("list", Flag::TextList(vec![text.to_owned()])),
            ]);
            simulator.clear_requests();
            let answer = lab.machine.check().unwrap_err().to_string();
            assert!(answer.starts_with("200 "), "{text}: {answer}");
            assert_eq!(simulator.requests()[0].parameter("keyword"), Some(text));
        }
    }
}

#[test]
fn only_create_gets_the_ssh_key() {
    assert!(answer("key").contains("outside of create"));
    let lab = lab(&mode(""));
    lab.machine.create().unwrap();
    let key = lab.store.directory("m1").join("id_rsa");
    assert_eq!(
        fs::metadata(key).unwrap().permissions().mode() & 0o777,
        0o600
    );
}

#[test]
fn a_driver_cannot_take_the_hosts_members() {
    assert!(answer("save-path").contains("must not save SSHKeyPath"));
}

#[test]
fn a_status_that_would_smuggle_an_argument_is_refused() {
    let error = lab(&mode("bad-host"))
        .machine
        .status()
        .unwrap_err()
        .to_string();
    assert!(error.contains("invalid SSH host"), "{error}");
    let error = lab(&mode("miscount"))
        .machine
        .status()
        .unwrap_err()
        .to_string();
    assert!(error.contains("0 machines"), "{error}");
}

#[test]
fn a_drivers_words_are_cleaned() {
    assert_eq!(answer("fail"), "no good");
}

#[test]
fn a_driver_that_panics_is_told_with_its_words() {
    let error = answer("panic");
    assert!(
        error.contains("the driver crashed") && error.contains("out of cheese"),
        "{error}"
    );
}

#[test]
fn an_endless_loop_ends_and_names_the_limit() {
    let limits = Limits {
        computation: Duration::from_millis(200),
        ..Limits::default()
    };
    let started = Instant::now();
    let error = lab_with(&mode("loop"), limits).machine.check().unwrap_err();
    assert!(
        matches!(
            error,
            Error::Sandbox(sandbox::Error::Limit(Limit::Computation(_)))
        ),
        "{error}"
    );
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[test]
fn too_much_memory_ends_it_and_names_the_limit() {
    let error = lab(&mode("allocate")).machine.check().unwrap_err();
    assert!(
        matches!(
            error,
            Error::Sandbox(sandbox::Error::Limit(Limit::Memory(_)))
        ),
        "{error}"
    );
}

#[test]
fn a_wait_can_be_cancelled() {
    let lab = lab(&mode("wait"));
    let cancel = lab.cancel.clone();
    let canceller = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(50));
        cancel.set();
    });
    let started = Instant::now();
    assert_eq!(
        lab.machine.check().unwrap_err().kind(),
        ErrorKind::Cancelled
    );
    assert!(started.elapsed() < Duration::from_secs(60));
    canceller.join().unwrap();
}

#[test]
fn whatever_ends_a_create_the_host_removes_what_was_made() {
    for name in ["fail", "panic", "allocate"] {
        let lab = lab(&mode(name));
        let error = lab.machine.create().unwrap_err();
        assert!(
            matches!(
                error,
                Error::Create {
                    leftovers: None,
                    ..
                }
            ),
            "{name}: {error}"
        );
        let lines = lab.recorder.lines();
        let removal = lines
            .iter()
            .find(|line| line.contains("removed what was saved"));
        assert!(
            removal.is_some_and(|line| line.contains("Made")),
            "{name}: {lines:?}"
        );
    }
}

#[test]
fn what_cannot_be_removed_is_told_after_the_first_error() {
    let lab = lab(&mode("fail-and-leave"));
    let error = lab.machine.create().unwrap_err();
    assert_eq!(
        error.to_string(),
        "no good\nnot everything that had been made could be removed again: thing 1 cannot be removed"
    );
    assert!(error.hint().unwrap().contains("remove the machine"));
    // What was saved is still known, for the next removal.
    assert!(lab.machine.record().unwrap().get("Made").is_some());
}

#[test]
fn secrets_are_kept_in_a_private_file_and_nowhere_else() {
    let lab = lab(&mode(""));
    lab.machine.create().unwrap();
    let directory = lab.store.directory("m1");
    let mut holders = Vec::new();
    for entry in fs::read_dir(&directory).unwrap() {
        let path = entry.unwrap().path();
        if fs::read_to_string(&path).unwrap().contains(KEY) {
            assert_eq!(
                fs::metadata(&path).unwrap().permissions().mode() & 0o777,
                0o600
            );
            holders.push(path);
        }
    }
    assert_eq!(holders, [directory.join("secrets.json")]);
    assert_eq!(
        fs::metadata(&directory).unwrap().permissions().mode() & 0o777,
        0o700
    );
}

#[test]
fn what_is_no_driver_of_this_contract_is_refused_with_the_reason() {
    let load = |wat: &str| {
        let bytes = wat::parse_str(wat).unwrap();
        Driver::load(&bytes, Limits::default(), None)
            .unwrap_err()
            .to_string()
    };
    let cases = [
        ("(module)", "not a WebAssembly component"),
        ("(component)", "not a machine driver"),
        (
            r#"(component (instance $i) (export "machine:driver/lifecycle@0.2.0" (instance $i)))"#,
            "built for machine:driver 0.2.0, this host supports 0.1.1",
        ),
        (
            r#"(component (instance $i) (export "machine:driver/lifecycle@0.1.0" (instance $i)))"#,
            "needs something that the host does not offer",
        ),
        (
            r#"(component
                 (import "evil:host/everything@1.0.0" (instance (export "f" (func))))
                 (instance $i) (export "machine:driver/lifecycle@0.1.0" (instance $i)))"#,
            "needs something that the host does not offer",
        ),
    ];
    for (wat, expected) in cases {
        let error = load(wat);
        assert!(error.contains(expected), "{error}");
    }
    let error = Driver::load(b"#!/bin/sh", Limits::default(), None)
        .unwrap_err()
        .to_string();
    assert!(error.contains("not a WebAssembly component"), "{error}");
    let limits = Limits {
        component_size: 3,
        ..Limits::default()
    };
    let error = Driver::load(b"\0asm", limits, None)
        .unwrap_err()
        .to_string();
    assert!(error.contains("larger than 3 bytes"), "{error}");
}

#[test]
fn the_built_in_driver_imports_what_its_standard_library_links_and_the_contract() {
    /// What Rust's standard library links into every component for `wasm32-wasip2`.
    const STANDARD_LIBRARY: [&str; 13] = [
        "wasi:cli/environment",
        "wasi:cli/exit",
        "wasi:cli/stderr",
        "wasi:cli/stdin",
        "wasi:cli/stdout",
        "wasi:cli/terminal-input",
        "wasi:cli/terminal-output",
        "wasi:cli/terminal-stderr",
        "wasi:cli/terminal-stdin",
        "wasi:cli/terminal-stdout",
        "wasi:io/error",
        "wasi:io/poll",
        "wasi:io/streams",
    ];
    let imports = acceptance::imports(builtin::COMPONENT);
    assert!(
        imports.iter().any(|import| import == "machine:driver/http"),
        "{imports:?}"
    );
    for import in &imports {
        let is_expected =
            import.starts_with("machine:driver/") || STANDARD_LIBRARY.contains(&import.as_str());
        assert!(is_expected, "the driver imports {import}");
    }
}

#[test]
fn a_survey_sees_the_accounts_options_alone_and_is_held_to_the_contract() {
    let account = |path: &str| {
        let recorder = Arc::new(Recorder::default());
        let surroundings = Surroundings::of_process(recorder, Cancel::default());
        let driver = LazyDriver::new(fs::read(PROBE).unwrap(), Limits::default(), Some(cache()));
        let flags = [
            ("endpoint", format!("http://127.0.0.1:9/{path}")),
            ("key", KEY.to_owned()),
            ("mode", "panic".to_owned()),
        ];
        let flags = flags.map(|(name, value)| (format!("probe-{name}"), Flag::Text(value)));
        Account::new(Arc::new(driver), surroundings, &flags.into()).unwrap()
    };
    let good = account("api");
    let found = good.survey().unwrap();
    let [machine] = found.as_slice() else {
        panic!("{found:?}")
    };
    let part = &machine.parts[0];
    assert!(
        part.contains("127.0.0.1:9") && part.contains("Withheld(true)"),
        "{part}"
    );
    assert!(!part.contains(KEY) && !part.contains("panic"), "{part}");
    assert!(!part.contains(char::is_control), "{part}");
    good.machine(machine).change(Change::Remove).unwrap();
    for (bad, expected) in [
        ("bad-name", "whose name is invalid"),
        ("bad-id", "whose id is invalid"),
        ("twice", "found a machine twice"),
    ] {
        let error = account(bad).survey().unwrap_err().to_string();
        assert!(
            error.contains("answer breaks the contract") && error.contains(expected),
            "{error}"
        );
    }
}
