//! The BMC's table of IPMI sessions against the project's own client in memory, packet by packet. Must never use a clock but the one that is passed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ::bmc::ipmi::fault::Fault;
use ::bmc::ipmi::session::{Event, Request, Session, Timing};
use ::bmc::ipmi::{Account, Suite, wire};
use proptest::prelude::*;
use world::Dice;
use world::bmc::limits;
use world::bmc::rmcp::handshake::{self, status};
use world::bmc::rmcp::{ADMINISTRATOR, Asked, Face, Heard, OPERATOR, Table, message};
use world::bmc::{AccountState, Privilege, Quirks, RoleHashing, StrongSuite};
use zeroize::Zeroizing;

const FROM: ([u8; 4], u16) = ([127, 0, 0, 9], 4711);
const RESET: u8 = 0x02;

struct Bench {
    client: Session,
    table: Table,
    quirks: Quirks,
    key: Option<Vec<u8>>,
    dice: Dice,
    now: Instant,
    /// Commands that were done.
    acted: u32,
}

fn random(bytes: &mut [u8]) {
    rand::RngCore::fill_bytes(&mut rand::rng(), bytes);
}

fn account(suites: &[Suite], key: Option<&[u8]>) -> Arc<Account> {
    Arc::new(Account {
        user: b"controller".to_vec(),
        password: Zeroizing::new(b"secret".to_vec()),
        key: key.map(|key| Zeroizing::new(key.to_vec())),
        privilege: OPERATOR,
        suites: suites.to_vec(),
    })
}

fn session(account: Arc<Account>) -> Session {
    let seconds = Duration::from_secs;
    Session::new(
        account,
        Timing { step: seconds(4), request: seconds(4), pause: seconds(1), idle: seconds(40) },
        Arc::new(random),
    )
}

/// A packet of the handshake.
fn handshaken(kind: u8, payload: &[u8]) -> Vec<u8> {
    wire::plus(wire::Header { kind, session: 0, sequence: 0 }, payload)
}

impl Bench {
    fn new(quirks: Quirks) -> Bench {
        let client = session(account(&[Suite::Seventeen, Suite::Three], None));
        Bench { client, table: Table::default(), quirks, key: None, dice: Dice::of(1, "table"), now: Instant::now(), acted: 0 }
    }

    /// What the BMC says to a packet.
    fn hear(&mut self, packet: &[u8]) -> Heard {
        let face = Face {
            user: b"controller",
            password: b"secret",
            key: self.key.as_deref(),
            guid: [7; 16],
            locked: false,
            quirks: &self.quirks,
        };
        self.table.receive(self.now, FROM.into(), packet, &face, &self.dice)
    }

    fn answer(&mut self, asked: &Asked) -> Option<Vec<u8>> {
        let told = match (asked.head.netfn, asked.head.command) {
            (0x06, 0x38) => Ok(vec![1, 0x80, 0x04, 0x02, 0, 0, 0, 0]),
            (0x06, 0x3b) => self.table.set_level(asked.session().unwrap(), asked.data[0], ADMINISTRATOR).map(|level| vec![level]),
            (0x06, 0x3c) => {
                self.table.close(asked.session().unwrap(), asked.session());
                Ok(Vec::new())
            }
            _ => {
                self.acted += 1;
                Ok(Vec::new())
            }
        };
        let (code, data) = told.map_or_else(|code| (code, Vec::new()), |data| (0, data));
        self.table.answer(asked, code, &data, &self.dice)
    }

    fn reply(&mut self, packet: &[u8]) -> Option<Vec<u8>> {
        match self.hear(packet) {
            Heard::Reply { packet, .. } | Heard::Refused(packet) => Some(packet),
            Heard::Asked(asked) => self.answer(&asked),
            Heard::Ignored(_) => None,
        }
    }

    /// Carries packets until something happened; time passes while there are none.
    fn event(&mut self) -> Event {
        for _ in 0..100 {
            if let Some(event) = self.client.poll_event() {
                return event;
            }
            match self.client.poll_out() {
                Some(packet) => {
                    if let Some(reply) = self.reply(&packet) {
                        self.client.receive(self.now, &reply);
                    }
                }
                None => {
                    self.now = self.client.deadline().unwrap().max(self.now);
                    self.client.tick(self.now);
                }
            }
        }
        panic!("nothing ever happens");
    }

    fn open(&mut self) -> Event {
        self.client.open(self.now);
        self.event()
    }

    fn ask(&mut self, command: u8, repeatable: bool) {
        self.client.ask(self.now, Request { netfn: 0x00, command, data: vec![3], repeatable });
    }
}

#[test]
fn what_a_console_asks_is_read_and_what_is_answered_the_console_reads() {
    let asked = wire::message(9, 0x06, 0x38, &[0x8e, 0x04]);
    let (head, data) = message::read(&asked).unwrap();
    assert_eq!((head.netfn, head.unit, head.command, data), (0x06, 0, 0x38, &[0x8e, 0x04][..]));
    let reply = head.reply(0xc1, &[7, 8]);
    let answer = wire::read_answer(&reply).unwrap();
    assert_eq!((answer.netfn, answer.sequence, answer.command, answer.code), (0x07, 9, 0x38, 0xc1));
    assert_eq!(answer.data, [7, 8]);
    let mut broken = asked.clone();
    broken[6] ^= 1;
    assert_eq!(message::read(&broken), None);
}

#[test]
fn a_ping_is_answered_as_the_client_expects() {
    assert_eq!(message::pinged(&wire::ping(7)), Some(7));
    assert!(wire::is_pong(&message::pong(7)));
    assert_eq!(message::pinged(&message::pong(7)), None);
}

#[test]
fn every_suite_opens_with_and_without_a_key_however_the_privilege_is_hashed() {
    for suite in [Suite::Three, Suite::Seventeen] {
        for key in [None, Some(&b"the key"[..])] {
            for role in [RoleHashing::AsAsked, RoleHashing::AsOpened, RoleHashing::Maximum] {
                let mut bench = Bench::new(Quirks { ipmi_role: role, ..Quirks::default() });
                (bench.client, bench.key) = (session(account(&[suite], key)), key.map(<[u8]>::to_vec));
                assert_eq!(bench.open(), Event::Opened([7; 16]), "{suite:?} {key:?} {role:?}");
                bench.ask(RESET, false);
                assert!(matches!(bench.event(), Event::Answered(Ok(reply)) if reply.code == 0));
            }
        }
    }
    let mut bench = Bench::new(Quirks::default());
    bench.key = Some(b"another key".to_vec());
    assert_eq!(bench.open(), Event::Failed(Fault::Key));
}

#[test]
fn offers_are_taken_refused_or_dropped() {
    for (quirk, both, strong) in [
        (StrongSuite::Taken, true, Event::Opened([7; 16])),
        (StrongSuite::Refused, true, Event::Failed(Fault::NoCommonSuite("authentication algorithm"))),
        (StrongSuite::Dropped, true, Event::Failed(Fault::Silent("the request for a session"))),
    ] {
        let mut bench = Bench::new(Quirks { ipmi_suite_17: quirk, ..Quirks::default() });
        assert_eq!(matches!(bench.open(), Event::Opened(_)), both, "{quirk:?}");
        bench.client = session(account(&[Suite::Seventeen], None));
        assert_eq!(bench.open(), strong);
    }
    let offer = |algorithms: [u8; 3]| {
        let mut offer = vec![0, 4, 0, 0, 1, 2, 3, 4];
        for (kind, algorithm) in (0u8..).zip(algorithms) {
            offer.extend([kind, 0, 0, 8, algorithm, 0, 0, 0]);
        }
        handshaken(handshake::OPEN_REQUEST, &offer)
    };
    // suite 0 and its kin, suite 2, and a mixture of 3 and 17
    for (algorithms, wanted) in [
        ([0, 0, 0], status::INVALID_AUTHENTICATION),
        ([1, 0, 0], status::INVALID_INTEGRITY),
        ([1, 1, 0], status::INVALID_CONFIDENTIALITY),
        ([3, 1, 1], status::NO_SUITE),
    ] {
        let reply = Bench::new(Quirks::default()).reply(&offer(algorithms)).unwrap();
        let (_, payload) = wire::read_plus(&reply).unwrap();
        assert_eq!(payload[1], wanted, "{algorithms:?}");
    }
}

#[test]
fn accounts_and_full_tables_are_refused_each_in_its_own_way() {
    let failed = |quirks| match Bench::new(quirks).open() {
        Event::Failed(fault) => fault,
        other => panic!("{other:?}"),
    };
    let account = |account| Quirks { account, ..Quirks::default() };
    assert_eq!(failed(account(AccountState::OtherPassword)), Fault::WrongPassword);
    assert_eq!(failed(account(AccountState::Locked)), Fault::Account("name refused"));
    assert_eq!(failed(account(AccountState::Disabled)), Fault::Account("name refused"));
    let user = Quirks { privilege: Privilege::User, ..Quirks::default() };
    assert_eq!(failed(user), Fault::TooFewRights("privilege refused"));
    assert_eq!(failed(Quirks { ipmi_session_cap: 0, ..Quirks::default() }), Fault::NoSlot);
    // the highest the account has is not what was asked for
}

#[test]
fn who_does_not_know_the_password_is_told_so_in_the_end() {
    let mut bench = Bench::new(Quirks::default());
    bench.client.open(bench.now);
    for _ in 0..3 {
        let packet = bench.client.poll_out().unwrap();
        let reply = bench.reply(&packet).unwrap();
        bench.client.receive(bench.now, &reply);
    }
    let mut forged = bench.client.poll_out().unwrap();
    *forged.last_mut().unwrap() ^= 1;
    assert!(matches!(bench.hear(&forged), Heard::Refused(_)));
    assert_eq!(bench.table.count(bench.now, Duration::from_secs(60)), 0);
    let again = bench.hear(&forged);
    assert!(matches!(again, Heard::Reply { .. }), "the session that was being opened is gone: {again:?}");
}

#[test]
fn duplicates_are_dropped_and_retransmissions_answered_without_acting_twice() {
    let mut bench = Bench::new(Quirks::default());
    bench.open();
    bench.ask(RESET, true);
    let first = bench.client.poll_out().unwrap();
    bench.now += Duration::from_secs(1);
    bench.client.tick(bench.now);
    let second = bench.client.poll_out().unwrap();
    assert_ne!(first, second);
    let replies = [bench.reply(&first).unwrap(), bench.reply(&second).unwrap()];
    assert!(bench.acted == 1 && replies[0] != replies[1]);
    assert_eq!(bench.hear(&second), Heard::Ignored("a duplicate, or outside the window"));
    bench.client.receive(bench.now, &replies[1]);
    assert!(matches!(bench.event(), Event::Answered(Ok(_))));
    // the same question once more is a new one
    bench.ask(RESET, true);
    assert!(matches!(bench.event(), Event::Answered(Ok(_))) && bench.acted == 2);
    // one that is still worked on is not begun again
    bench.ask(RESET, true);
    let first = bench.client.poll_out().unwrap();
    bench.now += Duration::from_secs(1);
    bench.client.tick(bench.now);
    let second = bench.client.poll_out().unwrap();
    assert!(matches!(bench.hear(&first), Heard::Asked(_)));
    assert_eq!(bench.hear(&second), Heard::Ignored("it is still worked on"));
}

#[test]
fn packets_of_another_session_or_with_a_changed_bit_do_nothing() {
    let mut bench = Bench::new(Quirks::default());
    bench.open();
    let mut other = session(account(&[Suite::Three], None));
    std::mem::swap(&mut bench.client, &mut other);
    bench.open();
    assert_eq!(bench.table.count(bench.now, Duration::from_secs(60)), 2);
    bench.ask(RESET, false);
    let packet = bench.client.poll_out().unwrap();
    for id in bench.table.ids().collect::<Vec<_>>() {
        let mut moved = packet.clone();
        moved[6..10].copy_from_slice(&id.to_le_bytes());
        if moved != packet {
            assert_eq!(bench.hear(&moved), Heard::Ignored("its code is wrong"));
        }
    }
    for at in 4..packet.len() {
        let mut changed = packet.clone();
        changed[at] ^= 0x10;
        assert!(matches!(bench.hear(&changed), Heard::Ignored(_)), "byte {at}");
    }
    assert!(matches!(bench.hear(&packet), Heard::Asked(_)));
}

#[test]
fn sessions_end_by_idleness_and_by_their_own_farewell() {
    let mut bench = Bench::new(Quirks { ipmi_session_timeout_ms: 60_000, ..Quirks::default() });
    let timeout = Duration::from_secs(60);
    bench.open();
    bench.now += timeout;
    assert_eq!(bench.table.count(bench.now, timeout), 1);
    bench.now += Duration::from_millis(1);
    bench.ask(RESET, false);
    let packet = bench.client.poll_out().unwrap();
    assert_eq!(bench.hear(&packet), Heard::Ignored("no such session"));
    let mut bench = Bench::new(Quirks::default());
    bench.open();
    bench.client.close();
    let farewell = bench.client.poll_out().unwrap();
    assert!(bench.reply(&farewell).is_some());
    assert_eq!(bench.table.count(bench.now, timeout), 0);
}

#[test]
fn a_lost_reply_of_the_handshake_is_made_good_by_asking_again() {
    for lost in 1..5 {
        let mut bench = Bench::new(Quirks::default());
        bench.client.open(bench.now);
        let mut replies = 0;
        let opened = loop {
            if let Some(event) = bench.client.poll_event() {
                break event;
            }
            if let Some(packet) = bench.client.poll_out() {
                let reply = bench.reply(&packet);
                replies += 1;
                if let Some(reply) = reply.filter(|_| replies != lost) {
                    bench.client.receive(bench.now, &reply);
                }
            } else {
                bench.now = bench.client.deadline().unwrap();
                bench.client.tick(bench.now);
            }
        };
        assert_eq!(opened, Event::Opened([7; 16]), "reply {lost} lost");
        assert_eq!(bench.table.count(bench.now, Duration::from_secs(60)), 1, "reply {lost} lost");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_heard_and_the_table_stays_small(
        noise in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..90), 0..40),
        kind: u8,
    ) {
        let mut bench = Bench::new(Quirks::default());
        for noise in noise {
            for kind in [kind, handshake::OPEN_REQUEST, handshake::RAKP_1, handshake::RAKP_3] {
                bench.hear(&handshaken(kind, &noise));
            }
            for class in [0x06, 0x07] {
                bench.hear(&[&[0x06, 0x00, 0xff, class], noise.as_slice()].concat());
            }
            bench.hear(&noise);
            let mut offer = vec![0, 4, 0, 0];
            offer.extend(rand::random::<[u8; 4]>());
            offer.extend([0, 0, 0, 8, 1, 0, 0, 0, 1, 0, 0, 8, 1, 0, 0, 0, 2, 0, 0, 8, 1, 0, 0, 0]);
            bench.hear(&handshaken(handshake::OPEN_REQUEST, &offer));
        }
        prop_assert!(bench.table.opening() <= limits::HALF_OPEN_MAX && bench.table.ids().next().is_none());
        prop_assert!(matches!(bench.open(), Event::Opened(_)));
    }

    #[test]
    fn a_mutated_conversation_opens_nothing_and_breaks_nothing(at: usize, bit in 0u8..8, which in 0usize..4) {
        let mut bench = Bench::new(Quirks::default());
        bench.client.open(bench.now);
        for step in 0..4 {
            let Some(mut packet) = bench.client.poll_out() else { break };
            if step == which {
                let at = at % packet.len();
                packet[at] ^= 1 << bit;
            }
            if let Some(reply) = bench.reply(&packet) {
                bench.client.receive(bench.now, &reply);
            }
        }
        bench.client = session(account(&[Suite::Seventeen], None));
        prop_assert!(matches!(bench.open(), Event::Opened(_)));
    }
}
