//! The driver that the host carries in itself, and how drivers are found by name.

use crate::machine::LazyDriver;
use crate::registry::{self, Registry};
use crate::sandbox::{Cache, Limits};

/// Its name, as in `docker-machine create --driver btcloud`.
pub const NAME: &str = registry::BUILT_IN;

/// Its component.
pub const COMPONENT: &[u8] = include_bytes!(env!("BTCLOUD_DRIVER_COMPONENT_FILE"));

/// The driver with the default limits and the user's cache.
pub fn driver() -> LazyDriver {
    LazyDriver::new(COMPONENT, Limits::default(), Cache::of_user())
}

/// The driver of a name: the built-in one, or one that the user has installed.
pub fn driver_named(name: &str) -> LazyDriver {
    if name == NAME {
        return driver();
    }
    LazyDriver::installed(Registry::of_user(), name, Cache::of_user())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_component_is_the_driver_of_that_name() {
        let driver = LazyDriver::new(COMPONENT, Limits::default(), None);
        assert_eq!(driver.loaded().unwrap().description.name, NAME);
    }

    #[test]
    fn the_component_tells_nothing_of_the_computer_that_built_it() {
        let workspace = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent();
        let home = std::env::home_dir().map(|home| home.join(".cargo"));
        for path in [workspace, home.as_deref()].into_iter().flatten() {
            let path = path.as_os_str().as_encoded_bytes();
            let is_told = COMPONENT.windows(path.len()).any(|window| window == path);
            assert!(!is_told, "{}", String::from_utf8_lossy(path));
        }
    }
}
