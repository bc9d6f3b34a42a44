//! Go's `encoding/gob`: streams of values that describe their own types.
//!
//! # The format
//!
//! A stream is a sequence of messages, each a length and as many bytes. A message defines a type, under a number of the
//! sender's choice, or holds a value of a type that was defined before. Definitions may come in any order, and refer to types
//! that are defined later. Where an interface holds a value of a type that is new, its definition comes in the middle of the
//! value, which then goes on in the next message. In a structure, fields that are zero are left out, all others come by
//! number; structures and arrays within it are always there. Only what a value looks like is sent: `int8` and `int64`
//! are the same, pointers are what they point to, and a nil pointer is a field that is left out.
//!
//! # What Rust sees
//!
//! A [`Decoder`] makes a [`Value`] of whatever comes; it needs to know no type beforehand. The names of interfaces' contents
//! are handed on unseen, whether anybody registered them or not. Whoever wants a field asks for it
//! by name, so that fields which are new, or gone, do not matter:
//!
//! ```
//! use netrpc::gob::{Decoder, Limits, Value};
//!
//! // Point{22, 33}, the example of the documentation of Go's package.
//! let stream = b"\x1f\xff\x81\x03\x01\x01\x05Point\x01\xff\x82\x00\x01\x02\x01\x01X\x01\x04\x00\x01\x01Y\x01\x04\x00\x00\x00\
//!                \x07\xff\x82\x01\x2c\x01\x42\x00";
//! let mut decoder = Decoder::new(&stream[..], Limits::default());
//! let point = decoder.next_value()?.expect("a value");
//! assert_eq!(point.field("X"), Some(&Value::Int(22)));
//! assert_eq!(point.field("Z"), None);
//! assert_eq!(decoder.next_value()?, None);
//! # Ok::<(), netrpc::gob::Error>(())
//! ```
//!
//! An [`Encoder`] writes values of a [`Type`], which says how Go shall see them. The types that interfaces may hold are in a
//! [`Registry`], by the names of Go's `gob.Register`.
//!
//! ```
//! use netrpc::gob::{Decoder, Encoder, Limits, Registry, Type, Value};
//!
//! static POINT: Type = Type::Struct("Point", &[("X", &Type::Int), ("Y", &Type::Int)]);
//! static SHAPES: Type = Type::Map(&Type::String, &Type::Interface);
//! static REGISTRY: Registry = &[("main.Point", &POINT), ("string", &Type::String)];
//!
//! // map[string]any{"origin": Point{}, "name": "plane"}
//! let shapes = Value::Map(vec![
//!     ("origin".into(), Value::interface("main.Point", Value::structure([]))),
//!     ("name".into(), Value::interface("string", "plane".into())),
//! ]);
//! let stream = Encoder::new(REGISTRY).encode(&SHAPES, &shapes)?;
//! let read = Decoder::new(&stream[..], Limits::default()).next_value()?;
//! assert_eq!(read, Some(shapes));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Peers that are not trusted
//!
//! [`Limits`] bound what a stream can cost: the bytes of a message and of a value, the memory that a value takes, its depth,
//! and the types of a stream. Nothing is allocated for what is only announced. No function calls itself because the input
//! says so, and a value is never nested so deeply that dropping, comparing or printing it could exhaust the stack. Whatever
//! comes, the answer is a value or an [`Error`], never a panic.
//!
//! # Differences from Go
//!
//! - Text that is not UTF-8 is read with U+FFFD in the place of what is not.
//! - The encoder defines all types before the value, those of interfaces' contents too. Go reads that as well, and can skip
//!   such a value where it does not know the field that holds it, which it cannot if a definition is within. (A nil interface
//!   in a field that it does not know confuses it in any case.)
//! - An empty slice is written in the same way as a nil one, as Go does; an empty map differs from a nil one, which is a
//!   field that is missing.
//! - A number that is too large for the type that somebody has in mind is not noticed here: all integers are 64 bits wide.
//!
//! # Why not the crate `gobwire`
//!
//! It (0.1.0, its only release) covers as much of the format, with types derived from Rust's. But it is made for peers that
//! are trusted: messages may be 8 GiB long and nothing bounds what they become in memory, room is made for as many elements
//! as are announced, 32 times their size on the wire, and nested values are read by recursion, up to 512 deep, all of which
//! cannot be changed from outside. Text that is not UTF-8 ends the stream. It comes without tests and without `net/rpc`.

mod decode;
mod encode;

use std::sync::Arc;

pub use decode::{Decoder, Error, Limits};
pub use encode::{Encoder, Mismatch, Registry, Type};

/// The ids of the types that need no definition.
mod id {
    pub(super) const BOOL: i64 = 1;
    pub(super) const INT: i64 = 2;
    pub(super) const UINT: i64 = 3;
    pub(super) const FLOAT: i64 = 4;
    pub(super) const BYTES: i64 = 5;
    pub(super) const STRING: i64 = 6;
    pub(super) const COMPLEX: i64 = 7;
    pub(super) const INTERFACE: i64 = 8;
    /// The ids up to here are Go's own: the above, and the types in which types are defined.
    pub(super) const LAST_RESERVED: i64 = 63;
    /// The first that Go gives to a type of the program.
    pub(super) const FIRST_USER: i64 = 65;
}

/// The fields of a type's definition that tell what kind of type it is, by number: `wireType` in Go's
/// `encoding/gob/type.go`.
mod kind {
    pub(super) const ARRAY: u64 = 1;
    pub(super) const SLICE: u64 = 2;
    pub(super) const STRUCT: u64 = 3;
    pub(super) const MAP: u64 = 4;
    pub(super) const GOB_ENCODER: u64 = 5;
    pub(super) const BINARY_MARSHALER: u64 = 6;
    pub(super) const TEXT_MARSHALER: u64 = 7;
}

/// A value, whatever its type is called.
///
/// Those of a [`Decoder`] are nested no deeper than its [`Limits`] allow. A program that nests values tens of thousands deep
/// by itself exhausts its stack when it drops them.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `bool`
    Bool(bool),
    /// `int` of any size
    Int(i64),
    /// `uint` of any size
    Uint(u64),
    /// `float32` and `float64`
    Float(f64),
    /// `complex64` and `complex128`: real and imaginary part
    Complex(f64, f64),
    /// `[]byte`, and what a type's own `GobEncode` or `MarshalBinary` made
    Bytes(Vec<u8>),
    /// `string`
    String(String),
    /// An interface: nothing if it is nil, else the registered name of what it holds and that
    Interface(Option<Box<(String, Value)>>),
    /// A slice or an array
    List(Vec<Value>),
    /// A map, in the order of the stream, which is any; a peer that is no Go program may repeat a key
    Map(Vec<(Value, Value)>),
    /// A structure: its fields that are not zero, by name
    Struct(Vec<(Arc<str>, Value)>),
}

impl Value {
    /// An interface that holds `value`, registered as `name`.
    pub fn interface(name: &str, value: Self) -> Self {
        Self::Interface(Some(Box::new((name.to_owned(), value))))
    }

    /// A structure with these fields.
    pub fn structure<const N: usize>(fields: [(&str, Self); N]) -> Self {
        let fields = fields.into_iter();
        Self::Struct(fields.map(|(name, value)| (name.into(), value)).collect())
    }

    /// The field of a structure; nothing if it is zero or there is none of that name.
    pub fn field(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Struct(fields) => fields.iter().find(|(n, _)| **n == *name).map(|(_, v)| v),
            _ => None,
        }
    }

    /// The field of a structure that is a string; empty if it is missing or something else.
    pub fn text_field(&self, name: &str) -> &str {
        match self.field(name) {
            Some(Self::String(text)) => text,
            _ => "",
        }
    }

    /// What it is, in Go's words.
    fn kind(&self) -> &'static str {
        match self {
            Self::Bool(_) => "a bool",
            Self::Int(_) => "an int",
            Self::Uint(_) => "a uint",
            Self::Float(_) => "a float",
            Self::Complex(..) => "a complex",
            Self::Bytes(_) => "a []byte",
            Self::String(_) => "a string",
            Self::Interface(_) => "an interface",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
            Self::Struct(_) => "a struct",
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}
