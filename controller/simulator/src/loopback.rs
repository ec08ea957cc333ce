//! A hall that is met on loopback addresses of this machine: where everything is, and the documents that say so. All of it lies in one block
//! 127.B.0.0/16, so that several halls stand side by side. It must never name an address outside of its block.

use crate::hall::Hall;
use crate::limits::MACHINES_MAX;
use std::net::{Ipv4Addr, SocketAddr};
use vocabulary::check::{Check, HttpCheck};
use vocabulary::estate::{BmcProtocol, Estate, Group, Pool, SecretReference};
use vocabulary::{MachineId, ServerId, Span};

/// Of so many machines one is a spare.
const A_SPARE_IN: usize = 10;
/// Servers of a group, and machines of a rack.
const TOGETHER: u16 = 20;
/// Spares of a pool.
const POOL: usize = 25;
/// For each so many machines everything is looked at a second less often.
const MACHINES_A_SECOND: u64 = 200;
/// The estate's `fencing.settle`.
const SETTLE: Span = Span::seconds(1);
/// How long a check of a service may take. Most services of a hall are off, and each of their checks takes so long at its agent, of whose
/// connection it is one of 256 streams.
const CHECK_DEADLINE: Span = Span::ms(750);

const REDFISH: u16 = 8443;
const IPMI: u16 = 8623;
const AGENT: u16 = 7443;
const SERVICE: u16 = 8080;
const CANARY: u16 = 7080;

/// A block of loopback addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Block(pub u8);

impl Block {
    fn at(self, quarter: u8, number: u16, port: u16) -> SocketAddr {
        let [high, low] = number.to_be_bytes();
        SocketAddr::from((Ipv4Addr::new(127, self.0, quarter.saturating_add(high), low), port))
    }

    fn bmc(self, number: u16, protocol: BmcProtocol) -> SocketAddr {
        let port = if protocol == BmcProtocol::Ipmi { IPMI } else { REDFISH };
        self.at(0, number, port)
    }

    /// Where the service of this server is met.
    pub fn service(self, number: u16) -> SocketAddr {
        self.at(64, number, SERVICE)
    }

    /// Where the canary answers; whoever listens there has the block.
    pub fn canary(self) -> SocketAddr {
        self.at(255, 1, CANARY)
    }

    fn agent(self, number: u16) -> SocketAddr {
        self.at(255, number, AGENT)
    }
}

/// A hall of so many machines, two at least: most bear a server, half of them are spoken to over IPMI.
pub fn hall(machines: usize) -> Hall {
    let machines = machines.clamp(2, MACHINES_MAX);
    let spares = machines.div_ceil(A_SPARE_IN);
    let over_ipmi = (0..machines).map(|place| place % 2 == 1).collect();
    Hall { over_ipmi, ..Hall::with(machines - spares, spares) }
}

/// The documents of this hall in this block. `None` never happens, since all names in it are well formed.
pub fn estate(hall: &Hall, block: Block) -> Option<Estate> {
    let mut estate = hall.estate()?;
    settings(&mut estate, block);
    estate.switches.values_mut().for_each(|switch| switch.agent = block.agent(1));
    estate.storages.values_mut().for_each(|storage| storage.agent = block.agent(2));
    estate.boot_services.values_mut().for_each(|boot| boot.agent = block.agent(3));
    let machines = u16::try_from(hall.machines()).ok()?;
    let racks = machines.div_ceil(TOGETHER);
    for number in 1..=machines {
        let name: MachineId = format!("m{number}").parse().ok()?;
        let machine = estate.machines.get_mut(&name)?;
        machine.bmc.address = block.bmc(number, machine.bmc.protocol);
        machine.bmc.password = SecretReference("file:secrets/bmc".to_owned());
        // a group stands spread over the racks, as it should: what befalls a rack befalls few of its servers
        let rack = (number - 1) % racks + 1;
        (machine.rack, machine.feeds) = (format!("r{rack}").parse().ok()?, vec![format!("f{rack}").parse().ok()?]);
    }
    let pools = pools(&mut estate)?;
    groups(&mut estate, hall, block, pools)?;
    Some(estate)
}

fn settings(estate: &mut Estate, block: Block) {
    let settings = &mut estate.settings;
    let machines = u64::try_from(estate.machines.len()).unwrap_or(u64::MAX);
    let every = Span::seconds(machines.div_ceil(MACHINES_A_SECOND).max(1));
    (settings.detection.power_every, settings.detection.check_every) = (every, every);
    settings.detection.off_window = Span::ms(every.0.max(2_000));
    settings.detection.hung_window = Span::ms(every.0 * 6);
    settings.detection.boot_time = Span::seconds(30);
    settings.fencing.settle = SETTLE;
    // nobody looks on for ten minutes
    settings.guard.site_window = settings.guard.window;
    settings.guard.canaries = vec![block.canary()];
}

/// Puts the spares into pools; says how many.
fn pools(estate: &mut Estate) -> Option<u16> {
    let spares: Vec<_> = estate.pools.values().flat_map(|pool| pool.machines.clone()).collect();
    estate.pools.clear();
    for (number, machines) in (1u16..).zip(spares.chunks(POOL)) {
        estate.pools.insert(format!("spares{number}").parse().ok()?, Pool { machines: machines.to_vec() });
    }
    u16::try_from(estate.pools.len()).ok()
}

/// Puts the servers into groups, gives each group a pool, and says where their services are met.
fn groups(estate: &mut Estate, hall: &Hall, block: Block, pools: u16) -> Option<()> {
    let template: Group = estate.groups.values().next()?.clone();
    estate.groups.clear();
    for number in 1..=u16::try_from(hall.bearing).ok()? {
        let name: ServerId = format!("web{number}").parse().ok()?;
        let server = estate.servers.get_mut(&name)?;
        let group = number.div_ceil(TOGETHER);
        server.group = format!("web-group{group}").parse().ok()?;
        server.pool = format!("spares{}", (group - 1) % pools.max(1) + 1).parse().ok()?;
        let url = format!("http://{}/healthz", block.service(number));
        server.checks = vec![Check::Http(HttpCheck { url, status: 200, contains: None, deadline: CHECK_DEADLINE })];
        estate.groups.entry(server.group.clone()).or_insert_with(|| template.clone());
    }
    Some(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_thousand_machines_share_no_address_and_the_controller_accepts_them() {
        let estate = estate(&hall(1_000), Block(77)).unwrap();
        assert_eq!((estate.machines.len(), estate.servers.len(), estate.pools.len()), (1_000, 900, 4));
        let bmcs: BTreeSet<_> = estate.machines.values().map(|machine| machine.bmc.address).collect();
        let macs: BTreeSet<_> = estate.machines.values().flat_map(|machine| &machine.nics).map(|nic| nic.mac.0).collect();
        assert_eq!((bmcs.len(), macs.len()), (1_000, 3_000));
        assert!(bmcs.iter().all(|bmc| matches!(bmc.ip(), std::net::IpAddr::V4(ip) if ip.octets()[..2] == [127, 77])));
        let over_ipmi = estate.machines.values().filter(|machine| machine.bmc.protocol == BmcProtocol::Ipmi).count();
        assert_eq!(over_ipmi, 500);
        assert!(pipeline::reload::accept(&pipeline::ledger::Ledger::default(), &estate).is_ok());
        let folder = tempfile::tempdir().unwrap();
        crate::served::write_documents(&estate, folder.path()).unwrap();
        let loaded = catalogue::load_for(folder.path(), Some(catalogue::Flavor::Lab));
        let complaints: Vec<_> = loaded.complaints.iter().take(5).map(ToString::to_string).collect();
        assert_eq!((loaded.errors(), loaded.estate.unwrap().machines), (0, estate.machines), "{complaints:#?}");
    }
}
