//! How the start of a site is folded: whose turn has come, and what became of it. Total, and decides nothing.

use super::Ledger;
use crate::plan::{Kind, Plan};
use crate::record::Fact;
use crate::start_order::{StartOrder, Turn};
use std::collections::{BTreeMap, BTreeSet};
use vocabulary::{PlanId, ServerId, SiteId, WallTime};

/// The start of a site: under way until `ended`.
#[derive(Clone, PartialEq, Debug)]
pub struct ColdStart {
    /// What was agreed to.
    pub order: StartOrder,
    /// By whom.
    pub principals: BTreeSet<String>,
    /// Plans of those whose turn has come.
    pub begun: BTreeMap<ServerId, PlanId>,
    /// Those that were passed over, and why.
    pub passed: BTreeMap<ServerId, String>,
    /// When it began.
    pub since: WallTime,
    /// When the last turn came.
    pub moved: WallTime,
    /// When it ended, and with what.
    pub ended: Option<(WallTime, String)>,
}

impl ColdStart {
    /// Those whose turn has not come, in order.
    pub fn waiting(&self) -> impl Iterator<Item = &Turn> {
        let came = |turn: &&Turn| self.begun.contains_key(&turn.server) || self.passed.contains_key(&turn.server);
        self.order.turns.iter().filter(move |turn| self.ended.is_none() && !came(turn))
    }
}

impl Ledger {
    /// The site in whose start this server waits for its turn.
    pub fn waits_for_turn(&self, server: &ServerId) -> Option<&SiteId> {
        let waits = |start: &ColdStart| start.waiting().any(|turn| turn.server == *server);
        self.cold_starts.iter().find(|(_, start)| waits(start)).map(|(site, _)| site)
    }

    pub(super) fn apply_site(&mut self, fact: &Fact, at: WallTime) {
        match fact {
            Fact::ColdStart { order, principals } => {
                let start = ColdStart {
                    order: (**order).clone(),
                    principals: principals.clone(),
                    begun: BTreeMap::new(),
                    passed: BTreeMap::new(),
                    since: at,
                    moved: at,
                    ended: None,
                };
                self.cold_starts.insert(order.site.clone(), start);
            }
            Fact::ColdStartPassed { site, server, reason } => {
                if let Some(start) = self.cold_starts.get_mut(site) {
                    start.passed.insert(server.clone(), reason.clone());
                    start.moved = at;
                }
            }
            Fact::ColdStartEnded { site, text } => {
                if let Some(start) = self.cold_starts.get_mut(site) {
                    start.ended = Some((at, text.clone()));
                }
                self.forget_held("F0214");
            }
            _ => {}
        }
    }

    /// Whoever restarts a server that waits for its turn has given it its turn.
    pub(super) fn take_turn(&mut self, plan: &Plan, at: WallTime) {
        let Some(server) = plan.server().filter(|_| plan.body().kind == Kind::Restart) else { return };
        for start in self.cold_starts.values_mut() {
            if start.waiting().any(|turn| turn.server == *server) {
                start.begun.insert(server.clone(), plan.id());
                start.moved = at;
            }
        }
    }
}
