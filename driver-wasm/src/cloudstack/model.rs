//! What CloudStack answers, as far as the driver looks at it. Other members are ignored.

use serde::Deserialize;
use serde_json::Value;

use super::lenient;
use crate::contract::types::State;

/// The tags of something.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Tags(Vec<Tag>);

#[derive(Clone, Debug, Deserialize)]
struct Tag {
    #[serde(default, deserialize_with = "lenient::or_default")]
    key: String,
    #[serde(default, deserialize_with = "lenient::or_default")]
    value: String,
}

impl Tags {
    /// The value of a tag; nothing if there is none.
    pub fn get(&self, key: &str) -> Option<&str> {
        let tag = self.0.iter().find(|tag| tag.key == key)?;
        Some(&tag.value)
    }
}

/// A zone.
#[derive(Clone, Debug, Deserialize)]
pub struct Zone {
    /// Its id.
    #[serde(deserialize_with = "lenient::required")]
    pub id: String,
    /// Its name.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub name: String,
    /// `Basic` or `Advanced`.
    #[serde(default, deserialize_with = "lenient::or_default")]
    networktype: String,
    /// Whether security groups guard its machines.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub securitygroupsenabled: bool,
}

impl Zone {
    /// Whether its machines share one network with public addresses.
    pub fn is_basic(&self) -> bool {
        self.networktype.eq_ignore_ascii_case("Basic")
    }
}

/// A template.
#[derive(Clone, Debug, Deserialize)]
pub struct Template {
    /// Its id.
    #[serde(deserialize_with = "lenient::required")]
    pub id: String,
    /// Its name.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub name: String,
}

/// A service offering.
#[derive(Clone, Debug, Deserialize)]
pub struct ServiceOffering {
    /// Its id.
    #[serde(deserialize_with = "lenient::required")]
    pub id: String,
    /// Its name.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub name: String,
    /// Whether it leaves the number of CPUs and the memory to whoever deploys.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub iscustomized: bool,
    /// The speed of its CPUs in MHz; nothing if it leaves that to whoever deploys.
    #[serde(default, deserialize_with = "lenient::option")]
    pub cpuspeed: Option<u64>,
}

/// A virtual machine.
#[derive(Clone, Debug, Deserialize)]
pub struct VirtualMachine {
    /// Its id.
    #[serde(deserialize_with = "lenient::required")]
    pub id: String,
    /// Its name.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub name: String,
    /// How it does.
    #[serde(default)]
    pub state: VirtualMachineState,
    /// The name of the account that it belongs to; empty if it belongs to a project.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub account: String,
    #[serde(default)]
    nic: Vec<Nic>,
    /// The name of its key pair, until CloudStack 4.16.
    #[serde(default, deserialize_with = "lenient::or_default")]
    keypair: String,
    /// The names of its key pairs, separated by commas, since CloudStack 4.17.
    #[serde(default, deserialize_with = "lenient::or_default")]
    keypairs: String,
    /// Its tags.
    #[serde(default)]
    pub tags: Tags,
}

impl VirtualMachine {
    /// The names of its key pairs.
    pub fn key_pairs(&self) -> impl Iterator<Item = &str> {
        let old = std::iter::once(self.keypair.as_str());
        let names = old.chain(self.keypairs.split(',').map(str::trim));
        names.filter(|name| !name.is_empty())
    }

    /// Whether it was deployed with that key pair.
    pub fn has_key_pair(&self, name: &str) -> bool {
        self.key_pairs().any(|key_pair| key_pair == name)
    }

    /// Its interface in a network.
    pub fn nic_in(&self, network_id: &str) -> Option<&Nic> {
        self.nic.iter().find(|nic| nic.networkid == network_id)
    }

    /// Its default network interface.
    pub fn default_nic(&self) -> Option<&Nic> {
        self.nic
            .iter()
            .find(|nic| nic.isdefault)
            .or_else(|| self.nic.first())
    }
}

/// How a virtual machine does.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
pub struct VirtualMachineState(pub String);

impl VirtualMachineState {
    /// The state in docker-machine's terms.
    pub fn state(&self) -> State {
        match self.0.as_str() {
            "Starting" => State::Starting,
            // It moves to another host without a pause.
            "Running" | "Migrating" => State::Running,
            "Stopping" => State::Stopping,
            "Stopped" | "Shutdowned" => State::Stopped,
            "Destroyed" | "Expunging" => State::NotFound,
            _ => State::Error,
        }
    }

    /// Whether it will change by itself.
    pub fn is_transitional(&self) -> bool {
        matches!(self.0.as_str(), "Starting" | "Stopping" | "Migrating")
    }

    /// Whether the machine does not exist any more. CloudStack keeps destroyed machines for a day, unless they are
    /// expunged.
    pub fn is_gone(&self) -> bool {
        self.state() == State::NotFound
    }
}

/// A network interface.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Nic {
    /// The id of its network.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub networkid: String,
    #[serde(default, deserialize_with = "lenient::or_default")]
    ipaddress: String,
    #[serde(default, deserialize_with = "lenient::or_default")]
    ip6address: String,
    #[serde(default, deserialize_with = "lenient::or_default")]
    isdefault: bool,
    /// The type of its network, as in [`Network`]; may be missing.
    #[serde(default, deserialize_with = "lenient::or_default", rename = "type")]
    pub network_type: String,
}

impl Nic {
    /// Its IPv4 address, or else its IPv6 address.
    pub fn address(&self) -> Option<&str> {
        [self.ipaddress.as_str(), self.ip6address.as_str()]
            .into_iter()
            .find(|address| !address.is_empty())
    }

    /// Whether its address is reached as it is.
    pub fn is_shared(&self) -> bool {
        self.network_type.eq_ignore_ascii_case("Shared")
    }
}

/// A guest network.
#[derive(Clone, Debug, Deserialize)]
pub struct Network {
    /// Its id.
    #[serde(deserialize_with = "lenient::required")]
    pub id: String,
    /// Its name.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub name: String,
    /// `Isolated`, `Shared` or `L2`.
    #[serde(default, deserialize_with = "lenient::or_default", rename = "type")]
    pub network_type: String,
    /// The id of the VPC that it is a tier of.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub vpcid: String,
    /// `Allocated` until its virtual router has been made, then `Implemented`.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub state: String,
    /// Its tags.
    #[serde(default)]
    pub tags: Tags,
}

impl Network {
    /// Whether its machines are reached at their own addresses.
    pub fn is_shared(&self) -> bool {
        self.network_type.eq_ignore_ascii_case("Shared")
    }

    /// Whether it gives its machines no address.
    pub fn is_l2(&self) -> bool {
        self.network_type.eq_ignore_ascii_case("L2")
    }

    /// Whether it is a tier of a VPC.
    pub fn is_vpc_tier(&self) -> bool {
        !self.vpcid.is_empty()
    }
}

/// A network offering.
#[derive(Clone, Debug, Deserialize)]
pub struct NetworkOffering {
    /// Its id.
    #[serde(deserialize_with = "lenient::required")]
    pub id: String,
    /// Its name.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub name: String,
    /// Whether it is one of CloudStack's own.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub isdefault: bool,
    /// Whether it is for tiers of VPCs.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub forvpc: bool,
    /// `Required`, `Optional` or `Unavailable`.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub availability: String,
    /// What its networks do for their machines.
    #[serde(default)]
    service: Vec<NetworkService>,
}

#[derive(Clone, Debug, Deserialize)]
struct NetworkService {
    #[serde(default, deserialize_with = "lenient::or_default")]
    name: String,
}

impl NetworkOffering {
    /// Whether the machines of its networks reach the outside, and can be reached by forwarded ports.
    pub fn has_source_nat(&self) -> bool {
        let has = |name: &str| {
            self.service
                .iter()
                .any(|service| service.name.eq_ignore_ascii_case(name))
        };
        has("SourceNat") && has("PortForwarding")
    }
}

/// A public address.
#[derive(Clone, Debug, Deserialize)]
pub struct PublicIpAddress {
    /// Its id.
    #[serde(deserialize_with = "lenient::required")]
    pub id: String,
    /// The address itself.
    #[serde(deserialize_with = "lenient::required")]
    pub ipaddress: String,
    /// Its state, such as `Allocating` or `Allocated`.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub state: String,
    /// Whether the machines of the network reach the outside through it.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub issourcenat: bool,
    /// Whether it belongs to one machine entirely, so that no port of it can be forwarded.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub isstaticnat: bool,
    /// The machine that it belongs to.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub virtualmachineid: String,
    /// The network whose ports it can forward.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub associatednetworkid: String,
    /// Its tags.
    #[serde(default)]
    pub tags: Tags,
}

impl PublicIpAddress {
    /// Whether the job that acquires it is still under way. CloudStack refuses to do anything with it until then.
    pub fn is_being_acquired(&self) -> bool {
        self.state == "Allocating"
    }
}

/// A port-forwarding rule.
#[derive(Clone, Debug, Deserialize)]
pub struct PortForwardingRule {
    /// Its id.
    #[serde(deserialize_with = "lenient::required")]
    pub id: String,
    /// The machine that the port is forwarded to.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub virtualmachineid: String,
    /// The id of the public address.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub ipaddressid: String,
    /// The public address.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub ipaddress: String,
    /// The first port of the public address.
    #[serde(default, deserialize_with = "lenient::option")]
    pub publicport: Option<u16>,
    /// The last port of the public address.
    #[serde(default, deserialize_with = "lenient::option")]
    pub publicendport: Option<u16>,
    /// `tcp` or `udp`.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub protocol: String,
}

/// A firewall rule.
#[derive(Clone, Debug, Deserialize)]
pub struct FirewallRule {
    /// Its id.
    #[serde(deserialize_with = "lenient::required")]
    pub id: String,
    /// `tcp` or `udp`.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub protocol: String,
    /// The first port.
    #[serde(default, deserialize_with = "lenient::option")]
    pub startport: Option<u16>,
    /// The last port.
    #[serde(default, deserialize_with = "lenient::option")]
    pub endport: Option<u16>,
    /// The id of the public address.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub ipaddressid: String,
    /// The public address.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub ipaddress: String,
    /// Its tags.
    #[serde(default)]
    pub tags: Tags,
}

impl PortForwardingRule {
    /// Whether it takes that port of its public address.
    pub fn takes(&self, is_udp: bool, port: u16) -> bool {
        let first = self.publicport.unwrap_or_default();
        let last = self.publicendport.unwrap_or(first);
        self.protocol.eq_ignore_ascii_case("udp") == is_udp && (first..=last).contains(&port)
    }
}

/// A disk offering.
#[derive(Clone, Debug, Deserialize)]
pub struct DiskOffering {
    /// Its id.
    #[serde(deserialize_with = "lenient::required")]
    pub id: String,
    /// Its name.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub name: String,
    /// Whether it leaves the size to whoever deploys.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub iscustomized: bool,
}

/// An account, a project, an affinity group or a security group.
#[derive(Clone, Debug, Deserialize)]
pub struct Item {
    /// Its id.
    #[serde(deserialize_with = "lenient::required")]
    pub id: String,
    /// Its name.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub name: String,
}

/// A registered SSH key pair.
#[derive(Clone, Debug, Deserialize)]
pub struct SshKeyPair {
    /// Its name, by which it is known.
    #[serde(deserialize_with = "lenient::required")]
    pub name: String,
    /// The account that it belongs to; empty if it belongs to a project, or the version does not tell.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub account: String,
}

/// A volume.
#[derive(Clone, Debug, Deserialize)]
pub struct Volume {
    /// Its id.
    #[serde(deserialize_with = "lenient::required")]
    pub id: String,
    /// Its name.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub name: String,
    /// `ROOT` or `DATADISK`.
    #[serde(default, deserialize_with = "lenient::or_default", rename = "type")]
    pub volume_type: String,
    /// The machine that it is attached to.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub virtualmachineid: String,
    /// Its tags.
    #[serde(default)]
    pub tags: Tags,
}

/// What the cloud lets its users do.
#[derive(Clone, Debug, Deserialize)]
pub struct Capability {
    /// Whether the account may have its machines expunged, and not only destroyed.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub allowuserexpungerecovervm: bool,
    /// The version, `4.18.0.0`.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub cloudstackversion: String,
}

impl Capability {
    /// Whether the version is that one or a later one. One that is not told is not.
    pub fn is_at_least(&self, major: u32, minor: u32) -> bool {
        let mut parts = self
            .cloudstackversion
            .split('.')
            .map(|part| part.parse().unwrap_or(0));
        let version: (u32, u32) = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
        version >= (major, minor)
    }
}

/// The answer to a command that is carried out by a job.
#[derive(Clone, Debug, Deserialize)]
pub struct Submitted {
    /// The job.
    #[serde(deserialize_with = "lenient::required")]
    pub jobid: String,
}

/// The answer to a command that makes something by a job.
#[derive(Clone, Debug, Deserialize)]
pub struct Created {
    /// What it makes, which exists from now on.
    #[serde(deserialize_with = "lenient::required")]
    pub id: String,
    /// The job.
    #[serde(deserialize_with = "lenient::required")]
    pub jobid: String,
}

/// The answer to `queryAsyncJobResult`.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct AsyncJob {
    #[serde(deserialize_with = "lenient::required")]
    pub(super) jobstatus: u64,
    #[serde(default, deserialize_with = "lenient::option")]
    pub(super) jobresultcode: Option<u16>,
    #[serde(default)]
    pub(super) jobresult: Value,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn states_have_their_terms() {
        let table = [
            ("Starting", State::Starting),
            ("Running", State::Running),
            ("Migrating", State::Running),
            ("Stopping", State::Stopping),
            ("Stopped", State::Stopped),
            ("Shutdowned", State::Stopped),
            ("Destroyed", State::NotFound),
            ("Expunging", State::NotFound),
            ("Error", State::Error),
            ("Unknown", State::Error),
            ("", State::Error),
        ];
        for (name, state) in table {
            assert_eq!(VirtualMachineState(name.to_owned()).state(), state);
        }
    }

    #[test]
    fn machines_of_old_and_new_versions_are_read() {
        // CloudStack 3 and 4.2: ids as numbers, booleans as strings.
        let old: VirtualMachine = serde_json::from_value(json!({
            "id": 17165, "name": "m1", "state": "Running", "keypair": "m1-key", "cpunumber": "1",
            "nic": [
                {"id": 1, "networkid": 2, "ipaddress": "10.0.0.2", "isdefault": "false"},
                {"id": 2, "networkid": 3, "ipaddress": "10.0.0.3", "isdefault": "true", "type": "Isolated"},
            ],
        }))
        .unwrap();
        assert_eq!(old.id, "17165");
        assert!(old.has_key_pair("m1-key") && !old.has_key_pair("m1") && !old.has_key_pair("key"));
        assert_eq!(old.default_nic().unwrap().address(), Some("10.0.0.3"));

        let new: VirtualMachine = serde_json::from_value(json!({
            "id": "5a", "name": "m1", "state": "Stopped", "keypairs": "other, m1-key",
            "nic": [{"networkid": "3", "ip6address": "2001:db8::1", "type": "Shared"}],
        }))
        .unwrap();
        assert!(new.has_key_pair("m1-key"));
        let nic = new.default_nic().unwrap();
        assert_eq!(nic.address(), Some("2001:db8::1"));
        assert!(nic.is_shared());

        let bare: VirtualMachine = serde_json::from_value(json!({"id": "5a"})).unwrap();
        assert!(bare.default_nic().is_none());
        assert_eq!(bare.state.state(), State::Error);
    }
}
