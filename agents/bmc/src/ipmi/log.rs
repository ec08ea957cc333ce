//! The event log ("SEL"): followed from the last entry seen to the newest, and what its entries mean. Total functions over any bytes.
//! Must never erase an entry, nor take one for evidence: the log is older than the question.

use std::collections::VecDeque;

use super::fault::Fault;
use super::fru;
use super::sensors::RESERVATION_LOST;
use super::session::{Reply, Request};
use super::states::{self, Severity, kind};
use crate::limits;

const STORAGE: u8 = 0x0a;
const GET_INFO: u8 = 0x40;
const RESERVE: u8 = 0x42;
const GET_ENTRY: u8 = 0x43;

/// Length of a record, bytes.
const RECORD: usize = 16;
const FIRST: u16 = 0x0000;
const LAST: u16 = 0xffff;
/// No such record.
const ABSENT: u8 = 0xcb;

type Bytes = [u8; RECORD];

/// What tells one state of a log from another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct State {
    count: u16,
    added: u32,
    erased: u32,
    overflowed: bool,
}

fn read_state(data: &[u8]) -> Option<State> {
    const OVERFLOWED: u8 = 0x80;
    let [_, c, d, _, _, a, b, e, f, g, h, i, j, marks] = *data.first_chunk::<14>()?;
    let (count, added) = (u16::from_le_bytes([c, d]), u32::from_le_bytes([a, b, e, f]));
    Some(State { count, added, erased: u32::from_le_bytes([g, h, i, j]), overflowed: marks & OVERFLOWED != 0 })
}

/// What happened to the log since it was looked at before.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Gap {
    /// Nothing: what is new follows what was seen.
    #[default]
    None,
    /// It was cleared, or wrapped beyond what was seen: entries may be missing.
    Lost,
}

/// What is known of one BMC's log: where it was read up to, and its last entries.
#[derive(Clone, Debug, Default)]
pub struct Follower {
    state: Option<State>,
    /// The newest record that was seen.
    mark: Option<Bytes>,
    entries: VecDeque<Entry>,
}

impl Follower {
    /// The last entries, the oldest first; at most [`limits::LOG_KEPT`].
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    /// Begins to look for what is new.
    pub fn look(self) -> Look {
        Look {
            known: self,
            stage: Stage::State,
            now: None,
            gap: Gap::None,
            reservation: None,
            piece: RECORD,
            bytes: Vec::new(),
            read: 0,
            losses: 0,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// How the log is.
    State,
    /// Is the mark still there?
    Mark(u16),
    /// The newest: how far back the end begins is reckoned from its number.
    Newest,
    /// The end begins here, if the numbers have no holes.
    End(u16),
    /// An entry, and those behind it.
    Follow(u16),
    Done,
}

/// One look at a log: a question, its answer, the next question.
#[derive(Debug)]
pub struct Look {
    known: Follower,
    stage: Stage,
    now: Option<State>,
    gap: Gap,
    reservation: Option<u16>,
    piece: usize,
    bytes: Vec<u8>,
    read: usize,
    losses: u32,
}

impl Look {
    /// The next question; `None` at the end.
    pub fn ask(&self) -> Option<Request> {
        let question = |command, data| Some(Request { netfn: STORAGE, command, data, repeatable: true });
        let id = match self.stage {
            Stage::State => return question(GET_INFO, Vec::new()),
            Stage::Done => return None,
            Stage::Newest => LAST,
            Stage::Mark(id) | Stage::End(id) | Stage::Follow(id) => id,
        };
        // parts of a record need a reservation, whole ones do not
        if self.piece < RECORD && self.reservation.is_none() {
            return question(RESERVE, Vec::new());
        }
        let ([r, s], [i, j]) = (self.reservation.unwrap_or(0).to_le_bytes(), id.to_le_bytes());
        let left = RECORD.saturating_sub(self.bytes.len()).min(self.piece);
        question(GET_ENTRY, vec![r, s, i, j, u8::try_from(self.bytes.len()).ok()?, u8::try_from(left).ok()?])
    }

    /// Takes the answer.
    pub fn take(&mut self, reply: &Reply) -> Result<(), Fault> {
        const NONSENSE: Fault = Fault::Nonsense("an event log that cannot be read");
        if self.stage == Stage::State {
            let now = (reply.code == 0).then(|| read_state(&reply.data)).flatten().ok_or(NONSENSE)?;
            self.now = Some(now);
            self.stage = self.begin(now);
            return Ok(());
        }
        if self.piece < RECORD && self.reservation.is_none() {
            let made = reply.data.first_chunk::<2>().filter(|_| reply.code == 0);
            self.reservation = Some(u16::from_le_bytes(*made.ok_or(NONSENSE)?));
            return Ok(());
        }
        match reply.code {
            0 => {}
            ABSENT => {
                self.bytes.clear();
                self.stage = self.absent();
                return Ok(());
            }
            RESERVATION_LOST if self.losses < limits::RESERVATIONS_LOST_MAX => {
                // somebody wrote or erased: the record begins again
                (self.reservation, self.losses) = (None, self.losses + 1);
                self.bytes.clear();
                return Ok(());
            }
            code if fru::TOO_LONG.contains(&code) && self.piece > limits::IPMI_PIECE_MIN => {
                self.piece = (self.piece / 2).max(limits::IPMI_PIECE_MIN);
                return Ok(());
            }
            _ => return Err(NONSENSE),
        }
        let (next, data) = reply.data.split_first_chunk::<2>().filter(|(_, data)| !data.is_empty()).ok_or(NONSENSE)?;
        self.bytes.extend(data.iter().take(RECORD.saturating_sub(self.bytes.len())));
        let Ok(record) = Bytes::try_from(self.bytes.as_slice()) else {
            // a short answer: the rest is asked for as a part
            self.piece = self.piece.min(RECORD / 2);
            if self.reservation.is_none() {
                self.bytes.clear();
            }
            return Ok(());
        };
        self.bytes.clear();
        self.stage = self.took(record, u16::from_le_bytes(*next));
        Ok(())
    }

    /// What is known now, and whether something is missing before it.
    pub fn done(mut self) -> (Follower, Gap) {
        self.known.state = self.now;
        (self.known, self.gap)
    }

    fn begin(&mut self, now: State) -> Stage {
        let before = self.known.state;
        if before == Some(now) {
            return Stage::Done;
        }
        if before.is_some_and(|before| before.erased != now.erased) {
            self.lose();
        }
        match self.known.mark {
            _ if now.count == 0 => Stage::Done,
            Some(mark) => Stage::Mark(id(&mark)),
            None => Stage::Newest,
        }
    }

    /// What was seen is not there any more.
    fn lose(&mut self) {
        if self.known.mark.take().is_some() {
            self.gap = Gap::Lost;
        }
    }

    fn absent(&mut self) -> Stage {
        match self.stage {
            Stage::Mark(_) => {
                self.lose();
                Stage::Newest
            }
            // its numbers have holes
            Stage::End(_) => Stage::Follow(FIRST),
            _ => Stage::Done,
        }
    }

    fn took(&mut self, record: Bytes, next: u16) -> Stage {
        match self.stage {
            Stage::Mark(_) if self.known.mark == Some(record) => self.behind(id(&record), next),
            // another entry under the same number
            Stage::Mark(_) => {
                self.lose();
                Stage::Newest
            }
            Stage::Newest => {
                let back = u16::try_from(limits::LOG_KEPT).unwrap_or(u16::MAX).saturating_sub(1);
                match id(&record).checked_sub(back).filter(|from| *from > FIRST) {
                    Some(from) => Stage::End(from),
                    None => Stage::Follow(FIRST),
                }
            }
            Stage::End(_) | Stage::Follow(_) => {
                if self.known.entries.len() >= limits::LOG_KEPT {
                    self.known.entries.pop_front();
                }
                self.known.entries.push_back(entry(&record));
                self.known.mark = Some(record);
                self.read += 1;
                self.behind(id(&record), next)
            }
            Stage::State | Stage::Done => Stage::Done,
        }
    }

    fn behind(&self, id: u16, next: u16) -> Stage {
        // a chain that does not move on ends here, too
        let ends = next == LAST || next == FIRST || next == id || self.read >= limits::LOG_ENTRIES_MAX;
        if ends { Stage::Done } else { Stage::Follow(next) }
    }
}

fn id(record: &Bytes) -> u16 {
    let [low, high, ..] = *record;
    u16::from_le_bytes([low, high])
}

/// An entry, as far as it can be understood.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Its number in the log.
    pub id: u16,
    /// When, by the BMC's clock, seconds since 1970; `None` if it did not know the time.
    pub at: Option<u32>,
    /// What kind of sensor.
    pub kind: String,
    /// What happened.
    pub what: String,
    /// How bad that is.
    pub severity: Severity,
}

/// The meaning of a record.
pub fn entry(record: &[u8; 16]) -> Entry {
    /// Times below count from the BMC's own start.
    const RELATIVE: u32 = 0x2000_0000;
    let [_, _, record_type, s, t, u, v, _, _, _, sensor_type, number, event, data @ ..] = *record;
    let id = id(record);
    let time = u32::from_le_bytes([s, t, u, v]);
    let at = Some(time).filter(|time| (RELATIVE..u32::MAX).contains(time));
    let other = |at, what: String| Entry { id, at, kind: "maker's own".to_owned(), what, severity: Severity::Fine };
    match record_type {
        0xc0..=0xdf => return other(at, format!("record type {record_type:#04x}")),
        0xe0..=0xff => return other(None, format!("record type {record_type:#04x}")),
        _ => {}
    }
    let (reading_type, ended) = (event & 0x7f, event & 0x80 != 0);
    let [first, ..] = data;
    let offset = first & 0x0f;
    let (what, severity) = match states::state(sensor_type, reading_type, offset) {
        Some((what, severity)) => (what.to_owned(), severity),
        None => (format!("state {offset} of reading type {reading_type:#04x}"), Severity::Fine),
    };
    let (what, severity) = if ended { (format!("ended: {what}"), Severity::Fine) } else { (what, severity) };
    Entry { id, at, kind: format!("{}, sensor {number:#04x}", kind_word(sensor_type)), what, severity }
}

/// The name of a sensor type.
fn kind_word(kind: u8) -> String {
    let known = match kind {
        kind::TEMPERATURE => "temperature",
        0x02 => "voltage",
        0x04 => "fan",
        kind::PROCESSOR => "processor",
        kind::POWER_SUPPLY => "power supply",
        kind::POWER_UNIT => "power unit",
        kind::MEMORY => "memory",
        0x0d => "drive",
        0x10 => "event logging",
        0x12 => "system event",
        kind::CRITICAL_INTERRUPT => "critical interrupt",
        0x14 => "button",
        kind::SYSTEM_BOOT => "system boot",
        kind::OS_STOP => "operating system",
        kind::WATCHDOG => "watchdog",
        kind::MANAGEMENT => "management controller",
        other => return format!("sensor type {other:#04x}"),
    };
    known.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A log: records with their numbers, in order.
    #[derive(Default)]
    struct Log {
        records: Vec<Bytes>,
        erased: u32,
        most: usize,
        /// Questions that were asked.
        asked: usize,
        /// A part that is read after so many questions finds its reservation lost.
        loses: Option<usize>,
        /// The number of the present reservation.
        reservation: u8,
        /// Each record is its own successor.
        stuck: bool,
    }

    impl Log {
        fn new() -> Log {
            Log { most: RECORD, reservation: 7, ..Log::default() }
        }

        fn write(&mut self, id: u16, at: u32) {
            let ([i, j], [s, t, u, v]) = (id.to_le_bytes(), (0x6000_0000 + at).to_le_bytes());
            self.records.push([i, j, 2, s, t, u, v, 0x20, 0, 4, kind::POWER_SUPPLY, 0x12, states::SPECIFIC, 3, 0xff, 0xff]);
        }

        fn answer(&mut self, asked: &Request) -> Reply {
            self.asked += 1;
            let (yes, no) = (|data| Reply { code: 0, data }, |code| Reply { code, data: Vec::new() });
            match asked.command {
                GET_INFO => {
                    let added = self.records.last().map_or(0, |last| u32::from_le_bytes([last[3], last[4], last[5], last[6]]));
                    let count = u16::try_from(self.records.len()).unwrap().to_le_bytes();
                    yes([&[0x51], &count[..], &[0, 0], &added.to_le_bytes(), &self.erased.to_le_bytes(), &[2]].concat())
                }
                RESERVE => yes(vec![self.reservation, 0]),
                _ => {
                    let [r, _, i, j, offset, count] = asked.data[..] else { return no(0xc7) };
                    let wanted = u16::from_le_bytes([i, j]);
                    let at = match wanted {
                        FIRST => Some(0),
                        LAST => self.records.len().checked_sub(1),
                        wanted => self.records.iter().position(|record| id(record) == wanted),
                    };
                    if offset > 0 && self.loses.take_if(|after| *after <= self.asked).is_some() {
                        // somebody writes meanwhile: every record gets another time and another state
                        self.reservation += 1;
                        self.records.iter_mut().for_each(|record| (record[5], record[13]) = (1, 1));
                    }
                    let Some(record) = at.and_then(|at| self.records.get(at)) else { return no(ABSENT) };
                    if offset > 0 && r != self.reservation {
                        return no(RESERVATION_LOST);
                    }
                    if usize::from(count) > self.most {
                        return no(0xca);
                    }
                    let next = if self.stuck { wanted } else { self.records.get(at.unwrap() + 1).map_or(LAST, id) };
                    let part = record.iter().skip(usize::from(offset)).take(usize::from(count)).copied();
                    yes(next.to_le_bytes().into_iter().chain(part).collect())
                }
            }
        }

        fn look(&mut self, known: Follower) -> (Follower, Gap) {
            self.asked = 0;
            let mut look = known.look();
            while let Some(question) = look.ask() {
                look.take(&self.answer(&question)).unwrap();
                assert!(self.asked < 10_000);
            }
            look.done()
        }
    }

    fn ids(follower: &Follower) -> Vec<u16> {
        follower.entries().map(|entry| entry.id).collect()
    }

    #[test]
    fn only_what_is_new_is_read_and_nothing_is_read_where_nothing_is_new() {
        let mut log = Log::new();
        (1..=100).for_each(|id| log.write(id, u32::from(id)));
        let (known, gap) = log.look(Follower::default());
        assert_eq!((ids(&known), gap), ((81..=100).collect(), Gap::None));
        assert!(log.asked <= 23, "{}", log.asked);
        let (known, gap) = log.look(known);
        assert_eq!((log.asked, gap), (1, Gap::None));
        log.write(101, 101);
        let (known, gap) = log.look(known);
        assert_eq!((log.asked, ids(&known), gap), (3, (82..=101).collect(), Gap::None));
        let entry = known.entries().last().unwrap();
        assert_eq!((entry.what.as_str(), entry.severity, entry.at), ("AC lost", Severity::Critical, Some(0x6000_0065)));
    }

    #[test]
    fn a_cleared_or_wrapped_log_is_noticed() {
        let mut log = Log::new();
        (1..=5).for_each(|id| log.write(id, u32::from(id)));
        let (before, _) = log.look(Follower::default());
        // cleared, and filled anew up to the same numbers
        (log.records, log.erased) = (Vec::new(), 1);
        (1..=5).for_each(|id| log.write(id, 10 + u32::from(id)));
        let (after, gap) = log.look(before.clone());
        assert_eq!((gap, ids(&after)), (Gap::Lost, vec![1, 2, 3, 4, 5, 1, 2, 3, 4, 5]));
        // the same by a BMC that does not tell when it was erased
        log.erased = 0;
        assert_eq!(log.look(before.clone()).1, Gap::Lost);
        // wrapped: the mark has been written over
        log.records = Vec::new();
        (300..=340).for_each(|id| log.write(id, u32::from(id)));
        let (after, gap) = log.look(before.clone());
        assert_eq!((gap, ids(&after)), (Gap::Lost, (321..=340).collect()));
        // empty now
        (log.records, log.erased) = (Vec::new(), 9);
        let (after, gap) = log.look(before);
        assert_eq!((gap, after.entries().count()), (Gap::Lost, 5));
        assert_eq!(log.look(after).1, Gap::None);
    }

    #[test]
    fn holes_small_pieces_and_lost_reservations_do_not_hide_the_end() {
        // lost while one of the last entries is read
        for (most, after) in [(RECORD, 30), (8, 110), (5, 210), (4, 210)] {
            let mut log = Log { loses: Some(after), most, ..Log::new() };
            (1..=60).for_each(|id| log.write(id * 7, u32::from(id)));
            let (known, _) = log.look(Follower::default());
            assert_eq!(ids(&known), (41..=60).map(|id| id * 7).collect::<Vec<u16>>(), "{most}");
            for entry in known.entries() {
                let rewritten = entry.at.is_some_and(|at| at & 0x00ff_0000 != 0);
                assert_eq!(entry.what == "failed", rewritten, "no entry is made of two: {entry:?}");
            }
        }
    }

    #[test]
    fn a_log_that_goes_round_or_never_keeps_a_reservation_ends() {
        let mut log = Log { stuck: true, ..Log::new() };
        (1..=30).for_each(|id| log.write(id, u32::from(id)));
        assert_eq!(ids(&log.look(Follower::default()).0), [11]);
        let mut look = Follower { mark: Some([7; RECORD]), ..Follower::default() }.look();
        (look.stage, look.piece) = (Stage::Mark(7), 8);
        let lost = (0..10 * limits::RESERVATIONS_LOST_MAX).find_map(|_| {
            let code = if look.ask()?.command == RESERVE { 0 } else { RESERVATION_LOST };
            look.take(&Reply { code, data: vec![1, 0] }).err()
        });
        assert!(lost.is_some(), "somebody else keeps changing it");
    }

    #[test]
    fn a_look_ends_at_its_bound_and_goes_on_at_the_next() {
        let mut log = Log::new();
        log.write(1, 0);
        let (mut known, _) = log.look(Follower::default());
        let all = u16::try_from(limits::LOG_ENTRIES_MAX).unwrap() + 100;
        (2..=all).for_each(|id| log.write(id, u32::from(id)));
        (known, _) = log.look(known);
        assert_eq!(known.entries().last().unwrap().id, all - 99);
        log.write(all + 1, 9);
        assert_eq!(log.look(known).0.entries().last().unwrap().id, all + 1);
    }

    #[test]
    fn entries_of_makers_and_ends_of_events_are_told_as_such() {
        let mut record: Bytes = [1, 0, 2, 0, 0, 0, 0x60, 0x20, 0, 4, kind::MEMORY, 9, states::SPECIFIC, 1, 0xff, 0xff];
        let seen = entry(&record);
        assert_eq!((seen.kind.as_str(), seen.what.as_str()), ("memory, sensor 0x09", "uncorrectable error"));
        record[12] |= 0x80;
        assert_eq!((entry(&record).what.as_str(), entry(&record).severity), ("ended: uncorrectable error", Severity::Fine));
        record[3..7].copy_from_slice(&[9, 0, 0, 0]);
        assert_eq!(entry(&record).at, None, "it counts from its own start");
        record[2] = 0xe0;
        assert_eq!(entry(&record).kind, "maker's own");
    }

    proptest! {
        #[test]
        fn reading_is_total(noise in proptest::collection::vec((any::<u8>(), proptest::collection::vec(any::<u8>(), 0..24)), 0..60), record: Bytes) {
            prop_assert!(!entry(&record).what.is_empty());
            let mut look = Follower::default().look();
            for (code, data) in noise {
                if look.ask().is_none() || look.take(&Reply { code: code & 0x0f, data }).is_err() {
                    break;
                }
            }
            prop_assert!(look.done().0.entries().count() <= limits::LOG_KEPT);
        }
    }
}
