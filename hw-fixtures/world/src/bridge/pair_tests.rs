//! Tests of a pair: frames reach a machine with two NICs once, whichever cable is left, and never past what each switch is set to.

use super::pair::{Bond, Bonding, Pair, Side};
use super::*;

const EVERYBODY: Address = [0xff; 6];
const A: Address = [0x52, 0x54, 0, 0, 0, 1];
const B: Address = [0x52, 0x54, 0, 0, 0, 2];
const C: Address = [0x52, 0x54, 0, 0, 0, 3];

fn paused(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(test);
}

/// Each switch has a port `host` in VLAN 10, the link, and the channel `po1` with the member `m1-a` or `m1-b`.
fn pair() -> (Pair, Bond) {
    let ports = ["m1-a".to_owned(), "m1-b".to_owned()];
    let switch = |name: &str, member: &String| {
        let startup = [
            ("host".to_owned(), Setting::access(10)),
            ("link".to_owned(), Setting::trunk(&[10, 20])),
            ("po1".to_owned(), Setting::access(10)),
            (member.clone(), Setting { up: true, ..Setting::default() }),
        ];
        let bridge = Bridge::start(startup.into(), Dice::of(1, name));
        assert!(bridge.bundle("po1", &[member]) && !bridge.bundle("po1", &[member]) && !bridge.bundle("host", &["nothing"]));
        bridge
    };
    let [one, two] = &ports;
    (Pair::new(switch("sw1", one), switch("sw2", two), "link"), Bond { ports, bonding: Bonding::Lacp })
}

fn left(all: Vec<(Side, Leaving)>) -> Vec<(Side, String)> {
    let mut all: Vec<(Side, String)> = all.into_iter().map(|(side, leaving)| (side, leaving.port)).collect();
    all.sort();
    all
}

fn at(all: &[(Side, &str)]) -> Vec<(Side, String)> {
    all.iter().map(|(side, port)| (*side, (*port).to_owned())).collect()
}

#[test]
fn a_machine_at_both_switches_hears_a_frame_once() {
    paused(async {
        let (pair, bond) = pair();
        let flood = pair.forward(Side::One, "host", None, (B, EVERYBODY));
        assert_eq!(pair.heard(&bond, &flood), 1, "its leg here, and not its leg there");
        assert_eq!(left(flood), at(&[(Side::One, "m1-a"), (Side::Two, "host")]));
        assert_eq!((pair.sends_by(&bond, (A, B)), pair.sends_by(&bond, (A, C))), (Some(Side::Two), Some(Side::One)));
        assert_eq!(left(pair.send(&bond, None, (A, EVERYBODY))), at(&[(Side::One, "host"), (Side::Two, "host")]));
        // both switches know it behind their own legs by now
        for side in [Side::One, Side::Two] {
            let leg = if side == Side::One { "m1-a" } else { "m1-b" };
            assert_eq!(left(pair.forward(side, "host", None, (B, A))), at(&[(side, leg)]));
        }
    });
}

#[test]
fn one_leg_is_enough_and_a_member_is_no_way_past_its_channel() {
    paused(async {
        let (pair, bond) = pair();
        pair.send(&bond, None, (A, EVERYBODY));
        pair.side(Side::One).plug("m1-a", false);
        assert!(!pair.side(Side::One).shows_link("m1-a") && !pair.side(Side::One).forwards("m1-a", 10));
        assert_eq!(pair.sends_by(&bond, (A, C)), Some(Side::Two));
        let over = pair.forward(Side::One, "host", None, (C, A));
        assert_eq!((pair.heard(&bond, &over), pair.side(Side::Two).forwards("m1-b", 10)), (1, true), "over the link");
        assert!(left(over).contains(&(Side::Two, "m1-b".to_owned())));
        pair.side(Side::Two).plug("m1-b", false);
        assert_eq!((pair.send(&bond, None, (A, C)), pair.sends_by(&bond, (A, C))), (Vec::new(), None));
        pair.side(Side::One).plug("m1-a", true);
        assert_eq!(pair.heard(&bond, &pair.forward(Side::Two, "host", None, (C, A))), 1);
        // the member is up and has its cable; what forwards is the channel
        let talk = pair.side(Side::One).converse().unwrap();
        let (channel, member) = (talk.interface("po1").await.unwrap(), talk.interface("m1-a").await.unwrap());
        assert_eq!((channel.carrier, member.carrier, member.controller), (true, true, None));
        assert_eq!(talk.change(Call::Join(member.index, vec![(20, 20, Membership::NATIVE)])).await, Err(Error::Invalid));
        talk.change(Call::Put(channel.index, false)).await.unwrap();
        assert_eq!(pair.heard(&bond, &pair.forward(Side::Two, "host", None, (C, A))), 0, "a channel that is shut");
        assert_eq!(pair.send(&bond, None, (A, C)), Vec::new(), "the machine sees its link and sends in vain");
    });
}

#[test]
fn of_an_active_backup_bond_only_the_active_leg_hears() {
    paused(async {
        let startup = |name: &str| [(name.to_owned(), Setting::access(10)), ("link".to_owned(), Setting::trunk(&[10]))];
        let (one, two) = (startup("m1-a"), startup("m1-b"));
        let pair =
            Pair::new(Bridge::start(one.into(), Dice::of(1, "sw1")), Bridge::start(two.into(), Dice::of(1, "sw2")), "link");
        let bond = Bond { ports: ["m1-a".into(), "m1-b".into()], bonding: Bonding::ActiveBackup(Side::Two) };
        assert_eq!(left(pair.send(&bond, None, (A, EVERYBODY))), at(&[(Side::One, "m1-a")]), "its other NIC hears, and drops it");
        assert_eq!(pair.heard(&bond, &pair.send(&bond, None, (A, EVERYBODY))), 0);
        pair.side(Side::Two).reboot(Duration::from_secs(30));
        assert_eq!(pair.sends_by(&bond, (A, B)), Some(Side::One), "a switch that is away shows no link");
        tokio::time::sleep(Duration::from_secs(30)).await;
        assert_eq!(pair.sends_by(&bond, (A, B)), Some(Side::Two));
    });
}

#[test]
fn a_commit_can_hold_on_one_switch_and_not_on_the_other() {
    paused(async {
        let (pair, bond) = pair();
        let quarantine = Setting::access(20);
        pair.side(Side::Two).order([Trouble::Fails(0)]);
        assert_eq!(pair.commit("po1", &quarantine).await, [Ok(()), Err(Error::NoMemory)]);
        assert!(!pair.side(Side::One).forwards("m1-a", 10) && pair.side(Side::Two).forwards("m1-b", 10));
        let heard = |from: Side| pair.heard(&bond, &pair.forward(from, "host", None, (B, EVERYBODY)));
        assert_eq!((heard(Side::One), heard(Side::Two)), (1, 1), "what was cut off on one switch is reached by the other");
        pair.plug_link(false);
        assert_eq!((heard(Side::One), heard(Side::Two)), (0, 1), "each switch for itself");
        pair.plug_link(true);
        // refused in the middle: the new VLAN is there, the old one still is too
        let talk = pair.side(Side::Two).converse().unwrap();
        let po1 = talk.interface("po1").await.unwrap().index;
        talk.change(Call::Join(po1, vec![(20, 20, Membership::NATIVE)])).await.unwrap();
        assert_eq!(heard(Side::Two), 1, "the old VLAN's frames leave there still");
        assert_eq!(pair.commit("po1", &quarantine).await, [Ok(()), Ok(())]);
        assert_eq!((heard(Side::One), heard(Side::Two)), (0, 0));
        pair.side(Side::One).reboot(Duration::from_secs(1));
        assert_eq!(pair.commit("po1", &quarantine).await, [Err(Error::Gone), Ok(())]);
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!((heard(Side::One), heard(Side::Two)), (1, 1), "a start-up configuration without the commit");
    });
}
