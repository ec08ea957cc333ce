//! What a power distribution unit says of an outlet. `Unknown` is never `Off`, and what is not measured is not zero.

use crate::{OutletId, WallTime};
use serde::{Deserialize, Serialize};

/// How an outlet's relay is, as its unit tells it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Relay {
    /// Closed: what hangs there has power.
    On,
    /// Open. The only state that can be part of a proof.
    Off,
    /// A switching was accepted and is still to come.
    Switching,
    /// Not told, or not understood.
    Unknown,
}

/// What an outlet does when its unit itself loses its power and gets it back.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnReturn {
    /// It stays off until it is told: the only answer that can be part of a proof.
    StaysOff,
    /// It goes on by itself, at once or later.
    TurnsOn,
    /// It is as it was before.
    AsBefore,
    /// Not told, or not understood.
    #[default]
    Unknown,
}

/// One fresh reading of one outlet. Every field was read after the request for this reading was sent.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct OutletReading {
    /// Which.
    pub outlet: OutletId,
    /// Its relay.
    pub relay: Relay,
    /// What goes through it, watts; `None` where the unit does not measure that.
    pub watts: Option<u32>,
    /// What it does when its unit gets power back.
    pub on_return: OnReturn,
    /// When it was read, by the agent's wall clock; for people.
    pub read_at: WallTime,
}

impl OutletReading {
    /// True only if its unit says that it is off, measures that nothing goes through it, and will leave it off.
    pub fn is_cut(&self) -> bool {
        self.relay == Relay::Off && self.watts == Some(0) && self.on_return == OnReturn::StaysOff
    }

    /// What speaks against its being cut, in words; `None` if nothing does.
    pub fn not_cut(&self) -> Option<String> {
        let outlet = &self.outlet;
        match (self.relay, self.watts, self.on_return) {
            (Relay::On, ..) => Some(format!("{outlet} is still on")),
            (Relay::Switching, ..) => Some(format!("{outlet} is about to switch")),
            (Relay::Unknown, ..) => Some(format!("its unit does not tell whether {outlet} is off")),
            (Relay::Off, Some(0), OnReturn::StaysOff) => None,
            (Relay::Off, None, _) => Some(format!("its unit does not measure what goes through {outlet}")),
            (Relay::Off, Some(0), _) => Some(format!("{outlet} may go on when its unit gets power back")),
            (Relay::Off, Some(watts), _) => Some(format!("{outlet} reads off, and {watts} W go through it")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outlet_is_cut_only_if_nothing_speaks_against_it() {
        let outlet = OutletId { pdu: "pdu1".parse().unwrap_or_else(|_| unreachable!("a name")), outlet: 3 };
        let mut cut = 0;
        for relay in [Relay::On, Relay::Off, Relay::Switching, Relay::Unknown] {
            for watts in [None, Some(0), Some(1), Some(240)] {
                for on_return in [OnReturn::StaysOff, OnReturn::TurnsOn, OnReturn::AsBefore, OnReturn::Unknown] {
                    let reading = OutletReading { outlet: outlet.clone(), relay, watts, on_return, read_at: WallTime(0) };
                    assert_eq!(reading.is_cut(), reading.not_cut().is_none(), "{reading:?}");
                    cut += u32::from(reading.is_cut());
                }
            }
        }
        assert_eq!(cut, 1);
    }
}
