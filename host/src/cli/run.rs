//! `btcloud-host run OPERATION NAME`: one operation of a machine.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use serde_json::{Value as Json, json};

use super::exit::Exit;
use super::report::Report;
use super::{Failure, print};
use crate::builtin;
use crate::capability::clock::Cancel;
use crate::contract::types::ErrorKind;
use crate::contract::{OptionKind, OptionSpec, State};
use crate::machine::{
    Change, Error, Flag, Flags, LazyDriver, Loaded, Machine, Record, Store, Surroundings,
    is_machine_name,
};
use crate::sandbox::{Cache, Limits};

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

/// The command `run`, whose flags depend on the driver.
pub(super) struct Run {
    driver: Arc<LazyDriver>,
    /// Loaded if its flags are needed.
    loaded: Option<Arc<Loaded>>,
}

impl Run {
    /// Finds the driver that the arguments name, and loads it if its options are needed to understand them.
    pub(super) fn prepare(args: &[OsString]) -> Result<Self, Failure> {
        let driver = match driver_argument(args) {
            None => builtin::driver(),
            Some(path) => {
                let component = fs::read(&path)
                    .with_context(|| format!("cannot read the driver {}", path.display()))
                    .map_err(|e| Failure::new(Exit::Usage, e))?;
                LazyDriver::new(component, Limits::default(), Cache::of_user())
            }
        };
        let mut words = args
            .iter()
            .skip(1)
            .filter(|a| *a == "run" || *a == "create");
        let needs_flags =
            words.next().is_some_and(|a| a == "run") && words.next().is_some_and(|a| a == "create");
        let loaded = if needs_flags {
            Some(driver.loaded().map_err(Error::from)?)
        } else {
            None
        };
        Ok(Self {
            driver: Arc::new(driver),
            loaded,
        })
    }

    pub(super) fn command(&self) -> Command {
        let mut run = Command::new("run")
            .about("Run one operation of a machine")
            .subcommand_required(true)
            .arg_required_else_help(true)
            .arg(
                Arg::new("storage-path")
                    .short('s')
                    .long("storage-path")
                    .global(true)
                    .value_name("DIRECTORY")
                    .value_parser(value_parser!(PathBuf))
                    .env("MACHINE_STORAGE_PATH")
                    .hide_env_values(true)
                    .help("The store of machines, shared with docker-machine [default: ~/.docker/machine]"),
            )
            .arg(
                Arg::new("driver")
                    .long("driver")
                    .global(true)
                    .value_name("FILE")
                    .value_parser(value_parser!(PathBuf))
                    .help("The driver's component [default: the built-in driver of BT Cloud Compute]"),
            )
            .arg(
                Arg::new("verbose")
                    .short('v')
                    .long("verbose")
                    .global(true)
                    .action(ArgAction::SetTrue)
                    .help("Tell more of what happens"),
            );
        for (operation, about, has_answer) in OPERATIONS {
            let name = Arg::new("name")
                .value_name("NAME")
                .required(true)
                .help("The machine's name");
            let mut command = Command::new(operation).about(about).arg(name);
            if has_answer {
                command = command.arg(
                    Arg::new("json")
                        .long("json")
                        .action(ArgAction::SetTrue)
                        .help("Answer in JSON"),
                );
            }
            if let ("create", Some(loaded)) = (operation, &self.loaded) {
                let heading = format!("Options of the driver {}", loaded.description.name);
                // As for docker-machine, the last one of an option counts, so that an alias can be overridden.
                command = command.args_override_self(true).next_help_heading(heading);
                command = command.args(loaded.description.options.iter().map(argument));
            }
            run = run.subcommand(command);
        }
        run
    }

    pub(super) fn execute(&self, matches: &ArgMatches) -> Result<(), Failure> {
        let Some((operation, matches)) = matches.subcommand() else {
            return Err(Failure::shown(Exit::Usage));
        };
        let text = |id| matches.get_one::<String>(id).cloned().unwrap_or_default();
        let name = text("name");
        if !is_machine_name(&name) {
            return Err(Error::Name(name).into());
        }
        let report = Arc::new(Report::new(matches.get_flag("verbose")));
        let task = Task {
            driver: Arc::clone(&self.driver),
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
        let result = match (operation, &self.loaded) {
            ("create", Some(loaded)) => {
                task.create(loaded, &flags(&loaded.description.options, matches))
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
}

/// One operation of one machine.
struct Task {
    driver: Arc<LazyDriver>,
    store: Store,
    cancel: Cancel,
    report: Arc<Report>,
    json: bool,
    name: String,
}

impl Task {
    fn machine(&self, record: Record) -> Machine {
        let reporter: Arc<Report> = Arc::clone(&self.report);
        let surroundings = Surroundings::of_process(reporter, self.cancel.clone());
        Machine::new(Arc::clone(&self.driver), surroundings, record)
    }

    /// The machine as the store has it.
    fn stored(&self) -> Result<Machine, Failure> {
        let (record, made_by) = self.store.load(&self.name)?;
        let driver = self
            .driver
            .loaded()
            .map_err(Error::from)?
            .description
            .name
            .clone();
        if driver != made_by {
            return Err(Error::ForeignMachine {
                name: self.name.clone(),
                made_by,
                driver,
            }
            .into());
        }
        Ok(self.machine(record))
    }

    fn create(&self, loaded: &Loaded, flags: &Flags) -> Result<(), Failure> {
        if self.store.contains(&self.name) {
            return Err(Error::MachineExists(self.name.clone()).into());
        }
        let machine = self.machine(Record::new(&self.name, self.store.path()));
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
        let created = machine
            .record()
            .and_then(|record| {
                self.store
                    .create(&self.name, &record, &loaded.description.name)
            })
            .and_then(|()| machine.create());
        if let Err(error) = created {
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

    fn change(&self, change: Change) -> Result<(), Failure> {
        Ok(self.stored()?.change(change)?)
    }

    fn remove(&self) -> Result<(), Failure> {
        self.change(Change::Remove)?;
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

fn print_json(json: &Json) -> Result<(), Failure> {
    print(&format!("{json:#}"))
}

fn warn(text: &str) {
    drop(writeln!(io::stderr(), "btcloud-host: warning: {text}"));
}

/// A state as docker-machine writes it.
fn state_name(state: State) -> &'static str {
    match state {
        State::None => "",
        State::Running => "Running",
        State::Paused => "Paused",
        State::Saved => "Saved",
        State::Stopped => "Stopped",
        State::Stopping => "Stopping",
        State::Starting => "Starting",
        State::Error => "Error",
        State::Timeout => "Timeout",
        State::NotFound => "Not Found",
    }
}

/// The value of `--driver`, looked up before the arguments can be understood: its options are among them.
fn driver_argument(args: &[OsString]) -> Option<PathBuf> {
    let mut args = args.iter().skip(1);
    while let Some(arg) = args.next() {
        match arg.to_str() {
            Some("--") => return None,
            Some("--driver") => return args.next().map(PathBuf::from),
            Some(text) => {
                if let Some(path) = text.strip_prefix("--driver=") {
                    return Some(PathBuf::from(path));
                }
            }
            None => {}
        }
    }
    None
}

/// The flag of a driver's option.
fn argument(spec: &OptionSpec) -> Arg {
    let mut help = spec.help.clone();
    for (label, text) in [("env", Some(&spec.env)), ("default", spec.default.as_ref())] {
        if let Some(text) = text.filter(|text| !text.is_empty()) {
            help.push_str(&format!(" [{label}: {text}]"));
        }
    }
    if spec.required.is_some() {
        help.push_str(" [required]");
    }
    let arg = Arg::new(spec.name.clone())
        .long(spec.name.clone())
        .help(help);
    match spec.kind {
        OptionKind::Boolean => arg.action(ArgAction::SetTrue),
        OptionKind::Integer => arg
            .value_name("NUMBER")
            .value_parser(value_parser!(i64))
            .allow_negative_numbers(true),
        OptionKind::TextList => arg.value_name("TEXT").action(ArgAction::Append),
        OptionKind::Text => arg.value_name("TEXT"),
        OptionKind::Endpoint => arg.value_name("URL"),
        OptionKind::Secret => arg.value_name("SECRET"),
        OptionKind::File => arg.value_name("FILE"),
    }
}

/// The driver's flags that were given.
fn flags(specs: &[OptionSpec], matches: &ArgMatches) -> Flags {
    let flag = |spec: &OptionSpec| {
        let name = spec.name.as_str();
        Some(match spec.kind {
            OptionKind::Boolean => Flag::Boolean(matches.get_flag(name)),
            OptionKind::Integer => Flag::Integer(*matches.get_one(name)?),
            OptionKind::TextList => {
                Flag::TextList(matches.get_many::<String>(name)?.cloned().collect())
            }
            _ => Flag::Text(matches.get_one::<String>(name)?.clone()),
        })
    };
    specs
        .iter()
        .filter_map(|spec| Some((spec.name.clone(), flag(spec)?)))
        .collect()
}

fn store(matches: &ArgMatches) -> Result<Store, Failure> {
    match matches
        .get_one::<PathBuf>("storage-path")
        .filter(|path| !path.as_os_str().is_empty())
    {
        Some(path) => {
            let path = std::path::absolute(path)
                .with_context(|| format!("cannot use the store {}", path.display()))
                .map_err(|e| Failure::new(Exit::Usage, e))?;
            Ok(Store::at(path))
        }
        None => Store::of_user().ok_or_else(|| {
            let error = anyhow::anyhow!("there is no home directory for the store of machines");
            let hint = Some("name the store with --storage-path".to_owned());
            Failure {
                hint,
                ..Failure::new(Exit::Usage, error)
            }
        }),
    }
}

/// The first SIGINT, SIGTERM or SIGHUP asks to stop and to undo; the second one ends the process.
fn cancel_on_signals(name: &str, operation: &str) -> Cancel {
    let cancel = Cancel::default();
    let (asked, name) = (AtomicBool::new(false), name.to_owned());
    let is_create = operation == "create";
    let handler_cancel = cancel.clone();
    let handler = move || {
        if asked.swap(true, Ordering::SeqCst) {
            if is_create {
                warn(&format!(
                    "stopped; `btcloud-host run remove {name}` removes what may be left"
                ));
            }
            process::exit(Exit::Interrupted as i32);
        }
        warn("interrupted; a second signal stops at once");
        handler_cancel.set();
    };
    if let Err(error) = ctrlc::set_handler(handler) {
        warn(&format!("signals cannot be handled: {error}"));
    }
    cancel
}
