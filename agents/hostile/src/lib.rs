//! Hostile bytes for every decoder that the network feeds: mutated, counted, timed, and each failure kept as a file that replays it.
//! For tests and fuzzers alone. Must never import a crate of ours, pass a decoder that no input got into, nor lose the input that failed.
//!
//! A crate states its decoders once, as [`Group`]s: one line each. A unit test runs a group here, on stable, for ten seconds; the fuzz
//! targets in `hw-fixtures/fuzz` run the same lines under libFuzzer. Both begin with the files in `tests/corpus/<group>` of that crate.

mod corpus;
pub mod limits;
mod memory;
mod mutate;
mod numbers;
mod run;
#[cfg(test)]
mod tests;

pub use corpus::capture;
pub use memory::Counting;
pub use numbers::Numbers;
pub use run::run;

/// One decoder, with the laws that hold for it.
#[derive(Clone, Copy)]
pub struct Decoder {
    /// For people.
    pub name: &'static str,
    /// Decodes; panics where a law is broken. True if the input got in: past the outer shell, to a value.
    pub decode: fn(&[u8]) -> bool,
}

/// Decoders that are given the same inputs, together for ten seconds.
#[derive(Clone, Copy)]
pub struct Group {
    /// Name of its corpus folder and of its fuzz target.
    pub name: &'static str,
    /// Where the crate is: `env!("CARGO_MANIFEST_DIR")`.
    pub home: &'static str,
    /// No input is longer, bytes.
    pub input_max: usize,
    /// What decoding one input may hold at once, bytes.
    pub memory_max: usize,
    /// What is written into inputs now and then: words of the protocol.
    pub words: &'static [&'static [u8]],
    /// The decoders, a line each.
    pub decoders: &'static [Decoder],
}

impl Group {
    /// Gives one input to every decoder: what a fuzz target does.
    pub fn feed(&self, input: &[u8]) {
        if input.len() <= self.input_max {
            for decoder in self.decoders {
                let _ = (decoder.decode)(input);
            }
        }
    }
}

/// The line of a decoder: `decoder("name", function)`.
pub const fn decoder(name: &'static str, decode: fn(&[u8]) -> bool) -> Decoder {
    Decoder { name, decode }
}
