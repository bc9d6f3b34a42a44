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

/// What it decodes to does not matter, only that it ends, within its limits.
#[test]
fn a_garbled_stream_is_no_danger() {
    let mut random = common::random();
    let streams = captured_streams();
    let limits = Limits {
        memory: 100_000,
        depth: 8,
        ..Limits::default()
    };
    let (start, mut cases, mut values) = (Instant::now(), 0, 0);
    while start.elapsed() < TIME {
        let (_, stream) = &streams[random.usize(..streams.len())];
        let mut stream = stream.clone();
        for _ in 0..random.usize(1..5) {
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
            if stream.is_empty() {
                break;
            }
        }
        let mut decoder = Decoder::new(&stream[..], limits);
        while let Ok(Some(value)) = decoder.next_value() {
            assert!(decoder.last_size() <= limits.memory);
            assert!(depth(&value) <= usize::from(limits.depth));
            values += 1;
        }
        cases += 1;
    }
    assert!(
        cases > 1_000 && values > cases,
        "{cases} cases, {values} values"
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
