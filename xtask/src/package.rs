//! `cargo xtask package`: the Debian package, and what is released beside it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Result, cargo, is_installed, output, root, run, setup, target_dir, tools};

/// The programs that are packaged.
const PROGRAMS: [&str; 2] = ["btcloud-host", "docker-machine-driver-btcloud"];

/// The crates that are built into them: the host, and the driver, which is built apart.
const CRATES: [(&str, &str); 2] = [("host", "btcloud-host"), ("driver-wasm", "btcloud-driver")];

/// The shells for which the package has completions.
const SHELLS: [&str; 3] = ["bash", "fish", "zsh"];

/// Where users read which C library the programs need at least, after this text.
const GLIBC_TOLD: (&str, &str) = ("docs/packages.md", "glibc ");

/// Where the package says it.
const GLIBC_REQUIRED: (&str, &str) = ("host/Cargo.toml", "libc6 (>= ");

/// How the programs are built.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    /// For users.
    Release,
    /// As the tests have built them, for a package that is tried out.
    Dev,
}

impl Profile {
    fn name(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Dev => "dev",
        }
    }

    /// Where cargo puts the programs.
    fn directory(self) -> PathBuf {
        target_dir().join(match self {
            Self::Release => "release",
            Self::Dev => "debug",
        })
    }
}

/// Builds a package for users, and prints the digests of all that is released.
pub(crate) fn release() -> Result<()> {
    let package = build(Profile::Release)?;
    let components = setup::components()?;
    let mut released = vec![package];
    released.extend(components);
    released.extend(component_lists(Profile::Release));
    println!();
    run(Command::new("sha256sum").args(released))
}

/// Builds the package, and tells where it is.
pub(crate) fn build(profile: Profile) -> Result<PathBuf> {
    if !is_installed("dpkg") {
        return Err("there is no dpkg on this system, which packages are made with".to_owned());
    }
    match profile {
        Profile::Release => {
            setup::prepare()?;
            run(cargo().args(["build", "--release", "--bins", "--package=btcloud-host"]))?;
        }
        Profile::Dev => setup::build()?,
    }
    check_glibc(profile)?;
    let directory = profile.directory().join("package");
    if directory.exists() {
        fs::remove_dir_all(&directory).map_err(|e| format!("{}: {e}", directory.display()))?;
    }
    generate(&profile.directory(), &directory)?;
    write(&directory.join("third-party-notices.txt"), &notices()?)?;
    for ((crate_directory, _), list) in CRATES.iter().zip(component_lists(profile)) {
        write(&list, &component_list(crate_directory)?)?;
    }
    // The asset's name in host/Cargo.toml stands for the directory of the profile.
    let package = output(
        Command::new(tools::DEB.provide()?)
            .current_dir(root())
            .args(["--manifest-path", "host/Cargo.toml", "--no-build"])
            .args(["--profile", profile.name()])
            // What nobody downloads need not be small.
            .args((profile == Profile::Dev).then_some("--fast"))
            .arg("--output")
            .arg(&directory),
    )?;
    let package = PathBuf::from(package.trim());
    println!("{}", package.display());
    Ok(package)
}

/// Where the lists of what is built in are.
fn component_lists(profile: Profile) -> impl Iterator<Item = PathBuf> {
    let directory = profile.directory().join("package");
    CRATES
        .iter()
        .map(move |(_, name)| directory.join(format!("{name}.cdx.json")))
}

/// Has the program write its manual pages and completions.
fn generate(programs: &Path, directory: &Path) -> Result<()> {
    let program = programs.join(PROGRAMS[0]);
    let host = || {
        let mut host = Command::new(&program);
        // What the user of this machine has set is no part of a package.
        host.env_clear();
        host
    };
    output(
        host()
            .args(["man", "--directory"])
            .arg(directory.join("man")),
    )?;
    // Without the time, so that the same pages give the same files.
    output(
        Command::new("gzip")
            .args(["-9", "--no-name", "--recursive"])
            .arg(directory.join("man")),
    )?;
    for shell in SHELLS {
        let script = output(host().args(["completions", shell]))?;
        write(&directory.join("completions").join(shell), &script)?;
    }
    Ok(())
}

/// The notices of all that is built in. Looking for them takes half a minute, so they are kept until what decides them changes.
fn notices() -> Result<String> {
    const DECIDING: [&str; 3] = [
        "Cargo.lock",
        "packaging/about.toml",
        "packaging/notices.hbs",
    ];
    let kept = target_dir().join("tools").join("third-party-notices.txt");
    let changed = |path: &Path| path.metadata().and_then(|data| data.modified()).ok();
    let newest = DECIDING
        .iter()
        .filter_map(|file| changed(&root().join(file)))
        .max();
    if changed(&kept) > newest {
        return fs::read_to_string(&kept).map_err(|e| format!("{}: {e}", kept.display()));
    }
    println!("Collecting the notices of what is built in");
    // Those of other systems are looked at too before they are left out.
    run(cargo().args(["fetch", "--locked", "--quiet"]))?;
    let program = tools::ABOUT.provide()?;
    let mut all = "What is built into btcloud-host and docker-machine-driver-btcloud, and into the driver component in them.\n"
        .to_owned();
    for (directory, name) in CRATES {
        let notices = output(
            Command::new(&program)
                .current_dir(root())
                .args(["about", "generate", "--frozen", "--fail"])
                .arg("--manifest-path")
                .arg(root().join(directory).join("Cargo.toml"))
                .args(["--config", "packaging/about.toml"])
                .arg("packaging/notices.hbs"),
        )?;
        all.push_str(&format!("\n\n{name}\n\n{notices}"));
    }
    write(&kept, &all)?;
    Ok(all)
}

/// The inventory of a crate and all that is built into it, in CycloneDX. The tool writes one beside the manifest of each member
/// of the workspace.
fn component_list(directory: &str) -> Result<String> {
    const NAME: &str = "inventory-of-a-package";
    let time = output(
        Command::new("git")
            .args(["log", "-1", "--format=%ct"])
            .current_dir(root()),
    );
    let mut tool = Command::new(tools::CYCLONEDX.provide()?);
    tool.current_dir(root())
        .args([
            "cyclonedx",
            "--quiet",
            "--format",
            "json",
            "--spec-version",
            "1.5",
        ])
        .args(["--all", "--no-build-deps", "--override-filename", NAME])
        .arg("--manifest-path")
        .arg(root().join(directory).join("Cargo.toml"));
    // The same sources give the same file.
    if let Ok(time) = time {
        tool.env("SOURCE_DATE_EPOCH", time.trim());
    }
    let made = output(&mut tool);
    let file = format!("{NAME}.json");
    let text = fs::read_to_string(root().join(directory).join(&file));
    remove_all(&root(), &file)?;
    made?;
    let text = text.map_err(|e| format!("{directory}/{file}: {e}"))?;
    Ok(text.replace(&format!("{}/", root().display()), "/"))
}

/// Removes the files of a name from the workspace.
fn remove_all(directory: &Path, name: &str) -> Result<()> {
    let told = |e| format!("{}: {e}", directory.display());
    for entry in fs::read_dir(directory).map_err(told)?.flatten() {
        let path = entry.path();
        let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_directory && path != target_dir() && !path.ends_with(".git") {
            remove_all(&path, name)?;
        } else if entry.file_name() == name {
            fs::remove_file(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        }
    }
    Ok(())
}

/// Compares the C library that the programs need with what the documentation and the package tell.
fn check_glibc(profile: Profile) -> Result<()> {
    let mut needed = (0, 0);
    for program in PROGRAMS {
        let path = profile.directory().join(program);
        let versions = output(Command::new("readelf").arg("--version-info").arg(path))?;
        let names = versions.split("GLIBC_").skip(1).filter_map(version);
        needed = names.fold(needed, std::cmp::max);
    }
    if needed == (0, 0) {
        return Err("readelf tells no version of the C library that the programs need".to_owned());
    }
    for (file, before) in [GLIBC_TOLD, GLIBC_REQUIRED] {
        let text = fs::read_to_string(root().join(file)).map_err(|e| format!("{file}: {e}"))?;
        let told = text.split_once(before).and_then(|(_, rest)| version(rest));
        if told != Some(needed) {
            let (major, minor) = needed;
            return Err(format!(
                "the programs need glibc {major}.{minor}, and {file} tells another version after \"{before}\""
            ));
        }
    }
    println!("The programs need glibc {}.{}", needed.0, needed.1);
    Ok(())
}

/// The version with which a text begins.
fn version(text: &str) -> Option<(u32, u32)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.');
    let mut parts = text.get(..end.unwrap_or(text.len()))?.split('.');
    let mut next = || parts.next()?.parse().ok();
    Some((next()?, next()?))
}

fn write(path: &Path, text: &str) -> Result<()> {
    let told = |e| format!("{}: {e}", path.display());
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).map_err(told)?;
    }
    fs::write(path, text).map_err(told)
}
