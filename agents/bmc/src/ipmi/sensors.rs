//! Sensors: their records in the repository, what their numbers mean, and how a reading stands against its limits. Total functions over
//! any bytes.
//! Must never make a number of a sensor that says it has no reading, nor guess one where the formula is not told.

use super::fault::Fault;
use super::fru;
use super::session::{Reply, Request};
use super::states::{self, Severity, kind};
use crate::limits;

const SENSOR: u8 = 0x04;
const STORAGE: u8 = 0x0a;
const GROUP: u8 = 0x2c;
const GET_READING: u8 = 0x2d;
const GET_REPOSITORY_INFO: u8 = 0x20;
const RESERVE: u8 = 0x22;
const GET_RECORD: u8 = 0x23;
const GET_POWER: u8 = 0x02;
/// The body that defines a group extension: DCMI.
const DCMI: u8 = 0xdc;

/// Length of a record's header, bytes.
pub const HEADER: usize = 5;
const FULL: u8 = 0x01;
const COMPACT: u8 = 0x02;
/// The BMC itself, as the owner of a sensor.
const BMC: u8 = 0x20;
const WATTS: u8 = 6;
/// Entities: what a sensor is a part of.
const PROCESSOR: [u8; 2] = [0x03, 0x41];
const AIR_INLET: [u8; 2] = [0x37, 0x40];

/// "Reservation cancelled or invalid."
pub const RESERVATION_LOST: u8 = 0xc5;
/// No such record: for the first, the repository is empty.
const ABSENT: u8 = 0xcb;

fn question(netfn: u8, command: u8, data: Vec<u8>) -> Request {
    Request { netfn, command, data, repeatable: true }
}

/// Get SDR Repository Info.
pub fn repository_info() -> Request {
    question(STORAGE, GET_REPOSITORY_INFO, Vec::new())
}

/// What tells one state of a repository from another: number of records, times of the last addition and erasure.
pub type Stamp = [u8; 10];

/// The stamp, from the data of a good answer.
pub fn read_stamp(data: &[u8]) -> Option<Stamp> {
    let (_, rest) = data.split_first()?;
    let (count, rest) = rest.split_first_chunk::<2>()?;
    let times = rest.get(2..)?.first_chunk::<8>()?;
    [&count[..], times].concat().try_into().ok()
}

/// Reserve SDR Repository.
pub fn reserve() -> Request {
    question(STORAGE, RESERVE, Vec::new())
}

/// The reservation, from the data of a good answer.
pub fn read_reservation(data: &[u8]) -> Option<u16> {
    data.first_chunk().map(|id| u16::from_le_bytes(*id))
}

/// One walk through the repository: a question, its answer, the next question, to the last record.
#[derive(Debug)]
pub struct Walk {
    reservation: Option<u16>,
    /// The record that is being read, what is known of it, and its whole length.
    id: u16,
    bytes: Vec<u8>,
    length: Option<usize>,
    next: u16,
    piece: usize,
    records: usize,
    losses: u32,
    sensors: Vec<Sensor>,
    done: bool,
}

impl Default for Walk {
    /// From the first record on.
    fn default() -> Walk {
        Walk {
            reservation: None,
            id: 0,
            bytes: Vec::new(),
            length: None,
            next: 0,
            piece: limits::IPMI_PIECE,
            records: 0,
            losses: 0,
            sensors: Vec::new(),
            done: false,
        }
    }
}

impl Walk {
    /// The next question; `None` at the end.
    pub fn ask(&self) -> Option<Request> {
        if self.done {
            return None;
        }
        let Some(reservation) = self.reservation else { return Some(reserve()) };
        let left = self.length.unwrap_or(HEADER).saturating_sub(self.bytes.len()).min(self.piece);
        let ([r, s], [i, j]) = (reservation.to_le_bytes(), self.id.to_le_bytes());
        let (offset, count) = (u8::try_from(self.bytes.len()).ok()?, u8::try_from(left).ok()?);
        Some(question(STORAGE, GET_RECORD, vec![r, s, i, j, offset, count]))
    }

    /// Takes the answer. A lost reservation is made again and the record read anew, a piece that is too long halved, both so many times.
    pub fn take(&mut self, reply: &Reply) -> Result<(), Fault> {
        const NONSENSE: Fault = Fault::Nonsense("a sensor repository that cannot be read");
        if self.reservation.is_none() {
            let made = (reply.code == 0).then(|| read_reservation(&reply.data)).flatten();
            // what has no reservations takes none
            self.reservation = Some(made.unwrap_or(0));
            return Ok(());
        }
        match reply.code {
            0 => {}
            RESERVATION_LOST if self.losses < limits::RESERVATIONS_LOST_MAX => {
                self.losses += 1;
                (self.reservation, self.length) = (None, None);
                self.bytes.clear();
                return Ok(());
            }
            RESERVATION_LOST => return Err(Fault::Nonsense("a sensor repository that somebody else keeps changing")),
            ABSENT if self.records == 0 && self.id == 0 => {
                self.done = true;
                return Ok(());
            }
            code if fru::TOO_LONG.contains(&code) && self.piece > limits::IPMI_PIECE_MIN && self.length.is_some() => {
                self.piece = (self.piece / 2).max(limits::IPMI_PIECE_MIN);
                return Ok(());
            }
            _ => return Err(NONSENSE),
        }
        let (next, data) = reply.data.split_first_chunk::<2>().filter(|(_, data)| !data.is_empty()).ok_or(NONSENSE)?;
        self.next = u16::from_le_bytes(*next);
        let wanted = self.length.unwrap_or(HEADER).saturating_sub(self.bytes.len());
        self.bytes.extend(data.iter().take(wanted));
        if self.length.is_none() && self.bytes.len() == HEADER {
            self.length = self.bytes.last().map(|body| HEADER + usize::from(*body)).filter(|length| *length > HEADER);
            if self.length.is_none() || !self.is_of_a_sensor() {
                self.advance();
            }
        }
        if self.length == Some(self.bytes.len()) {
            self.sensors.extend(sensor(&self.bytes).filter(Sensor::is_wanted));
            self.advance();
        }
        Ok(())
    }

    fn is_of_a_sensor(&self) -> bool {
        self.bytes.get(3).is_some_and(|kind| matches!(*kind, FULL | COMPACT))
    }

    fn advance(&mut self) {
        self.records += 1;
        // a chain that does not move on ends here, too
        self.done = matches!(self.next, 0 | u16::MAX) || self.next == self.id || self.records >= limits::SENSOR_RECORDS_MAX;
        (self.id, self.length) = (self.next, None);
        self.bytes.clear();
    }

    /// The sensors that are wanted.
    pub fn sensors(self) -> Vec<Sensor> {
        self.sensors
    }
}

/// How a number becomes one with a unit.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Formula {
    format: u8,
    linearisation: u8,
    factor: f64,
    offset: f64,
    exponent: i32,
}

impl Formula {
    fn read(bytes: &[u8]) -> Option<Formula> {
        let [units, _, _, linearisation, m, m_high, b, b_high, _, exponents] = *bytes.first_chunk::<10>()?;
        // two's complement of 10 and of 4 bits
        let ten = |low: u8, high: u8| (i16::from(high & 0xc0) << 2 | i16::from(low)).wrapping_shl(6) >> 6;
        let four = |bits: u8| i32::from((bits << 4).cast_signed() >> 4);
        let (factor, b) = (f64::from(ten(m, m_high)), f64::from(ten(b, b_high)));
        let offset = b * 10f64.powi(four(exponents & 0x0f));
        Some(Formula { format: units >> 6, linearisation: linearisation & 0x7f, factor, offset, exponent: four(exponents >> 4) })
    }

    /// The value of a raw reading; `None` where the sensor has none that can be computed.
    pub fn value(&self, raw: u8) -> Option<f64> {
        let raw = match self.format {
            0 => f64::from(raw),
            // one's complement: its all-ones is zero, too
            1 if raw & 0x80 != 0 => -f64::from(!raw),
            1 => f64::from(raw),
            2 => f64::from(raw.cast_signed()),
            _ => return None,
        };
        let y = (self.factor * raw + self.offset) * 10f64.powi(self.exponent);
        let value = match self.linearisation {
            0 => y,
            1 => y.ln(),
            2 => y.log10(),
            3 => y.log2(),
            4 => y.exp(),
            5 => 10f64.powf(y),
            6 => y.exp2(),
            7 => y.recip(),
            8 => y.powi(2),
            9 => y.powi(3),
            10 => y.sqrt(),
            11 => y.cbrt(),
            _ => return None,
        };
        value.is_finite().then_some(value)
    }
}

/// Limits of a sensor, from the lowest to the highest, as raw readings.
pub type Thresholds = [Option<u8>; 6];

/// A sensor, as its record describes it.
#[derive(Clone, PartialEq, Debug)]
pub struct Sensor {
    /// Its number at the BMC.
    pub number: u8,
    /// Its name.
    pub name: String,
    /// Sensor type.
    pub kind: u8,
    /// What kind of states it reports.
    pub reading_type: u8,
    /// It belongs to the BMC itself, and can be asked.
    pub ours: bool,
    entity: u8,
    unit: u8,
    formula: Option<Formula>,
    thresholds: Thresholds,
}

/// The sensor of a whole record, full or compact; `None` for any other record and one that is cut short.
pub fn sensor(record: &[u8]) -> Option<Sensor> {
    let full = match *record.get(3)? {
        FULL => true,
        COMPACT => false,
        _ => return None,
    };
    let [owner, unit_number, number, entity, ..] = *record.get(HEADER..)?.first_chunk::<8>()?;
    let (kind, reading_type) = (*record.get(12)?, *record.get(13)?);
    let (units, unit) = (*record.get(20)?, *record.get(21)?);
    let name = fru::field(record.get(if full { 47 } else { 31 }..)?)?;
    let formula = if full { Formula::read(record.get(20..)?) } else { None };
    let mask = *record.get(18)?;
    let mut thresholds = [None; 6];
    if full && reading_type == states::THRESHOLD && units >> 6 != 3 {
        // in the record they stand from the highest to the lowest: upper three, lower three; in the mask lower ones first
        for (slot, (bit, at)) in thresholds.iter_mut().zip([(2, 39), (1, 40), (0, 41), (3, 38), (4, 37), (5, 36)]) {
            *slot = if mask >> bit & 1 == 1 { record.get(at).copied() } else { None };
        }
    }
    let ours = owner == BMC && unit_number & 0x03 == 0;
    Some(Sensor { number, name, kind, reading_type, ours, entity, unit, formula, thresholds })
}

impl Sensor {
    /// True for what detection and identity want to know: air inlet and processor temperature, power supplies and their redundancy, watts,
    /// processors.
    pub fn is_wanted(&self) -> bool {
        let name = self.name.to_ascii_lowercase();
        let inlet = AIR_INLET.contains(&self.entity) || name.contains("inlet") || name.contains("ambient");
        match self.kind {
            kind::TEMPERATURE => self.reading_type == states::THRESHOLD && (inlet || PROCESSOR.contains(&self.entity)),
            kind::POWER_SUPPLY | kind::POWER_UNIT | kind::PROCESSOR => {
                matches!(self.reading_type, states::SPECIFIC | states::REDUNDANCY) || self.is_power()
            }
            _ => self.is_power(),
        }
    }

    fn is_power(&self) -> bool {
        self.unit == WATTS && self.formula.is_some() && self.reading_type == states::THRESHOLD
    }

    /// Get Sensor Reading.
    pub fn ask(&self) -> Request {
        question(SENSOR, GET_READING, vec![self.number])
    }

    /// What a reading says, and how bad it is.
    pub fn read(&self, data: &[u8]) -> Shown {
        /// There is no reading at this moment.
        const UNAVAILABLE: u8 = 0x20;
        /// The sensor is looked at.
        const SCANNED: u8 = 0x40;
        let none = || Shown { value: "no reading".to_owned(), severity: Severity::Fine };
        let Some([raw, flags]) = data.first_chunk::<2>().copied() else { return none() };
        if flags & UNAVAILABLE != 0 || flags & SCANNED == 0 {
            return none();
        }
        if self.reading_type == states::THRESHOLD { self.measured(raw, data.get(2).copied()) } else { self.in_states(data) }
    }

    fn measured(&self, raw: u8, status: Option<u8>) -> Shown {
        let Some(value) = self.formula.and_then(|formula| formula.value(raw)) else {
            return Shown { value: "a number without a formula".to_owned(), severity: Severity::Fine };
        };
        let limit = match status {
            // it compares by itself: lower three, upper three
            Some(status) => {
                (0..6).rev().find(|bit| status >> bit & 1 == 1).map(|bit| [0, 2, 4, 7, 9, 11].get(bit).copied().unwrap_or(0))
            }
            None => self.passed(value),
        };
        let beyond = limit.and_then(|offset| states::state(self.kind, states::THRESHOLD, offset));
        let value = format!("{}{}", rounded(value), unit(self.unit));
        match beyond {
            Some((word, severity)) => Shown { value: format!("{value}, {word}"), severity },
            None => Shown { value, severity: Severity::Fine },
        }
    }

    /// The worst limit of the record that a value has passed, as the offset of its event.
    fn passed(&self, value: f64) -> Option<u8> {
        let limit = |at: usize| self.thresholds.get(at).copied().flatten().zip(self.formula).and_then(|(raw, by)| by.value(raw));
        let low = [(0, 4), (1, 2), (2, 0)].into_iter().find(|(at, _)| limit(*at).is_some_and(|limit| value <= limit));
        let high = [(5, 11), (4, 9), (3, 7)].into_iter().find(|(at, _)| limit(*at).is_some_and(|limit| value >= limit));
        low.or(high).map(|(_, offset)| offset)
    }

    fn in_states(&self, data: &[u8]) -> Shown {
        let low = data.get(2).copied().unwrap_or(0);
        let bits = u16::from_le_bytes([low, data.get(3).copied().unwrap_or(0) & 0x7f]);
        let states = (0u8..15).filter(|offset| bits >> offset & 1 == 1);
        let told: Vec<(String, Severity)> = states
            .map(|offset| match states::state(self.kind, self.reading_type, offset) {
                Some((word, severity)) => (word.to_owned(), severity),
                None => (format!("state {offset}"), Severity::Fine),
            })
            .collect();
        let severity = told.iter().map(|(_, severity)| *severity).max().unwrap_or(Severity::Fine);
        if told.is_empty() {
            let value = match (self.kind, self.reading_type) {
                (kind::POWER_SUPPLY, states::SPECIFIC) => "absent",
                _ => "nothing to report",
            };
            return Shown { value: value.to_owned(), severity };
        }
        Shown { value: told.into_iter().map(|(word, _)| word).collect::<Vec<_>>().join(", "), severity }
    }
}

/// A reading for people.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Shown {
    /// The value with its unit, or the states.
    pub value: String,
    /// How bad it is.
    pub severity: Severity,
}

fn rounded(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

fn unit(unit: u8) -> &'static str {
    match unit {
        1 => " °C",
        2 => " °F",
        3 => " K",
        4 => " V",
        5 => " A",
        WATTS => " W",
        18 => " rpm",
        _ => "",
    }
}

/// DCMI Get Power Reading: the power drawn by the system now.
pub fn power() -> Request {
    const SYSTEM_STATISTICS: u8 = 0x01;
    question(GROUP, GET_POWER, vec![DCMI, SYSTEM_STATISTICS, 0, 0])
}

/// Watts now, from the data of a good answer; `None` where it is not measured.
pub fn read_power(data: &[u8]) -> Option<u16> {
    const MEASURES: u8 = 0x40;
    let [group, low, high] = *data.first_chunk::<3>()?;
    let state = *data.get(17)?;
    (group == DCMI && state & MEASURES != 0).then_some(u16::from_le_bytes([low, high]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A full record with this kind, units, formula and mask of thresholds.
    fn full(kind: u8, unit: u8, formula: [u8; 10], mask: u8, thresholds: [u8; 6]) -> Vec<u8> {
        let mut record = vec![1, 0, 0x51, FULL, 0, BMC, 0, 9, 0x37, 1, 0x7f, 0x44, kind, states::THRESHOLD, 0, 0, 0, 0, mask, 0];
        record.extend(formula);
        record[21] = unit;
        record.extend([0; 6]);
        record.extend(thresholds);
        record.extend([0; 5]);
        record.extend(b"\xc5Inlet");
        record
    }

    fn close(formula: [u8; 10], raw: u8, expected: f64) {
        let value = Formula::read(&formula).unwrap().value(raw).unwrap();
        assert!((value - expected).abs() < 1e-6 * expected.abs().max(1.0), "{formula:?} {raw}: {value} is not {expected}");
    }

    #[test]
    fn numbers_become_values_by_the_formula_of_the_record() {
        close([0, 0, 0, 0, 1, 0, 0, 0, 0, 0], 36, 36.0);
        // M = -3, B = -500 with its exponent 1, result exponent -2, two's complement
        close([0x80, 0, 0, 0, 0xfd, 0xc0, 0x0c, 0x80, 0, 0xe1], 0xfe, (-3.0 * -2.0 - 5000.0) * 0.01);
        // one's complement
        close([0x40, 0, 0, 0, 2, 0, 0, 0, 0, 0], 0xfe, -2.0);
        close([0, 0, 0, 7, 1, 0, 0, 0, 0, 0], 4, 0.25);
        close([0, 0, 0, 8, 1, 0, 0, 0, 0, 0], 5, 25.0);
        close([0, 0, 0, 11, 1, 0, 0, 0, 0, 0], 27, 3.0);
        let none = |formula: [u8; 10], raw| Formula::read(&formula).unwrap().value(raw).is_none();
        assert!(none([0, 0, 0, 7, 1, 0, 0, 0, 0, 0], 0), "no number is 1/0");
        assert!(none([0, 0, 0, 0x70, 1, 0, 0, 0, 0, 0], 1), "a formula that the record does not hold");
        assert!(none([0xc0, 0, 0, 0, 1, 0, 0, 0, 0, 0], 1), "no number at all");
    }

    #[test]
    fn a_repository_is_told_by_its_records_and_times_and_not_by_its_free_space() {
        let info = [0x51, 3, 0, 9, 9, 1, 2, 3, 4, 5, 6, 7, 8, 0x22];
        let with = |at: usize| {
            let mut other = info;
            other[at] ^= 1;
            read_stamp(&other).unwrap() == read_stamp(&info).unwrap()
        };
        assert_eq!(
            std::array::from_fn(with),
            [true, false, false, true, true, false, false, false, false, false, false, false, false, true]
        );
        assert_eq!(read_stamp(&info[..12]), None);
    }

    #[test]
    fn a_chain_of_records_that_does_not_move_on_ends() {
        let mut walk = Walk { reservation: Some(1), id: 7, ..Walk::default() };
        // the header of a record of no interest, which is its own successor
        walk.take(&Reply { code: 0, data: vec![7, 0, 7, 0, 0x51, 0x12, 3] }).unwrap();
        assert_eq!(walk.ask(), None);
    }

    #[test]
    fn a_measured_value_is_judged_by_the_bmc_or_else_by_the_record() {
        let record = full(kind::TEMPERATURE, 1, [0, 0, 0, 0, 1, 0, 0, 0, 0, 0], 0x18, [0, 60, 50, 0, 0, 0]);
        let sensor = sensor(&record).unwrap();
        assert!(sensor.is_wanted() && sensor.ours);
        assert_eq!(sensor.thresholds, [None, None, None, Some(50), Some(60), None]);
        let read = |data: &[u8]| sensor.read(data);
        assert_eq!(read(&[36, 0xc0, 0]), Shown { value: "36 °C".into(), severity: Severity::Fine });
        assert_eq!(read(&[36, 0xc0, 0x18]).severity, Severity::Critical, "what it says itself counts");
        assert_eq!(read(&[70, 0xc0, 0]).severity, Severity::Fine, "its limits may have been changed");
        for (raw, severity) in [(49, Severity::Fine), (50, Severity::Warning), (60, Severity::Critical)] {
            assert_eq!(read(&[raw, 0xc0]).severity, severity, "{raw}");
        }
        assert_eq!(read(&[36, 0xc0, 0x18]).value, "36 °C, above its upper critical limit", "the worst of those it names");
        let low = full(kind::TEMPERATURE, 1, [0, 0, 0, 0, 1, 0, 0, 0, 0, 0], 0x03, [0, 0, 0, 0, 10, 20]);
        let low = super::sensor(&low).unwrap();
        for (raw, severity) in [(21, Severity::Fine), (20, Severity::Warning), (10, Severity::Critical)] {
            assert_eq!(low.read(&[raw, 0xc0]).severity, severity, "{raw}");
        }
        for (at, other) in [(HEADER, 0x2c), (HEADER + 1, 0x01)] {
            let mut record = record.clone();
            record[at] = other;
            assert!(!super::sensor(&record).unwrap().ours, "another controller's, or behind another unit of it");
        }
        for nothing in [&[][..], &[36], &[36, 0xe0, 0x18], &[36, 0x80, 0x18]] {
            assert_eq!(read(nothing).value, "no reading");
        }
    }

    #[test]
    fn power_is_what_is_measured_now() {
        let mut answer = vec![DCMI, 0x2c, 0x01];
        answer.extend([0; 14]);
        answer.push(0x40);
        assert_eq!(read_power(&answer), Some(300));
        answer[17] = 0;
        assert_eq!(read_power(&answer), None);
    }

    /// A repository of these records that gives up to so many bytes at once and loses so many reservations.
    struct Repository {
        records: Vec<Vec<u8>>,
        most: usize,
        losses: u32,
        reservation: u16,
    }

    impl Repository {
        fn answer(&mut self, asked: &Request) -> Reply {
            let no = |code| Reply { code, data: Vec::new() };
            if asked.command == RESERVE {
                self.reservation += 1;
                return Reply { code: 0, data: self.reservation.to_le_bytes().to_vec() };
            }
            let [r, s, i, j, offset, count] = asked.data[..] else { return no(0xc7) };
            if offset > 0 && self.losses > 0 {
                self.losses -= 1;
                self.reservation += 1;
            }
            if offset > 0 && u16::from_le_bytes([r, s]) != self.reservation {
                return no(RESERVATION_LOST);
            }
            let at = usize::from(u16::from_le_bytes([i, j]));
            let Some(record) = self.records.get(at) else { return no(ABSENT) };
            if usize::from(count) > self.most.max(HEADER) {
                return no(0xca);
            }
            let next = if at + 1 < self.records.len() { u16::try_from(at + 1).unwrap() } else { u16::MAX };
            let part = record.iter().skip(usize::from(offset)).take(usize::from(count));
            Reply { code: 0, data: next.to_le_bytes().into_iter().chain(part.copied()).collect() }
        }
    }

    fn walk(mut repository: Repository) -> Result<Vec<Sensor>, Fault> {
        let mut walk = Walk::default();
        let mut asked = 0;
        while let Some(question) = walk.ask() {
            walk.take(&repository.answer(&question))?;
            asked += 1;
            assert!(asked < 10_000);
        }
        Ok(walk.sensors())
    }

    fn record() -> Vec<u8> {
        let mut record = full(kind::TEMPERATURE, 1, [0; 10], 0, [0; 6]);
        record[4] = u8::try_from(record.len() - HEADER).unwrap();
        record
    }

    #[test]
    fn a_walk_stands_small_pieces_lost_reservations_and_records_of_no_interest() {
        let other = vec![2, 0, 0x51, 0x12, 3, 1, 2, 3];
        for (most, losses) in [(100, 0), (16, 2), (5, limits::RESERVATIONS_LOST_MAX)] {
            let records = vec![record(), other.clone(), record()];
            let found = walk(Repository { records, most, losses, reservation: 0 }).unwrap();
            assert_eq!((found.len(), found[0].name.as_str()), (2, "Inlet"));
        }
        let never = Repository { records: vec![record()], most: 100, losses: u32::MAX, reservation: 0 };
        assert_eq!(walk(never).unwrap_err(), Fault::Nonsense("a sensor repository that somebody else keeps changing"));
        assert_eq!(walk(Repository { records: vec![], most: 9, losses: 0, reservation: 0 }), Ok(vec![]));
        let endless = Repository { records: vec![record(); 40_000], most: 64, losses: 0, reservation: 0 };
        assert_eq!(walk(endless).unwrap().len(), limits::SENSOR_RECORDS_MAX);
    }

    proptest! {
        #[test]
        fn reading_is_total(noise in proptest::collection::vec(any::<u8>(), 0..80), kind: u8, reading_type: u8, code: u8) {
            let mut bytes = noise.clone();
            for (at, byte) in [(3, FULL), (12, kind), (13, reading_type)] {
                if let Some(slot) = bytes.get_mut(at) {
                    *slot = byte;
                }
            }
            let _ = (read_stamp(&noise), read_reservation(&noise), read_power(&noise), sensor(&noise));
            if let Some(sensor) = sensor(&bytes) {
                let _ = (sensor.is_wanted(), sensor.read(&noise), sensor.read(&bytes));
            }
            let mut walk = Walk::default();
            for _ in 0..30 {
                if walk.ask().is_none() {
                    break;
                }
                let _ = walk.take(&Reply { code: code & 0x0f, data: noise.clone() });
            }
        }

        #[test]
        fn any_formula_gives_a_number_or_none(formula: [u8; 10], raw: u8) {
            prop_assert!(Formula::read(&formula).unwrap().value(raw).is_none_or(f64::is_finite));
        }
    }
}
