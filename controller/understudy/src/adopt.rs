//! `understudy adopt`: shows what a restored store would take from the agents, lets a person type the word, and agrees to that and nothing else.

use crate::cli::Adopt;
use crate::exit::{Exit, Failure};
use crate::render::{self, Look, length, now_ms, table};
use crate::session::Session;
use crate::{confirm, limits, out};
use api::request;
use api::view::{AdoptedView, AdoptionView, AgreedView};
use console::Style;
use vocabulary::Fault;

const PATH: &str = "/v1/adoption";
/// So much of a hash is shown.
const HASH_SHOWN: usize = 12;

/// Shows it, and agrees.
pub async fn adopt(session: &Session, arguments: Adopt) -> Result<(), Failure> {
    let seen = session.slow_view::<AdoptionView>(PATH, limits::AGENTS_ANSWER).await?;
    if arguments.dry_run {
        return session.show(&seen, |view| text(view, now_ms(), session.look));
    }
    let view = seen.view;
    if let Some(wanted) = arguments.hash.as_deref().filter(|wanted| wanted.is_empty() || !view.hash.starts_with(wanted)) {
        let message = format!("what would be adopted is {}, and not {wanted}", view.hash);
        let remedy = "`understudy adopt --dry-run` shows it; if it goes on changing, another controller is still at work";
        return Err(Failure::new(Exit::Changed, Fault::new(67, message, remedy)));
    }
    if !arguments.yes {
        let consequence = format!(
            "{}\n\nFrom then on the agents obey this store and no other. No machine's power is touched by it.",
            text(&view, now_ms(), session.look)
        );
        confirm::typed("adopt", &consequence, false)?;
    }
    let body = request::Adopt { hash: view.hash, reason: arguments.reason };
    let answer = session.order::<AdoptedView>(PATH, &body).await?;
    session.show(&answer, outcome)?;
    if !answer.view.adopted {
        let now = session.slow_view::<AdoptionView>(PATH, limits::AGENTS_ANSWER).await?.view;
        out::talk(&agreement(&now.agreed, now.needed));
    }
    let refused: Vec<&str> =
        answer.view.agents.iter().filter(|agent| agent.refused.is_some()).map(|a| a.agent.as_str()).collect();
    if refused.is_empty() {
        return Ok(());
    }
    let message = format!("{} did not take the ledger, and is only observed", refused.join(", "));
    Err(Failure::new(Exit::No, Fault::new(1005, message, "`understudy adopt` again, when it answers")))
}

fn outcome(adopted: &AdoptedView) -> String {
    if !adopted.adopted {
        return "you have agreed; nothing is taken before others have".to_owned();
    }
    let mut lines = vec!["adopted: from here on this store acts".to_owned()];
    for agent in &adopted.agents {
        lines.push(match &agent.refused {
            None => format!("  {} obeys it", agent.agent),
            Some(why) => format!("  {} does not: {why}", agent.agent),
        });
    }
    lines.join("\n")
}

fn agreement(agreed: &[AgreedView], needed: usize) -> String {
    let given: Vec<String> = agreed.iter().map(|given| format!("{}, for {}", given.principal, length(given.left_ms))).collect();
    let given = if given.is_empty() { String::new() } else { format!(": {}", given.join("; ")) };
    let people = if needed == 1 { "person has".to_owned() } else { "people have".to_owned() };
    format!("{} of {needed} {people} agreed{given}", agreed.len())
}

fn text(view: &AdoptionView, now: u64, look: Look) -> String {
    let heading = |text: &str| look.paint(Style::new().bold(), text);
    let mut lines = Vec::new();
    let hash: String = view.hash.chars().take(HASH_SHOWN).collect();
    match (view.entries, view.taken) {
        (Some(entries), Some(taken)) => lines.push(format!(
            "this store: a backup of {}, taken {} ago",
            render::entries(entries),
            length(now.saturating_sub(taken))
        )),
        _ => lines.push("this store is adopted, but for agents that were not heard then".to_owned()),
    }
    lines.push(format!("would be adopted ({hash}): counter {}, heard {}", view.counter, list(&view.heard)));
    let mut rows = |title: &str, header: &[&str], rows: Vec<Vec<String>>| {
        if !rows.is_empty() {
            lines.push(String::new());
            lines.push(heading(title));
            lines.push(table(header, rows, look.width));
        }
    };
    rows(
        "Not heard; what they keep is only observed until they are:",
        &["AGENT", "BECAUSE"],
        view.absent.iter().map(|it| vec![it.agent.clone(), it.why.clone()]).collect(),
    );
    rows(
        "Elsewhere than in the backup:",
        &["SERVER", "ON", "BEFORE", "PLAN"],
        view.placed
            .iter()
            .map(|it| {
                vec![
                    it.server.clone(),
                    it.machine.clone(),
                    it.before.clone().unwrap_or_else(|| "nowhere".into()),
                    it.plan.clone(),
                ]
            })
            .collect(),
    );
    rows(
        "Barred:",
        &["MACHINE", "BORE", "PLAN", "BECAUSE"],
        view.barred
            .iter()
            .map(|it| {
                vec![it.machine.clone(), it.server.clone().unwrap_or_else(|| "unknown".into()), it.plan.clone(), it.why.clone()]
            })
            .collect(),
    );
    rows(
        "Nobody can say where they are; each is held until a person has looked:",
        &["SERVER", "MAY BE ON", "BECAUSE"],
        view.undecided.iter().map(|it| vec![it.server.clone(), list(&it.may_be_on), it.why.clone()]).collect(),
    );
    rows(
        "Of no document, so that nothing is adopted:",
        &["KEPT BY AGENTS"],
        view.strange.iter().map(|it| vec![it.clone()]).collect(),
    );
    if !view.freed.is_empty() {
        lines.push(format!("\nreleased since: {}", list(&view.freed)));
    }
    let changes = view.placed.len() + view.barred.len() + view.undecided.len() + view.strange.len() + view.freed.len();
    if changes == 0 {
        lines.push("all that was heard is as the backup says".to_owned());
    }
    lines.push(format!("\n{}", agreement(&view.agreed, view.needed)));
    lines.join("\n")
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "nobody".to_owned() } else { names.join(", ") }
}
