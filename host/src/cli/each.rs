//! Something for each of several machines, some of them at the same time.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::thread;

use clap::{Arg, ArgMatches, value_parser};

use super::exit::Exit;
use super::failure::Failure;
use super::report::Report;
use crate::capability::clock::Cancel;

/// How many machines are worked on at the same time, unless the user says.
const PARALLEL: &str = "8";

/// The flag that limits how many.
pub(super) fn parallel() -> Arg {
    Arg::new("parallel")
        .long("parallel")
        .value_name("NUMBER")
        .value_parser(value_parser!(u16).range(1..=256))
        .default_value(PARALLEL)
        .help("How many machines are worked on at the same time")
}

/// What that flag says.
pub(super) fn parallel_of(matches: &ArgMatches) -> usize {
    let parallel = matches.get_one::<u16>("parallel").copied();
    parallel.unwrap_or(1).into()
}

/// Works for each name, `parallel` of them at the same time, and hands what comes of it to `tell` as it comes, one at a time.
/// What had not been begun when the user asked to stop never is.
///
/// # Errors
///
/// As [`outcome`] says, if something failed; what that was has been shown then.
pub(super) fn each<T: Send>(
    names: &[String],
    parallel: usize,
    cancel: &Cancel,
    report: &Report,
    work: &(dyn Fn(&str) -> Result<T, Failure> + Sync),
    tell: &(dyn Fn(&str, T) -> Result<(), Failure> + Sync),
) -> Result<(), Failure> {
    let mut seen = BTreeSet::new();
    let queue: VecDeque<_> = names.iter().filter(|name| seen.insert(*name)).collect();
    let total = queue.len();
    let bar = (total > 1).then(|| report.bar(total)).flatten();
    let queue = Mutex::new(queue);
    let exits = Mutex::new(Vec::new());
    let next = || {
        let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.pop_front()
    };
    thread::scope(|scope| {
        for _ in 0..parallel.min(total) {
            scope.spawn(|| {
                while let Some(name) = next() {
                    let result = match cancel.is_set() {
                        true => Err(crate::machine::Error::Cancelled.into()),
                        false => work(name),
                    };
                    let mut exits = exits.lock().unwrap_or_else(PoisonError::into_inner);
                    let told = result.and_then(|done| report.aside(|| tell(name, done)));
                    if let Err(failure) = told {
                        let label = if total > 1 { name.as_str() } else { "" };
                        report.aside(|| failure.show_for(label));
                        exits.push(failure.exit);
                    }
                    if let Some(bar) = &bar {
                        bar.inc(1);
                    }
                }
            });
        }
    });
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    outcome(&exits.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// How the command ends if some of it ended like that: as those did if all alike, or else as what failed. An interruption
/// goes before all.
fn outcome(exits: &[Exit]) -> Result<(), Failure> {
    let Some(first) = exits.first() else {
        return Ok(());
    };
    let exit = match exits {
        _ if exits.contains(&Exit::Interrupted) => Exit::Interrupted,
        _ if exits.iter().all(|exit| exit == first) => *first,
        _ => Exit::Failed,
    };
    Err(Failure::silent(exit))
}
