//! How long it would take until a server serves again: by a restart where it is, or on a spare. By what is on record of this server and these
//! machines; where nothing is, by the estate's settings and by what is named here, and it says so. It predicts and never decides.

use crate::ladder::{Part, Prediction, Share, Source};
use crate::ledger::Usual;
use crate::state::State;
use crate::work::limits;
use vocabulary::lack::proof_reach;
use vocabulary::{MachineId, ServerId, Span};

/// From being asked to stop until its machine is off, where no stop of the server is on record.
pub const STOP: Span = Span::seconds(30);
/// From the first ForceOff to the first reading that says Off: the settle window comes after that.
pub const FORCE_OFF: Span = Span::seconds(3);
/// Ports, permits and volumes are cut off and read back.
pub const CUT: Span = Span::seconds(2);
/// Ports and volumes are given to the spare and read back.
pub const REWIRE: Span = Span::seconds(2);

/// A restart in place: an orderly stop, and a start on its machine.
pub fn restart(state: &State, server: &ServerId, machine: &MachineId) -> Prediction {
    let stop = recorded(Part::Stop, state.ledger.usual_stop(server));
    let mut shares = vec![stop.unwrap_or(Share { part: Part::Stop, lasts: STOP, source: Source::Assumed })];
    shares.extend(start(state, server, machine));
    Prediction { shares }
}

/// A replacement: every machine of `fence` is proven harmless, and the server starts on the spare. An error says why no proof can be had.
pub fn replace(state: &State, server: &ServerId, fence: &[MachineId], spare: &MachineId) -> Result<Prediction, String> {
    let proofs = fence.iter().map(|machine| proof(state, machine)).collect::<Result<Vec<Share>, String>>()?;
    // they are cut off all at once
    let fence = proofs.into_iter().max_by_key(|share| share.lasts);
    let rewire = Share { part: Part::Rewire, lasts: REWIRE, source: Source::Assumed };
    Ok(Prediction { shares: fence.into_iter().chain([rewire]).chain(start(state, server, spare)).collect() })
}

fn recorded(part: Part, usual: Option<Usual>) -> Option<Share> {
    usual.map(|Usual { lasts, times }| Share { part, lasts, source: Source::Recorded { times } })
}

/// From power on to the service. What nobody has measured is taken for what is left of the estate's `detection.boot_time`, and for half of that at least:
/// an unknown firmware is not taken for a quick one because the system that it starts is.
fn start(state: &State, server: &ServerId, machine: &MachineId) -> Vec<Share> {
    if let Some(whole) = recorded(Part::Start, state.ledger.usual_start(server, machine)) {
        return vec![whole];
    }
    let usual = state.estate.settings.detection.boot_time;
    let rest = |known: Span| Span(usual.0.saturating_sub(known.0).max(usual.0 / 2));
    let by_setting = |part, lasts| Share { part, lasts, source: Source::Setting };
    let post = recorded(Part::Post, state.ledger.usual_post(machine));
    match (post, recorded(Part::Boot, state.ledger.usual_boot(server))) {
        (Some(post), Some(boot)) => vec![post, boot],
        (Some(post), None) => vec![post, by_setting(Part::Boot, rest(post.lasts))],
        (None, Some(boot)) => vec![by_setting(Part::Post, rest(boot.lasts)), boot],
        (None, None) => vec![by_setting(Part::Start, usual)],
    }
}

/// The quickest proof of those that can be reached now by what is known. Storage is cut meanwhile in any case.
fn proof(state: &State, machine: &MachineId) -> Result<Share, String> {
    let document = state.estate.machines.get(machine).ok_or_else(|| format!("{machine} is not in the estate"))?;
    let reach = proof_reach(machine, document, &state.estate);
    let silent = state.watch.machines.get(machine).is_some_and(|watch| watch.failing_since.is_some());
    let share = |lasts: Span, source| Share { part: Part::Fence, lasts, source };
    let settle = state.estate.settings.fencing.settle;
    let by_power = share(Span(FORCE_OFF.0.saturating_add(settle.0)), Source::Setting);
    let by_outlets = share(Span(limits::BMC_PATIENCE.0 + limits::OUTLET_SETTLE.0), Source::Assumed);
    let sets = [
        (reach.storage_and_network.is_empty(), share(CUT, Source::Assumed)),
        (reach.power.is_empty() && !silent, by_power),
        (reach.outlets.is_empty(), by_outlets),
    ];
    let quickest = sets.into_iter().filter(|(reached, _)| *reached).map(|(_, share)| share).min_by_key(|share| share.lasts);
    quickest.ok_or_else(|| format!("no proof that {machine} is harmless can be reached now"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

    use super::*;
    use crate::record::{Fact, Record};
    use proptest::prelude::*;
    use std::sync::Arc;
    use vocabulary::WallTime;
    use vocabulary::estate::Estate;

    /// A start as a plan records it, in seconds.
    type Known = (&'static str, &'static str, u64, u64, u64);

    fn state(boot_time: Span, known: &[Known]) -> State {
        let mut state = State::new();
        let mut estate = Estate::default();
        estate.settings.detection.boot_time = boot_time;
        state.estate = Arc::new(estate);
        for (server, machine, stop, post, boot) in known {
            let fact = Fact::Heard {
                server: server.parse().unwrap(),
                machine: machine.parse().unwrap(),
                last_reset: None,
                vantages: Vec::new(),
                boot_ms: Some((post + boot) * 1_000),
                post_ms: Some(post * 1_000),
                stop_ms: Some(stop * 1_000),
            };
            state.ledger.apply(&Record { at: WallTime(0), fact });
        }
        state
    }

    fn on(state: &State, machine: &str) -> Prediction {
        restart(state, &"web1".parse().unwrap(), &machine.parse().unwrap())
    }

    fn told(state: &State, machine: &str) -> String {
        on(state, machine).to_string()
    }

    #[test]
    fn what_is_known_of_the_server_there_comes_before_what_is_known_of_each() {
        let defaults = Span::seconds(900);
        assert_eq!(told(&state(defaults, &[]), "m3"), "930s (stop 30s assumed, start 900s by setting)");
        let known = [("web1", "m1", 10, 300, 60)];
        let known = |more: &[Known]| state(defaults, &[&known, more].concat());
        assert_eq!(told(&known(&[]), "m1"), "370s (stop 10s recorded once, start 360s recorded once)");
        assert_eq!(told(&known(&[]), "m3"), "910s (stop 10s recorded once, firmware 840s by setting, boot 60s recorded once)");
        let spare = [("web2", "m3", 10, 200, 700)];
        assert_eq!(
            told(&known(&spare), "m3"),
            "270s (stop 10s recorded once, firmware 200s recorded once, boot 60s recorded once)"
        );
        let twice = [("web1", "m3", 10, 200, 80), ("web1", "m3", 12, 200, 90)];
        assert_eq!(told(&known(&twice), "m3"), "300s (stop 10s recorded 3 times, start 290s recorded 2 times)");
        assert!(on(&known(&twice), "m3").is_recorded() && !on(&known(&[]), "m3").is_recorded());
        // of a server that was never started only the machine is known
        let other = state(defaults, &spare);
        assert_eq!(told(&other, "m3"), "930s (stop 30s assumed, firmware 200s recorded once, boot 700s by setting)");
    }

    #[test]
    fn a_machine_that_nobody_knows_is_proven_by_nothing() {
        let (state, web1) = (state(Span::seconds(900), &[]), "web1".parse().unwrap());
        let (m1, m3): (MachineId, MachineId) = ("m1".parse().unwrap(), "m3".parse().unwrap());
        assert!(replace(&state, &web1, &[m1], &m3).unwrap_err().contains("m1 is not in the estate"));
    }

    fn any_known() -> impl Strategy<Value = Known> {
        let (server, machine) = (prop_oneof![Just("web1"), Just("web2")], prop_oneof![Just("m1"), Just("m3")]);
        (server, machine, 1..600u64, 1..3_000u64, 1..3_000u64)
    }

    proptest! {
        #[test]
        fn who_takes_longer_is_predicted_to_take_no_less(
            known in proptest::collection::vec(any_known(), 1..12), which in any::<prop::sample::Index>(),
            more in (0..500u64, 0..3_000u64, 0..3_000u64), boot_time in 0..4_000u64,
        ) {
            let mut slower = known.clone();
            let which = which.index(known.len());
            slower[which].2 += more.0;
            slower[which].3 += more.1;
            slower[which].4 += more.2;
            let (before, after) = (state(Span::seconds(boot_time), &known), state(Span::seconds(boot_time), &slower));
            for machine in ["m1", "m3", "m4"] {
                prop_assert!(on(&before, machine).total() <= on(&after, machine).total(), "{} {}", told(&before, machine), told(&after, machine));
            }
        }

        #[test]
        fn odd_settings_and_odd_times_are_no_fault(boot_time: u64, post: u64, boot: u64, stop: u64) {
            let state = state(Span(boot_time), &[("web1", "m1", stop % 100_000, post % 100_000, boot % 100_000)]);
            for machine in ["m1", "m3"] {
                prop_assert!(!told(&state, machine).is_empty());
            }
        }
    }
}
