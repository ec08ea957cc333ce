//! A small disk: things by name, each replaced whole, that can be lost, and a disk that can be full or put back whole to what it once was.
//! It must never give half a content, nor one that was never there, nor contents together that never were.

use crate::limits::VERSIONS_MAX;
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

#[derive(Default)]
struct State {
    /// Empty for one that is no copy; else the name of what it was copied from, and which of its copies it is.
    name: String,
    copies: u32,
    /// How many writes made it what it is.
    writes: u64,
    /// Contents with the numbers of their writes, the present one last.
    things: BTreeMap<String, Vec<(u64, Vec<u8>)>>,
    /// It can be put back no further than to this write: of what was before, not all is kept.
    kept_since: u64,
    full: bool,
    broken: bool,
    replaced: u64,
    fuse: Option<Fuse>,
    locks: BTreeMap<String, Weak<()>>,
}

/// Somebody has a thing for himself, as long as this lives.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "it is there")] Arc<()>);

/// Something that happens at a write that is still to come.
struct Fuse {
    /// How many writes come before it.
    spared: u32,
    /// It happens when that write is there, else before.
    after: bool,
    blows: Box<dyn FnOnce() + Send>,
}

impl State {
    /// A write comes: lets the fuse blow if it is its turn. True if the write is not done for that.
    fn prevented(&mut self) -> bool {
        if let Some(fuse) = &mut self.fuse
            && fuse.spared > 0
        {
            fuse.spared -= 1;
            return false;
        }
        let Some(fuse) = self.fuse.take() else { return false };
        (fuse.blows)();
        !fuse.after
    }
}

/// One disk. Clones are the same, copies are not.
#[derive(Clone, Default)]
pub struct Disk(Arc<Mutex<State>>);

impl std::fmt::Debug for Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = self.state();
        f.debug_struct("Disk").field("things", &state.things.keys()).field("full", &state.full).finish()
    }
}

impl Disk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What lies there; `None` if nothing does.
    pub fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        let state = self.state();
        if state.broken {
            return Err(io::Error::other("Input/output error (os error 5)"));
        }
        Ok(state.things.get(name).and_then(|versions| versions.last()).map(|(_, content)| content.clone()))
    }

    /// Takes a thing for oneself, be it there or not; `None` if somebody has it.
    pub fn lock(&self, name: &str) -> Option<Lock> {
        let mut state = self.state();
        if state.locks.get(name).is_some_and(|held| held.strong_count() > 0) {
            return None;
        }
        let lock = Arc::new(());
        state.locks.insert(name.to_owned(), Arc::downgrade(&lock));
        Some(Lock(lock))
    }

    /// The names of the things that lie there, in order.
    pub fn names(&self) -> Vec<String> {
        self.state().things.keys().cloned().collect()
    }

    /// Puts a content there, whole and for good.
    pub fn replace(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        if state.broken {
            return Err(io::Error::other("Input/output error (os error 5)"));
        }
        if state.full {
            return Err(io::Error::new(io::ErrorKind::StorageFull, "No space left on device (os error 28)"));
        }
        if state.prevented() {
            return Err(io::Error::other("nobody is there who could write"));
        }
        state.replaced += 1;
        state.writes += 1;
        let write = state.writes;
        let versions = state.things.entry(name.to_owned()).or_default();
        versions.push((write, content.to_vec()));
        if versions.len() > VERSIONS_MAX {
            versions.remove(0);
            let oldest = versions.first().map_or(write, |(write, _)| *write);
            state.kept_since = state.kept_since.max(oldest);
        }
        Ok(())
    }

    /// At a write from now on, after so many that come before it, this happens: just before it is there, or just after.
    pub fn fuse(&self, spared: u32, after: bool, blows: impl FnOnce() + Send + 'static) {
        self.state().fuse = Some(Fuse { spared, after, blows: Box::new(blows) });
    }

    /// Nothing happens at any write any more.
    pub fn no_fuse(&self) {
        self.state().fuse = None;
    }

    /// From now on nothing more fits, or something does again.
    pub fn fill(&self, full: bool) {
        self.state().full = full;
    }

    /// From now on it can be neither read nor written, or both again.
    pub fn break_down(&self, broken: bool) {
        self.state().broken = broken;
    }

    /// The thing is gone.
    pub fn lose(&self, name: &str) {
        self.state().things.remove(name);
    }

    /// The whole disk is what it was so many writes ago, or as long ago as is kept; what was never there before is gone.
    pub fn rewind(&self, writes: u64) {
        let mut state = self.state();
        let to = state.writes.saturating_sub(writes).max(state.kept_since);
        state.writes = to.min(state.writes);
        state.things.retain(|_, versions| {
            versions.retain(|(write, _)| *write <= to);
            !versions.is_empty()
        });
    }

    /// Another disk with the same contents, as a restored backup or a cloned machine has.
    pub fn copy(&self) -> Disk {
        let mut state = self.state();
        state.copies += 1;
        let (name, things) = (format!("{} copy {}", state.name, state.copies), state.things.clone());
        let (writes, kept_since) = (state.writes, state.kept_since);
        Disk(Arc::new(Mutex::new(State { name, writes, things, kept_since, ..State::default() })))
    }

    /// What no copy of it is called.
    pub fn name(&self) -> String {
        self.state().name.clone()
    }

    /// How often something was replaced.
    pub fn replaced(&self) -> u64 {
        self.state().replaced
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_loses_keeps_and_rolls_back() {
        let disk = Disk::default();
        let read = |disk: &Disk| disk.read("a").unwrap().map(|bytes| String::from_utf8(bytes).unwrap());
        assert_eq!(read(&disk), None);
        for content in ["one", "two", "three"] {
            disk.replace("a", content.as_bytes()).unwrap();
        }
        let copy = disk.copy();
        let names: std::collections::BTreeSet<String> = [&disk, &copy, &disk.copy(), &copy.copy()].map(Disk::name).into();
        assert_eq!((names.len(), disk.name()), (4, disk.clone().name()));
        disk.rewind(1);
        assert_eq!(read(&disk).as_deref(), Some("two"));
        disk.fill(true);
        assert_eq!(disk.replace("a", b"four").unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert_eq!(read(&disk).as_deref(), Some("two"), "a full disk keeps what it has");
        disk.rewind(9);
        assert_eq!(read(&disk), None);
        assert_eq!(read(&copy).as_deref(), Some("three"), "a copy goes its own way");
        let lock = disk.lock("a").unwrap();
        assert!(disk.clone().lock("a").is_none() && disk.lock("b").is_some() && copy.lock("a").is_some());
        drop(lock);
        assert!(disk.lock("a").is_some(), "whoever had it is gone");
        copy.break_down(true);
        assert!(copy.read("a").is_err() && copy.replace("a", b"").is_err());
        copy.break_down(false);
        copy.lose("a");
        assert_eq!((read(&copy), copy.replaced(), disk.replaced()), (None, 0, 3));
    }

    #[test]
    fn what_it_is_put_back_to_was_there_together() {
        let disk = Disk::default();
        let write = |name: &str, content: usize| disk.replace(name, content.to_string().as_bytes()).unwrap();
        let read = |name: &str| disk.read(name).unwrap().map(|bytes| String::from_utf8(bytes).unwrap().parse::<usize>().unwrap());
        (1..=3).for_each(|n| write("a", n));
        (4..=5).for_each(|n| write("b", n));
        write("a", 6);
        disk.rewind(2);
        assert_eq!((read("a"), read("b")), (Some(3), Some(4)));
        write("a", 7);
        disk.rewind(1);
        assert_eq!((read("a"), read("b")), (Some(3), Some(4)), "what was put back is the past of what comes after");
        // no further than everything is kept
        (8..8 + VERSIONS_MAX).for_each(|n| write("a", n));
        disk.rewind(10 * VERSIONS_MAX as u64);
        assert_eq!((read("a"), read("b")), (Some(8), Some(4)));
    }

    #[test]
    fn a_write_can_be_somebody_s_end() {
        for after in [false, true] {
            let (disk, blown) = (Disk::default(), Arc::new(Mutex::new(0)));
            let count = blown.clone();
            disk.fuse(1, after, move || *count.lock().unwrap() += 1);
            disk.replace("a", b"one").unwrap();
            assert_eq!((disk.replace("a", b"two").is_ok(), *blown.lock().unwrap()), (after, 1));
            assert_eq!(disk.read("a").unwrap().unwrap(), if after { b"two" } else { b"one" });
            disk.replace("a", b"three").unwrap();
            assert_eq!(*blown.lock().unwrap(), 1, "once");
        }
    }
}
