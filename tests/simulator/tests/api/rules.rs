//! Port forwarding and firewall rules.

use std::time::Duration;

use serde_json::json;

use crate::client::{Client, simulator, text};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn forwarding_rules_clash_and_open_the_firewall() {
    let (simulator, clock) = simulator();
    let client = Client::new(&simulator);
    let machine = client.deploy(&clock, "a", &[]);
    let id = text(&machine["id"]);
    let public = client.source_nat();
    let rule = |port, protocol| {
        [
            ("ipaddressid", public.as_str()),
            ("publicport", port),
            ("privateport", port),
            ("protocol", protocol),
            ("virtualmachineid", id),
        ]
    };
    let made =
        client.run(&clock, "createPortForwardingRule", &rule("22", "TCP"))["portforwardingrule"]
            .clone();
    assert_eq!(
        (&made["state"], &made["protocol"], &made["publicport"]),
        (&json!("Active"), &json!("tcp"), &json!("22"))
    );
    let opened = client.ok("listFirewallRules", &[("ipaddressid", &public)]);
    assert_eq!(
        (&opened["count"], &opened["firewallrule"][0]["cidrlist"]),
        (&json!(1), &json!("0.0.0.0/0"))
    );

    let (code, text_of) = client.err("createPortForwardingRule", &rule("22", "tcp"));
    assert_eq!(code, 537);
    assert!(
        text_of.starts_with("The range specified, 22-22, conflicts with rule "),
        "{text_of}"
    );
    assert!(text_of.ends_with(" which has 22-22"), "{text_of}");
    client.run(&clock, "createPortForwardingRule", &rule("22", "udp"));

    let mut closed = rule("2376", "tcp").to_vec();
    closed.push(("openfirewall", "false"));
    client.run(&clock, "createPortForwardingRule", &closed);
    assert_eq!(client.ok("listFirewallRules", &[])["count"], 2);
    let mut with_cidrs = rule("80", "tcp").to_vec();
    with_cidrs.push(("cidrlist", "192.0.2.0/24"));
    assert!(
        client
            .err("createPortForwardingRule", &with_cidrs)
            .1
            .starts_with("Parameter cidrList is deprecated")
    );

    client.run(
        &clock,
        "deletePortForwardingRule",
        &[("id", text(&made["id"]))],
    );
    assert_eq!(
        client.ok("listFirewallRules", &[])["count"],
        1,
        "the firewall's rule goes with the forwarding one"
    );
    client.run(&clock, "destroyVirtualMachine", &[("id", id)]);
    assert!(
        simulator.inventory().is_empty(),
        "rules go with the machine: {}",
        simulator.inventory()
    );
}

#[test]
fn a_rule_is_there_from_the_call_on_and_active_when_its_job_is_done() {
    let (simulator, clock) = simulator();
    let client = Client::new(&simulator);
    let machine = client.deploy(&clock, "a", &[]);
    let public = client.source_nat();
    let rule = [
        ("ipaddressid", public.as_str()),
        ("publicport", "2222"),
        ("privateport", "22"),
        ("protocol", "tcp"),
        ("virtualmachineid", text(&machine["id"])),
    ];
    let answer = client.ok("createPortForwardingRule", &rule);
    let state = || {
        client.ok("listPortForwardingRules", &[("id", text(&answer["id"]))])["portforwardingrule"]
            [0]["state"]
            .clone()
    };
    assert_eq!(state(), "Add");
    clock.advance(2 * SECOND);
    assert_eq!(state(), "Active");
    assert_eq!(
        simulator.inventory().port_forwards[0].rule,
        "127.0.100.10:2222 → a 10.1.1.10:22/tcp"
    );
}

#[test]
fn firewall_rules_clash_where_ports_and_sources_meet() {
    let (simulator, clock) = simulator();
    let client = Client::new(&simulator);
    client.deploy(&clock, "a", &[]);
    let public = client.source_nat();
    let rule = |start, end, cidrs| {
        [
            ("ipaddressid", public.as_str()),
            ("protocol", "tcp"),
            ("startport", start),
            ("endport", end),
            ("cidrlist", cidrs),
        ]
    };
    let made = client.run(
        &clock,
        "createFirewallRule",
        &rule("20", "30", "192.0.2.0/24"),
    )["firewallrule"]
        .clone();
    assert_eq!(made["startport"], 20);
    let (code, error) = client.err("createFirewallRule", &rule("22", "22", "192.0.2.0/24"));
    assert_eq!(code, 537);
    assert!(
        error.starts_with("The range specified, 22-22, conflicts with rule "),
        "{error}"
    );
    assert!(error.ends_with(" which has 20-30"), "{error}");
    client.run(
        &clock,
        "createFirewallRule",
        &rule("22", "22", "198.51.100.0/24"),
    );
    assert_eq!(
        client
            .err("createFirewallRule", &rule("2", "1", "192.0.2.0/24"))
            .0,
        431
    );
    assert_eq!(
        client.err("createFirewallRule", &rule("1", "1", "all")).0,
        431
    );
    client.run(&clock, "deleteFirewallRule", &[("id", text(&made["id"]))]);
    assert_eq!(simulator.inventory().firewall_rules.len(), 1);
}
