//! The server's side of Go's `net/rpc` over HTTP, with gob.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::gob::{self, Decoder, Encoder, Limits, Registry, Type, Value};

/// How long a peer may take to say that it wants to speak RPC.
const GREETING_TIMEOUT: Duration = Duration::from_secs(10);

/// The most bytes of that greeting.
const MAX_GREETING: usize = 4 * 1024;

/// The most calls of a connection that are under way at once.
const MAX_CALLS: usize = 64;

/// `struct{}`, the argument or the answer of many methods.
pub static EMPTY: Type = Type::Struct("", &[]);

/// The header of a call.
pub static REQUEST: Type = Type::Struct(
    "Request",
    &[("ServiceMethod", Type::String), ("Seq", Type::Uint)],
);

/// The header of an answer.
pub static RESPONSE: Type = Type::Struct(
    "Response",
    &[
        ("ServiceMethod", Type::String),
        ("Seq", Type::Uint),
        ("Error", Type::String),
    ],
);

/// What a service answers.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// The type that the client expects.
    pub reply_type: &'static Type,
    /// The value.
    pub value: Value,
}

impl Reply {
    /// Of a method that answers nothing.
    pub fn empty() -> Self {
        Self {
            reply_type: &EMPTY,
            value: Value::Struct(Vec::new()),
        }
    }
}

/// Why a call has no reply. The client gets the text and nothing else.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The method's name has no service in it.
    #[error("rpc: service/method request ill-formed: {0}")]
    IllFormed(String),
    /// There is no such service.
    #[error("rpc: can't find service {0}")]
    NoService(String),
    /// The service has no such method.
    #[error("rpc: can't find method {0}")]
    NoMethod(String),
    /// The method failed.
    #[error("{0}")]
    Failed(String),
}

/// The methods that clients can call. Calls come at once and from several threads.
pub trait Service: Send + Sync + 'static {
    /// Whether it goes by that name.
    fn is_called(&self, service: &str) -> bool;

    /// Calls a method; nothing if there is none of that name.
    fn call(&self, method: &str, argument: Value) -> Option<Result<Reply, String>>;
}

/// How a conversation ended.
#[derive(Debug)]
pub struct Ended {
    /// How many calls were made.
    pub calls: usize,
    /// Why it ended, if not because the peer hung up between two calls.
    pub error: Option<Error>,
}

/// Why a conversation ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The peer did not greet as an RPC client does.
    #[error("the peer is no RPC client")]
    Greeting,
    /// What it sent cannot be understood.
    #[error(transparent)]
    Gob(#[from] gob::Error),
    /// It called in a way that no client does.
    #[error("a call has no header or no argument")]
    Call,
    /// The connection failed.
    #[error("the connection failed: {0}")]
    Io(#[from] io::Error),
}

/// Serves a connection until the peer hangs up.
pub fn serve(stream: TcpStream, service: &Arc<impl Service>, registry: Registry) -> Ended {
    let mut calls = 0;
    let error = converse(&stream, service, registry, &mut calls).err();
    // Answers that are still to come have nobody to go to; whether it was open does not matter either.
    drop(stream.shutdown(Shutdown::Both));
    Ended { calls, error }
}

fn converse(
    stream: &TcpStream,
    service: &Arc<impl Service>,
    registry: Registry,
    calls: &mut usize,
) -> Result<(), Error> {
    stream.set_nodelay(true)?;
    let mut reader = io::BufReader::new(stream);
    greet(&mut reader)?;
    let answers = Arc::new(Answers::new(stream.try_clone()?, registry));
    let mut requests = Decoder::new(reader, Limits::default());
    while let Some(header) = requests.next_value()? {
        let Value::Struct(_) = &header else {
            return Err(Error::Call);
        };
        let argument = requests.next_value()?.ok_or(Error::Call)?;
        *calls += 1;
        let call = Call {
            method: header.text_field("ServiceMethod").to_owned(),
            sequence: header.field("Seq").cloned().unwrap_or(Value::Uint(0)),
        };
        if answers.under_way.fetch_add(1, Ordering::SeqCst) >= MAX_CALLS {
            let refusal = CallError::Failed(format!("more than {MAX_CALLS} calls at once"));
            answers.send(&call, Err(refusal))?;
            continue;
        }
        let (service, call_answers) = (Arc::clone(service), Arc::clone(&answers));
        // A call gets a thread of its own, so that a heartbeat is answered while a creation runs.
        thread::Builder::new().spawn(move || {
            let result = answer(&*service, &call.method, argument);
            // If that fails the connection is broken, which its reader learns too.
            drop(call_answers.send(&call, result));
        })?;
    }
    Ok(())
}

/// The greeting, `CONNECT /_goRPC_ HTTP/1.0`, and the answer to it, as in Go's `net/rpc`.
fn greet(reader: &mut io::BufReader<&TcpStream>) -> Result<(), Error> {
    let mut stream = *reader.get_ref();
    stream.set_read_timeout(Some(GREETING_TIMEOUT))?;
    let mut greeting = Vec::new();
    for byte in reader.bytes().take(MAX_GREETING) {
        greeting.push(byte?);
        if greeting.ends_with(b"\n\n") || greeting.ends_with(b"\r\n\r\n") {
            break;
        }
    }
    let line = greeting
        .split(|byte| *byte == b'\n')
        .next()
        .unwrap_or_default();
    let mut words = line.split(u8::is_ascii_whitespace);
    let answer = match (words.next(), words.next()) {
        (Some(b"CONNECT"), Some(b"/_goRPC_")) => {
            stream.set_read_timeout(None)?;
            return Ok(stream.write_all(b"HTTP/1.0 200 Connected to Go RPC\n\n")?);
        }
        (_, Some(b"/_goRPC_")) => {
            "HTTP/1.0 405 Method Not Allowed\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n\
             405 must CONNECT\n"
        }
        (_, Some(_)) => "HTTP/1.0 404 Not Found\r\n\r\n404 page not found\n",
        (_, None) => "",
    };
    stream.write_all(answer.as_bytes())?;
    Err(Error::Greeting)
}

fn answer(service: &impl Service, method: &str, argument: Value) -> Result<Reply, CallError> {
    let Some((name, function)) = method.rsplit_once('.') else {
        return Err(CallError::IllFormed(method.to_owned()));
    };
    if !service.is_called(name) {
        return Err(CallError::NoService(method.to_owned()));
    }
    // A defect here must not take the process down, and with it the creation of a machine.
    match catch_unwind(AssertUnwindSafe(|| service.call(function, argument))) {
        Ok(None) => Err(CallError::NoMethod(method.to_owned())),
        Ok(Some(result)) => result.map_err(CallError::Failed),
        Err(_) => Err(CallError::Failed(format!(
            "the plugin has a defect in {function}"
        ))),
    }
}

/// What an answer has to repeat.
struct Call {
    method: String,
    sequence: Value,
}

/// The answers' side of a connection. They may come in any order.
struct Answers {
    writer: Mutex<(TcpStream, Encoder)>,
    under_way: AtomicUsize,
}

impl Answers {
    fn new(stream: TcpStream, registry: Registry) -> Self {
        Self {
            writer: Mutex::new((stream, Encoder::new(registry))),
            under_way: AtomicUsize::new(0),
        }
    }

    fn send(&self, call: &Call, result: Result<Reply, CallError>) -> io::Result<()> {
        self.under_way.fetch_sub(1, Ordering::SeqCst);
        let (reply, error) = match result {
            Ok(reply) => (reply, String::new()),
            Err(error) => (Reply::empty(), error.to_string()),
        };
        let header = Value::structure([
            ("ServiceMethod", Value::String(call.method.clone())),
            ("Seq", call.sequence.clone()),
            ("Error", Value::String(error)),
        ]);
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let (stream, encoder) = &mut *writer;
        let mut bytes = encoder
            .encode(&RESPONSE, &header)
            .map_err(io::Error::other)?;
        bytes.extend(
            encoder
                .encode(reply.reply_type, &reply.value)
                .map_err(io::Error::other)?,
        );
        stream.write_all(&bytes)
    }
}
