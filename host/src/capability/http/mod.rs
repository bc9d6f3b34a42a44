//! HTTP to the endpoints that the user configured, and to nothing else.

// What is read here comes from outside, and must not end the process.
#![cfg_attr(
    not(test),
    warn(
        clippy::arithmetic_side_effects,
        clippy::as_conversions,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::string_slice,
        clippy::unreachable,
        clippy::unwrap_used
    )
)]

mod client;
mod command;
mod endpoint;
mod pace;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ureq::http::header::{AUTHORIZATION, CONTENT_TYPE};
use url::Url;

use crate::capability::budget::Budget;
use crate::capability::log::{Level, Reporter};
use crate::capability::secret::{Secret, Secrets};
use crate::capability::signature;
use crate::capability::text::clean;
use crate::contract;
use crate::contract::http::{
    Auth, BasicCredentials, Body, CloudstackCredentials, Failure, FailureKind, Method, Request,
    Response,
};

pub use client::{Client, Trust, proxy};
pub use command::{Reach, is_command};
pub(crate) use endpoint::without_secrets;
pub use endpoint::{Endpoint, EndpointError};

/// The status of a server that is called too often (RFC 6585).
const TOO_MANY_REQUESTS: u16 = 429;

/// The longest time for one exchange.
pub const MAX_TIMEOUT: Duration = Duration::from_secs(300);

/// The capability `http`.
pub struct Http {
    client: Client,
    reach: Arc<Reach>,
    secrets: Arc<Secrets>,
    budget: Arc<Budget>,
    reporter: Arc<dyn Reporter>,
}

/// What became of a request.
#[derive(Default)]
struct Trace {
    /// What must not come back in an answer.
    hidden: Vec<Secret>,
    /// When it was sent.
    sent: Option<Duration>,
}

impl Http {
    /// Calls what is within `reach`, with signatures by `secrets`, as long as `budget` lasts. Tells `reporter` of each call
    /// what was called, how that ended, and how long it took.
    pub fn new(
        client: Client,
        reach: Arc<Reach>,
        secrets: Arc<Secrets>,
        budget: Arc<Budget>,
        reporter: Arc<dyn Reporter>,
    ) -> Self {
        Self {
            client,
            reach,
            secrets,
            budget,
            reporter,
        }
    }

    /// Logs at debug level how a call ended.
    fn report(&self, called: &str, took: Duration, outcome: &Result<Response, Failure>) {
        if !self.budget.admit_request_line() {
            return;
        }
        let end = match outcome {
            Ok(response) => format!("{}, {} bytes", response.status, response.body.len()),
            Err(failure) => clean(&failure.message, 1_000),
        };
        let line = format!("{called}: {end}, {} ms", took.as_millis());
        self.budget
            .waiting(|| self.reporter.log(Level::Debug, &line));
    }

    /// Sends a request that is within the rules, and notes in `trace` what became of it.
    fn exchange(&self, request: Request, trace: &mut Trace) -> Result<Response, Failure> {
        let Some(endpoint) = self.reach.endpoints.get(&request.endpoint) else {
            let message = format!("--{} is no endpoint that is set", request.endpoint);
            return Err(refused(message));
        };
        check(&request, self.budget.limits().request_size)?;
        let Request {
            method,
            path,
            mut query,
            mut body,
            auth,
            timeout_ms,
            ..
        } = request;
        let method_name = name_of(method);
        let mut authorization = None;
        if let Auth::Cloudstack(credentials) = &auth {
            let parameters = match &mut body {
                None if method == Method::Get => &mut query,
                Some(Body::Form(form)) if method == Method::Post && query.is_empty() => form,
                _ => {
                    return Err(refused(
                        "a request to CloudStack is a GET with a query or a POST with a form",
                    ));
                }
            };
            if !path.is_empty() {
                return Err(refused("a request to CloudStack has no path"));
            }
            trace.hidden.push(self.sign(parameters, credentials)?);
        } else if !self.reach.permits(method_name, &path) {
            return Err(refused(format!(
                "the driver may not call {method_name} {path}"
            )));
        }
        match &auth {
            Auth::Bearer(option) => {
                let token = self.secret(option)?;
                authorization = Some(format!("Bearer {}", token.expose()));
            }
            Auth::Basic(BasicCredentials { user, password }) => {
                if user.contains(':') {
                    return Err(refused("a user's name must have no colon"));
                }
                let password = self.secret(password)?.expose();
                let encoded = STANDARD.encode(format!("{user}:{password}"));
                trace.hidden.push(Secret::from(encoded.as_str()));
                authorization = Some(format!("Basic {encoded}"));
            }
            Auth::None | Auth::Cloudstack(_) => {}
        }

        let mut url = endpoint.url().clone();
        append(&mut url, &path);
        if !query.is_empty() {
            url.set_query(Some(&signature::form(&query)));
        }
        let mut outgoing = ureq::http::Request::builder()
            .method(method_name)
            .uri(url.as_str());
        if let Some(authorization) = authorization {
            outgoing = outgoing.header(AUTHORIZATION, authorization);
        }
        let content = match body {
            None => Vec::new(),
            Some(Body::Form(form)) => {
                outgoing = outgoing.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
                signature::form(&form).into_bytes()
            }
            Some(Body::Json(json)) => {
                outgoing = outgoing.header(CONTENT_TYPE, "application/json");
                json.into_bytes()
            }
        };
        // A secret with a line break, above all. The reason could quote it.
        let outgoing = outgoing
            .body(content)
            .map_err(|_| refused("the credentials cannot be sent in a header"))?;
        let server = endpoint.url().origin().ascii_serialization();
        self.wait_for_turn(&server)?;
        let pace = self.client.pace();
        let timeout = Duration::from_millis(timeout_ms.max(1).into()).min(self.budget.left());
        let max_size = self.budget.limits().response_size;
        let called = self.budget.time().now();
        trace.sent = Some(called);
        let exchange = || {
            self.client
                .exchange(endpoint.host(), outgoing, timeout, max_size)
        };
        let mut outcome = self.budget.waiting(exchange);
        match &mut outcome {
            Ok(Response {
                status: TOO_MANY_REQUESTS,
                retry_after,
                body,
            }) => {
                let told = retry_after.map(|seconds| Duration::from_secs(seconds.into()));
                let is_cloudstack = matches!(auth, Auth::Cloudstack(_));
                let in_body = || pace::wait_in(body).filter(|_| is_cloudstack);
                let told = told.or_else(in_body);
                *retry_after = told.map(|told| {
                    let seconds = told.as_millis().div_ceil(1_000);
                    u32::try_from(seconds).unwrap_or(u32::MAX)
                });
                pace.complained(&server, called, self.budget.time().now(), told);
            }
            Ok(_) => pace.answered(&server),
            Err(_) => {}
        }
        outcome
    }

    /// Waits until a server may be called.
    ///
    /// # Errors
    ///
    /// If the user asks to stop meanwhile, or the operation's time is up: then nothing is to be sent any more.
    fn wait_for_turn(&self, server: &str) -> Result<(), Failure> {
        let pace = self.client.pace();
        let now = || self.budget.time().now();
        loop {
            let turn = pace.turn(server, now());
            if turn.wait.is_zero() {
                return Ok(());
            }
            self.budget.sleep(turn.wait);
            if self.budget.is_cancelled() || self.budget.left().is_zero() {
                return Err(Failure {
                    kind: FailureKind::TimedOut,
                    message: format!("{server} wants fewer calls, and there was no time to wait"),
                    request_sent: false,
                });
            }
            if pace.holds(server, turn, now()) {
                return Ok(());
            }
        }
    }

    /// Signs the parameters of a command that was granted, and tells the signature.
    fn sign(
        &self,
        parameters: &mut Vec<(String, String)>,
        credentials: &CloudstackCredentials,
    ) -> Result<Secret, Failure> {
        let is_reserved = |name: &str| {
            let mut reserved = signature::PARAMETERS.iter();
            reserved.any(|own| own.eq_ignore_ascii_case(name))
        };
        if let Some((name, _)) = parameters.iter().find(|(name, _)| is_reserved(name)) {
            return Err(refused(format!(
                "the driver's request has {name}, which is the host's"
            )));
        }
        match parameters.iter().find(|(name, _)| name == "command") {
            Some((_, command)) if self.reach.commands.contains(command) => {}
            Some((_, command)) => {
                return Err(refused(format!("the driver may not call {command}")));
            }
            None => return Err(refused("the driver's request has no command")),
        }
        let api_key = self.secret(&credentials.api_key)?;
        let secret_key = self.secret(&credentials.secret_key)?;
        let signature = signature::sign(parameters, api_key, secret_key, self.budget.time().wall());
        Ok(Secret::from(signature))
    }

    fn secret(&self, option: &str) -> Result<&Secret, Failure> {
        let unset = || refused(format!("the option --{option} is not set"));
        self.secrets.get(option).ok_or_else(unset)
    }
}

impl contract::http::Host for Http {
    fn send(&mut self, request: Request) -> Result<Response, Failure> {
        if !self.budget.admit_request() {
            let requests = self.budget.limits().requests;
            return Err(refused(format!(
                "the driver made more than {requests} requests in one operation"
            )));
        }
        let called = called(&request);
        let began = self.budget.time().now();
        let mut trace = Trace::default();
        let outcome = self.exchange(request, &mut trace);
        // Without what it waited because others had been told to call less.
        let began = trace.sent.unwrap_or(began);
        let took = self.budget.time().now().saturating_sub(began);
        let mut secrets = self.secrets.as_ref().clone();
        for (i, secret) in trace.hidden.into_iter().enumerate() {
            secrets.insert(format!("hidden {i}"), secret);
        }
        let outcome = match outcome {
            Ok(response) => Ok(Response {
                body: secrets.redact_bytes(response.body),
                ..response
            }),
            Err(failure) => Err(Failure {
                message: secrets.redact(&failure.message),
                ..failure
            }),
        };
        self.report(&secrets.redact(&called), took, &outcome);
        outcome
    }
}

/// What a request calls, to be shown: the command of CloudStack's, or method and path.
fn called(request: &Request) -> String {
    let form = match &request.body {
        Some(Body::Form(form)) => form.as_slice(),
        _ => &[],
    };
    let mut parameters = request.query.iter().chain(form);
    let command = parameters.find(|(name, _)| name == "command");
    let text = match (&request.auth, command) {
        (Auth::Cloudstack(_), Some((_, command))) => command.clone(),
        _ => format!("{} {}", name_of(request.method), request.path),
    };
    clean(&text, 200).replace('\n', " ")
}

fn name_of(method: Method) -> &'static str {
    match method {
        Method::Get => "GET",
        Method::Post => "POST",
        Method::Put => "PUT",
        Method::Patch => "PATCH",
        Method::Delete => "DELETE",
    }
}

/// Checks that a request is within the rules that are the same for every way to authenticate.
fn check(request: &Request, max_size: usize) -> Result<(), Failure> {
    let none = Vec::new();
    let (form, json) = match &request.body {
        None => (&none, 0),
        Some(Body::Form(form)) => (form, 0),
        Some(Body::Json(json)) => (&none, json.len()),
    };
    let of_params = |params: &[(String, String)]| -> usize {
        params
            .iter()
            .flat_map(|(n, v)| [n.len(), v.len()])
            .fold(0, usize::saturating_add)
    };
    let sizes = [
        request.path.len(),
        of_params(&request.query),
        of_params(form),
        json,
    ];
    let size = sizes.into_iter().fold(0, usize::saturating_add);
    if size > max_size {
        return Err(refused(format!(
            "the driver's request is larger than {max_size} bytes"
        )));
    }
    if request.body.is_some() && matches!(request.method, Method::Get | Method::Delete) {
        return Err(refused(format!(
            "a {} has no body",
            name_of(request.method)
        )));
    }
    let is_segment = |segment: &str| {
        !["", ".", ".."].contains(&segment)
            && !segment.contains(|c: char| c.is_control() || c == '\\')
    };
    let is_path = request.path.is_empty()
        || request
            .path
            .strip_prefix('/')
            .is_some_and(|rest| rest.split('/').all(is_segment));
    if !is_path {
        return Err(refused("the driver's request has an invalid path"));
    }
    for params in [&request.query, form] {
        let mut names = BTreeSet::new();
        for (name, _) in params {
            if name.is_empty() || !name.bytes().all(|b| b.is_ascii_graphic()) {
                return Err(refused(
                    "the driver's request has a parameter with an invalid name",
                ));
            }
            if !names.insert(name.to_ascii_lowercase()) {
                return Err(refused(format!("the driver's request has {name} twice")));
            }
        }
    }
    Ok(())
}

/// Appends a path, which has been checked, to that of an endpoint.
fn append(url: &mut Url, path: &str) {
    let Some(path) = path.strip_prefix('/') else {
        return;
    };
    // An endpoint has a scheme with paths.
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().extend(path.split('/'));
    }
}

fn refused(message: impl Into<String>) -> Failure {
    Failure {
        kind: FailureKind::Refused,
        message: message.into(),
        request_sent: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capability::clock::{Cancel, SystemTimeSource};
    use crate::capability::limits::Limits;
    use crate::capability::log::Silent;
    use crate::contract::http::Host as _;
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};
    use std::thread::JoinHandle;

    fn http(endpoint: &str) -> Http {
        let reach = Reach {
            endpoints: [("endpoint".to_owned(), endpoint.parse().unwrap())].into(),
            commands: [
                "listZones",
                "GET /servers/{id}",
                "POST /servers",
                "DELETE /servers/{id}",
            ]
            .map(str::to_owned)
            .into(),
        };
        let secrets = [("key", "APIKEYAPIKEY"), ("secret", "SECRETKEYSECRETKEY")]
            .map(|(name, value)| (name.to_owned(), value.into()));
        let time = Arc::new(SystemTimeSource::default());
        let budget = Budget::new(Limits::default(), time, Cancel::default());
        Http::new(
            Client::default(),
            Arc::new(reach),
            Arc::new(Secrets::from_iter(secrets)),
            Arc::new(budget),
            Arc::new(Silent),
        )
    }

    fn pairs(params: &[(&str, &str)]) -> Vec<(String, String)> {
        let owned = params
            .iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()));
        owned.collect()
    }

    fn request(params: &[(&str, &str)]) -> Request {
        Request {
            endpoint: "endpoint".to_owned(),
            method: Method::Get,
            path: String::new(),
            query: pairs(params),
            body: None,
            auth: Auth::Cloudstack(CloudstackCredentials {
                api_key: "key".to_owned(),
                secret_key: "secret".to_owned(),
            }),
            timeout_ms: 5_000,
        }
    }

    fn rest(method: Method, path: &str, auth: Auth) -> Request {
        Request {
            method,
            path: path.to_owned(),
            auth,
            ..request(&[])
        }
    }

    /// Answers one connection with `answer` after it has read a request's head; returns what it read.
    fn serve(answer: impl Fn(&mut TcpStream) + Send + 'static) -> (String, JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/client/api", listener.local_addr().unwrap());
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut buffer = [0; 4096];
            let mut head = String::new();
            while !head.contains("\r\n\r\n") {
                let n = stream.read(&mut buffer).unwrap();
                assert!(n > 0, "half a request");
                head.push_str(std::str::from_utf8(&buffer[..n]).unwrap());
            }
            answer(&mut stream);
            head
        });
        (url, server)
    }

    fn answering(answer: &'static str) -> (String, JoinHandle<String>) {
        serve(move |stream| stream.write_all(answer.as_bytes()).unwrap())
    }

    #[test]
    fn what_was_not_granted_is_refused_and_not_sent() {
        let cases: [(&[(&str, &str)], &str); 7] = [
            (
                &[("command", "destroyVirtualMachine")],
                "may not call destroyVirtualMachine",
            ),
            (&[], "no command"),
            (&[("Command", "listZones")], "no command"),
            (&[("command", "listZones"), ("COMMAND", "x")], "twice"),
            (
                &[("command", "listZones"), ("Signature", "x")],
                "which is the host's",
            ),
            (
                &[("command", "listZones"), ("apiKey", "x")],
                "which is the host's",
            ),
            (
                &[("command", "listZones"), ("a&b", "x"), ("a\n", "y")],
                "invalid name",
            ),
        ];
        for (params, expected) in cases {
            let failure = http("http://127.0.0.1:9/")
                .send(request(params))
                .unwrap_err();
            assert_eq!(failure.kind, FailureKind::Refused);
            assert!(failure.message.contains(expected), "{failure:?}");
            assert!(!failure.request_sent);
        }
        let mut elsewhere = request(&[("command", "listZones")]);
        elsewhere.endpoint = "http://example.com/".to_owned();
        assert_eq!(
            http("http://127.0.0.1:9/")
                .send(elsewhere)
                .unwrap_err()
                .kind,
            FailureKind::Refused
        );
    }

    #[test]
    fn a_request_is_signed_and_secrets_in_the_answer_are_masked() {
        let (url, server) =
            answering("HTTP/1.1 431 No\r\ncontent-length: 17\r\n\r\nno APIKEYAPIKEY !");
        let answer = http(&url)
            .send(request(&[("command", "listZones")]))
            .unwrap();
        assert_eq!(answer.status, 431);
        assert_eq!(answer.body, b"no ************ !");
        let head = server.join().unwrap();
        assert!(
            head.starts_with("GET /client/api?command=listZones&apikey=APIKEYAPIKEY&"),
            "{head}"
        );
        assert!(
            head.contains("&signature=") && !head.contains("SECRETKEY"),
            "{head}"
        );
    }

    #[test]
    fn a_path_below_the_endpoints_is_called_with_a_token_or_a_password() {
        let basic = Auth::Basic(BasicCredentials {
            user: "me".to_owned(),
            password: "secret".to_owned(),
        });
        let (url, server) = answering(
            "HTTP/1.1 200 OK\r\nretry-after: 7\r\ncontent-length: 37\r\n\r\nyou sent bWU6U0VDUkVUS0VZU0VDUkVUS0VZ",
        );
        let answer = http(&url)
            .send(rest(Method::Delete, "/servers/a b%", basic))
            .unwrap();
        assert_eq!(answer.retry_after, Some(7));
        assert_eq!(
            answer.body,
            format!("you sent {}", "*".repeat(28)).as_bytes()
        );
        let head = server.join().unwrap();
        assert!(
            head.starts_with("DELETE /client/api/servers/a%20b%25 HTTP/1.1"),
            "{head}"
        );
        assert!(
            head.contains("authorization: Basic bWU6U0VDUkVUS0VZU0VDUkVUS0VZ\r\n"),
            "{head}"
        );

        let (url, server) = answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
        let mut creation = rest(Method::Post, "/servers", Auth::Bearer("secret".to_owned()));
        creation.body = Some(Body::Json("{\"name\": \"m1\"}".to_owned()));
        http(&url).send(creation).unwrap();
        let head = server.join().unwrap();
        assert!(
            head.contains("authorization: Bearer SECRETKEYSECRETKEY\r\n"),
            "{head}"
        );
        assert!(
            head.contains("content-type: application/json\r\n"),
            "{head}"
        );
    }

    #[test]
    fn a_path_that_was_not_granted_is_refused_and_not_sent() {
        let token = || Auth::Bearer("secret".to_owned());
        for (method, path, expected) in [
            (Method::Get, "", "may not call GET"),
            (Method::Get, "/servers", "may not call GET /servers"),
            (Method::Put, "/servers/1", "may not call PUT /servers/1"),
            (Method::Get, "/servers/1/2", "may not call GET /servers/1/2"),
            (Method::Get, "/servers/..", "invalid path"),
            (Method::Get, "/servers//1", "invalid path"),
            (Method::Get, "servers/1", "invalid path"),
            (Method::Get, "/servers/\\1", "invalid path"),
            (Method::Get, "/servers/a\n", "invalid path"),
        ] {
            let failure = http("http://127.0.0.1:9/")
                .send(rest(method, path, token()))
                .unwrap_err();
            assert_eq!(failure.kind, FailureKind::Refused);
            assert!(failure.message.contains(expected), "{failure:?}");
        }
        let mut with_body = rest(Method::Get, "/servers/1", token());
        with_body.body = Some(Body::Json("{}".to_owned()));
        let mut signed_path = request(&[("command", "listZones")]);
        signed_path.path = "/servers".to_owned();
        let mut signed_twice = request(&[("command", "listZones")]);
        signed_twice.method = Method::Post;
        signed_twice.body = Some(Body::Form(pairs(&[("command", "listZones")])));
        let colon = Auth::Basic(BasicCredentials {
            user: "a:b".to_owned(),
            password: "secret".to_owned(),
        });
        let colon = rest(Method::Get, "/servers/1", colon);
        let unset = rest(Method::Get, "/servers/1", Auth::Bearer("other".to_owned()));
        for request in [with_body, signed_path, signed_twice, colon, unset] {
            let failure = http("http://127.0.0.1:9/").send(request).unwrap_err();
            assert_eq!(failure.kind, FailureKind::Refused, "{failure:?}");
        }
    }

    /// Virtual time, so that nobody has to wait.
    #[test]
    fn what_one_operation_is_told_of_the_rate_counts_for_the_others() {
        use crate::capability::clock::{TimeSource as _, VirtualTimeSource};
        let (url, server) = serve(|stream| {
            let busy = b"HTTP/1.1 429 No\r\nretry-after: 7\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
            stream.write_all(busy).unwrap();
        });
        let (client, time) = (Client::default(), VirtualTimeSource::default());
        let operation = |url: &str| {
            let mut http = http(url);
            let limits = Limits::default();
            let budget = Budget::new(limits, Arc::new(time.clone()), Cancel::default());
            http.budget = Arc::new(budget);
            http.client = client.clone();
            http
        };
        let call = || request(&[("command", "listZones")]);
        assert_eq!(operation(&url).send(call()).unwrap().status, 429);
        assert_eq!(time.now(), Duration::ZERO);
        server.join().unwrap();
        // Nobody listens there any more.
        operation(&url).send(call()).unwrap_err();
        assert_eq!(time.now(), Duration::from_secs(7));
        // Another server has not complained.
        operation("http://127.0.0.1:9/").send(call()).unwrap_err();
        assert_eq!(time.now(), Duration::from_secs(7));
    }

    #[test]
    fn who_is_asked_to_stop_while_waiting_for_a_server_sends_nothing() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let mut http = http(&url);
        let cancel = Cancel::default();
        let time = Arc::new(SystemTimeSource::default());
        http.budget = Arc::new(Budget::new(Limits::default(), time, cancel.clone()));
        let now = http.budget.time().now();
        let minute = Some(Duration::from_secs(60));
        let server = url.trim_end_matches('/');
        http.client.pace().complained(server, now, now, minute);
        let failure = std::thread::scope(|scope| {
            let sending = scope.spawn(|| http.send(request(&[("command", "listZones")])));
            cancel.set();
            sending.join().unwrap().unwrap_err()
        });
        assert_eq!(
            (failure.kind, failure.request_sent),
            (FailureKind::TimedOut, false)
        );
        listener.set_nonblocking(true).unwrap();
        let nobody = listener.accept().unwrap_err();
        assert_eq!(nobody.kind(), std::io::ErrorKind::WouldBlock);
    }

    #[test]
    fn operations_with_the_same_trust_share_their_connections() {
        let client = Client::default();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut buffer = [0; 4096];
            for _ in 0..2 {
                assert!(stream.read(&mut buffer).unwrap() > 0);
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
                stream.write_all(answer).unwrap();
            }
        });
        for _ in 0..2 {
            let mut http = http(&url);
            http.client = client.trusting(&Trust::Anybody);
            let answer = http.send(request(&[("command", "listZones")])).unwrap();
            assert_eq!(answer.body, b"{}");
        }
        // One connection was enough for both.
        server.join().unwrap();
    }

    #[test]
    fn a_redirect_is_an_answer() {
        let (url, server) = answering(
            "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:9/\r\ncontent-length: 0\r\n\r\n",
        );
        assert_eq!(
            http(&url)
                .send(request(&[("command", "listZones")]))
                .unwrap()
                .status,
            302
        );
        server.join().unwrap();
    }

    #[test]
    fn a_failure_tells_whether_the_request_was_sent() {
        let refused = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let failure = http(&format!("http://{refused}/"))
            .send(request(&[("command", "listZones")]))
            .unwrap_err();
        assert_eq!(
            (failure.kind, failure.request_sent),
            (FailureKind::Unreachable, false)
        );

        let failure = http("http://does-not-exist.invalid/")
            .send(request(&[("command", "listZones")]))
            .unwrap_err();
        assert_eq!(
            (failure.kind, failure.request_sent),
            (FailureKind::Unreachable, false)
        );

        let (url, server) = answering("");
        let failure = http(&url)
            .send(request(&[("command", "listZones")]))
            .unwrap_err();
        assert!(failure.request_sent, "{failure:?}");
        assert!(!failure.message.contains("APIKEY"), "{failure:?}");
        server.join().unwrap();

        let (url, server) = answering("HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n{}");
        let failure = http(&url)
            .send(request(&[("command", "listZones")]))
            .unwrap_err();
        assert!(failure.request_sent, "{failure:?}");
        server.join().unwrap();
    }

    #[test]
    fn an_exchange_ends_in_time() {
        let (url, server) = serve(|stream| drop(stream.read(&mut [0])));
        let mut slow = request(&[("command", "listZones")]);
        slow.timeout_ms = 500;
        let failure = http(&url).send(slow).unwrap_err();
        assert_eq!(
            (failure.kind, failure.request_sent),
            (FailureKind::TimedOut, true)
        );
        server.join().unwrap();
    }

    #[test]
    fn an_answer_over_the_limit_is_refused() {
        let (url, server) = serve(|stream| {
            let length = Limits::default().response_size + 1;
            drop(write!(
                stream,
                "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n"
            ));
            let chunk = [b' '; 65536];
            for _ in 0..=length / 65536 {
                if stream.write_all(&chunk).is_err() {
                    break;
                }
            }
        });
        let failure = http(&url)
            .send(request(&[("command", "listZones")]))
            .unwrap_err();
        assert_eq!(failure.kind, FailureKind::BadResponse, "{failure:?}");
        server.join().unwrap();
    }
}
