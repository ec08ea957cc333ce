//! Chance with a name: every kind of thing draws from a stream of its own, so that one draw more in one kind changes nothing in another,
//! and the same seed tells the same story. It must never draw from the machine unless it is told to.

use rand::rngs::StdRng;
use rand::{Rng as _, RngCore as _, SeedableRng as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// One stream. Clones draw from the same.
#[derive(Clone, Debug)]
pub struct Dice(Arc<Mutex<StdRng>>);

impl Dice {
    /// The stream of this kind of thing in the world of this seed.
    pub fn of(seed: u64, kind: &str) -> Dice {
        // FNV-1a (Fowler, Noll, Vo), 64 bits: a kind's name is no secret, it only has to lead elsewhere than the others'
        let hash = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        let kind = kind.as_bytes().iter().fold(0xcbf2_9ce4_8422_2325, hash);
        let mut bytes = [0; 32];
        for (place, byte) in bytes.iter_mut().zip([seed.to_le_bytes(), kind.to_le_bytes()].concat()) {
            *place = byte;
        }
        Dice(Arc::new(Mutex::new(StdRng::from_seed(bytes))))
    }

    /// A stream that nobody can foretell, for equipment in a program of its own.
    #[expect(clippy::disallowed_methods, reason = "who asks for this wants the machine's")]
    pub fn of_the_machine() -> Dice {
        Dice(Arc::new(Mutex::new(StdRng::from_os_rng())))
    }

    fn stream(&self) -> MutexGuard<'_, StdRng> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True so often in a million.
    pub fn in_a_million(&self, times: u32) -> bool {
        times > 0 && self.stream().random_range(0..1_000_000) < times
    }

    /// A number from the least to the most, both included; the least where that is not below the most.
    pub fn between(&self, least: u64, most: u64) -> u64 {
        if least < most { self.stream().random_range(least..=most) } else { least }
    }

    /// A duration from the least to the most, in whole milliseconds.
    pub fn duration(&self, least: Duration, most: Duration) -> Duration {
        let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(self.between(ms(least), ms(most)))
    }

    /// One of these; `None` of nothing.
    pub fn pick<'a, T>(&self, of: &'a [T]) -> Option<&'a T> {
        let last = u64::try_from(of.len().checked_sub(1)?).ok()?;
        of.get(usize::try_from(self.between(0, last)).ok()?)
    }

    /// So many bytes.
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.fill(&mut bytes);
        bytes
    }

    /// Fills bytes.
    pub fn fill(&self, bytes: &mut [u8]) {
        self.stream().fill_bytes(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn draws(dice: &Dice) -> Vec<u64> {
        (0..50).map(|_| dice.between(0, u64::MAX)).collect()
    }

    proptest! {
        #[test]
        fn a_seed_and_a_kind_tell_one_story(seed: u64) {
            prop_assert_eq!(draws(&Dice::of(seed, "loss")), draws(&Dice::of(seed, "loss")));
            prop_assert_ne!(draws(&Dice::of(seed, "loss")), draws(&Dice::of(seed, "delay")));
            prop_assert_ne!(draws(&Dice::of(seed, "loss")), draws(&Dice::of(seed.wrapping_add(1), "loss")));
        }

        #[test]
        fn bounds_are_bounds(seed: u64, least: u64, most: u64) {
            let drawn = Dice::of(seed, "bounds").between(least, most);
            prop_assert!(drawn >= least && drawn <= most.max(least));
        }
    }

    #[test]
    fn never_is_never_and_always_is_always() {
        let dice = Dice::of(1, "odds");
        assert!((0..1_000).all(|_| !dice.in_a_million(0) && dice.in_a_million(1_000_000)));
        let often = (0..10_000).filter(|_| dice.in_a_million(250_000)).count();
        assert!((2_200..2_800).contains(&often), "{often}");
        assert_eq!((dice.pick::<u8>(&[]), dice.pick(&[7])), (None, Some(&7)));
    }
}
