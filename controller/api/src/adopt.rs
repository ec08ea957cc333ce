//! Backup and adoption: the bytes of a backup as they are read, and what a restored store takes from the agents. It decides nothing, and keeps
//! nothing of what it sends.

use crate::answer::{Answer, PAGE};
use crate::context::{Context, Peer as Caller};
use crate::present;
use crate::problem::Problem;
use crate::request::Adopt;
use crate::view::{AbsentView, AdoptedView, AdoptionView, BarredView, PlacedView, SeededView, UndecidedView};
use axum::Json;
use axum::body::Body;
use axum::extract::{ConnectInfo, State as Extension};
use axum::response::{IntoResponse, Response};
use pipeline::adopt;
use pipeline::adoption::Adoption;
use pipeline::record::Consent;
use pipeline::{State, consent};
use vocabulary::{Instant, PlanId};

/// `GET /v1/backup`: everything, as lines of JSON. It holds secrets; whoever asked is in the log.
pub async fn backup(Extension(context): Extension<Context>, ConnectInfo(peer): ConnectInfo<Caller>) -> Response {
    let lines = futures::stream::unfold(Some(context.engine.backup(&peer.principal())), |backup| async move {
        let mut backup = backup?;
        let read = move || (backup.more(PAGE), backup);
        match tokio::task::spawn_blocking(read).await {
            Ok((Ok(Some(bytes)), backup)) => Some((Ok(bytes::Bytes::from(bytes)), Some(backup))),
            Ok((Ok(None), _)) => None,
            // the reader finds that the end is missing
            Ok((Err(error), _)) => Some((Err(std::io::Error::other(error)), None)),
            Err(error) => Some((Err(std::io::Error::other(error)), None)),
        }
    });
    ([(http::header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response()
}

/// `GET /v1/adoption`: what would be taken from the agents, all asked now.
pub async fn adoption(Extension(context): Extension<Context>) -> Answer<AdoptionView> {
    let engine = context.engine.clone();
    let seen = context.engine.hear(move |state| {
        let now = engine.clock().now();
        state.ledger.has_to_adopt().then(|| view(state, &adopt::read(state, now), now))
    });
    seen.await?.map(Json).ok_or_else(|| Problem(adopt::nothing()))
}

/// `POST /v1/adoption`: a person agrees.
pub async fn take(
    Extension(context): Extension<Context>,
    ConnectInfo(peer): ConnectInfo<Caller>,
    Json(Adopt { hash, reason }): Json<Adopt>,
) -> Answer<AdoptedView> {
    let seeded = context.engine.adopt(peer.principal(), hash, reason).await?;
    let agents = seeded
        .into_iter()
        .map(|seeded| SeededView { agent: seeded.agent, refused: seeded.outcome.err().map(|fault| fault.message) });
    let agents: Vec<SeededView> = agents.collect();
    Ok(Json(AdoptedView { adopted: !agents.is_empty(), agents }))
}

fn view(state: &State, adoption: &Adoption, now: Instant) -> AdoptionView {
    let hash = adoption.hash();
    let to = Consent::Adopt { hash: hash.clone() };
    let plan = |epoch| PlanId(epoch).to_string();
    let restored = state.ledger.restored.as_ref();
    AdoptionView {
        entries: restored.map(|from| from.entries),
        taken: restored.map(|from| from.taken.0),
        hash,
        agreed: present::agreed(state, now, |given| *given == to),
        needed: consent::needed_to_adopt(state),
        counter: adoption.counter.0,
        heard: adoption.heard.iter().cloned().collect(),
        absent: adoption.absent.iter().map(|(agent, why)| AbsentView { agent: agent.clone(), why: why.clone() }).collect(),
        placed: adoption
            .placed
            .iter()
            .map(|placed| PlacedView {
                server: placed.server.to_string(),
                machine: placed.machine.to_string(),
                plan: plan(placed.epoch),
                before: placed.before.as_ref().map(|(machine, _)| machine.to_string()),
            })
            .collect(),
        barred: adoption
            .barred
            .iter()
            .map(|bar| BarredView {
                machine: bar.machine.to_string(),
                plan: plan(bar.epoch),
                server: bar.server.as_ref().map(ToString::to_string),
                why: bar.why.clone(),
            })
            .collect(),
        freed: adoption.freed.keys().map(ToString::to_string).collect(),
        undecided: adoption
            .undecided
            .iter()
            .map(|(server, undecided)| UndecidedView {
                server: server.to_string(),
                may_be_on: undecided.may_be_on.iter().map(ToString::to_string).collect(),
                why: undecided.why.clone(),
            })
            .collect(),
        strange: adoption.strange.iter().cloned().collect(),
    }
}
