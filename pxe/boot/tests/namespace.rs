//! The real service, as a process with its real ports, in a namespace of its own; the test plays machine (frames on a tap) and controller
//! (the real wire).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod common;

use common::tap::{Tap, up};
use common::{Controller, Service, in_namespace, permit, placeholder_files};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;
use vocabulary::Epoch;
use vocabulary::boot::{BootMethod, BootStep, Permit};
use vocabulary::request::{Action, AgentError, Answer, Resource};

const PATIENCE: Duration = Duration::from_secs(5);
/// Long enough for an answer that would come, short enough to wait for one that must not.
const SILENCE: Duration = Duration::from_millis(500);
const OURS: Ipv4Addr = Ipv4Addr::new(10, 10, 0, 1);

fn frame(to: [u8; 6], machine: u8, kind: u16, payload: &[u8]) -> Vec<u8> {
    [&to[..], &[0x52, 0x54, 0, 0x0c, machine, 1], &kind.to_be_bytes(), payload].concat()
}

fn sum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = bytes.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)]))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// An iPXE client's DISCOVER (1) or REQUEST (3) in a broadcast frame.
fn dhcp(machine: u8, kind: u8, transaction: u32, options: &[u8]) -> Vec<u8> {
    let mut message = vec![1, 1, 6, 0];
    message.extend(transaction.to_be_bytes());
    message.resize(28, 0);
    message.extend([0x52, 0x54, 0, 0x0c, machine, 1]);
    message.resize(236, 0);
    message.extend([99, 130, 83, 99, 53, 1, kind, 77, 4]);
    message.extend(b"iPXE");
    message.extend(options);
    message.push(255);
    let length = message.len() as u16;
    let mut packet = vec![0x45, 0];
    packet.extend((length + 28).to_be_bytes());
    packet.extend([0, 0, 0, 0, 64, 17, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255]);
    let check = sum(&packet).to_be_bytes();
    packet[10..12].copy_from_slice(&check);
    packet.extend([0, 68, 0, 67]);
    packet.extend((length + 8).to_be_bytes());
    packet.extend([0, 0]);
    packet.extend(message);
    frame([255; 6], machine, 0x0800, &packet)
}

/// The kind and the boot file of a DHCP answer to that transaction, if the frame is one. The frame must be addressed as RFC 2131 says.
fn offered(frame: &[u8], machine: u8, transaction: u32) -> Option<(u8, String)> {
    let udp = frame.get(34..)?;
    let is_dhcp = frame[12..14] == [8, 0] && frame[23] == 17 && udp[..4] == [0, 67, 0, 68];
    if !is_dhcp || udp[12..16] != transaction.to_be_bytes() {
        return None;
    }
    assert_eq!(frame[..6], [0x52, 0x54, 0, 0x0c, machine, 1], "to the client itself: it did not ask for a broadcast");
    assert_eq!((&frame[26..30], &frame[30..34]), (&OURS.octets()[..], &[10, 10, 0, 11][..]));
    assert_eq!(sum(&frame[14..34]), 0, "IPv4 checksum");
    let message = &udp[8..];
    assert_eq!(message[16..20], [10, 10, 0, 11], "the permit's address");
    let file = message[108..236].split(|byte| *byte == 0).next().unwrap();
    Some((kind_of(&message[240..]), String::from_utf8(file.to_vec()).unwrap()))
}

/// The DHCP message type among the options.
fn kind_of(mut options: &[u8]) -> u8 {
    while options[0] != 53 {
        options = &options[2 + usize::from(options[1])..];
    }
    options[2]
}

fn discover(tap: &Tap, machine: u8, transaction: u32, patience: Duration) -> Option<String> {
    tap.send(&dhcp(machine, 1, transaction, &[]));
    let (kind, url) = tap.await_frame(patience, |frame| offered(frame, machine, transaction))?;
    assert_eq!(kind, 2, "OFFER");
    Some(url)
}

fn token_of(url: &str) -> &str {
    url.strip_prefix("http://10.10.0.1/").and_then(|rest| rest.strip_suffix("/boot.ipxe")).expect(url)
}

/// Sends router solicitations as iPXE does until one is answered: the interface's own address takes a second or two to come up.
fn router_answers(tap: &Tap) -> bool {
    let near: std::net::Ipv6Addr = "fe80::5054:ff:fe0c:101".parse().unwrap();
    let all_routers: std::net::Ipv6Addr = "ff02::2".parse().unwrap();
    let mut icmp = vec![133, 0, 0, 0, 0, 0, 0, 0];
    let pseudo = [&near.octets()[..], &all_routers.octets(), &[0, 0, 0, 8, 0, 0, 0, 58], &icmp].concat();
    let check = sum(&pseudo).to_be_bytes();
    icmp[2..4].copy_from_slice(&check);
    let packet = [&[0x60, 0, 0, 0, 0, 8, 58, 255][..], &near.octets(), &all_routers.octets(), &icmp].concat();
    tap.send(&frame([0x33, 0x33, 0, 0, 0, 2], 1, 0x86dd, &packet));
    tap.await_frame(PATIENCE, |seen| {
        let ipv6 = seen[12..14] == [0x86, 0xdd] && seen.len() >= 62 && seen[20] == 58;
        if ipv6 && seen[54] == 135 && seen[62..78] == near.octets() {
            tap.send(&neighbour_advertisement(seen, near));
        }
        (ipv6 && seen[54] == 134 && seen[21] == 255).then(|| assert_eq!(seen[60..62], [0, 0], "lifetime 0"))
    })
    .is_some()
}

/// The kernel asks for our link-layer address before it sends us anything.
fn neighbour_advertisement(solicitation: &[u8], near: std::net::Ipv6Addr) -> Vec<u8> {
    let to: [u8; 16] = solicitation[22..38].try_into().unwrap();
    let mut icmp = vec![136, 0, 0, 0, 0x60, 0, 0, 0];
    icmp.extend(near.octets());
    icmp.extend([2, 1, 0x52, 0x54, 0, 0x0c, 1, 1]);
    let pseudo = [&near.octets()[..], &to, &[0, 0, 0, 32, 0, 0, 0, 58], &icmp].concat();
    let check = sum(&pseudo).to_be_bytes();
    icmp[2..4].copy_from_slice(&check);
    let packet = [&[0x60, 0, 0, 0, 0, 32, 58, 255][..], &near.octets(), &to, &icmp].concat();
    frame(solicitation[6..12].try_into().unwrap(), 1, 0x86dd, &packet)
}

/// One namespace with the network, the controller and what the service needs.
struct Rig {
    folder: tempfile::TempDir,
    tap: Tap,
    controller: Controller,
    runtime: tokio::runtime::Runtime,
    ipxe: PathBuf,
    images: PathBuf,
}

impl Rig {
    fn make() -> Rig {
        let folder = tempfile::tempdir().unwrap();
        let (ipxe, images) = placeholder_files(folder.path());
        up("lo", Ipv4Addr::LOCALHOST, Ipv4Addr::new(255, 0, 0, 0));
        let tap = Tap::make("prov", OURS, false);
        let controller = Controller::enrol(folder.path());
        Rig { tap, controller, runtime: tokio::runtime::Runtime::new().unwrap(), ipxe, images, folder }
    }

    fn start(&self) -> Service {
        Service::start(self.folder.path(), &self.ipxe, &self.images, "")
    }

    fn ready(&self) {
        self.runtime.block_on(self.controller.ready());
    }

    fn grant(&mut self, permit: &Permit) -> Result<Answer, AgentError> {
        self.runtime.block_on(self.controller.grant(permit))
    }

    fn act(&mut self, epoch: u64, action: Action) -> Result<Answer, AgentError> {
        self.runtime.block_on(self.controller.act(epoch, action))
    }

    /// The URL that machine `n` is offered, if it comes within the patience.
    fn discover(&self, machine: u8, transaction: u32, patience: Duration) -> Option<String> {
        discover(&self.tap, machine, transaction, patience)
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("boot.log")).unwrap()
    }
}

#[test]
fn a_permitted_boot_is_answered_and_nobody_else() {
    if !in_namespace("a_permitted_boot_is_answered_and_nobody_else") {
        return;
    }
    let mut rig = Rig::make();
    let _service = rig.start();
    rig.ready();
    assert!(router_answers(&rig.tap), "iPXE would wait 15 s");
    assert_eq!(rig.discover(1, 1, SILENCE), None, "no permit");
    rig.grant(&permit(1, 5, BootMethod::Kernel)).unwrap();
    let url = rig.discover(1, 2, PATIENCE).expect("an offer");
    assert_eq!(rig.discover(1, 2, PATIENCE).as_deref(), Some(url.as_str()), "a retransmission");
    rig.tap.send(&dhcp(1, 3, 2, &[54, 4, 10, 10, 0, 1, 50, 4, 10, 10, 0, 11]));
    let acknowledged = rig.tap.await_frame(PATIENCE, |frame| offered(frame, 1, 2).filter(|(kind, _)| *kind == 5));
    assert_eq!(acknowledged, Some((5, url.clone())), "the ACK names the same token");
    assert_eq!(rig.discover(3, 3, SILENCE), None, "a known machine without permit");
    assert_eq!(rig.discover(7, 4, SILENCE), None, "a stranger");
    let contacts = rig.runtime.block_on(rig.controller.contacts(0));
    let seen: Vec<_> = contacts.iter().map(|c| (c.machine.as_str(), c.step, c.epoch)).collect();
    assert_eq!(seen.first(), Some(&("m1", BootStep::Dhcp, Some(Epoch(5)))), "{seen:?}");
    assert_eq!(seen.last(), Some(&("m3", BootStep::Dhcp, None)), "{seen:?}");
    let log = rig.log();
    assert!(
        log.contains("permit granted") && !log.contains("chapsecret") && !log.contains(token_of(&url)),
        "no secret, no token"
    );
}

#[test]
fn a_permit_survives_a_crash_and_ends_with_its_revocation() {
    if !in_namespace("a_permit_survives_a_crash_and_ends_with_its_revocation") {
        return;
    }
    let mut rig = Rig::make();
    let service = rig.start();
    rig.ready();
    let given = permit(1, 5, BootMethod::Kernel);
    rig.grant(&given).unwrap();
    let url = rig.discover(1, 1, PATIENCE).expect("an offer");
    service.kill();
    assert_eq!(rig.discover(1, 2, SILENCE), None, "nobody there");
    let service = rig.start();
    // no controller says anything: servers boot while it is down, once it was waited for
    let again = (100..200).find_map(|n| rig.discover(1, n, SILENCE)).expect("the permit stands after a crash");
    assert_ne!(token_of(&url), token_of(&again), "a new boot, a new token");

    rig.ready();
    rig.act(6, Action::RevokePermit { machine: given.machine.clone() }).unwrap();
    assert_eq!(rig.runtime.block_on(rig.controller.reading(&given.machine)).standing, None);
    assert_eq!(rig.discover(1, 3, SILENCE), None, "revoked");
    let refused = rig.grant(&permit(1, 7, BootMethod::Kernel));
    assert!(matches!(refused, Err(AgentError::Refused { .. })), "barred: {refused:?}");
    service.kill();
    let _service = rig.start();
    rig.ready();
    assert_eq!(rig.discover(1, 4, SILENCE), None, "revoked for good");

    // on another machine, and after a release on the first again
    rig.grant(&permit(3, 8, BootMethod::Kernel)).unwrap();
    assert!(rig.discover(3, 5, PATIENCE).is_some());
    rig.act(9, Action::LiftBar { resources: vec![Resource::Permit(given.machine.clone())] }).unwrap();
    rig.grant(&permit(1, 9, BootMethod::Kernel)).unwrap();
    assert!(rig.discover(1, 6, PATIENCE).is_some());
    assert_eq!(rig.discover(3, 7, SILENCE), None, "one machine a server");
}

#[test]
fn without_the_gates_memory_nobody_boots_until_it_is_readopted() {
    if !in_namespace("without_the_gates_memory_nobody_boots_until_it_is_readopted") {
        return;
    }
    let mut rig = Rig::make();
    let service = rig.start();
    rig.ready();
    rig.grant(&permit(1, 5, BootMethod::Kernel)).unwrap();
    assert!(rig.discover(1, 1, PATIENCE).is_some());
    let entries = rig.runtime.block_on(rig.controller.hello()).entries;
    service.kill();
    std::fs::remove_file(rig.folder.path().join("state/gate.json")).unwrap();
    let _service = rig.start();
    rig.ready();
    assert!(!rig.runtime.block_on(rig.controller.hello()).trusted);
    assert_eq!(rig.discover(1, 2, SILENCE), None, "nobody knows whether this permit is the latest");
    assert!(rig.runtime.block_on(rig.controller.readopt(entries)).trusted);
    assert!((100..120).any(|n| rig.discover(1, n, SILENCE).is_some()), "the ledger names this permit: it is served again");
}
