//! The hash chain: each entry carries the SHA-256 of the one before, so that a changed, missing or re-ordered entry shows.

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

/// Where a chain ends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Head {
    /// The number of the last entry; 0 if there is none.
    pub number: u64,
    /// Its hash.
    pub hash: String,
}

impl Default for Head {
    fn default() -> Self {
        Head { number: 0, hash: GENESIS.to_owned() }
    }
}

impl Head {
    /// The entry that comes after this head, with the exact text that is hashed and stored.
    pub fn next(&self, record: &Record) -> Result<(Entry, String), serde_json::Error> {
        let text = serde_json::to_string(record)?;
        let number = self.number + 1;
        let hash = hash(number, &self.hash, &text);
        let entry = Entry { number, previous: self.hash.clone(), hash, record: record.clone() };
        Ok((entry, text))
    }

    /// Checks a stored entry against this head and moves on to it.
    pub fn verify(&self, number: u64, stored_hash: &str, text: &str) -> Result<(Entry, Head), String> {
        if number != self.number + 1 {
            return Err(format!("entry {} is missing: {number} comes after {}", self.number + 1, self.number));
        }
        if hash(number, &self.hash, text) != stored_hash {
            return Err(format!("entry {number} does not match its hash: it, or one before it, was changed"));
        }
        let record =
            serde_json::from_str(text).map_err(|error| format!("entry {number} is not a record of this version: {error}"))?;
        let entry = Entry { number, previous: self.hash.clone(), hash: stored_hash.to_owned(), record };
        Ok((entry, Head { number, hash: stored_hash.to_owned() }))
    }
}

fn hash(number: u64, previous: &str, text: &str) -> String {
    let mut hasher = Sha256::new();
    hasher.update(number.to_be_bytes());
    hasher.update(previous.as_bytes());
    hasher.update(text.as_bytes());
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
