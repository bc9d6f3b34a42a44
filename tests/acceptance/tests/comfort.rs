//! What makes the command line pleasant: profiles, `doctor`, completions, manual pages, examples that work.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::thread;

use acceptance::client::Client;
use acceptance::engine::DockerEngine;
use acceptance::parallel::play_all;
use acceptance::tls::TlsFront;
use acceptance::{HETZNER, Lab, OPTIONS, Outcome, program};
use btcloud_host::cli::examples::{EXAMPLES, Example};
use serde_json::Value;

/// `btcloud-host` without the account that is in the environment.
fn without_account(lab: &Lab, arguments: &[&str]) -> Command {
    let mut host = lab.command(program("btcloud-host"));
    host.args(arguments);
    acceptance::without_account(&mut host);
    host
}

/// Writes the account down as CloudMonkey has it, in its profile `london`.
fn write_cloudmonkey(lab: &Lab) {
    let text = format!(
        "[core]\nprompt = > \nprofile = london\n\n[london]\nurl = {}\napikey = {}\nsecretkey = {}\n",
        lab.cloud.url(),
        lab.cloud.api_key(),
        lab.cloud.secret_key()
    );
    let path = lab.home().join(".cmk/config");
    lab.plant(&path, &text);
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

fn write_own(lab: &Lab, text: &str) {
    let path = lab.home().join(".config/btcloud/config.toml");
    lab.plant(&path, text);
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn a_profile_of_cloudmonkey_makes_a_machine() {
    let lab = Lab::new();
    write_cloudmonkey(&lab);
    let before = lab.cloud.inventory();
    let create = [&["run", "create", "m1"], OPTIONS.as_slice()].concat();
    // Nobody named it.
    let unnamed = lab.finish(&mut without_account(&lab, &create));
    assert!(
        unnamed.fails(2).contains("Please specify an API key"),
        "{unnamed:?}"
    );
    for how in ["flag", "variable", "current"] {
        let mut host = without_account(&lab, &create);
        match how {
            "flag" => host.args(["--profile", "london"]),
            "variable" => host.env("BTCLOUD_PROFILE", "cmk:london"),
            _ => host.args(["--profile", "cmk:"]),
        };
        let made = lab.finish(&mut host);
        made.ok();
        assert!(!made.stderr.contains("others can read"), "{made:?}");
        // From then on the machine has its keys itself.
        let status = lab.finish(&mut without_account(&lab, &["status", "m1"]));
        assert_eq!(status.ok(), "Running", "{how}");
        lab.finish(&mut without_account(&lab, &["rm", "-y", "m1"]))
            .ok();
    }
    assert_eq!(lab.cloud.inventory(), before);
    let unknown = lab.cli(&["config", "show", "--profile", "paris"]);
    assert!(
        unknown.fails(2).contains("there is no profile \"paris\"")
            && unknown.stderr.contains("hint: `cmk:NAME`"),
        "{unknown:?}"
    );
}

#[test]
fn flags_go_before_the_environment_and_that_before_a_profile() {
    let lab = Lab::new();
    write_cloudmonkey(&lab);
    write_own(
        &lab,
        "profile = \"mine\"\n\n[profiles.mine]\nfrom = \"cmk:london\"\nzone = \"of-profile\"\ntemplate = \"of-profile\"\n\
         service-offering = \"of-profile\"\nopen-port = [\"80\", \"443\"]\n",
    );
    let mut host = without_account(
        &lab,
        &["config", "show", "--json", "--btcloud-zone", "of-flag"],
    );
    host.env("BTCLOUD_ZONE", "of-variable")
        .env("BTCLOUD_TEMPLATE", "of-variable");
    let shown: Value = serde_json::from_str(lab.finish(&mut host).ok()).unwrap();
    assert_eq!(shown["profile"]["name"], "mine");
    let option = |name: &str| {
        let options = shown["options"].as_array().unwrap();
        let option = options
            .iter()
            .find(|option| option["name"] == name)
            .unwrap();
        (
            option["value"].clone(),
            option["source"].as_str().unwrap().to_owned(),
        )
    };
    let own = format!(
        "profile in {}/.config/btcloud/config.toml",
        lab.home().display()
    );
    let other = format!("profile in {}/.cmk/config", lab.home().display());
    for (name, value, source) in [
        ("btcloud-zone", "of-flag", "--btcloud-zone"),
        (
            "btcloud-template",
            "of-variable",
            "variable BTCLOUD_TEMPLATE",
        ),
        ("btcloud-service-offering", "of-profile", own.as_str()),
        ("btcloud-api-key", "***", &other),
        ("btcloud-secret-key", "***", &other),
        ("btcloud-endpoint", lab.cloud.url(), &other),
        ("btcloud-address", "auto", "default"),
    ] {
        assert_eq!(option(name), (value.into(), source.to_owned()));
    }
    assert_eq!(
        option("btcloud-open-port").0,
        serde_json::json!(["80", "443"])
    );
    let table = lab.finish(&mut without_account(&lab, &["config", "show"]));
    assert!(
        table.ok().contains("btcloud-secret-key         ***"),
        "{table:?}"
    );
}

#[test]
fn a_file_with_keys_that_others_can_read_is_warned_of() {
    let lab = Lab::new();
    write_cloudmonkey(&lab);
    let path = lab.home().join(".cmk/config");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let shown = lab.finish(&mut without_account(
        &lab,
        &["config", "show", "--profile", "london"],
    ));
    shown.ok();
    let warning = format!("chmod 600 {}", path.display());
    assert!(shown.stderr.contains(&warning), "{shown:?}");
    write_own(&lab, "[profiles.zone-only]\nzone = \"uk-london-1\"\n");
    let own = lab.home().join(".config/btcloud/config.toml");
    fs::set_permissions(own, fs::Permissions::from_mode(0o644)).unwrap();
    let shown = lab.cli(&["config", "show", "--profile", "zone-only"]);
    assert_eq!((shown.code, shown.stderr.as_str()), (0, ""));
    let wrong = "[profiles.typo]\nzonee = \"uk-london-1\"\n";
    write_own(&lab, wrong);
    let refused = lab.cli(&["config", "show", "--profile", "typo"]);
    assert!(
        refused.fails(2).contains("\"zonee\", which is no option"),
        "{refused:?}"
    );
}

#[test]
fn the_usual_profile_is_left_out_for_another_driver_than_its_own() {
    let lab = Lab::new();
    write_own(
        &lab,
        "profile = \"mine\"\n\n[profiles.mine]\ndriver = \"btcloud\"\nzone = \"uk-london-1\"\n",
    );
    let show = |args: &[&str]| lab.cli(&[&["config", "show"], args].concat());
    assert!(show(&[]).ok().contains("uk-london-1"));
    assert!(show(&["--driver", "btcloud"]).ok().contains("uk-london-1"));
    let other = show(&["--driver", HETZNER]);
    assert!(!other.ok().contains("mine"), "{other:?}");
    // Who asks for it is told that it does not fit.
    let refused = show(&["--driver", HETZNER, "--profile", "mine"]);
    assert!(
        refused.fails(2).contains("\"zone\", which is no option"),
        "{refused:?}"
    );
}

#[test]
fn a_path_that_is_no_text_can_be_shown_all_the_same() {
    let lab = Lab::new();
    let mut show = lab.command(program("btcloud-host"));
    let store = lab.home().join(std::ffi::OsStr::from_bytes(b"caf\xe9"));
    show.args(["config", "show", "--json", "-s"]).arg(store);
    let shown: Value = serde_json::from_str(lab.finish(&mut show).ok()).unwrap();
    let store = shown["store"].as_str().unwrap();
    assert!(store.ends_with("caf\u{fffd}"), "{store}");
}

#[test]
fn a_docker_machine_client_uses_a_profile_only_if_a_variable_names_one() {
    let client = Client::named_by("TEST_DOCKER_MACHINE");
    let lab = Lab::new();
    write_cloudmonkey(&lab);
    write_own(&lab, "profile = \"london\"\n");
    let create = |profile: &str| {
        let options = ["--btcloud-zone", "uk-leeds-1"];
        let arguments = [
            &["create", "--driver", "btcloud"],
            OPTIONS.as_slice(),
            &options,
            &["m1"],
        ];
        let mut command = client.command(&lab, &arguments.concat());
        acceptance::without_account(&mut command);
        lab.finish(command.env("BTCLOUD_PROFILE", profile))
    };
    let without = create("");
    assert!(
        without.stderr.contains("Please specify an API key"),
        "{without:?}"
    );
    // With it the cloud is asked, which does not have the zone.
    let with = create("london");
    assert!(with.fails(3).contains("uk-london-1"), "{with:?}");
    assert!(lab.has_called("listZones"));
}

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
fn a_shell_completes_commands_options_and_machines() {
    let lab = Lab::new();
    for name in ["web-1", "web-2", "db-1"] {
        lab.create(name, &[]);
    }
    let complete = |words: &[&str]| lab.complete("bash", words).ok().to_owned();
    assert_eq!(complete(&["btcloud-host", "stop", "we"]), "web-1\nweb-2");
    assert_eq!(complete(&["btcloud-host", "env", "db"]), "db-1");
    assert!(complete(&["btcloud-host", "insp"]).contains("inspect"));
    assert!(
        complete(&["btcloud-host", "run", "create", "--btcloud-zo"]).contains("--btcloud-zone")
    );
    for (shell, expected) in [
        ("bash", "complete "),
        ("zsh", "#compdef btcloud-host"),
        ("fish", "complete "),
        ("powershell", "Register-ArgumentCompleter"),
        ("elvish", "edit:completion"),
    ] {
        let script = lab.cli(&["completions", shell]);
        assert!(script.ok().contains(expected), "{script:?}");
        assert!(script.stdout.contains("BTCLOUD_COMPLETE"), "{script:?}");
    }
    lab.cli(&["completions", "nosh"]).fails(2);
}

#[test]
fn each_command_has_a_manual_page_with_its_examples() {
    let lab = Lab::new();
    let page = lab.cli(&["man"]);
    assert!(page.ok().contains(".TH btcloud-host 1"), "{page:?}");
    let directory = lab.home().join("man");
    lab.cli(&["man", "--directory", directory.to_str().unwrap()])
        .ok();
    for example in EXAMPLES {
        let name = example.command.replace(' ', "-");
        let page = fs::read_to_string(directory.join(format!("btcloud-host-{name}.1"))).unwrap();
        assert!(page.contains("Examples:"), "{name}");
        let what = example.what.replace('-', "\\-").replace('\'', "\\*(Aq");
        assert!(page.contains(&what), "{name}: {what}");
    }
    let create = fs::read_to_string(directory.join("btcloud-host-run-create.1")).unwrap();
    assert!(create.contains("btcloud\\-zone"));
}

/// Plays an example in a home of its own.
fn play(example: &Example) -> Result<(), String> {
    // What sets Docker up speaks with the engine in the end, at an address that no other example's machine has.
    let engine_at = match example.command {
        "provision" => Some(Ipv4Addr::new(127, 0, 117, 1)),
        "regenerate-certs" => Some(Ipv4Addr::new(127, 0, 117, 51)),
        _ => None,
    };
    let lab = Lab::with(
        |_| (),
        |cloud| {
            for addresses in &mut cloud.public_addresses {
                addresses.first = engine_at.unwrap_or(addresses.first);
            }
        },
    );
    let engine = engine_at.map(|ip| DockerEngine::start(ip.into(), &lab.store(), "web-1"));
    let makes_machines = example.command == "run create";
    for name in ["web-1", "web-2"].iter().filter(|_| !makes_machines) {
        match engine_at {
            None => lab.create(name, &["--btcloud-zone", "uk-basic-1"]),
            Some(_) => lab.create(name, &[]),
        }
        let certified = rcgen::generate_simple_self_signed(["x".to_owned()]).unwrap();
        let directory = lab.machine_directory(name);
        let pem = certified.cert.pem();
        fs::write(directory.join("ca.pem"), &pem).unwrap();
        fs::write(directory.join("cert.pem"), &pem).unwrap();
        let key = certified.signing_key.serialize_pem();
        fs::write(directory.join("key.pem"), key).unwrap();
        for file in ["ca.pem", "cert.pem", "key.pem"] {
            let private = fs::Permissions::from_mode(0o600);
            fs::set_permissions(directory.join(file), private).unwrap();
        }
    }
    fs::copy(HETZNER, lab.home().join("their-driver.wasm")).unwrap();
    if !example.line.contains("driver install") {
        let mut install = lab.command(program("btcloud-host"));
        install
            .args([
                "driver",
                "install",
                "their-driver.wasm",
                "--as",
                "their-driver",
                "--yes",
            ])
            .current_dir(lab.home());
        lab.finish(&mut install).ok();
    }
    let mut shell = lab.command("bash");
    shell
        .args(["-euo", "pipefail", "-c", example.line])
        .current_dir(lab.home());
    let outcome = lab.finish(&mut shell);
    drop(engine);
    match outcome.code {
        0 => Ok(()),
        _ => Err(format!("{}\n{outcome:?}", example.line)),
    }
}

#[test]
fn every_example_works() {
    let examples = EXAMPLES
        .iter()
        .filter(|example| example.command != "context");
    let failures = play_all(examples, play);
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn every_example_with_the_docker_client_works() {
    let examples = EXAMPLES
        .iter()
        .filter(|example| example.command == "context");
    let failures = play_all(examples, play);
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
