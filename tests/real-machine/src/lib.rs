//! Real Linux machines behind the simulated cloud.
//!
//! [`Laboratory`] is a [`Hypervisor`](cloudstack_simulator::Hypervisor) for the simulator: each machine that the cloud
//! deploys is a guest with systemd, sshd, cloud-init and Docker of its own, started from one [`Image`]. Networks have a
//! virtual router with DHCP and the metadata server of CloudStack; public addresses are loopback addresses of this machine
//! from which connections go into the guests. `docs/real-machine.md` says what is real about it and what is not.
//!
//! # How nothing is left behind
//!
//! ```text
//! the test ── pipe ── keeper ── unshare ── laboratory (process 1)
//!                                            ├─ router (dnsmasq) of each network
//!                                            └─ unshare ── guest (process 1: systemd)
//! ```
//!
//! The laboratory is process 1 of a process namespace, and all that runs is in it. When the test ends, however it does, the
//! pipe closes, the laboratory ends, and the kernel kills the rest. Mounts are in mount namespaces that end with their
//! processes, disks of guests on a tmpfs in one of them, network namespaces have no names. What has to be removed are the
//! control groups: the keeper outlives the laboratory to do that, and the next keeper removes what one left that was killed
//! itself.
//!
//! # Modules
//!
//! `image` builds the template, `probe` looks whether guests can run here, `laboratory` is what tests hold; `keeper` and
//! `supervisor` are the processes of it, which the program `real-machine` runs; `guest`, `router`, `metadata` and `forward` are
//! parts of the latter, and `cgroups` is about control groups.

mod cgroups;
mod error;
mod forward;
mod guest;
mod image;
pub mod keeper;
mod laboratory;
mod metadata;
mod probe;
mod protocol;
mod router;
pub mod supervisor;

pub use error::Error;
pub use image::Image;
pub use laboratory::Laboratory;
pub use probe::check;

use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What runs the guests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// Namespaces: the guest's kernel is this machine's.
    #[default]
    Namespaces,
    /// QEMU without hardware support: the guest has a kernel of its own, and is slow.
    Qemu,
}

impl Kind {
    /// The kind that the variable `REAL_MACHINE` asks for: `qemu`, or else namespaces.
    pub fn asked_for() -> Self {
        match std::env::var("REAL_MACHINE") {
            Ok(kind) if kind.eq_ignore_ascii_case("qemu") => Self::Qemu,
            _ => Self::Namespaces,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Namespaces => "namespaces",
            Self::Qemu => "qemu",
        }
    }
}

/// The guarded data hold together after every statement, so a panic elsewhere is no reason to stop.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits until a condition holds; tells whether it does.
pub(crate) fn wait_until(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + limit;
    while !condition() {
        if Instant::now() >= end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    true
}

/// Runs a command to its end and tells the output, or in one line why it failed.
pub(crate) fn run(command: &mut Command) -> Result<String, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("cannot run {program}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(failure(&program, &output))
}

/// Why a command failed: the last line that it wrote, or how it ended.
fn failure(program: &str, output: &Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    match errors.lines().map(str::trim).rfind(|line| !line.is_empty()) {
        Some(line) => format!("{program}: {line}"),
        None => format!("{program} ended with {}", output.status),
    }
}
