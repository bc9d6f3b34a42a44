//! What the driver remembers of a machine.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::budget::Budget;
use super::text::is_treacherous;
use crate::contract;
use crate::contract::types::ErrorKind;

/// Who keeps what a driver saves.
pub trait SaveState: Send {
    /// Replaces what is remembered. It is on disk when this returns.
    ///
    /// # Errors
    ///
    /// If a member has a name that the host keeps for itself, or it cannot be written.
    fn save(&mut self, saved: Map<String, Value>) -> Result<(), contract::Error>;
}

/// Keeps nothing, for what is about no machine.
#[derive(Debug)]
pub struct Nowhere;

impl SaveState for Nowhere {
    fn save(&mut self, _: Map<String, Value>) -> Result<(), contract::Error> {
        Err(contract::Error::new(
            ErrorKind::Unsupported,
            "the driver wants to save something outside of an operation",
        ))
    }
}

/// The capability `state`.
pub struct State {
    sink: Box<dyn SaveState>,
    budget: Arc<Budget>,
}

impl State {
    /// Hands what can be saved to `sink`.
    pub fn new(sink: Box<dyn SaveState>, budget: Arc<Budget>) -> Self {
        Self { sink, budget }
    }

    fn admit(&self, json: &str) -> Result<Map<String, Value>, contract::Error> {
        let limits = self.budget.limits();
        let refused = |message: String| Err(contract::Error::new(ErrorKind::Internal, message));
        if !self.budget.admit_save() {
            let times = limits.saves;
            return refused(format!(
                "the driver saved its state more than {times} times in one operation"
            ));
        }
        members(json, limits.saved_size)
            .or_else(|reason| refused(format!("the driver wants to save {reason}")))
    }
}

/// The members of a driver's state.
///
/// # Errors
///
/// What it is instead, as an object of a sentence.
pub fn members(json: &str, limit: usize) -> Result<Map<String, Value>, String> {
    if json.len() > limit {
        return Err(format!("more than {limit} bytes"));
    }
    match serde_json::from_str(json) {
        Ok(Value::Object(members)) if members.iter().all(|(n, v)| is_plain(n) && is_clean(v)) => {
            Ok(members)
        }
        Ok(Value::Object(_)) => Err("control characters".to_owned()),
        _ => Err("something that is not a JSON object".to_owned()),
    }
}

/// Whether all texts of a value can be shown: users look at what is saved with programs that only mask the oldest control
/// characters.
fn is_clean(value: &Value) -> bool {
    match value {
        Value::String(text) => is_plain(text),
        Value::Array(items) => items.iter().all(is_clean),
        Value::Object(members) => members.iter().all(|(n, v)| is_plain(n) && is_clean(v)),
        Value::Null | Value::Bool(_) | Value::Number(_) => true,
    }
}

fn is_plain(text: &str) -> bool {
    let is_plain = |c| matches!(c, '\n' | '\r' | '\t') || !is_treacherous(c);
    text.chars().all(is_plain)
}

impl contract::state::Host for State {
    fn save(&mut self, json: String) -> Result<(), contract::Error> {
        let members = self.admit(&json)?;
        self.budget.waiting(|| self.sink.save(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capability::clock::{Cancel, SystemTimeSource};
    use crate::capability::limits::Limits;
    use crate::contract::state::Host as _;

    struct Sink;
    impl SaveState for Sink {
        fn save(&mut self, _: Map<String, Value>) -> Result<(), contract::Error> {
            Ok(())
        }
    }

    #[test]
    fn only_bounded_objects_are_saved() {
        let limits = Limits {
            saves: 8,
            saved_size: 300_000,
            ..Limits::default()
        };
        let time = Arc::new(SystemTimeSource::default());
        let budget = Arc::new(Budget::new(limits, time, Cancel::default()));
        let mut state = State::new(Box::new(Sink), budget);
        let mut save = |json: &str| state.save(json.to_owned()).map_err(|e| e.message);
        save("{\"VmId\": \"1\\n\"}").unwrap();
        let cases = [
            ("[1]", "not a JSON object"),
            ("{", "not a JSON object"),
            ("{\"a\": [\"\u{9b}2J\"]}", "control characters"),
            ("{\"a\": {\"\\u001b\": 1}}", "control characters"),
            (
                &format!("{{\"a\": \"{}\"}}", "x".repeat(300_000)),
                "300000 bytes",
            ),
            (
                &format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000)),
                "JSON",
            ),
        ];
        for (json, expected) in cases {
            let error = save(json).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        save("{}").unwrap();
        let error = save("{}").unwrap_err();
        assert!(error.contains("more than 8 times"), "{error}");
    }
}
