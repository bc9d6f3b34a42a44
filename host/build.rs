//! Builds the component of the built-in driver, which the host carries in itself.
//!
//! `BTCLOUD_DRIVER_COMPONENT` names a component that is there already, for those who build it in another way.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, error, fs};

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

fn main() -> Result<(), Box<dyn error::Error>> {
    println!("cargo::rerun-if-env-changed=BTCLOUD_DRIVER_COMPONENT");
    let component = match env::var_os("BTCLOUD_DRIVER_COMPONENT") {
        Some(path) => PathBuf::from(path),
        None => build()?,
    };
    let component = fs::canonicalize(&component)
        .map_err(|e| format!("the driver component {}: {e}", component.display()))?;
    println!("cargo::rerun-if-changed={}", component.display());
    println!(
        "cargo::rustc-env=BTCLOUD_DRIVER_COMPONENT_FILE={}",
        component.display()
    );
    Ok(())
}

fn build() -> Result<PathBuf, Box<dyn error::Error>> {
    let variable = |name| env::var_os(name).ok_or(format!("{name} is not set"));
    let manifest = Path::new(&variable("CARGO_MANIFEST_DIR")?).join("../driver-wasm/Cargo.toml");
    for source in [
        "src",
        "Cargo.toml",
        "../Cargo.toml",
        "../Cargo.lock",
        "../wit",
    ] {
        println!(
            "cargo::rerun-if-changed={}",
            manifest.with_file_name(source).display()
        );
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
        .arg(&manifest)
        .arg("--target-dir")
        .arg(&target_dir);
    for name in NOT_INHERITED {
        cargo.env_remove(name);
    }
    if !cargo.status()?.success() {
        return Err(
            "the driver component cannot be built; if its target is missing, \
                    `rustup target add wasm32-wasip2` or `cargo xtask build` adds it"
                .into(),
        );
    }
    Ok(target_dir.join("wasm32-wasip2/component/btcloud_driver.wasm"))
}
