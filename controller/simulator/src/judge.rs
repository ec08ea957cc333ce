//! The judge of a simulated world: the oracle's facts, book and law (hw-fixtures/oracle), fed by the equipment itself at the instant at which
//! something changes, and the invariants of a state that go beyond "effective". It is told nothing by the controller but, from its store,
//! what was intended and that a machine was released. It must never believe what an agent or a controller says of equipment, nor change anything in the world.

mod after;
mod blast;
mod gate;
mod laws;
mod wiring;

pub use gate::Witness;
pub use wiring::{Door, roster};

use crate::fabric::{Fabric, Hears};
use crate::limits::{PAGE, SPANS_MAX, TOLD_MAX};
use crate::store::Platter;
use guest::records::Record;
use laws::Breach;
use oracle::book::Book;
use oracle::fact::{Change, Key, Ns, Observation, Seen};
use oracle::judge::{Clause, Course, Effective, Overlap, Span, effective, touched};
use oracle::limits::{FOREIGN_OVERLAP_MAX_NS, SECOND_NS};
use oracle::roster::Roster;
use oracle::writes::{Acks, Writes};
use pipeline::plan::Kind;
use pipeline::record::Fact;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};
use vocabulary::request::{Request, Resource};
use vocabulary::{AgentId, Epoch, MachineId, OpId, PlanId, RackId, ServerId};
use world::bmc::Bmc;
use world::target::Target;

/// How a release's command begins that lifts bars, in the words of the records.
const LIFTS: &str = "lift ";

/// Something that must not be.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Violation {
    /// Which law, by its name in the list of invariants: `I1`.
    pub invariant: &'static str,
    /// When it was broken, since the world's begin; of what only the end showed, the end.
    pub at: Duration,
    /// The server or machine that it is about.
    pub subject: String,
    /// What happened.
    pub sentence: String,
}

/// An overlap that a foreign hand made and that ended in time: counted apart.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Foreign {
    /// Which law it would have broken.
    pub invariant: &'static str,
    /// The server or machine that it was about.
    pub subject: String,
    /// From when.
    pub from: Duration,
    /// Until when.
    pub until: Duration,
    /// What happened.
    pub sentence: String,
}

/// See the module. Clones are the same judge.
#[derive(Clone)]
pub struct Judge(Arc<Mutex<Inner>>);

/// The way from the equipment to its judge, which the equipment does not keep alive.
#[derive(Clone)]
pub struct Ear(Weak<Mutex<Inner>>);

/// A machine whose server has gone elsewhere.
struct Lost {
    server: ServerId,
    /// Its ports that were out of every server's VLAN since: what cut them off must hold.
    barred: BTreeSet<String>,
}

struct Inner {
    begun: Instant,
    last_ns: Ns,
    roster: Roster,
    /// The target of the volume in each object.
    objects: BTreeMap<String, String>,
    fabric: Fabric,
    target: Target,
    store: Platter,
    /// Stores whose place another took beside them: whoever still has one may record in it.
    stores_before: Vec<Platter>,
    book: Book,
    courses: BTreeMap<ServerId, Course>,
    /// Overlaps that were told, as violations or as a foreign hand's, by their begin.
    overlaps: BTreeMap<ServerId, Ns>,
    breaches: BTreeMap<(&'static str, String), Breach>,
    /// Machines that were effective as a server and were not released since.
    bearers: BTreeMap<ServerId, BTreeSet<MachineId>>,
    /// Those of them whose server has gone elsewhere.
    lost: BTreeMap<MachineId, Lost>,
    /// What each port of the switch carries, with a link or without.
    carried: BTreeMap<String, BTreeSet<u16>>,
    /// Up to where the store was read for releases.
    read: u64,
    /// The last record that each machine found when it mounted.
    mounted: BTreeMap<MachineId, u64>,
    acks: BTreeMap<ServerId, Acks>,
    /// The highest record number that a client was told of.
    highest: BTreeMap<ServerId, u64>,
    /// The highest epoch that each resource was acted on with, and whose.
    epochs: BTreeMap<Resource, (Epoch, PlanId)>,
    /// Agents whose memory is lost or older, and that were not seeded since.
    forgetful: BTreeSet<AgentId>,
    /// What agents have done that had lost their memory: nothing that they say of it counts.
    worthless: BTreeSet<OpId>,
    /// Commands whose intent is in the store.
    intents: BTreeSet<OpId>,
    /// Releases, and machines whose bars one of them has begun to lift.
    releases: BTreeMap<PlanId, MachineId>,
    lifted: BTreeSet<MachineId>,
    bmcs: BTreeMap<MachineId, Arc<Bmc>>,
    /// Paths at which a boot's secrets were handed out.
    handed_out: BTreeSet<String>,
    /// What each agent did last.
    last: BTreeMap<AgentId, Request>,
    /// How many commands each agent did not obey, as those of another estate, another store or an older plan.
    refusals: BTreeMap<AgentId, u64>,
    /// Power commands that were asked for and have not come to the BMC yet.
    wanted: BTreeMap<(MachineId, &'static str), BTreeSet<OpId>>,
    /// How many records there were when a controller of this store was started.
    lives: Vec<usize>,
    /// Where each machine stands.
    racks: BTreeMap<MachineId, RackId>,
    /// When a foreign hand did something last.
    hand_ns: Option<Ns>,
    violations: Vec<Violation>,
    foreign: Vec<Foreign>,
    changes: u64,
}

impl Judge {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        // nothing that holds it can fail in between
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The equipment's way to it.
    pub fn ear(&self) -> Ear {
        Ear(Arc::downgrade(&self.0))
    }

    /// What was broken so far, in the order in which it was found.
    pub fn violations(&self) -> Vec<Violation> {
        let mut inner = self.inner();
        inner.settle();
        inner.violations.clone()
    }

    /// A controller of the store is started: it has seen nothing yet.
    pub fn begins_anew(&self) {
        let mut inner = self.inner();
        let records = inner.store.len();
        inner.lives.push(records);
    }

    /// A backup of so many records takes the store's place. What was recorded after it was recorded all the same.
    pub fn restores(&self, records: usize) {
        let mut inner = self.inner();
        inner.read_store();
        inner.read = records as u64;
        inner.lives.retain(|begun| *begun <= records);
    }

    /// A store beside the one before is the estate's from now on; it was made of a backup of so many records.
    pub fn follows(&self, store: Platter, records: usize) {
        self.restores(records);
        let mut inner = self.inner();
        let before = std::mem::replace(&mut inner.store, store);
        inner.stores_before.push(before);
    }

    /// How many commands an agent did not obey since the begin, as those of another estate, another store or an older plan.
    pub fn refusals(&self, agent: &AgentId) -> u64 {
        self.inner().refusals.get(agent).copied().unwrap_or_default()
    }

    /// Overlaps that foreign hands made and that ended in time.
    pub fn foreign(&self) -> Vec<Foreign> {
        self.inner().foreign.clone()
    }

    /// Who was effective as this server when, as far as it is kept; times in nanoseconds since the world's begin.
    pub fn spans(&self, server: &ServerId) -> Vec<Span> {
        self.inner().courses.get(server).map(|course| course.timeline().spans.clone()).unwrap_or_default()
    }

    /// Who is effective as this server now, and why.
    pub fn effective(&self, server: &ServerId) -> Effective {
        self.inner().courses.get(server).map(|course| course.now().clone()).unwrap_or_default()
    }

    /// The ports of a machine that are in a server's VLAN now, and in which.
    pub fn open_ports(&self, machine: &MachineId) -> BTreeMap<String, BTreeSet<u16>> {
        self.inner().ports_in_vlans(machine)
    }

    /// The most machines that were ever effective at once as one server; a foreign hand's overlaps that ended in time are counted apart.
    pub fn most(&self) -> usize {
        let inner = self.inner();
        let end_ns = inner.now_ns();
        inner.courses.values().map(|course| course.timeline().most(end_ns)).max().unwrap_or(0)
    }

    /// This instant, in nanoseconds since the world's begin.
    pub fn now_ns(&self) -> Ns {
        self.inner().now_ns()
    }

    /// How many facts have changed.
    pub fn changes(&self) -> u64 {
        self.inner().changes
    }

    /// What the boot service would serve is looked at again.
    pub fn look_at_permits(&self) {
        let mut inner = self.inner();
        let at_ns = inner.now_ns();
        inner.permits(at_ns);
    }

    /// What became so far of every server's acknowledged writes.
    pub fn writes(&self) -> BTreeMap<ServerId, Writes> {
        let logs = self.logs();
        self.inner().writes(&logs)
    }

    /// Judges what only the end shows: acknowledged writes against the volumes, the store's records and the state that they make. All
    /// violations of the world.
    pub fn end(&self) -> Vec<Violation> {
        // the target tells what was due meanwhile when it is asked: not while the judge is held
        let logs = self.logs();
        let mut inner = self.inner();
        let at_ns = inner.now_ns();
        inner.permits(at_ns);
        inner.settle();
        inner.still_open();
        inner.after(&logs);
        inner.violations.clone()
    }
}

impl Ear {
    fn with(&self, hears: impl FnOnce(&mut Inner)) {
        if let Some(inner) = self.0.upgrade() {
            hears(&mut inner.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }
}

impl Hears for Ear {
    fn handed_out(&self, path: &str) {
        // the two that hold secrets
        if !path.ends_with("/claim") && !path.ends_with("/san.ipxe") {
            return;
        }
        self.with(|inner| {
            if !inner.handed_out.insert(path.to_owned()) {
                let at_ns = inner.now_ns();
                inner.violated(
                    "I7",
                    at_ns,
                    "boot service".to_owned(),
                    "the secrets of one boot were handed out twice".to_owned(),
                );
            }
        });
    }

    fn logs_in(&self, nic: [u8; 6], initiator: &str) {
        self.with(|inner| {
            let Some(machine) = inner.roster.machine_of(vocabulary::Mac(nic)).cloned() else { return };
            let initiator = vocabulary::storage::InitiatorName(initiator.to_owned());
            inner.see(Observation::Login(machine, initiator, None), false, inner.now_ns());
        });
    }

    fn told(&self, line: &str) {
        self.with(|inner| {
            let Some(record) = Record::parse(line.trim_end()) else { return };
            let Ok(server) = record.server.parse::<ServerId>() else { return };
            let at_ns = inner.now_ns();
            let by_hand = inner.hand_was_there(at_ns);
            if let Some(acks) = inner.acks.get_mut(&server) {
                if by_hand {
                    acks.take_by_hand(&record, at_ns)
                } else {
                    acks.take(&record, at_ns)
                }
                let highest = inner.highest.entry(server).or_default();
                *highest = record.number.max(*highest);
            }
        });
    }
}

impl Inner {
    fn ns(&self, at: Instant) -> Ns {
        u64::try_from(at.saturating_duration_since(self.begun).as_nanos()).unwrap_or(Ns::MAX)
    }

    fn now_ns(&self) -> Ns {
        self.ns(world::clock::now())
    }

    /// Whether a foreign hand did something that need not be undone yet.
    fn hand_was_there(&self, at_ns: Ns) -> bool {
        self.hand_ns.is_some_and(|hand_ns| at_ns.saturating_sub(hand_ns) <= FOREIGN_OVERLAP_MAX_NS)
    }

    /// Takes what is true from this instant on, and judges at once what it may have changed.
    fn see(&mut self, what: Observation, by_hand: bool, at_ns: Ns) {
        // equipment that did something late tells when that was; the others went on meanwhile
        let at_ns = at_ns.max(self.last_ns);
        self.last_ns = at_ns;
        if by_hand {
            self.hand_ns = Some(at_ns);
            let key = match &what {
                Observation::Port(port, _) => Key::Port(port.clone()),
                Observation::Target(target, _) => Key::Target(target.clone()),
                _ => return,
            };
            self.book.take(&self.roster, Seen::exactly(at_ns, Observation::Hand(key)));
        }
        self.book.take(&self.roster, Seen::exactly(at_ns, what));
        let mut changes = self.book.take_changes();
        if !changes.is_empty() {
            self.changes += 1;
            let (mut waiting, mut servers) = (self.touched(&changes), BTreeSet::new());
            while let Some(server) = waiting.pop_first() {
                let more = self.turn(&server, at_ns);
                waiting.extend(self.touched(&more));
                changes.extend(more);
                servers.insert(server);
            }
            self.laws(&changes, &servers, by_hand, at_ns);
        }
        if by_hand {
            // a deed and the change that it makes are seen at once here
            self.book.forget_hands(Ns::MAX);
        }
    }

    fn touched(&self, changes: &[Change]) -> BTreeSet<ServerId> {
        changes.iter().flat_map(|change| touched(&self.roster, self.book.state(), change)).collect()
    }

    /// Who is effective as this server from now on; what a look at the boot service changed on the way, which is to be judged as well.
    fn turn(&mut self, server: &ServerId, at_ns: Ns) -> Vec<Change> {
        let mut next = effective(&self.roster, self.book.state(), server);
        let by_permit = |next: &Effective| next.values().flatten().any(|reason| reason.clause == Clause::Boot);
        let mut more = Vec::new();
        if next.len() > 1 && by_permit(&next) {
            // a permit may have run out, or its service may have ended, since it was looked at
            more = self.permits_moved(at_ns);
            next = effective(&self.roster, self.book.state(), server);
        }
        let Some(course) = self.courses.get_mut(server) else { return more };
        let entering: Vec<MachineId> =
            next.keys().filter(|actor| !course.now().contains_key(*actor)).filter_map(|actor| actor.parse().ok()).collect();
        course.turn(at_ns, next, self.book.hands());
        course.forget(SPANS_MAX);
        if !entering.is_empty() {
            self.bears(server, &entering);
        }
        self.overlaps(server, at_ns);
        more
    }

    /// These have become effective as this server: whoever was before has lost it, unless it still is.
    fn bears(&mut self, server: &ServerId, entering: &[MachineId]) {
        self.read_store();
        let now: BTreeSet<String> =
            self.courses.get(server).map(|course| course.now().keys().cloned().collect()).unwrap_or_default();
        for machine in entering {
            if self.lost.contains_key(machine) {
                continue;
            }
            let bearers = self.bearers.entry(server.clone()).or_default();
            for other in bearers.iter().filter(|other| !now.contains(other.as_str())) {
                self.lost.insert(other.clone(), Lost { server: server.clone(), barred: BTreeSet::new() });
            }
            bearers.insert(machine.clone());
        }
    }

    /// These machines were released: they have lost nothing any more.
    fn released<'a>(&mut self, machines: impl Iterator<Item = &'a MachineId>) {
        for machine in machines {
            self.lost.remove(machine);
            self.lifted.remove(machine);
            for bearers in self.bearers.values_mut() {
                bearers.remove(machine);
            }
        }
    }

    /// Reads what the store holds since this was last looked at: intents; and machines that were released have lost nothing any more.
    fn read_store(&mut self) {
        loop {
            let page = self.store.entries_after(self.read, PAGE);
            let Some(last) = page.last() else { return };
            self.read = last.number;
            for entry in page {
                match entry.record.fact {
                    Fact::Released { machine, .. } => self.released([&machine].into_iter()),
                    // a release whose end was lost with a store: the first bar is lifted when all is proven
                    Fact::Adopted { adoption, .. } => {
                        let lifted: Vec<MachineId> = adoption.freed.into_keys().filter(|id| self.lifted.contains(id)).collect();
                        self.released(lifted.iter());
                    }
                    Fact::Sealed { plan, .. } if plan.body().kind == Kind::Release => {
                        self.releases.insert(plan.id(), plan.target().clone());
                    }
                    Fact::Intent { op, plan, what, .. } => {
                        let of = self.releases.get(&plan).filter(|_| what.starts_with(LIFTS));
                        self.lifted.extend(of.cloned());
                        self.intents.insert(op);
                    }
                    Fact::Outcome { op, ok: true, .. } if self.worthless.contains(&op) => {
                        let sentence = format!("the answer to {op} counts, and its agent had lost its memory");
                        self.violated("I2", self.now_ns(), op.to_string(), sentence);
                    }
                    _ => {}
                }
            }
        }
    }

    /// Looks at the boot service; what was otherwise than known.
    fn permits_moved(&mut self, at_ns: Ns) -> Vec<Change> {
        let served = self.fabric.served();
        let machines: Vec<MachineId> = self.roster.machines.keys().cloned().collect();
        for machine in machines {
            let permit = served.get(&machine).cloned();
            self.book.take(&self.roster, Seen::exactly(at_ns, Observation::Permit(machine, permit)));
        }
        self.book.take_changes()
    }

    fn permits(&mut self, at_ns: Ns) {
        let served = self.fabric.served();
        let machines: Vec<MachineId> = self.roster.machines.keys().cloned().collect();
        // what was taken away first: at no instant would both have been served
        let (given, gone): (Vec<_>, Vec<_>) = machines.into_iter().partition(|machine| served.contains_key(machine));
        for machine in gone.into_iter().chain(given) {
            let permit = served.get(&machine).cloned();
            self.see(Observation::Permit(machine, permit), false, at_ns);
        }
    }

    /// Tells of overlaps that break the promise by now, and of those that a foreign hand made and that are over.
    fn overlaps(&mut self, server: &ServerId, at_ns: Ns) {
        let Some(course) = self.courses.get(server) else { return };
        let told = self.overlaps.get(server).copied();
        let fresh = |overlap: &&Overlap| told.is_none_or(|told| overlap.from_ns > told);
        let mut found = Vec::new();
        for overlap in course.timeline().overlaps.iter().filter(fresh) {
            let broken = overlap.is_violation(at_ns);
            if broken || overlap.until_ns.is_some() {
                found.push((overlap.clone(), broken));
            }
        }
        for (overlap, broken) in found {
            self.overlaps.insert(server.clone(), overlap.from_ns);
            let machines: Vec<String> =
                overlap.machines.iter().map(|(machine, reasons)| format!("{machine} ({})", reasons.join("; "))).collect();
            let sentence = format!("{server} is effective on {} machines at once: {}", overlap.most, machines.join(", "));
            if broken {
                let hand = if overlap.foreign { 5 * SECOND_NS } else { 0 };
                self.violated("I1", overlap.from_ns + hand, server.to_string(), sentence);
            } else {
                self.by_hand("I1", server.to_string(), overlap.from_ns, overlap.until_ns.unwrap_or(at_ns), sentence);
            }
        }
    }

    fn violated(&mut self, invariant: &'static str, at_ns: Ns, subject: String, sentence: String) {
        if self.violations.len() < TOLD_MAX {
            self.violations.push(Violation { invariant, at: Duration::from_nanos(at_ns), subject, sentence });
        }
    }

    fn by_hand(&mut self, invariant: &'static str, subject: String, from_ns: Ns, until_ns: Ns, sentence: String) {
        if self.foreign.len() < TOLD_MAX {
            let (from, until) = (Duration::from_nanos(from_ns), Duration::from_nanos(until_ns));
            self.foreign.push(Foreign { invariant, subject, from, until, sentence });
        }
    }
}
