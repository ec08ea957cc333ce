//! What happens to the networks of a lab: at the switch's machine, at its console, and on the way from the controller to others.
//!
//! A way is cut by an address of layer two that nobody has: what is sent there is lost on its way and no error comes back, as behind a
//! broken cable. Whatever else stands in that network, the judge with its own frames above all, sees as before.

use lab::agents::{SWITCH_LISTEN, SWITCH_VANTAGE};
use lab::names::{MACHINES_MAX, Machine, ROLES, UPLINKS};
use vocabulary::{MachineId, ServerId};

use crate::clock::wall_ms;
use crate::console::SWITCH_CONSOLE;
use crate::limits::{PUSHED, READY, SWITCH_UP};
use crate::rig::servers;
use crate::run::{Run, until};
use crate::script::Disturbance;
use crate::trouble::{Done, Trouble};

/// An address of layer two that no machine has.
const NOBODY: &str = "02:00:00:00:00:01";
/// The places of the management network and of production among the uplinks.
const MANAGEMENT: usize = 0;
/// See [`MANAGEMENT`].
const PRODUCTION: usize = 2;

/// Does it.
pub fn befall(run: &mut Run<'_>, what: &Disturbance) -> Done {
    match what {
        Disturbance::SwitchRestarts => switch_restarts(run),
        Disturbance::SwitchReach(back) => way(run, MANAGEMENT, ip_of(SWITCH_LISTEN), *back),
        Disturbance::Uplink(back) => {
            run.fault = Some(wall_ms());
            let services = servers().into_iter().map(|(_, address)| address.ip().to_string());
            services.chain([SWITCH_VANTAGE.1.to_owned()]).try_for_each(|to| way(run, PRODUCTION, &to, *back))
        }
        Disturbance::Sight(server, back) => way(run, PRODUCTION, &address(server)?, *back),
        Disturbance::Push(machine) => push(run, machine),
    }
}

/// The address of `ADDRESS:PORT`.
fn ip_of(text: &str) -> &str {
    text.split(':').next().unwrap_or(text)
}

fn address(server: &ServerId) -> Done<String> {
    let found = servers().into_iter().find(|(name, _)| name == server.as_str()).map(|(_, address)| address.ip().to_string());
    found.ok_or_else(|| Trouble::Wrong(format!("{server} has no address in this lab")))
}

/// The way from the services' side over this uplink to an address ends, or is there again.
fn way(run: &Run<'_>, uplink: usize, to: &str, back: bool) -> Done {
    let device = UPLINKS.get(uplink).map(|uplink| uplink.tap).unwrap_or_default();
    let words: Vec<&str> = if back {
        vec!["ip", "neighbor", "del", to, "dev", device]
    } else {
        vec!["ip", "neighbor", "replace", to, "lladdr", NOBODY, "dev", device, "nud", "permanent"]
    };
    let output = run.rig.hand()?.exec(&words)?;
    if output.end.is_success() {
        return Ok(());
    }
    Err(Trouble::Command { command: words.join(" "), told: output.stdout + &output.stderr })
}

/// It loses its power and starts again, its agent with it: what it ran with is lost, what lies on its disk is kept.
fn switch_restarts(run: &Run<'_>) -> Done {
    let mut hand = run.rig.hand()?;
    let parts = run.rig.switch.services();
    parts.iter().rev().try_for_each(|part| hand.kill(part).map(drop))?;
    // what it told before its end must not be taken for a report after its start
    until("the switch's end", READY, || {
        let ports = hand.facts()?.map(|fact| fact.switch.ports).unwrap_or_default();
        Ok(if ports.is_empty() { Ok(()) } else { Err("its last report stands".to_owned()) })
    })?;
    parts.iter().try_for_each(|part| hand.start(part).map(drop))?;
    until("a report of the switch", SWITCH_UP, || {
        let ports = hand.facts()?.map(|fact| fact.switch.ports).unwrap_or_default();
        Ok(if ports.is_empty() { Err("it is silent".to_owned()) } else { Ok(()) })
    })
}

/// Every port of the machine becomes one of a server's; over when the switch's console says of each that it was done.
fn push(run: &Run<'_>, machine: &MachineId) -> Done {
    let known = (1..=MACHINES_MAX).map(Machine).find(|one| one.name() == machine.as_str());
    let known = known.ok_or_else(|| Trouble::Wrong(format!("{machine} is no machine of the lab")))?;
    let orders = ROLES.map(|role| format!("access p{} {}", known.port(role), role.vlan()));
    let (from, mut hand) = (wall_ms(), run.rig.hand()?);
    for order in &orders {
        hand.hand(order)?;
    }
    until(&format!("a push that opens {machine}"), PUSHED, || {
        let told = run.rig.consoles.since(SWITCH_CONSOLE, from);
        let done = |order: &&String| told.iter().any(|line| line.text.ends_with(&format!("hand: {order}")));
        Ok(match orders.iter().find(|order| !done(order)) {
            None => Ok(()),
            Some(order) => Err(format!("the switch's console does not tell of `{order}`")),
        })
    })
}
