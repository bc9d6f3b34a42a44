//! What the driver may ask of its host.

use crate::contract::clock::Interruption;
use crate::contract::http::{Failure, Request, Response};
use crate::contract::keys::KeyType;
use crate::contract::log::Level;
use crate::contract::types::Error;

/// The contract's imports. The component calls the real ones; tests put a scripted host in their place.
pub trait Host {
    /// Sends a request to the endpoint of an option.
    ///
    /// # Errors
    ///
    /// If there is no answer.
    fn send(&self, request: &Request) -> Result<Response, Failure>;

    /// The public half of the machine's SSH key pair.
    ///
    /// # Errors
    ///
    /// If the host cannot make or read the pair.
    fn ssh_public_key(&self, key_type: KeyType) -> Result<String, Error>;

    /// Keeps a JSON object with the machine, on disk before this returns.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    fn save(&self, json: &str) -> Result<(), Error>;

    /// Milliseconds since some moment in the past.
    fn now(&self) -> u64;

    /// Waits that many milliseconds.
    ///
    /// # Errors
    ///
    /// If the user has asked to stop.
    fn sleep(&self, ms: u64) -> Result<(), Interruption>;

    /// Shows a line to the user.
    fn log(&self, level: Level, line: &str);

    /// Tells the user that a step begins.
    fn progress(&self, step: &str, number: u32, of: u32);
}
