//! What tests hold of a laboratory.

use std::collections::HashMap;
use std::fmt;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use cloudstack_simulator::{Guest, Hypervisor, Route, Task};

use crate::protocol::{Order, READY, Reply, Request};
use crate::{Error, Image, lock, wait_until};

/// How long a laboratory may take to be ready, to change its routes, and to end.
const PATIENCE: Duration = Duration::from_secs(20);

type Outcome = Result<(), String>;
type Waiting = Arc<Mutex<Option<HashMap<u64, Sender<Outcome>>>>>;

/// A room in which guests run. When it is dropped, and when the process ends that made it, nothing of it stays.
pub struct Laboratory {
    keeper: Mutex<Child>,
    orders: Mutex<Option<ChildStdin>>,
    /// Who waits for a reply, by its number; none once there will be no more.
    waiting: Waiting,
    next: AtomicU64,
    reader: Option<JoinHandle<()>>,
}

impl fmt::Debug for Laboratory {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Laboratory").finish_non_exhaustive()
    }
}

impl Laboratory {
    /// Starts one with machines of that image. `program` is the program `real-machine`.
    ///
    /// # Errors
    ///
    /// If the program cannot be run, or cannot do its work on this machine.
    pub fn start(program: &Path, image: &Image) -> Result<Self, Error> {
        let mut keeper = Command::new(program)
            .arg("keeper")
            .arg("--image")
            .arg(image.directory())
            .args(["--kind", image.kind().name()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Whoever interrupts a test at the keyboard means the test: the keeper has to tidy up after that.
            .process_group(0)
            .spawn()
            .map_err(Error::program(program.display().to_string()))?;
        let (Some(orders), Some(replies)) = (keeper.stdin.take(), keeper.stdout.take()) else {
            return Err(Error::Laboratory("it has no pipes".to_owned()));
        };
        let (sender, ready) = channel();
        let waiting = Arc::new(Mutex::new(Some(HashMap::from([(READY, sender)]))));
        let reader = {
            let waiting = Arc::clone(&waiting);
            std::thread::spawn(move || pass_on(replies, &waiting))
        };
        let laboratory = Self {
            keeper: Mutex::new(keeper),
            orders: Mutex::new(Some(orders)),
            waiting,
            next: AtomicU64::new(READY + 1),
            reader: Some(reader),
        };
        match ready.recv_timeout(PATIENCE) {
            Ok(Ok(())) => Ok(laboratory),
            Ok(Err(error)) => Err(Error::Laboratory(error)),
            Err(_) => Err(Error::Laboratory("it was not ready in time".to_owned())),
        }
    }

    /// The keeper's process.
    pub fn keeper(&self) -> u32 {
        lock(&self.keeper).id()
    }

    /// Gives an order, of whose end `sender` tells. It is dropped if the laboratory has ended.
    fn order(&self, order: Order, sender: Sender<Outcome>) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        match lock(&self.waiting).as_mut() {
            Some(waiting) => drop(waiting.insert(number, sender)),
            None => return,
        }
        let request = Request { number, order };
        let sent = serde_json::to_string(&request).map(|mut line| {
            line.push('\n');
            lock(&self.orders)
                .as_mut()
                .map(|orders| orders.write_all(line.as_bytes()))
        });
        if !matches!(sent, Ok(Some(Ok(()))))
            && let Some(waiting) = lock(&self.waiting).as_mut()
        {
            waiting.remove(&number);
        }
    }

    fn task(&self, order: Order) -> Task {
        let (sender, task) = Task::new();
        self.order(order, sender);
        task
    }
}

/// Passes replies on to who waits for them, until there are no more.
fn pass_on(replies: ChildStdout, waiting: &Waiting) {
    for line in BufReader::new(replies).lines().map_while(Result::ok) {
        let Ok(reply) = serde_json::from_str::<Reply>(&line) else {
            continue;
        };
        let sender = lock(waiting)
            .as_mut()
            .and_then(|waiting| waiting.remove(&reply.number));
        if let Some(sender) = sender {
            // Nobody needs to wait for it any more.
            let _ = sender.send(reply.error.map_or(Ok(()), Err));
        }
    }
    *lock(waiting) = None;
}

impl Hypervisor for Laboratory {
    fn start(&self, guest: Guest) -> Task {
        self.task(Order::Start(guest))
    }

    fn stop(&self, id: &str, forced: bool) -> Task {
        let id = id.to_owned();
        self.task(Order::Stop { id, forced })
    }

    fn reboot(&self, id: &str) -> Task {
        self.task(Order::Reboot { id: id.to_owned() })
    }

    fn remove(&self, id: &str) {
        drop(self.task(Order::Remove { id: id.to_owned() }));
    }

    fn route(&self, routes: &[Route]) {
        let (sender, done) = channel();
        self.order(Order::Route(routes.to_vec()), sender);
        // What could not be listened at the laboratory has told on standard error.
        let _ = done.recv_timeout(PATIENCE);
    }
}

impl Drop for Laboratory {
    fn drop(&mut self) {
        // This is what ends it.
        drop(lock(&self.orders).take());
        let mut keeper = lock(&self.keeper);
        if !wait_until(PATIENCE, || !matches!(keeper.try_wait(), Ok(None))) {
            let _ = keeper.kill();
            let _ = keeper.wait();
        }
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}
