//! How the start of a site is folded: whose turn has come, and what became of it. Total, and decides nothing.

use super::Ledger;
use crate::plan::{Kind, Plan};
use crate::record::{Consent, Fact};
use crate::start_order::{StartOrder, Turn};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use vocabulary::{PlanId, ServerId, SiteId, WallTime};

/// The hold of those whose turn has not come.
const WAITS_FOR_TURN: &str = "F0214";

/// The start of a site: under way until `ended`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColdStart {
    /// What was agreed to.
    pub order: StartOrder,
    /// By whom.
    pub principals: BTreeSet<String>,
    /// Those whose turn has not come.
    pub waiting: BTreeSet<ServerId>,
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
        self.order.turns.iter().filter(|turn| self.waiting.contains(&turn.server))
    }
}

impl Ledger {
    /// The site in whose start this server waits for its turn.
    pub fn waits_for_turn(&self, server: &ServerId) -> Option<&SiteId> {
        self.cold_starts.iter().find(|(_, start)| start.waiting.contains(server)).map(|(site, _)| site)
    }

    pub(super) fn apply_site(&mut self, fact: &Fact, at: WallTime) {
        match fact {
            Fact::ColdStart { order, principals } => {
                let start = ColdStart {
                    waiting: order.turns.iter().map(|turn| turn.server.clone()).collect(),
                    order: (**order).clone(),
                    principals: principals.clone(),
                    begun: BTreeMap::new(),
                    passed: BTreeMap::new(),
                    since: at,
                    moved: at,
                    ended: None,
                };
                // their words are used up by it
                self.consents.retain(|given| !matches!(&given.to, Consent::SiteStart { site, .. } if *site == order.site));
                self.cold_starts.insert(order.site.clone(), start);
            }
            Fact::ColdStartPassed { site, server, reason } => {
                if let Some(start) = self.cold_starts.get_mut(site) {
                    start.waiting.remove(server);
                    start.passed.insert(server.clone(), reason.clone());
                    start.moved = at;
                }
                if let Some(row) = self.servers.get_mut(server) {
                    row.held = row.held.take().filter(|(code, ..)| code != WAITS_FOR_TURN);
                }
            }
            Fact::ColdStartEnded { site, text } => {
                if let Some(start) = self.cold_starts.get_mut(site) {
                    start.waiting.clear();
                    start.ended = Some((at, text.clone()));
                }
                self.forget_held(WAITS_FOR_TURN);
            }
            _ => {}
        }
    }

    /// Whoever restarts a server that waits for its turn has given it its turn.
    pub(super) fn take_turn(&mut self, plan: &Plan, at: WallTime) {
        let Some(server) = plan.server().filter(|_| plan.body().kind == Kind::Restart) else { return };
        for start in self.cold_starts.values_mut() {
            if start.waiting.remove(server) {
                start.begun.insert(server.clone(), plan.id());
                start.moved = at;
            }
        }
    }
}
