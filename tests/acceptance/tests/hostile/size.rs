//! Attacks on room: what is more than the host wants to hold, and what a removal has left when all is used up.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use btcloud_host::machine::Flag;
use btcloud_host::sandbox::Limits;

use crate::attack::{Attack, Operation, is_undone, milliseconds, text};
use crate::server;
use crate::server::Server;

/// What is more than the host wants to hold.
pub(crate) fn size() -> Vec<Attack> {
    const HANDS: &str = "it hands more than 8388608 bytes to the host at once";
    let small = |limits: &mut Limits| limits.memory = 64 << 20;
    let mut attacks = vec![
        Attack::mode("allocate")
            .limited(small)
            .fails("it wants more than 67108864 bytes of memory"),
        Attack::mode("recurse").fails("the driver crashed"),
        Attack::mode("")
            .limited(|limits| limits.instances = 1)
            .fails("it has more than 1 instances"),
        Attack::mode("")
            .limited(|limits| limits.component_size = 1_000)
            .fails("its file is larger than 1000 bytes"),
        Attack::mode("")
            .limited(|limits| limits.memory = 65_536)
            .fails("65536 bytes of memory"),
        Attack::mode("")
            .limited(|limits| limits.table_elements = 1)
            .fails("tables of more than 1 elements"),
    ];
    let huge = [
        "huge log",
        "huge progress",
        "huge save",
        "huge error",
        "huge hint",
        "huge endpoint",
        "huge path",
        "huge value",
        "huge name",
        "huge json",
        "huge form",
        "huge credentials",
        "crowd of parameters",
    ];
    for mode in huge {
        attacks.push(Attack::mode(mode).fails(HANDS));
    }
    for mode in ["status crowd", "status huge"] {
        attacks.push(Attack::mode(mode).on(Operation::Status).fails(HANDS));
    }
    for attack in [
        Attack::mark("describe huge"),
        Attack::mark("describe crowd"),
        Attack::mark("listable huge"),
        Attack::mark("listable crowd"),
        Attack::account("crowd", Operation::Candidates),
        Attack::account("huge", Operation::Candidates),
        Attack::account("crowd", Operation::Limits),
        Attack::account("huge", Operation::Limits),
        Attack::survey("crowd"),
        Attack::survey("huge"),
    ] {
        attacks.push(attack.fails(HANDS));
    }
    let server = Server::start(server::answering(""));
    let requests = server.requests();
    for mode in ["large request", "many parameters"] {
        let requests = Arc::clone(&requests);
        attacks.push(
            Attack::mode(mode)
                .with("endpoint", text(&server.url))
                .fails("larger than 65536 bytes")
                .and(move |_| server::are(&requests, 0)),
        );
    }
    attacks.extend([
        Attack::mode("large save").fails("save more than 262144 bytes"),
        Attack::mode("deep save").fails("not a JSON object"),
        Attack::mode("long error").fails("xxx"),
        Attack::mark("describe long").fails("too long"),
        Attack::mark("describe many").fails("more than 200 options"),
        Attack::mark("listable many").fails("it lists hostile-text or texts twice"),
        Attack::account("many", Operation::Candidates).fails("more than 20000 names"),
        Attack::account("long", Operation::Candidates),
        Attack::account("many", Operation::Limits).fails("more than 100 limits"),
        Attack::survey("many").fails("it found more than 10000 machines"),
        Attack::survey("parts").fails("of too many parts"),
        Attack::survey("large").fails("for which it remembers what is invalid"),
        Attack::mode("lines").and(|outcome| match outcome.lines.as_slice() {
            [.., last] if last.contains("more than 1000 lines") => Ok(()),
            lines => Err(format!("{} lines", lines.len())),
        }),
        Attack::mode("long line").and(|outcome| match outcome.lines.as_slice() {
            [line] if line.len() < 4_100 => Ok(()),
            lines => Err(format!("{} lines", lines.len())),
        }),
        Attack::mode("loop save")
            .limited(|limits| limits.saves = 20)
            .fails("20 saves, then: the driver saved its state more than 20 times"),
        Attack::mode("stderr"),
        Attack::mode("stdout"),
    ]);
    let big = Server::start(|_, stream| {
        let head = b"HTTP/1.1 200 OK\r\ncontent-length: 9000000\r\n\r\n";
        let mut is_open = stream.write_all(head).is_ok();
        while is_open {
            is_open = stream.write_all(&[b'x'; 65_536]).is_ok();
        }
    });
    attacks.push(
        Attack::request(
            &big.url,
            &["query=command=listZones", "cloudstack=hostile-key"],
        )
        .fails("larger than 8388608 bytes"),
    );
    let flood = Server::start(server::answering("{}"));
    let requests = flood.requests();
    attacks.push(
        Attack::mode("requests")
            .with("endpoint", text(&flood.url))
            .with("request", Flag::TextList(granted()))
            .limited(|limits| limits.requests = 50)
            .fails("50 answers, then: the driver made more than 50 requests")
            .and(move |_| server::are(&requests, 50)),
    );
    attacks
}

fn granted() -> Vec<String> {
    ["query=command=listZones", "cloudstack=hostile-key"]
        .map(str::to_owned)
        .into()
}

/// What a removal has left when the creation has used up everything.
pub(crate) fn starvation() -> Vec<Attack> {
    let server = Server::start(server::answering("{}"));
    vec![
        Attack::mode("greedy")
            .on(Operation::Create)
            .with("endpoint", text(&server.url))
            .with("request", Flag::TextList(granted()))
            .limited(|limits| {
                limits.requests = 20;
                limits.log_lines = 20;
                limits.saves = 5;
                limits.computation = milliseconds(500);
            })
            .fails("it computed for more than 0.5 seconds")
            .and(is_undone),
        Attack::mode("naps")
            .on(Operation::Create)
            .in_virtual_time()
            .limited(|limits| limits.wall = Duration::from_secs(1))
            .fails("the operation took more than 1 seconds")
            .and(is_undone),
    ]
}
