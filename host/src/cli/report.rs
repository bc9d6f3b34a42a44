//! Shows on the standard error what operations do: on a terminal a spinner for each machine and a bar for all of them, a line
//! a step elsewhere.

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::capability::log::{Level, Reporter};

/// What the reports of a command share.
struct Screen {
    verbose: bool,
    is_quiet: bool,
    /// On a terminal.
    bars: Option<MultiProgress>,
}

/// Shows lines and steps of one machine.
pub(super) struct Report {
    screen: Arc<Screen>,
    /// What its lines begin with, where there are several machines.
    label: String,
    /// On a terminal, the current step.
    spinner: Mutex<Option<ProgressBar>>,
}

impl Report {
    /// Shows debug lines too if `verbose`.
    pub(super) fn new(verbose: bool) -> Self {
        Self::of(verbose, false)
    }

    /// Shows warnings alone if `is_quiet`.
    pub(super) fn of(verbose: bool, is_quiet: bool) -> Self {
        let is_shown = io::stderr().is_terminal() && !is_quiet;
        let screen = Screen {
            verbose,
            is_quiet,
            bars: is_shown.then(MultiProgress::new),
        };
        Self {
            screen: Arc::new(screen),
            label: String::new(),
            spinner: Mutex::default(),
        }
    }

    /// Shows warnings alone, and debug lines if `verbose`.
    pub(super) fn quiet(verbose: bool) -> Self {
        Self::of(verbose, true)
    }

    /// One for a machine of so many, on the same screen.
    pub(super) fn of_machine(&self, name: &str, machines: usize) -> Self {
        match machines {
            1 => self.alone(),
            _ => self.lane(name),
        }
    }

    /// One for a machine alone, on the same screen.
    fn alone(&self) -> Self {
        Self {
            screen: Arc::clone(&self.screen),
            label: String::new(),
            spinner: Mutex::default(),
        }
    }

    /// One of several beside each other, whose lines begin with that name.
    pub(super) fn lane(&self, name: &str) -> Self {
        Self {
            label: format!("{name}: "),
            ..self.alone()
        }
    }

    /// A bar that counts what is done of all; nothing where there is no terminal.
    pub(super) fn bar(&self, total: usize) -> Option<ProgressBar> {
        let bars = self.screen.bars.as_ref()?;
        let bar = ProgressBar::new(total.try_into().unwrap_or(u64::MAX));
        let bar = bars.add(bar);
        if let Ok(style) = ProgressStyle::with_template("  [{bar:30}] {pos}/{len} ({elapsed})") {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.enable_steady_tick(Duration::from_secs(1));
        Some(bar)
    }

    /// Ends the current step's spinner, so that what is printed next stands alone.
    pub(super) fn finish(&self) {
        if let Some(spinner) = self.take_spinner() {
            // Of several, only what is under way stays on the screen.
            match self.label.is_empty() {
                true => spinner.finish(),
                false => spinner.finish_and_clear(),
            }
        }
    }

    /// Runs what prints, with the bars out of its way.
    pub(super) fn aside<R>(&self, print: impl FnOnce() -> R) -> R {
        match &self.screen.bars {
            Some(bars) => bars.suspend(print),
            None => print(),
        }
    }

    fn take_spinner(&self) -> Option<ProgressBar> {
        self.spinner
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    fn line(&self, line: &str) {
        self.aside(|| drop(writeln!(io::stderr(), "{}{line}", self.label)));
    }
}

impl Reporter for Report {
    fn log(&self, level: Level, line: &str) {
        match level {
            Level::Debug if !self.screen.verbose => {}
            Level::Debug | Level::Info if self.screen.is_quiet => {}
            Level::Debug | Level::Info => self.line(line),
            Level::Warning => self.line(&format!("warning: {line}")),
        }
    }

    fn progress(&self, step: &str, number: u32, of: u32) {
        if self.screen.is_quiet {
            return;
        }
        let step = format!("[{number}/{of}] {step}");
        let Some(bars) = &self.screen.bars else {
            self.line(&step);
            return;
        };
        self.finish();
        let spinner = ProgressBar::new_spinner().with_message(format!("{}{step}", self.label));
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
            spinner.set_style(style);
        }
        // The bar of all stays below.
        let spinner = match self.label.is_empty() {
            true => bars.add(spinner),
            false => bars.insert_from_back(1, spinner),
        };
        spinner.enable_steady_tick(Duration::from_millis(100));
        *self.spinner.lock().unwrap_or_else(PoisonError::into_inner) = Some(spinner);
    }
}
