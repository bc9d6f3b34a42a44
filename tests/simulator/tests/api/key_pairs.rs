//! Key pairs.

use serde_json::json;

use crate::client::{Client, ED25519_KEY, RSA_KEY, simulator, text};

#[test]
fn key_pairs_are_checked() {
    let (simulator, _) = simulator();
    let client = Client::new(&simulator);
    let register = |name: &str, key: &str| {
        client.err("registerSSHKeyPair", &[("name", name), ("publickey", key)])
    };
    let pair = client.ok(
        "registerSSHKeyPair",
        &[("name", "a"), ("publickey", RSA_KEY)],
    )["keypair"]
        .clone();
    assert_eq!(
        (text(&pair["fingerprint"]).len(), &pair["account"]),
        (47, &json!("demo"))
    );
    assert_eq!(
        register("a", ED25519_KEY),
        (431, "A key pair with name 'a' already exists.".to_owned())
    );
    assert!(
        register("b", RSA_KEY)
            .1
            .ends_with("already exists for this account.")
    );
    assert_eq!(
        register("b", "ssh-rsa"),
        (431, "Public key is invalid".to_owned())
    );
    assert!(
        register("b", &"x".repeat(5121))
            .1
            .contains("Value greater than max allowed length 5120")
    );
    simulator.set_behaviour(|behaviour| behaviour.rsa_keys_only = true);
    assert_eq!(
        register("b", ED25519_KEY),
        (431, "Public key is invalid".to_owned())
    );
    simulator.set_behaviour(|behaviour| behaviour.rsa_keys_only = false);
    client.ok(
        "registerSSHKeyPair",
        &[("name", "b"), ("publickey", ED25519_KEY)],
    );
    let made = client.ok("createSSHKeyPair", &[("name", "c")])["keypair"].clone();
    assert!(text(&made["privatekey"]).starts_with("-----BEGIN RSA PRIVATE KEY-----\n"));
    assert_eq!(simulator.inventory().key_pairs, ["a", "b", "c"]);
    assert_eq!(
        client.err("deleteSSHKeyPair", &[("name", "x")]).1,
        "A key pair with name 'x' does not exist for account demo in specified domain id"
    );
    assert_eq!(
        client.ok("deleteSSHKeyPair", &[("name", "a")]),
        json!({ "success": "true" })
    );
}

#[test]
fn a_machine_has_one_key_pair_and_since_4_17_several() {
    let (simulator, clock) = simulator();
    let client = Client::new(&simulator);
    for name in ["a", "b"] {
        client.ok("createSSHKeyPair", &[("name", name)]);
    }
    let machine = client.deploy(&clock, "new", &[("keypairs", "a,b")]);
    assert_eq!(
        (&machine["keypairs"], machine.get("keypair")),
        (&json!("a,b"), None)
    );
    assert_eq!(simulator.inventory().machines[0].key_pairs, ["a", "b"]);
    assert_eq!(
        client.ok("listVirtualMachines", &[("keypair", "b")])["count"],
        1
    );
    let deploy = |key_pairs| client.deploy_refused("c", &[("keypairs", key_pairs)]);
    assert_eq!(
        deploy("a,x"),
        (431, "A key pair with name 'x' was not found.".to_owned())
    );

    simulator.set_behaviour(|behaviour| behaviour.version = "4.16.1.0".to_owned());
    let (code, error) = deploy("a,b");
    assert_eq!(code, 431);
    assert!(error.contains("has no parameter keypairs"), "{error}");
    let machine = client.deploy(&clock, "old", &[("keypair", "b")]);
    assert_eq!(
        (&machine["keypair"], machine.get("keypairs")),
        (&json!("b"), None)
    );
}
