//! The watchdog as a fact: a machine whose operating system keeps one running may reset or power itself by its own clock.
//! Must never set, start or stop it.

use super::session::Request;

const APP: u8 = 0x06;
const GET_TIMER: u8 = 0x25;

/// Get Watchdog Timer.
pub fn ask() -> Request {
    Request { netfn: APP, command: GET_TIMER, data: Vec::new(), repeatable: true }
}

/// What happens when it runs out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// Nothing.
    Nothing,
    /// Hard reset.
    Reset,
    /// Power off.
    Off,
    /// Power off, then on again.
    Cycle,
    /// A value that the specification leaves open.
    Unknown,
}

/// The timer as it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timer {
    /// It counts down now.
    pub runs: bool,
    /// Who uses it.
    pub used_by: &'static str,
    /// What it does at the end.
    pub action: Action,
    /// From the last kick to the end, tenths of a second.
    pub period: u16,
    /// Left, tenths of a second.
    pub left: u16,
    /// It ran out in a use since this was cleared.
    pub expired: bool,
}

/// The timer, from the data of a good answer.
pub fn read(data: &[u8]) -> Option<Timer> {
    const RUNS: u8 = 0x40;
    let [used, action, _, expired, a, b, c, d] = *data.first_chunk::<8>()?;
    let used_by = match used & 0x07 {
        1 => "firmware (FRB2)",
        2 => "firmware (POST)",
        3 => "the operating system's loader",
        4 => "the operating system (SMS/OS)",
        5 => "the maker",
        _ => "nobody",
    };
    let action = match action & 0x07 {
        0 => Action::Nothing,
        1 => Action::Reset,
        2 => Action::Off,
        3 => Action::Cycle,
        _ => Action::Unknown,
    };
    let (period, left) = (u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]));
    Some(Timer { runs: used & RUNS != 0, used_by, action, period, left, expired: expired & 0x3e != 0 })
}

impl Timer {
    /// For people.
    pub fn shown(&self) -> String {
        let past = if self.expired { "; it ran out before" } else { "" };
        if !self.runs {
            return format!("not running{past}");
        }
        let (left, period) = (f64::from(self.left) / 10.0, f64::from(self.period) / 10.0);
        let action = match self.action {
            Action::Nothing => "does nothing but log",
            Action::Reset => "resets the machine",
            Action::Off => "powers the machine off",
            Action::Cycle => "powers the machine off and on: it may return by itself",
            Action::Unknown => "does something of the maker's own",
        };
        format!("running for {}: unless it is kicked within {left} s (of {period} s) it {action}{past}", self.used_by)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_running_timer_is_told_with_what_it_will_do() {
        let timer = read(&[0x44, 0x03, 0, 0x10, 0x58, 0x02, 0x2c, 0x01]).unwrap();
        assert_eq!((timer.runs, timer.action, timer.period, timer.left, timer.expired), (true, Action::Cycle, 600, 300, true));
        let shown = timer.shown();
        assert!(shown.contains("within 30 s (of 60 s)") && shown.contains("may return by itself; it ran out before"), "{shown}");
        assert_eq!(read(&[0x04, 0x03, 0, 0, 0, 0, 0, 0]).unwrap().shown(), "not running");
        assert_eq!(read(&[0x44, 0x03, 0, 0, 0, 0, 0]), None);
    }

    proptest! {
        #[test]
        fn reading_is_total(noise in proptest::collection::vec(any::<u8>(), 0..12)) {
            prop_assert_eq!(read(&noise).is_some(), noise.len() >= 8);
            prop_assert!(read(&noise).is_none_or(|timer| !timer.shown().is_empty()));
        }
    }
}
