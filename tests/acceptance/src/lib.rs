//! What the end-to-end tests share.

use wasmtime::Engine;
use wasmtime::component::Component;

/// The component of the third-party driver `probe`.
pub const PROBE: &str = env!("PROBE_DRIVER");

/// The interfaces that a component imports, without their versions.
pub fn imports(component: &[u8]) -> Vec<String> {
    let engine = Engine::default();
    let component = Component::new(&engine, component).expect("a component");
    let component_type = component.component_type();
    let names = component_type.imports(&engine).map(|(name, _)| name.to_owned());
    names.map(|name| name.split('@').next().unwrap_or_default().to_owned()).collect()
}
