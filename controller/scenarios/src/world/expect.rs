//! What scenarios expect, looked at in a world: the users' side, the machines, the switch, the controller's own word, and the judge. It
//! mirrors the lab's [`crate::expect`].

use std::collections::BTreeSet;
use std::time::Duration;

use ::world::machine::Event;
use oracle::judge::Span;
use pipeline::record::Fact;
use tokio::time::{Instant, sleep};
use vocabulary::{MachineId, ServerId};

use crate::expect::words;
use crate::limits::LOOK;
use crate::script::Expectation;
use crate::trouble::{Done, Trouble};
use crate::world::rivals;
use crate::world::run::Run;
use crate::world::storage;
use crate::world::wait::until;

/// Checks one expectation, waiting for it as long as it says.
pub async fn check(run: &mut Run, expectation: &Expectation) -> Done {
    match expectation {
        Expectation::On(server, machine, within) => on(run, server, machine, *within).await,
        Expectation::In(machine, state, within) => {
            until(&format!("{machine} in {state}"), *within, async || {
                let view = run.machine(machine).await?;
                Ok(view.and_then(|view| if view.state == *state { Ok(()) } else { Err(format!("it is in {}", view.state)) }))
            })
            .await
        }
        Expectation::Foretells(machine, something, within) => {
            until(&crate::expect::foretells(machine, *something), *within, async || {
                Ok(run.machine(machine).await?.and_then(|view| crate::expect::told(&view, *something)))
            })
            .await
        }
        Expectation::FencedBy(server, sets) => fenced_by(run, server, sets).await,
        Expectation::Held(server, code, within) => {
            until(&format!("{server} held with {code}"), *within, async || {
                Ok(run.server(server).await?.and_then(|view| match view.held {
                    Some(held) if held.code == *code && !held.reason.is_empty() => Ok(()),
                    Some(held) => Err(format!("it is held with {}: {}", held.code, held.reason)),
                    None => Err(format!("it is {}", view.state)),
                }))
            })
            .await
        }
        Expectation::Restarted(server, within) => restarted(run, server, *within).await,
        Expectation::NoFailover(time) => no_failover(run, *time).await,
        Expectation::Failovers(server, count, within) => failovers(run, server, *count, *within).await,
        Expectation::BootsNothing(machine, time) => boots_nothing(run, machine, *time).await,
        Expectation::Harmless(machine, time) => harmless(run, machine, *time).await,
        Expectation::Barred(machine, within) => barred(run, machine, *within).await,
        Expectation::Alarm(code, within) => alarm(run, code, *within).await,
        Expectation::LeaseRenewed(machine, within) => lease_renewed(run, machine, *within).await,
        Expectation::NotObeyed(rival, within) => rivals::not_obeyed(run, *rival, *within).await,
        Expectation::AtTarget(server, shown, within) => storage::shows(run, server, *shown, *within).await,
        Expectation::EffectiveAtMost(number) => run.rig.judged().effective_at_most(*number),
        Expectation::AcknowledgedRecovered => run.rig.judged().acknowledged_recovered(),
        Expectation::SplitBrainCaught => run.rig.judged().split_brain_caught(),
    }
}

/// The controller says that the server runs there, and the users get an answer.
async fn on(run: &Run, server: &ServerId, machine: &MachineId, within: Duration) -> Done {
    until(&format!("{server} on {machine}"), within, async || {
        let seen = run.rig.eyes.seen(server);
        Ok(run.server(server).await?.and_then(|view| crate::expect::is_on(&view, machine, seen.since.is_some())))
    })
    .await
}

async fn restarted(run: &Run, server: &ServerId, within: Duration) -> Done {
    let Some(before) = run.before_restart.get(server) else {
        return Err(Trouble::Wrong(format!("{server} was not told to restart")));
    };
    until(&format!("another start of {server}"), within, async || {
        let seen = run.rig.eyes.seen(server);
        Ok(match seen.answer {
            Some((_, answer)) if answer.incarnation != *before && seen.since.is_some() => Ok(()),
            Some((_, answer)) => Err(format!("start {} answered last", answer.incarnation)),
            None => Err("it does not answer".to_owned()),
        })
    })
    .await
}

async fn no_failover(run: &Run, time: Duration) -> Done {
    let begun = async || Ok::<_, Trouble>(run.failovers().await?.map_err(Trouble::Api)?.len());
    let before = begun().await?;
    let start = Instant::now();
    while start.elapsed() < time {
        if begun().await? != before {
            return Err(Trouble::Wrong("a failover began, where none should".to_owned()));
        }
        sleep(LOOK).await;
    }
    Ok(())
}

async fn failovers(run: &Run, server: &ServerId, count: usize, within: Duration) -> Done {
    until(&format!("{count} completed failovers of {server}"), within, async || {
        Ok(run.failovers_of(server).await?.and_then(|plans| crate::expect::completed(&plans, count)))
    })
    .await?;
    // more than wanted is not something that time would cure
    match run.failovers_of(server).await? {
        Ok(plans) if plans.iter().filter(|plan| plan.state == "done").count() != count => {
            Err(Trouble::Wrong(format!("{server} was failed over more often than {count} times")))
        }
        _ => Ok(()),
    }
}

/// By the controller's own record, which is what its API tells it from.
async fn fenced_by(run: &Run, server: &ServerId, sets: &BTreeSet<String>) -> Done {
    let wrong = |told: String| Err(Trouble::Wrong(told));
    let Some(last) = run.failovers_of(server).await?.map_err(Trouble::Wrong)?.pop() else {
        return wrong(format!("{server} was never failed over"));
    };
    let proven = run.rig.site.store.entries().into_iter().rev().find_map(|entry| match entry.record.fact {
        Fact::Proven { plan, sets, .. } if plan.to_string() == last.id => Some(sets),
        _ => None,
    });
    match proven {
        Some(proven) if proven.iter().cloned().collect::<BTreeSet<_>>() == *sets => Ok(()),
        Some(proven) => wrong(format!("{} was proven by {}, not by {}", last.id, proven.join(" and "), words(sets))),
        None => wrong(format!("{} has no proof", last.id)),
    }
}

/// Its firmware runs, and neither a script nor a system of ours ever begins on it.
async fn boots_nothing(run: &Run, machine: &MachineId, time: Duration) -> Done {
    let Some(from) = run.pressed.get(machine).copied() else {
        return Err(Trouble::Wrong(format!("nobody pressed the power button of {machine}")));
    };
    let start = Instant::now();
    loop {
        let befell = run.befell(machine, from)?;
        let of_ours = |event: &Event| matches!(event, Event::Leased(_) | Event::Script | Event::System | Event::Claimed(_));
        if let Some(booted) = befell.iter().find(|happened| of_ours(&happened.event)) {
            return Err(Trouble::Wrong(format!("{machine} booted something: {:?}", booted.event)));
        }
        if start.elapsed() >= time {
            // firmware has come so far that something could have been given to it
            if !befell.iter().any(|happened| happened.event == Event::Discover) {
                return Err(Trouble::Wrong(format!("{machine} asked for nothing at all: it was not on, and nothing is proven")));
            }
            return Ok(());
        }
        sleep(LOOK).await;
    }
}

/// It is effective as no server at any instant of this time.
async fn harmless(run: &Run, machine: &MachineId, time: Duration) -> Done {
    let site = &run.rig.site;
    if !site.estate.machines.contains_key(machine) {
        return Err(Trouble::Wrong(format!("{machine} is no machine of this world")));
    }
    let from_ns = site.judge.now_ns();
    sleep(time).await;
    for server in site.estate.servers.keys() {
        let meant = |span: &Span| span.machine == machine.as_str() && span.until_ns.is_none_or(|until_ns| until_ns > from_ns);
        if site.judge.spans(server).iter().any(meant) {
            let effective = site.judge.effective(server);
            let why: Vec<&str> =
                effective.get(machine.as_str()).into_iter().flatten().map(|reason| reason.text.as_str()).collect();
            let why = if why.is_empty() { "it is no more".to_owned() } else { why.join("; ") };
            return Err(Trouble::Wrong(format!("{machine} was effective as {server}: {why}")));
        }
    }
    Ok(())
}

async fn barred(run: &Run, machine: &MachineId, within: Duration) -> Done {
    until(&format!("{machine} barred"), within, async || {
        let open = run.rig.site.judge.open_ports(machine);
        let told = |(port, vlans)| format!("{machine} has its port {port} in VLAN {vlans:?}");
        Ok(open.into_iter().next().map(told).map_or(Ok(()), Err))
    })
    .await
}

/// By the controller's own record, which is what its API tells it from.
async fn alarm(run: &Run, wanted: &str, within: Duration) -> Done {
    until(&format!("an alarm {wanted}"), within, async || {
        let raised = run.rig.site.store.entries().into_iter().any(|entry| match entry.record.fact {
            Fact::Alarm { code, .. } => code == wanted,
            _ => false,
        });
        Ok(if raised { Ok(()) } else { Err("the controller has raised none".to_owned()) })
    })
    .await
}

async fn lease_renewed(run: &Run, machine: &MachineId, within: Duration) -> Done {
    let from = run.fault.get(machine).copied().unwrap_or_default();
    until(&format!("a renewed lease of {machine}"), within, async || {
        let renewed = run.befell(machine, from)?.iter().any(|happened| matches!(happened.event, Event::Renewed(_)));
        Ok(if renewed { Ok(()) } else { Err("nothing tells of one".to_owned()) })
    })
    .await
}
