//! Follows plans to their end. It only looks: when it stops looking, for whatever reason, the plans go on.

use crate::cli::Wait;
use crate::exit::{Exit, Failure};
use crate::progress::Board;
use crate::render::{self, offset};
use crate::session::{Seen, Session};
use crate::{limits, out};
use api::client;
use api::view::{AcceptedView, PlanView, StatusView, WatchView};
use serde::Serialize;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use vocabulary::Fault;
use vocabulary::fault::Code;

/// The number of the newest entry: what a request will cause comes after it.
pub async fn newest(session: &Session) -> Result<u64, Failure> {
    Ok(session.view::<StatusView>("/v1/status").await?.view.revision)
}

/// Sends a request that may open a plan and, unless told not to, follows that plan. `idle` is said if there was nothing to do.
pub async fn order(session: &Session, path: &str, body: &impl Serialize, wait: Wait, idle: &str) -> Result<(), Failure> {
    let after = newest(session).await?;
    let accepted: Seen<AcceptedView> = session.order(path, body).await?;
    let Some(plan) = accepted.view.plan.clone() else {
        return session.show(&accepted, |_| idle.to_owned());
    };
    if wait.no_wait {
        return session.show(&accepted, |_| opened(session, &plan));
    }
    let ended = follow(session, &BTreeSet::from([plan]), after, wait).await?;
    for plan in &ended {
        session.show(plan, end)?;
    }
    ended.iter().try_for_each(|plan| success(session, &plan.view))
}

/// A plan that nobody waits for.
pub fn opened(session: &Session, plan: &str) -> String {
    format!("{plan} is open; `{}` follows it", session.command(&format!("watch --until-closed {plan}")))
}

/// A plan's end in one line.
pub fn end(plan: &PlanView) -> String {
    let summary = &plan.summary;
    let took = summary.closed.map(|at| format!(" after {}", render::length(at.saturating_sub(summary.sealed))));
    let result = summary.result.as_deref().unwrap_or("no word");
    let word = if summary.state == "done" { "is done" } else { &summary.state };
    format!("{} ({}) {word}{}: {result}", summary.id, summary.kind, took.unwrap_or_default())
}

/// `Ok` if a plan is done; if it failed, its own fault.
pub fn success(session: &Session, plan: &PlanView) -> Result<(), Failure> {
    if plan.summary.state == "done" {
        return Ok(());
    }
    let result = plan.summary.result.clone().unwrap_or_default();
    let (code, reason) = result.split_once(": ").unwrap_or(("", &result));
    let code = code.strip_prefix('F').and_then(|digits| digits.parse().ok()).unwrap_or(61);
    let remedy = format!("`{}` shows its steps", session.command(&format!("plan show {}", plan.summary.id)));
    let message = format!("{} ({}) came to nothing: {reason}", plan.summary.id, plan.summary.kind);
    Err(Failure::new(Exit::No, Fault { code: Code(code), message, remedy }))
}

/// Follows plans until all are closed, the deadline passes or the user has enough.
pub async fn follow(session: &Session, plans: &BTreeSet<String>, after: u64, wait: Wait) -> Result<Vec<Seen<PlanView>>, Failure> {
    let names = plans.iter().cloned().collect::<Vec<_>>();
    let goes_on = |session: &Session| {
        let first = names.first().map(String::as_str).unwrap_or_default();
        format!("it goes on; `{}` follows it", session.command(&format!("watch --until-closed {first}")))
    };
    let deadline = wait.deadline.map_or(Duration::MAX, |span| span.as_duration());
    let mut trail = Trail::new(plans, after);
    tokio::select! {
        ended = trail.until_closed(session) => ended?,
        () = tokio::time::sleep(deadline) => {
            let length = wait.deadline.unwrap_or_default();
            let message = format!("{} is not closed after {length}", names.join(", "));
            return Err(Failure::new(Exit::Deadline, Fault::new(65, message, goes_on(session))));
        }
        _ = tokio::signal::ctrl_c() => {
            let message = format!("no longer following {}", names.join(", "));
            return Err(Failure::new(Exit::Interrupted, Fault::new(66, message, goes_on(session))));
        }
    }
    let mut ended = Vec::new();
    for plan in &names {
        ended.push(session.view(&format!("/v1/plans/{plan}")).await?);
    }
    Ok(ended)
}

/// Where we are in what happens.
struct Trail {
    open: BTreeSet<String>,
    plans: BTreeSet<String>,
    last: u64,
    base: Option<u64>,
    board: Board,
}

impl Trail {
    fn new(plans: &BTreeSet<String>, after: u64) -> Trail {
        Trail { open: plans.clone(), plans: plans.clone(), last: after, base: None, board: Board::new(true) }
    }

    async fn until_closed(&mut self, session: &Session) -> Result<(), Failure> {
        let mut patience = Patience::default();
        while !self.open.is_empty() {
            let path = format!("/v1/watch?after={}", self.last);
            let began = Instant::now();
            let outcome = session.client.watch(&path, |line| self.take(line)).await;
            patience.judge(outcome, began).await?;
        }
        Ok(())
    }

    /// Takes a line; false when all plans are closed.
    fn take(&mut self, line: &str) -> bool {
        let Some(line) = serde_json::from_str(line).ok().and_then(cleaned) else { return true };
        self.last = self.last.max(line.revision);
        if line.plan.as_ref().is_some_and(|plan| self.plans.contains(plan)) {
            self.tell(&line);
            if line.kind == "closed" {
                self.open.retain(|open| Some(open) != line.plan.as_ref());
            }
        }
        !self.open.is_empty()
    }

    fn tell(&mut self, line: &WatchView) {
        self.board.take(line);
        let base = *self.base.get_or_insert(line.at);
        // on a terminal the board shows the stages; single commands and their retries are for `watch`
        if !self.board.is_live() && !matches!(line.kind.as_str(), "intent" | "outcome") {
            out::talk(&format!("{} {}", offset(line.at, base), line.text));
        }
    }
}

/// A line, cleaned of what could steer a terminal.
pub fn cleaned(raw: serde_json::Value) -> Option<WatchView> {
    serde_json::from_value(render::clean_value(raw)).ok()
}

/// How long a controller that went away is waited for.
#[derive(Default)]
pub struct Patience {
    lost: Option<Instant>,
}

impl Patience {
    /// After a watch that began at `began` ended: go on, or give up with its error.
    pub async fn judge(&mut self, outcome: Result<(), client::Error>, began: Instant) -> Result<(), Failure> {
        let error = match outcome {
            Ok(()) => return Ok(()),
            Err(error @ client::Error::Fault { .. }) => return Err(error.into()),
            Err(error) => error,
        };
        // a watch that lasted was a controller that answered
        if began.elapsed() > limits::CONTROLLER_AGAIN {
            self.lost = None;
        }
        if self.lost.is_none() {
            out::talk("the controller went away; waiting for it to come back");
        }
        let lost = *self.lost.get_or_insert_with(Instant::now);
        if lost.elapsed() > limits::CONTROLLER_BACK {
            return Err(error.into());
        }
        tokio::time::sleep(limits::CONTROLLER_AGAIN).await;
        Ok(())
    }
}
