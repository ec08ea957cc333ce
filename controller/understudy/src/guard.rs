//! `understudy guard`: what the blast-radius guard counts and holds, and a person's word that it was looked at. Dangerous is that word: everything
//! that it lets go is failed over at once, so that a person types the domain's name.

use crate::cli::Guard;
use crate::exit::Failure;
use crate::render::{Look, length, on};
use crate::session::Session;
use crate::{confirm, out};
use api::request::ResumeGuard;
use api::view::{AcceptedView, DomainView, GuardView, SuspectView};
use console::Style;

/// Suspects that are named of each domain.
const NAMED: usize = 12;

/// Runs a verb.
pub async fn run(session: &Session, verb: Guard) -> Result<(), Failure> {
    match verb {
        Guard::Show => {
            let seen = session.view::<GuardView>("/v1/guard").await?;
            session.show(&seen, |view| text(view, session.look))
        }
        Guard::Resume { kind, name, reason, yes } => resume(session, &format!("{} {name}", kind.word()), reason, yes).await,
    }
}

async fn resume(session: &Session, domain: &str, reason: String, yes: bool) -> Result<(), Failure> {
    let seen = session.view::<GuardView>("/v1/guard").await?.view;
    // what is not held is refused by the controller, with what is
    if let Some(held) = seen.domains.iter().find(|found| found.name == domain && found.held) {
        let consequence = format!("What waits for this is failed over at once:\n  {}", suspects(held).join("\n  "));
        confirm::typed(domain, &consequence, yes)?;
    }
    let body = ResumeGuard { domain: domain.to_owned(), reason };
    let accepted = session.order::<AcceptedView>("/v1/guard/resume", &body).await?;
    session.show(&accepted, |_| format!("you have agreed that {domain} goes on"))?;
    let now = session.view::<GuardView>("/v1/guard").await?.view;
    if let Some(found) = now.domains.iter().find(|found| found.name == domain && found.held) {
        let given: Vec<&str> = found.agreed.iter().map(|agreed| agreed.principal.as_str()).collect();
        out::talk(&format!("{} of {} people have agreed: {}", given.len(), now.needed, given.join(", ")));
    }
    Ok(())
}

fn text(view: &GuardView, look: Look) -> String {
    let mut lines = Vec::new();
    if let Some(ms) = view.blind_ms {
        lines.push(format!("blind: no canary has answered for {}, so that nothing is done", length(ms)));
    }
    if view.domains.is_empty() {
        lines.push("no machine is suspect".to_owned());
    }
    for domain in &view.domains {
        let word = if domain.held { "HELD" } else { "free" };
        let title = look.paint(Style::new().bold(), &format!("{}  {word}", domain.name));
        lines.push(format!(
            "{title}  {} of {} machines suspect within {}; held from {} on",
            domain.suspects.len(),
            domain.machines,
            length(domain.window_ms),
            domain.held_from
        ));
        lines.extend(suspects(domain).into_iter().map(|line| format!("  {line}")));
        if !domain.let_go.is_empty() {
            lines.push(format!("  let go: {}", domain.let_go.join(", ")));
        }
        for agreed in &domain.agreed {
            lines.push(format!("  {} has agreed, for {}; {} must", agreed.principal, length(agreed.left_ms), view.needed));
        }
        if domain.held {
            lines.push(format!("  understudy guard resume {} --reason REASON", domain.name));
        }
    }
    lines.join("\n")
}

fn suspects(domain: &DomainView) -> Vec<String> {
    let line = |suspect: &SuspectView| {
        let name = suspect.server.as_ref().map_or_else(|| suspect.machine.clone(), |server| on(server, Some(&suspect.machine)));
        format!("{name}, for {}", length(suspect.for_ms))
    };
    let mut lines: Vec<String> = domain.suspects.iter().take(NAMED).map(line).collect();
    if domain.suspects.len() > NAMED {
        lines.push(format!("and {} more", domain.suspects.len() - NAMED));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suspect(n: usize) -> SuspectView {
        SuspectView { machine: format!("m{n}"), server: (n == 1).then(|| "web1".to_owned()), for_ms: 61_000 }
    }

    fn domain(suspects: usize) -> DomainView {
        DomainView {
            name: "rack r1".into(),
            held: suspects > 1,
            suspects: (1..=suspects).map(suspect).collect(),
            let_go: vec!["m40".into()],
            machines: 40,
            held_from: 2,
            window_ms: 120_000,
            agreed: Vec::new(),
        }
    }

    #[test]
    fn what_is_held_is_told_with_its_suspects_and_the_next_command() {
        let view = GuardView { blind_ms: Some(5_000), needed: 2, domains: vec![domain(14)] };
        let told = text(&view, Look { colour: false, width: None });
        for part in [
            "blind: no canary has answered for 5.0 s",
            "rack r1  HELD  14 of 40 machines suspect within 2m 00s; held from 2 on",
            "web1 on m1, for 1m 01s",
            "and 2 more",
            "let go: m40",
            "understudy guard resume rack r1 --reason REASON",
        ] {
            assert!(told.contains(part), "{part}: {told}");
        }
        let free = text(&GuardView { blind_ms: None, needed: 1, domains: vec![domain(1)] }, Look { colour: false, width: None });
        assert!(free.contains("free") && !free.contains("guard resume"), "{free}");
        let none = text(&GuardView { blind_ms: None, needed: 1, domains: Vec::new() }, Look { colour: false, width: None });
        assert_eq!(none, "no machine is suspect");
    }
}
