//! Where the seconds of a failover went: from the controller's own story of it, the machine's console and the users' eyes.
//!
//! Everything is told in milliseconds of the wall clock and comes out as seconds from the instant of the fault.

use api::view::{FailoverView, OperationView, WatchView};
use serde::Serialize;

use crate::console::Line;

/// A stage and when it was.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Span {
    /// `detect`, `fence`, `boot.kernel`...
    pub name: &'static str,
    /// Seconds from the fault.
    pub start_s: f64,
    /// Seconds from the fault.
    pub end_s: f64,
}

/// What is known of one failover.
pub struct Known<'a> {
    /// When the fault was made, milliseconds since 1970.
    pub fault: u64,
    /// The failover, by the controller's word.
    pub failover: &'a FailoverView,
    /// The controller's story.
    pub story: &'a [WatchView],
    /// The target's console from its power-on.
    pub console: &'a [Line],
    /// When the users got the first answer of the new start.
    pub answered: u64,
    /// The estate's settle time, milliseconds.
    pub settle: u64,
}

/// Marks on a machine's console at which a phase of its boot ends, in the order of the boot. They are of the equipment's firmware and of
/// the image's own first process; the first one that is found counts.
const CONSOLE_MARKS: [(&str, &[&str]); 4] = [
    (
        "boot.firmware",
        &["iPXE initialising", "iPXE 1.", "Open Source Network Boot Firmware", "Start PXE over", "Start HTTP Boot"],
    ),
    ("boot.dhcp", &["boot.ipxe : ", "boot.ipxe... ok", "san.ipxe"]),
    ("boot.kernel", &["initrd"]),
    ("boot.root", &["root mounted"]),
];
/// The image's own lines begin with this; a kernel mark must be one of them.
const IMAGE: &str = "LAB ";

/// What a machine's console says of its boot: the phase it is in now, and since when.
pub fn phase(console: &[Line], powered_on: u64) -> (&'static str, u64) {
    let mut since = powered_on;
    for (name, _) in CONSOLE_MARKS {
        match mark(console, name, since) {
            Some(at) => since = at,
            None => return (name, since),
        }
    }
    ("boot.service", since)
}

/// When a phase of the boot ended, by its mark.
fn mark(console: &[Line], name: &str, from: u64) -> Option<u64> {
    let (_, marks) = CONSOLE_MARKS.iter().find(|(known, _)| *known == name)?;
    let of_image = matches!(name, "boot.kernel" | "boot.root");
    let is = |line: &&Line| {
        line.at >= from && (!of_image || line.text.contains(IMAGE)) && marks.iter().any(|mark| line.text.contains(mark))
    };
    console.iter().find(is).map(|line| line.at)
}

impl Known<'_> {
    fn since(&self, at: u64) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "milliseconds of one failover")]
        let seconds = at.saturating_sub(self.fault) as f64 / 1000.0;
        seconds
    }

    fn span(&self, name: &'static str, start: u64, end: u64) -> Span {
        Span { name, start_s: self.since(start), end_s: self.since(end.max(start)) }
    }

    fn entered(&self, stage: &str) -> Option<u64> {
        self.failover.plan.stages.iter().find(|(name, _)| name == stage).map(|(_, at)| *at)
    }

    fn operations(&self, stage: &str) -> impl Iterator<Item = &OperationView> {
        let stage = stage.to_owned();
        self.failover.operations.iter().filter(move |operation| operation.stage == stage)
    }

    fn last_answer(&self, stage: &str) -> Option<u64> {
        self.operations(stage).filter_map(|operation| operation.answered).max()
    }

    /// When the plan was closed; while it is open, when the users were served.
    pub fn closed(&self) -> u64 {
        self.failover.plan.summary.closed.unwrap_or(self.answered)
    }

    /// When the failover was decided.
    pub fn verdict(&self) -> u64 {
        let server = self.failover.plan.summary.server.as_deref();
        let sealed = self.failover.plan.summary.sealed;
        let of_ours = |line: &&WatchView| line.kind == "verdict" && line.subject.as_deref() == server && line.at <= sealed;
        self.story.iter().rfind(of_ours).map_or(sealed, |line| line.at)
    }

    /// When the target was told to power on.
    pub fn powered_on(&self) -> Option<u64> {
        let sent = |operation: &OperationView| match (operation.answered, operation.took_ms) {
            (Some(answered), Some(took)) => answered.saturating_sub(took),
            _ => operation.asked,
        };
        self.operations("boot").filter(|operation| operation.what == "power on").map(sent).min()
    }

    /// Every stage that was.
    pub fn stages(&self) -> Vec<Span> {
        let (verdict, sealed) = (self.verdict(), self.failover.plan.summary.sealed);
        let mut all = vec![self.span("detect", self.fault, verdict), self.span("decide", verdict, sealed)];
        let fence = self.entered("fence").unwrap_or(sealed);
        all.push(self.span("place", sealed, fence));
        let proven = self.failover.proof.as_ref().map(|proof| proof.at);
        let boot = self.entered("boot");
        let network = self.entered("network");
        if let Some(end) = proven.or(network) {
            all.push(self.span("fence", fence, end));
        }
        for stage in ["network", "storage"] {
            if let (Some(start), Some(end)) = (self.entered(stage), self.last_answer(stage).or(boot)) {
                all.push(self.span(if stage == "network" { "network" } else { "storage" }, start, end));
            }
        }
        let verify = self.entered("verify");
        if let (Some(start), Some(end)) = (boot, verify) {
            all.push(self.span("boot", start, end));
        }
        all.extend(self.boot_phases());
        let back = self.entered("return").unwrap_or(self.closed());
        if let Some(start) = verify {
            all.push(self.span("verify", start, back));
        }
        all.push(self.span("return", back, self.closed()));
        all
    }

    /// The boot as the machine's own console shows it, up to the users' first answer.
    fn boot_phases(&self) -> Vec<Span> {
        let Some(mut start) = self.powered_on() else { return Vec::new() };
        let mut all = Vec::new();
        for (name, _) in CONSOLE_MARKS {
            if let Some(at) = mark(self.console, name, start) {
                all.push(self.span(name, start, at));
                start = at;
            }
        }
        all.push(self.span("boot.service", start, self.answered.max(start)));
        all
    }

    /// Milliseconds that are Understudy's own: the whole minus detection, settle windows, device operations, and the boot.
    pub fn own_ms(&self) -> u64 {
        let end = self.closed();
        let mut others: Vec<(u64, u64)> = vec![(self.fault, self.verdict())];
        // a settle window is waited for only where power is what was proven
        let by_power = self.failover.proof.as_ref().is_some_and(|proof| proof.sets.iter().any(|set| set.starts_with('P')));
        for operation in &self.failover.operations {
            if let (Some(answered), Some(took)) = (operation.answered, operation.took_ms) {
                // the journal's write before the request, and what waits in the queue after the reply, are our own
                others.push((answered.saturating_sub(took), answered));
                if by_power && operation.stage == "fence" && operation.what.starts_with("power off") {
                    others.push((answered, answered + self.settle));
                }
            }
        }
        if let Some(on) = self.powered_on() {
            // to the first healthy check: that is what `return` is entered on
            others.push((on, self.entered("return").unwrap_or(end)));
        }
        end.saturating_sub(self.fault).saturating_sub(covered(others, self.fault, end))
    }
}

/// How much of a time is covered by these intervals together.
fn covered(mut intervals: Vec<(u64, u64)>, from: u64, to: u64) -> u64 {
    intervals.sort_unstable();
    let (mut sum, mut reached) = (0, from);
    for (start, end) in intervals {
        let (start, end) = (start.max(reached), end.min(to));
        if end > start {
            sum += end - start;
            reached = end;
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_overlaps_is_counted_once() {
        assert_eq!(covered(vec![(0, 10), (5, 20), (30, 40), (35, 38), (90, 120)], 0, 100), 40);
        assert_eq!(covered(vec![], 0, 100), 0);
        assert_eq!(covered(vec![(0, 1000)], 100, 200), 100);
    }

    fn failover() -> FailoverView {
        let operation = |stage: &str, what: &str, asked: u64, answered: u64| json!({"op": "6.1", "stage": stage, "agent": "bmc", "what": what, "asked": asked, "answered": answered, "took_ms": answered - asked - 5, "ok": true, "read_back": ""});
        serde_json::from_value(json!({
            "plan": {
                "id": "P6", "kind": "failover", "server": "web1", "from": ["m1"], "to": "m3", "stage": "return", "state": "done",
                "result": "x", "sealed": 3000, "closed": 12000, "hash": "", "steps": [], "passed_over": [], "revisions": {}, "waits": [],
                "stages": [["place", 3000], ["fence", 3000], ["network", 3600], ["storage", 3600], ["boot", 4000], ["verify", 4200], ["return", 11990]],
            },
            "suspected": 2000, "verdict": "unexpected-off", "evidence": [],
            "proof": {"machines": ["m1"], "sets": ["P", "S"], "evidence": [], "at": 3590},
            "operations": [operation("fence", "power off m1", 3010, 3050), operation("network", "join sw1/p7 to VLAN 10", 3610, 3900),
                operation("storage", "grant", 3610, 3700), operation("boot", "permit", 4000, 4050), operation("boot", "power on", 4080, 4190)],
        }))
        .unwrap()
    }

    #[test]
    fn the_seconds_are_those_of_the_story() {
        let failover = failover();
        let verdict: WatchView = serde_json::from_value(
            json!({"revision": 9, "at": 2990, "kind": "verdict", "plan": null, "stage": null, "subject": "web1", "text": ""}),
        )
        .unwrap();
        let line = |at, text: &str| Line { at, text: text.to_owned() };
        let console = [
            line(5000, "iPXE initialising devices..."),
            line(6000, "boot.ipxe : 617 bytes"),
            line(6500, "initrd... ok"),
            line(8000, "LAB 3.1 initrd"),
            line(9000, "LAB - root mounted"),
        ];
        let known =
            Known { fault: 1000, failover: &failover, story: &[verdict], console: &console, answered: 11900, settle: 300 };
        assert_eq!(phase(&console, 4080), ("boot.service", 9000));
        assert_eq!(phase(&console[..1], 4080), ("boot.dhcp", 5000));
        let stages = known.stages();
        let of = |name: &str| stages.iter().find(|span| span.name == name).map(|span| (span.start_s, span.end_s));
        assert_eq!(of("detect"), Some((0.0, 1.99)));
        assert_eq!(of("fence"), Some((2.0, 2.59)));
        assert_eq!(of("network"), Some((2.6, 2.9)));
        assert_eq!(of("boot.firmware"), Some((3.085, 4.0)));
        assert_eq!(of("boot.kernel"), Some((5.0, 7.0)));
        assert_eq!(of("boot.service"), Some((8.0, 10.9)));
        assert_eq!(of("return"), Some((10.99, 11.0)));
        // 2990-3010, 3350-3610 (after the settle window), 3900-4000, 4050-4080, 11990-12000 (after the first healthy check)
        // and, of each command, what passed before it was sent
        assert_eq!(known.own_ms(), 20 + 260 + 100 + 30 + 10 + 4 * 5);
    }
}
