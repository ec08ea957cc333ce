//! `understudy failover report`: everything on record about one failover, on one page: for the ticket, the owner, the auditor.

use super::show;
use crate::exit::Failure;
use crate::limits;
use crate::render::{Look, length, offset, table, utc};
use crate::session::Session;
use api::view::FailoverReportView;
use console::Style;
use vocabulary::PlanId;

/// Prints it.
pub async fn report(session: &Session, id: PlanId) -> Result<(), Failure> {
    let seen = session.slow_view::<FailoverReportView>(&format!("/v1/failovers/{id}/report"), limits::REPORT_ANSWER).await?;
    session.show(&seen, |view| text(view, session.look))
}

fn text(view: &FailoverReportView, look: Look) -> String {
    let failover = &view.failover;
    let base = failover.suspected.unwrap_or(failover.plan.summary.sealed);
    let heading = |text: &str| look.paint(Style::new().bold(), text);
    let mut lines = vec![format!("estate {}", view.estate)];
    match view.restored_ms {
        Some(ms) => lines.push(format!("service after {}, counted from {}", length(ms), utc(base))),
        None => lines.push(format!("no service; counted from {}", utc(base))),
    }
    if !view.agreed.is_empty() {
        lines.push(format!("agreed to by {}", view.agreed.join(", ")));
    }
    lines.extend([String::new(), show::text(failover, look)]);
    if !view.stages.is_empty() {
        let row = |stage: &api::view::StageView| {
            let took = length(stage.end.saturating_sub(stage.start));
            vec![stage.stage.clone(), offset(stage.start, base), offset(stage.end, base), took]
        };
        let rows = view.stages.iter().map(row).collect();
        lines.extend([String::new(), heading("Where the time went"), table(&["STAGE", "FROM", "TO", "TOOK"], rows, look.width)]);
    }
    if !view.open_orders.is_empty() {
        lines.extend([String::new(), heading("Still open")]);
        lines.extend(view.open_orders.iter().map(|order| format!("  {order}")));
    }
    lines.extend([String::new(), heading("The journal")]);
    let entry = |entry: &api::view::EntryView| {
        let hash: String = entry.hash.chars().take(12).collect();
        format!("{:>8} {hash} {:>11} {}", entry.number, offset(entry.at, base), entry.text)
    };
    lines.extend(view.entries.iter().map(entry));
    let chain = &view.chain;
    lines.extend([
        String::new(),
        format!(
            "Entries {} to {} were read, each verified against the one before; {} of them are about something else.",
            chain.first, chain.last, chain.others
        ),
        format!("before them  {}", chain.previous),
        format!("the last     {}", chain.hash),
    ]);
    lines.join("\n")
}
