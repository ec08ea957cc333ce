//! One failover from the one chain: verdict, proof, commands; and as a pack, every entry with its hash and where the time went.

use super::read;
use crate::answer::{Answer, missing, name};
use crate::context::Context;
use crate::problem::Problem;
use crate::view::*;
use crate::{present, story};
use axum::Json;
use axum::extract::{Path, State as Extension};
use journal::Entry;
use pipeline::record::Fact;
use pipeline::stage::Stage;
use vocabulary::{Fault, PlanId, ServerId};

/// Most entries that a failover's story reads, from its first suspicion on.
const STORY: u64 = 100_000;
/// Most of them that a report shows.
const SHOWN: usize = 20_000;

/// `GET /v1/failovers/{id}`.
pub async fn failover(Extension(context): Extension<Context>, Path(id): Path<String>) -> Answer<FailoverView> {
    let id: PlanId = name(&id, "failover")?;
    let mut view = begun(&context, id).await?;
    if let Some((first, last)) = span(&context, id) {
        read(context.engine.history(), first.saturating_sub(1), last, |entry| tell(id, &mut view, entry)).await?;
    }
    Ok(Json(view))
}

/// `GET /v1/failovers/{id}/report`.
pub async fn failover_report(Extension(context): Extension<Context>, Path(id): Path<String>) -> Answer<FailoverReportView> {
    let id: PlanId = name(&id, "failover")?;
    let mut pack = Pack::new(begun(&context, id).await?);
    if let Some((first, last)) = span(&context, id) {
        // whoever asked for it stands right before its seal
        let after = first.saturating_sub(2);
        read(context.engine.history(), after, last, |entry| pack.take(id, entry)).await?;
    }
    let agreed_and_orders = move |state: &pipeline::State| {
        let agreed = state.ledger.plans.get(&id).map(|row| row.agreed.iter().cloned().collect()).unwrap_or_default();
        let orders = state.ledger.orders.iter().filter(|((of, ..), _)| *of == id);
        (agreed, orders.map(|((_, machine, what), reason)| format!("{machine}: {what} ({reason})")).collect())
    };
    let (agreed, open_orders) = context.engine.query(agreed_and_orders).await?;
    Ok(Json(pack.view(context.estate.clone(), agreed, open_orders)))
}

async fn begun(context: &Context, id: PlanId) -> Result<FailoverView, Problem> {
    let found = move |state: &pipeline::State| present::plan(state, id).ok_or_else(|| state.ledger.may_have_forgotten(id));
    let plan = context
        .engine
        .query(found)
        .await?
        .map_err(|forgotten| Problem(if forgotten { too_old(id) } else { missing("failover") }))?;
    Ok(FailoverView { plan, suspected: None, verdict: None, evidence: Vec::new(), proof: None, operations: Vec::new() })
}

fn too_old(id: PlanId) -> Fault {
    let message = format!("{id}, if it was a failover, is older than what is kept of the journal");
    Fault::new(
        56,
        message,
        "look at a backup of that time; `retention: {history: ...}` in the estate's settings says how long records are kept",
    )
}

/// The first and last entry of its story that are read.
fn span(context: &Context, id: PlanId) -> Option<(u64, u64)> {
    let (first, last) = context.engine.history().story(id)?;
    Some((first, last.min(first.saturating_add(STORY))))
}

/// One entry of a failover's story.
fn tell(id: PlanId, view: &mut FailoverView, entry: &Entry) {
    let server = view.plan.summary.server.as_deref();
    let ours = |of: &ServerId| server == Some(of.as_str());
    let at = entry.record.at.0;
    let before = at <= view.plan.summary.sealed;
    match &entry.record.fact {
        Fact::Suspected { server, .. } if before && ours(server) => {
            view.suspected.get_or_insert(at);
        }
        Fact::Cleared { server } if before && ours(server) => view.suspected = None,
        Fact::Verdict { server, symptom, evidence, .. } if before && ours(server) => {
            view.verdict = Some(symptom.clone());
            view.evidence.clone_from(evidence);
        }
        Fact::Proven { plan, machines, sets, evidence } if *plan == id => {
            let machines = machines.iter().map(|machine| machine.to_string()).collect();
            view.proof = Some(ProofView { machines, sets: sets.clone(), evidence: evidence.clone(), at });
        }
        Fact::Intent { plan, stage, op, agent, what } if *plan == id => view.operations.push(OperationView {
            op: op.to_string(),
            stage: stage.to_string(),
            agent: agent.clone(),
            what: what.clone(),
            asked: at,
            answered: None,
            took_ms: None,
            ok: None,
            read_back: None,
        }),
        Fact::Outcome { plan, op, ok, read_back, took, .. } if *plan == id => {
            let op = op.to_string();
            // asked lately: the newest are last
            if let Some(operation) = view.operations.iter_mut().rev().find(|operation| operation.op == op) {
                operation.answered = Some(at);
                operation.took_ms = Some(took.0);
                operation.ok = Some(*ok);
                operation.read_back = Some(read_back.clone());
            }
        }
        _ => {}
    }
}

/// A report in the making.
struct Pack {
    failover: FailoverView,
    entries: Vec<EntryView>,
    chain: ChainView,
    served: Option<u64>,
}

impl Pack {
    fn new(failover: FailoverView) -> Pack {
        Pack { failover, entries: Vec::new(), chain: ChainView::default(), served: None }
    }

    fn take(&mut self, id: PlanId, entry: &Entry) {
        if self.chain.first == 0 {
            self.chain.first = entry.number;
            self.chain.previous.clone_from(&entry.previous);
        }
        self.chain.last = entry.number;
        self.chain.hash.clone_from(&entry.hash);
        tell(id, &mut self.failover, entry);
        let at = entry.record.at.0;
        if let Fact::Heard { server, machine, .. } = &entry.record.fact {
            let summary = &self.failover.plan.summary;
            if summary.server.as_deref() == Some(server.as_str()) && summary.to == machine.as_str() {
                self.served.get_or_insert(at);
            }
        }
        let told = story::tell(entry);
        if self.is_about(id, entry, &told) && self.entries.len() < SHOWN {
            let hash = entry.hash.clone();
            self.entries.push(EntryView { number: entry.number, at, kind: told.kind, text: told.text, hash });
        } else {
            self.chain.others += 1;
        }
    }

    fn is_about(&self, id: PlanId, entry: &Entry, told: &WatchView) -> bool {
        let summary = &self.failover.plan.summary;
        if let Some(plan) = &told.plan {
            // what else is done with its machines later belongs to other plans
            return *plan == id.to_string();
        }
        let server = summary.server.as_deref();
        if let Fact::Intended { what, .. } = &entry.record.fact {
            let asked = what.strip_prefix("failover start ").and_then(|rest| rest.split(':').next());
            return asked.is_some() && asked == server;
        }
        // `machine m1` where somebody works on it
        let subject = told.subject.as_deref().map(|subject| subject.rsplit(' ').next().unwrap_or(subject));
        let machines = || summary.from.iter().chain([&summary.to]);
        subject.is_some_and(|subject| server == Some(subject) || machines().any(|machine| machine == subject))
    }

    fn view(self, estate: String, agreed: Vec<String>, open_orders: Vec<String>) -> FailoverReportView {
        let stages = stages(&self.failover, self.served);
        let base = self.failover.suspected.unwrap_or(self.failover.plan.summary.sealed);
        let restored_ms = self.served.map(|at| at.saturating_sub(base));
        FailoverReportView {
            estate,
            failover: self.failover,
            agreed,
            stages,
            restored_ms,
            open_orders,
            entries: self.entries,
            chain: self.chain,
        }
    }
}

/// Each stage lasts until the next one is entered; network and storage are rewired at once. Before the seal stand detect and decide.
fn stages(failover: &FailoverView, served: Option<u64>) -> Vec<StageView> {
    let summary = &failover.plan.summary;
    let mut stages = Vec::new();
    if let Some(suspected) = failover.suspected {
        stages.push(StageView { stage: Stage::Detect.to_string(), start: suspected, end: summary.sealed });
    }
    let end = summary.closed.or(served).unwrap_or(summary.sealed);
    let entered = &failover.plan.stages;
    for (stage, start) in entered {
        let later = entered.iter().map(|(_, at)| *at).filter(|at| at > start).min();
        stages.push(StageView { stage: stage.clone(), start: *start, end: later.unwrap_or(end.max(*start)) });
    }
    stages
}
