//! Reads what happens to the storage target, and what is expected of it.

use super::words::{Complaint, Words};
use super::{AtTarget, Shown, Step};

/// `target keeps sessions`, `target ends sessions`, `target keeps exports`, `target removes exports`, `target stalls for 20s`.
pub fn target(words: &mut Words<'_>) -> Result<AtTarget, Complaint> {
    match words.need("`keeps`, `ends`, `removes` or `stalls`")? {
        "stalls" => {
            words.word("for")?;
            Ok(AtTarget::Stalls(words.time()?))
        }
        "keeps" => match words.need("`sessions` or `exports`")? {
            "sessions" => Ok(AtTarget::KeepsSessions(true)),
            "exports" => Ok(AtTarget::KeepsExports(true)),
            other => Err(format!("a target keeps sessions or exports, not `{other}`")),
        },
        "ends" => {
            words.word("sessions")?;
            Ok(AtTarget::KeepsSessions(false))
        }
        "removes" => {
            words.word("exports")?;
            Ok(AtTarget::KeepsExports(false))
        }
        other => Err(format!("a target keeps something, ends sessions, removes exports or stalls for a time, not `{other}`")),
    }
}

/// `export web1 again`.
pub fn export(words: &mut Words<'_>) -> Result<AtTarget, Complaint> {
    let server = words.parsed("a server")?;
    words.word("again")?;
    Ok(AtTarget::ExportsAgain(server))
}

/// True if it makes the target do something else than it is asked.
pub fn is_headstrong(step: &Step) -> bool {
    matches!(step, Step::Target(AtTarget::KeepsSessions(_) | AtTarget::KeepsExports(_)))
}

/// `web1 has 1 sessions`, `web1 has 2 exports`, from the number on; `web1 has writes in flight`.
pub fn shown(words: &mut Words<'_>) -> Result<Shown, Complaint> {
    if words.take(&["writes", "in", "flight"]) {
        return Ok(Shown::Writes);
    }
    let number = words.parsed("a number of sessions or exports, nor `writes in flight`")?;
    match words.need("`sessions` or `exports`")? {
        "sessions" => Ok(Shown::Sessions(number)),
        "exports" => Ok(Shown::Exports(number)),
        other => Err(format!("a target has sessions and exports, not `{other}`")),
    }
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
            "target keeps sessions\ntarget ends sessions\ntarget keeps exports\ntarget removes exports\ntarget stalls for 20s\n\
             export web1 again\nexpect web1 has 1 sessions within 5s\nexpect web1 has 2 exports within 5s\n\
             expect web1 has writes in flight within 5s",
        );
        let shown = |shown| Step::Expect(Expectation::AtTarget("web1".parse().unwrap(), shown, Duration::from_secs(5)));
        let wanted = [
            Step::Target(AtTarget::KeepsSessions(true)),
            Step::Target(AtTarget::KeepsSessions(false)),
            Step::Target(AtTarget::KeepsExports(true)),
            Step::Target(AtTarget::KeepsExports(false)),
            Step::Target(AtTarget::Stalls(Duration::from_secs(20))),
            Step::Target(AtTarget::ExportsAgain("web1".parse().unwrap())),
            shown(Shown::Sessions(1)),
            shown(Shown::Exports(2)),
            shown(Shown::Writes),
        ];
        assert_eq!(read.unwrap()[..wanted.len()], wanted);
    }

    #[test]
    fn what_a_target_cannot_do_is_told() {
        for (bad, told) in [
            ("target loves sessions", "not `loves`"),
            ("target keeps", "the line ends where `sessions` or `exports` is expected"),
            ("target keeps writes", "not `writes`"),
            ("target removes sessions", "`exports` is expected where `sessions` stands"),
            ("export web1", "the line ends where `again` is expected"),
            ("target ends exports", "`sessions` is expected where `exports` stands"),
            ("target stalls 20s", "`for` is expected where `20s` stands"),
            ("target stalls for long", "`long` is not a time"),
            ("expect web1 has many sessions", "`many` is not a number"),
            ("expect web1 has 1 session", "not `session`"),
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
