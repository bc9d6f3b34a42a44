//! A small part of the [Hetzner Cloud API](https://docs.hetzner.cloud): servers, SSH keys and actions, and what their
//! names are looked up in. It is written from the API's documentation and shares nothing with the drivers.

mod http;
mod world;

use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use world::World;

/// The token of the only project.
const TOKEN: &str = "LRK9DAWQ1ZAEFSrCNEEzLCUwhYX1U3g7wMg4dTlkkDC96fyDuyJ39nVbVjCKSDfj";

/// What goes wrong with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is carried out, and its answer is lost.
    LoseAnswer,
    /// It is answered with this status and error code, and not carried out.
    Refuse(u16, &'static str),
    /// It is accepted, and its action fails later.
    FailAction(&'static str),
}

/// What the project has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inventory {
    /// The names of the servers.
    pub servers: Vec<String>,
    /// The names of the SSH keys.
    pub ssh_keys: Vec<String>,
}

/// The cloud, with one empty project.
pub struct Hetzner {
    address: SocketAddr,
    shared: Arc<Shared>,
    server: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    world: Mutex<World>,
    requests: Mutex<Vec<String>>,
    /// For requests, told by method and path, such as `POST /servers`.
    faults: Mutex<VecDeque<(String, Fault)>>,
    closing: AtomicBool,
}

impl Hetzner {
    /// Starts at a free port of this machine.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub fn start() -> io::Result<Self> {
        Self::at("127.0.0.1:0")
    }

    /// Starts at that address and port.
    ///
    /// # Errors
    ///
    /// If it cannot listen there.
    pub fn at(address: &str) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        let shared = Arc::new(Shared::default());
        Ok(Self {
            address: listener.local_addr()?,
            shared: Arc::clone(&shared),
            server: Some(std::thread::spawn(move || shared.serve(&listener))),
        })
    }

    /// The endpoint.
    pub fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// The token of the project.
    pub fn token(&self) -> &'static str {
        TOKEN
    }

    /// Has the next request with that method and path go wrong; several faults are taken in the order in which they were ordered.
    ///
    /// # Panics
    ///
    /// If the API has no such request, so that it would never come.
    pub fn fault(&self, request: &str, fault: Fault) {
        let is_known = world::REQUESTS.contains(&request);
        assert!(is_known, "there is no request {request}");
        lock(&self.shared.faults).push_back((request.to_owned(), fault));
    }

    /// Has servers take that address when they are made.
    pub fn set_address(&self, ip: &str) {
        lock(&self.shared.world).address = Some(ip.to_owned());
    }

    /// How long an action takes.
    pub fn set_action_time(&self, time: Duration) {
        lock(&self.shared.world).action_time = time;
    }

    /// Has servers not heed the wish to shut down.
    pub fn ignore_shutdown(&self) {
        lock(&self.shared.world).ignores_shutdown = true;
    }

    /// What there is.
    pub fn inventory(&self) -> Inventory {
        lock(&self.shared.world).inventory()
    }

    /// The requests until now, by method and path, as they came; the ids are left out: `DELETE /servers/{id}`.
    pub fn requests(&self) -> Vec<String> {
        lock(&self.shared.requests).clone()
    }
}

impl Drop for Hetzner {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::Release);
        drop(TcpStream::connect(self.address));
        if let Some(server) = self.server.take() {
            drop(server.join());
        }
    }
}

impl Shared {
    /// Answers each connection in a thread of its own: one on which nothing comes holds up no other.
    fn serve(self: &Arc<Self>, listener: &TcpListener) {
        for stream in listener.incoming().flatten() {
            if self.closing.load(Ordering::Acquire) {
                break;
            }
            let shared = Arc::clone(self);
            std::thread::spawn(move || {
                // A client that has gone needs no answer.
                drop(shared.answer(stream));
            });
        }
    }

    fn answer(&self, mut stream: TcpStream) -> io::Result<()> {
        let Some(request) = http::read(&mut stream)? else {
            return http::write(&mut stream, &world::not_found());
        };
        let segments = request.path.iter().map(|segment| {
            let is_id = segment.parse::<u64>().is_ok();
            if is_id { "{id}" } else { segment.as_str() }
        });
        let segments: Vec<_> = segments.collect();
        let name = format!("{} /{}", request.method, segments.join("/"));
        lock(&self.requests).push(name.clone());
        let fault = self.fault_of(&name);
        let answer = if request.authorization != format!("Bearer {TOKEN}") {
            world::error(401, "unauthorized", "unable to authenticate")
        } else if let Some(Fault::Refuse(status, code)) = fault {
            world::error(status, code, "as the test wants it")
        } else {
            let mut world = lock(&self.world);
            if let Some(Fault::FailAction(code)) = fault {
                world.next_action_fails = Some(code);
            }
            world.answer(&request)
        };
        match fault {
            Some(Fault::LoseAnswer) => Ok(()),
            _ => http::write(&mut stream, &answer),
        }
    }

    fn fault_of(&self, name: &str) -> Option<Fault> {
        let mut faults = lock(&self.faults);
        let index = faults.iter().position(|(request, _)| request == name)?;
        faults.remove(index).map(|(_, fault)| fault)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
