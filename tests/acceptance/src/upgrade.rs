//! What older versions wrote for a user, `tests/upgrade`: it is put into the home of a laboratory, and the clouds get what it
//! tells of.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cloudstack_simulator::{CloudConfig, Simulator};
use hetzner_simulator::Hetzner;
use serde_json::{Value, json};

use crate::{Lab, api, project_root};

/// The home in a set's paths.
pub const HOME: &str = "/home/user";

/// The endpoint of the CloudStack cloud in a set.
pub const ENDPOINT: &str = "http://127.0.0.1:8080/client/api";

/// The endpoint of the other cloud in a set, which the simulator `hetzner-simulator` is.
pub const OTHER_ENDPOINT: &str = "http://127.0.0.1:8090/v1";

/// What a version wrote.
#[derive(Clone, Debug)]
pub struct Set(PathBuf);

/// A user who has been using an older version, and the clouds with the machines that it made.
pub struct User {
    /// The user, with an account in the CloudStack cloud.
    pub lab: Lab,
    /// The other cloud.
    pub other: Hetzner,
}

impl Set {
    /// All that there are, in the order of their names.
    ///
    /// # Panics
    ///
    /// If there is none.
    pub fn all() -> Vec<Self> {
        let directory = project_root().join("tests/upgrade");
        let entries = fs::read_dir(directory).expect("the sets").flatten();
        let mut sets: Vec<_> = entries
            .map(|entry| entry.path())
            .filter(|path| path.is_dir())
            .collect();
        sets.sort();
        assert!(!sets.is_empty(), "there is no set");
        sets.into_iter().map(Self).collect()
    }

    /// The version that wrote it.
    pub fn version(&self) -> &str {
        let name = self.0.file_name().and_then(|name| name.to_str());
        name.expect("a version")
    }

    /// Its files: their places in the home, and what is in them.
    pub fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut files = Vec::new();
        collect(&self.0, &self.0, &mut files);
        files.sort();
        files
    }

    fn json(&self, machine: &str, file: &str) -> Value {
        let machines = self.0.join(".docker/machine/machines");
        let text = fs::read(machines.join(machine).join(file)).expect("a file of the machine");
        serde_json::from_slice(&text).expect("JSON")
    }

    /// Gives it to a user. The cloud's public addresses begin at `first`: that is the address of `web-1`, and the next one that of
    /// `web-2`.
    pub fn user(&self, first: Ipv4Addr) -> User {
        let secrets = self.json("web-1", "secrets.json");
        let key = |option: &str| find(&secrets, option).expect("a key").to_owned();
        let have = |cloud: &mut CloudConfig| {
            for addresses in &mut cloud.public_addresses {
                addresses.first = first;
            }
            // The keys are those in the set.
            let account = cloud.accounts.first_mut().expect("an account");
            account.api_key = Some(key("btcloud-api-key"));
            account.secret_key = Some(key("btcloud-secret-key"));
        };
        let user = User {
            lab: Lab::with(|_| (), have),
            other: Hetzner::start().expect("a cloud"),
        };
        user.lab.guard(user.other.token());
        user.other.set_action_time(Duration::ZERO);
        user.other.set_address(&self.driver("other-1", "IPAddress"));
        let home = user.lab.home().to_str().expect("a text").to_owned();
        let mut replaced = vec![
            (HOME.to_owned(), home),
            (ENDPOINT.to_owned(), user.lab.cloud.url().to_owned()),
            (OTHER_ENDPOINT.to_owned(), user.other.url()),
        ];
        replaced.extend(self.make_forwarded(&user.lab.cloud));
        replaced.extend(self.make_addressed(&user.lab.cloud));
        replaced.extend(self.make_basic(&user.lab.cloud));
        self.make_other(&user.other);
        for (path, contents) in self.files() {
            let contents = match String::from_utf8(contents) {
                Ok(text) => replace(text, &replaced).into_bytes(),
                Err(error) => error.into_bytes(),
            };
            write_private(user.lab.home(), &path, &contents);
        }
        user
    }

    /// What the driver's record of a machine has under a name.
    fn driver(&self, machine: &str, member: &str) -> String {
        let config = self.json(machine, "config.json");
        let value = config["Driver"][member].as_str();
        value
            .unwrap_or_else(|| panic!("{machine} has no {member}"))
            .to_owned()
    }

    /// Registers the machine's key and deploys it; tells its id.
    fn deploy(&self, cloud: &Simulator, machine: &str, parameters: &[(&str, &str)]) -> String {
        let (pair, zone) = (
            self.driver(machine, "SSHKeypair"),
            self.driver(machine, "Zone"),
        );
        let machines = self.0.join(".docker/machine/machines");
        let key = fs::read_to_string(machines.join(machine).join("id_rsa.pub")).expect("a key");
        call(
            cloud,
            "registerSSHKeyPair",
            &[("name", &pair), ("publickey", key.trim())],
        );
        let zone = id(cloud, "listZones", "zone", &zone, &[]);
        let template = self.driver(machine, "Template");
        let filter = [("templatefilter", "executable"), ("zoneid", zone.as_str())];
        let template = id(cloud, "listTemplates", "template", &template, &filter);
        let offering = self.driver(machine, "ServiceOffering");
        let offering = id(
            cloud,
            "listServiceOfferings",
            "serviceoffering",
            &offering,
            &[],
        );
        let all = [
            ("zoneid", zone.as_str()),
            ("templateid", &template),
            ("serviceofferingid", &offering),
            ("keypair", &pair),
            ("name", machine),
        ];
        let made = call(
            cloud,
            "deployVirtualMachine",
            &[&all[..], parameters].concat(),
        );
        let id = made["virtualmachine"]["id"].as_str().expect("an id");
        self.tag(cloud, machine, "UserVm", id);
        id.to_owned()
    }

    /// Marks what is a machine's, as the driver does.
    fn tag(&self, cloud: &Simulator, machine: &str, kind: &str, id: &str) {
        let mark = self.driver(machine, "MachineID");
        let parameters = [
            ("resourcetype", kind),
            ("resourceids", id),
            ("tags[0].key", "docker-machine-id"),
            ("tags[0].value", &mark),
        ];
        call(cloud, "createTags", &parameters);
    }

    /// The machine behind the network's own address; tells what its ids have become.
    fn make_forwarded(&self, cloud: &Simulator) -> Vec<(String, String)> {
        let vm = self.deploy(cloud, "web-1", &[("networkids", &network(cloud))]);
        let address = address(cloud);
        for port in ["22", "2376", "80"] {
            let parameters = [
                ("ipaddressid", address.as_str()),
                ("protocol", "tcp"),
                ("publicport", port),
                ("privateport", port),
                ("virtualmachineid", &vm),
            ];
            call(cloud, "createPortForwardingRule", &parameters);
        }
        vec![
            (self.driver("web-1", "VmId"), vm),
            (self.driver("web-1", "PublicIpAddressId"), address.clone()),
            (
                self.driver("web-1", "PublicIpAddress"),
                ip_of(cloud, &address),
            ),
        ]
    }

    /// The machine with an address of its own.
    fn make_addressed(&self, cloud: &Simulator) -> Vec<(String, String)> {
        let network = network(cloud);
        let vm = self.deploy(cloud, "web-2", &[("networkids", &network)]);
        let made = call(cloud, "associateIpAddress", &[("networkid", &network)]);
        let address = made["ipaddress"]["id"]
            .as_str()
            .expect("an address")
            .to_owned();
        self.tag(cloud, "web-2", "PublicIpAddress", &address);
        let parameters = [("ipaddressid", address.as_str()), ("virtualmachineid", &vm)];
        call(cloud, "enableStaticNat", &parameters);
        for port in ["22", "2376"] {
            let parameters = [
                ("ipaddressid", address.as_str()),
                ("protocol", "tcp"),
                ("startport", port),
                ("endport", port),
            ];
            let made = call(cloud, "createFirewallRule", &parameters);
            let rule = made["firewallrule"]["id"].as_str().expect("a rule");
            self.tag(cloud, "web-2", "FirewallRule", rule);
        }
        vec![
            (self.driver("web-2", "VmId"), vm),
            (self.driver("web-2", "PublicIpAddressId"), address.clone()),
            (
                self.driver("web-2", "PublicIpAddress"),
                ip_of(cloud, &address),
            ),
        ]
    }

    /// The machine in the basic zone, which has been stopped.
    fn make_basic(&self, cloud: &Simulator) -> Vec<(String, String)> {
        let name = self.driver("db-1", "OwnSecurityGroup");
        let made = call(cloud, "createSecurityGroup", &[("name", &name)]);
        let group = made["securitygroup"]["id"].as_str().expect("a group");
        for port in ["22", "2376"] {
            let parameters = [
                ("securitygroupid", group),
                ("protocol", "tcp"),
                ("startport", port),
                ("endport", port),
                ("cidrlist", "192.0.2.0/24"),
            ];
            call(cloud, "authorizeSecurityGroupIngress", &parameters);
        }
        self.tag(cloud, "db-1", "SecurityGroup", group);
        let vm = self.deploy(cloud, "db-1", &[("securitygroupids", group)]);
        let stopped = call(cloud, "stopVirtualMachine", &[("id", &vm)]);
        let ip = stopped["virtualmachine"]["nic"][0]["ipaddress"].as_str();
        vec![
            (self.driver("db-1", "VmId"), vm),
            (
                self.driver("db-1", "IPAddress"),
                ip.expect("an address").to_owned(),
            ),
        ]
    }

    /// The machine of the third-party driver.
    fn make_other(&self, cloud: &Hetzner) {
        let id = self.driver("other-1", "MachineID");
        let machines = self.0.join(".docker/machine/machines");
        let key = fs::read_to_string(machines.join("other-1/id_rsa.pub")).expect("a key");
        let labels = json!({ "docker-machine-id": id, "docker-machine-name": "other-1" });
        let name = format!("docker-machine-{id}");
        let order = json!({ "name": name, "public_key": key.trim(), "labels": labels });
        let key = post(cloud, "/ssh_keys", &order);
        let order = json!({
            "name": "other-1",
            "server_type": self.driver("other-1", "ServerType"),
            "image": self.driver("other-1", "Image"),
            "ssh_keys": [key["ssh_key"]["id"]], "labels": labels,
        });
        post(cloud, "/servers", &order);
    }
}

/// All files below a directory, with their places relative to `base`.
fn collect(base: &Path, directory: &Path, files: &mut Vec<(PathBuf, Vec<u8>)>) {
    for entry in fs::read_dir(directory).expect("a directory").flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(base, &path, files);
        } else {
            let place = path.strip_prefix(base).expect("a place").to_owned();
            files.push((place, fs::read(&path).expect("a file")));
        }
    }
}

/// Replaces texts, none of which is looked for in what another has been replaced by.
fn replace(text: String, replaced: &[(String, String)]) -> String {
    let mark = |number| format!("\u{0}{number}\u{0}");
    let numbered = || replaced.iter().enumerate();
    let marked = numbered().fold(text, |text, (i, (from, _))| text.replace(from, &mark(i)));
    numbered().fold(marked, |text, (i, (_, to))| text.replace(&mark(i), to))
}

/// Writes a file, with modes that git does not keep: all are the user's alone.
fn write_private(home: &Path, place: &Path, contents: &[u8]) {
    let path = home.join(place);
    fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
    for directory in path.ancestors().skip(1).take_while(|path| *path != home) {
        fs::set_permissions(directory, fs::Permissions::from_mode(0o700)).expect("a mode");
    }
    fs::write(&path, contents).expect("a file");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("a mode");
}

/// The text that JSON has somewhere under a name.
fn find<'j>(json: &'j Value, name: &str) -> Option<&'j str> {
    match json {
        Value::Object(members) => members
            .get(name)
            .and_then(Value::as_str)
            .or_else(|| members.values().find_map(|value| find(value, name))),
        _ => None,
    }
}

/// Calls a command of the CloudStack cloud and waits for its job; tells what has come of it.
#[track_caller]
fn call(cloud: &Simulator, command: &str, parameters: &[(&str, &str)]) -> Value {
    let a_moment = || std::thread::sleep(Duration::from_millis(5));
    api::call(cloud, command, parameters, a_moment)
}

/// The id of what a list has under a name.
#[track_caller]
fn id(
    cloud: &Simulator,
    command: &str,
    member: &str,
    name: &str,
    parameters: &[(&str, &str)],
) -> String {
    api::id_in(&call(cloud, command, parameters), member, name)
}

/// The account's isolated network.
fn network(cloud: &Simulator) -> String {
    id(cloud, "listNetworks", "network", "default", &[])
}

/// The id of the network's own public address.
fn address(cloud: &Simulator) -> String {
    let list = call(cloud, "listPublicIpAddresses", &[("issourcenat", "true")]);
    let id = list["publicipaddress"][0]["id"].as_str();
    id.expect("an address").to_owned()
}

fn ip_of(cloud: &Simulator, address: &str) -> String {
    let list = call(cloud, "listPublicIpAddresses", &[("id", address)]);
    let ip = list["publicipaddress"][0]["ipaddress"].as_str();
    ip.expect("an address").to_owned()
}

/// Sends JSON to the other cloud.
#[track_caller]
fn post(cloud: &Hetzner, path: &str, body: &Value) -> Value {
    let url = cloud.url();
    let address = url.trim_start_matches("http://").trim_end_matches("/v1");
    let body = body.to_string();
    let mut stream = TcpStream::connect(address).expect("a connection");
    write!(
        stream,
        "POST /v1{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        cloud.token(),
        body.len()
    )
    .expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("HTTP");
    assert!(head.starts_with("HTTP/1.1 201 "), "{path}: {answer}");
    serde_json::from_str(body).expect("JSON")
}
