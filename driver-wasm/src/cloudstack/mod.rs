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
mod model;

pub use api::Cloud;
pub(crate) use api::{Deployment, Forwarding, Listing};
pub use client::Client;
pub use command::Command;
pub use error::{Error, Refusal, Stage};
pub use job::Backoff;
#[cfg(test)]
pub(crate) use lenient::model;
pub(crate) use lenient::{Malformed, Members, Model};
pub use model::{
    Capability, Created, DiskOffering, FirewallRule, Item, Network, NetworkOffering, Nic,
    PortForwardingRule, PublicIpAddress, ServiceOffering, SshKeyPair, Submitted, Tags, Template,
    VirtualMachine, VirtualMachineState, Volume, Zone,
};
