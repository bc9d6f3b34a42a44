//! `btcloud-host zones`, `templates`, `offerings`, `networks` and `candidates`: what can be named in options.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use clap::{Arg, ArgMatches, Command};
use clap_complete::CompletionCandidate;
use regex_lite::Regex;
use serde_json::json;

use super::driver::{Choice, Words, common, flags, profile};
use super::exit::Exit;
use super::listing::{self, Filter, is_json};
use super::report::Report;
use super::table::Table;
use super::{Failure, print, print_json};
use crate::capability::clock::Cancel;
use crate::capability::log::Silent;
use crate::contract::types::ErrorKind;
use crate::contract::{Candidate, ListableOption};
use crate::machine::{Flags, Inventory, LazyDriver, Loaded, ProfileChoice, Surroundings};
use crate::sandbox;

/// How long a shell waits for names, which somebody wants to see while typing.
const PATIENCE: Duration = Duration::from_secs(2);

/// The commands for the headings that the contract knows, and what they are about.
const SHORT: [(&str, &str); 4] = [
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
    word == "candidates" || SHORT.iter().any(|(name, _)| *name == word)
}

/// The commands.
pub(super) fn commands(driver: &Choice) -> Vec<Command> {
    let short = SHORT
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
        .args(driver.inventory_arguments())
}

/// Lists.
pub(super) fn execute(choice: &Choice, command: &str, matches: &ArgMatches) -> Result<(), Failure> {
    let Some(loaded) = &choice.loaded else {
        return Err(Failure::shown(Exit::Usage));
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
    let surroundings =
        Surroundings::of_process(report, Cancel::default()).with_profile(choice.profile());
    let flags = flags(choice.inventory_options(), matches);
    let inventory = Inventory::new(&choice.driver, surroundings, &flags)?;
    let told = inventory.candidates(&listable.option_name, listing::patience(matches));
    let mut candidates = told.map_err(|error| {
        let is_late = error.kind() == ErrorKind::TimedOut;
        let failure = Failure::from(error);
        match is_late && failure.hint.is_none() {
            true => Failure {
                hint: Some("--timeout gives it longer".to_owned()),
                ..failure
            },
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
        let error = anyhow::anyhow!("--filter: options have no id, only a name");
        return Err(Failure::new(Exit::Usage, error));
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
    Failure {
        hint: Some("`btcloud-host candidates` lists the options that have such a list".to_owned()),
        ..Failure::new(Exit::Usage, anyhow::Error::msg(message.to_owned()))
    }
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
                let error = anyhow::anyhow!("--filter: {key} is none of {}", keys.join(", "));
                Err(Failure::new(Exit::Usage, error))
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

/// Completes the value of an option: what the driver says that it can name.
#[derive(Clone)]
pub(super) struct Completer {
    pub(super) driver: Arc<LazyDriver>,
    pub(super) loaded: Arc<Loaded>,
    pub(super) profile: ProfileChoice,
    /// What stands on the command line.
    pub(super) words: Arc<Words>,
    /// The option.
    pub(super) option: String,
}

impl Completer {
    /// The names that begin like what has been typed; none where they cannot be had, be it why it may. The shell shows no
    /// error while somebody types.
    pub(super) fn complete(&self, typed: &OsStr) -> Vec<CompletionCandidate> {
        let Some(typed) = typed.to_str().map(|typed| self.words.typed(typed)) else {
            return Vec::new();
        };
        let candidates = self.candidates_in_time().unwrap_or_default();
        // They are in the order of their names.
        let is_at = |index: Option<usize>, name: &str| {
            index
                .and_then(|index| candidates.get(index))
                .is_some_and(|candidate| candidate.name == name)
        };
        let completed = candidates.iter().enumerate().filter_map(|(i, candidate)| {
            let name = candidate.name.as_str();
            let is_unique = !is_at(i.checked_sub(1), name) && !is_at(i.checked_add(1), name);
            // Of several with one name each is known by its id.
            let (value, other) = match is_unique {
                true => (&candidate.name, &candidate.details.join(" ")),
                false => (&candidate.id, &candidate.name),
            };
            let shown = typed.complete(value)?;
            let help = (!other.trim().is_empty()).then(|| other.trim().to_owned());
            Some(CompletionCandidate::new(shown).help(help.map(Into::into)))
        });
        completed.collect()
    }

    /// What is told within [`PATIENCE`], whatever keeps the driver or the cloud busy.
    fn candidates_in_time(&self) -> Option<Vec<Candidate>> {
        let (sender, receiver) = mpsc::sync_channel(1);
        let completer = self.clone();
        thread::spawn(move || drop(sender.send(completer.candidates())));
        receiver.recv_timeout(PATIENCE).ok().flatten()
    }

    fn candidates(&self) -> Option<Vec<Candidate>> {
        let listable = self.loaded.listable().ok()?;
        if !listable.iter().any(|l| l.option_name == self.option) {
            return None;
        }
        let surroundings = Surroundings::of_process(Arc::new(Silent), Cancel::default())
            .with_profile(self.profile.clone());
        let mut flags: Flags = self.words.flags(&self.loaded.description.options);
        // What is there of it is what is being typed.
        flags.remove(&self.option);
        let inventory = Inventory::new(&self.driver, surroundings, &flags).ok()?;
        inventory.candidates(&self.option, PATIENCE).ok()
    }
}
