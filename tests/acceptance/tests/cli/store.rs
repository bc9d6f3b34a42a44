//! The store: where its secrets are, and what is told of one that is in a bad way.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use acceptance::{Lab, Outcome};

use crate::create;

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
fn a_store_of_another_version_or_with_links_is_told_of_with_a_remedy() {
    let lab = Lab::new();
    lab.create("m1", &[]);
    let mut config = lab.config("m1");
    config["ConfigVersion"] = 4.into();
    lab.put_config("m1", &config);
    let newer = lab.cli(&["stop", "m1"]);
    assert!(
        newer.fails(1).contains("version 4 of the format")
            && newer.stderr.contains("hint: a newer docker-machine"),
        "{newer:?}"
    );
    assert_eq!(lab.config("m1"), config);
    config["ConfigVersion"] = 3.into();
    lab.put_config("m1", &config);
    let elsewhere = lab.home().join("elsewhere");
    fs::rename(lab.machine_directory("m1"), &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, lab.machine_directory("m1")).unwrap();
    for command in [["stop", "m1"].as_slice(), &["rm", "-y", "m1"]] {
        let refused = lab.cli(command);
        let error = refused.fails(1);
        assert!(
            error.contains("m1 is a symbolic link") && error.contains("hint: put"),
            "{error}"
        );
    }
    assert!(lab.cli(&["ls"]).ok().contains("is a symbolic link"));
    assert!(lab.has_machine("m1"));
}

/// Runs a script as the root of a mount namespace of its own. `cargo xtask test` skips the tests with one where none can be had.
fn in_namespace(lab: &Lab, script: &str) -> Outcome {
    let mut command = lab.command("unshare");
    command.args(["--map-root-user", "--mount", "sh", "-ec", script]);
    lab.finish(&mut command)
}

#[test]
fn a_full_disk_in_a_mount_namespace_is_told_of_before_anything_is_made() {
    let lab = Lab::new();
    let before = lab.cloud.inventory();
    fs::create_dir_all(lab.store()).unwrap();
    let script = format!(
        "mount -t tmpfs -o size=16k none {store}
         head -c 16384 /dev/zero > {store}/zero || true
         btcloud-host run create m1 --btcloud-zone uk-london-1 --btcloud-template 'Ubuntu 24.04 LTS' \
             --btcloud-service-offering Small",
        store = lab.store().display()
    );
    let outcome = in_namespace(&lab, &script);
    let error = outcome.fails(1);
    assert!(
        error.contains("No space left") && error.contains("hint: free some room"),
        "{error}"
    );
    assert_eq!(lab.cloud.inventory(), before);
}

#[test]
fn a_read_only_disk_in_a_mount_namespace_is_told_of_before_anything_is_changed() {
    let lab = Lab::new();
    lab.create("m1", &[]);
    let inventory = lab.cloud.inventory();
    let script = |command: &str| {
        format!(
            "mount --bind {store} {store}
             mount -o remount,ro,bind {store}
             {command}",
            store = lab.store().display()
        )
    };
    for command in [
        "btcloud-host stop m1",
        "btcloud-host rm -y m1",
        "btcloud-host run create m2 --btcloud-zone uk-london-1 --btcloud-template 'Ubuntu 24.04 LTS' \
             --btcloud-service-offering Small",
        "btcloud-host doctor",
    ] {
        let outcome = in_namespace(&lab, &script(command));
        assert_eq!(outcome.code, 1, "{outcome:?}");
        let told = format!("{}{}", outcome.stdout, outcome.stderr);
        assert!(
            told.contains("Read-only file system")
                && told.contains("hint: its file system is mounted read-only"),
            "{command}: {told}"
        );
        assert_eq!(lab.cloud.inventory(), inventory, "{command}");
    }
    // What changes nothing works.
    let listed = in_namespace(&lab, &script("btcloud-host ls"));
    assert!(listed.ok().contains("Running"), "{listed:?}");
}
