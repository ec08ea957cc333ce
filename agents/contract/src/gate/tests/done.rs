//! What a gate tells of the commands that it has confirmed: a controller finds by that a memory which is older within one epoch.

use super::shelf::*;
use crate::agent::{Client, Readopt};
use crate::gate::memory::{Kept, Memory};
use vocabulary::Epoch;
use vocabulary::request::{AgentError, GateEntry};

fn done(bench: &Bench) -> Option<u64> {
    bench.entry(&port_1()).unwrap().done
}

#[tokio::test]
async fn the_newest_confirmed_command_of_the_epoch_is_told_durably() {
    let bench = Bench::new();
    bench.send(3, 1, advance(&[port_1()])).await.unwrap();
    assert_eq!(done(&bench), Some(0), "an epoch is no command");
    bench.send(3, 5, join_port(3)).await.unwrap();
    bench.send(3, 4, join_port(3)).await.unwrap();
    assert_eq!(done(&bench), Some(5));
    let bench = bench.restart();
    assert_eq!(done(&bench), Some(5));
    bench.send(4, 1, advance(&[port_1()])).await.unwrap();
    assert_eq!(done(&bench), Some(0), "those of a lower epoch are beside the point");
    bench.send(4, 2, bar_port()).await.unwrap();
    assert_eq!(done(&bench), Some(2));
}

#[tokio::test]
async fn a_command_of_which_nobody_knows_how_it_ended_is_not_done() {
    let bench = Bench::new();
    bench.send(3, 1, bar_port()).await.unwrap();
    let saves = bench.disk.plan.lock().unwrap().saves;
    // the intent of the next one reaches the disk, its outcome does not
    bench.disk.plan.lock().unwrap().fails_at = Some((saves + 2, false));
    bench.send(3, 2, bar_port()).await.unwrap();
    let bench = bench.restart();
    assert_eq!(done(&bench), Some(1));
    bench.clock.advance(crate::limits::INTERRUPTED_SETTLE_MS);
    let again = bench.send(3, 2, bar_port()).await;
    assert!(matches!(again, Err(AgentError::Unconfirmed { .. })), "{again:?}");
    assert_eq!(done(&bench), Some(1), "nor once it is no longer in flight");
}

#[tokio::test]
async fn a_seeding_tells_what_the_ledger_knows_to_be_done_at_that_very_epoch() {
    let bench = Bench::new();
    bench.send(9, 2, bar_port()).await.unwrap();
    let entry = |epoch, done| GateEntry { epoch: Epoch(epoch), done, ..bench.entry(&port_1()).unwrap() };
    for (floor, told, expected) in [(9, None, 2), (9, Some(1), 2), (9, Some(7), 7), (12, Some(0), 0)] {
        let seed = Readopt {
            estate: estate(),
            lineage: lineage(),
            controller: None,
            floor: Epoch(floor),
            entries: vec![entry(floor, told)],
            ports: vec![],
        };
        bench.gate.readopt(seed).await.unwrap();
        assert_eq!((bench.entry(&port_1()).unwrap().epoch, done(&bench)), (Epoch(floor), Some(expected)), "{told:?}");
    }
}

#[test]
fn a_file_of_before_it_was_kept_tells_nothing_until_its_next_epoch() {
    let mut memory = Memory::new("sw1".parse().unwrap(), estate(), lineage());
    memory.kept_mut(&port_1()).raise(Epoch(3), vocabulary::PlanId(Epoch(3)));
    memory.kept_mut(&port_1()).done = None;
    let body = serde_json::to_string(&memory).unwrap();
    assert!(!body.contains("done"), "as such a file is: {body}");
    let mut memory = Memory::decode(&memory.encode().unwrap()).unwrap();
    let kept: &mut Kept = memory.kept_mut(&port_1());
    assert_eq!(kept.entry().done, None);
    kept.raise(Epoch(4), vocabulary::PlanId(Epoch(4)));
    assert_eq!(kept.entry().done, Some(0));
}
