//! `understudy server show`: one server in full.

use crate::exit::Failure;
use crate::render::{length, now_ms, on, table, utc};
use crate::session::Session;
use api::view::ServerView;
use vocabulary::ServerId;

/// Shows it.
pub async fn show(session: &Session, server: &ServerId) -> Result<(), Failure> {
    let seen = session.view::<ServerView>(&format!("/v1/servers/{server}")).await?;
    session.show(&seen, |server| text(server, now_ms()))
}

fn text(server: &ServerView, now: u64) -> String {
    let since = |at: u64| format!("since {} ({} ago)", utc(at), length(now.saturating_sub(at)));
    let mut rows: Vec<Vec<String>> = Vec::new();
    let mut add = |name: &str, value: String| rows.push(vec![name.to_owned(), value]);
    add("state", server.state.clone());
    if let Some(ms) = server.serving_ms {
        add("serves", since(now.saturating_sub(ms)));
    }
    add("is to be", server.desired.clone());
    add("group", format!("{}, tier {}, mode {}", server.group, server.tier, server.mode));
    if let Some(epoch) = server.epoch {
        add("placement", format!("epoch {epoch}"));
    }
    if let Some(plan) = &server.plan {
        add("plan", format!("{} ({}) to {}, in {}", plan.id, plan.kind, plan.to, plan.stage.as_deref().unwrap_or("no stage")));
    }
    if let Some((at, kind)) = &server.symptom {
        add("symptom", format!("{kind}, {}", since(*at)));
    }
    if let Some(held) = &server.held {
        add("held", format!("{} {}: {}", held.code, since(held.since), held.reason));
        add("ends", held.ends.clone());
    }
    if let Some(waits) = &server.proposal {
        let plan: String = waits.hash.chars().take(12).collect();
        add("waits", format!("to move to {} (plan {plan}), {}; {} must agree", waits.to, since(waits.since), waits.needed));
        for agreed in &waits.agreed {
            add("agreed", format!("{}, for another {}", agreed.principal, length(agreed.left_ms)));
        }
    }
    for (vantage, outcome) in &server.checks {
        add("check", format!("from {vantage}: {outcome}"));
    }
    table(&["server", &on(&server.name, server.machine.as_deref())], rows, None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::tests::{NOW, server};
    use api::view::{AgreedView, ProposalView};

    #[test]
    fn since_when_it_serves() {
        let serving = ServerView { serving_ms: Some(245_000), ..server("web1", Some("m1"), "running") };
        insta::assert_snapshot!(text(&serving, NOW));
        let agreed = vec![AgreedView { principal: "uid 7".into(), left_ms: 61_000 }];
        let (hash, from, to) = ("4be1".repeat(16), vec!["m1".to_owned()], "m3".to_owned());
        let proposal = Some(ProposalView { hash, from, to, since: NOW - 5_000, agreed, needed: 2 });
        let waiting = text(&ServerView { proposal, ..serving.clone() }, NOW);
        assert!(waiting.contains("to move to m3 (plan 4be14be14be1), since ") && waiting.contains("2 must agree"), "{waiting}");
        assert!(waiting.contains("uid 7, for another 1m 01s"), "{waiting}");
        let silent = ServerView { serving_ms: None, ..serving };
        assert!(!text(&silent, NOW).contains("serves"));
    }
}
