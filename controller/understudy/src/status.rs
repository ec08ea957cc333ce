//! `understudy status`: everything on one screen: servers, what is wrong, and for each trouble the exact next command. What does not
//! fit is counted and named, never silently left out.

use crate::exit::Failure;
use crate::limits::{POLLS_LATE_MS, STATUS_LINES, STATUS_TROUBLES};
use crate::render::{self, Look, count, length, on};
use crate::session::Session;
use api::view::{HoldView, MachineView, PlanSummary, ServerView, StatusView};
use console::Style;

/// Shows it.
pub async fn status(session: &Session) -> Result<(), Failure> {
    let seen = session.view::<StatusView>("/v1/status").await?;
    session.show(&seen, |view| text(view, render::now_ms(), session.look))
}

/// Something that wants a person, and the command that comes next.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Trouble {
    what: String,
    next: String,
}

fn trouble(what: impl Into<String>, next: impl Into<String>) -> Trouble {
    Trouble { what: what.into(), next: next.into() }
}

/// The screen.
fn text(view: &StatusView, now: u64, look: Look) -> String {
    let troubles = troubles(view);
    let estate: String = view.estate.chars().take(8).collect();
    let (servers, machines) = (count(view.servers.len(), "server"), count(view.machines.len(), "machine"));
    let plans = count(view.plans.len(), "open plan");
    let entries = match view.journal.first {
        0 | 1 => format!("entry {}", view.revision),
        first => format!("entries {first} to {}", view.revision),
    };
    let mut lines = vec![format!("estate {estate}  {servers}, {machines}, {plans}, {entries}")];
    let told = troubles.len().min(STATUS_TROUBLES);
    let more = usize::from(troubles.len() > told);
    // a blank line and a heading stand before the troubles
    let below = if troubles.is_empty() { 0 } else { 2 + told + more };
    lines.extend(server_lines(view, now, look, STATUS_LINES.saturating_sub(lines.len() + below)));
    if !troubles.is_empty() {
        lines.push(String::new());
        lines.push(look.paint(Style::new().bold(), "What wants you, and the next command:"));
        let width = troubles.iter().take(told).map(|it| it.next.chars().count()).max().unwrap_or(0);
        for it in troubles.iter().take(told) {
            lines.push(look.fit(&format!("  {:width$}  # {}", it.next, it.what)));
        }
        if more > 0 {
            lines.push(format!("  and {} more; `understudy status --output json` has all", troubles.len() - told));
        }
    }
    lines.join("\n")
}

/// Servers that are not simply running come first; those that do not fit are counted.
fn server_lines(view: &StatusView, now: u64, look: Look, room: usize) -> Vec<String> {
    let mut servers: Vec<&ServerView> = view.servers.iter().collect();
    servers.sort_by_key(|server| (rank(server), &server.name));
    let shown = if servers.len() > room { room.saturating_sub(1) } else { servers.len() };
    let names: Vec<String> = servers.iter().map(|server| on(&server.name, server.machine.as_deref())).collect();
    let width = names.iter().take(shown).map(|name| name.chars().count()).max().unwrap_or(0);
    let states = servers.iter().take(shown).map(|server| server.state.chars().count()).max().unwrap_or(0);
    let line = |(server, name): (&&ServerView, &String)| {
        let state = look.state(&server.state, &format!("{:states$}", server.state));
        look.fit(format!("  {name:width$}  {state}  {}", detail(server, now)).trim_end())
    };
    let mut lines: Vec<String> = servers.iter().zip(&names).take(shown).map(line).collect();
    let left = servers.len() - shown;
    if left > 0 {
        let running = servers.iter().skip(shown).filter(|server| server.state == "running").count();
        lines.push(format!("  and {left} more ({running} running); `understudy server list` shows them"));
    }
    lines
}

fn rank(server: &ServerView) -> u8 {
    match server.state.as_str() {
        "running" => 9,
        "stopped" => 8,
        "never-placed" => 7,
        "unknown" => 6,
        "suspect" => 2,
        "failed" | "held" => 0,
        _ => 1,
    }
}

/// What a server waits for or goes through, and since when.
fn detail(server: &ServerView, now: u64) -> String {
    let ago = |at: u64| length(now.saturating_sub(at));
    if let Some(plan) = &server.plan {
        let stage = plan.stage.as_deref().unwrap_or("sealed");
        return format!("{} to {}: in {stage}, {}", plan.id, plan.to, ago(plan.sealed));
    }
    if let Some(held) = &server.held {
        return format!("for {} ({}): {}", ago(held.since), held.code, held.reason);
    }
    if let Some(maintenance) = &server.maintenance {
        let left = length(maintenance.until.saturating_sub(now));
        return format!("in maintenance, {left} left, by {}: {}", maintenance.principal, maintenance.reason);
    }
    match &server.symptom {
        Some((at, kind)) => format!("for {}: {kind}", ago(*at)),
        None => {
            let serves = server.serving_ms.map(|ms| format!("for {}; ", length(ms))).unwrap_or_default();
            format!("{serves}{}, {}", server.tier, server.mode)
        }
    }
}

fn troubles(view: &StatusView) -> Vec<Trouble> {
    let mut all: Vec<Trouble> = view.restored.iter().map(|why| trouble(why.clone(), "understudy adopt")).collect();
    if !view.unheard.is_empty() {
        let what = format!("not heard when this store was adopted, and only observed since: {}", view.unheard.join(", "));
        all.push(trouble(what, "understudy adopt"));
    }
    all.extend(view.holds.iter().map(of_hold));
    if view.blind {
        let what = "no canary answers: the controller may be the isolated one, so nothing is done";
        all.push(trouble(what, "understudy explain F0201"));
    }
    if view.polls.late.iter().any(|class| class.polls > 0) && view.polls.late_ms(99).is_none_or(|late| late > POLLS_LATE_MS) {
        let what = format!(
            "polls of BMCs come late, one in a hundred by more than {}: this computer does not keep up",
            length(POLLS_LATE_MS)
        );
        all.push(trouble(what, "understudy status --output json"));
    }
    let mut servers: Vec<&ServerView> = view.servers.iter().collect();
    servers.sort_by_key(|server| (rank(server), &server.name));
    all.extend(servers.iter().filter(|server| server.state != "never-placed").filter_map(|server| of_server(server)));
    all.extend(view.plans.iter().filter(|plan| plan.server.is_none()).map(of_plan));
    all.extend(view.machines.iter().filter_map(of_machine));
    // in the order in which a new estate is brought up
    all.extend(not_enrolled(&view.machines));
    all.extend(servers.iter().filter(|server| server.state == "never-placed").filter_map(|server| of_server(server)));
    for order in &view.standing_orders {
        let what = format!("{}: {} is not confirmed: {}", order.machine, order.what, order.reason);
        all.push(trouble(what, format!("understudy plan show {}", order.plan)));
    }
    all
}

fn of_hold(hold: &HoldView) -> Trouble {
    let (of, ends) = match &hold.server {
        None => ("everything", "understudy resume".to_owned()),
        Some(server) => (server.as_str(), format!("understudy resume {server}")),
    };
    trouble(format!("{of} is held by {}: {}", hold.principal, hold.reason), ends)
}

fn of_plan(plan: &PlanSummary) -> Trouble {
    let what = format!("{} ({}) of {} is open", plan.id, plan.kind, plan.to);
    trouble(what, format!("understudy watch --until-closed {}", plan.id))
}

fn of_server(server: &ServerView) -> Option<Trouble> {
    let name = &server.name;
    if let Some(plan) = &server.plan {
        let what = format!("{name}: {} is open", plan.kind);
        return Some(trouble(what, format!("understudy watch --until-closed {}", plan.id)));
    }
    if let Some(held) = &server.held {
        return Some(match command_in(&held.ends) {
            Some(command) => trouble(format!("{name}: {}", held.reason), command),
            None => trouble(format!("{name}: {} (ends {})", held.reason, held.ends), format!("understudy explain {}", held.code)),
        });
    }
    match server.state.as_str() {
        "never-placed" => Some(trouble(format!("{name} was never placed"), format!("understudy server start {name}"))),
        "unknown" => Some(trouble(format!("{name}: no check has been healthy yet"), format!("understudy server show {name}"))),
        "suspect" | "failed" => {
            let kind = server.symptom.as_ref().map_or("not well", |(_, kind)| kind.as_str());
            Some(trouble(format!("{name}: {kind}"), "understudy watch"))
        }
        _ => None,
    }
}

/// The first command that a text names between backticks.
fn command_in(text: &str) -> Option<String> {
    text.split('`').skip(1).step_by(2).find(|quoted| quoted.starts_with("understudy ")).map(str::to_owned)
}

/// One line for all machines that are to be taken in.
fn not_enrolled(machines: &[MachineView]) -> Option<Trouble> {
    const NAMED: usize = 8;
    let names: Vec<&str> =
        machines.iter().filter(|it| it.state == "not-enrolled" && it.plan.is_none()).map(|it| it.name.as_str()).collect();
    let named = names.iter().take(NAMED).copied().collect::<Vec<_>>().join(" ");
    let what = match names.len() {
        0 => return None,
        1 => "it is not enrolled: nothing is done with it".to_owned(),
        number if number > NAMED => format!("the first of {number} machines that are not enrolled: nothing is done with them"),
        _ => "they are not enrolled: nothing is done with them".to_owned(),
    };
    Some(trouble(what, format!("understudy machine enroll {named}")))
}

fn of_machine(machine: &MachineView) -> Option<Trouble> {
    let name = &machine.name;
    if machine.state == "quarantine" {
        let plan = machine.plan.as_deref().map(|plan| format!(" since {plan}")).unwrap_or_default();
        let bore = machine.server.as_deref().map(|server| format!(", bore {server}")).unwrap_or_default();
        let what = format!("{name} is in quarantine{plan}{bore}; release it when it is mended");
        return Some(trouble(what, format!("understudy machine release {name}")));
    }
    if let Some(why) = &machine.trouble {
        return Some(trouble(format!("{name}: its BMC cannot be read: {why}"), format!("understudy machine show {name}")));
    }
    if let Some((sign, told)) = machine.foretells.first_key_value() {
        let bears = machine.server.as_deref().map(|server| format!(", which bears {server},")).unwrap_or_default();
        let next = match &machine.server {
            Some(server) => format!("understudy failover start {server} --dry-run"),
            None => format!("understudy machine show {name}"),
        };
        return Some(trouble(format!("{name}{bears} foretells a failure: {sign}: {told}"), next));
    }
    let warned = machine.returns_by_itself && machine.state == "bearing";
    warned.then(|| trouble(format!("{name} returns by itself after a power loss"), format!("understudy machine show {name}")))
}

#[cfg(test)]
pub(crate) mod tests;
