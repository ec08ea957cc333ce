//! Sites and their starts, read and agreed to. It decides nothing.

use crate::answer::{Answer, name};
use crate::context::{Context, Peer as Caller};
use crate::present;
use crate::request::StartSite;
use crate::view::{AcceptedView, LeftOutView, SiteStartView, SiteView, StartedView, TurnView};
use axum::Json;
use axum::extract::{ConnectInfo, Path, State as Extension};
use pipeline::cold_start::{self, Stands};
use pipeline::event::Intent;
use pipeline::intents::sites;
use pipeline::ledger::ColdStart;
use pipeline::record::Consent;
use pipeline::start_order::Turn;
use pipeline::{State, consent};
use vocabulary::{Instant, SiteId};

/// `GET /v1/sites`.
pub async fn sites(Extension(context): Extension<Context>) -> Answer<Vec<SiteView>> {
    Ok(Json(context.engine.query(|state| state.estate.sites.keys().map(|site| row(state, site)).collect()).await?))
}

fn row(state: &State, site: &SiteId) -> SiteView {
    let there = |machine| state.estate.machines.get(machine).is_some_and(|document| document.site == *site);
    let wanted = state.ledger.servers.values().filter(|row| row.desired);
    let servers = wanted.filter(|row| row.placement.as_ref().is_some_and(|placement| there(&placement.machine))).count();
    let waiting = state.ledger.cold_starts.get(site).map_or(0, |start| start.waiting().count());
    SiteView { name: site.to_string(), servers, waiting }
}

/// `GET /v1/sites/{id}/start`: the start that is under way, or what would be done.
pub async fn start(Extension(context): Extension<Context>, Path(id): Path<String>) -> Answer<SiteStartView> {
    let site: SiteId = name(&id, "site")?;
    let now = context.now();
    Ok(Json(context.engine.query(move |state| view(state, &site, now)).await??))
}

/// `POST /v1/sites/{id}/start`: a person agrees.
pub async fn agree(
    Extension(context): Extension<Context>,
    ConnectInfo(peer): ConnectInfo<Caller>,
    Path(id): Path<String>,
    Json(StartSite { hash, reason }): Json<StartSite>,
) -> Answer<AcceptedView> {
    let site: SiteId = name(&id, "site")?;
    let plan = context.engine.intent(peer.principal(), Intent::StartSite { site, hash, reason }).await?;
    Ok(Json(AcceptedView { plan: plan.map(|plan| plan.to_string()) }))
}

fn view(state: &State, site: &SiteId, now: Instant) -> Result<SiteStartView, vocabulary::Fault> {
    sites::known(state, site)?;
    let before = state.ledger.cold_starts.get(site);
    let under_way = before.filter(|start| start.ended.is_none());
    let (order, left_out) = match under_way {
        Some(start) => (start.order.clone(), std::collections::BTreeMap::new()),
        None => cold_start::propose(state, site, now),
    };
    let shown_turns = match under_way {
        Some(start) => turns(state, start, now),
        None => order.turns.iter().map(|turn| shown(turn, "waits", None)).collect(),
    };
    let hash = order.hash();
    let to = Consent::SiteStart { site: site.clone(), hash: hash.clone() };
    let ended = |start: &ColdStart| {
        let (at, result) = start.ended.clone()?;
        Some(StartedView { since: start.since.0, ended: at.0, result, turns: turns(state, start, now) })
    };
    Ok(SiteStartView {
        site: site.to_string(),
        state: if under_way.is_some() { "under-way" } else { "proposed" }.to_owned(),
        hash,
        agreed: present::agreed(state, now, |given| *given == to),
        needed: consent::needed(state),
        inrush: state.estate.settings.guard.inrush as usize,
        turns: shown_turns,
        left_out: left_out.into_iter().map(|(server, reason)| LeftOutView { server: server.to_string(), reason }).collect(),
        last: before.and_then(ended),
    })
}

fn turns(state: &State, start: &ColdStart, now: Instant) -> Vec<TurnView> {
    let each = |(turn, stands): (Turn, Stands)| {
        let (word, text) = match stands {
            Stands::Waits(why) => ("waits", Some(why)),
            Stands::Starting(plan) => ("starting", Some(plan.to_string())),
            Stands::Started => ("started", None),
            Stands::Failed(why) => ("failed", Some(why)),
            Stands::Passed(why) => ("passed", Some(why)),
        };
        shown(&turn, word, text)
    };
    cold_start::progress(state, start, now).into_iter().map(each).collect()
}

fn shown(turn: &Turn, state: &str, text: Option<String>) -> TurnView {
    TurnView {
        server: turn.server.to_string(),
        machine: turn.machine.to_string(),
        after: turn.after.iter().map(ToString::to_string).collect(),
        state: state.to_owned(),
        text,
    }
}
