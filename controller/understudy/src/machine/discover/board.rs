//! How far a search is, in one line on standard error; silent where nobody looks.

use crate::limits;
use bmc::discover::Progress;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;

/// The line, if standard error is a terminal.
pub struct Board(Option<ProgressBar>);

impl Board {
    /// Draws nothing yet.
    pub fn new() -> Board {
        let live = std::io::stderr().is_terminal();
        let style = ProgressStyle::with_template("{spinner} {wide_msg} {elapsed}");
        Board(live.then(|| {
            let bar = ProgressBar::new_spinner().with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar.enable_steady_tick(limits::DRAW);
            bar
        }))
    }

    /// Draws.
    pub fn draw(&self, progress: &Progress) {
        if let Some(bar) = &self.0 {
            bar.set_message(words(progress));
        }
    }
}

fn words(progress: &Progress) -> String {
    let Progress { addresses, asked, found, read, to_read } = progress;
    match to_read {
        0 => format!("asked {asked} of {addresses} addresses, found {found}"),
        to_read => format!("found {found}; hardware of {read} of {to_read} read"),
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_how_far_it_is() {
        let sweep = Progress { addresses: 254, asked: 12, found: 3, ..Progress::default() };
        assert_eq!(words(&sweep), "asked 12 of 254 addresses, found 3");
        assert_eq!(words(&Progress { read: 1, to_read: 3, ..sweep }), "found 3; hardware of 1 of 3 read");
    }
}
