//! `btcloud-host run OPERATION NAME`: one operation of a machine.

use std::sync::Arc;

use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::json;

use super::driver::{Choice, argument, common, flags, store};
use super::exit::Exit;
use super::report::Report;
use super::{Failure, print, print_json, state_name, warn};
use crate::capability::clock::Cancel;
use crate::capability::log::{Level, Reporter as _};
use crate::contract::types::ErrorKind;
use crate::machine::{
    Change, Error, Flags, LazyDriver, Loaded, Lock, Machine, Record, Store, Surroundings,
    is_machine_name,
};

/// The operations, what each does, and whether it has an answer that can be had as JSON.
const OPERATIONS: [(&str, &str, bool); 10] = [
    ("create", "Create a machine", true),
    ("start", "Start a machine, and wait until it runs", false),
    (
        "stop",
        "Stop a machine in the orderly way, and wait until it has stopped",
        false,
    ),
    (
        "kill",
        "Stop a machine at once, as by pulling the plug",
        false,
    ),
    ("restart", "Restart a machine", false),
    (
        "remove",
        "Remove a machine and all that was made for it, in the cloud and here",
        false,
    ),
    (
        "status",
        "Tell the state of a machine, from the cloud",
        true,
    ),
    ("ip", "Tell the address of a machine", true),
    (
        "url",
        "Tell the URL of the Docker engine on a machine",
        true,
    ),
    (
        "inspect",
        "Show what is stored of a machine, in JSON; it holds no secret",
        false,
    ),
];

/// Whether this names an operation.
pub(super) fn is_operation(name: &str) -> bool {
    OPERATIONS.iter().any(|(operation, ..)| *operation == name)
}

/// The command `run`.
pub(super) fn command(driver: &Choice) -> Command {
    let mut run = Command::new("run")
        .about("Run one operation of a machine")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .args(common());
    for (name, ..) in OPERATIONS {
        let mut command = operation(name);
        if name == "create" {
            // As for docker-machine, the last one of an option counts, so that an alias can be overridden.
            command = command
                .args_override_self(true)
                .next_help_heading(driver.heading())
                .args(driver.options(None).map(argument));
        }
        run = run.subcommand(command);
    }
    run
}

/// The argument that is a machine's name.
pub(super) fn machine_name(id: &'static str) -> Arg {
    Arg::new(id)
        .value_name("NAME")
        .required(true)
        .help("The machine's name")
}

/// The command of an operation, without its driver's options.
pub(super) fn operation(name: &'static str) -> Command {
    let found = OPERATIONS.iter().find(|(operation, ..)| *operation == name);
    let (_, about, has_answer) = found.copied().unwrap_or((name, "", false));
    let command = Command::new(name).about(about).arg(machine_name("name"));
    match has_answer {
        true => command.arg(
            Arg::new("json")
                .long("json")
                .action(ArgAction::SetTrue)
                .help("Answer in JSON"),
        ),
        false => command,
    }
}

/// Runs the operation that was asked for.
pub(super) fn execute(driver: &Choice, matches: &ArgMatches) -> Result<(), Failure> {
    match matches.subcommand() {
        Some((operation, matches)) => perform(driver, operation, matches),
        None => Err(Failure::shown(Exit::Usage)),
    }
}

/// Runs an operation.
pub(super) fn perform(
    driver: &Choice,
    operation: &str,
    matches: &ArgMatches,
) -> Result<(), Failure> {
    let text = |id| matches.get_one::<String>(id).cloned().unwrap_or_default();
    let name = text("name");
    if !is_machine_name(&name) {
        return Err(Error::Name(name).into());
    }
    let report = Arc::new(Report::new(matches.get_flag("verbose")));
    let task = Task {
        choice: driver,
        store: store(matches)?,
        cancel: cancel_on_signals(&name, operation),
        report: Arc::clone(&report),
        json: matches
            .try_get_one::<bool>("json")
            .ok()
            .flatten()
            .copied()
            .unwrap_or(false),
        name,
    };
    let result = match (operation, &driver.loaded) {
        ("create", Some(loaded)) => task.create(loaded, &flags(driver.options(None), matches)),
        ("start", _) => task.change(Change::Start),
        ("stop", _) => task.change(Change::Stop),
        ("kill", _) => task.change(Change::Kill),
        ("restart", _) => task.change(Change::Restart),
        ("remove", _) => task.remove(),
        ("status", _) => task.status(),
        ("ip", _) => task.ip(),
        ("url", _) => task.url(),
        ("inspect", _) => task.inspect(),
        _ => Err(Failure::shown(Exit::Usage)),
    };
    report.finish();
    result
}

/// One operation of one machine.
pub(super) struct Task<'t> {
    pub(super) choice: &'t Choice,
    pub(super) store: Store,
    pub(super) cancel: Cancel,
    pub(super) report: Arc<Report>,
    pub(super) json: bool,
    pub(super) name: String,
}

impl<'t> Task<'t> {
    /// One that only asks, for a command with the common flags.
    pub(super) fn quiet(
        choice: &'t Choice,
        store: Store,
        name: &str,
        matches: &ArgMatches,
    ) -> Result<Self, Failure> {
        if !is_machine_name(name) {
            return Err(Error::Name(name.to_owned()).into());
        }
        Ok(Self {
            choice,
            store,
            cancel: Cancel::default(),
            report: Arc::new(Report::of(matches.get_flag("verbose"), true)),
            json: false,
            name: name.to_owned(),
        })
    }

    /// Has the machine for itself, and says so if it has to wait for that.
    fn lock(&self) -> Result<Lock, Failure> {
        let waiting = |holder: Option<u32>| {
            let holder = holder.map_or_else(String::new, |id| format!(" (process {id})"));
            self.report.log(
                Level::Info,
                &format!(
                    "{} is being changed by another command{holder}; waiting for that",
                    self.name
                ),
            );
        };
        Ok(self.store.lock(&self.name, &self.cancel, &waiting)?)
    }

    fn machine(&self, driver: Arc<LazyDriver>, record: Record) -> Machine {
        let reporter: Arc<Report> = Arc::clone(&self.report);
        let surroundings = Surroundings::of_process(reporter, self.cancel.clone());
        Machine::new(driver, surroundings, record)
    }

    /// The machine as the store has it.
    pub(super) fn stored(&self) -> Result<Machine, Failure> {
        let (record, made_by) = self.store.load(&self.name)?;
        let driver = self.choice.for_machine(&self.name, &made_by)?;
        Ok(self.machine(driver, record))
    }

    fn create(&self, loaded: &Loaded, flags: &Flags) -> Result<(), Failure> {
        if self.store.contains(&self.name) {
            return Err(Error::MachineExists(self.name.clone()).into());
        }
        let driver = Arc::clone(&self.choice.driver);
        let machine = self.machine(driver, Record::new(&self.name, self.store.path()));
        machine.configure(flags)?;
        machine.check().map_err(|error| {
            let exit = if error.kind() == ErrorKind::Cancelled {
                Exit::Interrupted
            } else {
                Exit::Check
            };
            Failure {
                exit,
                ..error.into()
            }
        })?;
        // Of several that create a machine of this name at once, one gets beyond this.
        self.store
            .create(&self.name, &machine.new_record(), &loaded.name)?;
        let _lock = self.lock()?;
        if let Err(error) = machine.create() {
            self.report.finish();
            let is_undone = !matches!(
                error,
                Error::Create {
                    leftovers: Some(_),
                    ..
                }
            );
            if is_undone && let Err(e) = self.store.remove(&self.name) {
                warn(&e.to_string());
            }
            return Err(error.into());
        }
        self.report.finish();
        self.summarise(&machine)
    }

    fn summarise(&self, machine: &Machine) -> Result<(), Failure> {
        let (ip, host, port) = (machine.ip()?, machine.ssh_hostname()?, machine.ssh_port());
        let (user, key) = (machine.ssh_username(), machine.ssh_key_path());
        let engine = machine.engine_url()?;
        if self.json {
            return print_json(&json!({
                "name": self.name,
                "ip": ip,
                "url": engine,
                "ssh": { "user": user, "host": host, "port": port, "key": key },
            }));
        }
        print(&format!("{} runs at {ip}", self.name))?;
        print(&format!(
            "  SSH     ssh -i {} -p {port} {user}@{host}",
            key.display()
        ))?;
        print(&format!(
            "  Engine  {engine} (once Docker is set up: docker-machine provision {})",
            self.name
        ))
    }

    pub(super) fn change(&self, change: Change) -> Result<(), Failure> {
        // Before it is read: whoever has it may save something.
        let _lock = self.lock()?;
        Ok(self.stored()?.change(change)?)
    }

    pub(super) fn remove(&self) -> Result<(), Failure> {
        let _lock = self.lock()?;
        self.stored()?.change(Change::Remove)?;
        Ok(self.store.remove(&self.name)?)
    }

    fn status(&self) -> Result<(), Failure> {
        let state = self.stored()?.state()?;
        self.answer("state", state_name(state))
    }

    fn ip(&self) -> Result<(), Failure> {
        let ip = self.stored()?.ip()?;
        self.answer("ip", &ip.to_string())
    }

    fn url(&self) -> Result<(), Failure> {
        let url = self.stored()?.url()?;
        self.answer("url", &url)
    }

    fn inspect(&self) -> Result<(), Failure> {
        let record = self.stored()?.record()?;
        print_json(&self.store.config(&self.name, &record)?)
    }

    fn answer(&self, what: &str, value: &str) -> Result<(), Failure> {
        match self.json {
            true => print_json(&json!({ "name": self.name, what: value })),
            false => print(value),
        }
    }
}

/// A wish to stop by signals. A second one ends the process; a creation then leaves something behind.
fn cancel_on_signals(name: &str, operation: &str) -> Cancel {
    let is_create = operation == "create";
    let name = name.to_owned();
    super::cancel_on_signals(move || {
        if is_create {
            warn(&format!(
                "stopped; `btcloud-host run remove {name}` removes what may be left"
            ));
        }
    })
}
