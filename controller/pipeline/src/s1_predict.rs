//! Stage 1, beside: what a machine's BMC tells of failures to come. It proposes that a person moves the server, and puts such a spare behind
//! others; it never concludes that a machine is dead, and nothing is ever cut off by it.

use crate::out::Out;
use crate::record::Fact;
use crate::state::State;
use std::collections::BTreeMap;
use vocabulary::MachineId;

/// Signs that were told are over when so many looks in a row find fewer.
const LOOKS_WITHOUT: u32 = 2;
/// As what a sign begins that is worse than another; one that becomes so is news.
const GRAVE: &str = "Critical";

/// Folds a look in: the signs that it found, by name, with what was told of each. What is measured changes at every look, so a look that
/// finds the same names is no news.
pub fn looked(state: &mut State, out: &mut Out, machine: &MachineId, signs: &BTreeMap<String, String>) {
    if !state.estate.machines.contains_key(machine) {
        return;
    }
    let watch = state.watch.machines.entry(machine.clone()).or_default();
    let known = state.ledger.foretold.get(machine);
    let is_known = |(name, told): (&String, &String)| {
        known.and_then(|row| row.signs.get(name)).is_some_and(|before| before.starts_with(GRAVE) || !told.starts_with(GRAVE))
    };
    if !signs.iter().all(is_known) {
        watch.looks_without = 0;
        return out.record(&mut state.ledger, Fact::Foretold { machine: machine.clone(), signs: signs.clone() });
    }
    if known.is_none_or(|row| row.signs.len() == signs.len()) {
        watch.looks_without = 0;
        return;
    }
    watch.looks_without = watch.looks_without.saturating_add(1);
    if watch.looks_without >= LOOKS_WITHOUT {
        watch.looks_without = 0;
        out.record(&mut state.ledger, Fact::Foretold { machine: machine.clone(), signs: signs.clone() });
    }
}
