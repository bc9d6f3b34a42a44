//! Shows on the standard error what an operation does: a spinner on a terminal, a line a step elsewhere.

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::capability::log::{Level, Reporter};

/// Shows lines and steps on the standard error.
pub(super) struct Report {
    verbose: bool,
    /// On a terminal, the current step.
    spinner: Option<Mutex<Option<ProgressBar>>>,
}

impl Report {
    /// Shows debug lines too if `verbose`.
    pub(super) fn new(verbose: bool) -> Self {
        Self {
            verbose,
            spinner: io::stderr().is_terminal().then(Mutex::default),
        }
    }

    /// Ends the current step's spinner, so that what is printed next stands alone.
    pub(super) fn finish(&self) {
        if let Some(spinner) = self.take_spinner() {
            spinner.finish();
        }
    }

    fn take_spinner(&self) -> Option<ProgressBar> {
        self.spinner
            .as_ref()?
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    fn line(&self, line: &str) {
        let print = || drop(writeln!(io::stderr(), "{line}"));
        match &self.spinner {
            None => print(),
            Some(spinner) => match &*spinner.lock().unwrap_or_else(PoisonError::into_inner) {
                None => print(),
                Some(spinner) => spinner.suspend(print),
            },
        }
    }
}

impl Reporter for Report {
    fn log(&self, level: Level, line: &str) {
        match level {
            Level::Debug if !self.verbose => {}
            Level::Debug | Level::Info => self.line(line),
            Level::Warning => self.line(&format!("warning: {line}")),
        }
    }

    fn progress(&self, step: &str, number: u32, of: u32) {
        let step = format!("[{number}/{of}] {step}");
        let Some(slot) = &self.spinner else {
            self.line(&step);
            return;
        };
        self.finish();
        let style = ProgressStyle::with_template("{spinner} {msg} ({elapsed})");
        let spinner = ProgressBar::new_spinner().with_message(step);
        if let Ok(style) = style {
            spinner.set_style(style);
        }
        spinner.enable_steady_tick(Duration::from_millis(100));
        *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(spinner);
    }
}
