//! The commands, by family.

mod addresses;
mod affinity_groups;
mod catalogue;
mod jobs;
mod key_pairs;
mod machines;
mod networks;
mod projects;
mod rules;
mod security_groups;
mod tags;
mod volumes;
mod vpcs;

use std::net::Ipv4Addr;

use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::api::{self, Params};
use crate::error::ApiError;
use crate::faults::Faults;
use crate::jobs::{Instance, Order, Work};
use crate::world::{Entity, Machine, Owned, Ports, Table, World};

/// A command.
#[derive(Debug)]
pub(crate) struct Command {
    pub(crate) name: &'static str,
    /// The parameters that are acted on. Others that CloudStack declares are refused rather than ignored.
    pub(crate) supports: &'static str,
    /// Of an asynchronous command the class that its jobs name.
    pub(crate) class: Option<&'static str>,
    pub(crate) run: fn(&mut Call<'_>) -> Result<Value, ApiError>,
}

impl Command {
    /// Whether it is answered with a job, which does what is asked later.
    pub(crate) fn is_asynchronous(&self) -> bool {
        self.class.is_some()
    }
}

/// Declares a command that is answered at once.
const fn sync(
    name: &'static str,
    supports: &'static str,
    run: fn(&mut Call<'_>) -> Result<Value, ApiError>,
) -> Command {
    Command {
        name,
        supports,
        class: None,
        run,
    }
}

/// Declares a command that is answered with a job.
const fn job(
    name: &'static str,
    class: &'static str,
    supports: &'static str,
    run: fn(&mut Call<'_>) -> Result<Value, ApiError>,
) -> Command {
    Command {
        name,
        supports,
        class: Some(class),
        run,
    }
}

/// What a list takes, besides parameters of its own.
macro_rules! list_of {
    ($($own:literal)?) => {
        concat!("page pagesize keyword listall isrecursive account domainid projectid id ", $($own)?)
    };
}

/// All commands.
pub(crate) static ALL: &[Command] = &[
    sync(
        "listZones",
        "page pagesize keyword domainid id name networktype available",
        catalogue::list_zones,
    ),
    sync(
        "listProjects",
        "page pagesize keyword listall isrecursive domainid id name displaytext state",
        projects::list,
    ),
    sync(
        "listTemplates",
        list_of!("templatefilter name ids zoneid hypervisor tags details"),
        catalogue::list_templates,
    ),
    sync(
        "listServiceOfferings",
        "page pagesize keyword listall isrecursive domainid id name zoneid issystem cpunumber memory",
        catalogue::list_service_offerings,
    ),
    sync(
        "listDiskOfferings",
        "page pagesize keyword listall isrecursive domainid id name zoneid",
        catalogue::list_disk_offerings,
    ),
    sync(
        "listAccounts",
        "page pagesize keyword listall isrecursive domainid id name accounttype state",
        projects::list_accounts,
    ),
    sync("listCapabilities", "", catalogue::list_capabilities),
    sync(
        "listAffinityGroups",
        list_of!("name type virtualmachineid"),
        affinity_groups::list,
    ),
    sync(
        "listNetworks",
        list_of!(
            "zoneid type traffictype tags canusefordeploy networkfilter forvpc vpcid issystem restartrequired"
        ),
        networks::list,
    ),
    sync(
        "listVPCs",
        list_of!("name displaytext cidr zoneid state restartrequired"),
        vpcs::list,
    ),
    sync(
        "listNetworkOfferings",
        "page pagesize keyword id name guestiptype state traffictype isdefault forvpc zoneid availability displaytext",
        networks::list_offerings,
    ),
    sync(
        "createNetwork",
        "account domainid projectid name displaytext networkofferingid zoneid gateway netmask networkdomain",
        networks::create,
    ),
    job(
        "deleteNetwork",
        "network.DeleteNetworkCmd",
        "id forced",
        networks::delete,
    ),
    job(
        "deployVirtualMachine",
        "vm.DeployVMCmd",
        "account domainid projectid serviceofferingid templateid zoneid name displayname displayvm group hypervisor \
         keyboard keypair keypairs networkids iptonetworklist ipaddress diskofferingid size rootdisksize \
         securitygroupids securitygroupnames affinitygroupids affinitygroupnames details startvm userdata",
        machines::deploy,
    ),
    sync(
        "listVirtualMachines",
        list_of!(
            "ids name zoneid keypair state networkid tags templateid serviceofferingid securitygroupid details \
             displayvm hypervisor userdata userid"
        ),
        machines::list,
    ),
    job(
        "startVirtualMachine",
        "vm.StartVMCmd",
        "id",
        machines::start,
    ),
    job(
        "stopVirtualMachine",
        "vm.StopVMCmd",
        "id forced",
        machines::stop,
    ),
    job(
        "rebootVirtualMachine",
        "vm.RebootVMCmd",
        "id forced",
        machines::reboot,
    ),
    job(
        "destroyVirtualMachine",
        "vm.DestroyVMCmd",
        "id expunge volumeids",
        machines::destroy,
    ),
    job(
        "expungeVirtualMachine",
        "vm.ExpungeVMCmd",
        "id",
        machines::expunge,
    ),
    sync("recoverVirtualMachine", "id", machines::recover),
    sync("queryAsyncJobResult", "jobid", jobs::query),
    sync(
        "listAsyncJobs",
        "page pagesize keyword listall isrecursive account domainid",
        jobs::list,
    ),
    sync(
        "registerSSHKeyPair",
        "account domainid projectid name publickey",
        key_pairs::register,
    ),
    sync(
        "createSSHKeyPair",
        "account domainid projectid name",
        key_pairs::create,
    ),
    sync(
        "listSSHKeyPairs",
        list_of!("name fingerprint"),
        key_pairs::list,
    ),
    sync(
        "deleteSSHKeyPair",
        "account domainid projectid name",
        key_pairs::delete,
    ),
    sync(
        "listPublicIpAddresses",
        list_of!(
            "associatednetworkid vpcid ipaddress issourcenat isstaticnat zoneid state tags allocatedonly \
             forvirtualnetwork"
        ),
        addresses::list,
    ),
    job(
        "associateIpAddress",
        "address.AssociateIPAddrCmd",
        "account domainid projectid zoneid networkid vpcid ipaddress",
        addresses::associate,
    ),
    job(
        "disassociateIpAddress",
        "address.DisassociateIPAddrCmd",
        "id",
        addresses::disassociate,
    ),
    sync(
        "enableStaticNat",
        "ipaddressid virtualmachineid networkid vmguestip",
        addresses::enable_static_nat,
    ),
    job(
        "disableStaticNat",
        "nat.DisableStaticNatCmd",
        "ipaddressid",
        addresses::disable_static_nat,
    ),
    job(
        "createPortForwardingRule",
        "firewall.CreatePortForwardingRuleCmd",
        "ipaddressid privateport privateendport publicport publicendport protocol virtualmachineid networkid \
         vmguestip openfirewall cidrlist",
        rules::create_forward,
    ),
    sync(
        "listPortForwardingRules",
        list_of!("ipaddressid networkid tags"),
        rules::list_forwards,
    ),
    job(
        "deletePortForwardingRule",
        "firewall.DeletePortForwardingRuleCmd",
        "id",
        rules::delete_forward,
    ),
    job(
        "createFirewallRule",
        "firewall.CreateFirewallRuleCmd",
        "ipaddressid protocol cidrlist startport endport icmpcode icmptype",
        rules::create_firewall,
    ),
    sync(
        "listFirewallRules",
        list_of!("ipaddressid networkid tags"),
        rules::list_firewall,
    ),
    job(
        "deleteFirewallRule",
        "firewall.DeleteFirewallRuleCmd",
        "id",
        rules::delete_firewall,
    ),
    sync(
        "createSecurityGroup",
        "account domainid projectid name description",
        security_groups::create,
    ),
    sync(
        "listSecurityGroups",
        list_of!("securitygroupname virtualmachineid tags"),
        security_groups::list,
    ),
    sync(
        "deleteSecurityGroup",
        "account domainid projectid id name",
        security_groups::delete,
    ),
    job(
        "authorizeSecurityGroupIngress",
        "securitygroup.AuthorizeSecurityGroupIngressCmd",
        "account domainid projectid securitygroupid securitygroupname protocol startport endport icmpcode icmptype \
         cidrlist usersecuritygrouplist",
        security_groups::authorize,
    ),
    job(
        "revokeSecurityGroupIngress",
        "securitygroup.RevokeSecurityGroupIngressCmd",
        "id",
        security_groups::revoke,
    ),
    job(
        "createTags",
        "tag.CreateTagsCmd",
        "resourceids resourcetype tags customer",
        tags::create,
    ),
    sync(
        "listTags",
        "page pagesize keyword listall isrecursive account domainid projectid key value resourceid resourcetype \
         customer",
        tags::list,
    ),
    job(
        "deleteTags",
        "tag.DeleteTagsCmd",
        "resourceids resourcetype tags",
        tags::delete,
    ),
    sync(
        "listVolumes",
        list_of!("ids name type virtualmachineid zoneid diskofferingid tags state"),
        volumes::list,
    ),
    job(
        "detachVolume",
        "volume.DetachVolumeCmd",
        "id",
        volumes::detach,
    ),
    sync("deleteVolume", "id", volumes::delete),
];

/// The command of a name, which CloudStack matches exactly.
pub(crate) fn find(name: &str) -> Option<&'static Command> {
    ALL.iter().find(|command| command.name == name)
}

/// The command of a name, in whatever case: that is how a test may name it.
pub(crate) fn find_ignoring_case(name: &str) -> Option<&'static Command> {
    let is_named = |command: &&Command| command.name.eq_ignore_ascii_case(name);
    ALL.iter().find(is_named)
}

/// Whether a command is answered with a job, which does what is asked later. None is if there is no such command.
pub fn is_asynchronous(command: &str) -> bool {
    find(command).is_some_and(Command::is_asynchronous)
}

/// A call of a command by a user.
pub(crate) struct Call<'a> {
    pub(crate) world: &'a mut World,
    pub(crate) faults: &'a mut Faults,
    pub(crate) params: &'a Params,
    /// The account that calls.
    pub(crate) caller: Uuid,
    /// Whose things are meant, and who owns what is made: the project of `projectid`, or else the caller.
    pub(crate) owner: Uuid,
    pub(crate) now: Timestamp,
    /// Whether it came by GET.
    pub(crate) get: bool,
    pub(crate) command: &'static Command,
}

impl Call<'_> {
    /// The account or project that the parameters say to act for.
    pub(crate) fn scope(&self) -> Result<Uuid, ApiError> {
        if self
            .params
            .id("domainid")
            .is_some_and(|domain| domain != self.world.domain.id)
        {
            return Err(self.no_entity("domainid"));
        }
        let account = self.params.text("account");
        if self.params.text("projectid").is_some() {
            if account.is_some() {
                return Err(ApiError::invalid(
                    "Account and projectId can't be specified together",
                ));
            }
            let project = self.present(&self.world.projects, "projectid")?;
            if !self.world.may_use(self.caller, project) {
                return Err(ApiError::denied(format!(
                    "Account {} is unauthorised to use project id={project}",
                    self.world.describe(self.caller)
                )));
            }
            return Ok(project);
        }
        match account {
            Some(account) if account != self.world.account_name(self.caller) => {
                let other = self.world.accounts.iter().find(|row| row.name == account);
                Err(match other {
                    Some(other) => self.denied(Some(other.id)),
                    None => ApiError::invalid(format!(
                        "Unable to find account {account} in domain {}",
                        self.world.domain.id
                    )),
                })
            }
            _ => Ok(self.caller),
        }
    }

    fn no_entity(&self, name: &str) -> ApiError {
        ApiError::no_entity(
            self.params.command(),
            name,
            self.params.text(name).unwrap_or_default(),
        )
    }

    fn denied(&self, owner: Option<Uuid>) -> ApiError {
        ApiError::denied(format!(
            "{} does not have permission to operate with resource {}",
            self.world.describe(self.caller),
            owner.map_or_else(
                || "of the system".to_owned(),
                |owner| self.world.describe(owner)
            )
        ))
    }

    /// The id that a parameter gives, which has to be of something that there is or was; none if it was not sent.
    fn known<T: Entity>(&self, table: &Table<T>, name: &str) -> Result<Option<Uuid>, ApiError> {
        match self.params.id(name) {
            Some(id) if !table.knows(id) => Err(self.no_entity(name)),
            found => Ok(found),
        }
    }

    /// The id that a required parameter gives, of something that there is.
    fn present<T: Entity>(&self, table: &Table<T>, name: &str) -> Result<Uuid, ApiError> {
        self.params.required(name)?;
        let id = self
            .known(table, name)?
            .filter(|id| table.get(*id).is_some());
        id.ok_or_else(|| self.no_entity(name))
    }

    /// Whether the caller may act on what belongs to an owner.
    fn may_use(&self, owner: Option<Uuid>) -> bool {
        owner.is_some_and(|owner| self.world.may_use(self.caller, owner))
    }

    /// The id that a required parameter gives, of something that there is and that the caller or a project of theirs
    /// owns. `what` names it in the error for something that is gone.
    fn own<T: Owned>(&self, table: &Table<T>, name: &str, what: &str) -> Result<Uuid, ApiError> {
        self.params.required(name)?;
        let id = self
            .known(table, name)?
            .ok_or_else(|| self.no_entity(name))?;
        match table.get(id) {
            None => Err(ApiError::invalid(format!(
                "unable to find {what} with id {id}"
            ))),
            Some(row) if self.may_use(row.owner()) => Ok(id),
            Some(row) => Err(self.denied(row.owner())),
        }
    }

    /// The machine that a required parameter gives.
    fn own_machine(&self, name: &str) -> Result<&Machine, ApiError> {
        let id = self.own(&self.world.machines, name, "a virtual machine")?;
        self.world
            .machines
            .get(id)
            .ok_or_else(|| self.no_entity(name))
    }

    /// What of a table belongs to whom the call is for.
    fn mine<'w, T: Owned>(&self, table: &'w Table<T>) -> impl Iterator<Item = &'w T> + use<'w, T> {
        let owner = self.owner;
        table.iter().filter(move |row| row.owner() == Some(owner))
    }

    /// Whether something has the id that `id` asks for, if it asks for one.
    fn wants<T: Entity>(
        &self,
        table: &Table<T>,
        name: &str,
    ) -> Result<impl Fn(Uuid) -> bool + use<T>, ApiError> {
        let wanted = self.known(table, name)?;
        Ok(move |id| wanted.is_none_or(|wanted| wanted == id))
    }

    /// Whether a name has the part that `keyword` asks for, if it asks for one.
    fn has_keyword(&self, name: &str) -> bool {
        self.params
            .filled("keyword")
            .is_none_or(|keyword| contains(name, keyword))
    }

    /// Whether something has the value that a parameter asks for, ignoring case, if it asks for one.
    fn is(&self, name: &str, has: &str) -> bool {
        self.params
            .filled(name)
            .is_none_or(|wanted| wanted.eq_ignore_ascii_case(has))
    }

    /// Whether a name is the one that `name` asks for, if it asks for one.
    fn is_named(&self, name: &str) -> bool {
        self.is("name", name)
    }

    /// Whether a resource bears the tags that `tags` asks for.
    fn is_tagged(&self, resource: Uuid) -> Result<bool, ApiError> {
        Ok(self
            .world
            .has_tags(resource, &self.params.key_values("tags")?))
    }

    /// Sets a job off and answers with it.
    fn start_job(&mut self, work: Work, instance: Option<Instance>) -> Value {
        let class = self.command.class.unwrap_or_default();
        let planned = self.faults.of_job(self.command.name);
        let order = Order {
            account: self.caller,
            command: self.command.name,
            class,
            instance,
            work,
            planned,
        };
        json!({ "jobid": self.world.submit(order, self.now) })
    }

    /// Sets a job off that makes something, and answers with both.
    fn start_creation(&mut self, work: Work, instance: Instance) -> Value {
        let mut answer = self.start_job(work, Some(instance));
        if let Some(answer) = answer.as_object_mut() {
            answer.insert("id".to_owned(), json!(instance.id));
        }
        answer
    }

    fn list(&self, key: &str, items: Vec<Value>) -> Result<Value, ApiError> {
        api::list(self.params, key, items)
    }
}

/// Whether a text has a part, ignoring case as the database does.
fn contains(text: &str, part: &str) -> bool {
    text.to_lowercase().contains(&part.to_lowercase())
}

/// CloudStack's answer of a command that has nothing to say: the truth is a string if it comes at once.
fn success() -> Value {
    json!({ "success": "true" })
}

/// A range of ports from a first and a last one; one port without a last.
fn port_range(start: u16, end: Option<u16>) -> Result<Ports, ApiError> {
    let end = end.unwrap_or(start);
    if start > end {
        return Err(ApiError::invalid(
            "Start port can't be bigger than end port",
        ));
    }
    Ok(Ports { start, end })
}

/// The protocol that a required parameter names, of those allowed.
fn protocol(params: &Params, allowed: &[&str]) -> Result<String, ApiError> {
    let protocol = params.required("protocol")?.trim().to_lowercase();
    if allowed.contains(&protocol.as_str()) {
        Ok(protocol)
    } else {
        Err(ApiError::invalid(format!(
            "Protocol {protocol} is not supported"
        )))
    }
}

/// Ports and ICMP type and code, as a firewall's rules take them.
type PortsOrIcmp = (Option<Ports>, Option<(i64, i64)>);

fn ports_or_icmp(params: &Params, protocol: &str) -> Result<PortsOrIcmp, ApiError> {
    let (start, end) = (params.port("startport")?, params.port("endport")?);
    let (kind, code) = (params.number("icmptype"), params.number("icmpcode"));
    if protocol == "icmp" {
        if start.is_some() || end.is_some() {
            return Err(ApiError::invalid(
                "Can't specify start/end port when protocol is ICMP",
            ));
        }
        return Ok((None, Some((kind.unwrap_or(-1), code.unwrap_or(-1)))));
    }
    if kind.is_some() || code.is_some() {
        return Err(ApiError::invalid(
            "Can specify icmpCode and icmpType for ICMP protocol only",
        ));
    }
    let ports = match (start, end) {
        (Some(start), end) => Some(port_range(start, end)?),
        (None, Some(end)) => Some(port_range(end, None)?),
        (None, None) => None,
    };
    Ok((ports, None))
}

/// The ranges of addresses that `cidrlist` gives.
fn cidrs(params: &Params) -> Result<Vec<String>, ApiError> {
    let items = params
        .list("cidrlist")
        .unwrap_or_default()
        .into_iter()
        .map(str::trim);
    let check = |item: &str| match item.split_once('/') {
        Some((address, prefix))
            if address.parse::<Ipv4Addr>().is_ok()
                && prefix.parse::<u8>().is_ok_and(|prefix| prefix <= 32) =>
        {
            Ok(item.to_owned())
        }
        _ => Err(ApiError::invalid(format!(
            "Source cidrs formatting error {item}"
        ))),
    };
    items.map(check).collect()
}
