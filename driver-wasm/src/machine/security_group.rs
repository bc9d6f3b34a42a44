//! The security group of a machine's own, in zones where security groups guard the machines.

use super::optional;
use crate::cloudstack::{Cloud, Command, Error, Item};
use crate::options::Ports;

/// Makes the group, which lets everybody or those ranges of addresses in to the ports.
pub(super) fn make(
    cloud: &Cloud<'_>,
    name: &str,
    marks: &[(&str, &str)],
    ports: &[Ports],
    cidrs: &str,
) -> Result<Item, Error> {
    let group = cloud.create_security_group(name, "Made by docker-machine")?;
    let mut jobs = Vec::new();
    for &ports in ports {
        jobs.push(cloud.authorize_ingress(&group.id, ports, cidrs)?.jobid);
    }
    let tagged = cloud.create_tags("SecurityGroup", &[&group.id], marks);
    optional(cloud, "The security group could not be tagged", tagged)?;
    for job in jobs {
        cloud.wait(Command::AuthorizeSecurityGroupIngress, &job)?;
    }
    Ok(group)
}
