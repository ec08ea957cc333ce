//! Asking before anything is downloaded or installed. Without a person at the keyboard the answer is no, unless `--yes` or CI said yes
//! beforehand; nothing here may take silence for consent.

use std::io::{BufRead, IsTerminal, Write};

use anyhow::Result;

/// How consent is obtained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consent {
    /// `--yes`, or `CI` is set
    Beforehand,
    /// a person is asked
    Ask,
}

impl Consent {
    /// From the flag and from the environment that CI services set.
    pub fn new(yes: bool) -> Self {
        Self::from(yes, std::env::var("CI").ok().as_deref())
    }

    fn from(yes: bool, ci: Option<&str>) -> Self {
        if yes || matches!(ci, Some("true" | "1")) { Self::Beforehand } else { Self::Ask }
    }

    /// Shows what is about to happen and says whether it may.
    pub fn given(self, what: &str) -> Result<bool> {
        eprintln!("{what}");
        if self == Self::Beforehand {
            return Ok(true);
        }
        let stdin = std::io::stdin();
        if !stdin.is_terminal() {
            eprintln!("Nobody to ask here: repeat with --yes to agree.");
            return Ok(false);
        }
        eprint!("Go on? [Y/n] ");
        std::io::stderr().flush()?;
        let mut answer = String::new();
        if stdin.lock().read_line(&mut answer)? == 0 {
            return Ok(false);
        }
        Ok(is_yes(&answer))
    }
}

fn is_yes(answer: &str) -> bool {
    matches!(answer.trim().to_lowercase().as_str(), "" | "y" | "yes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_flag_or_ci_consents_beforehand() {
        assert_eq!(Consent::from(true, None), Consent::Beforehand);
        assert_eq!(Consent::from(false, Some("true")), Consent::Beforehand);
        assert_eq!(Consent::from(false, Some("")), Consent::Ask);
        assert_eq!(Consent::from(false, None), Consent::Ask);
    }

    #[test]
    fn an_answer_other_than_yes_is_a_no() {
        assert!(is_yes("\n") && is_yes("Y\n"));
        assert!(!is_yes("n\n") && !is_yes("later\n"));
    }
}
