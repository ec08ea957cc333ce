//! What may befall the small world at random moments, how it is calmed, and what an operator does afterwards who follows the remedies.
//! Must never look at what the core believes but to judge it.

use crate::common::{World, id};
use pipeline::effect::Agent;
use pipeline::event::Intent;
use pipeline::ledger::Standing;
use pipeline::record::Subject;
use proptest::prelude::*;
use vocabulary::estate::Mode;
use vocabulary::*;

#[derive(Clone, Debug)]
pub enum Act {
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
    Prune,
    Release(usize),
    FailOver(usize),
    Stop(usize),
    Start(usize),
    Blind(bool),
    Slow(u64),
    Copy(usize),
    OlderCopy(usize),
    Hello(usize, u64),
    Readopt(usize),
    AgentRestarts(usize),
    MemoryLost(usize),
    DiskFull(usize),
    ForeignStore(usize),
    Hold(Option<usize>),
    Resume(Option<usize>),
    Maintain(usize, u64),
    SetMode(usize),
    Approve(usize),
    Abort(usize),
    LetGo(usize),
    Crash(usize),
}

pub fn act() -> impl Strategy<Value = Act> {
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
        Just(Act::Prune),
        machine.clone().prop_map(Act::Release),
        server.clone().prop_map(Act::FailOver),
        server.clone().prop_map(Act::Stop),
        server.clone().prop_map(Act::Start),
        any::<bool>().prop_map(Act::Blind),
        (1..400u64).prop_map(Act::Slow),
        (0..4usize).prop_map(Act::Copy),
        (0..4usize).prop_map(Act::OlderCopy),
        (0..4usize, 1..3_000u64).prop_map(|(n, ms)| Act::Hello(n, ms)),
        (0..4usize).prop_map(Act::Readopt),
        (0..3usize).prop_map(Act::AgentRestarts),
        (0..3usize).prop_map(Act::MemoryLost),
        (0..4usize).prop_map(Act::DiskFull),
        (0..3usize).prop_map(Act::ForeignStore),
        proptest::option::of(server.clone()).prop_map(Act::Hold),
        proptest::option::of(server.clone()).prop_map(Act::Resume),
        (machine, 1_000..60_000u64).prop_map(|(n, ms)| Act::Maintain(n, ms)),
        (0..MODES.len()).prop_map(Act::SetMode),
        server.clone().prop_map(Act::Approve),
        server.prop_map(Act::Abort),
        (0..DOMAINS.len()).prop_map(Act::LetGo),
        (1..=4usize).prop_map(Act::Crash),
    ]
}

/// How far the tier may go.
const MODES: [Mode; 3] = [Mode::Auto, Mode::Approve, Mode::Manual];
/// What the guard can hold here.
const DOMAINS: [&str; 3] = ["switch sw1", "storage store1", "site lab"];

/// Those whose gate files can be restored.
pub const GATES: [&str; 4] = ["sw1", "store1", "boot1", "bmc"];

fn agents() -> [Agent; 3] {
    [Agent::Switch(id("sw1")), Agent::Storage(id("store1")), Agent::Boot(id("boot1"))]
}

/// The service ends, if there is one.
fn crash(world: &mut World, machine: &MachineId) {
    let box_ = world.machines.get_mut(machine).unwrap();
    box_.crashed = box_.runs.is_some();
}

pub fn apply(world: &mut World, act: &Act) {
    let machine = |n: usize| id::<MachineId>(&format!("m{n}"));
    let server = |n: usize| id::<ServerId>(&format!("web{n}"));
    match act {
        Act::PowerLoss(n) => world.power_off(&machine(*n)),
        Act::PowerReturns(n) => world.power_on(&machine(*n)),
        Act::Freeze(n) => world.machines.get_mut(&machine(*n)).unwrap().frozen = true,
        Act::Crash(n) => crash(world, &machine(*n)),
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
        Act::AgentDies(n) => drop(world.dead_agents.insert(agents()[*n].clone())),
        Act::AgentsReturn => world.dead_agents.clear(),
        Act::AnswersLost(n) => world.lost_answers = *n,
        Act::CoreRestarts => world.boot_core(),
        Act::Prune => world.prune(),
        Act::Release(n) => {
            world.intent(Intent::ReleaseMachine { machine: machine(*n) });
        }
        Act::FailOver(n) => {
            world.intent(Intent::StartFailover { server: server(*n), reason: "mayhem".into(), hash: None });
        }
        Act::Stop(n) => {
            world.intent(Intent::StopServer { server: server(*n) });
        }
        Act::Start(n) => {
            world.intent(Intent::StartServer { server: server(*n) });
        }
        Act::Blind(blind) => world.canaries = !blind,
        Act::Slow(latency) => world.latency = *latency,
        Act::Copy(n) => world.copy_gate(GATES[*n]),
        Act::OlderCopy(n) => {
            world.restore_gate(GATES[*n]);
            if GATES[*n] == "bmc" {
                // it lives inside `serve`
                world.boot_core();
            }
        }
        Act::Hello(n, ms) => world.slow_hello(GATES[*n], *ms),
        Act::Readopt(n) => world.readopt(GATES[*n]),
        Act::AgentRestarts(n) => world.restart_agent(GATES[*n]),
        Act::MemoryLost(n) => world.forget_gate(GATES[*n]),
        Act::DiskFull(n) => {
            world.gates.full.insert(GATES[*n].into());
        }
        Act::ForeignStore(n) => {
            world.gates.lineages.insert(GATES[*n].into(), 7);
        }
        Act::Hold(_) | Act::Resume(_) | Act::Maintain(..) => brake(world, act),
        Act::SetMode(_) | Act::Approve(_) | Act::Abort(_) | Act::LetGo(_) => agree(world, act),
    }
}

fn brake(world: &mut World, act: &Act) {
    let machine = |n: usize| id::<MachineId>(&format!("m{n}"));
    let server = |n: usize| id::<ServerId>(&format!("web{n}"));
    match act {
        Act::Hold(n) => {
            world.intent(Intent::Hold { server: n.map(server), reason: "mayhem".into() });
        }
        Act::Resume(n) => {
            world.intent(Intent::Resume { server: n.map(server), reason: String::new() });
        }
        Act::Maintain(n, ms) => {
            let subject = Subject::Machine(machine(*n));
            world.intent(Intent::Maintain { subject, lasts: Span::ms(*ms), reason: "mayhem".into() });
        }
        _ => {}
    }
}

fn agree(world: &mut World, act: &Act) {
    let server = |n: usize| id::<ServerId>(&format!("web{n}"));
    let intent = match act {
        Act::SetMode(n) => Intent::SetTierMode { tier: id("gold"), mode: MODES[*n] },
        Act::Approve(n) => {
            let row = world.state().ledger.servers.get(&server(*n));
            let hash = row.and_then(|row| row.proposed.as_ref()).map(|proposal| proposal.hash.clone());
            Intent::ApproveFailover { server: server(*n), hash: hash.unwrap_or_default(), reason: "mayhem".into() }
        }
        Act::Abort(n) => Intent::AbortFailover { server: server(*n), reason: "mayhem".into() },
        Act::LetGo(n) => Intent::ResumeGuard { domain: DOMAINS[*n].into(), reason: "mayhem".into() },
        _ => return,
    };
    world.intent(intent);
}

/// An agent is found to have an older memory only if it has one, and `agent list` finds each that has.
fn older_are_found(world: &mut World) {
    for agent in GATES {
        let hello = world.hello(agent);
        world.tell(hello);
        let found = world.state().ledger.older.contains_key(agent);
        assert_eq!(found, world.forgetful.contains(agent), "{agent}:\n{}", world.story());
        if found {
            world.readopt(agent);
            let hello = world.hello(agent);
            world.tell(hello);
            assert!(!world.state().ledger.older.contains_key(agent), "a readopt heals {agent}:\n{}", world.story());
        }
    }
}

pub fn calm(world: &mut World) {
    // no answer is under way any more when the operator looks
    world.run(3_000);
    world.gates.full.clear();
    for agent in GATES {
        if world.gates.untrusted.contains(agent) || world.gates.lineages.contains_key(agent) {
            world.readopt(agent);
        }
    }
    older_are_found(world);
    assert!(world.state().ledger.overruled.is_empty(), "nothing was ever drawn but here:\n{}", world.story());
    let ledger = &world.state().ledger;
    let (holds, works): (Vec<_>, Vec<_>) = (ledger.holds.keys().cloned().collect(), ledger.maintenance.keys().cloned().collect());
    for server in holds {
        world.intent(Intent::Resume { server, reason: "all is calm".into() });
    }
    for subject in works {
        world.intent(Intent::EndMaintenance { subject });
    }
    world.intent(Intent::SetTierMode { tier: id("gold"), mode: Mode::Auto });
    world.dead_agents.clear();
    world.lost_answers = 0;
    world.canaries = true;
    world.latency = 5;
    for box_ in world.machines.values_mut() {
        box_.frozen = false;
        box_.bmc_dead = false;
        box_.lies_off = false;
    }
    until_at_rest(world, 200_000);
}

/// Lets so much time pass, or until every server that is meant to run has served for a while and no plan is open.
fn until_at_rest(world: &mut World, at_most_ms: u64) {
    let (end, mut rests) = (world.now + at_most_ms, 0);
    while world.now < end && rests < RESTS {
        world.run(LOOK_MS);
        let rest = down(world).is_empty() && world.state().ledger.open_plans().next().is_none();
        rests = if rest { rests + 1 } else { 0 };
    }
}

/// Servers that are meant to run and do not serve.
pub fn down(world: &World) -> Vec<ServerId> {
    let desired = |server: &ServerId| world.state().ledger.servers[server].desired;
    let serves = |server: &ServerId| world.look(server) == vocabulary::check::CheckOutcome::Healthy;
    world.servers().into_iter().filter(|server| desired(server) && !serves(server)).collect()
}

/// An operator who follows the remedies: releases what is in quarantine, switches spares off, restarts what does not answer, moves what even that does not help.
pub fn mend(world: &mut World) {
    for round in 0..MENDS {
        for machine in world.machines.keys().cloned().collect::<Vec<_>>() {
            match world.state().ledger.standing(&machine) {
                Standing::Quarantined { .. } => drop(world.intent(Intent::ReleaseMachine { machine })),
                // a spare that is on is no spare
                Standing::Free => world.power_off(&machine),
                Standing::Reserved(_) | Standing::Bearing(_) => {}
            }
        }
        world.run(20_000);
        for server in down(world) {
            world.intent(match round {
                0 => Intent::RestartServer { server },
                _ => Intent::StartFailover { server, reason: "it stays down".into(), hash: None },
            });
        }
        until_at_rest(world, 100_000);
        if down(world).is_empty() {
            return;
        }
    }
}

/// How often is looked whether the world is at rest, and how often in a row it has to be: longer than any window of the small estate, so that
/// a verdict that is still to come does come.
const LOOK_MS: u64 = 1_000;
const RESTS: u32 = 30;

/// So often an operator goes through what is down, two minutes each time.
const MENDS: usize = 6;

/// What befalls a world: how many spares it has, and the acts with the pause after each, ms.
pub type Lot = (usize, Vec<(Act, u64)>);

/// Any lot.
pub fn lot() -> impl Strategy<Value = Lot> {
    (1..=2usize, prop::collection::vec((act(), 10..4_000u64), 1..14))
}

/// One world from its begin to its end: acts befall it, then all mishaps end, and an operator mends. `Err` tells what is against the laws;
/// what the world itself must not see it asserts.
pub fn live((spares, acts): &Lot) -> Result<World, String> {
    let mut world = World::with_spares(3 + spares, *spares);
    world.start_servers();
    for (act, pause) in acts {
        apply(&mut world, act);
        world.run(*pause);
    }
    calm(&mut world);
    let breaches = pipeline::invariants::stream_breaches(world.facts.iter());
    if !breaches.is_empty() {
        return Err(format!("{breaches:?}"));
    }
    for server in world.servers() {
        let row = &world.state().ledger.servers[&server];
        let serves = world.look(&server) == vocabulary::check::CheckOutcome::Healthy;
        let named = !row.desired || row.held.is_some();
        let works = world.state().ledger.open_plan_of(&server).is_some();
        if !(serves || named || works) {
            return Err(format!("{server} neither serves nor says why not:\n{}", world.story()));
        }
    }
    mend(&mut world);
    if !down(&world).is_empty() {
        return Err(format!("{:?} cannot be mended:\n{}", down(&world), world.story()));
    }
    let open: Vec<_> = world.state().ledger.open_plans().map(|row| row.plan.id()).collect();
    if !open.is_empty() {
        return Err(format!("{open:?} never end:\n{}", world.story()));
    }
    Ok(world)
}
