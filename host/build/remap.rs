//! What keeps the paths of a computer out of the components that it builds, so that all computers build the same.

use std::env;
use std::path::Path;

/// Flags for rustc, as the variable `CARGO_ENCODED_RUSTFLAGS` has them: the workspace's directory and that of cargo
/// get names of their own in the places that panics tell.
pub(crate) fn flags(workspace: &Path) -> String {
    let home = env::home_dir().map(|home| home.join(".cargo"));
    let cargo = env::var_os("CARGO_HOME").map(Into::into).or(home);
    let named = [(Some(workspace), "/driver"), (cargo.as_deref(), "/cargo")];
    let flags = named.into_iter().filter_map(|(path, name)| {
        let path = path?.to_str()?;
        Some(format!("--remap-path-prefix={path}={name}"))
    });
    flags.collect::<Vec<_>>().join("\u{1f}")
}
