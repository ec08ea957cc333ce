//! A BMC in memory, sound or with one fault.

use async_trait::async_trait;
use contract::AgentError;
use contract::bmc::Bmc;
use contract::conformance::{self, BmcFixture};
use std::sync::Mutex;
use std::time::Duration;
use vocabulary::WallTime;
use vocabulary::light::{Light, LightReading};
use vocabulary::power::{BootTarget, Identity, MachineReading, PowerState, RestorePolicy};

#[derive(Clone, Copy, PartialEq, Debug)]
enum Fault {
    None,
    CyclesWhatIsOn,
    ActsOnAnyBox,
    NothingToldIsOff,
    SendsTwice,
    SilenceIsOff,
    LostReplyIsYes,
    NewSessionEachTime,
    PolicyOnlyAsked,
    OffOnlyAccepted,
    LooksAreOld,
}

#[derive(Default)]
struct State {
    on: bool,
    resets: u64,
    commands: u64,
    session: u64,
    swapped: bool,
    mute: bool,
    lose: bool,
    gone: bool,
}

struct Box_ {
    fault: Fault,
    state: Mutex<State>,
}

fn identity() -> Identity {
    Identity { uuid: "00000000-0000-4000-8000-000000000001".into(), serial: "LAB0001".into() }
}

impl Box_ {
    fn reach(&self) -> Result<(), AgentError> {
        let state = self.state.lock().unwrap();
        if state.gone && self.fault != Fault::SilenceIsOff {
            return Err(AgentError::Unreachable { reason: "nobody".into() });
        }
        if state.swapped && self.fault != Fault::ActsOnAnyBox {
            return Err(AgentError::Rejected { reason: "another box".into() });
        }
        Ok(())
    }

    fn reading(&self) -> MachineReading {
        let mut state = self.state.lock().unwrap();
        if self.fault == Fault::NewSessionEachTime {
            state.session += 1;
        }
        let unknown = if self.fault == Fault::NothingToldIsOff { PowerState::Off } else { PowerState::Unknown };
        let power = match (state.gone, state.mute, state.on) {
            (true, ..) => PowerState::Off,
            (_, true, _) => unknown,
            (_, _, true) => PowerState::On,
            (_, _, false) => PowerState::Off,
        };
        let asked = self.fault == Fault::PolicyOnlyAsked;
        MachineReading {
            session: state.session,
            identity: identity(),
            certificate: None,
            system_power: power,
            chassis_power: None,
            last_reset: Some(state.resets.to_string()),
            boot_progress: None,
            bmc_started: None,
            restore_policy: if asked { RestorePolicy::Unknown } else { RestorePolicy::AlwaysOff },
            health: None,
            read_at: WallTime(0),
        }
    }

    fn command(&self, on: bool) -> Result<MachineReading, AgentError> {
        self.reach()?;
        let mut state = self.state.lock().unwrap();
        if on && state.on && self.fault != Fault::CyclesWhatIsOn {
            drop(state);
            return Ok(self.reading());
        }
        state.commands += 1;
        state.resets += 1;
        if on || self.fault != Fault::OffOnlyAccepted {
            state.on = on;
        }
        if std::mem::take(&mut state.lose) {
            match self.fault {
                Fault::SendsTwice => state.commands += 1,
                Fault::LostReplyIsYes => {}
                _ => return Err(AgentError::Unreachable { reason: "lost".into() }),
            }
            if self.fault == Fault::SendsTwice {
                return Err(AgentError::Unreachable { reason: "lost".into() });
            }
        }
        drop(state);
        Ok(self.reading())
    }
}

#[async_trait]
impl Bmc for Box_ {
    async fn read(&self) -> Result<MachineReading, AgentError> {
        self.reach()?;
        Ok(self.reading())
    }
    async fn watch(&self) -> Result<MachineReading, AgentError> {
        let now = self.read().await?;
        // as it was before anything was switched on
        let old = self.fault == Fault::LooksAreOld && now.system_power != PowerState::Unknown;
        Ok(if old { MachineReading { system_power: PowerState::Off, ..now } } else { now })
    }
    async fn power_off(&self) -> Result<MachineReading, AgentError> {
        self.command(false)
    }
    async fn power_on(&self) -> Result<MachineReading, AgentError> {
        self.command(true)
    }
    async fn shut_down(&self) -> Result<MachineReading, AgentError> {
        self.command(false)
    }
    async fn set_boot_target(&self, _: BootTarget) -> Result<MachineReading, AgentError> {
        self.read().await
    }
    async fn identify(&self, light: Light) -> Result<LightReading, AgentError> {
        self.reach()?;
        Ok(if light == Light::Off { LightReading::Off } else { LightReading::Steady })
    }
    async fn set_restore_policy_off(&self) -> Result<MachineReading, AgentError> {
        self.read().await
    }
}

#[async_trait]
impl BmcFixture for Box_ {
    fn bmc(&self) -> &dyn Bmc {
        self
    }
    fn identity(&self) -> Identity {
        identity()
    }
    async fn truth(&self) -> Option<PowerState> {
        Some(if self.state.lock().unwrap().on { PowerState::On } else { PowerState::Off })
    }
    async fn power_commands(&self) -> Option<u64> {
        Some(self.state.lock().unwrap().commands)
    }
    async fn swap_box(&self) -> bool {
        self.state.lock().unwrap().swapped = true;
        true
    }
    async fn tell_no_power(&self) -> bool {
        self.state.lock().unwrap().mute = true;
        true
    }
    async fn lose_next_reply(&self) -> bool {
        self.state.lock().unwrap().lose = true;
        true
    }
    async fn cut_off(&self) -> bool {
        self.state.lock().unwrap().gone = true;
        true
    }
    async fn mend(&self) {
        let mut state = self.state.lock().unwrap();
        (state.swapped, state.mute, state.lose, state.gone) = (false, false, false, false);
    }
    fn patience(&self) -> Duration {
        Duration::from_millis(300)
    }
}

#[tokio::test]
async fn every_fault_of_a_bmc_is_found() {
    let with = |fault| Box_ { fault, state: Mutex::default() };
    conformance::bmc(&with(Fault::None)).await.unwrap();
    for (fault, law) in [
        (Fault::CyclesWhatIsOn, "left alone"),
        (Fault::ActsOnAnyBox, "another box"),
        (Fault::NothingToldIsOff, "Unknown, never Off"),
        (Fault::SendsTwice, "not sent again"),
        (Fault::SilenceIsOff, "silence"),
        (Fault::LostReplyIsYes, "lost reply"),
        (Fault::NewSessionEachTime, "one session"),
        (Fault::PolicyOnlyAsked, "AlwaysOff"),
        (Fault::OffOnlyAccepted, "becomes Off in time"),
        (Fault::LooksAreOld, "as fresh as a reading"),
    ] {
        let verdict = conformance::bmc(&with(fault)).await;
        assert!(verdict.as_ref().is_err_and(|seen| seen.contains(law)), "{fault:?}: {verdict:?}");
    }
}
