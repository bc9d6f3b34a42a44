//! Whatever a cloud answers, an operation of the driver ends, with an outcome that can be shown and saved.
//!
//! An input is a line with a character for the operation and the zone, or for what is to be listed, and what is saved of the machine; and after it the
//! answers of the cloud, each on a line: the HTTP status and the body, or `lost` or `unsent` where none comes. A request
//! gets the first answer that is left and names its command, or else the first that names none, or else its command's
//! last one again.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use btcloud_driver::contract::clock::Interruption;
use btcloud_driver::contract::http::{Body, Failure, FailureKind, Request, Response};
use btcloud_driver::contract::keys::KeyType;
use btcloud_driver::contract::log::Level;
use btcloud_driver::contract::types::{Error, ErrorKind, Machine, MachineStatus, Value};
use btcloud_driver::host::Host;
use btcloud_driver::machine;
use btcloud_driver::options::{API_KEY, ENDPOINT, SECRET_KEY, SERVICE_OFFERING, TEMPLATE, ZONE};
use serde_json::{Map, Value as Json};

use crate::text;

/// The most requests. The host has such a limit too, and refuses further ones in the same way.
const MAX_REQUESTS: usize = 200;

/// The most bytes of a line that is shown, and of an error.
const MAX_SHOWN: usize = 4_096;

/// The most bytes of what is saved, as in the host.
const MAX_SAVED: usize = 256 * 1024;

/// How many of the characters that an input begins with choose an operation; the others choose a listing.
const OPERATIONS: u8 = 20;

/// An advanced and a basic one of the simulated cloud, from which the first inputs were recorded.
const ZONES: [&str; 2] = ["uk-london-1", "uk-basic-1"];

/// Plays the answers.
struct Script<'a> {
    /// Those that are left.
    answers: RefCell<Vec<&'a [u8]>>,
    /// The last one of each command.
    last: RefCell<BTreeMap<String, &'a [u8]>>,
    requests: Cell<usize>,
    now: Cell<u64>,
}

impl<'a> Script<'a> {
    fn next(&self, command: &str) -> Option<&'a [u8]> {
        let wrapper = format!("\"{}response\"", command.to_ascii_lowercase());
        let mut answers = self.answers.borrow_mut();
        let has = |answer: &[u8], text: &[u8]| answer.windows(text.len()).any(|w| w == text);
        let own = answers
            .iter()
            .position(|answer| has(answer, wrapper.as_bytes()));
        let place = own.or_else(|| {
            answers
                .iter()
                .position(|answer| !has(answer, b"response\""))
        });
        let mut last = self.last.borrow_mut();
        match place {
            Some(place) => {
                let answer = answers.remove(place);
                last.insert(command.to_owned(), answer);
                Some(answer)
            }
            None => last.get(command).copied(),
        }
    }
}

fn failure(kind: FailureKind, request_sent: bool) -> Failure {
    Failure {
        kind,
        message: "no answer".to_owned(),
        request_sent,
    }
}

impl Host for Script<'_> {
    fn send(&self, request: &Request) -> Result<Response, Failure> {
        let parameters = match &request.body {
            Some(Body::Form(form)) => form,
            _ => &request.query,
        };
        let is_first = |(name, _): &&(String, String)| name == "command";
        let (_, command) = parameters.first().filter(is_first).expect("a command");
        self.requests.set(self.requests.get() + 1);
        if self.requests.get() > MAX_REQUESTS {
            return Err(failure(FailureKind::Refused, false));
        }
        let answer = self.next(command);
        let Some(answer) = answer.filter(|answer| *answer != b"lost") else {
            return Err(failure(FailureKind::Unreachable, true));
        };
        if answer == b"unsent" {
            return Err(failure(FailureKind::Unreachable, false));
        }
        let (status, body) = match answer.split_first_chunk::<4>() {
            Some(([digits @ .., b' '], body)) if digits.iter().all(u8::is_ascii_digit) => {
                let status = digits.iter().fold(0, |n, d| n * 10 + u16::from(d - b'0'));
                (status, body)
            }
            _ => (200, answer),
        };
        Ok(Response {
            status,
            retry_after: None,
            body: body.to_vec(),
        })
    }

    fn ssh_public_key(&self, _: KeyType) -> Result<String, Error> {
        Ok("ssh-ed25519 AAAA".to_owned())
    }

    fn save(&self, json: &str) -> Result<(), Error> {
        assert!(json.len() <= MAX_SAVED, "{} bytes", json.len());
        serde_json::from_str::<Map<String, Json>>(json).expect("a JSON object");
        Ok(())
    }

    fn now(&self) -> u64 {
        self.now.get()
    }

    fn sleep(&self, ms: u64) -> Result<(), Interruption> {
        self.now.set(self.now.get().saturating_add(ms));
        Ok(())
    }

    fn log(&self, _: Level, line: &str) {
        text::assert_clean(line, MAX_SHOWN);
    }

    fn progress(&self, step: &str, number: u32, of: u32) {
        text::assert_clean(step, MAX_SHOWN);
        assert!((1..=of).contains(&number));
    }
}

fn machine(zone: &str, saved: &str) -> Machine {
    let text = |text: &str| Value::Text(text.to_owned());
    let options = [
        (ENDPOINT, text("https://cloud.example/client/api")),
        (API_KEY, Value::Withheld(true)),
        (SECRET_KEY, Value::Withheld(true)),
        (ZONE, text(zone)),
        (TEMPLATE, text("Ubuntu 24.04 LTS")),
        (SERVICE_OFFERING, text("Small")),
    ];
    Machine {
        name: "m1".to_owned(),
        id: "0123456789abcdef0123".to_owned(),
        swarm_master: false,
        options: options
            .map(|(name, value)| (name.to_owned(), value))
            .to_vec(),
        saved: saved.to_owned(),
    }
}

fn look(result: Result<(), Error>) -> bool {
    match result {
        Ok(()) => true,
        Err(error) => {
            text::assert_clean_lines(&error.message, MAX_SHOWN);
            text::assert_clean(error.hint.as_deref().unwrap_or_default(), MAX_SHOWN);
            assert!(!error.message.is_empty());
            // Nobody has asked for that.
            assert_ne!(error.kind, ErrorKind::Cancelled);
            false
        }
    }
}

fn told(status: MachineStatus) {
    assert_eq!(
        status.ip.is_none(),
        status.ssh_host.is_empty(),
        "{status:?}"
    );
}

/// Has the driver list what one of its options can name, or the account's limits. Whether it succeeds.
fn lists(script: &Script<'_>, listing: u8) -> bool {
    let options = machine(ZONES[0], "{}").options;
    let listable = machine::listable();
    let outcome = match listable.get(usize::from(listing) % (listable.len() + 1)) {
        Some(of) => {
            let candidates = machine::candidates(script, &options, &of.option_name);
            candidates.map(|candidates| {
                for candidate in candidates {
                    assert_eq!(candidate.details.len(), of.columns.len());
                }
            })
        }
        None => machine::limits(script, &options).map(drop),
    };
    look(outcome)
}

/// Runs an operation against a cloud that gives these answers. Whether it succeeds.
pub fn operates(data: &[u8]) -> bool {
    let mut lines = data.split(|byte| *byte == b'\n');
    let first = lines.next().unwrap_or_default();
    let (operation, saved) = first.split_first().unwrap_or((&b'0', b""));
    let script = Script {
        answers: RefCell::new(lines.filter(|line| !line.is_empty()).collect()),
        last: RefCell::default(),
        requests: Cell::new(0),
        now: Cell::new(1_000_000),
    };
    let choice = operation.wrapping_sub(b'0');
    if let Some(listing) = choice.checked_sub(OPERATIONS) {
        return lists(&script, listing);
    }
    let zone = ZONES[usize::from(choice / 10)];
    let machine = machine(zone, &String::from_utf8_lossy(saved));
    let outcome = match choice % 10 {
        0 => machine::check(&script, &machine),
        1 => machine::create(&script, &machine).map(told),
        2 => machine::start(&script, &machine),
        3 => machine::stop(&script, &machine),
        4 => machine::kill(&script, &machine),
        5 => machine::restart(&script, &machine),
        6 => machine::remove(&script, &machine),
        7 => {
            let others = [machine.clone(), machine];
            let statuses = machine::status(&script, &others);
            assert_eq!(statuses.len(), others.len());
            let mut outcomes = statuses.into_iter().map(|status| status.map(told));
            outcomes.find(Result::is_err).unwrap_or(Ok(()))
        }
        8 => {
            let mut statuses = machine::status(&script, &[machine]).into_iter();
            statuses.next().expect("a status").map(told)
        }
        _ => machine::survey(&script, &machine.options).map(drop),
    };
    look(outcome)
}
