//! What the commands that list something have in common: their arguments, and the reading of filters.

use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, value_parser};
use regex_lite::Regex;

use super::failure::Failure;

/// How filters go together, for the help.
pub(super) const COMBINED: &str = "\
Filters with the same key are alternatives (OR); filters with different keys must all match (AND).";

/// The arguments: `quiet` and `timeout` are the help for those of that name, `seconds` is how long to wait without one.
pub(super) fn arguments(
    quiet: &'static str,
    seconds: &'static str,
    timeout: &'static str,
) -> [Arg; 4] {
    [
        Arg::new("quiet")
            .short('q')
            .long("quiet")
            .action(ArgAction::SetTrue)
            .help(quiet),
        Arg::new("filter")
            .long("filter")
            .value_name("KEY=VALUE")
            .action(ArgAction::Append)
            .help("List only what matches; can be given more than once"),
        Arg::new("timeout")
            .short('t')
            .long("timeout")
            .value_name("SECONDS")
            .value_parser(value_parser!(u16).range(1..))
            .default_value(seconds)
            .help(timeout),
        Arg::new("format")
            .short('f')
            .long("format")
            .value_name("FORMAT")
            .value_parser(["table", "json"])
            .default_value("table")
            .help("Output format"),
    ]
}

/// How long to wait for an answer.
pub(super) fn patience(matches: &ArgMatches) -> Duration {
    let seconds = matches.get_one::<u16>("timeout").copied();
    Duration::from_secs(seconds.unwrap_or_default().into())
}

/// Whether JSON is wanted rather than a table.
pub(super) fn is_json(matches: &ArgMatches) -> bool {
    matches.get_one::<String>("format").map(String::as_str) == Some("json")
}

/// A filter as it was given.
pub(super) struct Filter<'m> {
    text: &'m str,
    /// What is before its first `=`.
    pub(super) key: &'m str,
    /// What is after it.
    pub(super) value: &'m str,
}

impl<'m> Filter<'m> {
    /// All that were given.
    ///
    /// # Errors
    ///
    /// With the first that has no `=`.
    pub(super) fn all(matches: &'m ArgMatches) -> Result<Vec<Self>, Failure> {
        let texts = matches.get_many::<String>("filter").into_iter().flatten();
        let filters = texts.map(|text| match text.split_once('=') {
            Some((key, value)) => Ok(Self { text, key, value }),
            None => Err(refused(text, "it is not KEY=VALUE")),
        });
        filters.collect()
    }

    /// Its value as a regular expression.
    ///
    /// # Errors
    ///
    /// If it is none.
    pub(super) fn regex(&self) -> Result<Regex, Failure> {
        let told = |e| self.refused(&format!("it is no regular expression: {e}"));
        Regex::new(self.value).map_err(told)
    }

    /// What is wrong with it.
    pub(super) fn refused(&self, reason: &str) -> Failure {
        refused(self.text, reason)
    }
}

fn refused(text: &str, reason: &str) -> Failure {
    Failure::usage(format!("--filter {text}: {reason}"))
}
