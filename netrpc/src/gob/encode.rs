//! Writes a stream. Types are defined in messages of their own before the value that needs them first, those within
//! interface values too: Go's decoder takes that as well as the order of its own encoder.

use std::fmt;
use std::mem;
use std::ptr;

use super::{Value, id, kind};

/// How deep the values may be nested that are written; a decoder cannot be set to read deeper ones.
const MAX_DEPTH: u8 = u8::MAX;

/// The type of a value, as it is defined in the stream. What is called a name here is for people: Go's decoder goes by the
/// names of fields and those of the [`Registry`] only.
///
/// A type may refer to itself:
///
/// ```
/// use netrpc::gob::Type;
///
/// // type Tree struct { Label string; Children []Tree }
/// static TREE: Type = Type::Struct("Tree", &[("Label", &Type::String), ("Children", &TREES)]);
/// static TREES: Type = Type::Slice(&TREE);
/// ```
pub enum Type {
    /// `bool`
    Bool,
    /// `int` of any size
    Int,
    /// `uint` of any size
    Uint,
    /// `float32` and `float64`
    Float,
    /// `complex64` and `complex128`
    Complex,
    /// `[]byte`
    Bytes,
    /// `string`
    String,
    /// Any interface
    Interface,
    /// A slice of that type
    Slice(&'static Type),
    /// An array of that type and length
    Array(&'static Type, u32),
    /// A map: the types of its keys and elements
    Map(&'static Type, &'static Type),
    /// A structure: its name, and its fields with their types
    Struct(&'static str, &'static [(&'static str, &'static Type)]),
    /// A type of that name that encodes itself (`GobEncode`), such as `time.Time`; its values are [`Value::Bytes`]
    GobEncoder(&'static str),
    /// A type of that name that encodes itself by `MarshalBinary` only; its values are [`Value::Bytes`]
    BinaryMarshaler(&'static str),
}

impl Type {
    /// What it is, in Go's words.
    fn kind(&self) -> &'static str {
        match self {
            Self::Bool => "a bool",
            Self::Int => "an int",
            Self::Uint => "a uint",
            Self::Float => "a float",
            Self::Complex => "a complex",
            Self::Bytes => "a []byte",
            Self::String => "a string",
            Self::Interface => "an interface",
            Self::Slice(_) => "a slice",
            Self::Array(..) => "an array of its length",
            Self::Map(..) => "a map",
            Self::Struct(..) => "a struct",
            Self::GobEncoder(_) | Self::BinaryMarshaler(_) => "an encoded value",
        }
    }

    /// Whether both are written alike, names included.
    fn is_same(&'static self, other: &'static Self) -> bool {
        Self::are_same(self, other, &mut Vec::new())
    }

    /// The same, if those of `assumed` are: types may refer to themselves.
    fn are_same(
        one: &'static Self,
        other: &'static Self,
        assumed: &mut Vec<(&'static Self, &'static Self)>,
    ) -> bool {
        let is_this = |(a, b): &(&Self, &Self)| ptr::eq(*a, one) && ptr::eq(*b, other);
        if ptr::eq(one, other) || assumed.iter().any(is_this) {
            return true;
        }
        assumed.push((one, other));
        match (one, other) {
            (Self::Slice(a), Self::Slice(b)) => Self::are_same(a, b, assumed),
            (Self::Array(a, length), Self::Array(b, other_length)) => {
                length == other_length && Self::are_same(a, b, assumed)
            }
            (Self::Map(key, a), Self::Map(other_key, b)) => {
                Self::are_same(key, other_key, assumed) && Self::are_same(a, b, assumed)
            }
            (Self::Struct(name, fields), Self::Struct(other_name, other_fields)) => {
                name == other_name
                    && fields.len() == other_fields.len()
                    && fields.iter().zip(*other_fields).all(|(a, b)| {
                        let ((a_name, a), (b_name, b)) = (a, b);
                        a_name == b_name && Self::are_same(a, b, assumed)
                    })
            }
            (Self::GobEncoder(a), Self::GobEncoder(b))
            | (Self::BinaryMarshaler(a), Self::BinaryMarshaler(b)) => a == b,
            (one, other) => mem::discriminant(one) == mem::discriminant(other),
        }
    }

    /// Whether a structure leaves out a field of this type that has that value. Structures, arrays, maps that are not nil and
    /// values that encode themselves are always sent.
    fn leaves_out(&self, value: &Value) -> bool {
        match (self, value) {
            (_, Value::Bool(on)) => !on,
            (_, Value::Int(number)) => *number == 0,
            (_, Value::Uint(number)) => *number == 0,
            (_, Value::Float(number)) => *number == 0.0,
            (_, Value::Complex(re, im)) => *re == 0.0 && *im == 0.0,
            (Self::Bytes, Value::Bytes(bytes)) => bytes.is_empty(),
            (_, Value::String(text)) => text.is_empty(),
            (_, Value::Interface(held)) => held.is_none(),
            (Self::Slice(_), Value::List(items)) => items.is_empty(),
            _ => false,
        }
    }
}

/// In one word or two: a type may refer to itself.
impl fmt::Debug for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Struct(name, _) | Self::GobEncoder(name) | Self::BinaryMarshaler(name) => {
                write!(f, "{} {name:?}", self.kind())
            }
            _ => f.write_str(self.kind()),
        }
    }
}

/// The types that interface values may hold, by the names under which the peer knows them (`gob.Register`).
pub type Registry = &'static [(&'static str, &'static Type)];

/// Why a value cannot be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// It is of another type than it was given with.
    #[error("{found} where {expected} is expected")]
    Type {
        /// What the type says.
        expected: &'static str,
        /// What the value is.
        found: &'static str,
    },
    /// An interface holds a type that is not in the registry.
    #[error("no type is registered as {0:?}")]
    NotRegistered(String),
    /// Values are nested too deeply.
    #[error("values are nested more than {MAX_DEPTH} deep")]
    TooDeep,
    /// There are more types than a stream can have.
    #[error("too many types")]
    TooManyTypes,
}

/// Writes the values of one stream. A clone goes on with the same stream, for values that go out together or not at all.
#[derive(Clone, Debug)]
pub struct Encoder {
    registry: Registry,
    /// The types that the peer knows; their ids are in order from [`id::FIRST_USER`].
    defined: Vec<&'static Type>,
}

impl Encoder {
    /// An encoder for a new stream.
    pub fn new(registry: Registry) -> Self {
        Self {
            registry,
            defined: Vec::new(),
        }
    }

    /// The messages for a value: definitions of the types that the peer does not know yet, and the value. Fields that the
    /// type of a structure does not have are left out.
    ///
    /// # Errors
    ///
    /// If the value does not fit its type. The stream can be used further.
    pub fn encode(
        &mut self,
        value_type: &'static Type,
        value: &Value,
    ) -> Result<Vec<u8>, Mismatch> {
        let known = self.defined.len();
        let mut writer = Writer {
            encoder: self,
            definitions: Vec::new(),
        };
        let message = writer.message(value_type, value);
        let mut stream = writer.definitions;
        match message {
            Ok(message) => {
                put_bytes(&mut stream, &message);
                Ok(stream)
            }
            Err(mismatch) => {
                // The definitions are not sent either.
                self.defined.truncate(known);
                Err(mismatch)
            }
        }
    }
}

/// Writes one value.
struct Writer<'a> {
    encoder: &'a mut Encoder,
    /// Messages that define the types that are new.
    definitions: Vec<u8>,
}

impl Writer<'_> {
    fn message(&mut self, value_type: &'static Type, value: &Value) -> Result<Vec<u8>, Mismatch> {
        let mut message = Vec::new();
        put_int(&mut message, self.define(value_type)?);
        self.put_singleton(&mut message, value_type, value, 0)?;
        Ok(message)
    }

    /// The id of a type, which is defined first if it is new.
    fn define(&mut self, new: &'static Type) -> Result<i64, Mismatch> {
        let (kind, name) = match new {
            Type::Bool => return Ok(id::BOOL),
            Type::Int => return Ok(id::INT),
            Type::Uint => return Ok(id::UINT),
            Type::Float => return Ok(id::FLOAT),
            Type::Complex => return Ok(id::COMPLEX),
            Type::Bytes => return Ok(id::BYTES),
            Type::String => return Ok(id::STRING),
            Type::Interface => return Ok(id::INTERFACE),
            Type::Slice(_) => (kind::SLICE, ""),
            Type::Array(..) => (kind::ARRAY, ""),
            Type::Map(..) => (kind::MAP, ""),
            Type::Struct(name, _) => (kind::STRUCT, *name),
            Type::GobEncoder(name) => (kind::GOB_ENCODER, *name),
            Type::BinaryMarshaler(name) => (kind::BINARY_MARSHALER, *name),
        };
        // Go refuses a value in which one type of its own has two definitions.
        let defined = &mut self.encoder.defined;
        let identical = defined.iter().position(|known| ptr::eq(*known, new));
        let same = || defined.iter().position(|known| known.is_same(new));
        if let Some(index) = identical.or_else(same) {
            return user_id(index);
        }
        let type_id = user_id(defined.len())?;
        defined.push(new);

        // `wireType` and its parts in Go's `encoding/gob/type.go`.
        let mut definition = Vec::new();
        put_int(&mut definition, type_id.wrapping_neg());
        put_uint(&mut definition, kind);
        put_uint(&mut definition, 1);
        put_common(&mut definition, name, type_id);
        match new {
            Type::Slice(element) => self.put_reference(&mut definition, element)?,
            Type::Array(element, length) => {
                self.put_reference(&mut definition, element)?;
                if *length > 0 {
                    put_uint(&mut definition, 1);
                    put_int(&mut definition, (*length).into());
                }
            }
            Type::Map(key, element) => {
                self.put_reference(&mut definition, key)?;
                self.put_reference(&mut definition, element)?;
            }
            Type::Struct(_, fields) if !fields.is_empty() => {
                put_uint(&mut definition, 1);
                put_count(&mut definition, fields.len());
                for (name, field_type) in *fields {
                    let field_id = self.define(field_type)?;
                    put_common(&mut definition, name, field_id);
                }
            }
            _ => {}
        }
        definition.extend([0, 0]);
        put_bytes(&mut self.definitions, &definition);
        Ok(type_id)
    }

    /// The next field of a definition, the id of another type.
    fn put_reference(
        &mut self,
        definition: &mut Vec<u8>,
        to: &'static Type,
    ) -> Result<(), Mismatch> {
        put_uint(definition, 1);
        put_int(definition, self.define(to)?);
        Ok(())
    }

    /// A value that stands alone.
    fn put_singleton(
        &mut self,
        message: &mut Vec<u8>,
        value_type: &'static Type,
        value: &Value,
        depth: u8,
    ) -> Result<(), Mismatch> {
        if !matches!(value_type, Type::Struct(..)) {
            message.push(0);
        }
        self.put(message, value_type, value, depth)
    }

    fn put(
        &mut self,
        message: &mut Vec<u8>,
        value_type: &'static Type,
        value: &Value,
        depth: u8,
    ) -> Result<(), Mismatch> {
        let deeper = || depth.checked_add(1).ok_or(Mismatch::TooDeep);
        match (value_type, value) {
            (Type::Bool, Value::Bool(on)) => put_uint(message, u64::from(*on)),
            (Type::Int, Value::Int(number)) => put_int(message, *number),
            (Type::Uint, Value::Uint(number)) => put_uint(message, *number),
            (Type::Float, Value::Float(number)) => put_float(message, *number),
            (Type::Complex, Value::Complex(re, im)) => {
                put_float(message, *re);
                put_float(message, *im);
            }
            (Type::Bytes | Type::GobEncoder(_) | Type::BinaryMarshaler(_), Value::Bytes(bytes)) => {
                put_bytes(message, bytes)
            }
            (Type::String, Value::String(text)) => put_bytes(message, text.as_bytes()),
            (Type::Interface, Value::Interface(None)) => put_uint(message, 0),
            (Type::Interface, Value::Interface(Some(held))) => {
                let (name, value) = &**held;
                let held_type = self.registered(name)?;
                put_bytes(message, name.as_bytes());
                put_int(message, self.define(held_type)?);
                let mut content = Vec::new();
                self.put_singleton(&mut content, held_type, value, deeper()?)?;
                put_bytes(message, &content);
            }
            (Type::Slice(element), Value::List(items)) => {
                self.put_list(message, element, items, deeper()?)?;
            }
            (Type::Array(element, length), Value::List(items))
                if u32::try_from(items.len()) == Ok(*length) =>
            {
                self.put_list(message, element, items, deeper()?)?;
            }
            (Type::Map(key, element), Value::Map(items)) => {
                put_count(message, items.len());
                for (k, e) in items {
                    self.put(message, key, k, deeper()?)?;
                    self.put(message, element, e, deeper()?)?;
                }
            }
            (Type::Struct(_, fields), Value::Struct(_)) => {
                let mut delta = 1_u64;
                for (name, field_type) in *fields {
                    let field = value.field(name);
                    match field.filter(|field| !field_type.leaves_out(field)) {
                        Some(field) => {
                            put_uint(message, delta);
                            self.put(message, field_type, field, deeper()?)?;
                            delta = 1;
                        }
                        None => delta = delta.saturating_add(1),
                    }
                }
                message.push(0);
            }
            (value_type, value) => {
                return Err(Mismatch::Type {
                    expected: value_type.kind(),
                    found: value.kind(),
                });
            }
        }
        Ok(())
    }

    fn put_list(
        &mut self,
        message: &mut Vec<u8>,
        element: &'static Type,
        items: &[Value],
        depth: u8,
    ) -> Result<(), Mismatch> {
        put_count(message, items.len());
        items
            .iter()
            .try_for_each(|item| self.put(message, element, item, depth))
    }

    fn registered(&self, name: &str) -> Result<&'static Type, Mismatch> {
        let mut registered = self.encoder.registry.iter();
        registered
            .find(|(registered, _)| *registered == name)
            .map(|(_, held_type)| *held_type)
            .ok_or_else(|| Mismatch::NotRegistered(name.to_owned()))
    }
}

fn user_id(index: usize) -> Result<i64, Mismatch> {
    let index = i64::try_from(index).ok();
    index
        .and_then(|index| index.checked_add(id::FIRST_USER))
        .ok_or(Mismatch::TooManyTypes)
}

/// The name and id of a type or a field; a name that is empty is left out, as any zero.
fn put_common(buffer: &mut Vec<u8>, name: &str, type_id: i64) {
    if name.is_empty() {
        put_uint(buffer, 2);
    } else {
        put_uint(buffer, 1);
        put_bytes(buffer, name.as_bytes());
        put_uint(buffer, 1);
    }
    put_int(buffer, type_id);
    buffer.push(0);
}

fn put_uint(buffer: &mut Vec<u8>, number: u64) {
    let digits = number.to_be_bytes();
    match digits {
        [0, 0, 0, 0, 0, 0, 0, small @ 0..=0x7f] => buffer.push(small),
        _ => {
            let digits: Vec<_> = digits.into_iter().skip_while(|digit| *digit == 0).collect();
            let count = u8::try_from(digits.len()).unwrap_or_default();
            buffer.push(count.wrapping_neg());
            buffer.extend(digits);
        }
    }
}

fn put_int(buffer: &mut Vec<u8>, number: i64) {
    let bits = number.cast_unsigned();
    let bits = if number < 0 {
        !bits << 1 | 1
    } else {
        bits << 1
    };
    put_uint(buffer, bits);
}

fn put_float(buffer: &mut Vec<u8>, number: f64) {
    put_uint(buffer, number.to_bits().swap_bytes());
}

fn put_count(buffer: &mut Vec<u8>, count: usize) {
    put_uint(buffer, u64::try_from(count).unwrap_or(u64::MAX));
}

fn put_bytes(buffer: &mut Vec<u8>, bytes: &[u8]) {
    put_count(buffer, bytes.len());
    buffer.extend(bytes);
}
