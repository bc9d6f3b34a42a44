//! The commands' declarations, from CloudStack's own list of its API (`data/commands.json`).

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;
use serde::de::{self, Deserializer};

/// What CloudStack takes for a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Boolean,
    Date,
    Integer,
    List,
    Map,
    String,
    Uuid,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Declared {
    pub(crate) kind: Kind,
    pub(crate) required: bool,
}

impl<'de> Deserialize<'de> for Declared {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let (name, required) = match text.strip_suffix('*') {
            Some(name) => (name, true),
            None => (text.as_str(), false),
        };
        let kind = match name {
            "boolean" => Kind::Boolean,
            "date" => Kind::Date,
            "integer" | "long" => Kind::Integer,
            "list" => Kind::List,
            "map" => Kind::Map,
            "string" => Kind::String,
            "uuid" => Kind::Uuid,
            other => {
                return Err(de::Error::unknown_variant(
                    other,
                    &["a type of CloudStack's listApis"],
                ));
            }
        };
        Ok(Self { kind, required })
    }
}

#[derive(Debug, Deserialize)]
pub(crate) struct Declaration {
    #[cfg(test)]
    #[serde(rename = "async")]
    pub(crate) asynchronous: bool,
    pub(crate) params: BTreeMap<String, Declared>,
}

#[derive(Deserialize)]
struct Catalog {
    commands: BTreeMap<String, Declaration>,
}

static CATALOG: LazyLock<Catalog> = LazyLock::new(|| {
    let text = include_str!("../../data/commands.json");
    serde_json::from_str(text)
        .unwrap_or_else(|error| unreachable!("the embedded table is tested: {error}"))
});

/// The declaration of a command.
pub(crate) fn declaration(command: &str) -> Option<&'static Declaration> {
    CATALOG.commands.get(command)
}

/// All commands that are declared.
#[cfg(test)]
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    CATALOG.commands.keys().map(String::as_str)
}
