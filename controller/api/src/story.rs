//! A journal entry as a sentence, the same for `watch`, the demo and the log.

use crate::view::WatchView;
use journal::Entry;
use pipeline::record::Fact;

/// One entry as one line.
pub fn tell(entry: &Entry) -> WatchView {
    let fact = &entry.record.fact;
    let kind = serde_json::to_value(fact).ok().and_then(|value| value.get("kind").and_then(|k| k.as_str()).map(str::to_owned));
    let (plan, stage, subject) = about(fact);
    WatchView {
        revision: entry.number,
        at: entry.record.at.0,
        kind: kind.unwrap_or_default(),
        plan,
        stage,
        subject,
        text: sentence(fact),
    }
}

fn about(fact: &Fact) -> (Option<String>, Option<String>, Option<String>) {
    match fact {
        Fact::Sealed { plan } => (Some(plan.id().to_string()), Some("place".into()), plan.server().map(|id| id.to_string())),
        Fact::Entered { plan, stage } => (Some(plan.to_string()), Some(stage.to_string()), None),
        Fact::Intent { plan, stage, agent, .. } => (Some(plan.to_string()), Some(stage.to_string()), Some(agent.clone())),
        Fact::Outcome { plan, .. } | Fact::Proven { plan, .. } | Fact::Closed { plan, .. } => {
            (Some(plan.to_string()), None, None)
        }
        Fact::Owned(ownership) => (Some(ownership.plan.to_string()), None, Some(ownership.server.to_string())),
        Fact::StandingOrder { plan, machine, .. } | Fact::OrderDone { plan, machine, .. } => {
            (Some(plan.to_string()), None, Some(machine.to_string()))
        }
        Fact::Released { machine, plan, .. } => (Some(plan.to_string()), None, Some(machine.to_string())),
        Fact::Suspected { server, .. } => (None, Some("detect".into()), Some(server.to_string())),
        Fact::Verdict { server, .. } => (None, Some("decide".into()), Some(server.to_string())),
        Fact::Heard { server, .. } | Fact::Desired { server, .. } | Fact::Cleared { server } | Fact::Held { server, .. } => {
            (None, None, Some(server.to_string()))
        }
        Fact::WouldHave { server, .. } => (None, None, Some(server.to_string())),
        Fact::Enrolled { machine, .. } => (None, None, Some(machine.to_string())),
        Fact::AgentEnrolled { agent } => (None, None, Some(agent.to_string())),
        Fact::Ceiling { tier, .. } => (None, None, Some(tier.to_string())),
        Fact::Alarm { subject, .. } => (None, None, Some(subject.clone())),
        Fact::Intended { .. } | Fact::Estate { .. } => (None, None, None),
    }
}

fn list<T: ToString>(items: &[T]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn sentence(fact: &Fact) -> String {
    match fact {
        Fact::Intended { principal, what } => format!("{principal} asked: {what}"),
        Fact::Estate { revision } => format!("estate in force: {}", revision.chars().take(12).collect::<String>()),
        Fact::Enrolled { machine, returns_by_itself, .. } => {
            let warning = if *returns_by_itself { "; it returns by itself after a power loss" } else { "" };
            format!("{machine} is enrolled{warning}")
        }
        Fact::AgentEnrolled { agent } => format!("agent {agent} is enrolled"),
        Fact::Ceiling { tier, mode } => format!("ceiling of tier {tier} is {mode:?}").to_lowercase(),
        Fact::Desired { server, running: true } => format!("{server} is to run"),
        Fact::Desired { server, running: false } => format!("{server} is to stop"),
        Fact::Heard { server, machine, vantages, .. } => format!("{server} on {machine} answers {}", list(vantages)),
        Fact::Suspected { server, machine, symptom, evidence } => {
            format!("{server} on {machine}: {symptom} suspected: {}", evidence.join("; "))
        }
        Fact::Cleared { server } => format!("{server} is well again"),
        Fact::Verdict { server, machine, symptom, evidence } => {
            format!("{server} on {machine} has failed ({symptom}): {}", evidence.join("; "))
        }
        Fact::Held { server, reason, ends, code } => format!("{server} is held ({code}): {reason}. Ends {ends}"),
        Fact::WouldHave { server, plan, .. } => {
            format!("in this mode nothing is done: {server} would have moved to {}", plan.target())
        }
        Fact::Sealed { plan } => sealed(plan),
        Fact::Entered { plan, stage } => format!("{plan} enters {stage}"),
        Fact::Intent { plan, agent, what, .. } => format!("{plan} asks {agent}: {what}"),
        Fact::Outcome { plan, ok: true, read_back, op } => format!("{plan} op {op}: {read_back}"),
        Fact::Outcome { plan, ok: false, read_back, op } => format!("{plan} op {op} not done: {read_back}"),
        Fact::Proven { plan, machines, sets, .. } if machines.is_empty() => format!("{plan} may grant: {}", sets.join(", ")),
        Fact::Proven { plan, machines, sets, .. } => {
            format!("{plan}: {} proven harmless by {}", list(machines), sets.join(" and "))
        }
        Fact::Owned(ownership) => format!("{} belongs to {} now ({})", ownership.server, ownership.to, ownership.epoch),
        Fact::StandingOrder { machine, what, reason, .. } => format!("standing order on {machine}: {what} ({reason})"),
        Fact::OrderDone { machine, what, .. } => format!("standing order done on {machine}: {what}"),
        Fact::Closed { plan, result: Ok(text) } => format!("{plan} is done: {text}"),
        Fact::Closed { plan, result: Err(ended) } => format!("{plan} ended ({}): {}", ended.code, ended.reason),
        Fact::Released { machine, pool, .. } => format!("{machine} is released into pool {pool}"),
        Fact::Alarm { code, text, .. } => format!("ALARM {code}: {text}"),
    }
}

fn sealed(plan: &pipeline::plan::Plan) -> String {
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
