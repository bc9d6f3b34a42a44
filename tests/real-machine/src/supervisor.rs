//! The laboratory's supervisor: process 1 of the namespace in which guests and routers run.

use std::collections::HashMap;
use std::io::{self, BufRead as _, Write as _};
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::sync::{Arc, Mutex};
use std::thread;

use cloudstack_simulator::Guest;

use crate::forward::Forwarder;
use crate::guest::{Cable, Machine, Plan};
use crate::protocol::{Order, READY, Reply, Request};
use crate::router::{Router, inside};
use crate::{Error, Image, lock};

/// What a keeper tells its laboratory.
#[derive(Debug)]
pub struct Setup {
    /// The image of the guests.
    pub image: Image,
    /// The control groups in which all is.
    pub groups: Vec<PathBuf>,
    /// What guests mount of control groups: of each the name, if it has one, and the options.
    pub hierarchies: Vec<String>,
}

/// A guest, and with what it was made.
struct Known {
    guest: Guest,
    machine: Arc<Machine>,
}

struct Supervisor {
    setup: Setup,
    /// A tmpfs that nobody else sees.
    place: PathBuf,
    routers: Arc<Mutex<HashMap<String, Router>>>,
    guests: Mutex<HashMap<String, Known>>,
    forwarder: Arc<Forwarder>,
}

/// Runs a laboratory, which takes orders on standard input and replies on standard output, until there are no more.
/// It has to be process 1: all that it has started ends with it.
///
/// # Errors
///
/// If it is not process 1 of its namespace, or cannot have a place for itself.
pub fn run(setup: Setup) -> Result<ExitCode, Error> {
    if std::process::id() != 1 {
        return Err(Error::Laboratory("only a keeper starts it".to_owned()));
    }
    // A thread that panics would leave somebody waiting.
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        std::process::exit(101);
    }));
    let place = Image::scratch_directory(setup.image.cache());
    std::fs::create_dir_all(&place).map_err(Error::file(&place))?;
    crate::run(
        Command::new("mount")
            .args(["-t", "tmpfs", "-o", "mode=700", "tmpfs"])
            .arg(&place),
    )
    .map_err(Error::Laboratory)?;
    let routers: Arc<Mutex<HashMap<String, Router>>> = Arc::default();
    let find = {
        let routers = Arc::clone(&routers);
        Arc::new(move |network: &str| lock(&routers).get(network).map(Router::namespace))
    };
    let supervisor = Arc::new(Supervisor {
        setup,
        place,
        routers,
        guests: Mutex::default(),
        forwarder: Arc::new(Forwarder::new(find)),
    });
    reply(READY, Ok(()));
    for line in io::stdin().lock().lines().map_while(Result::ok) {
        match serde_json::from_str(&line) {
            Ok(request) => supervisor.take(request),
            Err(error) => eprintln!("real-machine: an order that is none: {error}"),
        }
    }
    // Here the kernel ends the rest.
    Ok(ExitCode::SUCCESS)
}

fn reply(number: u64, result: Result<(), String>) {
    let error = result.err();
    if let Ok(mut line) = serde_json::to_string(&Reply { number, error }) {
        line.push('\n');
        let mut output = io::stdout().lock();
        // If nobody listens any more the orders end too.
        let _ = output.write_all(line.as_bytes());
        let _ = output.flush();
    }
}

impl Supervisor {
    fn take(self: &Arc<Self>, request: Request) {
        let Request { number, order } = request;
        if let Order::Route(routes) = order {
            let result = self.forwarder.apply(&routes);
            if let Err(error) = &result {
                eprintln!("real-machine: {error}");
            }
            return reply(number, result);
        }
        let supervisor = Arc::clone(self);
        thread::spawn(move || {
            let result = match order {
                Order::Start(guest) => supervisor.start(guest),
                Order::Stop { id, forced } => supervisor.stop(&id, forced),
                Order::Reboot { id } => match supervisor.machine(&id) {
                    Some(machine) => machine.reboot(),
                    None => Err("there is no such guest".to_owned()),
                },
                Order::Remove { id } => supervisor.remove(&id),
                Order::Route(_) => Ok(()),
            };
            if let Err(error) = &result {
                eprintln!("real-machine: {error}");
            }
            reply(number, result);
        });
    }

    fn machine(&self, id: &str) -> Option<Arc<Machine>> {
        lock(&self.guests)
            .get(id)
            .map(|known| Arc::clone(&known.machine))
    }

    fn start(&self, guest: Guest) -> Result<(), String> {
        let machine = match self.machine(&guest.id) {
            Some(machine) => machine,
            None => self.make(guest)?,
        };
        machine.start()
    }

    /// Puts a guest together that has never run.
    fn make(&self, guest: Guest) -> Result<Arc<Machine>, String> {
        let mut routers = lock(&self.routers);
        let mut cables = Vec::new();
        for nic in &guest.nics {
            let router = match routers.get_mut(&nic.network) {
                Some(router) => router,
                None => {
                    let place = self.place.join("networks").join(&nic.network);
                    let router = Router::start(nic, &self.setup.image.root(), &place)?;
                    routers.entry(nic.network.clone()).or_insert(router)
                }
            };
            let link = router.expect(&guest, nic)?;
            cables.push(Cable {
                router: router.process(),
                link,
                mac: nic.mac.clone(),
            });
        }
        drop(routers);
        let plan = Plan {
            image: self.setup.image.clone(),
            cpus: guest.cpus,
            memory_mib: guest.memory_mib,
            directory: self.place.join("guests").join(&guest.id),
            groups: self.setup.groups.clone(),
            hierarchies: match self.setup.hierarchies.as_slice() {
                [single] if single.trim().is_empty() => "unified".to_owned(),
                several => several.join("\n"),
            },
            cables,
        };
        let forwarder = Arc::clone(&self.forwarder);
        let nics = guest.nics.clone();
        let cut = move || {
            for nic in &nics {
                forwarder.cut(&nic.network, inside(nic.address));
            }
        };
        let machine = Arc::new(Machine::new(plan, Box::new(cut))?);
        let known = Known {
            machine: Arc::clone(&machine),
            guest,
        };
        lock(&self.guests).insert(known.guest.id.clone(), known);
        Ok(machine)
    }

    /// Stops a guest; one that never ran is stopped.
    fn stop(&self, id: &str, forced: bool) -> Result<(), String> {
        self.machine(id)
            .map_or(Ok(()), |machine| machine.stop(forced))
    }

    fn remove(&self, id: &str) -> Result<(), String> {
        let Some(Known { guest, machine }) = lock(&self.guests).remove(id) else {
            return Ok(());
        };
        machine.remove()?;
        let routers = lock(&self.routers);
        for nic in &guest.nics {
            if let Some(router) = routers.get(&nic.network) {
                router.forget(&guest, nic);
            }
        }
        Ok(())
    }
}
