//! Every command with any data, against a BMC whose machine never starts. Must never need a socket.

use proptest::prelude::*;

use super::*;
use crate::bmc::quirks::{GuidOrder, Quirks};
use crate::bmc::rmcp::wire;
use crate::bmc::stand_in::any_bmc as device;
use crate::clock::now;

/// A request to the BMC itself, as a console writes it.
fn message(netfn: u8, command: u8, data: &[u8]) -> Vec<u8> {
    let sum = |bytes: &[u8]| bytes.iter().fold(0u8, |sum, byte| sum.wrapping_sub(*byte));
    let (first, second) = ([0x20, netfn << 2], [&[0x81, 1 << 2, command], data].concat());
    [&first[..], &[sum(&first)], &second, &[sum(&second)]].concat()
}

/// A request without a session.
fn asked(bmc: &Arc<Bmc>, netfn: u8, command: u8, data: &[u8]) -> Asked {
    let packet = wire::bare(&message(netfn, command, data));
    match hear(bmc, ([127, 0, 0, 1], 1).into(), &packet) {
        Heard::Asked(asked) => asked,
        other => panic!("{other:?}"),
    }
}

/// The same with the rights of an administrator.
fn answered(bmc: &Arc<Bmc>, netfn: u8, command: u8, data: &[u8]) -> (u8, Vec<u8>) {
    let mut asked = asked(bmc, netfn, command, data);
    asked.privilege = ADMINISTRATOR;
    match begin(bmc, &asked) {
        Begun::Done(code, data) => (code, data),
        other => panic!("{other:?}"),
    }
}

#[test]
fn no_command_stands_twice_in_the_table() {
    for (at, row) in TABLE.iter().enumerate() {
        let others = TABLE.iter().skip(at + 1);
        assert!(others.clone().all(|other| (other.netfn, other.command) != (row.netfn, row.command)), "{}", row.name);
        assert!(others.clone().all(|other| other.name != row.name), "{}", row.name);
    }
}

#[test]
fn each_command_asks_for_its_rights_and_an_unknown_one_is_unknown_to_everybody() {
    let bmc = device();
    for row in &TABLE {
        let mut asked = asked(&bmc, row.netfn, row.command, &[]);
        asked.privilege = row.needs.saturating_sub(1);
        if row.needs > NOBODY {
            assert_eq!(begin(&bmc, &asked), Begun::Done(code::RIGHTS, Vec::new()), "{}", row.name);
        }
    }
    let asked = asked(&bmc, CHASSIS, 0x0f, &[]);
    assert_eq!(begin(&bmc, &asked), Begun::Done(code::UNKNOWN_COMMAND, Vec::new()));
}

#[test]
fn the_repository_is_walked_in_pieces_to_its_end() {
    let bmc = device();
    let (_, info) = answered(&bmc, STORAGE, 0x20, &[]);
    let mut next = 0u16;
    let mut kinds = Vec::new();
    while next != u16::MAX {
        let [low, high] = next.to_le_bytes();
        let (code, reserved) = answered(&bmc, STORAGE, 0x22, &[]);
        let (_, head) = answered(&bmc, STORAGE, 0x23, &[0, 0, low, high, 0, 5]);
        assert_eq!((code, head.len()), (0, 7));
        let body = head[6];
        assert_eq!(answered(&bmc, STORAGE, 0x23, &[9, 9, low, high, 5, 16]).0, code::RESERVATION);
        let (code, rest) = answered(&bmc, STORAGE, 0x23, &[reserved[0], reserved[1], low, high, 5, body]);
        assert_eq!((code, rest.len()), (0, 2 + usize::from(body)));
        assert_eq!(answered(&bmc, STORAGE, 0x23, &[reserved[0], reserved[1], low, high, 5 + body, 1]).0, code::RANGE);
        kinds.push(head[5]);
        next = u16::from_le_bytes([rest[0], rest[1]]);
    }
    assert_eq!((kinds.len(), &kinds), (usize::from(info[1]), &vec![2, 1, 2, 0x11, 0x12, 1, 2, 2, 2, 1]));
    assert_eq!(answered(&bmc, STORAGE, 0x23, &[0, 0, 11, 0, 0, 255]).0, code::ABSENT);
}

#[test]
fn boot_flags_keep_their_minute_and_no_more() {
    let bmc = device();
    let flags = |bmc: &Arc<Bmc>| answered(bmc, CHASSIS, 0x09, &[5, 0, 0]).1;
    assert_eq!(answered(&bmc, CHASSIS, 0x08, &[5, 0xa0, 0x04, 0, 0, 0]).0, 0);
    assert_eq!(flags(&bmc), [1, 5, 0xa0, 0x04, 0, 0, 0]);
    bmc.state().boot.expires = Some(now());
    assert_eq!(flags(&bmc)[2..4], [0x20, 0x00]);
    assert_eq!(answered(&bmc, CHASSIS, 0x08, &[3, 0x08]).0, 0);
    assert_eq!(answered(&bmc, CHASSIS, 0x08, &[5, 0xe0, 0x08, 0, 0, 0]).0, 0);
    assert!(bmc.state().boot.expires.is_none());
    assert_eq!(flags(&bmc)[2..4], [0xe0, 0x08]);
    assert_eq!(answered(&bmc, CHASSIS, 0x08, &[5, 0x80, 0x30, 0, 0, 0]).0, code::FIELD);
    assert_eq!(answered(&bmc, CHASSIS, 0x08, &[7, 1]).0, 0x80);
}

#[test]
fn the_guid_follows_its_quirks() {
    let own = "00112233-4455-6677-8899-aabbccddeeff";
    let told = |order| app::guid(own, &Quirks { ipmi_guid: order, ..Quirks::default() });
    assert_eq!(told(GuidOrder::Smbios)[..8], [0x33, 0x22, 0x11, 0x00, 0x55, 0x44, 0x77, 0x66]);
    assert_eq!(told(GuidOrder::Text)[..3], [0x00, 0x11, 0x22]);
    assert_eq!(told(GuidOrder::Reversed)[..3], [0xff, 0xee, 0xdd]);
    assert_eq!(told(GuidOrder::Unknown), [0; 16]);
    assert_eq!(app::guid("no uuid", &Quirks::default()), [0; 16]);
}

proptest! {
    #[test]
    fn every_command_takes_any_data(netfn in 0u8..0x20, command: u8, row in 0usize..TABLE.len(), data in proptest::collection::vec(any::<u8>(), 0..24)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let _inside = runtime.enter();
        let bmc = device();
        let known = &TABLE[row];
        for (netfn, command) in [(netfn * 2, command), (known.netfn, known.command)] {
            let mut asked = asked(&bmc, netfn, command, &data);
            asked.privilege = ADMINISTRATOR;
            if let Begun::Done(code, data) = begin(&bmc, &asked) {
                prop_assert!(code == 0 || data.is_empty());
                prop_assert!(seal(&bmc, &asked, code, &data).is_some_and(|packet| packet.len() <= wire::PACKET_MAX));
            }
        }
    }
}
