//! The API: requests, what may be sent again, actions and errors.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::contract::machine::driver::clock::{self, Interruption};
use crate::contract::machine::driver::http::{self, Auth, Body, FailureKind, Method, Request};
use crate::contract::machine::driver::types::{Error, ErrorKind};
use crate::{ENDPOINT, TOKEN, get};

/// The limit of one exchange, in milliseconds.
const EXCHANGE: u32 = 30_000;

/// For how long a request is tried again while the cloud is out of reach or busy, in milliseconds.
const PATIENCE: u64 = 60_000;

/// How long an action may take, in milliseconds.
const ACTION: u64 = 15 * 60_000;

/// Why a request was not answered as it should.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The cloud refuses it, or cannot be reached.
    Told(Error),
    /// It may have been carried out, and nobody knows.
    Lost(Error),
}

impl Failure {
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Self::Told(error) if error.kind == ErrorKind::NotFound)
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Told(error) | Failure::Lost(error) => error,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Told(error)
    }
}

impl From<Interruption> for Error {
    fn from(_: Interruption) -> Self {
        error(ErrorKind::Cancelled, "Interrupted")
    }
}

pub(crate) fn error(kind: ErrorKind, message: impl Into<String>) -> Error {
    Error {
        kind,
        message: message.into(),
        hint: None,
    }
}

/// Waits from time to time, longer each time, until a limit.
pub(crate) struct Patience {
    end: u64,
    pause: u64,
}

impl Patience {
    pub(crate) fn new(limit: u64) -> Self {
        Self {
            end: clock::now() + limit,
            pause: 100,
        }
    }

    /// Waits; tells whether there is time for another try.
    pub(crate) fn wait(&mut self, at_least: u64) -> Result<bool, Error> {
        clock::sleep(self.pause.max(at_least))?;
        self.pause = (self.pause * 8 / 5).min(5_000);
        Ok(clock::now() < self.end)
    }
}

/// Sends a request, again where that is safe, and reads the answer.
pub(crate) fn call<T: DeserializeOwned>(
    method: Method,
    path: &str,
    query: &[(&str, &str)],
    body: Option<&serde_json::Value>,
) -> Result<T, Failure> {
    let query = query.iter();
    let request = Request {
        endpoint: ENDPOINT.to_owned(),
        method,
        path: path.to_owned(),
        query: query
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
            .collect(),
        body: body.map(|body| Body::Json(body.to_string())),
        auth: Auth::Bearer(TOKEN.to_owned()),
        timeout_ms: EXCHANGE,
    };
    let mut patience = Patience::new(PATIENCE);
    loop {
        let (failure, pause) = match http::send(&request) {
            Ok(response) if response.status < 300 => {
                // Where there is nothing to tell, as after a deletion.
                let json = match response.body.as_slice() {
                    [] => b"null",
                    body => body,
                };
                return serde_json::from_slice(json)
                    .map_err(|_| Failure::Lost(unlike_the_api(response.status)));
            }
            Ok(response) => {
                let error = refusal(response.status, &response.body);
                // Neither a request too many nor one for a server that an action has locked is carried out.
                let is_busy = matches!(response.status, 423 | 429);
                let is_broken = response.status >= 500;
                match is_busy || is_broken && method == Method::Get {
                    true => (
                        Failure::Told(error),
                        u64::from(response.retry_after.unwrap_or(0)) * 1_000,
                    ),
                    false if is_broken => return Err(Failure::Lost(error)),
                    false => return Err(Failure::Told(error)),
                }
            }
            Err(failure) => {
                let error = error(kind_of(failure.kind), failure.message);
                let is_passing = matches!(
                    failure.kind,
                    FailureKind::Unreachable | FailureKind::TimedOut
                );
                match (is_passing, failure.request_sent) {
                    (true, sent) if !sent || method == Method::Get => (Failure::Told(error), 0),
                    (_, true) => return Err(Failure::Lost(error)),
                    (_, false) => return Err(Failure::Told(error)),
                }
            }
        };
        if !patience.wait(pause.min(PATIENCE))? {
            return Err(failure);
        }
    }
}

fn kind_of(kind: FailureKind) -> ErrorKind {
    match kind {
        FailureKind::Refused => ErrorKind::Internal,
        FailureKind::Unreachable | FailureKind::Tls => ErrorKind::Unreachable,
        FailureKind::TimedOut => ErrorKind::TimedOut,
        FailureKind::BadResponse => ErrorKind::Protocol,
    }
}

/// An error, as the API tells it.
#[derive(Debug, Deserialize)]
struct ApiError {
    code: String,
    message: String,
}

impl From<ApiError> for Error {
    fn from(told: ApiError) -> Self {
        let kind = match told.code.as_str() {
            "unauthorized" | "token_readonly" => ErrorKind::Authentication,
            "forbidden" => ErrorKind::Permission,
            "not_found" => ErrorKind::NotFound,
            "invalid_input" => ErrorKind::InvalidOption,
            "resource_limit_exceeded" => ErrorKind::Quota,
            "resource_unavailable" | "placement_error" => ErrorKind::Capacity,
            "rate_limit_exceeded" => ErrorKind::RateLimited,
            "conflict" | "locked" | "protected" | "uniqueness_error" => ErrorKind::Conflict,
            _ => ErrorKind::Internal,
        };
        let message = told.message.trim_end_matches('.');
        error(
            kind,
            format!("The cloud refuses: {message} ({})", told.code),
        )
    }
}

fn refusal(status: u16, body: &[u8]) -> Error {
    #[derive(Deserialize)]
    struct Refusal {
        error: ApiError,
    }
    match serde_json::from_slice::<Refusal>(body) {
        Ok(refusal) => refusal.error.into(),
        Err(_) => unlike_the_api(status),
    }
}

fn unlike_the_api(status: u16) -> Error {
    error(
        ErrorKind::Protocol,
        format!("The endpoint does not answer like the Hetzner Cloud API (HTTP status {status})"),
    )
}

/// Something that the cloud is doing.
#[derive(Debug, Deserialize)]
pub(crate) struct Action {
    id: u64,
    status: String,
    error: Option<ApiError>,
}

/// An answer with an action.
#[derive(Debug, Deserialize)]
pub(crate) struct Acting {
    pub(crate) action: Action,
}

impl Action {
    /// Waits for its end.
    pub(crate) fn finish(mut self) -> Result<(), Error> {
        let mut patience = Patience::new(ACTION);
        while self.status == "running" {
            if !patience.wait(0)? {
                return Err(error(
                    ErrorKind::TimedOut,
                    "The cloud takes longer than 15 minutes",
                ));
            }
            self = get::<Acting>(&format!("/actions/{}", self.id), &[])?.action;
        }
        match (self.status.as_str(), self.error) {
            ("success", _) => Ok(()),
            (_, Some(error)) => Err(error.into()),
            (_, None) => Err(error(ErrorKind::Internal, "The cloud's action failed")),
        }
    }
}
