//! Genuine docker-machine clients, through the plugin.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use acceptance::client::Client;
use acceptance::engine::DockerEngine;
use acceptance::{Lab, OPTIONS, signal, tests_with_clients, wait_until};

tests_with_clients!([
    the_whole_life_of_a_machine,
    what_is_wrong_is_said_before_anything_is_made,
    a_failed_creation_leaves_nothing,
    an_interrupted_creation_leaves_nothing,
    both_doors_manage_the_same_machines,
    a_machine_of_the_driver_of_2016_is_taken_over,
]);

/// `create` with the usual options.
fn creation(name: &str) -> Vec<&str> {
    [
        &["create", "--driver", "btcloud"],
        OPTIONS.as_slice(),
        &[name],
    ]
    .concat()
}

/// Each test has addresses of its own, since the engine's port is the same for all.
fn lab(client: &Client, number: u8) -> (Lab, IpAddr) {
    let third = 110 + u8::from(format!("{client:?}").contains("rancher"));
    let ip = Ipv4Addr::new(127, 0, third, number);
    let lab = Lab::with(|_| (), |cloud| cloud.public_addresses[0].first = ip);
    (lab, IpAddr::V4(ip))
}

fn the_whole_life_of_a_machine(client: &Client) {
    let (lab, ip) = lab(client, 11);
    let before = lab.cloud.inventory();
    let engine = DockerEngine::start(ip, &lab.store(), "m1");

    let mut create = client.command(&lab, &creation("m1"));
    create.env("FAKE_GUEST", format!("root@{ip}:22"));
    let created = lab.finish(&mut create);
    assert!(
        created.ok().contains("Docker is up and running!"),
        "{created:?}"
    );
    assert!(
        created
            .stdout
            .contains("(m1) [3/5] Deploying the virtual machine"),
        "{created:?}"
    );

    let run = |arguments: &[&str]| client.run(&lab, arguments);
    let ls = || {
        run(&[
            "ls",
            "--format",
            "{{.Name}} {{.DriverName}} {{.State}} {{.URL}} {{.Error}}",
        ])
    };
    let url = format!("tcp://{ip}:2376");
    assert_eq!(ls().ok(), format!("m1 btcloud Running {url}"));
    assert_eq!(run(&["status", "m1"]).ok(), "Running");
    assert_eq!(run(&["ip", "m1"]).ok(), ip.to_string());
    assert_eq!(run(&["url", "m1"]).ok(), url);
    assert!(
        run(&["env", "--shell", "bash", "m1"])
            .ok()
            .contains(&format!("DOCKER_HOST=\"{url}\""))
    );
    let name = run(&[
        "inspect",
        "-f",
        "{{.Driver.MachineName}} {{.Driver.Zone}}",
        "m1",
    ]);
    assert_eq!(name.ok(), "m1 uk-london-1");

    run(&["stop", "m1"]).ok();
    assert_eq!(ls().ok(), "m1 btcloud Stopped");
    assert_eq!(run(&["status", "m1"]).ok(), "Stopped");
    assert!(run(&["url", "m1"]).fails(1).contains("Host is not running"));
    run(&["start", "m1"]).ok();
    assert_eq!(run(&["status", "m1"]).ok(), "Running");
    run(&["restart", "m1"]).ok();
    assert_eq!(run(&["status", "m1"]).ok(), "Running");
    run(&["kill", "m1"]).ok();
    assert_eq!(run(&["status", "m1"]).ok(), "Stopped");

    for entry in fs::read_dir(lab.machine_directory("m1")).unwrap() {
        let path = entry.unwrap().path();
        let holds_key = fs::read_to_string(&path)
            .unwrap()
            .contains(lab.cloud.secret_key());
        assert_eq!(
            holds_key,
            path.ends_with("secrets.json"),
            "{}",
            path.display()
        );
    }

    run(&["rm", "-y", "m1"]).ok();
    assert!(!lab.machine_directory("m1").exists());
    assert_eq!(lab.cloud.inventory(), before);
    drop(engine);
}

fn what_is_wrong_is_said_before_anything_is_made(client: &Client) {
    let (lab, _) = lab(client, 12);
    let before = lab.cloud.inventory();

    let outcome = client.run(&lab, &["create", "--driver", "btcloud", "m1"]);
    assert!(
        outcome
            .fails(1)
            .contains("Please specify an availability zone (--btcloud-zone)."),
        "{outcome:?}"
    );

    let mut arguments = creation("m1");
    arguments[4] = "uk-leeds-1";
    let outcome = client.run(&lab, &arguments);
    let error = outcome.fails(3);
    assert!(error.contains("Error with pre-create check"), "{error}");
    assert!(
        error.contains("uk-leeds-1") && error.contains("uk-london-1"),
        "{error}"
    );

    let mut create = client.command(&lab, &creation("m1"));
    let outcome = lab.finish(create.env("BTCLOUD_SECRET_KEY", "wrong"));
    assert!(outcome.fails(3).contains("error 401"), "{outcome:?}");

    assert!(!lab.machine_directory("m1").exists());
    assert_eq!(lab.cloud.inventory(), before);
}

fn a_failed_creation_leaves_nothing(client: &Client) {
    let (lab, _) = lab(client, 13);
    let before = lab.cloud.inventory();
    lab.fail_job("deployVirtualMachine", 533, "No room for m1");
    let outcome = client.run(&lab, &creation("m1"));
    let error = outcome.fails(1);
    assert!(error.contains("No room for m1"), "{error}");
    assert_eq!(lab.cloud.inventory(), before);
    // The client keeps the machine in its store; removing that makes no trouble, and once more neither.
    client.run(&lab, &["rm", "-y", "m1"]).ok();
    assert!(!lab.machine_directory("m1").exists());
}

fn an_interrupted_creation_leaves_nothing(client: &Client) {
    let (lab, _) = lab(client, 14);
    let before = lab.cloud.inventory();
    lab.slow_down("deployVirtualMachine", Duration::from_secs(3));
    let mut create = client.command(&lab, &creation("m1")).spawn().unwrap();
    wait_until("the deployment", || {
        lab.cloud.inventory() != before && lab.has_called("deployVirtualMachine")
    });
    // As `kill -9`: the client can tell the plugin nothing.
    signal(&create, rustix::process::Signal::KILL);
    create.wait().unwrap();
    wait_until("the undoing", || lab.cloud.inventory() == before);
    client.run(&lab, &["rm", "-y", "m1"]).ok();
    assert_eq!(lab.cloud.inventory(), before);
}

fn both_doors_manage_the_same_machines(client: &Client) {
    let (lab, ip) = lab(client, 15);
    let before = lab.cloud.inventory();
    lab.run(&[&["create", "m1"], OPTIONS.as_slice()].concat())
        .ok();
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
    let (lab, ip) = lab(client, 16);
    let before = lab.cloud.inventory();
    lab.run(&[&["create", "m1"], OPTIONS.as_slice()].concat())
        .ok();
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
        for variable in ["BTCLOUD_ENDPOINT", "BTCLOUD_API_KEY", "BTCLOUD_SECRET_KEY"] {
            command.env_remove(variable);
        }
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
    // Without SSH to the fake guest it cannot be started by the client, but by the other door.
    lab.run(&["start", "m1"]).ok();
    assert_eq!(run(&["status", "m1"]).ok(), "Running");
    run(&["rm", "-y", "m1"]).ok();
    assert!(!lab.machine_directory("m1").exists());
    assert_eq!(lab.cloud.inventory(), before);
}
