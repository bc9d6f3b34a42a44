//! Just enough of HTTP/1.1: one request a connection.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

/// The most bytes of a request.
const MAX_REQUEST: usize = 1024 * 1024;

/// A request.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Below `/v1`, in its segments.
    pub(crate) path: Vec<String>,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) authorization: String,
    /// `null` if there is none.
    pub(crate) body: Value,
}

impl Request {
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        let mut query = self.query.iter();
        query.find_map(|(n, value)| (n == name).then_some(value.as_str()))
    }

    /// A text of the body; empty if it is not there.
    pub(crate) fn text(&self, member: &str) -> &str {
        self.body[member].as_str().unwrap_or_default()
    }
}

/// Reads a request; nothing if it is none of the API's.
pub(crate) fn read(stream: &mut TcpStream) -> io::Result<Option<Request>> {
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut bytes = Vec::new();
    let mut chunk = [0; 16 * 1024];
    loop {
        if let Some((length, request)) = parse(&bytes)
            && bytes.len() >= length
        {
            return Ok(request);
        }
        let count = stream.read(&mut chunk)?;
        if count == 0 || bytes.len() > MAX_REQUEST {
            return Err(io::ErrorKind::InvalidData.into());
        }
        bytes.extend(&chunk[..count]);
    }
}

/// How long the request is, and what it is as far as it is there; nothing while its head is not whole.
fn parse(bytes: &[u8]) -> Option<(usize, Option<Request>)> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut head = httparse::Request::new(&mut headers);
    let Ok(httparse::Status::Complete(head_length)) = head.parse(bytes) else {
        return None;
    };
    let header = |name: &str| {
        let mut headers = head.headers.iter();
        let found = headers.find(|header| header.name.eq_ignore_ascii_case(name));
        found.and_then(|header| std::str::from_utf8(header.value).ok())
    };
    let body_length = header("content-length").map_or(0_usize, |text| text.parse().unwrap_or(0));
    let target = head.path.unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let query = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let request = path.strip_prefix("/v1/").map(|path| Request {
        method: head.method.unwrap_or_default().to_owned(),
        path: path.split('/').map(decode).collect(),
        query: query.map(|(n, v)| (decode(n), decode(v))).collect(),
        authorization: header("authorization").unwrap_or_default().to_owned(),
        body: serde_json::from_slice(&bytes[head_length..]).unwrap_or_default(),
    });
    Some((head_length.saturating_add(body_length), request))
}

/// Decodes a part of a URL.
fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = tail.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        let code = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok());
        (rest, bytes) = match (first, code) {
            (b'%', Some(code)) => (&tail[2..], [bytes, vec![code]].concat()),
            (b'+', _) => (tail, [bytes, vec![b' ']].concat()),
            (byte, _) => (tail, [bytes, vec![*byte]].concat()),
        };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// An answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// `null` if it has no body.
    pub(crate) body: Value,
}

impl Answer {
    /// An answer with a JSON object.
    pub(crate) fn new(status: u16, body: Value) -> Self {
        Self { status, body }
    }
}

pub(crate) fn write(stream: &mut TcpStream, answer: &Answer) -> io::Result<()> {
    let body = match &answer.body {
        Value::Null => String::new(),
        body => body.to_string(),
    };
    let length = match answer.status {
        204 => String::new(),
        _ => format!("content-length: {}\r\n", body.len()),
    };
    let head = format!(
        "HTTP/1.1 {} Answer\r\nconnection: close\r\ncontent-type: application/json\r\n{length}\r\n",
        answer.status
    );
    stream.write_all((head + &body).as_bytes())
}
