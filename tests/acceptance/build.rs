//! Builds the components that the tests use: the driver for any CloudStack cloud, and third-party drivers.

#[path = "../../host/build/component.rs"]
mod component;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for (name, variable) in [
        ("probe", "PROBE_DRIVER"),
        ("hetzner", "HETZNER_DRIVER"),
        ("hostile", "HOSTILE_DRIVER"),
    ] {
        let component = component::build(&format!("../drivers/{name}"), &format!("{name}_driver"))?;
        println!("cargo::rustc-env={variable}={}", component.display());
    }
    // Its sources are the built-in driver's.
    println!("cargo::rerun-if-changed=../../driver-wasm/src");
    let cloudstack = component::build("../../driver-wasm-cloudstack", "cloudstack_driver")?;
    println!(
        "cargo::rustc-env=CLOUDSTACK_DRIVER={}",
        cloudstack.display()
    );
    Ok(())
}
