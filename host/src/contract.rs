//! The contract between host and driver, `machine:driver` in `wit/`, as Rust types and traits.

/// The contract's package, as it is named in a component.
pub const PACKAGE: &str = "machine:driver";

/// The version of the contract that this host speaks. A test holds it equal to the package's version in `wit/`.
pub const VERSION: &str = "0.1.0";

#[allow(missing_docs, reason = "the documentation is in the WIT files")]
mod generated {
    wasmtime::component::bindgen!({
        world: "driver",
        path: "../wit",
        additional_derives: [PartialEq],
    });
}

pub use generated::machine::driver::{clock, http, keys, log, state, types};
pub use generated::{Driver, DriverPre};

use types::ErrorKind;
pub use types::{
    Description, Error, FoundMachine, Machine, MachineStatus as Status, OptionKind, OptionScope,
    OptionSpec, State, Value,
};

impl Error {
    /// An error with a message and no hint.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            hint: None,
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_version_is_the_packages() {
        let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../wit")).unwrap();
        let mut seen = 0;
        for file in files {
            let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
            let package = text.lines().next().unwrap();
            assert_eq!(
                package,
                format!("package {}@{};", super::PACKAGE, super::VERSION)
            );
            seen += 1;
        }
        assert!(seen > 0);
    }
}
