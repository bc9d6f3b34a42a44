//! Go's `encoding/gob`, as far as `net/rpc` needs it.
//!
//! A stream is a sequence of messages, each a length and as many bytes. A message defines a type or holds a value of a
//! type that was defined before; definitions of types within interface values come in the middle of a value, which then
//! goes on in the next message. The published crate `gobwire` is not used: it is the first release of one author and has
//! neither tests nor `net/rpc`.
//!
//! Sources: the documentation of Go's package, and streams of genuine programs in `tests/vectors`.

mod decode;
mod encode;

use std::sync::Arc;

pub use decode::{Decoder, Error, Limits};
pub use encode::{Encoder, Registry, Type};

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
    /// The description of a type.
    pub(super) const WIRE_TYPE: i64 = 16;
    /// The first that Go gives to a type of the program.
    pub(super) const FIRST_USER: i64 = 65;
}

/// A value, whatever its type is called.
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
    /// A map
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
        Self::Struct(
            fields
                .into_iter()
                .map(|(name, value)| (name.into(), value))
                .collect(),
        )
    }

    /// The field of a structure; nothing if it is zero or there is none of that name.
    pub fn field(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Struct(fields) => fields.iter().find(|(n, _)| **n == *name).map(|(_, v)| v),
            _ => None,
        }
    }

    /// The field of a structure that is a string; a zero one is not sent.
    pub fn text_field(&self, name: &str) -> &str {
        match self.field(name) {
            Some(Self::String(text)) => text,
            _ => "",
        }
    }

    /// Whether it is the zero of its type, which a structure leaves out.
    fn is_zero(&self) -> bool {
        match self {
            Self::Bool(on) => !on,
            Self::Int(number) => *number == 0,
            Self::Uint(number) => *number == 0,
            Self::Float(number) => *number == 0.0,
            Self::Complex(re, im) => *re == 0.0 && *im == 0.0,
            Self::Bytes(bytes) => bytes.is_empty(),
            Self::String(text) => text.is_empty(),
            Self::Interface(held) => held.is_none(),
            Self::List(items) => items.is_empty(),
            Self::Map(items) => items.is_empty(),
            // A structure is always sent, even with all its fields left out.
            Self::Struct(_) => false,
        }
    }
}
