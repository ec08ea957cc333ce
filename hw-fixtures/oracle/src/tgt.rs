//! What the target daemon says of its targets, asked over its own control socket: one question, all targets, one instant.
//!
//! It only ever asks. What it does not understand is an error, never an empty list: an empty list would mean that nobody may write.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use vocabulary::storage::InitiatorName;

use crate::fact::Exported;
use crate::limits::{TARGET_ANSWER, TARGET_ANSWER_BYTES_MAX};
use crate::roster::Roster;

/// The daemon's request has a fixed form: mode, operation, driver, length, target, session, unit, and six numbers.
const REQUEST_BYTES: usize = 120;
const MODE_TARGET: i32 = 1;
const OPERATION_SHOW: i32 = 2;
const DRIVER: &[u8] = b"iscsi";
const DRIVER_AT: usize = 8;
const LENGTH_AT: usize = 72;
const TARGET_AT: usize = 76;
const UNIT_AT: usize = 88;
/// The daemon's answer begins with an error number and its whole length.
const ANSWER_HEADER: usize = 8;

fn request() -> [u8; REQUEST_BYTES] {
    let mut bytes = [0; REQUEST_BYTES];
    let length = u32::try_from(REQUEST_BYTES).unwrap_or(0);
    let fields: [(usize, &[u8]); 6] = [
        (0, &MODE_TARGET.to_ne_bytes()),
        (4, &OPERATION_SHOW.to_ne_bytes()),
        (DRIVER_AT, DRIVER),
        (LENGTH_AT, &length.to_ne_bytes()),
        // all targets, all units
        (TARGET_AT, &(-1i32).to_ne_bytes()),
        (UNIT_AT, &u64::MAX.to_ne_bytes()),
    ];
    for (at, field) in fields {
        for (place, byte) in bytes.iter_mut().skip(at).zip(field) {
            *place = *byte;
        }
    }
    bytes
}

/// What the daemon shows of all targets. `NotFound` and `ConnectionRefused` mean that there is no daemon.
pub fn show(socket: &Path) -> io::Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(TARGET_ANSWER))?;
    stream.set_write_timeout(Some(TARGET_ANSWER))?;
    stream.write_all(&request())?;
    let mut header = [0; ANSWER_HEADER];
    stream.read_exact(&mut header)?;
    let word = |at: usize| header.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_ne_bytes);
    if word(0) != 0 {
        return Err(io::Error::other(format!("the target daemon answers with error {}", word(0))));
    }
    let length = usize::try_from(word(4)).unwrap_or(usize::MAX).saturating_sub(ANSWER_HEADER);
    if length > TARGET_ANSWER_BYTES_MAX {
        return Err(io::Error::other(format!("the target daemon's answer has {length} bytes")));
    }
    let mut text = vec![0; length];
    stream.read_exact(&mut text)?;
    while text.last() == Some(&0) {
        text.pop();
    }
    String::from_utf8(text).map_err(io::Error::other)
}

/// One target as shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shown {
    /// The daemon's number for it.
    pub number: u32,
    /// Its name.
    pub name: String,
    /// The files behind its units.
    pub files: Vec<PathBuf>,
    /// Its sessions.
    pub sessions: BTreeMap<u64, InitiatorName>,
    /// Who is admitted: names, addresses, `ALL`.
    pub admissions: Vec<String>,
}

/// Reads what the daemon shows.
pub fn read(text: &str) -> Result<Vec<Shown>, String> {
    let mut all: Vec<Shown> = Vec::new();
    let mut section = String::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let words = line.trim();
        let indent = line.len() - line.trim_start_matches(' ').len();
        if indent == 0 {
            let (number, name) =
                words.strip_prefix("Target ").and_then(|rest| rest.split_once(": ")).ok_or_else(|| odd(words))?;
            let number = number.parse().map_err(|_| odd(words))?;
            if all.iter().any(|target| target.number == number || target.name == name) {
                return Err(format!("{}: a target is shown twice", odd(words)));
            }
            all.push(Shown { number, name: name.to_owned(), ..Shown::default() });
            section.clear();
        } else if indent == 4 {
            words.clone_into(&mut section);
        } else {
            detail(all.last_mut().ok_or_else(|| odd(words))?, &section, indent, words).ok_or_else(|| odd(words))?;
        }
    }
    match all.iter().flat_map(|target| &target.sessions).find(|(_, initiator)| initiator.0.is_empty()) {
        Some((number, _)) => Err(format!("session {number} has no initiator")),
        None => Ok(all),
    }
}

fn detail(target: &mut Shown, section: &str, indent: usize, words: &str) -> Option<()> {
    match (section, indent) {
        ("I_T nexus information:", 8) => {
            let number = words.strip_prefix("I_T nexus: ")?.parse().ok()?;
            target.sessions.insert(number, InitiatorName(String::new())).is_none().then_some(())?;
        }
        ("I_T nexus information:", 12) => {
            if let Some(rest) = words.strip_prefix("Initiator: ") {
                let name = rest.split(' ').next().unwrap_or(rest);
                // the one without a name is the one just begun
                let open = target.sessions.values_mut().find(|initiator| initiator.0.is_empty())?;
                *open = InitiatorName(name.to_owned());
            }
        }
        ("LUN information:", 12) => {
            if let Some(path) = words.strip_prefix("Backing store path: ").filter(|path| *path != "None") {
                target.files.push(PathBuf::from(path));
            }
        }
        ("ACL information:", 8) => target.admissions.push(words.to_owned()),
        ("System information:" | "I_T nexus information:" | "LUN information:" | "Account information:", _) => {}
        _ => return None,
    }
    Some(())
}

fn odd(line: &str) -> String {
    format!("`{}` is not understood", line.chars().filter(|c| !c.is_control()).take(80).collect::<String>())
}

/// What is known of every volume of the configuration: of its own target, and of any other that exports the same file.
#[must_use]
pub fn of_volumes(roster: &Roster, shown: &[Shown]) -> Vec<(String, Exported)> {
    let volumes = roster.servers.values().flat_map(|server| &server.volumes);
    let exported = volumes.map(|volume| {
        let mut all = Exported::default();
        for target in shown {
            let own = target.name == volume.target;
            if !own && !target.files.contains(&volume.image) {
                continue;
            }
            for admission in &target.admissions {
                if ["iqn.", "eui.", "naa."].iter().any(|prefix| admission.starts_with(prefix)) {
                    all.admitted.insert(InitiatorName(admission.clone()));
                } else {
                    all.open = true;
                }
            }
            for (number, initiator) in &target.sessions {
                // sessions of another target have numbers of their own
                let number = if own { *number } else { (u64::from(target.number) << 32) | number };
                all.sessions.insert(number, initiator.clone());
            }
        }
        (volume.target.clone(), all)
    });
    exported.collect()
}

#[cfg(test)]
#[path = "tgt_tests.rs"]
mod tests;
