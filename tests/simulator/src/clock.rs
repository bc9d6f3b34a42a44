//! Where the simulated world takes its time from.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jiff::Timestamp;

/// The source of time of the simulated world.
///
/// Nothing runs in the background: each request first brings the world up to the clock's time. With a [`ManualClock`]
/// a test therefore decides when a job finishes, and needs no sleep.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    /// The machine's own clock.
    #[default]
    Real,
    /// A clock that moves only when told to.
    Manual(ManualClock),
}

impl Clock {
    /// What the clock shows.
    pub fn now(&self) -> Timestamp {
        match self {
            Self::Real => Timestamp::now(),
            Self::Manual(manual) => manual.now(),
        }
    }
}

impl From<ManualClock> for Clock {
    fn from(manual: ManualClock) -> Self {
        Self::Manual(manual)
    }
}

/// A clock that tests move forward. Clones show, and move, the same time.
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<AtomicI64>);

impl ManualClock {
    /// A clock that stands at the present time.
    pub fn new() -> Self {
        Self::at(Timestamp::now())
    }

    /// A clock that stands at `time`, to the millisecond.
    pub fn at(time: Timestamp) -> Self {
        Self(Arc::new(AtomicI64::new(time.as_millisecond())))
    }

    /// What the clock shows.
    pub fn now(&self) -> Timestamp {
        Timestamp::from_millisecond(self.0.load(Ordering::SeqCst)).unwrap_or(Timestamp::MAX)
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        let millis = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        let add = |shown: i64| Some(shown.saturating_add(millis));
        // The closure never declines, so there is no failure to report.
        let _ = self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, add);
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

/// `time` plus `duration`, or the end of time.
pub(crate) fn later(time: Timestamp, duration: Duration) -> Timestamp {
    jiff::SignedDuration::try_from(duration)
        .ok()
        .and_then(|duration| time.checked_add(duration).ok())
        .unwrap_or(Timestamp::MAX)
}

/// A point in time as CloudStack prints it: `2016-03-01T12:00:00+0000`.
pub(crate) fn print(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S+0000").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_of_a_manual_clock_move_together() {
        let clock = ManualClock::at(Timestamp::UNIX_EPOCH);
        let other = clock.clone();
        other.advance(Duration::from_millis(1500));
        assert_eq!(clock.now().as_millisecond(), 1500);
    }

    #[test]
    fn a_manual_clock_survives_any_duration() {
        let clock = ManualClock::new();
        clock.advance(Duration::MAX);
        assert_eq!(clock.now(), Timestamp::MAX);
        assert_eq!(later(clock.now(), Duration::MAX), Timestamp::MAX);
    }

    #[test]
    fn times_are_printed_as_cloudstack_does() {
        assert_eq!(print(Timestamp::UNIX_EPOCH), "1970-01-01T00:00:00+0000");
    }
}
