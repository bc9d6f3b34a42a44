//! What operations take from the process that they run in, and what a driver may use of it.

use std::sync::{Arc, LazyLock};

use super::options::Options;
use super::profile::{self, Places, Profile};
use super::{Error, Loaded, Variables};
use crate::capability::Capabilities;
use crate::capability::budget::Budget;
use crate::capability::clock::{Cancel, Clock, SystemTimeSource, TimeSource};
use crate::capability::http::{Client, Http, Reach};
use crate::capability::keys::{Keys, SshKeys};
use crate::capability::log::{Level, Log, Reporter};
use crate::capability::state::{SaveState, State};
use crate::contract::{OptionKind, OptionSpec};

/// What a machine's operations take from the process that they run in.
#[derive(Clone)]
pub struct Surroundings {
    /// Shows lines and steps.
    pub reporter: Arc<dyn Reporter>,
    /// Stops what is under way, apart from a removal.
    pub cancel: Cancel,
    /// Looks up environment variables.
    pub variables: Arc<Variables>,
    /// Where time comes from.
    pub time: Arc<dyn TimeSource>,
    /// The connections.
    pub client: Client,
    /// What the user has written down for new machines and for accounts.
    pub profile: ProfileChoice,
}

/// The profile that counts for what is not stored yet.
#[derive(Clone, Debug, Default)]
pub enum ProfileChoice {
    /// None.
    #[default]
    Nothing,
    /// One that was found already.
    Found(Arc<Profile>),
    /// The one that the environment variable [`profile::VARIABLE`] names, if it does: for the plugin, whose clients send a
    /// flag for each option, be it only the default.
    OfVariable,
}

impl Surroundings {
    /// Those of an ordinary process: its environment, the system's time, its connections. All of a process share these, so
    /// that operations at the same time use the same connections, and keep together to the pace that a server wants.
    pub fn of_process(reporter: Arc<dyn Reporter>, cancel: Cancel) -> Self {
        static SHARED: LazyLock<(Client, Arc<SystemTimeSource>)> = LazyLock::new(Default::default);
        let (client, time) = &*SHARED;
        Self {
            reporter,
            cancel,
            variables: Arc::new(|name| std::env::var(name).ok()),
            time: Arc::clone(time) as Arc<dyn TimeSource>,
            client: client.clone(),
            profile: ProfileChoice::Nothing,
        }
    }

    /// The same with a profile.
    pub fn with_profile(self, profile: ProfileChoice) -> Self {
        Self { profile, ..self }
    }

    /// The profile, looked for if need be. One that others can read is warned of.
    pub(super) fn profile(&self, loaded: &Loaded) -> Result<Option<Arc<Profile>>, Error> {
        let profile = match &self.profile {
            ProfileChoice::Nothing => None,
            ProfileChoice::Found(profile) => Some(Arc::clone(profile)),
            ProfileChoice::OfVariable => {
                let name = (self.variables)(profile::VARIABLE).filter(|name| !name.is_empty());
                let profile = name.map(|name| Places::of_user().profile(&name));
                profile.transpose()?.map(Arc::new)
            }
        };
        if let Some(profile) = &profile {
            let specs = &loaded.description.options;
            let driver = &loaded.description.name;
            profile.check(driver, specs)?;
            let has_secrets = profile.has_secrets(driver, specs);
            for path in profile.exposed.iter().filter(|_| has_secrets) {
                let path = path.display();
                let line = format!(
                    "{path} has keys in it and others can read it; `chmod 600 {path}` keeps it to you"
                );
                self.reporter.log(Level::Warning, &line);
            }
        }
        Ok(profile)
    }

    /// What a driver may use in one operation.
    pub(crate) fn capabilities(
        &self,
        loaded: &Loaded,
        options: &Options,
        cancel: Cancel,
        keys: Keys,
        sink: Box<dyn SaveState>,
    ) -> Capabilities {
        let secrets = Arc::new(options.secrets.clone());
        let reach = Reach {
            endpoints: options.endpoints.clone(),
            commands: loaded.commands.clone(),
        };
        let budget = Budget::new(*loaded.driver.limits(), Arc::clone(&self.time), cancel);
        let budget = Arc::new(budget);
        Capabilities {
            http: Http::new(
                self.client.trusting(&options.trust),
                Arc::new(reach),
                Arc::clone(&secrets),
                Arc::clone(&budget),
                Arc::clone(&self.reporter),
            ),
            keys: SshKeys::new(keys, Arc::clone(&budget)),
            state: State::new(sink, Arc::clone(&budget)),
            clock: Clock(Arc::clone(&budget)),
            log: Log::new(Arc::clone(&self.reporter), secrets, Arc::clone(&budget)),
            budget,
        }
    }

    /// Tells the user what others could read on the way. Not with every question for a status: what the plugin tells then
    /// would stand in the output of commands that scripts read.
    pub(super) fn warn_of_risks(&self, loaded: &Loaded, options: &Options) {
        let is_insecure = options.is_insecure;
        let of_kind = |option: &&OptionSpec| option.kind == OptionKind::Insecure;
        let insecure = loaded.description.options.iter().find(of_kind);
        for endpoint in options.endpoints.values() {
            let line = if endpoint.is_unprotected() {
                format!("requests to {endpoint} are not encrypted; others can read them")
            } else if let Some(option) = insecure.filter(|_| is_insecure && endpoint.is_encrypted())
            {
                let member = option.config_key.as_ref();
                let stored = member.map_or_else(String::new, |member| {
                    format!(" or \"{member}\": false in config.json")
                });
                format!(
                    "the TLS certificate of {endpoint} is not verified, as --{}{stored} says; others may read and change \
                     what is sent",
                    option.name
                )
            } else {
                continue;
            };
            self.reporter.log(Level::Warning, &line);
        }
    }
}
