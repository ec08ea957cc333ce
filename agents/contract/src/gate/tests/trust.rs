//! When an agent may be trusted: first start, lost, torn, newer, copied and interrupted memories; and how `readopt` mends them.

use super::shelf::*;
use crate::agent::{Client, Readopt};
use crate::gate::clock::Manual;
use crate::gate::memory::Memory;
use crate::gate::{Gate, GateError, Identity};
use crate::limits;
use proptest::prelude::*;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use vocabulary::request::{Action, AgentError, Answer, GateEntry, Holder, Request, Resource, Token};
use vocabulary::{AgentBootId, Epoch, EstateUuid, Lineage, PortSetting};

fn open(path: &Path, identity: Identity) -> Gate<Arc<Shelf>> {
    Gate::open_with(path, identity, Arc::new(Shelf::default()), Arc::new(Manual::default())).unwrap()
}

async fn send(gate: &Gate<Arc<Shelf>>, epoch: u64, number: u64, action: Action) -> Result<Answer, AgentError> {
    let disk = Arc::new(Disk::default());
    let bench = Bench { gate: gate.clone(), shelf: Arc::default(), disk, clock: Arc::default() };
    bench.send(epoch, number, action).await
}

/// It observes and revokes, and does nothing else.
async fn only_takes_away(gate: &Gate<Arc<Shelf>>) {
    assert!(!gate.trusted());
    let Answer::Hello(hello) = gate.call(Request { token: None, action: Action::Hello }).await.unwrap() else { panic!() };
    assert!(!hello.trusted);
    for (number, action) in [
        power_on(),
        boot_target(),
        join_port(50),
        park_port(),
        grant_volume("m1", 50),
        grant_permit(50),
        lift(machine_1()),
        Action::ShutDown { machine: machine("m1") },
        Action::SetRestorePolicyOff { machine: machine("m1") },
    ]
    .into_iter()
    .enumerate()
    {
        let outcome = send(gate, 50, number as u64, action).await;
        assert!(refused(&outcome, "untrusted"), "{outcome:?}");
    }
    let takes = [advance(&[machine_1(), port_1()]), power_off(), bar_port(), revoke_volume(None), revoke_permit()];
    for (number, action) in takes.into_iter().enumerate() {
        assert!(send(gate, 50, 100 + number as u64, action).await.is_ok());
    }
    assert!(gate.call(Request { token: None, action: Action::ReadPort { port: port("p1") } }).await.is_ok());
}

#[tokio::test]
async fn a_first_start_is_trusted_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gate.json");
    let gate = open(&path, identity(true));
    assert!(gate.trusted());
    send(&gate, 3, 1, power_off()).await.unwrap();
    drop(gate);
    let gate = open(&path, identity(true));
    assert!(gate.trusted());
    assert_eq!(gate.entries().len(), 1);
    drop(gate);
    std::fs::remove_file(&path).unwrap();
    only_takes_away(&open(&path, identity(true))).await;
}

#[tokio::test]
async fn the_mark_beside_the_bundle_counts_as_well_and_a_new_enrolment_begins_anew() {
    let folder = tempfile::tempdir().unwrap();
    let bundle = folder.path().join("bundle.json");
    let enrolment = |name: &str| Identity { enrolment: name.into(), mark: Some(bundle.clone()), ..identity(true) };
    assert!(open(&folder.path().join("a"), enrolment("first")).trusted());
    let elsewhere = folder.path().join("b");
    assert!(!open(&elsewhere, enrolment("first")).trusted(), "the disk with the gate file was replaced");
    assert!(!open(&elsewhere, enrolment("second")).trusted(), "an untrusted file stays untrusted");
    assert!(open(&folder.path().join("c"), enrolment("second")).trusted());
}

#[tokio::test]
async fn without_a_fresh_enrolment_an_empty_memory_is_untrusted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gate.json");
    only_takes_away(&open(&path, identity(false))).await;
    assert!(!open(&path, identity(true)).trusted(), "it has begun a memory of its own");
}

#[tokio::test]
async fn a_crash_while_seeding_neither_forgets_nor_wastes_the_enrolment() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gate.json");
    let seeding = Memory { seeding: true, ..Memory::new("sw1".parse().unwrap(), estate(), lineage()) };
    std::fs::write(&path, seeding.encode().unwrap()).unwrap();
    std::fs::write(folder.path().join("gate.json.seeded"), identity(true).enrolment).unwrap();
    assert!(open(&path, identity(true)).trusted(), "nothing was served yet");
}

#[tokio::test]
async fn a_foreign_or_newer_file_is_kept_aside_and_not_trusted() {
    let folder = tempfile::tempdir().unwrap();
    let sound = Memory { trusted: true, ..Memory::new("sw1".parse().unwrap(), estate(), lineage()) };
    let other_agent = Memory { agent: "sw2".parse().unwrap(), ..sound.clone() }.encode().unwrap();
    let other_estate = Memory { estate: EstateUuid("else".into()), ..sound.clone() }.encode().unwrap();
    let newer = String::from_utf8(sound.encode().unwrap()).unwrap().replacen("\"version\":1", "\"version\":2", 1).into_bytes();
    for (name, bytes) in [("agent", other_agent), ("estate", other_estate), ("newer", newer), ("empty", vec![])] {
        let path = folder.path().join(name);
        std::fs::write(&path, &bytes).unwrap();
        only_takes_away(&open(&path, identity(true))).await;
        let aside = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .find(|p| p.to_string_lossy().contains(&format!("{name}.refused-")))
            .unwrap();
        assert_eq!(std::fs::read(aside).unwrap(), bytes);
        assert!(!open(&path, identity(true)).trusted(), "{name}: still not at the next start");
    }
}

#[tokio::test]
async fn a_memory_that_was_copied_knows_what_it_knew_and_is_not_trusted() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (folder.path().join("first"), folder.path().join("second"));
    std::fs::create_dir(&first).unwrap();
    let gate = open(&first.join("gate.json"), identity(true));
    send(&gate, 3, 1, power_off()).await.unwrap();
    // while the first one runs, with its lock and its marks
    std::fs::create_dir(&second).unwrap();
    for entry in std::fs::read_dir(&first).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, second.join(path.file_name().unwrap())).unwrap();
    }
    let copy = open(&second.join("gate.json"), identity(true));
    assert_eq!(copy.entries(), gate.entries());
    only_takes_away(&copy).await;
    drop(copy);
    let copy = open(&second.join("gate.json"), identity(true));
    assert!(!copy.trusted(), "nor at the next start, where it is at home by now");
    copy.readopt(ledger(60, vec![])).await.unwrap();
    drop(copy);
    assert!(open(&second.join("gate.json"), identity(true)).trusted());
    drop(gate);
    assert!(open(&first.join("gate.json"), identity(true)).trusted(), "whom it was copied from has lost nothing");
}

#[tokio::test]
async fn a_file_of_before_homes_were_kept_is_at_home_where_it_lies() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gate.json");
    let before = Memory { trusted: true, ..Memory::new("sw1".parse().unwrap(), estate(), lineage()) };
    std::fs::write(&path, before.encode().unwrap()).unwrap();
    assert!(open(&path, identity(true)).trusted());
    let elsewhere = folder.path().join("elsewhere.json");
    std::fs::rename(&path, &elsewhere).unwrap();
    assert!(!open(&elsewhere, identity(true)).trusted());
}

#[test]
fn one_device_one_instance() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gate.json");
    let first = open(&path, identity(true));
    let second = Gate::open(&path, identity(true), Arc::new(Shelf::default()));
    assert!(matches!(second.err(), Some(GateError::Locked { .. })));
    drop(first);
    assert!(Gate::open(&path, identity(true), Arc::new(Shelf::default())).is_ok());
    let nowhere = Gate::open(folder.path().join("no/such"), identity(true), Arc::new(Shelf::default()));
    assert!(matches!(nowhere.err(), Some(GateError::Disk { .. })));
}

#[tokio::test]
async fn a_write_that_was_cut_leaves_the_old_file_in_force() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gate.json");
    let gate = open(&path, identity(true));
    send(&gate, 3, 1, power_off()).await.unwrap();
    drop(gate);
    std::fs::write(folder.path().join("gate.json.new"), b"{\"version\":1,\"len").unwrap();
    let gate = open(&path, identity(true));
    assert!(gate.trusted());
    assert_eq!(gate.entries()[0].barred, Some(Epoch(3)));
    assert!(refused(&send(&gate, 4, 1, power_on()).await, "barred"));
}

fn real_file() -> Vec<u8> {
    let mut memory = Memory { trusted: true, ..Memory::new("sw1".parse().unwrap(), estate(), lineage()) };
    memory.kept_mut(&machine_1()).barred = Some(Epoch(9));
    memory.kept_mut(&port_1()).holder = Some(holder("m1", 4));
    memory.encode().unwrap()
}

#[test]
fn a_file_cut_anywhere_is_not_a_memory() {
    let whole = real_file();
    assert!(Memory::decode(&whole).is_ok());
    for length in 0..whole.len() {
        assert!(Memory::decode(&whole[..length]).is_err(), "cut at {length}");
    }
}

proptest! {
    #[test]
    fn a_changed_byte_is_noticed(at in 0usize..4096, change in 1u8..=255) {
        let mut bytes = real_file();
        let whole = Memory::decode(&bytes).unwrap();
        let at = at % bytes.len();
        bytes[at] ^= change;
        // Only the spelling of the header may differ without harm: what is read is then the same.
        if let Ok(read) = Memory::decode(&bytes) {
            prop_assert_eq!(read, whole);
        }
    }

    #[test]
    fn reading_is_total(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        prop_assert!(Memory::decode(&bytes).is_err());
    }
}

fn ledger(floor: u64, entries: Vec<GateEntry>) -> Readopt {
    Readopt {
        estate: estate(),
        lineage: Lineage("lineage-2".into()),
        controller: None,
        floor: Epoch(floor),
        entries,
        ports: vec![],
    }
}

#[tokio::test]
async fn readopt_gives_the_ledger_back_and_drops_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let gate = open(&folder.path().join("gate.json"), identity(false));
    send(&gate, 6, 1, power_off()).await.unwrap();
    let entry = |resource, epoch, barred: Option<u64>| GateEntry {
        resource,
        epoch: Epoch(epoch),
        plan: None,
        holder: Some(holder("m1", 4)),
        barred: barred.map(Epoch),
        done: Some(0),
    };
    let entries = vec![entry(port_1(), 5, Some(5)), entry(machine_1(), 4, None)];
    assert!(gate.readopt(Readopt { estate: EstateUuid("x".into()), ..ledger(9, vec![]) }).await.is_err());
    assert!(gate.readopt(ledger(5, entries.clone())).await.is_err(), "a store older than the gate must be adopted first");
    let hello = gate.readopt(ledger(9, entries)).await.unwrap();
    assert!(hello.trusted && gate.trusted());
    assert_eq!(hello.lineage, Some(Lineage("lineage-2".into())));
    let find = |resource| hello.entries.iter().find(|e| e.resource == resource).unwrap().clone();
    assert_eq!((find(machine_1()).epoch, find(machine_1()).barred), (Epoch(6), Some(Epoch(6))), "its own bar stays");
    assert_eq!((find(port_1()).epoch, find(port_1()).barred), (Epoch(5), Some(Epoch(5))), "the ledger's bar is taken");
    let old = send(&gate, 10, 1, join_port(10)).await;
    assert!(refused(&old, "foreign lineage"));
    assert!(matches!(old, Err(AgentError::Foreign { .. })), "{old:?}");
}

#[tokio::test]
async fn nothing_below_the_floor_is_taken_even_where_the_ledger_is_silent() {
    let bench = Bench::new();
    bench.gate.readopt(Readopt { lineage: lineage(), ..ledger(9, vec![]) }).await.unwrap();
    let below = bench.send(8, 1, power_on()).await;
    assert!(matches!(below, Err(AgentError::LowerEpoch { .. })), "{below:?}");
    assert!(bench.send(10, 1, power_on()).await.is_ok());
    let bench = bench.restart();
    assert!(refused(&bench.send(8, 1, join_port(8)).await, "lower epoch"), "the floor is durable");
}

fn port_entry(name: &str, holder: Option<Holder>, barred: Option<u64>) -> GateEntry {
    GateEntry {
        resource: Resource::Port(port(name)),
        epoch: Epoch(9),
        plan: None,
        holder,
        barred: barred.map(Epoch),
        done: Some(0),
    }
}

#[tokio::test]
async fn readopt_seeds_how_ports_stand_and_the_driver_takes_it_up_at_once() {
    let bench = Bench::new();
    bench.send(3, 1, join_port(3)).await.unwrap();
    let action = |name: &str, barred: bool| match barred {
        true => Action::BarPort { port: port(name), quarantine: QUARANTINE },
        false => Action::JoinPort { port: port(name), setting: PortSetting::access(PRODUCTION), holder: holder("m2", 8) },
    };
    let entries = vec![
        port_entry("p1", None, None),
        port_entry("p2", Some(holder("m2", 8)), None),
        port_entry("p3", None, Some(7)),
        port_entry("p4", None, Some(7)),
    ];
    // what a barred port is to carry is its quarantine and nothing else
    let ports = vec![action("p2", false), action("p3", true), action("p4", false)];
    let seed = Readopt { ports, ..ledger(9, entries) };
    let odd = Readopt { ports: vec![power_on()], ..seed.clone() };
    assert!(matches!(bench.gate.readopt(odd).await, Err(AgentError::Refused { .. })));
    bench.gate.readopt(seed).await.unwrap();
    let taken_up = |bench: &Bench| -> Vec<(Resource, bool, Option<Action>)> {
        let state = bench.shelf.state.lock().unwrap();
        state.restored.iter().map(|s| (s.entry.resource.clone(), s.entry.barred.is_some(), s.action.clone())).collect()
    };
    let expected = vec![
        (Resource::Port(port("p3")), true, Some(action("p3", true))),
        (Resource::Port(port("p4")), true, None),
        (Resource::Port(port("p1")), false, None),
        (Resource::Port(port("p2")), false, Some(action("p2", false))),
    ];
    assert_eq!(taken_up(&bench), expected, "bars first; the joined port of a holder that the ledger does not know is left alone");
    let bench = bench.restart();
    bench.shelf.state.lock().unwrap().restored.clear();
    bench.gate.restore().await.unwrap();
    assert_eq!(taken_up(&bench), expected, "durably");
}

#[tokio::test]
async fn no_command_comes_between_while_the_ledger_is_taken_up() {
    let bench = Bench::new();
    let seed = Readopt { lineage: lineage(), ..ledger(9, vec![port_entry("p1", None, None)]) };
    bench.shelf.shut();
    let gate = bench.gate.clone();
    let readopt = tokio::spawn(async move { gate.readopt(seed).await });
    while bench.shelf.state.lock().unwrap().restored.is_empty() {
        tokio::task::yield_now().await;
    }
    // the driver is at it with what stood before: a bar that passed now would be overwritten
    assert!(refused(&bench.send(10, 1, advance(&[port_1()])).await, "busy"));
    assert!(refused(&bench.send(10, 2, bar_port()).await, "busy"));
    readopt.abort();
    bench.shelf.open();
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    assert!(bench.send(10, 3, bar_port()).await.is_ok(), "it ends although its caller gave up");
}

/// True once what is kept may be put back.
async fn is_cleared(bench: &Bench, within: Duration) -> bool {
    tokio::time::timeout(within, bench.gate.cleared()).await.is_ok()
}

async fn vouch(bench: &Bench, boot: AgentBootId, of: (EstateUuid, Lineage), current: bool) -> Result<Answer, AgentError> {
    let action = Action::Vouch { boot, estate: of.0, lineage: of.1, controller: vocabulary::ControllerLife::default(), current };
    bench.gate.call(Request { token: None, action }).await
}

#[tokio::test(start_paused = true)]
async fn what_a_restart_undid_waits_for_a_controller_that_knows_this_life_and_not_for_one_that_is_away() {
    let bench = Bench::new();
    let mine = || (estate(), lineage());
    let boot = bench.hello().await.boot;
    let moment = Duration::from_millis(1);
    let another = vouch(&bench, AgentBootId("before".into()), mine(), true).await;
    assert!(refused(&another, "another life"), "{another:?}");
    let strange = vouch(&bench, boot.clone(), (EstateUuid("another".into()), lineage()), true).await;
    assert!(matches!(strange, Err(AgentError::Foreign { .. })), "{strange:?}");
    let rolled_back = vouch(&bench, boot.clone(), (estate(), Lineage("another".into())), true).await;
    assert!(matches!(rolled_back, Err(AgentError::Foreign { .. })), "{rolled_back:?}");
    assert!(!is_cleared(&bench, moment).await);
    assert_eq!(vouch(&bench, boot.clone(), mine(), true).await, Ok(Answer::Done));
    assert!(is_cleared(&bench, moment).await);
    // in its next life nobody says anything
    let bench = bench.restart();
    assert!(!is_cleared(&bench, limits::VOUCH_PATIENCE - moment).await);
    assert!(is_cleared(&bench, limits::VOUCH_PATIENCE + moment).await, "servers do not wait for a controller that is away");
}

#[tokio::test(start_paused = true)]
async fn an_older_copy_is_not_put_back_however_long_it_takes_until_it_is_seeded() {
    let bench = Bench::new();
    let boot = bench.hello().await.boot;
    vouch(&bench, boot.clone(), (estate(), lineage()), false).await.unwrap();
    let gate = bench.gate.clone();
    let waiting = tokio::spawn(async move { gate.cleared().await });
    tokio::time::sleep(limits::VOUCH_PATIENCE * 10).await;
    assert!(!waiting.is_finished());
    vouch(&bench, boot, (estate(), lineage()), true).await.unwrap();
    waiting.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_memory_that_was_lost_is_not_waited_for_and_then_acted_on() {
    let bench = Bench::new();
    bench.gate.inner.live().memory.trusted = false;
    let gate = bench.gate.clone();
    let waiting = tokio::spawn(async move { gate.cleared().await });
    tokio::time::sleep(limits::VOUCH_PATIENCE * 10).await;
    assert!(!waiting.is_finished(), "nobody has seeded it");
    bench.gate.readopt(ledger(9, vec![])).await.unwrap();
    waiting.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_was_put_back_without_a_controller_ends_when_one_comes_that_knows_better() {
    let bench = Bench::new();
    bench.send(3, 1, bar_port()).await.unwrap();
    let bench = bench.restart();
    let boot = bench.hello().await.boot;
    let gate = bench.gate.clone();
    let _keeping = tokio::spawn(async move { gate.keep_put_back().await });
    let seen = || {
        let state = bench.shelf.state.lock().unwrap();
        (state.restored.len(), state.suspended)
    };
    tokio::time::sleep(limits::VOUCH_PATIENCE / 2).await;
    assert_eq!(seen(), (0, 0));
    tokio::time::sleep(limits::VOUCH_PATIENCE).await;
    assert_eq!(seen(), (1, 0), "nobody came");
    bench.shelf.state.lock().unwrap().restored.clear();
    vouch(&bench, boot.clone(), (estate(), lineage()), false).await.unwrap();
    tokio::time::sleep(limits::VOUCH_PATIENCE * 10).await;
    assert_eq!(seen(), (0, 1));
    assert!(bench.gate.held_for_older());
    vouch(&bench, boot, (estate(), lineage()), true).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(seen(), (1, 1));
}

#[tokio::test]
async fn what_a_command_sets_is_not_put_back_to_what_was_before_it() {
    let bench = Bench::new();
    bench.shelf.shut();
    let (gate, token) = (bench.gate.clone(), Some(bench.token(3, 1)));
    let command = tokio::spawn(async move { gate.call(Request { token, action: join_port(3) }).await });
    while bench.gate.inner.live().in_flight.is_empty() {
        tokio::task::yield_now().await;
    }
    let gate = bench.gate.clone();
    let restore = tokio::spawn(async move { gate.restore().await });
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(bench.shelf.state.lock().unwrap().restored.is_empty(), "a command is in flight");
    bench.shelf.open();
    command.await.unwrap().unwrap();
    restore.await.unwrap().unwrap();
    let state = bench.shelf.state.lock().unwrap();
    assert!(state.restored.iter().any(|one| one.action == Some(join_port(3))), "{:?}", state.restored);
}

#[tokio::test]
async fn a_reading_for_a_plan_is_one_of_the_life_and_lineage_it_was_asked_of() {
    let bench = Bench::new();
    let token = bench.token(3, 1);
    let reading = || Action::ReadPort { port: port("p1") };
    assert!(bench.with(token.clone(), reading()).await.is_ok());
    let foreign = Token { lineage: Lineage("lineage-2".into()), ..token.clone() };
    assert!(refused(&bench.with(foreign, reading()).await, "foreign lineage"));
    let bench = bench.restart();
    assert!(refused(&bench.with(token, reading()).await, "another life"));
    assert!(bench.gate.call(Request { token: None, action: reading() }).await.is_ok(), "to look is always allowed");
}

#[tokio::test]
async fn a_device_whose_driver_was_given_up_on_stays_busy_for_newer_plans_for_a_while() {
    let mut bench = Bench::new();
    Arc::get_mut(&mut bench.gate.inner).unwrap().perform_max = Duration::from_millis(20);
    bench.shelf.shut();
    let hung = bench.send(3, 1, power_on()).await;
    assert!(matches!(hung, Err(AgentError::Unreachable { .. })), "{hung:?}");
    bench.shelf.open();
    let busy = Answer::Advanced { clear: vec![], busy: vec![machine_1()] };
    assert_eq!(bench.send(4, 1, advance(&[machine_1()])).await.unwrap(), busy);
    bench.clock.advance(limits::INTERRUPTED_SETTLE_MS);
    let clear = Answer::Advanced { clear: vec![machine_1()], busy: vec![] };
    assert_eq!(bench.send(4, 1, advance(&[machine_1()])).await.unwrap(), clear);
}

#[tokio::test]
async fn what_a_crash_interrupted_is_unknown_and_busy_for_a_while() {
    let bench = Bench::new();
    let saves = bench.disk.plan.lock().unwrap().saves;
    // The intent reaches the disk, the outcome does not.
    bench.disk.plan.lock().unwrap().fails_at = Some((saves + 2, false));
    bench.send(3, 1, power_on()).await.unwrap();
    let bench = bench.restart();
    let again = bench.send(3, 1, power_on()).await;
    assert!(matches!(again, Err(AgentError::Unconfirmed { .. })), "{again:?}");
    assert_eq!(bench.shelf.acted(), 1, "never blindly again");
    let busy = Answer::Advanced { clear: vec![], busy: vec![machine_1()] };
    assert_eq!(bench.send(4, 1, advance(&[machine_1()])).await.unwrap(), busy);
    assert!(refused(&bench.send(4, 2, power_off()).await, "busy"));
    let bench = bench.restart();
    assert_eq!(bench.send(4, 1, advance(&[machine_1()])).await.unwrap(), busy, "and over another restart");
    bench.clock.advance(limits::INTERRUPTED_SETTLE_MS);
    let clear = Answer::Advanced { clear: vec![machine_1()], busy: vec![] };
    assert_eq!(bench.send(4, 1, advance(&[machine_1()])).await.unwrap(), clear);
    assert!(bench.send(4, 2, power_off()).await.is_ok());
    let bench = bench.restart();
    assert_eq!(bench.send(5, 1, advance(&[machine_1()])).await.unwrap(), clear, "settled once and for all");
}

#[tokio::test(start_paused = true)]
async fn one_that_is_told_to_be_older_gives_nothing_more_until_it_is_seeded() {
    let bench = Bench::new();
    bench.send(3, 1, join_port(3)).await.unwrap();
    let boot = bench.hello().await.boot;
    vouch(&bench, boot, (estate(), lineage()), false).await.unwrap();
    assert!(refused(&bench.send(3, 2, join_port(3)).await, "untrusted"));
    assert!(bench.send(4, 1, bar_port()).await.is_ok());
    bench.gate.readopt(Readopt { lineage: lineage(), ..ledger(9, vec![]) }).await.unwrap();
    assert!(bench.send(10, 1, power_on()).await.is_ok());
}
