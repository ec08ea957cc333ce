//! Stage 1: observations become symptoms. A symptom is a conclusion about one server on one machine, with its evidence;
//! it never acts, and it never takes a failure to see for something seen.

use crate::event::Observation;
use crate::ledger::Heard;
use crate::plan;
use crate::state::State;
use crate::watch::{MachineWatch, VantageWatch, VolumeWatch, is_vantage};
use std::collections::BTreeSet;
use std::fmt;
use vocabulary::check::CheckOutcome;
use vocabulary::estate::Kdump;
use vocabulary::power::PowerState;
use vocabulary::{AgentId, Instant, MachineId, PlanId, ServerId, Span};

/// A reboot may take this much longer than the last recorded boot.
const REBOOT_MARGIN_PERCENT: u64 = 130;
/// A reading older than this many poll intervals is not "now".
pub const FRESH_POLLS: u64 = 4;
/// A BMC that cannot be read for so many poll intervals is no hiccup: a first failure is told seconds after it was asked for, and the windows of the
/// witnesses that count have run since the fact.
const UNREADABLE_POLLS: u64 = 2;
/// How many Off readings in a row are a symptom.
const OFF_READS: u32 = 2;
/// How many independent domains must agree.
pub const DOMAINS: usize = 2;

/// What is wrong, if anything.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// The machine is off and nobody of ours did it.
    UnexpectedOff,
    /// Power on, every witness silent, I/O counters still.
    Hung,
    /// The service is silent, the machine is alive.
    ServiceDown,
    /// Some vantage point sees the service.
    Partitioned,
    /// It is on its way back by itself.
    Rebooting,
    /// Its kernel has crashed and writes its memory away.
    Dumping,
    /// The service is fine, the BMC is not: it cannot be fenced by power.
    BmcUnreachable,
    /// The BMC, the service and the I/O are all silent.
    PowerSuspected,
    /// The machine that a failover gave the server to has never served it.
    SpareFailed,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Kind::UnexpectedOff => "unexpected-off",
            Kind::Hung => "hung",
            Kind::ServiceDown => "service-down",
            Kind::Partitioned => "partitioned",
            Kind::Rebooting => "rebooting",
            Kind::Dumping => "dumping",
            Kind::BmcUnreachable => "bmc-unreachable",
            Kind::PowerSuspected => "power-suspected",
            Kind::SpareFailed => "spare-failed",
        })
    }
}

/// A symptom with its evidence.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Symptom {
    /// What.
    pub kind: Kind,
    /// On which machine.
    pub machine: MachineId,
    /// True once windows are full and two independent domains agree: the machine is failed.
    pub failed: bool,
    /// Which witness is missing, although all windows are full: no more will be known by waiting, so a person is asked.
    pub lacks: Option<&'static str>,
    /// What was seen, in sentences.
    pub evidence: Vec<String>,
}

/// Folds an observation into the watch.
pub fn observe(state: &mut State, now: Instant, observation: &Observation) {
    match observation {
        Observation::Machine { machine, reading } => {
            let reading = reading.clone().map_err(|error| error.to_string());
            state.watch.machines.entry(machine.clone()).or_default().observe(now, reading);
        }
        Observation::Check { server, vantage, outcome } => {
            let outcome = as_granted(state, server, outcome);
            let watch = state.watch.servers.entry(server.clone()).or_default();
            watch.observe(now, vantage.clone(), outcome);
            let healthy_since = watch.vantages.get(vantage).and_then(|seen| seen.healthy_since);
            let machine = state.ledger.placement(server).and_then(|placement| state.watch.machines.get_mut(&placement.machine));
            if let (Some(since), Some(machine)) = (healthy_since, machine) {
                machine.back(now, since, state.estate.settings.detection.hung_window);
            }
        }
        Observation::Volume { volume, reading } => {
            // a failed reading says nothing of the volume: the last one grows old
            if let Ok(reading) = reading {
                let sessions = reading.sessions.iter().map(|session| session.initiator.0.clone()).collect();
                let before = state.watch.volumes.remove(volume);
                state.watch.volumes.insert(volume.clone(), VolumeWatch::observe(before, now, reading.operations, sessions));
            }
        }
        Observation::Port { port, reading } => {
            if let Ok(reading) = reading {
                state.watch.ports.insert(port.clone(), reading.clone());
            }
        }
        Observation::Contact { contact, .. } => {
            state.watch.machines.entry(contact.machine.clone()).or_default().contact(now, contact.step);
        }
        // judged by `memory`: it is no observation of a machine; and what may come is no symptom
        Observation::Hello { .. } | Observation::Signs { .. } => {}
        Observation::Canaries { alive: true } => {
            if let Some(since) = state.watch.blind_since.take() {
                state.watch.sees_again(since, now);
            }
        }
        Observation::Canaries { alive: false } => {
            state.watch.blind_since.get_or_insert(now);
        }
    }
}

/// Where a server's document waits for no crash dump, one that writes its memory away is silent, and its silence is not interrupted by it.
fn as_granted(state: &State, server: &ServerId, outcome: &CheckOutcome) -> CheckOutcome {
    match outcome {
        CheckOutcome::Dumping(what) if kdump(state, server).is_none() => CheckOutcome::Silent(what.clone()),
        outcome => outcome.clone(),
    }
}

/// What the three witness domains say of one server on its machine.
struct Witnesses<'a> {
    machine: Option<&'a MachineWatch>,
    /// Vantage points heard since the machine's last boot.
    heard: BTreeSet<&'a AgentId>,
    /// Since when all of those are silent; `None` if one is not, or none was heard.
    silent_since: Option<Instant>,
    /// Some vantage point is healthy now.
    healthy: BTreeSet<&'a AgentId>,
    /// Some vantage point gets an answer, right or wrong.
    answering: bool,
    /// What the first vantage point tells that gets a wrong answer.
    wrong: Option<String>,
    /// A plugin at some vantage point says that the service does not work.
    failing: bool,
    /// Since when the first of the silent ones is.
    partly_silent_since: Option<Instant>,
    /// Some vantage point is silent now.
    silent: BTreeSet<&'a AgentId>,
    /// Since when no volume of the server serves an operation.
    still_since: Option<Instant>,
}

/// The vantage points from which a server was heard since its machine's last boot: only their silence counts. One that the documents name no
/// more tells nothing any more.
pub fn heard_since_boot<'a>(state: &'a State, server: &ServerId, machine: &MachineId) -> BTreeSet<&'a AgentId> {
    let watch = state.watch.machines.get(machine);
    let reset = watch.and_then(|w| w.last.as_ref()).and_then(|(_, reading)| reading.last_reset.as_ref());
    let since_boot = |heard: &&Heard| heard.machine == *machine && (reset.is_none() || heard.last_reset.as_ref() == reset);
    let heard = state.ledger.servers.get(server).and_then(|row| row.heard.as_ref()).filter(since_boot);
    let vantages = heard.into_iter().flat_map(|heard| &heard.vantages);
    vantages.filter(|vantage| is_vantage(&state.estate, vantage)).collect()
}

fn witnesses<'a>(state: &'a State, server: &ServerId, machine: &MachineId, now: Instant) -> Witnesses<'a> {
    let detection = &state.estate.settings.detection;
    let watch = state.watch.machines.get(machine);
    let heard = heard_since_boot(state, server, machine);
    let fresh = |at: Instant| is_fresh(state, at, now);
    let (mut healthy, mut silent, mut answering, mut failing) = (BTreeSet::new(), BTreeSet::new(), false, false);
    let (mut silent_since, mut partly_silent_since, mut wrong) = (None, None, None);
    let mut all_heard_silent = !heard.is_empty();
    let gave_up = state.watch.servers.get(server).and_then(|watch| watch.dumping).map(|(first, _)| first);
    let gave_up = gave_up.filter(|_| dumps_since(state, server, now).is_none());
    for (vantage, seen) in state.watch.servers.get(server).map(|w| &w.vantages).into_iter().flatten() {
        // one that writes its memory away for too long is as silent as any other
        let dumped = matches!(seen.outcome, CheckOutcome::Dumping(_)).then_some(gave_up).flatten();
        match seen.silent_since.or(dumped) {
            _ if !fresh(seen.at) => all_heard_silent &= !heard.contains(vantage),
            Some(since) => {
                silent.insert(vantage);
                partly_silent_since = Some(partly_silent_since.map_or(since, |first: Instant| first.min(since)));
                if heard.contains(vantage) {
                    silent_since = Some(silent_since.map_or(since, |later: Instant| later.max(since)));
                }
            }
            // who sees nothing, or only that the service fails, tells neither of life nor of death
            None if !seen.outcome.answered() => failing |= matches!(seen.outcome, CheckOutcome::Failed(_)),
            None => {
                answering = true;
                if let CheckOutcome::Wrong(what) | CheckOutcome::Partly(what) = &seen.outcome {
                    wrong.get_or_insert_with(|| format!("{vantage}: {what}"));
                }
                if seen.healthy_since.is_some() {
                    healthy.insert(vantage);
                }
            }
        }
    }
    all_heard_silent &= heard.iter().all(|vantage| silent.contains(vantage));
    let still_since = still(state, server, now, detection.power_every);
    let silent_since = silent_since.filter(|_| all_heard_silent && !answering);
    Witnesses {
        machine: watch,
        heard,
        silent_since,
        partly_silent_since,
        healthy,
        answering,
        wrong,
        failing,
        silent,
        still_since,
    }
}

/// True for a check that is not too old to tell of now.
fn is_fresh(state: &State, at: Instant, now: Instant) -> bool {
    now.since(at).0 <= FRESH_POLLS * state.estate.settings.detection.check_every.0.max(1000)
}

/// Since when a server's machine is seen to live by as many vantage points as must agree, and its service not to work, while its BMC says On; or what is
/// missing for that. Silence says nothing here: it may be the network's. Nor does a vantage point that has not heard it since its machine's
/// last boot: it may still be starting there.
pub fn ill_since(state: &State, server: &ServerId, machine: &MachineId, now: Instant) -> Result<Instant, String> {
    let seen = witnesses(state, server, machine, now);
    if let Some(well) = seen.healthy.first() {
        return Err(format!("{well} sees it well"));
    }
    if power_now(state, &seen, now) != Some(PowerState::On) {
        return Err(format!("the BMC of {machine} does not say On just now"));
    }
    if seen.machine.is_none_or(|watch| watch.away_since.is_some()) {
        return Err(format!("{machine} has booted since it was last seen well: it may still be starting"));
    }
    let told = state.watch.servers.get(server).into_iter().flat_map(|watch| &watch.vantages);
    // not every BMC tells of a boot: who has not seen it well in this life cannot say that it is ill, and not only starting
    let counts = |(vantage, told): &(&AgentId, &VantageWatch)| {
        seen.heard.contains(vantage) && told.healthy_at.is_some() && is_fresh(state, told.at, now)
    };
    let wrong: Vec<Instant> = told.filter(counts).filter_map(|(_, told)| told.wrong_since).collect();
    match wrong.iter().max() {
        Some(latest) if wrong.len() >= DOMAINS => Ok(*latest),
        _ => Err(format!(
            "{} vantage points that have seen it well since its machine's last boot are answered wrongly now, and {DOMAINS} must agree",
            wrong.len()
        )),
    }
}

/// Since when every volume of the server is still; `None` if one moves, is not counted, or was not read lately.
fn still(state: &State, server: &ServerId, now: Instant, every: Span) -> Option<Instant> {
    let volumes = &state.estate.servers.get(server)?.volumes;
    let mut latest = None;
    for volume in volumes {
        let watch = state.watch.volumes.get(&volume.id())?;
        if now.since(watch.last_read).0 > FRESH_POLLS * every.0.max(1000) {
            return None;
        }
        let since = watch.still_since()?;
        latest = Some(latest.map_or(since, |later: Instant| later.max(since)));
    }
    latest
}

/// Concludes about one server, now. `None` means that nothing is wrong, or that it is not meant to run.
pub fn symptom(state: &State, server: &ServerId, now: Instant) -> Option<Symptom> {
    let row = state.ledger.servers.get(server)?;
    let machine = row.placement.as_ref().filter(|_| row.desired)?.machine.clone();
    let seen = witnesses(state, server, &machine, now);
    let found = spare_failed(state, server, &seen)
        .or_else(|| off(state, &seen, now))
        .or_else(|| dumping(state, server, now))
        .or_else(|| rebooting(state, &machine, &seen, now))
        .or_else(|| silent(state, server, &seen, now))
        .or_else(|| unreachable_bmc(state, &seen, now))?;
    let Found { kind, verdict, evidence } = found;
    let lacks = if let Verdict::Lacks(witness) = verdict { Some(witness) } else { None };
    Some(Symptom { kind, machine, failed: verdict == Verdict::Failed, lacks, evidence })
}

/// What one look finds, before it is tied to a machine.
struct Found {
    kind: Kind,
    verdict: Verdict,
    evidence: Vec<String>,
}

/// How far a symptom has come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// Windows are not full, or it is no sign of a dead machine.
    Open,
    /// Windows are full, and only one domain speaks: this witness is missing.
    Lacks(&'static str),
    /// Windows are full, and two independent domains agree.
    Failed,
}

impl Verdict {
    fn of(windows_full: bool, agreed: bool, witness: &'static str) -> Verdict {
        match (windows_full, agreed) {
            (true, true) => Verdict::Failed,
            (true, false) => Verdict::Lacks(witness),
            (false, _) => Verdict::Open,
        }
    }
}

impl Found {
    fn open(kind: Kind, evidence: Vec<String>) -> Found {
        Found { kind, verdict: Verdict::Open, evidence }
    }
}

/// A failover that ended after its ownership transaction since its target failed: the target is a failed machine at once, is fenced, and
/// the next spare is tried. Not if the server was heard on it after all.
fn spare_failed(state: &State, server: &ServerId, seen: &Witnesses<'_>) -> Option<Found> {
    let row = state.ledger.servers.get(server)?;
    let made_by = state.ledger.plans.get(&PlanId(row.placement.as_ref()?.epoch))?;
    let Some(Err(ended)) = &made_by.closed else { return None };
    let failed = made_by.plan.body().kind == plan::Kind::Failover && made_by.owned && ended.target_failed;
    let never_heard = row.heard.is_none() && seen.healthy.is_empty();
    let found = || Found { kind: Kind::SpareFailed, verdict: Verdict::Failed, evidence: vec![ended.reason.clone()] };
    (failed && never_heard).then(found)
}

fn off(state: &State, seen: &Witnesses<'_>, now: Instant) -> Option<Found> {
    let detection = &state.estate.settings.detection;
    let watch = seen.machine?;
    let since = watch.off_since?;
    // from the first reading to the last: what was not read since may have changed
    let lasted = watch.last.as_ref().map_or(Span(0), |(at, _)| at.since(since));
    let mut evidence = vec![format!("its BMC says Off, {} readings in a row, over {lasted}", watch.off_reads)];
    let mut domains = 1;
    if let Some(silent) = seen.silent_since {
        domains += 1;
        evidence.push(format!("its service is silent from {} vantage points since {}", seen.heard.len(), now.since(silent)));
    } else if seen.still_since.is_some_and(|still| now.since(still) >= detection.off_window) && !seen.answering {
        domains += 1;
        evidence.push("its volumes serve no operation".to_owned());
    }
    let full = lasted >= detection.off_window && watch.off_reads >= OFF_READS;
    let witness = if seen.answering {
        "something answers at the server's address"
    } else {
        "neither its service, not heard since its machine's last boot, nor a volume's counter bears it out"
    };
    let verdict = Verdict::of(full, domains >= DOMAINS, witness);
    Some(Found { kind: Kind::UnexpectedOff, verdict, evidence })
}

/// Since when its kernel writes its memory away, while that is still waited for.
fn dumps_since(state: &State, server: &ServerId, now: Instant) -> Option<(Instant, Span)> {
    let (first, last) = state.watch.servers.get(server)?.dumping?;
    let granted = kdump(state, server)?.lasts_at_most;
    (is_fresh(state, last, now) && now.since(first) < granted).then_some((first, granted))
}

fn kdump(state: &State, server: &ServerId) -> Option<Kdump> {
    state.estate.servers.get(server)?.kdump
}

fn dumping(state: &State, server: &ServerId, now: Instant) -> Option<Found> {
    let (first, granted) = dumps_since(state, server, now)?;
    let lasted = now.since(first);
    let text = format!("its kernel has crashed and writes its memory away since {lasted}; {granted} are granted");
    Some(Found::open(Kind::Dumping, vec![text]))
}

fn rebooting(state: &State, machine: &MachineId, seen: &Witnesses<'_>, now: Instant) -> Option<Found> {
    if !seen.healthy.is_empty() {
        return None;
    }
    let watch = seen.machine?;
    let since = watch.away_since?;
    let recorded = state.ledger.machines.get(machine).and_then(|row| row.boot_ms).map(Span::ms);
    let usual = recorded.unwrap_or(state.estate.settings.detection.boot_time);
    let wait = Span::ms(usual.0.saturating_mul(REBOOT_MARGIN_PERCENT) / 100);
    let lasted = now.since(since);
    let text = || format!("it reset itself {lasted} ago; {wait} are granted (recorded boot time and 30 %)");
    (lasted < wait).then(|| Found::open(Kind::Rebooting, vec![text()]))
}

fn silent(state: &State, server: &ServerId, seen: &Witnesses<'_>, now: Instant) -> Option<Found> {
    // one that may be about to tell that it writes its memory away is given the time for it
    let patience = kdump(state, server).map_or(Span(0), |kdump| kdump.begins_within);
    let window = Span(state.estate.settings.detection.hung_window.0 + patience.0);
    if !seen.healthy.is_empty() {
        let lasted = seen.partly_silent_since.map(|since| now.since(since));
        if lasted.is_none_or(|lasted| lasted < window) {
            return None;
        }
        let text = format!("{} vantage points see the service, {} do not", seen.healthy.len(), seen.silent.len());
        return Some(Found::open(Kind::Partitioned, vec![text]));
    }
    let silent = seen.silent_since.map(|since| now.since(since));
    if let Some(lasted) = silent {
        let mut evidence = vec![format!("its service is silent from {} vantage points since {lasted}", seen.heard.len())];
        let still = seen.still_since.map(|since| now.since(since));
        if let Some(still) = still {
            evidence.push(format!("its volumes serve no operation since {still}"));
        }
        let stands_still = still.is_some_and(|still| still >= window);
        let verdict = |full: bool| Verdict::of(full && lasted >= window, stands_still, "no volume's counter bears it out");
        let power = power_now(state, seen, now);
        let unreachable = seen.machine.and_then(|watch| watch.failing_since).map(|since| now.since(since));
        // the I/O counters decide between a dead machine and a dead service
        let moving = still.is_some_and(|still| still < window) && lasted >= window;
        return Some(match (power, unreachable) {
            _ if moving => Found::open(Kind::ServiceDown, evidence),
            (Some(PowerState::On), _) => {
                evidence.push("its BMC says On".to_owned());
                Found { kind: Kind::Hung, verdict: verdict(true), evidence }
            }
            (None, Some(lasted)) => {
                evidence.push(format!("its BMC cannot be read since {lasted}"));
                let unreadable = lasted.0 >= UNREADABLE_POLLS * state.estate.settings.detection.power_every.0;
                Found { kind: Kind::PowerSuspected, verdict: verdict(unreadable), evidence }
            }
            _ => Found::open(Kind::ServiceDown, evidence),
        });
    }
    let text = if seen.answering {
        let what = seen.wrong.as_ref().map(|what| format!(" ({what})")).unwrap_or_default();
        return Some(Found::open(Kind::ServiceDown, vec![format!("it answers, but not as it should{what}")]));
    } else if !seen.silent.is_empty() {
        "it is silent, and was not heard since its machine's last boot"
    } else if seen.failing {
        "its plugin says that it does not work, which does not tell whether its machine lives"
    } else {
        return None;
    };
    Some(Found::open(Kind::ServiceDown, vec![text.to_owned()]))
}

/// The power state if it was read just now.
fn power_now(state: &State, seen: &Witnesses<'_>, now: Instant) -> Option<PowerState> {
    let watch = seen.machine?;
    let (at, reading) = watch.last.as_ref().filter(|_| watch.failing_since.is_none())?;
    (now.since(*at).0 <= FRESH_POLLS * state.estate.settings.detection.power_every.0).then_some(reading.system_power)
}

fn unreachable_bmc(state: &State, seen: &Witnesses<'_>, now: Instant) -> Option<Found> {
    let lasted = now.since(seen.machine?.failing_since?);
    let text = || format!("its BMC cannot be read since {lasted}: it cannot be fenced by power");
    let long = lasted.0 >= 3 * state.estate.settings.detection.power_every.0;
    long.then(|| Found::open(Kind::BmcUnreachable, vec![text()]))
}

/// True for symptoms that the guard counts: a machine may be failing.
pub fn is_suspicion(kind: Kind) -> bool {
    matches!(kind, Kind::UnexpectedOff | Kind::Hung | Kind::PowerSuspected | Kind::SpareFailed)
}
