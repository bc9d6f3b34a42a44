//! `btcloud-host doctor`: it finds what is wrong, says what to do about it, and finds nothing where all is well.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::thread;

use acceptance::tls::TlsFront;
use acceptance::{Lab, OPTIONS, Outcome, PROBE, program};
use serde_json::Value;

/// What `doctor` finds, as a list of `what verdict`.
fn findings(outcome: &Outcome) -> Vec<(String, String, Value)> {
    let findings: Vec<Value> = serde_json::from_str(outcome.stdout.trim_end()).unwrap();
    findings
        .into_iter()
        .map(|finding| {
            let text = |member: &str| finding[member].as_str().unwrap().to_owned();
            (text("what"), text("verdict"), finding)
        })
        .collect()
}

/// Fails unless `doctor` finds that, says what it is, and what to do about it.
#[track_caller]
fn finds(outcome: &Outcome, what: &str, verdict: &str, detail: &str) {
    let findings = findings(outcome);
    let found = findings.iter().find(|(w, v, _)| w == what && v == verdict);
    let (.., finding) = found.unwrap_or_else(|| panic!("{what} is not {verdict}: {outcome:?}"));
    assert!(
        finding["detail"].as_str().unwrap().contains(detail),
        "{finding}"
    );
    if ["failed", "warning"].contains(&verdict) {
        assert!(finding["remedy"].is_string(), "{finding}");
    }
    let fails = findings.iter().any(|(_, verdict, _)| verdict == "failed");
    assert_eq!(outcome.code, i32::from(fails), "{outcome:?}");
}

fn doctor(lab: &Lab) -> Command {
    let mut host = lab.command(program("btcloud-host"));
    host.args(["doctor", "--json"]);
    host
}

#[test]
fn doctor_finds_nothing_where_all_is_well() {
    let lab = Lab::new();
    lab.create("m1", &[]);
    let before = lab.cloud.inventory();
    let outcome = lab.finish(doctor(&lab).args(OPTIONS));
    outcome.ok();
    let verdicts: Vec<_> = findings(&outcome)
        .into_iter()
        .map(|(what, verdict, _)| format!("{what} {verdict}"))
        .collect();
    assert_eq!(
        verdicts,
        [
            "store ok",
            "permissions ok",
            "plugin ok",
            "cache ok",
            "configuration ok",
            "endpoint ok",
            "encryption ok",
            // CloudStack itself does not tell the time, what stands before it may.
            "clock skipped",
            "keys ok",
            "options ok",
            "quota ok"
        ]
    );
    finds(
        &lab.finish(&mut doctor(&lab)),
        "options",
        "skipped",
        "--btcloud-zone",
    );
    assert_eq!(lab.cloud.inventory(), before);
    let text = lab.cli(&["doctor"]);
    assert!(
        text.ok()
            .contains("ok       keys           the cloud takes them"),
        "{text:?}"
    );
}

#[test]
fn doctor_finds_what_is_wrong_with_the_account_and_the_way_there() {
    let lab = Lab::new();
    let with = |arguments: &[&str]| lab.finish(doctor(&lab).args(arguments));
    let nobody = with(&["--btcloud-endpoint", "http://127.0.0.1:1/client/api"]);
    finds(&nobody, "endpoint", "failed", "refuses connections");
    finds(&nobody, "keys", "skipped", "cannot be reached");
    let unknown = with(&["--btcloud-endpoint", "http://cloud.invalid/client/api"]);
    finds(&unknown, "endpoint", "failed", "cannot be resolved");
    let wrong = with(&["--btcloud-secret-key", "wrong-wrong-wrong"]);
    finds(&wrong, "keys", "failed", "401");
    let wrong = with(
        &[
            &["--btcloud-secret-key", "wrong-wrong-wrong"],
            OPTIONS.as_slice(),
        ]
        .concat(),
    );
    finds(&wrong, "keys", "failed", "401");
    let missing = lab.finish(doctor(&lab).env_remove("BTCLOUD_API_KEY"));
    finds(
        &missing,
        "configuration",
        "failed",
        "Please specify an API key",
    );
    finds(&missing, "endpoint", "ok", "answers");
    for (option, expected) in [
        ("--btcloud-zone", "uk-london-1"),
        ("--btcloud-template", "Ubuntu 24.04 LTS"),
        ("--btcloud-service-offering", "Small"),
    ] {
        let wrong = with(&[OPTIONS.as_slice(), &[option, "no such"]].concat());
        finds(&wrong, "options", "failed", expected);
        finds(&wrong, "keys", "ok", "");
    }
    let front = TlsFront::of(lab.cloud.url());
    let (url, authority) = (front.url(), front.authority());
    let endpoint = ["--btcloud-endpoint", url.as_str()];
    finds(
        &with(&endpoint),
        "encryption",
        "failed",
        "no secure connection",
    );
    let insecure = with(&[endpoint.as_slice(), &["--btcloud-tls-skip-verify"]].concat());
    finds(&insecure, "encryption", "warning", "not verified");
    let ca = ["--btcloud-ca-cert", authority.to_str().unwrap()];
    let secure = with(&[endpoint, ca].concat());
    finds(&secure, "encryption", "ok", "valid");
}

#[test]
fn doctor_finds_a_clock_that_is_wrong() {
    let lab = Lab::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/client/api", listener.local_addr().unwrap());
    // It tells a time long ago, and else nothing of use.
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            drop(stream.read(&mut [0; 4096]));
            drop(stream.write_all(
                b"HTTP/1.1 401 Unauthorized\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nConnection: close\r\n\
                  Content-Length: 0\r\n\r\n",
            ));
        }
    });
    let outcome = lab.finish(doctor(&lab).args(["--btcloud-endpoint", &url]));
    finds(&outcome, "clock", "failed", "s ahead of the endpoint's");
}

#[test]
fn doctor_finds_what_is_wrong_here() {
    let lab = Lab::new();
    lab.create("m1", &[]);
    let secrets = lab.machine_directory("m1").join("secrets.json");
    let chmod =
        |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    chmod(&secrets, 0o644);
    finds(
        &lab.finish(&mut doctor(&lab)),
        "permissions",
        "failed",
        "secrets.json",
    );
    chmod(&secrets, 0o600);
    let config = lab.machine_directory("m1").join("config.json");
    let contents = fs::read(&config).unwrap();
    fs::write(&config, "{").unwrap();
    finds(
        &lab.finish(&mut doctor(&lab)),
        "machine",
        "failed",
        "config.json",
    );
    fs::write(&config, contents).unwrap();
    let file = lab.home().join("file");
    fs::write(&file, "").unwrap();
    let outcome = lab.finish(doctor(&lab).arg("--storage-path").arg(&file));
    finds(&outcome, "store", "failed", "no directory");

    let outcome = lab.finish(doctor(&lab).env("PATH", "/usr/bin"));
    finds(
        &outcome,
        "plugin",
        "failed",
        "docker-machine-driver-btcloud",
    );
    let bin = lab.home().join("bin");
    fs::create_dir(&bin).unwrap();
    let other = bin.join("docker-machine-driver-btcloud");
    fs::write(&other, "#!/bin/sh\n").unwrap();
    chmod(&other, 0o755);
    let outcome = lab.finish(doctor(&lab).env("PATH", &bin));
    finds(
        &outcome,
        "plugin",
        "warning",
        "not from where this program is",
    );

    let cache = lab.home().join("cache");
    fs::create_dir_all(cache.join("btcloud-host")).unwrap();
    chmod(&cache.join("btcloud-host"), 0o777);
    let outcome = lab.finish(doctor(&lab).env("XDG_CACHE_HOME", &cache));
    finds(&outcome, "cache", "warning", "you alone can write");
}

#[test]
fn doctor_tells_how_much_of_the_limits_is_used() {
    let lab = Lab::with(|behaviour| behaviour.machine_limit = Some(3), |_| ());
    let quota = |arguments: &[&str]| {
        let outcome = lab.cli(&[&["doctor", "--json"], arguments].concat());
        let findings: Value = serde_json::from_str(&outcome.stdout).unwrap();
        let findings = findings.as_array().unwrap().iter();
        let of = |name: &str, f: &Value| f[name].as_str().unwrap_or_default().to_owned();
        let quota: Vec<_> = findings
            .filter(|finding| finding["what"] == "quota")
            .map(|f| (of("verdict", f), of("detail", f), of("remedy", f)))
            .collect();
        (outcome.code, quota)
    };
    let (code, told) = quota(&[]);
    assert_eq!((code, told.len()), (0, 1), "{told:?}");
    assert_eq!(told[0].0, "ok");
    assert_eq!(told[0].1, "0 of 3 virtual machines are used");
    for name in ["a", "b", "c"] {
        lab.create(name, &[]);
    }
    let (code, told) = quota(&[]);
    assert_eq!((code, told.len()), (1, 1), "{told:?}");
    assert_eq!(told[0].0, "failed");
    assert_eq!(
        told[0].1,
        "3 of 3 virtual machines are used; no machine can be made"
    );
    assert!(told[0].2.contains("have the limit raised"), "{told:?}");
    lab.cloud
        .set_behaviour(|behaviour| behaviour.machine_limit = Some(4));
    assert_eq!(quota(&[]).1[0].0, "ok");
    lab.cloud
        .set_behaviour(|behaviour| behaviour.machine_limit = None);
    assert_eq!(quota(&[]).1[0].1, "nothing is near its limit");
    let (_, told) = quota(&["--btcloud-secret-key", "wrong-wrong-wrong"]);
    assert_eq!(told[0].0, "skipped");
    let endpoint = lab.cloud.url();
    let probe = ["--driver", PROBE, "--probe-endpoint", endpoint];
    let (_, told) = quota(&probe);
    assert_eq!(told[0].0, "skipped", "{told:?}");
    assert!(told[0].1.contains("can list neither"), "{told:?}");
}
