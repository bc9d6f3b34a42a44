//! The fault matrix: each call of each operation meets each trouble, once and for good. Whatever happens, nothing is left
//! in the cloud that the user does not know of, and nothing is made twice.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use acceptance::parallel::{case, play_all, tell};
use acceptance::virtual_lab::VirtualLab;
use btcloud_host::machine::{Error, Flags};
use btcloud_host::sandbox::Change;
use cloudstack_simulator::{
    Builder, CloudConfig, Fault, Gate, Inventory, Simulator, is_asynchronous,
};
use serde_json::json;

/// How long the host waits for an answer that is late, in real time; and how late it is.
const PATIENCE: Duration = Duration::from_millis(250);
const LATENESS: Duration = Duration::from_millis(400);

/// What goes wrong with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    /// There is no connection: the call is certainly not carried out.
    Refused,
    /// The connection breaks before the call is carried out.
    Broken,
    /// The call is carried out, and the connection breaks before the answer.
    AnswerLost,
    /// The call is carried out, and the connection breaks within the answer.
    AnswerCut,
    /// The call is carried out, and the answer comes too late.
    Late,
    /// The keys are not taken.
    Unauthorized,
    /// Too many calls, with the wait that CloudStack tells.
    RateLimit,
    /// A proxy answers.
    BadGateway,
    /// An internal error.
    Internal,
    /// No room.
    NoCapacity,
    /// JSON that ends too early.
    HalfJson,
    /// JSON with everything of the wrong type.
    WrongTypes,
    /// The job fails.
    JobFails,
    /// The job is cancelled.
    JobCancelled,
    /// The job takes days.
    JobNeverEnds,
}

use Trouble::*;

const TROUBLES: [Trouble; 15] = [
    Refused,
    Broken,
    AnswerLost,
    AnswerCut,
    Late,
    Unauthorized,
    RateLimit,
    BadGateway,
    Internal,
    NoCapacity,
    HalfJson,
    WrongTypes,
    JobFails,
    JobCancelled,
    JobNeverEnds,
];

impl Trouble {
    /// Whether a call of that command can meet it.
    fn befalls(self, command: &str) -> bool {
        match self {
            JobFails | JobNeverEnds => is_asynchronous(command),
            JobCancelled => command == "queryAsyncJobResult",
            _ => true,
        }
    }

    fn fault(self, command: &str) -> Fault {
        let respond = |status: u16, body: String| Fault::Respond {
            status,
            content_type: "application/json; charset=UTF-8".to_owned(),
            body,
        };
        let wrapper = format!("{}response", command.to_lowercase());
        let refuse = |code: u16, text: &str| {
            let error =
                json!({"uuidList": [], "errorcode": code, "cserrorcode": 9999, "errortext": text});
            respond(code, json!({ (wrapper.as_str()): error }).to_string())
        };
        match self {
            Broken => Fault::CloseBeforeAnswer,
            AnswerLost => Fault::LoseAnswer,
            AnswerCut => Fault::TruncateBody(30),
            Late => Fault::Delay(LATENESS),
            Unauthorized => refuse(
                401,
                "unable to verify user credentials and/or request signature",
            ),
            RateLimit => refuse(
                429,
                "The given user has reached his/her account api limit, please retry after 300 ms.",
            ),
            BadGateway => Fault::html(502, "Bad Gateway"),
            Internal => refuse(530, "Internal error executing command"),
            NoCapacity => refuse(533, "Unable to create a deployment"),
            HalfJson => respond(200, format!("{{\"{wrapper}\":{{\"count\":1,\"jo")),
            WrongTypes => {
                let mut content = json!({
                    "count": "many", "id": {"a": 1}, "jobid": [1], "jobstatus": "soon", "success": [], "capability": 7,
                    "network": 7, "securitygroup": 7,
                });
                for list in [
                    "zone",
                    "template",
                    "serviceoffering",
                    "virtualmachine",
                    "publicipaddress",
                    "portforwardingrule",
                    "firewallrule",
                    "volume",
                    "networkoffering",
                    "diskoffering",
                    "account",
                    "project",
                    "sshkeypair",
                    "vpc",
                    "tag",
                ] {
                    content[list] = json!(7);
                }
                respond(200, json!({ (wrapper.as_str()): content }).to_string())
            }
            JobFails => Fault::JobFails {
                code: 530,
                text: "It broke".to_owned(),
            },
            JobCancelled => respond(
                200,
                json!({ (wrapper.as_str()): {"jobid": "x", "jobstatus": 3, "jobresultcode": 0} })
                    .to_string(),
            ),
            Refused | JobNeverEnds => unreachable!("it is no fault but the cloud's behaviour"),
        }
    }
}

/// A kind of machine in a kind of cloud.
struct Scene {
    name: &'static str,
    options: &'static [(&'static str, &'static str)],
    change: fn(&mut CloudConfig),
}

const SCENES: [Scene; 4] = [
    Scene {
        name: "isolated network",
        options: &[
            ("zone", "uk-london-1"),
            ("template", "Debian 12"),
            ("service-offering", "Small"),
        ],
        change: |_| (),
    },
    Scene {
        name: "basic zone",
        options: &[
            ("zone", "uk-basic-1"),
            ("template", "Debian 12"),
            ("service-offering", "Small"),
        ],
        change: |_| (),
    },
    Scene {
        name: "no network, data disk",
        options: &[
            ("zone", "uk-london-1"),
            ("template", "Debian 12"),
            ("service-offering", "Small"),
            ("disk-offering", "Data 20 GB"),
            ("cidr", "192.0.2.0/24"),
        ],
        change: |cloud| cloud.networks.clear(),
    },
    Scene {
        name: "address of its own",
        options: &[
            ("zone", "uk-london-1"),
            ("template", "Debian 12"),
            ("service-offering", "Small"),
            ("network", "default"),
            ("address", "static-nat"),
        ],
        change: |_| (),
    },
];

impl Scene {
    fn lab(&self) -> VirtualLab {
        VirtualLab::of(self.cloud())
    }

    fn cloud(&self) -> Builder {
        let mut cloud = CloudConfig::default();
        (self.change)(&mut cloud);
        let mut behaviour = cloudstack_simulator::Behaviour::default();
        behaviour.job_time = Duration::from_millis(300);
        behaviour.allow_user_expunge = true;
        Simulator::builder().cloud(cloud).behaviour(behaviour)
    }

    fn flags(&self, lab: &VirtualLab) -> Flags {
        lab.flags(self.options)
    }
}

/// What is done to a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Create,
    Status,
    Start,
    Stop,
    Kill,
    Restart,
    Remove,
}

use Operation::*;

const OPERATIONS: [Operation; 7] = [Create, Status, Start, Stop, Kill, Restart, Remove];

impl Operation {
    /// Brings the lab to where the operation begins.
    fn prepare(self, scene: &Scene, lab: &VirtualLab) {
        if self != Create {
            lab.create(NAME, &scene.flags(lab)).unwrap();
        }
        if self == Start {
            lab.change(NAME, Change::Stop).unwrap();
        }
        lab.cloud.clear_requests();
    }

    fn run(self, scene: &Scene, lab: &VirtualLab) -> Result<(), Error> {
        match self {
            Create => lab.create(NAME, &scene.flags(lab)),
            Status => lab.stored(NAME).status().map(drop),
            Start => lab.change(NAME, Change::Start),
            Stop => lab.change(NAME, Change::Stop),
            Kill => lab.change(NAME, Change::Kill),
            Restart => lab.change(NAME, Change::Restart),
            Remove => lab.change(NAME, Change::Remove),
        }
    }
}

const NAME: &str = "m1";

/// The commands that an operation calls when nothing goes wrong.
fn calls(scene: &Scene, operation: Operation) -> Vec<String> {
    let lab = scene.lab();
    operation.prepare(scene, &lab);
    operation.run(scene, &lab).unwrap();
    let requests = lab.cloud.requests();
    requests
        .into_iter()
        .map(|request| request.command)
        .collect()
}

/// One trouble with one call.
#[derive(Clone, Copy)]
struct Cell<'c> {
    scene: &'c Scene,
    operation: Operation,
    command: &'c str,
    /// How many calls come before, of any command.
    number: usize,
    /// How many calls of that command come before.
    skip: u32,
    trouble: Trouble,
    /// Whether all later calls of the command meet it too.
    is_permanent: bool,
}

/// Keeps connections from the cloud from a certain call on.
#[derive(Default)]
struct Wall(Mutex<Option<Plan>>);

struct Plan {
    gate: Gate,
    /// How many calls are let through.
    calls: usize,
    /// How often was slept since.
    sleeps: u32,
}

impl Wall {
    fn rise_before(&self, call: usize, gate: Gate) {
        if call == 0 {
            gate.close().unwrap();
        }
        *self.0.lock().unwrap() = Some(Plan {
            gate,
            calls: call,
            sleeps: 0,
        });
    }

    fn is_up(&self) -> bool {
        self.0.lock().unwrap().is_some()
    }

    /// A call has been carried out.
    fn pass(&self) {
        if let Some(plan) = &mut *self.0.lock().unwrap()
            && plan.calls > 0
        {
            plan.calls -= 1;
            if plan.calls == 0 {
                plan.gate.close().unwrap();
            }
        }
    }

    /// Somebody has slept; after that many sleeps behind the wall it is gone.
    fn fall_after(&self, sleeps: u32) {
        let mut plan = self.0.lock().unwrap();
        if let Some(up) = plan.as_mut().filter(|plan| plan.calls == 0) {
            up.sleeps += 1;
            if up.sleeps >= sleeps {
                up.gate.open().unwrap();
                *plan = None;
            }
        }
    }
}

impl Cell<'_> {
    fn describe(&self) -> String {
        format!(
            "{}: {:?}, call {} of {}, {:?}{}",
            self.scene.name,
            self.operation,
            self.skip + 1,
            self.command,
            self.trouble,
            if self.is_permanent {
                " from then on"
            } else {
                ""
            }
        )
    }

    /// Plays it. An error tells what is not as it should be.
    fn play(&self) -> Result<(), String> {
        let wall = Arc::new(Wall::default());
        let seen = Arc::clone(&wall);
        let mut lab = VirtualLab::of(self.scene.cloud().on_request(move |_| seen.pass()));
        if self.trouble == Late {
            lab = lab.with_patience(PATIENCE);
        }
        let empty = lab.cloud.inventory();
        self.operation.prepare(self.scene, &lab);
        if self.trouble == Refused {
            // The first sleep after a poll is refused is the second since the call before it.
            let sleeps = 1 + u32::from(self.command == "queryAsyncJobResult");
            wall.rise_before(self.number, lab.cloud.gate());
            let slept = Arc::clone(&wall);
            if !self.is_permanent {
                lab.on_sleep(move || slept.fall_after(sleeps));
            }
        } else if self.trouble == JobNeverEnds {
            lab.cloud.set_behaviour(|behaviour| {
                let days = Duration::from_secs(3 * 24 * 3_600);
                behaviour.job_times.insert(self.command.to_owned(), days);
            });
        } else {
            let times = if self.is_permanent { u32::MAX } else { 1 };
            let fault = self.trouble.fault(self.command);
            lab.cloud.fault_after(self.command, self.skip, times, fault);
        }
        let outcome = self.operation.run(self.scene, &lab);
        let was_met = !wall.is_up();
        wall.fall_after(0);
        if self.trouble == Refused && !self.is_permanent && !was_met {
            return Err("nobody slept behind the wall: the call was not tried".to_owned());
        }
        lab.cloud.clear_faults();
        lab.cloud
            .set_behaviour(|behaviour| behaviour.job_times.clear());

        if let Err(error) = &outcome {
            is_clear(error, &lab)?;
        }
        self.nothing_was_made_twice(&lab)?;
        let after = lab.cloud.inventory();
        match (self.operation, &outcome) {
            (Create, Ok(())) => is_one_machine(&after)?,
            (Create, Err(error)) => {
                let has_leftovers = matches!(
                    error,
                    Error::Create {
                        leftovers: Some(_),
                        ..
                    }
                );
                if after != empty && !has_leftovers {
                    return Err(format!("{error}\nleaves without a word:\n{after}"));
                }
                // What has passed by the time of the undoing is no reason to leave anything. A job of days has not.
                let has_passed = !self.is_permanent && self.trouble != JobNeverEnds;
                if after != empty && has_passed && !self.is_open_window(&after) {
                    return Err(format!("{error}\nleaves:\n{after}"));
                }
            }
            (Remove, Ok(())) if after != empty => {
                return Err(format!("it succeeds, and leaves:\n{after}"));
            }
            (Remove, _) => {}
            (Stop | Kill, Ok(())) => is_in_state(&after, "Stopped")?,
            (Start | Restart, Ok(())) => is_in_state(&after, "Running")?,
            (Status, Ok(())) => is_one_machine(&after)?,
            (_, Err(_)) if after.machines.len() != 1 => {
                return Err(format!("the machine is gone:\n{after}"));
            }
            (_, Err(_)) => {}
        }
        // Later, without trouble, it can be removed with all that belongs to it.
        lab.clock.advance(Duration::from_secs(4 * 24 * 3_600));
        if lab.has_stored(NAME) {
            lab.change(NAME, Change::Remove)
                .map_err(|error| format!("{outcome:?}\nand then it cannot be removed: {error}"))?;
        }
        match lab.cloud.inventory() {
            left if left == empty => Ok(()),
            left if self.is_open_window(&left) => Ok(()),
            left => Err(format!(
                "{outcome:?}\nand after the removal there is:\n{left}"
            )),
        }
    }

    /// The one thing that CloudStack gives no means to find again: an address is acquired without a name or a tag, so if
    /// the answer is lost, it can only be told that there is one more. The user is.
    fn is_open_window(&self, left: &Inventory) -> bool {
        let is_lost = matches!(
            self.trouble,
            AnswerLost | AnswerCut | Late | JobNeverEnds | HalfJson | WrongTypes
        );
        let mut without = left.clone();
        without.addresses.clear();
        self.command == "associateIpAddress"
            && is_lost
            && left.addresses.len() == 1
            && without.is_empty()
    }

    /// A deployment is repeated only if CloudStack has turned it away.
    fn nothing_was_made_twice(&self, lab: &VirtualLab) -> Result<(), String> {
        let requests = lab.cloud.requests();
        let mut made: BTreeMap<&str, usize> = BTreeMap::new();
        for request in &requests {
            let name = request.command.as_str();
            let makes = name.starts_with("deploy") || name.starts_with("associate");
            if makes || name == "createNetwork" {
                *made.entry(name).or_default() += 1;
            }
        }
        match made.iter().find(|(_, count)| **count > 1) {
            Some((name, count)) if self.trouble != RateLimit => {
                Err(format!("{name} was called {count} times"))
            }
            _ => Ok(()),
        }
    }
}

fn is_clear(error: &Error, lab: &VirtualLab) -> Result<(), String> {
    let text = error.to_string();
    let is_clean = !text.chars().any(|c| c.is_control() && c != '\n');
    let is_safe = !text.contains(lab.cloud.secret_key()) && !text.contains("signature=");
    if text.trim().is_empty() || !is_clean || !is_safe {
        return Err(format!("the error is not fit for the user: {text:?}"));
    }
    Ok(())
}

fn is_one_machine(inventory: &Inventory) -> Result<(), String> {
    is_in_state(inventory, "Running")?;
    match inventory.key_pairs.len() {
        1 => Ok(()),
        count => Err(format!("{count} key pairs:\n{inventory}")),
    }
}

fn is_in_state(inventory: &Inventory, state: &str) -> Result<(), String> {
    match inventory.machines.as_slice() {
        [machine] if machine.state == state => Ok(()),
        _ => Err(format!("not one machine, {state}:\n{inventory}")),
    }
}

#[test]
fn whatever_goes_wrong_nothing_is_left_unknown_and_nothing_is_made_twice() {
    let mut all_calls = Vec::new();
    for scene in &SCENES {
        for operation in OPERATIONS {
            all_calls.push((scene, operation, calls(scene, operation)));
        }
    }
    let mut cells = Vec::new();
    for (scene, operation, calls) in &all_calls {
        let mut seen: BTreeMap<&str, u32> = BTreeMap::new();
        for (i, command) in calls.iter().enumerate() {
            let is_poll = |i: usize| calls.get(i).is_some_and(|c| c == "queryAsyncJobResult");
            // Of many polls of one job the first and the last say it all.
            let is_middle = i > 0 && is_poll(i - 1) && is_poll(i) && is_poll(i + 1);
            let count = seen.entry(command).or_default();
            for trouble in TROUBLES {
                for is_permanent in [false, true] {
                    // Which of several jobs never ends cannot be told, and it never ends for good. And lateness takes
                    // real time.
                    let is_same = match trouble {
                        JobNeverEnds => is_permanent || *count > 0,
                        Late => is_permanent,
                        _ => false,
                    };
                    if trouble.befalls(command) && !is_same && !is_middle {
                        cells.push(Cell {
                            scene,
                            operation: *operation,
                            command,
                            number: i,
                            skip: *count,
                            trouble,
                            is_permanent,
                        });
                    }
                }
            }
            *count += 1;
        }
    }
    let failures = play_all(cells.iter(), |cell| case(cell.describe(), || cell.play()));
    tell(&format!(
        "fault matrix: {} cells, {} passed",
        cells.len(),
        cells.len() - failures.len()
    ));
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}
