//! Chooses the driver's flavour.

fn main() {
    println!("cargo::rustc-cfg=flavour=\"cloudstack\"");
    println!("cargo::rerun-if-changed=build.rs");
}
