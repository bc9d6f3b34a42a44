//! Whether a driver keeps the contract, for those who write one.
//!
//! The driver runs as it does for a user, but against a cloud on this machine that only ever fails, in several
//! ways, so that no account is needed: whatever happens, an operation has to end with an error that a user understands.
//! Where the author has a cloud to try, a machine is led through its whole life there too, with that cloud's requests
//! going through the one here, so that it can be seen what they are, and lose the answers of some.

mod call;
mod cloud;
mod description;
mod faults;
mod inventory;
mod journal;
mod lifecycle;
mod subject;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use crate::capability::clock::{SystemTimeSource, TimeSource};
use crate::machine::{Loaded, Variables};
use crate::sandbox::{Cache, Driver, Limits};
use cloud::Cloud;
use journal::Journal;
use subject::Subject;

/// How a driver is to be tested.
pub struct Settings {
    /// Values of the driver's options by their names, with or without the driver's own before them.
    pub options: BTreeMap<String, String>,
    /// The URL of a cloud in which machines may be made and removed; nothing if there is none.
    pub endpoint: Option<String>,
    /// Looks up environment variables, which give options too where machines are made.
    pub variables: Arc<Variables>,
    /// The time of that cloud.
    pub time: Arc<dyn TimeSource>,
    /// What the driver may use of the machine that it runs on.
    pub limits: Limits,
    /// Where compiled code is kept.
    pub cache: Option<Cache>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            options: BTreeMap::new(),
            endpoint: None,
            variables: Arc::new(|_| None),
            time: Arc::new(SystemTimeSource::default()),
            limits: Limits::default(),
            cache: None,
        }
    }
}

/// Why a driver could not be tested.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting is none of the driver's.
    #[error("the driver has no option {0}")]
    NoSuchOption(String),
    /// The options that the driver wants are not there.
    #[error("{0}")]
    Options(#[from] crate::machine::Error),
    /// The URL is none of a cloud.
    #[error(transparent)]
    Endpoint(#[from] crate::capability::http::EndpointError),
    /// The machine that this runs on fails.
    #[error("the test itself failed: {0}")]
    Io(#[from] io::Error),
}

/// What came of a test.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The driver's name and version, if it told them.
    pub driver: Option<String>,
    /// What was looked at, in its order.
    pub checks: Vec<Check>,
}

/// Something that the contract demands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What that is, as a sentence.
    pub name: &'static str,
    /// Whether the driver does it.
    pub passed: bool,
    /// What it does instead, or what else there is to know, one line each.
    pub detail: Vec<String>,
}

impl Report {
    /// Those that were not passed.
    pub fn failed(&self) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(|check| !check.passed)
    }

    /// Notes what was found wrong; nothing if all is well.
    fn note(&mut self, name: &'static str, problems: Vec<String>) {
        self.checks.push(Check {
            name,
            passed: problems.is_empty(),
            detail: problems,
        });
    }
}

/// Tests a driver.
///
/// # Errors
///
/// If it could not be tested. What the driver does wrong is in the report.
pub fn run(component: &[u8], settings: &Settings) -> Result<Report, Error> {
    const LOADS: &str = "The component is a driver that this host can run";
    const DESCRIBES: &str = "The description keeps to the rules";
    let mut report = Report::default();
    let driver = match Driver::load(component, settings.limits, settings.cache.as_ref()) {
        Ok(driver) => driver,
        Err(error) => {
            report.note(LOADS, vec![error.to_string()]);
            return Ok(report);
        }
    };
    report.checks.push(Check {
        name: LOADS,
        passed: true,
        detail: vec![format!(
            "it has {} KiB and imports {}",
            component.len().div_ceil(1024),
            driver.imports().join(", ")
        )],
    });
    let description = match driver.describe() {
        Ok(description) => description,
        Err(error) => {
            report.note(DESCRIBES, vec![error.to_string()]);
            return Ok(report);
        }
    };
    report.note(DESCRIBES, Vec::new());
    report.driver = Some(format!("{} {}", description.name, description.version));

    let journal = Journal::default();
    let cloud = Cloud::start(journal.clone())?;
    let loaded = Loaded::new(driver, description);
    let mut subject = Subject::new(loaded, journal, settings)?;
    description::of_description(&mut subject, &cloud, &mut report)?;
    inventory::of_listable(&mut subject, &cloud, &mut report)?;
    if subject.endpoint.is_some() {
        description::of_missing_options(&mut subject, &cloud, &mut report)?;
        faults::meet(&mut subject, &cloud, &mut report)?;
        inventory::meet(&mut subject, &cloud, &mut report)?;
        faults::cancel(&mut subject, &cloud, &mut report)?;
        if let Some(url) = &settings.endpoint {
            lifecycle::lead(&mut subject, &cloud, &url.parse()?, settings, &mut report)?;
        }
    }
    subject.conclude(&mut report);
    Ok(report)
}
