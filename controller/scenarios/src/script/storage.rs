//! Reads what happens to the storage target, and what is expected of it.

use super::words::{Complaint, Words};
use super::{AtTarget, Shown, Step};

/// `target keeps sessions`, `target ends sessions`.
pub fn target(words: &mut Words<'_>) -> Result<AtTarget, Complaint> {
    match words.need("`keeps` or `ends`")? {
        "keeps" => {
            words.word("sessions")?;
            Ok(AtTarget::KeepsSessions(true))
        }
        "ends" => {
            words.word("sessions")?;
            Ok(AtTarget::KeepsSessions(false))
        }
        other => Err(format!("a target keeps or ends sessions, not `{other}`")),
    }
}

/// True if it makes the target do something else than it is asked.
pub fn is_headstrong(step: &Step) -> bool {
    matches!(step, Step::Target(AtTarget::KeepsSessions(_)))
}

/// `web1 has 1 sessions`, from the number on.
pub fn shown(words: &mut Words<'_>) -> Result<Shown, Complaint> {
    let number = words.parsed("a number of sessions")?;
    words.word("sessions")?;
    Ok(Shown::Sessions(number))
}

#[cfg(test)]
mod tests {
    use crate::script::{AtTarget, Expectation, Shown, Step, read};
    use std::time::Duration;

    fn steps(lines: &str) -> Result<Vec<Step>, String> {
        let scenario = read("x", &format!("title T\nup\n{lines}\nexpect acknowledged recovered\n"));
        let scenario =
            scenario.map_err(|faults| faults.into_iter().map(|fault| fault.complaint).collect::<Vec<_>>().join("; "))?;
        Ok(scenario.steps.into_iter().skip(1).map(|step| step.step).collect())
    }

    #[test]
    fn what_happens_to_the_target_is_read() {
        let read = steps("target keeps sessions\ntarget ends sessions\nexpect web1 has 1 sessions within 5s").unwrap();
        let shown = Expectation::AtTarget("web1".parse().unwrap(), Shown::Sessions(1), Duration::from_secs(5));
        let wanted =
            [Step::Target(AtTarget::KeepsSessions(true)), Step::Target(AtTarget::KeepsSessions(false)), Step::Expect(shown)];
        assert_eq!(read[..3], wanted);
        for (bad, told) in [
            ("target loves sessions", "not `loves`"),
            ("target keeps", "the line ends where `sessions` is expected"),
            ("target ends exports", "`sessions` is expected where `exports` stands"),
            ("expect web1 has many sessions", "`many` is not a number"),
            ("expect web1 has 1 session", "`sessions` is expected where `session` stands"),
        ] {
            let complaint = steps(bad).unwrap_err();
            assert!(complaint.contains(told), "{bad}: {complaint}");
        }
    }

    #[test]
    fn only_what_a_target_has_to_be_told_beforehand_is_told() {
        let setup =
            |lines: &str| read("x", &format!("title T\nup\n{lines}\nexpect acknowledged recovered\n")).unwrap().setup.headstrong;
        assert!(setup("target keeps sessions") && !setup("restart target"));
    }
}
