//! What one operation of a driver may use.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The limits of one operation.
///
/// As text each is a whole number, whose unit is in its name; those that are left out have their default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Bytes of the component file.
    #[serde(rename = "component-bytes")]
    pub component_size: usize,
    /// The time that compiling the component may take.
    #[serde(rename = "compilation-ms", with = "milliseconds")]
    pub compilation: Duration,
    /// Bytes of all linear memories together.
    #[serde(rename = "memory-bytes")]
    pub memory: usize,
    /// Elements of all tables together.
    #[serde(rename = "table-elements")]
    pub table_elements: usize,
    /// Core instances, memories and tables, each.
    #[serde(rename = "instances")]
    pub instances: usize,
    /// Bytes of the stack.
    #[serde(rename = "stack-bytes")]
    pub stack: usize,
    /// Bytes that the driver may hand to the host at once: the arguments of one call, or its answer. About as much memory
    /// of the host's goes into them.
    #[serde(rename = "transfer-bytes")]
    pub transfer: usize,
    /// The time that the driver may compute, not counting what it waits: for an answer, for time to pass, for the disk.
    #[serde(rename = "computation-ms", with = "milliseconds")]
    pub computation: Duration,
    /// The time that an operation may take in all.
    #[serde(rename = "operation-ms", with = "milliseconds")]
    pub wall: Duration,
    /// The time that is left to the driver once the user has asked to stop.
    #[serde(rename = "grace-ms", with = "milliseconds")]
    pub grace: Duration,
    /// Requests.
    #[serde(rename = "requests")]
    pub requests: u32,
    /// Bytes of a request: its path, its parameters' names and values, and its body.
    #[serde(rename = "request-bytes")]
    pub request_size: usize,
    /// Bytes of the body of an answer.
    #[serde(rename = "response-bytes")]
    pub response_size: u64,
    /// Lines and steps that are shown to the user, and, with `--verbose`, as many lines about requests.
    #[serde(rename = "log-lines")]
    pub log_lines: u32,
    /// Bytes of one of them.
    #[serde(rename = "log-line-bytes")]
    pub log_line_length: usize,
    /// How often the driver may save its state, each time being forced to the disk.
    #[serde(rename = "saves")]
    pub saves: u32,
    /// Bytes of what it saves.
    #[serde(rename = "saved-bytes")]
    pub saved_size: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            component_size: 64 << 20,
            compilation: Duration::from_secs(120),
            memory: 256 << 20,
            table_elements: 100_000,
            instances: 64,
            stack: 1 << 20,
            transfer: 8 << 20,
            computation: Duration::from_secs(20),
            wall: Duration::from_secs(60 * 60),
            // A driver that is asked to stop may be waiting for an answer that tells what was made.
            grace: Duration::from_secs(120),
            // An hour of polling each second, and then some.
            requests: 5_000,
            request_size: 64 << 10,
            response_size: 8 << 20,
            log_lines: 1_000,
            log_line_length: 4 << 10,
            saves: 1_000,
            saved_size: 256 << 10,
        }
    }
}

impl Limits {
    /// Those of `describe`, which has nothing to wait for.
    pub fn of_description(self) -> Self {
        Self {
            wall: self.wall.min(self.computation),
            ..self
        }
    }
}

/// A limit that stopped a driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Limit {
    /// The component file is too large.
    #[error("its file is larger than {0} bytes")]
    ComponentSize(usize),
    /// The component takes too long to compile.
    #[error("it takes more than {} seconds to compile", .0.as_secs_f32())]
    Compilation(Duration),
    /// Its memories would grow too large.
    #[error("it wants more than {0} bytes of memory")]
    Memory(usize),
    /// Its tables would grow too large.
    #[error("it wants tables of more than {0} elements")]
    Table(usize),
    /// It has too many parts.
    #[error("it has more than {0} instances, memories or tables")]
    Instances(usize),
    /// It went too deep.
    #[error("it needs more than {0} bytes for its stack")]
    Stack(usize),
    /// It handed too much to the host.
    #[error("it hands more than {0} bytes to the host at once")]
    Transfer(usize),
    /// It computed too long.
    #[error("it computed for more than {} seconds", .0.as_secs_f32())]
    Computation(Duration),
    /// It took too long in all.
    #[error("the operation took more than {} seconds", .0.as_secs_f32())]
    Wall(Duration),
    /// It did not stop.
    #[error("it went on for more than {} seconds after it had been asked to stop", .0.as_secs_f32())]
    Grace(Duration),
}

/// Durations as whole milliseconds.
mod milliseconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_millis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn limits_are_numbers_with_their_units_and_have_defaults() {
        let limits: Limits =
            serde_json::from_value(json!({"memory-bytes": 1, "computation-ms": 1500})).unwrap();
        let expected = Limits {
            memory: 1,
            computation: Duration::from_millis(1500),
            ..Limits::default()
        };
        assert_eq!(limits, expected);
        let back = serde_json::to_value(limits).unwrap();
        assert_eq!(serde_json::from_value::<Limits>(back).unwrap(), limits);
        // A limit that is misspelt would otherwise be none.
        serde_json::from_value::<Limits>(json!({"memory": 1})).unwrap_err();
        serde_json::from_value::<Limits>(json!({"memory-bytes": -1})).unwrap_err();
    }
}
