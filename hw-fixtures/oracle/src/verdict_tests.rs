//! Tests of whole verdicts: a clean failover, and the negative control, a failover without the fence, which must be seen.

use super::*;
use crate::fact::{Exported, Observation, Seen};
use crate::for_lab;
use crate::limits::SECOND_NS;
use guest::records::Record;
use std::path::Path;
use vocabulary::storage::InitiatorName;

const OLD: &str = "iqn.x:web1.e5";
const NEW: &str = "iqn.x:web1.e8";

struct Story {
    roster: Roster,
    run: Run,
    log: String,
    at_s: u64,
}

impl Story {
    fn new() -> Self {
        let roster = for_lab::config(Path::new("/r"), 3).unwrap().roster;
        let run = Run::from(&roster, 0);
        Self { roster, run, log: String::new(), at_s: 0 }
    }

    fn see(&mut self, what: Observation) {
        self.run.book.take(&self.roster, Seen::exactly(self.at_s * SECOND_NS, what));
    }

    fn ports(&mut self, ports: [(u8, u16); 3]) {
        for (number, vlan) in ports {
            self.see(Observation::Port(format!("p{number}"), [vlan].into()));
        }
    }

    fn target(&mut self, admitted: &[&str], sessions: &[(u64, &str)]) {
        let name = |text: &str| InitiatorName(text.to_owned());
        let exported = Exported {
            admitted: admitted.iter().map(|one| name(one)).collect(),
            open: false,
            sessions: sessions.iter().map(|(number, one)| (*number, name(one))).collect(),
        };
        self.see(Observation::Target("iqn.2026-01.lab.understudy:web1-root".into(), exported));
    }

    fn permit(&mut self, machine: &str, initiator: Option<&str>) {
        let permit = initiator.map(|name| (web1(), InitiatorName(name.to_owned())));
        self.see(Observation::Permit(machine.parse().unwrap(), permit));
    }

    fn on(&mut self, machine: &str) {
        self.see(Observation::Power(machine.parse().unwrap(), true));
        self.at_s += 1;
        self.see(Observation::Ran(machine.parse().unwrap(), web1()));
    }

    /// For a second, this incarnation writes a record and its machine answers for the address.
    fn serve(&mut self, writer: (&str, u64), mac: &str, durable: bool) {
        let record = Record { server: "web1".into(), incarnation: writer.0.into(), number: writer.1 };
        if durable {
            self.log.push_str(&record.line());
        }
        self.run.acks.get_mut(&web1()).unwrap().take(&record, self.at_s * SECOND_NS);
        self.run.witnesses.get_mut(&web1()).unwrap().take(mac.parse().unwrap(), self.at_s * SECOND_NS);
        self.at_s += 1;
    }

    fn judge(&self, before_s: Option<u64>) -> Verdict {
        let logs = [(web1(), Ok(Some(self.log.clone())))].into();
        judge(&self.roster, &self.run, &logs, self.at_s * SECOND_NS, before_s.map(|at| at * SECOND_NS))
    }
}

fn web1() -> ServerId {
    "web1".parse().unwrap()
}

const M1: &str = "52:54:00:0c:01:03";
const M3: &str = "52:54:00:0c:03:03";

/// web1 runs on m1 and has written two records; m1 then freezes.
fn frozen() -> Story {
    let mut story = Story::new();
    story.ports([(1, 10), (2, 30), (3, 20)]);
    story.permit("m1", Some(OLD));
    story.on("m1");
    story.target(&[OLD], &[(1, OLD)]);
    story.serve(("aa", 1), M1, true);
    story.serve(("aa", 2), M1, true);
    story.at_s = 10;
    story
}

fn spare(story: &mut Story) {
    story.ports([(7, 10), (8, 30), (9, 20)]);
    story.permit("m3", Some(NEW));
    story.on("m3");
}

#[test]
fn a_failover_with_its_fence_is_clean() {
    let mut story = frozen();
    story.target(&[], &[]);
    story.permit("m1", None);
    story.ports([(1, 99), (2, 99), (3, 99)]);
    story.at_s += 1;
    spare(&mut story);
    story.target(&[NEW], &[(2, NEW)]);
    story.serve(("bb", 3), M3, true);
    story.serve(("bb", 4), M3, true);
    let verdict = story.judge(Some(10));
    let web1 = &verdict.servers[&web1()];
    assert_eq!((verdict.effective_max, web1.possible_max, verdict.violations.len()), (1, 1, 0), "{verdict:?}");
    assert_eq!((web1.acknowledged, web1.recovered, web1.records), (4, 4, 4));
    assert_eq!((web1.acknowledged_before, web1.recovered_before), (Some(2), Some(2)));
    assert!(web1.in_order && !web1.interleaved && !web1.contested);
    let machines: Vec<_> = web1.macs.iter().map(|mac| mac.machine.as_ref().unwrap().as_str()).collect();
    assert_eq!(machines, ["m1", "m3"]);
    let spans: Vec<_> = web1.effective_intervals.iter().map(|span| (span.machine.as_str(), span.until_ns.is_some())).collect();
    assert_eq!(spans, [("m1", true), ("m3", false)]);
    assert_eq!(verdict.servers[&"web2".parse().unwrap()].effective_max, 0);
}

#[test]
fn the_negative_control_is_seen_by_every_eye() {
    let mut story = frozen();
    // nobody fences m1
    spare(&mut story);
    story.target(&[OLD, NEW], &[(1, OLD), (2, NEW)]);
    story.serve(("bb", 3), M3, true);
    // m1 thaws: it writes with what it remembers, and its block lies over the other's
    for turn in 0..3 {
        story.serve(("aa", 3 + turn), M1, false);
        story.serve(("bb", 4 + turn), M3, true);
    }
    let verdict = story.judge(None);
    let web1 = &verdict.servers[&web1()];
    assert_eq!((verdict.effective_max, web1.effective_max), (2, 2));
    assert!(web1.interleaved && web1.contested);
    assert_eq!((web1.acknowledged, web1.recovered), (9, 6));
    assert_eq!(web1.overlaps.len(), 1);
    assert!(web1.overlaps[0].until_ns.is_none());
    let all = verdict.violations.join("\n");
    for part in
        ["effective on 2 machines at once", "52:54:00:0c:01:03 (m1)", "52:54:00:0c:03:03 (m3)", "incarnation aa", "3 of 9"]
    {
        assert!(all.contains(part), "{part}: {all}");
    }
}

#[test]
fn a_contest_that_a_foreign_hand_made_is_counted_apart_with_its_overlap() {
    let mut story = frozen();
    story.target(&[], &[]);
    story.permit("m1", None);
    story.ports([(1, 99), (2, 99), (3, 99)]);
    spare(&mut story);
    story.target(&[NEW], &[(2, NEW)]);
    story.serve(("bb", 3), M3, true);
    story.at_s += 10;
    story.see(Observation::Hand(crate::fact::Key::Port("p3".into())));
    story.ports([(1, 99), (2, 99), (3, 20)]);
    for mac in [M3, M1, M3] {
        story.run.witnesses.get_mut(&web1()).unwrap().take(mac.parse().unwrap(), story.at_s * SECOND_NS);
    }
    story.at_s += 2;
    story.ports([(1, 99), (2, 99), (3, 99)]);
    story.at_s += 30;
    let verdict = story.judge(None);
    let web1 = &verdict.servers[&web1()];
    assert_eq!((web1.effective_max, web1.overlaps.len(), web1.foreign_overlaps.len(), web1.contested), (1, 0, 1, false));
    assert!(verdict.violations.is_empty(), "{:?}", verdict.violations);
}

#[test]
fn a_run_that_nobody_saw_is_no_good_run() {
    let story = Story { at_s: 60, ..Story::new() };
    let verdict = story.judge(None);
    assert_eq!(verdict.effective_max, 0);
    assert_eq!(verdict.blind.len(), 4);
    assert!(verdict.blind[0].contains("switch source was silent from 0.0 s to 60.0 s"), "{:?}", verdict.blind);
    assert!(verdict.samples_per_s.abs() < f64::EPSILON);
    let text = serde_json::to_value(&verdict).unwrap();
    assert!(
        text["servers"]["web1"]["effective_intervals"].is_array() && text["servers"]["web1"].get("recovered_before").is_none()
    );
}

#[test]
fn a_volume_that_cannot_be_read_is_a_violation() {
    let story = frozen();
    let logs = [(web1(), Err("gone".to_owned()))].into();
    let verdict = judge(&story.roster, &story.run, &logs, story.at_s * SECOND_NS, None);
    assert!(verdict.violations.iter().any(|sentence| sentence.contains("cannot be read: gone")));
    assert_eq!(verdict.servers[&web1()].recovered, 0);
}
