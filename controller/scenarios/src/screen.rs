//! What a person sees while it happens: lines that stay, and below them a few that are drawn anew. Where nobody looks, only lines.
//!
//! Each change is one write, over what stands there: nothing flickers. The cursor is never hidden, so that a terminal is as it was
//! however this program ends. Nothing is drawn any more once somebody asked us to stop.

use std::io::Write;
use std::time::Instant;

use console::Term;

use crate::limits::{PLAIN_EVERY, SCREEN_COLUMNS_MIN};
use crate::signals;

/// To the beginning of the line, so many lines up.
fn up(lines: usize) -> String {
    if lines == 0 { "\r".to_owned() } else { format!("\r\x1b[{lines}A") }
}
/// From here to the end of the line, of the screen.
const CLEAR_LINE: &str = "\x1b[K";
const CLEAR_BELOW: &str = "\x1b[J";

/// The screen.
pub struct Screen {
    live: Option<Term>,
    shown: Vec<String>,
    start: Instant,
    plain: Option<Instant>,
}

impl Screen {
    /// A live screen, unless there is none or lines are wanted.
    pub fn new(headless: bool) -> Screen {
        let term = Term::stdout();
        let live = (!headless && term.is_term()).then_some(term);
        Screen { live, shown: Vec::new(), start: Instant::now(), plain: None }
    }

    fn columns(&self) -> usize {
        // the last column stays free: terminals differ in what they do there
        self.live.as_ref().map_or(usize::MAX, |term| usize::from(term.size().1).max(SCREEN_COLUMNS_MIN) - 1)
    }

    /// A line that stays, as it is.
    pub fn line(&mut self, text: &str) {
        let mut out = std::io::stdout();
        let all = if self.live.is_some() && !signals::interrupted() {
            drawn(Some(text), self.shown.len(), &self.shown)
        } else {
            format!("{text}\n")
        };
        // nobody reads: nothing is lost
        let _ = out.write_all(all.as_bytes()).and_then(|()| out.flush());
    }

    /// A sentence that stays, in as many lines as it needs.
    pub fn say(&mut self, text: &str) {
        let lines: Vec<_> = text.split('\n').map(|line| wrapped("", line, self.columns())).collect();
        self.line(&lines.join("\n"));
    }

    /// The same, with the time since the beginning.
    pub fn told(&mut self, text: &str) {
        let head = format!("{:7.2} s  ", self.start.elapsed().as_secs_f64());
        self.line(&wrapped(&head, text, self.columns()));
    }

    /// What holds right now: drawn over what held before; where nobody looks, one line every other second.
    pub fn now(&mut self, lines: &[String]) {
        if signals::interrupted() {
            return;
        }
        if self.live.is_none() {
            if self.plain.is_none_or(|last| last.elapsed() >= PLAIN_EVERY) {
                self.plain = Some(Instant::now());
                let lines: Vec<_> = lines.iter().map(|line| line.trim()).filter(|line| !line.is_empty()).collect();
                self.told(&lines.join(" | "));
            }
            return;
        }
        let columns = self.columns();
        let fresh: Vec<String> = lines.iter().map(|line| console::truncate_str(line, columns, "…").into_owned()).collect();
        let mut out = std::io::stdout();
        // a terminal that went away shows nothing anyway
        let _ = out.write_all(drawn(None, self.shown.len(), &fresh).as_bytes()).and_then(|()| out.flush());
        self.shown = fresh;
    }

    /// Nothing is drawn anew any more: what was, vanishes.
    pub fn rest(&mut self) {
        self.now(&[]);
    }
}

/// The bytes that put lines that stay, if there are any, and below them the live ones where so many live lines stood.
fn drawn(stays: Option<&str>, stood: usize, live: &[String]) -> String {
    let mut bytes = up(stood);
    for line in stays.into_iter().flat_map(|text| text.split('\n')).chain(live.iter().map(String::as_str)) {
        bytes.push_str(line);
        bytes.push_str(CLEAR_LINE);
        bytes.push('\n');
    }
    bytes + CLEAR_BELOW
}

/// A text behind its head, in lines of so many columns, broken at spaces; further lines begin where the text did.
fn wrapped(head: &str, text: &str, columns: usize) -> String {
    let indent = " ".repeat(console::measure_text_width(head));
    let (mut lines, mut open, mut first) = (Vec::new(), head.to_owned(), true);
    for word in text.split(' ') {
        if !first && console::measure_text_width(&open) + 1 + console::measure_text_width(word) > columns {
            lines.push(std::mem::replace(&mut open, indent.clone()));
        } else if !first {
            open.push(' ');
        }
        open.push_str(word);
        first = false;
    }
    lines.push(open);
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_drawn_lies_over_what_stood_there() {
        let live = ["a".to_owned(), "b".to_owned()];
        assert_eq!(drawn(None, 0, &live), "\ra\x1b[K\nb\x1b[K\n\x1b[J");
        assert_eq!(drawn(Some("told"), 2, &live), "\r\x1b[2Atold\x1b[K\na\x1b[K\nb\x1b[K\n\x1b[J");
        assert_eq!(drawn(None, 2, &[]), "\r\x1b[2A\x1b[J");
        assert_eq!(drawn(Some(""), 0, &[]), "\r\x1b[K\n\x1b[J");
    }

    #[test]
    fn no_line_is_longer_than_the_terminal() {
        assert_eq!(wrapped("1.00 s  ", "one two three", 80), "1.00 s  one two three");
        assert_eq!(wrapped("1.00 s  ", "one two three", 15), "1.00 s  one two\n        three");
        assert_eq!(wrapped("", "one twothree", 3), "one\ntwothree");
        assert_eq!(wrapped("", "", 9), "");
    }
}
