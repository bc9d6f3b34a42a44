//! The encoder and the decoder against each other, and streams that are wrong in random places.

mod common;

use std::time::{Duration, Instant};

use common::{REGISTRY, Shape, captured_streams, decode_all};
use netrpc::gob::{Decoder, Encoder, Limits, Value};

/// How long a test with as many cases as there is time for lasts.
const TIME: Duration = Duration::from_secs(2);

#[test]
fn what_is_encoded_decodes_to_the_same() {
    let mut random = common::random();
    for case in 0..3_000 {
        let shapes: Vec<_> = (0..random.usize(1..4))
            .map(|_| Shape::random(&mut random, 3))
            .collect();
        let mut encoder = Encoder::new(REGISTRY);
        let mut stream = Vec::new();
        let mut values = Vec::new();
        for shape in &shapes {
            let value_type = shape.to_type();
            // The second time its type is known.
            for _ in 0..2 {
                let value = shape.value(&mut random);
                stream.extend(encoder.encode(value_type, &value).unwrap());
                values.push(value);
            }
        }
        let decoded = decode_all(&stream).unwrap();
        assert_eq!(decoded, values, "case {case}: {shapes:?}");
    }
}

/// A stream that is cut off anywhere ends, or is an error; it is never taken for something else.
#[test]
fn a_truncated_stream_ends_or_is_an_error() {
    for (name, stream) in captured_streams() {
        let whole = decode_all(&stream).unwrap();
        // All places would take minutes.
        for length in (0..stream.len()).step_by(1 + stream.len() / 1_000) {
            if let Ok(values) = decode_all(&stream[..length]) {
                assert_eq!(values, whole[..values.len()], "{name} cut at {length}");
            }
        }
    }
}

/// Changes a stream in a few random places.
fn garble(random: &mut fastrand::Rng, stream: &mut Vec<u8>) {
    for _ in 0..random.usize(1..5) {
        if stream.is_empty() {
            return;
        }
        let place = random.usize(..stream.len());
        match random.u8(..5) {
            0 => stream[place] = random.u8(..),
            1 => stream[place] ^= 1 << random.u8(..8),
            2 => drop(stream.drain(place..stream.len().min(place + random.usize(1..9)))),
            3 => {
                let from = random.usize(..stream.len());
                let piece = stream[from..stream.len().min(from + 40)].to_vec();
                drop(stream.splice(place..place, piece));
            }
            _ => stream.insert(place, [0x00, 0x01, 0x7f, 0xf8, 0xff][random.usize(..5)]),
        }
    }
}

/// What fuzzing found worth keeping.
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus/");
    let entries = std::fs::read_dir(format!("{directory}{target}")).unwrap();
    let files = entries.map(|entry| std::fs::read(entry.unwrap().path()).unwrap());
    let files: Vec<_> = files.collect();
    assert!(files.len() > 100, "{} files", files.len());
    files
}

/// What it decodes to does not matter, only that it ends, within its limits.
#[test]
fn a_garbled_stream_is_no_danger() {
    let mut random = common::random();
    let limits = Limits {
        memory: 100_000,
        depth: 8,
        ..Limits::default()
    };
    let decode = |stream: &[u8]| {
        let mut decoder = Decoder::new(stream, limits);
        let mut values = 0;
        while let Ok(Some(value)) = decoder.next_value() {
            assert!(decoder.last_size() <= limits.memory);
            assert!(depth(&value) <= usize::from(limits.depth));
            values += 1;
        }
        values
    };
    let mut streams = corpus("gob_decode");
    for stream in &streams {
        decode(stream);
    }
    streams.extend(captured_streams().into_iter().map(|(_, stream)| stream));
    let (start, mut cases, mut values) = (Instant::now(), 0, 0);
    while start.elapsed() < TIME {
        let mut stream = streams[random.usize(..streams.len())].clone();
        garble(&mut random, &mut stream);
        values += decode(&stream);
        cases += 1;
    }
    assert!(
        cases > 1_000 && values > cases / 4,
        "{cases} cases, {values} values"
    );
}

/// Has every method that the captured exchanges call.
#[cfg(unix)]
struct Anything;

#[cfg(unix)]
impl netrpc::rpc::Service for Anything {
    fn is_called(&self, service: &str) -> bool {
        service == "RPCServerDriver"
    }

    fn call(&self, method: &str, argument: Value) -> Option<Result<netrpc::rpc::Reply, String>> {
        use netrpc::gob::Type;
        use netrpc::rpc::Reply;
        Some(match method.len() % 4 {
            0 => Ok(Reply::new(&Type::Bytes, argument)),
            1 => Ok(Reply::new(&Type::Int, Value::Int(1))),
            2 => Err(format!("{argument:?}")),
            _ => Ok(Reply::empty()),
        })
    }
}

/// Whatever a client says, what the server answers is well-formed, and answers no more than the calls.
#[test]
#[cfg(unix)]
fn a_garbled_conversation_is_answered_properly() {
    use std::io::{Read as _, Write as _};
    use std::net::{Shutdown, TcpStream};
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;
    use std::sync::Arc;

    use netrpc::gob::Error;
    use netrpc::rpc::{Server, Settings};

    const GREETING: &[u8] = b"CONNECT /_goRPC_ HTTP/1.0\n\n";
    const GREETED: &[u8] = b"HTTP/1.0 200 Connected to Go RPC\n\n";

    let converse = |said: &[u8]| {
        // The server wants a TCP stream, but does with it what it can do with any.
        let (client, served) = UnixStream::pair().unwrap();
        let mut client = TcpStream::from(OwnedFd::from(client));
        let mut said = said.to_vec();
        if !said.starts_with(b"CONNECT") {
            said.splice(..0, GREETING.iter().copied());
        }
        client.write_all(&said).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let service = Arc::new(Anything);
        let server = Server::new(Arc::clone(&service), &[], Settings::default());
        let ended = server.serve(TcpStream::from(OwnedFd::from(served)));
        drop(server);
        // Calls that are under way have the service too.
        while Arc::strong_count(&service) > 1 {
            std::thread::yield_now();
        }
        let mut answers = Vec::new();
        client.read_to_end(&mut answers).unwrap();
        let Some(answers) = answers.strip_prefix(GREETED) else {
            assert_eq!(ended.calls, 0);
            return 0;
        };
        let mut decoder = Decoder::new(answers, Limits::default());
        let mut values = 0;
        loop {
            match decoder.next_value() {
                Ok(Some(_)) => values += 1,
                // The connection was closed before the last answer was out.
                Ok(None) | Err(Error::Truncated) => break,
                Err(error) => panic!("{error}: {answers:x?}"),
            }
        }
        assert!(values <= 2 * ended.calls);
        ended.calls
    };
    let mut random = common::random();
    let mut conversations = corpus("rpc_server");
    for said in &conversations {
        converse(said);
    }
    let captured = captured_streams().into_iter();
    conversations.extend(
        captured
            .filter(|(name, _)| name.ends_with(".c2s"))
            .map(|(_, said)| said),
    );
    let (start, mut cases, mut calls) = (Instant::now(), 0, 0);
    while start.elapsed() < TIME {
        let mut said = conversations[random.usize(..conversations.len())].clone();
        garble(&mut random, &mut said);
        calls += converse(&said);
        cases += 1;
    }
    assert!(
        cases > 100 && calls > cases / 4,
        "{cases} cases, {calls} calls"
    );
}

fn depth(value: &Value) -> usize {
    let deepest = match value {
        Value::Interface(Some(held)) => depth(&held.1),
        Value::List(items) => items.iter().map(depth).max().unwrap_or(0),
        Value::Map(items) => {
            let items = items.iter().map(|(k, e)| depth(k).max(depth(e)));
            items.max().unwrap_or(0)
        }
        Value::Struct(fields) => fields.iter().map(|(_, f)| depth(f)).max().unwrap_or(0),
        _ => return 0,
    };
    deepest + 1
}
