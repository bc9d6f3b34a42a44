//! The driver's component is the same wherever it is built, so that whoever has the sources can tell what is in a release.

#[path = "../../../host/build/remap.rs"]
mod remap;

use std::fs;
use std::process::Command;

use acceptance::project_root;
use btcloud_host::builtin;
use btcloud_host::registry::digest;

#[test]
fn the_component_is_the_same_in_another_directory() {
    let root = project_root();
    let elsewhere = tempfile::tempdir().unwrap();
    let copy = elsewhere.path().join("a directory of another name");
    fs::create_dir(&copy).unwrap();
    // What makes up the workspace, but for what has been built in it.
    for part in fs::read_dir(&root).unwrap().flatten() {
        let name = part.file_name();
        let is_source = !["target", ".git", "fuzz", ".cargo"]
            .map(Into::into)
            .contains(&name);
        if is_source {
            let mut copying = Command::new("cp");
            copying.arg("-R").arg(part.path()).arg(&copy);
            assert!(copying.status().unwrap().success());
        }
    }
    let target = elsewhere.path().join("built");
    let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    build
        .args([
            "build",
            "--locked",
            "--quiet",
            "--lib",
            "--package=btcloud-driver",
        ])
        .args([
            "--target=wasm32-wasip2",
            "--profile=component",
            "--target-dir",
        ])
        .arg(&target)
        .env(
            "CARGO_ENCODED_RUSTFLAGS",
            remap::flags(&copy.canonicalize().unwrap()),
        )
        .env_remove("CARGO_TARGET_DIR")
        .env_remove("RUSTFLAGS")
        .current_dir(&copy);
    assert!(build.status().unwrap().success());
    let built = fs::read(target.join("wasm32-wasip2/component/btcloud_driver.wasm")).unwrap();
    assert_eq!(digest(&built), digest(builtin::COMPONENT));
    let path = copy.to_str().unwrap().as_bytes();
    assert!(!built.windows(path.len()).any(|part| part == path));
}
