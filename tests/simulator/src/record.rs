//! What is kept of requests, for tests to look at and demonstrations to show.

use std::fmt;

use serde::Serialize;

/// A request that was received. Nothing in it can be used to make another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RequestRecord {
    /// The HTTP method.
    pub method: String,
    /// The command, empty if none was sent.
    pub command: String,
    /// The command's parameters in the order of their names, and the API key and the signature masked.
    pub parameters: Vec<(String, String)>,
    /// The status of the answer; none if the connection was closed without one.
    pub status: Option<u16>,
    /// The text of the error, if it was one.
    pub error: Option<String>,
}

impl RequestRecord {
    pub(crate) fn new(method: &str, pairs: &[(String, String)]) -> Self {
        let command = pairs.iter().find(|(name, _)| name == "command");
        let mut parameters: Vec<_> = pairs
            .iter()
            .filter(|(name, _)| !matches!(name.as_str(), "command" | "response"))
            .map(|(name, value)| {
                let secret = ["apikey", "signature"]
                    .iter()
                    .any(|secret| name.eq_ignore_ascii_case(secret));
                (
                    name.clone(),
                    if secret {
                        "***".to_owned()
                    } else {
                        value.clone()
                    },
                )
            })
            .collect();
        parameters.sort();
        Self {
            method: method.to_owned(),
            command: command
                .map(|(_, command)| command.clone())
                .unwrap_or_default(),
            parameters,
            status: None,
            error: None,
        }
    }

    /// The value of a parameter, whose name is matched ignoring case.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        let found = self
            .parameters
            .iter()
            .find(|(other, _)| other.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

/// A text without what would end the line or disturb a terminal.
fn one_line(text: &str) -> String {
    text.chars()
        .map(|character| {
            if character.is_control() {
                '�'
            } else {
                character
            }
        })
        .collect()
}

/// One line: `POST deployVirtualMachine name=web-1 … → 200`. What every request carries is left out, long values are
/// cut, and control characters replaced.
impl fmt::Display for RequestRecord {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LONGEST: usize = 60;
        write!(formatter, "{:<4} {}", self.method, one_line(&self.command))?;
        let common = ["apikey", "signature", "signatureversion", "expires"];
        for (name, value) in &self.parameters {
            if common
                .iter()
                .any(|common| name.eq_ignore_ascii_case(common))
            {
                continue;
            }
            let cut: String = value.chars().take(LONGEST).collect();
            let dots = if cut.len() < value.len() { "…" } else { "" };
            write!(formatter, " {}={}{dots}", one_line(name), one_line(&cut))?;
        }
        match self.status {
            Some(status) => write!(formatter, " → {status}")?,
            None => write!(formatter, " → no answer")?,
        }
        match &self.error {
            Some(error) => write!(formatter, " {}", one_line(error)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_signatures_are_masked() {
        let pairs = [
            ("apiKey", "KEY"),
            ("SIGNATURE", "SIG"),
            ("command", "listZones"),
            ("name", "x"),
        ];
        let pairs = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let record = RequestRecord::new("GET", &pairs);
        assert_eq!(record.parameter("apikey"), Some("***"));
        assert_eq!(record.parameter("Signature"), Some("***"));
        assert_eq!(record.to_string(), "GET  listZones name=x → no answer");
    }

    #[test]
    fn a_line_stays_a_line() {
        let pairs = [("name".to_owned(), format!("a\n{}", "b".repeat(100)))];
        let line = RequestRecord::new("POST", &pairs).to_string();
        assert!(!line.contains('\n') && line.contains('…'), "{line}");
    }
}
