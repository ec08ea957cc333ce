//! The ladder of one server: of a restart in place and a replacement, which are open to whom, and which comes first. A machine that is judged dead
//! is replaced and never powered on again by this; one that lives is never replaced without a person's word.

use super::{Hold, mode, restart};
use crate::fit;
use crate::ladder::{self, Choice, Ladder, Needs, Prediction, Stands, Way, whole};
use crate::predict;
use crate::s1_detect::{self, Kind, Symptom};
use crate::state::State;
use restart::Advice;
use vocabulary::estate::Mode;
use vocabulary::storage::Access;
use vocabulary::{Instant, MachineId, ServerId, Span, WallTime};

/// The ladder of a server as it stands now, onto this spare, or onto the one that would be chosen. Where nothing is wrong with it, nothing is open
/// but what a person wants. Empty for one that was never placed.
pub fn of(state: &State, server: &ServerId, onto: Option<&MachineId>, (now, wall): (Instant, WallTime)) -> Ladder {
    ladder(state, server, s1_detect::symptom(state, server, now).as_ref(), onto, (now, wall))
}

fn ladder(
    state: &State,
    server: &ServerId,
    symptom: Option<&Symptom>,
    onto: Option<&MachineId>,
    (now, wall): (Instant, WallTime),
) -> Ladder {
    let Some(placement) = state.ledger.placement(server) else { return Ladder::default() };
    let in_place = Choice {
        way: Way::Restart,
        on: Some(placement.machine.clone()),
        predicted: Some(predict::restart(state, server, &placement.machine)),
        waited: restart::waited(state, server, &placement.machine, now, wall),
        open: in_place(state, server, symptom, now, wall).map(|()| Needs::Nobody),
    };
    let target = target(state, server);
    let lasted = symptom.and_then(|_| lasted(state, server, now));
    ladder::ladder(vec![in_place, replacement(state, server, symptom, onto, now)], target, lasted)
}

/// How long an outage may last, where its group says so.
fn target(state: &State, server: &ServerId) -> Option<Span> {
    state.estate.groups.get(&state.estate.servers.get(server)?.group)?.recovery_target
}

/// Since when nobody sees the server well any more.
fn lasted(state: &State, server: &ServerId, now: Instant) -> Option<Span> {
    let last_well = state.watch.servers.get(server)?.vantages.values().filter_map(|seen| seen.healthy_at).max()?;
    Some(now.since(last_well))
}

fn in_place(state: &State, server: &ServerId, symptom: Option<&Symptom>, now: Instant, wall: WallTime) -> Result<(), String> {
    let Some(symptom) = symptom else { return Err("nothing is wrong with it".to_owned()) };
    match restart::advice(state, server, symptom, now, wall) {
        Advice::Restart | Advice::Watch => Ok(()),
        Advice::Not(why) => Err(why),
        Advice::NoCase if symptom.kind == Kind::ServiceDown => {
            Err("the server's document does not say `service_down: restart`".to_owned())
        }
        Advice::NoCase => Err(format!("{} may be dead, and only one that lives is restarted where it is", symptom.machine)),
    }
}

fn replacement(state: &State, server: &ServerId, symptom: Option<&Symptom>, onto: Option<&MachineId>, now: Instant) -> Choice {
    let spare = onto.cloned().or_else(|| fit::choose(state, server, now).0);
    let past = state.ledger.servers.get(server).into_iter().flat_map(|row| &row.past);
    let fence: Vec<MachineId> = past.filter(|machine| Some(*machine) != spare.as_ref()).cloned().collect();
    let predicted = match &spare {
        None => Err("no spare fits it".to_owned()),
        Some(_) if !moves(state, server) => Err("it has volumes that cannot be moved (F0404)".to_owned()),
        Some(spare) => predict::replace(state, server, &fence, spare),
    };
    // one more spare within a failover is nobody's to ask for again
    let by_itself = symptom.is_some_and(|symptom| match mode(state, server) {
        Mode::Auto => symptom.failed,
        Mode::Approve | Mode::Manual => symptom.kind == Kind::SpareFailed,
        Mode::Observe => false,
    });
    let needs = if by_itself { Needs::Nobody } else { Needs::Person };
    let open = predicted.as_ref().map(|_| needs).map_err(Clone::clone);
    Choice { way: Way::Replace, on: spare, predicted: predicted.ok(), waited: Span(0), open }
}

/// What `s4_place` refuses to plan is no rung.
fn moves(state: &State, server: &ServerId) -> bool {
    let volumes = state.estate.servers.get(server).map(|profile| profile.volumes.as_slice()).unwrap_or_default();
    !volumes.is_empty() && volumes.iter().all(|volume| volume.access != Access::Shared)
}

/// Why a service that could be restarted where it is, is not: that would miss the recovery target, and a spare would not. Once a spare would miss
/// it too, nobody having answered, the restart is no worse than anything else.
pub(super) fn skipped(state: &State, server: &ServerId, symptom: &Symptom, now: Instant, wall: WallTime) -> Option<Hold> {
    // looking for a spare is work, and this is asked several times a second
    target(state, server)?;
    let ladder = ladder(state, server, Some(symptom), None, (now, wall));
    ladder.rung(Way::Restart).filter(|rung| rung.stands == Stands::Skipped)?;
    let spent = ladder.first()?.predicted.as_ref().map_or(Span(0), Prediction::total).0;
    let spent = spent.saturating_add(ladder.lasted.unwrap_or_default().0);
    let left = Span(ladder.target.unwrap_or_default().0.saturating_sub(spent));
    let text = format!(
        "{server} is ill on {}, which lives, and is not restarted there; a person may have it moved: {}",
        symptom.machine,
        ladder.sentences().join("; ")
    );
    let ends = format!(
        "`understudy failover start {server}`, or by itself {} from now, when a spare would miss the target as well: then it is restarted where it is",
        whole(left)
    );
    Some(Hold::new("F0217", text, ends))
}

/// What a person may do about a service that is ill on a machine that lives, with the time that it would take.
pub fn proposal(state: &State, server: &ServerId, symptom: &Symptom, now: Instant) -> String {
    let Choice { on, predicted, open, .. } = replacement(state, server, Some(symptom), None, now);
    match (on, predicted, open) {
        (Some(spare), Some(predicted), Ok(_)) => format!("it could serve on {spare} in {predicted}"),
        (.., Err(why)) => format!("it cannot be moved: {why}"),
        _ => String::new(),
    }
}
