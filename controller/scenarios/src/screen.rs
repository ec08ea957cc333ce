//! What a person sees while it happens: lines that stay, and below them a few that are drawn anew. Where nobody looks, only lines.

use std::io::Write;
use std::time::Instant;

use console::Term;

use crate::limits::PLAIN_EVERY;

/// The screen.
pub struct Screen {
    live: Option<Term>,
    drawn: usize,
    start: Instant,
    plain: Option<Instant>,
}

impl Screen {
    /// A live screen, unless there is none or lines are wanted.
    pub fn new(headless: bool) -> Screen {
        let term = Term::stdout();
        let live = (!headless && term.is_term()).then_some(term);
        Screen { live, drawn: 0, start: Instant::now(), plain: None }
    }

    fn clear(&mut self) {
        if let Some(term) = &self.live {
            // a terminal that went away shows nothing anyway
            let _ = term.clear_last_lines(self.drawn);
        }
        self.drawn = 0;
    }

    /// A line that stays.
    pub fn line(&mut self, text: &str) {
        self.clear();
        let mut out = std::io::stdout();
        // nobody reads: nothing is lost
        let _ = writeln!(out, "{text}").and_then(|()| out.flush());
    }

    /// A line that stays, with the time since the beginning.
    pub fn told(&mut self, text: &str) {
        let line = format!("{:7.2} s  {text}", self.start.elapsed().as_secs_f64());
        self.line(&line);
    }

    /// What holds right now: drawn over what held before; where nobody looks, one line every other second.
    pub fn now(&mut self, lines: &[String]) {
        let Some(term) = self.live.clone() else {
            if self.plain.is_none_or(|last| last.elapsed() >= PLAIN_EVERY) {
                self.plain = Some(Instant::now());
                let text =
                    lines.iter().filter(|line| !line.trim().is_empty()).map(|line| line.trim()).collect::<Vec<_>>().join(" | ");
                self.told(&text);
            }
            return;
        };
        self.clear();
        let width = usize::from(term.size().1).max(20);
        for line in lines {
            let _ = term.write_line(&console::truncate_str(line, width - 1, "…"));
            self.drawn += 1;
        }
    }
}
