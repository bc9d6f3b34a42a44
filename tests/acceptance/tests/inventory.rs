//! What can be named in options: the commands that list it, the shells that complete it, and the account's limits.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use acceptance::{HETZNER, Lab, Outcome, PROBE, program};
use cloudstack_simulator::{DiskOfferingConfig, Fault, ProjectConfig};
use serde_json::Value;

const LONDON: [&str; 2] = ["--btcloud-zone", "uk-london-1"];

fn lines(outcome: &Outcome) -> Vec<&str> {
    outcome.ok().lines().collect()
}

#[test]
fn what_can_be_named_is_listed_by_name() {
    let lab = Lab::new();
    let before = lab.cloud.inventory();
    let quiet = |arguments: &[&str]| lab.cli(&[arguments, &["-q"]].concat());
    assert_eq!(lines(&quiet(&["zones"])), ["uk-basic-1", "uk-london-1"]);
    let in_london = |command: &[&str]| quiet(&[command, &LONDON].concat());
    let templates = ["Debian 12", "Ubuntu 22.04 LTS", "Ubuntu 24.04 LTS"];
    assert_eq!(lines(&in_london(&["templates"])), templates);
    let offerings = ["Custom", "Large", "Medium", "Small"];
    assert_eq!(lines(&in_london(&["offerings"])), offerings);
    assert_eq!(lines(&in_london(&["networks"])), ["default", "shared-lan"]);
    for option in [
        "disk-offering",
        "btcloud-disk-offering",
        "--btcloud-disk-offering",
    ] {
        // What begins with dashes needs them to be ended.
        let arguments = [&["candidates", "-q"], LONDON.as_slice(), &["--", option]].concat();
        let listed = lab.cli(&arguments);
        assert_eq!(lines(&listed), ["Data 20 GB", "Data custom"]);
    }
    // Of the other zone, which has no networks to be named.
    let basic = ["--btcloud-zone", "UK-BASIC-1"];
    let templates = quiet(&[&["templates"], basic.as_slice()].concat());
    assert!(templates.ok().contains("Rocky Linux 9"), "{templates:?}");
    assert_eq!(quiet(&[&["networks"], basic.as_slice()].concat()).ok(), "");
    let options = quiet(&["candidates"]);
    assert!(
        options.ok().contains("btcloud-affinity-group"),
        "{options:?}"
    );
    assert_eq!(lab.cloud.inventory(), before);
}

#[test]
fn filters_narrow_and_programs_get_json() {
    let lab = Lab::new();
    let list = |arguments: &[&str]| lab.cli(&[arguments, &LONDON].concat());
    let json = list(&["networks", "--format", "json", "--filter", "type=isolated"]);
    let json: Value = serde_json::from_str(json.ok()).unwrap();
    assert_eq!(json.as_array().unwrap().len(), 1, "{json}");
    assert_eq!(json[0]["name"], "default");
    assert_eq!(json[0]["details"]["cidr"], "10.1.1.0/24");
    let id = json[0]["id"].as_str().unwrap();
    let by_id = list(&["networks", "-q", "--filter", &format!("id={id}")]);
    assert_eq!(by_id.ok(), "default");
    let several = [
        "templates",
        "-q",
        "--filter",
        "name=^Deb",
        "--filter",
        "name=22",
    ];
    assert_eq!(lines(&list(&several)), ["Debian 12", "Ubuntu 22.04 LTS"]);
    for (filter, expected) in [
        ("x", "it is not KEY=VALUE"),
        ("name=(", "it is no regular expression"),
        ("colour=red", "colour is none of name, id, type, cidr"),
    ] {
        let refused = list(&["networks", "--filter", filter]);
        assert!(refused.fails(2).contains(expected), "{refused:?}");
    }
}

#[test]
fn a_project_has_templates_and_networks_of_its_own_and_all_pages_are_read() {
    let lab = Lab::with(
        |_| (),
        |cloud| {
            cloud.projects.push(ProjectConfig {
                name: "team".to_owned(),
                members: vec!["demo".to_owned()],
            });
            let many = (0..1_200).map(|i| DiskOfferingConfig {
                name: format!("disk-{i}"),
                size_gib: Some(1),
            });
            cloud.disk_offerings.extend(many);
        },
    );
    let project = ["--btcloud-project", "team"];
    let networks = lab.cli(&[&["networks", "-q"], &LONDON[..], &project].concat());
    assert_eq!(lines(&networks), ["shared-lan"]);
    let disks = lab.cli(&[&["candidates", "disk-offering", "-q"], &LONDON[..]].concat());
    assert_eq!(lines(&disks).len(), 1_202);
}

#[test]
fn what_goes_wrong_is_told_with_a_remedy() {
    let lab = Lab::new();
    let fails = |outcome: Outcome, code, expected: &str, hint: &str| {
        let error = outcome.fails(code);
        assert!(error.contains(expected), "{outcome:?}");
        assert!(error.contains(&format!("hint: {hint}")), "{outcome:?}");
    };
    let mut keyless = lab.command(program("btcloud-host"));
    keyless.arg("zones").env_remove("BTCLOUD_API_KEY");
    fails(
        lab.finish(&mut keyless),
        2,
        "Please specify an API key",
        "the environment variable BTCLOUD_API_KEY",
    );
    fails(
        lab.cli(&["templates"]),
        2,
        "What there is depends on the zone, and none is named\n  uk-basic-1 (",
        "Name one with --btcloud-zone",
    );
    fails(
        lab.cli(&["templates", "--btcloud-zone", "mars"]),
        2,
        "No zone is called \"mars\"",
        "Give the name or id of one of these",
    );
    fails(
        lab.cli(&["zones", "--btcloud-secret-key", "wrong-wrong-wrong"]),
        1,
        "401",
        "Check --btcloud-api-key",
    );
    fails(
        lab.cli(&["candidates", "tag"]),
        2,
        "does not list what --tag can name",
        "`btcloud-host candidates` lists",
    );
    fails(
        lab.cli(&["candidates", "colour"]),
        2,
        "the driver btcloud has no option colour",
        "`btcloud-host candidates` lists",
    );
    lab.cloud
        .fault("listZones", 1, Fault::Delay(Duration::from_secs(3)));
    fails(
        lab.cli(&["zones", "--timeout", "1"]),
        1,
        "no answer within 1 s",
        "--timeout gives it longer",
    );
}

/// One of the contract's first version, and one of today's without an inventory.
#[test]
fn a_driver_without_an_inventory_says_so_and_works_all_the_same() {
    let lab = Lab::new();
    for driver in [PROBE, HETZNER] {
        for command in ["zones", "candidates"] {
            let outcome = lab.cli(&[command, "--driver", driver]);
            assert_eq!(
                outcome.fails(1),
                "btcloud-host: this driver can list neither what its options can name nor the account's limits\n  \
                 hint: look at the cloud's own console; a newer version of the driver may list it",
            );
        }
    }
    let help = lab.cli(&["run", "create", "--help", "--driver", PROBE]);
    assert!(help.ok().contains("--probe-mode"), "{help:?}");
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

#[test]
fn names_are_completed_as_each_shell_wants_them() {
    let lab = Lab::new();
    let create = ["btcloud-host", "run", "create", "m1"];
    let template = |shell: &str, typed: &str| {
        let words = [&create[..], &LONDON, &["--btcloud-template", typed]].concat();
        lab.complete(shell, &words).ok().to_owned()
    };
    assert_eq!(
        template("bash", "Ub"),
        "Ubuntu\\ 22.04\\ LTS\nUbuntu\\ 24.04\\ LTS"
    );
    assert_eq!(template("bash", "Ubuntu\\ 24"), "Ubuntu\\ 24.04\\ LTS");
    assert_eq!(template("bash", "\"Ubuntu 24"), "Ubuntu 24.04 LTS");
    assert_eq!(template("bash", "'De"), "Debian 12");
    assert_eq!(template("bash", "x"), "");
    assert!(template("fish", "Deb").starts_with("Debian 12"));
    assert!(template("zsh", "Deb").starts_with("Debian 12"));
    assert!(template("powershell", "Deb").starts_with("'Debian 12'"));
    // The zone by `=`, which bash makes a word of its own, and by the environment.
    let zone = ["--btcloud-zone", "=", "uk-basic-1"];
    let words = [&create[..], &zone, &["--btcloud-template", "Ro"]].concat();
    assert_eq!(lab.complete("bash", &words).ok(), "Rocky\\ Linux\\ 9");
    let words = ["btcloud-host", "networks", "--btcloud-zone", "uk-l"];
    assert_eq!(lab.complete("bash", &words).ok(), "uk-london-1");
    let words = [&create[..], &LONDON, &["--btcloud-network", "d"]].concat();
    assert_eq!(lab.complete("bash", &words).ok(), "default");
    let words = [&create[..], &["--btcloud-service-offering", "S"]].concat();
    // There are two zones, and none is named.
    assert_eq!(lab.complete("bash", &words).ok(), "");
    // Without an inventory there is nothing to be completed.
    let words = [&create[..], &["--driver", PROBE, "--probe-mode", ""]].concat();
    assert_eq!(lab.complete("bash", &words).ok(), "");
}

#[test]
fn where_nobody_can_be_asked_nothing_is_completed_or_shown() {
    let lab = Lab::new();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/client/api", silent.local_addr().unwrap());
    let zone = ["btcloud-host", "run", "create", "--btcloud-zone", ""];
    for (flags, variables) in [
        (&["--btcloud-endpoint", &url][..], None),
        (&["--btcloud-endpoint", "http://127.0.0.1:1/"], None),
        (&["--btcloud-endpoint", "nonsense"], None),
        (&["--driver", "nobody"], None),
        (&["--profile", "nobody"], None),
        (&[], Some("BTCLOUD_API_KEY")),
    ] {
        let words = [&zone[..3], flags, &zone[3..]].concat();
        let mut host = lab.command(program("btcloud-host"));
        host.env("BTCLOUD_COMPLETE", "bash")
            .env("_CLAP_COMPLETE_INDEX", (words.len() - 1).to_string())
            .env("_CLAP_IFS", "\n")
            .arg("--")
            .args(&words);
        if let Some(variable) = variables {
            host.env_remove(variable);
        }
        let began = Instant::now();
        let outcome = lab.finish(&mut host);
        assert!(
            began.elapsed() < Duration::from_secs(5),
            "{flags:?} {:?}",
            began.elapsed()
        );
        assert_eq!(
            (outcome.ok(), outcome.stderr.as_str()),
            ("", ""),
            "{flags:?}"
        );
    }
}

/// A shell at a terminal, in which somebody types.
struct Typist {
    shell: std::process::Child,
    shown: mpsc::Receiver<u8>,
    text: String,
}

const PROMPT: &str = "READY>";

impl Typist {
    fn start(lab: &Lab) -> Self {
        let mut shell = Command::new("script");
        let bash = "stty cols 500; bash --norc --noprofile -i";
        let environment = lab.command("bash");
        shell.env_clear();
        for (name, value) in environment.get_envs() {
            if let Some(value) = value {
                shell.env(name, value);
            }
        }
        shell
            .args(["-qec", bash, "/dev/null"])
            .env("PS1", PROMPT)
            .env("TERM", "dumb")
            .env("INPUTRC", "/dev/null")
            .current_dir(lab.home())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut shell = shell.spawn().unwrap();
        let mut output = shell.stdout.take().unwrap();
        let (sender, shown) = mpsc::channel();
        thread::spawn(move || {
            let mut byte = [0];
            while matches!(output.read(&mut byte), Ok(1)) && sender.send(byte[0]).is_ok() {}
        });
        let mut typist = Self {
            shell,
            shown,
            text: String::new(),
        };
        typist.until(PROMPT);
        typist
    }

    /// What is shown until there is this text.
    fn until(&mut self, text: &str) -> String {
        let deadline = Instant::now() + Duration::from_secs(20);
        let mut shown = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.shown.recv_timeout(left) {
                Ok(byte) => shown.push(byte),
                Err(_) => panic!(
                    "{}{} without {text}",
                    self.text,
                    String::from_utf8_lossy(&shown)
                ),
            }
            if shown.ends_with(text.as_bytes()) {
                let shown = String::from_utf8_lossy(&shown).into_owned();
                self.text.push_str(&shown);
                return shown;
            }
        }
    }

    fn types(&mut self, keys: &str) {
        let input = self.shell.stdin.as_mut().unwrap();
        input.write_all(keys.as_bytes()).unwrap();
        input.flush().unwrap();
    }

    /// Types a line, at each tab of which the shell shows the text that comes with it, and returns what the line does.
    fn line(&mut self, parts: &[(&str, &str)], end: &str) -> String {
        for (keys, shown) in parts {
            self.types(keys);
            self.until(shown);
        }
        self.types(end);
        self.types("\n");
        self.until(PROMPT)
    }
}

impl Drop for Typist {
    fn drop(&mut self) {
        self.types("exit\n");
        drop(self.shell.wait());
    }
}

/// Where a package puts it, `compinit` has the script run as the function that completes.
#[test]
fn zsh_completes_names_from_the_first_time_on() {
    let zsh =
        std::env::var_os("TEST_ZSH").expect("TEST_ZSH names no zsh; `cargo xtask test` finds one");
    let lab = Lab::new();
    let script = lab.cli(&["completions", "zsh"]);
    fs::write(lab.home().join("_btcloud-host"), script.ok()).unwrap();
    let words = "btcloud-host run create m1 --btcloud-zone uk-l";
    let first_time = format!(
        "fpath=(~ $fpath); autoload -Uz _btcloud-host; compdef() {{ }}; _describe() {{ print -r -- ${{(P)3}} }}
         words=({words}); CURRENT=$#words; _btcloud-host"
    );
    let mut zsh = lab.command(zsh);
    let path = std::env::var("PATH").unwrap();
    let programs = program("btcloud-host");
    let programs = programs.parent().unwrap().display();
    zsh.args(["-f", "-c", &first_time])
        .env("PATH", format!("{programs}:{path}"));
    let answer = lab.finish(&mut zsh);
    assert!(answer.ok().starts_with("uk-london-1"), "{answer:?}");
}

#[test]
fn bash_completes_names_while_somebody_types() {
    let lab = Lab::new();
    let mut typist = Typist::start(&lab);
    typist.line(&[], "source <(btcloud-host completions bash)");
    let shown = typist.line(
        &[
            (
                "btcloud-host config show --json --btcloud-zone uk-l\t",
                "uk-london-1 ",
            ),
            ("--btcloud-template Deb\t", "Debian\\ 12 "),
            ("--btcloud-service-offering Sm\t", "Small "),
            ("--btcloud-disk-offering 'Data 2\t", "'Data 20 GB' "),
            ("--btcloud-network \"def\t", "\"default\" "),
        ],
        "> shown.json; echo",
    );
    assert!(!shown.contains("error"), "{shown}");
    let json = fs::read(lab.home().join("shown.json")).unwrap();
    let shown: Value = serde_json::from_slice(&json).unwrap();
    let options = shown["options"].as_array().unwrap();
    for (name, value) in [
        ("btcloud-zone", Value::from("uk-london-1")),
        ("btcloud-template", Value::from("Debian 12")),
        ("btcloud-service-offering", Value::from("Small")),
        ("btcloud-disk-offering", Value::from("Data 20 GB")),
        ("btcloud-network", Value::from(["default"].as_slice())),
    ] {
        let option = options.iter().find(|option| option["name"] == name);
        assert_eq!(option.unwrap()["value"], value, "{name}");
    }
}
