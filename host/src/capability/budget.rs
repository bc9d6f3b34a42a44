//! What one operation has used of its limits.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::clock::{Cancel, TimeSource};
use super::limits::{Limit, Limits};

/// What one operation has used of its limits, shared by the instance and what it may ask of the host.
pub struct Budget {
    limits: Limits,
    time: Arc<dyn TimeSource>,
    cancel: Cancel,
    /// When the operation began, by `time`.
    began: Duration,
    used: Mutex<Used>,
}

struct Used {
    /// When the operation began. Computing takes real time, whatever `time` is.
    began: Instant,
    waited: Duration,
    /// Since when the user is known to want it to stop.
    cancelled: Option<Instant>,
    requests: u32,
    lines: u32,
    request_lines: u32,
    saves: u32,
    hit: Option<Limit>,
}

impl Budget {
    /// That of an operation which begins now, and which `cancel` asks to stop.
    pub fn new(limits: Limits, time: Arc<dyn TimeSource>, cancel: Cancel) -> Self {
        let used = Used {
            began: Instant::now(),
            waited: Duration::ZERO,
            cancelled: None,
            requests: 0,
            lines: 0,
            request_lines: 0,
            saves: 0,
            hit: None,
        };
        Self {
            limits,
            began: time.now(),
            time,
            cancel,
            used: Mutex::new(used),
        }
    }

    /// The limits.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Where the operation's time comes from.
    pub fn time(&self) -> &Arc<dyn TimeSource> {
        &self.time
    }

    /// Whether the user has asked to stop.
    pub fn is_cancelled(&self) -> bool {
        self.cancel.is_set()
    }

    /// The time that is left.
    pub fn left(&self) -> Duration {
        let passed = self.time.now().saturating_sub(self.began);
        self.limits.wall.saturating_sub(passed)
    }

    /// The limit that stopped the driver, if one did.
    pub fn hit(&self) -> Option<Limit> {
        self.used().hit
    }

    /// Notes the limit that stops the driver.
    pub fn stop(&self, limit: Limit) -> Limit {
        *self.used().hit.get_or_insert(limit)
    }

    /// Runs what is not the driver's computing: waiting, showing, writing to the disk.
    pub fn waiting<R>(&self, function: impl FnOnce() -> R) -> R {
        let since = Instant::now();
        let result = function();
        self.used().waited += since.elapsed();
        result
    }

    /// Waits that long, or until the user asks to stop or the operation's time is up.
    pub fn sleep(&self, duration: Duration) {
        let duration = duration.min(self.left());
        self.waiting(|| self.time.sleep(duration, &self.cancel));
    }

    /// Looks whether the driver may go on.
    ///
    /// # Errors
    ///
    /// The limit that stops it.
    pub fn check(&self) -> Result<(), Limit> {
        self.check_at(Instant::now())
    }

    fn check_at(&self, now: Instant) -> Result<(), Limit> {
        let (is_cancelled, left) = (self.is_cancelled(), self.left());
        let Limits {
            computation,
            wall,
            grace,
            ..
        } = self.limits;
        let mut used = self.used();
        if is_cancelled {
            used.cancelled.get_or_insert(now);
        }
        let passed = |since| now.saturating_duration_since(since);
        let limit = if passed(used.began).saturating_sub(used.waited) > computation {
            Limit::Computation(computation)
        } else if left.is_zero() {
            Limit::Wall(wall)
        } else if used.cancelled.is_some_and(|since| passed(since) > grace) {
            Limit::Grace(grace)
        } else {
            return used.hit.map_or(Ok(()), Err);
        };
        Err(*used.hit.get_or_insert(limit))
    }

    /// Counts a request. Whether it may be made.
    pub(super) fn admit_request(&self) -> bool {
        count(&mut self.used().requests, self.limits.requests)
    }

    /// Counts a line. Whether it may be shown.
    pub(super) fn admit_line(&self) -> bool {
        count(&mut self.used().lines, self.limits.log_lines)
    }

    /// Counts a line about a request. Whether it may be shown: there are as many of them as lines of the driver's own.
    pub(super) fn admit_request_line(&self) -> bool {
        count(&mut self.used().request_lines, self.limits.log_lines)
    }

    /// Counts a saved state. Whether it may be saved.
    pub(super) fn admit_save(&self) -> bool {
        count(&mut self.used().saves, self.limits.saves)
    }

    fn used(&self) -> MutexGuard<'_, Used> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn count(counter: &mut u32, limit: u32) -> bool {
    let is_within = *counter < limit;
    *counter += u32::from(is_within);
    is_within
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Budget")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capability::clock::VirtualTimeSource;

    const LIMITS: fn() -> Limits = || Limits {
        computation: Duration::from_secs(1),
        wall: Duration::from_secs(10),
        grace: Duration::from_millis(500),
        requests: 2,
        ..Limits::default()
    };

    fn budget() -> (Budget, Cancel) {
        let cancel = Cancel::default();
        let time = Arc::new(VirtualTimeSource::default());
        (Budget::new(LIMITS(), time, cancel.clone()), cancel)
    }

    #[test]
    fn waiting_is_not_computing() {
        let (budget, _) = budget();
        let began = budget.used().began;
        budget.used().waited = Duration::from_secs(5);
        budget.check_at(began + Duration::from_secs(6)).unwrap();
        let late = began + Duration::from_millis(6_100);
        let limit = Limit::Computation(Duration::from_secs(1));
        assert_eq!(budget.check_at(late), Err(limit));
        assert_eq!(budget.hit(), Some(limit));
    }

    #[test]
    fn an_operation_ends_in_time_however_it_waits() {
        let (budget, _) = budget();
        budget.sleep(Duration::from_secs(4));
        assert_eq!(budget.left(), Duration::from_secs(6));
        budget.check().unwrap();
        budget.sleep(Duration::MAX);
        assert_eq!(budget.time().now(), Duration::from_secs(10));
        assert_eq!(budget.check(), Err(Limit::Wall(Duration::from_secs(10))));
    }

    #[test]
    fn who_is_asked_to_stop_has_a_little_time_left() {
        let (budget, cancel) = budget();
        cancel.set();
        let now = Instant::now();
        budget.check_at(now).unwrap();
        budget.check_at(now + Duration::from_millis(400)).unwrap();
        let late = now + Duration::from_millis(600);
        let limit = Limit::Grace(Duration::from_millis(500));
        assert_eq!(budget.check_at(late), Err(limit));
    }

    #[test]
    fn what_is_counted_has_an_end() {
        let (budget, _) = budget();
        let admitted = [(); 4].map(|()| budget.admit_request());
        assert_eq!(admitted, [true, true, false, false]);
    }

    #[test]
    fn the_first_limit_is_told() {
        let (budget, _) = budget();
        assert_eq!(budget.stop(Limit::Memory(1)), Limit::Memory(1));
        assert_eq!(budget.stop(Limit::Table(1)), Limit::Memory(1));
        assert_eq!(budget.check(), Err(Limit::Memory(1)));
    }
}
