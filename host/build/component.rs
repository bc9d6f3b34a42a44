//! Builds a driver component with a cargo of its own, from within a build script.

#[path = "remap.rs"]
mod remap;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, error};

/// Settings of the surrounding build that must not reach the component's.
const NOT_INHERITED: [&str; 8] = [
    "CARGO_BUILD_RUSTFLAGS",
    "CARGO_BUILD_TARGET",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_TARGET_DIR",
    "RUSTC",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTFLAGS",
    "TARGET",
];

/// Builds the component of the package in `directory`, relative to the building package's, and tells where it is.
pub(crate) fn build(directory: &str, library: &str) -> Result<PathBuf, Box<dyn error::Error>> {
    let variable = |name| env::var_os(name).ok_or(format!("{name} is not set"));
    let package = Path::new(&variable("CARGO_MANIFEST_DIR")?).join(directory);
    let workspace = package
        .ancestors()
        .skip(1)
        .find(|directory| directory.join("Cargo.lock").is_file())
        .ok_or("the driver's package is in no workspace")?;
    let sources = [
        package.join("src"),
        package.join("build.rs"),
        package.join("Cargo.toml"),
        workspace.join("Cargo.lock"),
        workspace.join("wit"),
    ];
    // One that is not there would count as changed each time.
    for source in sources.iter().filter(|source| source.exists()) {
        println!("cargo::rerun-if-changed={}", source.display());
    }
    let target_dir = Path::new(&variable("OUT_DIR")?).join("component");
    let mut cargo = Command::new(variable("CARGO")?);
    cargo
        .args([
            "build",
            "--quiet",
            "--lib",
            "--target",
            "wasm32-wasip2",
            "--profile",
            "component",
        ])
        .arg("--manifest-path")
        .arg(package.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(&target_dir);
    for name in NOT_INHERITED {
        cargo.env_remove(name);
    }
    cargo.env("CARGO_ENCODED_RUSTFLAGS", remap::flags(workspace));
    if !cargo.status()?.success() {
        return Err(
            "the driver component cannot be built; if its target is missing, \
                    `rustup target add wasm32-wasip2` or `cargo xtask build` adds it"
                .into(),
        );
    }
    Ok(target_dir
        .join("wasm32-wasip2/component")
        .join(library)
        .with_extension("wasm"))
}
