//! The user's directories, by the XDG Base Directory Specification. Each is nothing where there is no home; paths that are not
//! absolute do not count.

use std::path::PathBuf;

/// The directory of this program in those of configuration, data and caches.
const APPLICATION: &str = "btcloud-host";

/// The home.
pub(crate) fn home() -> Option<PathBuf> {
    named_by("HOME")
}

/// Where programs have their configuration, `$XDG_CONFIG_HOME` or `~/.config`.
pub(crate) fn configurations() -> Option<PathBuf> {
    named_by("XDG_CONFIG_HOME").or_else(|| Some(home()?.join(".config")))
}

/// Where this program has its configuration.
pub(crate) fn configuration() -> Option<PathBuf> {
    Some(configurations()?.join(APPLICATION))
}

/// Where this program has its data, in `$XDG_DATA_HOME` or `~/.local/share`.
pub(crate) fn data() -> Option<PathBuf> {
    let base = named_by("XDG_DATA_HOME").or_else(|| Some(home()?.join(".local/share")));
    Some(base?.join(APPLICATION))
}

/// Where this program has what it can make again, in `$XDG_CACHE_HOME` or `~/.cache`.
pub(crate) fn cache() -> Option<PathBuf> {
    let base = named_by("XDG_CACHE_HOME").or_else(|| Some(home()?.join(".cache")));
    Some(base?.join(APPLICATION))
}

/// Where the user's own programs are, `$XDG_BIN_HOME` or `~/.local/bin`.
pub(crate) fn programs() -> Option<PathBuf> {
    named_by("XDG_BIN_HOME").or_else(|| Some(home()?.join(".local/bin")))
}

fn named_by(variable: &str) -> Option<PathBuf> {
    let path = PathBuf::from(std::env::var_os(variable)?);
    path.is_absolute().then_some(path)
}
