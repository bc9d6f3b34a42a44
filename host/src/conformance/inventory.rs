//! What a driver with an inventory lists: of the driver's own options, nothing made up, and what the driver itself takes.

use std::collections::BTreeSet;

use super::call::{Answer, Operation, Setting, is_of_kind};
use super::cloud::{Cloud, Fault};
use super::subject::Subject;
use super::{Error, Report};
use crate::capability::keys::Keys;
use crate::capability::text::{clean, is_treacherous};
use crate::contract::types::ErrorKind;
use crate::contract::{Candidate, Machine, Value};
use crate::machine::answer::check_listable;

/// Looks at what can be listed. A driver without an inventory needs none.
pub(super) fn of_listable(
    subject: &mut Subject,
    cloud: &Cloud,
    report: &mut Report,
) -> Result<(), Error> {
    const LISTS: &str = "What the inventory lists are options of the driver, always the same, and telling so is all that it does";
    if !subject.loaded.driver.has_inventory() {
        return Ok(());
    }
    let setting = subject.fault(cloud, Fault::Fails, None)?;
    subject.journal.take();
    let mut problems = Vec::new();
    let mut told = Vec::new();
    for _ in 0..2 {
        let capabilities = subject.capabilities(&setting, Keys::Denied);
        match subject.loaded.driver.listable_with(capabilities) {
            Ok(listable) => told.push(listable),
            Err(error) => problems.push(error.to_string()),
        }
    }
    let events = subject.journal.take();
    problems.extend(
        events
            .iter()
            .map(|event| format!("it did more than that: {event:?}")),
    );
    if let [first, second] = told.as_slice() {
        if first != second {
            problems.push("the second time it is another list".to_owned());
        }
        match check_listable(first, &subject.loaded.description.options) {
            Ok(()) => subject.listable = first.clone(),
            Err(problem) => problems.push(problem),
        }
    }
    report.note(LISTS, problems);
    Ok(())
}

/// Has the inventory meet every fault: it must not make up what the cloud does not tell.
pub(super) fn meet(subject: &mut Subject, cloud: &Cloud, report: &mut Report) -> Result<(), Error> {
    if !subject.loaded.driver.has_inventory() {
        return Ok(());
    }
    let mut problems = Vec::new();
    for fault in Fault::ALL {
        let setting = subject.fault(cloud, fault, None)?;
        let machine = subject.machine(&setting.options)?;
        for operation in questions(subject) {
            let answer = subject.call(operation, &machine, &setting).answer;
            if !matches!(answer, Answer::Failed(_)) {
                let name = subject.name_of(operation);
                problems.push(format!("{name}, {}: {}", setting.name, answer.text()));
            }
        }
    }
    report.note(
        "The inventory tells what is wrong with the cloud, and makes nothing up",
        problems,
    );
    Ok(())
}

/// Looks at what the inventory tells of a cloud that works, and whether the driver takes it: with the id of what an option
/// names in the place of its name `check` has to be as content as before.
pub(super) fn of_cloud(
    subject: &mut Subject,
    machine: &Machine,
    setting: &Setting,
    report: &mut Report,
) {
    if !subject.loaded.driver.has_inventory() {
        return;
    }
    let mut problems = Vec::new();
    for operation in questions(subject) {
        let name = subject.name_of(operation);
        let mut problem = |text: String| problems.push(format!("{name}: {text}"));
        match (operation, subject.call(operation, machine, setting).answer) {
            (Operation::Candidates(index), Answer::Candidates(candidates)) => {
                if let Some(text) = flaw(&candidates) {
                    problem(text);
                }
                let listable = subject.listable.get(index);
                let option = listable.map(|l| l.option_name.clone()).unwrap_or_default();
                if let Err(text) = resolves(subject, &option, &candidates, machine, setting) {
                    problem(text);
                }
            }
            (Operation::Limits, Answer::Limits(limits)) => {
                if limits.iter().any(|limit| limit.name.trim().is_empty()) {
                    problem("a limit has no name".to_owned());
                }
            }
            (Operation::Limits, answer) if is_of_kind(&answer, &[ErrorKind::Unsupported]) => {}
            (_, answer) => problem(answer.text()),
        }
    }
    report.note(
        "The inventory lists what the options name, by ids that the driver takes",
        problems,
    );
}

fn questions(subject: &Subject) -> Vec<Operation> {
    let candidates = (0..subject.listable.len()).map(Operation::Candidates);
    candidates.chain([Operation::Limits]).collect()
}

/// What is wrong with candidates as such.
fn flaw(candidates: &[Candidate]) -> Option<String> {
    let mut ids = BTreeSet::new();
    for Candidate { name, id, details } in candidates {
        let shown = |text: &str| clean(text, 100).replace('\n', " ");
        let mut texts = details.iter().chain([name, id]);
        if let Some(text) = texts.find(|text| text.contains(is_treacherous)) {
            return Some(format!(
                "\"{}\" has characters that control a terminal",
                shown(text)
            ));
        }
        if id.trim().is_empty() {
            return Some(format!("\"{}\" has no id", shown(name)));
        }
        if !ids.insert(id) {
            return Some(format!("the id {} is there twice", shown(id)));
        }
    }
    None
}

/// Whether the candidates have what the option names, and `check` takes it by its id.
fn resolves(
    subject: &mut Subject,
    option: &str,
    candidates: &[Candidate],
    machine: &Machine,
    setting: &Setting,
) -> Result<(), String> {
    let mut machine = machine.clone();
    let mut values = machine.options.iter_mut();
    let Some((_, value)) = values.find(|(name, _)| name == option) else {
        return Ok(());
    };
    let given = match value {
        Value::Text(text) => std::slice::from_mut(text),
        Value::TextList(list) => list.as_mut_slice(),
        _ => return Ok(()),
    };
    for text in given {
        let wanted = text.to_lowercase();
        let mut candidates = candidates.iter();
        let is_it = |c: &&Candidate| c.id == *text || c.name.to_lowercase() == wanted;
        let found = candidates.find(is_it);
        let found = found.ok_or_else(|| format!("\"{text}\", which check takes, is not there"))?;
        text.clone_from(&found.id);
    }
    match subject.call(Operation::Check, &machine, setting).answer {
        Answer::Done => Ok(()),
        answer => Err(format!(
            "check with the id instead of the name: {}",
            answer.text()
        )),
    }
}
