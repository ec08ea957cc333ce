//! Brings one volume's exports to what was decided.
//!
//! The order is the safety: whoever is not wanted loses the admission first, then the account, then every session, then the target itself.
//! An admission is made the other way round: the account first, since a target with a name and no account lets that name in without a
//! secret. Accounts are only ever taken away from the last to the first: the daemon dies when it shows a target with a gap among them.

use super::command::Tool;
use super::exports::Exports;
use super::host::{CommandError, Host};
use super::parse::{Connection, Target};
use super::served::Counter;
use super::{Export, TgtError};
use crate::limits::DRAIN_PAUSE;
use crate::state::{Admitted, StateFile};
use sha2::{Digest, Sha256};
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use vocabulary::VolumeName;
use vocabulary::storage::InitiatorName;

/// Everything behind the driver's lock.
#[derive(Debug)]
pub(super) struct Inner {
    pub tool: Tool,
    pub host: Arc<dyn Host>,
    pub state: StateFile,
    pub counters: HashMap<VolumeName, Counter>,
    /// Target numbers as they were last seen.
    pub tids: HashMap<VolumeName, u32>,
    /// How long a step may be repeated while commands are in flight; the lock is held that long.
    pub patience: Duration,
    /// Sessions (target number, session number) that were found to be wanted: the round by the clock need not ask for them again.
    pub vetted: HashSet<(u32, u64)>,
}

/// Characters of a logical unit's identifier and serial.
const LUN_ID_CHARS: usize = 24;

/// True if both names lead to the same object. What cannot be asked is compared by name.
pub(super) fn same_object(host: &dyn Host, shown: &str, file: &Path) -> bool {
    match (host.object(Path::new(shown)), host.object(file)) {
        (Some(one), Some(other)) => one == other,
        _ => Path::new(shown) == file,
    }
}

/// True if the target exports the volume's object under its number.
pub(super) fn sound(host: &dyn Host, own: &Target, export: &Export) -> bool {
    let shown = own.luns.iter().find(|(lun, _)| *lun == export.lun).and_then(|(_, path)| path.as_ref());
    shown.is_some_and(|path| same_object(host, path, &export.file))
}

/// True if exactly `wanted` is bound at the target.
pub(super) fn admits_exactly(own: &Target, wanted: Option<&Admitted>) -> bool {
    match wanted {
        None => own.admissions.is_empty() && own.accounts.is_empty(),
        Some(wanted) => own.admissions == [wanted.initiator.0.as_str()] && own.accounts == [wanted.user.as_str()],
    }
}

/// What somebody else took away meanwhile is no error: the reading decides.
fn gone(result: Result<(), CommandError>) -> Result<(), CommandError> {
    match result {
        Err(CommandError::Refused { .. }) => Ok(()),
        other => other,
    }
}

/// What ending sessions found.
struct Ended {
    /// There was a session of somebody else.
    strangers: bool,
    /// The wanted initiator has a session.
    kept: bool,
}

/// Repeats a step that the daemon may refuse while commands are in flight, until it takes it or the time is over.
struct Patience {
    allowed: Duration,
    until: Instant,
}

impl Patience {
    fn of(allowed: Duration) -> Patience {
        Patience { allowed, until: Instant::now() + allowed }
    }
    /// Waits a moment; an error naming what remains if the time is over.
    async fn or(&self, remains: impl FnOnce() -> String) -> Result<(), TgtError> {
        if Instant::now() >= self.until {
            return Err(TgtError::Remains(format!("{} after {} ms", remains(), self.allowed.as_millis())));
        }
        tokio::time::sleep(DRAIN_PAUSE).await;
        Ok(())
    }
}

impl Inner {
    /// Decides, durably; the target is touched by `enforce`.
    pub fn decide(&mut self, volume: &VolumeName, wanted: Option<Admitted>) -> Result<(), TgtError> {
        self.vetted.clear();
        Ok(self.state.decide(volume, wanted)?)
    }

    /// Makes the volume have one export that admits `wanted` alone, with no session of anybody else. `anew` makes the target anew even if
    /// nothing was found to take away.
    pub async fn enforce(
        &mut self,
        volume: &VolumeName,
        export: &Export,
        wanted: Option<&Admitted>,
        anew: bool,
    ) -> Result<(), TgtError> {
        let targets = self.targets_or_end(volume).await?;
        let own = targets.iter().find(|target| target.name == export.target);
        let state = own.map(|own| (sound(&*self.host, own, export), admits_exactly(own, wanted)));
        // admissions first: a second export may be busy for long, and this one must not stay open meanwhile
        if let (Some(own), Some((sound, exact))) = (own, state)
            && !(sound && exact)
        {
            self.strip(volume, own, &targets).await?;
        }
        self.remove_foreign(export, &targets).await?;
        let (Some(own), Some((sound, exact))) = (own, state) else {
            let tid = self.make(volume, export, &targets).await?;
            return self.admit(volume, export, tid, wanted, &targets).await;
        };
        let keep = wanted.filter(|_| sound).map(|wanted| &wanted.initiator);
        let ended = self.end_others(own.tid, keep).await?;
        if sound && exact && !ended.strangers && !anew {
            return Ok(());
        }
        let others = own.admissions.iter().any(|name| wanted.is_none_or(|wanted| *name != wanted.initiator.0));
        let tid = if sound && (ended.kept || !(others || ended.strangers || anew)) {
            own.tid
        } else {
            // A login that passed the admission before it was taken back may come to its end at any later time, and makes a session at
            // the target's number. So that number goes, never to return, and such a login finds no target.
            self.remove(own.tid).await?;
            self.make(volume, export, &targets).await?
        };
        if tid == own.tid && exact { Ok(()) } else { self.admit(volume, export, tid, wanted, &targets).await }
    }

    /// Every target. A guest can garble the list by its alias; then the sessions of the volume's own target are ended first.
    async fn targets_or_end(&mut self, volume: &VolumeName) -> Result<Arc<Vec<Target>>, TgtError> {
        match (self.tool.targets().await, self.tids.get(volume)) {
            (Err(CommandError::Garbled { reason, .. }), Some(tid)) => {
                tracing::warn!(%volume, reason, "the target list is odd: the sessions of this volume are ended and it is read again");
                self.end_others(*tid, None).await?;
                Ok(self.tool.targets().await?)
            }
            (listed, _) => Ok(listed?),
        }
    }

    /// Removes every other export of the volume's object. Only the logical unit goes, since the target may serve something else as well;
    /// but one that is busy loses its target's admissions too, or whoever is sent away would come back at once and keep it busy for ever.
    async fn remove_foreign(&self, export: &Export, targets: &[Target]) -> Result<(), TgtError> {
        let mut foreign = Exports::of(&*self.host, targets).of_volume(&*self.host, export).1;
        let patience = Patience::of(self.patience);
        while let Some((tid, lun)) = foreign.pop() {
            tracing::warn!(tid, lun, file = %export.file.display(), "a second export of a volume is removed");
            match self.tool.remove_lun(tid, lun).await {
                Err(CommandError::Refused { said, .. }) => {
                    let admissions = targets.iter().filter(|target| target.tid == tid).flat_map(|target| &target.admissions);
                    for admission in admissions {
                        gone(self.tool.dismiss(tid, admission).await)?;
                    }
                    self.end_others(tid, None).await?;
                    patience.or(|| format!("target {tid} still exports the volume a second time ({said})")).await?;
                    foreign = Exports::of(&*self.host, &self.tool.targets().await?).of_volume(&*self.host, export).1;
                }
                other => other?,
            }
        }
        Ok(())
    }

    /// Takes every admission and account away from the target.
    async fn strip(&self, volume: &VolumeName, own: &Target, targets: &[Target]) -> Result<(), TgtError> {
        for admission in &own.admissions {
            gone(self.tool.dismiss(own.tid, admission).await)?;
        }
        for user in own.accounts.iter().rev() {
            gone(self.tool.unbind_account(own.tid, user).await)?;
            let elsewhere = targets.iter().any(|target| target.tid != own.tid && target.accounts.contains(user));
            if !elsewhere && self.state.user_elsewhere(volume, user).is_none() {
                gone(self.tool.remove_account(user).await)?;
            }
        }
        Ok(())
    }

    /// Ends every session but those of `keep`, stale ones too, and stays until none is listed.
    async fn end_others(&self, tid: u32, keep: Option<&InitiatorName>) -> Result<Ended, TgtError> {
        let patience = Patience::of(self.patience);
        let mut ended = Ended { strangers: false, kept: false };
        loop {
            let all = self.tool.connections(tid).await?;
            let (kept, strangers): (Vec<Connection>, Vec<Connection>) =
                all.into_iter().partition(|connection| keep.is_some_and(|keep| keep.0 == connection.initiator));
            ended.kept = !kept.is_empty();
            let Some(first) = strangers.first() else { return Ok(ended) };
            ended.strangers = true;
            for connection in &strangers {
                self.tool.end(tid, connection).await?;
            }
            patience.or(|| format!("session {} of {} still stands", first.session, first.initiator)).await?;
        }
    }

    /// Removes a target; the daemon itself refuses while a session or a command is left.
    async fn remove(&self, tid: u32) -> Result<(), TgtError> {
        let patience = Patience::of(self.patience);
        loop {
            match self.tool.remove_target(tid).await {
                Err(CommandError::Refused { said, .. }) => {
                    self.end_others(tid, None).await?;
                    patience.or(|| format!("target {tid} cannot be removed ({said})")).await?;
                }
                other => return Ok(other?),
            }
        }
    }

    /// Makes the volume's target under a number that was never used. It admits nobody.
    async fn make(&mut self, volume: &VolumeName, export: &Export, targets: &[Target]) -> Result<u32, TgtError> {
        let tid = self.state.take_tid(targets.iter().map(|target| target.tid).max().unwrap_or(0))?;
        self.tool.make_target(tid, &export.target).await?;
        self.tids.insert(volume.clone(), tid);
        self.tool.make_lun(tid, export.lun, &export.file.to_string_lossy()).await?;
        // a server finds its disk under the same name on every machine and after every restart
        let digest: String = Sha256::digest(export.target.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
        let id = digest.get(..LUN_ID_CHARS).unwrap_or(&digest);
        self.tool.name_lun(tid, export.lun, id, id).await?;
        Ok(tid)
    }

    /// Admits at a target that admits nobody: the account before the name.
    async fn admit(
        &self,
        volume: &VolumeName,
        export: &Export,
        tid: u32,
        wanted: Option<&Admitted>,
        targets: &[Target],
    ) -> Result<(), TgtError> {
        let Some(wanted) = wanted else { return Ok(()) };
        let user = &wanted.user;
        if self.tool.accounts().await?.contains(user) {
            // an account of the same name and secret that another volume of the placement uses is shared
            if self.state.user_elsewhere(volume, user).is_none() {
                if let Some(other) = targets.iter().find(|target| target.name != export.target && target.accounts.contains(user))
                {
                    return Err(TgtError::Remains(format!("the CHAP user {user} is bound at {}: unbind it there", other.name)));
                }
                self.tool.remove_account(user).await?;
                self.tool.make_account(user, wanted.secret.expose()).await?;
            }
        } else {
            self.tool.make_account(user, wanted.secret.expose()).await?;
        }
        self.tool.bind_account(tid, user).await?;
        Ok(self.tool.admit(tid, &wanted.initiator.0).await?)
    }
}
