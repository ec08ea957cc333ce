//! RMCP+ as a BMC speaks it, without sockets, clock or chance of its own: packets and instants go in, packets and requests come out.
//! Must never let a request through that no session proves, never act on a packet twice, and never grow beyond its bounds: anyone may send.

pub(super) mod crypto;
pub mod handshake;
mod live;
pub mod message;
pub(super) mod wire;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crypto::{BLOCK, Keys, Suite, same};
use wire::Header;

use crate::bmc::limits;
use crate::bmc::quirks::{AccountState, Privilege, Quirks, RoleHashing, StrongSuite};
use crate::dice::Dice;
use handshake::status;
use live::{Live, Recall};
pub use message::Head;
pub use wire::PACKET_MAX;

/// Privilege levels.
pub const USER: u8 = 2;
pub const OPERATOR: u8 = 3;
pub const ADMINISTRATOR: u8 = 4;
/// The privilege level in the role byte; the rest is the mark of a look-up by name.
const LEVEL: u8 = 0x0f;
/// Longest user name, and longest password, bytes; a BMC cuts a longer password without a word.
const USER_MAX: usize = 16;
const PASSWORD_MAX: usize = 20;
/// Longest password of IPMI 1.5.
const SHORT_PASSWORD_MAX: usize = 16;
/// The password of a BMC whose account has another one than its clients believe.
const OTHER_PASSWORD: &[u8] = b"changed by somebody";

/// What the BMC is at this moment.
pub struct Face<'a> {
    /// The account's name.
    pub user: &'a [u8],
    /// Its password.
    pub password: &'a [u8],
    /// The BMC key (K_G), where there is one.
    pub key: Option<&'a [u8]>,
    /// What it tells as GUID.
    pub guid: [u8; BLOCK],
    /// The account is locked for a while, after too many failures.
    pub locked: bool,
    /// The lies of the moment.
    pub quirks: &'a Quirks,
}

impl Face<'_> {
    fn password(&self) -> &[u8] {
        match self.quirks.account {
            AccountState::OtherPassword => OTHER_PASSWORD,
            AccountState::ShortPassword => self.password.get(..SHORT_PASSWORD_MAX).unwrap_or(self.password),
            AccountState::Usable | AccountState::Locked | AccountState::Disabled => {
                self.password.get(..PASSWORD_MAX).unwrap_or(self.password)
            }
        }
    }

    fn takes(&self, user: &[u8]) -> bool {
        let usable =
            matches!(self.quirks.account, AccountState::Usable | AccountState::OtherPassword | AccountState::ShortPassword);
        usable && !self.locked && !user.is_empty() && user == self.user
    }

    fn cap(&self) -> usize {
        self.quirks.ipmi_session_cap.min(limits::IPMI_SESSIONS_MOST)
    }

    fn suite(&self, algorithms: [u8; 3]) -> Result<Suite, Refusal> {
        match [Suite::Three, Suite::Seventeen].into_iter().find(|suite| suite.algorithms() == algorithms) {
            Some(Suite::Three) => Ok(Suite::Three),
            Some(Suite::Seventeen) => match self.quirks.ipmi_suite_17 {
                StrongSuite::Taken => Ok(Suite::Seventeen),
                StrongSuite::Refused => Err(Refusal::Status(status::INVALID_AUTHENTICATION)),
                StrongSuite::Dropped => Err(Refusal::Silence),
            },
            None => Err(Refusal::Status(match algorithms {
                [authentication, _, _] if !matches!(authentication, 1 | 3) => status::INVALID_AUTHENTICATION,
                [_, integrity, _] if !matches!(integrity, 1 | 4) => status::INVALID_INTEGRITY,
                [_, _, 1] => status::NO_SUITE,
                _ => status::INVALID_CONFIDENTIALITY,
            })),
        }
    }
}

/// The highest privilege level of an account.
pub fn level(privilege: Privilege) -> u8 {
    match privilege {
        Privilege::User => USER,
        Privilege::Operator => OPERATOR,
        Privilege::Administrator => ADMINISTRATOR,
    }
}

enum Refusal {
    Status(u8),
    Silence,
}

/// The way by which a request came, which is the way of its reply.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    /// Without a session, in the form of IPMI 1.5.
    Bare,
    /// Without a session, in the form of 2.0.
    Plus,
    /// In the session of this id, as its so manyth request.
    Session(u32, u64),
}

/// A request that is to be answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Asked {
    way: Way,
    /// What is asked.
    pub head: Head,
    /// Its data.
    pub data: Vec<u8>,
    /// The privilege level of its session; 0 outside of one.
    pub privilege: u8,
}

impl Asked {
    /// The session it came in.
    pub fn session(&self) -> Option<u32> {
        match self.way {
            Way::Session(id, _) => Some(id),
            Way::Bare | Way::Plus => None,
        }
    }
}

/// What became of a packet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Heard {
    /// This is to be sent; `again` names network function and command of a request that is answered from memory.
    Reply { packet: Vec<u8>, again: Option<(u8, u8)> },
    /// This is to be sent: the password was not proven.
    Refused(Vec<u8>),
    /// This is to be answered.
    Asked(Asked),
    /// Nothing is to be done.
    Ignored(&'static str),
}

/// A session that is being opened.
struct Half {
    id: u32,
    console: u32,
    from: SocketAddr,
    suite: Suite,
    /// The privilege level of the Open Session request, as it came.
    offered: u8,
    since: Instant,
    proving: Option<Proving>,
}

/// What RAKP messages 1 and 2 said.
struct Proving {
    theirs: [u8; BLOCK],
    ours: [u8; BLOCK],
    /// Role, length and name as they are hashed.
    name: Vec<u8>,
    /// The privilege level that was asked for.
    asked: u8,
    guid: [u8; BLOCK],
}

/// The sessions of one BMC, open or being opened.
#[derive(Default)]
pub struct Table {
    half: Vec<Half>,
    live: Vec<Live>,
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Table({} open, {} being opened)", self.live.len(), self.half.len())
    }
}

impl Table {
    /// A packet came.
    pub fn receive(&mut self, now: Instant, from: SocketAddr, packet: &[u8], face: &Face<'_>, dice: &Dice) -> Heard {
        self.expire(now, Duration::from_millis(face.quirks.ipmi_session_timeout_ms));
        if let Some(tag) = message::pinged(packet) {
            return if face.quirks.ipmi_ping { said(message::pong(tag)) } else { Heard::Ignored("pings are not answered") };
        }
        if let Some(message) = wire::read_bare(packet) {
            return outside(message, Way::Bare);
        }
        let Some((header, payload)) = wire::read_plus(packet) else { return Heard::Ignored("no RMCP+") };
        match (header.kind, header.session) {
            (wire::MESSAGE, 0) => outside(payload, Way::Plus),
            (handshake::OPEN_REQUEST, 0) => self.offered(now, from, payload, face, dice),
            (handshake::RAKP_1, 0) => self.challenged(payload, face, dice),
            (handshake::RAKP_3, 0) => self.proved(now, payload, face),
            (kind, id) if kind == wire::SEALED | wire::MESSAGE => self.sealed(now, id, packet, dice),
            _ => Heard::Ignored("neither of the handshake nor encrypted and authenticated"),
        }
    }

    /// The reply to a request; None if its session is gone.
    pub fn answer(&mut self, asked: &Asked, code: u8, data: &[u8], dice: &Dice) -> Option<Vec<u8>> {
        let message = asked.head.reply(code, data);
        match asked.way {
            Way::Bare => Some(wire::bare(&message)),
            Way::Plus => Some(wire::plus(Header { kind: wire::MESSAGE, session: 0, sequence: 0 }, &message)),
            Way::Session(id, number) => {
                let live = self.live.iter_mut().find(|live| live.id == id)?;
                live.remember(number, &message);
                let packet = live.seal(&message, dice);
                self.live.retain(|live| live.id != id || !live.closing);
                Some(packet)
            }
        }
    }

    /// Raises or lowers a session's privilege level (0: as it is) and tells it; Err is a completion code.
    pub fn set_level(&mut self, id: u32, wanted: u8, limit: u8) -> Result<u8, u8> {
        /// "Requested level exceeds the limit of user or channel".
        const EXCEEDS: u8 = 0x81;
        /// "Invalid data field".
        const NO_LEVEL: u8 = 0xcc;
        let live = self.live.iter_mut().find(|live| live.id == id).ok_or(NO_LEVEL)?;
        match wanted {
            0 => {}
            1 | 5.. => return Err(NO_LEVEL),
            wanted if wanted > live.limit.min(limit) => return Err(EXCEEDS),
            wanted => live.level = wanted,
        }
        Ok(live.level)
    }

    /// Ends a session; the one that asks for its own end is ended by the reply. False if there is none of that id.
    pub fn close(&mut self, id: u32, asking: Option<u32>) -> bool {
        let Some(live) = self.live.iter_mut().find(|live| live.id == id) else { return false };
        live.closing = true;
        self.live.retain(|live| !live.closing || asking == Some(live.id));
        true
    }

    /// Forgets all of them, as a BMC that restarted.
    pub fn clear(&mut self) {
        *self = Table::default();
    }

    /// The ids of those that are open.
    pub fn ids(&self) -> impl Iterator<Item = u32> {
        self.live.iter().map(|live| live.id)
    }

    /// How many are being opened.
    pub fn opening(&self) -> usize {
        self.half.len()
    }

    /// How many are open.
    pub fn count(&mut self, now: Instant, timeout: Duration) -> usize {
        self.expire(now, timeout);
        self.live.len()
    }

    fn expire(&mut self, now: Instant, timeout: Duration) {
        self.half.retain(|half| now.saturating_duration_since(half.since) <= limits::HALF_OPEN);
        self.live.retain(|live| now.saturating_duration_since(live.heard) <= timeout);
    }

    fn offered(&mut self, now: Instant, from: SocketAddr, payload: &[u8], face: &Face<'_>, dice: &Dice) -> Heard {
        let Some(offer) = handshake::read_offer(payload) else { return Heard::Ignored("an offer cut short") };
        let refuse = |status| handshaken(handshake::OPEN_REPLY, &handshake::refused(offer.tag, status, offer.console));
        let suite = match face.suite(offer.algorithms) {
            Ok(suite) => suite,
            Err(Refusal::Status(status)) => return said(refuse(status)),
            Err(Refusal::Silence) => return Heard::Ignored("an offer that is not understood"),
        };
        if offer.privilege > ADMINISTRATOR {
            return said(refuse(status::INVALID_ROLE));
        }
        if self.live.len() >= face.cap() {
            return said(refuse(status::INSUFFICIENT_RESOURCES));
        }
        // an offer that is repeated is the same session, so that an answer under way stays good
        let before = self.half.iter().find(|half| (half.from, half.console, half.suite) == (from, offer.console, suite));
        let id = match before {
            Some(half) => half.id,
            None => {
                let id = self.fresh(dice);
                if self.half.len() >= limits::HALF_OPEN_MAX {
                    self.half.remove(0);
                }
                let (console, offered) = (offer.console, offer.privilege);
                self.half.push(Half { id, console, from, suite, offered, since: now, proving: None });
                id
            }
        };
        let privilege = if offer.privilege == 0 { ADMINISTRATOR } else { offer.privilege };
        said(handshaken(handshake::OPEN_REPLY, &handshake::opened(&offer, privilege, id, suite)))
    }

    /// A session id that nobody has.
    fn fresh(&self, dice: &Dice) -> u32 {
        let mut bytes = [0; 4];
        dice.fill(&mut bytes);
        let mut id = u32::from_le_bytes(bytes).max(1);
        while self.half.iter().any(|half| half.id == id) || self.live.iter().any(|live| live.id == id) {
            id = id.wrapping_add(1).max(1);
        }
        id
    }

    fn challenged(&mut self, payload: &[u8], face: &Face<'_>, dice: &Dice) -> Heard {
        let Some(one) = handshake::read_challenge(payload) else { return Heard::Ignored("a challenge cut short") };
        let refuse = |status, console| said(handshaken(handshake::RAKP_2, &handshake::refused(one.tag, status, console)));
        let Some(half) = self.half.iter_mut().find(|half| half.id == one.id) else {
            return refuse(status::INVALID_SESSION, 0);
        };
        let (asked, limit) = (one.role & LEVEL, level(face.quirks.privilege));
        if one.name.len() > USER_MAX {
            return refuse(status::INVALID_NAME_LENGTH, half.console);
        }
        if !face.takes(one.name) {
            return refuse(status::UNAUTHORIZED_NAME, half.console);
        }
        if asked == 0 || asked > ADMINISTRATOR {
            return refuse(status::INVALID_ROLE, half.console);
        }
        if asked > limit || (half.offered != 0 && asked > half.offered) {
            return refuse(status::UNAUTHORIZED_ROLE, half.console);
        }
        let role = match face.quirks.ipmi_role {
            RoleHashing::AsAsked => one.role,
            RoleHashing::AsOpened => half.offered,
            RoleHashing::Maximum => limit,
        };
        let name = [&[role, one.length], one.name].concat();
        let mut ours = [0; BLOCK];
        dice.fill(&mut ours);
        let ids = [half.console.to_le_bytes(), half.id.to_le_bytes()].concat();
        let code = half.suite.mac(face.password(), &[&ids, &one.nonce, &ours, &face.guid, &name]);
        let payload = handshake::challenge(one.tag, half.console, &ours, &face.guid, &code);
        half.proving = Some(Proving { theirs: one.nonce, ours, name, asked, guid: face.guid });
        said(handshaken(handshake::RAKP_2, &payload))
    }

    fn proved(&mut self, now: Instant, payload: &[u8], face: &Face<'_>) -> Heard {
        let Some(three) = handshake::read_proof(payload) else { return Heard::Ignored("a proof cut short") };
        let refuse = |status, console| handshaken(handshake::RAKP_4, &handshake::refused(three.tag, status, console));
        let Some(at) = self.half.iter().position(|half| half.id == three.id) else {
            return self.confirmed_again(three.tag, three.id).unwrap_or_else(|| said(refuse(status::INVALID_SESSION, 0)));
        };
        let half = self.half.swap_remove(at);
        if three.status != 0 {
            return Heard::Ignored("the console gives up");
        }
        let Some(proving) = &half.proving else { return said(refuse(status::INVALID_SESSION, half.console)) };
        let mac = |key: &[u8], parts: &[&[u8]]| half.suite.mac(key, parts);
        let right = mac(face.password(), &[&proving.ours, &half.console.to_le_bytes(), &proving.name]);
        if !same(&right, three.code) {
            return Heard::Refused(refuse(status::INVALID_PROOF, half.console));
        }
        if self.live.len() >= face.cap() {
            return said(refuse(status::INSUFFICIENT_RESOURCES, half.console));
        }
        let sik = mac(face.key.unwrap_or(face.password()), &[&proving.theirs, &proving.ours, &proving.name]);
        let whole = mac(&sik, &[&proving.theirs, &half.id.to_le_bytes(), &proving.guid]);
        let code = whole.get(..half.suite.code()).unwrap_or_default();
        let mut live = Live::new(half.id, half.console, proving.asked, Keys::of(half.suite, &sik), now);
        live.confirmation = Some(code.to_vec());
        self.live.push(live);
        said(handshaken(handshake::RAKP_4, &handshake::confirmed(three.tag, half.console, code)))
    }

    /// RAKP message 4 once more, for a console that missed it.
    fn confirmed_again(&self, tag: u8, id: u32) -> Option<Heard> {
        let live = self.live.iter().find(|live| live.id == id)?;
        let code = live.confirmation.as_ref()?;
        Some(said(handshaken(handshake::RAKP_4, &handshake::confirmed(tag, live.console, code))))
    }

    fn sealed(&mut self, now: Instant, id: u32, packet: &[u8], dice: &Dice) -> Heard {
        let Some(live) = self.live.iter_mut().find(|live| live.id == id) else { return Heard::Ignored("no such session") };
        let question = match live.open(now, packet) {
            Ok(question) => question,
            Err(why) => return Heard::Ignored(why),
        };
        let Some((head, data)) = message::read(&question) else { return Heard::Ignored("no request") };
        live.confirmation = None;
        match live.recall(now, &question) {
            Recall::New(number) => {
                Heard::Asked(Asked { way: Way::Session(id, number), head, data: data.to_vec(), privilege: live.level })
            }
            Recall::Said(reply) => Heard::Reply { packet: live.seal(&reply, dice), again: Some((head.netfn, head.command)) },
            Recall::Working => Heard::Ignored("it is still worked on"),
        }
    }
}

fn outside(message: &[u8], way: Way) -> Heard {
    match message::read(message) {
        Some((head, data)) => Heard::Asked(Asked { way, head, data: data.to_vec(), privilege: 0 }),
        None => Heard::Ignored("no request"),
    }
}

fn said(packet: Vec<u8>) -> Heard {
    Heard::Reply { packet, again: None }
}

/// A packet of the handshake.
fn handshaken(kind: u8, payload: &[u8]) -> Vec<u8> {
    wire::plus(Header { kind, session: 0, sequence: 0 }, payload)
}
