//! A backup: one file of JSON lines that holds all that a store is, whichever kind it is: what it is about, the keys beside it, every entry as it
//! is stored, and an end. A file without its end is none. It holds secrets: it belongs to its owner alone.

use crate::chain::{Head, Line};
use crate::store::{Error, Meta, Reader, Store};
use pipeline::Record;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::BufRead;
use vocabulary::{Secret, WallTime};

/// The version of this form.
const VERSION: u32 = 1;
/// Longest line of a backup, bytes: far above any record.
pub const LINE_BYTES_MAX: u64 = 64 << 20;
/// So many entries are appended in one transaction.
const BATCH: usize = 1_000;

/// The first line.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Header {
    /// The version of the form.
    pub understudy_backup: u32,
    /// When it was begun.
    pub taken: WallTime,
    /// What the store is about.
    pub meta: Meta,
    /// What lies beside the store and belongs to it, by name: the keys of the estate's authority.
    pub files: BTreeMap<String, Secret>,
}

/// The last line.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct End {
    /// How many entries came before it.
    entries: u64,
    /// SHA-256 of all lines before it, in hex.
    sha256: String,
}

/// Why a file is no backup.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// Its content.
    #[error("line {line}: {reason}")]
    Content {
        /// From 1.
        line: u64,
        /// What is wrong.
        reason: String,
    },
    /// The disk it lies on.
    #[error("it cannot be read: {0}")]
    Read(#[from] std::io::Error),
    /// The store that is made from it.
    #[error(transparent)]
    Store(#[from] Error),
}

impl Header {
    /// That of a backup which begins now.
    pub fn new(taken: WallTime, meta: Meta, files: BTreeMap<String, Secret>) -> Header {
        Header { understudy_backup: VERSION, taken, meta, files }
    }
}

/// A backup that is being written: a line at a time, a page of entries at a time.
pub struct Backup {
    reader: Box<dyn Reader>,
    at: Head,
    ends: u64,
    next: Next,
    told: Sha256,
}

enum Next {
    Header(Box<Header>),
    Entries,
    Nothing,
}

impl Backup {
    /// Of all entries up to this number, which are durable.
    pub fn new(reader: Box<dyn Reader>, ends: u64, header: Header) -> Backup {
        Backup { reader, at: Head::default(), ends, next: Next::Header(Box::new(header)), told: Sha256::new() }
    }

    /// The next lines, ended, with at most so many entries; `None` after the end. Blocks on the disk.
    pub fn more(&mut self, limit: usize) -> Result<Option<Vec<u8>>, Error> {
        let mut bytes = Vec::new();
        match std::mem::replace(&mut self.next, Next::Entries) {
            Next::Nothing => {
                self.next = Next::Nothing;
                return Ok(None);
            }
            Next::Header(header) => {
                write(&mut bytes, &header)?;
                self.told.update(&bytes);
            }
            Next::Entries => {
                let left = usize::try_from(self.ends - self.at.number).unwrap_or(usize::MAX);
                let (before, lines) = self.reader.lines(self.at.number, limit.min(left))?;
                if left > 0 && (lines.is_empty() || before != self.at) {
                    return Err(Error::Broken(format!("entry {} is missing", self.at.number + 1)));
                }
                for line in &lines {
                    self.at = self.at.check(line).map_err(Error::Broken)?;
                    write(&mut bytes, line)?;
                }
                self.told.update(&bytes);
                if self.at.number == self.ends {
                    write(&mut bytes, &End { entries: self.at.number, sha256: hex(self.told.clone()) })?;
                    self.next = Next::Nothing;
                }
            }
        }
        Ok(Some(bytes))
    }
}

/// True if this line is the end of a backup.
pub fn is_end(line: &str) -> bool {
    serde_json::from_str::<End>(line).is_ok()
}

fn hex(told: Sha256) -> String {
    told.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn write(bytes: &mut Vec<u8>, value: &impl Serialize) -> Result<(), Error> {
    serde_json::to_writer(&mut *bytes, value).map_err(|error| Error::Io(error.to_string()))?;
    bytes.push(b'\n');
    Ok(())
}

/// A backup that is being read.
pub struct Source<R> {
    input: R,
    line: u64,
    read: Sha256,
}

impl<R: BufRead> Source<R> {
    /// From its first line on.
    pub fn new(input: R) -> Source<R> {
        Source { input, line: 0, read: Sha256::new() }
    }

    fn text(&mut self) -> Result<Option<String>, Unusable> {
        self.line += 1;
        let mut bytes = Vec::new();
        let mut limited = std::io::Read::take(&mut self.input, LINE_BYTES_MAX);
        limited.read_until(b'\n', &mut bytes)?;
        match bytes.pop() {
            None => return Ok(None),
            Some(b'\n') => {}
            Some(_) => return Err(self.wrong("it ends in the middle: the file is not whole")),
        }
        String::from_utf8(bytes).map(Some).map_err(|_| self.wrong("it is no text"))
    }

    fn took(&mut self, text: &str) {
        self.read.update(text.as_bytes());
        self.read.update(b"\n");
    }

    fn wrong(&self, reason: impl Into<String>) -> Unusable {
        Unusable::Content { line: self.line, reason: reason.into() }
    }

    /// What the backup is of. Asked first.
    pub fn header(&mut self) -> Result<Header, Unusable> {
        let Some(text) = self.text()? else { return Err(self.wrong("the file is empty")) };
        let header: Header = serde_json::from_str(&text).map_err(|_| self.wrong("this is no backup of Understudy"))?;
        self.took(&text);
        if header.understudy_backup != VERSION {
            let found = header.understudy_backup;
            return Err(self.wrong(format!("this is a backup of form {found}, and this version knows form {VERSION}")));
        }
        Ok(header)
    }

    /// Appends every entry to an empty store, verified. The head at the end, which the backup's own end confirms.
    pub fn entries(&mut self, store: &mut dyn Store, mut progress: impl FnMut(u64)) -> Result<Head, Unusable> {
        let (mut at, mut written, mut batch) = (Head::default(), Head::default(), Vec::new());
        loop {
            let Some(text) = self.text()? else { return Err(self.wrong("the end is missing: the file is not whole")) };
            if let Ok(end) = serde_json::from_str::<End>(&text) {
                if end.entries != at.number {
                    return Err(self.wrong(format!("it ends with entry {}, and {} came before", end.entries, at.number)));
                }
                if end.sha256 != hex(self.read.clone()) {
                    return Err(self.wrong("the file was changed after it was written"));
                }
                store.append_lines(&written, &batch)?;
                return Ok(at);
            }
            let line: Line = serde_json::from_str(&text).map_err(|_| self.wrong("this is no entry"))?;
            // an entry of a newer version is found here, and not at the next start
            let (_, next) = at.verify(&line).map_err(|reason| self.wrong(reason))?;
            at = next;
            self.took(&text);
            batch.push(line);
            if batch.len() >= BATCH {
                written = store.append_lines(&written, &batch)?;
                batch.clear();
                progress(written.number);
            }
        }
    }
}

/// Ends a restored store: its first own entry says where it came from, and it only observes until it is adopted.
pub fn seal(store: &mut dyn Store, head: &Head, taken: WallTime, now: WallTime) -> Result<Head, Error> {
    let fact = pipeline::record::Fact::Restored { entries: head.number, hash: head.hash.clone(), taken };
    store.append(head, &[Record { at: now, fact }])
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::conformance::{sample, sample_meta};
    use crate::sled_store::SledStore;
    use crate::sqlite_store::SqliteStore;

    fn backup(store: &dyn Store) -> Vec<u8> {
        let files = BTreeMap::from([("authority.key".to_owned(), Secret::new("key"))]);
        let header = Header::new(WallTime(7), store.meta().clone(), files);
        let mut backup = Backup::new(store.reader().unwrap(), store.head().unwrap().number, header);
        let mut bytes = Vec::new();
        while let Some(more) = backup.more(700).unwrap() {
            bytes.extend(more);
        }
        bytes
    }

    fn restore(bytes: &[u8], store: &mut dyn Store) -> Result<Head, Unusable> {
        let mut source = Source::new(bytes);
        source.header()?;
        source.entries(store, |_| {})
    }

    fn filled(entries: u32) -> (tempfile::TempDir, SqliteStore) {
        let folder = tempfile::tempdir().unwrap();
        let mut store = SqliteStore::create(folder.path(), &sample_meta()).unwrap();
        let records: Vec<Record> = (0..entries).map(|n| sample(n.into())).collect();
        store.append(&Head::default(), &records).unwrap();
        (folder, store)
    }

    #[test]
    fn every_kind_of_store_is_restored_entry_by_entry_with_its_hashes() {
        for entries in [0, 1, 2_500] {
            let (_folder, store) = filled(entries);
            let bytes = backup(&store);
            let folder = tempfile::tempdir().unwrap();
            let mut sled = SledStore::create(folder.path(), &sample_meta()).unwrap();
            assert_eq!(restore(&bytes, &mut sled).unwrap(), store.head().unwrap());
            assert_eq!(backup(&sled), bytes, "{entries}");
            let sealed = seal(&mut sled, &store.head().unwrap(), WallTime(7), WallTime(9)).unwrap();
            assert_eq!(sealed.number, u64::from(entries) + 1);
        }
    }

    #[test]
    fn a_file_that_is_not_whole_or_was_changed_is_refused() {
        let (_folder, store) = filled(3);
        let bytes = backup(&store);
        let refused = |bytes: &[u8]| {
            let folder = tempfile::tempdir().unwrap();
            let mut fresh = SqliteStore::create(folder.path(), &sample_meta()).unwrap();
            restore(bytes, &mut fresh).map(drop).unwrap_err().to_string()
        };
        for length in 0..bytes.len() {
            refused(bytes.get(..length).unwrap());
        }
        for place in 0..bytes.len() {
            let mut changed = bytes.clone();
            let byte = changed.get_mut(place).unwrap();
            *byte = byte.wrapping_add(1);
            refused(&changed);
        }
        let text = String::from_utf8(bytes).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let without_second = [lines.get(..2).unwrap(), lines.get(3..).unwrap()].concat().join("\n") + "\n";
        assert!(
            refused(without_second.as_bytes()).starts_with("line 3: entry 2 is missing"),
            "{}",
            refused(without_second.as_bytes())
        );
        assert!(refused(b"hello\n").contains("no backup"));
    }
}
