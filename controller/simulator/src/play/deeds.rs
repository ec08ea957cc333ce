//! Deeds done to a world: each by the hand that would do it there. Must never do anything that nobody could.

use super::{Play, another};
use crate::deed::{Button, Deed, Place, Road, ToBmc, ToController, ToMachine, ToProcess, ToSwitch, ToTarget, When};
use crate::link::Weather;
use crate::store::Mood;
use pipeline::event::Intent;
use pipeline::record::{Fact, Subject};
use std::sync::PoisonError;
use std::time::Duration;
use vocabulary::{AgentId, MachineId, Span};
use world::bmc::Quirks;
use world::bridge::{self, Membership, Setting};
use world::machine::Accident;
use world::target;

/// How long an operator waits for an answer.
const ANSWER: Duration = Duration::from_secs(20);
/// How late a call is at most while a switch or a target ails.
const AILS_LATE: Duration = Duration::from_secs(30);

impl Play {
    /// Does a deed, if it can be done now.
    pub async fn act(&mut self, deed: &Deed) {
        let done = match deed {
            Deed::Machine(machine, what) => self.strike_machine(machine, *what).await,
            Deed::Bmc(machine, what) => self.strike_bmc(machine, what),
            Deed::Way(place, road) => self.strike_way(place, *road),
            Deed::Agent(agent, what) => self.strike_agent(agent, *what).await,
            Deed::Controller(what) => self.strike_controller(*what),
            Deed::Switch(ToSwitch::Restart(away)) => self.restart_switch(*away).await,
            Deed::Switch(what) => self.strike_switch(what),
            Deed::Target(what) => self.strike_target(*what),
            Deed::Outlet(cords, what) => self.strike_outlet(cords, *what).await,
            Deed::Operator(Button::Edit(edit)) => self.edit_estate(edit),
            Deed::Operator(Button::SetMode(mode)) => self.set_mode(*mode),
            Deed::Operator(Button::Approve(server)) => self.approve(server),
            Deed::Operator(Button::StartSite) => self.start_site(),
            Deed::Operator(Button::LetGo) => self.let_go(),
            Deed::Operator(Button::Adopt) => self.has_it_adopted(),
            Deed::Operator(Button::ConfirmOff) => self.confirm_off(false).await,
            Deed::Operator(Button::ConfirmsAnother) => self.confirm_off(true).await,
            Deed::Operator(button) => self.press_button(button),
        };
        if done {
            self.coverage.met(format!("deed {}", deed.kind()));
            self.tell(deed.to_string());
        }
    }

    pub(super) async fn strike_machine(&mut self, machine: &MachineId, what: ToMachine) -> bool {
        let Some(stand) = self.site.stands.get(machine).cloned() else { return false };
        match what {
            ToMachine::Die => stand.machine.befall(Accident::Die),
            ToMachine::Fail => stand.bmc.kill().is_ok(),
            ToMachine::Repair => {
                stand.machine.repair();
                true
            }
            ToMachine::Freeze => stand.bmc.freeze().await.is_ok(),
            ToMachine::Thaw => stand.bmc.thaw().is_ok(),
            ToMachine::Panic(dump) => stand.machine.befall(Accident::Panic(dump)),
            ToMachine::Halt => stand.machine.befall(Accident::Halt),
            ToMachine::Reboot => stand.machine.befall(Accident::Reboot),
            ToMachine::Crash => stand.machine.befall(Accident::Crash),
            ToMachine::Press => stand.bmc.press_button().await.is_ok(),
            ToMachine::LoseMains => stand.supplies.breaker(false).await,
            ToMachine::RegainMains => stand.supplies.breaker(true).await,
        }
    }

    pub(super) fn strike_bmc(&self, machine: &MachineId, what: &ToBmc) -> bool {
        let Some(stand) = self.site.stands.get(machine) else { return false };
        match what {
            ToBmc::Has(quirk, value) => {
                let Ok(value) = serde_json::from_str::<serde_json::Value>(value) else { return false };
                let before = stand.bmc.state().quirks.clone();
                let Ok(quirks) = before.changed(&serde_json::json!({ quirk: value })) else { return false };
                stand.bmc.set_quirks(quirks);
            }
            ToBmc::Well => stand.bmc.set_quirks(Quirks::default()),
            ToBmc::Restart(away) => stand.bmc.restart_bmc(*away, *away, "by itself"),
        }
        true
    }

    pub(super) fn strike_way(&self, place: &Place, road: Road) -> bool {
        let weather = match road {
            Road::Cut => Weather { cut: true, ..Weather::FAIR },
            Road::Late(by) => Weather { most: Weather::FAIR.most + by, least: Weather::FAIR.least + by / 2, ..Weather::FAIR },
            Road::Loses(lost) => Weather { lost, ..Weather::FAIR },
            Road::Fair => Weather::FAIR,
        };
        match place {
            Place::Bmc(machine) => {
                let Some(document) = self.site.estate.machines.get(machine) else { return false };
                self.site.management.set_weather(document.bmc.address, weather);
            }
            Place::Agent(agent) => {
                let Some(host) = self.site.hosts.get(agent) else { return false };
                host.way.set_weather(weather);
            }
        }
        true
    }

    pub(super) async fn strike_agent(&mut self, agent: &AgentId, what: ToProcess) -> bool {
        let Some(host) = self.site.hosts.get_mut(agent) else { return false };
        let life = host.life().filter(|life| life.is_alive()).cloned();
        // a killed process is none; one that died at a write lies there until somebody looks
        let died = host.life().is_some() && life.is_none();
        if died && what == ToProcess::Start {
            self.coverage.met(format!("crash of {agent} at a write"));
        }
        match (what, life) {
            (ToProcess::Kill, Some(_)) => host.kill(),
            (ToProcess::Start, None) => {
                if let Err(fault) = self.site.start_agent(agent).await {
                    self.tell(format!("{agent} does not start: {fault}"));
                    return false;
                }
            }
            (ToProcess::Stop, Some(life)) => life.stop(),
            (ToProcess::GoOn, Some(life)) => life.go_on(),
            (ToProcess::Forget, _) => {
                host.forget();
                self.site.judge.forgets(agent);
            }
            (ToProcess::RollBack(writes), _) => {
                host.disk.rewind(u64::from(writes));
                self.site.judge.forgets(agent);
            }
            (ToProcess::Full, _) => host.disk.fill(true),
            (ToProcess::Room, _) => host.disk.fill(false),
            (ToProcess::AskedAnew | ToProcess::AskedFromElsewhere, Some(_)) => {
                let Some((client, last)) = host.client().zip(self.site.judge.last_of(agent)) else { return false };
                let name = if what == ToProcess::AskedAnew { another::Name::Plan } else { another::Name::Estate };
                tokio::spawn(another::ask(client, last, name));
            }
            (ToProcess::KillAtWrite(number, when), Some(life)) => {
                host.disk.fuse(number.saturating_sub(1), when == When::After, move || life.kill());
            }
            (ToProcess::Kill | ToProcess::Stop | ToProcess::GoOn, None)
            | (ToProcess::AskedAnew | ToProcess::AskedFromElsewhere | ToProcess::KillAtWrite(..), None)
            | (ToProcess::Start, Some(_)) => return false,
        }
        true
    }

    pub(super) fn strike_controller(&mut self, what: ToController) -> bool {
        let life = self.controller.as_ref().map(|controller| controller.life.clone()).filter(crate::life::Life::is_alive);
        match what {
            ToController::Process(what) => return self.strike_process(what, life),
            ToController::LoseAnswer => self.site.store.set_mood(Mood::LosesAnAnswer),
            ToController::Double => return life.is_some() && self.copy_controller(),
            ToController::BackUp => self.backup = Some(self.site.store.copy()),
            ToController::Restore => return self.restore_controller(),
            ToController::AnotherEstate => return self.start_another_estate(),
            ToController::CrashAfter(stage) => self.crash_after = Some(stage),
            ToController::Jump(seconds) => {
                self.site.jumped.fetch_add(seconds, std::sync::atomic::Ordering::Relaxed);
            }
            ToController::LoseUplink | ToController::RegainUplink => {
                let Some(controller) = &self.controller else { return false };
                controller.eyes.set_uplink(what == ToController::RegainUplink);
            }
        }
        true
    }

    /// Ours is from then on the one that runs on a copy; the first one lives on beside it.
    fn copy_controller(&mut self) -> bool {
        self.others.extend(self.controller.take());
        self.site.copy_beside();
        self.start_controller()
    }

    pub(super) fn strike_process(&mut self, what: ToProcess, life: Option<crate::life::Life>) -> bool {
        match (what, life) {
            (ToProcess::Kill, Some(_)) => {
                if let Some(controller) = self.controller.take() {
                    controller.kill();
                }
            }
            (ToProcess::Start, None) => return self.start_controller(),
            (ToProcess::Stop, Some(life)) => life.stop(),
            (ToProcess::GoOn, Some(life)) => life.go_on(),
            (ToProcess::Forget, _) => self.site.store.cut_back(usize::MAX),
            (ToProcess::RollBack(writes), _) => self.site.store.cut_back(usize::try_from(writes).unwrap_or(usize::MAX)),
            (ToProcess::Full, _) => self.site.store.set_mood(Mood::Full),
            (ToProcess::Room, _) => self.site.store.set_mood(Mood::Sound),
            (ToProcess::KillAtWrite(number, when), Some(life)) => {
                self.site.store.fuse(number.saturating_sub(1), when == When::After, life);
            }
            (ToProcess::Kill | ToProcess::Stop | ToProcess::GoOn | ToProcess::KillAtWrite(..), None)
            // nobody asks a controller in a plan's name
            | (ToProcess::AskedAnew | ToProcess::AskedFromElsewhere, _)
            | (ToProcess::Start, Some(_)) => return false,
        }
        true
    }

    /// Whoever presses it does not stand still for the answer.
    fn has_it_adopted(&self) -> bool {
        let Some(controller) = &self.controller else { return false };
        tokio::spawn(super::estates::adopt(controller.handle.clone()));
        true
    }

    /// The store is lost with whoever runs on it.
    fn restore_controller(&mut self) -> bool {
        let Some(backup) = self.backup.clone() else { return false };
        self.strike_process(ToProcess::Kill, self.controller.as_ref().map(|controller| controller.life.clone()));
        self.site.store.set_mood(Mood::Sound);
        self.site.store.no_fuse();
        if let Err(fault) = self.site.restore(&backup) {
            self.tell(format!("the backup is not restored: {fault}"));
            return false;
        }
        self.start_controller()
    }

    fn start_controller(&mut self) -> bool {
        if let Some(dead) = self.controller.take() {
            if !dead.life.is_alive()
                && let Some(last) = self.site.store.last()
            {
                self.coverage.met(format!("crash after {}", kind(&last.record.fact)));
            }
            dead.kill();
        }
        let crash_after = self.crash_after.take();
        self.armed = crash_after.is_some();
        match self.site.start_controller_until(crash_after) {
            Ok(controller) => self.controller = Some(controller),
            Err(fault) => self.tell(format!("the controller does not start: {fault}")),
        }
        self.controller.is_some()
    }

    /// Its agent lives on it, and dies and comes back with it.
    async fn restart_switch(&mut self, away: Duration) -> bool {
        let Ok(agent) = crate::hall::SWITCH.parse::<AgentId>() else { return false };
        self.strike_agent(&agent, ToProcess::Kill).await;
        self.site.bridge.reboot(away);
        self.strike_agent(&agent, ToProcess::Start).await
    }

    pub(super) fn strike_switch(&self, what: &ToSwitch) -> bool {
        let bridge = &self.site.bridge;
        match what {
            ToSwitch::Restart(_) => return false,
            ToSwitch::Join(port, vlan) => bridge.add_by_hand(port, *vlan, Membership::NATIVE),
            ToSwitch::Clear(port) => bridge.set_by_hand(port, &Setting::default()),
            ToSwitch::Push => {
                for port in bridge.ports().iter().filter(|port| port.contains('-')) {
                    bridge.set_by_hand(port, &Setting::default());
                }
            }
            ToSwitch::Unplug(port) => bridge.plug(port, false),
            ToSwitch::Plug(port) => bridge.plug(port, true),
            ToSwitch::Weather(share) => {
                self.site.fabric.lose_pages(*share);
                let part = share / 3;
                let weather = bridge::Weather {
                    fails: part,
                    hangs: part,
                    late: part,
                    late_most: AILS_LATE,
                    notes_lost: *share,
                    ..bridge::Weather::default()
                };
                bridge.weather(if *share == 0 { bridge::Weather::default() } else { weather });
            }
        }
        true
    }

    pub(super) fn strike_target(&self, what: ToTarget) -> bool {
        let target = &self.site.target;
        match what {
            ToTarget::Restart(after) => target.restart(after),
            ToTarget::Freeze(time) => target.freeze(time),
            ToTarget::Stall(time) => target.stall(time),
            ToTarget::Weather(0) => target.calm(),
            ToTarget::Weather(share) => {
                let part = share / 4;
                let weather = target::Weather {
                    refused: part,
                    garbled: part,
                    ended: part,
                    late: part,
                    late_most: AILS_LATE,
                    ..target::Weather::default()
                };
                target.weather(weather);
            }
        }
        true
    }

    /// An operator's button: whoever presses it does not stand still for the answer.
    fn press_button(&self, button: &Button) -> bool {
        let Some(controller) = &self.controller else { return false };
        let (intent, server) = match button.clone() {
            Button::Release(machine) => (Intent::ReleaseMachine { machine }, None),
            Button::Start(server) => (Intent::StartServer { server: server.clone() }, Some(server)),
            Button::Stop(server) => (Intent::StopServer { server: server.clone() }, Some(server)),
            Button::Restart(server) => (Intent::RestartServer { server: server.clone() }, Some(server)),
            Button::Failover(server) => {
                let intent = Intent::StartFailover { server: server.clone(), reason: "an operator wants it".into(), hash: None };
                (intent, Some(server))
            }
            Button::Hold(server) => (Intent::Hold { server, reason: "a person holds it".into() }, None),
            Button::Resume(server) => (Intent::Resume { server, reason: String::new() }, None),
            Button::Maintain(machine, time) => {
                let lasts = Span::ms(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
                (Intent::Maintain { subject: Subject::Machine(machine), lasts, reason: "work".into() }, None)
            }
            Button::EndMaintenance(machine) => (Intent::EndMaintenance { subject: Subject::Machine(machine) }, None),
            // not at the controller, or not one alone
            Button::Edit(_)
            | Button::SetMode(_)
            | Button::Approve(_)
            | Button::StartSite
            | Button::LetGo
            | Button::Adopt
            | Button::ConfirmOff
            | Button::ConfirmsAnother => return false,
            Button::Abort(server) => (Intent::AbortFailover { server, reason: "a person thinks it over".into() }, None),
            Button::Readopt(agent) => {
                let handle = controller.handle.clone();
                tokio::spawn(async move {
                    let readopted = handle.readopt("uid 0".to_owned(), agent);
                    // whether it was done is the agent's and the journal's to tell
                    let _ = tokio::time::timeout(ANSWER, readopted).await;
                });
                return true;
            }
        };
        let (handle, refused) = (controller.handle.clone(), self.refused.clone());
        tokio::spawn(async move {
            let answer = tokio::time::timeout(ANSWER, handle.intent("uid 0".to_owned(), intent)).await;
            let Some(server) = server else { return };
            let mut refused = refused.lock().unwrap_or_else(PoisonError::into_inner);
            match answer {
                Ok(Err(fault)) => drop(refused.insert(server, fault.to_string())),
                Ok(Ok(_)) => drop(refused.remove(&server)),
                Err(_) => {}
            }
        });
        true
    }
}

/// A record's kind, as the journal writes it.
fn kind(fact: &Fact) -> String {
    let written = serde_json::to_value(fact).unwrap_or_default();
    written.get("kind").and_then(serde_json::Value::as_str).unwrap_or("nothing").to_owned()
}
