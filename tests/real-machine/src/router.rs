//! The virtual router of a network: a network namespace with a bridge, DHCP by dnsmasq as in CloudStack's own, and the
//! servers of metadata and passwords.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cloudstack_simulator::{Guest, GuestNic};
use rustix::process::{Pid, Signal, kill_process};

use crate::metadata::{self, MetadataStore};

const SCRIPT: &str = include_str!("../guest/router.sh");

/// A network's virtual router. It ends with the laboratory.
#[derive(Debug)]
pub(crate) struct Router {
    process: Child,
    namespace: Arc<File>,
    /// The file system that has dnsmasq.
    root: PathBuf,
    reservations: PathBuf,
    store: Arc<MetadataStore>,
    next_link: u32,
}

impl Router {
    /// Starts the router of the network that a card is in. `root` is a file system that has dnsmasq; files are put into
    /// `place`, which is made.
    pub(crate) fn start(nic: &GuestNic, root: &Path, place: &Path) -> Result<Self, String> {
        let failed = |error: io::Error| format!("the virtual router does not start: {error}");
        let reservations = place.join("hosts");
        fs::create_dir_all(&reservations).map_err(failed)?;
        let gateway = inside(nic.gateway);
        let mask = u32::MAX.checked_shl(32 - u32::from(nic.prefix.min(32)));
        let network = Ipv4Addr::from(u32::from(gateway) & mask.unwrap_or(0));
        let mut process = Command::new("unshare")
            .args(["--net", "--mount", "--propagation", "private"])
            .args(["sh", "-c", SCRIPT, "router"])
            .args([root, place])
            .args([
                gateway.to_string(),
                nic.prefix.to_string(),
                network.to_string(),
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let mut line = String::new();
        if let Some(output) = process.stdout.take() {
            BufReader::new(output)
                .read_line(&mut line)
                .map_err(failed)?;
        }
        if line.trim_end() != "ready" {
            return Err("the virtual router does not start".to_owned());
        }
        let namespace = File::open(format!("/proc/{}/ns/net", process.id())).map_err(failed)?;
        let store = Arc::new(MetadataStore::default());
        let router = Self {
            process,
            namespace: Arc::new(namespace),
            root: root.to_owned(),
            reservations,
            store,
            next_link: 0,
        };
        let listen = |port| router.within(move || TcpListener::bind((gateway, port)));
        let web = listen(80).map_err(failed)?;
        let passwords = listen(8080).map_err(failed)?;
        metadata::serve(web, passwords, Arc::clone(&router.store));
        Ok(router)
    }

    /// The process whose network namespace is the router's.
    pub(crate) fn process(&self) -> u32 {
        self.process.id()
    }

    pub(crate) fn namespace(&self) -> Arc<File> {
        Arc::clone(&self.namespace)
    }

    /// Does something in the router's network namespace.
    fn within<T: Send>(&self, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        within(&self.namespace, work)
    }

    /// Has a guest be given its address and data. Tells the name of the router's end of the guest's cable.
    pub(crate) fn expect(&mut self, guest: &Guest, nic: &GuestNic) -> Result<String, String> {
        let address = inside(nic.address);
        self.store.put(address, guest, nic);
        let line = format!("{},{address},{},infinite\n", nic.mac, guest.name);
        fs::write(self.reservations.join(&guest.id), line).map_err(|error| error.to_string())?;
        self.reread_reservations().map_err(|e| e.to_string())?;
        let link = format!("g{}", self.next_link);
        self.next_link = self.next_link.wrapping_add(1);
        // Otherwise connections to a guest that is only starting would wait for the kernel to ask for it again.
        crate::run(
            command_at(self.process())
                .args(["ip", "neighbour", "replace"])
                .args([&address.to_string(), "lladdr", &nic.mac])
                .args(["dev", "br0", "nud", "permanent"]),
        )?;
        Ok(link)
    }

    /// Forgets a guest.
    pub(crate) fn forget(&self, guest: &Guest, nic: &GuestNic) {
        self.store.remove(inside(nic.address));
        // It may never have come so far.
        let _ = fs::remove_file(self.reservations.join(&guest.id));
        // Its address may be the next guest's, which would not get one that is reserved or leased to another.
        let _ = self.reread_reservations();
        // As CloudStack's own router does. It fails if there is no lease.
        let _ = crate::run(
            command_at(self.process())
                .arg("chroot")
                .arg(&self.root)
                .args(["/usr/bin/dhcp_release", "br0"])
                .args([&inside(nic.address).to_string(), &nic.mac]),
        );
    }

    /// Has dnsmasq forget what it knows of reservations, and read them anew.
    fn reread_reservations(&self) -> io::Result<()> {
        let process = i32::try_from(self.process.id())
            .ok()
            .and_then(Pid::from_raw);
        let process = process.ok_or(io::ErrorKind::NotFound)?;
        Ok(kill_process(process, Signal::HUP)?)
    }
}

/// The beginning of a command that runs in the network namespace of a process.
pub(crate) fn command_at(process: u32) -> Command {
    let mut command = Command::new("nsenter");
    command.arg(format!("--net=/proc/{process}/ns/net"));
    command
}

/// Does something in a network namespace, by a thread of its own.
pub(crate) fn within<T: Send>(
    namespace: &File,
    work: impl FnOnce() -> io::Result<T> + Send,
) -> io::Result<T> {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            enter(namespace)?;
            work()
        });
        let result = thread.join();
        result.unwrap_or_else(|_| Err(io::Error::other("a thread has panicked")))
    })
}

/// Has the calling thread be in a network namespace from now on.
#[cfg(target_os = "linux")]
pub(crate) fn enter(namespace: &File) -> io::Result<()> {
    use std::os::fd::AsFd as _;

    use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
    Ok(())
}

/// Other systems have no such namespaces, and no laboratories.
#[cfg(not(target_os = "linux"))]
pub(crate) fn enter(_: &File) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Connects to a guest as soon as it can be reached, from a thread in the network's namespace.
pub(crate) fn connect(address: (Ipv4Addr, u16), limit: Duration) -> io::Result<TcpStream> {
    let end = Instant::now() + limit;
    loop {
        // A packet to a guest that has no network yet is lost, and the kernel would send the next one a second later.
        match TcpStream::connect_timeout(&address.into(), Duration::from_millis(200)) {
            Err(error) if error.kind() == io::ErrorKind::TimedOut && Instant::now() < end => {}
            result => return result,
        }
    }
}

/// The address that a guest has itself. A loopback address, which machines of shared networks have in the simulated cloud,
/// cannot be on a wire: it stands for one of 10.128.0.0/9.
pub(crate) fn inside(address: Ipv4Addr) -> Ipv4Addr {
    match address.octets() {
        [127, second, third, fourth] => Ipv4Addr::new(10, 128 | second, third, fourth),
        _ => address,
    }
}
