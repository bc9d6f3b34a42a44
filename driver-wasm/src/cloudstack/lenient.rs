//! JSON as CloudStack really sends it: old versions have numbers as strings, strings as numbers and booleans as
//! strings.

use serde::Deserialize as _;
use serde::de::{Deserializer, Error};
use serde_json::Value;

/// What a scalar of JSON can be read as.
pub(super) trait Scalar: Sized {
    fn read(value: &Value) -> Option<Self>;
}

impl Scalar for String {
    fn read(value: &Value) -> Option<Self> {
        match value {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }
}

impl Scalar for bool {
    fn read(value: &Value) -> Option<Self> {
        match value {
            Value::Bool(value) => Some(*value),
            Value::String(text) => text.trim().to_ascii_lowercase().parse().ok(),
            _ => None,
        }
    }
}

impl Scalar for u64 {
    fn read(value: &Value) -> Option<Self> {
        match value {
            Value::Number(number) => number.as_u64(),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        }
    }
}

impl Scalar for u16 {
    fn read(value: &Value) -> Option<Self> {
        u64::read(value)?.try_into().ok()
    }
}

/// Reads what should be a `T`; what cannot be one is nothing.
pub(super) fn option<'de, D: Deserializer<'de>, T: Scalar>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    Ok(T::read(&Value::deserialize(deserializer)?))
}

/// Reads a `T`; what cannot be one is its default.
pub(super) fn or_default<'de, D: Deserializer<'de>, T: Scalar + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(option(deserializer)?.unwrap_or_default())
}

/// Reads a `T` that must be there.
pub(super) fn required<'de, D: Deserializer<'de>, T: Scalar>(
    deserializer: D,
) -> Result<T, D::Error> {
    option(deserializer)?.ok_or_else(|| D::Error::custom("a value is not of its type"))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    #[derive(Debug, Deserialize, PartialEq)]
    struct Sample {
        #[serde(deserialize_with = "super::required")]
        id: String,
        #[serde(default, deserialize_with = "super::option")]
        flag: Option<bool>,
        #[serde(default, deserialize_with = "super::option")]
        number: Option<u64>,
    }

    #[test]
    fn scalars_come_in_any_dress() {
        let cases = [
            (
                json!({"id": "a", "flag": true, "number": 3}),
                "a",
                Some(true),
                Some(3),
            ),
            (
                json!({"id": 17, "flag": "True", "number": "3"}),
                "17",
                Some(true),
                Some(3),
            ),
            (
                json!({"id": "", "flag": [1], "number": {"a": 1}, "x": 1}),
                "",
                None,
                None,
            ),
            (
                json!({"id": "a", "flag": null, "number": -1}),
                "a",
                None,
                None,
            ),
            (json!({"id": "a", "number": 1.5}), "a", None, None),
        ];
        for (json, id, flag, number) in cases {
            let expected = Sample {
                id: id.to_owned(),
                flag,
                number,
            };
            assert_eq!(serde_json::from_value::<Sample>(json).unwrap(), expected);
        }
        serde_json::from_value::<Sample>(json!({"id": null})).unwrap_err();
        serde_json::from_value::<Sample>(json!({})).unwrap_err();
    }
}
