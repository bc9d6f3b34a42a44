//! Attacks on time: loops, and waits that end only with the limit.

use std::io::Write as _;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use btcloud_host::capability::clock::{TimeSource as _, VirtualTimeSource};
use btcloud_host::machine::Change;
use btcloud_host::sandbox::Limits;

use crate::attack::{Attack, OPERATIONS, Operation, milliseconds};
use crate::server::Server;

/// Loops, and waits that end only with the limit.
pub(crate) fn time() -> Vec<Attack> {
    let short = |limits: &mut Limits| limits.computation = milliseconds(100);
    let brief = |limits: &mut Limits| limits.wall = milliseconds(150);
    const COMPUTED: &str = "it computed for more than 0.1 seconds";
    const TOOK: &str = "the operation took more than 0.15 seconds";
    let mut attacks = Vec::new();
    for operation in OPERATIONS {
        let mode = match operation {
            Operation::Change(Change::Remove) => "remove loop",
            _ => "loop",
        };
        attacks.push(
            Attack::mode(mode)
                .on(operation)
                .limited(short)
                .fails(COMPUTED),
        );
    }
    for attack in [
        Attack::mark("describe loop"),
        Attack::mark("listable loop"),
        Attack::survey("loop"),
        Attack::account("loop", Operation::Candidates),
        Attack::account("loop", Operation::Limits),
    ] {
        attacks.push(attack.limited(short).fails(COMPUTED));
    }
    attacks.push(
        Attack::account("sleep", Operation::Candidates)
            .limited(brief)
            .fails(TOOK),
    );
    // Time in the host's functions counts too.
    for mode in ["loop host", "loop log", "loop progress", "loop requests"] {
        attacks.push(Attack::mode(mode).limited(short).fails(COMPUTED));
    }
    let keys = Attack::mode("loop keys").on(Operation::Create);
    attacks.push(keys.limited(short).fails(COMPUTED));

    for mode in ["sleep", "naps", "wasi-sleep", "wasi-naps"] {
        attacks.push(Attack::mode(mode).limited(brief).fails(TOOK));
        let hour = Attack::mode(mode).limited(|limits| {
            // A step of virtual time costs real time.
            if mode.ends_with("naps") {
                limits.wall = Duration::from_secs(1);
            }
        });
        let after = Arc::new(VirtualTimeSource::default());
        let (time, wall) = (Arc::clone(&after), hour.limits.wall);
        let mut hour = hour
            .fails(&format!("took more than {} seconds", wall.as_secs()))
            .and(move |_| match after.now().checked_sub(wall) {
                Some(over) if over < Duration::from_secs(1) => Ok(()),
                _ => Err(format!("{:?} have passed", after.now())),
            });
        hour.name.push_str(" in virtual time");
        hour.time = time;
        attacks.push(hour);
    }
    for mark in ["describe sleep", "describe wasi-sleep"] {
        attacks.push(Attack::mark(mark).limited(brief).fails(TOOK));
    }
    // A user who asks to stop.
    let patient = |limits: &mut Limits| limits.grace = milliseconds(100);
    attacks.push(
        Attack::mode("wasi-sleep")
            .cancelled()
            .fails("the user asked to stop"),
    );
    for mode in ["naps", "loop"] {
        let attack = Attack::mode(mode).cancelled().limited(patient);
        attacks.push(attack.fails("0.1 seconds after it had been asked to stop"));
    }

    // Servers that never come to an end.
    let mute = Server::start(|_, _| thread::sleep(Duration::from_secs(2)));
    attacks.push(
        Attack::request(
            &mute.url,
            &["query=command=listZones", "cloudstack=hostile-key"],
        )
        .limited(brief)
        .fails(TOOK),
    );
    let dripping = Server::start(|_, stream| {
        let head = b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n";
        let mut is_open = stream.write_all(head).is_ok();
        while is_open {
            thread::sleep(milliseconds(20));
            is_open = stream.write_all(b"x").is_ok();
        }
    });
    attacks.push(
        Attack::request(
            &dripping.url,
            &["query=command=listZones", "cloudstack=hostile-key"],
        )
        .limited(brief)
        .fails(TOOK),
    );
    attacks
}
