//! The world at the start.

use jiff::Timestamp;
use uuid::Uuid;

use super::*;
use crate::config::{Behaviour, Cidr, CloudConfig, NetworkKind, ZoneKind};
use crate::hypervisor::Backend;

/// A configuration that does not fit together.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error("{of} names the {kind} {name}, which there is not")]
    Unknown {
        of: String,
        kind: &'static str,
        name: String,
    },
    #[error("there is no account")]
    NoAccount,
    #[error("two accounts have the API key {0}")]
    SameKey(String),
    #[error("an account and a project have the name {0}")]
    SameName(String),
    #[error("{network}: an isolated network has to have an owner and to be in an advanced zone")]
    Misplaced { network: String },
    #[error("{tier}: a tier has to have addresses of its VPC")]
    Outside { tier: String },
    #[error("no public address is left for the VPC {vpc}")]
    NoAddress { vpc: String },
}

fn unknown(of: &str, kind: &'static str, name: &str) -> ConfigError {
    ConfigError::Unknown {
        of: of.to_owned(),
        kind,
        name: name.to_owned(),
    }
}

/// A random key in the form of CloudStack's: 86 characters of URL-safe base64. It begins like every other, so that whoever
/// has run tests can search for keys in what they have written.
fn random_key() -> String {
    use base64::Engine as _;
    let bytes: Vec<u8> = (0..4).flat_map(|_| Uuid::new_v4().into_bytes()).collect();
    let random = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes);
    format!("CANARY-{}", &random[7..])
}

impl World {
    pub(crate) fn new(
        config: &CloudConfig,
        behaviour: Behaviour,
        now: Timestamp,
    ) -> Result<Self, ConfigError> {
        let mut world = Self {
            behaviour,
            domain: Domain {
                id: Uuid::new_v4(),
                name: "ROOT".to_owned(),
            },
            accounts: Table::default(),
            projects: Table::default(),
            zones: Table::default(),
            templates: Table::default(),
            service_offerings: Table::default(),
            disk_offerings: Table::default(),
            network_offerings: Table::default(),
            networks: Table::default(),
            vpcs: Table::default(),
            addresses: Table::default(),
            machines: Table::default(),
            volumes: Table::default(),
            key_pairs: Table::default(),
            forwards: Table::default(),
            firewall: Table::default(),
            security_groups: Table::default(),
            affinity_groups: Table::default(),
            tags: Vec::new(),
            held: Vec::new(),
            jobs: Table::default(),
            backend: Backend::default(),
            calls: BTreeMap::new(),
            serial: 200,
        };
        world.add_accounts(config)?;
        world.add_projects(config, now)?;
        for zone in &config.zones {
            world.zones.insert(Zone {
                id: Uuid::new_v4(),
                name: zone.name.clone(),
                kind: zone.kind,
            });
        }
        for template in &config.templates {
            let zones = template
                .zones
                .iter()
                .map(|zone| world.zone_named(&template.name, zone));
            let zones = zones.collect::<Result<_, _>>()?;
            let owner = match &template.owner {
                Some(owner) => Some(world.account_named(&template.name, owner)?),
                None => None,
            };
            world.templates.insert(Template {
                id: Uuid::new_v4(),
                name: template.name.clone(),
                zones,
                featured: template.featured,
                owner,
                public: owner.is_none(),
                size_gib: template.size_gib,
                created: now,
            });
        }
        for offering in &config.service_offerings {
            let size = offering.size.map(|(cpus, mhz, memory_mib)| Size {
                cpus,
                mhz,
                memory_mib,
            });
            let name = offering.name.clone();
            world.service_offerings.insert(ServiceOffering {
                id: Uuid::new_v4(),
                name,
                size,
                created: now,
            });
        }
        for offering in &config.disk_offerings {
            let (name, size_gib) = (offering.name.clone(), offering.size_gib);
            world.disk_offerings.insert(DiskOffering {
                id: Uuid::new_v4(),
                name,
                size_gib,
                created: now,
            });
        }
        world.add_networks(config, now)?;
        for pool in &config.public_addresses {
            let zone = world.zone_named("a pool of public addresses", &pool.zone)?;
            for address in pool.addresses() {
                world.addresses.insert(PublicAddress {
                    id: Uuid::new_v4(),
                    address,
                    zone,
                    state: AddressState::Free,
                    owner: None,
                    network: None,
                    vpc: None,
                    source_nat: false,
                    static_nat: None,
                    allocated: None,
                });
            }
        }
        world.add_vpcs(config, now)?;
        for group in &config.affinity_groups {
            let owner = world.owner_named(&group.name, &group.owner)?;
            world.affinity_groups.insert(AffinityGroup {
                id: Uuid::new_v4(),
                owner,
                name: group.name.clone(),
            });
        }
        if world.behaviour.networks_implemented {
            let networks: Vec<_> = world.networks.iter().map(|network| network.id).collect();
            for network in networks {
                // Without an address left the network stays as it is, and its first machine tells why.
                let _ = world.implement_network(network, now);
            }
        }
        Ok(world)
    }

    fn add_accounts(&mut self, config: &CloudConfig) -> Result<(), ConfigError> {
        if config.accounts.is_empty() {
            return Err(ConfigError::NoAccount);
        }
        for account in &config.accounts {
            let api_key = account.api_key.clone().unwrap_or_else(random_key);
            if self.account_by_key(&api_key).is_some() {
                return Err(ConfigError::SameKey(api_key));
            }
            let id = self.accounts.insert(Account {
                id: Uuid::new_v4(),
                user: Uuid::new_v4(),
                name: account.name.clone(),
                api_key,
                secret_key: Secret(account.secret_key.clone().unwrap_or_else(random_key)),
            });
            self.add_default_security_group(id);
        }
        Ok(())
    }

    fn add_default_security_group(&mut self, owner: Uuid) {
        self.security_groups.insert(SecurityGroup {
            id: Uuid::new_v4(),
            owner,
            name: "default".to_owned(),
            description: "Default Security Group".to_owned(),
            rules: Vec::new(),
            default: true,
        });
    }

    fn add_projects(&mut self, config: &CloudConfig, now: Timestamp) -> Result<(), ConfigError> {
        for project in &config.projects {
            let name = &project.name;
            if self.accounts.iter().any(|account| account.name == *name) {
                return Err(ConfigError::SameName(name.clone()));
            }
            let members = project.members.iter();
            let members = members.map(|member| self.account_named(name, member));
            let members = members.collect::<Result<_, _>>()?;
            let serial = self.next_serial();
            let id = self.projects.insert(Project {
                id: Uuid::new_v4(),
                name: name.clone(),
                account_name: format!("PrjAcct-{name}-{serial}"),
                members,
                created: now,
            });
            self.add_default_security_group(id);
        }
        Ok(())
    }

    fn add_networks(&mut self, config: &CloudConfig, now: Timestamp) -> Result<(), ConfigError> {
        let offerings = [
            (
                "DefaultIsolatedNetworkOfferingWithSourceNatService",
                NetworkKind::Isolated,
                false,
            ),
            (
                "DefaultIsolatedNetworkOfferingForVpcNetworks",
                NetworkKind::Isolated,
                true,
            ),
            ("DefaultSharedNetworkOffering", NetworkKind::Shared, false),
        ];
        for (name, kind, for_vpc) in offerings {
            let name = name.to_owned();
            self.network_offerings.insert(NetworkOffering {
                id: Uuid::new_v4(),
                name,
                kind,
                for_vpc,
                created: now,
            });
        }
        for network in &config.networks {
            let zone = self.zone_named(&network.name, &network.zone)?;
            let owner = match &network.owner {
                Some(owner) => Some(self.owner_named(&network.name, owner)?),
                None => None,
            };
            if owner.is_some() {
                self.check_advanced(zone, &network.name)?;
            }
            self.add_network(&network.name, network.cidr, zone, owner, None, now);
        }
        Ok(())
    }

    /// Adds a network: an isolated one of its owner, perhaps a tier of a VPC, or else a shared one.
    fn add_network(
        &mut self,
        name: &str,
        cidr: Cidr,
        zone: Uuid,
        owner: Option<Uuid>,
        vpc: Option<Uuid>,
        now: Timestamp,
    ) {
        let (kind, state) = match owner {
            Some(_) => (NetworkKind::Isolated, NetworkState::Allocated),
            None => (NetworkKind::Shared, NetworkState::Implemented),
        };
        let mut offerings = self.network_offerings.iter();
        let offering =
            offerings.find(|offering| offering.kind == kind && offering.for_vpc == vpc.is_some());
        let Some(offering) = offering.map(|offering| offering.id) else {
            return;
        };
        let serial = self.next_serial();
        let domain_name = match vpc.and_then(|vpc| self.vpcs.get(vpc)) {
            Some(vpc) => vpc.domain_name.clone(),
            None => format!("cs{serial}cloud.internal"),
        };
        self.networks.insert(Network {
            id: Uuid::new_v4(),
            serial,
            name: name.to_owned(),
            display_text: name.to_owned(),
            zone,
            kind,
            owner,
            vpc,
            offering,
            cidr,
            domain_name,
            state,
            created: now,
            by_account: false,
        });
    }

    fn add_vpcs(&mut self, config: &CloudConfig, now: Timestamp) -> Result<(), ConfigError> {
        for vpc in &config.vpcs {
            let zone = self.zone_named(&vpc.name, &vpc.zone)?;
            let owner = self.owner_named(&vpc.name, &vpc.owner)?;
            self.check_advanced(zone, &vpc.name)?;
            let serial = self.next_serial();
            let id = self.vpcs.insert(Vpc {
                id: Uuid::new_v4(),
                name: vpc.name.clone(),
                zone,
                owner,
                cidr: vpc.cidr,
                domain_name: format!("cs{serial}cloud.internal"),
                created: now,
            });
            self.acquire_source_nat(zone, owner, Place::Vpc(id), now)
                .map_err(|_| ConfigError::NoAddress {
                    vpc: vpc.name.clone(),
                })?;
            for (name, cidr) in &vpc.tiers {
                if !vpc.cidr.contains_all(*cidr) {
                    return Err(ConfigError::Outside { tier: name.clone() });
                }
                self.add_network(name, *cidr, zone, Some(owner), Some(id), now);
            }
        }
        Ok(())
    }

    fn check_advanced(&self, zone: Uuid, network: &str) -> Result<(), ConfigError> {
        match self.zones.get(zone) {
            Some(zone) if zone.kind == ZoneKind::Advanced => Ok(()),
            _ => Err(ConfigError::Misplaced {
                network: network.to_owned(),
            }),
        }
    }

    fn zone_named(&self, of: &str, name: &str) -> Result<Uuid, ConfigError> {
        let zone = self.zones.iter().find(|zone| zone.name == name);
        zone.map(|zone| zone.id)
            .ok_or_else(|| unknown(of, "zone", name))
    }

    /// The account or the project of that name.
    fn owner_named(&self, of: &str, name: &str) -> Result<Uuid, ConfigError> {
        match self.projects.iter().find(|project| project.name == name) {
            Some(project) => Ok(project.id),
            None => self.account_named(of, name),
        }
    }

    fn account_named(&self, of: &str, name: &str) -> Result<Uuid, ConfigError> {
        let account = self.accounts.iter().find(|account| account.name == name);
        account
            .map(|account| account.id)
            .ok_or_else(|| unknown(of, "account", name))
    }
}
