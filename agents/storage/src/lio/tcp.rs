//! The TCP connections of this host, and how one is ended from outside: by `SOCK_DESTROY` of the kernel's socket diagnosis, as `ss -K` does it.
//! Must never end another connection than the one that is named.

use crate::limits::{DIAGNOSIS_TIMEOUT, TABLE_BYTES_MAX};
use nix::sys::socket::{self, AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, sockopt};
use nix::sys::time::{TimeVal, TimeValLike};
use std::fs::File;
use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsRawFd;

/// A connection, by its two ends.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Connection {
    /// This host's end.
    pub local: SocketAddr,
    /// The other end.
    pub remote: SocketAddr,
}

/// The tables of the kernel; without IPv6 the second is absent.
const TABLES: [&str; 2] = ["/proc/net/tcp", "/proc/net/tcp6"];
/// The state of a connection that is established, in a table.
const ESTABLISHED: &str = "01";

/// Words of the diagnosis, as the kernel's headers `linux/netlink.h`, `sock_diag.h` and `inet_diag.h` number them.
const SOCK_DESTROY: u16 = 21;
const REQUEST_WITH_ANSWER: u16 = 5;
const ERROR: u16 = 2;
const TCP: u8 = 6;
const FAMILY_4: u8 = 2;
const FAMILY_6: u8 = 10;
const HEADER_BYTES: usize = 16;
const REQUEST_BYTES: usize = 72;
/// Where an answer keeps the error's number.
const ERRNO_AT: std::ops::Range<usize> = HEADER_BYTES..HEADER_BYTES + 4;

/// Every established connection.
pub(super) fn established() -> io::Result<Vec<Connection>> {
    let mut all = Vec::new();
    for table in TABLES {
        let mut text = String::new();
        match File::open(table) {
            Err(gone) if gone.kind() == io::ErrorKind::NotFound => continue,
            other => other?.take(TABLE_BYTES_MAX).read_to_string(&mut text)?,
        };
        for line in text.lines().skip(1) {
            let read =
                read(line).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("{table} has an odd line")))?;
            all.extend(read);
        }
    }
    Ok(all)
}

/// One line of a table; `Some(None)` if its connection is not established.
fn read(line: &str) -> Option<Option<Connection>> {
    let mut words = line.split_ascii_whitespace().skip(1);
    let (local, remote, state) = (words.next()?, words.next()?, words.next()?);
    if state != ESTABLISHED {
        return Some(None);
    }
    Some(Some(Connection { local: end(local)?, remote: end(remote)? }))
}

/// `0100007F:0CBC`: the address as words of this machine's byte order, the port as a number.
fn end(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let mut bytes = Vec::with_capacity(address.len() / 2);
    for at in (0..address.len()).step_by(8) {
        bytes.extend(u32::from_str_radix(address.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    }
    let address: IpAddr = match (<[u8; 4]>::try_from(bytes.as_slice()), <[u8; 16]>::try_from(bytes.as_slice())) {
        (Ok(four), _) => Ipv4Addr::from(four).into(),
        (_, Ok(sixteen)) => Ipv6Addr::from(sixteen).into(),
        _ => return None,
    };
    Some(SocketAddr::new(address, u16::from_str_radix(port, 16).ok()?))
}

/// The order to end a connection (`struct inet_diag_req_v2` behind a header).
fn order(connection: &Connection) -> Vec<u8> {
    let family = if connection.local.is_ipv4() { FAMILY_4 } else { FAMILY_6 };
    let mut bytes = Vec::with_capacity(REQUEST_BYTES);
    bytes.extend(u32::try_from(REQUEST_BYTES).unwrap_or_default().to_ne_bytes());
    bytes.extend(SOCK_DESTROY.to_ne_bytes());
    bytes.extend(REQUEST_WITH_ANSWER.to_ne_bytes());
    // its own number, and the sender's, which the kernel fills in
    bytes.extend([0; 8]);
    bytes.extend([family, TCP, 0, 0]);
    // in whatever state
    bytes.extend(u32::MAX.to_ne_bytes());
    bytes.extend(connection.local.port().to_be_bytes());
    bytes.extend(connection.remote.port().to_be_bytes());
    for end in [connection.local, connection.remote] {
        match end.ip() {
            IpAddr::V4(four) => {
                bytes.extend(four.octets());
                bytes.extend([0; 12]);
            }
            IpAddr::V6(sixteen) => bytes.extend(sixteen.octets()),
        }
    }
    // on whatever interface, with whatever cookie
    bytes.extend([0; 4]);
    bytes.extend([0xff; 8]);
    bytes
}

/// What the kernel answered: 0, or an error's number.
fn answer(bytes: &[u8]) -> Option<i32> {
    let kind = bytes.get(4..6).and_then(|kind| kind.try_into().ok()).map(u16::from_ne_bytes)?;
    let number = bytes.get(ERRNO_AT).and_then(|number| number.try_into().ok()).map(i32::from_ne_bytes)?;
    (kind == ERROR).then_some(number)
}

/// Ends it. The kernel needs its module `tcp_diag`, and this program the right to administer networks.
pub(super) fn destroy(connection: &Connection) -> io::Result<()> {
    let talk = socket::socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkSockDiag)?;
    let patience = TimeVal::milliseconds(i64::try_from(DIAGNOSIS_TIMEOUT.as_millis()).unwrap_or(i64::MAX));
    socket::setsockopt(&talk, sockopt::ReceiveTimeout, &patience)?;
    socket::connect(talk.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
    socket::send(talk.as_raw_fd(), &order(connection), MsgFlags::empty())?;
    let mut bytes = [0; 1024];
    let length = socket::recv(talk.as_raw_fd(), &mut bytes, MsgFlags::empty())?;
    match bytes.get(..length).and_then(answer) {
        Some(0) => Ok(()),
        Some(number) => match io::Error::from_raw_os_error(-number) {
            gone if gone.kind() == io::ErrorKind::NotFound => Ok(()),
            error => Err(error),
        },
        None => Err(io::Error::new(io::ErrorKind::InvalidData, "an answer that is none")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_read() {
        let line =
            "   1: 0100007F:0CBC 0200007F:A0C2 01 00000000:00000000 00:00000000 00000000     0        0 0 1 0000 20 4 0 10 -1";
        let four = Connection { local: "127.0.0.1:3260".parse().unwrap(), remote: "127.0.0.2:41154".parse().unwrap() };
        assert_eq!(read(line), Some(Some(four)));
        assert_eq!(read(&line.replace(" 01 ", " 0A ")), Some(None));
        let line = "   0: 00000000000000000000000001000000:0CBC 0000000000000000FFFF00000100007F:0001 01 x";
        let six = Connection { local: "[::1]:3260".parse().unwrap(), remote: "[::ffff:127.0.0.1]:1".parse().unwrap() };
        assert_eq!(read(line), Some(Some(six)));
        for odd in ["", "1:", "0: 01:1 01:1 01", "0: 0100007Z:0CBC 0200007F:A0C2 01", "0: é100007F:0CBC 0200007F:A0C2 01"] {
            assert_eq!(read(odd), None, "{odd}");
        }
    }

    #[test]
    fn an_order_names_one_connection() {
        let four = Connection { local: "127.0.0.1:3260".parse().unwrap(), remote: "192.0.2.1:258".parse().unwrap() };
        let bytes = order(&four);
        assert_eq!(
            (bytes.len(), &bytes[24..28], &bytes[28..32], &bytes[44..48]),
            (72, &[0x0c, 0xbc, 1, 2][..], &[127, 0, 0, 1][..], &[192, 0, 2, 1][..])
        );
        let six = Connection { local: "[::1]:1".parse().unwrap(), remote: "[::2]:2".parse().unwrap() };
        assert_eq!((order(&six).len(), order(&six)[43], order(&six)[59]), (72, 1, 2));
        assert_eq!(
            (answer(&[20, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]), answer(&[0; 20]), answer(&[])),
            (Some(0), None, None)
        );
    }

    /// This host's own connections are among the established.
    #[test]
    fn our_own_connection_is_seen() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let wanted = Connection { local: stream.local_addr().unwrap(), remote: stream.peer_addr().unwrap() };
        assert!(established().unwrap().contains(&wanted));
    }
}
