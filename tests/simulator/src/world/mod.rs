//! The simulated cloud: its data, and the rules that hold whatever command changes it.

mod backing;
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
pub(crate) use views::AFFINITY_TYPE;

use crate::config::Behaviour;
use crate::error::ApiError;
use crate::hypervisor::Backend;
use crate::jobs::Job;

/// Everything the simulated cloud knows.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) behaviour: Behaviour,
    pub(crate) domain: Domain,
    pub(crate) accounts: Table<Account>,
    pub(crate) projects: Table<Project>,
    pub(crate) zones: Table<Zone>,
    pub(crate) templates: Table<Template>,
    pub(crate) service_offerings: Table<ServiceOffering>,
    pub(crate) disk_offerings: Table<DiskOffering>,
    pub(crate) network_offerings: Table<NetworkOffering>,
    pub(crate) networks: Table<Network>,
    pub(crate) vpcs: Table<Vpc>,
    pub(crate) addresses: Table<PublicAddress>,
    pub(crate) machines: Table<Machine>,
    pub(crate) volumes: Table<Volume>,
    pub(crate) key_pairs: Table<KeyPair>,
    pub(crate) forwards: Table<PortForward>,
    pub(crate) firewall: Table<FirewallRule>,
    pub(crate) security_groups: Table<SecurityGroup>,
    pub(crate) affinity_groups: Table<AffinityGroup>,
    pub(crate) tags: Vec<Tag>,
    pub(crate) jobs: Table<Job>,
    /// The commands whose jobs do not end for now; one that is held twice is here twice.
    pub(crate) held: Vec<&'static str>,
    /// What runs the machines.
    pub(crate) backend: Backend,
    /// By accounts, when the time began in which calls are counted, and how many there were.
    pub(crate) calls: BTreeMap<Uuid, (Timestamp, u32)>,
    /// CloudStack's database ids, which show in names and in some error texts.
    serial: u64,
}

impl World {
    /// The next database id.
    pub(crate) fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    /// Who has a resource of a kind; nothing if there is no such one, and nobody if it is everybody's.
    pub(crate) fn owner_of(&self, kind: &str, id: Uuid) -> Option<Option<Uuid>> {
        fn owner<T: Owned>(table: &Table<T>, id: Uuid) -> Option<Option<Uuid>> {
            table.get(id).map(Owned::owner)
        }
        match kind {
            "UserVm" => owner(&self.machines, id),
            "Volume" => owner(&self.volumes, id),
            "Network" => owner(&self.networks, id),
            "PublicIpAddress" => owner(&self.addresses, id),
            "PortForwardingRule" => owner(&self.forwards, id),
            "FirewallRule" => owner(&self.firewall, id),
            _ => owner(&self.security_groups, id),
        }
    }

    /// The account of an API key.
    pub(crate) fn account_by_key(&self, api_key: &str) -> Option<&Account> {
        self.accounts
            .iter()
            .find(|account| account.api_key == api_key)
    }

    /// The name of an account, or of the account of a project; empty for none.
    pub(crate) fn account_name(&self, id: Uuid) -> &str {
        match (self.accounts.get(id), self.projects.get(id)) {
            (Some(account), _) => &account.name,
            (None, Some(project)) => &project.account_name,
            (None, None) => "",
        }
    }

    /// An account, or a project's, as CloudStack names it in errors.
    pub(crate) fn describe(&self, owner: Uuid) -> String {
        format!("Acct[{owner}-{}]", self.account_name(owner))
    }

    /// Whether an account may act on what belongs to an owner: to itself or to a project that it is in.
    pub(crate) fn may_use(&self, account: Uuid, owner: Uuid) -> bool {
        let project = self.projects.get(owner);
        account == owner || project.is_some_and(|project| project.members.contains(&account))
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

    /// Takes an address from the public pool for an account or a project.
    pub(crate) fn acquire_address(
        &mut self,
        wanted: Option<Ipv4Addr>,
        zone: Uuid,
        owner: Uuid,
        place: Place,
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
        match place {
            Place::Network(network) => address.network = Some(network),
            Place::Vpc(vpc) => address.vpc = Some(vpc),
        }
        address.allocated = Some(now);
        Ok(address.id)
    }

    /// Gives an address back to the public pool, with its rules.
    pub(crate) fn release_address(&mut self, id: Uuid) {
        self.forwards.remove_where(|rule| rule.public == id);
        self.firewall.remove_where(|rule| rule.public == id);
        self.remove_tags(id);
        self.remove_tags_of_rules();
        if let Some(address) = self.addresses.get_mut(id) {
            address.state = AddressState::Free;
            address.owner = None;
            address.network = None;
            address.vpc = None;
            address.allocated = None;
            address.source_nat = false;
            address.static_nat = None;
        }
    }

    /// Takes an address from a network that is deleted: it goes back to the pool, or stays with its VPC.
    pub(crate) fn leave_network(&mut self, id: Uuid) {
        let vpc = self.addresses.get(id).and_then(|address| address.vpc);
        if vpc.is_none() {
            self.release_address(id);
            return;
        }
        self.forwards.remove_where(|rule| rule.public == id);
        self.remove_static_nat(id);
    }

    /// Has an address of a VPC lead to no tier any more if nothing uses it.
    pub(crate) fn leave_unused_tier(&mut self, address: Uuid) {
        let is_used = self.forwards.iter().any(|rule| rule.public == address);
        if let Some(address) = self.addresses.get_mut(address)
            && address.vpc.is_some()
            && address.static_nat.is_none()
            && !is_used
        {
            address.network = None;
        }
    }

    /// Has an address lead to no machine alone any more.
    pub(crate) fn remove_static_nat(&mut self, address: Uuid) {
        if let Some(address) = self.addresses.get_mut(address) {
            address.static_nat = None;
        }
        self.leave_unused_tier(address);
    }

    /// Takes an address, which is ready at once, for a network's or a VPC's own traffic.
    fn acquire_source_nat(
        &mut self,
        zone: Uuid,
        owner: Uuid,
        place: Place,
        now: Timestamp,
    ) -> Result<(), ApiError> {
        let address = self.acquire_address(None, zone, owner, place, now)?;
        if let Some(address) = self.addresses.get_mut(address) {
            address.source_nat = true;
            address.state = AddressState::Allocated;
        }
        Ok(())
    }

    /// Brings an isolated network up, with its source-NAT address, as CloudStack does for its first machine. A tier has
    /// that of its VPC.
    pub(crate) fn implement_network(&mut self, id: Uuid, now: Timestamp) -> Result<(), ApiError> {
        let Some(network) = self.networks.get(id) else {
            return Ok(());
        };
        let (zone, owner) = match (network.state, network.owner) {
            (NetworkState::Allocated, Some(owner)) => (network.zone, owner),
            _ => return Ok(()),
        };
        if network.vpc.is_none() {
            self.acquire_source_nat(zone, owner, Place::Network(id), now)?;
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
        let public = self.forwards.get(id).map(|rule| rule.public);
        self.forwards.remove(id);
        if let Some(public) = public {
            self.leave_unused_tier(public);
        }
        self.remove_tags(id);
        self.firewall.remove_where(|rule| rule.related == Some(id));
        self.remove_tags_of_rules();
    }

    /// Forgets the tags of rules that are gone.
    fn remove_tags_of_rules(&mut self) {
        let (forwards, firewall) = (&self.forwards, &self.firewall);
        self.tags.retain(|tag| match tag.kind.as_str() {
            "PortForwardingRule" => forwards.get(tag.resource).is_some(),
            "FirewallRule" => firewall.get(tag.resource).is_some(),
            _ => true,
        });
    }
}
