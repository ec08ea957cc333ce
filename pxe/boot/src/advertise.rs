//! IPv6 router advertisements (RFC 4861). iPXE waits 15 seconds for a router before it goes on, unless one answers: this one says at
//! once that it is there, that it routes nothing (lifetime 0), and that there is no DHCPv6 and no prefix. It changes no client's routing.

use crate::error::BootError;
use crate::limits::{ADVERTISE_EVERY, ADVERTISE_PAUSE, ADVERTISE_TRIES, ICMP_PACKET_BYTES, SOLICITATIONS_MAX};
use crate::{sockets, sys};
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6};
use std::sync::Arc;
use tokio::net::UdpSocket;
use tokio::sync::Semaphore;

/// ff02::2.
pub const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);
/// ff02::1.
pub const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const SOLICITATION: u8 = 133;
const ADVERTISEMENT: u8 = 134;

/// The advertisement: type, code, checksum (the kernel's), hop limit 64, no flags, router lifetime 0, no timers, no options.
pub const ADVERTISED: [u8; 16] = [ADVERTISEMENT, 0, 0, 0, 64, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// To whom a received ICMPv6 packet is to be answered; `None` if it is no router solicitation of a neighbour.
pub fn answer_to(packet: &[u8], from: Ipv6Addr) -> Option<Ipv6Addr> {
    let solicits = packet.len() >= 8 && packet.first() == Some(&SOLICITATION) && packet.get(1) == Some(&0);
    match from {
        _ if !solicits => None,
        // it has no address yet
        Ipv6Addr::UNSPECIFIED => Some(ALL_NODES),
        neighbour if neighbour.is_unicast_link_local() => Some(neighbour),
        _ => None,
    }
}

/// Advertises for ever.
pub async fn serve(interface: String) -> Result<(), BootError> {
    let index = sys::interface_index(&interface)?;
    let socket = Arc::new(sockets::icmp6(&interface, index, &ALL_ROUTERS)?);
    let answers = Arc::new(Semaphore::new(SOLICITATIONS_MAX));
    let mut every = tokio::time::interval(ADVERTISE_EVERY);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut buffer = [0u8; ICMP_PACKET_BYTES];
    loop {
        tokio::select! {
            _ = every.tick() => {
                if let Err(error) = advertise(&socket, ALL_NODES, index).await {
                    tracing::debug!(%error, "no router advertisement: the interface is down or has no IPv6 link-local address yet");
                }
            }
            received = socket.recv_from(&mut buffer) => {
                let Ok((length, SocketAddr::V6(from))) = received else {
                    tokio::time::sleep(ADVERTISE_PAUSE).await;
                    continue;
                };
                let Some(to) = answer_to(buffer.get(..length).unwrap_or_default(), *from.ip()) else { continue };
                let Ok(permit) = answers.clone().try_acquire_owned() else { continue };
                let socket = socket.clone();
                tokio::spawn(async move {
                    answer(&socket, to, index).await;
                    drop(permit);
                });
            }
        }
    }
}

/// Answers one solicitation; tries again for a while if the interface is not ready, since the client waits.
async fn answer(socket: &UdpSocket, to: Ipv6Addr, index: u32) {
    for _ in 0..ADVERTISE_TRIES {
        match advertise(socket, to, index).await {
            Ok(()) => {
                tracing::debug!(%to, "router solicitation answered");
                return;
            }
            Err(error) => tracing::debug!(%error, %to, "router solicitation not answered yet"),
        }
        tokio::time::sleep(ADVERTISE_PAUSE).await;
    }
    tracing::warn!(%to, "a router solicitation stayed unanswered: iPXE there waits 15 s; is IPv6 off on the provisioning interface?");
}

async fn advertise(socket: &UdpSocket, to: Ipv6Addr, index: u32) -> std::io::Result<()> {
    socket.send_to(&ADVERTISED, SocketAddrV6::new(to, 0, 0, index)).await.map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_neighbours_solicitation_is_answered() {
        let solicitation = [SOLICITATION, 0, 1, 2, 0, 0, 0, 0];
        let near: Ipv6Addr = "fe80::5054:ff:fe0c:101".parse().unwrap();
        assert_eq!(answer_to(&solicitation, near), Some(near));
        assert_eq!(answer_to(&solicitation, Ipv6Addr::UNSPECIFIED), Some(ALL_NODES));
        assert_eq!(answer_to(&solicitation, "2001:db8::1".parse().unwrap()), None);
        assert_eq!(answer_to(&solicitation[..7], near), None);
        assert_eq!(answer_to(&[], near), None);
        assert_eq!(answer_to(&ADVERTISED, near), None, "another router's advertisement");
    }

    #[test]
    fn the_advertisement_makes_nobody_route_or_ask_dhcpv6() {
        assert_eq!(ADVERTISED[5] & 0xc0, 0, "no managed and no other configuration");
        assert_eq!(ADVERTISED[6..8], [0, 0], "router lifetime 0");
    }
}
