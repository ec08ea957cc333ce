//! The workload's log on the root volume: one line a record, `SERVER INCARNATION N`.
//!
//! A record is acknowledged only after it is durable; a start goes on after the last whole record found and never rewrites one.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

/// Where the log lies in a server's root.
pub const LOG: &str = "/var/lib/workload/records";
/// How much of the end of the log is read at a start.
const TAIL_BYTES: u64 = 64 * 1024;

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The server.
    pub server: String,
    /// Which start of the server wrote it.
    pub incarnation: String,
    /// Its number.
    pub number: u64,
}

impl Record {
    /// Reads a line without its end.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let record =
            Self { server: words.next()?.to_owned(), incarnation: words.next()?.to_owned(), number: words.next()?.parse().ok()? };
        words.next().is_none().then_some(record)
    }

    /// The line with its end, as it stands in the log and in the acknowledgement.
    #[must_use]
    pub fn line(&self) -> String {
        format!("{} {} {}\n", self.server, self.incarnation, self.number)
    }
}

/// The log, open for appending.
#[derive(Debug)]
pub struct Log {
    file: File,
}

impl Log {
    /// Opens the log and answers the number of its last whole record (0: none). A torn last line, which was never acknowledged, is cut off.
    pub fn open(path: &Path) -> io::Result<(Self, u64)> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
        let mut tail = Vec::new();
        file.read_to_end(&mut tail)?;
        let whole = tail.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        if whole < tail.len() {
            file.set_len(length - (tail.len() - whole) as u64)?;
            file.sync_all()?;
        }
        let text = String::from_utf8_lossy(tail.get(..whole).unwrap_or_default());
        let last = text.lines().rev().find_map(Record::parse).map_or(0, |record| record.number);
        Ok((Self { file }, last))
    }

    /// Appends a record and returns only when it is durable.
    pub fn append(&mut self, record: &Record) -> io::Result<()> {
        self.file.write_all(record.line().as_bytes())?;
        self.file.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_goes_on_after_the_last_whole_record() {
        let folder = std::env::temp_dir().join(format!("records-{}", std::process::id()));
        let path = folder.join("deep/records");
        let (mut log, last) = Log::open(&path).unwrap();
        assert_eq!(last, 0);
        for number in 1..=3 {
            log.append(&Record { server: "web1".into(), incarnation: "aa".into(), number }).unwrap();
        }
        drop(log);
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"web1 aa 4").unwrap();
        let (mut log, last) = Log::open(&path).unwrap();
        assert_eq!(last, 3, "a torn record was never acknowledged");
        log.append(&Record { server: "web1".into(), incarnation: "bb".into(), number: 4 }).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, "web1 aa 1\nweb1 aa 2\nweb1 aa 3\nweb1 bb 4\n");
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn only_whole_lines_are_records() {
        assert_eq!(Record::parse("web1 ab 12").unwrap().number, 12);
        for bad in ["", "web1", "web1 ab", "web1 ab x", "web1 ab 1 2", "web1 ab -1"] {
            assert!(Record::parse(bad).is_none(), "{bad}");
        }
    }
}
