//! Controllers beside the one that is ours, in a world. It mirrors the lab's [`crate::rivals`].

use std::time::Duration;

use engine::Handle;
use lab::names::STORAGE_AGENT;
use pipeline::event::Intent;
use simulator::play::another;
use simulator::site::Controller;
use vocabulary::AgentId;
use vocabulary::estate::{Estate, Mode};

use crate::limits::COMMAND;
use crate::rivals::{HELD, HELLO, TAKEN_IN, is_refusal, obeys_another};
use crate::script::{Beside, Rival};
use crate::trouble::{Done, Trouble};
use crate::world::rig::{OPERATOR, Rig, not_up};
use crate::world::run::Run;
use crate::world::wait::until;

/// Does it.
pub async fn befall(run: &mut Run, what: Beside) -> Done {
    let rig = &mut run.rig;
    match what {
        Beside::Stops => rig.stop_controller(),
        Beside::Restored => return rig.restore_beside().await,
        Beside::Copied => return rig.copy_beside().await,
        Beside::GoesOn => {
            rig.refused_before = refusals(rig)?;
            let stale = rig.stale.as_ref().ok_or_else(|| Trouble::Wrong("no controller stands still".to_owned()))?;
            stale.life.go_on();
        }
        Beside::SecondInVain => match rig.site.second_controller() {
            Ok(second) => {
                second.kill();
                return Err(Trouble::Wrong("a second controller runs on the folder of the first".to_owned()));
            }
            Err(fault) if fault.to_string().contains(HELD) => {}
            Err(other) => return Err(not_up(other)),
        },
        Beside::Comes => {
            rig.refused_before = refusals(rig)?;
            let stranger = rig.site.another_estate().map_err(not_up)?;
            takes_in(&stranger.handle, &rig.site.estate).await;
            rig.stranger = Some(stranger);
            return asks_all(rig).await;
        }
    }
    Ok(())
}

/// As our own operator does it. What becomes of it stands in its own records.
async fn takes_in(handle: &Handle, estate: &Estate) {
    let press = async |intent| drop(tokio::time::timeout(COMMAND, handle.intent(OPERATOR.to_owned(), intent)).await);
    for tier in estate.tiers.keys().cloned() {
        press(Intent::SetTierMode { tier, mode: Mode::Auto }).await;
    }
    let agents = estate.switches.keys().map(|id| id.as_str()).chain(estate.storages.keys().map(|id| id.as_str()));
    let agents = agents.chain(estate.boot_services.keys().map(|id| id.as_str())).filter_map(|name| name.parse().ok());
    for agent in agents.collect::<Vec<AgentId>>() {
        press(Intent::EnrolAgent { agent }).await;
    }
    tokio::time::sleep(HELLO).await;
    for machine in estate.machines.keys().cloned() {
        press(Intent::EnrolMachine { machine }).await;
    }
    tokio::time::sleep(TAKEN_IN).await;
    for server in estate.servers.keys().cloned() {
        press(Intent::StartServer { server }).await;
    }
}

/// In a world nothing stands before an agent's gate. Of itself a stranger asks nothing of an agent that knows higher epochs, so each is
/// asked in its name for what it did last, at an epoch higher than all.
async fn asks_all(rig: &Rig) -> Done {
    for (agent, host) in &rig.site.hosts {
        let Some((client, last)) = host.client().zip(rig.site.judge.last_of(agent)) else { continue };
        match another::ask(client, last, another::Name::Estate).await {
            Some(Err(error)) if error.is_refusal() => {}
            other => return Err(Trouble::Wrong(format!("{agent} was asked by another estate, and answers {other:?}"))),
        }
    }
    Ok(())
}

/// How many commands the storage agent has not obeyed, counted at its gate.
fn refusals(rig: &Rig) -> Done<u64> {
    let agent = STORAGE_AGENT.parse().map_err(|_| Trouble::Wrong(format!("{STORAGE_AGENT} is no name")))?;
    Ok(rig.site.judge.refusals(&agent))
}

/// It asked, was refused, and both know it.
pub async fn not_obeyed(run: &Run, rival: Rival, within: Duration) -> Done {
    let controller = match rival {
        Rival::Stale => &run.rig.stale,
        Rival::Estate => &run.rig.stranger,
    };
    let controller: &Controller = controller.as_ref().ok_or_else(|| Trouble::Wrong("there is no such controller".to_owned()))?;
    until("a refusal in both logs", within, async || {
        let refusals = refusals(&run.rig)?.saturating_sub(run.rig.refused_before);
        let told: Vec<String> = controller.store.entries().iter().map(|entry| api::story::tell(entry).text).collect();
        if rival == Rival::Stale && told.iter().any(|text| obeys_another(text)) {
            return Ok(Ok(()));
        }
        let recorded = told.iter().any(|text| is_refusal(rival, text));
        Ok(match (recorded, refusals) {
            (true, 1..) => Ok(()),
            (false, _) => Err("it has recorded none".to_owned()),
            (true, 0) => Err(format!("{STORAGE_AGENT} tells of none")),
        })
    })
    .await
}
