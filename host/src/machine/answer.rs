//! Holds what a driver answers to the contract: what it tells goes into command lines, URLs and terminals.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::{Found, Record, is_id, is_machine_name};
use crate::capability::secret::Secrets;
use crate::capability::state::members;
use crate::capability::text::{is_treacherous, shown};
use crate::contract::types::ErrorKind;
use crate::contract::{
    self, Candidate, FoundMachine, Limit, ListableOption, OptionKind, OptionSpec, Status,
};
use crate::sandbox;

/// The most columns of a listing besides the name and the id.
const MAX_COLUMNS: usize = 8;

/// The most bytes of a heading, and of the head of a column.
const MAX_HEADING: usize = 40;

/// The most names that an option can have.
const MAX_CANDIDATES: usize = 20_000;

/// The most limits.
const MAX_LIMITS: usize = 100;

/// The most bytes of each text that is told, as many as CloudStack's names can have.
const MAX_TEXT: usize = 255;

/// The most bytes of what a driver tells of one thing that it found.
const MAX_PART: usize = 500;

/// The most machines that a driver may find, and the most things of each.
const MAX_FOUND: usize = 10_000;

/// Holds a status to the contract: it goes into command lines and URLs of others.
pub(crate) fn sane_status(status: Status) -> Result<Status, contract::Error> {
    let is_host = |host: &str| {
        host.len() <= 255
            && !host.starts_with('-')
            && host
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b".-:".contains(&b))
    };
    let has_address = status
        .ip
        .as_ref()
        .is_none_or(|ip| ip.parse::<IpAddr>().is_ok());
    let reason = match () {
        () if !has_address => "address",
        () if !is_host(&status.ssh_host) => "SSH host",
        () if status.ip.is_some() && !is_ssh_user(&status.ssh_user) => "SSH user",
        () if status.ip.is_some() && (status.ssh_port == 0 || status.engine_port == 0) => "port",
        () => return Ok(status),
    };
    Err(contract::Error::new(
        ErrorKind::Internal,
        format!("the driver told an invalid {reason} of the machine"),
    ))
}

/// Whether this can be a user in the command lines of SSH clients, and no option of theirs.
pub(super) fn is_ssh_user(user: &str) -> bool {
    user.len() <= 64
        && user.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && user
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

/// Holds the machines that a driver has found to the contract. `keys` are the members of a machine's record that are options,
/// and `max_saved` the most bytes that may be saved of one.
///
/// # Errors
///
/// The first thing that is wrong.
pub(super) fn sane_found(
    found: Vec<FoundMachine>,
    secrets: &Secrets,
    keys: &[&str],
    max_saved: usize,
) -> Result<Vec<Found>, sandbox::Error> {
    let invalid = |reason: &str| sandbox::Error::Answer(format!("it found {reason}"));
    if found.len() > MAX_FOUND {
        return Err(invalid(&format!("more than {MAX_FOUND} machines")));
    }
    let mut ids = BTreeSet::new();
    let sane = |machine: FoundMachine| {
        let FoundMachine {
            name,
            id,
            parts,
            saved,
        } = machine;
        match () {
            () if !is_machine_name(&name) => {
                return Err(invalid("a machine whose name is invalid"));
            }
            () if !is_id(&id) => return Err(invalid("a machine whose id is invalid")),
            () if !ids.insert(id.clone()) => return Err(invalid("a machine twice")),
            () if parts.len() > MAX_FOUND => return Err(invalid("a machine of too many parts")),
            () => {}
        }
        let saved = members(&saved, max_saved).ok().filter(|saved| {
            let mut record = Record::default();
            record.replace_saved(saved.clone(), keys).is_ok()
        });
        let remembers = || invalid("a machine for which it remembers what is invalid");
        let line = |part: String| shown(&part, secrets, MAX_PART).replace('\n', " ");
        Ok(Found {
            name,
            id,
            parts: parts.into_iter().map(line).collect(),
            saved: saved.ok_or_else(remembers)?,
        })
    };
    found.into_iter().map(sane).collect()
}

/// Holds what a driver tells it can list to the contract.
///
/// # Errors
///
/// What is wrong, as a clause for the user.
pub(crate) fn check_listable(
    listable: &[ListableOption],
    specs: &[OptionSpec],
) -> Result<(), String> {
    let is_text = |text: &String| {
        !text.trim().is_empty() && text.len() <= MAX_HEADING && !text.contains(is_treacherous)
    };
    let (mut options, mut headings) = (BTreeSet::new(), BTreeSet::new());
    for ListableOption {
        option_name: option,
        heading,
        columns,
    } in listable
    {
        let named = |spec: &&OptionSpec| {
            spec.name == *option && matches!(spec.kind, OptionKind::Text | OptionKind::TextList)
        };
        if !specs.iter().any(|spec| named(&spec)) {
            return Err(
                "it lists the names of an option that it does not have, or that is no text"
                    .to_owned(),
            );
        }
        if !is_text(heading) || columns.len() > MAX_COLUMNS || !columns.iter().all(is_text) {
            return Err(format!(
                "the heading or the columns of {option} are invalid"
            ));
        }
        if !options.insert(option) || !headings.insert(heading) {
            return Err(format!("it lists {option} or {heading} twice"));
        }
    }
    Ok(())
}

/// Checks that there are no more candidates than a driver may tell.
pub(crate) fn check_candidates(candidates: &[Candidate]) -> Result<(), sandbox::Error> {
    at_most(MAX_CANDIDATES, candidates.len(), "names")
}

/// Checks that there are no more limits than a driver may tell.
pub(crate) fn check_limits(limits: &[Limit]) -> Result<(), sandbox::Error> {
    at_most(MAX_LIMITS, limits.len(), "limits")
}

fn at_most(max: usize, told: usize, what: &str) -> Result<(), sandbox::Error> {
    match told > max {
        true => Err(sandbox::Error::Answer(format!(
            "it told of more than {max} {what}"
        ))),
        false => Ok(()),
    }
}

fn told(text: &str, secrets: &Secrets) -> String {
    shown(text, secrets, MAX_TEXT).replace('\n', " ")
}

/// Holds candidates to the contract: bounded, clean, each once, in the order of their names. What would have to be changed to be
/// shown is no name that the option takes: there the id stands for it, and without an id that can be shown there is nothing to
/// tell.
pub(super) fn sane_candidates(
    candidates: Vec<Candidate>,
    secrets: &Secrets,
) -> Result<Vec<Candidate>, sandbox::Error> {
    check_candidates(&candidates)?;
    let can_be_shown = |text: &str| !text.trim().is_empty() && told(text, secrets) == text;
    let sane = |candidate: Candidate| {
        let Candidate {
            name,
            id,
            mut details,
        } = candidate;
        details.truncate(MAX_COLUMNS);
        can_be_shown(&id).then(|| Candidate {
            name: Some(name)
                .filter(|name| can_be_shown(name))
                .unwrap_or_else(|| id.clone()),
            id,
            details: details.iter().map(|text| told(text, secrets)).collect(),
        })
    };
    let mut candidates: Vec<_> = candidates.into_iter().filter_map(sane).collect();
    candidates.sort_by_cached_key(|c| (c.name.to_lowercase(), c.name.clone(), c.id.clone()));
    candidates.dedup_by(|a, b| a.id == b.id && a.name == b.name);
    Ok(candidates)
}

/// Holds limits to the contract: bounded and clean.
pub(super) fn sane_limits(
    mut limits: Vec<Limit>,
    secrets: &Secrets,
) -> Result<Vec<Limit>, sandbox::Error> {
    check_limits(&limits)?;
    for limit in &mut limits {
        limit.name = told(&limit.name, secrets);
    }
    Ok(limits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listable(option: &str, heading: &str, columns: &[&str]) -> ListableOption {
        ListableOption {
            option_name: option.to_owned(),
            heading: heading.to_owned(),
            columns: columns.iter().map(|c| (*c).to_owned()).collect(),
        }
    }

    #[test]
    fn what_can_be_listed_is_held_to_the_contract() {
        let specs = [
            OptionSpec::of_kind("a-zone", OptionKind::Text),
            OptionSpec::of_kind("a-tag", OptionKind::TextList),
            OptionSpec::of_kind("a-key", OptionKind::Secret),
        ];
        let check = |listable: &[ListableOption]| check_listable(listable, &specs);
        let good = listable("a-zone", "zones", &["TYPE"]);
        check(&[good.clone(), listable("a-tag", "tags", &[])]).unwrap();
        check(&[]).unwrap();
        for bad in [
            listable("a-other", "others", &[]),
            listable("a-key", "keys", &[]),
            listable("a-tag", "zones", &[]),
            listable("a-zone", "more zones", &[]),
            listable("a-tag", "", &[]),
            listable("a-tag", "ta\u{1b}gs", &[]),
            listable("a-tag", "tags", &["\u{202e}X"]),
            listable("a-tag", "tags", &["X"; 9]),
            listable("a-tag", &"x".repeat(41), &[]),
        ] {
            check(&[good.clone(), bad.clone()]).expect_err(&bad.heading);
        }
    }

    #[test]
    fn candidates_are_sorted_clean_and_bounded() {
        let candidate = |name: &str, id: &str| Candidate {
            name: name.to_owned(),
            id: id.to_owned(),
            details: vec!["x\ny".to_owned(); 10],
        };
        let secrets = Secrets::from_iter([("key".to_owned(), "hunter2hunter2".into())]);
        let told = vec![
            candidate("b", "2"),
            candidate("A\u{1b}[31m\n1", "1"),
            candidate("b", "2"),
            candidate("", "3"),
            candidate("hunter2hunter2", "4"),
            candidate("c", ""),
            candidate("c", "5\n"),
            candidate(&"d".repeat(256), "6"),
        ];
        let sane = sane_candidates(told, &secrets).unwrap();
        let names: Vec<_> = sane.iter().map(|c| (&*c.name, &*c.id)).collect();
        assert_eq!(
            names,
            [("1", "1"), ("3", "3"), ("4", "4"), ("6", "6"), ("b", "2")]
        );
        assert_eq!(sane[0].details, ["x y"; 8]);
        let many = vec![candidate("a", "a"); MAX_CANDIDATES + 1];
        let error = sane_candidates(many, &secrets).unwrap_err().to_string();
        assert!(error.contains("more than 20000 names"), "{error}");
    }
}
