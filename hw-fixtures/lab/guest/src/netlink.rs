//! The few routing-netlink messages the lab needs, written and read by hand.
//!
//! The oracle's view of the switch must not share code with the agent it judges, so nothing of the product's netlink driver is used here.
//! Decoding is total: a short or odd message yields less, never a panic.

use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, send, socket};

use crate::limits::NETLINK_BUFFER_BYTES;

/// `RTM_NEWLINK`.
pub const NEW_LINK: u16 = 16;
/// `RTM_GETLINK`.
pub const GET_LINK: u16 = 18;
/// `RTM_SETLINK`.
pub const SET_LINK: u16 = 19;
/// `RTM_DELLINK`.
pub const DEL_LINK: u16 = 17;
/// `RTM_NEWADDR`.
pub const NEW_ADDRESS: u16 = 20;
/// `RTM_NEWNEIGH`.
pub const NEW_NEIGHBOUR: u16 = 28;
/// `RTM_GETNEIGH`.
pub const GET_NEIGHBOUR: u16 = 30;
/// `NLM_F_CREATE | NLM_F_EXCL`.
pub const CREATE: u16 = 0x600;
/// `NLM_F_REPLACE | NLM_F_CREATE`.
pub const REPLACE: u16 = 0x500;

const FLAG_REQUEST: u16 = 1;
const FLAG_ACK: u16 = 4;
const FLAG_DUMP: u16 = 0x300;
const MESSAGE_ERROR: u16 = 2;
const MESSAGE_DONE: u16 = 3;
const HEADER_BYTES: usize = 16;
const NESTED: u16 = 0x8000;
const KIND_MASK: u16 = 0x3fff;

/// Why a netlink call failed.
#[derive(Debug, thiserror::Error)]
pub enum NetlinkError {
    /// The kernel said no, or the socket failed.
    #[error("netlink, {what}: {source}")]
    Kernel {
        /// What was asked.
        what: String,
        /// What the kernel answered.
        source: Errno,
    },
    /// The kernel closed the conversation without an answer.
    #[error("netlink, {0}: no answer")]
    Silent(String),
}

/// One request under construction.
#[derive(Debug)]
pub struct Request {
    bytes: Vec<u8>,
}

impl Request {
    /// A request of this kind, with these extra flags, opened by the fixed body of its family.
    #[must_use]
    pub fn new(kind: u16, flags: u16, body: &[u8]) -> Self {
        let mut bytes = vec![0; 4];
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(&(flags | FLAG_REQUEST).to_ne_bytes());
        bytes.extend_from_slice(&[0; 8]);
        bytes.extend_from_slice(body);
        Self { bytes }
    }

    /// Adds one attribute.
    #[must_use]
    pub fn with(mut self, kind: u16, value: &[u8]) -> Self {
        push_attribute(&mut self.bytes, kind, value);
        self
    }

    /// Adds an attribute that holds others.
    #[must_use]
    pub fn with_nested(mut self, kind: u16, inner: &Nest) -> Self {
        push_attribute(&mut self.bytes, kind | NESTED, &inner.0);
        self
    }

    fn finish(mut self, sequence: u32, more_flags: u16) -> Vec<u8> {
        let length = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        let flags = u16::from_ne_bytes(take(&self.bytes, 6).unwrap_or_default()) | more_flags;
        splice(&mut self.bytes, 0, &length.to_ne_bytes());
        splice(&mut self.bytes, 6, &flags.to_ne_bytes());
        splice(&mut self.bytes, 8, &sequence.to_ne_bytes());
        self.bytes
    }
}

/// Attributes that stand inside another attribute.
#[derive(Debug, Default)]
pub struct Nest(Vec<u8>);

impl Nest {
    /// Adds one attribute.
    #[must_use]
    pub fn with(mut self, kind: u16, value: &[u8]) -> Self {
        push_attribute(&mut self.0, kind, value);
        self
    }

    /// Adds an attribute that holds others.
    #[must_use]
    pub fn with_nested(mut self, kind: u16, inner: &Self) -> Self {
        push_attribute(&mut self.0, kind | NESTED, &inner.0);
        self
    }
}

fn push_attribute(bytes: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(value.len() + 4).unwrap_or(u16::MAX);
    bytes.extend_from_slice(&length.to_ne_bytes());
    bytes.extend_from_slice(&kind.to_ne_bytes());
    bytes.extend_from_slice(value);
    while !bytes.len().is_multiple_of(4) {
        bytes.push(0);
    }
}

fn splice(bytes: &mut [u8], at: usize, value: &[u8]) {
    if let Some(place) = bytes.get_mut(at..at + value.len()) {
        place.copy_from_slice(value);
    }
}

/// `N` bytes at an offset, if they are there.
#[must_use]
pub fn take<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

/// The attributes in `bytes`, in order: kind without its flag bits, and value. Stops at the first that does not fit.
pub fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_ne_bytes(take(rest, 0)?));
        let kind = u16::from_ne_bytes(take(rest, 2)?) & KIND_MASK;
        let value = rest.get(4..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// The messages in one datagram: kind and payload.
pub fn messages(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let length = usize::try_from(u32::from_ne_bytes(take(rest, 0)?)).ok()?;
        let kind = u16::from_ne_bytes(take(rest, 4)?);
        let payload = rest.get(HEADER_BYTES..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, payload))
    })
}

/// A routing-netlink socket.
#[derive(Debug)]
pub struct Netlink {
    socket: OwnedFd,
    sequence: u32,
}

impl Netlink {
    /// Opens one; `groups` is the bit mask of multicast groups to hear (0: none).
    pub fn open(groups: u32) -> Result<Self, NetlinkError> {
        let failed = |source| NetlinkError::Kernel { what: "open a socket".into(), source };
        let fd =
            socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkRoute).map_err(failed)?;
        bind(fd.as_raw_fd(), &NetlinkAddr::new(0, groups)).map_err(failed)?;
        Ok(Self { socket: fd, sequence: 0 })
    }

    /// The socket itself, to be polled.
    #[must_use]
    pub fn fd(&self) -> &OwnedFd {
        &self.socket
    }

    /// Sends a request and waits for the kernel's yes or no.
    pub fn ask(&mut self, what: &str, request: Request) -> Result<(), NetlinkError> {
        self.talk(what, request, FLAG_ACK, |_, _| ())
    }

    /// Sends a dump request and hands every message of the answer to `each`.
    pub fn dump(&mut self, what: &str, request: Request, each: impl FnMut(u16, &[u8])) -> Result<(), NetlinkError> {
        self.talk(what, request, FLAG_DUMP, each)
    }

    /// Throws away whatever multicast messages wait in the socket; says whether there was any.
    pub fn drain(&self) -> bool {
        let mut buffer = vec![0; NETLINK_BUFFER_BYTES];
        let mut any = false;
        loop {
            match recv(self.socket.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
                Ok(_) | Err(Errno::ENOBUFS) => any = true,
                Err(_) => return any,
            }
        }
    }

    fn talk(&mut self, what: &str, request: Request, flags: u16, mut each: impl FnMut(u16, &[u8])) -> Result<(), NetlinkError> {
        let failed = |source| NetlinkError::Kernel { what: what.to_owned(), source };
        self.sequence = self.sequence.wrapping_add(1);
        let bytes = request.finish(self.sequence, flags);
        send(self.socket.as_raw_fd(), &bytes, MsgFlags::empty()).map_err(failed)?;
        let mut buffer = vec![0; NETLINK_BUFFER_BYTES];
        loop {
            let got = match recv(self.socket.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
                Err(Errno::EINTR) => continue,
                other => other.map_err(failed)?,
            };
            if got == 0 {
                return Err(NetlinkError::Silent(what.to_owned()));
            }
            for (kind, payload) in messages(buffer.get(..got).unwrap_or_default()) {
                match kind {
                    MESSAGE_DONE => return Ok(()),
                    MESSAGE_ERROR => {
                        let code = take(payload, 0).map_or(0, i32::from_ne_bytes);
                        return if code == 0 { Ok(()) } else { Err(failed(Errno::from_raw(code.saturating_neg()))) };
                    }
                    _ => each(kind, payload),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_reads_back_as_it_was_written() {
        let nest = Nest::default().with(1, b"bridge").with_nested(2, &Nest::default().with(7, &[1]));
        let bytes = Request::new(NEW_LINK, CREATE, &[9; 16]).with(3, b"br0\0").with_nested(18, &nest).finish(5, FLAG_ACK);
        let all: Vec<_> = messages(&bytes).collect();
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].0, NEW_LINK);
        assert_eq!(all[0].1[..16], [9; 16]);
        let attrs: Vec<_> = attributes(&all[0].1[16..]).collect();
        assert_eq!(attrs[0], (3, &b"br0\0"[..]));
        assert_eq!(attrs[1].0, 18, "the nested flag is not part of the kind");
        let inner: Vec<_> = attributes(attrs[1].1).collect();
        assert_eq!(inner[0], (1, &b"bridge"[..]));
        assert_eq!(attributes(inner[1].1).collect::<Vec<_>>(), vec![(7, &[1u8][..])]);
    }

    #[test]
    fn torn_messages_yield_less_and_never_panic() {
        let bytes = Request::new(NEW_LINK, 0, &[0; 16]).with(3, b"br0\0").finish(1, 0);
        for cut in 0..bytes.len() {
            for (_, payload) in messages(&bytes[..cut]) {
                let _ = attributes(payload).count();
            }
        }
        assert_eq!(messages(&[0; 64]).count(), 0, "a length of zero ends the walk");
        assert_eq!(attributes(&[0; 64]).count(), 0);
        assert_eq!(messages(&[255; 64]).count(), 0);
    }
}
