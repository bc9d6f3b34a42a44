//! `btcloud-host run create`: what a machine is made of, alone and with others, and what is refused.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use acceptance::{Lab, OPTIONS, program};
use cloudstack_simulator::Fault;

use crate::{create, create_several, in_cloud};

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
fn several_are_named_or_counted_and_told_as_json() {
    let lab = Lab::new();
    let made = lab.finish(&mut create_several(&lab, &["a", "b", "--json"]));
    let machines: Vec<serde_json::Value> = serde_json::from_str(made.ok()).unwrap();
    let names: BTreeSet<_> = machines
        .iter()
        .map(|m| m["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["a", "b"].into());
    assert!(machines.iter().all(|machine| machine["ip"].is_string()));
    // One that is there already keeps all from being begun.
    let again = lab.finish(&mut create_several(&lab, &["b", "c"]));
    assert!(again.fails(1).contains("\"b\" exists already"), "{again:?}");
    let both = lab.finish(&mut create_several(&lab, &["d", "e", "--count", "2"]));
    assert!(both.fails(2).contains("--count takes one name"), "{both:?}");
    assert_eq!(in_cloud(&lab), ["a", "b"].map(str::to_owned).into());
    // What is wrong with the options is wrong for all.
    let mut wrong = create_several(&lab, &["f", "--count", "3"]);
    let wrong = lab.finish(wrong.args(["--btcloud-template", "Windows"]));
    assert!(
        wrong.fails(3).contains("0 of 3 machines were made"),
        "{wrong:?}"
    );
    let quiet = lab.finish(&mut create_several(&lab, &["g", "--count", "2", "-q"]));
    assert_eq!((quiet.ok(), quiet.stderr.as_str()), ("", ""));
    // Names may stand on both sides of flags, and twice.
    let apart = lab.finish(create_several(&lab, &["h", "--json"]).args(["i", "h"]));
    let machines: Vec<serde_json::Value> = serde_json::from_str(apart.ok()).unwrap();
    assert_eq!(machines.len(), 2, "{apart:?}");
    let stopped = lab.cli(&["stop", "h", "--parallel", "1", "i"]);
    assert_eq!(stopped.ok(), "h: stopped\ni: stopped");
}
