//! One call of the API: the request, the reading of its answer, and the repetitions that are safe.

use serde_json_borrow::Value;

use super::lenient::{Malformed, Members, Model};
use super::{Command, Error, Refusal, Stage};
use crate::contract::http::{Auth, Body, CloudstackCredentials, Method, Request, Response};
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

/// The shortest wait before such a call is repeated, in milliseconds.
const RATE_LIMIT_WAIT: u64 = 100;

/// How much of what the cloud asks for the host waits before it sends the next call, in milliseconds.
const HOST_WAIT: u64 = 60_000;

/// The most characters of an answer that is not CloudStack's that an error shows.
const MAX_SNIPPET: usize = 120;

/// The largest page that CloudStack allows, unless it is configured otherwise.
const PAGE_SIZE: usize = 500;

/// A parameter of a call: its name, and its value.
pub(super) type Param<'p> = (&'p str, &'p str);

/// Parameters of a call: their names, all lower case, and their values. Names in lower case are signed alike by all versions.
#[derive(Clone)]
pub(super) struct Params<'p>(Vec<(&'p str, String)>);

impl<'p> Params<'p> {
    pub(super) fn of(params: &[Param<'p>]) -> Self {
        let owned = params
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()));
        Self(owned.collect())
    }

    /// The same parameters, and one that is left out where it has no value.
    pub(super) fn option(mut self, name: &'p str, value: Option<impl ToString>) -> Self {
        self.0.extend(value.map(|value| (name, value.to_string())));
        self
    }

    /// The same parameters, and one with several values, which is left out where there are none.
    pub(super) fn list(self, name: &'p str, values: &[&str]) -> Self {
        self.option(name, (!values.is_empty()).then(|| values.join(",")))
    }
}

/// Calls the API that the machine's options name.
pub(crate) struct Client<'h> {
    host: &'h dyn Host,
    /// Whether all commands are called by GET, as a server wants it that refuses POST.
    uses_get_only: bool,
}

impl<'h> Client<'h> {
    /// A client that calls through `host`.
    pub(crate) fn new(host: &'h dyn Host) -> Self {
        Self {
            host,
            uses_get_only: false,
        }
    }

    /// The same client, which calls by GET alone if that is wanted.
    pub(crate) fn by_get(mut self, uses_get_only: bool) -> Self {
        self.uses_get_only = uses_get_only;
        self
    }

    /// What it calls through.
    pub(crate) fn host(&self) -> &'h dyn Host {
        self.host
    }

    /// Waits that many milliseconds.
    ///
    /// # Errors
    ///
    /// If the user has asked to stop.
    pub(crate) fn pause(&self, ms: u64) -> Result<(), Error> {
        self.host.sleep(ms).map_err(|_| Error::Cancelled)
    }

    /// Calls a command, and repeats that where it is safe.
    ///
    /// A command that changes something is repeated only if the host is sure that it was never sent, or if CloudStack
    /// turned it away because of the rate of calls, which it does before it does anything else.
    ///
    /// `take` is given the answer, which lives no longer than the response.
    fn call(
        &self,
        command: Command,
        params: &Params<'_>,
        take: &mut dyn FnMut(Members<'_>) -> Result<(), Malformed>,
    ) -> Result<(), Error> {
        let is_get = self.uses_get_only || command.is_read();
        let request = request(command, params, is_get);
        let mut delays = RETRY_DELAYS.iter();
        // By the clock and not by the sum of the pauses, since the host waits too.
        let mut limited_since = None;
        loop {
            self.pause(0)?;
            let mut asked = None;
            let answer = match self.host.send(&request) {
                Ok(response) => {
                    asked = response.retry_after;
                    read(command, &response, take)
                }
                Err(failure) => Err(Error::NoAnswer { command, failure }),
            };
            let Err(error) = answer else { return Ok(()) };
            let delay = if error.is_rate_limit() {
                let now = self.host.now();
                let waited = now.saturating_sub(*limited_since.get_or_insert(now));
                let asked = u64::from(asked.unwrap_or_default()).saturating_mul(1_000);
                let is_borne = waited.saturating_add(asked) < RATE_LIMIT_PATIENCE;
                let own = asked.saturating_sub(HOST_WAIT).max(RATE_LIMIT_WAIT);
                is_borne.then_some(own)
            } else if is_repeatable(command, &error) {
                delays.next().copied()
            } else {
                None
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
    pub(super) fn fetch<T: Model>(
        &self,
        command: Command,
        params: &Params<'_>,
    ) -> Result<T, Error> {
        self.call_for(command, params, T::read)
    }

    /// Calls a command and reads what its answer has in the member `member`.
    pub(super) fn fetch_member<T: Model>(
        &self,
        command: Command,
        params: &Params<'_>,
        member: &'static str,
    ) -> Result<T, Error> {
        self.call_for(command, params, |answer| T::read(answer.object(member)?))
    }

    /// Calls a list command and reads the items of its answer, which are in the member `member`.
    pub(super) fn list<T: Model>(
        &self,
        command: Command,
        params: &Params<'_>,
        member: &'static str,
    ) -> Result<Vec<T>, Error> {
        self.call_for(command, params, |answer| answer.list(member))
    }

    /// Calls a command and reads its answer.
    pub(super) fn call_for<T>(
        &self,
        command: Command,
        params: &Params<'_>,
        read: impl Fn(Members<'_>) -> Result<T, Malformed>,
    ) -> Result<T, Error> {
        let mut result = None;
        self.call(command, params, &mut |answer| {
            result = Some(read(answer)?);
            Ok(())
        })?;
        // It was given the answer, or there was an error.
        result.ok_or_else(|| malformed(command, Malformed::Missing("response")))
    }

    /// Like [`Self::list`], page after page.
    pub(super) fn list_all<T: Model>(
        &self,
        command: Command,
        params: &Params<'_>,
        member: &'static str,
    ) -> Result<Vec<T>, Error> {
        let mut items = Vec::new();
        self.rows(command, params, member, &mut |row| {
            items.push(T::read(row)?);
            Ok(())
        })?;
        Ok(items)
    }

    /// Calls a list command page after page, and reads one item after the other.
    pub(super) fn rows(
        &self,
        command: Command,
        params: &Params<'_>,
        member: &'static str,
        read: &mut dyn FnMut(Members<'_>) -> Result<(), Malformed>,
    ) -> Result<(), Error> {
        let mut page_size = PAGE_SIZE;
        let mut number: usize = 1;
        let mut items: usize = 0;
        loop {
            let paged = params.clone().option("page", Some(number));
            let paged = paged.option("pagesize", Some(page_size));
            let (mut received, mut total) = (0, None);
            let called = self.call(command, &paged, &mut |answer| {
                // `count` is the number of items in all. Should it be wrong, pages still end.
                total = answer.option::<u64>("count");
                let rows = answer.objects(member)?;
                received = rows.len();
                rows.into_iter().try_for_each(&mut *read)
            });
            if let Err(error) = called {
                let smaller = max_page_size(&error).filter(|max| *max < page_size);
                page_size = smaller.filter(|_| number == 1).ok_or(error)?;
                continue;
            }
            items = items.saturating_add(received);
            let is_last = match total.and_then(|total| usize::try_from(total).ok()) {
                Some(total) => items >= total,
                None => received < page_size,
            };
            if received == 0 || is_last {
                return Ok(());
            }
            number = number.saturating_add(1);
        }
    }
}

fn request(command: Command, params: &Params<'_>, is_get: bool) -> Request {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let mut all = vec![pair("command", command.name())];
    all.extend(params.0.iter().map(|(name, value)| pair(name, value)));
    all.push(pair("response", "json"));
    let (method, query, body) = match is_get {
        true => (Method::Get, all, None),
        false => (Method::Post, Vec::new(), Some(Body::Form(all))),
    };
    Request {
        endpoint: ENDPOINT.to_owned(),
        method,
        path: String::new(),
        query,
        body,
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
fn read(
    command: Command,
    response: &Response,
    take: &mut dyn FnMut(Members<'_>) -> Result<(), Malformed>,
) -> Result<(), Error> {
    let not_cloudstack = || Error::NotCloudStack {
        command,
        status: response.status,
        snippet: text::snippet(&String::from_utf8_lossy(&response.body), MAX_SNIPPET),
    };
    let Ok(Value::Object(body)) = serde_json::from_slice::<Value<'_>>(&response.body) else {
        return Err(not_cloudstack());
    };
    let answer = body.iter().find_map(|(name, value)| match value {
        Value::Object(answer) if name.to_ascii_lowercase().ends_with("response") => Some(answer),
        _ => None,
    });
    let answer = Members(answer.ok_or_else(not_cloudstack)?);
    let code = answer.option("errorcode");
    if code.is_none() && (200..300).contains(&response.status) {
        return take(answer).map_err(|e| malformed(command, e));
    }
    Err(Error::Refused(Refusal {
        command,
        stage: Stage::Request,
        code: code.unwrap_or(response.status),
        cs_code: answer.option("cserrorcode"),
        text: answer.or_default("errortext"),
    }))
}

/// An answer that is not understood.
fn malformed(command: Command, reason: Malformed) -> Error {
    Error::Malformed {
        command,
        detail: reason.to_string(),
    }
}

/// The page size that a server allows, if that is what it complains of: `Page size can't exceed max allowed page size
/// value: 500`.
fn max_page_size(error: &Error) -> Option<usize> {
    let max = text::after(&error.refusal()?.text, "max allowed page size value:")?;
    max.trim()
        .trim_end_matches('.')
        .parse()
        .ok()
        .filter(|max| *max > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cloudstack::{Cloud, Zone};
    use crate::contract::types::{self, ErrorKind};
    use crate::testing::{TestHost, lost, ok, param, params, raw, refuse};
    use serde_json::json;

    fn zones() -> crate::testing::Answer {
        ok(
            "listZones",
            json!({"count": 1, "zone": [{"id": "z", "name": "London", "networktype": "Basic", "new": [1]}]}),
        )
    }

    /// Calls listZones with answers, and returns its outcome, the number of requests and the time it took.
    fn list_zones(
        answers: impl IntoIterator<Item = crate::testing::Answer>,
    ) -> (Result<Vec<Zone>, types::Error>, usize, u64) {
        let host = TestHost::script(answers);
        let begin = host.now.get();
        let outcome = Cloud::new(&host).zones().map_err(types::Error::from);
        let requests = host.requests.borrow().len();
        assert!(
            host.server.borrow().is_empty() || outcome.is_err(),
            "an answer is left"
        );
        (outcome, requests, host.now.get() - begin)
    }

    #[test]
    fn an_answer_is_unwrapped() {
        let (outcome, requests, time) = list_zones([zones()]);
        let zones = outcome.unwrap();
        assert_eq!((zones[0].id.as_str(), zones[0].is_basic()), ("z", true));
        assert_eq!((requests, time), (1, 0));
        assert!(
            list_zones([ok("listZones", json!({}))])
                .0
                .unwrap()
                .is_empty()
        );
    }

    #[test]
    fn a_request_has_its_parameters_in_order() {
        let host = TestHost::script([zones()]);
        Cloud::new(&host).zones().unwrap();
        let requests = host.requests.borrow();
        let names: Vec<_> = params(&requests[0])
            .iter()
            .map(|(n, _)| n.as_str())
            .collect();
        assert_eq!(
            names,
            ["command", "available", "page", "pagesize", "response"]
        );
        assert_eq!(requests[0].method, Method::Get);
        let credentials = CloudstackCredentials {
            api_key: API_KEY.to_owned(),
            secret_key: SECRET_KEY.to_owned(),
        };
        assert_eq!(requests[0].auth, Auth::Cloudstack(credentials));
    }

    #[test]
    fn a_server_that_refuses_post_is_called_by_get_alone() {
        for uses_get_only in [false, true] {
            let done = ok("deleteSSHKeyPair", json!({"success": true}));
            let host = TestHost::script([lost(true), done]);
            let cloud = Cloud::new(&host).by_get(uses_get_only);
            // That does not make it safe to repeat.
            cloud.delete_ssh_key_pair("k").unwrap_err();
            let requests = host.requests.borrow();
            assert_eq!(requests[0].method == Method::Get, uses_get_only);
            assert_eq!(param(&requests[0], "name"), Some("k"));
            assert_eq!(requests.len(), 1);
        }
    }

    #[test]
    fn errors_come_in_both_wrappers() {
        let body = r#"{"errorresponse": {"uuidList": [], "errorcode": "401", "cserrorcode": 9999, "errortext": "unable to verify user credentials and/or request signature"}}"#;
        for (status, body) in [
            (401, body.to_owned()),
            (401, body.replace("errorresponse", "listzonesresponse")),
            (200, body.to_owned()),
        ] {
            let (outcome, requests, _) = list_zones([raw(status, &body)]);
            let error = outcome.unwrap_err();
            assert_eq!(
                error.message,
                "CloudStack refused listZones: unable to verify user credentials and/or request signature (error 401/9999)"
            );
            assert_eq!((error.kind, requests), (ErrorKind::Authentication, 1));
            assert!(error.hint.unwrap().contains("clock"));
        }
        let (outcome, ..) = list_zones([raw(530, r#"{"listzonesresponse": {}}"#)]);
        assert_eq!(
            outcome.unwrap_err().message,
            "CloudStack refused listZones (error 530)"
        );
    }

    #[test]
    fn what_is_not_cloudstack_is_told_as_such() {
        let page = "<html><head><title>Welcome\u{7}</title></head><body>to nginx</body></html>";
        let shown = ": \"Welcome to nginx\"";
        let cases = [
            (200, page, shown, ErrorKind::Protocol),
            (404, page, shown, ErrorKind::Protocol),
            (302, "", "", ErrorKind::Protocol),
            (200, "{}", ": \"{}\"", ErrorKind::Protocol),
            (200, "[1]", ": \"[1]\"", ErrorKind::Protocol),
            (
                200,
                "\"listzonesresponse\"",
                ": \"\"listzonesresponse\"\"",
                ErrorKind::Protocol,
            ),
        ];
        for (status, body, shown, kind) in cases {
            let (outcome, requests, _) = list_zones([raw(status, body)]);
            let error = outcome.unwrap_err();
            assert_eq!(
                error.message,
                format!(
                    "The endpoint does not answer listZones like a CloudStack API (HTTP status {status}){shown}"
                )
            );
            assert_eq!((error.kind, requests), (kind, 1));
            assert!(error.hint.unwrap().contains(ENDPOINT));
        }
        let long = "x".repeat(100_000);
        let (outcome, ..) = list_zones([raw(200, &long)]);
        assert!(outcome.unwrap_err().message.len() < 300);
        let (outcome, ..) = list_zones([ok("listZones", json!({"zone": [{"name": "no id"}]}))]);
        assert_eq!(outcome.unwrap_err().kind, ErrorKind::Protocol);
    }

    #[test]
    fn reads_are_repeated_a_few_times() {
        let page = "<html>Bad Gateway</html>";
        for failure in [
            lost(true),
            lost(false),
            raw(502, page),
            raw(504, ""),
            refuse("listZones", 503, "busy"),
        ] {
            let (outcome, requests, time) = list_zones([failure.clone(), zones()]);
            outcome.unwrap();
            assert_eq!((requests, time), (2, 500));

            let (outcome, requests, time) = list_zones(vec![failure; 9]);
            assert_eq!(outcome.unwrap_err().kind, ErrorKind::Unreachable);
            assert_eq!((requests, time), (4, 6_000));
        }
    }

    #[test]
    fn what_changes_something_is_repeated_only_if_it_was_never_sent() {
        let stop = |answers: Vec<crate::testing::Answer>| {
            let host = TestHost::script(answers);
            let outcome = Cloud::new(&host).delete_ssh_key_pair("k");
            assert_eq!(host.requests.borrow()[0].method, Method::Post);
            (outcome, host.requests.borrow().len())
        };
        let done = ok("deleteSSHKeyPair", json!({"success": true}));
        for failure in [
            lost(true),
            raw(502, "x"),
            refuse("deleteSSHKeyPair", 503, "x"),
        ] {
            let (outcome, requests) = stop(vec![failure, done.clone()]);
            assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Unreachable);
            assert_eq!(requests, 1);
        }
        let (outcome, requests) = stop(vec![lost(false), done]);
        outcome.unwrap();
        assert_eq!(requests, 2);
        let no_success = ok("deleteSSHKeyPair", json!({"success": "false"}));
        stop(vec![no_success]).0.unwrap_err();
    }

    #[test]
    fn the_rate_of_calls_is_kept() {
        let full = refuse(
            "deleteSSHKeyPair",
            429,
            "The given user has reached his/her account api limit, please retry after 300 ms.",
        );
        let of_a_proxy = raw(429, "<html>Too Many Requests</html>");
        let done = ok("deleteSSHKeyPair", json!({"success": true}));
        let delete = |answers: Vec<crate::testing::Answer>| {
            let host = TestHost::script(answers);
            let outcome = Cloud::new(&host).delete_ssh_key_pair("k");
            (outcome, host.requests.borrow().len())
        };
        for busy in [full, of_a_proxy] {
            // Even what changes something is repeated: it was not carried out.
            let (outcome, requests) = delete(vec![busy.clone(), busy.clone(), done.clone()]);
            outcome.unwrap();
            assert_eq!(requests, 3);
            // But not for ever.
            let (outcome, requests) = delete(vec![busy; 9]);
            let error = outcome.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::RateLimited);
            assert!(!error.is_outcome_unknown());
            assert_eq!(requests, 6);
        }
        // What cannot be waited for is told at once, and what the host does not wait for the driver does.
        let busy_for = |seconds| {
            let mut response = raw(429, "busy").unwrap();
            response.retry_after = Some(seconds);
            Ok(response)
        };
        let (outcome, requests) = delete(vec![busy_for(400); 2]);
        assert_eq!(outcome.unwrap_err().kind(), ErrorKind::RateLimited);
        assert_eq!(requests, 1);
        let host = TestHost::script([
            busy_for(120),
            ok("deleteSSHKeyPair", json!({"success": true})),
        ]);
        let begin = host.now.get();
        Cloud::new(&host).delete_ssh_key_pair("k").unwrap();
        assert_eq!(host.now.get() - begin, 120_000);
    }

    #[test]
    fn lists_are_read_to_their_end() {
        let page = |from: usize, to: usize, count: Option<usize>| {
            let zones: Vec<_> = (from..to).map(|i| json!({"id": i, "name": i})).collect();
            let mut content = json!({ "zone": zones });
            if let Some(count) = count {
                content["count"] = json!(count);
            }
            ok("listZones", content)
        };
        let pages = |answers: Vec<crate::testing::Answer>| {
            let host = TestHost::script(answers);
            let zones = Cloud::new(&host).zones().unwrap();
            assert!(host.server.borrow().is_empty());
            let asked: Vec<_> = host
                .requests
                .borrow()
                .iter()
                .map(|r| {
                    format!(
                        "{}/{}",
                        param(r, "page").unwrap(),
                        param(r, "pagesize").unwrap()
                    )
                })
                .collect();
            (zones.len(), asked.join(" "))
        };
        let two = vec![page(0, 500, Some(700)), page(500, 700, Some(700))];
        assert_eq!(pages(two), (700, "1/500 2/500".to_owned()));
        let uncounted = vec![page(0, 500, None), page(500, 501, None)];
        assert_eq!(pages(uncounted), (501, "1/500 2/500".to_owned()));
        let miscounted = vec![page(0, 3, Some(9)), page(0, 0, Some(9))];
        assert_eq!(pages(miscounted), (3, "1/500 2/500".to_owned()));
        let text = "Page size can't exceed max allowed page size value: 100";
        let small = vec![
            refuse("listZones", 431, text),
            page(0, 100, Some(150)),
            page(100, 150, Some(150)),
        ];
        assert_eq!(pages(small), (150, "1/500 1/100 2/100".to_owned()));
    }

    #[test]
    fn a_cancelled_call_is_not_made() {
        let host = TestHost::script([]);
        host.sleeps_left.set(Some(0));
        let error = types::Error::from(Cloud::new(&host).zones().unwrap_err());
        assert_eq!(error.kind, ErrorKind::Cancelled);
        assert!(host.requests.borrow().is_empty());
    }
}
