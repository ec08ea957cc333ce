//! Which process of a controller a gate obeys: one at a time, and after it only one on a store that knows it.

use super::shelf::*;
use crate::agent::{Client as _, Readopt};
use vocabulary::request::{Action, AgentError, AgentHello, Answer, Request, Token};
use vocabulary::{ControllerLife, Epoch, Lineage};

fn life(name: &str) -> ControllerLife {
    ControllerLife(name.into())
}

async fn introduce_to(bench: &Bench, lineage: Lineage, name: &str, before: &[&str], counter: u64) -> AgentHello {
    let before = before.iter().map(|name| life(name)).collect();
    let action = Action::Introduce { estate: estate(), lineage, controller: life(name), before, counter: Epoch(counter) };
    match bench.gate.call(Request { token: None, action }).await.unwrap() {
        Answer::Hello(hello) => hello,
        other => panic!("{other:?}"),
    }
}

/// Whom the gate obeys after a process introduced itself.
async fn introduce(bench: &Bench, name: &str, before: &[&str]) -> String {
    introduce_to(bench, lineage(), name, before, 9).await.obeys.unwrap().0
}

async fn command(bench: &Bench, name: &str, epoch: u64, number: u64) -> Result<Answer, AgentError> {
    let token = Token { controller: life(name), ..bench.token(epoch, number) };
    bench.with(token, power_off()).await
}

#[tokio::test]
async fn the_place_of_a_process_is_taken_by_one_whose_store_knows_it_and_by_no_other() {
    let bench = Bench::new();
    assert_eq!(bench.hello().await.obeys, None);
    assert!(bench.send(1, 1, power_off()).await.is_ok(), "an older controller has no name");
    assert_eq!(introduce(&bench, "a", &[]).await, "a");
    assert!(matches!(bench.send(2, 1, power_off()).await, Err(AgentError::Foreign { .. })));
    assert!(command(&bench, "a", 2, 1).await.is_ok());

    // its store was copied: another process goes on with the copy, and the first one lives
    assert_eq!(introduce(&bench, "b", &["a"]).await, "b");
    let left = command(&bench, "a", 3, 1).await;
    assert!(matches!(&left, Err(AgentError::Foreign { reason }) if reason.contains("another controller")), "{left:?}");
    assert!(command(&bench, "b", 3, 1).await.is_ok());
    // nor does the first store's next process get it back, which knows nothing of the copy's
    assert_eq!(introduce(&bench, "a", &[]).await, "b");
    assert_eq!(introduce(&bench, "a2", &["a"]).await, "b");
    assert!(matches!(command(&bench, "a2", 4, 1).await, Err(AgentError::Foreign { .. })));
    // but the copy's next does, even if the one between never came here
    assert_eq!(introduce(&bench, "b3", &["a", "b", "b2"]).await, "b3");
    assert!(command(&bench, "b3", 4, 1).await.is_ok());
}

#[tokio::test]
async fn it_is_obeyed_over_a_restart_of_the_agent_and_a_reading_for_a_plan_is_a_command() {
    let bench = Bench::new();
    introduce(&bench, "a", &[]).await;
    introduce(&bench, "b", &["a"]).await;
    let bench = bench.restart();
    assert_eq!(bench.hello().await.obeys, Some(life("b")));
    assert!(matches!(command(&bench, "a", 2, 1).await, Err(AgentError::Foreign { .. })));
    for (name, obeyed) in [("a", false), ("b", true)] {
        let boot = bench.hello().await.boot;
        let vouch = Action::Vouch { boot, estate: estate(), lineage: lineage(), controller: life(name), current: true };
        let told = bench.gate.call(Request { token: None, action: vouch }).await;
        assert_eq!(told.is_ok(), obeyed, "nor does another one say what its memory is worth: {told:?}");
    }
    let read = Action::ReadMachine { machine: machine("m1") };
    let token = Token { controller: life("a"), ..bench.token(2, 2) };
    assert!(matches!(bench.with(token, read.clone()).await, Err(AgentError::Foreign { .. })));
    assert!(bench.gate.call(Request { token: None, action: read }).await.is_ok(), "whoever only looks may");
    // what was made for the agent's life before says nothing of who is obeyed
    let late = Token { controller: life("a"), agent_boot: vocabulary::AgentBootId("before".into()), ..bench.token(2, 3) };
    assert!(matches!(bench.with(late, power_off()).await, Err(AgentError::Refused { .. })));
}

#[tokio::test]
async fn nobody_of_another_store_is_obeyed_unless_a_person_says_so() {
    let bench = Bench::new();
    introduce(&bench, "a", &[]).await;
    let other = Lineage("lineage-2".into());
    assert_eq!(introduce_to(&bench, other.clone(), "c", &["a"], 9).await.obeys, Some(life("a")));
    assert_eq!(introduce(&bench, "", &["a"]).await, "a", "nobody has no name");
    let seed = Readopt {
        estate: estate(),
        lineage: other,
        controller: Some(life("c")),
        floor: Epoch(9),
        entries: vec![],
        ports: vec![],
    };
    assert_eq!(bench.gate.readopt(seed).await.unwrap().obeys, Some(life("c")));
}

#[tokio::test]
async fn one_that_cannot_be_written_down_is_not_told_to_be_relied_on() {
    let bench = Bench::new();
    bench.disk.plan.lock().unwrap().fails_at = Some((1, false));
    assert!(!introduce_to(&bench, lineage(), "a", &[], 9).await.trusted);
    let bench = bench.restart();
    assert_eq!(bench.hello().await.obeys, None);
}

#[tokio::test]
async fn a_store_that_is_behind_takes_nobodys_place() {
    let bench = Bench::new();
    introduce(&bench, "a", &[]).await;
    assert!(command(&bench, "a", 5, 1).await.is_ok());
    let behind = introduce_to(&bench, lineage(), "b", &["a"], 4).await;
    assert_eq!(behind.obeys, Some(life("a")), "its copy is of before plan 5");
    assert!(command(&bench, "a", 5, 2).await.is_ok());
    assert_eq!(introduce_to(&bench, lineage(), "b", &["a"], 5).await.obeys, Some(life("b")));
}

/// A person says whom to obey while the copy lives on: the copy is refused at once, and gets the place back only if its store is no more behind
/// than the one that was seeded from. Whatever it is, one process is obeyed at a time.
#[tokio::test]
async fn an_agent_that_is_seeded_obeys_the_copy_no_more_nor_takes_back_what_it_knew() {
    let bench = Bench::new();
    introduce(&bench, "a", &[]).await;
    assert_eq!(introduce_to(&bench, lineage(), "copy", &["a"], 4).await.obeys, Some(life("copy")));
    assert!(command(&bench, "copy", 4, 1).await.is_ok(), "it has bars of its own there by now");
    let seed = |floor| Readopt {
        estate: estate(),
        lineage: lineage(),
        controller: Some(life("a")),
        floor: Epoch(floor),
        entries: vec![],
        ports: vec![],
    };
    assert!(bench.gate.readopt(seed(3)).await.is_err(), "by a store that is behind the copy it is not seeded");
    assert!(command(&bench, "a", 4, 2).await.is_err());
    let barred = bench.hello().await.entries[0].barred;
    let hello = bench.gate.readopt(seed(9)).await.unwrap();
    assert_eq!((hello.obeys, hello.entries[0].barred), (Some(life("a")), barred), "what the copy barred stays barred");
    assert_eq!(barred, Some(Epoch(4)));

    assert!(matches!(command(&bench, "copy", 9, 3).await, Err(AgentError::Foreign { .. })));
    assert_eq!(introduce_to(&bench, lineage(), "copy", &["a"], 4).await.obeys, Some(life("a")), "it started before");
    let next = introduce_to(&bench, lineage(), "copy's next", &["copy", "a"], 8).await;
    assert_eq!(next.obeys, Some(life("a")), "nor does one after it that is behind");
    assert!(command(&bench, "a", 9, 4).await.is_ok());
    let bench = bench.restart();
    assert!(matches!(command(&bench, "copy", 9, 5).await, Err(AgentError::Foreign { .. })), "over a restart as well");
    assert!(command(&bench, "a", 9, 6).await.is_ok());
}
