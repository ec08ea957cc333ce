//! How often each source of facts was looked at, and when it was blind. A judge that slept must say so.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::fact::Ns;
use crate::limits::{BLIND_AFTER_NS, BLIND_MAX, SECOND_NS};

/// A source of facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// The switch's own report of its ports.
    Switch,
    /// The target daemon.
    Target,
    /// Permit files and consoles.
    Files,
    /// The machines' parent, which tells power as it changes; its samples only say that it is heard.
    Power,
    /// Frames in the production network.
    Production,
    /// Frames in the storage network.
    Storage,
}

/// Those that are looked at by a clock; the others tell changes as they happen (the switch's report also repeats itself by a clock).
pub const SAMPLED: [Source; 2] = [Source::Target, Source::Files];
/// Those that must not be silent.
const WATCHED: [Source; 4] = [Source::Switch, Source::Target, Source::Files, Source::Power];

#[derive(Debug, Clone, Default)]
struct Heard {
    count: u64,
    first_ns: Ns,
    last_ns: Ns,
    longest_ns: Ns,
    blind: Vec<(Ns, Ns)>,
}

/// All sources.
#[derive(Debug, Clone)]
pub struct Samples {
    start_ns: Ns,
    sources: BTreeMap<Source, Heard>,
}

/// One source in a verdict.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Rate {
    /// Samples a second.
    pub per_s: f64,
    /// The longest time without one, in milliseconds.
    pub longest_gap_ms: u64,
}

impl Samples {
    /// Nothing was looked at yet.
    #[must_use]
    pub fn from(start_ns: Ns) -> Self {
        Self { start_ns, sources: BTreeMap::new() }
    }

    /// This source was looked at (or told something) then.
    pub fn note(&mut self, source: Source, at_ns: Ns) {
        let start_ns = self.start_ns;
        let heard =
            self.sources.entry(source).or_insert_with(|| Heard { first_ns: at_ns, last_ns: start_ns, ..Heard::default() });
        let gap_ns = at_ns.saturating_sub(heard.last_ns);
        // what there was before the first look is told apart, with the gap from the start
        if heard.count > 0 {
            heard.longest_ns = heard.longest_ns.max(gap_ns);
        }
        if gap_ns > BLIND_AFTER_NS && heard.blind.len() < BLIND_MAX {
            heard.blind.push((heard.last_ns, at_ns));
        }
        heard.count += 1;
        heard.last_ns = heard.last_ns.max(at_ns);
    }

    /// Every source's rate.
    #[must_use]
    pub fn rates(&self, end_ns: Ns) -> BTreeMap<Source, Rate> {
        let rate = |heard: &Heard| {
            let time_ns = end_ns.saturating_sub(heard.first_ns).max(1);
            #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
            let per_s = (heard.count as f64 * SECOND_NS as f64 / time_ns as f64 * 10.0).round() / 10.0;
            Rate { per_s, longest_gap_ms: heard.longest_ns.max(end_ns.saturating_sub(heard.last_ns)) / 1_000_000 }
        };
        self.sources.iter().map(|(source, heard)| (*source, rate(heard))).collect()
    }

    /// The rate of the slowest source that is looked at by a clock; 0 if one was never heard.
    #[must_use]
    pub fn slowest(&self, end_ns: Ns) -> f64 {
        let rates = self.rates(end_ns);
        SAMPLED.iter().map(|source| rates.get(source).map_or(0.0, |rate| rate.per_s)).fold(f64::INFINITY, f64::min)
    }

    /// When sources were silent for too long.
    #[must_use]
    pub fn blind(&self, end_ns: Ns) -> Vec<(Source, Ns, Ns)> {
        let mut all = Vec::new();
        for source in WATCHED {
            let (last_ns, times) =
                self.sources.get(&source).map_or((self.start_ns, [].as_slice()), |heard| (heard.last_ns, heard.blind.as_slice()));
            all.extend(times.iter().map(|(from, until)| (source, *from, *until)));
            if end_ns.saturating_sub(last_ns) > BLIND_AFTER_NS {
                all.push((source, last_ns, end_ns));
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::MILLISECOND_NS;

    #[test]
    fn rates_and_silences_are_told() {
        let mut samples = Samples::from(0);
        for turn in 0..100 {
            samples.note(Source::Target, turn * 50 * MILLISECOND_NS);
            if turn % 2 == 0 {
                samples.note(Source::Files, turn * 50 * MILLISECOND_NS);
            }
            samples.note(Source::Power, turn * 50 * MILLISECOND_NS);
            if !(20..50).contains(&turn) {
                samples.note(Source::Switch, turn * 50 * MILLISECOND_NS);
            }
        }
        let end = 5 * SECOND_NS;
        assert!((samples.rates(end)[&Source::Target].per_s - 20.0).abs() < 0.3);
        assert!((samples.slowest(end) - 10.0).abs() < 0.3);
        assert_eq!(samples.blind(end), [(Source::Switch, 950 * MILLISECOND_NS, 2500 * MILLISECOND_NS)]);
        assert_eq!(samples.rates(end)[&Source::Switch].longest_gap_ms, 1550);
    }

    #[test]
    fn a_source_that_was_never_heard_is_blind_from_the_start() {
        let samples = Samples::from(7);
        assert_eq!(samples.blind(2 * SECOND_NS).len(), WATCHED.len());
        assert!(samples.slowest(2 * SECOND_NS).abs() < f64::EPSILON);
    }
}
