//! `btcloud-host run`: the operations of a machine, from its creation to its removal.

use acceptance::{Lab, Outcome};
use cloudstack_simulator::AccountConfig;

use crate::create;

#[test]
fn the_whole_life_of_a_machine() {
    let lab = Lab::new();
    let before = lab.cloud.inventory();
    let created = create(&lab, "m1", &[]);
    let ip = lab.run(&["ip", "m1"]).ok().to_owned();
    assert!(
        created.ok().starts_with(&format!("m1 runs at {ip}\n")),
        "{created:?}"
    );
    assert!(
        created.stdout.contains(&format!("root@{ip}")),
        "{created:?}"
    );
    let steps: Vec<_> = created
        .stderr
        .lines()
        .map(|line| line.split(' ').next().unwrap())
        .collect();
    assert_eq!(
        steps,
        ["[1/5]", "[2/5]", "[3/5]", "[4/5]", "[5/5]"],
        "{created:?}"
    );

    let url = format!("tcp://{ip}:2376");
    assert_eq!(lab.run(&["status", "m1"]).ok(), "Running");
    assert_eq!(lab.run(&["url", "m1"]).ok(), url);
    for (operation, state) in [
        ("stop", "Stopped"),
        ("stop", "Stopped"),
        ("start", "Running"),
        ("start", "Running"),
        ("restart", "Running"),
        ("kill", "Stopped"),
        ("start", "Running"),
    ] {
        let outcome = lab.run(&[operation, "m1"]);
        assert_eq!(outcome.ok(), "", "{operation}");
        assert_eq!(lab.run(&["status", "m1"]).ok(), state, "after {operation}");
    }
    assert_eq!(lab.run(&["remove", "m1"]).ok(), "");
    assert_eq!(lab.cloud.inventory(), before);
    assert!(!lab.machine_directory("m1").exists());
    lab.run(&["status", "m1"]).fails(4);
}

#[test]
fn answers_come_as_json_too() {
    let lab = Lab::new();
    let json = |outcome: Outcome| serde_json::from_str::<serde_json::Value>(outcome.ok()).unwrap();
    let created = json(create(&lab, "m1", &["--json"]));
    assert_eq!(created["name"], "m1");
    assert_eq!(created["ssh"]["user"], "root");
    assert_eq!(
        json(lab.run(&["status", "m1", "--json"]))["state"],
        "Running"
    );
    assert_eq!(json(lab.run(&["ip", "m1", "--json"]))["ip"], created["ip"]);
    assert_eq!(
        json(lab.run(&["url", "m1", "--json"]))["url"],
        created["url"]
    );
    let inspected = json(lab.run(&["inspect", "m1"]));
    assert_eq!(inspected, lab.config("m1"));
    assert_eq!(inspected["Driver"]["IPAddress"], created["ip"]);
    assert_eq!(inspected["Driver"]["Zone"], "uk-london-1");
    assert_eq!(inspected["DriverName"], "btcloud");
}

#[test]
fn a_machine_that_is_gone_is_removed_all_the_same() {
    let lab = Lab::new();
    let before = lab.cloud.inventory();
    create(&lab, "m1", &[]).ok();
    lab.destroy_behind_our_back("m1");
    let outcome = lab.run(&["status", "m1"]);
    assert!(outcome.fails(4).contains("not found"), "{outcome:?}");
    lab.run(&["start", "m1"]).fails(4);
    lab.run(&["remove", "m1"]).ok();
    assert_eq!(lab.cloud.inventory(), before);
    lab.run(&["remove", "m1"]).fails(4);
}

#[test]
fn keys_of_another_account_do_not_make_a_machine_forgotten() {
    let lab = Lab::with(
        |_| (),
        |cloud| cloud.accounts.push(AccountConfig::new("other")),
    );
    let before = lab.cloud.inventory();
    create(&lab, "m1", &[]).ok();
    let other = lab.cloud.credentials("other").unwrap();
    let mut host = lab.host();
    host.args(["remove", "m1"])
        .env("BTCLOUD_API_KEY", &other.api_key)
        .env("BTCLOUD_SECRET_KEY", &other.secret_key);
    let outcome = lab.finish(&mut host);
    let error = outcome.fails(1);
    assert!(
        error.contains("The machine belongs to the account \"demo\""),
        "{error}"
    );
    assert_eq!(lab.run(&["status", "m1"]).ok(), "Running");
    lab.run(&["remove", "m1"]).ok();
    assert_eq!(lab.cloud.inventory(), before);
}
