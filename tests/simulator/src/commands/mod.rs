//! The commands, by family.

mod addresses;
mod affinity_groups;
mod call;
mod catalogue;
mod jobs;
mod key_pairs;
mod machines;
mod networks;
mod ports;
mod projects;
mod rules;
mod security_groups;
mod tags;
mod volumes;
mod vpcs;

pub(crate) use call::Call;

use serde_json::{Value, json};

use crate::error::ApiError;

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

/// Whether a text has a part, ignoring case as the database does.
fn contains(text: &str, part: &str) -> bool {
    text.to_lowercase().contains(&part.to_lowercase())
}

/// CloudStack's answer of a command that has nothing to say: the truth is a string if it comes at once.
fn success() -> Value {
    json!({ "success": "true" })
}
