//! The URLs that drivers may have called, and the addresses that none may reach.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use url::Url;

/// A URL that drivers may ask the host to call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint(Url);

/// Why a text is no endpoint.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// Not a URL.
    #[error("\"{0}\" is not a URL such as https://cloud.example.com/client/api")]
    NotAUrl(String),
    /// Another scheme than `http` and `https`.
    #[error("the scheme of \"{0}\" is neither https nor http")]
    Scheme(String),
    /// A user name, password, query or fragment.
    #[error("\"{0}\" has more than a scheme, a host, a port and a path")]
    Surplus(String),
    /// An address that is never an API's.
    #[error("{0} is a link-local, multicast or unspecified address, which no driver may call")]
    Forbidden(IpAddr),
}

impl std::str::FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let Ok(url) = Url::parse(text.trim()) else {
            return Err(EndpointError::NotAUrl(text.to_owned()));
        };
        if !matches!(url.scheme(), "http" | "https") {
            return Err(EndpointError::Scheme(text.to_owned()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            // The text itself may hold a password.
            let host = url.host_str().unwrap_or_default();
            return Err(EndpointError::Surplus(format!(
                "{}://…@{host}",
                url.scheme()
            )));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(EndpointError::Surplus(text.to_owned()));
        }
        let address = match url.host() {
            Some(url::Host::Ipv4(ip)) => Some(IpAddr::V4(ip)),
            Some(url::Host::Ipv6(ip)) => Some(IpAddr::V6(ip)),
            _ => None,
        };
        match address {
            Some(ip) if is_forbidden(ip) => Err(EndpointError::Forbidden(ip)),
            _ => Ok(Self(url)),
        }
    }
}

impl Endpoint {
    /// The URL itself.
    pub(super) fn url(&self) -> &Url {
        &self.0
    }

    /// The host's name or address.
    pub fn host(&self) -> &str {
        self.0.host_str().unwrap_or_default()
    }

    /// Whether requests to it are encrypted.
    pub fn is_encrypted(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// Whether requests to it travel readable to another machine.
    pub fn is_unprotected(&self) -> bool {
        let is_local = match self.0.host() {
            Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
            Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
            Some(url::Host::Domain(name)) => name == "localhost",
            None => false,
        };
        !self.is_encrypted() && !is_local
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Whether an address is never that of an API: link-local ones above all, where clouds keep their metadata.
pub(super) fn is_forbidden(ip: IpAddr) -> bool {
    /// AWS's metadata service over IPv6.
    const METADATA: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            ip.is_link_local() || ip.is_unspecified() || ip.is_multicast() || ip.is_broadcast()
        }
        IpAddr::V6(ip) => {
            ip.is_unicast_link_local() || ip.is_unspecified() || ip.is_multicast() || ip == METADATA
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_plain_urls() {
        for good in [
            "https://cloud.bt.com/client/api",
            "http://10.0.0.1:8080/client/api",
        ] {
            assert_eq!(good.parse::<Endpoint>().unwrap().to_string(), good);
        }
        for bad in [
            "",
            "cloud.bt.com",
            "ftp://cloud.bt.com/",
            "https://user@cloud.bt.com/",
            "https://cloud.bt.com/?a=b",
            "https://cloud.bt.com/#a",
            "http://169.254.169.254/latest",
            "http://[::ffff:169.254.169.254]/",
            "http://[fe80::1]/",
            "http://0.0.0.0/",
            "http://0xa9fea9fe/",
        ] {
            bad.parse::<Endpoint>().unwrap_err();
        }
        let error = "https://me:sesame@cloud.bt.com/"
            .parse::<Endpoint>()
            .unwrap_err();
        assert!(!error.to_string().contains("sesame"), "{error}");
    }
}
