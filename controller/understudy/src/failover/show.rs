//! `understudy failover show`: one failover with its evidence, its proof, and every command with its seconds.

use crate::exit::Failure;
use crate::plan;
use crate::render::{Look, length, offset, table};
use crate::session::Session;
use api::view::{FailoverView, OperationView};
use console::Style;
use vocabulary::PlanId;

/// Shows it.
pub async fn show(session: &Session, id: PlanId) -> Result<(), Failure> {
    let seen = session.view::<FailoverView>(&format!("/v1/failovers/{id}")).await?;
    session.show(&seen, |view| text(view, session.look))
}

/// Times count from the first suspicion; where a person began it, from the sealing of the plan.
pub fn text(view: &FailoverView, look: Look) -> String {
    let base = view.suspected.unwrap_or(view.plan.summary.sealed);
    let heading = |text: &str| look.paint(Style::new().bold(), text);
    let mut lines = vec![plan::text(&view.plan, look)];
    let mut part = |title: &str, items: Vec<String>| {
        if !items.is_empty() {
            lines.extend([String::new(), heading(title)]);
            lines.extend(items.into_iter().map(|item| format!("  {item}")));
        }
    };
    let verdict = view.verdict.as_ref().map(|verdict| format!("{verdict}, first suspected {}", crate::render::utc(base)));
    part("Verdict", verdict.into_iter().chain(view.evidence.clone()).collect());
    if let Some(proof) = &view.proof {
        let first = format!("{} {} by {}", offset(proof.at, base), proof.machines.join(", "), proof.sets.join(" and "));
        part("Proof", std::iter::once(first).chain(proof.evidence.clone()).collect());
    }
    let rows: Vec<Vec<String>> = view.operations.iter().map(|operation| row(operation, base)).collect();
    if !rows.is_empty() {
        lines.push(String::new());
        lines.push(table(&["ASKED", "TOOK", "STAGE", "AGENT", "WHAT", "READ BACK"], rows, look.width));
    }
    lines.join("\n")
}

fn row(operation: &OperationView, base: u64) -> Vec<String> {
    let took = operation.answered.map_or("open".to_owned(), |at| length(at.saturating_sub(operation.asked)));
    let read = operation.read_back.clone().unwrap_or_default();
    let read = if operation.ok == Some(false) { format!("not done: {read}") } else { read };
    vec![offset(operation.asked, base), took, operation.stage.clone(), operation.agent.clone(), operation.what.clone(), read]
}
