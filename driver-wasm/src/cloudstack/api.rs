//! The API's commands as functions.

use super::client::{Param, Params};
use super::lenient::{Malformed, Members, Model};
use super::model::Capability;
use super::{
    Client, Command, Created, DiskOffering, Error, FirewallRule, Item, Listing, Network,
    NetworkOffering, PortForwardingRule, PublicIpAddress, ServiceOffering, SshKeyPair, Submitted,
    Template, VirtualMachine, Volume, Zone, job,
};
use crate::host::Host;
use crate::options::Ports;

/// A cloud, through its API. Every function fails if the cloud cannot be reached, refuses, or is not understood, and if
/// the user asks to stop.
pub(crate) struct Cloud<'h> {
    client: Client<'h>,
    /// The project that everything belongs to.
    project: Option<String>,
}

/// What a virtual machine is deployed from. Empty lists and nothings are left out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Deployment<'d> {
    pub(crate) name: &'d str,
    pub(crate) display_name: &'d str,
    pub(crate) group: Option<&'d str>,
    pub(crate) zone_id: &'d str,
    pub(crate) template_id: &'d str,
    pub(crate) service_offering_id: &'d str,
    /// The first is the machine's own. More than one needs CloudStack 4.17.
    pub(crate) key_pairs: Vec<&'d str>,
    pub(crate) network_ids: Vec<&'d str>,
    pub(crate) security_group_ids: Vec<&'d str>,
    pub(crate) affinity_group_ids: Vec<&'d str>,
    pub(crate) disk_offering_id: Option<&'d str>,
    /// In GiB.
    pub(crate) disk_size: Option<i64>,
    /// In GiB.
    pub(crate) root_disk_size: Option<i64>,
    pub(crate) cpu: Option<i64>,
    /// In MHz.
    pub(crate) cpu_speed: Option<i64>,
    /// In MiB.
    pub(crate) memory: Option<i64>,
    /// In base64.
    pub(crate) user_data: Option<&'d str>,
}

/// A port-forwarding rule to be made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Forwarding<'f> {
    pub(crate) address_id: &'f str,
    pub(crate) vm_id: &'f str,
    /// The network of the machine, which has to be told in a VPC.
    pub(crate) network_id: Option<&'f str>,
    pub(crate) public: Ports,
    /// The first port of the machine that they lead to.
    pub(crate) private: u16,
    /// Whether the firewall lets everybody in; in a VPC there is none.
    pub(crate) opens_firewall: bool,
}

impl<'h> Cloud<'h> {
    /// The cloud that `host` calls.
    pub(crate) fn new(host: &'h dyn Host) -> Self {
        Self {
            client: Client::new(host),
            project: None,
        }
    }

    /// The same cloud, called by GET alone if that is wanted.
    pub(crate) fn by_get(mut self, uses_get_only: bool) -> Self {
        self.client = self.client.by_get(uses_get_only);
        self
    }

    /// The same cloud, as a project sees it.
    pub(crate) fn of_project(mut self, project_id: Option<String>) -> Self {
        self.project = project_id;
        self
    }

    /// Parameters of a command on what belongs to the project.
    fn scoped<'p>(&self, params: &[Param<'p>]) -> Params<'p> {
        Params::of(params).option("projectid", self.project.as_ref())
    }

    fn all<T: Model>(
        &self,
        command: Command,
        params: &Params<'_>,
        member: &'static str,
    ) -> Result<Vec<T>, Error> {
        self.client.list_all(command, params, member)
    }

    fn submit<T: Model>(&self, command: Command, params: &Params<'_>) -> Result<T, Error> {
        self.client.fetch(command, params)
    }

    /// What calls the API.
    pub(crate) fn client(&self) -> &Client<'h> {
        &self.client
    }

    /// The host through which it is called.
    pub(crate) fn host(&self) -> &'h dyn Host {
        self.client.host()
    }

    /// All items of a listing, of that zone if it is about one.
    pub(crate) fn list<T: Model>(
        &self,
        listing: &Listing,
        zone_id: Option<&str>,
    ) -> Result<Vec<T>, Error> {
        self.all(
            listing.command,
            &self.params_of(listing, zone_id),
            listing.member,
        )
    }

    /// Reads all items of a listing, one after the other.
    pub(crate) fn rows(
        &self,
        listing: &Listing,
        zone_id: Option<&str>,
        read: &mut dyn FnMut(Members<'_>) -> Result<(), Malformed>,
    ) -> Result<(), Error> {
        let params = self.params_of(listing, zone_id);
        self.client
            .rows(listing.command, &params, listing.member, read)
    }

    /// The parameters of a listing.
    fn params_of<'p>(&self, listing: &Listing, zone_id: Option<&str>) -> Params<'p> {
        let params = match listing.is_of_project {
            true => self.scoped(listing.params),
            false => Params::of(listing.params),
        };
        params.option("zoneid", zone_id.filter(|_| listing.is_of_zone))
    }

    /// The zones that the account may use.
    pub(crate) fn zones(&self) -> Result<Vec<Zone>, Error> {
        self.list(&Listing::ZONES, None)
    }

    /// The projects that the account is in.
    pub(crate) fn projects(&self) -> Result<Vec<Item>, Error> {
        self.list(&Listing::PROJECTS, None)
    }

    /// The accounts that the keys see: their own, or for an administrator those of the domain.
    pub(crate) fn accounts(&self) -> Result<Vec<Item>, Error> {
        self.list(&Listing::ACCOUNTS, None)
    }

    /// The templates from which the account may deploy in a zone.
    pub(crate) fn templates(&self, zone_id: &str) -> Result<Vec<Template>, Error> {
        self.list(&Listing::TEMPLATES, Some(zone_id))
    }

    /// The service offerings that the account may use in a zone.
    pub(crate) fn service_offerings(&self, zone_id: &str) -> Result<Vec<ServiceOffering>, Error> {
        self.list(&Listing::SERVICE_OFFERINGS, Some(zone_id))
    }

    /// The disk offerings that the account may use in a zone.
    pub(crate) fn disk_offerings(&self, zone_id: &str) -> Result<Vec<DiskOffering>, Error> {
        self.list(&Listing::DISK_OFFERINGS, Some(zone_id))
    }

    /// The affinity groups of the account.
    pub(crate) fn affinity_groups(&self) -> Result<Vec<Item>, Error> {
        self.list(&Listing::AFFINITY_GROUPS, None)
    }

    /// The security groups of the account.
    pub(crate) fn security_groups(&self) -> Result<Vec<Item>, Error> {
        self.list(&Listing::SECURITY_GROUPS, None)
    }

    /// The security group of that name; nothing if there is none.
    pub(crate) fn security_group(&self, name: &str) -> Result<Option<Item>, Error> {
        let params = self.scoped(&[("securitygroupname", name)]);
        let groups = self.all::<Item>(Command::ListSecurityGroups, &params, "securitygroup");
        Ok(gone_is_none(groups)?
            .into_iter()
            .find(|group| group.name == name))
    }

    /// The networks of a zone in which the account may deploy.
    pub(crate) fn networks(&self, zone_id: &str) -> Result<Vec<Network>, Error> {
        self.list(&Listing::NETWORKS, Some(zone_id))
    }

    /// All networks of the account.
    pub(crate) fn all_networks(&self) -> Result<Vec<Network>, Error> {
        self.all(Command::ListNetworks, &self.scoped(&[]), "network")
    }

    /// The network of that name; nothing if there is none.
    pub(crate) fn network_named(&self, name: &str) -> Result<Option<Network>, Error> {
        let params = self.scoped(&[("keyword", name)]);
        let networks: Vec<Network> = self.all(Command::ListNetworks, &params, "network")?;
        Ok(networks.into_iter().find(|network| network.name == name))
    }

    /// The offerings for isolated networks of a zone that can be used.
    pub(crate) fn network_offerings(&self, zone_id: &str) -> Result<Vec<NetworkOffering>, Error> {
        self.list(&Listing::NETWORK_OFFERINGS, Some(zone_id))
    }

    /// A virtual machine; nothing if there is no such one. One that is destroyed may still be shown.
    pub(crate) fn virtual_machine(&self, id: &str) -> Result<Option<VirtualMachine>, Error> {
        let machines = gone_is_none(self.virtual_machines(&[("id", id)]))?;
        Ok(machines.into_iter().find(|vm| vm.id == id))
    }

    /// The virtual machine with a name and a key pair.
    pub(crate) fn virtual_machine_with_key_pair(
        &self,
        name: &str,
        key_pair: &str,
    ) -> Result<Option<VirtualMachine>, Error> {
        // The server takes the name for a part of one.
        let candidates = self.virtual_machines(&[("name", name)])?;
        let is_it = |vm: &VirtualMachine| vm.name == name && vm.has_key_pair(key_pair);
        Ok(candidates.into_iter().find(is_it))
    }

    /// All virtual machines of the account.
    pub(crate) fn all_virtual_machines(&self) -> Result<Vec<VirtualMachine>, Error> {
        self.virtual_machines(&[])
    }

    /// The virtual machines in a network.
    pub(crate) fn virtual_machines_in(
        &self,
        network_id: &str,
    ) -> Result<Vec<VirtualMachine>, Error> {
        self.virtual_machines(&[("networkid", network_id)])
    }

    fn virtual_machines(&self, params: &[Param<'_>]) -> Result<Vec<VirtualMachine>, Error> {
        let (command, member) = (Command::ListVirtualMachines, "virtualmachine");
        // Of what takes the cloud time to find out and fills most of an answer, only this is needed.
        let scoped = self.scoped(params).option("details", Some("nics"));
        match params {
            // One page is enough for an id.
            [("id", _)] => self.client.list(command, &scoped, member),
            _ => self.all(command, &scoped, member),
        }
    }

    /// A network; nothing if the account does not see such a one.
    pub(crate) fn network(&self, id: &str) -> Result<Option<Network>, Error> {
        let params = self.scoped(&[("id", id)]);
        let networks = self.client.list(Command::ListNetworks, &params, "network");
        Ok(gone_is_none(networks)?.into_iter().next())
    }

    /// The public addresses of a network; of a tier those of its VPC, which lead to it only once they are used there.
    pub(crate) fn public_ip_addresses(
        &self,
        network: &Network,
    ) -> Result<Vec<PublicIpAddress>, Error> {
        let params = match network.vpcid.as_str() {
            "" => [("associatednetworkid", network.id.as_str())],
            vpc => [("vpcid", vpc)],
        };
        let params = self.scoped(&params);
        self.all(Command::ListPublicIpAddresses, &params, "publicipaddress")
    }

    /// The public addresses of the account in a zone.
    pub(crate) fn public_ip_addresses_in_zone(
        &self,
        zone_id: &str,
    ) -> Result<Vec<PublicIpAddress>, Error> {
        self.list(&Listing::PUBLIC_IP_ADDRESSES, Some(zone_id))
    }

    /// All public addresses of the account.
    pub(crate) fn all_public_ip_addresses(&self) -> Result<Vec<PublicIpAddress>, Error> {
        let params = self.scoped(&[]);
        self.all(Command::ListPublicIpAddresses, &params, "publicipaddress")
    }

    /// A public address; nothing if the account has no such one.
    pub(crate) fn public_ip_address(&self, id: &str) -> Result<Option<PublicIpAddress>, Error> {
        let params = self.scoped(&[("id", id)]);
        let command = Command::ListPublicIpAddresses;
        let addresses = self.all::<PublicIpAddress>(command, &params, "publicipaddress");
        Ok(gone_is_none(addresses)?
            .into_iter()
            .find(|address| address.id == id))
    }

    /// The port-forwarding rules of one public address, or of all of the account's. None if the address is gone.
    pub(crate) fn port_forwarding_rules(
        &self,
        address_id: Option<&str>,
    ) -> Result<Vec<PortForwardingRule>, Error> {
        let params = self.scoped(&[]).option("ipaddressid", address_id);
        none_of_released(self.all(
            Command::ListPortForwardingRules,
            &params,
            "portforwardingrule",
        ))
    }

    /// The firewall rules of one public address, or of all of the account's. None if the address is gone.
    pub(crate) fn firewall_rules(
        &self,
        address_id: Option<&str>,
    ) -> Result<Vec<FirewallRule>, Error> {
        let params = self.scoped(&[]).option("ipaddressid", address_id);
        none_of_released(self.all(Command::ListFirewallRules, &params, "firewallrule"))
    }

    /// The data disks of one virtual machine, or all of the account's.
    pub(crate) fn data_volumes(&self, vm_id: Option<&str>) -> Result<Vec<Volume>, Error> {
        let params = self
            .scoped(&[("type", "DATADISK")])
            .option("virtualmachineid", vm_id);
        gone_is_none(self.all(Command::ListVolumes, &params, "volume"))
    }

    /// The key pairs of the account.
    pub(crate) fn ssh_key_pairs(&self) -> Result<Vec<SshKeyPair>, Error> {
        self.list(&Listing::SSH_KEY_PAIRS, None)
    }

    /// What the cloud lets the account do.
    pub(crate) fn capabilities(&self) -> Result<Capability, Error> {
        let command = Command::ListCapabilities;
        self.client
            .fetch_member(command, &Params::of(&[]), "capability")
    }

    /// Gives CloudStack a public key, which machines are then deployed with by its name.
    pub(crate) fn register_ssh_key_pair(
        &self,
        name: &str,
        public_key: &str,
    ) -> Result<SshKeyPair, Error> {
        let command = Command::RegisterSshKeyPair;
        let params = self.scoped(&[("name", name), ("publickey", public_key)]);
        self.client.fetch_member(command, &params, "keypair")
    }

    /// Deletes a public key.
    pub(crate) fn delete_ssh_key_pair(&self, name: &str) -> Result<(), Error> {
        self.succeed(Command::DeleteSshKeyPair, &self.scoped(&[("name", name)]))
    }

    /// Begins to deploy a virtual machine.
    pub(crate) fn deploy(&self, deployment: &Deployment<'_>) -> Result<Created, Error> {
        let key_pairs = match deployment.key_pairs.as_slice() {
            [_] => "keypair",
            _ => "keypairs",
        };
        let params = self
            .scoped(&[
                ("zoneid", deployment.zone_id),
                ("templateid", deployment.template_id),
                ("serviceofferingid", deployment.service_offering_id),
                ("name", deployment.name),
                ("displayname", deployment.display_name),
            ])
            .list(key_pairs, &deployment.key_pairs)
            .list("networkids", &deployment.network_ids)
            .list("securitygroupids", &deployment.security_group_ids)
            .list("affinitygroupids", &deployment.affinity_group_ids)
            .option("group", deployment.group)
            .option("diskofferingid", deployment.disk_offering_id)
            .option("size", deployment.disk_size)
            .option("rootdisksize", deployment.root_disk_size)
            // The only names that CloudStack does not take in lower case: `VmDetailConstants`.
            .option("details[0].cpuNumber", deployment.cpu)
            .option("details[0].cpuSpeed", deployment.cpu_speed)
            .option("details[0].memory", deployment.memory)
            .option("userdata", deployment.user_data);
        self.submit(Command::DeployVirtualMachine, &params)
    }

    /// Makes an isolated network. Its virtual router is made with its first machine.
    pub(crate) fn create_network(
        &self,
        name: &str,
        offering_id: &str,
        zone_id: &str,
    ) -> Result<Network, Error> {
        let command = Command::CreateNetwork;
        let params = self.scoped(&[
            ("name", name),
            ("displaytext", name),
            ("networkofferingid", offering_id),
            ("zoneid", zone_id),
        ]);
        self.client.fetch_member(command, &params, "network")
    }

    /// Deletes a network.
    pub(crate) fn delete_network(&self, id: &str) -> Result<(), Error> {
        self.complete(Command::DeleteNetwork, &[("id", id)])
    }

    /// Begins to acquire a public address for a network, or for its VPC.
    pub(crate) fn associate_ip_address(&self, network: &Network) -> Result<Created, Error> {
        let params = match network.vpcid.as_str() {
            "" => [("networkid", network.id.as_str())],
            vpc => [("vpcid", vpc)],
        };
        self.submit(Command::AssociateIpAddress, &self.scoped(&params))
    }

    /// Releases a public address, with its rules.
    pub(crate) fn disassociate_ip_address(&self, id: &str) -> Result<(), Error> {
        self.complete(Command::DisassociateIpAddress, &[("id", id)])
    }

    /// Has a public address lead to a virtual machine alone.
    pub(crate) fn enable_static_nat(
        &self,
        address_id: &str,
        vm_id: &str,
        network_id: &str,
    ) -> Result<(), Error> {
        let params = Params::of(&[
            ("ipaddressid", address_id),
            ("virtualmachineid", vm_id),
            ("networkid", network_id),
        ]);
        self.succeed(Command::EnableStaticNat, &params)
    }

    /// Undoes [`Self::enable_static_nat`].
    pub(crate) fn disable_static_nat(&self, address_id: &str) -> Result<(), Error> {
        self.complete(Command::DisableStaticNat, &[("ipaddressid", address_id)])
    }

    /// Makes a security group, which lets nobody in.
    pub(crate) fn create_security_group(
        &self,
        name: &str,
        description: &str,
    ) -> Result<Item, Error> {
        let command = Command::CreateSecurityGroup;
        let params = self.scoped(&[("name", name), ("description", description)]);
        self.client.fetch_member(command, &params, "securitygroup")
    }

    /// Begins to let ranges of addresses in to ports of a security group's machines.
    pub(crate) fn authorize_ingress(
        &self,
        group_id: &str,
        ports: Ports,
        cidrs: &str,
    ) -> Result<Submitted, Error> {
        let (first, last) = (ports.first.to_string(), ports.last.to_string());
        let params = Params::of(&[
            ("securitygroupid", group_id),
            ("protocol", ports.protocol()),
            ("startport", &first),
            ("endport", &last),
            ("cidrlist", cidrs),
        ]);
        self.submit(Command::AuthorizeSecurityGroupIngress, &params)
    }

    /// Deletes a security group.
    pub(crate) fn delete_security_group(&self, id: &str) -> Result<(), Error> {
        self.succeed(Command::DeleteSecurityGroup, &self.scoped(&[("id", id)]))
    }

    /// Takes a volume from its machine.
    pub(crate) fn detach_volume(&self, id: &str) -> Result<(), Error> {
        self.complete(Command::DetachVolume, &[("id", id)])
    }

    /// Deletes a volume.
    pub(crate) fn delete_volume(&self, id: &str) -> Result<(), Error> {
        self.succeed(Command::DeleteVolume, &Params::of(&[("id", id)]))
    }

    /// Starts a virtual machine.
    pub(crate) fn start(&self, id: &str) -> Result<(), Error> {
        self.complete(Command::StartVirtualMachine, &[("id", id)])
    }

    /// Has the operating system of a virtual machine shut down.
    pub(crate) fn stop(&self, id: &str) -> Result<(), Error> {
        self.complete(Command::StopVirtualMachine, &[("id", id)])
    }

    /// Stops a virtual machine by pulling its plug.
    pub(crate) fn stop_by_force(&self, id: &str) -> Result<(), Error> {
        let params = [("id", id), ("forced", "true")];
        self.complete(Command::StopVirtualMachine, &params)
    }

    /// Restarts a virtual machine.
    pub(crate) fn reboot(&self, id: &str) -> Result<(), Error> {
        self.complete(Command::RebootVirtualMachine, &[("id", id)])
    }

    /// Destroys a virtual machine; with `expunge` at once and for good.
    pub(crate) fn destroy(&self, id: &str, expunge: bool) -> Result<(), Error> {
        let mut params = vec![("id", id)];
        if expunge {
            params.push(("expunge", "true"));
        }
        self.complete(Command::DestroyVirtualMachine, &params)
    }

    /// Begins to forward ports of a public address to a virtual machine.
    pub(crate) fn create_port_forwarding_rule(
        &self,
        forwarding: &Forwarding<'_>,
    ) -> Result<Created, Error> {
        let Ports { first, last, .. } = forwarding.public;
        let is_range = last > first;
        let private_last = forwarding
            .private
            .saturating_add(last.saturating_sub(first));
        let (public, private) = (first.to_string(), forwarding.private.to_string());
        let params = Params::of(&[
            ("ipaddressid", forwarding.address_id),
            ("virtualmachineid", forwarding.vm_id),
            ("protocol", forwarding.public.protocol()),
            ("privateport", &private),
            ("publicport", &public),
        ])
        .option("privateendport", is_range.then_some(private_last))
        .option("publicendport", is_range.then_some(last))
        .option("networkid", forwarding.network_id)
        .option("openfirewall", Some(forwarding.opens_firewall));
        self.submit(Command::CreatePortForwardingRule, &params)
    }

    /// Begins to let ranges of addresses in to ports of a public address.
    pub(crate) fn create_firewall_rule(
        &self,
        address_id: &str,
        ports: Ports,
        cidrs: &str,
    ) -> Result<Created, Error> {
        let (first, last) = (ports.first.to_string(), ports.last.to_string());
        let params = Params::of(&[
            ("ipaddressid", address_id),
            ("protocol", ports.protocol()),
            ("startport", &first),
            ("endport", &last),
            ("cidrlist", cidrs),
        ]);
        self.submit(Command::CreateFirewallRule, &params)
    }

    /// Begins to delete a firewall rule.
    pub(crate) fn delete_firewall_rule(&self, id: &str) -> Result<Submitted, Error> {
        self.client
            .fetch(Command::DeleteFirewallRule, &Params::of(&[("id", id)]))
    }

    /// Begins to delete a port-forwarding rule, and what was opened in the firewall for it.
    pub(crate) fn delete_port_forwarding_rule(&self, id: &str) -> Result<Submitted, Error> {
        self.client.fetch(
            Command::DeletePortForwardingRule,
            &Params::of(&[("id", id)]),
        )
    }

    /// Begins to tag things of a kind: `UserVm`, `Network`, `PublicIpAddress`, `SecurityGroup`, `FirewallRule` or `Volume`.
    pub(crate) fn create_tags(
        &self,
        resource_type: &str,
        ids: &[&str],
        tags: &[(&str, &str)],
    ) -> Result<Submitted, Error> {
        let names: Vec<_> = (0..tags.len())
            .map(|i| (format!("tags[{i}].key"), format!("tags[{i}].value")))
            .collect();
        let mut params = Params::of(&[])
            .list("resourceids", ids)
            .option("resourcetype", Some(resource_type));
        for ((key_name, value_name), (key, value)) in names.iter().zip(tags) {
            params = params
                .option(key_name, Some(key))
                .option(value_name, Some(value));
        }
        self.client.fetch(Command::CreateTags, &params)
    }

    /// Waits for the job that carries `command` out.
    pub(crate) fn wait(&self, command: Command, job_id: &str) -> Result<(), Error> {
        self.wait_for(command, job_id, command.job_limit())
    }

    /// Waits for the job that carries `command` out, for at most `limit` milliseconds.
    pub(crate) fn wait_for(&self, command: Command, job_id: &str, limit: u64) -> Result<(), Error> {
        job::wait(&self.client, command, job_id, limit)
    }

    fn complete(&self, command: Command, params: &[Param<'_>]) -> Result<(), Error> {
        let submitted: Submitted = self.client.fetch(command, &Params::of(params))?;
        self.wait(command, &submitted.jobid)
    }

    /// Calls a command that is carried out at once and answers whether that was a success.
    fn succeed(&self, command: Command, params: &Params<'_>) -> Result<(), Error> {
        let success = |answer: Members<'_>| Ok(answer.option("success"));
        if self.client.call_for(command, params, success)? == Some(true) {
            return Ok(());
        }
        Err(Error::Malformed {
            command,
            detail: "it does not tell that it was a success".to_owned(),
        })
    }
}

/// The rules of an address. CloudStack refuses to list those of one that has been released since: `Ip address id=1 not
/// ready for port forwarding rules yet`.
fn none_of_released<T>(found: Result<Vec<T>, Error>) -> Result<Vec<T>, Error> {
    match found {
        Err(Error::Refused(refusal)) if matches!(refusal.code, 430 | 431) => Ok(Vec::new()),
        found => found,
    }
}

/// What belongs to something that is gone is gone too.
fn gone_is_none<T>(found: Result<Vec<T>, Error>) -> Result<Vec<T>, Error> {
    match found {
        Err(error) if error.is_gone() => Ok(Vec::new()),
        found => found,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::cloudstack::model;
    use crate::testing::{Answer, Server, TestHost, command, params, raw};

    /// Answers nothing of use.
    struct Deaf;

    impl Server for Deaf {
        fn answer(&mut self, _: &crate::contract::http::Request, _: u64) -> Answer {
            raw(200, "{}")
        }
    }

    /// Calls every command with every parameter that it can have, and tells the parameters of each.
    fn parameters() -> BTreeMap<String, BTreeSet<String>> {
        let host = TestHost::new(Deaf);
        let cloud = Cloud::new(&host).of_project(Some("p".to_owned()));
        let ports = Ports {
            is_udp: false,
            first: 80,
            last: 90,
        };
        let network = |json| model::<Network>(&json);
        let in_zone = network(serde_json::json!({"id": "n"}));
        let in_vpc = network(serde_json::json!({"id": "n", "vpcid": "v"}));
        let one = |key_pairs: Vec<&'static str>| Deployment {
            name: "m",
            display_name: "m",
            group: Some("g"),
            zone_id: "z",
            template_id: "t",
            service_offering_id: "s",
            key_pairs,
            network_ids: vec!["n"],
            security_group_ids: vec!["s"],
            affinity_group_ids: vec!["a"],
            disk_offering_id: Some("d"),
            disk_size: Some(1),
            root_disk_size: Some(1),
            cpu: Some(1),
            cpu_speed: Some(1),
            memory: Some(1),
            user_data: Some("u"),
        };
        drop(cloud.zones());
        drop(cloud.projects());
        drop(cloud.accounts());
        drop(cloud.templates("z"));
        drop(cloud.service_offerings("z"));
        drop(cloud.disk_offerings("z"));
        drop(cloud.affinity_groups());
        drop(cloud.security_groups());
        drop(cloud.security_group("s"));
        drop(cloud.networks("z"));
        drop(cloud.network_named("n"));
        drop(cloud.network("n"));
        drop(cloud.network_offerings("z"));
        drop(cloud.virtual_machine("v"));
        drop(cloud.virtual_machine_with_key_pair("m", "k"));
        drop(cloud.virtual_machines_in("n"));
        drop(cloud.public_ip_addresses(&in_zone));
        drop(cloud.public_ip_addresses(&in_vpc));
        drop(cloud.public_ip_addresses_in_zone("z"));
        drop(cloud.public_ip_address("a"));
        drop(cloud.port_forwarding_rules(Some("a")));
        drop(cloud.firewall_rules(Some("a")));
        drop(cloud.data_volumes(Some("v")));
        drop(cloud.ssh_key_pairs());
        drop(cloud.capabilities());
        drop(cloud.register_ssh_key_pair("k", "ssh-rsa AAAA"));
        drop(cloud.delete_ssh_key_pair("k"));
        drop(cloud.deploy(&one(vec!["k"])));
        drop(cloud.deploy(&one(vec!["k", "l"])));
        drop(cloud.create_network("n", "o", "z"));
        drop(cloud.delete_network("n"));
        drop(cloud.associate_ip_address(&in_zone));
        drop(cloud.associate_ip_address(&in_vpc));
        drop(cloud.disassociate_ip_address("a"));
        drop(cloud.enable_static_nat("a", "v", "n"));
        drop(cloud.disable_static_nat("a"));
        drop(cloud.create_security_group("s", "d"));
        drop(cloud.authorize_ingress("s", ports, "0.0.0.0/0"));
        drop(cloud.delete_security_group("s"));
        drop(cloud.detach_volume("v"));
        drop(cloud.delete_volume("v"));
        drop(cloud.start("v"));
        drop(cloud.stop("v"));
        drop(cloud.stop_by_force("v"));
        drop(cloud.reboot("v"));
        drop(cloud.destroy("v", true));
        drop(cloud.create_port_forwarding_rule(&Forwarding {
            address_id: "a",
            vm_id: "v",
            network_id: Some("n"),
            public: ports,
            private: 80,
            opens_firewall: true,
        }));
        drop(cloud.delete_port_forwarding_rule("r"));
        drop(cloud.create_firewall_rule("a", ports, "0.0.0.0/0"));
        drop(cloud.delete_firewall_rule("r"));
        drop(cloud.create_tags("UserVm", &["v"], &[("k", "v")]));
        drop(cloud.wait(Command::StartVirtualMachine, "j"));
        let mut parameters: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for request in host.requests.take() {
            let names = params(&request).iter().map(|(name, _)| name.clone());
            parameters
                .entry(command(&request).to_owned())
                .or_default()
                .extend(names);
        }
        parameters
    }

    #[test]
    fn every_command_that_is_asked_for_is_called() {
        let called: BTreeSet<_> = parameters().into_keys().collect();
        let listed = Command::ALL.map(|command| command.name().to_owned());
        assert_eq!(called, listed.into_iter().collect());
    }

    #[test]
    fn every_parameter_is_one_of_cloudstacks() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../tests/simulator/data/commands.json"
        );
        let known: serde_json::Value =
            serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let mut checked = 0;
        for (command, names) in parameters() {
            let facts = &known["commands"][&command];
            for name in names {
                // Those of every command, and the fields of maps.
                let name = name.split('[').next().unwrap();
                if !matches!(name, "command" | "response") {
                    assert!(facts["params"].get(name).is_some(), "{command} {name}");
                    checked += 1;
                }
            }
        }
        assert!(checked > 100, "{checked}");
    }
}
