//! The names that an option can have, asked of the driver while somebody types.

use std::ffi::OsStr;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use clap_complete::CompletionCandidate;

use super::Words;
use crate::capability::clock::Cancel;
use crate::capability::log::Silent;
use crate::contract::Candidate;
use crate::machine::{Flags, Inventory, LazyDriver, Loaded, ProfileChoice, Surroundings};

/// How long a shell waits for names, which somebody wants to see while typing.
const PATIENCE: Duration = Duration::from_secs(2);

/// Completes the value of an option: what the driver says that it can name.
#[derive(Clone)]
pub(in crate::cli) struct Completer {
    pub(in crate::cli) driver: Arc<LazyDriver>,
    pub(in crate::cli) loaded: Arc<Loaded>,
    pub(in crate::cli) profile: ProfileChoice,
    /// What stands on the command line.
    pub(in crate::cli) words: Arc<Words>,
    /// The option.
    pub(in crate::cli) option: String,
}

impl Completer {
    /// The names that begin like what has been typed; none where they cannot be had, be it why it may. The shell shows no
    /// error while somebody types.
    pub(in crate::cli) fn complete(&self, typed: &OsStr) -> Vec<CompletionCandidate> {
        let Some(typed) = typed.to_str().map(|typed| self.words.typed(typed)) else {
            return Vec::new();
        };
        let candidates = self.candidates_in_time().unwrap_or_default();
        // They are in the order of their names.
        let is_at = |index: Option<usize>, name: &str| {
            index
                .and_then(|index| candidates.get(index))
                .is_some_and(|candidate| candidate.name == name)
        };
        let completed = candidates.iter().enumerate().filter_map(|(i, candidate)| {
            let name = candidate.name.as_str();
            let is_unique = !is_at(i.checked_sub(1), name) && !is_at(i.checked_add(1), name);
            // Of several with one name each is known by its id.
            let (value, other) = match is_unique {
                true => (&candidate.name, &candidate.details.join(" ")),
                false => (&candidate.id, &candidate.name),
            };
            let shown = typed.complete(value)?;
            let help = (!other.trim().is_empty()).then(|| other.trim().to_owned());
            Some(CompletionCandidate::new(shown).help(help.map(Into::into)))
        });
        completed.collect()
    }

    /// What is told within [`PATIENCE`], whatever keeps the driver or the cloud busy.
    fn candidates_in_time(&self) -> Option<Vec<Candidate>> {
        let (sender, receiver) = mpsc::sync_channel(1);
        let completer = self.clone();
        thread::spawn(move || drop(sender.send(completer.candidates())));
        receiver.recv_timeout(PATIENCE).ok().flatten()
    }

    fn candidates(&self) -> Option<Vec<Candidate>> {
        let listable = self.loaded.listable().ok()?;
        if !listable.iter().any(|l| l.option_name == self.option) {
            return None;
        }
        let surroundings = Surroundings::of_process(Arc::new(Silent), Cancel::default())
            .with_profile(self.profile.clone());
        let mut flags: Flags = self.words.flags(&self.loaded.description.options);
        // What is there of it is what is being typed.
        flags.remove(&self.option);
        let inventory = Inventory::new(&self.driver, surroundings, &flags).ok()?;
        inventory.candidates(&self.option, PATIENCE).ok()
    }
}
