//! The production network: asks for every server's address all the time, and sees who answers and whose acknowledgements pass by.

use std::io;
use std::mem::MaybeUninit;
use std::net::Ipv4Addr;
use std::time::Instant;

use vocabulary::{Mac, ServerId};

use super::Shared;
use crate::frames::{acknowledgement, claims, probe};
use crate::limits::{FRAME_BYTES_MAX, PROBE_EVERY};
use crate::samples::Source;
use crate::sys::{Wire, filters, now_ns};

/// Watches the production network until its interface goes away.
pub fn watch(shared: &Shared) -> io::Result<()> {
    let sources = &shared.config.sources;
    let own = own_mac(&sources.production.name)?;
    let port = sources.acks.port();
    let wire = Wire::open(&sources.production.name, &filters::arp_or_udp(port), PROBE_EVERY)?;
    let servers: Vec<(ServerId, Ipv4Addr)> =
        shared.config.roster.servers.iter().map(|(name, server)| (name.clone(), server.address)).collect();
    let mut buffer = [MaybeUninit::uninit(); FRAME_BYTES_MAX];
    let mut probed = None;
    loop {
        if probed.is_none_or(|last: Instant| last.elapsed() >= PROBE_EVERY) {
            probed = Some(Instant::now());
            for (_, address) in &servers {
                wire.send(&probe(own, sources.production.address, *address))?;
            }
        }
        let Some(frame) = wire.next(&mut buffer)? else { continue };
        let at_ns = now_ns();
        if let Some((mac, address)) = claims(frame) {
            if mac != own
                && let Some((server, _)) = servers.iter().find(|(_, own)| *own == address)
            {
                let mut oracle = shared.lock();
                oracle.sample(Source::Production, at_ns);
                oracle.answered(server, mac, at_ns);
            }
        } else if let Some((mac, record)) = acknowledgement(frame, port) {
            shared.lock().acknowledged_by(mac, &record, at_ns);
        }
    }
}

/// The interface's MAC address, as the kernel says in this network namespace (the files of /sys may be another's).
fn own_mac(interface: &str) -> io::Result<Mac> {
    let addresses = nix::ifaddrs::getifaddrs()?.filter(|one| one.interface_name == interface);
    let mac = addresses.filter_map(|one| one.address?.as_link_addr()?.addr()).next();
    mac.map(Mac).ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("{interface} has no MAC address")))
}
