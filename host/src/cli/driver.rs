//! The driver that a command line names, and those of the machines that are there.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;

use super::completion::Words;
use super::early::Early;
use super::failure::Failure;
use crate::builtin;
use crate::capability::clock::Cancel;
use crate::capability::log::Reporter;
use crate::contract::{ListableOption, OptionScope, OptionSpec};
use crate::files;
use crate::machine::profile::{self, Places, Profile};
use crate::machine::{Error, LazyDriver, Loaded, ProfileChoice, Surroundings};
use crate::registry;
use crate::sandbox::{Cache, Limits};

/// What of the driver must be known before the arguments of a command can be understood.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Needs {
    Nothing,
    /// Its options, which are flags.
    Options,
    /// Its options, and for which of them it can list names.
    Listable,
}

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
    /// The words of a command line that a shell wants completed, if the driver may be asked for that.
    pub(super) words: Option<Arc<Words>>,
}

impl Choice {
    /// Finds the driver, and loads it if need be. `words` are those of the command line that a shell wants completed.
    ///
    /// # Errors
    ///
    /// If there is no such driver or profile, or the driver cannot be loaded and has to be.
    pub(super) fn of(
        early: &Early<'_>,
        needs: Needs,
        words: Option<Arc<Words>>,
    ) -> Result<Self, Failure> {
        let profile = match needs != Needs::Nothing && !early.wants_help {
            true => profile_of(early).map_err(Error::from)?.map(Arc::new),
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
        let loaded = match needs {
            Needs::Nothing => None,
            Needs::Options | Needs::Listable => Some(driver.loaded()?),
        };
        let listable = match &loaded {
            Some(loaded) if needs == Needs::Listable => loaded.listable()?.to_vec(),
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

    /// What the driver's operations take from this process, with the profile.
    pub(super) fn surroundings(&self, report: Arc<dyn Reporter>, cancel: Cancel) -> Surroundings {
        Surroundings::of_process(report, cancel).with_profile(self.profile())
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

    /// The heading of the driver's options in the help.
    pub(super) fn heading(&self) -> String {
        let name = self.loaded.as_ref().map(|loaded| loaded.name.as_str());
        format!("Options of the driver {}", name.unwrap_or_default())
    }
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

/// The driver of a name, or in a file.
fn driver_at(named: &Path) -> Result<LazyDriver, Failure> {
    if let Some(name) = installed_name(named) {
        return Ok(builtin::driver_named(name));
    }
    let component = read_component(named).map_err(|failure| {
        failure.with_hint(
            "`btcloud-host driver list` lists the installed drivers, which are named without a path",
        )
    })?;
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
        .map_err(Failure::usage)
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
