//! What is asked of the driver under test, and what it answers.

use std::sync::Arc;

use super::journal::Event;
use crate::capability::clock::{Cancel, TimeSource};
use crate::capability::http::Client;
use crate::contract::types::ErrorKind;
use crate::contract::{self, Candidate, FoundMachine, Limit, Status};
use crate::machine::options::Options;
use crate::sandbox::Change;

/// What is asked of the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Check,
    Create,
    Change(Change),
    Status,
    Survey,
    /// What can be named in the option of that number among those that can be listed.
    Candidates(usize),
    Limits,
}

impl Operation {
    pub(super) const CHANGES: [Self; 4] = [
        Self::Change(Change::Stop),
        Self::Change(Change::Start),
        Self::Change(Change::Restart),
        Self::Change(Change::Kill),
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Check => "check",
            Self::Create => "create",
            Self::Change(Change::Start) => "start",
            Self::Change(Change::Stop) => "stop",
            Self::Change(Change::Kill) => "kill",
            Self::Change(Change::Restart) => "restart",
            Self::Change(Change::Remove) => "remove",
            Self::Status => "status",
            Self::Survey => "survey",
            Self::Candidates(_) => "candidates",
            Self::Limits => "limits",
        }
    }
}

/// What came of a call.
pub(super) struct Outcome {
    pub(super) answer: Answer,
    /// What the driver did meanwhile.
    pub(super) events: Vec<Event>,
}

impl Outcome {
    /// How many requests the cloud got.
    pub(super) fn requests(&self) -> usize {
        let is_request = |event: &&Event| matches!(event, Event::Called { .. });
        self.events.iter().filter(is_request).count()
    }

    /// How many of them change something.
    pub(super) fn changes(&self) -> usize {
        let is_change = |event: &&Event| matches!(event, Event::Called { changes: true });
        self.events.iter().filter(is_change).count()
    }

    /// What the driver saved last.
    pub(super) fn saved(&self) -> Option<&str> {
        self.events.iter().rev().find_map(|event| match event {
            Event::Saves(json) => Some(json.as_str()),
            _ => None,
        })
    }
}

/// The driver's answer.
#[derive(Debug)]
pub(super) enum Answer {
    Done,
    Told(Vec<Result<Status, contract::Error>>),
    Found(Vec<FoundMachine>),
    Candidates(Vec<Candidate>),
    Limits(Vec<Limit>),
    Failed(contract::Error),
    /// It came to no answer.
    Broke,
}

impl Answer {
    /// What it is, for a report of it being the wrong one.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Done => "it tells that all is well".to_owned(),
            Self::Told(told) => {
                let states = told.iter().map(|told| match told {
                    Ok(status) => name_of(status.state),
                    Err(error) => error.message.clone(),
                });
                format!("it answers: {}", states.collect::<Vec<_>>().join(", "))
            }
            Self::Found(found) => format!("it tells of {} machines", found.len()),
            Self::Candidates(candidates) => format!("it tells of {} names", candidates.len()),
            Self::Limits(limits) => format!("it tells of {} limits", limits.len()),
            Self::Failed(error) => {
                format!("it fails: {} ({})", error.message, name_of(error.kind))
            }
            Self::Broke => "it came to no answer".to_owned(),
        }
    }
}

/// Under which circumstances the driver is called.
pub(super) struct Setting {
    pub(super) name: &'static str,
    pub(super) options: Arc<Options>,
    pub(super) time: Arc<dyn TimeSource>,
    pub(super) cancel: Cancel,
    pub(super) client: Client,
}

/// The name of a case of the contract.
pub(super) fn name_of(case: impl std::fmt::Debug) -> String {
    let text = format!("{case:?}");
    text.rsplit("::").next().unwrap_or_default().to_owned()
}

/// Whether an error is of one of these kinds.
pub(super) fn is_of_kind(answer: &Answer, kinds: &[ErrorKind]) -> bool {
    matches!(answer, Answer::Failed(error) if kinds.contains(&error.kind))
}
