//! Stage 6: the server's volumes are granted to the new placement's own initiator. The storage agent grants an exclusive volume only
//! where its own ledger shows no other holder; here, nothing is granted without the plan and an authority that covers it now.
//!
//! ```compile_fail
//! // no volume without an authority
//! fn grant(plan: &pipeline::plan::Plan, volume: vocabulary::VolumeId, key: &vocabulary::Secret) {
//!     pipeline::s6_rewire_storage::grant(plan, volume, key);
//! }
//! ```

use crate::plan::Plan;
use crate::s3_fence::{Authority, Lapsed, initiator};
use sha2::{Digest, Sha256};
use vocabulary::request::{Action, Holder};
use vocabulary::storage::{InitiatorName, VolumeReading};
use vocabulary::{Epoch, Instant, Secret, ServerId, Span, VolumeId};

/// Length of a placement's CHAP secret in characters: within the 12 to 16 that every iSCSI initiator accepts (RFC 7143, 12.1.3).
const CHAP_LENGTH: usize = 16;

/// The CHAP secret of a placement: derived, so that it is never written down; another epoch has another one.
pub fn placement_secret(key: &Secret, server: &ServerId, epoch: Epoch) -> Secret {
    let mut hasher = Sha256::new();
    hasher.update(key.expose().as_bytes());
    hasher.update(format!("\0chap\0{server}\0{}", epoch.0).as_bytes());
    let hex: String = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Secret::new(hex.chars().take(CHAP_LENGTH).collect::<String>())
}

/// The grant of one volume, for this plan's server on this plan's target.
pub fn grant(
    plan: &Plan,
    authority: &Authority,
    now: Instant,
    fresh_for: Span,
    server: &ServerId,
    volume: VolumeId,
    key: &Secret,
) -> Result<Action, Lapsed> {
    authority.covers(plan, now, fresh_for)?;
    let holder = Holder { server: server.clone(), machine: plan.target().clone(), plan: plan.id() };
    Ok(Action::GrantVolume {
        volume,
        initiator: initiator(server, plan),
        user: server.to_string(),
        secret: placement_secret(key, server, plan.epoch()),
        holder,
    })
}

/// True if the volume admits the placement's initiator and nobody else.
pub fn granted(reading: &VolumeReading, expected: &InitiatorName) -> Result<String, String> {
    if reading.allowed.as_slice() != std::slice::from_ref(expected) || reading.open_to_others {
        return Err(format!("{} does not admit exactly {expected}", reading.volume));
    }
    match reading.sessions.iter().find(|session| &session.initiator != expected) {
        Some(session) => Err(format!("{} has a session of {}", reading.volume, session.initiator)),
        None => Ok(format!("{} admits {expected} alone", reading.volume)),
    }
}
