//! A controller's store on a simulated disk: what was acknowledged survives every crash; it can be copied while nobody looks, put back from
//! an older copy, be full for a while, or lose the answer to a write that it kept. It never breaks a chain and never loses a part of a
//! transaction: a real store's laws (`journal::conformance`) hold of it.

use crate::life::Life;
use journal::chain::{Base, Head, Line};
use journal::{Entry, Error, Meta, Reader, Store};
use pipeline::Record;
use pipeline::ledger::Ledger;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use vocabulary::{Lineage, WallTime};

/// What happens to the appends that come next.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Mood {
    /// They are durable when they are acknowledged.
    #[default]
    Sound,
    /// They fail, and change nothing.
    Full,
    /// The next one fails and is there all the same; from then on sound.
    LosesAnAnswer,
}

#[derive(Debug, Default)]
struct Content {
    /// All that ever were, those in whose place a base stands as well: the judge reads them, and nobody else.
    entries: Vec<Entry>,
    /// Bases, oldest first, each with how many entries there are once it counts.
    bases: Vec<(usize, Base)>,
    mood: Mood,
    fuse: Option<Fuse>,
}

/// The end of a process at an append that is still to come.
#[derive(Clone, Debug)]
struct Fuse {
    /// How many appends come before it.
    spared: u32,
    /// It dies when that one is there, else before.
    after: bool,
    life: Life,
}

impl Content {
    /// An append comes: lets the fuse blow if it is its turn. True if it is not done for that.
    fn prevented(&mut self) -> bool {
        if let Some(fuse) = &mut self.fuse
            && fuse.spared > 0
        {
            fuse.spared -= 1;
            return false;
        }
        let Some(fuse) = self.fuse.take() else { return false };
        fuse.life.kill();
        !fuse.after
    }
}

/// The disk of one store. Clones are the same disk.
#[derive(Clone, Debug)]
pub struct Platter {
    meta: Meta,
    content: Arc<Mutex<Content>>,
    /// Whose writes these are.
    life: Life,
    /// How often a backup took the place of what was here.
    restored: u32,
}

/// A copy of what a disk held.
#[derive(Clone, Debug)]
pub struct Copy {
    meta: Meta,
    entries: Vec<Entry>,
    bases: Vec<(usize, Base)>,
}

impl Copy {
    /// How many entries it has.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True if it has none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl Platter {
    /// An empty store.
    pub fn new(meta: Meta) -> Platter {
        Platter { meta, content: Arc::default(), life: Life::default(), restored: 0 }
    }

    /// The same disk, as a process of this life writes to it: nothing any more once that is dead.
    #[must_use]
    pub fn within(&self, life: &Life) -> Platter {
        Platter { life: life.clone(), ..self.clone() }
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        // nothing that holds it can fail in between
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets what happens next.
    pub fn set_mood(&self, mood: Mood) {
        self.content().mood = mood;
    }

    /// This process dies at an append from now on, after so many that come before it: just before it is there, or just after.
    pub fn fuse(&self, spared: u32, after: bool, life: Life) {
        self.content().fuse = Some(Fuse { spared, after, life });
    }

    /// No append is anybody's end any more.
    pub fn no_fuse(&self) {
        self.content().fuse = None;
    }

    /// A copy of what is there.
    pub fn copy(&self) -> Copy {
        let content = self.content();
        Copy { meta: self.meta.clone(), entries: content.entries.clone(), bases: content.bases.clone() }
    }

    /// Puts a copy back in place of what is there.
    pub fn put_back(&self, copy: &Copy) {
        let mut content = self.content();
        content.entries.clone_from(&copy.entries);
        content.bases.clone_from(&copy.bases);
    }

    /// Everything here is lost, and a backup restored in its place: a store of its own lineage.
    pub fn restore(&mut self, backup: &Copy, now: WallTime) -> Result<(), Error> {
        self.restored += 1;
        self.meta.lineage = Lineage(format!("{} restored {}", backup.meta.lineage, self.restored));
        self.put_back(backup);
        let head = self.content().head();
        journal::backup::seal(self, &head, now, now).map(drop)
    }

    /// The newest entry.
    pub fn last(&self) -> Option<Entry> {
        self.content().entries.last().cloned()
    }

    /// The newest entries are gone, so many of them: an older copy lies there.
    pub fn cut_back(&self, entries: usize) {
        let mut content = self.content();
        let stays = content.entries.len().saturating_sub(entries);
        content.entries.truncate(stays);
        content.bases.retain(|(entries, _)| *entries <= stays);
    }

    /// All that was ever written and is in this store's past, also what a base stands for.
    pub fn entries(&self) -> Vec<Entry> {
        self.content().entries.clone()
    }

    /// That a base is what all entries in whose place it comes yield, from the first one on.
    fn is_fold(&self, base: &Base) -> Result<(), String> {
        let mut ledger = Ledger::default();
        let count = usize::try_from(base.number).map_err(|error| error.to_string())?;
        let content = self.content();
        let entries = content.entries.get(..count).ok_or("it stands for more than there is")?;
        entries.iter().for_each(|entry| ledger.apply(&entry.record));
        if entries.last().map(|last| &last.hash) != Some(&base.hash) {
            return Err("it ends with another hash".to_owned());
        }
        let said = Ledger::from_text(&base.ledger).map_err(|error| error.to_string())?;
        if said == ledger { Ok(()) } else { Err(format!("{said:?} is not {ledger:?}")) }
    }

    /// What was written after that number, whatever a base stands for.
    pub fn entries_after(&self, number: u64, limit: usize) -> Vec<Entry> {
        let content = self.content();
        content.entries.iter().skip(usize::try_from(number).unwrap_or(usize::MAX)).take(limit).cloned().collect()
    }

    /// How much is there.
    pub fn len(&self) -> usize {
        self.content().entries.len()
    }

    /// True if nothing was ever written.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl From<&Copy> for Platter {
    /// Another disk with the same store.
    fn from(copy: &Copy) -> Platter {
        let content = Content { entries: copy.entries.clone(), bases: copy.bases.clone(), ..Content::default() };
        Platter { meta: copy.meta.clone(), content: Arc::new(Mutex::new(content)), life: Life::default(), restored: 0 }
    }
}

impl Content {
    fn push(&mut self, head: &mut Head, records: &[Record]) -> Result<(), Error> {
        for record in records {
            let (entry, _) = head.next(record).map_err(|error| Error::Io(error.to_string()))?;
            *head = Head { number: entry.number, hash: entry.hash.clone() };
            self.entries.push(entry);
        }
        Ok(())
    }

    fn head(&self) -> Head {
        self.entries.last().map_or_else(|| self.base_head(), |last| Head { number: last.number, hash: last.hash.clone() })
    }

    fn base(&self) -> Option<&Base> {
        self.bases.last().map(|(_, base)| base)
    }

    fn base_head(&self) -> Head {
        self.base().map(Base::head).unwrap_or_default()
    }

    fn after(&self, number: u64) -> &[Entry] {
        let number = number.max(self.base_head().number);
        // entries are numbered without gaps
        let gone = self.entries.first().map_or(0, |first| first.number - 1);
        usize::try_from(number - gone.min(number)).ok().and_then(|number| self.entries.get(number..)).unwrap_or_default()
    }
}

impl Store for Platter {
    fn append_lines(&mut self, expected: &Head, lines: &[Line]) -> Result<Head, Error> {
        let (mut at, mut records) = (expected.clone(), Vec::with_capacity(lines.len()));
        for line in lines {
            let (entry, next) = at.verify(line).map_err(Error::Broken)?;
            records.push(entry.record);
            at = next;
        }
        self.append(expected, &records)
    }

    fn rebase(&mut self, expected: &Head, base: &Base, lines: &[Line]) -> Result<Head, Error> {
        let (before, found) = (self.len(), self.content().head());
        if found != *expected {
            return Err(Error::HeadMoved { expected: expected.number, found: found.number });
        }
        // a panic in a world is a finding like any other
        let odd = if lines.is_empty() { None } else { self.is_fold(base).err() };
        assert!(odd.is_none(), "a base is not what its entries come to: {odd:?}");
        let outcome = if lines.is_empty() { Ok(base.head()) } else { self.append_lines(expected, lines) };
        let mut content = self.content();
        let entries = content.entries.len();
        // one transaction, also where its answer is lost
        if outcome.is_ok() || entries > before {
            content.bases.push((entries, base.clone()));
        }
        outcome
    }

    fn base(&self) -> Result<Option<Base>, Error> {
        Ok(self.content().base().cloned())
    }

    fn sweep(&mut self, _limit: usize) -> Result<bool, Error> {
        // the judge still reads them
        Ok(true)
    }

    // no text is made: nobody reads it
    fn append(&mut self, expected: &Head, records: &[Record]) -> Result<Head, Error> {
        let mut content = self.content();
        let mut head = content.head();
        if head != *expected {
            return Err(Error::HeadMoved { expected: expected.number, found: head.number });
        }
        if !self.life.is_alive() || content.prevented() {
            return Err(Error::Io("its process is dead".into()));
        }
        if content.mood == Mood::Full {
            return Err(Error::Io("no room on the simulated disk".into()));
        }
        content.push(&mut head, records)?;
        if std::mem::take(&mut content.mood) == Mood::LosesAnAnswer {
            return Err(Error::Io("the simulated disk fell silent".into()));
        }
        Ok(head)
    }

    fn head(&self) -> Result<Head, Error> {
        Ok(self.content().head())
    }

    fn replay(&self, after: &Head, each: &mut dyn FnMut(Entry)) -> Result<Head, Error> {
        let content = self.content();
        if after.number < content.base_head().number {
            return Err(Error::Broken(format!("entry {} was removed", after.number + 1)));
        }
        let entries = content.after(after.number).to_vec();
        drop(content);
        let mut head = after.clone();
        for entry in entries {
            if entry.previous != head.hash {
                return Err(Error::Broken(format!("entry {} does not follow", entry.number)));
            }
            head = Head { number: entry.number, hash: entry.hash.clone() };
            each(entry);
        }
        Ok(head)
    }

    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn reader(&self) -> Result<Box<dyn Reader>, Error> {
        Ok(Box::new(self.clone()))
    }
}

impl Reader for Platter {
    fn base(&mut self) -> Result<Option<Base>, Error> {
        Ok(self.content().base().cloned())
    }

    fn lines(&mut self, after: u64, limit: usize) -> Result<(Head, Vec<Line>), Error> {
        let content = self.content();
        let entries = content.after(after);
        let Some(first) = entries.first() else { return Ok((Head::default(), Vec::new())) };
        let head = Head { number: first.number - 1, hash: first.previous.clone() };
        let records: Vec<Record> = entries.iter().take(limit).map(|entry| entry.record.clone()).collect();
        let lines = head.lines(&records).map_err(|error| Error::Io(error.to_string()))?;
        Ok((head, lines))
    }

    fn page(&mut self, after: u64, limit: usize) -> Result<Vec<Entry>, Error> {
        Ok(self.content().after(after).iter().take(limit).cloned().collect())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use journal::conformance::{self, Maker, sample, sample_meta};
    use std::cell::RefCell;
    use std::collections::BTreeMap;
    use std::path::{Path, PathBuf};

    thread_local! {
        static DISKS: RefCell<BTreeMap<PathBuf, Platter>> = const { RefCell::new(BTreeMap::new()) };
    }

    fn made(directory: &Path, meta: &Meta) -> Result<Box<dyn Store>, Error> {
        DISKS.with_borrow_mut(|disks| {
            if disks.contains_key(directory) {
                return Err(Error::Io("there is one".into()));
            }
            let disk = Platter::new(meta.clone());
            disks.insert(directory.to_owned(), disk.clone());
            Ok(Box::new(disk) as Box<dyn Store>)
        })
    }

    fn opened(directory: &Path) -> Result<Box<dyn Store>, Error> {
        DISKS
            .with_borrow(|disks| disks.get(directory).cloned().map(|disk| Box::new(disk) as Box<dyn Store>))
            .ok_or_else(|| Error::Absent(String::new()))
    }

    #[test]
    fn it_is_a_store() {
        let maker = Maker { name: "simulated", create: made, open: opened };
        let laws = [
            conformance::keeps_what_it_acknowledged,
            conformance::refuses_a_moved_head,
            conformance::is_made_once,
            conformance::is_read_beside_its_writer,
            conformance::puts_a_base_in_place_of_old_entries,
            conformance::begins_with_a_base,
        ];
        for (number, law) in laws.into_iter().enumerate() {
            law(&maker, &PathBuf::from(number.to_string())).unwrap();
        }
    }

    #[test]
    fn it_can_be_full_and_lose_an_answer_but_no_record() {
        let mut disk = Platter::new(sample_meta());
        let head = disk.append(&Head::default(), &[sample(1)]).unwrap();
        disk.set_mood(Mood::Full);
        assert!(disk.append(&head, &[sample(2)]).is_err() && disk.append(&head, &[sample(2)]).is_err());
        assert_eq!(disk.len(), 1);
        disk.set_mood(Mood::LosesAnAnswer);
        assert!(disk.append(&head, &[sample(3)]).is_err());
        assert_eq!(disk.len(), 2, "it is there all the same");
        assert!(matches!(disk.append(&head, &[sample(4)]), Err(Error::HeadMoved { expected: 1, found: 2 })));
        let head = disk.head().unwrap();
        assert_eq!(disk.append(&head, &[sample(4)]).unwrap().number, 3);
    }

    #[test]
    fn a_copy_is_another_store_of_the_same_lineage() {
        let mut disk = Platter::new(sample_meta());
        let head = disk.append(&Head::default(), &[sample(1)]).unwrap();
        let copy = disk.copy();
        let later = disk.append(&head, &[sample(2)]).unwrap();
        let mut other = Platter::from(&copy);
        assert_eq!((other.head().unwrap(), &other.meta().lineage), (head.clone(), &sample_meta().lineage));
        other.append(&head, &[sample(9)]).unwrap();
        assert_eq!(disk.head().unwrap(), later, "what happens to one does not happen to the other");
        disk.put_back(&copy);
        assert_eq!(disk.head().unwrap(), head);
    }
}
