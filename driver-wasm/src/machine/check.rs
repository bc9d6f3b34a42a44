//! `check`: whether a machine can be made as its options say.

use super::{name, resolve};
use crate::contract::types::{Error, Machine};
use crate::host::Host;
use crate::options::Settings;

/// Checks a machine's name and options, the latter against the cloud. Changes nothing.
///
/// # Errors
///
/// If the name or an option is no good, or the cloud cannot be asked.
pub fn check(host: &dyn Host, machine: &Machine) -> Result<(), Error> {
    let settings = Settings::parse(machine)?;
    name::check(&machine.name)?;
    name::mark(machine)?;
    resolve::choice(host, machine, &settings).map(drop)
}
