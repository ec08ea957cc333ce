//! Stage 4: a spare is chosen, the plan is written and sealed. The dry run is the same document with the same hash.

use crate::basis::Basis;
use crate::effect::Agent;
use crate::fit;
use crate::ladder::Ladder;
use crate::ledger::Placement;
use crate::out::Out;
use crate::plan::{Body, Kind, PassedOver, Plan, Step};
use crate::record::Fact;
use crate::s2_decide;
use crate::s3_fence;
use crate::stage::Stage;
use crate::state::State;
use crate::work::{Work, limits};
use std::collections::{BTreeMap, BTreeSet};
use vocabulary::estate::Mode;
use vocabulary::storage::Access;
use vocabulary::{Epoch, Fault, Instant, MachineId, ServerId};

/// The plan of a failover as it would be sealed now; nothing is reserved.
pub fn failover(state: &State, server: &ServerId, now: Instant) -> Result<Body, Fault> {
    failover_like(state, server, None, now)
}

/// The same, onto the spare that persons were shown before as long as it fits.
pub fn failover_like(state: &State, server: &ServerId, shown: Option<&MachineId>, now: Instant) -> Result<Body, Fault> {
    supported(state, server)?;
    let row = state.ledger.servers.get(server);
    if row.and_then(|row| row.placement.as_ref()).is_none() {
        return Err(Fault::new(
            402,
            format!("{server} runs on no machine, so there is nothing to fail over from"),
            format!("`understudy server start {server}` makes its first placement"),
        ));
    }
    if let Some((machine, open)) =
        row.into_iter().flat_map(|row| &row.past).find_map(|m| Some((m, state.ledger.open_plan_on(m)?)))
    {
        return Err(Fault::new(
            405,
            format!(
                "plan {} ({}) is open on {machine}, which the failover of {server} fences",
                open.plan.id(),
                open.plan.body().kind
            ),
            format!("when that plan is closed; `understudy watch --until-closed {}` waits for it", open.plan.id()),
        ));
    }
    let (target, passed_over) = fit::choose_like(state, server, shown, now);
    let target = target.ok_or_else(|| no_spare(server, &passed_over))?;
    let fence: Vec<MachineId> = row.map(|row| row.past.iter().filter(|m| **m != target).cloned().collect()).unwrap_or_default();
    Ok(body(state, Kind::Failover, Some(server), fence, target, passed_over))
}

fn no_spare(server: &ServerId, passed_over: &[PassedOver]) -> Fault {
    let reasons: Vec<String> = passed_over.iter().map(|p| format!("{}: {}", p.machine, p.reason)).collect();
    let list = if reasons.is_empty() { "its pool is empty".to_owned() } else { reasons.join(" | ") };
    Fault::new(
        401,
        format!("no spare fits {server}: {list}"),
        "release a machine, or add one to the pool; the failover goes on by itself",
    )
}

/// The plan of a first placement on `home`.
pub fn first_start(state: &State, server: &ServerId, now: Instant) -> Result<Body, Fault> {
    supported(state, server)?;
    let home = state.estate.servers.get(server).map(|profile| profile.home.clone());
    let home = home.ok_or_else(|| unknown(server))?;
    let reasons = fit::obstacles(state, server, &home, now);
    if !reasons.is_empty() {
        return Err(Fault::new(
            403,
            format!("{server} cannot start on its home {home}: {}", reasons.join("; ")),
            "mend what is named, then start it again",
        ));
    }
    Ok(body(state, Kind::FirstStart, Some(server), Vec::new(), home, Vec::new()))
}

/// The plan of a restart in place.
pub fn restart(state: &State, server: &ServerId, placement: &Placement) -> Body {
    body(state, Kind::Restart, Some(server), Vec::new(), placement.machine.clone(), Vec::new())
}

/// The plan of an orderly stop.
pub fn stop(state: &State, server: &ServerId, placement: &Placement) -> Body {
    body(state, Kind::Stop, Some(server), Vec::new(), placement.machine.clone(), Vec::new())
}

/// The plan of an enrolment; of a machine that is only observed, its one step is to read.
pub fn enrol(state: &State, machine: &MachineId) -> Body {
    body(state, Kind::Enrol, None, Vec::new(), machine.clone(), Vec::new())
}

/// The plan of a release: the machine itself is proven off.
pub fn release(state: &State, machine: &MachineId) -> Body {
    body(state, Kind::Release, None, vec![machine.clone()], machine.clone(), Vec::new())
}

/// The fault of a name that is not in the estate.
pub fn unknown(server: &ServerId) -> Fault {
    Fault::new(53, format!("there is no server `{server}` in the estate"), "`understudy server list` shows those there are")
}

/// The fault of a name that no machine has.
pub fn unknown_machine(machine: &MachineId) -> Fault {
    let message = format!("there is no machine `{machine}` in the estate");
    Fault::new(54, message, "`understudy machine list` shows those there are")
}

/// Kinds of volumes that this release cannot move safely are refused, with a code.
fn supported(state: &State, server: &ServerId) -> Result<(), Fault> {
    let profile = state.estate.servers.get(server).ok_or_else(|| unknown(server))?;
    if profile.volumes.is_empty() {
        return Err(Fault::new(
            404,
            format!("{server} has no volume, and without one nothing shows that its old machine writes no more"),
            "give the server the volume it boots from, or leave it in mode `observe`",
        ));
    }
    match profile.volumes.iter().find(|volume| volume.access == Access::Shared) {
        Some(volume) => Err(Fault::new(
            404,
            format!(
                "volume `{}` of {server} is shared, and no storage driver revokes a single writer of a shared volume yet",
                volume.name
            ),
            "make the volume exclusive, or leave this server in mode `observe`",
        )),
        None => Ok(()),
    }
}

fn body(
    state: &State,
    kind: Kind,
    server: Option<&ServerId>,
    fence: Vec<MachineId>,
    target: MachineId,
    passed_over: Vec<PassedOver>,
) -> Body {
    let steps = steps(state, kind, server, &fence, &target);
    let revisions = revisions(state, server, fence.iter().chain([&target]));
    Body { kind, server: server.cloned(), fence, target, steps, passed_over, revisions }
}

/// The revisions of every document that the plan rests on.
fn revisions<'a>(
    state: &State,
    server: Option<&ServerId>,
    machines: impl Iterator<Item = &'a MachineId>,
) -> BTreeMap<String, String> {
    let mut names: Vec<String> = machines.map(|machine| format!("machine/{machine}")).collect();
    if let Some((server, profile)) = server.and_then(|id| state.estate.servers.get_key_value(id)) {
        names.push(format!("server/{server}"));
        names.push(format!("image/{}", profile.boot.image));
        names.extend(profile.volumes.iter().map(|volume| format!("storage/{}", volume.storage)));
    }
    names
        .into_iter()
        .filter_map(|name| state.estate.revisions.get(&name).map(|revision| (name.clone(), revision.clone())))
        .collect()
}

fn steps(state: &State, kind: Kind, server: Option<&ServerId>, fence: &[MachineId], target: &MachineId) -> Vec<Step> {
    let mut steps = Vec::new();
    let bmc_of = |machine: &MachineId| Agent::of_bmc(&state.estate, machine).to_string();
    let bmcs: BTreeSet<String> = fence.iter().chain([target]).map(bmc_of).collect();
    let mut add = |stage: Stage, agent: &str, what: String| {
        let deadline = if bmcs.contains(agent) { limits::BMC_DEADLINE } else { limits::AGENT_DEADLINE };
        steps.push(Step { stage, agent: agent.to_owned(), what, deadline });
    };
    for machine in fence {
        add(Stage::Fence, &bmc_of(machine), format!("power off {machine} and see it off"));
        for port in state.estate.machines.get(machine).map(|m| m.ports()).unwrap_or_default() {
            add(Stage::Fence, port.switch.as_str(), format!("bar {port} in VLAN {}", state.estate.settings.vlans.quarantine));
        }
        for service in state.estate.boot_services_of(machine) {
            add(Stage::Fence, service.as_str(), format!("revoke the permit of {machine}"));
        }
        for outlet in s3_fence::usable_outlets(state, machine).unwrap_or_default().iter().filter(|_| kind == Kind::Failover) {
            add(Stage::Fence, outlet.pdu.as_str(), format!("cut outlet {outlet}, unless the BMC of {machine} switches it off"));
        }
    }
    let profile = server.and_then(|id| state.estate.servers.get(id));
    if let (Some(profile), Kind::Failover | Kind::FirstStart) = (profile, kind) {
        for volume in profile.volumes.iter().map(|volume| volume.id()).filter(|_| kind == Kind::Failover) {
            add(Stage::Fence, volume.storage.as_str(), format!("revoke every initiator of {volume}"));
        }
        for network in &profile.networks {
            if let Some(port) = state.estate.machines.get(target).and_then(|m| m.port(&network.role)) {
                add(Stage::Network, port.switch.as_str(), format!("join {port} to VLAN {}", network.vlan));
            }
        }
        for volume in profile.volumes.iter().map(|volume| volume.id()) {
            add(Stage::Storage, volume.storage.as_str(), format!("grant {volume} to the new placement's initiator"));
        }
    }
    if matches!(kind, Kind::Failover | Kind::FirstStart | Kind::Restart) {
        let name = server.map(|id| id.to_string()).unwrap_or_default();
        for service in state.estate.boot_services_of(target) {
            add(Stage::Boot, service.as_str(), format!("permit {target} to boot as {name}"));
        }
        add(Stage::Boot, &bmc_of(target), format!("next boot of {target} by network"));
        add(Stage::Boot, &bmc_of(target), format!("power on {target}"));
        add(Stage::Verify, "checks", format!("{} health checks of {name}", profile.map_or(0, |p| p.checks.len())));
    }
    own_steps(state, kind, target, &mut add);
    steps
}

fn own_steps(state: &State, kind: Kind, target: &MachineId, add: &mut impl FnMut(Stage, &str, String)) {
    let machine = state.estate.machines.get(target);
    let bmc = Agent::of_bmc(&state.estate, target).to_string();
    let ports = machine.map(|m| m.ports()).unwrap_or_default();
    let outlets = machine.map(|m| m.outlets.clone()).unwrap_or_default();
    match kind {
        Kind::Enrol => {
            add(Stage::Verify, &bmc, format!("read the identity of {target}"));
            if s2_decide::machine_mode(state, target) == Mode::Observe {
                // a machine that is only observed is only read
                return;
            }
            add(Stage::Verify, &bmc, format!("restore policy of {target} to always-off"));
            for outlet in outlets {
                add(
                    Stage::Verify,
                    outlet.pdu.as_str(),
                    format!("if {target} is off: see it go dark by outlet {outlet}, and feed that again"),
                );
            }
        }
        Kind::Stop => add(Stage::Boot, &bmc, format!("ask the operating system of {target} to stop")),
        Kind::FirstStart | Kind::Restart | Kind::Failover | Kind::Release => {}
    }
    if matches!(kind, Kind::Enrol | Kind::Release) {
        for port in ports {
            add(Stage::Return, port.switch.as_str(), format!("park {port} in VLAN {}", state.estate.settings.vlans.parking));
        }
    }
}

/// Draws the epoch, seals the plan and reserves its machines: one record. From here the plan is open.
pub fn seal(state: &mut State, out: &mut Out, body: Body, by_verdict: bool) -> Work {
    let epoch = Epoch(state.ledger.epoch.0 + 1);
    let plan = Plan::seal(body, epoch);
    let machines = plan.body().fence.iter().chain([plan.target()]);
    let basis = Box::new(Basis::of(&state.estate, machines, plan.server()));
    let ladder = ladder(state, plan.body(), by_verdict, out).map(Box::new);
    out.record(&mut state.ledger, Fact::Sealed { plan: Box::new(plan.clone()), basis, by_verdict, ladder });
    out.record(&mut state.ledger, Fact::Entered { plan: plan.id(), stage: Stage::Place });
    Work::new(plan, 1, by_verdict, out.now)
}

/// What is predicted of a plan that brings a server back, and of what is not done instead.
fn ladder(state: &State, body: &Body, by_verdict: bool, out: &Out) -> Option<Ladder> {
    let server = body.server.as_ref()?;
    match body.kind {
        Kind::Failover => Some(s2_decide::ladder::of(state, server, Some(&body.target), (out.now, out.wall))),
        // a person's restart is no choice between two ways
        Kind::Restart if by_verdict => Some(s2_decide::ladder::of(state, server, None, (out.now, out.wall))),
        Kind::Restart | Kind::Enrol | Kind::FirstStart | Kind::Stop | Kind::Release => None,
    }
}
