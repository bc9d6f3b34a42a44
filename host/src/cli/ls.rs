//! `btcloud-host ls`: the machines in the store and their state.

use std::sync::Arc;

use clap::{ArgMatches, Command};
use console::Style;
use regex_lite::Regex;
use serde_json::json;

use super::arguments::{common, store};
use super::driver::Choice;
use super::failure::Failure;
use super::listing::{self, Filter};
use super::report::Report;
use super::table::{Cell, Table};
use super::task::state_name;
use super::terminal::{print, print_json, tell};
use crate::capability::clock::Cancel;
use crate::capability::text::clean;
use crate::contract::State;
use crate::machine::{Entry, Fleet, Sighting, Store, Trouble};
use crate::provision;

/// The most bytes of an error in the table.
const MAX_ERROR: usize = 300;

/// The most hints below the table.
const MAX_HINTS: usize = 5;

const DETAILS: &str = "\
Each account is asked once, all of them at the same time. An error of one machine or endpoint is shown in its rows, and the \
exit code is 0 all the same.

Filters are driver=NAME, state=STATE, name=REGEX and label=KEY=VALUE.";

/// The command.
pub(super) fn command() -> Command {
    Command::new("ls")
        .about("List the machines in the store and their state")
        .after_help(format!("{DETAILS} {}", listing::COMBINED))
        .args(common())
        .args(listing::arguments(
            "Print names only, without calling the cloud unless a state filter is given",
            "10",
            "How long the clouds may take to answer",
        ))
}

/// What the user wants to see.
#[derive(Default)]
struct Filters {
    drivers: Vec<String>,
    states: Vec<String>,
    names: Vec<Regex>,
    labels: Vec<String>,
}

impl Filters {
    fn parse(matches: &ArgMatches) -> Result<Self, Failure> {
        let mut filters = Self::default();
        for filter in Filter::all(matches)? {
            let value = filter.value.to_owned();
            match filter.key.to_ascii_lowercase().as_str() {
                "driver" => filters.drivers.push(value),
                "state" => filters.states.push(value),
                "label" => filters.labels.push(value),
                "name" => filters.names.push(filter.regex()?),
                _ => {
                    return Err(filter.refused("the key is none of driver, state, name and label"));
                }
            }
        }
        Ok(filters)
    }

    /// Whether what is stored of a machine lets it pass.
    fn admit_stored(&self, entry: &Entry) -> bool {
        let is_any = |wanted: &[String], has: &dyn Fn(&String) -> bool| {
            wanted.is_empty() || wanted.iter().any(has)
        };
        is_any(&self.drivers, &|driver| {
            driver.eq_ignore_ascii_case(&entry.driver)
        }) && is_any(&self.labels, &|label| entry.labels.contains(label))
            && (self.names.is_empty() || self.names.iter().any(|name| name.is_match(&entry.name)))
    }

    /// Whether the state lets a machine pass.
    fn admit_state(&self, state: &str) -> bool {
        let is_it = |wanted: &String| wanted.eq_ignore_ascii_case(state);
        self.states.is_empty() || self.states.iter().any(is_it)
    }
}

/// Runs `btcloud-host ls`.
pub(super) fn execute(choice: &Choice, matches: &ArgMatches) -> Result<(), Failure> {
    let filters = Filters::parse(matches)?;
    let is_quiet = matches.get_flag("quiet");
    let store = store(matches)?;
    let mut fleet = Fleet::of(&store)?;
    fleet.entries.retain(|entry| filters.admit_stored(entry));
    if is_quiet && filters.states.is_empty() {
        return fleet
            .entries
            .iter()
            .try_for_each(|entry| print(&entry.name));
    }
    let report = Arc::new(Report::new(matches.get_flag("verbose")));
    let surroundings = choice.surroundings(report, Cancel::default());
    let drivers = choice.drivers();
    let find = |entry: &Entry| drivers.of(&entry.name, &entry.driver);
    let sightings = fleet.look(&find, &surroundings, listing::patience(matches));
    let seen: Vec<_> = fleet
        .entries
        .iter()
        .zip(sightings)
        .map(|(entry, sighting)| (entry, noted(&store, entry, sighting)))
        .filter(|(_, sighting)| filters.admit_state(state_text(sighting)))
        .collect();
    let active = std::env::var("DOCKER_HOST").unwrap_or_default();
    let is_active =
        |sighting: &Sighting| !active.is_empty() && sighting.url.as_deref() == Some(&active);
    if is_quiet {
        return seen.iter().try_for_each(|(entry, _)| print(&entry.name));
    }
    if listing::is_json(matches) {
        let machines = seen.iter().map(|(entry, sighting)| {
            json!({
                "name": entry.name,
                "active": is_active(sighting),
                "driver": clean(&entry.driver, MAX_ERROR),
                "state": state_text(sighting),
                "url": sighting.url,
                "ip": sighting.ip,
                "error": sighting.error.as_ref().map(|trouble| &trouble.message),
                "hint": sighting.error.as_ref().and_then(|trouble| trouble.hint.as_ref()),
            })
        });
        return print_json(&machines.collect());
    }
    let mut table = Table::new(&["NAME", "ACTIVE", "DRIVER", "STATE", "URL", "ERROR"]);
    for (entry, sighting) in &seen {
        let state = state_text(sighting);
        let error = sighting.error.as_ref();
        let error = error.map(|trouble| clean(&trouble.message, MAX_ERROR).replace('\n', " "));
        table.row(vec![
            entry.name.as_str().into(),
            if is_active(sighting) { "*" } else { "-" }.into(),
            match entry.driver.as_str() {
                "" => "-".into(),
                driver => clean(driver, 100).replace('\n', " ").into(),
            },
            Cell::styled(state, state_style(sighting.state)),
            sighting.url.clone().unwrap_or_default().into(),
            error.unwrap_or_default().into(),
        ]);
    }
    table.print()?;
    let mut hints: Vec<&str> = Vec::new();
    for (_, sighting) in &seen {
        let hint = sighting.error.as_ref().and_then(|e| e.hint.as_deref());
        if let Some(hint) = hint.filter(|hint| !hints.contains(hint)) {
            hints.push(hint);
        }
    }
    for hint in hints.iter().take(MAX_HINTS) {
        tell(&format!("  hint: {}", clean(hint, MAX_ERROR)));
    }
    Ok(())
}

/// A sighting, with a note if the machine runs but is no Docker host yet.
fn noted(store: &Store, entry: &Entry, sighting: Sighting) -> Sighting {
    let is_well = sighting.state == Some(State::Running) && sighting.error.is_none();
    match is_well && provision::is_pending(&store.directory(&entry.name)) {
        true => Sighting {
            error: Some(Trouble {
                message: "Docker is not set up on it".to_owned(),
                hint: Some(format!("`btcloud-host provision {}` goes on", entry.name)),
            }),
            ..sighting
        },
        false => sighting,
    }
}

fn state_text(sighting: &Sighting) -> &'static str {
    match sighting.state {
        None | Some(State::None) => "Unknown",
        Some(state) => state_name(state),
    }
}

fn state_style(state: Option<State>) -> Style {
    match state {
        Some(State::Running) => Style::new().green(),
        Some(State::Stopped | State::Saved | State::Paused) => Style::new().dim(),
        Some(State::Starting | State::Stopping) => Style::new().yellow(),
        _ => Style::new().red(),
    }
}
