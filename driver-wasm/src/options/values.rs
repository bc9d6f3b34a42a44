//! The values of options, as the host hands them over.

use super::spec::id_option;
use crate::contract::types::Value;

/// Options with their values.
pub type Values = [(String, Value)];

pub(super) fn value<'o>(options: &'o Values, option: &str) -> Option<&'o Value> {
    let (_, value) = options.iter().find(|(name, _)| name == option)?;
    Some(value)
}

/// A text without the space around it; nothing if it is empty.
pub(crate) fn text(options: &Values, option: &str) -> Option<String> {
    let text = contents(options, option)?.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// A text as it is; nothing if it is empty.
pub(crate) fn contents<'o>(options: &'o Values, option: &str) -> Option<&'o str> {
    match value(options, option) {
        Some(Value::Text(text)) if !text.is_empty() => Some(text),
        _ => None,
    }
}

/// What an option names, by its name or id: by the option for its id alone if the flavour has such a one.
pub(super) fn name_or_id(options: &Values, option: &str) -> Option<String> {
    text(options, &id_option(option)).or_else(|| text(options, option))
}

/// Whether a switch is on.
pub(crate) fn is_on(options: &Values, option: &str) -> bool {
    value(options, option) == Some(&Value::Boolean(true))
}

/// Whether the host keeps a value of the option to itself.
pub(super) fn is_withheld(options: &Values, option: &str) -> bool {
    value(options, option) == Some(&Value::Withheld(true))
}

/// The items of a list, each once.
pub(super) fn list(options: &Values, option: &str) -> Vec<String> {
    match value(options, option) {
        Some(Value::TextList(items)) => distinct(items.iter().map(String::as_str)),
        _ => Vec::new(),
    }
}

/// The items without the space around them, each once, and no empty ones.
pub(super) fn distinct<'t>(items: impl Iterator<Item = &'t str>) -> Vec<String> {
    let mut list: Vec<String> = Vec::new();
    for item in items.map(str::trim) {
        if !item.is_empty() && !list.iter().any(|other| other == item) {
            list.push(item.to_owned());
        }
    }
    list
}
