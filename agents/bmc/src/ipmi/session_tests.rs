//! The session against a BMC in memory, packet by packet: what is ignored, what is sent, and which fault has which name.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::commands::{self, Control};
use super::crypto::Suite;
use super::fault::Fault;
use super::handshake::{self, Account, Role};
use super::peer::{self, Peer, account};
use super::session::{Event, Heard, Reply, Request, Session, Timing};
use super::wire;
use crate::given::Given;
use proptest::prelude::*;
use zeroize::Zeroizing;

const MS: Duration = Duration::from_millis(1);
const TIMING: Timing = Timing {
    step: Duration::from_millis(4_000),
    request: Duration::from_millis(4_000),
    pause: Duration::from_millis(1_000),
    idle: Duration::from_millis(40_000),
};

/// A session, its BMC and the time between them.
struct Bench {
    session: Session,
    peer: Peer,
    now: Instant,
    /// Kinds of handshake payloads that the client sent.
    sent: Vec<u8>,
}

impl Bench {
    fn new(client: Account, user: Account) -> Bench {
        let session = Session::new(Arc::new(client), TIMING, Given::by_the_machine().random);
        Bench { session, peer: Peer::new(user), now: Instant::now(), sent: Vec::new() }
    }

    fn opened() -> Bench {
        let mut bench = Bench::new(account("secret"), account("secret"));
        assert_eq!(bench.open(), Event::Opened(peer::GUID));
        bench
    }

    fn out(&mut self) -> Option<Vec<u8>> {
        let packet = self.session.poll_out()?;
        self.sent.extend(wire::read_plus(&packet).map(|(header, _)| header.kind));
        Some(packet)
    }

    /// Carries packets and lets time pass until something happens.
    fn run(&mut self) -> Event {
        for _ in 0..200 {
            while let Some(packet) = self.out() {
                if let Some(reply) = self.peer.receive(&packet) {
                    self.session.receive(self.now, &reply);
                }
            }
            if let Some(event) = self.session.poll_event() {
                return event;
            }
            self.now = self.session.deadline().expect("something is waited for");
            self.session.tick(self.now);
        }
        panic!("nothing ever happens");
    }

    fn open(&mut self) -> Event {
        self.session.open(self.now);
        self.run()
    }

    fn hear(&mut self, packet: &[u8]) -> Heard {
        self.session.receive(self.now, packet)
    }

    /// Asks and gives back the reply without delivering it.
    fn ask(&mut self, request: Request) -> Vec<u8> {
        self.session.ask(self.now, request);
        self.reply()
    }

    fn reply(&mut self) -> Vec<u8> {
        let packet = self.out().expect("a packet goes out");
        self.peer.receive(&packet).unwrap()
    }

    fn again(&mut self) -> Vec<u8> {
        self.now = self.session.deadline().unwrap();
        self.session.tick(self.now);
        self.reply()
    }
}

fn answered(event: Option<Event>) -> Reply {
    match event {
        Some(Event::Answered(Ok(reply))) => reply,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_strongest_suite_is_taken_and_none_below_what_is_allowed() {
    let of = |client: &[Suite], user: &[Suite]| {
        let (mut mine, mut theirs) = (account("secret"), account("secret"));
        (mine.suites, theirs.suites) = (client.to_vec(), user.to_vec());
        let mut bench = Bench::new(mine, theirs);
        (bench.open(), bench)
    };
    let (both, three, seventeen) = (&[Suite::Seventeen, Suite::Three][..], &[Suite::Three][..], &[Suite::Seventeen][..]);
    for user in [both, three, seventeen] {
        assert_eq!(of(both, user).0, Event::Opened(peer::GUID));
    }
    let (event, bench) = of(seventeen, three);
    assert!(matches!(event, Event::Failed(Fault::NoCommonSuite(_))), "{event:?}");
    assert_eq!(bench.sent, [handshake::OPEN_REQUEST]);
    // and one that drops what it does not understand
    let mut user = account("secret");
    user.suites = three.to_vec();
    let mut bench = Bench::new(account("secret"), user);
    bench.peer.drops_offers = true;
    assert_eq!(bench.open(), Event::Opened(peer::GUID));
}

#[test]
fn a_bmc_that_answers_with_weaker_algorithms_is_left() {
    for claims in [[0, 0, 0], [1, 1, 0], [1, 0, 1], [1, 1, 1]] {
        let mut bench = Bench::new(account("secret"), account("secret"));
        bench.peer.claims = Some(claims);
        let event = bench.open();
        assert!(matches!(event, Event::Failed(Fault::NoCommonSuite(_))), "{event:?}");
        assert!(!bench.sent.contains(&handshake::RAKP_1));
    }
}

#[test]
fn a_wrong_password_is_seen_before_ours_is_tried() {
    let mut bench = Bench::new(account("secret"), account("other"));
    assert_eq!(bench.open(), Event::Failed(Fault::WrongPassword));
    assert!(!bench.sent.contains(&handshake::RAKP_3), "no proof is sent that a lock-out could count");
}

#[test]
fn a_bmc_that_keeps_the_beginning_of_a_password_is_named_and_never_spoken_to_under_it() {
    let long = "a password of 20 byt";
    let kept = &long[..16];
    for (client, kept) in [(20, 16), (17, 16), (20, 19), (17, 15), (16, 15)] {
        let mut bench = Bench::new(account(&long[..client]), account(&long[..kept]));
        assert_eq!(bench.open(), Event::Failed(Fault::CutPassword(kept)), "{client}");
        assert!(!bench.sent.contains(&handshake::RAKP_3), "no proof is sent that a lock-out could count");
    }
    for (client, kept) in [(kept, kept), (long, long)] {
        assert_eq!(Bench::new(account(client), account(kept)).open(), Event::Opened(peer::GUID));
    }
    for (client, kept) in [(long, "a password of 20 byz"), (long, &long[..14]), (kept, ""), (kept, long)] {
        assert_eq!(Bench::new(account(client), account(kept)).open(), Event::Failed(Fault::WrongPassword), "{client}: {kept}");
    }
}

#[test]
fn the_bmc_key_is_used_and_a_wrong_one_is_named() {
    let keyed = |key: &[u8]| Account { key: Some(Zeroizing::new(key.to_vec())), ..account("secret") };
    assert_eq!(Bench::new(keyed(b"kg"), keyed(b"kg")).open(), Event::Opened(peer::GUID));
    for client in [account("secret"), keyed(b"other")] {
        assert_eq!(Bench::new(client, keyed(b"kg")).open(), Event::Failed(Fault::Key));
    }
}

#[test]
fn every_refusal_has_its_own_name() {
    for (kind, status, fault) in [
        (handshake::OPEN_REQUEST, 0x01, "NoSlot"),
        (handshake::OPEN_REQUEST, 0x0b, "NoSlot"),
        (handshake::OPEN_REQUEST, 0x0a, "TooFewRights"),
        (handshake::OPEN_REQUEST, 0x11, "NoCommonSuite"),
        (handshake::RAKP_1, 0x0d, "Account"),
        (handshake::RAKP_1, 0x0a, "TooFewRights"),
        (handshake::RAKP_1, 0x02, "Nonsense"),
        (handshake::RAKP_3, 0x0f, "Nonsense"),
        (handshake::RAKP_3, 0x0b, "NoSlot"),
    ] {
        let mut bench = Bench::new(account("secret"), account("secret"));
        bench.peer.refuses = Some((kind, status));
        let event = bench.open();
        assert!(format!("{event:?}").starts_with(&format!("Failed({fault}")), "{kind:#x} {status:#x}: {event:?}");
        assert!(bench.session.is_closed());
    }
    let mut bench = Bench::new(account("secret"), account("secret"));
    bench.peer.codes = vec![0x81];
    assert!(matches!(bench.open(), Event::Failed(Fault::TooFewRights(_))));
    // one that says yes and gives less
    let mut bench = Bench::new(account("secret"), account("secret"));
    bench.peer.grants = Some(2);
    assert!(matches!(bench.open(), Event::Failed(Fault::TooFewRights(_))));
}

#[test]
fn privileges_hashed_as_opened_are_understood() {
    for roles in [[Role::AsOpened; 2], [Role::AsAsked, Role::AsOpened], [Role::OfAccount(4); 2], [Role::OfAccount(0x14); 2]] {
        let mut bench = Bench::new(account("secret"), account("secret"));
        bench.peer.roles = roles;
        assert_eq!(bench.open(), Event::Opened(peer::GUID), "{roles:?}");
        bench.session.close();
        bench.sent.clear();
        assert_eq!(bench.open(), Event::Opened(peer::GUID));
        assert_eq!(bench.sent.iter().filter(|kind| **kind == handshake::RAKP_3).count(), 1, "it is remembered");
    }
    // proofs as the specification has them, and a key that is not
    let mut bench = Bench::new(account("secret"), account("secret"));
    bench.peer.key_role = Some(Role::AsOpened);
    assert_eq!(bench.open(), Event::Opened(peer::GUID));
}

#[test]
fn a_bmc_that_answers_no_question_before_the_session_is_reached_all_the_same() {
    let mut bench = Bench::new(account("secret"), account("secret"));
    bench.peer.shy = true;
    assert_eq!(bench.open(), Event::Opened(peer::GUID));
}

#[test]
fn a_late_reply_is_not_the_answer_to_the_next_question() {
    let mut bench = Bench::opened();
    let late = bench.ask(commands::chassis_status());
    let in_time = bench.again();
    assert_eq!(bench.hear(&in_time), Heard::Taken);
    assert_eq!(answered(bench.session.poll_event()).data, [0x40, 0, 0]);
    bench.peer.on = true;
    let truth = bench.ask(commands::chassis_status());
    assert!(matches!(bench.hear(&late), Heard::Ignored(_)), "the machine was off when this was written");
    assert_eq!(bench.session.poll_event(), None);
    assert_eq!(bench.hear(&truth), Heard::Taken);
    assert_eq!(answered(bench.session.poll_event()).data, [0x41, 0, 0]);
}

#[test]
fn a_reply_that_comes_after_its_session_was_given_up_is_nothing() {
    let mut bench = Bench::opened();
    let late = bench.ask(commands::chassis_status());
    while bench.session.poll_event().is_none() {
        bench.now += 100 * MS;
        bench.session.tick(bench.now);
    }
    assert!(bench.session.is_closed());
    assert!(matches!(bench.hear(&late), Heard::Ignored(_)));
    let old = std::mem::replace(&mut bench.peer, Peer::new(account("secret")));
    bench.peer.on = true;
    while bench.session.poll_out().is_some() {}
    assert_eq!(bench.open(), Event::Opened(peer::GUID));
    drop(old);
    let truth = bench.ask(commands::chassis_status());
    assert!(matches!(bench.hear(&late), Heard::Ignored(_)), "it belongs to the session before");
    bench.hear(&truth);
    assert_eq!(answered(bench.session.poll_event()).data, [0x41, 0, 0]);
}

#[test]
fn a_duplicate_is_taken_once() {
    let mut bench = Bench::opened();
    let reply = bench.ask(commands::chassis_status());
    assert_eq!(bench.hear(&reply), Heard::Taken);
    answered(bench.session.poll_event());
    assert!(matches!(bench.hear(&reply), Heard::Ignored(_)));
    // the number of the question comes round again after 64: the packet is still the old one
    for _ in 0..63 {
        let other = bench.ask(commands::system_guid());
        bench.hear(&other);
        answered(bench.session.poll_event());
    }
    bench.peer.on = true;
    let truth = bench.ask(commands::chassis_status());
    assert_eq!(bench.peer.seen[1].1, bench.peer.seen.last().unwrap().1, "the same number of a question");
    assert!(matches!(bench.hear(&reply), Heard::Ignored(_)));
    bench.hear(&truth);
    assert_eq!(answered(bench.session.poll_event()).data, [0x41, 0, 0]);
}

#[test]
fn another_sessions_reply_is_ignored() {
    let (mut one, mut other) = (Bench::opened(), Bench::opened());
    let mine = one.ask(commands::chassis_status());
    let mut foreign = other.ask(commands::chassis_status());
    assert_eq!(one.hear(&foreign), Heard::Ignored("another session's reply"));
    // even under the right session's id
    foreign[6..10].copy_from_slice(&mine[6..10]);
    assert_eq!(one.hear(&foreign), Heard::Ignored("its code is wrong"));
    assert_eq!(one.session.poll_event(), None);
    assert_eq!(one.hear(&mine), Heard::Taken);
}

#[test]
fn the_right_number_with_another_command_is_ignored() {
    let mut bench = Bench::opened();
    bench.session.ask(bench.now, commands::chassis_status());
    let packet = bench.out().unwrap();
    let right = bench.peer.receive(&packet).unwrap();
    let (_, sequence, _) = *bench.peer.seen.last().unwrap();
    let question = wire::message(sequence, 0x00, 0x01, &[]);
    let after = wire::message((sequence + 1) % 64, 0x00, 0x01, &[]);
    for (question, netfn, command) in
        [(&question, 0x00, 0x02), (&question, 0x06, 0x01), (&question, 0x2c, 0x01), (&after, 0x00, 0x01)]
    {
        let wrong = bench.peer.seal(&peer::answer(question, netfn, command, 0, &[0, 0, 0]));
        assert_eq!(bench.hear(&wrong), Heard::Ignored("the answer to another question"), "{netfn:#x} {command:#x}");
    }
    assert_eq!(bench.session.poll_event(), None);
    assert_eq!(bench.hear(&right), Heard::Taken);
}

#[test]
fn a_retransmission_is_the_same_question_in_a_new_packet() {
    let mut bench = Bench::opened();
    bench.ask(commands::chassis_status());
    bench.again();
    let [.., (first, question, _), (second, same, _)] = bench.peer.seen[..] else { panic!() };
    assert_eq!((question, second), (same, first + 1));
}

#[test]
fn a_power_command_goes_out_once_whatever_becomes_of_its_reply() {
    let mut bench = Bench::opened();
    bench.peer.on = true;
    let lost = bench.ask(commands::chassis_control(Control::Down));
    let until = bench.now + TIMING.request;
    while bench.now < until {
        assert_eq!(bench.session.poll_event(), None);
        bench.now += 100 * MS;
        bench.session.tick(bench.now);
    }
    assert_eq!(bench.session.poll_event(), Some(Event::Answered(Err(Fault::Broken))));
    assert_eq!(bench.peer.controls, 1);
    // what still goes out is the farewell
    let farewell = bench.session.poll_out().unwrap();
    bench.peer.receive(&farewell);
    assert_eq!(bench.peer.seen.last().unwrap().2, 0x3c);
    assert_eq!((bench.session.poll_out(), bench.peer.controls), (None, 1));
    assert!(matches!(bench.hear(&lost), Heard::Ignored(_)));
}

#[test]
fn a_challenge_for_an_older_request_is_ignored() {
    let mut bench = Bench::new(account("secret"), account("secret"));
    bench.session.open(bench.now);
    for _ in 0..2 {
        let reply = bench.reply();
        bench.hear(&reply);
    }
    let older = bench.reply();
    let newer = bench.again();
    assert_eq!(bench.hear(&older), Heard::Ignored("the reply to an older step"));
    assert_eq!(bench.hear(&newer), Heard::Taken);
    assert_eq!(bench.run(), Event::Opened(peer::GUID));
}

#[test]
fn an_idle_session_is_kept_alive_and_a_dead_one_is_noticed() {
    let mut bench = Bench::opened();
    let heard = bench.now;
    let reply = bench.again();
    assert_eq!(bench.now, heard + TIMING.idle);
    assert_eq!(bench.hear(&reply), Heard::Taken);
    assert_eq!((bench.session.poll_event(), bench.session.is_free()), (None, true));
    bench.again();
    while !bench.session.is_closed() {
        bench.now += 500 * MS;
        bench.session.tick(bench.now);
    }
    assert_eq!(bench.session.poll_event(), Some(Event::Lost));
}

#[test]
fn a_busy_bmc_is_asked_anew() {
    let mut bench = Bench::opened();
    bench.peer.codes = vec![0xc0];
    let busy = bench.ask(commands::chassis_status());
    assert_eq!(bench.hear(&busy), Heard::Taken);
    assert_eq!(bench.session.poll_event(), None);
    let reply = bench.again();
    bench.hear(&reply);
    assert_eq!(answered(bench.session.poll_event()).code, 0);
    // a command is answered "busy", not repeated
    bench.peer.codes = vec![0xc0];
    let busy = bench.ask(commands::chassis_control(Control::Up));
    bench.hear(&busy);
    assert_eq!((answered(bench.session.poll_event()).code, bench.peer.controls), (0xc0, 0));
    // a BMC that stays busy is busy, not silent, and keeps its session
    bench.peer.codes = vec![0xc0; 20];
    bench.session.ask(bench.now, commands::chassis_status());
    assert_eq!(bench.run(), Event::Answered(Err(Fault::Busy)));
    assert!(bench.session.is_free());
}

#[test]
fn silence_is_named_by_where_it_begins() {
    let mut bench = Bench::new(account("secret"), account("secret"));
    bench.session.open(bench.now);
    let begun = bench.now;
    while bench.session.poll_event().is_none() {
        while bench.session.poll_out().is_some() {}
        bench.now = bench.session.deadline().unwrap();
        bench.session.tick(bench.now);
    }
    assert_eq!(bench.now - begun, TIMING.step);
    assert!(bench.session.is_closed());
}

/// What a mutation does to a packet.
#[derive(Clone, Debug)]
enum Mutation {
    Flip(usize, u8),
    Cut(usize),
    Grow(Vec<u8>),
    Swap(usize, usize),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    prop_oneof![
        (any::<usize>(), 1u8..).prop_map(|(at, bits)| Mutation::Flip(at, bits)),
        any::<usize>().prop_map(Mutation::Cut),
        proptest::collection::vec(any::<u8>(), 1..40).prop_map(Mutation::Grow),
        (any::<usize>(), any::<usize>()).prop_map(|(one, other)| Mutation::Swap(one, other)),
    ]
}

fn mutate(packet: &mut Vec<u8>, mutation: &Mutation) {
    let length = packet.len().max(1);
    match mutation {
        Mutation::Flip(at, bits) => packet.iter_mut().skip(at % length).take(1).for_each(|byte| *byte ^= bits),
        Mutation::Cut(at) => packet.truncate(at % length),
        Mutation::Grow(more) => packet.extend(more),
        Mutation::Swap(one, other) if !packet.is_empty() => packet.swap(one % length, other % length),
        Mutation::Swap(..) => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn mutated_replies_never_panic_and_never_answer(stage in 0usize..6, mutations in proptest::collection::vec(mutation(), 1..4)) {
        let mut bench = Bench::new(account("secret"), account("secret"));
        bench.session.open(bench.now);
        for _ in 0..stage {
            let reply = if bench.session.is_free() { bench.ask(commands::chassis_status()) } else { bench.reply() };
            bench.hear(&reply);
            while bench.session.poll_event().is_some() {}
        }
        let reply = if bench.session.is_free() { bench.ask(commands::chassis_status()) } else { bench.reply() };
        let mut bad = reply.clone();
        mutations.iter().for_each(|mutation| mutate(&mut bad, mutation));
        let live = stage >= 4;
        let heard = bench.hear(&bad);
        // the RMCP header is not covered by the code, and what follows the code's packet changes it
        if live && bad.get(4..) != reply.get(4..) {
            prop_assert!(matches!(heard, Heard::Ignored(_)));
            prop_assert_eq!(bench.session.poll_event(), None);
            prop_assert_eq!(bench.hear(&reply), Heard::Taken);
        }
        if stage == 3 && bad != reply {
            let opened = matches!(bench.session.poll_event(), Some(Event::Opened(_)));
            prop_assert!(!opened, "raising the privilege comes first");
        }
    }

    #[test]
    fn noise_never_moves_a_session(noise in proptest::collection::vec(any::<u8>(), 0..120), class in prop_oneof![Just(6u8), Just(7u8)]) {
        let mut bench = Bench::opened();
        bench.ask(commands::chassis_status());
        let packet = [&[0x06, 0, 0xff, class], noise.as_slice()].concat();
        prop_assert!(matches!(bench.hear(&packet), Heard::Ignored(_)));
        prop_assert!(matches!(bench.hear(&noise), Heard::Ignored(_)));
        prop_assert_eq!(bench.session.poll_event(), None);
    }
}
