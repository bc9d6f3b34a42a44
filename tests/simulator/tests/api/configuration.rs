//! What a test orders: what there is at the start, and what goes wrong.

use std::time::Duration;

use cloudstack_simulator::{Behaviour, CloudConfig, Fault, ManualClock, NetworkConfig, Simulator};
use serde_json::json;

use crate::client::{Client, RSA_KEY, borrowed, builder, simulator, with};

#[test]
fn a_network_can_be_up_from_the_start() {
    let (simulator, _) = with(|behaviour| behaviour.networks_implemented = true);
    let list = Client::new(&simulator).ok("listPublicIpAddresses", &[]);
    assert_eq!(
        (&list["count"], &list["publicipaddress"][0]["issourcenat"]),
        (&json!(1), &json!(true))
    );
}

#[test]
fn the_cloud_can_be_made_to_measure_and_has_to_fit_together() {
    let mut cloud = CloudConfig::default();
    cloud.public_addresses[0].count = 0;
    let clock = ManualClock::new();
    let simulator = builder(&clock).cloud(cloud.clone()).start().unwrap();
    let client = Client::new(&simulator);
    let parameters = client.machine_parameters("uk-london-1");
    let all = borrowed(&parameters);
    let job = client.finish(&clock, "deployVirtualMachine", &all);
    assert_eq!(
        job["jobresult"]["errorcode"], 533,
        "no address for the network's router"
    );
    assert_eq!(simulator.inventory().machines[0].state, "Error");

    cloud.networks.push(NetworkConfig {
        name: "lost".to_owned(),
        zone: "nowhere".to_owned(),
        owner: None,
        cidr: "10.0.0.0/24".parse().unwrap(),
    });
    let error = Simulator::builder().cloud(cloud).start().unwrap_err();
    assert_eq!(
        error.to_string(),
        "lost names the zone nowhere, which there is not"
    );
}

#[test]
fn inventories_compare_and_print() {
    let (simulator, clock) = simulator();
    let client = Client::new(&simulator);
    assert_eq!(simulator.inventory().to_string(), "nothing\n");
    client.ok(
        "registerSSHKeyPair",
        &[("name", "k"), ("publickey", RSA_KEY)],
    );
    client.deploy(&clock, "a", &[("keypair", "k")]);
    let inventory = simulator.inventory();
    assert_eq!(inventory, simulator.inventory());
    let text = inventory.to_string();
    assert!(
        text.starts_with("machine        a Running 10.1.1.10 (key pair k)\nkey pair       k\n"),
        "{text}"
    );
    assert_eq!(
        serde_json::to_value(&inventory).unwrap()["machines"][0]["state"],
        "Running"
    );
}

/// What a test orders and never comes would let it pass for nothing.
#[test]
fn what_would_never_come_is_a_mistake() {
    let panics = |order: fn(&Simulator)| {
        let (simulator, _) = simulator();
        let order = std::panic::AssertUnwindSafe(|| order(&simulator));
        let panic = std::panic::catch_unwind(order).unwrap_err();
        panic.downcast_ref::<String>().unwrap().clone()
    };
    let text = panics(|cloud| cloud.fault("deployVirtualMachin", 1, Fault::LoseAnswer));
    assert_eq!(text, "there is no command deployVirtualMachin");
    let text = panics(|cloud| {
        let text = String::new();
        cloud.fault("listZones", 1, Fault::JobFails { code: 530, text });
    });
    assert!(text.contains("listZones is answered at once"), "{text}");
    let text = panics(|cloud| {
        cloud.set_behaviour(|behaviour| {
            let time = Duration::from_secs(1);
            behaviour.job_times.insert("stopVm".to_owned(), time);
        });
    });
    assert_eq!(text, "there is no command stopVm that has jobs");
    let text = panics(|cloud| drop(cloud.inventory_of("typo")));
    assert_eq!(text, "there is no account or project typo");

    let mut behaviour = Behaviour::default();
    let time = Duration::from_secs(1);
    behaviour.job_times.insert("listZones".to_owned(), time);
    let error = Simulator::builder()
        .behaviour(behaviour)
        .start()
        .unwrap_err();
    assert!(error.to_string().contains("listZones"), "{error}");
}
