//! Builds the components of the third-party drivers that the tests use.

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
    Ok(())
}
