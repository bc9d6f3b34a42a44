//! Profiles: where options come from that no flag gives, and what goes before what.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use acceptance::client::Client;
use acceptance::{HETZNER, Lab, OPTIONS, program};
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
