//! `understudy server`: what runs on one machine at a time.

mod list;
mod power;
mod show;
mod why;

use crate::cli::Server;
use crate::exit::Failure;
use crate::session::Session;

/// Runs a verb.
pub async fn run(session: &Session, verb: Server) -> Result<(), Failure> {
    match verb {
        Server::List => list::list(session).await,
        Server::Show { server } => show::show(session, &server).await,
        Server::Why { server } => why::why(session, &server).await,
        Server::Start(of) => power::power(session, &of, "start").await,
        Server::Stop(of) => power::power(session, &of, "stop").await,
        Server::Restart(of) => power::power(session, &of, "restart").await,
    }
}
