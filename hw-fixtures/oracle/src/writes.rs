//! Acknowledged writes: what servers said was durable, and what stands in their volumes afterwards. Pure.
//!
//! An acknowledgement that arrived is never forgotten; one that never arrived is never made up. What cannot be read is not there.

use std::collections::{BTreeMap, BTreeSet};

use guest::records::Record;
use serde::Serialize;

use crate::fact::Ns;
use crate::limits::{ACKS_MAX, INCARNATIONS_MAX};

/// One acknowledgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ack {
    /// Which start of the server, by its place in [`Acks::incarnations`].
    incarnation: usize,
    /// The record.
    number: u64,
    /// When it arrived.
    at_ns: Ns,
    /// Whether it counts for whose turn it was, too.
    in_turn: bool,
}

/// One server's acknowledgements, in the order of their arrival.
#[derive(Debug, Clone, Default)]
pub struct Acks {
    incarnations: Vec<String>,
    all: Vec<Ack>,
    dropped: u64,
}

/// The last acknowledgement of a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LastAck {
    /// Which start of the server.
    pub incarnation: String,
    /// The record.
    pub number: u64,
    /// When it arrived.
    pub at_ns: Ns,
}

impl Acks {
    /// Takes an acknowledgement. The same one twice is one.
    pub fn take(&mut self, record: &Record, at_ns: Ns) {
        self.note(record, at_ns, true);
    }

    /// Takes an acknowledgement whose way somebody else opened (a colleague at a switch): it counts for what is durable, but an incarnation
    /// that another one followed may tell in this way what it wrote while it was its turn.
    pub fn take_by_hand(&mut self, record: &Record, at_ns: Ns) {
        let last = self.all.iter().rev().find(|ack| ack.in_turn).and_then(|ack| self.incarnations.get(ack.incarnation));
        let returns = last.is_some_and(|last| *last != record.incarnation) && self.incarnations.contains(&record.incarnation);
        self.note(record, at_ns, !returns);
    }

    fn note(&mut self, record: &Record, at_ns: Ns, in_turn: bool) {
        let known = self.incarnations.iter().rposition(|known| *known == record.incarnation);
        let incarnation = match known {
            Some(place) => place,
            None if self.incarnations.len() < INCARNATIONS_MAX => {
                self.incarnations.push(record.incarnation.clone());
                self.incarnations.len() - 1
            }
            None => {
                self.dropped += 1;
                return;
            }
        };
        let ack = Ack { incarnation, number: record.number, at_ns, in_turn };
        if self.all.last().is_some_and(|last| last.incarnation == incarnation && last.number == record.number) {
            return;
        }
        if self.all.len() < ACKS_MAX {
            self.all.push(ack);
        } else {
            self.dropped += 1;
        }
    }

    /// The last one.
    #[must_use]
    pub fn last(&self) -> Option<LastAck> {
        let ack = self.all.last()?;
        Some(LastAck { incarnation: self.incarnations.get(ack.incarnation)?.clone(), number: ack.number, at_ns: ack.at_ns })
    }

    /// How many arrived.
    #[must_use]
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether none arrived.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// The same, as it stood at this instant.
    #[must_use]
    pub fn until(&self, at_ns: Ns) -> Self {
        let all = self.all.iter().copied().filter(|ack| ack.at_ns <= at_ns).collect();
        Self { incarnations: self.incarnations.clone(), all, dropped: self.dropped }
    }

    /// Incarnations in the order of their turns; one that comes again after another stands twice.
    fn turns(&self) -> Vec<&str> {
        let mut turns: Vec<usize> = self.all.iter().filter(|ack| ack.in_turn).map(|ack| ack.incarnation).collect();
        turns.dedup();
        turns.into_iter().filter_map(|place| self.incarnations.get(place).map(String::as_str)).collect()
    }
}

/// What became of a server's acknowledged writes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Writes {
    /// Different records acknowledged.
    pub acknowledged: u64,
    /// Of those, found again, each after the one acknowledged before it, unless somebody else's hand let it be told late.
    pub recovered: u64,
    /// Records in the volume.
    pub records: u64,
    /// The records' numbers rise one by one, without a gap or a repetition.
    pub in_order: bool,
    /// An incarnation's record stands, or was acknowledged, between another's.
    pub interleaved: bool,
    /// What must not be, in sentences.
    pub violations: Vec<String>,
}

/// A log of records: its text, none if there is no such file (a server that never ran has written none), or why it cannot be read.
pub type Log = Result<Option<String>, String>;

/// Judges a server's acknowledgements by its log of records.
#[must_use]
pub fn judge(server: &str, acks: &Acks, log: &Log) -> Writes {
    let mut told = Vec::new();
    let records = match log {
        Ok(Some(text)) => read(server, text, &mut told),
        Ok(None) => Vec::new(),
        Err(why) => {
            told.push(format!("the records of {server} cannot be read: {why}"));
            Vec::new()
        }
    };
    let in_order = numbers(server, &records, &mut told);
    let on_disk = returning(records.iter().map(|record| record.incarnation.as_str()));
    if let Some((old, new)) = &on_disk {
        told.push(format!(
            "in the volume of {server}, records of incarnation {old} stand after records of {new}, which came later"
        ));
    }
    let on_the_wire = returning(acks.turns().into_iter());
    if let Some((old, new)) = &on_the_wire {
        told.push(format!("{server}: incarnation {old} acknowledged again after {new}, which had taken over, had acknowledged"));
    }
    let (acknowledged, recovered, lost) = found(acks, &records);
    if let Some((incarnation, number)) = lost {
        let missing = acknowledged - recovered;
        told.push(format!(
            "{server}: {missing} of {acknowledged} acknowledged records are not in the volume in their order, the first is {number} of incarnation {incarnation}"
        ));
    }
    if acks.dropped > 0 {
        told.push(format!("{server}: {} acknowledgements were not kept; this run is too long to be judged", acks.dropped));
    }
    let records = u64::try_from(records.len()).unwrap_or(u64::MAX);
    let interleaved = on_disk.is_some() || on_the_wire.is_some();
    Writes { acknowledged, recovered, records, in_order, interleaved, violations: told }
}

/// The log's records. A last line without end was never acknowledged; any other line that is no record of this server is told.
fn read(server: &str, text: &str, told: &mut Vec<String>) -> Vec<Record> {
    let whole = text.rfind('\n').map_or("", |end| text.get(..end).unwrap_or(""));
    let mut records = Vec::new();
    for (place, line) in whole.lines().enumerate() {
        match Record::parse(line).filter(|record| record.server == server) {
            Some(record) => records.push(record),
            None => {
                let shown: String = line.chars().filter(|c| !c.is_control()).take(60).collect();
                told.push(format!("line {} of the records of {server} is none of its records: `{shown}`", place + 1));
                if told.len() > crate::limits::SENTENCES_MAX {
                    break;
                }
            }
        }
    }
    records
}

fn numbers(server: &str, records: &[Record], told: &mut Vec<String>) -> bool {
    let wrong = records.windows(2).find_map(|pair| match pair {
        [one, next] if one.number.checked_add(1) != Some(next.number) => Some((one, next)),
        _ => None,
    });
    if let Some((one, next)) = wrong {
        told.push(format!(
            "in the volume of {server}, record {} of incarnation {} is followed by {} of {}",
            one.number, one.incarnation, next.number, next.incarnation
        ));
    }
    wrong.is_none()
}

/// An incarnation that comes again after another one, and that other.
fn returning<'a>(all: impl Iterator<Item = &'a str>) -> Option<(String, String)> {
    let mut gone = BTreeSet::new();
    let mut now: Option<&str> = None;
    for incarnation in all {
        if now == Some(incarnation) {
            continue;
        }
        if gone.contains(incarnation) {
            return Some((incarnation.to_owned(), now.unwrap_or_default().to_owned()));
        }
        gone.extend(now.replace(incarnation));
    }
    None
}

/// How many different records were acknowledged, how many of them stand in the log in that order, and the first that does not.
fn found<'a>(acks: &'a Acks, records: &[Record]) -> (u64, u64, Option<(&'a str, u64)>) {
    let mut places: BTreeMap<(&str, u64), usize> = BTreeMap::new();
    for (place, record) in records.iter().enumerate() {
        places.entry((&record.incarnation, record.number)).or_insert(place);
    }
    let (mut seen, mut last, mut recovered, mut lost) = (BTreeSet::new(), None, 0, None);
    for ack in &acks.all {
        let Some(incarnation) = acks.incarnations.get(ack.incarnation) else { continue };
        if !seen.insert((ack.incarnation, ack.number)) {
            continue;
        }
        match places.get(&(incarnation.as_str(), ack.number)) {
            Some(_) if !ack.in_turn => recovered += 1,
            Some(place) if last.is_none_or(|last| *place > last) => {
                last = Some(*place);
                recovered += 1;
            }
            _ => lost = lost.or(Some((incarnation.as_str(), ack.number))),
        }
    }
    (u64::try_from(seen.len()).unwrap_or(u64::MAX), recovered, lost)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn acks(all: &[(&str, u64)]) -> Acks {
        let mut acks = Acks::default();
        for (at, (incarnation, number)) in all.iter().enumerate() {
            let record = Record { server: "web1".into(), incarnation: (*incarnation).into(), number: *number };
            acks.take(&record, u64::try_from(at).unwrap());
        }
        acks
    }

    fn log(all: &[(&str, u64)]) -> Log {
        Ok(Some(all.iter().map(|(incarnation, number)| format!("web1 {incarnation} {number}\n")).collect()))
    }

    const TAKEOVER: [(&str, u64); 5] = [("aa", 1), ("aa", 2), ("aa", 3), ("bb", 4), ("bb", 5)];

    #[test]
    fn a_clean_takeover_is_clean() {
        let writes = judge("web1", &acks(&TAKEOVER), &log(&TAKEOVER));
        assert_eq!((writes.acknowledged, writes.recovered, writes.records), (5, 5, 5));
        assert!(writes.in_order && !writes.interleaved && writes.violations.is_empty(), "{writes:?}");
        // durable but not acknowledged: the machine died in between; torn: it died while writing
        let mut more = log(&TAKEOVER).unwrap().unwrap();
        more.push_str("web1 bb 6\nweb1 bb");
        assert!(judge("web1", &acks(&TAKEOVER), &Ok(Some(more))).violations.is_empty());
        // acknowledgements that were lost on the way
        assert!(judge("web1", &acks(&[("aa", 1), ("bb", 5)]), &log(&TAKEOVER)).violations.is_empty());
    }

    #[test]
    fn a_lost_write_is_seen() {
        let writes = judge("web1", &acks(&TAKEOVER), &log(&[("aa", 1), ("aa", 2), ("bb", 3), ("bb", 4), ("bb", 5)]));
        assert_eq!((writes.acknowledged, writes.recovered), (5, 4));
        assert!(writes.violations[0].contains("the first is 3 of incarnation aa"), "{writes:?}");
        let writes = judge("web1", &acks(&TAKEOVER), &Err("no such file".into()));
        assert_eq!((writes.acknowledged, writes.recovered), (5, 0));
        assert_eq!(writes.violations.len(), 2);
        let writes = judge("web1", &acks(&TAKEOVER), &Ok(None));
        assert_eq!((writes.recovered, writes.violations.len()), (0, 1));
    }

    #[test]
    fn a_server_that_never_ran_has_lost_nothing() {
        assert!(judge("web1", &Acks::default(), &Ok(None)).violations.is_empty());
    }

    #[test]
    fn a_gap_a_repetition_and_a_swap_are_out_of_order() {
        for wrong in [&[("aa", 1), ("aa", 3)][..], &[("aa", 1), ("aa", 1)], &[("aa", 2), ("aa", 1)]] {
            let writes = judge("web1", &Acks::default(), &log(wrong));
            assert!(!writes.in_order && writes.violations.len() == 1, "{wrong:?} {writes:?}");
        }
        let swapped = judge("web1", &acks(&[("aa", 1), ("aa", 2)]), &log(&[("aa", 2), ("aa", 1)]));
        assert_eq!((swapped.acknowledged, swapped.recovered), (2, 1));
    }

    #[test]
    fn two_writers_are_seen_in_the_volume_and_on_the_wire() {
        let mixed = [("aa", 11), ("bb", 12), ("aa", 13)];
        let writes = judge("web1", &Acks::default(), &log(&mixed));
        assert!(writes.interleaved && writes.in_order);
        let wire = judge("web1", &acks(&[("aa", 11), ("bb", 16), ("aa", 12), ("bb", 17)]), &log(&[("aa", 11), ("aa", 12)]));
        assert!(wire.interleaved);
        assert_eq!((wire.acknowledged, wire.recovered), (4, 2));
        assert_eq!(wire.violations.len(), 2, "{wire:?}");
    }

    #[test]
    fn what_a_hand_let_through_late_must_be_durable_but_is_no_second_turn() {
        let record = |incarnation: &str, number| Record { server: "web1".into(), incarnation: incarnation.into(), number };
        let on_disk = [("aa", 1), ("aa", 2), ("bb", 3), ("bb", 4)];
        let mut late = acks(&[("aa", 1), ("bb", 3), ("bb", 4)]);
        late.take_by_hand(&record("aa", 2), 9);
        let writes = judge("web1", &late, &log(&on_disk));
        assert!(writes.violations.is_empty() && !writes.interleaved, "{writes:?}");
        assert_eq!((writes.acknowledged, writes.recovered), (4, 4));
        late.take(&record("bb", 4), 10);
        late.take_by_hand(&record("aa", 9), 11);
        let writes = judge("web1", &late, &log(&on_disk));
        assert_eq!((writes.recovered, writes.violations.len()), (4, 1), "it was written by nobody: {writes:?}");
        // whoever serves now is no late one, nor is a start that nobody knew
        let mut now = acks(&[("aa", 1), ("bb", 3)]);
        now.take_by_hand(&record("bb", 4), 9);
        now.take_by_hand(&record("cc", 5), 10);
        now.take(&record("bb", 6), 11);
        assert!(judge("web1", &now, &log(&on_disk)).interleaved);
    }

    #[test]
    fn a_foreign_line_is_told() {
        let writes = judge("web1", &Acks::default(), &Ok(Some("web1 aa 1\nweb2 bb 2\nweb1 aa 2\n".into())));
        assert!(writes.violations[0].contains("line 2"), "{writes:?}");
    }

    #[test]
    fn only_what_came_before_an_instant_counts_up_to_it() {
        let before = acks(&TAKEOVER).until(2);
        let writes = judge("web1", &before, &log(&TAKEOVER));
        assert_eq!((writes.acknowledged, writes.recovered), (3, 3));
    }

    proptest! {
        /// Whatever the volume holds: recovered is never more than acknowledged, and all of it only if every record is there.
        #[test]
        fn nothing_is_recovered_that_is_not_there(
            acked in proptest::collection::vec((0usize..3, 1u64..20), 0..40),
            there in proptest::collection::vec((0usize..3, 1u64..20), 0..40),
        ) {
            let names = ["aa", "bb", "cc"];
            let acked: Vec<_> = acked.into_iter().map(|(who, number)| (names[who], number)).collect();
            let there: Vec<_> = there.into_iter().map(|(who, number)| (names[who], number)).collect();
            let writes = judge("web1", &acks(&acked), &log(&there));
            let different: BTreeSet<_> = acked.iter().collect();
            let common = different.iter().filter(|one| there.contains(one)).count();
            prop_assert_eq!(writes.acknowledged, u64::try_from(different.len()).unwrap());
            prop_assert!(writes.recovered <= u64::try_from(common).unwrap());
            prop_assert!(writes.recovered == writes.acknowledged || !writes.violations.is_empty());
        }

        /// Taking over at any point, and losing any acknowledgements on the way, is never a fault.
        #[test]
        fn a_chain_of_takeovers_is_never_a_fault(lengths in proptest::collection::vec(1u64..8, 1..6), heard in any::<u64>()) {
            let mut all = Vec::new();
            let names: Vec<String> = (0..lengths.len()).map(|place| format!("i{place}")).collect();
            for (name, length) in names.iter().zip(&lengths) {
                for _ in 0..*length {
                    all.push((name.as_str(), u64::try_from(all.len()).unwrap() + 1));
                }
            }
            let acked: Vec<_> = all.iter().enumerate().filter(|(place, _)| heard >> (place % 64) & 1 == 1).map(|(_, one)| *one).collect();
            let writes = judge("web1", &acks(&acked), &log(&all));
            prop_assert!(writes.violations.is_empty() && writes.in_order && !writes.interleaved, "{:?}", writes);
            prop_assert_eq!(writes.recovered, writes.acknowledged);
        }
    }
}
