//! What the daemon prints, letter by letter as it prints it. A target whose accounts have an empty place before a full one is its death.

use super::daemon::{Daemon, Export};
use super::{BLOCK_BYTES, State};
use std::fmt::Write as _;

/// Bytes of a mebibyte, in which sizes are shown.
const MEBIBYTE: u64 = 1 << 20;

/// The identifier and serial that a unit is given by its place.
pub(super) fn identity(tid: u32, unit: u64) -> (String, String) {
    (format!("IET     {tid:04x}{unit:04x}"), format!("beaf{tid}{unit}"))
}

impl State {
    /// `--mode target --op show`; `None` if the daemon dies of it.
    pub(super) fn show_targets(&mut self) -> Option<String> {
        if !self.moved
            && let Some(printed) = &self.printed
        {
            return Some(printed.clone());
        }
        let printed = self.list()?;
        // what moves in the middle of a call is shown as it moves
        self.printed = Some(printed.clone()).filter(|_| !self.moved);
        Some(printed)
    }

    fn list(&self) -> Option<String> {
        let daemon = self.daemon.as_ref()?;
        let mut text = String::new();
        for (tid, export) in &daemon.exports {
            let last = export.accounts.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
            if export.accounts.iter().take(last).any(Option::is_none) {
                return None;
            }
            target(&mut text, daemon, *tid, export).ok()?;
        }
        Some(text)
    }
}

fn target(text: &mut String, daemon: &Daemon, tid: u32, export: &Export) -> std::fmt::Result {
    writeln!(text, "Target {tid}: {}\n    System information:\n        Driver: iscsi\n        State: ready", export.name)?;
    writeln!(text, "    I_T nexus information:")?;
    for (number, session) in &export.sessions {
        let one = &session.initiator;
        writeln!(text, "        I_T nexus: {number}\n            Initiator: {} alias: {}", one.name, one.alias)?;
        writeln!(text, "            Connection: 0\n                IP Address: {}", one.address)?;
    }
    writeln!(text, "    LUN information:")?;
    for (number, unit) in &export.units {
        let (kind, store) = if unit.path.is_some() { ("disk", "rdwr") } else { ("controller", "null") };
        let block = if unit.path.is_some() { BLOCK_BYTES } else { 1 };
        writeln!(text, "        LUN: {number}\n            Type: {kind}\n            SCSI ID: {}", unit.scsi_id)?;
        writeln!(text, "            SCSI SN: {}", unit.serial)?;
        writeln!(text, "            Size: {} MB, Block size: {block}\n            Online: Yes", unit.bytes / MEBIBYTE)?;
        for no in ["Removable media", "Prevent removal", "Readonly", "SWP", "Thin-provisioning"] {
            writeln!(text, "            {no}: No")?;
        }
        writeln!(text, "            Backing store type: {store}")?;
        writeln!(text, "            Backing store path: {}", unit.path.as_deref().unwrap_or("None"))?;
        writeln!(text, "            Backing store flags: ")?;
    }
    writeln!(text, "    Account information:")?;
    for number in export.accounts.iter().flatten() {
        writeln!(text, "        {}", daemon.user(*number).unwrap_or_default())?;
    }
    writeln!(text, "    ACL information:")?;
    for bound in export.addresses.iter().chain(&export.names) {
        writeln!(text, "        {bound}")?;
    }
    Ok(())
}

/// `--mode conn --op show`: the newest first.
pub(super) fn connections(export: &Export) -> String {
    let one = |(number, session): (&u64, &super::session::Session)| {
        let (name, address) = (&session.initiator.name, session.initiator.address);
        format!("Session: {number}\n    Connection: 0\n        Initiator: {name}\n        IP Address: {address}\n")
    };
    export.sessions.iter().rev().map(one).collect()
}

/// `--mode target --op stat`. The daemon counts in 32 bits.
pub(super) fn statistics(tid: u32, export: &Export) -> String {
    let mut text =
        "tgt lun sid rd_subm(bytes,cmds) rd_done(bytes,cmds) wr_subm(bytes,cmds) wr_done(bytes,cmds) errs\n".to_owned();
    let wrapped = |number: u64| number & u64::from(u32::MAX);
    for unit in export.units.keys() {
        for (number, session) in &export.sessions {
            let counts = session.counts.get(unit).copied().unwrap_or_default();
            let (submitted, done) = (counts.submitted, counts.done);
            text += &format!("{tid:3} {unit:3} {number:3} {:12} {:6} {:12} {:6}", 0, 0, 0, 0);
            text += &format!(" {:12} {:6}", submitted * BLOCK_BYTES, wrapped(submitted));
            text += &format!(" {:12} {:6} {:4}\n", done * BLOCK_BYTES, wrapped(done), wrapped(counts.errors));
        }
    }
    text
}

/// `--mode account --op show`.
pub(super) fn accounts(daemon: &Daemon) -> String {
    if daemon.accounts.is_empty() {
        return String::new();
    }
    let lines = daemon.accounts.iter().map(|account| format!("    {}\n", account.user));
    std::iter::once("Account list:\n".to_owned()).chain(lines).collect()
}
