//! `btcloud-host zones`, `templates`, `offerings`, `networks` and `candidates`: what can be named in options is listed.

use std::time::Duration;

use acceptance::{HETZNER, Lab, Outcome, PROBE, program};
use cloudstack_simulator::{DiskOfferingConfig, Fault, ProjectConfig};
use serde_json::Value;

use crate::LONDON;

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
