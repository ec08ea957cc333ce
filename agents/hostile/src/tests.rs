//! The assault can fail: a planted panic, a planted hunger, a planted sloth and a decoder that nothing gets into are each found.

use std::panic::catch_unwind;
use std::time::Duration;

use crate::run::run_for;
use crate::{Counting, Decoder, Group, decoder, limits};

#[global_allocator]
static COUNTING: Counting = Counting;

/// A length that is believed: what every decoder here must not do.
fn believes_lengths(input: &[u8]) -> bool {
    let [length, rest @ ..] = input else { return false };
    let _ = &rest[..usize::from(*length)];
    true
}

fn hungry(input: &[u8]) -> bool {
    let [a, b, c, ..] = input else { return false };
    let asked = usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c);
    !Vec::<u8>::with_capacity(asked).is_empty() || asked > 0
}

fn slow(input: &[u8]) -> bool {
    if input.first() == Some(&0xff) {
        std::thread::sleep(limits::INPUT * 2);
    }
    true
}

fn contains_its_panics(input: &[u8]) -> bool {
    catch_unwind(|| believes_lengths(input)).is_ok()
}

fn told(decoders: &'static [Decoder]) -> String {
    with_seed(decoders, std::process::id().into())
}

fn with_seed(decoders: &'static [Decoder], seed: u64) -> String {
    let (home, words): (_, &[&[u8]]) = (env!("CARGO_MANIFEST_DIR"), &[b"word"]);
    let group = Group { name: "planted", home, input_max: 256, memory_max: 100_000, words, decoders };
    match catch_unwind(|| run_for(&group, Duration::from_secs(1), seed)) {
        Ok(()) => String::new(),
        Err(panic) => panic.downcast_ref::<String>().cloned().unwrap_or_default(),
    }
}

#[test]
fn a_planted_panic_is_found_and_made_small() {
    let told = told(const { &[decoder("trusts", believes_lengths)] });
    assert!(told.contains("planted: `trusts` panicked at ") && told.contains("src/tests.rs"), "{told}");
    assert!(told.contains("1 of them are enough"), "{told}");
}

#[test]
fn the_same_seed_finds_the_same_input() {
    const DECODERS: &[Decoder] = &[decoder("trusts", |input| input.len() != 77 || believes_lengths(&input[..1]))];
    let (one, again) = (with_seed(DECODERS, 7), with_seed(DECODERS, 7));
    assert!(one.contains("`trusts` panicked") && one == again, "{one}\n{again}");
    assert_ne!(one, with_seed(DECODERS, 8));
}

#[test]
fn a_planted_hunger_is_found() {
    let told = told(const { &[decoder("hungry", hungry)] });
    assert!(told.contains("bytes at once, 100000 are allowed"), "{told}");
}

#[test]
fn a_planted_sloth_is_found() {
    let told = told(const { &[decoder("slow", slow)] });
    assert!(told.contains("`slow` took "), "{told}");
}

#[test]
fn a_decoder_that_nothing_gets_into_fails_the_run_and_a_contained_panic_does_not() {
    let told = told(const { &[decoder("contains", contains_its_panics), decoder("deaf", |_| false)] });
    assert!(told.contains("none got into `deaf`"), "{told}");
}
