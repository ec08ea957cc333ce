//! Reads what goes wrong with a machine's parts, and whether that is foretold.

use super::words::{Complaint, Words};
use super::{Expectation, Step};
use crate::limits::SEEN;
use vocabulary::MachineId;
use world::bmc::Mishap;

/// `supply of m1 fails`, `supply of m1 mended`, `memory of m1 fails`.
pub fn part(part: &str, words: &mut Words<'_>) -> Result<Step, Complaint> {
    words.word("of")?;
    let machine = words.parsed("a machine")?;
    let mishap = match (part, words.need("`fails` or `mended`")?) {
        ("supply", "fails") => Mishap::SupplyFailed,
        ("supply", "mended") => Mishap::SupplyMended,
        ("memory", "fails") => Mishap::MemoryUncorrectable,
        (part, other) => return Err(format!("a {part} is not `{other}`")),
    };
    Ok(Step::Part(machine, mishap))
}

/// `a failure`, `nothing`.
pub fn foretells(machine: MachineId, words: &mut Words<'_>) -> Result<Expectation, Complaint> {
    let something = match words.need("`a failure` or `nothing`")? {
        "a" => words.word("failure").map(|()| true)?,
        "nothing" => false,
        other => return Err(format!("a machine foretells a failure or nothing, not `{other}`")),
    };
    Ok(Expectation::Foretells(machine, something, words.within(SEEN)?))
}
