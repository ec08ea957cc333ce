//! Changes to inputs: bits, bytes, lengths, pieces cut out, doubled, moved between inputs, words of the protocol.
//! Must never make an input longer than its group allows, and never depend on anything but the seed and what got in.

use crate::limits::{CHANGES_MAX, PIECE_MAX, POOL_MAX};
use crate::{Group, Numbers};

/// Where numbers begin to mean something else.
const EDGES: [u32; 14] = [0, 1, 2, 3, 7, 15, 16, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0x7fff_ffff, 0xffff_ffff];

/// Longest runs of one byte.
const RUNS: [usize; 4] = [8, 64, 512, 4096];

/// Half of the changes are made in so many first bytes.
const HEAD: usize = 24;

/// Makes inputs.
pub struct Mutator {
    numbers: Numbers,
    corpus: Vec<Vec<u8>>,
    /// Changed inputs that got in.
    pool: Vec<Vec<u8>>,
    words: &'static [&'static [u8]],
    input_max: usize,
}

impl Mutator {
    /// The same seed and corpus, the same inputs, as long as the same ones get in.
    pub fn new(group: &Group, corpus: Vec<Vec<u8>>, seed: u64) -> Mutator {
        Mutator { numbers: Numbers::new(seed), corpus, pool: Vec::new(), words: group.words, input_max: group.input_max }
    }

    /// An input got in: it is changed further.
    pub fn keep(&mut self, input: &[u8]) {
        let slot = self.numbers.below(POOL_MAX);
        match self.pool.get_mut(slot) {
            Some(old) => *old = input.to_vec(),
            None => self.pool.push(input.to_vec()),
        }
    }

    fn any(&mut self) -> Vec<u8> {
        let list = if self.numbers.below(3) == 0 && !self.pool.is_empty() { &self.pool } else { &self.corpus };
        self.numbers.of(list).cloned().unwrap_or_default()
    }

    /// The next input. One in a hundred is plain noise.
    pub fn input(&mut self) -> Vec<u8> {
        if self.numbers.below(100) == 0 {
            let length = self.numbers.below(self.input_max.min(4 * PIECE_MAX) + 1);
            return (0..length).map(|_| self.numbers.byte()).collect();
        }
        let mut input = self.any();
        let most = 1 + self.numbers.below(CHANGES_MAX);
        for _ in 0..=self.numbers.below(most) {
            self.change(&mut input);
        }
        input.truncate(self.input_max);
        input
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        let length = input.len();
        // headers stand at the head
        let at = if self.numbers.below(2) == 0 { self.numbers.below(length.min(HEAD)) } else { self.numbers.below(length) };
        match self.numbers.below(13) {
            0 | 1 => {
                let bit = self.numbers.below(8);
                set(input, at, |byte| byte ^ (1 << bit));
            }
            2 => {
                let byte = self.numbers.byte();
                set(input, at, |_| byte);
            }
            3 => {
                let step = self.numbers.byte() % 16;
                set(input, at, |byte| byte.wrapping_add(step).wrapping_sub(8));
            }
            4 => self.edge(input, at),
            5 => input.truncate(at),
            6 => {
                // one byte again and again: there it stands, or another, at the end or here
                let byte = input.get(at).copied().filter(|_| self.numbers.below(2) == 0).unwrap_or_else(|| self.numbers.byte());
                let most = self.numbers.of(&RUNS).copied().unwrap_or(1);
                let times = self.numbers.below(most);
                let place = if self.numbers.below(2) == 0 { length } else { at };
                insert(input, place, &vec![byte; times]);
            }
            7 => {
                let cut = at..length.min(at + self.numbers.below(PIECE_MAX) + 1);
                input.drain(cut);
            }
            8 => {
                let piece = self.piece(input);
                insert(input, at, &piece.repeat(1 + self.numbers.below(4)));
            }
            9 => {
                let other = self.any();
                let piece = self.piece(&other);
                insert(input, at, &piece);
            }
            10 => {
                // the head of one, the tail of another
                let other = self.any();
                input.truncate(at);
                input.extend(other.get(self.numbers.below(other.len())..).unwrap_or_default());
            }
            11 => self.digits(input),
            _ => {
                let word = self.numbers.of(self.words).copied().unwrap_or_default();
                if self.numbers.below(2) == 0 {
                    insert(input, at, word);
                } else {
                    input.iter_mut().skip(at).zip(word).for_each(|(to, from)| *to = *from);
                }
            }
        }
    }

    /// A number where a length may stand: an edge, the input's own length, or one beside it; of one, two or four bytes, in both orders.
    fn edge(&mut self, input: &mut [u8], at: usize) {
        let length = u32::try_from(input.len()).unwrap_or(u32::MAX);
        let number = match self.numbers.below(3) {
            0 => length.wrapping_add(u32::from(self.numbers.byte() % 5)).wrapping_sub(2),
            1 => length.saturating_sub(u32::try_from(at).unwrap_or(0)),
            _ => self.numbers.of(&EDGES).copied().unwrap_or(0),
        };
        let width = 1 << self.numbers.below(3);
        let bytes = if self.numbers.below(2) == 0 {
            number.to_le_bytes().to_vec()
        } else {
            number.to_be_bytes().iter().skip(4 - width).copied().collect()
        };
        for (to, from) in input.iter_mut().skip(at).zip(bytes.iter().take(width)) {
            *to = *from;
        }
    }

    /// A run of decimal digits becomes another number.
    fn digits(&mut self, input: &mut Vec<u8>) {
        let from = self.numbers.below(input.len());
        let Some(begins) = input.iter().skip(from).position(u8::is_ascii_digit).map(|after| from + after) else { return };
        let count = input.iter().skip(begins).take_while(|byte| byte.is_ascii_digit()).count();
        let number = match self.numbers.below(3) {
            0 => u64::from(self.numbers.of(&EDGES).copied().unwrap_or(0)),
            1 => self.numbers.draw(),
            _ => u64::MAX,
        };
        input.splice(begins..begins + count, number.to_string().into_bytes());
    }

    fn piece(&mut self, of: &[u8]) -> Vec<u8> {
        let from = self.numbers.below(of.len());
        let most = self.numbers.below(PIECE_MAX) + 1;
        of.iter().skip(from).take(most).copied().collect()
    }
}

fn set(input: &mut [u8], at: usize, change: impl FnOnce(u8) -> u8) {
    if let Some(byte) = input.get_mut(at) {
        *byte = change(*byte);
    }
}

fn insert(input: &mut Vec<u8>, at: usize, piece: &[u8]) {
    let at = at.min(input.len());
    input.splice(at..at, piece.iter().copied());
}
