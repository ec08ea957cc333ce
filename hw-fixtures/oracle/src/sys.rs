//! The few system calls that no safe wrapper offers: a socket that sees an interface's frames. Nothing else in this crate may be unsafe.

use std::io;
use std::mem::MaybeUninit;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use socket2::{Domain, Protocol, SockAddr, SockAddrStorage, SockFilter, Socket, Type};

use crate::fact::Ns;
use crate::limits::FRAME_BYTES_MAX;

/// `CLOCK_MONOTONIC` now.
#[must_use]
pub fn now_ns() -> Ns {
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(0, |now| u64::try_from(Duration::from(now).as_nanos()).unwrap_or(u64::MAX))
}

/// Sees the frames of one interface that a filter lets through, and sends frames there.
#[derive(Debug)]
pub struct Wire {
    socket: Socket,
}

impl Wire {
    /// Opens the interface. The filter stands before the first frame is queued.
    pub fn open(interface: &str, filter: &[SockFilter], turn: Duration) -> io::Result<Self> {
        let index = nix::net::if_::if_nametoindex(interface)?;
        // protocol 0: nothing is queued before the address says which protocol
        let socket = Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(0)))?;
        socket.attach_filter(filter)?;
        socket.set_read_timeout(Some(turn))?;
        socket.bind(&address(index))?;
        Ok(Self { socket })
    }

    /// The next frame, as long as it fits; None after a turn without one.
    pub fn next<'a>(&self, buffer: &'a mut [MaybeUninit<u8>; FRAME_BYTES_MAX]) -> io::Result<Option<&'a [u8]>> {
        match self.socket.recv(buffer) {
            Ok(length) => {
                let part = buffer.get(..length).unwrap_or_default();
                // SAFETY: the kernel has written the first `length` bytes of the buffer, and `part` holds no more than those.
                Ok(Some(unsafe { std::slice::from_raw_parts(part.as_ptr().cast::<u8>(), part.len()) }))
            }
            Err(error)
                if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Sends a frame.
    pub fn send(&self, frame: &[u8]) -> io::Result<()> {
        self.socket.send(frame).map(drop)
    }
}

fn address(index: u32) -> SockAddr {
    let mut storage = SockAddrStorage::zeroed();
    // SAFETY: `sockaddr_ll` is one of the platform's `sockaddr_*` types and fits the zeroed storage; all its fields are set below.
    let link = unsafe { storage.view_as::<libc::sockaddr_ll>() };
    *link = libc::sockaddr_ll {
        sll_family: u16::try_from(libc::AF_PACKET).unwrap_or(17),
        sll_protocol: u16::try_from(libc::ETH_P_ALL).unwrap_or(3).to_be(),
        sll_ifindex: i32::try_from(index).unwrap_or(0),
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    let length = libc::socklen_t::try_from(size_of::<libc::sockaddr_ll>()).unwrap_or(0);
    // SAFETY: the storage was initialised as `sockaddr_ll` just above, and the length is that type's.
    unsafe { SockAddr::new(storage, length) }
}

/// Filters in the kernel's packet language: what does not pass costs nothing.
pub mod filters {
    use super::SockFilter;

    const LOAD_HALF: u16 = 0x28;
    const LOAD_BYTE: u16 = 0x30;
    const LOAD_HALF_AT_X: u16 = 0x48;
    const LOAD_BYTE_AT_X: u16 = 0x50;
    const LOAD_X_IP_HEADER: u16 = 0xb1;
    const IF_EQUAL: u16 = 0x15;
    const IF_ANY_BIT: u16 = 0x45;
    const RETURN: u16 = 0x06;
    const KEEP: u32 = crate::limits::FRAME_BYTES_MAX as u32;

    const fn one(code: u16, yes: u8, no: u8, value: u32) -> SockFilter {
        SockFilter::new(code, yes, no, value)
    }

    /// ARP, and UDP to this port.
    #[must_use]
    pub fn arp_or_udp(port: u16) -> [SockFilter; 12] {
        [
            one(LOAD_HALF, 0, 0, 12),
            one(IF_EQUAL, 8, 0, 0x0806),
            one(IF_EQUAL, 0, 8, 0x0800),
            one(LOAD_BYTE, 0, 0, 23),
            one(IF_EQUAL, 0, 6, 17),
            one(LOAD_HALF, 0, 0, 20),
            one(IF_ANY_BIT, 4, 0, 0x1fff),
            one(LOAD_X_IP_HEADER, 0, 0, 14),
            one(LOAD_HALF_AT_X, 0, 0, 16),
            one(IF_EQUAL, 0, 1, port as u32),
            one(RETURN, 0, 0, KEEP),
            one(RETURN, 0, 0, 0),
        ]
    }

    /// TCP to this port that carries something to be read at once.
    #[must_use]
    pub fn pushed_tcp(port: u16) -> [SockFilter; 13] {
        [
            one(LOAD_HALF, 0, 0, 12),
            one(IF_EQUAL, 0, 10, 0x0800),
            one(LOAD_BYTE, 0, 0, 23),
            one(IF_EQUAL, 0, 8, 6),
            one(LOAD_HALF, 0, 0, 20),
            one(IF_ANY_BIT, 6, 0, 0x1fff),
            one(LOAD_X_IP_HEADER, 0, 0, 14),
            one(LOAD_HALF_AT_X, 0, 0, 16),
            one(IF_EQUAL, 0, 3, port as u32),
            one(LOAD_BYTE_AT_X, 0, 0, 27),
            one(IF_ANY_BIT, 0, 1, 0x08),
            one(RETURN, 0, 0, KEEP),
            one(RETURN, 0, 0, 0),
        ]
    }
}
