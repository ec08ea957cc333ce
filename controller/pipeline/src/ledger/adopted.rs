//! How an adoption is folded: a restored store's rows become what the agents say. Total, and decides nothing.

use super::{Ledger, Overruled, Placement, Restored, Standing};
use crate::adoption::{Adoption, Barred, Kept, Placed};
use crate::record::Consent;
use vocabulary::{MachineId, OpId, PlanId, ServerId, WallTime};

impl Ledger {
    /// From here on it is a backup.
    pub(super) fn apply_restored(&mut self, entries: u64, taken: WallTime) {
        self.restored = Some(Restored { entries, taken });
        // a word is about what was so when it was given, and who knows what was done since
        self.consents.clear();
        self.cold_starts.retain(|_, start| start.ended.is_some());
    }

    /// Why this store takes nothing upon itself, if so: it came from a backup, and nobody has had it adopted.
    pub fn unadopted(&self) -> Option<String> {
        let from = self.restored.as_ref()?;
        Some(format!(
            "this store was restored from a backup of {} entries, and agents may know what happened since",
            from.entries
        ))
    }

    /// Whether there is something to adopt: the store was restored, or an agent was not heard when it was adopted.
    pub fn has_to_adopt(&self) -> bool {
        self.restored.is_some() || self.overruled.values().any(|row| row.until_seeded)
    }

    /// The server that a machine may bear without anybody knowing, if there is one.
    pub fn may_bear(&self, machine: &MachineId) -> Option<&ServerId> {
        self.unclear.iter().find(|(_, machines)| machines.contains(machine)).map(|(server, _)| server)
    }

    /// Folds one in.
    pub(super) fn apply_adopted(&mut self, adoption: &Adoption) {
        self.epoch = self.epoch.max(adoption.counter);
        if self.restored.take().is_some() {
            // what was under way when the backup was taken is long over, or is another's by now
            self.orders.clear();
        }
        self.consents.retain(|given| !matches!(given.to, Consent::Adopt { .. }));
        for (machine, pool) in &adoption.freed {
            for row in self.servers.values_mut() {
                row.past.remove(machine);
            }
            let row = self.machine(machine);
            (row.standing, row.cut, row.outlets_cut) = (Standing::Free, None, None);
            row.pool = pool.clone().or(row.pool.take());
        }
        for server in &adoption.settled {
            self.unclear.remove(server);
        }
        for placed in &adoption.placed {
            self.apply_placed(placed);
        }
        for (server, undecided) in &adoption.undecided {
            self.unclear.insert(server.clone(), undecided.may_be_on.clone());
            let elsewhere =
                self.placement(server).filter(|placed| self.standing(&placed.machine) != Standing::Bearing(server.clone()));
            if elsewhere.is_some() {
                // where this store had it is another one by now
                self.volumes.retain(|_, (owner, ..)| owner != server);
                self.server(server).placement = None;
            }
            self.server(server).past.extend(undecided.may_be_on.iter().cloned());
        }
        for barred in &adoption.barred {
            self.apply_barred(barred);
        }
        for (machine, epoch) in &adoption.outlets {
            self.machine(machine).outlets_cut = Some(PlanId(*epoch));
        }
        for Kept { agent, resource, epoch } in &adoption.kept {
            let known = self.confirmed.entry((agent.clone(), resource.clone())).or_default();
            *known = (*known).max(OpId { epoch: *epoch, number: 0 });
        }
        let heard = adoption
            .heard
            .iter()
            .map(|agent| (agent, "what it keeps was adopted, and it does not obey this store yet".to_owned()));
        let absent =
            adoption.absent.iter().map(|(agent, why)| (agent, format!("it was not heard when this store was adopted: {why}")));
        for (agent, evidence) in heard.chain(absent) {
            let row = Overruled { drawn: adoption.counter, store: None, rival: None, evidence, until_seeded: true };
            self.overruled.insert(agent.clone(), row);
        }
    }

    fn apply_placed(&mut self, placed: &Placed) {
        let Placed { server, machine, epoch, volumes, basis, .. } = placed;
        // whatever it bore by this store, it was released since: nothing is given to a machine before that
        for row in self.servers.values_mut() {
            row.past.remove(machine);
        }
        let of_basis = basis.machines.get(machine).cloned();
        let row = self.machine(machine);
        (row.standing, row.cut) = (Standing::Bearing(server.clone()), None);
        row.basis = of_basis.or(row.basis.take());
        let row = self.server(server);
        row.placement = Some(Placement { machine: machine.clone(), epoch: *epoch });
        row.past.insert(machine.clone());
        row.basis = basis.server.clone().or(row.basis.take());
        (row.heard, row.suspected, row.verdict, row.held, row.proposed) = (None, None, None, None, None);
        self.volumes.retain(|_, (owner, ..)| owner != server);
        for volume in volumes {
            self.volumes.insert(volume.clone(), (server.clone(), machine.clone(), *epoch));
        }
    }

    fn apply_barred(&mut self, barred: &Barred) {
        let row = self.machine(&barred.machine);
        row.basis = barred.basis.machines.get(&barred.machine).cloned().or(row.basis.take());
        match (&row.standing, barred.bears) {
            (Standing::Bearing(_), true) => row.cut = Some(barred.epoch),
            _ => row.standing = Standing::Quarantined { server: barred.server.clone(), plan: PlanId(barred.epoch) },
        }
    }
}
