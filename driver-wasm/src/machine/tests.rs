//! The operations against a small cloud.

use super::*;
use crate::contract::http::Method;
use crate::contract::keys::KeyType;
use crate::contract::types::{self, ErrorKind, MachineStatus, State, Value};
use crate::flavour::members::{ADDRESS as ADDRESS_MEMBER, ADDRESS_ID, KEY_PAIR, VM_ID};
use crate::flavour::{self, CLOUD};
use crate::options::{
    ADDRESS, API_KEY, CPU, CPU_SPEED, Expunge, MEMORY, PUBLIC_IP, SERVICE_OFFERING, TEMPLATE, ZONE,
};
use crate::testing::{
    Answer, FakeCloud, Fault, GONE, NetworkKind, Server, TestHost, machine, param, params,
};
use NetworkKind::{Basic, Isolated, L2, Shared, Vpc};
use serde_json::{Value as Json, json};

const LOOKUPS: [&str; 4] = [
    "listZones",
    "listTemplates",
    "listServiceOfferings",
    "listNetworks",
];
const MARK: &str = "m1-0123456789abcdef0123";

fn with(saved: &str) -> Machine {
    Machine {
        saved: saved.to_owned(),
        ..machine()
    }
}

/// A machine that an older driver made.
fn old() -> Machine {
    let saved = json!({VM_ID: "vm-old", KEY_PAIR: "m1-key", "MachineName": "m1"});
    Machine {
        id: String::new(),
        ..with(&saved.to_string())
    }
}

/// Creates a machine which, in a network where its own address is not reached, is reached by forwarded ports. That is not
/// every flavour's default.
fn create<S: Server>(host: &TestHost<S>, machine: &Machine) -> Result<MachineStatus, types::Error> {
    let mut machine = machine.clone();
    if matches!(host.server.borrow().network(), Isolated | Vpc) {
        let mode = Value::Text("port-forward".to_owned());
        machine.options.push((ADDRESS.to_owned(), mode));
    }
    super::create(host, &machine)
}

fn saved_json(host: &TestHost<FakeCloud>) -> Json {
    serde_json::from_str(&host.saved.borrow()).unwrap()
}

fn at_address(state: State, ip: Option<&str>) -> MachineStatus {
    let access = crate::machine::status::Access::of(&machine(), &Saved::default()).unwrap();
    access.at(state, ip.map(str::to_owned))
}

/// The same machine, made with a data disk.
fn with_data_disk(mut machine: Machine) -> Machine {
    let offering = Value::Text("d".to_owned());
    let name = crate::options::DISK_OFFERING.to_owned();
    machine.options.push((name, offering));
    machine
}

/// Removes what a create has left, as the host does: with what was saved, and without regard for the user's wish to
/// stop.
fn remove_what_is_left(host: &TestHost<FakeCloud>) -> Result<(), types::Error> {
    host.sleeps_left.set(None);
    host.server.borrow_mut().heal();
    let machine = with(&host.saved.borrow());
    remove(host, &machine)
}

fn contents(host: &TestHost<FakeCloud>) -> Vec<String> {
    host.server.borrow_mut().contents(host.now.get())
}

fn expect_calls(host: &TestHost<FakeCloud>, parts: &[&[&str]]) {
    assert_eq!(host.commands(), parts.concat());
}

mod create {
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
            left.starts_with(
                "Left in the cloud: the public address 192.0.2.13 (ip-3), which may have"
            ) && !left.contains("ip-1"),
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
}

mod check {
    use super::*;

    #[test]
    fn changes_nothing() {
        let host = TestHost::new(FakeCloud::new(Isolated));
        check(&host, &machine()).unwrap();
        assert!(
            host.requests
                .borrow()
                .iter()
                .all(|r| r.method == Method::Get)
        );
        expect_calls(&host, &[&LOOKUPS]);
        assert_eq!(*host.saved.borrow(), "{}");
    }

    fn with_option(option: &str, value: &str) -> Machine {
        let mut machine = machine();
        let value = Value::Text(value.to_owned());
        machine.options.retain(|(name, _)| name != option);
        machine.options.push((option.to_owned(), value));
        machine
    }

    #[test]
    fn the_address_of_a_vpc_cannot_be_chosen_for_a_tier() {
        let host = TestHost::new(FakeCloud::new(Vpc));
        let mut machine = with_option(PUBLIC_IP, "192.0.2.12");
        let mode = Value::Text("port-forward".to_owned());
        machine.options.push((ADDRESS.to_owned(), mode));
        let error = check(&host, &machine).unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidOption);
        assert!(
            error.message.ends_with("cannot be used in a tier"),
            "{error:?}"
        );
    }

    #[test]
    fn takes_ids_and_names() {
        for (option, value) in [
            (ZONE, "zone-1"),
            (ZONE, "LONDON"),
            (TEMPLATE, "tpl-1"),
            (SERVICE_OFFERING, "off-1"),
        ] {
            let host = TestHost::new(FakeCloud::new(Isolated));
            check(&host, &with_option(option, value)).unwrap();
        }
        for (option, text) in [
            (
                ZONE,
                "No zone is called \"x\"\n  London (zone-1)\n  Paris (zone-2)",
            ),
            (
                TEMPLATE,
                "No template is called \"x\"\n  Ubuntu 16.04 (tpl-1)",
            ),
            (
                SERVICE_OFFERING,
                "No service offering is called \"x\"\n  Custom (off-2)\n  Small (off-1)",
            ),
        ] {
            let host = TestHost::new(FakeCloud::new(Isolated));
            let error = check(&host, &with_option(option, "x")).unwrap_err();
            assert_eq!(
                (error.kind, error.message.as_str()),
                (ErrorKind::InvalidOption, text)
            );
            assert!(error.hint.unwrap().ends_with(&format!("--{option}")));
        }
    }

    #[test]
    fn a_custom_offering_needs_its_size_and_a_fixed_one_takes_none() {
        let host = TestHost::new(FakeCloud::new(Isolated));
        let mut machine = with_option(SERVICE_OFFERING, "Custom");
        let error = check(&host, &machine).unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidOption);
        assert_eq!(
            error.message,
            format!(
                "The service offering \"Custom\" leaves its size open: it needs --{CPU}, --{MEMORY} and --{CPU_SPEED}"
            )
        );
        let sizes = [(CPU, 2), (MEMORY, 2_048), (CPU_SPEED, 2_000)];
        let sizes = sizes.map(|(name, size)| (name.to_owned(), Value::Integer(size)));
        machine.options.extend(sizes.clone());
        check(&host, &machine).unwrap();
        let mut machine = crate::testing::machine();
        machine.options.extend(sizes);
        let error = check(&host, &machine).unwrap_err();
        assert_eq!(
            error.message,
            format!("--{CPU}: the service offering \"Small\" has a fixed size")
        );
    }

    #[test]
    fn a_network_without_addresses_is_refused_before_anything_is_made() {
        let host = TestHost::new(FakeCloud::new(L2));
        let error = check(&host, &machine()).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unsupported);
        assert_eq!(
            error.message,
            "The network \"my net\" gives its machines no address"
        );
    }
}

mod power {
    use super::*;

    type Operation = fn(&dyn Host, &Machine) -> Result<(), types::Error>;

    #[test]
    fn each_arrives_in_its_state_with_the_fewest_calls() {
        let look = "listVirtualMachines";
        let poll = "queryAsyncJobResult";
        let cases: [(Operation, &str, &[&str], &str); 13] = [
            (
                start,
                "Stopped",
                &[look, "startVirtualMachine", poll],
                "Running",
            ),
            (start, "Running", &[look], "Running"),
            (start, "Migrating", &[look], "Migrating"),
            (
                stop,
                "Running",
                &[look, "stopVirtualMachine", poll],
                "Stopped",
            ),
            (stop, "Stopped", &[look], "Stopped"),
            (stop, "Shutdowned", &[look], "Shutdowned"),
            (
                kill,
                "Running",
                &[look, "stopVirtualMachine", poll],
                "Stopped",
            ),
            (
                kill,
                "Stopping",
                &[look, "stopVirtualMachine", poll],
                "Stopped",
            ),
            (kill, "Stopped", &[look], "Stopped"),
            (
                restart,
                "Running",
                &[look, "rebootVirtualMachine", poll],
                "Running",
            ),
            (
                restart,
                "Stopped",
                &[look, "startVirtualMachine", poll],
                "Running",
            ),
            (
                start,
                "Error",
                &[look, "startVirtualMachine", poll],
                "Running",
            ),
            (
                stop,
                "Unknown",
                &[look, "stopVirtualMachine", poll],
                "Stopped",
            ),
        ];
        for (operation, from, calls, to) in cases {
            let host = TestHost::new(FakeCloud::with_vm(Isolated, from));
            operation(&host, &old()).unwrap();
            assert_eq!(host.server.borrow().vms["vm-old"].state, to, "{from} {to}");
            let forced = host
                .requests
                .borrow()
                .iter()
                .any(|request| param(request, "forced") == Some("true"));
            assert_eq!(
                forced,
                std::ptr::fn_addr_eq(operation, kill as Operation) && calls.len() > 1
            );
            expect_calls(&host, &[calls]);
        }
    }

    #[test]
    fn a_change_that_is_going_on_is_waited_for() {
        for (operation, wanted) in [
            (start as Operation, "Running"),
            (stop, "Stopped"),
            (restart, "Running"),
        ] {
            for (other, state) in [(start as Operation, "Stopped"), (stop, "Running")] {
                let host = TestHost::new(FakeCloud::with_vm(Isolated, state));
                // Cancelled while it waits for the job, which goes on.
                host.sleeps_left.set(Some(3));
                assert_eq!(other(&host, &old()).unwrap_err().kind, ErrorKind::Cancelled);
                host.sleeps_left.set(None);
                operation(&host, &old()).unwrap();
                assert_eq!(host.server.borrow().vms["vm-old"].state, wanted);
            }
        }
    }

    #[test]
    fn a_lost_answer_is_made_good_by_looking() {
        for (operation, from, command) in [
            (start as Operation, "Stopped", "startVirtualMachine"),
            (stop, "Running", "stopVirtualMachine"),
        ] {
            let mut cloud = FakeCloud::with_vm(Isolated, from);
            cloud.faults.insert(command, Fault::AnswerLost);
            let host = TestHost::new(cloud);
            operation(&host, &old()).unwrap();
            assert_eq!(host.commands().iter().filter(|c| *c == command).count(), 1);
        }
        let mut cloud = FakeCloud::with_vm(Isolated, "Running");
        cloud
            .faults
            .insert("rebootVirtualMachine", Fault::AnswerLost);
        let error = restart(&TestHost::new(cloud), &old()).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unreachable);
    }

    #[test]
    fn a_machine_that_is_gone_is_not_found() {
        let gone = |state| TestHost::new(FakeCloud::with_vm(Isolated, state));
        let none = TestHost::new(FakeCloud::new(Isolated));
        for host in [gone("Destroyed"), gone("Expunging"), none] {
            for operation in [start as Operation, stop, kill, restart] {
                let error = operation(&host, &old()).unwrap_err();
                assert_eq!(error.kind, ErrorKind::NotFound);
                assert_eq!(
                    error.message,
                    format!(
                        "machine \"m1\" not found: {CLOUD} has no virtual machine with id vm-old"
                    )
                );
            }
        }
        let host = TestHost::new(FakeCloud::new(Isolated));
        let error = start(&host, &machine()).unwrap_err();
        assert_eq!(error.kind, ErrorKind::NotFound);
        assert!(host.requests.borrow().is_empty());
        // It goes between the look and the call.
        let mut cloud = FakeCloud::with_vm(Isolated, "Running");
        cloud
            .faults
            .insert("stopVirtualMachine", Fault::Refuse(431, GONE));
        assert_eq!(
            stop(&TestHost::new(cloud), &old()).unwrap_err().kind,
            ErrorKind::NotFound
        );
    }

    #[test]
    fn a_failed_job_fails_the_operation() {
        let mut cloud = FakeCloud::with_vm(Isolated, "Stopped");
        cloud.faults.insert("startVirtualMachine", Fault::JobFails);
        let error = start(&TestHost::new(cloud), &old()).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Capacity);
    }
}

mod remove {
    use super::*;

    fn created(network: NetworkKind) -> TestHost<FakeCloud> {
        let host = TestHost::new(FakeCloud::new(network));
        create(&host, &machine()).unwrap();
        host.commands();
        host
    }

    fn saved(host: &TestHost<FakeCloud>) -> Machine {
        with(&host.saved.borrow())
    }

    /// The calls that destroy a machine, by default.
    fn destroy() -> &'static [&'static str] {
        const CALLS: [&str; 4] = [
            "listCapabilities",
            "destroyVirtualMachine",
            "queryAsyncJobResult",
            "deleteSSHKeyPair",
        ];
        match flavour::expunge(&machine()).unwrap() {
            Expunge::Auto => &CALLS,
            Expunge::Yes | Expunge::No => &CALLS[1..],
        }
    }

    #[test]
    fn removes_all_and_can_be_repeated() {
        let host = created(Isolated);
        remove(&host, &saved(&host)).unwrap();
        assert!(contents(&host).is_empty());
        let rules = [
            "listVirtualMachines",
            "listPortForwardingRules",
            "deletePortForwardingRule",
            "deletePortForwardingRule",
            "queryAsyncJobResult",
        ];
        expect_calls(&host, &[&rules, destroy()]);
        remove(&host, &saved(&host)).unwrap();
        let repeated = [
            "listVirtualMachines",
            "listPortForwardingRules",
            "deleteSSHKeyPair",
        ];
        expect_calls(&host, &[&repeated]);
        host.server.borrow_mut().vms.clear();
        remove(&host, &saved(&host)).unwrap();
        assert!(host.commands().contains(&"listAccounts".to_owned()));

        let host = created(Shared);
        remove(&host, &saved(&host)).unwrap();
        assert!(contents(&host).is_empty());
        expect_calls(&host, &[&["listVirtualMachines"], destroy()]);
    }

    #[test]
    fn a_machine_that_other_keys_do_not_see_is_not_taken_for_gone() {
        let host = created(Isolated);
        let before = contents(&host);
        host.server.borrow_mut().caller = "somebody else";
        let error = remove(&host, &saved(&host)).unwrap_err();
        assert!(
            error
                .message
                .starts_with("The machine belongs to the account \"me\""),
            "{error:?}"
        );
        assert!(
            error
                .message
                .contains("Left in the cloud: the virtual machine"),
            "{error:?}"
        );
        assert_eq!(error.kind, ErrorKind::Permission);
        assert_eq!(contents(&host), before);
        // Where that cannot be asked, the cloud is believed.
        let denied = Fault::Refuse(432, "it does not exist or it is not available for user");
        host.server
            .borrow_mut()
            .faults
            .insert("listAccounts", denied);
        remove(&host, &saved(&host)).unwrap();
    }

    #[test]
    fn only_the_data_disks_that_were_made_with_a_machine_go_with_it() {
        for (data_volumes, is_unfinished, left) in [
            (json!(["vol-1"]), false, vec!["vol-2"]),
            // Its own are not known, but it was interrupted before anybody could attach one.
            (Json::Null, true, vec![]),
            (Json::Null, false, vec!["vol-1", "vol-2"]),
        ] {
            let host = created(Isolated);
            host.server.borrow_mut().volumes = vec!["vol-1", "vol-2"];
            let mut saved_members = saved_json(&host);
            if !data_volumes.is_null() {
                saved_members["DataVolumes"] = data_volumes;
            }
            saved_members["Unfinished"] = json!(is_unfinished);
            let machine = with_data_disk(with(&saved_members.to_string()));
            remove(&host, &machine).unwrap();
            let left = match flavour::deletes_volumes(&machine) {
                false if !is_unfinished => vec!["vol-1", "vol-2"],
                _ => left,
            };
            assert_eq!(host.server.borrow().volumes, left);
        }
    }

    #[test]
    fn a_data_disk_whose_machine_is_gone_stays_and_is_told_of() {
        let host = created(Isolated);
        let mut saved_members = saved_json(&host);
        saved_members["DataVolumes"] = json!(["vol-1"]);
        host.server.borrow_mut().volumes = vec!["vol-1", "vol-2"];
        host.server.borrow_mut().vms.clear();
        let machine = with_data_disk(with(&saved_members.to_string()));
        remove(&host, &machine).unwrap();
        assert_eq!(host.server.borrow().volumes.len(), 2);
        let lines = host.lines.borrow();
        let told = lines.iter().filter(|line| line.contains("vol-1"));
        let expected = usize::from(flavour::deletes_volumes(&machine));
        assert_eq!(told.count(), expected, "{lines:?}");
        assert!(!lines.iter().any(|line| line.contains("vol-2")));
    }

    #[test]
    fn what_was_never_made_takes_no_call() {
        let host = TestHost::new(FakeCloud::new(Isolated));
        for saved in [json!({}), json!({VM_ID: "", KEY_PAIR: "", "Other": 1})] {
            remove(&host, &with(&saved.to_string())).unwrap();
        }
        assert!(host.requests.borrow().is_empty());
        remove(&host, &with("x")).unwrap_err();
    }

    #[test]
    fn a_machine_of_the_old_driver_goes_with_its_rules() {
        let mut cloud = FakeCloud::with_vm(Isolated, "Running");
        for (id, vm, port) in [
            ("rule-a", "vm-old", 22),
            ("rule-b", "vm-old", 3376),
            ("rule-c", "vm-x", 80),
        ] {
            cloud.rules.insert(id.to_owned(), (vm.to_owned(), port));
        }
        let host = TestHost::new(cloud);
        remove(&host, &old()).unwrap();
        assert_eq!(contents(&host), ["rule-c 80"]);
    }

    #[cfg(not(flavour = "cloudstack"))]
    #[test]
    fn expunges_only_where_that_is_allowed() {
        let expunge = |host: &TestHost<FakeCloud>| -> Vec<_> {
            let requests = host.requests.take();
            let destroy = requests
                .iter()
                .filter(|r| param(r, "command") == Some("destroyVirtualMachine"));
            destroy.map(|r| param(r, "expunge").is_some()).collect()
        };
        let host = created(Shared);
        remove(&host, &saved(&host)).unwrap();
        assert_eq!(expunge(&host), [true]);

        let host = created(Shared);
        host.server.borrow_mut().may_expunge = false;
        remove(&host, &saved(&host)).unwrap();
        assert_eq!(expunge(&host), [false]);
        assert_eq!(host.server.borrow().vms["vm-1"].state, "Destroyed");

        let host = created(Shared);
        host.server
            .borrow_mut()
            .faults
            .insert("listCapabilities", Fault::Refuse(432, "no"));
        remove(&host, &saved(&host)).unwrap();
        assert_eq!(expunge(&host), [false]);
    }

    #[cfg(not(flavour = "cloudstack"))]
    #[test]
    fn a_refused_expunge_is_asked_again_without() {
        let text = "Parameter expunge can be passed by Admin only. Or when the allow.user.expunge.recover.vm key is set.";
        let host = created(Shared);
        let first = host.requests.borrow().len();
        assert_eq!(first, 0);
        use crate::testing::ok;
        let script = [
            ok(
                "listVirtualMachines",
                json!({"count": 1, "virtualmachine": [{"id": "vm-1", "name": "m1", "state": "Running"}]}),
            ),
            ok(
                "listCapabilities",
                json!({"capability": {"allowuserexpungerecovervm": "true"}}),
            ),
            ok("destroyVirtualMachine", json!({"jobid": "1"})),
            ok(
                "queryAsyncJobResult",
                json!({"jobstatus": 2, "jobresultcode": 530, "jobresult": {"errorcode": 531, "errortext": text}}),
            ),
            ok("destroyVirtualMachine", json!({"jobid": "2"})),
            ok("queryAsyncJobResult", json!({"jobstatus": 1})),
            ok("deleteSSHKeyPair", json!({"success": "true"})),
        ];
        let script = TestHost::script(script);
        remove(&script, &saved(&host)).unwrap();
        assert!(script.server.borrow().is_empty());
    }

    #[test]
    fn goes_on_past_errors_and_tells_what_is_left() {
        let host = created(Isolated);
        let faults = [
            (
                "deletePortForwardingRule",
                Fault::Refuse(530, "rule trouble"),
            ),
            (
                "destroyVirtualMachine",
                Fault::Refuse(530, "machine trouble"),
            ),
            ("deleteSSHKeyPair", Fault::Refuse(530, "key trouble")),
        ];
        host.server.borrow_mut().faults.extend(faults);
        let error = remove(&host, &saved(&host)).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Internal);
        assert_eq!(
            error.message,
            format!(
                "CloudStack refused deletePortForwardingRule: rule trouble (error 530/4350), 2 times\n  \
                 CloudStack refused destroyVirtualMachine: machine trouble (error 530/4350)\n  \
                 CloudStack refused deleteSSHKeyPair: key trouble (error 530/4350)\n\
                 Left in the cloud: the port-forwarding rule rule-4 of port 22, the port-forwarding rule rule-6 of port 2376, \
                 the virtual machine vm-1 and the SSH key pair {MARK}"
            )
        );
        assert_eq!(error.hint.unwrap(), "Remove the machine once more");
        host.server.borrow_mut().heal();
        remove(&host, &saved(&host)).unwrap();
        assert!(contents(&host).is_empty());
    }

    #[test]
    fn an_error_about_very_much_is_short() {
        let host = created(Isolated);
        {
            let mut cloud = host.server.borrow_mut();
            let rules = (0..100).map(|n| (format!("rule-of-hand-{n}"), ("vm-1".to_owned(), n)));
            cloud.rules.extend(rules);
            let fault = Fault::Refuse(530, "rule trouble");
            cloud.faults.insert("deletePortForwardingRule", fault);
        }
        let error = remove(&host, &saved(&host)).unwrap_err();
        let reason = "CloudStack refused deletePortForwardingRule: rule trouble (error 530/4350), 102 times\n";
        assert!(error.message.starts_with(reason), "{}", error.message);
        assert!(error.message.ends_with(" more"), "{}", error.message);
        assert!(error.message.len() < 2_000, "{}", error.message);
    }

    #[test]
    fn bad_keys_are_told_once() {
        let host = created(Isolated);
        host.server.borrow_mut().faults.insert(
            "listVirtualMachines",
            Fault::Refuse(401, "unable to verify"),
        );
        let error = remove(&host, &saved(&host)).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Authentication);
        assert_eq!(
            error.message,
            format!(
                "CloudStack refused listVirtualMachines: unable to verify (error 401/4350)\n\
                 Left in the cloud: the virtual machine vm-1 and the SSH key pair {MARK}"
            )
        );
        assert!(error.hint.unwrap().contains(API_KEY));
        expect_calls(&host, &[&["listVirtualMachines"]]);
    }

    #[test]
    fn the_key_pair_stays_as_long_as_only_it_leads_to_the_machine() {
        let host = TestHost::new(FakeCloud::new(Isolated));
        host.server
            .borrow_mut()
            .add_vm("vm-1", "m1", MARK, "Running");
        host.server
            .borrow_mut()
            .keys
            .insert(MARK.to_owned(), String::new());
        let machine = with(&json!({KEY_PAIR: MARK, "DeployRequested": true}).to_string());
        host.server
            .borrow_mut()
            .faults
            .insert("listVirtualMachines", Fault::Refuse(530, "trouble"));
        let error = remove(&host, &machine).unwrap_err();
        assert!(error.message.ends_with(&format!(
            "Left in the cloud: the virtual machine, if there is one and the SSH key pair {MARK}"
        )));
        assert_eq!(contents(&host).len(), 2);

        // Once it is found, its id is saved.
        host.server.borrow_mut().heal();
        host.server
            .borrow_mut()
            .faults
            .insert("destroyVirtualMachine", Fault::Refuse(530, "trouble"));
        remove(&host, &machine).unwrap_err();
        assert_eq!(saved_json(&host), json!({KEY_PAIR: MARK, VM_ID: "vm-1"}));
        remove_what_is_left(&host).unwrap();
        assert!(contents(&host).is_empty());
    }

    #[test]
    fn a_machine_that_is_busy_is_waited_for() {
        let host = created(Shared);
        host.sleeps_left.set(Some(3));
        stop(&host, &saved(&host)).unwrap_err();
        assert_eq!(host.server.borrow().vms["vm-1"].state, "Stopping");
        host.sleeps_left.set(None);
        remove(&host, &saved(&host)).unwrap();
        assert!(contents(&host).is_empty());
    }
}

mod status {
    use super::*;

    fn states(results: Vec<Result<MachineStatus, types::Error>>) -> Vec<(State, Option<String>)> {
        results
            .into_iter()
            .map(|result| result.map(|status| (status.state, status.ip)).unwrap())
            .collect()
    }

    #[test]
    fn one_machine_takes_one_call() {
        let host = TestHost::new(FakeCloud::with_vm(Isolated, "Stopping"));
        let saved = json!({VM_ID: "vm-old", ADDRESS_MEMBER: "192.0.2.12"});
        let statuses = status(&host, &[with(&saved.to_string())]);
        assert_eq!(
            statuses,
            [Ok(at_address(State::Stopping, Some("192.0.2.12")))]
        );
        expect_calls(&host, &[&["listVirtualMachines"]]);

        let host = TestHost::new(FakeCloud::with_vm(Shared, "Stopped"));
        let statuses = status(&host, &[old()]);
        assert_eq!(statuses, [Ok(at_address(State::Stopped, Some("10.1.1.5")))]);
        expect_calls(&host, &[&["listVirtualMachines"]]);
    }

    #[test]
    fn an_old_machine_is_at_its_forwarded_port() {
        for state in ["Running", "Stopped"] {
            let mut cloud = FakeCloud::with_vm(Isolated, state);
            cloud.rules.insert("r1".to_owned(), ("vm-x".to_owned(), 22));
            let host = TestHost::new(cloud);
            assert_eq!(status(&host, &[old()])[0].as_ref().unwrap().ip, None);
            host.server
                .borrow_mut()
                .rules
                .insert("r2".to_owned(), ("vm-old".to_owned(), 22));
            let expected = (state == "Running").then_some("192.0.2.12".to_owned());
            assert_eq!(status(&host, &[old()])[0].as_ref().unwrap().ip, expected);
        }
    }

    #[test]
    fn many_machines_take_one_call() {
        let mut cloud = FakeCloud::with_vm(Shared, "Running");
        cloud.add_vm("vm-2", "m2", "m2-key", "Error");
        cloud.add_vm("vm-3", "m3", "m3-key", "Expunging");
        cloud.add_vm("vm-4", "m1", MARK, "Starting");
        cloud.keys.insert(MARK.to_owned(), String::new());
        let host = TestHost::new(cloud);
        let of_vm = |id: &str| with(&json!({VM_ID: id}).to_string());
        let machines = [
            of_vm("vm-2"),
            of_vm("vm-9"),
            old(),
            of_vm("vm-3"),
            with(&json!({KEY_PAIR: MARK}).to_string()),
            with("{}"),
        ];
        let own = Some("10.1.1.5".to_owned());
        assert_eq!(
            states(status(&host, &machines)),
            [
                (State::Error, own.clone()),
                (State::NotFound, None),
                (State::Running, own.clone()),
                (State::NotFound, None),
                (State::Starting, own),
                (State::NotFound, None),
            ]
        );
        expect_calls(&host, &[&["listVirtualMachines"]]);
        assert!(status(&host, &[]).is_empty());
        let broken = status(&host, &[with("x"), old()]);
        assert!(broken[0].is_err() && broken[1].is_ok());
    }

    #[test]
    fn what_is_not_there_is_not_found_and_what_cannot_be_asked_is_an_error() {
        let host = TestHost::new(FakeCloud::new(Isolated));
        assert_eq!(states(status(&host, &[old()])), [(State::NotFound, None)]);
        host.server
            .borrow_mut()
            .faults
            .insert("listVirtualMachines", Fault::Refuse(401, "no"));
        for machines in [vec![old()], vec![old(), old()]] {
            let results = status(&host, &machines);
            assert_eq!(results.len(), machines.len());
            for result in results {
                assert_eq!(result.unwrap_err().kind, ErrorKind::Authentication);
            }
        }
    }
}
