//! The gate's rules, one example each.

use super::shelf::*;
use crate::agent::Client;
use crate::gate::is_busy;
use crate::gate::memory::Memory;
use crate::limits;
use std::time::Duration;
use vocabulary::request::{Action, AgentError, Answer, Request, Resource, Token};
use vocabulary::{AgentBootId, Epoch, EstateUuid, Lineage, OpId, PlanId};

#[tokio::test]
async fn a_mutation_needs_a_token_and_a_read_needs_none() {
    let bench = Bench::new();
    let outcome = bench.gate.call(Request { token: None, action: power_off() }).await;
    assert!(refused(&outcome, "no token"), "{outcome:?}");
    assert_eq!(bench.shelf.acted(), 0);
    let read = Request { token: None, action: Action::ReadMachine { machine: machine("m1") } };
    assert!(bench.gate.call(read).await.is_ok());
    assert!(bench.send(3, 1, Action::ReadMachine { machine: machine("m1") }).await.is_ok());
    assert!(bench.gate.entries().is_empty(), "a read leaves no trace in memory");
}

#[tokio::test]
async fn a_token_must_be_for_this_agent_now() {
    let bench = Bench::new();
    bench.clock.advance(100);
    let good = bench.token(3, 1);
    let cases = [
        ("foreign estate", {
            let mut t = good.clone();
            t.estate = EstateUuid("x".into());
            t
        }),
        ("foreign lineage", {
            let mut t = good.clone();
            t.lineage = Lineage("x".into());
            t
        }),
        ("another life", {
            let mut t = good.clone();
            t.agent_boot = AgentBootId("x".into());
            t
        }),
        ("expired", {
            let mut t = good.clone();
            t.expires_tick = 99;
            t
        }),
        ("malformed", {
            let mut t = good.clone();
            t.op = OpId { epoch: Epoch(2), number: 1 };
            t
        }),
        ("malformed", {
            let mut t = good.clone();
            t.step = "x".repeat(limits::TOKEN_TEXT_BYTES_MAX + 1);
            t
        }),
    ];
    for (word, token) in cases {
        let outcome = bench.with(token, power_off()).await;
        assert!(refused(&outcome, word), "{word}: {outcome:?}");
    }
    assert!(bench.gate.entries().is_empty(), "a foreign command must not raise an epoch");
    assert_eq!(bench.shelf.acted(), 0);
    let mut last = good;
    last.expires_tick = 100;
    assert!(bench.with(last, power_off()).await.is_ok(), "the tick of expiry itself is still good");
}

#[tokio::test]
async fn only_its_own_resources_and_never_an_empty_list() {
    let bench = Bench::new();
    let foreign = Action::PowerOff { machine: machine("x1") };
    assert!(refused(&bench.send(3, 1, foreign).await, "not mine"));
    let read = bench.gate.call(Request { token: None, action: Action::ReadMachine { machine: machine("x1") } }).await;
    assert!(refused(&read, "not mine"));
    let mixed = advance(&[machine_1(), Resource::Machine(machine("x1"))]);
    assert!(refused(&bench.send(3, 2, mixed).await, "not mine"));
    assert!(refused(&bench.send(3, 3, advance(&[])).await, "empty list"));
    assert!(refused(&bench.send(3, 4, Action::LiftBar { resources: vec![] }).await, "empty list"));
    assert!(bench.gate.entries().is_empty());
}

#[tokio::test]
async fn advance_raises_and_shuts_out_the_older_plan() {
    let bench = Bench::new();
    let all = [machine_1(), port_1(), volume_1(), permit_1()];
    let answer = bench.send(7, 1, advance(&all)).await.unwrap();
    let Answer::Advanced { clear, busy } = answer else { panic!("{answer:?}") };
    assert_eq!((clear.len(), busy.len()), (4, 0));
    for action in [power_off(), bar_port(), revoke_volume(None), revoke_permit(), advance(&all)] {
        let outcome = bench.send(6, 1, action).await;
        assert!(matches!(outcome, Err(AgentError::LowerEpoch { highest: Epoch(7), .. })), "{outcome:?}");
    }
    let mut other = bench.token(7, 9);
    other.plan = PlanId(Epoch(99));
    let outcome = bench.with(other, power_off()).await;
    assert!(refused(&outcome, "equal epoch of another plan"));
    assert!(matches!(outcome, Err(AgentError::Foreign { .. })), "no lower one: {outcome:?}");
    assert_eq!(bench.shelf.acted(), 0);
    assert!(bench.send(7, 2, power_off()).await.is_ok());
    assert!(bench.send(7, 1, advance(&all)).await.is_ok(), "asked again, it answers anew");
}

#[tokio::test]
async fn a_retry_is_answered_from_the_record_and_does_nothing() {
    let bench = Bench::new();
    let first = bench.send(3, 1, join_port(3)).await.unwrap();
    bench.shelf.state.lock().unwrap().ports.insert(port("p1"), vocabulary::PortSetting::access(PARKING));
    assert_eq!(bench.send(3, 1, join_port(3)).await.unwrap(), first);
    assert_eq!(bench.shelf.acted(), 1);
    assert!(refused(&bench.send(3, 1, park_port()).await, "another command"));
    let bench = {
        let token = bench.token(3, 1);
        let bench = bench.restart();
        assert!(refused(&bench.with(token, join_port(3)).await, "another life"));
        bench
    };
    assert_eq!(bench.send(3, 1, join_port(3)).await.unwrap(), first, "the outcome outlives the agent");
    assert_eq!(bench.shelf.acted(), 1);
    bench.send(4, 1, advance(&[port_1()])).await.unwrap();
    assert!(refused(&bench.send(3, 1, join_port(3)).await, "lower epoch"), "epoch before op_id");
}

#[tokio::test]
async fn a_rejection_is_an_outcome_too() {
    let bench = Bench::new();
    bench.shelf.state.lock().unwrap().next = Some(Mishap::Reject);
    let first = bench.send(3, 1, power_on()).await;
    assert!(matches!(first, Err(AgentError::Rejected { .. })));
    assert_eq!(bench.send(3, 1, power_on()).await, first);
    assert_eq!(bench.shelf.acted(), 0);
    assert!(bench.send(3, 2, power_on()).await.is_ok());
}

#[tokio::test]
async fn a_barred_machine_stays_off_until_a_release() {
    let bench = Bench::new();
    bench.send(3, 1, power_off()).await.unwrap();
    for epoch in [3, 4] {
        assert!(refused(&bench.send(epoch, 2, power_on()).await, "barred"));
        assert!(refused(&bench.send(epoch, 3, boot_target()).await, "barred"));
    }
    let of_another_plan = Token { plan: PlanId(Epoch(77)), ..bench.token(3, 4) };
    assert!(refused(&bench.with(of_another_plan, lift(machine_1())).await, "equal epoch of another plan"));
    assert!(bench.send(3, 5, power_off()).await.is_ok(), "keeping a bar is never refused");
    assert!(bench.send(3, 6, Action::SetRestorePolicyOff { machine: machine("m1") }).await.is_ok());
    assert_eq!(bench.send(5, 1, lift(machine_1())).await, Ok(Answer::Done));
    assert!(bench.send(5, 2, boot_target()).await.is_ok());
    assert!(bench.send(5, 3, power_on()).await.is_ok());
    assert_eq!(bench.entry(&machine_1()).unwrap().barred, None);
}

#[tokio::test]
async fn a_bar_stands_even_if_the_device_said_no() {
    let bench = Bench::new();
    bench.shelf.state.lock().unwrap().next = Some(Mishap::Reject);
    assert!(bench.send(3, 1, power_off()).await.is_err());
    assert!(refused(&bench.send(3, 2, power_on()).await, "barred"));
}

#[tokio::test]
async fn a_barred_port_joins_nothing() {
    let bench = Bench::new();
    bench.send(2, 1, join_port(2)).await.unwrap();
    assert_eq!(bench.entry(&port_1()).unwrap().holder, Some(holder("m1", 2)));
    bench.send(3, 1, bar_port()).await.unwrap();
    assert_eq!(bench.entry(&port_1()).unwrap().holder, None);
    assert!(refused(&bench.send(3, 2, join_port(3)).await, "barred"));
    assert!(refused(&bench.send(3, 3, park_port()).await, "higher epoch"));
    assert!(bench.send(4, 1, park_port()).await.is_ok());
    assert!(refused(&bench.send(4, 2, join_port(4)).await, "barred"), "parking lifts no bar");
    assert_eq!(bench.send(4, 3, lift(port_1())).await, Ok(Answer::Done));
    assert!(bench.send(4, 4, join_port(4)).await.is_ok());
}

#[tokio::test]
async fn a_barred_machine_gets_no_permit() {
    let bench = Bench::new();
    bench.send(2, 1, grant_permit(2)).await.unwrap();
    bench.send(3, 1, revoke_permit()).await.unwrap();
    assert!(refused(&bench.send(3, 2, grant_permit(3)).await, "barred"));
    assert!(refused(&bench.send(4, 2, grant_permit(4)).await, "barred"));
    bench.send(4, 3, lift(permit_1())).await.unwrap();
    assert!(bench.send(4, 4, grant_permit(4)).await.is_ok());
}

#[tokio::test]
async fn a_volume_has_one_holder() {
    let bench = Bench::new();
    bench.send(2, 1, grant_volume("m1", 2)).await.unwrap();
    assert!(refused(&bench.send(3, 1, grant_volume("m3", 3)).await, "held"));
    assert!(refused(&bench.send(3, 2, grant_volume("m1", 3)).await, "held"), "another plan is another holder");
    assert!(refused(&bench.send(3, 3, revoke_volume(Some(2))).await, "keep"), "keep only for the holder's own plan");
    bench.send(3, 4, revoke_volume(None)).await.unwrap();
    assert_eq!(bench.entry(&volume_1()).unwrap().holder, None);
    bench.send(3, 5, grant_volume("m3", 3)).await.unwrap();
    bench.send(3, 6, revoke_volume(Some(3))).await.unwrap();
    assert_eq!(bench.entry(&volume_1()).unwrap().holder, Some(holder("m3", 3)), "the kept one still holds it");
    assert_eq!(bench.shelf.state.lock().unwrap().allowed, vec![initiator(3)]);
}

#[tokio::test]
async fn a_volume_is_granted_only_when_nobody_else_is_seen_there() {
    let bench = Bench::new();
    bench.shelf.foreign_session();
    assert!(refused(&bench.send(3, 1, grant_volume("m3", 3)).await, "not cut off"));
    assert_eq!(bench.entry(&volume_1()).unwrap().holder, None, "nothing was done");
    assert_eq!(bench.shelf.acted(), 0);
    bench.send(3, 2, revoke_volume(None)).await.unwrap();
    assert!(bench.send(3, 1, grant_volume("m3", 3)).await.is_ok(), "a refusal is no outcome: the retry is a first try");
}

#[tokio::test]
async fn a_driver_that_lies_is_not_believed() {
    let bench = Bench::new();
    bench.send(2, 1, grant_volume("m1", 2)).await.unwrap();
    bench.send(2, 2, join_port(2)).await.unwrap();
    bench.send(2, 3, grant_permit(2)).await.unwrap();
    for (number, action) in [(1, revoke_volume(None)), (2, bar_port()), (3, revoke_permit()), (4, cut_outlet())] {
        bench.shelf.state.lock().unwrap().next = Some(Mishap::Lie);
        let outcome = bench.send(3, number, action).await;
        assert!(matches!(outcome, Err(AgentError::Unconfirmed { .. })), "{outcome:?}");
    }
    for resource in [volume_1(), port_1(), permit_1()] {
        assert!(bench.entry(&resource).unwrap().holder.is_some(), "{resource:?} is not freed");
    }
    for resource in [port_1(), outlet_1()] {
        assert!(bench.entry(&resource).unwrap().barred.is_some(), "{resource:?} is barred from its intent on");
    }
}

#[tokio::test]
async fn a_driver_that_panics_takes_nothing_along() {
    let bench = Bench::new();
    bench.shelf.state.lock().unwrap().next = Some(Mishap::Panic);
    let outcome = bench.send(3, 1, power_off()).await;
    assert!(matches!(outcome, Err(AgentError::Unconfirmed { .. })), "{outcome:?}");
    assert!(bench.send(3, 2, power_off()).await.is_ok());
}

async fn until(what: impl Fn() -> bool) {
    for _ in 0..2_000 {
        if what() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("it never came");
}

#[tokio::test]
async fn an_older_operation_in_flight_makes_it_busy() {
    let bench = Bench::new();
    bench.shelf.shut();
    let gate = bench.gate.clone();
    let (token, action) = (bench.token(3, 1), power_on());
    let older = tokio::spawn(async move { gate.call(Request { token: Some(token), action }).await });
    until(|| !bench.gate.inner.live().in_flight.is_empty()).await;
    let answer = bench.send(4, 1, advance(&[machine_1(), port_1()])).await.unwrap();
    assert_eq!(answer, Answer::Advanced { clear: vec![port_1()], busy: vec![machine_1()] });
    let outcome = bench.send(4, 2, power_off()).await;
    assert!(outcome.as_ref().is_err_and(is_busy), "{outcome:?}");
    bench.shelf.open();
    assert!(older.await.unwrap().is_ok());
    assert_eq!(
        bench.send(4, 1, advance(&[machine_1()])).await.unwrap(),
        Answer::Advanced { clear: vec![machine_1()], busy: vec![] }
    );
    assert!(bench.send(4, 2, power_off()).await.is_ok());
}

#[tokio::test]
async fn commands_of_one_plan_wait_for_each_other_and_a_retry_joins() {
    let bench = Bench::new();
    bench.shelf.shut();
    let mut tasks = Vec::new();
    for (number, action) in [(1, power_off()), (1, power_off()), (2, Action::SetRestorePolicyOff { machine: machine("m1") })] {
        let (gate, token) = (bench.gate.clone(), bench.token(3, number));
        tasks.push(tokio::spawn(async move { gate.call(Request { token: Some(token), action }).await }));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(bench.gate.inner.live().in_flight.len(), 1);
    bench.shelf.open();
    for task in tasks {
        assert!(task.await.unwrap().is_ok());
    }
    assert_eq!(bench.shelf.acted(), 2, "the retry joined the first, the other waited its turn");
}

#[tokio::test]
async fn who_waits_is_asked_anew() {
    let bench = Bench::new();
    bench.shelf.shut();
    let send = |number, action| {
        let (gate, token) = (bench.gate.clone(), bench.token(3, number));
        tokio::spawn(async move { gate.call(Request { token: Some(token), action }).await })
    };
    let off = send(1, power_off());
    tokio::time::sleep(Duration::from_millis(20)).await;
    let lift_while_it_runs = send(2, boot_target());
    tokio::time::sleep(Duration::from_millis(20)).await;
    bench.shelf.open();
    assert!(off.await.unwrap().is_ok());
    assert!(refused(&lift_while_it_runs.await.unwrap(), "barred"));
}

#[tokio::test]
async fn a_lost_caller_cancels_nothing() {
    let bench = Bench::new();
    bench.shelf.shut();
    let (gate, token) = (bench.gate.clone(), bench.token(3, 1));
    let caller = tokio::spawn(async move { gate.call(Request { token: Some(token), action: power_off() }).await });
    until(|| !bench.gate.inner.live().in_flight.is_empty()).await;
    caller.abort();
    let _ = caller.await;
    bench.shelf.open();
    until(|| bench.gate.inner.live().in_flight.is_empty()).await;
    assert!(bench.send(3, 1, power_off()).await.is_ok(), "the retry finds the outcome");
    assert_eq!(bench.shelf.acted(), 1);
}

#[tokio::test]
async fn memory_of_commands_is_bounded_and_says_so() {
    let bench = Bench::new();
    for number in 1..=40 {
        bench.send(3, number, power_off()).await.unwrap();
    }
    let kept = bench.gate.inner.live().memory.kept.get(&machine_1()).unwrap().clone();
    assert_eq!(kept.ops.len(), limits::OPS_PER_RESOURCE_MAX);
    assert!(refused(&bench.send(3, 2, power_off()).await, "older than what this gate remembers"));
    assert_eq!(bench.shelf.acted(), 40);
    bench.send(4, 1, power_off()).await.unwrap();
    assert_eq!(bench.gate.inner.live().memory.kept.get(&machine_1()).unwrap().ops.len(), 1);
}

#[tokio::test]
async fn a_full_disk_stops_effects_and_never_watching() {
    let bench = Bench::new();
    let saves = bench.disk.plan.lock().unwrap().saves;
    bench.disk.plan.lock().unwrap().fails_at = Some((saves + 1, false));
    for (number, action) in [(1, power_off()), (2, grant_volume("m1", 3)), (3, advance(&[port_1()]))] {
        let outcome = bench.send(3, number, action).await;
        assert!(refused(&outcome, "cannot write"));
        assert!(matches!(outcome, Err(AgentError::Refused { .. })), "it may pass later: {outcome:?}");
    }
    assert_eq!(bench.shelf.acted(), 0);
    assert_eq!(bench.entry(&volume_1()).unwrap().holder, None);
    let read = bench.gate.call(Request { token: None, action: Action::ReadPort { port: port("p1") } }).await;
    assert!(read.is_ok());
    assert!(!bench.hello().await.trusted, "what it tells is not on disk");
    bench.disk.plan.lock().unwrap().fails_at = None;
    assert!(bench.send(3, 1, power_off()).await.is_ok(), "mended, the same command goes through");
    assert!(bench.hello().await.trusted);
}

#[tokio::test]
async fn a_lift_that_is_not_on_disk_did_not_happen() {
    let bench = Bench::new();
    bench.send(3, 1, power_off()).await.unwrap();
    let saves = bench.disk.plan.lock().unwrap().saves;
    bench.disk.plan.lock().unwrap().fails_at = Some((saves + 2, false));
    assert!(refused(&bench.send(4, 1, lift(machine_1())).await, "cannot write"));
    bench.disk.plan.lock().unwrap().fails_at = None;
    assert!(refused(&bench.send(4, 2, power_on()).await, "barred"));
    assert_eq!(bench.entry(&machine_1()).unwrap().barred, Some(Epoch(3)), "at its old epoch: the same release may try again");
    assert_eq!(bench.send(4, 1, lift(machine_1())).await, Ok(Answer::Done));
}

#[tokio::test]
async fn no_secret_reaches_the_file() {
    let bench = Bench::new();
    bench.send(3, 1, grant_volume("m1", 3)).await.unwrap();
    bench.send(3, 2, grant_permit(3)).await.unwrap();
    let content = String::from_utf8(bench.disk.content.lock().unwrap().clone()).unwrap();
    assert!(content.contains("web1-root"));
    assert!(!content.contains("chap-secret"));
    assert!(Memory::decode(content.as_bytes()).is_ok());
}

#[tokio::test]
async fn standing_settings_go_back_to_the_driver_bars_first() {
    let bench = Bench::new();
    let free =
        Action::JoinPort { port: port("a1"), setting: vocabulary::PortSetting::access(PRODUCTION), holder: holder("m2", 2) };
    bench.send(2, 1, free.clone()).await.unwrap();
    bench.send(2, 2, join_port(2)).await.unwrap();
    bench.send(3, 1, bar_port()).await.unwrap();
    let bench = bench.restart();
    bench.gate.restore().await.unwrap();
    let restored = bench.shelf.state.lock().unwrap().restored.clone();
    let actions: Vec<_> = restored.into_iter().map(|standing| standing.action).collect();
    assert_eq!(actions, vec![Some(bar_port()), Some(free)]);
}

/// What is logged on this thread.
#[derive(Clone, Default)]
struct Log(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn whoever_is_not_obeyed_stands_in_the_log_and_who_has_to_wait_does_not() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let bench = Bench::new();
    let told = || String::from_utf8(log.0.lock().unwrap().clone()).unwrap().matches("not obeyed").count();
    bench.send(3, 1, power_off()).await.unwrap();
    assert!(bench.send(3, 2, power_on()).await.is_err_and(|error| error.is_refusal()), "it is barred");
    assert_eq!(told(), 0);
    let stranger = Token { estate: EstateUuid("x".into()), ..bench.token(4, 1) };
    assert!(bench.gate.call(Request { token: Some(stranger), action: power_off() }).await.is_err());
    assert!(bench.send(2, 1, power_off()).await.is_err(), "a lower epoch");
    assert_eq!(told(), 2);
}
