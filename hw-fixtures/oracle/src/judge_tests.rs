//! Tests of the law: every part of it has a fact that turns it, and whole takeovers are judged in every order of their steps.

use super::*;
use crate::book::Book;
use crate::fact::{Exported, Observation, Seen};
use crate::for_lab;
use crate::limits::{MILLISECOND_NS, SECOND_NS};
use proptest::prelude::*;
use std::path::Path;
use vocabulary::storage::InitiatorName;

const TARGET: &str = "iqn.2026-01.lab.understudy:web1-root";
const OLD: &str = "iqn.x:web1.e5";
const NEW: &str = "iqn.x:web1.e8";

fn roster() -> Roster {
    for_lab::config(Path::new("/r"), 4).unwrap().roster
}

fn web1() -> ServerId {
    "web1".parse().unwrap()
}

fn machine(number: u8) -> MachineId {
    format!("m{number}").parse().unwrap()
}

fn power(number: u8, on: bool) -> Observation {
    Observation::Power(machine(number), on)
}

fn port(number: u8, vlan: Option<u16>) -> Observation {
    Observation::Port(format!("p{number}"), vlan.into_iter().collect())
}

fn permit(number: u8, initiator: Option<&str>) -> Observation {
    Observation::Permit(machine(number), initiator.map(|name| (web1(), InitiatorName(name.to_owned()))))
}

fn ran(number: u8) -> Observation {
    Observation::Ran(machine(number), web1())
}

fn target(admitted: &[&str], sessions: &[(u64, &str)]) -> Observation {
    let name = |name: &str| InitiatorName(name.to_owned());
    Observation::Target(
        TARGET.to_owned(),
        Exported {
            admitted: admitted.iter().map(|one| name(one)).collect(),
            open: false,
            sessions: sessions.iter().map(|(number, one)| (*number, name(one))).collect(),
        },
    )
}

/// Tells a story, a second from step to step.
fn tell(steps: &[Observation]) -> Book {
    let mut book = Book::default();
    for (place, what) in steps.iter().enumerate() {
        book.take(&roster(), Seen::exactly(u64::try_from(place).unwrap() * SECOND_NS, what.clone()));
    }
    book
}

fn now(steps: &[Observation]) -> Vec<(String, Clause)> {
    let book = tell(steps);
    let all = effective(&roster(), book.state(), &web1());
    all.into_iter().flat_map(|(actor, reasons)| reasons.into_iter().map(move |reason| (actor.clone(), reason.clause))).collect()
}

fn timeline(book: &Book, sureness: Sureness) -> Timeline {
    timelines(&roster(), book.changes(), book.hands(), sureness).remove(&web1()).unwrap()
}

/// web1 on m1, as it stands in peace.
fn peace() -> Vec<Observation> {
    let mut steps = vec![port(1, Some(10)), port(2, Some(30)), port(3, Some(20)), permit(1, Some(OLD)), power(1, true)];
    steps.extend([target(&[OLD], &[(1, OLD)]), ran(1)]);
    steps
}

#[test]
fn peace_is_one_effective_machine_by_every_part_of_the_law() {
    let m1 = |clause| ("m1".to_owned(), clause);
    assert_eq!(now(&peace()), [m1(Clause::Volume), m1(Clause::Volume), m1(Clause::Boot), m1(Clause::Running)]);
    let timeline = timeline(&tell(&peace()), Sureness::Certain);
    assert_eq!((timeline.most(0), timeline.spans.len(), timeline.overlaps.len()), (1, 1, 0));
}

#[test]
fn write_access_needs_an_admission_or_a_session() {
    let m1 = ("m1".to_owned(), Clause::Volume);
    let known = permit(1, Some(OLD));
    assert_eq!(now(&[known.clone(), target(&[OLD], &[])]), std::slice::from_ref(&m1), "admitted alone");
    assert_eq!(
        now(&[known.clone(), target(&[], &[(1, OLD)])]),
        std::slice::from_ref(&m1),
        "in session alone: the ACL is no fence"
    );
    assert_eq!(now(&[known.clone(), target(&[], &[(1, OLD)]), power(1, false)]), [m1], "a dead machine's session is one");
    assert_eq!(now(&[known.clone(), target(&[], &[])]), []);
    assert_eq!(now(&[known, target(&[NEW], &[])]), [], "nobody knows this name yet");
}

#[test]
fn who_knows_a_name_has_what_it_admits_even_after_its_permit_is_gone() {
    let m1 = ("m1".to_owned(), Clause::Volume);
    assert_eq!(now(&[permit(1, Some(OLD)), permit(1, None), target(&[OLD], &[])]), [m1]);
}

#[test]
fn admission_by_address_lets_in_whoever_has_a_port_there() {
    let mut open = target(&[], &[]);
    if let Observation::Target(_, exported) = &mut open {
        exported.open = true;
    }
    let m2 = ("m2".to_owned(), Clause::Volume);
    assert_eq!(now(&[port(5, Some(30)), open.clone()]), [m2]);
    assert_eq!(now(&[port(5, Some(99)), open.clone()]), []);
    assert_eq!(now(&[port(6, Some(30)), open]), [], "its storage port alone counts");
}

#[test]
fn the_right_to_boot_needs_a_permit_and_a_way_to_the_boot_service() {
    let m1 = ("m1".to_owned(), Clause::Boot);
    assert_eq!(now(&[permit(1, Some(OLD)), port(1, Some(10))]), [m1], "also without power");
    assert_eq!(now(&[permit(1, None), port(1, Some(10))]), []);
    assert_eq!(now(&[permit(1, Some(OLD)), port(1, Some(99))]), []);
    assert_eq!(now(&[permit(1, Some(OLD)), port(1, None)]), [], "a port that is down");
    assert_eq!(now(&[permit(1, Some(OLD)), port(2, Some(10))]), [], "not its provisioning port");
    let other = Observation::Permit(machine(1), Some(("web2".parse().unwrap(), InitiatorName(OLD.into()))));
    assert_eq!(now(&[other, port(1, Some(10))]), [], "as another server");
}

#[test]
fn running_needs_power_the_image_and_a_network_of_the_server() {
    let m1 = ("m1".to_owned(), Clause::Running);
    for own in [(1, 10), (2, 30), (3, 20), (3, 10)] {
        assert_eq!(now(&[power(1, true), ran(1), port(own.0, Some(own.1))]), std::slice::from_ref(&m1), "{own:?}");
    }
    assert_eq!(now(&[power(1, true), ran(1), port(3, Some(99))]), []);
    assert_eq!(now(&[power(1, true), port(3, Some(20))]), []);
    assert_eq!(now(&[power(1, false), ran(1), port(3, Some(20))]), []);
    assert_eq!(now(&[power(1, true), ran(1), port(3, Some(20)), power(1, false), power(1, true)]), [], "a new power-on forgets");
    assert_eq!(now(&[power(1, true), ran(1), port(9, Some(20))]), [], "another machine's port");
}

/// The steps of a fence and of what follows it. None of them depends on another, so that they can be told in any order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deed {
    CutStorage,
    RevokePermit,
    Quarantine(u8),
    PowerOff,
    AdmitSpare,
    PermitSpare,
    CableSpare(u8),
    SparePower,
    SpareRuns,
}

const DEEDS: [Deed; 13] = [
    Deed::CutStorage,
    Deed::RevokePermit,
    Deed::Quarantine(1),
    Deed::Quarantine(2),
    Deed::Quarantine(3),
    Deed::PowerOff,
    Deed::AdmitSpare,
    Deed::PermitSpare,
    Deed::CableSpare(7),
    Deed::CableSpare(8),
    Deed::CableSpare(9),
    Deed::SparePower,
    Deed::SpareRuns,
];

/// What holds, as a plain list of deeds done: the law written once more, by hand, for one takeover.
fn both_effective(done: &[Deed]) -> bool {
    let has = |deed| done.contains(&deed);
    let cut = [1, 2, 3].map(|port| has(Deed::Quarantine(port)));
    let old_runs = !has(Deed::PowerOff) && !cut.iter().all(|cut| *cut);
    let old = !has(Deed::CutStorage) || (!has(Deed::RevokePermit) && !cut[0]) || old_runs;
    let cabled = [7, 8, 9].iter().any(|port| has(Deed::CableSpare(*port)));
    // what ran before it had power did not run
    let at = |deed| done.iter().position(|one| *one == deed);
    let runs = matches!((at(Deed::SparePower), at(Deed::SpareRuns)), (Some(on), Some(ran)) if on < ran);
    let spare = (has(Deed::AdmitSpare) && has(Deed::PermitSpare))
        || (has(Deed::PermitSpare) && has(Deed::CableSpare(7)))
        || (runs && cabled);
    old && spare
}

fn observed(done: &[Deed], deed: Deed) -> Observation {
    let has = |other| done.contains(&other) || deed == other;
    match deed {
        Deed::CutStorage | Deed::AdmitSpare => {
            let old: &[&str] = if has(Deed::CutStorage) { &[] } else { &[OLD] };
            let new: &[&str] = if has(Deed::AdmitSpare) { &[NEW] } else { &[] };
            let sessions: &[(u64, &str)] = if has(Deed::CutStorage) { &[] } else { &[(1, OLD)] };
            target(&[old, new].concat(), sessions)
        }
        Deed::RevokePermit => permit(1, None),
        Deed::Quarantine(number) => port(number, Some(99)),
        Deed::PowerOff => power(1, false),
        Deed::PermitSpare => permit(3, Some(NEW)),
        Deed::CableSpare(number) => port(number, Some([10, 30, 20][usize::from(number - 7)])),
        Deed::SparePower => power(3, true),
        Deed::SpareRuns => ran(3),
    }
}

/// The spare has no power at first.
fn takeover(order: &[Deed]) -> Vec<Observation> {
    let mut steps = peace();
    steps.push(power(3, false));
    for (place, deed) in order.iter().enumerate() {
        steps.push(observed(&order[..place], *deed));
    }
    steps
}

fn split(order: &[Deed]) -> bool {
    (0..=order.len()).any(|done| both_effective(&order[..done]))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// In whatever order the steps of a takeover come: it is a violation exactly if at some instant both machines were effective.
    #[test]
    fn a_takeover_is_judged_by_its_order_alone(order in Just(DEEDS.to_vec()).prop_shuffle()) {
        let book = tell(&takeover(&order));
        let timeline = timeline(&book, Sureness::Certain);
        prop_assert_eq!(!timeline.overlaps.is_empty(), split(&order), "{:?} {:?}", order, timeline.overlaps);
        prop_assert_eq!(timeline.most(u64::MAX), if split(&order) { 2 } else { 1 });
    }

    /// A fence that is whole before the first grant is never a violation, in whatever order its own steps and the grants come.
    #[test]
    fn fence_before_grant_is_never_a_violation(
        fence in Just(DEEDS[..6].to_vec()).prop_shuffle(),
        grants in Just(DEEDS[6..].to_vec()).prop_shuffle(),
    ) {
        let order = [fence, grants].concat();
        prop_assert!(!split(&order));
        let timeline = timeline(&tell(&takeover(&order)), Sureness::Possible);
        prop_assert!(timeline.overlaps.is_empty(), "{:?}", timeline.overlaps);
    }

    /// A single step of the fence left out, or done after the grants, is always a violation.
    #[test]
    fn a_forgotten_step_is_always_a_violation(forgotten in 0usize..2, late in any::<bool>()) {
        // storage; network and power together: either of them alone suffices
        let is_forgotten = |deed: &Deed| match forgotten {
            0 => *deed == Deed::CutStorage,
            _ => matches!(deed, Deed::Quarantine(_) | Deed::PowerOff),
        };
        let mut order: Vec<Deed> = DEEDS.iter().copied().filter(|deed| !is_forgotten(deed)).collect();
        if late {
            order.extend(DEEDS.iter().copied().filter(is_forgotten));
        }
        let timeline = timeline(&tell(&takeover(&order)), Sureness::Certain);
        prop_assert_eq!(timeline.most(u64::MAX), 2);
        prop_assert_eq!(timeline.overlaps[0].until_ns.is_some(), late);
    }

    /// Whatever the true instants between two looks: what is called certain happened, and what happened is called possible.
    #[test]
    fn certain_and_possible_enclose_the_truth(
        order in Just(DEEDS.to_vec()).prop_shuffle(),
        looks in proptest::collection::vec((0u64..900, 1u64..100), DEEDS.len()),
        truth in proptest::collection::vec(0u64..=100, DEEDS.len()),
    ) {
        let mut book = Book::default();
        let start = takeover(&[]);
        for what in &start {
            book.take(&roster(), Seen::exactly(0, what.clone()));
        }
        // every deed happens somewhere between two looks; facts of one source never overtake each other
        let mut happened = Vec::new();
        for (place, (deed, ((late, width), part))) in order.iter().zip(looks.iter().zip(&truth)).enumerate() {
            let alone = !matches!(deed, Deed::CutStorage | Deed::AdmitSpare | Deed::SparePower | Deed::SpareRuns);
            let after = (u64::try_from(place).unwrap() + 1) * 500 + if alone { *late } else { late % 400 };
            // strictly within: at a look's own instant before and after would be one
            happened.push((after * 1000 + 1 + part * (width * 1000 - 2) / 100, *deed));
            book.take(&roster(), Seen::between(after * MILLISECOND_NS, (after + width) * MILLISECOND_NS, observed(&order[..place], *deed)));
        }
        happened.sort_by_key(|(at, _)| *at);
        let told: Vec<Deed> = happened.into_iter().map(|(_, deed)| deed).collect();
        let certain = !timeline(&book, Sureness::Certain).overlaps.is_empty();
        let possible = !timeline(&book, Sureness::Possible).overlaps.is_empty();
        prop_assert!(!certain || split(&told), "called certain, and did not happen: {:?}", told);
        prop_assert!(possible || !split(&told), "happened, and was called impossible: {:?}", told);
    }
}

/// Anything that can be seen of three machines and both servers.
fn anything() -> impl Strategy<Value = Observation> {
    let machine = || (1u8..4).prop_map(machine);
    let server = || prop_oneof![Just("web1"), Just("web2")].prop_map(|name| name.parse::<ServerId>().unwrap());
    let initiator = || prop_oneof![Just(OLD), Just(NEW)].prop_map(|name| InitiatorName(name.to_owned()));
    let exported = (
        proptest::collection::btree_set(initiator(), 0..3),
        any::<bool>(),
        proptest::collection::btree_map(0u64..3, initiator(), 0..3),
    )
        .prop_map(|(admitted, open, sessions)| Exported { admitted, open, sessions });
    let target = prop_oneof![Just(TARGET), Just("iqn.2026-01.lab.understudy:web2-root"), Just("iqn.x:another")];
    let vlans = proptest::collection::btree_set(prop_oneof![Just(10u16), Just(20), Just(30), Just(99)], 0..3);
    prop_oneof![
        (machine(), any::<bool>()).prop_map(|(machine, on)| Observation::Power(machine, on)),
        ((1u8..10), vlans).prop_map(|(port, vlans)| Observation::Port(format!("p{port}"), vlans)),
        (machine(), proptest::option::of((server(), initiator())))
            .prop_map(|(machine, permit)| Observation::Permit(machine, permit)),
        (target, exported).prop_map(|(target, exported)| Observation::Target(target.to_owned(), exported)),
        (machine(), server()).prop_map(|(machine, server)| Observation::Ran(machine, server)),
        (machine(), initiator()).prop_map(|(machine, initiator)| Observation::Login(machine, initiator, None)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Whoever judges at every change need look at no server that the change is not said to touch.
    #[test]
    fn a_change_touches_no_server_but_those_it_is_said_to(seen in proptest::collection::vec(anything(), 1..60)) {
        let roster = roster();
        let (mut book, mut last) = (Book::default(), BTreeMap::<ServerId, Effective>::new());
        for (at, what) in (1u64..).zip(seen) {
            book.take(&roster, Seen::exactly(at, what));
            let named: BTreeSet<ServerId> =
                book.take_changes().iter().flat_map(|change| touched(&roster, book.state(), change)).collect();
            for name in roster.servers.keys() {
                let now = effective(&roster, book.state(), name);
                let before = last.insert(name.clone(), now.clone()).unwrap_or_default();
                prop_assert!(now == before || named.contains(name), "{name} was not named: {before:?} {now:?}");
            }
        }
    }
}

#[test]
fn two_writers_in_one_look_are_two_however_short_they_stood() {
    let mut book = Book::default();
    let take = |book: &mut Book, after: u64, at: u64, what| {
        book.take(&roster(), Seen::between(after * MILLISECOND_NS, at * MILLISECOND_NS, what));
    };
    take(&mut book, 0, 1, permit(1, Some(OLD)));
    take(&mut book, 0, 1, permit(3, Some(NEW)));
    take(&mut book, 0, 50, target(&[OLD], &[(1, OLD)]));
    take(&mut book, 50, 102, target(&[NEW], &[(1, OLD)]));
    // the look that saw both began at 100
    take(&mut book, 100, 152, target(&[NEW], &[]));
    let timeline = timeline(&book, Sureness::Certain);
    assert_eq!(timeline.overlaps.len(), 1);
    assert_eq!((timeline.overlaps[0].most, timeline.overlaps[0].lasted_ns(0)), (2, 0));
    assert_eq!(timeline.most(SECOND_NS), 2);
}

#[test]
fn an_overlap_by_a_foreign_hand_is_counted_apart_for_five_seconds() {
    let fenced = [Deed::CutStorage, Deed::RevokePermit, Deed::Quarantine(1), Deed::Quarantine(2), Deed::Quarantine(3)];
    let moved = [&fenced[..], &DEEDS[6..]].concat();
    let mut steps = takeover(&moved);
    let hand_at = u64::try_from(steps.len()).unwrap() * SECOND_NS;
    for (ends_after_ns, told, most) in [(4 * SECOND_NS, true, 1), (6 * SECOND_NS, true, 2), (4 * SECOND_NS, false, 2)] {
        let mut book = tell(&steps);
        if told {
            book.take(&roster(), Seen::exactly(hand_at - SECOND_NS, Observation::Hand(Key::Port("p3".into()))));
            book.take(&roster(), Seen::exactly(hand_at, Observation::Hand(Key::Port("p4".into()))));
        }
        book.take(&roster(), Seen::exactly(hand_at, port(3, Some(20))));
        book.take(&roster(), Seen::exactly(hand_at + ends_after_ns, port(3, Some(99))));
        let timeline = timeline(&book, Sureness::Certain);
        assert_eq!(timeline.overlaps.len(), 1);
        assert_eq!(timeline.most(u64::MAX), most, "{ends_after_ns} {told}");
        assert_eq!(timeline.overlaps[0].foreign, told);
    }
    steps.push(port(3, Some(20)));
    let elsewhere = {
        let mut book = tell(&steps);
        book.take(&roster(), Seen::exactly(hand_at, Observation::Hand(Key::Port("p4".into()))));
        timeline(&book, Sureness::Certain)
    };
    assert_eq!(elsewhere.most(u64::MAX), 2, "a hand elsewhere excuses nothing");
}

#[test]
fn a_stranger_with_a_session_is_a_machine_of_its_own() {
    let mut book = tell(&peace());
    let late = 100 * SECOND_NS;
    for at in [late, late + 2 * SECOND_NS] {
        book.take(&roster(), Seen::exactly(at, target(&[OLD], &[(1, OLD), (2, "iqn.x:nobody")])));
    }
    let timeline = timeline(&book, Sureness::Certain);
    assert_eq!(timeline.most(u64::MAX), 2);
    assert!(timeline.overlaps[0].machines.contains_key("a stranger as iqn.x:nobody"));
}
