//! Whether the BMC itself has just started: then it may say Off before it has found out, and its Off is not believed for a while.
//! Must never make anything but Off doubtful, and never shorten a doubt.

use std::time::{Duration, Instant};
use vocabulary::power::PowerState;

use super::view;
use crate::limits::{BMC_EARLY, BMC_START_JITTER};

/// What is known of the BMC's own start.
#[derive(Debug, Default)]
pub struct Youth {
    /// As it was told last.
    started: Option<String>,
    /// Until then its Off is not believed.
    until: Option<Instant>,
}

impl Youth {
    /// Takes in since when the BMC runs and what time it has, in its own words. True while its Off is not believed.
    pub fn is_young(&mut self, started: Option<&str>, clock: Option<&str>, now: Instant) -> bool {
        let doubt = match (&self.started, started) {
            (None, None) => Duration::ZERO,
            // it told, and does no more: a clock that was lost with the power
            (Some(_), None) => BMC_EARLY,
            (None, Some(started)) => BMC_EARLY.saturating_sub(up(started, clock).unwrap_or(BMC_EARLY)),
            (Some(before), Some(started)) if is_another(before, started) => BMC_EARLY,
            (Some(_), Some(_)) => Duration::ZERO,
        };
        if let Some(started) = started {
            self.started = Some(started.to_owned());
        }
        if !doubt.is_zero() {
            self.until = self.until.max(now.checked_add(doubt));
        }
        self.until.is_some_and(|until| now < until)
    }
}

/// Off of a young BMC is not told.
pub fn believed(power: PowerState, young: bool) -> PowerState {
    if young && power == PowerState::Off { PowerState::Unknown } else { power }
}

/// How long it runs, by its own clock; `None` where that cannot be told.
fn up(started: &str, clock: Option<&str>) -> Option<Duration> {
    let up = view::seconds(clock?)?.checked_sub(view::seconds(started)?)?;
    u64::try_from(up).ok().map(Duration::from_secs)
}

/// True if it was started in between. Some compute the time of their start from how long they run: it wavers.
fn is_another(before: &str, started: &str) -> bool {
    match (view::seconds(before), view::seconds(started)) {
        (Some(before), Some(started)) => started.abs_diff(before) > BMC_START_JITTER.as_secs(),
        _ => before != started,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = "2026-01-01T00:00:00+00:00";

    #[test]
    fn a_start_that_was_seen_makes_it_young_for_a_while() {
        let (mut youth, begun) = (Youth::default(), Instant::now());
        assert!(!youth.is_young(Some(BEFORE), None, begun));
        assert!(!youth.is_young(Some("2026-01-01T02:00:01+02:00"), None, begun), "it wavers");
        assert!(youth.is_young(Some("2026-01-02T00:00:00Z"), None, begun));
        let later = begun + BMC_EARLY / 2;
        assert!(youth.is_young(Some("2026-01-02T00:00:00Z"), None, later));
        assert!(youth.is_young(None, None, later), "it has lost its clock");
        let late = begun + BMC_EARLY + Duration::from_secs(1);
        assert!(youth.is_young(Some("2026-01-02T00:00:00Z"), None, late), "counted from then on");
        assert!(!youth.is_young(Some("2026-01-02T00:00:00Z"), None, later + BMC_EARLY));
        assert!(youth.is_young(Some("no time at all"), None, later + BMC_EARLY));
    }

    #[test]
    fn at_first_sight_its_own_clock_tells() {
        let now = Instant::now();
        let young = |started, clock| Youth::default().is_young(started, clock, now);
        assert!(young(Some(BEFORE), Some("2026-01-01T00:00:01+00:00")));
        assert!(!young(Some(BEFORE), Some("2026-01-01T01:00:00+00:00")));
        assert!(!young(Some(BEFORE), Some("2025-01-01T00:00:00+00:00")) && !young(Some(BEFORE), None) && !young(None, None));
    }

    #[test]
    fn only_off_becomes_doubtful() {
        assert_eq!(believed(PowerState::Off, true), PowerState::Unknown);
        assert_eq!(believed(PowerState::Off, false), PowerState::Off);
        assert_eq!(believed(PowerState::On, true), PowerState::On);
    }
}
