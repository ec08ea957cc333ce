//! Stage 9: a plan ends. What is not confirmed of its fence becomes standing orders, retried for ever; the old machine stays in
//! quarantine until it is released; a machine that returns by itself raises an alarm, and ForceOff while its network stands open.

mod orders;

pub use orders::{has_orders, overtaken, resume, settle, tend};

use crate::effect::Agent;
use crate::ledger::Standing;
use crate::out::Out;
use crate::plan::Kind;
use crate::record::{Ended, Fact};
use crate::s3_fence;
use crate::stage::Stage;
use crate::state::State;
use crate::work::{Key, Phase, Progress, Work};
use std::collections::BTreeSet;
use vocabulary::MachineId;
use vocabulary::power::MachineReading;

/// Closes a plan. The work goes on while a part of its fence is not confirmed, and is dropped after that.
pub fn close(state: &mut State, work: &mut Work, out: &mut Out, result: Result<String, Ended>) {
    if work.phase == Phase::Orders {
        // a plan ends once
        return;
    }
    let plan = work.plan.id();
    // a restart cuts nothing off that would have to be seen through
    let begun = state.ledger.plans.get(&plan).is_some_and(|row| row.begun) && work.plan.body().kind != Kind::Restart;
    out.record(&mut state.ledger, Fact::Entered { plan, stage: Stage::Return });
    if begun {
        for (machine, what, reason) in s3_fence::uncut(work) {
            out.record(&mut state.ledger, Fact::StandingOrder { plan, machine, what, reason });
        }
    }
    out.record(&mut state.ledger, Fact::Closed { plan, result });
    work.enter(Phase::Orders, out.now);
    let failover = work.plan.body().kind == Kind::Failover;
    let dark: BTreeSet<MachineId> =
        work.plan.body().fence.iter().filter(|machine| s3_fence::are_cut(work, machine)).cloned().collect();
    work.tasks.retain(|key, task| match key {
        Key::Power(machine) if dark.contains(machine) => false,
        Key::Advance(_) | Key::Power(_) | Key::Port(..) | Key::Permit(..) | Key::Cut(..) => {
            begun && !matches!(task.progress, Progress::Confirmed(_) | Progress::Unavailable)
        }
        // outlets that were cut in vain are given back whatever becomes of the plan
        Key::Unbar(Agent::Outlets(_)) | Key::Feed(_) => begun && failover,
        _ => false,
    });
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
    if open_network {
        orders::force_off(state, out, machine, plan);
    }
}
