//! Makes a story short: takes away what a breach does not need, as long as the same law is still broken. Must never call a story short that
//! it has not played.

use super::{Outcome, play};
use crate::fate::{Fate, Told};
use contract::wire::enrol::Authority;
use std::sync::Arc;

/// The shortest story that was found of an outcome with a breach: no single deed of it can be left out. At most so many worlds are played.
pub fn shrunk(outcome: Outcome, plays: usize, authority: &Arc<Authority>) -> Outcome {
    let Some(law) = outcome.breaches.first().map(|breach| breach.law.clone()) else { return outcome };
    let (mut best, mut left) = (outcome, plays);
    let mut size = best.told.fate.deeds.len().div_ceil(2).max(1);
    loop {
        let mut shorter = None;
        for from in (0..best.told.fate.deeds.len()).step_by(size) {
            if left == 0 {
                return best;
            }
            left -= 1;
            let tried = play(&without(&best.told, from, size), authority);
            if tried.breaches.iter().any(|breach| breach.law == law) {
                shorter = Some(tried);
                break;
            }
        }
        match shorter {
            Some(found) => best = found,
            None if size == 1 => return best,
            None => size = size.div_ceil(2).min(size - 1),
        }
        size = size.min(best.told.fate.deeds.len()).max(1);
        if best.told.fate.deeds.is_empty() {
            return best;
        }
    }
}

fn without(told: &Told, from: usize, count: usize) -> Told {
    let deeds = &told.fate.deeds;
    let (before, rest) = deeds.split_at(from.min(deeds.len()));
    let after = rest.get(count.min(rest.len())..).unwrap_or_default();
    Told { fate: Fate { deeds: [before, after].concat(), span: told.fate.span }, ..told.clone() }
}
