//! Programs of cargo's that chores need, each of one version, in the directory of what is built rather than the user's.

use std::path::PathBuf;

use crate::{Result, cargo, run, target_dir};

/// A program that cargo installs.
#[derive(Clone, Copy)]
pub(crate) struct Tool {
    name: &'static str,
    version: &'static str,
    /// What of it is built, and how.
    settings: &'static [&'static str],
}

/// Makes Debian packages.
pub(crate) const DEB: Tool = Tool {
    name: "cargo-deb",
    version: "3.8.0",
    settings: &["--no-default-features", "--features=gzip"],
};

/// Looks at licences, advisories, versions and sources of dependencies.
pub(crate) const DENY: Tool = Tool {
    name: "cargo-deny",
    version: "0.20.2",
    settings: &["--no-default-features"],
};

/// Fuzzes with libFuzzer.
pub(crate) const FUZZ: Tool = Tool {
    name: "cargo-fuzz",
    version: "0.13.2",
    settings: &[],
};

/// Collects the notices of dependencies.
pub(crate) const ABOUT: Tool = Tool {
    name: "cargo-about",
    version: "0.9.3",
    // It compares texts, which takes ten minutes otherwise.
    settings: &[
        "--features=cli",
        "--config=profile.dev.package.spdx.opt-level=3",
        "--config=profile.dev.package.unicode-normalization.opt-level=3",
        "--config=profile.dev.package.memchr.opt-level=3",
    ],
};

/// Lists what programs consist of.
pub(crate) const CYCLONEDX: Tool = Tool {
    name: "cargo-cyclonedx",
    version: "0.5.9",
    settings: &[],
};

impl Tool {
    /// The program, which is built if it is not there, without optimisation: that takes longer than what it saves.
    pub(crate) fn provide(self) -> Result<PathBuf> {
        let Self {
            name,
            version,
            settings,
        } = self;
        let tools = target_dir().join("tools");
        let directory = tools.join(format!("{name}-{version}"));
        let program = directory.join("bin").join(name);
        if program.is_file() {
            return Ok(program);
        }
        println!("Installing {name} {version} into {}", tools.display());
        run(cargo()
            .args(["install", name, "--version", version])
            .args(["--locked", "--debug", "--quiet"])
            .args(settings)
            .arg("--root")
            .arg(&directory)
            // What they have in common is built once.
            .arg("--target-dir")
            .arg(tools.join("build"))
            .env_remove("CARGO_TARGET_DIR"))?;
        Ok(program)
    }
}
