//! What the tests share: streams as text, and random types with values of them.

#![allow(dead_code, reason = "each test program uses a part")]

use netrpc::gob::{Decoder, Error, Limits, Registry, Type, Value};

/// The bytes of hexadecimal digits.
pub(crate) fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<_> = text.chars().filter_map(|c| c.to_digit(16)).collect();
    digits
        .chunks(2)
        .map(|pair| u8::try_from(pair[0] * 16 + pair[1]).unwrap())
        .collect()
}

/// Bytes as hexadecimal digits.
pub(crate) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// All values of a stream.
pub(crate) fn decode_all(bytes: &[u8]) -> Result<Vec<Value>, Error> {
    let mut decoder = Decoder::new(bytes, Limits::default());
    let mut values = Vec::new();
    while let Some(value) = decoder.next_value()? {
        values.push(value);
    }
    Ok(values)
}

/// A message: its length, and what is in it.
pub(crate) fn message(content: &[u8]) -> Vec<u8> {
    let mut message = u32::try_from(content.len()).unwrap().to_be_bytes().to_vec();
    message.insert(0, 0xfc);
    message.extend(content);
    message
}

/// The seed of a random test: `TEST_SEED`, or another one each time. It is shown if the test fails.
pub(crate) fn random() -> fastrand::Rng {
    let chosen = std::env::var("TEST_SEED").ok();
    let seed = chosen.map_or_else(|| fastrand::u64(..), |seed| seed.parse().unwrap());
    println!("TEST_SEED={seed}");
    fastrand::Rng::with_seed(seed)
}

/// A type as Go knows it, sizes included.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Shape {
    /// One of Go's basic types, by its name there
    Basic(&'static str),
    /// `time.Time`
    Time,
    /// `netip.Addr`
    Addr,
    /// `any`
    Any,
    /// `[]byte`
    Bytes,
    Slice(Box<Self>),
    Array(Box<Self>, u32),
    Map(Box<Self>, Box<Self>),
    Struct(Vec<(String, Self)>),
}

const BASIC: [&str; 16] = [
    "bool",
    "int8",
    "int16",
    "int32",
    "int64",
    "int",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "uint",
    "float32",
    "float64",
    "complex64",
    "complex128",
    "string",
];

/// Those that keys of maps can have, and be told apart.
const KEYS: [&str; 6] = ["bool", "int16", "int64", "uint32", "uint64", "string"];

static POINT: Type = Type::Struct("Point", &[("X", &Type::Int), ("Y", &Type::Int)]);
static TREE: Type = Type::Struct("Tree", &[("Label", &Type::String), ("Children", &TREES)]);
static TREES: Type = Type::Slice(&TREE);
static INTS: Type = Type::Slice(&Type::Int);
static STRINGS: Type = Type::Slice(&Type::String);
static ANYTHING: Type = Type::Map(&Type::String, &Type::Interface);
static TIME: Type = Type::GobEncoder("Time");

/// What interfaces may hold. Go registers most of it by itself, and `gob-peer` the rest.
pub(crate) static REGISTRY: Registry = &[
    ("bool", &Type::Bool),
    ("int", &Type::Int),
    ("int8", &Type::Int),
    ("uint64", &Type::Uint),
    ("float64", &Type::Float),
    ("complex128", &Type::Complex),
    ("string", &Type::String),
    ("[]uint8", &Type::Bytes),
    ("[]int", &INTS),
    ("[]string", &STRINGS),
    ("peer.Point", &POINT),
    ("*peer.Tree", &TREE),
    ("peer.Anything", &ANYTHING),
    ("peer.Time", &TIME),
];

impl Shape {
    /// Any type, of `depth` levels at most.
    pub(crate) fn random(random: &mut fastrand::Rng, depth: u8) -> Self {
        let deeper = |random: &mut _| Box::new(Self::random(random, depth - 1));
        match random.u8(..if depth == 0 { 8 } else { 16 }) {
            0..=4 => Self::Basic(BASIC[random.usize(..BASIC.len())]),
            5 => Self::Bytes,
            6 => Self::Any,
            7 if random.bool() => Self::Time,
            7 => Self::Addr,
            8 | 9 => match deeper(random) {
                // That is []byte.
                element if *element == Self::Basic("uint8") => Self::Bytes,
                element => Self::Slice(element),
            },
            10 => Self::Array(deeper(random), random.u32(..4)),
            11 | 12 => {
                let mut key = Self::Basic(KEYS[random.usize(..KEYS.len())]);
                if random.u8(..4) == 0 {
                    key = match random.bool() {
                        true => Self::Array(Box::new(key), 2),
                        false => Self::Struct(vec![("K".to_owned(), key)]),
                    };
                }
                Self::Map(Box::new(key), deeper(random))
            }
            _ => Self::random_struct(random, depth),
        }
    }

    /// A structure.
    pub(crate) fn random_struct(random: &mut fastrand::Rng, depth: u8) -> Self {
        let fields = 0..random.usize(1..6);
        Self::Struct(
            fields
                .map(|number| {
                    let field = Self::random(random, depth.saturating_sub(1));
                    (format!("F{number}"), field)
                })
                .collect(),
        )
    }

    /// The type for the encoder. It lives as long as the test.
    pub(crate) fn to_type(&self) -> &'static Type {
        Box::leak(Box::new(match self {
            Self::Basic("bool") => Type::Bool,
            Self::Basic("string") => Type::String,
            Self::Basic(name) if name.starts_with("int") => Type::Int,
            Self::Basic(name) if name.starts_with("uint") => Type::Uint,
            Self::Basic(name) if name.starts_with("float") => Type::Float,
            Self::Basic(_) => Type::Complex,
            Self::Time => Type::GobEncoder("Time"),
            Self::Addr => Type::BinaryMarshaler("Addr"),
            Self::Any => Type::Interface,
            Self::Bytes => Type::Bytes,
            Self::Slice(element) => Type::Slice(element.to_type()),
            Self::Array(element, length) => Type::Array(element.to_type(), *length),
            Self::Map(key, element) => Type::Map(key.to_type(), element.to_type()),
            Self::Struct(fields) => {
                let fields: Vec<(&'static str, &'static Type)> = fields
                    .iter()
                    .map(|(name, field)| (&*name.clone().leak(), field.to_type()))
                    .collect();
                Type::Struct("", fields.leak())
            }
        }))
    }

    /// The type in JSON, for `gob-peer`.
    pub(crate) fn to_json(&self) -> String {
        match self {
            Self::Basic(name) => format!(r#"{{"kind":"{name}"}}"#),
            Self::Time => r#"{"kind":"time"}"#.to_owned(),
            Self::Addr => r#"{"kind":"addr"}"#.to_owned(),
            Self::Any => r#"{"kind":"any"}"#.to_owned(),
            Self::Bytes => r#"{"kind":"slice","of":{"kind":"uint8"}}"#.to_owned(),
            Self::Slice(element) => format!(r#"{{"kind":"slice","of":{}}}"#, element.to_json()),
            Self::Array(element, length) => {
                format!(
                    r#"{{"kind":"array","of":{},"length":{length}}}"#,
                    element.to_json()
                )
            }
            Self::Map(key, element) => format!(
                r#"{{"kind":"map","key":{},"of":{}}}"#,
                key.to_json(),
                element.to_json()
            ),
            Self::Struct(fields) => {
                let fields: Vec<_> = fields
                    .iter()
                    .map(|(name, field)| format!(r#"{{"name":"{name}","of":{}}}"#, field.to_json()))
                    .collect();
                format!(r#"{{"kind":"struct","fields":[{}]}}"#, fields.join(","))
            }
        }
    }

    /// Any value of the type, as the decoder shows it: fields that are zero are not there.
    pub(crate) fn value(&self, random: &mut fastrand::Rng) -> Value {
        match self {
            Self::Basic(name) => basic(name, random),
            Self::Time => Value::Bytes(time(random)),
            Self::Addr => Value::Bytes((0..4).map(|_| random.u8(..)).collect()),
            Self::Any => anything(random, 2),
            Self::Bytes => Value::Bytes((0..random.usize(..300)).map(|_| random.u8(..)).collect()),
            Self::Slice(element) => Value::List(
                (0..random.usize(..5))
                    .map(|_| element.value(random))
                    .collect(),
            ),
            Self::Array(element, length) => {
                Value::List((0..*length).map(|_| element.value(random)).collect())
            }
            Self::Map(key, element) => {
                let mut items: Vec<(Value, Value)> = Vec::new();
                for _ in 0..random.usize(..5) {
                    let key = key.value(random);
                    if items.iter().all(|(known, _)| *known != key) {
                        items.push((key, element.value(random)));
                    }
                }
                Value::Map(items)
            }
            Self::Struct(fields) => Value::Struct(
                fields
                    .iter()
                    .map(|(name, field)| (name.as_str().into(), field.value(random), field))
                    .filter(|(_, value, field)| !field.is_zero(value))
                    .map(|(name, value, _)| (name, value))
                    .collect(),
            ),
        }
    }

    /// Whether a field of that value is left out.
    fn is_zero(&self, value: &Value) -> bool {
        match (self, value) {
            (Self::Array(..), _) => false,
            (_, Value::Bool(on)) => !on,
            (_, Value::Int(number)) => *number == 0,
            (_, Value::Uint(number)) => *number == 0,
            (_, Value::Float(number)) => *number == 0.0,
            (_, Value::Complex(re, im)) => *re == 0.0 && *im == 0.0,
            (Self::Bytes, Value::Bytes(bytes)) => bytes.is_empty(),
            (_, Value::String(text)) => text.is_empty(),
            (_, Value::Interface(held)) => held.is_none(),
            (_, Value::List(items)) => items.is_empty(),
            _ => false,
        }
    }
}

fn basic(name: &str, random: &mut fastrand::Rng) -> Value {
    let bits = name.trim_start_matches(|c: char| c.is_ascii_alphabetic());
    let bits = bits.parse::<u32>().unwrap_or(64);
    // Small numbers, and those at the ends, are more interesting than their number.
    let number = match random.u8(..4) {
        0 => random.u64(..4),
        1 => u64::MAX - random.u64(..2),
        2 => 1 << random.u32(..64),
        _ => random.u64(..),
    };
    match name {
        "bool" => Value::Bool(random.bool()),
        "string" => Value::String(text(random)),
        _ if name.starts_with("int") => {
            Value::Int((number.cast_signed() << (64 - bits)) >> (64 - bits))
        }
        _ if name.starts_with("uint") => Value::Uint(number >> (64 - bits)),
        "float32" => Value::Float(f64::from(float(random) as f32)),
        "float64" => Value::Float(float(random)),
        "complex64" => {
            let (re, im) = (float(random) as f32, float(random) as f32);
            Value::Complex(re.into(), im.into())
        }
        _ => Value::Complex(float(random), float(random)),
    }
}

fn float(random: &mut fastrand::Rng) -> f64 {
    match random.u8(..8) {
        0 => 0.0,
        1 => f64::INFINITY,
        2 => -1.5,
        3 => f64::MIN_POSITIVE,
        4 => 1e300,
        5 => f64::from(random.i32(..)),
        _ => (random.f64() - 0.5) * 1e6,
    }
}

fn text(random: &mut fastrand::Rng) -> String {
    (0..random.usize(..12)).map(|_| random.char(..)).collect()
}

/// `time.Time` in UTC, as its `GobEncode` writes it.
fn time(random: &mut fastrand::Rng) -> Vec<u8> {
    let mut bytes = vec![1];
    bytes.extend(random.i64(1..1 << 36).to_be_bytes());
    bytes.extend(random.i32(..1_000_000_000).max(0).to_be_bytes());
    bytes.extend([0xff, 0xff]);
    bytes
}

/// An interface with something that is registered.
fn anything(random: &mut fastrand::Rng, depth: u8) -> Value {
    if random.u8(..6) == 0 {
        return Value::Interface(None);
    }
    let (name, held_type) = REGISTRY[random.usize(..REGISTRY.len())];
    let value = match (name, held_type) {
        ("[]int", _) => Shape::Slice(Box::new(Shape::Basic("int"))).value(random),
        ("[]string", _) => Shape::Slice(Box::new(Shape::Basic("string"))).value(random),
        ("[]uint8", _) => Shape::Bytes.value(random),
        ("peer.Time", _) => Value::Bytes(time(random)),
        ("peer.Point", _) => Shape::Struct(vec![
            ("X".to_owned(), Shape::Basic("int")),
            ("Y".to_owned(), Shape::Basic("int")),
        ])
        .value(random),
        ("*peer.Tree", _) => tree(random, depth),
        ("peer.Anything", _) => {
            let mut items: Vec<(Value, Value)> = Vec::new();
            for number in 0..random.usize(..=usize::from(depth)) {
                items.push((
                    Value::String(format!("k{number}")),
                    anything(random, depth.saturating_sub(1)),
                ));
            }
            Value::Map(items)
        }
        (basic_name, _) => basic(basic_name, random),
    };
    Value::interface(name, value)
}

fn tree(random: &mut fastrand::Rng, depth: u8) -> Value {
    let children: Vec<_> = (0..random.usize(..=usize::from(depth)))
        .map(|_| tree(random, depth.saturating_sub(1)))
        .collect();
    let mut fields = Vec::new();
    let label = text(random);
    if !label.is_empty() {
        fields.push(("Label".into(), Value::String(label)));
    }
    if !children.is_empty() {
        fields.push(("Children".into(), Value::List(children)));
    }
    Value::Struct(fields)
}

/// A value as text, in a form that `gob-peer` makes of Go's values too: fields in alphabetical order, items of maps too, and
/// what is empty left out of structures.
pub(crate) fn canonical(value: &Value) -> String {
    let joined = |mut parts: Vec<String>, sorted: bool| {
        if sorted {
            parts.sort();
        }
        parts.join(",")
    };
    let float = |number: &f64| match number.is_nan() {
        true => "NaN".to_owned(),
        false => format!("{:016x}", number.to_bits()),
    };
    match value {
        Value::Bool(on) => format!("{on}"),
        Value::Int(number) => format!("i{number}"),
        Value::Uint(number) => format!("u{number}"),
        Value::Float(number) => format!("f{}", float(number)),
        Value::Complex(re, im) => format!("c{}/{}", float(re), float(im)),
        Value::Bytes(bytes) => format!("b{}", to_hex(bytes)),
        Value::String(text) => format!("s{}", to_hex(text.as_bytes())),
        Value::Interface(None) => "nil".to_owned(),
        Value::Interface(Some(held)) => format!("@{}({})", held.0, canonical(&held.1)),
        Value::List(items) => {
            let items = items.iter().map(canonical).collect();
            format!("[{}]", joined(items, false))
        }
        Value::Map(items) => {
            let items = items.iter();
            let items = items.map(|(k, e)| format!("{}:{}", canonical(k), canonical(e)));
            format!("{{{}}}", joined(items.collect(), true))
        }
        Value::Struct(fields) => {
            let fields = fields.iter().filter(|(_, value)| {
                !matches!(value, Value::List(items) if items.is_empty())
                    && !matches!(value, Value::Map(items) if items.is_empty())
            });
            let fields = fields.map(|(name, value)| format!("{name}={}", canonical(value)));
            format!("<{}>", joined(fields.collect(), true))
        }
    }
}

const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors");

/// The streams that genuine programs exchanged, without the greeting of HTTP, and their names.
pub(crate) fn captured_streams() -> Vec<(String, Vec<u8>)> {
    let mut streams = Vec::new();
    for entry in std::fs::read_dir(VECTORS).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "bin") {
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            streams.push((name.clone(), captured(&name)));
        }
    }
    streams.sort();
    streams
}

/// One of them.
pub(crate) fn captured(name: &str) -> Vec<u8> {
    let bytes = std::fs::read(format!("{VECTORS}/{name}.bin")).unwrap();
    let greeting = bytes.windows(2).position(|two| two == b"\n\n").unwrap();
    bytes[greeting + 2..].to_vec()
}
