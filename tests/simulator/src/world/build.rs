//! The world at the start.

use jiff::Timestamp;
use uuid::Uuid;

use super::*;
use crate::config::{Behaviour, CloudConfig, NetworkKind, ZoneKind};

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
    #[error("{network}: an isolated network has to have an owner and to be in an advanced zone")]
    Misplaced { network: String },
}

fn unknown(of: &str, kind: &'static str, name: &str) -> ConfigError {
    ConfigError::Unknown {
        of: of.to_owned(),
        kind,
        name: name.to_owned(),
    }
}

/// A random key in the form of CloudStack's: 86 characters of URL-safe base64.
fn random_key() -> String {
    use base64::Engine as _;
    let bytes: Vec<u8> = (0..4).flat_map(|_| Uuid::new_v4().into_bytes()).collect();
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
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
            zones: Table::default(),
            templates: Table::default(),
            service_offerings: Table::default(),
            disk_offerings: Table::default(),
            network_offerings: Table::default(),
            networks: Table::default(),
            addresses: Table::default(),
            machines: Table::default(),
            volumes: Table::default(),
            key_pairs: Table::default(),
            forwards: Table::default(),
            firewall: Table::default(),
            security_groups: Table::default(),
            tags: Vec::new(),
            jobs: Table::default(),
            serial: 200,
        };
        world.add_accounts(config)?;
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
                    source_nat: false,
                    static_nat: None,
                    allocated: None,
                });
            }
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
            self.security_groups.insert(SecurityGroup {
                id: Uuid::new_v4(),
                owner: id,
                name: "default".to_owned(),
                description: "Default Security Group".to_owned(),
                rules: Vec::new(),
                default: true,
            });
        }
        Ok(())
    }

    fn add_networks(&mut self, config: &CloudConfig, now: Timestamp) -> Result<(), ConfigError> {
        let offerings = [
            (
                "DefaultIsolatedNetworkOfferingWithSourceNatService",
                NetworkKind::Isolated,
            ),
            ("DefaultSharedNetworkOffering", NetworkKind::Shared),
        ];
        for (name, kind) in offerings {
            let name = name.to_owned();
            self.network_offerings.insert(NetworkOffering {
                id: Uuid::new_v4(),
                name,
                kind,
                created: now,
            });
        }
        for network in &config.networks {
            let zone = self.zone_named(&network.name, &network.zone)?;
            let owner = match &network.owner {
                Some(owner) => Some(self.account_named(&network.name, owner)?),
                None => None,
            };
            let kind = if owner.is_some() {
                NetworkKind::Isolated
            } else {
                NetworkKind::Shared
            };
            if kind == NetworkKind::Isolated
                && self
                    .zones
                    .get(zone)
                    .is_none_or(|zone| zone.kind == ZoneKind::Basic)
            {
                return Err(ConfigError::Misplaced {
                    network: network.name.clone(),
                });
            }
            let Some(offering) = self
                .network_offerings
                .iter()
                .find(|offering| offering.kind == kind)
            else {
                continue;
            };
            let offering = offering.id;
            let serial = self.next_serial();
            self.networks.insert(Network {
                id: Uuid::new_v4(),
                serial,
                name: network.name.clone(),
                display_text: network.name.clone(),
                zone,
                kind,
                owner,
                offering,
                cidr: network.cidr,
                domain_name: format!("cs{serial}cloud.internal"),
                state: match kind {
                    NetworkKind::Isolated => NetworkState::Allocated,
                    NetworkKind::Shared => NetworkState::Implemented,
                },
                created: now,
                by_account: false,
            });
        }
        Ok(())
    }

    fn zone_named(&self, of: &str, name: &str) -> Result<Uuid, ConfigError> {
        let zone = self.zones.iter().find(|zone| zone.name == name);
        zone.map(|zone| zone.id)
            .ok_or_else(|| unknown(of, "zone", name))
    }

    fn account_named(&self, of: &str, name: &str) -> Result<Uuid, ConfigError> {
        let account = self.accounts.iter().find(|account| account.name == name);
        account
            .map(|account| account.id)
            .ok_or_else(|| unknown(of, "account", name))
    }
}
