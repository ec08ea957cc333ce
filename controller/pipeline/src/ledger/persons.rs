//! How what persons say is folded: holds, maintenance, words of consent. Total, and decides nothing.

use super::{CONSENTS_MAX, Consented, Hold, Ledger, Maintenance, may_hold};
use crate::record::{Consent, Fact};
use std::collections::BTreeSet;
use vocabulary::{ServerId, WallTime};

impl Ledger {
    pub(super) fn apply_brake(&mut self, fact: &Fact, at: WallTime) {
        match fact {
            Fact::Hold { server, principal, reason } => {
                let hold = Hold { principal: principal.clone(), reason: reason.clone(), since: at };
                self.holds.insert(server.clone(), hold);
            }
            Fact::Resumed { server, .. } => {
                self.holds.remove(server);
                self.forget_held("F0207");
            }
            Fact::Maintenance { subject, until, principal, reason } => {
                let (principal, reason) = (principal.clone(), reason.clone());
                let maintenance = Maintenance { principal, reason, since: at, until: *until };
                self.maintenance.insert(subject.clone(), maintenance);
            }
            Fact::MaintenanceEnded { subject, .. } => {
                self.maintenance.remove(subject);
                self.forget_held("F0208");
            }
            _ => {}
        }
    }

    pub(super) fn apply_consented(&mut self, to: &Consent, principal: &str, at: WallTime) {
        let fresh = Consented { to: to.clone(), principal: principal.to_owned(), at };
        let again = |before: &Consented| (&before.to, &before.principal) == (&fresh.to, &fresh.principal);
        self.consents.retain(|before| !again(before) && may_hold(before.at, at));
        self.consents.push(fresh);
        let surplus = self.consents.len().saturating_sub(CONSENTS_MAX);
        self.consents.drain(..surplus);
        if matches!(to, Consent::LetGo { .. }) {
            self.forget_held("F0202");
        }
    }

    /// Nobody's word outlives what it was about.
    pub(super) fn forget_consents(&mut self, about: &ServerId) -> BTreeSet<Consented> {
        let of = |consented: &Consented| matches!(&consented.to, Consent::Plan { server, .. } if server == about);
        let (about, others) = std::mem::take(&mut self.consents).into_iter().partition(of);
        self.consents = others;
        BTreeSet::from_iter::<Vec<_>>(about)
    }
}
