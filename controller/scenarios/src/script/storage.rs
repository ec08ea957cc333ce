//! Reads what happens to the storage target, and what is expected of it.

use super::words::{Complaint, Words};
use super::{AtTarget, Shown, Step};

/// `target keeps sessions`, `target ends sessions`, `target stalls for 20s`.
pub fn target(words: &mut Words<'_>) -> Result<AtTarget, Complaint> {
    match words.need("`keeps`, `ends` or `stalls`")? {
        "stalls" => {
            words.word("for")?;
            Ok(AtTarget::Stalls(words.time()?))
        }
        "keeps" => {
            words.word("sessions")?;
            Ok(AtTarget::KeepsSessions(true))
        }
        "ends" => {
            words.word("sessions")?;
            Ok(AtTarget::KeepsSessions(false))
        }
        other => Err(format!("a target keeps or ends sessions, or stalls for a time, not `{other}`")),
    }
}

/// True if it makes the target do something else than it is asked.
pub fn is_headstrong(step: &Step) -> bool {
    matches!(step, Step::Target(AtTarget::KeepsSessions(_)))
}

/// `web1 has 1 sessions`, from the number on; `web1 has writes in flight`.
pub fn shown(words: &mut Words<'_>) -> Result<Shown, Complaint> {
    if words.take(&["writes", "in", "flight"]) {
        return Ok(Shown::Writes);
    }
    let number = words.parsed("a number of sessions, nor `writes in flight`")?;
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
        let read = steps(
            "target keeps sessions\ntarget ends sessions\ntarget stalls for 20s\n\
             expect web1 has 1 sessions within 5s\nexpect web1 has writes in flight within 5s",
        );
        let shown = |shown| Step::Expect(Expectation::AtTarget("web1".parse().unwrap(), shown, Duration::from_secs(5)));
        let wanted = [
            Step::Target(AtTarget::KeepsSessions(true)),
            Step::Target(AtTarget::KeepsSessions(false)),
            Step::Target(AtTarget::Stalls(Duration::from_secs(20))),
            shown(Shown::Sessions(1)),
            shown(Shown::Writes),
        ];
        assert_eq!(read.unwrap()[..wanted.len()], wanted);
    }

    #[test]
    fn what_a_target_cannot_do_is_told() {
        for (bad, told) in [
            ("target loves sessions", "not `loves`"),
            ("target keeps", "the line ends where `sessions` is expected"),
            ("target ends exports", "`sessions` is expected where `exports` stands"),
            ("target stalls 20s", "`for` is expected where `20s` stands"),
            ("target stalls for long", "`long` is not a time"),
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
