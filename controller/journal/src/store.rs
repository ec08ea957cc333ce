//! What a store must do.

use crate::chain::{Base, Entry, Head, Line};
use pipeline::Record;
use serde::{Deserialize, Serialize};
use vocabulary::{EstateUuid, Lineage, Secret};

/// What a store is about; written once, when it is made.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Meta {
    /// The estate.
    pub estate: EstateUuid,
    /// This store's lineage: random; a restored backup gets a new one.
    pub lineage: Lineage,
    /// Key from which placements' secrets are derived.
    pub key: Secret,
    /// True for a lab estate.
    pub lab: bool,
}

/// Why a store cannot do it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process holds it.
    #[error("the store in {directory} is held by {holder}")]
    Held {
        /// Where.
        directory: String,
        /// Who.
        holder: String,
    },
    /// There is no estate in that directory.
    #[error("there is no store in {0}")]
    Absent(String),
    /// The chain does not verify.
    #[error("the journal is broken: {0}")]
    Broken(String),
    /// Something was appended by somebody else meanwhile.
    #[error("the journal's head is {found}, not {expected}")]
    HeadMoved {
        /// What this process appended last.
        expected: u64,
        /// What the store holds.
        found: u64,
    },
    /// The disk or the database said no. What was to be appended is not durable.
    #[error("the store cannot write or read: {0}")]
    Io(String),
}

/// A durable, hash-chained list of records.
///
/// Laws: after `append` returns Ok, its records survive a power cut; they are all there or none is; numbers have no gaps;
/// `append` and `rebase` fail with `HeadMoved`, and change nothing, if somebody else appended since `expected`.
pub trait Store: Send {
    /// Appends lines that follow the head `expected`, in one transaction. The new head.
    fn append_lines(&mut self, expected: &Head, lines: &[Line]) -> Result<Head, Error>;
    /// Appends records in one transaction, after the head `expected`. The new head.
    fn append(&mut self, expected: &Head, records: &[Record]) -> Result<Head, Error> {
        let lines = expected.lines(records).map_err(|error| Error::Io(error.to_string()))?;
        self.append_lines(expected, &lines)
    }
    /// The end of the chain; that of the base if nothing follows it, and the default one if there is no base either.
    fn head(&self) -> Result<Head, Error>;
    /// What stands in place of entries that were removed, if some were.
    fn base(&self) -> Result<Option<Base>, Error>;
    /// Appends lines, and puts a base in place of all entries up to its own number, in one transaction. An entry that is in the place of a base is
    /// told to nobody any more, whether or not the room that it takes is free yet. The new head.
    fn rebase(&mut self, expected: &Head, base: &Base, lines: &[Line]) -> Result<Head, Error>;
    /// Frees the room of entries in whose place a base stands, of so many at most, where the store can. True if no more can be freed.
    fn sweep(&mut self, limit: usize) -> Result<bool, Error>;
    /// Calls `each` for every entry after `after`, in order, verified against the chain. The head reached. Nothing before the base is there.
    fn replay(&self, after: &Head, each: &mut dyn FnMut(Entry)) -> Result<Head, Error>;
    /// What the store is about.
    fn meta(&self) -> &Meta;
    /// A way to read for others than the writer, who is not delayed by it.
    fn reader(&self) -> Result<Box<dyn Reader>, Error>;
}

/// Reads what is durable, a page at a time, beside the writer.
pub trait Reader: Send {
    /// What stands in place of entries that were removed, if some were.
    fn base(&mut self) -> Result<Option<Base>, Error>;
    /// At most `limit` entries after a number, or after the base if that is later, as they are stored, in order. The first comes with the hash of
    /// the entry before it. Reads no others, and verifies none.
    fn lines(&mut self, after: u64, limit: usize) -> Result<(Head, Vec<Line>), Error>;
    /// At most `limit` entries after a number, in order, each verified against the one before it. Reads no others.
    fn page(&mut self, after: u64, limit: usize) -> Result<Vec<Entry>, Error> {
        let (mut at, lines) = self.lines(after, limit)?;
        let mut entries = Vec::with_capacity(lines.len());
        for line in &lines {
            let (entry, next) = at.verify(line).map_err(Error::Broken)?;
            entries.push(entry);
            at = next;
        }
        Ok(entries)
    }
}

/// That entries after this head are all there.
pub(crate) fn not_removed(after: &Head, base: &Head) -> Result<(), Error> {
    if after.number < base.number {
        return Err(Error::Broken(format!("entries up to {} were removed, and {} was asked for", base.number, after.number + 1)));
    }
    Ok(())
}
