//! Random sequences of requests and restarts against a model of twenty lines: the gate answers as the model does, keeps what the model
//! keeps, and the equipment is only ever touched by what was answered with yes.

use super::shelf::*;
use proptest::prelude::*;
use std::collections::BTreeMap;
use vocabulary::request::{Action, Holder, Resource};
use vocabulary::{Epoch, PlanId};

#[derive(Clone, Debug)]
enum Move {
    Send { epoch: u64, other_plan: bool, what: usize },
    Retry,
    Restart,
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let send = (1u64..6, proptest::bool::weighted(0.15), 0usize..13).prop_map(|(epoch, other_plan, what)| Move::Send {
        epoch,
        other_plan,
        what,
    });
    proptest::collection::vec(prop_oneof![10 => send, 2 => Just(Move::Retry), 1 => Just(Move::Restart)], 1..40)
}

fn action(what: usize, plan: u64) -> Action {
    match what {
        0 => advance(&[machine_1(), port_1(), volume_1(), permit_1()]),
        1 => power_off(),
        2 => power_on(),
        3 => bar_port(),
        4 => join_port(plan),
        5 => park_port(),
        6 => revoke_volume(None),
        7 => revoke_volume(Some(plan)),
        8 => grant_volume("m1", plan),
        9 => revoke_permit(),
        10 => grant_permit(plan),
        11 => lift(machine_1()),
        _ => Action::LiftBar { resources: vec![port_1(), permit_1()] },
    }
}

/// What must be remembered of one resource.
#[derive(Clone, Default, PartialEq, Debug)]
struct Row {
    epoch: u64,
    plan: Option<PlanId>,
    holder: Option<Holder>,
    barred: Option<u64>,
}

#[derive(Default)]
struct Model(BTreeMap<Resource, Row>);

impl Model {
    fn answer(&mut self, epoch: u64, plan: PlanId, action: &Action) -> bool {
        let rows: Vec<(Resource, Row)> =
            action.resources().into_iter().map(|r| (r.clone(), self.0.get(&r).cloned().unwrap_or_default())).collect();
        let good = rows.iter().all(|(_, row)| {
            let mine = epoch > row.epoch || (epoch == row.epoch && row.plan.is_none_or(|p| p == plan));
            let free = match action {
                Action::PowerOn { .. } | Action::JoinPort { .. } | Action::GrantPermit { .. } => row.barred.is_none(),
                Action::ParkPort { .. } => row.barred.is_none_or(|bar| epoch > bar),
                Action::LiftBar { .. } => row.barred.is_none_or(|bar| epoch >= bar),
                Action::GrantVolume { holder, .. } => row.holder.as_ref().is_none_or(|now| now == holder),
                Action::RevokeVolume { keep: Some(_), .. } => row.holder.as_ref().is_some_and(|now| now.plan == plan),
                _ => true,
            };
            mine && free
        });
        if good {
            for (resource, mut row) in rows {
                (row.epoch, row.plan) = (epoch, Some(plan));
                match action {
                    Action::PowerOff { .. } => row.barred = row.barred.or(Some(epoch)),
                    Action::BarPort { .. } | Action::RevokePermit { .. } => {
                        (row.barred, row.holder) = (row.barred.or(Some(epoch)), None);
                    }
                    Action::ParkPort { .. } | Action::RevokeVolume { keep: None, .. } => row.holder = None,
                    Action::JoinPort { holder, .. } | Action::GrantVolume { holder, .. } => row.holder = Some(holder.clone()),
                    Action::GrantPermit { .. } => row.holder = Some(holder("m1", permit_plan(action))),
                    Action::LiftBar { .. } => row.barred = None,
                    _ => {}
                }
                self.0.insert(resource, row);
            }
        }
        good
    }
}

fn permit_plan(action: &Action) -> u64 {
    match action {
        Action::GrantPermit { permit } => permit.plan.0.0,
        _ => 0,
    }
}

async fn play(moves: Vec<Move>) -> Result<(), TestCaseError> {
    let (mut bench, mut model) = (Bench::new(), Model::default());
    let (mut number, mut acted) = (0, 0);
    let mut last: Option<(u64, PlanId, u64, Action)> = None;
    for step in moves {
        match step {
            Move::Restart => bench = bench.restart(),
            Move::Retry => {
                if let Some((epoch, plan, number, action)) = last.clone() {
                    let mut token = bench.token(epoch, number);
                    token.plan = plan;
                    prop_assert!(bench.with(token, action).await.is_ok(), "a retry of what was done is answered");
                }
            }
            Move::Send { epoch, other_plan, what } => {
                number += 1;
                let plan = PlanId(Epoch(if other_plan { epoch + 100 } else { epoch }));
                let action = action(what, plan.0.0);
                let mut token = bench.token(epoch, number);
                token.plan = plan;
                let outcome = bench.with(token, action.clone()).await;
                let good = model.answer(epoch, plan, &action);
                prop_assert_eq!(outcome.is_ok(), good, "{:?} at {}: {:?}", action, epoch, outcome);
                let own = matches!(action, Action::AdvanceEpoch { .. } | Action::LiftBar { .. });
                acted += usize::from(good && !own);
                last = if good { Some((epoch, plan, number, action)) } else { None };
            }
        }
        prop_assert_eq!(bench.shelf.acted(), acted);
        let kept: BTreeMap<Resource, Row> = bench
            .gate
            .entries()
            .into_iter()
            .map(|e| {
                let row = Row { epoch: e.epoch.0, plan: e.plan, holder: e.holder, barred: e.barred.map(|b| b.0) };
                (e.resource, row)
            })
            .collect();
        prop_assert_eq!(&kept, &model.0);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]
    #[test]
    fn the_gate_does_as_the_model(moves in moves()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(play(moves))?;
    }
}
