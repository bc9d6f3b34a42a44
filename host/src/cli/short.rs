//! What docker-machine's users type all day: `ip`, `url`, `status`, `inspect`, and for several machines at once `start`, `stop`,
//! `kill`, `restart` and `rm`. They are the operations of `btcloud-host run`.

use clap::{Arg, ArgAction, ArgMatches, Command};

use super::arguments::{common, has_flag, machine_name, machine_names, quiet, store, yes};
use super::driver::Choice;
use super::each::{each, parallel, parallel_of};
use super::exit::Exit;
use super::failure::Failure;
use super::report::Report;
use super::run;
use super::task::Task;
use super::terminal::{cancel_on_signals, consents, print, warn};
use crate::machine::Change;

/// The commands that ask and change nothing; each is the operation of that name.
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
    .arg(yes("Do not ask"))
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
        .arg(quiet())
}

/// Runs the command of that name.
pub(super) fn execute(choice: &Choice, name: &str, matches: &ArgMatches) -> Result<(), Failure> {
    if QUESTIONS.contains(&name) {
        return run::perform(choice, name, matches);
    }
    let change = CHANGES.iter().find(|(change, ..)| *change == name);
    let change = change.map(|(_, change, _, done)| (*change, *done));
    let (change, done) = change.unwrap_or((Change::Remove, "removed"));
    let names = machine_names(matches, "names")?;
    let is_forced = has_flag(matches, "force");
    if change == Change::Remove && !is_forced && !has_flag(matches, "yes") {
        let question = format!(
            "Remove {}, and all that was made for {}?",
            names.join(", "),
            if names.len() == 1 { "it" } else { "them" }
        );
        if !consents(&question, "-y removes without asking")? {
            return Err(Failure::failed("nothing was removed"));
        }
    }
    let store = store(matches)?;
    let is_quiet = matches.get_flag("quiet");
    let report = Report::of(matches.get_flag("verbose"), is_quiet);
    let cancel = cancel_on_signals(|| ());
    let work = |name: &str| {
        let report_of_machine = report.of_machine(name, names.len());
        let task = Task::new(choice, &store, &cancel, report_of_machine, name);
        let result = match change {
            Change::Remove => task.remove(),
            change => task.change(change),
        };
        task.report.finish();
        match result {
            // Forced: it is forgotten here although its cloud or its file refuses.
            Err(failure)
                if is_forced && store.contains(name) && failure.exit != Exit::Interrupted =>
            {
                report.aside(|| {
                    failure.show_for(name);
                    warn(&format!(
                        "{name} is forgotten here all the same; `btcloud-host gc` finds what is left of it in the cloud"
                    ));
                });
                Ok(store.remove(name)?)
            }
            result => result,
        }
    };
    let tell = |name: &str, ()| match is_quiet {
        true => Ok(()),
        false => print(&format!("{name}: {done}")),
    };
    let parallel = parallel_of(matches);
    each(&names, parallel, &cancel, &report, &work, &tell)
}
