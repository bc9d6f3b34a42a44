//! Writes a stream. Types are defined in messages of their own before the value that needs them first, those within
//! interface values too: Go's decoder takes that as well as the order of its own encoder.

use super::{Value, id};

/// The type of a value, as it is defined in the stream.
#[derive(Debug, PartialEq, Eq)]
pub enum Type {
    /// `bool`
    Bool,
    /// `int` of any size
    Int,
    /// `uint` of any size
    Uint,
    /// `[]byte`
    Bytes,
    /// `string`
    String,
    /// Any interface
    Interface,
    /// A slice of that type
    Slice(&'static Type),
    /// A map: its name, as Go spells it, and the types of its keys and elements
    Map(&'static str, &'static Type, &'static Type),
    /// A structure: its name, and its fields with their types
    Struct(&'static str, &'static [(&'static str, Type)]),
}

/// The types that interface values may hold, by the names under which the peer knows them (`gob.Register`).
pub type Registry = &'static [(&'static str, &'static Type)];

/// Why a value cannot be written: it does not fit the type that it was given with, or is of one that is not registered.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a value does not fit its type, or its type is not registered: {0}")]
pub struct Mismatch(String);

/// Writes the values of one stream.
#[derive(Debug)]
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

    /// The messages for a value: definitions of the types that the peer does not know yet, and the value.
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
        let mut stream = Vec::new();
        let message = self.define(value_type, &mut stream).and_then(|type_id| {
            self.define_held(value_type, value, &mut stream)?;
            let mut message = Vec::new();
            put_int(&mut message, type_id);
            self.put_top_level(&mut message, value_type, value)?;
            Ok(message)
        });
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

    /// The id of a type, which is defined first if it is new.
    fn define(&mut self, new: &'static Type, stream: &mut Vec<u8>) -> Result<i64, Mismatch> {
        let built_in = match new {
            Type::Bool => id::BOOL,
            Type::Int => id::INT,
            Type::Uint => id::UINT,
            Type::Bytes => id::BYTES,
            Type::String => id::STRING,
            Type::Interface => id::INTERFACE,
            Type::Slice(_) | Type::Map(..) | Type::Struct(..) => 0,
        };
        if built_in != 0 {
            return Ok(built_in);
        }
        if let Some(index) = self.defined.iter().position(|known| *known == new) {
            return user_id(index);
        }
        let type_id = user_id(self.defined.len())?;
        self.defined.push(new);

        // `wireType` and its parts; see `wire_type_of_definitions` in the decoder.
        let mut definition = Vec::new();
        put_int(&mut definition, -type_id);
        let (kind, name) = match new {
            Type::Map(name, ..) => (4, *name),
            Type::Struct(name, _) => (3, *name),
            _ => (2, ""),
        };
        put_uint(&mut definition, kind);
        put_uint(&mut definition, 1);
        put_common(&mut definition, name, type_id);
        match new {
            Type::Slice(element) => {
                put_uint(&mut definition, 1);
                put_int(&mut definition, self.define(element, stream)?);
            }
            Type::Map(_, key, element) => {
                for part in [key, element] {
                    put_uint(&mut definition, 1);
                    put_int(&mut definition, self.define(part, stream)?);
                }
            }
            Type::Struct(_, fields) if !fields.is_empty() => {
                put_uint(&mut definition, 1);
                put_uint(&mut definition, fields.len() as u64);
                for (name, field_type) in *fields {
                    let field_id = self.define(field_type, stream)?;
                    put_common(&mut definition, name, field_id);
                }
            }
            _ => {}
        }
        definition.extend([0, 0]);
        put_bytes(stream, &definition);
        Ok(type_id)
    }

    /// Defines the types of what the interfaces within a value hold.
    fn define_held(
        &mut self,
        value_type: &'static Type,
        value: &Value,
        stream: &mut Vec<u8>,
    ) -> Result<(), Mismatch> {
        match (value_type, value) {
            (Type::Interface, Value::Interface(Some(held))) => {
                let (name, value) = &**held;
                let held_type = self.registered(name)?;
                self.define(held_type, stream)?;
                self.define_held(held_type, value, stream)
            }
            (Type::Slice(element), Value::List(items)) => items
                .iter()
                .try_for_each(|item| self.define_held(element, item, stream)),
            (Type::Map(_, key, element), Value::Map(items)) => {
                items.iter().try_for_each(|(k, e)| {
                    self.define_held(key, k, stream)?;
                    self.define_held(element, e, stream)
                })
            }
            (Type::Struct(_, fields), value) => {
                fields
                    .iter()
                    .try_for_each(|(name, field_type)| match value.field(name) {
                        Some(value) => self.define_held(field_type, value, stream),
                        None => Ok(()),
                    })
            }
            _ => Ok(()),
        }
    }

    fn registered(&self, name: &str) -> Result<&'static Type, Mismatch> {
        let found = self
            .registry
            .iter()
            .find(|(registered, _)| *registered == name);
        found
            .map(|(_, held_type)| *held_type)
            .ok_or_else(|| Mismatch(name.to_owned()))
    }

    fn put_top_level(
        &mut self,
        message: &mut Vec<u8>,
        value_type: &'static Type,
        value: &Value,
    ) -> Result<(), Mismatch> {
        if !matches!(value_type, Type::Struct(..)) {
            message.push(0);
        }
        self.put(message, value_type, value)
    }

    fn put(
        &mut self,
        message: &mut Vec<u8>,
        value_type: &'static Type,
        value: &Value,
    ) -> Result<(), Mismatch> {
        match (value_type, value) {
            (Type::Bool, Value::Bool(on)) => put_uint(message, u64::from(*on)),
            (Type::Int, Value::Int(number)) => put_int(message, *number),
            (Type::Uint, Value::Uint(number)) => put_uint(message, *number),
            (Type::Bytes, Value::Bytes(bytes)) => put_bytes(message, bytes),
            (Type::String, Value::String(text)) => put_bytes(message, text.as_bytes()),
            (Type::Interface, Value::Interface(None)) => put_uint(message, 0),
            (Type::Interface, Value::Interface(Some(held))) => {
                let (name, value) = &**held;
                let held_type = self.registered(name)?;
                put_bytes(message, name.as_bytes());
                // The type has been defined, so that nothing is written to the stream here.
                put_int(message, self.define(held_type, &mut Vec::new())?);
                let mut content = Vec::new();
                self.put_top_level(&mut content, held_type, value)?;
                put_bytes(message, &content);
            }
            (Type::Slice(element), Value::List(items)) => {
                put_uint(message, items.len() as u64);
                items
                    .iter()
                    .try_for_each(|item| self.put(message, element, item))?;
            }
            (Type::Map(_, key, element), Value::Map(items)) => {
                put_uint(message, items.len() as u64);
                for (k, e) in items {
                    self.put(message, key, k)?;
                    self.put(message, element, e)?;
                }
            }
            (Type::Struct(_, fields), Value::Struct(_)) => {
                let mut delta = 1;
                for (name, field_type) in *fields {
                    match value.field(name).filter(|value| !value.is_zero()) {
                        Some(value) => {
                            put_uint(message, delta);
                            self.put(message, field_type, value)?;
                            delta = 1;
                        }
                        None => delta += 1,
                    }
                }
                message.push(0);
            }
            (value_type, value) => {
                return Err(Mismatch(format!("{value:?} is no {value_type:?}")));
            }
        }
        Ok(())
    }
}

fn user_id(index: usize) -> Result<i64, Mismatch> {
    i64::try_from(index)
        .map(|index| id::FIRST_USER + index)
        .map_err(|e| Mismatch(e.to_string()))
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
    put_uint(
        buffer,
        if number < 0 {
            !bits << 1 | 1
        } else {
            bits << 1
        },
    );
}

fn put_bytes(buffer: &mut Vec<u8>, bytes: &[u8]) {
    put_uint(buffer, bytes.len() as u64);
    buffer.extend(bytes);
}
