//! The parameters of a call, checked against the command's declaration.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use uuid::Uuid;

use super::catalog::{Declaration, Kind};
use crate::error::ApiError;

/// What every request carries besides the command's own parameters.
const COMMON: [&str; 6] = [
    "command",
    "response",
    "apikey",
    "signature",
    "signatureversion",
    "expires",
];

/// CloudStack's limit for the length of a string, unless the parameter has one of its own.
const MAX_STRING: usize = 255;

/// The parameters of a call. Names are in lower case: the server ignores theirs.
#[derive(Debug)]
pub(crate) struct Params {
    command: &'static str,
    values: BTreeMap<String, String>,
    maps: BTreeMap<String, BTreeMap<u32, BTreeMap<String, String>>>,
}

impl Params {
    /// Checks parameters against the declaration.
    ///
    /// CloudStack ignores a parameter that it does not know. Here that is an error, so that a client's misspelt
    /// parameter is found; so is one that CloudStack knows and the simulator does not act on.
    pub(crate) fn check(
        command: &'static str,
        declaration: &Declaration,
        supported: &str,
        pairs: &[(String, String)],
    ) -> Result<Self, ApiError> {
        let mut params = Self {
            command,
            values: BTreeMap::new(),
            maps: BTreeMap::new(),
        };
        for (name, value) in pairs {
            let name = name.to_lowercase();
            if COMMON.contains(&name.as_str()) {
                continue;
            }
            let (base, field) = match name.split_once('[') {
                Some((base, rest)) => (base, Some(rest)),
                None => (name.as_str(), None),
            };
            let Some(declared) = declaration.params.get(base) else {
                return Err(ApiError::parameter(format!(
                    "{command} has no parameter {base} (the simulator is strict)"
                )));
            };
            if !supported.split_whitespace().any(|known| known == base) {
                return Err(ApiError::parameter(format!(
                    "The simulator does not implement the parameter {base} of {command}"
                )));
            }
            match (declared.kind, field) {
                (Kind::Map, Some(field)) => params.add_to_map(base, field, value)?,
                (Kind::Map, None) | (_, Some(_)) => {
                    return Err(ApiError::malformed(format!(
                        "Unable to decode parameter {name}: malformed name"
                    )));
                }
                (kind, None) => {
                    params.check_value(base, kind, value)?;
                    params.values.insert(base.to_owned(), value.clone());
                }
            }
        }
        for (name, declared) in &declaration.params {
            if declared.required
                && !params.values.contains_key(name)
                && !params.maps.contains_key(name)
            {
                return Err(ApiError::parameter(format!(
                    "Unable to execute API command {} due to missing parameter {name}",
                    command.to_lowercase()
                )));
            }
        }
        Ok(params)
    }

    /// Adds what came as `name[index].field=value`; `field` is what follows the first bracket.
    fn add_to_map(&mut self, base: &str, field: &str, value: &str) -> Result<(), ApiError> {
        let malformed = || {
            ApiError::malformed(format!(
                "Unable to decode parameter {base}[{field}: malformed name"
            ))
        };
        let (index, field) = field.split_once("].").ok_or_else(malformed)?;
        let index = index.parse().map_err(|_| malformed())?;
        if field.is_empty() {
            return Err(malformed());
        }
        let entries = self.maps.entry(base.to_owned()).or_default();
        entries
            .entry(index)
            .or_default()
            .insert(field.to_owned(), value.to_owned());
        Ok(())
    }

    fn check_value(&self, name: &str, kind: Kind, value: &str) -> Result<(), ApiError> {
        let command = self.command.to_lowercase();
        let wrong = || {
            ApiError::parameter(format!(
                "Unable to execute API command {command} due to invalid value {value} for parameter {name}"
            ))
        };
        match kind {
            Kind::Boolean
                if !["true", "false"]
                    .iter()
                    .any(|word| value.eq_ignore_ascii_case(word)) =>
            {
                Err(wrong())
            }
            // A blank number counts as none.
            Kind::Integer if !value.trim().is_empty() && value.parse::<i64>().is_err() => {
                Err(wrong())
            }
            Kind::Uuid if parse_id(value).is_none() => {
                Err(ApiError::no_entity(self.command, name, value))
            }
            Kind::String => {
                let limit = match name {
                    "publickey" => 5120,
                    "userdata" => 1 << 20,
                    _ => MAX_STRING,
                };
                if value.chars().count() > limit {
                    return Err(ApiError::parameter(format!(
                        "Unable to execute API command {command} due to invalid value. Value greater than max allowed \
                         length {limit} for param: {name}"
                    )));
                }
                Ok(())
            }
            Kind::Boolean | Kind::Date | Kind::Integer | Kind::List | Kind::Map | Kind::Uuid => {
                Ok(())
            }
        }
    }

    /// The command's name.
    pub(crate) fn command(&self) -> &'static str {
        self.command
    }

    /// A string, none if it was not sent.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// A string that was sent and is not empty.
    pub(crate) fn filled(&self, name: &str) -> Option<&str> {
        self.text(name).filter(|text| !text.is_empty())
    }

    /// A required string.
    pub(crate) fn required(&self, name: &str) -> Result<&str, ApiError> {
        self.text(name).ok_or_else(|| {
            ApiError::parameter(format!(
                "Unable to execute API command {} due to missing parameter {name}",
                self.command.to_lowercase()
            ))
        })
    }

    /// A truth value.
    pub(crate) fn flag(&self, name: &str) -> Option<bool> {
        self.text(name)
            .map(|text| text.eq_ignore_ascii_case("true"))
    }

    /// A number.
    pub(crate) fn number(&self, name: &str) -> Option<i64> {
        self.text(name).and_then(|text| text.parse().ok())
    }

    /// A port.
    pub(crate) fn port(&self, name: &str) -> Result<Option<u16>, ApiError> {
        let port = |number| match u16::try_from(number) {
            Ok(port) if port > 0 => Ok(port),
            _ => Err(ApiError::invalid(format!(
                "{name} is an invalid value: {number}"
            ))),
        };
        self.number(name).map(port).transpose()
    }

    /// An id.
    pub(crate) fn id(&self, name: &str) -> Option<Uuid> {
        self.text(name).and_then(parse_id)
    }

    /// An IPv4 address.
    pub(crate) fn address(&self, name: &str) -> Result<Option<Ipv4Addr>, ApiError> {
        let parse = |text: &str| {
            text.parse().map_err(|_| {
                ApiError::invalid(format!(
                    "Invalid value for {name}: {text} is no IPv4 address"
                ))
            })
        };
        self.filled(name).map(parse).transpose()
    }

    /// The members of a list; none if it was not sent.
    pub(crate) fn list(&self, name: &str) -> Option<Vec<&str>> {
        self.text(name)
            .map(|text| text.split(',').filter(|item| !item.is_empty()).collect())
    }

    /// The members of a list of ids.
    pub(crate) fn ids(&self, name: &str) -> Result<Option<Vec<Uuid>>, ApiError> {
        let parse = |item: &str| {
            parse_id(item).ok_or_else(|| ApiError::no_entity(self.command, name, item))
        };
        self.list(name)
            .map(|items| items.into_iter().map(parse).collect())
            .transpose()
    }

    /// The entries of a map, in the order of their indices.
    pub(crate) fn entries(&self, name: &str) -> impl Iterator<Item = &BTreeMap<String, String>> {
        self.maps.get(name).into_iter().flat_map(BTreeMap::values)
    }

    /// A map of `key` and `value` entries, such as tags.
    pub(crate) fn key_values(&self, name: &str) -> Result<BTreeMap<String, String>, ApiError> {
        let mut map = BTreeMap::new();
        for entry in self.entries(name) {
            let key = entry.get("key").filter(|key| !key.is_empty());
            let key =
                key.ok_or_else(|| ApiError::invalid(format!("An entry of {name} has no key")))?;
            map.insert(key.clone(), entry.get("value").cloned().unwrap_or_default());
        }
        Ok(map)
    }

    /// A map whose entries are named by their fields, such as `details[0].cpuNumber`. The names are in lower case.
    pub(crate) fn fields(&self, name: &str) -> BTreeMap<String, String> {
        self.entries(name)
            .flatten()
            .map(|(field, value)| (field.clone(), value.clone()))
            .collect()
    }
}

/// An id as CloudStack writes it: lower case, with hyphens.
fn parse_id(text: &str) -> Option<Uuid> {
    let id = Uuid::try_parse(text).ok()?;
    (id.to_string() == text).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::catalog::declaration;

    fn check(command: &'static str, pairs: &[(&str, &str)]) -> Result<Params, String> {
        let pairs: Vec<_> = pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let declaration = declaration(command).unwrap();
        let supported: Vec<_> = declaration.params.keys().map(String::as_str).collect();
        Params::check(command, declaration, &supported.join(" "), &pairs)
            .map_err(|error| error.text)
    }

    #[test]
    fn names_are_taken_in_any_case_even_in_maps() {
        let id = Uuid::new_v4().to_string();
        let params = check(
            "createTags",
            &[
                ("ResourceIds", &id),
                ("resourcetype", "UserVm"),
                ("Tags[0].Key", "a"),
                ("tags[0].value", "B"),
            ],
        )
        .unwrap();
        assert_eq!(
            params.ids("resourceids").unwrap().unwrap()[0].to_string(),
            id
        );
        assert_eq!(params.key_values("tags").unwrap()["a"], "B");
    }

    #[test]
    fn missing_and_misspelt_parameters_are_told() {
        assert_eq!(
            check("deleteSSHKeyPair", &[]).unwrap_err(),
            "Unable to execute API command deletesshkeypair due to missing parameter name"
        );
        assert!(
            check("deleteSSHKeyPair", &[("nam", "x")])
                .unwrap_err()
                .contains("no parameter nam")
        );
    }

    #[test]
    fn values_of_the_wrong_type_are_refused() {
        let wrong = |value, name| {
            format!(
                "Unable to execute API command listvirtualmachines due to invalid value {value} for parameter {name}"
            )
        };
        assert_eq!(
            check("listVirtualMachines", &[("page", "x")]).unwrap_err(),
            wrong("x", "page")
        );
        assert_eq!(
            check("listVirtualMachines", &[("listall", "1")]).unwrap_err(),
            wrong("1", "listall")
        );
        assert!(
            check("listVirtualMachines", &[("id", "17")])
                .unwrap_err()
                .contains("Invalid parameter id value=17 due")
        );
        let upper = Uuid::new_v4().to_string().to_uppercase();
        assert!(
            check("listVirtualMachines", &[("id", &upper)]).is_err()
                || upper.chars().all(|c| !c.is_alphabetic())
        );
    }

    #[test]
    fn malformed_maps_are_refused() {
        for name in [
            "tags",
            "tags[",
            "tags[0]",
            "tags[0].",
            "tags[x].key",
            "tags[-1].key",
        ] {
            assert!(
                check("listVirtualMachines", &[(name, "x")])
                    .unwrap_err()
                    .contains("malformed"),
                "{name}"
            );
        }
        assert!(
            check("listVirtualMachines", &[("name[0].x", "x")])
                .unwrap_err()
                .contains("malformed")
        );
    }
}
