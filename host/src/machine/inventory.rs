//! What can be named in a driver's options, and how much of the account's limits is used: what a driver with an inventory
//! tells, held to the contract.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use super::options::Options;
use super::{Error, Flags, LazyDriver, Loaded, Surroundings};
use crate::capability::Capabilities;
use crate::capability::clock::Cancel;
use crate::capability::keys::Keys;
use crate::capability::log::{is_treacherous, shown};
use crate::capability::secret::Secrets;
use crate::capability::state::Nowhere;
use crate::contract::types::ErrorKind;
use crate::contract::{self, Candidate, Limit, ListableOption, OptionKind, OptionSpec, Value};
use crate::sandbox;

/// The most columns of a listing besides the name and the id.
const MAX_COLUMNS: usize = 8;

/// The most bytes of a heading, and of the head of a column.
const MAX_HEADING: usize = 40;

/// The most names that an option can have.
const MAX_CANDIDATES: usize = 20_000;

/// The most limits.
const MAX_LIMITS: usize = 100;

/// The most bytes of each text that is told, as many as CloudStack's names can have.
const MAX_TEXT: usize = 255;

impl Loaded {
    /// The options whose names the driver can list; nothing where it has no inventory.
    ///
    /// # Errors
    ///
    /// If the driver does not run to its end, or tells what is against the contract.
    pub fn listable(&self) -> Result<&[ListableOption], Error> {
        if let Some(listable) = self.listable.get() {
            return Ok(listable);
        }
        let listable = match self.driver.has_inventory() {
            true => self.driver.listable()?,
            false => Vec::new(),
        };
        check_listable(&listable, &self.description.options)
            .map_err(sandbox::Error::Description)?;
        Ok(self.listable.get_or_init(|| listable))
    }
}

/// Holds what a driver tells it can list to the contract.
///
/// # Errors
///
/// What is wrong, as a clause for the user.
pub(crate) fn check_listable(
    listable: &[ListableOption],
    specs: &[OptionSpec],
) -> Result<(), String> {
    let is_text = |text: &String| {
        !text.trim().is_empty() && text.len() <= MAX_HEADING && !text.contains(is_treacherous)
    };
    let (mut options, mut headings) = (BTreeSet::new(), BTreeSet::new());
    for ListableOption {
        option_name: option,
        heading,
        columns,
    } in listable
    {
        let named = |spec: &&OptionSpec| {
            spec.name == *option && matches!(spec.kind, OptionKind::Text | OptionKind::TextList)
        };
        if !specs.iter().any(|spec| named(&spec)) {
            return Err(
                "it lists the names of an option that it does not have, or that is no text"
                    .to_owned(),
            );
        }
        if !is_text(heading) || columns.len() > MAX_COLUMNS || !columns.iter().all(is_text) {
            return Err(format!(
                "the heading or the columns of {option} are invalid"
            ));
        }
        if !options.insert(option) || !headings.insert(heading) {
            return Err(format!("it lists {option} or {heading} twice"));
        }
    }
    Ok(())
}

/// What a driver can list for an account.
pub struct Inventory {
    loaded: Arc<Loaded>,
    surroundings: Surroundings,
    options: Arc<Options>,
}

impl Inventory {
    /// That of the account, and of what else flags, the environment or a profile tell of a new machine.
    ///
    /// # Errors
    ///
    /// If the driver has no inventory, or an option is malformed or, if it is about the account, missing.
    pub fn new(
        driver: &LazyDriver,
        surroundings: Surroundings,
        flags: &Flags,
    ) -> Result<Self, Error> {
        let loaded = driver.loaded()?;
        if !loaded.driver.has_inventory() {
            return Err(sandbox::Error::NoInventory.into());
        }
        let listable = loaded.listable()?;
        let can_be_listed = |spec: &OptionSpec| listable.iter().any(|l| l.option_name == spec.name);
        let specs = &loaded.description.options;
        let profile = surroundings.profile(&loaded)?;
        let given = loaded.given(&surroundings, flags, profile.as_deref());
        let options = Options::for_inventory(specs, &given, &can_be_listed)?;
        loaded.check_hosts(&options.endpoints)?;
        Ok(Self {
            loaded,
            surroundings,
            options: Arc::new(options),
        })
    }

    /// What an option can name, by name. What is not told within `patience` is given up.
    ///
    /// # Errors
    ///
    /// If the cloud does not tell.
    pub fn candidates(&self, option: &str, patience: Duration) -> Result<Vec<Candidate>, Error> {
        let asked = option.to_owned();
        let told = self.ask(patience, move |loaded, capabilities, values| {
            loaded.driver.candidates(capabilities, values, &asked)
        })?;
        Ok(sane_candidates(told, &self.options.secrets)?)
    }

    /// How much of the account's limits is used. What is not told within `patience` is given up.
    ///
    /// # Errors
    ///
    /// If the cloud does not tell.
    pub fn limits(&self, patience: Duration) -> Result<Vec<Limit>, Error> {
        let told = self.ask(patience, |loaded, capabilities, values| {
            loaded.driver.account_limits(capabilities, values)
        })?;
        Ok(sane_limits(told, &self.options.secrets)?)
    }

    /// Asks the driver on a thread of its own: it can hang in a request, and is then told to stop and not waited for.
    fn ask<R: Send + 'static>(
        &self,
        patience: Duration,
        question: impl FnOnce(
            &Loaded,
            Capabilities,
            &[(String, Value)],
        ) -> Result<Result<R, contract::Error>, sandbox::Error>
        + Send
        + 'static,
    ) -> Result<R, Error> {
        let cancel = Cancel::default();
        let mut surroundings = self.surroundings.clone();
        surroundings.client = surroundings.client.with_limit(patience);
        let capabilities = surroundings.capabilities(
            &self.loaded,
            &self.options,
            cancel.clone(),
            Keys::Denied,
            Box::new(Nowhere),
        );
        let values: Vec<_> = self.options.values.clone().into_iter().collect();
        let loaded = Arc::clone(&self.loaded);
        let (sender, receiver) = mpsc::sync_channel(1);
        thread::spawn(move || drop(sender.send(question(&loaded, capabilities, &values))));
        match receiver.recv_timeout(patience) {
            Ok(answer) => answer?.map_err(|e| Error::driver(e, &self.options.secrets)),
            Err(RecvTimeoutError::Timeout) => {
                cancel.set();
                Err(Error::Driver {
                    kind: ErrorKind::TimedOut,
                    message: format!("no answer within {} s", patience.as_secs()),
                    hint: None,
                })
            }
            Err(RecvTimeoutError::Disconnected) => {
                let reason = "its thread has ended".to_owned();
                Err(sandbox::Error::Engine(reason).into())
            }
        }
    }
}

/// Checks that there are no more candidates than a driver may tell.
pub(crate) fn check_candidates(candidates: &[Candidate]) -> Result<(), sandbox::Error> {
    at_most(MAX_CANDIDATES, candidates.len(), "names")
}

/// Checks that there are no more limits than a driver may tell.
pub(crate) fn check_limits(limits: &[Limit]) -> Result<(), sandbox::Error> {
    at_most(MAX_LIMITS, limits.len(), "limits")
}

fn at_most(max: usize, told: usize, what: &str) -> Result<(), sandbox::Error> {
    match told > max {
        true => Err(sandbox::Error::Answer(format!(
            "it told of more than {max} {what}"
        ))),
        false => Ok(()),
    }
}

fn told(text: &str, secrets: &Secrets) -> String {
    shown(text, secrets, MAX_TEXT).replace('\n', " ")
}

/// Holds candidates to the contract: bounded, clean, each once, in the order of their names. What would have to be changed to be
/// shown is no name that the option takes: there the id stands for it, and without an id that can be shown there is nothing to
/// tell.
fn sane_candidates(
    candidates: Vec<Candidate>,
    secrets: &Secrets,
) -> Result<Vec<Candidate>, sandbox::Error> {
    check_candidates(&candidates)?;
    let can_be_shown = |text: &str| !text.trim().is_empty() && told(text, secrets) == text;
    let sane = |candidate: Candidate| {
        let Candidate {
            name,
            id,
            mut details,
        } = candidate;
        details.truncate(MAX_COLUMNS);
        can_be_shown(&id).then(|| Candidate {
            name: Some(name)
                .filter(|name| can_be_shown(name))
                .unwrap_or_else(|| id.clone()),
            id,
            details: details.iter().map(|text| told(text, secrets)).collect(),
        })
    };
    let mut candidates: Vec<_> = candidates.into_iter().filter_map(sane).collect();
    candidates.sort_by_cached_key(|c| (c.name.to_lowercase(), c.name.clone(), c.id.clone()));
    candidates.dedup_by(|a, b| a.id == b.id && a.name == b.name);
    Ok(candidates)
}

/// Holds limits to the contract: bounded and clean.
fn sane_limits(mut limits: Vec<Limit>, secrets: &Secrets) -> Result<Vec<Limit>, sandbox::Error> {
    check_limits(&limits)?;
    for limit in &mut limits {
        limit.name = told(&limit.name, secrets);
    }
    Ok(limits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listable(option: &str, heading: &str, columns: &[&str]) -> ListableOption {
        ListableOption {
            option_name: option.to_owned(),
            heading: heading.to_owned(),
            columns: columns.iter().map(|c| (*c).to_owned()).collect(),
        }
    }

    #[test]
    fn what_can_be_listed_is_held_to_the_contract() {
        let specs = [
            OptionSpec::of_kind("a-zone", OptionKind::Text),
            OptionSpec::of_kind("a-tag", OptionKind::TextList),
            OptionSpec::of_kind("a-key", OptionKind::Secret),
        ];
        let check = |listable: &[ListableOption]| check_listable(listable, &specs);
        let good = listable("a-zone", "zones", &["TYPE"]);
        check(&[good.clone(), listable("a-tag", "tags", &[])]).unwrap();
        check(&[]).unwrap();
        for bad in [
            listable("a-other", "others", &[]),
            listable("a-key", "keys", &[]),
            listable("a-tag", "zones", &[]),
            listable("a-zone", "more zones", &[]),
            listable("a-tag", "", &[]),
            listable("a-tag", "ta\u{1b}gs", &[]),
            listable("a-tag", "tags", &["\u{202e}X"]),
            listable("a-tag", "tags", &["X"; 9]),
            listable("a-tag", &"x".repeat(41), &[]),
        ] {
            check(&[good.clone(), bad.clone()]).expect_err(&bad.heading);
        }
    }

    #[test]
    fn candidates_are_sorted_clean_and_bounded() {
        let candidate = |name: &str, id: &str| Candidate {
            name: name.to_owned(),
            id: id.to_owned(),
            details: vec!["x\ny".to_owned(); 10],
        };
        let secrets = Secrets::from_iter([("key".to_owned(), "hunter2hunter2".into())]);
        let told = vec![
            candidate("b", "2"),
            candidate("A\u{1b}[31m\n1", "1"),
            candidate("b", "2"),
            candidate("", "3"),
            candidate("hunter2hunter2", "4"),
            candidate("c", ""),
            candidate("c", "5\n"),
            candidate(&"d".repeat(256), "6"),
        ];
        let sane = sane_candidates(told, &secrets).unwrap();
        let names: Vec<_> = sane.iter().map(|c| (&*c.name, &*c.id)).collect();
        assert_eq!(
            names,
            [("1", "1"), ("3", "3"), ("4", "4"), ("6", "6"), ("b", "2")]
        );
        assert_eq!(sane[0].details, ["x y"; 8]);
        let many = vec![candidate("a", "a"); MAX_CANDIDATES + 1];
        let error = sane_candidates(many, &secrets).unwrap_err().to_string();
        assert!(error.contains("more than 20000 names"), "{error}");
    }
}
