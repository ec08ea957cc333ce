//! What is forgotten when old records are removed, and the ledger as a text that stands in their place. It must never forget what a rule still
//! asks for: a plan that something refers to stays, however old it is.

use super::{Ledger, Standing};
use crate::plan::Kind;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use vocabulary::{Epoch, PlanId, ServerId, Span, WallTime};

/// Ended plans that are younger are kept whatever is to be forgotten: limits count what was done within `guard.server_interval`, 7 days at most.
pub const ROWS_KEPT: Span = Span::seconds(8 * 86_400);

/// Up to where records were removed.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pruned {
    /// The last one that is gone.
    pub entries: u64,
    /// What was older than this.
    pub before: WallTime,
    /// When.
    pub at: WallTime,
    /// No plan above this epoch was forgotten.
    pub plans: Epoch,
    /// Of the plans that were forgotten, those that gave their target something: agents may keep it.
    pub owned: BTreeSet<PlanId>,
}

impl Ledger {
    /// As a text that [`Ledger::from_text`] reads to an equal one.
    pub fn to_text(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }

    /// From what [`Ledger::to_text`] wrote, in this version or an older one.
    pub fn from_text(text: &str) -> Result<Ledger, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// True if this plan may be one that was forgotten.
    pub fn may_have_forgotten(&self, plan: PlanId) -> bool {
        self.pruned.as_ref().is_some_and(|pruned| plan.0 <= pruned.plans)
    }

    /// True if this plan gave its target something, be it forgotten or not.
    pub fn has_owned(&self, plan: PlanId) -> bool {
        let forgotten = || self.pruned.as_ref().is_some_and(|pruned| pruned.owned.contains(&plan));
        self.plans.get(&plan).map_or_else(forgotten, |row| row.owned)
    }

    /// The plans that may be forgotten together with the records that this older ledger was folded from: they ended in these, before this time, and
    /// nothing refers to them now.
    pub fn forgettable(&self, older: &Ledger, before: WallTime, at: WallTime) -> BTreeSet<PlanId> {
        let before = WallTime(before.0.min(at.0.saturating_sub(ROWS_KEPT.0)));
        let needed = self.needed_plans();
        let ended = |plan: &PlanId| older.plans.get(plan)?.times.1;
        let old = self.plans.keys().filter(|plan| ended(plan).is_some_and(|ended| ended < before));
        old.filter(|plan| !needed.contains(plan)).copied().collect()
    }

    /// Forgets these plans, and that servers were failed over by them.
    pub(super) fn apply_pruned(&mut self, entries: u64, before: WallTime, at: WallTime, forgotten: &BTreeSet<PlanId>) {
        let Pruned { mut plans, mut owned, .. } = self.pruned.take().unwrap_or_default();
        self.plans.retain(|plan, row| {
            let goes = !row.is_open() && forgotten.contains(plan);
            if goes {
                plans = plans.max(plan.0);
            }
            if goes && row.owned {
                owned.insert(*plan);
            }
            !goes
        });
        let known: BTreeSet<(&ServerId, WallTime)> =
            self.plans.values().filter_map(|row| Some((row.plan.server()?, row.times.0))).collect();
        for (server, row) in &mut self.servers {
            row.failovers.retain(|made| *made >= before || known.contains(&(server, *made)));
        }
        self.pruned = Some(Pruned { entries, before, at, plans, owned });
    }

    /// Plans that something refers to: placements, volumes, bars, orders (and whatever came after the oldest order, which may pass to it), starts of
    /// sites, what agents have confirmed; the ones that keep a machine cut off; and of each server what was tried since it last came into service by a
    /// failover.
    fn needed_plans(&self) -> BTreeSet<PlanId> {
        let placed = self.servers.values().filter_map(|row| row.placement.as_ref()).map(|placement| placement.epoch);
        let volumes = self.volumes.values().map(|(_, _, epoch)| *epoch);
        let confirmed = self.confirmed.values().map(|op| op.epoch);
        let cut = self.machines.values().filter_map(|row| row.cut);
        let mut needed: BTreeSet<PlanId> = placed.chain(volumes).chain(confirmed).chain(cut).map(PlanId).collect();
        if let Some(oldest) = self.orders.keys().map(|(plan, ..)| *plan).min() {
            needed.extend(self.plans.range(oldest..).map(|(plan, _)| *plan));
        }
        needed.extend(self.cold_starts.values().flat_map(|start| start.begun.values().copied()));
        for row in self.machines.values() {
            needed.extend(row.outlets_cut);
            if let Standing::Quarantined { plan, .. } | Standing::Reserved(plan) = &row.standing {
                needed.insert(*plan);
            }
        }
        let mut served: BTreeSet<&ServerId> = BTreeSet::new();
        for (id, row) in self.plans.iter().rev().filter(|(_, row)| row.plan.body().kind == Kind::Failover) {
            let fence = &row.plan.body().fence;
            let keeps_cut = row.begun && fence.iter().any(|machine| self.standing(machine) != Standing::Free);
            if keeps_cut || row.plan.server().is_some_and(|server| !served.contains(server)) {
                needed.insert(*id);
            }
            if row.owned && matches!(row.closed, Some(Ok(_))) {
                served.extend(row.plan.server());
            }
        }
        needed
    }
}
