//! Any bytes are a stream of values within the limits, or an error; however they arrive, they are the same.

use std::io::{self, Read};

use netrpc::gob::{Decoder, Limits, Value};

use crate::memory;

/// So tight that inputs reach them.
const LIMITS: Limits = Limits {
    message: 2_000,
    value: 4_000,
    memory: 20_000,
    depth: 8,
    types: 20,
    definitions: 1_000,
};

/// The most that may be held at once: a value while its largest list grows, a message, and the types.
const MOST: usize = LIMITS.memory * 3 / 2 + LIMITS.message * 3 + LIMITS.definitions * 20 + 4_000;

/// Gives one byte at a time.
struct Dripping<'a>(&'a [u8]);

impl Read for Dripping<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = buffer.len().min(1);
        self.0.read(&mut buffer[..length])
    }
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

/// The values, and what ended them.
fn decode(reader: impl Read) -> (Vec<String>, String) {
    let mut decoder = Decoder::new(reader, LIMITS);
    let mut values = Vec::new();
    loop {
        let (result, peak) = memory::peak_of(|| decoder.next_value());
        assert!(peak <= MOST, "{peak} bytes");
        match result {
            Ok(Some(value)) => {
                assert!(decoder.last_size() <= LIMITS.memory);
                assert!(depth(&value) <= usize::from(LIMITS.depth));
                values.push(format!("{value:?}"));
            }
            Ok(None) => return (values, "the end".to_owned()),
            Err(error) => return (values, error.to_string()),
        }
    }
}

/// Decodes what a peer sends, at once and byte by byte. How many values there are.
pub fn decodes(data: &[u8]) -> usize {
    // The captured exchanges begin with a greeting.
    let greeting = data.windows(2).position(|two| two == b"\n\n");
    let data = match greeting {
        Some(end) if data.starts_with(b"CONNECT") || data.starts_with(b"HTTP") => &data[end + 2..],
        _ => data,
    };
    let decoded = decode(data);
    assert_eq!(decoded, decode(Dripping(data)));
    decoded.0.len()
}
