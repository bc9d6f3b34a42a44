//! What CloudStack answers, as far as the driver looks at it. Other members are ignored.

use serde_json_borrow::Value;

use super::lenient::{Malformed, Members, Model};
use crate::contract::types::State;

/// The tags of something.
#[derive(Clone, Debug, Default)]
pub struct Tags(Vec<Tag>);

#[derive(Clone, Debug)]
struct Tag {
    key: String,
    value: String,
}

impl Model for Tag {
    fn read(members: Members<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            key: members.or_default("key"),
            value: members.or_default("value"),
        })
    }
}

impl Tags {
    /// The value of a tag; nothing if there is none.
    pub fn get(&self, key: &str) -> Option<&str> {
        let tag = self.0.iter().find(|tag| tag.key == key)?;
        Some(&tag.value)
    }
}

/// A zone.
#[derive(Clone, Debug)]
pub struct Zone {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// `Basic` or `Advanced`.
    networktype: String,
    /// Whether security groups guard its machines.
    pub securitygroupsenabled: bool,
}

impl Model for Zone {
    fn read(members: Members<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            id: members.required("id")?,
            name: members.or_default("name"),
            networktype: members.or_default("networktype"),
            securitygroupsenabled: members.or_default("securitygroupsenabled"),
        })
    }
}

impl Zone {
    /// Whether its machines share one network with public addresses.
    pub fn is_basic(&self) -> bool {
        self.networktype.eq_ignore_ascii_case("Basic")
    }
}

/// A template.
#[derive(Clone, Debug)]
pub struct Template {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
}

impl Model for Template {
    fn read(members: Members<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            id: members.required("id")?,
            name: members.or_default("name"),
        })
    }
}

/// A service offering.
#[derive(Clone, Debug)]
pub struct ServiceOffering {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Whether it leaves the number of CPUs and the memory to whoever deploys.
    pub iscustomized: bool,
    /// The speed of its CPUs in MHz; nothing if it leaves that to whoever deploys.
    pub cpuspeed: Option<u64>,
}

impl Model for ServiceOffering {
    fn read(members: Members<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            id: members.required("id")?,
            name: members.or_default("name"),
            iscustomized: members.or_default("iscustomized"),
            cpuspeed: members.option("cpuspeed"),
        })
    }
}

/// A virtual machine.
#[derive(Clone, Debug)]
pub struct VirtualMachine {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// How it does.
    pub state: VirtualMachineState,
    /// The name of the account that it belongs to; empty if it belongs to a project.
    pub account: String,
    nic: Vec<Nic>,
    /// The name of its key pair, until CloudStack 4.16.
    keypair: String,
    /// The names of its key pairs, separated by commas, since CloudStack 4.17.
    keypairs: String,
    /// Its tags.
    pub tags: Tags,
}

impl Model for VirtualMachine {
    fn read(members: Members<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            id: members.required("id")?,
            name: members.or_default("name"),
            state: VirtualMachineState(members.or_default("state")),
            account: members.or_default("account"),
            nic: members.list("nic")?,
            keypair: members.or_default("keypair"),
            keypairs: members.or_default("keypairs"),
            tags: Tags(members.list("tags")?),
        })
    }
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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
#[derive(Clone, Debug, Default)]
pub struct Nic {
    /// The id of its network.
    pub networkid: String,
    ipaddress: String,
    ip6address: String,
    isdefault: bool,
    /// The type of its network, as in [`Network`]; may be missing.
    pub network_type: String,
}

impl Model for Nic {
    fn read(members: Members<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            networkid: members.or_default("networkid"),
            ipaddress: members.or_default("ipaddress"),
            ip6address: members.or_default("ip6address"),
            isdefault: members.or_default("isdefault"),
            network_type: members.or_default("type"),
        })
    }
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
#[derive(Clone, Debug)]
pub struct Network {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// `Isolated`, `Shared` or `L2`.
    pub network_type: String,
    /// The id of the VPC that it is a tier of.
    pub vpcid: String,
    /// `Allocated` until its virtual router has been made, then `Implemented`.
    pub state: String,
    /// Its tags.
    pub tags: Tags,
}

impl Model for Network {
    fn read(members: Members<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            id: members.required("id")?,
            name: members.or_default("name"),
            network_type: members.or_default("type"),
            vpcid: members.or_default("vpcid"),
            state: members.or_default("state"),
            tags: Tags(members.list("tags")?),
        })
    }
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
#[derive(Clone, Debug)]
pub struct NetworkOffering {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Whether it is one of CloudStack's own.
    pub isdefault: bool,
    /// Whether it is for tiers of VPCs.
    pub forvpc: bool,
    /// `Required`, `Optional` or `Unavailable`.
    pub availability: String,
    /// What its networks do for their machines.
    service: Vec<NetworkService>,
}

impl Model for NetworkOffering {
    fn read(members: Members<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            id: members.required("id")?,
            name: members.or_default("name"),
            isdefault: members.or_default("isdefault"),
            forvpc: members.or_default("forvpc"),
            availability: members.or_default("availability"),
            service: members.list("service")?,
        })
    }
}

#[derive(Clone, Debug)]
struct NetworkService {
    name: String,
}

impl Model for NetworkService {
    fn read(members: Members<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            name: members.or_default("name"),
        })
    }
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
#[derive(Clone, Debug)]
pub struct PublicIpAddress {
    /// Its id.
    pub id: String,
    /// The address itself.
    pub ipaddress: String,
    /// Its state, such as `Allocating` or `Allocated`.
    pub state: String,
    /// Whether the machines of the network reach the outside through it.
    pub issourcenat: bool,
    /// Whether it belongs to one machine entirely, so that no port of it can be forwarded.
    pub isstaticnat: bool,
    /// The machine that it belongs to.
    pub virtualmachineid: String,
    /// The network whose ports it can forward.
    pub associatednetworkid: String,
    /// Its tags.
    pub tags: Tags,
}

impl Model for PublicIpAddress {
    fn read(members: Members<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            id: members.required("id")?,
            ipaddress: members.required("ipaddress")?,
            state: members.or_default("state"),
            issourcenat: members.or_default("issourcenat"),
            isstaticnat: members.or_default("isstaticnat"),
            virtualmachineid: members.or_default("virtualmachineid"),
            associatednetworkid: members.or_default("associatednetworkid"),
            tags: Tags(members.list("tags")?),
        })
    }
}

impl PublicIpAddress {
    /// Whether the job that acquires it is still under way. CloudStack refuses to do anything with it until then.
    pub fn is_being_acquired(&self) -> bool {
        self.state == "Allocating"
    }
}

/// A port-forwarding rule.
#[derive(Clone, Debug)]
pub struct PortForwardingRule {
    /// Its id.
    pub id: String,
    /// The machine that the port is forwarded to.
    pub virtualmachineid: String,
    /// The id of the public address.
    pub ipaddressid: String,
    /// The public address.
    pub ipaddress: String,
    /// The first port of the public address.
    pub publicport: Option<u16>,
    /// The last port of the public address.
    pub publicendport: Option<u16>,
    /// `tcp` or `udp`.
    pub protocol: String,
}

impl Model for PortForwardingRule {
    fn read(members: Members<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            id: members.required("id")?,
            virtualmachineid: members.or_default("virtualmachineid"),
            ipaddressid: members.or_default("ipaddressid"),
            ipaddress: members.or_default("ipaddress"),
            publicport: members.option("publicport"),
            publicendport: members.option("publicendport"),
            protocol: members.or_default("protocol"),
        })
    }
}

/// A firewall rule.
#[derive(Clone, Debug)]
pub struct FirewallRule {
    /// Its id.
    pub id: String,
    /// `tcp` or `udp`.
    pub protocol: String,
    /// The first port.
    pub startport: Option<u16>,
    /// The last port.
    pub endport: Option<u16>,
    /// The id of the public address.
    pub ipaddressid: String,
    /// The public address.
    pub ipaddress: String,
    /// Its tags.
    pub tags: Tags,
}

impl Model for FirewallRule {
    fn read(members: Members<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            id: members.required("id")?,
            protocol: members.or_default("protocol"),
            startport: members.option("startport"),
            endport: members.option("endport"),
            ipaddressid: members.or_default("ipaddressid"),
            ipaddress: members.or_default("ipaddress"),
            tags: Tags(members.list("tags")?),
        })
    }
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
#[derive(Clone, Debug)]
pub struct DiskOffering {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Whether it leaves the size to whoever deploys.
    pub iscustomized: bool,
}

impl Model for DiskOffering {
    fn read(members: Members<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            id: members.required("id")?,
            name: members.or_default("name"),
            iscustomized: members.or_default("iscustomized"),
        })
    }
}

/// An account, a project, an affinity group or a security group.
#[derive(Clone, Debug)]
pub struct Item {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
}

impl Model for Item {
    fn read(members: Members<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            id: members.required("id")?,
            name: members.or_default("name"),
        })
    }
}

/// A registered SSH key pair.
#[derive(Clone, Debug)]
pub struct SshKeyPair {
    /// Its name, by which it is known.
    pub name: String,
    /// The account that it belongs to; empty if it belongs to a project, or the version does not tell.
    pub account: String,
}

impl Model for SshKeyPair {
    fn read(members: Members<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            name: members.required("name")?,
            account: members.or_default("account"),
        })
    }
}

/// A volume.
#[derive(Clone, Debug)]
pub struct Volume {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// `ROOT` or `DATADISK`.
    pub volume_type: String,
    /// The machine that it is attached to.
    pub virtualmachineid: String,
    /// Its tags.
    pub tags: Tags,
}

impl Model for Volume {
    fn read(members: Members<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            id: members.required("id")?,
            name: members.or_default("name"),
            volume_type: members.or_default("type"),
            virtualmachineid: members.or_default("virtualmachineid"),
            tags: Tags(members.list("tags")?),
        })
    }
}

/// What the cloud lets its users do.
#[derive(Clone, Debug)]
pub struct Capability {
    /// Whether the account may have its machines expunged, and not only destroyed.
    pub allowuserexpungerecovervm: bool,
    /// The version, `4.18.0.0`.
    pub cloudstackversion: String,
}

impl Model for Capability {
    fn read(members: Members<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            allowuserexpungerecovervm: members.or_default("allowuserexpungerecovervm"),
            cloudstackversion: members.or_default("cloudstackversion"),
        })
    }
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
#[derive(Clone, Debug)]
pub struct Submitted {
    /// The job.
    pub jobid: String,
}

impl Model for Submitted {
    fn read(members: Members<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            jobid: members.required("jobid")?,
        })
    }
}

/// The answer to a command that makes something by a job.
#[derive(Clone, Debug)]
pub struct Created {
    /// What it makes, which exists from now on.
    pub id: String,
    /// The job.
    pub jobid: String,
}

impl Model for Created {
    fn read(members: Members<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            id: members.required("id")?,
            jobid: members.required("jobid")?,
        })
    }
}

/// The answer to `queryAsyncJobResult`.
#[derive(Clone, Debug)]
pub(super) struct AsyncJob {
    pub(super) jobstatus: u64,
    pub(super) jobresultcode: Option<u16>,
    pub(super) result: JobResult,
}

/// What a job came to, as far as that is looked at.
#[derive(Clone, Debug, Default)]
pub(super) struct JobResult {
    pub(super) success: Option<bool>,
    pub(super) displaytext: String,
    pub(super) errorcode: Option<u16>,
    pub(super) cserrorcode: Option<u16>,
    pub(super) errortext: String,
}

impl JobResult {
    fn read(value: Option<&Value<'_>>) -> Self {
        match value {
            Some(Value::Object(result)) => {
                let result = Members(result);
                Self {
                    success: result.option("success"),
                    displaytext: result.or_default("displaytext"),
                    errorcode: result.option("errorcode"),
                    cserrorcode: result.option("cserrorcode"),
                    errortext: result.or_default("errortext"),
                }
            }
            // Of some failures there is no more than a text.
            Some(Value::Str(text)) => Self {
                errortext: text.clone().into_owned(),
                ..Self::default()
            },
            _ => Self::default(),
        }
    }
}

impl Model for AsyncJob {
    fn read(members: Members<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            jobstatus: members.required("jobstatus")?,
            jobresultcode: members.option("jobresultcode"),
            result: JobResult::read(members.0.get("jobresult")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cloudstack::model;
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
        let old: VirtualMachine = model(&json!({
            "id": 17165, "name": "m1", "state": "Running", "keypair": "m1-key", "cpunumber": "1",
            "nic": [
                {"id": 1, "networkid": 2, "ipaddress": "10.0.0.2", "isdefault": "false"},
                {"id": 2, "networkid": 3, "ipaddress": "10.0.0.3", "isdefault": "true", "type": "Isolated"},
            ],
        }));
        assert_eq!(old.id, "17165");
        assert!(old.has_key_pair("m1-key") && !old.has_key_pair("m1") && !old.has_key_pair("key"));
        assert_eq!(old.default_nic().unwrap().address(), Some("10.0.0.3"));

        let new: VirtualMachine = model(&json!({
            "id": "5a", "name": "m1", "state": "Stopped", "keypairs": "other, m1-key",
            "nic": [{"networkid": "3", "ip6address": "2001:db8::1", "type": "Shared"}],
        }));
        assert!(new.has_key_pair("m1-key"));
        let nic = new.default_nic().unwrap();
        assert_eq!(nic.address(), Some("2001:db8::1"));
        assert!(nic.is_shared());

        let bare: VirtualMachine = model(&json!({"id": "5a"}));
        assert!(bare.default_nic().is_none());
        assert_eq!(bare.state.state(), State::Error);
    }
}
