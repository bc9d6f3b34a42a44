//! The driver under test: its calls, and what holds for all of them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tempfile::TempDir;

use super::call::{Answer, Operation, Outcome, Setting};
use super::cloud::{Behaviour, Cloud, Fault};
use super::journal::{Event, Journal, JournalSink, WaitedTime};
use super::{Error, Report, Settings};
use crate::capability::Capabilities;
use crate::capability::clock::Cancel;
use crate::capability::http::{Client, Endpoint};
use crate::capability::keys::Keys;
use crate::capability::log::Silent;
use crate::capability::text::clean;
use crate::contract::{self, ListableOption, Machine, OptionKind, OptionSpec, Value};
use crate::machine::answer::{check_candidates, check_limits, sane_status};
use crate::machine::options::{Given, Options};
use crate::machine::{Flag, Flags, Loaded, ProfileChoice, Surroundings, Variables, mint_id};
use crate::sandbox;

/// How long one exchange with a cloud that fails may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The most bytes of an error's message.
const MAX_MESSAGE: usize = 8 * 1024;

/// The driver under test.
pub(super) struct Subject {
    pub(super) loaded: Loaded,
    pub(super) journal: Journal,
    /// The name of the option that is the cloud's URL.
    pub(super) endpoint: Option<String>,
    /// The options whose names it can list, once it has told them.
    pub(super) listable: Vec<ListableOption>,
    /// Those that were given, by their whole names.
    given: BTreeMap<String, String>,
    /// Stands in for a secret that was not given.
    canary: String,
    keys: TempDir,
    crashes: Vec<String>,
    messages: Vec<String>,
    changes: Vec<String>,
    unsaved: Vec<String>,
    /// Whether something was made.
    has_made: bool,
}

impl Subject {
    pub(super) fn new(
        loaded: Loaded,
        journal: Journal,
        settings: &Settings,
    ) -> Result<Self, Error> {
        let description = &loaded.description;
        let mut given = BTreeMap::new();
        for (name, value) in &settings.options {
            let prefixed = format!("{}-{name}", description.name);
            let mut names = description.options.iter().map(|option| &option.name);
            let found = names.find(|option| **option == *name || **option == prefixed);
            let found = found.ok_or_else(|| Error::NoSuchOption(name.clone()))?;
            given.insert(found.clone(), value.clone());
        }
        let is_endpoint = |option: &&OptionSpec| option.kind == OptionKind::Endpoint;
        let endpoint = description.options.iter().find(is_endpoint);
        Ok(Self {
            endpoint: endpoint.map(|option| option.name.clone()),
            given,
            listable: Vec::new(),
            canary: format!("secret-{}", mint_id()?),
            keys: tempfile::tempdir()?,
            loaded,
            journal,
            crashes: Vec::new(),
            messages: Vec::new(),
            changes: Vec::new(),
            unsaved: Vec::new(),
            has_made: false,
        })
    }

    /// Options that stand in for those of a user, with the cloud at that address.
    pub(super) fn stand_ins(&self, cloud: SocketAddr) -> Result<Options, Error> {
        let text = |text: &str| Some(Flag::Text(text.to_owned()));
        let value = |option: &OptionSpec| {
            let given = self.given.get(&option.name);
            match (option.kind, given) {
                (OptionKind::Endpoint, given) => {
                    let url = given.or(option.default.as_ref());
                    let path = url.and_then(|url| path_of(url)).unwrap_or_default();
                    text(&format!("http://{cloud}{path}"))
                }
                (_, Some(given)) => text(given),
                (OptionKind::Secret, None) => text(&self.canary),
                _ if option.required.is_none() => None,
                (OptionKind::Integer, None) => text("1"),
                (OptionKind::Text | OptionKind::TextList | OptionKind::File, None) => {
                    text("conformance")
                }
                // Nothing stands in for a key or a certificate.
                _ => None,
            }
        };
        let options = self.loaded.description.options.iter();
        let flags: Flags = options
            .filter_map(|option| Some((option.name.clone(), value(option)?)))
            .collect();
        self.options_of(&flags, &|_| None)
    }

    /// The options that were given, and those of the environment, with the cloud at that URL.
    pub(super) fn real_options(
        &self,
        cloud: &str,
        variables: &Variables,
    ) -> Result<Options, Error> {
        let given = self.given.iter();
        let mut flags: Flags = given
            .map(|(name, value)| (name.clone(), Flag::Text(value.clone())))
            .collect();
        if let Some(endpoint) = &self.endpoint {
            flags.insert(endpoint.clone(), Flag::Text(cloud.to_owned()));
        }
        self.options_of(&flags, variables)
    }

    fn options_of(&self, flags: &Flags, variables: &Variables) -> Result<Options, Error> {
        let given = Given {
            driver: &self.loaded.name,
            flags,
            variables,
            profile: None,
            has_all_flags: false,
        };
        Ok(Options::from_flags(
            &self.loaded.description.options,
            &given,
        )?)
    }

    /// A cloud that fails in that way, in the options that stand in for a user's, or in `options`.
    pub(super) fn fault(
        &self,
        cloud: &Cloud,
        fault: Fault,
        options: Option<&Options>,
    ) -> Result<Setting, Error> {
        let address = cloud.behave(Behaviour::Is(fault));
        let mut there = self.stand_ins(address)?;
        if let Some(options) = options {
            let endpoints = std::mem::replace(&mut there, options.clone()).endpoints;
            there.endpoints = endpoints;
        }
        Ok(Setting {
            name: fault.name(),
            options: Arc::new(there),
            time: Arc::new(WaitedTime {
                journal: self.journal.clone(),
                waited_ms: AtomicU64::new(0),
                cancels: false,
            }),
            cancel: Cancel::default(),
            client: Client::default().with_limit(PATIENCE),
        })
    }

    /// A machine of which nothing has been saved.
    pub(super) fn machine(&self, options: &Options) -> Result<Machine, Error> {
        let id = mint_id()?;
        Ok(Machine {
            name: format!("conformance-{}", id.get(..8).unwrap_or_default()),
            id,
            swarm_master: false,
            options: options.values.clone().into_iter().collect(),
            saved: "{}".to_owned(),
        })
    }

    /// What the driver may use.
    pub(super) fn capabilities(&self, setting: &Setting, keys: Keys) -> Capabilities {
        let surroundings = Surroundings {
            reporter: Arc::new(Silent),
            cancel: setting.cancel.clone(),
            variables: Arc::new(|_| None),
            time: Arc::clone(&setting.time),
            client: setting.client.clone(),
            profile: ProfileChoice::Nothing,
        };
        let sink = JournalSink {
            journal: self.journal.clone(),
            options: self.loaded.description.options.clone(),
        };
        surroundings.capabilities(
            &self.loaded,
            &setting.options,
            setting.cancel.clone(),
            keys,
            Box::new(sink),
        )
    }

    /// Where the keys of a machine are.
    pub(super) fn keys(&self, machine: &str) -> Keys {
        Keys::At {
            path: self.keys.path().join(machine),
            given: None,
        }
    }

    /// Calls an operation of one machine.
    pub(super) fn call(
        &mut self,
        operation: Operation,
        machine: &Machine,
        setting: &Setting,
    ) -> Outcome {
        self.call_of(operation, std::slice::from_ref(machine), setting)
    }

    /// Calls an operation of some machines: of one, unless it is the status.
    pub(super) fn call_of(
        &mut self,
        operation: Operation,
        machines: &[Machine],
        setting: &Setting,
    ) -> Outcome {
        self.journal.take();
        let keys = match (operation, machines.first()) {
            (Operation::Create, Some(machine)) => self.keys(&machine.name),
            _ => Keys::Denied,
        };
        let capabilities = self.capabilities(setting, keys);
        let answer = self.answer(operation, capabilities, machines, setting);
        let outcome = Outcome {
            events: self.journal.take(),
            answer: match answer {
                Ok(answer) => answer,
                Err(error) => {
                    let text = error.to_string();
                    let text = setting.options.secrets.redact(&text);
                    let name = self.name_of(operation);
                    self.crashes
                        .push(format!("{name}, {}: {text}", setting.name));
                    Answer::Broke
                }
            },
        };
        self.look_at(operation, setting, &outcome);
        outcome
    }

    fn answer(
        &self,
        operation: Operation,
        capabilities: Capabilities,
        machines: &[Machine],
        setting: &Setting,
    ) -> Result<Answer, sandbox::Error> {
        let done = |answer: Result<(), contract::Error>| match answer {
            Ok(()) => Answer::Done,
            Err(error) => Answer::Failed(error),
        };
        Ok(match (operation, machines) {
            (Operation::Check, [machine]) => done(self.loaded.driver.check(capabilities, machine)?),
            (Operation::Change(change), [machine]) => {
                done(self.loaded.driver.change(change, capabilities, machine)?)
            }
            (Operation::Create, [machine]) => {
                match self.loaded.driver.create(capabilities, machine)? {
                    Ok(status) => Answer::Told(vec![Ok(status)]),
                    Err(error) => Answer::Failed(error),
                }
            }
            (Operation::Survey, _) => {
                let values = self.values_of(setting, &|_| false);
                match self.loaded.driver.survey(capabilities, &values)? {
                    Ok(found) => Answer::Found(found),
                    Err(error) => Answer::Failed(error),
                }
            }
            (Operation::Candidates(index), _) => {
                let values = self.values_of(setting, &|name| self.is_listable(name));
                let option = self.listable.get(index).map(|l| l.option_name.as_str());
                let option = option.unwrap_or_default();
                match self
                    .loaded
                    .driver
                    .candidates(capabilities, &values, option)?
                {
                    // It is looked at as it was told.
                    Ok(told) => {
                        check_candidates(&told)?;
                        Answer::Candidates(told)
                    }
                    Err(error) => Answer::Failed(error),
                }
            }
            (Operation::Limits, _) => {
                let values = self.values_of(setting, &|name| self.is_listable(name));
                match self.loaded.driver.account_limits(capabilities, &values)? {
                    Ok(told) => {
                        check_limits(&told)?;
                        Answer::Limits(told)
                    }
                    Err(error) => Answer::Failed(error),
                }
            }
            _ => Answer::Told(self.loaded.driver.status(capabilities, machines)?),
        })
    }

    fn is_listable(&self, option: &str) -> bool {
        let mut listable = self.listable.iter();
        listable.any(|listable| listable.option_name == option)
    }

    /// The values of the account's options, and of others that are wanted.
    fn values_of(&self, setting: &Setting, wants: &dyn Fn(&str) -> bool) -> Vec<(String, Value)> {
        let of_account = |name: &str| {
            let mut options = self.loaded.description.options.iter();
            let option = options.find(|option| option.name == name);
            option.is_some_and(|option| option.scope == contract::OptionScope::Account)
        };
        let values = setting.options.values.iter();
        values
            .filter(|(name, _)| of_account(name) || wants(name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    }

    /// What is called, for the one who reads the report.
    pub(super) fn name_of(&self, operation: Operation) -> String {
        match operation {
            Operation::Candidates(index) => {
                let listable = self.listable.get(index);
                let option = listable.map(|l| l.option_name.as_str());
                format!("candidates of --{}", option.unwrap_or_default())
            }
            operation => operation.name().to_owned(),
        }
    }

    /// Looks at what holds for every call.
    fn look_at(&mut self, operation: Operation, setting: &Setting, outcome: &Outcome) {
        let at = format!("{}, {}", self.name_of(operation), setting.name);
        if outcome.events.contains(&Event::Oversleeps) {
            self.crashes.push(format!("{at}: it waits for ever"));
        }
        let is_reading = matches!(
            operation,
            Operation::Check
                | Operation::Status
                | Operation::Survey
                | Operation::Candidates(_)
                | Operation::Limits
        );
        if is_reading && outcome.changes() > 0 {
            self.changes
                .push(format!("{at}: it sends what is not a GET"));
        }
        if operation == Operation::Create {
            let saves = |event: &Event| matches!(event, Event::Saves(json) if json != "{}");
            let changes = |event: &Event| matches!(event, Event::Called { changes: true });
            let first = |what: &dyn Fn(&Event) -> bool| outcome.events.iter().position(what);
            if let Some(change) = first(&changes) {
                self.has_made = true;
                if first(&saves).is_none_or(|save| save > change) {
                    self.unsaved
                        .push(format!("{at}: it changes something and has saved nothing"));
                }
            }
        }
        let told = match &outcome.answer {
            Answer::Told(told) => told.as_slice(),
            _ => &[],
        };
        let failed = match &outcome.answer {
            Answer::Failed(error) => Some(error),
            _ => None,
        };
        let errors = told.iter().filter_map(|told| told.as_ref().err());
        for error in errors.chain(failed) {
            let problem = blemish(error, &setting.options, &self.loaded.description.options);
            let problem = problem.map(|problem| format!("{at}: {problem}: {}", error.message));
            let shown = problem.map(|text| clean(&setting.options.secrets.redact(&text), 500));
            self.messages.extend(shown);
        }
        let texts: Vec<&str> = match &outcome.answer {
            Answer::Candidates(told) => told
                .iter()
                .flat_map(|c| c.details.iter().chain([&c.name, &c.id]))
                .map(String::as_str)
                .collect(),
            Answer::Limits(told) => told.iter().map(|limit| &*limit.name).collect(),
            _ => Vec::new(),
        };
        if texts.iter().any(|text| text.contains(&self.canary)) {
            self.messages.push(format!("{at}: a name holds a secret"));
        }
        for status in told.iter().flatten() {
            if let Err(error) = sane_status(status.clone()) {
                self.messages.push(format!("{at}: {}", error.message));
            }
        }
    }

    /// Reports what was seen over all calls.
    pub(super) fn conclude(self, report: &mut Report) {
        report.note(
            "Every call comes to an answer, within the limits",
            self.crashes,
        );
        report.note(
            "What the driver tells is fit for users, and has no secret in it",
            self.messages,
        );
        report.note("Operations that only ask change nothing", self.changes);
        // A cloud that only fails never gets that far.
        if self.has_made {
            report.note(
                "create saves before it first changes something",
                self.unsaved,
            );
        }
    }
}

/// What is wrong with an error as users would read it. The sentences of options that are missing are the description's.
fn blemish(
    error: &contract::Error,
    options: &Options,
    specs: &[OptionSpec],
) -> Option<&'static str> {
    let is_described = |text: &String| {
        let mut specs = specs.iter();
        specs.any(|spec| spec.required.as_ref() == Some(text))
    };
    let texts = [Some(&error.message), error.hint.as_ref()];
    let is = |problem: &dyn Fn(&String) -> bool| texts.into_iter().flatten().any(problem);
    let first_line = |text: &str| {
        text.lines()
            .next()
            .unwrap_or_default()
            .trim_end()
            .to_owned()
    };
    if is(&|text| options.secrets.redact(text) != *text) {
        Some("a message holds a secret")
    } else if is(&|text| text.trim().is_empty()) {
        Some("a message is empty")
    } else if is(&|text| clean(text, MAX_MESSAGE) != *text) {
        Some("a message has control characters, or more than 8 KiB")
    } else if is(&|text| first_line(text).ends_with('.') && !is_described(text)) {
        Some("a message ends with a period")
    } else {
        None
    }
}

/// The path of a URL, without a slash at its end.
pub(super) fn path_of(url: &str) -> Option<String> {
    // Spoiled ones are told where they are used.
    url.parse::<Endpoint>().ok()?;
    let url = url::Url::parse(url.trim()).ok()?;
    Some(url.path().trim_end_matches('/').to_owned())
}
