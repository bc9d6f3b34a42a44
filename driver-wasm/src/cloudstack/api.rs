//! The API's commands as functions.

use super::client::Param;
use super::model::Capability;
use super::{
    Client, Command, Deployed, Error, Network, PortForwardingRule, PublicIpAddress,
    ServiceOffering, Submitted, Template, VirtualMachine, Zone, job, lenient::Scalar as _,
};
use crate::host::Host;

/// A cloud, through its API. Every function fails if the cloud cannot be reached, refuses, or is not understood, and if
/// the user asks to stop.
pub struct Cloud<'h> {
    client: Client<'h>,
}

/// What a virtual machine is deployed from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deployment<'d> {
    pub(crate) name: &'d str,
    pub(crate) zone_id: &'d str,
    pub(crate) template_id: &'d str,
    pub(crate) service_offering_id: &'d str,
    pub(crate) key_pair: &'d str,
}

impl<'h> Cloud<'h> {
    /// The cloud that `host` calls.
    pub fn new(host: &'h dyn Host) -> Self {
        Self {
            client: Client::new(host),
        }
    }

    /// What calls the API.
    pub fn client(&self) -> &Client<'h> {
        &self.client
    }

    /// The host through which it is called.
    pub fn host(&self) -> &'h dyn Host {
        self.client.host()
    }

    /// The zones that the account may use.
    pub fn zones(&self) -> Result<Vec<Zone>, Error> {
        let params = [("available", "true")];
        self.client.list_all(Command::ListZones, &params, "zone")
    }

    /// The templates from which the account may deploy in a zone.
    pub fn templates(&self, zone_id: &str) -> Result<Vec<Template>, Error> {
        let params = [("templatefilter", "executable"), ("zoneid", zone_id)];
        self.client
            .list_all(Command::ListTemplates, &params, "template")
    }

    /// The service offerings that the account may use in a zone. Versions that do not know service offerings of a zone
    /// ignore `zoneid`.
    pub fn service_offerings(&self, zone_id: &str) -> Result<Vec<ServiceOffering>, Error> {
        let params = [("zoneid", zone_id)];
        self.client
            .list_all(Command::ListServiceOfferings, &params, "serviceoffering")
    }

    /// A virtual machine; nothing if there is no such one. One that is destroyed may still be shown.
    pub fn virtual_machine(&self, id: &str) -> Result<Option<VirtualMachine>, Error> {
        let found = self.virtual_machines(&[("id", id)]);
        match found {
            Ok(machines) => Ok(machines.into_iter().find(|vm| vm.id == id)),
            Err(error) if error.is_gone() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The virtual machine with a name and a key pair.
    pub fn virtual_machine_with_key_pair(
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
    pub fn all_virtual_machines(&self) -> Result<Vec<VirtualMachine>, Error> {
        self.virtual_machines(&[])
    }

    fn virtual_machines(&self, params: &[Param<'_>]) -> Result<Vec<VirtualMachine>, Error> {
        let (command, member) = (Command::ListVirtualMachines, "virtualmachine");
        // One page is enough for an id.
        if matches!(params, [("id", _)]) {
            return self.client.list(command, params, member);
        }
        self.client.list_all(command, params, member)
    }

    /// A network; nothing if the account does not see such a one.
    pub fn network(&self, id: &str) -> Result<Option<Network>, Error> {
        let networks = self
            .client
            .list(Command::ListNetworks, &[("id", id)], "network")?;
        Ok(networks.into_iter().next())
    }

    /// The public addresses of a network.
    pub fn public_ip_addresses(&self, network_id: &str) -> Result<Vec<PublicIpAddress>, Error> {
        let params = [("associatednetworkid", network_id)];
        let (command, member) = (Command::ListPublicIpAddresses, "publicipaddress");
        self.client.list_all(command, &params, member)
    }

    /// The port-forwarding rules of one public address, or of all of the account's. None if the address is gone.
    pub fn port_forwarding_rules(
        &self,
        address_id: Option<&str>,
    ) -> Result<Vec<PortForwardingRule>, Error> {
        let (command, member) = (Command::ListPortForwardingRules, "portforwardingrule");
        let params: Vec<Param<'_>> = address_id
            .map(|id| ("ipaddressid", id))
            .into_iter()
            .collect();
        match self.client.list_all(command, &params, member) {
            Err(error) if error.is_gone() => Ok(Vec::new()),
            rules => rules,
        }
    }

    /// Whether the account may have its machines expunged, and not only destroyed.
    pub fn may_expunge(&self) -> Result<bool, Error> {
        let command = Command::ListCapabilities;
        let mut answer = self.client.call(command, &[])?;
        let capability = answer.remove("capability").unwrap_or_default();
        let capability: Capability = super::client::typed(command, capability)?;
        Ok(capability.allowuserexpungerecovervm)
    }

    /// Gives CloudStack a public key, which machines are then deployed with by its name.
    pub fn register_ssh_key_pair(&self, name: &str, public_key: &str) -> Result<(), Error> {
        let params = [("name", name), ("publickey", public_key)];
        self.client
            .call(Command::RegisterSshKeyPair, &params)
            .map(drop)
    }

    /// Deletes a public key.
    pub fn delete_ssh_key_pair(&self, name: &str) -> Result<(), Error> {
        let command = Command::DeleteSshKeyPair;
        let answer = self.client.call(command, &[("name", name)])?;
        if answer.get("success").and_then(bool::read) == Some(false) {
            return Err(Error::Malformed {
                command,
                detail: "it was no success, without a reason".to_owned(),
            });
        }
        Ok(())
    }

    /// Begins to deploy a virtual machine.
    pub(crate) fn deploy(&self, deployment: &Deployment<'_>) -> Result<Deployed, Error> {
        let params = [
            ("zoneid", deployment.zone_id),
            ("templateid", deployment.template_id),
            ("serviceofferingid", deployment.service_offering_id),
            ("name", deployment.name),
            ("displayname", deployment.name),
            ("keypair", deployment.key_pair),
        ];
        self.client.fetch(Command::DeployVirtualMachine, &params)
    }

    /// Starts a virtual machine.
    pub fn start(&self, id: &str) -> Result<(), Error> {
        self.complete(Command::StartVirtualMachine, &[("id", id)])
    }

    /// Has the operating system of a virtual machine shut down.
    pub fn stop(&self, id: &str) -> Result<(), Error> {
        self.complete(Command::StopVirtualMachine, &[("id", id)])
    }

    /// Stops a virtual machine by pulling its plug.
    pub fn stop_by_force(&self, id: &str) -> Result<(), Error> {
        let params = [("id", id), ("forced", "true")];
        self.complete(Command::StopVirtualMachine, &params)
    }

    /// Restarts a virtual machine.
    pub fn reboot(&self, id: &str) -> Result<(), Error> {
        self.complete(Command::RebootVirtualMachine, &[("id", id)])
    }

    /// Destroys a virtual machine; with `expunge` at once and for good.
    pub fn destroy(&self, id: &str, expunge: bool) -> Result<(), Error> {
        let mut params = vec![("id", id)];
        if expunge {
            params.push(("expunge", "true"));
        }
        self.complete(Command::DestroyVirtualMachine, &params)
    }

    /// Begins to forward a TCP port of a public address to the same one of a virtual machine, from anywhere.
    pub fn create_port_forwarding_rule(
        &self,
        address_id: &str,
        vm_id: &str,
        port: u16,
    ) -> Result<Submitted, Error> {
        let port = port.to_string();
        let params = [
            ("ipaddressid", address_id),
            ("virtualmachineid", vm_id),
            ("protocol", "tcp"),
            ("privateport", port.as_str()),
            ("publicport", port.as_str()),
            ("openfirewall", "true"),
        ];
        self.client
            .fetch(Command::CreatePortForwardingRule, &params)
    }

    /// Begins to delete a port-forwarding rule, and what was opened in the firewall for it.
    pub fn delete_port_forwarding_rule(&self, id: &str) -> Result<Submitted, Error> {
        self.client
            .fetch(Command::DeletePortForwardingRule, &[("id", id)])
    }

    /// Begins to tag a virtual machine.
    pub fn create_tags(&self, vm_id: &str, tags: &[(&str, &str)]) -> Result<Submitted, Error> {
        let tags: Vec<(String, &str)> = tags
            .iter()
            .enumerate()
            .flat_map(|(i, (key, value))| {
                [
                    (format!("tags[{i}].key"), *key),
                    (format!("tags[{i}].value"), *value),
                ]
            })
            .collect();
        let mut params = vec![("resourceids", vm_id), ("resourcetype", "UserVm")];
        params.extend(tags.iter().map(|(name, value)| (name.as_str(), *value)));
        self.client.fetch(Command::CreateTags, &params)
    }

    /// Waits for the job that carries `command` out.
    pub fn wait(&self, command: Command, job_id: &str) -> Result<(), Error> {
        job::wait(&self.client, command, job_id)
    }

    fn complete(&self, command: Command, params: &[Param<'_>]) -> Result<(), Error> {
        let submitted: Submitted = self.client.fetch(command, params)?;
        self.wait(command, &submitted.jobid)
    }
}
