//! All machines of a store at once: how they do, with one question for each account.

use std::net::IpAddr;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::answer::sane_status;
use super::options::Options;
use super::{Error, LazyDriver, Loaded, Machine, Record, Store, Surroundings, engine_url};
use crate::capability::clock::Cancel;
use crate::capability::keys::Keys;
use crate::capability::state::Nowhere;
use crate::contract::{self, OptionScope, State, Status};

/// The most machines that a driver is asked for at once. A driver lists the whole account for each question, page by page,
/// so that fewer would mean more calls in all.
const MOST_AT_ONCE: usize = 1_000;

/// About the most bytes of what is handed to a driver at once. Options can be whole files.
const MOST_BYTES: usize = 16 << 20;

/// The most questions that are under way at the same time.
const MOST_QUESTIONS: usize = 16;

/// The machines of a store, as far as the store itself tells.
#[derive(Debug)]
pub struct Fleet {
    /// The machines, in the order of their names.
    pub entries: Vec<Entry>,
}

/// A machine of a store.
#[derive(Debug)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// The driver that made it; empty if its file does not tell.
    pub driver: String,
    /// The labels of its Docker engine, `key=value`.
    pub labels: Vec<String>,
    /// What is stored of it, or why that cannot be read.
    pub record: Result<Record, Error>,
}

/// How a machine of a store does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// Its state; nothing if nobody can tell, and [`State::Timeout`] if nobody did in time.
    pub state: Option<State>,
    /// Its address, as it was told last.
    pub ip: Option<IpAddr>,
    /// Where its Docker engine is reached, if it runs.
    pub url: Option<String>,
    /// Why it is not known how it does.
    pub error: Option<Trouble>,
}

/// An error that several machines have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// What is wrong.
    pub message: String,
    /// What can be done about it.
    pub hint: Option<String>,
}

impl From<&Error> for Trouble {
    fn from(error: &Error) -> Self {
        Self {
            message: error.to_string(),
            hint: error.hint(),
        }
    }
}

impl Fleet {
    /// Reads a store. A machine whose file cannot be read is among them.
    ///
    /// # Errors
    ///
    /// If the store's directory cannot be read.
    pub fn of(store: &Store) -> Result<Self, Error> {
        let mut entries = Vec::new();
        for name in store.names()? {
            let entry = match store.entry(&name) {
                // Somebody has removed it meanwhile.
                Err(Error::NoSuchMachine { .. }) => continue,
                Err(error) => Entry {
                    name,
                    driver: String::new(),
                    labels: Vec::new(),
                    record: Err(error),
                },
                Ok(stored) => Entry {
                    name,
                    driver: stored.driver,
                    labels: stored.labels,
                    record: Ok(stored.record),
                },
            };
            entries.push(entry);
        }
        Ok(Self { entries })
    }

    /// Asks the clouds how the machines do, each account once and all of them at the same time, and tells it in the order
    /// of the entries. `driver` finds the driver of a name. What has not answered after `patience` is given up.
    pub fn look(
        &self,
        driver: &dyn Fn(&Entry) -> Result<Arc<LazyDriver>, Error>,
        surroundings: &Surroundings,
        patience: Duration,
    ) -> Vec<Sighting> {
        let deadline = Instant::now() + patience;
        let mut sightings: Vec<_> = self.entries.iter().map(|_| Sighting::late()).collect();
        let mut groups: Vec<Group> = Vec::new();
        for ((index, entry), sighting) in self.entries.iter().enumerate().zip(&mut sightings) {
            match asked(entry, driver, surroundings) {
                Ok(asked) => Group::add(&mut groups, index, asked),
                Err(trouble) => *sighting = Sighting::unknown(entry, trouble),
            }
        }
        for (index, answer) in ask(groups, surroundings, deadline) {
            let (Some(entry), Some(sighting)) = (self.entries.get(index), sightings.get_mut(index))
            else {
                continue;
            };
            *sighting = match answer {
                Ok(status) => Sighting::of(&status),
                Err(trouble) => Sighting::unknown(entry, trouble),
            };
        }
        for (entry, sighting) in self.entries.iter().zip(&mut sightings) {
            sighting.ip = sighting.ip.or_else(|| entry.stored_ip());
            if sighting.state == Some(State::Timeout) && sighting.error.is_none() {
                sighting.error = Some(Trouble {
                    message: format!("no answer within {} s", patience.as_secs()),
                    hint: Some("--timeout gives it longer".to_owned()),
                });
            }
        }
        sightings
    }
}

impl Entry {
    fn stored_ip(&self) -> Option<IpAddr> {
        self.record.as_ref().ok()?.text("IPAddress").parse().ok()
    }
}

impl Sighting {
    /// What is known as long as nobody has answered.
    fn late() -> Self {
        Self {
            state: Some(State::Timeout),
            ip: None,
            url: None,
            error: None,
        }
    }

    fn unknown(entry: &Entry, trouble: Trouble) -> Self {
        Self {
            state: None,
            ip: entry.stored_ip(),
            url: None,
            error: Some(trouble),
        }
    }

    fn of(status: &Status) -> Self {
        let ip = status.ip.as_ref().and_then(|ip| ip.parse().ok());
        let is_running = status.state == State::Running;
        let url = ip
            .filter(|_| is_running)
            .map(|ip| engine_url(ip, status.engine_port));
        Self {
            state: Some(status.state),
            ip,
            url,
            error: None,
        }
    }
}

/// What is asked for one machine.
struct Asked {
    loaded: Arc<Loaded>,
    options: Arc<Options>,
    machine: contract::Machine,
}

/// Those machines for which one question is enough.
struct Group {
    loaded: Arc<Loaded>,
    options: Arc<Options>,
    indices: Vec<usize>,
    machines: Vec<contract::Machine>,
    size: usize,
}

impl Group {
    fn add(groups: &mut Vec<Self>, index: usize, asked: Asked) {
        let size = size(&asked.machine);
        let has_room = |group: &&mut Self| {
            group.machines.len() < MOST_AT_ONCE && group.size.saturating_add(size) <= MOST_BYTES
        };
        let group = groups
            .iter_mut()
            .filter(has_room)
            .find(|group| group.has_account_of(&asked));
        match group {
            Some(group) => {
                group.indices.push(index);
                group.machines.push(asked.machine);
                group.size = group.size.saturating_add(size);
            }
            None => groups.push(Self {
                loaded: asked.loaded,
                options: asked.options,
                indices: vec![index],
                machines: vec![asked.machine],
                size,
            }),
        }
    }

    /// Whether a machine has the same driver, account and way there.
    fn has_account_of(&self, asked: &Asked) -> bool {
        let of_account = |options: &Options| {
            let specs = &self.loaded.description.options;
            let specs = specs
                .iter()
                .filter(|spec| spec.scope == OptionScope::Account);
            specs
                .map(|spec| options.values.get(&spec.name).cloned())
                .collect::<Vec<_>>()
        };
        let (ours, theirs) = (&self.options, &asked.options);
        Arc::ptr_eq(&self.loaded, &asked.loaded)
            && (Arc::ptr_eq(ours, theirs)
                || ours.endpoints == theirs.endpoints
                    && ours.secrets == theirs.secrets
                    && ours.trust == theirs.trust
                    && of_account(ours) == of_account(theirs))
    }

    /// Asks the driver.
    fn ask(&self, surroundings: &Surroundings, cancel: Cancel) -> Vec<Result<Status, Trouble>> {
        let capabilities = surroundings.capabilities(
            &self.loaded,
            &self.options,
            cancel,
            Keys::Denied,
            Box::new(Nowhere),
        );
        let driver_error =
            |error: contract::Error| Trouble::from(&Error::driver(error, &self.options.secrets));
        match self.loaded.driver.status(capabilities, &self.machines) {
            Ok(answers) => answers
                .into_iter()
                .map(|answer| answer.and_then(sane_status).map_err(driver_error))
                .collect(),
            Err(error) => {
                let trouble = Trouble::from(&Error::from(error));
                self.machines.iter().map(|_| Err(trouble.clone())).collect()
            }
        }
    }
}

/// About how much memory a machine takes.
fn size(machine: &contract::Machine) -> usize {
    let values = machine.options.iter().map(|(name, value)| {
        let value = match value {
            contract::Value::Text(text) => text.len(),
            contract::Value::TextList(items) => items.iter().map(|item| item.len() + 16).sum(),
            _ => 8,
        };
        name.len() + value + 32
    });
    machine.saved.len() + values.sum::<usize>()
}

fn asked(
    entry: &Entry,
    driver: &dyn Fn(&Entry) -> Result<Arc<LazyDriver>, Error>,
    surroundings: &Surroundings,
) -> Result<Asked, Trouble> {
    let record = entry.record.as_ref().map_err(Trouble::from)?;
    let prepare = || {
        let machine = Machine::new(driver(entry)?, surroundings.clone(), record.clone());
        machine.prepare()
    };
    let prepared = prepare().map_err(|error| Trouble::from(&error))?;
    Ok(Asked {
        loaded: prepared.loaded,
        options: prepared.options,
        machine: prepared.machine,
    })
}

/// Asks for all groups, several at a time, until the deadline. What is under way then is told to stop, and not waited for: it
/// can hang in a request.
fn ask(
    groups: Vec<Group>,
    surroundings: &Surroundings,
    deadline: Instant,
) -> Vec<(usize, Result<Status, Trouble>)> {
    let cancel = Cancel::default();
    let mut surroundings = surroundings.clone();
    let patience = deadline.saturating_duration_since(Instant::now());
    surroundings.client = surroundings.client.with_limit(patience);
    let workers = groups.len().min(MOST_QUESTIONS);
    let groups = Arc::new(Mutex::new(groups));
    let (sender, receiver) = mpsc::channel();
    for _ in 0..workers {
        let (groups, sender) = (Arc::clone(&groups), sender.clone());
        let (surroundings, cancel) = (surroundings.clone(), cancel.clone());
        thread::spawn(move || {
            loop {
                let group = groups
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .pop()
                    .filter(|_| !cancel.is_set());
                let Some(group) = group else { return };
                let answers = group.ask(&surroundings, cancel.clone());
                if sender.send((group.indices, answers)).is_err() {
                    return;
                }
            }
        });
    }
    drop(sender);
    let mut all = Vec::new();
    loop {
        match receiver.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok((indices, answers)) => all.extend(indices.into_iter().zip(answers)),
            Err(RecvTimeoutError::Disconnected) => return all,
            Err(RecvTimeoutError::Timeout) => {
                cancel.set();
                return all;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capability::http::Trust;
    use crate::contract::Value;
    use crate::sandbox::Limits;

    fn loaded() -> Arc<Loaded> {
        let driver = LazyDriver::new(crate::builtin::COMPONENT, Limits::default(), None);
        driver.loaded().unwrap()
    }

    fn machine(saved: String) -> contract::Machine {
        contract::Machine {
            name: "m1".to_owned(),
            id: String::new(),
            swarm_master: false,
            options: Vec::new(),
            saved,
        }
    }

    /// How many machines are asked for at once, for each question.
    fn grouped(asked: impl IntoIterator<Item = Asked>) -> Vec<usize> {
        let mut groups = Vec::new();
        for (index, asked) in asked.into_iter().enumerate() {
            Group::add(&mut groups, index, asked);
        }
        groups.iter().map(|group| group.machines.len()).collect()
    }

    #[test]
    fn one_question_is_for_the_machines_of_one_account_reached_in_one_way() {
        let loaded = loaded();
        let with_value = |scope: OptionScope, text: &str| {
            let specs = &loaded.description.options;
            let spec = specs.iter().find(|spec| spec.scope == scope).unwrap();
            Options {
                values: [(spec.name.clone(), Value::Text(text.to_owned()))].into(),
                ..Options::default()
            }
        };
        let of_account = || with_value(OptionScope::Account, "a");
        let with_secret = |secret: &str| Options {
            secrets: [("x-key".to_owned(), secret.into())].into_iter().collect(),
            ..Options::default()
        };
        let trusting = |trust| Options {
            trust,
            ..Options::default()
        };
        let cases = [
            (of_account(), of_account(), 1),
            (of_account(), with_value(OptionScope::Account, "b"), 2),
            (
                with_value(OptionScope::Machine, "a"),
                with_value(OptionScope::Machine, "b"),
                1,
            ),
            (with_secret("a"), with_secret("b"), 2),
            (trusting(Trust::System), trusting(Trust::Anybody), 2),
        ];
        for (first, second, questions) in cases {
            let told = format!("{first:?} {second:?}");
            let asked = [first, second].map(|options| Asked {
                loaded: Arc::clone(&loaded),
                options: Arc::new(options),
                machine: machine(String::new()),
            });
            assert_eq!(grouped(asked).len(), questions, "{told}");
        }
        let options = Arc::new(Options::default());
        let asked = |saved: String| Asked {
            loaded: Arc::clone(&loaded),
            options: Arc::clone(&options),
            machine: machine(saved),
        };
        let many = (0..=MOST_AT_ONCE).map(|_| asked(String::new()));
        assert_eq!(grouped(many), [MOST_AT_ONCE, 1]);
        let large = [MOST_BYTES, 1].map(|size| asked("x".repeat(size)));
        assert_eq!(grouped(large), [1, 1]);
    }
}
