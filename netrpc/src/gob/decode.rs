//! Reads a stream.

use std::collections::HashMap;
use std::io::{self, Read};
use std::sync::Arc;

use super::{Value, id, kind};

/// The longest name of an interface's content, as in Go.
const MAX_NAME: usize = 1024;

/// How many values a list has room for at first.
const FIRST_ROOM: usize = 4;

/// The fewest bytes that the definition of a structure's field takes.
const MIN_FIELD: usize = 4;

/// What a peer may make the decoder hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one message. By default 1 MiB.
    pub message: usize,
    /// Bytes of all the messages of one value, definitions of types included. By default 2 MiB.
    pub value: usize,
    /// Bytes of memory that one value takes, by the decoder's own count (see [`Decoder::last_size`]): what an element takes
    /// in Rust is many times the byte that it may take in the stream. By default 8 MiB. A list that grows needs its old
    /// and its new room for a moment, so that the peak may be half as much again, and the message it is read from.
    pub memory: usize,
    /// Lists, maps, structures and interfaces within each other. By default 32; the type bounds it to what any thread's
    /// stack can drop.
    pub depth: u8,
    /// Types that a stream defines. By default 1,000.
    pub types: usize,
    /// Bytes of all the definitions of a stream, which are kept as long as the decoder is. By default 64 KiB; in memory it is
    /// up to 20 times as much.
    pub definitions: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message: 1 << 20,
            value: 2 << 20,
            memory: 8 << 20,
            depth: 32,
            types: 1_000,
            definitions: 64 << 10,
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
    /// A message, or a value with all its messages, is longer than this many bytes.
    #[error("a message or value is longer than {0} bytes")]
    TooLarge(usize),
    /// A value takes more memory than this many bytes.
    #[error("a value takes more than {0} bytes of memory")]
    TooMuchMemory(usize),
    /// Values are nested too deeply.
    #[error("values are nested more than {0} deep")]
    TooDeep(u8),
    /// Too many types are defined, or their definitions are too long.
    #[error("too many types are defined")]
    TooManyTypes,
    /// A value is of a type that was not defined.
    #[error("type {0} is not defined")]
    UnknownType(i64),
    /// The bytes mean nothing.
    #[error("invalid gob data: {0}")]
    Invalid(&'static str),
}

/// A type of a stream, by what its values look like.
#[derive(Clone, Debug)]
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
    Struct(Fields),
    /// Encoded by the type itself.
    Opaque,
}

/// The names and types of a structure's fields.
type Fields = Arc<[(Arc<str>, i64)]>;

/// Reads the values of one stream.
///
/// ```
/// use netrpc::gob::{Decoder, Error, Limits};
///
/// // An announcement of 2^63 - 1 bytes.
/// let mut decoder = Decoder::new(&b"\xf8\x7f\xff\xff\xff\xff\xff\xff\xff"[..], Limits::default());
/// assert!(matches!(decoder.next_value(), Err(Error::TooLarge(_))));
/// ```
#[derive(Debug)]
pub struct Decoder<R> {
    reader: R,
    limits: Limits,
    types: HashMap<i64, WireType>,
    /// How many bytes further definitions may take.
    definitions_left: usize,
    message: Vec<u8>,
    /// How much of the message has been read.
    position: usize,
    /// How many bytes of messages the current value may still take.
    bytes_left: usize,
    /// How many bytes of memory the current value may still take.
    memory_left: usize,
}

impl<R: Read> Decoder<R> {
    /// Reads from `reader`, without a buffer of its own: it takes no byte beyond a value's.
    pub fn new(reader: R, limits: Limits) -> Self {
        Self {
            reader,
            limits,
            types: HashMap::new(),
            definitions_left: limits.definitions,
            message: Vec::new(),
            position: 0,
            bytes_left: 0,
            memory_left: limits.memory,
        }
    }

    /// The next value; nothing if the stream ends before it and any definition of a type for it.
    ///
    /// # Errors
    ///
    /// If there is none that can be understood. The stream cannot be read any further then.
    pub fn next_value(&mut self) -> Result<Option<Value>, Error> {
        self.bytes_left = self.limits.value;
        self.memory_left = self.limits.memory;
        self.set_message(Vec::new());
        let Some(type_id) = self.type_sequence(false)? else {
            return Ok(None);
        };
        self.singleton(type_id)?;
        let value = self.value(type_id)?;
        // What it was made of is not kept until the next one comes, which may be long.
        let whole = self.rest().is_empty();
        self.set_message(Vec::new());
        if whole {
            Ok(Some(value))
        } else {
            Err(Error::Invalid("a message goes on after its value"))
        }
    }

    /// How many bytes of memory the last value takes: room for elements, and text.
    pub fn last_size(&self) -> usize {
        self.limits.memory.saturating_sub(self.memory_left)
    }

    /// What is read from.
    pub fn reader_mut(&mut self) -> &mut R {
        &mut self.reader
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
        let (length, head) = parse_uint(&head).ok_or(Error::Truncated)?;
        let too_large = Error::TooLarge(self.limits.message.min(self.limits.value));
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > self.limits.message {
            return Err(too_large);
        }
        let taken = length.checked_add(head);
        match taken.and_then(|taken| self.bytes_left.checked_sub(taken)) {
            Some(left) => self.bytes_left = left,
            None => return Err(too_large),
        }
        // The old one goes before the new one comes.
        self.set_message(Vec::new());
        let mut message = Vec::new();
        self.read_to(&mut message, length)?;
        self.set_message(message);
        Ok(true)
    }

    fn set_message(&mut self, message: Vec<u8>) {
        self.message = message;
        self.position = 0;
    }

    /// Appends `count` bytes, without making room for many more than have come.
    fn read_to(&mut self, buffer: &mut Vec<u8>, count: usize) -> Result<(), Error> {
        let expected = u64::try_from(count).unwrap_or(u64::MAX);
        let read = self.reader.by_ref().take(expected).read_to_end(buffer)?;
        if read < count {
            Err(Error::Truncated)
        } else {
            Ok(())
        }
    }

    fn rest(&self) -> &[u8] {
        self.message.get(self.position..).unwrap_or_default()
    }

    fn advance(&mut self, count: usize) {
        self.position = self.position.saturating_add(count);
    }

    fn uint(&mut self) -> Result<u64, Error> {
        let (number, length) =
            parse_uint(self.rest()).ok_or(Error::Invalid("a number is cut off or too large"))?;
        self.advance(length);
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

    /// The length of the text that follows, and that it is all there.
    fn length(&mut self) -> Result<usize, Error> {
        let length = usize::try_from(self.uint()?).unwrap_or(usize::MAX);
        if length > self.rest().len() {
            return Err(Error::Invalid("a text is cut off"));
        }
        Ok(length)
    }

    fn bytes(&mut self) -> Result<Vec<u8>, Error> {
        let length = self.length()?;
        self.charge(length)?;
        let bytes = self.rest().get(..length).unwrap_or_default().to_vec();
        self.advance(length);
        Ok(bytes)
    }

    /// Go's strings need not be UTF-8; nothing here depends on the bytes that are not.
    fn string(&mut self) -> Result<String, Error> {
        let length = self.length()?;
        let bytes = self.rest().get(..length).unwrap_or_default();
        // Each byte may become a character of three, in a string that grows by doubling.
        let size = match std::str::from_utf8(bytes) {
            Ok(_) => length,
            Err(_) => length.saturating_mul(4),
        };
        self.charge(size)?;
        let bytes = self.rest().get(..length).unwrap_or_default();
        let text = String::from_utf8_lossy(bytes).into_owned();
        self.advance(length);
        Ok(text)
    }

    /// Accounts for memory that the value takes.
    fn charge(&mut self, size: usize) -> Result<(), Error> {
        match self.memory_left.checked_sub(size) {
            Some(left) => {
                self.memory_left = left;
                Ok(())
            }
            None => Err(Error::TooMuchMemory(self.limits.memory)),
        }
    }

    /// Appends an element, of which `left` more may follow.
    fn push<T>(&mut self, items: &mut Vec<T>, item: T, left: usize) -> Result<(), Error> {
        if items.len() == items.capacity() {
            let more = items.len().max(FIRST_ROOM).min(left.saturating_add(1));
            self.charge(size_of::<T>().saturating_mul(more))?;
            items.reserve_exact(more);
        }
        items.push(item);
        Ok(())
    }

    /// The definitions of types before a value, and the type of that; nothing if the stream ends before them. This is the only
    /// place where a value goes on in another message.
    fn type_sequence(&mut self, in_value: bool) -> Result<Option<i64>, Error> {
        let mut begun = in_value;
        loop {
            if self.rest().is_empty() && !self.receive()? {
                return if begun {
                    Err(Error::Truncated)
                } else {
                    Ok(None)
                };
            }
            begun = true;
            let type_id = self.int()?;
            if type_id >= 0 {
                return Ok(Some(type_id));
            }
            self.define(type_id)?;
            if !self.rest().is_empty() {
                if !in_value {
                    return Err(Error::Invalid("a message goes on after its definition"));
                }
                // What is left of the message has a length of its own; else the value goes on in the next message.
                self.uint()?;
            }
        }
    }

    /// A value that stands alone is a structure, or comes after a zero.
    fn singleton(&mut self, type_id: i64) -> Result<(), Error> {
        let is_struct = matches!(self.types.get(&type_id), Some(WireType::Struct(_)));
        if !is_struct && self.uint()? != 0 {
            return Err(Error::Invalid("a value does not begin with a zero"));
        }
        Ok(())
    }

    /// A value of that type. What it is within is on a list of its own, not on the stack.
    fn value(&mut self, type_id: i64) -> Result<Value, Error> {
        let mut around: Vec<Part> = Vec::new();
        let mut wanted = type_id;
        loop {
            let mut value = match self.begin(wanted)? {
                Begun::Whole(value) => value,
                Begun::Part(mut part) => {
                    if around.len() >= usize::from(self.limits.depth) {
                        return Err(Error::TooDeep(self.limits.depth));
                    }
                    match self.wants(&mut part)? {
                        Some(next) => {
                            wanted = next;
                            around.push(part);
                            continue;
                        }
                        None => part.finish(),
                    }
                }
            };
            loop {
                let Some(mut part) = around.pop() else {
                    return Ok(value);
                };
                self.give(&mut part, value)?;
                match self.wants(&mut part)? {
                    Some(next) => {
                        wanted = next;
                        around.push(part);
                        break;
                    }
                    None => value = part.finish(),
                }
            }
        }
    }

    /// Reads a value that is of one piece, or the beginning of another.
    fn begin(&mut self, type_id: i64) -> Result<Begun, Error> {
        let value = match type_id {
            id::BOOL => Value::Bool(self.uint()? != 0),
            id::INT => Value::Int(self.int()?),
            id::UINT => Value::Uint(self.uint()?),
            id::FLOAT => Value::Float(self.float()?),
            id::BYTES => Value::Bytes(self.bytes()?),
            id::STRING => Value::String(self.string()?),
            id::COMPLEX => Value::Complex(self.float()?, self.float()?),
            id::INTERFACE => return self.begin_interface(),
            _ => {
                let wire_type = self.types.get(&type_id);
                return self.begin_defined(wire_type.ok_or(Error::UnknownType(type_id))?.clone());
            }
        };
        Ok(Begun::Whole(value))
    }

    fn begin_interface(&mut self) -> Result<Begun, Error> {
        let name = self.string()?;
        if name.is_empty() {
            return Ok(Begun::Whole(Value::Interface(None)));
        }
        if name.len() > MAX_NAME {
            return Err(Error::Invalid("the name of a type is too long"));
        }
        let type_id = self.type_sequence(true)?.ok_or(Error::Truncated)?;
        // A length that cannot be relied on: it may end at a definition within the value.
        self.uint()?;
        self.singleton(type_id)?;
        self.charge(size_of::<(String, Value)>())?;
        Ok(Begun::Part(Part::Interface {
            name,
            wanted: Some(type_id),
            held: Value::Interface(None),
        }))
    }

    fn begin_defined(&mut self, wire_type: WireType) -> Result<Begun, Error> {
        Ok(Begun::Part(match wire_type {
            WireType::Opaque => return Ok(Begun::Whole(Value::Bytes(self.bytes()?))),
            WireType::Slice { element } => Part::List {
                element,
                left: self.count()?,
                items: Vec::new(),
            },
            WireType::Array { element, length } => {
                let left = self.count()?;
                if u64::try_from(left) != Ok(length) {
                    return Err(Error::Invalid("an array of another length than its type's"));
                }
                Part::List {
                    element,
                    left,
                    items: Vec::new(),
                }
            }
            WireType::Map { key, element } => Part::Map {
                key,
                element,
                left: self.count()?,
                half: None,
                items: Vec::new(),
            },
            WireType::Struct(fields) => Part::Struct {
                fields,
                next: 0,
                values: Vec::new(),
            },
        }))
    }

    /// How many elements follow. Each takes a byte at least.
    fn count(&mut self) -> Result<usize, Error> {
        let count = usize::try_from(self.uint()?).unwrap_or(usize::MAX);
        if count > self.rest().len().saturating_add(self.bytes_left) {
            return Err(Error::Invalid("more elements than a value can have bytes"));
        }
        Ok(count)
    }

    /// The type of the next value that belongs to `part`; nothing if it is complete.
    fn wants(&mut self, part: &mut Part) -> Result<Option<i64>, Error> {
        Ok(match part {
            Part::List { element, left, .. } => decrement(left).then_some(*element),
            Part::Map {
                key,
                element,
                left,
                half,
                ..
            } => match half {
                Some(_) => Some(*element),
                None => decrement(left).then_some(*key),
            },
            Part::Struct { fields, next, .. } => {
                let delta = usize::try_from(self.uint()?).unwrap_or(usize::MAX);
                if delta == 0 {
                    return Ok(None);
                }
                *next = next.saturating_add(delta);
                let field = fields.get(next.saturating_sub(1));
                Some(
                    field
                        .ok_or(Error::Invalid("a field that is not defined"))?
                        .1,
                )
            }
            Part::Interface { wanted, .. } => wanted.take(),
        })
    }

    /// Adds the value that `part` wanted.
    fn give(&mut self, part: &mut Part, value: Value) -> Result<(), Error> {
        match part {
            Part::List { items, left, .. } => self.push(items, value, *left),
            Part::Map {
                half, items, left, ..
            } => match half.take() {
                Some(key) => self.push(items, (key, value), *left),
                None => {
                    *half = Some(value);
                    Ok(())
                }
            },
            Part::Struct {
                fields,
                next,
                values,
            } => match fields.get(next.saturating_sub(1)) {
                Some((name, _)) => {
                    let left = fields.len().saturating_sub(*next);
                    self.push(values, (Arc::clone(name), value), left)
                }
                None => Err(Error::Invalid("a field that is not defined")),
            },
            Part::Interface { held, .. } => {
                *held = value;
                Ok(())
            }
        }
    }

    /// Reads the definition of the type whose negated id has just been read.
    fn define(&mut self, negated: i64) -> Result<(), Error> {
        let type_id = negated.checked_neg().ok_or(Error::Invalid("a type's id"))?;
        if type_id <= id::LAST_RESERVED || self.types.contains_key(&type_id) {
            return Err(Error::Invalid("a type is defined twice"));
        }
        if self.types.len() >= self.limits.types {
            return Err(Error::TooManyTypes);
        }
        let before = self.position;
        let wire_type = self.definition()?;
        let length = self.position.saturating_sub(before);
        self.definitions_left = self
            .definitions_left
            .checked_sub(length)
            .ok_or(Error::TooManyTypes)?;
        self.types.insert(type_id, wire_type);
        Ok(())
    }

    /// A `wireType` in Go's `encoding/gob/type.go`, of which one field is there.
    fn definition(&mut self) -> Result<WireType, Error> {
        let kind = self.uint()?;
        if !(kind::ARRAY..=kind::TEXT_MARSHALER).contains(&kind) {
            return Err(Error::Invalid("a definition of no type"));
        }
        let (mut numbers, mut fields) = ([0; 2], Vec::new());
        self.fields(|decoder, field| {
            match (kind, field) {
                (_, 1) => decoder.name_and_id().map(drop)?,
                (kind::STRUCT, 2) => fields = decoder.field_list()?,
                (kind::ARRAY | kind::SLICE | kind::MAP, 2) => numbers[0] = decoder.int()?,
                (kind::ARRAY | kind::MAP, 3) => numbers[1] = decoder.int()?,
                _ => return Err(Error::Invalid("a definition of no type")),
            }
            Ok(())
        })?;
        if self.uint()? != 0 {
            return Err(Error::Invalid("a definition of two types"));
        }
        let [first, second] = numbers;
        Ok(match kind {
            kind::ARRAY => WireType::Array {
                element: first,
                length: u64::try_from(second)
                    .map_err(|_| Error::Invalid("an array of negative length"))?,
            },
            kind::SLICE => WireType::Slice { element: first },
            kind::MAP => WireType::Map {
                key: first,
                element: second,
            },
            kind::STRUCT => WireType::Struct(fields.into()),
            _ => WireType::Opaque,
        })
    }

    /// Has each field of a structure read that is there, by number.
    fn fields(
        &mut self,
        mut read: impl FnMut(&mut Self, u64) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut number = 0_u64;
        loop {
            let delta = self.uint()?;
            if delta == 0 {
                return Ok(());
            }
            number = number.saturating_add(delta);
            read(self, number)?;
        }
    }

    /// A `[]fieldType`.
    fn field_list(&mut self) -> Result<Vec<(Arc<str>, i64)>, Error> {
        let count = self.count()?;
        if count.saturating_mul(MIN_FIELD) > self.definitions_left {
            return Err(Error::TooManyTypes);
        }
        let mut fields = Vec::new();
        for _ in 0..count {
            let (name, type_id) = self.name_and_id()?;
            if name.is_empty() {
                return Err(Error::Invalid("a field has no name"));
            }
            fields.push((name, type_id));
        }
        Ok(fields)
    }

    /// A `CommonType` or a `fieldType`.
    fn name_and_id(&mut self) -> Result<(Arc<str>, i64), Error> {
        let (mut name, mut type_id) = (Arc::from(""), 0);
        self.fields(|decoder, field| {
            match field {
                1 => {
                    let length = decoder.length()?;
                    let bytes = decoder.rest().get(..length).unwrap_or_default();
                    name = String::from_utf8_lossy(bytes).into();
                    decoder.advance(length);
                }
                2 => type_id = decoder.int()?,
                _ => return Err(Error::Invalid("a definition of no type")),
            }
            Ok(())
        })?;
        Ok((name, type_id))
    }
}

/// What the beginning of a value is.
enum Begun {
    Whole(Value),
    Part(Part),
}

/// A value that is not complete.
enum Part {
    List {
        element: i64,
        left: usize,
        items: Vec<Value>,
    },
    Map {
        key: i64,
        element: i64,
        left: usize,
        /// A key whose element is still to come.
        half: Option<Value>,
        items: Vec<(Value, Value)>,
    },
    Struct {
        fields: Fields,
        /// The number of the field that was read last; the first is 1.
        next: usize,
        values: Vec<(Arc<str>, Value)>,
    },
    Interface {
        name: String,
        wanted: Option<i64>,
        held: Value,
    },
}

impl Part {
    fn finish(self) -> Value {
        match self {
            Self::List { items, .. } => Value::List(items),
            Self::Map { items, .. } => Value::Map(items),
            Self::Struct { values, .. } => Value::Struct(values),
            Self::Interface { name, held, .. } => Value::Interface(Some(Box::new((name, held)))),
        }
    }
}

/// Whether there was one more.
fn decrement(left: &mut usize) -> bool {
    let one_more = *left > 0;
    *left = left.saturating_sub(1);
    one_more
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
    let digits = rest.get(..count)?.iter();
    let number = digits.fold(0, |number, digit| number << 8 | u64::from(*digit));
    Some((number, count.saturating_add(1)))
}
