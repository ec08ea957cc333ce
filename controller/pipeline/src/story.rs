//! A record as a sentence: the same words in `watch`, the demo, the log and the golden scenarios.

use crate::adoption::Adoption;
use crate::plan::Plan;
use crate::record::{Consent, Fact};
use std::collections::{BTreeMap, BTreeSet};
use vocabulary::{MachineId, PlanId, ServerId};

fn list<T: ToString>(items: &[T]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// What a plan has done to a machine's outlets.
fn outlets(fact: &Fact) -> String {
    match fact {
        Fact::OutletsCut { plan, machine } => format!("{plan} cuts the outlets of {machine}"),
        Fact::OutletsFed { plan, machine } => format!("{plan} gave the outlets entered for {machine} their power back"),
        Fact::OutletsDoubted { machine, why } => {
            format!("the outlets of {machine} prove nothing until it is enrolled anew: {why}")
        }
        _ => String::new(),
    }
}

/// What becomes of the start of a site.
fn of_a_site(fact: &Fact) -> String {
    match fact {
        Fact::ColdStart { order, principals } => {
            let by: Vec<&str> = principals.iter().map(String::as_str).collect();
            format!("{} had site {} started: {} servers, in order", by.join(" and "), order.site, order.turns.len())
        }
        Fact::ColdStartPassed { site, server, reason } => format!("the start of site {site} passes {server} over: {reason}"),
        Fact::ColdStartEnded { site, text } => format!("the start of site {site} is at its end: {text}"),
        _ => String::new(),
    }
}

/// What a person holds or works on.
fn brake(fact: &Fact) -> String {
    match fact {
        Fact::Hold { server, principal, reason } => format!("{principal} holds {}: {reason}", everything_of(server.as_ref())),
        Fact::Resumed { server, principal, reason } => {
            format!("{principal} lets {} go on{}", everything_of(server.as_ref()), because(reason))
        }
        Fact::Maintenance { subject, principal, reason, .. } => format!("{subject} is in maintenance by {principal}: {reason}"),
        Fact::MaintenanceEnded { subject, by } => format!("the maintenance of {subject} is over: {by}"),
        _ => String::new(),
    }
}

/// A fact as one sentence.
pub fn sentence(fact: &Fact) -> String {
    match fact {
        Fact::Intended { principal, what } => format!("{principal} asked: {what}"),
        Fact::Estate { revision } => format!("estate in force: {}", revision.chars().take(12).collect::<String>()),
        Fact::Enrolled { machine, returns_by_itself, outlets, .. } => {
            let warning = if *returns_by_itself { "; it returns by itself after a power loss" } else { "" };
            let dark = if outlets.is_empty() { "" } else { ", and goes dark by its outlets" };
            format!("{machine} is enrolled{dark}{warning}")
        }
        Fact::Began { controller } => format!("a controller begins ({controller})"),
        Fact::Obeyed { agent, controller } => format!("agent {agent} obeys controller {controller}"),
        Fact::AgentEnrolled { agent } => format!("agent {agent} is enrolled"),
        Fact::Ceiling { tier, mode } => format!("ceiling of tier {tier} is {mode:?}").to_lowercase(),
        Fact::Desired { server, running: true } => format!("{server} is to run"),
        Fact::Desired { server, running: false } => format!("{server} is to stop"),
        Fact::Hold { .. } | Fact::Resumed { .. } | Fact::Maintenance { .. } | Fact::MaintenanceEnded { .. } => brake(fact),
        Fact::Heard { server, machine, vantages, .. } => format!("{server} on {machine} answers {}", list(vantages)),
        Fact::Suspected { server, machine, symptom, evidence } => {
            format!("{server} on {machine}: {symptom} suspected: {}", evidence.join("; "))
        }
        Fact::Cleared { server } => format!("{server} is well again"),
        Fact::Verdict { server, machine, symptom, evidence } => {
            format!("{server} on {machine} has failed ({symptom}): {}", evidence.join("; "))
        }
        Fact::ServiceDown { server, machine, evidence } => {
            format!("{server} is ill on {machine}, which lives: it is restarted there: {}", evidence.join("; "))
        }
        Fact::ColdStart { .. } | Fact::ColdStartPassed { .. } | Fact::ColdStartEnded { .. } => of_a_site(fact),
        Fact::Held { server, reason, ends, code } => format!("{server} is held ({code}): {reason}. Ends {ends}"),
        Fact::WouldHave { server, plan, .. } => {
            format!("in this mode nothing is done: {server} would have moved to {}", plan.target())
        }
        Fact::Proposed { server, body, .. } => {
            let hash: String = body.hash().chars().take(12).collect();
            format!("{server} is to move to {}, if it is approved (plan {hash})", body.target)
        }
        Fact::Consented { to, principal, reason } => consented(to, principal, reason),
        Fact::Sealed { plan, .. } => sealed(plan),
        Fact::Entered { plan, stage } => format!("{plan} enters {stage}"),
        Fact::Intent { plan, agent, what, .. } => format!("{plan} asks {agent}: {what}"),
        Fact::Outcome { plan, ok: true, read_back, op, .. } => format!("{plan} op {op}: {read_back}"),
        Fact::Outcome { plan, ok: false, read_back, op, .. } => format!("{plan} op {op} not done: {read_back}"),
        Fact::Proven { plan, machines, sets, .. } if machines.is_empty() => format!("{plan} may grant: {}", sets.join(", ")),
        Fact::Proven { plan, machines, sets, .. } => {
            format!("{plan}: {} proven harmless by {}", list(machines), sets.join(" and "))
        }
        Fact::OffContradicted { machine, sign } => format!("what was said of {machine} is worth nothing any more: {sign}"),
        Fact::OutletsCut { .. } | Fact::OutletsFed { .. } | Fact::OutletsDoubted { .. } => outlets(fact),
        Fact::Owned(ownership) => format!("{} belongs to {} now ({})", ownership.server, ownership.to, ownership.epoch),
        Fact::StandingOrder { machine, what, reason, .. } => format!("standing order on {machine}: {what} ({reason})"),
        Fact::OrderDone { machine, what, .. } => format!("standing order done on {machine}: {what}"),
        Fact::Closed { plan, result: Ok(text) } => format!("{plan} is done: {text}"),
        Fact::Closed { plan, result: Err(ended) } => format!("{plan} ended ({}): {}", ended.code, ended.reason),
        Fact::Released { machine, pool, .. } => format!("{machine} is released into pool {pool}"),
        Fact::Foretold { machine, signs } => foretold(machine, signs),
        Fact::Restored { .. } | Fact::Pruned { .. } => of_store(fact),
        Fact::OlderMemory { agent, evidence } => {
            format!("ALARM F1008: the memory of agent {agent} is an older copy: {}", evidence.join("; "))
        }
        Fact::Overruled { agent, evidence, .. } => {
            format!("ALARM F0302: agent {agent} knows more than this store, and is only observed: {evidence}")
        }
        Fact::OverruledNoMore { agent } => format!("agent {agent} says something else now, and may be asked again"),
        Fact::Readopted { agent, principal } => format!("{principal} had the memory of agent {agent} seeded from the ledger"),
        Fact::Adopted { adoption, principals } => adopted(adoption, principals),
        Fact::Alarm { code, text, .. } => format!("ALARM {code}: {text}"),
    }
}

fn consented(to: &Consent, principal: &str, reason: &str) -> String {
    let short = |hash: &str| hash.chars().take(12).collect::<String>();
    match to {
        Consent::Plan { server, hash } => format!("{principal} approves plan {} of {server}", short(hash)),
        Consent::Adopt { hash } => {
            format!("{principal} agrees to what is to be adopted ({}){}", short(hash), because(reason))
        }
        Consent::SiteStart { site, hash } => {
            format!("{principal} agrees that site {site} is started in order ({}){}", short(hash), because(reason))
        }
        Consent::Off { machine, serial, found } => {
            format!("{principal} stands before {machine} (serial {serial}), which is {found}{}", because(reason))
        }
        Consent::LetGo { domain, machines } => {
            let machines: Vec<&MachineId> = machines.iter().collect();
            format!("{principal} lets go {} of {domain}{}", list(&machines), because(reason))
        }
    }
}

fn adopted(adoption: &Adoption, principals: &BTreeSet<String>) -> String {
    let by: Vec<&str> = principals.iter().map(String::as_str).collect();
    let mut text = format!("{} had this store adopted: the counter stands at {}", by.join(" and "), adoption.counter);
    for placed in &adoption.placed {
        text.push_str(&format!("; {} is on {} ({})", placed.server, placed.machine, placed.epoch));
    }
    for barred in &adoption.barred {
        text.push_str(&format!("; {} is barred since {}", barred.machine, PlanId(barred.epoch)));
    }
    for machine in adoption.freed.keys() {
        text.push_str(&format!("; {machine} was released"));
    }
    for (server, undecided) in &adoption.undecided {
        text.push_str(&format!("; nobody can say where {server} is: {}", undecided.why));
    }
    for (agent, why) in &adoption.absent {
        text.push_str(&format!("; agent {agent} was not heard: {why}"));
    }
    text
}

fn everything_of(server: Option<&ServerId>) -> String {
    server.map_or_else(|| "everything".to_owned(), ToString::to_string)
}

fn because(reason: &str) -> String {
    if reason.is_empty() { String::new() } else { format!(": {reason}") }
}

fn sealed(plan: &Plan) -> String {
    let body = plan.body();
    let hash: String = plan.hash().chars().take(12).collect();
    match (&body.server, body.fence.as_slice()) {
        (Some(server), []) => format!("{}: {} of {server} on {} (plan {hash})", plan.id(), body.kind, body.target),
        (Some(server), fence) => {
            format!("{}: {} of {server} from {} to {} (plan {hash})", plan.id(), body.kind, list(fence), body.target)
        }
        (None, _) => format!("{}: {} of {} (plan {hash})", plan.id(), body.kind, body.target),
    }
}

fn of_store(fact: &Fact) -> String {
    match fact {
        Fact::Restored { entries, .. } => {
            format!("this store was restored from a backup of {entries} entries; it only observes until it is adopted")
        }
        Fact::Pruned { entries, .. } => format!("records up to {entries} are no longer kept; what they come to is"),
        _ => String::new(),
    }
}

fn foretold(machine: &MachineId, signs: &BTreeMap<String, String>) -> String {
    if signs.is_empty() {
        return format!("{machine} foretells no failure any more");
    }
    let told: Vec<String> = signs.iter().map(|(name, told)| format!("{name}: {told}")).collect();
    format!("{machine} foretells a failure (F0216), and nothing is done by it: {}", told.join("; "))
}
