//! The API commands that the driver calls.

use std::fmt;

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;

/// Makes the enumeration from one list of the commands and their names in the API.
macro_rules! commands {
    ($($command:ident = $name:literal,)*) => {
        /// An API command. These are all that the driver calls; its description lists them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Command {
            $($command,)*
        }

        impl Command {
            /// All of them.
            pub(crate) const ALL: [Self; [$($name),*].len()] = [$(Self::$command),*];

            /// Its name in the API.
            pub(crate) const fn name(self) -> &'static str {
                match self {
                    $(Self::$command => $name,)*
                }
            }
        }
    };
}

commands! {
    ListZones = "listZones",
    ListTemplates = "listTemplates",
    ListServiceOfferings = "listServiceOfferings",
    ListVirtualMachines = "listVirtualMachines",
    ListNetworks = "listNetworks",
    ListPublicIpAddresses = "listPublicIpAddresses",
    ListPortForwardingRules = "listPortForwardingRules",
    ListCapabilities = "listCapabilities",
    QueryAsyncJobResult = "queryAsyncJobResult",
    RegisterSshKeyPair = "registerSSHKeyPair",
    DeleteSshKeyPair = "deleteSSHKeyPair",
    DeployVirtualMachine = "deployVirtualMachine",
    StartVirtualMachine = "startVirtualMachine",
    StopVirtualMachine = "stopVirtualMachine",
    RebootVirtualMachine = "rebootVirtualMachine",
    DestroyVirtualMachine = "destroyVirtualMachine",
    CreatePortForwardingRule = "createPortForwardingRule",
    DeletePortForwardingRule = "deletePortForwardingRule",
    CreateTags = "createTags",
    ListProjects = "listProjects",
    ListNetworkOfferings = "listNetworkOfferings",
    ListDiskOfferings = "listDiskOfferings",
    ListAffinityGroups = "listAffinityGroups",
    ListSecurityGroups = "listSecurityGroups",
    ListFirewallRules = "listFirewallRules",
    ListVolumes = "listVolumes",
    ListSshKeyPairs = "listSSHKeyPairs",
    ListAccounts = "listAccounts",
    CreateNetwork = "createNetwork",
    DeleteNetwork = "deleteNetwork",
    AssociateIpAddress = "associateIpAddress",
    DisassociateIpAddress = "disassociateIpAddress",
    EnableStaticNat = "enableStaticNat",
    DisableStaticNat = "disableStaticNat",
    CreateFirewallRule = "createFirewallRule",
    DeleteFirewallRule = "deleteFirewallRule",
    CreateSecurityGroup = "createSecurityGroup",
    DeleteSecurityGroup = "deleteSecurityGroup",
    AuthorizeSecurityGroupIngress = "authorizeSecurityGroupIngress",
    DetachVolume = "detachVolume",
    DeleteVolume = "deleteVolume",
}

impl Command {
    /// Whether it changes nothing, and so is sent by GET and may be repeated: CloudStack 4.22 refuses GET for every other
    /// command where it enforces POST.
    pub(crate) fn is_read(self) -> bool {
        ["list", "query"]
            .iter()
            .any(|prefix| self.name().starts_with(prefix))
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
    fn what_changes_something_is_not_read() {
        let read = Command::ALL.iter().filter(|command| command.is_read());
        assert_eq!(read.count(), 18);
        assert!(!Command::DeployVirtualMachine.is_read());
    }
}
