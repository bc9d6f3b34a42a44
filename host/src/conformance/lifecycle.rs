//! The life of a machine in a cloud of the author's, and what is left of one whose creation goes wrong.

use std::sync::Arc;

use url::Url;

use super::call::{Answer, Operation, Outcome, Setting, is_of_kind, name_of};
use super::cloud::{Behaviour, Cloud};
use super::subject::{Subject, path_of};
use super::{Error, Report, Settings, faults, inventory};
use crate::capability::clock::Cancel;
use crate::capability::http::{Client, Endpoint};
use crate::contract::types::ErrorKind;
use crate::contract::{Machine, State};
use crate::sandbox::Change;

const REMOVE: Operation = Operation::Change(Change::Remove);

/// What is done to a machine that runs, and the state that it has then. Each is done twice but for the restart.
const CHANGES: [(Change, State); 5] = [
    (Change::Stop, State::Stopped),
    (Change::Start, State::Running),
    (Change::Restart, State::Running),
    (Change::Kill, State::Stopped),
    (Change::Start, State::Running),
];

/// Leads machines through their lives in the cloud at `endpoint`.
pub(super) fn lead(
    subject: &mut Subject,
    cloud: &Cloud,
    endpoint: &Endpoint,
    settings: &Settings,
    report: &mut Report,
) -> Result<(), Error> {
    const MAKES: &str = "create makes a machine that runs, if check is content";
    let mut to = Url::parse(&endpoint.to_string())
        .map_err(|_| crate::capability::http::EndpointError::NotAUrl(endpoint.to_string()))?;
    let path = path_of(to.as_str()).unwrap_or_default();
    to.set_path("");
    let address = cloud.behave(Behaviour::HandsOn {
        to: to.clone(),
        loses_after: None,
    });
    let options = subject.real_options(&format!("http://{address}{path}"), &*settings.variables)?;
    let setting = Setting {
        name: "your cloud",
        options: Arc::new(options),
        time: Arc::clone(&settings.time),
        cancel: Cancel::default(),
        client: Client::default(),
    };
    let mut life = Life {
        machine: subject.machine(&setting.options)?,
        subject,
        cloud,
        setting,
        to,
    };

    let checked = life.call(Operation::Check);
    if !matches!(checked.answer, Answer::Done) {
        report.note(MAKES, vec![format!("check: {}", checked.answer.text())]);
        return Ok(());
    }
    inventory::of_cloud(life.subject, &life.machine, &life.setting, report);
    let made = life.call(Operation::Create);
    let runs = matches!(&made.answer, Answer::Told(told)
        if told.iter().flatten().any(|status| status.state == State::Running && status.ip.is_some()));
    if !runs {
        let mut problems = vec![format!("create: {}", made.answer.text())];
        problems.extend(life.remove());
        report.note(MAKES, problems);
        return Ok(());
    }
    report.note(MAKES, Vec::new());
    report.note("It is told to run, and found by survey", life.is_there());
    let mut machine = life.machine.clone();
    let options = Arc::clone(&life.setting.options);
    let problems = faults::meet_with(life.subject, cloud, &options, &mut machine)?;
    report.note(
        "No operation takes a cloud that fails for one that has done what it shall",
        problems,
    );
    life.machine = machine;
    life.hand_on(None);
    report.note(
        "A machine goes from state to state, and stays where it is already",
        life.changes(),
    );
    report.note(
        "remove removes it all, and can be repeated",
        life.remove_twice(),
    );

    let mut problems = Vec::new();
    for answers in 0..made.changes() {
        life.machine = life.subject.machine(&life.setting.options)?;
        life.hand_on(Some(answers));
        let outcome = life.call(Operation::Create);
        life.hand_on(None);
        let number = answers + 1;
        let of = made.changes();
        let left = life.remove().into_iter().chain(life.is_gone());
        problems.extend(left.map(|problem| {
            let text = outcome.answer.text();
            format!("answer {number} of {of} is lost, then {text}, then {problem}")
        }));
    }
    report.note(
        "A creation that does not get one of its answers can be removed",
        problems,
    );
    Ok(())
}

struct Life<'s> {
    subject: &'s mut Subject,
    cloud: &'s Cloud,
    setting: Setting,
    machine: Machine,
    /// Where the cloud is.
    to: Url,
}

impl Life<'_> {
    fn hand_on(&self, loses_after: Option<usize>) {
        self.cloud.behave(Behaviour::HandsOn {
            to: self.to.clone(),
            loses_after,
        });
    }

    fn call(&mut self, operation: Operation) -> Outcome {
        let outcome = self.subject.call(operation, &self.machine, &self.setting);
        if let Some(saved) = outcome.saved() {
            self.machine.saved = saved.to_owned();
        }
        outcome
    }

    /// What is wrong if the machine is not in that state.
    fn is_in(&mut self, state: State) -> Option<String> {
        let answer = self.call(Operation::Status).answer;
        let is = matches!(&answer, Answer::Told(told)
            if told.iter().all(|told| told.as_ref().is_ok_and(|status| status.state == state)));
        let wanted = name_of(state);
        (!is).then(|| format!("status, where it should be {wanted}: {}", answer.text()))
    }

    /// What is wrong if `survey` does not find the machine, or finds it though it is gone.
    fn is_surveyed(&mut self, there: bool) -> Option<String> {
        let answer = self.call(Operation::Survey).answer;
        let is_right = match &answer {
            Answer::Found(found) => found.iter().any(|f| f.id == self.machine.id) == there,
            other => is_of_kind(other, &[ErrorKind::Unsupported]),
        };
        let is = if there { "is not" } else { "is still" };
        (!is_right).then(|| format!("survey, where the machine {is} found: {}", answer.text()))
    }

    fn is_there(&mut self) -> Vec<String> {
        let state = self.is_in(State::Running);
        state.into_iter().chain(self.is_surveyed(true)).collect()
    }

    fn is_gone(&mut self) -> Vec<String> {
        let state = self.is_in(State::NotFound);
        state.into_iter().chain(self.is_surveyed(false)).collect()
    }

    fn changes(&mut self) -> Vec<String> {
        let mut problems = Vec::new();
        for (change, state) in CHANGES {
            let times = if change == Change::Restart { 1 } else { 2 };
            for _ in 0..times {
                let operation = Operation::Change(change);
                let answer = self.call(operation).answer;
                if !matches!(answer, Answer::Done) {
                    problems.push(format!("{}: {}", operation.name(), answer.text()));
                }
                problems.extend(self.is_in(state));
            }
        }
        problems
    }

    /// Removes the machine; tells what is wrong if that fails.
    fn remove(&mut self) -> Option<String> {
        let answer = self.call(REMOVE).answer;
        (!matches!(answer, Answer::Done)).then(|| format!("remove: {}", answer.text()))
    }

    fn remove_twice(&mut self) -> Vec<String> {
        let before = self.machine.saved.clone();
        let mut problems: Vec<_> = self.remove().into_iter().collect();
        problems.extend(self.is_gone());
        problems.extend(self.remove());
        // As after a removal whose end nobody could save.
        self.machine.saved = before;
        problems.extend(self.remove());
        problems.extend(self.is_gone());
        let answer = self.call(Operation::Change(Change::Start)).answer;
        if !is_of_kind(&answer, &[ErrorKind::NotFound]) {
            let text = answer.text();
            problems.push(format!("start of a machine that is gone: {text}"));
        }
        problems
    }
}
