//! The driver's logic as native code, with the same capabilities as in the sandbox: what differs is the sandbox alone.

use std::cell::RefCell;

use btcloud_driver::contract::types::{Machine, MachineStatus, Value};
use btcloud_driver::contract::{clock, http, keys, log, types};
use btcloud_driver::host::Host;
use btcloud_host::capability::Capabilities;
use btcloud_host::contract as host;
use btcloud_host::contract::clock::Host as _;
use btcloud_host::contract::http::Host as _;
use btcloud_host::contract::keys::Host as _;
use btcloud_host::contract::log::Host as _;
use btcloud_host::contract::state::Host as _;

/// Makes a machine.
pub(crate) fn create(
    capabilities: Capabilities,
    machine: &host::Machine,
) -> Result<MachineStatus, types::Error> {
    let machine = Machine {
        name: machine.name.clone(),
        id: machine.id.clone(),
        swarm_master: machine.swarm_master,
        options: machine.options.iter().map(option).collect(),
        saved: machine.saved.clone(),
    };
    btcloud_driver::machine::create(&Native(RefCell::new(capabilities)), &machine)
}

/// The capabilities, in the terms of the driver's side of the contract.
struct Native(RefCell<Capabilities>);

impl Host for Native {
    fn send(&self, request: &http::Request) -> Result<http::Response, http::Failure> {
        let sent = self.0.borrow_mut().http.send(host::http::Request {
            endpoint: request.endpoint.clone(),
            method: match request.method {
                http::Method::Get => host::http::Method::Get,
                http::Method::Post => host::http::Method::Post,
                http::Method::Put => host::http::Method::Put,
                http::Method::Patch => host::http::Method::Patch,
                http::Method::Delete => host::http::Method::Delete,
            },
            path: request.path.clone(),
            query: request.query.clone(),
            body: request.body.as_ref().map(|body| match body {
                http::Body::Form(form) => host::http::Body::Form(form.clone()),
                http::Body::Json(json) => host::http::Body::Json(json.clone()),
            }),
            auth: match &request.auth {
                http::Auth::Cloudstack(credentials) => {
                    host::http::Auth::Cloudstack(host::http::CloudstackCredentials {
                        api_key: credentials.api_key.clone(),
                        secret_key: credentials.secret_key.clone(),
                    })
                }
                _ => host::http::Auth::None,
            },
            timeout_ms: request.timeout_ms,
        });
        match sent {
            Ok(response) => Ok(http::Response {
                status: response.status,
                retry_after: response.retry_after,
                body: response.body,
            }),
            // None comes from the simulator while nothing is wrong.
            Err(failure) => Err(http::Failure {
                kind: http::FailureKind::Unreachable,
                message: failure.message,
                request_sent: failure.request_sent,
            }),
        }
    }

    fn ssh_public_key(&self, key_type: keys::KeyType) -> Result<String, types::Error> {
        let key_type = match key_type {
            keys::KeyType::Ed25519 => host::keys::KeyType::Ed25519,
            keys::KeyType::Rsa => host::keys::KeyType::Rsa,
        };
        let key = self.0.borrow_mut().keys.ssh_public_key(key_type);
        key.map_err(error)
    }

    fn save(&self, json: &str) -> Result<(), types::Error> {
        let saved = self.0.borrow_mut().state.save(json.to_owned());
        saved.map_err(error)
    }

    fn now(&self) -> u64 {
        self.0.borrow_mut().clock.now()
    }

    fn sleep(&self, ms: u64) -> Result<(), clock::Interruption> {
        let slept = self.0.borrow_mut().clock.sleep(ms);
        slept.map_err(|_| clock::Interruption::Cancelled)
    }

    fn log(&self, level: log::Level, line: &str) {
        let level = match level {
            log::Level::Debug => host::log::Level::Debug,
            log::Level::Info => host::log::Level::Info,
            log::Level::Warning => host::log::Level::Warning,
        };
        self.0.borrow_mut().log.log(level, line.to_owned());
    }

    fn progress(&self, step: &str, number: u32, of: u32) {
        let mut capabilities = self.0.borrow_mut();
        capabilities.log.progress(step.to_owned(), number, of);
    }
}

fn option((name, value): &(String, host::Value)) -> (String, Value) {
    let value = match value.clone() {
        host::Value::Text(text) => Value::Text(text),
        host::Value::Integer(number) => Value::Integer(number),
        host::Value::Boolean(on) => Value::Boolean(on),
        host::Value::TextList(items) => Value::TextList(items),
        host::Value::Withheld(is_set) => Value::Withheld(is_set),
    };
    (name.clone(), value)
}

fn error(error: host::Error) -> types::Error {
    types::Error {
        kind: types::ErrorKind::Internal,
        message: error.message,
        hint: error.hint,
    }
}
