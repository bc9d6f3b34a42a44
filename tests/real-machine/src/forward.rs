//! From public addresses into the guests.
//!
//! A public address of the simulated cloud is a loopback address of this machine. Where a port of it leads to a guest
//! somebody listens here, and passes connections on from within the network's namespace. So the firewall's sources are
//! those that a client on this machine has.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use cloudstack_simulator::{Protocol, Route};
use ipnet::Ipv4Net;

use crate::lock;
use crate::router::{connect, enter, inside, within};

/// How long a guest may take to take a connection, from when it has one that asks.
const CONNECT: Duration = Duration::from_secs(5);

/// How often who waits for datagrams looks whether that is over.
const LOOK: Duration = Duration::from_millis(200);

/// After how long without an answer a client of a UDP port is forgotten, as Linux's address translation does.
const SILENCE: Duration = Duration::from_secs(120);

/// The most ports that one route may have listened at.
const MOST_PORTS: u16 = 1024;

/// Finds the namespace of a network, if that has a router by now.
pub(crate) type FindNetwork = Arc<dyn Fn(&str) -> Option<Arc<File>> + Send + Sync>;

/// Where a port leads.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Target {
    network: String,
    guest: Ipv4Addr,
    port: u16,
    sources: Vec<Ipv4Net>,
}

/// A port of a public address.
type Port = (Protocol, SocketAddr);

/// Somebody who listens at a port.
struct PortListener {
    /// What a thread listens at for connections; what comes by UDP is looked for at intervals.
    listener: Option<TcpListener>,
    target: Arc<Mutex<Target>>,
    is_closed: Arc<AtomicBool>,
}

impl Drop for PortListener {
    fn drop(&mut self) {
        self.is_closed.store(true, Ordering::SeqCst);
        if let Some(listener) = &self.listener {
            // This wakes who waits for a connection, and frees the port.
            let _ = rustix::net::shutdown(listener, rustix::net::Shutdown::Both);
        }
    }
}

/// A connection that is passed on.
struct Connection {
    network: String,
    guest: Ipv4Addr,
    /// The guest's end.
    stream: TcpStream,
}

type PortListeners = HashMap<Port, PortListener>;
type Open = Arc<Mutex<HashMap<u64, Connection>>>;

/// All that is passed on.
pub(crate) struct Forwarder {
    find: FindNetwork,
    posts: Mutex<PortListeners>,
    /// The connections that are open.
    open: Open,
}

impl Forwarder {
    pub(crate) fn new(find: FindNetwork) -> Self {
        Self {
            find,
            posts: Mutex::default(),
            open: Open::default(),
        }
    }

    /// Has public addresses lead where they are to lead from now on. Connections that are open stay so.
    pub(crate) fn apply(&self, routes: &[Route]) -> Result<(), String> {
        let (wanted, mut problems) = targets(routes);
        let mut posts = lock(&self.posts);
        posts.retain(|port, _| wanted.contains_key(port));
        for (port, target) in wanted {
            if let Some(post) = posts.get(&port) {
                *lock(&post.target) = target;
                continue;
            }
            let (protocol, address) = port;
            let post = match protocol {
                Protocol::Tcp => self.open_post(address, target),
                Protocol::Udp => self.open_datagrams(address, target),
            };
            match post {
                Ok(post) => drop(posts.insert(port, post)),
                Err(error) => problems.push(format!("nobody can listen at {address}: {error}")),
            }
        }
        match problems.is_empty() {
            true => Ok(()),
            false => Err(problems.join("; ")),
        }
    }

    fn open_post(&self, address: SocketAddr, target: Target) -> io::Result<PortListener> {
        let listener = TcpListener::bind(address)?;
        let post = PortListener {
            listener: Some(listener.try_clone()?),
            target: Arc::new(Mutex::new(target)),
            is_closed: Arc::default(),
        };
        let (target, is_closed) = (Arc::clone(&post.target), Arc::clone(&post.is_closed));
        let (find, open) = (Arc::clone(&self.find), Arc::clone(&self.open));
        thread::spawn(move || {
            loop {
                let accepted = listener.accept();
                if is_closed.load(Ordering::SeqCst) {
                    return;
                }
                let Ok((client, peer)) = accepted else {
                    // There are too many descriptors: others have to end first.
                    thread::sleep(Duration::from_millis(20));
                    continue;
                };
                let target = lock(&target).clone();
                let namespace = find(&target.network);
                let open = Arc::clone(&open);
                if let Some(namespace) = namespace
                    && is_let_in(&target, peer.ip())
                {
                    thread::spawn(move || pass(&client, &target, &namespace, &open));
                }
            }
        });
        Ok(post)
    }

    /// Passes datagrams on: each client has a socket of its own on the inside, to which answers come.
    fn open_datagrams(&self, address: SocketAddr, target: Target) -> io::Result<PortListener> {
        let outside = Arc::new(UdpSocket::bind(address)?);
        outside.set_read_timeout(Some(LOOK))?;
        let post = PortListener {
            listener: None,
            target: Arc::new(Mutex::new(target)),
            is_closed: Arc::default(),
        };
        let (target, is_closed) = (Arc::clone(&post.target), Arc::clone(&post.is_closed));
        let find = Arc::clone(&self.find);
        thread::spawn(move || {
            let mut clients: HashMap<SocketAddr, Arc<UdpSocket>> = HashMap::new();
            let mut datagram = vec![0; 1 << 16];
            while !is_closed.load(Ordering::SeqCst) {
                // Those whose answering thread has ended have been silent for long.
                clients.retain(|_, inside| Arc::strong_count(inside) > 1);
                let Ok((length, peer)) = outside.recv_from(&mut datagram) else {
                    continue;
                };
                let target = lock(&target).clone();
                if !is_let_in(&target, peer.ip()) {
                    continue;
                }
                let inside = match clients.get(&peer) {
                    Some(inside) => Arc::clone(inside),
                    None => {
                        let made = find(&target.network)
                            .map(|namespace| meet(&outside, peer, &target, &namespace, &is_closed));
                        let Some(Ok(inside)) = made else {
                            continue;
                        };
                        clients.insert(peer, Arc::clone(&inside));
                        inside
                    }
                };
                // Datagrams may be lost.
                let _ = inside.send(datagram.get(..length).unwrap_or_default());
            }
        });
        Ok(post)
    }

    /// Cuts the connections to a guest that is gone, which would otherwise hang. Another network may have the same addresses.
    pub(crate) fn cut(&self, network: &str, guest: Ipv4Addr) {
        for connection in lock(&self.open).values() {
            if connection.network == network && connection.guest == guest {
                let _ = connection.stream.shutdown(Shutdown::Both);
            }
        }
    }
}

/// Whether the firewall lets a client in.
fn is_let_in(target: &Target, client: IpAddr) -> bool {
    let IpAddr::V4(client) = client else {
        return false;
    };
    target.sources.iter().any(|range| range.contains(&client))
}

/// What each port leads to, and what of the routes cannot be.
fn targets(routes: &[Route]) -> (HashMap<Port, Target>, Vec<String>) {
    let mut targets: HashMap<Port, Target> = HashMap::new();
    let mut problems = Vec::new();
    for route in routes {
        if !route.public.is_loopback() {
            problems.push(format!("{} is no loopback address", route.public));
            continue;
        }
        if route.last.saturating_sub(route.first) >= MOST_PORTS {
            problems.push(format!(
                "{}:{}-{} are more ports than are listened at",
                route.public, route.first, route.last
            ));
            continue;
        }
        let sources = route.sources.iter().filter_map(|text| text.parse().ok());
        let sources: Vec<Ipv4Net> = sources.collect();
        for (port, to) in (route.first..=route.last).zip(route.guest_first..) {
            let address = SocketAddr::from((route.public, port));
            let target = targets
                .entry((route.protocol, address))
                .or_insert_with(|| Target {
                    network: route.network.clone(),
                    guest: inside(route.guest),
                    port: to,
                    sources: Vec::new(),
                });
            target.sources.extend(&sources);
        }
    }
    (targets, problems)
}

/// Passes a connection on until both sides are done with it.
fn pass(client: &TcpStream, target: &Target, namespace: &File, open: &Open) {
    // Whatever goes wrong here is for the client to see: its connection ends.
    let _ = (|| -> io::Result<()> {
        enter(namespace)?;
        let guest = connect((target.guest, target.port), CONNECT)?;
        let key = {
            let mut open = lock(open);
            let key = (0..)
                .find(|key| !open.contains_key(key))
                .unwrap_or_default();
            let connection = Connection {
                network: target.network.clone(),
                guest: target.guest,
                stream: guest.try_clone()?,
            };
            open.insert(key, connection);
            key
        };
        thread::scope(|scope| {
            scope.spawn(|| copy(client, &guest));
            copy(&guest, client);
        });
        lock(open).remove(&key);
        Ok(())
    })();
}

/// Makes the inner socket of a client that sends datagrams, and passes the answers on.
fn meet(
    outside: &Arc<UdpSocket>,
    client: SocketAddr,
    target: &Target,
    namespace: &File,
    is_closed: &Arc<AtomicBool>,
) -> io::Result<Arc<UdpSocket>> {
    let inside = within(namespace, || {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        socket.connect((target.guest, target.port))?;
        Ok(socket)
    })?;
    inside.set_read_timeout(Some(LOOK))?;
    let inside = Arc::new(inside);
    let (answers, outside, is_closed) = (
        Arc::clone(&inside),
        Arc::clone(outside),
        Arc::clone(is_closed),
    );
    thread::spawn(move || {
        let mut datagram = vec![0; 1 << 16];
        let mut last = Instant::now();
        while last.elapsed() < SILENCE && !is_closed.load(Ordering::SeqCst) {
            if let Ok(length) = answers.recv(&mut datagram) {
                last = Instant::now();
                let _ = outside.send_to(datagram.get(..length).unwrap_or_default(), client);
            }
        }
    });
    Ok(inside)
}

/// Copies until the one side has no more, and tells the other one so.
fn copy(mut from: &TcpStream, mut to: &TcpStream) {
    if io::copy(&mut from, &mut to).is_err() {
        // A broken connection breaks in both directions.
        let _ = from.shutdown(Shutdown::Both);
    }
    let _ = to.shutdown(Shutdown::Write);
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn a_guest_that_is_gone_takes_no_connection_of_another_network_with_it() {
        let forwarder = Forwarder::new(Arc::new(|_| None));
        let guest = Ipv4Addr::new(10, 1, 1, 10);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let connect = |key, network: &str| {
            let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let network = network.to_owned();
            lock(&forwarder.open).insert(
                key,
                Connection {
                    network,
                    guest,
                    stream,
                },
            );
            listener.accept().unwrap().0
        };
        let (mut gone, mut there) = (connect(0, "a"), connect(1, "b"));
        there.set_nonblocking(true).unwrap();
        forwarder.cut("a", guest);
        assert_eq!(gone.read(&mut [0]).unwrap(), 0);
        let error = there.read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }
}
