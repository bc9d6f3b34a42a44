//! `btcloud-host completions`: shells complete commands, options, machines, and what can be named in options.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use acceptance::{Lab, PROBE, program};
use serde_json::Value;

use crate::LONDON;

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
