//! How a driver takes a cloud that fails, and a user who wants to stop.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use super::call::{Answer, Operation, Outcome, Setting, is_of_kind};
use super::cloud::{Cloud, Fault};
use super::journal::{Event, WaitedTime};
use super::subject::Subject;
use super::{Error, Report};
use crate::contract::types::ErrorKind;
use crate::contract::{Machine, State};
use crate::machine::options::Options;
use crate::sandbox::Change;

/// The most requests of an operation after it could know that the user wants to stop.
const MAX_REQUESTS_AFTER: usize = 10;

/// The longest time until it has stopped.
const MAX_TIME_AFTER: Duration = Duration::from_secs(10);

/// Has every operation meet every fault, of a machine that was never made.
pub(super) fn meet(subject: &mut Subject, cloud: &Cloud, report: &mut Report) -> Result<(), Error> {
    let (mut making, mut kinds, mut changing) = (Vec::new(), Vec::new(), Vec::new());
    let (mut removing, mut asking, mut surveying) = (Vec::new(), Vec::new(), Vec::new());
    for fault in Fault::ALL {
        let setting = subject.fault(cloud, fault, None)?;
        let machine = subject.machine(&setting.options)?;
        let at = |operation: Operation, answer: &Answer| {
            format!("{}, {}: {}", operation.name(), setting.name, answer.text())
        };

        for operation in [Operation::Check, Operation::Create] {
            let outcome = subject.call(operation, &machine, &setting);
            let text = at(operation, &outcome.answer);
            if is_of_kind(&outcome.answer, &[ErrorKind::InvalidOption]) {
                making.push(format!("{text}; give values that it takes by --option"));
            } else if !matches!(outcome.answer, Answer::Failed(_)) {
                making.push(text);
            } else if fault != Fault::Refuses && outcome.requests() == 0 {
                making.push(format!("{text}; it has not asked the cloud"));
            } else if !is_of_kind(&outcome.answer, kinds_of(fault)) {
                kinds.push(text);
            }
        }
        for operation in Operation::CHANGES {
            let outcome = subject.call(operation, &machine, &setting);
            if !matches!(outcome.answer, Answer::Failed(_)) {
                changing.push(at(operation, &outcome.answer));
            }
        }
        for _ in 0..2 {
            let operation = Operation::Change(Change::Remove);
            let outcome = subject.call(operation, &machine, &setting);
            if !matches!(outcome.answer, Answer::Done) || outcome.changes() > 0 {
                removing.push(at(operation, &outcome.answer));
            }
        }
        for count in [0, 1, 3] {
            let machines: Vec<_> = (0..count)
                .map(|_| subject.machine(&setting.options))
                .collect::<Result<_, _>>()?;
            let outcome = subject.call_of(Operation::Status, &machines, &setting);
            let is_right = matches!(&outcome.answer, Answer::Told(told)
                if told.iter().all(|told| told.as_ref().map_or(true, |s| s.state == State::NotFound)));
            if !is_right {
                let text = at(Operation::Status, &outcome.answer);
                asking.push(format!("{text} ({count} machines)"));
            }
        }
        let outcome = subject.call(Operation::Survey, &machine, &setting);
        if !matches!(outcome.answer, Answer::Failed(_)) {
            surveying.push(at(Operation::Survey, &outcome.answer));
        }
    }
    report.note(
        "check and create ask the cloud, and tell what is wrong with it",
        making,
    );
    report.note("They tell the kind of what is wrong", kinds);
    report.note(
        "A machine that was never made cannot be started or stopped",
        changing,
    );
    report.note(
        "Removing a machine that was never made is done at once, whatever the cloud does",
        removing,
    );
    report.note("status answers for each machine, and makes none up", asking);
    report.note("survey tells what is wrong with the cloud", surveying);
    Ok(())
}

/// What a fault may be told as.
fn kinds_of(fault: Fault) -> &'static [ErrorKind] {
    match fault {
        Fault::Refuses | Fault::HangsUp => &[ErrorKind::Unreachable, ErrorKind::TimedOut],
        // In the cloud's own form it would be one of authentication; this may be some proxy's.
        Fault::Denies => &[ErrorKind::Authentication, ErrorKind::Protocol],
        Fault::Fails => &[
            ErrorKind::Internal,
            ErrorKind::Protocol,
            ErrorKind::Unreachable,
            ErrorKind::TimedOut,
        ],
        Fault::Garbles => &[ErrorKind::Protocol],
    }
}

/// Has every operation meet every fault, of a machine that is there, and tells what it did wrong. What `remove` saves is
/// kept in the machine.
pub(super) fn meet_with(
    subject: &mut Subject,
    cloud: &Cloud,
    options: &Options,
    machine: &mut Machine,
) -> Result<Vec<String>, Error> {
    let mut problems = Vec::new();
    let more = [
        Operation::Status,
        Operation::Survey,
        Operation::Change(Change::Remove),
    ];
    for fault in Fault::ALL {
        let setting = subject.fault(cloud, fault, Some(options))?;
        for operation in Operation::CHANGES.into_iter().chain(more) {
            let outcome = subject.call(operation, machine, &setting);
            let is_error = match &outcome.answer {
                Answer::Failed(_) => true,
                Answer::Told(told) => told.iter().all(Result::is_err),
                _ => false,
            };
            if !is_error {
                let (name, text) = (operation.name(), outcome.answer.text());
                problems.push(format!("{name}, {}: {text}", setting.name));
            }
            if let Some(saved) = outcome.saved() {
                machine.saved = saved.to_owned();
            }
        }
    }
    Ok(problems)
}

/// Has the user want to stop: from the beginning, and as soon as the driver waits.
pub(super) fn cancel(
    subject: &mut Subject,
    cloud: &Cloud,
    report: &mut Report,
) -> Result<(), Error> {
    let mut problems = Vec::new();
    for fault in [Fault::Fails, Fault::HangsUp] {
        for cancels in [false, true] {
            for operation in [Operation::Check, Operation::Create]
                .into_iter()
                .chain(Operation::CHANGES)
            {
                let setting = subject.fault(cloud, fault, None)?;
                let setting = Setting {
                    time: Arc::new(WaitedTime {
                        journal: subject.journal.clone(),
                        waited_ms: AtomicU64::new(0),
                        cancels,
                    }),
                    ..setting
                };
                if !cancels {
                    setting.cancel.set();
                }
                let machine = subject.machine(&setting.options)?;
                let started = Instant::now();
                let outcome = subject.call(operation, &machine, &setting);
                let problem = if !matches!(outcome.answer, Answer::Failed(_)) {
                    outcome.answer.text()
                } else if requests_after(&outcome) > MAX_REQUESTS_AFTER {
                    "it goes on sending requests".to_owned()
                } else if started.elapsed() > MAX_TIME_AFTER {
                    "it takes long to stop".to_owned()
                } else {
                    continue;
                };
                problems.push(format!("{}, {}: {problem}", operation.name(), setting.name));
            }
        }
    }
    report.note("Operations stop soon when the user asks for it", problems);
    Ok(())
}

/// How many requests there were after the user asked to stop.
fn requests_after(outcome: &Outcome) -> usize {
    let events = outcome.events.iter();
    let before = |event: &&Event| **event != Event::IsCancelled;
    let is_told_meanwhile = outcome.events.contains(&Event::IsCancelled);
    let after = events.skip_while(|event| is_told_meanwhile && before(event));
    after
        .filter(|event| matches!(event, Event::Called { .. }))
        .count()
}
