//! Time: real or virtual, with sleeps that the user can interrupt.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::budget::Budget;
use crate::contract;

/// Where time comes from.
pub trait TimeSource: Send + Sync + fmt::Debug {
    /// The time since some fixed moment; never goes back.
    fn now(&self) -> Duration;

    /// The time of day.
    fn wall(&self) -> SystemTime;

    /// Waits for `duration`, or until `cancel` is set if that is sooner.
    fn sleep(&self, duration: Duration, cancel: &Cancel);
}

/// The system's clocks.
#[derive(Debug)]
pub struct SystemTimeSource(Instant);

impl Default for SystemTimeSource {
    fn default() -> Self {
        Self(Instant::now())
    }
}

impl TimeSource for SystemTimeSource {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }

    fn wall(&self) -> SystemTime {
        SystemTime::now()
    }

    fn sleep(&self, duration: Duration, cancel: &Cancel) {
        cancel.wait(duration);
    }
}

/// Time that passes only when somebody sleeps. The counter, in milliseconds since 1970, can be shared with a server, so
/// that both live in the same time.
#[derive(Clone, Debug, Default)]
pub struct VirtualTimeSource(pub Arc<AtomicU64>);

impl TimeSource for VirtualTimeSource {
    fn now(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::SeqCst))
    }

    fn wall(&self) -> SystemTime {
        UNIX_EPOCH + self.now()
    }

    fn sleep(&self, duration: Duration, cancel: &Cancel) {
        if !cancel.is_set() {
            let ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
            self.0.fetch_add(ms, Ordering::SeqCst);
        }
    }
}

/// A user's wish to stop, shared by those who may utter it and those who sleep.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<(Mutex<bool>, Condvar)>);

impl Cancel {
    /// Asks to stop. Cannot be taken back.
    pub fn set(&self) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.1.notify_all();
    }

    /// Whether somebody asked to stop.
    pub fn is_set(&self) -> bool {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits, at most until it is set, and tells whether it is.
    pub fn wait_for(&self, duration: Duration) -> bool {
        self.wait(duration);
        self.is_set()
    }

    fn wait(&self, duration: Duration) {
        let guard = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.0.1.wait_timeout_while(guard, duration, |set| !*set));
    }
}

/// The capability `clock`.
#[derive(Debug)]
pub struct Clock(pub Arc<Budget>);

impl contract::clock::Host for Clock {
    fn now(&mut self) -> u64 {
        u64::try_from(self.0.time().now().as_millis()).unwrap_or(u64::MAX)
    }

    fn sleep(&mut self, ms: u64) -> Result<(), contract::clock::Interruption> {
        if ms > 0 {
            self.0.sleep(Duration::from_millis(ms));
        }
        if self.0.is_cancelled() {
            return Err(contract::clock::Interruption::Cancelled);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capability::limits::Limits;
    use crate::contract::clock::Host as _;

    fn clock(time: impl TimeSource + 'static, cancel: &Cancel) -> Clock {
        let budget = Budget::new(Limits::default(), Arc::new(time), cancel.clone());
        Clock(Arc::new(budget))
    }

    #[test]
    fn virtual_time_passes_only_by_sleeping() {
        let mut clock = clock(VirtualTimeSource::default(), &Cancel::default());
        assert_eq!(clock.now(), 0);
        clock.sleep(1500).unwrap();
        assert_eq!(clock.now(), 1500);
    }

    #[test]
    fn a_cancelled_sleep_returns_at_once() {
        let cancel = Cancel::default();
        let mut clock = clock(SystemTimeSource::default(), &cancel);
        let sleeper = std::thread::spawn(move || clock.sleep(600_000));
        cancel.set();
        sleeper.join().unwrap().unwrap_err();
    }
}
