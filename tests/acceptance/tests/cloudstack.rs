//! The driver for any CloudStack cloud: its options, and the machines of the Go driver that it takes over.

use std::fs;
use std::net::Ipv4Addr;

use acceptance::api::Api;
use acceptance::documentation::check_options;
use acceptance::virtual_lab::{CLOUDSTACK, LONDON, VirtualLab, with_project};
use acceptance::{CLOUDSTACK as COMPONENT, Lab, imports};
use btcloud_host::contract::types::State;
use btcloud_host::machine::Error;
use btcloud_host::sandbox::Change;
use cloudstack_simulator::{Cidr, CloudConfig, Inventory, NetworkConfig};
use serde_json::{Value, json};

const RSA_KEY: &str = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAABwECAwQFBgc= me@example";

fn lab_with(change: impl FnOnce(&mut CloudConfig)) -> VirtualLab {
    VirtualLab::in_cloud(&CLOUDSTACK, change)
}

fn lab() -> VirtualLab {
    lab_with(|_| ())
}

fn create(lab: &VirtualLab, name: &str, options: &[(&str, &str)]) -> Result<(), Error> {
    lab.create(name, &lab.flags(options))
}

fn with<'o>(options: &[(&'o str, &'o str)]) -> Vec<(&'o str, &'o str)> {
    [LONDON.as_slice(), options].concat()
}

fn rules(inventory: &Inventory) -> Vec<&str> {
    let rules = inventory.firewall_rules.iter();
    rules.map(|rule| rule.rule.as_str()).collect()
}

#[test]
fn a_machine_has_an_address_of_its_own() {
    let lab = lab();
    let before = lab.cloud.inventory();
    create(&lab, "m1", &LONDON).unwrap();
    create(&lab, "m2", &with(&[("cidr", "192.0.2.0/24")])).unwrap();
    let (first, second) = (lab.address("m1"), lab.address("m2"));
    assert_ne!(first, second);
    let inventory = lab.cloud.inventory();
    assert_eq!(
        inventory.static_nats,
        [format!("{first} → m1"), format!("{second} → m2")]
    );
    assert_eq!(
        rules(&inventory),
        [
            format!("0.0.0.0/0 → {first}:22/tcp"),
            format!("0.0.0.0/0 → {first}:2376/tcp"),
            format!("192.0.2.0/24 → {second}:22/tcp"),
            format!("192.0.2.0/24 → {second}:2376/tcp"),
        ]
    );
    for (change, state) in [
        (Change::Stop, State::Stopped),
        (Change::Start, State::Running),
        (Change::Kill, State::Stopped),
    ] {
        lab.change("m1", change).unwrap();
        assert_eq!(lab.stored("m1").state().unwrap(), state);
    }
    // The members are the Go driver's.
    let driver = lab.config("m2")["Driver"].clone();
    assert_eq!(driver["PublicIP"], second);
    assert_eq!(driver["DisassociatePublicIP"], true);
    assert_eq!(driver["Id"], inventory.machines[1].id);
    assert_eq!(driver["SSHKeyPair"], inventory.key_pairs[1]);
    assert_eq!(driver["Zone"], "uk-london-1");
    assert_eq!(driver.get("ApiKey"), None);
    lab.remove("m1");
    lab.remove("m2");
    assert_eq!(lab.cloud.inventory(), before);
}

#[test]
fn ids_are_enough_and_what_is_missing_is_said() {
    let lab = lab();
    let api = Api(&lab);
    let zone = api.id("listZones", "zone", "uk-london-1", &[]);
    let executable = [("templatefilter", "executable")];
    let template = api.id("listTemplates", "template", "Debian 12", &executable);
    let offering = api.id("listServiceOfferings", "serviceoffering", "Small", &[]);
    let network = api.id("listNetworks", "network", "default", &[]);
    let options = [
        ("zone-id", zone.as_str()),
        ("template-id", &template),
        ("service-offering-id", &offering),
        ("network-id", &network),
    ];
    create(&lab, "m1", &options).unwrap();
    let driver = lab.config("m1")["Driver"].clone();
    assert_eq!(driver["ZoneID"], zone);
    for (i, option) in ["zone", "template", "service-offering"].iter().enumerate() {
        let mut options = options.to_vec();
        options.remove(i);
        let error = create(&lab, "m2", &options).unwrap_err();
        let sentence = format!("cloudstack driver requires the --cloudstack-{option} option");
        assert_eq!(error.to_string(), sentence);
        assert!(!lab.has_stored("m2"));
    }
    lab.remove("m1");
}

#[test]
fn ports_are_forwarded_or_the_own_address_is_used_on_request() {
    let lab = lab();
    let before = lab.cloud.inventory();
    create(&lab, "m1", &with(&[("use-port-forward", "true")])).unwrap();
    create(&lab, "m2", &with(&[("use-port-forward", "true")])).unwrap();
    assert_eq!(lab.address("m1"), lab.address("m2"));
    create(&lab, "m3", &with(&[("use-private-address", "true")])).unwrap();
    assert!(lab.address("m3").starts_with("10.1.1."));
    create(&lab, "m4", &with(&[("network", "shared-lan")])).unwrap();
    assert!(lab.address("m4").starts_with("127.0.210."));
    let basic = [&[("zone", "uk-basic-1")], &LONDON[1..]].concat();
    create(&lab, "m5", &basic).unwrap();
    let inventory = lab.cloud.inventory();
    assert_eq!(inventory.port_forwards.len(), 4, "{inventory}");
    assert_eq!(inventory.security_groups.len(), 1, "{inventory}");
    assert!(inventory.addresses.is_empty(), "{inventory}");
    for name in ["m1", "m2", "m3", "m4", "m5"] {
        lab.remove(name);
    }
    assert_eq!(lab.cloud.inventory(), before);
}

#[test]
fn an_address_that_the_user_has_stays() {
    let lab = lab();
    let network = Api(&lab).id("listNetworks", "network", "default", &[]);
    let acquired = Api(&lab).call("associateIpAddress", &[("networkid", &network)]);
    let ip = acquired["ipaddress"]["ipaddress"].as_str().unwrap();
    let before = lab.cloud.inventory();
    for options in [
        [("public-ip", ip)].as_slice(),
        &[("public-ip", ip), ("use-port-forward", "true")],
    ] {
        create(&lab, "m1", &with(options)).unwrap();
        assert_eq!(lab.address("m1"), ip);
        let inventory = lab.cloud.inventory();
        assert_eq!(inventory.static_nats.is_empty(), options.len() == 2);
        lab.remove("m1");
        assert_eq!(lab.cloud.inventory(), before);
    }
}

#[test]
fn a_machine_in_several_networks_is_reached_by_the_one_that_is_named() {
    let lab = lab_with(|cloud| {
        cloud.networks.push(NetworkConfig {
            name: "second".to_owned(),
            zone: "uk-london-1".to_owned(),
            owner: Some("demo".to_owned()),
            cidr: Cidr::new(Ipv4Addr::new(10, 1, 2, 0), 24).unwrap(),
        });
    });
    let before = lab.cloud.inventory();
    let networks = ("network", "default,second");
    create(
        &lab,
        "m1",
        &with(&[
            networks,
            ("use-private-address", "true"),
            ("private-network-index", "1"),
        ]),
    )
    .unwrap();
    assert!(lab.address("m1").starts_with("10.1.2."));
    assert_eq!(lab.stored("m1").state().unwrap(), State::Running);
    assert!(lab.address("m1").starts_with("10.1.2."));
    create(
        &lab,
        "m2",
        &with(&[networks, ("public-network-index", "1")]),
    )
    .unwrap();
    let second = Api(&lab).id("listNetworks", "network", "second", &[]);
    let ip = lab.address("m2");
    let nats = Api(&lab).call("listPublicIpAddresses", &[("isstaticnat", "true")]);
    let nat = &nats["publicipaddress"][0];
    assert_eq!(nat["ipaddress"], ip);
    assert_eq!(nat["associatednetworkid"], second);
    let options = with(&[networks, ("public-network-index", "2")]);
    let error = create(&lab, "m3", &options).unwrap_err().to_string();
    assert!(error.contains("numbered from 0 to 1"), "{error}");
    for name in ["m1", "m2"] {
        lab.remove(name);
    }
    assert_eq!(lab.cloud.inventory(), before);
}

#[test]
fn a_server_that_refuses_post_gets_none() {
    let lab = lab();
    let before = lab.cloud.inventory();
    let by_get = ("http-get-only", "true");
    let options = with(&[
        by_get,
        ("userdata-base64", "I2Nsb3VkLWNvbmZpZwo="),
        ("cidr", "192.0.2.0/24"),
    ]);
    create(&lab, "m1", &options).unwrap();
    for change in [Change::Stop, Change::Start] {
        lab.change("m1", change).unwrap();
    }
    lab.remove("m1");
    assert_eq!(lab.cloud.inventory(), before);
    let requests = lab.cloud.requests();
    assert!(requests.iter().all(|request| request.method == "GET"));
    let deploy = requests
        .iter()
        .find(|request| request.command == "deployVirtualMachine");
    assert_eq!(
        deploy.unwrap().parameter("userdata"),
        Some("I2Nsb3VkLWNvbmZpZwo=")
    );
    let more = "x".repeat(2_049);
    let options = with(&[by_get, ("userdata-file", &more)]);
    let error = create(&lab, "m1", &options).unwrap_err().to_string();
    assert!(error.ends_with("CloudStack takes 2048 by GET"), "{error}");
}

#[test]
fn the_other_options_of_the_go_driver_reach_the_cloud() {
    let lab = lab_with(with_project);
    let before = lab.cloud.inventory();
    let options = with(&[
        ("project", "ci"),
        ("displayname", "Build server"),
        ("resource-tag", "team:ci,url:a=b"),
        ("disk-offering", "Data custom"),
        ("disk-size", "5"),
        ("root-disk-size", "20"),
        ("ssh-user", "ubuntu"),
        ("delete-volumes", "true"),
        ("expunge", "true"),
        ("domain", "ROOT"),
    ]);
    create(&lab, "m1", &options).unwrap();
    assert_eq!(lab.stored("m1").ssh_username(), "ubuntu");
    let inventory = lab.cloud.inventory_of("ci");
    assert_eq!(inventory, lab.cloud.inventory());
    for tag in ["team=ci", "url=a=b"] {
        assert!(
            inventory.tags.iter().any(|row| row.contains(tag)),
            "{inventory}"
        );
    }
    assert_eq!(inventory.volumes.len(), 2, "{inventory}");
    lab.remove("m1");
    assert_eq!(lab.cloud.inventory(), before);
    let requests = lab.cloud.requests();
    let parameter = |command: &str, name: &str| {
        let mut requests = requests.iter();
        let request = requests.find(|request| request.command == command).unwrap();
        request.parameter(name).map(str::to_owned)
    };
    let deployed = |name| parameter("deployVirtualMachine", name);
    assert_eq!(deployed("displayname").as_deref(), Some("Build server"));
    assert_eq!(deployed("size").as_deref(), Some("5"));
    assert_eq!(deployed("rootdisksize").as_deref(), Some("20"));
    assert_eq!(
        parameter("destroyVirtualMachine", "expunge").as_deref(),
        Some("true")
    );
}

#[test]
fn data_disks_are_kept_by_default_but_not_those_of_a_failed_creation() {
    let lab = lab();
    let before = lab.cloud.inventory();
    let options = with(&[("disk-offering", "Data 20 GB")]);
    let (code, text) = (530, "The address is on fire".to_owned());
    let fault = cloudstack_simulator::Fault::JobFails { code, text };
    lab.cloud.fault("createFirewallRule", 1, fault);
    let error = create(&lab, "m1", &options).unwrap_err().to_string();
    assert!(error.contains("on fire"), "{error}");
    assert_eq!(lab.cloud.inventory(), before);
    create(&lab, "m2", &options).unwrap();
    lab.cloud.clear_requests();
    lab.remove("m2");
    assert_eq!(
        lab.cloud.inventory().volumes.len(),
        1,
        "the data disk is kept"
    );
    // Nor is the machine expunged.
    let requests = lab.cloud.requests();
    let mut destroys = requests
        .iter()
        .filter(|request| request.command == "destroyVirtualMachine");
    assert!(destroys.all(|request| request.parameter("expunge").is_none()));
}

/// How the Go driver makes a machine.
#[derive(Clone, Copy, Default)]
struct Making {
    zone: &'static str,
    /// Whether it forwards ports, of an address that was there before.
    forwards_ports: bool,
    uses_private_address: bool,
    project: Option<&'static str>,
    has_data_disk: bool,
}

/// Makes the machine `m1` as the Go driver v0.9.3 does, with the same calls in the same order, and puts what that would
/// have written into the store. Tells the inventory without it, and the address under which it is reached.
fn made_by_the_go_driver(lab: &VirtualLab, making: Making) -> (Inventory, String) {
    let api = Api(lab);
    let zone = api.id("listZones", "zone", making.zone, &[]);
    let is_basic = making.zone == "uk-basic-1";
    let project = making
        .project
        .map(|name| api.id("listProjects", "project", name, &[]));
    let scope: Vec<_> = project
        .iter()
        .map(|id| ("projectid", id.as_str()))
        .collect();
    let network_name = match (is_basic, making.project) {
        (true, _) => "guestNetworkForBasicZone",
        (false, None) => "default",
        (false, Some(_)) => "ci-net",
    };
    let network = api.id("listNetworks", "network", network_name, &scope);
    let associate = || {
        let parameters = [
            scope.as_slice(),
            &[("zoneid", &zone), ("networkid", &network)],
        ];
        api.call("associateIpAddress", &parameters.concat())["ipaddress"].clone()
    };
    let given = making.forwards_ports.then(associate);
    let before = lab.cloud.inventory();

    let template = [("templatefilter", "executable")];
    let template = api.id("listTemplates", "template", "Debian 12", &template);
    let offering = api.id("listServiceOfferings", "serviceoffering", "Small", &[]);
    let key = [("name", "m1"), ("publickey", RSA_KEY)];
    api.call("registerSSHKeyPair", &[&scope, key.as_slice()].concat());
    if is_basic {
        api.call("createSecurityGroup", &[("name", "m1")]);
        for port in ["22", "2376"] {
            let ingress = [
                ("securitygroupname", "m1"),
                ("protocol", "tcp"),
                ("cidrlist", "0.0.0.0/0"),
                ("startport", port),
                ("endport", port),
            ];
            api.call("authorizeSecurityGroupIngress", &ingress);
        }
    }
    let mut deployment = vec![
        ("serviceofferingid", offering.as_str()),
        ("templateid", &template),
        ("zoneid", &zone),
        ("name", "m1"),
        ("displayname", "m1"),
        ("keypair", "m1"),
    ];
    deployment.extend_from_slice(&scope);
    match is_basic {
        true => deployment.push(("securitygroupnames", "m1")),
        false => deployment.push(("networkids", &network)),
    }
    let disk;
    if making.has_data_disk {
        disk = api.id("listDiskOfferings", "diskoffering", "Data 20 GB", &[]);
        deployment.push(("diskofferingid", &disk));
    }
    let vm = api.call("deployVirtualMachine", &deployment)["virtualmachine"].clone();
    let (vm_id, own_ip) = (
        vm["id"].as_str().unwrap(),
        vm["nic"][0]["ipaddress"].clone(),
    );

    let mut config = include_str!("../../machines/cloudstack-0.9.3.json")
        .parse::<Value>()
        .unwrap();
    let driver = &mut config["Driver"];
    let mut public =
        json!({"id": "", "ipaddress": if is_basic { own_ip.clone() } else { json!("") }});
    let mut rule_ids = Vec::new();
    if !is_basic && !making.uses_private_address {
        public = given.clone().unwrap_or_else(associate);
        let address = public["id"].as_str().unwrap();
        for port in ["22", "2376"] {
            let rule = [
                ("ipaddressid", address),
                ("protocol", "tcp"),
                ("cidrlist", "0.0.0.0/0"),
                ("startport", port),
                ("endport", port),
            ];
            let rule = api.call("createFirewallRule", &rule);
            rule_ids.push(rule["firewallrule"]["id"].clone());
        }
        for port in ["22", "2376"].iter().filter(|_| making.forwards_ports) {
            let rule = [
                ("ipaddressid", address),
                ("privateport", port),
                ("protocol", "tcp"),
                ("publicport", port),
                ("virtualmachineid", vm_id),
                ("openfirewall", "false"),
            ];
            api.call("createPortForwardingRule", &rule);
        }
        if !making.forwards_ports {
            let nat = [("ipaddressid", address), ("virtualmachineid", vm_id)];
            api.call("enableStaticNat", &nat);
        }
    }
    let reached = match making.uses_private_address {
        true => own_ip.clone(),
        false => public["ipaddress"].clone(),
    };
    let own = json!({
        // The Go driver has filled it since v0.9.3 only.
        "IPAddress": "",
        "Id": vm_id, "ApiURL": lab.cloud.url(), "ApiKey": lab.cloud.api_key(),
        "SecretKey": lab.cloud.secret_key(), "UsePrivateIP": making.uses_private_address,
        "UsePortForward": making.forwards_ports, "PublicIP": public["ipaddress"], "PublicIPID": public["id"],
        "DisassociatePublicIP": public["id"] != "" && given.is_none(), "PrivateIP": own_ip,
        "FirewallRuleIds": rule_ids, "ZoneID": zone, "Zone": making.zone,
        "NetworkType": if is_basic { "Basic" } else { "Advanced" },
        "ProjectID": project.clone().unwrap_or_default(), "Project": making.project.unwrap_or_default(),
        "DiskOffering": if making.has_data_disk { "Data 20 GB" } else { "" },
        "DeleteVolumes": making.has_data_disk,
    });
    for (member, value) in own.as_object().unwrap() {
        driver[member] = value.clone();
    }
    lab.store_config("m1", &config);
    (before, reached.as_str().unwrap().to_owned())
}

#[test]
fn machines_of_the_go_driver_are_taken_over() {
    let london = Making {
        zone: "uk-london-1",
        ..Making::default()
    };
    let basic = Making {
        zone: "uk-basic-1",
        ..Making::default()
    };
    for making in [
        london,
        Making {
            forwards_ports: true,
            ..london
        },
        Making {
            uses_private_address: true,
            ..london
        },
        Making {
            project: Some("ci"),
            has_data_disk: true,
            ..london
        },
        basic,
    ] {
        let lab = lab_with(with_project);
        let (before, ip) = made_by_the_go_driver(&lab, making);
        assert_eq!(lab.stored("m1").state().unwrap(), State::Running);
        // As another process finds it: the machine is where it was, and is logged in to by the same user.
        let machine = lab.stored("m1");
        assert_eq!(machine.url().unwrap(), format!("tcp://{ip}:2376"));
        assert_eq!(machine.ip().unwrap().to_string(), ip);
        let login = (machine.ssh_username(), machine.ssh_port());
        assert_eq!(login, ("ubuntu".to_owned(), 22));
        for (change, state) in [
            (Change::Stop, State::Stopped),
            (Change::Start, State::Running),
            (Change::Restart, State::Running),
        ] {
            lab.change("m1", change).unwrap();
            assert_eq!(lab.stored("m1").state().unwrap(), state);
        }
        lab.remove("m1");
        assert_eq!(lab.cloud.inventory(), before, "{}", lab.cloud.inventory());
    }
}

#[test]
fn the_component_is_used_at_a_shell() {
    let lab = Lab::new();
    let before = lab.cloud.inventory();
    let run = |arguments: &[&str]| {
        let mut host = lab.host();
        host.args(arguments)
            .args(["--driver", COMPONENT])
            .env("CLOUDSTACK_API_URL", lab.cloud.url())
            .env("CLOUDSTACK_API_KEY", lab.cloud.api_key())
            .env("CLOUDSTACK_SECRET_KEY", lab.cloud.secret_key());
        lab.finish(&mut host)
    };
    let help = run(&["create", "--help"]);
    assert!(
        help.ok().contains("--cloudstack-userdata-base64"),
        "{help:?}"
    );
    assert!(!help.stdout.contains("BT Cloud Compute"), "{help:?}");
    let options = LONDON.map(|(name, value)| format!("--cloudstack-{name}={value}"));
    let options: Vec<_> = options.iter().map(String::as_str).collect();
    let created = run(&[["create", "m1"].as_slice(), &options].concat());
    assert!(created.ok().starts_with("m1 runs at "), "{created:?}");
    assert_eq!(lab.config("m1")["DriverName"], "cloudstack");
    assert_eq!(run(&["status", "m1"]).ok(), "Running");
    // The driver that made it is the one that manages it.
    lab.run(&["remove", "m1"]).fails(1);
    let bad_name = run(&[["create", "m_1"].as_slice(), &options].concat());
    assert_eq!(bad_name.code, 2, "{bad_name:?}");
    run(&["remove", "m1"]).ok();
    assert_eq!(lab.cloud.inventory(), before);
}

#[test]
fn the_flavour_imports_and_calls_the_same_as_the_built_in_one() {
    let component = fs::read(COMPONENT).unwrap();
    assert_eq!(
        imports(&component),
        imports(btcloud_host::builtin::COMPONENT)
    );
    let commands = acceptance::virtual_lab::BTCLOUD.description().commands;
    assert_eq!(CLOUDSTACK.description().commands, commands);
}

#[test]
fn the_documentation_has_the_options() {
    check_options("docs/cloudstack.md", &CLOUDSTACK.description());
}
