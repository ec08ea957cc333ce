//! Several plans at once, on several threads: never two mutations of one resource at a time, never an older plan after a newer one was
//! told that the way is clear, never two writes of the file at once.

use super::shelf::*;
use crate::agent::{Client, Device};
use crate::gate::Gate;
use crate::gate::clock::Manual;
use crate::gate::memory::Memory;
use async_trait::async_trait;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use vocabulary::request::{Action, AgentError, Answer, Request, Resource, Token};
use vocabulary::{AgentBootId, Epoch, OpId, PlanId};

const PLANS: u64 = 12;

/// One port that notices who uses it.
#[derive(Default)]
struct Witness {
    in_use: AtomicBool,
    acted: AtomicUsize,
    /// The newest plan that has acted. Each begins when the one before it has, however slow this host is: so all of them meet.
    newest: watch::Sender<u64>,
    /// The newest plan that was told "clear".
    clear: AtomicU64,
    faults: AtomicUsize,
    inside: Shelf,
}

#[async_trait]
impl Device for Witness {
    fn owns(&self, resource: &Resource) -> bool {
        self.inside.owns(resource)
    }
    async fn perform(&self, action: &Action) -> Result<Answer, AgentError> {
        if let Action::JoinPort { holder, .. } = action {
            let overlap = self.in_use.swap(true, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_micros(300 * (holder.plan.0.0 % 5))).await;
            let late = holder.plan.0.0 < self.clear.load(Ordering::SeqCst);
            self.faults.fetch_add(usize::from(overlap || late), Ordering::SeqCst);
            self.acted.fetch_add(1, Ordering::SeqCst);
            self.newest.send_if_modified(|newest| std::mem::replace(newest, holder.plan.0.0.max(*newest)) < holder.plan.0.0);
            self.in_use.store(false, Ordering::SeqCst);
        }
        self.inside.perform(action).await
    }
}

fn request(boot: &AgentBootId, epoch: u64, number: u64, action: Action) -> Request {
    let token = Token {
        estate: estate(),
        lineage: lineage(),
        controller: vocabulary::ControllerLife::default(),
        plan: PlanId(Epoch(epoch)),
        step: "race".into(),
        epoch: Epoch(epoch),
        op: OpId { epoch: Epoch(epoch), number },
        agent_boot: boot.clone(),
        expires_tick: u64::MAX,
    };
    Request { token: Some(token), action }
}

async fn plan(gate: Gate<Arc<Witness>>, witness: Arc<Witness>, epoch: u64) {
    let boot = gate.inner.boot.clone();
    witness.newest.subscribe().wait_for(|newest| newest + 1 >= epoch).await.unwrap();
    for number in 0..1_000_000 {
        match gate.call(request(&boot, epoch, number, advance(&[port_1()]))).await {
            Ok(Answer::Advanced { busy, .. }) if busy.is_empty() => {
                witness.clear.fetch_max(epoch, Ordering::SeqCst);
                break;
            }
            Ok(_) => tokio::time::sleep(Duration::from_micros(200)).await,
            Err(refusal) => panic!("nobody is newer than plan {epoch} yet: {refusal}"),
        }
    }
    let joins = (1_000_000..1_000_020).map(|number| {
        let (gate, boot) = (gate.clone(), boot.clone());
        tokio::spawn(async move { gate.call(request(&boot, epoch, number, join_port(epoch))).await })
    });
    for join in joins.collect::<Vec<_>>() {
        // Some callers give up: that must change nothing.
        if join.id().to_string().ends_with('7') {
            join.abort();
        }
        let _ = join.await;
    }
    assert!(*witness.newest.borrow() >= epoch, "plan {epoch} got through");
    if epoch > 1 {
        let late = gate.call(request(&boot, epoch - 1, 2_000_000, advance(&[port_1()]))).await;
        assert!(late.is_err(), "plan {} comes late: {late:?}", epoch - 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn plans_never_overlap_and_never_come_late() {
    for _ in 0..10 {
        let memory = Memory { trusted: true, ..Memory::new("sw1".parse().unwrap(), estate(), lineage()) };
        let disk = Arc::new(Disk::default());
        let witness = Arc::new(Witness::default());
        let gate = Gate::over(disk.clone(), memory, witness.clone(), Arc::new(Manual::default()), crate::gate::new_life());
        let plans: Vec<_> = (1..=PLANS).map(|epoch| tokio::spawn(plan(gate.clone(), witness.clone(), epoch))).collect();
        for plan in plans {
            plan.await.unwrap();
        }
        assert_eq!(witness.faults.load(Ordering::SeqCst), 0);
        assert_eq!(*witness.newest.borrow(), PLANS);
        assert!(witness.acted.load(Ordering::SeqCst) >= usize::try_from(PLANS).unwrap(), "each plan got through");
        let kept = Memory::decode(&disk.content.lock().unwrap()).unwrap();
        assert_eq!(kept.kept.get(&port_1()).unwrap().epoch, Epoch(PLANS));
    }
}

#[tokio::test]
async fn a_caller_that_gives_up_while_the_disk_works_lets_nothing_overtake() {
    let bench = Bench::new();
    *bench.disk.slow.lock().unwrap() = Duration::from_millis(30);
    for epoch in 1..=10 {
        let (gate, token) = (bench.gate.clone(), bench.token(epoch, 1));
        let action = advance(&[machine_1()]);
        let caller = tokio::spawn(async move { gate.call(Request { token: Some(token), action }).await });
        tokio::time::sleep(Duration::from_millis(7)).await;
        caller.abort();
    }
    // The disk asserts that no two writes overlap; a panic there would be this refusal.
    bench.send(11, 1, advance(&[machine_1()])).await.unwrap();
    let kept = Memory::decode(&bench.disk.content.lock().unwrap()).unwrap();
    assert_eq!(kept.kept.get(&machine_1()).unwrap().epoch, Epoch(11));
}
