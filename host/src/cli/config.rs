//! `btcloud-host config show`: the options as they would be for a new machine, and where each comes from.

use std::sync::Arc;

use clap::{ArgMatches, Command};
use console::Style;
use serde_json::json;

use super::arguments::{common, flags, json, options, profile, store};
use super::driver::Choice;
use super::exit::Exit;
use super::failure::Failure;
use super::report::Report;
use super::table::{Cell, Table};
use super::terminal::{print, print_json};
use crate::capability::clock::Cancel;
use crate::capability::text::clean;
use crate::machine::{Configured, Flag, Origin};

/// The most bytes of a value in the table.
const MAX_VALUE: usize = 60;

const DETAILS: &str = "\
Precedence: flag, environment variable, profile, default. A profile is used only if it is named: by --profile, by \
BTCLOUD_PROFILE, or by `profile = \"NAME\"` in config.toml:

  $XDG_CONFIG_HOME/btcloud/config.toml   tables [profiles.NAME], with the options without the driver's name
  ~/.cmk/config                          CloudMonkey's: NAME or cmk:NAME; `cmk:` is its current one
  ~/.cloudstack.ini                      that of the client cs, or $CLOUDSTACK_CONFIG: NAME or cs:NAME; `cs:` is its current one

Machines that are there keep the account that made them, whatever the profile.";

/// The command.
pub(super) fn command(driver: &Choice) -> Command {
    let show = Command::new("show")
        .about("Show the options as they would be for a new machine, and where each comes from")
        .after_help(DETAILS)
        .arg(profile())
        .arg(json())
        .args_override_self(true)
        .next_help_heading(driver.heading())
        .args(options(driver, driver.options(None)));
    Command::new("config")
        .about("Show the effective configuration")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .args(common())
        .subcommand(show)
}

/// Runs `btcloud-host config show`.
pub(super) fn execute(choice: &Choice, matches: &ArgMatches) -> Result<(), Failure> {
    let (Some(("show", matches)), Some(loaded)) = (matches.subcommand(), &choice.loaded) else {
        return Err(Failure::silent(Exit::Usage));
    };
    let flags = flags(choice.options(None), matches);
    let report = Arc::new(Report::new(matches.get_flag("verbose")));
    let surroundings = choice.surroundings(report, Cancel::default());
    let options = loaded.configured(&surroundings, &flags)?;
    let store = store(matches)?;
    let profile = choice.profile.as_ref();
    if matches.get_flag("json") {
        let options = options.iter().map(|option| {
            json!({
                "name": option.spec.name,
                "value": option.value.as_ref().map(|(flag, _)| to_json(flag)),
                "source": source(option),
                "required": option.spec.required.is_some(),
            })
        });
        return print_json(&json!({
            "driver": loaded.name,
            "store": store.path().to_string_lossy(),
            "profile": profile.map(|profile| json!({ "name": profile.name, "path": profile.path.to_string_lossy() })),
            "options": options.collect::<Vec<_>>(),
        }));
    }
    print(&format!(
        "Driver   {} {}",
        loaded.name, loaded.description.version
    ))?;
    print(&format!("Store    {}", store.path().display()))?;
    match profile {
        Some(profile) => print(&format!(
            "Profile  {}, in {}",
            profile.name,
            profile.path.display()
        ))?,
        None => print("Profile  none")?,
    }
    print("")?;
    let mut table = Table::new(&["OPTION", "VALUE", "SOURCE"]);
    for option in &options {
        let value = option.value.as_ref();
        let value = value.map_or_else(|| "-".to_owned(), |(flag, _)| shown(flag));
        let is_missing = option.value.is_none() && option.spec.required.is_some();
        let style = match is_missing {
            true => Style::new().red(),
            false => Style::new(),
        };
        table.row(vec![
            option.spec.name.as_str().into(),
            value.into(),
            Cell::styled(source(option), style),
        ]);
    }
    table.print()
}

fn source(option: &Configured) -> String {
    match (&option.value, &option.spec.required) {
        (Some((_, Origin::Flag)), _) => format!("--{}", option.spec.name),
        (Some((_, Origin::Variable(name))), _) => format!("variable {name}"),
        (Some((_, Origin::Profile(path))), _) => format!("profile in {}", path.display()),
        (Some((_, Origin::Default)), _) => "default".to_owned(),
        (None, Some(_)) => "required, and not given".to_owned(),
        (None, None) => "not given".to_owned(),
    }
}

fn shown(flag: &Flag) -> String {
    let text = match flag {
        Flag::Boolean(on) => on.to_string(),
        Flag::Integer(number) => number.to_string(),
        Flag::Text(text) => text.clone(),
        Flag::TextList(items) => items.join(", "),
    };
    clean(text.lines().next().unwrap_or_default(), MAX_VALUE)
}

fn to_json(flag: &Flag) -> serde_json::Value {
    match flag {
        Flag::Boolean(on) => json!(on),
        Flag::Integer(number) => json!(number),
        Flag::Text(text) => json!(text),
        Flag::TextList(items) => json!(items),
    }
}
