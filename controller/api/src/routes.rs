//! The routes: each adds an intent or reads a view.

use crate::adopt;
use crate::answer::{Answer, PAGE, missing, name};
use crate::bmc::{BmcView, LightView, MachineFullView, ScopeWord, SurveyView};
use crate::context::{BODY_BYTES_MAX, Context, Peer as Caller};
use crate::present;
use crate::problem::Problem;
use crate::report;
use crate::request::{
    AbortFailover, ApproveFailover, ConfirmOff, EndMaintenance, Hold, Identify, ResumeGuard, SetMaintenance, SetMode,
    StartFailover,
};
use crate::view::*;
use crate::{site, story, view};
use axum::Json;
use axum::body::Body;
use axum::extract::{ConnectInfo, Path, Query, State as Extension};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use futures::StreamExt;
use journal::Entry;
use pipeline::event::Intent;
use pipeline::s4_place;
use serde::Deserialize;
use std::collections::VecDeque;
use std::sync::Arc;
use vocabulary::{AgentId, Fault, MachineId, PlanId, ServerId, TierId};

type Peer = ConnectInfo<Caller>;

/// All routes.
pub fn router(context: Context) -> axum::Router {
    axum::Router::new()
        .route("/v1/status", get(status))
        .route("/v1/servers", get(servers))
        .route("/v1/servers/{id}", get(server))
        .route("/v1/servers/{id}/why", get(server_why))
        .route("/v1/servers/{id}/proposal", get(proposal))
        .route("/v1/servers/{id}/{verb}", post(server_verb))
        .route("/v1/machines", get(machines))
        .route("/v1/machines/{id}", get(machine))
        .route("/v1/machines/{id}/identify", post(identify))
        .route("/v1/machines/{id}/confirm-off", post(confirm_off))
        .route("/v1/machines/{id}/{verb}", post(machine_verb))
        .route("/v1/spares", get(spares))
        .route("/v1/plans/{id}", get(plan))
        .route("/v1/failovers", get(failovers).post(start_failover))
        .route("/v1/failovers/approve", post(approve_failover))
        .route("/v1/failovers/abort", post(abort_failover))
        .route("/v1/failovers/{id}", get(report::failover))
        .route("/v1/failovers/{id}/report", get(report::failover_report))
        .route("/v1/reports/observe", get(report::observe))
        .route("/v1/guard", get(guard))
        .route("/v1/guard/resume", post(resume_guard))
        .route("/v1/agents", get(agents))
        .route("/v1/agents/{id}/enroll", post(enroll_agent))
        .route("/v1/agents/{id}/readopt", post(readopt_agent))
        .route("/v1/backup", get(adopt::backup))
        .route("/v1/adoption", get(adopt::adoption).post(adopt::take))
        .route("/v1/sites", get(site::sites))
        .route("/v1/sites/{id}/start", get(site::start).post(site::agree))
        .route("/v1/tiers/{id}/mode", post(tier_mode))
        .route("/v1/hold", post(hold))
        .route("/v1/resume", post(resume))
        .route("/v1/maintenance", get(maintenance).post(set_maintenance))
        .route("/v1/maintenance/end", post(end_maintenance))
        .route("/v1/watch", get(watch))
        .fallback(|| async { Problem(missing("path")) })
        .layer(axum::extract::DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(context)
}

async fn status(Extension(context): Extension<Context>) -> Answer<StatusView> {
    let now = context.now();
    let revision = context.revision();
    let estate = context.estate.clone();
    let mut view = context.engine.query(move |state| present::status(state, &estate, revision, now)).await?;
    view.dropped = context.engine.dropped();
    view.polls = present::polls(&context.engine.polls(), &view.machines);
    Ok(Json(view))
}

async fn servers(Extension(context): Extension<Context>) -> Answer<Vec<ServerView>> {
    let now = context.now();
    let all =
        move |state: &pipeline::State| state.estate.servers.keys().filter_map(|id| present::server(state, id, now)).collect();
    Ok(Json(context.engine.query(all).await?))
}

async fn server(Extension(context): Extension<Context>, Path(id): Path<String>) -> Answer<ServerView> {
    let id: ServerId = name(&id, "server")?;
    let now = context.now();
    let found = context.engine.query(move |state| present::server(state, &id, now)).await?;
    found.map(Json).ok_or_else(|| Problem(missing("server")))
}

async fn server_why(Extension(context): Extension<Context>, Path(id): Path<String>) -> Answer<WhyView> {
    let id: ServerId = name(&id, "server")?;
    let (now, wall) = (context.now(), context.engine.clock().wall());
    let found = context.engine.query(move |state| present::why(state, &id, now, wall)).await?;
    found.map(Json).ok_or_else(|| Problem(missing("server")))
}

async fn proposal(Extension(context): Extension<Context>, Path(id): Path<String>) -> Answer<PlanView> {
    let id: ServerId = name(&id, "server")?;
    let (asked, now) = (id.clone(), (context.now(), context.engine.clock().wall()));
    let found =
        context.engine.query(move |state| (state.estate.servers.contains_key(&asked), present::proposed(state, &asked, now)));
    match found.await? {
        (_, Some(view)) => Ok(Json(view)),
        (false, None) => Err(Problem(missing("server"))),
        (true, None) => Err(Problem(Fault::new(
            211,
            format!("no failover of {id} waits to be approved"),
            format!("`understudy server why {id}` tells what is done about it, and why"),
        ))),
    }
}

async fn machines(Extension(context): Extension<Context>) -> Answer<Vec<MachineView>> {
    let now = context.now();
    let all =
        move |state: &pipeline::State| state.estate.machines.keys().filter_map(|id| present::machine(state, id, now)).collect();
    Ok(Json(context.engine.query(all).await?))
}

/// What is asked for beyond the machine itself.
#[derive(Deserialize)]
struct Wanted {
    survey: Option<ScopeWord>,
}

async fn machine(
    Extension(context): Extension<Context>,
    Path(id): Path<String>,
    Query(wanted): Query<Wanted>,
) -> Answer<MachineFullView> {
    let id: MachineId = name(&id, "machine")?;
    let (now, asked) = (context.now(), id.clone());
    let found = context.engine.query(move |state| present::machine(state, &asked, now)).await?;
    let machine = found.ok_or_else(|| Problem(missing("machine")))?;
    let survey = match wanted.survey {
        Some(scope) => Some(SurveyView::from(&context.engine.survey(&id, scope.into()).await?)),
        None => None,
    };
    let bmc = context.engine.found(&id).await.as_ref().map(BmcView::from);
    Ok(Json(MachineFullView { machine, bmc, survey }))
}

async fn identify(
    Extension(context): Extension<Context>,
    peer: Peer,
    Path(id): Path<String>,
    Json(asked): Json<Identify>,
) -> Answer<LightView> {
    let id: MachineId = name(&id, "machine")?;
    let asked_of = id.clone();
    let allowed = move |state: &pipeline::State| {
        let known = state.estate.machines.contains_key(&asked_of);
        known.then(|| pipeline::intents::may_touch_machine(state, &asked_of))
    };
    context.engine.query(allowed).await?.ok_or_else(|| Problem(missing("machine")))??;
    let light = context.engine.identify(&peer.0.principal(), &id, asked.light).await?;
    Ok(Json(LightView { machine: id.to_string(), light }))
}

async fn spares(Extension(context): Extension<Context>) -> Answer<Vec<SpareView>> {
    let now = context.now();
    Ok(Json(context.engine.query(move |state| present::spares(state, now)).await?))
}

async fn agents(Extension(context): Extension<Context>) -> Answer<Vec<AgentStateView>> {
    Ok(Json(context.engine.agents().await.iter().map(present::agent).collect()))
}

async fn plan(Extension(context): Extension<Context>, Path(id): Path<String>) -> Answer<PlanView> {
    let id: PlanId = name(&id, "plan")?;
    let found = context.engine.query(move |state| present::plan(state, id)).await?;
    found.map(Json).ok_or_else(|| Problem(missing("plan")))
}

async fn accept(context: &Context, peer: &Peer, intent: Intent) -> Answer<AcceptedView> {
    let plan = context.engine.intent(peer.0.principal(), intent).await?;
    Ok(Json(AcceptedView { plan: plan.map(|plan| plan.to_string()) }))
}

async fn server_verb(
    Extension(context): Extension<Context>,
    peer: Peer,
    Path((id, verb)): Path<(String, String)>,
) -> Answer<AcceptedView> {
    let server: ServerId = name(&id, "server")?;
    let intent = match verb.as_str() {
        "start" => Intent::StartServer { server },
        "stop" => Intent::StopServer { server },
        "restart" => Intent::RestartServer { server },
        _ => return Err(Problem(missing("verb"))),
    };
    accept(&context, &peer, intent).await
}

async fn machine_verb(
    Extension(context): Extension<Context>,
    peer: Peer,
    Path((id, verb)): Path<(String, String)>,
) -> Answer<AcceptedView> {
    let machine: MachineId = name(&id, "machine")?;
    let intent = match verb.as_str() {
        "enroll" => Intent::EnrolMachine { machine },
        "release" => Intent::ReleaseMachine { machine },
        _ => return Err(Problem(missing("verb"))),
    };
    accept(&context, &peer, intent).await
}

async fn confirm_off(
    Extension(context): Extension<Context>,
    peer: Peer,
    Path(id): Path<String>,
    Json(ConfirmOff { serial, found, reason }): Json<ConfirmOff>,
) -> Answer<AcceptedView> {
    let machine: MachineId = name(&id, "machine")?;
    accept(&context, &peer, Intent::ConfirmOff { machine, serial, found, reason }).await
}

async fn tier_mode(
    Extension(context): Extension<Context>,
    peer: Peer,
    Path(id): Path<String>,
    Json(request): Json<SetMode>,
) -> Answer<AcceptedView> {
    let tier: TierId = name(&id, "tier")?;
    accept(&context, &peer, Intent::SetTierMode { tier, mode: request.mode }).await
}

async fn hold(Extension(context): Extension<Context>, peer: Peer, Json(asked): Json<Hold>) -> Answer<AcceptedView> {
    accept(&context, &peer, Intent::Hold { server: asked.server, reason: asked.reason }).await
}

async fn resume(Extension(context): Extension<Context>, peer: Peer, Json(asked): Json<Hold>) -> Answer<AcceptedView> {
    accept(&context, &peer, Intent::Resume { server: asked.server, reason: asked.reason }).await
}

async fn maintenance(Extension(context): Extension<Context>) -> Answer<Vec<MaintenanceView>> {
    Ok(Json(context.engine.query(present::maintenance).await?))
}

async fn set_maintenance(
    Extension(context): Extension<Context>,
    peer: Peer,
    Json(SetMaintenance { subject, lasts, reason }): Json<SetMaintenance>,
) -> Answer<AcceptedView> {
    accept(&context, &peer, Intent::Maintain { subject, lasts, reason }).await
}

async fn end_maintenance(
    Extension(context): Extension<Context>,
    peer: Peer,
    Json(EndMaintenance { subject }): Json<EndMaintenance>,
) -> Answer<AcceptedView> {
    accept(&context, &peer, Intent::EndMaintenance { subject }).await
}

async fn start_failover(
    Extension(context): Extension<Context>,
    peer: Peer,
    Json(request): Json<StartFailover>,
) -> Result<Response, Problem> {
    if request.dry_run {
        let (now, wall) = (context.now(), context.engine.clock().wall());
        let dry = move |state: &pipeline::State| {
            let body = s4_place::failover(state, &request.server, now)?;
            Ok::<_, Fault>(present::dry_run(state, &body, (now, wall)))
        };
        return Ok(Json(context.engine.query(dry).await??).into_response());
    }
    let intent = Intent::StartFailover { server: request.server, reason: request.reason, hash: request.hash };
    accept(&context, &peer, intent).await.map(IntoResponse::into_response)
}

async fn approve_failover(
    Extension(context): Extension<Context>,
    peer: Peer,
    Json(ApproveFailover { server, hash, reason }): Json<ApproveFailover>,
) -> Answer<AcceptedView> {
    accept(&context, &peer, Intent::ApproveFailover { server, hash, reason }).await
}

async fn abort_failover(
    Extension(context): Extension<Context>,
    peer: Peer,
    Json(AbortFailover { server, reason }): Json<AbortFailover>,
) -> Answer<AcceptedView> {
    accept(&context, &peer, Intent::AbortFailover { server, reason }).await
}

async fn guard(Extension(context): Extension<Context>) -> Answer<GuardView> {
    let now = context.now();
    Ok(Json(context.engine.query(move |state| present::guard(state, now)).await?))
}

async fn resume_guard(
    Extension(context): Extension<Context>,
    peer: Peer,
    Json(ResumeGuard { domain, reason }): Json<ResumeGuard>,
) -> Answer<AcceptedView> {
    accept(&context, &peer, Intent::ResumeGuard { domain, reason }).await
}

async fn enroll_agent(Extension(context): Extension<Context>, peer: Peer, Path(id): Path<String>) -> Answer<serde_json::Value> {
    let agent: AgentId = name(&id, "agent")?;
    let bundle = context.engine.enroll_agent(peer.0.principal(), agent).await?;
    let value =
        serde_json::to_value(&bundle).map_err(|error| Fault::new(1004, error.to_string(), "look at the controller's log"))?;
    Ok(Json(value))
}

async fn readopt_agent(Extension(context): Extension<Context>, peer: Peer, Path(id): Path<String>) -> Answer<AgentStateView> {
    let agent: AgentId = name(&id, "agent")?;
    let hello = context.engine.readopt(peer.0.principal(), agent.clone()).await?;
    let hello = Ok(hello);
    let view = engine::AgentView {
        agent: agent.to_string(),
        address: None,
        hello,
        older: None,
        certificate_until: None,
        not_renewed: None,
    };
    Ok(Json(present::agent(&view)))
}

async fn failovers(Extension(context): Extension<Context>) -> Answer<Vec<PlanSummary>> {
    let of_kind = |row: &&pipeline::ledger::PlanRow| row.plan.body().kind == pipeline::plan::Kind::Failover;
    let all =
        context.engine.query(move |state| state.ledger.plans.values().filter(of_kind).map(present::summary).collect()).await?;
    Ok(Json(all))
}

/// Where to go on from.
#[derive(Debug, Deserialize)]
struct After {
    /// Entries after this number; without it, only what comes.
    after: Option<u64>,
}

/// Journal entries as sentences, one JSON object a line, for ever: from a number on, nothing lost and nothing twice.
async fn watch(Extension(context): Extension<Context>, Query(from): Query<After>) -> Result<Response, Problem> {
    let after = match from.after {
        Some(after) => after,
        None => context.revision(),
    };
    let (known, receiver) = context.engine.follow(after, PAGE).await?;
    let start = (context, known.into_iter().map(Arc::new).collect::<VecDeque<_>>(), receiver, after);
    let lines = futures::stream::unfold(start, |(context, mut waiting, mut receiver, mut last)| async move {
        loop {
            if let Some(entry) = waiting.pop_front() {
                if entry.number <= last {
                    continue;
                }
                last = entry.number;
                return Some((line(&entry), (context, waiting, receiver, last)));
            }
            if last < context.revision() {
                // more than a page was waiting
                let (known, fresh) = context.engine.follow(last, PAGE).await.ok()?;
                waiting.extend(known.into_iter().map(Arc::new));
                receiver = fresh;
                continue;
            }
            match receiver.recv().await {
                Ok(entry) if entry.number == last + 1 => waiting.push_back(entry),
                Ok(entry) if entry.number <= last => {}
                // a gap, or too slow: read on from the journal
                Ok(_) | Err(tokio::sync::broadcast::error::RecvError::Lagged(_)) => {
                    let (known, fresh) = context.engine.follow(last, PAGE).await.ok()?;
                    waiting.extend(known.into_iter().map(Arc::new));
                    receiver = fresh;
                }
                Err(tokio::sync::broadcast::error::RecvError::Closed) => return None,
            }
        }
    });
    let body = Body::from_stream(lines.map(Ok::<_, std::convert::Infallible>));
    Ok(([(http::header::CONTENT_TYPE, "application/x-ndjson")], body).into_response())
}

fn line(entry: &Entry) -> bytes::Bytes {
    let told: view::WatchView = story::tell(entry);
    let mut text = serde_json::to_vec(&told).unwrap_or_default();
    text.push(b'\n');
    text.into()
}
