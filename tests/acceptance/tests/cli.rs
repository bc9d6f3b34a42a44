//! `btcloud-host run`, as a user types it.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use acceptance::documentation::check_options;
use acceptance::tls::TlsFront;
use acceptance::{Lab, OPTIONS, Outcome, PROBE, program, signal, wait_until};
use cloudstack_simulator::{AccountConfig, Fault};

/// Creates a machine with the usual options and these.
fn create(lab: &Lab, name: &str, options: &[&str]) -> Outcome {
    lab.run(&[&["create", name], OPTIONS.as_slice(), options].concat())
}

#[test]
fn the_whole_life_of_a_machine() {
    let lab = Lab::new();
    let before = lab.cloud.inventory();
    let created = create(&lab, "m1", &[]);
    let ip = lab.run(&["ip", "m1"]).ok().to_owned();
    assert!(
        created.ok().starts_with(&format!("m1 runs at {ip}\n")),
        "{created:?}"
    );
    assert!(
        created.stdout.contains(&format!("root@{ip}")),
        "{created:?}"
    );
    let steps: Vec<_> = created
        .stderr
        .lines()
        .map(|line| line.split(' ').next().unwrap())
        .collect();
    assert_eq!(
        steps,
        ["[1/5]", "[2/5]", "[3/5]", "[4/5]", "[5/5]"],
        "{created:?}"
    );

    let url = format!("tcp://{ip}:2376");
    assert_eq!(lab.run(&["status", "m1"]).ok(), "Running");
    assert_eq!(lab.run(&["url", "m1"]).ok(), url);
    for (operation, state) in [
        ("stop", "Stopped"),
        ("stop", "Stopped"),
        ("start", "Running"),
        ("start", "Running"),
        ("restart", "Running"),
        ("kill", "Stopped"),
        ("start", "Running"),
    ] {
        let outcome = lab.run(&[operation, "m1"]);
        assert_eq!(outcome.ok(), "", "{operation}");
        assert_eq!(lab.run(&["status", "m1"]).ok(), state, "after {operation}");
    }
    assert_eq!(lab.run(&["remove", "m1"]).ok(), "");
    assert_eq!(lab.cloud.inventory(), before);
    assert!(!lab.machine_directory("m1").exists());
    lab.run(&["status", "m1"]).fails(4);
}

#[test]
fn answers_come_as_json_too() {
    let lab = Lab::new();
    let json = |outcome: Outcome| serde_json::from_str::<serde_json::Value>(outcome.ok()).unwrap();
    let created = json(create(&lab, "m1", &["--json"]));
    assert_eq!(created["name"], "m1");
    assert_eq!(created["ssh"]["user"], "root");
    assert_eq!(
        json(lab.run(&["status", "m1", "--json"]))["state"],
        "Running"
    );
    assert_eq!(json(lab.run(&["ip", "m1", "--json"]))["ip"], created["ip"]);
    assert_eq!(
        json(lab.run(&["url", "m1", "--json"]))["url"],
        created["url"]
    );
    let inspected = json(lab.run(&["inspect", "m1"]));
    assert_eq!(inspected, lab.config("m1"));
    assert_eq!(inspected["Driver"]["IPAddress"], created["ip"]);
    assert_eq!(inspected["Driver"]["Zone"], "uk-london-1");
    assert_eq!(inspected["DriverName"], "btcloud");
}

#[test]
fn everything_has_a_name_or_an_id() {
    let lab = Lab::new();
    let id = |list: &str| {
        let error = create(&lab, "m1", &[&format!("--btcloud-{list}"), "no such"])
            .fails(3)
            .to_owned();
        // The error lists what there is, with the ids.
        let line = error
            .lines()
            .find(|line| OPTIONS.iter().any(|option| line.contains(option)));
        let line = line.unwrap_or_else(|| panic!("{error}"));
        let words = line.split(|c: char| !(c.is_ascii_hexdigit() || c == '-'));
        words.max_by_key(|word| word.len()).unwrap().to_owned()
    };
    // Given twice, the last one counts.
    let (zone, template, offering) = (id("zone"), id("template"), id("service-offering"));
    let ids = [
        "--btcloud-zone",
        &zone,
        "--btcloud-template",
        &template,
        "--btcloud-service-offering",
        &offering,
    ];
    create(&lab, "m1", &ids).ok();
    assert_eq!(lab.config("m1")["Driver"]["Zone"], zone);
    lab.run(&["remove", "m1"]).ok();
}

#[test]
fn help_shows_the_drivers_options() {
    let lab = Lab::new();
    let help = lab.run(&["create", "--help"]);
    for option in [
        "--btcloud-zone",
        "BTCLOUD_SECRET_KEY",
        "https://cloud.bt.com/client/api",
        "--json",
    ] {
        assert!(help.ok().contains(option), "{option} in {}", help.stdout);
    }
    let mut host = lab.command(program("btcloud-host"));
    let help = lab.finish(host.args(["help", "run", "create"]));
    assert!(help.ok().contains("--btcloud-zone"), "{help:?}");
    let mut host = lab.command(program("btcloud-host"));
    let help = lab.finish(host.arg("--help"));
    assert!(help.ok().contains("Exit codes:"), "{help:?}");
    let probe = lab.run(&["create", "--driver", PROBE, "--help"]);
    assert!(probe.ok().contains("--probe-mode"), "{probe:?}");
    assert!(!probe.stdout.contains("--btcloud-zone <"), "{probe:?}");
}

#[test]
fn what_is_missing_or_wrong_is_said_and_changes_nothing() {
    let lab = Lab::new();
    let before = lab.cloud.inventory();
    let missing = [
        (
            "BTCLOUD_API_KEY",
            "Please specify an API key (--btcloud-api-key).",
        ),
        (
            "BTCLOUD_SECRET_KEY",
            "Please specify a secret key (--btcloud-secret-key).",
        ),
    ];
    for (variable, sentence) in missing {
        let mut host = lab.host();
        host.args(["create", "m1"])
            .args(OPTIONS)
            .env_remove(variable);
        let outcome = lab.finish(&mut host);
        let expected =
            format!("btcloud-host: {sentence}\n  hint: the environment variable {variable}");
        assert!(outcome.fails(2).starts_with(&expected), "{outcome:?}");
    }
    for (option, sentence) in [
        (0, "Please specify an availability zone (--btcloud-zone)."),
        (2, "Please specify an Ubuntu template (--btcloud-template)."),
        (
            4,
            "Please specify a service offering (--btcloud-service-offering).",
        ),
    ] {
        let mut options = OPTIONS.to_vec();
        options.drain(option..option + 2);
        let outcome = lab.run(&[&["create", "m1"], options.as_slice()].concat());
        assert!(outcome.fails(2).contains(sentence), "{outcome:?}");
    }
    for (options, code, expected) in [
        (["--btcloud-zone", "uk-leeds-1"], 3, "uk-london-1"),
        (["--btcloud-template", "Windows"], 3, "Ubuntu 24.04 LTS"),
        (["--btcloud-service-offering", "Huge"], 3, "Small"),
        (["--btcloud-secret-key", "wrong-wrong-wrong"], 3, "401"),
        (["--btcloud-endpoint", "cloud.bt.com"], 2, "is not a URL"),
        (
            ["--btcloud-endpoint", "ftp://cloud.bt.com"],
            2,
            "neither https nor http",
        ),
        (
            ["--btcloud-endpoint", "http://169.254.169.254/client/api"],
            2,
            "link-local",
        ),
        (
            ["--btcloud-endpoint", "http://127.0.0.1:1/client/api"],
            3,
            "refuses connections",
        ),
        (
            [
                "--btcloud-endpoint",
                "http://does-not-exist.invalid/client/api",
            ],
            3,
            "cannot be resolved",
        ),
    ] {
        let outcome = create(&lab, "m1", &options);
        let stderr = outcome.fails(code);
        // An endpoint without encryption is warned of first.
        let error = match stderr.split_once('\n') {
            Some((warning, rest)) if warning.starts_with("warning: ") => rest,
            _ => stderr,
        };
        assert!(
            error.starts_with("btcloud-host: ") && error.contains(expected),
            "{outcome:?}"
        );
    }
    for name in ["-m1", "m 1", "m/1", "../m1", "mä"] {
        let outcome = lab.run(&["status", "--", name]);
        assert!(
            outcome.fails(2).contains("is no name for a machine"),
            "{outcome:?}"
        );
    }
    // Names that docker-machine takes and CloudStack does not.
    let long = "m".repeat(64);
    for name in ["1m", "m.1", &long] {
        create(&lab, name, &[]).fails(3);
    }
    let unknown = lab.run(&["fly", "m1"]);
    assert!(
        unknown
            .fails(2)
            .starts_with("btcloud-host: unrecognized subcommand 'fly'"),
        "{unknown:?}"
    );
    let alone = lab.finish(lab.command(program("btcloud-host")).args(["create", "m1"]));
    assert!(
        alone
            .fails(2)
            .ends_with("hint: an operation comes after `run`: btcloud-host run create NAME"),
        "{alone:?}"
    );
    lab.run(&["start"]).fails(2);
    assert_eq!(lab.cloud.inventory(), before);
    assert!(!lab.store().join("machines").exists());
}

#[test]
fn an_endpoint_that_is_no_cloudstack_is_recognised() {
    let lab = Lab::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/client/api", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let n = stream.read(&mut [0; 4096]).unwrap();
        assert!(n > 0);
        let page = "<html><title>Welcome to nginx!</title></html>";
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close";
        write!(
            stream,
            "{head}\r\nContent-Length: {}\r\n\r\n{page}",
            page.len()
        )
        .unwrap();
    });
    let outcome = create(&lab, "m1", &["--btcloud-endpoint", &url]);
    assert!(
        outcome.fails(3).contains("--btcloud-endpoint"),
        "{outcome:?}"
    );
    server.join().unwrap();
}

#[test]
fn a_machine_that_is_there_is_not_made_again() {
    let lab = Lab::new();
    create(&lab, "m1", &[]).ok();
    let config = lab.config("m1");
    let inventory = lab.cloud.inventory();
    assert!(create(&lab, "m1", &[]).fails(1).contains("exists already"));
    assert_eq!(lab.config("m1"), config);
    assert_eq!(lab.cloud.inventory(), inventory);
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

#[test]
fn two_machines_share_an_address() {
    let lab = Lab::new();
    create(&lab, "m1", &[]).ok();
    let alone = lab.cloud.inventory();
    let created = create(&lab, "m2", &["--json"]);
    let second: serde_json::Value = serde_json::from_str(created.ok()).unwrap();
    assert_eq!(lab.run(&["ip", "m1"]).ok(), lab.run(&["ip", "m2"]).ok());
    assert_eq!(
        lab.run(&["url", "m1"]).ok(),
        format!("tcp://{}:2376", second["ip"].as_str().unwrap())
    );
    assert_ne!(second["ssh"]["port"], 22);
    // The engine listens on the same port inside as outside, since the client tells it that of the URL.
    assert_eq!(lab.run(&["url", "m2"]).ok(), second["url"]);
    let forwarded: Vec<_> = lab
        .cloud
        .requests()
        .into_iter()
        .filter(|request| request.command == "createPortForwardingRule")
        .map(|request| {
            ["privateport", "publicport"].map(|name| request.parameter(name).map(str::to_owned))
        })
        .collect();
    let engine = forwarded.last().unwrap();
    assert_eq!(engine[0], engine[1]);
    assert!(
        second["url"]
            .as_str()
            .unwrap()
            .ends_with(engine[1].as_deref().unwrap())
    );
    lab.run(&["remove", "m2"]).ok();
    assert_eq!(lab.cloud.inventory(), alone);
}

#[test]
fn a_basic_zone_gives_the_machine_its_own_address() {
    let lab = Lab::new();
    let before = lab.cloud.inventory();
    create(&lab, "m1", &["--btcloud-zone", "uk-basic-1"]).ok();
    create(&lab, "m2", &["--btcloud-zone", "uk-basic-1"]).ok();
    assert_ne!(lab.run(&["ip", "m1"]).ok(), lab.run(&["ip", "m2"]).ok());
    assert!(!lab.has_called("createPortForwardingRule"));
    lab.run(&["remove", "m1"]).ok();
    lab.run(&["remove", "m2"]).ok();
    assert_eq!(lab.cloud.inventory(), before);
}

#[test]
fn a_cloud_that_takes_rsa_keys_only_gets_one() {
    let lab = Lab::with(|behaviour| behaviour.rsa_keys_only = true, |_| ());
    create(&lab, "m1", &[]).ok();
    let public = fs::read_to_string(lab.machine_directory("m1").join("id_rsa.pub")).unwrap();
    assert!(public.starts_with("ssh-rsa "), "{public}");
    lab.run(&["remove", "m1"]).ok();
}

#[test]
fn secrets_are_in_one_private_file() {
    let lab = Lab::new();
    create(&lab, "m1", &[]).ok();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let directory = lab.machine_directory("m1");
    assert_eq!(mode(&directory), 0o700);
    for entry in fs::read_dir(&directory).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
        let text = fs::read_to_string(&path).unwrap();
        let holds_key = text.contains(lab.cloud.secret_key()) || text.contains(lab.cloud.api_key());
        assert_eq!(
            holds_key,
            path.ends_with("secrets.json"),
            "{}",
            path.display()
        );
    }
    // The store is all that a later operation needs.
    let mut host = lab.host();
    acceptance::without_account(&mut host);
    assert_eq!(lab.finish(host.args(["status", "m1"])).ok(), "Running");
    // Other keys in the environment go before those in the store.
    let mut host = lab.host();
    host.args(["status", "m1"])
        .env("BTCLOUD_SECRET_KEY", "rotated-rotated");
    assert!(lab.finish(&mut host).fails(1).contains("401"));
}

#[test]
fn a_failed_creation_leaves_nothing() {
    let lab = Lab::new();
    let before = lab.cloud.inventory();
    for command in ["deployVirtualMachine", "createPortForwardingRule"] {
        lab.fail_job(command, 530, "The hypervisor is on fire");
        let outcome = create(&lab, "m1", &[]);
        assert!(
            outcome.fails(1).contains("The hypervisor is on fire"),
            "{outcome:?}"
        );
        assert_eq!(lab.cloud.inventory(), before, "{command}");
        assert!(!lab.machine_directory("m1").exists());
    }
    create(&lab, "m1", &[]).ok();
}

#[test]
fn a_creation_that_cannot_begin_leaves_nothing_in_the_store() {
    let lab = Lab::new();
    // Something is where the file is to be that is locked.
    let directory = lab.machine_directory("m1");
    fs::create_dir_all(directory.join(".lock")).unwrap();
    let outcome = create(&lab, "m1", &[]);
    assert!(outcome.fails(1).contains(".lock"), "{outcome:?}");
    assert!(!directory.exists() && !lab.has_machine("m1"));
    create(&lab, "m1", &[]).ok();
}

#[test]
fn what_a_shared_store_says_cannot_fool_a_terminal() {
    let lab = Lab::new();
    create(&lab, "m1", &[]).ok();
    let mut config = lab.config("m1");
    config["DriverName"] = "x\u{1b}[2Jy".into();
    lab.put_config("m1", &config);
    let outcome = lab.run(&["status", "m1"]);
    let error = outcome.fails(1);
    assert!(
        error.contains("hint: ") && !error.contains('\u{1b}'),
        "{error:?}"
    );
}

#[test]
fn what_the_cloud_refuses_after_the_check_is_exit_code_1() {
    let lab = Lab::new();
    let invalid =
        r#"{"deployvirtualmachineresponse": {"errorcode": 431, "errortext": "Invalid zone"}}"#;
    lab.cloud.fault(
        "deployVirtualMachine",
        1,
        Fault::Respond {
            status: 431,
            content_type: "application/json".to_owned(),
            body: invalid.to_owned(),
        },
    );
    assert!(create(&lab, "m1", &[]).fails(1).contains("Invalid zone"));
    assert!(lab.cloud.inventory().is_empty());
}

#[test]
fn an_interrupted_creation_leaves_nothing() {
    let lab = Lab::new();
    let before = lab.cloud.inventory();
    lab.slow_down("deployVirtualMachine", Duration::from_secs(2));
    for terminating in [rustix::process::Signal::INT, rustix::process::Signal::TERM] {
        let mut host = lab.host();
        host.args(["create", "m1"])
            .args(OPTIONS)
            .stderr(Stdio::piped())
            .stdout(Stdio::null());
        let host = host.spawn().unwrap();
        wait_until("the virtual machine", || {
            lab.cloud.inventory() != before && lab.has_machine("m1")
        });
        signal(&host, terminating);
        let outcome = lab.outcome(host.wait_with_output().unwrap());
        assert!(outcome.fails(130).contains("interrupted"), "{outcome:?}");
        assert_eq!(lab.cloud.inventory(), before);
        assert!(!lab.machine_directory("m1").exists());
    }
}

#[test]
fn a_creation_that_was_killed_is_removed_later() {
    let lab = Lab::new();
    let before = lab.cloud.inventory();
    lab.slow_down("deployVirtualMachine", Duration::from_millis(500));
    let mut host = lab.host();
    host.args(["create", "m1"])
        .args(OPTIONS)
        .stderr(Stdio::null())
        .stdout(Stdio::null());
    let mut host = host.spawn().unwrap();
    wait_until("the virtual machine", || lab.has_machine("m1"));
    signal(&host, rustix::process::Signal::KILL);
    host.wait().unwrap();
    assert_ne!(lab.cloud.inventory(), before);
    lab.run(&["remove", "m1"]).ok();
    assert_eq!(lab.cloud.inventory(), before);
}

#[test]
fn a_machine_that_is_gone_is_removed_all_the_same() {
    let lab = Lab::new();
    let before = lab.cloud.inventory();
    create(&lab, "m1", &[]).ok();
    lab.destroy_behind_our_back("m1");
    let outcome = lab.run(&["status", "m1"]);
    assert!(outcome.fails(4).contains("not found"), "{outcome:?}");
    lab.run(&["start", "m1"]).fails(4);
    lab.run(&["remove", "m1"]).ok();
    assert_eq!(lab.cloud.inventory(), before);
    lab.run(&["remove", "m1"]).fails(4);
}

#[test]
fn keys_of_another_account_do_not_make_a_machine_forgotten() {
    let lab = Lab::with(
        |_| (),
        |cloud| cloud.accounts.push(AccountConfig::new("other")),
    );
    let before = lab.cloud.inventory();
    create(&lab, "m1", &[]).ok();
    let other = lab.cloud.credentials("other").unwrap();
    let mut host = lab.host();
    host.args(["remove", "m1"])
        .env("BTCLOUD_API_KEY", &other.api_key)
        .env("BTCLOUD_SECRET_KEY", &other.secret_key);
    let outcome = lab.finish(&mut host);
    let error = outcome.fails(1);
    assert!(
        error.contains("The machine belongs to the account \"demo\""),
        "{error}"
    );
    assert_eq!(lab.run(&["status", "m1"]).ok(), "Running");
    lab.run(&["remove", "m1"]).ok();
    assert_eq!(lab.cloud.inventory(), before);
}

#[test]
fn a_corrupt_store_is_named_and_left_alone() {
    let lab = Lab::new();
    create(&lab, "m1", &[]).ok();
    let inventory = lab.cloud.inventory();
    let config = lab.machine_directory("m1").join("config.json");
    for contents in [
        "",
        "{\"ConfigVersion\": 3",
        "[]",
        "{\"ConfigVersion\": 3, \"Driver\": 7}",
    ] {
        fs::write(&config, contents).unwrap();
        for operation in ["status", "stop", "remove", "inspect"] {
            let outcome = lab.run(&[operation, "m1"]);
            let error = outcome.fails(1);
            assert!(
                error.contains("config.json") && error.contains("hint:"),
                "{error}"
            );
        }
        assert_eq!(fs::read_to_string(&config).unwrap(), contents);
    }
    assert_eq!(lab.cloud.inventory(), inventory);
}

#[test]
fn another_driver_can_be_named() {
    let lab = Lab::new();
    let probe = |arguments: &[&str]| lab.run(&[arguments, &["--driver", PROBE]].concat());
    probe(&["create", "p1"]).ok();
    assert_eq!(lab.config("p1")["DriverName"], "probe");
    assert_eq!(probe(&["ip", "p1"]).ok(), "192.0.2.1");
    let outcome = lab.run(&["remove", "p1"]);
    assert!(
        outcome
            .fails(1)
            .contains("was made by the driver \"probe\""),
        "{outcome:?}"
    );
    probe(&["remove", "p1"]).ok();
    assert!(!lab.machine_directory("p1").exists());

    let not_a_driver = lab.home().join("driver.wasm");
    for (contents, expected) in [
        (b"#!/bin/sh".as_slice(), "not a WebAssembly component"),
        (
            b"#!/bin/sh",
            "it does not begin with WebAssembly's magic number",
        ),
        (b"\0asm\x01\0\0\0", "not a WebAssembly component"),
        (b"\0asm\x0d\0\x01\0", "not a machine driver"),
    ] {
        fs::write(&not_a_driver, contents).unwrap();
        let driver = not_a_driver.to_str().unwrap();
        let outcome = lab.run(&["create", "p1", "--driver", driver]);
        assert!(outcome.fails(1).contains(expected), "{outcome:?}");
    }
    lab.run(&["create", "p1", "--driver", "/does/not/exist"])
        .fails(2);
}

#[test]
fn what_no_store_knows_is_found_and_removed_on_request() {
    let lab = Lab::new();
    let gc = |arguments: &[&str]| {
        let mut host = lab.command(program("btcloud-host"));
        lab.finish(host.arg("gc").args(arguments))
    };
    let nothing = "Nothing was found that does not belong to a machine of this store";
    assert_eq!(gc(&[]).ok(), nothing);
    let before = lab.cloud.inventory();
    let with_all = [
        "--btcloud-cidr",
        "192.0.2.0/24",
        "--btcloud-disk-offering",
        "Data 20 GB",
    ];
    create(&lab, "kept", &[]).ok();
    let kept = lab.cloud.inventory();
    create(&lab, "lost", &with_all).ok();
    create(&lab, "nat", &["--btcloud-address", "static-nat"]).ok();
    create(&lab, "basic", &["--btcloud-zone", "uk-basic-1"]).ok();
    assert_eq!(gc(&[]).ok(), nothing);

    let id = |name: &str| {
        lab.config(name)["Driver"]["MachineID"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let (lost, nat, basic, kept_id) = (id("lost"), id("nat"), id("basic"), id("kept"));
    for name in ["lost", "nat", "basic"] {
        fs::remove_dir_all(lab.machine_directory(name)).unwrap();
    }
    let listed = gc(&[]);
    for (name, id, parts) in [
        (
            "lost",
            &lost,
            [
                "virtual machine lost (",
                "firewall rule for 22/tcp of ",
                "data disk ",
            ]
            .as_slice(),
        ),
        (
            "nat",
            &nat,
            &[
                "virtual machine nat (",
                "public address ",
                "SSH key pair nat-",
            ],
        ),
        (
            "basic",
            &basic,
            &["virtual machine basic (", "security group basic-"],
        ),
    ] {
        assert!(
            listed.ok().contains(&format!("{name} ({id})")),
            "{listed:?}"
        );
        for part in parts {
            assert!(listed.stdout.contains(part), "{part}: {listed:?}");
        }
    }
    assert!(!listed.stdout.contains(&kept_id), "{listed:?}");
    let json: serde_json::Value = serde_json::from_str(gc(&["--json"]).ok()).unwrap();
    assert_eq!(json.as_array().unwrap().len(), 3);

    // Only what was listed can be removed, and a store that cannot be read keeps anything from being removed.
    for id in [kept_id.as_str(), "x"] {
        assert!(gc(&["--remove", id]).fails(2).contains(id));
    }
    let config = lab.machine_directory("kept").join("config.json");
    let contents = fs::read(&config).unwrap();
    fs::write(&config, "{").unwrap();
    assert!(gc(&["--remove", &lost]).fails(1).contains("config.json"));
    assert!(gc(&[]).stderr.contains("config.json"));
    fs::write(&config, contents).unwrap();

    let removed = gc(&["--remove", &lost, "--remove", &nat, "--remove", &basic]);
    assert!(
        removed.ok().contains(&format!("Removed lost ({lost})")),
        "{removed:?}"
    );
    assert_eq!(lab.cloud.inventory(), kept);
    assert_eq!(gc(&[]).ok(), nothing);
    lab.run(&["remove", "kept"]).ok();
    assert_eq!(lab.cloud.inventory(), before);
}

#[test]
fn what_no_store_knows_stays_if_the_user_stops_before_its_turn() {
    let lab = Lab::new();
    let ids = ["m1", "m2"].map(|name| {
        create(&lab, name, &[]).ok();
        let id = lab.config(name)["Driver"]["MachineID"].clone();
        fs::remove_dir_all(lab.machine_directory(name)).unwrap();
        id.as_str().unwrap().to_owned()
    });
    lab.slow_down("destroyVirtualMachine", Duration::from_secs(2));
    let mut host = lab.command(program("btcloud-host"));
    host.args(["gc", "--remove", &ids[0], "--remove", &ids[1]])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let host = host.spawn().unwrap();
    wait_until("the call", || lab.has_called("destroyVirtualMachine"));
    signal(&host, rustix::process::Signal::INT);
    let outcome = lab.outcome(host.wait_with_output().unwrap());
    let told = format!("{}: stopped before anything was done", ids[1]);
    assert!(outcome.fails(130).contains(&told), "{outcome:?}");
    // Half a removal helps nobody.
    assert_eq!(outcome.stdout, format!("Removed m1 ({})\n", ids[0]));
    assert!(!lab.has_machine("m1") && lab.has_machine("m2"));
}

#[test]
fn a_machine_can_have_a_key_that_is_there() {
    let lab = Lab::new();
    let before = lab.cloud.inventory();
    let key = lab.home().join("id");
    let keygen = |arguments: &[&str]| {
        let mut command = lab.command("ssh-keygen");
        lab.finish(
            command
                .args(["-q", "-f", key.to_str().unwrap()])
                .args(arguments),
        )
    };
    keygen(&["-t", "rsa", "-b", "2048", "-N", "", "-m", "PEM"]).ok();
    let option = ["--btcloud-ssh-key", key.to_str().unwrap()];
    create(&lab, "m1", &option).ok();
    let directory = lab.machine_directory("m1");
    assert_eq!(
        fs::read(directory.join("id_rsa")).unwrap(),
        fs::read(&key).unwrap()
    );
    let public = fs::read_to_string(key.with_extension("pub")).unwrap();
    let copied = fs::read_to_string(directory.join("id_rsa.pub")).unwrap();
    assert!(public.starts_with(copied.trim_end()), "{public} / {copied}");
    lab.run(&["remove", "m1"]).ok();
    assert!(key.exists());

    create(&lab, "m1", &option).ok();
    let taken = create(&lab, "m2", &option);
    assert!(
        taken.fails(1).contains("is registered already"),
        "{taken:?}"
    );
    assert!(
        taken.stderr.contains("hint: Leave --btcloud-ssh-key out"),
        "{taken:?}"
    );
    lab.run(&["remove", "m1"]).ok();

    keygen(&["-p", "-P", "", "-N", "sesame"]).ok();
    let outcome = create(&lab, "m1", &option);
    assert!(outcome.fails(2).contains("has a passphrase"), "{outcome:?}");
    fs::remove_file(&key).unwrap();
    let outcome = create(&lab, "m1", &option);
    assert!(
        outcome.fails(2).contains("--btcloud-ssh-key"),
        "{outcome:?}"
    );
    assert_eq!(lab.cloud.inventory(), before);
}

#[test]
fn a_certificate_is_verified_unless_the_user_says_otherwise() {
    let lab = Lab::new();
    let before = lab.cloud.inventory();
    let front = TlsFront::of(lab.cloud.url());
    let (url, authority) = (front.url(), front.authority());
    let endpoint = ["--btcloud-endpoint", url.as_str()];

    let outcome = create(&lab, "m1", &endpoint);
    let error = outcome.fails(3);
    assert!(
        error.contains("no secure connection to 127.0.0.1"),
        "{error}"
    );
    assert!(
        error.contains("hint: The certificate of --btcloud-endpoint"),
        "{error}"
    );
    assert!(lab.cloud.requests().is_empty());

    let ca = ["--btcloud-ca-cert", authority.to_str().unwrap()];
    let created = create(&lab, "m1", &[endpoint, ca].concat());
    created.ok();
    assert!(!created.stderr.contains("not verified"), "{created:?}");
    // The certificates are kept with the machine, wherever the file goes.
    fs::remove_file(&authority).unwrap();
    assert_eq!(lab.run(&["status", "m1"]).ok(), "Running");
    lab.run(&["remove", "m1"]).ok();

    let created = create(
        &lab,
        "m2",
        &[endpoint.as_slice(), &["--btcloud-tls-skip-verify"]].concat(),
    );
    created.ok();
    assert!(created.stderr.contains("is not verified"), "{created:?}");
    assert_eq!(lab.config("m2")["Driver"]["VerifySSL"], false);
    assert_eq!(lab.run(&["status", "m2"]).stderr, "");
    let stopped = lab.run(&["stop", "m2"]);
    stopped.ok();
    assert!(
        stopped
            .stderr
            .contains("\"VerifySSL\": false in config.json"),
        "{stopped:?}"
    );
    let mut host = lab.host();
    let status = host
        .args(["status", "m2"])
        .env("BTCLOUD_TLS_SKIP_VERIFY", "0");
    assert!(lab.finish(status).fails(1).contains("no secure connection"));
    lab.run(&["remove", "m2"]).ok();
    assert_eq!(lab.cloud.inventory(), before);

    let outcome = create(&lab, "m3", &["--btcloud-ca-cert", "no certificate"]);
    assert!(
        outcome.fails(2).contains("--btcloud-ca-cert: "),
        "{outcome:?}"
    );
}

#[test]
fn the_readme_has_the_options() {
    let driver = btcloud_host::builtin::driver().loaded().unwrap();
    check_options("README.md", &driver.description);
}
