//! What a store that came from a backup takes from the agents before it may act: who holds what, and what is barred. Gates remember more than
//! a backup. A pure look at what they said: it never asks for a command, and what they do not say beyond doubt it leaves to a person.

use crate::adoption::{Adoption, Barred, Kept, Placed, Undecided};
use crate::basis::Basis;
use crate::effect::Agent;
use crate::ledger::Standing;
use crate::record::Consent;
use crate::state::State;
use std::collections::{BTreeMap, BTreeSet};
use vocabulary::estate::INSIDE;
use vocabulary::request::{GateEntry, Holder, Resource};
use vocabulary::storage::Access;
use vocabulary::{Epoch, Fault, Instant, MachineId, OutletId, PlanId, ServerId, Span, VolumeId};

/// The agents that were adopted and do not obey this store yet, and the one inside `serve`, whose memory did not come with the backup. None
/// while somebody's word waits for another one's: an adoption ends all of them.
pub fn to_seed(state: &State) -> BTreeSet<String> {
    let waiting = state.ledger.consents.iter().any(|given| matches!(given.to, Consent::Adopt { .. }));
    if waiting || state.ledger.restored.is_some() {
        return BTreeSet::new();
    }
    let waits = state.ledger.overruled.iter().filter(|(_, row)| row.until_seeded).map(|(agent, _)| agent);
    let knows =
        |agent: &&String| state.watch.gates.get(*agent).is_some_and(|gate| gate.hello.trusted && gate.forgotten.is_empty());
    waits.filter(knows).cloned().chain([INSIDE.to_owned()]).collect()
}

/// Why nothing is adopted where there is nothing.
pub fn nothing() -> Fault {
    Fault::new(
        1106,
        "there is nothing to adopt: this store was not restored from a backup, or all that there was is adopted",
        "`understudy agent list` shows what is wrong with an agent, if anything is",
    )
}

/// What an agent said holds for so long: another controller may still be at work. Documented in docs/limits.md.
pub const HELLO_HOLDS: Span = Span::seconds(15);

/// All that the agents' hellos of this life say together, against what the store says.
pub fn read(state: &State, now: Instant) -> Adoption {
    let mut look = Look::over(state, now);
    let mut adoption = Adoption { counter: look.counter(), ..Adoption::default() };
    look.servers(&mut adoption);
    look.machines(&mut adoption);
    adoption.outlets = look.outlets();
    adoption.strange = look.strange();
    // those that obey this store already are asked as witnesses only
    look.heard = std::mem::take(&mut look.heard).into_iter().filter(|(agent, _)| look.waits(agent)).collect();
    adoption.kept = look.kept();
    adoption.absent =
        look.absent.iter().filter(|(agent, _)| look.waits(agent)).map(|(agent, why)| (agent.clone(), why.clone())).collect();
    adoption.heard = look.heard.into_keys().map(str::to_owned).collect();
    adoption
}

/// What the agents said, by what they said it of.
struct Look<'a> {
    state: &'a State,
    heard: BTreeMap<&'a str, &'a [GateEntry]>,
    absent: BTreeMap<String, String>,
    /// By the estate: which machine a port or permit is of.
    of_machine: BTreeMap<(String, Resource), MachineId>,
    volumes: BTreeMap<&'a VolumeId, &'a GateEntry>,
    machines: BTreeMap<MachineId, Vec<&'a GateEntry>>,
    /// Machines some of whose agents were not heard.
    partly: BTreeSet<MachineId>,
    /// Machines some of whose agents do not obey this store yet.
    waiting: BTreeSet<MachineId>,
    /// Where a server is, as the agents say.
    decided: BTreeMap<ServerId, (MachineId, Epoch)>,
    /// Where others are, as this store knows since it acts.
    known: BTreeMap<ServerId, (MachineId, Epoch)>,
}

impl<'a> Look<'a> {
    fn over(state: &'a State, now: Instant) -> Look<'a> {
        let (mut heard, mut absent) = (BTreeMap::new(), BTreeMap::new());
        for agent in Agent::outside(&state.estate).map(|agent| agent.to_string()) {
            match state.watch.gates.get_key_value(&agent) {
                None => {
                    absent.insert(agent, "it did not answer".to_owned());
                }
                Some((_, gate)) if now.since(gate.asked) > HELLO_HOLDS => {
                    absent.insert(agent, "it did not answer".to_owned());
                }
                Some((_, gate)) if !gate.hello.trusted => {
                    absent.insert(agent, "its memory is empty, older or copied".to_owned());
                }
                Some((_, gate)) if !gate.forgotten.is_empty() => {
                    absent.insert(agent, format!("its memory is older than this store: {}", gate.forgotten.join("; ")));
                }
                Some((name, gate)) => {
                    heard.insert(name.as_str(), gate.hello.entries.as_slice());
                }
            }
        }
        let mut look = Look {
            state,
            heard,
            absent,
            of_machine: BTreeMap::new(),
            volumes: BTreeMap::new(),
            machines: BTreeMap::new(),
            partly: BTreeSet::new(),
            waiting: BTreeSet::new(),
            decided: BTreeMap::new(),
            known: BTreeMap::new(),
        };
        look.sort();
        look
    }

    /// Puts each entry to the volume or machine that it is about.
    fn sort(&mut self) {
        for (id, machine) in &self.state.estate.machines {
            let ports = machine.ports().into_iter().map(|port| (port.switch.to_string(), Resource::Port(port)));
            let services = self.state.estate.boot_services_of(id).into_iter();
            let permits = services.map(|service| (service.to_string(), Resource::Permit(id.clone())));
            // the memory of the one inside `serve` did not come with the backup
            let power = self.state.estate.bmc_agent_of(id).map(|agent| (agent.to_string(), Resource::Machine(id.clone())));
            for (agent, resource) in ports.chain(permits).chain(power) {
                if !self.heard.contains_key(agent.as_str()) {
                    self.partly.insert(id.clone());
                }
                if self.waits(&agent) {
                    self.waiting.insert(id.clone());
                }
                self.of_machine.insert((agent, resource), id.clone());
            }
        }
        for (agent, entries) in &self.heard {
            for entry in *entries {
                match &entry.resource {
                    Resource::Volume(volume) => {
                        self.volumes.insert(volume, entry);
                    }
                    resource => {
                        if let Some(machine) = self.of_machine.get(&((*agent).to_owned(), resource.clone())) {
                            self.machines.entry(machine.clone()).or_default().push(entry);
                        }
                    }
                }
            }
        }
    }

    /// Machines with outlets that are barred, and by the store are not.
    fn outlets(&self) -> BTreeMap<MachineId, Epoch> {
        let barred: BTreeMap<&OutletId, Epoch> = self
            .heard
            .values()
            .flat_map(|entries| entries.iter())
            .filter_map(|entry| match &entry.resource {
                Resource::Outlet(outlet) => Some((outlet, entry.barred?)),
                _ => None,
            })
            .collect();
        let row = |id: &MachineId| self.state.ledger.machines.get(id).and_then(|row| row.outlets_cut);
        let machines = self.state.estate.machines.iter().filter(|(id, _)| row(id).is_none());
        let of_machine = machines.filter_map(|(id, machine)| {
            let epoch = machine.outlets.iter().filter_map(|outlet| barred.get(outlet)).max()?;
            Some((id.clone(), *epoch))
        });
        of_machine.collect()
    }

    fn counter(&self) -> Epoch {
        let entries = self.heard.values().flat_map(|entries| entries.iter());
        let seen = entries.flat_map(|entry| {
            let holder = entry.holder.as_ref().map(|holder| holder.plan.0);
            [Some(entry.epoch), entry.barred, holder].into_iter().flatten()
        });
        seen.max().unwrap_or_default().max(self.state.ledger.epoch)
    }

    fn kept(&self) -> Vec<Kept> {
        let of = |(agent, entries): (&&'a str, &&'a [GateEntry])| {
            let agent = (*agent).to_owned();
            entries.iter().map(move |entry| Kept { agent: agent.clone(), resource: entry.resource.clone(), epoch: entry.epoch })
        };
        self.heard.iter().flat_map(of).collect()
    }

    /// Whether a server is to be placed: every one of a restored store, and later on those that nobody could place, while no plan works on them.
    fn concerns(&self, server: &ServerId) -> bool {
        let ledger = &self.state.ledger;
        ledger.restored.is_some() || (ledger.unclear.contains_key(server) && ledger.open_plan_of(server).is_none())
    }

    /// The same of a machine: later on those with an agent that is adopted only now, and those that may bear a server that nobody could place.
    fn concerns_machine(&self, machine: &MachineId) -> bool {
        let ledger = &self.state.ledger;
        let anew = || self.waiting.contains(machine) || ledger.may_bear(machine).is_some();
        ledger.restored.is_some() || (ledger.open_plan_on(machine).is_none() && anew())
    }

    /// True if an agent does not obey this store yet.
    fn waits(&self, agent: &str) -> bool {
        let ledger = &self.state.ledger;
        ledger.restored.is_some() || ledger.overruled.get(agent).is_some_and(|row| row.until_seeded)
    }

    /// The bar that is set somewhere on a machine, if one is.
    fn bar(&self, machine: &MachineId) -> Option<Epoch> {
        self.machines.get(machine).into_iter().flatten().filter_map(|entry| entry.barred).max()
    }

    fn servers(&mut self, adoption: &mut Adoption) {
        let mut on: BTreeMap<MachineId, Vec<ServerId>> = BTreeMap::new();
        let servers: BTreeSet<&ServerId> = self.state.estate.servers.keys().chain(self.state.ledger.servers.keys()).collect();
        for server in servers {
            if !self.concerns(server) {
                let placed = self.state.ledger.placement(server).filter(|_| !self.state.ledger.unclear.contains_key(server));
                let known = placed.map(|placed| (server.clone(), (placed.machine.clone(), placed.epoch)));
                self.known.extend(known);
                continue;
            }
            match self.whereabouts(server) {
                Ok(None) => {
                    adoption.settled.insert(server.clone());
                }
                Ok(Some((machine, epoch))) => {
                    on.entry(machine.clone()).or_default().push(server.clone());
                    self.decided.insert(server.clone(), (machine, epoch));
                }
                Err(why) => {
                    adoption.undecided.insert(server.clone(), self.undecided(server, why));
                }
            }
        }
        let others: Vec<(MachineId, ServerId)> =
            self.known.iter().map(|(server, (machine, _))| (machine.clone(), server.clone())).collect();
        for (machine, server) in others {
            on.entry(machine).or_default().push(server);
        }
        for (machine, servers) in on.into_iter().filter(|(_, servers)| servers.len() > 1) {
            let names: Vec<&str> = servers.iter().map(|server| server.as_str()).collect();
            let why = format!("{machine} is said to bear {}", names.join(" and "));
            for server in servers {
                if self.decided.remove(&server).is_some() {
                    let undecided = self.undecided(&server, why.clone());
                    adoption.undecided.insert(server, undecided);
                }
            }
        }
        // where one is beyond doubt no other can be
        let taken: BTreeSet<&MachineId> = self.known.values().chain(self.decided.values()).map(|(machine, _)| machine).collect();
        for undecided in adoption.undecided.values_mut() {
            undecided.may_be_on.retain(|machine| !taken.contains(machine));
        }
        adoption.settled.extend(self.decided.keys().cloned());
        // a restored store has nothing that was unclear before
        adoption.settled.retain(|server| self.state.ledger.unclear.contains_key(server));
        for (server, (machine, epoch)) in &self.decided {
            let before = self.state.ledger.placement(server).map(|placement| (placement.machine.clone(), placement.epoch));
            if before.as_ref() != Some(&(machine.clone(), *epoch)) {
                let held = self.volumes.iter().filter(|(_, entry)| entry.holder.as_ref().is_some_and(|h| h.server == *server));
                let volumes = held.map(|(volume, _)| (*volume).clone()).collect();
                let basis = Basis::of(&self.state.estate, [machine].into_iter(), Some(server));
                let (server, machine, epoch) = (server.clone(), machine.clone(), *epoch);
                adoption.placed.push(Placed { server, machine, epoch, before, volumes, basis });
            }
        }
    }

    /// On which machine a server is, by which plan: where its volumes are held, or, if it has none, its newest ports and permits. Nowhere if
    /// it never was anywhere. An error says why nobody can tell.
    fn whereabouts(&self, server: &ServerId) -> Result<Option<(MachineId, Epoch)>, String> {
        let placed = self.state.ledger.placement(server);
        let Some(profile) = self.state.estate.servers.get(server) else {
            return match placed {
                Some(placement) => Err(format!("it is in no document, and the store has it on {}", placement.machine)),
                None => Ok(None),
            };
        };
        let exclusive: Vec<VolumeId> =
            profile.volumes.iter().filter(|volume| volume.access == Access::Exclusive).map(|volume| volume.id()).collect();
        let found = if exclusive.is_empty() { self.by_wires(server)? } else { self.by_volumes(server, &exclusive)? };
        match (found, placed) {
            (None, None) => Ok(None),
            (None, Some(placement)) => Err(format!(
                "nothing is held for it any more, and the store has it on {}: something was under way",
                placement.machine
            )),
            (Some((machine, _)), _) if !self.state.estate.machines.contains_key(&machine) => {
                Err(format!("it is held for {machine}, which is in no document"))
            }
            (Some(found), _) => Ok(Some(found)),
        }
    }

    fn by_volumes(&self, server: &ServerId, volumes: &[VolumeId]) -> Result<Option<(MachineId, Epoch)>, String> {
        let mut holders: Vec<(&VolumeId, &Holder)> = Vec::new();
        for volume in volumes {
            if !self.heard.contains_key(volume.storage.as_str()) {
                return Err(format!("agent {}, which keeps its volume {volume}, was not heard", volume.storage));
            }
            let holder = self.volumes.get(volume).and_then(|entry| entry.holder.as_ref());
            holders.extend(holder.map(|holder| (volume, holder)));
        }
        let Some((first, holder)) = holders.first() else { return Ok(None) };
        if let Some((volume, other)) = holders.iter().find(|(_, other)| other.server != *server) {
            return Err(format!("its volume {volume} is held for {} on {}", other.server, other.machine));
        }
        if let Some((volume, other)) = holders.iter().find(|(_, other)| other != holder) {
            return Err(format!(
                "its volume {first} is held for {} ({}), and {volume} for {} ({})",
                holder.machine, holder.plan, other.machine, other.plan
            ));
        }
        Ok(Some((holder.machine.clone(), holder.plan.0)))
    }

    fn by_wires(&self, server: &ServerId) -> Result<Option<(MachineId, Epoch)>, String> {
        // an older one may be all that was heard
        if let Some(agent) = self.absent.keys().next() {
            return Err(format!("agent {agent}, which may hold something newer for it, was not heard"));
        }
        let entries = self.machines.iter().flat_map(|(machine, entries)| entries.iter().map(move |entry| (machine, entry)));
        let claims = entries.filter_map(|(machine, entry)| {
            let holder = entry.holder.as_ref().filter(|holder| holder.server == *server)?;
            Some((holder.plan.0, machine))
        });
        let claims: BTreeSet<(Epoch, &MachineId)> = claims.collect();
        let Some((epoch, machine)) = claims.last().copied() else { return Ok(None) };
        if let Some((_, other)) = claims.iter().find(|(at, other)| *at == epoch && *other != machine) {
            return Err(format!("{machine} and {other} both hold it by plan {}", PlanId(epoch)));
        }
        Ok(Some((machine.clone(), epoch)))
    }

    fn machines(&self, adoption: &mut Adoption) {
        let bearing: BTreeMap<&MachineId, (&ServerId, Epoch)> =
            self.known.iter().chain(&self.decided).map(|(server, (machine, epoch))| (machine, (server, *epoch))).collect();
        // of those whose server nobody can place, nothing but a bar is taken
        let unclear: BTreeSet<MachineId> = adoption.undecided.values().flat_map(|it| it.may_be_on.iter().cloned()).collect();
        for machine in self.state.estate.machines.keys().filter(|machine| self.concerns_machine(machine)) {
            let bar = self.bar(machine);
            match bearing.get(machine) {
                Some((server, epoch)) => {
                    if let Some(bar) = bar.filter(|bar| bar > epoch && self.known_bar(machine) != Some(*bar)) {
                        let why = format!("a failover of {server} had begun to cut it off");
                        adoption.barred.push(self.barred(machine, bar, Some(server), true, why));
                    }
                }
                None if unclear.contains(machine) => {
                    if let Some(bar) = bar.filter(|bar| self.known_bar(machine) != Some(*bar)) {
                        let server = self.by_the_store(machine);
                        adoption.barred.push(self.barred(machine, bar, server, true, "its agents keep it barred".to_owned()));
                    }
                }
                None => self.bears_nothing(machine, bar, adoption),
            }
        }
    }

    /// With every machine that is said to bear it, by the store or by any agent.
    fn undecided(&self, server: &ServerId, why: String) -> Undecided {
        let by_store = self.state.ledger.placement(server).map(|placement| placement.machine.clone());
        let held = self.holders().filter(|(_, holder)| holder.server == *server).map(|(_, holder)| holder.machine.clone());
        Undecided { why, may_be_on: by_store.into_iter().chain(held).collect() }
    }

    fn holders(&self) -> impl Iterator<Item = (&'a GateEntry, &'a Holder)> {
        let entries = self.heard.values().flat_map(|entries| entries.iter());
        entries.filter_map(|entry| Some((entry, entry.holder.as_ref()?)))
    }

    fn strange(&self) -> BTreeSet<String> {
        let estate = &self.state.estate;
        let unknown = self
            .holders()
            .filter(|(_, holder)| !estate.servers.contains_key(&holder.server) || !estate.machines.contains_key(&holder.machine));
        unknown.map(|(entry, holder)| format!("{} is held for {} on {}", entry.resource, holder.server, holder.machine)).collect()
    }

    fn bears_nothing(&self, machine: &MachineId, bar: Option<Epoch>, adoption: &mut Adoption) {
        let standing = self.state.ledger.standing(machine);
        let server = self.by_the_store(machine);
        if let Some(bar) = bar {
            if !matches!(&standing, Standing::Quarantined { plan, .. } if plan.0 == bar) {
                adoption.barred.push(self.barred(machine, bar, server, false, "its agents keep it barred".to_owned()));
            }
            return;
        }
        let mut entries = self.machines.get(machine).into_iter().flatten();
        if let Some((entry, holder)) = entries.clone().find_map(|entry| Some((entry, entry.holder.as_ref()?))) {
            let why = format!("{} is still held for {} there, which is elsewhere", entry.resource, holder.server);
            adoption.barred.push(self.barred(machine, adoption.counter, Some(&holder.server), false, why));
            return;
        }
        let since = match &standing {
            Standing::Free | Standing::Reserved(_) => return,
            Standing::Bearing(server) => self.state.ledger.placement(server).map_or(Epoch::default(), |placed| placed.epoch),
            Standing::Quarantined { plan, .. } => plan.0,
        };
        // only a release lifts bars: what was touched by a later plan and bears none was released
        let later = self.state.ledger.restored.is_some() && !self.partly.contains(machine);
        if later && entries.any(|entry| entry.epoch > since) {
            let pool = server.and_then(|server| self.state.estate.servers.get(server)).map(|profile| profile.pool.clone());
            adoption.freed.insert(machine.clone(), pool);
        } else if let Standing::Bearing(_) = standing {
            let why = "by the store it bore that server, and nobody says that it was released".to_owned();
            adoption.barred.push(self.barred(machine, adoption.counter, server, false, why));
        }
    }

    fn barred(&self, machine: &MachineId, epoch: Epoch, server: Option<&ServerId>, bears: bool, why: String) -> Barred {
        let basis = Basis::of(&self.state.estate, [machine].into_iter(), None);
        Barred { machine: machine.clone(), epoch, server: server.cloned(), bears, why, basis }
    }

    fn known_bar(&self, machine: &MachineId) -> Option<Epoch> {
        crate::reseed::bearing(&self.state.ledger, machine).1
    }

    fn by_the_store(&self, machine: &MachineId) -> Option<&'a ServerId> {
        let row = self.state.ledger.machines.get(machine)?;
        match &row.standing {
            Standing::Bearing(server) => Some(server),
            Standing::Quarantined { server, .. } => server.as_ref(),
            Standing::Free | Standing::Reserved(_) => None,
        }
    }
}
