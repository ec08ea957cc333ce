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
    for (vantage, outcome) in &server.checks {
        add("check", format!("from {vantage}: {outcome}"));
    }
    table(&["server", &on(&server.name, server.machine.as_deref())], rows, None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::tests::{NOW, server};

    #[test]
    fn since_when_it_serves() {
        let serving = ServerView { serving_ms: Some(245_000), ..server("web1", Some("m1"), "running") };
        insta::assert_snapshot!(text(&serving, NOW));
        let silent = ServerView { serving_ms: None, ..serving };
        assert!(!text(&silent, NOW).contains("serves"));
    }
}
