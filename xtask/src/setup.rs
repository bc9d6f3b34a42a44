//! What has to be there before anything can be built.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Result, cargo, is_installed, output, remap, root, run, target_dir};

/// The target of driver components.
const TARGET: &str = "wasm32-wasip2";

/// The flavours of the driver.
const FLAVOURS: [&str; 2] = ["btcloud", "cloudstack"];

/// Sees to it that the driver component can be built, or builds it in another way and tells the host's build of it.
pub(crate) fn prepare() -> Result<()> {
    if std::env::var_os("BTCLOUD_DRIVER_COMPONENT").is_some() || has_target() {
        return Ok(());
    }
    eprintln!("Adding the target {TARGET} to the project's toolchain");
    let added = run(Command::new("rustup")
        .args(["target", "add", TARGET])
        .current_dir(root()));
    let Err(reason) = added else { return Ok(()) };
    // Packages are installed on a build server, but on nobody's computer unasked.
    let is_allowed = ["CI", "BTCLOUD_DEBIAN_COMPONENT"]
        .iter()
        .any(|variable| std::env::var_os(variable).is_some());
    if !is_allowed {
        return Err(format!(
            "{reason}\nThe driver component needs the target {TARGET}. Where rustup cannot add it, \
             BTCLOUD_DEBIAN_COMPONENT=1 has it built with Debian's packages rustc-web, rust-web-src and wasi-libc, which \
             are installed for that."
        ));
    }
    eprintln!("{reason}\nBuilding the component with Debian's packages instead");
    let component = build_with_debian()
        .map(|directory| directory.join(built_name(FLAVOURS[0])))
        .map_err(|e| format!("{e}\nThe driver component needs the target {TARGET}; add it with `rustup target add {TARGET}`."))?;
    // SAFETY: no other thread is there yet.
    #[expect(unsafe_code, reason = "the commands that follow inherit it")]
    unsafe {
        std::env::set_var("BTCLOUD_DRIVER_COMPONENT", component);
    }
    Ok(())
}

/// Builds the driver component and the programs of the workspace.
pub(crate) fn build() -> Result<()> {
    prepare()?;
    run(cargo().args(["build", "--workspace"]))
}

/// Builds the driver's components for users, into `target/components`, and tells where each is.
pub(crate) fn components() -> Result<Vec<PathBuf>> {
    let built = match has_target() {
        true => {
            run(&mut component_build())?;
            target_dir().join(TARGET).join("component")
        }
        false => build_with_debian()?,
    };
    let directory = target_dir().join("components");
    fs::create_dir_all(&directory).map_err(|e| format!("{}: {e}", directory.display()))?;
    let mut components = Vec::new();
    for flavour in FLAVOURS {
        let component = directory.join(flavour).with_extension("wasm");
        fs::copy(built.join(built_name(flavour)), &component)
            .map_err(|e| format!("{}: {e}", component.display()))?;
        println!("{}", component.display());
        components.push(component);
    }
    Ok(components)
}

/// What a flavour's component is called where it is built.
fn built_name(flavour: &str) -> String {
    format!("{flavour}_driver.wasm")
}

/// The build of the components.
fn component_build() -> Command {
    let mut build = cargo();
    build.args([
        "build",
        "--lib",
        "--target",
        TARGET,
        "--profile",
        "component",
    ]);
    for flavour in FLAVOURS {
        build.arg("--package").arg(format!("{flavour}-driver"));
    }
    build.env("CARGO_ENCODED_RUSTFLAGS", remap::flags(&root()));
    build
}

/// Whether the project's toolchain has the target's standard library.
fn has_target() -> bool {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let mut command = Command::new(rustc);
    command
        .args(["--print", "target-libdir", "--target", TARGET])
        .current_dir(root());
    output(&mut command).is_ok_and(|directory| Path::new(directory.trim()).is_dir())
}

/// Builds the components with the compiler and the library source of Debian's packages, for machines whose rustup
/// cannot fetch the target. Tells the directory in which they are.
fn build_with_debian() -> Result<PathBuf> {
    const PACKAGES: [&str; 3] = ["rustc-web", "rust-web-src", "wasi-libc"];
    if !is_installed("apt-get") {
        return Err("There are no Debian packages on this system.".to_owned());
    }
    run(Command::new("apt-get")
        .args(["install", "--yes", "--no-install-recommends"])
        .args(PACKAGES))?;
    let files = output(Command::new("dpkg").args(["--listfiles"]).args(PACKAGES))?;
    let file = |name: &str| {
        let found = files
            .lines()
            .map(Path::new)
            .find(|path| path.ends_with(name));
        found.ok_or(format!("Debian's packages have no {name}."))
    };
    let (rustc, libc) = (file("bin/rustc")?, file("wasm32-wasi/libc.a")?);
    // The linker of components and the one that it calls come with the project's toolchain.
    let sysroot = output(
        Command::new("rustc")
            .args(["--print", "sysroot"])
            .current_dir(root()),
    )?;
    let version = output(Command::new("rustc").arg("-vV").current_dir(root()))?;
    let host = version
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .unwrap_or_default();
    let tools = Path::new(sysroot.trim())
        .join("lib/rustlib")
        .join(host)
        .join("bin");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(
        [tools.clone(), tools.join("gcc-ld")]
            .into_iter()
            .chain(std::env::split_paths(&path)),
    )
    .map_err(|e| e.to_string())?;

    let target_dir = target_dir().join("debian-component");
    let libc_dir = libc.parent().unwrap_or(libc);
    let mut build = component_build();
    build
        .args(["-Zbuild-std=std,panic_abort", "--target-dir"])
        .arg(&target_dir)
        .env("PATH", path)
        .env("RUSTC", rustc)
        .env("RUSTC_BOOTSTRAP", "1")
        .env(
            "CARGO_ENCODED_RUSTFLAGS",
            format!(
                "{}\u{1f}-Lnative={}",
                remap::flags(&root()),
                libc_dir.display()
            ),
        );
    run(&mut build)?;
    Ok(target_dir.join(TARGET).join("component"))
}
