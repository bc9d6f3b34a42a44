//! The options that every flavour of the driver has, and the rows of a flavour's table of options.

use crate::contract::types::OptionKind::{Certificates, Insecure, Integer, SshKey, Text, TextList};
use crate::contract::types::{OptionKind, OptionScope, OptionSpec};
use crate::flavour::{self, named};

/// The option that holds the account's API key.
pub const API_KEY: &str = named!("api-key");
/// The option that holds the account's secret key.
pub const SECRET_KEY: &str = named!("secret-key");
/// The option that turns the verification of certificates off.
pub const TLS_SKIP_VERIFY: &str = named!("tls-skip-verify");
/// The option that holds the certificates by which the API's is verified.
pub const CA_CERT: &str = named!("ca-cert");
/// The option that names the zone.
pub const ZONE: &str = named!("zone");
/// The option that names the template.
pub const TEMPLATE: &str = named!("template");
/// The option that names the service offering.
pub const SERVICE_OFFERING: &str = named!("service-offering");
/// The option that names the offering of a network that the driver makes.
pub const NETWORK_OFFERING: &str = named!("network-offering");
/// The option that names the project.
pub const PROJECT: &str = named!("project");
/// The option that says how the machine is reached.
pub const ADDRESS: &str = named!("address");
/// The option that says from where the machine can be reached.
pub const CIDR: &str = named!("cidr");
/// The option that names further ports.
pub const OPEN_PORT: &str = named!("open-port");
/// The option that names the user for SSH.
pub const SSH_USER: &str = named!("ssh-user");
/// The option that tells the port on which the machine's SSH server listens.
pub const SSH_PORT: &str = named!("ssh-port");
/// The option that names an existing SSH key.
pub const SSH_KEY: &str = named!("ssh-key");
/// The option that names further registered key pairs.
pub const KEY_PAIR: &str = named!("keypair");
/// The option that names the offering of a data disk.
pub const DISK_OFFERING: &str = named!("disk-offering");
/// The option that tells the size of the data disk.
pub const DISK_SIZE: &str = named!("disk-size");
/// The option that tells the size of the root disk.
pub const ROOT_DISK_SIZE: &str = named!("root-disk-size");
/// The option that tells the number of CPUs.
pub const CPU: &str = named!("cpu");
/// The option that tells the speed of the CPUs.
pub const CPU_SPEED: &str = named!("cpu-speed");
/// The option that tells the memory.
pub const MEMORY: &str = named!("memory");
/// The option that names affinity groups.
pub const AFFINITY_GROUP: &str = named!("affinity-group");
/// The option that names security groups.
pub const SECURITY_GROUP: &str = named!("security-group");
/// The option that names the group that the machine is shown in.
pub const GROUP: &str = named!("group");
/// The option that limits how long the virtual machine may take to start, in seconds.
pub const TIMEOUT: &str = named!("timeout");

/// An option, as a flavour's table has it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    name: &'static str,
    kind: OptionKind,
    scope: OptionScope,
    config_key: Option<&'static str>,
    default: Option<&'static str>,
    help: &'static str,
}

impl Row {
    /// An option of the machine that is not kept.
    pub(crate) const fn new(name: &'static str, kind: OptionKind, help: &'static str) -> Self {
        Self {
            name,
            kind,
            scope: OptionScope::Machine,
            config_key: None,
            default: None,
            help,
        }
    }

    /// It is about the account.
    pub(crate) const fn of_account(mut self) -> Self {
        self.scope = OptionScope::Account;
        self
    }

    /// It is kept in that member of `config.json`.
    pub(crate) const fn kept_as(mut self, member: &'static str) -> Self {
        self.config_key = Some(member);
        self
    }

    /// It has a default.
    pub(crate) const fn or(mut self, default: &'static str) -> Self {
        self.default = Some(default);
        self
    }

    pub(crate) fn spec(&self) -> OptionSpec {
        OptionSpec {
            name: self.name.to_owned(),
            env: self.name.to_ascii_uppercase().replace('-', "_"),
            help: self.help.to_owned(),
            kind: self.kind,
            scope: self.scope,
            required: self.required(),
            default: self.default.map(str::to_owned),
            config_key: self.config_key.map(str::to_owned),
        }
    }

    /// The sentence for the host. Where another option can give the id instead, only the driver can tell that both are
    /// missing.
    fn required(&self) -> Option<String> {
        let id = id_option(self.name);
        let has_id = flavour::OPTIONS.iter().any(|row| row.name == id);
        let sentence = sentence(self.name).filter(|_| !has_id);
        sentence.map(str::to_owned)
    }
}

/// The option that gives the id of what another one names, in flavours that have one.
pub(super) fn id_option(option: &str) -> String {
    format!("{option}-id")
}

/// The sentence that the user reads when an option is missing, if it has to be given.
pub(super) fn sentence(option: &str) -> Option<&'static str> {
    let mut required = flavour::REQUIRED.iter();
    required
        .find(|(name, _)| *name == option)
        .map(|(_, sentence)| *sentence)
}

/// The rows of options that are the same in every flavour, or nearly so.
pub(crate) mod rows {
    use super::*;

    pub(crate) const TLS_SKIP_VERIFY: Row = Row::new(
        super::TLS_SKIP_VERIFY,
        Insecure,
        "Do not verify the API's TLS certificate; whoever is on the way can then read and change what is sent",
    )
    .of_account()
    .kept_as("VerifySSL");

    pub(crate) const CA_CERT: Row = Row::new(
        super::CA_CERT,
        Certificates,
        "Certificates (PEM) by which the API's is verified instead of by the system's: the path of a file, or the contents",
    )
    .of_account()
    .kept_as("CACert");

    pub(crate) const NETWORK_OFFERING: Row = Row::new(
        super::NETWORK_OFFERING,
        Text,
        "Name or id of the network offering for a network that is made",
    )
    .kept_as("NetworkOffering");

    pub(crate) const PROJECT: Row = Row::new(
        super::PROJECT,
        Text,
        "Name or id of the project that the machine belongs to",
    )
    .of_account()
    .kept_as("Project");

    pub(crate) const PUBLIC_IP: Row = Row::new(
        flavour::PUBLIC_IP,
        Text,
        "Public address to use, as an address or an id; it is not released with the machine",
    );

    pub(crate) const CIDR: Row = Row::new(
        super::CIDR,
        TextList,
        "Range of addresses from which the machine can be reached; can be given more than once [default: all]",
    )
    .kept_as("CIDRList");

    pub(crate) const OPEN_PORT: Row = Row::new(
        super::OPEN_PORT,
        TextList,
        "Further port to open, such as 80, 53/udp or 8000-8010; can be given more than once",
    )
    .kept_as("OpenPorts");

    pub(crate) const SSH_USER: Row = Row::new(
        super::SSH_USER,
        Text,
        "User for SSH, who must be root or may use sudo without a password",
    )
    .or("root");

    pub(crate) const SSH_PORT: Row = Row::new(
        super::SSH_PORT,
        Integer,
        "Port on which the machine's SSH server listens",
    )
    .kept_as("SSHLoginPort")
    .or("22");

    pub(crate) const SSH_KEY: Row = Row::new(
        super::SSH_KEY,
        SshKey,
        "Path of an existing private SSH key without a passphrase, of which the machine gets a copy instead of a key of \
         its own",
    );

    pub(crate) const KEY_PAIR: Row = Row::new(
        super::KEY_PAIR,
        TextList,
        "Name of a registered SSH key pair that is let in too (CloudStack 4.17 or later); can be given more than once",
    )
    .kept_as("KeyPairs");

    pub(crate) const DISK_OFFERING: Row = Row::new(
        super::DISK_OFFERING,
        Text,
        "Name or id of the disk offering for a data disk",
    )
    .kept_as("DiskOffering");

    pub(crate) const DISK_SIZE: Row = Row::new(
        super::DISK_SIZE,
        Integer,
        "Size of the data disk in GiB, for a disk offering of custom size",
    )
    .kept_as("DiskSize");

    pub(crate) const ROOT_DISK_SIZE: Row = Row::new(
        super::ROOT_DISK_SIZE,
        Integer,
        "Size of the root disk in GiB, if not the template's",
    )
    .kept_as("RootDiskSize");

    pub(crate) const CPU: Row = Row::new(
        super::CPU,
        Integer,
        "Number of CPUs, for a custom service offering",
    )
    .kept_as("CPUNumber");

    pub(crate) const CPU_SPEED: Row = Row::new(
        super::CPU_SPEED,
        Integer,
        "Speed of the CPUs in MHz, for a custom service offering that leaves it open",
    )
    .kept_as("CPUSpeed");

    pub(crate) const MEMORY: Row = Row::new(
        super::MEMORY,
        Integer,
        "Memory in MiB, for a custom service offering",
    )
    .kept_as("Memory");

    pub(crate) const AFFINITY_GROUP: Row = Row::new(
        super::AFFINITY_GROUP,
        TextList,
        "Name or id of an affinity group; can be given more than once",
    )
    .kept_as("AffinityGroups");

    pub(crate) const SECURITY_GROUP: Row = Row::new(
        super::SECURITY_GROUP,
        TextList,
        "Name or id of a security group besides the machine's own, in a zone with security groups; can be given more than \
         once",
    )
    .kept_as("SecurityGroups");

    pub(crate) const DISPLAY_NAME: Row = Row::new(
        flavour::DISPLAY_NAME,
        Text,
        "Name that the cloud's console shows [default: the machine's name]",
    )
    .kept_as("DisplayName");

    pub(crate) const GROUP: Row = Row::new(
        super::GROUP,
        Text,
        "Group under which the cloud's console shows the machine",
    )
    .kept_as("Group");

    pub(crate) const TIMEOUT: Row = Row::new(
        super::TIMEOUT,
        Integer,
        "How long the virtual machine may take to start, in seconds (at most 3000)",
    )
    .or(flavour::DEFAULT_TIMEOUT);
}
