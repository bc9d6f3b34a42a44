//! `create` in each kind of network, and whatever goes wrong.

use super::*;

#[test]
fn in_an_isolated_network() {
    let host = TestHost::new(FakeCloud::new(Isolated));
    let status = create(&host, &with(r#"{"Other": [1]}"#)).unwrap();
    assert_eq!(status, at_address(State::Running, Some("192.0.2.12")));
    assert_eq!(
        (
            status.ssh_user.as_str(),
            status.ssh_host.as_str(),
            status.ssh_port,
            status.engine_port
        ),
        ("root", "192.0.2.12", 22, 2376)
    );
    assert_eq!(
        *host.steps.borrow(),
        [
            "1/5 Looking up what the options name",
            "2/5 Registering the SSH key",
            "3/5 Deploying the virtual machine",
            "4/5 Waiting for the virtual machine to start",
            "5/5 Forwarding ports on 192.0.2.12",
        ]
    );
    assert_eq!(*host.key_types.borrow(), [KeyType::Ed25519]);
    assert_eq!(
        saved_json(&host),
        json!({"Other": [1], VM_ID: "vm-1", KEY_PAIR: MARK, "Account": "me",
            ADDRESS_ID: "ip-2", ADDRESS_MEMBER: "192.0.2.12",
            "PublicSSHPort": 22, "PublicEnginePort": 2376})
    );
    assert_eq!(
        host.server.borrow().tags,
        [
            "docker-machine-id=0123456789abcdef0123",
            "docker-machine-name=m1"
        ]
    );
    assert!(host.lines.borrow().is_empty());
    let expected = [
        "listZones?available=true&page=1&pagesize=500".to_owned(),
        "listTemplates?templatefilter=executable&zoneid=zone-1&page=1&pagesize=500".to_owned(),
        "listServiceOfferings?zoneid=zone-1&page=1&pagesize=500".to_owned(),
        "listNetworks?canusefordeploy=true&zoneid=zone-1&page=1&pagesize=500".to_owned(),
        format!("registerSSHKeyPair?name={MARK}&publickey=ssh-ed25519 AAAA"),
        format!("deployVirtualMachine?zoneid=zone-1&templateid=tpl-1&serviceofferingid=off-1&name=m1&displayname=m1&keypair={MARK}&networkids=net-1"),
        "queryAsyncJobResult?jobid=job-2".to_owned(),
        "listVirtualMachines?id=vm-1&details=nics".to_owned(),
        "createTags?resourceids=vm-1&resourcetype=UserVm&tags[0].key=docker-machine-id&tags[0].value=0123456789abcdef0123&tags[1].key=docker-machine-name&tags[1].value=m1".to_owned(),
        "listPublicIpAddresses?associatednetworkid=net-1&page=1&pagesize=500".to_owned(),
        "listPortForwardingRules?ipaddressid=ip-2&page=1&pagesize=500".to_owned(),
        "createPortForwardingRule?ipaddressid=ip-2&virtualmachineid=vm-1&protocol=tcp&privateport=22&publicport=22&openfirewall=true".to_owned(),
        "createPortForwardingRule?ipaddressid=ip-2&virtualmachineid=vm-1&protocol=tcp&privateport=2376&publicport=2376&openfirewall=true".to_owned(),
        "queryAsyncJobResult?jobid=job-5".to_owned(),
        "queryAsyncJobResult?jobid=job-7".to_owned(),
        "listPortForwardingRules?ipaddressid=ip-2&page=1&pagesize=500".to_owned(),
        "queryAsyncJobResult?jobid=job-3".to_owned(),
    ];
    let mut requests: Vec<_> = host
        .requests
        .borrow()
        .iter()
        .map(|request| {
            let params: Vec<_> = params(request)
                .iter()
                .filter(|(name, _)| !matches!(name.as_str(), "command" | "response"))
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            format!(
                "{}?{}",
                param(request, "command").unwrap(),
                params.join("&")
            )
        })
        .collect();
    requests.dedup();
    assert_eq!(requests, expected);
}

#[test]
fn a_swarm_master_has_its_port_forwarded_too() {
    let host = TestHost::new(FakeCloud::new(Isolated));
    let machine = Machine {
        swarm_master: true,
        ..machine()
    };
    create(&host, &machine).unwrap();
    let ports: Vec<_> = host
        .server
        .borrow()
        .rules
        .values()
        .map(|(_, port)| *port)
        .collect();
    assert_eq!(ports, [22, 2376, 3376]);
}

#[test]
fn in_a_shared_network_and_in_a_basic_zone() {
    for network in [Shared, Basic] {
        let host = TestHost::new(FakeCloud::new(network));
        let status = create(&host, &machine()).unwrap();
        assert_eq!(status, at_address(State::Running, Some("10.1.1.5")));
        assert_eq!(
            saved_json(&host),
            json!({VM_ID: "vm-1", KEY_PAIR: MARK, "Account": "me"})
        );
        assert_eq!(host.steps.borrow()[4], "5/5 Using the address 10.1.1.5");
        let deploy = [
            "registerSSHKeyPair",
            "deployVirtualMachine",
            "queryAsyncJobResult",
        ];
        let finish = ["listVirtualMachines", "createTags", "queryAsyncJobResult"];
        let lookups = if network == Basic { 3 } else { 4 };
        expect_calls(&host, &[&LOOKUPS[..lookups], &deploy, &finish]);
    }
}

#[test]
fn a_cloud_that_takes_no_ed25519_key_gets_an_rsa_key() {
    let mut cloud = FakeCloud::new(Shared);
    cloud.takes_ed25519 = false;
    let host = TestHost::new(cloud);
    create(&host, &machine()).unwrap();
    assert_eq!(*host.key_types.borrow(), [KeyType::Ed25519, KeyType::Rsa]);
    assert_eq!(host.server.borrow().keys[MARK], "ssh-rsa AAAA");
}

#[test]
fn a_machine_in_a_tier_of_a_vpc_has_ports_of_an_address_of_its_own() {
    // The tier's other address may be that of another machine, and go with it.
    let host = TestHost::new(FakeCloud::new(Vpc));
    let status = create(&host, &machine()).unwrap();
    assert_eq!(status, at_address(State::Running, Some("192.0.2.13")));
    let requests = host.requests.take();
    let rule = requests
        .iter()
        .find(|request| param(request, "command") == Some("createPortForwardingRule"));
    let rule = rule.unwrap();
    assert_eq!(param(rule, "networkid"), Some("net-1"));
    // CloudStack refuses to open a firewall that is not there.
    assert_eq!(param(rule, "openfirewall"), Some("false"));
    assert!(
        !requests
            .iter()
            .any(|r| param(r, "command") == Some("createFirewallRule"))
    );
    remove_what_is_left(&host).unwrap();
    assert!(contents(&host).is_empty());
}

#[test]
fn an_address_that_may_have_been_acquired_for_a_vpc_is_named() {
    let mut cloud = FakeCloud::new(Vpc);
    cloud.faults.insert("associateIpAddress", Fault::AnswerLost);
    let host = TestHost::new(cloud);
    create(&host, &machine()).unwrap_err();
    let error = remove_what_is_left(&host).unwrap_err();
    let left = error.message.lines().last().unwrap();
    assert!(
        left.starts_with("Left in the cloud: the public address 192.0.2.13 (ip-3), which may have")
            && !left.contains("ip-1"),
        "{error:?}"
    );
    assert_eq!(contents(&host), ["ip-3"]);
}

#[test]
fn ranges_of_addresses_that_nothing_would_keep_to_are_refused() {
    for (network, address, is_refused) in [
        (Basic, "auto", true),
        (Shared, "auto", true),
        (Isolated, "auto", false),
        (Isolated, "private", true),
    ] {
        let host = TestHost::new(FakeCloud::new(network));
        let mut machine = machine();
        let ranges = Value::TextList(vec!["192.0.2.0/24".to_owned()]);
        let address = Value::Text(address.to_owned());
        for (option, value) in [(crate::options::CIDR, ranges), (ADDRESS, address)] {
            machine.options.push((option.to_owned(), value));
        }
        let checked = check(&host, &machine);
        assert_eq!(checked.is_err(), is_refused, "{network:?}: {checked:?}");
        let told = format!("--{}:", crate::options::CIDR);
        assert!(checked.err().is_none_or(|e| e.message.starts_with(&told)));
    }
}

#[test]
fn an_acquisition_that_cannot_be_looked_into_is_told_of_even_without_the_machine() {
    let mut cloud = FakeCloud::new(Vpc);
    cloud.faults.insert("associateIpAddress", Fault::AnswerLost);
    let host = TestHost::new(cloud);
    create(&host, &machine()).unwrap_err();
    host.server.borrow_mut().vms.clear();
    let error = remove_what_is_left(&host).unwrap_err();
    assert_eq!(
        error.message,
        "An earlier associateIpAddress was not answered\n\
         Left in the cloud: a public address, if one was acquired"
    );
    // Nobody can tell more, so that it is told once.
    remove_what_is_left(&host).unwrap();
}

#[test]
fn a_port_that_is_taken_gives_way_to_a_free_one() {
    let mut cloud = FakeCloud::new(Isolated);
    cloud
        .rules
        .insert("rule-x".to_owned(), ("vm-x".to_owned(), 2376));
    let host = TestHost::new(cloud);
    let status = create(&host, &machine()).unwrap();
    assert_eq!(status.ssh_port, 22);
    let port = status.engine_port;
    assert!((30_376..38_376).contains(&port), "{port}");
    assert!(
        contents(&host)
            .iter()
            .any(|row| row.ends_with(&port.to_string()))
    );
    // The engine listens on the same port inside.
    let later = crate::machine::status(&host, &[with(&host.saved.borrow())]);
    assert_eq!(later[0].as_ref().unwrap().engine_port, port);
    remove_what_is_left(&host).unwrap();
    assert_eq!(
        contents(&host),
        ["rule-x 2376"],
        "the other machine's rule stays"
    );
}

#[test]
fn a_port_that_the_user_wants_is_not_replaced() {
    let mut cloud = FakeCloud::new(Isolated);
    cloud
        .rules
        .insert("rule-x".to_owned(), ("vm-x".to_owned(), 3376));
    let host = TestHost::new(cloud);
    let machine = Machine {
        swarm_master: true,
        ..machine()
    };
    let error = create(&host, &machine).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Conflict);
    let line = error.message.lines().next().unwrap();
    assert_eq!(
        line,
        "Port 3376/tcp of 192.0.2.12 is taken by another machine"
    );
    assert!(error.message.contains("conflicts with rule"));
    let hint = format!("--{ADDRESS} static-nat");
    assert!(error.hint.unwrap().contains(&hint));
    remove_what_is_left(&host).unwrap();
    assert_eq!(contents(&host), ["rule-x 3376"]);
}

#[test]
fn tags_are_not_needed() {
    for fault in [Fault::Refuse(531, "no"), Fault::JobFails, Fault::AnswerLost] {
        let mut cloud = FakeCloud::new(Isolated);
        cloud.faults.insert("createTags", fault);
        let host = TestHost::new(cloud);
        create(&host, &machine()).unwrap();
        assert!(
            host.lines.borrow()[0].contains("could not be tagged"),
            "{fault:?}"
        );
    }
}

#[test]
fn a_bad_name_or_option_makes_no_call() {
    let host = TestHost::new(FakeCloud::new(Isolated));
    let bad_name = Machine {
        name: "1.m".to_owned(),
        ..machine()
    };
    let mut no_zone = machine();
    no_zone.options.retain(|(name, _)| name != ZONE);
    for machine in [bad_name, no_zone] {
        for error in [
            create(&host, &machine).unwrap_err(),
            check(&host, &machine).unwrap_err(),
        ] {
            assert_eq!(error.kind, ErrorKind::InvalidOption);
        }
    }
    let error = create(&host, &with(&json!({VM_ID: "vm-9"}).to_string())).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Conflict);
    assert!(host.requests.borrow().is_empty());
    assert_eq!(*host.saved.borrow(), "{}");
}

#[test]
fn a_lost_answer_to_the_deployment_is_made_good() {
    for network in [Isolated, Shared] {
        let mut cloud = FakeCloud::new(network);
        cloud
            .faults
            .insert("deployVirtualMachine", Fault::AnswerLost);
        // Another one whose name holds this one's, and one with this name that is not ours.
        cloud.add_vm("vm-x", "m10", MARK, "Running");
        cloud.add_vm("vm-y", "m1", "m1-other", "Running");
        let host = TestHost::new(cloud);
        create(&host, &machine()).unwrap();
        assert_eq!(saved_json(&host)[VM_ID], "vm-1");
        let deployed = host
            .commands()
            .iter()
            .filter(|c| *c == "deployVirtualMachine")
            .count();
        assert_eq!(deployed, 1);
        assert_eq!(host.server.borrow().vms.len(), 3);
    }
}

#[test]
fn a_deployment_that_never_arrived_is_reported() {
    // The request broke on its way: the cloud has no machine.
    let mut cloud = FakeCloud::new(Isolated);
    cloud
        .faults
        .insert("deployVirtualMachine", Fault::Refuse(502, ""));
    let host = TestHost::new(cloud);
    create(&host, &machine()).unwrap_err();
    // That was CloudStack's own no. A proxy's leaves it open.
    let host = TestHost::new(Proxied(FakeCloud::new(Isolated)));
    let begin = host.now.get();
    let error = create(&host, &machine()).unwrap_err();
    assert!(error.message.contains("deployVirtualMachine"), "{error:?}");
    assert!(host.now.get() - begin >= 15_000);
    assert_eq!(
        host.commands()
            .iter()
            .filter(|c| *c == "deployVirtualMachine")
            .count(),
        1
    );
}

/// A proxy that answers every deployment itself.
struct Proxied(FakeCloud);

impl Server for Proxied {
    fn answer(&mut self, request: &crate::contract::http::Request, now: u64) -> Answer {
        if crate::testing::command(request) == "deployVirtualMachine" {
            return crate::testing::raw(502, "<html>Bad Gateway</html>");
        }
        Server::answer(&mut self.0, request, now)
    }
}

/// The number of requests of a create that nothing disturbs.
fn requests(network: NetworkKind) -> u32 {
    let host = TestHost::new(FakeCloud::new(network));
    create(&host, &machine()).unwrap();
    let count = host.requests.borrow().len();
    count.try_into().unwrap()
}

#[test]
fn whatever_goes_wrong_nothing_is_left() {
    let faults = [
        Fault::Refuse(530, "Internal error"),
        Fault::Refuse(
            401,
            "unable to verify user credentials and/or request signature",
        ),
        Fault::NotSent,
        Fault::AnswerLost,
        Fault::JobFails,
        Fault::Kill,
    ];
    for network in [Isolated, Shared] {
        for at in 0..requests(network) {
            for fault in faults {
                for destroys_busy in [true, false] {
                    let mut cloud = FakeCloud::new(network);
                    cloud.fault = Some((at, fault));
                    cloud.destroys_busy = destroys_busy;
                    let host = TestHost::new(cloud);
                    let _ = create(&host, &machine());
                    remove_what_is_left(&host).unwrap();
                    let left = contents(&host);
                    assert!(left.is_empty(), "{network:?} {at} {fault:?}: {left:?}");
                    // And it can be said again.
                    remove_what_is_left(&host).unwrap();
                }
            }
        }
    }
}

#[test]
fn whenever_it_is_cancelled_nothing_is_left() {
    for network in [Isolated, Shared] {
        for sleeps in 0.. {
            let host = TestHost::new(FakeCloud::new(network));
            host.sleeps_left.set(Some(sleeps));
            let outcome = create(&host, &machine());
            if outcome.is_ok() {
                assert!(sleeps > 20);
                break;
            }
            assert_eq!(outcome.unwrap_err().kind, ErrorKind::Cancelled, "{sleeps}");
            remove_what_is_left(&host).unwrap();
            assert!(contents(&host).is_empty(), "{network:?} {sleeps}");
        }
    }
}

#[test]
fn a_deployment_that_fails_says_why() {
    let mut cloud = FakeCloud::new(Isolated);
    cloud.faults.insert("deployVirtualMachine", Fault::JobFails);
    let host = TestHost::new(cloud);
    let error = create(&host, &machine()).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Capacity);
    assert_eq!(
        error.message,
        "CloudStack could not complete deployVirtualMachine: Insufficient capacity (error 533)"
    );
}

#[test]
fn a_refused_deployment_is_not_waited_for() {
    let mut cloud = FakeCloud::new(Isolated);
    cloud
        .faults
        .insert("deployVirtualMachine", Fault::Refuse(532, "too many"));
    let host = TestHost::new(cloud);
    assert_eq!(
        create(&host, &machine()).unwrap_err().kind,
        ErrorKind::Quota
    );
    host.commands();
    let begin = host.now.get();
    remove_what_is_left(&host).unwrap();
    expect_calls(&host, &[&["listVirtualMachines", "deleteSSHKeyPair"]]);
    assert_eq!(host.now.get(), begin);
}
