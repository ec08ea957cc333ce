//! The chain from what is seen of a server to what is done about it, in sentences, as it stands now. It asks the stages themselves and must never
//! conclude anything by its own rules.

use crate::brake;
use crate::consent;
use crate::fit;
use crate::s1_detect::{self, FRESH_POLLS};
use crate::s2_decide::{self, Decision, guard};
use crate::state::State;
use crate::watch::{MachineWatch, VantageWatch, VolumeWatch, vantages};
use std::collections::BTreeSet;
use vocabulary::check::CheckOutcome;
use vocabulary::power::MachineReading;
use vocabulary::{AgentId, Instant, MachineId, ServerId, WallTime};

/// A link of the chain.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Link {
    /// Where it is, and whether it is meant to run.
    Placed,
    /// What is seen of it.
    Seen,
    /// What is concluded from that.
    Concluded,
    /// What stands against acting, or does not.
    Guarded,
    /// How it could be brought back, and in what time.
    Ladder,
    /// What is done.
    Decided,
    /// Where it would go.
    Would,
}

impl Link {
    /// As a word.
    pub fn name(self) -> &'static str {
        match self {
            Link::Placed => "placed",
            Link::Seen => "seen",
            Link::Concluded => "concluded",
            Link::Guarded => "guarded",
            Link::Ladder => "ladder",
            Link::Decided => "decided",
            Link::Would => "would",
        }
    }
}

/// The sentences, in the order of the chain.
pub type Chain = Vec<(Link, String)>;

/// Why with this server is done what is done. `None` if the estate has none of that name.
pub fn why(state: &State, server: &ServerId, now: Instant, wall: WallTime) -> Option<Chain> {
    state.estate.servers.get(server)?;
    let mut chain = Chain::new();
    let row = state.ledger.servers.get(server);
    let placement = row.and_then(|row| row.placement.as_ref());
    let wanted = row.is_some_and(|row| row.desired);
    chain.push((
        Link::Placed,
        match placement {
            None => format!("{server} was never placed, so that nothing is expected of it"),
            Some(placement) if !wanted => format!("{server} is placed on {} and meant to be stopped", placement.machine),
            Some(placement) => {
                format!("{server} is on {} by plan {} and meant to run", placement.machine, vocabulary::PlanId(placement.epoch))
            }
        },
    ));
    if let Some(row) = state.ledger.open_plan_of(server) {
        let stage = row.entered.last().map_or_else(|| "sealed".to_owned(), |(stage, _)| format!("in {stage}"));
        let text = format!(
            "plan {} ({}) is open, {stage}: until it is closed nothing else is decided",
            row.plan.id(),
            row.plan.body().kind
        );
        chain.push((Link::Placed, text));
    }
    if let Some(placement) = placement {
        seen(state, server, &placement.machine, now, &mut chain);
    }
    concluded(state, server, now, wall, &mut chain);
    Some(chain)
}

fn seen(state: &State, server: &ServerId, machine: &MachineId, now: Instant, chain: &mut Chain) {
    chain.push((Link::Seen, bmc(state.watch.machines.get(machine), machine, now)));
    if let Some(away) = state.watch.machines.get(machine).and_then(|watch| watch.away_since) {
        chain.push((Link::Seen, format!("{machine} reset itself or booted {} ago", now.since(away))));
    }
    let heard = s1_detect::heard_since_boot(state, server, machine);
    let watch = state.watch.servers.get(server);
    for vantage in vantages(&state.estate) {
        let told = watch.and_then(|watch| watch.vantages.get(&vantage));
        chain.push((Link::Seen, health(&vantage, told, &heard, now)));
    }
    for volume in state.estate.servers.get(server).into_iter().flat_map(|profile| &profile.volumes) {
        let id = volume.id();
        chain.push((Link::Seen, format!("volume {id} {}", counted(state, state.watch.volumes.get(&id), now))));
    }
}

fn bmc(watch: Option<&MachineWatch>, machine: &MachineId, now: Instant) -> String {
    let last = |reading: &MachineReading| format!("{:?}", reading.system_power);
    match watch.map(|watch| (watch, watch.last.as_ref())) {
        Some((MachineWatch { failing_since: Some(since), failure, .. }, last_read)) => {
            let before = last_read.map(|(_, reading)| format!("; before that it said {}", last(reading))).unwrap_or_default();
            let why = failure.as_deref().unwrap_or("no answer");
            format!("the BMC of {machine} cannot be read since {}: {why}{before}", now.since(*since))
        }
        Some((watch, Some((at, reading)))) => {
            let off = watch.off_since.map(|since| format!(", {} times in a row since {}", watch.off_reads, now.since(since)));
            format!("the BMC of {machine} said {} {} ago{}", last(reading), now.since(*at), off.unwrap_or_default())
        }
        Some((_, None)) | None => format!("the BMC of {machine} was not read yet since the controller started"),
    }
}

fn health(vantage: &AgentId, told: Option<&VantageWatch>, heard: &BTreeSet<&AgentId>, now: Instant) -> String {
    let Some(told) = told else { return format!("{vantage} has told nothing of it yet") };
    let age = now.since(told.at);
    let counts = if heard.contains(vantage) {
        ""
    } else {
        "; it was not heard from there since its machine's last boot, so that its silence counts for nothing"
    };
    match (&told.outcome, told.healthy_since, told.silent_since) {
        (CheckOutcome::Healthy, Some(since), _) => {
            format!("{vantage} sees it healthy since {}, last {age} ago", now.since(since))
        }
        (CheckOutcome::Silent(why), _, Some(since)) => {
            format!("{vantage} sees it silent since {} ({why}), last {age} ago{counts}", now.since(since))
        }
        (CheckOutcome::Wrong(what) | CheckOutcome::Partly(what), ..) => {
            format!("{vantage} gets a wrong answer ({what}), last {age} ago: something lives there")
        }
        (CheckOutcome::Dumping(what), ..) => {
            format!("{vantage} hears its kernel write its memory away ({what}), last {age} ago")
        }
        (CheckOutcome::Failed(what), ..) => {
            format!("{vantage} is told by a plugin that it does not work ({what}), last {age} ago: its machine may live or not")
        }
        (CheckOutcome::Unknown(why), ..) => format!("{vantage} could not look ({why}), last {age} ago"),
        (CheckOutcome::Healthy | CheckOutcome::Silent(_), ..) => format!("{vantage} looked {age} ago"),
    }
}

fn counted(state: &State, watch: Option<&VolumeWatch>, now: Instant) -> String {
    let Some(watch) = watch else { return "was not read yet since the controller started".to_owned() };
    let age = now.since(watch.last_read);
    if age.0 > FRESH_POLLS * state.estate.settings.detection.power_every.0.max(1000) {
        return format!("was last read {age} ago: that counts for nothing");
    }
    match watch.still_since() {
        None => "has no counter of operations".to_owned(),
        Some(since) => format!("serves no operation since {}, last read {age} ago", now.since(since)),
    }
}

fn concluded(state: &State, server: &ServerId, now: Instant, wall: WallTime, chain: &mut Chain) {
    let decision = s2_decide::decide(state, server, now, wall);
    let symptom = match &decision {
        Decision::Fine => None,
        Decision::Suspect(symptom)
        | Decision::Restart(symptom)
        | Decision::Failed(symptom)
        | Decision::Held(symptom, _)
        | Decision::Asks(symptom)
        | Decision::WouldHave(symptom) => Some(symptom),
    };
    if let Some(symptom) = symptom {
        let state_of = if symptom.failed { "failed" } else { "suspected" };
        chain.push((Link::Concluded, format!("{} ({state_of}): {}", symptom.kind, symptom.evidence.join("; "))));
        if let Some(lacks) = symptom.lacks {
            chain
                .push((Link::Concluded, format!("all windows are full, and {} domains must agree: {lacks}", s1_detect::DOMAINS)));
        } else if !symptom.failed && s1_detect::is_suspicion(symptom.kind) {
            let detection = &state.estate.settings.detection;
            let (off, hung) = (detection.off_window, detection.hung_window);
            chain.push((Link::Concluded, format!("its windows are not full yet ({off} of Off, {hung} of standstill)")));
        }
        guarded(state, symptom, now, chain);
    } else if state.ledger.open_plan_of(server).is_none() {
        chain.push((Link::Concluded, "nothing is wrong with it".to_owned()));
    }
    if let Some((subject, maintenance)) = symptom.and_then(|symptom| brake::worked_on(&state.ledger, &symptom.machine)) {
        chain.push((Link::Guarded, format!("{subject} is in maintenance by {}: {}", maintenance.principal, maintenance.reason)));
    }
    let down = |symptom: &&s1_detect::Symptom| symptom.kind == s1_detect::Kind::ServiceDown;
    if symptom.is_some_and(|symptom| symptom.failed || symptom.lacks.is_some() || down(&symptom)) {
        let ladder = s2_decide::ladder::of(state, server, None, (now, wall));
        chain.extend(ladder.sentences().into_iter().map(|text| (Link::Ladder, text)));
    }
    let mode = s2_decide::mode(state, server).word();
    let decided = match &decision {
        Decision::Fine => None,
        Decision::Suspect(_) => Some("it is watched on".to_owned()),
        Decision::Restart(symptom) => Some(format!("it is restarted on {} (mode `{mode}`)", symptom.machine)),
        Decision::Failed(_) => Some(format!("it is failed over (mode `{mode}`)")),
        Decision::Asks(_) => Some(asked(state, server, now)),
        Decision::WouldHave(_) => Some(format!("nothing is done in mode `{mode}`")),
        Decision::Held(_, hold) => Some(format!("nothing is done ({}): {}. Ends {}", hold.code, hold.reason, hold.ends)),
    };
    chain.extend(decided.map(|text| (Link::Decided, text)));
    if symptom.is_some_and(|symptom| symptom.failed || symptom.lacks.is_some()) {
        would(state, server, now, chain);
    }
}

fn guarded(state: &State, symptom: &s1_detect::Symptom, now: Instant, chain: &mut Chain) {
    if !s1_detect::is_suspicion(symptom.kind) {
        return;
    }
    for domain in guard::domains(state, &symptom.machine, now) {
        if domain.let_go.contains(&symptom.machine) {
            chain.push((Link::Guarded, format!("{} holds it no more: persons have let it go", domain.shared)));
            continue;
        }
        let held = if domain.holds(&symptom.machine) { "held" } else { "free" };
        let text = format!(
            "{} is {held}: {} of its {} machines suspect within {}, and it is held from {} on",
            domain.shared,
            domain.suspects.len(),
            domain.machines,
            domain.window,
            domain.held_from
        );
        chain.push((Link::Guarded, text));
    }
}

/// What is waited for in mode `approve`.
fn asked(state: &State, server: &ServerId, now: Instant) -> String {
    let needed = consent::needed(state);
    let Some(proposal) = state.ledger.servers.get(server).and_then(|row| row.proposed.as_ref()) else {
        return format!("{needed} must agree to what would be done, and nothing could be shown yet");
    };
    let given: Vec<String> = consent::to_plan(state, server, &proposal.hash, now).into_iter().collect();
    let given = if given.is_empty() { "nobody has yet".to_owned() } else { format!("{} did", given.join(", ")) };
    format!("{needed} must agree to move it to {} (mode `approve`); {given}", proposal.body.target)
}

fn would(state: &State, server: &ServerId, now: Instant, chain: &mut Chain) {
    let (target, passed_over) = fit::choose(state, server, now);
    let text = target.map_or_else(|| "no spare fits it".to_owned(), |target| format!("it would go to {target}"));
    chain.push((Link::Would, text));
    chain.extend(passed_over.into_iter().map(|passed| (Link::Would, format!("not to {}: {}", passed.machine, passed.reason))));
}
