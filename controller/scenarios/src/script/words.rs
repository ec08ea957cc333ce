//! The words of one line, taken one after the other. Every complaint names what was expected and what was found.

use std::str::FromStr;
use std::time::Duration;

use crate::limits::STEP_TIME_MAX;

/// A complaint about a line, without its number.
pub type Complaint = String;

/// The rest of a line.
#[derive(Clone, Debug)]
pub struct Words<'a> {
    rest: Vec<&'a str>,
}

impl<'a> Words<'a> {
    /// Of a line.
    pub fn of(line: &'a str) -> Words<'a> {
        let mut rest: Vec<&str> = line.split_whitespace().collect();
        rest.reverse();
        Words { rest }
    }

    /// The next word, if there is one.
    pub fn next(&mut self) -> Option<&'a str> {
        self.rest.pop()
    }

    /// The next word; `what` is expected.
    pub fn need(&mut self, what: &str) -> Result<&'a str, Complaint> {
        self.next().ok_or_else(|| format!("the line ends where {what} is expected"))
    }

    /// The next word understood as a name or a number.
    pub fn parsed<T: FromStr>(&mut self, what: &str) -> Result<T, Complaint> {
        let word = self.need(what)?;
        word.parse().map_err(|_| format!("`{word}` is not {what}"))
    }

    /// This very word next.
    pub fn word(&mut self, wanted: &str) -> Result<(), Complaint> {
        match self.next() {
            Some(word) if word == wanted => Ok(()),
            Some(word) => Err(format!("`{wanted}` is expected where `{word}` stands")),
            None => Err(format!("the line ends where `{wanted}` is expected")),
        }
    }

    /// These words next, if they are there; otherwise nothing is taken.
    pub fn take(&mut self, wanted: &[&str]) -> bool {
        let there = self.rest.len() >= wanted.len() && self.rest.iter().rev().zip(wanted).all(|(found, wanted)| found == wanted);
        if there {
            self.rest.truncate(self.rest.len() - wanted.len());
        }
        there
    }

    /// `within TIME`, or the usual time.
    pub fn within(&mut self, usual: Duration) -> Result<Duration, Complaint> {
        if self.take(&["within"]) { self.time() } else { Ok(usual) }
    }

    /// A time with its unit: `300ms`, `90s`, `2m`.
    pub fn time(&mut self) -> Result<Duration, Complaint> {
        let word = self.need("a time")?;
        time(word).ok_or_else(|| format!("`{word}` is not a time: write 300ms, 90s or 2m, one hour at most"))
    }

    /// Nothing may be left.
    pub fn end(mut self) -> Result<(), Complaint> {
        match self.next() {
            None => Ok(()),
            Some(word) => Err(format!("`{word}` is one word too many")),
        }
    }
}

fn time(word: &str) -> Option<Duration> {
    let split = word.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = word.split_at(split);
    let number: u64 = number.parse().ok()?;
    let time = match unit {
        "ms" => Duration::from_millis(number),
        "s" => Duration::from_secs(number),
        "m" => Duration::from_secs(number.checked_mul(60)?),
        _ => return None,
    };
    (time <= STEP_TIME_MAX).then_some(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units_and_an_end() {
        assert_eq!(time("300ms"), Some(Duration::from_millis(300)));
        assert_eq!(time("2m"), Some(Duration::from_secs(120)));
        for bad in ["", "s", "5", "5h", "-1s", "61m", "99999999999999999999s", "18446744073709551615m", "1.5s"] {
            assert_eq!(time(bad), None, "{bad}");
        }
    }

    #[test]
    fn several_words_are_taken_together_or_not_at_all() {
        let mut words = Words::of("power m1");
        assert!(!words.take(&["power", "m2"]));
        assert!(words.take(&["power", "m1"]));
        assert!(words.end().is_ok());
    }
}
