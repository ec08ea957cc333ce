//! One world from its begin to its end: everything is taken in and started, the seed's fate befalls it, then all mishaps end, and every server
//! must come to rest: running, or held for a reason that has a name. Must never help the controller: it does what others do.

pub mod another;
mod deeds;
mod estates;
mod outlets;

use crate::agents::Fault;
use crate::coverage::Coverage;
use crate::deed::{Button, Deed, Edit, Place, Road, ToBmc, ToController, ToMachine, ToProcess, ToSwitch, ToTarget};
use crate::fate::{Fate, Timed};
use crate::hall::Hall;
use crate::judge::Violation;
use crate::site::{Controller, Site};
use crate::store::Copy;
use contract::wire::enrol::Authority;
use engine::agents::AgentView;
use pipeline::event::Intent;
use pipeline::ledger::PlanRow;
use pipeline::record::Subject;
use pipeline::s2_decide::guard::{self, Domain};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use vocabulary::estate::Mode;
use vocabulary::{AgentId, MachineId, ServerId};

/// How long everybody has to be taken in, in a quiet world.
const TAKEN_IN: Duration = Duration::from_secs(120);
/// The same of each machine whose outlets are tried, one after the other.
const TRIED: Duration = Duration::from_secs(120);
/// How often is looked whether something has come about.
const LOOK: Duration = Duration::from_millis(500);
/// How long after the last mishap every server must have come to rest.
const REST: Duration = Duration::from_secs(1_800);
/// For how long servers have to run before that counts as rest.
const STILL: Duration = Duration::from_secs(10);
/// The same where one is blocked: what blocks it may only be waiting for a window.
const STILL_BLOCKED: Duration = Duration::from_secs(180);
/// How often somebody looks at what the guard holds.
const LOOKS_AGAIN: Duration = Duration::from_secs(30);
/// How often somebody tries to have a restored store adopted when all mishaps are over.
const ADOPTS: u32 = 3;
/// How long a person takes from the end of a mishap to the next step.
const PERSON: Duration = Duration::from_secs(2);

/// What must not be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Breach {
    /// The law, as `reference` texts name it: `I1`, `L2`.
    pub law: String,
    /// When, since the world's begin.
    pub at: Duration,
    /// In a sentence.
    pub sentence: String,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {:.3} s: {}", self.law, self.at.as_secs_f64(), self.sentence)
    }
}

/// How a server rests.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Rest {
    /// It runs where the ledger says.
    Running(MachineId),
    /// Nobody wants it to run.
    Stopped,
    /// Nothing is done, for this reason.
    Blocked(String),
    /// None of these: what is so instead.
    Not(String),
}

/// What the ledger says of a server.
struct Row {
    placed: Option<MachineId>,
    held: Option<String>,
    /// Its open plan.
    plan: Option<String>,
    wanted: bool,
    /// How its last plan failed, if it did.
    ended: Option<String>,
}

/// A world that is being played.
pub struct Play {
    /// The world.
    pub site: Site,
    /// Its controller, if one runs.
    pub controller: Option<Controller>,
    /// Further controllers, on copies of its store.
    pub others: Vec<Controller>,
    /// What was met.
    pub coverage: Coverage,
    /// What happened, one line each.
    pub story: Vec<(Duration, String)>,
    /// What operators were answered: the newest refusal for each server.
    refused: Arc<Mutex<BTreeMap<ServerId, String>>>,
    crash_after: Option<pipeline::stage::Stage>,
    /// The last backup of the store.
    backup: Option<Copy>,
    /// The controller that runs is to die when a failover enters some stage.
    armed: bool,
    begun: Instant,
}

impl Play {
    /// Raises a world: everything runs, nothing is taken in yet.
    pub async fn raise(seed: u64, hall: Hall, authority: Arc<Authority>) -> Result<Play, Fault> {
        let begun = world::clock::now();
        let mut site = Site::raise(seed, hall, authority).await?;
        let controller = Some(site.start_controller()?);
        Ok(Play {
            site,
            controller,
            others: Vec::new(),
            coverage: Coverage::default(),
            story: Vec::new(),
            refused: Arc::default(),
            crash_after: None,
            backup: None,
            armed: false,
            begun,
        })
    }

    /// How old the world is.
    pub fn age(&self) -> Duration {
        world::clock::since(self.begun)
    }

    /// What befell all machines, as far as they keep it.
    pub fn machines(&self) -> Vec<String> {
        let mut all = Vec::new();
        for (id, stand) in &self.site.stands {
            all.extend(stand.machine.trace().iter().map(|happened| (happened.at, format!("{id} {:?}", happened.event))));
        }
        all.sort_by_key(|(at, _)| *at);
        let mut lines: Vec<String> = all.into_iter().map(|(at, line)| format!("{:.3} s {line}", at.as_secs_f64())).collect();
        for port in self.site.bridge.ports() {
            lines.push(format!("port {port}: {:?}", self.site.bridge.running(&port)));
        }
        lines
    }

    fn tell(&mut self, line: impl Into<String>) {
        self.story.push((self.age(), line.into()));
    }

    /// Takes everybody in and tells every server to start.
    pub async fn begin(&mut self) -> Result<(), Fault> {
        self.press(Intent::SetTierMode { tier: "gold".parse()?, mode: Mode::Auto }).await?;
        let agents: Vec<AgentId> = self.site.hosts.keys().cloned().collect();
        for agent in agents {
            self.press(Intent::EnrolAgent { agent }).await?;
        }
        // the agents have said hello by then
        tokio::time::sleep(Duration::from_secs(5)).await;
        let machines: Vec<MachineId> = self.site.estate.machines.keys().cloned().collect();
        for machine in machines {
            self.press(Intent::EnrolMachine { machine }).await?;
        }
        let tried = self.site.estate.machines.values().filter(|machine| !machine.outlets.is_empty()).count();
        let until = world::clock::now() + TAKEN_IN + TRIED * u32::try_from(tried).unwrap_or(u32::MAX);
        while !self.taken_in().await {
            if world::clock::now() > until {
                return Err("not every machine was taken in, in a quiet world".into());
            }
            tokio::time::sleep(LOOK).await;
        }
        let servers: Vec<ServerId> = self.site.estate.servers.keys().cloned().collect();
        for server in servers {
            self.press(Intent::StartServer { server }).await?;
        }
        self.tell("every machine is taken in, every server is told to start");
        Ok(())
    }

    async fn press(&self, intent: Intent) -> Result<(), Fault> {
        let controller = self.controller.as_ref().ok_or("no controller runs")?;
        let what = format!("{intent:?}");
        controller.handle.intent("uid 0".to_owned(), intent).await.map_err(|fault| format!("{what}: {fault}"))?;
        Ok(())
    }

    async fn taken_in(&self) -> bool {
        let Some(controller) = &self.controller else { return false };
        let machines: Vec<MachineId> = self.site.estate.machines.keys().cloned().collect();
        let asked = controller.handle.query(move |state| {
            let in_ledger = |id| state.ledger.machines.get(id).is_some_and(|row| row.enrolled.is_some());
            // nobody starts a server while its machine's BMC has just begun
            let off = |id| {
                let watch: Option<&pipeline::watch::MachineWatch> = state.watch.machines.get(id);
                watch.is_some_and(|watch| watch.last.as_ref().is_some_and(|(_, reading)| reading.all_off()))
            };
            machines.iter().all(|id| in_ledger(id) && off(id)) && state.ledger.open_plans().next().is_none()
        });
        asked.await.unwrap_or(false)
    }

    /// Lets a fate befall it.
    pub async fn befall(&mut self, fate: &Fate) {
        let begun = tokio::time::Instant::now();
        for Timed { at, deed } in &fate.deeds {
            tokio::time::sleep_until(begun + *at).await;
            self.act(deed).await;
        }
        tokio::time::sleep_until(begun + fate.span).await;
    }

    /// Ends everything that a mishap began. Dead machines stay dead, and what was done to the controller's estate of mind stays done.
    pub async fn calm(&mut self) {
        self.tell("all mishaps end");
        let machines: Vec<MachineId> = self.site.stands.keys().cloned().collect();
        for machine in &machines {
            self.strike_way(&Place::Bmc(machine.clone()), Road::Fair);
            self.strike_bmc(machine, &ToBmc::Well);
            self.strike_machine(machine, ToMachine::Thaw).await;
            self.strike_machine(machine, ToMachine::RegainMains).await;
            self.light(machine);
        }
        self.strike_switch(&ToSwitch::Weather(0));
        self.strike_target(ToTarget::Weather(0));
        for port in self.site.bridge.ports() {
            // the boot service, the target and the gateway have their ports as they were; a machine that is off shows no link
            let machine = self.site.stands.iter().find(|(id, _)| port.starts_with(&format!("{id}-")));
            if machine.is_none_or(|(_, stand)| stand.machine.is_on()) {
                self.site.bridge.plug(&port, true);
            }
        }
        let agents: Vec<AgentId> = self.site.hosts.keys().cloned().collect();
        for agent in &agents {
            self.strike_way(&Place::Agent(agent.clone()), Road::Fair);
            if let Some(host) = self.site.hosts.get(agent) {
                host.disk.no_fuse();
            }
            for what in [ToProcess::Room, ToProcess::GoOn, ToProcess::Start] {
                self.strike_agent(agent, what).await;
            }
        }
        self.crash_after = None;
        self.edit_estate(&Edit::Back);
        if self.armed {
            self.strike_controller(ToController::Process(ToProcess::Kill));
        }
        for what in [ToProcess::Room, ToProcess::GoOn, ToProcess::Start] {
            self.strike_controller(ToController::Process(what));
        }
        self.site.store.no_fuse();
        self.strike_controller(ToController::RegainUplink);
    }

    /// Waits until every server has come to rest; what breaks that law.
    pub async fn rest(&mut self) -> Vec<Breach> {
        tokio::time::sleep(PERSON).await;
        for _ in 0..ADOPTS {
            let Some(handle) = self.controller.as_ref().map(|controller| controller.handle.clone()) else { break };
            if estates::adopt(handle).await {
                break;
            }
        }
        let mut wanting = self.have_seeded().await;
        for button in self.brakes().await.into_iter().chain([Button::SetMode(Mode::Auto)]) {
            self.act(&Deed::Operator(button)).await;
        }
        let until = world::clock::now() + REST;
        let mut since: Option<(Instant, BTreeMap<ServerId, Rest>)> = None;
        let (mut looked, mut asked) = (None, world::clock::now());
        loop {
            let rests = self.rests().await;
            let all = rests.values().all(|rest| !matches!(rest, Rest::Not(_))) && !self.cuts_off().await;
            let now = world::clock::now();
            match &since {
                Some((from, same)) if all && *same == rests => {
                    let blocked = rests.values().any(|rest| matches!(rest, Rest::Blocked(_)));
                    if now - *from >= if blocked { STILL_BLOCKED } else { STILL } {
                        return self.rested(&rests);
                    }
                }
                _ if all => since = Some((now, rests)),
                _ if now > until => return self.rested(&rests),
                _ => since = None,
            }
            if looked.is_none_or(|at: Instant| now - at > LOOKS_AGAIN) && self.is_guarded().await {
                // what is still dead when all mishaps are over is dead indeed
                looked = Some(now);
                self.act(&Deed::Operator(Button::LetGo)).await;
            }
            if wanting && now - asked > LOOKS_AGAIN {
                asked = now;
                wanting = self.have_seeded().await;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// What the judge found, to the end.
    pub fn judged(&mut self) -> Vec<Breach> {
        let found = self.site.judge.end();
        if !self.site.judge.foreign().is_empty() {
            self.coverage.met("overlap by a foreign hand");
        }
        let breach =
            |violation: Violation| Breach { law: violation.invariant.to_owned(), at: violation.at, sentence: violation.sentence };
        found.into_iter().map(breach).collect()
    }

    fn rested(&mut self, rests: &BTreeMap<ServerId, Rest>) -> Vec<Breach> {
        let mut breaches = Vec::new();
        for (server, rest) in rests {
            self.tell(format!("{server}: {rest:?}"));
            match rest {
                Rest::Running(_) => self.coverage.met("rest running"),
                Rest::Stopped => self.coverage.met("rest stopped"),
                Rest::Blocked(why) => {
                    let code: String = why.split(' ').next().unwrap_or_default().to_owned();
                    self.coverage.met(format!("rest blocked {code}"));
                }
                Rest::Not(why) => {
                    let sentence =
                        format!("{server} came to no rest within {} s after all mishaps had ended: {why}", REST.as_secs());
                    breaches.push(Breach { law: "L2".to_owned(), at: self.age(), sentence });
                }
            }
        }
        breaches
    }

    /// Somebody has the agents seeded that want it. False if none does.
    async fn have_seeded(&mut self) -> bool {
        let wanting = self.untrusted().await;
        for agent in &wanting {
            self.act(&Deed::Operator(Button::Readopt(agent.clone()))).await;
        }
        !wanting.is_empty()
    }

    /// Agents that want a person: those whose memory is an older copy, and those that know themselves that it is worth nothing.
    async fn untrusted(&self) -> Vec<AgentId> {
        let Some(controller) = &self.controller else { return Vec::new() };
        let views = controller.handle.agents().await;
        let lost = |view: &AgentView| view.hello.as_ref().is_ok_and(|hello| !hello.trusted);
        let wants = views.into_iter().filter(|view| view.older.is_some() || lost(view));
        wants.filter_map(|view| view.agent.parse().ok()).collect()
    }

    /// What ends all that persons hold or work on.
    async fn brakes(&self) -> Vec<Button> {
        let Some(controller) = &self.controller else { return Vec::new() };
        let told = controller.handle.query(|state| {
            let holds = state.ledger.holds.keys().cloned().map(Button::Resume);
            let works = state.ledger.maintenance.keys().filter_map(|subject| match subject {
                Subject::Machine(machine) => Some(Button::EndMaintenance(machine.clone())),
                Subject::Server(_) => None,
            });
            holds.chain(works).collect()
        });
        told.await.unwrap_or_default()
    }

    /// Whether something is still to be cut off. What only a dead BMC could say is waited for by nobody.
    async fn cuts_off(&self) -> bool {
        let Some(controller) = &self.controller else { return false };
        let told = controller.handle.query(|state| state.ledger.orders.keys().any(|(_, _, what)| !what.starts_with("power")));
        told.await.unwrap_or(false)
    }

    /// Whether the guard holds anything.
    async fn is_guarded(&self) -> bool {
        let Some(controller) = &self.controller else { return false };
        let now = controller.handle.clock().now();
        let told = controller.handle.query(move |state| guard::troubled(state, now).iter().any(Domain::is_held));
        told.await.unwrap_or(false)
    }

    async fn rests(&self) -> BTreeMap<ServerId, Rest> {
        let servers: Vec<ServerId> = self.site.estate.servers.keys().cloned().collect();
        let Some(controller) = &self.controller else {
            return servers.into_iter().map(|server| (server, Rest::Not("no controller runs".into()))).collect();
        };
        let asked = servers.clone();
        let told = controller.handle.query(move |state| {
            let rows = asked.into_iter().map(|server| {
                let row = state.ledger.servers.get(&server);
                let placed = row.and_then(|row| row.placement.as_ref()).map(|placement| placement.machine.clone());
                let held = row.and_then(|row| row.held.as_ref()).map(|(code, reason, ..)| format!("{code} {reason}"));
                let plan = state.ledger.open_plan_of(&server).map(|row| format!("{}", row.plan.id()));
                let wanted = row.is_some_and(|row| row.desired);
                let of_server = |row: &&PlanRow| row.plan.server() == Some(&server);
                let last = state.ledger.plans.values().rev().find(of_server).and_then(|row| row.closed.as_ref());
                let ended = last.and_then(|result| result.as_ref().err()).map(|ended| format!("{} {}", ended.code, ended.reason));
                (server, Row { placed, held, plan, wanted, ended })
            });
            rows.collect::<BTreeMap<_, _>>()
        });
        let Ok(rows) = told.await else {
            return servers.into_iter().map(|server| (server, Rest::Not("the controller does not answer".into()))).collect();
        };
        rows.into_iter().map(|(server, row)| (server.clone(), self.rest_of(&server, row))).collect()
    }

    fn rest_of(&self, server: &ServerId, row: Row) -> Rest {
        let Row { placed, held, plan, wanted, ended } = row;
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner).get(server).cloned().or(ended);
        match (placed, held, plan) {
            (_, Some(why), _) => Rest::Blocked(why),
            (_, None, Some(plan)) => Rest::Not(format!("plan {plan} is open")),
            (_, None, None) if !wanted => Rest::Stopped,
            (None, None, None) => match refused {
                Some(why) => Rest::Blocked(why),
                None => Rest::Not("it was never placed, and nobody said why".into()),
            },
            (Some(machine), None, None) => {
                let serves = self.site.stands.get(&machine).and_then(|stand| stand.machine.service());
                match serves {
                    Some(service) if service.server == server.as_str() => Rest::Running(machine),
                    _ => Rest::Not(format!("it is placed on {machine} and does not serve there")),
                }
            }
        }
    }
}
