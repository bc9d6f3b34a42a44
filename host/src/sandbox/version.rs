//! Tells a driver of this contract from one of another version and from something else, before it is linked.

use semver::{Version, VersionReq};
use wasmtime::component::Component;

use super::Error;
use crate::contract;

/// Checks that the component exports a lifecycle that this host can drive.
pub(super) fn check(component: &Component) -> Result<(), Error> {
    let engine = component.engine();
    let prefix = format!("{}/lifecycle@", contract::PACKAGE);
    let component_type = component.component_type();
    let versions: Vec<_> = component_type
        .exports(engine)
        .filter_map(|(name, _)| name.strip_prefix(&prefix).map(str::to_owned))
        .collect();
    match versions.first() {
        None => Err(Error::NotADriver),
        Some(version) if is_supported(version) => Ok(()),
        Some(version) => Err(Error::ContractVersion {
            built_for: version.clone(),
        }),
    }
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
        assert!(is_supported("0.1.0"));
        for other in ["0.1.1", "0.2.0", "1.0.0", "0.0.9", "x"] {
            assert!(!is_supported(other), "{other}");
        }
    }
}
