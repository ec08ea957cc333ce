//! `understudy failover`: moves off a machine, begun by hand or by verdict.

mod abort;
mod approve;
mod list;
mod report;
mod show;
mod start;

use crate::cli::Failover;
use crate::exit::Failure;
use crate::session::Session;

/// Runs a verb.
pub async fn run(session: &Session, verb: Failover) -> Result<(), Failure> {
    match verb {
        Failover::Start(arguments) => start::start(session, &arguments).await,
        Failover::Approve(arguments) => approve::approve(session, &arguments).await,
        Failover::Abort { server, reason } => abort::abort(session, server, reason).await,
        Failover::Report { plan } => report::report(session, plan).await,
        Failover::List => list::list(session).await,
        Failover::Show { plan } => show::show(session, plan).await,
    }
}
