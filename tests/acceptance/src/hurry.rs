//! Time that hurries while somebody waits.

use std::time::{Duration, Instant, SystemTime};

use btcloud_host::capability::clock::{Cancel, SystemTimeSource, TimeSource};

/// How many times shorter waiting is.
const HURRY: u32 = 50;

/// Time in which waiting takes a fiftieth, and for servers that take real time, drivers wait fifty times as long for them.
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
