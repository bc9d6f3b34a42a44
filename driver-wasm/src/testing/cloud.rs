//! A small cloud that remembers what is made in it.

use super::*;

/// What the network of the cloud's machines is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NetworkKind {
    Isolated,
    Shared,
    /// A shared one in a zone of the type `Basic`, on a version that tells no type with the interface.
    Basic,
    Vpc,
    L2,
}

/// What goes wrong with one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is refused.
    Refuse(u16, &'static str),
    /// It is never sent.
    NotSent,
    /// It is carried out, but its answer is lost.
    AnswerLost,
    /// It is carried out, and the driver is killed before it gets the answer: nothing works any more.
    Kill,
    /// Its job fails.
    JobFails,
}

pub(crate) struct VmRow {
    pub(crate) name: String,
    pub(crate) key_pair: String,
    pub(crate) state: &'static str,
}

/// A job: when it ends, in which state it leaves its machine, and whether it fails.
struct Job {
    ends: u64,
    vm: Option<(String, &'static str)>,
    fails: bool,
}

/// A small cloud with one zone, one template and one network.
pub(crate) struct FakeCloud {
    pub(crate) network: NetworkKind,
    /// How long jobs take, in milliseconds.
    pub(crate) job_time: u64,
    pub(crate) takes_ed25519: bool,
    pub(crate) may_expunge: bool,
    /// The account of the keys; another one than "me" sees no machines.
    pub(crate) caller: &'static str,
    /// Whether a machine that starts or stops can be destroyed.
    pub(crate) destroys_busy: bool,
    pub(crate) vms: BTreeMap<String, VmRow>,
    pub(crate) keys: BTreeMap<String, String>,
    /// By id: the machine and the port.
    pub(crate) rules: BTreeMap<String, (String, u16)>,
    /// Whether the address `ip-3` is acquired, for the VPC.
    pub(crate) has_acquired: bool,
    pub(crate) tags: Vec<String>,
    /// Data disks, attached to whatever machine is asked for.
    pub(crate) volumes: Vec<&'static str>,
    /// What goes wrong with the request of that number, from 0, or with each of a command.
    pub(crate) fault: Option<(u32, Fault)>,
    pub(crate) faults: BTreeMap<&'static str, Fault>,
    jobs: BTreeMap<String, Job>,
    requests: u32,
    is_dead: bool,
    next_id: u32,
}

/// The text for an id that nothing has.
pub(crate) const GONE: &str = "Unable to execute API command due to invalid value. Invalid parameter id value=x due to \
    incorrect long value format, or entity does not exist or due to incorrect parameter annotation for the field in api \
    cmd class.";

impl FakeCloud {
    pub(crate) fn new(network: NetworkKind) -> Self {
        Self {
            network,
            job_time: 3_000,
            takes_ed25519: true,
            may_expunge: true,
            caller: "me",
            destroys_busy: false,
            vms: BTreeMap::new(),
            keys: BTreeMap::new(),
            rules: BTreeMap::new(),
            has_acquired: false,
            tags: Vec::new(),
            volumes: Vec::new(),
            fault: None,
            faults: BTreeMap::new(),
            jobs: BTreeMap::new(),
            requests: 0,
            is_dead: false,
            next_id: 0,
        }
    }

    /// A cloud with a machine that the driver of 2016 made.
    pub(crate) fn with_vm(network: NetworkKind, state: &'static str) -> Self {
        let mut cloud = Self::new(network);
        cloud.add_vm("vm-old", "m1", "m1-key", state);
        cloud.keys.insert("m1-key".to_owned(), String::new());
        cloud
    }

    pub(crate) fn add_vm(&mut self, id: &str, name: &str, key_pair: &str, state: &'static str) {
        let row = VmRow {
            name: name.to_owned(),
            key_pair: key_pair.to_owned(),
            state,
        };
        self.vms.insert(id.to_owned(), row);
    }

    /// Puts an end to faults, and lets the driver live again.
    pub(crate) fn heal(&mut self) {
        self.fault = None;
        self.faults.clear();
        self.is_dead = false;
    }

    /// What there is, apart from machines that are destroyed.
    pub(crate) fn contents(&mut self, now: u64) -> Vec<String> {
        self.pass(now);
        let vms = self
            .vms
            .iter()
            .filter(|(_, vm)| !matches!(vm.state, "Destroyed" | "Expunging"))
            .map(|(id, vm)| format!("{id} {}", vm.state));
        let keys = self.keys.keys().map(|name| format!("key {name}"));
        let rules = self
            .rules
            .iter()
            .map(|(id, (_, port))| format!("{id} {port}"));
        let address = self.has_acquired.then(|| "ip-3".to_owned());
        vms.chain(keys).chain(rules).chain(address).collect()
    }

    fn id(&mut self, prefix: &str) -> String {
        self.next_id += 1;
        format!("{prefix}-{}", self.next_id)
    }

    /// Begins a job, in the course of which its machine is in the one state and at whose end it is in the other.
    fn job(
        &mut self,
        now: u64,
        vm: Option<(&str, &'static str, &'static str)>,
        fails: bool,
    ) -> String {
        let id = self.id("job");
        if let Some((vm_id, during, _)) = vm
            && let Some(row) = self.vms.get_mut(vm_id)
        {
            row.state = during;
        }
        let job = Job {
            ends: now + self.job_time,
            vm: vm.map(|(vm_id, _, after)| (vm_id.to_owned(), if fails { "Error" } else { after })),
            fails,
        };
        self.jobs.insert(id.clone(), job);
        id
    }

    /// Ends the jobs whose time has come.
    fn pass(&mut self, now: u64) {
        for job in self.jobs.values_mut().filter(|job| job.ends <= now) {
            if let Some((vm_id, state)) = job.vm.take()
                && let Some(row) = self.vms.get_mut(&vm_id)
            {
                row.state = state;
            }
        }
    }

    fn vm_json(&self, id: &str, row: &VmRow) -> Value {
        let network_type = match self.network {
            NetworkKind::Isolated | NetworkKind::Vpc => "Isolated",
            NetworkKind::Shared => "Shared",
            NetworkKind::L2 => "L2",
            NetworkKind::Basic => "",
        };
        json!({
            "id": id, "name": row.name, "displayname": row.name, "account": "me", "state": row.state,
            "keypair": if self.keys.contains_key(&row.key_pair) { row.key_pair.as_str() } else { "" },
            "cpunumber": 1, "memory": 512,
            "nic": [{"id": "nic-1", "networkid": "net-1", "networkname": "my net", "traffictype": "Guest",
                     "ipaddress": "10.1.1.5", "isdefault": true, "type": network_type}],
        })
    }

    fn change(
        &mut self,
        command: &str,
        vm_id: &str,
        now: u64,
        (during, after): (&'static str, &'static str),
        fails: bool,
    ) -> Answer {
        let Some(row) = self.vms.get(vm_id) else {
            return refuse(command, 431, GONE);
        };
        if !self.destroys_busy && matches!(row.state, "Starting" | "Stopping") {
            return refuse(
                command,
                530,
                "Unable to do that: the machine is not in the right state",
            );
        }
        let job = self.job(now, Some((vm_id, during, after)), fails);
        ok(command, json!({"jobid": job}))
    }

    fn carry_out(&mut self, request: &Request, now: u64, job_fails: bool) -> Answer {
        let get = |name: &str| param(request, name).unwrap_or_default();
        let name = command(request);
        match name {
            "listZones" => {
                let network_type = match self.network {
                    NetworkKind::Basic => "Basic",
                    _ => "Advanced",
                };
                let zones = json!([
                    {"id": "zone-1", "name": "London", "networktype": network_type, "securitygroupsenabled": false},
                    {"id": "zone-2", "name": "Paris", "networktype": "Advanced"},
                ]);
                ok(name, json!({"count": 2, "zone": zones}))
            }
            "listTemplates" => {
                assert_eq!(get("templatefilter"), "executable");
                assert_eq!(get("zoneid"), "zone-1");
                let templates = json!([{"id": "tpl-1", "name": "Ubuntu 16.04", "zoneid": "zone-1", "isready": true}]);
                ok(name, json!({"count": 1, "template": templates}))
            }
            "listServiceOfferings" => {
                let offerings = json!([
                    {"id": "off-1", "name": "Small", "cpunumber": 1, "iscustomized": false},
                    {"id": "off-2", "name": "Custom", "iscustomized": "true"},
                ]);
                ok(name, json!({"count": 2, "serviceoffering": offerings}))
            }
            "listCapabilities" => {
                let capability = json!({"cloudstackversion": "4.6.0", "allowuserexpungerecovervm": self.may_expunge});
                ok(name, json!({"capability": capability}))
            }
            "listAccounts" => {
                let account = json!({"id": "acc-1", "name": self.caller});
                ok(name, json!({"count": 1, "account": [account]}))
            }
            "listVirtualMachines" if self.caller != "me" => ok(name, json!({})),
            "listVirtualMachines" => {
                if !get("id").is_empty() && !self.vms.contains_key(get("id")) {
                    return refuse(name, 431, GONE);
                }
                let vms: Vec<_> = self
                    .vms
                    .iter()
                    .filter(|(id, vm)| {
                        (get("id").is_empty() || *id == get("id")) && vm.name.contains(get("name"))
                    })
                    .map(|(id, vm)| self.vm_json(id, vm))
                    .collect();
                match vms.len() {
                    0 => ok(name, json!({})),
                    count => ok(name, json!({"count": count, "virtualmachine": vms})),
                }
            }
            "listNetworks" => {
                let (network_type, vpc) = match self.network {
                    NetworkKind::Vpc => ("Isolated", Some("vpc-1")),
                    NetworkKind::Isolated => ("Isolated", None),
                    NetworkKind::L2 => ("L2", None),
                    NetworkKind::Shared | NetworkKind::Basic => ("Shared", None),
                };
                let mut network = json!({"id": "net-1", "name": "my net", "type": network_type,
                    "state": "Implemented"});
                if let Some(vpc) = vpc {
                    network["vpcid"] = json!(vpc);
                }
                ok(name, json!({"count": 1, "network": [network]}))
            }
            "listPublicIpAddresses" => {
                let mut addresses = vec![
                    json!({"id": "ip-0", "ipaddress": "192.0.2.10", "isstaticnat": true,
                           "associatednetworkid": "net-1"}),
                    json!({"id": "ip-1", "ipaddress": "192.0.2.11", "associatednetworkid": "net-1"}),
                    json!({"id": "ip-2", "ipaddress": "192.0.2.12", "issourcenat": true}),
                ];
                if self.has_acquired {
                    addresses.push(json!({"id": "ip-3", "ipaddress": "192.0.2.13"}));
                }
                match (self.network, get("id")) {
                    (_, id @ "ip-3") => addresses.retain(|address| address["id"] == id),
                    _ if !get("zoneid").is_empty() => {}
                    (NetworkKind::Vpc, _) => assert_eq!(get("vpcid"), "vpc-1"),
                    _ => assert_eq!(get("associatednetworkid"), "net-1"),
                }
                ok(
                    name,
                    json!({"count": addresses.len(), "publicipaddress": addresses}),
                )
            }
            "associateIpAddress" => {
                assert_eq!(get("vpcid"), "vpc-1");
                self.has_acquired = true;
                let job = self.job(now, None, job_fails);
                ok(name, json!({"id": "ip-3", "jobid": job}))
            }
            "disassociateIpAddress" => {
                assert_eq!((get("id"), self.has_acquired), ("ip-3", true));
                self.has_acquired = false;
                self.rules.clear();
                let job = self.job(now, None, job_fails);
                ok(name, json!({"jobid": job}))
            }
            "listPortForwardingRules" => {
                let rules: Vec<_> = self
                    .rules
                    .iter()
                    .map(|(id, (vm, port))| {
                        json!({"id": id, "virtualmachineid": vm, "publicport": port.to_string(),
                               "privateport": port.to_string(), "protocol": "tcp", "ipaddressid": "ip-2",
                               "ipaddress": "192.0.2.12", "state": "Active"})
                    })
                    .collect();
                ok(
                    name,
                    json!({"count": rules.len(), "portforwardingrule": rules}),
                )
            }
            "queryAsyncJobResult" => match self.jobs.get(get("jobid")) {
                None => refuse(name, 431, GONE),
                Some(job) if job.ends > now => {
                    ok(name, json!({"jobid": get("jobid"), "jobstatus": 0}))
                }
                Some(job) if job.fails => ok(
                    name,
                    json!({
                        "jobstatus": 2, "jobresultcode": 530, "jobresulttype": "object",
                        "jobresult": {"errorcode": 533, "errortext": "Insufficient capacity"},
                    }),
                ),
                Some(_) => ok(
                    name,
                    json!({"jobstatus": 1, "jobresultcode": 0, "jobresult": {"success": true}}),
                ),
            },
            "listVolumes" => {
                let volumes: Vec<_> = self
                    .volumes
                    .iter()
                    .map(|id| json!({"id": id, "name": id, "type": "DATADISK"}))
                    .collect();
                ok(name, json!({"count": volumes.len(), "volume": volumes}))
            }
            "detachVolume" => {
                let job = self.job(now, None, job_fails);
                ok(name, json!({"jobid": job}))
            }
            "deleteVolume" => {
                self.volumes.retain(|id| *id != get("id"));
                ok(name, json!({"success": true}))
            }
            "registerSSHKeyPair" => {
                if !self.takes_ed25519 && !get("publickey").starts_with("ssh-rsa ") {
                    return refuse(name, 431, "Public key is invalid");
                }
                if self.keys.contains_key(get("name")) {
                    return refuse(name, 431, "A key pair with name 'x' already exists.");
                }
                self.keys
                    .insert(get("name").to_owned(), get("publickey").to_owned());
                ok(
                    name,
                    json!({"keypair": {"name": get("name"), "fingerprint": "00:11"}}),
                )
            }
            "deleteSSHKeyPair" => match self.keys.remove(get("name")) {
                Some(_) => ok(name, json!({"success": "true"})),
                None => refuse(
                    name,
                    431,
                    "A key pair with name 'x' does not exist for account me",
                ),
            },
            "deployVirtualMachine" => {
                assert_eq!(
                    (get("zoneid"), get("templateid"), get("serviceofferingid")),
                    ("zone-1", "tpl-1", "off-1")
                );
                assert!(self.keys.contains_key(get("keypair")));
                let id = self.id("vm");
                self.add_vm(&id, get("name"), get("keypair"), "Starting");
                let job = self.job(now, Some((&id, "Starting", "Running")), job_fails);
                ok(name, json!({"id": id, "jobid": job}))
            }
            "startVirtualMachine" => {
                self.change(name, get("id"), now, ("Starting", "Running"), job_fails)
            }
            "stopVirtualMachine" => {
                if get("forced") == "true"
                    && let Some(row) = self.vms.get_mut(get("id"))
                {
                    row.state = "Running";
                }
                self.change(name, get("id"), now, ("Stopping", "Stopped"), job_fails)
            }
            "rebootVirtualMachine" => {
                self.change(name, get("id"), now, ("Running", "Running"), job_fails)
            }
            "destroyVirtualMachine" => {
                let after = if get("expunge") == "true" {
                    "Expunging"
                } else {
                    "Destroyed"
                };
                self.change(name, get("id"), now, ("Stopping", after), job_fails)
            }
            "createPortForwardingRule" => {
                let address = if self.network == NetworkKind::Vpc {
                    "ip-3"
                } else {
                    "ip-2"
                };
                assert_eq!((get("ipaddressid"), get("protocol")), (address, "tcp"));
                assert_eq!(get("publicport"), get("privateport"));
                let port: u16 = get("publicport").parse().unwrap();
                if self.rules.values().any(|(_, taken)| *taken == port) {
                    let text = format!(
                        "The range specified, {port}-{port}, conflicts with rule 7 which has {port}-{port}"
                    );
                    return refuse(name, 537, &text);
                }
                let id = self.id("rule");
                self.rules
                    .insert(id.clone(), (get("virtualmachineid").to_owned(), port));
                let job = self.job(now, None, job_fails);
                ok(name, json!({"id": id, "jobid": job}))
            }
            "deletePortForwardingRule" => match self.rules.contains_key(get("id")) {
                true => {
                    if !job_fails {
                        self.rules.remove(get("id"));
                    }
                    let job = self.job(now, None, job_fails);
                    ok(name, json!({"jobid": job}))
                }
                false => refuse(name, 431, GONE),
            },
            "createTags" => {
                assert!(matches!(get("resourcetype"), "UserVm" | "PublicIpAddress"));
                self.tags = (0..2)
                    .map(|i| {
                        format!(
                            "{}={}",
                            get(&format!("tags[{i}].key")),
                            get(&format!("tags[{i}].value"))
                        )
                    })
                    .collect();
                let job = self.job(now, None, job_fails);
                ok(name, json!({"jobid": job}))
            }
            other => panic!("unknown command {other}"),
        }
    }
}

impl Server for FakeCloud {
    fn network(&self) -> NetworkKind {
        self.network
    }

    fn answer(&mut self, request: &Request, now: u64) -> Answer {
        self.pass(now);
        let name = command(request);
        let number = self.requests;
        self.requests += 1;
        if self.is_dead {
            return Err(Failure {
                kind: FailureKind::Refused,
                message: "dead".to_owned(),
                request_sent: false,
            });
        }
        let numbered = self
            .fault
            .filter(|(at, _)| *at == number)
            .map(|(_, fault)| fault);
        let of_command = self
            .faults
            .iter()
            .find(|(n, _)| **n == name)
            .map(|(_, f)| *f);
        match numbered.or(of_command) {
            Some(Fault::Refuse(code, text)) => refuse(name, code, text),
            Some(Fault::NotSent) => lost(false),
            Some(Fault::AnswerLost) => {
                drop(self.carry_out(request, now, false));
                lost(true)
            }
            Some(Fault::Kill) => {
                drop(self.carry_out(request, now, false));
                self.is_dead = true;
                lost(true)
            }
            Some(Fault::JobFails) => self.carry_out(request, now, true),
            None => self.carry_out(request, now, false),
        }
    }
}
