//! What docker-machine's users type all day: `ip`, `url`, `status`, `inspect`, and for several machines at once `start`, `stop`,
//! `kill`, `restart` and `rm`. They are the operations of `btcloud-host run`.

use std::sync::Arc;

use clap::{Arg, ArgAction, ArgMatches, Command};

use super::driver::{Choice, common, store};
use super::each::{each, parallel};
use super::exit::Exit;
use super::report::Report;
use super::run::{self, Task, machine_name};
use super::{Failure, consents, print, warn};
use crate::machine::{Change, Error, is_machine_name};

/// The questions, with the operation that each is.
const QUESTIONS: [&str; 4] = ["ip", "url", "status", "inspect"];

/// What changes machines, what it does, and what is said when it is done.
const CHANGES: [(&str, Change, &str, &str); 4] = [
    (
        "start",
        Change::Start,
        "Start machines, and wait until they run",
        "started",
    ),
    (
        "stop",
        Change::Stop,
        "Shut machines down, and wait until they have stopped",
        "stopped",
    ),
    (
        "kill",
        Change::Kill,
        "Stop machines at once, as by pulling the plug",
        "killed",
    ),
    ("restart", Change::Restart, "Restart machines", "restarted"),
];

/// The commands.
pub(super) fn commands() -> Vec<Command> {
    let questions = QUESTIONS.map(|name| run::operation(name).args(common()));
    let changes = CHANGES.map(|(name, _, about, _)| several(name, about));
    let rm = several(
        "rm",
        "Remove machines and all that was made for them, in the cloud and here",
    )
    .arg(
        Arg::new("yes")
            .short('y')
            .long("yes")
            .action(ArgAction::SetTrue)
            .help("Do not ask"),
    )
    .arg(
        Arg::new("force")
            .short('f')
            .long("force")
            .action(ArgAction::SetTrue)
            .help(
                "Do not ask, and forget the machines here even if the cloud does not remove them",
            ),
    );
    let commands = questions.into_iter().chain(changes);
    commands.chain([rm]).collect()
}

fn several(name: &'static str, about: &'static str) -> Command {
    Command::new(name)
        .about(about)
        .args(common())
        .arg(
            machine_name("names")
                .num_args(1..)
                .action(ArgAction::Append)
                .help("The machines' names"),
        )
        .arg(parallel())
        .arg(
            Arg::new("quiet")
                .short('q')
                .long("quiet")
                .action(ArgAction::SetTrue)
                .help("Print only warnings and errors"),
        )
}

/// Runs one of them.
pub(super) fn execute(choice: &Choice, name: &str, matches: &ArgMatches) -> Result<(), Failure> {
    if QUESTIONS.contains(&name) {
        return run::perform(choice, name, matches);
    }
    let change = CHANGES.iter().find(|(change, ..)| *change == name);
    let change = change.map(|(_, change, _, done)| (*change, *done));
    let (change, done) = change.unwrap_or((Change::Remove, "removed"));
    let names: Vec<String> = matches
        .get_many("names")
        .into_iter()
        .flatten()
        .cloned()
        .collect();
    if let Some(name) = names.iter().find(|name| !is_machine_name(name)) {
        return Err(Error::Name(name.clone()).into());
    }
    let flag = |id| matches.try_get_one::<bool>(id).ok().flatten() == Some(&true);
    let is_forced = flag("force");
    if change == Change::Remove && !is_forced && !flag("yes") {
        let question = format!(
            "Remove {}, and all that was made for {}?",
            names.join(", "),
            if names.len() == 1 { "it" } else { "them" }
        );
        if !consents(&question, "-y removes without asking")? {
            return Err(Failure::new(
                Exit::Failed,
                anyhow::anyhow!("nothing was removed"),
            ));
        }
    }
    let store = store(matches)?;
    let is_quiet = flag("quiet");
    let report = Report::of(flag("verbose"), is_quiet);
    let cancel = super::cancel_on_signals(|| ());
    let is_one = names.len() == 1;
    let work = |name: &str| {
        let task = Task {
            choice,
            store: store.clone(),
            cancel: cancel.clone(),
            report: Arc::new(if is_one {
                report.alone()
            } else {
                report.lane(name)
            }),
            json: false,
            name: name.to_owned(),
        };
        let result = match change {
            Change::Remove => task.remove(),
            change => task.change(change),
        };
        task.report.finish();
        match result {
            // Not even the file says what it is.
            Err(failure)
                if is_forced && store.contains(name) && failure.exit != Exit::Interrupted =>
            {
                failure.show_for(name);
                warn(&format!(
                    "{name} is forgotten here all the same; `btcloud-host gc` finds what is left of it in the cloud"
                ));
                Ok(store.remove(name)?)
            }
            result => result,
        }
    };
    let tell = |name: &str, ()| match is_quiet {
        true => Ok(()),
        false => print(&format!("{name}: {done}")),
    };
    let parallel = matches.get_one::<u16>("parallel").copied().unwrap_or(1);
    each(&names, parallel.into(), &cancel, &report, &work, &tell)
}
