//! Public addresses.

use serde_json::json;

use crate::client::{Client, simulator, text};

#[test]
fn public_addresses_are_taken_and_given_back() {
    let (simulator, clock) = simulator();
    let client = Client::new(&simulator);
    let machine = client.deploy(&clock, "a", &[]);
    let id = text(&machine["id"]);
    let zone = client.zone("uk-london-1");
    let source_nat = client.source_nat();
    let refused = client.finish(&clock, "disassociateIpAddress", &[("id", &source_nat)]);
    assert_eq!(
        refused["jobresult"]["errortext"],
        "ip address is used for source nat purposes and can not be disassociated."
    );
    let taken = client.run(&clock, "associateIpAddress", &[("zoneid", &zone)])["ipaddress"].clone();
    let address = text(&taken["id"]);
    assert_eq!(
        (&taken["state"], &taken["ipaddress"]),
        (&json!("Allocated"), &json!("127.0.100.11"))
    );
    let nat = [("ipaddressid", address), ("virtualmachineid", id)];
    assert_eq!(
        client.ok("enableStaticNat", &nat),
        json!({ "success": "true" })
    );
    assert_eq!(simulator.inventory().static_nats, ["127.0.100.11 → a"]);
    assert_eq!(
        client
            .err(
                "enableStaticNat",
                &[("ipaddressid", &source_nat), ("virtualmachineid", id)]
            )
            .1,
        "Can't enable static, ip address 127.0.100.10 is a sourceNat ip address"
    );
    let rule = [
        ("publicport", "22"),
        ("privateport", "22"),
        ("protocol", "tcp"),
        nat[0],
        nat[1],
    ];
    assert!(
        client
            .err("createPortForwardingRule", &rule)
            .1
            .ends_with("has static nat enabled")
    );
    client.run(&clock, "disableStaticNat", &[("ipaddressid", address)]);
    client.run(&clock, "disassociateIpAddress", &[("id", address)]);
    assert!(simulator.inventory().addresses.is_empty());
    assert_eq!(
        client.err("disassociateIpAddress", &[("id", address)]).0,
        431,
        "it is not the account's any more"
    );
}
