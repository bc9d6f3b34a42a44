//! `cargo xtask fuzz`: fuzzing of what peers send.

use std::path::PathBuf;
use std::process::Command;

use crate::{Result, cargo, output, root, run, target_dir};

/// The programs in `fuzz/fuzz_targets`.
const TARGETS: [&str; 2] = ["gob_decode", "rpc_server"];

/// How long each runs if that is not said, in seconds.
const SECONDS: u32 = 60;

/// Runs each target for that many seconds. What is found stays in `target/fuzz-corpus`, and what fails in `fuzz/artifacts`;
/// `fuzz/corpus` and the captured exchanges are only read.
pub(crate) fn run_all(seconds: Option<&str>) -> Result<()> {
    let seconds = match seconds {
        None => SECONDS,
        Some(text) => text
            .parse()
            .map_err(|_| format!("{text} is no number of seconds"))?,
    };
    let program = provide_cargo_fuzz()?;
    for target in TARGETS {
        let found = target_dir().join("fuzz-corpus").join(target);
        std::fs::create_dir_all(&found).map_err(|e| format!("{}: {e}", found.display()))?;
        let mut fuzz = Command::new(&program);
        // Without a sanitizer, which the project's toolchain would not have: there is no unsafe code to watch.
        fuzz.current_dir(root())
            .args(["fuzz", "run", "--sanitizer", "none", "--target-dir"])
            .arg(target_dir().join("fuzz"))
            .arg(target)
            .arg(&found)
            .arg(root().join("fuzz/corpus").join(target))
            .arg(root().join("netrpc/tests/vectors"))
            .arg("--")
            .arg(format!("-max_total_time={seconds}"))
            .args(["-max_len=4096", "-timeout=10", "-rss_limit_mb=1024"])
            .args(["-verbosity=0", "-print_final_stats=1"]);
        println!("Fuzzing {target} for {seconds} s");
        run(&mut fuzz)?;
    }
    Ok(())
}

/// cargo-fuzz: the one that is installed, or else one in the directory of what is built.
fn provide_cargo_fuzz() -> Result<PathBuf> {
    let is_there =
        |program: &PathBuf| output(Command::new(program).args(["fuzz", "--version"])).is_ok();
    let tools = target_dir().join("tools");
    let own = tools.join("bin").join("cargo-fuzz");
    let candidates = [PathBuf::from("cargo-fuzz"), own.clone()];
    if let Some(program) = candidates.into_iter().find(is_there) {
        return Ok(program);
    }
    println!("Installing cargo-fuzz into {}", tools.display());
    run(cargo()
        .args(["install", "cargo-fuzz", "--locked", "--root"])
        .arg(&tools))?;
    Ok(own)
}
