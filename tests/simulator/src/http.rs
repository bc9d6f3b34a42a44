//! HTTP/1.1, as little of it as the API needs, with the connection kept in hand.
//!
//! It is written on sockets so that a fault can be put at any place: an answer can be withheld, cut or delayed.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// The largest request head (request line and headers) that is read.
const MAX_HEAD: usize = 64 << 10;
/// The largest request body that is read.
pub(crate) const MAX_BODY: usize = 1 << 20;
const MAX_HEADERS: usize = 64;

/// How long a connection may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeouts {
    /// Between requests.
    pub(crate) idle: Duration,
    /// From the first byte of a request to its last.
    pub(crate) request: Duration,
    /// To take in an answer.
    pub(crate) write: Duration,
}

/// A request, read whole.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: Option<String>,
    pub(crate) content_type: Option<String>,
    pub(crate) body: Vec<u8>,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) content_type: String,
    /// CloudStack's header with the text of an error.
    pub(crate) description: Option<String>,
    pub(crate) body: Vec<u8>,
}

impl Response {
    pub(crate) fn html(status: u16, text: &str) -> Self {
        let body = format!(
            "<!DOCTYPE html>\n<html><head><title>{status}</title></head><body><h1>{status} {text}</h1></body></html>\n"
        );
        Self {
            status,
            content_type: "text/html; charset=utf-8".to_owned(),
            description: None,
            body: body.into_bytes(),
        }
    }
}

/// How an answer reaches the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// As it is.
    Whole,
    /// Its head, which promises the whole body, and this many bytes of the body; then the connection is closed.
    Truncated(usize),
    /// Not at all: the connection is closed.
    Nothing,
}

/// What the server wants done for a request.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) response: Response,
    pub(crate) delivery: Delivery,
    /// Whether the connection is for this one request.
    pub(crate) is_last: bool,
}

/// Serves one connection until either side is done with it.
///
/// A client that errs is answered where that is possible; a connection that breaks is nothing to report, since clients
/// may go whenever they like.
pub(crate) fn serve(
    stream: &mut TcpStream,
    timeouts: Timeouts,
    handle: impl Fn(Request) -> Reply,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(timeouts.write))?;
    let mut buffer = Vec::new();
    loop {
        let (request, keep_alive) = match read_request(stream, &mut buffer, timeouts)? {
            Incoming::Request(request, keep_alive) => (request, keep_alive),
            Incoming::Refused(response) => {
                return write_response(stream, &response, Delivery::Whole, false);
            }
            Incoming::End => return Ok(()),
        };
        let reply = handle(request);
        if reply.delivery == Delivery::Nothing {
            return Ok(());
        }
        let keep_alive = keep_alive && reply.delivery == Delivery::Whole && !reply.is_last;
        write_response(stream, &reply.response, reply.delivery, keep_alive)?;
        if !keep_alive {
            return Ok(());
        }
    }
}

enum Incoming {
    Request(Request, bool),
    Refused(Response),
    End,
}

/// What the head of a request says about the rest of it.
struct Head {
    request: Request,
    length: usize,
    content: usize,
    keep_alive: bool,
    expects_continue: bool,
}

fn read_request(
    stream: &mut TcpStream,
    buffer: &mut Vec<u8>,
    timeouts: Timeouts,
) -> io::Result<Incoming> {
    let mut deadline = if buffer.is_empty() {
        None
    } else {
        Some(Instant::now() + timeouts.request)
    };
    let head = loop {
        match parse_head(buffer) {
            Ok(Some(head)) => break head,
            Ok(None) if buffer.len() > MAX_HEAD => {
                return Ok(Incoming::Refused(Response::html(
                    431,
                    "Request Header Fields Too Large",
                )));
            }
            Ok(None) => {}
            Err(response) => return Ok(Incoming::Refused(response)),
        }
        match fill(stream, buffer, deadline, timeouts)? {
            Filled::More => deadline = deadline.or_else(|| Some(Instant::now() + timeouts.request)),
            Filled::End => return Ok(Incoming::End),
            Filled::TooSlow if buffer.is_empty() => return Ok(Incoming::End),
            Filled::TooSlow => {
                return Ok(Incoming::Refused(Response::html(408, "Request Timeout")));
            }
        }
    };
    if head.expects_continue && buffer.len() < head.length + head.content {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    while buffer.len() < head.length + head.content {
        match fill(stream, buffer, deadline, timeouts)? {
            Filled::More => {}
            Filled::End => return Ok(Incoming::End),
            Filled::TooSlow => {
                return Ok(Incoming::Refused(Response::html(408, "Request Timeout")));
            }
        }
    }
    let mut taken: Vec<u8> = buffer.drain(..head.length + head.content).collect();
    let body = taken.split_off(head.length);
    Ok(Incoming::Request(
        Request {
            body,
            ..head.request
        },
        head.keep_alive,
    ))
}

enum Filled {
    More,
    End,
    TooSlow,
}

fn fill(
    stream: &mut TcpStream,
    buffer: &mut Vec<u8>,
    deadline: Option<Instant>,
    timeouts: Timeouts,
) -> io::Result<Filled> {
    let patience = match deadline {
        Some(deadline) => deadline.saturating_duration_since(Instant::now()),
        None => timeouts.idle,
    };
    if patience.is_zero() {
        return Ok(Filled::TooSlow);
    }
    stream.set_read_timeout(Some(patience))?;
    let mut chunk = [0; 16 << 10];
    match stream.read(&mut chunk) {
        Ok(0) => Ok(Filled::End),
        Ok(count) => {
            buffer.extend_from_slice(chunk.get(..count).unwrap_or_default());
            Ok(Filled::More)
        }
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            Ok(Filled::TooSlow)
        }
        Err(error) if error.kind() == ErrorKind::Interrupted => Ok(Filled::More),
        Err(error) => Err(error),
    }
}

/// Reads the head of a request: nothing while it is incomplete, an answer if it is unacceptable.
fn parse_head(buffer: &[u8]) -> Result<Option<Head>, Response> {
    let bad = |text| Response::html(400, text);
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut parsed = httparse::Request::new(&mut headers);
    let length = match parsed.parse(buffer) {
        Ok(httparse::Status::Complete(length)) if length <= MAX_HEAD => length,
        Ok(httparse::Status::Complete(_)) | Err(httparse::Error::TooManyHeaders) => {
            return Err(Response::html(431, "Request Header Fields Too Large"));
        }
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(bad("Bad Request")),
    };

    let mut keep_alive = parsed.version == Some(1);
    let mut content = None;
    let mut content_type = None;
    let mut expects_continue = false;
    for header in parsed.headers.iter() {
        let value = std::str::from_utf8(header.value)
            .map_err(|_| bad("Bad Request"))?
            .trim();
        match header.name.to_ascii_lowercase().as_str() {
            "content-length" => {
                // `usize::from_str` takes a leading plus, HTTP does not.
                let number =
                    Some(value).filter(|value| value.bytes().all(|byte| byte.is_ascii_digit()));
                let number: usize = number
                    .and_then(|value| value.parse().ok())
                    .ok_or_else(|| bad("Bad Request"))?;
                if content.is_some_and(|earlier| earlier != number) {
                    return Err(bad("Bad Request"));
                }
                content = Some(number);
            }
            "transfer-encoding" => return Err(Response::html(411, "Length Required")),
            "content-type" => content_type = Some(value.to_owned()),
            "connection" => {
                for option in value.split(',').map(str::trim) {
                    if option.eq_ignore_ascii_case("close") {
                        keep_alive = false;
                    } else if option.eq_ignore_ascii_case("keep-alive") {
                        keep_alive = true;
                    }
                }
            }
            "expect" => expects_continue = value.eq_ignore_ascii_case("100-continue"),
            _ => {}
        }
    }
    let content = content.unwrap_or(0);
    if content > MAX_BODY {
        return Err(Response::html(413, "Content Too Large"));
    }
    let target = parsed.path.unwrap_or_default();
    // A client behind a proxy sends the whole address.
    let target = match target.split_once("://") {
        Some((scheme, rest)) if !scheme.contains(['/', '?']) => rest
            .find('/')
            .and_then(|slash| rest.get(slash..))
            .unwrap_or("/"),
        _ => target,
    };
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query.to_owned())),
        None => (target, None),
    };
    let request = Request {
        method: parsed.method.unwrap_or_default().to_owned(),
        path: path.to_owned(),
        query,
        content_type,
        body: Vec::new(),
    };
    Ok(Some(Head {
        request,
        length,
        content,
        keep_alive,
        expects_continue,
    }))
}

fn write_response(
    stream: &mut TcpStream,
    response: &Response,
    delivery: Delivery,
    keep_alive: bool,
) -> io::Result<()> {
    let body = match delivery {
        Delivery::Whole => response.body.as_slice(),
        Delivery::Truncated(count) => response.body.get(..count).unwrap_or(&response.body),
        Delivery::Nothing => return Ok(()),
    };
    let mut message = format!(
        "HTTP/1.1 {} {}\r\n",
        response.status,
        reason(response.status)
    );
    message.push_str(&format!(
        "Content-Type: {}\r\n",
        header_value(&response.content_type)
    ));
    message.push_str(&format!("Content-Length: {}\r\n", response.body.len()));
    if let Some(description) = &response.description {
        message.push_str(&format!("X-Description: {}\r\n", header_value(description)));
    }
    message.push_str(if keep_alive {
        "Connection: keep-alive\r\n\r\n"
    } else {
        "Connection: close\r\n\r\n"
    });
    let mut message = message.into_bytes();
    message.extend_from_slice(body);
    stream.write_all(&message)?;
    stream.flush()
}

/// A text that cannot break out of a header: what a client sent may be in it.
fn header_value(text: &str) -> String {
    text.chars()
        .map(|character| {
            if matches!(character, ' '..='~') {
                character
            } else {
                '?'
            }
        })
        .collect()
}

/// The words for a status; CloudStack's own statuses have none.
fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        411 => "Length Required",
        413 => "Content Too Large",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status_of(head: &[u8]) -> Option<u16> {
        parse_head(head).err().map(|response| response.status)
    }

    #[test]
    fn a_head_is_read_once_it_is_complete() {
        assert!(
            parse_head(b"GET /client/api?a=b HTTP/1.1\r\nHost: x\r\n")
                .unwrap()
                .is_none()
        );
        let head = parse_head(b"GET /client/api?a=b HTTP/1.1\r\nHost: x\r\n\r\n")
            .unwrap()
            .unwrap();
        assert_eq!(
            (head.request.path.as_str(), head.request.query.as_deref()),
            ("/client/api", Some("a=b"))
        );
        assert!(head.keep_alive);
    }

    #[test]
    fn connections_close_when_the_client_says_so_or_speaks_http_1_0() {
        let closing = b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n";
        assert!(!parse_head(closing).unwrap().unwrap().keep_alive);
        assert!(
            !parse_head(b"GET / HTTP/1.0\r\n\r\n")
                .unwrap()
                .unwrap()
                .keep_alive
        );
    }

    #[test]
    fn bad_heads_are_refused() {
        assert_eq!(status_of(b"\x00\xff\r\n\r\n"), Some(400));
        assert_eq!(
            status_of(b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n"),
            Some(400)
        );
        assert_eq!(
            status_of(b"POST / HTTP/1.1\r\nContent-Length: +1\r\n\r\n"),
            Some(400)
        );
        assert_eq!(
            status_of(b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"),
            Some(400)
        );
        assert_eq!(
            status_of(b"POST / HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n"),
            Some(413)
        );
        assert_eq!(
            status_of(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"),
            Some(411)
        );
    }

    #[test]
    fn the_whole_address_as_target_is_understood() {
        let head = parse_head(b"GET http://host:1/client/api?x=http://y HTTP/1.1\r\n\r\n")
            .unwrap()
            .unwrap();
        assert_eq!(head.request.path, "/client/api");
        let head = parse_head(b"GET /client/api?x=http://y HTTP/1.1\r\n\r\n")
            .unwrap()
            .unwrap();
        assert_eq!(head.request.path, "/client/api");
    }

    #[test]
    fn header_values_hold_no_line_ends() {
        assert_eq!(header_value("a\r\nSet-Cookie: é"), "a??Set-Cookie: ?");
    }
}
