//! `cargo xtask fuzz`: fuzzing of what peers, clouds and stores send.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use crate::{Result, output, root, run, target_dir, tools};

/// A program in `fuzz/fuzz_targets`.
struct Target {
    name: &'static str,
    /// The most bytes of an input.
    longest: u32,
    /// Further inputs that are there already.
    seeds: Option<&'static str>,
}

const TARGETS: [Target; 5] = [
    Target {
        name: "gob_decode",
        longest: 4_096,
        seeds: Some("netrpc/tests/vectors"),
    },
    Target {
        name: "rpc_server",
        longest: 4_096,
        seeds: Some("netrpc/tests/vectors"),
    },
    Target {
        name: "config_json",
        longest: 8_192,
        seeds: Some("tests/machines"),
    },
    Target {
        name: "http_response",
        longest: 8_192,
        seeds: None,
    },
    Target {
        name: "cloudstack_answer",
        longest: 32_768,
        seeds: None,
    },
];

/// The crates, besides the targets, whose ways through the code guide the fuzzing. The host brings the sandbox's engine with
/// it, which is not fuzzed: with it there would be ten times as many ways to look at after each input, and instrumenting it
/// is half of what a build takes.
const GUIDING: [&str; 11] = [
    "btcloud_driver",
    "btcloud_host",
    "http",
    "httparse",
    "netrpc",
    "properties",
    "serde_json",
    "serde_json_borrow",
    "ureq",
    "ureq_proto",
    "url",
];

/// Set where cargo calls this program in the place of the compiler.
const IS_COMPILER: &str = "XTASK_FUZZ_COMPILER";

/// How long each runs if that is not said, in seconds.
const SECONDS: u32 = 60;

/// Runs each target, or the one that is named, for that many seconds. What is found stays in `target/fuzz-corpus`, and what
/// fails in `fuzz/artifacts`; `fuzz/corpus` and the captured exchanges are only read.
pub(crate) fn run_all(seconds: Option<&str>, name: Option<&str>) -> Result<()> {
    let seconds = match seconds {
        None => SECONDS,
        Some(text) => text
            .parse()
            .map_err(|_| format!("{text} is no number of seconds"))?,
    };
    let targets = TARGETS.iter();
    let is_wanted = |target: &&Target| name.is_none_or(|name| name == target.name);
    if !targets.clone().any(|target| is_wanted(&target)) {
        return Err(format!("there is no target {}", name.unwrap_or_default()));
    }
    let program = provide_cargo_fuzz()?;
    for target in targets.filter(is_wanted) {
        let Target { name, longest, .. } = target;
        let found = target_dir().join("fuzz-corpus").join(name);
        std::fs::create_dir_all(&found).map_err(|e| format!("{}: {e}", found.display()))?;
        let mut fuzz = Command::new(&program);
        // Without a sanitizer, which the project's toolchain would not have: there is no unsafe code to watch.
        let own = std::env::current_exe().map_err(|e| e.to_string())?;
        fuzz.current_dir(root())
            .env("RUSTC_WRAPPER", own)
            .env(IS_COMPILER, "1")
            .args(["fuzz", "run", "--sanitizer", "none", "--target-dir"])
            .arg(target_dir().join("fuzz"))
            .arg(name)
            .arg(&found)
            .arg(root().join("fuzz/corpus").join(name))
            .args(target.seeds.map(|seeds| root().join(seeds)))
            .arg("--")
            .arg(format!("-max_total_time={seconds}"))
            .arg(format!("-max_len={longest}"))
            .args(["-timeout=60", "-rss_limit_mb=2048"])
            .args(["-verbosity=0", "-print_final_stats=1"]);
        println!("Fuzzing {name} for {seconds} s");
        run(&mut fuzz)?;
    }
    Ok(())
}

/// Whether cargo has called this program in the place of the compiler.
pub(crate) fn is_compiler() -> bool {
    std::env::var_os(IS_COMPILER).is_some()
}

/// Compiles as cargo says, with instrumentation only where it guides.
pub(crate) fn compile() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let Some(compiler) = arguments.next() else {
        return ExitCode::FAILURE;
    };
    let mut arguments: Vec<OsString> = arguments.collect();
    let named = arguments.iter().position(|a| a == "--crate-name");
    let name = named.and_then(|place| arguments.get(place + 1)?.to_str());
    let is_target = |name: &str| TARGETS.iter().any(|target| target.name == name);
    if name.is_some_and(|name| !GUIDING.contains(&name) && !is_target(name)) {
        arguments.retain(|argument| {
            let argument = argument.to_string_lossy();
            !argument.contains("sancov") && !argument.contains("sanitizer-coverage")
        });
    }
    match Command::new(compiler).args(arguments).status() {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

/// cargo-fuzz: the one that is installed, or else one in the directory of what is built.
fn provide_cargo_fuzz() -> Result<PathBuf> {
    let installed = PathBuf::from("cargo-fuzz");
    match output(Command::new(&installed).args(["fuzz", "--version"])) {
        Ok(_) => Ok(installed),
        Err(_) => tools::FUZZ.provide(),
    }
}
