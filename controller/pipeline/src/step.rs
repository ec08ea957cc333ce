//! The only door of the core: `step(State, Event) -> (State, Vec<Effect>)`.

use crate::effect::Effect;
use crate::event::{Event, Intent, Observation, What};
use crate::ledger::Standing;
use crate::out::Out;
use crate::plan::{Body, Plan};
use crate::record::Fact;
use crate::s1_detect;
use crate::s1_predict;
use crate::s2_decide::{self, Decision, Hold, guard};
use crate::stage::Stage;
use crate::state::{Life, State};
use crate::watch::{is_vantage, vantages};
use crate::work::Phase;
use crate::{cold_start, consent, drive, intents, memory, recover, s3_fence, s4_place, s9_return};
use std::collections::BTreeSet;
use vocabulary::{Epoch, Instant, MachineId, PlanId, ServerId, Span};

/// How often everything is looked at even if nothing happens.
const LOOK_AGAIN: Span = Span::ms(250);

/// Folds one event in and says what is to be done. Deterministic: equal state and event give equal results.
pub fn step(mut state: State, event: Event) -> (State, Vec<Effect>) {
    let mut out = Out::new(event.now, event.wall);
    match event.what {
        What::Replayed(record) => {
            state.ledger.apply(&record);
            let State { ledger, spent, .. } = &mut state;
            spent.retain(|plan, _| ledger.plans.contains_key(plan));
            return (state, Vec::new());
        }
        What::EstateLoaded(estate) => state.estate = estate,
        What::Started { key, lab, controller, lineage } => {
            state.life = Some(Life { key, lab, controller, lineage });
            state.watch.drawn_before = state.ledger.epoch;
            // a clock that was set back while nobody ran makes no word younger
            let wall = out.wall.max(state.ledger.newest);
            consent::notice(&mut state, out.now, wall);
            recover::recover(&mut state, &mut out);
            run_all(&mut state, &mut out);
        }
        What::Observed(Observation::Hello { agent, asked, hello }) => memory::hello(&mut state, &mut out, &agent, asked, &hello),
        What::Readopted { agent, principal } => {
            memory::readopted(&mut state, &mut out, agent, principal);
            run_all(&mut state, &mut out);
        }
        What::Observed(observation) => observed(&mut state, &mut out, &observation),
        What::Completed { op, outcome, took } => completed(&mut state, &mut out, op, &outcome, took),
        What::Intent { ticket, principal, intent } => {
            let approves = if let Intent::ApproveFailover { server, .. } = &intent { Some(server.clone()) } else { None };
            let mut answer = intents::accept(&mut state, &mut out, &principal, intent);
            if let Ok(Some(plan)) = &answer {
                run(&mut state, &mut out, *plan);
            }
            if let (Ok(None), Some(server)) = (&answer, approves) {
                // whoever agreed last learns of the plan
                conclude(&mut state, &mut out, &server);
                answer = Ok(state.ledger.open_plan_of(&server).map(|row| row.plan.id()));
            }
            out.effects.push(Effect::Reply { ticket, answer });
        }
        What::Tick => {
            intents::brakes::expire(&mut state, &mut out);
            consent::notice(&mut state, out.now, out.wall);
            run_all(&mut state, &mut out);
            if state.life.is_some() {
                for body in cold_start::drive(&mut state, &mut out) {
                    seal(&mut state, &mut out, body, false);
                }
            }
            let servers: Vec<ServerId> = state.ledger.servers.keys().cloned().collect();
            for server in servers {
                conclude(&mut state, &mut out, &server);
            }
            out.wake(event.now + LOOK_AGAIN);
        }
    }
    (state, out.finish())
}

fn completed(
    state: &mut State,
    out: &mut Out,
    op: vocabulary::OpId,
    outcome: &Result<vocabulary::request::Answer, vocabulary::request::AgentError>,
    took: vocabulary::Span,
) {
    let id = PlanId(op.epoch);
    if let Some(mut work) = state.works.remove(&id) {
        drive::complete(state, &mut work, out, op, (outcome, took));
        state.works.insert(id, work);
        run(state, out, id);
    }
}

fn run_all(state: &mut State, out: &mut Out) {
    let ids: Vec<PlanId> = state.works.keys().copied().collect();
    for id in ids {
        run(state, out, id);
    }
}

fn run(state: &mut State, out: &mut Out, id: PlanId) {
    let Some(mut work) = state.works.remove(&id) else { return };
    let open = work.phase != Phase::Orders;
    drive::advance(state, &mut work, out);
    let server = work.plan.server().cloned();
    if work.phase != Phase::Orders || s9_return::has_orders(&work) {
        state.works.insert(id, work);
    } else {
        state.spent.insert(id, work.next_op());
    }
    let closed = open && state.ledger.plans.get(&id).is_some_and(|row| !row.is_open());
    if let (true, Some(server)) = (closed, server) {
        conclude(state, out, &server);
    }
    if closed {
        // a spare may have become free: servers that wait for one are decided upon anew
        let waiting: Vec<ServerId> =
            state.ledger.servers.iter().filter(|(_, row)| row.held.is_some()).map(|(id, _)| id.clone()).collect();
        for server in waiting {
            conclude(state, out, &server);
        }
    }
}

fn observed(state: &mut State, out: &mut Out, observation: &Observation) {
    let read_before = volume_read(state, observation);
    s1_detect::observe(state, out.now, observation);
    match observation {
        Observation::Machine { machine, reading } => {
            if s3_fence::polled(state, machine, out.now, reading.as_ref().ok()) {
                out.wake(out.now);
            }
            if let Ok(reading) = reading {
                s9_return::quarantined(state, out, machine, reading);
                s3_fence::read(state, out, machine, reading);
            }
            // not by a walk over all servers: thousands of machines are looked at every few seconds
            if let Standing::Bearing(server) = state.ledger.standing(machine) {
                conclude(state, out, &server);
            }
        }
        Observation::Check { server, .. } => {
            heard(state, out, server);
            conclude(state, out, server);
        }
        Observation::Contact { contact, .. } => s3_fence::contacted(state, out, contact),
        Observation::Volume { volume, .. } => {
            let now = volume_read(state, observation);
            // one that fell was reset with its target, and tells nothing
            let grew = |(_, before): &(Instant, u64)| now.is_some_and(|(_, operations)| operations > *before);
            if let Some((before, _)) = read_before.filter(grew) {
                s3_fence::moved(state, out, volume, before);
            }
        }
        Observation::Signs { machine, signs } => s1_predict::looked(state, out, machine, signs),
        Observation::Port { .. } | Observation::Canaries { .. } | Observation::Hello { .. } => {}
    }
}

/// When the volume of this reading was read last, and what it counted then.
fn volume_read(state: &State, observation: &Observation) -> Option<(Instant, u64)> {
    let Observation::Volume { volume, .. } = observation else { return None };
    let watch = state.watch.volumes.get(volume)?;
    Some((watch.last_read, watch.operations?))
}

/// Records, once a boot and vantage point, that a server was heard since its machine's last boot.
fn heard(state: &mut State, out: &mut Out, server: &ServerId) {
    let Some(row) = state.ledger.servers.get(server) else { return };
    let Some(machine) = row.placement.as_ref().map(|placement| placement.machine.clone()) else { return };
    if state.ledger.open_plan_of(server).is_some() {
        return;
    }
    let Some(seen) = state.watch.servers.get(server) else { return };
    // what was seen before the last reset was noticed may be of the boot before it
    let since = state.watch.machines.get(&machine).and_then(|watch| watch.reset_moved);
    let counts = |v: &crate::watch::VantageWatch| v.healthy_since.is_some() && since.is_none_or(|since| v.at > since);
    // one that the documents do not name any more is remembered healthy for ever
    let named = seen.vantages.iter().filter(|(id, v)| is_vantage(&state.estate, id) && counts(v));
    let healthy: BTreeSet<_> = named.map(|(id, _)| id.clone()).collect();
    if healthy.is_empty() {
        return;
    }
    let last_reset = state.watch.machines.get(&machine).and_then(|w| w.last.as_ref()).and_then(|(_, r)| r.last_reset.clone());
    let same_boot =
        row.heard.as_ref().filter(|heard| heard.machine == machine && (heard.last_reset == last_reset || last_reset.is_none()));
    let known: BTreeSet<_> = same_boot.map(|heard| heard.vantages.iter().cloned().collect()).unwrap_or_default();
    if healthy.is_subset(&known) {
        return;
    }
    let vantages =
        vantages(&state.estate).into_iter().filter(|vantage| healthy.contains(vantage) || known.contains(vantage)).collect();
    let server = server.clone();
    out.record(
        &mut state.ledger,
        Fact::Heard { server, machine, last_reset, vantages, boot_ms: None, post_ms: None, stop_ms: None },
    );
}

/// Looks at one server and acts on what is concluded.
fn conclude(state: &mut State, out: &mut Out, server: &ServerId) {
    if state.life.is_none() {
        return;
    }
    let decision = s2_decide::decide(state, server, out.now, out.wall);
    let symptom = match &decision {
        Decision::Fine => None,
        Decision::Suspect(symptom)
        | Decision::Restart(symptom)
        | Decision::Failed(symptom)
        | Decision::Held(symptom, _)
        | Decision::Asks(symptom)
        | Decision::WouldHave(symptom) => Some(symptom.clone()),
    };
    guard::remember(state, symptom.as_ref(), out.now);
    match &symptom {
        Some(symptom) if symptom.kind == s1_detect::Kind::ServiceDown => drop(state.watch.ill.insert(server.clone())),
        _ => drop(state.watch.ill.remove(server)),
    }
    let open = state.ledger.open_plan_of(server).is_some();
    suspicion(state, out, server, symptom.as_ref().filter(|_| !open), open);
    match decision {
        Decision::Fine | Decision::Suspect(_) => {}
        Decision::Held(symptom, mut hold) => {
            if symptom.failed {
                verdict(state, out, server, &symptom);
            } else if hold.code == s2_decide::ILL && is_news(state, server, &hold) {
                let proposal = s2_decide::ladder::proposal(state, server, &symptom, out.now);
                hold.reason = format!("{}; {proposal}", hold.reason);
            }
            held(state, out, server, &hold);
        }
        Decision::Restart(symptom) => restart(state, out, server, symptom),
        Decision::Failed(symptom) => {
            verdict(state, out, server, &symptom);
            fail_over(state, out, server);
        }
        Decision::Asks(symptom) => {
            verdict(state, out, server, &symptom);
            propose(state, out, server, &symptom);
        }
        Decision::WouldHave(symptom) => {
            verdict(state, out, server, &symptom);
            would_have(state, out, server, &symptom);
        }
    }
}

fn suspicion(state: &mut State, out: &mut Out, server: &ServerId, symptom: Option<&s1_detect::Symptom>, open: bool) {
    let row = state.ledger.servers.get(server);
    let before = row.and_then(|row| row.suspected.as_ref()).map(|(_, kind)| kind.clone());
    let fact = match (symptom, before) {
        (Some(symptom), before) if before.as_deref() != Some(&symptom.kind.to_string()) => Fact::Suspected {
            server: server.clone(),
            machine: symptom.machine.clone(),
            symptom: symptom.kind.to_string(),
            evidence: symptom.evidence.clone(),
        },
        (None, Some(_)) if !open => Fact::Cleared { server: server.clone() },
        _ => return,
    };
    // one that flaps is told a little later; nothing is decided by what is told
    if state.watch.may_tell(server, out.now) {
        out.record(&mut state.ledger, fact);
    }
}

fn verdict(state: &mut State, out: &mut Out, server: &ServerId, symptom: &s1_detect::Symptom) {
    let kind = symptom.kind.to_string();
    if state.ledger.servers.get(server).and_then(|row| row.verdict.as_ref()).is_some_and(|(_, before)| *before == kind) {
        return;
    }
    let fact = Fact::Verdict {
        server: server.clone(),
        machine: symptom.machine.clone(),
        symptom: kind,
        evidence: symptom.evidence.clone(),
    };
    out.record(&mut state.ledger, fact);
}

/// The reason may count seconds: only another cause is another hold.
fn is_news(state: &State, server: &ServerId, hold: &Hold) -> bool {
    let before = state.ledger.servers.get(server).and_then(|row| row.held.as_ref());
    before.is_none_or(|(code, ..)| code != hold.code)
}

fn held(state: &mut State, out: &mut Out, server: &ServerId, hold: &Hold) {
    if !is_news(state, server, hold) {
        return;
    }
    let fact =
        Fact::Held { server: server.clone(), code: hold.code.to_owned(), reason: hold.reason.clone(), ends: hold.ends.clone() };
    out.record(&mut state.ledger, fact);
}

fn restart(state: &mut State, out: &mut Out, server: &ServerId, symptom: s1_detect::Symptom) {
    let Some(placement) = state.ledger.placement(server).cloned() else { return };
    let body = s4_place::restart(state, server, &placement);
    let fact = Fact::ServiceDown { server: server.clone(), machine: symptom.machine, evidence: symptom.evidence };
    out.record(&mut state.ledger, fact);
    seal(state, out, body, true);
}

fn fail_over(state: &mut State, out: &mut Out, server: &ServerId) {
    match s4_place::failover(state, server, out.now) {
        Ok(body) => seal(state, out, body, true),
        Err(fault) => not_placed(state, out, server, fault),
    }
}

fn seal(state: &mut State, out: &mut Out, body: Body, by_verdict: bool) {
    let mut work = s4_place::seal(state, out, body, by_verdict);
    s3_fence::begin(state, &mut work, out.now);
    let id = intents::keep(state, work);
    run(state, out, id);
}

fn not_placed(state: &mut State, out: &mut Out, server: &ServerId, fault: vocabulary::Fault) {
    let ends = format!("by itself, {}", fault.remedy);
    let hold = Hold { code: code_name(&fault), reason: fault.message, ends };
    held(state, out, server, &hold);
}

/// Persons are shown what would be done; what enough of them have agreed to is done, if it is still the same plan.
fn propose(state: &mut State, out: &mut Out, server: &ServerId, symptom: &s1_detect::Symptom) {
    let before = state.ledger.servers.get(server).and_then(|row| row.proposed.as_ref());
    let before = before.map(|proposal| (proposal.body.target.clone(), proposal.hash.clone()));
    let shown = before.as_ref().map(|(target, _)| target);
    let body = match s4_place::failover_like(state, server, shown, out.now) {
        Ok(body) => body,
        Err(fault) => return not_placed(state, out, server, fault),
    };
    let hash = body.hash();
    if s2_decide::is_approved(state, server, &hash, out.now) {
        return seal(state, out, body, true);
    }
    let same = before.as_ref().is_some_and(|(_, shown)| *shown == hash);
    if !same && (before.is_none() || state.watch.may_tell(server, out.now)) {
        let reason = symptom.evidence.join("; ");
        let fact = Fact::Proposed { server: server.clone(), body: Box::new(body.clone()), reason };
        out.record(&mut state.ledger, fact);
    }
    held(state, out, server, &s2_decide::unapproved(state, server, &body.target, &hash));
}

/// The codes that stop a failover before it is sealed.
fn code_name(fault: &vocabulary::Fault) -> &'static str {
    match fault.code.0 {
        401 => "F0401",
        402 => "F0402",
        404 => "F0404",
        405 => "F0405",
        _ => "F0053",
    }
}

fn would_have(state: &mut State, out: &mut Out, server: &ServerId, symptom: &s1_detect::Symptom) {
    let Ok(body) = s4_place::failover(state, server, out.now) else { return };
    let known = state.ledger.servers.get(server).and_then(|row| row.would_have.clone());
    if known.as_deref() == Some(&body.hash()) {
        return;
    }
    // an observed plan draws no epoch: it is sealed under the one it would have drawn, and never opened
    let plan = Plan::seal(body, Epoch(state.ledger.epoch.0 + 1));
    let fact = Fact::WouldHave { server: server.clone(), plan: Box::new(plan), reason: symptom.evidence.join("; ") };
    out.record(&mut state.ledger, fact);
}

/// The machine that bears a server and the stage its open plan is in, for views.
pub fn whereabouts(state: &State, server: &ServerId) -> (Option<MachineId>, Option<Stage>) {
    let machine = state.ledger.placement(server).map(|placement| placement.machine.clone());
    let stage = state.ledger.open_plan_of(server).and_then(|row| row.entered.last().map(|(stage, _)| *stage));
    (machine, stage)
}
