//! A scenario's steps under way in a world: what the steps share, and what they wait for. It mirrors the lab's [`crate::run`].

use std::collections::BTreeMap;
use std::time::Duration;

use ::world::machine::{Accident, Happened, Machine};
use api::view::{MachineView, PlanSummary, ServerView};
use pipeline::plan::Kind;
use pipeline::stage::Stage;
use simulator::site::Stand;
use vocabulary::{MachineId, ServerId};

use crate::limits::{HAND, SERVES};
use crate::manner::quirks;
use crate::script::Manner;
use crate::trouble::{Done, Trouble};
use crate::world::rig::Rig;
use crate::world::wait::until;

/// What can be done to a machine past every BMC.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Act {
    /// Its power is gone.
    Kill,
    /// It stands still, its power on.
    Freeze,
    /// It goes on.
    Thaw,
}

/// A scenario under way.
pub struct Run {
    /// Its world.
    pub rig: Rig,
    /// When each machine's last event was, as something was done to one last, by the machines' time.
    pub fault: BTreeMap<MachineId, Duration>,
    /// Which start of a server answered when it was told to restart.
    pub before_restart: BTreeMap<ServerId, String>,
    /// The same of a machine that was powered on by a finger.
    pub pressed: BTreeMap<MachineId, Duration>,
    /// The machine that was made to stand still last.
    pub frozen: Option<MachineId>,
}

/// When a machine's last event was, by its own time.
fn mark(machine: &Machine) -> Duration {
    machine.trace().last().map_or(Duration::ZERO, |last| last.at)
}

impl Run {
    /// Nothing was done yet.
    pub fn new(rig: Rig) -> Run {
        let (fault, before_restart, pressed) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Run { rig, fault, before_restart, pressed, frozen: None }
    }

    /// Brings every server to its first answer.
    pub async fn start(&mut self, tell: &mut dyn FnMut(&str)) -> Done {
        self.rig.start_servers(tell).await?;
        let servers: Vec<ServerId> = self.rig.site.estate.servers.keys().cloned().collect();
        for server in &servers {
            self.wait_serves(server, SERVES).await?;
        }
        tell("both servers answer");
        Ok(())
    }

    /// Waits for an answer of a server.
    pub async fn wait_serves(&self, server: &ServerId, within: Duration) -> Done {
        until(&format!("an answer of {server}"), within, async || {
            let seen = self.rig.eyes.seen(server);
            Ok(if seen.since.is_some() { Ok(()) } else { Err("it does not answer".to_owned()) })
        })
        .await
    }

    /// So many more records than the server had when it answered first from now on.
    pub async fn wait_records(&self, count: u64, server: &ServerId, within: Duration) -> Done {
        let mut first = None;
        until(&format!("{count} more records of {server}"), within, async || {
            let seen = self.rig.eyes.seen(server);
            let Some((_, answer)) = seen.answer.filter(|_| seen.since.is_some()) else {
                return Ok(Err("it does not answer".to_owned()));
            };
            let from = *first.get_or_insert(answer.last);
            Ok(if answer.last >= from + count { Ok(()) } else { Err(format!("{} came", answer.last.saturating_sub(from))) })
        })
        .await
    }

    /// A machine and its BMC.
    pub fn stand(&self, machine: &MachineId) -> Done<&Stand> {
        self.rig.site.stands.get(machine).ok_or_else(|| Trouble::Wrong(format!("{machine} is no machine of this world")))
    }

    /// What befell a machine after that.
    pub fn befell(&self, machine: &MachineId, after: Duration) -> Done<Vec<Happened>> {
        let trace = self.stand(machine)?.machine.trace();
        Ok(trace.into_iter().filter(|happened| happened.at > after).collect())
    }

    /// Does something to a machine.
    pub async fn act(&mut self, machine: &MachineId, act: Act) -> Done {
        let before = self.marks();
        let bmc = self.stand(machine)?.bmc.clone();
        let done = match act {
            Act::Kill => bmc.kill(),
            Act::Freeze => bmc.freeze().await,
            Act::Thaw => bmc.thaw(),
        };
        done.map_err(|refused| Trouble::Wrong(format!("nothing can be done to {machine}: {refused}")))?;
        if act != Act::Thaw {
            self.fault = before;
        }
        if act == Act::Freeze {
            self.frozen = Some(machine.clone());
        }
        Ok(())
    }

    /// When each machine's last event was, by its own time.
    pub fn marks(&self) -> BTreeMap<MachineId, Duration> {
        self.rig.site.stands.iter().map(|(name, stand)| (name.clone(), mark(&stand.machine))).collect()
    }

    /// A finger on a machine's power button.
    pub async fn press_power(&mut self, machine: &MachineId) -> Done {
        let stand = self.stand(machine)?;
        let (before, bmc) = (mark(&stand.machine), stand.bmc.clone());
        bmc.press_button().await.map_err(|refused| Trouble::Wrong(format!("the power button of {machine}: {refused}")))?;
        self.pressed.insert(machine.clone(), before);
        Ok(())
    }

    /// A BMC changes its manners.
    pub fn behave(&self, machine: &MachineId, manner: Manner) -> Done {
        let bmc = &self.stand(machine)?.bmc;
        let now = bmc.state().quirks.clone();
        bmc.set_quirks(now.changed(&quirks(manner)).map_err(Trouble::Wrong)?);
        Ok(())
    }

    /// A part of a machine fails, or is well again.
    pub fn fail_part(&self, machine: &MachineId, what: world::bmc::Mishap) -> Done {
        self.stand(machine)?.bmc.state().happens(what);
        Ok(())
    }

    /// The feed of a machine fails, or is back.
    pub async fn feed(&mut self, machine: &MachineId, back: bool) -> Done {
        let before = self.marks();
        let supplies = self.stand(machine)?.supplies.clone();
        if !supplies.breaker(back).await {
            return Err(Trouble::Wrong(format!("the feed of {machine} is as it was")));
        }
        if !back {
            self.fault = before;
        }
        Ok(())
    }

    /// The controller is started again; with a stage, it dies when a failover enters that.
    pub async fn restart_controller(&mut self, crash_after: Option<Stage>) -> Done {
        self.rig.start_controller(crash_after).await
    }

    /// Something happens inside of a server: it restarts, its service crashes.
    pub fn befall(&mut self, server: &ServerId, accident: Accident) -> Done {
        let Some((_, answer)) = self.rig.eyes.seen(server).answer else {
            return Err(Trouble::Wrong(format!("{server} never answered: it cannot be told anything")));
        };
        self.fault = self.marks();
        let answers = |machine: &&Machine| {
            let service = machine.service().filter(|service| service.server == server.as_str());
            service.is_some_and(|service| format!("{:x}", service.incarnation) == answer.incarnation)
        };
        let machine = self.rig.site.stands.values().map(|stand| &stand.machine).find(answers);
        if !machine.is_some_and(|machine| machine.befall(accident)) {
            return Err(Trouble::Wrong(format!("{server} does not answer: it cannot be told anything")));
        }
        self.before_restart.insert(server.clone(), answer.incarnation);
        Ok(())
    }

    /// A failover by hand without the fence. What the product would put right again is taken away first.
    pub async fn by_hand(&mut self, server: &ServerId, to: &MachineId) -> Done {
        if self.frozen.is_none() {
            return Err(Trouble::Wrong(format!("no machine of {server} stands still")));
        }
        self.rig.take_product_away();
        let started = simulator::hand::start(&self.rig.site, server, to).await;
        started.map_err(|fault| Trouble::Command { command: format!("{server} to {to} by hand"), told: fault.to_string() })?;
        self.wait_serves(server, HAND).await
    }

    /// A server, by the controller's word. While the controller is away its word is that.
    pub async fn server(&self, server: &ServerId) -> Done<Result<ServerView, String>> {
        let id = server.clone();
        self.asked(&format!("{server}"), move |state, now| api::present::server(state, &id, now)).await
    }

    /// A machine, by the controller's word.
    pub async fn machine(&self, machine: &MachineId) -> Done<Result<MachineView, String>> {
        let id = machine.clone();
        self.asked(&format!("{machine}"), move |state, now| api::present::machine(state, &id, now)).await
    }

    /// All failovers, by the controller's word.
    pub async fn failovers(&self) -> Done<Result<Vec<PlanSummary>, String>> {
        self.asked("failovers", |state, _| {
            let plans = state.ledger.plans.values().filter(|row| row.plan.body().kind == Kind::Failover);
            Some(plans.map(api::present::summary).collect())
        })
        .await
    }

    /// All failovers of a server, by the controller's word.
    pub async fn failovers_of(&self, server: &ServerId) -> Done<Result<Vec<PlanSummary>, String>> {
        let of = |plan: &PlanSummary| plan.server.as_deref() == Some(server.as_str());
        Ok(self.failovers().await?.map(|all| all.into_iter().filter(of).collect()))
    }

    async fn asked<T: Send + 'static>(
        &self,
        what: &str,
        question: impl FnOnce(&pipeline::State, vocabulary::Instant) -> Option<T> + Send + 'static,
    ) -> Done<Result<T, String>> {
        let handle = match self.rig.handle() {
            Ok(handle) => handle,
            Err(trouble) => return Ok(Err(trouble.to_string())),
        };
        let now = handle.clock().now();
        let said = handle.query(move |state| question(state, now)).await;
        Ok(said.map_err(|fault| fault.to_string()).and_then(|view| view.ok_or_else(|| format!("it knows nothing of {what}"))))
    }
}
