//! Judges a storm by the target alone: who changed an object, and who could. It knows what was confirmed, and what other hands did.
//! Must never ask the agent.

use crate::support::{DRIFT_ENDS, Trace, pause};
use crate::{VOLUMES, file};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use world::clock::now;
use world::target::{Landed, Target, Writer};

/// What the judge of a storm knows.
#[derive(Default)]
pub struct Known {
    /// Confirmed revocations by volume: when, at which epoch, and who was kept.
    pub revoked: BTreeMap<String, Vec<(Instant, u64, Option<u64>)>>,
    /// Volumes about which the agent once confirmed a command. Of any other it knows nothing, and leaves it as it found it.
    pub decided: BTreeMap<String, Instant>,
    /// For which volume each placement is.
    pub granted: BTreeMap<u64, String>,
    /// The last acknowledged write of each placement on each volume, and all of them to be judged.
    pub acknowledged: Vec<(Instant, String, u64, u64)>,
    pub kept: BTreeMap<(String, u64), Vec<u64>>,
    /// The times in which an overlap is another hand's.
    pub excused: Vec<(Instant, Instant)>,
    pub tally: Tally,
}

/// What a storm came to.
#[derive(Default, Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tally {
    pub confirmed: u32,
    pub failed: u32,
    /// Writes that changed an object, and those that were acknowledged.
    pub landed: u32,
    pub acknowledged: u32,
    /// Writes of whoever had no right to, in the seconds after another hand let them.
    pub foreign: u32,
    /// Logins of older placements that were refused after their revocation.
    pub refused: u32,
    pub broken: u32,
}

/// Judges at every moment, by the target alone.
pub async fn judge(target: Target, known: Arc<Mutex<Known>>, trace: Trace) {
    loop {
        pause(Duration::from_millis(50)).await;
        look(&target, &mut known.lock().unwrap(), &trace);
    }
}

impl Known {
    /// True in the seconds after another hand, and for whoever was let in in those seconds and came to the end of its login later: it is
    /// cut off soon after that.
    fn excuses(&self, at: Instant, by: &Writer) -> bool {
        let excused = |at: Instant| self.excused.iter().any(|(from, until)| (*from..=*until).contains(&at));
        excused(at) || (excused(by.admitted) && at <= by.since + DRIFT_ENDS)
    }

    /// An overlap is another hand's until 5 s have passed in which the agent could do something.
    fn excuse(&mut self, target: &Target) {
        match (target.handled(), self.excused.last_mut()) {
            (Some(at), Some((from, until))) if (*from..=*until).contains(&at) => *until = (*until).max(at + DRIFT_ENDS),
            (Some(at), last) if last.as_ref().is_none_or(|(_, until)| at > *until) => self.excused.push((at, at + DRIFT_ENDS)),
            _ => {}
        }
        if let Some((_, until)) = self.excused.last_mut().filter(|(_, until)| now() <= *until) {
            *until = (*until).max(target.disturbed() + DRIFT_ENDS);
        }
    }

    /// True if this placement may not write this volume (any more).
    fn is_wrong(&self, volume: &str, epoch: Option<u64>, at: Instant) -> bool {
        let revoked = self.revoked.get(volume).map(Vec::as_slice).unwrap_or_default();
        epoch.is_none_or(|epoch| {
            self.granted.get(&epoch).is_none_or(|granted| granted != volume)
                || revoked.iter().any(|(since, by, keep)| *since < at && *by > epoch && *keep != Some(epoch))
        })
    }
}

pub fn look(target: &Target, known: &mut Known, trace: &Trace) {
    known.excuse(target);
    for (_, volume, epoch, place) in std::mem::take(&mut known.acknowledged) {
        known.tally.acknowledged += 1;
        known.kept.entry((volume, epoch)).or_default().push(place);
    }
    for volume in VOLUMES {
        let landed = target.take_landed(&file(volume));
        let Some(decided) = known.decided.get(volume).copied() else { continue };
        for Landed { at, by, .. } in landed.into_iter().filter(|landed| landed.at > decided) {
            known.tally.landed += 1;
            let epoch = by.name.rsplit_once(".e").and_then(|(_, epoch)| epoch.parse().ok());
            if !known.is_wrong(volume, epoch, at) {
                continue;
            }
            if known.excuses(at, &by) {
                known.tally.foreign += 1;
            } else {
                known.tally.broken += 1;
                trace.tell(format!("BROKEN: a write of {} changed volume {volume}, {:?} ago", by.name, now() - at));
            }
        }
        let writers = target.writers(&file(volume));
        let names: BTreeSet<&str> = writers.iter().map(|writer| writer.name.as_str()).collect();
        if names.len() > 1 && !writers.iter().any(|writer| known.excuses(now(), writer)) {
            known.tally.broken += 1;
            trace.tell(format!("BROKEN: several can write volume {volume}: {names:?}"));
        }
    }
}
