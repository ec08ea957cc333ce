//! Who sends more than anybody asked for, until the one socket that all BMCs share drowns in it: from there on the kernel drops that
//! sender's packets before they take a place in the socket's buffer, for a while.
//! Must never count an answer that was waited for, and never keep more of a sender than a bounded list.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use socket2::{SockFilter, SockRef};
use tokio::net::UdpSocket;

use crate::limits;

// Classic BPF, Linux's Documentation/networking/filter.rst. For a UDP socket the packet begins at its UDP header; what is loaded from
// NETWORK on begins at the IP header.
const LOAD_WORD: u16 = 0x20;
const LOAD_HALF: u16 = 0x28;
const JUMP_IF_EQUAL: u16 = 0x15;
const RETURN: u16 = 0x06;
const NETWORK: u32 = 0xfff0_0000;
const SOURCE_FOUR: u32 = NETWORK + 12;
const SOURCE_SIX: u32 = NETWORK + 8;
const SOURCE_PORT: u32 = 0;
const DROP: u32 = 0;
const TAKE: u32 = u32::MAX;

/// Who is loud, and who was too loud.
#[derive(Debug, Default)]
pub struct Noise {
    /// Packets that nobody waited for, by sender, since `since`.
    counts: HashMap<SocketAddr, u32>,
    since: Option<Instant>,
    /// Senders that are not listened to, each until then; the one that was found first in front.
    unheard: Vec<(SocketAddr, Instant)>,
}

impl Noise {
    /// Notes a packet that nobody waited for. True if its sender is not to be listened to from now on.
    pub fn unwanted(&mut self, from: SocketAddr, now: Instant) -> bool {
        if self.since.is_none_or(|since| now.saturating_duration_since(since) >= limits::IPMI_NOISE_WINDOW) {
            self.counts.clear();
            self.since = Some(now);
        }
        if self.counts.len() >= limits::IPMI_NOISE_SENDERS_MAX && !self.counts.contains_key(&from) {
            return false;
        }
        let count = self.counts.entry(from).or_default();
        *count = count.saturating_add(1);
        // packets that lay in the buffer already come still
        if *count <= limits::IPMI_NOISE_MAX || self.unheard.iter().any(|(sender, _)| *sender == from) {
            return false;
        }
        if self.unheard.len() >= limits::IPMI_UNHEARD_MAX {
            self.unheard.remove(0);
        }
        self.unheard.push((from, now + limits::IPMI_UNHEARD));
        true
    }

    /// Lets go of those whose time is over; true if there was one.
    pub fn expired(&mut self, now: Instant) -> bool {
        let before = self.unheard.len();
        self.unheard.retain(|(_, until)| now < *until);
        before != self.unheard.len()
    }

    /// Those who are not listened to at the moment.
    pub fn unheard(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.unheard.iter().map(|(sender, _)| *sender)
    }

    /// Makes the kernel drop what they send to this socket, and nothing else.
    pub fn apply(&self, socket: &UdpSocket) -> io::Result<()> {
        let program = self.program();
        if program.len() == 1 { SockRef::from(socket).detach_filter() } else { SockRef::from(socket).attach_filter(&program) }
    }

    /// For each of them: is it this address, and this port? Then it is dropped. None of the loads lies beyond the shortest packet, of either
    /// family: the kernel would drop what is too short for one.
    fn program(&self) -> Vec<SockFilter> {
        let op = SockFilter::new;
        let mut program = Vec::new();
        for (sender, _) in &self.unheard {
            let words: Vec<(u32, u32)> = match sender.ip() {
                IpAddr::V4(ip) => vec![(SOURCE_FOUR, u32::from(ip))],
                IpAddr::V6(ip) => {
                    let whole = u128::from(ip);
                    let word = |n: u32| u32::try_from((whole >> (96 - 32 * n)) & u128::from(u32::MAX)).unwrap_or_default();
                    (0..4).map(|n| (SOURCE_SIX + 4 * n, word(n))).collect()
                }
            };
            let checks = words.into_iter().map(|(at, word)| (LOAD_WORD, at, word));
            let checks: Vec<_> = checks.chain([(LOAD_HALF, SOURCE_PORT, u32::from(sender.port()))]).collect();
            for (done, (load, at, value)) in checks.iter().enumerate() {
                // past the checks that are left, two operations each, and the return; at most nine
                let past = u8::try_from(2 * (checks.len() - done - 1) + 1).unwrap_or(u8::MAX);
                program.extend([op(*load, 0, 0, *at), op(JUMP_IF_EQUAL, 0, past, *value)]);
            }
            program.push(op(RETURN, 0, 0, DROP));
        }
        program.push(op(RETURN, 0, 0, TAKE));
        program
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn sender(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    /// So many packets at once; true if one of them was one too many.
    fn sends(noise: &mut Noise, from: SocketAddr, packets: u32, now: Instant) -> bool {
        (0..packets).fold(false, |loud, _| noise.unwanted(from, now) || loud)
    }

    #[test]
    fn only_who_sends_too_much_within_the_window_is_not_listened_to_and_only_for_a_while() {
        let (mut noise, begun) = (Noise::default(), Instant::now());
        assert!(!sends(&mut noise, sender(1), limits::IPMI_NOISE_MAX, begun));
        let next = begun + limits::IPMI_NOISE_WINDOW;
        assert!(!sends(&mut noise, sender(1), limits::IPMI_NOISE_MAX, next), "the count begins anew");
        assert!(sends(&mut noise, sender(1), 1, next) && !sends(&mut noise, sender(2), 1, next));
        assert!(!sends(&mut noise, sender(1), 1, next), "once is enough");
        let end = next + limits::IPMI_UNHEARD;
        assert!(!noise.expired(end - Duration::from_millis(1)) && noise.expired(end) && !noise.expired(end));
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let (mut noise, now) = (Noise::default(), Instant::now());
        for port in 1..=u16::MAX {
            sends(&mut noise, sender(port), 1, now);
        }
        assert_eq!(noise.counts.len(), limits::IPMI_NOISE_SENDERS_MAX);
        let loud = limits::IPMI_UNHEARD_MAX + 3;
        for n in 1..=loud {
            assert!(sends(&mut noise, sender(u16::try_from(n).unwrap()), limits::IPMI_NOISE_MAX, now));
        }
        assert_eq!(noise.unheard.len(), limits::IPMI_UNHEARD_MAX);
        assert!(noise.program().len() < 4096, "more the kernel does not take");
    }

    #[tokio::test]
    async fn the_kernel_drops_them_by_address_and_port_in_both_families_and_nobody_else() {
        for here in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(socket) = UdpSocket::bind(here).await else {
                assert!(here.starts_with('['), "{here}: only a machine without IPv6 has none of it");
                continue;
            };
            let senders = [UdpSocket::bind(here).await.unwrap(), UdpSocket::bind(here).await.unwrap()];
            let mut noise = Noise::default();
            // others on the list, before and after
            let list = [sender(9), senders[0].local_addr().unwrap(), "[2001:db8::1]:623".parse().unwrap()];
            let now = Instant::now();
            noise.unheard = list.map(|one| (one, now + limits::IPMI_UNHEARD)).into();
            let passes = async |noise: &Noise| {
                noise.apply(&socket).unwrap();
                for (n, sender) in senders.iter().enumerate() {
                    sender.send_to(&[u8::try_from(n).unwrap()], socket.local_addr().unwrap()).await.unwrap();
                }
                let mut came = Vec::new();
                let mut buffer = [0; 8];
                while let Ok(Ok(1)) = tokio::time::timeout(Duration::from_millis(100), socket.recv(&mut buffer)).await {
                    came.push(buffer[0]);
                }
                came
            };
            assert_eq!(passes(&noise).await, [1], "{here}");
            noise.expired(now + limits::IPMI_UNHEARD);
            assert_eq!(passes(&noise).await, [0, 1], "{here}");
        }
    }
}
