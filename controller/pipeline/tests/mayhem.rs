//! Random faults at random moments, by property: whatever happens, no server is effective on two machines (the world asserts it after
//! every event), the laws hold over the records, and once the faults end every server runs or is held with a named reason.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod common;

use common::{World, estate, id};
use pipeline::effect::Agent;
use pipeline::event::Intent;
use proptest::prelude::*;
use vocabulary::*;

#[derive(Clone, Debug)]
enum Act {
    PowerLoss(usize),
    PowerReturns(usize),
    Freeze(usize),
    Thaw(usize),
    BmcDies(usize),
    BmcReturns(usize),
    BmcLiesOff(usize),
    Reboot(usize),
    AgentDies(usize),
    AgentsReturn,
    AnswersLost(u32),
    CoreRestarts,
    Release(usize),
    FailOver(usize),
    Stop(usize),
    Start(usize),
    Blind(bool),
    Slow(u64),
}

fn act() -> impl Strategy<Value = Act> {
    let machine = 1..=4usize;
    let server = 1..=3usize;
    prop_oneof![
        machine.clone().prop_map(Act::PowerLoss),
        machine.clone().prop_map(Act::PowerReturns),
        machine.clone().prop_map(Act::Freeze),
        machine.clone().prop_map(Act::Thaw),
        machine.clone().prop_map(Act::BmcDies),
        machine.clone().prop_map(Act::BmcReturns),
        machine.clone().prop_map(Act::BmcLiesOff),
        machine.clone().prop_map(Act::Reboot),
        (0..3usize).prop_map(Act::AgentDies),
        Just(Act::AgentsReturn),
        (1..5u32).prop_map(Act::AnswersLost),
        Just(Act::CoreRestarts),
        machine.prop_map(Act::Release),
        server.clone().prop_map(Act::FailOver),
        server.clone().prop_map(Act::Stop),
        server.prop_map(Act::Start),
        any::<bool>().prop_map(Act::Blind),
        (1..400u64).prop_map(Act::Slow),
    ]
}

fn agents() -> [Agent; 3] {
    [Agent::Switch(id("sw1")), Agent::Storage(id("store1")), Agent::Boot(id("boot1"))]
}

fn apply(world: &mut World, act: &Act) {
    let machine = |n: usize| id::<MachineId>(&format!("m{n}"));
    let server = |n: usize| id::<ServerId>(&format!("web{n}"));
    match act {
        Act::PowerLoss(n) => world.power_off(&machine(*n)),
        Act::PowerReturns(n) => world.power_on(&machine(*n)),
        Act::Freeze(n) => world.machines.get_mut(&machine(*n)).unwrap().frozen = true,
        Act::Thaw(n) => world.machines.get_mut(&machine(*n)).unwrap().frozen = false,
        Act::BmcDies(n) => world.machines.get_mut(&machine(*n)).unwrap().bmc_dead = true,
        Act::BmcReturns(n) => {
            let box_ = world.machines.get_mut(&machine(*n)).unwrap();
            box_.bmc_dead = false;
            box_.session += 1;
        }
        Act::BmcLiesOff(n) => {
            let box_ = world.machines.get_mut(&machine(*n)).unwrap();
            // it lies for a moment only: a BMC that says Off over a whole window on both rails is beyond what P can see
            box_.lies_off = true;
            world.run(120);
            world.machines.get_mut(&machine(*n)).unwrap().lies_off = false;
        }
        Act::Reboot(n) => {
            let ready_at = world.now + 1_500;
            let box_ = world.machines.get_mut(&machine(*n)).unwrap();
            if box_.power == vocabulary::power::PowerState::On {
                box_.resets += 1;
                box_.ready_at = ready_at;
            }
        }
        Act::AgentDies(n) => {
            world.dead_agents.insert(agents()[*n].clone());
        }
        Act::AgentsReturn => world.dead_agents.clear(),
        Act::AnswersLost(n) => world.lost_answers = *n,
        Act::CoreRestarts => world.boot_core(),
        Act::Release(n) => {
            world.intent(Intent::ReleaseMachine { machine: machine(*n) });
        }
        Act::FailOver(n) => {
            world.intent(Intent::StartFailover { server: server(*n), reason: "mayhem".into() });
        }
        Act::Stop(n) => {
            world.intent(Intent::StopServer { server: server(*n) });
        }
        Act::Start(n) => {
            world.intent(Intent::StartServer { server: server(*n) });
        }
        Act::Blind(blind) => world.canaries = !blind,
        Act::Slow(latency) => world.latency = *latency,
    }
}

fn calm(world: &mut World) {
    world.dead_agents.clear();
    world.lost_answers = 0;
    world.canaries = true;
    world.latency = 5;
    for box_ in world.machines.values_mut() {
        box_.frozen = false;
        box_.bmc_dead = false;
        box_.lies_off = false;
    }
    world.run(200_000);
}

/// A hundred or so in every run; `PROPTEST_CASES` asks for more.
#[expect(clippy::disallowed_methods, reason = "the ban is for the core; a test asks how long it may run")]
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(128)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), max_shrink_iters: 400, .. ProptestConfig::default() })]

    #[test]
    fn never_twice_and_never_lost(acts in prop::collection::vec((act(), 10..4_000u64), 1..14)) {
        let mut world = World::new(4);
        world.start_servers();
        for (act, pause) in &acts {
            apply(&mut world, act);
            world.run(*pause);
        }
        calm(&mut world);
        let breaches = pipeline::invariants::stream_breaches(world.facts.iter());
        prop_assert!(breaches.is_empty(), "{breaches:?}");
        for server in estate::servers(4) {
            let row = &world.state().ledger.servers[&server];
            let serves = world.look(&server) == vocabulary::check::CheckOutcome::Healthy;
            let named = !row.desired || row.held.is_some();
            let works = world.state().ledger.open_plan_of(&server).is_some();
            prop_assert!(serves || named || works, "{server} neither serves nor says why not:\n{}", world.story());
        }
    }
}
