//! `understudy agent`: device agents: their enrolment, their state, their memory. A bundle holds a key: it goes into a file of its
//! owner alone or into a pipe, never onto a screen.

mod config;

use crate::cli::Agent;
use crate::confirm;
use crate::exit::{Exit, Failure};
use crate::render::{Look, table};
use crate::session::Session;
use crate::{limits, out};
use api::view::AgentStateView;
use contract::wire::enrol::Bundle;
use serde_json::{Value, json};
use std::io::IsTerminal;
use std::path::Path;
use vocabulary::{AgentId, Fault};

/// Runs a verb.
pub async fn run(session: &Session, verb: Agent) -> Result<(), Failure> {
    match verb {
        Agent::Enroll { agent, out } => enroll(session, &agent, out.as_deref()).await,
        Agent::Config { agent, estate } => config::config(&agent, &estate),
        Agent::List => {
            let seen = session.slow_view::<Vec<AgentStateView>>("/v1/agents", limits::AGENTS_ANSWER).await?;
            session.show(&seen, |agents| text(agents, session.look))
        }
        Agent::Readopt { agent, yes } => {
            let consequence = format!(
                "{agent} will hold the controller's ledger for the truth about its device, set its ports as the ledger says, and grant again.\n\
                 Do it only if you know how its memory was lost and that no other process is the agent of this device."
            );
            confirm::typed(agent.as_str(), &consequence, yes)?;
            let seen = session.order::<AgentStateView>(&format!("/v1/agents/{agent}/readopt"), &Value::Null).await?;
            session.show(&seen, |view| text(std::slice::from_ref(view), session.look))
        }
    }
}

async fn enroll(session: &Session, agent: &AgentId, file: Option<&Path>) -> Result<(), Failure> {
    if file.is_none() && std::io::stdout().is_terminal() {
        let message = "the bundle holds a key, and standard output is a screen";
        let remedy = format!("name a file: `understudy agent enroll {agent} --out {agent}.json`, or pipe it to the agent");
        return Err(Failure::new(Exit::Usage, Fault::new(71, message, remedy)));
    }
    let answer = session.order::<Value>(&format!("/v1/agents/{agent}/enroll"), &Value::Null).await?;
    let Some(file) = file else { return out::json(&answer.raw) };
    let unusable = |error: &dyn std::fmt::Display| {
        let message = format!("the bundle of {agent} cannot be written to {}: {error}", file.display());
        Failure::new(Exit::No, Fault::new(64, message, "name a file in a folder that you may write to, then enroll again"))
    };
    let bundle: Bundle = serde_json::from_value(answer.raw).map_err(|error| unusable(&error))?;
    bundle.store(file).map_err(|error| unusable(&error))?;
    if session.json() {
        return out::json(&json!({"agent": agent, "file": file.display().to_string(), "fresh": bundle.fresh}));
    }
    let memory = if bundle.fresh {
        "it may begin with an empty memory"
    } else {
        "its memory must be there, or be seeded by `understudy agent readopt`"
    };
    out::line(&format!("{agent} is enrolled: its bundle is in {}, readable by you alone; {memory}", file.display()))
}

fn text(agents: &[AgentStateView], look: Look) -> String {
    let row = |agent: &AgentStateView| {
        vec![
            agent.name.clone(),
            agent.address.clone().unwrap_or_else(|| "inside serve".to_owned()),
            agent.state.clone(),
            agent.resources.to_string(),
            agent.barred.to_string(),
            agent.epoch.to_string(),
            agent.reason.clone().unwrap_or_default(),
        ]
    };
    let header = ["AGENT", "ADDRESS", "STATE", "RESOURCES", "BARRED", "EPOCH", "BECAUSE"];
    table(&header, agents.iter().map(row).collect(), look.width)
}
