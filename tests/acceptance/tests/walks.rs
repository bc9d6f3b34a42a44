//! Random walks: operations on several machines in any order, through both doors, with troubles now and then. A walk that fails prints its
//! seed; `WALK_SEED` plays that one again, and `WALK_STEPS` says how many steps there are in all.

use std::time::Duration;

use acceptance::parallel::{case, play_all, tell};
use acceptance::virtual_lab::VirtualLab;
use btcloud_host::machine::Error;
use btcloud_host::sandbox::Change;
use cloudstack_simulator::{Behaviour, Fault, Inventory, Simulator, is_asynchronous};
use fastrand::Rng;

const NAMES: [&str; 4] = ["m1", "m2", "m3", "m4"];

/// The steps of a walk.
const LENGTH: u64 = 50;

/// The steps in all, unless `WALK_STEPS` says otherwise.
const STEPS: u64 = 10_000;

/// What troubles meet.
const COMMANDS: [&str; 16] = [
    "listVirtualMachines",
    "registerSSHKeyPair",
    "deleteSSHKeyPair",
    "deployVirtualMachine",
    "startVirtualMachine",
    "stopVirtualMachine",
    "rebootVirtualMachine",
    "destroyVirtualMachine",
    "queryAsyncJobResult",
    "createPortForwardingRule",
    "deletePortForwardingRule",
    "listPortForwardingRules",
    "disassociateIpAddress",
    "createSecurityGroup",
    "deleteSecurityGroup",
    "createTags",
];

/// Where machines are made.
const PLACES: [&[(&str, &str)]; 4] = [
    &[("zone", "uk-london-1")],
    &[("zone", "uk-basic-1")],
    &[("zone", "uk-london-1"), ("network", "shared-lan")],
    &[("zone", "uk-london-1"), ("address", "static-nat")],
];

fn lab() -> VirtualLab {
    let mut behaviour = Behaviour::default();
    behaviour.job_time = Duration::from_millis(300);
    behaviour.allow_user_expunge = true;
    VirtualLab::of(Simulator::builder().behaviour(behaviour))
}

/// A trouble that a call of that command can meet.
fn trouble(rng: &mut Rng, command: &str) -> Fault {
    let respond = |status, text: &str| Fault::Respond {
        status,
        content_type: "application/json; charset=UTF-8".to_owned(),
        body: format!(
            "{{\"errorresponse\":{{\"uuidList\":[],\"errorcode\":{status},\"errortext\":\"{text}\"}}}}"
        ),
    };
    let kinds = if is_asynchronous(command) { 8 } else { 7 };
    match rng.u8(..kinds) {
        0 => Fault::CloseBeforeAnswer,
        1 => Fault::LoseAnswer,
        2 => Fault::TruncateBody(rng.usize(..60)),
        3 => Fault::html(502, "Bad Gateway"),
        4 => respond(530, "Internal error"),
        5 => respond(429, "please retry after 200 ms."),
        6 => respond(401, "unable to verify user credentials"),
        _ => Fault::JobFails {
            code: 530,
            text: "It broke".to_owned(),
        },
    }
}

/// What holds after each step.
fn check(lab: &VirtualLab, inventory: &Inventory) -> Result<(), String> {
    for name in NAMES {
        let mut machines = inventory.machines.iter().filter(|m| m.name == name);
        let count = machines.clone().count();
        if count > 1 {
            return Err(format!("{name} is there {count} times:\n{inventory}"));
        }
        if machines.next().is_some() && !lab.has_stored(name) {
            return Err(format!("{name} belongs to no stored machine:\n{inventory}"));
        }
        let prefix = format!("{name}-");
        let has_key = inventory
            .key_pairs
            .iter()
            .any(|key| key.starts_with(&prefix));
        if has_key && !lab.has_stored(name) {
            return Err(format!("{name} has left its key pair:\n{inventory}"));
        }
    }
    Ok(())
}

fn state(inventory: &Inventory, name: &str) -> Option<String> {
    let machine = inventory.machines.iter().find(|m| m.name == name)?;
    Some(machine.state.clone())
}

fn walk(seed: u64) -> Result<(), String> {
    let mut rng = Rng::with_seed(seed);
    let lab = lab();
    let empty = lab.cloud.inventory();
    for step in 0..LENGTH {
        let name = NAMES[rng.usize(..NAMES.len())];
        if rng.u8(..3) == 0 {
            let command = COMMANDS[rng.usize(..COMMANDS.len())];
            let (skip, times) = (rng.u32(..3), 1 + rng.u32(..3));
            lab.cloud
                .fault_after(command, skip, times, trouble(&mut rng, command));
        }
        let operation = match (lab.has_stored(name), rng.u8(..8)) {
            (false, _) => None,
            (true, 0 | 1) => Some(Change::Start),
            (true, 2) => Some(Change::Stop),
            (true, 3) => Some(Change::Kill),
            (true, 4) => Some(Change::Restart),
            (true, _) => Some(Change::Remove),
        };
        let by_plugin = rng.bool();
        let place = PLACES[rng.usize(..PLACES.len())];
        let rest = [("template", "Debian 12"), ("service-offering", "Small")];
        let flags = lab.flags(&[place, rest.as_slice()].concat());
        let told = |error: Error| error.to_string();
        let outcome = match (operation, by_plugin) {
            (None, true) => lab.create_by_plugin(name, &flags),
            (None, false) => lab.create(name, &flags).map_err(told),
            (Some(change), true) => lab.change_by_plugin(name, change),
            (Some(change), false) => lab.change(name, change).map_err(told),
        };
        lab.cloud.clear_faults();
        let inventory = lab.cloud.inventory();
        let at =
            |reason: String| format!("step {step}, {operation:?} {name}: {outcome:?}\n{reason}");
        check(&lab, &inventory).map_err(at)?;
        let expected = match (&outcome, operation) {
            (Ok(()), None | Some(Change::Start | Change::Restart)) => Some("Running"),
            (Ok(()), Some(Change::Stop | Change::Kill)) => Some("Stopped"),
            (Ok(()), Some(Change::Remove)) => None,
            (Err(_), _) => continue,
        };
        if state(&inventory, name).as_deref() != expected {
            return Err(at(format!("not {expected:?}:\n{inventory}")));
        }
    }
    lab.clock.advance(Duration::from_secs(24 * 3_600));
    for name in NAMES {
        if lab.has_stored(name) {
            lab.change(name, Change::Remove)
                .map_err(|error| format!("{name} cannot be removed at the end: {error}"))?;
        }
    }
    match lab.cloud.inventory() {
        left if left == empty => Ok(()),
        left => Err(format!("at the end there is:\n{left}")),
    }
}

#[test]
fn whatever_is_done_in_whatever_order_all_of_it_can_be_removed() {
    let number = |name| std::env::var(name).ok().map(|text| text.parse().unwrap());
    if let Some(seed) = number("WALK_SEED") {
        walk(seed).unwrap();
        return;
    }
    let walks = number("WALK_STEPS").unwrap_or(STEPS).div_ceil(LENGTH);
    let failures = play_all(0..walks, |seed| {
        case(format!("WALK_SEED={seed}"), || walk(seed))
    });
    tell(&format!(
        "random walks: {walks} of {LENGTH} steps each, {} failed",
        failures.len()
    ));
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}
