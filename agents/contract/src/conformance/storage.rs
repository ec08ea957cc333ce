//! The laws of `Storage`: an admission is exact, a revocation ends sessions and is read back, a reading hides nothing.

use super::{Verdict, bounded, ensure, must, must_reject};
use crate::storage::{Admission, Storage};
use async_trait::async_trait;
use vocabulary::request::AgentError;
use vocabulary::storage::{InitiatorName, VolumeReading};
use vocabulary::{Secret, VolumeName};

/// A storage target with one scratch volume that may be granted and revoked freely.
#[async_trait]
pub trait StorageFixture: Send + Sync {
    /// The driver.
    fn storage(&self) -> &dyn Storage;
    /// A scratch volume.
    fn volume(&self) -> VolumeName;
    /// A volume that the target does not have and may not make.
    fn no_such_volume(&self) -> VolumeName;
    /// Logs in as this admission's initiator and keeps the session: true if the target let it in. `None` if there is no initiator here.
    async fn log_in(&self, volume: &VolumeName, admission: &Admission) -> Option<bool>;
    /// Admits an initiator past the driver, as a foreign hand would. `None` if that cannot be staged here.
    async fn admit(&self, volume: &VolumeName, initiator: &InitiatorName) -> Option<Result<(), String>>;
}

fn admission(name: &str) -> Admission {
    Admission {
        initiator: InitiatorName(format!("iqn.2026-01.org.understudy:conformance.{name}")),
        user: format!("conformance-{name}"),
        secret: Secret::new(format!("conformance-{name}-secret")),
    }
}

fn nobody(reading: &VolumeReading) -> bool {
    only(reading, &[])
}

fn only(reading: &VolumeReading, initiators: &[&InitiatorName]) -> bool {
    !reading.open_to_others
        && reading.allowed.iter().all(|name| initiators.contains(&name))
        && reading.sessions.iter().all(|session| initiators.contains(&&session.initiator))
        && reading.in_flight.is_none_or(|n| n == 0)
}

/// Runs the suite. Leaves the scratch volume without any admission.
pub async fn storage(fixture: &dyn StorageFixture) -> Verdict {
    let (driver, volume) = (fixture.storage(), fixture.volume());
    let read = must("a volume can be read before it was ever granted", driver.read(&volume)).await?;
    ensure(read.volume.volume == volume, "a reading names its volume", &read)?;
    for _ in 0..2 {
        let read = must("a revocation needs nothing to revoke", driver.revoke(&volume, None)).await?;
        ensure(nobody(&read), "after a revocation nobody may log in", read)?;
    }
    grants(fixture).await?;
    sessions(fixture).await?;
    foreign(fixture).await?;
    unknown(fixture).await?;
    let read = must("a volume can be revoked", driver.revoke(&volume, None)).await?;
    ensure(nobody(&read), "after a revocation nobody may log in", read)
}

async fn grants(fixture: &dyn StorageFixture) -> Verdict {
    let (driver, volume) = (fixture.storage(), fixture.volume());
    let (old, new) = (admission("old"), admission("new"));
    for who in [&old, &new, &new] {
        let answered = must("a volume can be granted", driver.grant(&volume, who)).await?;
        let exact = answered.allowed == [who.initiator.clone()] && !answered.open_to_others && answered.exports >= 1;
        ensure(exact, "a grant admits exactly its initiator and no other", &answered)?;
        let read = must("a granted volume can be read", driver.read(&volume)).await?;
        ensure(read.allowed == answered.allowed, "a reading shows what the grant answered", read)?;
    }
    let kept = must("a volume can be revoked but for one", driver.revoke(&volume, Some(&new.initiator))).await?;
    ensure(kept.allowed == [new.initiator.clone()], "`keep` leaves exactly the kept initiator", kept)?;
    let kept = must("a volume can be revoked but for a stranger", driver.revoke(&volume, Some(&old.initiator))).await?;
    ensure(nobody(&kept), "`keep` admits nobody who was not admitted", kept)
}

async fn sessions(fixture: &dyn StorageFixture) -> Verdict {
    let (driver, volume) = (fixture.storage(), fixture.volume());
    let (old, new) = (admission("old"), admission("new"));
    must("a volume can be granted", driver.grant(&volume, &old)).await?;
    match fixture.log_in(&volume, &old).await {
        None => return Ok(()),
        Some(let_in) => ensure(let_in, "an admitted initiator may log in with its secret", let_in)?,
    }
    let read = must("a volume in use can be read", driver.read(&volume)).await?;
    let there = read.sessions.iter().any(|session| session.initiator == old.initiator);
    ensure(there, "a reading shows every session", &read)?;
    let read = must("a volume in use can be revoked", driver.revoke(&volume, None)).await?;
    ensure(nobody(&read), "a revocation ends every session", read)?;
    ensure(fixture.log_in(&volume, &old).await == Some(false), "a revoked initiator cannot log in again", "it could")?;
    must("a volume can be granted anew", driver.grant(&volume, &new)).await?;
    ensure(fixture.log_in(&volume, &old).await == Some(false), "the old initiator does not get in by a new grant", "it could")?;
    let forged =
        Admission { initiator: new.initiator.clone(), user: new.user.clone(), secret: Secret::new("a-wrong-secret-here") };
    ensure(fixture.log_in(&volume, &forged).await == Some(false), "the right name with a wrong secret is not let in", "it was")?;
    ensure(fixture.log_in(&volume, &new).await == Some(true), "the new initiator may log in", "it could not")?;
    let kept = must("a volume in use can be revoked but for one", driver.revoke(&volume, Some(&new.initiator))).await?;
    let stays = kept.sessions.iter().any(|session| session.initiator == new.initiator);
    ensure(stays && only(&kept, &[&new.initiator]), "`keep` leaves the kept one's session alone", kept)
}

async fn foreign(fixture: &dyn StorageFixture) -> Verdict {
    let (driver, volume) = (fixture.storage(), fixture.volume());
    let ours = admission("ours");
    let stranger = InitiatorName("iqn.2026-01.org.stranger:by-hand".to_owned());
    must("a volume can be granted", driver.grant(&volume, &ours)).await?;
    let Some(staged) = fixture.admit(&volume, &stranger).await else { return Ok(()) };
    staged.map_err(|error| format!("the fixture cannot admit an initiator: {error}"))?;
    let read = must("a volume can be read", driver.read(&volume)).await?;
    let seen = read.open_to_others || read.allowed.contains(&stranger);
    ensure(seen, "a reading is asked of the target: a foreign admission is in it", read)?;
    let kept = must("a volume can be revoked but for one", driver.revoke(&volume, Some(&ours.initiator))).await?;
    ensure(only(&kept, &[&ours.initiator]), "a revocation removes what a foreign hand admitted", kept)
}

async fn unknown(fixture: &dyn StorageFixture) -> Verdict {
    let (driver, nowhere) = (fixture.storage(), fixture.no_such_volume());
    let granted = bounded("`grant` ends", driver.grant(&nowhere, &admission("x"))).await?;
    must_reject("granting a volume that is not there is rejected", granted)?;
    match bounded("`revoke` ends", driver.revoke(&nowhere, None)).await? {
        Err(AgentError::Rejected { .. }) => Ok(()),
        Ok(reading) => ensure(
            reading.exports == 0 && nobody(&reading),
            "a volume that is not there is rejected, or reads as exported nowhere",
            reading,
        ),
        other => Err(format!("revoking a volume that is not there is rejected; seen: {other:?}")),
    }
}
