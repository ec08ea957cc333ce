//! `understudy failover list`: every failover with its length and end.

use crate::exit::Failure;
use crate::render::{Look, length, table, utc};
use crate::session::Session;
use api::view::PlanSummary;

/// Lists them.
pub async fn list(session: &Session) -> Result<(), Failure> {
    let seen = session.view::<Vec<PlanSummary>>("/v1/failovers").await?;
    session.show(&seen, |failovers| text(failovers, session.look))
}

fn text(failovers: &[PlanSummary], look: Look) -> String {
    if failovers.is_empty() {
        return "there was no failover yet".to_owned();
    }
    let row = |plan: &PlanSummary| {
        let took = plan.closed.map(|at| length(at.saturating_sub(plan.sealed)));
        vec![
            plan.id.clone(),
            plan.server.clone().unwrap_or_default(),
            plan.from.join(", "),
            plan.to.clone(),
            utc(plan.sealed),
            took.unwrap_or_else(|| format!("in {}", plan.stage.as_deref().unwrap_or("place"))),
            plan.state.clone(),
            plan.result.clone().unwrap_or_default(),
        ]
    };
    let header = ["PLAN", "SERVER", "FROM", "TO", "SEALED", "TOOK", "STATE", "RESULT"];
    table(&header, failovers.iter().map(row).collect(), look.width)
}
