//! A host for the tests, in virtual time; its server is a script, or the small cloud in `cloud`.

mod cloud;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};

use serde_json::{Map, Value, json};

use crate::contract::clock::Interruption;
use crate::contract::http::{Body, Failure, FailureKind, Method, Request, Response};
use crate::contract::keys::KeyType;
use crate::contract::log::Level;
use crate::contract::types::{self, Machine, Value as OptionValue};
use crate::host::Host;
use crate::options::{API_KEY, ENDPOINT, SECRET_KEY, SERVICE_OFFERING, TEMPLATE, ZONE};

pub(crate) use cloud::{FakeCloud, Fault, GONE, NetworkKind};

/// What a server does with a request.
pub(crate) type Answer = Result<Response, Failure>;

/// A machine as the host hands it over before anything is saved.
pub(crate) fn machine() -> Machine {
    let text = |text: &str| OptionValue::Text(text.to_owned());
    let options = [
        (ENDPOINT, text("https://cloud.example/client/api")),
        (API_KEY, OptionValue::Withheld(true)),
        (SECRET_KEY, OptionValue::Withheld(true)),
        (ZONE, text("London")),
        (TEMPLATE, text("Ubuntu 16.04")),
        (SERVICE_OFFERING, text("Small")),
    ];
    Machine {
        name: "m1".to_owned(),
        id: "0123456789abcdef0123".to_owned(),
        swarm_master: false,
        options: options
            .map(|(name, value)| (name.to_owned(), value))
            .to_vec(),
        saved: "{}".to_owned(),
    }
}

/// An answer of CloudStack: the content of its wrapper.
pub(crate) fn ok(command: &str, content: Value) -> Answer {
    raw(
        200,
        &json!({format!("{}response", command.to_lowercase()): content}).to_string(),
    )
}

/// A refusal of CloudStack.
pub(crate) fn refuse(command: &str, code: u16, text: &str) -> Answer {
    let content =
        json!({"uuidList": [], "errorcode": code, "cserrorcode": 4350, "errortext": text});
    let wrapper = format!("{}response", command.to_lowercase());
    raw(code, &json!({wrapper: content}).to_string())
}

/// Any answer.
pub(crate) fn raw(status: u16, body: &str) -> Answer {
    Ok(Response {
        status,
        retry_after: None,
        body: body.into(),
    })
}

/// No answer.
pub(crate) fn lost(request_sent: bool) -> Answer {
    Err(Failure {
        kind: FailureKind::Unreachable,
        message: "the connection to cloud.example broke".to_owned(),
        request_sent,
    })
}

/// The command of a request.
pub(crate) fn command(request: &Request) -> &str {
    param(request, "command").unwrap()
}

/// A parameter of a request.
pub(crate) fn param<'r>(request: &'r Request, name: &str) -> Option<&'r str> {
    let (_, value) = params(request).iter().find(|(n, _)| n == name)?;
    Some(value)
}

/// The parameters of a request, wherever they are.
pub(crate) fn params(request: &Request) -> &[(String, String)] {
    match &request.body {
        Some(Body::Form(params)) => params,
        _ => &request.query,
    }
}

/// A host with a server behind it, in virtual time.
pub(crate) struct TestHost<S> {
    pub(crate) server: RefCell<S>,
    pub(crate) now: Cell<u64>,
    pub(crate) requests: RefCell<Vec<Request>>,
    pub(crate) saved: RefCell<String>,
    pub(crate) key_types: RefCell<Vec<KeyType>>,
    pub(crate) lines: RefCell<Vec<String>>,
    pub(crate) steps: RefCell<Vec<String>>,
    /// How many more sleeps there are until the user asks to stop.
    pub(crate) sleeps_left: Cell<Option<u32>>,
}

/// What answers a host's requests.
pub(crate) trait Server {
    fn answer(&mut self, request: &Request, now: u64) -> Answer;

    /// What the network of its machines is like.
    fn network(&self) -> NetworkKind {
        NetworkKind::Isolated
    }
}

/// A server that plays a script, and panics after its end.
impl Server for VecDeque<Answer> {
    fn answer(&mut self, request: &Request, _: u64) -> Answer {
        self.pop_front()
            .unwrap_or_else(|| panic!("the script has no answer to {}", command(request)))
    }
}

impl TestHost<VecDeque<Answer>> {
    pub(crate) fn script(answers: impl IntoIterator<Item = Answer>) -> Self {
        Self::new(answers.into_iter().collect())
    }
}

impl<S> TestHost<S> {
    pub(crate) fn new(server: S) -> Self {
        Self {
            server: RefCell::new(server),
            now: Cell::new(1_000_000),
            requests: RefCell::default(),
            saved: RefCell::new("{}".to_owned()),
            key_types: RefCell::default(),
            lines: RefCell::default(),
            steps: RefCell::default(),
            sleeps_left: Cell::new(None),
        }
    }

    /// The commands that were called since this was asked last. Polls of one job in a row count once.
    pub(crate) fn commands(&self) -> Vec<String> {
        let mut commands: Vec<_> = self
            .requests
            .take()
            .iter()
            .map(|request| command(request).to_owned())
            .collect();
        commands.dedup_by(|a, b| a == b && a == "queryAsyncJobResult");
        commands
    }
}

impl<S: Server> Host for TestHost<S> {
    fn send(&self, request: &Request) -> Answer {
        check_request(request);
        self.requests.borrow_mut().push(request.clone());
        let answer = self.server.borrow_mut().answer(request, self.now.get());
        if answer.as_ref().is_ok_and(|answer| answer.status == 429) {
            // The host keeps the next call back for up to a minute.
            self.now.set(self.now.get() + 60_000);
        }
        answer
    }

    fn ssh_public_key(&self, key_type: KeyType) -> Result<String, types::Error> {
        self.key_types.borrow_mut().push(key_type);
        Ok(match key_type {
            KeyType::Ed25519 => "ssh-ed25519 AAAA".to_owned(),
            KeyType::Rsa => "ssh-rsa AAAA".to_owned(),
        })
    }

    fn save(&self, json: &str) -> Result<(), types::Error> {
        assert!(serde_json::from_str::<Map<String, Value>>(json).is_ok());
        *self.saved.borrow_mut() = json.to_owned();
        Ok(())
    }

    fn now(&self) -> u64 {
        self.now.get()
    }

    fn sleep(&self, ms: u64) -> Result<(), Interruption> {
        if let Some(left) = self.sleeps_left.get() {
            let Some(left) = left.checked_sub(1) else {
                return Err(Interruption::Cancelled);
            };
            self.sleeps_left.set(Some(left));
        }
        self.now.set(self.now.get() + ms);
        Ok(())
    }

    fn log(&self, level: Level, line: &str) {
        self.lines.borrow_mut().push(format!("{level:?}: {line}"));
    }

    fn progress(&self, step: &str, number: u32, of: u32) {
        self.steps
            .borrow_mut()
            .push(format!("{number}/{of} {step}"));
    }
}

/// What holds for every request.
fn check_request(request: &Request) {
    assert_eq!(request.endpoint, ENDPOINT);
    let params = params(request);
    assert_eq!(params[0].0, "command");
    assert!(request.path.is_empty());
    assert_eq!(param(request, "response"), Some("json"));
    let is_read = command(request).starts_with("list") || command(request).starts_with("query");
    assert!(request.method == Method::Get || !is_read);
    assert_eq!(request.method == Method::Get, request.body.is_none());
    for (i, (name, _)) in params.iter().enumerate() {
        // CloudStack takes no other case of these.
        assert!(*name == name.to_lowercase() || name.starts_with("details[0]."));
        assert!(params[..i].iter().all(|(n, _)| n != name), "{name} twice");
    }
    assert_eq!(
        param(request, "page").is_some(),
        param(request, "pagesize").is_some()
    );
}
