//! `understudy failover start`: shows the plan that would be sealed, lets a person type the server's name, and begins only that plan:
//! the controller seals no other than the one whose hash is sent.

use crate::cli::StartFailover;
use crate::exit::{Exit, Failure};
use crate::session::{Seen, Session};
use crate::{confirm, out, plan, wait};
use api::request;
use api::view::PlanView;

const PATH: &str = "/v1/failovers";

/// Starts it, or shows what would be done.
pub async fn start(session: &Session, arguments: &StartFailover) -> Result<(), Failure> {
    let server = &arguments.server;
    if arguments.dry_run {
        let dry = dry_run(session, arguments).await?;
        return session.show(&dry, |view| plan::text(view, session.look));
    }
    let mut hash = None;
    if !arguments.yes {
        let shown = dry_run(session, arguments).await?.view;
        let text = plan::text(&shown, session.look);
        let consequence = format!("{text}\n\n{server} will be cut off from {}.", shown.summary.from.join(", "));
        confirm::typed(server.as_str(), &consequence, false)?;
        hash = Some(shown.hash);
    }
    let body = request(arguments, false, hash);
    let outcome = wait::order(session, PATH, &body, arguments.wait, &format!("no plan was opened for {server}")).await;
    if let Err(Failure { exit: Exit::Changed, .. }) = &outcome
        && let Ok(now) = dry_run(session, arguments).await
    {
        out::talk(&plan::text(&now.view, session.look));
    }
    outcome
}

fn request(arguments: &StartFailover, dry_run: bool, hash: Option<String>) -> request::StartFailover {
    request::StartFailover { server: arguments.server.clone(), reason: arguments.reason.clone(), hash, dry_run }
}

async fn dry_run(session: &Session, arguments: &StartFailover) -> Result<Seen<PlanView>, Failure> {
    session.order(PATH, &request(arguments, true, None)).await
}
