//! What happens to the agents of a world. It mirrors the lab's [`crate::agents`].

use contract::{Action, Answer, Request};
use vocabulary::AgentId;

use crate::agents::TAKEN;
use crate::script::Mishap;
use crate::trouble::{Done, Trouble};
use crate::world::rig::{Rig, not_up};

/// Something happens to an agent.
pub async fn befall(rig: &mut Rig, agent: &AgentId, mishap: Mishap) -> Done {
    let host = rig.site.hosts.get_mut(agent).ok_or_else(|| Trouble::Wrong(format!("{agent} is no agent of this world")))?;
    match mishap {
        Mishap::Dies => host.kill(),
        Mishap::Returns => rig.site.start_agent(agent).await.map_err(not_up)?,
        Mishap::Forgets => {
            host.kill();
            host.disk.names().iter().for_each(|name| host.disk.lose(name));
            rig.site.start_agent(agent).await.map_err(not_up)?;
        }
        Mishap::Copied => {
            let kept = host.disk.names().into_iter().filter_map(|name| Some((name.clone(), host.disk.read(&name).ok()??)));
            rig.copies.insert(agent.clone(), kept.collect());
        }
        Mishap::Older => {
            let copy = rig.copies.get(agent).ok_or_else(|| Trouble::Wrong(format!("nobody has copied {agent}")))?;
            host.kill();
            host.disk.names().iter().for_each(|name| host.disk.lose(name));
            for (name, content) in copy {
                host.disk.replace(name, content).map_err(|error| Trouble::Wrong(format!("the disk of {agent}: {error}")))?;
            }
            rig.site.start_agent(agent).await.map_err(not_up)?;
        }
        Mishap::TwiceInVain => match rig.site.double_agent(agent, false).await {
            Ok(_) => return Err(Trouble::Wrong(format!("a second {agent} runs beside the first"))),
            Err(fault) if fault.to_string().contains(TAKEN) => {}
            Err(other) => return Err(not_up(other)),
        },
        Mishap::OnACopy => {
            let copy = rig.site.double_agent(agent, true).await.map_err(not_up)?;
            let client = copy.client().ok_or_else(|| Trouble::Wrong(format!("the copy of {agent} has ended")))?;
            match client.call(Request { token: None, action: Action::Hello }).await {
                Ok(Answer::Hello(hello)) if !hello.trusted => {}
                told => return Err(Trouble::Wrong(format!("the copy of {agent} does not know that it is one: {told:?}"))),
            }
            rig.doubled.push(copy);
        }
    }
    Ok(())
}
