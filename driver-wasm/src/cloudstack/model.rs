//! What CloudStack answers, as far as the driver looks at it. Other members are ignored.

use serde_json_borrow::Value;

use super::lenient::{Malformed, Members, Model};
use crate::contract::types::State;

/// The tags of something.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tags(Vec<Tag>);

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
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        let tag = self.0.iter().find(|tag| tag.key == key)?;
        Some(&tag.value)
    }
}

/// A zone.
#[derive(Clone, Debug)]
pub(crate) struct Zone {
    pub(crate) id: String,
    pub(crate) name: String,
    /// `Basic` or `Advanced`.
    networktype: String,
    /// Whether security groups guard its machines.
    pub(crate) securitygroupsenabled: bool,
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
    pub(crate) fn is_basic(&self) -> bool {
        self.networktype.eq_ignore_ascii_case("Basic")
    }
}

/// A template.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    pub(crate) id: String,
    pub(crate) name: String,
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
pub(crate) struct ServiceOffering {
    pub(crate) id: String,
    pub(crate) name: String,
    /// Whether it leaves the number of CPUs and the memory to whoever deploys.
    pub(crate) iscustomized: bool,
    /// The speed of its CPUs in MHz; nothing if it leaves that to whoever deploys.
    pub(crate) cpuspeed: Option<u64>,
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
pub(crate) struct VirtualMachine {
    pub(crate) id: String,
    pub(crate) name: String,
    /// How it does.
    pub(crate) state: VirtualMachineState,
    /// The name of the account that it belongs to; empty if it belongs to a project.
    pub(crate) account: String,
    nic: Vec<Nic>,
    /// The name of its key pair, until CloudStack 4.16.
    keypair: String,
    /// The names of its key pairs, separated by commas, since CloudStack 4.17.
    keypairs: String,
    /// Its tags.
    pub(crate) tags: Tags,
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
    pub(crate) fn key_pairs(&self) -> impl Iterator<Item = &str> {
        let old = std::iter::once(self.keypair.as_str());
        let names = old.chain(self.keypairs.split(',').map(str::trim));
        names.filter(|name| !name.is_empty())
    }

    /// Whether it was deployed with that key pair.
    pub(crate) fn has_key_pair(&self, name: &str) -> bool {
        self.key_pairs().any(|key_pair| key_pair == name)
    }

    /// Its interface in a network.
    pub(crate) fn nic_in(&self, network_id: &str) -> Option<&Nic> {
        self.nic.iter().find(|nic| nic.networkid == network_id)
    }

    /// Its default network interface.
    pub(crate) fn default_nic(&self) -> Option<&Nic> {
        self.nic
            .iter()
            .find(|nic| nic.isdefault)
            .or_else(|| self.nic.first())
    }
}

/// How a virtual machine does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct VirtualMachineState(pub String);

impl VirtualMachineState {
    /// The state in docker-machine's terms.
    pub(crate) fn state(&self) -> State {
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
    pub(crate) fn is_transitional(&self) -> bool {
        matches!(self.0.as_str(), "Starting" | "Stopping" | "Migrating")
    }

    /// Whether the machine does not exist any more. CloudStack keeps destroyed machines for a day, unless they are
    /// expunged.
    pub(crate) fn is_gone(&self) -> bool {
        self.state() == State::NotFound
    }
}

/// A network interface.
#[derive(Clone, Debug, Default)]
pub(crate) struct Nic {
    /// The id of its network.
    pub(crate) networkid: String,
    ipaddress: String,
    ip6address: String,
    isdefault: bool,
    /// The type of its network, as in [`Network`]; may be missing.
    pub(crate) network_type: String,
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
    pub(crate) fn address(&self) -> Option<&str> {
        [self.ipaddress.as_str(), self.ip6address.as_str()]
            .into_iter()
            .find(|address| !address.is_empty())
    }

    /// Whether its address is reached as it is.
    pub(crate) fn is_shared(&self) -> bool {
        self.network_type.eq_ignore_ascii_case("Shared")
    }
}

/// A guest network.
#[derive(Clone, Debug)]
pub(crate) struct Network {
    pub(crate) id: String,
    pub(crate) name: String,
    /// `Isolated`, `Shared` or `L2`.
    pub(crate) network_type: String,
    /// The id of the VPC that it is a tier of.
    pub(crate) vpcid: String,
    /// `Allocated` until its virtual router has been made, then `Implemented`.
    pub(crate) state: String,
    /// Its tags.
    pub(crate) tags: Tags,
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
    pub(crate) fn is_shared(&self) -> bool {
        self.network_type.eq_ignore_ascii_case("Shared")
    }

    /// Whether it gives its machines no address.
    pub(crate) fn is_l2(&self) -> bool {
        self.network_type.eq_ignore_ascii_case("L2")
    }

    /// Whether it is a tier of a VPC.
    pub(crate) fn is_vpc_tier(&self) -> bool {
        !self.vpcid.is_empty()
    }
}

/// A network offering.
#[derive(Clone, Debug)]
pub(crate) struct NetworkOffering {
    pub(crate) id: String,
    pub(crate) name: String,
    /// Whether it is for tiers of VPCs.
    pub(crate) forvpc: bool,
    /// `Required`, `Optional` or `Unavailable`.
    pub(crate) availability: String,
    /// What its networks do for their machines.
    service: Vec<NetworkService>,
}

impl Model for NetworkOffering {
    fn read(members: Members<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            id: members.required("id")?,
            name: members.or_default("name"),
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
    pub(crate) fn has_source_nat(&self) -> bool {
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
pub(crate) struct PublicIpAddress {
    pub(crate) id: String,
    /// The address itself.
    pub(crate) ipaddress: String,
    /// Its state, such as `Allocating` or `Allocated`.
    pub(crate) state: String,
    /// Whether the machines of the network reach the outside through it.
    pub(crate) issourcenat: bool,
    /// Whether it belongs to one machine entirely, so that no port of it can be forwarded.
    pub(crate) isstaticnat: bool,
    /// The machine that it belongs to.
    pub(crate) virtualmachineid: String,
    /// The network whose ports it can forward.
    pub(crate) associatednetworkid: String,
    /// Its tags.
    pub(crate) tags: Tags,
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
    pub(crate) fn is_being_acquired(&self) -> bool {
        self.state == "Allocating"
    }
}

/// A port-forwarding rule.
#[derive(Clone, Debug)]
pub(crate) struct PortForwardingRule {
    pub(crate) id: String,
    /// The machine that the port is forwarded to.
    pub(crate) virtualmachineid: String,
    /// The id of the public address.
    pub(crate) ipaddressid: String,
    /// The public address.
    pub(crate) ipaddress: String,
    /// The first port of the public address.
    pub(crate) publicport: Option<u16>,
    /// The last port of the public address.
    pub(crate) publicendport: Option<u16>,
    /// `tcp` or `udp`.
    pub(crate) protocol: String,
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
pub(crate) struct FirewallRule {
    pub(crate) id: String,
    /// `tcp` or `udp`.
    pub(crate) protocol: String,
    /// The first port.
    pub(crate) startport: Option<u16>,
    /// The last port.
    pub(crate) endport: Option<u16>,
    /// The id of the public address.
    pub(crate) ipaddressid: String,
    /// The public address.
    pub(crate) ipaddress: String,
    /// Its tags.
    pub(crate) tags: Tags,
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
    pub(crate) fn takes(&self, is_udp: bool, port: u16) -> bool {
        let first = self.publicport.unwrap_or_default();
        let last = self.publicendport.unwrap_or(first);
        self.protocol.eq_ignore_ascii_case("udp") == is_udp && (first..=last).contains(&port)
    }
}

/// A disk offering.
#[derive(Clone, Debug)]
pub(crate) struct DiskOffering {
    pub(crate) id: String,
    pub(crate) name: String,
    /// Whether it leaves the size to whoever deploys.
    pub(crate) iscustomized: bool,
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
pub(crate) struct Item {
    pub(crate) id: String,
    pub(crate) name: String,
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
pub(crate) struct SshKeyPair {
    /// Its name, by which it is known.
    pub(crate) name: String,
    /// The account that it belongs to; empty if it belongs to a project, or the version does not tell.
    pub(crate) account: String,
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
pub(crate) struct Volume {
    pub(crate) id: String,
    pub(crate) name: String,
    /// The machine that it is attached to.
    pub(crate) virtualmachineid: String,
    /// Its tags.
    pub(crate) tags: Tags,
}

impl Model for Volume {
    fn read(members: Members<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            id: members.required("id")?,
            name: members.or_default("name"),
            virtualmachineid: members.or_default("virtualmachineid"),
            tags: Tags(members.list("tags")?),
        })
    }
}

/// What the cloud lets its users do.
#[derive(Clone, Debug)]
pub(crate) struct Capability {
    /// Whether the account may have its machines expunged, and not only destroyed.
    pub(crate) allowuserexpungerecovervm: bool,
    /// The version, `4.18.0.0`.
    pub(crate) cloudstackversion: String,
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
    pub(crate) fn is_at_least(&self, major: u32, minor: u32) -> bool {
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
pub(crate) struct Submitted {
    /// The job.
    pub(crate) jobid: String,
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
pub(crate) struct Created {
    /// What it makes, which exists from now on.
    pub(crate) id: String,
    /// The job.
    pub(crate) jobid: String,
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
