//! A question to the kernel about one socket: `sock_diag(7)`.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink};

/// `SOCK_DIAG_BY_FAMILY`
const BY_FAMILY: u16 = 20;
/// `NLM_F_REQUEST`
const REQUEST: u16 = 1;
/// `NLMSG_ERROR`
const ERROR: u16 = 2;
/// `TCP_ESTABLISHED`
const ESTABLISHED: u8 = 1;
/// `struct nlmsghdr`
const HEADER: usize = 16;
/// `struct nlmsghdr` and `struct inet_diag_req_v2`
const QUESTION: usize = HEADER + 56;

/// The user of the established socket that has these addresses, which are canonical; nothing if there is none.
///
/// # Errors
///
/// If the kernel does not answer.
pub(super) fn owner(local: SocketAddr, remote: SocketAddr) -> io::Result<Option<u32>> {
    let socket = rustix::net::socket_with(
        AddressFamily::NETLINK,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        Some(netlink::SOCK_DIAG),
    )?;
    // The answer is there at once; whatever happens, nobody waits for it.
    set_socket_timeout(&socket, Timeout::Recv, Some(Duration::from_secs(1)))?;
    rustix::net::send(&socket, &question(local, remote), SendFlags::empty())?;
    let mut answer = [0; 512];
    let (length, _) = rustix::net::recv(&socket, &mut answer[..], RecvFlags::empty())?;
    parse_answer(answer.get(..length).unwrap_or_default(), local, remote)
}

fn question(local: SocketAddr, remote: SocketAddr) -> Vec<u8> {
    let family = match local.ip() {
        IpAddr::V4(_) => AddressFamily::INET,
        IpAddr::V6(_) => AddressFamily::INET6,
    };
    let mut question = Vec::with_capacity(QUESTION);
    let length = u32::try_from(QUESTION).unwrap_or_default();
    question.extend(length.to_ne_bytes());
    question.extend(BY_FAMILY.to_ne_bytes());
    question.extend(REQUEST.to_ne_bytes());
    // A number of the question and of the one who asks, which do not matter.
    question.extend([0; 8]);
    // Family, protocol (TCP), nothing further about the socket.
    let family = u8::try_from(family.as_raw()).unwrap_or_default();
    question.extend([family, 6, 0, 0]);
    // Any state; the answer says which.
    question.extend(u32::MAX.to_ne_bytes());
    question.extend(local.port().to_be_bytes());
    question.extend(remote.port().to_be_bytes());
    for address in [local, remote] {
        let mut bytes = match address.ip() {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        };
        bytes.resize(16, 0);
        question.extend(bytes);
    }
    // Any interface, and no cookie, which is all ones.
    question.extend([0; 4]);
    question.extend([0xff; 8]);
    question
}

/// Reads a `struct nlmsghdr` and a `struct inet_diag_msg`, or an error.
fn parse_answer(answer: &[u8], local: SocketAddr, remote: SocketAddr) -> io::Result<Option<u32>> {
    let nonsense = || io::Error::new(io::ErrorKind::InvalidData, "an answer of another kind");
    let word = |at: usize| -> Option<u32> {
        let bytes = answer.get(at..)?.first_chunk::<4>()?;
        Some(u32::from_ne_bytes(*bytes))
    };
    let port = |at: usize| -> Option<u16> {
        let bytes = answer.get(at..)?.first_chunk::<2>()?;
        Some(u16::from_be_bytes(*bytes))
    };
    let kind = answer.get(4..).and_then(|rest| rest.first_chunk::<2>());
    let kind = u16::from_ne_bytes(*kind.ok_or_else(nonsense)?);
    if kind == ERROR {
        let number = word(HEADER).ok_or_else(nonsense)?.cast_signed();
        let error = io::Error::from_raw_os_error(number.wrapping_neg());
        return match error.kind() {
            io::ErrorKind::NotFound => Ok(None),
            _ => Err(error),
        };
    }
    let state = *answer.get(HEADER + 1).ok_or_else(nonsense)?;
    let ports = (port(HEADER + 4), port(HEADER + 6));
    let uid = word(HEADER + 64).ok_or_else(nonsense)?;
    if kind != BY_FAMILY {
        return Err(nonsense());
    }
    // Where there is no such connection, the kernel tells of one who listens at the port.
    let is_it = state == ESTABLISHED && ports == (Some(local.port()), Some(remote.port()));
    Ok(is_it.then_some(uid))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_answer_is_an_error() {
        let address = "127.0.0.1:1".parse().unwrap();
        let parse_answer = |answer: &[u8]| parse_answer(answer, address, address);
        for length in 0..HEADER + 68 {
            let mut answer = vec![0; length];
            if length > 5 {
                answer[4..6].copy_from_slice(&BY_FAMILY.to_ne_bytes());
            }
            parse_answer(&answer).unwrap_err();
        }
        let refusal = |number: i32| {
            let mut answer = [0; 36];
            answer[4..6].copy_from_slice(&ERROR.to_ne_bytes());
            answer[16..20].copy_from_slice(&number.to_ne_bytes());
            parse_answer(&answer)
        };
        assert_eq!(refusal(-2).unwrap(), None);
        for number in [-1, -13, -22, 0, i32::MIN] {
            refusal(number).unwrap_err();
        }
    }
}
