//! JSON as CloudStack really sends it: old versions have numbers as strings, strings as numbers and booleans as strings.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// What a scalar of JSON can be read as.
pub(super) trait Scalar: Sized {
    fn from_bool(value: bool) -> Option<Self>;
    fn from_u64(value: u64) -> Option<Self>;
    fn from_str(value: &str) -> Option<Self>;
}

impl Scalar for String {
    fn from_bool(value: bool) -> Option<Self> {
        Some(value.to_string())
    }
    fn from_u64(value: u64) -> Option<Self> {
        Some(value.to_string())
    }
    fn from_str(value: &str) -> Option<Self> {
        Some(value.to_owned())
    }
}

impl Scalar for bool {
    fn from_bool(value: bool) -> Option<Self> {
        Some(value)
    }
    fn from_u64(_: u64) -> Option<Self> {
        None
    }
    fn from_str(value: &str) -> Option<Self> {
        value.trim().to_ascii_lowercase().parse().ok()
    }
}

impl Scalar for u64 {
    fn from_bool(_: bool) -> Option<Self> {
        None
    }
    fn from_u64(value: u64) -> Option<Self> {
        Some(value)
    }
    fn from_str(value: &str) -> Option<Self> {
        value.trim().parse().ok()
    }
}

impl Scalar for u16 {
    fn from_bool(_: bool) -> Option<Self> {
        None
    }
    fn from_u64(value: u64) -> Option<Self> {
        value.try_into().ok()
    }
    fn from_str(value: &str) -> Option<Self> {
        value.trim().parse().ok()
    }
}

/// Reads what should be a `T`; what cannot be one is nothing.
pub(super) fn option<'de, D: Deserializer<'de>, T: Scalar>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    deserializer.deserialize_any(ScalarVisitor(PhantomData))
}

/// Reads a `T` that must be there.
pub(super) fn required<'de, D: Deserializer<'de>, T: Scalar>(
    deserializer: D,
) -> Result<T, D::Error> {
    option(deserializer)?.ok_or_else(|| D::Error::custom("a value is not of its type"))
}

struct ScalarVisitor<T>(PhantomData<T>);

impl<'de, T: Scalar> Visitor<'de> for ScalarVisitor<T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }
    fn visit_bool<E: Error>(self, value: bool) -> Result<Self::Value, E> {
        Ok(T::from_bool(value))
    }
    fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
        Ok(T::from_u64(value))
    }
    fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
        Ok(u64::try_from(value).ok().and_then(T::from_u64))
    }
    fn visit_f64<E: Error>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_str<E: Error>(self, value: &str) -> Result<Self::Value, E> {
        Ok(T::from_str(value))
    }
    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }
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
            (json!({"id": "a", "flag": true, "number": 3}), "a", Some(true), Some(3)),
            (json!({"id": 17, "flag": "True", "number": "3"}), "17", Some(true), Some(3)),
            (json!({"id": "", "flag": [1], "number": {"a": 1}, "x": 1}), "", None, None),
            (json!({"id": "a", "flag": null, "number": -1}), "a", None, None),
            (json!({"id": "a", "number": 1.5}), "a", None, None),
        ];
        for (json, id, flag, number) in cases {
            let expected = Sample { id: id.to_owned(), flag, number };
            assert_eq!(serde_json::from_value::<Sample>(json).unwrap(), expected);
        }
        serde_json::from_value::<Sample>(json!({"id": null})).unwrap_err();
        serde_json::from_value::<Sample>(json!({})).unwrap_err();
    }
}
