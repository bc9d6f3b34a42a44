//! The driver's options and its description.
//!
//! Names, variables, defaults and the sentences about missing options are those of the driver of 2016, so that command
//! lines, environments and `config.json` files made for it stay good.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::cloudstack::Command;
use crate::contract::types::{
    Description, Error, ErrorKind, Machine, OptionKind, OptionScope, OptionSpec, Value,
};
use crate::failure;

/// The driver's name.
pub const NAME: &str = "btcloud";

/// The option that holds the API's URL.
pub const ENDPOINT: &str = "btcloud-endpoint";
/// The option that holds the account's API key.
pub const API_KEY: &str = "btcloud-api-key";
/// The option that holds the account's secret key.
pub const SECRET_KEY: &str = "btcloud-secret-key";
/// The option that once turned the verification of certificates on.
pub const SSL: &str = "btcloud-ssl";
/// The option that turns the verification of certificates off.
pub const TLS_SKIP_VERIFY: &str = "btcloud-tls-skip-verify";
/// The option that holds the certificates by which the API's is verified.
pub const CA_CERT: &str = "btcloud-ca-cert";
/// The option that names the zone.
pub const ZONE: &str = "btcloud-zone";
/// The option that names the template.
pub const TEMPLATE: &str = "btcloud-template";
/// The option that names the service offering.
pub const SERVICE_OFFERING: &str = "btcloud-service-offering";

/// The option that names the networks.
pub const NETWORK: &str = "btcloud-network";
/// The option that names the offering of a network that the driver makes.
pub const NETWORK_OFFERING: &str = "btcloud-network-offering";
/// The option that names the project.
pub const PROJECT: &str = "btcloud-project";
/// The option that says how the machine is reached.
pub const ADDRESS: &str = "btcloud-address";
/// The option that names a public address.
pub const PUBLIC_IP: &str = "btcloud-public-ip";
/// The option that says from where the machine can be reached.
pub const CIDR: &str = "btcloud-cidr";
/// The option that names further ports.
pub const OPEN_PORT: &str = "btcloud-open-port";
/// The option that names the user for SSH.
pub const SSH_USER: &str = "btcloud-ssh-user";
/// The option that tells the port on which the machine's SSH server listens.
pub const SSH_PORT: &str = "btcloud-ssh-port";
/// The option that names an existing SSH key.
pub const SSH_KEY: &str = "btcloud-ssh-key";
/// The option that names further registered key pairs.
pub const KEY_PAIR: &str = "btcloud-keypair";
/// The option that names the offering of a data disk.
pub const DISK_OFFERING: &str = "btcloud-disk-offering";
/// The option that tells the size of the data disk.
pub const DISK_SIZE: &str = "btcloud-disk-size";
/// The option that tells the size of the root disk.
pub const ROOT_DISK_SIZE: &str = "btcloud-root-disk-size";
/// The option that tells the number of CPUs.
pub const CPU: &str = "btcloud-cpu";
/// The option that tells the speed of the CPUs.
pub const CPU_SPEED: &str = "btcloud-cpu-speed";
/// The option that tells the memory.
pub const MEMORY: &str = "btcloud-memory";
/// The option that holds the user data.
pub const USER_DATA: &str = "btcloud-userdata";
/// The option that names affinity groups.
pub const AFFINITY_GROUP: &str = "btcloud-affinity-group";
/// The option that names security groups.
pub const SECURITY_GROUP: &str = "btcloud-security-group";
/// The option that holds tags.
pub const TAG: &str = "btcloud-tag";
/// The option that holds the name to show.
pub const DISPLAY_NAME: &str = "btcloud-display-name";
/// The option that names the group that the machine is shown in.
pub const GROUP: &str = "btcloud-group";
/// The option that says whether a removed machine is expunged.
pub const EXPUNGE: &str = "btcloud-expunge";
/// The option that keeps the data disk of a removed machine.
pub const KEEP_VOLUMES: &str = "btcloud-keep-volumes";
/// The option that limits how long a machine may take to be made.
pub const TIMEOUT: &str = "btcloud-timeout";

const DEFAULT_ENDPOINT: &str = "https://cloud.bt.com/client/api";

/// How long the first machine of a network, for which a virtual router is made, may take, in seconds.
const DEFAULT_TIMEOUT: u32 = 900;

/// The keys of the tags by which what the driver makes is recognised: whose it is, by the machine's id and its name.
pub const MARKS: [&str; 2] = ["docker-machine-id", "docker-machine-name"];

/// The sentences that the user reads when a required option is missing.
const REQUIRED: [(&str, &str); 5] = [
    (API_KEY, "Please specify an API key (--btcloud-api-key)."),
    (
        SECRET_KEY,
        "Please specify a secret key (--btcloud-secret-key).",
    ),
    (
        ZONE,
        "Please specify an availability zone (--btcloud-zone).",
    ),
    (
        TEMPLATE,
        "Please specify an Ubuntu template (--btcloud-template).",
    ),
    (
        SERVICE_OFFERING,
        "Please specify a service offering (--btcloud-service-offering).",
    ),
];

/// What the driver is and wants.
pub fn description() -> Description {
    Description {
        name: NAME.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        options: specs(),
        commands: Command::ALL.map(|c| c.name().to_owned()).to_vec(),
    }
}

fn specs() -> Vec<OptionSpec> {
    use OptionKind::{
        Boolean, Certificates, Endpoint, File, Insecure, Integer, Secret, SshKey, Text, TextList,
    };
    // The members that the driver of 2016 kept have its names.
    let rows: [(&str, OptionKind, Option<&str>, &str); 35] = [
        (
            ENDPOINT,
            Endpoint,
            Some("Endpoint"),
            "URL of the BT Cloud Compute API",
        ),
        (
            API_KEY,
            Secret,
            Some("APIKey"),
            "API key of the BT Cloud Compute account",
        ),
        (
            SECRET_KEY,
            Secret,
            Some("SecretKey"),
            "Secret key of the BT Cloud Compute account",
        ),
        (
            SSL,
            Boolean,
            None,
            "Accepted for compatibility: TLS certificates are verified anyway",
        ),
        (
            ZONE,
            Text,
            Some("Zone"),
            "Name or id of the zone in which the machine is made",
        ),
        (
            TEMPLATE,
            Text,
            Some("Template"),
            "Name or id of the Ubuntu template from which the machine is made",
        ),
        (
            SERVICE_OFFERING,
            Text,
            Some("ServiceOffering"),
            "Name or id of the service offering, which sets the machine's size",
        ),
        (
            TLS_SKIP_VERIFY,
            Insecure,
            Some("VerifySSL"),
            "Do not verify the API's TLS certificate; whoever is on the way can then read and change what is sent",
        ),
        (
            CA_CERT,
            Certificates,
            Some("CACert"),
            "Certificates (PEM) by which the API's is verified instead of by the system's: the path of a file, or the \
             contents",
        ),
        (
            NETWORK,
            TextList,
            Some("Networks"),
            "Name or id of a network that the machine is in, the first one being that by which it is reached; can be \
             given more than once. Without it the zone's only network is taken, or one is made if there is none",
        ),
        (
            NETWORK_OFFERING,
            Text,
            Some("NetworkOffering"),
            "Name or id of the network offering for a network that is made",
        ),
        (
            PROJECT,
            Text,
            Some("Project"),
            "Name or id of the project that the machine belongs to",
        ),
        (
            ADDRESS,
            Text,
            Some("AddressMode"),
            "How the machine is reached: auto (at its own address in a shared network, else by forwarded ports), \
             port-forward, static-nat (a public address of its own) or private",
        ),
        (
            PUBLIC_IP,
            Text,
            Some("PublicIp"),
            "Public address to use, as an address or an id; it is not released with the machine",
        ),
        (
            CIDR,
            TextList,
            Some("CIDRList"),
            "Range of addresses from which the machine can be reached; can be given more than once [default: all]",
        ),
        (
            OPEN_PORT,
            TextList,
            Some("OpenPorts"),
            "Further port to open, such as 80, 53/udp or 8000-8010; can be given more than once",
        ),
        (
            SSH_USER,
            Text,
            Some("SSHLoginUser"),
            "User for SSH, who must be root or may use sudo without a password",
        ),
        (
            SSH_PORT,
            Integer,
            Some("SSHLoginPort"),
            "Port on which the machine's SSH server listens",
        ),
        (
            SSH_KEY,
            SshKey,
            None,
            "Path of an existing private SSH key without a passphrase, of which the machine gets a copy instead of a key of \
             its own",
        ),
        (
            KEY_PAIR,
            TextList,
            Some("KeyPairs"),
            "Name of a registered SSH key pair that is let in too (CloudStack 4.17 or later); can be given more than once",
        ),
        (
            DISK_OFFERING,
            Text,
            Some("DiskOffering"),
            "Name or id of the disk offering for a data disk",
        ),
        (
            DISK_SIZE,
            Integer,
            Some("DiskSize"),
            "Size of the data disk in GiB, for a disk offering of custom size",
        ),
        (
            ROOT_DISK_SIZE,
            Integer,
            Some("RootDiskSize"),
            "Size of the root disk in GiB, if not the template's",
        ),
        (
            CPU,
            Integer,
            Some("CPUNumber"),
            "Number of CPUs, for a custom service offering",
        ),
        (
            CPU_SPEED,
            Integer,
            Some("CPUSpeed"),
            "Speed of the CPUs in MHz, for a custom service offering that leaves it open",
        ),
        (
            MEMORY,
            Integer,
            Some("Memory"),
            "Memory in MiB, for a custom service offering",
        ),
        (
            USER_DATA,
            File,
            None,
            "User data for cloud-init: the path of a file, or the contents",
        ),
        (
            AFFINITY_GROUP,
            TextList,
            Some("AffinityGroups"),
            "Name or id of an affinity group; can be given more than once",
        ),
        (
            SECURITY_GROUP,
            TextList,
            Some("SecurityGroups"),
            "Name or id of a security group besides the machine's own, in a zone with security groups; can be given more \
             than once",
        ),
        (
            TAG,
            TextList,
            Some("Tags"),
            "Tag for the virtual machine, key=value; can be given more than once",
        ),
        (
            DISPLAY_NAME,
            Text,
            Some("DisplayName"),
            "Name that the cloud's console shows [default: the machine's name]",
        ),
        (
            GROUP,
            Text,
            Some("Group"),
            "Group under which the cloud's console shows the machine",
        ),
        (
            EXPUNGE,
            Text,
            Some("Expunge"),
            "Whether a removed machine is expunged at once: auto (if the cloud lets the account do that), yes or no",
        ),
        (
            KEEP_VOLUMES,
            Boolean,
            Some("KeepVolumes"),
            "Keep the data disks when the machine is removed",
        ),
        (
            TIMEOUT,
            Integer,
            Some("Timeout"),
            "How long the virtual machine may take to start, in seconds",
        ),
    ];
    let spec =
        |(name, kind, config_key, help): (&str, OptionKind, Option<&str>, &str)| OptionSpec {
            name: name.to_owned(),
            env: name.to_ascii_uppercase().replace('-', "_"),
            help: help.to_owned(),
            kind,
            scope: scope(name),
            required: required(name).map(str::to_owned),
            default: default(name),
            config_key: config_key.map(str::to_owned),
        };
    rows.into_iter().map(spec).collect()
}

fn scope(option: &str) -> OptionScope {
    match option {
        ENDPOINT | API_KEY | SECRET_KEY | SSL | TLS_SKIP_VERIFY | CA_CERT | PROJECT => {
            OptionScope::Account
        }
        _ => OptionScope::Machine,
    }
}

fn default(option: &str) -> Option<String> {
    let default = match option {
        ENDPOINT => DEFAULT_ENDPOINT,
        ADDRESS | EXPUNGE => "auto",
        SSH_USER => "root",
        SSH_PORT => "22",
        TIMEOUT => return Some(DEFAULT_TIMEOUT.to_string()),
        _ => return None,
    };
    Some(default.to_owned())
}

fn required(option: &str) -> Option<&'static str> {
    REQUIRED
        .iter()
        .find(|(name, _)| *name == option)
        .map(|(_, sentence)| *sentence)
}

/// How a machine is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressMode {
    /// As its network has it: at its own address, or by forwarded ports.
    Auto,
    /// By forwarded ports of a public address.
    PortForward,
    /// At a public address that leads to it alone.
    StaticNat,
    /// At its own address, whatever the network.
    Private,
}

/// Whether a removed machine is expunged at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expunge {
    /// If the cloud lets the account do that.
    Auto,
    /// Yes.
    Yes,
    /// No: it stays recoverable for as long as the cloud keeps it.
    No,
}

/// Ports of a protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// Whether they are of UDP, not of TCP.
    pub is_udp: bool,
    /// The first one.
    pub first: u16,
    /// The last one, the first if there is only one.
    pub last: u16,
}

impl Ports {
    /// One port of TCP.
    pub fn tcp(port: u16) -> Self {
        Self {
            is_udp: false,
            first: port,
            last: port,
        }
    }

    /// The protocol's name in the API.
    pub fn protocol(self) -> &'static str {
        if self.is_udp { "udp" } else { "tcp" }
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.first)?;
        if self.last != self.first {
            write!(f, "-{}", self.last)?;
        }
        write!(f, "/{}", self.protocol())
    }
}

impl FromStr for Ports {
    type Err = ();

    /// `80`, `53/udp`, `8000-8010/tcp`.
    fn from_str(text: &str) -> Result<Self, ()> {
        let (range, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        let is_udp = match protocol.to_ascii_lowercase().as_str() {
            "tcp" => false,
            "udp" => true,
            _ => return Err(()),
        };
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let port = |text: &str| text.trim().parse().ok().filter(|port: &u16| *port > 0);
        let (first, last) = (port(first).ok_or(())?, port(last).ok_or(())?);
        if first > last {
            return Err(());
        }
        Ok(Self {
            is_udp,
            first,
            last,
        })
    }
}

/// What a machine is made from, in the user's words: names or ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The zone.
    pub zone: String,
    /// The template.
    pub template: String,
    /// The service offering.
    pub service_offering: String,
    /// The networks; the first is the default one.
    pub networks: Vec<String>,
    /// The offering of a network that has to be made.
    pub network_offering: Option<String>,
    /// How the machine is reached.
    pub address: AddressMode,
    /// The public address to use.
    pub public_ip: Option<String>,
    /// From where the machine can be reached; empty means from everywhere.
    pub cidrs: Vec<String>,
    /// Further ports to open.
    pub open_ports: Vec<Ports>,
    /// Further key pairs.
    pub key_pairs: Vec<String>,
    /// The offering of a data disk.
    pub disk_offering: Option<String>,
    /// The size of the data disk in GiB.
    pub disk_size: Option<i64>,
    /// The size of the root disk in GiB.
    pub root_disk_size: Option<i64>,
    /// The number of CPUs, of a custom offering.
    pub cpu: Option<i64>,
    /// Their speed in MHz.
    pub cpu_speed: Option<i64>,
    /// The memory in MiB, of a custom offering.
    pub memory: Option<i64>,
    /// The user data in base64.
    pub user_data: Option<String>,
    /// The affinity groups.
    pub affinity_groups: Vec<String>,
    /// Security groups besides the machine's own.
    pub security_groups: Vec<String>,
    /// Tags for the virtual machine.
    pub tags: Vec<(String, String)>,
    /// The name to show.
    pub display_name: Option<String>,
    /// The group to be shown in.
    pub group: Option<String>,
    /// How long the virtual machine may take to start, in milliseconds.
    pub timeout: u64,
}

impl Settings {
    /// Reads a machine's options.
    ///
    /// # Errors
    ///
    /// If one is missing or makes no sense.
    pub fn parse(machine: &Machine) -> Result<Self, Error> {
        check_keys(&machine.options)?;
        let must = |option| text(machine, option).ok_or_else(|| missing(option));
        let settings = Self {
            zone: must(ZONE)?,
            template: must(TEMPLATE)?,
            service_offering: must(SERVICE_OFFERING)?,
            networks: list(machine, NETWORK),
            network_offering: text(machine, NETWORK_OFFERING),
            address: address_mode(machine)?,
            public_ip: text(machine, PUBLIC_IP),
            cidrs: cidrs(machine)?,
            open_ports: open_ports(machine)?,
            key_pairs: list(machine, KEY_PAIR),
            disk_offering: text(machine, DISK_OFFERING),
            disk_size: size(machine, DISK_SIZE)?,
            root_disk_size: size(machine, ROOT_DISK_SIZE)?,
            cpu: size(machine, CPU)?,
            cpu_speed: size(machine, CPU_SPEED)?,
            memory: size(machine, MEMORY)?,
            user_data: user_data(machine)?,
            affinity_groups: list(machine, AFFINITY_GROUP),
            security_groups: list(machine, SECURITY_GROUP),
            tags: tags(machine)?,
            display_name: text(machine, DISPLAY_NAME),
            group: text(machine, GROUP),
            timeout: timeout(machine)?,
        };
        ssh_port(machine)?;
        expunge(machine)?;
        if settings.disk_size.is_some() && settings.disk_offering.is_none() {
            return Err(invalid(
                DISK_SIZE,
                format!("there is no data disk without --{DISK_OFFERING}"),
            ));
        }
        if settings.public_ip.is_some() && settings.address == AddressMode::Private {
            return Err(invalid(
                PUBLIC_IP,
                format!("with --{ADDRESS} private there is no public address"),
            ));
        }
        Ok(settings)
    }
}

/// Options with their values.
pub type Values = [(String, Value)];

/// Checks that there are keys to call the API with.
///
/// # Errors
///
/// If there are none.
pub fn check_keys(options: &Values) -> Result<(), Error> {
    for option in [API_KEY, SECRET_KEY] {
        if !matches!(value_of(options, option), Some(Value::Withheld(true))) {
            return Err(missing(option));
        }
    }
    Ok(())
}

/// The name or id of the project.
pub fn project(options: &Values) -> Option<String> {
    text_of(options, PROJECT)
}

/// The user for SSH.
pub fn ssh_user(machine: &Machine) -> String {
    text(machine, SSH_USER).unwrap_or_else(|| "root".to_owned())
}

/// The port on which the machine's SSH server listens.
///
/// # Errors
///
/// If it is none.
pub fn ssh_port(machine: &Machine) -> Result<u16, Error> {
    match value(machine, SSH_PORT) {
        Some(Value::Integer(number)) => u16::try_from(*number)
            .ok()
            .filter(|port| *port > 0)
            .ok_or_else(|| invalid(SSH_PORT, format!("{number} is no port"))),
        _ => Ok(22),
    }
}

/// Whether the machine is expunged when it is removed.
///
/// # Errors
///
/// If the option has another value.
pub fn expunge(machine: &Machine) -> Result<Expunge, Error> {
    match text(machine, EXPUNGE).as_deref() {
        None | Some("auto") => Ok(Expunge::Auto),
        Some("yes" | "true") => Ok(Expunge::Yes),
        Some("no" | "false") => Ok(Expunge::No),
        Some(other) => Err(invalid(
            EXPUNGE,
            format!("\"{other}\" is not auto, yes or no"),
        )),
    }
}

/// Whether the user gave the machine's SSH key.
pub fn has_ssh_key(machine: &Machine) -> bool {
    matches!(value(machine, SSH_KEY), Some(Value::Withheld(true)))
}

/// Whether data disks are kept when the machine is removed.
pub fn keeps_volumes(machine: &Machine) -> bool {
    matches!(value(machine, KEEP_VOLUMES), Some(Value::Boolean(true)))
}

/// Whether the machine was given a data disk.
pub fn has_data_disk(machine: &Machine) -> bool {
    text(machine, DISK_OFFERING).is_some()
}

fn address_mode(machine: &Machine) -> Result<AddressMode, Error> {
    Ok(match text(machine, ADDRESS).as_deref() {
        None | Some("auto") => AddressMode::Auto,
        Some("port-forward") => AddressMode::PortForward,
        Some("static-nat") => AddressMode::StaticNat,
        Some("private") => AddressMode::Private,
        Some(other) => {
            let reason = format!("\"{other}\" is not auto, port-forward, static-nat or private");
            return Err(invalid(ADDRESS, reason));
        }
    })
}

fn cidrs(machine: &Machine) -> Result<Vec<String>, Error> {
    let is_cidr = |text: &str| {
        let (address, prefix) = text.split_once('/')?;
        let address: IpAddr = address.parse().ok()?;
        let prefix: u8 = prefix.parse().ok()?;
        (prefix <= if address.is_ipv4() { 32 } else { 128 }).then_some(())
    };
    let cidrs = list(machine, CIDR);
    match cidrs.iter().find(|cidr| is_cidr(cidr).is_none()) {
        Some(other) => Err(invalid(
            CIDR,
            format!("\"{other}\" is not a range of addresses such as 192.0.2.0/24"),
        )),
        None => Ok(cidrs),
    }
}

fn open_ports(machine: &Machine) -> Result<Vec<Ports>, Error> {
    let parse = |text: &String| {
        text.parse().map_err(|()| {
            invalid(
                OPEN_PORT,
                format!("\"{text}\" is not a port such as 80, 53/udp or 8000-8010"),
            )
        })
    };
    list(machine, OPEN_PORT).iter().map(parse).collect()
}

fn size(machine: &Machine, option: &str) -> Result<Option<i64>, Error> {
    match value(machine, option) {
        // docker-machine sends 0 for a number that is not given.
        None | Some(Value::Integer(0)) => Ok(None),
        Some(Value::Integer(number)) if *number > 0 => Ok(Some(*number)),
        _ => Err(invalid(option, "it must be a positive number".to_owned())),
    }
}

fn timeout(machine: &Machine) -> Result<u64, Error> {
    let seconds = size(machine, TIMEOUT)?
        .map_or(Ok(DEFAULT_TIMEOUT), u32::try_from)
        .ok()
        // The host stops an operation after an hour.
        .filter(|seconds| *seconds <= 3_000)
        .ok_or_else(|| invalid(TIMEOUT, "it must be at most 3000 seconds".to_owned()))?;
    Ok(u64::from(seconds) * 1_000)
}

fn user_data(machine: &Machine) -> Result<Option<String>, Error> {
    /// What CloudStack takes by POST, in base64: the default of `vm.userdata.max.length`.
    const MAX_USER_DATA: usize = 32 * 1024;
    // CloudStack refuses empty user data.
    let Some(Value::Text(data)) = value(machine, USER_DATA) else {
        return Ok(None);
    };
    if data.is_empty() {
        return Ok(None);
    }
    let encoded = STANDARD.encode(data);
    if encoded.len() > MAX_USER_DATA {
        return Err(invalid(
            USER_DATA,
            format!(
                "it has {} bytes, and CloudStack takes {}",
                data.len(),
                MAX_USER_DATA / 4 * 3
            ),
        ));
    }
    Ok(Some(encoded))
}

fn tags(machine: &Machine) -> Result<Vec<(String, String)>, Error> {
    let mut tags: Vec<(String, String)> = Vec::new();
    for text in list(machine, TAG) {
        let (key, value) = text.split_once('=').unwrap_or((&text, ""));
        let (key, value) = (key.trim(), value.trim());
        let reason = if key.is_empty() || value.is_empty() {
            format!("\"{text}\" is not of the form key=value")
        } else if MARKS.contains(&key) {
            format!("the tag {key} is the driver's own")
        } else if tags.iter().any(|(other, _)| other == key) {
            format!("the tag {key} is given twice")
        } else {
            tags.push((key.to_owned(), value.to_owned()));
            continue;
        };
        return Err(invalid(TAG, reason));
    }
    Ok(tags)
}

fn value_of<'o>(options: &'o Values, option: &str) -> Option<&'o Value> {
    let (_, value) = options.iter().find(|(name, _)| name == option)?;
    Some(value)
}

fn text_of(options: &Values, option: &str) -> Option<String> {
    match value_of(options, option) {
        Some(Value::Text(text)) if !text.trim().is_empty() => Some(text.trim().to_owned()),
        _ => None,
    }
}

fn value<'m>(machine: &'m Machine, option: &str) -> Option<&'m Value> {
    value_of(&machine.options, option)
}

fn text(machine: &Machine, option: &str) -> Option<String> {
    text_of(&machine.options, option)
}

/// The items of a list, each once.
fn list(machine: &Machine, option: &str) -> Vec<String> {
    let Some(Value::TextList(items)) = value(machine, option) else {
        return Vec::new();
    };
    let mut list: Vec<String> = Vec::new();
    for item in items.iter().map(|item| item.trim()) {
        if !item.is_empty() && !list.iter().any(|other| other == item) {
            list.push(item.to_owned());
        }
    }
    list
}

fn missing(option: &str) -> Error {
    let sentence =
        required(option).map_or_else(|| format!("Please specify --{option}."), str::to_owned);
    failure::error(ErrorKind::InvalidOption, sentence)
}

fn invalid(option: &str, reason: String) -> Error {
    failure::error(ErrorKind::InvalidOption, format!("--{option}: {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::machine;

    #[test]
    fn the_options_of_2016_come_first_and_are_as_they_were() {
        let description = description();
        let rows: Vec<_> = description
            .options
            .iter()
            .map(|o| {
                (
                    o.name.as_str(),
                    o.env.as_str(),
                    o.kind,
                    o.required.as_deref(),
                    o.default.as_deref(),
                    o.config_key.as_deref(),
                )
            })
            .collect();
        use OptionKind::{Boolean, Endpoint, Secret, Text};
        assert_eq!(
            rows[..7],
            [
                (
                    "btcloud-endpoint",
                    "BTCLOUD_ENDPOINT",
                    Endpoint,
                    None,
                    Some("https://cloud.bt.com/client/api"),
                    Some("Endpoint")
                ),
                (
                    "btcloud-api-key",
                    "BTCLOUD_API_KEY",
                    Secret,
                    Some("Please specify an API key (--btcloud-api-key)."),
                    None,
                    Some("APIKey")
                ),
                (
                    "btcloud-secret-key",
                    "BTCLOUD_SECRET_KEY",
                    Secret,
                    Some("Please specify a secret key (--btcloud-secret-key)."),
                    None,
                    Some("SecretKey")
                ),
                ("btcloud-ssl", "BTCLOUD_SSL", Boolean, None, None, None),
                (
                    "btcloud-zone",
                    "BTCLOUD_ZONE",
                    Text,
                    Some("Please specify an availability zone (--btcloud-zone)."),
                    None,
                    Some("Zone")
                ),
                (
                    "btcloud-template",
                    "BTCLOUD_TEMPLATE",
                    Text,
                    Some("Please specify an Ubuntu template (--btcloud-template)."),
                    None,
                    Some("Template")
                ),
                (
                    "btcloud-service-offering",
                    "BTCLOUD_SERVICE_OFFERING",
                    Text,
                    Some("Please specify a service offering (--btcloud-service-offering)."),
                    None,
                    Some("ServiceOffering")
                ),
            ]
        );
        assert!(
            description
                .options
                .iter()
                .all(|o| !o.help.is_empty() && !o.help.ends_with('.'))
        );
    }

    #[test]
    fn a_missing_option_is_told_in_its_sentence() {
        for (option, sentence) in REQUIRED {
            for empty in [
                None,
                Some(Value::Text(" ".to_owned())),
                Some(Value::Withheld(false)),
            ] {
                let mut machine = machine();
                machine.options.retain(|(name, _)| name != option);
                machine
                    .options
                    .extend(empty.map(|value| (option.to_owned(), value)));
                let error = Settings::parse(&machine).unwrap_err();
                assert_eq!(error.message, sentence);
                assert_eq!(error.kind, ErrorKind::InvalidOption);
            }
        }
    }

    fn with(options: &[(&str, Value)]) -> Machine {
        let mut machine = machine();
        for (name, value) in options {
            machine.options.retain(|(other, _)| other != name);
            machine.options.push(((*name).to_owned(), value.clone()));
        }
        machine
    }

    fn texts(items: &[&str]) -> Value {
        Value::TextList(items.iter().map(|item| (*item).to_owned()).collect())
    }

    #[test]
    fn the_options_are_read() {
        let settings = Settings::parse(&machine()).unwrap();
        assert_eq!(settings.zone, "London");
        assert_eq!(settings.template, "Ubuntu 16.04");
        assert_eq!(settings.service_offering, "Small");
        assert_eq!(settings.address, AddressMode::Auto);
        assert_eq!(settings.timeout, 900_000);
        assert!(settings.cidrs.is_empty() && settings.user_data.is_none());

        let settings = Settings::parse(&with(&[
            (NETWORK, texts(&["a", " b", "a", ""])),
            (ADDRESS, Value::Text("static-nat".to_owned())),
            (CIDR, texts(&["192.0.2.0/24", "2001:db8::/32"])),
            (OPEN_PORT, texts(&["80", "53/UDP", "8000-8010/tcp"])),
            (TAG, texts(&["team=ci", "url=a=b"])),
            (USER_DATA, Value::Text("#cloud-config\n".to_owned())),
            (CPU, Value::Integer(2)),
            (MEMORY, Value::Integer(0)),
            (TIMEOUT, Value::Integer(60)),
        ]))
        .unwrap();
        assert_eq!(settings.networks, ["a", "b"]);
        assert_eq!(settings.address, AddressMode::StaticNat);
        let ports: Vec<_> = settings.open_ports.iter().map(Ports::to_string).collect();
        assert_eq!(ports, ["80/tcp", "53/udp", "8000-8010/tcp"]);
        assert_eq!(settings.tags[1], ("url".to_owned(), "a=b".to_owned()));
        assert_eq!(settings.user_data.as_deref(), Some("I2Nsb3VkLWNvbmZpZwo="));
        assert_eq!(
            (settings.cpu, settings.memory, settings.timeout),
            (Some(2), None, 60_000)
        );
    }

    #[test]
    fn what_makes_no_sense_is_told_with_its_option() {
        let text = |text: &str| Value::Text(text.to_owned());
        let cases = [
            (
                ADDRESS,
                text("nat"),
                "\"nat\" is not auto, port-forward, static-nat or private",
            ),
            (EXPUNGE, text("maybe"), "\"maybe\" is not auto, yes or no"),
            (
                CIDR,
                texts(&["192.0.2.1"]),
                "\"192.0.2.1\" is not a range of addresses such as 192.0.2.0/24",
            ),
            (
                CIDR,
                texts(&["192.0.2.0/33"]),
                "\"192.0.2.0/33\" is not a range of addresses such as 192.0.2.0/24",
            ),
            (
                OPEN_PORT,
                texts(&["0"]),
                "\"0\" is not a port such as 80, 53/udp or 8000-8010",
            ),
            (
                OPEN_PORT,
                texts(&["9-8"]),
                "\"9-8\" is not a port such as 80, 53/udp or 8000-8010",
            ),
            (
                OPEN_PORT,
                texts(&["80/sctp"]),
                "\"80/sctp\" is not a port such as 80, 53/udp or 8000-8010",
            ),
            (
                TAG,
                texts(&["team"]),
                "\"team\" is not of the form key=value",
            ),
            (TAG, texts(&["a=1", "a=2"]), "the tag a is given twice"),
            (
                TAG,
                texts(&["docker-machine-id=1"]),
                "the tag docker-machine-id is the driver's own",
            ),
            (SSH_PORT, Value::Integer(65_536), "65536 is no port"),
            (CPU, Value::Integer(-1), "it must be a positive number"),
            (
                TIMEOUT,
                Value::Integer(3_001),
                "it must be at most 3000 seconds",
            ),
            (
                DISK_SIZE,
                Value::Integer(5),
                "there is no data disk without --btcloud-disk-offering",
            ),
            (
                USER_DATA,
                text(&"x".repeat(24_577)),
                "it has 24577 bytes, and CloudStack takes 24576",
            ),
        ];
        for (option, value, reason) in cases {
            let error = Settings::parse(&with(&[(option, value)])).unwrap_err();
            assert_eq!(error.message, format!("--{option}: {reason}"));
            assert_eq!(error.kind, ErrorKind::InvalidOption);
        }
    }
}
