//! Standing orders: what a closed plan has not confirmed of its fence. Retried for ever, under the epoch that the gate takes: if a later
//! plan of ours has raised it, the order passes to that plan. Never draws an epoch, and never touches a machine that was released.

use crate::effect::Agent;
use crate::ledger::Standing;
use crate::out::Out;
use crate::record::Fact;
use crate::s3_fence;
use crate::state::State;
use crate::work::{Key, Phase, Progress, Work, limits};
use std::collections::BTreeSet;
use vocabulary::{BootServiceId, Instant, MachineId, PlanId, PortId};

fn gives_back(key: &Key) -> bool {
    matches!(key, Key::Unbar(_) | Key::Feed(_))
}

/// True while a standing order of this plan is open, or an outlet is to be given back.
pub fn has_orders(work: &Work) -> bool {
    work.tasks.keys().any(|key| s3_fence::order(key).is_some() || gives_back(key))
}

/// Drops what is no longer ordered, and passes on what a later plan has taken.
pub fn tend(state: &mut State, work: &mut Work, out: &mut Out) {
    let plan = work.plan.id();
    let giving = s3_fence::to_give_back(state, work);
    work.tasks.retain(|key, _| match s3_fence::order(key) {
        // whoever fed them since has taken that over
        None if gives_back(key) => !giving.is_empty(),
        Some((machine, what)) => {
            let quarantined = matches!(state.ledger.standing(&machine), Standing::Quarantined { .. });
            let forced_off = matches!(key, Key::Power(_)) && quarantined;
            forced_off || state.ledger.orders.contains_key(&(plan, machine, what))
        }
        None => true,
    });
    let keys: Vec<Key> = work.tasks.keys().cloned().collect();
    for key in keys {
        let Some((agent, resource)) = s3_fence::subject(&state.estate, &key) else { continue };
        let raised = state.ledger.confirmed.get(&(agent.to_string(), resource)).map(|op| op.epoch).unwrap_or_default();
        if raised > plan.0 {
            pass_on(state, work, out, &key, PlanId(raised));
        }
    }
}

/// The gate knows a later plan of ours on something of this agent that the task is about: its orders pass to that plan.
pub fn overtaken(state: &mut State, work: &mut Work, out: &mut Out, agent: &Agent, key: &Key, heir: PlanId) {
    let of_agent = |other: &Key| s3_fence::subject(&state.estate, other).is_some_and(|(of, _)| of == *agent);
    let all = matches!(key, Key::Advance(_));
    let keys: Vec<Key> = work.tasks.keys().filter(|other| *other == key || all && of_agent(other)).cloned().collect();
    for key in keys {
        pass_on(state, work, out, &key, heir);
    }
}

/// Passes one order on. While the later plan is open it works there itself, and the order waits.
fn pass_on(state: &mut State, work: &mut Work, out: &mut Out, key: &Key, heir: PlanId) {
    let Some((machine, what)) = s3_fence::order(key) else { return };
    let Some(row) = state.ledger.plans.get(&heir).filter(|_| heir > work.plan.id()) else { return };
    let open = row.is_open();
    let Some(task) = work.tasks.get_mut(key).filter(|task| matches!(task.progress, Progress::Waiting(_))) else { return };
    if open {
        return task.again_at(out.now + limits::RETRY_MAX);
    }
    let reason = task.reason.clone().unwrap_or_else(|| "not answered yet".to_owned());
    work.tasks.remove(key);
    if state.ledger.orders.contains_key(&(work.plan.id(), machine.clone(), what.clone())) {
        out.record(&mut state.ledger, Fact::StandingOrder { plan: heir, machine, what, reason });
    }
    if let Some(work) = work_of(state, heir, out.now) {
        work.want(key.clone(), out.now);
    }
    out.wake(out.now + limits::RETRY_FIRST);
}

/// The work of a closed plan, made anew if it was dropped.
fn work_of(state: &mut State, plan: PlanId, now: Instant) -> Option<&mut Work> {
    let row = state.ledger.plans.get(&plan).filter(|row| !row.is_open())?;
    // answers to readings of the dropped work may still be under way: their numbers are not used again
    let next_op = row.next_op.max(state.spent.get(&plan).copied().unwrap_or_default());
    let made = || {
        let mut work = Work::new(row.plan.clone(), next_op, false, now);
        work.enter(Phase::Orders, now);
        work
    };
    Some(state.works.entry(plan).or_insert_with(made))
}

/// A machine in quarantine is to be forced off, under the plan whose epoch the gate takes.
pub fn force_off(state: &mut State, out: &mut Out, machine: &MachineId, fenced_by: PlanId) {
    let key = Key::Power(machine.clone());
    let Some((agent, resource)) = s3_fence::subject(&state.estate, &key) else { return };
    let raised = state.ledger.confirmed.get(&(agent.to_string(), resource)).map(|op| op.epoch).unwrap_or_default();
    let Some(work) = work_of(state, fenced_by.max(PlanId(raised)), out.now) else { return };
    work.want(key.clone(), out.now);
    if let Some(task) = work.tasks.get_mut(&key)
        && !matches!(task.progress, Progress::InFlight(..))
    {
        task.acted_at = None;
        task.again_at(out.now);
    }
    out.wake(out.now + limits::RETRY_FIRST);
}

/// Records orders that were confirmed since, and drops them.
pub fn settle(state: &mut State, work: &mut Work, out: &mut Out) {
    // outlets that are given back are done with together
    let gives = work.tasks.iter().any(|(key, task)| gives_back(key) && !task.is_confirmed());
    let done = work.tasks.iter().filter(|(key, task)| task.is_confirmed() && !(gives && gives_back(key)));
    let done: Vec<Key> = done.map(|(key, _)| key.clone()).collect();
    for key in done {
        work.tasks.remove(&key);
        done_with(state, work, out, &key);
        // the last of its outlets is cut: nothing is left to do about its power
        if let Key::Cut(machine, _) = &key
            && !work.tasks.keys().any(|other| matches!(other, Key::Cut(of, _) if of == machine))
        {
            let power = Key::Power(machine.clone());
            work.tasks.remove(&power);
            done_with(state, work, out, &power);
        }
    }
}

fn done_with(state: &mut State, work: &Work, out: &mut Out, key: &Key) {
    let (plan, Some((machine, what))) = (work.plan.id(), s3_fence::order(key)) else { return };
    if state.ledger.orders.contains_key(&(plan, machine.clone(), what.clone())) {
        out.record(&mut state.ledger, Fact::OrderDone { plan, machine, what });
    }
}

/// Re-makes the works of plans whose standing orders outlived a restart: from the orders themselves, whatever the estate says today; and of
/// those that have outlets to give back.
pub fn resume(state: &State, out: &Out) -> Vec<Work> {
    let cut = state.ledger.machines.values().filter_map(|row| row.outlets_cut.as_ref());
    let plans: BTreeSet<PlanId> = state.ledger.orders.keys().map(|(plan, _, _)| *plan).chain(cut.copied()).collect();
    plans
        .into_iter()
        .filter_map(|id| {
            let row = state.ledger.plans.get(&id).filter(|row| !row.is_open())?;
            let mut work = Work::new(row.plan.clone(), row.next_op, false, out.now);
            work.enter(Phase::Orders, out.now);
            let of_plan = state.ledger.orders.keys().filter(|(plan, _, _)| *plan == id);
            for key in of_plan.filter_map(|(_, machine, what)| read(machine, what)) {
                work.want(key, out.now);
            }
            for agent in s3_fence::to_give_back(state, &work).into_keys() {
                work.want(Key::Unbar(agent), out.now);
            }
            has_orders(&work).then_some(work)
        })
        .collect()
}

/// The task of an order, as `s3_fence::order` words it.
fn read(machine: &MachineId, what: &str) -> Option<Key> {
    let machine = machine.clone();
    if let Some((switch, port)) = what.strip_prefix("bar ").and_then(|port| port.split_once('/')) {
        return Some(Key::Port(machine, PortId { switch: switch.parse().ok()?, port: port.parse().ok()? }));
    }
    if let Some(service) = what.strip_prefix("revoke permit at ") {
        return Some(Key::Permit(machine, service.parse::<BootServiceId>().ok()?));
    }
    if let Some(outlet) = what.strip_prefix("cut outlet ") {
        return Some(Key::Cut(machine, outlet.parse().ok()?));
    }
    (what == "power off").then_some(Key::Power(machine))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn every_order_is_read_as_it_was_worded() {
        let machine: MachineId = "m1".parse().unwrap();
        let port = PortId { switch: "sw1".parse().unwrap(), port: "p12".parse().unwrap() };
        let outlet = "pdu1/7".parse().unwrap();
        let keys = [
            Key::Power(machine.clone()),
            Key::Port(machine.clone(), port),
            Key::Cut(machine.clone(), outlet),
            Key::Permit(machine, "boot1".parse().unwrap()),
        ];
        for key in keys {
            let (machine, what) = s3_fence::order(&key).unwrap();
            assert_eq!(read(&machine, &what), Some(key), "{what}");
        }
    }
}
