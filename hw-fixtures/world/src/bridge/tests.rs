//! Tests of the bridge: it forwards as the kernel's does, forgets as a switch does, and its notes and calls fare as they are told to.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

const EVERYBODY: Address = [0xff; 6];
const A: Address = [0x52, 0x54, 0, 0, 0, 1];
const B: Address = [0x52, 0x54, 0, 0, 0, 2];

fn switch() -> Bridge {
    let startup = [
        ("p1".to_owned(), Setting::access(10)),
        ("p2".to_owned(), Setting::access(10)),
        ("p3".to_owned(), Setting::access(20)),
        ("up".to_owned(), Setting::trunk(&[10, 20, 99])),
    ];
    Bridge::start(startup.into(), Dice::of(1, "bridge"))
}

fn paused(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(test);
}

fn out(bridge: &Bridge, from: &str, tag: Option<u16>, source: Address, destination: Address) -> Vec<(String, Option<u16>)> {
    bridge.forward(from, tag, source, destination).into_iter().map(|leaving| (leaving.port, leaving.tag)).collect()
}

fn pairs(all: &[(&str, Option<u16>)]) -> Vec<(String, Option<u16>)> {
    all.iter().map(|(port, tag)| ((*port).to_owned(), *tag)).collect()
}

#[test]
fn frames_stay_in_their_vlan() {
    paused(async {
        let bridge = switch();
        assert_eq!(out(&bridge, "p1", None, A, EVERYBODY), pairs(&[("p2", None), ("up", Some(10))]));
        assert_eq!(out(&bridge, "p1", Some(20), A, EVERYBODY), pairs(&[]), "a tag of a VLAN that the port is no member of");
        assert_eq!(out(&bridge, "p1", Some(10), A, EVERYBODY), pairs(&[("p2", None), ("up", Some(10))]), "its own tag is taken");
        assert_eq!(out(&bridge, "up", Some(20), B, EVERYBODY), pairs(&[("p3", None)]));
        assert_eq!(out(&bridge, "up", None, B, EVERYBODY), pairs(&[]), "no VLAN for frames without a tag");
        assert_eq!(out(&bridge, "p2", None, B, A), pairs(&[("p1", None)]), "a learnt address is not flooded");
        assert_eq!(out(&bridge, "p3", None, B, A), pairs(&[("up", Some(20))]), "what is learnt is learnt in its VLAN");
        bridge.plug("p1", false);
        assert_eq!(out(&bridge, "p2", None, B, A), pairs(&[("up", Some(10))]), "a port without carrier forgets");
        assert_eq!(out(&bridge, "p1", None, A, EVERYBODY), pairs(&[]));
        assert_eq!(bridge.frames("p1"), (3, 1));
    });
}

#[test]
fn without_filtering_it_is_one_wire() {
    paused(async {
        let bridge = switch();
        bridge.filter_by_hand(false);
        assert_eq!(out(&bridge, "p1", Some(7), A, EVERYBODY), pairs(&[("p2", Some(7)), ("p3", Some(7)), ("up", Some(7))]));
        bridge.filter_by_hand(true);
        bridge.attach_by_hand("p1", false);
        assert_eq!(out(&bridge, "p1", None, A, EVERYBODY), pairs(&[]), "a port outside the bridge");
    });
}

#[test]
fn a_new_pvid_leaves_the_old_vlan_an_untagged_member() {
    paused(async {
        let bridge = switch();
        let talk = bridge.converse().unwrap();
        let p1 = talk.interface("p1").await.unwrap().index;
        talk.change(Call::Join(p1, vec![(20, 20, Membership::NATIVE)])).await.unwrap();
        let old = Membership { pvid: false, untagged: true };
        assert_eq!(talk.vlans(p1).await.unwrap(), [(10, old), (20, Membership::NATIVE)].into());
        assert_eq!(
            out(&bridge, "p2", None, B, EVERYBODY),
            pairs(&[("p1", None), ("up", Some(10))]),
            "it still hears the old VLAN"
        );
        assert_eq!(out(&bridge, "p1", None, A, EVERYBODY), pairs(&[("p3", None), ("up", Some(20))]));
        talk.change(Call::Leave(p1, vec![(10, 10), (300, 310)])).await.unwrap();
        assert_eq!(out(&bridge, "p2", None, B, EVERYBODY), pairs(&[("up", Some(10))]), "deleting what is not there is no error");
        for odd in [(0, 0), (4095, 4095), (9, 8)] {
            assert_eq!(talk.change(Call::Join(p1, vec![(odd.0, odd.1, Membership::TAGGED)])).await, Err(Error::Invalid));
        }
        assert_eq!(talk.change(Call::Join(p1, vec![(30, 31, Membership::NATIVE)])).await, Err(Error::Invalid));
        assert_eq!(talk.change(Call::Mtu(p1, 20_000)).await, Err(Error::Invalid));
        assert_eq!(talk.interface("nowhere").await, Err(Error::NoDevice));
    });
}

#[test]
fn a_reboot_knows_nothing_of_what_was_set() {
    paused(async {
        let bridge = switch();
        let mut notes = bridge.listen().unwrap();
        let talk = bridge.converse().unwrap();
        let p1 = talk.interface("p1").await.unwrap().index;
        talk.change(Call::Join(p1, vec![(20, 20, Membership::NATIVE)])).await.unwrap();
        assert_eq!(notes.next().await, Some(Note::Changed("p1".to_owned())));
        bridge.reboot(Duration::from_secs(30));
        assert_eq!(out(&bridge, "p1", None, A, EVERYBODY), pairs(&[]));
        assert_eq!(notes.next().await, None);
        assert!(bridge.converse().is_err() && bridge.listen().is_err());
        tokio::time::sleep(Duration::from_secs(30)).await;
        assert_eq!(bridge.running("p1"), Some(Setting::access(10)));
        assert_eq!(talk.vlans(p1).await, Err(Error::Gone), "a conversation does not outlive the switch");
        bridge.push_by_hand(&[("p1".to_owned(), Setting::access(77))].into(), true);
        bridge.reboot(Duration::ZERO);
        assert_eq!(bridge.running("p1"), Some(Setting::access(77)));
        assert_eq!(bridge.running("p2"), Some(Setting::default()), "a push names every port or resets it");
    });
}

#[test]
fn calls_fare_as_they_are_told_to() {
    paused(async {
        let bridge = switch();
        let talk = bridge.converse().unwrap();
        let p1 = talk.interface("p1").await.unwrap().index;
        let both = || Call::Join(p1, vec![(30, 30, Membership::TAGGED), (40, 40, Membership::TAGGED)]);
        let joined = |bridge: &Bridge| bridge.running("p1").unwrap().vlans.into_keys().collect::<BTreeSet<_>>();
        bridge.order([Trouble::Fails(1)]);
        assert_eq!(talk.change(both()).await, Err(Error::NoMemory));
        assert_eq!(joined(&bridge), [10, 30].into(), "a part was done");
        let second = Duration::from_secs(1);
        bridge.order([Trouble::Hangs(true), Trouble::Late(3 * second)]);
        assert!(tokio::time::timeout(second, talk.change(both())).await.is_err());
        assert_eq!(joined(&bridge), [10, 30, 40].into(), "done, and never answered");
        let leave = Call::Leave(p1, vec![(30, 30)]);
        assert!(tokio::time::timeout(second, talk.change(leave)).await.is_err());
        assert_eq!(joined(&bridge), [10, 30, 40].into());
        tokio::time::sleep(2 * second).await;
        assert_eq!(joined(&bridge), [10, 40].into(), "done although nobody waited any more");
        assert!(bridge.disturbed("p2") >= now() - second);
    });
}

#[test]
fn notes_may_be_lost_late_or_too_many() {
    paused(async {
        let bridge = switch();
        let mut notes = bridge.listen().unwrap();
        bridge.weather(Weather { notes_lost: 1_000_000, ..Weather::default() });
        bridge.add_by_hand("p1", 30, Membership::TAGGED);
        assert!(tokio::time::timeout(Duration::from_secs(9), notes.next()).await.is_err());
        bridge.weather(Weather { notes_late_most: Duration::from_secs(3), ..Weather::default() });
        let begun = now();
        bridge.add_by_hand("p2", 30, Membership::TAGGED);
        assert_eq!(notes.next().await, Some(Note::Changed("p2".to_owned())));
        assert!(now() - begun <= Duration::from_secs(3));
        bridge.weather(Weather::default());
        for _ in 0..2 * crate::limits::NOTES_MAX {
            bridge.add_by_hand("p2", 30, Membership::TAGGED);
        }
        assert_eq!(notes.next().await, Some(Note::Missed));
    });
}

proptest! {
    /// Whatever is configured, a frame only leaves where its VLAN is, with the tag that the port has for it.
    #[test]
    fn vlans_are_apart(
        joins in prop::collection::vec((0usize..4, 1u16..6, any::<bool>(), any::<bool>()), 0..20),
        from in 0usize..4,
        tag in prop::option::of(0u16..6),
    ) {
        paused(async move {
            let bridge = switch();
            let names = bridge.ports();
            names.iter().for_each(|name| bridge.set_by_hand(name, &Setting { up: true, ..Setting::default() }));
            for (port, vlan, pvid, untagged) in joins {
                bridge.add_by_hand(&names[port], vlan, Membership { pvid, untagged });
            }
            for leaving in bridge.forward(&names[from], tag, A, EVERYBODY) {
                let (entrance, exit) = (bridge.running(&names[from]).unwrap(), bridge.running(&leaving.port).unwrap());
                assert!(leaving.port != names[from]);
                assert!(entrance.vlans.contains_key(&leaving.vlan), "it came in where its VLAN is");
                let untagged = exit.vlans.get(&leaving.vlan).expect("it leaves where its VLAN is").untagged;
                assert_eq!(leaving.tag, (!untagged).then_some(leaving.vlan));
                if tag.is_none_or(|tag| tag == 0) {
                    assert!(entrance.vlans[&leaving.vlan].pvid);
                }
            }
        });
    }
}
