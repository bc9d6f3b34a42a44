//! What the command line shows, word for word: in `snapshots`, beside this file. `UPDATE_SNAPSHOTS=1` writes them anew.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use acceptance::{Lab, OPTIONS, Outcome, program};
use serde_json::json;

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots")
}

/// What is shown, apart from the help.
const NAMES: [&str; 11] = [
    "candidates",
    "candidates-terminal",
    "changes",
    "config-show",
    "create",
    "doctor",
    "env",
    "ls",
    "ls-json",
    "ls-terminal",
    "ls-terminal-no-color",
];

/// The commands whose help is shown.
const WITH_HELP: [&str; 16] = [
    "",
    "run",
    "run create",
    "ls",
    "start",
    "rm",
    "env",
    "context",
    "zones",
    "candidates",
    "gc",
    "config show",
    "doctor",
    "completions",
    "man",
    "driver install",
];

/// The name of what the help of a command shows.
fn help_of(command: &str) -> String {
    format!("help {command}").trim_end().replace(' ', "-")
}

/// The names of all that is shown.
fn names() -> BTreeSet<String> {
    let help = WITH_HELP.map(help_of);
    help.into_iter().chain(NAMES.map(str::to_owned)).collect()
}

#[test]
fn each_snapshot_is_of_something_that_is_shown() {
    let files = fs::read_dir(directory())
        .unwrap()
        .map(|file| file.unwrap().path());
    let files: BTreeSet<_> = files
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    assert_eq!(files, names());
}

/// Compares what was shown with what was shown before.
#[track_caller]
fn matches(name: &str, shown: &str) {
    assert!(names().contains(name), "{name} is not in the list of names");
    let path = directory().join(format!("{name}.txt"));
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        fs::create_dir_all(directory()).unwrap();
        fs::write(path, shown).unwrap();
        return;
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        expected, shown,
        "{name}: UPDATE_SNAPSHOTS=1 cargo test --workspace --test snapshots"
    );
}

/// Without what differs from one home and cloud to the next. Escapes can be seen.
fn settled(lab: &Lab, text: &str) -> String {
    let bin = program("btcloud-host");
    let bin = bin.parent().unwrap();
    without_ids(text)
        .replace(lab.cloud.url(), "http://cloud.example/client/api")
        .replace(&lab.home().display().to_string(), "/home/me")
        .replace(&bin.display().to_string(), "/usr/local/bin")
        .replace('\u{1b}', "\\e")
        .replace('\r', "")
}

/// With `ID` in the place of each random id, which are 36 characters.
fn without_ids(text: &str) -> String {
    let is_part = |c: char| c.is_ascii_hexdigit() || c == '-';
    let mut rest = text;
    let mut settled = String::new();
    while let Some(begin) = rest.find(is_part) {
        let (before, word) = rest.split_at(begin);
        let end = word.find(|c| !is_part(c)).unwrap_or(word.len());
        let (word, after) = word.split_at(end);
        settled.push_str(before);
        let is_id = word.len() == 36 && word.matches('-').count() == 4;
        settled.push_str(if is_id { "ID" } else { word });
        rest = after;
    }
    settled + rest
}

/// What a command line shows, with the exit code where it is not 0.
fn transcript(lab: &Lab, line: &str, outcome: &Outcome) -> String {
    let mut text = format!("$ {line}\n{}{}", outcome.stdout, outcome.stderr);
    if outcome.code != 0 {
        text.push_str(&format!("[exit code {}]\n", outcome.code));
    }
    settled(lab, &text)
}

fn shell(lab: &Lab, line: &str) -> Command {
    let mut shell = lab.command("bash");
    shell
        .args(["-c", line])
        .env("COLUMNS", "80")
        .env("XDG_CACHE_HOME", acceptance::cache_directory());
    shell
}

fn shows(lab: &Lab, line: &str) -> String {
    transcript(lab, line, &lab.finish(&mut shell(lab, line)))
}

/// What it shows in a terminal of 80 columns.
fn shows_in_terminal(lab: &Lab, line: &str, variables: &[(&str, &str)]) -> String {
    let in_terminal = format!("script -qec \"stty cols 80 rows 24; {line}\" /dev/null");
    let mut shell = shell(lab, &in_terminal);
    shell.env("TERM", "xterm-256color").env_remove("COLUMNS");
    shell.envs(variables.iter().copied());
    transcript(lab, line, &lab.finish(&mut shell))
}

/// A home with machines in many states.
fn home() -> Lab {
    let lab = Lab::new();
    for name in ["web-1", "web-2", "db-1"] {
        lab.create(name, &["--btcloud-zone", "uk-basic-1"]);
    }
    lab.run(&["stop", "db-1"]).ok();
    let old = lab.machine_directory("old");
    fs::create_dir(&old).unwrap();
    let config = json!({"ConfigVersion": 3, "DriverName": "virtualbox", "Name": "old",
        "Driver": {"MachineName": "old", "IPAddress": "192.168.99.100"}});
    lab.put_config("old", &config);
    let private = fs::Permissions::from_mode(0o600);
    fs::set_permissions(old.join("config.json"), private).unwrap();
    lab
}

#[test]
fn help_fits_into_eighty_columns() {
    let lab = Lab::new();
    for command in WITH_HELP {
        let shown = shows(
            &lab,
            &format!("btcloud-host {command} --help").replace("  ", " "),
        );
        // The examples stand as they are typed.
        let before = shown.split("Examples:").next().unwrap();
        for line in before.lines() {
            assert!(line.chars().count() <= 80, "{command}: {line}");
        }
        matches(&help_of(command), &shown);
    }
}

#[test]
fn lists_are_the_same_for_programs_and_fit_the_window_of_a_person() {
    let lab = home();
    matches("ls", &shows(&lab, "btcloud-host ls"));
    matches(
        "ls-json",
        &shows(&lab, "btcloud-host ls --format json --filter name=-1"),
    );
    matches(
        "ls-terminal",
        &shows_in_terminal(&lab, "btcloud-host ls", &[]),
    );
    let plain = shows_in_terminal(&lab, "btcloud-host ls", &[("NO_COLOR", "1")]);
    assert!(!plain.contains("\\e"), "{plain}");
    // A hint may go on in the next line of the window.
    for line in plain.lines().filter(|line| !line.contains("hint:")) {
        assert!(line.chars().count() <= 80, "{line}");
    }
    matches("ls-terminal-no-color", &plain);
}

#[test]
fn what_can_be_named_is_told_in_tables() {
    let lab = Lab::new();
    let lines = [
        "btcloud-host zones",
        "btcloud-host templates --btcloud-zone uk-london-1",
        "btcloud-host offerings --btcloud-zone uk-london-1",
        "btcloud-host networks --btcloud-zone uk-london-1",
        "btcloud-host networks --btcloud-zone uk-london-1 -q",
        "btcloud-host networks --btcloud-zone uk-london-1 --format json --filter name=shared",
        "btcloud-host candidates disk-offering --btcloud-zone uk-london-1",
        "btcloud-host candidates",
        "btcloud-host templates",
        "btcloud-host zones --filter colour=red",
        "btcloud-host candidates colour",
    ];
    let shown: Vec<_> = lines.iter().map(|line| shows(&lab, line)).collect();
    matches("candidates", &shown.join("\n"));
    let line = "btcloud-host networks --btcloud-zone uk-london-1";
    let plain = shows_in_terminal(&lab, line, &[("NO_COLOR", "1")]);
    for line in plain.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
    matches("candidates-terminal", &plain);
}

#[test]
fn what_is_changed_is_told_in_a_line_for_each() {
    let lab = home();
    let lines = [
        "btcloud-host start db-1",
        "btcloud-host stop --parallel 1 web-1 nobody db-1",
        "btcloud-host status web-1",
        "btcloud-host url web-1",
        "btcloud-host ip web-2 --json",
        "btcloud-host start old",
        "btcloud-host rm web-1",
        "btcloud-host rm -y --parallel 1 web-1 db-1",
        "btcloud-host create web-1",
    ];
    let shown: Vec<_> = lines.iter().map(|line| shows(&lab, line)).collect();
    matches("changes", &shown.join("\n"));
}

#[test]
fn a_creation_is_told_step_by_step() {
    let lab = Lab::new();
    let options = OPTIONS
        .iter()
        .map(|option| match option.contains(' ') {
            true => format!("'{option}'"),
            false => (*option).to_owned(),
        })
        .collect::<Vec<_>>()
        .join(" ");
    let one = shows(&lab, &format!("btcloud-host run create web-1 {options}"));
    let two = shows(
        &lab,
        &format!(
            "btcloud-host run create b --count 2 --parallel 1 {options} --btcloud-zone uk-basic-1"
        ),
    );
    matches("create", &format!("{one}\n{two}"));
}

#[test]
fn findings_and_settings_are_told_in_columns() {
    let lab = home();
    let doctor = format!(
        "btcloud-host doctor {}",
        "--btcloud-zone uk-leeds-1 --btcloud-template 'Debian 12' \
        --btcloud-service-offering Small"
    );
    matches("doctor", &shows(&lab, &doctor));
    let show = "BTCLOUD_ENDPOINT=https://cloud.example/client/api btcloud-host config show";
    let show = format!("{show} --btcloud-zone uk-london-1");
    matches("config-show", &shows(&lab, &show));
    for file in ["ca.pem", "cert.pem", "key.pem"] {
        fs::write(lab.machine_directory("web-1").join(file), "").unwrap();
    }
    let lines = ["bash", "fish", "powershell", "cmd"]
        .map(|name| shows(&lab, &format!("btcloud-host env --shell {name} web-1")));
    let unset = shows(&lab, "btcloud-host env --unset");
    matches("env", &format!("{}\n{unset}", lines.join("\n")));
}
