//! The watchdog's settings and its deadline.
//! Must never run without having been set.

use std::time::{Duration, Instant};

/// One count of the timer.
const COUNT: Duration = Duration::from_millis(100);
/// Marks in the first byte of the settings.
const DO_NOT_LOG: u8 = 0x80;
const DO_NOT_STOP: u8 = 0x40;
const RUNS: u8 = 0x40;
const USE: u8 = 0x07;
const ACTION: u8 = 0x07;

/// What happens when it runs out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Nothing but the record.
    Nothing,
    /// Reset.
    Reset,
    /// Power off.
    Off,
    /// Off and on again.
    Cycle,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Watchdog {
    timer_use: u8,
    action: u8,
    pre_timeout: u8,
    /// Uses for which it ran out.
    expired: u8,
    /// In counts.
    initial: u16,
    set: bool,
    deadline: Option<Instant>,
    /// Which setting this is: a timer of an older one does nothing.
    pub setting: u64,
    /// A timer follows this setting.
    pub followed: bool,
}

impl Watchdog {
    /// Takes new settings; it stops unless they say otherwise. False for settings that do not exist.
    pub fn set(&mut self, [timer_use, action, pre_timeout, clear, low, high]: [u8; 6], now: Instant) -> bool {
        if action & ACTION > 3 || timer_use & USE == 0 || timer_use & USE > 5 {
            return false;
        }
        let runs_on = timer_use & DO_NOT_STOP != 0 && self.deadline.is_some();
        (self.timer_use, self.action, self.pre_timeout) = (timer_use & (DO_NOT_LOG | USE), action, pre_timeout);
        self.expired &= !clear;
        (self.initial, self.set) = (u16::from_le_bytes([low, high]), true);
        self.deadline = runs_on.then(|| now + self.period());
        (self.setting, self.followed) = (self.setting + 1, false);
        true
    }

    /// Starts it, or starts it over. False if it was never set.
    pub fn kick(&mut self, now: Instant) -> bool {
        if self.set {
            self.deadline = Some(now + self.period());
        }
        self.set
    }

    /// Stops it: the machine went off.
    pub fn stop(&mut self) {
        self.deadline = None;
    }

    /// When it runs out; None: it does not run.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// It ran out: what is to be done, its bits, what it was used for, and whether that is logged.
    pub fn expire(&mut self) -> (Action, u8, u8, bool) {
        self.deadline = None;
        let timer_use = self.timer_use & USE;
        self.expired |= 1u8.checked_shl(u32::from(timer_use)).unwrap_or(0);
        let action = self.action & ACTION;
        let what = match action {
            1 => Action::Reset,
            2 => Action::Off,
            3 => Action::Cycle,
            _ => Action::Nothing,
        };
        (what, action, timer_use, self.timer_use & DO_NOT_LOG == 0)
    }

    /// What a reader is told.
    pub fn told(&self, now: Instant) -> Vec<u8> {
        let runs = if self.deadline.is_some() { RUNS } else { 0 };
        let left = self.deadline.map_or(Duration::ZERO, |at| at.saturating_duration_since(now));
        let left = u16::try_from(left.as_millis() / COUNT.as_millis()).unwrap_or(u16::MAX);
        let ([low, high], [now_low, now_high]) = (self.initial.to_le_bytes(), left.to_le_bytes());
        vec![self.timer_use | runs, self.action, self.pre_timeout, self.expired, low, high, now_low, now_high]
    }

    fn period(&self) -> Duration {
        COUNT * u32::from(self.initial)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::now;

    #[test]
    fn it_runs_only_after_it_was_set_and_kicked() {
        let (mut dog, now) = (Watchdog::default(), now());
        assert!(!dog.kick(now));
        assert!(!dog.set([0x04, 0x07, 0, 0, 10, 0], now));
        assert!(dog.set([0x04, 0x03, 0, 0, 10, 0], now) && dog.deadline().is_none());
        assert!(dog.kick(now) && dog.deadline() == Some(now + Duration::from_secs(1)));
        assert_eq!(dog.told(now), [0x44, 0x03, 0, 0, 10, 0, 10, 0]);
        assert_eq!(dog.expire(), (Action::Cycle, 3, 4, true));
        assert_eq!(dog.told(now), [0x04, 0x03, 0, 0x10, 10, 0, 0, 0]);
        assert!(dog.set([0x04, 0x00, 0, 0x10, 10, 0], now));
        assert_eq!(dog.told(now)[3], 0);
    }
}
