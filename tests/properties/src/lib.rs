//! What holds whatever peers, clouds and stores send: each property is a function that takes any bytes, and panics if it
//! does not hold for them.
//!
//! `fuzz/` has a target for each, and `tests/corpus.rs` replays what fuzzing found worth keeping, with random changes.

#![allow(
    clippy::missing_panics_doc,
    reason = "panics are how a property tells that it does not hold"
)]

pub mod cloudstack;
pub mod config;
pub mod gob;
pub mod http;
mod memory;
pub mod rpc;
mod text;
