//! The shell against a real journal, real gates, the real wire and simulated BMCs: what may leave, and when.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod hall;
mod shelf;

use hall::{Hall, until};
use pipeline::event::Intent;
use pipeline::record::Fact;
use std::time::{Duration, Instant};

/// A journal that cannot be written, for whatever reason: nothing leaves, watching goes on, and it recovers by itself.
async fn nothing_leaves_until_it_can_be_written(hall: &Hall, breaks: impl FnOnce() -> Box<dyn FnOnce()>) {
    let running = hall.start();
    let engine = running.handle.clone();
    hall.enrol(&engine).await;
    let before = hall.shelf.done().len();
    assert!(before > 0);
    assert_eq!(hall.shelf.unrecorded(), Vec::<String>::new(), "each change had its intent in the journal first");

    let kept = hall.entries();
    let mend = breaks();
    let first = tokio::spawn({
        let engine = engine.clone();
        async move { engine.intent("uid 0".into(), Intent::StartServer { server: "web1".parse().unwrap() }).await }
    });
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(hall.shelf.done().len(), before, "{:?}", hall.shelf.done());
    assert!(!first.is_finished(), "what is not durable is not accepted");
    let second = engine.intent("uid 0".into(), Intent::StartServer { server: "web2".parse().unwrap() }).await;
    assert_eq!(second.unwrap_err().code.0, 1104);

    // watching goes on: somebody presses the power button of the spare
    hall.simulator.control.perform(bmc_sim::Request::PowerOn { name: "m3".into() }).await.unwrap();
    until("the spare is seen on", || async {
        let seen = |state: &pipeline::State| {
            let watch = state.watch.machines.get(&"m3".parse().unwrap());
            watch.and_then(|watch| watch.last.as_ref()).is_some_and(|(_, reading)| !reading.all_off())
        };
        engine.query(seen).await.unwrap()
    })
    .await;
    assert_eq!(hall.shelf.done().len(), before);
    assert_eq!(hall.entries(), kept, "not even an epoch was raised");
    assert_eq!(hall.simulator.control.pid("m1").unwrap(), None);

    mend();
    assert!(first.await.unwrap().unwrap().is_some());
    until("the server's machine is on", || async { hall.simulator.control.pid("m1").unwrap().is_some() }).await;
    assert_eq!(hall.shelf.unrecorded(), Vec::<String>::new());
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_somebody_else_holds_stops_effects_and_not_watching() {
    let hall = Hall::new().await;
    let path = hall.journal();
    let breaks = move || -> Box<dyn FnOnce()> {
        let foreign = rusqlite::Connection::open(path).unwrap();
        foreign.execute_batch("BEGIN IMMEDIATE").unwrap();
        Box::new(move || foreign.execute_batch("ROLLBACK").unwrap())
    };
    nothing_leaves_until_it_can_be_written(&hall, breaks).await;
    hall.end().await;
}

#[test]
fn a_full_disk_stops_effects_and_not_watching() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    // the threads of the runtime inherit it: a write beyond the limit then fails, and kills nobody
    nix::sys::signal::SigSet::from(nix::sys::signal::Signal::SIGXFSZ).thread_block().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let hall = Hall::new().await;
        let log = hall.journal().with_extension("sqlite-wal");
        let breaks = move || -> Box<dyn FnOnce()> {
            let (soft, hard) = getrlimit(Resource::RLIMIT_FSIZE).unwrap();
            // the journal's log may not grow by a byte
            setrlimit(Resource::RLIMIT_FSIZE, std::fs::metadata(log).unwrap().len(), hard).unwrap();
            Box::new(move || setrlimit(Resource::RLIMIT_FSIZE, soft, hard).unwrap())
        };
        nothing_leaves_until_it_can_be_written(&hall, breaks).await;
        hall.end().await;
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_power_on_whose_answer_was_lost_with_the_controller_is_not_sent_again() {
    let hall = Hall::new().await;
    let running = hall.start();
    let engine = running.handle.clone();
    hall.enrol(&engine).await;
    // from the permit on, the BMC acts at once and answers late: there is time to die between the act and the answer
    hall.shelf.at_permit(hall.simulator.control.clone());
    engine.intent("uid 0".into(), Intent::StartServer { server: "web1".parse().unwrap() }).await.unwrap().unwrap();
    until("the machine is on", || async { hall.simulator.control.pid("m1").unwrap().is_some() }).await;
    running.stop().await;
    drop(engine);
    let pid = hall.simulator.control.pid("m1").unwrap();
    let asked = |facts: &[Fact]| -> Vec<vocabulary::OpId> {
        let power_on = |fact: &Fact| match fact {
            Fact::Intent { op, what, .. } if what == pipeline::words::POWER_ON => Some(*op),
            _ => None,
        };
        facts.iter().filter_map(power_on).collect()
    };
    let facts = hall.facts();
    let ops = asked(&facts);
    assert_eq!(ops.len(), 1);
    assert!(!facts.iter().any(|fact| matches!(fact, Fact::Outcome { op, .. } if *op == ops[0])), "it died before the answer");

    hall.simulator.control.perform(bmc_sim::Request::ClearQuirks { name: "m1".into() }).await.unwrap();
    let running = hall.start_again().await;
    until("the plan waits for the service", || async {
        hall.facts()
            .iter()
            .any(|fact| matches!(fact, Fact::Entered { stage: pipeline::stage::Stage::Verify, plan } if plan.0 == ops[0].epoch))
    })
    .await;
    assert_eq!(asked(&hall.facts()), ops, "it was looked at, not told again");
    assert_eq!(hall.simulator.control.pid("m1").unwrap(), pid);
    running.stop().await;
    hall.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_recorded_is_read_beside_the_core() {
    let hall = Hall::new().await;
    let running = hall.start();
    let engine = running.handle.clone();
    hall.enrol(&engine).await;
    let (page, _) = engine.follow(3, 5).await.unwrap();
    assert_eq!(page.iter().map(|entry| entry.number).collect::<Vec<_>>(), [4, 5, 6, 7, 8]);
    let plan = |fact: &Fact| if let Fact::Sealed { plan, .. } = fact { Some(plan.id()) } else { None };
    let facts = hall.facts();
    let plans: Vec<_> = facts.iter().filter_map(plan).collect();
    for plan in plans {
        let (first, last) = engine.history().story(plan).unwrap();
        assert!(matches!(&facts[first as usize - 1], Fact::Sealed { plan: sealed, .. } if sealed.id() == plan));
        assert!(matches!(&facts[last as usize - 1], Fact::Closed { plan: closed, .. } if *closed == plan));
    }
    running.stop().await;
    hall.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_that_move_what_is_in_use_are_refused_at_start() {
    let hall = Hall::new().await;
    let running = hall.start();
    let engine = running.handle.clone();
    hall.enrol(&engine).await;
    engine.intent("uid 0".into(), Intent::StartServer { server: "web1".parse().unwrap() }).await.unwrap().unwrap();
    until("m1 bears web1", || async { hall.facts().iter().any(|fact| matches!(fact, Fact::Owned(_))) }).await;
    running.stop().await;
    drop(engine);

    let before = hall.facts().len();
    hall.edit("machines/m1.yaml", "port: p3", "port: p13");
    let fault = hall.try_start().err().unwrap();
    assert_eq!(fault.code.0, 72, "{fault}");
    assert!(fault.message.contains("machine m1") && fault.message.contains("sw1/p13"), "{fault}");
    assert_eq!(hall.facts().len(), before, "nothing was recorded of them");
    // put back it is taken, and with it the spare at another port
    hall.edit("machines/m1.yaml", "port: p13", "port: p3");
    hall.edit("machines/m3.yaml", "port: p9", "port: p13");
    hall.start_again().await.stop().await;
    hall.end().await;
}

/// How long the core takes to know how the power of a machine is now.
async fn known(hall: &Hall, engine: &engine::Handle, name: &str) -> Duration {
    let began = Instant::now();
    let machine: vocabulary::MachineId = name.parse().unwrap();
    let on = hall.simulator.control.pid(name).unwrap().is_some();
    until("the core knows", || async {
        let machine = machine.clone();
        let reads = move |state: &pipeline::State| {
            let last = state.watch.machines.get(&machine).and_then(|watch| watch.last.as_ref());
            last.is_some_and(|(_, reading)| reading.all_off() != on)
        };
        engine.query(reads).await.unwrap()
    })
    .await;
    began.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_power_loss_is_known_at_once_where_the_bmc_tells_and_at_the_next_look_where_it_does_not() {
    /// Between two looks, and what a busy machine may add to a look.
    const INTERVAL: Duration = Duration::from_secs(15);
    const SLACK: Duration = Duration::from_secs(4);
    let hall = Hall::new().await;
    hall.edit("estate.yaml", "power_every: 1s", "power_every: 15s");
    let control = &hall.simulator.control;
    control.set_quirks("m2", serde_json::json!({ "redfish": { "events": "absent" } })).await.unwrap();
    let running = hall.start();
    for name in ["m1", "m2"] {
        known(&hall, &running.handle, name).await;
    }
    // six times within a fraction of the interval is no chance
    for _ in 0..3 {
        // both return when it is so
        for request in [bmc_sim::Request::PowerOn { name: "m1".into() }, bmc_sim::Request::PowerOff { name: "m1".into() }] {
            control.perform(request).await.unwrap();
            assert!(known(&hall, &running.handle, "m1").await < SLACK);
        }
    }
    for request in [bmc_sim::Request::PowerOn { name: "m2".into() }, bmc_sim::Request::PowerOff { name: "m2".into() }] {
        control.perform(request).await.unwrap();
        assert!(known(&hall, &running.handle, "m2").await < INTERVAL + SLACK);
    }
    running.stop().await;
    hall.end().await;
}
