//! `understudy machine show`: one machine in full.

use crate::exit::Failure;
use crate::limits;
use crate::render::{clean, length, now_ms, table, utc};
use crate::session::Session;
use api::bmc::{BmcView, MachineFullView, ScopeWord, SurveyView};
use api::view::MachineView;
use vocabulary::MachineId;

/// Shows it.
pub async fn show(session: &Session, machine: &MachineId, survey: Option<ScopeWord>) -> Result<(), Failure> {
    let wanted = match survey {
        None => "",
        Some(ScopeWord::Facts) => "?survey=facts",
        Some(ScopeWord::Log) => "?survey=log",
    };
    let deadline = if survey.is_some() { limits::AGENTS_ANSWER } else { limits::ANSWER };
    let seen = session.slow_view::<MachineFullView>(&format!("/v1/machines/{machine}{wanted}"), deadline).await?;
    session.show(&seen, text)
}

/// What a survey told, as rows.
pub fn survey(survey: &SurveyView) -> Vec<(String, String)> {
    let nothing = survey.facts.is_empty().then(|| ("facts".to_owned(), "none beyond its readings".to_owned()));
    let facts = survey.facts.iter().map(|fact| (clean(&fact.name), clean(&fact.value)));
    let log = survey.log.iter().map(|entry| {
        let at = entry.at_ms.map_or_else(|| "at an unknown time".to_owned(), utc);
        ("log".to_owned(), clean(&format!("{at}  {}  {}: {}", entry.severity, entry.kind, entry.what)))
    });
    facts.chain(nothing).chain(log).collect()
}

/// What was found out of a BMC, as rows.
pub fn bmc(bmc: &BmcView) -> Vec<(&'static str, String)> {
    let quirks =
        if bmc.quirks.is_empty() { "none: it is taken to keep to the standard".to_owned() } else { bmc.quirks.join(", ") };
    let abilities = bmc.abilities.iter().map(|able| ("ability", format!("{}: {} ({})", able.name, able.can, able.detail)));
    let rows = [("platform", bmc.platform.clone()), ("quirk record", quirks), ("session", bmc.session.clone())];
    rows.into_iter().chain(abilities).map(|(name, value)| (name, clean(&value))).collect()
}

/// A machine in full.
pub fn text(full: &MachineFullView) -> String {
    let machine = &full.machine;
    let age = machine.read_ms_ago.map_or("never read".to_owned(), |ms| format!("read {} ago", length(ms)));
    let mut rows = vec![
        ["machine", &machine.name].map(str::to_owned),
        ["state".to_owned(), standing(machine)],
        ["power".to_owned(), format!("{} ({age})", machine.power)],
        ["place", &machine.place].map(str::to_owned),
        ["serial", &machine.serial].map(str::to_owned),
    ];
    let mut add = |name: &str, value: String| rows.push([name.to_owned(), value]);
    if let Some(health) = &machine.health {
        add("health", health.clone());
    }
    for (sign, told) in &machine.foretells {
        add("foretells", format!("{sign}: {told} (F0216)"));
    }
    if let Some(trouble) = &machine.trouble {
        add("trouble", trouble.clone());
    }
    if let Some(maintenance) = &machine.maintenance {
        let left = length(maintenance.until.saturating_sub(now_ms()));
        add("maintenance", format!("{left} left, by {}: {}", maintenance.principal, maintenance.reason));
    }
    if machine.returns_by_itself {
        add("warning", "it returns by itself after a power loss: its restore policy could not be verified".to_owned());
    }
    for (role, port) in &machine.ports {
        add("port", format!("{role} at {port}"));
    }
    if !machine.outlets.is_empty() {
        let proof =
            machine.outlets_lack.as_ref().map_or("it goes dark by them".to_owned(), |lack| format!("they prove nothing: {lack}"));
        let cut = machine.outlets_cut.as_ref().map_or(String::new(), |plan| format!(", cut by {plan}"));
        add("outlets", format!("{} ({proof}{cut})", machine.outlets.join(", ")));
    }
    for (who, found) in machine.said.iter().flat_map(|said| &said.people) {
        add("said to be", format!("{found}, by {who}"));
    }
    for order in &machine.standing_orders {
        add("to confirm", order.clone());
    }
    full.bmc.iter().flat_map(bmc).for_each(|(name, value)| add(name, value));
    full.survey.iter().flat_map(survey).for_each(|(name, value)| add(&name, value));
    let mut rows = rows.into_iter().map(Vec::from).collect::<Vec<_>>();
    let header: Vec<String> = rows.remove(0);
    table(&header.iter().map(String::as_str).collect::<Vec<_>>(), rows, None)
}

fn standing(machine: &MachineView) -> String {
    match (machine.state.as_str(), &machine.server, &machine.plan) {
        ("quarantine", server, plan) => {
            let bore = server.as_deref().map(|server| format!(", bore {server}")).unwrap_or_default();
            format!("quarantine since {}{bore}", plan.as_deref().unwrap_or("long ago"))
        }
        (state, Some(server), _) => format!("{state} {server}"),
        (state, None, Some(plan)) => format!("{state} by {plan}"),
        (state, None, None) => state.to_owned(),
    }
}
