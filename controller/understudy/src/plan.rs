//! `understudy plan show`: a plan in full: what is done by whom, what was passed over, how far it is, what it waits for.

use crate::cli::Plan;
use crate::exit::Failure;
use crate::render::{Look, length, offset, table, utc};
use crate::session::Session;
use api::view::PlanView;
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
    list("Stages", plan.stages.iter().map(entered).collect());
    list("Waits for", plan.waits.clone());
    lines.join("\n")
}
