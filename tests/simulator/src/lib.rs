//! An HTTP server that behaves like Apache CloudStack, for tests and demonstrations of what makes and removes machines.
//!
//! It knows what a docker-machine driver needs: zones, projects, templates, offerings, networks, VPCs, machines, key
//! pairs, affinity groups, public addresses, rules, security groups, tags, volumes and jobs. It verifies signatures, answers errors with CloudStack's
//! codes and words, and takes its time over jobs. What it does it does in full: a command or a parameter that it does
//! not act on is refused. It is stricter than CloudStack in that an unknown parameter and a parameter sent twice are
//! errors, so that a client's mistakes are found.
//!
//! ```no_run
//! use cloudstack_simulator::{ManualClock, Simulator};
//! use std::time::Duration;
//!
//! let clock = ManualClock::new();
//! let cloud = Simulator::builder().clock(clock.clone()).start()?;
//! // … call the API at cloud.url() with cloud.api_key() and cloud.secret_key() …
//! clock.advance(Duration::from_secs(2)); // what was running is done
//! println!("{}", cloud.inventory());
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # What it does not do
//!
//! There are no administrators and no load balancers. Projects, VPCs with their tiers, and affinity groups are there from
//! the start and stay as they are; a tier's access list is no part of the simulation. An isolated network stays up once it is, as
//! if `network.gc.interval` were endless. Machines are records, unless a [`Hypervisor`] runs them: nothing listens at their
//! addresses, which are loopback ones by default so that a test can put something there.
//!
//! # Modules
//!
//! Each knows those that come after it. `server` is the simulator as a program has it; `http` speaks the protocol on sockets and
//! can withhold, cut and delay answers; `api` takes requests apart, checks parameters against CloudStack's declarations and
//! wraps answers; `commands` are the commands by family; `faults` are those that a test orders; `jobs` is what happens later;
//! `inventory` tells what there is; `world` is the data; `hypervisor` is what can stand behind it; `config` is what is there at
//! the start, and how the cloud behaves. All of them know `error`, `clock`, `record`, which remembers requests, and `signature`,
//! the server's signing rule.

mod api;
mod clock;
mod commands;
mod config;
mod error;
mod faults;
mod http;
mod hypervisor;
mod inventory;
mod jobs;
mod record;
mod server;
pub mod signature;
mod world;

pub use clock::{Clock, ManualClock};
pub use commands::is_asynchronous;
pub use config::{
    AccountConfig, AddressPool, AffinityGroupConfig, BadCidr, Behaviour, Cidr, CloudConfig,
    DiskOfferingConfig, NetworkConfig, NetworkKind, ProjectConfig, ServiceOfferingConfig,
    TemplateConfig, VpcConfig, ZoneConfig, ZoneKind,
};
pub use faults::Fault;
pub use hypervisor::{Guest, GuestNic, Hypervisor, Protocol, Route, Task};
pub use inventory::{Inventory, MachineItem, RuleItem};
pub use record::RequestRecord;
pub use server::{Builder, Credentials, Gate, Held, Simulator};
