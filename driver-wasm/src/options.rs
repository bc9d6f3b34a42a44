//! The driver's options and its description.
//!
//! Names, variables, defaults and the sentences about missing options are those of the driver of 2016, so that command
//! lines, environments and `config.json` files made for it stay good.

use crate::cloudstack::Command;
use crate::contract::types::{
    Description, Error, ErrorKind, Machine, OptionKind, OptionSpec, Value,
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
/// The option that names the zone.
pub const ZONE: &str = "btcloud-zone";
/// The option that names the template.
pub const TEMPLATE: &str = "btcloud-template";
/// The option that names the service offering.
pub const SERVICE_OFFERING: &str = "btcloud-service-offering";

const DEFAULT_ENDPOINT: &str = "https://cloud.bt.com/client/api";

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
    let spec = |name: &str, kind, config_key: Option<&str>, help: &str| OptionSpec {
        name: name.to_owned(),
        env: name.to_ascii_uppercase().replace('-', "_"),
        help: help.to_owned(),
        kind,
        required: required(name).map(str::to_owned),
        default: (name == ENDPOINT).then(|| DEFAULT_ENDPOINT.to_owned()),
        config_key: config_key.map(str::to_owned),
    };
    use OptionKind::{Boolean, Endpoint, Secret, Text};
    vec![
        spec(
            ENDPOINT,
            Endpoint,
            Some("Endpoint"),
            "URL of the BT Cloud Compute API",
        ),
        spec(
            API_KEY,
            Secret,
            Some("APIKey"),
            "API key of the BT Cloud Compute account",
        ),
        spec(
            SECRET_KEY,
            Secret,
            Some("SecretKey"),
            "Secret key of the BT Cloud Compute account",
        ),
        spec(
            SSL,
            Boolean,
            None,
            "Accepted for compatibility: TLS certificates are always verified",
        ),
        spec(
            ZONE,
            Text,
            Some("Zone"),
            "Name or id of the zone in which the machine is made",
        ),
        spec(
            TEMPLATE,
            Text,
            Some("Template"),
            "Name or id of the Ubuntu template from which the machine is made",
        ),
        spec(
            SERVICE_OFFERING,
            Text,
            Some("ServiceOffering"),
            "Name or id of the service offering, which sets the machine's size",
        ),
    ]
}

fn required(option: &str) -> Option<&'static str> {
    REQUIRED
        .iter()
        .find(|(name, _)| *name == option)
        .map(|(_, sentence)| *sentence)
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
}

impl Settings {
    /// Reads a machine's options.
    ///
    /// # Errors
    ///
    /// If one is missing.
    pub fn parse(machine: &Machine) -> Result<Self, Error> {
        for option in [API_KEY, SECRET_KEY] {
            if !matches!(value(machine, option), Some(Value::Secret(true))) {
                return Err(missing(option));
            }
        }
        Ok(Self {
            zone: text(machine, ZONE)?,
            template: text(machine, TEMPLATE)?,
            service_offering: text(machine, SERVICE_OFFERING)?,
        })
    }
}

fn value<'m>(machine: &'m Machine, option: &str) -> Option<&'m Value> {
    let (_, value) = machine.options.iter().find(|(name, _)| name == option)?;
    Some(value)
}

fn text(machine: &Machine, option: &str) -> Result<String, Error> {
    match value(machine, option) {
        Some(Value::Text(text)) if !text.trim().is_empty() => Ok(text.trim().to_owned()),
        _ => Err(missing(option)),
    }
}

fn missing(option: &str) -> Error {
    let sentence =
        required(option).map_or_else(|| format!("Please specify --{option}."), str::to_owned);
    failure::error(ErrorKind::InvalidOption, sentence)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::machine;

    #[test]
    fn the_options_are_those_of_2016() {
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
            rows,
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
                Some(Value::Secret(false)),
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

    #[test]
    fn the_options_are_read() {
        let settings = Settings::parse(&machine()).unwrap();
        assert_eq!(settings.zone, "London");
        assert_eq!(settings.template, "Ubuntu 16.04");
        assert_eq!(settings.service_offering, "Small");
    }
}
