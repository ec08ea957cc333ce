//! The power fails at every write of a long history, with the old or the new content left on disk: what was acknowledged is never
//! forgotten, what was not on disk was never acted on, and the same plan can always go on.

use super::shelf::*;
use crate::gate::memory::Memory;
use std::collections::BTreeMap;
use vocabulary::request::{Action, Answer, GateEntry, Resource};

/// A placement, its failover to another machine, the release of the first, a second placement.
fn history() -> Vec<(u64, Action)> {
    let all = [machine_1(), port_1(), volume_1(), permit_1()];
    let lift_all = Action::LiftBar { resources: vec![machine_1(), port_1(), permit_1()] };
    vec![
        (2, advance(&all)),
        (2, grant_volume("m1", 2)),
        (2, join_port(2)),
        (2, grant_permit(2)),
        (2, boot_target()),
        (2, power_on()),
        (3, advance(&all)),
        (3, power_off()),
        (3, bar_port()),
        (3, revoke_volume(None)),
        (3, revoke_permit()),
        (3, grant_volume("m3", 3)),
        (4, advance(&[machine_1(), port_1(), permit_1()])),
        (4, park_port()),
        (4, lift_all),
        (5, join_port(5)),
        (5, grant_permit(5)),
        (5, power_on()),
    ]
}

fn by_resource(entries: Vec<GateEntry>) -> BTreeMap<Resource, GateEntry> {
    entries.into_iter().map(|entry| (entry.resource.clone(), entry)).collect()
}

/// What an acknowledged answer promised: the entries right after it. A later command may have begun, and only forbidden more.
fn still_there(promised: &BTreeMap<Resource, GateEntry>, next: Option<&Action>, found: &BTreeMap<Resource, GateEntry>) {
    for (resource, old) in promised {
        let new = found.get(resource).unwrap_or_else(|| panic!("{resource:?} is forgotten"));
        let touched = next.is_some_and(|action| action.resources().contains(resource));
        if !touched {
            assert_eq!(new, old);
            continue;
        }
        assert!(new.epoch >= old.epoch, "{old:?} became {new:?}");
        assert!(new.barred >= old.barred || matches!(next, Some(Action::LiftBar { .. })), "{old:?} became {new:?}");
        let may_free = matches!(
            next,
            Some(Action::RevokeVolume { .. } | Action::BarPort { .. } | Action::ParkPort { .. } | Action::RevokePermit { .. })
        );
        assert!(new.holder.is_some() || old.holder.is_none() || may_free, "{old:?} became {new:?}");
    }
}

async fn crash_at(save: usize, reaches: bool) -> bool {
    let bench = Bench::new();
    let before = bench.disk.plan.lock().unwrap().saves;
    bench.disk.plan.lock().unwrap().fails_at = Some((before + save, reaches));
    let steps = history();
    let mut promised = BTreeMap::new();
    let mut stopped_at = None;
    for (number, (epoch, action)) in steps.iter().enumerate() {
        let acted = bench.shelf.acted();
        let outcome = bench.send(*epoch, number as u64, action.clone()).await;
        let failed = bench.disk.plan.lock().unwrap().saves >= before + save;
        if failed {
            if bench.shelf.acted() > acted {
                let memory = Memory::decode(&bench.disk.content.lock().unwrap()).unwrap();
                let kept = memory.kept.get(&action.resources()[0]).unwrap();
                assert!(kept.ops.iter().any(|o| o.op.number == number as u64), "it acted, so the intent is on disk");
            }
            stopped_at = Some(number);
            break;
        }
        assert!(outcome.is_ok(), "step {number}: {outcome:?}");
        promised = by_resource(bench.gate.entries());
    }
    let Some(stopped_at) = stopped_at else { return false };
    let bench = bench.restart();
    still_there(&promised, Some(&steps[stopped_at].1), &by_resource(bench.gate.entries()));
    bench.clock.advance(crate::limits::INTERRUPTED_SETTLE_MS);
    for (number, (epoch, action)) in steps.iter().enumerate().skip(stopped_at) {
        let outcome = bench.send(*epoch, 1_000 + number as u64, action.clone()).await;
        assert!(matches!(outcome, Ok(ref answer) if !matches!(answer, Answer::Hello(_))), "{action:?}: {outcome:?}");
    }
    assert_eq!(bench.shelf.state.lock().unwrap().allowed, vec![initiator(3)]);
    true
}

#[tokio::test]
async fn nothing_acknowledged_is_forgotten_at_any_write() {
    let mut save = 1;
    while crash_at(save, false).await & crash_at(save, true).await {
        save += 1;
    }
    assert!(save > 30, "only {save} writes were cut");
}
