//! What the other options come to in the cloud, and what is said of wrong ones.

use std::time::Duration;

use acceptance::virtual_lab::{LONDON, with_project};
use cloudstack_simulator::AffinityGroupConfig;

use crate::fixtures::{create, lab, lab_with};
use crate::vpcs::vpc;

#[test]
fn the_other_options_reach_the_cloud() {
    let lab = lab();
    let before = lab.cloud.inventory();
    let options = [
        ("display-name", "Build server"),
        ("group", "ci"),
        ("tag", "team=ci,cost=42"),
        ("userdata", "#cloud-config\n"),
        ("root-disk-size", "20"),
        ("disk-offering", "Data custom"),
        ("disk-size", "5"),
    ];
    create(&lab, "m1", &LONDON, &options).unwrap();
    let requests = lab.cloud.requests();
    let deploy = requests
        .iter()
        .find(|request| request.command == "deployVirtualMachine")
        .unwrap();
    for (parameter, value) in [
        ("displayname", "Build server"),
        ("group", "ci"),
        ("userdata", "I2Nsb3VkLWNvbmZpZwo="),
        ("rootdisksize", "20"),
        ("size", "5"),
    ] {
        assert_eq!(deploy.parameter(parameter), Some(value));
    }
    let inventory = lab.cloud.inventory();
    for tag in [
        "team=ci",
        "cost=42",
        "docker-machine-name=m1",
        "docker-machine-id=",
    ] {
        assert!(
            inventory.tags.iter().any(|row| row.contains(tag)),
            "{inventory}"
        );
    }
    assert_eq!(inventory.volumes.len(), 2, "{inventory}");
    lab.remove("m1");
    assert_eq!(lab.cloud.inventory(), before);

    let size = [
        ("service-offering", "Custom"),
        ("cpu", "2"),
        ("cpu-speed", "2000"),
        ("memory", "2048"),
    ];
    create(&lab, "m2", &LONDON[..2], &size).unwrap();
    lab.remove("m2");
    let disk = [("disk-offering", "Data 20 GB"), ("keep-volumes", "true")];
    create(&lab, "m3", &LONDON, &disk).unwrap();
    lab.remove("m3");
    assert_eq!(
        lab.cloud.inventory().volumes.len(),
        1,
        "the data disk is kept"
    );
}

#[test]
fn user_data_up_to_the_clouds_limit_is_taken() {
    let lab = lab();
    let most = "x".repeat(24_576);
    create(&lab, "m1", &LONDON, &[("userdata", &most)]).unwrap();
    let more = format!("{most}x");
    let error = create(&lab, "m2", &LONDON, &[("userdata", &more)]).unwrap_err();
    assert!(
        error.to_string().starts_with("--btcloud-userdata: "),
        "{error}"
    );
    assert!(!lab.has_stored("m2"));
}

#[test]
fn expunge_is_asked_for_only_where_it_is_allowed_unless_the_user_says() {
    let lab = lab();
    lab.cloud.set_behaviour(|behaviour| {
        behaviour.allow_user_expunge = false;
        behaviour.expunge_delay = Duration::from_secs(24 * 3_600);
    });
    let destroyed = |expunge: &str, name: &str| {
        create(&lab, name, &LONDON, &[("expunge", expunge)]).unwrap();
        lab.cloud.clear_requests();
        lab.remove(name);
        let requests = lab.cloud.requests();
        let destroys = requests
            .iter()
            .filter(|request| request.command == "destroyVirtualMachine");
        destroys
            .map(|request| request.parameter("expunge").map(str::to_owned))
            .collect::<Vec<_>>()
    };
    assert_eq!(destroyed("auto", "m1"), [None]);
    // Refused, and so destroyed without it.
    assert_eq!(destroyed("yes", "m2"), [Some("true".to_owned()), None]);
    lab.cloud
        .set_behaviour(|behaviour| behaviour.allow_user_expunge = true);
    assert_eq!(destroyed("no", "m3"), [None]);
    assert_eq!(destroyed("auto", "m4"), [Some("true".to_owned())]);
}

#[test]
fn affinity_groups_and_further_key_pairs_reach_the_cloud() {
    let lab = lab_with(|cloud| {
        let group = |name: &str| AffinityGroupConfig {
            name: name.to_owned(),
            owner: "demo".to_owned(),
        };
        cloud.affinity_groups = vec![group("apart"), group("far-apart")];
    });
    create(&lab, "m1", &LONDON, &[("affinity-group", "Far-Apart")]).unwrap();
    let inventory = lab.cloud.inventory();
    assert_eq!(inventory.machines[0].affinity_groups, ["far-apart"]);
    // m1's key pair serves as one that the user has.
    let further = inventory.key_pairs[0].clone();
    let options = [("affinity-group", "apart,far-apart"), ("keypair", &further)];
    create(&lab, "m2", &LONDON, &options).unwrap();
    let inventory = lab.cloud.inventory();
    let machine = &inventory.machines[1];
    assert_eq!(machine.affinity_groups, ["apart", "far-apart"]);
    assert_eq!(
        machine.key_pairs,
        [inventory.key_pairs[1].as_str(), &further]
    );
    lab.remove("m2");
    assert_eq!(lab.cloud.inventory().key_pairs, [further.as_str()]);

    // Older versions would make a machine that lets nobody in.
    let before = lab.cloud.inventory();
    lab.cloud
        .set_behaviour(|behaviour| behaviour.version = "4.16.1.0".to_owned());
    let error = create(&lab, "m3", &LONDON, &options).unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("several key pairs need CloudStack 4.17, and this is 4.16.1.0"),
        "{error}"
    );
    assert!(!lab.has_stored("m3"));
    create(&lab, "m3", &LONDON, &[]).unwrap();
    lab.remove("m3");
    assert_eq!(lab.cloud.inventory(), before);
}

#[test]
fn unknown_names_are_answered_with_what_there_is() {
    let lab = lab_with(|cloud| {
        with_project(cloud);
        cloud.vpcs.push(vpc("demo"));
        cloud.affinity_groups.push(AffinityGroupConfig {
            name: "apart".to_owned(),
            owner: "demo".to_owned(),
        });
    });
    for (option, value, text, candidate) in [
        (
            "project",
            "prod",
            "No project is called \"prod\"",
            "\n  ci (",
        ),
        (
            "affinity-group",
            "near,",
            "No affinity group is called \"near\"",
            "\n  apart (",
        ),
        (
            "network",
            "ci-net,",
            "No network is called \"ci-net\"",
            "\n  web (",
        ),
    ] {
        let error = create(&lab, "m1", &LONDON, &[(option, value)]).unwrap_err();
        let error = error.to_string();
        assert!(
            error.starts_with(text) && error.contains(candidate),
            "{error}"
        );
        assert!(!lab.has_stored("m1"));
    }
    let error = create(&lab, "m1", &LONDON, &[("keypair", "mine")]).unwrap_err();
    assert_eq!(error.to_string(), "No SSH key pair is called \"mine\"");
    assert!(
        lab.cloud.inventory().is_empty(),
        "{}",
        lab.cloud.inventory()
    );
}
