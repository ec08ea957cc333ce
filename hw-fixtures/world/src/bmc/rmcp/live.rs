//! An open session as the BMC keeps it: keys, the numbers of its packets, its privilege, and the last requests with their replies.
//! Must never open a packet before its code was checked, nor let the same packet in twice, nor remember without bound.

use std::collections::VecDeque;
use std::time::Instant;

use super::crypto::{BLOCK, Keys};
use super::wire::{self, Header};

use crate::bmc::limits;
use crate::dice::Dice;

/// Before the covered part of a packet, bytes.
const RMCP_HEADER: usize = 4;
/// So far ahead of the newest number a packet may be, and so far behind it, by the specification.
const AHEAD_MOST: u32 = 15;
const BEHIND_MOST: u32 = 16;

/// Which numbers of incoming packets were seen: the newest, and those before it that may still come.
#[derive(Clone, Copy, Debug, Default)]
pub struct Window {
    newest: u32,
    seen: u32,
}

impl Window {
    /// True the first time that a number comes that is near enough to the newest.
    pub fn admit(&mut self, number: u32) -> bool {
        if number == 0 {
            return false;
        }
        if number > self.newest {
            let ahead = number - self.newest;
            if ahead > AHEAD_MOST {
                return false;
            }
            self.seen = self.seen.checked_shl(ahead).unwrap_or(0) | 1;
            self.newest = number;
            return true;
        }
        let behind = self.newest - number;
        let bit = 1u32.checked_shl(behind).unwrap_or(0);
        let fresh = behind <= BEHIND_MOST && self.seen & bit == 0;
        self.seen |= bit;
        fresh
    }
}

/// A request that was taken, and what was said to it.
struct Memo {
    number: u64,
    question: Vec<u8>,
    /// None while it is still worked on.
    reply: Option<Vec<u8>>,
    at: Instant,
}

/// Whether a request came before.
pub enum Recall {
    /// No: it has this number from now on.
    New(u64),
    /// Yes, and this was said.
    Said(Vec<u8>),
    /// Yes, and it is still worked on.
    Working,
}

/// See the module.
pub struct Live {
    /// Our session id.
    pub id: u32,
    /// The console's session id.
    pub console: u32,
    /// The highest privilege level it may be raised to.
    pub limit: u8,
    /// The present one.
    pub level: u8,
    /// It ends with the next reply.
    pub closing: bool,
    /// When a packet of it was last heard.
    pub heard: Instant,
    /// What RAKP message 4 says, for a console that missed it; gone with the first request.
    pub confirmation: Option<Vec<u8>>,
    keys: Keys,
    sent: u32,
    window: Window,
    taken: u64,
    memory: VecDeque<Memo>,
}

impl Live {
    /// Just opened, with the privilege level with which every session begins.
    pub fn new(id: u32, console: u32, limit: u8, keys: Keys, now: Instant) -> Live {
        let level = limit.min(super::USER);
        let (window, memory) = (Window::default(), VecDeque::new());
        Live {
            id,
            console,
            limit,
            level,
            closing: false,
            heard: now,
            confirmation: None,
            keys,
            sent: 0,
            window,
            taken: 0,
            memory,
        }
    }

    /// The message of a packet that was not seen before.
    pub fn open(&mut self, now: Instant, packet: &[u8]) -> Result<Vec<u8>, &'static str> {
        let proven = wire::covered(packet).and_then(|covered| self.keys.proven(covered)).ok_or("its code is wrong")?;
        // what the code covers is all that is read from here on
        let body = packet.get(..RMCP_HEADER + proven.len()).ok_or("cut short")?;
        let (header, payload) = wire::read_plus(body).ok_or("cut short")?;
        if !self.window.admit(header.sequence) {
            return Err("a duplicate, or outside the window");
        }
        let message = self.keys.decrypt(payload).ok_or("it does not decrypt")?;
        self.heard = now;
        Ok(message)
    }

    /// A packet around a message, with the next number.
    pub fn seal(&mut self, message: &[u8], dice: &Dice) -> Vec<u8> {
        self.sent = self.sent.wrapping_add(1).max(1);
        let mut iv = [0; BLOCK];
        dice.fill(&mut iv);
        let header = Header { kind: wire::SEALED | wire::MESSAGE, session: self.console, sequence: self.sent };
        let mut packet = wire::plus(header, &self.keys.encrypt(&iv, message));
        wire::fill(&mut packet);
        let code = wire::covered(&packet).map(|covered| self.keys.code(covered)).unwrap_or_default();
        packet.extend(code);
        packet
    }

    /// Whether this very request came a moment ago: a retransmission has the same number and the same words.
    pub fn recall(&mut self, now: Instant, question: &[u8]) -> Recall {
        let recent = |memo: &&Memo| now.saturating_duration_since(memo.at) < limits::MEMORY;
        if let Some(memo) = self.memory.iter().filter(recent).find(|memo| memo.question == question) {
            return memo.reply.clone().map_or(Recall::Working, Recall::Said);
        }
        if self.memory.len() >= limits::MEMORIES_MAX {
            self.memory.pop_front();
        }
        self.taken += 1;
        self.memory.push_back(Memo { number: self.taken, question: question.to_vec(), reply: None, at: now });
        Recall::New(self.taken)
    }

    /// Keeps what was said, in case it is asked again.
    pub fn remember(&mut self, number: u64, reply: &[u8]) {
        if let Some(memo) = self.memory.iter_mut().find(|memo| memo.number == number) {
            memo.reply = Some(reply.to_vec());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_window_is_that_of_the_specification() {
        let mut window = Window::default();
        assert!(!window.admit(0) && !window.admit(16) && window.admit(15) && window.admit(1));
        assert!(!window.admit(15) && !window.admit(1) && window.admit(30) && window.admit(14) && !window.admit(13));
        assert!(!window.admit(u32::MAX));
    }

    proptest! {
        #[test]
        fn no_number_is_admitted_twice(numbers in proptest::collection::vec(0u32..60, 0..300)) {
            let mut window = Window::default();
            let mut admitted = std::collections::BTreeSet::new();
            for number in numbers {
                if window.admit(number) {
                    prop_assert!(admitted.insert(number) && number > 0);
                }
            }
        }
    }
}
