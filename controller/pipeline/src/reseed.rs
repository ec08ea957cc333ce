//! Who bears what, what is barred and how ports are to stand, by the ledger: what an agent's memory is seeded with. What is not certain
//! is barred. Never says of a port that it is joined while a plan may still be about to join it.

use crate::ledger::{Ledger, Standing};
use crate::plan::Kind;
use crate::stage::Stage;
use crate::state::State;
use vocabulary::request::{Action, Holder};
use vocabulary::{Epoch, MachineId, PlanId};

/// Whom a machine's ports and permit are held for, and since which epoch it is barred.
pub(crate) fn bearing(ledger: &Ledger, machine: &MachineId) -> (Option<Holder>, Option<Epoch>) {
    let (holder, barred) = by_standing(ledger, machine);
    // of what nobody can say, an agent knows more than the ledger: it keeps what it has
    (holder.filter(|_| ledger.may_bear(machine).is_none()), barred)
}

fn by_standing(ledger: &Ledger, machine: &MachineId) -> (Option<Holder>, Option<Epoch>) {
    match ledger.standing(machine) {
        Standing::Quarantined { plan, .. } => (None, Some(plan.0)),
        Standing::Bearing(server) => {
            let placed = ledger.placement(&server).map_or(Epoch::default(), |placement| placement.epoch);
            match cut_after(ledger, machine, placed) {
                Some(plan) => (None, Some(plan.0)),
                None => (Some(Holder { server, machine: machine.clone(), plan: PlanId(placed) }), None),
            }
        }
        Standing::Free | Standing::Reserved(_) => {
            let open = ledger.open_plan_on(machine).map(|row| row.plan.id());
            (None, cut_after(ledger, machine, Epoch::default()).filter(|plan| open == Some(*plan)).map(|plan| plan.0))
        }
    }
}

/// The newest failover that has begun to cut the machine off, of those since this epoch: whatever became of it, its bars stand.
fn cut_after(ledger: &Ledger, machine: &MachineId, since: Epoch) -> Option<PlanId> {
    let cuts = ledger.plans.values().filter(|row| row.begun && row.plan.body().kind == Kind::Failover);
    let by_plan = cuts.filter(|row| row.plan.epoch() > since && row.plan.body().fence.contains(machine)).map(|row| row.plan.id());
    let adopted = ledger.machines.get(machine).and_then(|row| row.cut).filter(|epoch| *epoch > since).map(PlanId);
    by_plan.chain(adopted).max()
}

/// How the ports of an agent are to stand, each as the command that sets it so. A port that only a plan under way can tell is left out.
pub fn ports(state: &State, agent: &str) -> Vec<Action> {
    let (ledger, vlans) = (&state.ledger, &state.estate.settings.vlans);
    let mut found = Vec::new();
    for (id, machine) in &state.estate.machines {
        let (holder, barred) = bearing(ledger, id);
        let under_way = ledger.open_plan_on(id).is_some_and(|row| row.entered.iter().all(|(stage, _)| *stage < Stage::Boot));
        let profile = holder.as_ref().and_then(|holder| state.estate.servers.get(&holder.server));
        let enrolled = ledger.machines.get(id).is_some_and(|row| row.enrolled.is_some());
        for port in machine.ports().into_iter().filter(|port| port.switch.as_str() == agent) {
            let mut carries = profile.into_iter().flat_map(|profile| &profile.networks);
            let network = carries.find(|network| machine.port(&network.role).as_ref() == Some(&port));
            match (&holder, network) {
                _ if barred.is_some() => found.push(Action::BarPort { port, quarantine: vlans.quarantine }),
                _ if under_way || !enrolled || ledger.may_bear(id).is_some() => {}
                (Some(holder), Some(network)) => {
                    found.push(Action::JoinPort { port, setting: network.port_setting(), holder: holder.clone() });
                }
                _ => found.push(Action::ParkPort { port, parking: vlans.parking }),
            }
        }
    }
    found
}
