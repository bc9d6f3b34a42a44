//! How the API shows what there is.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::*;
use crate::clock::print;
use crate::config::{NetworkKind, ZoneKind};

const GIB: u64 = 1 << 30;

/// The type of all affinity groups.
pub(crate) const AFFINITY_TYPE: &str = "host anti-affinity";

/// Adds fields to an object.
fn extend(object: &mut Value, fields: Value) {
    if let (Some(object), Value::Object(fields)) = (object.as_object_mut(), fields) {
        object.extend(fields);
    }
}

/// Leaves out what has no value: CloudStack sends no nulls.
fn compact(value: Value) -> Value {
    match value {
        Value::Object(fields) => Value::Object(
            fields
                .into_iter()
                .filter(|(_, value)| !value.is_null())
                .collect::<Map<_, _>>(),
        ),
        other => other,
    }
}

impl World {
    /// The fields that say to whom something belongs.
    fn owner_json(&self, owner: Uuid) -> Value {
        let mut value = json!({ "domainid": self.domain.id, "domain": self.domain.name });
        extend(
            &mut value,
            match self.projects.get(owner) {
                Some(project) => json!({ "project": project.name, "projectid": project.id }),
                None => json!({ "account": self.account_name(owner) }),
            },
        );
        value
    }

    pub(crate) fn project_json(&self, project: &Project) -> Value {
        let members = project.members.iter();
        let members: Vec<_> = members
            .map(|member| json!({ "account": self.account_name(*member) }))
            .collect();
        let mut value = json!({
            "id": project.id, "name": project.name, "displaytext": project.name, "state": "Active",
            "projectaccountname": project.account_name, "owner": members, "created": print(project.created),
            "domainid": self.domain.id, "domain": self.domain.name, "tags": [],
        });
        extend(&mut value, self.limits_json(project.id));
        value
    }

    pub(crate) fn account_json(&self, account: &Account) -> Value {
        let mut value = json!({
            "id": account.id, "name": account.name, "accounttype": 0, "state": "enabled",
            "domainid": self.domain.id, "domain": self.domain.name,
        });
        extend(&mut value, self.limits_json(account.id));
        value
    }

    /// How much an account or project has, and may have. Numbers of limits are texts, as CloudStack sends them.
    fn limits_json(&self, owner: Uuid) -> Value {
        let machines: Vec<_> = self
            .machines
            .iter()
            .filter(|machine| machine.owner == owner && !machine.state.is_gone())
            .collect();
        let sum =
            |of: &dyn Fn(&Machine) -> u32| machines.iter().map(|m| u64::from(of(m))).sum::<u64>();
        let volumes = self.volumes.iter().filter(|volume| volume.owner == owner);
        let addresses = self.addresses.iter();
        let networks = self.networks.iter();
        let limit = |limit: Option<usize>| limit.map_or("Unlimited".to_owned(), |l| l.to_string());
        json!({
            "vmtotal": machines.len(), "vmlimit": limit(self.behaviour.machine_limit),
            "cputotal": sum(&|machine| machine.size.cpus), "cpulimit": limit(None),
            "memorytotal": sum(&|machine| machine.size.memory_mib), "memorylimit": limit(None),
            "volumetotal": volumes.clone().count(), "volumelimit": limit(None),
            "primarystoragetotal": volumes.map(|volume| volume.size_gib).sum::<u64>(),
            "primarystoragelimit": limit(None),
            "iptotal": addresses.filter(|address| address.owner == Some(owner)).count(), "iplimit": limit(None),
            "networktotal": networks.filter(|network| network.owner == Some(owner)).count(), "networklimit": limit(None),
        })
    }

    pub(crate) fn vpc_json(&self, vpc: &Vpc) -> Value {
        let tiers = self.networks.iter();
        let tiers = tiers.filter(|network| network.vpc == Some(vpc.id));
        let mut value = json!({
            "id": vpc.id, "name": vpc.name, "displaytext": vpc.name, "cidr": vpc.cidr.to_string(),
            "zoneid": vpc.zone, "zonename": self.zone_name(vpc.zone), "state": "Enabled",
            "networkdomain": vpc.domain_name, "restartrequired": false, "created": print(vpc.created), "tags": [],
            "network": tiers.map(|network| self.network_json(network)).collect::<Vec<_>>(),
        });
        extend(&mut value, self.owner_json(vpc.owner));
        value
    }

    fn zone_name(&self, id: Uuid) -> &str {
        self.zones.get(id).map_or("", |zone| &zone.name)
    }

    fn tags_json(&self, resource: Uuid) -> Vec<Value> {
        self.tags_of(resource)
            .map(|tag| self.tag_json(tag))
            .collect()
    }

    pub(crate) fn tag_json(&self, tag: &Tag) -> Value {
        let mut value = json!({
            "key": tag.key, "value": tag.value, "resourcetype": tag.kind, "resourceid": tag.resource,
            "customer": tag.customer,
        });
        extend(&mut value, self.owner_json(tag.owner));
        compact(value)
    }

    pub(crate) fn zone_json(&self, zone: &Zone) -> Value {
        let basic = zone.kind == ZoneKind::Basic;
        json!({
            "id": zone.id, "name": zone.name, "networktype": zone.kind.name(),
            "securitygroupsenabled": basic, "allocationstate": "Enabled", "localstorageenabled": false,
            "dhcpprovider": "VirtualRouter", "tags": [],
        })
    }

    /// A template, as it is in one of its zones.
    pub(crate) fn template_json(&self, template: &Template, zone: Uuid) -> Value {
        json!({
            "id": template.id, "name": template.name, "displaytext": template.name, "ispublic": template.public,
            "isfeatured": template.featured, "isready": true, "ostypename": template.name.trim_end_matches(" LTS"), "status": "Download Complete", "bootable": true,
            "created": print(template.created), "crossZones": template.zones.len() > 1, "format": "QCOW2",
            "hypervisor": "KVM", "isextractable": false, "passwordenabled": false, "sshkeyenabled": true,
            "size": template.size_gib.saturating_mul(GIB), "templatetype": "USER", "zoneid": zone, "zonename": self.zone_name(zone),
            "account": template.owner.map_or("system", |owner| self.account_name(owner)),
            "domainid": self.domain.id, "domain": self.domain.name, "tags": self.tags_json(template.id),
        })
    }

    pub(crate) fn service_offering_json(&self, offering: &ServiceOffering) -> Value {
        compact(json!({
            "id": offering.id, "name": offering.name, "displaytext": offering.name,
            "cpunumber": offering.size.map(|size| size.cpus), "cpuspeed": offering.size.map(|size| size.mhz),
            "memory": offering.size.map(|size| size.memory_mib), "iscustomized": offering.size.is_none(),
            "created": print(offering.created), "storagetype": "shared", "provisioningtype": "thin",
            "offerha": false, "limitcpuuse": false, "isvolatile": false, "issystem": false, "defaultuse": false,
        }))
    }

    pub(crate) fn disk_offering_json(&self, offering: &DiskOffering) -> Value {
        json!({
            "id": offering.id, "name": offering.name, "displaytext": offering.name,
            "disksize": offering.size_gib.unwrap_or(0), "iscustomized": offering.size_gib.is_none(),
            "created": print(offering.created), "storagetype": "shared", "provisioningtype": "thin",
        })
    }

    pub(crate) fn network_offering_json(&self, offering: &NetworkOffering) -> Value {
        let isolated = offering.kind == NetworkKind::Isolated;
        json!({
            "id": offering.id, "name": offering.name, "displaytext": offering.name, "traffictype": "Guest",
            "isdefault": true, "specifyvlan": !isolated, "specifyipranges": !isolated,
            "conservemode": !offering.for_vpc,
            "availability": "Optional", "state": "Enabled", "created": print(offering.created),
            "guestiptype": offering.kind.name(), "forvpc": offering.for_vpc,
            "service": services(offering.kind, offering.for_vpc),
        })
    }

    pub(crate) fn network_json(&self, network: &Network) -> Value {
        let offering = self.network_offerings.get(network.offering);
        let vpc = network.vpc.and_then(|id| self.vpcs.get(id));
        let mut value = json!({
            "id": network.id, "name": network.name, "displaytext": network.display_text,
            "cidr": network.cidr.to_string(), "gateway": network.gateway(), "netmask": network.cidr.netmask(),
            "zoneid": network.zone, "zonename": self.zone_name(network.zone), "traffictype": "Guest",
            "networkofferingid": network.offering, "networkofferingname": offering.map(|offering| &offering.name),
            "networkofferingdisplaytext": offering.map(|offering| &offering.name),
            "networkdomain": network.domain_name, "state": network.state.name(), "related": network.id,
            "created": print(network.created), "broadcastdomaintype": "Vlan", "issystem": false,
            "restartrequired": false, "specifyipranges": network.kind == NetworkKind::Shared,
            "canusefordeploy": true, "ispersistent": false, "displaynetwork": true, "isdefault": false,
            "strechedl2subnet": false, "redundantrouter": false, "tags": self.tags_json(network.id),
            "service": services(network.kind, vpc.is_some()), "vpcid": network.vpc,
            "vpcname": vpc.map(|vpc| &vpc.name),
        });
        extend(
            &mut value,
            match (network.kind, network.owner) {
                (NetworkKind::Isolated, Some(owner)) => {
                    let mut fields = json!({ "type": "Isolated", "acltype": "Account" });
                    extend(&mut fields, self.owner_json(owner));
                    fields
                }
                _ => json!({
                    "type": "Shared", "acltype": "Domain", "subdomainaccess": true, "domainid": self.domain.id,
                    "domain": self.domain.name,
                }),
            },
        );
        compact(value)
    }

    pub(crate) fn address_json(&self, address: &PublicAddress) -> Value {
        let network = address.network.and_then(|id| self.networks.get(id));
        let vpc = address.vpc.and_then(|id| self.vpcs.get(id));
        let machine = address.static_nat.and_then(|id| self.machines.get(id));
        let guest = machine.and_then(|machine| {
            machine
                .nics
                .iter()
                .find(|nic| Some(nic.network) == address.network)
        });
        let mut value = json!({
            "id": address.id, "ipaddress": address.address, "zoneid": address.zone,
            "zonename": self.zone_name(address.zone), "state": address.state.name(),
            "allocated": address.allocated.map(print), "issourcenat": address.source_nat,
            "isstaticnat": address.static_nat.is_some(), "associatednetworkid": address.network,
            "associatednetworkname": network.map(|network| &network.name), "vpcid": address.vpc,
            "vpcname": vpc.map(|vpc| &vpc.name), "forvirtualnetwork": true,
            "issystem": false, "isportable": false, "fordisplay": true, "tags": self.tags_json(address.id),
            "virtualmachineid": machine.map(|machine| machine.id),
            "virtualmachinename": machine.map(|machine| &machine.name),
            "virtualmachinedisplayname": machine.map(|machine| &machine.display_name),
            "vmipaddress": guest.map(|nic| nic.address),
        });
        if let Some(owner) = address.owner {
            extend(&mut value, self.owner_json(owner));
        }
        compact(value)
    }

    pub(crate) fn machine_json(&self, machine: &Machine) -> Value {
        let template = self.templates.get(machine.template);
        let offering = self.service_offerings.get(machine.offering);
        let public = self
            .addresses
            .iter()
            .find(|address| address.static_nat == Some(machine.id));
        let account = self.accounts.get(machine.owner);
        let groups = machine
            .security_groups
            .iter()
            .filter_map(|id| self.security_groups.get(*id));
        let groups: Vec<_> = groups
            .map(|group| json!({ "id": group.id, "name": group.name, "description": group.description }))
            .collect();
        let affinity = machine.affinity_groups.iter();
        let affinity: Vec<_> = affinity
            .filter_map(|id| self.affinity_groups.get(*id))
            .map(|group| self.affinity_group_json(group))
            .collect();
        let mut value = json!({
            "id": machine.id, "name": machine.name, "displayname": machine.display_name, "group": machine.group,
            "state": machine.state.name(), "created": print(machine.created), "haenable": false,
            "zoneid": machine.zone, "zonename": self.zone_name(machine.zone),
            "templateid": machine.template, "templatename": template.map(|template| &template.name),
            "templatedisplaytext": template.map(|template| &template.name), "passwordenabled": false,
            "serviceofferingid": machine.offering, "serviceofferingname": offering.map(|offering| &offering.name),
            "cpunumber": machine.size.cpus, "cpuspeed": machine.size.mhz, "memory": machine.size.memory_mib,
            "rootdeviceid": 0, "rootdevicetype": "ROOT", "hypervisor": "KVM", "displayvm": true,
            "isdynamicallyscalable": false, "details": machine.details, "tags": self.tags_json(machine.id),
            "nic": machine.nics.iter().map(|nic| self.nic_json(nic)).collect::<Vec<_>>(),
            "securitygroup": groups, "affinitygroup": affinity,
            "publicipid": public.map(|address| address.id), "publicip": public.map(|address| address.address),
            "userid": account.map(|account| account.user), "username": account.map(|account| &account.name),
        });
        if !machine.key_pairs.is_empty() {
            let member = match self.behaviour.is_at_least(4, 17) {
                true => "keypairs",
                false => "keypair",
            };
            extend(&mut value, json!({ member: machine.key_pairs.join(",") }));
        }
        extend(&mut value, self.owner_json(machine.owner));
        compact(value)
    }

    fn nic_json(&self, nic: &Nic) -> Value {
        let network = self.networks.get(nic.network);
        compact(json!({
            "id": nic.id, "networkid": nic.network, "networkname": network.map(|network| &network.name),
            "ipaddress": nic.address, "netmask": network.map(|network| network.cidr.netmask()),
            "gateway": network.map(Network::gateway), "macaddress": nic.mac, "isdefault": nic.default,
            "traffictype": "Guest", "secondaryip": [],
            "type": network.map(|network| network.kind.name()),
        }))
    }

    pub(crate) fn affinity_group_json(&self, group: &AffinityGroup) -> Value {
        let machines = self.machines.iter();
        let machines = machines.filter(|machine| machine.affinity_groups.contains(&group.id));
        let mut value = json!({
            "id": group.id, "name": group.name, "type": AFFINITY_TYPE,
            "virtualmachineIds": machines.map(|machine| machine.id).collect::<Vec<_>>(),
        });
        extend(&mut value, self.owner_json(group.owner));
        value
    }

    pub(crate) fn volume_json(&self, volume: &Volume) -> Value {
        let machine = volume.machine.and_then(|id| self.machines.get(id));
        let offering = volume.offering.and_then(|id| self.disk_offerings.get(id));
        let mut value = json!({
            "id": volume.id, "name": volume.name, "type": volume.kind.name(), "size": volume.size_gib.saturating_mul(GIB),
            "zoneid": volume.zone, "zonename": self.zone_name(volume.zone), "state": "Ready",
            "created": print(volume.created), "hypervisor": "KVM", "storagetype": "shared", "destroyed": false,
            "virtualmachineid": volume.machine, "vmname": machine.map(|machine| &machine.name),
            "vmdisplayname": machine.map(|machine| &machine.display_name),
            "vmstate": machine.map(|machine| machine.state.name()),
            "deviceid": volume.machine.map(|_| u8::from(volume.kind == VolumeKind::Data)),
            "diskofferingid": volume.offering, "diskofferingname": offering.map(|offering| &offering.name),
            "isextractable": true, "tags": self.tags_json(volume.id),
        });
        extend(&mut value, self.owner_json(volume.owner));
        compact(value)
    }

    pub(crate) fn key_pair_json(&self, pair: &KeyPair) -> Value {
        let mut value =
            json!({ "id": pair.id, "name": pair.name, "fingerprint": pair.fingerprint });
        extend(&mut value, self.owner_json(pair.owner));
        value
    }

    pub(crate) fn forward_json(&self, rule: &PortForward) -> Value {
        let machine = self.machines.get(rule.machine);
        // Ports of forwarding rules are strings.
        compact(json!({
            "id": rule.id, "protocol": rule.protocol,
            "publicport": rule.public_ports.start.to_string(), "publicendport": rule.public_ports.end.to_string(),
            "privateport": rule.private_ports.start.to_string(), "privateendport": rule.private_ports.end.to_string(),
            "ipaddressid": rule.public, "ipaddress": self.addresses.get(rule.public).map(|address| address.address),
            "virtualmachineid": rule.machine, "virtualmachinename": machine.map(|machine| &machine.name),
            "virtualmachinedisplayname": machine.map(|machine| &machine.display_name),
            "vmguestip": rule.guest_address, "networkid": rule.network, "cidrlist": "", "state": rule.state.name(),
            "fordisplay": true, "tags": self.tags_json(rule.id),
        }))
    }

    pub(crate) fn firewall_json(&self, rule: &FirewallRule) -> Value {
        compact(json!({
            "id": rule.id, "protocol": rule.protocol, "startport": rule.ports.map(|ports| ports.start),
            "endport": rule.ports.map(|ports| ports.end), "icmptype": rule.icmp.map(|icmp| icmp.0),
            "icmpcode": rule.icmp.map(|icmp| icmp.1), "cidrlist": rule.cidrs.join(","), "ipaddressid": rule.public,
            "ipaddress": self.addresses.get(rule.public).map(|address| address.address), "networkid": rule.network,
            "state": rule.state.name(), "traffictype": "Ingress", "fordisplay": true,
            "tags": self.tags_json(rule.id),
        }))
    }

    pub(crate) fn security_group_json(&self, group: &SecurityGroup) -> Value {
        let machines = self
            .machines
            .iter()
            .filter(|machine| machine.security_groups.contains(&group.id));
        let machines: Vec<_> = machines.map(|machine| machine.id).collect();
        let mut value = json!({
            "id": group.id, "name": group.name, "description": group.description, "egressrule": [],
            "ingressrule": group.rules.iter().map(ingress_json).collect::<Vec<_>>(),
            "virtualmachinecount": machines.len(), "virtualmachineids": machines, "tags": self.tags_json(group.id),
        });
        extend(&mut value, self.owner_json(group.owner));
        value
    }
}

fn ingress_json(rule: &IngressRule) -> Value {
    let mut value = json!({
        "ruleid": rule.id, "protocol": rule.protocol, "startport": rule.ports.map(|ports| ports.start),
        "endport": rule.ports.map(|ports| ports.end), "icmptype": rule.icmp.map(|icmp| icmp.0),
        "icmpcode": rule.icmp.map(|icmp| icmp.1), "tags": [],
    });
    extend(
        &mut value,
        match &rule.source {
            IngressSource::Cidr(cidr) => json!({ "cidr": cidr }),
            IngressSource::Group { account, group } => {
                json!({ "account": account, "securitygroupname": group })
            }
        },
    );
    compact(value)
}

/// The services of a network, by which a client can tell what it can do with it. A tier of a VPC has an access list for
/// a firewall.
fn services(kind: NetworkKind, in_vpc: bool) -> Vec<Value> {
    let guard = if in_vpc { "NetworkACL" } else { "Firewall" };
    let names: &[&str] = match kind {
        NetworkKind::Isolated => &[
            "Dhcp",
            "Dns",
            guard,
            "PortForwarding",
            "SourceNat",
            "StaticNat",
            "UserData",
        ],
        NetworkKind::Shared => &["Dhcp", "Dns", "UserData"],
    };
    names.iter().map(|name| json!({ "name": name })).collect()
}
