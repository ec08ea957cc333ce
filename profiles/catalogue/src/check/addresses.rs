//! Every address belongs to one (F0015), and the controller needs nothing that it manages (F0022): a controller that waits for a
//! dead server's address could never bring that server back.

use super::{Desk, field, item};
use crate::codes;
use crate::documents::Kind;
use crate::places::Word;
use crate::read::Step;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use vocabulary::network::Cidr;
use vocabulary::{ServerId, VlanId};

pub fn check(desk: &mut Desk<'_>) {
    let owners = servers(desk);
    portals(desk, &owners);
    subnets(desk);
    loops(desk, &owners);
}

type Owners<'a> = BTreeMap<IpAddr, (&'a ServerId, usize)>;

fn servers<'a>(desk: &mut Desk<'a>) -> Owners<'a> {
    let estate = desk.estate;
    let mut owners: Owners<'a> = BTreeMap::new();
    for (name, server) in &estate.servers {
        for (index, network) in server.networks.iter().enumerate() {
            let Some(cidr) = network.address else { continue };
            let path = item("networks", index, "address");
            if let Some(why) = unusable(cidr) {
                let message = format!("{cidr} cannot be a server's address: it is {why}");
                let word = Word::error(codes::ADDRESS, message, "write the server's own address with its network's prefix");
                desk.tell(Kind::Server, name.as_str(), &path, word);
                continue;
            }
            if let Some((other, first)) = owners.insert(cidr.address, (name, index)) {
                let at = desk.line_of(Kind::Server, other.as_str(), &item("networks", first, "address"));
                let message = format!("address {} is {other}'s already ({at})", cidr.address);
                let word =
                    Word::error(codes::ADDRESS, message, "give each server, and each of its networks, an address of its own");
                desk.tell(Kind::Server, name.as_str(), &path, word);
            }
        }
    }
    owners
}

fn unusable(cidr: Cidr) -> Option<&'static str> {
    let (bits, width) = number(cidr.address);
    let host = width - u32::from(cidr.prefix);
    let mask = if host == 0 { 0 } else { u128::MAX >> (128 - host) };
    if cidr.address.is_unspecified() {
        Some("no address")
    } else if cidr.address.is_loopback() {
        Some("a loopback address")
    } else if cidr.address.is_multicast() {
        Some("a multicast address")
    } else if host >= 2 && bits & mask == 0 {
        Some("the address of the network itself")
    } else if host >= 2 && cidr.address.is_ipv4() && bits & mask == mask {
        Some("the network's broadcast address")
    } else {
        None
    }
}

/// An address as a number, and how many bits it has.
fn number(address: IpAddr) -> (u128, u32) {
    match address {
        IpAddr::V4(v4) => (u128::from(v4.to_bits()), 32),
        IpAddr::V6(v6) => (v6.to_bits(), 128),
    }
}

/// The first and last address of a network.
fn range(cidr: Cidr) -> (u128, u128) {
    let (bits, width) = number(cidr.address);
    let host = width - u32::from(cidr.prefix);
    let mask = if host == 0 { 0 } else { u128::MAX >> (128 - host) };
    (bits & !mask, bits | mask)
}

fn portals(desk: &mut Desk<'_>, owners: &Owners<'_>) {
    let estate = desk.estate;
    for (name, storage) in &estate.storages {
        for (volume, paths) in &storage.volumes {
            for (index, path) in paths.paths.iter().enumerate() {
                let Some((server, _)) = owners.get(&path.portal.ip()) else { continue };
                let message = format!("portal {} has {server}'s address", path.portal);
                let word = Word::error(codes::ADDRESS, message, "write the address at which the storage target listens");
                let path = [field("volumes"), field(volume.as_str()), field("paths"), Step::Item(index), field("portal")];
                desk.tell(Kind::Storage, name.as_str(), &path, word);
            }
        }
    }
}

fn overlap(a: Cidr, b: Cidr) -> bool {
    let ((a_start, a_end), (b_start, b_end)) = (range(a), range(b));
    a.address.is_ipv4() == b.address.is_ipv4() && a_start <= b_end && b_start <= a_end
}

/// Networks of one server that overlap: it would not know through which NIC to answer.
fn subnets_of_one(desk: &mut Desk<'_>) -> BTreeSet<ServerId> {
    let estate = desk.estate;
    let mut told = BTreeSet::new();
    for (name, server) in &estate.servers {
        for (index, network) in server.networks.iter().enumerate() {
            let Some(cidr) = network.address else { continue };
            let earlier = server.networks.iter().take(index);
            let twin = earlier.filter_map(|other| Some((other, other.address?))).find(|(_, other)| overlap(*other, cidr));
            let Some((other, other_cidr)) = twin.filter(|(_, other)| other.address != cidr.address) else { continue };
            let message = format!("{cidr} overlaps {other_cidr}, the address of {name}'s {} network", other.role);
            let word = Word::error(codes::ADDRESS, message, "write networks that do not overlap for the NICs of one server");
            desk.tell(Kind::Server, name.as_str(), &item("networks", index, "address"), word);
            told.insert(name.clone());
        }
    }
    told
}

/// A network, and where an address in it was written first.
#[derive(Clone, Copy)]
struct Subnet<'a> {
    vlan: VlanId,
    cidr: Cidr,
    server: &'a ServerId,
    index: usize,
}

/// Every distinct network of the estate, by its beginning: thousands of servers share a few. What is told elsewhere is left out:
/// servers at odds with themselves, and networks in a VLAN of Understudy's own.
fn distinct<'a>(desk: &Desk<'a>, told: &BTreeSet<ServerId>) -> Vec<Subnet<'a>> {
    let estate = desk.estate;
    let vlans = &estate.settings.vlans;
    let special = [vlans.quarantine, vlans.parking, vlans.patrol];
    let mut known = BTreeMap::new();
    for (server, document) in estate.servers.iter().filter(|(server, _)| !told.contains(*server)) {
        for (index, network) in document.networks.iter().enumerate() {
            let Some(cidr) = network.address.filter(|cidr| unusable(*cidr).is_none()) else { continue };
            if !special.contains(&network.vlan) {
                let key = (cidr.address.is_ipv4(), range(cidr).0, cidr.prefix, network.vlan);
                known.entry(key).or_insert(Subnet { vlan: network.vlan, cidr, server, index });
            }
        }
    }
    known.into_values().collect()
}

/// Pairs of networks that overlap, each with the one that reaches farthest of those before it. The list is sorted.
fn overlapping<'a>(sorted: impl Iterator<Item = Subnet<'a>>) -> Vec<(Subnet<'a>, Subnet<'a>)> {
    let mut farthest: Option<Subnet<'a>> = None;
    let mut pairs = Vec::new();
    for subnet in sorted {
        let before = farthest.filter(|before| overlap(before.cidr, subnet.cidr));
        pairs.extend(before.map(|before| (before, subnet)));
        let farther = |before: Subnet<'a>| {
            before.cidr.address.is_ipv4() != subnet.cidr.address.is_ipv4() || range(subnet.cidr).1 > range(before.cidr).1
        };
        if farthest.is_none_or(farther) {
            farthest = Some(subnet);
        }
    }
    pairs
}

/// Networks that overlap: in one VLAN only equal ones may, in two VLANs none should.
fn subnets(desk: &mut Desk<'_>) {
    let told = subnets_of_one(desk);
    let all = distinct(desk, &told);
    let vlans: BTreeSet<VlanId> = all.iter().map(|subnet| subnet.vlan).collect();
    let within = vlans.iter().flat_map(|vlan| overlapping(all.iter().copied().filter(|subnet| subnet.vlan == *vlan)));
    let across = overlapping(all.iter().copied()).into_iter().filter(|(one, other)| one.vlan != other.vlan);
    for (one, other) in within.chain(across) {
        let at = desk.line_of(Kind::Server, one.server.as_str(), &item("networks", one.index, "address"));
        let message = format!(
            "network of {} in VLAN {} overlaps the one of {} in VLAN {} ({}, {at})",
            other.cidr, other.vlan, one.cidr, one.vlan, one.server
        );
        let word = if one.vlan == other.vlan {
            Word::error(codes::ADDRESS, message, "write one prefix for all addresses of a VLAN")
        } else {
            let remedy = "if the two VLANs are really apart (routed in separate tables), leave it; else correct one address";
            Word::warning(codes::ADDRESS, message, remedy)
        };
        desk.tell(Kind::Server, other.server.as_str(), &item("networks", other.index, "address"), word);
    }
}

fn loops(desk: &mut Desk<'_>, owners: &Owners<'_>) {
    let estate = desk.estate;
    for (index, server) in estate.settings.depends_on.iter().enumerate() {
        let message = format!("the controller depends on {server}, a server that it manages");
        let word = Word::error(codes::LOOP, message, "move what the controller needs to a place that Understudy does not manage");
        desk.tell_settings(&[field("depends_on"), Step::Item(index)], word);
    }
    for (index, canary) in estate.settings.guard.canaries.iter().enumerate() {
        if let Some(word) = managed(owners, *canary, "canary") {
            desk.tell_settings(&[field("guard"), field("canaries"), Step::Item(index)], word);
        }
    }
    for (name, switch) in &estate.switches {
        if let Some(word) = managed(owners, switch.agent, "agent") {
            desk.tell(Kind::Switch, name.as_str(), &[field("agent")], word);
        }
    }
    for (name, storage) in &estate.storages {
        if let Some(word) = managed(owners, storage.agent, "agent") {
            desk.tell(Kind::Storage, name.as_str(), &[field("agent")], word);
        }
    }
    for (name, service) in &estate.boot_services {
        if let Some(word) = managed(owners, service.agent, "agent") {
            desk.tell(Kind::Boot, name.as_str(), &[field("agent")], word);
        }
    }
    for (name, machine) in &estate.machines {
        if let Some(word) = managed(owners, machine.bmc.address, "BMC") {
            desk.tell(Kind::Machine, name.as_str(), &[field("bmc"), field("address")], word);
        }
    }
}

fn managed(owners: &Owners<'_>, address: SocketAddr, what: &str) -> Option<Word> {
    let (server, _) = owners.get(&address.ip())?;
    let message = format!("the {what} at {address} has the address of {server}, a server that Understudy manages");
    Some(Word::error(
        codes::LOOP,
        message,
        "what the controller needs must not go away with a server: give it an address of its own",
    ))
}
