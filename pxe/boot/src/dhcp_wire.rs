//! The DHCP socket: takes packets from the provisioning interface to the pure `dhcp`, and its answers back. It decides nothing.

use crate::desk::{Caller, Desk};
use crate::dhcp::{self, Ask, CLIENT_PORT, Destination, Question, Reply, Site};
use crate::error::BootError;
use crate::limits::{ACCEPT_PAUSE, DHCP_PACKET_BYTES};
use crate::{config, frames, sockets, sys};
use socket2::Socket;
use std::net::Ipv4Addr;
use std::sync::Arc;
use tokio::net::UdpSocket;
use vocabulary::Mac;
use vocabulary::boot::BootStep;

const EVERYBODY: Mac = Mac([255; 6]);

/// The DHCP service's sockets.
pub struct DhcpWire {
    desk: Arc<Desk>,
    site: Site,
    port: u16,
    socket: UdpSocket,
    frames: Socket,
    interface: u32,
}

impl DhcpWire {
    /// Opens the sockets.
    pub fn open(desk: Arc<Desk>) -> Result<DhcpWire, BootError> {
        let config = desk.config();
        let socket = sockets::datagrams("DHCP", &config.interface, Ipv4Addr::UNSPECIFIED, config.ports.dhcp)?;
        let (frames, interface) = sys::frame_socket(&config.interface)?;
        let (site, port) = (site(config), config.ports.dhcp);
        Ok(DhcpWire { desk, site, port, socket, frames, interface })
    }

    /// Answers for ever.
    pub async fn serve(self) -> Result<(), BootError> {
        let mut buffer = [0u8; DHCP_PACKET_BYTES];
        loop {
            let length = match self.socket.recv_from(&mut buffer).await {
                Ok((length, _)) => length,
                Err(error) => {
                    // an ICMP error for an earlier answer, or the interface is down for the moment
                    tracing::debug!(%error, "DHCP receive");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            if let Some(reply) = buffer.get(..length).and_then(|packet| answer(&self.desk, &self.site, packet))
                && let Err(error) = self.send(&reply).await
            {
                tracing::warn!(%error, to = ?reply.to, "DHCP answer not sent");
            }
        }
    }

    async fn send(&self, reply: &Reply) -> std::io::Result<()> {
        if let Destination::Datagram(to) = reply.to {
            return self.socket.send_to(&reply.bytes, to).await.map(|_| ());
        }
        let (mac, packet) =
            framed((self.site.address, self.port), reply).ok_or_else(|| std::io::Error::other("answer too long"))?;
        self.frames.send_to(&packet, &sys::frame_address(self.interface, mac)).map(|_| ())
    }
}

/// The MAC address and the IPv4 packet of an answer from this address and port to a client that does not answer ARP yet; `None` if it is
/// too long, or an ordinary datagram.
pub fn framed(from: (Ipv4Addr, u16), reply: &Reply) -> Option<(Mac, Vec<u8>)> {
    let (mac, ip) = match reply.to {
        Destination::Datagram(_) => return None,
        Destination::Frame(mac, ip) => (mac, ip),
        Destination::Broadcast => (EVERYBODY, Ipv4Addr::BROADCAST),
    };
    Some((mac, frames::datagram(from, (ip, CLIENT_PORT), &reply.bytes)?))
}

/// The answer to a packet, without a socket; `None` is silence.
pub fn answer(desk: &Desk, site: &Site, packet: &[u8]) -> Option<Reply> {
    reply(desk, site, &Question::parse(packet)?)
}

/// What this service tells everybody, from its configuration.
pub fn site(config: &config::Config) -> Site {
    let name = |path| config::file_name(path).to_owned();
    Site {
        address: config.ip(),
        router: config.router,
        lease_seconds: u32::try_from(config.address_lease.0 / 1000).unwrap_or(u32::MAX / 8),
        base_url: config.base_url(),
        bios: name(&config.ipxe.bios),
        uefi: name(&config.ipxe.uefi),
        uefi_san: name(config.ipxe.uefi_san.as_ref().unwrap_or(&config.ipxe.uefi)),
    }
}

/// Looks the asking machine up, draws its boot's token where one is due, and answers.
pub fn reply(desk: &Desk, site: &Site, question: &Question) -> Option<Reply> {
    if question.is_relayed() {
        // before a token is drawn: it would void the one of the machine's own boot
        desk.note_relayed(question.mac, question.relay);
        return None;
    }
    let permit = match desk.caller(question.mac) {
        Caller::Stranger => {
            tracing::debug!(mac = %question.mac, "DHCP from a stranger: silence");
            return None;
        }
        Caller::Barred(machine) => {
            tracing::debug!(%machine, "DHCP from a machine without permit: silence");
            desk.note_barred(&machine);
            return None;
        }
        // a running server keeps its address as long as its permit was not revoked: a renewal boots nothing
        Caller::Stale(permit) if question.ask == Ask::Renew => permit,
        Caller::Stale(permit) => {
            tracing::warn!(machine = %permit.machine, "no controller was heard within the permit's lease: silence");
            desk.note_barred(&permit.machine);
            return None;
        }
        Caller::Bearer(permit) => permit,
    };
    if question.ask == Ask::Decline {
        tracing::error!(machine = %permit.machine, "the machine says that another one uses its provisioning address");
    }
    let token = if question.wants_token() { Some(desk.token_of_boot(&permit, question.transaction)?.expose()) } else { None };
    if question.is_boot() {
        desk.note(&permit, BootStep::Dhcp);
    }
    let reply = dhcp::answer(question, &permit, site, token.as_deref());
    tracing::debug!(machine = %permit.machine, client = ?question.client, ask = ?question.ask, answered = reply.is_some(), "DHCP");
    reply
}
