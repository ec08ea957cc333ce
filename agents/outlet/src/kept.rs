//! What is kept of one outlet, and why a unit could not be opened. Names no driver. Must never call for a switching of an outlet that is
//! not barred.

use crate::limits::{CUT_AGAIN_PAUSE_MAX, WATCH_PERIOD};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use vocabulary::PduId;
use vocabulary::outlet::{OnReturn, OutletReading, Relay};

/// Why a unit could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("power distribution unit `{pdu}`: {reason}; correct the agent's configuration")]
pub struct OpenError {
    /// Which.
    pub pdu: PduId,
    /// What is wrong.
    pub reason: String,
}

/// What a look at a barred outlet calls for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Call {
    /// Nothing: it is cut, or all that is missing is a meter.
    Nothing,
    /// It has power: it is cut at once.
    Now,
    /// It is off, or its unit does not tell, and something else speaks against its being cut: it is cut again, but not for ever at this pace.
    InTime,
}

pub(crate) fn call(reading: &OutletReading) -> Call {
    match (reading.relay, reading.watts, reading.on_return) {
        (Relay::On, ..) => Call::Now,
        (Relay::Off, Some(0) | None, OnReturn::StaysOff) => Call::Nothing,
        _ => Call::InTime,
    }
}

/// What is held of an outlet.
#[derive(Clone, Copy, Default)]
struct Held {
    barred: bool,
    /// The pause after the last cutting again, and when that was; `None` after a look at which nothing spoke against its being cut.
    again: Option<(Instant, Duration)>,
}

/// One outlet.
#[derive(Default)]
pub(crate) struct Outlet {
    /// One change at a time, by a command or by the keeper.
    pub turn: tokio::sync::Mutex<()>,
    held: Mutex<Held>,
}

impl Outlet {
    fn held(&self) -> MutexGuard<'_, Held> {
        // one assignment each: it is whole whatever happened
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn is_barred(&self) -> bool {
        self.held().barred
    }

    /// From now on it is barred, or not.
    pub fn bar(&self, barred: bool) {
        *self.held() = Held { barred, again: None };
    }

    /// True if what was seen calls for a cutting now. Remembers that it was cut for it.
    pub fn due(&self, reading: &OutletReading) -> bool {
        let (now, mut held) = (Instant::now(), self.held());
        if !held.barred {
            return false;
        }
        match (call(reading), held.again) {
            (Call::Nothing, _) => {
                held.again = None;
                false
            }
            (Call::Now, _) => true,
            (Call::InTime, Some((at, pause))) if now < at + pause => false,
            (Call::InTime, again) => {
                let pause = again.map_or(WATCH_PERIOD, |(_, pause)| (pause * 2).min(CUT_AGAIN_PAUSE_MAX));
                held.again = Some((now, pause));
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vocabulary::{OutletId, WallTime};

    fn seen(relay: Relay, watts: Option<u32>, on_return: OnReturn) -> OutletReading {
        let outlet = OutletId { pdu: "pdu1".parse().unwrap(), outlet: 1 };
        OutletReading { outlet, relay, watts, on_return, read_at: WallTime(0) }
    }

    #[test]
    fn only_a_meter_may_be_missing() {
        for relay in [Relay::On, Relay::Off, Relay::Switching, Relay::Unknown] {
            for watts in [None, Some(0), Some(9)] {
                for on_return in [OnReturn::StaysOff, OnReturn::TurnsOn, OnReturn::AsBefore, OnReturn::Unknown] {
                    let reading = seen(relay, watts, on_return);
                    let nothing = reading.is_cut() || (relay, watts, on_return) == (Relay::Off, None, OnReturn::StaysOff);
                    assert_eq!(call(&reading) == Call::Nothing, nothing, "{reading:?}");
                    assert_eq!(call(&reading) == Call::Now, relay == Relay::On);
                }
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_cutting_does_not_mend_is_cut_ever_more_seldom_and_what_is_on_at_once() {
        let outlet = Outlet::default();
        let stubborn = seen(Relay::Off, Some(0), OnReturn::Unknown);
        assert!(!outlet.due(&stubborn) && !outlet.due(&seen(Relay::On, None, OnReturn::TurnsOn)), "it is not barred");
        outlet.bar(true);
        let (mut cuts, looks) = (0, 720);
        for _ in 0..looks {
            cuts += u32::from(outlet.due(&stubborn));
            tokio::time::sleep(WATCH_PERIOD).await;
        }
        assert!((10..=20).contains(&cuts), "{cuts} in an hour");
        assert!(
            outlet.due(&seen(Relay::On, Some(9), OnReturn::StaysOff)) && outlet.due(&seen(Relay::On, None, OnReturn::StaysOff))
        );
        assert!(!outlet.due(&seen(Relay::Off, Some(0), OnReturn::StaysOff)));
        assert!(outlet.due(&stubborn), "it was well in between");
    }
}
