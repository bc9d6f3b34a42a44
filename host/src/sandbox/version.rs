//! Tells a driver of this contract from one of another version and from something else, before it is linked.

use semver::{Version, VersionReq};
use wasmtime::component::Component;

use super::Error;
use crate::contract;

/// Checks that the component exports a lifecycle that this host can drive, and tells whether it exports an inventory.
///
/// # Errors
///
/// If it has no lifecycle, or one of the two is of another version.
pub(super) fn check(component: &Component) -> Result<bool, Error> {
    let supported = |interface| match exported(component, interface) {
        Some(version) if !is_supported(&version) => {
            Err(Error::ContractVersion { built_for: version })
        }
        version => Ok(version.is_some()),
    };
    if !supported("lifecycle")? {
        return Err(Error::NotADriver);
    }
    supported("inventory")
}

/// The version of an interface of the contract, if the component exports it.
fn exported(component: &Component, interface: &str) -> Option<String> {
    let prefix = format!("{}/{interface}@", contract::PACKAGE);
    let component_type = component.component_type();
    let mut exports = component_type.exports(component.engine());
    exports.find_map(|(name, _)| name.strip_prefix(&prefix).map(str::to_owned))
}

/// Whether this host offers what a driver of that version of the contract needs, by the rules of semantic versioning.
fn is_supported(version: &str) -> bool {
    match (
        VersionReq::parse(&format!("^{version}")),
        Version::parse(contract::VERSION),
    ) {
        (Ok(needed), Ok(offered)) => needed.matches(&offered),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::is_supported;

    #[test]
    fn versions_are_compared_semantically() {
        assert!(is_supported("0.1.0") && is_supported("0.1.1"));
        for other in ["0.1.2", "0.2.0", "1.0.0", "0.0.9", "x"] {
            assert!(!is_supported(other), "{other}");
        }
    }
}
