//! The driver that a command line names, its options as flags, and the flags of every command that runs a driver.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use clap::{Arg, ArgAction, ArgMatches, value_parser};

use clap_complete::engine::ArgValueCompleter;

use super::early::Early;
use super::exit::Exit;
use super::inventory::{self, Completer};
use super::{Failure, completions};
use crate::builtin;
use crate::contract::{ListableOption, OptionKind, OptionScope, OptionSpec};
use crate::files;
use crate::machine::profile::{self, Places, Profile};
use crate::machine::{Error, Flag, Flags, LazyDriver, Loaded, ProfileChoice, Store};
use crate::registry;
use crate::sandbox::{Cache, Limits};

/// The driver that the arguments name.
pub(super) struct Choice {
    pub(super) driver: Arc<LazyDriver>,
    /// Loaded if its options are needed to understand the arguments.
    pub(super) loaded: Option<Arc<Loaded>>,
    /// Whether a flag names it: then it is meant for machines that are there too, for which no profile counts.
    is_named: bool,
    /// What the user has written down for new machines and accounts.
    pub(super) profile: Option<Arc<Profile>>,
    /// The options for which the driver can list names, if a command is about that.
    pub(super) listable: Vec<ListableOption>,
    /// The words of a command line that a shell wants completed.
    words: Option<Arc<Words>>,
}

impl Choice {
    /// Finds the driver, and loads it if need be.
    pub(super) fn of(args: &[OsString]) -> Result<Self, Failure> {
        let words = completions::words(args).map(|words| Arc::new(Words::new(words)));
        let args = words.as_ref().map_or(args, |words| &words.words);
        let early = Early::of(args);
        let needs_listable = match early.path.as_slice() {
            ["man"] => true,
            [command] => inventory::is_command(command),
            _ => false,
        };
        let needs_options = match early.path.as_slice() {
            ["run", "create"] | ["gc" | "doctor"] | ["config", ..] => true,
            _ => needs_listable,
        };
        let profile = match needs_options && !early.wants_help {
            true => profile_of(&early).map_err(Error::from)?.map(Arc::new),
            false => None,
        };
        let flag = early.value("--driver");
        let of_profile = || profile.as_ref()?.driver.as_ref();
        let named = flag.or_else(|| of_profile().map(OsStr::new)).map(Path::new);
        // What has not been installed runs with the account's keys when a command is given, not while it is typed.
        let is_known = named.is_none_or(|named| installed_name(named).is_some());
        let driver = match named {
            None => builtin::driver(),
            Some(named) => driver_at(named)?,
        };
        let loaded = match needs_options {
            true => Some(driver.loaded()?),
            false => None,
        };
        let listable = match &loaded {
            Some(loaded) if needs_listable => loaded.listable()?.to_vec(),
            _ => Vec::new(),
        };
        Ok(Self {
            driver: Arc::new(driver),
            loaded,
            is_named: flag.is_some(),
            profile,
            listable,
            words: words.filter(|_| is_known),
        })
    }

    /// The driver for a machine that the store has: the one that is named, or else the one that made it.
    pub(super) fn for_machine(
        &self,
        machine: &str,
        made_by: &str,
    ) -> Result<Arc<LazyDriver>, Failure> {
        if !self.is_named {
            return Ok(maker(machine, made_by)?);
        }
        let name = self.driver.loaded()?.name.clone();
        if name != made_by {
            return Err(Error::OtherDriver {
                name: machine.to_owned(),
                made_by: made_by.to_owned(),
                driver: name,
            }
            .into());
        }
        Ok(Arc::clone(&self.driver))
    }

    /// The profile for what the driver does.
    pub(super) fn profile(&self) -> ProfileChoice {
        match &self.profile {
            Some(profile) => ProfileChoice::Found(Arc::clone(profile)),
            None => ProfileChoice::Nothing,
        }
    }

    /// The drivers of several machines, each of which is loaded once.
    pub(super) fn drivers(&self) -> Drivers<'_> {
        Drivers {
            choice: self,
            found: RefCell::default(),
        }
    }

    /// The driver's options, or those of one scope; none if the driver is not loaded.
    pub(super) fn options(&self, scope: Option<OptionScope>) -> impl Iterator<Item = &OptionSpec> {
        let loaded = self.loaded.iter();
        let options = loaded.flat_map(|loaded| &loaded.description.options);
        options.filter(move |option| scope.is_none_or(|scope| option.scope == scope))
    }

    /// The options that can matter for what can be named: those of the account, and those that can be listed themselves.
    pub(super) fn inventory_options(&self) -> impl Iterator<Item = &OptionSpec> {
        let is_listed =
            |spec: &OptionSpec| self.listable.iter().any(|l| l.option_name == spec.name);
        self.options(None)
            .filter(move |spec| spec.scope == OptionScope::Account || is_listed(spec))
    }

    /// The flags of the driver's options, or of those of one scope.
    pub(super) fn arguments(&self, scope: Option<OptionScope>) -> Vec<Arg> {
        self.options(scope)
            .map(|spec| self.argument(spec))
            .collect()
    }

    /// The flags of [`Self::inventory_options`].
    pub(super) fn inventory_arguments(&self) -> Vec<Arg> {
        let argument = |spec: &OptionSpec| {
            let mut spec = spec.clone();
            // A machine is not made.
            spec.required = spec.required.filter(|_| spec.scope == OptionScope::Account);
            self.argument(&spec)
        };
        self.inventory_options().map(argument).collect()
    }

    /// The flag of an option, whose names are completed if a shell asks for that.
    fn argument(&self, spec: &OptionSpec) -> Arg {
        let arg = argument(spec);
        let (Some(words), Some(loaded)) = (&self.words, &self.loaded) else {
            return arg;
        };
        if !matches!(spec.kind, OptionKind::Text | OptionKind::TextList) {
            return arg;
        }
        let completer = Completer {
            driver: Arc::clone(&self.driver),
            loaded: Arc::clone(loaded),
            profile: self.profile(),
            words: Arc::clone(words),
            option: spec.name.clone(),
        };
        arg.add(ArgValueCompleter::new(move |typed: &OsStr| {
            completer.complete(typed)
        }))
    }

    /// The heading of the driver's options in the help.
    pub(super) fn heading(&self) -> String {
        let name = self.loaded.as_ref().map(|loaded| loaded.name.as_str());
        format!("Options of the driver {}", name.unwrap_or_default())
    }
}

/// The words of a command line that is being typed, as the shell has them.
pub(super) struct Words {
    words: Vec<OsString>,
    /// The shell's name.
    shell: String,
    /// The quote before the word that is being typed, if the shell leaves that out.
    quote: Option<char>,
}

/// A word that is being typed: what it means so far, and how it is quoted in `bash`, which leaves that to those that complete.
pub(super) struct Typed {
    text: String,
    quoting: Quoting,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Quoting {
    /// The shell does it.
    Shells,
    /// By backslashes.
    Bare,
    /// Between these.
    Between(char),
    /// In PowerShell, which wants the whole word.
    Whole,
}

impl Words {
    fn new(words: &[OsString]) -> Self {
        Self {
            words: words.to_vec(),
            shell: std::env::var(completions::VARIABLE).unwrap_or_default(),
            quote: std::env::var(completions::WORD)
                .ok()
                .and_then(|word| word.chars().next())
                .filter(|c| ['"', '\''].contains(c)),
        }
    }

    /// What the flags of options are by these words, as far as they can be understood.
    pub(super) fn flags(&self, specs: &[OptionSpec]) -> Flags {
        let mut flags = Flags::new();
        for spec in specs {
            let flag = format!("--{}", spec.name);
            if matches!(spec.kind, OptionKind::Boolean | OptionKind::Insecure) {
                let is_on = self.words.iter().any(|word| *word == *flag);
                flags.insert(spec.name.clone(), Flag::Boolean(is_on));
                continue;
            }
            let values = self.words.iter().enumerate().filter_map(|(i, word)| {
                let word = word.to_str()?;
                // In bash a `=` is a word of its own.
                let value = match word.strip_prefix(&flag)? {
                    "" => match self.words.get(i + 1)?.to_str()? {
                        "=" => self.words.get(i + 2)?.to_str()?,
                        value => value,
                    },
                    rest => rest.strip_prefix('=')?,
                };
                Some(unquoted(value))
            });
            let values: Vec<_> = values.filter(|value| !value.starts_with("--")).collect();
            let Some(last) = values.last().cloned() else {
                continue;
            };
            let value = match spec.kind {
                OptionKind::TextList => Flag::TextList(values),
                _ => Flag::Text(last),
            };
            flags.insert(spec.name.clone(), value);
        }
        flags
    }

    /// The word that is being typed.
    pub(super) fn typed(&self, word: &str) -> Typed {
        let quoting = match (self.shell.as_str(), self.quote) {
            ("bash", Some(quote)) => Quoting::Between(quote),
            ("bash", None) => Quoting::Bare,
            ("powershell", _) => Quoting::Whole,
            _ => Quoting::Shells,
        };
        let quote = self.quote.map(String::from).unwrap_or_default();
        Typed {
            text: unquoted(&(quote + word)),
            quoting,
        }
    }
}

impl Typed {
    /// How the shell has to be told that this word is meant to be `value`, if it can be.
    pub(super) fn complete(&self, value: &str) -> Option<String> {
        // A line break would end the candidate, and with it the command.
        if !value.starts_with(&self.text) || value.contains(char::is_control) {
            return None;
        }
        let is_plain = |c: char| c.is_alphanumeric() || "-_./,@%+=".contains(c);
        let escaped = |special: &dyn Fn(char) -> bool| {
            let mut text = String::new();
            for c in value.chars() {
                if special(c) {
                    text.push('\\');
                }
                text.push(c);
            }
            text
        };
        Some(match self.quoting {
            Quoting::Shells => value.to_owned(),
            Quoting::Bare => escaped(&|c| !is_plain(c)),
            // An earlier command would be put in its place, and a backslash before it would stay.
            Quoting::Between('"') if value.contains('!') => return None,
            Quoting::Between('"') => escaped(&|c| "\"\\$`".contains(c)),
            // Nothing can stand for itself there but what is no quote.
            Quoting::Between(quote) if value.contains(quote) => return None,
            Quoting::Between(_) => value.to_owned(),
            Quoting::Whole
                if value
                    .chars()
                    .all(|c| c.is_alphanumeric() || "-_./".contains(c)) =>
            {
                value.to_owned()
            }
            Quoting::Whole => in_quotes_of_powershell(value),
        })
    }
}

/// A text between single quotes, for which PowerShell takes typographic ones as well: each of them is doubled.
fn in_quotes_of_powershell(value: &str) -> String {
    const QUOTES: [char; 5] = ['\'', '\u{2018}', '\u{2019}', '\u{201a}', '\u{201b}'];
    let mut text = "'".to_owned();
    for c in value.chars() {
        if QUOTES.contains(&c) {
            text.push(c);
        }
        text.push(c);
    }
    text.push('\'');
    text
}

/// What a shell would make of a word without variables and the like, be it finished or not.
fn unquoted(word: &str) -> String {
    let mut text = String::new();
    let mut quote = None;
    let mut chars = word.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            (None | Some('"'), '\\') => text.extend(chars.next()),
            _ => text.push(c),
        }
    }
    text
}

/// The driver that made a machine.
fn maker(machine: &str, made_by: &str) -> Result<Arc<LazyDriver>, Error> {
    let driver = builtin::driver_named(made_by);
    // Whatever else is wrong with it is told when it is used.
    match driver.loaded() {
        Err(Error::Registry(registry::Error::NotInstalled(_))) => Err(Error::ForeignMachine {
            name: machine.to_owned(),
            made_by: made_by.to_owned(),
        }),
        _ => Ok(Arc::new(driver)),
    }
}

/// The drivers of the machines of a store.
pub(super) struct Drivers<'c> {
    choice: &'c Choice,
    found: RefCell<BTreeMap<String, Arc<LazyDriver>>>,
}

impl Drivers<'_> {
    /// The driver for a machine: the one that made it, from where the user named it or else from where it is installed.
    pub(super) fn of(&self, machine: &str, made_by: &str) -> Result<Arc<LazyDriver>, Error> {
        if let Some(driver) = self.found.borrow().get(made_by) {
            return Ok(Arc::clone(driver));
        }
        let chosen = &self.choice.driver;
        let is_chosen = self.choice.is_named && chosen.loaded()?.name == made_by;
        let driver = match is_chosen {
            true => Arc::clone(chosen),
            false => maker(machine, made_by)?,
        };
        let mut found = self.found.borrow_mut();
        found.insert(made_by.to_owned(), Arc::clone(&driver));
        Ok(driver)
    }
}

/// The flags of every command that runs a driver.
pub(super) fn common() -> [Arg; 3] {
    [
        Arg::new("storage-path")
            .short('s')
            .long("storage-path")
            .global(true)
            .value_name("DIRECTORY")
            .value_parser(value_parser!(PathBuf))
            .env("MACHINE_STORAGE_PATH")
            .hide_env_values(true)
            .help("The store of machines, shared with docker-machine [default: ~/.docker/machine]"),
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

/// The driver of a name, or in a file.
fn driver_at(named: &Path) -> Result<LazyDriver, Failure> {
    if let Some(name) = installed_name(named) {
        return Ok(builtin::driver_named(name));
    }
    let component = read_component(named)?;
    Ok(LazyDriver::new(
        component,
        Limits::default(),
        Cache::of_user(),
    ))
}

/// The name of a built-in or installed driver, unless it is a file.
fn installed_name(named: &Path) -> Option<&str> {
    named
        .to_str()
        .filter(|name| !name.contains(['/', '.']) && !named.is_file())
}

/// Reads a component's file.
pub(super) fn read_component(path: &Path) -> Result<Vec<u8>, Failure> {
    let limit = Limits::default().component_size;
    files::read_bounded(path, limit as u64)
        .with_context(|| format!("cannot read the driver {}", path.display()))
        .map_err(|e| Failure::new(Exit::Usage, e))
}

/// The profile that a flag, the environment or the user's own file names, in this order. One of the file that is for another
/// driver than the one that is named does not count: nobody has asked for it.
fn profile_of(early: &Early<'_>) -> Result<Option<Profile>, profile::Error> {
    let places = Places::of_user();
    let flag = early.value("--profile");
    let flag = flag.map(|name| name.to_string_lossy().into_owned());
    let variable = || {
        std::env::var(profile::VARIABLE)
            .ok()
            .filter(|name| !name.is_empty())
    };
    match flag.or_else(variable) {
        Some(name) => places.profile(&name).map(Some),
        None => {
            let driver = early.value("--driver");
            let is_meant = |profile: &Profile| match (driver, &profile.driver) {
                (Some(named), Some(of_profile)) => named == OsStr::new(of_profile),
                _ => true,
            };
            Ok(places.default_profile()?.filter(is_meant))
        }
    }
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

/// The flag of a driver's option.
fn argument(spec: &OptionSpec) -> Arg {
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

pub(super) fn store(matches: &ArgMatches) -> Result<Store, Failure> {
    match matches
        .get_one::<PathBuf>("storage-path")
        .filter(|path| !path.as_os_str().is_empty())
    {
        Some(path) => {
            let path = std::path::absolute(path)
                .with_context(|| format!("cannot use the store {}", path.display()))
                .map_err(|e| Failure::new(Exit::Usage, e))?;
            Ok(Store::at(path))
        }
        None => Store::of_user().ok_or_else(|| {
            let error = anyhow::anyhow!("there is no home directory for the store of machines");
            let hint = Some("name the store with --storage-path".to_owned());
            Failure {
                hint,
                ..Failure::new(Exit::Usage, error)
            }
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str], shell: &str, quote: Option<char>) -> Words {
        Words {
            words: words.iter().map(OsString::from).collect(),
            shell: shell.to_owned(),
            quote,
        }
    }

    #[test]
    fn a_word_is_completed_as_its_shell_wants_it() {
        let complete = |shell: &str, quote, typed: &str, value: &str| {
            words(&[], shell, quote).typed(typed).complete(value)
        };
        let cases = [
            ("bash", None, "a", "a b", Some("a\\ b")),
            ("bash", None, "a\\ ", "a b", Some("a\\ b")),
            ("bash", None, "", "$(rm)", Some("\\$\\(rm\\)")),
            ("bash", None, "", "a;b'c", Some("a\\;b\\'c")),
            ("bash", Some('"'), "a", "a $b", Some("a \\$b")),
            ("bash", Some('\''), "a", "a $b", Some("a $b")),
            ("bash", Some('\''), "a", "a 'b", None),
            ("zsh", None, "a", "a b", Some("a b")),
            ("powershell", None, "a", "a 'b", Some("'a ''b'")),
            ("powershell", None, "a", "ab", Some("ab")),
            ("bash", None, "b", "a b", None),
            // It would be a line, and in the end a command, of its own.
            ("bash", None, "a", "a\nb", None),
        ];
        for (shell, quote, typed, value, expected) in cases {
            let completed = complete(shell, quote, typed, value);
            assert_eq!(completed.as_deref(), expected, "{shell} {typed} {value}");
        }
    }

    #[test]
    fn options_are_read_from_a_line_that_is_not_finished() {
        let spec = OptionSpec::of_kind;
        let specs = [
            spec("a-zone", OptionKind::Text),
            spec("a-zone-id", OptionKind::Text),
            spec("a-list", OptionKind::TextList),
            spec("a-switch", OptionKind::Boolean),
            spec("a-last", OptionKind::Text),
        ];
        let line = [
            "x",
            "--a-zone",
            "=",
            "\"uk 1\"",
            "--a-list=1",
            "--a-list",
            "2\\ 3",
            "--a-switch",
            "--a-zone-id",
            "id",
            "--a-last",
        ];
        let flags = words(&line, "bash", None).flags(&specs);
        let text = |text: &str| Flag::Text(text.to_owned());
        let list = Flag::TextList(vec!["1".to_owned(), "2 3".to_owned()]);
        assert_eq!(flags.get("a-zone"), Some(&text("uk 1")));
        assert_eq!(flags.get("a-zone-id"), Some(&text("id")));
        assert_eq!(flags.get("a-list"), Some(&list));
        assert_eq!(flags.get("a-switch"), Some(&Flag::Boolean(true)));
        assert_eq!(flags.get("a-last"), None);
    }
}
