//! What the cloud consists of.

use std::collections::BTreeMap;
use std::fmt;
use std::net::Ipv4Addr;

use jiff::Timestamp;
use uuid::Uuid;

use super::Entity;
use crate::config::{Cidr, NetworkKind, ZoneKind};

/// A secret that does not print itself.
#[derive(Clone)]
pub(crate) struct Secret(pub(crate) String);

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

#[derive(Debug)]
pub(crate) struct Domain {
    pub(crate) id: Uuid,
    pub(crate) name: String,
}

/// A user's account. What belongs to somebody names an account or a project as its owner, by the id.
#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) id: Uuid,
    pub(crate) user: Uuid,
    pub(crate) name: String,
    pub(crate) api_key: String,
    pub(crate) secret_key: Secret,
}

/// A project. It owns things as an account does, to its members' use.
#[derive(Debug)]
pub(crate) struct Project {
    pub(crate) id: Uuid,
    pub(crate) name: String,
    /// The name of the account that CloudStack keeps for it.
    pub(crate) account_name: String,
    pub(crate) members: Vec<Uuid>,
    pub(crate) created: Timestamp,
}

#[derive(Debug)]
pub(crate) struct Zone {
    pub(crate) id: Uuid,
    pub(crate) name: String,
    pub(crate) kind: ZoneKind,
}

#[derive(Debug)]
pub(crate) struct Template {
    pub(crate) id: Uuid,
    pub(crate) name: String,
    pub(crate) zones: Vec<Uuid>,
    pub(crate) featured: bool,
    /// Nobody owns what comes with the cloud.
    pub(crate) owner: Option<Uuid>,
    pub(crate) public: bool,
    pub(crate) size_gib: u64,
    pub(crate) created: Timestamp,
}

impl Template {
    /// Whether machines of that account or project can be made from it.
    pub(crate) fn usable_by(&self, user: Uuid) -> bool {
        self.public || self.owner == Some(user)
    }
}

/// What a machine has of processors and memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) cpus: u32,
    pub(crate) mhz: u32,
    pub(crate) memory_mib: u32,
}

#[derive(Debug)]
pub(crate) struct ServiceOffering {
    pub(crate) id: Uuid,
    pub(crate) name: String,
    /// None where who deploys chooses.
    pub(crate) size: Option<Size>,
    pub(crate) created: Timestamp,
}

#[derive(Debug)]
pub(crate) struct DiskOffering {
    pub(crate) id: Uuid,
    pub(crate) name: String,
    /// None where who deploys chooses.
    pub(crate) size_gib: Option<u64>,
    pub(crate) created: Timestamp,
}

#[derive(Debug)]
pub(crate) struct NetworkOffering {
    pub(crate) id: Uuid,
    pub(crate) name: String,
    pub(crate) kind: NetworkKind,
    /// Whether it is for tiers of VPCs, and only for them.
    pub(crate) for_vpc: bool,
    pub(crate) created: Timestamp,
}

/// A VPC, whose tiers are networks.
#[derive(Debug)]
pub(crate) struct Vpc {
    pub(crate) id: Uuid,
    pub(crate) name: String,
    pub(crate) zone: Uuid,
    pub(crate) owner: Uuid,
    pub(crate) cidr: Cidr,
    pub(crate) domain_name: String,
    pub(crate) created: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NetworkState {
    Allocated,
    Implemented,
}

impl NetworkState {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Allocated => "Allocated",
            Self::Implemented => "Implemented",
        }
    }
}

#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) id: Uuid,
    pub(crate) serial: u64,
    pub(crate) name: String,
    pub(crate) display_text: String,
    pub(crate) zone: Uuid,
    pub(crate) kind: NetworkKind,
    /// Shared networks have none.
    pub(crate) owner: Option<Uuid>,
    /// The VPC that it is a tier of.
    pub(crate) vpc: Option<Uuid>,
    pub(crate) offering: Uuid,
    pub(crate) cidr: Cidr,
    pub(crate) domain_name: String,
    pub(crate) state: NetworkState,
    pub(crate) created: Timestamp,
    /// Made by an account, rather than there from the start.
    pub(crate) by_account: bool,
}

impl Network {
    pub(crate) fn gateway(&self) -> Ipv4Addr {
        self.cidr.host(1).unwrap_or(self.cidr.base())
    }

    /// The network as CloudStack names it in errors.
    pub(crate) fn describe(&self) -> String {
        format!("Ntwk[{}|Guest|{}]", self.id, self.serial)
    }

    /// Whether machines of that account or project can be in it.
    pub(crate) fn usable_by(&self, user: Uuid) -> bool {
        self.owner.is_none_or(|owner| owner == user)
    }

    /// Whether a name of a machine in one is taken in the other.
    pub(crate) fn shares_names_with(&self, other: &Self) -> bool {
        self.id == other.id || self.vpc.is_some() && self.vpc == other.vpc
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AddressState {
    Free,
    Allocating,
    Allocated,
    Releasing,
}

impl AddressState {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Free => "Free",
            Self::Allocating => "Allocating",
            Self::Allocated => "Allocated",
            Self::Releasing => "Releasing",
        }
    }
}

/// What a public address is taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Network(Uuid),
    Vpc(Uuid),
}

/// An address of the public pool. Its row, and so its id, outlives its being given to an account.
#[derive(Debug)]
pub(crate) struct PublicAddress {
    pub(crate) id: Uuid,
    pub(crate) address: Ipv4Addr,
    pub(crate) zone: Uuid,
    pub(crate) state: AddressState,
    pub(crate) owner: Option<Uuid>,
    /// The network that it leads to. One of a VPC leads to the tier in which it is used, and to none before and after.
    pub(crate) network: Option<Uuid>,
    pub(crate) vpc: Option<Uuid>,
    pub(crate) source_nat: bool,
    /// The machine that has the whole address.
    pub(crate) static_nat: Option<Uuid>,
    pub(crate) allocated: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MachineState {
    Starting,
    Running,
    Stopping,
    Stopped,
    Destroyed,
    Expunging,
    Error,
}

impl MachineState {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Starting => "Starting",
            Self::Running => "Running",
            Self::Stopping => "Stopping",
            Self::Stopped => "Stopped",
            Self::Destroyed => "Destroyed",
            Self::Expunging => "Expunging",
            Self::Error => "Error",
        }
    }

    /// Whether the machine is on its way out, which users are not shown by default.
    pub(crate) fn is_gone(self) -> bool {
        matches!(self, Self::Destroyed | Self::Expunging)
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Nic {
    pub(crate) id: Uuid,
    pub(crate) network: Uuid,
    pub(crate) address: Ipv4Addr,
    pub(crate) mac: String,
    pub(crate) default: bool,
}

#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) id: Uuid,
    pub(crate) owner: Uuid,
    pub(crate) name: String,
    pub(crate) display_name: String,
    pub(crate) group: Option<String>,
    pub(crate) zone: Uuid,
    pub(crate) template: Uuid,
    pub(crate) offering: Uuid,
    pub(crate) size: Size,
    pub(crate) state: MachineState,
    pub(crate) nics: Vec<Nic>,
    pub(crate) key_pairs: Vec<String>,
    pub(crate) security_groups: Vec<Uuid>,
    pub(crate) affinity_groups: Vec<Uuid>,
    pub(crate) details: BTreeMap<String, String>,
    pub(crate) user_data: Option<String>,
    pub(crate) created: Timestamp,
    /// When a destroyed machine is expunged.
    pub(crate) expunge_at: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum VolumeKind {
    Root,
    Data,
}

impl VolumeKind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Root => "ROOT",
            Self::Data => "DATADISK",
        }
    }
}

#[derive(Debug)]
pub(crate) struct Volume {
    pub(crate) id: Uuid,
    pub(crate) owner: Uuid,
    pub(crate) name: String,
    pub(crate) zone: Uuid,
    pub(crate) kind: VolumeKind,
    pub(crate) machine: Option<Uuid>,
    pub(crate) offering: Option<Uuid>,
    pub(crate) size_gib: u64,
    pub(crate) created: Timestamp,
}

#[derive(Debug)]
pub(crate) struct KeyPair {
    pub(crate) id: Uuid,
    pub(crate) owner: Uuid,
    pub(crate) name: String,
    pub(crate) fingerprint: String,
    pub(crate) public_key: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RuleState {
    Add,
    Active,
    Revoke,
}

impl RuleState {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Add => "Add",
            Self::Active => "Active",
            Self::Revoke => "Revoke",
        }
    }
}

/// A range of ports, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ports {
    pub(crate) start: u16,
    pub(crate) end: u16,
}

impl Ports {
    pub(crate) fn overlap(self, other: Self) -> bool {
        self.start <= other.end && other.start <= self.end
    }

    /// The ports that are in both.
    pub(crate) fn common(self, other: Self) -> Option<Self> {
        self.overlap(other).then(|| Self {
            start: self.start.max(other.start),
            end: self.end.min(other.end),
        })
    }
}

#[derive(Debug)]
pub(crate) struct PortForward {
    pub(crate) id: Uuid,
    pub(crate) serial: u64,
    pub(crate) owner: Uuid,
    pub(crate) public: Uuid,
    pub(crate) network: Uuid,
    pub(crate) machine: Uuid,
    pub(crate) guest_address: Ipv4Addr,
    pub(crate) protocol: String,
    pub(crate) public_ports: Ports,
    pub(crate) private_ports: Ports,
    pub(crate) state: RuleState,
}

#[derive(Debug)]
pub(crate) struct FirewallRule {
    pub(crate) id: Uuid,
    pub(crate) serial: u64,
    pub(crate) owner: Uuid,
    pub(crate) public: Uuid,
    pub(crate) network: Uuid,
    pub(crate) protocol: String,
    pub(crate) ports: Option<Ports>,
    pub(crate) icmp: Option<(i64, i64)>,
    pub(crate) cidrs: Vec<String>,
    pub(crate) state: RuleState,
    /// The forwarding rule that this one came with.
    pub(crate) related: Option<Uuid>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum IngressSource {
    Cidr(String),
    Group { account: String, group: String },
}

#[derive(Clone, Debug)]
pub(crate) struct IngressRule {
    pub(crate) id: Uuid,
    pub(crate) protocol: String,
    pub(crate) ports: Option<Ports>,
    pub(crate) icmp: Option<(i64, i64)>,
    pub(crate) source: IngressSource,
}

#[derive(Debug)]
pub(crate) struct SecurityGroup {
    pub(crate) id: Uuid,
    pub(crate) owner: Uuid,
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) rules: Vec<IngressRule>,
    /// There from the start.
    pub(crate) default: bool,
}

#[derive(Debug)]
pub(crate) struct AffinityGroup {
    pub(crate) id: Uuid,
    pub(crate) owner: Uuid,
    pub(crate) name: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tag {
    pub(crate) owner: Uuid,
    pub(crate) kind: String,
    pub(crate) resource: Uuid,
    pub(crate) key: String,
    pub(crate) value: String,
    pub(crate) customer: Option<String>,
}

macro_rules! entities {
    ($($entity:ty),* $(,)?) => {
        $(impl Entity for $entity {
            fn id(&self) -> Uuid {
                self.id
            }
        })*
    };
}

entities!(
    Account,
    Project,
    Zone,
    Template,
    ServiceOffering,
    DiskOffering,
    NetworkOffering,
    Network,
    Vpc,
    PublicAddress,
    Machine,
    Volume,
    KeyPair,
    PortForward,
    FirewallRule,
    SecurityGroup,
    AffinityGroup,
);

/// What belongs to an account or a project.
pub(crate) trait Owned: Entity {
    /// The account or project, none for what belongs to nobody.
    fn owner(&self) -> Option<Uuid>;
}

macro_rules! owned {
    ($($entity:ty),* $(,)?) => {
        $(impl Owned for $entity {
            fn owner(&self) -> Option<Uuid> {
                Some(self.owner)
            }
        })*
    };
}

owned!(
    Machine,
    Volume,
    KeyPair,
    PortForward,
    FirewallRule,
    SecurityGroup,
    AffinityGroup,
    Vpc,
);

impl Owned for PublicAddress {
    fn owner(&self) -> Option<Uuid> {
        self.owner
    }
}

impl Owned for Network {
    fn owner(&self) -> Option<Uuid> {
        self.owner
    }
}
