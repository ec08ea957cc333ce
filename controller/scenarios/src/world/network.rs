//! What happens to the networks of a world. It mirrors the lab's [`crate::network`].

use std::net::Ipv4Addr;

use lab::names::SWITCH_AGENT;
use simulator::link::Weather;
use vocabulary::{AgentId, MachineId};
use world::bridge::Setting;

use crate::limits::SWITCH_AWAY;
use crate::script::Disturbance;
use crate::trouble::{Done, Trouble};
use crate::world::eyes::address;
use crate::world::run::Run;

/// Does it.
pub async fn befall(run: &mut Run, what: &Disturbance) -> Done {
    match what {
        Disturbance::SwitchRestarts => switch_restarts(run).await,
        Disturbance::SwitchReach(back) => {
            let host = run.rig.site.hosts.get(&switch_agent()?).ok_or_else(no_switch)?;
            host.way.set_weather(Weather { cut: !back, ..Weather::FAIR });
            Ok(())
        }
        Disturbance::Uplink(back) => {
            run.fault = run.marks();
            run.rig.eyes_of_controller()?.set_uplink(*back);
            Ok(())
        }
        Disturbance::Sight(server, back) => {
            let to: Ipv4Addr =
                address(&run.rig.site, server).ok_or_else(|| Trouble::Wrong(format!("{server} has no address in this world")))?;
            run.rig.eyes_of_controller()?.see(to.into(), *back);
            Ok(())
        }
        Disturbance::Push(machine) => push(run, machine),
    }
}

fn no_switch() -> Trouble {
    Trouble::Wrong("this world has no switch".to_owned())
}

fn switch_agent() -> Done<AgentId> {
    SWITCH_AGENT.parse().map_err(|_| no_switch())
}

/// Its agent lives on it: it dies with it, and is started by it.
async fn switch_restarts(run: &mut Run) -> Done {
    let (agent, site) = (switch_agent()?, &mut run.rig.site);
    site.hosts.get_mut(&agent).ok_or_else(no_switch)?.kill();
    site.bridge.reboot(SWITCH_AWAY);
    tokio::time::sleep(SWITCH_AWAY).await;
    site.start_agent(&agent).await.map_err(|fault| Trouble::Wrong(format!("the agent of the switch: {fault}")))
}

/// Every port of the machine becomes one of a server's.
fn push(run: &Run, machine: &MachineId) -> Done {
    let site = &run.rig.site;
    let document = site.estate.machines.get(machine);
    let document = document.ok_or_else(|| Trouble::Wrong(format!("{machine} is no machine of this world")))?;
    for nic in &document.nics {
        let of_role = site.estate.servers.values().flat_map(|server| &server.networks).find(|network| network.role == nic.role);
        let vlan = of_role.map(|network| network.vlan.get());
        let vlan = vlan.ok_or_else(|| Trouble::Wrong(format!("no server has a network of the role {}", nic.role)))?;
        site.bridge.set_by_hand(nic.port.as_str(), &Setting::access(vlan));
    }
    Ok(())
}
