//! The `store: sled` option, on sled 1.0 alpha under the same conformance suite. One append is one key, so that it is there as a whole
//! or not at all; `flush` returns before the append does. It never gets smaller: see `sweep`.

use crate::chain::{Base, Entry, Head, Line};
use crate::store::{Error, Meta, Reader, Store};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// The database's folder in the store's directory.
pub const FOLDER: &str = "journal.sled";
/// The meta file beside it: written once, before the database is used.
const META: &str = "journal.sled.meta";
/// Keys per leaf: sled's own default.
const FANOUT: usize = 1024;

/// See the module.
pub struct SledStore {
    database: sled::Db<FANOUT>,
    meta: Meta,
    ends: BaseEnds,
}

/// Where the base ends, known without reading it; shared with those who read beside the writer.
#[derive(Clone, Default)]
struct BaseEnds(Arc<Mutex<Head>>);

impl BaseEnds {
    fn of(database: &sled::Db<FANOUT>) -> Result<BaseEnds, Error> {
        let ends = BaseEnds::default();
        ends.look(database)?;
        Ok(ends)
    }

    /// Reads it anew.
    fn look(&self, database: &sled::Db<FANOUT>) -> Result<(), Error> {
        let found = base(database)?.map(|base| base.head()).unwrap_or_default();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = found;
        Ok(())
    }

    fn get(&self) -> Head {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Where the bases are: no append begins with this number.
const BASES: u64 = 0;

/// One append: entries as number, hash and the exact text that was hashed.
#[derive(Serialize, Deserialize)]
struct Batch(Vec<(u64, String, String)>);

/// What stands under [`BASES`]. A key is written as a whole, and two keys are not: the base that comes is written first and counts from when the
/// entries that were appended after it are there.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Bases {
    now: Option<Base>,
    /// With the head that the append after it makes.
    comes: Option<(Base, Head)>,
}

fn io(error: impl std::fmt::Display) -> Error {
    Error::Io(error.to_string())
}

impl SledStore {
    /// True if a database is there.
    pub fn is_in(directory: &Path) -> bool {
        directory.join(META).is_file()
    }

    /// Makes a new database; fails if there is one.
    pub fn create(directory: &Path, meta: &Meta) -> Result<SledStore, Error> {
        use std::io::Write;
        use std::os::unix::fs::OpenOptionsExt;
        let database = connect(directory)?;
        let text = serde_json::to_string(meta).map_err(io)?;
        let path = directory.join(META);
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).map_err(io)?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(io)?;
        settle(directory)?;
        let ends = BaseEnds::default();
        Ok(SledStore { database, meta: meta.clone(), ends })
    }

    /// Opens the database.
    pub fn open(directory: &Path) -> Result<SledStore, Error> {
        let text = std::fs::read_to_string(directory.join(META)).map_err(io)?;
        let meta = serde_json::from_str(&text).map_err(|error| Error::Broken(error.to_string()))?;
        let database = connect(directory)?;
        let ends = BaseEnds::of(&database)?;
        Ok(SledStore { database, meta, ends })
    }

    fn put(&mut self, expected: &Head, base: &Base, lines: &[Line]) -> Result<(), Error> {
        let now = self.base()?;
        if let Some(last) = lines.last() {
            self.write(BASES, &Bases { now, comes: Some((base.clone(), last.head())) })?;
            self.append_lines(expected, lines)?;
        }
        self.write(BASES, &Bases { now: Some(base.clone()), comes: None })
    }

    fn write(&self, key: u64, value: &impl Serialize) -> Result<(), Error> {
        self.database.insert(key.to_be_bytes(), serde_json::to_vec(value).map_err(io)?).map_err(io)?;
        self.database.flush().map(drop).map_err(io)
    }
}

fn read<T: for<'a> Deserialize<'a>>(value: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(value).map_err(|error| Error::Broken(error.to_string()))
}

/// The key of the first append there can be.
fn first_key() -> [u8; 8] {
    (BASES + 1).to_be_bytes()
}

/// The append that holds this entry, if one does; else the first there can be.
fn append_of(database: &sled::Db<FANOUT>, number: u64) -> Result<Vec<u8>, Error> {
    let held = database.get_lt(number.saturating_add(1).to_be_bytes()).map_err(io)?.map(|(key, _)| key.to_vec());
    Ok(held.filter(|key| **key >= first_key()[..]).unwrap_or_else(|| first_key().to_vec()))
}

/// The end of the last append, whatever the base is.
fn last(database: &sled::Db<FANOUT>) -> Result<Option<Head>, Error> {
    let Some(pair) = database.range(first_key()..).next_back() else { return Ok(None) };
    let Batch(mut entries) = read(&pair.map_err(io)?.1)?;
    Ok(entries.pop().map(|(number, hash, _)| Head { number, hash }))
}

fn base(database: &sled::Db<FANOUT>) -> Result<Option<Base>, Error> {
    let Some(value) = database.get(BASES.to_be_bytes()).map_err(io)? else { return Ok(None) };
    let Bases { now, comes } = read(&value)?;
    let Some((base, then)) = comes else { return Ok(now) };
    // the append that makes it count is the last one with this number, or was followed by others
    let there = match database.get_lt((then.number + 1).to_be_bytes()).map_err(io)? {
        Some((key, value)) if *key >= first_key()[..] => {
            let Batch(entries) = read(&value)?;
            entries.iter().any(|(number, hash, _)| (*number, hash) == (then.number, &then.hash))
        }
        _ => false,
    };
    Ok(if there { Some(base) } else { now })
}

fn connect(directory: &Path) -> Result<sled::Db<FANOUT>, Error> {
    let config = sled::Config::new().path(directory.join(FOLDER));
    let database = config.open().map_err(io)?;
    database.flush().map_err(io)?;
    settle(directory)?;
    Ok(database)
}

/// sled 1.0 alpha.124 never synchronises its own `durability_cookie`: a power cut in the first seconds of a new database would leave
/// it unopenable. Everything in its folder, and the folders, are synchronised once after it was made.
fn settle(directory: &Path) -> Result<(), Error> {
    let folder = directory.join(FOLDER);
    let mut folders = vec![folder, directory.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).map_err(io)?.flatten() {
            let kind = entry.file_type().map_err(io)?;
            if kind.is_file() {
                std::fs::File::open(entry.path()).and_then(|file| file.sync_all()).map_err(io)?;
            } else if kind.is_dir() && folder != *directory {
                folders.push(entry.path());
            }
        }
        std::fs::File::open(&folder).and_then(|file| file.sync_all()).map_err(io)?;
    }
    Ok(())
}

impl Store for SledStore {
    fn append_lines(&mut self, expected: &Head, lines: &[Line]) -> Result<Head, Error> {
        let at = self.head()?;
        if at != *expected {
            return Err(Error::HeadMoved { expected: expected.number, found: at.number });
        }
        let Some(last) = lines.last() else {
            // what an append that failed has left in memory is made durable here
            self.database.flush().map_err(io)?;
            return Ok(at);
        };
        let batch = lines.iter().map(|line| (line.number, line.hash.clone(), line.text.clone())).collect();
        self.write(at.number + 1, &Batch(batch))?;
        Ok(last.head())
    }

    fn head(&self) -> Result<Head, Error> {
        let base = self.ends.get();
        Ok(last(&self.database)?.filter(|last| last.number > base.number).unwrap_or(base))
    }

    fn base(&self) -> Result<Option<Base>, Error> {
        base(&self.database)
    }

    fn rebase(&mut self, expected: &Head, base: &Base, lines: &[Line]) -> Result<Head, Error> {
        let at = self.head()?;
        if at != *expected {
            return Err(Error::HeadMoved { expected: expected.number, found: at.number });
        }
        let put = self.put(expected, base, lines);
        // also where it failed: the part that counts may be there
        self.ends.look(&self.database)?;
        put?;
        self.head()
    }

    /// Frees no room: with sled 1.0.0-alpha.124 a power cut in the life after another one may lose the whole database where keys were removed or
    /// emptied (the power-cut suite, 960 cuts). What a base stands for is told to nobody all the same.
    fn sweep(&mut self, _limit: usize) -> Result<bool, Error> {
        Ok(true)
    }

    fn replay(&self, after: &Head, each: &mut dyn FnMut(Entry)) -> Result<Head, Error> {
        crate::store::not_removed(after, &self.ends.get())?;
        let mut at = after.clone();
        for pair in self.database.range(append_of(&self.database, after.number)?..) {
            let (_, value) = pair.map_err(io)?;
            let Batch(entries) = read(&value)?;
            for (number, hash, text) in entries.into_iter().filter(|(number, ..)| *number > after.number) {
                let (entry, next) = at.verify(&Line { number, hash, text }).map_err(Error::Broken)?;
                each(entry);
                at = next;
            }
        }
        Ok(at)
    }

    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn reader(&self) -> Result<Box<dyn Reader>, Error> {
        Ok(Box::new(Pages(self.database.clone(), self.ends.clone())))
    }
}

/// The same database, read by somebody else.
struct Pages(sled::Db<FANOUT>, BaseEnds);

impl Reader for Pages {
    fn base(&mut self) -> Result<Option<Base>, Error> {
        base(&self.0)
    }

    fn lines(&mut self, after: u64, limit: usize) -> Result<(Head, Vec<Line>), Error> {
        let base = self.1.get();
        let after = after.max(base.number);
        let mut before = (after == base.number).then_some(base);
        let mut found = Vec::new();
        // from the append on that holds the entry before, whose hash is what the first one is verified against
        for pair in self.0.range(append_of(&self.0, after)?..) {
            let (_, value) = pair.map_err(io)?;
            let Batch(entries) = read(&value)?;
            for (number, hash, text) in entries {
                if number == after {
                    before = Some(Head { number, hash });
                } else if number > after && before.is_some() && found.len() < limit {
                    found.push(Line { number, hash, text });
                }
            }
            if found.len() >= limit {
                break;
            }
        }
        Ok((before.unwrap_or_default(), found))
    }
}
