//! Looks at the daemon: the reading of one volume, and which volumes are not as decided. Asked of the target, never remembered.

use super::enforce::{Inner, admits_exactly, sound};
use super::exports::Exports;
use super::parse::Target;
use super::{Export, TgtError};
use crate::admission::is_initiator_name;
use crate::limits::{DRAIN_TIMEOUT, WATCH_DRAIN_TIMEOUT};
use std::collections::{BTreeMap, BTreeSet};
use vocabulary::storage::{InitiatorName, Session, VolumeReading};
use vocabulary::{StorageId, VolumeId, VolumeName};

/// Stands for the initiator of a session that the daemon no longer names: it is closing, with commands in flight.
const CLOSING: &str = "(closing)";

/// True if somebody can log in at the target without an exact name and a secret.
fn open_to_others(target: &Target) -> bool {
    let by_address = target.admissions.iter().any(|admission| !is_initiator_name(admission));
    by_address || (!target.admissions.is_empty() && target.accounts.is_empty())
}

impl Inner {
    /// A fresh reading over every export of the volume's object.
    pub async fn read(&mut self, storage: &StorageId, volume: &VolumeName, export: &Export) -> Result<VolumeReading, TgtError> {
        let targets = self.tool.targets().await?;
        let (own, foreign) = Exports::of(&*self.host, &targets).of_volume(&*self.host, export);
        if let Some(own) = own {
            self.tids.insert(volume.clone(), own.tid);
        }
        let tids: BTreeSet<u32> = own.iter().map(|own| own.tid).chain(foreign.iter().map(|(tid, _)| *tid)).collect();
        let (mut allowed, mut sessions, mut rows) = (BTreeSet::new(), Vec::new(), Vec::new());
        let mut open = false;
        for target in targets.iter().filter(|target| tids.contains(&target.tid)) {
            open |= open_to_others(target);
            allowed
                .extend(target.admissions.iter().filter(|name| is_initiator_name(name)).map(|name| InitiatorName(name.clone())));
            sessions.extend(self.sessions(target).await?);
            let served = self.tool.served(target.tid).await?;
            let exported = |lun: u64| own.is_some_and(|own| own.tid == target.tid && lun == export.lun);
            rows.extend(served.into_iter().filter(|row| exported(row.lun) || foreign.contains(&(row.tid, row.lun))));
        }
        let decided = self.state.decided(volume);
        let as_decided = own.is_some_and(|own| decided.is_some_and(|wanted| admits_exactly(own, wanted)));
        let own_exports = u32::from(own.is_some_and(|own| sound(&*self.host, own, export)));
        Ok(VolumeReading {
            volume: VolumeId { storage: storage.clone(), volume: volume.clone() },
            allowed: allowed.into_iter().collect(),
            open_to_others: open,
            sessions,
            // the daemon lists a session until its last command is done, so of sessions that are gone nothing is in flight
            in_flight: Some(0),
            exports: own_exports + u32::try_from(foreign.len()).unwrap_or(u32::MAX - 1),
            operations: Some(self.counters.entry(volume.clone()).or_default().take(&rows)),
            persistent: as_decided && foreign.is_empty(),
            read_at: self.host.now(),
        })
    }

    /// Every session at a target. The daemon keeps two lists; who stands in either counts.
    async fn sessions(&self, target: &Target) -> Result<Vec<Session>, TgtError> {
        let connections = self.tool.connections(target.tid).await?;
        let mut sessions: BTreeMap<u64, Session> = BTreeMap::new();
        for connection in connections {
            sessions.entry(connection.session).or_insert(Session {
                initiator: InitiatorName(connection.initiator),
                number: connection.session,
                address: connection.address,
            });
        }
        for number in &target.nexuses {
            let closing = || Session { initiator: InitiatorName(CLOSING.into()), number: *number, address: String::new() };
            sessions.entry(*number).or_insert_with(closing);
        }
        Ok(sessions.into_values().collect())
    }

    /// The volumes that are not as decided. One call of the tool, and one more for each target with a session that is new.
    pub async fn misfits(&mut self, volumes: &BTreeMap<VolumeName, Export>) -> Result<Vec<VolumeName>, TgtError> {
        let targets = self.tool.targets().await?;
        let standing: BTreeSet<(u32, u64)> =
            targets.iter().flat_map(|target| target.nexuses.iter().map(|session| (target.tid, *session))).collect();
        self.vetted.retain(|session| standing.contains(session));
        let (host, mut misfits) = (self.host.clone(), Vec::new());
        let exports = Exports::of(&*host, &targets);
        for (volume, export) in volumes {
            if !self.fits(volume, export, &exports).await? {
                misfits.push(volume.clone());
            }
        }
        Ok(misfits)
    }

    async fn fits(&mut self, volume: &VolumeName, export: &Export, exports: &Exports<'_>) -> Result<bool, TgtError> {
        let (own, foreign) = exports.of_volume(&*self.host, export);
        let Some(own) = own else { return Ok(false) };
        self.tids.insert(volume.clone(), own.tid);
        // what this agent never decided it leaves as it found it, until it is told
        let Some(wanted) = self.state.decided(volume) else { return Ok(true) };
        if !foreign.is_empty() || !sound(&*self.host, own, export) || !admits_exactly(own, wanted) {
            return Ok(false);
        }
        let fresh: Vec<u64> = own.nexuses.iter().copied().filter(|session| !self.vetted.contains(&(own.tid, *session))).collect();
        if fresh.is_empty() {
            return Ok(true);
        }
        let initiator = wanted.map(|wanted| wanted.initiator.clone());
        let connections = self.tool.connections(own.tid).await?;
        if connections.iter().any(|connection| initiator.as_ref().is_none_or(|wanted| wanted.0 != connection.initiator)) {
            return Ok(false);
        }
        let named = fresh.into_iter().filter(|session| connections.iter().any(|connection| connection.session == *session));
        self.vetted.extend(named.map(|session| (own.tid, session)));
        Ok(true)
    }

    /// Brings one volume back to what was decided.
    pub async fn restore(&mut self, volume: &VolumeName, export: &Export) -> Result<(), TgtError> {
        let targets = self.tool.targets().await?;
        let host = self.host.clone();
        if self.fits(volume, export, &Exports::of(&*host, &targets)).await? {
            return Ok(());
        }
        let absent = !targets.iter().any(|target| target.name == export.target);
        let wanted = self.state.decided(volume).flatten().cloned();
        if absent {
            tracing::info!(%volume, admitted = ?wanted.as_ref().map(|wanted| &wanted.initiator), "the export is absent and is made from the durable state");
        } else {
            tracing::warn!(%volume, "the target is not as decided: a foreign hand, or a start in between; it is set right");
        }
        self.vetted.clear();
        self.patience = WATCH_DRAIN_TIMEOUT;
        let done = self.enforce(volume, export, wanted.as_ref(), false).await;
        self.patience = DRAIN_TIMEOUT;
        done
    }
}
