//! The few system calls that no safe wrapper offers: the boot clock, and the address of a raw Ethernet frame. Nothing else may be unsafe
//! in this crate.

use crate::error::BootError;
use socket2::{Domain, Protocol, SockAddr, SockAddrStorage, Socket, Type};
use std::io;
use vocabulary::{Mac, WallTime};

/// Milliseconds since the host booted, suspend included. Never steps, whoever sets the wall clock.
pub fn boottime_ms() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is a valid, writable timespec that outlives the call; CLOCK_BOOTTIME exists since Linux 2.6.39.
    let answer = unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut now) };
    if answer != 0 {
        // cannot happen on Linux; the far future makes every lease look run out, which is silence
        return u64::MAX;
    }
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    seconds.saturating_mul(1000).saturating_add(u64::try_from(now.tv_nsec).unwrap_or(0) / 1_000_000)
}

/// Wall-clock milliseconds since 1970.
pub fn wall_ms() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(0))
}

/// Wall-clock time for records.
pub fn wall() -> WallTime {
    WallTime(wall_ms())
}

/// The kernel's random name of this boot of the host.
pub fn host_boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|text| text.trim().to_owned()).unwrap_or_default()
}

/// A socket that sends IPv4 packets in Ethernet frames of our own address and receives nothing.
pub fn frame_socket(interface: &str) -> Result<(Socket, u32), BootError> {
    let fault = |source: io::Error| BootError::Socket { what: "raw Ethernet", interface: interface.to_owned(), source };
    let index = interface_index(interface)?;
    // protocol 0: the kernel queues no received frame on it
    let socket = Socket::new(Domain::PACKET, Type::DGRAM, Some(Protocol::from(0))).map_err(fault)?;
    socket.set_nonblocking(true).map_err(fault)?;
    Ok((socket, index))
}

/// The kernel's number of an interface.
pub fn interface_index(interface: &str) -> Result<u32, BootError> {
    nix::net::if_::if_nametoindex(interface).map_err(|errno| BootError::Socket {
        what: "lookup",
        interface: interface.to_owned(),
        source: io::Error::from(errno),
    })
}

/// The link-layer address of an IPv4 frame on that interface.
pub fn frame_address(interface: u32, to: Mac) -> SockAddr {
    let mut storage = SockAddrStorage::zeroed();
    let [a, b, c, d, e, f] = to.0;
    // SAFETY: `sockaddr_ll` is one of the platform's `sockaddr_*` types and fits the zeroed storage; all its fields are set below.
    let link = unsafe { storage.view_as::<libc::sockaddr_ll>() };
    *link = libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as u16,
        sll_protocol: (libc::ETH_P_IP as u16).to_be(),
        sll_ifindex: i32::try_from(interface).unwrap_or(0),
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 6,
        sll_addr: [a, b, c, d, e, f, 0, 0],
    };
    let length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    // SAFETY: the storage was initialised as `sockaddr_ll` just above, and the length is that type's.
    unsafe { SockAddr::new(storage, length) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_boot_clock_runs_and_the_host_names_its_boot() {
        let first = boottime_ms();
        std::thread::sleep(std::time::Duration::from_millis(20));
        let second = boottime_ms();
        assert!(second >= first + 15 && second < first + 10_000, "{first} {second}");
        assert_eq!(host_boot_id().len(), 36);
        assert!(wall_ms() > 1_700_000_000_000);
    }

    #[test]
    fn an_absent_interface_is_a_fault_that_names_it() {
        let fault = interface_index("nothere0").unwrap_err().to_string();
        assert!(fault.contains("F1202") && fault.contains("nothere0"), "{fault}");
    }
}
