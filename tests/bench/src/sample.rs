//! Times, their medians and their spread.

use std::fmt;
use std::time::{Duration, Instant};

use cpu_time::ProcessTime;

/// The times of the rounds of one thing.
#[derive(Clone, Debug)]
pub(crate) struct Sample(Vec<Duration>);

impl Sample {
    /// Measures a thing that times itself.
    pub(crate) fn of(rounds: usize, mut measure: impl FnMut() -> Duration) -> Self {
        // The first one fills caches.
        measure();
        Self::sorted((0..rounds).map(|_| measure()).collect())
    }

    fn sorted(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self(times)
    }

    /// The time that half of the rounds take at most.
    pub(crate) fn median(&self) -> Duration {
        self.quantile(0.5)
    }

    fn quantile(&self, part: f64) -> Duration {
        self.0[((self.0.len() - 1) as f64 * part).round() as usize]
    }
}

/// The median, and the times between which eight of ten rounds are.
impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (low, high) = (self.quantile(0.1), self.quantile(0.9));
        write!(
            f,
            "{} ({} – {})",
            shown(self.median()),
            shown(low),
            shown(high)
        )
    }
}

/// Two things, measured in turn.
#[derive(Clone, Debug)]
pub(crate) struct Pair {
    pub(crate) ours: Sample,
    pub(crate) other: Sample,
    /// The median of what ours takes for each unit of time that the other takes, round by round: what else the computer
    /// does meanwhile slows both.
    pub(crate) ratio: f64,
    /// The median of what ours takes more than the other, round by round; nothing if it takes less.
    pub(crate) excess: Duration,
}

impl Pair {
    /// Measures A B B A A B B A …
    pub(crate) fn of(
        rounds: usize,
        mut ours: impl FnMut() -> Duration,
        mut other: impl FnMut() -> Duration,
    ) -> Self {
        ours();
        other();
        let (mut our_times, mut other_times) = (Vec::new(), Vec::new());
        for round in 0..rounds {
            if round % 2 == 0 {
                our_times.push(ours());
                other_times.push(other());
            } else {
                other_times.push(other());
                our_times.push(ours());
            }
        }
        let median = |compared: fn(f64, f64) -> f64| {
            let rounds = our_times.iter().zip(&other_times);
            let mut figures: Vec<_> = rounds
                .map(|(ours, other)| compared(ours.as_secs_f64(), other.as_secs_f64()))
                .collect();
            figures.sort_unstable_by(f64::total_cmp);
            figures[figures.len() / 2]
        };
        Self {
            ratio: median(|ours, other| ours / other),
            excess: Duration::from_secs_f64(median(|ours, other| ours - other).max(0.0)),
            ours: Sample::sorted(our_times),
            other: Sample::sorted(other_times),
        }
    }
}

/// How long something takes.
pub(crate) fn time<T>(action: impl FnOnce() -> T) -> Duration {
    let begin = Instant::now();
    let result = action();
    let taken = begin.elapsed();
    drop(result);
    taken
}

/// How much processor time something takes, on all threads of this process: what else the computer does meanwhile does
/// not count.
pub(crate) fn processor_time<T>(action: impl FnOnce() -> T) -> Duration {
    let begin = ProcessTime::now();
    let result = action();
    let taken = begin.elapsed();
    drop(result);
    taken
}

/// The processor time of one of many repetitions.
pub(crate) fn time_each<T>(repetitions: u32, mut action: impl FnMut() -> T) -> Duration {
    processor_time(|| {
        for _ in 0..repetitions {
            std::hint::black_box(action());
        }
    }) / repetitions
}

/// A time in the unit that suits it.
pub(crate) fn shown(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    match seconds {
        s if s >= 1.0 => format!("{s:.2} s"),
        s if s >= 1e-3 => format!("{:.2} ms", s * 1e3),
        s if s >= 1e-6 => format!("{:.2} µs", s * 1e6),
        s => format!("{:.0} ns", s * 1e9),
    }
}
