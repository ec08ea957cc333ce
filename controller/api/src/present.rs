//! State into views: the one place. It reads, it never concludes: where the core has a word for something, that word is shown.

use crate::ladder;
use crate::view::*;
use engine::polls::{Counted, LATE_MS};
use pipeline::State;
use pipeline::consent;
use pipeline::fit;
use pipeline::ledger::{Consented, Hold, PlanRow, Proposal, Standing};
use pipeline::plan::Body;
use pipeline::record::{Consent, Subject};
use pipeline::s2_decide::{self, guard::Domain};
use pipeline::s3_fence;
use std::collections::BTreeMap;
use vocabulary::check::CheckOutcome;
use vocabulary::{Instant, MachineId, PlanId, ServerId, WallTime};

/// Everything at a glance.
pub fn status(state: &State, estate: &str, revision: u64, now: Instant) -> StatusView {
    StatusView {
        estate: estate.to_owned(),
        revision,
        journal: journal(state),
        blind: state.watch.blind_since.is_some(),
        restored: state.ledger.unadopted(),
        unheard: state.ledger.overruled.iter().filter(|(_, row)| row.until_seeded).map(|(agent, _)| agent.clone()).collect(),
        holds: holds(state),
        servers: state.estate.servers.keys().filter_map(|id| server(state, id, now)).collect(),
        machines: state.estate.machines.keys().filter_map(|id| machine(state, id, now)).collect(),
        plans: state.ledger.open_plans().map(summary).collect(),
        standing_orders: orders(state),
        dropped: 0,
        polls: PollsView::default(),
    }
}

/// Whether watching keeps up.
pub fn polls(counted: &Counted, machines: &[MachineView]) -> PollsView {
    let bounds = LATE_MS.into_iter().map(Some).chain([None]);
    PollsView {
        answered: counted.answered,
        silent: counted.silent,
        unreachable: machines.iter().filter(|machine| machine.trouble.is_some()).count() as u64,
        late: bounds.zip(&counted.late).map(|(at_most_ms, polls)| LateView { at_most_ms, polls: *polls }).collect(),
    }
}

fn holds(state: &State) -> Vec<HoldView> {
    let view = |(server, hold): (&Option<ServerId>, &Hold)| HoldView {
        server: server.as_ref().map(ToString::to_string),
        principal: hold.principal.clone(),
        reason: hold.reason.clone(),
        since: hold.since.0,
    };
    state.ledger.holds.iter().map(view).collect()
}

/// Everything that somebody works on.
pub fn maintenance(state: &State) -> Vec<MaintenanceView> {
    state.ledger.maintenance.keys().filter_map(|subject| in_maintenance(state, subject)).collect()
}

fn in_maintenance(state: &State, subject: &Subject) -> Option<MaintenanceView> {
    let maintenance = state.ledger.maintenance.get(subject)?;
    let (kind, name) = match subject {
        Subject::Server(server) => ("server", server.to_string()),
        Subject::Machine(machine) => ("machine", machine.to_string()),
    };
    Some(MaintenanceView {
        kind: kind.to_owned(),
        name,
        principal: maintenance.principal.clone(),
        reason: maintenance.reason.clone(),
        since: maintenance.since.0,
        until: maintenance.until.0,
    })
}

fn orders(state: &State) -> Vec<OrderView> {
    let view = |((plan, machine, what), reason): (&(PlanId, MachineId, String), &String)| OrderView {
        plan: plan.to_string(),
        machine: machine.to_string(),
        what: what.clone(),
        reason: reason.clone(),
    };
    state.ledger.orders.iter().map(view).collect()
}

/// A server; `None` if the estate has none of that name.
pub fn server(state: &State, id: &ServerId, now: Instant) -> Option<ServerView> {
    let profile = state.estate.servers.get(id)?;
    let row = state.ledger.servers.get(id);
    let placement = row.and_then(|row| row.placement.as_ref());
    let plan = state.ledger.open_plan_of(id).map(summary);
    let is_open = plan.is_some();
    let checks: BTreeMap<String, String> = state
        .watch
        .servers
        .get(id)
        .map(|watch| watch.vantages.iter().map(|(vantage, seen)| (vantage.to_string(), outcome(&seen.outcome))).collect())
        .unwrap_or_default();
    let held = row.and_then(|row| row.held.as_ref()).map(|(code, reason, ends, since)| HeldView {
        code: code.clone(),
        reason: reason.clone(),
        ends: ends.clone(),
        since: since.0,
    });
    let healthy = checks.values().any(|seen| seen == "healthy");
    let word = match (&plan, placement, row) {
        (Some(plan), _, _) => plan.kind.clone(),
        (None, None, _) => "never-placed".to_owned(),
        (None, Some(_), Some(row)) if !row.desired => "stopped".to_owned(),
        (None, Some(_), Some(row)) if row.held.is_some() => "held".to_owned(),
        (None, Some(_), Some(row)) if row.verdict.is_some() => "failed".to_owned(),
        (None, Some(_), Some(row)) if row.suspected.is_some() && !healthy => "suspect".to_owned(),
        (None, Some(_), _) if healthy => "running".to_owned(),
        (None, Some(_), _) => "unknown".to_owned(),
    };
    Some(ServerView {
        name: id.to_string(),
        group: profile.group.to_string(),
        tier: state.estate.tier_of(id).map(|(tier, _)| tier.to_string()).unwrap_or_default(),
        mode: s2_decide::mode(state, id).word().to_owned(),
        machine: placement.map(|placement| placement.machine.to_string()),
        epoch: placement.map(|placement| placement.epoch.0),
        state: word,
        desired: if row.is_some_and(|row| row.desired) { "running" } else { "stopped" }.to_owned(),
        checks,
        serving_ms: serving(state, id, now),
        symptom: row.and_then(|row| row.suspected.as_ref()).map(|(at, kind)| (at.0, kind.clone())),
        held,
        plan,
        maintenance: in_maintenance(state, &Subject::Server(id.clone()))
            .or_else(|| in_maintenance(state, &Subject::Machine(placement?.machine.clone()))),
        proposal: row.and_then(|row| row.proposed.as_ref()).filter(|_| !is_open).map(|it| proposal(state, id, it, now)),
    })
}

fn proposal(state: &State, id: &ServerId, proposal: &Proposal, now: Instant) -> ProposalView {
    let to = Consent::Plan { server: id.clone(), hash: proposal.hash.clone() };
    ProposalView {
        hash: proposal.hash.clone(),
        from: proposal.body.fence.iter().map(ToString::to_string).collect(),
        to: proposal.body.target.to_string(),
        since: proposal.since.0,
        agreed: agreed(state, now, |given| *given == to),
        needed: consent::needed(state),
    }
}

/// Whose word still holds.
pub(crate) fn agreed(state: &State, now: Instant, meant: impl Fn(&Consent) -> bool) -> Vec<AgreedView> {
    let given = state.ledger.consents.iter().filter(|given| meant(&given.to));
    let view = |given: &Consented| {
        let left = consent::left(state, given, now)?;
        Some(AgreedView { principal: given.principal.clone(), left_ms: left.0 })
    };
    given.filter_map(view).collect()
}

/// The guard, with every failure domain that has suspects.
pub fn guard(state: &State, now: Instant) -> GuardView {
    let suspect = |machine: &MachineId| SuspectView {
        machine: machine.to_string(),
        server: match state.ledger.standing(machine) {
            Standing::Bearing(server) => Some(server.to_string()),
            _ => None,
        },
        for_ms: state.watch.suspicions.get(machine).map_or(0, |suspicion| now.since(suspicion.first).0),
    };
    let view = |domain: Domain| {
        let name = domain.shared.to_string();
        let meant = |to: &Consent| matches!(to, Consent::LetGo { domain: of, machines } if *of == name && !machines.is_disjoint(&domain.suspects));
        DomainView {
            held: domain.is_held(),
            suspects: domain.suspects.iter().map(suspect).collect(),
            let_go: domain.let_go.iter().map(ToString::to_string).collect(),
            machines: domain.machines,
            held_from: domain.held_from,
            window_ms: domain.window.0,
            agreed: agreed(state, now, meant),
            name,
        }
    };
    GuardView {
        blind_ms: state.watch.blind_since.map(|since| now.since(since).0),
        needed: consent::needed(state),
        domains: s2_decide::guard::troubled(state, now).into_iter().map(view).collect(),
    }
}

/// The chain from what is seen of a server to what is done about it; `None` if the estate has none of that name.
pub fn why(state: &State, id: &ServerId, now: Instant, wall: WallTime) -> Option<WhyView> {
    let chain = pipeline::why::why(state, id, now, wall)?;
    let link = |(link, text): (pipeline::why::Link, String)| WhyLinkView { link: link.name().to_owned(), text };
    // the chain tells it where it matters
    let told = chain.iter().any(|(link, _)| *link == pipeline::why::Link::Ladder);
    let ladder = told.then(|| ladder::view(&s2_decide::ladder::of(state, id, None, (now, wall))));
    Some(WhyView { server: id.to_string(), chain: chain.into_iter().map(link).collect(), ladder })
}

/// For how long the server answers without a break, by the vantage point that has seen it for longest.
fn serving(state: &State, id: &ServerId, now: Instant) -> Option<u64> {
    let since = state.watch.servers.get(id)?.vantages.values().filter_map(|seen| seen.healthy_since).min()?;
    Some(now.since(since).0)
}

fn outcome(outcome: &CheckOutcome) -> String {
    match outcome {
        CheckOutcome::Healthy => "healthy".to_owned(),
        CheckOutcome::Wrong(what) => format!("wrong: {what}"),
        CheckOutcome::Partly(what) => format!("partly answered: {what}"),
        CheckOutcome::Silent(what) => format!("silent: {what}"),
        CheckOutcome::Dumping(what) => format!("dumping: {what}"),
        CheckOutcome::Failed(what) => format!("failed: {what}"),
        CheckOutcome::Unknown(why) => format!("unknown: {why}"),
    }
}

/// A machine; `None` if the estate has none of that name.
pub fn machine(state: &State, id: &MachineId, now: Instant) -> Option<MachineView> {
    let document = state.estate.machines.get(id)?;
    let row = state.ledger.machines.get(id);
    let watch = state.watch.machines.get(id);
    let enrolled = row.and_then(|row| row.enrolled.as_ref());
    let in_pool = state.estate.pools.values().any(|pool| pool.machines.contains(id)) || row.is_some_and(|row| row.pool.is_some());
    let (word, server, plan) = match state.ledger.standing(id) {
        Standing::Free if enrolled.is_none() => ("not-enrolled", None, None),
        Standing::Free if in_pool => ("spare", None, None),
        Standing::Free => ("free", None, None),
        Standing::Reserved(plan) => ("reserved", None, Some(plan)),
        Standing::Bearing(server) => ("bearing", Some(server), None),
        Standing::Quarantined { server, plan } => ("quarantine", server, Some(plan)),
    };
    let reading = watch.and_then(|watch| watch.last.as_ref());
    let power = match (reading, watch.and_then(|watch| watch.failing_since)) {
        (_, Some(_)) | (None, _) => "unknown".to_owned(),
        (Some((_, reading)), None) => format!("{:?}", reading.system_power).to_lowercase(),
    };
    Some(MachineView {
        name: id.to_string(),
        state: word.to_owned(),
        server: server.map(|id| id.to_string()),
        plan: plan.map(|plan| plan.to_string()),
        power,
        read_ms_ago: reading.map(|(at, _)| now.since(*at).0),
        trouble: watch.and_then(|watch| watch.failure.clone()),
        place: format!(
            "{} {} {}",
            document.site,
            document.rack,
            document.feeds.iter().map(|f| f.to_string()).collect::<Vec<_>>().join("+")
        ),
        serial: document.serial.clone(),
        returns_by_itself: enrolled.is_some_and(|enrolled| enrolled.returns_by_itself),
        health: reading.and_then(|(_, reading)| reading.health.clone()),
        foretells: state.ledger.foretold.get(id).map(|row| row.signs.clone()).unwrap_or_default(),
        ports: document.nics.iter().map(|nic| (nic.role.to_string(), nic.port_id().to_string())).collect(),
        outlets: document.outlets.iter().map(ToString::to_string).collect(),
        outlets_lack: s3_fence::usable_outlets(state, id).err(),
        outlets_cut: row.and_then(|row| row.outlets_cut).map(|plan| plan.to_string()),
        said: consent::that_off(state, id, now).map(|word| SaidView {
            people: word.people.into_iter().map(|(who, found)| (who, found.to_string())).collect(),
            needed: consent::needed(state),
        }),
        standing_orders: state.ledger.orders.keys().filter(|(_, of, _)| of == id).map(|(_, _, what)| what.clone()).collect(),
        maintenance: in_maintenance(state, &Subject::Machine(id.clone())),
    })
}

/// Every machine that some pool could give, with what it fits.
pub fn spares(state: &State, now: Instant) -> Vec<SpareView> {
    let mut spares: BTreeMap<MachineId, SpareView> = BTreeMap::new();
    for server in state.estate.servers.keys() {
        for machine in fit::candidates(state, server) {
            let reasons = fit::obstacles(state, server, &machine, now);
            let pools = || {
                let listed =
                    state.estate.pools.iter().filter(|(_, pool)| pool.machines.contains(&machine)).map(|(id, _)| id.to_string());
                let released = state.ledger.machines.get(&machine).and_then(|row| row.pool.as_ref()).map(|id| id.to_string());
                let all: std::collections::BTreeSet<String> = listed.chain(released).collect();
                all.into_iter().collect()
            };
            let view = spares.entry(machine.clone()).or_insert_with(|| SpareView {
                machine: machine.to_string(),
                pools: pools(),
                fits: Vec::new(),
                lacks: BTreeMap::new(),
            });
            if reasons.is_empty() {
                view.fits.push(server.to_string());
            } else {
                view.lacks.insert(server.to_string(), reasons);
            }
        }
    }
    spares.into_values().collect()
}

/// A plan in one line.
pub fn summary(row: &PlanRow) -> PlanSummary {
    let body = row.plan.body();
    let (word, result) = match &row.closed {
        None => ("open", None),
        Some(Ok(text)) => ("done", Some(text.clone())),
        Some(Err(ended)) => ("failed", Some(format!("{}: {}", ended.code, ended.reason))),
    };
    PlanSummary {
        id: row.plan.id().to_string(),
        kind: body.kind.to_string(),
        server: body.server.as_ref().map(|id| id.to_string()),
        from: body.fence.iter().map(|id| id.to_string()).collect(),
        to: body.target.to_string(),
        stage: row.entered.last().map(|(stage, _)| stage.to_string()),
        state: word.to_owned(),
        result,
        sealed: row.times.0.0,
        closed: row.times.1.map(|at| at.0),
    }
}

fn journal(state: &State) -> JournalView {
    let retention = &state.estate.settings.retention;
    let pruned = state.ledger.pruned.as_ref();
    JournalView {
        first: pruned.map_or(1, |pruned| pruned.entries + 1),
        history_ms: retention.history.0,
        at_least: retention.at_least,
        removed_at: pruned.map(|pruned| pruned.at.0),
    }
}

/// A plan in full.
pub fn plan(state: &State, id: PlanId) -> Option<PlanView> {
    let row = state.ledger.plans.get(&id)?;
    let body = row.plan.body();
    let waits = state
        .works
        .get(&id)
        .map(|work| {
            let open = work.tasks.iter().filter(|(_, task)| !task.is_confirmed());
            open.map(|(key, task)| format!("{key:?}: {}", task.reason.clone().unwrap_or_else(|| "no answer yet".into())))
                .collect()
        })
        .unwrap_or_default();
    Some(PlanView {
        summary: summary(row),
        hash: row.plan.hash().to_owned(),
        steps: body.steps.clone(),
        passed_over: body.passed_over.clone(),
        revisions: body.revisions.clone(),
        stages: row.entered.iter().map(|(stage, at)| (stage.to_string(), at.0)).collect(),
        waits,
        ladder: row.ladder.as_deref().map(ladder::view),
    })
}

/// The plan that waits for persons to agree; `None` if there is none.
pub fn proposed(state: &State, id: &ServerId, now: (Instant, WallTime)) -> Option<PlanView> {
    let proposal = state.ledger.servers.get(id)?.proposed.as_ref()?;
    let mut view = dry_run(state, &proposal.body, now);
    "proposed".clone_into(&mut view.summary.id);
    "proposed".clone_into(&mut view.summary.state);
    Some(view)
}

/// A plan that was not sealed: a dry run. It has no id and no stage, and the hash that a sealed one would have.
pub fn dry_run(state: &State, body: &Body, now: (Instant, WallTime)) -> PlanView {
    PlanView {
        summary: PlanSummary {
            id: "dry-run".to_owned(),
            kind: body.kind.to_string(),
            server: body.server.as_ref().map(|id| id.to_string()),
            from: body.fence.iter().map(|id| id.to_string()).collect(),
            to: body.target.to_string(),
            stage: None,
            state: "dry-run".to_owned(),
            result: None,
            sealed: 0,
            closed: None,
        },
        hash: body.hash(),
        steps: body.steps.clone(),
        passed_over: body.passed_over.clone(),
        revisions: body.revisions.clone(),
        stages: Vec::new(),
        waits: Vec::new(),
        ladder: body.server.as_ref().map(|id| ladder::view(&s2_decide::ladder::of(state, id, Some(&body.target), now))),
    }
}

/// An agent.
pub fn agent(view: &engine::AgentView) -> AgentStateView {
    let (word, reason) = match &view.hello {
        Err(reason) => ("unreachable", Some(reason.clone())),
        Ok(_) if view.older.is_some() => {
            let text = view.older.as_ref().map(|evidence| {
                let agent = &view.agent;
                format!(
                    "F1008: its memory is an older copy: {}; `understudy agent readopt {agent}` seeds it",
                    evidence.join("; ")
                )
            });
            ("untrusted", text)
        }
        Ok(hello) if hello.trusted => ("trusted", view.not_renewed.clone()),
        Ok(_) => {
            let text = format!("its memory is empty, older or copied; `understudy agent readopt {}` seeds it", view.agent);
            ("untrusted", Some(text))
        }
    };
    let entries = view.hello.as_ref().map(|hello| hello.entries.as_slice()).unwrap_or_default();
    AgentStateView {
        name: view.agent.clone(),
        address: view.address.map(|address| address.to_string()),
        state: word.to_owned(),
        reason,
        resources: entries.len(),
        barred: entries.iter().filter(|entry| entry.barred.is_some()).count(),
        epoch: entries.iter().map(|entry| entry.epoch.0).max().unwrap_or(0),
        certificate_until: view.certificate_until.map(|until| until.0),
    }
}
