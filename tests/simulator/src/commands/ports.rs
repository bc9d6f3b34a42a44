//! Protocols, ports and ranges of addresses, as rules take them.

use std::net::Ipv4Addr;

use crate::api::Params;
use crate::error::ApiError;
use crate::world::Ports;

/// A range of ports from a first and a last one; one port without a last.
pub(super) fn port_range(start: u16, end: Option<u16>) -> Result<Ports, ApiError> {
    let end = end.unwrap_or(start);
    if start > end {
        return Err(ApiError::invalid(
            "Start port can't be bigger than end port",
        ));
    }
    Ok(Ports { start, end })
}

/// The protocol that a required parameter names, of those allowed.
pub(super) fn protocol(params: &Params, allowed: &[&str]) -> Result<String, ApiError> {
    let protocol = params.required("protocol")?.trim().to_lowercase();
    if allowed.contains(&protocol.as_str()) {
        Ok(protocol)
    } else {
        Err(ApiError::invalid(format!(
            "Protocol {protocol} is not supported"
        )))
    }
}

/// Ports and ICMP type and code, as a firewall's rules take them.
pub(super) type PortsOrIcmp = (Option<Ports>, Option<(i64, i64)>);

pub(super) fn ports_or_icmp(params: &Params, protocol: &str) -> Result<PortsOrIcmp, ApiError> {
    let (start, end) = (params.port("startport")?, params.port("endport")?);
    let (kind, code) = (params.number("icmptype"), params.number("icmpcode"));
    if protocol == "icmp" {
        if start.is_some() || end.is_some() {
            return Err(ApiError::invalid(
                "Can't specify start/end port when protocol is ICMP",
            ));
        }
        return Ok((None, Some((kind.unwrap_or(-1), code.unwrap_or(-1)))));
    }
    if kind.is_some() || code.is_some() {
        return Err(ApiError::invalid(
            "Can specify icmpCode and icmpType for ICMP protocol only",
        ));
    }
    let ports = match (start, end) {
        (Some(start), end) => Some(port_range(start, end)?),
        (None, Some(end)) => Some(port_range(end, None)?),
        (None, None) => None,
    };
    Ok((ports, None))
}

/// The ranges of addresses that `cidrlist` gives.
pub(super) fn cidrs(params: &Params) -> Result<Vec<String>, ApiError> {
    let items = params
        .list("cidrlist")
        .unwrap_or_default()
        .into_iter()
        .map(str::trim);
    let check = |item: &str| match item.split_once('/') {
        Some((address, prefix))
            if address.parse::<Ipv4Addr>().is_ok()
                && prefix.parse::<u8>().is_ok_and(|prefix| prefix <= 32) =>
        {
            Ok(item.to_owned())
        }
        _ => Err(ApiError::invalid(format!(
            "Source cidrs formatting error {item}"
        ))),
    };
    items.map(check).collect()
}
