//! What is wrong with an outlet's administration, by names that can be written down. Must never change what a relay does by itself.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// One quirk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Quirk {
    /// It says no to every switching.
    Refuses,
    /// It says yes and does nothing.
    Ignores,
    /// It says yes and switches the next outlet instead; behind the last comes the first.
    Another,
    /// It reads what it was told to be, not what it is.
    ReadsWish,
    /// Its meter reads zero.
    ReadsZero,
    /// Its meter reads for so long what went through before its relay moved.
    MeterLags(Duration),
    /// Every call is taken up only after this time.
    Late(Duration),
}

/// All quirks of one outlet.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Quirks {
    /// See [`Quirk::Refuses`].
    pub refuses: bool,
    /// See [`Quirk::Ignores`].
    pub ignores: bool,
    /// See [`Quirk::Another`].
    pub another: bool,
    /// See [`Quirk::ReadsWish`].
    pub reads_wish: bool,
    /// See [`Quirk::ReadsZero`].
    pub reads_zero: bool,
    /// See [`Quirk::MeterLags`].
    pub meter_lags: Duration,
    /// See [`Quirk::Late`].
    pub late: Duration,
}

impl Quirks {
    /// This one too.
    pub fn add(&mut self, quirk: Quirk) {
        match quirk {
            Quirk::Refuses => self.refuses = true,
            Quirk::Ignores => self.ignores = true,
            Quirk::Another => self.another = true,
            Quirk::ReadsWish => self.reads_wish = true,
            Quirk::ReadsZero => self.reads_zero = true,
            Quirk::MeterLags(by) => self.meter_lags = by,
            Quirk::Late(by) => self.late = by,
        }
    }
}

impl fmt::Display for Quirk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Quirk::Refuses => f.write_str("refuses"),
            Quirk::Ignores => f.write_str("ignores"),
            Quirk::Another => f.write_str("another"),
            Quirk::ReadsWish => f.write_str("reads-wish"),
            Quirk::ReadsZero => f.write_str("reads-zero"),
            Quirk::MeterLags(by) => write!(f, "meter-lags {}ms", by.as_millis()),
            Quirk::Late(by) => write!(f, "late {}ms", by.as_millis()),
        }
    }
}

/// Text that names no quirk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NoQuirk;

impl FromStr for Quirk {
    type Err = NoQuirk;

    fn from_str(text: &str) -> Result<Quirk, NoQuirk> {
        Ok(match text {
            "refuses" => Quirk::Refuses,
            "ignores" => Quirk::Ignores,
            "another" => Quirk::Another,
            "reads-wish" => Quirk::ReadsWish,
            "reads-zero" => Quirk::ReadsZero,
            other => {
                let (name, span) = other.split_once(' ').ok_or(NoQuirk)?;
                let ms = span.strip_suffix("ms").and_then(|span| span.parse().ok());
                let span = Duration::from_millis(ms.ok_or(NoQuirk)?);
                match name {
                    "late" => Quirk::Late(span),
                    "meter-lags" => Quirk::MeterLags(span),
                    _ => return Err(NoQuirk),
                }
            }
        })
    }
}
