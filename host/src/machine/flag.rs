//! Values for options as the doors hand them over, and where a value can come from.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// The value of a flag, as a door was given it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flag {
    /// Of a switch.
    Boolean(bool),
    /// A number.
    Integer(i64),
    /// A text; an empty one counts as none.
    Text(String),
    /// Several texts; an empty list counts as none.
    TextList(Vec<String>),
}

/// The flags by their names.
pub type Flags = BTreeMap<String, Flag>;

/// Looks up an environment variable.
pub type Variables = dyn Fn(&str) -> Option<String> + Send + Sync;

/// Where an option's value can come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A flag.
    Flag,
    /// An environment variable, of that name.
    Variable(String),
    /// A profile, in that file.
    Profile(PathBuf),
    /// The driver's default.
    Default,
}
