//! A world with Understudy in it: raised and used for one scenario. The steps' hands and eyes come together here.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::view::WatchView;
use contract::wire::enrol::Authority;
use engine::Handle;
use lab::names::{BOOT_SERVICE, STORAGE_AGENT};
use pipeline::State;
use pipeline::event::Intent;
use pipeline::stage::Stage;
use simulator::agents::{AgentHost, Fault};
use simulator::site::{Controller, Site};
use simulator::store::{Copy, Platter};
use tokio::time::Instant;
use vocabulary::power::PowerState;
use vocabulary::{AgentId, EstateUuid, Lineage, PlanId};

use crate::limits::{COMMAND, LOOK, REASON, SERVES, TRUSTED};
use crate::oracle::Verdict;
use crate::script::Setup;
use crate::trouble::{Done, Trouble};
use crate::world::estate;
use crate::world::eyes::Eyes;
use crate::world::wait::until;

/// Who commands: the operator in front of it.
pub(super) const OPERATOR: &str = "uid 0";
/// What every person waits at least before the first command.
const FIRST: Duration = Duration::from_secs(1);

/// A raised world.
pub struct Rig {
    /// Everything but the controller.
    pub site: Site,
    /// What the users see.
    pub eyes: Eyes,
    /// How it was set up.
    pub setup: Setup,
    controller: Option<Controller>,
    /// The last backup of the store.
    backup: Option<Copy>,
    /// A controller that stood still while another took its place.
    pub stale: Option<Controller>,
    /// The controller of another estate.
    pub stranger: Option<Controller>,
    /// How many commands the storage agent had not obeyed before a rival asked it.
    pub refused_before: u64,
    /// Agents that run where nobody knows of them.
    pub doubled: Vec<AgentHost>,
    /// What agents kept when they were copied last.
    pub copies: BTreeMap<AgentId, BTreeMap<String, Vec<u8>>>,
}

pub(super) fn not_up(fault: Fault) -> Trouble {
    Trouble::NotUp { reason: fault.to_string() }
}

fn away() -> Trouble {
    Trouble::Api("it does not run".to_owned())
}

/// A command as one types it.
fn typed(intent: &Intent) -> String {
    match intent {
        Intent::EnrolAgent { agent } => format!("agent enroll {agent}"),
        Intent::EnrolMachine { machine } => format!("machine enroll {machine}"),
        Intent::StartServer { server } => format!("server start {server}"),
        Intent::ReleaseMachine { machine } => format!("machine release {machine}"),
        other => format!("{other:?}"),
    }
}

impl Rig {
    /// Raises a world and starts Understudy in it. No server runs yet. `tell` is called at each thing that is done.
    pub async fn raise(setup: &Setup, seed: u64, tell: &mut dyn FnMut(&str), change: impl FnOnce(&mut Site)) -> Done<Rig> {
        let hall = estate::hall(setup)?;
        let authority = Authority::create(EstateUuid("world".into()), Lineage("world".into()));
        let authority = Arc::new(authority.map_err(|error| Trouble::NotUp { reason: error.to_string() })?);
        let mut site = Site::raise(seed, hall, authority).await.map_err(not_up)?;
        change(&mut site);
        tell("switch, storage and BMCs are up");
        let eyes = Eyes::open(&site);
        let mut rig = Rig {
            site,
            eyes,
            setup: setup.clone(),
            controller: None,
            backup: None,
            copies: BTreeMap::new(),
            stale: None,
            stranger: None,
            refused_before: 0,
            doubled: Vec::new(),
        };
        rig.start_controller(None).await?;
        rig.enrol_agents().await?;
        tell("the controller and its agents trust each other");
        Ok(rig)
    }

    /// Gives every agent its certificate and waits until the controller trusts all.
    async fn enrol_agents(&self) -> Done {
        tokio::time::sleep(FIRST).await;
        for agent in self.site.hosts.keys().cloned() {
            self.command(Intent::EnrolAgent { agent }).await?;
        }
        until("trust between controller and agents", TRUSTED, async || {
            let views = self.handle()?.agents().await;
            let told: Vec<_> = views.iter().map(api::present::agent).collect();
            Ok(match told.iter().find(|agent| agent.state != "trusted") {
                None if !told.is_empty() => Ok(()),
                Some(agent) => Err(format!("{} is {}: {}", agent.name, agent.state, agent.reason.clone().unwrap_or_default())),
                None => Err("there is no agent".to_owned()),
            })
        })
        .await
    }

    /// Takes the machines in and starts every server; returns when the controller says so.
    pub async fn start_servers(&self, tell: &mut dyn FnMut(&str)) -> Done {
        let estate = self.site.estate.clone();
        let takes_in = estate.machines.keys().map(|machine| Intent::EnrolMachine { machine: machine.clone() });
        self.commands(takes_in.collect(), COMMAND).await?;
        tell("the machines are taken in");
        // a BMC that has lost its mains in a trial of outlets is not believed at once
        until("the power of every machine", COMMAND, async || {
            let unknown = |state: &State| {
                let known = |id| {
                    let last = state
                        .watch
                        .machines
                        .get(id)
                        .and_then(|watch| watch.last.as_ref().filter(|_| watch.failing_since.is_none()));
                    last.is_some_and(|(_, reading)| reading.system_power != PowerState::Unknown)
                };
                state.estate.machines.keys().find(|id| !known(id)).map(ToString::to_string)
            };
            let asked = self.handle()?.query(unknown).await.map_err(|fault| Trouble::Api(fault.to_string()))?;
            Ok(asked.map_or(Ok(()), |machine| Err(format!("nobody knows that of {machine}"))))
        })
        .await?;
        let starts = estate.servers.keys().map(|server| Intent::StartServer { server: server.clone() });
        self.commands(starts.collect(), SERVES).await
    }

    /// What the controller's API uses; an error while it is away.
    pub fn handle(&self) -> Done<&Handle> {
        self.controller.as_ref().filter(|controller| controller.life.runs()).map(|controller| &controller.handle).ok_or_else(away)
    }

    /// What the controller sees of production by itself; an error while it is away.
    pub fn eyes_of_controller(&self) -> Done<&simulator::eyes::Eyes> {
        let controller = self.controller.as_ref().filter(|controller| controller.life.is_alive());
        controller.map(|controller| &controller.eyes).ok_or_else(away)
    }

    /// An operator's command: accepted, or refused with the reason.
    pub async fn command(&self, intent: Intent) -> Done<Option<PlanId>> {
        let typed = typed(&intent);
        let said = self.handle()?.intent(OPERATOR.to_owned(), intent).await;
        said.map_err(|fault| Trouble::Command { command: typed, told: fault.to_string() })
    }

    /// Commands side by side, each followed to the end of its plan, as the command line does it.
    async fn commands(&self, intents: Vec<Intent>, within: Duration) -> Done {
        let mut open: BTreeMap<PlanId, String> = BTreeMap::new();
        for intent in intents {
            let typed = typed(&intent);
            if let Some(plan) = self.command(intent).await? {
                open.insert(plan, typed);
            }
        }
        for (plan, typed) in open {
            self.ends(plan, &typed, within).await?;
        }
        Ok(())
    }

    /// Waits for the end of a plan.
    pub async fn ends(&self, plan: PlanId, typed: &str, within: Duration) -> Done {
        let begun = Instant::now();
        loop {
            let asked = self.handle()?.query(move |state| api::present::plan(state, plan)).await;
            let view = asked.map_err(|fault| Trouble::Api(fault.to_string()))?;
            let view = view.ok_or_else(|| Trouble::Api(format!("it does not know {plan}, which it has accepted")))?;
            match view.summary.state.as_str() {
                "done" => return Ok(()),
                "open" if begun.elapsed() > within => {
                    return Err(Trouble::Late {
                        what: typed.to_owned(),
                        within,
                        last: format!("it waits for {}", view.waits.join("; ")),
                    });
                }
                "open" => tokio::time::sleep(LOOK).await,
                _ => {
                    let told = view.summary.result.unwrap_or_default();
                    return Err(Trouble::Command { command: typed.to_owned(), told });
                }
            }
        }
    }

    /// Starts the controller, and ends it in order before if it runs; with a stage, it dies when a failover enters that.
    pub async fn start_controller(&mut self, crash_after: Option<Stage>) -> Done {
        match self.controller.take() {
            Some(controller) if controller.life.is_alive() => controller.stop().await,
            // one that died by itself leaves tasks behind that end here
            Some(controller) => controller.kill(),
            None => {}
        }
        self.controller = Some(self.site.start_controller_until(crash_after).map_err(not_up)?);
        Ok(())
    }

    /// A backup, instead of the last one.
    pub fn back_up(&mut self) {
        self.backup = Some(self.site.store.copy());
    }

    /// The store is lost with the controller; what the backup makes of it takes its place.
    pub async fn restore_controller(&mut self) -> Done {
        self.kill_controller();
        let backup = self.backup.as_ref().ok_or_else(|| Trouble::Wrong("there is no backup".to_owned()))?;
        self.site.restore(backup).map_err(not_up)?;
        self.start_controller(None).await
    }

    /// The controller stands still.
    pub fn stop_controller(&self) {
        if let Some(controller) = &self.controller {
            controller.life.stop();
        }
    }

    /// What the backup makes is ours from now on; whoever has the store that was keeps it.
    pub async fn restore_beside(&mut self) -> Done {
        let backup = self.backup.clone().ok_or_else(|| Trouble::Wrong("there is no backup".to_owned()))?;
        self.stale = self.controller.take();
        self.site.restore_beside(&backup).map_err(not_up)?;
        self.start_controller(None).await
    }

    /// What lies in the folder of ours, which stands still, is copied as it lies, and the copy is ours from now on.
    pub async fn copy_beside(&mut self) -> Done {
        self.stale = self.controller.take();
        self.site.copy_beside();
        self.start_controller(None).await
    }

    /// A person has the restored store adopted.
    pub async fn adopt(&self) -> Done {
        let handle = self.handle()?;
        let typed = |fault: vocabulary::Fault| Trouble::Command { command: "adopt".to_owned(), told: fault.to_string() };
        let hash = handle.adoption().await.map_err(typed)?.map(|adoption| adoption.hash()).unwrap_or_default();
        let seeded = handle.adopt(OPERATOR.to_owned(), hash, REASON.to_owned()).await.map_err(typed)?;
        seeded.into_iter().try_for_each(|seeded| seeded.outcome.map_err(typed))
    }

    /// A person has an agent seeded from the ledger.
    pub async fn readopt(&self, agent: &AgentId) -> Done {
        let seeded = self.handle()?.readopt(OPERATOR.to_owned(), agent.clone()).await;
        let typed =
            |fault: vocabulary::Fault| Trouble::Command { command: format!("agent readopt {agent}"), told: fault.to_string() };
        seeded.map(drop).map_err(typed)
    }

    /// Kills the controller; false if it does not run.
    pub fn kill_controller(&mut self) -> bool {
        let ran = self.controller_runs();
        // one that died by itself leaves tasks behind that end here
        if let Some(controller) = self.controller.take() {
            controller.kill();
        }
        ran
    }

    /// Whether the controller's process runs.
    pub fn controller_runs(&self) -> bool {
        self.controller.as_ref().is_some_and(|controller| controller.life.is_alive())
    }

    /// Ends the controller, the boot service and the storage agent, which would put right what is done by hand. Servers run on.
    pub fn take_product_away(&mut self) {
        self.kill_controller();
        for (name, host) in &mut self.site.hosts {
            if [BOOT_SERVICE, STORAGE_AGENT].contains(&name.as_str()) {
                host.kill();
            }
        }
    }

    /// The judgement of the world's judge so far.
    pub fn judged(&self) -> Verdict {
        let judge = &self.site.judge;
        let violations = judge.violations().into_iter().map(|violation| violation.sentence);
        let mut verdict = Verdict { effective: judge.most() as u64, violations: violations.collect(), ..Verdict::default() };
        for written in judge.writes().into_values() {
            verdict.acknowledged += written.acknowledged;
            verdict.recovered += written.recovered;
            verdict.mixed |= written.interleaved;
            verdict.violations.extend(written.violations);
        }
        verdict
    }

    /// What the controller recorded, as sentences; after that what its rivals did.
    pub fn story(&self) -> Vec<String> {
        let told = |of: &str, store: &Platter| -> Vec<String> {
            let line = |WatchView { revision, at, kind, text, .. }| format!("{revision:>5} {at} {of}{kind}: {text}");
            store.entries().iter().map(api::story::tell).map(line).collect()
        };
        let rivals = [("stale ", &self.stale), ("stranger ", &self.stranger)];
        let rivals = rivals.iter().filter_map(|(of, rival)| Some(told(of, &rival.as_ref()?.store)));
        std::iter::once(told("", &self.site.store)).chain(rivals).flatten().collect()
    }
}
