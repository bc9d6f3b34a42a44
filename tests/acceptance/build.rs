//! Builds the component of the third-party driver that the tests use.

#[path = "../../host/build/component.rs"]
mod component;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let probe = component::build("../drivers/probe", "probe_driver")?;
    println!("cargo::rustc-env=PROBE_DRIVER={}", probe.display());
    Ok(())
}
