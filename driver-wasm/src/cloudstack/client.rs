//! One call of the API: the request, the reading of its answer, and the repetitions that are safe.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{Command, Error, Refusal, Stage, lenient::Scalar as _};
use crate::contract::http::{Auth, CloudstackCredentials, Method, Request, Response};
use crate::contract::log::Level;
use crate::host::Host;
use crate::options::{API_KEY, ENDPOINT, SECRET_KEY};
use crate::text;

/// The limit for one exchange, in milliseconds.
const TIMEOUT: u32 = 60_000;

/// The waits before the repetitions of a call that failed in a way that may pass, in milliseconds.
const RETRY_DELAYS: [u64; 3] = [500, 1_500, 4_000];

/// How long a call waits in all because the cloud asks to be called less often, in milliseconds.
const RATE_LIMIT_PATIENCE: u64 = 5 * 60_000;

/// The shortest wait when the cloud asks to be called less often, and the one where it does not say how long.
const MIN_RATE_LIMIT_WAIT: u64 = 100;
const DEFAULT_RATE_LIMIT_WAIT: u64 = 2_000;

/// The most characters of an answer that is not CloudStack's that an error shows.
const MAX_SNIPPET: usize = 120;

/// The largest page that CloudStack allows, unless it is configured otherwise.
const PAGE_SIZE: usize = 500;

/// A parameter of a call: its name, all lower case, and its value. Names in lower case are signed alike by all versions.
pub(super) type Param<'p> = (&'p str, &'p str);

/// Calls the API that the machine's options name.
pub struct Client<'h> {
    host: &'h dyn Host,
}

impl<'h> Client<'h> {
    /// A client that calls through `host`.
    pub fn new(host: &'h dyn Host) -> Self {
        Self { host }
    }

    /// What it calls through.
    pub fn host(&self) -> &'h dyn Host {
        self.host
    }

    /// Waits that many milliseconds.
    ///
    /// # Errors
    ///
    /// If the user has asked to stop.
    pub fn pause(&self, ms: u64) -> Result<(), Error> {
        self.host.sleep(ms).map_err(|_| Error::Cancelled)
    }

    /// Calls a command, and repeats that where it is safe.
    ///
    /// A command that changes something is repeated only if the host is sure that it was never sent, or if CloudStack
    /// turned it away because of the rate of calls, which it does before it does anything else.
    pub(super) fn call(
        &self,
        command: Command,
        params: &[Param<'_>],
    ) -> Result<Map<String, Value>, Error> {
        let request = request(command, params);
        let mut delays = RETRY_DELAYS.iter();
        let mut patience = RATE_LIMIT_PATIENCE;
        loop {
            self.pause(0)?;
            let answer = match self.host.send(&request) {
                Ok(response) => read(command, &response),
                Err(failure) => Err(Error::NoAnswer { command, failure }),
            };
            let error = match answer {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let delay = match error.refusal().filter(|refusal| refusal.code == 429) {
                Some(refusal) => {
                    let wait = refusal.retry_after().unwrap_or(DEFAULT_RATE_LIMIT_WAIT);
                    let wait = wait.max(MIN_RATE_LIMIT_WAIT);
                    patience.checked_sub(wait).map(|left| {
                        patience = left;
                        wait
                    })
                }
                None if is_repeatable(command, &error) => delays.next().copied(),
                None => None,
            };
            let Some(delay) = delay else {
                return Err(error);
            };
            self.host
                .log(Level::Debug, &format!("{error}; once more in {delay} ms"));
            self.pause(delay)?;
        }
    }

    /// Calls a command and reads its answer as a `T`.
    pub(super) fn fetch<T: DeserializeOwned>(
        &self,
        command: Command,
        params: &[Param<'_>],
    ) -> Result<T, Error> {
        typed(command, Value::Object(self.call(command, params)?))
    }

    /// Calls a list command and reads the items of its answer, which are in the member `member`.
    pub(super) fn list<T: DeserializeOwned>(
        &self,
        command: Command,
        params: &[Param<'_>],
        member: &str,
    ) -> Result<Vec<T>, Error> {
        let answer = self.call(command, params)?;
        Ok(page(command, answer, member)?.0)
    }

    /// Like [`Self::list`], page after page.
    pub(super) fn list_all<T: DeserializeOwned>(
        &self,
        command: Command,
        params: &[Param<'_>],
        member: &str,
    ) -> Result<Vec<T>, Error> {
        let mut page_size = PAGE_SIZE;
        let mut items = Vec::new();
        let mut number: usize = 1;
        loop {
            let (page_text, size_text) = (number.to_string(), page_size.to_string());
            let mut paged = params.to_vec();
            paged.extend([
                ("page", page_text.as_str()),
                ("pagesize", size_text.as_str()),
            ]);
            let answer = match self.call(command, &paged) {
                Err(error) => {
                    let smaller = max_page_size(&error).filter(|max| *max < page_size);
                    page_size = smaller.filter(|_| number == 1).ok_or(error)?;
                    continue;
                }
                Ok(answer) => answer,
            };
            let (more, total) = page::<T>(command, answer, member)?;
            let received = more.len();
            items.extend(more);
            // `count` is the number of items in all. Should it be wrong, pages still end.
            let is_last = match total {
                Some(total) => items.len() >= total,
                None => received < page_size,
            };
            if received == 0 || is_last {
                return Ok(items);
            }
            number += 1;
        }
    }
}

fn request(command: Command, params: &[Param<'_>]) -> Request {
    let params = [("command", command.name())]
        .iter()
        .chain(params)
        .chain(&[("response", "json")])
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    Request {
        endpoint: ENDPOINT.to_owned(),
        method: if command.is_read() {
            Method::Get
        } else {
            Method::Post
        },
        params,
        auth: Auth::Cloudstack(CloudstackCredentials {
            api_key: API_KEY.to_owned(),
            secret_key: SECRET_KEY.to_owned(),
        }),
        timeout_ms: TIMEOUT,
    }
}

fn is_repeatable(command: Command, error: &Error) -> bool {
    let was_sent = match error {
        Error::NoAnswer { failure, .. } => failure.request_sent,
        _ => true,
    };
    error.is_outage() && (command.is_read() || !was_sent)
}

/// Unwraps an answer: `{"listzonesresponse": {…}}`, or `{"errorresponse": {…}}` for some errors.
fn read(command: Command, response: &Response) -> Result<Map<String, Value>, Error> {
    let not_cloudstack = || Error::NotCloudStack {
        command,
        status: response.status,
        snippet: text::snippet(&String::from_utf8_lossy(&response.body), MAX_SNIPPET),
    };
    let Ok(Value::Object(body)) = serde_json::from_slice(&response.body) else {
        return Err(not_cloudstack());
    };
    let answer = body.into_iter().find_map(|(name, value)| match value {
        Value::Object(answer) if name.to_ascii_lowercase().ends_with("response") => Some(answer),
        _ => None,
    });
    let answer = answer.ok_or_else(not_cloudstack)?;
    let code = answer.get("errorcode").and_then(u16::read);
    if code.is_none() && (200..300).contains(&response.status) {
        return Ok(answer);
    }
    let code = code.unwrap_or(response.status);
    Err(Error::Refused(refusal(
        command,
        Stage::Request,
        code,
        &answer,
    )))
}

/// Reads `{"errorcode": …, "cserrorcode": …, "errortext": …}`.
pub(super) fn refusal(
    command: Command,
    stage: Stage,
    code: u16,
    answer: &Map<String, Value>,
) -> Refusal {
    Refusal {
        command,
        stage,
        code,
        cs_code: answer.get("cserrorcode").and_then(u16::read),
        text: answer
            .get("errortext")
            .and_then(String::read)
            .unwrap_or_default(),
    }
}

/// Reads JSON as a `T`.
pub(super) fn typed<T: DeserializeOwned>(command: Command, value: Value) -> Result<T, Error> {
    serde_json::from_value(value).map_err(|e| Error::Malformed {
        command,
        detail: text::line(&e.to_string(), MAX_SNIPPET),
    })
}

/// The items of an answer, and how many there are on all pages.
fn page<T: DeserializeOwned>(
    command: Command,
    mut answer: Map<String, Value>,
    member: &str,
) -> Result<(Vec<T>, Option<usize>), Error> {
    let items = match answer.remove(member) {
        // An empty list is left out.
        None | Some(Value::Null) => Vec::new(),
        Some(items) => typed(command, items)?,
    };
    let total = answer.get("count").and_then(u64::read);
    Ok((items, total.and_then(|total| total.try_into().ok())))
}

/// The page size that a server allows, if that is what it complains of: `Page size can't exceed max allowed page size
/// value: 500`.
fn max_page_size(error: &Error) -> Option<usize> {
    let text = &error.refusal()?.text;
    let (_, max) = text.rsplit_once("max allowed page size value:")?;
    max.trim().trim_end_matches('.').parse().ok().filter(|max| *max > 0)
}
