//! The clean Debian in which the package is tried out.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Result, check_root, is_installed, output, target_dir};

/// A Debian with nothing but its essential packages and apt, into which packages are installed to try them out. Builds it unless
/// it is there, with the machine's own sources of packages.
pub(crate) fn provide() -> Result<PathBuf> {
    let roots = target_dir().join("clean-root");
    let root = roots.join("root");
    if root.is_dir() {
        return Ok(root);
    }
    fs::create_dir_all(&roots).map_err(|e| format!("{}: {e}", roots.display()))?;
    let partial = roots.join("partial");
    if partial.exists() {
        fs::remove_dir_all(&partial).map_err(|e| format!("{}: {e}", partial.display()))?;
    }
    if !is_installed("mmdebstrap") {
        // Packages are installed on a build server, but on nobody's computer unasked.
        if std::env::var_os("CI").is_none() {
            return Err("mmdebstrap is not installed".to_owned());
        }
        output(Command::new("apt-get").arg("update"))?;
        output(
            Command::new("apt-get")
                .args(["install", "--yes", "--no-install-recommends", "mmdebstrap"])
                .env("DEBIAN_FRONTEND", "noninteractive"),
        )?;
    }
    println!("Building a clean Debian into {}", root.display());
    output(
        Command::new("mmdebstrap")
            .args(["--quiet", "--mode=root", "--variant=minbase", ""])
            .arg(&partial)
            .args(sources()?),
    )?;
    fs::rename(&partial, &root).map_err(|e| format!("{}: {e}", partial.display()))?;
    Ok(root)
}

/// Why a package cannot be tried out in a root of its own here, if so.
pub(crate) fn check() -> Result<()> {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    if !release.lines().any(|line| line == "ID=debian") {
        return Err("it takes a Debian, whose packages the root is made of".to_owned());
    }
    check_root()?;
    output(Command::new("unshare").args(["--mount", "--propagation", "private", "true"]))
        .map(drop)
        .map_err(|_| "this machine gives no namespace for mounts".to_owned())
}

/// The machine's sources of packages: Debian's own list if it is where Debian puts it, or else all.
fn sources() -> Result<Vec<PathBuf>> {
    let directory = Path::new("/etc/apt/sources.list.d");
    let usual = directory.join("debian.sources");
    if usual.is_file() {
        return Ok(vec![usual]);
    }
    let others = fs::read_dir(directory).into_iter().flatten().flatten();
    let others = others.map(|entry| entry.path());
    let all = others.chain([PathBuf::from("/etc/apt/sources.list")]);
    let all: Vec<_> = all
        .filter(|path| {
            let is_list = path
                .extension()
                .is_some_and(|e| e == "list" || e == "sources");
            is_list && path.metadata().is_ok_and(|data| data.len() > 0)
        })
        .collect();
    match all.is_empty() {
        true => Err("apt has no sources of packages".to_owned()),
        false => Ok(all),
    }
}
