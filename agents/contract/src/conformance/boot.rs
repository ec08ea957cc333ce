//! The laws of `Boot`: one permit a machine, durable before the answer, void at once when revoked; contacts counted.

use super::{Verdict, bounded, ensure, must};
use crate::boot::Boot;
use async_trait::async_trait;
use vocabulary::boot::{Permit, PermitReading};

/// A boot service on which one machine's permits may be used freely.
#[async_trait]
pub trait BootFixture: Send + Sync {
    /// The driver, as it is now.
    fn boot(&self) -> &dyn Boot;
    /// Two different permits for the same machine.
    fn permits(&self) -> [Permit; 2];
    /// Ends the service as a power cut would, and starts it anew on the same disk. False if that cannot be staged here.
    async fn restart(&mut self) -> bool;
    /// Lets the machine ask for an address. True if it was answered; `None` if that cannot be staged here.
    async fn ask(&self) -> Option<bool>;
}

fn stands(reading: &PermitReading, permit: &Permit) -> bool {
    reading.standing == Some((permit.server.clone(), permit.epoch))
}

/// Runs the suite. Leaves the machine without a permit.
pub async fn boot(fixture: &mut dyn BootFixture) -> Verdict {
    let [first, second] = fixture.permits();
    let machine = first.machine.clone();
    for _ in 0..2 {
        let read = must("a revocation needs nothing to revoke", fixture.boot().revoke(&machine)).await?;
        ensure(read.machine == machine && read.standing.is_none(), "after a revocation no permit stands", read)?;
    }
    silent(fixture).await?;
    for permit in [&first, &second, &second] {
        let granted = must("a permit can be granted", fixture.boot().grant(permit)).await?;
        ensure(stands(&granted, permit), "a grant answers with the permit that stands now", granted)?;
        let read = must("a permit can be read", fixture.boot().read(&machine)).await?;
        ensure(stands(&read, permit), "the granted permit is the machine's one permit", read)?;
    }
    if let Some(answered) = fixture.ask().await {
        ensure(answered, "a machine with a permit is answered", answered)?;
    }
    contacts(fixture).await?;
    if fixture.restart().await {
        let read = must("a permit can be read after a restart", fixture.boot().read(&machine)).await?;
        ensure(stands(&read, &second), "an answered grant outlives a power cut", read)?;
    }
    let read = must("a permit can be revoked", fixture.boot().revoke(&machine)).await?;
    ensure(read.standing.is_none(), "after a revocation no permit stands", read)?;
    silent(fixture).await?;
    if fixture.restart().await {
        let read = must("a permit can be read after a restart", fixture.boot().read(&machine)).await?;
        ensure(read.standing.is_none(), "an answered revocation outlives a power cut", read)?;
        silent(fixture).await?;
    }
    Ok(())
}

async fn silent(fixture: &dyn BootFixture) -> Verdict {
    ensure(fixture.ask().await != Some(true), "a machine without a permit gets silence", "it was answered")
}

async fn contacts(fixture: &dyn BootFixture) -> Verdict {
    let all = must("contacts can be read", fixture.boot().contacts(0)).await?;
    let rising = all.iter().zip(all.iter().skip(1)).all(|(a, b)| a.sequence < b.sequence);
    ensure(rising && all.iter().all(|c| c.sequence > 0), "contacts come in order, each after the asked number", &all)?;
    let Some(last) = all.last() else { return Ok(()) };
    let law = "a wait for contacts ends without one, and repeats none";
    let later = bounded(law, fixture.boot().contacts(last.sequence)).await?;
    ensure(later.as_ref().is_ok_and(|c| c.iter().all(|c| c.sequence > last.sequence)), law, later)
}
