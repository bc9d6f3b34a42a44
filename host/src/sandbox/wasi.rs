//! WASI 0.2 as far as drivers get it: what languages' standard libraries need, with nothing granted.
//!
//! wasmtime's own implementation waits in the system's time and for as long as it is told to. So clocks and waiting are
//! done here: by the operation's clock, until the operation's time is up or the user asks to stop.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use wasmtime::component::{HasSelf, Linker, Resource, ResourceTable};
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::bindings::clocks::monotonic_clock;
use wasmtime_wasi::p2::bindings::sync::io::poll;
use wasmtime_wasi::p2::pipe::{MemoryOutputPipe, SinkOutputStream};
use wasmtime_wasi::p2::{DynPollable, OutputStream, Pollable, StreamError, subscribe};
use wasmtime_wasi::runtime::poll_noop;
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView, async_trait};
use wasmtime_wasi_io::bindings::wasi::io::poll as asynchronous;
use wasmtime_wasi_io::bytes::Bytes;

use super::Context;
use crate::capability::clock::TimeSource;

/// The most bytes of what a driver writes to its standard error that are kept, the last ones.
const MAX_STDERR: usize = 500;

/// The most resources, such as streams and moments to wait for, that a driver may have at a time.
const MAX_RESOURCES: usize = 10_000;

/// The most random bytes that a driver may ask for at once.
const MAX_RANDOM: u64 = 64 << 10;

/// The user asked to stop while the driver waited.
#[derive(Debug, thiserror::Error)]
#[error("the user asked to stop")]
pub(super) struct Interrupted;

/// What an instance has of WASI.
pub(super) struct Wasi {
    context: WasiCtx,
    table: ResourceTable,
    stderr: Tail,
    alarm: Alarm,
}

impl Wasi {
    pub(super) fn new() -> Self {
        let stderr = Tail::default();
        let mut table = ResourceTable::new();
        table.set_max_capacity(MAX_RESOURCES);
        // Nothing is granted: no directory, variable, argument or socket.
        let context = WasiCtxBuilder::new()
            .stderr(stderr.clone())
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false)
            .max_random_size(MAX_RANDOM)
            .build();
        Self {
            context,
            table,
            stderr,
            alarm: Alarm::default(),
        }
    }

    /// The end of what the driver has written to its standard error: a panic's message, mostly.
    pub(super) fn stderr(&self) -> String {
        let bytes: Vec<_> = self.stderr.lock().iter().copied().collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl WasiView for Context {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi.context,
            table: &mut self.wasi.table,
        }
    }
}

pub(super) fn link(linker: &mut Linker<Context>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_sync(linker)?;
    linker.allow_shadowing(true);
    poll::add_to_linker::<_, HasSelf<Context>>(linker, |c| c)?;
    monotonic_clock::add_to_linker::<_, HasSelf<Context>>(linker, |c| c)?;
    linker.allow_shadowing(false);
    Ok(())
}

impl monotonic_clock::Host for Context {
    fn now(&mut self) -> wasmtime::Result<u64> {
        let now = self.capabilities.budget.time().now();
        Ok(u64::try_from(now.as_nanos()).unwrap_or(u64::MAX))
    }

    fn resolution(&mut self) -> wasmtime::Result<u64> {
        Ok(1)
    }

    fn subscribe_instant(&mut self, when: u64) -> wasmtime::Result<Resource<DynPollable>> {
        self.subscribe(Duration::from_nanos(when))
    }

    fn subscribe_duration(&mut self, when: u64) -> wasmtime::Result<Resource<DynPollable>> {
        let now = self.capabilities.budget.time().now();
        self.subscribe(now.saturating_add(Duration::from_nanos(when)))
    }
}

impl poll::Host for Context {
    fn poll(&mut self, pollables: Vec<Resource<DynPollable>>) -> wasmtime::Result<Vec<u32>> {
        self.wait(|table| {
            let pollables = pollables.iter().map(|p| Resource::new_borrow(p.rep()));
            let ready = asynchronous::Host::poll(table, pollables.collect());
            poll_noop(pin!(ready))
        })
    }
}

impl poll::HostPollable for Context {
    fn ready(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<bool> {
        let ready = asynchronous::HostPollable::ready(&mut self.wasi.table, pollable);
        poll_noop(pin!(ready)).unwrap_or(Ok(false))
    }

    fn block(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        self.wait(|table| {
            let pollable = Resource::new_borrow(pollable.rep());
            let ready = asynchronous::HostPollable::block(table, pollable);
            poll_noop(pin!(ready))
        })
    }

    fn drop(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        asynchronous::HostPollable::drop(&mut self.wasi.table, pollable)
    }
}

impl Context {
    fn subscribe(&mut self, at: Duration) -> wasmtime::Result<Resource<DynPollable>> {
        let moment = Moment {
            at,
            time: Arc::clone(self.capabilities.budget.time()),
            alarm: self.wasi.alarm.clone(),
        };
        let moment = self.wasi.table.push(moment)?;
        subscribe(&mut self.wasi.table, moment)
    }

    /// Waits until `attempt` has something. Only moments can be waited for: all else that a driver gets is ready at once,
    /// or never.
    fn wait<R>(
        &mut self,
        mut attempt: impl FnMut(&mut ResourceTable) -> Option<wasmtime::Result<R>>,
    ) -> wasmtime::Result<R> {
        loop {
            self.wasi.alarm.set(None);
            if let Some(result) = attempt(&mut self.wasi.table) {
                return result;
            }
            let budget = &self.capabilities.budget;
            let first = self.wasi.alarm.get();
            let duration = first.map(|at| at.saturating_sub(budget.time().now()));
            budget.sleep(duration.unwrap_or(Duration::MAX));
            budget.check()?;
            if budget.is_cancelled() {
                return Err(Interrupted.into());
            }
        }
    }
}

/// The first moment that those who were found not to be ready are waiting for.
#[derive(Clone, Default)]
struct Alarm(Arc<Mutex<Option<Duration>>>);

impl Alarm {
    fn get(&self) -> Option<Duration> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, at: Option<Duration>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = at;
    }
}

/// A moment that can be waited for.
struct Moment {
    at: Duration,
    time: Arc<dyn TimeSource>,
    alarm: Alarm,
}

#[async_trait]
impl Pollable for Moment {
    async fn ready(&mut self) {
        poll_fn(|_| {
            if self.time.now() >= self.at {
                return Poll::Ready(());
            }
            let first = self.alarm.get().map_or(self.at, |at| at.min(self.at));
            self.alarm.set(Some(first));
            Poll::Pending
        })
        .await;
    }
}

/// A stream that takes everything and keeps the end of it.
#[derive(Clone, Default)]
struct Tail(Arc<Mutex<VecDeque<u8>>>);

impl Tail {
    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl IsTerminal for Tail {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Tail {
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }

    /// Of WASI 0.3, which is not linked.
    fn async_stream(&self) -> Box<dyn tokio::io::AsyncWrite + Send + Sync> {
        Box::new(MemoryOutputPipe::new(0))
    }
}

#[async_trait]
impl Pollable for Tail {
    async fn ready(&mut self) {}
}

impl OutputStream for Tail {
    fn write(&mut self, bytes: Bytes) -> Result<(), StreamError> {
        let mut kept = self.lock();
        kept.extend(bytes);
        let surplus = kept.len().saturating_sub(MAX_STDERR);
        kept.drain(..surplus);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), StreamError> {
        Ok(())
    }

    fn check_write(&mut self) -> Result<usize, StreamError> {
        SinkOutputStream.check_write()
    }
}
