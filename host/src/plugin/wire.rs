//! The types of docker-machine's own that cross the wire, and the names under which it registers them with gob
//! (`libmachine/drivers/rpc/server_driver.go`; the package names are short since they are those of pointers).

use netrpc::gob::{Registry, Type, Value};

use crate::machine::{Flag, Flags};

/// An option of the driver, `mcnflag.Flag`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateFlag {
    /// The flag without its dashes.
    pub name: String,
    /// The help.
    pub usage: String,
    /// The environment variable; empty if there is none.
    pub env_var: String,
    /// Its type, with the default: that of a boolean one is always false.
    pub value: Flag,
}

/// `[]mcnflag.Flag`, the answer of `GetCreateFlags`.
pub static CREATE_FLAGS: Type = Type::Slice(&Type::Interface);

/// `[]string`
static STRINGS: Type = Type::Slice(&Type::String);

/// What interfaces may hold.
pub static REGISTRY: Registry = &[
    ("*mcnflag.BoolFlag", &BOOL_FLAG),
    ("*mcnflag.IntFlag", &INT_FLAG),
    ("*mcnflag.StringFlag", &STRING_FLAG),
    ("*mcnflag.StringSliceFlag", &STRING_SLICE_FLAG),
    ("*rpcdriver.RPCFlags", &RPC_FLAGS),
    ("[]string", &STRINGS),
    ("bool", &Type::Bool),
    ("int", &Type::Int),
    ("string", &Type::String),
];

static BOOL_FLAG: Type = Type::Struct(
    "BoolFlag",
    &[
        ("Name", &Type::String),
        ("Usage", &Type::String),
        ("EnvVar", &Type::String),
    ],
);

static INT_FLAG: Type = Type::Struct(
    "IntFlag",
    &[
        ("Name", &Type::String),
        ("Usage", &Type::String),
        ("EnvVar", &Type::String),
        ("Value", &Type::Int),
    ],
);

static STRING_FLAG: Type = Type::Struct(
    "StringFlag",
    &[
        ("Name", &Type::String),
        ("Usage", &Type::String),
        ("EnvVar", &Type::String),
        ("Value", &Type::String),
    ],
);

static STRING_SLICE_FLAG: Type = Type::Struct(
    "StringSliceFlag",
    &[
        ("Name", &Type::String),
        ("Usage", &Type::String),
        ("EnvVar", &Type::String),
        ("Value", &STRINGS),
    ],
);

static RPC_FLAGS: Type = Type::Struct(
    "RPCFlags",
    &[("Values", &Type::Map(&Type::String, &Type::Interface))],
);

/// The value of a flag, and the name of its type where it stands alone.
fn flag_to_gob(flag: &Flag) -> (&'static str, Value) {
    match flag {
        Flag::Boolean(on) => ("bool", Value::Bool(*on)),
        Flag::Integer(number) => ("int", Value::Int(*number)),
        Flag::Text(text) => ("string", Value::String(text.clone())),
        Flag::TextList(items) => (
            "[]string",
            Value::List(items.iter().cloned().map(Value::String).collect()),
        ),
    }
}

fn flag_from_gob(value: Value) -> Option<Flag> {
    let Value::Interface(Some(held)) = value else {
        return None;
    };
    Some(match held.1 {
        Value::Bool(on) => Flag::Boolean(on),
        Value::Int(number) => Flag::Integer(number),
        Value::String(text) => Flag::Text(text),
        Value::List(items) => {
            let text = |item| match item {
                Value::String(text) => Some(text),
                _ => None,
            };
            Flag::TextList(items.into_iter().map(text).collect::<Option<_>>()?)
        }
        _ => return None,
    })
}

impl CreateFlag {
    fn to_gob(&self) -> Value {
        let kind = match self.value {
            Flag::Boolean(_) => "*mcnflag.BoolFlag",
            Flag::Integer(_) => "*mcnflag.IntFlag",
            Flag::Text(_) => "*mcnflag.StringFlag",
            Flag::TextList(_) => "*mcnflag.StringSliceFlag",
        };
        let text = |text: &str| Value::String(text.to_owned());
        let fields = [
            ("Name", text(&self.name)),
            ("Usage", text(&self.usage)),
            ("EnvVar", text(&self.env_var)),
            ("Value", flag_to_gob(&self.value).1),
        ];
        Value::interface(kind, Value::structure(fields))
    }
}

/// The answer of `GetCreateFlags`.
pub fn create_flags_to_gob(flags: &[CreateFlag]) -> Value {
    Value::List(flags.iter().map(CreateFlag::to_gob).collect())
}

/// The flags of `SetConfigFromFlags`; nothing if the argument is something else.
pub fn flags_from_gob(argument: Value) -> Option<Flags> {
    let Value::Interface(Some(held)) = argument else {
        return None;
    };
    let (name, Value::Struct(fields)) = *held else {
        return None;
    };
    if name != "*rpcdriver.RPCFlags" {
        return None;
    }
    let mut fields = fields.into_iter();
    let values = match fields.find(|(name, _)| **name == *"Values") {
        // An empty map is a zero field, which is not sent.
        None => return Some(Flags::new()),
        Some((_, Value::Map(values))) => values,
        Some(_) => return None,
    };
    let flag = |(name, value)| match name {
        Value::String(name) => Some((name, flag_from_gob(value)?)),
        _ => None,
    };
    // A value of a type that no flag of a driver has is none of the driver's.
    Some(values.into_iter().filter_map(flag).collect())
}

/// The argument of `SetConfigFromFlags`.
pub fn flags_to_gob(flags: &Flags) -> Value {
    let value = |(name, value): (&String, &Flag)| {
        let (kind, value) = flag_to_gob(value);
        (Value::String(name.clone()), Value::interface(kind, value))
    };
    let values = Value::Map(flags.iter().map(value).collect());
    Value::interface(
        "*rpcdriver.RPCFlags",
        Value::structure([("Values", values)]),
    )
}

#[cfg(test)]
mod tests {
    use netrpc::gob::{Decoder, Encoder, Limits};

    use super::*;

    fn decode_all(bytes: &[u8]) -> Vec<Value> {
        let mut decoder = Decoder::new(bytes, Limits::default());
        std::iter::from_fn(|| decoder.next_value().unwrap()).collect()
    }

    /// The flags as docker-machine sent them to a plugin of Go.
    #[test]
    fn the_flags_of_a_genuine_client_decode() {
        let stream = include_bytes!("../../../netrpc/tests/vectors/demo-precreate-error.c2s.bin");
        let greeting = stream.windows(2).position(|two| two == b"\n\n").unwrap();
        let values = decode_all(&stream[greeting + 2..]);
        let mut calls = values.chunks(2);
        let call = calls.find(|call| {
            let method = call[0].text_field("ServiceMethod");
            method.ends_with(".SetConfigFromFlags")
        });
        let argument = call.unwrap()[1].clone();
        let flags = flags_from_gob(argument).unwrap();
        assert_eq!(flags["driver"], Flag::Text("demo".to_owned()));
        assert_eq!(flags["swarm-master"], Flag::Boolean(false));
        assert!(
            flags.values().any(|flag| matches!(flag, Flag::TextList(_))),
            "{flags:?}"
        );
        assert!(
            flags.values().any(|flag| matches!(flag, Flag::Integer(_))),
            "{flags:?}"
        );
    }

    /// As a client would that knows of more than there is today.
    #[test]
    fn the_flags_are_found_by_their_name_among_other_fields() {
        let argument = flags_to_gob(&Flags::from([("a".to_owned(), Flag::Boolean(true))]));
        let Value::Interface(Some(held)) = argument else {
            panic!("{argument:?}")
        };
        let values = held.1.field("Values").unwrap().clone();
        let rpc_flags = |fields: Vec<(&'static str, Value)>| {
            flags_from_gob(Value::interface(
                "*rpcdriver.RPCFlags",
                Value::Struct(fields.into_iter().map(|(n, v)| (n.into(), v)).collect()),
            ))
        };
        let newer = rpc_flags(vec![("Origin", Value::Int(1)), ("Values", values)]);
        assert_eq!(newer.unwrap()["a"], Flag::Boolean(true));
        assert_eq!(
            rpc_flags(vec![("Origin", Value::Int(1))]),
            Some(Flags::new())
        );
        assert_eq!(rpc_flags(vec![("Values", Value::Int(1))]), None);
    }

    #[test]
    fn what_is_encoded_decodes_to_the_same() {
        let flag = |name: &str, value| CreateFlag {
            name: name.to_owned(),
            usage: "Usage".to_owned(),
            env_var: String::new(),
            value,
        };
        let flags = [
            flag("a", Flag::Boolean(false)),
            flag("b", Flag::Integer(-300)),
            flag("c", Flag::Text("ü".to_owned())),
            flag("d", Flag::TextList(vec!["x".to_owned(), String::new()])),
        ];
        let values: Flags = flags
            .iter()
            .map(|flag| (flag.name.clone(), flag.value.clone()))
            .collect();
        let mut encoder = Encoder::new(REGISTRY);
        let list = create_flags_to_gob(&flags);
        let argument = flags_to_gob(&values);
        let mut stream = encoder.encode(&CREATE_FLAGS, &list).unwrap();
        // The second time no type is defined again.
        let again = encoder.encode(&CREATE_FLAGS, &list).unwrap();
        assert!(again.len() < stream.len());
        stream.extend(again);
        stream.extend(encoder.encode(&Type::Interface, &argument).unwrap());
        stream.extend(
            encoder
                .encode(&Type::Bytes, &Value::Bytes(vec![0; 70_000]))
                .unwrap(),
        );

        let decoded = decode_all(&stream);
        assert_eq!(decoded[0], decoded[1]);
        let Value::List(decoded_flags) = &decoded[0] else {
            panic!("{decoded:?}")
        };
        assert_eq!(decoded_flags.len(), flags.len());
        assert_eq!(flags_from_gob(decoded[2].clone()).unwrap(), values);
        assert_eq!(decoded[3], Value::Bytes(vec![0; 70_000]));
    }
}
