//! Go's `net/rpc` over HTTP, with gob.
//!
//! A client sends `CONNECT /_goRPC_ HTTP/1.0`, and is told that it is connected. Then it sends calls, each a [`REQUEST`] and
//! an argument, and gets answers, each a [`RESPONSE`] and a reply, in any order: the number of the call tells which it
//! is to. An error is a text, with an empty structure for the reply.

mod client;
mod server;

use std::io::{self, BufRead, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::gob::{Limits, Type, Value};

pub use client::{Answer, Client, ClientError};
pub use server::{CallError, Ended, Error, Refusal, Reply, Server, Service};

/// `struct{}`, the argument or the answer of many methods.
pub static EMPTY: Type = Type::Struct("", &[]);

/// The header of a call.
pub static REQUEST: Type = Type::Struct(
    "Request",
    &[("ServiceMethod", &Type::String), ("Seq", &Type::Uint)],
);

/// The header of an answer.
pub static RESPONSE: Type = Type::Struct(
    "Response",
    &[
        ("ServiceMethod", &Type::String),
        ("Seq", &Type::Uint),
        ("Error", &Type::String),
    ],
);

/// The most bytes of a greeting, or of the answer to it.
const MAX_GREETING: usize = 4 * 1024;

/// What a peer may make the other side do, and how long it is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// What one value may be like. The arguments of all calls of a connection that are under way may take as much memory
    /// together as one may.
    pub limits: Limits,
    /// Connections at once; further ones are closed. By default 16.
    pub connections: usize,
    /// Calls of a connection at once; further ones are answered with an error. By default 32.
    pub calls: usize,
    /// How long a peer may take for its greeting in all, or for the answer to it. By default 10 s.
    pub greeting: Duration,
    /// How long a peer may take from one call to the end of the next; and a server that was called, for its answer. By
    /// default 30 s.
    pub request: Duration,
    /// How long a peer may take to read what it is sent. By default 10 s.
    pub answer: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            connections: 16,
            calls: 32,
            greeting: Duration::from_secs(10),
            request: Duration::from_secs(30),
            answer: Duration::from_secs(10),
        }
    }
}

/// A connection of whose peer everything is expected in time. A peer that sends a byte now and then gains nothing.
#[derive(Debug)]
struct Timed {
    stream: TcpStream,
    deadline: Instant,
}

impl Timed {
    fn new(stream: TcpStream, time: Duration) -> Self {
        let mut timed = Self {
            stream,
            deadline: Instant::now(),
        };
        timed.within(time);
        timed
    }

    /// Gives the peer that time from now on.
    fn within(&mut self, time: Duration) {
        let now = Instant::now();
        self.deadline = now.checked_add(time).unwrap_or(now);
    }

    /// What is left of the time.
    fn left(&self) -> io::Result<Duration> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            Err(too_late())
        } else {
            Ok(left)
        }
    }
}

impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(self.left()?))?;
        self.stream.read(buffer).map_err(in_time)
    }
}

impl Write for Timed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(self.left()?))?;
        self.stream.write(bytes).map_err(in_time)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// Unix calls a timeout something else.
fn in_time(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => too_late(),
        _ => error,
    }
}

fn too_late() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the peer takes too long")
}

/// The number of a call in the header of it or of its answer; nothing if that is no header.
fn sequence(header: &Value) -> Option<u64> {
    match (header, header.field("Seq")) {
        (Value::Struct(_), None) => Some(0),
        (_, Some(Value::Uint(sequence))) => Some(*sequence),
        _ => None,
    }
}

/// The head of an HTTP message, up to the empty line that ends it, or as much as there may be of it.
fn read_head(reader: impl BufRead) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    for byte in reader.bytes().take(MAX_GREETING) {
        head.push(byte?);
        if head.ends_with(b"\n\n") || head.ends_with(b"\r\n\r\n") {
            break;
        }
    }
    Ok(head)
}
