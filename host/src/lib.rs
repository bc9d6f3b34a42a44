//! The native host of machine drivers: it runs a driver, a WebAssembly component, in a sandbox and opens two doors on
//! it, a Docker Machine plugin and a command line.
//!
//! Dependencies point one way: the doors ([`cli`], [`plugin`]) know the [`machine`] service, the service knows the
//! [`registry`] of third-party drivers and the [`sandbox`], the sandbox knows the [`capability`]s, and all speak in terms
//! of the [`contract`]. [`provision`] sets Docker up on a machine, over [`ssh`], for the command line alone: docker-machine
//! does that itself. [`conformance`] checks that a driver keeps the contract.

#![warn(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used
)]

pub mod builtin;
pub mod capability;
pub mod cli;
pub mod conformance;
pub mod contract;
mod directories;
mod files;
pub mod machine;
pub mod plugin;
pub mod provision;
pub mod registry;
pub mod sandbox;
pub mod ssh;
