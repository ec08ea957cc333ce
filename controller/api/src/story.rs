//! A journal entry as a sentence, the same for `watch`, the demo and the log.

use crate::view::WatchView;
use journal::Entry;
use pipeline::record::{Consent, Fact};

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
        text: pipeline::story::sentence(fact),
    }
}

fn about(fact: &Fact) -> (Option<String>, Option<String>, Option<String>) {
    match fact {
        Fact::Sealed { plan, .. } => (Some(plan.id().to_string()), Some("place".into()), plan.server().map(|id| id.to_string())),
        Fact::Entered { plan, stage } => (Some(plan.to_string()), Some(stage.to_string()), None),
        Fact::Intent { plan, stage, agent, .. } => (Some(plan.to_string()), Some(stage.to_string()), Some(agent.clone())),
        Fact::Outcome { plan, .. } | Fact::Proven { plan, .. } | Fact::Closed { plan, .. } => {
            (Some(plan.to_string()), None, None)
        }
        Fact::Owned(ownership) => (Some(ownership.plan.to_string()), None, Some(ownership.server.to_string())),
        Fact::StandingOrder { plan, machine, .. } | Fact::OrderDone { plan, machine, .. } => {
            (Some(plan.to_string()), None, Some(machine.to_string()))
        }
        Fact::OutletsCut { plan, machine } | Fact::OutletsFed { plan, machine } => {
            (Some(plan.to_string()), Some("fence".into()), Some(machine.to_string()))
        }
        Fact::OffContradicted { machine, .. } => (None, Some("fence".into()), Some(machine.to_string())),
        Fact::OutletsDoubted { machine, .. } | Fact::Foretold { machine, .. } => (None, None, Some(machine.to_string())),
        Fact::Released { machine, plan, .. } => (Some(plan.to_string()), None, Some(machine.to_string())),
        Fact::Suspected { server, .. } => (None, Some("detect".into()), Some(server.to_string())),
        Fact::ColdStart { order, .. } => (None, None, Some(order.site.to_string())),
        Fact::ColdStartPassed { server, .. } => (None, None, Some(server.to_string())),
        Fact::ColdStartEnded { site, .. } => (None, None, Some(site.to_string())),
        Fact::Verdict { server, .. } | Fact::ServiceDown { server, .. } => {
            (None, Some("decide".into()), Some(server.to_string()))
        }
        Fact::Heard { server, .. } | Fact::Desired { server, .. } | Fact::Cleared { server } | Fact::Held { server, .. } => {
            (None, None, Some(server.to_string()))
        }
        Fact::Consented { to, .. } => match to {
            Consent::Plan { server, .. } => (None, Some("decide".into()), Some(server.to_string())),
            Consent::Off { machine, .. } => (None, Some("fence".into()), Some(machine.to_string())),
            Consent::LetGo { domain, .. } => (None, Some("decide".into()), Some(domain.clone())),
            Consent::SiteStart { site, .. } => (None, None, Some(site.to_string())),
            Consent::Adopt { .. } => (None, None, None),
        },
        Fact::Proposed { server, .. } => (None, Some("decide".into()), Some(server.to_string())),
        Fact::WouldHave { server, .. } => (None, None, Some(server.to_string())),
        Fact::Enrolled { machine, .. } => (None, None, Some(machine.to_string())),
        Fact::Began { .. } => (None, None, None),
        Fact::AgentEnrolled { agent } => (None, None, Some(agent.to_string())),
        Fact::Ceiling { tier, .. } => (None, None, Some(tier.to_string())),
        Fact::Obeyed { agent, .. }
        | Fact::OlderMemory { agent, .. }
        | Fact::Overruled { agent, .. }
        | Fact::OverruledNoMore { agent }
        | Fact::Readopted { agent, .. } => (None, None, Some(agent.clone())),
        Fact::Alarm { subject, .. } => (None, None, Some(subject.clone())),
        Fact::Hold { server, .. } | Fact::Resumed { server, .. } => (None, None, server.as_ref().map(ToString::to_string)),
        Fact::Maintenance { subject, .. } | Fact::MaintenanceEnded { subject, .. } => (None, None, Some(subject.to_string())),
        Fact::Intended { .. } | Fact::Estate { .. } | Fact::Restored { .. } | Fact::Adopted { .. } | Fact::Pruned { .. } => {
            (None, None, None)
        }
    }
}
