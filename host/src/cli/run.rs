//! `btcloud-host run OPERATION NAME`: one operation of a machine.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use clap_complete::ArgValueCompleter;
use serde_json::json;

use super::completions::machines;
use super::driver::{Choice, common, flags, profile, store};
use super::each::{each, parallel};
use super::exit::Exit;
use super::provision::{self, Wanted};
use super::report::Report;
use super::{Failure, print, print_json, state_name, warn};
use crate::capability::clock::Cancel;
use crate::capability::log::{Level, Reporter as _};
use crate::contract::types::ErrorKind;
use crate::machine::{
    Change, Error, Flags, LazyDriver, Loaded, Lock, Machine, Record, Store, Surroundings,
    is_machine_name,
};
use crate::provision::{Provisioned, Wishes};

/// The operations, what each does, and whether it has an answer that can be had as JSON.
const OPERATIONS: [(&str, &str, bool); 10] = [
    ("create", "Create a machine", true),
    ("start", "Start a machine, and wait until it runs", false),
    (
        "stop",
        "Shut a machine down, and wait until it has stopped",
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
        "Print the state of a machine, from the cloud",
        true,
    ),
    ("ip", "Print the address of a machine", true),
    ("url", "Print the URL of a machine's Docker engine", true),
    (
        "inspect",
        "Print a machine's configuration as JSON, without secrets",
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
                .about("Create a machine, or several")
                .mut_arg("name", |name| {
                    name.num_args(1..)
                        // Those after a flag too.
                        .action(ArgAction::Append)
                        .help("The machine's name, or those of several")
                })
                .arg(
                    Arg::new("count")
                        .long("count")
                        .value_name("NUMBER")
                        .value_parser(value_parser!(u16).range(1..=1_000))
                        .help("Create this many machines: NAME-1, NAME-2, …"),
                )
                .arg(parallel())
                .arg(
                    Arg::new("quiet")
                        .short('q')
                        .long("quiet")
                        .action(ArgAction::SetTrue)
                        .help("Print only warnings and errors"),
                )
                .arg(profile())
                .args_override_self(true)
                .next_help_heading("Docker engine")
                .args(provision::arguments())
                .next_help_heading(driver.heading())
                .args(driver.arguments(None));
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
        .add(ArgValueCompleter::new(machines))
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
                .help("Print JSON"),
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
    let flag = |id| matches.try_get_one::<bool>(id).ok().flatten() == Some(&true);
    let names = names(matches)?;
    let name = names.first().cloned().unwrap_or_default();
    let report = Report::of(flag("verbose"), flag("quiet"));
    let store = store(matches)?;
    if let (true, Some(loaded)) = (names.len() > 1, &driver.loaded) {
        let several = Several {
            choice: driver,
            loaded,
            flags: flags(driver.options(None), matches),
            wanted: provision::wanted(matches),
            store,
            report,
            is_quiet: flag("quiet"),
            parallel: matches
                .get_one::<u16>("parallel")
                .copied()
                .unwrap_or(1)
                .into(),
        };
        return several.create(&names, flag("json"));
    }
    let report = Arc::new(report);
    let task = Task {
        choice: driver,
        store,
        cancel: cancel_on_signals(&name, operation),
        report: Arc::clone(&report),
        json: flag("json"),
        name,
    };
    let is_quiet = flag("quiet") && !flag("json");
    let result = match (operation, &driver.loaded) {
        ("create", Some(loaded)) => {
            let flags = flags(driver.options(None), matches);
            let created = task.create(loaded, &flags, &provision::wanted(matches));
            created.and_then(|created| match is_quiet {
                true => Ok(()),
                false => task.summarise(&created),
            })
        }
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

/// The names of the machines that are meant.
fn names(matches: &ArgMatches) -> Result<Vec<String>, Failure> {
    let given: Vec<String> = matches
        .get_many("name")
        .into_iter()
        .flatten()
        .cloned()
        .collect();
    let count = matches.try_get_one::<u16>("count").ok().flatten().copied();
    let names = match (count, given.as_slice()) {
        (None, _) => given,
        (Some(count), [name]) => (1..=count)
            .map(|number| format!("{name}-{number}"))
            .collect(),
        (Some(_), _) => {
            let error = anyhow::anyhow!("--count takes one name, which the numbers are added to");
            return Err(Failure::new(Exit::Usage, error));
        }
    };
    if let Some(name) = names.iter().find(|name| !is_machine_name(name)) {
        return Err(Error::Name(name.clone()).into());
    }
    let mut seen = BTreeSet::new();
    let is_new = |name: &String| seen.insert(name.clone());
    Ok(names.into_iter().filter(is_new).collect())
}

/// Several machines that are made at the same time.
struct Several<'s> {
    choice: &'s Choice,
    loaded: &'s Loaded,
    flags: Flags,
    wanted: Wanted,
    store: Store,
    report: Report,
    is_quiet: bool,
    parallel: usize,
}

impl Several<'_> {
    fn create(&self, names: &[String], is_json: bool) -> Result<(), Failure> {
        if let Some(name) = names.iter().find(|name| self.store.contains(name)) {
            return Err(Error::MachineExists(name.clone()).into());
        }
        let all = names.join(" ");
        let cancel = super::cancel_on_signals(move || {
            warn(&format!(
                "stopped; `btcloud-host rm {all}` removes what may be left"
            ));
        });
        let work = |name: &str| {
            let task = Task {
                choice: self.choice,
                store: self.store.clone(),
                cancel: cancel.clone(),
                report: Arc::new(self.report.lane(name)),
                json: false,
                name: name.to_owned(),
            };
            let made = task.create(self.loaded, &self.flags, &self.wanted);
            task.report.finish();
            made.and_then(|created| task.summary(&created))
        };
        let made = Mutex::new(Vec::new());
        let tell = |name: &str, summary: serde_json::Value| {
            let ip = summary.get("ip").and_then(serde_json::Value::as_str);
            let line = format!("{name} runs at {}", ip.unwrap_or_default());
            let mut made = made.lock().unwrap_or_else(PoisonError::into_inner);
            made.push(summary);
            match self.is_quiet || is_json {
                true => Ok(()),
                false => print(&line),
            }
        };
        let result = each(names, self.parallel, &cancel, &self.report, &work, &tell);
        let made = made.into_inner().unwrap_or_else(PoisonError::into_inner);
        if !self.is_quiet || result.is_err() {
            super::tell(&format!(
                "{} of {} machines were made",
                made.len(),
                names.len()
            ));
        }
        match is_json {
            true => print_json(&made.into()).and(result),
            false => result,
        }
    }
}

/// A machine that was made.
struct Created {
    machine: Machine,
    /// What its engine is, if it was set up.
    provisioned: Option<Provisioned>,
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

    /// Has the machine for this process, and says so if that has to be waited for.
    pub(super) fn lock(&self) -> Result<Lock, Failure> {
        let name = &self.name;
        let waiting = |line: &str| self.report.log(Level::Info, line);
        Ok(self.store.lock(name, &self.cancel, &waiting)?)
    }

    fn machine(&self, driver: Arc<LazyDriver>, record: Record) -> Machine {
        let reporter: Arc<Report> = Arc::clone(&self.report);
        let surroundings = Surroundings::of_process(reporter, self.cancel.clone())
            .with_profile(self.choice.profile());
        Machine::new(driver, surroundings, record)
    }

    /// The machine as the store has it.
    pub(super) fn stored(&self) -> Result<Machine, Failure> {
        let (record, made_by) = self.store.load(&self.name)?;
        let driver = self.choice.for_machine(&self.name, &made_by)?;
        Ok(self.machine(driver, record))
    }

    fn create(&self, loaded: &Loaded, flags: &Flags, wanted: &Wanted) -> Result<Created, Failure> {
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
        let record = machine.new_record();
        self.store
            .create(&self.name, &record, &loaded.name, &wanted.engine)?;
        let _lock = self.begin(wanted).inspect_err(|_| self.forget())?;
        if let Err(error) = machine.create() {
            self.report.finish();
            let is_undone = !matches!(
                error,
                Error::Create {
                    leftovers: Some(_),
                    ..
                }
            );
            if is_undone {
                self.forget();
            }
            return Err(error.into());
        }
        self.report.finish();
        let provisioned = match wanted.provision {
            true => {
                let wishes = Wishes {
                    engine: wanted.engine.clone(),
                    driver_name: loaded.name.clone(),
                    new_certificates: false,
                    ssh_patience: wanted.ssh_patience,
                };
                let provisioned = provision::run(&machine, &wishes, &self.report, &self.cancel)?;
                Some(provisioned)
            }
            false => None,
        };
        Ok(Created {
            machine,
            provisioned,
        })
    }

    /// Prepares what the store has of a new machine, before anything is made in the cloud.
    fn begin(&self, wanted: &Wanted) -> Result<Lock, Failure> {
        let lock = self.lock()?;
        if wanted.provision {
            provision::mark(&self.store, &self.name)?;
        }
        Ok(lock)
    }

    /// Takes a machine out of the store of which nothing is in the cloud.
    fn forget(&self) {
        if let Err(e) = self.store.remove(&self.name) {
            warn(&e.to_string());
        }
    }

    fn summary(&self, created: &Created) -> Result<serde_json::Value, Failure> {
        let machine = &created.machine;
        let (ip, host, port) = (machine.ip()?, machine.ssh_hostname()?, machine.ssh_port());
        let (user, key) = (machine.ssh_username(), machine.ssh_key_path());
        Ok(json!({
            "name": self.name,
            "ip": ip,
            "url": machine.engine_url()?,
            "docker": created.provisioned.as_ref().map(|provisioned| &provisioned.version),
            "ssh": { "user": user, "host": host, "port": port, "key": key },
        }))
    }

    fn summarise(&self, created: &Created) -> Result<(), Failure> {
        if self.json {
            return print_json(&self.summary(created)?);
        }
        let machine = &created.machine;
        let (ip, host, port) = (machine.ip()?, machine.ssh_hostname()?, machine.ssh_port());
        let (user, key) = (machine.ssh_username(), machine.ssh_key_path());
        let engine = machine.engine_url()?;
        print(&format!("{} runs at {ip}", self.name))?;
        print(&format!(
            "  SSH     ssh -i {} -p {port} {user}@{host}",
            key.display()
        ))?;
        match &created.provisioned {
            Some(provisioned) => print(&format!(
                "  Docker  {engine}, version {}",
                provisioned.version
            )),
            None => print(&format!(
                "  Docker  {engine}, once it is set up: btcloud-host provision {}",
                self.name
            )),
        }
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
