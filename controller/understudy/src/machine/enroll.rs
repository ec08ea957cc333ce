//! `understudy machine enroll`: takes machines in, side by side, and follows their plans.

use crate::cli::Wait;
use crate::exit::Failure;
use crate::session::{Seen, Session};
use crate::{out, wait};
use api::view::AcceptedView;
use serde_json::Value;
use std::collections::BTreeSet;
use vocabulary::MachineId;

/// Enrols them. One that is refused keeps no other from being taken in; it is told, and is the end's exit code.
pub async fn enroll(session: &Session, machines: &[MachineId], wait: Wait) -> Result<(), Failure> {
    let after = wait::newest(session).await?;
    let (mut plans, mut accepted, mut refused) = (BTreeSet::new(), Vec::new(), None);
    for machine in machines {
        let asked = session.order::<AcceptedView>(&format!("/v1/machines/{machine}/enroll"), &Value::Null).await;
        match asked {
            Ok(answer) => {
                plans.extend(answer.view.plan.clone());
                accepted.push(answer);
            }
            Err(failure) => {
                if let Some(earlier) = refused.replace(failure) {
                    tell(session, &earlier);
                }
            }
        }
    }
    let outcome = if wait.no_wait { left(session, &accepted) } else { followed(session, &plans, after, wait).await };
    match (refused, outcome) {
        (None, outcome) => outcome,
        (Some(refusal), Ok(())) => Err(refusal),
        (Some(refusal), Err(failure)) => {
            tell(session, &refusal);
            Err(failure)
        }
    }
}

fn tell(session: &Session, failure: &Failure) {
    let text = if session.json() { failure.json() } else { failure.text() };
    out::talk(&text.unwrap_or_default());
}

fn left(session: &Session, accepted: &[Seen<AcceptedView>]) -> Result<(), Failure> {
    if session.json() {
        return out::json(&accepted.iter().map(|answer| &answer.raw).collect::<Vec<_>>());
    }
    accepted.iter().filter_map(|answer| answer.view.plan.as_deref()).try_for_each(|plan| out::line(&wait::opened(session, plan)))
}

async fn followed(session: &Session, plans: &BTreeSet<String>, after: u64, wait: Wait) -> Result<(), Failure> {
    let ended = wait::follow(session, plans, after, wait).await?;
    if session.json() {
        out::json(&ended.iter().map(|plan| &plan.raw).collect::<Vec<_>>())?;
    } else {
        ended.iter().try_for_each(|plan| out::line(&wait::end(&plan.view)))?;
    }
    ended.iter().try_for_each(|plan| wait::success(session, &plan.view))
}
