//! The decoders of IPMI under hostile bytes, a line each, with the laws that hold whatever comes. For tests and fuzzers alone.
//! Must never take the arithmetic of a session for granted: what a session took must have been sealed with its keys.

mod records;

use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hostile::{Decoder, Group, decoder};
use vocabulary::power::{Identity, PowerState};
use zeroize::Zeroizing;

use super::crypto::{BLOCK, Keys, Suite};
use super::handshake::{self, Account, Facts, Role};
use super::session::{Event, Heard, Reply, Request, Session, Timing};
use super::wire::{self, Header};
use super::{commands, identity, presence};
use crate::limits;

/// What one packet holds before a session is there, and what a payload of the handshake holds.
pub const PACKETS: Group = Group {
    name: "ipmi_packets",
    home: env!("CARGO_MANIFEST_DIR"),
    input_max: wire::PACKET_MAX + 64,
    memory_max: 16 * 1024,
    words: &[&[0x06, 0x00, 0xff, 0x07], &[0x06, 0x00, 0xff, 0x06], &[0x00, 0x00, 0x11, 0xbe], &[wire::SEALED], &[0x81, 0x1c]],
    decoders: &[
        decoder("pong", wire::is_pong),
        decoder("answer to a search", |input| (0..=u8::MAX).any(|number| presence::answers(input, number))),
        decoder("packet without a session", bare),
        decoder("packet of 2.0", plus),
        decoder("answer", answer),
        decoder("head of the handshake", |input| handshake::head(input).is_some()),
        decoder("open session reply", |input| handshake::opened(input).is_some()),
        decoder("RAKP 2", |input| handshake::challenge(input).is_some()),
        decoder("RAKP 4", confirmed),
    ],
};

/// The data of answers, by command: first what was asked, then what came.
pub const ANSWERS: Group = Group {
    name: "ipmi_answers",
    home: env!("CARGO_MANIFEST_DIR"),
    input_max: 512,
    memory_max: 16 * 1024,
    words: &[&[0x01, 0x05], &[0x01, 0x85], &[0xff; 16], &[0x00; 16]],
    decoders: ANSWER_DECODERS,
};

/// A new command's decoder is a line here; a file `tests/corpus/ipmi_answers/<command>` that it takes goes with it.
const ANSWER_DECODERS: &[Decoder] = &[
    decoder("device id", |input| commands::read_device_id(input).is_some()),
    decoder("GUID", guid),
    decoder("chassis status", chassis),
    decoder("boot flags", |input| commands::read_flags(input).is_some_and(|flags| !flags.shown().is_empty())),
    decoder("channel authentication", channel),
    decoder("completion code", code),
];

/// What a survey asks for: inventory, sensors, log, watchdog.
pub const RECORDS: Group = Group {
    name: "ipmi_records",
    home: env!("CARGO_MANIFEST_DIR"),
    input_max: 512,
    memory_max: 64 * 1024,
    words: &[&[0x00, 0x04], &[0xc5, 0x00], &[0xcb, 0x00], &[0xca, 0x00], &[0xff, 0xff], &[0x00, 0x12, 0x02, 0x00], &[0x51, 0x01]],
    decoders: records::RECORDS,
};

/// A whole session: the input is a script of what the BMC, and whoever else knows its address, sends and when.
pub const SESSION: Group = Group {
    name: "ipmi_session",
    home: env!("CARGO_MANIFEST_DIR"),
    input_max: 512,
    memory_max: 64 * 1024,
    words: &[
        &[op::RIGHT, 0],
        &[op::RIGHT, 0, op::RIGHT, 0, op::RIGHT, 0, op::RIGHT, 0, op::RIGHT, 0],
        &[op::ASK, 1, 0, op::RIGHT, 2, 0, 0],
        &[op::ASK, 1, 3],
        &[op::TIME, 0],
        &[op::AGAIN, 0],
    ],
    decoders: &[decoder("handshake", |input| script(input).0), decoder("messages", |input| script(input).1)],
};

fn bare(input: &[u8]) -> bool {
    let Some(message) = wire::read_bare(input) else { return false };
    assert!(
        input.len() <= wire::PACKET_MAX && message.len() <= usize::from(u8::MAX),
        "as long as the packet says, and no longer"
    );
    assert_eq!(wire::read_bare(&wire::bare(message)), Some(message));
    true
}

fn plus(input: &[u8]) -> bool {
    let Some((header, payload)) = wire::read_plus(input) else { return false };
    let again = wire::plus(header, payload);
    assert_eq!(wire::read_plus(&again), Some((header, payload)));
    assert!(input.get(4..).is_some_and(|rest| again.get(4..).is_some_and(|again| rest.starts_with(again))), "nothing is made up");
    true
}

fn answer(input: &[u8]) -> bool {
    let Some(answer) = wire::read_answer(input) else { return false };
    assert!(answer.sequence < wire::SEQUENCES && answer.netfn < 64);
    assert_eq!(answer.data.len() + 8, input.len());
    true
}

/// No payload proves a key that it was not made with.
fn confirmed(input: &[u8]) -> bool {
    let (key, facts) = ([7; 20], Facts::default());
    for suite in [Suite::Three, Suite::Seventeen] {
        assert!(!handshake::agrees(suite, &key, &facts, input));
        let whole = suite.mac(&key, &[&facts.our_nonce, &facts.theirs.to_le_bytes(), &facts.guid]);
        let right: Vec<u8> = input.iter().take(8).chain(whole.iter().take(suite.code())).copied().collect();
        assert_eq!(handshake::agrees(suite, &key, &facts, &right), input.len() >= 8);
    }
    input.len() >= 8
}

fn guid(input: &[u8]) -> bool {
    let Some(guid) = commands::read_guid(input) else { return false };
    let who = |uuid: &str| Identity { uuid: uuid.to_owned(), serial: String::new() };
    let told = identity::told(guid, &who("00112233-4455-6677-8899-aabbccddeeff"));
    assert!(told.uuid.len() <= 36 && told.serial.is_empty());
    assert!(identity::strange(&told, &who("")).is_some(), "nobody is expected, so nobody fits");
    true
}

/// Off is read from one bit of a whole answer and from nothing else.
fn chassis(input: &[u8]) -> bool {
    let Some(status) = commands::read_chassis(input) else { return false };
    let off = (3..=4).contains(&input.len()) && input.first().is_some_and(|now| now & 0x01 == 0);
    assert_eq!(status.power == PowerState::Off, off);
    true
}

fn channel(input: &[u8]) -> bool {
    use ipmi_rs_core::app::auth::GetChannelAuthenticationCapabilities;
    use ipmi_rs_core::connection::IpmiCommand as _;
    GetChannelAuthenticationCapabilities::parse_success_response(input).is_ok()
}

fn code(input: &[u8]) -> bool {
    let [code, data @ ..] = input else { return false };
    match commands::good(&Reply { code: *code, data: data.to_vec() }) {
        Ok(_) => false,
        Err(code) => {
            let _ = (commands::kind(code), commands::is_not_yet(code), commands::is_doubtful(code));
            !commands::explained(code).is_empty()
        }
    }
}

/// What a line of a script does: a byte that says what (modulo the number of them), a length, so many bytes.
mod op {
    /// What the BMC would rightly send now; the bytes change what it says, before it is sealed.
    pub const RIGHT: u8 = 0;
    /// The same with one bit changed after it was sealed: place and bit.
    pub const BROKEN: u8 = 1;
    /// A packet as it stands.
    pub const RAW: u8 = 2;
    /// The bytes as the payload of the handshake that is waited for.
    pub const PAYLOAD: u8 = 3;
    /// The bytes as a message, sealed with the right keys.
    pub const MESSAGE: u8 = 4;
    /// An earlier packet once more.
    pub const AGAIN: u8 = 5;
    /// A question: which.
    pub const ASK: u8 = 6;
    /// Nothing happens until the session has something to do.
    pub const TIME: u8 = 7;
    /// The session is closed, or opened where it is.
    pub const TURN: u8 = 8;
    /// How many there are.
    pub const ALL: u8 = 9;
}

const TIMING: Timing = Timing {
    step: Duration::from_secs(4),
    request: Duration::from_secs(4),
    pause: Duration::from_secs(1),
    idle: limits::IPMI_KEEP_ALIVE,
};
const GUID: [u8; BLOCK] = [0x01, 0, 0, 0, 0, 0, 0, 0x40, 0x80, 0, 0, 0, 0, 0, 0, 0x01];
/// Packets that a script may send again.
const HISTORY_MAX: usize = 8;
/// Most packets that one line of a script may draw from the session.
const OUT_MAX: usize = 3;

thread_local! {
    static DRAWN: Cell<u8> = const { Cell::new(0) };
}

/// Different at each draw and the same for each script.
fn drawn(bytes: &mut [u8]) {
    for byte in bytes {
        DRAWN.set(DRAWN.get().wrapping_add(1));
        *byte = DRAWN.get();
    }
}

/// The session, and a BMC that knows the password.
struct Bench {
    session: Session,
    account: Arc<Account>,
    now: Instant,
    suite: Suite,
    facts: Facts,
    keys: Option<Keys>,
    /// Number of the newest greeting.
    greeting: u8,
    /// Kind and payload of the handshake's newest packet.
    step: Option<(u8, Vec<u8>)>,
    /// The newest question: number, network function, command.
    question: Option<(u8, u8, u8)>,
    sent: u32,
    history: Vec<Vec<u8>>,
    /// Power commands asked for, and packets that carried one.
    powers: (usize, usize),
    opened: bool,
    answered: bool,
}

/// Plays a script: whether a session was opened, and whether a question was answered.
fn script(input: &[u8]) -> (bool, bool) {
    DRAWN.set(0);
    let mut bench = Bench::new();
    let mut rest = input;
    while let [line, length, tail @ ..] = rest {
        let (data, tail) = tail.split_at(usize::from(*length).min(tail.len()));
        bench.play(line % op::ALL, data);
        rest = tail;
    }
    (bench.opened, bench.answered)
}

impl Bench {
    fn new() -> Bench {
        let account = Arc::new(Account {
            user: b"controller".to_vec(),
            password: Zeroizing::new(b"secret".to_vec()),
            key: None,
            privilege: 3,
            suites: vec![Suite::Seventeen, Suite::Three],
        });
        let now = Instant::now();
        let mut session = Session::new(Arc::clone(&account), TIMING, Arc::new(drawn));
        session.open(now);
        let facts = Facts { guid: GUID, theirs: 0x1000_0001, ..Facts::default() };
        let suite = Suite::Seventeen;
        let (opened, answered) = (false, false);
        let (keys, step, question, history) = (None, None, None, Vec::new());
        let (greeting, sent, powers) = (0, 0, (0, 0));
        let mut bench = Bench {
            session,
            account,
            now,
            suite,
            facts,
            keys,
            greeting,
            step,
            question,
            sent,
            history,
            powers,
            opened,
            answered,
        };
        bench.collect();
        bench
    }

    fn play(&mut self, line: u8, data: &[u8]) {
        match line {
            op::RIGHT => {
                if let Some((packet, told)) = self.right(data) {
                    self.deliver(&packet, true, told);
                }
            }
            op::BROKEN => {
                if let Some((mut packet, _)) = self.right(&[]) {
                    let sealed = wire::read_plus(&packet).is_some_and(|(header, _)| header.kind == wire::SEALED);
                    let [at, bit] = data.first_chunk::<2>().copied().unwrap_or_default();
                    // the RMCP header is not covered by the code
                    let at = 4 + usize::from(at) % packet.len().saturating_sub(4).max(1);
                    packet.get_mut(at).into_iter().for_each(|byte| *byte ^= 1 << (bit % 8));
                    self.deliver(&packet, !sealed, None);
                }
            }
            op::RAW => self.deliver(data, false, None),
            op::PAYLOAD => {
                let kind = self.step.as_ref().map_or(handshake::OPEN_REPLY, |(kind, _)| kind + 1);
                self.deliver(&wire::plus(Header { kind, session: 0, sequence: 0 }, data), false, None);
            }
            op::MESSAGE => {
                let fits = wire::read_answer(data)
                    .filter(|answer| Some((answer.sequence, answer.netfn & !1, answer.command)) == self.question);
                let told = fits.map(|answer| Reply { code: answer.code, data: answer.data.to_vec() });
                if let Some(packet) = self.seal(data) {
                    self.deliver(&packet, true, told);
                }
            }
            op::AGAIN => {
                let which = usize::from(data.first().copied().unwrap_or(0)) % self.history.len().max(1);
                if let Some(packet) = self.history.get(which).cloned() {
                    // one of the handshake may be taken twice, one of the session never
                    let sealed = wire::read_plus(&packet).is_some_and(|(header, _)| header.kind == wire::SEALED);
                    self.deliver(&packet, !sealed, None);
                }
            }
            op::ASK => self.ask(data),
            op::TIME => {
                self.now = self.session.deadline().map_or(self.now, |deadline| deadline.max(self.now));
                self.session.tick(self.now);
            }
            _ if self.session.is_closed() => self.session.open(self.now),
            _ => {
                self.session.close();
                self.question = None;
            }
        }
        self.collect();
        self.events(None, false);
    }

    fn ask(&mut self, data: &[u8]) {
        let request = match data.first().map_or(0, |which| which % 4) {
            0 => commands::chassis_status(),
            1 => commands::device_id(),
            2 => Request { netfn: 0x2e, command: 0x01, data: data.to_vec(), repeatable: true },
            _ => commands::chassis_control(commands::Control::Down),
        };
        if self.session.is_free() && !request.repeatable {
            self.powers.0 += 1;
        }
        self.session.ask(self.now, request);
    }

    /// What the BMC would send to the newest packet, changed as told, and sealed; and what a question would be answered with.
    fn right(&mut self, change: &[u8]) -> Option<(Vec<u8>, Option<Reply>)> {
        if let Some((sequence, netfn, command)) = self.question {
            let (code, data) = change.split_first().map_or((0, &[][..]), |(code, data)| (*code, data));
            let level = [self.account.privilege];
            let data = if data.is_empty() && command == 0x3b { &level } else { data };
            let head = [0x81, (netfn | 1) << 2, 0, 0x20, sequence << 2, command, code];
            let packet = self.seal(&[&head[..], data, &[0]].concat())?;
            return Some((packet, Some(Reply { code, data: data.to_vec() })));
        }
        let Some((kind, asked)) = self.step.clone() else {
            let data = [1, 0x80, 0x04, 0x02, 0, 0, 0, 0];
            let head = [0x81, 0x1c, 0, 0x20, self.greeting << 2, 0x38, 0];
            return Some((wire::bare(&[&head[..], &data, &[0]].concat()), None));
        };
        let tag = *asked.first()?;
        let payload = match kind {
            handshake::OPEN_REQUEST => {
                self.facts.ours = u32::from_le_bytes(*asked.get(4..)?.first_chunk::<4>()?);
                let offered = *asked.get(12)?;
                self.suite = if offered == 3 { Suite::Seventeen } else { Suite::Three };
                let mut payload = [&[tag, 0, 3, 0], self.facts.ours.to_le_bytes().as_slice()].concat();
                payload.extend(self.facts.theirs.to_le_bytes());
                for (kind, algorithm) in (0u8..).zip(self.suite.algorithms()) {
                    payload.extend([kind, 0, 0, 8, algorithm, 0, 0, 0]);
                }
                payload
            }
            handshake::RAKP_1 => {
                self.facts.our_nonce = *asked.get(8..)?.first_chunk::<BLOCK>()?;
                let mut told = [[0x55; BLOCK], GUID].concat();
                told.iter_mut().zip(change).for_each(|(byte, change)| *byte ^= change);
                self.facts.their_nonce = *told.first_chunk::<BLOCK>()?;
                self.facts.guid = *told.last_chunk::<BLOCK>()?;
                let ids = [self.facts.ours.to_le_bytes(), self.facts.theirs.to_le_bytes()].concat();
                let parts: [&[u8]; 4] = [&ids, &self.facts.our_nonce, &told, &self.name()];
                let code = self.suite.mac(&self.account.password, &parts);
                [&[tag, 0, 0, 0], self.facts.ours.to_le_bytes().as_slice(), &told, &code].concat()
            }
            _ => {
                let sik = self.account.sik(self.suite, &self.facts, Role::AsAsked);
                let theirs = self.facts.theirs.to_le_bytes();
                let code = self.suite.mac(&sik, &[&self.facts.our_nonce, &theirs, &self.facts.guid]);
                (self.keys, self.sent) = (Some(Keys::of(self.suite, &sik)), 0);
                let code = code.get(..self.suite.code())?;
                [&[tag, 0, 0, 0], self.facts.ours.to_le_bytes().as_slice(), code].concat()
            }
        };
        Some((wire::plus(Header { kind: kind + 1, session: 0, sequence: 0 }, &payload), None))
    }

    fn name(&self) -> Vec<u8> {
        let length = u8::try_from(self.account.user.len()).unwrap_or(0);
        [&[0x10 | self.account.privilege, length], self.account.user.as_slice()].concat()
    }

    fn seal(&mut self, message: &[u8]) -> Option<Vec<u8>> {
        let keys = self.keys.as_ref()?;
        self.sent += 1;
        let header = Header { kind: wire::SEALED, session: self.facts.ours, sequence: self.sent };
        let mut packet = wire::plus(header, &keys.encrypt(&[0x33; BLOCK], message));
        wire::fill(&mut packet);
        let code = keys.code(wire::covered(&packet)?);
        packet.extend(code);
        Some(packet)
    }

    /// A packet comes. `proven`: the BMC made it; `told`: what the pending question may be answered with.
    fn deliver(&mut self, packet: &[u8], proven: bool, told: Option<Reply>) {
        let open = self.session.spoken().is_some();
        let heard = self.session.receive(self.now, packet);
        assert!(proven || !open || heard != Heard::Taken, "an open session was moved by bytes that its keys did not seal");
        if self.history.len() == HISTORY_MAX {
            self.history.remove(0);
        }
        self.history.push(packet.to_vec());
        self.collect();
        self.events(told, proven);
    }

    /// What happened is what may have happened.
    fn events(&mut self, told: Option<Reply>, proven: bool) {
        while let Some(event) = self.session.poll_event() {
            match event {
                Event::Opened(guid) => {
                    assert!(proven && self.keys.is_some(), "a session was opened without a proof");
                    assert_eq!(guid, self.facts.guid);
                    self.opened = true;
                }
                Event::Answered(Ok(reply)) => {
                    assert_eq!(Some(reply), told, "an answer that nobody gave");
                    self.answered = true;
                }
                Event::Answered(Err(_)) | Event::Failed(_) | Event::Lost => {}
            }
            if self.session.is_free() || self.session.is_closed() {
                self.question = None;
            }
        }
    }

    /// Takes in what the session sends.
    fn collect(&mut self) {
        let mut count = 0;
        while let Some(packet) = self.session.poll_out() {
            count += 1;
            assert!(count <= OUT_MAX && packet.len() <= wire::PACKET_MAX, "it sends more than one line of a script can ask for");
            let Some((header, payload)) = wire::read_plus(&packet) else {
                let sequence = wire::read_bare(&packet).and_then(|message| message.get(4));
                self.greeting = sequence.map_or(self.greeting, |sequence| sequence >> 2);
                (self.step, self.question) = (None, None);
                continue;
            };
            if header.kind != wire::SEALED {
                (self.step, self.question) = (Some((header.kind, payload.to_vec())), None);
                // once the proof is made the keys are what they are
                self.keys = self.keys.take().filter(|_| header.kind == handshake::RAKP_3);
                continue;
            }
            let message = self.keys.as_ref().and_then(|keys| {
                let covered = wire::covered(&packet).and_then(|covered| keys.proven(covered));
                covered.and_then(|_| keys.decrypt(payload))
            });
            assert!(message.is_some(), "what the client sends is sealed with the session's keys");
            if let [_, netfn, _, _, sequence, command, ..] = message.unwrap_or_default().as_slice() {
                self.question = Some((sequence >> 2, netfn >> 2, *command));
                self.powers.1 += usize::from((netfn >> 2, *command) == (0x00, 0x02));
            }
        }
        assert!(self.powers.1 <= self.powers.0, "a power command went out more often than it was asked for");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::given::Given;
    use crate::ipmi::peer::{Peer, account};
    use proptest::prelude::*;

    fn corpus(group: &Group) -> String {
        format!("{}/tests/corpus/{}", group.home, group.name)
    }

    /// A conversation with the BMC in memory, and its pieces.
    fn packets() -> Vec<(&'static str, Vec<u8>)> {
        let mut session = Session::new(Arc::new(account("secret")), TIMING, Given::by_the_machine().random);
        let mut peer = Peer::new(account("secret"));
        let (mut said, now) = (Vec::new(), Instant::now());
        session.open(now);
        for name in ["greeted", "opened", "challenged", "confirmed", "raised", "read"] {
            if session.is_free() {
                session.ask(now, commands::chassis_status());
            }
            let reply = peer.receive(&session.poll_out().unwrap()).unwrap();
            session.receive(now, &reply);
            said.push((name, reply));
        }
        let payload = |of: usize| wire::read_plus(&said[of].1).unwrap().1.to_vec();
        let message = wire::read_bare(&said[0].1).unwrap().to_vec();
        let pieces = [
            ("pong", peer.receive(&wire::ping(7)).unwrap()),
            ("message", message),
            ("payload-opened", payload(1)),
            ("payload-challenged", payload(2)),
            ("payload-confirmed", payload(3)),
        ];
        said.into_iter().chain(pieces).collect()
    }

    /// Scripts in which everything goes well, and in which somebody interferes.
    fn scripts() -> Vec<(&'static str, Vec<u8>)> {
        let open = [op::RIGHT, 0].repeat(5);
        let read: &[u8] = &[op::ASK, 1, 0, op::RIGHT, 4, 0, 1, 0, 0];
        let all = |parts: &[&[u8]]| [&[open.as_slice()], parts].concat().concat();
        vec![
            ("reads", all(&[read, read, &[op::ASK, 1, 1, op::RIGHT, 3, 0, 0x20, 1]])),
            ("power", all(&[&[op::ASK, 1, 3, op::RIGHT, 1, 0xc0, op::ASK, 1, 3, op::TIME, 0, op::TURN, 0], &open, read])),
            ("late", all(&[&[op::ASK, 1, 0, op::TIME, 0, op::RIGHT, 4, 0, 0, 0, 0, op::AGAIN, 1, 5], read])),
            ("broken", all(&[&[op::ASK, 1, 0, op::BROKEN, 2, 20, 3], &[op::RIGHT, 4, 0, 1, 0, 0]])),
            ("busy", all(&[&[op::ASK, 1, 0, op::RIGHT, 1, 0xc0, op::TIME, 0], &[op::RIGHT, 4, 0, 1, 0, 0]])),
            ("closed", all(&[read, &[op::TURN, 0, op::TURN, 0], &open, read])),
            (
                "strangers",
                all(&[&[op::RAW, 4, 6, 0, 0xff, 7, op::PAYLOAD, 2, 1, 0], &[op::MESSAGE, 8, 0x81, 4, 0, 0x20, 0, 1, 0, 0], read]),
            ),
            ("slow", [&[op::TIME, 0].repeat(2), open.as_slice(), read].concat()),
        ]
    }

    #[test]
    fn packets_under_hostile_bytes() {
        hostile::capture(&corpus(&PACKETS), &packets());
        hostile::run(&PACKETS);
    }

    #[test]
    fn answers_under_hostile_bytes() {
        hostile::run(&ANSWERS);
    }

    #[test]
    fn records_under_hostile_bytes() {
        hostile::run(&RECORDS);
    }

    #[test]
    fn a_session_under_hostile_scripts() {
        hostile::capture(&corpus(&SESSION), &scripts());
        for (name, script_of_ours) in scripts() {
            assert_eq!(script(&script_of_ours), (true, true), "{name}");
        }
        hostile::run(&SESSION);
    }

    proptest! {
        /// The same laws, with inputs that proptest can make small.
        #[test]
        fn no_script_breaks_a_session(lines in proptest::collection::vec((0..op::ALL, proptest::collection::vec(any::<u8>(), 0..40)), 0..20)) {
            let line = |(line, data): (u8, Vec<u8>)| [&[line, u8::try_from(data.len()).unwrap()], data.as_slice()].concat();
            script(&[[op::RIGHT, 0].repeat(5), lines.into_iter().flat_map(line).collect()].concat());
        }
    }
}
