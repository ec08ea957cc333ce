//! The laws of `Bmc`: the right box or no command, fresh readings on one session, never Off out of silence, never a command twice.

use super::{Verdict, bounded, ensure, must, must_reject};
use crate::bmc::Bmc;
use async_trait::async_trait;
use std::time::Duration;
use vocabulary::light::Light;
use vocabulary::power::{BootTarget, Identity, PowerState, RestorePolicy};
use vocabulary::request::AgentError;

const POLL: Duration = Duration::from_millis(100);

/// A BMC whose machine may be switched on and off freely, and whose misbehaviour can be staged. A real BMC stages nothing: `false`.
#[async_trait]
pub trait BmcFixture: Send + Sync {
    /// The driver.
    fn bmc(&self) -> &dyn Bmc;
    /// Who the machine is.
    fn identity(&self) -> Identity;
    /// What the machine's power truly is, known otherwise than through the BMC; `None` if nothing else can tell.
    async fn truth(&self) -> Option<PowerState>;
    /// How many power commands (any reset or power type) have reached the BMC; `None` if it cannot be counted.
    async fn power_commands(&self) -> Option<u64>;
    /// From now on another box answers at the BMC's address. True if staged.
    async fn swap_box(&self) -> bool;
    /// From now on the BMC tells no power state (null). True if staged.
    async fn tell_no_power(&self) -> bool;
    /// The reply to the next command is lost, though the command is done. True if staged.
    async fn lose_next_reply(&self) -> bool;
    /// From now on nobody answers at the address. True if staged.
    async fn cut_off(&self) -> bool;
    /// Ends what was staged.
    async fn mend(&self);
    /// Whether the BMC has sessions; without them no two readings are on one.
    fn has_sessions(&self) -> bool {
        true
    }
    /// How long the machine takes to go on or off.
    fn patience(&self) -> Duration;
}

/// Runs the suite. Leaves the machine off.
pub async fn bmc(fixture: &dyn BmcFixture) -> Verdict {
    fixture.mend().await;
    readings(fixture).await?;
    power(fixture).await?;
    boot_and_policy(fixture).await?;
    wrong_box(fixture).await?;
    no_power_told(fixture).await?;
    lost_reply(fixture).await?;
    silence(fixture).await?;
    fixture.mend().await;
    must("a machine can be switched off", fixture.bmc().power_off()).await?;
    settles(fixture, PowerState::Off).await
}

async fn settles(fixture: &dyn BmcFixture, wanted: PowerState) -> Verdict {
    let deadline = tokio::time::Instant::now() + fixture.patience();
    loop {
        let reading = must("a machine can be read", fixture.bmc().read()).await?;
        let told = reading.system_power == wanted;
        if told {
            let look = must("a machine can be watched", fixture.bmc().watch()).await?;
            ensure(look.system_power == wanted, "a routine look is as fresh as a reading", look.system_power)?;
            let truth = fixture.truth().await;
            return ensure(truth.is_none_or(|t| t == wanted), "what is read is what is", (reading.system_power, truth));
        }
        if tokio::time::Instant::now() > deadline {
            return Err(format!("the machine becomes {wanted:?} in time; seen: {:?}", reading.system_power));
        }
        tokio::time::sleep(POLL).await;
    }
}

async fn readings(fixture: &dyn BmcFixture) -> Verdict {
    let first = must("a machine can be read", fixture.bmc().read()).await?;
    let second = must("a machine can be read again", fixture.bmc().read()).await?;
    ensure(first.identity == fixture.identity(), "a reading names the box that answered", &first.identity)?;
    let look = must("a machine can be watched", fixture.bmc().watch()).await?;
    let kept = [first.session == second.session, second.session == look.session];
    let law = "readings and looks in a row are taken on one session, where the BMC has any, and else each on one of its own";
    ensure(kept == [fixture.has_sessions(); 2], law, (first.session, second.session, look.session))?;
    let same = look.identity == second.identity && look.read_at >= second.read_at;
    ensure(same, "a routine look names the box that answered, and is taken when it is asked for", &look)?;
    ensure(first.read_at <= second.read_at, "a reading is taken when it is asked for", (first.read_at, second.read_at))
}

async fn power(fixture: &dyn BmcFixture) -> Verdict {
    let driver = fixture.bmc();
    must("a machine can be switched on", driver.power_on()).await?;
    settles(fixture, PowerState::On).await?;
    let before = must("a machine can be read", driver.read()).await?;
    must("switching on what is on is accepted", driver.power_on()).await?;
    let after = must("a machine can be read", driver.read()).await?;
    let untouched = after.system_power == PowerState::On && after.last_reset == before.last_reset;
    ensure(untouched, "a machine that is on already is left alone", after)?;
    must("a machine can be switched off", driver.power_off()).await?;
    settles(fixture, PowerState::Off).await?;
    must("switching off what is off is accepted", driver.power_off()).await?;
    settles(fixture, PowerState::Off).await?;
    let off = must("a machine can be read", driver.read()).await?;
    ensure(off.chassis_power.is_none_or(|rail| rail == PowerState::Off), "the host rail is off with the machine", off)
}

async fn boot_and_policy(fixture: &dyn BmcFixture) -> Verdict {
    let driver = fixture.bmc();
    for target in [BootTarget::Pxe, BootTarget::UefiHttp] {
        let set = bounded("`set_boot_target` ends", driver.set_boot_target(target)).await?;
        let honest = matches!(set, Ok(_) | Err(AgentError::Rejected { .. } | AgentError::Unconfirmed { .. }));
        ensure(honest, "a boot target is set and read back, rejected, or unconfirmed", set)?;
    }
    match bounded("`set_restore_policy_off` ends", driver.set_restore_policy_off()).await? {
        Ok(reading) => {
            let active = reading.restore_policy == RestorePolicy::AlwaysOff;
            ensure(active, "Ok means that the active restore policy reads AlwaysOff", reading.restore_policy)
        }
        Err(AgentError::Rejected { .. } | AgentError::Unconfirmed { .. }) => Ok(()),
        other => Err(format!("a restore policy is active, rejected, or unconfirmed; seen: {other:?}")),
    }
}

async fn wrong_box(fixture: &dyn BmcFixture) -> Verdict {
    if !fixture.swap_box().await {
        return Ok(());
    }
    let (driver, before) = (fixture.bmc(), fixture.power_commands().await);
    let law = "another box behind the address is rejected";
    must_reject(law, bounded(law, driver.read()).await?)?;
    must_reject(law, bounded(law, driver.power_off()).await?)?;
    must_reject(law, bounded(law, driver.power_on()).await?)?;
    must_reject(law, bounded(law, driver.shut_down()).await?)?;
    must_reject(law, bounded(law, driver.set_boot_target(BootTarget::Pxe)).await?)?;
    must_reject(law, bounded(law, driver.set_restore_policy_off()).await?)?;
    // a light on another machine would send a person to the wrong box
    must_reject(law, bounded(law, driver.identify(Light::Steady)).await?)?;
    let after = fixture.power_commands().await;
    ensure(before == after, "another box behind the address gets no command", (before, after))?;
    fixture.mend().await;
    must("the right box is read again", driver.read()).await.map(drop)
}

async fn no_power_told(fixture: &dyn BmcFixture) -> Verdict {
    if !fixture.tell_no_power().await {
        return Ok(());
    }
    if let Ok(reading) = bounded("`read` ends", fixture.bmc().read()).await? {
        let unknown = reading.system_power == PowerState::Unknown && !reading.all_off();
        ensure(unknown, "no power state told is Unknown, never Off", reading.system_power)?;
    }
    if let Ok(look) = bounded("`watch` ends", fixture.bmc().watch()).await? {
        ensure(look.system_power == PowerState::Unknown, "nor is it Off for a routine look", look.system_power)?;
    }
    fixture.mend().await;
    Ok(())
}

async fn lost_reply(fixture: &dyn BmcFixture) -> Verdict {
    let driver = fixture.bmc();
    must("a machine can be switched on", driver.power_on()).await?;
    settles(fixture, PowerState::On).await?;
    let before = fixture.power_commands().await;
    if !fixture.lose_next_reply().await {
        return Ok(());
    }
    let outcome = bounded("`power_off` ends", driver.power_off()).await?;
    let unclear = matches!(outcome, Err(AgentError::Unreachable { .. } | AgentError::Unconfirmed { .. }));
    ensure(unclear, "a lost reply is Unreachable or Unconfirmed, never a yes", outcome)?;
    let after = fixture.power_commands().await;
    let once = before.zip(after).is_none_or(|(before, after)| after <= before + 1);
    ensure(once, "a command whose reply was lost is not sent again", (before, after))?;
    fixture.mend().await;
    must("a machine can be read after a lost reply", driver.read()).await.map(drop)
}

async fn silence(fixture: &dyn BmcFixture) -> Verdict {
    if !fixture.cut_off().await {
        return Ok(());
    }
    let read = bounded("`read` ends though nobody answers", fixture.bmc().read()).await?;
    ensure(matches!(read, Err(AgentError::Unreachable { .. })), "silence is Unreachable, never a reading", read)?;
    let look = bounded("`watch` ends though nobody answers", fixture.bmc().watch()).await?;
    ensure(matches!(look, Err(AgentError::Unreachable { .. })), "silence is Unreachable for a routine look too", look)?;
    let off = bounded("`power_off` ends though nobody answers", fixture.bmc().power_off()).await?;
    ensure(matches!(off, Err(AgentError::Unreachable { .. })), "silence is Unreachable, never a yes", off)?;
    fixture.mend().await;
    must("a BMC that answers again is read again", fixture.bmc().read()).await.map(drop)
}
