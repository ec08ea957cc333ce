//! Looks at the ports of a machine that is said to be off: what comes in there is a sign of life. It decides nothing.

use crate::effect::Agent;
use crate::out::Out;
use crate::stage::Stage;
use crate::state::State;
use crate::work::{Key, Work};
use vocabulary::MachineId;
use vocabulary::request::Action;

/// Reads each port of a machine, unless that is under way.
pub fn look(state: &mut State, work: &mut Work, out: &mut Out, machine: &MachineId) {
    for port in state.estate.machines.get(machine).map(|document| document.ports()).unwrap_or_default() {
        let key = Key::Life(machine.clone(), port.clone());
        if !work.tasks.contains_key(&key) {
            let agent = Agent::Switch(port.switch.clone());
            let sent = work.send(&mut state.ledger, out, key.clone(), agent, Stage::Fence, Action::ReadPort { port });
            if !sent {
                // an agent that may not be asked now is no look that is under way
                work.tasks.remove(&key);
            }
        }
    }
}

/// True while a look at a port of the machine is under way.
pub fn is_looked_for(work: &Work, machine: &MachineId) -> bool {
    work.tasks.keys().any(|key| matches!(key, Key::Life(of, _) if of == machine))
}
