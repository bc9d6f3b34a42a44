//! From names or ids, as the user gives them, to ids.

use std::collections::BTreeSet;

use crate::cloudstack::{Cloud, ServiceOffering, Template, Zone};
use crate::contract::types::{Error, ErrorKind};
use crate::failure;
use crate::options::{SERVICE_OFFERING, Settings, TEMPLATE, ZONE};
use crate::text;

/// The most items that an error lists.
const MAX_LISTED: usize = 20;

/// The most characters of a name that an error shows.
const MAX_NAME: usize = 100;

/// What a machine is made from.
#[derive(Debug)]
pub(super) struct Choice {
    pub(super) zone: Zone,
    pub(super) template: Template,
    pub(super) service_offering: ServiceOffering,
}

/// Looks up what the options name.
pub(super) fn choice(cloud: &Cloud<'_>, settings: &Settings) -> Result<Choice, Error> {
    let zone = select(&ZONES, &settings.zone, cloud.zones()?)?;
    let templates = cloud.templates(&zone.id)?;
    let template = select(&TEMPLATES, &settings.template, templates)?;
    let offerings = cloud.service_offerings(&zone.id)?;
    let service_offering = select(&SERVICE_OFFERINGS, &settings.service_offering, offerings)?;
    if service_offering.iscustomized {
        return Err(failure::hinted(
            ErrorKind::Unsupported,
            format!(
                "The service offering \"{}\" leaves CPUs and memory to the user, which this driver cannot choose",
                shown(&service_offering.name)
            ),
            format!("Take a service offering of a fixed size with --{SERVICE_OFFERING}"),
        ));
    }
    Ok(Choice {
        zone,
        template,
        service_offering,
    })
}

/// The words for a kind of things.
struct Kind {
    one: &'static str,
    many: &'static str,
    option: &'static str,
}

const ZONES: Kind = Kind {
    one: "zone",
    many: "zones",
    option: ZONE,
};
const TEMPLATES: Kind = Kind {
    one: "template",
    many: "templates",
    option: TEMPLATE,
};
const SERVICE_OFFERINGS: Kind = Kind {
    one: "service offering",
    many: "service offerings",
    option: SERVICE_OFFERING,
};

/// A thing with an id and a name.
trait Named {
    fn id(&self) -> &str;
    fn name(&self) -> &str;
}

macro_rules! named {
    ($($type:ty),*) => {
        $(impl Named for $type {
            fn id(&self) -> &str {
                &self.id
            }
            fn name(&self) -> &str {
                &self.name
            }
        })*
    };
}
named!(Zone, Template, ServiceOffering);

/// The item with that id; or else the only one with that name, or else with that name whatever its case.
fn select<T: Named>(kind: &Kind, wanted: &str, mut items: Vec<T>) -> Result<T, Error> {
    // A template that is in several zones may be listed for each.
    let mut ids = BTreeSet::new();
    items.retain(|item| ids.insert(item.id().to_owned()));

    let lower = wanted.to_lowercase();
    let rules: [&dyn Fn(&T) -> bool; 3] = [
        &|item| item.id() == wanted,
        &|item| item.name() == wanted,
        &|item| item.name().to_lowercase() == lower,
    ];
    for is_match in rules {
        let (mut found, others): (Vec<T>, Vec<T>) = items.into_iter().partition(is_match);
        if found.len() > 1 {
            return Err(ambiguous(kind, wanted, &found));
        }
        if let Some(item) = found.pop() {
            return Ok(item);
        }
        items = others;
    }
    Err(unknown(kind, wanted, &items))
}

fn ambiguous<T: Named>(kind: &Kind, wanted: &str, items: &[T]) -> Error {
    failure::hinted(
        ErrorKind::InvalidOption,
        format!(
            "There are {} {} called \"{}\"{}",
            items.len(),
            kind.many,
            shown(wanted),
            listed(items)
        ),
        format!("Give the id of one of them with --{}", kind.option),
    )
}

fn unknown<T: Named>(kind: &Kind, wanted: &str, items: &[T]) -> Error {
    let hint = if items.is_empty() {
        format!("This account sees no {}", kind.one)
    } else {
        format!("Give the name or id of one of these with --{}", kind.option)
    };
    failure::hinted(
        ErrorKind::InvalidOption,
        format!(
            "No {} is called \"{}\"{}",
            kind.one,
            shown(wanted),
            listed(items)
        ),
        hint,
    )
}

/// The items as further lines, sorted by name.
fn listed<T: Named>(items: &[T]) -> String {
    let mut names: Vec<_> = items
        .iter()
        .map(|item| (item.name().to_lowercase(), item.name(), item.id()))
        .collect();
    names.sort_unstable();
    let mut lines = String::new();
    for (_, name, id) in names.iter().take(MAX_LISTED) {
        lines.push_str(&format!("\n  {} ({})", shown(name), shown(id)));
    }
    if let Some(more) = names.len().checked_sub(MAX_LISTED).filter(|more| *more > 0) {
        lines.push_str(&format!("\n  … and {more} more"));
    }
    lines
}

fn shown(name: &str) -> String {
    text::line(name, MAX_NAME)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn templates(rows: &[(&str, &str)]) -> Vec<Template> {
        rows.iter()
            .map(|(id, name)| Template {
                id: (*id).to_owned(),
                name: (*name).to_owned(),
            })
            .collect()
    }

    fn select_id(wanted: &str, rows: &[(&str, &str)]) -> Result<String, Error> {
        select(&TEMPLATES, wanted, templates(rows)).map(|template| template.id)
    }

    #[test]
    fn id_then_name_then_name_in_any_case() {
        let rows = [
            ("1", "Ubuntu"),
            ("2", "ubuntu"),
            ("3", "Debian"),
            ("Ubuntu", "x"),
            ("3", "Debian"),
        ];
        assert_eq!(select_id("1", &rows).unwrap(), "1");
        assert_eq!(select_id("Ubuntu", &rows).unwrap(), "Ubuntu");
        assert_eq!(select_id("ubuntu", &rows).unwrap(), "2");
        assert_eq!(select_id("DEBIAN", &rows).unwrap(), "3");
        assert_eq!(select_id("Ubuntu", &rows[..3]).unwrap(), "1");
    }

    #[test]
    fn equal_names_are_listed_with_their_ids() {
        for wanted in ["Ubuntu", "UBUNTU"] {
            let error =
                select_id(wanted, &[("b", "Ubuntu"), ("a", "Ubuntu"), ("c", "x")]).unwrap_err();
            assert_eq!(
                error.message,
                format!("There are 2 templates called \"{wanted}\"\n  Ubuntu (a)\n  Ubuntu (b)")
            );
            assert_eq!(error.kind, ErrorKind::InvalidOption);
            assert!(error.hint.unwrap().contains("--btcloud-template"));
        }
    }

    #[test]
    fn an_unknown_name_is_answered_with_what_there_is() {
        let error = select_id(
            "x\u{7}",
            &[("2", "debian"), ("1", "Ubuntu\n14"), ("3", "CentOS")],
        )
        .unwrap_err();
        assert_eq!(
            error.message,
            "No template is called \"x\"\n  CentOS (3)\n  debian (2)\n  Ubuntu 14 (1)"
        );
        assert!(error.hint.unwrap().contains("name or id"));

        let many: Vec<_> = (0..25).map(|i| i.to_string()).collect();
        let rows: Vec<_> = many.iter().map(|i| (i.as_str(), i.as_str())).collect();
        let error = select_id("x", &rows).unwrap_err();
        assert_eq!(error.message.lines().count(), 22);
        assert!(error.message.ends_with("\n  … and 5 more"));

        let error = select_id("x", &[]).unwrap_err();
        assert_eq!(error.message, "No template is called \"x\"");
        assert_eq!(error.hint.unwrap(), "This account sees no template");
    }
}
