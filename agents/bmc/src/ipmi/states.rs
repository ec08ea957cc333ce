//! The words for what discrete sensors and the event log report by number, as far as they bear on a machine that dies: power unit, power
//! supply, processor, memory, watchdog, stops of the operating system.
//! Must never name a state that the specification leaves open: what is not in the tables is told by its number.

/// How bad something is, in the words of a health roll-up.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Severity {
    /// As it should be.
    Fine,
    /// It works, and somebody should look.
    Warning,
    /// It does not work, or will not for long.
    Critical,
}

impl Severity {
    /// For people.
    pub fn word(self) -> &'static str {
        match self {
            Severity::Fine => "OK",
            Severity::Warning => "Warning",
            Severity::Critical => "Critical",
        }
    }
}

/// Sensor types of IPMI 2.0 (table 42-3).
pub mod kind {
    pub const TEMPERATURE: u8 = 0x01;
    pub const PROCESSOR: u8 = 0x07;
    pub const POWER_SUPPLY: u8 = 0x08;
    pub const POWER_UNIT: u8 = 0x09;
    pub const MEMORY: u8 = 0x0c;
    pub const CRITICAL_INTERRUPT: u8 = 0x13;
    pub const SYSTEM_BOOT: u8 = 0x1d;
    pub const OS_STOP: u8 = 0x20;
    pub const WATCHDOG: u8 = 0x23;
    pub const MANAGEMENT: u8 = 0x28;
}

/// Reading types: thresholds, a state of redundancy, and the states that belong to the sensor's type.
pub const THRESHOLD: u8 = 0x01;
pub const REDUNDANCY: u8 = 0x0b;
pub const SPECIFIC: u8 = 0x6f;

/// What a state means, and how bad it is while it lasts; `None` for a state of which nothing is known.
pub fn state(kind: u8, reading_type: u8, offset: u8) -> Option<(&'static str, Severity)> {
    match (reading_type, kind) {
        (THRESHOLD, _) => threshold(offset),
        (REDUNDANCY, _) => redundancy(offset),
        (SPECIFIC, kind::POWER_SUPPLY) => power_supply(offset),
        (SPECIFIC, kind::POWER_UNIT) => power_unit(offset),
        (SPECIFIC, kind::PROCESSOR) => processor(offset),
        (SPECIFIC, kind::MEMORY) => memory(offset),
        (SPECIFIC, kind::CRITICAL_INTERRUPT) => critical_interrupt(offset),
        (SPECIFIC, kind::SYSTEM_BOOT) => system_boot(offset),
        (SPECIFIC, kind::OS_STOP) => os_stop(offset),
        (SPECIFIC, kind::WATCHDOG) => watchdog(offset),
        (SPECIFIC, kind::MANAGEMENT) => management(offset),
        _ => None,
    }
}

use Severity::{Critical, Fine, Warning};

type State = Option<(&'static str, Severity)>;

/// The events of thresholds: going low or going high at each of six.
fn threshold(offset: u8) -> State {
    Some(match offset {
        0x00 | 0x01 => ("below its lower non-critical limit", Warning),
        0x02 | 0x03 => ("below its lower critical limit", Critical),
        0x04 | 0x05 => ("below its lower non-recoverable limit", Critical),
        0x06 | 0x07 => ("above its upper non-critical limit", Warning),
        0x08 | 0x09 => ("above its upper critical limit", Critical),
        0x0a | 0x0b => ("above its upper non-recoverable limit", Critical),
        _ => return None,
    })
}

fn redundancy(offset: u8) -> State {
    Some(match offset {
        0x00 => ("fully redundant", Fine),
        0x01 => ("redundancy lost", Warning),
        0x02 | 0x06 | 0x07 => ("redundancy degraded", Warning),
        0x03 | 0x04 => ("not redundant, enough to run", Warning),
        0x05 => ("not redundant, too little to run", Critical),
        _ => return None,
    })
}

fn power_supply(offset: u8) -> State {
    Some(match offset {
        0x00 => ("present", Fine),
        0x01 => ("failed", Critical),
        0x02 => ("about to fail", Warning),
        0x03 => ("AC lost", Critical),
        0x04 => ("AC lost or out of range", Critical),
        0x05 => ("AC out of range", Warning),
        0x06 => ("wrongly configured", Warning),
        0x07 => ("on standby", Fine),
        _ => return None,
    })
}

fn power_unit(offset: u8) -> State {
    Some(match offset {
        0x00 => ("power off", Fine),
        0x01 => ("power cycle", Fine),
        0x02 => ("240 VA power down", Critical),
        0x03 => ("interlock power down", Critical),
        0x04 => ("AC lost", Critical),
        0x05 => ("soft power control failed", Critical),
        0x06 => ("failed", Critical),
        0x07 => ("about to fail", Warning),
        _ => return None,
    })
}

fn processor(offset: u8) -> State {
    Some(match offset {
        0x00 => ("internal error", Critical),
        0x01 => ("thermal trip", Critical),
        0x02..=0x04 => ("failed at start", Critical),
        0x05 => ("wrongly configured", Critical),
        0x06 | 0x0b => ("uncorrectable machine check", Critical),
        0x07 => ("present", Fine),
        0x08 => ("disabled", Warning),
        0x09 => ("terminator present", Fine),
        0x0a => ("throttled", Warning),
        0x0c => ("correctable machine check", Warning),
        _ => return None,
    })
}

fn memory(offset: u8) -> State {
    Some(match offset {
        0x00 => ("correctable error", Warning),
        0x01 => ("uncorrectable error", Critical),
        0x02 => ("parity error", Critical),
        0x03 => ("scrub failed", Warning),
        0x04 => ("device disabled", Warning),
        0x05 => ("too many correctable errors", Warning),
        0x06 => ("present", Fine),
        0x07 => ("wrongly configured", Warning),
        0x08 => ("spare", Fine),
        0x09 => ("throttled", Warning),
        0x0a => ("critical over-temperature", Critical),
        _ => return None,
    })
}

fn critical_interrupt(offset: u8) -> State {
    Some(match offset {
        0x00 => ("front panel NMI", Warning),
        0x01 => ("bus time-out", Critical),
        0x02 => ("I/O channel check NMI", Critical),
        0x03 => ("software NMI", Warning),
        0x04 => ("PCI parity error", Critical),
        0x05 => ("PCI system error", Critical),
        0x06 | 0x09 => ("fail-safe or bus uncorrectable error", Critical),
        0x07 | 0x0b => ("bus correctable or degraded", Warning),
        0x08 | 0x0a => ("bus fatal error", Critical),
        _ => return None,
    })
}

fn system_boot(offset: u8) -> State {
    Some(match offset {
        0x00 => ("started by power up", Fine),
        0x01 => ("started by hard reset", Fine),
        0x02 => ("started by warm reset", Fine),
        0x03 => ("PXE boot asked for", Fine),
        0x05 => ("started by run-time software", Fine),
        0x06 => ("started by the operating system", Fine),
        0x07 => ("system restart", Fine),
        _ => return None,
    })
}

fn os_stop(offset: u8) -> State {
    Some(match offset {
        0x00 => ("critical stop during load", Critical),
        0x01 => ("critical stop at run time (panic)", Critical),
        0x02 => ("stopped in order", Fine),
        0x03 => ("shut down in order", Fine),
        0x04 => ("shut down by the BMC's request", Fine),
        0x05 => ("the agent did not answer the shut-down request", Warning),
        _ => return None,
    })
}

fn watchdog(offset: u8) -> State {
    Some(match offset {
        0x00 => ("ran out, did nothing", Warning),
        0x01 => ("ran out: hard reset", Critical),
        0x02 => ("ran out: power down", Critical),
        0x03 => ("ran out: power cycle", Critical),
        0x08 => ("timer interrupt", Warning),
        _ => return None,
    })
}

fn management(offset: u8) -> State {
    Some(match offset {
        0x00 => ("sensor access degraded", Warning),
        0x01 => ("controller access degraded", Warning),
        0x02 => ("controller off-line", Warning),
        0x03 => ("controller unavailable", Warning),
        0x04 => ("sensor failure", Warning),
        0x05 => ("FRU failure", Warning),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_kills_a_machine_is_critical_and_what_is_open_is_not_named() {
        for (kind, offset) in [
            (kind::POWER_SUPPLY, 3),
            (kind::POWER_UNIT, 4),
            (kind::PROCESSOR, 0),
            (kind::MEMORY, 1),
            (kind::OS_STOP, 1),
            (kind::WATCHDOG, 3),
        ] {
            assert_eq!(state(kind, SPECIFIC, offset).unwrap().1, Critical, "{kind:#x} {offset}");
        }
        assert_eq!(state(kind::POWER_SUPPLY, SPECIFIC, 0).unwrap().1, Fine);
        assert_eq!(state(kind::POWER_SUPPLY, 0x03, 0), None, "a state of another reading type");
        assert_eq!(state(0xc0, SPECIFIC, 0), None, "a maker's own sensor");
        assert!((0..=255).all(|offset: u8| offset < 16 || state(kind::PROCESSOR, SPECIFIC, offset).is_none()));
    }
}
