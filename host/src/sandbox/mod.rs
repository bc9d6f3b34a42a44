//! Runs a driver: loads the component, and calls each of its operations on an instance of its own, within limits.

mod cache;
mod description;
mod limits;
mod version;

use std::time::Instant;

use wasmtime::component::{Component, HasSelf, Linker, ResourceTable};
use wasmtime::{Config, Engine, Store, Trap};
use wasmtime_wasi::p2::pipe::MemoryOutputPipe;
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

use crate::capability::Capabilities;
use crate::capability::log::clean;
use crate::contract::{self, Description, DriverPre, FoundMachine, Machine, Status, Value};

pub use cache::Cache;
pub use limits::{Limit, Limits};

/// The most bytes of what a driver wrote to its standard error that an error shows.
const MAX_STDERR: usize = 500;

/// Why the sandbox could not run a driver to its end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bytes are no WebAssembly component.
    #[error("this is not a WebAssembly component: {0}")]
    NotAComponent(String),
    /// The component does not export the contract.
    #[error(
        "this component is not a machine driver: it does not export {}/lifecycle",
        contract::PACKAGE
    )]
    NotADriver,
    /// The component was built for another version of the contract.
    #[error(
        "this driver was built for {} {built_for}, this host supports {}",
        contract::PACKAGE,
        contract::VERSION
    )]
    ContractVersion {
        /// The version that it was built for.
        built_for: String,
    },
    /// The component asks for something that the host does not have.
    #[error("this driver needs something that the host does not offer: {0}")]
    Link(String),
    /// The driver ran into a limit.
    #[error("the driver was stopped: {0}")]
    Limit(Limit),
    /// The driver crashed.
    #[error("the driver crashed: {0}")]
    Trap(String),
    /// The description breaks the contract.
    #[error("the driver's description is invalid: {0}")]
    Description(String),
    /// wasmtime itself failed.
    #[error("the WebAssembly engine failed: {0}")]
    Engine(String),
}

/// An operation that changes a machine and answers nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Runs it.
    Start,
    /// Stops it in the orderly way.
    Stop,
    /// Stops it at once.
    Kill,
    /// Stops it and runs it again.
    Restart,
    /// Removes it and all that was made for it.
    Remove,
}

/// A driver, loaded and linked. Each operation runs on a fresh instance.
pub struct Driver {
    engine: Engine,
    pre: DriverPre<Context>,
    limits: Limits,
}

impl Driver {
    /// Loads a driver. The compiled code is taken from `cache` where it is there, and put there where it is not.
    ///
    /// # Errors
    ///
    /// If `component` is no component, no driver, or of another version of the contract.
    pub fn load(component: &[u8], limits: Limits, cache: Option<&Cache>) -> Result<Self, Error> {
        if component.len() > limits.component_size {
            return Err(Error::Limit(Limit::ComponentSize(limits.component_size)));
        }
        let mut config = Config::new();
        config.epoch_interruption(true).max_wasm_stack(limits.stack);
        let engine = Engine::new(&config).map_err(|e| Error::Engine(e.to_string()))?;
        let compile = || {
            Component::new(&engine, component)
                .map_err(|e| Error::NotAComponent(clean(&e.root_cause().to_string(), MAX_STDERR)))
        };
        let component = match cache {
            Some(cache) => cache.component(&engine, component, compile)?,
            None => compile()?,
        };
        version::check(&component)?;

        let mut linker = Linker::new(&engine);
        link(&mut linker).map_err(|e| Error::Engine(e.to_string()))?;
        let pre = linker
            .instantiate_pre(&component)
            .and_then(DriverPre::new)
            .map_err(|e| Error::Link(clean(&e.to_string(), MAX_STDERR)))?;
        Ok(Self {
            engine,
            pre,
            limits,
        })
    }

    /// What the driver is and wants.
    ///
    /// # Errors
    ///
    /// If the driver does not run to its end, or its description breaks the contract.
    pub fn describe(&self) -> Result<Description, Error> {
        let description = self.call(Capabilities::none(), |driver, store| {
            driver.machine_driver_lifecycle().call_describe(store)
        })?;
        description::validate(&description).map_err(Error::Description)?;
        Ok(description)
    }

    /// Checks a machine's options against the cloud.
    ///
    /// # Errors
    ///
    /// If the driver does not run to its end; the driver's own answer is within.
    pub fn check(
        &self,
        capabilities: Capabilities,
        machine: &Machine,
    ) -> Result<Result<(), contract::Error>, Error> {
        self.call(capabilities, |driver, store| {
            driver.machine_driver_lifecycle().call_check(store, machine)
        })
    }

    /// Makes a machine.
    ///
    /// # Errors
    ///
    /// If the driver does not run to its end; the driver's own answer is within.
    pub fn create(
        &self,
        capabilities: Capabilities,
        machine: &Machine,
    ) -> Result<Result<Status, contract::Error>, Error> {
        self.call(capabilities, |driver, store| {
            driver
                .machine_driver_lifecycle()
                .call_create(store, machine)
        })
    }

    /// Changes a machine.
    ///
    /// # Errors
    ///
    /// If the driver does not run to its end; the driver's own answer is within.
    pub fn change(
        &self,
        change: Change,
        capabilities: Capabilities,
        machine: &Machine,
    ) -> Result<Result<(), contract::Error>, Error> {
        self.call(capabilities, |driver, store| {
            let lifecycle = driver.machine_driver_lifecycle();
            match change {
                Change::Start => lifecycle.call_start(store, machine),
                Change::Stop => lifecycle.call_stop(store, machine),
                Change::Kill => lifecycle.call_kill(store, machine),
                Change::Restart => lifecycle.call_restart(store, machine),
                Change::Remove => lifecycle.call_remove(store, machine),
            }
        })
    }

    /// How machines do, in their order.
    ///
    /// # Errors
    ///
    /// If the driver does not run to its end or answers for another number of machines; its own answers are within.
    pub fn status(
        &self,
        capabilities: Capabilities,
        machines: &[Machine],
    ) -> Result<Vec<Result<Status, contract::Error>>, Error> {
        let answers = self.call(capabilities, |driver, store| {
            driver
                .machine_driver_lifecycle()
                .call_status(store, machines)
        })?;
        if answers.len() != machines.len() {
            let (got, asked) = (answers.len(), machines.len());
            return Err(Error::Trap(format!(
                "it told the status of {got} machines, not of {asked}"
            )));
        }
        Ok(answers)
    }

    /// What the account has that bears the driver's marks.
    ///
    /// # Errors
    ///
    /// If the driver does not run to its end; the driver's own answer is within.
    pub fn survey(
        &self,
        capabilities: Capabilities,
        options: &[(String, Value)],
    ) -> Result<Result<Vec<FoundMachine>, contract::Error>, Error> {
        self.call(capabilities, |driver, store| {
            driver
                .machine_driver_lifecycle()
                .call_survey(store, options)
        })
    }

    /// Runs one function of an instance made for it.
    fn call<R>(
        &self,
        capabilities: Capabilities,
        function: impl FnOnce(&contract::Driver, &mut Store<Context>) -> wasmtime::Result<R>,
    ) -> Result<R, Error> {
        let stderr = MemoryOutputPipe::new(16 * 1024);
        let context = Context {
            capabilities,
            meter: limits::Meter::new(self.limits, Instant::now()),
            // Nothing is granted: no directory, variable, argument or socket.
            wasi: WasiCtxBuilder::new()
                .stderr(stderr.clone())
                .allow_tcp(false)
                .allow_udp(false)
                .allow_ip_name_lookup(false)
                .build(),
            table: ResourceTable::new(),
        };
        let mut store = Store::new(&self.engine, context);
        store.limiter(|context| &mut context.meter);
        store.call_hook(|mut store, hook| {
            store.data_mut().meter.pass(hook, Instant::now());
            Ok(())
        });
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|mut store| store.data_mut().meter.tick(Instant::now()));

        let result = limits::ticking(&self.engine, || {
            let driver = self.pre.instantiate(&mut store)?;
            function(&driver, &mut store)
        });
        result.map_err(|error| match store.data().meter.hit() {
            Some(limit) => Error::Limit(limit),
            None => Error::Trap(trap_text(&error, &stderr)),
        })
    }
}

impl std::fmt::Debug for Driver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Driver")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// What lives as long as an instance.
struct Context {
    capabilities: Capabilities,
    meter: limits::Meter,
    wasi: WasiCtx,
    table: ResourceTable,
}

impl WasiView for Context {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

fn link(linker: &mut Linker<Context>) -> wasmtime::Result<()> {
    use crate::capability::{clock::Clock, http::Http, keys::Keys, log::Log, state::State};
    use contract::{clock, http, keys, log, state, types};

    wasmtime_wasi::p2::add_to_linker_sync(linker)?;
    types::add_to_linker::<_, HasSelf<Capabilities>>(linker, |c| &mut c.capabilities)?;
    http::add_to_linker::<_, HasSelf<Http>>(linker, |c| &mut c.capabilities.http)?;
    keys::add_to_linker::<_, HasSelf<Keys>>(linker, |c| &mut c.capabilities.keys)?;
    state::add_to_linker::<_, HasSelf<State>>(linker, |c| &mut c.capabilities.state)?;
    clock::add_to_linker::<_, HasSelf<Clock>>(linker, |c| &mut c.capabilities.clock)?;
    log::add_to_linker::<_, HasSelf<Log>>(linker, |c| &mut c.capabilities.log)
}

/// Why an instance trapped, with what it wrote to its standard error: a panic's message, mostly.
fn trap_text(error: &wasmtime::Error, stderr: &MemoryOutputPipe) -> String {
    let cause = match error.downcast_ref::<Trap>() {
        Some(trap) => trap.to_string(),
        None => clean(&error.root_cause().to_string(), MAX_STDERR),
    };
    let written = clean(&String::from_utf8_lossy(&stderr.contents()), MAX_STDERR);
    match written.trim() {
        "" => cause,
        written => format!("{cause} ({})", written.replace('\n', " ")),
    }
}
