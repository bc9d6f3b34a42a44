//! The simulated cloud: its data, and the rules that hold whatever command changes it.

mod build;
mod entities;
mod lifecycle;
mod table;
mod views;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use jiff::Timestamp;
use uuid::Uuid;

pub(crate) use entities::*;
pub(crate) use table::{Entity, Table};

use crate::api::ApiError;
use crate::config::Behaviour;
use crate::jobs::Job;

/// Everything the simulated cloud knows.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) behaviour: Behaviour,
    pub(crate) domain: Domain,
    pub(crate) accounts: Table<Account>,
    pub(crate) zones: Table<Zone>,
    pub(crate) templates: Table<Template>,
    pub(crate) service_offerings: Table<ServiceOffering>,
    pub(crate) disk_offerings: Table<DiskOffering>,
    pub(crate) network_offerings: Table<NetworkOffering>,
    pub(crate) networks: Table<Network>,
    pub(crate) addresses: Table<PublicAddress>,
    pub(crate) machines: Table<Machine>,
    pub(crate) volumes: Table<Volume>,
    pub(crate) key_pairs: Table<KeyPair>,
    pub(crate) forwards: Table<PortForward>,
    pub(crate) firewall: Table<FirewallRule>,
    pub(crate) security_groups: Table<SecurityGroup>,
    pub(crate) tags: Vec<Tag>,
    pub(crate) jobs: Table<Job>,
    /// CloudStack's database ids, which show in names and in some error texts.
    serial: u64,
}

impl World {
    /// The next database id.
    pub(crate) fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    /// The account of an API key.
    pub(crate) fn account_by_key(&self, api_key: &str) -> Option<&Account> {
        self.accounts
            .iter()
            .find(|account| account.api_key == api_key)
    }

    /// The name of an account, empty for none.
    pub(crate) fn account_name(&self, id: Uuid) -> &str {
        self.accounts.get(id).map_or("", |account| &account.name)
    }

    /// The free address with which a network answers next.
    ///
    /// Addresses are handed out from the tenth of the network on, so that those of a test are easy to foretell; the
    /// ones before come last. The first is the gateway's.
    fn free_address(&self, network: &Network) -> Option<Ipv4Addr> {
        let hosts = network.cidr.host_count();
        let start = if hosts > 10 { 10 } else { 2 };
        (start..=hosts)
            .chain(2..start)
            .filter_map(|offset| network.cidr.host(offset))
            .find(|address| {
                !self
                    .machines
                    .iter()
                    .flat_map(|machine| &machine.nics)
                    .any(|nic| nic.network == network.id && nic.address == *address)
            })
    }

    /// Whether a machine has this address in the network.
    fn address_in_use(&self, network: Uuid, address: Ipv4Addr) -> bool {
        let mut nics = self.machines.iter().flat_map(|machine| &machine.nics);
        nics.any(|nic| nic.network == network && nic.address == address)
    }

    /// Puts a network card for a new machine together, with the address asked for or else a free one.
    pub(crate) fn make_nic(
        &mut self,
        network: Uuid,
        wanted: Option<Ipv4Addr>,
        default: bool,
    ) -> Result<Nic, ApiError> {
        let Some(network) = self.networks.get(network) else {
            return Err(ApiError::invalid("Unable to find network by id"));
        };
        let address = match wanted {
            Some(wanted) => {
                let usable = network.cidr.contains(wanted) && wanted != network.gateway();
                if !usable || self.address_in_use(network.id, wanted) {
                    return Err(ApiError::insufficient_capacity(format!(
                        "Unable to acquire Guest IP address {wanted} for network {}",
                        network.describe()
                    )));
                }
                wanted
            }
            None => self.free_address(network).ok_or_else(|| {
                ApiError::insufficient_capacity(format!(
                    "Unable to acquire Guest IP address for network {}",
                    network.describe()
                ))
            })?,
        };
        let network = network.id;
        let serial = self.next_serial().to_be_bytes();
        let [.., high, middle, low] = serial;
        let mac = format!("02:00:4c:{high:02x}:{middle:02x}:{low:02x}");
        Ok(Nic {
            id: Uuid::new_v4(),
            network,
            address,
            mac,
            default,
        })
    }

    /// Takes an address from the public pool for an account.
    pub(crate) fn acquire_address(
        &mut self,
        wanted: Option<Ipv4Addr>,
        zone: Uuid,
        owner: Uuid,
        network: Option<Uuid>,
        now: Timestamp,
    ) -> Result<Uuid, ApiError> {
        let zone_name = self
            .zones
            .get(zone)
            .map_or_else(String::new, |zone| zone.name.clone());
        let free = self.addresses.iter_mut().find(|address| {
            address.zone == zone
                && address.state == AddressState::Free
                && wanted.is_none_or(|wanted| wanted == address.address)
        });
        let Some(address) = free else {
            return Err(ApiError::insufficient_capacity(format!(
                "Insufficient address capacity: unable to get a public address in zone {zone_name}"
            )));
        };
        address.state = AddressState::Allocating;
        address.owner = Some(owner);
        address.network = network;
        address.allocated = Some(now);
        Ok(address.id)
    }

    /// Gives an address back to the public pool, with its rules.
    pub(crate) fn release_address(&mut self, id: Uuid) {
        self.forwards.remove_where(|rule| rule.public == id);
        self.firewall.remove_where(|rule| rule.public == id);
        self.remove_tags(id);
        if let Some(address) = self.addresses.get_mut(id) {
            address.state = AddressState::Free;
            address.owner = None;
            address.network = None;
            address.allocated = None;
            address.source_nat = false;
            address.static_nat = None;
        }
    }

    /// Brings an isolated network up, with its source-NAT address, as CloudStack does for its first machine.
    pub(crate) fn implement_network(&mut self, id: Uuid, now: Timestamp) -> Result<(), ApiError> {
        let Some(network) = self.networks.get(id) else {
            return Ok(());
        };
        let (zone, owner) = match (network.state, network.owner) {
            (NetworkState::Allocated, Some(owner)) => (network.zone, owner),
            _ => return Ok(()),
        };
        let address = self.acquire_address(None, zone, owner, Some(id), now)?;
        if let Some(address) = self.addresses.get_mut(address) {
            address.source_nat = true;
            address.state = AddressState::Allocated;
        }
        if let Some(network) = self.networks.get_mut(id) {
            network.state = NetworkState::Implemented;
        }
        Ok(())
    }

    /// Forgets the tags of a resource that is gone.
    pub(crate) fn remove_tags(&mut self, resource: Uuid) {
        self.tags.retain(|tag| tag.resource != resource);
    }

    /// The tags of a resource.
    pub(crate) fn tags_of(&self, resource: Uuid) -> impl Iterator<Item = &Tag> {
        self.tags.iter().filter(move |tag| tag.resource == resource)
    }

    /// Whether a resource bears all these tags.
    pub(crate) fn has_tags(&self, resource: Uuid, wanted: &BTreeMap<String, String>) -> bool {
        wanted.iter().all(|(key, value)| {
            self.tags_of(resource)
                .any(|tag| tag.key == *key && tag.value == *value)
        })
    }

    /// Removes a forwarding rule, and the firewall rule that was made with it.
    pub(crate) fn remove_forward(&mut self, id: Uuid) {
        self.forwards.remove(id);
        self.remove_tags(id);
        self.firewall.remove_where(|rule| rule.related == Some(id));
    }
}
