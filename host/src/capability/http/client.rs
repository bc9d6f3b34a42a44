//! The connections: how they are made, bounded and verified, and what their failures mean.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use ureq::http::Uri;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use ureq::{Agent, Timeout};

use super::MAX_TIMEOUT;
use super::endpoint::{Endpoint, EndpointError, is_forbidden};
use super::pace::Pace;
use crate::contract::http::{Failure, FailureKind, Response};

/// The most connections to one server that are kept between requests, for as many operations at once.
const MAX_IDLE: usize = 32;

/// The longest time until a connection is there, its TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// The part of an exchange's time in which a connection must be there. An unreachable server is told from one that does not
/// answer by which of the two times is up.
const CONNECT_PART: f64 = 0.9;

/// The connections, shared by all operations of a process. Clones share them, and the pace at which servers are called.
#[derive(Clone, Debug)]
pub struct Client {
    pool: Pool,
    /// Those of all kinds of trust that operations have asked for.
    pools: Arc<Mutex<Vec<Pool>>>,
    pace: Pace,
    /// The longest time for one exchange.
    limit: Duration,
}

/// Connections that are verified in one way.
#[derive(Clone, Debug)]
struct Pool {
    /// By what certificates are verified.
    trust: Trust,
    /// Keeps connections between requests.
    reading: Agent,
    /// Connects anew for each request: one that is lost on a connection which the server had just closed could not be
    /// told from one that the server acted on.
    changing: Agent,
}

impl Client {
    /// Connections that are verified in that way.
    pub fn new(trust: Trust) -> Self {
        Self::resolving(trust, DefaultResolver::default)
    }

    fn resolving<R: Resolver>(trust: Trust, resolver: impl Fn() -> R) -> Self {
        let pool = Pool::new(trust, resolver);
        Self {
            pools: Arc::new(Mutex::new(vec![pool.clone()])),
            pool,
            pace: Pace::default(),
            limit: MAX_TIMEOUT,
        }
    }

    /// The same with another limit for each exchange than [`MAX_TIMEOUT`].
    pub fn with_limit(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }

    /// The same with certificates verified in that way. Whoever asks for the same trust gets the same connections.
    pub fn trusting(&self, trust: &Trust) -> Self {
        let mut client = self.clone();
        if self.pool.trust != *trust {
            let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
            let known = pools.iter().find(|pool| pool.trust == *trust);
            client.pool = known.cloned().unwrap_or_else(|| {
                let pool = Pool::new(trust.clone(), DefaultResolver::default);
                pools.push(pool.clone());
                pool
            });
        }
        client
    }

    /// How often servers are called.
    pub(super) fn pace(&self) -> &Pace {
        &self.pace
    }

    /// Asks an endpoint for anything, unsigned, and tells which time the answer bears, if it does (RFC 9110, `Date`). Whatever
    /// is answered, somebody is there.
    ///
    /// # Errors
    ///
    /// Why nobody answers in HTTP.
    pub fn probe(
        &self,
        endpoint: &Endpoint,
        timeout: Duration,
    ) -> Result<Option<SystemTime>, Failure> {
        let url = endpoint.url().as_str();
        let host = endpoint.host();
        let timeout = timeout.min(self.limit);
        // A connection that is kept may be to another server than a new one.
        let request = self.pool.changing.get(url).config();
        let request = request.timeout_connect(Some(connect_timeout(timeout)));
        let answer = request.timeout_global(Some(timeout)).build().call();
        let uri = url.parse().unwrap_or_default();
        let answer = answer.map_err(|e| through_proxy(failure(&e, host), &uri))?;
        let date = answer.headers().get(ureq::http::header::DATE);
        let date = date.and_then(|date| jiff::fmt::rfc2822::parse(date.to_str().ok()?).ok());
        Ok(date.map(|date| date.timestamp().into()))
    }

    /// Sends a request to `host` and reads the answer.
    pub(super) fn exchange(
        &self,
        host: &str,
        request: ureq::http::Request<Vec<u8>>,
        timeout: Duration,
        max_size: u64,
    ) -> Result<Response, Failure> {
        let agent = match *request.method() {
            ureq::http::Method::GET => &self.pool.reading,
            _ => &self.pool.changing,
        };
        let timeout = timeout.min(self.limit);
        let uri = request.uri().clone();
        let answer = match *request.method() {
            ureq::http::Method::GET | ureq::http::Method::DELETE => {
                let request = agent.configure_request(request.map(drop));
                let request = request.timeout_connect(Some(connect_timeout(timeout)));
                agent.run(request.timeout_global(Some(timeout)).build())
            }
            // An empty body has a length; none at all would be sent in chunks, which not every server reads.
            _ => {
                let request = agent.configure_request(request);
                let request = request.timeout_connect(Some(connect_timeout(timeout)));
                agent.run(request.timeout_global(Some(timeout)).build())
            }
        };
        let mut answer = answer.map_err(|e| through_proxy(failure(&e, host), &uri))?;
        let retry_after = answer.headers().get(ureq::http::header::RETRY_AFTER);
        let retry_after = retry_after.and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let body = answer
            .body_mut()
            .with_config()
            .limit(max_size)
            .read_to_vec();
        let body = body.map_err(|e| Failure {
            request_sent: true,
            ..failure(&e, host)
        })?;
        Ok(Response {
            status: answer.status().as_u16(),
            retry_after,
            body,
        })
    }
}

impl Pool {
    fn new<R: Resolver>(trust: Trust, resolver: impl Fn() -> R) -> Self {
        let agent = |idle_connections| {
            let config = Agent::config_builder()
                .http_status_as_error(false)
                .max_redirects(0)
                .max_redirects_will_error(false)
                .proxy(ureq::Proxy::try_from_env())
                .max_idle_connections(idle_connections)
                .max_idle_connections_per_host(idle_connections)
                .user_agent(concat!("btcloud-host/", env!("CARGO_PKG_VERSION")))
                .tls_config(trust.config())
                .build();
            let resolver = GuardedResolver(resolver());
            Agent::with_parts(config, DefaultConnector::new(), resolver)
        };
        Self {
            reading: agent(MAX_IDLE),
            changing: agent(0),
            trust,
        }
    }
}

impl Default for Client {
    fn default() -> Self {
        Self::new(Trust::System)
    }
}

/// How long a connection may take in an exchange of that time.
fn connect_timeout(exchange: Duration) -> Duration {
    CONNECT_TIMEOUT.min(exchange.mul_f64(CONNECT_PART))
}

/// Names the proxy, if there is one: what cannot be reached may be that.
fn through_proxy(failure: Failure, uri: &Uri) -> Failure {
    let is_about_connection = matches!(
        failure.kind,
        FailureKind::Unreachable | FailureKind::TimedOut | FailureKind::Tls
    );
    match ureq::Proxy::try_from_env().filter(|proxy| is_about_connection && !proxy.is_no_proxy(uri))
    {
        Some(proxy) => Failure {
            message: format!(
                "{} (through the proxy {}, which the environment names)",
                failure.message,
                address_of(&proxy)
            ),
            ..failure
        },
        None => failure,
    }
}

/// A proxy's host and port, without the credentials that may be in what names it.
fn address_of(proxy: &ureq::Proxy) -> String {
    format!("{}:{}", proxy.host(), proxy.port())
}

/// The proxy that requests go through, if the environment names one (`HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`): its host
/// and port.
pub fn proxy() -> Option<String> {
    Some(address_of(&ureq::Proxy::try_from_env()?))
}

/// By what the certificates of endpoints are verified.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Trust {
    /// By the system's authorities.
    #[default]
    System,
    /// By these authorities alone, in DER.
    Only(Vec<Vec<u8>>),
    /// By nothing.
    Anybody,
}

impl Trust {
    /// Trust in the certificates of a text in PEM; nothing if it has none, or one that is not valid.
    pub fn in_pem(pem: &str) -> Option<Self> {
        let mut authorities = Vec::new();
        for item in ureq::tls::parse_pem(pem.as_bytes()) {
            if let ureq::tls::PemItem::Certificate(certificate) = item.ok()? {
                let der = certificate.der().to_vec();
                rustls::RootCertStore::empty()
                    .add(der.clone().into())
                    .ok()?;
                authorities.push(der);
            }
        }
        (!authorities.is_empty()).then_some(Self::Only(authorities))
    }

    fn config(&self) -> TlsConfig {
        let config = TlsConfig::builder();
        let config = match self {
            Self::System => config.root_certs(RootCerts::PlatformVerifier),
            Self::Only(authorities) => {
                let certificates: Vec<_> = authorities
                    .iter()
                    .map(|der| Certificate::from_der(der).to_owned())
                    .collect();
                config.root_certs(RootCerts::new_with_certs(&certificates))
            }
            Self::Anybody => config.disable_verification(true),
        };
        config.build()
    }
}

/// Resolves names as another resolver does, and refuses forbidden addresses. The connection is made to just those returned:
/// nothing asks again between the check and the connection.
#[derive(Debug)]
struct GuardedResolver<R>(R);

impl<R: Resolver> Resolver for GuardedResolver<R> {
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
            (None, io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable) => {
                (Unreachable, format!("no route to {host}: {e}"), false)
            }
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
        ureq::Error::BodyExceedsLimit(limit) => (
            BadResponse,
            format!("the answer of {host} is larger than {limit} bytes"),
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
    use std::io::{Read as _, Write as _};
    use std::net::{SocketAddr, TcpListener, TcpStream};
    use std::sync::{Arc, Mutex};

    /// Gives one answer after the other to whatever it is asked.
    #[derive(Clone, Debug)]
    struct Answers(Arc<Mutex<Vec<Vec<SocketAddr>>>>);

    impl Resolver for Answers {
        fn resolve(
            &self,
            _: &Uri,
            _: &ureq::config::Config,
            _: NextTimeout,
        ) -> Result<ResolvedSocketAddrs, ureq::Error> {
            let mut answer = self.empty();
            for address in self.0.lock().unwrap().remove(0) {
                answer.push(address);
            }
            Ok(answer)
        }
    }

    fn client(answers: &[&[SocketAddr]]) -> Client {
        let answers = answers.iter().map(|answer| answer.to_vec()).collect();
        let answers = Answers(Arc::new(Mutex::new(answers)));
        Client::resolving(Trust::System, || answers.clone())
    }

    /// Asks for a page of a host that no name server knows.
    fn get(client: &Client, port: u16) -> Result<Response, Failure> {
        let request = ureq::http::Request::builder()
            .uri(format!("http://cloud.invalid:{port}/"))
            .header("connection", "close")
            .body(Vec::new());
        client.exchange("cloud.invalid", request.unwrap(), MAX_TIMEOUT, 100)
    }

    #[test]
    fn what_accepts_no_connection_is_told_as_such_however_short_the_time() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        rustix::net::listen(&listener, 0).unwrap();
        // Until no more are taken.
        let patience = Duration::from_millis(200);
        let taken = std::iter::from_fn(|| TcpStream::connect_timeout(&address, patience).ok());
        let _taken: Vec<_> = taken.take(100).collect();
        let client = client(&[&[address]]).with_limit(Duration::from_millis(500));
        let failure = get(&client, address.port()).unwrap_err();
        assert_eq!(
            (failure.kind, failure.request_sent),
            (FailureKind::TimedOut, false),
            "{}",
            failure.message
        );
    }

    #[test]
    fn a_post_without_a_body_tells_that_it_is_empty() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                head.extend(byte);
            }
            let answer = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok";
            stream.write_all(answer).unwrap();
            String::from_utf8(head).unwrap().to_ascii_lowercase()
        });
        let request = ureq::http::Request::builder()
            .method("POST")
            .uri(format!("http://cloud.invalid:{}/", address.port()))
            .body(Vec::new());
        let client = client(&[&[address]]);
        let answer = client.exchange("cloud.invalid", request.unwrap(), MAX_TIMEOUT, 100);
        assert_eq!(answer.unwrap().body, b"ok");
        let head = server.join().unwrap();
        assert!(head.contains("\r\ncontent-length: 0\r\n"), "{head}");
        assert!(!head.contains("transfer-encoding"), "{head}");
    }

    fn at(ip: &str, port: u16) -> SocketAddr {
        SocketAddr::new(ip.parse().unwrap(), port)
    }

    #[test]
    fn one_forbidden_address_spoils_the_answer_wherever_it_stands() {
        let metadata = at("169.254.169.254", 80);
        let good = at("127.0.0.1", 9);
        for answer in [
            &[metadata][..],
            &[metadata, good],
            &[good, metadata],
            &[good, good, metadata, good],
            &[good, at("::ffff:169.254.169.254", 80)],
        ] {
            let failure = get(&client(&[answer]), 9).unwrap_err();
            assert_eq!(
                failure.kind,
                FailureKind::Refused,
                "{answer:?}: {failure:?}"
            );
            assert!(!failure.request_sent);
        }
    }

    #[test]
    fn an_answer_that_changes_is_checked_again_and_never_asked_for_twice() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let read = stream.read(&mut [0; 4096]).unwrap();
            assert!(read > 0);
            let answer = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok";
            stream.write_all(answer).unwrap();
        });
        // Were the name asked for between check and connection, the second answer would be used for the first request.
        let client = client(&[&[address], &[at("169.254.169.254", 80)]]);
        assert_eq!(get(&client, address.port()).unwrap().body, b"ok");
        server.join().unwrap();
        let failure = get(&client, address.port()).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Refused, "{failure:?}");
    }
}
