//! How long starts took, as plans have measured them: of each machine the last times from power on to its first contact with a boot service, of
//! each server its last starts. By these the next start is predicted. A bounded memory; it must never keep a length of time that no start takes.

use super::{Heard, Ledger};
use crate::record::Fact;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use vocabulary::{MachineId, ServerId, Span};

/// By so many of the newest of a kind the next one is predicted.
pub const COUNTED: usize = 5;
/// So many starts of one server are kept, the newest, on whatever machines they were.
const STARTS_MAX: usize = 16;
/// What is said to have taken longer was measured by no sound clock, and is ignored.
const LONGEST: Span = Span::seconds(4 * 3_600);

/// One start of a server, by the clock of the life of the controller that powered its machine on.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Start {
    /// On which machine.
    pub machine: MachineId,
    /// From power on to the service.
    pub whole: Span,
    /// From power on to the first contact with a boot service, where one was seen.
    pub post: Option<Span>,
    /// Before that, where its system was asked to stop: until its machine was off.
    pub stop: Option<Span>,
}

/// What is usual.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Usual {
    /// How long.
    pub lasts: Span,
    /// By how many that are on record.
    pub times: u32,
}

/// The median of the newest, the upper one of two: one odd start (a file system that is checked, memory that is trained anew) moves nothing, and
/// two in a row are news.
fn usual(newest_first: impl Iterator<Item = Span>) -> Option<Usual> {
    let mut spans: Vec<Span> = newest_first.take(COUNTED).collect();
    spans.sort_unstable();
    let lasts = *spans.get(spans.len() / 2)?;
    Some(Usual { lasts, times: u32::try_from(spans.len()).unwrap_or(u32::MAX) })
}

fn plausible(ms: Option<u64>) -> Option<Span> {
    ms.map(Span::ms).filter(|span| (Span::ms(1)..=LONGEST).contains(span))
}

fn keep<T>(all: &mut VecDeque<T>, one: T, at_most: usize) {
    all.push_back(one);
    while all.len() > at_most {
        all.pop_front();
    }
}

impl Ledger {
    /// A server was heard: since which boot, and where a plan has just started it, how long that took.
    pub(super) fn apply_heard(&mut self, fact: &Fact) {
        let Fact::Heard { server, machine, last_reset, vantages, boot_ms, post_ms, stop_ms } = fact else { return };
        self.forget_off(machine);
        let heard = Heard { machine: machine.clone(), last_reset: last_reset.clone(), vantages: vantages.clone() };
        self.server(server).heard = Some(heard);
        let Some(whole) = plausible(*boot_ms) else { return };
        let post = plausible(*post_ms).filter(|post| *post <= whole);
        let row = self.machine(machine);
        row.boot_ms = Some(whole.0);
        if let Some(post) = post {
            keep(&mut row.posts, post, COUNTED);
        }
        let start = Start { machine: machine.clone(), whole, post, stop: plausible(*stop_ms) };
        keep(&mut self.server(server).starts, start, STARTS_MAX);
    }

    fn starts<'a>(&'a self, server: &ServerId) -> impl Iterator<Item = &'a Start> {
        self.servers.get(server).into_iter().flat_map(|row| row.starts.iter().rev())
    }

    /// How long this server usually takes on this machine, from power on to its service.
    pub fn usual_start(&self, server: &ServerId, machine: &MachineId) -> Option<Usual> {
        usual(self.starts(server).filter(|start| start.machine == *machine).map(|start| start.whole))
    }

    /// How long this machine's firmware usually takes, from power on to its first contact with a boot service, whatever it boots.
    pub fn usual_post(&self, machine: &MachineId) -> Option<Usual> {
        usual(self.machines.get(machine)?.posts.iter().rev().copied())
    }

    /// How long this server usually takes from there to its service, on whatever machine.
    pub fn usual_boot(&self, server: &ServerId) -> Option<Usual> {
        usual(self.starts(server).filter_map(|start| Some(Span(start.whole.0.saturating_sub(start.post?.0)))))
    }

    /// How long its system usually takes from being asked to stop until its machine is off.
    pub fn usual_stop(&self, server: &ServerId) -> Option<Usual> {
        usual(self.starts(server).filter_map(|start| start.stop))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

    use super::*;
    use proptest::prelude::*;

    fn heard(server: &str, machine: &str, boot_ms: Option<u64>, post_ms: Option<u64>, stop_ms: Option<u64>) -> Fact {
        let (server, machine) = (server.parse().unwrap(), machine.parse().unwrap());
        Fact::Heard { server, machine, last_reset: None, vantages: Vec::new(), boot_ms, post_ms, stop_ms }
    }

    fn web1() -> ServerId {
        "web1".parse().unwrap()
    }

    fn machine(name: &str) -> MachineId {
        name.parse().unwrap()
    }

    #[test]
    fn one_odd_start_moves_nothing_and_two_in_a_row_do() {
        let mut ledger = Ledger::default();
        let mut start = |seconds: u64| {
            ledger.apply_heard(&heard("web1", "m1", Some(seconds * 1000), Some(seconds * 500), None));
            ledger.usual_start(&web1(), &machine("m1")).unwrap()
        };
        assert_eq!(start(100), Usual { lasts: Span::seconds(100), times: 1 });
        assert_eq!(start(110).lasts, Span::seconds(110), "of two the longer one");
        assert_eq!(start(1_800).lasts, Span::seconds(110));
        assert_eq!(start(105).lasts, Span::seconds(110));
        assert_eq!(start(104), Usual { lasts: Span::seconds(105), times: 5 });
        start(300);
        assert_eq!(start(310).lasts, Span::seconds(300), "only the newest five count");
        assert_eq!(ledger.usual_post(&machine("m1")).unwrap().lasts, Span::seconds(150));
    }

    #[test]
    fn what_is_learnt_on_one_machine_is_no_news_of_another() {
        let mut ledger = Ledger::default();
        ledger.apply_heard(&heard("web1", "m1", Some(90_000), Some(60_000), Some(5_000)));
        ledger.apply_heard(&heard("web2", "m3", Some(400_000), Some(390_000), None));
        assert_eq!(ledger.usual_start(&web1(), &machine("m3")), None);
        assert_eq!(ledger.usual_post(&machine("m3")).unwrap().lasts, Span::seconds(390));
        assert_eq!(ledger.usual_boot(&web1()).unwrap().lasts, Span::seconds(30));
        assert_eq!(ledger.usual_stop(&web1()).unwrap().lasts, Span::seconds(5));
        assert_eq!(ledger.usual_stop(&"web2".parse().unwrap()), None);
    }

    #[test]
    fn nothing_is_kept_that_no_start_takes() {
        let mut ledger = Ledger::default();
        for ms in [0, LONGEST.0 + 1, u64::MAX] {
            ledger.apply_heard(&heard("web1", "m1", Some(ms), Some(1_000), Some(1_000)));
        }
        assert!(ledger.machines.is_empty() && ledger.servers[&web1()].starts.is_empty());
        // a firmware cannot take longer than the whole
        ledger.apply_heard(&heard("web1", "m1", Some(60_000), Some(61_000), Some(u64::MAX)));
        assert_eq!((ledger.usual_post(&machine("m1")), ledger.usual_stop(&web1())), (None, None));
        assert_eq!(ledger.usual_start(&web1(), &machine("m1")).unwrap().lasts, Span::seconds(60));
    }

    proptest! {
        #[test]
        fn memory_is_bounded_and_what_is_usual_was_so_once(all in proptest::collection::vec((0..4u8, any::<u64>(), proptest::option::of(any::<u64>())), 0..60)) {
            let mut ledger = Ledger::default();
            for (n, whole, post) in &all {
                ledger.apply_heard(&heard("web1", &format!("m{n}"), Some(whole % (2 * LONGEST.0)), *post, *post));
            }
            let starts = ledger.servers.get(&web1()).map_or(0, |row| row.starts.len());
            prop_assert!(starts <= STARTS_MAX && ledger.machines.values().all(|row| row.posts.len() <= COUNTED));
            for n in 0..4 {
                if let Some(usual) = ledger.usual_start(&web1(), &machine(&format!("m{n}"))) {
                    prop_assert!(usual.lasts <= LONGEST && usual.times as usize <= COUNTED);
                    prop_assert!(all.iter().any(|(of, whole, _)| *of == n && whole % (2 * LONGEST.0) == usual.lasts.0));
                }
            }
        }
    }
}
