//! `understudy failover approve`: shows the plan that waits, lets a person type the server's name, and agrees to that plan and no other.

use crate::cli::ApproveFailover;
use crate::exit::{Exit, Failure};
use crate::session::Session;
use crate::{confirm, out, plan, wait};
use api::request;
use api::view::{PlanView, ServerView};
use vocabulary::Fault;

/// Agrees.
pub async fn approve(session: &Session, arguments: &ApproveFailover) -> Result<(), Failure> {
    let server = &arguments.server;
    let shown = proposal(session, arguments).await?;
    if let Some(wanted) = arguments.hash.as_deref().filter(|wanted| wanted.is_empty() || !shown.hash.starts_with(wanted)) {
        let message = format!("the plan that waits for {server} is {}, and not {wanted}", shown.hash);
        let remedy = format!("`understudy failover approve {server}` shows the plan that waits now");
        return Err(Failure::new(Exit::Changed, Fault::new(67, message, remedy)));
    }
    if !arguments.yes {
        let text = plan::text(&shown, session.look);
        let consequence = format!("{text}\n\n{server} will be cut off from {}.", shown.summary.from.join(", "));
        confirm::typed(server.as_str(), &consequence, false)?;
    }
    let (hash, reason) = (shown.hash, arguments.reason.clone());
    let body = request::ApproveFailover { server: server.clone(), hash, reason };
    let waits = format!("you have agreed; `{}` shows what is still waited for", session.command(&format!("server why {server}")));
    let outcome = wait::order(session, "/v1/failovers/approve", &body, arguments.wait, &waits).await;
    match &outcome {
        Err(Failure { exit: Exit::Changed, .. }) => {
            if let Ok(now) = proposal(session, arguments).await {
                out::talk(&plan::text(&now, session.look));
            }
        }
        Ok(()) => tell_missing(session, arguments).await,
        Err(_) => {}
    }
    outcome
}

async fn proposal(session: &Session, arguments: &ApproveFailover) -> Result<PlanView, Failure> {
    Ok(session.view::<PlanView>(&format!("/v1/servers/{}/proposal", arguments.server)).await?.view)
}

/// Who else has to agree, if it waits on.
async fn tell_missing(session: &Session, arguments: &ApproveFailover) {
    let Ok(seen) = session.view::<ServerView>(&format!("/v1/servers/{}", arguments.server)).await else { return };
    let Some(proposal) = seen.view.proposal else { return };
    let given: Vec<&str> = proposal.agreed.iter().map(|agreed| agreed.principal.as_str()).collect();
    if given.len() < proposal.needed {
        out::talk(&format!("{} of {} people have agreed: {}", given.len(), proposal.needed, given.join(", ")));
    }
}
