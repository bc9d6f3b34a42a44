//! What a driver may ask of the host, one file each: [`http`], [`keys`], [`state`], [`clock`] and [`log`]; and what these share:
//! the [`limits`] of an operation and the [`budget`] that is left of them, its [`secret`]s, [`text`] from outside as it may be
//! shown, and CloudStack's [`signature`].
//!
//! Each capability implements its interface of the [contract](crate::contract) for a small struct that is made anew for
//! every operation, so that nothing of a driver leaks from one call into the next. What they share with the outside is behind
//! traits ([`clock::TimeSource`], [`log::Reporter`], [`state::SaveState`]), so that tests put virtual time and recorders there.

use std::sync::Arc;

pub mod budget;
pub mod clock;
pub mod http;
pub mod keys;
pub mod limits;
pub mod log;
pub mod secret;
pub mod signature;
pub mod state;
pub mod text;

/// All that one operation of a driver may use.
pub struct Capabilities {
    /// What it may use, and has used.
    pub budget: Arc<budget::Budget>,
    /// Requests to the configured endpoints.
    pub http: http::Http,
    /// The machine's SSH key pair.
    pub keys: keys::SshKeys,
    /// What the driver remembers.
    pub state: state::State,
    /// Time and cancellation.
    pub clock: clock::Clock,
    /// What the user sees.
    pub log: log::Log,
}

impl Capabilities {
    /// Those of an operation that may do nothing: `describe`.
    pub fn none(limits: limits::Limits) -> Self {
        let time = Arc::new(clock::SystemTimeSource::default());
        let budget = budget::Budget::new(limits, time, clock::Cancel::default());
        let budget = Arc::new(budget);
        let secrets = Arc::new(secret::Secrets::default());
        Self {
            http: http::Http::new(
                http::Client::default(),
                Arc::default(),
                Arc::clone(&secrets),
                Arc::clone(&budget),
                Arc::new(log::Silent),
            ),
            keys: keys::SshKeys::new(keys::Keys::Denied, Arc::clone(&budget)),
            state: state::State::new(Box::new(state::Nowhere), Arc::clone(&budget)),
            clock: clock::Clock(Arc::clone(&budget)),
            log: log::Log::new(Arc::new(log::Silent), secrets, Arc::clone(&budget)),
            budget,
        }
    }
}

// The interface `types` has no functions.
impl crate::contract::types::Host for Capabilities {}
