//! JSON as CloudStack really sends it: old versions have numbers as strings, strings as numbers and booleans as
//! strings.
//!
//! What is read is asked for member by member: types that serde derives would add 80 KB to the component. Answers are large,
//! and little of them is needed, so that their texts stay where they are until somebody wants them.

use serde_json_borrow::{ObjectAsVec, Value};

/// What is wrong with an answer.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum Malformed {
    /// A member is not there.
    #[error("it has no `{0}`")]
    Missing(&'static str),
    /// A member, or an item of it, is of another type.
    #[error("`{0}` is not of its type")]
    WrongType(&'static str),
}

/// What an object of JSON can be read as.
pub(crate) trait Model: Sized {
    /// Reads the members that it knows, and ignores the others.
    fn read(members: Members<'_>) -> Result<Self, Malformed>;
}

/// What a scalar of JSON can be read as.
pub(crate) trait Scalar: Sized {
    fn read(value: &Value<'_>) -> Option<Self>;
}

impl Scalar for String {
    fn read(value: &Value<'_>) -> Option<Self> {
        match value {
            Value::Str(text) => Some(text.clone().into_owned()),
            Value::Number(number) => Some(serde_json::Number::from(*number).to_string()),
            _ => None,
        }
    }
}

impl Scalar for bool {
    fn read(value: &Value<'_>) -> Option<Self> {
        match value {
            Value::Bool(value) => Some(*value),
            Value::Str(text) => text.trim().to_ascii_lowercase().parse().ok(),
            _ => None,
        }
    }
}

impl Scalar for u64 {
    fn read(value: &Value<'_>) -> Option<Self> {
        match value {
            Value::Number(number) => number.as_u64(),
            Value::Str(text) => text.trim().parse().ok(),
            _ => None,
        }
    }
}

impl Scalar for u16 {
    fn read(value: &Value<'_>) -> Option<Self> {
        u64::read(value)?.try_into().ok()
    }
}

/// The members of an object.
#[derive(Clone, Copy)]
pub(crate) struct Members<'v>(pub(super) &'v ObjectAsVec<'v>);

impl<'v> Members<'v> {
    /// A scalar; nothing if it is not there, or cannot be read as a `T`.
    pub(crate) fn option<T: Scalar>(self, name: &str) -> Option<T> {
        self.0.get(name).and_then(T::read)
    }

    /// A scalar; its default if it is not there, or cannot be read as a `T`.
    pub(crate) fn or_default<T: Scalar + Default>(self, name: &str) -> T {
        self.option(name).unwrap_or_default()
    }

    /// A scalar that must be there.
    pub(crate) fn required<T: Scalar>(self, name: &'static str) -> Result<T, Malformed> {
        let value = self.0.get(name).ok_or(Malformed::Missing(name))?;
        T::read(value).ok_or(Malformed::WrongType(name))
    }

    /// An object that must be there.
    pub(super) fn object(self, name: &'static str) -> Result<Members<'v>, Malformed> {
        let value = self.0.get(name).ok_or(Malformed::Missing(name))?;
        value
            .as_object()
            .map(Members)
            .ok_or(Malformed::WrongType(name))
    }

    /// A list of objects. CloudStack leaves out those that are empty.
    pub(super) fn list<T: Model>(self, name: &'static str) -> Result<Vec<T>, Malformed> {
        let objects = self.objects(name)?;
        let mut list = Vec::with_capacity(objects.len());
        for object in objects {
            list.push(T::read(object)?);
        }
        Ok(list)
    }

    /// The objects of a list, as [`Self::list`].
    pub(super) fn objects(self, name: &'static str) -> Result<Vec<Members<'v>>, Malformed> {
        let items = match self.0.get(name) {
            None | Some(Value::Null) => return Ok(Vec::new()),
            Some(Value::Array(items)) => items.iter().map(Value::as_object),
            Some(_) => return Err(Malformed::WrongType(name)),
        };
        let objects: Option<Vec<_>> = items.map(|item| item.map(Members)).collect();
        objects.ok_or(Malformed::WrongType(name))
    }
}

/// What some JSON is read as.
#[cfg(test)]
pub(crate) fn model<T: Model>(json: &serde_json::Value) -> T {
    read(json).unwrap()
}

#[cfg(test)]
fn read<T: Model>(json: &serde_json::Value) -> Result<T, Malformed> {
    let text = json.to_string();
    let object: ObjectAsVec<'_> = match serde_json::from_str(&text).unwrap() {
        Value::Object(object) => object,
        other => panic!("{other:?} is no object"),
    };
    T::read(Members(&object))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[derive(Debug, PartialEq)]
    struct Sample {
        id: String,
        flag: Option<bool>,
        number: Option<u64>,
        text: String,
        parts: Vec<Self>,
    }

    impl Model for Sample {
        fn read(sample: Members<'_>) -> Result<Self, Malformed> {
            Ok(Self {
                id: sample.required("id")?,
                flag: sample.option("flag"),
                number: sample.option("number"),
                text: sample.or_default("text"),
                parts: sample.list("parts")?,
            })
        }
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
            (json!({"id": "a", "text": {}}), "a", None, None),
        ];
        for (json, id, flag, number) in cases {
            let expected = Sample {
                id: id.to_owned(),
                flag,
                number,
                text: String::new(),
                parts: Vec::new(),
            };
            assert_eq!(read(&json), Ok(expected));
        }
    }

    #[test]
    fn what_must_be_there_is() {
        let wrong = Malformed::WrongType;
        for (json, error) in [
            (json!({}), Malformed::Missing("id")),
            (json!({"id": null}), wrong("id")),
            (json!({"id": {}}), wrong("id")),
            (json!({"id": 1, "parts": "x"}), wrong("parts")),
            (json!({"id": 1, "parts": [1]}), wrong("parts")),
            (
                json!({"id": 1, "parts": [{"id": 2}, {}]}),
                Malformed::Missing("id"),
            ),
        ] {
            assert_eq!(read::<Sample>(&json), Err(error), "{json}");
        }
        let json = json!({"id": 1, "parts": [{"id": 2, "parts": null}]});
        assert_eq!(model::<Sample>(&json).parts[0].id, "2");
        let object = ObjectAsVec::from(vec![("id", Value::Null)]);
        let members = Members(&object);
        assert_eq!(members.object("id").err(), Some(wrong("id")));
        assert_eq!(members.object("x").err(), Some(Malformed::Missing("x")));
    }
}
