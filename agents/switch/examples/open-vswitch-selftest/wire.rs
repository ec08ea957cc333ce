//! The other end of a port's cable: frames as a machine would send and hear them.

use nix::net::if_::if_nametoindex;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::io::{Read, Write};

/// Every protocol, as the kernel wants it said.
const ALL: u16 = 0x0003_u16.to_be();
/// A protocol for experiments.
const OURS: [u8; 2] = [0x88, 0xb5];
const FRAME_BYTES: usize = 64;

/// One end.
pub struct Wire {
    socket: Socket,
    mac: [u8; 6],
}

impl Wire {
    /// The end at this interface, of a machine with this number.
    pub fn open(interface: &str, machine: u8) -> std::io::Result<Wire> {
        let index = i32::try_from(if_nametoindex(interface)?).unwrap_or(i32::MAX);
        let socket = Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(i32::from(ALL))))?;
        socket.set_nonblocking(true)?;
        // SAFETY: a `sockaddr_ll` fits into a `sockaddr_storage`, all of which is zero, and its length is said.
        let ((), address) = unsafe {
            SockAddr::try_init(|storage, length| {
                let address = storage.cast::<nix::libc::sockaddr_ll>();
                (*address).sll_family = nix::libc::AF_PACKET.unsigned_abs() as u16;
                (*address).sll_protocol = ALL;
                (*address).sll_ifindex = index;
                *length = u32::try_from(size_of::<nix::libc::sockaddr_ll>()).unwrap_or(0);
                Ok(())
            })?
        };
        socket.bind(&address)?;
        Ok(Wire { socket, mac: [2, 0, 0, 0, 0, machine] })
    }

    /// Sends one frame to everybody, with this number in it; in a VLAN, or without a tag.
    pub fn send(&self, vlan: Option<u16>, number: u32) {
        let mut frame = vec![0xff; 6];
        frame.extend(self.mac);
        if let Some(vlan) = vlan {
            frame.extend([0x81, 0x00]);
            frame.extend(vlan.to_be_bytes());
        }
        frame.extend(OURS);
        frame.extend(number.to_be_bytes());
        frame.resize(FRAME_BYTES, 0);
        // a port that is down takes none: then nobody hears it either
        let _ = (&self.socket).write(&frame);
    }

    /// The numbers of the frames of another machine that have come since.
    pub fn heard(&self) -> Vec<u32> {
        let mut numbers = Vec::new();
        let mut frame = [0; 2048];
        while let Ok(length) = (&self.socket).read(&mut frame) {
            let bytes = frame.get(..length).unwrap_or_default();
            let (Some(source), Some(at)) = (bytes.get(6..12), bytes.windows(2).position(|two| two == OURS)) else { continue };
            let number = bytes.get(at + 2..at + 6).and_then(|number| number.try_into().ok());
            if source != self.mac {
                numbers.extend(number.map(u32::from_be_bytes));
            }
        }
        numbers
    }
}
