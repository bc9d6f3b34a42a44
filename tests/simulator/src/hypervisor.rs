//! What can stand behind the records: something that really runs the machines.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};

use serde::{Deserialize, Serialize};

/// Something that runs the machines of a cloud.
///
/// It is told what happens to machines, and it is told anew where public addresses lead whenever that has changed. All of
/// it is called while the simulator handles a request, so what takes longer than a moment is to be done elsewhere; the
/// job of it lasts until the [`Task`] is done, however long the configured job time is.
pub trait Hypervisor: Send + Sync {
    /// Starts a machine, which keeps its disk if it has run before.
    fn start(&self, guest: Guest) -> Task;

    /// Stops a machine: switches it off if that is `forced`, and has it shut down otherwise.
    fn stop(&self, id: &str, forced: bool) -> Task;

    /// Has a machine start anew.
    fn reboot(&self, id: &str) -> Task;

    /// Removes a machine and its disk, whatever its state; one that never ran is nothing to remove.
    fn remove(&self, id: &str);

    /// Tells where public addresses lead from now on. It is in force on return.
    fn route(&self, routes: &[Route]);
}

/// A machine to be run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guest {
    /// The machine's id.
    pub id: String,
    /// Its host name.
    pub name: String,
    /// Processors.
    pub cpus: u32,
    /// Memory in MiB.
    pub memory_mib: u32,
    /// Its network cards, the first being the default one.
    pub nics: Vec<GuestNic>,
    /// The public SSH keys that are let in, in the form of `authorized_keys`.
    pub public_keys: Vec<String>,
    /// User data, in base64.
    pub user_data: Option<String>,
    /// The service offering's name.
    pub service_offering: String,
    /// The zone's name.
    pub zone: String,
}

/// A network card of a machine to be run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestNic {
    /// The network's id.
    pub network: String,
    /// The address of the network's virtual router in it.
    pub gateway: Ipv4Addr,
    /// The length of the prefix of the network's addresses, 0 to 32.
    pub prefix: u8,
    /// The card's address.
    pub address: Ipv4Addr,
    /// Its MAC address, such as `02:00:4c:00:00:01`.
    pub mac: String,
    /// The address by which the network is seen from outside, if it has one.
    pub public_address: Option<Ipv4Addr>,
}

/// A protocol with ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// Ports of a public address that lead to a machine: a forwarding rule or static NAT, as far as the firewall lets it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// The public address.
    pub public: Ipv4Addr,
    /// The protocol.
    pub protocol: Protocol,
    /// The first port.
    pub first: u16,
    /// The last port.
    pub last: u16,
    /// The network that the machine is in.
    pub network: String,
    /// The machine's address in it.
    pub guest: Ipv4Addr,
    /// The machine's port to which the first one leads; the others follow.
    pub guest_first: u16,
    /// From where it is let in: ranges of addresses such as `0.0.0.0/0`.
    pub sources: Vec<String>,
}

/// Something that a [`Hypervisor`] is about.
#[derive(Debug)]
pub struct Task(Receiver<Result<(), String>>);

impl Task {
    /// A task, and what tells how it ended. If that is dropped without a word the task has failed.
    pub fn new() -> (Sender<Result<(), String>>, Self) {
        let (sender, receiver) = channel();
        (sender, Self(receiver))
    }

    /// How it ended, or nothing while it goes on.
    pub(crate) fn outcome(&self) -> Option<Result<(), String>> {
        match self.0.try_recv() {
            Ok(outcome) => Some(outcome),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => Some(Err("the hypervisor is gone".to_owned())),
        }
    }
}

/// The hypervisor of a world, if there is one, and what it was told last.
#[derive(Default)]
pub(crate) struct Backend {
    pub(crate) hypervisor: Option<Arc<dyn Hypervisor>>,
    pub(crate) routes: Vec<Route>,
}

impl std::fmt::Debug for Backend {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Backend")
            .field("is_there", &self.hypervisor.is_some())
            .finish_non_exhaustive()
    }
}
