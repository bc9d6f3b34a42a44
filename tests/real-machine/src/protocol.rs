//! What a test and its laboratory say to each other, in lines of JSON.

use cloudstack_simulator::{Guest, Route};
use serde::{Deserialize, Serialize};

/// The number of the reply that tells that the laboratory is ready.
pub(crate) const READY: u64 = 0;

/// An order to the laboratory.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Request {
    /// The number by which the reply is known, from 1.
    pub(crate) number: u64,
    pub(crate) order: Order,
}

/// What is to be done.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Order {
    Start(Guest),
    Stop { id: String, forced: bool },
    Reboot { id: String },
    Remove { id: String },
    Route(Vec<Route>),
}

/// That an order has been carried out, or why not.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Reply {
    pub(crate) number: u64,
    pub(crate) error: Option<String>,
}
