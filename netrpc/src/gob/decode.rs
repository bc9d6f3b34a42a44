//! Reads a stream.

use std::collections::HashMap;
use std::io::{self, Read};
use std::sync::Arc;

use super::{Value, id};

/// The ids below are those of the types in which types are defined. Go itself begins at 64.
const FIRST_DEFINABLE: i64 = 25;

/// What a peer may make the decoder hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one message.
    pub message: usize,
    /// Bytes of all the messages of one value, its types' definitions included.
    pub value: usize,
    /// Values within values.
    pub depth: usize,
    /// Types of a stream.
    pub types: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message: 1 << 20,
            value: 2 << 20,
            depth: 32,
            types: 1_000,
        }
    }
}

/// Why a stream cannot be read on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The connection failed.
    #[error("the connection failed: {0}")]
    Io(#[from] io::Error),
    /// It ended in the middle of a value.
    #[error("the stream ends in the middle of a value")]
    Truncated,
    /// A message, or a value with all its messages, is too large.
    #[error("a message or value is larger than {0} bytes")]
    TooLarge(usize),
    /// Values are nested too deeply.
    #[error("values are nested more than {0} deep")]
    TooDeep(usize),
    /// Too many types are defined.
    #[error("more than {0} types are defined")]
    TooManyTypes(usize),
    /// A value is of a type that was not defined.
    #[error("type {0} is not defined")]
    UnknownType(i64),
    /// The bytes mean nothing.
    #[error("invalid gob data: {0}")]
    Invalid(&'static str),
}

/// A type of a stream, by what its values look like.
#[derive(Debug)]
enum WireType {
    Array {
        element: i64,
        length: u64,
    },
    Slice {
        element: i64,
    },
    Map {
        key: i64,
        element: i64,
    },
    Struct {
        fields: Vec<(Arc<str>, i64)>,
    },
    /// Encoded by the type itself.
    Opaque,
}

/// Reads the values of one stream.
#[derive(Debug)]
pub struct Decoder<R> {
    reader: R,
    limits: Limits,
    types: HashMap<i64, Arc<WireType>>,
    message: Vec<u8>,
    /// How much of the message has been read.
    position: usize,
    /// How many bytes the current value may still take.
    allowance: usize,
}

impl<R: Read> Decoder<R> {
    /// Reads from `reader`, unbuffered: it takes no byte beyond a value's.
    pub fn new(reader: R, limits: Limits) -> Self {
        Self {
            reader,
            limits,
            types: HashMap::new(),
            message: Vec::new(),
            position: 0,
            allowance: 0,
        }
    }

    /// The next value; nothing if the stream ends before it.
    ///
    /// # Errors
    ///
    /// If there is none that can be understood. The stream cannot be read any further then.
    pub fn next_value(&mut self) -> Result<Option<Value>, Error> {
        self.allowance = self.limits.value;
        loop {
            if !self.receive()? {
                return Ok(None);
            }
            let type_id = self.int()?;
            if type_id >= 0 {
                let value = self.top_level(type_id, 0)?;
                return match self.rest().is_empty() {
                    true => Ok(Some(value)),
                    false => Err(Error::Invalid("a message goes on after its value")),
                };
            }
            self.define(type_id)?;
            if !self.rest().is_empty() {
                return Err(Error::Invalid(
                    "a message goes on after its type's definition",
                ));
            }
        }
    }

    /// Reads the next message; `false` if the stream has ended before it.
    fn receive(&mut self) -> Result<bool, Error> {
        let mut first = [0];
        loop {
            match self.reader.read(&mut first) {
                Ok(0) => return Ok(false),
                Ok(_) => break,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e.into()),
            }
        }
        let [first] = first;
        let mut head = vec![first];
        let count = continuation(first)?;
        self.read_to(&mut head, count)?;
        let (length, _) = parse_uint(&head).ok_or(Error::Truncated)?;
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > self.limits.message || length > self.allowance {
            return Err(Error::TooLarge(self.limits.message.min(self.limits.value)));
        }
        self.allowance -= length;
        self.message = Vec::new();
        self.position = 0;
        let mut message = Vec::new();
        self.read_to(&mut message, length)?;
        self.message = message;
        Ok(true)
    }

    /// Appends `count` bytes, without making room for more than have come.
    fn read_to(&mut self, buffer: &mut Vec<u8>, count: usize) -> Result<(), Error> {
        let read = self
            .reader
            .by_ref()
            .take(count as u64)
            .read_to_end(buffer)?;
        if read < count {
            Err(Error::Truncated)
        } else {
            Ok(())
        }
    }

    fn rest(&self) -> &[u8] {
        self.message.get(self.position..).unwrap_or_default()
    }

    /// A value whose message has ended goes on in the next one.
    fn uint(&mut self) -> Result<u64, Error> {
        while self.rest().is_empty() {
            if !self.receive()? {
                return Err(Error::Truncated);
            }
        }
        let (number, length) =
            parse_uint(self.rest()).ok_or(Error::Invalid("a number is cut off or too large"))?;
        self.position += length;
        Ok(number)
    }

    fn int(&mut self) -> Result<i64, Error> {
        let bits = self.uint()?;
        let magnitude = (bits >> 1).cast_signed();
        Ok(if bits & 1 == 1 { !magnitude } else { magnitude })
    }

    fn float(&mut self) -> Result<f64, Error> {
        Ok(f64::from_bits(self.uint()?.swap_bytes()))
    }

    fn bytes(&mut self) -> Result<Vec<u8>, Error> {
        let length = usize::try_from(self.uint()?).unwrap_or(usize::MAX);
        let bytes = self
            .rest()
            .get(..length)
            .ok_or(Error::Invalid("a text is cut off"))?
            .to_vec();
        self.position += length;
        Ok(bytes)
    }

    /// Go's strings need not be UTF-8; nothing here depends on the bytes that are not.
    fn string(&mut self) -> Result<String, Error> {
        Ok(String::from_utf8_lossy(&self.bytes()?).into_owned())
    }

    /// A value that stands alone: that is a structure, or comes after a zero.
    fn top_level(&mut self, type_id: i64, depth: usize) -> Result<Value, Error> {
        let is_struct = type_id == id::WIRE_TYPE
            || matches!(
                self.types.get(&type_id).map(|t| &**t),
                Some(WireType::Struct { .. })
            );
        if !is_struct && self.uint()? != 0 {
            return Err(Error::Invalid("a value does not begin with a zero"));
        }
        self.value(type_id, depth)
    }

    fn value(&mut self, type_id: i64, depth: usize) -> Result<Value, Error> {
        if depth > self.limits.depth {
            return Err(Error::TooDeep(self.limits.depth));
        }
        Ok(match type_id {
            id::BOOL => Value::Bool(self.uint()? != 0),
            id::INT => Value::Int(self.int()?),
            id::UINT => Value::Uint(self.uint()?),
            id::FLOAT => Value::Float(self.float()?),
            id::BYTES => Value::Bytes(self.bytes()?),
            id::STRING => Value::String(self.string()?),
            id::COMPLEX => Value::Complex(self.float()?, self.float()?),
            id::INTERFACE => self.interface(depth)?,
            _ => {
                let known = self.types.get(&type_id).cloned();
                let wire_type = known
                    .or_else(|| wire_type_of_definitions(type_id).map(Arc::new))
                    .ok_or(Error::UnknownType(type_id))?;
                self.composite(&wire_type, depth)?
            }
        })
    }

    fn composite(&mut self, wire_type: &WireType, depth: usize) -> Result<Value, Error> {
        match wire_type {
            WireType::Opaque => Ok(Value::Bytes(self.bytes()?)),
            WireType::Slice { element } => self.list(None, *element, depth),
            WireType::Array { element, length } => self.list(Some(*length), *element, depth),
            WireType::Map { key, element } => {
                let mut items = Vec::new();
                // Each item takes a byte at least, so that the stream bounds the loop, whatever the count says.
                for _ in 0..self.uint()? {
                    items.push((
                        self.value(*key, depth + 1)?,
                        self.value(*element, depth + 1)?,
                    ));
                }
                Ok(Value::Map(items))
            }
            WireType::Struct { fields } => {
                let mut values = Vec::new();
                let mut next = 0_usize;
                loop {
                    let delta = usize::try_from(self.uint()?).unwrap_or(usize::MAX);
                    if delta == 0 {
                        return Ok(Value::Struct(values));
                    }
                    next = next.saturating_add(delta);
                    let (name, field_type) = fields
                        .get(next - 1)
                        .ok_or(Error::Invalid("a field that is not defined"))?;
                    values.push((Arc::clone(name), self.value(*field_type, depth + 1)?));
                }
            }
        }
    }

    fn list(&mut self, length: Option<u64>, element: i64, depth: usize) -> Result<Value, Error> {
        let count = self.uint()?;
        if length.is_some_and(|length| length != count) {
            return Err(Error::Invalid("an array of another length than its type's"));
        }
        let mut items = Vec::new();
        for _ in 0..count {
            items.push(self.value(element, depth + 1)?);
        }
        Ok(Value::List(items))
    }

    fn interface(&mut self, depth: usize) -> Result<Value, Error> {
        let name = self.string()?;
        if name.is_empty() {
            return Ok(Value::Interface(None));
        }
        let type_id = loop {
            let type_id = self.int()?;
            if type_id >= 0 {
                break type_id;
            }
            self.define(type_id)?;
            // What is left of the message after a definition has a length of its own; else the value goes on in the next
            // message, which the next read receives.
            if !self.rest().is_empty() {
                self.uint()?;
            }
        };
        // The length is none that could be relied on: it may end at a definition within the value.
        self.uint()?;
        let held = self.top_level(type_id, depth + 1)?;
        Ok(Value::interface(&name, held))
    }

    /// Reads the definition of the type whose negated id has just been read.
    fn define(&mut self, negated: i64) -> Result<(), Error> {
        let type_id = negated.checked_neg().ok_or(Error::Invalid("a type's id"))?;
        let definition = self.value(id::WIRE_TYPE, 0)?;
        if type_id < FIRST_DEFINABLE || self.types.contains_key(&type_id) {
            return Err(Error::Invalid("a type is defined twice"));
        }
        if self.types.len() >= self.limits.types {
            return Err(Error::TooManyTypes(self.limits.types));
        }
        let wire_type =
            wire_type(&definition).ok_or(Error::Invalid("a type's definition says nothing"))?;
        self.types.insert(type_id, Arc::new(wire_type));
        Ok(())
    }
}

/// How many bytes follow the first one of an unsigned number.
fn continuation(first: u8) -> Result<usize, Error> {
    match first {
        0..=0x7f => Ok(0),
        0xf8..=0xff => Ok(usize::from(first.wrapping_neg())),
        _ => Err(Error::Invalid("a number of more than 8 bytes")),
    }
}

/// An unsigned number at the beginning of `bytes`, and how many of them it takes.
fn parse_uint(bytes: &[u8]) -> Option<(u64, usize)> {
    let (&first, rest) = bytes.split_first()?;
    let count = continuation(first).ok()?;
    if count == 0 {
        return Some((first.into(), 1));
    }
    let digits = rest.get(..count)?;
    Some((
        digits
            .iter()
            .fold(0, |number, digit| number << 8 | u64::from(*digit)),
        1 + count,
    ))
}

/// The types in which types are defined, `wireType` and its parts in Go's `encoding/gob/type.go`.
fn wire_type_of_definitions(type_id: i64) -> Option<WireType> {
    let fields = |fields: &[(&str, i64)]| WireType::Struct {
        fields: fields
            .iter()
            .map(|(name, id)| ((*name).into(), *id))
            .collect(),
    };
    Some(match type_id {
        id::WIRE_TYPE => fields(&[
            ("ArrayT", 17),
            ("SliceT", 19),
            ("StructT", 20),
            ("MapT", 23),
            ("GobEncoderT", 24),
            ("BinaryMarshalerT", 24),
            ("TextMarshalerT", 24),
        ]),
        17 => fields(&[("CommonType", 18), ("Elem", id::INT), ("Len", id::INT)]),
        18 => fields(&[("Name", id::STRING), ("Id", id::INT)]),
        19 => fields(&[("CommonType", 18), ("Elem", id::INT)]),
        20 => fields(&[("CommonType", 18), ("Field", 22)]),
        21 => fields(&[("Name", id::STRING), ("Id", id::INT)]),
        22 => WireType::Slice { element: 21 },
        23 => fields(&[("CommonType", 18), ("Key", id::INT), ("Elem", id::INT)]),
        24 => fields(&[("CommonType", 18)]),
        _ => return None,
    })
}

fn wire_type(definition: &Value) -> Option<WireType> {
    let Value::Struct(kinds) = definition else {
        return None;
    };
    let [(kind, definition)] = kinds.as_slice() else {
        return None;
    };
    let int = |value: &Value, name| match value.field(name) {
        Some(Value::Int(number)) => *number,
        _ => 0,
    };
    Some(match &**kind {
        "ArrayT" => WireType::Array {
            element: int(definition, "Elem"),
            length: u64::try_from(int(definition, "Len")).ok()?,
        },
        "SliceT" => WireType::Slice {
            element: int(definition, "Elem"),
        },
        "MapT" => WireType::Map {
            key: int(definition, "Key"),
            element: int(definition, "Elem"),
        },
        "StructT" => WireType::Struct {
            fields: match definition.field("Field") {
                Some(Value::List(fields)) => {
                    let field = |f: &Value| (f.text_field("Name").into(), int(f, "Id"));
                    fields.iter().map(field).collect()
                }
                _ => Vec::new(),
            },
        },
        _ => WireType::Opaque,
    })
}
