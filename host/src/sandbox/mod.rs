//! Runs a driver: loads the component, and calls each of its operations on an instance of its own, within limits.

mod cache;
mod description;
mod meter;
mod version;
mod wasi;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use wasmtime::component::{Component, HasSelf, Instance, InstancePre, Linker};
use wasmtime::{CallHook, Config, Engine, Store, Trap};

use crate::capability::Capabilities;
use crate::capability::text::clean;
use crate::contract::{
    self, Candidate, Description, FoundMachine, ListableOption, Machine, Status, Value, inventory,
    lifecycle,
};

pub use crate::capability::limits::{Limit, Limits};
pub use cache::Cache;

use meter::Meter;
use wasi::Wasi;

/// The most bytes of the reason why a driver crashed or cannot be used.
const MAX_REASON: usize = 1_000;

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
    /// The driver was made without an inventory.
    #[error("this driver can list neither what its options can name nor the account's limits")]
    NoInventory,
    /// The driver ran into a limit.
    #[error("the driver was stopped: {0}")]
    Limit(Limit),
    /// The user asked to stop while the driver waited without asking the host.
    #[error("the driver was stopped: the user asked to stop")]
    Cancelled,
    /// The driver crashed.
    #[error("the driver crashed: {0}")]
    Trap(String),
    /// What the driver answered breaks the contract.
    #[error("the driver's answer breaks the contract: {0}")]
    Answer(String),
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
    pre: InstancePre<Context>,
    lifecycle: lifecycle::GuestIndices,
    /// Drivers need not have one.
    inventory: Option<inventory::GuestIndices>,
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
        config
            .epoch_interruption(true)
            .max_wasm_stack(limits.stack)
            // Not used, but it must not be smaller.
            .async_stack_size(limits.stack);
        let engine = Engine::new(&config).map_err(|e| Error::Engine(e.to_string()))?;
        let compile = || compile(&engine, component, limits.compilation);
        let component = match cache {
            Some(cache) => cache.component(&engine, component, compile)?,
            None => compile()?,
        };
        let has_inventory = version::check(&component)?;

        let mut linker = Linker::new(&engine);
        link(&mut linker).map_err(|e| Error::Engine(e.to_string()))?;
        let unlinkable = |e: wasmtime::Error| Error::Link(clean(&e.to_string(), MAX_REASON));
        let pre = linker.instantiate_pre(&component).map_err(unlinkable)?;
        let inventory = has_inventory.then(|| inventory::GuestIndices::new(&pre));
        Ok(Self {
            engine,
            lifecycle: lifecycle::GuestIndices::new(&pre).map_err(unlinkable)?,
            inventory: inventory.transpose().map_err(unlinkable)?,
            pre,
            limits,
        })
    }

    /// What each operation may use.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// What the driver is and wants.
    ///
    /// # Errors
    ///
    /// If the driver does not run to its end, or its description breaks the contract.
    pub fn describe(&self) -> Result<Description, Error> {
        let capabilities = Capabilities::none(self.limits.of_description());
        let description = self.describe_with(capabilities)?;
        description::validate(&description).map_err(Error::Description)?;
        Ok(description)
    }

    /// What the driver tells of itself, unchecked, when it could use these capabilities.
    pub(crate) fn describe_with(&self, capabilities: Capabilities) -> Result<Description, Error> {
        self.call(capabilities, |lifecycle, store| {
            lifecycle.call_describe(store)
        })
    }

    /// The packages of which the component imports something, with their versions.
    pub(crate) fn imports(&self) -> Vec<String> {
        let component_type = self.pre.component().component_type();
        let imports = component_type.imports(&self.engine);
        let package = |name: &str| {
            let (name, version) = name.split_once('@').unwrap_or((name, ""));
            let package = name.split('/').next().unwrap_or_default();
            format!("{package}@{version}")
        };
        let packages: BTreeSet<_> = imports.map(|(name, _)| package(name)).collect();
        packages.into_iter().collect()
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
        self.call(capabilities, |lifecycle, store| {
            lifecycle.call_check(store, machine)
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
        self.call(capabilities, |lifecycle, store| {
            lifecycle.call_create(store, machine)
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
        self.call(capabilities, |lifecycle, store| match change {
            Change::Start => lifecycle.call_start(store, machine),
            Change::Stop => lifecycle.call_stop(store, machine),
            Change::Kill => lifecycle.call_kill(store, machine),
            Change::Restart => lifecycle.call_restart(store, machine),
            Change::Remove => lifecycle.call_remove(store, machine),
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
        let answers = self.call(capabilities, |lifecycle, store| {
            lifecycle.call_status(store, machines)
        })?;
        if answers.len() != machines.len() {
            let (got, asked) = (answers.len(), machines.len());
            return Err(Error::Answer(format!(
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
        self.call(capabilities, |lifecycle, store| {
            lifecycle.call_survey(store, options)
        })
    }

    /// The options whose names the driver can list, as it tells them.
    ///
    /// # Errors
    ///
    /// If the driver has no inventory or does not run to its end.
    pub fn listable(&self) -> Result<Vec<ListableOption>, Error> {
        self.listable_with(Capabilities::none(self.limits.of_description()))
    }

    /// The same, when it could use these capabilities.
    pub(crate) fn listable_with(
        &self,
        capabilities: Capabilities,
    ) -> Result<Vec<ListableOption>, Error> {
        self.ask_inventory(capabilities, |inventory, store| {
            inventory.call_listable(store)
        })
    }

    /// What an option can name, as the driver tells it.
    ///
    /// # Errors
    ///
    /// If the driver has no inventory or does not run to its end; the driver's own answer is within.
    pub fn candidates(
        &self,
        capabilities: Capabilities,
        options: &[(String, Value)],
        option: &str,
    ) -> Result<Result<Vec<Candidate>, contract::Error>, Error> {
        self.ask_inventory(capabilities, |inventory, store| {
            inventory.call_candidates(store, options, option)
        })
    }

    /// The account's limits, as the driver tells them.
    ///
    /// # Errors
    ///
    /// If the driver has no inventory or does not run to its end; the driver's own answer is within.
    pub fn account_limits(
        &self,
        capabilities: Capabilities,
        options: &[(String, Value)],
    ) -> Result<Result<Vec<contract::Limit>, contract::Error>, Error> {
        self.ask_inventory(capabilities, |inventory, store| {
            inventory.call_limits(store, options)
        })
    }

    /// Whether the driver can list what its options name, and tell the account's limits.
    pub fn has_inventory(&self) -> bool {
        self.inventory.is_some()
    }

    /// Runs one function of the inventory of an instance made for it.
    fn ask_inventory<R: Send>(
        &self,
        capabilities: Capabilities,
        function: impl FnOnce(&inventory::Guest, &mut Store<Context>) -> wasmtime::Result<R> + Send,
    ) -> Result<R, Error> {
        let indices = self.inventory.as_ref().ok_or(Error::NoInventory)?;
        self.run(capabilities, |instance, store| {
            function(&indices.load(&mut *store, instance)?, store)
        })
    }

    /// Runs one function of the lifecycle of an instance made for it.
    fn call<R: Send>(
        &self,
        capabilities: Capabilities,
        function: impl FnOnce(&lifecycle::Guest, &mut Store<Context>) -> wasmtime::Result<R> + Send,
    ) -> Result<R, Error> {
        self.run(capabilities, |instance, store| {
            function(&self.lifecycle.load(&mut *store, instance)?, store)
        })
    }

    fn run<R: Send>(
        &self,
        capabilities: Capabilities,
        function: impl FnOnce(&Instance, &mut Store<Context>) -> wasmtime::Result<R> + Send,
    ) -> Result<R, Error> {
        let context = Context {
            meter: Meter::new(Arc::clone(&capabilities.budget)),
            capabilities,
            wasi: Wasi::new(),
        };
        let mut store = Store::new(&self.engine, context);
        store.limiter(|context| &mut context.meter);
        store.set_hostcall_fuel(self.limits.transfer);
        store.call_hook(|store, hook| match hook {
            CallHook::ReturningFromHost => store.data().meter.check(),
            _ => Ok(()),
        });
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|store| store.data().meter.tick());

        let result = meter::run(&self.engine, self.limits.stack, || {
            let instance = self.pre.instantiate(&mut store)?;
            function(&instance, &mut store)
        })?;
        result.map_err(|error| store.data().explain(&error))
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
    meter: Meter,
    wasi: Wasi,
}

impl Context {
    /// Why an instance was stopped or trapped, with the end of what it wrote to its standard error.
    fn explain(&self, error: &wasmtime::Error) -> Error {
        if let Some(limit) = self.meter.limit(error) {
            return Error::Limit(limit);
        }
        let cause = match error.downcast_ref::<Trap>() {
            _ if error.is::<wasi::Interrupted>() => return Error::Cancelled,
            Some(trap) => trap.to_string(),
            None => error.root_cause().to_string(),
        };
        let text = match self.wasi.stderr().trim() {
            "" => cause,
            written => format!("{cause} ({written})"),
        };
        let shown = self.capabilities.log.shown(&text, MAX_REASON);
        Error::Trap(shown.replace('\n', " "))
    }
}

fn link(linker: &mut Linker<Context>) -> wasmtime::Result<()> {
    use crate::capability::{clock::Clock, http::Http, keys::SshKeys, log::Log, state::State};
    use contract::{clock, http, keys, log, state, types};

    wasi::link(linker)?;
    types::add_to_linker::<_, HasSelf<Capabilities>>(linker, |c| &mut c.capabilities)?;
    http::add_to_linker::<_, HasSelf<Http>>(linker, |c| &mut c.capabilities.http)?;
    keys::add_to_linker::<_, HasSelf<SshKeys>>(linker, |c| &mut c.capabilities.keys)?;
    state::add_to_linker::<_, HasSelf<State>>(linker, |c| &mut c.capabilities.state)?;
    clock::add_to_linker::<_, HasSelf<Clock>>(linker, |c| &mut c.capabilities.clock)?;
    log::add_to_linker::<_, HasSelf<Log>>(linker, |c| &mut c.capabilities.log)
}

/// Compiles a component, for a limited time.
///
/// The compiler cannot be interrupted, and how long it takes cannot be told from the size: it goes by the shape of the
/// functions. So it works on a thread that is abandoned when the time is up. It ends with the process, which has nothing
/// to do without the driver.
fn compile(engine: &Engine, component: &[u8], limit: Duration) -> Result<Component, Error> {
    // The parser's own words would show the bytes, each on a line.
    if !component.starts_with(b"\0asm") {
        let reason = "it does not begin with WebAssembly's magic number";
        return Err(Error::NotAComponent(reason.to_owned()));
    }
    let (sender, receiver) = mpsc::sync_channel(1);
    let (engine, component) = (engine.clone(), component.to_vec());
    thread::Builder::new()
        .name("compiler".to_owned())
        .spawn(move || drop(sender.send(Component::new(&engine, component))))
        .map_err(|e| Error::Engine(e.to_string()))?;
    match receiver.recv_timeout(limit) {
        Ok(compiled) => compiled
            .map_err(|e| Error::NotAComponent(clean(&e.root_cause().to_string(), MAX_REASON))),
        Err(RecvTimeoutError::Timeout) => Err(Error::Limit(Limit::Compilation(limit))),
        Err(RecvTimeoutError::Disconnected) => {
            Err(Error::Engine("the compiler has crashed".to_owned()))
        }
    }
}
