//! What persons ask of the brakes: hold, resume, maintenance and its end. It must never end a hold by itself.

use crate::out::Out;
use crate::record::{Fact, Subject};
use crate::s4_place;
use crate::state::State;
use vocabulary::{Fault, ServerId, Span, WallTime};

/// Maintenance ends by itself after this at the latest: what is forgotten must not leave a server without help for ever.
pub const MAINTENANCE_MAX: Span = Span::seconds(30 * 86_400);
/// What ends a maintenance whose time is over.
const ITS_TIME: &str = "its time is over";

/// Pulls or lets go the hold of a server or of the whole estate.
pub fn hold(
    state: &mut State,
    out: &mut Out,
    principal: &str,
    server: Option<ServerId>,
    pulled: bool,
    reason: String,
) -> Result<(), Fault> {
    let principal = principal.to_owned();
    // what is held and no longer in the documents can be let go all the same
    let stands = state.ledger.holds.contains_key(&server);
    if let Some(server) = server.as_ref().filter(|_| pulled || !stands) {
        known(state, &Subject::Server(server.clone()))?;
    }
    if pulled {
        out.record(&mut state.ledger, Fact::Hold { server, principal, reason });
        return Ok(());
    }
    if !stands {
        let of = server.map_or_else(|| "the estate".to_owned(), |server| format!("{server} itself"));
        return Err(Fault::new(209, format!("{of} is not held by a person"), "`understudy status` shows what is held, and why"));
    }
    out.record(&mut state.ledger, Fact::Resumed { server, principal, reason });
    Ok(())
}

/// Begins a maintenance, or gives it another end.
pub fn maintain(
    state: &mut State,
    out: &mut Out,
    principal: &str,
    subject: Subject,
    lasts: Span,
    reason: String,
) -> Result<(), Fault> {
    known(state, &subject)?;
    if lasts.0 == 0 || lasts > MAINTENANCE_MAX {
        return Err(Fault::new(
            210,
            format!("a maintenance of {lasts} is not possible: it lasts longer than nothing and at most {MAINTENANCE_MAX}"),
            "give the time that the work takes; it can be set again later",
        ));
    }
    let until = WallTime(out.wall.0.saturating_add(lasts.0));
    out.record(&mut state.ledger, Fact::Maintenance { subject, until, principal: principal.to_owned(), reason });
    Ok(())
}

/// Ends a maintenance.
pub fn end(state: &mut State, out: &mut Out, principal: &str, subject: Subject) -> Result<(), Fault> {
    if !state.ledger.maintenance.contains_key(&subject) {
        known(state, &subject)?;
        let remedy = "`understudy maintenance list` shows those there are";
        return Err(Fault::new(209, format!("{subject} is not in maintenance"), remedy));
    }
    out.record(&mut state.ledger, Fact::MaintenanceEnded { subject, by: principal.to_owned() });
    Ok(())
}

fn known(state: &State, subject: &Subject) -> Result<(), Fault> {
    match subject {
        Subject::Server(server) if !state.estate.servers.contains_key(server) => Err(s4_place::unknown(server)),
        Subject::Machine(machine) if !state.estate.machines.contains_key(machine) => Err(s4_place::unknown_machine(machine)),
        Subject::Server(_) | Subject::Machine(_) => Ok(()),
    }
}

/// Ends what is over: by the time that has passed in this life, since a clock that is set ahead must not end the work of somebody who has his
/// hands in a machine; by a record, so that one that is set back does not begin it anew.
pub fn expire(state: &mut State, out: &mut Out) {
    let (ledger, noticed) = (&state.ledger.maintenance, &mut state.watch.maintained);
    noticed.retain(|(subject, until), _| ledger.get(subject).is_some_and(|maintenance| maintenance.until == *until));
    let mut over = Vec::new();
    for (subject, maintenance) in ledger {
        let left = Span(maintenance.until.0.saturating_sub(out.wall.0));
        let ends = noticed.entry((subject.clone(), maintenance.until)).or_insert(out.now + left);
        if *ends <= out.now {
            over.push(subject.clone());
        }
    }
    for subject in over {
        out.record(&mut state.ledger, Fact::MaintenanceEnded { subject, by: ITS_TIME.to_owned() });
    }
}
