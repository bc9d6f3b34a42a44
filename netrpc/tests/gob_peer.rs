//! Ground truth: Go's own encoding/gob and net/rpc, in the program `gob-peer`.
//!
//! `TEST_GOB_PEER` names it; `cargo xtask test` builds it, or skips these tests.

mod common;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use common::{REGISTRY, Shape, canonical, decode_all, hex, to_hex};
use netrpc::gob::{Encoder, Registry, Type, Value};
use netrpc::rpc::{Client, ClientError, EMPTY, Reply, Server, Service, Settings};

/// How many streams go in each direction.
const STREAMS: usize = 2_000;

fn gob_peer(arguments: &[&str]) -> Command {
    let program = std::env::var_os("TEST_GOB_PEER");
    let program = program.expect(
        "TEST_GOB_PEER names no gob-peer; `cargo xtask test` builds it, or skips these tests",
    );
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null());
    command
}

/// The strings of a list in a line of JSON, which have nothing that would have to be escaped.
fn strings<'a>(line: &'a str, member: &str) -> Vec<&'a str> {
    let start = format!("\"{member}\":[");
    let Some((_, list)) = line.split_once(&start) else {
        return Vec::new();
    };
    // Values contain brackets, but no quotes.
    let list = list.split_once("\"]").map_or("", |(list, _)| list);
    list.trim_start_matches('"').split("\",\"").collect()
}

/// The string of a line of JSON.
fn string<'a>(line: &'a str, member: &str) -> &'a str {
    let start = format!("\"{member}\":\"");
    let (_, rest) = line.split_once(&start).expect("the member");
    rest.split_once('"').expect("its end").0
}

/// The text of a value as JSON shows it: Go escapes what could be taken for HTML.
fn unescaped(text: &str) -> String {
    let text = text.replace("\\u003c", "<").replace("\\u003e", ">");
    text.replace("\\u0026", "&")
}

#[test]
fn gob_peer_encodes_and_we_decode() {
    let seed = common::random().u32(..).to_string();
    let output = gob_peer(&["encode", &seed, &STREAMS.to_string()]);
    let output = { output }.stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "seed {seed}");
    let lines = String::from_utf8(output.stdout).unwrap();
    assert_eq!(lines.lines().count(), STREAMS);
    let mut values = 0;
    for line in lines.lines() {
        let stream = string(line, "stream");
        let expected: Vec<_> = strings(line, "values").into_iter().map(unescaped).collect();
        let decoded = decode_all(&hex(stream));
        let decoded = decoded.unwrap_or_else(|e| panic!("seed {seed}: {e}: {line}"));
        let decoded: Vec<_> = decoded.iter().map(canonical).collect();
        assert_eq!(decoded, expected, "seed {seed}: {line}");
        values += decoded.len();
    }
    assert!(values > 2 * STREAMS);
}

/// Streams for Go, each with the shapes to decode it into, and what shall come of it.
struct Streams {
    lines: String,
    expected: Vec<Vec<String>>,
}

impl Streams {
    fn add(&mut self, stream: &[u8], shapes: &[Shape], expected: Vec<String>) {
        let shapes: Vec<_> = shapes.iter().map(Shape::to_json).collect();
        let (stream, shapes) = (to_hex(stream), shapes.join(","));
        self.lines += &format!("{{\"stream\":\"{stream}\",\"types\":[{shapes}]}}\n");
        self.expected.push(expected);
    }

    /// Has Go decode them.
    fn check(self) {
        let mut peer = gob_peer(&["decode"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = peer.stdin.take().unwrap();
        let lines = self.lines.clone();
        // It answers while it reads.
        let writer = thread::spawn(move || input.write_all(lines.as_bytes()));
        let mut output = String::new();
        peer.stdout
            .take()
            .unwrap()
            .read_to_string(&mut output)
            .unwrap();
        assert!(peer.wait().unwrap().success());
        writer.join().unwrap().unwrap();
        assert_eq!(output.lines().count(), self.expected.len());
        let sent = self.lines.lines();
        for ((line, expected), sent) in output.lines().zip(&self.expected).zip(sent) {
            assert!(line.ends_with(r#""error":""}"#), "{line}: {sent}");
            let got: Vec<_> = strings(line, "values").into_iter().map(unescaped).collect();
            assert_eq!(got, *expected, "{sent}");
        }
    }
}

#[test]
fn gob_peer_decodes_what_we_encode() {
    let mut random = common::random();
    let mut streams = Streams {
        lines: String::new(),
        expected: Vec::new(),
    };
    for _ in 0..STREAMS {
        let mut encoder = Encoder::new(REGISTRY);
        let (mut stream, mut shapes, mut expected) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..random.usize(1..4) {
            // An interface cannot be at the top in Go.
            let shape = match Shape::random(&mut random, 3) {
                Shape::Any => Shape::Slice(Box::new(Shape::Any)),
                shape => shape,
            };
            let value_type = shape.to_type();
            for _ in 0..2 {
                let value = shape.value(&mut random);
                stream.extend(encoder.encode(value_type, &value).unwrap());
                expected.push(canonical(&value));
                shapes.push(shape.clone());
            }
        }
        streams.add(&stream, &shapes, expected);
    }
    streams.check();
}

/// Go decodes into structures that lack fields of ours, have others, and have them in another order.
#[test]
fn gob_peer_decodes_into_older_and_newer_structures() {
    let mut random = common::random();
    let mut streams = Streams {
        lines: String::new(),
        expected: Vec::new(),
    };
    let mut changes = 0;
    while streams.expected.len() < STREAMS {
        let shape = Shape::random_struct(&mut random, 3);
        let Shape::Struct(fields) = &shape else {
            continue;
        };
        let mut changed: Vec<_> = fields.iter().filter(|_| random.bool()).cloned().collect();
        // Go needs one field in common.
        let value = shape.value(&mut random);
        let Value::Struct(sent) = &value else {
            continue;
        };
        if changed.is_empty() || has_nil_interface(&value) {
            continue;
        }
        let kept: Vec<_> = sent
            .iter()
            .filter(|(name, _)| changed.iter().any(|(kept, _)| **kept == **name))
            .cloned()
            .collect();
        let expected = canonical(&Value::Struct(kept));
        for number in 0..random.usize(..3) {
            changed.push((format!("New{number}"), Shape::Slice(Box::new(Shape::Any))));
        }
        random.shuffle(&mut changed);
        changes += usize::from(changed.len() != fields.len());
        let stream = Encoder::new(REGISTRY)
            .encode(shape.to_type(), &value)
            .unwrap();
        streams.add(&stream, &[Shape::Struct(changed)], vec![expected]);
    }
    assert!(changes > STREAMS / 4);
    streams.check();
}

/// Go cannot skip a nil interface, whoever encoded it.
fn has_nil_interface(value: &Value) -> bool {
    match value {
        Value::Interface(None) => true,
        Value::Interface(Some(held)) => has_nil_interface(&held.1),
        Value::List(items) => items.iter().any(has_nil_interface),
        Value::Map(items) => items.iter().any(|(_, element)| has_nil_interface(element)),
        Value::Struct(fields) => fields.iter().any(|(_, field)| has_nil_interface(field)),
        _ => false,
    }
}

/// Answers what it is sent, as the type that Go expects.
struct Echo;

static STRINGS: Type = Type::Slice(&Type::String);
static THREE: Type = Type::Array(&Type::Int, 3);
static NUMBERS: Type = Type::Map(&Type::String, &Type::Int);
static POINT: Type = Type::Struct("Point", &[("X", &Type::Int), ("Y", &Type::Int)]);
static OLD: Type = Type::Struct("Old", &[("A", &Type::Int), ("B", &Type::String)]);
static ANYTHING: Type = Type::Map(&Type::String, &Type::Interface);
static TIME: Type = Type::GobEncoder("Time");
static ADDR: Type = Type::BinaryMarshaler("Addr");
static ECHOES: Registry = &[
    ("Bool", &Type::Bool),
    ("Int", &Type::Int),
    ("Uint", &Type::Uint),
    ("Float", &Type::Float),
    ("Complex", &Type::Complex),
    ("Bytes", &Type::Bytes),
    ("Text", &Type::String),
    ("Slice", &STRINGS),
    ("Array", &THREE),
    ("Map", &NUMBERS),
    ("Struct", &POINT),
    ("Old", &OLD),
    ("Time", &TIME),
    ("Addr", &ADDR),
    ("Any", &ANYTHING),
    ("Nothing", &EMPTY),
];

impl Service for Echo {
    fn is_called(&self, service: &str) -> bool {
        service == "Echo"
    }

    fn call(&self, method: &str, argument: Value) -> Option<Result<Reply, String>> {
        match (method, &argument) {
            ("Fail", Value::String(text)) => return Some(Err(text.clone())),
            ("Defect", _) => panic!("a defect"),
            ("Wait", Value::Int(time)) => {
                thread::sleep(Duration::from_millis(time.unsigned_abs()));
                return Some(Ok(Reply::new(&Type::Int, argument)));
            }
            _ => {}
        }
        let (_, reply_type) = ECHOES.iter().find(|(name, _)| *name == method)?;
        Some(Ok(Reply::new(reply_type, argument)))
    }
}

#[test]
fn gob_peer_calls_our_server() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = Server::new(Arc::new(Echo), REGISTRY, Settings::default());
    thread::spawn(move || -> () { server.run(&listener) });
    let output = gob_peer(&["call", &address]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}

#[test]
fn gob_peer_serves_our_client() {
    let mut peer = gob_peer(&["serve"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut address = String::new();
    let mut output = BufReader::new(peer.stdout.take().unwrap());
    output.read_line(&mut address).unwrap();
    let mut client = Client::connect(address.trim_end(), REGISTRY, Settings::default()).unwrap();

    let point = Value::structure([("X", Value::Int(-3)), ("Y", Value::Int(7))]);
    let text = |text: &str| Value::interface("string", text.into());
    let anything = Value::Map(vec![("a".into(), text("x"))]);
    let time = Value::Bytes(hex("01 0000000e77359400 00000005 ffff"));
    for (method, value_type, value) in [
        ("Int", &Type::Int, Value::Int(i64::MIN)),
        ("Text", &Type::String, "«ü»".into()),
        ("Bytes", &Type::Bytes, Value::Bytes(vec![7; 100_000])),
        ("Struct", &POINT, point),
        ("Any", &ANYTHING, anything),
        ("Time", &TIME, time),
        ("Nothing", &EMPTY, Value::Struct(Vec::new())),
    ] {
        // The second time its type is known.
        for _ in 0..2 {
            let reply = client.call(&format!("Echo.{method}"), value_type, &value);
            assert_eq!(reply.unwrap(), value, "{method}");
        }
    }
    // A field that the server does not have, and two that are missing.
    static NEWEST: Type = Type::Struct("New", &[("Q", &POINT), ("B", &Type::String)]);
    let newest = Value::structure([("Q", Value::Struct(Vec::new())), ("B", "b".into())]);
    let reply = client.call("Echo.Old", &NEWEST, &newest).unwrap();
    assert_eq!(reply, Value::structure([("B", "b".into())]));
    for (method, error) in [
        ("Echo.Fail", "no"),
        ("Echo.Missing", "rpc: can't find method Echo.Missing"),
        ("Missing.Fail", "rpc: can't find service Missing.Fail"),
        ("Fail", "rpc: service/method request ill-formed: Fail"),
    ] {
        match client.call(method, &Type::String, &"no".into()) {
            Err(ClientError::Failed(text)) => assert_eq!(text, error),
            other => panic!("{other:?}"),
        }
    }
    // Answers out of order.
    let slow = client
        .send("Echo.Wait", &Type::Int, &Value::Int(400))
        .unwrap();
    let quick = client
        .send("Echo.Wait", &Type::Int, &Value::Int(1))
        .unwrap();
    for (sequence, time) in [(quick, 1), (slow, 400)] {
        let answer = client.receive().unwrap();
        assert_eq!(
            (answer.sequence, answer.result),
            (sequence, Ok(Value::Int(time)))
        );
        assert_eq!(answer.method, "Echo.Wait");
    }
    drop(peer.stdin.take());
    assert!(peer.wait().unwrap().success());
}
