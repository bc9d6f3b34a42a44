//! The driver for Apache CloudStack clouds: a WebAssembly component that implements the world `driver-with-inventory` of `wit/`.
//!
//! It comes in two flavours from the same source: `btcloud`, for BT Cloud Compute, which the host carries in itself, and
//! `cloudstack` for any other cloud. The packages `btcloud-driver` and `cloudstack-driver` are these sources with the one
//! or the other module `flavour`, which is all that they differ in: both have the same items.
//!
//! It does no I/O of its own. Everything that it wants from outside goes through [`host::Host`], which are the
//! contract's imports in the component, and a scripted host in the tests; the logic is the same natively.
//!
//! - `flavour`: names, texts, defaults, and what older drivers saved.
//! - [`options`]: what the user can set.
//! - `cloudstack`: a client of the API: calls, repetitions, jobs, errors.
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

mod cloudstack;
pub mod contract;
#[cfg_attr(flavour = "cloudstack", path = "flavour/cloudstack.rs")]
#[cfg_attr(not(flavour = "cloudstack"), path = "flavour/btcloud.rs")]
mod flavour;
pub mod host;
pub mod machine;
pub mod options;

#[cfg(target_arch = "wasm32")]
mod component;
mod failure;
#[cfg(test)]
mod testing;
mod text;
