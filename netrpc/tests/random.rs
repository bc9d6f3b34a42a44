//! The encoder and the decoder against each other, and streams that are cut off. Those that are wrong in random places are in
//! `tests/properties`.

mod common;

use common::{REGISTRY, Shape, captured_streams, decode_all};
use netrpc::gob::Encoder;

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
