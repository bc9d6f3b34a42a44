//! `btcloud-host driver`: third-party drivers, what they ask for and what they are granted.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use serde_json::{Value as Json, json};

use super::arguments::{self, storage_path, store, yes};
use super::driver::read_component;
use super::driver_test;
use super::exit::Exit;
use super::failure::Failure;
use super::terminal::{consents, print, print_json, warn};
use crate::builtin;
use crate::capability::http::proxy;
use crate::contract::{self, Description, OptionKind};
use crate::directories;
use crate::machine::Error;
use crate::plugin::program_name;
use crate::registry::{self, Grant, Registry, TrustedKeys};
use crate::sandbox::{Cache, Driver, Limits};

/// The command.
pub(super) fn command() -> Command {
    let name = || Arg::new("name").value_name("NAME").required(true);
    Command::new("driver")
        .about("Install third-party drivers, see what they may do, and test one")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(install_command())
        .subcommand(driver_test::command())
        .subcommand(
            Command::new("list")
                .about("List the installed drivers")
                .arg(arguments::json()),
        )
        .subcommand(
            Command::new("show")
                .about("Show what a driver asks for and what it was granted")
                .arg(name())
                .arg(arguments::json()),
        )
        .subcommand(
            Command::new("verify")
                .about("Check that drivers are still those that were installed")
                .arg(
                    Arg::new("name")
                        .value_name("NAME")
                        .action(ArgAction::Append)
                        .help("The driver; all of them if none is named"),
                ),
        )
        .subcommand(
            Command::new("remove")
                .about("Remove an installed driver")
                .arg(name())
                .arg(storage_path())
                .arg(bin_dir())
                .arg(
                    Arg::new("force")
                        .long("force")
                        .action(ArgAction::SetTrue)
                        .help("Remove it although the store has machines that it made"),
                ),
        )
}

fn install_command() -> Command {
    Command::new("install")
        .about("Install a driver, once you have seen what it asks for")
        .after_help(
            "The driver's component is copied and pinned by its sha256. docker-machine finds it by a link \
             docker-machine-driver-NAME in the directory --bin-dir, which has to be in PATH.",
        )
        .arg(
            Arg::new("file")
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .required(true)
                .help("The driver's component"),
        )
        .arg(
            Arg::new("as")
                .long("as")
                .value_name("NAME")
                .help("The name to install it under [default: its own]"),
        )
        .arg(yes("Grant it without asking"))
        .arg(
            Arg::new("allow")
                .long("allow")
                .value_name("COMMAND")
                .action(ArgAction::Append)
                .help("Grant only this API command of those that it asks for; can be given more than once"),
        )
        .arg(
            Arg::new("deny")
                .long("deny")
                .value_name("COMMAND")
                .action(ArgAction::Append)
                .conflicts_with("allow")
                .help("Do not grant this API command; can be given more than once"),
        )
        .arg(
            Arg::new("host")
                .long("host")
                .value_name("HOST")
                .action(ArgAction::Append)
                .help("Grant only endpoints at this host; can be given more than once [default: wherever the options say]"),
        )
        .arg(
            Arg::new("limit")
                .long("limit")
                .value_name("LIMIT=NUMBER")
                .action(ArgAction::Append)
                .help("What one operation of the driver may use, such as memory-bytes=67108864; `driver show --json` lists all limits"),
        )
        .arg(
            Arg::new("signature")
                .long("signature")
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .help("The component's signature, made by minisign [default: FILE.minisig if there is such a file]"),
        )
        .arg(
            Arg::new("key")
                .long("key")
                .value_name("KEY|FILE")
                .action(ArgAction::Append)
                .help("A public key of minisign's to trust, besides those in ~/.config/btcloud-host/trusted-keys"),
        )
        .arg(bin_dir())
}

fn bin_dir() -> Arg {
    Arg::new("bin-dir")
        .long("bin-dir")
        .value_name("DIRECTORY")
        .value_parser(value_parser!(PathBuf))
        .help("Where the link for docker-machine is put [default: ~/.local/bin]")
}

/// Runs `btcloud-host driver`.
pub(super) fn execute(matches: &ArgMatches) -> Result<(), Failure> {
    if let Some(("test", matches)) = matches.subcommand() {
        return driver_test::execute(matches);
    }
    let registry = Registry::of_user()
        .ok_or_else(|| Failure::usage("there is no home directory for installed drivers"))?;
    match matches.subcommand() {
        Some(("install", matches)) => install(&registry, matches),
        Some(("list", matches)) => list(&registry, matches.get_flag("json")),
        Some(("show", matches)) => show(&registry, matches),
        Some(("verify", matches)) => verify(&registry, matches),
        Some(("remove", matches)) => remove(&registry, matches),
        _ => Err(Failure::silent(Exit::Usage)),
    }
}

/// What a component is.
fn describe(component: &[u8]) -> Result<Description, Failure> {
    let cache = Cache::of_user();
    let described = Driver::load(component, Limits::default(), cache.as_ref())
        .and_then(|driver| driver.describe());
    Ok(described.map_err(Error::from)?)
}

fn install(registry: &Registry, matches: &ArgMatches) -> Result<(), Failure> {
    let file = required_path(matches, "file")?;
    let component = read_component(file)?;
    let description = describe(&component)?;
    let name = matches.get_one("as").unwrap_or(&description.name);
    Registry::check_name(name)?;
    let mut grant = Grant::of(&component, &description);
    narrow(&mut grant, matches)?;
    grant.signed_by = signer(file, &component, matches)?;

    for line in summary(&description, &grant) {
        print(&line)?;
    }
    if !matches.get_flag("yes") && !confirms_grant(name)? {
        return Err(Failure::failed("not installed"));
    }
    registry.install(name, &component, &grant)?;
    print(&format!("Installed as {name}"))?;
    let directory = bin_directory(matches)?;
    link(&directory, name)?;
    let path = env::var_os("PATH").unwrap_or_default();
    if !env::split_paths(&path).any(|entry| entry == directory) {
        warn(&format!(
            "{} is not in PATH, so that docker-machine does not find the driver there",
            directory.display()
        ));
    }
    Ok(())
}

/// Takes from a grant what the user does not grant.
fn narrow(grant: &mut Grant, matches: &ArgMatches) -> Result<(), Failure> {
    let given = |id: &str| -> Vec<String> {
        let values = matches.get_many::<String>(id);
        values.into_iter().flatten().cloned().collect()
    };
    let (allowed, denied) = (given("allow"), given("deny"));
    let mut named = allowed.iter().chain(&denied);
    if let Some(unknown) = named.find(|command| !grant.commands.contains(*command)) {
        let error = format!("the driver does not ask for the command {unknown}");
        return Err(Failure::usage(error));
    }
    if !allowed.is_empty() {
        grant.commands = allowed.into_iter().collect();
    }
    grant.commands.retain(|command| !denied.contains(command));
    let hosts: BTreeSet<_> = given("host").into_iter().collect();
    grant.hosts = (!hosts.is_empty()).then_some(hosts);
    grant.limits = limits(&given("limit"))?;
    Ok(())
}

/// The default limits with those that are given as `NAME=NUMBER` in their places.
fn limits(given: &[String]) -> Result<Limits, Failure> {
    let mut numbers = serde_json::Map::new();
    for text in given {
        let number = text
            .split_once('=')
            .and_then(|(name, number)| Some((name, number.parse::<u64>().ok()?)));
        let (name, number) = number.ok_or_else(|| {
            Failure::usage(format!(
                "\"{text}\" is not a limit with a number, such as memory-bytes=67108864"
            ))
        })?;
        numbers.insert(name.to_owned(), number.into());
    }
    serde_json::from_value(Json::Object(numbers))
        .map_err(|e| Failure::usage(format!("there is no such limit: {e}")))
}

/// The trusted key by which a component is signed; nothing if it has no signature.
fn signer(file: &Path, component: &[u8], matches: &ArgMatches) -> Result<Option<String>, Failure> {
    let beside = registry::beside(file);
    let signature = match matches.get_one::<PathBuf>("signature") {
        Some(path) => path,
        None if beside.exists() => &beside,
        // Who names a key wants to see a signature by it.
        None if matches.contains_id("key") => &beside,
        None => return Ok(None),
    };
    let mut keys = TrustedKeys::of_user()?;
    for key in matches.get_many::<String>("key").into_iter().flatten() {
        keys.add(key)?;
    }
    Ok(Some(keys.verify(component, signature)?))
}

/// What a driver is, asks for and is granted, for a person.
fn summary(description: &Description, grant: &Grant) -> Vec<String> {
    let row = |label: &str, text: String| format!("{label:<13}{text}");
    let mut lines = vec![
        row(
            "Driver",
            format!("{} {}", description.name, description.version),
        ),
        row("Component", format!("sha256 {}", grant.sha256)),
        row(
            "Signature",
            match &grant.signed_by {
                Some(key) => format!("by the trusted key {key}"),
                None => "none".to_owned(),
            },
        ),
    ];
    let of_kind = |kind| {
        let options = description.options.iter();
        options.filter(move |option| option.kind == kind)
    };
    for option in of_kind(OptionKind::Endpoint) {
        let default = option.default.as_deref().unwrap_or("no default");
        lines.push(row("Endpoint", format!("--{} ({default})", option.name)));
    }
    let hosts = match &grant.hosts {
        Some(hosts) => join(hosts),
        None => "wherever the endpoints are".to_owned(),
    };
    lines.push(row("Hosts", hosts));
    if let Some(proxy) = proxy() {
        lines.push(row(
            "Proxy",
            format!("{proxy}, which the environment names"),
        ));
    }
    for option in of_kind(OptionKind::Secret) {
        let text = format!(
            "--{}, kept by the host and used in its requests",
            option.name
        );
        lines.push(row("Secret", text));
    }
    lines.push(row("Calls", join(&grant.commands)));
    let asked: BTreeSet<_> = description.commands.iter().cloned().collect();
    let denied: BTreeSet<_> = asked.difference(&grant.commands).cloned().collect();
    if !denied.is_empty() {
        lines.push(row("Not granted", join(&denied)));
    }
    for (name, limit) in changed_limits(&grant.limits) {
        lines.push(row("Limit", format!("{name} {limit}")));
    }
    let names: BTreeSet<_> = description
        .options
        .iter()
        .map(|o| format!("--{}", o.name))
        .collect();
    lines.push(row("Options", join(&names)));
    lines
}

/// The limits that are not the default ones.
fn changed_limits(limits: &Limits) -> Vec<(String, Json)> {
    let members = |limits: &Limits| match serde_json::to_value(limits) {
        Ok(Json::Object(members)) => members,
        _ => serde_json::Map::new(),
    };
    let default = members(&Limits::default());
    let members = members(limits).into_iter();
    members
        .filter(|(name, limit)| default.get(name) != Some(limit))
        .collect()
}

fn join(items: &BTreeSet<String>) -> String {
    match items.is_empty() {
        true => "none".to_owned(),
        false => items.iter().cloned().collect::<Vec<_>>().join(", "),
    }
}

fn confirms_grant(name: &str) -> Result<bool, Failure> {
    consents(
        &format!("Install it as {name} and grant it that?"),
        "--yes grants it without asking",
    )
}

fn bin_directory(matches: &ArgMatches) -> Result<PathBuf, Failure> {
    let directory = match matches.get_one::<PathBuf>("bin-dir") {
        Some(directory) => std::path::absolute(directory).ok(),
        None => directories::programs(),
    };
    directory.ok_or_else(|| {
        Failure::usage("there is no home directory for the link")
            .with_hint("name a directory with --bin-dir")
    })
}

fn link_path(directory: &Path, name: &str) -> PathBuf {
    directory.join(program_name(name))
}

/// Whether a path is a link to a plugin of this project's.
fn is_own_link(path: &Path) -> bool {
    let target = fs::read_link(path).ok();
    target.is_some_and(|target| target.file_name() == Some(plugin().as_ref()))
}

/// The program that serves every driver.
fn plugin() -> String {
    program_name(builtin::NAME)
}

/// Has docker-machine find a driver.
fn link(directory: &Path, name: &str) -> Result<(), Failure> {
    let program = env::current_exe()
        .context("cannot tell where this program is")
        .map_err(Failure::failed)?;
    let plugin = program.with_file_name(plugin());
    if !plugin.is_file() {
        return Err(Failure::failed(format!(
            "{} is missing, without which docker-machine cannot use the driver; btcloud-host can",
            plugin.display()
        )));
    }
    let path = link_path(directory, name);
    if fs::symlink_metadata(&path).is_ok() && !is_own_link(&path) {
        return Err(Failure::failed(format!(
            "{} is something else, so that docker-machine cannot find the driver; btcloud-host can use it",
            path.display()
        )));
    }
    let make = || {
        fs::create_dir_all(directory)?;
        // A link is replaced at once, so that a client always finds one.
        let new = path.with_extension("new");
        drop(fs::remove_file(&new));
        symlink(&plugin, &new)?;
        fs::rename(&new, &path)
    };
    make()
        .with_context(|| format!("cannot make the link {}", path.display()))
        .map_err(Failure::failed)?;
    print(&format!(
        "docker-machine create --driver {name} finds it by {}",
        path.display()
    ))
}

fn list(registry: &Registry, is_json: bool) -> Result<(), Failure> {
    let names = registry.names()?;
    let rows: Vec<_> = names
        .iter()
        .map(|name| (name, registry.grant(name)))
        .collect();
    if is_json {
        let row = |(name, grant): &(&String, Result<Grant, registry::Error>)| match grant {
            Ok(grant) => json!({
                "name": name, "driver": grant.driver, "version": grant.driver_version, "sha256": grant.sha256,
                "signed-by": grant.signed_by,
            }),
            Err(error) => json!({ "name": name, "error": error.to_string() }),
        };
        return print_json(&rows.iter().map(row).collect());
    }
    if rows.is_empty() {
        return print("No driver is installed");
    }
    let width = names.iter().map(String::len).max().unwrap_or_default();
    for (name, grant) in &rows {
        let text = match grant {
            Ok(grant) => {
                let short: String = grant.sha256.chars().take(12).collect();
                format!("{} {}  sha256 {short}…", grant.driver, grant.driver_version)
            }
            Err(error) => error.to_string(),
        };
        print(&format!("{name:<width$}  {text}"))?;
    }
    Ok(())
}

fn show(registry: &Registry, matches: &ArgMatches) -> Result<(), Failure> {
    let name = required_text(matches, "name");
    let installed = registry.load(&name)?;
    let description = describe(&installed.component)?;
    if matches.get_flag("json") {
        let options: Vec<Json> = description
            .options
            .iter()
            .map(|option| {
                json!({
                    "name": option.name, "env": option.env, "help": option.help, "default": option.default,
                    "required": option.required.is_some(),
                })
            })
            .collect();
        return print_json(&json!({
            "name": name, "driver": description.name, "version": description.version,
            "contract": contract::VERSION, "options": options, "asks-for": description.commands,
            "grant": installed.grant, "proxy": proxy(),
        }));
    }
    for line in summary(&description, &installed.grant) {
        print(&line)?;
    }
    Ok(())
}

fn verify(registry: &Registry, matches: &ArgMatches) -> Result<(), Failure> {
    let mut names: Vec<String> = matches
        .get_many("name")
        .into_iter()
        .flatten()
        .cloned()
        .collect();
    if names.is_empty() {
        names = registry.names()?;
    }
    let mut failed = false;
    for name in names {
        let verified = registry
            .load(&name)
            .map_err(Failure::from)
            .and_then(|installed| describe(&installed.component));
        match verified {
            Ok(description) => print(&format!(
                "{name}: {} {} as it was installed",
                description.name, description.version
            ))?,
            Err(failure) => {
                failure.show();
                failed = true;
            }
        }
    }
    match failed {
        true => Err(Failure::silent(Exit::Failed)),
        false => Ok(()),
    }
}

fn remove(registry: &Registry, matches: &ArgMatches) -> Result<(), Failure> {
    let name = required_text(matches, "name");
    // Whether it is there at all comes first.
    if let Err(error @ registry::Error::NotInstalled(_)) = registry.grant(&name) {
        return Err(error.into());
    }
    if !matches.get_flag("force") {
        let store = store(matches)?;
        for machine in store.names()? {
            if let Ok((_, made_by)) = store.load(&machine)
                && made_by == name
            {
                let error = format!(
                    "the driver {name} has made the machine {machine}, which could not be managed without it"
                );
                let hint = "remove the machine first, or give --force";
                return Err(Failure::failed(error).with_hint(hint));
            }
        }
    }
    registry.remove(&name)?;
    let path = link_path(&bin_directory(matches)?, &name);
    if is_own_link(&path)
        && let Err(error) = fs::remove_file(&path)
    {
        warn(&format!("cannot remove {}: {error}", path.display()));
    }
    print(&format!("Removed {name}"))
}

fn required_text(matches: &ArgMatches, id: &str) -> String {
    matches.get_one::<String>(id).cloned().unwrap_or_default()
}

pub(super) fn required_path<'m>(matches: &'m ArgMatches, id: &str) -> Result<&'m PathBuf, Failure> {
    matches
        .get_one(id)
        .ok_or_else(|| Failure::silent(Exit::Usage))
}
