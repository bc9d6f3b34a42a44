//! The decoder and the encoder against streams of genuine programs, and the examples of Go's documentation.

mod common;

use common::{captured, captured_streams, decode_all, hex};
use netrpc::gob::{Encoder, Type, Value};
use netrpc::rpc::{EMPTY, REQUEST, RESPONSE};

/// A list of anything.
static LIST: Type = Type::Slice(&Type::Interface);

fn text(text: &str) -> Value {
    Value::String(text.to_owned())
}

/// The bodies of the calls or answers to a method.
fn bodies(stream: &str, method: &str) -> Vec<(Value, Value)> {
    let values = decode_all(&captured(stream)).unwrap();
    let pairs = values
        .chunks(2)
        .map(|pair| (pair[0].clone(), pair[1].clone()));
    pairs
        .filter(|(header, _)| header.text_field("ServiceMethod").ends_with(method))
        .collect()
}

/// The example and the tables of Go's `encoding/gob/doc.go` and `codec_test.go`.
#[test]
fn the_examples_of_gos_documentation_decode() {
    let point = hex(
        "1f ff81 03 01 01 05 506f696e74 01 ff82 00 01 02 01 01 58 01 04 00 01 01 59 01 04 00 00 00
         07 ff82 01 2c 01 42 00",
    );
    let expected = Value::structure([("X", Value::Int(22)), ("Y", Value::Int(33))]);
    assert_eq!(decode_all(&point).unwrap(), [expected]);
    for (bytes, expected) in [
        ("03 04 00 06", Value::Int(3)),
        ("05 04 00 fe0101", Value::Int(-129)),
        ("03 06 00 07", Value::Uint(7)),
        ("05 06 00 fe0100", Value::Uint(256)),
        ("0b 06 00 f8ffffffffffffffff", Value::Uint(u64::MAX)),
        ("0b 04 00 f8ffffffffffffffff", Value::Int(i64::MIN)),
        ("05 08 00 fe3140", Value::Float(17.0)),
        ("03 02 00 01", Value::Bool(true)),
        ("07 0c 00 04 64656d6f", text("demo")),
    ] {
        assert_eq!(decode_all(&hex(bytes)).unwrap(), [expected], "{bytes}");
    }
}

#[test]
fn every_captured_stream_decodes() {
    let streams = captured_streams();
    for (name, stream) in &streams {
        let values = decode_all(stream).unwrap();
        assert!(
            !values.is_empty() && values.len().is_multiple_of(2),
            "{name}"
        );
    }
    assert_eq!(streams.len(), 16);
}

#[test]
fn the_flags_of_a_genuine_plugin_decode() {
    let answers = bodies("demo-flags-help.s2c", "GetCreateFlags");
    let [(_, Value::List(flags))] = answers.as_slice() else {
        panic!("{answers:?}")
    };
    let kinds: Vec<_> = flags
        .iter()
        .map(|flag| match flag {
            Value::Interface(Some(held)) => (held.0.as_str(), held.1.text_field("Name")),
            other => panic!("{other:?}"),
        })
        .collect();
    for kind in ["StringFlag", "IntFlag", "BoolFlag", "StringSliceFlag"] {
        let name = format!("*mcnflag.{kind}");
        assert!(
            kinds
                .iter()
                .any(|(k, n)| **k == name && n.starts_with("demo-")),
            "{kinds:?}"
        );
    }
}

#[test]
fn an_error_of_a_genuine_plugin_decodes() {
    let answers = bodies("demo-precreate-error.s2c", "PreCreateCheck");
    let [(header, body)] = answers.as_slice() else {
        panic!("{answers:?}")
    };
    assert_eq!(header.text_field("Error"), "pre-create says no: «ü»");
    assert_eq!(*body, Value::Struct(Vec::new()));
}

/// The first bytes of a session, as genuine programs sent them.
#[test]
fn headers_are_encoded_as_go_does() {
    let header = |fields: &[(&str, Value)]| {
        Value::Struct(
            fields
                .iter()
                .map(|(n, v)| ((*n).into(), v.clone()))
                .collect(),
        )
    };
    let method = ("ServiceMethod", text("RPCServerDriver.GetVersion"));
    let mut client = Encoder::new(&[]);
    let mut bytes = client
        .encode(&REQUEST, &header(std::slice::from_ref(&method)))
        .unwrap();
    bytes.extend(client.encode(&EMPTY, &header(&[])).unwrap());
    assert!(
        captured("demo-create-error.c2s").starts_with(&bytes),
        "{bytes:x?}"
    );

    let mut server = Encoder::new(&[]);
    let mut bytes = server.encode(&RESPONSE, &header(&[method])).unwrap();
    bytes.extend(server.encode(&Type::Int, &Value::Int(1)).unwrap());
    assert!(
        captured("demo-create-error.s2c").starts_with(&bytes),
        "{bytes:x?}"
    );
}

#[test]
fn a_value_that_does_not_fit_its_type_is_not_sent() {
    let mut encoder = Encoder::new(&[]);
    encoder.encode(&Type::Int, &text("1")).unwrap_err();
    let unknown = Value::interface("*evil.Type", Value::Int(1));
    encoder
        .encode(&LIST, &Value::List(vec![unknown]))
        .unwrap_err();
    // The stream is still good.
    let stream = encoder.encode(&LIST, &Value::List(Vec::new())).unwrap();
    assert_eq!(decode_all(&stream).unwrap(), [Value::List(Vec::new())]);
}

/// Go refuses a value in which a type has two definitions, wherever our program has the type from.
#[test]
fn a_type_is_defined_once() {
    static ONE: Type = Type::Struct("T", &[("A", &Type::Slice(&Type::String)), ("B", &LIST)]);
    static SAME: Type = Type::Struct("T", &[("A", &OTHER_STRINGS), ("B", &LIST)]);
    static OTHER_STRINGS: Type = Type::Slice(&Type::String);
    static RENAMED: Type = Type::Struct("U", &[("A", &OTHER_STRINGS), ("B", &LIST)]);
    // Each contains itself.
    static TREE: Type = Type::Struct("Tree", &[("Left", &TREE), ("Right", &TREE)]);
    static SAME_TREE: Type = Type::Struct("Tree", &[("Left", &TREE), ("Right", &SAME_TREE)]);
    static OTHER_TREE: Type = Type::Struct("Tree", &[("Left", &OTHER_TREE), ("Right", &LIST)]);
    let nothing = Value::Struct(Vec::new());
    let mut encoder = Encoder::new(&[]);
    for (value_type, is_new) in [
        (&ONE, true),
        (&SAME, false),
        (&RENAMED, true),
        (&TREE, true),
        (&SAME_TREE, false),
        (&OTHER_TREE, true),
    ] {
        let stream = encoder.encode(value_type, &nothing).unwrap();
        // The value alone takes four bytes.
        assert_eq!(stream.len() > 4, is_new, "{value_type:?}: {stream:x?}");
    }
}
