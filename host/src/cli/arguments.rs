//! The arguments that commands have in common, and the driver's options as flags.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use clap::{Arg, ArgAction, ArgMatches, value_parser};
use clap_complete::engine::ArgValueCompleter;

use super::completion::{Completer, machines};
use super::driver::Choice;
use super::failure::Failure;
use crate::contract::{OptionKind, OptionSpec};
use crate::machine::profile;
use crate::machine::{Error, Flag, Flags, Store, is_machine_name};

/// The flags of every command that runs a driver.
pub(super) fn common() -> [Arg; 3] {
    [
        storage_path().global(true),
        Arg::new("driver")
            .long("driver")
            .global(true)
            .value_name("NAME|FILE")
            .value_parser(value_parser!(PathBuf))
            .help("Installed driver or component file [default: the driver that made the machine; otherwise the profile's, or btcloud]"),
        Arg::new("verbose")
            .short('v')
            .long("verbose")
            .global(true)
            .action(ArgAction::SetTrue)
            .help("Print each API call and more detail"),
    ]
}

/// The flag that names the store.
pub(super) fn storage_path() -> Arg {
    Arg::new("storage-path")
        .short('s')
        .long("storage-path")
        .value_name("DIRECTORY")
        .value_parser(value_parser!(PathBuf))
        .env("MACHINE_STORAGE_PATH")
        .hide_env_values(true)
        .help("The store of machines, shared with docker-machine [default: ~/.docker/machine]")
}

/// The flag of every command that makes something new, or asks an account.
pub(super) fn profile() -> Arg {
    Arg::new("profile")
        .long("profile")
        .value_name("NAME")
        .env(profile::VARIABLE)
        .hide_env_values(true)
        .help("Profile to read options from; see `btcloud-host config show --help`")
}

/// The flag of commands whose answer a program may read.
pub(super) fn json() -> Arg {
    Arg::new("json")
        .long("json")
        .action(ArgAction::SetTrue)
        .help("Print JSON")
}

/// The flag of commands that otherwise tell what they do.
pub(super) fn quiet() -> Arg {
    Arg::new("quiet")
        .short('q')
        .long("quiet")
        .action(ArgAction::SetTrue)
        .help("Print only warnings and errors")
}

/// The flag of commands that otherwise ask for the user's consent.
pub(super) fn yes(help: &'static str) -> Arg {
    Arg::new("yes")
        .short('y')
        .long("yes")
        .action(ArgAction::SetTrue)
        .help(help)
}

/// The argument that is a machine's name.
pub(super) fn machine_name(id: &'static str) -> Arg {
    Arg::new(id)
        .value_name("NAME")
        .required(true)
        .add(ArgValueCompleter::new(machines))
        .help("The machine's name")
}

/// The names of machines that an argument has, each once.
///
/// # Errors
///
/// With the first that is no name of a machine.
pub(super) fn machine_names(matches: &ArgMatches, id: &str) -> Result<Vec<String>, Failure> {
    let names = matches.get_many::<String>(id).into_iter().flatten();
    distinct(names.cloned().collect())
}

/// These names of machines, each once.
///
/// # Errors
///
/// With the first that is no name of a machine.
pub(super) fn distinct(names: Vec<String>) -> Result<Vec<String>, Failure> {
    if let Some(name) = names.iter().find(|name| !is_machine_name(name)) {
        return Err(Error::Name(name.clone()).into());
    }
    let mut seen = BTreeSet::new();
    let is_new = |name: &String| seen.insert(name.clone());
    Ok(names.into_iter().filter(is_new).collect())
}

/// Whether a flag is given that not every command has.
pub(super) fn has_flag(matches: &ArgMatches, id: &str) -> bool {
    matches.try_get_one::<bool>(id).ok().flatten() == Some(&true)
}

/// The flags of options of the driver.
pub(super) fn options<'s>(
    choice: &Choice,
    specs: impl Iterator<Item = &'s OptionSpec>,
) -> Vec<Arg> {
    let flag = |spec: &OptionSpec| {
        let arg = option(spec);
        let Some(completer) = completer(choice, spec) else {
            return arg;
        };
        arg.add(ArgValueCompleter::new(move |typed: &OsStr| {
            completer.complete(typed)
        }))
    };
    specs.map(flag).collect()
}

/// What completes the names that an option can have, if a shell asks for that.
fn completer(choice: &Choice, spec: &OptionSpec) -> Option<Completer> {
    let is_name = matches!(spec.kind, OptionKind::Text | OptionKind::TextList);
    let words = choice.words.as_ref().filter(|_| is_name)?;
    Some(Completer {
        driver: Arc::clone(&choice.driver),
        loaded: Arc::clone(choice.loaded.as_ref()?),
        profile: choice.profile(),
        words: Arc::clone(words),
        option: spec.name.clone(),
    })
}

/// The flag of an option of the driver.
fn option(spec: &OptionSpec) -> Arg {
    let mut help = spec.help.clone();
    for (label, text) in [("env", Some(&spec.env)), ("default", spec.default.as_ref())] {
        if let Some(text) = text.filter(|text| !text.is_empty()) {
            help.push_str(&format!(" [{label}: {text}]"));
        }
    }
    if spec.required.is_some() {
        help.push_str(" [required]");
    }
    let arg = Arg::new(spec.name.clone())
        .long(spec.name.clone())
        .help(help);
    match spec.kind {
        OptionKind::Boolean | OptionKind::Insecure => arg.action(ArgAction::SetTrue),
        OptionKind::Integer => arg
            .value_name("NUMBER")
            .value_parser(value_parser!(i64))
            .allow_negative_numbers(true),
        OptionKind::TextList => arg.value_name("TEXT").action(ArgAction::Append),
        OptionKind::Text => arg.value_name("TEXT"),
        OptionKind::Endpoint => arg.value_name("URL"),
        OptionKind::Secret => arg.value_name("SECRET"),
        OptionKind::File | OptionKind::SshKey | OptionKind::Certificates => arg.value_name("FILE"),
    }
}

/// The driver's flags that were given.
pub(super) fn flags<'s>(
    specs: impl Iterator<Item = &'s OptionSpec>,
    matches: &ArgMatches,
) -> Flags {
    let flag = |spec: &OptionSpec| {
        let name = spec.name.as_str();
        Some(match spec.kind {
            OptionKind::Boolean | OptionKind::Insecure => Flag::Boolean(matches.get_flag(name)),
            OptionKind::Integer => Flag::Integer(*matches.get_one(name)?),
            OptionKind::TextList => {
                Flag::TextList(matches.get_many::<String>(name)?.cloned().collect())
            }
            _ => Flag::Text(matches.get_one::<String>(name)?.clone()),
        })
    };
    specs
        .filter_map(|spec| Some((spec.name.clone(), flag(spec)?)))
        .collect()
}

/// The store that is named, or the user's.
///
/// # Errors
///
/// If the user has no home directory, or the path is none.
pub(super) fn store(matches: &ArgMatches) -> Result<Store, Failure> {
    match matches
        .get_one::<PathBuf>("storage-path")
        .filter(|path| !path.as_os_str().is_empty())
    {
        Some(path) => {
            let path = std::path::absolute(path)
                .with_context(|| format!("cannot use the store {}", path.display()))
                .map_err(Failure::usage)?;
            Ok(Store::at(path))
        }
        None => Store::of_user().ok_or_else(|| {
            Failure::usage("there is no home directory for the store of machines")
                .with_hint("name the store with --storage-path")
        }),
    }
}
