//! Facts that lie in files: the boot service's permits, the machines' consoles, the switch's console.
//!
//! Permits hold secrets; none of them goes any further than the parser.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Instant;

use guest::hand::{Order, parse};
use serde::Deserialize;
use vocabulary::storage::InitiatorName;
use vocabulary::{MachineId, ServerId};

use super::Shared;
use crate::fact::{Key, Observation, Seen};
use crate::limits::{CONSOLE_BYTES, FILES_EVERY, LINE_BYTES_MAX, PERMIT_FILE_BYTES_MAX, PERMIT_TRIES, PERMITS_MAX};
use crate::samples::Source;
use crate::sys::now_ns;

/// Watches files for ever.
pub fn watch(shared: &Shared) -> io::Result<()> {
    let mut permits = Permits::default();
    let consoles =
        shared.config.roster.machines.iter().filter_map(|(name, machine)| Some((Some(name.clone()), machine.console.clone()?)));
    let switch = shared.config.sources.switch_console.iter().map(|path| (None, path.clone()));
    let mut consoles: Vec<(Option<MachineId>, Console)> =
        consoles.chain(switch).map(|(machine, path)| (machine, Console { path, ..Console::default() })).collect();
    let mut before_ns = now_ns();
    loop {
        let (turn, begun_ns) = (Instant::now(), now_ns());
        let standing = permits.look(&shared.config.sources.permits);
        let mut seen = Vec::new();
        for (machine, console) in &mut consoles {
            seen.extend(console.look().iter().filter_map(|line| said(machine.as_ref(), line)));
        }
        let at_ns = now_ns();
        let mut oracle = shared.lock();
        oracle.sample(Source::Files, at_ns);
        if let Some(standing) = standing {
            for machine in shared.config.roster.machines.keys() {
                let permit = standing.get(machine).cloned();
                oracle.see(Seen::between(before_ns, at_ns, Observation::Permit(machine.clone(), permit)));
            }
        }
        for what in seen {
            oracle.see(Seen::between(before_ns, at_ns, what));
        }
        drop(oracle);
        before_ns = begun_ns;
        thread::sleep(FILES_EVERY.saturating_sub(turn.elapsed()));
    }
}

/// What a line of a console means: a machine's tells which server it runs, the switch's what a hand did to it.
fn said(machine: Option<&MachineId>, line: &str) -> Option<Observation> {
    let (_, told) = line.split_once("LAB ")?.1.split_once(' ')?;
    match machine {
        Some(machine) => {
            let server = told.strip_prefix("claimed: ").and_then(|rest| rest.split(' ').next());
            let server = server.or_else(|| told.strip_prefix("server ")?.split_once(" up")?.0.into());
            Some(Observation::Ran(machine.clone(), server?.parse().ok()?))
        }
        None => match parse(told.strip_prefix("hand: ")?)? {
            Order::Access { port, .. } | Order::Down { port } => Some(Observation::Hand(Key::Port(port))),
            // what else a hand does to a switch shows at its ports, and is judged as it is
            _ => None,
        },
    }
}

/// A console's file, read as it grows.
#[derive(Debug, Default)]
struct Console {
    path: PathBuf,
    read: u64,
    part: Vec<u8>,
}

impl Console {
    /// The lines that came since the last look. A file that cannot be read has none.
    fn look(&mut self) -> Vec<String> {
        let Ok(length) = fs::metadata(&self.path).map(|data| data.len()) else { return Vec::new() };
        if length < self.read {
            self.read = 0;
            self.part.clear();
        }
        let mut bytes = Vec::new();
        if length > self.read {
            let piece = File::open(&self.path).and_then(|mut file| {
                file.seek(SeekFrom::Start(self.read))?;
                file.take(CONSOLE_BYTES).read_to_end(&mut bytes)
            });
            self.read += piece.map_or(0, |piece| u64::try_from(piece).unwrap_or(0));
        }
        self.part.extend(bytes);
        let Some(end) = self.part.iter().rposition(|byte| *byte == b'\n') else {
            if self.part.len() > LINE_BYTES_MAX {
                self.part.clear();
            }
            return Vec::new();
        };
        let rest = self.part.split_off(end + 1);
        let whole = std::mem::replace(&mut self.part, rest);
        String::from_utf8_lossy(&whole).lines().map(|line| line.trim_end().to_owned()).collect()
    }
}

/// A machine's permit: as whom it would be booted, and under which name it would log in.
type Standing = BTreeMap<MachineId, (ServerId, InitiatorName)>;

#[derive(Deserialize)]
struct Record {
    machine: MachineId,
    permit: Option<Permit>,
}

#[derive(Deserialize)]
struct Permit {
    server: ServerId,
    root: Root,
}

#[derive(Deserialize)]
struct Root {
    initiator: InitiatorName,
}

/// How each file of the folder looked: name, inode, time, size.
type Look = Vec<(PathBuf, u64, i64, i64, u64)>;

/// The folder of permit files.
#[derive(Debug, Default)]
struct Permits {
    last: Option<Look>,
    standing: Standing,
}

impl Permits {
    /// The permits that stand, if they may have changed since the last look. All files are read as of one instant: a permit that goes
    /// from one machine to another while they are read never stands at both.
    fn look(&mut self, folder: &Path) -> Option<Standing> {
        for _ in 0..PERMIT_TRIES {
            let before = look(folder);
            if self.last.as_ref() == Some(&before) {
                return None;
            }
            let standing = before.iter().filter_map(|(path, ..)| self.permit(path)).collect();
            if look(folder) == before {
                self.last = Some(before);
                self.standing = standing;
                return Some(self.standing.clone());
            }
        }
        // in the midst of changes; the next look is soon
        None
    }

    /// The permit in a file. One that cannot be read proves nothing: its machine's permit stands as it stood.
    fn permit(&self, path: &Path) -> Option<(MachineId, (ServerId, InitiatorName))> {
        match read(path) {
            Some(record) => record.permit.map(|permit| (record.machine, (permit.server, permit.root.initiator))),
            None => {
                let machine: MachineId = path.file_stem()?.to_str()?.parse().ok()?;
                self.standing.get(&machine).cloned().map(|permit| (machine, permit))
            }
        }
    }
}

fn look(folder: &Path) -> Look {
    // no folder: the boot service never ran here, and nothing stands
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let files = entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|ending| ending == "json"));
    let mut all: Look = files
        .take(PERMITS_MAX)
        .filter_map(|path| {
            let data = fs::metadata(&path).ok()?;
            Some((path, data.ino(), data.mtime(), data.mtime_nsec(), data.len()))
        })
        .collect();
    all.sort();
    all
}

fn read(path: &Path) -> Option<Record> {
    let mut text = Vec::new();
    File::open(path).ok()?.take(PERMIT_FILE_BYTES_MAX).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn machine(name: &str) -> MachineId {
        name.parse().unwrap()
    }

    #[test]
    fn lines_of_consoles_are_understood() {
        let m1 = machine("m1");
        let ran = |line| said(Some(&m1), line);
        let web1 = Some(Observation::Ran(m1.clone(), "web1".parse().unwrap()));
        assert_eq!(ran("LAB 3.21 claimed: web1 epoch 7"), web1);
        assert_eq!(ran("[  2.1] noise LAB 5.02 server web1 up, incarnation ab12cd34, continues after 17"), web1);
        for other in ["LAB 3.21 initrd", "claimed: web1 epoch 7", "LAB 1", "LAB 1 claimed: WEB epoch 1", ""] {
            assert_eq!(ran(other), None, "{other}");
        }
        assert_eq!(said(None, "LAB 9.9 hand: access p3 20"), Some(Observation::Hand(Key::Port("p3".into()))));
        assert_eq!(said(None, "LAB 9.9 hand: access p3 20: no such port"), None, "a deed that failed is none");
        assert_eq!(said(None, "LAB 9.9 claimed: web1 epoch 7"), None);
    }

    #[test]
    fn a_console_is_read_as_it_grows_and_a_part_of_a_line_waits() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m1.serial");
        let mut console = Console { path: path.clone(), ..Console::default() };
        assert!(console.look().is_empty());
        let mut file = File::create(&path).unwrap();
        file.write_all(b"one\r\ntw").unwrap();
        assert_eq!(console.look(), ["one"]);
        assert!(console.look().is_empty());
        file.write_all(b"o\r\nthree\n").unwrap();
        assert_eq!(console.look(), ["two", "three"]);
        drop(file);
        fs::write(&path, "new\n").unwrap();
        assert_eq!(console.look(), ["new"], "a file that became shorter begins anew");
    }

    #[test]
    fn permits_are_read_as_the_boot_service_writes_them() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, permit: &str| {
            let text = format!(r#"{{"machine":"{name}","provisioning_mac":"52:54:00:0c:01:01","permit":{permit}}}"#);
            let new = folder.path().join("new");
            fs::write(&new, text).unwrap();
            fs::rename(new, folder.path().join(format!("{name}.json"))).unwrap();
        };
        let permit = r#"{"machine":"m1","server":"web1","epoch":5,"root":{"initiator":"iqn.x:web1.e5","user":"u","secret":"s"},"lease":1}"#;
        let mut permits = Permits::default();
        assert_eq!(permits.look(&folder.path().join("nowhere")), Some(Standing::new()));
        write("m1", permit);
        write("m3", "null");
        let standing = permits.look(folder.path()).unwrap();
        assert_eq!(standing, [(machine("m1"), ("web1".parse().unwrap(), InitiatorName("iqn.x:web1.e5".into())))].into());
        assert_eq!(permits.look(folder.path()), None, "nothing is new");
        fs::write(folder.path().join("m1.json"), "{").unwrap();
        assert_eq!(permits.look(folder.path()).as_ref(), Some(&standing), "what cannot be read proves nothing");
        write("m1", "null");
        assert_eq!(permits.look(folder.path()), Some(Standing::new()));
    }
}
