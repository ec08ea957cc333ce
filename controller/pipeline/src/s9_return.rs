//! Stage 9: a plan ends. What is not confirmed of its fence becomes standing orders, retried for ever; the old machine stays in
//! quarantine until it is released; a machine that returns by itself raises an alarm, and ForceOff while its network stands open.

use crate::ledger::Standing;
use crate::out::Out;
use crate::record::{Ended, Fact};
use crate::s3_fence;
use crate::stage::Stage;
use crate::state::State;
use crate::work::{Key, Phase, Progress, Work, limits};
use vocabulary::power::MachineReading;
use vocabulary::{MachineId, PlanId};

/// Closes a plan. The work goes on while a part of its fence is not confirmed, and is dropped after that.
pub fn close(state: &mut State, work: &mut Work, out: &mut Out, result: Result<String, Ended>) {
    let plan = work.plan.id();
    let begun = state.ledger.plans.get(&plan).is_some_and(|row| row.begun);
    out.record(&mut state.ledger, Fact::Entered { plan, stage: Stage::Return });
    if begun {
        for (machine, what, reason) in s3_fence::uncut(work) {
            out.record(&mut state.ledger, Fact::StandingOrder { plan, machine, what, reason });
        }
    }
    out.record(&mut state.ledger, Fact::Closed { plan, result });
    work.enter(Phase::Orders, out.now);
    work.tasks.retain(|key, task| match key {
        Key::Advance(_) | Key::Power(_) | Key::Port(..) | Key::Permit(..) => begun && !task.is_confirmed(),
        _ => false,
    });
}

/// True while a standing order of this plan is open.
pub fn has_orders(work: &Work) -> bool {
    work.tasks.keys().any(|key| s3_fence::order(key).is_some())
}

/// Records orders that were confirmed since, and drops them.
pub fn settle(state: &mut State, work: &mut Work, out: &mut Out) {
    let done: Vec<Key> = work.tasks.iter().filter(|(_, task)| task.is_confirmed()).map(|(key, _)| key.clone()).collect();
    for key in done {
        work.tasks.remove(&key);
        if let Some((machine, what)) = s3_fence::order(&key) {
            let plan = work.plan.id();
            if state.ledger.orders.contains_key(&(plan, machine.clone(), what.clone())) {
                out.record(&mut state.ledger, Fact::OrderDone { plan, machine, what });
            }
        }
    }
}

/// Re-makes the works of plans whose standing orders outlived a restart.
pub fn resume(state: &State, out: &Out) -> Vec<Work> {
    let plans: std::collections::BTreeSet<PlanId> = state.ledger.orders.keys().map(|(plan, _, _)| *plan).collect();
    plans
        .into_iter()
        .filter_map(|id| {
            let row = state.ledger.plans.get(&id).filter(|row| !row.is_open())?;
            let mut work = Work::new(row.plan.clone(), row.next_op, false, out.now);
            s3_fence::begin(state, &mut work, out.now);
            work.tasks.retain(|key, _| match (key, s3_fence::order(key)) {
                (Key::Advance(_), _) => true,
                (_, Some((machine, what))) => state.ledger.orders.contains_key(&(id, machine, what)),
                _ => false,
            });
            work.enter(Phase::Orders, out.now);
            Some(work)
        })
        .collect()
}

/// A reading of a quarantined machine: anything but Off raises an alarm once. While its network is not barred it is forced off.
pub fn quarantined(state: &mut State, out: &mut Out, machine: &MachineId, reading: &MachineReading) {
    let Standing::Quarantined { plan, .. } = state.ledger.standing(machine) else { return };
    let subject = format!("returned {machine}");
    if reading.all_off() {
        state.watch.alarms.remove(&subject);
        return;
    }
    let open_network = state.ledger.orders.keys().any(|(_, of, what)| of == machine && what.starts_with("bar "));
    if state.watch.alarms.insert(subject) {
        let text = format!(
            "{machine} is in quarantine and its BMC says {:?}; its ports {}",
            reading.system_power,
            if open_network { "are not all barred: it is forced off" } else { "are barred and it boots nothing" }
        );
        out.record(&mut state.ledger, Fact::Alarm { subject: machine.to_string(), code: "F0901".to_owned(), text });
    }
    if let Some(work) = state.works.get_mut(&plan).filter(|_| open_network) {
        let key = Key::Power(machine.clone());
        work.want(key.clone(), out.now);
        if let Some(task) = work.tasks.get_mut(&key)
            && !matches!(task.progress, Progress::InFlight(..))
        {
            task.acted_at = None;
            task.again_at(out.now);
        }
        out.wake(out.now + limits::RETRY_FIRST);
    }
}
