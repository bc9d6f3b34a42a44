//! Holds a driver's description to the contract, so that the rest of the host can rely on it.

use std::collections::BTreeSet;

use crate::capability::http::{Endpoint, is_command};
use crate::capability::text::is_treacherous;
use crate::contract::{
    Description, HOST_MEMBERS, OptionKind, OptionSpec, is_driver_name, is_same_member,
};

/// The most options and the most API commands of a driver.
const MAX_ITEMS: usize = 200;

/// The most bytes of each text.
const MAX_TEXT: usize = 2_000;

/// Checks a description.
///
/// # Errors
///
/// What is wrong, as a clause for the user.
pub(super) fn validate(description: &Description) -> Result<(), String> {
    let Description {
        name,
        version,
        options,
        commands,
    } = description;
    if !is_driver_name(name) {
        return Err("its name is not of lower-case letters, digits and dashes".to_owned());
    }
    if semver::Version::parse(version).is_err() {
        return Err("its version is not like 1.2.3".to_owned());
    }
    if options.len() > MAX_ITEMS || commands.len() > MAX_ITEMS {
        return Err(format!("it has more than {MAX_ITEMS} options or commands"));
    }
    if !commands.iter().all(|command| is_command(command)) {
        return Err(
            "it lists an API command that is neither a name nor a method with a path".to_owned(),
        );
    }
    for kind in [
        OptionKind::SshKey,
        OptionKind::Insecure,
        OptionKind::Certificates,
    ] {
        if options.iter().filter(|option| option.kind == kind).count() > 1 {
            return Err(format!("it has two options of the kind {kind:?}"));
        }
    }
    let mut names = BTreeSet::new();
    let mut keys = BTreeSet::new();
    for option in options {
        validate_option(name, option)?;
        if !names.insert(&option.name) {
            return Err(format!("it has the option {} twice", option.name));
        }
        if let Some(key) = &option.config_key
            && !keys.insert(key.to_ascii_lowercase())
        {
            return Err(format!("two of its options are kept as {key}"));
        }
    }
    Ok(())
}

fn validate_option(driver: &str, option: &OptionSpec) -> Result<(), String> {
    let OptionSpec {
        name,
        env,
        help,
        kind,
        scope: _,
        required,
        default,
        config_key,
    } = option;
    let is_option_name = is_word(name, |b| {
        b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'
    }) && name
        .strip_prefix(driver)
        .is_some_and(|rest| rest.len() > 1 && rest.starts_with('-'));
    if !is_option_name {
        return Err(format!(
            "it has an option whose name is not {driver}- and lower-case letters, digits and dashes"
        ));
    }
    let is_variable = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
    // Only under its own prefix: a driver must not have the user's other variables handed to it as an option's value.
    let prefix = driver.to_ascii_uppercase().replace('-', "_") + "_";
    let is_own_variable = is_word(env, is_variable) && env.starts_with(&prefix);
    if !(env.is_empty() || is_own_variable) {
        return Err(format!(
            "the variable of {name} is not {prefix} and upper-case letters"
        ));
    }
    let texts = [Some(help), required.as_ref(), default.as_ref()];
    if texts
        .into_iter()
        .flatten()
        .any(|t| t.len() > MAX_TEXT || t.chars().any(is_treacherous))
    {
        return Err(format!(
            "a text of {name} is too long or has control characters"
        ));
    }
    if let Some(key) = config_key
        && !is_word(key, |b| b.is_ascii_alphanumeric())
    {
        return Err(format!(
            "{name} is kept under a name that is not of letters and digits"
        ));
    }
    // An option in the place of such a member would tell the host where to write, or others whom to call. The SSH user may be
    // an option, as in docker-machine's own drivers: it is held to the contract where it is told.
    if let Some(key) = config_key
        && key != "SSHUser"
        && HOST_MEMBERS.iter().any(|own| is_same_member(own, key))
    {
        return Err(format!("it keeps {name} as {key}, which is the host's own"));
    }
    match (kind, default) {
        (_, None) => Ok(()),
        (OptionKind::Text, Some(_)) => Ok(()),
        (OptionKind::Integer, Some(value)) if value.parse::<i64>().is_ok() => Ok(()),
        (OptionKind::Endpoint, Some(value)) => match value.parse::<Endpoint>() {
            // Only the user may choose to call something without proof of who answers, such as a service of this computer
            // that trusts everybody who reaches it.
            Ok(endpoint) if !endpoint.is_encrypted() => {
                Err(format!("the default of {name} does not begin with https"))
            }
            Ok(_) => Ok(()),
            Err(e) => Err(format!("the default of {name}: {e}")),
        },
        _ => Err(format!("the default of {name} is not of its kind")),
    }
}

fn is_word(text: &str, allowed: impl Fn(u8) -> bool) -> bool {
    !text.is_empty() && text.len() <= 64 && text.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::OptionScope;

    fn option() -> OptionSpec {
        OptionSpec {
            name: "cloud-zone".to_owned(),
            env: "CLOUD_ZONE".to_owned(),
            help: "The zone".to_owned(),
            kind: OptionKind::Text,
            scope: OptionScope::Machine,
            required: None,
            default: None,
            config_key: Some("Zone".to_owned()),
        }
    }

    fn description(options: Vec<OptionSpec>) -> Description {
        Description {
            name: "cloud".to_owned(),
            version: "1.0.0".to_owned(),
            options,
            commands: vec!["listZones".to_owned()],
        }
    }

    #[test]
    fn a_good_description_passes() {
        validate(&description(vec![option()])).unwrap();
    }

    #[test]
    fn what_the_host_relies_on_is_checked() {
        type Spoil = fn(&mut Description);
        let cases: [(Spoil, &str); 16] = [
            (|d| d.name = "../evil".to_owned(), "name"),
            (|d| d.version = "new".to_owned(), "version"),
            (|d| d.commands.push("a&b".to_owned()), "command"),
            (|d| d.options.push(option()), "twice"),
            (
                |d| {
                    let key = |name: &str| OptionSpec {
                        name: format!("cloud-{name}"),
                        kind: OptionKind::SshKey,
                        config_key: None,
                        ..option()
                    };
                    d.options.extend([key("a"), key("b")]);
                },
                "two options of the kind",
            ),
            (
                |d| d.options[0].name = "swarm".to_owned(),
                "name is not cloud-",
            ),
            (
                |d| d.options[0].name = "cloud-".to_owned(),
                "name is not cloud-",
            ),
            (
                |d| d.options[0].env = "AWS_SECRET_ACCESS_KEY".to_owned(),
                "variable",
            ),
            (|d| d.options[0].help = "\u{1b}[2J".to_owned(), "control"),
            (|d| d.options[0].help = "\u{202e}x".to_owned(), "control"),
            (
                |d| {
                    let default = Some("http://localhost:2375/".to_owned());
                    (d.options[0].kind, d.options[0].default) = (OptionKind::Endpoint, default);
                },
                "https",
            ),
            (
                |d| d.options[0].config_key = Some("a b".to_owned()),
                "kept under",
            ),
            (
                |d| d.options[0].config_key = Some("storePath".to_owned()),
                "the host's own",
            ),
            (
                |d| {
                    let key = Some("ZONE".to_owned());
                    d.options.push(OptionSpec {
                        name: "cloud-z".to_owned(),
                        config_key: key,
                        ..option()
                    });
                },
                "kept as",
            ),
            (
                |d| {
                    (d.options[0].kind, d.options[0].default) =
                        (OptionKind::Secret, Some("x".to_owned()))
                },
                "default",
            ),
            (
                |d| {
                    (d.options[0].kind, d.options[0].default) =
                        (OptionKind::Endpoint, Some("x".to_owned()))
                },
                "default",
            ),
        ];
        for (spoil, expected) in cases {
            let mut description = description(vec![option()]);
            spoil(&mut description);
            let error = validate(&description).unwrap_err();
            assert!(error.contains(expected), "{error} / {expected}");
        }
    }
}
