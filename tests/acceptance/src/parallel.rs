//! Many independent cases at once.

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
