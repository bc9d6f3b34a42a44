//! The contract with the host, `machine:driver` in `wit/`, as Rust types. They are the same natively, where the
//! imported functions alone cannot be called.

#[allow(
    missing_docs,
    rust_2018_idioms,
    unreachable_pub,
    unsafe_code,
    unused_qualifications,
    clippy::all,
    clippy::restriction,
    clippy::pedantic,
    reason = "generated; the documentation is in the WIT files"
)]
mod generated {
    wit_bindgen::generate!({
        world: "driver-with-inventory",
        path: "../wit",
        additional_derives: [PartialEq],
    });

    #[cfg(target_arch = "wasm32")]
    export!(Component);

    #[cfg(target_arch = "wasm32")]
    use crate::component::Component;
}

pub use generated::exports::machine::driver::inventory;
#[cfg(target_arch = "wasm32")]
pub(crate) use generated::exports::machine::driver::lifecycle;
pub use generated::machine::driver::{clock, http, keys, log, state, types};
