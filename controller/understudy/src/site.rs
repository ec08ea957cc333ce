//! `understudy site`: shows in which order a site would be started again, lets a person type its name, agrees to that order and no other, and follows it.

use crate::cli::{Site, StartSite};
use crate::exit::{Exit, Failure};
use crate::render::{Look, count, length, table};
use crate::session::Session;
use crate::{confirm, limits, out};
use api::request;
use api::view::{AcceptedView, SiteStartView, SiteView, StartedView, TurnView};
use console::Style;
use std::collections::BTreeMap;
use vocabulary::Fault;

/// So much of a hash is shown.
const HASH_SHOWN: usize = 12;

/// Runs a verb.
pub async fn run(session: &Session, verb: Site) -> Result<(), Failure> {
    match verb {
        Site::List => {
            let seen = session.view::<Vec<SiteView>>("/v1/sites").await?;
            session.show(&seen, |sites| list(sites, session.look))
        }
        Site::Start(arguments) => start(session, arguments).await,
    }
}

fn list(sites: &[SiteView], look: Look) -> String {
    let row = |site: &SiteView| {
        let starts = if site.waiting == 0 { String::new() } else { format!("{} wait for their turn", site.waiting) };
        vec![site.name.clone(), site.servers.to_string(), starts]
    };
    table(&["SITE", "SERVERS", "START"], sites.iter().map(row).collect(), look.width)
}

async fn start(session: &Session, arguments: StartSite) -> Result<(), Failure> {
    let path = format!("/v1/sites/{}/start", arguments.site);
    let seen = session.view::<SiteStartView>(&path).await?;
    if arguments.dry_run {
        return session.show(&seen, |view| text(view, session.look));
    }
    let view = seen.view;
    if view.state != "proposed" {
        let message = format!("the start of site {} is under way", arguments.site);
        let remedy = format!("`{}` shows how far it is", session.command(&format!("site start {} --dry-run", arguments.site)));
        return Err(Failure::new(Exit::Refused, Fault::new(215, message, remedy)));
    }
    if let Some(wanted) = arguments.hash.as_deref().filter(|wanted| wanted.is_empty() || !view.hash.starts_with(wanted)) {
        let message = format!("the order would be {}, and not {wanted}", view.hash);
        let remedy = format!("`{}` shows it", session.command(&format!("site start {} --dry-run", arguments.site)));
        return Err(Failure::new(Exit::Changed, Fault::new(67, message, remedy)));
    }
    if !arguments.yes && !view.turns.is_empty() {
        let consequence = format!("{}\n\n{} will be powered on.", text(&view, session.look), count(view.turns.len(), "machine"));
        confirm::typed(arguments.site.as_str(), &consequence, false)?;
    }
    let before = view.last.as_ref().map(|last| last.ended);
    let body = request::StartSite { hash: view.hash, reason: arguments.reason };
    let accepted = session.order::<AcceptedView>(&path, &body).await?;
    let now = session.view::<SiteStartView>(&path).await?.view;
    let begun = now.state == "under-way" || now.last.as_ref().map(|last| last.ended) != before;
    if !begun {
        session.show(&accepted, |_| "you have agreed; nothing is powered on before others have".to_owned())?;
        let given: Vec<&str> = now.agreed.iter().map(|agreed| agreed.principal.as_str()).collect();
        out::talk(&format!("{} of {} people have agreed: {}", given.len(), now.needed, given.join(", ")));
        return Ok(());
    }
    if arguments.no_wait {
        return session.show(&accepted, |_| format!("it has begun; `{}` shows how far it is", session.command("site list")));
    }
    follow(session, &path, before).await
}

/// Tells each turn as it comes, until the start has ended. It only looks: when it stops looking, the start goes on.
async fn follow(session: &Session, path: &str, before: Option<u64>) -> Result<(), Failure> {
    let mut told = BTreeMap::new();
    loop {
        let seen = session.view::<SiteStartView>(path).await?;
        let ended = seen.view.last.as_ref().filter(|last| Some(last.ended) != before && seen.view.state != "under-way");
        let turns = ended.map_or(&seen.view.turns, |last| &last.turns);
        for turn in turns.iter().filter(|turn| turn.state != "waits") {
            if told.insert(turn.server.clone(), turn.state.clone()).as_ref() != Some(&turn.state) {
                out::talk(&line(turn));
            }
        }
        if let Some(last) = ended.cloned() {
            session.show(&seen, |_| outcome(&last))?;
            return success(&last);
        }
        tokio::select! {
            () = tokio::time::sleep(limits::SITE_LOOK) => {}
            _ = tokio::signal::ctrl_c() => {
                let remedy = format!("`{}` shows how far it is; `understudy hold` ends it", session.command("site list"));
                return Err(Failure::new(Exit::Interrupted, Fault::new(66, "you have stopped looking; the start goes on", remedy)));
            }
        }
    }
}

fn line(turn: &TurnView) -> String {
    let text = turn.text.as_ref().map(|text| format!(": {text}")).unwrap_or_default();
    format!("  {} on {} {}{text}", turn.server, turn.machine, turn.state)
}

fn outcome(last: &StartedView) -> String {
    format!("{}, after {}", last.result, length(last.ended.saturating_sub(last.since)))
}

/// `Ok` if every server that was to be started was, or did not need it any more.
fn success(last: &StartedView) -> Result<(), Failure> {
    let left: Vec<String> =
        last.turns.iter().filter(|turn| !matches!(turn.state.as_str(), "started" | "passed")).map(line).collect();
    if left.is_empty() {
        return Ok(());
    }
    let message = format!("{} not started:\n{}", count(left.len(), "server"), left.join("\n"));
    Err(Failure::new(Exit::No, Fault::new(215, message, "`understudy server why SERVER` tells what is done about each")))
}

fn text(view: &SiteStartView, look: Look) -> String {
    let hash: String = view.hash.chars().take(HASH_SHOWN).collect();
    let title = match view.state.as_str() {
        "proposed" => format!("site {} would be started in this order ({hash}), {} at once at most", view.site, view.inrush),
        _ => format!("site {} is being started ({hash}), {} at once at most", view.site, view.inrush),
    };
    let mut lines = vec![look.paint(Style::new().bold(), &title)];
    let row = |(number, turn): (usize, &TurnView)| {
        let after = turn.after.join(", ");
        let state = if view.state == "proposed" { String::new() } else { turn.state.clone() };
        vec![
            (number + 1).to_string(),
            turn.server.clone(),
            turn.machine.clone(),
            after,
            state,
            turn.text.clone().unwrap_or_default(),
        ]
    };
    if view.turns.is_empty() {
        lines.push("nothing would be started".to_owned());
    } else {
        let rows = view.turns.iter().enumerate().map(row).collect();
        lines.push(table(&["", "SERVER", "MACHINE", "AFTER", "STATE", ""], rows, look.width));
    }
    if !view.left_out.is_empty() {
        lines.push(String::new());
        lines.push(look.paint(Style::new().bold(), "Left out:"));
        let rows = view.left_out.iter().map(|out| vec![out.server.clone(), out.reason.clone()]).collect();
        lines.push(table(&["SERVER", "BECAUSE"], rows, look.width));
    }
    if !view.agreed.is_empty() {
        let given: Vec<&str> = view.agreed.iter().map(|agreed| agreed.principal.as_str()).collect();
        lines.push(format!("\n{} of {} people have agreed: {}", given.len(), view.needed, given.join(", ")));
    }
    if let Some(last) = &view.last {
        lines.push(format!("\nlast time: {}", outcome(last)));
    }
    lines.join("\n")
}
