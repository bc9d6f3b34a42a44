//! Time that hurries while somebody waits.

use std::time::{Duration, Instant, SystemTime};

use btcloud_host::capability::clock::{Cancel, SystemTimeSource, TimeSource};

/// How many times shorter waiting is.
const HURRY: u32 = 50;

/// A clock fifty times as fast as the real one, but for the time of day: a driver's pauses take a fiftieth, and servers that keep
/// real time seem fifty times slower to it.
#[derive(Debug)]
pub struct HurriedTime {
    start: Instant,
    system: SystemTimeSource,
}

impl Default for HurriedTime {
    fn default() -> Self {
        Self {
            start: Instant::now(),
            system: SystemTimeSource::default(),
        }
    }
}

impl TimeSource for HurriedTime {
    fn now(&self) -> Duration {
        self.start.elapsed() * HURRY
    }

    fn wall(&self) -> SystemTime {
        self.system.wall()
    }

    fn sleep(&self, duration: Duration, cancel: &Cancel) {
        self.system.sleep(duration / HURRY, cancel);
    }
}
