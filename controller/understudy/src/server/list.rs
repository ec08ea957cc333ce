//! `understudy server list`: every server with its machine and state.

use crate::exit::Failure;
use crate::render::{Look, length, on, table};
use crate::session::Session;
use api::view::ServerView;

/// Lists them.
pub async fn list(session: &Session) -> Result<(), Failure> {
    let seen = session.view::<Vec<ServerView>>("/v1/servers").await?;
    session.show(&seen, |servers| text(servers, session.look))
}

fn text(servers: &[ServerView], look: Look) -> String {
    let row = |server: &ServerView| {
        let wait = server.held.as_ref().map(|held| format!("{}: {}", held.code, held.reason));
        let plan = server.plan.as_ref().map(|plan| plan.id.clone());
        let symptom = server.symptom.as_ref().map(|(_, kind)| kind.clone());
        vec![
            on(&server.name, server.machine.as_deref()),
            server.state.clone(),
            server.serving_ms.map(length).unwrap_or_default(),
            server.group.clone(),
            server.tier.clone(),
            server.mode.clone(),
            wait.or(plan).or(symptom).unwrap_or_default(),
        ]
    };
    table(&["SERVER", "STATE", "SERVES FOR", "GROUP", "TIER", "MODE", "BECAUSE"], servers.iter().map(row).collect(), look.width)
}
