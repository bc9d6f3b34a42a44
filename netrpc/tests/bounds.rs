//! What a peer may make the decoder hold.

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use common::{hex, message};
use netrpc::gob::{Decoder, Encoder, Error, Limits, Mismatch, Registry, Type, Value};

/// The system's memory, with a count of what the thread holds.
struct Counting;

thread_local! {
    static HELD: Cell<usize> = const { Cell::new(0) };
    static PEAK: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: all is done by the system's own.
#[expect(unsafe_code, reason = "the only way to count")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.set(HELD.get().wrapping_add(layout.size()));
        PEAK.set(PEAK.get().max(HELD.get()));
        // SAFETY: as the caller has to see to it.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.set(HELD.get().wrapping_sub(layout.size()));
        // SAFETY: as the caller has to see to it.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static MEMORY: Counting = Counting;

/// What comes of a stream, and the most memory that was held for it at once.
fn measure(stream: &[u8], limits: Limits) -> (Result<Option<Value>, Error>, usize) {
    let before = HELD.get();
    PEAK.set(before);
    let result = Decoder::new(stream, limits).next_value();
    (result, PEAK.get() - before)
}

/// `[]element`, as type 65.
fn slice_of(element: &str) -> Vec<u8> {
    message(&hex(&format!("ff81 02 01 02 ff82 00 01 {element} 00 00")))
}

fn count(count: usize) -> [u8; 5] {
    let mut bytes = [0xfc; 5];
    bytes[1..].copy_from_slice(&u32::try_from(count).unwrap().to_be_bytes());
    bytes
}

#[test]
fn what_is_only_announced_takes_no_memory() {
    for (stream, what) in [
        ("f8 7fffffffffffffff", "a message"),
        ("f8 ffffffffffffffff", "a message of all ones"),
        (
            "fd 0fffff 0c 00",
            "a message of a megabyte that does not come",
        ),
        ("0b 0c 00 f8 00ffffffffffffff", "a string"),
        ("0b 0a 00 f8 ffffffffffffffff", "bytes"),
        ("0b 10 f8 00ffffffffffffff", "the name of a type"),
        (
            "0f ff81 02 01 02 ff82 00 01 02 00 00 00 00 00 0c ff82 00 f8 0100000000000000",
            "a slice",
        ),
    ] {
        let (result, peak) = measure(&hex(stream), Limits::default());
        assert!(result.is_err(), "{what}: {result:?}");
        assert!(peak < 16_384, "{what}: {peak} bytes");
    }
    // The same for each kind of list.
    for definition in [
        "ff81 02 01 02 ff82 00 01 02 00 00",
        "ff81 01 01 02 ff82 00 01 02 01 f8 fffffffffffffffe 00 00",
        "ff81 04 01 02 ff82 00 01 02 01 02 00 00",
    ] {
        let mut stream = message(&hex(definition));
        stream.extend(message(&hex("ff82 00 f8 7fffffffffffffff")));
        let (result, peak) = measure(&stream, Limits::default());
        assert!(matches!(result, Err(Error::Invalid(_))), "{result:?}");
        assert!(peak < 16_384, "{definition}: {peak} bytes");
    }
}

/// A byte of the stream may be an element that takes 32 in memory.
#[test]
fn the_memory_of_a_value_is_bounded_whatever_it_is_made_of() {
    let limits = Limits::default();
    let many = 900_000;
    // bool, []byte, string, interface (nil), struct{}, [0]bool, []bool
    for (element, more) in [
        ("02", ""),
        ("0a", ""),
        ("0c", ""),
        ("10", ""),
        ("ff84", "ff83 03 01 02 ff84 00 00 00"),
        ("ff84", "ff83 01 01 02 ff84 00 01 02 00 00"),
        ("ff84", "ff83 02 01 02 ff84 00 01 02 00 00"),
    ] {
        let mut stream = slice_of(element);
        if !more.is_empty() {
            stream.extend(message(&hex(more)));
        }
        let mut value = hex("ff82 00");
        value.extend(count(many));
        value.extend(vec![0; many]);
        stream.extend(message(&value));
        let (result, peak) = measure(&stream, limits);
        assert!(
            matches!(result, Err(Error::TooMuchMemory(_))),
            "{element} {more}: {:?}",
            result.map(|_| ())
        );
        // The message, the list, and the list while it grew.
        assert!(
            peak <= limits.memory * 3 / 2 + 2 * limits.message,
            "{element}: {peak} bytes"
        );
    }
    // Lists of one element each, which are the worst that there is for its room.
    let mut stream = slice_of("ff84");
    stream.extend(message(&hex("ff83 02 01 02 ff84 00 01 02 00 00")));
    let mut value = hex("ff82 00");
    value.extend(count(many / 2));
    value.extend([1, 0].repeat(many / 2));
    stream.extend(message(&value));
    let (result, peak) = measure(&stream, limits);
    assert!(matches!(result, Err(Error::TooMuchMemory(_))));
    assert!(
        peak <= limits.memory * 3 / 2 + 2 * limits.message,
        "{peak} bytes"
    );
    // Text that is not UTF-8 grows when it is read.
    let mut value = hex("0c 00");
    value.extend(count(many));
    value.extend(vec![0xff; many]);
    let tight = Limits {
        memory: 2 * many,
        ..limits
    };
    let (result, peak) = measure(&message(&value), tight);
    assert!(matches!(result, Err(Error::TooMuchMemory(_))));
    assert!(peak < 3 * many, "{peak} bytes");
}

#[test]
fn what_fits_is_counted_as_it_is() {
    let mut encoder = Encoder::new(&[]);
    static LIST: Type = Type::Slice(&Type::Bytes);
    let value = Value::List(vec![Value::Bytes(vec![7; 1_000]); 100]);
    let stream = encoder.encode(&LIST, &value).unwrap();
    let mut decoder = Decoder::new(&stream[..], Limits::default());
    let before = HELD.get();
    let read = decoder.next_value().unwrap();
    let held = HELD.get() - before;
    assert_eq!(read, Some(value));
    let counted = decoder.last_size();
    assert!((100_000..110_000).contains(&counted), "{counted}");
    // Besides the value it has the definition of a type.
    assert!(
        held.abs_diff(counted) < 2_000,
        "{held} bytes held, {counted} counted"
    );
}

#[test]
fn the_types_of_a_stream_are_bounded() {
    let definition = |number: u16| {
        let id = (i32::from(number) + 300) * 2;
        let (negative, positive) = (u16::try_from(id - 1).unwrap(), u16::try_from(id).unwrap());
        hex(&format!(
            "fe{negative:04x} 02 01 02 fe{positive:04x} 00 01 0c 00 00"
        ))
    };
    let stream: Vec<_> = (0..=1_000).flat_map(|n| message(&definition(n))).collect();
    let (result, _) = measure(&stream, Limits::default());
    assert!(matches!(result, Err(Error::TooManyTypes)), "{result:?}");
    // Twice the same.
    let stream = [message(&definition(1)), message(&definition(1))].concat();
    let (result, _) = measure(&stream, Limits::default());
    assert!(matches!(result, Err(Error::Invalid(_))), "{result:?}");
    // A structure of very many fields, of a byte each and of the shortest that there is.
    for field in ["00", "01 01 61 00"] {
        let mut content = hex("ff81 03 01 02 ff82 00 01");
        content.extend(count(200_000));
        content.extend(hex(field).repeat(200_000));
        let (result, peak) = measure(&message(&content), Limits::default());
        assert!(matches!(result, Err(Error::TooManyTypes)), "{result:?}");
        assert!(peak < 3 << 20, "{peak} bytes");
    }
    // Many structures that are not so large, for as long as it goes.
    let fields = 1_000;
    let mut stream = Vec::new();
    for number in 0..1_000_u16 {
        let id = (i32::from(number) + 300) * 2;
        let mut content = hex(&format!("fe{:04x} 03 01 02 fe{id:04x} 00 01", id - 1));
        content.extend(count(fields));
        content.extend(hex("01 01 61 01 04 00").repeat(fields));
        content.extend([0, 0]);
        stream.extend(message(&content));
    }
    let limits = Limits {
        value: usize::MAX,
        ..Limits::default()
    };
    let (result, peak) = measure(&stream, limits);
    assert!(matches!(result, Err(Error::TooManyTypes)), "{result:?}");
    assert!(peak < 20 * limits.definitions, "{peak} bytes");
}

/// The deepest value that the type of the limit allows is dropped, compared and printed on a small stack.
#[test]
fn values_are_only_so_deep() {
    // `[]interface{}`, as type 65, which an interface holds as `x`.
    let nested = |levels: usize| {
        let mut stream = slice_of("10");
        let mut value = hex("ff82 00");
        for _ in 1..levels {
            value.extend(hex("01 01 78 ff82 7f 00"));
        }
        value.push(0);
        stream.extend(message(&value));
        stream
    };
    let (result, _) = measure(&nested(17), Limits::default());
    assert!(matches!(result, Err(Error::TooDeep(32))), "{result:?}");
    let (result, _) = measure(&nested(16), Limits::default());
    assert!(matches!(result, Ok(Some(Value::List(_)))), "{result:?}");

    let deepest = Limits {
        depth: u8::MAX,
        ..Limits::default()
    };
    let (result, peak) = measure(&nested(100_000), deepest);
    assert!(matches!(result, Err(Error::TooDeep(255))), "{result:?}");
    assert!(peak < 2 << 20, "{peak} bytes");
    let stream = nested(128);
    let small = std::thread::Builder::new().stack_size(256 << 10);
    let thread = small.spawn(move || {
        let (result, _) = measure(&stream, deepest);
        let value = result.unwrap().unwrap();
        assert_eq!(value.clone(), value);
        format!("{value:?}").len()
    });
    assert!(thread.unwrap().join().unwrap() > 1_000);

    // Definitions that refer to each other in a circle nest nothing by themselves.
    let mut stream = slice_of("ff82");
    stream.extend(message(&hex("ff82 00 01 01 01 00")));
    let (result, _) = measure(&stream, Limits::default());
    assert_eq!(depth_of_lists(&result.unwrap().unwrap()), 4);
}

fn depth_of_lists(value: &Value) -> usize {
    match value {
        Value::List(items) => 1 + items.first().map_or(0, depth_of_lists),
        _ => 0,
    }
}

#[test]
fn a_value_takes_only_so_many_messages() {
    // Definitions without end, and messages with nothing in them.
    let (result, _) = measure(&[0; 100_000], Limits::default());
    assert!(matches!(result, Err(Error::Invalid(_))), "{result:?}");
    let small = Limits {
        value: 1_000,
        ..Limits::default()
    };
    let definition = |number: u16| {
        let id = (i32::from(number) + 300) * 2;
        message(&hex(&format!(
            "fe{:04x} 02 01 02 fe{id:04x} 00 01 0c 00 00",
            id - 1
        )))
    };
    let stream: Vec<_> = (0..200).flat_map(definition).collect();
    let (result, _) = measure(&stream, small);
    assert!(matches!(result, Err(Error::TooLarge(1_000))), "{result:?}");
    // Within an interface it is the same value still.
    let mut stream = message(&hex("10 00 01 78 fe0257 02 01 02 fe0258 00 01 0c 00 00"));
    stream.extend((10..200).flat_map(definition));
    let (result, _) = measure(&stream, small);
    assert!(matches!(result, Err(Error::TooLarge(1_000))), "{result:?}");
}

#[test]
fn nonsense_is_an_error() {
    for (content, why) in [
        ("10 00 05 78", "a text is cut off"),
        ("04 00 02 02", "goes on after its value"),
        ("04 01 02", "does not begin with a zero"),
        ("0c 00", "a number is cut off"),
        ("0c 00 f8 01", "a number is cut off"),
        ("80", "a number is cut off"),
        ("", "a number is cut off"),
        ("20 00 00", "type 16 is not defined"),
        ("7e 00 00", "type 63 is not defined"),
        ("f8 ffffffffffffffff 00", "a type's id"),
        ("03 02 01 02 04 00 00 00", "a type is defined twice"),
        ("7d 02 01 02 04 00 00 00", "a type is defined twice"),
        ("ff81 00 00", "a definition of no type"),
        ("ff81 08 01 00 00", "a definition of no type"),
        (
            "ff81 02 01 02 ff82 00 02 02 00 00",
            "a definition of no type",
        ),
        (
            "ff81 02 01 02 ff82 00 01 02 00 01 00",
            "a definition of two types",
        ),
        (
            "ff81 01 01 02 ff82 00 01 02 01 01 00 00",
            "an array of negative length",
        ),
        (
            "ff81 03 01 02 ff82 00 01 01 00 00 00",
            "a field has no name",
        ),
        (
            "ff81 02 01 02 ff82 00 01 02 00 00 00",
            "goes on after its definition",
        ),
    ] {
        let (result, _) = measure(&message(&hex(content)), Limits::default());
        let error = result.unwrap_err().to_string();
        assert!(error.contains(why), "{content}: {error}");
    }
    // Point{X int; Y int} with a field 3, the same by a number that overflows, and an array of another length.
    let point = message(&hex(
        "ff81 03 01 02 ff82 00 01 02 01 01 58 01 04 00 01 01 59 01 04 00 00 00",
    ));
    let array = message(&hex("ff81 01 01 02 ff82 00 01 02 01 04 00 00"));
    for (definition, value, why) in [
        (&point, "ff82 03 02 00", "a field that is not defined"),
        (
            &point,
            "ff82 01 02 f8 ffffffffffffffff 02 00",
            "a field that is not defined",
        ),
        (&point, "ff82 01 02", "a number is cut off"),
        (&array, "ff82 00 01 01", "an array of another length"),
        (&array, "ff82 00 03 01 01 01", "an array of another length"),
    ] {
        let stream = [definition.clone(), message(&hex(value))].concat();
        let (result, _) = measure(&stream, Limits::default());
        let error = result.unwrap_err().to_string();
        assert!(error.contains(why), "{value}: {error}");
    }
    // The end after a definition, or within a value, is not the end of the stream.
    for stream in [
        point.clone(),
        message(&hex("10 00 01 78 fe0257 02 01 02 fe0258 00 01 0c 00 00")),
    ] {
        let (result, _) = measure(&stream, Limits::default());
        assert!(matches!(result, Err(Error::Truncated)), "{result:?}");
    }
}

#[test]
fn what_cannot_be_read_is_not_written() {
    static LIST: Type = Type::Slice(&Type::Interface);
    static REGISTRY: Registry = &[("list", &LIST)];
    let mut encoder = Encoder::new(REGISTRY);
    let mut value = Value::List(Vec::new());
    for _ in 0..200 {
        value = Value::List(vec![Value::interface("list", value)]);
    }
    assert_eq!(encoder.encode(&LIST, &value), Err(Mismatch::TooDeep));
    assert!(encoder.encode(&LIST, &Value::List(Vec::new())).is_ok());
}
