//! How a store is made and opened: one process at a time, for life.

use crate::lock::Lock;
use crate::store::{Error, Meta, Store};
use std::path::Path;
use vocabulary::estate::StoreKind;

/// A store together with the lock that makes this process its only user, for life.
pub struct Held {
    /// The store.
    pub store: Box<dyn Store>,
    _lock: Option<Lock>,
}

impl Held {
    /// A store that no other process can reach, and that its owner gives to nobody else.
    pub fn alone(store: Box<dyn Store>) -> Held {
        Held { store, _lock: None }
    }
}

/// Makes a store for a new estate. Fails if there is one.
pub fn create(directory: &Path, kind: StoreKind, meta: &Meta) -> Result<(), Error> {
    let _lock = Lock::take(directory)?;
    match kind {
        StoreKind::Sqlite => crate::sqlite_store::SqliteStore::create(directory, meta).map(drop),
        StoreKind::Sled => crate::sled_store::SledStore::create(directory, meta).map(drop),
    }
}

/// Opens the store in a directory, whichever kind it is, and holds its lock.
pub fn open(directory: &Path) -> Result<Held, Error> {
    if !directory.is_dir() {
        return Err(Error::Absent(directory.display().to_string()));
    }
    let lock = Lock::take(directory)?;
    let store: Box<dyn Store> = if crate::sqlite_store::SqliteStore::is_in(directory) {
        Box::new(crate::sqlite_store::SqliteStore::open(directory)?)
    } else if crate::sled_store::SledStore::is_in(directory) {
        Box::new(crate::sled_store::SledStore::open(directory)?)
    } else {
        return Err(Error::Absent(directory.display().to_string()));
    };
    Ok(Held { store, _lock: Some(lock) })
}
