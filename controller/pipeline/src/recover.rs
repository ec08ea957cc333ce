//! After a restart: the ledger is folded, proofs are void, and every open plan looks at the world again. A plan that had not begun to
//! fence is closed: the windows that led to it are gone. So is a restart by a verdict that had not begun to stop its machine. A plan that had
//! begun is carried through.

use crate::ledger::PlanRow;
use crate::out::Out;
use crate::plan::Kind;
use crate::record::Ended;
use crate::state::State;
use crate::work::{Work, limits};
use crate::{intents, s3_fence, s9_return};
use vocabulary::Span;

/// Re-makes the works of open plans and of standing orders.
pub fn recover(state: &mut State, out: &mut Out) {
    if state.ledger.restored.is_some() {
        // what was under way when the backup was taken is looked at by nobody before the store is adopted, and is at an end then
        return;
    }
    for work in s9_return::resume(state, out) {
        intents::keep(state, work);
    }
    let open: Vec<PlanRow> = state.ledger.open_plans().cloned().collect();
    for row in open {
        let mut work = Work::new(row.plan.clone(), row.next_op, false, out.now);
        work.resumed = true;
        let kind = row.plan.body().kind;
        let decided_anew = kind == Kind::Failover || (kind == Kind::Restart && row.by_verdict);
        if decided_anew && !row.begun && !row.owned {
            let ended = Ended {
                code: "F0301".to_owned(),
                reason: "the controller restarted before the first effect; the server is looked at anew".to_owned(),
                target_failed: true,
            };
            s9_return::close(state, &mut work, out, Err(ended));
            continue;
        }
        let age = Span(out.wall.max(state.ledger.newest).0.saturating_sub(row.times.0.0));
        if kind == Kind::Restart && !row.begun && age > limits::PLAN_EXPIRES {
            let reason = format!("it was to begin {age} ago, and nobody knows whether it is still wanted");
            let ended = Ended { code: "F0304".to_owned(), reason, target_failed: false };
            s9_return::close(state, &mut work, out, Err(ended));
            continue;
        }
        s3_fence::begin(state, &mut work, out.now);
        intents::keep(state, work);
    }
}
