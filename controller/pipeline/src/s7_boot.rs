//! Stage 7: the standing permit, the boot target, power. No permit is granted and nothing is powered on without the plan and an
//! authority that covers it now; a power-on is never sent blindly: the target was read just before.
//!
//! ```compile_fail
//! // no permit without an authority
//! fn permit(plan: &pipeline::plan::Plan, permit: vocabulary::boot::Permit) {
//!     pipeline::s7_boot::permit(plan, permit);
//! }
//! ```

use crate::plan::Plan;
use crate::s3_fence::{Authority, Lapsed};
use crate::s6_rewire_storage::placement_secret;
use crate::state::State;
use std::collections::BTreeMap;
use vocabulary::boot::{Permit, PermitNic, PermitRoot};
use vocabulary::power::BootTarget;
use vocabulary::request::Action;
use vocabulary::storage::{InitiatorName, Path};
use vocabulary::{Epoch, Instant, PlanId, Secret, ServerId, Span};

/// The permit of a placement: what the boot service may deliver to this machine, as long as the placement stands.
/// `epoch` is the placement's, which a restart leaves unchanged.
pub fn placement_permit(state: &State, server: &ServerId, plan: &Plan, epoch: Epoch, key: &Secret) -> Option<Permit> {
    let profile = state.estate.servers.get(server)?;
    let machine = state.estate.machines.get(plan.target())?;
    let image = state.estate.images.get(&profile.boot.image)?;
    let root = profile.volumes.first()?;
    let path = state.estate.storages.get(&root.storage)?.volumes.get(&root.volume)?.paths.first().map(Path::from)?;
    let nics: BTreeMap<_, _> = profile
        .networks
        .iter()
        .filter_map(|network| {
            let mac = machine.nic(&network.role)?.mac;
            Some((network.role.clone(), PermitNic { mac, address: network.address, mtu: network.mtu }))
        })
        .collect();
    Some(Permit {
        machine: plan.target().clone(),
        server: server.clone(),
        epoch,
        plan: PlanId(epoch),
        method: profile.boot.method,
        image: profile.boot.image.clone(),
        nics,
        root: PermitRoot {
            path,
            initiator: InitiatorName::of_placement(server, epoch),
            user: server.to_string(),
            secret: placement_secret(key, server, epoch),
        },
        arguments: image.arguments.clone(),
        lease: state.estate.settings.permit_lease.0,
    })
}

/// The grant of a permit at one boot service.
pub fn permit(plan: &Plan, authority: &Authority, now: Instant, fresh_for: Span, permit: Permit) -> Result<Action, Lapsed> {
    authority.covers(plan, now, fresh_for)?;
    Ok(Action::GrantPermit { permit: Box::new(permit) })
}

/// The next boot of the target goes over the network.
pub fn boot_target(
    plan: &Plan,
    authority: &Authority,
    now: Instant,
    fresh_for: Span,
    target: BootTarget,
) -> Result<Action, Lapsed> {
    authority.covers(plan, now, fresh_for)?;
    Ok(Action::SetBootTarget { machine: plan.target().clone(), target })
}

/// Power for the target.
pub fn power_on(plan: &Plan, authority: &Authority, now: Instant, fresh_for: Span) -> Result<Action, Lapsed> {
    authority.covers(plan, now, fresh_for)?;
    Ok(Action::PowerOn { machine: plan.target().clone() })
}
