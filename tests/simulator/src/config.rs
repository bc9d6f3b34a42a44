//! How the simulated cloud behaves, and what is in it at the start.

use std::collections::BTreeMap;
use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;
use std::time::Duration;

/// How the server behaves where CloudStack's versions and settings differ.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Behaviour {
    /// How long an asynchronous command takes. Default: 2 s.
    pub job_time: Duration,
    /// Other times by asynchronous command, such as `deployVirtualMachine`; names are matched ignoring case.
    pub job_times: BTreeMap<String, Duration>,
    /// `enforce.post.requests.and.timestamps`: requests carry `signatureversion=3` and an `expires` of at most 15
    /// minutes ahead, and what changes something is sent by POST. Default: false.
    pub enforce_post: bool,
    /// Whether `expires` may end in a literal `Z`, which servers of 2016 do not read. Default: true.
    pub literal_z: bool,
    /// Answer an unknown command with 401, as new servers do, rather than with 432. Default: false.
    pub unknown_command_unauthorized: bool,
    /// `allow.user.expunge.recover.vm`: users may expunge and recover machines, and see destroyed ones. Default: false.
    pub allow_user_expunge: bool,
    /// How long a destroyed machine stays before it is expunged. Default: none.
    pub expunge_delay: Duration,
    /// Take only `ssh-rsa` and `ssh-dss` keys, as servers of 2016 do. Default: false.
    pub rsa_keys_only: bool,
    /// How many machines an account may have. Default: no limit.
    pub machine_limit: Option<usize>,
    /// `api.throttling.max` and `api.throttling.interval`: how many calls an account may make within each such time.
    /// Default: no limit.
    pub throttling: Option<(u32, Duration)>,
    /// Isolated networks are up, with their source-NAT address, from the start, rather than when their first machine
    /// is deployed. Default: false.
    pub networks_implemented: bool,
    /// The version that `listCapabilities` tells. Default: 4.18.0.0.
    ///
    /// Before 4.17 a machine has one key pair, and `keypairs` is no parameter yet.
    pub version: String,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            job_time: Duration::from_secs(2),
            job_times: BTreeMap::new(),
            enforce_post: false,
            literal_z: true,
            unknown_command_unauthorized: false,
            allow_user_expunge: false,
            expunge_delay: Duration::ZERO,
            rsa_keys_only: false,
            machine_limit: None,
            throttling: None,
            networks_implemented: false,
            version: "4.18.0.0".to_owned(),
        }
    }
}

impl Behaviour {
    /// A server of 2016, as BT Cloud Compute ran when the first driver for it was written.
    pub fn cloudstack_4_6() -> Self {
        Self {
            literal_z: false,
            rsa_keys_only: true,
            version: "4.6.0".to_owned(),
            ..Self::default()
        }
    }

    /// Whether the version is that one or a later one.
    pub(crate) fn is_at_least(&self, major: u32, minor: u32) -> bool {
        let mut parts = self.version.split('.').map(|part| part.parse().ok());
        let mut next = || parts.next().flatten().unwrap_or(0);
        (next(), next()) >= (major, minor)
    }

    /// How long a command's job takes.
    pub(crate) fn job_time(&self, command: &str) -> Duration {
        let special = self
            .job_times
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(command));
        special.map_or(self.job_time, |(_, time)| *time)
    }
}

/// What is in the cloud at the start. Zones, offerings, accounts and projects are named in other entries by their names.
#[derive(Clone, Debug)]
pub struct CloudConfig {
    /// Who may use the cloud. The first is the one that [`Simulator::api_key`](crate::Simulator::api_key) tells.
    pub accounts: Vec<AccountConfig>,
    /// The projects. None has the name of an account. Default: none.
    pub projects: Vec<ProjectConfig>,
    /// The zones.
    pub zones: Vec<ZoneConfig>,
    /// The templates.
    pub templates: Vec<TemplateConfig>,
    /// The service offerings, which say what a machine has of processors and memory.
    pub service_offerings: Vec<ServiceOfferingConfig>,
    /// The disk offerings.
    pub disk_offerings: Vec<DiskOfferingConfig>,
    /// The guest networks.
    pub networks: Vec<NetworkConfig>,
    /// The VPCs. Default: none.
    pub vpcs: Vec<VpcConfig>,
    /// The affinity groups. Default: none.
    pub affinity_groups: Vec<AffinityGroupConfig>,
    /// The pool of public addresses of each advanced zone.
    pub public_addresses: Vec<AddressPool>,
}

/// An account with one user.
#[derive(Clone)]
pub struct AccountConfig {
    /// Its name.
    pub name: String,
    /// Its user's API key; none for a random one.
    pub api_key: Option<String>,
    /// Its user's secret key; none for a random one.
    pub secret_key: Option<String>,
}

impl AccountConfig {
    /// An account with random keys.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            api_key: None,
            secret_key: None,
        }
    }
}

impl fmt::Debug for AccountConfig {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("AccountConfig")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// A project: what is made in it belongs to all its members.
#[derive(Clone, Debug)]
pub struct ProjectConfig {
    /// Its name.
    pub name: String,
    /// The accounts that are in it.
    pub members: Vec<String>,
}

/// The two kinds of zones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ZoneKind {
    /// Machines are in networks of accounts, behind public addresses.
    Advanced,
    /// Machines share one network, with an address each, and are guarded by security groups.
    Basic,
}

impl ZoneKind {
    /// As the API names it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Advanced => "Advanced",
            Self::Basic => "Basic",
        }
    }
}

/// A zone.
#[derive(Clone, Debug)]
pub struct ZoneConfig {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: ZoneKind,
}

/// A template.
#[derive(Clone, Debug)]
pub struct TemplateConfig {
    /// Its name.
    pub name: String,
    /// The zones that have it.
    pub zones: Vec<String>,
    /// Whether it is featured.
    pub featured: bool,
    /// Who owns it: an account, which alone may use it, or none for a public one of the cloud itself.
    pub owner: Option<String>,
    /// Its size in GiB.
    pub size_gib: u64,
}

/// A service offering.
#[derive(Clone, Debug)]
pub struct ServiceOfferingConfig {
    /// Its name.
    pub name: String,
    /// Processors, MHz and MiB of memory; none where who deploys chooses, in `details[0].cpuNumber` and so on.
    pub size: Option<(u32, u32, u32)>,
}

/// A disk offering.
#[derive(Clone, Debug)]
pub struct DiskOfferingConfig {
    /// Its name.
    pub name: String,
    /// Its size in GiB; none where who deploys chooses, in `size`.
    pub size_gib: Option<u64>,
}

/// The two kinds of guest networks that machines can be in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetworkKind {
    /// An account's own, behind a virtual router with public addresses.
    Isolated,
    /// Everybody's; a machine is reached at its address in it.
    Shared,
}

impl NetworkKind {
    /// As the API names it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Isolated => "Isolated",
            Self::Shared => "Shared",
        }
    }
}

/// A guest network.
#[derive(Clone, Debug)]
pub struct NetworkConfig {
    /// Its name.
    pub name: String,
    /// Its zone.
    pub zone: String,
    /// The account or project whose isolated network it is; none for a shared one.
    pub owner: Option<String>,
    /// Its addresses. The first is the gateway's; machines get the tenth and those after it, then the others.
    pub cidr: Cidr,
}

/// A VPC: isolated networks, its tiers, behind one virtual router. It takes a public address for itself at the start.
#[derive(Clone, Debug)]
pub struct VpcConfig {
    /// Its name.
    pub name: String,
    /// Its zone, an advanced one.
    pub zone: String,
    /// The account or project whose it is.
    pub owner: String,
    /// Its addresses.
    pub cidr: Cidr,
    /// Its tiers: the name of each and its part of the addresses, which are given out as in [`NetworkConfig::cidr`].
    pub tiers: Vec<(String, Cidr)>,
}

/// An affinity group, which keeps its machines on different hosts.
#[derive(Clone, Debug)]
pub struct AffinityGroupConfig {
    /// Its name.
    pub name: String,
    /// The account or project whose it is.
    pub owner: String,
}

/// A run of public addresses in a zone.
#[derive(Clone, Debug)]
pub struct AddressPool {
    /// The zone.
    pub zone: String,
    /// The first address.
    pub first: Ipv4Addr,
    /// How many there are.
    pub count: u32,
}

impl AddressPool {
    pub(crate) fn addresses(&self) -> impl Iterator<Item = Ipv4Addr> {
        let first = u32::from(self.first);
        (first..first.saturating_add(self.count)).map(Ipv4Addr::from)
    }
}

impl Default for CloudConfig {
    /// An advanced zone `uk-london-1` and a basic zone `uk-basic-1`; the templates `Ubuntu 24.04 LTS`,
    /// `Ubuntu 22.04 LTS` and `Debian 12` in both, `Rocky Linux 9` in the basic zone alone; the service offerings
    /// `Small`, `Medium`, `Large` and `Custom`; the disk offerings `Data 20 GB` and `Data custom`; for each of the
    /// accounts `demo` and `other` an isolated network `default` (10.1.1.0/24) in the advanced zone, and for both the
    /// shared network `shared-lan` (127.0.210.0/24) there and the one of the basic zone (127.0.200.0/24); public
    /// addresses 127.0.100.10 to 127.0.100.209.
    ///
    /// Public and shared addresses are loopback ones, so that a test can listen where a machine is said to be.
    fn default() -> Self {
        let [advanced, basic] = ["uk-london-1", "uk-basic-1"].map(str::to_owned);
        let both = vec![advanced.clone(), basic.clone()];
        let template = |name: &str, zones: &[String], featured, size_gib| TemplateConfig {
            name: name.to_owned(),
            zones: zones.to_vec(),
            featured,
            owner: None,
            size_gib,
        };
        let offering = |name: &str, size| ServiceOfferingConfig {
            name: name.to_owned(),
            size,
        };
        let disk = |name: &str, size_gib| DiskOfferingConfig {
            name: name.to_owned(),
            size_gib,
        };
        let network = |name: &str, zone: &str, owner: Option<&str>, base, prefix| NetworkConfig {
            name: name.to_owned(),
            zone: zone.to_owned(),
            owner: owner.map(str::to_owned),
            cidr: Cidr { base, prefix },
        };
        let home = Ipv4Addr::new(10, 1, 1, 0);
        Self {
            accounts: ["demo", "other"].map(AccountConfig::new).to_vec(),
            projects: Vec::new(),
            zones: vec![
                ZoneConfig {
                    name: advanced.clone(),
                    kind: ZoneKind::Advanced,
                },
                ZoneConfig {
                    name: basic.clone(),
                    kind: ZoneKind::Basic,
                },
            ],
            templates: vec![
                template("Ubuntu 24.04 LTS", &both, true, 10),
                template("Ubuntu 22.04 LTS", &both, true, 10),
                template("Debian 12", &both, false, 8),
                template("Rocky Linux 9", std::slice::from_ref(&basic), false, 10),
            ],
            service_offerings: vec![
                offering("Small", Some((1, 1000, 1024))),
                offering("Medium", Some((2, 2000, 4096))),
                offering("Large", Some((4, 2000, 8192))),
                offering("Custom", None),
            ],
            disk_offerings: vec![disk("Data 20 GB", Some(20)), disk("Data custom", None)],
            networks: vec![
                network("default", &advanced, Some("demo"), home, 24),
                network("default", &advanced, Some("other"), home, 24),
                network(
                    "shared-lan",
                    &advanced,
                    None,
                    Ipv4Addr::new(127, 0, 210, 0),
                    24,
                ),
                network(
                    "guestNetworkForBasicZone",
                    &basic,
                    None,
                    Ipv4Addr::new(127, 0, 200, 0),
                    24,
                ),
            ],
            vpcs: Vec::new(),
            affinity_groups: Vec::new(),
            public_addresses: vec![AddressPool {
                zone: advanced,
                first: Ipv4Addr::new(127, 0, 100, 10),
                count: 200,
            }],
        }
    }
}

/// A range of IPv4 addresses, such as `10.1.1.0/24`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    base: Ipv4Addr,
    prefix: u8,
}

/// A text that is no range of IPv4 addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a range of IPv4 addresses such as 10.1.1.0/24")]
pub struct BadCidr;

impl Cidr {
    /// The range of `prefix` bits that `address` is in.
    pub fn new(address: Ipv4Addr, prefix: u8) -> Result<Self, BadCidr> {
        if prefix > 32 {
            return Err(BadCidr);
        }
        let bits = u32::from(address)
            & Self {
                base: address,
                prefix,
            }
            .mask();
        Ok(Self {
            base: Ipv4Addr::from(bits),
            prefix,
        })
    }

    /// The first address.
    pub(crate) fn base(self) -> Ipv4Addr {
        self.base
    }

    /// The length of the prefix, in bits.
    pub(crate) fn prefix(self) -> u8 {
        self.prefix
    }

    fn mask(self) -> u32 {
        u32::MAX
            .checked_shl(32 - u32::from(self.prefix.min(32)))
            .unwrap_or(0)
    }

    /// The netmask.
    pub(crate) fn netmask(self) -> Ipv4Addr {
        Ipv4Addr::from(self.mask())
    }

    /// Whether the range has the address.
    pub(crate) fn contains(self, address: Ipv4Addr) -> bool {
        u32::from(address) & self.mask() == u32::from(self.base)
    }

    /// Whether the range has all of the other.
    pub(crate) fn contains_all(self, other: Self) -> bool {
        self.prefix <= other.prefix && self.contains(other.base)
    }

    /// How many addresses hosts can have: all but the first and the last.
    pub(crate) fn host_count(self) -> u32 {
        (!self.mask()).saturating_sub(1)
    }

    /// The address of a host, counted from one.
    pub(crate) fn host(self, number: u32) -> Option<Ipv4Addr> {
        (number >= 1 && number <= self.host_count())
            .then(|| Ipv4Addr::from(u32::from(self.base) + number))
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.base, self.prefix)
    }
}

impl FromStr for Cidr {
    type Err = BadCidr;

    fn from_str(text: &str) -> Result<Self, BadCidr> {
        let (address, prefix) = text.split_once('/').ok_or(BadCidr)?;
        Self::new(
            address.parse().map_err(|_| BadCidr)?,
            prefix.parse().map_err(|_| BadCidr)?,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_know_their_hosts() {
        let cidr: Cidr = "10.1.1.7/24".parse().unwrap();
        assert_eq!(cidr.to_string(), "10.1.1.0/24");
        assert_eq!(cidr.netmask(), Ipv4Addr::new(255, 255, 255, 0));
        assert_eq!(
            (cidr.host_count(), cidr.host(254)),
            (254, Some(Ipv4Addr::new(10, 1, 1, 254)))
        );
        assert_eq!((cidr.host(0), cidr.host(255)), (None, None));
        assert!(
            cidr.contains(Ipv4Addr::new(10, 1, 1, 255))
                && !cidr.contains(Ipv4Addr::new(10, 1, 2, 0))
        );
        let holds = |other: &str| cidr.contains_all(other.parse().unwrap());
        assert!(holds("10.1.1.0/24") && holds("10.1.1.128/25"));
        assert!(!holds("10.1.0.0/16") && !holds("10.1.2.0/25"));
    }

    #[test]
    fn the_extremes_of_ranges_hold() {
        let all: Cidr = "255.255.255.255/0".parse().unwrap();
        assert_eq!(
            (all.to_string().as_str(), all.host_count()),
            ("0.0.0.0/0", u32::MAX - 1)
        );
        let one: Cidr = "10.0.0.1/32".parse().unwrap();
        assert_eq!((one.host_count(), one.host(1)), (0, None));
        for wrong in [
            "",
            "10.1.1.0",
            "10.1.1.0/33",
            "10.1.1/24",
            "a/b",
            "10.1.1.0/-1",
        ] {
            assert_eq!(wrong.parse::<Cidr>(), Err(BadCidr), "{wrong:?}");
        }
    }

    #[test]
    fn versions_are_compared_by_their_numbers() {
        let is_4_17 = |version: &str| {
            let mut behaviour = Behaviour::cloudstack_4_6();
            behaviour.version = version.to_owned();
            behaviour.is_at_least(4, 17)
        };
        for later in ["4.17.0.0", "4.20", "5.0.0"] {
            assert!(is_4_17(later), "{later}");
        }
        for earlier in ["4.6.0", "4.16.9.9", "3.20", "4", ""] {
            assert!(!is_4_17(earlier), "{earlier}");
        }
    }

    #[test]
    fn the_job_time_of_a_command_is_matched_ignoring_case() {
        let mut behaviour = Behaviour::default();
        behaviour
            .job_times
            .insert("DeployVirtualMachine".to_owned(), Duration::from_secs(60));
        assert_eq!(
            behaviour.job_time("deployVirtualMachine"),
            Duration::from_secs(60)
        );
        assert_eq!(
            behaviour.job_time("startVirtualMachine"),
            Duration::from_secs(2)
        );
    }
}
