//! Looks now and then at what each BMC tells beyond its readings, for signs of failures to come: worn parts, lost redundancy, memory that
//! cannot be corrected any more. It costs a BMC many questions, so it is seldom, some few at a time, and no poll waits for it.

use crate::eyes::Eyes;
use crate::limits;
use crate::message::Message;
use pipeline::State;
use pipeline::event::Observation;
use pipeline::ledger::Standing;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::{Semaphore, oneshot, watch};
use vocabulary::survey::{LogEntry, Scope, Survey};
use vocabulary::{MachineId, WallTime};

/// The fact in which a driver sums up what its sensors tell (`Warning: ...`, `Critical: ...`, else `OK`).
const BY_SENSORS: &str = "health by sensors";
/// The words that a sum of sensors or a roll-up begins with where something is not well.
const UNWELL: [&str; 2] = ["Warning", "Critical"];
/// What foretells a failure although the machine runs on, in the words of event logs. Whatever else a log calls critical may be long over.
const FORETELL: [&str; 4] = ["uncorrectable", "predictive failure", "predicted failure", "thermal trip"];
/// The fact that a survey has which broke off.
const BROKEN_OFF: &str = "survey";
/// How the log's entries are called among the signs.
const BY_LOG: &str = "event log";

/// Looks at one machine for ever; sooner when its roll-up has turned, which is what its BMC says at each poll where something is not well.
pub(crate) async fn follow(
    eyes: Eyes,
    machine: MachineId,
    mut rolled_up: watch::Receiver<Option<String>>,
    at_once: Arc<Semaphore>,
) {
    drop(tokio::time::timeout(eyes.chance.up_to(limits::SIGNS_EVERY), rolled_up.changed()).await);
    loop {
        // never closed
        if let Ok(place) = at_once.acquire().await {
            let looked = tokio::select! {
                looked = eyes.agents.survey(&machine, Scope::FactsAndLog) => Some(looked),
                () = is_needed(&eyes, &machine) => None,
            };
            match looked {
                Some(Ok(survey)) if is_whole(&survey) => {
                    let signs = signs(&survey, rolled_up.borrow_and_update().as_deref());
                    eyes.tell(Observation::Signs { machine: machine.clone(), signs });
                }
                Some(Ok(_)) => tracing::debug!(%machine, "its BMC told only a part: no signs were looked for"),
                Some(Err(error)) => tracing::debug!(%machine, %error, "no signs were looked for"),
                None => tracing::debug!(%machine, "its BMC is needed for something else: no signs are looked for"),
            }
            drop(place);
        }
        tokio::time::sleep(limits::SIGNS_GAP).await;
        drop(tokio::time::timeout(limits::SIGNS_EVERY, rolled_up.changed()).await);
    }
}

/// Returns as soon as somebody may need the machine's BMC: a plan works on it, or its server is suspected. Who fences by it needs an unbroken
/// session, and a question of ours that is not answered in time would break it.
async fn is_needed(eyes: &Eyes, machine: &MachineId) {
    loop {
        let (reply, answer) = oneshot::channel();
        let of = machine.clone();
        let question = Box::new(move |state: &State| {
            let bears = match state.ledger.standing(&of) {
                Standing::Quarantined { .. } => true,
                Standing::Bearing(server) => state.ledger.servers.get(&server).is_some_and(|row| row.suspected.is_some()),
                _ => false,
            };
            // whoever asked may have gone; nothing is lost
            let _ = reply.send(bears || state.ledger.open_plan_on(&of).is_some());
        });
        // the core is gone only when the process ends
        if eyes.mouth.queue.send(Message::Query(question)).await.is_err() || answer.await.unwrap_or(true) {
            return;
        }
        tokio::time::sleep(limits::SIGNS_ASIDE_EVERY).await;
    }
}

/// Whether the BMC has told all that it was asked for. What one tells that breaks off is no look that found nothing.
fn is_whole(survey: &Survey) -> bool {
    survey.facts.iter().any(|fact| fact.name == BY_SENSORS) && !survey.facts.iter().any(|fact| fact.name == BROKEN_OFF)
}

/// Whether this word of a BMC says that something is not well.
pub(crate) fn is_unwell(health: &str) -> bool {
    UNWELL.iter().any(|word| health.starts_with(word))
}

/// What a survey tells of failures to come, by name. What comes from outside is cut to a bounded length.
fn signs(survey: &Survey, rolled_up: Option<&str>) -> BTreeMap<String, String> {
    let facts = survey.facts.iter().filter(|fact| fact.name == BY_SENSORS && is_unwell(&fact.value));
    let mut all: BTreeMap<String, String> = facts.map(|fact| (BY_SENSORS.to_owned(), clipped(&fact.value))).collect();
    if let Some(word) = rolled_up.filter(|_| all.is_empty()) {
        all.insert(BY_SENSORS.to_owned(), format!("{}, and no sensor says why", clipped(word)));
    }
    let newest = survey.log.iter().rev().find(|entry| foretells(entry, survey.at));
    if let Some(entry) = newest {
        all.insert(BY_LOG.to_owned(), clipped(&format!("{}: {} (entry {})", entry.kind, entry.what, entry.id)));
    }
    all
}

/// Whether an entry of the last days does. One whose time is not known, or whose clock is wrong, says nothing of now.
fn foretells(entry: &LogEntry, asked: Option<WallTime>) -> bool {
    let text = format!("{} {}", entry.kind, entry.what).to_lowercase();
    let age_ms = asked.zip(entry.at).map(|(now, at)| now.0.abs_diff(at.0));
    let lately = age_ms.is_some_and(|age_ms| u128::from(age_ms) <= limits::SIGNS_LOG_AGE.as_millis());
    entry.severity == "Critical" && lately && FORETELL.iter().any(|word| text.contains(word))
}

fn clipped(text: &str) -> String {
    text.chars().take(limits::SIGN_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use vocabulary::survey::Fact;

    const NOW: WallTime = WallTime(1_790_000_000_000);

    fn entry(at: Option<u64>, what: &str, severity: &'static str) -> LogEntry {
        LogEntry { id: "7".into(), at: at.map(WallTime), kind: "memory".into(), what: what.into(), severity: severity.into() }
    }

    fn survey(value: &str, log: Vec<LogEntry>) -> Survey {
        let facts = [("inlet", "22 °C"), (BY_SENSORS, value)];
        let facts = facts.into_iter().map(|(name, value)| Fact { name: name.into(), value: value.into() }).collect();
        Survey { at: Some(NOW), facts, log }
    }

    #[test]
    fn what_is_worn_or_lost_is_a_sign_and_nothing_else_is() {
        let day_ms = 86_400_000;
        assert_eq!(signs(&survey("OK", vec![]), None), BTreeMap::new());
        let worn = signs(&survey("Warning: power redundancy N+m", vec![]), Some("Warning"));
        assert_eq!(worn, [(BY_SENSORS.to_owned(), "Warning: power redundancy N+m".to_owned())].into());
        let memory = |at, severity| signs(&survey("OK", vec![entry(at, "Uncorrectable error", severity)]), None);
        let rolled_up = signs(&survey("OK", vec![]), Some("Critical"));
        assert_eq!(rolled_up, [(BY_SENSORS.to_owned(), "Critical, and no sensor says why".to_owned())].into());
        let told = [(BY_LOG.to_owned(), "memory: Uncorrectable error (entry 7)".to_owned())].into();
        assert_eq!(memory(Some(NOW.0 - day_ms), "Critical"), told);
        for (at, severity) in
            [(None, "Critical"), (Some(0), "Critical"), (Some(NOW.0 - 8 * day_ms), "Critical"), (Some(NOW.0), "OK")]
        {
            assert_eq!(memory(at, severity), BTreeMap::new(), "{at:?} {severity}");
        }
        let other = signs(&survey("OK", vec![entry(Some(NOW.0), "power supply input lost", "Critical")]), None);
        assert_eq!(other, BTreeMap::new());
    }

    #[test]
    fn a_survey_that_broke_off_is_no_look_that_found_nothing() {
        let mut told = survey("OK", vec![]);
        assert!(is_whole(&told));
        told.facts.push(Fact { name: BROKEN_OFF.into(), value: "broken off: late".into() });
        assert!(!is_whole(&told) && !is_whole(&Survey::default()));
    }

    #[test]
    fn what_comes_from_outside_is_bounded() {
        let long = signs(&survey(&format!("Critical: {}", "x".repeat(100_000)), vec![]), None);
        assert_eq!(long[BY_SENSORS].chars().count(), limits::SIGN_CHARS_MAX);
    }
}
