//! Stage 5: the target's ports join the server's VLANs. No port is joined without the plan and an authority that covers it now.
//!
//! ```compile_fail
//! // no VLAN without an authority
//! fn join(plan: &pipeline::plan::Plan, port: vocabulary::PortId, setting: vocabulary::PortSetting) {
//!     pipeline::s5_rewire_network::join(plan, port, setting);
//! }
//! ```

use crate::plan::Plan;
use crate::s3_fence::{Authority, Lapsed};
use crate::state::State;
use crate::work::Work;
use vocabulary::network::PortReading;
use vocabulary::request::{Action, Holder};
use vocabulary::{Instant, PortId, PortSetting, ServerId, Span};

/// Ports of the target and what each must carry, by the server's profile. Roles without a NIC are left out: `fit` has refused them.
pub fn wanted(state: &State, server: &ServerId, work: &Work) -> Vec<(PortId, PortSetting)> {
    let Some(profile) = state.estate.servers.get(server) else { return Vec::new() };
    let Some(machine) = state.estate.machines.get(work.plan.target()) else { return Vec::new() };
    profile.networks.iter().filter_map(|network| Some((machine.port(&network.role)?, network.port_setting()))).collect()
}

/// The grant of one port, for this plan's server on this plan's target.
pub fn join(
    plan: &Plan,
    authority: &Authority,
    now: Instant,
    fresh_for: Span,
    server: &ServerId,
    port: PortId,
    setting: PortSetting,
) -> Result<Action, Lapsed> {
    authority.covers(plan, now, fresh_for)?;
    let holder = Holder { server: server.clone(), machine: plan.target().clone(), plan: plan.id() };
    Ok(Action::JoinPort { port, setting, holder })
}

/// True if the port forwards exactly what was asked for.
pub fn joined(reading: &PortReading, setting: &PortSetting) -> Result<String, String> {
    let exact = reading.setting.native == setting.native && reading.setting.tagged == setting.tagged && !reading.leaks;
    if exact && reading.admin_up {
        Ok(format!("{} forwards exactly its VLANs", reading.port))
    } else {
        Err(format!("{} does not forward exactly its VLANs", reading.port))
    }
}
