//! The URLs that drivers may have called, and the addresses that none may reach.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use url::Url;

/// A URL that drivers may ask the host to call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint(Url);

/// Why a text is no endpoint. The texts are without what may be secret.
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
    #[error(
        "{0} is a link-local, metadata, multicast or unspecified address, which no driver may call"
    )]
    Forbidden(IpAddr),
}

impl std::str::FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let Ok(url) = Url::parse(text.trim()) else {
            return Err(EndpointError::NotAUrl(without_secrets(text)));
        };
        if !matches!(url.scheme(), "http" | "https") {
            return Err(EndpointError::Scheme(without_secrets(text)));
        }
        let has_user = !url.username().is_empty() || url.password().is_some();
        if has_user || url.query().is_some() || url.fragment().is_some() {
            return Err(EndpointError::Surplus(without_secrets(text)));
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

/// A text that was given for a URL, as it may be shown whether it is one or not: without what may be a user's name and password,
/// a query or a fragment. Since it may be none, a password may have any character in it, and ends at the last `@`.
pub(crate) fn without_secrets(text: &str) -> String {
    let is_scheme = |(scheme, _): &(&str, &str)| {
        let name = scheme.strip_suffix(':').unwrap_or_default();
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
        !name.is_empty() && name.bytes().all(is_part)
    };
    let (scheme, rest) = match text.split_once("//").filter(is_scheme) {
        Some((scheme, rest)) => (format!("{scheme}//"), rest),
        None => (String::new(), text),
    };
    let (before, query) = match rest.split_once(['?', '#']) {
        Some((before, query)) => (before, Some(query)),
        None => (rest, None),
    };
    match (before.rsplit_once('@'), query) {
        // What is before it may be a part of a password as well as a host.
        (_, Some(query)) if query.contains('@') => format!("{scheme}…"),
        (Some((_, host)), None) => format!("{scheme}…@{host}"),
        (Some((_, host)), Some(_)) => format!("{scheme}…@{host}?…"),
        (None, None) => text.to_owned(),
        (None, Some(_)) => format!("{scheme}{before}?…"),
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
    /// Where clouds tell their machines secrets at other addresses: Alibaba's, Azure's and Oracle's.
    const METADATA: [Ipv4Addr; 3] = [
        Ipv4Addr::new(100, 100, 100, 200),
        Ipv4Addr::new(168, 63, 129, 16),
        Ipv4Addr::new(192, 0, 0, 192),
    ];
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            ip.is_link_local()
                // 0.0.0.0 is this computer.
                || ip.octets()[0] == 0
                || ip.is_multicast()
                || ip.is_broadcast()
                || METADATA.contains(&ip)
        }
        IpAddr::V6(ip) => {
            ip.is_unicast_link_local()
                || ip.is_unspecified()
                || ip.is_multicast()
                // The metadata services of AWS (fd00:ec2::254 and others) and Google.
                || ip.segments()[..2] == [0xfd00, 0xec2]
                || ip.segments()[..2] == [0xfd20, 0xce]
                || embedded(ip).is_some_and(|ip| is_forbidden(IpAddr::V4(ip)))
        }
    }
}

/// The IPv4 address that packets to an IPv6 address end up at, in its other forms than `::ffff:1.2.3.4`.
fn embedded(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, g, h] = ip.segments();
    let (high, low) = match [a, b, c, d, e, f] {
        // NAT64 (RFC 6052, RFC 8215).
        [0x64, 0xff9b, 0 | 1, ..] => (g, h),
        // 6to4 (RFC 3056).
        [0x2002, high, low, ..] => (high, low),
        // IPv4-compatible; `::1` is loopback.
        [0, 0, 0, 0, 0, 0] if ip != Ipv6Addr::LOCALHOST => (g, h),
        _ => return None,
    };
    let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
    Some(Ipv4Addr::new(a, b, c, d))
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
    }

    #[test]
    fn what_is_no_endpoint_is_shown_without_what_may_be_secret() {
        for (given, shown) in [
            ("https://me:sesame@cloud.bt.com/", "https://…@cloud.bt.com/"),
            (
                "https://me:ses/ame@cloud.bt.com/",
                "https://…@cloud.bt.com/",
            ),
            ("https://me:ses#ame@cloud.bt.com/", "https://…"),
            ("me:ses//ame@host", "…@host"),
            ("host/api?apikey=sesame&x=http://y", "host/api?…"),
            ("https://host/?a=b@c&key=sesame", "https://…"),
            ("https://me@host/?key=sesame", "https://…@host/?…"),
            ("https://me:s@same@cloud.bt.com/", "https://…@cloud.bt.com/"),
            ("https://sesame@host:99999/", "https://…@host:99999/"),
            ("https://me:sesame@", "https://…@"),
            ("ftp://me:sesame@host/", "ftp://…@host/"),
            ("me:sesame@host", "…@host"),
            ("https://host/api?apikey=sesame", "https://host/api?…"),
            ("https://host/api#sesame", "https://host/api?…"),
            ("nowhere", "nowhere"),
        ] {
            let error = given.parse::<Endpoint>().unwrap_err().to_string();
            assert!(error.contains(&format!("\"{shown}\"")), "{given}: {error}");
            assert!(!error.contains("same"), "{error}");
        }
    }

    #[test]
    fn metadata_is_out_of_reach_however_its_address_is_written() {
        let forbidden = [
            "169.254.169.254",
            "169.254.170.2",
            "100.100.100.200",
            "168.63.129.16",
            "192.0.0.192",
            "0.0.0.0",
            "0.1.2.3",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::ffff:169.254.169.254",
            "::169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::a9fe:a9fe",
            "2002:a9fe:a9fe::1",
            "fe80::1",
            "ff02::1",
            "fd00:ec2::254",
            "fd00:ec2::23",
            "fd20:ce::254",
        ];
        for text in forbidden {
            assert!(is_forbidden(text.parse().unwrap()), "{text}");
        }
        // Clouds of one's own are at such addresses, and the simulator.
        let allowed = [
            "127.0.0.1",
            "::1",
            "10.0.0.1",
            "172.16.0.1",
            "192.168.0.1",
            "100.64.0.1",
            "fd00::1",
            "2002:a00:1::1",
            "64:ff9b::5db8:d822",
            "93.184.216.34",
            "2606:2800:220:1::1",
        ];
        for text in allowed {
            assert!(!is_forbidden(text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn an_address_is_seen_through_its_spelling() {
        for host in [
            "2852039166",
            "0251.0376.0251.0376",
            "169.254.43518",
            "0xa9.0xfe.0xa9.0xfe",
            "①⑥⑨.254.169.254",
            "169.254.169.254.",
        ] {
            let error = format!("http://{host}/").parse::<Endpoint>().unwrap_err();
            assert!(
                matches!(error, EndpointError::Forbidden(_)),
                "{host}: {error}"
            );
        }
    }
}
