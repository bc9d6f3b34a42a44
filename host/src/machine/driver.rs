//! A driver that is loaded when it is first needed: much of what a client asks needs none.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::options::{Configured, Given, conceal};
use super::profile::Profile;
use super::{Error, Flags, ProfileChoice, Surroundings};
use crate::capability::http::Endpoint;
use crate::contract::{Description, ListableOption, OptionSpec};
use crate::registry::{self, Grant, Registry};
use crate::sandbox::{self, Cache, Driver, Limit, Limits};

/// A driver component with its limits.
#[derive(Debug)]
pub struct LazyDriver {
    source: Source,
    limits: Limits,
    cache: Option<Cache>,
    loaded: Mutex<Slot>,
}

#[derive(Debug, Default)]
enum Slot {
    #[default]
    Empty,
    Loaded(Arc<Loaded>),
    /// It took too long to compile, and still does on a thread of its own: a second attempt would be beside the first.
    TooSlow(Limit),
}

/// Where a component comes from.
#[derive(Debug)]
enum Source {
    Component(Cow<'static, [u8]>),
    /// One that the user has installed.
    Installed {
        registry: Option<Registry>,
        name: String,
    },
}

/// A driver that is loaded, and what it is.
#[derive(Debug)]
pub struct Loaded {
    /// The name by which it goes, which is its own unless it was installed under another.
    pub name: String,
    /// The driver.
    pub driver: Driver,
    /// What it told of itself.
    pub description: Description,
    /// What it may call.
    pub commands: BTreeSet<String>,
    /// What the user has granted, if it is installed.
    grant: Option<Grant>,
    /// What it can list, once somebody has asked.
    pub(super) listable: OnceLock<Vec<ListableOption>>,
}

impl LazyDriver {
    /// The driver in `component`, whose compiled code is kept in `cache`. It may call what its description lists.
    pub fn new(
        component: impl Into<Cow<'static, [u8]>>,
        limits: Limits,
        cache: Option<Cache>,
    ) -> Self {
        Self::of(Source::Component(component.into()), limits, cache)
    }

    /// The driver that is installed under a name, with the limits that it was granted.
    pub fn installed(registry: Option<Registry>, name: &str, cache: Option<Cache>) -> Self {
        let name = name.to_owned();
        Self::of(
            Source::Installed { registry, name },
            Limits::default(),
            cache,
        )
    }

    fn of(source: Source, limits: Limits, cache: Option<Cache>) -> Self {
        Self {
            source,
            limits,
            cache,
            loaded: Mutex::default(),
        }
    }

    /// The loaded driver.
    ///
    /// # Errors
    ///
    /// If it is no driver that this host can run, or not the one that the user has installed. The next call tries again,
    /// unless it takes too long to compile.
    pub fn loaded(&self) -> Result<Arc<Loaded>, Error> {
        let mut slot = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        match &*slot {
            Slot::Empty => {}
            Slot::Loaded(loaded) => return Ok(Arc::clone(loaded)),
            Slot::TooSlow(limit) => return Err(sandbox::Error::Limit(*limit).into()),
        }
        let loaded = self.load().inspect_err(|error| {
            if let Error::Sandbox(sandbox::Error::Limit(limit @ Limit::Compilation(_))) = error {
                *slot = Slot::TooSlow(*limit);
            }
        })?;
        let loaded = Arc::new(loaded);
        *slot = Slot::Loaded(Arc::clone(&loaded));
        Ok(loaded)
    }

    fn load(&self) -> Result<Loaded, Error> {
        let mut limits = self.limits;
        let (component, installed) = match &self.source {
            Source::Component(component) => (Cow::Borrowed(component.as_ref()), None),
            Source::Installed { registry, name } => {
                let not_installed = || registry::Error::NotInstalled(name.clone());
                let registry = registry.as_ref().ok_or_else(not_installed)?;
                let installed = registry.load(name)?;
                limits = installed.grant.limits;
                let granted = Some((installed.name, installed.grant));
                (Cow::Owned(installed.component), granted)
            }
        };
        let driver = Driver::load(&component, limits, self.cache.as_ref())?;
        let description = driver.describe()?;
        Ok(match installed {
            Some((name, grant)) => Loaded::granted(driver, description, name, grant),
            None => Loaded::new(driver, description),
        })
    }
}

impl Loaded {
    /// The options as they would be for a new machine, and where they come from.
    ///
    /// # Errors
    ///
    /// If the profile cannot be had.
    pub fn configured(
        &self,
        surroundings: &Surroundings,
        flags: &Flags,
    ) -> Result<Vec<Configured>, Error> {
        let profile = surroundings.profile(self)?;
        let given = self.given(surroundings, flags, profile.as_deref());
        let configured = |spec: &OptionSpec| {
            let mut value = given.value(spec);
            if let Some((flag, _)) = &mut value {
                conceal(spec.kind, flag);
            }
            Configured {
                spec: spec.clone(),
                value,
            }
        };
        Ok(self.description.options.iter().map(configured).collect())
    }

    /// What is given for this driver's options.
    pub(super) fn given<'g>(
        &'g self,
        surroundings: &'g Surroundings,
        flags: &'g Flags,
        profile: Option<&'g Profile>,
    ) -> Given<'g> {
        Given {
            driver: &self.description.name,
            flags,
            variables: &*surroundings.variables,
            profile,
            has_all_flags: matches!(surroundings.profile, ProfileChoice::OfVariable),
        }
    }

    /// A driver that goes by its own name, and may call what its description lists.
    pub(crate) fn new(driver: Driver, description: Description) -> Self {
        Self {
            name: description.name.clone(),
            commands: description.commands.iter().cloned().collect(),
            driver,
            description,
            grant: None,
            listable: OnceLock::new(),
        }
    }

    /// A driver that is installed under a name, and may call what it was granted.
    fn granted(driver: Driver, description: Description, name: String, grant: Grant) -> Self {
        let mut loaded = Self::new(driver, description);
        loaded.name = name;
        loaded
            .commands
            .retain(|command| grant.commands.contains(command));
        loaded.grant = Some(grant);
        loaded
    }

    /// Checks that endpoints are at hosts that the driver was granted.
    pub(super) fn check_hosts(&self, endpoints: &BTreeMap<String, Endpoint>) -> Result<(), Error> {
        let Some(grant) = &self.grant else {
            return Ok(());
        };
        let mut endpoints = endpoints.iter();
        match endpoints.find(|(_, endpoint)| !grant.permits_host(endpoint.host())) {
            Some((option, endpoint)) => Err(Error::Option {
                message: format!(
                    "--{option}: the driver \"{}\" was not granted the host {}",
                    self.name,
                    endpoint.host()
                ),
                hint: Some("`btcloud-host driver install` grants it anew".to_owned()),
            }),
            None => Ok(()),
        }
    }
}
