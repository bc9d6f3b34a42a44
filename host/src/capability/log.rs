//! What the user sees while an operation runs: bounded, and [cleaned](super::text) of what could fool a terminal.

use std::sync::Arc;

use crate::capability::budget::Budget;
use crate::capability::secret::Secrets;
use crate::capability::text::shown;
use crate::contract;

pub use crate::contract::log::Level;

/// Who shows an operation's lines and steps to the user.
pub trait Reporter: Send + Sync {
    /// Shows a line.
    fn log(&self, level: Level, line: &str);

    /// Shows that step `number` of `of` begins.
    fn progress(&self, step: &str, number: u32, of: u32);
}

/// A [`Reporter`] that shows nothing.
#[derive(Debug)]
pub struct Silent;

impl Reporter for Silent {
    fn log(&self, _: Level, _: &str) {}
    fn progress(&self, _: &str, _: u32, _: u32) {}
}

/// The capability `log`.
pub struct Log {
    reporter: Arc<dyn Reporter>,
    secrets: Arc<Secrets>,
    budget: Arc<Budget>,
    is_full: bool,
}

impl Log {
    /// Hands cleaned lines to `reporter`, without any of `secrets`.
    pub fn new(reporter: Arc<dyn Reporter>, secrets: Arc<Secrets>, budget: Arc<Budget>) -> Self {
        Self {
            reporter,
            secrets,
            budget,
            is_full: false,
        }
    }

    fn admit(&mut self, line: &str) -> Option<String> {
        let limits = *self.budget.limits();
        if !self.budget.admit_line() {
            if !std::mem::replace(&mut self.is_full, true) {
                let lines = limits.log_lines;
                let text =
                    format!("the driver wrote more than {lines} lines; the rest is not shown");
                self.reporter.log(Level::Warning, &text);
            }
            return None;
        }
        Some(self.shown(line, limits.log_line_length).replace('\n', " "))
    }

    /// A text of the driver's as it may be shown.
    pub fn shown(&self, text: &str, limit: usize) -> String {
        shown(text, &self.secrets, limit)
    }
}

impl contract::log::Host for Log {
    fn log(&mut self, level: Level, line: String) {
        if let Some(line) = self.admit(&line) {
            self.budget.waiting(|| self.reporter.log(level, &line));
        }
    }

    fn progress(&mut self, step: String, number: u32, of: u32) {
        if let Some(step) = self.admit(&step) {
            let show = || self.reporter.progress(&step, number, of);
            self.budget.waiting(show);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capability::clock::{Cancel, SystemTimeSource};
    use crate::capability::limits::Limits;
    use crate::contract::log::Host as _;
    use std::sync::Mutex;

    #[derive(Default)]
    struct Recorder(Mutex<Vec<String>>);

    impl Reporter for Recorder {
        fn log(&self, _: Level, line: &str) {
            self.0.lock().unwrap().push(line.to_owned());
        }
        fn progress(&self, step: &str, number: u32, of: u32) {
            self.0.lock().unwrap().push(format!("{number}/{of} {step}"));
        }
    }

    #[test]
    fn lines_are_single_bounded_in_number_and_hold_no_secret() {
        let recorder = Arc::new(Recorder::default());
        let secrets = Arc::new(Secrets::from_iter([(
            "key".to_owned(),
            "hunter2hunter2".into(),
        )]));
        let limits = Limits {
            log_lines: 5,
            log_line_length: 10,
            ..Limits::default()
        };
        let time = Arc::new(SystemTimeSource::default());
        let budget = Arc::new(Budget::new(limits, time, Cancel::default()));
        let mut log = Log::new(Arc::clone(&recorder) as Arc<dyn Reporter>, secrets, budget);
        log.log(Level::Info, "a\nb hunter2hunter2".to_owned());
        log.log(Level::Info, "0123456789abc".to_owned());
        log.log(Level::Info, "secret hunter2\u{1b}[0mhunter2".to_owned());
        for _ in 0..10 {
            log.progress("step".to_owned(), 1, 2);
        }
        let lines = recorder.0.lock().unwrap();
        assert_eq!(lines[0], "a b ***");
        assert_eq!(lines[1], "0123456789…");
        assert_eq!(lines[2], "secret ***");
        assert_eq!(lines.len(), 6);
        assert!(lines[5].contains("more than 5 lines; the rest is not shown"));
    }
}
