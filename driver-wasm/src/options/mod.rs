//! The driver's options: what the user can set, and how that is read.

mod ports;
mod spec;
mod values;

use std::net::IpAddr;

// Without tables, of which each alphabet of the crate `base64` has some KB.
use base64ct::{Base64, Encoding as _};

use crate::contract::types::{Error, ErrorKind, Machine, Value};
use crate::{failure, flavour};

pub use crate::flavour::{DISPLAY_NAME, ENDPOINT, EXPUNGE, NETWORK, PUBLIC_IP, TAG};
pub use ports::Ports;
pub use spec::*;
pub use values::Values;
pub(crate) use values::{contents, is_on, text};
use values::{distinct, is_withheld, list, name_or_id, value};

/// The keys of the tags by which what the driver makes is recognised: whose it is, by the machine's id and its name.
pub const MARKS: [&str; 2] = ["docker-machine-id", "docker-machine-name"];

/// How a machine is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressMode {
    /// As its network has it: at its own address in a shared network, else in the flavour's way.
    Auto,
    /// By forwarded ports of a public address.
    PortForward,
    /// At a public address that leads to it alone.
    StaticNat,
    /// At its own address, whatever the network.
    Private,
}

impl AddressMode {
    /// How it is reached where its own address is not.
    pub fn behind_nat(self) -> Self {
        match self {
            Self::Auto => flavour::BEHIND_NAT,
            mode => mode,
        }
    }
}

/// By which of its networks a machine is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetworkIndex {
    /// The option that says it.
    pub option: &'static str,
    /// Its number, from 0.
    pub index: usize,
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
    /// The one by which the machine is reached, if it is not the first.
    pub network_index: Option<NetworkIndex>,
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
        for (option, _) in flavour::REQUIRED {
            if !is_withheld(&machine.options, option)
                && name_or_id(&machine.options, option).is_none()
            {
                return Err(missing(option));
            }
        }
        let must = |option| name_or_id(&machine.options, option).ok_or_else(|| missing(option));
        let address = address_mode(machine)?;
        let settings = Self {
            zone: must(ZONE)?,
            template: must(TEMPLATE)?,
            service_offering: must(SERVICE_OFFERING)?,
            networks: networks(machine),
            network_index: network_index(machine, address)?,
            network_offering: text(&machine.options, NETWORK_OFFERING),
            address,
            public_ip: text(&machine.options, PUBLIC_IP),
            cidrs: cidrs(machine)?,
            open_ports: open_ports(machine)?,
            key_pairs: list(&machine.options, KEY_PAIR),
            disk_offering: name_or_id(&machine.options, DISK_OFFERING),
            disk_size: size(&machine.options, DISK_SIZE)?,
            root_disk_size: size(&machine.options, ROOT_DISK_SIZE)?,
            cpu: size(&machine.options, CPU)?,
            cpu_speed: size(&machine.options, CPU_SPEED)?,
            memory: size(&machine.options, MEMORY)?,
            user_data: user_data(machine)?,
            affinity_groups: list(&machine.options, AFFINITY_GROUP),
            security_groups: list(&machine.options, SECURITY_GROUP),
            tags: tags(machine)?,
            display_name: text(&machine.options, DISPLAY_NAME),
            group: text(&machine.options, GROUP),
            timeout: timeout(machine)?,
        };
        ssh_port(machine)?;
        flavour::expunge(machine)?;
        if settings.disk_size.is_some() && settings.disk_offering.is_none() {
            return Err(invalid(
                DISK_SIZE,
                format!("there is no data disk without --{DISK_OFFERING}"),
            ));
        }
        if settings.public_ip.is_some() && settings.address == AddressMode::Private {
            let reason = match flavour::address_switch(machine) {
                Some((option, _)) => format!("with --{option} there is no public address"),
                None => format!("with --{ADDRESS} private there is no public address"),
            };
            return Err(invalid(PUBLIC_IP, reason));
        }
        Ok(settings)
    }
}

/// Checks that there are keys to call the API with.
///
/// # Errors
///
/// If there are none.
pub fn check_keys(options: &Values) -> Result<(), Error> {
    for option in [API_KEY, SECRET_KEY] {
        if !is_withheld(options, option) {
            return Err(missing(option));
        }
    }
    Ok(())
}

/// The name or id of the project.
pub fn project(options: &Values) -> Option<String> {
    name_or_id(options, PROJECT)
}

/// The name or id of the zone.
pub fn zone(options: &Values) -> Option<String> {
    name_or_id(options, ZONE)
}

/// The user for SSH.
pub fn ssh_user(machine: &Machine) -> String {
    text(&machine.options, SSH_USER).unwrap_or_else(|| "root".to_owned())
}

/// The port on which the machine's SSH server listens.
///
/// # Errors
///
/// If it is none.
pub fn ssh_port(machine: &Machine) -> Result<u16, Error> {
    match value(&machine.options, SSH_PORT) {
        Some(Value::Integer(number)) => u16::try_from(*number)
            .ok()
            .filter(|port| *port > 0)
            .ok_or_else(|| invalid(SSH_PORT, format!("{number} is no port"))),
        _ => Ok(22),
    }
}

/// Whether the user gave the machine's SSH key.
pub fn has_ssh_key(machine: &Machine) -> bool {
    is_withheld(&machine.options, SSH_KEY)
}

/// Whether the machine was given a data disk.
pub fn has_data_disk(machine: &Machine) -> bool {
    name_or_id(&machine.options, DISK_OFFERING).is_some()
}

fn address_mode(machine: &Machine) -> Result<AddressMode, Error> {
    let mode = match text(&machine.options, ADDRESS).as_deref() {
        None | Some("auto") => AddressMode::Auto,
        Some("port-forward") => AddressMode::PortForward,
        Some("static-nat") => AddressMode::StaticNat,
        Some("private") => AddressMode::Private,
        Some(other) => {
            let reason = format!("\"{other}\" is not auto, port-forward, static-nat or private");
            return Err(invalid(ADDRESS, reason));
        }
    };
    match (mode, flavour::address_switch(machine)) {
        (mode, None) => Ok(mode),
        (AddressMode::Auto, Some((_, switched))) => Ok(switched),
        (mode, Some((_, switched))) if mode == switched => Ok(mode),
        (_, Some((option, _))) => Err(invalid(ADDRESS, format!("it contradicts --{option}"))),
    }
}

/// The networks; one text may name several.
fn networks(machine: &Machine) -> Vec<String> {
    let of_option = |option: &str| match text(&machine.options, option) {
        Some(names) => distinct(names.split(',')),
        None => list(&machine.options, option),
    };
    let ids = of_option(&id_option(NETWORK));
    match ids.is_empty() {
        true => of_option(NETWORK),
        false => ids,
    }
}

fn network_index(machine: &Machine, mode: AddressMode) -> Result<Option<NetworkIndex>, Error> {
    let Some(option) = flavour::network_index(mode) else {
        return Ok(None);
    };
    match value(&machine.options, option) {
        None | Some(Value::Integer(0)) => Ok(None),
        Some(Value::Integer(number)) if *number > 0 => {
            // One that is too large for the machine's memory is too large for its networks.
            let index = usize::try_from(*number).unwrap_or(usize::MAX);
            Ok(Some(NetworkIndex { option, index }))
        }
        _ => Err(invalid(option, "it must be a number from 0".to_owned())),
    }
}

fn cidrs(machine: &Machine) -> Result<Vec<String>, Error> {
    let is_cidr = |text: &str| {
        let (address, prefix) = text.split_once('/')?;
        let address: IpAddr = address.parse().ok()?;
        let prefix: u8 = prefix.parse().ok()?;
        (prefix <= if address.is_ipv4() { 32 } else { 128 }).then_some(())
    };
    let cidrs = list(&machine.options, CIDR);
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
    list(&machine.options, OPEN_PORT)
        .iter()
        .map(parse)
        .collect()
}

fn size(options: &Values, option: &str) -> Result<Option<i64>, Error> {
    match value(options, option) {
        // docker-machine sends 0 for a number that is not given.
        None | Some(Value::Integer(0)) => Ok(None),
        Some(Value::Integer(number)) if *number > 0 => Ok(Some(*number)),
        _ => Err(invalid(option, "it must be a positive number".to_owned())),
    }
}

fn timeout(machine: &Machine) -> Result<u64, Error> {
    let seconds = size(&machine.options, TIMEOUT)?
        .or_else(|| flavour::DEFAULT_TIMEOUT.parse().ok())
        .and_then(|seconds| u32::try_from(seconds).ok())
        // The host stops an operation after an hour.
        .filter(|seconds| *seconds <= 3_000)
        .ok_or_else(|| invalid(TIMEOUT, "it must be at most 3000 seconds".to_owned()))?;
    Ok(u64::from(seconds) * 1_000)
}

fn user_data(machine: &Machine) -> Result<Option<String>, Error> {
    /// CloudStack takes 32 KiB in base64 by POST, the default of `vm.userdata.max.length`, and 2 KiB by GET.
    const MAX_BY_POST: usize = 32 * 1024 / 4 * 3;
    const MAX_BY_GET: usize = 2 * 1024;
    // CloudStack refuses empty user data.
    let Some((option, data)) = flavour::user_data(machine)?.filter(|(_, data)| !data.is_empty())
    else {
        return Ok(None);
    };
    let (max, how) = match flavour::uses_get_only(&machine.options) {
        true => (MAX_BY_GET, " by GET"),
        false => (MAX_BY_POST, ""),
    };
    if data.len() > max {
        let reason = format!(
            "it has {} bytes, and CloudStack takes {max}{how}",
            data.len()
        );
        return Err(invalid(option, reason));
    }
    Ok(Some(Base64::encode_string(&data)))
}

fn tags(machine: &Machine) -> Result<Vec<(String, String)>, Error> {
    let mut tags: Vec<(String, String)> = Vec::new();
    for text in list(&machine.options, TAG) {
        let (key, value) = text
            .split_once(flavour::TAG_SEPARATOR)
            .unwrap_or((&text, ""));
        let (key, value) = (key.trim(), value.trim());
        let reason = if key.is_empty() || value.is_empty() {
            format!(
                "\"{text}\" is not of the form key{}value",
                flavour::TAG_SEPARATOR
            )
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

fn missing(option: &str) -> Error {
    let sentence =
        sentence(option).map_or_else(|| format!("Please specify --{option}."), str::to_owned);
    failure::error(ErrorKind::InvalidOption, sentence)
}

pub(crate) fn invalid(option: &str, reason: String) -> Error {
    failure::error(ErrorKind::InvalidOption, format!("--{option}: {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::types::OptionSpec;
    use crate::flavour::{TAG_SEPARATOR, USER_DATA};
    use crate::testing::machine;

    #[test]
    fn every_option_is_described() {
        let description = crate::machine::describe();
        let prefix = format!("{}-", flavour::NAME);
        for option in &description.options {
            let OptionSpec {
                name, env, help, ..
            } = option;
            assert!(name.starts_with(&prefix), "{name}");
            assert_eq!(*env, name.to_uppercase().replace('-', "_"));
            assert!(!help.is_empty() && !help.ends_with('.'), "{name}");
        }
        for (option, _) in flavour::REQUIRED {
            assert!(description.options.iter().any(|o| o.name == option));
        }
    }

    #[test]
    fn a_missing_option_is_told_in_its_sentence() {
        for (option, sentence) in flavour::REQUIRED {
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

    fn tag(key: &str, value: &str) -> String {
        format!("{key}{TAG_SEPARATOR}{value}")
    }

    #[test]
    fn the_options_are_read() {
        let settings = Settings::parse(&machine()).unwrap();
        assert_eq!(settings.zone, "London");
        assert_eq!(settings.template, "Ubuntu 16.04");
        assert_eq!(settings.service_offering, "Small");
        assert_eq!(settings.address, AddressMode::Auto);
        assert_eq!(
            format!("{}000", flavour::DEFAULT_TIMEOUT),
            settings.timeout.to_string()
        );
        assert!(settings.cidrs.is_empty() && settings.user_data.is_none());

        let settings = Settings::parse(&with(&[
            (NETWORK, texts(&["a", " b", "a", ""])),
            (ADDRESS, Value::Text("static-nat".to_owned())),
            (CIDR, texts(&["192.0.2.0/24", "2001:db8::/32"])),
            (OPEN_PORT, texts(&["80", "53/UDP", "8000-8010/tcp"])),
            (
                TAG,
                Value::TextList(vec![tag("team", "ci"), tag("url", &tag("a", "b"))]),
            ),
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
        assert_eq!(settings.tags[1], ("url".to_owned(), tag("a", "b")));
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
                &format!("\"team\" is not of the form {}", tag("key", "value")),
            ),
            (
                TAG,
                texts(&[&tag("a", "1"), &tag("a", "2")]),
                "the tag a is given twice",
            ),
            (
                TAG,
                texts(&[&tag("docker-machine-id", "1")]),
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
                &format!("there is no data disk without --{DISK_OFFERING}"),
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
