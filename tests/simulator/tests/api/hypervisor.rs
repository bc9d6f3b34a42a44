//! What a hypervisor is told, and that jobs wait for it.

use std::collections::VecDeque;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cloudstack_simulator::{
    Fault, Guest, Hypervisor, ManualClock, Protocol, Route, Simulator, Task,
};

use crate::client::{Client, ED25519_KEY, borrowed, builder, text};

/// Notes what it is told, and has its tasks done when a test says so.
#[derive(Default)]
struct Notes {
    told: Mutex<Vec<String>>,
    guests: Mutex<Vec<Guest>>,
    routes: Mutex<Vec<Route>>,
    open: Mutex<VecDeque<Sender<Result<(), String>>>>,
    /// Whether tasks wait to be ended by the test.
    slow: Mutex<bool>,
}

impl Notes {
    fn task(&self, what: String) -> Task {
        self.told.lock().unwrap().push(what);
        let (sender, task) = Task::new();
        match *self.slow.lock().unwrap() {
            true => self.open.lock().unwrap().push_back(sender),
            false => sender.send(Ok(())).unwrap(),
        }
        task
    }

    fn told(&self) -> Vec<String> {
        std::mem::take(&mut self.told.lock().unwrap())
    }

    fn end(&self, result: Result<(), &str>) {
        let sender = self.open.lock().unwrap().pop_front().unwrap();
        sender.send(result.map_err(str::to_owned)).unwrap();
    }
}

impl Hypervisor for Notes {
    fn start(&self, guest: Guest) -> Task {
        let task = self.task(format!("start {}", guest.name));
        self.guests.lock().unwrap().push(guest);
        task
    }

    fn stop(&self, _: &str, forced: bool) -> Task {
        self.task(format!("stop {forced}"))
    }

    fn reboot(&self, _: &str) -> Task {
        self.task("reboot".to_owned())
    }

    fn remove(&self, _: &str) {
        self.told.lock().unwrap().push("remove".to_owned());
    }

    fn route(&self, routes: &[Route]) {
        *self.routes.lock().unwrap() = routes.to_vec();
    }
}

fn cloud() -> (Simulator, ManualClock, Arc<Notes>) {
    let (clock, notes) = (ManualClock::new(), Arc::<Notes>::default());
    let hypervisor = Arc::clone(&notes);
    let simulator = builder(&clock).hypervisor(hypervisor).start().unwrap();
    (simulator, clock, notes)
}

#[test]
fn a_hypervisor_is_told_what_happens_to_a_machine() {
    let (simulator, clock, notes) = cloud();
    let client = Client::new(&simulator);
    client.ok(
        "registerSSHKeyPair",
        &[("name", "k"), ("publickey", ED25519_KEY)],
    );
    let machine = client.deploy(
        &clock,
        "web-1",
        &[("keypair", "k"), ("userdata", "IyEvYmlu")],
    );
    let id = text(&machine["id"]);
    let guest = notes.guests.lock().unwrap()[0].clone();
    assert_eq!(guest.id, id);
    assert_eq!(guest.public_keys, [ED25519_KEY]);
    assert_eq!(guest.user_data.as_deref(), Some("IyEvYmlu"));
    assert_eq!((guest.cpus, guest.memory_mib), (1, 1024));
    let nic = &guest.nics[0];
    assert_eq!(nic.gateway.to_string(), "10.1.1.1");
    assert_eq!(
        (nic.address.to_string().as_str(), nic.prefix),
        ("10.1.1.10", 24)
    );
    assert_eq!(nic.mac, text(&machine["nic"][0]["macaddress"]));
    assert_eq!(nic.public_address.unwrap().to_string(), "127.0.100.10");

    for (command, more) in [
        ("stopVirtualMachine", vec![]),
        ("startVirtualMachine", vec![]),
        ("rebootVirtualMachine", vec![]),
        ("stopVirtualMachine", vec![("forced", "true")]),
        ("destroyVirtualMachine", vec![]),
    ] {
        client.run(&clock, command, &[&[("id", id)], more.as_slice()].concat());
    }
    let expected = [
        "start web-1",
        "stop false",
        "start web-1",
        "reboot",
        "stop true",
        "stop true",
        "remove",
    ];
    client.ok("listVirtualMachines", &[]);
    assert_eq!(notes.told(), expected);
}

#[test]
fn a_job_lasts_until_the_hypervisor_is_done_and_those_after_it_wait() {
    let (simulator, clock, notes) = cloud();
    let client = Client::new(&simulator);
    let machine = client.deploy(&clock, "web-1", &[]);
    let id = text(&machine["id"]);
    notes.told();
    *notes.slow.lock().unwrap() = true;
    let stop = client.start("stopVirtualMachine", &[("id", id)]);
    let start = client.start("startVirtualMachine", &[("id", id)]);
    clock.advance(Duration::from_secs(60));
    assert_eq!(client.job(&stop)["jobstatus"], 0);
    assert_eq!(client.job(&start)["jobstatus"], 0);
    assert_eq!(notes.told(), ["stop false"]);
    notes.end(Ok(()));
    assert_eq!(client.job(&stop)["jobstatus"], 1);
    assert_eq!(notes.told(), ["start web-1"]);
    notes.end(Err("no room"));
    let job = client.job(&start);
    assert_eq!(job["jobstatus"], 2);
    assert_eq!(job["jobresult"]["errortext"], "no room");
    let list = client.ok("listVirtualMachines", &[]);
    assert_eq!(list["virtualmachine"][0]["state"], "Stopped");
}

#[test]
fn a_job_that_is_to_fail_starts_no_machine() {
    let (simulator, clock, notes) = cloud();
    let client = Client::new(&simulator);
    let fault = Fault::JobFails {
        code: 533,
        text: "no".to_owned(),
    };
    simulator.fault("deployVirtualMachine", 1, fault);
    let parameters = client.machine_parameters("uk-london-1");
    let parameters = borrowed(&parameters);
    assert_eq!(
        client.finish(&clock, "deployVirtualMachine", &parameters)["jobstatus"],
        2
    );
    assert_eq!(notes.told(), Vec::<String>::new());
}

#[test]
fn ports_lead_where_a_rule_and_the_firewall_let_them() {
    let (simulator, clock, notes) = cloud();
    let client = Client::new(&simulator);
    let machine = client.deploy(&clock, "web-1", &[]);
    let (id, address) = (text(&machine["id"]), client.source_nat());
    let routes = || notes.routes.lock().unwrap().clone();
    let rule = [
        ("ipaddressid", address.as_str()),
        ("protocol", "tcp"),
        ("publicport", "2022"),
        ("privateport", "22"),
        ("virtualmachineid", id),
        ("openfirewall", "false"),
    ];
    client.run(&clock, "createPortForwardingRule", &rule);
    assert_eq!(routes(), []);
    let open = [
        ("ipaddressid", address.as_str()),
        ("protocol", "tcp"),
        ("startport", "2000"),
        ("endport", "2100"),
        ("cidrlist", "127.0.0.9/32"),
    ];
    client.run(&clock, "createFirewallRule", &open);
    let route = Route {
        public: "127.0.100.10".parse().unwrap(),
        protocol: Protocol::Tcp,
        first: 2022,
        last: 2022,
        network: text(&machine["nic"][0]["networkid"]).to_owned(),
        guest: "10.1.1.10".parse().unwrap(),
        guest_first: 22,
        sources: vec!["127.0.0.9/32".to_owned()],
    };
    assert_eq!(routes(), [route]);
    client.run(&clock, "destroyVirtualMachine", &[("id", id)]);
    client.ok("listVirtualMachines", &[]);
    assert_eq!(routes(), []);
}

#[test]
fn static_nat_leads_all_ports_that_the_firewall_opens() {
    let (simulator, clock, notes) = cloud();
    let client = Client::new(&simulator);
    let machine = client.deploy(&clock, "web-1", &[]);
    let network = text(&machine["nic"][0]["networkid"]);
    let associated = client.run(&clock, "associateIpAddress", &[("networkid", network)]);
    let address = text(&associated["ipaddress"]["id"]);
    let to = [
        ("ipaddressid", address),
        ("virtualmachineid", text(&machine["id"])),
    ];
    client.ok("enableStaticNat", &to);
    for (protocol, start, end) in [("tcp", "22", "22"), ("udp", "8000", "8010")] {
        let rule = [
            ("ipaddressid", address),
            ("protocol", protocol),
            ("startport", start),
            ("endport", end),
        ];
        client.run(&clock, "createFirewallRule", &rule);
    }
    let routes = notes.routes.lock().unwrap().clone();
    let ports: Vec<_> = routes
        .iter()
        .map(|route| (route.protocol, route.first, route.last, route.guest_first))
        .collect();
    assert_eq!(
        ports,
        [
            (Protocol::Tcp, 22, 22, 22),
            (Protocol::Udp, 8000, 8010, 8000)
        ]
    );
    assert_eq!(
        routes[0].public.to_string(),
        text(&associated["ipaddress"]["ipaddress"])
    );
    client.run(&clock, "disableStaticNat", &[("ipaddressid", address)]);
    assert_eq!(*notes.routes.lock().unwrap(), []);
}

#[test]
fn a_machine_of_a_shared_network_is_reached_as_its_security_groups_let_it() {
    let (simulator, clock, notes) = cloud();
    let client = Client::new(&simulator);
    let parameters = client.machine_parameters("uk-basic-1");
    let parameters = borrowed(&parameters);
    let machine = &client.run(&clock, "deployVirtualMachine", &parameters)["virtualmachine"];
    assert_eq!(*notes.routes.lock().unwrap(), []);
    let rule = [
        ("securitygroupname", "default"),
        ("protocol", "tcp"),
        ("startport", "22"),
        ("endport", "22"),
        ("cidrlist", "0.0.0.0/0"),
    ];
    client.run(&clock, "authorizeSecurityGroupIngress", &rule);
    let routes = notes.routes.lock().unwrap().clone();
    assert_eq!(routes.len(), 1);
    let address = text(&machine["nic"][0]["ipaddress"]);
    assert_eq!(routes[0].public.to_string(), address);
    assert_eq!((routes[0].first, routes[0].guest_first), (22, 22));
}
