//! Power commands: ForceOff, On, GracefulShutdown. What became of them is judged by what is read afterwards, never by the code alone.
//! Must never cycle, restart or push a button, and never take a graceful stop for a fence.

use reqwest::Method;
use serde_json::{Value, json};
use vocabulary::power::PowerState;

use super::command::{self, Sent, Verdict};
use super::http::Via;
use super::trouble::Trouble;
use super::{Link, Redfish, view};
use crate::limits;

/// The resets that this driver ever sends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reset {
    /// Cuts power.
    ForceOff,
    /// Gives power.
    On,
    /// Asks the operating system to stop.
    GracefulShutdown,
}

impl Reset {
    /// In the words of the protocol.
    pub fn word(self) -> &'static str {
        match self {
            Reset::ForceOff => "ForceOff",
            Reset::On => "On",
            Reset::GracefulShutdown => "GracefulShutdown",
        }
    }

    /// True if the machine reads as wanted already, so that nothing needs to be sent. ForceOff is always sent: an Off that is read
    /// may be a lie, and cutting power twice does no harm.
    fn is_needless(self, power: PowerState) -> bool {
        match self {
            Reset::ForceOff => false,
            Reset::On => matches!(power, PowerState::On | PowerState::PoweringOn),
            Reset::GracefulShutdown => power == PowerState::Off,
        }
    }
}

/// Checks who answers and sends the reset, once. Only a power-on that the BMC answers with "conflict" while the machine is off
/// (it still settles from the power-off) is asked for again, after a pause.
pub async fn reset(bmc: &Redfish, link: &Link, reset: Reset) -> Result<Sent, Trouble> {
    let sent = |verdict| Sent::to_system(link, verdict);
    let mut conflicts = 0;
    loop {
        let system = bmc.identified(link, Via::Hand).await?;
        let power = view::power(&system.body);
        if reset.is_needless(power) {
            return Ok(sent(Verdict::NotNeeded));
        }
        let target = target(&system.body, link, reset)?;
        let body = json!({ "ResetType": reset.word() });
        let reply = bmc.http.command(Method::POST, &target, &link.session.credential, Some(&body), None).await?;
        let settles = reset == Reset::On && reply.status == 409 && power == PowerState::Off;
        if !settles || conflicts == limits::POWER_ON_CONFLICTS_MAX {
            return Verdict::of(&reply, link).map(sent);
        }
        conflicts += 1;
        tracing::info!(bmc = %bmc.address, answer = %reply.explained(), "power-on meets a conflict; it is asked for again after a pause");
        tokio::time::sleep(limits::POWER_ON_CONFLICT_PAUSE).await;
    }
}

/// Where the reset is sent, if the system has it.
fn target(system: &Value, link: &Link, reset: Reset) -> Result<String, Trouble> {
    let action = system.get("Actions").and_then(|actions| actions.get("#ComputerSystem.Reset"));
    let action = action.ok_or_else(|| Trouble::Unsupported("this system has no reset action; nothing was sent".into()))?;
    let inline = view::allowable(action, "ResetType");
    command::allowed(inline.as_deref().or(link.layout.resets.as_deref()), reset.word(), "reset")?;
    let target = action.get("target").and_then(Value::as_str).and_then(view::path);
    target.ok_or_else(|| Trouble::Unsupported("the reset action names no usable target; nothing was sent".into()))
}
