//! How a machine's Docker engine is set up: what docker-machine keeps in `HostOptions` of `config.json`.

use serde::{Deserialize, Deserializer, Serialize};

/// Where docker-machine installs Docker from.
pub const INSTALL_URL: &str = "https://get.docker.com";

/// docker-machine's `EngineOptions` (`libmachine/engine/engine.go`), as far as the engine of today has them. Members that are
/// not here stay in the file as they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct EngineOptions {
    /// Flags of `dockerd` without their dashes, such as `log-driver=journald`
    #[serde(deserialize_with = "null_is_none")]
    pub arbitrary_flags: Vec<String>,
    /// Variables of the engine's environment, `NAME=VALUE`
    #[serde(deserialize_with = "null_is_none")]
    pub env: Vec<String>,
    /// Registries that are spoken to without TLS
    #[serde(deserialize_with = "null_is_none")]
    pub insecure_registry: Vec<String>,
    /// Labels of the engine, `key=value`
    #[serde(deserialize_with = "null_is_none")]
    pub labels: Vec<String>,
    /// Mirrors of registries, as URLs
    #[serde(deserialize_with = "null_is_none")]
    pub registry_mirror: Vec<String>,
    /// The storage driver; empty if that is the engine's choice
    pub storage_driver: String,
    /// The URL of a script that installs Docker; `none` if it is not to be installed
    #[serde(rename = "InstallURL")]
    pub install_url: String,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            arbitrary_flags: Vec::new(),
            env: Vec::new(),
            insecure_registry: Vec::new(),
            labels: Vec::new(),
            registry_mirror: Vec::new(),
            storage_driver: String::new(),
            install_url: INSTALL_URL.to_owned(),
        }
    }
}

/// What the store has of a machine's engine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Engine {
    /// Its options.
    pub options: EngineOptions,
    /// Further names and addresses in its certificate, docker-machine's `ServerCertSANs`.
    pub names: Vec<String>,
}

/// Go writes an empty list as `null`.
pub(super) fn null_is_none<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<String>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
