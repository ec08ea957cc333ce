//! An open session: its keys, the numbers of its packets in both directions, and the one request that is under way.
//! Must never open a packet before its code was checked, and never take the same packet twice.

use std::time::{Duration, Instant};

use super::crypto::{BLOCK, Keys};
use super::handshake::Facts;
use super::wire::{self, Answer, Header};

/// Before the covered part, bytes.
const RMCP_HEADER: usize = 4;

/// What fills bytes with random ones.
pub type Source<'a> = &'a (dyn Fn(&mut [u8]) + Send + Sync);

/// How long is waited for what.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// One step of the handshake.
    pub step: Duration,
    /// One request.
    pub request: Duration,
    /// Before the first retransmission; doubled each time.
    pub pause: Duration,
    /// Idle so long, a session is kept alive by a small question.
    pub idle: Duration,
}

/// A question for the BMC.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request {
    /// Network function, even.
    pub netfn: u8,
    /// Command.
    pub command: u8,
    /// Its data.
    pub data: Vec<u8>,
    /// May go out again when no reply comes: only what does no harm when it is done twice.
    pub repeatable: bool,
}

/// The request that is under way.
#[derive(Debug)]
pub struct Pending {
    /// What was asked.
    pub request: Request,
    /// The number of the question; a retransmission has the same.
    pub sequence: u8,
    /// When it is given up.
    pub until: Instant,
    /// Nobody waits for the answer.
    pub silent: bool,
    /// The BMC answered that it is too busy.
    pub busy: bool,
    next: Instant,
    pause: Duration,
}

impl Pending {
    /// Not sent yet.
    pub fn new(now: Instant, request: Request, sequence: u8, silent: bool, timing: &Timing) -> Pending {
        let (pause, until) = (timing.pause, now + timing.request);
        Pending { request, sequence, until, silent, busy: false, next: now + pause, pause: pause.saturating_mul(2) }
    }

    /// When something is to be done about it.
    pub fn due(&self) -> Instant {
        if self.request.repeatable { self.next.min(self.until) } else { self.until }
    }

    /// True for the answer to this question.
    pub fn fits(&self, answer: &Answer<'_>) -> bool {
        answer.sequence == self.sequence && answer.netfn == self.request.netfn | 1 && answer.command == self.request.command
    }

    fn message(&self) -> Vec<u8> {
        wire::message(self.sequence, self.request.netfn, self.request.command, &self.request.data)
    }
}

/// Which numbers of incoming packets were seen: the newest and the 63 before it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Window {
    newest: u32,
    seen: u64,
}

impl Window {
    /// True the first time that a number comes, unless it is too old to tell.
    pub fn admit(&mut self, number: u32) -> bool {
        if number == 0 {
            return false;
        }
        if number > self.newest {
            let ahead = number - self.newest;
            self.seen = self.seen.checked_shl(ahead).unwrap_or(0) | 1;
            self.newest = number;
            return true;
        }
        let bit = 1u64.checked_shl(self.newest - number).unwrap_or(0);
        let fresh = bit != 0 && self.seen & bit == 0;
        self.seen |= bit;
        fresh
    }
}

/// See the module.
pub struct Live {
    /// The BMC's session id.
    pub theirs: u32,
    /// When the BMC was last heard.
    pub heard: Instant,
    /// The request under way.
    pub pending: Option<Pending>,
    ours: u32,
    keys: Keys,
    sent: u32,
    window: Window,
}

impl Live {
    /// Just opened.
    pub fn new(facts: &Facts, keys: Keys, now: Instant) -> Live {
        Live { theirs: facts.theirs, heard: now, pending: None, ours: facts.ours, keys, sent: 0, window: Window::default() }
    }

    /// A packet around a message, with the next number.
    pub fn seal(&mut self, message: &[u8], random: Source<'_>) -> Vec<u8> {
        self.sent = self.sent.wrapping_add(1).max(1);
        let mut iv = [0; BLOCK];
        random(&mut iv);
        let header = Header { kind: wire::SEALED | wire::MESSAGE, session: self.theirs, sequence: self.sent };
        let mut packet = wire::plus(header, &self.keys.encrypt(&iv, message));
        wire::fill(&mut packet);
        let code = wire::covered(&packet).map(|covered| self.keys.code(covered)).unwrap_or_default();
        packet.extend(code);
        packet
    }

    /// The pending request's first packet.
    pub fn first(&mut self, random: Source<'_>) -> Option<Vec<u8>> {
        let message = self.pending.as_ref()?.message();
        Some(self.seal(&message, random))
    }

    /// The pending request once more: the same question in a new packet.
    pub fn again(&mut self, now: Instant, random: Source<'_>) -> Option<Vec<u8>> {
        let pending = self.pending.as_mut().filter(|pending| pending.request.repeatable)?;
        pending.next = now + pending.pause;
        pending.pause = pending.pause.saturating_mul(2);
        self.first(random)
    }

    /// The message of a packet of this session that was not seen before.
    pub fn open(&mut self, now: Instant, packet: &[u8]) -> Result<Vec<u8>, &'static str> {
        let (header, _) = wire::read_plus(packet).ok_or("no RMCP+")?;
        if header.kind != wire::SEALED | wire::MESSAGE {
            return Err("not encrypted and authenticated");
        }
        if header.session != self.ours {
            return Err("another session's reply");
        }
        let proven = wire::covered(packet).and_then(|covered| self.keys.proven(covered)).ok_or("its code is wrong")?;
        // what the code covers is all that is read from here on
        let body = packet.get(..RMCP_HEADER + proven.len()).ok_or("cut short")?;
        let (header, payload) = wire::read_plus(body).ok_or("cut short")?;
        if !self.window.admit(header.sequence) {
            return Err("a duplicate, or too old");
        }
        let message = self.keys.decrypt(payload).ok_or("it does not decrypt")?;
        self.heard = now;
        Ok(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn no_number_is_admitted_twice(numbers in proptest::collection::vec(0u32..200, 0..300)) {
            let mut window = Window::default();
            let mut admitted = BTreeSet::new();
            for number in numbers {
                let newest = admitted.last().copied().unwrap_or(0);
                if window.admit(number) {
                    prop_assert!(admitted.insert(number) && number > 0);
                } else {
                    prop_assert!(admitted.contains(&number) || number == 0 || newest - number >= 64);
                }
            }
        }
    }

    #[test]
    fn the_window_reaches_to_the_end_of_numbers() {
        let mut window = Window::default();
        assert!(window.admit(u32::MAX) && !window.admit(u32::MAX) && window.admit(u32::MAX - 63) && !window.admit(u32::MAX - 64));
        assert!(!window.admit(1));
    }
}
