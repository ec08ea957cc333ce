//! `understudy plan show`: a plan in full: what is done by whom, what was passed over, how far it is, what it waits for.

use crate::cli::Plan;
use crate::exit::Failure;
use crate::render::{Look, length, offset, table, utc};
use crate::session::Session;
use api::view::{LadderView, PlanView};
use console::Style;

/// Runs a verb.
pub async fn run(session: &Session, verb: Plan) -> Result<(), Failure> {
    let Plan::Show { plan } = verb;
    let seen = session.view::<PlanView>(&format!("/v1/plans/{plan}")).await?;
    session.show(&seen, |view| text(view, session.look))
}

/// What a plan is about, in one line.
pub fn title(plan: &PlanView) -> String {
    let summary = &plan.summary;
    let what = match (&summary.server, summary.from.is_empty()) {
        (Some(server), true) => format!("{server} on {}", summary.to),
        (Some(server), false) => format!("{server} from {} to {}", summary.from.join(", "), summary.to),
        (None, _) => summary.to.clone(),
    };
    format!("{} {} of {what}: {}", summary.id, summary.kind, summary.state)
}

/// How it could be brought back, and in what time.
fn ladder_lines(ladder: &LadderView) -> Vec<String> {
    let lasted = |lasted: u64| format!(", of which {} were over", length(lasted));
    let target = |target: u64| format!("recovery target {}{}", length(target), ladder.lasted_ms.map(lasted).unwrap_or_default());
    ladder.target_ms.map(target).into_iter().chain(ladder.rungs.iter().map(|rung| rung.text.clone())).collect()
}

/// A plan in full.
pub fn text(plan: &PlanView, look: Look) -> String {
    let summary = &plan.summary;
    let heading = |text: &str| look.paint(Style::new().bold(), text);
    let mut lines = vec![heading(&title(plan))];
    if summary.sealed > 0 {
        let took = summary.closed.map(|at| format!(", closed after {}", length(at.saturating_sub(summary.sealed))));
        lines.push(format!("sealed {}{}", utc(summary.sealed), took.unwrap_or_default()));
    }
    lines.push(format!("hash {}", plan.hash));
    if let Some(result) = &summary.result {
        lines.push(format!("result: {result}"));
    }
    let steps = plan
        .steps
        .iter()
        .map(|step| vec![step.stage.to_string(), step.agent.clone(), step.what.clone(), step.deadline.to_string()]);
    lines.extend([String::new(), table(&["STAGE", "AGENT", "STEP", "DEADLINE"], steps.collect(), look.width)]);
    let mut list = |title: &str, items: Vec<String>| {
        if !items.is_empty() {
            lines.extend([String::new(), heading(title)]);
            lines.extend(items.into_iter().map(|item| format!("  {item}")));
        }
    };
    list("Passed over", plan.passed_over.iter().map(|it| format!("{}: {}", it.machine, it.reason)).collect());
    let entered = |(stage, at): &(String, u64)| format!("{:>9} {stage}", offset(*at, summary.sealed));
    list("Predicted", plan.ladder.iter().flat_map(ladder_lines).collect());
    list("Stages", plan.stages.iter().map(entered).collect());
    list("Waits for", plan.waits.clone());
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn what_was_predicted_is_told_with_the_target_it_was_held_to() {
        let rung = |way: &str, text: &str| {
            serde_json::json!({
                "way": way, "machine": "m3", "stands": "first", "why": "", "needs_person": false, "predicted_ms": 1, "shares": [], "text": text
            })
        };
        let view = |ladder: serde_json::Value| -> PlanView {
            serde_json::from_value(serde_json::json!({
                "id": "P7", "kind": "failover", "server": "web1", "from": ["m1"], "to": "m3", "stage": null, "state": "open", "result": null,
                "sealed": 0, "closed": null, "hash": "abc", "steps": [], "passed_over": [], "revisions": {}, "stages": [], "waits": [],
                "ladder": ladder,
            }))
            .unwrap()
        };
        let look = Look { colour: false, width: None };
        let rungs = [rung("replace", "replace on m3 in 24s"), rung("restart", "restart on m1 in 95s")];
        let told = text(&view(serde_json::json!({ "target_ms": 60_000, "lasted_ms": 12_000, "rungs": rungs })), look);
        let wanted =
            "Predicted\n  recovery target 1m 00s, of which 12.0 s were over\n  replace on m3 in 24s\n  restart on m1 in 95s";
        assert!(told.contains(wanted), "{told}");
        assert!(!text(&view(serde_json::Value::Null), look).contains("Predicted"));
    }
}
