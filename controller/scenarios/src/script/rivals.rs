//! Reads what becomes of controllers beside the one that is ours, and what is expected of them.

use super::words::{Complaint, Words};
use super::{Beside, Rival};

/// `stop serve`, `copy serve beside`, `stale serve goes on`, `second serve in vain`, `second estate comes`.
pub fn beside(verb: &str, words: &mut Words<'_>) -> Result<Beside, Complaint> {
    let (rest, what): (&[&str], _) = match verb {
        "stop" => (&["serve"], Beside::Stops),
        "copy" => (&["serve", "beside"], Beside::Copied),
        "stale" => (&["serve", "goes", "on"], Beside::GoesOn),
        "second" if words.take(&["serve"]) => (&["in", "vain"], Beside::SecondInVain),
        _ => (&["estate", "comes"], Beside::Comes),
    };
    rest.iter().try_for_each(|word| words.word(word))?;
    Ok(what)
}

/// `stale serve refused`, `second estate refused`.
pub fn refused(words: &mut Words<'_>) -> Option<Rival> {
    if words.take(&["stale", "serve", "refused"]) {
        return Some(Rival::Stale);
    }
    words.take(&["second", "estate", "refused"]).then_some(Rival::Estate)
}

#[cfg(test)]
mod tests {
    use crate::limits::SEEN;
    use crate::script::{Beside, Expectation, Rival, Step, read};
    use std::time::Duration;

    #[test]
    fn what_becomes_of_rivals_is_read() {
        let text = "title T\nup\nstop serve\ncopy serve beside\nrestore serve beside\nrestore serve\nstale serve goes on\nsecond serve in vain\n\
                    second estate comes\n\
                    expect stale serve refused within 9s\nexpect second estate refused\n";
        let steps: Vec<Step> = read("x", text).unwrap().steps.into_iter().skip(1).map(|step| step.step).collect();
        let wanted = [
            Step::Rival(Beside::Stops),
            Step::Rival(Beside::Copied),
            Step::Rival(Beside::Restored),
            Step::RestoreController,
            Step::Rival(Beside::GoesOn),
            Step::Rival(Beside::SecondInVain),
            Step::Rival(Beside::Comes),
            Step::Expect(Expectation::NotObeyed(Rival::Stale, Duration::from_secs(9))),
            Step::Expect(Expectation::NotObeyed(Rival::Estate, SEEN)),
        ];
        assert_eq!(steps, wanted);
        for (bad, told) in [
            ("stop m1", "`serve` is expected where `m1` stands"),
            ("stale serve", "the line ends where `goes` is expected"),
            ("second serve comes", "`in` is expected where `comes` stands"),
            ("second agent comes", "`estate` is expected where `agent` stands"),
            ("restore serve aside", "`aside` is one word too many"),
        ] {
            let faults = read("x", &format!("title T\nup\n{bad}\nexpect acknowledged recovered\n")).unwrap_err();
            assert!(faults[0].complaint.contains(told), "{bad}: {faults:?}");
        }
    }
}
