//! The light by which a person finds a machine in its rack. It bears on nothing else.

use serde::{Deserialize, Serialize};
use std::num::NonZeroU8;

/// What the identify light is to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Light {
    /// Out.
    Off,
    /// On until it is switched off.
    Steady,
    /// On for so many seconds.
    Seconds(NonZeroU8),
}

/// What it reads.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LightReading {
    /// Out.
    Off,
    /// On until it is switched off.
    Steady,
    /// On, and going out by itself.
    ForAWhile,
    /// The BMC does not tell.
    Unknown,
}

impl LightReading {
    /// True if this is what was asked for. A BMC without a steady light lights it for a while, which is told.
    pub fn fits(self, light: Light) -> bool {
        match light {
            Light::Off => self == LightReading::Off,
            Light::Steady | Light::Seconds(_) => matches!(self, LightReading::Steady | LightReading::ForAWhile),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_light_that_nobody_tells_of_fits_nothing() {
        let minute = Light::Seconds(NonZeroU8::new(60).unwrap());
        for light in [Light::Off, Light::Steady, minute] {
            assert!(!LightReading::Unknown.fits(light));
            assert_eq!(LightReading::Off.fits(light), light == Light::Off);
        }
        assert_eq!(serde_json::to_string(&minute).unwrap(), r#"{"seconds":60}"#);
        assert!(serde_json::from_str::<Light>(r#"{"seconds":0}"#).is_err(), "0 seconds would be out");
    }
}
