//! The server, to peers that say what no client would.

mod common;

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use netrpc::gob::{Decoder, Encoder, Limits, Type, Value};
use netrpc::rpc::{
    Client, ClientError, EMPTY, Ended, REQUEST, Refusal, Reply, Server, Service, Settings,
};

const GREETING: &[u8] = b"CONNECT /_goRPC_ HTTP/1.0\n\n";
const GREETED: &[u8] = b"HTTP/1.0 200 Connected to Go RPC\n\n";

/// Longer than anything here may last.
const PATIENCE: Duration = Duration::from_secs(20);

/// A service that notes what happens to it.
struct Notes {
    calls: AtomicUsize,
    refused: Mutex<Vec<Refusal>>,
    ended: Mutex<mpsc::Sender<Ended>>,
    admits: bool,
}

impl Service for Notes {
    fn is_called(&self, service: &str) -> bool {
        service == "Notes"
    }

    fn call(&self, method: &str, argument: Value) -> Option<Result<Reply, String>> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        Some(match (method, argument) {
            ("Echo", Value::Bytes(bytes)) => Ok(Reply::new(&Type::Bytes, Value::Bytes(bytes))),
            ("Echo", _) => Err("it is no []byte".to_owned()),
            ("Wait", argument) => {
                let Value::Int(time) = argument else {
                    return Some(Err("it is no int".to_owned()));
                };
                thread::sleep(Duration::from_millis(time.unsigned_abs()));
                Ok(Reply::new(&Type::Int, Value::Int(time)))
            }
            ("Hold", _) => {
                thread::sleep(Duration::from_millis(500));
                Ok(Reply::empty())
            }
            ("Large", _) => Ok(Reply::new(&Type::Bytes, Value::Bytes(vec![1; 1_000_000]))),
            ("Wrong", _) => Ok(Reply::new(&Type::Bytes, Value::Int(1))),
            ("Defect", _) => panic!("a defect"),
            _ => return None,
        })
    }

    fn admit(&self, _: &TcpStream) -> Result<(), String> {
        match self.admits {
            true => Ok(()),
            false => Err("nobody".to_owned()),
        }
    }

    fn refused(&self, refusal: &Refusal) {
        self.refused.lock().unwrap().push(refusal.clone());
    }

    fn ended(&self, ended: Ended) {
        drop(self.ended.lock().unwrap().send(ended));
    }
}

/// A running server.
struct Running {
    address: SocketAddr,
    service: Arc<Notes>,
    ended: mpsc::Receiver<Ended>,
    settings: Settings,
}

impl Running {
    fn start(settings: Settings) -> Self {
        Self::admitting(true, settings)
    }

    fn admitting(admits: bool, settings: Settings) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, ended) = mpsc::channel();
        let service = Arc::new(Notes {
            calls: AtomicUsize::new(0),
            refused: Mutex::default(),
            ended: Mutex::new(sender),
            admits,
        });
        let server = Server::new(Arc::clone(&service), &[], settings);
        thread::spawn(move || -> () { server.run(&listener) });
        Self {
            address,
            service,
            ended,
            settings,
        }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    fn greeted(&self) -> TcpStream {
        let mut stream = self.connect();
        stream.write_all(GREETING).unwrap();
        let mut answer = [0; GREETED.len()];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(answer, GREETED);
        stream
    }

    fn client(&self) -> Client {
        Client::connect(self.address, &[], Settings::default()).unwrap()
    }

    /// How the next connection that ends does so.
    fn next_end(&self) -> Ended {
        self.ended.recv_timeout(PATIENCE).unwrap()
    }

    /// Why the next connection that ends does so.
    fn next_error(&self) -> String {
        self.next_end()
            .error
            .map_or_else(|| "none".to_owned(), |e| e.to_string())
    }
}

/// Whether a client is served as if nothing was.
fn works(client: &mut Client) {
    let echo = client.call("Notes.Echo", &Type::Bytes, &Value::Bytes(b"x".to_vec()));
    assert_eq!(echo.unwrap(), Value::Bytes(b"x".to_vec()));
}

/// A call, as the first on its connection.
fn call(method: &str, sequence: Value, argument_type: &'static Type, argument: &Value) -> Vec<u8> {
    let header = Value::structure([("ServiceMethod", method.into()), ("Seq", sequence)]);
    let mut encoder = Encoder::new(&[]);
    let mut bytes = encoder.encode(&REQUEST, &header).unwrap();
    bytes.extend(encoder.encode(argument_type, argument).unwrap());
    bytes
}

fn nothing() -> Value {
    Value::Struct(Vec::new())
}

/// All that the server still says.
fn rest(mut stream: TcpStream) -> String {
    let mut rest = Vec::new();
    // It may hang up before it has read everything.
    drop(stream.read_to_end(&mut rest));
    String::from_utf8_lossy(&rest).into_owned()
}

#[test]
fn what_is_no_greeting_is_answered_as_go_does_and_ends_the_connection() {
    let server = Running::start(Settings::default());
    let mut witness = server.client();
    for (noise, answer) in [
        (
            &b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..],
            "HTTP/1.0 404 Not Found",
        ),
        (b"GET /debug/rpc HTTP/1.1\r\n\r\n", "HTTP/1.0 404 Not Found"),
        (
            b"POST /_goRPC_ HTTP/1.1\r\nContent-Length: 1\r\n\r\nx",
            "HTTP/1.0 405 Method Not Allowed",
        ),
        (b"CONNECT / HTTP/1.0\n\n", "HTTP/1.0 404 Not Found"),
        (
            b"connect /_goRPC_ HTTP/1.0\n\n",
            "HTTP/1.0 405 Method Not Allowed",
        ),
        (b"\n\n", ""),
        (b"\0\0\0\0\n\n", ""),
        (b"SSH-2.0-x\r\n\r\n", ""),
        (b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03\n\n", ""),
    ] {
        let mut stream = server.connect();
        stream.write_all(noise).unwrap();
        let said = rest(stream);
        assert!(
            said.starts_with(answer) && said.is_empty() == answer.is_empty(),
            "{said}"
        );
        assert_eq!(server.next_error(), "the peer is no RPC client");
    }
    // More than a greeting has, without an end.
    let mut stream = server.connect();
    stream.write_all(&[b'x'; 4 * 1024]).unwrap();
    assert_eq!(rest(stream), "");
    assert_eq!(server.next_error(), "the peer is no RPC client");
    // Carriage returns, and headers, are as good.
    let mut stream = server.connect();
    stream
        .write_all(b"CONNECT /_goRPC_ HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    let mut answer = [0; GREETED.len()];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(answer, GREETED);
    works(&mut witness);
}

#[test]
fn a_malformed_stream_ends_its_connection_only() {
    let server = Running::start(Settings::default());
    let mut witness = server.client();
    let echo = call("Notes.Echo", Value::Uint(1), &EMPTY, &nothing());
    let header_only = Encoder::new(&[])
        .encode(
            &REQUEST,
            &Value::structure([("ServiceMethod", "Notes.Echo".into())]),
        )
        .unwrap();
    for (bytes, error) in [
        (b"\x07garbled".to_vec(), "invalid gob data"),
        (vec![0xf8; 9], "is longer than 1048576 bytes"),
        (
            vec![0xf8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            "is longer than 1048576 bytes",
        ),
        (vec![0; 100], "invalid gob data"),
        (
            vec![0x2f, 0xff, 0x81],
            "the stream ends in the middle of a value",
        ),
        (
            echo[..echo.len() - 1].to_vec(),
            "the stream ends in the middle of a value",
        ),
        (header_only, "a call has no proper header or no argument"),
        // A header that is a number, and one whose number is a text.
        (
            common::hex("03 04 00 02 03 04 00 02"),
            "a call has no proper header or no argument",
        ),
        (
            {
                static ODD: Type = Type::Struct("Request", &[("Seq", &Type::String)]);
                let header = Value::structure([("Seq", "1".into())]);
                Encoder::new(&[]).encode(&ODD, &header).unwrap()
            },
            "a call has no proper header or no argument",
        ),
        (
            call(&"x".repeat(300), Value::Uint(1), &EMPTY, &nothing()),
            "a call has no proper header or no argument",
        ),
    ] {
        let mut stream = server.greeted();
        stream.write_all(&bytes).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(rest(stream), "", "{bytes:x?}");
        let said = server.next_error();
        assert!(said.contains(error), "{bytes:x?}: {said}");
    }
    works(&mut witness);
}

/// A byte now and then is no progress; nor is none.
#[test]
fn a_slow_peer_has_its_time_in_all() {
    let server = Running::start(Settings {
        greeting: Duration::from_millis(300),
        request: Duration::from_millis(600),
        ..Settings::default()
    });
    for (greets, bytes, time) in [
        (false, vec![b'x'; 1_000], 300),
        (true, vec![0x7f; 1_000], 600),
    ] {
        let start = Instant::now();
        let mut stream = match greets {
            true => server.greeted(),
            false => server.connect(),
        };
        for byte in bytes {
            if stream.write_all(&[byte]).is_err() {
                break;
            }
            if start.elapsed() > PATIENCE {
                panic!("it goes on");
            }
            thread::sleep(Duration::from_millis(20));
        }
        assert!(start.elapsed() >= Duration::from_millis(time));
        assert_eq!(
            server.next_error(),
            "the connection failed: the peer takes too long"
        );
    }
    // Half-open: nothing comes, not even the end.
    for stream in [server.connect(), server.greeted()] {
        assert_eq!(
            server.next_error(),
            "the connection failed: the peer takes too long"
        );
        assert_eq!(rest(stream), "");
    }
    // One that calls now and then is served for as long as it likes.
    let mut client = server.client();
    for _ in 0..5 {
        works(&mut client);
        thread::sleep(server.settings.request / 3);
    }
}

#[test]
fn a_peer_that_does_not_read_has_its_time_in_all() {
    let server = Running::start(Settings {
        answer: Duration::from_millis(500),
        ..Settings::default()
    });
    let mut witness = server.client();
    let mut client = server.client();
    for _ in 0..30 {
        client.send("Notes.Large", &EMPTY, &nothing()).unwrap();
    }
    let ended = server.next_end();
    assert_eq!(ended.calls, 30);
    works(&mut witness);
    // What was on its way can still be read, and then the end.
    let error = loop {
        match client.receive() {
            Ok(answer) => assert!(answer.result.is_ok()),
            Err(error) => break error,
        }
    };
    assert!(!matches!(error, ClientError::Failed(_)), "{error}");
}

#[test]
fn further_connections_are_closed_and_harm_nobody() {
    let server = Running::start(Settings {
        connections: 4,
        ..Settings::default()
    });
    let mut clients: Vec<_> = (0..4).map(|_| server.client()).collect();
    for client in &mut clients {
        works(client);
    }
    let start = Instant::now();
    for number in 0..2_000 {
        let mut stream = server.connect();
        drop(stream.write_all(GREETING));
        assert_eq!(rest(stream), "");
        if number % 500 == 0 {
            clients.iter_mut().for_each(works);
        }
    }
    println!("2,000 connections in {:?}", start.elapsed());
    assert_eq!(
        *server.service.refused.lock().unwrap(),
        vec![Refusal::Full(4); 2_000]
    );
    clients.iter_mut().for_each(works);
    // A place that is left is another's.
    drop(clients.pop());
    assert_eq!(server.next_error(), "none");
    works(&mut server.client());
}

#[test]
fn a_peer_that_is_not_admitted_is_not_even_read() {
    let server = Running::admitting(false, Settings::default());
    let mut stream = server.connect();
    drop(stream.write_all(GREETING));
    drop(stream.write_all(&call("Notes.Echo", Value::Uint(1), &EMPTY, &nothing())));
    assert_eq!(rest(stream), "");
    let refused = server.service.refused.lock().unwrap().clone();
    assert_eq!(refused, [Refusal::NotAdmitted("nobody".to_owned())]);
    assert_eq!(server.service.calls.load(Ordering::SeqCst), 0);
    let error = Client::connect(server.address, &[], Settings::default()).unwrap_err();
    assert!(
        matches!(error, ClientError::Io(_) | ClientError::Greeting),
        "{error}"
    );
}

/// The numbers of calls are the client's own affair.
#[test]
fn numbers_may_repeat_and_come_in_any_order() {
    let server = Running::start(Settings::default());
    let mut stream = server.greeted();
    let numbers = [7, 7, 0, u64::MAX, 3, 7];
    let mut encoder = Encoder::new(&[]);
    for number in numbers {
        let header = Value::structure([
            ("ServiceMethod", "Notes.Wait".into()),
            ("Seq", Value::Uint(number)),
        ]);
        let mut bytes = encoder.encode(&REQUEST, &header).unwrap();
        bytes.extend(encoder.encode(&Type::Int, &Value::Int(1)).unwrap());
        stream.write_all(&bytes).unwrap();
    }
    let mut decoder = Decoder::new(stream, Limits::default());
    let mut answered = Vec::new();
    for _ in numbers {
        let header = decoder.next_value().unwrap().unwrap();
        answered.push(match header.field("Seq") {
            Some(Value::Uint(number)) => *number,
            _ => 0,
        });
        assert_eq!(decoder.next_value().unwrap(), Some(Value::Int(1)));
    }
    answered.sort_unstable();
    assert_eq!(answered, [0, 3, 7, 7, 7, u64::MAX]);
}

#[test]
fn two_clients_at_once_do_not_meet() {
    let server = Running::start(Settings::default());
    let threads: Vec<_> = (0_u8..8)
        .map(|number| {
            let mut client = server.client();
            thread::spawn(move || {
                for length in 0..200 {
                    let bytes = Value::Bytes(vec![number; length]);
                    let echo = client.call("Notes.Echo", &Type::Bytes, &bytes).unwrap();
                    assert_eq!(echo, bytes);
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(server.service.calls.load(Ordering::SeqCst), 1_600);
}

#[test]
fn the_calls_of_a_connection_are_bounded() {
    let server = Running::start(Settings {
        calls: 4,
        ..Settings::default()
    });
    let mut client = server.client();
    for _ in 0..6 {
        client
            .send("Notes.Wait", &Type::Int, &Value::Int(1_000))
            .unwrap();
    }
    let refusals: Vec<_> = (0..2).map(|_| client.receive().unwrap()).collect();
    for (refusal, number) in refusals.iter().zip([4, 5]) {
        assert_eq!(refusal.sequence, number);
        assert_eq!(refusal.result, Err("more than 4 calls at once".to_owned()));
    }
    for _ in 0..4 {
        assert_eq!(client.receive().unwrap().result, Ok(Value::Int(1_000)));
    }
    works(&mut client);
}

#[test]
fn the_memory_of_a_connections_calls_is_bounded() {
    let server = Running::start(Settings {
        limits: Limits {
            memory: 1_000_000,
            ..Limits::default()
        },
        ..Settings::default()
    });
    let mut client = server.client();
    let bytes = |length| Value::Bytes(vec![0; length]);
    // One after the other they may be as large as that.
    for _ in 0..5 {
        let long = bytes(900_000);
        assert_eq!(
            client.call("Notes.Echo", &Type::Bytes, &long).unwrap(),
            long
        );
    }
    let held = client
        .send("Notes.Hold", &Type::Bytes, &bytes(600_000))
        .unwrap();
    let refused = client
        .send("Notes.Hold", &Type::Bytes, &bytes(600_000))
        .unwrap();
    let small = client
        .send("Notes.Echo", &Type::Bytes, &bytes(100_000))
        .unwrap();
    let mut answers: Vec<_> = (0..3).map(|_| client.receive().unwrap()).collect();
    answers.sort_by_key(|answer| answer.sequence);
    assert_eq!(
        (answers[0].sequence, answers[0].result.is_ok()),
        (held, true)
    );
    assert_eq!(answers[1].sequence, refused);
    assert_eq!(
        answers[1].result,
        Err("the arguments of all calls at once are too large".to_owned())
    );
    assert_eq!(
        (answers[2].sequence, answers[2].result.is_ok()),
        (small, true)
    );
    client
        .send("Notes.Echo", &Type::Bytes, &bytes(1_000_001))
        .unwrap();
    assert_eq!(
        server.next_error(),
        "a value takes more than 1000000 bytes of memory"
    );
}

#[test]
fn defects_of_the_service_are_answered() {
    let server = Running::start(Settings::default());
    let mut client = server.client();
    for (method, error) in [
        ("Notes.Defect", "the server has a defect in Notes.Defect"),
        (
            "Notes.Wrong",
            "the server has a defect in Notes.Wrong: an int where a []byte is expected",
        ),
        ("Notes.None", "rpc: can't find method Notes.None"),
        ("None.Echo", "rpc: can't find service None.Echo"),
        ("Echo", "rpc: service/method request ill-formed: Echo"),
        ("", "rpc: service/method request ill-formed: "),
    ] {
        let result = client.call(method, &EMPTY, &nothing());
        assert_eq!(result.unwrap_err().to_string(), error);
        works(&mut client);
    }
}

#[test]
fn the_service_learns_how_a_connection_ended() {
    let server = Running::start(Settings::default());
    let mut client = server.client();
    works(&mut client);
    client
        .send("Notes.Wait", &Type::Int, &Value::Int(2_000))
        .unwrap();
    works_besides(&mut client);
    drop(client);
    let ended = server.next_end();
    assert_eq!(
        (ended.calls, ended.unanswered.as_slice()),
        (3, &["Notes.Wait".to_owned()][..])
    );
    assert!(ended.error.is_none());
    drop(server.greeted());
    let ended = server.next_end();
    assert_eq!((ended.calls, ended.unanswered.len()), (0, 0));
}

/// The same as [`works`], while another call is under way.
fn works_besides(client: &mut Client) {
    let number = client
        .send("Notes.Echo", &Type::Bytes, &Value::Bytes(b"x".to_vec()))
        .unwrap();
    assert_eq!(client.receive().unwrap().sequence, number);
}

#[test]
fn the_client_bears_with_any_server() {
    for (answer, error) in [
        (&b""[..], "the peer is no RPC server"),
        (
            b"HTTP/1.0 404 Not Found\r\n\r\n404 page not found\n",
            "the peer is no RPC server",
        ),
        (b"220 smtp ready\r\n\r\n", "the peer is no RPC server"),
        (
            b"HTTP/1.0 200 Connected to Go RPC\n\n",
            "the server hung up",
        ),
        (
            b"HTTP/1.0 200 Connected to Go RPC\n\n\x07garbled",
            "invalid gob data",
        ),
        (
            b"HTTP/1.0 200 Connected to Go RPC\n\n\x03\x04\0\x02\x03\x04\0\x02",
            "an answer to no call",
        ),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.read_exact(&mut [0; GREETING.len()]).unwrap();
            stream.write_all(answer).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            drop(stream.read_to_end(&mut Vec::new()));
        });
        let result = Client::connect(address, &[], Settings::default())
            .and_then(|mut client| client.call("X.Y", &EMPTY, &nothing()));
        let said = result.unwrap_err().to_string();
        assert!(said.contains(error), "{said}");
        server.join().unwrap();
    }
}
