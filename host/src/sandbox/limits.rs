//! What a driver may use of the machine that it runs on.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use wasmtime::{CallHook, Engine, ResourceLimiter, UpdateDeadline};

/// How often a running driver is looked at.
const TICK: Duration = Duration::from_millis(10);

/// The limits of one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the component file.
    pub component_size: usize,
    /// Bytes of each linear memory.
    pub memory: usize,
    /// Elements of each table.
    pub table_elements: usize,
    /// Core instances, memories and tables, each.
    pub instances: usize,
    /// Bytes of the stack.
    pub stack: usize,
    /// The time that the driver may compute, not counting what it waits for the host.
    pub computation: Duration,
    /// The time that an operation may take in all.
    pub wall: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            component_size: 64 << 20,
            memory: 256 << 20,
            table_elements: 100_000,
            instances: 64,
            stack: 1 << 20,
            computation: Duration::from_secs(20),
            wall: Duration::from_secs(60 * 60),
        }
    }
}

/// A limit that was hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Limit {
    /// The component file is too large.
    #[error("its file is larger than {0} bytes")]
    ComponentSize(usize),
    /// A memory would grow too large.
    #[error("it wants more than {0} bytes of memory")]
    Memory(usize),
    /// A table would grow too large.
    #[error("it wants a table of more than {0} elements")]
    Table(usize),
    /// It computed too long.
    #[error("it computed for more than {} seconds", .0.as_secs_f32())]
    Computation(Duration),
    /// It took too long in all.
    #[error("the operation took more than {} seconds", .0.as_secs_f32())]
    Wall(Duration),
}

/// Measures what an instance uses, and remembers the limit that stopped it.
pub(super) struct Meter {
    limits: Limits,
    started: Instant,
    computed: Duration,
    /// Since when the instance computes; nothing while it waits for the host.
    computing_since: Option<Instant>,
    hit: Option<Limit>,
}

impl Meter {
    pub(super) fn new(limits: Limits, started: Instant) -> Self {
        Self {
            limits,
            started,
            computed: Duration::ZERO,
            computing_since: None,
            hit: None,
        }
    }

    /// The limit that was hit, if one was.
    pub(super) fn hit(&self) -> Option<Limit> {
        self.hit
    }

    /// Notes that control passes between driver and host.
    pub(super) fn pass(&mut self, hook: CallHook, now: Instant) {
        if let Some(since) = self.computing_since.take() {
            self.computed += now.saturating_duration_since(since);
        }
        if matches!(hook, CallHook::CallingWasm | CallHook::ReturningFromHost) {
            self.computing_since = Some(now);
        }
    }

    /// Looks whether the time is up. wasmtime calls this about once a [`TICK`] while the driver computes.
    pub(super) fn tick(&mut self, now: Instant) -> wasmtime::Result<UpdateDeadline> {
        let running = self
            .computing_since
            .map_or(Duration::ZERO, |s| now.saturating_duration_since(s));
        if self.computed + running > self.limits.computation {
            return self.stop(Limit::Computation(self.limits.computation));
        }
        if now.saturating_duration_since(self.started) > self.limits.wall {
            return self.stop(Limit::Wall(self.limits.wall));
        }
        Ok(UpdateDeadline::Continue(1))
    }

    fn stop<R>(&mut self, limit: Limit) -> wasmtime::Result<R> {
        self.hit = Some(limit);
        Err(limit.into())
    }
}

impl ResourceLimiter for Meter {
    fn memory_growing(
        &mut self,
        _: usize,
        desired: usize,
        _: Option<usize>,
    ) -> wasmtime::Result<bool> {
        match desired <= self.limits.memory {
            true => Ok(true),
            // Stopped rather than told: a driver that runs out of memory would only abort without saying why.
            false => self.stop(Limit::Memory(self.limits.memory)),
        }
    }

    fn table_growing(
        &mut self,
        _: usize,
        desired: usize,
        _: Option<usize>,
    ) -> wasmtime::Result<bool> {
        match desired <= self.limits.table_elements {
            true => Ok(true),
            false => self.stop(Limit::Table(self.limits.table_elements)),
        }
    }

    fn instances(&self) -> usize {
        self.limits.instances
    }

    fn memories(&self) -> usize {
        self.limits.instances
    }

    fn tables(&self) -> usize {
        self.limits.instances
    }
}

/// Runs `function` while the engine's epoch advances every [`TICK`].
pub(super) fn ticking<R>(engine: &Engine, function: impl FnOnce() -> R) -> R {
    /// Ends the ticking even if the function panics.
    struct Stop<'a>(&'a AtomicBool, thread::Thread);
    impl Drop for Stop<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Release);
            self.1.unpark();
        }
    }

    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let ticker = scope.spawn(|| {
            while !done.load(Ordering::Acquire) {
                thread::park_timeout(TICK);
                engine.increment_epoch();
            }
        });
        let _stop = Stop(&done, ticker.thread().clone());
        function()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meter() -> (Meter, Instant) {
        let limits = Limits {
            computation: Duration::from_secs(1),
            wall: Duration::from_secs(10),
            memory: 100,
            ..Limits::default()
        };
        let start = Instant::now();
        (Meter::new(limits, start), start)
    }

    #[test]
    fn waiting_for_the_host_is_not_computing() {
        let (mut meter, start) = meter();
        let at = |ms| start + Duration::from_millis(ms);
        meter.pass(CallHook::CallingWasm, at(0));
        meter.pass(CallHook::CallingHost, at(600));
        meter.pass(CallHook::ReturningFromHost, at(5_000));
        meter.tick(at(5_300)).unwrap();
        assert_eq!(meter.hit(), None);
        meter.tick(at(5_500)).err().unwrap();
        assert_eq!(
            meter.hit(),
            Some(Limit::Computation(Duration::from_secs(1)))
        );
    }

    #[test]
    fn an_operation_ends_in_time_however_it_waits() {
        let (mut meter, start) = meter();
        meter.pass(CallHook::CallingWasm, start);
        meter.pass(CallHook::CallingHost, start);
        meter.pass(CallHook::ReturningFromHost, start + Duration::from_secs(11));
        meter.tick(start + Duration::from_secs(11)).err().unwrap();
        assert_eq!(meter.hit(), Some(Limit::Wall(Duration::from_secs(10))));
    }

    #[test]
    fn memory_is_bounded() {
        let (mut meter, _) = meter();
        assert!(meter.memory_growing(0, 100, None).unwrap());
        meter.memory_growing(0, 101, None).unwrap_err();
        assert_eq!(meter.hit(), Some(Limit::Memory(100)));
    }
}
