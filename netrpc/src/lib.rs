//! Go's [`net/rpc`](https://pkg.go.dev/net/rpc) over HTTP, with [`encoding/gob`](https://pkg.go.dev/encoding/gob), for
//! peers that are not trusted.
//!
//! - [`gob`] reads and writes streams of values that describe their own types. What a peer may make the reader hold is
//!   bounded: bytes, memory, depth, types.
//! - [`rpc`] serves a Go client, or calls a Go server. What a peer may make the server do is bounded: connections, calls,
//!   and the time that it is waited for.
//!
//! ```
//! use std::net::TcpListener;
//! use std::sync::Arc;
//!
//! use netrpc::gob::{Type, Value};
//! use netrpc::rpc::{Client, Reply, Server, Service, Settings};
//!
//! /// func (Clock) Hours(day int, hours *int) error
//! struct Clock;
//!
//! impl Service for Clock {
//!     fn is_called(&self, service: &str) -> bool {
//!         service == "Clock"
//!     }
//!
//!     fn call(&self, method: &str, argument: Value) -> Option<Result<Reply, String>> {
//!         match (method, argument) {
//!             ("Hours", Value::Int(days)) => Some(Ok(Reply::new(&Type::Int, Value::Int(days.saturating_mul(24))))),
//!             ("Hours", _) => Some(Err("days are a number".to_owned())),
//!             _ => None,
//!         }
//!     }
//! }
//!
//! let listener = TcpListener::bind("127.0.0.1:0")?;
//! let address = listener.local_addr()?;
//! let server = Server::new(Arc::new(Clock), &[], Settings::default());
//! std::thread::spawn(move || -> () { server.run(&listener) });
//!
//! // client, _ := rpc.DialHTTP("tcp", address)
//! let mut client = Client::connect(address, &[], Settings::default())?;
//! // client.Call("Clock.Hours", 2, &hours)
//! assert_eq!(client.call("Clock.Hours", &Type::Int, &Value::Int(2))?, Value::Int(48));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Threads and blocking sockets do for what this is made for: a plugin that serves one client, and heartbeats while it works.

#![forbid(unsafe_code)]
// What comes from a peer must not end the process.
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

pub mod gob;
pub mod rpc;
