//! Machines that somebody else has made: the other door, and the driver of 2016.

use std::fs;

use acceptance::client::Client;
use acceptance::tests_with_clients;

use super::{lab, made};

tests_with_clients!([
    both_doors_manage_the_same_machines,
    a_machine_of_the_driver_of_2016_is_taken_over,
    keys_are_in_their_file_only,
]);

fn both_doors_manage_the_same_machines(client: &Client) {
    let (lab, ip) = lab(client, 61);
    let before = lab.cloud.inventory();
    made(&lab, "m1");
    assert_eq!(client.run(&lab, &["status", "m1"]).ok(), "Running");
    assert_eq!(client.run(&lab, &["ip", "m1"]).ok(), ip.to_string());
    client.run(&lab, &["stop", "m1"]).ok();
    assert_eq!(lab.run(&["status", "m1"]).ok(), "Stopped");
    lab.run(&["start", "m1"]).ok();
    client.run(&lab, &["rm", "-y", "m1"]).ok();
    assert_eq!(lab.run(&["status", "m1"]).code, 4);
    assert_eq!(lab.cloud.inventory(), before);
}

/// The members that the driver of 2016 saved, and no others but the client's own.
fn a_machine_of_the_driver_of_2016_is_taken_over(client: &Client) {
    let (lab, ip) = lab(client, 62);
    let before = lab.cloud.inventory();
    made(&lab, "m1");
    let path = lab.machine_directory("m1").join("config.json");
    let mut config = lab.config("m1");
    let new = config["Driver"].clone();
    config["Driver"] = serde_json::json!({
        "IPAddress": ip.to_string(), "MachineName": "m1", "SSHUser": "root", "SSHPort": 22,
        "SSHKeyPath": new["SSHKeyPath"], "StorePath": new["StorePath"],
        "SwarmMaster": false, "SwarmHost": "tcp://0.0.0.0:3376", "SwarmDiscovery": "",
        "VmId": new["VmId"], "Endpoint": lab.cloud.url(), "APIKey": lab.cloud.api_key(),
        "SecretKey": lab.cloud.secret_key(), "VerifySSL": false, "Zone": "z", "Template": "t",
        "ServiceOffering": "s", "SSHKeypair": new["SSHKeypair"], "Unknown": {"to": ["us"]},
    });
    lab.put_config("m1", &config);
    fs::remove_file(lab.machine_directory("m1").join("secrets.json")).unwrap();

    let run = |arguments: &[&str]| {
        let mut command = client.command(&lab, arguments);
        acceptance::without_account(&mut command);
        lab.finish(&mut command)
    };
    assert_eq!(run(&["status", "m1"]).ok(), "Running");
    assert_eq!(run(&["ip", "m1"]).ok(), ip.to_string());
    assert_eq!(run(&["url", "m1"]).ok(), format!("tcp://{ip}:2376"));
    assert_eq!(
        run(&["ls", "--format", "{{.Name}} {{.State}}"]).ok(),
        "m1 Running"
    );
    run(&["stop", "m1"]).ok();
    assert_eq!(run(&["status", "m1"]).ok(), "Stopped");
    // The client saves a machine that it has stopped: without the keys, which lie beside it now.
    let text = fs::read_to_string(&path).unwrap();
    for key in [lab.cloud.api_key(), lab.cloud.secret_key()] {
        assert!(!text.contains(key), "{text}");
    }
    assert_eq!(lab.config("m1")["Driver"]["Unknown"]["to"][0], "us");
    assert_eq!(lab.config("m1")["Driver"]["VmId"], new["VmId"]);
    run(&["start", "m1"]).ok();
    assert_eq!(run(&["status", "m1"]).ok(), "Running");
    run(&["rm", "-y", "m1"]).ok();
    assert!(!lab.machine_directory("m1").exists());
    assert_eq!(lab.cloud.inventory(), before);
}

fn keys_are_in_their_file_only(client: &Client) {
    let (lab, _) = lab(client, 63);
    made(&lab, "m1");
    for command in ["stop", "start", "restart", "ip"] {
        client.run(&lab, &[command, "m1"]).ok();
    }
    let holds_key = |path: &std::path::Path| {
        fs::read_to_string(path)
            .unwrap()
            .contains(lab.cloud.secret_key())
    };
    let files: Vec<_> = fs::read_dir(lab.machine_directory("m1"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| holds_key(path))
        .collect();
    assert_eq!(files, [lab.machine_directory("m1").join("secrets.json")]);
    client.run(&lab, &["rm", "-y", "m1"]).ok();
}
