//! A driver's options: from what a door was given, the environment, what is stored, and the defaults.

// What is read here comes from outside, and must not end the process.
#![cfg_attr(
    not(test),
    warn(
        clippy::arithmetic_side_effects,
        clippy::as_conversions,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::string_slice,
        clippy::unreachable,
        clippy::unwrap_used
    )
)]

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value as Json;

use super::profile::Profile;
use super::{Error, Flag, Flags, Origin, Record, Variables};
use crate::capability::http::{Endpoint, Trust, without_secrets};
use crate::capability::keys::{GivenKey, KeyError};
use crate::capability::secret::{Secret, Secrets};
use crate::contract::{OptionKind, OptionScope, OptionSpec, Value};
use crate::files;

/// The most bytes of a file that is an option's value.
const MAX_FILE: u64 = 1024 * 1024;

/// What was given for options, by what goes first: flags, the environment, a profile.
pub(crate) struct Given<'g> {
    pub(crate) driver: &'g str,
    pub(crate) flags: &'g Flags,
    pub(crate) variables: &'g Variables,
    pub(crate) profile: Option<&'g Profile>,
    /// Whether there is a flag for each option, with the default where the user gave none, as docker-machine's clients send
    /// them. A flag that is no more than the default then gives way to a profile.
    pub(crate) has_all_flags: bool,
}

impl Given<'_> {
    /// The options that must be given and are not.
    pub(super) fn missing<'s>(&self, specs: &'s [OptionSpec]) -> Vec<&'s OptionSpec> {
        let is_missing = |spec: &&OptionSpec| spec.required.is_some() && self.value(spec).is_none();
        specs.iter().filter(is_missing).collect()
    }

    /// The value of an option, and where it comes from; nothing if it has none.
    pub(crate) fn value(&self, spec: &OptionSpec) -> Option<(Flag, Origin)> {
        let off = Flag::Boolean(false);
        let is_nothing = |flag: &Flag| match flag {
            // A switch that is off may just be absent: clients send it all the same.
            Flag::Boolean(on) => !on,
            Flag::Text(text) => text.is_empty(),
            Flag::TextList(list) => list.is_empty(),
            Flag::Integer(_) => false,
        };
        let flag = self.flags.get(&spec.name);
        let variable = || variable(spec, self.variables);
        let profile = self.profile.and_then(|p| p.value(self.driver, spec));
        let profile = profile.filter(|(flag, _)| !is_nothing(flag));
        let is_default = |flag: &Flag| match (flag, &spec.default) {
            (Flag::Text(text), Some(default)) => text == default,
            (Flag::Integer(number), Some(default)) => number.to_string() == *default,
            _ => false,
        };
        let gives_way = |flag: &Flag| {
            self.has_all_flags && profile.is_some() && is_default(flag) && variable().is_none()
        };
        if let Some(flag) = flag.filter(|flag| !is_nothing(flag) && !gives_way(flag)) {
            return Some((flag.clone(), Origin::Flag));
        }
        if let Some(flag) = variable() {
            return Some((flag, Origin::Variable(spec.env.clone())));
        }
        if let Some((flag, path)) = profile {
            return Some((flag.clone(), Origin::Profile(path.to_owned())));
        }
        let default = spec.default.clone().map(Flag::Text);
        let default = default.or_else(|| (flag == Some(&off)).then_some(off));
        default.map(|flag| (flag, Origin::Default))
    }
}

/// An option as it would be for a new machine.
#[derive(Clone, Debug)]
pub struct Configured {
    /// The option.
    pub spec: OptionSpec,
    /// Its value and where that comes from, if it has one. What is or may be secret is not shown.
    pub value: Option<(Flag, Origin)>,
}

/// Puts something else in the place of what is or may be secret.
pub(super) fn conceal(kind: OptionKind, flag: &mut Flag) {
    let Flag::Text(text) = flag else { return };
    *text = match kind {
        OptionKind::Secret => "***".to_owned(),
        // One with a password in it is refused later.
        OptionKind::Endpoint => without_secrets(text),
        OptionKind::File | OptionKind::SshKey | OptionKind::Certificates if text.contains('\n') => {
            "(contents)".to_owned()
        }
        _ => return,
    };
}

/// A driver's options with their values.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Options {
    /// The values of those that are set or have a default; of those that are withheld only whether they are set.
    pub(crate) values: BTreeMap<String, Value>,
    pub(crate) endpoints: BTreeMap<String, Endpoint>,
    pub(crate) secrets: Secrets,
    /// Whether the endpoints' certificates are not verified.
    pub(crate) is_insecure: bool,
    /// The certificates, in PEM, by which those of the endpoints are verified.
    pub(crate) certificates: Option<String>,
    /// By what the endpoints' certificates are verified.
    pub(crate) trust: Trust,
    /// The SSH key that the machine shall have.
    pub(crate) ssh_key: Option<Arc<GivenKey>>,
}

impl Options {
    /// From the flags of a new machine, with the environment, a profile and the defaults in their place where they are absent.
    ///
    /// # Errors
    ///
    /// The first option, in the driver's order, that is missing or malformed.
    pub(crate) fn from_flags(specs: &[OptionSpec], given: &Given<'_>) -> Result<Self, Error> {
        let mut options = Self::default();
        for spec in specs {
            match (given.value(spec), &spec.required) {
                (Some((flag, _)), _) => options.set(spec, flag)?,
                (None, Some(message)) => {
                    let hint = (!spec.env.is_empty())
                        .then(|| format!("the environment variable {} can give it too", spec.env));
                    return Err(Error::Option {
                        message: message.clone(),
                        hint,
                    });
                }
                (None, None) => {}
            }
        }
        Ok(options)
    }

    /// Those that are about the account, from flags, the environment and the defaults.
    ///
    /// # Errors
    ///
    /// As [`Options::from_flags`].
    pub(super) fn of_account(specs: &[OptionSpec], given: &Given<'_>) -> Result<Self, Error> {
        let of_account = |spec: &&OptionSpec| spec.scope == OptionScope::Account;
        let specs: Vec<_> = specs.iter().filter(of_account).cloned().collect();
        Self::from_flags(&specs, given)
    }

    /// Those that are about the account, and of a machine's own those that are given and that `is_wanted` wants.
    ///
    /// # Errors
    ///
    /// As [`Options::from_flags`].
    pub(super) fn for_inventory(
        specs: &[OptionSpec],
        given: &Given<'_>,
        is_wanted: &dyn Fn(&OptionSpec) -> bool,
    ) -> Result<Self, Error> {
        let mut options = Self::of_account(specs, given)?;
        for spec in specs {
            let is_wanted = spec.scope == OptionScope::Machine && is_wanted(spec);
            if let Some((flag, _)) = given.value(spec).filter(|_| is_wanted) {
                options.set(spec, flag)?;
            }
        }
        Ok(options)
    }

    /// From what is stored of a machine. The environment overrides the secrets and how certificates are verified, so that
    /// these can be changed. What is stored of a file is its contents, and never taken for a path.
    ///
    /// # Errors
    ///
    /// If a stored value is malformed.
    pub(super) fn from_stored(
        specs: &[OptionSpec],
        record: &Record,
        stored: &Secrets,
        variables: &Variables,
    ) -> Result<Self, Error> {
        let mut options = Self::default();
        for spec in specs {
            let kept = spec.config_key.as_deref().and_then(|key| record.get(key));
            let wrong_type = || {
                let key = spec.config_key.as_deref().unwrap_or_default();
                Error::Record(format!("the value of {key} is of the wrong type"))
            };
            let flag = match (spec.kind, kept) {
                (OptionKind::Secret, _) => variable(spec, variables)
                    .or_else(|| Some(Flag::Text(stored.get(&spec.name)?.expose().to_owned()))),
                (OptionKind::Insecure, kept) => variable(spec, variables)
                    .or_else(|| Some(Flag::Boolean(!kept.and_then(Json::as_bool)?))),
                (OptionKind::Certificates, kept) => match (variable(spec, variables), kept) {
                    (Some(flag), _) => Some(flag),
                    (None, Some(json)) => {
                        let pem = json.as_str().ok_or_else(wrong_type)?;
                        options.set_certificates(spec, pem.to_owned())?;
                        None
                    }
                    (None, None) => None,
                },
                (OptionKind::File, Some(json)) => {
                    let contents = json.as_str().ok_or_else(wrong_type)?.to_owned();
                    let value = Value::Text(contents);
                    options.values.insert(spec.name.clone(), value);
                    None
                }
                // Their files are not there any more, or others by now.
                (OptionKind::SshKey, _) => None,
                (_, Some(json)) => Some(from_json(json).ok_or_else(wrong_type)?),
                (_, None) => spec.default.clone().map(Flag::Text),
            };
            if let Some(flag) = flag {
                options.set(spec, flag)?;
            }
        }
        Ok(options)
    }

    /// Puts what is kept of the values into the record; no secret.
    pub(super) fn store(&self, specs: &[OptionSpec], record: &mut Record) {
        for spec in specs {
            let Some(key) = &spec.config_key else {
                continue;
            };
            match (spec.kind, &self.certificates) {
                (OptionKind::Insecure, _) => {
                    record.set(key, !self.is_insecure);
                    continue;
                }
                (OptionKind::Certificates, Some(pem)) => {
                    record.set(key, pem.as_str());
                    continue;
                }
                _ => {}
            }
            match self.values.get(&spec.name) {
                Some(Value::Text(text)) => record.set(key, text.as_str()),
                Some(Value::Integer(number)) => record.set(key, *number),
                Some(Value::Boolean(on)) => record.set(key, *on),
                Some(Value::TextList(list)) => record.set(key, list.as_slice()),
                Some(Value::Withheld(_)) | None => drop(record.take(key)),
            }
        }
    }

    fn set(&mut self, spec: &OptionSpec, flag: Flag) -> Result<(), Error> {
        let value = match (spec.kind, flag) {
            (OptionKind::Text, Flag::Text(text)) => Value::Text(text),
            (OptionKind::Integer, Flag::Integer(number)) => Value::Integer(number),
            (OptionKind::Integer, Flag::Text(text)) => match text.trim().parse() {
                Ok(number) => Value::Integer(number),
                Err(_) => return Err(malformed(spec, format!("\"{text}\" is not a whole number"))),
            },
            (OptionKind::Boolean, flag @ (Flag::Boolean(_) | Flag::Text(_))) => {
                Value::Boolean(switch(spec, flag)?)
            }
            (OptionKind::Insecure, flag @ (Flag::Boolean(_) | Flag::Text(_))) => {
                self.is_insecure = switch(spec, flag)?;
                self.set_trust(spec)?;
                Value::Boolean(self.is_insecure)
            }
            (OptionKind::Certificates, Flag::Text(text)) => {
                return self.set_certificates(spec, contents(spec, text)?);
            }
            (OptionKind::SshKey, Flag::Text(text)) => {
                self.ssh_key = Some(Arc::new(ssh_key(spec, &text)?));
                Value::Withheld(true)
            }
            (OptionKind::TextList, Flag::TextList(list)) => Value::TextList(list),
            (OptionKind::TextList, Flag::Text(text)) => {
                let items = text
                    .split(',')
                    .map(str::trim)
                    .filter(|item| !item.is_empty());
                Value::TextList(items.map(str::to_owned).collect())
            }
            (OptionKind::Endpoint, Flag::Text(text)) => {
                let endpoint: Endpoint =
                    text.parse().map_err(|e| malformed(spec, format!("{e}")))?;
                let text = endpoint.to_string();
                self.endpoints.insert(spec.name.clone(), endpoint);
                Value::Text(text)
            }
            (OptionKind::Secret, Flag::Text(text)) => {
                // A key that was copied with a line break would never match, and nobody could see why.
                self.secrets
                    .insert(spec.name.clone(), Secret::from(text.trim()));
                Value::Withheld(true)
            }
            (OptionKind::File, Flag::Text(text)) => Value::Text(contents(spec, text)?),
            (_, flag) => {
                let got = match flag {
                    Flag::Boolean(_) => "true or false",
                    Flag::Integer(_) => "a number",
                    Flag::Text(_) => "a text",
                    Flag::TextList(_) => "a list",
                };
                let wanted = match spec.kind {
                    OptionKind::Integer => "a number",
                    OptionKind::Boolean | OptionKind::Insecure => "true or false",
                    OptionKind::TextList => "a list",
                    OptionKind::Text
                    | OptionKind::Endpoint
                    | OptionKind::Secret
                    | OptionKind::File
                    | OptionKind::SshKey
                    | OptionKind::Certificates => "a text",
                };
                return Err(malformed(spec, format!("it takes {wanted}, not {got}")));
            }
        };
        self.values.insert(spec.name.clone(), value);
        Ok(())
    }

    fn set_certificates(&mut self, spec: &OptionSpec, pem: String) -> Result<(), Error> {
        self.certificates = Some(pem);
        self.set_trust(spec)?;
        self.values.insert(spec.name.clone(), Value::Withheld(true));
        Ok(())
    }

    fn set_trust(&mut self, spec: &OptionSpec) -> Result<(), Error> {
        self.trust = match (self.is_insecure, &self.certificates) {
            (true, _) => Trust::Anybody,
            (false, None) => Trust::System,
            (false, Some(pem)) => Trust::in_pem(pem).ok_or_else(|| {
                malformed(spec, "there are no valid certificates in PEM".to_owned())
            })?,
        };
        Ok(())
    }
}

fn switch(spec: &OptionSpec, flag: Flag) -> Result<bool, Error> {
    match flag {
        Flag::Boolean(on) => Ok(on),
        Flag::Text(text) => parse_bool(&text)
            .ok_or_else(|| malformed(spec, format!("\"{text}\" is not true or false"))),
        Flag::Integer(_) | Flag::TextList(_) => Err(malformed(spec, "it is a switch".to_owned())),
    }
}

fn ssh_key(spec: &OptionSpec, path: &str) -> Result<GivenKey, Error> {
    GivenKey::read(Path::new(path)).map_err(|error| {
        let hint = match error {
            KeyError::NotAKey(_) => Some(format!(
                "`ssh-keygen -p -f {path}` writes a key in the form of today's OpenSSH"
            )),
            KeyError::Encrypted(_) => {
                Some(format!("`ssh-keygen -p -f {path}` removes a passphrase"))
            }
            _ => None,
        };
        Error::Option {
            message: format!("--{}: {error}", spec.name),
            hint,
        }
    })
}

/// Takes the secrets out of a record that an older driver kept.
pub(super) fn take_secrets(specs: &[OptionSpec], record: &mut Record) -> Secrets {
    let secrets = specs
        .iter()
        .filter(|spec| spec.kind == OptionKind::Secret)
        .filter_map(|spec| {
            let value = record.take(spec.config_key.as_deref()?)?;
            Some((
                spec.name.clone(),
                Secret::from(value.as_str().filter(|v| !v.is_empty())?),
            ))
        });
    secrets.collect()
}

/// The value that the environment has for an option.
fn variable(spec: &OptionSpec, variables: &Variables) -> Option<Flag> {
    if spec.env.is_empty() {
        return None;
    }
    variables(&spec.env)
        .filter(|value| !value.is_empty())
        .map(Flag::Text)
}

fn from_json(json: &Json) -> Option<Flag> {
    match json {
        Json::String(text) => Some(Flag::Text(text.clone())),
        Json::Bool(on) => Some(Flag::Boolean(*on)),
        Json::Number(number) => Some(Flag::Integer(number.as_i64()?)),
        Json::Array(items) => {
            let texts = items.iter().map(|item| item.as_str().map(str::to_owned));
            Some(Flag::TextList(texts.collect::<Option<_>>()?))
        }
        _ => None,
    }
}

/// The contents of the file that `text` names, or `text` itself if it names none.
fn contents(spec: &OptionSpec, text: String) -> Result<String, Error> {
    let path = Path::new(&text);
    // A text with a line break is never meant as a path, and one without a file of that name hardly.
    if text.contains('\n') || !path.is_file() {
        return Ok(text);
    }
    let read = files::read_bounded(path, MAX_FILE)
        .and_then(|bytes| String::from_utf8(bytes).map_err(|_| io::ErrorKind::InvalidData.into()));
    read.map_err(|e| malformed(spec, format!("cannot read {text}: {e}")))
}

/// As Go's `strconv.ParseBool`, by which docker-machine reads switches from the environment.
fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

fn malformed(spec: &OptionSpec, reason: String) -> Error {
    Error::Option {
        message: format!("--{}: {reason}", spec.name),
        hint: None,
    }
}

/// The members of the record that are options.
pub(crate) fn config_keys(specs: &[OptionSpec]) -> Vec<&str> {
    specs
        .iter()
        .filter_map(|spec| spec.config_key.as_deref())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Of an authority that signs nothing.
    const CERTIFICATE: &str = "\
-----BEGIN CERTIFICATE-----
MIIBijCCAS+gAwIBAgIUWAvK2zfjnE/uQU9q1IY9chmudLcwCgYIKoZIzj0EAwIw
GTEXMBUGA1UEAwwOdGVzdCBhdXRob3JpdHkwIBcNMjYxMTI0MjE1NjI2WhgPMjEy
NjEwMzEyMTU2MjZaMBkxFzAVBgNVBAMMDnRlc3QgYXV0aG9yaXR5MFkwEwYHKoZI
zj0CAQYIKoZIzj0DAQcDQgAEG6edmAp6V+YVPmmyKD9FE71JvVVxgLvmGM2c6q16
HatQcqku53jeX8SoGOceWehuk7t2hqmI3mb17E3gn+wrZKNTMFEwHQYDVR0OBBYE
FBy7sKJ7tWdXE9O4w7M+0QO41WvNMB8GA1UdIwQYMBaAFBy7sKJ7tWdXE9O4w7M+
0QO41WvNMA8GA1UdEwEB/wQFMAMBAf8wCgYIKoZIzj0EAwIDSQAwRgIhAN9lqY9e
y6/tA4CWuf/AxaLmPxhGXrgFJ2p5t4QHB+vfAiEAgWKMHqglyHgKOdVpWw5uR2x1
6w2zgwTX9z5whzXANWw=
-----END CERTIFICATE-----
";

    fn spec(name: &str, kind: OptionKind) -> OptionSpec {
        OptionSpec {
            env: format!("X_{}", name.to_uppercase()),
            config_key: Some(name.to_owned()),
            ..OptionSpec::of_kind(&format!("x-{name}"), kind)
        }
    }

    fn given<'g>(flags: &'g Flags, variables: &'g Variables) -> Given<'g> {
        Given {
            driver: "x",
            flags,
            variables,
            profile: None,
            has_all_flags: false,
        }
    }

    fn resolve(
        spec: &OptionSpec,
        flag: Option<Flag>,
        variable: Option<&str>,
    ) -> Result<Option<Value>, Error> {
        let flags = flag
            .map(|flag| (spec.name.clone(), flag))
            .into_iter()
            .collect();
        let variable = variable.map(str::to_owned);
        let variables = move |_: &str| variable.clone();
        let options = Options::from_flags(std::slice::from_ref(spec), &given(&flags, &variables))?;
        Ok(options.values.get(&spec.name).cloned())
    }

    fn text(text: &str) -> Flag {
        Flag::Text(text.to_owned())
    }

    #[test]
    fn a_flag_goes_before_the_environment_and_that_before_the_default() {
        let mut zone = spec("Zone", OptionKind::Text);
        zone.default = Some("default".to_owned());
        let value = |t: &str| Some(Value::Text(t.to_owned()));
        assert_eq!(
            resolve(&zone, Some(text("flag")), Some("env")).unwrap(),
            value("flag")
        );
        assert_eq!(
            resolve(&zone, Some(text("")), Some("env")).unwrap(),
            value("env")
        );
        assert_eq!(resolve(&zone, None, Some("")).unwrap(), value("default"));
        zone.default = None;
        assert_eq!(resolve(&zone, None, None).unwrap(), None);
        zone.required = Some("Please.".to_owned());
        assert_eq!(
            resolve(&zone, Some(text("")), None)
                .unwrap_err()
                .to_string(),
            "Please."
        );
    }

    #[test]
    fn every_kind_can_come_from_the_environment() {
        let cases = [
            (OptionKind::Text, "a", Value::Text("a".to_owned())),
            (OptionKind::Integer, "-5", Value::Integer(-5)),
            (OptionKind::Boolean, "1", Value::Boolean(true)),
            (
                OptionKind::TextList,
                "a, b,,",
                Value::TextList(vec!["a".to_owned(), "b".to_owned()]),
            ),
            (
                OptionKind::Endpoint,
                "http://h/p",
                Value::Text("http://h/p".to_owned()),
            ),
            (OptionKind::Secret, " s3cret\n", Value::Withheld(true)),
            (OptionKind::Insecure, "1", Value::Boolean(true)),
            (
                OptionKind::File,
                "#cloud-config",
                Value::Text("#cloud-config".to_owned()),
            ),
        ];
        for (kind, variable, expected) in cases {
            let value = resolve(&spec("Option", kind), None, Some(variable)).unwrap();
            assert_eq!(value, Some(expected), "{kind:?}");
        }
        let on = resolve(
            &spec("Option", OptionKind::Boolean),
            Some(Flag::Boolean(false)),
            Some("1"),
        );
        assert_eq!(on.unwrap(), Some(Value::Boolean(true)));
    }

    #[test]
    fn malformed_values_name_the_option() {
        let cases = [
            (OptionKind::Integer, text("many")),
            (OptionKind::Boolean, text("maybe")),
            (OptionKind::Endpoint, text("nowhere")),
            (OptionKind::Insecure, text("perhaps")),
            (
                OptionKind::Certificates,
                text("-----BEGIN CERTIFICATE-----"),
            ),
            (OptionKind::SshKey, text("/does/not/exist")),
            (OptionKind::Text, Flag::Integer(1)),
            (OptionKind::Secret, Flag::TextList(vec!["x".to_owned()])),
        ];
        for (kind, flag) in cases {
            let error = resolve(&spec("Option", kind), Some(flag), None).unwrap_err();
            assert!(error.to_string().starts_with("--x-Option: "), "{error}");
        }
        let text = spec("Option", OptionKind::Text);
        let error = resolve(&text, Some(Flag::Integer(1)), None).unwrap_err();
        assert_eq!(
            error.to_string(),
            "--x-Option: it takes a text, not a number"
        );
    }

    #[test]
    fn a_file_is_read() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "contents\n").unwrap();
        let path = text(file.path().to_str().unwrap());
        let value = resolve(&spec("Data", OptionKind::File), Some(path), None).unwrap();
        assert_eq!(value, Some(Value::Text("contents\n".to_owned())));
    }

    #[test]
    fn values_survive_the_store_but_secrets_stay_out_of_it() {
        let specs = [
            spec("Text", OptionKind::Text),
            spec("Number", OptionKind::Integer),
            spec("Switch", OptionKind::Boolean),
            spec("List", OptionKind::TextList),
            spec("Url", OptionKind::Endpoint),
            spec("Key", OptionKind::Secret),
            spec("Verify", OptionKind::Insecure),
            spec("Roots", OptionKind::Certificates),
        ];
        let flags = [
            ("x-Text", text("a")),
            ("x-Number", Flag::Integer(7)),
            ("x-Switch", Flag::Boolean(true)),
            ("x-List", Flag::TextList(vec!["a,b".to_owned()])),
            ("x-Url", text("https://h/")),
            ("x-Key", text("hunter2hunter2")),
            ("x-Verify", Flag::Boolean(false)),
            ("x-Roots", text(CERTIFICATE)),
        ];
        let flags = flags.map(|(name, flag)| (name.to_owned(), flag)).into();
        let options = Options::from_flags(&specs, &given(&flags, &|_| None)).unwrap();
        let mut record = Record::default();
        record.set("Key", "left by an older driver");
        options.store(&specs, &mut record);
        assert!(!record.to_value().to_string().contains("Key"), "{record:?}");
        let stored = Options::from_stored(&specs, &record, &options.secrets, &|_| None).unwrap();
        assert_eq!(stored, options);
    }

    #[test]
    fn an_old_machine_is_as_unverified_as_it_was_unless_the_environment_says_otherwise() {
        let specs = [
            spec("Verify", OptionKind::Insecure),
            spec("Roots", OptionKind::Certificates),
        ];
        let trust = |kept: &[(&str, Json)], variables: &[(&str, &str)]| {
            let mut record = Record::default();
            for (key, value) in kept {
                record.set(key, value.clone());
            }
            let variables: BTreeMap<_, _> = variables
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect();
            let variables = move |name: &str| variables.get(name).cloned();
            Options::from_stored(&specs, &record, &Secrets::default(), &variables)
                .unwrap()
                .trust
        };
        let unverified = [("Verify", json!(false))];
        let roots = [("Verify", json!(false)), ("Roots", json!(CERTIFICATE))];
        let (on, off) = (("X_VERIFY", "1"), ("X_VERIFY", "0"));
        assert_eq!(trust(&unverified, &[]), Trust::Anybody);
        assert_eq!(trust(&unverified, &[off]), Trust::System);
        assert_eq!(trust(&[], &[]), Trust::System);
        assert_eq!(trust(&[("Verify", json!(true))], &[on]), Trust::Anybody);
        assert_eq!(trust(&roots, &[]), Trust::Anybody);
        assert!(matches!(trust(&roots, &[off]), Trust::Only(_)));
        // One that an older driver made, which knew no such option, is verified by what the environment names.
        let named = ("X_ROOTS", CERTIFICATE);
        assert!(matches!(trust(&[], &[named]), Trust::Only(_)));
        assert!(matches!(trust(&unverified, &[off, named]), Trust::Only(_)));
    }

    #[test]
    fn the_stored_contents_of_a_file_are_no_path() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), CERTIFICATE).unwrap();
        let path = file.path().to_str().unwrap();
        let specs = [
            spec("Data", OptionKind::File),
            spec("Roots", OptionKind::Certificates),
        ];
        let from_stored = |key: &str| {
            let mut record = Record::default();
            record.set(key, path);
            Options::from_stored(&specs, &record, &Secrets::default(), &|_| None)
        };
        let data = from_stored("Data").unwrap().values.remove("x-Data");
        assert_eq!(data, Some(Value::Text(path.to_owned())));
        let error = from_stored("Roots").unwrap_err().to_string();
        assert!(error.contains("no valid certificates"), "{error}");
    }

    #[test]
    fn only_what_is_about_the_account_is_asked_for_where_there_is_no_machine() {
        let mut key = spec("Key", OptionKind::Text);
        key.scope = OptionScope::Account;
        let mut zone = spec("Zone", OptionKind::Text);
        zone.required = Some("Please.".to_owned());
        let flags = [("x-Key".to_owned(), text("k"))].into();
        let options = Options::of_account(&[key, zone], &given(&flags, &|_| None)).unwrap();
        assert_eq!(options.values.len(), 1);
    }

    #[test]
    fn a_stored_secret_is_overridden_by_the_environment_and_found_where_older_drivers_kept_it() {
        let specs = [spec("Key", OptionKind::Secret)];
        let mut record = Record::default();
        record.set("Key", "older");
        let stored = take_secrets(&specs, &mut record);
        assert_eq!(record, Record::default());
        let secret = |variable: Option<&'static str>| {
            let variables = move |_: &str| variable.map(str::to_owned);
            let options = Options::from_stored(&specs, &record, &stored, &variables).unwrap();
            options.secrets.get("x-Key").unwrap().expose().to_owned()
        };
        assert_eq!(secret(None), "older");
        assert_eq!(secret(Some("rotated")), "rotated");
    }

    #[test]
    fn what_may_be_secret_is_not_shown() {
        for (kind, text, shown) in [
            (OptionKind::Secret, "hunter2", "***"),
            (
                OptionKind::Endpoint,
                "https://me:hunter2@host/",
                "https://…@host/",
            ),
            (
                OptionKind::Endpoint,
                "https://host/?apikey=hunter2",
                "https://host/?…",
            ),
            (OptionKind::Endpoint, "https://host/", "https://host/"),
            (
                OptionKind::File,
                "#cloud-config\npassword: hunter2",
                "(contents)",
            ),
            (OptionKind::File, "/home/me/user-data", "/home/me/user-data"),
            (OptionKind::Text, "uk-london-1", "uk-london-1"),
        ] {
            let mut flag = Flag::Text(text.to_owned());
            conceal(kind, &mut flag);
            assert_eq!(flag, Flag::Text(shown.to_owned()));
        }
    }
}
