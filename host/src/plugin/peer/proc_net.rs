//! The kernel's tables of sockets as text, for where it does not answer questions.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Of sockets for IPv4, and of those for both, which an IPv4 connection may have too.
const TABLES: [&str; 2] = ["/proc/self/net/tcp", "/proc/self/net/tcp6"];

/// `TCP_ESTABLISHED`
const ESTABLISHED: &str = "01";

/// A table is read in pieces; where other connections come and go meanwhile, one may be passed over.
const ATTEMPTS: usize = 3;

/// The user of the established socket that has these addresses, which are canonical; nothing if there is none.
///
/// # Errors
///
/// If there are no such tables.
pub(super) fn owner(local: SocketAddr, remote: SocketAddr) -> io::Result<Option<u32>> {
    for _ in 0..ATTEMPTS {
        for table in TABLES {
            let file = match File::open(table) {
                Ok(file) => file,
                // There is no IPv6.
                Err(e) if e.kind() == io::ErrorKind::NotFound && table.ends_with('6') => continue,
                Err(e) => return Err(io::Error::new(e.kind(), format!("{table}: {e}"))),
            };
            let found = find(BufReader::new(file), local, remote)?;
            if found.is_some() {
                return Ok(found);
            }
        }
    }
    Ok(None)
}

/// The user of the established socket that a table has with these addresses.
fn find(table: impl BufRead, local: SocketAddr, remote: SocketAddr) -> io::Result<Option<u32>> {
    for line in table.lines() {
        let line = line?;
        let mut columns = line.split_ascii_whitespace();
        // Number, addresses, state, queues, timer, timeouts, user.
        let (_, from, to, state) = (
            columns.next(),
            columns.next().and_then(address),
            columns.next().and_then(address),
            columns.next(),
        );
        let uid = columns.nth(3).and_then(|uid| uid.parse().ok());
        if state == Some(ESTABLISHED) && from == Some(local) && to == Some(remote) && uid.is_some()
        {
            return Ok(uid);
        }
    }
    Ok(None)
}

/// An address as the tables have it: words of four bytes in the machine's own order, and the port.
fn address(text: &str) -> Option<SocketAddr> {
    let (words, port) = text.split_once(':')?;
    let mut bytes = Vec::new();
    let digits = words.as_bytes().chunks(8);
    for word in digits {
        let word = u32::from_str_radix(std::str::from_utf8(word).ok()?, 16).ok()?;
        bytes.extend(word.to_ne_bytes());
    }
    let address: IpAddr = match bytes.len() {
        4 => Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?).into(),
        16 => Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).to_canonical(),
        _ => return None,
    };
    let port = u16::from_str_radix(port, 16).ok()?;
    Some(SocketAddr::new(address, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";

    fn socket(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    /// Tables as a machine with little-endian words shows them.
    #[test]
    #[cfg(target_endian = "little")]
    fn the_owner_of_a_connection_is_found() {
        let v4 = format!(
            "{HEADER}\
             \x20  0: 0100007F:94B5 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 6941 1 0000000000000000 100 0 0 10 0\n\
             \x20  1: 0100007F:94B5 0100007F:C350 01 00000000:00000000 00:00000000 00000000  1000        0 7001 1 0000000000000000 20 4 30 10 -1\n\
             \x20  2: 0100007F:C350 0100007F:94B5 01 00000000:00000000 00:00000000 00000000  1001        0 7002 1 0000000000000000 20 4 30 10 -1\n\
             \x20  3: 0100007F:C351 0100007F:94B5 06 00000000:00000000 03:0000176F 00000000     0        0 0 3 0000000000000000\n\
             \x20  4: 0100007F:C352 0100007F:94B5 05 00000000:00000000 00:00000000 00000000     0        0 0 1 0000000000000000\n"
        );
        let plugin = socket("127.0.0.1:38069");
        let find = |table: &str, peer: &str| find(table.as_bytes(), socket(peer), plugin).unwrap();
        assert_eq!(find(&v4, "127.0.0.1:50000"), Some(1001));
        // Closed, and half closed: such a socket is shown as root's.
        assert_eq!(find(&v4, "127.0.0.1:50001"), None);
        assert_eq!(find(&v4, "127.0.0.1:50002"), None);
        // Not there, with another address, and the wrong way round.
        assert_eq!(find(&v4, "127.0.0.1:50003"), None);
        assert_eq!(find(&v4, "127.0.0.2:50000"), None);
        assert_eq!(find(&v4, "127.0.0.1:38069"), None);
        // A socket for IPv6 that has connected by IPv4.
        let v6 = format!(
            "{HEADER}\
             \x20  0: 0000000000000000FFFF00000100007F:C353 0000000000000000FFFF00000100007F:94B5 01 00000000:00000000 00:00000000 00000000  1002        0 7003 1 0000000000000000 20 4 30 10 -1\n\
             \x20  1: 00000000000000000000000001000000:C354 00000000000000000000000001000000:94B5 01 00000000:00000000 00:00000000 00000000  1003        0 7004 1 0000000000000000 20 4 30 10 -1\n"
        );
        assert_eq!(find(&v6, "127.0.0.1:50003"), Some(1002));
        assert_eq!(find(&v6, "127.0.0.1:50004"), None);
        assert_eq!(
            super::find(v6.as_bytes(), socket("[::1]:50004"), socket("[::1]:38069")).unwrap(),
            Some(1003)
        );
    }

    #[test]
    fn what_is_no_table_has_nobody() {
        for table in [
            "",
            HEADER,
            "x",
            "\n\n",
            "0: :: 0:0 01\n",
            "a b c 01 e f g h\n",
        ] {
            let any = socket("127.0.0.1:1");
            assert_eq!(find(table.as_bytes(), any, any).unwrap(), None, "{table}");
        }
        // As from a device that is no text.
        find(
            &b"\xff\xff\n"[..],
            socket("127.0.0.1:1"),
            socket("127.0.0.1:2"),
        )
        .unwrap_err();
    }
}
