//! A tap device: in these tests the provisioning network, with the test (or QEMU) as the machine at its other end.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

/// A tap and, while this lives, its other end.
pub struct Tap {
    file: File,
}

fn named(name: &str) -> libc::ifreq {
    // SAFETY: `ifreq` is a plain C struct of integers; all zeros is a valid value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    request
}

fn control(fd: i32, what: libc::c_ulong, request: &mut libc::ifreq) {
    // SAFETY: `request` is a valid `ifreq` that outlives the call, which is what each of these requests reads.
    let answer = unsafe { libc::ioctl(fd, what as _, std::ptr::from_mut(request)) };
    assert_eq!(answer, 0, "ioctl {what:#x}: {}", std::io::Error::last_os_error());
}

/// Gives an interface an IPv4 address and brings it up.
pub fn up(name: &str, address: Ipv4Addr, mask: Ipv4Addr) {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    for (what, ip) in [(libc::SIOCSIFADDR, address), (libc::SIOCSIFNETMASK, mask)] {
        let mut request = named(name);
        let [a, b, c, d] = ip.octets().map(|octet| octet as libc::c_char);
        request.ifr_ifru.ifru_addr =
            libc::sockaddr { sa_family: libc::AF_INET as u16, sa_data: [0, 0, a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0] };
        control(socket.as_raw_fd(), what as _, &mut request);
    }
    let mut request = named(name);
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    control(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &mut request);
}

impl Tap {
    /// Makes a tap with that address on the host's side. `keep` leaves it there when this is dropped, for QEMU to take.
    pub fn make(name: &str, address: Ipv4Addr, keep: bool) -> Tap {
        let file = OpenOptions::new().read(true).write(true).open("/dev/net/tun").expect("/dev/net/tun can be opened");
        let mut request = named(name);
        request.ifr_ifru.ifru_flags = (libc::IFF_TAP | libc::IFF_NO_PI) as libc::c_short;
        control(file.as_raw_fd(), libc::TUNSETIFF as _, &mut request);
        if keep {
            // SAFETY: TUNSETPERSIST takes an integer and no pointer.
            let answer = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETPERSIST as _, 1) };
            assert_eq!(answer, 0);
        }
        up(name, address, Ipv4Addr::new(255, 255, 255, 0));
        Tap { file }
    }

    /// Sends a frame to the host.
    pub fn send(&self, frame: &[u8]) {
        (&self.file).write_all(frame).unwrap();
    }

    /// The first frame within `patience` for which `wanted` finds something.
    pub fn await_frame<T>(&self, patience: Duration, mut wanted: impl FnMut(&[u8]) -> Option<T>) -> Option<T> {
        let start = Instant::now();
        let mut buffer = [0u8; 2048];
        while let Some(left) = patience.checked_sub(start.elapsed()) {
            let mut poll = libc::pollfd { fd: self.file.as_raw_fd(), events: libc::POLLIN, revents: 0 };
            // SAFETY: one valid `pollfd`, which outlives the call.
            if unsafe { libc::poll(&raw mut poll, 1, left.as_millis() as i32) } == 1 {
                let length = (&self.file).read(&mut buffer).unwrap();
                if let Some(found) = wanted(&buffer[..length]) {
                    return Some(found);
                }
            }
        }
        None
    }
}
