//! Go's `net/rpc` and `encoding/gob`, for peers that are not trusted.

pub mod gob;
pub mod rpc;
