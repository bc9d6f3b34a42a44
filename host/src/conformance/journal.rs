//! What a driver does while it is under test, in its order.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use serde_json::{Map, Value as Json};

use crate::capability::clock::{Cancel, TimeSource};
use crate::capability::state::SaveState;
use crate::contract;
use crate::contract::OptionSpec;
use crate::contract::types::ErrorKind;
use crate::machine::Record;
use crate::machine::options::config_keys;

/// The longest time that an operation may wait against a cloud that never helps it: an hour, as in the sandbox.
const MAX_WAIT: Duration = Duration::from_secs(60 * 60);

/// Something that a driver does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// It saves something, as JSON.
    Saves(String),
    /// It sends a request, which changes something in the cloud or only reads.
    Called {
        /// Whether it changes something: by its method.
        changes: bool,
    },
    /// It waits.
    Waits,
    /// It is told to stop.
    IsCancelled,
    /// It has waited for longer than an operation may take.
    Oversleeps,
}

/// The events, shared by all who write them.
#[derive(Clone, Debug, Default)]
pub(super) struct Journal(Arc<Mutex<Vec<Event>>>);

impl Journal {
    pub(super) fn write(&self, event: Event) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(event);
    }

    /// What has been written since this was asked last.
    pub(super) fn take(&self) -> Vec<Event> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Writes down what a driver saves, by the rules of the host's own record.
pub(super) struct JournalSink {
    pub(super) journal: Journal,
    pub(super) options: Vec<OptionSpec>,
}

impl SaveState for JournalSink {
    fn save(&mut self, saved: Map<String, Json>) -> Result<(), contract::Error> {
        let json = Json::Object(saved.clone()).to_string();
        let kept = Record::default().replace_saved(saved, &config_keys(&self.options));
        kept.map_err(|member| {
            let message = format!("the driver must not save {member}");
            contract::Error::new(ErrorKind::Internal, message)
        })?;
        self.journal.write(Event::Saves(json));
        Ok(())
    }
}

/// Time that passes only when the driver waits. It ends the waiting of one that waits for ever.
#[derive(Debug)]
pub(super) struct WaitedTime {
    pub(super) journal: Journal,
    pub(super) waited_ms: AtomicU64,
    /// Whether the user asks to stop as soon as the driver waits.
    pub(super) cancels: bool,
}

impl TimeSource for WaitedTime {
    // Not written down: the host looks at the time itself, for the limits.
    fn now(&self) -> Duration {
        Duration::from_millis(self.waited_ms.load(Ordering::SeqCst))
    }

    fn wall(&self) -> SystemTime {
        SystemTime::now()
    }

    fn sleep(&self, duration: Duration, cancel: &Cancel) {
        self.journal.write(Event::Waits);
        let ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let before = self.waited_ms.load(Ordering::SeqCst);
        let now = before.saturating_add(ms);
        self.waited_ms.store(now, Ordering::SeqCst);
        let is_over = Duration::from_millis(now) > MAX_WAIT;
        if cancel.is_set() || !(is_over || self.cancels) {
            return;
        }
        self.journal.write(if self.cancels {
            Event::IsCancelled
        } else {
            Event::Oversleeps
        });
        cancel.set();
    }
}
