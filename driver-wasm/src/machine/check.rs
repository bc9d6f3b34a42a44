//! `check`: whether a machine can be made as its options say.

use super::resolve::Networks;
use super::{name, resolve};
use crate::contract::log::Level;
use crate::contract::types::{Error, Machine};
use crate::host::Host;
use crate::options::Settings;
use crate::text;

/// Checks a machine's name and options, the latter against the cloud. Changes nothing.
///
/// # Errors
///
/// If the name or an option is no good, or the cloud cannot be asked.
pub fn check(host: &dyn Host, machine: &Machine) -> Result<(), Error> {
    let settings = Settings::parse(machine)?;
    name::check(&machine.name)?;
    name::mark(machine)?;
    let (_, choice) = resolve::choice(host, machine, &settings)?;
    if let Networks::New(offering) = &choice.networks {
        let line = format!(
            "The zone \"{}\" has no network; one will be made from the offering \"{}\", and its virtual router takes some \
             minutes to start",
            text::name(&choice.zone.name),
            text::name(&offering.name)
        );
        host.log(Level::Info, &line);
    }
    Ok(())
}
