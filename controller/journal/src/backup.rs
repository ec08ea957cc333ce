//! A backup: one file of JSON lines that holds all that a store is, whichever kind it is: what it is about, the keys beside it, every entry as it
//! is stored (with what older ones come to, where these were removed), and an end. A file without its end is none. It holds secrets: it belongs to its owner alone.

use crate::chain::{Base, Head, Line};
use crate::store::{Error, Meta, Reader, Store};
use pipeline::Record;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::BufRead;
use vocabulary::{Secret, WallTime};

/// The version of this form: 2 may have a base before its entries.
const VERSION: u32 = 2;
/// Versions that are read.
const READ: std::ops::RangeInclusive<u32> = 1..=VERSION;
/// Longest line of a backup, bytes: far above any record.
pub const LINE_BYTES_MAX: u64 = 64 << 20;
/// A base comes in parts of so many bytes.
const PART_BYTES: usize = 1 << 20;
/// Largest base, bytes: far above what an estate of 16,000 machines comes to.
const BASE_BYTES_MAX: usize = 1 << 30;
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

/// A part of a base's ledger: all but the last, which comes with the base itself.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Part {
    base_part: String,
}

/// The last line.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct End {
    /// The number of the last entry before it.
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
    ends_at: Box<dyn Fn() -> u64 + Send>,
    next: Next,
    /// The digest of the base, until the entry that tells of it has come: without that one nobody would start from what is restored.
    untold: Option<String>,
    told: Sha256,
}

enum Next {
    Header(Box<Header>),
    Base,
    Entries,
    Nothing,
}

impl Backup {
    /// Of all entries up to the number that is told when the first of them is about to be read; they are durable.
    pub fn new(reader: Box<dyn Reader>, ends_at: Box<dyn Fn() -> u64 + Send>, header: Header) -> Backup {
        Backup {
            reader,
            at: Head::default(),
            ends: 0,
            ends_at,
            next: Next::Header(Box::new(header)),
            untold: None,
            told: Sha256::new(),
        }
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
                self.next = Next::Base;
            }
            Next::Base => {
                let base = self.reader.base()?;
                self.ends = (self.ends_at)();
                if let Some(base) = base {
                    self.at = base.head();
                    self.untold = Some(base.digest());
                    write_base(&mut bytes, base)?;
                    self.told.update(&bytes);
                }
            }
            Next::Entries => {
                let left = usize::try_from(self.ends.saturating_sub(self.at.number)).unwrap_or(usize::MAX);
                let (before, lines) = self.reader.lines(self.at.number, limit.min(left))?;
                if left > 0 && (lines.is_empty() || before != self.at) {
                    let next = self.at.number + 1;
                    return Err(Error::Broken(format!(
                        "entry {next} is missing: if old entries were removed just now, ask again"
                    )));
                }
                for line in &lines {
                    if self.untold.as_ref().is_some_and(|digest| line.text.contains(digest)) {
                        self.untold = None;
                    }
                    self.at = self.at.check(line).map_err(Error::Broken)?;
                    write(&mut bytes, line)?;
                }
                self.told.update(&bytes);
                if self.at.number >= self.ends && self.untold.is_some() {
                    // the base came when the last of them had been counted; the entry that tells of it is one of the next
                    self.ends = self.at.number + 1;
                } else if self.at.number >= self.ends {
                    write(&mut bytes, &End { entries: self.at.number, sha256: hex(self.told.clone()) })?;
                    self.next = Next::Nothing;
                }
            }
        }
        Ok(Some(bytes))
    }
}

/// The number of the last entry, if this line is the end of a backup.
pub fn ends_with(line: &str) -> Option<u64> {
    serde_json::from_str::<End>(line).ok().map(|end| end.entries)
}

fn write_base(bytes: &mut Vec<u8>, mut base: Base) -> Result<(), Error> {
    while base.ledger.len() > PART_BYTES {
        let end = base.ledger.floor_char_boundary(PART_BYTES);
        let rest = base.ledger.split_off(end);
        write(bytes, &Part { base_part: std::mem::replace(&mut base.ledger, rest) })?;
    }
    write(bytes, &base)
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
        if !READ.contains(&header.understudy_backup) {
            let found = header.understudy_backup;
            return Err(self.wrong(format!("this is a backup of form {found}, and this version knows forms up to {VERSION}")));
        }
        Ok(header)
    }

    /// Appends every entry to an empty store, verified. The head at the end, which the backup's own end confirms.
    pub fn entries(&mut self, store: &mut dyn Store, mut progress: impl FnMut(u64)) -> Result<Head, Unusable> {
        let (mut at, mut written, mut batch) = (Head::default(), Head::default(), Vec::new());
        let (mut parts, mut untold) = (String::new(), None);
        loop {
            let Some(text) = self.text()? else { return Err(self.wrong("the end is missing: the file is not whole")) };
            if let Ok(end) = serde_json::from_str::<End>(&text) {
                if end.entries != at.number {
                    return Err(self.wrong(format!("it ends with entry {}, and {} came before", end.entries, at.number)));
                }
                if end.sha256 != hex(self.read.clone()) {
                    return Err(self.wrong("the file was changed after it was written"));
                }
                if untold.is_some() {
                    return Err(self.wrong("no entry tells of the base: whoever started from it could not know that it is whole"));
                }
                store.append_lines(&written, &batch)?;
                return Ok(at);
            }
            if at == Head::default() {
                if let Ok(Part { base_part }) = serde_json::from_str(&text) {
                    self.took(&text);
                    parts += &base_part;
                    if parts.len() > BASE_BYTES_MAX {
                        return Err(self.wrong(format!("its base has more than {BASE_BYTES_MAX} bytes")));
                    }
                    continue;
                }
                if let Ok(mut base) = serde_json::from_str::<Base>(&text) {
                    self.took(&text);
                    base.ledger = std::mem::take(&mut parts) + &base.ledger;
                    // one of a newer version is found here, and not at the next start
                    pipeline::ledger::Ledger::from_text(&base.ledger)
                        .map_err(|error| self.wrong(format!("its base: {error}")))?;
                    untold = Some(base.digest());
                    at = store.rebase(&written, &base, &[])?;
                    written = at.clone();
                    progress(written.number);
                    continue;
                }
            }
            let line: Line = serde_json::from_str(&text).map_err(|_| self.wrong("this is no entry"))?;
            // an entry of a newer version is found here, and not at the next start
            let (_, next) = at.verify(&line).map_err(|reason| self.wrong(reason))?;
            at = next;
            self.took(&text);
            if untold.as_ref().is_some_and(|digest| line.text.contains(digest)) {
                untold = None;
            }
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
    use pipeline::record::Fact;
    use std::collections::BTreeSet;

    fn backup(store: &dyn Store) -> Vec<u8> {
        let files = BTreeMap::from([("authority.key".to_owned(), Secret::new("key"))]);
        let header = Header::new(WallTime(7), store.meta().clone(), files);
        let ends = store.head().unwrap().number;
        let mut backup = Backup::new(store.reader().unwrap(), Box::new(move || ends), header);
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

    /// The same, the oldest entries of which were removed.
    fn pruned(entries: u32, removed: u64) -> (tempfile::TempDir, SqliteStore) {
        let (folder, mut store) = filled(entries);
        let page = store.reader().unwrap().page(removed - 1, 1).unwrap();
        let hash = page.first().unwrap().hash.clone();
        let mut ledger = pipeline::ledger::Ledger::default();
        // of many parts, which are cut within letters of many bytes
        let old = (0..removed * 20).map(|n| (format!("sw{n}"), vec!["\u{2192} \"odd\"".repeat(20)]));
        ledger.older.extend(old);
        let base = Base { number: removed, hash, ledger: ledger.to_text().unwrap() };
        let head = store.head().unwrap();
        let fact = Fact::Pruned { entries: removed, before: WallTime(0), base: base.digest(), plans: BTreeSet::new() };
        store.rebase(&head, &base, &head.lines(&[Record { at: WallTime(9), fact }]).unwrap()).unwrap();
        store.sweep(usize::MAX).unwrap();
        (folder, store)
    }

    #[test]
    fn what_stands_for_removed_entries_is_restored_with_the_others() {
        for (entries, removed) in [(3, 1), (3, 3), (2_500, 1_200)] {
            let (_folder, store) = pruned(entries, removed);
            let bytes = backup(&store);
            let folder = tempfile::tempdir().unwrap();
            let mut sled = SledStore::create(folder.path(), &sample_meta()).unwrap();
            assert_eq!(restore(&bytes, &mut sled).unwrap(), store.head().unwrap());
            assert_eq!(sled.base().unwrap(), store.base().unwrap());
            assert_eq!(backup(&sled), bytes, "{entries}");
        }
        // a backup whose end was counted just before the base came has the entry that tells of it all the same
        let (_folder, store) = pruned(5, 2);
        let header = Header::new(WallTime(7), store.meta().clone(), BTreeMap::new());
        let mut early = Backup::new(store.reader().unwrap(), Box::new(|| 4), header);
        let mut bytes = Vec::new();
        while let Some(more) = early.more(700).unwrap() {
            bytes.extend(more);
        }
        let folder = tempfile::tempdir().unwrap();
        let mut whole = SledStore::create(folder.path(), &sample_meta()).unwrap();
        assert_eq!(restore(&bytes, &mut whole).unwrap(), store.head().unwrap());
        // and one that lacks it is refused where it is restored, and not where it is needed
        let text = String::from_utf8(bytes).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let told = lines.get(..lines.len() - 2).unwrap().join("\n") + "\n";
        let end = End { entries: 5, sha256: hex(Sha256::new().chain_update(told.as_bytes())) };
        let lacking = format!("{told}{}\n", serde_json::to_string(&end).unwrap());
        let folder = tempfile::tempdir().unwrap();
        let mut fresh = SledStore::create(folder.path(), &sample_meta()).unwrap();
        let refused = restore(lacking.as_bytes(), &mut fresh).map(drop).unwrap_err().to_string();
        assert!(refused.contains("no entry tells of the base"), "{refused}");
        let (_folder, store) = pruned(3, 2);
        let text = String::from_utf8(backup(&store)).unwrap();
        let odd = text.replacen("\\\"epoch\\\":0", "\\\"epoch\\\":\\\"x\\\"", 1);
        assert_ne!(odd, text);
        let folder = tempfile::tempdir().unwrap();
        let mut fresh = SqliteStore::create(folder.path(), &sample_meta()).unwrap();
        let refused = restore(odd.as_bytes(), &mut fresh).map(drop).unwrap_err().to_string();
        assert!(refused.starts_with("line 2: its base: "), "{refused}");
    }

    #[test]
    fn a_backup_of_the_form_before_is_restored() {
        let (_folder, store) = filled(3);
        let text = String::from_utf8(backup(&store)).unwrap().replacen("\"understudy_backup\":2", "\"understudy_backup\":1", 1);
        // it ends as that version would have ended it
        let (lines, _) = text.trim_end().rsplit_once('\n').unwrap();
        let told = format!("{lines}\n");
        let end = End { entries: 3, sha256: hex(Sha256::new().chain_update(told.as_bytes())) };
        let whole = format!("{told}{}\n", serde_json::to_string(&end).unwrap());
        let folder = tempfile::tempdir().unwrap();
        let mut fresh = SqliteStore::create(folder.path(), &sample_meta()).unwrap();
        assert_eq!(restore(whole.as_bytes(), &mut fresh).unwrap(), store.head().unwrap());
        let later = whole.replacen("\"understudy_backup\":1", "\"understudy_backup\":3", 1);
        let folder = tempfile::tempdir().unwrap();
        let mut fresh = SqliteStore::create(folder.path(), &sample_meta()).unwrap();
        let refused = restore(later.as_bytes(), &mut fresh).map(drop).unwrap_err().to_string();
        assert!(refused.contains("form 3"), "{refused}");
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
