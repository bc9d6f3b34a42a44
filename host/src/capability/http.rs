//! HTTP to the endpoints that the user configured, and to nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use ureq::http::Uri;
use ureq::tls::{RootCerts, TlsConfig};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use ureq::{Agent, Timeout};
use url::Url;

use crate::capability::clock::TimeSource;
use crate::capability::secret::Secrets;
use crate::capability::signature;
use crate::contract;
use crate::contract::http::{Auth, Failure, FailureKind, Method, Request, Response};

/// The most bytes of a request's parameters, names and values.
pub const MAX_REQUEST: usize = 64 * 1024;

/// The most bytes of an answer's body.
pub const MAX_RESPONSE: u64 = 8 * 1024 * 1024;

/// The most requests in one operation: an hour of polling each second, and then some.
pub const MAX_REQUESTS: u32 = 5_000;

/// The longest time for one exchange.
pub const MAX_TIMEOUT: Duration = Duration::from_secs(300);

/// The longest time until a connection is there, its TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// A URL that drivers may ask the host to call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint(Url);

/// Why a text is no endpoint.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// Not a URL.
    #[error("\"{0}\" is not a URL such as https://cloud.example.com/client/api")]
    NotAUrl(String),
    /// Another scheme than `http` and `https`.
    #[error("the scheme of \"{0}\" is neither https nor http")]
    Scheme(String),
    /// A user name, password, query or fragment.
    #[error("\"{0}\" has more than a scheme, a host, a port and a path")]
    Surplus(String),
    /// An address that is never an API's.
    #[error("{0} is a link-local, multicast or unspecified address, which no driver may call")]
    Forbidden(IpAddr),
}

impl std::str::FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let Ok(url) = Url::parse(text.trim()) else {
            return Err(EndpointError::NotAUrl(text.to_owned()));
        };
        if !matches!(url.scheme(), "http" | "https") {
            return Err(EndpointError::Scheme(text.to_owned()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            // The text itself may hold a password.
            let host = url.host_str().unwrap_or_default();
            return Err(EndpointError::Surplus(format!(
                "{}://…@{host}",
                url.scheme()
            )));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(EndpointError::Surplus(text.to_owned()));
        }
        let address = match url.host() {
            Some(url::Host::Ipv4(ip)) => Some(IpAddr::V4(ip)),
            Some(url::Host::Ipv6(ip)) => Some(IpAddr::V6(ip)),
            _ => None,
        };
        match address {
            Some(ip) if is_forbidden(ip) => Err(EndpointError::Forbidden(ip)),
            _ => Ok(Self(url)),
        }
    }
}

impl Endpoint {
    /// Whether requests to it travel readable to another machine.
    pub fn is_unprotected(&self) -> bool {
        let is_local = match self.0.host() {
            Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
            Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
            Some(url::Host::Domain(name)) => name == "localhost",
            None => false,
        };
        self.0.scheme() == "http" && !is_local
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Whether an address is never that of an API: link-local ones above all, where clouds keep their metadata.
fn is_forbidden(ip: IpAddr) -> bool {
    /// AWS's metadata service over IPv6.
    const METADATA: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            ip.is_link_local() || ip.is_unspecified() || ip.is_multicast() || ip.is_broadcast()
        }
        IpAddr::V6(ip) => {
            ip.is_unicast_link_local() || ip.is_unspecified() || ip.is_multicast() || ip == METADATA
        }
    }
}

/// Resolves names as the system does, and refuses forbidden addresses. The connection is made to just those returned.
#[derive(Debug)]
struct GuardedResolver(DefaultResolver);

impl Resolver for GuardedResolver {
    fn resolve(
        &self,
        uri: &Uri,
        config: &ureq::config::Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let resolved = match self.0.resolve(uri, config, timeout) {
            Err(ureq::Error::Io(_)) => return Err(ureq::Error::HostNotFound),
            resolved => resolved?,
        };
        if let Some(address) = resolved.iter().find(|a| is_forbidden(a.ip())) {
            return Err(ureq::Error::Other(Box::new(EndpointError::Forbidden(
                address.ip(),
            ))));
        }
        Ok(resolved)
    }
}

/// The connections, shared by all operations of a process.
#[derive(Clone, Debug)]
pub struct Client {
    /// Keeps connections between requests.
    reading: Agent,
    /// Connects anew for each request: one that is lost on a connection which the server had just closed could not be
    /// told from one that the server acted on.
    changing: Agent,
    /// The longest time for one exchange.
    limit: Duration,
}

impl Client {
    /// The same with another limit for each exchange than [`MAX_TIMEOUT`].
    pub fn with_limit(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }
}

impl Default for Client {
    fn default() -> Self {
        let agent = |idle_connections| {
            let tls = TlsConfig::builder()
                .root_certs(RootCerts::PlatformVerifier)
                .build();
            let config = Agent::config_builder()
                .http_status_as_error(false)
                .max_redirects(0)
                .max_redirects_will_error(false)
                .proxy(ureq::Proxy::try_from_env())
                .max_idle_connections(idle_connections)
                .timeout_connect(Some(CONNECT_TIMEOUT))
                .user_agent(concat!("btcloud-host/", env!("CARGO_PKG_VERSION")))
                .tls_config(tls)
                .build();
            let resolver = GuardedResolver(DefaultResolver::default());
            Agent::with_parts(config, DefaultConnector::new(), resolver)
        };
        Self {
            reading: agent(4),
            changing: agent(0),
            limit: MAX_TIMEOUT,
        }
    }
}

/// What one driver may call.
#[derive(Clone, Debug, Default)]
pub struct Grant {
    /// The endpoints by the names of their options.
    pub endpoints: BTreeMap<String, Endpoint>,
    /// The API commands for signed requests.
    pub commands: BTreeSet<String>,
}

/// The capability `http`.
#[derive(Debug)]
pub struct Http {
    client: Client,
    grant: Arc<Grant>,
    secrets: Arc<Secrets>,
    time: Arc<dyn TimeSource>,
    requests_left: u32,
}

impl Http {
    /// Calls what `grant` allows, with signatures by `secrets` that expire by `time`.
    pub fn new(
        client: Client,
        grant: Arc<Grant>,
        secrets: Arc<Secrets>,
        time: Arc<dyn TimeSource>,
    ) -> Self {
        Self {
            client,
            grant,
            secrets,
            time,
            requests_left: MAX_REQUESTS,
        }
    }

    /// The parameters as they are sent, checked and signed.
    fn parameters(&self, request: &Request) -> Result<Vec<(String, String)>, Failure> {
        let size = request
            .params
            .iter()
            .map(|(n, v)| n.len() + v.len())
            .sum::<usize>();
        if size > MAX_REQUEST {
            return Err(refused(format!(
                "the driver's request is larger than {MAX_REQUEST} bytes"
            )));
        }
        let mut names = BTreeSet::new();
        for (name, _) in &request.params {
            if name.is_empty() || !name.bytes().all(|b| b.is_ascii_graphic()) {
                return Err(refused(
                    "the driver's request has a parameter with an invalid name",
                ));
            }
            if !names.insert(name.to_ascii_lowercase()) {
                return Err(refused(format!("the driver's request has {name} twice")));
            }
            if signature::PARAMETERS.contains(&name.to_ascii_lowercase().as_str()) {
                return Err(refused(format!(
                    "the driver's request has {name}, which is the host's"
                )));
            }
        }
        let mut parameters = request.params.clone();
        if let Auth::Cloudstack(credentials) = &request.auth {
            let command = parameters.iter().find(|(name, _)| name == "command");
            match command {
                Some((_, command)) if self.grant.commands.contains(command) => {}
                Some((_, command)) => {
                    return Err(refused(format!("the driver may not call {command}")));
                }
                None => return Err(refused("the driver's request has no command")),
            }
            let secret = |option: &str| {
                let unset = || refused(format!("the option --{option} is not set"));
                self.secrets.get(option).ok_or_else(unset)
            };
            let (api_key, secret_key) = (
                secret(&credentials.api_key)?,
                secret(&credentials.secret_key)?,
            );
            signature::sign(&mut parameters, api_key, secret_key, self.time.wall());
        }
        Ok(parameters)
    }

    fn exchange(&self, request: &Request) -> Result<Response, Failure> {
        let Some(Endpoint(url)) = self.grant.endpoints.get(&request.endpoint) else {
            return Err(refused(format!(
                "--{} is no endpoint that is set",
                request.endpoint
            )));
        };
        let form = signature::form(&self.parameters(request)?);
        let timeout =
            Duration::from_millis(request.timeout_ms.max(1).into()).min(self.client.limit);
        let answer = match request.method {
            Method::Get => {
                let mut url = url.clone();
                url.set_query(Some(&form));
                let call = self.client.reading.get(url.as_str());
                call.config().timeout_global(Some(timeout)).build().call()
            }
            Method::Post => {
                let call = self.client.changing.post(url.as_str());
                let call = call.config().timeout_global(Some(timeout)).build();
                call.content_type("application/x-www-form-urlencoded")
                    .send(form)
            }
        };
        let host = url.host_str().unwrap_or_default();
        let mut answer = answer.map_err(|e| failure(&e, host))?;
        let body = answer
            .body_mut()
            .with_config()
            .limit(MAX_RESPONSE)
            .read_to_vec();
        let body = body.map_err(|e| Failure {
            request_sent: true,
            ..failure(&e, host)
        })?;
        Ok(Response {
            status: answer.status().as_u16(),
            body: self.secrets.redact_bytes(body),
        })
    }
}

impl contract::http::Host for Http {
    fn send(&mut self, request: Request) -> Result<Response, Failure> {
        let Some(left) = self.requests_left.checked_sub(1) else {
            return Err(refused(format!(
                "the driver made more than {MAX_REQUESTS} requests in one operation"
            )));
        };
        self.requests_left = left;
        self.exchange(&request).map_err(|failure| Failure {
            message: self.secrets.redact(&failure.message),
            ..failure
        })
    }
}

fn refused(message: impl Into<String>) -> Failure {
    Failure {
        kind: FailureKind::Refused,
        message: message.into(),
        request_sent: false,
    }
}

/// What went wrong, in the user's words. The URL is left out on purpose: its query holds the API key.
fn failure(error: &ureq::Error, host: &str) -> Failure {
    use FailureKind::{BadResponse, Refused, TimedOut, Tls, Unreachable};
    let (kind, message, request_sent) = match error {
        ureq::Error::HostNotFound => (
            Unreachable,
            format!("the host name {host} cannot be resolved"),
            false,
        ),
        ureq::Error::Other(e) if e.is::<EndpointError>() => (Refused, e.to_string(), false),
        ureq::Error::Timeout(Timeout::Resolve | Timeout::Connect) => (
            TimedOut,
            format!("{host} did not accept a connection in time"),
            false,
        ),
        ureq::Error::Timeout(_) => (TimedOut, format!("{host} did not answer in time"), true),
        ureq::Error::InvalidProxyUrl | ureq::Error::ConnectProxyFailed(_) => (
            Unreachable,
            format!("the proxy for {host} does not work: {error}"),
            false,
        ),
        ureq::Error::ConnectionFailed => (Unreachable, format!("no connection to {host}"), false),
        ureq::Error::Io(e) => match (tls_error(e), e.kind()) {
            (Some(tls), _) => (
                Tls,
                format!("no secure connection to {host}: {tls}"),
                // A certificate is refused before anything is sent over the connection.
                !matches!(tls, rustls::Error::InvalidCertificate(_)),
            ),
            (None, io::ErrorKind::ConnectionRefused) => {
                (Unreachable, format!("{host} refuses connections"), false)
            }
            (None, io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable) => (
                Unreachable,
                format!("there is no way to {host}: {e}"),
                false,
            ),
            (None, _) => (
                Unreachable,
                format!("the connection to {host} broke: {e}"),
                true,
            ),
        },
        ureq::Error::Tls(_) | ureq::Error::Rustls(_) | ureq::Error::Pem(_) => (
            Tls,
            format!("no secure connection to {host}: {error}"),
            true,
        ),
        ureq::Error::BodyExceedsLimit(_) => (
            BadResponse,
            format!("the answer of {host} is larger than {MAX_RESPONSE} bytes"),
            true,
        ),
        _ => (
            BadResponse,
            format!("{host} does not answer in HTTP: {error}"),
            true,
        ),
    };
    Failure {
        kind,
        message,
        request_sent,
    }
}

fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capability::clock::SystemTimeSource;
    use crate::contract::http::{CloudstackCredentials, Host as _};
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};
    use std::thread::JoinHandle;

    fn http(endpoint: &str) -> Http {
        let grant = Grant {
            endpoints: [("endpoint".to_owned(), endpoint.parse().unwrap())].into(),
            commands: ["listZones".to_owned()].into(),
        };
        let secrets = [("key", "APIKEYAPIKEY"), ("secret", "SECRETKEYSECRETKEY")]
            .map(|(name, value)| (name.to_owned(), value.into()));
        Http::new(
            Client::default(),
            Arc::new(grant),
            Arc::new(Secrets::from_iter(secrets)),
            Arc::new(SystemTimeSource::default()),
        )
    }

    fn request(params: &[(&str, &str)]) -> Request {
        Request {
            endpoint: "endpoint".to_owned(),
            method: Method::Get,
            params: params
                .iter()
                .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
                .collect(),
            auth: Auth::Cloudstack(CloudstackCredentials {
                api_key: "key".to_owned(),
                secret_key: "secret".to_owned(),
            }),
            timeout_ms: 5_000,
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
    fn endpoints_are_plain_urls() {
        for good in [
            "https://cloud.bt.com/client/api",
            "http://10.0.0.1:8080/client/api",
        ] {
            assert_eq!(good.parse::<Endpoint>().unwrap().to_string(), good);
        }
        for bad in [
            "",
            "cloud.bt.com",
            "ftp://cloud.bt.com/",
            "https://user@cloud.bt.com/",
            "https://cloud.bt.com/?a=b",
            "https://cloud.bt.com/#a",
            "http://169.254.169.254/latest",
            "http://[::ffff:169.254.169.254]/",
            "http://[fe80::1]/",
            "http://0.0.0.0/",
            "http://0xa9fea9fe/",
        ] {
            bad.parse::<Endpoint>().unwrap_err();
        }
        let error = "https://me:sesame@cloud.bt.com/"
            .parse::<Endpoint>()
            .unwrap_err();
        assert!(!error.to_string().contains("sesame"), "{error}");
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
        slow.timeout_ms = 50;
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
            let length = MAX_RESPONSE + 1;
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
