//! The consoles of the machines and of the switch, read as they grow: every line with the time at which it was seen.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use lab::names::Machine;
use lab::qemu::machine_files;

use crate::clock::wall_ms;
use crate::limits::{CONSOLE_LINE_BYTES_MAX, CONSOLE_LOOK};

/// By which name the switch's console is asked for.
pub const SWITCH_CONSOLE: &str = "switch";

/// A line of a console.
#[derive(Clone, Debug, serde::Deserialize)]
pub struct Line {
    /// When it was seen, milliseconds since 1970.
    pub at: u64,
    /// The line, without control characters.
    pub text: String,
}

/// All consoles of a lab, kept by a thread of its own.
#[derive(Clone, Default)]
pub struct Consoles {
    lines: Arc<Mutex<BTreeMap<String, Vec<Line>>>>,
}

struct Tail {
    name: String,
    path: PathBuf,
    offset: u64,
    open: Vec<u8>,
}

impl Tail {
    fn news(&mut self) -> Vec<Line> {
        let mut bytes = Vec::new();
        let read = File::open(&self.path).and_then(|mut file| {
            file.seek(SeekFrom::Start(self.offset))?;
            file.read_to_end(&mut bytes)
        });
        // it is not there before the machine's first start
        if read.is_err() {
            return Vec::new();
        }
        self.offset += bytes.len() as u64;
        let at = wall_ms();
        let mut lines = Vec::new();
        for byte in bytes {
            if byte == b'\n' || self.open.len() >= CONSOLE_LINE_BYTES_MAX {
                let text: String = String::from_utf8_lossy(&self.open).chars().filter(|c| !c.is_control()).collect();
                self.open.clear();
                if !text.trim().is_empty() {
                    lines.push(Line { at, text });
                }
            } else {
                self.open.push(byte);
            }
        }
        lines
    }
}

impl Consoles {
    /// Begins to read the consoles of so many machines, and the switch's.
    pub fn open(run: &Path, machines: u8) -> Consoles {
        let consoles = Consoles::default();
        let mut tails: Vec<Tail> = (1..=machines)
            .map(Machine)
            .map(|machine| (machine.name(), machine_files(run, machine).serial))
            .chain([(SWITCH_CONSOLE.to_owned(), run.join("logs/switch.console.log"))])
            .map(|(name, path)| Tail { name, path, offset: 0, open: Vec::new() })
            .collect();
        let lines = Arc::clone(&consoles.lines);
        std::thread::spawn(move || {
            // the last reader is gone when nobody else holds the lines
            while Arc::strong_count(&lines) > 1 {
                for tail in &mut tails {
                    let news = tail.news();
                    if !news.is_empty() {
                        let mut all = lines.lock().unwrap_or_else(PoisonError::into_inner);
                        all.entry(tail.name.clone()).or_default().extend(news);
                    }
                }
                std::thread::sleep(CONSOLE_LOOK);
            }
        });
        consoles
    }

    /// A machine's lines from an instant on.
    pub fn since(&self, machine: &str, from: u64) -> Vec<Line> {
        let all = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(machine).into_iter().flatten().filter(|line| line.at >= from).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn lines_come_whole_and_clean() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m1.serial");
        let mut tail = Tail { name: "m1".into(), path: path.clone(), offset: 0, open: Vec::new() };
        assert!(tail.news().is_empty());
        let mut file = File::create(&path).unwrap();
        file.write_all(b"\x1b[2JiPX").unwrap();
        assert!(tail.news().is_empty());
        file.write_all(b"E\r\n\r\nLAB 1 up\n").unwrap();
        let texts: Vec<_> = tail.news().into_iter().map(|line| line.text).collect();
        assert_eq!(texts, ["[2JiPXE", "LAB 1 up"]);
    }
}
