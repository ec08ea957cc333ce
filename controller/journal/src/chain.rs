//! The hash chain: each entry carries the SHA-256 of the one before, so that a changed, missing or re-ordered entry shows. Its oldest part may
//! have been replaced by what it comes to.

use pipeline::Record;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The `previous` of the first entry.
pub const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// A record in its place in the chain.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// Its number, from 1 without gaps.
    pub number: u64,
    /// The hash of the entry before.
    pub previous: String,
    /// SHA-256 over number, previous and the record's JSON text, in hex.
    pub hash: String,
    /// The record.
    pub record: Record,
}

/// An entry as a store keeps it: with the exact text that was hashed, which an older version may have written.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Line {
    /// Its number.
    pub number: u64,
    /// Its hash.
    pub hash: String,
    /// The record's JSON text.
    pub text: String,
}

impl Line {
    /// The head that this line makes.
    pub fn head(&self) -> Head {
        Head { number: self.number, hash: self.hash.clone() }
    }
}

/// Where a chain ends.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Head {
    /// The number of the last entry; 0 if there is none.
    pub number: u64,
    /// Its hash.
    pub hash: String,
}

/// What stands in a store in place of entries that were removed: what they come to.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Base {
    /// The number of the last entry that is gone.
    pub number: u64,
    /// Its hash: what the first entry that is kept follows.
    pub hash: String,
    /// What folding all of them yields, as `pipeline::ledger::Ledger::to_text` writes it.
    pub ledger: String,
}

impl Base {
    /// The head that it ends at.
    pub fn head(&self) -> Head {
        Head { number: self.number, hash: self.hash.clone() }
    }

    /// SHA-256 over all of it, in hex. The chain tells the digest of the base that it follows: [`pipeline::record::Fact::Pruned`].
    pub fn digest(&self) -> String {
        hash(self.number, &self.hash, &self.ledger)
    }
}

impl Default for Head {
    fn default() -> Self {
        Head { number: 0, hash: GENESIS.to_owned() }
    }
}

impl Head {
    /// The entry that comes after this head, and the line that is stored for it.
    pub fn next(&self, record: &Record) -> Result<(Entry, Line), serde_json::Error> {
        let text = serde_json::to_string(record)?;
        let number = self.number + 1;
        let hash = hash(number, &self.hash, &text);
        let entry = Entry { number, previous: self.hash.clone(), hash: hash.clone(), record: record.clone() };
        Ok((entry, Line { number, hash, text }))
    }

    /// The lines of records that come after this head.
    pub fn lines(&self, records: &[Record]) -> Result<Vec<Line>, serde_json::Error> {
        let (mut at, mut lines) = (self.clone(), Vec::with_capacity(records.len()));
        for record in records {
            let text = serde_json::to_string(record)?;
            let number = at.number + 1;
            let line = Line { number, hash: hash(number, &at.hash, &text), text };
            at = line.head();
            lines.push(line);
        }
        Ok(lines)
    }

    /// Checks that a stored line follows this head. The head that it makes.
    pub fn check(&self, line: &Line) -> Result<Head, String> {
        let Line { number, hash: stored, text } = line;
        if *number != self.number + 1 {
            return Err(format!("entry {} is missing: {number} comes after {}", self.number + 1, self.number));
        }
        if hash(*number, &self.hash, text) != *stored {
            return Err(format!("entry {number} does not match its hash: it, or one before it, was changed"));
        }
        Ok(line.head())
    }

    /// Checks a stored line against this head, reads it, and moves on to it.
    pub fn verify(&self, line: &Line) -> Result<(Entry, Head), String> {
        let head = self.check(line)?;
        let number = line.number;
        let record = serde_json::from_str(&line.text)
            .map_err(|error| format!("entry {number} is not a record of this version: {error}"))?;
        let entry = Entry { number, previous: self.hash.clone(), hash: line.hash.clone(), record };
        Ok((entry, head))
    }
}

fn hash(number: u64, previous: &str, text: &str) -> String {
    let mut hasher = Sha256::new();
    hasher.update(number.to_be_bytes());
    hasher.update(previous.as_bytes());
    hasher.update(text.as_bytes());
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
