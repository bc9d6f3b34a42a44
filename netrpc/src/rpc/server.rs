//! The server's side.

use std::io::{self, BufReader, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::{EMPTY, RESPONSE, Settings, Timed, read_head, sequence};
use crate::gob::{self, Decoder, Encoder, Mismatch, Registry, Type, Value};

/// The longest name of a method. It comes back with each answer.
const MAX_METHOD: usize = 256;

/// How long to wait when the system has no more connections to give.
const EXHAUSTED: Duration = Duration::from_millis(50);

/// What a service answers.
#[derive(Clone, Debug)]
pub struct Reply {
    reply_type: &'static Type,
    value: Value,
}

impl Reply {
    /// A value of the type that the client expects.
    pub fn new(reply_type: &'static Type, value: Value) -> Self {
        Self { reply_type, value }
    }

    /// Of a method that answers nothing.
    pub fn empty() -> Self {
        Self::new(&EMPTY, Value::Struct(Vec::new()))
    }
}

/// Why a call has no reply. The client gets the text and nothing else; those of the first three are Go's.
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

/// The methods that clients can call, and who may.
pub trait Service: Send + Sync + 'static {
    /// Whether it goes by that name.
    fn is_called(&self, service: &str) -> bool;

    /// Calls a method; nothing if there is none of that name. Calls come at once, each in a thread of its own. A panic is
    /// answered with an error.
    fn call(&self, method: &str, argument: Value) -> Option<Result<Reply, String>>;

    /// Whether a peer is served, before anything is read from it.
    ///
    /// # Errors
    ///
    /// If it is not, why.
    fn admit(&self, peer: &TcpStream) -> Result<(), String> {
        let _ = peer;
        Ok(())
    }

    /// Is told of a connection that is about to be closed, before the next one is accepted.
    fn refused(&self, refusal: &Refusal) {
        let _ = refusal;
    }

    /// Is told of a connection that ended.
    fn ended(&self, ended: Ended) {
        let _ = ended;
    }
}

/// Why a connection was closed at once.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The service does not admit the peer.
    #[error("{0}")]
    NotAdmitted(String),
    /// There are as many connections as there may be.
    #[error("there are more than {0} connections")]
    Full(usize),
    /// The system has no more threads to give.
    #[error("no thread for a connection: {0}")]
    NoThread(String),
}

/// How a conversation ended.
#[derive(Debug)]
pub struct Ended {
    /// How many calls were made.
    pub calls: usize,
    /// The methods that were running, with their services' names. Their answers go nowhere.
    pub unanswered: Vec<String>,
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
    #[error("a call has no proper header or no argument")]
    Call,
    /// The connection failed.
    #[error("the connection failed: {0}")]
    Io(#[from] io::Error),
}

/// Serves the connections of a listener.
#[derive(Debug)]
pub struct Server<S> {
    service: Arc<S>,
    registry: Registry,
    settings: Settings,
    /// How many connections are open.
    open: Arc<AtomicUsize>,
}

impl<S> Clone for Server<S> {
    fn clone(&self) -> Self {
        Self {
            service: Arc::clone(&self.service),
            open: Arc::clone(&self.open),
            ..*self
        }
    }
}

impl<S: Service> Server<S> {
    /// Serves `service`, whose replies may have interfaces with what is in `registry`.
    pub fn new(service: Arc<S>, registry: Registry, settings: Settings) -> Self {
        Self {
            service,
            registry,
            settings,
            open: Arc::default(),
        }
    }

    /// Accepts connections for good.
    pub fn run(&self, listener: &TcpListener) -> ! {
        loop {
            match listener.accept() {
                Ok((stream, _)) => self.accept(stream),
                // It broke before it was taken; or there are no descriptors left, which does not change at once.
                Err(_) => thread::sleep(EXHAUSTED),
            }
        }
    }

    /// Has a connection served in a thread of its own, or closes it.
    fn accept(&self, stream: TcpStream) {
        // Strangers do not get a place even for the time of the question.
        let admitted = self.service.admit(&stream).map_err(Refusal::NotAdmitted);
        let place = match admitted.and_then(|()| Place::take(&self.open, self.settings.connections))
        {
            Ok(place) => place,
            Err(refusal) => return self.service.refused(&refusal),
        };
        let server = self.clone();
        let spawned = thread::Builder::new().spawn(move || {
            let ended = server.serve(stream);
            drop(place);
            server.service.ended(ended);
        });
        if let Err(error) = spawned {
            self.service.refused(&Refusal::NoThread(error.to_string()));
        }
    }

    /// Serves one connection until the peer hangs up or does what it may not, in this thread. Neither [`Service::admit`] nor
    /// the number of connections is asked.
    pub fn serve(&self, stream: TcpStream) -> Ended {
        let mut calls = 0;
        let mut unanswered = Vec::new();
        let error = self.converse(&stream, &mut calls, &mut unanswered).err();
        // Answers that are still to come have nobody to go to; whether it was open does not matter either.
        drop(stream.shutdown(Shutdown::Both));
        Ended {
            calls,
            unanswered,
            error,
        }
    }

    fn converse(
        &self,
        stream: &TcpStream,
        calls: &mut usize,
        unanswered: &mut Vec<String>,
    ) -> Result<(), Error> {
        // Without it answers are slower, nothing else.
        drop(stream.set_nodelay(true));
        let timed = |time| Ok::<_, io::Error>(Timed::new(stream.try_clone()?, time));
        let mut reader = BufReader::new(timed(self.settings.greeting)?);
        greet(&mut reader)?;
        let answers = Arc::new(Answers {
            time: self.settings.answer,
            writer: Mutex::new((timed(self.settings.answer)?, Encoder::new(self.registry))),
            threads: AtomicUsize::new(0),
            under_way: Mutex::default(),
        });
        let mut requests = Decoder::new(reader, self.settings.limits);
        let result = loop {
            requests
                .reader_mut()
                .get_mut()
                .within(self.settings.request);
            match self.next_call(&mut requests, &answers) {
                Ok(true) => *calls = calls.saturating_add(1),
                Ok(false) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        *unanswered = lock(&answers.under_way).methods.clone();
        result
    }

    /// Reads a call and has it answered; `false` if the peer has hung up.
    fn next_call(
        &self,
        requests: &mut Decoder<BufReader<Timed>>,
        answers: &Arc<Answers>,
    ) -> Result<bool, Error> {
        let Some(header) = requests.next_value()? else {
            return Ok(false);
        };
        let sequence = sequence(&header).ok_or(Error::Call)?;
        let method = header.text_field("ServiceMethod").to_owned();
        if method.len() > MAX_METHOD {
            return Err(Error::Call);
        }
        let argument = requests.next_value()?.ok_or(Error::Call)?;
        let call = Call { method, sequence };
        let size = requests.last_size();
        if let Err(refusal) = answers.begin(&call, size, &self.settings) {
            answers.send(&call, Err(refusal))?;
            return Ok(true);
        }
        let (service, own_answers, own_call) =
            (Arc::clone(&self.service), Arc::clone(answers), call.clone());
        // A call gets a thread of its own, so that a heartbeat is answered while a creation runs.
        let spawned = thread::Builder::new().spawn(move || {
            let result = answer(&*service, &own_call.method, argument);
            own_answers.end(&own_call, size, result);
        });
        if let Err(error) = spawned {
            let text = format!("the server has no thread for the call: {error}");
            answers.end(&call, size, Err(CallError::Failed(text)));
        }
        Ok(true)
    }
}

/// One of the connections that there may be at once.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(open: &Arc<AtomicUsize>, most: usize) -> Result<Self, Refusal> {
        let one_more = |count: usize| (count < most).then_some(count.saturating_add(1));
        match open.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_more) {
            Ok(_) => Ok(Self(Arc::clone(open))),
            Err(_) => Err(Refusal::Full(most)),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The greeting, `CONNECT /_goRPC_ HTTP/1.0`, and the answer to it, as in Go's `net/rpc`.
fn greet(reader: &mut BufReader<Timed>) -> Result<(), Error> {
    let greeting = read_head(&mut *reader)?;
    let line = greeting
        .split(|byte| *byte == b'\n')
        .next()
        .unwrap_or_default();
    let mut words = line.split(u8::is_ascii_whitespace);
    let answer = match (words.next(), words.next()) {
        (Some(b"CONNECT"), Some(b"/_goRPC_")) => {
            let answer = b"HTTP/1.0 200 Connected to Go RPC\n\n";
            return Ok(reader.get_mut().write_all(answer)?);
        }
        (_, Some(b"/_goRPC_")) => {
            "HTTP/1.0 405 Method Not Allowed\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n\
             405 must CONNECT\n"
        }
        (_, Some([b'/', ..])) => "HTTP/1.0 404 Not Found\r\n\r\n404 page not found\n",
        _ => "",
    };
    reader.get_mut().write_all(answer.as_bytes())?;
    Err(Error::Greeting)
}

fn answer(service: &impl Service, method: &str, argument: Value) -> Result<Reply, CallError> {
    let Some((name, function)) = method.rsplit_once('.') else {
        return Err(CallError::IllFormed(method.to_owned()));
    };
    if !service.is_called(name) {
        return Err(CallError::NoService(method.to_owned()));
    }
    // A defect there must not take the process down, and with it what else is under way.
    match catch_unwind(AssertUnwindSafe(|| service.call(function, argument))) {
        Ok(None) => Err(CallError::NoMethod(method.to_owned())),
        Ok(Some(result)) => result.map_err(CallError::Failed),
        Err(_) => Err(defect(method, None)),
    }
}

fn defect(method: &str, mismatch: Option<Mismatch>) -> CallError {
    let details = mismatch.map_or(String::new(), |mismatch| format!(": {mismatch}"));
    CallError::Failed(format!("the server has a defect in {method}{details}"))
}

/// What an answer has to repeat.
#[derive(Clone)]
struct Call {
    method: String,
    sequence: u64,
}

impl Call {
    /// The bytes of the answer. If there are none, nothing has become of the encoder.
    fn answer(
        &self,
        encoder: &mut Encoder,
        result: Result<Reply, CallError>,
    ) -> Result<Vec<u8>, Mismatch> {
        let (reply, error) = match result {
            Ok(reply) => (reply, String::new()),
            Err(error) => (Reply::empty(), error.to_string()),
        };
        let header = Value::structure([
            ("ServiceMethod", Value::String(self.method.clone())),
            ("Seq", Value::Uint(self.sequence)),
            ("Error", Value::String(error)),
        ]);
        let mut ahead = encoder.clone();
        let mut bytes = ahead.encode(&RESPONSE, &header)?;
        bytes.extend(ahead.encode(reply.reply_type, &reply.value)?);
        *encoder = ahead;
        Ok(bytes)
    }
}

/// The answers' side of a connection. They may come in any order.
struct Answers {
    /// How long the peer may take to read one.
    time: Duration,
    writer: Mutex<(Timed, Encoder)>,
    /// How many threads there are, those included that wait for the peer to read.
    threads: AtomicUsize,
    under_way: Mutex<UnderWay>,
}

/// The calls that have no result yet.
#[derive(Default)]
struct UnderWay {
    methods: Vec<String>,
    /// The memory that their arguments take.
    memory: usize,
}

impl Answers {
    /// Takes a call in, or refuses it.
    fn begin(&self, call: &Call, size: usize, settings: &Settings) -> Result<(), CallError> {
        if self.threads.load(Ordering::SeqCst) >= settings.calls {
            let text = format!("more than {} calls at once", settings.calls);
            return Err(CallError::Failed(text));
        }
        let mut under_way = lock(&self.under_way);
        let memory = under_way.memory.saturating_add(size);
        if memory > settings.limits.memory {
            let text = "the arguments of all calls at once are too large".to_owned();
            return Err(CallError::Failed(text));
        }
        under_way.memory = memory;
        under_way.methods.push(call.method.clone());
        self.threads.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    /// Answers a call that was taken in.
    fn end(&self, call: &Call, size: usize, result: Result<Reply, CallError>) {
        let mut under_way = lock(&self.under_way);
        under_way.memory = under_way.memory.saturating_sub(size);
        let mut methods = under_way.methods.iter();
        if let Some(position) = methods.position(|method| *method == call.method) {
            under_way.methods.swap_remove(position);
        }
        drop(under_way);
        // If that fails the connection is broken, which its reader learns too.
        drop(self.send(call, result));
        self.threads.fetch_sub(1, Ordering::SeqCst);
    }

    fn send(&self, call: &Call, result: Result<Reply, CallError>) -> io::Result<()> {
        let mut writer = lock(&self.writer);
        let (stream, encoder) = &mut *writer;
        let bytes = call
            .answer(encoder, result)
            .or_else(|mismatch| call.answer(encoder, Err(defect(&call.method, Some(mismatch)))))
            .map_err(io::Error::other)?;
        stream.within(self.time);
        let sent = stream.write_all(&bytes);
        if sent.is_err() {
            // Half an answer is out, so that no other can follow. The reader, and those who wait, learn it from this.
            drop(stream.stream.shutdown(Shutdown::Both));
        }
        sent
    }
}

/// What is behind a mutex is never left half changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
