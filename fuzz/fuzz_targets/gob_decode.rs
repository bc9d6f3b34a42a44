//! Any bytes are a stream of values within the limits, or an error; however they arrive, they are the same.

#![no_main]

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::{self, Read};
use std::sync::atomic::{AtomicUsize, Ordering};

use libfuzzer_sys::fuzz_target;
use netrpc::gob::{Decoder, Limits, Value};

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

/// The system's memory, with a count of what is held.
struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: all is done by the system's own.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let held = HELD.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(held, Ordering::Relaxed);
        // SAFETY: as the caller has to see to it.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as the caller has to see to it.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static MEMORY: Counting = Counting;

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
        Value::Map(items) => items
            .iter()
            .map(|(k, e)| depth(k).max(depth(e)))
            .max()
            .unwrap_or(0),
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
        let before = HELD.load(Ordering::Relaxed);
        PEAK.store(before, Ordering::Relaxed);
        let result = decoder.next_value();
        let peak = PEAK.load(Ordering::Relaxed) - before;
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

fuzz_target!(|data: &[u8]| {
    // The captured exchanges begin with a greeting.
    let greeting = data.windows(2).position(|two| two == b"\n\n");
    let data = match greeting {
        Some(end) if data.starts_with(b"CONNECT") || data.starts_with(b"HTTP") => &data[end + 2..],
        _ => data,
    };
    assert_eq!(decode(data), decode(Dripping(data)));
});
