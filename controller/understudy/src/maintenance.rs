//! `understudy maintenance`: says that somebody works on a machine or server, so that nothing is done about it by itself. It always ends.

use crate::cli::{Maintenance, Worked, WorkedKind};
use crate::exit::{Exit, Failure};
use crate::render::{self, length};
use crate::session::Session;
use api::request::{EndMaintenance, SetMaintenance};
use api::view::{AcceptedView, MaintenanceView};
use pipeline::record::Subject;
use vocabulary::Fault;

/// Runs a verb.
pub async fn run(session: &Session, verb: Maintenance) -> Result<(), Failure> {
    match verb {
        Maintenance::Set { of, lasts, reason } => {
            let subject = subject(&of)?;
            let text = format!(
                "{subject} is in maintenance for {}: watched, but nothing is done about it by itself; `{}` ends it",
                length(lasts.0),
                session.command(&format!("maintenance end {subject}"))
            );
            let seen = session.order::<AcceptedView>("/v1/maintenance", &SetMaintenance { subject, lasts, reason }).await?;
            session.show(&seen, |_| text)
        }
        Maintenance::List => {
            let seen = session.view::<Vec<MaintenanceView>>("/v1/maintenance").await?;
            session.show(&seen, |all| table(all, render::now_ms()))
        }
        Maintenance::End { of } => {
            let subject = subject(&of)?;
            let text = format!("the maintenance of {subject} is over");
            let seen = session.order::<AcceptedView>("/v1/maintenance/end", &EndMaintenance { subject }).await?;
            session.show(&seen, |_| text)
        }
    }
}

fn subject(of: &Worked) -> Result<Subject, Failure> {
    let named = match of.kind {
        WorkedKind::Server => of.name.parse().map(Subject::Server).map_err(|error| format!("{error}")),
        WorkedKind::Machine => of.name.parse().map(Subject::Machine).map_err(|error| format!("{error}")),
    };
    named.map_err(|error| {
        let message = format!("`{}` is no name: {error}", of.name);
        Failure::new(Exit::NotFound, Fault::new(56, message, "the `list` verbs of the command line show what there is"))
    })
}

fn table(all: &[MaintenanceView], now: u64) -> String {
    if all.is_empty() {
        return "nothing is in maintenance".to_owned();
    }
    let line = |one: &MaintenanceView| {
        let left = length(one.until.saturating_sub(now));
        format!("{} {}  {left} left, by {}: {}", one.kind, one.name, one.principal, one.reason)
    };
    all.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_worked_on_is_told_with_what_is_left_of_it() {
        let one = |name: &str, until| MaintenanceView {
            kind: "machine".into(),
            name: name.into(),
            principal: "uid 7".into(),
            reason: "new memory".into(),
            since: 0,
            until,
        };
        assert_eq!(table(&[], 5), "nothing is in maintenance");
        let told = table(&[one("m1", 7_200_000), one("m2", 3)], 0);
        assert_eq!(told.lines().count(), 2);
        assert!(told.starts_with("machine m1  ") && told.contains("by uid 7: new memory"), "{told}");
    }
}
