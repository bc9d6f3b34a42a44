//! `btcloud-host run create`: one machine, or several at the same time.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use serde_json::json;

use super::arguments::{distinct, flags, has_flag, machine_names, options, profile, quiet, store};
use super::driver::Choice;
use super::each::{each, parallel, parallel_of};
use super::exit::Exit;
use super::failure::Failure;
use super::provision::{self, Wanted};
use super::report::Report;
use super::task::Task;
use super::terminal::{cancel_on_signals, print, print_json, tell, warn};
use crate::capability::clock::Cancel;
use crate::contract::types::ErrorKind;
use crate::machine::{Error, Flags, Loaded, Lock, Machine, Record, Store};
use crate::provision::{Provisioned, Wishes};

/// The operation's command with what a creation takes.
pub(super) fn complete(command: Command, driver: &Choice) -> Command {
    command
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
        .arg(quiet())
        .arg(profile())
        // As for docker-machine, the last one of an option counts, so that an alias can be overridden.
        .args_override_self(true)
        .next_help_heading("Docker engine")
        .args(provision::arguments())
        .next_help_heading(driver.heading())
        .args(options(driver, driver.options(None)))
}

/// Runs `btcloud-host run create`.
pub(super) fn execute(choice: &Choice, matches: &ArgMatches) -> Result<(), Failure> {
    let Some(loaded) = &choice.loaded else {
        return Err(Failure::silent(Exit::Usage));
    };
    let names = names(matches)?;
    let (is_json, is_quiet) = (has_flag(matches, "json"), has_flag(matches, "quiet"));
    let report = Report::of(has_flag(matches, "verbose"), is_quiet);
    let store = store(matches)?;
    let creation = Creation {
        loaded,
        flags: flags(choice.options(None), matches),
        wanted: provision::wanted(matches),
    };
    let all = names.join(" ");
    // A second signal leaves behind what there is by then.
    let cancel = cancel_on_signals(move || {
        warn(&format!(
            "stopped; `btcloud-host rm {all}` removes what may be left"
        ));
    });
    if let [name] = names.as_slice() {
        let task = Task::new(choice, &store, &cancel, report, name);
        let created = creation.create(&task);
        task.report.finish();
        let summary = created?;
        return match (is_json, is_quiet) {
            (true, _) => print_json(&summary.to_json()),
            (false, true) => Ok(()),
            (false, false) => summary.print(),
        };
    }
    let batch = Batch {
        choice,
        creation,
        store,
        cancel,
        report,
        parallel: parallel_of(matches),
    };
    batch.create(&names, is_json, is_quiet)
}

/// The names of the machines that are meant.
fn names(matches: &ArgMatches) -> Result<Vec<String>, Failure> {
    let Some(count) = matches.get_one::<u16>("count") else {
        return machine_names(matches, "name");
    };
    let given: Vec<&String> = matches.get_many("name").into_iter().flatten().collect();
    match given.as_slice() {
        [name] => distinct(
            (1..=*count)
                .map(|number| format!("{name}-{number}"))
                .collect(),
        ),
        _ => Err(Failure::usage(
            "--count takes one name, which the numbers are added to",
        )),
    }
}

/// Several machines that are made at the same time.
struct Batch<'b> {
    choice: &'b Choice,
    creation: Creation<'b>,
    store: Store,
    cancel: Cancel,
    report: Report,
    /// How many at the same time.
    parallel: usize,
}

impl Batch<'_> {
    fn create(&self, names: &[String], is_json: bool, is_quiet: bool) -> Result<(), Failure> {
        if let Some(name) = names.iter().find(|name| self.store.contains(name)) {
            return Err(Error::MachineExists(name.clone()).into());
        }
        let work = |name: &str| {
            let report = self.report.lane(name);
            let task = Task::new(self.choice, &self.store, &self.cancel, report, name);
            let created = self.creation.create(&task);
            task.report.finish();
            created
        };
        let made = Mutex::new(Vec::new());
        let show = |name: &str, summary: Summary| {
            let mut made = made.lock().unwrap_or_else(PoisonError::into_inner);
            made.push(summary.to_json());
            match is_quiet || is_json {
                true => Ok(()),
                false => print(&format!("{name} runs at {}", summary.ip)),
            }
        };
        let result = each(
            names,
            self.parallel,
            &self.cancel,
            &self.report,
            &work,
            &show,
        );
        let made = made.into_inner().unwrap_or_else(PoisonError::into_inner);
        if !is_quiet || result.is_err() {
            tell(&format!(
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

/// What machines are made with.
struct Creation<'c> {
    loaded: &'c Loaded,
    flags: Flags,
    wanted: Wanted,
}

impl Creation<'_> {
    /// Makes a machine, and a Docker host of it if that is wanted.
    fn create(&self, task: &Task<'_>) -> Result<Summary, Failure> {
        let (store, name) = (task.store, task.name.as_str());
        if store.contains(name) {
            return Err(Error::MachineExists(name.to_owned()).into());
        }
        let driver = Arc::clone(&task.choice.driver);
        let machine = task.machine(driver, Record::new(name, store.path()));
        machine.configure(&self.flags)?;
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
        store.create(name, &record, &self.loaded.name, &self.wanted.engine)?;
        let _lock = self.begin(task).inspect_err(|_| forget(task))?;
        if let Err(error) = machine.create() {
            task.report.finish();
            let is_undone = !matches!(
                error,
                Error::Create {
                    leftovers: Some(_),
                    ..
                }
            );
            if is_undone {
                forget(task);
            }
            return Err(error.into());
        }
        task.report.finish();
        let provisioned = match self.wanted.provision {
            true => {
                let wishes = Wishes {
                    engine: self.wanted.engine.clone(),
                    driver_name: self.loaded.name.clone(),
                    new_certificates: false,
                    ssh_patience: self.wanted.ssh_patience,
                };
                let provisioned = provision::run(&machine, &wishes, &task.report, task.cancel)?;
                Some(provisioned)
            }
            false => None,
        };
        Summary::of(&machine, provisioned)
    }

    /// Prepares what the store has of a new machine, before anything is made in the cloud.
    fn begin(&self, task: &Task<'_>) -> Result<Lock, Failure> {
        let lock = task.lock()?;
        if self.wanted.provision {
            provision::mark(task.store, &task.name)?;
        }
        Ok(lock)
    }
}

/// Takes a machine out of the store of which nothing is in the cloud.
fn forget(task: &Task<'_>) {
    if let Err(e) = task.store.remove(&task.name) {
        warn(&e.to_string());
    }
}

/// What a user wants to know of a new machine.
struct Summary {
    name: String,
    ip: IpAddr,
    /// Where its engine is reached.
    url: String,
    /// The engine's version, if it was set up.
    docker: Option<String>,
    ssh_user: String,
    ssh_host: String,
    ssh_port: u16,
    ssh_key: PathBuf,
}

impl Summary {
    fn of(machine: &Machine, provisioned: Option<Provisioned>) -> Result<Self, Failure> {
        Ok(Self {
            name: machine.name(),
            ip: machine.ip()?,
            url: machine.engine_url()?,
            docker: provisioned.map(|provisioned| provisioned.version),
            ssh_user: machine.ssh_username(),
            ssh_host: machine.ssh_hostname()?,
            ssh_port: machine.ssh_port(),
            ssh_key: machine.ssh_key_path(),
        })
    }

    fn to_json(&self) -> serde_json::Value {
        json!({
            "name": self.name,
            "ip": self.ip,
            "url": self.url,
            "docker": self.docker,
            "ssh": {
                "user": self.ssh_user,
                "host": self.ssh_host,
                "port": self.ssh_port,
                "key": self.ssh_key.to_string_lossy(),
            },
        })
    }

    fn print(&self) -> Result<(), Failure> {
        let (name, url) = (&self.name, &self.url);
        print(&format!("{name} runs at {}", self.ip))?;
        print(&format!(
            "  SSH     ssh -i {} -p {} {}@{}",
            self.ssh_key.display(),
            self.ssh_port,
            self.ssh_user,
            self.ssh_host
        ))?;
        match &self.docker {
            Some(version) => print(&format!("  Docker  {url}, version {version}")),
            None => print(&format!(
                "  Docker  {url}, once it is set up: btcloud-host provision {name}"
            )),
        }
    }
}
