//! Set H: persons who stand before a machine say that it is off. Where nothing that can be asked proves it, theirs is the word that stands
//! for P; it holds for a quarter of an hour and replaces nothing else. Must never outlast a sign of life: whatever is seen of the machine
//! after the word was given ends it, and it has to be given again.

use super::{life, power};
use crate::consent::{self, Word};
use crate::out::Out;
use crate::plan::Kind;
use crate::record::{Fact, Found};
use crate::state::State;
use crate::work::{Attended, Phase, Work, limits};
use vocabulary::boot::BootContact;
use vocabulary::estate::ProofChoice;
use vocabulary::network::PortReading;
use vocabulary::power::MachineReading;
use vocabulary::request::Resource;
use vocabulary::{Instant, MachineId, Span, VolumeId};

/// What was said of this machine, if people may be a part of this estate's proofs.
fn word(state: &State, work: &Work, machine: &MachineId, now: Instant) -> Option<Word> {
    let allowed = state.estate.settings.fencing.proof == ProofChoice::Any && work.plan.body().kind == Kind::Failover;
    consent::that_off(state, machine, now).filter(|_| allowed)
}

/// For how long a machine is looked for before a word counts: long enough that its server would have been asked twice.
fn settle(state: &State) -> Span {
    limits::WORD_SETTLE.max(Span(state.estate.settings.detection.check_every.0.saturating_mul(3)))
}

/// The proof by word, once the machine was looked for by this very plan, after the last word that is needed. It is as old as the moment it is
/// asked for: it stands for its time, and is not confirmed anew. None is used that will not last until the target is wired.
pub(super) fn proven(state: &State, work: &Work, machine: &MachineId, now: Instant) -> Option<Instant> {
    let word = word(state, work, machine, now)?;
    let attended = work.attended.get(machine).filter(|attended| attended.sign.is_none())?;
    let since = attended.window.since.max(word.complete?);
    let looked = now.since(since) >= settle(state) && !life::is_looked_for(work, machine);
    let lasts = work.phase != Phase::Fence || word.until.since(now) >= limits::WORD_LEFT_MIN;
    // a command to power it on may still be under way; without mains it would come to nothing
    let power = Resource::Machine(machine.clone());
    let at_rest = word.found() != Found::Off || work.advanced.contains(&power);
    (looked && lasts && at_rest).then_some(now)
}

/// Who has said what of each machine of the fence, for the evidence.
pub(crate) fn evidence(state: &State, work: &Work, now: Instant) -> Vec<String> {
    let machines = work.plan.body().fence.iter().filter(|machine| proven(state, work, machine, now).is_some());
    let text = |machine: &MachineId| {
        let word = word(state, work, machine, now)?;
        let ports = &work.attended.get(machine)?.window.ports;
        let heard = ports.values().filter(|heard| heard.looks > 1).count();
        Some(format!("{machine}: {word}; no sign of life since, {heard} of its ports were listened to"))
    };
    machines.filter_map(text).collect()
}

/// Looks for the machine at its ports while a word stands for it, until nothing more rests on that.
pub(super) fn attend(state: &mut State, work: &mut Work, out: &mut Out) {
    if !matches!(work.phase, Phase::Fence | Phase::Wire | Phase::Boot) {
        return;
    }
    for machine in work.plan.body().fence.clone() {
        let Some(word) = word(state, work, &machine, out.now) else {
            over(state, work, &machine);
            continue;
        };
        let looking = life::is_looked_for(work, &machine);
        let attended = work.attended.entry(machine.clone()).or_insert_with(|| Attended::since(out.now));
        if looking {
            // a switch that is slow, or dark, leaves a while in between
            attended.next_look = out.now + limits::WORD_LOOK_EVERY;
            continue;
        }
        let due = attended.next_look <= out.now;
        let counts = word.complete.map(|at| at.max(attended.window.since) + settle(state)).filter(|at| *at > out.now);
        if let Some(counts) = counts {
            out.wake(counts);
        }
        if due {
            attended.next_look = out.now + limits::WORD_LOOK_EVERY;
            life::look(state, work, out, &machine);
        }
    }
}

/// Its word is over. What was proven by it is proven no more, unless the server has moved by it already.
fn over(state: &State, work: &mut Work, machine: &MachineId) {
    let owned = state.ledger.plans.get(&work.plan.id()).is_none_or(|row| row.owned);
    if work.attended.remove(machine).is_some() && !owned {
        work.proven_at = None;
    }
}

/// One of the machine's ports was read: frames that came in between two looks are a sign of life.
pub(super) fn heard(state: &State, work: &mut Work, machine: &MachineId, asked: Instant, reading: &PortReading) {
    let Some(document) = state.estate.machines.get(machine) else { return };
    let found = consent::that_off(state, machine, asked).map(|word| word.found());
    let Some(attended) = work.attended.get_mut(machine).filter(|attended| asked >= attended.window.since) else { return };
    let before = attended.window.ports.get(&reading.port).map(|heard| heard.frames_in);
    let sign = power::look(&mut attended.window, document, reading, "it was said to be off");
    // without mains nothing at all sends there, its BMC neither
    let dark = found.is_some_and(|found| found != Found::Off);
    let grew = before.is_some_and(|before| reading.frames_in > before) && dark;
    attended.sign = sign.or_else(|| grew.then(|| format!("frames came in at {}", reading.port))).or(attended.sign.take());
}

/// Its volume was written, or read, after somebody said that it is off and before anybody else could have done that.
pub fn moved(state: &mut State, out: &mut Out, volume: &VolumeId, before: Instant) {
    let Some((server, machine, _)) = state.ledger.volumes.get(volume) else { return };
    let said = consent::that_off(state, machine, out.now).is_some_and(|word| before >= word.first);
    let waits = state.ledger.open_plan_of(server).is_some_and(|row| !row.owned && row.plan.body().kind == Kind::Failover);
    if said && waits {
        contradict(state, out, &machine.clone(), format!("{volume} serves operations, and nobody else may use it"));
    }
}

/// The server was answered for: one of the machines that are said to be off may have done it.
pub(super) fn answered(state: &State, work: &mut Work, (asked, now): (Instant, Instant), sign: &str) {
    for machine in work.plan.body().fence.clone() {
        let said = word(state, work, &machine, now).is_some_and(|word| asked >= word.first);
        if said {
            sees(work, machine, now, sign.to_owned());
        }
    }
}

/// Its BMC has answered this plan.
pub(super) fn bmc_answered(
    state: &State,
    work: &mut Work,
    machine: &MachineId,
    (asked, now): (Instant, Instant),
    reading: &MachineReading,
) {
    let sign = word(state, work, machine, now).filter(|word| asked >= word.first).and_then(|word| against(&word, reading));
    if let Some(sign) = sign.filter(|_| super::is_target(state, machine, reading).is_ok()) {
        sees(work, machine.clone(), now, sign);
    }
}

fn sees(work: &mut Work, machine: MachineId, now: Instant, sign: String) {
    work.attended.entry(machine).or_insert_with(|| Attended::since(now)).sign = Some(sign);
}

/// A machine that is on is not off, and one without mains has no BMC that answers.
fn against(word: &Word, reading: &MachineReading) -> Option<String> {
    match word.found() {
        Found::Off if reading.all_off() => None,
        // what does not confirm it voids it, `Unknown` included
        Found::Off => Some(match reading.chassis_power {
            Some(rail) => format!("its BMC says {:?}, and {rail:?} of the host's rail", reading.system_power),
            None => format!("its BMC says {:?}", reading.system_power),
        }),
        Found::Unplugged | Found::Removed => Some("its BMC answers".to_owned()),
    }
}

/// Ends the words that were contradicted.
pub(super) fn tell(state: &mut State, work: &mut Work, out: &mut Out) {
    let signs: Vec<(MachineId, String)> =
        work.attended.iter_mut().filter_map(|(machine, attended)| Some((machine.clone(), attended.sign.take()?))).collect();
    for (machine, sign) in signs {
        over(state, work, &machine);
        contradict(state, out, &machine, sign);
    }
}

/// Its BMC was read by the way.
pub fn read(state: &mut State, out: &mut Out, machine: &MachineId, reading: &MachineReading) {
    let sign = consent::that_off(state, machine, out.now).and_then(|word| against(&word, reading));
    if let Some(sign) = sign.filter(|_| super::is_target(state, machine, reading).is_ok()) {
        contradict(state, out, machine, sign);
    }
}

/// It asked a boot service for something. What it asked for long before the word comes again with every start of the controller.
pub fn contacted(state: &mut State, out: &mut Out, contact: &BootContact) {
    let word = consent::that_off(state, &contact.machine, out.now);
    let since = word.is_some_and(|word| contact.at.0.saturating_add(limits::CLOCKS_DIFFER.0) >= word.first_wall.0);
    if since {
        let sign = format!("it asked a boot service for something ({:?})", contact.step);
        contradict(state, out, &contact.machine, sign);
    }
}

fn contradict(state: &mut State, out: &mut Out, machine: &MachineId, sign: String) {
    let Some(word) = consent::that_off(state, machine, out.now) else { return };
    let text = format!("{machine} is not as was said ({word}): {sign}");
    out.record(&mut state.ledger, Fact::OffContradicted { machine: machine.clone(), sign });
    let waited_for = state.ledger.open_plans().any(|row| row.plan.body().fence.contains(machine));
    if !waited_for {
        // it has served its turn; whoever mends the machine plugs it in
        return;
    }
    out.record(&mut state.ledger, Fact::Alarm { subject: machine.to_string(), code: "F0310".to_owned(), text });
}
