//! Keys and passwords: never printed, wiped from memory when dropped.

use std::collections::BTreeMap;
use std::fmt;

use memchr::memmem;
use zeroize::Zeroizing;

use super::signature::encode;

/// Shorter values are not searched for in text: they would hit by chance, and guard nothing.
const MIN_REDACTED: usize = 8;

/// A key or password.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// The value itself. Whoever calls this answers for where it goes.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(value: String) -> Self {
        Self(Zeroizing::new(value))
    }
}

impl From<&str> for Secret {
    fn from(value: &str) -> Self {
        value.to_owned().into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Secrets by the names of their options.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Secrets(BTreeMap<String, Secret>);

impl Secrets {
    /// The secret of that option, if it is set.
    pub fn get(&self, option: &str) -> Option<&Secret> {
        self.0.get(option)
    }

    /// Sets the secret of an option.
    pub fn insert(&mut self, option: String, secret: Secret) {
        self.0.insert(option, secret);
    }

    /// Sets the secrets that `others` has.
    pub fn extend(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    /// Whether no secret is set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Secret)> {
        self.0.iter().map(|(name, secret)| (name.as_str(), secret))
    }

    /// `text` with `***` in the place of every secret.
    pub fn redact(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for value in self.redacted() {
            if text.contains(&*value) {
                text = text.replace(&*value, "***");
            }
        }
        text
    }

    /// `bytes` with `*` in the place of every byte of a secret; the length stays.
    pub fn redact_bytes(&self, mut bytes: Vec<u8>) -> Vec<u8> {
        for value in self.redacted() {
            let hits: Vec<_> = memmem::find_iter(&bytes, value.as_bytes()).collect();
            for at in hits {
                if let Some(hit) = bytes.get_mut(at..at + value.len()) {
                    hit.fill(b'*');
                }
            }
        }
        bytes
    }

    /// What is not to be shown: the values as they are, and as they stand in a query and in JSON. Without the padding of
    /// Base64, which some write as `\u003d`. Longer ones come first, since a shorter one may be the beginning of one.
    fn redacted(&self) -> Vec<Zeroizing<String>> {
        let values = self
            .0
            .values()
            .map(|value| value.expose().trim_end_matches('='));
        let mut forms: Vec<_> = values
            .filter(|value| value.len() >= MIN_REDACTED)
            .flat_map(|value| {
                let encoded = encode(value);
                let json = in_json(value);
                let forms = [
                    value.to_owned(),
                    lower_case_escapes(&encoded),
                    encoded,
                    json.replace('/', "\\/"),
                    json,
                ];
                forms.map(Zeroizing::new)
            })
            .collect();
        forms.sort_by(|a, b| {
            b.len()
                .cmp(&a.len())
                .then_with(|| a.as_str().cmp(b.as_str()))
        });
        forms.dedup();
        forms
    }
}

/// A text as it stands between the quotes of JSON.
fn in_json(text: &str) -> String {
    let json = serde_json::Value::from(text).to_string();
    let inner = json
        .strip_prefix('"')
        .and_then(|json| json.strip_suffix('"'));
    inner.unwrap_or(text).to_owned()
}

/// Text that is encoded for a query, as those encode it who write `%2b` for `%2B`.
fn lower_case_escapes(encoded: &str) -> String {
    let mut parts = encoded.split('%');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2).unwrap_or((part, ""));
        text.extend(["%", &digits.to_ascii_lowercase(), rest]);
    }
    text
}

impl FromIterator<(String, Secret)> for Secrets {
    fn from_iter<I: IntoIterator<Item = (String, Secret)>>(secrets: I) -> Self {
        Self(secrets.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_printed() {
        let secrets = Secrets::from_iter([("api-key".to_owned(), Secret::from("hunter2hunter2"))]);
        assert!(!format!("{secrets:?}").contains("hunter2"));
    }

    #[test]
    fn a_secret_is_found_in_text_and_bytes() {
        let secrets = Secrets::from_iter([("api-key".to_owned(), Secret::from("hunter2hunter2"))]);
        assert_eq!(secrets.redact("key hunter2hunter2."), "key ***.");
        let bytes = secrets.redact_bytes(b"xhunter2hunter2hunter2hunter2y".to_vec());
        assert_eq!(bytes, [b"x".as_slice(), &[b'*'; 28], b"y"].concat());
    }

    #[test]
    fn a_secret_is_found_as_it_stands_in_a_query() {
        let secrets = Secrets::from_iter([("key".to_owned(), Secret::from("hunter+2/hunter="))]);
        assert_eq!(
            secrets.redact("?key=hunter%2B2%2Fhunter%3D&"),
            "?key=***%3D&"
        );
        assert_eq!(secrets.redact("?key=hunter%2b2%2fhunter&"), "?key=***&");
    }

    #[test]
    fn a_secret_is_found_as_it_stands_in_json() {
        let secrets = Secrets::from_iter([("key".to_owned(), Secret::from("hunter+2/hunter="))]);
        assert_eq!(secrets.redact("hunter+2\\/hunter="), "***=");
        assert_eq!(secrets.redact("hunter+2/hunter\\u003d"), "***\\u003d");
        let quoted = Secrets::from_iter([("key".to_owned(), Secret::from("hun\"ter\\2/hunter"))]);
        for text in [
            r#"{"key": "hun\"ter\\2/hunter"}"#,
            r#"{"key": "hun\"ter\\2\/hunter"}"#,
        ] {
            assert_eq!(quoted.redact(text), r#"{"key": "***"}"#);
        }
    }

    #[test]
    fn nothing_is_left_of_a_secret_that_begins_with_another() {
        let secrets = Secrets::from_iter([
            ("a".to_owned(), Secret::from("hunter2hunter2")),
            ("b".to_owned(), Secret::from("hunter2hunter2hunter3")),
        ]);
        assert_eq!(secrets.redact("hunter2hunter2hunter3"), "***");
        let bytes = secrets.redact_bytes(b"hunter2hunter2hunter3".to_vec());
        assert_eq!(bytes, [b'*'; 21]);
    }
}
