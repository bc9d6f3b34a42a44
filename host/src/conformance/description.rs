//! What a driver tells of itself, and how it takes options that are not there.

use std::sync::Arc;

use super::call::{Operation, is_of_kind};
use super::cloud::{Cloud, Fault};
use super::subject::Subject;
use super::{Error, Report};
use crate::capability::keys::Keys;
use crate::contract::OptionKind;
use crate::contract::types::ErrorKind;

/// Looks at the description.
pub(super) fn of_description(
    subject: &mut Subject,
    cloud: &Cloud,
    report: &mut Report,
) -> Result<(), Error> {
    let setting = subject.fault(cloud, Fault::Fails, None)?;
    subject.journal.take();
    let keys = subject.keys("description");
    let Keys::At { path, .. } = &keys else {
        return Ok(());
    };
    let key = path.clone();
    let again = subject
        .loaded
        .driver
        .describe_with(subject.capabilities(&setting, keys));
    let problems = match again {
        Ok(again) if again == subject.loaded.description => Vec::new(),
        Ok(_) => vec!["the second time it is another one".to_owned()],
        Err(error) => vec![error.to_string()],
    };
    report.note("The description is always the same", problems);
    let mut problems: Vec<_> = subject
        .journal
        .take()
        .into_iter()
        .map(|event| format!("it did more than that: {event:?}"))
        .collect();
    if key.exists() {
        problems.push("it asked for the machine's SSH key".to_owned());
    }
    report.note("Describing itself is all that describe does", problems);

    let mut problems = Vec::new();
    for option in &subject.loaded.description.options {
        let texts = [Some(&option.help), option.required.as_ref()];
        for text in texts.into_iter().flatten() {
            if text.trim().is_empty() {
                problems.push(format!("--{} lacks a text", option.name));
            }
        }
        if option.help.trim_end().ends_with('.') {
            problems.push(format!("the help of --{} ends with a period", option.name));
        }
    }
    report.note("Every option has a help that fits the others", problems);
    let problems = match &subject.endpoint {
        Some(_) => Vec::new(),
        None => vec!["without one no cloud can be reached".to_owned()],
    };
    report.note("There is an option of the kind endpoint", problems);
    Ok(())
}

/// Looks at what comes of each option that is required and not there.
pub(super) fn of_missing_options(
    subject: &mut Subject,
    cloud: &Cloud,
    report: &mut Report,
) -> Result<(), Error> {
    let mut problems = Vec::new();
    let options = subject.loaded.description.options.iter();
    let required: Vec<_> = options
        // An endpoint's value need not be looked at: requests name it by its option.
        .filter(|option| option.required.is_some() && option.kind != OptionKind::Endpoint)
        .map(|option| option.name.clone())
        .collect();
    for name in &required {
        for operation in [Operation::Check, Operation::Create] {
            let mut setting = subject.fault(cloud, Fault::Fails, None)?;
            let options = Arc::make_mut(&mut setting.options);
            options.values.remove(name);
            let machine = subject.machine(&setting.options)?;
            let outcome = subject.call(operation, &machine, &setting);
            let name = format!("{} without --{name}", operation.name());
            if !is_of_kind(&outcome.answer, &[ErrorKind::InvalidOption]) {
                problems.push(format!("{name}: {}", outcome.answer.text()));
            } else if outcome.requests() > 0 {
                problems.push(format!("{name}: it asks the cloud before it tells"));
            }
        }
    }
    report.note(
        "A required option that is missing is told as an invalid option",
        problems,
    );
    Ok(())
}
