//! A client of the CloudStack API, as far as the driver needs it.

// What is read here comes from outside, and must not end the process.
#![cfg_attr(
    not(test),
    warn(
        clippy::arithmetic_side_effects,
        clippy::as_conversions,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::string_slice,
        clippy::unreachable,
        clippy::unwrap_used
    )
)]

mod api;
mod client;
mod command;
mod error;
mod job;
mod lenient;
mod listing;
mod model;

pub(crate) use api::{Cloud, Deployment, Forwarding};
pub(crate) use client::Client;
pub(crate) use command::Command;
pub(crate) use error::{Error, Refusal, Stage};
pub(crate) use job::Backoff;
#[cfg(test)]
pub(crate) use lenient::model;
pub(crate) use lenient::{Malformed, Members, Model};
pub(crate) use listing::Listing;
pub(crate) use model::{
    Created, DiskOffering, FirewallRule, Item, Network, NetworkOffering, Nic, PortForwardingRule,
    PublicIpAddress, ServiceOffering, SshKeyPair, Submitted, Tags, Template, VirtualMachine,
    Volume, Zone,
};
