//! Looks at the kernel: the reading of one volume, and which volumes are not as decided. Asked of the kernel, never remembered.

use super::LioError;
use super::calls::CallError;
use super::enforce::{Inner, lane_of};
use super::kernel::Kernel;
use super::sight::{Index, Seen, Sight, unit_of};
use super::tree::Look;
use crate::admission::Export;
use crate::limits::{DRAIN_TIMEOUT, KERNEL_TIMEOUT, WATCH_DRAIN_TIMEOUT};
use std::collections::{BTreeMap, BTreeSet};
use vocabulary::storage::{InitiatorName, Session, VolumeReading};
use vocabulary::{StorageId, VolumeId, VolumeName};

/// The lane of looks at all targets.
const ROUND: &str = "(all)";

impl Inner {
    /// A fresh reading over every export of the volume's object.
    pub async fn read(&mut self, storage: &StorageId, volume: &VolumeName, export: &Export) -> Result<VolumeReading, LioError> {
        let of = export.clone();
        let job = move |kernel: &dyn Kernel| {
            let look = Look(kernel);
            let sight = Index::of(&look.frame()?).sight(&look, &of)?;
            let counted = sight.stores.iter().map(|store| Ok((store.clone(), look.commands(store)?)));
            Ok((counted.collect::<Result<Vec<_>, CallError>>()?, sight, kernel.now()))
        };
        let (counted, sight, read_at) =
            self.calls.run(&lane_of(&export.target), "look at the target", KERNEL_TIMEOUT, job).await?;
        let all: Vec<&Seen> = sight.own.iter().chain(&sight.others).collect();
        let allowed: BTreeSet<InitiatorName> =
            all.iter().flat_map(|seen| &seen.detail.admissions).map(|acl| InitiatorName(acl.name.clone())).collect();
        let sessions: Vec<Session> = all.iter().flat_map(|seen| seen.sessions()).collect();
        let foreign = u32::try_from(sight.foreign.len()).unwrap_or(u32::MAX - 1);
        Ok(VolumeReading {
            volume: VolumeId { storage: storage.clone(), volume: volume.clone() },
            allowed: allowed.into_iter().collect(),
            open_to_others: sight.beyond || all.iter().any(|seen| seen.open()),
            sessions,
            // the kernel counts a session until its last command is done, so of sessions that are gone nothing is in flight
            in_flight: Some(0),
            exports: u32::from(sight.sound) + foreign,
            operations: Some(self.counters.entry(volume.clone()).or_default().take(counted)),
            persistent: self.as_decided(volume, export, &sight) == Some(true),
            read_at,
        })
    }

    /// True if the volume is served and admits as decided; `None` if this agent never decided it.
    fn as_decided(&self, volume: &VolumeName, export: &Export, sight: &Sight) -> Option<bool> {
        let wanted = self.state.decided(volume)?;
        let exact = |own: &Seen| own.admits_exactly(wanted, &unit_of(export), &self.portals);
        Some(sight.sound && sight.foreign.is_empty() && sight.own.as_ref().is_some_and(exact))
    }

    fn fits(&self, volume: &VolumeName, export: &Export, sight: &Sight) -> bool {
        let Some(own) = &sight.own else { return false };
        match self.as_decided(volume, export, sight) {
            // what this agent never decided it leaves as it found it, until it is told
            None => true,
            Some(false) => false,
            Some(true) => {
                let wanted = self.state.decided(volume).flatten().map(|wanted| &wanted.initiator);
                own.sessions().iter().all(|session| Some(&session.initiator) == wanted)
            }
        }
    }

    /// The volumes that are not as decided, by one look at the whole target. If one target holds that look, each has to be looked at by itself.
    pub async fn misfits(&self, volumes: &BTreeMap<VolumeName, Export>) -> Result<Vec<VolumeName>, LioError> {
        let of = volumes.clone();
        let job = move |kernel: &dyn Kernel| {
            let look = Look(kernel);
            let frame = look.frame()?;
            let index = Index::of(&frame);
            of.iter()
                .map(|(volume, export)| Ok((volume.clone(), index.sight(&look, export)?)))
                .collect::<Result<Vec<_>, CallError>>()
        };
        let sights = match self.calls.run(ROUND, "look at the target", KERNEL_TIMEOUT, job).await {
            Err(CallError::Silent { .. }) => return Ok(volumes.keys().cloned().collect()),
            seen => seen?,
        };
        let misfit =
            |(volume, sight): &(VolumeName, Sight)| volumes.get(volume).is_some_and(|export| !self.fits(volume, export, sight));
        Ok(sights.into_iter().filter(misfit).map(|(volume, _)| volume).collect())
    }

    /// Brings one volume back to what was decided.
    pub async fn restore(&mut self, volume: &VolumeName, export: &Export) -> Result<(), LioError> {
        let sight = self.sight(export).await?;
        if self.fits(volume, export, &sight) {
            return Ok(());
        }
        let wanted = self.state.decided(volume).flatten().cloned();
        if sight.own.is_none() {
            tracing::info!(%volume, admitted = ?wanted.as_ref().map(|wanted| &wanted.initiator), "the export is absent and is made from the durable state");
        } else {
            tracing::warn!(%volume, "the target is not as decided: a foreign hand, or a start in between; it is set right");
        }
        self.patience = WATCH_DRAIN_TIMEOUT;
        let done = self.enforce(volume, export, wanted.as_ref()).await;
        self.patience = DRAIN_TIMEOUT;
        done
    }
}
