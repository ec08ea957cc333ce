//! The watchdog at work: a real timer, and its action on the machine's process.
//! Must never act for settings that were replaced, nor leave more than one timer behind a setting.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Call, Told, code};
use crate::bmc::Bmc;
use crate::bmc::device::{Action, Entry};
use crate::bmc::stamp;
use crate::clock::now;

/// The cause told of what it does, in Redfish's words.
const CAUSE: &str = "WatchdogExpiration";

pub fn get(call: &Call<'_>) -> Told {
    Ok(call.bmc.state().device.watchdog.told(now()))
}

pub fn set(call: &Call<'_>) -> Told {
    let settings = call.exactly()?;
    if !call.bmc.state().device.watchdog.set(settings, now()) {
        return Err(code::FIELD);
    }
    follow(call.bmc);
    Ok(Vec::new())
}

pub fn kick(call: &Call<'_>) -> Told {
    /// "Attempt to start a watchdog that was never set."
    const NOT_SET: u8 = 0x80;
    if !call.bmc.state().device.watchdog.kick(now()) {
        return Err(NOT_SET);
    }
    follow(call.bmc);
    Ok(Vec::new())
}

/// The machine's system starts the watchdog: power cycle after so long without a kick. False for a time that it cannot count.
pub fn start(bmc: &Arc<Bmc>, period: Duration) -> bool {
    const SYSTEM: u8 = 0x04;
    const CYCLE: u8 = 0x03;
    let Ok(counts) = u16::try_from(period.as_millis() / 100) else { return false };
    let ([low, high], now) = (counts.to_le_bytes(), now());
    let started = {
        let mut state = bmc.state();
        state.device.watchdog.set([SYSTEM, CYCLE, 0, 0, low, high], now) && state.device.watchdog.kick(now)
    };
    follow(bmc);
    started
}

/// Sees to it that a timer follows the present setting, if it runs. Within one setting the deadline only moves away.
fn follow(bmc: &Arc<Bmc>) {
    let setting = {
        let mut state = bmc.state();
        let dog = &mut state.device.watchdog;
        if dog.deadline().is_none() || dog.followed {
            return;
        }
        dog.followed = true;
        dog.setting
    };
    let bmc = Arc::clone(bmc);
    tokio::spawn(async move {
        while let Some(at) = deadline(&bmc, setting) {
            if at <= now() {
                return expire(&bmc).await;
            }
            tokio::time::sleep_until(at.into()).await;
        }
    });
}

/// The deadline of a setting; None, and nobody follows it any more, if it was replaced or stopped.
fn deadline(bmc: &Bmc, setting: u64) -> Option<Instant> {
    let mut state = bmc.state();
    let dog = &mut state.device.watchdog;
    if dog.setting != setting {
        return None;
    }
    dog.followed = dog.deadline().is_some();
    dog.deadline()
}

async fn expire(bmc: &Arc<Bmc>) {
    let action = {
        let mut state = bmc.state();
        state.device.watchdog.followed = false;
        let (action, bits, timer_use, logged) = state.device.watchdog.expire();
        if logged {
            let at = stamp::seconds(state.wall.now(), state.quirks.clock_offset_s);
            let wraps = state.quirks.ipmi_log_wraps;
            state.device.log.write(Entry::WatchdogExpired { action: bits, timer_use }, at, wraps);
        }
        action
    };
    let outcome = match action {
        Action::Nothing => return,
        Action::Reset => bmc.force_restart(CAUSE).await,
        Action::Off => Ok(bmc.force_off().await),
        Action::Cycle => bmc.cycle(CAUSE).await,
    };
    if let Err(e) = outcome {
        tracing::warn!(error = %e, "watchdog");
    }
}
