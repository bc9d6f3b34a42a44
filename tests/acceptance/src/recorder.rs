//! What a machine's user would read, kept for a test.

use std::sync::{Mutex, MutexGuard, PoisonError};

use btcloud_host::capability::log::{Level, Reporter};

/// Keeps each line, and each step as `[1/3] its name`.
#[derive(Debug, Default)]
pub struct Recorder(Mutex<Vec<String>>);

impl Recorder {
    /// The lines so far.
    pub fn lines(&self) -> MutexGuard<'_, Vec<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reporter for Recorder {
    fn log(&self, _: Level, line: &str) {
        self.lines().push(line.to_owned());
    }

    fn progress(&self, step: &str, number: u32, of: u32) {
        self.lines().push(format!("[{number}/{of}] {step}"));
    }
}
