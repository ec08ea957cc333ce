//! `understudy hold` and `understudy resume`: the brake that a person pulls, for one server or for everything, and its end. Dangerous is the end:
//! what has failed meanwhile is failed over at once, so that a person types what is let go.

use crate::cli::{Hold, Resume};
use crate::confirm;
use crate::exit::Failure;
use crate::session::Session;
use api::view::{AcceptedView, ServerView, StatusView};
use vocabulary::ServerId;

/// What the core says of a server that waits only for the end of a hold.
const HELD: &str = "F0207";
/// What is typed to let the whole estate go on.
const EVERYTHING: &str = "everything";

/// Pulls it.
pub async fn hold(session: &Session, asked: Hold) -> Result<(), Failure> {
    let Hold { server, reason } = asked;
    let of = server.as_ref().map_or_else(|| "everything".to_owned(), ToString::to_string);
    let seen = session.order::<AcceptedView>("/v1/hold", &api::request::Hold { server: server.clone(), reason }).await?;
    let ends = server.map_or_else(|| "resume".to_owned(), |server| format!("resume {server}"));
    session.show(&seen, |_| {
        let command = session.command(&ends);
        format!("{of} is held: watched, and kept cut off where it is, but nothing new is done until `{command}`")
    })
}

/// Lets it go.
pub async fn resume(session: &Session, asked: Resume) -> Result<(), Failure> {
    let Resume { server, reason, yes } = asked;
    let waiting = if yes { Vec::new() } else { waiting(session, server.as_ref().map(ServerId::as_str)).await? };
    if !waiting.is_empty() {
        let name = server.as_ref().map_or(EVERYTHING, ServerId::as_str);
        let consequence = format!("What waits for this goes on at once:\n  {}", waiting.join("\n  "));
        confirm::typed(name, &consequence, false)?;
    }
    let of = server.as_ref().map_or_else(|| "everything".to_owned(), ToString::to_string);
    let seen = session.order::<AcceptedView>("/v1/resume", &api::request::Hold { server, reason }).await?;
    session.show(&seen, |_| format!("{of} goes on"))
}

/// What would go on: plans that stand still, and servers that have failed.
async fn waiting(session: &Session, of: Option<&str>) -> Result<Vec<String>, Failure> {
    let seen = session.view::<StatusView>("/v1/status").await?;
    let told = |server: &ServerView| {
        if let Some(plan) = &server.plan {
            return Some(format!("{}: {} ({}) to {}", server.name, plan.id, plan.kind, plan.to));
        }
        let held = server.held.as_ref().filter(|held| held.code == HELD)?;
        Some(format!(
            "{}: {}",
            server.name,
            server.symptom.as_ref().map_or(held.reason.as_str(), |(_, symptom)| symptom.as_str())
        ))
    };
    let meant = |server: &&ServerView| of.is_none_or(|of| of == server.name);
    Ok(seen.view.servers.iter().filter(meant).filter_map(told).collect())
}
