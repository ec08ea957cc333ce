//! `understudy failover start`: shows the plan that would be sealed, lets a person type the server's name, and begins only if the
//! plan is still the one that was shown.

use crate::cli::StartFailover;
use crate::exit::{Exit, Failure};
use crate::session::{Seen, Session};
use crate::{confirm, out, plan, wait};
use api::request;
use api::view::PlanView;
use vocabulary::Fault;

const PATH: &str = "/v1/failovers";

/// Starts it, or shows what would be done.
pub async fn start(session: &Session, arguments: &StartFailover) -> Result<(), Failure> {
    let server = &arguments.server;
    if arguments.dry_run {
        let dry = dry_run(session, arguments).await?;
        return session.show(&dry, |view| plan::text(view, session.look));
    }
    if !arguments.yes {
        let shown = dry_run(session, arguments).await?.view;
        let text = plan::text(&shown, session.look);
        let consequence = format!("{text}\n\n{server} will be cut off from {}.", shown.summary.from.join(", "));
        confirm::typed(server.as_str(), &consequence, false)?;
        let now = dry_run(session, arguments).await?.view;
        if now.hash != shown.hash {
            out::talk(&plan::text(&now, session.look));
            let message = format!("the plan for {server} is no longer the one that was shown: its hash is {} now", now.hash);
            let remedy = "look at the new plan above, then start the failover again";
            return Err(Failure::new(Exit::Changed, Fault::new(67, message, remedy)));
        }
    }
    let body = request(arguments, false);
    wait::order(session, PATH, &body, arguments.wait, &format!("no plan was opened for {server}")).await
}

fn request(arguments: &StartFailover, dry_run: bool) -> request::StartFailover {
    request::StartFailover { server: arguments.server.clone(), reason: arguments.reason.clone(), dry_run }
}

async fn dry_run(session: &Session, arguments: &StartFailover) -> Result<Seen<PlanView>, Failure> {
    session.order(PATH, &request(arguments, true)).await
}
