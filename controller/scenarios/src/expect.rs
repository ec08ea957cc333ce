//! What scenarios expect, looked at from outside: the users' side, the consoles, the switch, the controller's own word, and the oracle.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use api::view::{PlanSummary, ServerView};
use lab::client::Client;
use lab::names::{Machine, ROLES};
use vocabulary::{MachineId, ServerId};

use crate::limits::LOOK;
use crate::rivals;
use crate::run::{Run, until};
use crate::script::Expectation;
use crate::signals;
use crate::storage;
use crate::trouble::{Done, Trouble};

/// Checks one expectation, waiting for it as long as it says.
pub fn check(run: &mut Run<'_>, expectation: &Expectation) -> Done {
    match expectation {
        Expectation::On(server, machine, within) => on(run, server, machine, *within),
        Expectation::In(machine, state, within) => until(&format!("{machine} in {state}"), *within, || {
            Ok(run
                .machine(machine)?
                .and_then(|view| if view.state == *state { Ok(()) } else { Err(format!("it is in {}", view.state)) }))
        }),
        Expectation::Foretells(machine, something, within) => {
            until(&foretells(machine, *something), *within, || Ok(run.machine(machine)?.and_then(|view| told(&view, *something))))
        }
        Expectation::FencedBy(server, sets) => fenced_by(run, server, sets),
        Expectation::Held(server, code, within) => until(&format!("{server} held with {code}"), *within, || {
            Ok(run.server(server)?.and_then(|view| match view.held {
                Some(held) if held.code == *code && !held.reason.is_empty() => Ok(()),
                Some(held) => Err(format!("it is held with {}: {}", held.code, held.reason)),
                None => Err(format!("it is {}", view.state)),
            }))
        }),
        Expectation::Restarted(server, within) => restarted(run, server, *within),
        Expectation::NoFailover(time) => no_failover(run, *time),
        Expectation::Failovers(server, count, within) => failovers(run, server, *count, *within),
        Expectation::BootsNothing(machine, time) => boots_nothing(run, machine, *time),
        Expectation::Harmless(machine, time) => harmless(run, machine, *time),
        Expectation::Barred(machine, within) => barred(run, machine, *within),
        Expectation::Alarm(code, within) => alarm(run, code, *within),
        Expectation::LeaseRenewed(machine, within) => lease_renewed(run, machine, *within),
        Expectation::NotObeyed(rival, within) => rivals::not_obeyed(run, *rival, *within),
        Expectation::AtTarget(server, shown, within) => storage::shows(run, server, *shown, *within),
        Expectation::EffectiveAtMost(number) => run.judged()?.effective_at_most(*number),
        Expectation::AcknowledgedRecovered => run.judged()?.acknowledged_recovered(),
        Expectation::SplitBrainCaught => run.judged()?.split_brain_caught(),
    }
}

/// What is waited for.
pub fn foretells(machine: &MachineId, something: bool) -> String {
    format!("{machine} foretells {}", if something { "a failure" } else { "nothing" })
}

/// Whether the controller says that the machine foretells something.
pub fn told(view: &api::view::MachineView, something: bool) -> Result<(), String> {
    let health = view.health.as_deref().unwrap_or("nothing");
    let says = || format!("the controller says that it foretells {:?}, and its BMC tells {health} of its health", view.foretells);
    if view.foretells.is_empty() == something { Err(says()) } else { Ok(()) }
}

/// The controller says that the server runs there, and the users get an answer.
fn on(run: &Run<'_>, server: &ServerId, machine: &MachineId, within: Duration) -> Done {
    until(&format!("{server} on {machine}"), within, || {
        let seen = run.rig.eyes.seen(server.as_str())?;
        Ok(run.server(server)?.and_then(|view| is_on(&view, machine, seen.since.is_some())))
    })
}

/// What the controller says of a server, beside what its users get.
pub fn is_on(view: &ServerView, machine: &MachineId, answers: bool) -> Result<(), String> {
    let there = view.machine.as_deref() == Some(machine.as_str());
    if there && view.state == "running" && answers {
        return Ok(());
    }
    let stage = view.plan.as_ref().and_then(|plan| plan.stage.clone());
    let stage = stage.map_or_else(String::new, |stage| format!(", stage {stage}"));
    let held = view.held.as_ref().map_or_else(String::new, |held| format!(", held: {} {}", held.code, held.reason));
    let answers = if answers { "answers" } else { "does not answer" };
    Err(format!("it is {} on {}{stage}{held}, and {answers}", view.state, view.machine.as_deref().unwrap_or("no machine")))
}

fn restarted(run: &Run<'_>, server: &ServerId, within: Duration) -> Done {
    let Some(before) = run.before_restart.get(server.as_str()) else {
        return Err(Trouble::Wrong(format!("{server} was not told to restart")));
    };
    until(&format!("another start of {server}"), within, || {
        let seen = run.rig.eyes.seen(server.as_str())?;
        Ok(match seen.answer {
            Some((_, answer)) if answer.incarnation != *before && seen.since.is_some() => Ok(()),
            Some((_, answer)) => Err(format!("start {} answered last", answer.incarnation)),
            None => Err("it does not answer".to_owned()),
        })
    })
}

fn no_failover(run: &Run<'_>, time: Duration) -> Done {
    let begun = |run: &Run<'_>| -> Done<usize> { Ok(run.rig.product.failovers()?.len()) };
    let before = begun(run)?;
    let start = Instant::now();
    while start.elapsed() < time {
        if begun(run)? != before {
            return Err(Trouble::Wrong("a failover began, where none should".to_owned()));
        }
        signals::sleep(LOOK)?;
    }
    Ok(())
}

fn failovers(run: &Run<'_>, server: &ServerId, count: usize, within: Duration) -> Done {
    until(&format!("{count} completed failovers of {server}"), within, || {
        Ok(run.failovers_of(server)?.and_then(|plans| completed(&plans, count)))
    })?;
    // more than wanted is not something that time would cure
    match run.failovers_of(server)? {
        Ok(plans) if plans.iter().filter(|plan| plan.state == "done").count() != count => {
            Err(Trouble::Wrong(format!("{server} was failed over more often than {count} times")))
        }
        _ => Ok(()),
    }
}

/// So many failovers were completed, and none is open.
pub fn completed(plans: &[PlanSummary], count: usize) -> Result<(), String> {
    let done = plans.iter().filter(|plan| plan.state == "done").count();
    if done == count && plans.iter().all(|plan| plan.state != "open") {
        return Ok(());
    }
    Err(plans.iter().map(|plan| format!("{} is {}", plan.id, plan.state)).collect::<Vec<_>>().join(", "))
}

/// Proof sets as they are written.
pub fn words(sets: &BTreeSet<String>) -> String {
    sets.iter().map(String::as_str).collect::<Vec<_>>().join(" and ")
}

fn fenced_by(run: &Run<'_>, server: &ServerId, sets: &BTreeSet<String>) -> Done {
    let wrong = |told: String| Err(Trouble::Wrong(told));
    let Some(last) = run.failovers_of(server)?.map_err(Trouble::Wrong)?.pop() else {
        return wrong(format!("{server} was never failed over"));
    };
    match run.rig.product.failover(&last.id)?.proof {
        Some(proof) if proof.sets.iter().cloned().collect::<BTreeSet<_>>() == *sets => Ok(()),
        Some(proof) => wrong(format!("{} was proven by {}, not by {}", last.id, proof.sets.join(" and "), words(sets))),
        None => wrong(format!("{} has no proof", last.id)),
    }
}

/// Its firmware runs, and neither a kernel nor a claim of ours ever appears on its console.
fn boots_nothing(run: &Run<'_>, machine: &MachineId, time: Duration) -> Done {
    let Some(from) = run.pressed.get(machine.as_str()).copied() else {
        return Err(Trouble::Wrong(format!("nobody pressed the power button of {machine}")));
    };
    let start = Instant::now();
    loop {
        let lines = run.rig.consoles.since(machine.as_str(), from);
        if let Some(line) = lines.iter().find(|line| line.text.starts_with("LAB ")) {
            return Err(Trouble::Wrong(format!("{machine} booted something: {}", line.text)));
        }
        if start.elapsed() >= time {
            if lines.is_empty() {
                return Err(Trouble::Wrong(format!("{machine} said nothing at all: it was not on, and nothing is proven")));
            }
            return Ok(());
        }
        signals::sleep(LOOK)?;
    }
}

/// A port of the machine that forwards in a VLAN of a server, by the switch's own report.
fn open_port(hand: &mut Client, machine: &MachineId) -> Done<Option<String>> {
    let number = machine.as_str().strip_prefix('m').and_then(|number| number.parse().ok());
    let number = number.ok_or_else(|| Trouble::Wrong(format!("{machine} is no machine of the lab")))?;
    let fact = hand.facts()?.ok_or_else(|| Trouble::Wrong("the switch reports nothing".to_owned()))?;
    for role in ROLES {
        let name = format!("p{}", Machine(number).port(role));
        let port = fact.switch.ports.get(&name).cloned().unwrap_or_default();
        let servers = port.untagged.iter().chain(&port.tagged).chain(port.pvid.as_ref());
        let open: Vec<_> = servers.filter(|vlan| ROLES.iter().any(|role| role.vlan() == **vlan)).collect();
        if port.up && !open.is_empty() {
            return Ok(Some(format!("{machine} has its port {name} in VLAN {open:?}")));
        }
    }
    Ok(None)
}

/// None of its ports is in a VLAN of a server while it forwards.
fn harmless(run: &Run<'_>, machine: &MachineId, time: Duration) -> Done {
    let mut hand = run.rig.hand()?;
    let (start, mut looks) = (Instant::now(), 0);
    while start.elapsed() < time || looks == 0 {
        if let Some(open) = open_port(&mut hand, machine)? {
            return Err(Trouble::Wrong(open));
        }
        looks += 1;
        signals::sleep(LOOK)?;
    }
    Ok(())
}

fn barred(run: &Run<'_>, machine: &MachineId, within: Duration) -> Done {
    let mut hand = run.rig.hand()?;
    until(&format!("{machine} barred"), within, || Ok(open_port(&mut hand, machine)?.map_or(Ok(()), Err)))
}

fn alarm(run: &Run<'_>, code: &str, within: Duration) -> Done {
    let wanted = format!("ALARM {code}: ");
    until(&format!("an alarm {code}"), within, || {
        let raised = run.rig.product.story().iter().any(|told| told.text.starts_with(&wanted));
        Ok(if raised { Ok(()) } else { Err("the controller has raised none".to_owned()) })
    })
}

fn lease_renewed(run: &Run<'_>, machine: &MachineId, within: Duration) -> Done {
    until(&format!("a renewed lease of {machine}"), within, || {
        let lines = run.rig.consoles.since(machine.as_str(), run.fault.unwrap_or(0));
        let renewed = lines.iter().any(|line| line.text.contains("dhcp renew "));
        Ok(if renewed { Ok(()) } else { Err("its console tells of none".to_owned()) })
    })
}
