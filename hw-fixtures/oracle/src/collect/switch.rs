//! The switch's ports, from the switch's own report of its forwarding state, as the lab's door passes it on.
//!
//! The switch stamps its reports with a clock of its own; the way from there to here is measured by the fastest of the last reports, so
//! that a report that was held up on its way is not taken for news of now.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;

use guest::facts::Port;
use lab::facts::Fact;
use serde::Deserialize;

use super::Shared;
use super::lines::{Line, Lines};
use crate::fact::{Ns, Observation, Seen};
use crate::limits::{MILLISECOND_NS, SWITCH_CLOCK_LINES, SWITCH_READ_MARGIN_NS};
use crate::samples::Source;

const FOLLOW: &str = r#"{"do":"facts","follow":true}"#;

/// What the door says in the course of a report.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Reply {
    Fact(Fact),
    Error(String),
}

/// Follows the switch until its report ends.
pub fn follow(shared: &Shared) -> io::Result<()> {
    let wanted: BTreeSet<String> =
        shared.config.roster.machines.values().flat_map(|machine| machine.nics.values()).map(|nic| nic.port.clone()).collect();
    let mut lines = Lines::ask(&shared.config.sources.lab, FOLLOW)?;
    let mut clock = Clock::default();
    let mut before_ns = None;
    loop {
        let line = match lines.wait()? {
            Line::Whole(line) => line,
            Line::Silence => continue,
            Line::End => return Ok(()),
        };
        let fact = match serde_json::from_slice(&line) {
            Ok(Reply::Fact(fact)) => fact,
            Ok(Reply::Error(why)) => return Err(io::Error::other(why)),
            Err(error) => return Err(error.into()),
        };
        let at_ns = clock.time(fact.switch.at_ms, fact.monotonic_ns);
        // what the report before this one showed was true when it was read, a little before it was stamped
        let after_ns = before_ns.map_or(0, |before: Ns| before.saturating_sub(SWITCH_READ_MARGIN_NS));
        before_ns = Some(at_ns);
        let mut oracle = shared.lock();
        oracle.sample(Source::Switch, fact.monotonic_ns);
        for (port, vlans) in ports(&wanted, &fact.switch.ports) {
            oracle.see(Seen::between(after_ns, at_ns, Observation::Port(port, vlans)));
        }
    }
}

/// The VLANs in which each wanted port forwards. A port that is not reported is in none.
fn ports(wanted: &BTreeSet<String>, reported: &BTreeMap<String, Port>) -> Vec<(String, BTreeSet<u16>)> {
    let vlans = |port: &Port| -> BTreeSet<u16> {
        if port.up && port.forwarding {
            port.pvid.iter().chain(&port.untagged).chain(&port.tagged).copied().collect()
        } else {
            BTreeSet::new()
        }
    };
    wanted.iter().map(|name| (name.clone(), reported.get(name).map(vlans).unwrap_or_default())).collect()
}

/// Turns the switch's time into ours.
#[derive(Debug, Default)]
struct Clock {
    last_ms: u64,
    offsets: VecDeque<u64>,
}

impl Clock {
    /// When a report with this stamp, which arrived at this instant, was made.
    fn time(&mut self, at_ms: u64, arrived_ns: Ns) -> Ns {
        if at_ms < self.last_ms {
            // the switch started again, and its clock with it
            self.offsets.clear();
        }
        self.last_ms = at_ms;
        let stamp_ns = at_ms.saturating_mul(MILLISECOND_NS);
        if self.offsets.len() >= SWITCH_CLOCK_LINES {
            self.offsets.pop_front();
        }
        self.offsets.push_back(arrived_ns.saturating_sub(stamp_ns));
        let fastest = self.offsets.iter().min().copied().unwrap_or(0);
        stamp_ns.saturating_add(fastest).min(arrived_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_that_was_held_up_is_as_old_as_it_is() {
        let mut clock = Clock::default();
        let start = 1_000 * MILLISECOND_NS;
        for turn in 0..10 {
            assert_eq!(clock.time(turn * 80, start + turn * 80 * MILLISECOND_NS), start + turn * 80 * MILLISECOND_NS);
        }
        let late = clock.time(800, start + 1_500 * MILLISECOND_NS);
        assert_eq!(late, start + 800 * MILLISECOND_NS);
        // a new start of the switch: its clock begins anew
        let again = start + 9_000 * MILLISECOND_NS;
        assert_eq!(clock.time(5, again), again);
    }

    #[test]
    fn only_a_port_that_forwards_is_in_a_vlan() {
        let wanted: BTreeSet<String> = ["p1", "p2", "p3", "p4"].map(str::to_owned).into();
        let port = |up, forwarding| Port { up, forwarding, pvid: Some(10), untagged: vec![10], tagged: vec![30], learnt: vec![] };
        let reported =
            [("p1", port(true, true)), ("p2", port(false, true)), ("p3", port(true, false)), ("u10", port(true, true))];
        let seen = ports(&wanted, &reported.map(|(name, port)| (name.to_owned(), port)).into());
        assert_eq!(seen[0], ("p1".to_owned(), [10, 30].into()));
        assert!(seen[1..].iter().all(|(_, vlans)| vlans.is_empty()) && seen.len() == 4);
    }
}
