//! What the clients of a hall's servers were told, held against what is on the volumes. From the clients' side alone: it asks neither a machine
//! nor a controller what is so. It must never grow with the records: those that follow one another are kept as their first and their last.

use crate::fabric::Hears;
use crate::limits::RUNS_MAX;
use crate::plant::object;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use world::machine::Mac;
use world::target::Target;

/// Records of one start of a server that clients were told are durable, one number after the other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Run {
    incarnation: u64,
    /// Numbers of the first and the last record.
    numbers: (u64, u64),
    /// Their places among all that clients were told.
    places: (u64, u64),
}

#[derive(Default)]
struct Book {
    /// How many records clients were told of.
    told: u64,
    /// Runs that began before are not continued.
    mark: u64,
    runs: BTreeMap<String, VecDeque<Run>>,
}

impl Book {
    fn note(&mut self, line: &str) {
        let Some((server, incarnation, number)) = read(line) else { return };
        let (place, mark) = (self.told, self.mark);
        self.told += 1;
        let runs = self.runs.entry(server.to_owned()).or_default();
        let own = runs.iter_mut().rev().find(|run| run.incarnation == incarnation);
        if let Some(run) = own.filter(|run| run.places.0 >= mark && run.numbers.1.checked_add(1) == Some(number)) {
            (run.numbers.1, run.places.1) = (number, place);
            return;
        }
        if runs.len() == RUNS_MAX {
            runs.pop_front();
        }
        runs.push_back(Run { incarnation, numbers: (number, number), places: (place, place) });
    }
}

/// What is so of one server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Judged {
    /// Records that were acknowledged.
    pub acknowledged: u64,
    /// Of those, the ones that are on the volume as they were acknowledged.
    pub recovered: u64,
    /// The most starts of it at once that acknowledged records, each on a machine of its own: from its first record to its last one each counts.
    pub effective: u64,
}

/// See the module.
#[derive(Default)]
pub struct Clients(Mutex<Book>);

impl Hears for Clients {
    fn logs_in(&self, _: Mac, _: &str) {}

    fn handed_out(&self, _: &str) {}

    fn told(&self, line: &str) {
        self.book().note(line);
    }
}

impl Clients {
    fn book(&self) -> MutexGuard<'_, Book> {
        // nothing that holds it can fail in between
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many records clients were told of until now, for [`Clients::judge`].
    pub fn mark(&self) -> u64 {
        let mut book = self.book();
        book.mark = book.told;
        book.mark
    }

    /// Judges a server by the records that clients were told of before a mark; its machines by all records. Of a server that was started or
    /// interrupted very often, the oldest records are forgotten.
    pub fn judge(&self, target: &Target, server: &str, mark: u64) -> Judged {
        let runs = self.book().runs.get(server).cloned().unwrap_or_default();
        let content = target.content(&object(&format!("{server}-root")));
        let (mut acknowledged, mut recovered) = (0, 0);
        for run in runs.iter().filter(|run| run.places.1 < mark) {
            acknowledged += run.numbers.1 - run.numbers.0 + 1;
            let there = content.range(run.numbers.0..=run.numbers.1).filter(|(_, incarnation)| **incarnation == run.incarnation);
            recovered += there.count() as u64;
        }
        Judged { acknowledged, recovered, effective: at_once(&runs) }
    }
}

/// Server, incarnation and number, as the service writes them.
fn read(line: &str) -> Option<(&str, u64, u64)> {
    let mut words = line.split_whitespace();
    Some((words.next()?, u64::from_str_radix(words.next()?, 16).ok()?, words.next()?.parse().ok()?))
}

/// How many starts at most stand between their first and their last place.
fn at_once(runs: &VecDeque<Run>) -> u64 {
    let mut spans: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
    for run in runs {
        let span = spans.entry(run.incarnation).or_insert(run.places);
        *span = (span.0.min(run.places.0), span.1.max(run.places.1));
    }
    let standing = |at: u64| spans.values().filter(|(first, last)| (*first..=*last).contains(&at)).count();
    spans.values().map(|(first, _)| standing(*first)).max().unwrap_or(0) as u64
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use world::Dice;

    fn clients(lines: &[(&str, u64, u64)]) -> Clients {
        let clients = Clients::default();
        for (server, incarnation, number) in lines {
            clients.told(&format!("{server} {incarnation:x} {number}\n"));
        }
        clients
    }

    #[test]
    fn starts_that_take_turns_are_one_at_a_time_and_those_that_alternate_are_not() {
        let of = |order: &[u64]| {
            let clients = Clients::default();
            for (place, incarnation) in (1..).zip(order) {
                clients.told(&format!("web1 {incarnation:x} {place}\n"));
            }
            clients.judge(&Target::start(Dice::of(1, "storage")), "web1", u64::MAX).effective
        };
        assert_eq!((of(&[]), of(&[1, 1]), of(&[1, 1, 2, 2]), of(&[1, 2, 1])), (0, 1, 1, 2));
        assert_eq!(of(&[1, 2, 3, 1, 2, 3]), 3);
    }

    #[test]
    fn only_what_is_on_the_volume_as_it_was_acknowledged_is_recovered_and_a_mark_ends_a_run() {
        let target = Target::start(Dice::of(1, "storage"));
        let clients = clients(&[("web1", 0xff, 1), ("web1", 0xff, 2), ("web11", 0xff, 1), ("noise", 1, 1), ("web1", 0xff, 3)]);
        assert_eq!(clients.mark(), 5);
        clients.told("web1 ff 4\n");
        clients.told("no record");
        let nothing = Judged { acknowledged: 3, recovered: 0, effective: 1 };
        assert_eq!(clients.judge(&target, "web1", 5), nothing, "the volume is not even there");
        let path = object("web1-root");
        target.add_object(&path, 1 << 20);
        for (block, incarnation) in [(1, 0xff), (2, 0xfe), (3, 0xff), (4, 0xff)] {
            target.set_by_hand(&path, block, Some(incarnation));
        }
        assert_eq!(clients.judge(&target, "web1", 5), Judged { recovered: 2, ..nothing }, "number 2 was written over");
        assert_eq!(clients.judge(&target, "web1", u64::MAX), Judged { acknowledged: 4, recovered: 3, effective: 1 });
        assert_eq!(clients.judge(&target, "web", u64::MAX), Judged { acknowledged: 0, recovered: 0, effective: 0 });
    }

    #[test]
    fn a_thousand_records_are_kept_as_one_run_and_runs_are_bounded() {
        let clients = Clients::default();
        (1..=1_000).for_each(|number| clients.told(&format!("web1 a {number}\n")));
        assert_eq!(clients.book().runs["web1"].len(), 1);
        (1..=1_000).for_each(|start| clients.told(&format!("web1 {:x} {}\n", start + 10, start + 1_000)));
        assert_eq!(clients.book().runs["web1"].len(), RUNS_MAX);
    }
}
