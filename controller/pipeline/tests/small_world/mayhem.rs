//! Random faults at random moments, by property: whatever happens, no server is effective on two machines (the world asserts it after
//! every event) and the laws hold over the records; once the faults end, every server runs or is held with a named reason, and it runs
//! when the remedies are followed.

use crate::common::World;
use crate::life::{Act, act, apply};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: crate::cases::cases(), max_shrink_iters: 400, .. ProptestConfig::default() })]

    #[test]
    fn never_twice_and_never_lost(lot in crate::life::lot()) {
        let lived = crate::life::live(&lot).map(drop);
        prop_assert_eq!(lived, Ok(()));
    }

    /// The fencing token: a store that was rolled back, at any moment and in the middle of any faults, makes no server effective twice (the
    /// world asserts it), and does not draw epoch after epoch until it is above the gates.
    #[test]
    fn a_store_that_was_rolled_back_is_harmless(
        before in prop::collection::vec((act(), 10..4_000u64), 0..6),
        between in prop::collection::vec((act(), 10..4_000u64), 1..8),
        after in prop::collection::vec((act(), 10..4_000u64), 0..8),
    ) {
        let mut world = World::with_spares(5, 2);
        world.start_servers();
        let go = |world: &mut World, acts: &[(Act, u64)]| {
            // gates that forget, or are told to obey this very store, are another law's
            let spared = |act: &Act| matches!(act, Act::Readopt(_) | Act::OlderCopy(_) | Act::MemoryLost(_) | Act::ForeignStore(_));
            for (act, pause) in acts.iter().filter(|(act, _)| !spared(act)) {
                apply(world, act);
                world.run(*pause);
            }
        };
        go(&mut world, &before);
        world.back_up();
        go(&mut world, &between);
        let highest = world.epochs.iter().filter(|((agent, _), _)| agent != "bmc").map(|(_, epoch)| *epoch).max().unwrap();
        world.roll_back();
        let back = world.state().ledger.epoch;
        go(&mut world, &after);
        world.gates.full.clear();
        world.dead_agents.clear();
        world.run(60_000);
        let drawn = world.state().ledger.epoch;
        let plans = after.len() as u64 + 12;
        prop_assert!(highest <= back || drawn.0 <= back.0 + plans, "{back} {highest} {drawn}:\n{}", world.story());
    }
}
