//! Drivers that attack the host. Each attack tries one thing; it has to fail with the right error, within its time, to leak
//! nothing, and to leave a host that goes on.

mod attack;
mod by_hand;
mod core_module;
mod deceit;
mod network;
mod server;
mod size;
mod time;

use std::fs;

use acceptance::parallel::{case, play_all, tell};
use attack::honest_operation;

#[test]
fn every_attack_fails_as_it_should() {
    honest_operation().unwrap();
    let mut attacks = Vec::new();
    let groups = [
        time::time,
        size::size,
        size::starvation,
        deceit::deceit,
        network::network,
        network::echoes,
        by_hand::by_hand,
    ];
    for group in groups {
        attacks.extend(group());
    }
    let open = open_files();
    let failures = play_all(attacks.iter(), |attack| {
        case(&attack.name, || attack.play())
    });
    tell(&format!(
        "hostile drivers: {} attacks, {} failed as they should",
        attacks.len(),
        attacks.len() - failures.len()
    ));
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
    assert!(open_files() <= open + 20, "files are left open");
    let peak = acceptance::peak_memory(std::process::id()).unwrap_or_default();
    assert!(peak < 1 << 30, "the host used {peak} bytes of memory");
}

/// The files that this process has open.
fn open_files() -> usize {
    fs::read_dir("/dev/fd").map_or(0, Iterator::count)
}
