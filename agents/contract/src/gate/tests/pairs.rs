//! All small pairs: epoch lower, equal or higher x same or other plan x barred or not x every mutating action. Each answer is
//! compared with the table below, which was written from the design and not from the rules.

use super::shelf::*;
use vocabulary::request::{Action, Resource};
use vocabulary::{Epoch, PlanId};

const SEEN: u64 = 10;

/// What the design says, in its own words.
fn allowed(action: &str, epoch: u64, other_plan: bool, barred: bool) -> Result<(), &'static str> {
    if epoch < SEEN {
        return Err("lower epoch");
    }
    if epoch == SEEN && other_plan {
        return Err("equal epoch of another plan");
    }
    if !barred {
        return Ok(());
    }
    match action {
        "PowerOn" | "SetBootTarget" | "JoinPort" | "GrantPermit" | "FeedOutlet" => Err("barred"),
        // but not LiftBar: a release that reaches an agent before the older plan's standing order does sets the bar itself, at its own
        // epoch, and would never be able to lift it; that only a release lifts bars is the pipeline's law
        "ParkPort" if epoch == SEEN => Err("higher epoch"),
        _ => Ok(()),
    }
}

fn actions(epoch: u64) -> Vec<(&'static str, Action, Resource, Option<Action>)> {
    let off = Some(power_off());
    vec![
        ("PowerOn", power_on(), machine_1(), off.clone()),
        ("SetBootTarget", boot_target(), machine_1(), off.clone()),
        ("PowerOff", power_off(), machine_1(), off.clone()),
        ("ShutDown", Action::ShutDown { machine: machine("m1") }, machine_1(), off.clone()),
        ("SetRestorePolicyOff", Action::SetRestorePolicyOff { machine: machine("m1") }, machine_1(), off.clone()),
        ("LiftBar", lift(machine_1()), machine_1(), off),
        ("AdvanceEpoch", advance(&[machine_1()]), machine_1(), Some(power_off())),
        ("JoinPort", join_port(epoch), port_1(), Some(bar_port())),
        ("ParkPort", park_port(), port_1(), Some(bar_port())),
        ("BarPort", bar_port(), port_1(), Some(bar_port())),
        ("LiftBar", lift(port_1()), port_1(), Some(bar_port())),
        ("GrantPermit", grant_permit(epoch), permit_1(), Some(revoke_permit())),
        ("RevokePermit", revoke_permit(), permit_1(), Some(revoke_permit())),
        ("LiftBar", lift(permit_1()), permit_1(), Some(revoke_permit())),
        ("CutOutlet", cut_outlet(), outlet_1(), Some(cut_outlet())),
        ("FeedOutlet", Action::FeedOutlet { outlet: outlet() }, outlet_1(), Some(cut_outlet())),
        ("LiftBar", lift(outlet_1()), outlet_1(), Some(cut_outlet())),
        ("GrantVolume", grant_volume("m1", epoch), volume_1(), None),
        ("RevokeVolume", revoke_volume(None), volume_1(), None),
    ]
}

#[tokio::test]
async fn every_pair_is_answered_as_designed() {
    let mut seen = 0;
    for epoch in [SEEN - 1, SEEN, SEEN + 1] {
        for other_plan in [false, true] {
            for barred in [false, true] {
                for (name, action, resource, bar) in actions(epoch) {
                    let bench = Bench::new();
                    bench.send(SEEN, 1, advance(std::slice::from_ref(&resource))).await.unwrap();
                    let barring = bar.filter(|_| barred);
                    let is_barred = barring.is_some();
                    if let Some(bar) = barring {
                        bench.send(SEEN, 2, bar).await.unwrap();
                    }
                    let before = bench.entry(&resource);
                    let mut token = bench.token(epoch, 3);
                    if other_plan {
                        token.plan = PlanId(Epoch(77));
                    }
                    let outcome = bench.with(token, action).await;
                    let case = format!("{name} at {epoch}, other plan {other_plan}, barred {is_barred}: {outcome:?}");
                    match allowed(name, epoch, other_plan, is_barred) {
                        Ok(()) => assert!(outcome.is_ok(), "{case}"),
                        Err(word) => {
                            assert!(refused(&outcome, word), "{case}");
                            assert_eq!(bench.entry(&resource), before, "a refusal changes nothing: {case}");
                        }
                    }
                    seen += 1;
                }
            }
        }
    }
    assert_eq!(seen, 3 * 2 * 2 * 19);
}
