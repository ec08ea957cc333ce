//! A small world for the core's tests: devices with a state of their own, behind agents that can be slow, dead, lying or refuse.
//! It never reads the core's state; what it is told to do it does to its devices, and what it answers it reads from them.
#![allow(dead_code, reason = "each test file uses its own part of the world")]

pub mod estate;
mod facts;
mod frames;
pub mod gate;
mod outlets;
mod records;
mod watching;

use pipeline::effect::{Agent, Command};
use pipeline::event::{Event, Intent, What};
use pipeline::ledger::Ledger;
use pipeline::record::{Fact, Record};
use pipeline::{Effect, State, step};
use std::collections::{BTreeMap, BTreeSet};
use vocabulary::boot::PermitReading;
use vocabulary::check::{Check, CheckOutcome};
use vocabulary::network::PortSetting;
use vocabulary::power::{Identity, MachineReading, PowerState, RestorePolicy};
use vocabulary::request::{Action, AgentError, Answer, Resource};
use vocabulary::storage::{InitiatorName, Session, VolumeReading};
use vocabulary::*;

/// One simulated machine.
#[derive(Clone, Debug)]
pub struct Box_ {
    pub power: PowerState,
    pub frozen: bool,
    /// Its service has ended; its system lives on.
    pub crashed: bool,
    /// The server whose image it runs since its last power-on.
    pub runs: Option<ServerId>,
    /// When the image answers.
    pub ready_at: u64,
    pub resets: u64,
    pub session: u64,
    pub bmc_dead: bool,
    /// It has mains again, and answers from then on.
    pub bmc_back_at: u64,
    /// The BMC says Off while the machine runs on.
    pub lies_off: bool,
    /// Its kernel lives although its service is frozen: it still sends frames.
    pub chatty: bool,
    /// Its BMC shares the first port and sends frames there whatever the machine does.
    pub sideband: bool,
    /// Frames it sent, and frames its BMC sent.
    pub frames: (u64, u64),
    /// Power commands are accepted and ignored.
    pub stuck: bool,
    /// It powers on and never gets any further.
    pub hangs: bool,
    pub wrong_serial: bool,
    /// What its firmware tells of its boot; it counts no resets then.
    pub boot_progress: Option<String>,
    pub operations: u64,
}

/// The whole world.
pub struct World {
    pub spares: usize,
    /// The wall clock stands so much ahead of `now`: for limits of hours.
    pub wall_ahead: u64,
    /// Whether the core is told that this is a lab's estate.
    pub lab: bool,
    /// The documents that the core is started with.
    pub estate: vocabulary::estate::Estate,
    names: estate::Names,
    pub now: u64,
    pub state: Option<State>,
    pub facts: Vec<Fact>,
    pub records: Vec<Record>,
    pub machines: BTreeMap<MachineId, Box_>,
    pub ports: BTreeMap<PortId, PortSetting>,
    pub outlets: outlets::Outlets,
    pub volumes: BTreeMap<VolumeId, (BTreeSet<InitiatorName>, BTreeSet<InitiatorName>)>,
    pub holders: BTreeMap<VolumeId, PlanId>,
    pub permits: BTreeMap<MachineId, (ServerId, Epoch)>,
    pub barred: BTreeSet<Resource>,
    pub dead_agents: BTreeSet<Agent>,
    /// What plugins say, wherever they are run; a complaint is part of what vantage points see.
    pub plugin: CheckOutcome,
    /// What vantage points see while it is watched, instead of what is so.
    pub seen: Option<CheckOutcome>,
    /// Machines whose power has changed are looked at closely until then, and how each was read last.
    closely: (u64, BTreeMap<MachineId, bool>),
    /// Servers whose crashed kernels tell that they write their memory away.
    pub dumps: BTreeSet<ServerId>,
    /// Machines whose firmware takes so long, and then asks a boot service; the others' is told by none, and takes no time.
    pub posts: BTreeMap<MachineId, u64>,
    /// Systems run, and write nothing.
    pub idle: bool,
    /// Vantage points that look no more.
    pub gone: BTreeSet<AgentId>,
    pub replies: BTreeMap<u64, Result<Option<PlanId>, Fault>>,
    pub latency: u64,
    pub most_effective: usize,
    pub canaries: bool,
    /// The switch cannot write its start-up configuration: no bar of it stands.
    pub unsaved: bool,
    /// How often a port was read, apart from the read-back of a change.
    pub port_reads: u32,
    pub lost_answers: u32,
    /// What the gates keep; bars and holders stand above.
    pub epochs: BTreeMap<(String, Resource), Epoch>,
    /// Lives of agents, and the life in which the shell knows each.
    pub boots: BTreeMap<String, u64>,
    pub lives: BTreeMap<String, u64>,
    /// Copies of gate files that somebody has put away.
    pub copies: BTreeMap<String, gate::Memory>,
    /// What else the gates go by.
    pub gates: gate::Gates,
    /// Agents that have forgotten something they had confirmed.
    pub forgetful: BTreeSet<String>,
    /// Agents whose memory was put back, and that were not seeded since.
    pub restored: BTreeSet<String>,
    queue: BTreeMap<(u64, u64), What>,
    wake: Option<u64>,
    serial: u64,
    ticket: u64,
}

pub fn id<T: std::str::FromStr>(text: &str) -> T
where
    T::Err: std::fmt::Debug,
{
    text.parse().unwrap()
}

impl World {
    /// A lab of `machines` machines whose core has started, with everything enrolled.
    pub fn new(machines: usize) -> World {
        World::with_spares(machines, 1)
    }

    /// The same with that many spares.
    pub fn with_spares(machines: usize, spares: usize) -> World {
        let estate = estate::lab_with(machines, spares);
        let mut world = World {
            spares,
            wall_ahead: 0,
            lab: true,
            estate: estate.clone(),
            names: estate::Names::of(&estate),
            now: 0,
            state: None,
            facts: vec![],
            records: vec![],
            machines: estate.machines.keys().map(|m| (m.clone(), Box_::off())).collect(),
            ports: estate.machines.values().flat_map(|m| m.ports()).map(|p| (p, estate::vlan(1))).collect(),
            outlets: Default::default(),
            volumes: estate.servers.values().flat_map(|s| s.volumes.iter().map(|v| (v.id(), Default::default()))).collect(),
            holders: BTreeMap::new(),
            permits: BTreeMap::new(),
            barred: BTreeSet::new(),
            dead_agents: BTreeSet::new(),
            plugin: CheckOutcome::Healthy,
            seen: None,
            closely: (0, BTreeMap::new()),
            dumps: BTreeSet::new(),
            posts: BTreeMap::new(),
            idle: false,
            gone: BTreeSet::new(),
            replies: BTreeMap::new(),
            latency: 5,
            most_effective: 0,
            canaries: true,
            unsaved: false,
            port_reads: 0,
            lost_answers: 0,
            epochs: BTreeMap::new(),
            boots: BTreeMap::new(),
            lives: BTreeMap::new(),
            copies: BTreeMap::new(),
            gates: gate::Gates::default(),
            forgetful: BTreeSet::new(),
            restored: BTreeSet::new(),
            queue: BTreeMap::new(),
            wake: None,
            serial: 0,
            ticket: 0,
        };
        world.take_in();
        world
    }

    /// Starts the core and enrols every machine.
    pub fn take_in(&mut self) {
        self.boot_core();
        let names: Vec<MachineId> = self.machines.keys().cloned().collect();
        for machine in names {
            self.intent(Intent::EnrolMachine { machine });
        }
        self.run(3_000);
    }

    /// Starts a core on the records there are: what a restart of the controller does.
    pub fn boot_core(&mut self) {
        let mut state = State::new();
        // as a store gives it back that has put half of it together
        let (old, kept) = self.records.split_at(self.records.len() / 2);
        state.ledger = Ledger::from_text(&self.folded(old).to_text().unwrap()).unwrap();
        for record in kept {
            let event = Event { now: Instant(0), wall: record.at, what: What::Replayed(Box::new(record.clone())) };
            state = step(state, event).0;
        }
        assert_eq!(state.ledger, self.folded(&self.records), "it is the same from a base on");
        self.state = Some(state);
        self.queue.clear();
        self.wake = None;
        self.lives.clear();
        self.tell(What::EstateLoaded(std::sync::Arc::new(self.estate.clone())));
        self.tell(What::Started {
            key: Secret::new("0123456789abcdef"),
            lab: self.lab,
            controller: vocabulary::ControllerLife::default(),
            lineage: vocabulary::Lineage("0".into()),
        });
        let pdus: Vec<Agent> = self.estate.pdus.keys().cloned().map(Agent::Outlets).collect();
        let others = [Agent::Bmc(None), Agent::Switch(id("sw1")), Agent::Storage(id("store1")), Agent::Boot(id("boot1"))];
        for agent in others.into_iter().chain(pdus) {
            if !self.dead_agents.contains(&agent) {
                self.greet(&agent);
            }
        }
    }

    pub fn servers(&self) -> Vec<ServerId> {
        self.names.servers.clone()
    }

    pub fn state(&self) -> &State {
        self.state.as_ref().unwrap()
    }

    pub fn intent(&mut self, intent: Intent) -> u64 {
        self.intent_of("uid 0", intent)
    }

    /// The same, asked for by somebody.
    pub fn intent_of(&mut self, principal: &str, intent: Intent) -> u64 {
        self.ticket += 1;
        let ticket = self.ticket;
        self.tell(What::Intent { ticket, principal: principal.into(), intent });
        ticket
    }

    fn later(&mut self, at: u64, what: What) {
        self.serial += 1;
        self.queue.insert((at.max(self.now), self.serial), what);
    }

    /// One event into the core, its effects into the world.
    pub fn tell(&mut self, what: What) {
        let answered = matches!(what, What::Completed { .. });
        let event = Event { now: Instant(self.now), wall: WallTime(self.wall()), what };
        let (state, effects) = step(self.state.take().unwrap(), event);
        // what only was seen, and changed nothing, breaks no law
        if !effects.is_empty() {
            let breaches = pipeline::invariants::breaches(&state);
            assert!(breaches.is_empty(), "{breaches:?}");
        }
        self.state = Some(state);
        let moves = effects.iter().any(|effect| matches!(effect, Effect::Command(_)));
        for effect in effects {
            match effect {
                Effect::Record(record) => {
                    self.facts.push(record.fact.clone());
                    self.records.push(*record);
                }
                Effect::Command(command) => self.carry_out(*command),
                Effect::Wake(at) => self.wake = Some(self.wake.map_or(at.0, |already| already.min(at.0))),
                Effect::Reply { ticket, answer } => {
                    self.replies.insert(ticket, answer);
                }
            }
        }
        if answered {
            self.find_forgetful();
        }
        if moves {
            self.judge();
        }
    }

    fn carry_out(&mut self, command: Command) {
        if self.dead_agents.contains(&command.agent) {
            let outcome = Err(AgentError::Unreachable { reason: "no route".into() });
            let at = self.now + 1_000;
            return self.later(at, What::Completed { op: command.op, outcome, took: Span(0) });
        }
        self.greet(&command.agent);
        if let Some(refusal) = pipeline::trust::refusal(&self.state().ledger, &command.agent, command.action()) {
            let at = self.now + self.latency;
            return self.later(at, What::Completed { op: command.op, outcome: Err(refusal), took: Span(0) });
        }
        let agent = command.agent.to_string();
        let takes_away = command.action().takes_away() || matches!(command.agent, Agent::Vantage(_));
        // a gate that knows that it lost its memory refuses by itself
        let deceived = self.forgetful.contains(&agent) && !self.gates.untrusted.contains(&agent);
        // outlets are lifted by a trial, and where they were cut in vain
        let outlets = |resources: &[Resource]| resources.iter().all(|one| matches!(one, Resource::Outlet(_)));
        if matches!(command.action(), Action::LiftBar { resources } if !outlets(resources)) {
            let kind = self.state().ledger.plans.get(&command.plan).map(|row| row.plan.body().kind);
            assert_eq!(kind, Some(pipeline::plan::Kind::Release), "only a release lifts bars: {:?}", command.action());
        }
        assert!(takes_away || !deceived, "{agent} with an older memory is asked: {:?}", command.action());
        let mut outcome = self.ask(&agent, &command);
        if self.lost_answers > 0 && !command.action().is_read() {
            self.lost_answers -= 1;
            outcome = Err(AgentError::Unreachable { reason: "the answer was lost".into() });
        }
        let at = self.now + self.latency;
        if outcome.as_ref().is_err_and(|error| error.is_refusal() || matches!(error, AgentError::Unreachable { .. })) {
            // the shell looks whether it is another life, and tells what it heard
            let hello = self.hello(&agent);
            self.later(at, hello);
        }
        self.later(at, What::Completed { op: command.op, outcome, took: Span(0) });
    }

    fn refused(reason: &str) -> Result<Answer, AgentError> {
        Err(AgentError::Refused { reason: reason.into() })
    }

    fn act(&mut self, agent: &Agent, action: &Action) -> Result<Answer, AgentError> {
        match action {
            Action::AdvanceEpoch { resources } => Ok(self.advanced(agent, resources)),
            Action::ReadMachine { machine } | Action::SetRestorePolicyOff { machine } | Action::SetBootTarget { machine, .. } => {
                self.read_machine(machine)
            }
            Action::PowerOff { .. } | Action::PowerOn { .. } | Action::ShutDown { .. } => self.act_on_power(action),
            Action::GrantVolume { .. } | Action::RevokeVolume { .. } | Action::ReadVolume { .. } => self.act_on_volume(action),
            Action::BarPort { port, quarantine } => {
                self.barred.insert(Resource::Port(port.clone()));
                self.set_port(port, PortSetting::access(*quarantine))
            }
            Action::JoinPort { port, setting, .. } => {
                if self.barred.contains(&Resource::Port(port.clone())) {
                    return World::refused("barred");
                }
                self.set_port(port, setting.clone())
            }
            Action::ParkPort { port, parking } => self.set_port(port, PortSetting::access(*parking)),
            Action::ReadPort { port } => {
                self.port_reads += 1;
                self.read_port(port)
            }
            Action::GrantPermit { permit } => {
                if self.barred.contains(&Resource::Permit(permit.machine.clone())) {
                    return World::refused("barred");
                }
                self.permits.insert(permit.machine.clone(), (permit.server.clone(), permit.epoch));
                self.read_permit(&permit.machine)
            }
            Action::RevokePermit { machine } => {
                self.barred.insert(Resource::Permit(machine.clone()));
                self.permits.remove(machine);
                self.read_permit(machine)
            }
            Action::ReadPermit { machine } => self.read_permit(machine),
            Action::LiftBar { resources } => {
                self.barred.retain(|barred| !resources.contains(barred));
                Ok(Answer::Done)
            }
            Action::CountSupplies { .. } | Action::ReadOutlet { .. } | Action::CutOutlet { .. } | Action::FeedOutlet { .. } => {
                self.act_on_outlet(action)
            }
            Action::RunCheck { check: Check::Exec(_) } => Ok(Answer::Check { outcome: self.plugin.clone() }),
            Action::RunCheck { check } => Ok(Answer::Check { outcome: self.look(&estate::checked(check)) }),
            // what it says of itself is told by `hello`
            Action::Hello | Action::Introduce { .. } | Action::Vouch { .. } => Ok(Answer::Done),
            Action::ReadContacts { .. }
            | Action::ReadFindings { .. }
            | Action::Survey { .. }
            | Action::WatchMachine { .. }
            | Action::AwaitChange { .. }
            | Action::Identify { .. } => World::refused("not asked in these tests"),
        }
    }

    fn act_on_power(&mut self, action: &Action) -> Result<Answer, AgentError> {
        match action {
            Action::PowerOff { machine } => {
                self.barred.insert(Resource::Machine(machine.clone()));
                self.power(machine, false)
            }
            Action::PowerOn { machine } => {
                if self.barred.contains(&Resource::Machine(machine.clone())) {
                    return World::refused("barred");
                }
                self.power(machine, true)
            }
            Action::ShutDown { machine } => self.power(machine, false),
            _ => World::refused("not a power action"),
        }
    }

    fn act_on_volume(&mut self, action: &Action) -> Result<Answer, AgentError> {
        match action {
            Action::RevokeVolume { volume, keep } => {
                let holder = self.holders.get(volume);
                if let Some(keep) = keep {
                    if holder.is_none_or(|plan| !keep.0.ends_with(&format!(".e{}", plan.0.0))) {
                        return World::refused("no such holder");
                    }
                } else {
                    self.holders.remove(volume);
                }
                let (allowed, sessions) = self.volumes.get_mut(volume).unwrap();
                allowed.retain(|name| Some(name) == keep.as_ref());
                sessions.retain(|name| Some(name) == keep.as_ref());
                self.read_volume(volume)
            }
            Action::GrantVolume { volume, initiator, holder, .. } => {
                if self.holders.get(volume).is_some_and(|plan| *plan != holder.plan) {
                    return World::refused("another holder");
                }
                self.holders.insert(volume.clone(), holder.plan);
                self.volumes.get_mut(volume).unwrap().0 = BTreeSet::from([initiator.clone()]);
                self.read_volume(volume)
            }
            Action::ReadVolume { volume } => self.read_volume(volume),
            _ => World::refused("not a volume action"),
        }
    }

    fn read_machine(&self, machine: &MachineId) -> Result<Answer, AgentError> {
        let box_ = &self.machines[machine];
        if !self.machine_answers(machine) {
            return Err(AgentError::Unreachable { reason: "the BMC does not answer".into() });
        }
        let power = if box_.lies_off { PowerState::Off } else { box_.power };
        let serial = if box_.wrong_serial { "OTHER".to_owned() } else { format!("S-{machine}") };
        Ok(Answer::Machine(MachineReading {
            session: box_.session,
            identity: Identity { uuid: if box_.wrong_serial { "x".into() } else { format!("u-{machine}") }, serial },
            certificate: Some("c".into()),
            system_power: power,
            chassis_power: Some(power),
            last_reset: box_.boot_progress.is_none().then(|| box_.resets.to_string()),
            boot_progress: box_.boot_progress.clone(),
            bmc_started: Some("b".into()),
            restore_policy: RestorePolicy::AlwaysOff,
            health: None,
            read_at: WallTime(self.now),
        }))
    }

    fn machine_answers(&self, machine: &MachineId) -> bool {
        !self.machines[machine].bmc_dead && self.bmc_has_power(machine)
    }

    fn power(&mut self, machine: &MachineId, on: bool) -> Result<Answer, AgentError> {
        if !self.machine_answers(machine) {
            return Err(AgentError::Unreachable { reason: "the BMC does not answer".into() });
        }
        if !self.machines[machine].stuck {
            if on { self.power_on(machine) } else { self.power_off(machine) }
        }
        self.read_machine(machine)
    }

    /// The machine loses power, whoever did it.
    pub fn power_off(&mut self, machine: &MachineId) {
        let box_ = self.machines.get_mut(machine).unwrap();
        box_.power = PowerState::Off;
        box_.runs = None;
        (box_.frozen, box_.crashed) = (false, false);
    }

    /// The machine gets power, whoever did it: it boots what it may.
    pub fn power_on(&mut self, machine: &MachineId) {
        let may = self.permits.get(machine).cloned();
        let box_ = self.machines.get_mut(machine).unwrap();
        if box_.power == PowerState::On {
            return;
        }
        let asks_at = self.posts.get(machine).map(|post| self.now + post);
        let ready_at = asks_at.unwrap_or(self.now) + 2_000;
        asks_at.into_iter().for_each(|at| self.asks(machine, at));
        let box_ = self.machines.get_mut(machine).unwrap();
        box_.power = PowerState::On;
        box_.resets += 1;
        box_.ready_at = if box_.hangs { u64::MAX } else { ready_at };
        box_.runs = may.as_ref().map(|(server, _)| server.clone());
        if let Some((server, epoch)) = may {
            let initiator = InitiatorName::of_placement(&server, epoch);
            for volume in self.names.volumes[&server].clone() {
                let (allowed, sessions) = self.volumes.get_mut(&volume).unwrap();
                if allowed.contains(&initiator) {
                    sessions.insert(initiator.clone());
                }
            }
        }
    }

    fn set_port(&mut self, port: &PortId, setting: PortSetting) -> Result<Answer, AgentError> {
        self.ports.insert(port.clone(), setting);
        self.read_port(port)
    }

    fn read_volume(&self, volume: &VolumeId) -> Result<Answer, AgentError> {
        let (allowed, sessions) = &self.volumes[volume];
        let operations = self.machines.values().map(|m| m.operations).sum();
        let session =
            |(n, name): (usize, &InitiatorName)| Session { initiator: name.clone(), number: n as u64, address: String::new() };
        Ok(Answer::Volume(VolumeReading {
            volume: volume.clone(),
            allowed: allowed.iter().cloned().collect(),
            open_to_others: false,
            sessions: sessions.iter().enumerate().map(session).collect(),
            in_flight: Some(0),
            exports: 1,
            operations: Some(operations),
            persistent: true,
            read_at: WallTime(self.now),
        }))
    }

    fn read_permit(&self, machine: &MachineId) -> Result<Answer, AgentError> {
        Ok(Answer::Permit(PermitReading {
            machine: machine.clone(),
            standing: self.permits.get(machine).cloned(),
            read_at: WallTime(self.now),
        }))
    }

    /// Lets time pass: answers arrive, watchers look every 500 ms.
    pub fn run(&mut self, ms: u64) {
        let end = self.now + ms;
        // whatever befell the devices since
        self.judge();
        while self.now < end {
            let next = self.queue.first_key_value().map(|((at, _), _)| *at);
            let look = (self.now / 500 + 1) * 500;
            // one wake-up, as the shell keeps it
            if let Some(at) = self.wake.filter(|at| *at <= end && *at < look && next.is_none_or(|next| *at <= next)) {
                self.wake = None;
                self.pass(at);
                self.tell(What::Tick);
                continue;
            }
            match next {
                Some(at) if at < look && at <= end => {
                    let ((at, _), what) = self.queue.pop_first().unwrap();
                    self.pass(at);
                    self.tell(what);
                }
                _ if look <= end => {
                    self.pass(look);
                    self.observe();
                }
                _ => self.pass(end),
            }
        }
    }

    /// What the wall clock says.
    pub fn wall(&self) -> u64 {
        1_000_000 + self.now + self.wall_ahead
    }

    /// The records as lines, the same on every machine.
    pub fn story(&self) -> String {
        self.story_from(0)
    }

    /// The records after the first `skip`, with the milliseconds since then.
    pub fn story_from(&self, skip: usize) -> String {
        let begin = self.records.get(skip).map_or(0, |record| record.at.0);
        let line =
            |record: &Record| format!("{:>6} {}\n", record.at.0.saturating_sub(begin), pipeline::story::sentence(&record.fact));
        self.records.iter().skip(skip).map(line).collect()
    }

    pub fn start_servers(&mut self) {
        for server in self.servers() {
            self.intent(Intent::StartServer { server });
        }
        self.run(10_000);
    }
}
