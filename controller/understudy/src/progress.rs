//! Live stages on a terminal: a line for each open plan and each suspicion, with the stages gone through and the time in the present
//! one. It draws on standard error, shows only what the controller told, and is silent where nobody looks.

use crate::limits;
use crate::render::length;
use api::view::{PlanSummary, WatchView};
use indicatif::{MultiProgress, ProgressBar, ProgressState, ProgressStyle};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::io::IsTerminal;
use std::time::Duration;

/// A line of the board.
struct Live {
    bar: ProgressBar,
    stage: Option<(String, u64)>,
    gone: String,
}

/// All lines.
pub struct Board {
    area: Option<MultiProgress>,
    lives: BTreeMap<String, Live>,
}

fn style() -> ProgressStyle {
    let seconds = |state: &ProgressState, out: &mut dyn Write| {
        // a line that cannot be drawn is drawn again soon
        let _ = write!(out, "{:.1} s", state.elapsed().as_secs_f64());
    };
    ProgressStyle::with_template("{spinner} {prefix}  {wide_msg} {seconds:>8}")
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
        .with_key("seconds", seconds)
}

impl Board {
    /// A board that draws only if standard error is a terminal, and is wanted.
    pub fn new(wanted: bool) -> Board {
        let live = wanted && std::io::stderr().is_terminal();
        Board { area: live.then(MultiProgress::new), lives: BTreeMap::new() }
    }

    /// True if stages are drawn.
    pub fn is_live(&self) -> bool {
        self.area.is_some()
    }

    /// A plan that was open before we looked.
    pub fn open(&mut self, plan: &PlanSummary, now: u64) {
        let what = plan.server.as_deref().unwrap_or(&plan.to);
        self.begin(&plan.id, format!("{} {} {what}", plan.id, plan.kind), now.saturating_sub(plan.sealed));
        if let (Some(live), Some(stage)) = (self.lives.get_mut(&plan.id), &plan.stage) {
            live.stage = Some((stage.clone(), now));
            live.bar.set_message(stage.clone());
        }
    }

    /// What happened.
    pub fn take(&mut self, line: &WatchView) {
        let subject = line.subject.clone().unwrap_or_default();
        match (line.kind.as_str(), &line.plan) {
            ("suspected" | "verdict", _) => {
                self.begin(&subject, subject.clone(), 0);
                self.enter(&subject, line.stage.as_deref().unwrap_or("detect"), line.at);
            }
            ("cleared", _) => self.end(&subject),
            ("sealed", Some(plan)) => {
                self.end(&subject);
                let title = line.text.split(" (plan ").next().unwrap_or(&line.text).to_owned();
                self.begin(plan, title, 0);
            }
            ("entered", Some(plan)) => self.enter(plan, line.stage.as_deref().unwrap_or_default(), line.at),
            ("closed", Some(plan)) => self.end(plan),
            _ => {}
        }
    }

    fn begin(&mut self, key: &str, title: String, elapsed: u64) {
        let Some(area) = self.area.as_ref().filter(|_| !self.lives.contains_key(key)) else { return };
        let bar = area.add(ProgressBar::new_spinner().with_style(style()).with_prefix(title));
        bar.set_elapsed(Duration::from_millis(elapsed));
        bar.enable_steady_tick(limits::DRAW);
        self.lives.insert(key.to_owned(), Live { bar, stage: None, gone: String::new() });
    }

    fn enter(&mut self, key: &str, stage: &str, at: u64) {
        let Some(live) = self.lives.get_mut(key) else { return };
        if let Some((before, since)) = live.stage.take() {
            live.gone.push_str(&format!("{before} {} > ", length(at.saturating_sub(since))));
        }
        live.stage = Some((stage.to_owned(), at));
        live.bar.set_message(format!("{}{stage}", live.gone));
        live.bar.reset_elapsed();
    }

    fn end(&mut self, key: &str) {
        if let Some(live) = self.lives.remove(key) {
            live.bar.finish_and_clear();
            if let Some(area) = &self.area {
                area.remove(&live.bar);
            }
        }
    }

    /// Prints something without disturbing the board.
    pub fn aside<T>(&self, print: impl FnOnce() -> T) -> T {
        match &self.area {
            Some(area) => area.suspend(print),
            None => print(),
        }
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        if let Some(area) = &self.area {
            // what is left of it disturbs nothing
            let _ = area.clear();
        }
    }
}
