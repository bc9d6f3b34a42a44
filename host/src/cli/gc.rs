//! `btcloud-host gc`: what the account has of machines that this store does not know.

use std::collections::BTreeSet;
use std::sync::Arc;

use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::json;

use super::arguments::{common, flags, json, options, profile, store};
use super::driver::Choice;
use super::each::each;
use super::failure::Failure;
use super::report::Report;
use super::terminal::{cancel_on_signals, print, print_json, warn};
use crate::contract::OptionScope;
use crate::machine::{Account, Change, Error, Found, Store};

const ABOUT: &str =
    "Find cloud resources of machines that this store does not know, and remove them on request";

const DETAILS: &str = "\
A machine that another computer or another store manages looks just like one that was forgotten: nothing is removed unless \
its id is given.";

/// The command.
pub(super) fn command(driver: &Choice) -> Command {
    Command::new("gc")
        .about(ABOUT)
        .after_help(DETAILS)
        .args(common())
        .arg(profile())
        .arg(
            Arg::new("remove")
                .long("remove")
                .value_name("ID")
                .action(ArgAction::Append)
                .help("Remove all that is listed of the machine with that id; can be given more than once"),
        )
        .arg(json().conflicts_with("remove"))
        .args_override_self(true)
        .next_help_heading(driver.heading())
        .args(options(driver, driver.options(Some(OptionScope::Account))))
}

/// Runs `btcloud-host gc`.
pub(super) fn execute(driver: &Choice, matches: &ArgMatches) -> Result<(), Failure> {
    let flags = flags(driver.options(Some(OptionScope::Account)), matches);
    let report = Arc::new(Report::new(matches.get_flag("verbose")));
    let cancel = cancel_on_signals(|| ());
    let surroundings = driver.surroundings(report.clone(), cancel.clone());
    let account = Account::new(Arc::clone(&driver.driver), surroundings, &flags)?;
    let wanted = matches.get_many("remove").into_iter().flatten();
    let wanted: Vec<String> = wanted.cloned().collect();

    let known = ids(&store(matches)?, wanted.is_empty())?;
    let mut found = account.survey()?;
    found.retain(|machine| !known.contains(&machine.id));
    if matches.get_flag("json") {
        return print_json(&found.iter().map(to_json).collect());
    }
    if wanted.is_empty() {
        return list(&found);
    }
    if let Some(id) = wanted.iter().find(|id| machine_of(&found, id).is_none()) {
        return Err(unknown(id));
    }
    // One after the other: what is listed of two machines may be one thing that they share.
    let work = |id: &str| {
        let machine = machine_of(&found, id).ok_or_else(|| unknown(id))?;
        account.machine(machine).change(Change::Remove)?;
        Ok(format!("Removed {} ({id})", machine.name))
    };
    let tell = |_: &str, line: String| print(&line);
    each(&wanted, 1, &cancel, &report, &work, &tell)
}

fn machine_of<'f>(found: &'f [Found], id: &str) -> Option<&'f Found> {
    found.iter().find(|machine| machine.id == id)
}

fn unknown(id: &str) -> Failure {
    let error =
        format!("nothing was found of a machine with the id {id} that this store does not know");
    Failure::usage(error).with_hint("`btcloud-host gc` lists the ids")
}

/// The ids of the store's machines. One that cannot be read is warned of, or an error: its machine could be among those
/// that are found.
fn ids(store: &Store, is_tolerant: bool) -> Result<BTreeSet<String>, Failure> {
    let mut ids = BTreeSet::new();
    for name in store.names()? {
        match store.load(&name) {
            Ok((record, _)) => drop(ids.insert(record.text("MachineID").to_owned())),
            Err(Error::NoSuchMachine { .. }) => {}
            Err(error) if is_tolerant => warn(&format!(
                "{error}; the machine may be among those that are listed"
            )),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(ids)
}

fn list(found: &[Found]) -> Result<(), Failure> {
    if found.is_empty() {
        return print("Nothing was found that does not belong to a machine of this store");
    }
    for machine in found {
        print(&format!("{} ({})", machine.name, machine.id))?;
        for part in &machine.parts {
            print(&format!("  {part}"))?;
        }
    }
    print(
        "\nAnother computer or store may manage these. `btcloud-host gc --remove ID` removes all that is listed of one",
    )
}

fn to_json(machine: &Found) -> serde_json::Value {
    json!({ "name": machine.name, "id": machine.id, "parts": machine.parts })
}
