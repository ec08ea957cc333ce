//! Inventory, sensors, event log and watchdog under hostile bytes: single records, and whole walks whose every answer is made up.
//! Must never let a walk go on for longer than its limits say, whatever the BMC answers.

use hostile::{Decoder, decoder};

use crate::ipmi::session::Reply;
use crate::ipmi::{fru, log, sensors, watchdog};
use crate::limits;

/// As many questions as any walk may come to: each record in the smallest pieces, and what may be lost on the way.
const QUESTIONS_MAX: usize = limits::SENSOR_RECORDS_MAX * 256 / limits::IPMI_PIECE_MIN + 1_024;

/// The decoders.
pub const RECORDS: &[Decoder] = &[
    decoder("size of an inventory", |input| fru::read_size(input).is_some()),
    decoder("area of an inventory", area),
    decoder("field of an inventory", field),
    decoder("sensor record", sensor),
    decoder("power reading", |input| sensors::read_power(input).is_some()),
    decoder("watchdog", |input| watchdog::read(input).is_some_and(|timer| !timer.shown().is_empty())),
    decoder("log entry", entry),
    decoder("walk through an inventory", inventory),
    decoder("walk through the sensors", walk),
    decoder("walk through the log", look),
];

/// An area whose checksum is right, or no mutation would get further.
fn area(input: &[u8]) -> bool {
    let mut bytes = input.to_vec();
    let length = fru::length(input).unwrap_or(0);
    if let Some((last, rest)) = bytes.get_mut(..length).and_then(<[u8]>::split_last_mut) {
        *last = rest.iter().fold(0u8, |sum, byte| sum.wrapping_sub(*byte));
    }
    let told = fru::Area::ALL.map(|area| fru::texts(area, &bytes));
    for texts in told.iter().flatten() {
        for text in [&texts.maker, &texts.name, &texts.part, &texts.serial] {
            assert!(is_clean(text), "{text:?}");
        }
    }
    told.iter().any(Option::is_some)
}

fn field(input: &[u8]) -> bool {
    let Some(text) = fru::field(input) else { return false };
    assert!(is_clean(&text), "{text:?}");
    true
}

fn is_clean(text: &str) -> bool {
    text.chars().count() <= limits::TEXT_MAX && !text.chars().any(char::is_control)
}

/// A record, and behind it a reading of that sensor.
fn sensor(input: &[u8]) -> bool {
    let Some(sensor) = sensors::sensor(input) else { return false };
    let _ = sensor.is_wanted();
    for reading in [input, input.get(1..).unwrap_or_default(), &[]] {
        assert!(!sensor.read(reading).value.is_empty());
    }
    true
}

fn entry(input: &[u8]) -> bool {
    input.first_chunk::<16>().map(log::entry).is_some()
}

/// The answers of a script: a code, a length, so many bytes; then nothing but the last one again.
struct Answers<'a> {
    rest: &'a [u8],
    last: Reply,
}

impl<'a> Answers<'a> {
    fn new(rest: &'a [u8]) -> Answers<'a> {
        Answers { rest, last: Reply { code: 0xff, data: Vec::new() } }
    }

    fn next(&mut self) -> Reply {
        if let [code, length, rest @ ..] = self.rest {
            let (data, rest) = rest.split_at(usize::from(*length).min(rest.len()));
            self.last = Reply { code: *code, data: data.to_vec() };
            self.rest = rest;
        }
        self.last.clone()
    }
}

fn inventory(input: &[u8]) -> bool {
    let ([low, high, unit, piece, ..], Some(script)) = (*input.first_chunk::<5>().unwrap_or(&[0; 5]), input.get(4..)) else {
        return false;
    };
    let Some(size) = fru::read_size(&[low, high, unit & 1]) else { return false };
    let mut answers = Answers::new(script);
    let mut reader = fru::Reader::over(size, usize::from(low)..usize::from(low) + 64, usize::from(piece));
    for _ in 0..limits::INVENTORY_QUESTIONS_MAX {
        if reader.ask().is_none() {
            return reader.done().0.len() <= 64;
        }
        if reader.take(&answers.next()).is_err() {
            return false;
        }
    }
    false
}

fn walk(input: &[u8]) -> bool {
    let (mut walk, mut answers) = (sensors::Walk::default(), Answers::new(input));
    let mut questions = 0;
    while walk.ask().is_some() {
        if walk.take(&answers.next()).is_err() {
            return false;
        }
        questions += 1;
        assert!(questions < QUESTIONS_MAX, "a walk without an end");
    }
    true
}

/// Looked at twice: what is known from the first look meets another log.
fn look(input: &[u8]) -> bool {
    let (mut known, mut answers, mut whole) = (log::Follower::default(), Answers::new(input), false);
    for _ in 0..2 {
        let mut look = known.look();
        let mut questions = 0;
        while look.ask().is_some() {
            if look.take(&answers.next()).is_err() {
                return whole;
            }
            questions += 1;
            assert!(questions < QUESTIONS_MAX, "a look without an end");
        }
        known = look.done().0;
        assert!(known.entries().count() <= limits::LOG_KEPT);
        whole = true;
    }
    whole
}
