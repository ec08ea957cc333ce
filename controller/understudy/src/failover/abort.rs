//! `understudy failover abort`: gives up what has cut nothing off yet. The server is held, so that it is not begun again at once.

use crate::exit::Failure;
use crate::session::Session;
use api::request::AbortFailover;
use api::view::AcceptedView;
use vocabulary::ServerId;

/// Gives it up.
pub async fn abort(session: &Session, server: ServerId, reason: String) -> Result<(), Failure> {
    let body = AbortFailover { server: server.clone(), reason };
    let seen = session.order::<AcceptedView>("/v1/failovers/abort", &body).await?;
    session.show(&seen, |view| {
        let what =
            view.plan.as_ref().map_or_else(|| "nothing is waited for any more".to_owned(), |plan| format!("{plan} is given up"));
        format!("{what}, and {server} is held until `{}`", session.command(&format!("resume {server}")))
    })
}
