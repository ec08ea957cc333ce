//! `understudy report observe`: what would have been done to servers that are only observed. What ended by itself would have been a failover in vain,
//! so that it is counted apart.

use crate::cli::Report;
use crate::exit::Failure;
use crate::limits;
use crate::render::{Look, count, length, on, utc};
use crate::session::{Seen, Session};
use api::view::{ObserveReportView, ObservedView};
use console::Style;
use vocabulary::{Span, TierId};

/// How far back a tier is looked at before it may act.
pub const SINCE: Span = Span::seconds(28 * 86_400);

/// Runs a verb.
pub async fn run(session: &Session, verb: Report) -> Result<(), Failure> {
    let Report::Observe { since, tier } = verb;
    let seen = observed(session, since, tier.as_ref()).await?;
    session.show(&seen, |view| text(view, session.look))
}

/// Asks for it.
pub async fn observed(session: &Session, since: Span, tier: Option<&TierId>) -> Result<Seen<ObserveReportView>, Failure> {
    let tier = tier.map(|tier| format!("&tier={tier}")).unwrap_or_default();
    session.slow_view(&format!("/v1/reports/observe?since={since}{tier}"), limits::REPORT_ANSWER).await
}

/// On one page.
pub fn text(view: &ObserveReportView, look: Look) -> String {
    let length_of_it = length(view.until.saturating_sub(view.since));
    if view.observed.is_empty() {
        return "no server is only observed".to_owned();
    }
    let moved = view.outages.iter().filter(|outage| outage.to.is_some()).count();
    let by_itself = |outage: &&ObservedView| outage.to.is_some() && outage.end.as_deref() == Some("by-itself");
    let in_vain = view.outages.iter().filter(by_itself).count();
    let mut lines = vec![format!("{} only observed: {}", count(view.observed.len(), "server"), view.observed.join(", "))];
    if view.outages.is_empty() {
        lines.push(format!("in {length_of_it} no outage was concluded"));
        return lines.join("\n");
    }
    lines.push(format!(
        "in {length_of_it} {}: {moved} would have been failed over, {in_vain} of them came back by themselves",
        count(view.outages.len(), "outage")
    ));
    if view.cut_short {
        lines.push("there were more; these are the newest".to_owned());
    }
    for outage in &view.outages {
        lines.push(String::new());
        lines.extend(told(outage, look));
    }
    lines.join("\n")
}

fn told(outage: &ObservedView, look: Look) -> Vec<String> {
    let title = format!("{} {}: {}", utc(outage.suspected), on(&outage.server, Some(&outage.machine)), outage.symptom);
    let mut lines = vec![look.paint(Style::new().bold(), &title)];
    lines.extend(outage.evidence.iter().map(|evidence| format!("  {evidence}")));
    match (&outage.to, &outage.prediction) {
        (Some(to), Some(predicted)) => {
            let boot =
                if predicted.boot_recorded { "as recorded" } else { "by `detection.boot_time`, as far as it is not on record" };
            lines.push(format!(
                "  would have moved to {to} in about {}: detected in {}, cut off and the spare wired in {}, booted in {} ({boot})",
                length(predicted.total_ms),
                length(predicted.detect_ms),
                length(predicted.fence_ms),
                length(predicted.boot_ms)
            ));
        }
        (Some(to), None) => lines.push(format!("  would have moved to {to}")),
        (None, _) => lines.push("  would not have moved".to_owned()),
    }
    lines.extend(outage.held.iter().map(|held| format!("  held ({held})")));
    let lasted = outage.ended.map(|at| length(at.saturating_sub(outage.suspected)));
    lines.push(match (outage.end.as_deref(), lasted) {
        (Some("by-itself"), Some(lasted)) => format!("  came back by itself after {lasted}"),
        (Some(_), Some(lasted)) => format!("  somebody took it in hand after {lasted}"),
        _ => "  lasts".to_owned(),
    });
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::view::PredictionView;

    #[test]
    fn what_came_back_by_itself_is_counted_apart() {
        let prediction =
            PredictionView { detect_ms: 12_000, fence_ms: 10_000, boot_ms: 200_000, boot_recorded: true, total_ms: 222_000 };
        let outage = |end: Option<&str>, to: Option<&str>| ObservedView {
            server: "web1".into(),
            machine: "m1".into(),
            symptom: "hung".into(),
            evidence: vec!["silent".into()],
            suspected: 0,
            concluded: 12_000,
            ended: end.map(|_| 90_000),
            end: end.map(str::to_owned),
            to: to.map(str::to_owned),
            hash: None,
            held: Vec::new(),
            prediction: to.map(|_| prediction),
        };
        let view = ObserveReportView {
            since: 0,
            until: 86_400_000,
            observed: vec!["web1".into()],
            outages: vec![outage(Some("by-itself"), Some("m3")), outage(None, Some("m3")), outage(Some("by-hand"), None)],
            cut_short: false,
        };
        let told = text(&view, Look { colour: false, width: None });
        for part in [
            "3 outages: 2 would have been failed over, 1 of them came back by themselves",
            "would have moved to m3 in about 3m 42s",
            "booted in 3m 20s (as recorded)",
            "came back by itself after 1m 30s",
            "would not have moved",
            "lasts",
        ] {
            assert!(told.contains(part), "{part}: {told}");
        }
    }
}
