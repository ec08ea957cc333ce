//! `understudy machine`: boxes with a BMC.

mod enroll;
mod list;
mod probe;
mod release;
mod show;

use crate::cli::Machine;
use crate::exit::Failure;
use crate::session::Session;

/// Runs a verb.
pub async fn run(session: &Session, verb: Machine) -> Result<(), Failure> {
    match verb {
        Machine::List => list::list(session).await,
        Machine::Show { machine } => show::show(session, &machine).await,
        Machine::Probe(asked) => probe::probe(session, asked).await,
        Machine::Enroll { machines, wait } => enroll::enroll(session, &machines, wait).await,
        Machine::Release { machine, yes, wait } => release::release(session, &machine, yes, wait).await,
    }
}
