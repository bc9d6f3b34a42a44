//! Builds the component of the built-in driver, which the host carries in itself.
//!
//! `BTCLOUD_DRIVER_COMPONENT` names a component that is there already, for those who build it in another way.

mod component;

use std::path::PathBuf;
use std::{env, error, fs};

fn main() -> Result<(), Box<dyn error::Error>> {
    println!("cargo::rerun-if-env-changed=BTCLOUD_DRIVER_COMPONENT");
    let component = match env::var_os("BTCLOUD_DRIVER_COMPONENT") {
        Some(path) => PathBuf::from(path),
        None => component::build("../driver-wasm", "btcloud_driver")?,
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
