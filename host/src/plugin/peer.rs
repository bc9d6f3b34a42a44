//! Who is at the other end of a connection.
//!
//! Any user of the computer can connect to the plugin's port. The kernel knows whose a socket is; served are the user who runs
//! the plugin, the one who started it, since a client may run its plugins under another user than its own, and root, who could do
//! everything anyway.
//!
//! Other systems than Linux do not tell without root, so that there everybody is served, as by docker-machine's own plugins.

#[cfg(target_os = "linux")]
mod proc_net;
#[cfg(target_os = "linux")]
mod sock_diag;

use std::net::TcpStream;

/// Why a peer is not served.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    /// It is another user's.
    #[error("a connection of the user {0} is refused: the plugin serves the user who runs it")]
    Uid(u32),
    /// It is nobody's any more, or of another network.
    #[error("a connection that no process of this computer holds is refused")]
    Nobody,
    /// The kernel does not tell.
    #[error("connections are refused, since it cannot be known whose they are: {0}")]
    Unknown(String),
}

/// Whether the peer of a connection is served.
///
/// # Errors
///
/// If it is not. Where the kernel does not tell nobody is.
pub(super) fn admit(peer: &TcpStream) -> Result<(), Refused> {
    #[cfg(target_os = "linux")]
    return linux::admit(peer);
    #[cfg(not(target_os = "linux"))]
    {
        let _ = peer;
        Ok(())
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::io;
    use std::net::{SocketAddr, TcpListener, TcpStream};
    use std::sync::OnceLock;

    use super::{Refused, proc_net, sock_diag};

    pub(super) fn admit(peer: &TcpStream) -> Result<(), Refused> {
        let unknown = |error: io::Error| Refused::Unknown(error.to_string());
        let ours = plain(peer.local_addr().map_err(unknown)?);
        // If the other end is gone there is nobody to serve.
        let theirs = plain(peer.peer_addr().map_err(|_| Refused::Nobody)?);
        let owner = if answers() {
            sock_diag::owner(theirs, ours)
        } else {
            proc_net::owner(theirs, ours)
        };
        // Only an established socket counts: one that its process has closed is shown as root's.
        let uid = owner.map_err(unknown)?.ok_or(Refused::Nobody)?;
        if uid == rustix::process::geteuid().as_raw() || uid == 0 || parent() == Some(uid) {
            Ok(())
        } else {
            Err(Refused::Uid(uid))
        }
    }

    /// An address of IPv4 that is written as one of IPv6 is known to the kernel as what it is.
    fn plain(address: SocketAddr) -> SocketAddr {
        SocketAddr::new(address.ip().to_canonical(), address.port())
    }

    /// Whether the kernel answers questions about sockets. Reading its tables takes the longer the more connections there are,
    /// of whomever: 0.3 s for 45,000. But where a sandbox takes questions away, or a kernel lacks them, tables may do.
    fn answers() -> bool {
        static ANSWERS: OnceLock<bool> = OnceLock::new();
        let own_uid = || -> io::Result<Option<u32>> {
            let listener = TcpListener::bind("127.0.0.1:0")?;
            let client = TcpStream::connect(listener.local_addr()?)?;
            sock_diag::owner(client.local_addr()?, client.peer_addr()?)
        };
        let right = || own_uid().is_ok_and(|uid| uid == Some(rustix::process::geteuid().as_raw()));
        *ANSWERS.get_or_init(right)
    }

    /// The user whose process started this one.
    fn parent() -> Option<u32> {
        let parent = rustix::process::getppid()?.as_raw_nonzero();
        let status = std::fs::read_to_string(format!("/proc/{parent}/status")).ok()?;
        let ids = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
        // Real, effective, saved, and for files.
        ids.split_ascii_whitespace().nth(1)?.parse().ok()
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_connection_of_ones_own_is_admitted() {
            let own_uid = rustix::process::geteuid().as_raw();
            for address in ["127.0.0.1:0", "[::1]:0"] {
                // There may be no IPv6.
                let Ok(listener) = TcpListener::bind(address) else {
                    assert!(address.starts_with('['));
                    continue;
                };
                let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
                let (server, _) = listener.accept().unwrap();
                let ours = server.local_addr().unwrap();
                let theirs = server.peer_addr().unwrap();
                type Owner = fn(SocketAddr, SocketAddr) -> io::Result<Option<u32>>;
                for owner in [sock_diag::owner as Owner, proc_net::owner] {
                    assert_eq!(owner(theirs, ours).unwrap(), Some(own_uid));
                    // The other way round it is the server's own.
                    assert_eq!(owner(ours, theirs).unwrap(), Some(own_uid));
                    // A listener is no connection.
                    assert_eq!(owner(ours, ours).unwrap(), None);
                }
                admit(&server).unwrap();
                // Once it is closed nobody can tell whose it was.
                drop(client);
                for owner in [sock_diag::owner as Owner, proc_net::owner] {
                    assert_eq!(owner(theirs, ours).unwrap(), None);
                }
                let refused = admit(&server);
                assert!(matches!(refused, Err(Refused::Nobody)), "{refused:?}");
            }
        }

        #[test]
        fn the_parent_is_the_user_who_started_this() {
            // The test's own process tree is of one user.
            assert_eq!(parent(), Some(rustix::process::geteuid().as_raw()));
        }
    }
}
