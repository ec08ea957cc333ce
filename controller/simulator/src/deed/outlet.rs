//! What happens to outlets, as data. An outlet is told by the machine that hangs there. Must never tell of a relay but by a hand at its unit.

use super::{read_span, span};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;
use vocabulary::MachineId;
use world::outlet::Quirk;

/// The outlets of a machine: that of one power supply, or all.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Cords {
    /// The machine.
    pub machine: MachineId,
    /// The power supply, from 1; none stands for all.
    pub supply: Option<u8>,
}

/// See [`Deed::Outlet`](super::Deed::Outlet).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ToOutlet {
    /// Its unit is told to switch it on.
    On,
    /// Its unit is told to switch it off.
    Off,
    /// A switching of it takes so long from now on.
    Takes(Duration),
    /// It has this quirk from now on.
    Has(Quirk),
    /// It has no quirks any more.
    Well,
}

impl fmt::Display for Cords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.supply {
            Some(supply) => write!(f, "{}/{supply}", self.machine),
            None => write!(f, "{}", self.machine),
        }
    }
}

impl FromStr for Cords {
    type Err = ();

    fn from_str(text: &str) -> Result<Cords, ()> {
        let (machine, supply) = match text.split_once('/') {
            Some((machine, supply)) => (machine, Some(supply.parse().map_err(drop)?)),
            None => (text, None),
        };
        Ok(Cords { machine: machine.parse().map_err(drop)?, supply })
    }
}

impl fmt::Display for ToOutlet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ToOutlet::On => f.write_str("on"),
            ToOutlet::Off => f.write_str("off"),
            ToOutlet::Takes(time) => write!(f, "takes {}", span(*time)),
            ToOutlet::Has(quirk) => write!(f, "has {quirk}"),
            ToOutlet::Well => f.write_str("well"),
        }
    }
}

/// What was written.
pub(super) fn read(words: &[&str]) -> Option<ToOutlet> {
    Some(match words {
        ["on"] => ToOutlet::On,
        ["off"] => ToOutlet::Off,
        ["takes", time] => ToOutlet::Takes(read_span(time)?),
        ["has", quirk @ ..] => ToOutlet::Has(quirk.join(" ").parse().ok()?),
        ["well"] => ToOutlet::Well,
        _ => return None,
    })
}
