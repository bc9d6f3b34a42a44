//! `btcloud-host zones`, `templates`, `offerings`, `networks` and `candidates`: what can be named in options.

use std::collections::BTreeMap;
use std::sync::Arc;

use clap::{Arg, ArgMatches, Command};
use regex_lite::Regex;
use serde_json::json;

use super::arguments::{self, common, flags, profile};
use super::driver::Choice;
use super::exit::Exit;
use super::failure::Failure;
use super::listing::{self, Filter, is_json};
use super::report::Report;
use super::table::Table;
use super::terminal::{print, print_json};
use crate::capability::clock::Cancel;
use crate::contract::types::ErrorKind;
use crate::contract::{Candidate, ListableOption, OptionScope, OptionSpec};
use crate::machine::{Inventory, Loaded};
use crate::sandbox;

/// The commands for the headings that the contract knows, and what they are about.
const HEADINGS: [(&str, &str); 4] = [
    ("zones", "List the zones in which machines can be made"),
    (
        "templates",
        "List the templates from which machines can be made in a zone",
    ),
    (
        "offerings",
        "List the offerings that set the size of a machine in a zone",
    ),
    (
        "networks",
        "List the networks of a zone in which machines can be",
    ),
];

const DETAILS: &str = "\
What is listed can depend on other options: templates on the zone and the project. They are taken from flags, the environment \
or a profile. If no zone is given and there is only one, that one is used.

Filters are name=REGEX, id=ID and those of the table's columns, such as type=Isolated.";

/// Whether a word is one of these commands.
pub(super) fn is_command(word: &str) -> bool {
    word == "candidates" || HEADINGS.iter().any(|(name, _)| *name == word)
}

/// The commands.
pub(super) fn commands(driver: &Choice) -> Vec<Command> {
    let short = HEADINGS
        .iter()
        .map(|(name, about)| Command::new(*name).about(*about));
    let any = Command::new("candidates")
        .about("List the values that an option accepts, or the options that have such a list")
        .arg(
            Arg::new("option")
                .value_name("OPTION")
                .help("The option, with or without the driver's name: disk-offering"),
        );
    short
        .chain([any])
        .map(|command| complete(command, driver))
        .collect()
}

/// What all of them have.
fn complete(command: Command, driver: &Choice) -> Command {
    command
        .after_help(format!("{DETAILS} {}", listing::COMBINED))
        .args(common())
        .arg(profile())
        .args(listing::arguments(
            "Print names only",
            "30",
            "How long the cloud may take to answer",
        ))
        .args_override_self(true)
        .next_help_heading(driver.heading())
        .args(arguments::options(driver, inventory_options(driver).iter()))
}

/// The options of [`Choice::inventory_options`], of which those of a machine need not be given: none is made.
fn inventory_options(driver: &Choice) -> Vec<OptionSpec> {
    let optional = |spec: &OptionSpec| OptionSpec {
        required: spec
            .required
            .clone()
            .filter(|_| spec.scope == OptionScope::Account),
        ..spec.clone()
    };
    driver.inventory_options().map(optional).collect()
}

/// Runs the command of that name.
pub(super) fn execute(choice: &Choice, command: &str, matches: &ArgMatches) -> Result<(), Failure> {
    let Some(loaded) = &choice.loaded else {
        return Err(Failure::silent(Exit::Usage));
    };
    if !loaded.driver.has_inventory() {
        return Err(crate::machine::Error::from(sandbox::Error::NoInventory).into());
    }
    let filters = Filters::parse(matches)?;
    let wanted = match command {
        "candidates" => matches.get_one::<String>("option"),
        _ => None,
    };
    let listable = match (command, wanted) {
        ("candidates", None) => return options(choice, &filters, matches),
        ("candidates", Some(option)) => of_option(choice, loaded, option)?,
        _ => of_heading(choice, loaded, command)?,
    };
    filters.check(&listable.columns)?;
    let report = Arc::new(Report::new(matches.get_flag("verbose")));
    let surroundings = choice.surroundings(report, Cancel::default());
    let flags = flags(choice.inventory_options(), matches);
    let inventory = Inventory::new(&choice.driver, surroundings, &flags)?;
    let told = inventory.candidates(&listable.option_name, listing::patience(matches));
    let mut candidates = told.map_err(|error| {
        let is_late = error.kind() == ErrorKind::TimedOut;
        let failure = Failure::from(error);
        match is_late && failure.hint.is_none() {
            true => failure.with_hint("--timeout gives it longer"),
            false => failure,
        }
    })?;
    candidates.retain(|candidate| filters.admit(candidate, &listable.columns));
    if matches.get_flag("quiet") {
        return candidates.iter().try_for_each(|c| print(&c.name));
    }
    if is_json(matches) {
        return print_json(
            &candidates
                .iter()
                .map(|c| to_json(c, &listable.columns))
                .collect(),
        );
    }
    table(&candidates, &listable.columns).print()
}

/// The options for which something can be listed; nobody is asked.
fn options(choice: &Choice, filters: &Filters, matches: &ArgMatches) -> Result<(), Failure> {
    filters.check(&[])?;
    if !filters.ids.is_empty() {
        let error = "--filter: options have no id, only a name";
        return Err(Failure::usage(error));
    }
    // Here a name is an option's.
    let listable = choice.listable.iter().filter(|listable| {
        let name = &listable.option_name;
        filters.names.is_empty() || filters.names.iter().any(|regex| regex.is_match(name))
    });
    if is_json(matches) {
        let listable = listable.map(|l| json!({ "option": l.option_name, "lists": l.heading }));
        return print_json(&listable.collect());
    }
    let is_quiet = matches.get_flag("quiet");
    let mut table = Table::new(&["OPTION", "LISTS"]);
    for listable in listable {
        if is_quiet {
            print(&listable.option_name)?;
        }
        let option = format!("--{}", listable.option_name);
        table.row(vec![option.into(), listable.heading.as_str().into()]);
    }
    if is_quiet { Ok(()) } else { table.print() }
}

/// What the driver lists under a heading.
fn of_heading<'c>(
    choice: &'c Choice,
    loaded: &Loaded,
    heading: &str,
) -> Result<&'c ListableOption, Failure> {
    let mut listable = choice.listable.iter();
    listable
        .find(|listable| listable.heading == heading)
        .ok_or_else(|| not_listed(&format!("the driver {} lists no {heading}", loaded.name)))
}

/// What the driver lists for an option, which may be without the driver's name.
fn of_option<'c>(
    choice: &'c Choice,
    loaded: &Loaded,
    option: &str,
) -> Result<&'c ListableOption, Failure> {
    let option = option.trim_start_matches('-');
    let prefixed = format!("{}-{option}", loaded.description.name);
    let mut listable = choice.listable.iter();
    listable
        .find(|listable| [option, &prefixed].contains(&listable.option_name.as_str()))
        .ok_or_else(|| {
            let mut specs = loaded.description.options.iter();
            let is_there = specs.any(|spec| [option, &prefixed].contains(&spec.name.as_str()));
            not_listed(&match is_there {
                true => format!(
                    "the driver {} does not list what --{option} can name",
                    loaded.name
                ),
                false => format!("the driver {} has no option {option}", loaded.name),
            })
        })
}

fn not_listed(message: &str) -> Failure {
    Failure::usage(message)
        .with_hint("`btcloud-host candidates` lists the options that have such a list")
}

fn to_json(candidate: &Candidate, columns: &[String]) -> serde_json::Value {
    let details: BTreeMap<_, _> = columns
        .iter()
        .map(|column| column.to_lowercase())
        .zip(&candidate.details)
        .collect();
    json!({ "name": candidate.name, "id": candidate.id, "details": details })
}

fn table(candidates: &[Candidate], columns: &[String]) -> Table {
    let has_ids = candidates.iter().any(|c| c.id != c.name);
    let ids = has_ids.then_some("ID");
    let header: Vec<_> = ["NAME"]
        .into_iter()
        .chain(columns.iter().map(String::as_str))
        .chain(ids)
        .collect();
    let mut table = Table::new(&header);
    for candidate in candidates {
        let details = (0..columns.len()).map(|i| candidate.details.get(i).map_or("", |d| d));
        let cells = [candidate.name.as_str()]
            .into_iter()
            .chain(details)
            .chain(has_ids.then_some(candidate.id.as_str()));
        table.row(cells.map(Into::into).collect());
    }
    table
}

/// What the user wants to see.
#[derive(Default)]
struct Filters {
    names: Vec<Regex>,
    ids: Vec<String>,
    /// By the columns, in small letters.
    details: BTreeMap<String, Vec<String>>,
}

impl Filters {
    fn parse(matches: &ArgMatches) -> Result<Self, Failure> {
        let mut filters = Self::default();
        for filter in Filter::all(matches)? {
            let value = filter.value.to_owned();
            match filter.key.to_lowercase().as_str() {
                "name" => filters.names.push(filter.regex()?),
                "id" => filters.ids.push(value),
                key => filters
                    .details
                    .entry(key.to_owned())
                    .or_default()
                    .push(value),
            }
        }
        Ok(filters)
    }

    /// Checks that there is a column for each.
    fn check(&self, columns: &[String]) -> Result<(), Failure> {
        let columns: Vec<_> = columns.iter().map(|column| column.to_lowercase()).collect();
        match self.details.keys().find(|key| !columns.contains(key)) {
            None => Ok(()),
            Some(key) => {
                let keys = [&["name".to_owned(), "id".to_owned()], columns.as_slice()].concat();
                let keys = keys.join(", ");
                Err(Failure::usage(format!("--filter: {key} is none of {keys}")))
            }
        }
    }

    fn admit(&self, candidate: &Candidate, columns: &[String]) -> bool {
        let has = |key: &String, values: &Vec<String>| {
            let column = columns.iter().position(|c| c.to_lowercase() == *key);
            let detail = column.and_then(|column| candidate.details.get(column));
            detail.is_some_and(|d| values.iter().any(|value| value.eq_ignore_ascii_case(d)))
        };
        (self.names.is_empty()
            || self
                .names
                .iter()
                .any(|regex| regex.is_match(&candidate.name)))
            && (self.ids.is_empty() || self.ids.contains(&candidate.id))
            && self.details.iter().all(|(key, values)| has(key, values))
    }
}
