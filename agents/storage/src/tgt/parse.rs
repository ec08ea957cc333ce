//! Reads what `tgtadm` prints. Total, and it fails closed: what it does not understand is an error, never an empty list.
//!
//! An initiator chooses its alias, which the daemon prints between its own lines; so sessions are taken from the connection list, which
//! has no alias, and two targets of one number or name are an error.

use std::collections::{BTreeSet, HashSet};

/// One export: a target as the daemon shows it.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Target {
    /// The daemon's number for it.
    pub tid: u32,
    /// Its name.
    pub name: String,
    /// Numbers of the sessions that the daemon's core knows.
    pub nexuses: Vec<u64>,
    /// Logical units: number and backing path.
    pub luns: Vec<(u64, Option<String>)>,
    /// CHAP accounts that initiators may use.
    pub accounts: Vec<String>,
    /// Admissions as they are bound: initiator names, addresses, `ALL`.
    pub admissions: Vec<String>,
}

/// One connection of one session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// The session's number.
    pub session: u64,
    /// The connection's number within it.
    pub connection: u32,
    /// Who, as it logged in.
    pub initiator: String,
    /// From where.
    pub address: String,
}

/// Commands served for one session on one logical unit, since the session began. The daemon counts them in 32 bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    /// Target.
    pub tid: u32,
    /// Logical unit.
    pub lun: u64,
    /// Session.
    pub session: u64,
    /// Reads done.
    pub reads: u32,
    /// Writes done.
    pub writes: u32,
}

fn split(line: &str) -> (usize, &str) {
    let text = line.trim_start_matches(' ');
    (line.len() - text.len(), text.trim_end())
}

fn odd(number: usize, line: &str) -> String {
    format!("line {}: `{}`", number + 1, line.chars().filter(|c| !c.is_control()).take(80).collect::<String>())
}

/// Where in a target's description a line stands.
#[derive(Clone, Copy, PartialEq)]
enum Section {
    System,
    Nexus,
    Lun,
    Account,
    Acl,
}

impl Section {
    fn of(title: &str) -> Option<Section> {
        match title {
            "System information:" => Some(Section::System),
            "I_T nexus information:" => Some(Section::Nexus),
            "LUN information:" => Some(Section::Lun),
            "Account information:" => Some(Section::Account),
            "ACL information:" => Some(Section::Acl),
            _ => None,
        }
    }
}

/// Reads `--mode target --op show`.
pub fn targets(text: &str) -> Result<Vec<Target>, String> {
    let mut all: Vec<Target> = Vec::new();
    let (mut tids, mut names) = (HashSet::new(), HashSet::new());
    let mut section = None;
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let bad = || odd(number, line);
        let (indent, text) = split(line);
        if indent == 0 {
            let (tid, name) = text.strip_prefix("Target ").and_then(|rest| rest.split_once(": ")).ok_or_else(bad)?;
            let tid = tid.parse().map_err(|_| bad())?;
            if !tids.insert(tid) || !names.insert(name) {
                return Err(format!("{}: a target is shown twice", bad()));
            }
            all.push(Target { tid, name: name.to_owned(), ..Target::default() });
            section = None;
            continue;
        }
        if indent == 4 {
            section = Some(Section::of(text).ok_or_else(bad)?);
            continue;
        }
        let target = all.last_mut().ok_or_else(bad)?;
        detail(target, section.ok_or_else(bad)?, indent, text).ok_or_else(bad)?;
    }
    Ok(all)
}

fn detail(target: &mut Target, section: Section, indent: usize, text: &str) -> Option<()> {
    match (section, indent) {
        (Section::Nexus, 8) => target.nexuses.push(text.strip_prefix("I_T nexus: ")?.parse().ok()?),
        (Section::Lun, 8) => target.luns.push((text.strip_prefix("LUN: ")?.parse().ok()?, None)),
        (Section::Lun, 12) => {
            if let Some(path) = text.strip_prefix("Backing store path: ") {
                target.luns.last_mut()?.1 = Some(path.to_owned()).filter(|path| path != "None");
            }
        }
        (Section::Account, 8) if text.ends_with(" (outgoing)") => {}
        (Section::Account, 8) => target.accounts.push(text.to_owned()),
        (Section::Acl, 8) => target.admissions.push(text.to_owned()),
        (Section::System | Section::Nexus, _) => {}
        _ => return None,
    }
    Some(())
}

/// Reads `--mode conn --op show --tid N`.
pub fn connections(text: &str) -> Result<Vec<Connection>, String> {
    let mut all: Vec<Connection> = Vec::new();
    let mut session = None;
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let bad = || odd(number, line);
        let (indent, text) = split(line);
        match indent {
            0 => session = Some(text.strip_prefix("Session: ").and_then(|n| n.parse().ok()).ok_or_else(bad)?),
            4 => {
                let connection = text.strip_prefix("Connection: ").and_then(|n| n.parse().ok()).ok_or_else(bad)?;
                let session = session.ok_or_else(bad)?;
                all.push(Connection { session, connection, initiator: String::new(), address: String::new() });
            }
            8 => {
                let last = all.last_mut().ok_or_else(bad)?;
                match text.split_once(": ").ok_or_else(bad)? {
                    ("Initiator", name) => last.initiator = name.to_owned(),
                    ("IP Address", address) => last.address = address.to_owned(),
                    _ => {}
                }
            }
            _ => return Err(bad()),
        }
    }
    if all.iter().any(|connection| connection.initiator.is_empty()) {
        return Err("a connection without an initiator".into());
    }
    Ok(all)
}

/// Columns of `--mode target --op stat`: target, logical unit, session, then bytes and commands of reads submitted and done, of writes
/// submitted and done, then errors.
const STAT_COLUMNS: usize = 12;

/// Reads `--mode target --op stat --tid N`.
pub fn served(text: &str) -> Result<Vec<Served>, String> {
    let mut all = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if line.trim().is_empty() || line.starts_with("tgt ") {
            continue;
        }
        let columns: Option<Vec<u64>> = line.split_ascii_whitespace().map(|column| column.parse().ok()).collect();
        let row = columns.and_then(|columns| {
            let [tid, lun, session, _, _, _, reads, _, _, _, writes, _] = <[u64; STAT_COLUMNS]>::try_from(columns).ok()?;
            let (tid, reads, writes) = (tid.try_into().ok()?, reads.try_into().ok()?, writes.try_into().ok()?);
            Some(Served { tid, lun, session, reads, writes })
        });
        all.push(row.ok_or_else(|| odd(number, line))?);
    }
    Ok(all)
}

/// Reads `--mode account --op show`.
pub fn accounts(text: &str) -> Result<BTreeSet<String>, String> {
    let mut lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    match lines.next() {
        None => return Ok(BTreeSet::new()),
        Some((_, "Account list:")) => {}
        Some((number, line)) => return Err(odd(number, line)),
    }
    lines.map(|(number, line)| line.strip_prefix("    ").map(str::to_owned).ok_or_else(|| odd(number, line))).collect()
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
