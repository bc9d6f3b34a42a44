//! The driver for BT Cloud Compute.
//!
//! Names, variables, defaults, the sentences about missing options and the members of `config.json` are those of the
//! driver of 2016, so that command lines, environments and machines made with it stay good.

use crate::contract::types::OptionKind::{Boolean, Endpoint, File, Secret, Text, TextList};
use crate::contract::types::{Error, Machine};
use crate::machine::Saved;
use crate::options::{
    self, ADDRESS, API_KEY, AddressMode, Expunge, Row, SECRET_KEY, SERVICE_OFFERING, TEMPLATE,
    Values, ZONE, rows,
};

/// An option's name.
macro_rules! named {
    ($name:literal) => {
        concat!("btcloud-", $name)
    };
}
pub(crate) use named;

/// The driver's name.
pub(crate) const NAME: &str = "btcloud";

/// The cloud's name, for the user.
pub(crate) const CLOUD: &str = "BT Cloud Compute";

/// The option that holds the API's URL.
pub const ENDPOINT: &str = named!("endpoint");
/// The option that once turned the verification of certificates on.
const SSL: &str = named!("ssl");
/// The option that names the networks.
pub const NETWORK: &str = named!("network");
/// The option that names a public address.
pub const PUBLIC_IP: &str = named!("public-ip");
/// The option that holds the user data.
pub(crate) const USER_DATA: &str = named!("userdata");
/// The option that holds tags.
pub const TAG: &str = named!("tag");
/// What is between the key and the value of a tag.
pub(crate) const TAG_SEPARATOR: char = '=';
/// The option that holds the name to show.
pub const DISPLAY_NAME: &str = named!("display-name");
/// The option that says whether a removed machine is expunged.
pub const EXPUNGE: &str = named!("expunge");
/// The option that keeps the data disk of a removed machine.
const KEEP_VOLUMES: &str = named!("keep-volumes");

/// How long the first machine of a network, for which a virtual router is made, may take, in seconds.
pub(crate) const DEFAULT_TIMEOUT: &str = "900";

/// How a machine in an isolated network is reached, unless the user says.
pub(crate) const BEHIND_NAT: AddressMode = AddressMode::PortForward;

/// The options that have to be given, and the sentences that the user reads when one is missing.
pub(crate) const REQUIRED: [(&str, &str); 5] = [
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

/// The options. The first seven are those of 2016.
pub(crate) const OPTIONS: [Row; 35] = [
    Row::new(ENDPOINT, Endpoint, "URL of the BT Cloud Compute API")
        .of_account()
        .kept_as("Endpoint")
        .or("https://cloud.bt.com/client/api"),
    Row::new(
        API_KEY,
        Secret,
        "API key of the BT Cloud Compute account",
    )
    .of_account()
    .kept_as("APIKey"),
    Row::new(
        SECRET_KEY,
        Secret,
        "Secret key of the BT Cloud Compute account",
    )
    .of_account()
    .kept_as("SecretKey"),
    Row::new(
        SSL,
        Boolean,
        "Accepted for compatibility: TLS certificates are verified anyway",
    )
    .of_account(),
    Row::new(
        ZONE,
        Text,
        "Name or id of the zone in which the machine is made",
    )
    .kept_as("Zone"),
    Row::new(
        TEMPLATE,
        Text,
        "Name or id of the template from which the machine is made",
    )
    .kept_as("Template"),
    Row::new(
        SERVICE_OFFERING,
        Text,
        "Name or id of the service offering, which sets the machine's size",
    )
    .kept_as("ServiceOffering"),
    rows::TLS_SKIP_VERIFY,
    rows::CA_CERT,
    Row::new(
        NETWORK,
        TextList,
        "Name or id of a network that the machine is in, the first one being that by which it is reached; can be given \
         more than once. Without it the zone's only network is taken, or one is made if there is none",
    )
    .kept_as("Networks"),
    rows::NETWORK_OFFERING,
    rows::PROJECT,
    Row::new(
        ADDRESS,
        Text,
        "How the machine is reached: auto (at its own address in a shared network, else by forwarded ports), \
         port-forward, static-nat (a public address of its own) or private",
    )
    .kept_as("AddressMode")
    .or("auto"),
    rows::PUBLIC_IP.kept_as("PublicIp"),
    rows::CIDR,
    rows::OPEN_PORT,
    rows::SSH_USER.kept_as("SSHLoginUser"),
    rows::SSH_PORT,
    rows::SSH_KEY,
    rows::KEY_PAIR,
    rows::DISK_OFFERING,
    rows::DISK_SIZE,
    rows::ROOT_DISK_SIZE,
    rows::CPU,
    rows::CPU_SPEED,
    rows::MEMORY,
    Row::new(
        USER_DATA,
        File,
        "User data for cloud-init, at most 24 KiB: the path of a file, or the contents",
    ),
    rows::AFFINITY_GROUP,
    rows::SECURITY_GROUP,
    Row::new(
        TAG,
        TextList,
        "Tag for the virtual machine, key=value; can be given more than once",
    )
    .kept_as("Tags"),
    rows::DISPLAY_NAME,
    rows::GROUP,
    Row::new(
        EXPUNGE,
        Text,
        "Whether a removed machine is expunged at once: auto (if the cloud lets the account do that), yes or no",
    )
    .kept_as("Expunge")
    .or("auto"),
    Row::new(
        KEEP_VOLUMES,
        Boolean,
        "Keep the data disks when the machine is removed",
    )
    .kept_as("KeepVolumes"),
    rows::TIMEOUT.kept_as("Timeout"),
];

/// The names of what the driver saves. Those of the driver of 2016 are as it had them.
pub(crate) mod members {
    /// The virtual machine's id; by the driver of 2016.
    pub(crate) const VM_ID: &str = "VmId";
    /// The name of the key pair in CloudStack; by the driver of 2016.
    pub(crate) const KEY_PAIR: &str = "SSHKeypair";
    /// The project's id.
    pub(crate) const PROJECT_ID: &str = "ProjectId";
    /// The id of the public address that leads to the machine.
    pub(crate) const ADDRESS_ID: &str = "PublicIpAddressId";
    /// That address.
    pub(crate) const ADDRESS: &str = "PublicIpAddress";
    /// Whether that address was acquired for the machine.
    pub(crate) const ADDRESS_ACQUIRED: &str = "PublicIpAcquired";
}

/// Understands what an older driver has saved. That of 2016 saved nothing that has to be translated.
pub(crate) fn take_over(_: &mut Saved, _: &Machine) {}

/// Whether all that is called is called by GET.
pub(crate) fn uses_get_only(_: &Values) -> bool {
    false
}

/// How the machine is reached, if an option of the flavour's own says it.
pub(crate) fn address_switch(_: &Machine) -> Option<(&'static str, AddressMode)> {
    None
}

/// The option that tells the number of the network by which a machine is reached, if there is one.
pub(crate) fn network_index(_: AddressMode) -> Option<&'static str> {
    None
}

/// The option that gives the user data, and what it gives.
///
/// # Errors
///
/// None.
pub(crate) fn user_data(machine: &Machine) -> Result<Option<(&'static str, Vec<u8>)>, Error> {
    let data = options::contents(&machine.options, USER_DATA);
    Ok(data.map(|text| (USER_DATA, text.as_bytes().to_vec())))
}

/// Whether the machine is expunged when it is removed.
///
/// # Errors
///
/// If the option has another value.
pub(crate) fn expunge(machine: &Machine) -> Result<Expunge, Error> {
    match options::text(&machine.options, EXPUNGE).as_deref() {
        None | Some("auto") => Ok(Expunge::Auto),
        Some("yes" | "true") => Ok(Expunge::Yes),
        Some("no" | "false") => Ok(Expunge::No),
        Some(other) => Err(options::invalid(
            EXPUNGE,
            format!("\"{other}\" is not auto, yes or no"),
        )),
    }
}

/// Whether disks that the user attached later go with the machine too.
pub(crate) const DELETES_ATTACHED_VOLUMES: bool = false;

/// Whether the data disks of a machine go with it: that with which it was made, unless the user keeps it.
pub(crate) fn deletes_volumes(machine: &Machine) -> bool {
    options::has_data_disk(machine) && !options::is_on(&machine.options, KEEP_VOLUMES)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::types::{ErrorKind, Value};
    use crate::testing::machine;

    #[test]
    fn the_options_of_2016_come_first_and_are_as_they_were() {
        let description = crate::machine::describe();
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
    }

    #[test]
    fn what_the_driver_of_2016_saved_has_its_names() {
        assert_eq!((members::VM_ID, members::KEY_PAIR), ("VmId", "SSHKeypair"));
    }

    #[test]
    fn whether_a_removed_machine_is_expunged_is_one_of_three() {
        let with = |value: &str| {
            let mut machine = machine();
            let value = Value::Text(value.to_owned());
            machine.options.push((EXPUNGE.to_owned(), value));
            expunge(&machine)
        };
        assert_eq!(expunge(&machine()).unwrap(), Expunge::Auto);
        for (value, expected) in [
            ("auto", Expunge::Auto),
            ("yes", Expunge::Yes),
            ("false", Expunge::No),
        ] {
            assert_eq!(with(value).unwrap(), expected);
        }
        let error = with("maybe").unwrap_err();
        assert_eq!(
            error.message,
            "--btcloud-expunge: \"maybe\" is not auto, yes or no"
        );
        assert_eq!(error.kind, ErrorKind::InvalidOption);
    }
}
