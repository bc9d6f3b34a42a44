//! Names in the cloud.

use std::fmt;

use crate::contract::types::{Error, ErrorKind, Machine};
use crate::failure;
use crate::flavour::CLOUD;

/// The most characters of a virtual machine's name: it becomes a host name.
const MAX_NAME: usize = 63;

/// The digits of a machine's id, as the contract has it.
const ID_LENGTH: usize = 20;

/// Checks that a machine's name can be a virtual machine's. docker-machine allows more.
pub(super) fn check(name: &str) -> Result<(), Error> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let fault = if name.is_empty() {
        "is empty".to_owned()
    } else if name.chars().count() > MAX_NAME {
        format!("is longer than {MAX_NAME} characters")
    } else if let Some(c) = name.chars().find(|c| !is_allowed(*c)) {
        format!("has the character \"{}\"", c.escape_default())
    } else if name.starts_with(|c: char| !c.is_ascii_alphabetic()) {
        "does not begin with a letter".to_owned()
    } else if name.ends_with('-') {
        "ends with a dash".to_owned()
    } else {
        return Ok(());
    };
    Err(failure::hinted(
        ErrorKind::InvalidOption,
        format!(
            "\"{}\" cannot be the name of a machine in {CLOUD}: it {fault}",
            name.escape_debug()
        ),
        format!(
            "Take 1 to {MAX_NAME} ASCII letters, digits and dashes, of which the first is a letter and the last is no dash"
        ),
    ))
}

/// The name of a machine's key pair in CloudStack, and of whatever else is made for it under a name. It is the machine's
/// mark: no other machine has it, and CloudStack shows it with the virtual machine that was deployed with it.
pub(super) fn mark(machine: &Machine) -> Result<String, Error> {
    if machine.id.is_empty() {
        let message = format!("The machine \"{}\" has no id", machine.name);
        return Err(failure::error(ErrorKind::Internal, message));
    }
    Ok(mark_of(&machine.name, &machine.id))
}

/// The mark of the machine of that name and id.
pub(super) fn mark_of(name: &str, id: &str) -> String {
    format!("{name}-{id}")
}

/// A mark that was found in the cloud.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) name: String,
    pub(super) id: String,
}

impl Mark {
    /// Reads a name in the cloud; nothing if it is no mark of this driver: a machine's name, a dash, and 20 lower-case
    /// hexadecimal digits. The driver of 2016 had 12.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (name, id) = text.rsplit_once('-')?;
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        let is_mark = id.len() == ID_LENGTH && id.bytes().all(is_digit) && check(name).is_ok();
        is_mark.then(|| Self {
            name: name.to_owned(),
            id: id.to_owned(),
        })
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&mark_of(&self.name, &self.id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::machine;

    #[test]
    fn names_are_host_names() {
        let longest = "m".repeat(63);
        for good in ["m", "M1", "my-machine-2", "a--b", longest.as_str()] {
            check(good).unwrap();
        }
        let too_long = "m".repeat(64);
        let cases = [
            ("", "is empty"),
            (too_long.as_str(), "is longer than 63 characters"),
            ("my.machine", "has the character \".\""),
            ("my_machine", "has the character \"_\""),
            ("mä", "has the character \"\\u{e4}\""),
            ("m\u{1b}", "has the character \"\\u{1b}\""),
            ("1m", "does not begin with a letter"),
            ("-m", "does not begin with a letter"),
            ("m-", "ends with a dash"),
        ];
        for (bad, fault) in cases {
            let error = check(bad).unwrap_err();
            assert_eq!(error.kind, ErrorKind::InvalidOption);
            assert!(error.message.ends_with(&format!("it {fault}")), "{error:?}");
            assert!(!error.message.contains('\u{1b}'));
        }
    }

    #[test]
    fn the_key_pair_is_named_after_machine_and_id() {
        let mut machine = machine();
        assert_eq!(mark(&machine).unwrap(), "m1-0123456789abcdef0123");
        machine.id.clear();
        assert_eq!(mark(&machine).unwrap_err().kind, ErrorKind::Internal);
    }

    #[test]
    fn a_mark_is_told_from_other_names() {
        let mark = Mark::parse("my-m1-0123456789abcdef0123").unwrap();
        assert_eq!(
            (mark.name.as_str(), mark.id.as_str()),
            ("my-m1", "0123456789abcdef0123")
        );
        assert_eq!(mark.to_string(), "my-m1-0123456789abcdef0123");
        for other in [
            "",
            "m1",
            "m1-9dfc36922790",
            "-0123456789abcdef0123",
            "1-0123456789abcdef0123",
            "m1-0123456789ABCDEF0123",
            "m1-0123456789abcdef012g",
            "m1-0123456789abcdef01234",
        ] {
            assert_eq!(Mark::parse(other), None, "{other}");
        }
    }
}
