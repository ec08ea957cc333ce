//! Which devices are asked what while fencing, and what their answers confirm.

use super::{human, initiator, judge, life, outlets, power, subject, volumes};
use crate::effect::Agent;
use crate::out::Out;
use crate::plan::Kind;
use crate::record::Fact;
use crate::s2_decide;
use crate::stage::Stage;
use crate::state::State;
use crate::work::{Key, Look, Phase, Progress, Task, Work, limits};
use std::collections::{BTreeMap, BTreeSet};
use vocabulary::network::{PortReading, PortSetting};
use vocabulary::request::{Action, AgentError, Answer, Resource};
use vocabulary::storage::{InitiatorName, VolumeReading};
use vocabulary::{Instant, MachineId, VolumeId};

/// The volume's new owner's initiator, if this plan already owns it: the one that a revocation spares.
fn keep(state: &State, work: &Work, volume: &VolumeId) -> Option<InitiatorName> {
    let (server, _, epoch) = state.ledger.volumes.get(volume)?;
    (*epoch == work.plan.epoch() && work.plan.server() == Some(server)).then(|| initiator(server, &work.plan))
}

/// Makes the tasks of the fence phase: everything at once, nothing waits for anything else.
pub fn begin(state: &State, work: &mut Work, now: Instant) {
    let body = work.plan.body().clone();
    for machine in &body.fence {
        work.want(Key::Power(machine.clone()), now);
        for port in state.estate.machines.get(machine).map(|m| m.ports()).unwrap_or_default() {
            work.want(Key::Port(machine.clone(), port), now);
        }
        for service in state.estate.boot_services_of(machine) {
            work.want(Key::Permit(machine.clone(), service.clone()), now);
        }
    }
    if matches!(body.kind, Kind::Failover | Kind::FirstStart) {
        for volume in volumes(state, work) {
            work.want(Key::Volume(volume), now);
        }
        work.want(Key::TargetPower, now);
    }
    if body.kind == Kind::FirstStart {
        for service in state.estate.boot_services_of(&body.target) {
            work.want(Key::Permit(body.target.clone(), service.clone()), now);
        }
    }
    for agent in scope(state, work).into_keys() {
        work.want(Key::Advance(agent), now);
    }
}

/// Every resource of the plan's whole scope, by agent: BMC, ports and permits of the old machines and of the target, and the volumes.
fn scope(state: &State, work: &Work) -> BTreeMap<Agent, Vec<Resource>> {
    let mut scope: BTreeMap<Agent, Vec<Resource>> = BTreeMap::new();
    if work.phase == Phase::Orders {
        // a later plan may have raised the rest of the old scope
        let open = work.tasks.iter().filter(|(_, task)| !task.is_confirmed()).filter_map(|(key, _)| subject(&state.estate, key));
        let given_back = outlets::to_give_back(state, work).into_iter();
        let given_back = given_back.flat_map(|(agent, all)| all.into_iter().map(move |outlet| (agent.clone(), outlet)));
        for (agent, resource) in open.chain(given_back).filter(|(_, resource)| !work.advanced.contains(resource)) {
            scope.entry(agent).or_default().push(resource);
        }
        return scope;
    }
    let machines: BTreeSet<MachineId> = work.plan.body().fence.iter().chain([work.plan.target()]).cloned().collect();
    for machine in &machines {
        scope.entry(Agent::of_bmc(&state.estate, machine)).or_default().push(Resource::Machine(machine.clone()));
        for port in state.estate.machines.get(machine).map(|m| m.ports()).unwrap_or_default() {
            scope.entry(Agent::Switch(port.switch.clone())).or_default().push(Resource::Port(port));
        }
        for service in state.estate.boot_services_of(machine) {
            scope.entry(Agent::Boot(service.clone())).or_default().push(Resource::Permit(machine.clone()));
        }
        for outlet in state.estate.machines.get(machine).map(|m| m.outlets.clone()).unwrap_or_default() {
            scope.entry(Agent::Outlets(outlet.pdu.clone())).or_default().push(Resource::Outlet(outlet));
        }
    }
    if !matches!(work.plan.body().kind, Kind::Enrol | Kind::Release) {
        for volume in volumes(state, work) {
            scope.entry(Agent::Storage(volume.storage.clone())).or_default().push(Resource::Volume(volume));
        }
    }
    scope
}

/// Asks agents to advance their epochs where that is due.
pub fn drive_advance(state: &mut State, work: &mut Work, out: &mut Out) {
    let scope = scope(state, work);
    if work.phase == Phase::Orders {
        work.tasks.retain(|key, _| !matches!(key, Key::Advance(agent) if !scope.contains_key(agent)));
        for agent in scope.keys() {
            work.want(Key::Advance(agent.clone()), out.now);
        }
    }
    for key in work.due(out.now) {
        if let Key::Advance(agent) = &key {
            let resources = scope.get(agent).cloned().unwrap_or_default();
            let action = Action::AdvanceEpoch { resources };
            if work.is_held_back(&state.ledger, &key, &action, out.now) {
                continue;
            }
            let Some(action) = turn(work, &key, action, out.now) else { continue };
            work.send(&mut state.ledger, out, key.clone(), agent.clone(), Stage::Fence, action);
        }
    }
}

/// Sends what is due, each device as soon as its own agent has advanced. `Err` if the verdict fell before the first fencing effect:
/// then nothing was touched.
pub fn drive(state: &mut State, work: &mut Work, out: &mut Out) -> Result<(), String> {
    drive_advance(state, work, out);
    judge::answered(state, work, out.now);
    tell_vetoes(state, work, out);
    outlets::tell(state, work, out);
    outlets::pursue(state, work, out);
    human::tell(state, work, out);
    human::attend(state, work, out);
    for key in work.due(out.now) {
        let Some((agent, resource, action)) = fencing_action(state, work, &key) else { continue };
        if !work.advanced.contains(&resource) || work.is_held_back(&state.ledger, &key, &action, out.now) {
            continue;
        }
        let Some(action) = turn(work, &key, action, out.now) else { continue };
        let first = !action.is_read() && !begun(state, work);
        if let (true, true, Some(server)) = (first, work.by_verdict, work.plan.server()) {
            s2_decide::stands(state, server, out.now)?;
        }
        work.send(&mut state.ledger, out, key.clone(), agent, Stage::Fence, action);
        if let Key::Power(machine) | Key::Cut(machine, _) = &key {
            look_for_life(state, work, out, machine);
        }
    }
    Ok(())
}

/// Beside a reading of its power or of an outlet that follows an Off, the machine's ports are looked at: if it sends, its Off is a lie. Not while N stands:
/// then the proof rests on the ports themselves, and the switch is asked for nothing more.
fn look_for_life(state: &mut State, work: &mut Work, out: &mut Out, machine: &MachineId) {
    let said_off =
        |(key, task): (&Key, &Task)| matches!(key, Key::Power(of) | Key::Cut(of, _) if of == machine) && task.window.is_some();
    if !work.tasks.iter().any(said_off) || judge::stands_by_network(state, work, machine, out.now) {
        return;
    }
    life::look(state, work, out, machine);
}

/// Signs of life that have voided a power proof are told, once a plan and machine.
fn tell_vetoes(state: &mut State, work: &mut Work, out: &mut Out) {
    let plan = work.plan.id();
    for (key, task) in &mut work.tasks {
        let Key::Power(machine) = key else { continue };
        let Some(sign) = task.veto.take() else { continue };
        if state.watch.alarms.insert(format!("life {plan} {machine}")) {
            let text = format!("{machine} is not off: {sign}; its power proof is begun anew");
            out.record(&mut state.ledger, Fact::Alarm { subject: machine.to_string(), code: "F0305".to_owned(), text });
        }
    }
}

/// What a due task sends now: its command, or a reading, which leaves no record. A device that has failed is looked for by readings
/// before it is commanded again; what was confirmed before is confirmed anew by reading; a command that comes to nothing again and
/// again is sent seldom. `None`: it was put off.
fn turn(work: &mut Work, key: &Key, action: Action, now: Instant) -> Option<Action> {
    let patience = if work.phase == Phase::Orders { 1 } else { limits::LOOK_AFTER };
    let task = work.tasks.get_mut(key)?;
    let look = std::mem::replace(&mut task.look, Look::No);
    if action.is_read() {
        return Some(action);
    }
    if task.tries >= patience && look == Look::No {
        task.look = Look::Looking;
        return Some(reading(key));
    }
    if task.tries == 0
        && task.evidence.is_some()
        && matches!(key, Key::Port(..) | Key::Volume(_) | Key::Permit(..) | Key::Cut(..))
    {
        return Some(reading(key));
    }
    if let Some(at) =
        task.sent_at.map(|sent| sent + task.pace(limits::RETRY_MAX)).filter(|at| task.commands > limits::SENT_OFTEN && *at > now)
    {
        task.look = look;
        task.again_at(at);
        return None;
    }
    task.commands = task.commands.saturating_add(1);
    task.sent_at = Some(now);
    Some(action)
}

/// The reading of a fencing task's device.
fn reading(key: &Key) -> Action {
    match key {
        Key::Power(machine) => Action::ReadMachine { machine: machine.clone() },
        Key::Port(_, port) => Action::ReadPort { port: port.clone() },
        Key::Permit(machine, _) => Action::ReadPermit { machine: machine.clone() },
        Key::Cut(_, outlet) => Action::ReadOutlet { outlet: outlet.clone() },
        Key::Volume(volume) => Action::ReadVolume { volume: volume.clone() },
        _ => Action::Hello,
    }
}

fn begun(state: &State, work: &Work) -> bool {
    state.ledger.plans.get(&work.plan.id()).is_some_and(|row| row.begun)
}

fn fencing_action(state: &State, work: &Work, key: &Key) -> Option<(Agent, Resource, Action)> {
    let first_start = work.plan.body().kind == Kind::FirstStart;
    Some(match key {
        Key::Power(machine) => {
            let asked_off = work.tasks.get(key).is_some_and(|task| task.acted_at.is_some());
            let machine = machine.clone();
            let (bmc, resource) = (Agent::of_bmc(&state.estate, &machine), Resource::Machine(machine.clone()));
            let action = if asked_off { Action::ReadMachine { machine } } else { Action::PowerOff { machine } };
            (bmc, resource, action)
        }
        Key::TargetPower => {
            let machine = work.plan.target().clone();
            (Agent::of_bmc(&state.estate, &machine), Resource::Machine(machine.clone()), Action::ReadMachine { machine })
        }
        Key::Port(_, port) => {
            let quarantine = state.estate.settings.vlans.quarantine;
            let agent = Agent::Switch(port.switch.clone());
            (agent, Resource::Port(port.clone()), Action::BarPort { port: port.clone(), quarantine })
        }
        Key::Volume(volume) => {
            let action = if first_start {
                Action::ReadVolume { volume: volume.clone() }
            } else {
                let refused = work.tasks.get(key).is_some_and(|task| task.keep_refused);
                let keep = keep(state, work, volume).filter(|_| !refused);
                Action::RevokeVolume { volume: volume.clone(), keep }
            };
            (Agent::Storage(volume.storage.clone()), Resource::Volume(volume.clone()), action)
        }
        Key::Permit(machine, service) => {
            let machine = machine.clone();
            let resource = Resource::Permit(machine.clone());
            let action = if first_start { Action::ReadPermit { machine } } else { Action::RevokePermit { machine } };
            (Agent::Boot(service.clone()), resource, action)
        }
        Key::Cut(_, outlet) => {
            let seen_off = work.tasks.get(key).is_some_and(|task| task.window.is_some());
            let (outlet, resource) = (outlet.clone(), Resource::Outlet(outlet.clone()));
            let agent = Agent::Outlets(outlet.pdu.clone());
            (agent, resource, if seen_off { Action::ReadOutlet { outlet } } else { Action::CutOutlet { outlet } })
        }
        // outlets that were found not to be the machine's are given back
        Key::Unbar(Agent::Outlets(pdu)) => {
            let resources = outlets::given_back(state, work, pdu);
            let resource = resources.first()?.clone();
            (Agent::Outlets(pdu.clone()), resource, Action::LiftBar { resources })
        }
        Key::Feed(outlet) => {
            let (outlet, resource) = (outlet.clone(), Resource::Outlet(outlet.clone()));
            (Agent::Outlets(outlet.pdu.clone()), resource, Action::FeedOutlet { outlet })
        }
        _ => return None,
    })
}

/// Folds an answer in. What it confirms is as old as the question: the device may have been read at any time since.
pub fn complete(state: &State, work: &mut Work, now: Instant, key: &Key, asked: Instant, outcome: &Result<Answer, AgentError>) {
    let keep = if let Key::Volume(volume) = key { keep(state, work, volume) } else { None };
    let first_start = work.plan.body().kind == Kind::FirstStart;
    let own = work.plan.epoch();
    let volume = if first_start { cut } else { revoked };
    if let (Key::Advance(_), Ok(Answer::Advanced { clear, .. })) = (key, outcome) {
        work.advanced.extend(clear.iter().cloned());
    }
    if let (Key::Port(machine, _) | Key::Life(machine, _), Ok(Answer::Port(reading))) = (key, outcome) {
        power::heard(state, work, machine, asked, now, reading);
        outlets::heard(state, work, machine, (asked, now), reading);
        human::heard(state, work, machine, asked, reading);
    }
    if let (Key::Power(machine), Ok(Answer::Machine(reading))) = (key, outcome) {
        outlets::bmc_answered(state, work, machine, (asked, now), reading);
        human::bmc_answered(state, work, machine, (asked, now), reading);
    }
    if let Key::Life(machine, _) = key {
        work.tasks.remove(key);
        looked_for_life(work, machine, now);
        return;
    }
    let looking = matches!(key, Key::Power(machine) | Key::Cut(machine, _) if life::is_looked_for(work, machine));
    let Some(task) = work.tasks.get_mut(key) else { return };
    if task.look == Look::Looking {
        looked(task, now, outcome);
        return;
    }
    match (key, outcome) {
        (Key::Advance(agent), outcome) => advanced(task, now, agent, outcome),
        (Key::Power(machine), outcome) => {
            power::fold(state, machine, task, asked, now, outcome);
            power::conclude(task, looking, now);
        }
        (Key::Cut(_, outlet), outcome) => {
            outlets::fold(task, asked, now, outcome);
            outlets::conclude(task, outlet, looking, now);
        }
        (Key::TargetPower, Ok(Answer::Machine(reading))) if reading.all_off() => {
            task.confirm(asked, "the target is off".to_owned());
        }
        (Key::TargetPower, Ok(Answer::Machine(reading))) => {
            task.retry(now, format!("the target is not off but {:?}", reading.system_power));
        }
        (Key::Port(_, _), Ok(Answer::Port(reading))) => {
            match barred(reading, &PortSetting::access(state.estate.settings.vlans.quarantine)) {
                Ok(evidence) => task.confirm(asked, evidence),
                Err(reason) => task.retry(now, reason),
            }
        }
        (Key::Volume(_), Ok(Answer::Volume(reading))) => match volume(reading, keep.as_ref()) {
            Ok(evidence) => task.confirm(asked, evidence),
            Err(reason) => task.retry(now, reason),
        },
        (Key::Volume(_), Err(AgentError::Refused { reason })) if keep.is_some() && !task.keep_refused => {
            // the gate does not know our grant, so nobody of ours is logged in: everyone is revoked
            task.keep_refused = true;
            task.reason = Some(reason.clone());
            task.again_at(now);
        }
        (Key::Permit(machine, _), Ok(Answer::Permit(reading))) => match &reading.standing {
            None => task.confirm(asked, format!("{machine} gets silence")),
            Some((_, epoch)) if first_start && *epoch == own => task.confirm(asked, "its permit is this plan's own".to_owned()),
            Some((server, epoch)) if first_start => task.retry(now, format!("{machine} still may boot as {server} ({epoch})")),
            Some((server, _)) => task.retry(now, format!("the permit for {server} still stands")),
        },
        (_, Ok(_)) => task.retry(now, "the agent answered something else".to_owned()),
        (_, Err(error)) => task.retry(now, error.to_string()),
    }
}

/// The device of a standing order was looked for.
fn looked(task: &mut Task, now: Instant, outcome: &Result<Answer, AgentError>) {
    match outcome {
        Ok(_) => {
            task.look = Look::Found;
            task.again_at(now);
        }
        Err(error) => {
            task.look = Look::No;
            task.retry(now, error.to_string());
        }
    }
}

/// A look at one of its ports ended; one that could not be read says nothing.
fn looked_for_life(work: &mut Work, machine: &MachineId, now: Instant) {
    let looking = life::is_looked_for(work, machine);
    for (key, task) in &mut work.tasks {
        match key {
            Key::Power(of) if of == machine => power::conclude(task, looking, now),
            Key::Cut(of, outlet) if of == machine => outlets::conclude(task, outlet, looking, now),
            _ => {}
        }
    }
}

fn advanced(task: &mut Task, now: Instant, agent: &Agent, outcome: &Result<Answer, AgentError>) {
    match outcome {
        Ok(Answer::Advanced { busy, .. }) if busy.is_empty() => {
            task.confirm(now, format!("{agent} has no older operation in flight"))
        }
        Ok(Answer::Advanced { busy, .. }) => task.retry(now, format!("{} resources are busy", busy.len())),
        Ok(_) => task.retry(now, "the agent answered something else".to_owned()),
        Err(error) => task.retry(now, error.to_string()),
    }
}

/// True if the port forwards the quarantine VLAN and nothing else, or nothing at all, and that survives a restart of the switch.
fn barred(reading: &PortReading, quarantine: &PortSetting) -> Result<String, String> {
    let exact = reading.setting.native == quarantine.native && reading.setting.tagged.is_empty() && !reading.leaks;
    if reading.admin_up && !exact {
        return Err(format!("{} still forwards other VLANs", reading.port));
    }
    if !reading.saved {
        return Err(format!("the bar of {} is not in the start-up configuration", reading.port));
    }
    Ok(format!("{} is in the quarantine VLAN alone", reading.port))
}

/// True if nobody but `keep` may write now.
fn cut(reading: &VolumeReading, keep: Option<&InitiatorName>) -> Result<String, String> {
    let others = |name: &&InitiatorName| Some(*name) != keep;
    if let Some(other) = reading.allowed.iter().find(others) {
        return Err(format!("{} still admits {other}", reading.volume));
    }
    if reading.open_to_others {
        return Err(format!("{} admits initiators by something else than their name", reading.volume));
    }
    if let Some(session) = reading.sessions.iter().find(|session| others(&&session.initiator)) {
        return Err(format!("{} still has a session of {}", reading.volume, session.initiator));
    }
    if reading.exports == 0 && !reading.allowed.is_empty() {
        return Err(format!("{} contradicts itself", reading.volume));
    }
    if reading.in_flight.is_some_and(|n| n > 0) {
        return Err(format!("{} still has operations in flight", reading.volume));
    }
    Ok(format!("{} admits nobody else and has no other session", reading.volume))
}

/// True if moreover that survives a restart of the target. A volume that was never granted has nothing to survive.
fn revoked(reading: &VolumeReading, keep: Option<&InitiatorName>) -> Result<String, String> {
    let evidence = cut(reading, keep)?;
    if reading.persistent {
        Ok(evidence)
    } else {
        Err(format!("the revocation of {} does not survive a restart of the target", reading.volume))
    }
}

/// Asks anew for every confirmation that is older than `fresh_for`; the window of P is kept, so that one more reading on the same
/// session confirms it.
pub fn refresh(state: &State, work: &mut Work, now: Instant) {
    let fresh_for = state.estate.settings.fencing.fresh_for;
    for (key, task) in &mut work.tasks {
        let of_fence =
            matches!(key, Key::Power(_) | Key::Port(..) | Key::Volume(_) | Key::Permit(..) | Key::Cut(..) | Key::TargetPower);
        if let (true, Progress::Confirmed(at)) = (of_fence, &task.progress)
            && now.since(*at) > fresh_for
        {
            task.progress = Progress::Waiting(now);
        }
    }
}
