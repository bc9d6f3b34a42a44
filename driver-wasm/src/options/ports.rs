//! Ports of a protocol, as options and rules name them.

use std::fmt;
use std::str::FromStr;

/// Ports of a protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// Whether they are of UDP, not of TCP.
    pub is_udp: bool,
    /// The first one.
    pub first: u16,
    /// The last one, the first if there is only one.
    pub last: u16,
}

impl Ports {
    /// One port of TCP.
    pub fn tcp(port: u16) -> Self {
        Self {
            is_udp: false,
            first: port,
            last: port,
        }
    }

    /// Whether all of the others are among them.
    pub(crate) fn contains(self, other: Self) -> bool {
        self.is_udp == other.is_udp && self.first <= other.first && other.last <= self.last
    }

    /// Whether some of the others are among them.
    pub(crate) fn overlaps(self, other: Self) -> bool {
        self.is_udp == other.is_udp && self.first <= other.last && other.first <= self.last
    }

    /// The protocol's name in the API.
    pub fn protocol(self) -> &'static str {
        if self.is_udp { "udp" } else { "tcp" }
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.first)?;
        if self.last != self.first {
            write!(f, "-{}", self.last)?;
        }
        write!(f, "/{}", self.protocol())
    }
}

impl FromStr for Ports {
    type Err = ();

    /// `80`, `53/udp`, `8000-8010/tcp`.
    fn from_str(text: &str) -> Result<Self, ()> {
        let (range, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        let is_udp = match protocol.to_ascii_lowercase().as_str() {
            "tcp" => false,
            "udp" => true,
            _ => return Err(()),
        };
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let port = |text: &str| text.trim().parse().ok().filter(|port: &u16| *port > 0);
        let (first, last) = (port(first).ok_or(())?, port(last).ok_or(())?);
        if first > last {
            return Err(());
        }
        Ok(Self {
            is_udp,
            first,
            last,
        })
    }
}
