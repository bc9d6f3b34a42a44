//! What the driver remembers of a machine.

use serde_json::{Map, Value};

use crate::contract;
use crate::contract::types::ErrorKind;

/// The most bytes that a driver may save.
pub const MAX_SAVED: usize = 256 * 1024;

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
pub struct State(pub Box<dyn SaveState>);

impl contract::state::Host for State {
    fn save(&mut self, json: String) -> Result<(), contract::Error> {
        if json.len() > MAX_SAVED {
            return Err(contract::Error::new(
                ErrorKind::Internal,
                format!("the driver wants to save more than {MAX_SAVED} bytes"),
            ));
        }
        match serde_json::from_str(&json) {
            Ok(Value::Object(members)) => self.0.save(members),
            _ => Err(contract::Error::new(
                ErrorKind::Internal,
                "the driver wants to save something that is not a JSON object",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::state::Host as _;

    struct Sink;
    impl SaveState for Sink {
        fn save(&mut self, _: Map<String, Value>) -> Result<(), contract::Error> {
            Ok(())
        }
    }

    #[test]
    fn only_bounded_objects_are_saved() {
        let mut state = State(Box::new(Sink));
        state.save("{\"VmId\": \"1\"}".to_owned()).unwrap();
        state.save("[1]".to_owned()).unwrap_err();
        state.save("{".to_owned()).unwrap_err();
        state
            .save(format!("{{\"a\": \"{}\"}}", "x".repeat(MAX_SAVED)))
            .unwrap_err();
        state
            .save(format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000)))
            .unwrap_err();
    }
}
