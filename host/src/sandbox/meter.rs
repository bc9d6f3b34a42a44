//! Holds a running instance to its limits.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use wasmtime::{Engine, ResourceLimiter, Trap, UpdateDeadline};

use super::Error;
use crate::capability::budget::Budget;
use crate::capability::limits::Limit;

/// How often a running driver is looked at.
const TICK: Duration = Duration::from_millis(10);

/// The stack that the host's own functions have below the driver's, which is Rust's default for a thread.
const HOST_STACK: usize = 2 << 20;

/// Measures what an instance uses.
pub(super) struct Meter {
    budget: Arc<Budget>,
    /// Bytes of all its memories.
    memory: Total,
    /// Elements of all its tables.
    table_elements: Total,
}

/// The size of all that is of one kind.
#[derive(Default)]
struct Total {
    size: usize,
    /// By how much one of them was last allowed to grow.
    growth: usize,
}

impl Total {
    /// Lets one of them grow; tells whether all together keep to the limit.
    fn grow(&mut self, current: usize, desired: usize, limit: usize) -> bool {
        self.growth = desired.saturating_sub(current);
        self.size = self.size.saturating_add(self.growth);
        self.size <= limit
    }

    /// What was allowed has not come about.
    fn shrink_back(&mut self) {
        self.size = self.size.saturating_sub(self.growth);
    }
}

impl Meter {
    pub(super) fn new(budget: Arc<Budget>) -> Self {
        Self {
            budget,
            memory: Total::default(),
            table_elements: Total::default(),
        }
    }

    /// Looks whether the driver may go on: about once a [`TICK`] while it computes, and whenever it comes from the host.
    pub(super) fn check(&self) -> wasmtime::Result<()> {
        Ok(self.budget.check()?)
    }

    pub(super) fn tick(&self) -> wasmtime::Result<UpdateDeadline> {
        self.check()?;
        Ok(UpdateDeadline::Continue(1))
    }

    /// The limit that an instance ran into, if it did. wasmtime tells of some only in words.
    pub(super) fn limit(&self, error: &wasmtime::Error) -> Option<Limit> {
        let limits = self.budget.limits();
        let cause = error.root_cause().to_string();
        match error.downcast_ref::<Trap>() {
            _ if self.budget.hit().is_some() => self.budget.hit(),
            Some(Trap::StackOverflow) => Some(Limit::Stack(limits.stack)),
            None if cause.starts_with("resource limit exceeded") => {
                Some(Limit::Instances(limits.instances))
            }
            None if cause.contains("fuel allocated for hostcalls") => {
                Some(Limit::Transfer(limits.transfer))
            }
            _ => None,
        }
    }
}

/// Who goes beyond a limit is stopped rather than told: a driver that runs out of memory would only abort without saying why.
impl ResourceLimiter for Meter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let limit = self.budget.limits().memory;
        match self.memory.grow(current, desired, limit) {
            true => Ok(true),
            false => Err(self.budget.stop(Limit::Memory(limit)).into()),
        }
    }

    fn memory_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        self.memory.shrink_back();
        Ok(())
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let limit = self.budget.limits().table_elements;
        match self.table_elements.grow(current, desired, limit) {
            true => Ok(true),
            false => Err(self.budget.stop(Limit::Table(limit)).into()),
        }
    }

    fn table_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        self.table_elements.shrink_back();
        Ok(())
    }

    fn instances(&self) -> usize {
        self.budget.limits().instances
    }

    fn memories(&self) -> usize {
        self.budget.limits().instances
    }

    fn tables(&self) -> usize {
        self.budget.limits().instances
    }
}

/// Runs `function` on a thread whose stack has room for a driver's, while the engine's epoch advances every [`TICK`].
///
/// # Errors
///
/// If the system gives no such thread. Were the stack smaller, a driver could end the process by filling it.
pub(super) fn run<R: Send>(
    engine: &Engine,
    stack: usize,
    function: impl FnOnce() -> R + Send,
) -> Result<R, Error> {
    thread::scope(|scope| {
        let (sender, receiver) = mpsc::sync_channel(1);
        let worker = thread::Builder::new()
            .name("driver".to_owned())
            .stack_size(stack.saturating_add(HOST_STACK))
            .spawn_scoped(scope, move || drop(sender.send(function())))
            .map_err(|e| Error::Engine(e.to_string()))?;
        loop {
            match receiver.recv_timeout(TICK) {
                Ok(result) => return Ok(result),
                Err(RecvTimeoutError::Timeout) => engine.increment_epoch(),
                Err(RecvTimeoutError::Disconnected) => match worker.join() {
                    Err(panic) => resume_unwind(panic),
                    Ok(()) => return Err(Error::Engine("its thread has ended".to_owned())),
                },
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capability::clock::{Cancel, SystemTimeSource};
    use crate::capability::limits::Limits;

    fn meter() -> Meter {
        let limits = Limits {
            memory: 100,
            table_elements: 10,
            ..Limits::default()
        };
        let time = Arc::new(SystemTimeSource::default());
        Meter::new(Arc::new(Budget::new(limits, time, Cancel::default())))
    }

    #[test]
    fn all_memories_are_bounded_together() {
        let mut meter = meter();
        assert!(meter.memory_growing(0, 50, None).unwrap());
        assert!(meter.memory_growing(0, 40, None).unwrap());
        assert!(meter.memory_growing(40, 50, None).unwrap());
        meter.memory_growing(50, 51, None).unwrap_err();
        assert_eq!(meter.budget.hit(), Some(Limit::Memory(100)));
    }

    #[test]
    fn all_tables_are_bounded_together() {
        let mut meter = meter();
        assert!(meter.table_growing(0, 6, None).unwrap());
        meter.table_growing(0, 5, None).unwrap_err();
        assert_eq!(meter.budget.hit(), Some(Limit::Table(10)));
    }

    #[test]
    fn growth_that_fails_is_not_counted() {
        let mut meter = meter();
        for _ in 0..10 {
            assert!(meter.memory_growing(0, 100, Some(50)).unwrap());
            let failure = wasmtime::Error::msg("no");
            meter.memory_grow_failed(failure).unwrap();
        }
        assert_eq!(meter.budget.hit(), None);
    }

    #[test]
    #[should_panic = "out of cheese"]
    fn a_panic_of_the_hosts_is_passed_on() {
        drop(run(&Engine::default(), 1 << 20, || panic!("out of cheese")));
    }
}
