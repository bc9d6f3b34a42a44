//! `btcloud-host driver test FILE`: whether a driver keeps the contract.

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use super::driver::read_component;
use super::drivers::required_path;
use super::failure::Failure;
use super::terminal::print;
use crate::capability::text::clean;
use crate::conformance::{self, Settings};
use crate::sandbox::Cache;

/// The most bytes of a line that tells what a driver did.
const MAX_LINE: usize = 2_000;

/// The most of them for one check.
const MAX_LINES: usize = 10;

/// The command `driver test`.
pub(super) fn command() -> Command {
    Command::new("test")
        .about("Test whether a driver keeps the contract, for those who write one")
        .long_about(
            "Test whether a driver keeps the contract, for those who write one.\n\n\
             It is run against a cloud on this machine that fails in several ways. With --endpoint, machines are made \
             and removed in the cloud there too; their options are taken from --option and the environment.",
        )
        .arg(
            Arg::new("file")
                .value_name("FILE")
                .required(true)
                .value_parser(value_parser!(PathBuf))
                .help("The driver's component"),
        )
        .arg(
            Arg::new("endpoint")
                .long("endpoint")
                .value_name("URL")
                .help("Also test against this cloud, as the driver's first endpoint option; machines are created and removed there"),
        )
        .arg(
            Arg::new("option")
                .long("option")
                .value_name("NAME=VALUE")
                .action(ArgAction::Append)
                .value_parser(|text: &str| {
                    let (name, value) = text.split_once('=').ok_or("it has no =")?;
                    Ok::<_, &str>((name.to_owned(), value.to_owned()))
                })
                .help("The value of an option of the driver; its name may be without the driver's"),
        )
}

/// Runs the test and prints what came of it.
pub(super) fn execute(matches: &ArgMatches) -> Result<(), Failure> {
    let component = read_component(required_path(matches, "file")?)?;
    let options = matches.get_many::<(String, String)>("option");
    let settings = Settings {
        options: options.into_iter().flatten().cloned().collect(),
        endpoint: matches.get_one("endpoint").cloned(),
        variables: Arc::new(|name| std::env::var(name).ok()),
        cache: Cache::of_user(),
        ..Settings::default()
    };
    let report = conformance::run(&component, &settings).map_err(|error| match error {
        conformance::Error::Options(error) => error.into(),
        conformance::Error::Io(_) => Failure::failed(error),
        _ => Failure::usage(error),
    })?;

    if let Some(driver) = &report.driver {
        print(&clean(driver, MAX_LINE))?;
    }
    for check in &report.checks {
        let mark = if check.passed { "ok  " } else { "FAIL" };
        print(&format!("{mark}  {}", check.name))?;
        for line in check.detail.iter().take(MAX_LINES) {
            print(&format!("        {}", clean(line, MAX_LINE)))?;
        }
        if let Some(more) = check.detail.len().checked_sub(MAX_LINES).filter(|n| *n > 0) {
            print(&format!("        and {more} more"))?;
        }
    }
    let (failed, all) = (report.failed().count(), report.checks.len());
    if failed > 0 {
        let error = format!("the driver fails {failed} of {all} checks");
        return Err(Failure::failed(error));
    }
    print(&format!("The driver passes all {all} checks"))
}
