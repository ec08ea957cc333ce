//! One process a store, for life: an advisory lock on a file that names its holder. The kernel drops it with the process, however it ends.

use crate::store::Error;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

/// The lock's file in the store's directory.
pub const LOCK_FILE: &str = "lock";

/// Held until dropped.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock, or names who has it.
    pub fn take(directory: &Path) -> Result<Lock, Error> {
        let io = |error: std::io::Error| Error::Io(format!("{}: {error}", directory.join(LOCK_FILE).display()));
        std::fs::create_dir_all(directory).map_err(io)?;
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(directory.join(LOCK_FILE)).map_err(io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let _ = file.take(256).read_to_string(&mut holder);
                let holder = if holder.trim().is_empty() { "another process".to_owned() } else { holder.trim().to_owned() };
                return Err(Error::Held { directory: directory.display().to_string(), holder });
            }
            Err(TryLockError::Error(error)) => return Err(io(error)),
        }
        file.set_len(0).map_err(io)?;
        file.rewind().map_err(io)?;
        writeln!(file, "process {}", std::process::id()).map_err(io)?;
        Ok(Lock { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_taker_is_told_who_has_it() {
        let directory = tempfile::tempdir().unwrap();
        let held = Lock::take(directory.path()).unwrap();
        match Lock::take(directory.path()) {
            Err(Error::Held { holder, .. }) => assert_eq!(holder, format!("process {}", std::process::id())),
            other => panic!("{other:?}"),
        }
        drop(held);
        Lock::take(directory.path()).unwrap();
    }
}
