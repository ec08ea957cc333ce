//! Tests of the desk and of the device in front of it: what stands after a restart, what a revocation ends, what a lease bounds.

use super::*;
use crate::device::BootDevice;
use crate::dhcp::Question;
use crate::dhcp_wire;
use crate::examples::permit;
use crate::http::tests::config;
use contract::agent::{Device, Standing};
use contract::boot::Boot;
use std::time::Duration;
use vocabulary::request::{AgentError, GateEntry, Holder, Resource};
use vocabulary::{Epoch, PlanId, Span};

fn machine(n: u8) -> MachineId {
    format!("m{n}").parse().unwrap()
}

fn mac(n: u8) -> Mac {
    Mac([0x52, 0x54, 0, 0x0c, n, 1])
}

async fn granted(desk: &Desk, permit: &Permit) {
    desk.heard().await;
    desk.grant(permit).await.unwrap();
}

/// A client's packet.
fn packet_of(n: u8, transaction: u32, kind: u8, own: [u8; 4], ipxe: bool) -> Vec<u8> {
    let mut packet = vec![1, 1, 6, 0];
    packet.extend(transaction.to_be_bytes());
    packet.resize(12, 0);
    packet.extend(own);
    packet.resize(28, 0);
    packet.extend(mac(n).0);
    packet.resize(236, 0);
    packet.extend([99, 130, 83, 99, 53, 1, kind]);
    if ipxe {
        packet.extend(*b"\x4d\x04iPXE");
    }
    packet.push(255);
    packet
}

/// The boot file or message kind that DHCP answers; `None` is silence.
fn asked(desk: &Desk, n: u8, transaction: u32, kind: u8, own: [u8; 4], ipxe: bool) -> Option<Vec<u8>> {
    let packet = packet_of(n, transaction, kind, own, ipxe);
    let reply = dhcp_wire::reply(desk, &dhcp_wire::site(desk.config()), &Question::parse(&packet)?)?;
    Some(reply.bytes)
}

fn boots(desk: &Desk, n: u8) -> bool {
    asked(desk, n, rand::random(), 1, [0; 4], true).is_some()
}

#[tokio::test]
async fn a_packet_that_says_it_was_relayed_gets_silence_and_voids_no_token() {
    let folder = tempfile::tempdir().unwrap();
    let desk = Desk::open(config(folder.path())).unwrap();
    let permit = permit(1, "web1", 5);
    granted(&desk, &permit).await;
    let token = desk.token_of_boot(&permit, 1).unwrap().expose();
    let mut packet = packet_of(1, 2, 1, [0; 4], true);
    packet[24..28].copy_from_slice(&[10, 99, 0, 1]);
    let question = Question::parse(&packet).unwrap();
    assert!(dhcp_wire::reply(&desk, &dhcp_wire::site(desk.config()), &question).is_none());
    let from = "10.10.0.11".parse().unwrap();
    assert!(matches!(desk.visit(&token, from), Visit::Open(..)), "the token of the machine's own boot stands");
}

#[tokio::test]
async fn permits_survive_a_restart_and_revocations_too() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let (first, second) = (permit(1, "web1", 5), permit(2, "web2", 6));
    let token = {
        let desk = Desk::open(config.clone()).unwrap();
        granted(&desk, &first).await;
        granted(&desk, &second).await;
        desk.revoke(&second.machine).await.unwrap();
        desk.token_of_boot(&first, 1).unwrap().expose()
    };
    let desk = Desk::open(config).unwrap();
    assert_eq!(desk.live(&machine(1)).as_deref(), Some(&first), "no controller was heard since, and none is needed");
    assert!(boots(&desk, 1) && !boots(&desk, 2));
    assert!(matches!(desk.caller(mac(2)), Caller::Barred(m) if m == machine(2)), "revoked, and still known");
    assert!(matches!(desk.visit(&token, "10.10.0.11".parse().unwrap()), Visit::Stranger), "tokens do not survive");
}

#[tokio::test]
async fn a_lease_that_ran_out_boots_nothing_but_lets_the_running_server_keep_its_address() {
    let folder = tempfile::tempdir().unwrap();
    let desk = Desk::open(config(folder.path())).unwrap();
    let mut short = permit(1, "web1", 5);
    short.lease = Span::ms(200);
    granted(&desk, &short).await;
    let token = desk.token_of_boot(&short, 1).unwrap().expose();
    let from = "10.10.0.11".parse().unwrap();
    assert!(matches!(desk.visit(&token, from), Visit::Open(..)) && boots(&desk, 1) && desk.bearer_at(from).is_some());
    let token = desk.token_of_boot(&short, 1).unwrap().expose();
    tokio::time::sleep(Duration::from_millis(250)).await;
    assert!(!boots(&desk, 1));
    assert!(matches!(desk.visit(&token, from), Visit::Stranger) && desk.bearer_at(from).is_none());
    assert!(desk.use_up(BootToken::parse(&token).unwrap(), BootMethod::Kernel).is_none());
    assert!(asked(&desk, 1, 9, 3, [10, 10, 0, 11], false).is_some(), "RENEW");
    desk.heard().await;
    assert!(boots(&desk, 1), "a controller is heard again");
    desk.revoke(&machine(1)).await.unwrap();
    assert!(asked(&desk, 1, 9, 3, [10, 10, 0, 11], false).is_none(), "revoked: not even a renewal");
}

#[tokio::test]
async fn a_server_boots_on_one_machine_alone() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let desk = Desk::open(config.clone()).unwrap();
    granted(&desk, &permit(1, "web1", 5)).await;
    granted(&desk, &permit(3, "web1", 7)).await;
    assert!(!boots(&desk, 1) && boots(&desk, 3));
    let late = desk.grant(&permit(1, "web1", 6)).await.unwrap_err().to_string();
    assert!(late.contains("F1204") && late.contains("m3"), "{late}");
    assert!(!boots(&desk, 1) && boots(&desk, 3), "a refused grant changes nothing");
    drop(desk);
    let desk = Desk::open(config).unwrap();
    assert!(!boots(&desk, 1) && boots(&desk, 3), "durably");
}

#[tokio::test]
async fn a_grant_that_cannot_be_served_is_refused_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let desk = Desk::open(config(folder.path())).unwrap();
    granted(&desk, &permit(1, "web1", 5)).await;
    let mut same_address = permit(2, "web2", 6);
    same_address.nics.values_mut().for_each(|nic| nic.address = "10.10.0.11/24".parse().ok());
    let mut same_mac = permit(2, "web2", 6);
    same_mac.nics.values_mut().for_each(|nic| nic.mac = mac(1));
    let mut no_image = permit(2, "web2", 6);
    no_image.image = "absent".parse().unwrap();
    for (bad, why) in [(same_address, "m1 holds"), (same_mac, "m1 holds"), (no_image, "image absent is not complete")] {
        let told = desk.grant(&bad).await.unwrap_err().to_string();
        assert!(told.contains(why), "{told}");
        assert!(boots(&desk, 1) && !boots(&desk, 2));
    }
}

#[tokio::test]
async fn a_repeated_grant_keeps_the_boot_under_way_and_a_new_one_ends_it() {
    let folder = tempfile::tempdir().unwrap();
    let desk = Desk::open(config(folder.path())).unwrap();
    let (given, from) = (permit(1, "web1", 5), "10.10.0.11".parse().unwrap());
    granted(&desk, &given).await;
    let token = desk.token_of_boot(&given, 1).unwrap().expose();
    granted(&desk, &given).await;
    assert!(matches!(desk.visit(&token, from), Visit::Open(..)));
    granted(&desk, &permit(1, "web1", 6)).await;
    assert!(matches!(desk.visit(&token, from), Visit::Stranger));
    assert!(desk.token_of_boot(&given, 2).is_none(), "no token for a permit that stands no longer");
}

#[tokio::test]
async fn a_broken_disk_grants_nothing_and_silences_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let desk = Arc::new(Desk::open(config(folder.path())).unwrap());
    granted(&desk, &permit(1, "web1", 5)).await;
    std::fs::remove_dir_all(folder.path().join("state")).unwrap();
    let device = BootDevice::new(desk.clone());
    let revoked = device.revoke(&machine(1)).await;
    assert!(matches!(&revoked, Err(AgentError::Unconfirmed { reason }) if reason.contains("F1203")), "{revoked:?}");
    assert!(!boots(&desk, 1));
    let given = device.grant(&permit(2, "web2", 6)).await;
    assert!(matches!(given, Err(AgentError::Unconfirmed { .. })) && !boots(&desk, 2));
}

#[tokio::test]
async fn after_a_restart_the_gate_is_right() {
    let folder = tempfile::tempdir().unwrap();
    let desk = Arc::new(Desk::open(config(folder.path())).unwrap());
    granted(&desk, &permit(1, "web1", 5)).await;
    granted(&desk, &permit(2, "web2", 6)).await;
    let device = BootDevice::new(desk.clone());
    let holder = |p: &Permit| Holder { server: p.server.clone(), machine: p.machine.clone(), plan: p.plan };
    let entry = |n: u8, holder, barred| {
        let resource = Resource::Permit(machine(n));
        Standing {
            entry: GateEntry { resource, epoch: Epoch(9), plan: Some(PlanId(Epoch(9))), holder, barred, done: Some(0) },
            action: None,
        }
    };
    let known = [entry(1, Some(holder(&permit(1, "web1", 5))), None), entry(2, Some(holder(&permit(2, "web2", 6))), None)];
    device.restore(&known).await.unwrap();
    assert!(boots(&desk, 1) && boots(&desk, 2));
    let barred = [entry(1, Some(holder(&permit(1, "web1", 5))), Some(Epoch(9))), entry(2, None, None)];
    device.restore(&barred).await.unwrap();
    assert!(!boots(&desk, 1) && !boots(&desk, 2), "the gate wrote the bar before the crash");
    assert!(device.owns(&Resource::Permit(machine(1))) && !device.owns(&Resource::Machine(machine(1))));
}

#[tokio::test]
async fn while_withheld_everybody_gets_silence() {
    let folder = tempfile::tempdir().unwrap();
    let desk = Desk::open(config(folder.path())).unwrap();
    granted(&desk, &permit(1, "web1", 5)).await;
    desk.withhold(true);
    assert!(!boots(&desk, 1) && desk.bearer_at("10.10.0.11".parse().unwrap()).is_none());
    assert!(desk.token_of_boot(&permit(1, "web1", 5), 3).is_none());
    assert!(desk.granted(&machine(1)).is_some(), "a right that comes back by itself is none that was taken");
    desk.withhold(false);
    assert!(boots(&desk, 1));
}
