//! One RMCP+ session with one BMC, without sockets and without a clock: bytes and instants go in, bytes, deadlines and events come out.
//! Must never take a reply for the answer to a question it does not belong to, never send twice what may be sent only once, and never
//! open a session under a suite that is not allowed.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ipmi_rs_core::app::auth::{GetChannelAuthenticationCapabilities, PrivilegeLevel};
use ipmi_rs_core::connection::{Channel, IpmiCommand as _, Message};

use super::crypto::{BLOCK, Keys, Suite};
use super::fault::Fault;
use super::handshake::{self, Account, Facts, Role};
use super::live::{Live, Pending};
pub use super::live::{Request, Timing};
use super::wire::{self, Header};
use crate::given::Random;
use crate::limits;

/// A reply that was matched with its question.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reply {
    /// Completion code.
    pub code: u8,
    /// What follows it.
    pub data: Vec<u8>,
}

/// What became of something that was asked of a session.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// The session is open; the BMC proved that it knows the password and told this GUID.
    Opened([u8; BLOCK]),
    /// It could not be opened.
    Failed(Fault),
    /// The pending request is answered, or was given up. After a silence the session is closed.
    Answered(Result<Reply, Fault>),
    /// The session broke while nothing was asked.
    Lost,
}

/// How an open session is spoken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Spoken {
    /// The cipher suite.
    pub suite: Suite,
    /// How the BMC hashes the privilege.
    pub role: Role,
}

/// What became of bytes that came in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Heard {
    /// They moved something.
    Taken,
    /// They belong to nothing that is waited for; nothing changed.
    Ignored(&'static str),
}

/// A step of the handshake that is repeated until its reply comes.
#[derive(Debug)]
struct Step {
    first: u8,
    tag: u8,
    next: Instant,
    pause: Duration,
    until: Instant,
}

impl Step {
    fn sends(&self) -> u8 {
        self.tag.wrapping_sub(self.first).wrapping_add(1)
    }
}

enum Phase {
    Closed,
    /// Asked what the channel can do.
    Greeting,
    /// Open Session request sent.
    Opening,
    /// RAKP message 1 sent.
    Proving,
    /// RAKP message 3 sent.
    Confirming(Role),
    /// Open; while `raising` the privilege level is being raised and nobody else is served.
    Open {
        live: Box<Live>,
        raising: bool,
    },
}

/// See the module.
pub struct Session {
    account: Arc<Account>,
    timing: Timing,
    random: Random,
    phase: Phase,
    step: Option<Step>,
    facts: Facts,
    /// Which of the account's suites is tried.
    suite: usize,
    role: Role,
    restarts: u8,
    sequence: u8,
    out: VecDeque<Vec<u8>>,
    events: VecDeque<Event>,
}

impl Session {
    /// A closed session.
    pub fn new(account: Arc<Account>, timing: Timing, random: Random) -> Session {
        Session {
            account,
            timing,
            random,
            phase: Phase::Closed,
            step: None,
            facts: Facts::default(),
            suite: 0,
            role: Role::AsAsked,
            restarts: 0,
            sequence: 0,
            out: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// True if questions may be asked now.
    pub fn is_free(&self) -> bool {
        matches!(&self.phase, Phase::Open { live, raising: false } if live.pending.is_none())
    }

    /// How the present session is spoken; `None` while there is none.
    pub fn spoken(&self) -> Option<Spoken> {
        let open = matches!(self.phase, Phase::Open { .. });
        self.allowed().filter(|_| open).map(|suite| Spoken { suite, role: self.role })
    }

    /// True if there is no session and none is being opened.
    pub fn is_closed(&self) -> bool {
        matches!(self.phase, Phase::Closed)
    }

    /// Begins to open the session; ends in [`Event::Opened`] or [`Event::Failed`].
    pub fn open(&mut self, now: Instant) {
        if self.is_closed() {
            self.restarts = 0;
            self.phase = Phase::Greeting;
            self.begin(now);
        }
    }

    /// Asks; ends in [`Event::Answered`]. Nothing is sent unless [`Session::is_free`].
    pub fn ask(&mut self, now: Instant, request: Request) {
        if self.is_free() {
            self.put(now, request, false);
        } else {
            self.events.push_back(Event::Answered(Err(Fault::Expired)));
        }
    }

    /// Says farewell, once and without waiting for an answer.
    pub fn close(&mut self) {
        if let Phase::Open { live, .. } = &mut self.phase {
            let sequence = take(&mut self.sequence);
            let message = wire::message(sequence, APP, CLOSE_SESSION, &live.theirs.to_le_bytes());
            self.out.push_back(live.seal(&message, &*self.random));
        }
        self.drop_session();
    }

    /// The next packet to send.
    pub fn poll_out(&mut self) -> Option<Vec<u8>> {
        self.out.pop_front()
    }

    /// The next thing that happened.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When [`Session::tick`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        match (&self.phase, &self.step) {
            (Phase::Open { live, .. }, _) => Some(match &live.pending {
                Some(pending) => pending.due(),
                None => live.heard + self.timing.idle,
            }),
            (_, Some(step)) => Some(step.next.min(step.until)),
            _ => None,
        }
    }

    /// Time has come: sends again, gives up, or keeps alive.
    pub fn tick(&mut self, now: Instant) {
        if self.deadline().is_none_or(|deadline| deadline > now) {
            return;
        }
        match &mut self.phase {
            Phase::Closed => {}
            Phase::Open { live, .. } => match &mut live.pending {
                Some(pending) if pending.until <= now => self.give_up(),
                Some(_) => {
                    if let Some(packet) = live.again(now, &*self.random) {
                        self.out.push_back(packet);
                    }
                }
                None => self.put(now, Request { netfn: APP, command: GET_DEVICE_ID, data: Vec::new(), repeatable: true }, true),
            },
            _ if self.step.as_ref().is_some_and(|step| step.until <= now) => self.step_silent(now),
            _ => {
                if let Some(step) = &mut self.step {
                    step.tag = step.tag.wrapping_add(1);
                    step.next = now + step.pause;
                    step.pause = step.pause.saturating_mul(2);
                }
                self.send_step();
            }
        }
    }

    /// Bytes came from the BMC's address.
    pub fn receive(&mut self, now: Instant, packet: &[u8]) -> Heard {
        match self.phase {
            Phase::Closed => Heard::Ignored("no session"),
            Phase::Greeting => self.greeted(now, packet),
            Phase::Opening => self.on_step(now, packet, handshake::OPEN_REPLY),
            Phase::Proving => self.on_step(now, packet, handshake::RAKP_2),
            Phase::Confirming(_) => self.on_step(now, packet, handshake::RAKP_4),
            Phase::Open { .. } => self.on_message(now, packet),
        }
    }

    fn allowed(&self) -> Option<Suite> {
        self.account.suites.get(self.suite).copied()
    }

    /// Begins a step of the handshake: tag, time-out, first sending.
    fn begin(&mut self, now: Instant) {
        let mut first = [0];
        (self.random)(&mut first);
        let [first] = first;
        let pause = self.timing.pause;
        let until = now + self.timing.step;
        self.step = Some(Step { first, tag: first, next: now + pause, pause: pause.saturating_mul(2), until });
        self.send_step();
    }

    fn begin_opening(&mut self, now: Instant) {
        let mut id = [0; 4];
        (self.random)(&mut id);
        // 0 means "no session"
        self.facts = Facts { ours: u32::from_le_bytes(id).max(1), ..Facts::default() };
        self.phase = Phase::Opening;
        self.begin(now);
    }

    fn send_step(&mut self) {
        let (Some(step), Some(suite)) = (&self.step, self.allowed()) else { return };
        let (tag, repeated) = (step.tag, step.sends() > 1);
        let (kind, payload) = match self.phase {
            Phase::Greeting => {
                if repeated {
                    self.out.push_back(wire::ping(tag));
                }
                self.out.push_back(wire::bare(&greeting(tag % wire::SEQUENCES, self.account.privilege)));
                return;
            }
            Phase::Opening => {
                (handshake::OPEN_REQUEST, handshake::open_request(tag, self.account.privilege, self.facts.ours, suite))
            }
            Phase::Proving => (handshake::RAKP_1, self.account.rakp_1(tag, &self.facts)),
            Phase::Confirming(role) => (handshake::RAKP_3, self.account.rakp_3(tag, suite, &self.facts, role)),
            Phase::Closed | Phase::Open { .. } => return,
        };
        self.out.push_back(wire::plus(Header { kind, session: 0, sequence: 0 }, &payload));
    }

    fn step_silent(&mut self, now: Instant) {
        match self.phase {
            // it answered the greeting but not the offer: some BMCs drop what they do not understand
            Phase::Opening if self.suite + 1 < self.account.suites.len() => {
                self.suite += 1;
                self.begin_opening(now);
            }
            Phase::Greeting => self.fail(Fault::Silent("the first question")),
            Phase::Opening => self.fail(Fault::Silent("the request for a session")),
            _ => self.fail(Fault::Silent("the proof of the password")),
        }
    }

    fn fail(&mut self, fault: Fault) {
        self.drop_session();
        self.events.push_back(Event::Failed(fault));
    }

    fn drop_session(&mut self) {
        // the next session begins with the preferred suite again
        (self.phase, self.step, self.suite) = (Phase::Closed, None, 0);
    }

    /// From the beginning, where a retransmission may have muddled the handshake.
    fn restart(&mut self, now: Instant, fault: Fault) {
        self.restarts += 1;
        if self.restarts > limits::HANDSHAKES_MAX {
            self.fail(fault);
        } else {
            self.begin_opening(now);
        }
    }

    fn greeted(&mut self, now: Instant, packet: &[u8]) -> Heard {
        // A pong, or a refusal of the question: it is there, and the session tells the rest.
        if wire::is_pong(packet) {
            self.begin_opening(now);
            return Heard::Taken;
        }
        let Some(answer) = wire::read_bare(packet).and_then(wire::read_answer) else {
            return Heard::Ignored("no answer without a session");
        };
        let ours = self
            .step
            .as_ref()
            .is_some_and(|step| (0..step.sends()).any(|n| step.first.wrapping_add(n) % wire::SEQUENCES == answer.sequence));
        if answer.netfn != APP | 1 || answer.command != GET_CHANNEL_AUTHENTICATION || !ours {
            return Heard::Ignored("the answer to another question");
        }
        let told = (answer.code == 0).then(|| GetChannelAuthenticationCapabilities::parse_success_response(answer.data));
        match told {
            Some(Ok(told)) if !told.ipmi2_connections_supported => self.fail(Fault::NoCommonSuite("it speaks no IPMI 2.0")),
            _ => self.begin_opening(now),
        }
        Heard::Taken
    }

    fn on_step(&mut self, now: Instant, packet: &[u8], kind: u8) -> Heard {
        let Some((header, payload)) = wire::read_plus(packet) else { return Heard::Ignored("no RMCP+") };
        if header.kind != kind || header.session != 0 {
            return Heard::Ignored("another kind of payload");
        }
        let (Some((tag, status, ours)), Some(step), Some(suite)) = (handshake::head(payload), &self.step, self.allowed()) else {
            return Heard::Ignored("cut short");
        };
        // An older reply to the Open Session request is as good as the newest. RAKP 2 must be the newest: for each request the BMC
        // makes a new random number, and only the last one counts.
        let back = step.tag.wrapping_sub(tag);
        let newest = kind == handshake::RAKP_2;
        if back >= step.sends() || (newest && back != 0) {
            return Heard::Ignored("the reply to an older step");
        }
        if ours.is_some_and(|ours| ours != self.facts.ours) && (status == 0 || ours != Some(0)) {
            return Heard::Ignored("another session's reply");
        }
        if let Some(fault) = Fault::of_status(status) {
            self.step_refused(now, kind, fault);
            return Heard::Taken;
        }
        match kind {
            handshake::OPEN_REPLY => self.on_opened(now, payload, suite),
            handshake::RAKP_2 => self.on_challenge(now, payload, suite),
            _ => self.on_confirmed(now, payload, suite),
        }
    }

    fn step_refused(&mut self, now: Instant, kind: u8, fault: Fault) {
        let repeated = self.step.as_ref().is_some_and(|step| step.sends() > 1);
        match (kind, &fault) {
            (_, Fault::NoCommonSuite(_)) if self.suite + 1 < self.account.suites.len() => {
                self.suite += 1;
                self.begin_opening(now);
            }
            // It has just proved that it knows our password, so this is about how we hashed: some take the privilege as it was opened.
            (handshake::RAKP_4, Fault::WrongPassword) if self.role == Role::AsAsked => {
                self.role = Role::AsOpened;
                self.restart(now, Fault::Nonsense("it knows the password, but refuses the proof that we know it"));
            }
            (handshake::RAKP_4, Fault::WrongPassword) => {
                self.role = Role::AsAsked;
                self.fail(Fault::Nonsense("it knows the password, but refuses the proof that we know it"));
            }
            (_, Fault::Expired) => self.restart(now, Fault::Nonsense("it forgets sessions while they are opened")),
            _ if repeated && kind == handshake::RAKP_4 => self.restart(now, fault),
            _ => self.fail(fault),
        }
    }

    fn on_opened(&mut self, now: Instant, payload: &[u8], suite: Suite) -> Heard {
        let Some(opened) = handshake::opened(payload).filter(|opened| opened.theirs != 0) else {
            self.fail(Fault::Nonsense("a session without a number"));
            return Heard::Taken;
        };
        if opened.algorithms != suite.algorithms() {
            self.fail(Fault::NoCommonSuite("it answers with other algorithms than it was offered"));
            return Heard::Taken;
        }
        self.facts.theirs = opened.theirs;
        (self.random)(&mut self.facts.our_nonce);
        self.phase = Phase::Proving;
        self.begin(now);
        Heard::Taken
    }

    fn on_challenge(&mut self, now: Instant, payload: &[u8], suite: Suite) -> Heard {
        let Some((nonce, guid, code)) = handshake::challenge(payload) else {
            self.fail(Fault::Nonsense("a challenge that is cut short"));
            return Heard::Taken;
        };
        (self.facts.their_nonce, self.facts.guid) = (nonce, guid);
        match self.account.knows(suite, &self.facts, code) {
            Some(role) => {
                if role != Role::AsAsked {
                    self.role = role;
                }
                self.phase = Phase::Confirming(self.role);
                self.begin(now);
            }
            None => {
                let kept = self.account.knows_beginning(suite, &self.facts, code);
                self.fail(kept.map_or(Fault::WrongPassword, Fault::CutPassword));
            }
        }
        Heard::Taken
    }

    fn on_confirmed(&mut self, now: Instant, payload: &[u8], suite: Suite) -> Heard {
        let agreed = Role::ALL.into_iter().find_map(|role| {
            let sik = self.account.sik(suite, &self.facts, role);
            handshake::agrees(suite, &sik, &self.facts, payload).then_some(sik)
        });
        let Some(sik) = agreed else {
            self.fail(Fault::Key);
            return Heard::Taken;
        };
        let live = Live::new(&self.facts, Keys::of(suite, &sik), now);
        let raising = self.account.privilege > FIRST_PRIVILEGE;
        (self.phase, self.step) = (Phase::Open { live: Box::new(live), raising }, None);
        if raising {
            let data = vec![self.account.privilege];
            self.put(now, Request { netfn: APP, command: SET_SESSION_PRIVILEGE, data, repeatable: true }, true);
        } else {
            self.events.push_back(Event::Opened(self.facts.guid));
        }
        Heard::Taken
    }

    /// Sends a request on the open session.
    fn put(&mut self, now: Instant, request: Request, silent: bool) {
        let Phase::Open { live, .. } = &mut self.phase else { return };
        let sequence = take(&mut self.sequence);
        live.pending = Some(Pending::new(now, request, sequence, silent, &self.timing));
        if let Some(packet) = live.first(&*self.random) {
            self.out.push_back(packet);
        }
    }

    /// The pending request stays unanswered: whatever is behind the address, this session is not unbroken any more.
    fn give_up(&mut self) {
        let Phase::Open { live, raising } = &mut self.phase else { return };
        let Some(pending) = live.pending.take() else { return };
        let (raising, silent) = (*raising, pending.silent);
        if pending.busy && !raising {
            // it answers, so the session lives
            self.events.extend((!silent).then_some(Event::Answered(Err(Fault::Busy))));
            return;
        }
        self.close();
        self.events.push_back(match (raising, silent) {
            (true, _) if pending.busy => Event::Failed(Fault::Busy),
            (true, _) => Event::Failed(Fault::Silent("the request for the privilege level")),
            (false, true) => Event::Lost,
            (false, false) => Event::Answered(Err(Fault::Broken)),
        });
    }

    fn on_message(&mut self, now: Instant, packet: &[u8]) -> Heard {
        let Phase::Open { live, raising } = &mut self.phase else { return Heard::Ignored("no session") };
        let message = match live.open(now, packet) {
            Ok(message) => message,
            Err(why) => return Heard::Ignored(why),
        };
        let Some(answer) = wire::read_answer(&message) else { return Heard::Ignored("no message") };
        let Some(pending) = &mut live.pending else { return Heard::Ignored("nothing was asked") };
        if !pending.fits(&answer) {
            return Heard::Ignored("the answer to another question");
        }
        if answer.code == NODE_BUSY && pending.request.repeatable && now < pending.until {
            // it was answered, so the next sending is a new question and has a new number
            (pending.sequence, pending.busy) = (take(&mut self.sequence), true);
            return Heard::Taken;
        }
        let (silent, raising) = (pending.silent, std::mem::take(raising));
        let reply = Reply { code: answer.code, data: answer.data.to_vec() };
        live.pending = None;
        match (raising, reply.code) {
            // some say yes and give less
            (true, 0) if reply.data.first().is_none_or(|level| level & 0x0f >= self.account.privilege) => {
                self.events.push_back(Event::Opened(self.facts.guid));
            }
            (true, code) => {
                self.close();
                self.events.push_back(Event::Failed(match code {
                    NODE_BUSY => Fault::Busy,
                    _ => Fault::TooFewRights("the privilege level is refused"),
                }));
            }
            (false, _) if silent => {}
            (false, _) => self.events.push_back(Event::Answered(Ok(reply))),
        }
        Heard::Taken
    }
}

const APP: u8 = 0x06;
const GET_DEVICE_ID: u8 = 0x01;
const GET_CHANNEL_AUTHENTICATION: u8 = 0x38;
const SET_SESSION_PRIVILEGE: u8 = 0x3b;
const CLOSE_SESSION: u8 = 0x3c;
const NODE_BUSY: u8 = 0xc0;
/// The privilege level with which every session begins: user.
const FIRST_PRIVILEGE: u8 = 2;

/// The next number of a message; 6 bits.
fn take(sequence: &mut u8) -> u8 {
    *sequence = (*sequence + 1) % wire::SEQUENCES;
    *sequence
}

/// Get Channel Authentication Capabilities, 2.0 included.
fn greeting(sequence: u8, privilege: u8) -> Vec<u8> {
    let level = PrivilegeLevel::try_from(privilege).unwrap_or(PrivilegeLevel::User);
    let message = Message::from(GetChannelAuthenticationCapabilities::new(Channel::Current, level));
    wire::message(sequence, message.netfn_raw(), message.cmd(), message.data())
}
