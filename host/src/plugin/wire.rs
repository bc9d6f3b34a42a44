//! The types of docker-machine's own that cross the wire, and the names under which it registers them with gob
//! (`libmachine/drivers/rpc/server_driver.go`; the package names are short since they are those of pointers).

use std::collections::BTreeMap;

use super::gob::{Registry, Type, Value};

/// An option of the driver, `mcnflag.Flag`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateFlag {
    /// The flag without its dashes.
    pub name: String,
    /// The help.
    pub usage: String,
    /// The environment variable; empty if there is none.
    pub env_var: String,
    /// Its type, with the default.
    pub value: FlagValue,
}

/// The value of a flag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FlagValue {
    /// `mcnflag.BoolFlag`, whose default is always false
    Bool(bool),
    /// `mcnflag.IntFlag`
    Int(i64),
    /// `mcnflag.StringFlag`
    String(String),
    /// `mcnflag.StringSliceFlag`
    StringSlice(Vec<String>),
}

/// `struct{}`, the argument or the answer of most methods.
pub static EMPTY: Type = Type::Struct("", &[]);

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
        ("Name", Type::String),
        ("Usage", Type::String),
        ("EnvVar", Type::String),
    ],
);

static INT_FLAG: Type = Type::Struct(
    "IntFlag",
    &[
        ("Name", Type::String),
        ("Usage", Type::String),
        ("EnvVar", Type::String),
        ("Value", Type::Int),
    ],
);

static STRING_FLAG: Type = Type::Struct(
    "StringFlag",
    &[
        ("Name", Type::String),
        ("Usage", Type::String),
        ("EnvVar", Type::String),
        ("Value", Type::String),
    ],
);

static STRING_SLICE_FLAG: Type = Type::Struct(
    "StringSliceFlag",
    &[
        ("Name", Type::String),
        ("Usage", Type::String),
        ("EnvVar", Type::String),
        ("Value", Type::Slice(&Type::String)),
    ],
);

static RPC_FLAGS: Type = Type::Struct(
    "RPCFlags",
    &[(
        "Values",
        Type::Map("map[string]interface {}", &Type::String, &Type::Interface),
    )],
);

impl FlagValue {
    /// The value, and the name of its type where it stands alone.
    fn to_gob(&self) -> (&'static str, Value) {
        match self {
            Self::Bool(on) => ("bool", Value::Bool(*on)),
            Self::Int(number) => ("int", Value::Int(*number)),
            Self::String(text) => ("string", Value::String(text.clone())),
            Self::StringSlice(items) => (
                "[]string",
                Value::List(items.iter().cloned().map(Value::String).collect()),
            ),
        }
    }

    fn from_gob(value: Value) -> Option<Self> {
        let Value::Interface(Some(held)) = value else {
            return None;
        };
        Some(match held.1 {
            Value::Bool(on) => Self::Bool(on),
            Value::Int(number) => Self::Int(number),
            Value::String(text) => Self::String(text),
            Value::List(items) => {
                let text = |item| match item {
                    Value::String(text) => Some(text),
                    _ => None,
                };
                Self::StringSlice(items.into_iter().map(text).collect::<Option<_>>()?)
            }
            _ => return None,
        })
    }
}

impl CreateFlag {
    fn to_gob(&self) -> Value {
        let kind = match self.value {
            FlagValue::Bool(_) => "*mcnflag.BoolFlag",
            FlagValue::Int(_) => "*mcnflag.IntFlag",
            FlagValue::String(_) => "*mcnflag.StringFlag",
            FlagValue::StringSlice(_) => "*mcnflag.StringSliceFlag",
        };
        let text = |text: &str| Value::String(text.to_owned());
        let fields = [
            ("Name", text(&self.name)),
            ("Usage", text(&self.usage)),
            ("EnvVar", text(&self.env_var)),
            ("Value", self.value.to_gob().1),
        ];
        Value::interface(kind, Value::structure(fields))
    }
}

/// The answer of `GetCreateFlags`.
pub fn create_flags_to_gob(flags: &[CreateFlag]) -> Value {
    Value::List(flags.iter().map(CreateFlag::to_gob).collect())
}

/// The flags of `SetConfigFromFlags`; nothing if the argument is something else.
pub fn flags_from_gob(argument: Value) -> Option<BTreeMap<String, FlagValue>> {
    let Value::Interface(Some(held)) = argument else {
        return None;
    };
    let (name, Value::Struct(fields)) = *held else {
        return None;
    };
    if name != "*rpcdriver.RPCFlags" {
        return None;
    }
    // An empty map is a zero field, which is not sent.
    let Some((_, Value::Map(values))) = fields.into_iter().next() else {
        return Some(BTreeMap::new());
    };
    let flag = |(name, value)| match name {
        Value::String(name) => Some((name, FlagValue::from_gob(value)?)),
        _ => None,
    };
    // A value of a type that no flag of a driver has is none of the driver's.
    Some(values.into_iter().filter_map(flag).collect())
}

/// The argument of `SetConfigFromFlags`.
pub fn flags_to_gob(flags: &BTreeMap<String, FlagValue>) -> Value {
    let value = |(name, value): (&String, &FlagValue)| {
        let (kind, value) = value.to_gob();
        (Value::String(name.clone()), Value::interface(kind, value))
    };
    let values = Value::Map(flags.iter().map(value).collect());
    Value::interface(
        "*rpcdriver.RPCFlags",
        Value::structure([("Values", values)]),
    )
}
