//! The law: from facts to the machines that are effective, at every instant of a run. Pure.
//!
//! A machine is effective as a server if it has write access to an exclusive volume of it, or a boot service that it reaches would boot
//! it as the server, or it is powered, has run the server's image since its last power-on and has a port in one of the server's VLANs.
//! Nothing here may look at what anybody intended. A judgement is *certain* where the facts leave no doubt about the instants, *possible*
//! where they do; a violation needs certainty, for a judge that cries wolf is not heard.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use vocabulary::{MachineId, Role, ServerId};

use crate::fact::{Atom, Change, Holder, Key, Ns, State};
use crate::limits::{FOREIGN_OVERLAP_MAX_NS, HAND_WINDOW_NS};
use crate::roster::{MachineConfig, PROVISIONING, Roster, STORAGE, ServerConfig};

/// Which part of the law makes a machine effective.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Clause {
    /// Write access to an exclusive volume.
    Volume,
    /// A boot service would boot it.
    Boot,
    /// It runs, in reach of the server's networks.
    Running,
}

/// Why a machine is effective.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Reason {
    /// By which part of the law.
    pub clause: Clause,
    /// The fact, for people.
    pub text: String,
    /// The facts it stands on.
    #[serde(skip)]
    pub keys: Vec<Key>,
}

/// A machine's name, or the description of a stranger that holds a session.
pub type Actor = String;

/// Who is effective as one server, and why.
pub type Effective = BTreeMap<Actor, BTreeSet<Reason>>;

/// Who is effective as this server in this state.
#[must_use]
pub fn effective(roster: &Roster, state: &State, name: &ServerId) -> Effective {
    let mut all = Effective::new();
    let Some(server) = roster.servers.get(name) else { return all };
    volumes(roster, server, state, &mut all);
    for machine in roster.machines.keys() {
        let reasons = [boot(roster, name, machine, state), running(roster, name, server, machine, state)];
        for reason in reasons.into_iter().flatten() {
            all.entry(machine.to_string()).or_default().insert(reason);
        }
    }
    all
}

/// The servers whose effective machines a change may have changed, judged by the state after it.
#[must_use]
pub fn touched(roster: &Roster, state: &State, change: &Change) -> BTreeSet<ServerId> {
    let named = |key: &Key| -> BTreeSet<ServerId> {
        let atoms = state.get(key).into_iter().flatten();
        atoms
            .filter_map(|atom| if let Atom::MayBoot(name) | Atom::Ran(name) = atom { Some(name.clone()) } else { None })
            .collect()
    };
    let exports = |wanted: &dyn Fn(&Atom) -> bool| {
        let shows = |server: &ServerConfig| {
            let atoms = server.volumes.iter().filter_map(|volume| state.get(&Key::Target(volume.target.clone())));
            atoms.flatten().any(wanted)
        };
        roster.servers.iter().filter(|(_, server)| shows(server)).map(|(name, _)| name.clone()).collect::<BTreeSet<_>>()
    };
    match &change.key {
        Key::Target(target) => roster.server_of(target).cloned().into_iter().collect(),
        Key::Knows(initiator) => exports(&|atom| matches!(atom, Atom::Admits(admitted) if admitted == initiator)),
        Key::Permit(_) | Key::Ran(_) => {
            let atoms = change.was.iter().chain(&change.is);
            atoms
                .filter_map(|atom| if let Atom::MayBoot(name) | Atom::Ran(name) = atom { Some(name.clone()) } else { None })
                .collect()
        }
        Key::Power(machine) => named(&Key::Ran(machine.clone())),
        Key::Port(port) => {
            let at = |machine: &MachineConfig| machine.nics.values().any(|nic| nic.port == *port);
            let machine = roster.machines.iter().find(|(_, machine)| at(machine)).map(|(name, _)| name);
            let mut all = exports(&|atom| *atom == Atom::AdmitsAnyone);
            if let Some(machine) = machine {
                all.extend(named(&Key::Ran(machine.clone())));
                all.extend(named(&Key::Permit(machine.clone())));
            }
            all
        }
    }
}

/// The part of the law about volumes.
fn volumes(roster: &Roster, server: &ServerConfig, state: &State, all: &mut Effective) {
    for volume in &server.volumes {
        let target = Key::Target(volume.target.clone());
        let mut add = |actor: String, text: String, more: Option<Key>| {
            let keys = std::iter::once(target.clone()).chain(more).collect();
            all.entry(actor).or_default().insert(Reason { clause: Clause::Volume, text, keys });
        };
        for atom in state.get(&target).into_iter().flatten() {
            match atom {
                Atom::Admits(initiator) => {
                    for machine in knowers(state, &Key::Knows(initiator.clone())) {
                        add(machine.to_string(), format!("{} admits {initiator}", volume.target), None);
                    }
                }
                Atom::AdmitsAnyone => {
                    for machine in roster.machines.keys() {
                        let vlans: BTreeSet<u16> =
                            server.vlans.iter().filter(|(role, _)| is(role, STORAGE)).map(|(_, v)| *v).collect();
                        if let Some((port, vlan)) = in_vlans(roster, machine, Some(STORAGE), &vlans, state) {
                            let text = format!("{} admits by address, and port {port} is in VLAN {vlan}", volume.target);
                            add(machine.to_string(), text, Some(Key::Port(port)));
                        }
                    }
                }
                Atom::Session { number, initiator, machine } => {
                    let text = format!("session {number} of {initiator} at {}", volume.target);
                    match machine {
                        Holder::Machine(machine) => add(machine.to_string(), text, None),
                        Holder::Stranger => add(format!("a stranger as {initiator}"), text, None),
                        Holder::Unnamed => {}
                    }
                }
                Atom::On | Atom::Vlan(_) | Atom::MayBoot(_) | Atom::Ran(_) | Atom::Machine(_) => {}
            }
        }
    }
}

fn boot(roster: &Roster, name: &ServerId, machine: &MachineId, state: &State) -> Option<Reason> {
    let permit = Key::Permit(machine.clone());
    state.get(&permit)?.contains(&Atom::MayBoot(name.clone())).then_some(())?;
    let (port, vlan) = in_vlans(roster, machine, Some(PROVISIONING), &roster.boot_vlans, state)?;
    let text = format!("a permit of {name} stands and port {port} is in VLAN {vlan}");
    Some(Reason { clause: Clause::Boot, text, keys: vec![permit, Key::Port(port)] })
}

fn running(roster: &Roster, name: &ServerId, server: &ServerConfig, machine: &MachineId, state: &State) -> Option<Reason> {
    let (power, ran) = (Key::Power(machine.clone()), Key::Ran(machine.clone()));
    state.get(&power)?.contains(&Atom::On).then_some(())?;
    state.get(&ran)?.contains(&Atom::Ran(name.clone())).then_some(())?;
    let vlans: BTreeSet<u16> = server.vlans.values().copied().collect();
    let (port, vlan) = in_vlans(roster, machine, None, &vlans, state)?;
    let text = format!("it is powered, has run {name} and its port {port} is in VLAN {vlan}");
    Some(Reason { clause: Clause::Running, text, keys: vec![power, ran, Key::Port(port)] })
}

fn is(role: &Role, name: &str) -> bool {
    role.as_str() == name
}

fn knowers<'a>(state: &'a State, key: &Key) -> impl Iterator<Item = &'a MachineId> {
    state.get(key).into_iter().flatten().filter_map(|atom| if let Atom::Machine(machine) = atom { Some(machine) } else { None })
}

/// A port of the machine that forwards in one of the VLANs; with a role only a port of that role.
fn in_vlans(
    roster: &Roster,
    machine: &MachineId,
    role: Option<&str>,
    vlans: &BTreeSet<u16>,
    state: &State,
) -> Option<(String, u16)> {
    let nics = roster.machines.get(machine)?.nics.iter();
    nics.filter(|(own, _)| role.is_none_or(|wanted| is(own, wanted))).find_map(|(_, nic)| {
        let atoms = state.get(&Key::Port(nic.port.clone()))?;
        let vlan = vlans.iter().find(|vlan| atoms.contains(&Atom::Vlan(**vlan)))?;
        Some((nic.port.clone(), *vlan))
    })
}

/// How sure a judgement is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sureness {
    /// Between two looks only what stood before and after counts.
    Certain,
    /// Between two looks everything counts that stood before or after.
    Possible,
}

/// A time during which one machine was effective.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Span {
    /// Which.
    pub machine: Actor,
    /// From when.
    pub from_ns: Ns,
    /// Until when; none: it still is.
    pub until_ns: Option<Ns>,
    /// By which parts of the law, at one time or another.
    pub by: BTreeSet<Clause>,
}

/// A time during which more than one machine was effective.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Overlap {
    /// From when.
    pub from_ns: Ns,
    /// Until when; none: it still lasts.
    pub until_ns: Option<Ns>,
    /// The most at once.
    pub most: usize,
    /// Who, and by what when it began or when they joined.
    pub machines: BTreeMap<Actor, Vec<String>>,
    /// A foreign hand on a switch or target made it.
    pub foreign: bool,
}

impl Overlap {
    /// How long it lasted, if the run ends at this instant.
    #[must_use]
    pub fn lasted_ns(&self, end_ns: Ns) -> Ns {
        self.until_ns.unwrap_or(end_ns.max(self.from_ns)).saturating_sub(self.from_ns)
    }

    /// Whether it breaks the promise: all do, but those made by a foreign hand that ended in time.
    #[must_use]
    pub fn is_violation(&self, end_ns: Ns) -> bool {
        !self.foreign || self.lasted_ns(end_ns) > FOREIGN_OVERLAP_MAX_NS
    }
}

/// One server's run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Timeline {
    /// Who was effective when, by beginning.
    pub spans: Vec<Span>,
    /// When more than one was.
    pub overlaps: Vec<Overlap>,
}

impl Timeline {
    /// The most machines effective at once; overlaps made by a foreign hand that ended in time are counted apart.
    #[must_use]
    pub fn most(&self, end_ns: Ns) -> usize {
        let overlaps = self.overlaps.iter().filter(|overlap| overlap.is_violation(end_ns)).map(|overlap| overlap.most);
        overlaps.max().unwrap_or(0).max(usize::from(!self.spans.is_empty()))
    }
}

/// A fact takes this state at this instant.
struct Step<'a> {
    at_ns: Ns,
    key: &'a Key,
    atoms: BTreeSet<Atom>,
    /// As it was really seen, not what is left of it between two looks.
    seen: bool,
}

fn steps(changes: &[Change], sureness: Sureness) -> Vec<Step<'_>> {
    let mut last: BTreeMap<&Key, Ns> = BTreeMap::new();
    let mut steps = Vec::with_capacity(changes.len() * 2);
    for change in changes {
        // a look may begin before the one before has ended; what it found is not older than what that one found
        let after_ns = last.get(&change.key).map_or(change.after_ns, |before| change.after_ns.max(*before));
        let at_ns = change.at_ns.max(after_ns);
        let between = match sureness {
            Sureness::Certain => change.was.intersection(&change.is).cloned().collect(),
            Sureness::Possible => change.was.union(&change.is).cloned().collect(),
        };
        steps.push(Step { at_ns: after_ns, key: &change.key, atoms: between, seen: false });
        steps.push(Step { at_ns, key: &change.key, atoms: change.is.clone(), seen: true });
        last.insert(&change.key, at_ns);
    }
    // stable: steps of one fact stay in their order
    steps.sort_by_key(|step| step.at_ns);
    steps
}

/// Every server's run. Changes of one fact stand in their order; between facts the order does not matter.
#[must_use]
pub fn timelines(roster: &Roster, changes: &[Change], hands: &[(Ns, Key)], sureness: Sureness) -> BTreeMap<ServerId, Timeline> {
    let mut runs: BTreeMap<ServerId, Course> = roster.servers.keys().map(|name| (name.clone(), Course::default())).collect();
    let mut state = State::new();
    let steps = steps(changes, sureness);
    for instant in steps.chunk_by(|one, next| one.at_ns == next.at_ns) {
        for step in instant {
            if step.seen {
                state.insert(step.key.clone(), step.atoms.clone());
                witness_one_look(roster, &state, step, &mut runs);
            } else {
                state.insert(step.key.clone(), step.atoms.clone());
            }
        }
        let Some(at_ns) = instant.first().map(|step| step.at_ns) else { continue };
        for (name, run) in &mut runs {
            run.turn(at_ns, effective(roster, &state, name), hands);
        }
    }
    runs.into_iter().map(|(name, run)| (name, run.timeline)).collect()
}

/// Two writers in one look at a target are two at once, however short they stood: one look is one instant.
fn witness_one_look(roster: &Roster, state: &State, step: &Step<'_>, runs: &mut BTreeMap<ServerId, Course>) {
    let Key::Target(target) = step.key else { return };
    let Some((name, server)) = roster.server_of(target).and_then(|name| roster.servers.get_key_value(name)) else { return };
    let mut writers = Effective::new();
    volumes(roster, server, state, &mut writers);
    if let Some(run) = runs.get_mut(name).filter(|_| writers.len() > 1) {
        run.instants.push((step.at_ns, writers));
    }
}

/// One server's run in the making.
#[derive(Debug)]
pub struct Course {
    now: Effective,
    timeline: Timeline,
    open: bool,
    instants: Vec<(Ns, Effective)>,
    hand_window_ns: Ns,
}

impl Default for Course {
    fn default() -> Self {
        let (now, timeline) = (Effective::new(), Timeline::default());
        Self { now, timeline, open: false, instants: Vec::new(), hand_window_ns: HAND_WINDOW_NS }
    }
}

impl Course {
    /// For whoever sees a hand's deed and the change that it makes at one instant.
    #[must_use]
    pub fn exact() -> Self {
        Self { hand_window_ns: 0, ..Self::default() }
    }

    /// Who is effective now.
    #[must_use]
    pub fn now(&self) -> &Effective {
        &self.now
    }

    /// What was so far.
    #[must_use]
    pub fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    /// Forgets the oldest spans and overlaps that are over, until this many are left of each.
    pub fn forget(&mut self, left: usize) {
        let Timeline { spans, overlaps } = &mut self.timeline;
        while spans.len() > left
            && let Some(over) = spans.iter().position(|span| span.until_ns.is_some())
        {
            spans.remove(over);
        }
        while overlaps.len() > left && overlaps.first().is_some_and(|first| first.until_ns.is_some()) {
            overlaps.remove(0);
        }
    }

    /// From this instant on these are effective.
    pub fn turn(&mut self, at_ns: Ns, next: Effective, hands: &[(Ns, Key)]) {
        self.spans(at_ns, &next);
        let entering: Vec<&Actor> = next.keys().filter(|actor| !self.now.contains_key(*actor)).collect();
        if next.len() > 1 {
            let foreign = !entering.is_empty() && entering.iter().all(|actor| self.by_hand(at_ns, next.get(*actor), hands));
            if !self.open {
                self.open = true;
                self.timeline.overlaps.push(Overlap {
                    from_ns: at_ns,
                    until_ns: None,
                    most: 0,
                    machines: BTreeMap::new(),
                    foreign,
                });
            } else if !entering.is_empty()
                && !foreign
                && let Some(overlap) = self.timeline.overlaps.last_mut()
            {
                overlap.foreign = false;
            }
            if let Some(overlap) = self.timeline.overlaps.last_mut() {
                note(overlap, &next);
            }
        } else if self.open {
            self.open = false;
            if let Some(overlap) = self.timeline.overlaps.last_mut() {
                overlap.until_ns = Some(at_ns);
            }
        }
        for (instant_ns, writers) in std::mem::take(&mut self.instants) {
            self.instant(instant_ns, &writers, hands);
        }
        self.now = next;
    }

    fn spans(&mut self, at_ns: Ns, next: &Effective) {
        for span in self.timeline.spans.iter_mut().filter(|span| span.until_ns.is_none()) {
            match next.get(&span.machine) {
                Some(reasons) => span.by.extend(reasons.iter().map(|reason| reason.clause)),
                None => span.until_ns = Some(at_ns),
            }
        }
        for (actor, reasons) in next.iter().filter(|(actor, _)| !self.now.contains_key(*actor)) {
            let by = reasons.iter().map(|reason| reason.clause).collect();
            self.timeline.spans.push(Span { machine: actor.clone(), from_ns: at_ns, until_ns: None, by });
        }
    }

    /// Writers that stood together in one look, unless an overlap tells of them already.
    fn instant(&mut self, at_ns: Ns, writers: &Effective, hands: &[(Ns, Key)]) {
        let told = |overlap: &Overlap| {
            overlap.until_ns.is_none_or(|until| until >= at_ns)
                && writers.keys().all(|actor| overlap.machines.contains_key(actor))
        };
        if self.timeline.overlaps.last().is_some_and(told) {
            return;
        }
        let foreign =
            writers.iter().any(|(actor, reasons)| !self.now.contains_key(actor) && self.by_hand(at_ns, Some(reasons), hands));
        let mut overlap = Overlap { from_ns: at_ns, until_ns: Some(at_ns), most: 0, machines: BTreeMap::new(), foreign };
        note(&mut overlap, writers);
        // an open one stays the last
        let place = self.timeline.overlaps.len() - usize::from(self.open);
        self.timeline.overlaps.insert(place, overlap);
    }

    /// Whether a foreign hand changed one of the facts that these reasons stand on, about then.
    fn by_hand(&self, at_ns: Ns, reasons: Option<&BTreeSet<Reason>>, hands: &[(Ns, Key)]) -> bool {
        let stands_on = |key: &Key| reasons.into_iter().flatten().any(|reason| reason.keys.contains(key));
        hands.iter().any(|(hand_ns, key)| hand_ns.abs_diff(at_ns) <= self.hand_window_ns && stands_on(key))
    }
}

fn note(overlap: &mut Overlap, now: &Effective) {
    overlap.most = overlap.most.max(now.len());
    for (actor, reasons) in now {
        let texts = || reasons.iter().map(|reason| reason.text.clone()).collect();
        overlap.machines.entry(actor.clone()).or_insert_with(texts);
    }
}

// their roster is the lab's
#[cfg(feature = "lab")]
#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
