//! The default store: SQLite in WAL mode with full synchronisation.

use crate::chain::{Entry, Head, Line};
use crate::store::{Error, Meta, Reader, Store};
use rusqlite::{Connection, OptionalExtension, params};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The database's file in the store's directory.
pub const FILE: &str = "journal.sqlite";
/// `PRAGMA user_version` of this layout.
const LAYOUT: i64 = 1;

/// How long a write waits for a foreign hand that holds the database: nobody of ours ever does.
const BUSY: Duration = Duration::from_millis(200);

/// See the module.
pub struct SqliteStore {
    connection: Connection,
    path: PathBuf,
    meta: Meta,
}

/// A second connection, which only reads.
struct Pages(Connection);

fn io(error: rusqlite::Error) -> Error {
    Error::Io(error.to_string())
}

impl SqliteStore {
    /// True if a database is there.
    pub fn is_in(directory: &Path) -> bool {
        directory.join(FILE).is_file()
    }

    fn connect(path: &PathBuf) -> Result<Connection, Error> {
        let connection = Connection::open(path).map_err(io)?;
        connection.busy_timeout(BUSY).map_err(io)?;
        connection.pragma_update(None, "journal_mode", "WAL").map_err(io)?;
        connection.pragma_update(None, "synchronous", "FULL").map_err(io)?;
        connection.pragma_update(None, "foreign_keys", "ON").map_err(io)?;
        Ok(connection)
    }

    /// Makes a new database; fails if there is one.
    pub fn create(directory: &Path, meta: &Meta) -> Result<SqliteStore, Error> {
        let path = directory.join(FILE);
        if path.exists() {
            return Err(Error::Io(format!("{} exists already", path.display())));
        }
        let mut connection = SqliteStore::connect(&path)?;
        let text = serde_json::to_string(meta).map_err(|error| Error::Io(error.to_string()))?;
        let transaction = connection.transaction().map_err(io)?;
        transaction
            .execute_batch(
                "CREATE TABLE entry (number INTEGER PRIMARY KEY, hash TEXT NOT NULL, record TEXT NOT NULL) STRICT;
                 CREATE TABLE meta (one INTEGER PRIMARY KEY CHECK (one = 1), text TEXT NOT NULL) STRICT;",
            )
            .map_err(io)?;
        transaction.execute("INSERT INTO meta (one, text) VALUES (1, ?1)", params![text]).map_err(io)?;
        transaction.pragma_update(None, "user_version", LAYOUT).map_err(io)?;
        transaction.commit().map_err(io)?;
        restrict(&path)?;
        Ok(SqliteStore { connection, path, meta: meta.clone() })
    }

    /// Opens the database and checks its integrity.
    pub fn open(directory: &Path) -> Result<SqliteStore, Error> {
        let path = directory.join(FILE);
        let connection = SqliteStore::connect(&path)?;
        let layout: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(io)?;
        if layout != LAYOUT {
            return Err(Error::Broken(format!("layout {layout} is not {LAYOUT}, the one this version knows")));
        }
        let sound: String = connection.pragma_query_value(None, "integrity_check", |row| row.get(0)).map_err(io)?;
        if sound != "ok" {
            return Err(Error::Broken(sound));
        }
        let text: String = connection.query_row("SELECT text FROM meta", [], |row| row.get(0)).map_err(io)?;
        let meta = serde_json::from_str(&text).map_err(|error| Error::Broken(error.to_string()))?;
        Ok(SqliteStore { connection, path, meta })
    }
}

/// Only the owner may read: the meta row holds the key of placements' secrets.
fn restrict(path: &Path) -> Result<(), Error> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(|error| Error::Io(error.to_string()))
}

fn head(connection: &Connection) -> Result<Head, Error> {
    connection
        .query_row("SELECT number, hash FROM entry ORDER BY number DESC LIMIT 1", [], |row| {
            Ok(Head { number: row.get::<_, i64>(0)?.cast_unsigned(), hash: row.get(1)? })
        })
        .optional()
        .map(Option::unwrap_or_default)
        .map_err(io)
}

impl Store for SqliteStore {
    fn append_lines(&mut self, expected: &Head, lines: &[Line]) -> Result<Head, Error> {
        let transaction = self.connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).map_err(io)?;
        let mut at = head(&transaction)?;
        if at != *expected {
            return Err(Error::HeadMoved { expected: expected.number, found: at.number });
        }
        for line in lines {
            transaction
                .prepare_cached("INSERT INTO entry (number, hash, record) VALUES (?1, ?2, ?3)")
                .and_then(|mut insert| insert.execute(params![line.number.cast_signed(), line.hash, line.text]))
                .map_err(io)?;
            at = line.head();
        }
        transaction.commit().map_err(io)?;
        Ok(at)
    }

    fn head(&self) -> Result<Head, Error> {
        head(&self.connection)
    }

    fn replay(&self, after: &Head, each: &mut dyn FnMut(Entry)) -> Result<Head, Error> {
        let mut at = after.clone();
        walk(&self.connection, after.number, i64::MAX, &mut |line| {
            let (entry, next) = at.verify(&line).map_err(Error::Broken)?;
            each(entry);
            at = next;
            Ok(())
        })?;
        Ok(at)
    }

    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn reader(&self) -> Result<Box<dyn Reader>, Error> {
        let connection = SqliteStore::connect(&self.path)?;
        connection.pragma_update(None, "query_only", "ON").map_err(io)?;
        Ok(Box::new(Pages(connection)))
    }
}

impl Reader for Pages {
    fn lines(&mut self, after: u64, limit: usize) -> Result<(Head, Vec<Line>), Error> {
        let hash = match after {
            0 => Some(Head::default().hash),
            _ => self
                .0
                .query_row("SELECT hash FROM entry WHERE number = ?1", params![after.cast_signed()], |row| row.get(0))
                .optional()
                .map_err(io)?,
        };
        // after a number that is not there yet comes nothing
        let Some(hash) = hash else { return Ok((Head::default(), Vec::new())) };
        let mut lines = Vec::new();
        walk(&self.0, after, i64::try_from(limit).unwrap_or(i64::MAX), &mut |line| {
            lines.push(line);
            Ok(())
        })?;
        Ok((Head { number: after, hash }, lines))
    }
}

/// Lines after a number, at most `limit`.
fn walk(connection: &Connection, after: u64, limit: i64, each: &mut dyn FnMut(Line) -> Result<(), Error>) -> Result<(), Error> {
    let mut select = connection
        .prepare_cached("SELECT number, hash, record FROM entry WHERE number > ?1 ORDER BY number LIMIT ?2")
        .map_err(io)?;
    let mut rows = select.query(params![after.cast_signed(), limit]).map_err(io)?;
    while let Some(row) = rows.next().map_err(io)? {
        let number = row.get::<_, i64>(0).map_err(io)?.cast_unsigned();
        each(Line { number, hash: row.get(1).map_err(io)?, text: row.get(2).map_err(io)? })?;
    }
    Ok(())
}
