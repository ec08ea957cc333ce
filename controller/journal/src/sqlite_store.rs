//! The default store: SQLite in WAL mode with full synchronisation.

use crate::chain::{Base, Entry, Head, Line};
use crate::store::{Error, Meta, Reader, Store};
use rusqlite::{Connection, OptionalExtension, params};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The database's file in the store's directory.
pub const FILE: &str = "journal.sqlite";
/// `PRAGMA user_version` of this layout.
const LAYOUT: i64 = 2;
/// That of the one before, which had no base.
const WITHOUT_BASE: i64 = 1;
/// What came with this layout.
const BASE: &str = "CREATE TABLE base (one INTEGER PRIMARY KEY CHECK (one = 1), number INTEGER NOT NULL, hash TEXT NOT NULL, ledger TEXT NOT NULL) STRICT;";

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
        transaction.execute_batch(BASE).map_err(io)?;
        transaction.execute("INSERT INTO meta (one, text) VALUES (1, ?1)", params![text]).map_err(io)?;
        transaction.pragma_update(None, "user_version", LAYOUT).map_err(io)?;
        transaction.commit().map_err(io)?;
        restrict(&path)?;
        Ok(SqliteStore { connection, path, meta: meta.clone() })
    }

    /// Opens the database and checks its integrity.
    pub fn open(directory: &Path) -> Result<SqliteStore, Error> {
        let path = directory.join(FILE);
        let mut connection = SqliteStore::connect(&path)?;
        let layout = newest_layout(&mut connection)?;
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

/// Brings a database of the layout before to this one. The layout that it has then.
fn newest_layout(connection: &mut Connection) -> Result<i64, Error> {
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).map_err(io)?;
    let layout: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(io)?;
    if layout != WITHOUT_BASE {
        return Ok(layout);
    }
    transaction.execute_batch(BASE).map_err(io)?;
    transaction.pragma_update(None, "user_version", LAYOUT).map_err(io)?;
    transaction.commit().map_err(io)?;
    Ok(LAYOUT)
}

fn base(connection: &Connection) -> Result<Option<Base>, Error> {
    connection
        .query_row("SELECT number, hash, ledger FROM base", [], |row| {
            Ok(Base { number: row.get::<_, i64>(0)?.cast_unsigned(), hash: row.get(1)?, ledger: row.get(2)? })
        })
        .optional()
        .map_err(io)
}

/// Where the base ends; the default head if there is none.
fn base_head(connection: &Connection) -> Result<Head, Error> {
    connection
        .query_row("SELECT number, hash FROM base", [], |row| {
            Ok(Head { number: row.get::<_, i64>(0)?.cast_unsigned(), hash: row.get(1)? })
        })
        .optional()
        .map(Option::unwrap_or_default)
        .map_err(io)
}

fn head(connection: &Connection) -> Result<Head, Error> {
    let base = base_head(connection)?;
    let last = connection
        .query_row("SELECT number, hash FROM entry ORDER BY number DESC LIMIT 1", [], |row| {
            Ok(Head { number: row.get::<_, i64>(0)?.cast_unsigned(), hash: row.get(1)? })
        })
        .optional()
        .map_err(io)?;
    Ok(last.filter(|last| last.number > base.number).unwrap_or(base))
}

impl SqliteStore {
    fn write(&mut self, expected: &Head, base: Option<&Base>, lines: &[Line]) -> Result<Head, Error> {
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
        if let Some(Base { number, hash, ledger }) = base {
            transaction
                .execute(
                    "INSERT OR REPLACE INTO base (one, number, hash, ledger) VALUES (1, ?1, ?2, ?3)",
                    params![number.cast_signed(), hash, ledger],
                )
                .map_err(io)?;
            at = head(&transaction)?;
        }
        transaction.commit().map_err(io)?;
        Ok(at)
    }
}

impl Store for SqliteStore {
    fn append_lines(&mut self, expected: &Head, lines: &[Line]) -> Result<Head, Error> {
        self.write(expected, None, lines)
    }

    fn rebase(&mut self, expected: &Head, base: &Base, lines: &[Line]) -> Result<Head, Error> {
        self.write(expected, Some(base), lines)
    }

    fn base(&self) -> Result<Option<Base>, Error> {
        base(&self.connection)
    }

    fn sweep(&mut self, limit: usize) -> Result<bool, Error> {
        let ends = base_head(&self.connection)?.number.cast_signed();
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.connection
            .execute(
                "DELETE FROM entry WHERE number IN (SELECT number FROM entry WHERE number <= ?1 ORDER BY number LIMIT ?2)",
                params![ends, limit],
            )
            .map_err(io)?;
        let left = "SELECT EXISTS (SELECT 1 FROM entry WHERE number <= ?1)";
        let left: bool = self.connection.query_row(left, params![ends], |row| row.get(0)).map_err(io)?;
        Ok(!left)
    }

    fn head(&self) -> Result<Head, Error> {
        head(&self.connection)
    }

    fn replay(&self, after: &Head, each: &mut dyn FnMut(Entry)) -> Result<Head, Error> {
        crate::store::not_removed(after, &base_head(&self.connection)?)?;
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
    fn base(&mut self) -> Result<Option<Base>, Error> {
        base(&self.0)
    }

    fn lines(&mut self, after: u64, limit: usize) -> Result<(Head, Vec<Line>), Error> {
        // one look at all: the base may move meanwhile
        let transaction = self.0.transaction().map_err(io)?;
        let base = base_head(&transaction)?;
        let before = if after <= base.number {
            Some(base)
        } else {
            let hash = "SELECT hash FROM entry WHERE number = ?1";
            let hash = transaction.query_row(hash, params![after.cast_signed()], |row| row.get(0)).optional().map_err(io)?;
            hash.map(|hash| Head { number: after, hash })
        };
        // after a number that is not there yet comes nothing
        let Some(before) = before else { return Ok((Head::default(), Vec::new())) };
        let mut lines = Vec::new();
        walk(&transaction, before.number, i64::try_from(limit).unwrap_or(i64::MAX), &mut |line| {
            lines.push(line);
            Ok(())
        })?;
        Ok((before, lines))
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
