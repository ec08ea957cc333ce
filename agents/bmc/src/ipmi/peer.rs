//! The other side of the wire for tests: a BMC that keeps to the specification, or not, as told. Whether its arithmetic is right is shown
//! by `ipmitool` (below). Must never be used outside tests.

use super::crypto::{Keys, Suite};
use super::handshake::{self, Account, Facts, Role};
use super::wire::{self, Header};
use std::collections::BTreeMap;
use zeroize::Zeroizing;

pub const GUID: [u8; 16] = [0x01, 0, 0, 0, 0, 0, 0, 0x40, 0x80, 0, 0, 0, 0, 0, 0, 0x01];

/// An account of the same shape as the client's stands for the BMC's user.
pub fn account(password: &str) -> Account {
    Account {
        user: b"controller".to_vec(),
        password: Zeroizing::new(password.as_bytes().to_vec()),
        key: None,
        privilege: 3,
        suites: vec![Suite::Seventeen, Suite::Three],
    }
}

pub struct Peer {
    pub user: Account,
    /// How it hashes in RAKP message 2, and from there on.
    pub roles: [Role; 2],
    /// How it hashes the privilege into the session's key, if otherwise than into the proofs.
    pub key_role: Option<Role>,
    /// Offers it does not take are dropped, not refused.
    pub drops_offers: bool,
    /// A status it gives instead of an answer to a payload of this type.
    pub refuses: Option<(u8, u8)>,
    /// Algorithms it claims to have chosen.
    pub claims: Option<[u8; 3]>,
    /// Does not answer the first question.
    pub shy: bool,
    /// Completion codes it gives before it answers properly.
    pub codes: Vec<u8>,
    /// The privilege level it gives, whatever is asked.
    pub grants: Option<u8>,
    /// Completion code and data by netfn, command and data: a recording, in which nothing ever changes. What it lacks is no command.
    pub recording: Option<BTreeMap<Vec<u8>, Vec<u8>>>,
    pub on: bool,
    pub controls: u32,
    /// Session sequence number, number of the question, command of what came.
    pub seen: Vec<(u32, u8, u8)>,
    facts: Facts,
    privilege: u8,
    suite: Suite,
    keys: Option<Keys>,
    sent: u32,
    drawn: u8,
}

impl Peer {
    pub fn new(user: Account) -> Peer {
        Peer {
            user,
            roles: [Role::AsAsked; 2],
            key_role: None,
            drops_offers: false,
            refuses: None,
            claims: None,
            shy: false,
            codes: Vec::new(),
            grants: None,
            recording: None,
            on: false,
            controls: 0,
            seen: Vec::new(),
            facts: Facts { guid: GUID, ..Facts::default() },
            privilege: 0,
            suite: Suite::Three,
            keys: None,
            sent: 0,
            drawn: 0,
        }
    }

    fn draw(&mut self) -> u8 {
        self.drawn += 1;
        self.drawn
    }

    /// What it answers to a packet.
    pub fn receive(&mut self, packet: &[u8]) -> Option<Vec<u8>> {
        if packet[3] == 0x06 {
            let pong = [&[0x06, 0, 0xff, 0x06, 0, 0, 0x11, 0xbe, 0x40, packet[9], 0, 0x10][..], &[0; 8], &[0x81, 0], &[0; 6]];
            return Some(pong.concat());
        }
        if let Some(message) = wire::read_bare(packet) {
            let data = [1, 0x80, 0x04, 0x02, 0, 0, 0, 0];
            return (!self.shy).then(|| wire::bare(&answer(message, 0x06, 0x38, 0, &data)));
        }
        let (header, payload) = wire::read_plus(packet)?;
        if header.kind == wire::SEALED {
            return self.message(packet);
        }
        if let Some((kind, status)) = self.refuses
            && kind == header.kind
        {
            let ours = self.facts.ours.to_le_bytes();
            return Some(plain(kind + 1, &[&[payload[0], status, 0, 0], ours.as_slice()].concat()));
        }
        match header.kind {
            handshake::OPEN_REQUEST => self.offer(payload),
            handshake::RAKP_1 => Some(self.challenge(payload)),
            handshake::RAKP_3 => Some(self.confirm(payload)),
            _ => None,
        }
    }

    fn offer(&mut self, payload: &[u8]) -> Option<Vec<u8>> {
        let offered = [payload[12], payload[20], payload[28]];
        self.facts.ours = u32::from_le_bytes(payload[4..8].try_into().unwrap());
        let head = |status| [&[payload[0], status, 3, 0], &payload[4..8]].concat();
        let Some(suite) = self.user.suites.iter().copied().find(|suite| suite.algorithms() == offered) else {
            return (!self.drops_offers).then(|| plain(handshake::OPEN_REPLY, &head(0x11)));
        };
        self.facts.theirs = 0x1000_0000 | u32::from(self.draw());
        (self.suite, self.privilege) = (suite, payload[1]);
        let algorithms = self.claims.unwrap_or(offered);
        let mut reply = [head(0), self.facts.theirs.to_le_bytes().to_vec()].concat();
        for (kind, algorithm) in (0u8..).zip(algorithms) {
            reply.extend([kind, 0, 0, 8, algorithm, 0, 0, 0]);
        }
        Some(plain(handshake::OPEN_REPLY, &reply))
    }

    fn name(&self, role: Role, asked: u8) -> Vec<u8> {
        let role = match role {
            Role::AsAsked => asked,
            Role::AsOpened => self.privilege,
            Role::OfAccount(level) => level,
        };
        [&[role, u8::try_from(self.user.user.len()).unwrap()], self.user.user.as_slice()].concat()
    }

    fn challenge(&mut self, payload: &[u8]) -> Vec<u8> {
        self.facts.our_nonce = payload[8..24].try_into().unwrap();
        self.facts.their_nonce = [self.draw(); 16];
        let (facts, asked) = (self.facts, payload[24]);
        self.user.privilege = asked;
        let name = self.name(self.roles[0], asked);
        let ids = [facts.ours.to_le_bytes(), facts.theirs.to_le_bytes()].concat();
        let code = self.suite.mac(&self.user.password, &[&ids, &facts.our_nonce, &facts.their_nonce, &GUID, &name]);
        let head = [&[payload[0], 0, 0, 0], facts.ours.to_le_bytes().as_slice()].concat();
        plain(handshake::RAKP_2, &[&head, facts.their_nonce.as_slice(), &GUID, &code].concat())
    }

    fn confirm(&mut self, payload: &[u8]) -> Vec<u8> {
        let (facts, asked) = (self.facts, self.user.privilege);
        let name = self.name(self.roles[1], asked);
        let right = self.suite.mac(&self.user.password, &[&facts.their_nonce, &facts.ours.to_le_bytes(), &name]);
        let ours = facts.ours.to_le_bytes();
        if payload[8..] != right[..] {
            return plain(handshake::RAKP_4, &[&[payload[0], 0x0f, 0, 0], ours.as_slice()].concat());
        }
        let key = self.user.key.as_ref().unwrap_or(&self.user.password);
        let name = self.name(self.key_role.unwrap_or(self.roles[1]), asked);
        let sik = self.suite.mac(key, &[&facts.our_nonce, &facts.their_nonce, &name]);
        let code = self.suite.mac(&sik, &[&facts.our_nonce, &facts.theirs.to_le_bytes(), &GUID]);
        (self.keys, self.sent) = (Some(Keys::of(self.suite, &sik)), 0);
        plain(handshake::RAKP_4, &[&[payload[0], 0, 0, 0], ours.as_slice(), &code[..self.suite.code()]].concat())
    }

    fn message(&mut self, packet: &[u8]) -> Option<Vec<u8>> {
        let keys = self.keys.as_ref()?;
        let (header, payload) = wire::read_plus(packet)?;
        assert!(keys.proven(wire::covered(packet)?).is_some(), "the client's code is right");
        assert_eq!(header.session, self.facts.theirs);
        let message = keys.decrypt(payload)?;
        let (netfn, sequence, command) = (message[1] >> 2, message[4] >> 2, message[5]);
        self.seen.push((header.sequence, sequence, command));
        if let Some(recording) = &self.recording
            && (netfn, command) != (0x06, 0x3b)
        {
            let asked = [&[netfn, command], &message[6..message.len() - 1]].concat();
            let told = recording.get(&asked).map_or(&[0xc1][..], Vec::as_slice).to_vec();
            return Some(self.seal(&answer(&message, netfn, command, told[0], &told[1..])));
        }
        let status = [0x40 | u8::from(self.on), 0, 0];
        let data: &[u8] = match (netfn, command) {
            _ if !self.codes.is_empty() => {
                let code = self.codes.remove(0);
                return Some(self.seal(&answer(&message, netfn, command, code, &[])));
            }
            (0x06, 0x37) => &GUID,
            (0x06, 0x01) => &[0x20, 1, 2, 0x03, 0x02, 0xbf, 1, 2, 0, 3, 0],
            (0x06, 0x3b) => &[self.grants.unwrap_or(message[6])],
            (0x00, 0x01) => &status,
            (0x00, 0x02) => {
                (self.on, self.controls) = (message[6] == 1, self.controls + 1);
                &[]
            }
            _ => &[],
        };
        let data = data.to_vec();
        Some(self.seal(&answer(&message, netfn, command, 0, &data)))
    }

    /// A packet around a message, with the next number.
    pub fn seal(&mut self, message: &[u8]) -> Vec<u8> {
        self.sent += 1;
        let keys = self.keys.as_ref().unwrap();
        let header = Header { kind: wire::SEALED, session: self.facts.ours, sequence: self.sent };
        let mut packet = wire::plus(header, &keys.encrypt(&[self.drawn; 16], message));
        wire::fill(&mut packet);
        let code = keys.code(wire::covered(&packet).unwrap());
        [packet, code].concat()
    }
}

fn plain(kind: u8, payload: &[u8]) -> Vec<u8> {
    wire::plus(Header { kind, session: 0, sequence: 0 }, payload)
}

/// An answer with the number of the question.
pub fn answer(question: &[u8], netfn: u8, command: u8, code: u8, data: &[u8]) -> Vec<u8> {
    let sum = |bytes: &[u8]| bytes.iter().fold(0u8, |sum, byte| sum.wrapping_sub(*byte));
    let head = [question[3], (netfn | 1) << 2];
    let body = [&[question[0], question[4], command, code], data].concat();
    [&head[..], &[sum(&head)], &body, &[sum(&body)]].concat()
}

/// The arithmetic above is our own; `ipmitool` was written by others and speaks suite 17, which `ipmi_sim` does not.
#[test]
fn ipmitool_agrees_with_our_arithmetic_in_both_suites() {
    let root = std::env::var_os("UNDERSTUDY_LAB_PACKAGES").map_or_else(
        || std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/lab/packages/root"),
        std::path::PathBuf::from,
    );
    let program = root.join("usr/bin/ipmitool");
    assert!(program.exists(), "no ipmitool at {}: run `cargo xtask packages`, or set UNDERSTUDY_LAB_PACKAGES", program.display());
    for (suite, key) in [("3", None), ("17", None), ("17", Some("0102030405060708090a0b0c0d0e0f1011121314"))] {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(std::time::Duration::from_millis(200))).unwrap();
        let port = socket.local_addr().unwrap().port().to_string();
        let mut command = std::process::Command::new(&program);
        command.env("LD_LIBRARY_PATH", root.join("usr/lib/x86_64-linux-gnu"));
        command.args(["-I", "lanplus", "-H", "127.0.0.1", "-p", &port, "-U", "controller", "-P", "secret"]);
        command.args(["-C", suite, "-L", "OPERATOR"]).args(key.iter().flat_map(|key| ["-y", key]));
        command.args(["chassis", "power", "status"]).stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut user = account("secret");
        user.key = key.map(|_| Zeroizing::new((1..=20).collect()));
        let mut peer = Peer::new(user);
        peer.on = true;
        let mut buffer = [0; 1024];
        while child.try_wait().unwrap().is_none() {
            if let Ok((length, from)) = socket.recv_from(&mut buffer)
                && let Some(reply) = peer.receive(&buffer[..length])
            {
                socket.send_to(&reply, from).unwrap();
            }
        }
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(said.trim(), "Chassis Power is on", "suite {suite}, key {key:?}");
    }
}
