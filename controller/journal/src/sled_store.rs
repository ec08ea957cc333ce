//! The `store: sled` option, on sled 1.0 alpha under the same conformance suite. One append is one key, so that it is there as a whole
//! or not at all; `flush` returns before the append does.

use crate::chain::{Entry, Head, Line};
use crate::store::{Error, Meta, Reader, Store};
use serde::{Deserialize, Serialize};
use std::path::Path;

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
}

/// One append: entries as number, hash and the exact text that was hashed.
#[derive(Serialize, Deserialize)]
struct Batch(Vec<(u64, String, String)>);

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
        Ok(SledStore { database, meta: meta.clone() })
    }

    /// Opens the database.
    pub fn open(directory: &Path) -> Result<SledStore, Error> {
        let text = std::fs::read_to_string(directory.join(META)).map_err(io)?;
        let meta = serde_json::from_str(&text).map_err(|error| Error::Broken(error.to_string()))?;
        Ok(SledStore { database: connect(directory)?, meta })
    }

    fn last(&self) -> Result<Option<Batch>, Error> {
        match self.database.last().map_err(io)? {
            None => Ok(None),
            Some((_, value)) => serde_json::from_slice(&value).map(Some).map_err(|error| Error::Broken(error.to_string())),
        }
    }
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
        let first = at.number + 1;
        let batch = lines.iter().map(|line| (line.number, line.hash.clone(), line.text.clone())).collect();
        let value = serde_json::to_vec(&Batch(batch)).map_err(io)?;
        self.database.insert(first.to_be_bytes(), value).map_err(io)?;
        self.database.flush().map_err(io)?;
        Ok(last.head())
    }

    fn head(&self) -> Result<Head, Error> {
        let last = self.last()?.and_then(|Batch(mut entries)| entries.pop());
        Ok(last.map(|(number, hash, _)| Head { number, hash }).unwrap_or_default())
    }

    fn replay(&self, after: &Head, each: &mut dyn FnMut(Entry)) -> Result<Head, Error> {
        let mut at = after.clone();
        for pair in self.database.iter() {
            let (_, value) = pair.map_err(io)?;
            let Batch(entries) = serde_json::from_slice(&value).map_err(|error| Error::Broken(error.to_string()))?;
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
        Ok(Box::new(Pages(self.database.clone())))
    }
}

/// The same database, read by somebody else.
struct Pages(sled::Db<FANOUT>);

impl Reader for Pages {
    fn lines(&mut self, after: u64, limit: usize) -> Result<(Head, Vec<Line>), Error> {
        let mut found = Vec::new();
        // the append that holds the entry before, whose hash is what the first one is verified against
        let first = self.0.get_lt(after.saturating_add(1).to_be_bytes()).map_err(io)?.map(|(key, _)| key);
        let pairs = match (&first, after) {
            (Some(key), _) => self.0.range(key.clone()..),
            (None, 0) => self.0.iter(),
            (None, _) => return Ok((Head::default(), found)),
        };
        let mut before = (after == 0).then(Head::default);
        for pair in pairs {
            let (_, value) = pair.map_err(io)?;
            let Batch(entries) = serde_json::from_slice(&value).map_err(|error| Error::Broken(error.to_string()))?;
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
