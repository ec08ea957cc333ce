//! Amounts with units: memory sizes and link speeds. A number without its unit is an error.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// An amount of memory or storage in bytes, written `64GiB`, `512MiB`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Bytes(pub u64);

/// A link speed in megabits a second, written `100M`, `25G`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Speed(pub u64);

fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let split = text.find(|c: char| !c.is_ascii_digit())?;
    let (digits, unit) = text.split_at(split);
    Some((digits.parse().ok()?, unit))
}

impl Bytes {
    /// Reads `64GiB`, `512MiB`, `1TiB`.
    pub fn parse(text: &str) -> Result<Bytes, String> {
        let bad = || format!("`{text}` is not an amount: write a whole number and KiB, MiB, GiB or TiB, such as 64GiB");
        let (n, unit) = number_and_unit(text).ok_or_else(bad)?;
        let shift = match unit {
            "KiB" => 10,
            "MiB" => 20,
            "GiB" => 30,
            "TiB" => 40,
            _ => return Err(bad()),
        };
        n.checked_mul(1 << shift).map(Bytes).ok_or_else(bad)
    }
}

impl Speed {
    /// Reads `100M`, `25G`.
    pub fn parse(text: &str) -> Result<Speed, String> {
        let bad = || format!("`{text}` is not a link speed: write a whole number and M or G, such as 25G");
        let (n, unit) = number_and_unit(text).ok_or_else(bad)?;
        match unit {
            "M" => Ok(Speed(n)),
            "G" => n.checked_mul(1000).map(Speed).ok_or_else(bad),
            _ => Err(bad()),
        }
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (shift, unit) in [(40, "TiB"), (30, "GiB"), (20, "MiB")] {
            if self.0 > 0 && self.0.is_multiple_of(1 << shift) {
                return write!(f, "{}{unit}", self.0 >> shift);
            }
        }
        write!(f, "{}KiB", self.0 >> 10)
    }
}

impl fmt::Display for Speed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 > 0 && self.0.is_multiple_of(1000) { write!(f, "{}G", self.0 / 1000) } else { write!(f, "{}M", self.0) }
    }
}

macro_rules! as_text {
    ($kind:ident, $pattern:literal) => {
        impl Serialize for $kind {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $kind {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                $kind::parse(&String::deserialize(d)?).map_err(serde::de::Error::custom)
            }
        }
        impl schemars::JsonSchema for $kind {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($kind).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({"type": "string", "pattern": $pattern})
            }
        }
    };
}
as_text!(Bytes, "^[0-9]+(KiB|MiB|GiB|TiB)$");
as_text!(Speed, "^[0-9]+(M|G)$");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_required() {
        assert_eq!(Bytes::parse("64GiB"), Ok(Bytes(64 << 30)));
        assert_eq!(Bytes::parse("64GiB").unwrap().to_string(), "64GiB");
        assert_eq!(Speed::parse("25G"), Ok(Speed(25_000)));
        for bad in ["64", "64GB", "GiB", "-1GiB", "99999999999999999TiB"] {
            assert!(Bytes::parse(bad).is_err(), "{bad}");
        }
        assert!(Speed::parse("25").is_err());
    }
}
