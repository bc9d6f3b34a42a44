//! Many independent cases at once.

use std::any::Any;
use std::fmt::Display;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};
use std::thread;

/// At most so many threads: each case is a cloud and a host of its own.
const MOST_WORKERS: usize = 4;

/// Plays all cases, on as many threads as there are processors but no more than four, and tells the reasons of those that fail.
pub fn play_all<T>(
    cases: impl Iterator<Item = T> + Send,
    play: impl Fn(T) -> Result<(), String> + Sync,
) -> Vec<String> {
    let (cases, failures) = (Mutex::new(cases), Mutex::new(Vec::new()));
    let next = || {
        let mut cases = cases.lock().unwrap_or_else(PoisonError::into_inner);
        cases.next()
    };
    let workers = thread::available_parallelism().map_or(2, usize::from);
    thread::scope(|scope| {
        for _ in 0..workers.min(MOST_WORKERS) {
            scope.spawn(|| {
                while let Some(case) = next() {
                    if let Err(reason) = play(case) {
                        let mut failures = failures.lock().unwrap_or_else(PoisonError::into_inner);
                        failures.push(reason);
                    }
                }
            });
        }
    });
    failures
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner)
}

/// Plays one case. Whatever is wrong with it, be that an error or a panic, is told with what the case is.
///
/// # Errors
///
/// What is wrong.
pub fn case(what: impl Display, play: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    let outcome = catch_unwind(AssertUnwindSafe(play));
    let outcome = outcome.unwrap_or_else(|panic| Err(format!("it panics: {}", text_of(&*panic))));
    outcome.map_err(|reason| format!("{what}: {reason}"))
}

fn text_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("without a text")
}

/// Shows a line even if the test passes, which a macro's output does not.
pub fn tell(line: &str) {
    // The test itself has what matters.
    drop(writeln!(std::io::stderr(), "{line}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_that_panics_is_told_like_one_that_fails_and_the_others_are_played() {
        let play = |number: u32| {
            case(format!("case {number}"), || match number {
                1 => panic!("number {number}"),
                2 => Err("wrong".to_owned()),
                _ => Ok(()),
            })
        };
        let mut failures = play_all(0..5, play);
        failures.sort();
        assert_eq!(failures, ["case 1: it panics: number 1", "case 2: wrong"]);
    }
}
