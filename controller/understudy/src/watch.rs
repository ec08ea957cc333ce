//! `understudy watch`: what happens, as it happens: sentences with elapsed time, live stages on a terminal, objects for programs.
//! Nothing is lost and nothing comes twice, also when the controller restarts meanwhile.

use crate::cli;
use crate::exit::{Exit, Failure};
use crate::out;
use crate::progress::Board;
use crate::render::{self, Look, offset};
use crate::session::{Seen, Session};
use crate::wait::{self, Patience};
use api::view::{PlanView, StatusView, WatchView};
use console::Style;
use std::io::IsTerminal;
use std::time::Instant;

/// Follows until told to stop, or until a plan is closed.
pub async fn watch(session: &Session, arguments: &cli::Watch) -> Result<(), Failure> {
    let status: Seen<StatusView> = session.view("/v1/status").await?;
    let plan = arguments.until_closed.map(|plan| plan.to_string());
    let closed = match &plan {
        Some(plan) => plan_of(session, plan).await?.view.summary.closed.is_some(),
        None => false,
    };
    let mut show = Show::new(session, &status.view, arguments.from, plan.clone());
    // a plan that is closed already has its history only
    let newest = closed.then_some(status.view.revision);
    if newest.is_none_or(|newest| show.last < newest) {
        tokio::select! {
            ended = show.until(session, newest) => ended?,
            _ = tokio::signal::ctrl_c() => return Err(Failure::silent(Exit::Interrupted)),
        }
    }
    drop(show);
    let Some(plan) = plan else { return Ok(()) };
    let ended = plan_of(session, &plan).await?;
    if !session.json() {
        out::line(&wait::end(&ended.view))?;
    }
    wait::success(session, &ended.view)
}

async fn plan_of(session: &Session, plan: &str) -> Result<Seen<PlanView>, Failure> {
    session.view(&format!("/v1/plans/{plan}")).await
}

/// What has been shown, and how to show more.
struct Show {
    last: u64,
    base: Option<u64>,
    json: bool,
    look: Look,
    board: Board,
    until: Option<String>,
    end: Option<Result<(), Failure>>,
}

impl Show {
    fn new(session: &Session, status: &StatusView, from: Option<u64>, until: Option<String>) -> Show {
        let wanted = !session.json() && std::io::stdout().is_terminal();
        let mut board = Board::new(wanted);
        let now = render::now_ms();
        if from.is_none() {
            status.plans.iter().for_each(|plan| board.open(plan, now));
        }
        let last = from.unwrap_or(status.revision);
        Show { last, base: None, json: session.json(), look: session.look, board, until, end: None }
    }

    /// Shows lines until the end, or until entry `newest` has been shown.
    async fn until(&mut self, session: &Session, newest: Option<u64>) -> Result<(), Failure> {
        let mut patience = Patience::default();
        loop {
            let path = format!("/v1/watch?after={}", self.last);
            let began = Instant::now();
            let outcome = session.client.watch(&path, |line| self.take(line, newest)).await;
            if let Some(end) = self.end.take() {
                return end;
            }
            patience.judge(outcome, began).await?;
        }
    }

    /// Shows a line; false when it was the last.
    fn take(&mut self, text: &str, newest: Option<u64>) -> bool {
        // a controller of another version may say what is not understood here: programs get it as it came
        let line = serde_json::from_str(text).ok().and_then(wait::cleaned);
        let shown = match &line {
            Some(line) => self.line(line, text),
            None if self.json => out::line(text),
            None => Ok(()),
        };
        if let Some(line) = line {
            self.last = self.last.max(line.revision);
            let closed = line.kind == "closed" && self.until.is_some() && line.plan == self.until;
            if closed || newest.is_some_and(|newest| self.last >= newest) {
                self.end = Some(Ok(()));
            }
        }
        if let Err(failure) = shown {
            self.end = Some(Err(failure));
        }
        self.end.is_none()
    }

    fn line(&mut self, line: &WatchView, text: &str) -> Result<(), Failure> {
        if self.json {
            return out::line(text);
        }
        self.board.take(line);
        let base = *self.base.get_or_insert(line.at);
        let painted = self.look.paint(style(line), &line.text);
        self.board.aside(|| out::line(&format!("{:>9} {painted}", offset(line.at, base))))
    }
}

/// Good news green, bad news red, single commands faint.
fn style(line: &WatchView) -> Style {
    match line.kind.as_str() {
        "verdict" | "held" | "alarm" | "standing-order" => Style::new().red(),
        "suspected" => Style::new().yellow(),
        "proven" | "owned" | "released" | "cleared" => Style::new().green(),
        "closed" if line.text.contains(" is done") => Style::new().green().bold(),
        "closed" => Style::new().red().bold(),
        "sealed" => Style::new().bold(),
        "intent" | "outcome" | "heard" => Style::new().dim(),
        _ => Style::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_plan_is_told_from_its_failure() {
        let line = |text: &str| WatchView {
            revision: 1,
            at: 1,
            kind: "closed".into(),
            plan: Some("P1".into()),
            stage: None,
            subject: None,
            text: text.into(),
        };
        assert_eq!(style(&line("P1 is done: x")), Style::new().green().bold());
        assert_eq!(style(&line("P1 ended (F0801): x")), Style::new().red().bold());
    }
}
