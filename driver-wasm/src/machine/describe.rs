//! `describe`: what the driver is and wants.

use crate::cloudstack::Command;
use crate::contract::types::Description;
use crate::flavour;
use crate::options::Row;

/// Describes the driver: its options are the flavour's, its commands all that it ever calls.
pub fn describe() -> Description {
    Description {
        name: flavour::NAME.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        options: flavour::OPTIONS.iter().map(Row::spec).collect(),
        commands: Command::ALL.map(|c| c.name().to_owned()).to_vec(),
    }
}
