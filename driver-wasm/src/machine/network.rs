//! How a machine is reached.
//!
//! In a shared network, and so in a zone of the type `Basic`, a machine's own address is reached as it is. In an
//! isolated network ports of the network's public address are forwarded to it.

use crate::cloudstack::{Cloud, Command, Error, Network, Nic, PublicIpAddress, VirtualMachine};
use crate::contract::types::{self, ErrorKind};
use crate::failure;
use crate::text;

/// The most characters of a name or text of the cloud that an error shows.
const MAX_SHOWN: usize = 200;

/// How a machine is reached.
#[derive(Debug)]
pub(super) enum Route {
    /// At its own address.
    Direct(String),
    /// By forwarded ports of a public address.
    Forwarded(PublicIpAddress),
}

/// Finds the way to a virtual machine.
pub(super) fn route(
    cloud: &Cloud<'_>,
    is_basic_zone: bool,
    vm: &VirtualMachine,
) -> Result<Route, types::Error> {
    let Some(nic) = vm.default_nic() else {
        return Err(failure::error(
            ErrorKind::Unsupported,
            "The virtual machine has no network interface",
        ));
    };
    if is_basic_zone || nic.is_shared() {
        return direct(nic);
    }
    // Older versions tell neither the network's type nor its VPC with the interface.
    let network = cloud.network(&nic.networkid)?;
    let name = network
        .as_ref()
        .map_or(nic.networkid.as_str(), |network| network.name.as_str());
    let name = text::line(name, MAX_SHOWN);
    let network_type = |network: &Network| network.network_type.to_ascii_lowercase();
    match network.as_ref().map(network_type).as_deref() {
        Some("shared") => return direct(nic),
        Some("l2") => {
            return Err(failure::hinted(
                ErrorKind::Unsupported,
                format!("The network \"{name}\" gives its machines no address"),
                "Have the virtual machine deployed in an isolated or a shared network",
            ));
        }
        _ => {}
    }
    if network.is_some_and(|network| !network.vpcid.is_empty()) {
        return Err(failure::hinted(
            ErrorKind::Unsupported,
            format!(
                "The network \"{name}\" is a tier of a VPC, which this version of the driver does not support"
            ),
            "Have the virtual machine deployed in an isolated or a shared network",
        ));
    }
    let addresses = cloud.public_ip_addresses(&nic.networkid)?;
    let mut usable: Vec<_> = addresses.into_iter().filter(|a| !a.isstaticnat).collect();
    // The one by which the network reaches the outside is there without any doing of the user's.
    usable.sort_by_key(|address| !address.issourcenat);
    match usable.into_iter().next() {
        Some(address) => Ok(Route::Forwarded(address)),
        None => Err(failure::hinted(
            ErrorKind::Conflict,
            format!("The network \"{name}\" has no public address whose ports could be forwarded"),
            "Acquire a public address for the network",
        )),
    }
}

fn direct(nic: &Nic) -> Result<Route, types::Error> {
    match nic.address() {
        Some(address) => Ok(Route::Direct(address.to_owned())),
        None => Err(failure::error(
            ErrorKind::Internal,
            "CloudStack has given the virtual machine no address",
        )),
    }
}

/// Forwards ports of a public address to a virtual machine, all at the same time.
pub(super) fn forward(
    cloud: &Cloud<'_>,
    address: &PublicIpAddress,
    vm_id: &str,
    ports: &[u16],
) -> Result<(), types::Error> {
    let mut jobs = Vec::new();
    for &port in ports {
        let submitted = cloud
            .create_port_forwarding_rule(&address.id, vm_id, port)
            .map_err(|e| forwarding_error(e, address, port))?;
        jobs.push((port, submitted.jobid));
    }
    for (port, job_id) in jobs {
        cloud
            .wait(Command::CreatePortForwardingRule, &job_id)
            .map_err(|e| forwarding_error(e, address, port))?;
    }
    Ok(())
}

fn forwarding_error(error: Error, address: &PublicIpAddress, port: u16) -> types::Error {
    let Some(refusal) = error.refusal().filter(|refusal| refusal.is_rule_conflict()) else {
        return error.into();
    };
    let ip = &address.ipaddress;
    failure::hinted(
        ErrorKind::Conflict,
        format!("Port {port} of {ip} is taken by another machine\n  {refusal}"),
        "Have the virtual machine deployed in a network with a public address of its own: this version of the driver does \
         not put two machines behind one address",
    )
}
