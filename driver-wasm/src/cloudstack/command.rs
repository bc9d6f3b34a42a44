//! The API commands that the driver calls.

use std::fmt;

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;

/// An API command. These are all that the driver calls; its description lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the API's command of that name")]
pub(crate) enum Command {
    ListZones,
    ListTemplates,
    ListServiceOfferings,
    ListVirtualMachines,
    ListNetworks,
    ListPublicIpAddresses,
    ListPortForwardingRules,
    ListCapabilities,
    QueryAsyncJobResult,
    RegisterSshKeyPair,
    DeleteSshKeyPair,
    DeployVirtualMachine,
    StartVirtualMachine,
    StopVirtualMachine,
    RebootVirtualMachine,
    DestroyVirtualMachine,
    CreatePortForwardingRule,
    DeletePortForwardingRule,
    CreateTags,
    ListProjects,
    ListNetworkOfferings,
    ListDiskOfferings,
    ListAffinityGroups,
    ListSecurityGroups,
    ListFirewallRules,
    ListVolumes,
    ListSshKeyPairs,
    ListAccounts,
    CreateNetwork,
    DeleteNetwork,
    AssociateIpAddress,
    DisassociateIpAddress,
    EnableStaticNat,
    DisableStaticNat,
    CreateFirewallRule,
    DeleteFirewallRule,
    CreateSecurityGroup,
    DeleteSecurityGroup,
    AuthorizeSecurityGroupIngress,
    DetachVolume,
    DeleteVolume,
}

impl Command {
    /// All of them.
    pub(crate) const ALL: [Self; 41] = [
        Self::ListZones,
        Self::ListTemplates,
        Self::ListServiceOfferings,
        Self::ListVirtualMachines,
        Self::ListNetworks,
        Self::ListPublicIpAddresses,
        Self::ListPortForwardingRules,
        Self::ListCapabilities,
        Self::QueryAsyncJobResult,
        Self::RegisterSshKeyPair,
        Self::DeleteSshKeyPair,
        Self::DeployVirtualMachine,
        Self::StartVirtualMachine,
        Self::StopVirtualMachine,
        Self::RebootVirtualMachine,
        Self::DestroyVirtualMachine,
        Self::CreatePortForwardingRule,
        Self::DeletePortForwardingRule,
        Self::CreateTags,
        Self::ListProjects,
        Self::ListNetworkOfferings,
        Self::ListDiskOfferings,
        Self::ListAffinityGroups,
        Self::ListSecurityGroups,
        Self::ListFirewallRules,
        Self::ListVolumes,
        Self::ListSshKeyPairs,
        Self::ListAccounts,
        Self::CreateNetwork,
        Self::DeleteNetwork,
        Self::AssociateIpAddress,
        Self::DisassociateIpAddress,
        Self::EnableStaticNat,
        Self::DisableStaticNat,
        Self::CreateFirewallRule,
        Self::DeleteFirewallRule,
        Self::CreateSecurityGroup,
        Self::DeleteSecurityGroup,
        Self::AuthorizeSecurityGroupIngress,
        Self::DetachVolume,
        Self::DeleteVolume,
    ];

    /// Its name in the API.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::ListZones => "listZones",
            Self::ListTemplates => "listTemplates",
            Self::ListServiceOfferings => "listServiceOfferings",
            Self::ListVirtualMachines => "listVirtualMachines",
            Self::ListNetworks => "listNetworks",
            Self::ListPublicIpAddresses => "listPublicIpAddresses",
            Self::ListPortForwardingRules => "listPortForwardingRules",
            Self::ListCapabilities => "listCapabilities",
            Self::QueryAsyncJobResult => "queryAsyncJobResult",
            Self::RegisterSshKeyPair => "registerSSHKeyPair",
            Self::DeleteSshKeyPair => "deleteSSHKeyPair",
            Self::DeployVirtualMachine => "deployVirtualMachine",
            Self::StartVirtualMachine => "startVirtualMachine",
            Self::StopVirtualMachine => "stopVirtualMachine",
            Self::RebootVirtualMachine => "rebootVirtualMachine",
            Self::DestroyVirtualMachine => "destroyVirtualMachine",
            Self::CreatePortForwardingRule => "createPortForwardingRule",
            Self::DeletePortForwardingRule => "deletePortForwardingRule",
            Self::CreateTags => "createTags",
            Self::ListProjects => "listProjects",
            Self::ListNetworkOfferings => "listNetworkOfferings",
            Self::ListDiskOfferings => "listDiskOfferings",
            Self::ListAffinityGroups => "listAffinityGroups",
            Self::ListSecurityGroups => "listSecurityGroups",
            Self::ListFirewallRules => "listFirewallRules",
            Self::ListVolumes => "listVolumes",
            Self::ListSshKeyPairs => "listSSHKeyPairs",
            Self::ListAccounts => "listAccounts",
            Self::CreateNetwork => "createNetwork",
            Self::DeleteNetwork => "deleteNetwork",
            Self::AssociateIpAddress => "associateIpAddress",
            Self::DisassociateIpAddress => "disassociateIpAddress",
            Self::EnableStaticNat => "enableStaticNat",
            Self::DisableStaticNat => "disableStaticNat",
            Self::CreateFirewallRule => "createFirewallRule",
            Self::DeleteFirewallRule => "deleteFirewallRule",
            Self::CreateSecurityGroup => "createSecurityGroup",
            Self::DeleteSecurityGroup => "deleteSecurityGroup",
            Self::AuthorizeSecurityGroupIngress => "authorizeSecurityGroupIngress",
            Self::DetachVolume => "detachVolume",
            Self::DeleteVolume => "deleteVolume",
        }
    }

    /// Whether it changes nothing, and so is sent by GET and may be repeated.
    pub(crate) const fn is_read(self) -> bool {
        matches!(
            self,
            Self::ListZones
                | Self::ListTemplates
                | Self::ListServiceOfferings
                | Self::ListVirtualMachines
                | Self::ListNetworks
                | Self::ListPublicIpAddresses
                | Self::ListPortForwardingRules
                | Self::ListCapabilities
                | Self::QueryAsyncJobResult
                | Self::ListProjects
                | Self::ListNetworkOfferings
                | Self::ListDiskOfferings
                | Self::ListAffinityGroups
                | Self::ListSecurityGroups
                | Self::ListFirewallRules
                | Self::ListVolumes
                | Self::ListSshKeyPairs
                | Self::ListAccounts
        )
    }

    /// How long its job may take, in milliseconds, where the user does not say.
    pub(crate) const fn job_limit(self) -> u64 {
        match self {
            // It may have to wait for a deployment that is still going on.
            Self::DestroyVirtualMachine => 10 * MINUTE,
            Self::CreateTags => MINUTE,
            _ => 5 * MINUTE,
        }
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_what_servers_take_by_get() {
        // CloudStack 4.22 refuses GET for every other command where it enforces POST.
        for command in Command::ALL {
            let by_name = ["get", "list", "query", "find"]
                .iter()
                .any(|prefix| command.name().starts_with(prefix));
            assert_eq!(command.is_read(), by_name, "{command}");
        }
    }

    #[test]
    fn each_is_listed_once() {
        for (i, command) in Command::ALL.iter().enumerate() {
            assert!(!Command::ALL[..i].contains(command), "{command}");
        }
    }
}
