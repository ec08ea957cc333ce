//! Time as data. Nobody reads a clock here: instants come in from the shell with each event.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::ops::{Add, Sub};

/// A point on the controller's monotonic clock, in milliseconds since its start. Never compared across restarts or processes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Instant(pub u64);

/// A length of time in milliseconds. Written with its unit: `300ms`, `10s`, `15m`, `7d`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Span(pub u64);

/// Wall-clock time in milliseconds since 1970, for people and records only; no decision is taken from it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WallTime(pub u64);

impl Instant {
    /// How long after `earlier` this is; zero if it is not after it.
    pub fn since(self, earlier: Instant) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Span> for Instant {
    type Output = Instant;
    fn add(self, span: Span) -> Instant {
        Instant(self.0.saturating_add(span.0))
    }
}

impl Sub<Instant> for Instant {
    type Output = Span;
    fn sub(self, earlier: Instant) -> Span {
        self.since(earlier)
    }
}

impl Span {
    /// From milliseconds.
    pub const fn ms(ms: u64) -> Span {
        Span(ms)
    }
    /// From seconds.
    pub const fn seconds(seconds: u64) -> Span {
        Span(seconds * 1000)
    }
    /// As seconds with fraction.
    pub fn as_seconds(self) -> f64 {
        self.0 as f64 / 1000.0
    }
    /// As the standard library's duration, for the shell's timers.
    pub const fn as_duration(self) -> std::time::Duration {
        std::time::Duration::from_millis(self.0)
    }
    /// Reads `300ms`, `10s`, `15m`, `2h`, `7d`; a fraction or a missing unit is an error.
    pub fn parse(text: &str) -> Result<Span, String> {
        let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (digits, unit) = text.split_at(split);
        let factor = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => {
                return Err(format!(
                    "`{text}` is not a length of time: write a whole number and a unit, such as 300ms, 10s, 15m, 2h or 7d"
                ));
            }
        };
        digits
            .parse::<u64>()
            .ok()
            .and_then(|n| n.checked_mul(factor))
            .map(Span)
            .ok_or_else(|| format!("`{text}` is not a length of time: write a whole number and a unit, such as 300ms or 10s"))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("0s"),
            n if n % 86_400_000 == 0 => write!(f, "{}d", n / 86_400_000),
            n if n % 3_600_000 == 0 => write!(f, "{}h", n / 3_600_000),
            n if n % 60_000 == 0 => write!(f, "{}m", n / 60_000),
            n if n % 1000 == 0 => write!(f, "{}s", n / 1000),
            n => write!(f, "{n}ms"),
        }
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Span::parse(&String::deserialize(d)?).map_err(serde::de::Error::custom)
    }
}

impl schemars::JsonSchema for Span {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Span".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "pattern": "^[0-9]+(ms|s|m|h|d)$", "description": "a length of time with its unit, such as 300ms or 10s"})
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn spans_read_back_as_written(ms in 0u64..10_000_000_000) {
            prop_assert_eq!(Span::parse(&Span(ms).to_string()), Ok(Span(ms)));
        }
        #[test]
        fn parse_is_total(text in ".{0,40}") {
            let _ = Span::parse(&text);
        }
    }

    #[test]
    fn a_missing_unit_is_an_error() {
        for bad in ["10", "", "s", "1.5s", "-1s", "10 s", "99999999999999999999d"] {
            assert!(Span::parse(bad).is_err(), "{bad}");
        }
    }
}
