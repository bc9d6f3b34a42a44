//! The built-in driver for BT Cloud Compute, an Apache CloudStack cloud: a WebAssembly component that implements the
//! world `driver` of `wit/`.
//!
//! It does no I/O of its own. Everything that it wants from outside goes through [`host::Host`], which are the
//! contract's imports in the component, and a scripted host in the tests; the logic is the same natively.
//!
//! - [`options`]: what the user can set.
//! - [`cloudstack`]: a client of the API: calls, repetitions, jobs, errors.
//! - [`machine`]: the operations.

#![warn(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_possible_wrap,
    clippy::string_slice
)]

pub mod cloudstack;
pub mod contract;
pub mod host;
pub mod machine;
pub mod options;

#[cfg(target_arch = "wasm32")]
mod component;
mod failure;
#[cfg(test)]
mod testing;
mod text;
