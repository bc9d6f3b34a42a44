//! The cloud that the driver under test is given: an HTTP server on this machine that misbehaves as it is told, or hands
//! requests on to a real cloud, and writes down what it is asked.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::net::{AddressFamily, SocketType};
use ureq::Agent;
use url::Url;

use super::journal::{Event, Journal};
use crate::capability::http::MAX_TIMEOUT;

/// The most bytes of a request: the host sends at most 64 KiB, which encoding makes three times as long.
const MAX_REQUEST: u64 = 512 * 1024;

/// The most bytes of a real cloud's answer.
const MAX_ANSWER: u64 = 64 * 1024 * 1024;

/// How long the two sides wait for each other's bytes.
const PATIENCE: Duration = Duration::from_secs(10);

/// The headers that are handed on to a real cloud.
const HANDED_ON: [&str; 3] = ["accept", "authorization", "content-type"];

/// What goes wrong with a cloud.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Refuses,
    Denies,
    Fails,
    Garbles,
    HangsUp,
}

impl Fault {
    pub(super) const ALL: [Self; 5] = [
        Self::Refuses,
        Self::Denies,
        Self::Fails,
        Self::Garbles,
        Self::HangsUp,
    ];

    /// What the cloud does, for the one who reads the report.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Refuses => "a cloud that refuses connections",
            Self::Denies => "a cloud that answers 401",
            Self::Fails => "a cloud that answers 500 with a page of HTML",
            Self::Garbles => "a cloud that answers with broken JSON",
            Self::HangsUp => "a cloud that hangs up",
        }
    }

    fn answer(self) -> Option<Answer> {
        let (status, content_type, body) = match self {
            Self::Refuses | Self::HangsUp => return None,
            Self::Denies => (
                401,
                "application/json",
                r#"{"error":{"code":"unauthorized","message":"unable to authenticate"}}"#,
            ),
            Self::Fails => (
                500,
                "text/html",
                "<!doctype html><html><head><title>500</title></head><body>\u{1b}[31mOops</body></html>",
            ),
            Self::Garbles => (200, "application/json", r#"{"items": [{"id": 1, "na"#),
        };
        Some(Answer {
            status,
            content_type: content_type.to_owned(),
            retry_after: None,
            body: body.as_bytes().to_vec(),
        })
    }
}

/// What a cloud does with a request.
#[derive(Clone, Debug)]
pub(super) enum Behaviour {
    /// Something goes wrong.
    Is(Fault),
    /// Another one answers.
    HandsOn {
        /// Its scheme, host and port.
        to: Url,
        /// How many further requests that change something get their answers; that of the next one is lost. None is if
        /// this is nothing.
        loses_after: Option<usize>,
    },
}

struct Answer {
    status: u16,
    content_type: String,
    retry_after: Option<String>,
    body: Vec<u8>,
}

/// The cloud itself.
pub(super) struct Cloud {
    address: SocketAddr,
    behaviour: Arc<Mutex<Behaviour>>,
    closing: Arc<AtomicBool>,
    server: Option<JoinHandle<()>>,
    /// An address that is taken, and where nobody listens.
    refusing: SocketAddr,
    _refusing: OwnedFd,
}

impl Cloud {
    /// A cloud that writes its requests into `journal`.
    pub(super) fn start(journal: Journal) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let behaviour = Arc::new(Mutex::new(Behaviour::Is(Fault::HangsUp)));
        let closing = Arc::new(AtomicBool::new(false));
        let server = {
            let (behaviour, closing) = (Arc::clone(&behaviour), Arc::clone(&closing));
            let agent = agent();
            std::thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    if closing.load(Ordering::Acquire) {
                        break;
                    }
                    // A driver's requests come one after the other; one that breaks off is the client's affair.
                    drop(serve(stream, &agent, &behaviour, &journal));
                }
            })
        };
        let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None)?;
        rustix::net::bind(&socket, &SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        let refusing = SocketAddr::try_from(rustix::net::getsockname(&socket)?)?;
        Ok(Self {
            address,
            behaviour,
            closing,
            server: Some(server),
            refusing,
            _refusing: socket,
        })
    }

    /// Has it behave like that from now on, and tells where it is.
    pub(super) fn behave(&self, behaviour: Behaviour) -> SocketAddr {
        let address = match behaviour {
            Behaviour::Is(Fault::Refuses) => self.refusing,
            _ => self.address,
        };
        *self
            .behaviour
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = behaviour;
        address
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        self.closing.store(true, Ordering::Release);
        drop(TcpStream::connect(self.address));
        if let Some(server) = self.server.take() {
            drop(server.join());
        }
    }
}

/// Connections to a real cloud, which hand its answers on as they are.
fn agent() -> Agent {
    Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .max_idle_connections(0)
        .timeout_global(Some(MAX_TIMEOUT))
        .build()
        .into()
}

fn serve(
    mut stream: TcpStream,
    agent: &Agent,
    behaviour: &Mutex<Behaviour>,
    journal: &Journal,
) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let request = Request::read(&mut stream)?;
    let changes = request.method != "GET";
    journal.write(Event::Called { changes });
    let (answer, is_lost) = {
        let mut behaviour = behaviour.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *behaviour {
            Behaviour::Is(fault) => (fault.answer(), false),
            Behaviour::HandsOn { to, loses_after } => {
                let is_lost = changes && *loses_after == Some(0);
                if changes {
                    *loses_after = loses_after.and_then(|left| left.checked_sub(1));
                }
                (Some(request.hand_on(agent, to)), is_lost)
            }
        }
    };
    let Some(answer) = answer.filter(|_| !is_lost) else {
        return Ok(());
    };
    write!(
        stream,
        "HTTP/1.1 {} Answer\r\nconnection: close\r\ncontent-type: {}\r\n",
        answer.status, answer.content_type
    )?;
    if let Some(seconds) = &answer.retry_after {
        write!(stream, "retry-after: {seconds}\r\n")?;
    }
    if answer.status != 204 {
        write!(stream, "content-length: {}\r\n", answer.body.len())?;
    }
    stream.write_all(b"\r\n")?;
    stream.write_all(&answer.body)
}

/// A request, as it came over the connection.
struct Request {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Request {
    fn read(stream: &mut TcpStream) -> io::Result<Self> {
        let malformed = || io::Error::from(io::ErrorKind::InvalidData);
        let mut stream = io::BufReader::new(stream.take(MAX_REQUEST));
        let mut line = || {
            let mut line = String::new();
            io::BufRead::read_line(&mut stream, &mut line)?;
            Ok::<_, io::Error>(line.trim_end().to_owned())
        };
        let first = line()?;
        let mut words = first.split(' ');
        let (Some(method), Some(target)) = (words.next(), words.next()) else {
            return Err(malformed());
        };
        let mut headers = Vec::new();
        loop {
            let header = line()?;
            if header.is_empty() {
                break;
            }
            let (name, value) = header.split_once(':').ok_or_else(malformed)?;
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let length = headers.iter().find(|(name, _)| name == "content-length");
        let length = length.map_or(Ok(0), |(_, value)| value.parse());
        let length: u64 = length.map_err(|_| malformed())?;
        let mut body = Vec::new();
        stream.take(length).read_to_end(&mut body)?;
        Ok(Self {
            method: method.to_owned(),
            target: target.to_owned(),
            headers,
            body,
        })
    }

    /// The answer of a real cloud, or one that tells that there is none.
    fn hand_on(&self, agent: &Agent, to: &Url) -> Answer {
        self.exchange(agent, to).unwrap_or_else(|error| Answer {
            status: 502,
            content_type: "text/plain".to_owned(),
            retry_after: None,
            body: format!("{to} does not answer: {error}").into_bytes(),
        })
    }

    fn exchange(&self, agent: &Agent, to: &Url) -> Result<Answer, ureq::Error> {
        let uri = format!("{}{}", to.as_str().trim_end_matches('/'), self.target);
        let mut request = ureq::http::Request::builder()
            .method(self.method.as_str())
            .uri(uri);
        for (name, value) in &self.headers {
            if HANDED_ON.contains(&name.as_str()) {
                request = request.header(name, value);
            }
        }
        let mut answer = match self.method.as_str() {
            "GET" | "DELETE" => agent.run(request.body(())?)?,
            // Without a body it would be sent in chunks.
            _ => agent.run(request.body(self.body.as_slice())?)?,
        };
        let header = |name: &str| {
            let value = answer.headers().get(name)?;
            value.to_str().ok().map(str::to_owned)
        };
        Ok(Answer {
            status: answer.status().as_u16(),
            content_type: header("content-type").unwrap_or_default(),
            retry_after: header("retry-after"),
            body: answer
                .body_mut()
                .with_config()
                .limit(MAX_ANSWER)
                .read_to_vec()?,
        })
    }
}
