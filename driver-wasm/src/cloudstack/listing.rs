//! The listings of what can be named in options.

use super::Command;
use super::client::Param;

/// A listing of what can be named in an option.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Listing {
    pub(super) command: Command,
    /// The member of the answer that has the items.
    pub(super) member: &'static str,
    pub(super) params: &'static [Param<'static>],
    /// Whether it is about one zone.
    pub(crate) is_of_zone: bool,
    /// Whether it lists what belongs to the project, where there is one.
    pub(super) is_of_project: bool,
}

impl Listing {
    const fn new(command: Command, member: &'static str) -> Self {
        Self {
            command,
            member,
            params: &[],
            is_of_zone: false,
            is_of_project: false,
        }
    }

    const fn with(mut self, params: &'static [Param<'static>]) -> Self {
        self.params = params;
        self
    }

    const fn of_zone(mut self) -> Self {
        self.is_of_zone = true;
        self
    }

    const fn of_project(mut self) -> Self {
        self.is_of_project = true;
        self
    }

    /// The zones that the account may use.
    pub(crate) const ZONES: Self =
        Self::new(Command::ListZones, "zone").with(&[("available", "true")]);
    /// The projects that the account is in.
    pub(crate) const PROJECTS: Self = Self::new(Command::ListProjects, "project");
    /// The accounts that the keys see: their own, or for an administrator those of the domain.
    pub(crate) const ACCOUNTS: Self = Self::new(Command::ListAccounts, "account");
    /// The templates from which the account may deploy in a zone.
    pub(crate) const TEMPLATES: Self = Self::new(Command::ListTemplates, "template")
        .with(&[("templatefilter", "executable")])
        .of_zone()
        .of_project();
    /// The service offerings that the account may use in a zone. Versions that do not know service offerings of a zone
    /// ignore `zoneid`.
    pub(crate) const SERVICE_OFFERINGS: Self =
        Self::new(Command::ListServiceOfferings, "serviceoffering").of_zone();
    /// The disk offerings that the account may use in a zone, as the service offerings.
    pub(crate) const DISK_OFFERINGS: Self =
        Self::new(Command::ListDiskOfferings, "diskoffering").of_zone();
    /// The affinity groups of the account.
    pub(crate) const AFFINITY_GROUPS: Self =
        Self::new(Command::ListAffinityGroups, "affinitygroup").of_project();
    /// The security groups of the account.
    pub(crate) const SECURITY_GROUPS: Self =
        Self::new(Command::ListSecurityGroups, "securitygroup").of_project();
    /// The networks of a zone in which the account may deploy.
    pub(crate) const NETWORKS: Self = Self::new(Command::ListNetworks, "network")
        .with(&[("canusefordeploy", "true")])
        .of_zone()
        .of_project();
    /// The offerings for isolated networks of a zone that can be used.
    pub(crate) const NETWORK_OFFERINGS: Self =
        Self::new(Command::ListNetworkOfferings, "networkoffering")
            .with(&[("guestiptype", "Isolated"), ("state", "Enabled")])
            .of_zone();
    /// The public addresses of the account in a zone.
    pub(crate) const PUBLIC_IP_ADDRESSES: Self =
        Self::new(Command::ListPublicIpAddresses, "publicipaddress")
            .of_zone()
            .of_project();
    /// The key pairs of the account.
    pub(crate) const SSH_KEY_PAIRS: Self =
        Self::new(Command::ListSshKeyPairs, "sshkeypair").of_project();
}
